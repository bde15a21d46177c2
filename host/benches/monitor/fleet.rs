//! What stands around the monitor: model servers of the demo, other processes, and the time after which all ends.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::json;

use super::harness::{Backend, Bed, Kind, Tier, http, wait_until};

/// Model servers that run before the monitor begins; each is a process of its own. They end with this value.
pub struct Fleet {
    pub addresses: Vec<SocketAddr>,
    backend: Backend,
    servers: Vec<Child>,
}

impl Fleet {
    pub fn start(bed: &Bed, count: usize) -> Fleet {
        let backend = Backend::new(bed, Kind::Ollama, Tier::Demo);
        let mut fleet = Fleet { addresses: free_addresses(count), backend, servers: Vec::new() };
        for address in fleet.addresses.clone() {
            let command = fleet.backend.command(address);
            let mut server = Command::new(&command[0]);
            server.args(&command[1..]).envs(fleet.backend.environment(address));
            server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            fleet.servers.push(server.spawn().expect("a server of the demo starts"));
        }
        for address in &fleet.addresses {
            wait_until(Duration::from_secs(30), "a server of the demo to answer", || {
                http::get(*address, "/api/version", Duration::from_secs(5)).map(drop).map_err(|e| e.to_string())
            });
        }
        fleet
    }

    /// A configuration of them all, each looked at so often.
    pub fn config(&self, check_interval: &str) -> String {
        let mut config = format!("[defaults]\ncheck_interval = {}\n", json!(check_interval));
        for (index, address) in self.addresses.iter().enumerate() {
            config.push_str(&target(&self.backend, &format!("server-{index}"), *address));
        }
        config
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// A target with the command that starts its server.
pub fn target(backend: &Backend, name: &str, address: SocketAddr) -> String {
    let variables = backend.environment(address).into_iter();
    let variables: Vec<String> = variables.map(|(name, value)| format!("{name} = {}", json!(value))).collect();
    format!(
        "[[target]]\nname = {}\nbackend = {}\nurl = \"http://{address}\"\n\
         [target.process]\ncommand = {}\nenv = {{ {} }}\n",
        json!(name),
        json!(backend.plugin()),
        json!(backend.command(address)),
        variables.join(", ")
    )
}

/// Different ones: all are held until the last is found.
fn free_addresses(count: usize) -> Vec<SocketAddr> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port")).collect();
    held.iter().map(|listener| listener.local_addr().expect("its address")).collect()
}

/// The folder that the monitor works in, with this configuration and nothing else.
pub fn folder_of_monitor(bed: &Bed, config: &str) -> PathBuf {
    let folder = bed.folder("monitor");
    let _ = fs::remove_dir_all(folder.join("data"));
    fs::write(folder.join("config.toml"), config).expect("the monitor's configuration");
    folder
}

/// Processes that do nothing: who looks through all processes pays for each.
pub struct Neighbours(Vec<Child>);

impl Neighbours {
    pub fn start(count: usize) -> Neighbours {
        let one = || Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().expect("sleep starts");
        Neighbours((0..count).map(|_| one()).collect())
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Every wait has its own bound; this one holds for all of them together.
pub fn end_at(limit: Duration) {
    thread::spawn(move || {
        thread::sleep(limit);
        println!("not over after {} s: ended", limit.as_secs());
        std::process::exit(1);
    });
}
