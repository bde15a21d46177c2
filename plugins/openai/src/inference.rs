//! A few tokens from a model that is in memory, where a request loads, wakes, prolongs and throws out nothing.

use ai_monitor_plugin_api::{
    Io, Stop,
    effect::Request,
    event::{InferenceAsk, Outcome, Role, Start},
    report::{Inference, InferenceResult},
};
use plugin_parts::{
    answer,
    generation::{self, not_begun, skipped},
    llama_server, percent, process,
};
use serde_json::{Value, json};

use crate::{
    FRONT_MS, Front,
    api::{List, Props, WebuiInfo},
    front,
    llama_cpp::{self, Place, Room},
    models, python, router, vllm, webui,
};

const WOULD_STAY_AWAKE: &str = "it sleeps when it is idle: asking by the clock would keep it awake";

pub async fn probe(io: &mut Io, start: &Start, ask: &InferenceAsk) -> Result<(), Stop> {
    let front = front(io, start, FRONT_MS).await?;
    let inference = match from(io, start, ask, front).await? {
        Ok(question) => question.ask(io, start, ask).await?,
        Err(why) => skipped(ask.model.as_deref(), why),
    };
    generation::report(io, inference);
    Ok(())
}

/// What is to be asked, or why nothing may be asked now.
async fn from(io: &mut Io, start: &Start, ask: &InferenceAsk, front: Front) -> Result<Result<Question, String>, Stop> {
    match front {
        Front::LlamaCpp(list) => {
            let Some(props) = llama_cpp::props(io).await?.value() else {
                return Ok(Err("whether it sleeps cannot be known: asking could wake it".into()));
            };
            if props.is_router() {
                of_router(io, start, ask, list).await
            } else {
                single(io, start, ask, list, &props).await
            }
        }
        Front::Vllm(list) => {
            if let Some(why) = vllm::is_unfit(io).await? {
                return Ok(Err(why));
            }
            let list = models::or_ask(io, list).await?.value();
            Ok(list.ok_or_else(no_list).and_then(|list| listed(&list, ask)))
        }
        Front::Webui(info) => of_webui(io, start, ask, &info).await,
        Front::LlamaCppPython => Ok(python::fit(start, ask.model.as_deref()).map(Question::named)),
        Front::Other(list) if models::state_by_user(start).is_some() => Ok(listed(&list, ask)),
        Front::Other(_) => {
            Ok(Err("whether naming a model loads it cannot be known; the setting `always_loaded` says so".into()))
        }
    }
}

/// Of llama.cpp's server with one model.
async fn single(
    io: &mut Io,
    start: &Start,
    ask: &InferenceAsk,
    list: Option<List>,
    props: &Props,
) -> Result<Result<Question, String>, Stop> {
    if props.is_sleeping {
        return Ok(Err("it sleeps: asking would wake it".into()));
    }
    if ask.scheduled && llama_cpp::falls_asleep(start) {
        return Ok(Err(WOULD_STAY_AWAKE.into()));
    }
    // Its list stands in no queue, so that it comes first: what comes after silence would wait, too.
    let Some(list) = models::or_ask(io, list).await?.value() else { return Ok(Err(no_list())) };
    let Some(first) = list.models().first() else { return Ok(Err("it has no model".into())) };
    let room = llama_cpp::room(io, &Place::target(), props).await?;
    // It serves any name with its one model, and says which that is.
    let model = ask.model.as_deref().unwrap_or(&first.id);
    let embeds = embeds(&list, &first.id) || started_to_embed(start);
    Ok(Question { embeds, ..Question::named(model) }.within(room))
}

/// Whether it was started for vectors: its list says even then that its model makes text, and being asked for text may
/// end its process (b11669).
fn started_to_embed(start: &Start) -> bool {
    let mut servers = start.processes.iter().flatten().filter(|process| process.role == Role::Main);
    servers.any(|server| llama_server::embeds(&server.args))
}

/// Of a model that llama.cpp's router has loaded.
async fn of_router(
    io: &mut Io,
    start: &Start,
    ask: &InferenceAsk,
    list: Option<List>,
) -> Result<Result<Question, String>, Stop> {
    let Some(list) = models::or_ask(io, list).await?.value() else { return Ok(Err(no_list())) };
    let model = match ask.model.as_deref() {
        None => list.models().iter().find(|model| router::status(model) == Some("loaded")),
        Some(wanted) => match list.find(wanted) {
            None => return Ok(Err(format!("{wanted} is not among its models"))),
            found => found,
        },
    };
    let Some(model) = model else { return Ok(Err("no model is loaded that could be asked".into())) };
    match router::status(model) {
        Some("loaded") => {}
        Some("sleeping") => return Ok(Err(format!("{} sleeps: asking would wake it", model.id))),
        _ => return Ok(Err(format!("{} is not loaded", model.id))),
    }
    if ask.scheduled && router::sleeps(start, model) {
        return Ok(Err(WOULD_STAY_AWAKE.into()));
    }
    let address = router::child_of(start, &model.id).and_then(process::address);
    if address.is_none() && ask.scheduled {
        let why = "its process is not known, and what the router is asked counts when it chooses what to throw out";
        return Ok(Err(why.into()));
    }
    let place = address.map_or_else(|| Place::behind_router(&model.id), Place::child);
    let room = match llama_cpp::childs_room(io, &place).await? {
        Ok(room) => room,
        Err(why) => return Ok(Err(why)),
    };
    let (to, query) = match address {
        Some(address) => (Some(address.to_owned()), String::new()),
        None => (None, format!("?model={}&autoload=false", percent::encoded(&model.id))),
    };
    let question = Question { to, query, embeds: router::embeds(model), ..Question::named(&model.id) };
    Ok(question.within(room))
}

