//! Executions: to start, watch and end them.

use std::{collections::BTreeMap, io, time::Duration};

use automa_core::{
    Automa,
    execution::{
        self, Filter, LimitsRequest, NewExecution, Program, State,
        log::{Line, LogReader, RAW_MAX, WINDOW_LINES, Window},
    },
    id::{ExecutionId, ScriptId},
    page::{Cursor, Page},
    script::Language,
};
use automa_sandbox::Stream;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
use jiff::Timestamp;
use poem::{
    Body as RawBody, Request,
    http::{StatusCode, header},
    web::{Data, sse::Event},
};
use poem_openapi::{
    ApiResponse, Object, OpenApi, ResponseContent, Union,
    param::{Header, Path, Query},
    payload::{Binary, EventStream, Json},
};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    Tag,
    body::Body,
    document::Document,
    scripts::{Limits, page},
    wire::{OneOf, Text},
};
use crate::{auth::Auth, lifecycle::Stop, live, problem::Problem};

/// Most bytes of the log that a finished submission answers with (64 KiB).
const OUTPUT_HEAD: u64 = 64 << 10;
/// Longest `wait` in seconds.
const WAIT_MAX: f64 = 300.0;
/// Time between two signs of life in a stream that has nothing to say.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What to execute: a script, or code that is not saved.
#[derive(Object)]
#[oai(rename = "NewExecution")]
struct Submission {
    /// The script; else `language` and `source`.
    script_id: Option<Text<ScriptId>>,
    /// The script's version, the newest unless told.
    version: Option<u32>,
    /// The language of code that is not saved.
    language: Option<OneOf<Language>>,
    /// The code, at most 1 MiB.
    source: Option<String>,
    /// Given to the run as environment variables, and as one JSON document.
    parameters: Option<BTreeMap<String, Value>>,
    /// In place of the script's.
    limits: Option<Limits>,
    /// Hosts and ports that may be reached. This version has no network: only an empty list.
    network: Option<Vec<String>>,
}

/// What to change when running again.
#[derive(Object)]
struct Rerun {
    /// In place of those of the former run.
    parameters: Option<BTreeMap<String, Value>>,
}

/// One run of a version of a script, or of code that was not saved.
#[derive(Debug, Clone, Object, Serialize)]
pub(crate) struct Execution {
    id: Text<ExecutionId>,
    state: OneOf<State>,
    language: OneOf<Language>,
    /// None for code that was not saved.
    script_id: Option<Text<ScriptId>>,
    /// The script's name when the execution was accepted.
    script_name: Option<String>,
    /// The script's version.
    version: Option<u32>,
    /// Who asked for it.
    requested_by: String,
    created_at: Text<Timestamp>,
    started_at: Option<Text<Timestamp>>,
    finished_at: Option<Text<Timestamp>>,
    exit_code: Option<i32>,
    /// The signal that ended the script.
    signal: Option<i32>,
    /// Why it ended, in a sentence.
    cause: Option<String>,
    wall_ms: Option<u64>,
    cpu_ms: Option<u64>,
    peak_memory_bytes: Option<u64>,
    output_bytes: Option<u64>,
    /// The value that the script left as its result.
    result: Option<Value>,
    /// From 1 up.
    attempt: u32,
    /// The execution that this one repeats.
    rerun_of: Option<Text<ExecutionId>>,
    /// What confined it and what it used. Not in lists, and not of what never started.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<Value>,
    /// The first 64 KiB of the log as text: with `wait`, when it ended within.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    /// Whether the log is longer than `output`.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    output_truncated: Option<bool>,
}

/// Executions, newest first.
#[derive(Object, Serialize)]
struct ExecutionPage {
    items: Vec<Execution>,
    /// Where the next page continues; none on the last.
    next_cursor: Option<Text<Cursor>>,
}

/// A number of executions.
#[derive(Object)]
struct Count {
    count: u64,
}

/// One line of a log.
#[derive(Debug, Object, Serialize)]
struct LogLine {
    /// Its number, from 1.
    n: u64,
    stream: OneOf<Stream>,
    /// When it was complete, from the start of the execution.
    t_ms: u64,
    /// Without the line's end; what is no UTF-8 is replaced.
    text: String,
}

/// Some lines of a log.
#[derive(Debug, Object, Serialize)]
pub(crate) struct LogWindow {
    lines: Vec<LogLine>,
    /// The line to ask for next.
    next: u64,
    /// How many lines there are so far.
    total: u64,
    /// Whether these are all there will be.
    complete: bool,
}

/// What a stream of a log sends.
#[derive(Union)]
#[expect(clippy::large_enum_variant, reason = "one at a time is sent, and there is one end")]
enum LogEvent {
    /// As `event: log`, with the number of the last line as its id.
    Log(LogWindow),
    /// As `event: end`, after the last line.
    End(Execution),
}

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

