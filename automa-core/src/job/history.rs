//! What became of slots: each by itself for a while, and added up.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Next;
use crate::{execution::State, id::ExecutionId};

/// How many ends statistics name one by one.
const RUNS: usize = 30;

/// When a job is due, and how much is kept of what was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Schedule {
    /// `None` for one that is paused, over, or waits for calls.
    pub(crate) next: Option<Next>,
    /// How many slots are kept.
    pub(crate) kept: u32,
}

/// A slot that was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastSlot {
    /// Its time: as the trigger says, or when it was asked for.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub at: Timestamp,
    /// When it was decided.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub decided_at: Timestamp,
    /// What made it one.
    pub by: By,
    /// What became of it.
    pub became: Became,
}

/// What makes a job run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum By {
    /// Its trigger, in time.
    Trigger,
    /// Its trigger, made up for later.
    CatchUp,
    /// Somebody who ran it by hand.
    Person,
    /// A call of its webhook.
    Call,
}

impl By {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Trigger, Self::CatchUp, Self::Person, Self::Call];

    /// Its name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::CatchUp => "catch_up",
            Self::Person => "person",
            Self::Call => "call",
        }
    }

    /// Whether the slot is one that the trigger gives.
    pub(crate) fn is_trigger(self) -> bool {
        matches!(self, Self::Trigger | Self::CatchUp)
    }
}

/// What became of a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Became {
    /// An execution, which may have been removed since.
    Started(ExecutionId),
    /// Nothing, for this reason.
    Skipped(String),
    /// Nothing, as nobody was there at its time: this slot and those that followed it.
    Missed {
        /// The last of them.
        #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
        until: Timestamp,
        /// How many there were.
        count: u64,
        /// Whether these are all, and not only as many as are counted.
        exact: bool,
    },
}

/// What has come of a job since it was created.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Executions that succeeded.
    pub succeeded: u64,
    /// Those that failed, in whichever way.
    pub failed: u64,
    /// Those that were cancelled.
    pub cancelled: u64,
    /// Slots that were skipped.
    pub skipped: u64,
    /// Slots that were missed.
    pub missed: u64,
    /// The last 30 executions that have ended, newest first.
    pub last: Vec<Run>,
}

/// An execution that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub execution: ExecutionId,
    /// The slot it was for.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub slot: Timestamp,
    /// How it ended.
    pub state: State,
    /// How long it took.
    pub wall_ms: u64,
}

impl Statistics {
    /// Of those that succeeded or failed, the part that succeeded: 0 to 1; `None` if there are none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn success_rate(&self) -> Option<f64> {
        let ended = self.succeeded + self.failed;
        (ended > 0).then(|| self.succeeded as f64 / ended as f64)
    }

    /// Counts one that has ended.
    pub(crate) fn add(&mut self, run: Run) {
        match run.state {
            State::Succeeded => self.succeeded += 1,
            State::Cancelled => self.cancelled += 1,
            _ => self.failed += 1,
        }
        self.last.truncate(RUNS - 1);
        self.last.insert(0, run);
    }
}
