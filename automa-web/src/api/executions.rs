//! Executions: to start, list and end them.

mod execute;
mod report;
mod shape;

use std::time::Duration;

use automa_core::{
    Automa, Error,
    execution::{self, Filter, NewExecution, State},
    id::{AgentId, ExecutionId, JobId, ScriptId},
    page::{Cursor, Page},
};
use jiff::Timestamp;
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
};
use tokio::time::Instant;

pub(super) use self::execute::ExecuteApi;
use self::report::{Report, UsageHistory};
use self::shape::{Count, ExecutionPage, Rerun, Submission};
pub(crate) use self::shape::{Execution, destinations};
use super::{
    Tag,
    body::Body,
    document::Document,
    scripts::page,
    wire::{OneOf, Text},
};
use crate::{auth::Auth, blocking, problem::Problem};

/// Most bytes of the log that a finished submission answers with (64 KiB).
const OUTPUT_HEAD: u64 = 64 << 10;
/// Longest `wait` in seconds.
const WAIT_MAX: f64 = 300.0;

#[derive(ApiResponse)]
enum Submitted {
    /// It has ended within the time to wait
    #[oai(status = 200)]
    Ended(
        Json<Execution>,
        /// Where it is.
        #[oai(header = "Location")]
        String,
    ),
    /// It is accepted, durably
    #[oai(status = 202)]
    Accepted(
        Json<Execution>,
        /// Where it is.
        #[oai(header = "Location")]
        String,
    ),
}

pub(super) struct ExecutionsApi;

#[OpenApi(tag = "Tag::Executions", prefix_path = "/executions")]
impl ExecutionsApi {
    /// Execute a script, or code that is not saved.
    ///
    /// Once it is accepted it is durable and will be run. With `wait`, the answer comes when it has
    /// ended or the time is over, whichever is first; it runs on in any case.
    #[oai(path = "/", method = "post", operation_id = "submitExecution")]
    async fn submit(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        /// Seconds to wait for its end, at most 300.
        wait: Query<Option<f64>>,
        /// The same key with the same request is the same execution, for a day.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<String>>,
        Body(submission): Body<Submission>,
    ) -> Result<Submitted, Problem> {
        let until = deadline(wait.0)?;
        let new = NewExecution { idempotency_key: key.0, ..submission.read()? };
        let accepted = automa.executions(auth.actor()).submit(new).await?;
        respond(automa, &auth, accepted, until).await
    }

    /// List executions, newest first.
    ///
    /// All that is named has to be true of them. The work of one page has a limit: where little of
    /// much fits, a page may have fewer items than it could, even none, and still a `next_cursor`.
    /// A cursor belongs to the same query; only the times may differ.
    #[oai(path = "/", method = "get", operation_id = "listExecutions")]
    #[expect(clippy::too_many_arguments, reason = "each is one part of the request")]
    async fn list(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        /// Items on a page: 1 to 200, 50 unless told.
        limit: Query<Option<u64>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<Text<Cursor>>>,
        /// Only those in this state; several times, in any of these.
        state: Query<Option<Vec<OneOf<State>>>>,
        /// Only those of this script.
        script_id: Query<Option<Text<ScriptId>>>,
        /// Only those that this job started.
        job_id: Query<Option<Text<JobId>>>,
        /// Only runs of this agent.
        agent_id: Query<Option<Text<AgentId>>>,
        /// Only those that a user of this name asked for.
        requested_by: Query<Option<String>>,
        /// Only those accepted at this time or later.
        created_from: Query<Option<Text<Timestamp>>>,
        /// Only those accepted before this time.
        created_until: Query<Option<Text<Timestamp>>>,
        /// Only those that took, or have been running for, at least so long.
        min_wall_ms: Query<Option<u64>>,
    ) -> Result<Document<ExecutionPage>, Problem> {
        let times = [created_from.0, created_until.0];
        let of = (script_id.0, job_id.0, agent_id.0);
        let filter = filter(state.0, of, requested_by.0, times, min_wall_ms.0);
        let page = page(limit.0, cursor.0)?;
        let executions = automa.executions(auth.actor()).list(filter, page).await?;
        let Page { items, next_cursor } = executions.map(Execution::from);
        Ok(Document(ExecutionPage { items, next_cursor: next_cursor.map(Text) }))
    }

    /// Count executions.
    ///
    /// All, or those in some states, are always counted exactly; what else is named, up to 10,000.
    #[oai(path = "/count", method = "get", operation_id = "countExecutions")]
    #[expect(clippy::too_many_arguments, reason = "each is one part of the request")]
    async fn count(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        /// Only those in this state; several times, in any of these.
        state: Query<Option<Vec<OneOf<State>>>>,
        /// Only those of this script.
        script_id: Query<Option<Text<ScriptId>>>,
        /// Only those that this job started.
        job_id: Query<Option<Text<JobId>>>,
        /// Only runs of this agent.
        agent_id: Query<Option<Text<AgentId>>>,
        /// Only those that a user of this name asked for.
        requested_by: Query<Option<String>>,
        /// Only those accepted at this time or later.
        created_from: Query<Option<Text<Timestamp>>>,
        /// Only those accepted before this time.
        created_until: Query<Option<Text<Timestamp>>>,
        /// Only those that took, or have been running for, at least so long.
        min_wall_ms: Query<Option<u64>>,
    ) -> Result<Json<Count>, Problem> {
        let times = [created_from.0, created_until.0];
        let of = (script_id.0, job_id.0, agent_id.0);
        let filter = filter(state.0, of, requested_by.0, times, min_wall_ms.0);
        let counted = automa.executions(auth.actor()).count(filter).await?;
        Ok(Json(Count { count: counted.count, is_exact: counted.is_exact }))
    }

