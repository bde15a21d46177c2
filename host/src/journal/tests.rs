//! The journal over real files: what is kept, what a crash, a full disk, a lock or a broken file do to it.

use std::{path::Path, time::Duration};

use ai_monitor_plugin_api::event::Depth;
use jiff::SignedDuration;
use serde_json::{Map, json};

use super::{
    record::{Ended, Entry},
    *,
};
use crate::{
    health::fault::{Evidence, Fault, FaultClass},
    incident::act::BudgetKind,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_950_000 + second).unwrap()
}

fn opened(class: FaultClass) -> Record {
    let evidence = Evidence {
        since: at(0),
        failures: 2,
        depth: Depth::Liveness,
        also: Vec::new(),
        symptoms: Vec::new(),
        lines: Vec::new(),
        facts: Map::new(),
    };
    Record::Opened {
        fault: Fault { class, model: None, evidence },
        policy: "default".into(),
        sources: vec![("default.lua".into(), "a41f".into())],
        settings: json!({}),
        incident: json!({}),
        boot: "boot".into(),
        debug: false,
        by_person: false,
    }
}

fn log(text: &str) -> Record {
    Record::Log { text: text.into(), line: "default.lua:1".into() }
}

fn ended(by: Option<&str>) -> Record {
    Record::Ended { ended: Ended::Healed, reason: "it answers".into(), by: by.map(str::to_owned) }
}

fn source() -> SourceFile {
    SourceFile { name: "default.lua".into(), hash: "a41f".into(), text: "policy {}".into() }
}

fn open_one(journal: &Journal, target: &str, second: i64) -> IncidentId {
    journal.open_incident(target, at(second), &opened(FaultClass::Dead), &[source()]).unwrap()
}

fn texts(entries: &[Entry]) -> Vec<String> {
    let text = |e: &Entry| match &e.record {
        Record::Log { text, .. } => Some(text.clone()),
        _ => None,
    };
    entries.iter().filter_map(text).collect()
}

/// No page more than the file has now: the next write that needs one finds the disk full.
fn fill_disk(journal: &Journal, full: bool) {
    for connection in [&lock(&journal.shared.decisions).store.0, &journal.shared.samples] {
        let connection = lock(connection);
        let pages: i64 = connection.query_row("PRAGMA page_count", [], |r| r.get(0)).unwrap();
        let most = if full { pages } else { 1_000_000 };
        let _: i64 = connection.query_row(&format!("PRAGMA max_page_count = {most}"), [], |r| r.get(0)).unwrap();
    }
}

/// More than a page, so that it needs one.
fn large(n: usize) -> String {
    format!("{n:0>8000}")
}

fn sample(second: i64, ms: Option<u64>) -> Sample {
    Sample {
        target: "a".into(),
        at: at(second),
        depth: Depth::Liveness,
        ok: ms.is_some(),
        ms,
        state: "online".into(),
        text: None,
    }
}

fn count(journal: &Journal, sql: &str) -> i64 {
    lock(&journal.shared.samples).query_row(sql, [], |r| r.get(0)).unwrap()
}

#[test]
fn an_incident_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let first = open_one(&journal, "a", 1);
    journal.append(first, at(2), &log("one")).unwrap();
    journal.append(first, at(3), &ended(Some("restart"))).unwrap();
    let second = open_one(&journal, "b", 4);
    // As after a crash: nothing of the first is closed before the second is opened.
    let again = Journal::open(dir.path()).unwrap();
    assert_eq!(again.newest().unwrap(), Some(second));
    let entries = again.entries(first);
    assert_eq!(entries.iter().map(|e| e.seq).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!((entries[0].record.clone(), entries[1].at), (opened(FaultClass::Dead), at(2)));
    let row = &again.incidents(Some("a"), 10).unwrap()[0];
    assert_eq!((row.ended, row.by.as_deref(), row.closed), (Some(Ended::Healed), Some("restart"), Some(at(3))));
    let open = again.open_incidents();
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].0.id, open[0].1.len()), (second, 1));
    assert_eq!(again.sources(&["a41f".into(), "none".into()]), [source()]);
    // What goes on after the restart goes on in order, and no number is given twice.
    again.append(second, at(5), &log("two")).unwrap();
    assert_eq!(again.entries(second)[1].seq, 1);
    assert!(open_one(&again, "a", 6) > second);
}

