//! Every backend in every situation: what its plugin reports, and what the real monitor shows of it.
//!
//! A test is a column of the table in [`table`]: one server for each row, all brought into the same situation, and one
//! monitor that watches them all. What the table says is what users read in `docs/backends.md`.

mod docs;
mod seen;
mod subject;
mod table;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use self::{
    subject::Subject,
    table::{Cell, Situation},
};
use crate::{
    harness::{Bed, Monitor, Server, Tier, http::Open, isolated, say},
    simulators::{self, Simulator},
    test_name,
};

/// Until all targets are well, before anything goes wrong.
const WELL: Duration = Duration::from_secs(60);
/// Until all targets show what they are to show.
const SETTLED: Duration = Duration::from_secs(120);
/// Nothing else may be shown for so long: more than `stall_after`, so that nothing comes late.
const STAYS: Duration = Duration::from_secs(6);

/// A test for each column.
macro_rules! columns {
    ($($name:ident = $situation:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            isolated(test_name!($name), |isolation| play(&Bed::new(isolation), Situation::$situation, Tier::Demo));
        })*
    };
}

columns! {
    idle = Idle,
    loading = Loading,
    busy = Busy,
    stalled = Stalled,
    silent = Silent,
    model_missing = ModelMissing,
    unauthorised = Unauthorised,
    another_server_on_the_port = AnotherServer,
    errors = Errors,
    half_an_answer = HalfAnAnswer,
    wrong_types = WrongTypes,
    slow_drip = SlowDrip,
    reset_connection = ResetConnection,
}

/// What of the table can be brought about with real servers. There is only what the monitor shows: their models differ
/// from the simulators'.
mod real {
    use super::{Situation, Tier, play};
    use crate::{
        harness::{Bed, backend, isolated, say},
        test_name,
    };

    macro_rules! columns {
        ($($name:ident = $situation:ident),* $(,)?) => {
            $(#[test]
            fn $name() {
                let name = test_name!($name);
                if let Err(why) = backend::real_servers() {
                    return say(&format!("{name} is left out: {why}"));
                }
                isolated(name, |isolation| play(&Bed::new(isolation), Situation::$situation, Tier::Real));
            })*
        };
    }

    columns! {
        idle = Idle,
        busy = Busy,
        stalled = Stalled,
        silent = Silent,
        model_missing = ModelMissing,
        unauthorised = Unauthorised,
        another_server_on_the_port = AnotherServer,
    }
}

/// A row with what keeps its situation up.
struct Played {
    name: &'static str,
    subject: Subject,
    address: SocketAddr,
    /// Ends with the test.
    server: Server,
    /// The user's answer under way.
    _user: Option<Open>,
}

fn play(bed: &Bed, situation: Situation, tier: Tier) {
    let mut config = String::from("[defaults]\n");
    let mut rows = Vec::new();
    // All files are there before the first is run: making one anew takes the file from under those that run.
    let all = match tier {
        Tier::Demo => subject::all(bed),
        Tier::Real => subject::real(bed),
    };
    let subjects: Vec<_> = all.into_iter().filter(|(name, ..)| is_wanted(name, situation, tier)).collect();
    for (name, subject, settings) in subjects {
        let address = bed.free_address();
        let subject = match situation {
            Situation::Unauthorised if tier == Tier::Real => subject.with_key(),
            _ => subject,
        };
        let (subject, server, user) = stage(bed, subject, situation, address);
        let more = if situation == Situation::ModelMissing { "models = [\"absent\"]" } else { "" };
        let target = match situation {
            // What refuses while it loads is known only by its process.
            Situation::Loading => subject.known(name, address, more),
            _ => subject.observed(name, address, more),
        };
        config.push_str(&format!("{target}{settings}\n"));
        rows.push(Played { name, subject, address, server, _user: user });
    }
    if rows.is_empty() {
        return say(&format!("{situation:?} is left out: END_TO_END_ROWS names no row of it"));
    }
    let monitor = Monitor::start(bed, &config);
    let order = match situation {
        Situation::Stalled => Some("stall"),
        Situation::Silent => Some("hang"),
        Situation::Unauthorised => Some("unauthorised"),
        Situation::Errors => Some("errors"),
        Situation::HalfAnAnswer => Some("broken_json"),
        Situation::WrongTypes => Some("wrong_types"),
        Situation::SlowDrip => Some("drip"),
        Situation::ResetConnection => Some("reset"),
        _ => None,
    };
    let order = order.filter(|_| !(tier == Tier::Real && situation == Situation::Unauthorised));
    if let Some(order) = order {
        monitor.wait_for(WELL, "all to be well", |monitor| {
            let shown = shown_by(monitor);
            let ill: Vec<_> = shown.iter().filter(|(_, s)| !matches!(&*s.shows, "online" | "busy")).collect();
            let all_shown = shown.len() == rows.len();
            if ill.is_empty() && all_shown { Ok(()) } else { Err(format!("of {} shown: {ill:#?}", shown.len())) }
        });
        let of_engine = situation == Situation::Stalled;
        for row in &rows {
            match tier {
                Tier::Demo => row.subject.order(row.address, order, of_engine),
                Tier::Real => row.subject.stop(&row.server, of_engine),
            }
        }
    }
    let expected: BTreeMap<&str, &Cell> = rows.iter().map(|row| (row.name, table::cell(row.name, situation))).collect();
    settle(&monitor, &expected);
    if tier == Tier::Demo {
        compare_observations(&monitor, situation, &expected);
    }
}

