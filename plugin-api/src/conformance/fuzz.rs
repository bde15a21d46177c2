//! The fuzzer: sessions whose events are broken at random, from the same seed the same ones.
//!
//! A session of recordings, or of the kit's own answers, is played with two or three things wrong at once, or with the
//! bytes of its bodies and lines changed. What fails is made smaller as long as it fails, and told as a file to replay.

use serde_json::Value;

use super::{
    Kit, Rule, Test, Verdict,
    base::{self, Base},
    drive::Live,
    places::{EDITS, Edit},
    play::{End, Play, Scene},
    rng::Rng,
    world::{HEAVY, TWISTS, Twist, When},
};
use crate::{
    event::Event,
    recording::{Said, Step},
    table::AimPlugin,
};

pub(super) const RULES: &[Rule] = &[Rule {
    name: "fuzzed_sessions_keep_the_rules",
    says: "whatever a backend answers, a session neither panics nor leaves the protocol, and ends",
    section: "1, how a session ends",
    test: Test::Once(fuzz),
}];

/// Most answers have no more places.
const PLACES: usize = 30;

fn fuzz(kit: &Kit) -> Verdict {
    let (table, manifest) = match kit.ready() {
        Ok(ready) => ready,
        Err(verdict) => return verdict,
    };
    let bases = base::all(kit, &manifest);
    let mut rng = Rng::new(kit.seed);
    let mut steps = 0;
    // Those whose answers are this backend's lead further.
    let (close, far): (Vec<&Base>, Vec<&Base>) = bases.iter().partition(|base| base.is_like_the_backend());
    for number in 0..kit.fuzzed {
        let from = if close.is_empty() || (!far.is_empty() && rng.one_in(4)) { &far } else { &close };
        let Some(base) = rng.pick(from).copied() else { break };
        let play = one(table, base, &mut rng);
        steps += play.steps.len();
        if let Some(why) = broken(&manifest, &play) {
            let small = shrunk(table, &play);
            let mut session = play.recording(&manifest);
            session.steps = small;
            if let Some(header) = &mut session.header {
                header.shows = format!("fuzzer, seed {}, session {number}: {why}", kit.seed);
            }
            return Verdict::Failed {
                why: format!("seed {}, session {number} of {}: {why}\n    in: {}", kit.seed, kit.fuzzed, play.told),
                session: Some(Box::new(session)),
            };
        }
    }
    Verdict::Passed(format!("{} sessions, {steps} steps, seed {}", kit.fuzzed, kit.seed))
}

/// What is wrong with a session, of what can be said of any.
fn broken(manifest: &crate::manifest::Manifest, play: &Play) -> Option<String> {
    match &play.end {
        End::Failed("panic", text) => return Some(format!("it panicked: {}", super::play::short(text))),
        End::Failed("protocol", text) => return Some(text.clone()),
        End::Endless(text) => return Some(format!("it went on: {text}")),
        _ => {}
    }
    let scene = Scene { manifest, play };
    let of_any = super::effects::RULES.iter().chain(super::reports::RULES);
    // Their own tests say when content is wrong; here it is at random.
    const OF_ANY: [&str; 12] = [
        "routes_are_granted",
        "addresses_are_given",
        "paths_are_plain",
        "headers_are_the_plugins_own",
        "request_bodies_within_limits",
        "requests_have_a_timeout",
        "waits_are_10_ms_or_longer",
        "reports_are_readable",
        "reports_within_limits",
        "texts_within_512_bytes",
        "judged_answers_had_a_status",
        "engines_name_given_processes",
    ];
    of_any.filter(|rule| OF_ANY.contains(&rule.name)).find_map(|rule| match rule.test {
        Test::Each { check, .. } => check(&scene).err().map(|why| format!("{}: {why}", rule.name)),
        Test::Once(_) => None,
    })
}