    /// Get an execution with what it was told and its report.
    #[oai(path = "/:id", method = "get", operation_id = "getExecution")]
    async fn get(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ExecutionId>>,
    ) -> Result<Json<Execution>, Problem> {
        let executions = automa.executions(auth.actor());
        let execution = executions.get(id.0.0)?;
        let ran = executions.program(id.0.0).await?;
        Ok(Json(with_report(automa, &auth, execution)?.with_program(ran)))
    }

    /// What an execution used over time.
    ///
    /// Of its last attempt, while it runs and afterwards: at most 120 points, however long it takes.
    #[oai(path = "/:id/usage", method = "get", operation_id = "getExecutionUsage")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn usage(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ExecutionId>>,
    ) -> Result<Json<UsageHistory>, Problem> {
        let points = automa.executions(auth.actor()).usage(id.0.0)?;
        Ok(Json(UsageHistory::from(points)))
    }

    /// Cancel an execution.
    ///
    /// One that waits ends at once. One that runs is asked to end by `SIGTERM`, and made to after a
    /// grace, or at once when it is cancelled once more.
    #[oai(path = "/:id/cancel", method = "post", operation_id = "cancelExecution")]
    async fn cancel(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ExecutionId>>,
        /// Milliseconds that it has to end by itself: at most 600,000, 10,000 unless told.
        grace_ms: Query<Option<u64>>,
    ) -> Result<Json<Execution>, Problem> {
        let executions = automa.executions(auth.actor());
        let cancelled = match grace_ms.0.map(Duration::from_millis) {
            None => executions.cancel(id.0.0).await?,
            Some(grace) => executions.cancel_within(id.0.0, grace).await?,
        };
        Ok(Json(cancelled.into()))
    }

    /// Execute the same again, with what is told in place of what it was.
    #[oai(path = "/:id/rerun", method = "post", operation_id = "rerunExecution")]
    async fn rerun(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ExecutionId>>,
        /// Seconds to wait for its end, at most 300.
        wait: Query<Option<f64>>,
        Body(rerun): Body<Option<Rerun>>,
    ) -> Result<Submitted, Problem> {
        let until = deadline(wait.0)?;
        let rerun = rerun.map(Rerun::read).transpose()?.unwrap_or_default();
        let accepted = automa.executions(auth.actor()).rerun(id.0.0, rerun).await?;
        respond(automa, &auth, accepted, until).await
    }
}

/// What executions belong to.
type Of = (Option<Text<ScriptId>>, Option<Text<JobId>>, Option<Text<AgentId>>);

/// What a query asks for.
fn filter(
    states: Option<Vec<OneOf<State>>>,
    (script, job, agent): Of,
    requested_by: Option<String>,
    [from, until]: [Option<Text<Timestamp>>; 2],
    min_wall_ms: Option<u64>,
) -> Filter {
    Filter {
        states: states.into_iter().flatten().map(|it| it.0).collect(),
        script: script.map(|it| it.0),
        job: job.map(|it| it.0),
        agent: agent.map(|it| it.0),
        requested_by,
        created_from: from.map(|it| it.0),
        created_until: until.map(|it| it.0),
        min_wall_ms,
    }
}

/// Until when to wait for an end.
fn deadline(wait: Option<f64>) -> Result<Option<Instant>, Problem> {
    match wait {
        None => Ok(None),
        Some(seconds) if (0.0..=WAIT_MAX).contains(&seconds) => {
            Ok(Some(Instant::now() + Duration::from_secs_f64(seconds)))
        }
        Some(_) => Err(Problem::invalid_field("wait", "must be 0 to 300 seconds")),
    }
}

/// Answers a submission, at once or when it has ended.
async fn respond(
    automa: &Automa,
    auth: &Auth,
    accepted: execution::Execution,
    until: Option<Instant>,
) -> Result<Submitted, Problem> {
    let location = format!("/api/v1/executions/{}", accepted.id);
    let Some(until) = until else {
        return Ok(Submitted::Accepted(Json(accepted.into()), location));
    };
    let executions = automa.executions(auth.actor());
    let execution = executions.wait(accepted.id, until).await?;
    if execution.state.is_open() {
        let waiting = executions.waiting(execution.id)?.map(Into::into);
        let open = Execution { waiting, ..execution.into() };
        return Ok(Submitted::Accepted(Json(open), location));
    }
    let log = executions.log(execution.id)?;
    let (head, length) = blocking::run(move || (log.raw(0..OUTPUT_HEAD), log.raw_len())).await?;
    let head = head.map_err(Error::from)?;
    let mut ended = with_report(automa, auth, execution)?;
    ended.output = Some(String::from_utf8_lossy(&head).into_owned());
    ended.output_truncated = Some(length > OUTPUT_HEAD);
    Ok(Submitted::Ended(Json(ended), location))
}

fn with_report(
    automa: &Automa,
    auth: &Auth,
    execution: execution::Execution,
) -> Result<Execution, Problem> {
    let (executions, id) = (automa.executions(auth.actor()), execution.id);
    let report = executions.report(id)?;
    let report = report.as_ref().and_then(Report::of);
    let result = executions.result(id)?;
    let waiting = executions.waiting(id)?.map(Into::into);
    let attempts: Vec<_> = executions.attempts(id)?.into_iter().map(Into::into).collect();
    let attempts = Some(attempts).filter(|attempts| !attempts.is_empty());
    Ok(Execution { waiting, attempts, report, ..Execution::from(execution).with_result(result) })
}
