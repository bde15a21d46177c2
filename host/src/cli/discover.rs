//! `ai-monitor discover`: the model servers of this machine, and a configuration for them that is ready to save.

mod configuration;

use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use ai_monitor_plugin_api::{
    event::Depth,
    manifest::Confidence,
    report::{ModelState, Report},
};
use anyhow::Context;
use serde_json::{Value, json};

use super::out;
use crate::{
    config::{self, Flags, model::Target},
    health::observation::Identity,
    incident::guards::whose,
    plugin::Registry,
    probe::{
        discover::{Discovery, Found, Looked, PortHolder, Seen, discover},
        http::Driver,
        session::ProbeAsk,
    },
};

/// A server that tells its version takes no longer; one that is slow is shown without.
const VERSION: Duration = Duration::from_secs(3);

/// A found server as it is shown.
struct Server {
    found: Found,
    name: String,
    /// Who it most likely is, as people call it.
    label: String,
    version: Option<String>,
    /// How many models it has, and how many of them are loaded. `None`: it does not tell.
    models: Option<(usize, usize)>,
    /// The target of the configuration file that it is already.
    configured: Option<String>,
}

pub(super) async fn run(flags: &Flags, as_json: bool, save: bool) -> anyhow::Result<ExitCode> {
    let registry = super::run::plugins_known(flags);
    let path = config::places(flags).config;
    let (listen, targets) = read_configuration(flags, &registry, path.exists());
    let driver = Driver::new().context("no HTTP client can be made")?;
    let discovery = discover(&driver, &registry, &[listen]).await;
    let servers = describe(&discovery, &driver, &registry, &targets).await;
    let new: Vec<&Server> = servers.iter().filter(|server| server.configured.is_none()).collect();
    let text = configuration::of(&new, path.exists());

    let mut code = ExitCode::SUCCESS;
    let mut saved = String::new();
    if save && new.is_empty() {
        saved = "Nothing new was found: nothing is written.\n".into();
    } else if save {
        match config::write_new(&path, text.as_bytes()) {
            Ok(()) => saved = format!("Saved to {}. Start with: ai-monitor\n", path.display()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                code = ExitCode::FAILURE;
                saved = format!("{} exists and is left as it is: add the lines above to it.\n", path.display());
            }
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be written", path.display()));
            }
        }
    }
    if as_json {
        let found: Vec<Value> = servers.iter().map(in_json).collect();
        let looked: Vec<Value> = discovery.looked.iter().map(looked_in_json).collect();
        let all = json!({ "found": found, "looked": looked, "configuration": text, "config_file": path, "note": saved.trim() });
        out::json(&all)?;
        return Ok(code);
    }
    show!("{}", in_words(&servers, &discovery));
    if !new.is_empty() {
        let (verb, flag) = match (save, path.exists()) {
            (true, _) => ("", String::new()),
            (false, false) => (", to save as", format!(" {} (--save does it)", path.display())),
            (false, true) => (", to add to", format!(" {}", path.display())),
        };
        say!("\nA configuration for {}{verb}{flag}:\n", if new.len() == 1 { "it" } else { "them" });
        for line in text.lines() {
            say!("    {line}");
        }
        say!("");
    }
    show!("{saved}");
    Ok(code)
}

/// Where the monitor listens, and what is configured already. A file with mistakes does not keep us from looking around.
fn read_configuration(flags: &Flags, registry: &Registry, exists: bool) -> (SocketAddr, Vec<Target>) {
    // A file that is yet to be written is named by the same flag.
    let flags = if exists { flags.clone() } else { Flags { config: None, ..flags.clone() } };
    match config::load(&flags, registry) {
        Ok(config) => (config.listen, config.targets),
        Err(error) => {
            complain!("The configuration has mistakes, so what is in it is not left out below:\n{error}\n");
            let given = flags.listen.and_then(|listen| listen.parse().ok());
            (given.unwrap_or(config::LISTEN), Vec::new())
        }
    }
}

