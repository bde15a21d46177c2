//! ai-monitor's probe plugin for servers that speak OpenAI's protocol: llama.cpp's, vLLM, llama-cpp-python, others.
//!
//! The protocol has no health, no states and no progress of its own; what a flavour has beyond it is in a file each.

mod api;
mod inference;
mod llama_cpp;
mod models;
mod vllm;

use ai_monitor_plugin_api::{
    Io, Plugin, Stop,
    effect::Request,
    event::{Depth, Outcome, Response, Role, SessionKind, Start},
    export_plugin,
    report::{Engine, Phase},
};

use crate::api::List;

/// For a liveness route beside a deeper probe.
const FRONT_MS: u64 = 5_000;
/// For the other routes that cost a server nothing.
const CHEAP_MS: u64 = 5_000;
/// Long lists of models and metrics are taken.
const LIST_BYTES: u64 = 4 * 1024 * 1024;

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
}

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flavour {
    LlamaCpp,
    Vllm,
    LlamaCppPython,
    Other,
}

/// A server that answered as itself.
struct Front {
    flavour: Flavour,
    /// Its models, where the liveness route has already given them.
    list: Option<List>,
}

/// The variant of the manifest's rules that identification found.
fn found(start: &Start) -> Option<Flavour> {
    match start.variant.as_deref()? {
        "llama.cpp" => Some(Flavour::LlamaCpp),
        "vllm" => Some(Flavour::Vllm),
        "llama-cpp-python" => Some(Flavour::LlamaCppPython),
        _ => None,
    }
}

/// Asks the liveness route. Without a good answer there is nothing more to learn, and the session ends.
async fn front(io: &mut Io, start: &Start, timeout_ms: u64) -> Result<Front, Stop> {
    match found(start) {
        Some(Flavour::LlamaCpp) => {
            llama_cpp::health(io, start, timeout_ms).await?;
            Ok(Front { flavour: Flavour::LlamaCpp, list: None })
        }
        Some(Flavour::Vllm) => {
            vllm::health(io, timeout_ms).await?;
            Ok(Front { flavour: Flavour::Vllm, list: None })
        }
        known => {
            let request = Request::get("/v1/models", timeout_ms).of(Depth::Liveness).max_bytes(LIST_BYTES);
            let answer = io.request(request).await?;
            let list = models::list(io, &answer);
            let flavour = known.unwrap_or_else(|| guess(&answer, list.as_ref()));
            if list.is_none() {
                if flavour == Flavour::LlamaCpp {
                    llama_cpp::note_loading(io, start, &answer);
                }
                return Err(Stop::Enough);
            }
            if flavour != Flavour::LlamaCpp {
                io.report.phase = Some(Phase::Ready);
            }
            Ok(Front { flavour, list })
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

async fn readiness(io: &mut Io, start: &Start) -> Result<(), Stop> {
    let front = front(io, start, FRONT_MS).await?;
    let props = match front.flavour {
        Flavour::LlamaCpp => llama_cpp::props(io).await?,
        _ => None,
    };
    let list = match front.list {
        Some(list) => Some(list),
        None => models::ask(io).await?,
    };
    if front.flavour == Flavour::Vllm {
        vllm::version(io).await?;
    }
    if let Some(list) = list {
        let state = models::common_state(front.flavour, props.as_ref(), &list, start);
        io.report.models = models::reported(&list, state);
    }
    Ok(())
}

async fn progress(io: &mut Io, start: &Start) -> Result<(), Stop> {
    match front(io, start, FRONT_MS).await?.flavour {
        Flavour::LlamaCpp => llama_cpp::progress(io, start).await,
        Flavour::Vllm => vllm::progress(io, start).await,
        // These tell nothing of their work.
        Flavour::LlamaCppPython | Flavour::Other => Ok(()),
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
