//! Attempts: how each of an execution's ended, and whether another follows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Ending, Execution, State};
use crate::{
    error::StoreError,
    id::ExecutionId,
    store::{self, change::Change},
};

/// An attempt that was followed by another. The last one is the execution itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1 up.
    pub number: u32,
    /// How it ended.
    pub state: State,
    /// When it was started.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub finished_at: Timestamp,
    /// How, exactly.
    pub ending: Ending,
}

/// An attempt of an execution: the last one unless told. An id alone is that, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptOf {
    /// The execution.
    pub execution: ExecutionId,
    /// From 1 up.
    pub attempt: Option<u32>,
}

impl From<ExecutionId> for AttemptOf {
    fn from(execution: ExecutionId) -> Self {
        Self { execution, attempt: None }
    }
}

impl From<(ExecutionId, Option<u32>)> for AttemptOf {
    fn from((execution, attempt): (ExecutionId, Option<u32>)) -> Self {
        Self { execution, attempt }
    }
}

/// The name of the file with the log of an attempt, in the directory of logs.
pub(crate) fn log_name(id: ExecutionId, attempt: u32) -> String {
    match attempt {
        0 | 1 => format!("{id}.log"),
        attempt => format!("{id}.{attempt}.log"),
    }
}

/// The end of an attempt.
#[derive(Debug, Clone)]
pub(super) struct Conclusion {
    /// Which attempt.
    pub(super) attempt: u32,
    pub(super) state: State,
    pub(super) ending: Ending,
    pub(super) at: Timestamp,
    /// By which the pause before the next attempt differs.
    pub(super) random: u64,
}

impl Conclusion {
    /// Records the end of an execution that runs: it has ended with it, or is queued for another
    /// attempt. `false` if that was done before.
    pub(super) fn record(
        &self,
        change: &mut Change,
        execution: &mut Execution,
    ) -> Result<bool, StoreError> {
        if execution.state != State::Running || execution.attempt != self.attempt {
            return Ok(false);
        }
        let mut ending = self.ending.clone();
        if let (State::Cancelled, Some(by)) = (self.state, execution.dispatch.replaced_by) {
            ending.cause = format!("{}, because execution {by} replaced it", ending.cause);
        }
        if let Some(again) = self.next(change, execution)? {
            let attempt = Attempt {
                number: execution.attempt,
                state: self.state,
                started_at: execution.started_at,
                finished_at: self.at,
                ending,
            };
            store::executions::put_attempt(change, execution.id, &attempt)?;
            execution.state = State::Queued;
            execution.attempt += 1;
            execution.dispatch.not_before = Some(again);
        } else {
            execution.state = self.state;
            execution.finished_at = Some(self.at);
            execution.ending = Some(ending);
        }
        store::executions::put(change, execution)?;
        Ok(true)
    }

    /// When it is tried again, if it is.
    fn next(
        &self,
        change: &Change,
        execution: &Execution,
    ) -> Result<Option<Timestamp>, StoreError> {
        let dispatch = &execution.dispatch;
        if execution.attempt >= dispatch.max_attempts || dispatch.cancelled_at.is_some() {
            return Ok(None);
        }
        let Some(retry) = store::executions::retry(change, execution.id)? else { return Ok(None) };
        let again = retry.next(execution.attempt, self.state, self.at, self.random);
        // What could not be started before its deadline any more is not queued for it.
        Ok(again.filter(|at| dispatch.deadline.is_none_or(|deadline| *at < deadline)))
    }
}
