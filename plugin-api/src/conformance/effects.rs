//! Rules of what a session wants, on every session that the kit plays.

use serde_json::Value;

use super::{
    Rule, Test,
    manifest::unknown_keys,
    play::{End, STEP_MAX, Scene},
};
use crate::{
    effect::Effect,
    event::{Event, Outcome, SessionKind},
    limits::{EFFECT_MAX, REQUEST_BODY_MAX, REQUEST_HEAD_MAX, RESPONSE_BODY_MAX},
    route::Route,
};

const NO_REQUEST: &str = "no session sent a request";

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "nothing_panics",
        says: "no session panics, whatever it is told",
        section: "1, panics",
        test: Test::Each { check: nothing_panics, unless: "no session was played" },
    },
    Rule {
        name: "steps_only_compute",
        says: "no step takes longer than a second",
        section: "1, time",
        test: Test::Each { check: steps_are_quick, unless: "no session was played" },
    },
    Rule {
        name: "effects_are_readable",
        says: "each step writes one JSON object with one effect of this contract",
        section: "4",
        test: Test::Each { check: readable, unless: "no session was played" },
    },
    Rule {
        name: "effects_have_known_keys",
        says: "an effect has no key that its contract does not have",
        section: "4",
        test: Test::Each { check: known_keys, unless: "no session was played" },
    },
    Rule {
        name: "effects_within_a_mebibyte",
        says: "an effect, report included, is at most 1 MiB",
        section: "1, limits",
        test: Test::Each { check: within_size, unless: "no session was played" },
    },
    Rule {
        name: "sessions_come_to_an_end",
        says: "at most 64 requests and 256 waits, and a report at the end",
        section: "1, limits",
        test: Test::Each { check: ends, unless: "no session was played" },
    },
    Rule {
        name: "deadline_ends_the_session",
        says: "once answered with `deadline`, it asks 8 times more at most",
        section: "1, when time is up",
        test: Test::Each { check: deadline, unless: NO_REQUEST },
    },
    Rule {
        name: "failures_are_reported",
        says: "a failed request is an answer: the session ends with a report all the same",
        section: "5, duties",
        test: Test::Each { check: failures_are_reported, unless: NO_REQUEST },
    },
    Rule {
        name: "routes_are_granted",
        says: "each request is on a route that the manifest has for this session",
        section: "2, routes",
        test: Test::Each { check: routes, unless: NO_REQUEST },
    },
    Rule {
        name: "addresses_are_given",
        says: "`to` is `target` or an address of `start.processes`",
        section: "3, processes",
        test: Test::Each { check: addresses, unless: NO_REQUEST },
    },
    Rule {
        name: "paths_are_plain",
        says: "a path begins with `/` and has no `..`, scheme, blank or `#`",
        section: "4, request",
        test: Test::Each { check: paths, unless: NO_REQUEST },
    },
    Rule {
        name: "headers_are_the_plugins_own",
        says: "no header of the host's, and none that could split a request",
        section: "4, request",
        test: Test::Each { check: headers, unless: NO_REQUEST },
    },
    Rule {
        name: "request_bodies_within_limits",
        says: "a request's path and headers are at most 16 KiB, its body 256 KiB, `max_bytes` 4 MiB",
        section: "1, limits",
        test: Test::Each { check: bodies, unless: NO_REQUEST },
    },
    Rule {
        name: "requests_have_a_timeout",
        says: "`timeout_ms` is given, and not 0",
        section: "4, request",
        test: Test::Each { check: timeouts, unless: NO_REQUEST },
    },
    Rule {
        name: "waits_are_10_ms_or_longer",
        says: "a wait is at least 10 ms",
        section: "1, limits",
        test: Test::Each { check: waits, unless: "no session waits" },
    },
    Rule {
        name: "reads_follow_a_stream",
        says: "`read` only while a stream is open",
        section: "4, read",
        test: Test::Each { check: reads, unless: "no session reads a stream" },
    },
    Rule {
        name: "repairs_are_no_evidence",
        says: "a repair's requests have no `of`",
        section: "4, request",
        test: Test::Each { check: repairs_have_no_depth, unless: "the plugin has no repairs" },
    },
];