#[test]
fn the_newest_incidents_come_first_and_no_more_than_asked() {
    let journal = Journal::in_memory();
    let ids: Vec<IncidentId> = (0..5).map(|n| open_one(&journal, if n == 2 { "b" } else { "a" }, n)).collect();
    let of_a: Vec<IncidentId> = journal.incidents(Some("a"), 3).unwrap().iter().map(|r| r.id).collect();
    assert_eq!(of_a, [ids[4], ids[3], ids[1]]);
    assert_eq!(journal.incidents(None, 10).unwrap().len(), 5);
    assert_eq!(journal.incident(ids[2]).unwrap().unwrap().target, "b");
    assert_eq!(journal.incident(99).unwrap(), None);
}

#[test]
fn an_incident_begins_with_its_opening() {
    let error = Journal::in_memory().open_incident("a", at(0), &log("x"), &[]).unwrap_err().to_string();
    assert!(error.contains("`opened`"), "{error}");
}

#[test]
fn what_a_restart_must_know_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let process = |pid| ProcessId { pid, start: u64::MAX - u64::from(pid) };
    let started = StartedProcess {
        target: "a".into(),
        process: process(1),
        boot: "x".into(),
        command: vec!["ollama".into(), "serve".into()],
        at: at(1),
    };
    journal.started(&started);
    journal.started(&StartedProcess { process: process(2), ..started.clone() });
    journal.forget_started("a", process(2));
    for (pid, boot) in [(1, "x"), (2, "y"), (3, "y"), (3, "y")] {
        journal.saw_process("a", process(pid), boot, at(2));
    }
    journal.mark_ready("a", at(3));
    journal.mark_ready("a", at(4));
    let first = i64::try_from(at(3).as_nanosecond()).unwrap();
    assert_eq!(count(&journal, "SELECT at FROM ready"), first, "said at each look, written once");
    let spent = |second| Spent {
        act: "restart".into(),
        budget: BudgetKind::Starts,
        at: at(second),
        took: Duration::from_millis(1500),
    };
    journal.spent("a", &spent(1));
    journal.spent("a", &spent(60));
    let no = NonDecision {
        target: "a".into(),
        at: at(5),
        class: Some(FaultClass::Stalled),
        why: "busy".into(),
        text: "it works".into(),
    };
    journal.non_decision(&no);
    journal.non_decision(&NonDecision { at: at(6), class: None, ..no.clone() });
    drop(journal);

    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!(journal.started_processes("a"), [started]);
    assert_eq!(journal.seen_processes("a", "y"), [process(2), process(3)]);
    assert_eq!(journal.seen_processes("a", "x"), [], "numbers of another boot");
    assert!(journal.ready_before("a") && !journal.ready_before("b"));
    assert_eq!(journal.spent_since("a", at(30)), [spent(60)]);
    assert_eq!(
        journal.non_decisions("a", at(5), 9),
        [NonDecision { at: at(6), class: None, ..no.clone() }, no.clone()]
    );
    assert_eq!(journal.non_decisions("a", at(6), 9).len(), 1);
    assert_eq!(journal.health(), None);
}

#[test]
fn a_non_decision_that_is_said_at_each_check_is_kept_now_and_then() {
    let journal = Journal::in_memory();
    let say = |second, why: &str| {
        let target = "a".into();
        journal.non_decision(&NonDecision {
            target,
            at: at(second),
            class: None,
            why: why.into(),
            text: String::new(),
        });
    };
    for second in (0..1200).step_by(30) {
        say(second, "observed only");
    }
    say(1201, "quiet");
    say(1202, "observed only");
    let kept = journal.non_decisions("a", at(0), 99);
    let kept: Vec<(i64, &str)> = kept.iter().map(|n| (n.at.as_second() - at(0).as_second(), n.why.as_str())).collect();
    assert_eq!(kept, [(1202, "observed only"), (1201, "quiet"), (600, "observed only"), (0, "observed only")]);
}

#[test]
fn on_a_full_disk_decisions_wait_and_are_written_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let before = open_one(&journal, "a", 1);
    fill_disk(&journal, true);
    for n in 0..3 {
        journal.append(before, at(2), &log(&large(n))).unwrap();
    }
    let during = open_one(&journal, "b", 3);
    journal.append(during, at(4), &ended(Some("start"))).unwrap();
    journal.append(before, at(5), &ended(None)).unwrap();
    journal.mark_ready("a", at(5));
    let told = journal.health().unwrap();
    assert!(told.contains("full") && told.contains("free some space") && told.contains("kept in memory"), "{told}");
    let check = |journal: &Journal| {
        assert_eq!(texts(&journal.entries(before)), [large(0), large(1), large(2)]);
        let rows = journal.incidents(None, 9).unwrap();
        assert_eq!((rows[0].id, rows[0].by.as_deref()), (during, Some("start")));
        assert_eq!((rows[1].id, rows[1].ended), (before, Some(Ended::Healed)));
        assert!(journal.open_incidents().is_empty());
        assert!(journal.ready_before("a"));
    };
    check(&journal);

    fill_disk(&journal, false);
    journal.mark_ready("b", at(6));
    assert_eq!(journal.health(), None);
    check(&journal);
    check(&Journal::open(dir.path()).unwrap());
}

