//! What executions look like in the API.

use std::collections::BTreeMap;

use automa_core::{
    execution::{
        self, Deadline, DispatchRequest, LimitsRequest, NewExecution, Program, Ran, ResultValue,
        State,
    },
    id::{AgentId, ExecutionId, JobId, ScriptId},
    page::Cursor,
    script::Language,
};
use automa_sandbox::Destination;
use jiff::Timestamp;
use poem_openapi::Object;
use serde::Serialize;
use serde_json::Value;

use super::report::Report;
use crate::{
    api::{
        dispatch::{Attempt, Retry, Waiting, priority},
        scripts::Limits,
        wire::{OneOf, Text},
    },
    problem::{InvalidField, Problem},
};

/// What to execute: a script, or code that is not saved.
#[derive(Object)]
#[oai(rename = "NewExecution")]
pub(super) struct Submission {
    /// The script; else `language` and `source`.
    pub(super) script_id: Option<Text<ScriptId>>,
    /// The script's version, the newest unless told.
    pub(super) version: Option<u32>,
    /// The language of code that is not saved.
    pub(super) language: Option<OneOf<Language>>,
    /// The code, at most 1 MiB.
    pub(super) source: Option<String>,
    /// Given to the run as environment variables, and as one JSON document.
    pub(super) parameters: Option<BTreeMap<String, Value>>,
    /// In place of the script's.
    pub(super) limits: Option<Limits>,
    /// What may be reached over TCP, nothing unless told: `example.com:443`, `*.example.com:443`,
    /// `192.0.2.1:80` or `[2001:db8::1]:80`. At most 64, with at most 32 different ports. Names lead
    /// only to public addresses.
    pub(super) network: Option<Vec<String>>,
    /// -100 to 100: of what one user has waiting, the highest goes first. The script's unless told.
    pub(super) priority: Option<i32>,
    /// Until when it has to be started: if it still waits then, it ends as timed out.
    pub(super) deadline: Option<Text<Timestamp>>,
    /// The same as a time after it was accepted, at most a year.
    pub(super) deadline_ms: Option<u64>,
    /// In place of the script's. One attempt is no retry.
    pub(super) retry: Option<Retry>,
    /// In place of the value of the parameter by which the script's executions are counted that run
    /// at the same time.
    pub(super) concurrency_key: Option<String>,
}

/// What to change when running again.
#[derive(Object)]
pub(super) struct Rerun {
    /// In place of those of the former run.
    pub(super) parameters: Option<BTreeMap<String, Value>>,
    /// In place of what the former run could reach.
    pub(super) network: Option<Vec<String>>,
}

/// One run of a version of a script, or of code that was not saved.
#[derive(Debug, Clone, Object, Serialize)]
pub(crate) struct Execution {
    pub(super) id: Text<ExecutionId>,
    pub(super) state: OneOf<State>,
    pub(super) language: OneOf<Language>,
    /// None for code that was not saved.
    pub(super) script_id: Option<Text<ScriptId>>,
    /// The script's name when the execution was accepted.
    pub(super) script_name: Option<String>,
    /// The script's version.
    pub(super) version: Option<u32>,
    /// Who asked for it.
    pub(super) requested_by: String,
    pub(super) created_at: Text<Timestamp>,
    pub(super) started_at: Option<Text<Timestamp>>,
    pub(super) finished_at: Option<Text<Timestamp>>,
    pub(super) exit_code: Option<i32>,
    /// The signal that ended the script.
    pub(super) signal: Option<i32>,
    /// Why it ended, in a sentence.
    pub(super) cause: Option<String>,
    pub(super) wall_ms: Option<u64>,
    pub(super) cpu_ms: Option<u64>,
    pub(super) peak_memory_bytes: Option<u64>,
    pub(super) output_bytes: Option<u64>,
    /// The value that the script left as its result. Not in lists.
    pub(super) result: Option<Value>,
    /// Why what it left as its result is none. Not in lists.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) result_error: Option<String>,
    /// From 1 up.
    pub(super) attempt: u32,
    /// How often it is tried at most.
    pub(super) max_attempts: u32,
    /// Of what its user has waiting, the highest goes first.
    pub(super) priority: i32,
    /// Until when it has to be started.
    pub(super) deadline: Option<Text<Timestamp>>,
    /// When it is tried again, while it waits for that.
    pub(super) not_before: Option<Text<Timestamp>>,
    /// When it was asked to end while it ran.
    pub(super) cancel_requested_at: Option<Text<Timestamp>>,
    /// The execution for which it was cancelled.
    pub(super) replaced_by: Option<Text<ExecutionId>>,
    /// The execution that this one repeats.
    pub(super) rerun_of: Option<Text<ExecutionId>>,
    /// The job that started it.
    pub(super) job_id: Option<Text<JobId>>,
    /// The time for which the job started it.
    pub(super) slot: Option<Text<Timestamp>>,
    /// The agent that it is a run of.
    pub(super) agent_id: Option<Text<AgentId>>,
    /// What it was told. Only in the answer to `GET` of this one execution, as all up to `network`.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parameters: Option<BTreeMap<String, Value>>,
    /// Its limits; what is not there is the default.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limits: Option<Limits>,
    /// What it may reach.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) network: Option<Vec<Text<Destination>>>,
    /// Why it waits, while it does. Not in lists.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) waiting: Option<Waiting>,
    /// Its attempts before this one. Not in lists, and only if there were some.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempts: Option<Vec<Attempt>>,
    /// What confined it and what it used. Not in lists, and not of what never started.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) report: Option<Report>,
    /// The first 64 KiB of the log as text: with `wait`, when it ended within.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<String>,
    /// Whether the log is longer than `output`.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_truncated: Option<bool>,
}

