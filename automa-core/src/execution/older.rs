//! Executions as earlier versions stored them. What is here never changes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Dispatch, Ending, Execution, State};
use crate::{
    id::{ExecutionId, ScriptId, UserId},
    script::Language,
};

/// Version 1 of the record.
#[derive(Serialize, Deserialize)]
pub(crate) struct ExecutionV1 {
    id: ExecutionId,
    state: State,
    language: Language,
    script: Option<(ScriptId, u32)>,
    script_name: Option<String>,
    requested_by: String,
    user: Option<UserId>,
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    created_at: Timestamp,
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    started_at: Option<Timestamp>,
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    finished_at: Option<Timestamp>,
    attempt: u32,
    rerun_of: Option<ExecutionId>,
    ending: Option<Ending>,
}

impl From<ExecutionV1> for Execution {
    fn from(old: ExecutionV1) -> Self {
        Self {
            id: old.id,
            state: old.state,
            language: old.language,
            script: old.script,
            script_name: old.script_name,
            requested_by: old.requested_by,
            user: old.user,
            created_at: old.created_at,
            started_at: old.started_at,
            finished_at: old.finished_at,
            attempt: old.attempt,
            rerun_of: old.rerun_of,
            ending: old.ending,
            dispatch: Dispatch::default(),
            job: None,
            agent: None,
        }
    }
}

/// Version 2 of the record.
#[derive(Serialize, Deserialize)]
pub(crate) struct ExecutionV2 {
    id: ExecutionId,
    state: State,
    language: Language,
    script: Option<(ScriptId, u32)>,
    script_name: Option<String>,
    requested_by: String,
    user: Option<UserId>,
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    created_at: Timestamp,
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    started_at: Option<Timestamp>,
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    finished_at: Option<Timestamp>,
    attempt: u32,
    rerun_of: Option<ExecutionId>,
    ending: Option<Ending>,
    dispatch: Dispatch,
}

impl From<ExecutionV2> for Execution {
    fn from(old: ExecutionV2) -> Self {
        Self {
            id: old.id,
            state: old.state,
            language: old.language,
            script: old.script,
            script_name: old.script_name,
            requested_by: old.requested_by,
            user: old.user,
            created_at: old.created_at,
            started_at: old.started_at,
            finished_at: old.finished_at,
            attempt: old.attempt,
            rerun_of: old.rerun_of,
            ending: old.ending,
            dispatch: old.dispatch,
            job: None,
            agent: None,
        }
    }
}