/// `END_TO_END_ROWS=ollama,vllm` plays these alone.
fn is_wanted(name: &str, situation: Situation, tier: Tier) -> bool {
    let possible = match (tier, situation) {
        // Its own process makes the tokens: stopped, it is silent.
        (Tier::Real, Situation::Stalled) => name != "llama.cpp",
        // It knows no keys.
        (Tier::Real, Situation::Unauthorised) => name != "ollama",
        _ => true,
    };
    possible && std::env::var("END_TO_END_ROWS").map_or(true, |rows| rows.split(',').any(|row| row == name))
}

/// Brings the row's server up to where the situation begins.
fn stage(bed: &Bed, subject: Subject, situation: Situation, address: SocketAddr) -> (Subject, Server, Option<Open>) {
    match situation {
        Situation::Loading => {
            let subject = subject.that_loads_for_ever();
            let server = subject.start(bed, address);
            if let Subject::Harness(backend) = &subject
                && backend.kind == crate::harness::Kind::Ollama
            {
                subject.answers(address);
                // It loads because somebody asks, who waits for as long as the test lasts.
                drop(subject.asked(address));
            }
            (subject, server, None)
        }
        Situation::Busy | Situation::Stalled => {
            let subject = subject.at_leisure();
            let server = subject.start(bed, address);
            subject.ready(address);
            let user = subject.working(address);
            (subject, server, Some(user))
        }
        Situation::AnotherServer => {
            let kind = match &subject {
                // Whatever speaks `/v1` would be taken for what it is: an OpenAI-compatible server.
                Subject::Played(s) if s.plugin() == "openai" || s.plugin() == "custom" => simulators::Kind::Website,
                Subject::Played(s) if s.plugin() == "localai" => simulators::Kind::LmStudio,
                Subject::Harness(b) if b.plugin() == "openai" => simulators::Kind::Website,
                // LocalAI imitates Ollama.
                _ => simulators::Kind::LocalAi,
            };
            let server = Simulator::new(bed, kind).start(bed, address);
            subject.answers(address);
            (subject, server, None)
        }
        _ => {
            let server = subject.start(bed, address);
            subject.ready(address);
            (subject, server, None)
        }
    }
}

/// What the monitor shows of one target.
#[derive(Debug)]
struct Shown {
    /// The fault, else the state.
    shows: String,
    why: String,
    checked: Value,
}

fn shown_by(monitor: &Monitor) -> BTreeMap<String, Shown> {
    let snapshot = monitor.snapshot();
    let targets = snapshot["targets"].as_array().cloned().unwrap_or_default();
    let shown = |target: Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let shows = text(if target["fault"].is_null() { &target["state"] } else { &target["fault"]["class"] });
        let why = format!("{}: {}", text(&target["state"]), text(&target["why"]));
        (text(&target["name"]), Shown { shows, why, checked: target["last_check"].clone() })
    };
    targets.into_iter().map(shown).collect()
}

/// Waits until every target shows what its cell says, and goes on doing so.
fn settle(monitor: &Monitor, expected: &BTreeMap<&str, &Cell>) {
    let mut right_since: BTreeMap<String, Instant> = BTreeMap::new();
    monitor.wait_for(SETTLED, "all to show what the table says", |monitor| {
        let mut not_yet = Vec::new();
        let mut all = shown_by(monitor);
        for (name, cell) in expected {
            let Some((name, shown)) = all.remove_entry(*name) else {
                not_yet.push(format!("{name} is not shown"));
                continue;
            };
            if shown.shows != cell.shows || shown.checked == json!(null) {
                right_since.remove(&name);
                not_yet.push(format!("{name}: to show {:?}, shows {:?} ({})", cell.shows, shown.shows, shown.why));
            } else if right_since.entry(name.clone()).or_insert_with(Instant::now).elapsed() < STAYS {
                not_yet.push(format!("{name}: shows {:?}, and must go on ({})", shown.shows, shown.why));
            }
        }
        if not_yet.is_empty() { Ok(()) } else { Err(format!("\n  {}", not_yet.join("\n  "))) }
    });
}

fn observed(monitor: &Monitor) -> Vec<(String, seen::Seen)> {
    let known = |name: &str| {
        let target = monitor.target(name);
        let variant = target["variant"].as_str().map(str::to_owned);
        seen::Known { variant, process: !target["process_id"].is_null() }
    };
    seen::of_all(&monitor.folder.join("config.toml"), known)
}

/// Does each plugin report what its cell says?
fn compare_observations(monitor: &Monitor, situation: Situation, expected: &BTreeMap<&str, &Cell>) {
    let mut wrong = Vec::new();
    let observed = observed(monitor);
    assert_eq!(observed.len(), expected.len(), "{observed:?}");
    for (name, seen) in observed {
        let cell = expected[&*name];
        if seen.iter().ne(cell.sees.iter()) {
            wrong.push(format!("{name}: to see {:?}, sees {seen:?}", cell.sees));
        }
    }
    assert!(wrong.is_empty(), "{situation:?}:\n  {}", wrong.join("\n  "));
}
