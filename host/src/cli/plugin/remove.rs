//! `ai-monitor plugin remove ID`: takes a plugin's files out of the folder.

use std::{path::Path, process::ExitCode};

use anyhow::{Context, bail};

use super::{question, way::Way};
use crate::{config::Flags, plugin::folder};

pub(super) async fn remove(flags: &Flags, id: &str, yes: bool) -> anyhow::Result<ExitCode> {
    let plugin = Way::of(flags)?.one(id).await?;
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
    say!("{id} is removed.");
    Ok(ExitCode::SUCCESS)
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