async fn describe(discovery: &Discovery, driver: &Driver, registry: &Registry, targets: &[Target]) -> Vec<Server> {
    let mut taken: Vec<String> = targets.iter().map(|target| target.name.clone()).collect();
    let mut servers = Vec::new();
    for found in &discovery.found {
        let configured = targets.iter().find(|target| {
            found.addresses().any(|address| {
                url::Url::parse(&format!("http://{address}")).is_ok_and(|url| config::same_server(&url, &target.url))
            })
        });
        let name = match configured {
            Some(target) => target.name.clone(),
            None => found.name(|name| taken.iter().any(|t| t.eq_ignore_ascii_case(name))),
        };
        taken.push(name.clone());
        let report = readiness(found, driver, registry).await;
        let models = report.as_ref().and_then(|report| report.models.as_ref());
        let is_loaded = |state: Option<ModelState>| state == Some(ModelState::Loaded);
        servers.push(Server {
            label: label(found, registry),
            name,
            models: models.map(|all| (all.len(), all.iter().filter(|model| is_loaded(model.state)).count())),
            version: report.and_then(|report| report.version),
            configured: configured.map(|target| target.name.clone()),
            found: found.clone(),
        });
    }
    servers
}

/// One look at it, as the monitor would: nothing is loaded, woken or prolonged by it.
async fn readiness(found: &Found, driver: &Driver, registry: &Registry) -> Option<Report> {
    let identity = found.identity.as_ref()?;
    let plugin: &Arc<_> = registry.get(&identity.backend)?;
    let ask = ProbeAsk {
        depth: Depth::Readiness,
        inference: None,
        deadline: VERSION,
        settings: config::default_settings(plugin.manifest()),
        variant: identity.variant.clone(),
        processes: None,
        addresses: BTreeMap::new(),
        answers: None,
    };
    driver.target(&found.url, None).probe(plugin, ask).await.report
}

fn label(found: &Found, registry: &Registry) -> String {
    let manifests = registry.manifests();
    let label = |who: &Identity| {
        let label = manifests.get(&who.backend).map_or(who.backend.clone(), |manifest| manifest.label.clone());
        match &who.variant {
            Some(variant) => format!("{label} [{variant}]"),
            None => label,
        }
    };
    match &found.identity {
        Some(who) => label(who),
        None => found.candidates.iter().map(label).collect::<Vec<_>>().join(" or "),
    }
}

fn word(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Certain => "certain: no other backend does this",
        Confidence::Likely => "likely: others imitate it",
        Confidence::Possible => "possible: it speaks the protocol",
    }
}

fn in_words(servers: &[Server], discovery: &Discovery) -> String {
    let mut text = match servers.len() {
        0 => "No model server was found.\n".to_owned(),
        1 => "Found 1 model server.\n".to_owned(),
        n => format!("Found {n} model servers.\n"),
    };
    for server in servers {
        let _ = server_in_words(&mut text, server);
    }
    let beside = |looked: &&Looked| !matches!(looked.seen, Seen::Nobody | Seen::Backend);
    let also: Vec<&Looked> = discovery.looked.iter().filter(beside).collect();
    if !also.is_empty() {
        text.push_str("\nAlso seen, and no target:\n");
        for looked in also {
            let _ = writeln!(text, "  {:<21} {}", looked.address.to_string(), seen_in_words(looked));
        }
    }
    if servers.is_empty() {
        let places: Vec<String> = discovery.looked.iter().map(|looked| looked.address.to_string()).collect();
        let _ =
            writeln!(text, "\nLooked at {}, and wherever a process listens that a plugin names.", places.join(", "));
        text.push_str("A server elsewhere is named in the configuration: [[target]] with name, backend and url.\n");
    }
    text
}