fn nothing_panics(scene: &Scene<'_>) -> Result<bool, String> {
    match &scene.play.end {
        End::Failed("panic", text) => Err(format!("it panicked: {}", super::play::short(text))),
        _ => Ok(true),
    }
}

fn steps_are_quick(scene: &Scene<'_>) -> Result<bool, String> {
    match scene.play.steps.iter().find(|step| step.took > STEP_MAX) {
        Some(step) => Err(format!("it took {} ms for `{}`", step.took.as_millis(), step.event.name())),
        None => Ok(true),
    }
}

fn readable(scene: &Scene<'_>) -> Result<bool, String> {
    match &scene.play.end {
        End::Failed("protocol", text) if !text.starts_with("it reads") => Err(text.clone()),
        _ => Ok(true),
    }
}

fn known_keys(scene: &Scene<'_>) -> Result<bool, String> {
    for step in &scene.play.steps {
        let Some(effect) = &step.effect else { continue };
        // A report's keys have a rule of their own.
        if matches!(effect, Effect::Report { .. }) {
            continue;
        }
        let (Ok(written), Ok(mut read)) = (serde_json::from_slice::<Value>(&step.said), serde_json::to_value(effect))
        else {
            continue;
        };
        if let Some(read) = read.as_object_mut() {
            // The default is left out when it is written again.
            read.entry("to").or_insert_with(|| "target".into());
        }
        if let Some(key) = unknown_keys(&written, &read).first() {
            return Err(format!("{key} in {written}"));
        }
    }
    Ok(true)
}

fn within_size(scene: &Scene<'_>) -> Result<bool, String> {
    match &scene.play.end {
        End::Failed("protocol", text) if text.contains("over") => Err(text.clone()),
        _ if scene.play.steps.iter().any(|step| step.said.len() > EFFECT_MAX) => Err("an effect over 1 MiB".into()),
        _ => Ok(true),
    }
}

fn ends(scene: &Scene<'_>) -> Result<bool, String> {
    let requests = scene.play.requests().count();
    let waits = scene.play.steps.iter().filter(|step| matches!(step.effect, Some(Effect::Wait { .. }))).count();
    match &scene.play.end {
        End::Endless(text) => Err(format!("it went on: {text}")),
        _ if requests > 64 => Err(format!("{requests} requests")),
        _ if waits > 256 => Err(format!("{waits} waits")),
        _ => Ok(true),
    }
}

fn deadline(scene: &Scene<'_>) -> Result<bool, String> {
    let mut answers = scene.play.requests().map(|(_, answer)| answer);
    let is_over = |answer: Option<&crate::event::Response>| answer.is_some_and(|a| a.outcome == Outcome::Deadline);
    if !answers.by_ref().any(is_over) {
        return Ok(false);
    }
    match answers.count() {
        more if more > 8 => Err(format!("it asked {more} times more")),
        _ => Ok(true),
    }
}

fn failures_are_reported(scene: &Scene<'_>) -> Result<bool, String> {
    match &scene.play.end {
        End::Failed("error", text) => Err(format!("it gave up: {}", super::play::short(text))),
        _ => Ok(scene.play.requests().next().is_some()),
    }
}

fn routes(scene: &Scene<'_>) -> Result<bool, String> {
    let granted: &[String] = match &scene.play.start.session {
        SessionKind::Probe { depth, .. } => scene.manifest.probes.get(depth).map_or(&[], |spec| &spec.routes),
        SessionKind::Repair { repair, .. } => scene.manifest.repairs.get(repair).map_or(&[], |spec| &spec.routes),
    };
    each_request(scene, |request| {
        let path = request.path.split('?').next().unwrap_or_default();
        let local = request.to != "target";
        let method = request.method;
        if granted.iter().filter_map(|route| Route::parse(route)).any(|route| route.grants(local, method, path)) {
            return Ok(());
        }
        let local = if local { "local " } else { "" };
        let has = if granted.is_empty() { "none".into() } else { granted.join(", ") };
        Err(format!(
            "{local}{} {path} is not among the routes that the manifest has for this session ({has})",
            method.as_str()
        ))
    })
}