#[derive(ResponseContent)]
enum LogContent {
    Lines(Document<LogWindow>),
    /// Raw bytes of both streams, in the order in which they were written.
    #[oai(content_type = "text/plain")]
    Raw(Binary<RawBody>),
}

#[derive(ApiResponse)]
enum LogResponse {
    /// Lines, or with `Accept: text/plain` the raw bytes of the whole log
    #[oai(status = 200)]
    Log(LogContent),
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
        /// Only those in this state.
        state: Query<Option<OneOf<State>>>,
        /// Only those of this script.
        script_id: Query<Option<Text<ScriptId>>>,
    ) -> Result<Document<ExecutionPage>, Problem> {
        let filter = Filter { state: state.0.map(|it| it.0), script: script_id.0.map(|it| it.0) };
        let page = page(limit.0, cursor.0)?;
        let executions = automa.executions(auth.actor()).list(filter, page).await?;
        let Page { items, next_cursor } = executions.map(Execution::from);
        Ok(Document(ExecutionPage { items, next_cursor: next_cursor.map(Text) }))
    }

    /// Count executions.
    #[oai(path = "/count", method = "get", operation_id = "countExecutions")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn count(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        /// Only those in this state.
        state: Query<Option<OneOf<State>>>,
    ) -> Result<Json<Count>, Problem> {
        let count = automa.executions(auth.actor()).count(state.0.map(|it| it.0))?;
        Ok(Json(Count { count }))
    }

    /// Get an execution with its report.
    #[oai(path = "/:id", method = "get", operation_id = "getExecution")]
    async fn get(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ExecutionId>>,
    ) -> Result<Json<Execution>, Problem> {
        let execution = automa.executions(auth.actor()).get(id.0.0)?;
        Ok(Json(with_report(automa, &auth, execution).await?))
    }

    /// Cancel an execution.
    ///
    /// One that is queued ends at once. One that runs is asked to end by `SIGTERM` and, ten seconds
    /// later, made to.
    #[oai(path = "/:id/cancel", method = "post", operation_id = "cancelExecution")]
    async fn cancel(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ExecutionId>>,
    ) -> Result<Json<Execution>, Problem> {
        Ok(Json(automa.executions(auth.actor()).cancel(id.0.0).await?.into()))
    }

    /// Execute the same again, with the same parameters and limits, or with others.
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
        let parameters = rerun.and_then(|rerun| rerun.parameters);
        let parameters = parameters.map(|it| it.into_iter().collect());
        let accepted = automa.executions(auth.actor()).rerun(id.0.0, parameters).await?;
        respond(automa, &auth, accepted, until).await
    }

    /// Read a log.
    ///
    /// As JSON, up to 1,000 lines at a time. With `Accept: text/plain`, the whole log in raw bytes.
    #[oai(path = "/:id/log", method = "get", operation_id = "readLog")]
    #[expect(clippy::too_many_arguments, reason = "each is one part of the request")]
    async fn log(
        &self,
        auth: Auth,
        request: &Request,
        Data(automa): Data<&Automa>,
        id: Path<Text<ExecutionId>>,
        /// The first line, from 1.
        from: Query<Option<u64>>,
        /// Lines: 1 to 1,000.
        limit: Query<Option<u64>>,
    ) -> Result<LogResponse, Problem> {
        let log = automa.executions(auth.actor()).log(id.0.0)?;
        let accept = request.header(header::ACCEPT).unwrap_or_default();
        if accept.trim_start().starts_with("text/plain") {
            let body = RawBody::from_bytes_stream(raw(log));
            return Ok(LogResponse::Log(LogContent::Raw(Binary(body))));
        }
        let limit = match limit.0.map(usize::try_from) {
            None => WINDOW_LINES,
            Some(Ok(limit @ 1..=WINDOW_LINES)) => limit,
            Some(_) => {
                let reason = format!("must be 1 to {WINDOW_LINES}");
                return Err(Problem::invalid_field("limit", reason));
            }
        };
        let window = blocking(move || log.lines(from.0.unwrap_or(1), limit)).await?;
        Ok(LogResponse::Log(LogContent::Lines(Document(window.into()))))
    }

    /// Follow a log.
    ///
    /// Sends what there is and then each line as it is written, until the end. After a break,
    /// `Last-Event-ID` resumes behind the last line that arrived.
    #[oai(path = "/:id/log/stream", method = "get", operation_id = "followLog")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    #[expect(clippy::too_many_arguments, reason = "each is one part of the request")]
    async fn follow(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        Data(stop): Data<&Stop>,
        id: Path<Text<ExecutionId>>,
        /// The first line, from 1.
        from: Query<Option<u64>>,
        /// The last line that arrived.
        #[oai(name = "Last-Event-ID")]
        last: Header<Option<u64>>,
    ) -> Result<EventStream<BoxStream<'static, LogEvent>>, Problem> {
        let from = last.0.map(|last| last.saturating_add(1)).or(from.0).unwrap_or(1);
        let events = live::follow(automa, auth.actor().clone(), id.0.0, from, stop.clone())?;
        let stream = EventStream::new(events.map(LogEvent::from).boxed());
        Ok(stream.keep_alive(KEEP_ALIVE).to_event(|event| match event {
            LogEvent::Log(window) => Event::message(text(&window))
                .event_type("log")
                .id((window.next.saturating_sub(1)).to_string()),
            LogEvent::End(execution) => Event::message(text(&execution)).event_type("end"),
        }))
    }
}

