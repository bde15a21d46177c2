//! `ai-monitor plugin remove ID`: takes a plugin's files out of the folder.

use std::{path::Path, process::ExitCode, time::Duration};

use anyhow::{Context, bail};

use super::{question, way::Way};
use crate::{
    config::Flags,
    plugin::{PluginsView, folder},
};

/// A running monitor sees within this that the library is gone.
const LET_GO_WITHIN: Duration = Duration::from_secs(60);
/// Between two questions to it.
const ASKED_EVERY: Duration = Duration::from_millis(100);

pub(super) async fn remove(flags: &Flags, id: &str, yes: bool) -> anyhow::Result<ExitCode> {
    let way = Way::of(flags)?;
    let plugin = way.one(id).await?;
    let Some(library) = &plugin.library else {
        bail!("{id} is bundled: it is part of ai-monitor and cannot be removed");
    };
    let used = match plugin.targets.as_slice() {
        [] => String::new(),
        targets => format!(" {} will be unknown until a plugin {id} is there again.", targets.join(", ")),
    };
    if !question::yes(&format!("Remove {library}?{used}"), yes)? {
        bail!("nothing was removed");
    }
    take_out(Path::new(library))?;
    match &way {
        Way::Monitor { .. } if !let_go(&way, id, library).await? => {
            say!("{id} is removed; the monitor has not let it go yet, see: ai-monitor plugin list");
        }
        _ => say!("{id} is removed."),
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks the running monitor until it uses the library no more; `false`: it did not come to that.
async fn let_go(way: &Way, id: &str, library: &str) -> anyhow::Result<bool> {
    let until = tokio::time::Instant::now() + LET_GO_WITHIN;
    let has = |all: &PluginsView| all.one(id).is_some_and(|plugin| plugin.library.as_deref() == Some(library));
    loop {
        let all = way.all().await?;
        // In safe mode it uses no library, and looks at none.
        if all.safe_mode || !has(&all) {
            return Ok(true);
        }
        if tokio::time::Instant::now() >= until {
            return Ok(false);
        }
        tokio::time::sleep(ASKED_EVERY).await;
    }
}

/// The library first: a manifest alone is nothing.
pub(super) fn take_out(library: &Path) -> anyhow::Result<()> {
    let manifest = folder::manifest_of(library);
    for file in [library, &manifest] {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("{} cannot be removed", file.display()));
            }
            _ => {}
        }
    }
    Ok(())
}
