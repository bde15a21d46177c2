//! Which keys each table has, and what is said of one that it does not have.

use super::{
    problem::{Problem, Problems},
    tree::{Path, Table},
};

/// The keys of one kind of table.
pub struct Keys {
    /// As it is written: `[defaults]`.
    pub table: &'static str,
    pub known: &'static [&'static str],
    /// Known, but not built yet.
    pub later: &'static [&'static str],
}

pub const ROOT: Keys = Keys { table: "the file", known: &["api", "defaults", "tags", "target"], later: &[] };
pub const API: Keys = Keys { table: "[api]", known: &["listen"], later: &["token", "tls"] };
pub const DEFAULTS: Keys = Keys {
    table: "[defaults]",
    known: &["check_interval", "timeout", "policy", "stall_after", "heal"],
    later: &["shadow"],
};
pub const TAG: Keys = Keys { table: "[tags.TAG]", known: DEFAULTS.known, later: DEFAULTS.later };
pub const TARGET: Keys = Keys {
    table: "[[target]]",
    known: &[
        "name",
        "backend",
        "url",
        "enabled",
        "tags",
        "models",
        "check_interval",
        "timeout",
        "policy",
        "stall_after",
        "process",
        "inference",
        "heal",
        "settings",
        "auth",
    ],
    later: &["depends_on", "shadow"],
};
pub const PROCESS: Keys = Keys {
    table: "[target.process]",
    known: &["command", "env", "autostart"],
    later: &["unit", "container", "service"],
};
pub const INFERENCE: Keys = Keys { table: "[target.inference]", known: &["every", "model", "timeout"], later: &[] };
pub const AUTH: Keys = Keys { table: "[target.auth]", known: &["bearer_env", "bearer_file"], later: &[] };
/// Any other key of a `heal` table is a setting of the policy, checked against what the policy declares.
pub const HEAL: Keys = Keys {
    table: "[target.heal]",
    known: &[
        "grace",
        "attempts",
        "attempts_window",
        "repairs",
        "repairs_window",
        "backoff",
        "backoff_max",
        "steady",
        "auto",
        "ask",
        "allow",
        "escalate",
        "quiet",
        "patience",
        "dry_run",
        "at_once",
    ],
    later: &["ask_within", "windows", "upkeep_every", "other_port"],
};

const ALL: &[&Keys] = &[&API, &DEFAULTS, &TARGET, &PROCESS, &INFERENCE, &AUTH, &HEAL];

/// Names every key of the table that is unknown or not built yet.
pub fn check(table: &Table, keys: &Keys, problems: &Problems) {
    for (key, node) in table {
        if keys.later.contains(&key.as_str()) {
            problems.push(later(&node.path));
        } else if !keys.known.contains(&key.as_str()) {
            problems.push(unknown(&node.path, keys));
        }
    }
}

/// A key that the design has and this build has not.
pub fn later(path: &Path) -> Problem {
    let key = path.last().map_or("", String::as_str);
    Problem::key(path, format!("`{key}` is known, but not built yet")).help("leave it out for now")
}

fn unknown(path: &Path, keys: &Keys) -> Problem {
    let key = path.last().map_or("", String::as_str);
    let mut problem = Problem::key(path, format!("unknown key `{key}` in {}", keys.table));
    if let Some(near) = nearest(key, keys.known.iter().copied()) {
        problem = problem.help(format!("did you mean `{near}`?"));
    } else if let Some(home) = ALL.iter().find(|k| k.known.contains(&key)) {
        problem = problem.help(format!("`{key}` belongs into {}", home.table));
    }
    problem.help(format!("known keys of {}: {}", keys.table, keys.known.join(", ")))
}

/// The known name that was probably meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(name, k), k))
        .filter(|(distance, k)| *distance <= (k.len().max(name.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}
