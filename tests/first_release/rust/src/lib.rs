//! A plugin of contract 1.0 that uses all of it: every depth, every effect, a repair, settings, processes, judgements.

use ai_monitor_plugin_api::{
    Io, Next, Plugin, Stop,
    effect::Request,
    event::{Depth, Outcome, Response, Role, SessionKind, Start},
    export_plugin,
    report::{
        Counter, Engine, Expect, Inference, InferenceResult, Model, ModelState, Phase, RepairReport, RepairResult, Symptom,
        Tokens,
    },
};
use serde_json::{Value, json};

struct FirstRelease;

impl Plugin for FirstRelease {
    const MANIFEST: &'static str = include_str!("manifest.json");

    async fn probe(io: &mut Io, start: &Start) -> Result<(), Stop> {
        let patience = start.settings.get("patience_ms").and_then(Value::as_u64).unwrap_or(2000);
        match &start.session {
            SessionKind::Probe { depth: Depth::Liveness, .. } => version(io, patience).await,
            SessionKind::Probe { depth: Depth::Readiness, .. } => {
                version(io, patience).await?;
                models(io, patience).await?;
                Ok(())
            }
            SessionKind::Probe { depth: Depth::Progress, .. } => {
                version(io, patience).await?;
                work(io, start, patience).await
            }
            SessionKind::Probe { inference: Some(ask), .. } => {
                version(io, patience).await?;
                generate(io, ask.model.as_deref(), &ask.prompt, ask.max_tokens).await
            }
            _ => Err(Stop::GiveUp("this session is not of contract 1.0".into())),
        }
    }

    async fn repair(io: &mut Io<RepairReport>, start: &Start) -> Result<(), Stop> {
        let SessionKind::Repair { repair, args } = &start.session else {
            return Err(Stop::GiveUp("no repair".into()));
        };
        if repair != "unload" {
            io.report.result = Some(RepairResult::Unsupported);
            return Ok(());
        }
        let Some(model) = args.get("model").and_then(Value::as_str) else {
            io.report.result = Some(RepairResult::Failed);
            io.report.text = Some("no model is named".into());
            return Ok(());
        };
        let answer = io.request(Request::post_json("/unload", &json!({ "model": model }), 5000).note("unload")).await?;
        io.report.text = answer.body.clone();
        io.report.result = Some(match answer.outcome {
            Outcome::Ok => RepairResult::Done,
            Outcome::NotFound => RepairResult::Already,
            _ => RepairResult::Failed,
        });
        if answer.outcome == Outcome::Ok {
            io.wait(20, Some("until it is gone".into())).await?;
            io.report.expect = vec![Expect::Model { model: model.into(), state: vec![ModelState::Unloaded] }];
            io.report.within_ms = Some(5000);
        }
        Ok(())
    }
}

export_plugin!(FirstRelease);

/// The body of a good answer as an object; what is none is judged.
fn object(io: &mut Io, answer: &Response) -> Option<Value> {
    if answer.outcome != Outcome::Ok {
        return None;
    }
    match serde_json::from_str::<Value>(answer.body.as_deref().unwrap_or_default()) {
        Ok(value) if value.is_object() => Some(value),
        Ok(_) => {
            io.judge(answer, Outcome::Malformed, "it is no object");
            None
        }
        Err(e) => {
            io.judge(answer, Outcome::Malformed, e.to_string());
            None
        }
    }
}

async fn version(io: &mut Io, patience: u64) -> Result<(), Stop> {
    let answer = io.request(Request::get("/version", patience).of(Depth::Liveness)).await?;
    let Some(body) = object(io, &answer) else { return Err(Stop::Enough) };
    match (body["name"].as_str(), body["version"].as_str()) {
        (Some("first"), Some(version)) => io.report.version = Some(version.into()),
        _ => {
            io.judge(&answer, Outcome::Foreign, "it is not `first`");
            return Err(Stop::Enough);
        }
    }
    Ok(())
}

