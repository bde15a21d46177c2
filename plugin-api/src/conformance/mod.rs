//! The conformance kit: every rule and duty of the contract as a named test, over any plugin's table.
//!
//! In a plugin's own tests:
//!
//! ```ignore
//! #[test]
//! fn keeps_the_contract() {
//!     Kit::new(&my_plugin::PLUGIN).recordings_in("tests/sessions").assert();
//! }
//! ```
//!
//! `ai-monitor plugin check` runs the same rules over a library, in processes of their own. The kit plays a backend
//! that answers well, then badly in every way of the contract, then with one place of one answer wrong and all else
//! right. It knows no backend's answers but those of the recordings that it is given, and what the manifest's
//! `identify` says of them: without a recording of an inference, say, it cannot get so deep. Which routes it did not
//! get to is told by [`REACH`]. A rule that was not put to the test is told as [`Verdict::DoesNotApply`], never as
//! passed.

mod base;
mod calls;
mod corpus;
mod drive;
mod duties;
mod effects;
mod fuzz;
mod identify;
mod manifest;
mod places;
mod play;
mod purity;
mod reach;
mod repairs;
mod reports;
mod rng;
mod schema;
mod settings;
mod table;
mod tolerance;
mod world;

#[cfg(test)]
mod tests;

use std::{fmt, io::Write as _, path::Path};

use crate::{event::Event, manifest::Manifest, recording::Recording, table::AimPlugin};
pub use calls::stuck;
use play::Scene;
pub use reach::REACH;

/// The seed where none is given: a run is the same each time.
pub const SEED: u64 = 1;
/// How many sessions the fuzzer plays where no number is given.
pub const FUZZED: u32 = 500;

/// One rule of the contract.
pub struct Rule {
    /// `routes_are_granted`
    pub name: &'static str,
    /// The rule, in a line.
    pub says: &'static str,
    /// Where the contract has it: `2, routes`. [`Rule::place`] says it for people.
    pub section: &'static str,
    test: Test,
}

/// The headings of contract.md's sections, from the first.
const SECTIONS: [&str; 8] = [
    "The function table",
    "The manifest",
    "Events",
    "Effects",
    "The report of a probe",
    "The report of a repair",
    "Worked",
    "What becomes of it",
];

impl Rule {
    /// Where it stands, for people: `docs/plugins/contract.md, section 2 (The manifest): routes`.
    pub fn place(&self) -> String {
        let (first, rest) = match self.section.split_once(", ") {
            Some((first, rest)) => (first, format!(": {rest}")),
            None => (self.section, String::new()),
        };
        let title = first.parse().ok().and_then(|number: usize| SECTIONS.get(number.checked_sub(1)?));
        match title {
            Some(title) => format!("docs/plugins/contract.md, section {first} ({title}){rest}"),
            None if first == "promise" => format!("docs/plugins/promise.md{rest}"),
            None => format!("docs/plugins/contract.md, {first} of the five at its top{rest}"),
        }
    }

    /// Whether it looks at the sessions that others look at, too: together they are played once.
    pub fn shares_its_sessions(&self) -> bool {
        matches!(self.test, Test::Each { .. })
    }
}

/// How a rule is tested.
enum Test {
    /// By itself.
    Once(fn(&Kit) -> Verdict),
    /// On every session that the kit plays. `Ok(false)`: this session says nothing about it.
    Each {
        check: fn(&Scene<'_>) -> Result<bool, String>,
        /// Why it may be that no session says anything about it.
        unless: &'static str,
    },
}

/// What came of testing a rule.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// How much was looked at: `2412 sessions`.
    Passed(String),
    Failed {
        why: String,
        /// The session that shows it, as a file to replay.
        session: Option<Box<Recording>>,
    },
    /// It could not be put to the test, and why.
    DoesNotApply(String),
}

impl Verdict {
    fn failed(why: impl Into<String>) -> Verdict {
        Verdict::Failed { why: why.into(), session: None }
    }

