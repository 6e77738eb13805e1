//! The states of an execution, and what each outcome amounts to.

use std::{fmt, str::FromStr};

use automa_sandbox::Outcome;
use serde::{Deserialize, Serialize};

/// The state of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Accepted, not started.
    Queued,
    /// Started, not ended.
    Running,
    /// Ended with exit code 0.
    Succeeded,
    /// Ended in any way that no other state names.
    Failed,
    /// Ended at its wall or processor time limit.
    TimedOut,
    /// Ended by a user.
    Cancelled,
    /// Ended at its memory limit.
    OutOfMemory,
    /// Nobody knows how it ended.
    Lost,
}

impl State {
    /// All states, in the order in which an execution may go through them.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
        Self::OutOfMemory,
        Self::Lost,
    ];

    /// Its number in keys of the store, which never changes.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Queued => 0,
            Self::Running => 1,
            Self::Succeeded => 2,
            Self::Failed => 3,
            Self::TimedOut => 4,
            Self::Cancelled => 5,
            Self::OutOfMemory => 6,
            Self::Lost => 7,
        }
    }

    /// The state's name in the API and on pages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::OutOfMemory => "out_of_memory",
            Self::Lost => "lost",
        }
    }

    /// The state after "it".
    pub(crate) fn as_sentence(self) -> &'static str {
        match self {
            Self::Queued => "is queued",
            Self::Running => "is running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::Cancelled => "was cancelled",
            Self::OutOfMemory => "ran out of memory",
            Self::Lost => "was lost",
        }
    }

    /// Whether it can still change.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Running)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no state of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a state; there are {all}", all = State::ALL.map(State::name).join(", "))]
pub struct UnknownState(String);

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        let state = Self::ALL.into_iter().find(|state| state.name() == text);
        state.ok_or_else(|| UnknownState(text.to_owned()))
    }
}

impl From<&Outcome> for State {
    /// The final state that an outcome of the sandbox amounts to.
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Exited { code: 0 } => Self::Succeeded,
            Outcome::WallTime | Outcome::CpuTime => Self::TimedOut,
            Outcome::Memory => Self::OutOfMemory,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Lost => Self::Lost,
            // Also what a later version of the sandbox may name more exactly.
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_are_one_for_each() {
        for (index, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(state.code()), index);
            assert_eq!(state.name().parse(), Ok(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
        let error = "done".parse::<State>().unwrap_err().to_string();
        assert!(error.starts_with("`done` is not a state; there are queued, running, "), "{error}");
    }

    #[test]
    fn outcomes_amount_to_states() {
        for (outcome, state) in [
            (Outcome::Exited { code: 0 }, State::Succeeded),
            (Outcome::Exited { code: 3 }, State::Failed),
            (Outcome::Signaled { signal: 15 }, State::Failed),
            (Outcome::CpuTime, State::TimedOut),
            (Outcome::Memory, State::OutOfMemory),
            (Outcome::Disk, State::Failed),
            (Outcome::Lost, State::Lost),
        ] {
            assert_eq!(State::from(&outcome), state, "{outcome:?}");
        }
    }
}
