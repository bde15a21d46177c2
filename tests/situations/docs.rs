//! The tables of `docs/backends.md` are the table of [`super::table`], which the other tests prove.

use std::{fmt::Write, fs, path::Path};

use super::table::{Situation, TABLE, cell};

/// Set it to have the page's tables written anew.
const WRITE: &str = "END_TO_END_WRITE_DOCS";

/// What users see of a server that is well, or at work.
const WORKING: &[Situation] = &[
    Situation::Idle,
    Situation::Loading,
    Situation::Busy,
    Situation::Stalled,
    Situation::Silent,
    Situation::ModelMissing,
];

/// What users see of a server that answers wrongly.
const BROKEN: &[Situation] = &[
    Situation::Unauthorised,
    Situation::AnotherServer,
    Situation::Errors,
    Situation::HalfAnAnswer,
    Situation::WrongTypes,
    Situation::SlowDrip,
    Situation::ResetConnection,
];

#[test]
fn the_page_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/backends.md");
    let page = fs::read_to_string(&path).expect("docs/backends.md");
    let mut right = page.clone();
    for (name, table) in [("working", shown(WORKING)), ("broken", shown(BROKEN)), ("seen", seen()), ("blind", blind())]
    {
        right = replaced(&right, name, &table);
    }
    if right != page && std::env::var_os(WRITE).is_some() {
        fs::write(&path, &right).expect("docs/backends.md");
    } else if right != page {
        panic!("docs/backends.md does not say what the table says: run this test again with {WRITE}=1");
    }
}

/// Each row of the table has one cell for each situation.
#[test]
fn every_backend_has_every_situation() {
    for row in TABLE {
        let all = WORKING.iter().chain(BROKEN);
        assert_eq!(row.cells.len(), all.clone().count(), "{}", row.name);
        for situation in all {
            // It fails where there is none.
            let _ = cell(row.name, *situation);
        }
    }
}

/// The page with what stands between `<!-- NAME -->` and `<!-- /NAME -->` replaced.
fn replaced(page: &str, name: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no {begin:?} in docs/backends.md"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no {end:?} in docs/backends.md"));
    format!("{before}{begin}{table}{end}{after}")
}

/// Backends down, situations across.
fn shown(situations: &[Situation]) -> String {
    let mut table = head(std::iter::once("").chain(situations.iter().map(|s| s.label())));
    for row in TABLE {
        let cells = situations.iter().map(|situation| {
            let cell = cell(row.name, *situation);
            let mark = if cell.blind.is_some() { " ¹" } else { "" };
            format!("`{}`{mark}", cell.shows)
        });
        line(&mut table, std::iter::once(row.label.to_owned()).chain(cells));
    }
    table
}

/// What the plugins report, where all is well.
fn seen() -> String {
    let mut table =
        head(["", "models, idle", "work, idle", "models, loading", "work, loading", "work, busy"].into_iter());
    for row in TABLE {
        let told = |situation, depth: usize| {
            let told = cell(row.name, situation).sees[depth];
            if told.is_empty() { "–".to_owned() } else { told.to_owned() }
        };
        let cells = [
            row.label.to_owned(),
            told(Situation::Idle, 1),
            told(Situation::Idle, 2),
            told(Situation::Loading, 1),
            told(Situation::Loading, 2),
            told(Situation::Busy, 2),
        ];
        line(&mut table, cells.into_iter());
    }
    table
}

/// What no backend of the kind can tell, with the reason.
fn blind() -> String {
    let mut table = head(["", "in which situation", "shown as", "because"].into_iter());
    for row in TABLE {
        let mut reasons: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
        for situation in WORKING.iter().chain(BROKEN) {
            let cell = cell(row.name, *situation);
            let Some(reason) = cell.blind else { continue };
            let told = (situation.label(), cell.shows);
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, all)) => all.push(told),
                None => reasons.push((reason, vec![told])),
            }
        }
        for (reason, told) in reasons {
            let situations: Vec<&str> = told.iter().map(|(label, _)| *label).collect();
            let mut shown: Vec<String> = told.iter().map(|(_, shows)| format!("`{shows}`")).collect();
            shown.dedup();
            let cells = [row.label.to_owned(), situations.join(", "), shown.join(", "), reason.to_owned()];
            line(&mut table, cells.into_iter());
        }
    }
    table
}

fn head<'a>(names: impl Iterator<Item = &'a str> + Clone) -> String {
    let mut table = String::new();
    line(&mut table, names.clone().map(str::to_owned));
    line(&mut table, names.map(|_| "---".to_owned()));
    table
}

fn line(table: &mut String, cells: impl Iterator<Item = String>) {
    let cells: Vec<String> = cells.collect();
    let _ = writeln!(table, "| {} |", cells.join(" | "));
}
