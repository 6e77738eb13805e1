//! Which executions a list has, and how many there are.

use super::State;
use crate::id::ScriptId;

/// Which executions: all, unless something is named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those in this state.
    pub state: Option<State>,
    /// Those of this script, whatever the version, and even if it was deleted.
    pub script: Option<ScriptId>,
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
