//! ai-monitor's probe plugin for any other server: what is asked and what is a good answer is all in the settings.

mod expect;
mod facts;
mod fill;
mod inference;
mod place;
mod repair;
mod request;
mod settings;

use ai_monitor_plugin_api::{
    Io, Plugin, Stop,
    event::{Depth, Outcome, Response, SessionKind, Start},
    export_plugin,
    report::{Phase, RepairReport},
};

use crate::{expect::Verdict, fill::Values, request::Ask, settings::Settings};

/// For what is asked beside the depth's own route, and has no timeout of its own.
const FRONT_MS: u64 = 5_000;

/// The plugin.
pub struct Custom;

export_plugin!(Custom);

impl Plugin for Custom {
    const MANIFEST: &'static str = include_str!("manifest.json");

    async fn probe(io: &mut Io, start: &Start) -> Result<(), Stop> {
        let SessionKind::Probe { depth, inference } = &start.session else {
            return Err(Stop::GiveUp("a repair came as a probe".into()));
        };
        // All of them, whatever the depth: a mistake shows at the first look, not when the server is in trouble.
        let settings = Settings::read(&start.settings).map_err(Stop::GiveUp)?;
        match (depth, inference) {
            (Depth::Liveness, _) => liveness(io, &settings, start.deadline_ms).await,
            (Depth::Readiness, _) => facts::readiness(io, &settings).await,
            (Depth::Progress, _) => facts::progress(io, &settings).await,
            (Depth::Inference, Some(ask)) => inference::probe(io, start, &settings, ask).await,
            (Depth::Inference, None) => Err(Stop::GiveUp("the host did not say what to ask".into())),
        }
    }

    async fn repair(io: &mut Io<RepairReport>, start: &Start) -> Result<(), Stop> {
        let settings = Settings::read(&start.settings).map_err(Stop::GiveUp)?;
        repair::repair(io, start, &settings).await
    }
}

/// Asks the liveness route. Without a good answer there is nothing more to learn, and the session ends.
async fn liveness(io: &mut Io, settings: &Settings, timeout_ms: u64) -> Result<(), Stop> {
    let request = settings.liveness.ask.request(&Values::default(), timeout_ms).of(Depth::Liveness);
    let answer = io.request(request).await?;
    if let Some(loading) = &settings.liveness.loading
        && answer.at.is_none()
        && loading.verdict(&answer) == Verdict::Good
    {
        io.report.phase = Some(Phase::Loading);
        io.judge(&answer, Outcome::Unavailable, "it still loads");
        return Err(Stop::Enough);
    }
    if !judge(io, &settings.liveness.ask, &answer) {
        return Err(Stop::Enough);
    }
    if settings.liveness.loading.is_some() {
        io.report.phase = Some(Phase::Ready);
    }
    Ok(())
}

/// Is it the answer that the settings want? Where that is not what its status says, it is judged.
fn judge(io: &mut Io, ask: &Ask, answer: &Response) -> bool {
    match ask.expect.verdict(answer) {
        Verdict::Good => {
            if answer.outcome != Outcome::Ok {
                io.judge(answer, Outcome::Ok, "the settings want this status");
            }
            true
        }
        Verdict::Bad(Some((outcome, text))) => {
            io.judge(answer, outcome, text);
            false
        }
        Verdict::Bad(None) => false,
    }
}