    fn of(result: Result<String, String>) -> Verdict {
        match result {
            Ok(looked_at) => Verdict::Passed(looked_at),
            Err(why) => Verdict::failed(why),
        }
    }
}

/// A plugin under test.
pub struct Kit {
    table: *const AimPlugin,
    file: Option<Vec<u8>>,
    recordings: Vec<Recording>,
    seed: u64,
    fuzzed: u32,
    alone: bool,
    everywhere: bool,
}

// SAFETY: the pointer is to immutable data that lives for ever.
unsafe impl Send for Kit {}
// SAFETY: as above.
unsafe impl Sync for Kit {}

impl Kit {
    /// For a plugin that is linked in.
    pub fn new(table: &'static AimPlugin) -> Kit {
        // SAFETY: a reference is a pointer to a whole table, and this one lives for ever.
        unsafe { Kit::from_pointer(table) }
    }

    /// For a plugin of a library.
    ///
    /// # Safety
    /// `table` must point to a table of the contract that lives for ever; where its `abi` differs from this crate's,
    /// only these first four bytes need to be readable.
    pub unsafe fn from_pointer(table: *const AimPlugin) -> Kit {
        Kit { table, file: None, recordings: Vec::new(), seed: SEED, fuzzed: FUZZED, alone: false, everywhere: false }
    }

    /// The bytes of the manifest beside the library.
    pub fn file(mut self, manifest: Vec<u8>) -> Kit {
        self.file = Some(manifest);
        self
    }

    /// Sessions of the real backend: what the kit's own backend answers.
    pub fn recordings(mut self, recordings: impl IntoIterator<Item = Recording>) -> Kit {
        self.recordings.extend(recordings);
        self
    }

    /// All `*.jsonl` of a folder; in a plugin's tests relative to its crate.
    ///
    /// # Panics
    /// Where the folder or a file of it cannot be read.
    pub fn recordings_in(self, folder: impl AsRef<Path>) -> Kit {
        let recordings = read_folder(folder.as_ref()).into_iter().map(|(_, recording)| recording);
        self.recordings(recordings)
    }

    /// Of the fuzzer; [`SEED`] if not set. The same seed plays the same sessions.
    pub fn seed(mut self, seed: u64) -> Kit {
        self.seed = seed;
        self
    }

    /// How many sessions the fuzzer plays; [`FUZZED`] if not set.
    pub fn fuzzed(mut self, sessions: u32) -> Kit {
        self.fuzzed = sessions;
        self
    }

    /// Nothing else runs in this process: its memory and its clock can be measured.
    pub fn alone(mut self) -> Kit {
        self.alone = true;
        self
    }

    /// The recordings must lead to every route of the manifest, each with a good answer that the plugin takes for the
    /// backend's; the kit's own answers do not count. Then [`Kit::assert`] fails where a new route comes without a
    /// session.
    pub fn recordings_lead_everywhere(mut self) -> Kit {
        self.everywhere = true;
        self
    }

    /// The events of sessions in which all goes well: for who plays them elsewhere, such as in a sandbox. The error
    /// says why there are none.
    pub fn sessions(&self) -> Result<Vec<Vec<Event>>, String> {
        purity::sessions(self)
    }

