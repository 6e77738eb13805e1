//! The steps of an agent's state, each within the change that records what happened.

use super::{
    Agent, Happening,
    state::{End, Input, Moment, Supervision},
};
use crate::{
    Result,
    error::StoreError,
    event::Event,
    execution::{Execution, State},
    id::AgentId,
    store::{
        self,
        change::{Change, View},
    },
};

/// Where an agent is.
pub(super) fn find(view: &impl View, id: AgentId) -> Result<Supervision> {
    store::agents::supervision(view, id)?.ok_or_else(|| super::not_found(id))
}

/// Lets something happen to an agent; tells where it is then. `None` if there is no such agent any
/// more.
pub(super) fn advance(
    change: &mut Change,
    id: AgentId,
    input: Input<'_>,
    at: Moment,
) -> Result<Option<Supervision>, StoreError> {
    let Some(agent) = store::agents::get(change, id)? else { return Ok(None) };
    let Some(supervision) = store::agents::supervision(change, id)? else { return Ok(None) };
    apply(change, &agent, supervision, input, at).map(Some)
}

/// As [`advance`], for one that was read.
pub(super) fn apply(
    change: &mut Change,
    agent: &Agent,
    mut supervision: Supervision,
    input: Input<'_>,
    at: Moment,
) -> Result<Supervision, StoreError> {
    let (phase, execution) = (supervision.phase, supervision.execution());
    if supervision.apply(input, &agent.restart, at) {
        store::agents::put_supervision(change, agent.id, &supervision)?;
        if supervision.phase != phase {
            let happening = Happening {
                at: at.now,
                state: supervision.state(),
                why: supervision.why.clone(),
                execution: supervision.execution().or(execution),
                until: supervision.wake(),
            };
            store::agents::add_to_history(change, agent.id, &happening)?;
        }
        change.emit(Event::AgentChanged(agent.id));
    }
    Ok(supervision)
}

/// Lets an agent go on whose execution has ended. What is cancelled while all is being `closed` was
/// interrupted.
pub(crate) fn ended(
    change: &mut Change,
    execution: &Execution,
    closed: bool,
    at: Moment,
) -> Result<(), StoreError> {
    let (Some(agent), Some(ending)) = (execution.agent, &execution.ending) else { return Ok(()) };
    let cause = sentence(&ending.cause, ending.exit_code);
    let end = match execution.state {
        State::Succeeded => End::Succeeded(&cause),
        State::Cancelled if closed && execution.dispatch.cancelled_at.is_none() => {
            End::Interrupted("Automa was stopped, and with it the script")
        }
        _ => End::Failed(&cause),
    };
    advance(change, agent, Input::Ended(execution.id, end), at)?;
    Ok(())
}

/// Lets an agent go on whose execution a former process was running when it ended.
pub(crate) fn interrupted(
    change: &mut Change,
    execution: &Execution,
    at: Moment,
) -> Result<(), StoreError> {
    let Some(agent) = execution.agent else { return Ok(()) };
    let end = End::Interrupted("Automa ended without stopping it");
    advance(change, agent, Input::Ended(execution.id, end), at)?;
    Ok(())
}

/// A cause as a sentence.
fn sentence(cause: &str, exit_code: Option<i32>) -> String {
    if exit_code == Some(0) {
        return "The script ended by itself".to_owned();
    }
    let mut rest = cause.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}