/// Executions, newest first.
#[derive(Object, Serialize)]
pub(super) struct ExecutionPage {
    pub(super) items: Vec<Execution>,
    /// Where the next page continues; none on the last.
    pub(super) next_cursor: Option<Text<Cursor>>,
}

/// A number of executions.
#[derive(Object)]
pub(super) struct Count {
    pub(super) count: u64,
    /// Whether these are all, and not only as many as are counted.
    pub(super) is_exact: bool,
}

impl Submission {
    /// Of a script, or of nothing yet.
    pub(super) fn of(script: Option<Text<ScriptId>>) -> Self {
        Self {
            script_id: script,
            version: None,
            language: None,
            source: None,
            parameters: None,
            limits: None,
            network: None,
            priority: None,
            deadline: None,
            deadline_ms: None,
            retry: None,
            concurrency_key: None,
        }
    }

    /// What it asks for, if that is one thing.
    pub(super) fn read(self) -> Result<NewExecution, Problem> {
        let program = match (self.script_id, self.language, self.source) {
            (Some(Text(id)), None, None) => Program::Script { id, version: self.version },
            (Some(_), _, _) => {
                let reason = "names what to run: leave out `language` and `source`";
                return Err(Problem::invalid_field("script_id", reason));
            }
            (None, Some(OneOf(language)), Some(source)) => Program::Code { language, source },
            (None, None, _) => {
                return Err(Problem::invalid_field("language", "is required without `script_id`"));
            }
            (None, _, None) => {
                return Err(Problem::invalid_field("source", "is required without `script_id`"));
            }
        };
        let deadline = match (self.deadline, self.deadline_ms) {
            (Some(Text(at)), None) => Some(Deadline::At(at)),
            (None, ms) => ms.map(Deadline::After),
            (Some(_), Some(_)) => {
                return Err(Problem::invalid_field("deadline_ms", "leave it out or `deadline`"));
            }
        };
        let dispatch = DispatchRequest {
            priority: self.priority.map(priority),
            deadline,
            retry: self.retry.map(Into::into),
            concurrency_key: self.concurrency_key,
        };
        if self.version.is_some() && matches!(program, Program::Code { .. }) {
            return Err(Problem::invalid_field("version", "is for scripts: leave it out"));
        }
        Ok(NewExecution {
            program,
            parameters: self.parameters.map(|it| it.into_iter().collect()),
            limits: self.limits.unwrap_or_default().into(),
            network: destinations(&self.network.unwrap_or_default())?,
            dispatch,
            idempotency_key: None,
        })
    }
}

impl Rerun {
    /// What is to be different.
    pub(super) fn read(self) -> Result<execution::Rerun, Problem> {
        Ok(execution::Rerun {
            parameters: self.parameters.map(|it| it.into_iter().collect()),
            network: self.network.as_deref().map(destinations).transpose()?,
        })
    }
}

/// Reads an allow-list; what cannot be read is named by its place.
pub(crate) fn destinations(texts: &[String]) -> Result<Vec<Destination>, Problem> {
    let (mut read, mut wrong) = (Vec::new(), Vec::new());
    for (index, text) in texts.iter().enumerate() {
        match text.parse::<Destination>() {
            Ok(destination) => read.push(destination),
            Err(error) => {
                let field = format!("network.{index}");
                wrong.push(InvalidField { field, reason: error.to_string() });
            }
        }
    }
    if wrong.is_empty() { Ok(read) } else { Err(Problem::invalid(wrong)) }
}