/// One session with something wrong at random.
fn one(table: &'static AimPlugin, base: &Base, rng: &mut Rng) -> Play {
    let twist = match rng.below(4) {
        0 => Twist::Good,
        1 if base.is_like_the_backend() => {
            let edit = rng.pick(EDITS).copied().unwrap_or(Edit::Gone);
            Twist::Place(rng.below(PLACES) as u16, edit)
        }
        1 if rng.one_in(20) => rng.pick(HEAVY).copied().unwrap_or(Twist::Good),
        _ => rng.pick(TWISTS).copied().unwrap_or(Twist::Good),
    };
    let when = match rng.below(3) {
        _ if matches!(twist, Twist::Place(..)) => When::Only(rng.below(6) as u32),
        0 => When::All,
        1 => When::Only(rng.below(6) as u32),
        _ => When::From(rng.below(6) as u32),
    };
    let mut world = super::world::World::new(base, twist, when);
    let mut edit = |text: String| match rng.one_in(3) {
        true => mutated(&text, rng),
        false => text,
    };
    super::play::play(table, &base.start, &base.name, &mut world, &mut edit)
}

/// An event with its body or line changed, or a key of it; still an event of the contract.
fn mutated(text: &str, rng: &mut Rng) -> String {
    let Ok(mut event) = serde_json::from_str::<Event>(text) else { return text.to_owned() };
    match &mut event {
        Event::Start(_) => return text.to_owned(),
        Event::Response(response) => match rng.below(8) {
            0 => response.headers.clear(),
            1 => response.ms = rng.next() >> rng.below(64),
            2 => response.headers = [("content-type".to_owned(), noise(rng, 40))].into(),
            3 => response.text = Some(noise(rng, 800)),
            _ => {
                if let Some(body) = &mut response.body {
                    *body = changed(body, rng);
                }
            }
        },
        Event::Line(line) => match rng.below(6) {
            0 => line.ms = rng.next() >> rng.below(64),
            _ => line.line = changed(&line.line, rng).replace(['\n', '\r'], " "),
        },
        Event::End(end) => end.ms = rng.next() >> rng.below(64),
        Event::Waited(waited) => waited.ms = rng.next() >> rng.below(64),
    }
    serde_json::to_string(&event).unwrap_or_else(|_| text.to_owned())
}

/// A text with a few places changed: letters, whole JSON values, its end.
fn changed(text: &str, rng: &mut Rng) -> String {
    if let Ok(mut value) = serde_json::from_str::<Value>(text)
        && !rng.one_in(3)
    {
        for _ in 0..=rng.below(3) {
            change_a_value(&mut value, rng);
        }
        return value.to_string();
    }
    let mut letters: Vec<char> = text.chars().collect();
    for _ in 0..=rng.below(4) {
        let at = rng.below(letters.len() + 1);
        match rng.below(4) {
            0 => letters.truncate(at),
            1 if at < letters.len() => drop(letters.remove(at)),
            2 => letters.insert(at, letter(rng)),
            _ => {
                if let Some(place) = letters.get_mut(at) {
                    *place = letter(rng);
                }
            }
        }
    }
    letters.into_iter().collect()
}

/// Goes down to a value at random, and puts another there.
fn change_a_value(value: &mut Value, rng: &mut Rng) {
    match value {
        Value::Array(list) if !list.is_empty() && rng.one_in(8) => {
            let at = rng.below(list.len());
            list.remove(at);
            return;
        }
        Value::Object(object) if !object.is_empty() && rng.one_in(5) => {
            let key = object.keys().nth(rng.below(object.len())).cloned();
            key.and_then(|key| object.remove(&key));
            return;
        }
        _ => {}
    }
    let inner = match value {
        Value::Array(list) if !list.is_empty() && !rng.one_in(6) => {
            let at = rng.below(list.len());
            list.get_mut(at)
        }
        Value::Object(object) if !object.is_empty() && !rng.one_in(8) => {
            let at = rng.below(object.len());
            object.values_mut().nth(at)
        }
        _ => None,
    };
    match inner {
        Some(inner) => change_a_value(inner, rng),
        None => {
            *value = match rng.below(10) {
                0 => Value::Null,
                1 => Value::from(rng.next()),
                2 => Value::from(-((rng.next() >> 1) as i64)),
                3 => Value::from(f64::MAX),
                4 => Value::from(noise(rng, 700)),
                5 => Value::from(""),
                6 => Value::Array(vec![value.clone(); rng.below(40)]),
                7 => Value::from(rng.one_in(2)),
                8 => Value::Object(Default::default()),
                _ => Value::from(rng.below(3)),
            }
        }
    }
}