/// A document as text; what cannot be written is none, which does not happen to these.
pub(crate) fn text(document: &impl Serialize) -> String {
    serde_json::to_string(document).unwrap_or_default()
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
        return Ok(Submitted::Accepted(Json(execution.into()), location));
    }
    let output = match executions.log(execution.id) {
        Ok(log) => blocking(move || Ok((log.raw(0..OUTPUT_HEAD)?, log.raw_len()))).await?,
        // It was never started, so there is none.
        Err(automa_core::Error::NotFound { .. }) => (Vec::new(), 0),
        Err(error) => return Err(error.into()),
    };
    let (head, length) = output;
    let mut ended = with_report(automa, auth, execution).await?;
    ended.output = Some(String::from_utf8_lossy(&head).into_owned());
    ended.output_truncated = Some(length > OUTPUT_HEAD);
    Ok(Submitted::Ended(Json(ended), location))
}

async fn with_report(
    automa: &Automa,
    auth: &Auth,
    execution: execution::Execution,
) -> Result<Execution, Problem> {
    let report = automa.executions(auth.actor()).report(execution.id).await?;
    let report = report.and_then(|report| serde_json::to_value(report).ok());
    Ok(Execution { report, ..execution.into() })
}

/// Reads a log away from the threads of the server.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, execution::log::LogError> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(read).await {
        Ok(read) => Ok(read.map_err(automa_core::Error::from)?),
        Err(error) => Err(Problem::internal(StatusCode::INTERNAL_SERVER_ERROR, &error)),
    }
}

/// All bytes that a log has now, in pieces.
pub(crate) fn raw(log: LogReader) -> BoxStream<'static, io::Result<Bytes>> {
    let end = log.raw_len();
    futures_util::stream::try_unfold((log, 0), move |(log, at)| async move {
        if at >= end {
            return Ok(None);
        }
        let piece = u64::try_from(RAW_MAX).unwrap_or(u64::MAX);
        let read = tokio::task::spawn_blocking(move || {
            let bytes = log.raw(at..end.min(at.saturating_add(piece)));
            (bytes, log)
        });
        let (bytes, log) = read.await.map_err(io::Error::other)?;
        let bytes = bytes.map_err(io::Error::other)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let at = at + u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(Some((Bytes::from(bytes), (log, at))))
    })
    .boxed()
}

impl Submission {
    fn read(self) -> Result<NewExecution, Problem> {
        if self.network.is_some_and(|hosts| !hosts.is_empty()) {
            let reason = "this version has no network for scripts; leave it out";
            return Err(Problem::invalid_field("network", reason));
        }
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
        if self.version.is_some() && matches!(program, Program::Code { .. }) {
            return Err(Problem::invalid_field("version", "is for scripts: leave it out"));
        }
        Ok(NewExecution {
            program,
            parameters: self.parameters.map(|it| it.into_iter().collect()),
            limits: self.limits.unwrap_or_default().into(),
            idempotency_key: None,
        })
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
        let ending = execution.ending.as_ref();
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
            attempt: execution.attempt,
            rerun_of: execution.rerun_of.map(Text),
            report: None,
            output: None,
            output_truncated: None,
        }
    }
}

impl From<Window> for LogWindow {
    fn from(window: Window) -> Self {
        let Window { lines, next, total, complete } = window;
        let line = |line: Line| LogLine {
            n: line.n,
            stream: OneOf(line.stream),
            t_ms: line.t_ms,
            text: line.text,
        };
        Self { lines: lines.into_iter().map(line).collect(), next, total, complete }
    }
}

impl From<live::LogEvent> for LogEvent {
    fn from(event: live::LogEvent) -> Self {
        match event {
            live::LogEvent::Lines(window) => Self::Log(window.into()),
            live::LogEvent::End(execution) => Self::End((*execution).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use automa_core::{
        execution::{Ending, log},
        id::UserId,
    };

    use super::{super::document::same_as_schema, *};

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
        };
        let mut items = vec![Execution::from(execution)];
        items.push(Execution { output: Some("x".to_owned()), ..items[0].clone() });
        same_as_schema(&ExecutionPage { items, next_cursor: None });
        let stream = Stream::Stderr;
        let line = Line {
            n: 1,
            stream,
            t_ms: 2,
            text: "ä\u{1b}".to_owned(),
            ending: log::Ending::Newline,
        };
        let window = Window { lines: vec![line], next: 2, total: 1, complete: false };
        same_as_schema(&LogWindow::from(window));
    }
}
