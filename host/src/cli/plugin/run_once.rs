//! `ai-monitor plugin run`: one probe or repair against a server, step by step.

use std::{
    collections::BTreeMap, fs, future::ready, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc,
    time::Duration,
};

use ai_monitor_plugin_api::{
    event::{Depth, InferenceAsk, Process},
    manifest::{self, Manifest},
    recording::{Header, RECORDING, Recording},
    table::CONTRACT,
};
use anyhow::{Context, bail};
use serde_json::{Map, Value};
use url::Url;

use super::{install, source::Source, trace::Traced};
use crate::{
    cli::run::plugins_known,
    config::{self, Flags},
    health::observation::SessionEnd,
    plugin::text::plain,
    probe::{
        http::{Driver, TargetClient},
        identify::{identify_by, tells_flavours},
        session::{ProbeAsk, RepairAsk},
    },
    process::{
        self,
        watch::{Wanted, Watch},
    },
};

#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct Args {
    /// A library, or the id of a bundled or an installed plugin
    #[arg(value_name = "PATH|ID")]
    plugin: String,
    /// The server, such as http://127.0.0.1:8080
    #[arg(long, value_parser = config::server_url)]
    url: Url,
    /// liveness, readiness, progress or inference
    #[arg(long, default_value = "liveness", value_parser = depth)]
    depth: Depth,
    /// The model to ask, with `--depth inference` [default: the first that is fit]
    #[arg(long)]
    model: Option<String>,
    /// A repair instead of a probe; it changes the server
    #[arg(long, conflicts_with = "depth", requires = "yes")]
    repair: Option<String>,
    /// An argument of the repair, such as model=tiny; may be given several times
    #[arg(long = "arg", value_name = "K=V", value_parser = pair)]
    args: Vec<(String, Value)>,
    /// A setting of the plugin; may be given several times
    #[arg(long, value_name = "K=V", value_parser = pair)]
    settings: Vec<(String, Value)>,
    /// The flavour of the backend [default: where the plugin tells flavours, the server is identified first]
    #[arg(long)]
    variant: Option<String>,
    /// Yes, let the repair change the server
    #[arg(long)]
    yes: bool,
    /// Write the session file. The target's authorisation is never in it; what the server answers is
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// What the session file is to show, for its header
    #[arg(long, default_value = "")]
    shows: String,
    /// The backend and its version, for the session file's header
    #[arg(long, default_value = "")]
    backend: String,
}

fn depth(text: &str) -> Result<Depth, String> {
    let all = Depth::ALL.map(Depth::as_str);
    Depth::ALL.into_iter().find(|depth| depth.as_str() == text).ok_or_else(|| format!("there is {}", all.join(", ")))
}

