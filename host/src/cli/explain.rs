//! `ai-monitor explain [ID]`: the story of an incident, read from the journal, whether or not the monitor runs.

use std::process::ExitCode;

use anyhow::bail;

use crate::{
    config::{self, Flags},
    journal::Journal,
};

pub(super) fn explain(flags: &Flags, id: Option<i64>) -> anyhow::Result<ExitCode> {
    let data = config::places(flags).data;
    if !Journal::exists(&data) {
        say!("Nothing has been watched yet: there is no journal in {}.", data.display());
        say!("Another data folder is named by --data-dir DIR.");
        return Ok(ExitCode::SUCCESS);
    }
    let journal = Journal::open_read_only(&data)?;
    let newest = journal.newest()?;
    let Some(id) = id.or(newest) else {
        say!("No incident yet. The journal is in {}.", data.display());
        say!("What is only observed opens none: see ai-monitor status.");
        return Ok(ExitCode::SUCCESS);
    };
    match journal.explain(id) {
        Some(text) => {
            show!("{text}");
            Ok(ExitCode::SUCCESS)
        }
        None => match newest {
            Some(newest) => bail!("there is no incident #{id}; the newest is #{newest}"),
            None => bail!("there is no incident #{id}: none was opened yet"),
        },
    }
}