    /// All rules, in the order of the contract.
    pub fn rules() -> impl Iterator<Item = &'static Rule> {
        [
            table::RULES,
            manifest::RULES,
            purity::RULES,
            effects::RULES,
            tolerance::RULES,
            reports::RULES,
            duties::RULES,
            repairs::RULES,
            settings::RULES,
            fuzz::RULES,
            reach::RULES,
        ]
        .into_iter()
        .flatten()
    }

    /// Puts one rule to the test.
    pub fn test(&self, rule: &Rule) -> Verdict {
        match &rule.test {
            Test::Once(test) => test(self),
            Test::Each { check, unless } => corpus::test(self, &[(*check, *unless)]).remove(0),
        }
    }

    /// Puts all rules to the test: each session is played once for all that look at sessions.
    pub fn run(&self) -> Vec<(&'static Rule, Verdict)> {
        let rules: Vec<&'static Rule> = Kit::rules().collect();
        let verdicts = self.test_all(&rules);
        rules.into_iter().zip(verdicts).collect()
    }

    /// Puts some rules to the test: each session is played once for all that look at sessions. One verdict for each,
    /// in order.
    pub fn test_all(&self, rules: &[&'static Rule]) -> Vec<Verdict> {
        let each: Vec<_> = rules
            .iter()
            .filter_map(|rule| match rule.test {
                Test::Each { check, unless } => Some((check, unless)),
                Test::Once(_) => None,
            })
            .collect();
        let mut of_sessions = if each.is_empty() { Vec::new() } else { corpus::test(self, &each) }.into_iter();
        rules
            .iter()
            .map(|rule| match rule.test {
                Test::Once(test) => test(self),
                Test::Each { .. } => of_sessions.next().unwrap_or_else(|| Verdict::failed("was not tested")),
            })
            .collect()
    }

    /// Puts all rules to the test, for `cargo test`. Where its answers did not lead is written to standard error, also
    /// of a test that passes.
    ///
    /// # Panics
    /// With all that failed, if any did.
    pub fn assert(&self) {
        let verdicts = self.run();
        for (rule, verdict) in &verdicts {
            if let (REACH, Verdict::DoesNotApply(text)) = (rule.name, verdict) {
                // Not by `eprintln!`, which a test that passes keeps to itself. Nobody is left to be told of an error.
                let _ = writeln!(std::io::stderr(), "NOT TESTED: {text}.");
            }
        }
        let failed: Vec<String> = verdicts
            .into_iter()
            .filter_map(|(rule, verdict)| match verdict {
                Verdict::Failed { why, session } => {
                    let session = session.map(|session| format!("\n{}", indented(&session.to_text())));
                    let session = session.unwrap_or_default();
                    Some(format!("{}: {} ({})\n    {why}{session}", rule.name, rule.says, rule.place()))
                }
                _ => None,
            })
            .collect();
        let unled = if self.everywhere { reach::by_recordings(self) } else { Vec::new() };
        assert!(
            unled.is_empty(),
            "the recordings alone do not lead to every route of the manifest: give the kit one of each\n{}",
            unled.join("\n")
        );
        assert!(failed.is_empty(), "{} rules of the contract are broken:\n\n{}", failed.len(), failed.join("\n\n"));
    }

    /// The table, if it is of this crate's ABI and complete: else nothing of it may be called.
    fn usable(&self) -> Option<&'static AimPlugin> {
        table::usable(self.table)
    }

    /// The manifest's bytes, as the plugin writes them.
    fn manifest_bytes(&self) -> Result<Vec<u8>, String> {
        table::manifest_bytes(self.usable().ok_or("the table cannot be used")?)
    }

    /// The manifest, if it can be read at all.
    fn manifest(&self) -> Result<Manifest, String> {
        serde_json::from_slice(&self.manifest_bytes()?).map_err(|e| format!("the manifest cannot be read: {e}"))
    }

    /// What sessions need; without it no session can be played.
    fn ready(&self) -> Result<(&'static AimPlugin, Manifest), Verdict> {
        let table = self.usable().ok_or_else(|| unusable("the table cannot be used"))?;
        Ok((table, self.manifest().map_err(unusable)?))
    }
}

fn unusable(why: impl fmt::Display) -> Verdict {
    Verdict::DoesNotApply(format!("no session can be played: {why}"))
}

fn indented(text: &str) -> String {
    // A session of a large answer is no help on a terminal.
    const SHOWN: usize = 400;
    let lines = text.lines().map(|line| match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("    {}…\n", &line[..end]),
        None => format!("    {line}\n"),
    });
    lines.collect()
}

/// The session files of a folder with their names, in alphabetical order.
///
/// # Panics
/// Where the folder or a file of it cannot be read: it is for tests.
pub fn read_folder(folder: &Path) -> Vec<(String, Recording)> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let recording = Recording::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            (path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), recording)
        })
        .collect()
}
