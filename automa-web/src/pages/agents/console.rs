//! `/agents/{id}`: one agent: where it is and why, its log, what it uses, what has happened.

use askama::{Template, filters::HtmlSafe};
use automa_core::{
    Automa, Error,
    actor::Permission,
    agent::{Agent, Happening, Point, Resolution, Signal, Status},
    execution::{Execution, Filter},
    id::{AgentId, ExecutionId},
    page::{Limit, PageRequest},
};
use automa_sandbox::{Bytes, UsagePoint};
use jiff::{SignedDuration, Timestamp};
use poem::{
    Request, Response, handler,
    web::{Data, Path, Query},
};

use super::{busy, can, deleted};
use crate::{
    auth::Caller,
    filters::{self, duration},
    htmx::{encoded, render, see_other},
    pages::{
        self,
        form::Typed,
        frame::{Frame, Place},
        log::{self, Log, Look, Opened, View},
        table::Table,
        text::{bare, sentence},
        usage::Usage,
    },
    problem::Problem,
};

/// Rows of earlier runs, and of what has happened.
const ROWS: usize = 10;
/// What is drawn: the last hours.
const HOURS: i64 = 6;

#[derive(Debug, Template)]
#[template(path = "agents/show.html")]
struct AgentPage {
    frame: Frame,
    agent: Agent,
    script: String,
    state: Panel,
    may_write: bool,
    /// What came of what was asked for.
    said: Option<Said>,
    /// The log of its current run, or of its last one.
    log: Option<Box<Log>>,
    runs: Table,
    more: String,
}

