//! Which executions a list has, and how many there are.

use jiff::Timestamp;

use super::State;
use crate::id::{AgentId, JobId, ScriptId};

/// Which executions: all, unless something is named; then those of which all of it is true.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those in one of these states.
    pub states: Vec<State>,
    /// Those of this script, whatever the version, and even if it was deleted.
    pub script: Option<ScriptId>,
    /// Those that this job started, even if it was deleted.
    pub job: Option<JobId>,
    /// Those that are runs of this agent, even if it was deleted.
    pub agent: Option<AgentId>,
    /// Those that somebody of this name asked for, as named at that time.
    pub requested_by: Option<String>,
    /// Those accepted at this moment or later, to the millisecond.
    pub created_from: Option<Timestamp>,
    /// Those accepted before this moment, to the millisecond.
    pub created_until: Option<Timestamp>,
    /// Those that took, or have been running for, at least so long.
    pub min_wall_ms: Option<u64>,
}

impl Filter {
    /// Those in one state.
    #[must_use]
    pub fn in_state(state: State) -> Self {
        Self { states: vec![state], ..Self::default() }
    }

    /// Those of one script.
    #[must_use]
    pub fn of_script(script: ScriptId) -> Self {
        Self { script: Some(script), ..Self::default() }
    }

    /// Whether it names nothing but states, so that counting needs no look at executions.
    pub(crate) fn is_by_state_alone(&self) -> bool {
        Self { states: Vec::new(), ..self.clone() } == Self::default()
    }
}

/// How many executions a filter lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// How many were counted.
    pub count: u64,
    /// Whether these are all. Counting stops at 10,000, unless a filter names nothing but states.
    pub is_exact: bool,
}

/// How many executions there are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([u64; State::ALL.len()]);

impl Counts {
    /// How many are in `state`.
    #[must_use]
    pub fn of(&self, state: State) -> u64 {
        self.0[usize::from(state.code())]
    }

    /// How many there are at all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn set(&mut self, state: State, count: u64) {
        self.0[usize::from(state.code())] = count;
    }
}