async fn models(io: &mut Io, patience: u64) -> Result<Option<Vec<Model>>, Stop> {
    let answer = io.request(Request::get("/models", patience).of(Depth::Readiness).max_bytes(65_536)).await?;
    let Some(body) = object(io, &answer) else { return Ok(None) };
    let Some(rows) = body["models"].as_array() else {
        io.judge(&answer, Outcome::Malformed, "there is no list");
        return Ok(None);
    };
    let mut models = Vec::new();
    for row in rows {
        let Some(id) = row["id"].as_str() else {
            io.judge(&answer, Outcome::Malformed, "a model has no id");
            return Ok(None);
        };
        models.push(Model {
            id: id.into(),
            state: row["loaded"].as_bool().map(|yes| if yes { ModelState::Loaded } else { ModelState::Unloaded }),
            size_bytes: row["bytes"].as_u64(),
            ..Model::default()
        });
    }
    if let Some(text) = body["trouble"].as_str() {
        io.report.symptoms.push(Symptom {
            id: "device_error".into(),
            text: text.into(),
            model: None,
            engine: None,
        });
    }
    io.report.phase = Some(Phase::Ready);
    io.report.models = Some(models.clone());
    Ok(Some(models))
}

async fn work(io: &mut Io, start: &Start, patience: u64) -> Result<(), Stop> {
    let engine = start.processes.iter().flatten().find(|process| process.role == Role::Engine);
    let mut request = Request::get("/work", patience).of(Depth::Progress);
    if let Some(address) = engine.and_then(|engine| engine.addresses.first()) {
        request = request.to(address);
    }
    let answer = io.request(request).await?;
    let Some(body) = object(io, &answer) else { return Ok(()) };
    io.report.engines = Some(vec![Engine {
        id: "first".into(),
        process: engine.map(|engine| engine.id.clone()),
        running: body["running"].as_u64(),
        queued: body["waiting"].as_u64(),
        counters: body["tokens"]
            .as_u64()
            .map(|value| vec![Counter { id: "tokens".into(), kind: "decode".into(), value }]),
        ..Engine::default()
    }]);
    Ok(())
}

async fn generate(io: &mut Io, wanted: Option<&str>, prompt: &str, max_tokens: u32) -> Result<(), Stop> {
    let models = models(io, 5000).await?.unwrap_or_default();
    let loaded = |model: &&Model| model.state == Some(ModelState::Loaded);
    let fit = models.iter().filter(loaded).find(|model| wanted.is_none_or(|wanted| model.id == wanted));
    let mut seen = Inference {
        model: None,
        result: Some(InferenceResult::Skipped),
        text: Some("no such model is loaded".into()),
        tokens: None,
        first_token_ms: None,
        decode_tps: None,
        finish: None,
    };
    let Some(model) = fit else {
        io.report.inference = Some(seen);
        return Ok(());
    };
    let body = json!({ "model": model.id, "prompt": prompt, "max_tokens": max_tokens });
    let head = io.request(Request::post_json("/generate", &body, 10_000).streamed()).await?;
    seen.text = None;
    seen.result = Some(InferenceResult::Failed);
    if head.outcome == Outcome::Ok {
        let (mut text, mut count) = (String::new(), 0);
        let end = loop {
            match io.read().await? {
                Next::Line(line) => {
                    let Ok(piece) = serde_json::from_str::<Value>(&line.line) else { continue };
                    if let Some(model) = piece["model"].as_str() {
                        seen.model = Some(model.into());
                    }
                    if let Some(token) = piece["token"].as_str() {
                        seen.first_token_ms.get_or_insert(line.ms);
                        text.push_str(token);
                        count += 1;
                    }
                }
                Next::End(end) => break end,
            }
        };
        seen.result = Some(match (count, end.outcome) {
            (1.., _) => InferenceResult::Output,
            (_, Outcome::Ok) => InferenceResult::Empty,
            (_, Outcome::Timeout) => InferenceResult::Timeout,
            _ => InferenceResult::Failed,
        });
        seen.tokens = Some(Tokens { content: count, thinking: 0, total: count });
        seen.text = Some(text);
    }
    io.report.inference = Some(seen);
    Ok(())
}
