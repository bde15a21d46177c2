//! `ai-monitor plugin install PATH`: shows what a plugin may ask for and, with a yes, puts it into the folder.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use ai_monitor_plugin_api::manifest::Manifest;
use anyhow::{Context, bail};
use serde_json::json;

use super::{question, way::Way};
use crate::{
    cli::client::Client,
    config::Flags,
    plugin::{Grants, PluginState, PluginView, Store, folder},
};

/// A running monitor takes the library up within this, or says why not.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(30);

pub(super) async fn install(
    flags: &Flags,
    library: &Path,
    manifest_file: Option<&Path>,
    yes: bool,
) -> anyhow::Result<ExitCode> {
    let manifest_file = manifest_file.map_or_else(|| folder::manifest_of(library), Path::to_owned);
    let manifest = folder::read_manifest(&manifest_file).map_err(|refusal| {
        anyhow::anyhow!("{}: {refusal}. What to do: {}", manifest_file.display(), refusal.remedy())
    })?;
    folder::check_platform(library)
        .map_err(|refusal| anyhow::anyhow!("{}: {refusal}. What to do: {}", library.display(), refusal.remedy()))?;
    let way = Way::of(flags)?;
    let place = match &way {
        Way::Monitor(_) => PathBuf::from(way.all().await?.folder),
        Way::Unattended(places) => places.plugins.clone(),
    };
    let asks = Grants::of(&manifest);
    say!("{} {} ({}) may ask a target:", manifest.id, manifest.version, manifest.label);
    show!("{}", question::lines(&asks));
    let before = way.all().await?.one(&manifest.id).cloned();
    if let Some(before) = &before {
        say!("{}", in_place_of(before, &asks));
    }
    if !question::yes(&format!("Install it into {}?", place.display()), yes)? {
        bail!("nothing was installed");
    }
    put(library, &manifest_file, &place)?;
    // Another file with its id would keep it out.
    let file = library.file_name().unwrap_or_default();
    if let Some(old) = before.and_then(|b| b.library).map(PathBuf::from).filter(|old| old.file_name() != Some(file)) {
        super::remove::take_out(&old)?;
    }
    match &way {
        Way::Unattended(places) => {
            Store::read(&places.data)?.change(&manifest.id, |kept| {
                kept.grants = Some(kept.grants.take().unwrap_or_default().with(&asks));
            })?;
            say!("{} {} is installed, and will be loaded when ai-monitor runs.", manifest.id, manifest.version);
            Ok(ExitCode::SUCCESS)
        }
        Way::Monitor(client) => taken_up(&way, client, &manifest, &asks).await,
    }
}

fn in_place_of(before: &PluginView, asks: &Grants) -> String {
    match &before.library {
        None => format!("It will be used in place of the bundled plugin {} {}.", before.id, before.version),
        Some(library) => {
            let more = before.granted.missing(asks);
            let more = if more.is_empty() { "nothing more than that".into() } else { format!("more: {more}") };
            format!("It replaces version {} in {library}, and asks for {more}.", before.version)
        }
    }
}

/// Copies both, each whole at once: the manifest first, so that a library never stands without its own.
fn put(library: &Path, manifest: &Path, place: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(place).with_context(|| format!("{} cannot be made", place.display()))?;
    let target = place.join(library.file_name().context("the path names no file")?);
    let files = [(manifest, target.with_extension("json"), 0o644), (library, target.clone(), 0o755)];
    for (from, to, mode) in files {
        copy(from, &to, mode).with_context(|| format!("{} cannot be copied to {}", from.display(), to.display()))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, mode: u32) -> std::io::Result<()> {
    let folder = to.parent().unwrap_or(Path::new("."));
    let mut new = tempfile::Builder::new().prefix(".").suffix(".new").tempfile_in(folder)?;
    std::io::copy(&mut std::fs::File::open(from)?, &mut new)?;
    new.flush()?;
    #[cfg(unix)]
    new.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    #[cfg(not(unix))]
    let _ = mode;
    new.as_file().sync_all()?;
    new.persist(to).map_err(|error| error.error)?;
    Ok(())
}

/// Waits until the running monitor uses it, and consents to what was shown here.
async fn taken_up(way: &Way, client: &Client, manifest: &Manifest, asks: &Grants) -> anyhow::Result<ExitCode> {
    let until = tokio::time::Instant::now() + TAKEN_UP_WITHIN;
    let name = format!("{} {}", manifest.id, manifest.version);
    while tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let Ok(plugin) = way.one(&manifest.id).await else { continue };
        let is_new = plugin.next_version.as_ref().unwrap_or(&plugin.version) == &manifest.version;
        if !is_new || plugin.library.is_none() {
            continue;
        }
        if let Some(more) = plugin.asks_for.as_ref().filter(|more| asks.missing(more).is_empty()) {
            Way::post(client, &manifest.id, "consent", json!({ "asks_for": more })).await?;
            continue;
        }
        if let Some(problem) = &plugin.problem {
            bail!("{name} was copied, and is not used: {}. What to do: {}", problem.text, problem.remedy);
        }
        if plugin.state == PluginState::Ready {
            say!("{name} is in use.");
            return Ok(ExitCode::SUCCESS);
        }
    }
    bail!("{name} was copied, and is not in use yet; see: ai-monitor plugin list")
}
