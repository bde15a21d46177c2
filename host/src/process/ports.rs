//! Which process holds a port.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use super::{Process, ancestors, find, imp};
use crate::health::signals::ProcessId;

/// One listening TCP socket of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub addr: SocketAddr,
    /// An IPv6 wildcard that does not take IPv4 (where the system tells).
    pub v6_only: bool,
    /// Numeric user id of who opened it; `None` where the system does not tell.
    pub user: Option<u32>,
    /// Who has it open. Empty: not permitted to know. Several: forked children share it.
    pub pids: Vec<u32>,
}

/// A socket without a visible holder is looked at again: it may just have been closed or handed on.
const LOOKS: usize = 2;

/// Who answers at an address of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// Nobody listens there.
    Nobody,
    /// Of several that share it, the topmost.
    Known(Box<Process>),
    /// Somebody listens, and who it is may not be known (another user's process).
    NotPermitted,
}

/// Whose sockets are looked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope<'a> {
    All,
    /// The sockets of this port alone, whosever.
    Port(u16),
    /// Of these processes alone.
    Processes(&'a [ProcessId]),
}

/// All listening TCP sockets of this machine (of our network namespace) with their holders.
pub fn listeners() -> io::Result<Vec<Listener>> {
    imp::listeners(Scope::All)
}

/// Who holds the port that a connection to `addr` would reach: bound to this address, else to all addresses.
pub fn holder(addr: SocketAddr) -> Holder {
    holder_near(addr, &[])
}

/// As [`holder`], and looks first among `expected`, which spares the look at everybody's files.
pub fn holder_near(addr: SocketAddr, expected: &[ProcessId]) -> Holder {
    if !expected.is_empty()
        && let known @ Holder::Known(_) = holder_within(addr, Scope::Processes(expected))
    {
        return known;
    }
    holder_within(addr, Scope::Port(addr.port()))
}

fn holder_within(addr: SocketAddr, scope: Scope<'_>) -> Holder {
    for _ in 0..LOOKS {
        let Ok(all) = imp::listeners(scope) else { return Holder::NotPermitted };
        let Some(best) = all.iter().filter_map(|l| nearness(l, addr)).max() else { return Holder::Nobody };
        let answering = all.iter().filter(|l| nearness(l, addr) == Some(best));
        let holders: Vec<Process> = answering.flat_map(|l| &l.pids).filter_map(|pid| find(*pid)).collect();
        if let Some(process) = topmost(&holders, &|| super::all().unwrap_or_default()) {
            return Holder::Known(Box::new(process));
        }
    }
    Holder::NotPermitted
}

/// Loopback addresses at which these processes are reached, by process: one for each port, of IPv4 where there is one.
pub fn ports_of(processes: &[ProcessId]) -> HashMap<ProcessId, Vec<SocketAddr>> {
    let mut found: HashMap<ProcessId, Vec<SocketAddr>> = HashMap::new();
    let Ok(all) = imp::listeners(Scope::Processes(processes)) else { return found };
    for listener in all {
        for id in processes.iter().filter(|id| listener.pids.contains(&id.pid)) {
            found.entry(*id).or_default().extend(reached_at(&listener).iter().filter(|a| a.ip().is_loopback()));
        }
    }
    for addresses in found.values_mut() {
        addresses.sort_unstable_by_key(|address| (address.port(), address.ip()));
        addresses.dedup_by_key(|address| address.port());
    }
    found
}

/// Does it listen anywhere? False where that is not to be known.
pub fn listens(process: ProcessId) -> bool {
    imp::listeners(Scope::Processes(&[process])).is_ok_and(|all| all.iter().any(|l| l.pids.contains(&process.pid)))
}

/// Is this an address of this machine?
pub fn is_local(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    // Only an own address can be bound; nothing is sent.
    ip.is_loopback() || ip.is_unspecified() || UdpSocket::bind(SocketAddr::new(ip, 0)).is_ok()
}

/// How near a socket is to an address: the system gives a connection to the nearest. `None`: it does not get it.
pub(super) fn nearness(listener: &Listener, addr: SocketAddr) -> Option<u8> {
    if listener.addr.port() != addr.port() {
        return None;
    }
    let (bound, asked) = (listener.addr.ip().to_canonical(), addr.ip().to_canonical());
    // A client that connects to the wildcard reaches the loopback.
    let asked = as_loopback(asked).unwrap_or(asked);
    match (bound, asked) {
        (bound, asked) if bound == asked => Some(3),
        (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(_)) | (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(_)) => {
            Some(2)
        }
        (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(_)) if !listener.v6_only => Some(1),
        _ => None,
    }
}