#[test]
fn what_waits_is_written_without_another_write_too() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let id = open_one(&journal, "a", 1);
    fill_disk(&journal, true);
    journal.append(id, at(2), &log(&large(0))).unwrap();
    assert!(journal.health().is_some());
    fill_disk(&journal, false);
    journal.flush();
    assert_eq!(journal.health(), None);
    assert_eq!(texts(&Journal::open(dir.path()).unwrap().entries(id)), [large(0)]);
}

#[test]
fn the_memory_for_waiting_decisions_is_bounded_and_a_loss_is_an_error() {
    let journal = Journal::in_memory();
    let id = open_one(&journal, "a", 1);
    fill_disk(&journal, true);
    journal.append(id, at(2), &log(&large(0))).unwrap();
    lock(&journal.shared.decisions).waiting.resize(WAITING, Write::Ready { target: "a".into(), at: at(3) });
    let error = journal.append(id, at(4), &log("one more")).unwrap_err().to_string();
    assert!(error.starts_with("lost: record 2 of incident #1") && error.contains("10000 decisions"), "{error}");
}

#[test]
fn a_locked_file_delays_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let id = open_one(&journal, "a", 1);
    let other = Connection::open(schema::file(dir.path())).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    journal.append(id, at(2), &log("one")).unwrap();
    assert!(journal.health().unwrap().contains("close the other program"));
    other.execute_batch("ROLLBACK").unwrap();
    journal.append(id, at(3), &log("two")).unwrap();
    assert_eq!(journal.health(), None);
    assert_eq!(texts(&Journal::open(dir.path()).unwrap().entries(id)), ["one", "two"]);
}

fn asides(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|n| n.contains(".corrupt-") && !n.ends_with("-wal") && !n.ends_with("-shm")).collect()
}

#[test]
fn a_broken_file_is_kept_aside_and_a_new_one_begun_aloud() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(schema::file(dir.path()), "this is no database, and long enough to be looked at".repeat(40))
        .unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let asides = asides(dir.path());
    assert_eq!(asides.len(), 1);
    let told = journal.health().unwrap();
    assert!(told.contains("was broken") && told.contains(&asides[0]), "{told}");
    let kept = std::fs::read_to_string(dir.path().join(&asides[0])).unwrap();
    assert!(kept.starts_with("this is no database"), "nothing is deleted");
    open_one(&journal, "a", 1);
}

#[test]
fn damage_inside_is_found_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let id = open_one(&journal, "a", 1);
    for n in 0..50 {
        journal.append(id, at(n), &log(&large(0))).unwrap();
    }
    drop(journal);
    let path = schema::file(dir.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    assert!(journal.health().unwrap().contains("was broken"));
    assert_eq!(asides(dir.path()).len(), 1);
    assert_eq!(journal.newest().unwrap(), None);
}

#[test]
fn a_newer_journal_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    drop(Journal::open(dir.path()).unwrap());
    let path = schema::file(dir.path());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    for refused in
        [Journal::open(dir.path()), Journal::open_or_in_memory(dir.path()), Journal::open_read_only(dir.path())]
    {
        let error = refused.err().unwrap().to_string();
        assert!(error.contains("newer ai-monitor (version 99"), "{error}");
    }
    assert!(asides(dir.path()).is_empty());
}

#[test]
fn without_a_folder_the_monitor_goes_on_in_memory_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(Journal::open(&file.join("data")).is_err());
    let journal = Journal::open_or_in_memory(&file.join("data")).unwrap();
    assert!(journal.health().unwrap().contains("nothing outlives the monitor's end"));
    open_one(&journal, "a", 1);
}

#[test]
fn another_process_can_read_while_the_monitor_writes() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let id = open_one(&journal, "a", 1);
    let reader = Journal::open_read_only(dir.path()).unwrap();
    journal.append(id, at(2), &log("one")).unwrap();
    assert_eq!(texts(&reader.entries(id)), ["one"]);
    drop(journal);
    assert_eq!(reader.newest().unwrap(), Some(id));
}

