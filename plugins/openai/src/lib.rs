//! ai-monitor's probe plugin for servers that speak OpenAI's protocol: llama.cpp's, alone and as a router, vLLM,
//! text-generation-webui, llama-cpp-python, others.
//!
//! The protocol has no health, no states and no progress of its own; what a flavour has beyond it is in a file each.

mod api;
mod inference;
mod llama_cpp;
mod models;
mod python;
mod repair;
mod router;
mod vllm;
mod webui;

use ai_monitor_plugin_api::{
    Io, Plugin, Stop,
    effect::Request,
    event::{Depth, Outcome, Response, Role, SessionKind, Start},
    export_plugin,
    report::{Engine, Phase, RepairReport},
};
use plugin_parts::answer::{LIST_BYTES, Told};

use crate::api::{List, Props, WebuiInfo};

/// For a liveness route beside a deeper probe.
const FRONT_MS: u64 = 5_000;
/// For the other routes that cost a server nothing.
const CHEAP_MS: u64 = 5_000;

/// The plugin.
pub struct OpenAi;

export_plugin!(OpenAi);

impl Plugin for OpenAi {
    const MANIFEST: &'static str = include_str!("manifest.json");

    async fn probe(io: &mut Io, start: &Start) -> Result<(), Stop> {
        let SessionKind::Probe { depth, inference } = &start.session else {
            return Err(Stop::GiveUp("a repair came as a probe".into()));
        };
        match depth {
            Depth::Liveness => front(io, start, start.deadline_ms).await.map(drop),
            Depth::Readiness => readiness(io, start).await,
            Depth::Progress => progress(io, start).await,
            Depth::Inference => match inference {
                Some(ask) => inference::probe(io, start, ask).await,
                None => Err(Stop::GiveUp("the host did not say what to ask".into())),
            },
        }
    }

    async fn repair(io: &mut Io<RepairReport>, start: &Start) -> Result<(), Stop> {
        repair::repair(io, start).await
    }
}

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flavour {
    /// Alone or as a router: its properties tell.
    LlamaCpp,
    Vllm,
    Webui,
    LlamaCppPython,
    Other,
}

/// A server that answered as itself, and what its liveness route has told already.
enum Front {
    LlamaCpp(Option<List>),
    Vllm(Option<List>),
    Webui(WebuiInfo),
    LlamaCppPython,
    Other(List),
}

/// The variant of the manifest's rules that identification found.
fn found(start: &Start) -> Option<Flavour> {
    match start.variant.as_deref()? {
        "llama.cpp" | "llama.cpp-router" => Some(Flavour::LlamaCpp),
        "vllm" => Some(Flavour::Vllm),
        "text-generation-webui" => Some(Flavour::Webui),
        "llama-cpp-python" => Some(Flavour::LlamaCppPython),
        _ => None,
    }
}

/// Asks the liveness route. Without a good answer there is nothing more to learn, and the session ends.
async fn front(io: &mut Io, start: &Start, timeout_ms: u64) -> Result<Front, Stop> {
    match found(start) {
        Some(Flavour::LlamaCpp) => {
            llama_cpp::health(io, start, timeout_ms).await?;
            Ok(Front::LlamaCpp(None))
        }
        Some(Flavour::Vllm) => {
            vllm::health(io, timeout_ms).await?;
            Ok(Front::Vllm(None))
        }
        Some(Flavour::Webui) => Ok(Front::Webui(webui::info(io, timeout_ms).await?)),
        Some(Flavour::LlamaCppPython) => {
            python::front(io, timeout_ms).await?;
            Ok(Front::LlamaCppPython)
        }
        known => {
            let request = Request::get("/v1/models", timeout_ms).of(Depth::Liveness).max_bytes(LIST_BYTES);
            let answer = io.request(request).await?;
            let list = models::list(io, &answer);
            let flavour = known.unwrap_or_else(|| guess(&answer, list.as_ref()));
            let Some(list) = list else {
                if flavour == Flavour::LlamaCpp {
                    llama_cpp::note_loading(io, start, &answer);
                }
                return Err(Stop::Enough);
            };
            if flavour != Flavour::LlamaCpp {
                io.report.phase = Some(Phase::Ready);
            }
            Ok(match flavour {
                Flavour::LlamaCpp => Front::LlamaCpp(Some(list)),
                Flavour::Vllm => Front::Vllm(Some(list)),
                Flavour::LlamaCppPython => Front::LlamaCppPython,
                Flavour::Webui | Flavour::Other => Front::Other(list),
            })
        }
    }
}

/// The flavour by one answer, where identification has not run yet.
fn guess(answer: &Response, list: Option<&List>) -> Flavour {
    let server = answer.headers.get("server").map(String::as_str);
    let owner = list.and_then(|list| list.models().first()?.owned_by.as_deref());
    match (server, owner) {
        (Some("llama.cpp"), _) => Flavour::LlamaCpp,
        (_, Some("vllm")) => Flavour::Vllm,
        (Some("uvicorn"), Some("me")) => Flavour::LlamaCppPython,
        _ => Flavour::Other,
    }
}

/// All models with their states.
async fn readiness(io: &mut Io, start: &Start) -> Result<(), Stop> {
    match front(io, start, FRONT_MS).await? {
        Front::LlamaCpp(list) => {
            let props = match llama_cpp::props(io).await? {
                Told::Silent => return Ok(()),
                told => told.value(),
            };
            if let Some(list) = models::or_ask(io, list).await?.value() {
                if props.as_ref().is_some_and(Props::is_router) {
                    router::note_failed(io, &list);
                }
                io.report.models = models::reported(&list, props.as_ref().and_then(models::state_by_props));
            }
        }
        Front::Vllm(list) => {
            let list = match models::or_ask(io, list).await? {
                Told::Silent => return Ok(()),
                told => told.value(),
            };
            let state = vllm::state(io).await?;
            io.report.models = list.and_then(|list| models::reported(&list, state));
        }
        Front::Webui(info) => webui::readiness(io, &info).await?,
        Front::LlamaCppPython => io.report.models = python::models(start),
        Front::Other(list) => io.report.models = models::reported(&list, models::state_by_user(start)),
    }
    Ok(())
}

/// What it works on.
async fn progress(io: &mut Io, start: &Start) -> Result<(), Stop> {
    match front(io, start, FRONT_MS).await? {
        Front::LlamaCpp(_) => match llama_cpp::props(io).await?.value() {
            Some(props) if props.is_router() => router::progress(io, start).await,
            Some(props) => llama_cpp::progress(io, start, &props).await,
            None => Ok(()),
        },
        Front::Vllm(_) => vllm::progress(io, start).await,
        Front::Webui(info) => webui::progress(io, start, &info).await,
        // These tell nothing of their work.
        Front::LlamaCppPython | Front::Other(_) => Ok(()),
    }
}

/// The server as the place where its tokens are made.
fn server_engine(start: &Start, role: Role) -> Engine {
    let mut processes = start.processes.iter().flatten().filter(|process| process.role == role);
    let process = match (processes.next(), processes.next()) {
        (Some(only), None) => Some(only.id.clone()),
        _ => None,
    };
    Engine { id: "server".into(), process, ..Engine::default() }
}

/// Whether a route is not there, as opposed to there and broken.
fn is_absent(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::NotFound | Outcome::Unsupported)
}
