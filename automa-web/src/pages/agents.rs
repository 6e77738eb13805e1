//! `/agents`: scripts that are kept running: the list, and what can be asked of each.

mod console;
mod form;

use std::time::Duration;

use askama::Template;
use automa_core::{
    Automa, Error,
    actor::Permission,
    agent::{Agent, Signal, State, Status},
    event::{Event, Subscription},
    id::AgentId,
};
use futures_util::stream;
use poem::{
    Request, Response, handler,
    web::{
        Data, Form, Path,
        sse::{self, SSE},
    },
};

pub(super) use self::{
    console::{panel, show},
    form::{blank, create, edit, save},
};
use super::{
    executions::{KEEP_ALIVE, LIFE},
    form::Typed,
    frame::{Frame, Place},
};
use crate::{
    auth::Caller,
    filters,
    htmx::{render, see_other},
    lifecycle::Stop,
    problem::Problem,
};

/// Time in which changes become one notice, and between two looks at what agents use.
const PAUSE: Duration = Duration::from_millis(500);
const USAGE: Duration = Duration::from_secs(10);

#[derive(Debug, Template)]
#[template(path = "agents/list.html")]
struct ListPage {
    frame: Frame,
    may_write: bool,
    rows: Vec<Row>,
}

/// One agent in the list.
#[derive(Debug)]
struct Row {
    agent: Agent,
    status: Status,
    script: String,
}

impl ListPage {
    /// How many are in each state, in words.
    fn tally(&self) -> String {
        let of = |state| self.rows.iter().filter(|row| row.status.state == state).count();
        let parts = State::ALL.into_iter().map(|state| (of(state), word(state)));
        let parts = parts.filter(|(count, _)| *count > 0);
        let parts = parts.map(|(count, word)| format!("{count} {}", word.to_lowercase()));
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// A state in words, with a capital.
pub(crate) fn word(state: State) -> &'static str {
    match state {
        State::Stopped => "Stopped",
        State::Starting => "Starting",
        State::Running => "Running",
        State::BackingOff => "Waiting to restart",
        State::CrashLoop => "Crash loop",
        State::Stopping => "Stopping",
    }
}

/// Its picture, and the class of its colour.
pub(crate) fn look(state: State) -> (&'static str, &'static str) {
    match state {
        State::Stopped => ("stop", "cancelled"),
        State::Starting => ("wait", "queued"),
        State::Running => ("turn", "running"),
        State::BackingOff => ("hour", "timed_out"),
        State::CrashLoop => ("bad", "failed"),
        State::Stopping => ("wait", "cancelled"),
    }
}

impl Row {
    fn can(&self) -> (bool, bool) {
        can(self.status.state)
    }