fn noise(rng: &mut Rng, most: usize) -> String {
    (0..rng.below(most)).map(|_| letter(rng)).collect()
}

fn letter(rng: &mut Rng) -> char {
    const OFTEN: &[char] = &[
        '"', '\\', '{', '}', '[', ']', ':', ',', '0', '9', '-', 'e', '.', ' ', '\t', '\u{0}', '/', 'ä', '\u{fffd}',
        '🦖', '\u{202e}',
    ];
    if rng.one_in(3) { char::from(32 + rng.below(95) as u8) } else { rng.pick(OFTEN).copied().unwrap_or(' ') }
}

/// The events of a failed session with all left out of their texts that the failure does not need.
fn shrunk(table: &'static AimPlugin, play: &Play) -> Vec<Step> {
    const TRIES: usize = 400;
    let mut events: Vec<String> = play.steps.iter().map(|step| step.text.clone()).collect();
    let wanted = ends_badly(table, &events).map(|(how, _)| how);
    let mut tries = 0;
    // Only what ends a session badly can be asked for again by its events alone.
    while wanted.is_some() {
        let mut is_smaller = false;
        for i in 0..events.len() {
            for smaller in smaller(&events[i]) {
                tries += 1;
                let mut attempt = events.clone();
                attempt[i] = smaller;
                if ends_badly(table, &attempt).map(|(how, _)| how) == wanted {
                    events = attempt;
                    is_smaller = true;
                    break;
                }
            }
        }
        if !is_smaller || tries > TRIES {
            break;
        }
    }
    let mut steps = Vec::new();
    let Ok(mut live) = Live::new(table) else { return steps };
    for event in events {
        let stepped = live.step(&event);
        let said = match stepped.ended_badly() {
            Some((how, text)) => Said::Failed { how: how.into(), text },
            None => Said::Effect(stepped.out.text()),
        };
        steps.push(Step { event, said });
    }
    steps
}

/// How a session of these events ends, if it ends badly at its last one.
fn ends_badly(table: &'static AimPlugin, events: &[String]) -> Option<(&'static str, String)> {
    let mut live = Live::new(table).ok()?;
    for (i, event) in events.iter().enumerate() {
        let stepped = live.step(event);
        if let Some(bad) = stepped.ended_badly() {
            return (i + 1 == events.len()).then_some(bad);
        }
    }
    None
}

/// The event with half of its body or line.
fn smaller(text: &str) -> Vec<String> {
    let Ok(event) = serde_json::from_str::<Event>(text) else { return Vec::new() };
    let with = |change: &dyn Fn(&mut String)| {
        let mut event = event.clone();
        match &mut event {
            Event::Response(response) => change(response.body.as_mut()?),
            Event::Line(line) => change(&mut line.line),
            _ => return None,
        }
        serde_json::to_string(&event).ok().filter(|smaller| smaller.len() < text.len())
    };
    let half = |text: &mut String, front: bool| {
        let mut middle = text.len() / 2;
        while !text.is_char_boundary(middle) {
            middle -= 1;
        }
        *text = if front { text[..middle].to_owned() } else { text[middle..].to_owned() };
    };
    [with(&|body| body.clear()), with(&|body| half(body, true)), with(&|body| half(body, false))]
        .into_iter()
        .flatten()
        .collect()
}