/// The loopback address under which a local client reaches a socket bound to `ip`.
fn as_loopback(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Some(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some(Ipv6Addr::LOCALHOST.into()),
        ip => ip.is_loopback().then_some(ip),
    }
}

/// The addresses under which a client of this machine reaches it.
pub(super) fn reached_at(listener: &Listener) -> Vec<SocketAddr> {
    let port = listener.addr.port();
    match listener.addr.ip().to_canonical() {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) if !listener.v6_only => {
            vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
        }
        ip => vec![(as_loopback(ip).unwrap_or(ip), port).into()],
    }
}

/// The one that no other of them is above; the oldest where several stand side by side.
pub(super) fn topmost(holders: &[Process], all: &dyn Fn() -> Vec<Process>) -> Option<Process> {
    if holders.len() < 2 {
        return holders.first().cloned();
    }
    let all = all();
    let tops = holders.iter().filter(|p| !ancestors(&all, p).iter().any(|a| holders.iter().any(|h| h.id == a.id)));
    tops.min_by_key(|p| p.id.start).cloned()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn listener(addr: &str, v6_only: bool) -> Listener {
        Listener { addr: addr.parse().unwrap(), v6_only, user: None, pids: vec![] }
    }

    #[test]
    fn the_nearest_socket_gets_the_connection() {
        let to = |l: &str, v6_only, addr: &str| nearness(&listener(l, v6_only), addr.parse().unwrap());
        assert_eq!(to("127.0.0.1:80", false, "127.0.0.1:80"), Some(3));
        assert_eq!(to("0.0.0.0:80", false, "127.0.0.1:80"), Some(2));
        assert_eq!(to("[::]:80", false, "127.0.0.1:80"), Some(1));
        assert_eq!(to("[::]:80", true, "127.0.0.1:80"), None);
        assert_eq!(to("[::]:80", true, "[::1]:80"), Some(2));
        assert_eq!(to("127.0.0.1:80", false, "[::1]:80"), None);
        assert_eq!(to("127.0.0.1:80", false, "0.0.0.0:80"), Some(3));
        assert_eq!(to("127.0.0.1:81", false, "127.0.0.1:80"), None);
        assert_eq!(to("127.0.0.2:80", false, "127.0.0.1:80"), None);
    }

    #[test]
    fn our_own_sockets_are_ours() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = server.local_addr().unwrap();
        let Holder::Known(process) = holder(addr) else { panic!("not found") };
        assert_eq!(process.id.pid, std::process::id());
        assert_eq!(ports_of(&[process.id])[&process.id].iter().filter(|a| **a == addr).count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_port_that_is_taken_and_not_listened_on_is_nobodys() {
        use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
        let taken = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::io::fcntl_setfd(&taken, rustix::io::FdFlags::CLOEXEC).unwrap();
        bind(&taken, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let addr = SocketAddr::try_from(getsockname(&taken).unwrap()).unwrap();
        assert_eq!(holder(addr), Holder::Nobody);
        listen(&taken, 1).unwrap();
        assert!(matches!(holder(addr), Holder::Known(p) if p.id.pid == std::process::id()));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn of_those_that_share_a_socket_the_topmost_holds_it_then_the_oldest_heir() {
        use crate::process::{Signal, bystanders::Child, exited, signal};
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = server.local_addr().unwrap();
        let heir = |script: &str| Child::heir(script, &server);
        let heirs = [heir("exec sleep 1000"), heir("sleep 1000 & echo ready; wait")];
        heirs[1].line().await;
        let holds = |id: ProcessId| matches!(holder(addr), Holder::Known(p) if p.id == id);
        assert!(holds(crate::process::own_id().unwrap()));
        drop(server);
        // Started in the same tick, either may count as the older one.
        assert!(holds(heirs[0].id) || (holds(heirs[1].id) && heirs[0].id.start == heirs[1].id.start));
        signal(heirs[0].id, Signal::Kill).unwrap();
        exited(heirs[0].id).await;
        assert!(holds(heirs[1].id), "its child shares the socket, and it stands above");
        let ports = ports_of(&[heirs[1].id]);
        assert!(ports[&heirs[1].id].contains(&addr));
    }

    #[test]
    fn a_wildcard_socket_holds_the_loopback_port() {
        let server = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let holder = holder(SocketAddr::from(([127, 0, 0, 1], port)));
        assert!(matches!(holder, Holder::Known(p) if p.id.pid == std::process::id()));
    }

    #[test]
    fn local_and_remote_addresses_are_told_apart() {
        assert!(is_local("127.0.0.1".parse().unwrap()));
        assert!(is_local("::ffff:127.0.0.1".parse().unwrap()));
        // TEST-NET-1: nobody's.
        assert!(!is_local("192.0.2.1".parse().unwrap()));
    }
}
