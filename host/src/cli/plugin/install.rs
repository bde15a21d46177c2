//! `ai-monitor plugin install PATH`: shows what a plugin may ask for and, with a yes, puts it into the folder.

use std::{
    io::{Seek, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use ai_monitor_plugin_api::manifest::Manifest;
use anyhow::{Context, bail};
use serde_json::json;

use super::{question, source, way::Way};
use crate::{
    cli::client::Client,
    config::Flags,
    plugin::{
        Grants, PluginState, PluginView, Problem, Refusal, Store, folder, text::plain, try_library, unknown_keys,
    },
};

/// A running monitor takes the library up within this, or says why not.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(60);
/// Between two questions to it.
const ASKED_EVERY: Duration = Duration::from_millis(200);

pub(super) async fn install(
    flags: &Flags,
    library: &Path,
    manifest_file: Option<&Path>,
    yes: bool,
) -> anyhow::Result<ExitCode> {
    if !library.is_file() {
        bail!("{}", source::why_no_library(library));
    }
    source::must_be_library(library)?;
    if !folder::is_librarys_name(library) {
        let endings = folder::ENDINGS.map(|ending| format!(".{ending}")).join(", ");
        bail!("{} would not be seen in the plugin folder: a library's name ends in {endings}", library.display());
    }
    // Read once: what is installed is what was shown.
    let (manifest, manifest_text) = read_manifest(library, manifest_file)?;
    let way = Way::of(flags)?;
    let all = way.all().await?;
    let place = match &way {
        Way::Monitor { .. } => PathBuf::from(&all.folder),
        Way::Unattended(places) => places.plugins.clone(),
    };
    let asks = Grants::of(&manifest);
    say!("{} {} ({}) may ask a target:", manifest.id, manifest.version, manifest.label);
    show!("{}", question::lines(&asks));
    say_unknown_keys(&manifest_text, &manifest);
    let before = all.one(&manifest.id).cloned();
    if let Some(before) = &before {
        say!("{}", in_place_of(before, &asks));
        if before.library.is_some() && is_lower(&manifest.version, &before.version) {
            say!("That is a step back, from version {} to {}.", before.version, manifest.version);
        }
    }
    if !question::yes(&format!("Install it into {}?", place.display()), yes)? {
        bail!("nothing was installed");
    }
    must_load(library, &manifest).await?;
    let placed = put(library, &manifest_text, &place)?;
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
        Way::Monitor { client, .. } => taken_up(&way, client, &manifest, &asks, &placed).await,
    }
}

/// Only now, with a yes, the library is opened; and before it takes the place of one that works.
async fn must_load(library: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    match try_library(&source::absolute(library)?, manifest).await {
        // No fault of the plugin's. It is tried again where it is used.
        Ok(()) | Err(Refusal::NotStarted { .. }) => Ok(()),
        Err(refusal) => {
            bail!("{}: {refusal}; nothing was installed. What to do: {}", library.display(), refusal.remedy())
        }
    }
}

/// A misspelled key is no error, for a newer contract may have it; but who misspelled it wants to hear of it.
pub(super) fn say_unknown_keys(text: &[u8], manifest: &Manifest) {
    for key in unknown_keys(text, manifest) {
        say!("note: the manifest has {}, which this ai-monitor does not know: it has no effect", plain(&key));
    }
}

fn read_manifest(library: &Path, named: Option<&Path>) -> anyhow::Result<(Manifest, Vec<u8>)> {
    let file = named.map_or_else(|| folder::manifest_of(library), Path::to_owned);
    folder::read_manifest_and_text(&file).map_err(|refusal| match (&refusal, named) {
        (Refusal::NoManifest { .. }, Some(named)) => {
            anyhow::anyhow!("there is no file {}, which --manifest names", named.display())
        }
        (Refusal::NoManifest { .. }, None) => anyhow::anyhow!(
            "{}: {refusal}. What to do: put the plugin's manifest there, or say where it is: --manifest FILE",
            library.display()
        ),
        _ => anyhow::anyhow!("{}: {refusal}. What to do: {}", library.display(), refusal.remedy()),
    })
}

/// Where both are numbers between dots. A version is its author's own, and may be any text.
fn is_lower(new: &str, old: &str) -> bool {
    let numbers = |version: &str| version.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>();
    matches!((numbers(new), numbers(old)), (Some(new), Some(old)) if new < old)
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

/// A library in the folder.
struct Placed {
    library: PathBuf,
    /// SHA-256 of its bytes: it tells it from what was there before.
    hash: String,
}

/// Puts both there, each whole at once: the manifest first, so that a library never stands without its own.
fn put(library: &Path, manifest: &[u8], place: &Path) -> anyhow::Result<Placed> {
    std::fs::create_dir_all(place).with_context(|| format!("{} cannot be made", place.display()))?;
    let target = place.join(library.file_name().context("the path names no file")?);
    let beside = target.with_extension("json");
    copy(&mut &*manifest, &beside, 0o644).with_context(|| format!("{} cannot be written", beside.display()))?;
    let hash = std::fs::File::open(library).and_then(|mut from| copy(&mut from, &target, 0o755));
    let hash = hash.with_context(|| format!("{} cannot be copied to {}", library.display(), target.display()))?;
    Ok(Placed { library: target, hash })
}

/// Gives the hash of what was written.
fn copy(from: &mut impl std::io::Read, to: &Path, mode: u32) -> std::io::Result<String> {
    let folder = to.parent().unwrap_or(Path::new("."));
    let mut new = tempfile::Builder::new().prefix(".").suffix(".new").tempfile_in(folder)?;
    std::io::copy(from, &mut new)?;
    new.flush()?;
    new.rewind()?;
    let hash = folder::hash(&mut new)?;
    #[cfg(unix)]
    new.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    #[cfg(not(unix))]
    let _ = mode;
    new.as_file().sync_all()?;
    new.persist(to).map_err(|error| error.error)?;
    Ok(hash)
}

/// Asks the running monitor until it has looked at these very bytes, and consents to what was shown here.
async fn taken_up(
    way: &Way,
    client: &Client,
    manifest: &Manifest,
    asks: &Grants,
    placed: &Placed,
) -> anyhow::Result<ExitCode> {
    let until = tokio::time::Instant::now() + TAKEN_UP_WITHIN;
    let name = format!("{} {}", manifest.id, manifest.version);
    let not_used = |problem: &Problem| {
        anyhow::anyhow!("{name} was copied, and is not used: {}. What to do: {}", problem.text, problem.remedy)
    };
    loop {
        let all = way.all().await?;
        if all.safe_mode {
            say!("{name} is installed, and will be loaded when ai-monitor runs without --safe-mode.");
            return Ok(ExitCode::SUCCESS);
        }
        let is_it = |file: &str, hash: Option<&str>| Path::new(file) == placed.library && hash == Some(&placed.hash);
        let plugin = all.one(&manifest.id);
        let plugin = plugin.filter(|p| is_it(p.library.as_deref().unwrap_or_default(), p.library_hash.as_deref()));
        if let Some(plugin) = plugin {
            match said_of(plugin, asks) {
                Said::InUse => {
                    say!("{name} is in use.");
                    return Ok(ExitCode::SUCCESS);
                }
                Said::Asks(more) => {
                    Way::post(client, &manifest.id, "consent", json!({ "asks_for": more })).await?;
                    continue;
                }
                Said::Not(problem) => return Err(not_used(problem)),
                Said::NotYet => {}
            }
        } else if let Some(file) = all.files.iter().find(|file| is_it(&file.file, file.hash.as_deref())) {
            return Err(not_used(&file.problem));
        }
        if tokio::time::Instant::now() >= until {
            bail!("{name} was copied, and is not in use yet; see: ai-monitor plugin list");
        }
        tokio::time::sleep(ASKED_EVERY).await;
    }
}

/// What a monitor says of a plugin whose new file it has looked at.
enum Said<'a> {
    InUse,
    /// For more than was granted before, all of which was shown here.
    Asks(&'a Grants),
    Not(&'a Problem),
    NotYet,
}

fn said_of<'a>(plugin: &'a PluginView, shown: &Grants) -> Said<'a> {
    if let Some(more) = plugin.asks_for.as_ref().filter(|more| shown.missing(more).is_empty()) {
        return Said::Asks(more);
    }
    if let Some(problem) = &plugin.problem {
        return Said::Not(problem);
    }
    match plugin.state {
        PluginState::Loading | PluginState::BackingOff => Said::NotYet,
        _ if plugin.in_use_hash == plugin.library_hash => Said::InUse,
        _ => Said::NotYet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::{PluginsView, view_unattended};

    fn plugin() -> PluginView {
        let nowhere = tempfile::tempdir().unwrap();
        let all: PluginsView = view_unattended(nowhere.path(), nowhere.path()).unwrap();
        let hash = Some("new".to_owned());
        PluginView { library_hash: hash, in_use_hash: Some("old".into()), ..all.one("ollama").unwrap().clone() }
    }

    #[test]
    fn an_older_file_in_use_is_not_taken_for_the_new_one() {
        let asks = Grants::default();
        assert!(matches!(said_of(&plugin(), &asks), Said::NotYet), "the same version, and another file");
        let new = PluginView { in_use_hash: Some("new".into()), ..plugin() };
        assert!(matches!(said_of(&new, &asks), Said::InUse));
        let failing = PluginView { state: PluginState::BackingOff, ..new };
        assert!(matches!(said_of(&failing, &asks), Said::NotYet), "it is seen what becomes of it");
        let problem = crate::plugin::Refusal::NoEntry.problem();
        let refused = PluginView { problem: Some(problem), ..plugin() };
        assert!(matches!(said_of(&refused, &asks), Said::Not(problem) if problem.code == "no_entry"));
    }

    #[test]
    fn a_step_back_is_seen_where_versions_are_numbers() {
        for (new, old, lower) in [
            ("0.9.0", "0.10.0", true),
            ("1", "2", true),
            ("1.0", "1.0.1", true),
            ("1.0", "1.0", false),
            ("2.0", "1.9.9", false),
            ("1.0-beta", "2", false),
            ("green", "red", false),
        ] {
            assert_eq!(is_lower(new, old), lower, "{new} after {old}");
        }
    }

    #[test]
    fn what_is_installed_is_what_was_read_and_named_by_its_bytes() {
        let (from, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let library = from.path().join("mine.so");
        std::fs::write(&library, "code").unwrap();
        let placed = put(&library, b"{}", place.path()).unwrap();
        assert_eq!(placed.library, place.path().join("mine.so"));
        assert_eq!(placed.hash, folder::hash(&mut &b"code"[..]).unwrap());
        assert_eq!(std::fs::read(place.path().join("mine.json")).unwrap(), b"{}");
    }
}
