//! Executions of [agents](crate::agent): how they come to be, and what is different for them.
//!
//! They have no turn: they are started when their agent is, in sandboxes that are theirs.

use automa_sandbox::Policy;
use jiff::Timestamp;

use super::{Dispatch, Execution, LimitsRequest, State, Work, parameters, submission::by_schema};
use crate::{
    Result,
    agent::Agent,
    event::Event,
    id::ExecutionId,
    quota, script,
    store::{self, change::Change},
    tier,
};

/// Records an execution of an agent as started.
pub(crate) fn start_for_agent(
    change: &mut Change,
    agent: &Agent,
    id: ExecutionId,
    now: Timestamp,
) -> Result<()> {
    let (script, version) = script::find_for_schedule(change, agent.script, agent.version)?;
    // A newer version may not take what was right for the one before.
    let given = agent.parameters.as_deref().map(parameters::read).transpose()?;
    let (_, parameters) = by_schema(&version, given, agent.parameters.clone())?;
    let execution = Execution {
        id,
        state: State::Running,
        language: version.language,
        script: Some((script.id, version.number)),
        script_name: Some(script.name),
        requested_by: format!("agent {}", agent.name),
        user: agent.owner,
        created_at: now,
        started_at: Some(now),
        finished_at: None,
        attempt: 1,
        rerun_of: None,
        ending: None,
        dispatch: Dispatch::default(),
        job: None,
        agent: Some(agent.id),
    };
    // How long an execution of the script may take says nothing about an agent.
    let limits = LimitsRequest {
        wall_ms: agent.limits.wall_ms,
        cpu_ms: agent.limits.cpu_ms,
        output_bytes: None,
        ..agent.limits.over(version.limits)
    };
    let memory = Policy::agent().limits_ref().memory.0;
    let limits = tier::plan(change, agent.owner)?.cut_memory(limits, memory);
    quota::take_execution(change, agent.owner, now)?.put(change)?;
    let network = agent.network.clone();
    store::executions::put(change, &execution)?;
    store::executions::put_work(change, id, &Work { source: None, parameters, limits, network })?;
    change.emit(Event::ExecutionChanged { id, state: State::Running });
    Ok(())
}

/// What confines an agent. It may write as much as it likes, of which its log keeps the end.
pub(super) fn policy(limits: &LimitsRequest) -> Policy {
    let policy = Policy::agent();
    let limits = limits.over_defaults(policy.limits_ref());
    policy.limits(limits)
}