/// Of the model that text-generation-webui has loaded.
async fn of_webui(
    io: &mut Io,
    start: &Start,
    ask: &InferenceAsk,
    info: &WebuiInfo,
) -> Result<Result<Question, String>, Stop> {
    let Some(loaded) = info.loaded() else { return Ok(Err("no model is loaded".into())) };
    if let Some(wanted) = ask.model.as_deref().filter(|wanted| *wanted != loaded) {
        return Ok(Err(format!("{wanted} is not loaded")));
    }
    let child = webui::child(start.processes.as_deref().unwrap_or_default());
    // It names a model as loaded also after it has unloaded it for being idle.
    if webui::unloads_idle(start) && (ask.scheduled || child.is_none()) {
        return Ok(Err("it unloads an idle model: asking could load it or keep it".into()));
    }
    let room = match child {
        Some((_, address)) => llama_cpp::childs_room(io, &Place::child(address)).await?,
        None => Ok(Room::Free),
    };
    Ok(room.and_then(|room| Question::named(loaded).within(room)))
}

/// Of a server that has all models of its list in memory.
fn listed(list: &List, ask: &InferenceAsk) -> Result<Question, String> {
    let first = list.models().first().ok_or("it has no model")?;
    let model = match ask.model.as_deref() {
        Some(wanted) => list.find(wanted).map(|_| wanted).ok_or(format!("{wanted} is not among its models"))?,
        None => &first.id,
    };
    Ok(Question { embeds: embeds(list, model), ..Question::named(model) })
}

/// Makes vectors and no text.
fn embeds(list: &List, model: &str) -> bool {
    let capable = |what: &str| list.capabilities(model).map(|all| all.iter().any(|capability| capability == what));
    capable("embedding") == Some(true) && capable("completion") == Some(false)
}

fn no_list() -> String {
    "its models are not known".into()
}

/// What is to be asked, and where.
struct Question {
    model: String,
    /// An address of `start.processes`; the target itself if absent.
    to: Option<String>,
    query: String,
    embeds: bool,
    /// Something was silent before.
    behind_silence: bool,
}

impl Question {
    fn named(model: &str) -> Question {
        Question { model: model.to_owned(), to: None, query: String::new(), embeds: false, behind_silence: false }
    }

    /// `Err`: why it may not be asked.
    fn within(self, room: Room) -> Result<Question, String> {
        match room {
            Room::Full => Err("no free slot".into()),
            Room::Free => Ok(self),
            Room::Silent => Ok(Question { behind_silence: true, ..self }),
        }
    }

    async fn ask(&self, io: &mut Io, start: &Start, ask: &InferenceAsk) -> Result<Inference, Stop> {
        let mut inference =
            if self.embeds { self.vector(io, start, ask).await? } else { self.tokens(io, start, ask).await? };
        if inference.result == Some(InferenceResult::Failed)
            && matches!(inference.text.as_deref(), Some("Loading model" | "model is not loaded"))
        {
            // It began to load, or was thrown out, after we had looked.
            inference.result = Some(InferenceResult::Skipped);
        }
        inference.model.get_or_insert_with(|| self.model.clone());
        Ok(inference)
    }

    async fn tokens(&self, io: &mut Io, start: &Start, ask: &InferenceAsk) -> Result<Inference, Stop> {
        let body = generation::chat_body(Some(&self.model), &ask.prompt, ask.max_tokens);
        let request = self.post("/v1/chat/completions", &body, start);
        generation::chat(io, request.note(format!("a token from {}", self.model)), None).await
    }

    /// A vector of a model that makes no text.
    async fn vector(&self, io: &mut Io, start: &Start, ask: &InferenceAsk) -> Result<Inference, Stop> {
        let body = json!({"model": self.model, "input": ask.prompt});
        let request = self.post("/v1/embeddings", &body, start);
        let answer = io.request(request.note(format!("a vector from {}", self.model))).await?;
        if answer.outcome == Outcome::Rejected && answer::words(&answer).contains("Pooling type 'none'") {
            // It gives none by this route, and being asked for text ends its process (b11669: a segmentation fault).
            return Ok(skipped(Some(&self.model), answer::words(&answer)));
        }
        let Some(body) = answer::json::<Value>(io, &answer) else { return Ok(not_begun(Some(&self.model), &answer)) };
        Ok(generation::vector_of(io, &answer, &body))
    }

    fn post(&self, path: &str, body: &Value, start: &Start) -> Request {
        let timeout_ms = if self.behind_silence { answer::BEHIND_SILENCE_MS } else { start.deadline_ms };
        let request = Request::post_json(format!("{path}{}", self.query), body, timeout_ms);
        match &self.to {
            Some(address) => request.to(address.clone()),
            None => request,
        }
    }
}