/// What is said about what was asked for: a class, an icon, and a sentence.
type Said = (&'static str, &'static str, &'static str);

/// The part that changes: where it is, and what it uses.
#[derive(Debug, Template)]
#[template(path = "agents/state.html")]
struct Panel {
    id: AgentId,
    status: Status,
    why: String,
    may_write: bool,
    /// The run whose log the page shows.
    shown: Option<ExecutionId>,
    usage: Usage,
    hours: i64,
    history: Vec<Happening>,
    now: Timestamp,
}

/// The template escapes for itself.
impl HtmlSafe for Panel {}

impl Panel {
    async fn of(
        automa: &Automa,
        caller: &Caller,
        id: AgentId,
        shown: Option<ExecutionId>,
    ) -> Result<Self, Problem> {
        let agents = automa.agents(&caller.actor);
        let status = agents.status(id)?;
        let now = automa.now();
        let from = now.checked_sub(SignedDuration::from_hours(HOURS)).unwrap_or(Timestamp::MIN);
        let points = agents.metrics(id, (from, now), Resolution::Points).await?;
        let limit = Limit::new(ROWS as u64).unwrap_or_default();
        let history = agents.history(id, PageRequest { cursor: None, limit }).await?.items;
        let may_write = caller.actor.require(Permission::WriteAgents).is_ok();
        Ok(Self::new(id, status, (&points, history), may_write, shown, now))
    }

    fn new(
        id: AgentId,
        status: Status,
        (points, history): (&[Point], Vec<Happening>),
        may_write: bool,
        shown: Option<ExecutionId>,
        now: Timestamp,
    ) -> Self {
        let why = sentence(&status.why);
        let usage = Usage::new(&drawn(points)).named("agent-usage");
        Self { id, status, why, may_write, shown, usage, hours: HOURS, history, now }
    }

    /// Whether the page shows the log of another run than the current one.
    fn elsewhere(&self) -> bool {
        self.status.execution.is_some_and(|current| self.shown != Some(current))
    }

    fn can(&self) -> (bool, bool) {
        can(self.status.state)
    }

    fn up_for(&self) -> Option<String> {
        self.status.uptime_ms.map(duration)
    }

    fn busy(&self) -> Option<String> {
        busy(&self.status)
    }
}

/// Points as what draws them wants them: times since the first, and processor time summed up. Pauses
/// are left out.
fn drawn(points: &[Point]) -> Vec<UsagePoint> {
    let mut drawn = Vec::with_capacity(points.len());
    let (mut cpu_ms, mut at_ms) = (0, 0);
    for pair in points.windows(2) {
        let [before, point] = pair else { continue };
        let time = point.at.duration_since(before.at).as_millis().clamp(1, 60_000);
        let time = u64::try_from(time).unwrap_or(1);
        at_ms += time;
        cpu_ms += time * u64::from(point.cpu_millis) / 1000;
        drawn.push(UsagePoint {
            at_ms,
            cpu_ms,
            memory: Some(Bytes(point.memory_bytes)),
            processes: Some(point.pids.into()),
        });
    }
    drawn
}

impl AgentPage {
    #[expect(clippy::unused_self, reason = "templates reach it through the page")]
    fn signals(&self) -> [Signal; 6] {
        Signal::ALL
    }

    fn title(status: &Status, agent: &Agent) -> String {
        format!("{}: {}", super::word(status.state), bare(&agent.name))
    }

    /// How it is restarted, in a few words.
    fn restart(&self) -> String {
        let restart = &self.agent.restart;
        match restart.when.name() {
            "never" => "never by itself".to_owned(),
            when => {
                let when = if when == "always" { "always" } else { "after a failure" };
                let (first, last) = (restart.backoff_ms, restart.max_backoff_ms);
                format!("{when}, after {} to {}", duration(first), duration(last))
            }
        }
    }

    /// How it says that it is ready, in a few words.
    fn ready(&self) -> Option<String> {
        let ready = self.agent.ready.as_ref()?;
        Some(match (&ready.output, &ready.http) {
            (Some(text), _) => format!("“{text}” in its output"),
            (None, Some(http)) => format!("an answer at {}{}", http.port, http.path),
            (None, None) => return None,
        })
    }

    /// How it is seen to work, in a few words.
    fn alive(&self) -> Option<String> {
        let alive = self.agent.alive.as_ref()?;
        let output = alive.output_within_ms.map(|ms| format!("output each {}", duration(ms)));
        let http = alive.http.as_ref();
        let http = http.map(|it| format!("answers at {}{}", it.port, it.path));
        Some(output.into_iter().chain(http).collect::<Vec<_>>().join(", "))
    }
}

/// Shows the page.
#[handler]
pub(in crate::pages) async fn show(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    let id: AgentId = pages::id(&id)?;
    let agent = automa.agents(&caller.actor).get(id)?;
    let filter = Filter { agent: Some(id), ..Filter::default() };
    let limit = Limit::new(ROWS as u64).unwrap_or_default();
    let page = PageRequest { cursor: None, limit };
    let executions = automa.executions(&caller.actor);
    let runs = executions.list(filter, page).await?.items;
    let frame = pages::frame(request, &caller, "", Place::Agents);
    let log = match runs.first() {
        None => None,
        Some(execution) => match log_of(request, automa, &caller, execution, &frame.path).await? {
            Opened::Log(log) => Some(log),
            Opened::Elsewhere(path) => return Ok(see_other(&path)),
        },
    };
    let shown = runs.first().map(|execution| execution.id);
    let state = Panel::of(automa, &caller, id, shown).await?;
    let script = match automa.scripts(&caller.actor).get(agent.script) {
        Ok(script) => script.name,
        Err(Error::NotFound { .. }) => deleted(),
        Err(error) => return Err(error.into()),
    };
    let title = AgentPage::title(&state.status, &agent);
    let frame = Frame { title, ..frame };
    render(&AgentPage {
        runs: Table::new("Runs of this agent, newest first", &runs, frame.now).unnamed(),
        frame,
        script,
        state,
        may_write: caller.actor.require(Permission::WriteAgents).is_ok(),
        said: said(query.get("said")),
        log,
        more: format!("/executions?by={}", encoded(&format!("agent {}", agent.name))),
        agent,
    })
}

/// The log of an execution, as its own page shows it.
async fn log_of(
    request: &Request,
    automa: &Automa,
    caller: &Caller,
    execution: &Execution,
    path: &str,
) -> Result<Opened, Problem> {
    let seen = (View::default(), Look::of(request));
    match automa.executions(&caller.actor).log_removed(execution.id)? {
        Some(at) => Ok(Opened::Log(Box::new(Log::empty(execution, seen, path).removed(at)))),
        None => log::open(automa, caller, execution, seen, path).await,
    }
}

/// What is said after a form was sent.
fn said(word: &str) -> Option<Said> {
    let done = |text| Some(("succeeded", "ok", text));
    let not = |text| Some(("timed_out", "warn", text));
    match word {
        "told" => done("The line was written to its standard input."),
        "signalled" => done("The signal was sent."),
        "stopped" => not("Nothing was sent, as it does not run at the moment."),
        "deaf" => not("Nothing was sent, as it has not read what it was sent before."),
        _ => None,
    }
}

/// The part of the page that changes.
#[handler]
pub(in crate::pages) async fn panel(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    let id: AgentId = pages::id(&id)?;
    let shown = pages::named(query.get("run"), "run", |it| it.parse().ok())?;
    render(&Panel::of(automa, &caller, id, shown).await?)
}

#[cfg(test)]
pub(super) mod tests {
    use automa_core::agent::State;

    use super::*;
    use crate::pages::samples;

    fn page(at: State, may_write: bool) -> String {
        let (agent, status) = samples::agent(at);
        let happening = |state| Happening {
            at: samples::now(),
            state,
            why: samples::HOSTILE.to_owned(),
            execution: Some(samples::execution_id()),
            until: Some(samples::now()),
        };
        let point = |seconds: i64| Point {
            at: samples::now().checked_add(SignedDuration::from_secs(seconds)).unwrap(),
            cpu_millis: 120,
            memory_bytes: 41 << 20,
            pids: 3,
            restarts: 1,
        };
        let runs = samples::executions();
        let points = [point(0), point(10), point(20), point(5000)];
        let history = State::ALL.map(happening).into();
        let shown = (at == State::Running).then(samples::execution_id);
        let now = samples::now();
        let title = AgentPage::title(&status, &agent);
        let state = Panel::new(agent.id, status, (&points, history), may_write, shown, now);
        let log = (at != State::Stopped)
            .then(|| Box::new(log::tests::sample(automa_core::execution::State::Running)));
        let page = AgentPage {
            frame: samples::frame(&title, Place::Agents),
            script: samples::HOSTILE.to_owned(),
            state,
            may_write,
            said: said(if may_write { "deaf" } else { "" }),
            log,
            runs: Table::new("Runs", &runs, now).unnamed(),
            more: "/executions?agent=x".to_owned(),
            agent,
        };
        page.render().unwrap()
    }

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        vec![
            ("agent-running", page(State::Running, true)),
            ("agent-viewer", page(State::Running, false)),
            ("agent-crash-loop", page(State::CrashLoop, true)),
            ("agent-backing-off", page(State::BackingOff, true)),
            ("agent-stopping", page(State::Stopping, true)),
            ("agent-stopped", page(State::Stopped, true)),
        ]
    }

    #[test]
    fn a_viewer_has_nothing_to_press() {
        let viewer = page(State::Running, false);
        for what in ["/stop", "/restart", "/stdin", "/signal", "/edit"] {
            assert!(!viewer.contains(&format!("{what}\"")), "{what}");
        }
    }

    #[test]
    fn pauses_are_not_drawn() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let point = |second, cpu_millis| Point {
            at: at(second),
            cpu_millis,
            memory_bytes: 1,
            pids: 1,
            restarts: 0,
        };
        let drawn = drawn(&[point(0, 0), point(10, 500), point(5000, 1000)]);
        let times: Vec<_> = drawn.iter().map(|it| (it.at_ms, it.cpu_ms)).collect();
        assert_eq!(times, [(10_000, 5_000), (70_000, 65_000)]);
    }
}