fn server_in_words(text: &mut String, server: &Server) -> std::fmt::Result {
    let found = &server.found;
    let version = server.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
    writeln!(text, "\n  {}: {}{version} at {}", server.name, server.label, found.url.as_str().trim_end_matches('/'))?;
    match &found.identity {
        Some(who) => writeln!(text, "    known    {}", word(who.confidence))?,
        None => writeln!(text, "    known    not for sure: each of these could be it, the choice is yours")?,
    }
    for also in &found.also {
        writeln!(text, "    also at  {also}")?;
    }
    if found.is_one_of_two {
        let port = found.address.port();
        writeln!(text, "    note     localhost:{port} is two servers: 127.0.0.1 and ::1 are each one of its own")?;
    }
    if let Some((all, loaded)) = server.models {
        writeln!(text, "    models   {all} known, {loaded} loaded")?;
    }
    match &found.holder {
        Some(holder) => {
            let process = &holder.process;
            writeln!(text, "    process  {} ({})", process.name, process.id)?;
            writeln!(text, "    owner    {}", owner(holder))?;
            if holder.is_open_to_others() && !holder.forwards {
                writeln!(text, "    note     it listens on {}: other machines may reach it", bound(holder))?;
            }
        }
        None => writeln!(text, "    process  not to be seen: of another user, or the system passes the port on")?,
    }
    if let Some(name) = &server.configured {
        writeln!(text, "    target   {name} in the configuration already")?;
    }
    Ok(())
}

fn bound(holder: &PortHolder) -> String {
    match holder.bound.map(|bound| bound.ip()) {
        Some(ip) if !ip.is_unspecified() => ip.to_string(),
        Some(ip) => format!("all addresses ({ip})"),
        None => "all addresses".into(),
    }
}

fn owner(holder: &PortHolder) -> String {
    if holder.forwards {
        return "it only forwards the port to a server elsewhere: watched, never mended".into();
    }
    whose(&holder.owner)
}

/// What is at one place that was looked at.
pub(super) fn seen_in_words(looked: &Looked) -> String {
    let by = looked.holder.as_ref().map(|holder| format!("{} ({})", holder.process.name, holder.process.id));
    let by_whom = by.clone().map(|by| format!(": {by}")).unwrap_or_default();
    match &looked.seen {
        Seen::Nobody => "nobody listens".into(),
        Seen::Backend => format!("a model server{by_whom}"),
        Seen::Stranger => match &looked.named_by {
            Some(backend) => {
                format!(
                    "answers, and no rule of a plugin holds{by_whom}, by its name {backend}'s server: it may want a key"
                )
            }
            None => format!("answers, and no plugin knows it{by_whom}"),
        },
        Seen::Silent => format!("takes connections and answers nothing{by_whom}"),
        Seen::Engine(engine) => {
            let by = by.unwrap_or_else(|| "a process".into());
            match engine.server {
                Some(server) => format!("{by} is an engine of {} ({server}), and no server of its own", engine.backend),
                None => format!("{by} is an engine that {} left behind", engine.backend),
            }
        }
    }
}

fn in_json(server: &Server) -> Value {
    let found = &server.found;
    let identity =
        |who: &Identity| json!({"backend": who.backend, "confidence": who.confidence, "variant": who.variant});
    json!({
        "name": server.name,
        "url": found.url.as_str().trim_end_matches('/'),
        "address": found.address,
        "also": found.also,
        "identity": found.identity.as_ref().map(identity),
        "candidates": found.candidates.iter().map(identity).collect::<Vec<_>>(),
        "label": server.label,
        "version": server.version,
        "models": server.models.map(|(all, loaded)| json!({"known": all, "loaded": loaded})),
        "process": found.holder.as_ref().map(holder_in_json),
        "one_of_two": found.is_one_of_two,
        "configured": server.configured,
    })
}

fn holder_in_json(holder: &PortHolder) -> Value {
    json!({
        "pid": holder.process.id.pid,
        "name": holder.process.name,
        "exe": holder.process.exe,
        "command": holder.command(),
        "bound": holder.bound,
        "owner": holder.owner,
        "owner_text": owner(holder),
        "forwarder": holder.forwards,
    })
}

fn looked_in_json(looked: &Looked) -> Value {
    let seen = match &looked.seen {
        Seen::Nobody => "nobody",
        Seen::Stranger => "stranger",
        Seen::Silent => "silent",
        Seen::Backend => "backend",
        Seen::Engine(_) => "engine",
    };
    json!({
        "address": looked.address,
        "seen": seen,
        "text": seen_in_words(looked),
        "process": looked.holder.as_ref().map(holder_in_json),
    })
}