#[test]
fn samples_are_on_the_disk_after_a_clean_end() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    for n in 0..250 {
        journal.sample(sample(n, Some(7)));
    }
    drop(journal);
    let journal = Journal::open(dir.path()).unwrap();
    let all = journal.samples("a", at(0), 1000);
    assert_eq!((all.len(), all[0].clone()), (250, sample(0, Some(7))));
    assert_eq!(journal.samples("a", at(0), 10)[0].at, at(240), "the newest where there are more");
}

#[test]
fn samples_survive_a_full_disk_as_far_as_the_memory_goes() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    fill_disk(&journal, true);
    for n in 0..500 {
        journal.sample(Sample { text: Some(large(0)), ..sample(n, None) });
    }
    journal.flush();
    assert!(journal.health().unwrap().contains("full"));
    fill_disk(&journal, false);
    journal.flush();
    assert_eq!(journal.health(), None);
    assert_eq!(count(&journal, "SELECT count(*) FROM sample"), 500);
}

#[test]
fn samples_are_rolled_up_by_age() {
    let journal = Journal::in_memory();
    // Two samples in each of two minutes, one of them failed.
    for (second, ms) in [(0, Some(10)), (30, Some(30)), (60, None), (90, Some(50))] {
        journal.sample(sample(second, ms));
    }
    let start = at(0);
    assert_eq!(start.as_second() % 60, 0, "the figures below count on whole minutes");
    journal.flush();
    let hours = |n: i64| start.checked_add(SignedDuration::from_hours(n)).unwrap();
    journal.prune(hours(23)).unwrap();
    assert_eq!(count(&journal, "SELECT count(*) FROM sample"), 4, "raw for a day");
    journal.prune(hours(26)).unwrap();
    assert_eq!(count(&journal, "SELECT count(*) FROM sample"), 0);
    assert_eq!(count(&journal, "SELECT count(*) FROM rollup WHERE span = 60 AND n = 2"), 2);
    assert_eq!(count(&journal, "SELECT ms_sum FROM rollup ORDER BY at LIMIT 1"), 40);
    journal.prune(hours(24 * 32)).unwrap();
    let all =
        "SELECT n * 1000000 + ok * 10000 + timed * 1000 + ms_sum * 10 + (ms_max = 50) FROM rollup WHERE span = 3600";
    assert_eq!(count(&journal, all), 4_033_901, "n 4, ok 3, timed 3, sum 90, max 50");
    assert_eq!(count(&journal, "SELECT count(*) FROM rollup"), 1);
    journal.prune(hours(24 * 370)).unwrap();
    assert_eq!(count(&journal, "SELECT count(*) FROM rollup"), 0);
}

#[test]
fn the_writer_prunes_by_itself_as_the_samples_time_goes_on() {
    let journal = Journal::in_memory();
    journal.sample(sample(0, Some(1)));
    journal.flush();
    journal.sample(sample(26 * 3600, Some(1)));
    journal.flush();
    assert_eq!(count(&journal, "SELECT count(*) FROM sample"), 1);
    assert_eq!(count(&journal, "SELECT count(*) FROM rollup"), 1);
}

#[test]
fn above_the_cap_the_oldest_samples_go_and_incidents_stay() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let id = open_one(&journal, "a", 1);
    journal.append(id, at(2), &log(&large(0))).unwrap();
    for n in 0..1000 {
        journal.sample(Sample { text: Some("x".repeat(500)), ..sample(n, Some(1)) });
    }
    journal.flush();
    let cap = 300 * 1024;
    samples::prune(&journal.shared.samples, at(1000), cap).unwrap();
    let left = journal.samples("a", at(0), 2000);
    assert!(left.len() < 900 && left.len() > 100, "{}", left.len());
    assert_eq!(left.last().unwrap().at, at(999));
    assert_eq!(journal.entries(id).len(), 2);
    drop(journal);
    let size = std::fs::metadata(schema::file(dir.path())).unwrap().len();
    assert!(size <= cap + 64 * 1024, "the space goes back to the disk: {size}");
}

#[test]
fn a_queue_that_is_full_drops_and_counts() {
    let journal = Journal::in_memory();
    // The writer stands still while its connection is held.
    let held = lock(&journal.shared.samples);
    for n in 0..(3 * samples::QUEUE as i64) {
        journal.sample(sample(n, Some(1)));
    }
    assert!(journal.dropped_samples() > 0);
    drop(held);
    journal.flush();
    assert!(count(&journal, "SELECT count(*) FROM sample") >= samples::QUEUE as i64);
}