impl Execution {
    /// The same with what its script has left as its result.
    pub(crate) fn with_result(self, result: Option<ResultValue>) -> Self {
        match result {
            Some(ResultValue::Value(value)) => Self { result: Some(value), ..self },
            Some(ResultValue::Unusable(reason)) => Self { result_error: Some(reason), ..self },
            None => self,
        }
    }

    /// The same with what it ran but its source.
    pub(super) fn with_program(self, ran: Ran) -> Self {
        Self {
            parameters: ran.parameters.map(|it| it.into_iter().collect()),
            limits: Some(ran.limits.into()),
            network: Some(ran.network.into_iter().map(Text).collect()),
            ..self
        }
    }
}

impl From<Limits> for LimitsRequest {
    fn from(limits: Limits) -> Self {
        let Limits { wall_ms, cpu_ms, cpus, memory_bytes, pids, output_bytes, tmp_bytes } = limits;
        Self { wall_ms, cpu_ms, cpus, memory_bytes, pids, output_bytes, tmp_bytes }
    }
}

impl From<LimitsRequest> for Limits {
    fn from(limits: LimitsRequest) -> Self {
        let LimitsRequest { wall_ms, cpu_ms, cpus, memory_bytes, pids, output_bytes, tmp_bytes } =
            limits;
        Self { wall_ms, cpu_ms, cpus, memory_bytes, pids, output_bytes, tmp_bytes }
    }
}

impl From<execution::Execution> for Execution {
    fn from(execution: execution::Execution) -> Self {
        let (ending, dispatch) = (execution.ending.as_ref(), &execution.dispatch);
        Self {
            id: Text(execution.id),
            state: OneOf(execution.state),
            language: OneOf(execution.language),
            script_id: execution.script.map(|(id, _)| Text(id)),
            script_name: execution.script_name,
            version: execution.script.map(|(_, version)| version),
            requested_by: execution.requested_by,
            created_at: Text(execution.created_at),
            started_at: execution.started_at.map(Text),
            finished_at: execution.finished_at.map(Text),
            exit_code: ending.and_then(|it| it.exit_code),
            signal: ending.and_then(|it| it.signal),
            cause: ending.map(|it| it.cause.clone()),
            wall_ms: ending.map(|it| it.wall_ms),
            cpu_ms: ending.map(|it| it.cpu_ms),
            peak_memory_bytes: ending.and_then(|it| it.peak_memory_bytes),
            output_bytes: ending.map(|it| it.output_bytes),
            result: None,
            result_error: None,
            attempt: execution.attempt,
            max_attempts: dispatch.max_attempts,
            priority: dispatch.priority.into(),
            deadline: dispatch.deadline.map(Text),
            not_before: dispatch.not_before.map(Text),
            cancel_requested_at: dispatch.cancelled_at.map(Text),
            replaced_by: dispatch.replaced_by.map(Text),
            rerun_of: execution.rerun_of.map(Text),
            job_id: execution.job.map(|slot| Text(slot.job)),
            slot: execution.job.map(|slot| Text(slot.at)),
            agent_id: execution.agent.map(Text),
            parameters: None,
            limits: None,
            network: None,
            waiting: None,
            attempts: None,
            report: None,
            output: None,
            output_truncated: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use automa_core::{
        execution::{Dispatch, Ending, Slot},
        id::UserId,
    };

    use super::*;
    use crate::api::document::same_as_schema;

    #[test]
    fn documents_are_as_their_schemas_say() {
        let id = "0197c1a0-5f00-7000-8000-00000000002a";
        let at: Timestamp = "2026-01-01T00:00:00.000001Z".parse().unwrap();
        let execution = execution::Execution {
            id: id.parse().unwrap(),
            state: State::TimedOut,
            language: Language::Python,
            script: Some((id.parse().unwrap(), 3)),
            script_name: Some("\"nightly\"".to_owned()),
            requested_by: "ada".to_owned(),
            user: Some(id.parse::<UserId>().unwrap()),
            created_at: at,
            started_at: Some(at),
            finished_at: None,
            attempt: 1,
            rerun_of: None,
            ending: Some(Ending {
                cause: "the script was stopped at its time limit".to_owned(),
                exit_code: None,
                signal: Some(9),
                wall_ms: 1,
                cpu_ms: 2,
                peak_memory_bytes: None,
                output_bytes: 3,
            }),
            dispatch: Dispatch { deadline: Some(at), ..Dispatch::default() },
            job: Some(Slot { job: id.parse().unwrap(), at }),
            agent: None,
        };
        let mut items = vec![Execution::from(execution)];
        items.push(Execution { output: Some("x".to_owned()), ..items[0].clone() });
        same_as_schema(&ExecutionPage { items, next_cursor: None });
    }
}
