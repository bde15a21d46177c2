//! The server: Ollama as far as a monitor and its users see it.

mod inference;
mod keep_alive;
mod models;
mod native;
mod openai;
mod routes;
mod runner;
mod scheduler;

use std::{
    env,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use self::{models::Store, scheduler::Scheduler};
use super::{
    ENGINE,
    fault::{self, Faults, Part},
    process,
};

/// What `/api/version` says.
pub const VERSION: &str = "0.32.15-demo";
const DEFAULT_PORT: u16 = 11434;

/// What all routes share.
#[derive(Debug)]
struct Front {
    faults: Faults,
    store: Store,
    scheduler: Scheduler,
    http: reqwest::Client,
}

/// `ollama serve` is the server; `ollama run MODEL` is a user's client that waits at its prompt.
pub fn run(args: Vec<String>) -> Result<(), String> {
    match args.first().map(String::as_str) {
        Some("serve") => serve(),
        Some("run") => wait_at_prompt(),
        other => Err(format!("unknown command {:?} for \"ollama\" (the demo has serve and run)", other.unwrap_or(""))),
    }
}

fn serve() -> Result<(), String> {
    let address = listen_address(env::var("OLLAMA_HOST").ok().as_deref())?;
    let folder = env::current_exe().map_err(|e| e.to_string())?.parent().map(PathBuf::from).unwrap_or_default();
    let engine = folder.join(format!("{ENGINE}{}", env::consts::EXE_SUFFIX));
    let models = env::var_os("OLLAMA_MODELS").map_or_else(|| folder.join("models"), PathBuf::from);

    let (own, engines): (Vec<_>, Vec<_>) =
        fault::from_environment()?.into_iter().partition(|order| order.part == Part::Front);
    let faults = Faults::new(own.into_iter().map(|order| order.fault));
    // Fails only if one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build().map_err(|e| format!("no HTTP client: {e}"))?;

    process::block_on(async move {
        let listener = process::listen(address).await?;
        let store = Store::open(models)?;
        let scheduler = Scheduler::new(engine, engines, http.clone());
        let front = Arc::new(Front { faults: faults.clone(), store, scheduler, http });
        let bound = listener.local_addr().unwrap_or(address);
        process::log(&format!("Listening on {bound} (version {VERSION})"));

        let app = routes::router(front.clone()).into_make_service_with_connect_info::<SocketAddr>();
        let expiry = front.clone();
        tokio::select! {
            ended = async { axum::serve(listener, app).await } => ended.map_err(|e| e.to_string())?,
            () = expiry.scheduler.expire_for_ever() => {}
            () = process::told_to_end(&faults) => {}
        }
        // Only the polite end takes the engines along; one by SIGKILL leaves them (ollama#5642).
        front.scheduler.end_all().await;
        Ok(())
    })
}

/// Until its standard input ends: a user's terminal session, which nobody may take for a server.
fn wait_at_prompt() -> Result<(), String> {
    for line in std::io::stdin().lines() {
        line.map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Reads `OLLAMA_HOST`: `HOST`, `HOST:PORT`, `:PORT`, each also with `http://` in front.
fn listen_address(text: Option<&str>) -> Result<SocketAddr, String> {
    let text = text.unwrap_or("").trim().trim_start_matches("http://").trim_end_matches('/');
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => {
            (host, port.parse().map_err(|_| format!("OLLAMA_HOST: {port:?} is no port in {text:?}"))?)
        }
        None => (text, DEFAULT_PORT),
    };
    let host: IpAddr = match host {
        "" | "localhost" => IpAddr::from([127, 0, 0, 1]),
        other => other.parse().map_err(|_| format!("OLLAMA_HOST: {other:?} is no address in {text:?}"))?,
    };
    Ok(SocketAddr::new(host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ollama_host_is_read_in_all_its_forms() {
        for (text, address) in [
            (None, "127.0.0.1:11434"),
            (Some("127.0.0.1:5051"), "127.0.0.1:5051"),
            (Some("http://localhost:5051/"), "127.0.0.1:5051"),
            (Some(":5051"), "127.0.0.1:5051"),
            (Some("0.0.0.0"), "0.0.0.0:11434"),
            (Some("[::1]:5051"), "[::1]:5051"),
        ] {
            assert_eq!(listen_address(text).unwrap(), address.parse().unwrap(), "{text:?}");
        }
        assert!(listen_address(Some("127.0.0.1:many")).unwrap_err().contains("no port"));
        assert!(listen_address(Some("example")).unwrap_err().contains("no address"));
    }
}