fn addresses(scene: &Scene<'_>) -> Result<bool, String> {
    let given: Vec<&String> =
        scene.play.start.processes.iter().flatten().flat_map(|process| &process.addresses).collect();
    each_request(scene, |request| {
        if request.to == "target" || given.contains(&&request.to) {
            return Ok(());
        }
        Err(format!("the address {:?} was not given", request.to))
    })
}

fn paths(scene: &Scene<'_>) -> Result<bool, String> {
    each_request(scene, |request| {
        let path = &request.path;
        let route = path.split('?').next().unwrap_or_default().to_ascii_lowercase();
        let climbs = route.replace("%2e", ".").split('/').any(|part| part == "." || part == "..");
        let is_plain = path.starts_with('/')
            && !path.contains(['#', '\\', ' '])
            && path.bytes().all(|b| b.is_ascii_graphic())
            && !climbs;
        if is_plain { Ok(()) } else { Err(format!("the path {path:?}")) }
    })
}

fn headers(scene: &Scene<'_>) -> Result<bool, String> {
    const HOSTS: [&str; 6] = ["host", "authorization", "cookie", "connection", "content-length", "transfer-encoding"];
    each_request(scene, |request| {
        for (name, value) in &request.headers {
            let lower = name.to_ascii_lowercase();
            if HOSTS.contains(&lower.as_str()) || lower.starts_with("proxy-") {
                return Err(format!("the header `{name}` is the host's to set"));
            }
            let is_name =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&b));
            if !is_name || value.bytes().any(|b| b == b'\r' || b == b'\n' || b == 0) {
                return Err(format!("the header {name:?} is none"));
            }
        }
        Ok(())
    })
}

fn bodies(scene: &Scene<'_>) -> Result<bool, String> {
    each_request(scene, |request| {
        let bytes = request.body.as_ref().map_or(0, String::len);
        if bytes > REQUEST_BODY_MAX {
            return Err(format!("a body of {bytes} bytes"));
        }
        let head = request.head_bytes();
        if head > REQUEST_HEAD_MAX {
            return Err(format!("a path and headers of {head} bytes together"));
        }
        match request.max_bytes {
            Some(max) if max > RESPONSE_BODY_MAX as u64 => Err(format!("`max_bytes` is {max}")),
            _ => Ok(()),
        }
    })
}

fn timeouts(scene: &Scene<'_>) -> Result<bool, String> {
    each_request(scene, |request| match request.timeout_ms {
        0 => Err(format!("`timeout_ms` is 0 for {}", request.path)),
        _ => Ok(()),
    })
}

fn waits(scene: &Scene<'_>) -> Result<bool, String> {
    let mut waits = scene.play.steps.iter().filter_map(|step| match step.effect {
        Some(Effect::Wait { ms, .. }) => Some(ms),
        _ => None,
    });
    let mut applies = false;
    match waits.find(|ms| {
        applies = true;
        *ms < 10
    }) {
        Some(ms) => Err(format!("a wait of {ms} ms")),
        None => Ok(applies),
    }
}

fn reads(scene: &Scene<'_>) -> Result<bool, String> {
    match &scene.play.end {
        End::Failed(_, text) if text.starts_with("it reads") => Err(text.clone()),
        _ => Ok(scene.play.steps.iter().any(|step| matches!(step.event, Event::Line(_) | Event::End(_)))),
    }
}

fn repairs_have_no_depth(scene: &Scene<'_>) -> Result<bool, String> {
    if scene.play.is_probe() {
        return Ok(false);
    }
    each_request(scene, |request| match request.of {
        Some(depth) => Err(format!("{} is said to be evidence for {depth}", request.path)),
        None => Ok(()),
    })
    .map(|_| true)
}

fn each_request(
    scene: &Scene<'_>,
    mut check: impl FnMut(&crate::effect::Request) -> Result<(), String>,
) -> Result<bool, String> {
    let mut applies = false;
    for (request, _) in scene.play.requests() {
        applies = true;
        check(request)?;
    }
    Ok(applies)
}