    fn busy(&self) -> Option<String> {
        busy(&self.status)
    }
}

/// Processors as people say them.
fn busy(status: &Status) -> Option<String> {
    let usage = status.usage?;
    Some(format!("{:.1} %", f64::from(usage.cpu_millis) / 10.0))
}

/// Whether it can be started, and stopped.
fn can(state: State) -> (bool, bool) {
    match state {
        State::Stopped => (true, false),
        State::BackingOff | State::CrashLoop => (true, true),
        State::Starting | State::Running => (false, true),
        State::Stopping => (false, false),
    }
}

/// Shows the list.
#[handler]
pub(super) async fn show_list(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
) -> Result<Response, Problem> {
    let agents = automa.agents(&caller.actor).list().await?;
    let scripts = automa.scripts(&caller.actor);
    let rows = agents.into_iter().map(|(agent, status)| {
        let script = scripts.get(agent.script).map_or_else(|_| deleted(), |script| script.name);
        Row { agent, status, script }
    });
    let rows = rows.collect();
    let may_write = caller.actor.require(Permission::WriteAgents).is_ok();
    let frame = super::frame(request, &caller, "Agents", Place::Agents);
    render(&ListPage { frame, may_write, rows })
}

/// What stands for a script that is not there any more.
fn deleted() -> String {
    "a deleted script".to_owned()
}

/// Starts, stops or restarts an agent; goes back to where that was asked for.
#[handler]
pub(super) async fn operate(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path((id, what)): Path<(String, String)>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let id: AgentId = super::id(&id)?;
    let agents = automa.agents(&caller.actor);
    match what.as_str() {
        "start" => drop(agents.start(id).await?),
        "stop" => drop(agents.stop(id).await?),
        "restart" => drop(agents.restart(id).await?),
        "delete" => {
            agents.delete(id).await?;
            return Ok(see_other("/agents"));
        }
        _ => return super::id::<AgentId>("").map(|_| see_other("/agents")),
    }
    let back = if typed.has("list") { "/agents".to_owned() } else { format!("/agents/{id}") };
    Ok(see_other(&back))
}

/// Writes a line to an agent's standard input.
#[handler]
pub(super) async fn tell(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let id: AgentId = super::id(&id)?;
    let told = automa.agents(&caller.actor).tell(id, typed.get("line")).await;
    answer(id, told, "told")
}

/// Sends an agent a signal.
#[handler]
pub(super) async fn signal(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let id: AgentId = super::id(&id)?;
    let signal = super::named(typed.get("signal"), "signal", |it| it.parse::<Signal>().ok())?;
    let signal = signal.unwrap_or(Signal::Hup);
    let sent = automa.agents(&caller.actor).signal(id, signal).await;
    answer(id, sent, "signalled")
}

/// The way back to the agent, which says what came of it.
fn answer(id: AgentId, result: Result<(), Error>, done: &str) -> Result<Response, Problem> {
    let said = match result {
        Ok(()) => done,
        Err(Error::AgentStopped) => "stopped",
        Err(Error::AgentDeaf) => "deaf",
        Err(error) => return Err(error.into()),
    };
    Ok(see_other(&format!("/agents/{id}?said={said}")))
}

/// Tells the list that an agent has changed.
#[handler]
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it takes from a request")]
pub(super) fn notices(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Data(stop): Data<&Stop>,
) -> Result<SSE, Problem> {
    caller.actor.require(Permission::ReadAgents).map_err(Error::from)?;
    Ok(changes(automa, stop, None))
}

/// Tells the page of an agent that it has changed.
#[handler]
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it takes from a request")]
pub(super) fn notices_of(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Data(stop): Data<&Stop>,
    Path(id): Path<String>,
) -> Result<SSE, Problem> {
    let id: AgentId = super::id(&id)?;
    automa.agents(&caller.actor).get(id)?;
    Ok(changes(automa, stop, Some(id)))
}

/// A notice for each change of one agent or of any, and now and then for what they use.
fn changes(automa: &Automa, stop: &Stop, of: Option<AgentId>) -> SSE {
    use futures_util::StreamExt as _;
    let stop = stop.clone();
    let over = async move {
        tokio::select! {
            () = stop.told() => {}
            () = tokio::time::sleep(LIFE) => {}
        }
    };
    let changes = stream::unfold((automa.events(), true), move |(mut events, first)| async move {
        // At once when it begins: something may have changed since the page was made.
        if !first {
            tokio::time::sleep(PAUSE).await;
            tokio::select! {
                changed = changed(&mut events, of) => changed?,
                () = tokio::time::sleep(USAGE) => {}
            }
        }
        Some((sse::Event::message("now").event_type("changed"), (events, false)))
    });
    SSE::new(changes.take_until(Box::pin(over))).keep_alive(KEEP_ALIVE)
}

/// Waits until an agent has changed, and takes all that has happened.
async fn changed(events: &mut Subscription, of: Option<AgentId>) -> Option<()> {
    loop {
        let mut event = Some(events.next().await?);
        let mut changed = false;
        while let Some(happened) = event {
            changed |= match happened {
                Event::AgentChanged(id) => of.is_none_or(|of| of == id),
                Event::Missed(_) => true,
                _ => false,
            };
            event = events.try_next();
        }
        if changed {
            return Some(());
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pages::samples;

    fn page(rows: Vec<Row>, may_write: bool) -> String {
        let frame = samples::frame("Agents", Place::Agents);
        ListPage { frame, may_write, rows }.render().unwrap()
    }

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let row = |state| {
            let (agent, status) = samples::agent(state);
            Row { agent, status, script: samples::HOSTILE.to_owned() }
        };
        let rows = || State::ALL.map(row).into();
        let mut samples = vec![
            ("agents", page(rows(), true)),
            ("agents-viewer", page(rows(), false)),
            ("agents-none", page(Vec::new(), true)),
            ("agents-none-viewer", page(Vec::new(), false)),
        ];
        samples.extend(console::tests::samples());
        samples.extend(form::tests::samples());
        samples
    }

    #[test]
    fn every_state_has_a_word_and_an_icon_of_the_sprite() {
        let sprite = include_str!("../../../static/icons.svg");
        for state in State::ALL {
            let (icon, _) = look(state);
            assert!(sprite.contains(&format!("<symbol id=\"{icon}\"")), "{icon}");
            assert!(!word(state).is_empty());
        }
    }

    #[test]
    fn the_list_says_how_many_are_how() {
        let rows = [State::Running, State::Stopped, State::Running].map(|state| {
            let (agent, status) = samples::agent(state);
            Row { agent, status, script: String::new() }
        });
        let frame = samples::frame("Agents", Place::Agents);
        let page = ListPage { frame, may_write: true, rows: rows.into() };
        assert_eq!(page.tally(), "1 stopped, 2 running");
    }
}