/// `k=v`: the value is JSON where it reads as such, else a text.
fn pair(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("write it as name=value")?;
    Ok((key.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
}

pub(super) async fn run(flags: &Flags, args: Args) -> anyhow::Result<ExitCode> {
    let source = Source::find(flags, &args.plugin).await?;
    let plugin = source.open().await?;
    let manifest = plugin.manifest().clone();
    if let Some(beside) = source.manifest_beside()? {
        compare(&beside, &manifest);
    }
    let settings = settings(&manifest, &args.settings)?;
    let (processes, addresses) = match processes(&args.url, &manifest) {
        Some((processes, addresses)) => (Some(processes), addresses),
        None => (None, BTreeMap::new()),
    };
    let client = Driver::new()?.target(&args.url, None);
    let (traced, log) = Traced::new(plugin.session().await?, false);
    say!("{} {} at {}", manifest.id, manifest.version, client.url());
    let variant = match &args.variant {
        None if tells_flavours(&manifest) => identified(flags, &client, &manifest).await,
        given => given.clone(),
    };
    let (end, report) = match &args.repair {
        None => {
            let Some(spec) = manifest.probes.get(&args.depth) else {
                bail!("{} has no depth {}; it has {}", manifest.id, args.depth, depths(&manifest));
            };
            let inference = (args.depth == Depth::Inference).then(|| InferenceAsk {
                model: args.model.clone(),
                prompt: "Say: ok".into(),
                max_tokens: 8,
                scheduled: false,
            });
            let ask = ProbeAsk {
                depth: args.depth,
                inference,
                deadline: Duration::from_millis(spec.deadline_ms),
                settings,
                variant,
                processes,
                addresses,
                answers: None,
            };
            let (end, report, _) = client.probe_by(&manifest, ready(Ok(traced)), ask).await;
            (end, report.map(serde_json::to_value).transpose()?)
        }
        Some(repair) => {
            let Some(spec) = manifest.repairs.get(repair) else {
                let has: Vec<&str> = manifest.repairs.keys().map(String::as_str).collect();
                bail!("{} has no repair {repair}; it has {}", manifest.id, listed(&has));
            };
            let ask = RepairAsk {
                repair: repair.clone(),
                args: args.args.iter().cloned().collect::<Map<_, _>>(),
                deadline: Duration::from_millis(spec.deadline_ms),
                settings,
                variant,
                processes,
                addresses,
            };
            let (end, report, ..) = client.repair_by(&manifest, ready(Ok(traced)), ask).await;
            (end, report.map(serde_json::to_value).transpose()?)
        }
    };
    if let Some(file) = &args.record {
        let recording = std::mem::take(&mut *log.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        fs::write(file, headed(recording, &manifest, &args).to_text())
            .with_context(|| format!("cannot write {}", file.display()))?;
        say!(
            "written: {}. The target's authorisation is not in it; look through what the server answered before you share it.",
            file.display()
        );
    }
    match (end, report) {
        (SessionEnd::Report, Some(report)) => {
            say!("{}", serde_json::to_string_pretty(&report)?);
            Ok(ExitCode::SUCCESS)
        }
        (end, _) => {
            say!("no report: {}", end.failure().unwrap_or_else(|| "it gave none".into()));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What the monitor will say of the manifest beside the library; here the library's own is used.
fn compare(beside: &[u8], own: &Manifest) {
    match manifest::read(beside).map(|file| (manifest::difference(&json(&file), &json(own)), file)) {
        Ok((None, file)) => install::say_unknown_keys(beside, &file),
        Ok((Some(at), _)) => say!(
            "note: the manifest beside the library says something else than the library at {}: ai-monitor would not load it. Put the manifest of this build beside it",
            plain(&at)
        ),
        Err(error) => say!("note: the manifest beside the library cannot be read: {}", plain(&error)),
    }
}

fn json(manifest: &Manifest) -> Value {
    serde_json::to_value(manifest).unwrap_or_default()
}

/// As a target's: nothing that the manifest does not know, and its defaults filled in.
fn settings(manifest: &Manifest, given: &[(String, Value)]) -> anyhow::Result<Map<String, Value>> {
    let given: Map<String, Value> = given.iter().cloned().collect();
    config::fit_settings(manifest, &given).map_err(|why| {
        let known = manifest.settings.as_ref().and_then(|schema| schema.get("properties")?.as_object());
        let known: Vec<&str> = known.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        anyhow::anyhow!("{why}\n  its settings: {}", listed(&known))
    })
}

/// The flavour that the rules of all plugins tell, as the monitor asks at first contact.
async fn identified(flags: &Flags, client: &TargetClient, manifest: &Arc<Manifest>) -> Option<String> {
    let mut all = plugins_known(flags).manifests();
    all.insert(manifest.id.clone(), manifest.clone());
    let found = identify_by(client, &all.values().map(|manifest| &**manifest).collect::<Vec<_>>()).await;
    let answered = found.answered;
    let Some(identity) = found.seen_as(&manifest.id) else {
        let who = if answered { "who answers is nobody that a plugin knows" } else { "nobody answers" };
        say!("not identified, so of no flavour: {who}");
        return None;
    };
    let flavour = identity.variant.as_ref().map(|variant| format!(", flavour {variant}")).unwrap_or_default();
    say!("identified as {}{flavour}", identity.backend);
    identity.variant
}

fn headed(recording: Recording, manifest: &Manifest, args: &Args) -> Recording {
    let header = Header {
        recording: RECORDING,
        plugin: manifest.id.clone(),
        version: manifest.version.clone(),
        contract: CONTRACT.into(),
        backend: args.backend.clone(),
        shows: args.shows.clone(),
        source: "recorded".into(),
    };
    Recording { header: Some(header), ..recording }
}

fn depths(manifest: &Manifest) -> String {
    let all: Vec<&str> = manifest.probes.keys().map(|depth| depth.as_str()).collect();
    listed(&all)
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// The target's processes as the monitor finds and shows them; `None`: they are not known.
fn processes(url: &Url, manifest: &Manifest) -> Option<(Vec<Process>, BTreeMap<String, SocketAddr>)> {
    let addresses = url.socket_addrs(|| None).ok()?.into_iter().filter(|address| process::is_local(address.ip()));
    let wanted = Wanted { addresses: addresses.collect(), command: None, spec: manifest.process.clone() };
    let mut watch = Watch::new(wanted);
    let mut seen = watch.refresh(true);
    // Whoever named the plugin said by that whose server it is.
    if let Some(holder) = watch.stranger().filter(|holder| !process::is_forwarder(holder)).cloned() {
        watch.adopt(holder);
        seen = watch.refresh(true);
    }
    seen.tree.map(|tree| watch.for_sessions(&tree))
}
