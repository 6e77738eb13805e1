//! Logs of executions: read, searched, and followed.

mod find;
mod raw;

use std::time::Duration;

use automa_core::{
    Automa, Error,
    execution::log::{Cut, Direction, Found, Line, Search, WINDOW_LINES, Window},
    id::ExecutionId,
};
use automa_sandbox::Stream;
use futures_util::{StreamExt as _, stream::BoxStream};
use poem::{
    Request,
    http::header,
    web::{Data, sse::Event},
};
use poem_openapi::{
    Object, OpenApi, Union,
    param::{Header, Path, Query},
    payload::EventStream,
};
use serde::Serialize;

pub(super) use self::find::FindApi;
use self::raw::LogResponse;
use super::{
    Tag,
    executions::Execution,
    wire::{OneOf, Text},
};
use crate::{auth::Auth, blocking, lifecycle::Stop, live, problem::Problem};

/// Time between two signs of life in a stream that has nothing to say.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

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

/// Lines that were cut out of a log, as more was written than is kept (`limits.output_bytes`).
/// Lines keep their numbers, and raw bytes their places.
#[derive(Debug, Clone, Copy, Object, Serialize)]
struct LogCut {
    /// The number of the first.
    first: u64,
    /// The number of the last.
    last: u64,
    /// How many raw bytes are missing.
    bytes: u64,
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
    /// Lines that are in no answer, because they were cut out of the log.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<LogCut>,
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

pub(super) struct LogsApi;

#[OpenApi(tag = "Tag::Executions", prefix_path = "/executions")]
impl LogsApi {
    /// Read a log.
    ///
    /// As JSON, up to 1,000 lines at a time. With `Accept: text/plain`, the raw bytes of both streams,
    /// as they were written; with `Range`, a part of them, for example what came since. Where some were
    /// cut, the whole has a line that says so, and a part ends before it or begins behind it: which it
    /// is says `Content-Range`.
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
        /// Only lines of this stream; not of raw bytes. There may be fewer than `limit`, or none,
        /// with more to come from `next` on.
        stream: Query<Option<OneOf<Stream>>>,
        /// The attempt, from 1; the last unless told.
        attempt: Query<Option<u32>>,
    ) -> Result<LogResponse, Problem> {
        let of = (id.0.0, attempt.0);
        let executions = automa.executions(auth.actor());
        let accept = request.header(header::ACCEPT).unwrap_or_default();
        if accept.trim_start().starts_with("text/plain") {
            return raw::respond(request, &executions.log(of)?, stream.0.is_some());
        }
        let (from, limit) = (from.0.unwrap_or(1), limit_of(limit.0)?);
        if let Some(stream) = stream.0 {
            let search = Search::default().of(Some(stream.0));
            let found = executions.find(of, search, from, Direction::Forward, limit).await?;
            return Ok(LogResponse::lines(found.into()));
        }
        let log = executions.log(of)?;
        let window = blocking::run(move || log.lines(from, limit)).await?.map_err(Error::from)?;
        Ok(LogResponse::lines(window.into()))
    }

    /// Follow a log.
    ///
    /// Sends what there is and then each line as it is written, until the end of the attempt; whether
    /// another follows says `state`. After a break, `Last-Event-ID` resumes behind the last line that
    /// arrived.
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
        /// Only lines of this stream.
        stream: Query<Option<OneOf<Stream>>>,
        /// The attempt, from 1; the last unless told.
        attempt: Query<Option<u32>>,
        /// The last line that arrived.
        #[oai(name = "Last-Event-ID")]
        last: Header<Option<u64>>,
    ) -> Result<EventStream<BoxStream<'static, LogEvent>>, Problem> {
        let from = last.0.map(|last| last.saturating_add(1)).or(from.0).unwrap_or(1);
        let (of, only) = ((id.0.0, attempt.0), stream.0.map(|stream| stream.0));
        let events = live::follow(automa, auth.caller(), of, (from, only), stop.clone())?;
        let stream = EventStream::new(events.map(LogEvent::from).boxed());
        Ok(stream.keep_alive(KEEP_ALIVE).to_event(|event| match event {
            LogEvent::Log(window) => Event::message(text(&window))
                .event_type("log")
                .id((window.next.saturating_sub(1)).to_string()),
            LogEvent::End(execution) => Event::message(text(&execution)).event_type("end"),
        }))
    }
}

/// A number of lines that was asked for.
fn limit_of(limit: Option<u64>) -> Result<usize, Problem> {
    match limit.map(usize::try_from) {
        None => Ok(WINDOW_LINES),
        Some(Ok(limit @ 1..=WINDOW_LINES)) => Ok(limit),
        Some(_) => Err(Problem::invalid_field("limit", format!("must be 1 to {WINDOW_LINES}"))),
    }
}

/// A document as text; what cannot be written is none, which does not happen to these.
fn text(document: &impl Serialize) -> String {
    serde_json::to_string(document).unwrap_or_default()
}

impl From<Window> for LogWindow {
    fn from(window: Window) -> Self {
        let Window { lines, next, total, complete, cut } = window;
        let lines = lines.into_iter().map(LogLine::from).collect();
        Self { lines, next, total, complete, cut: cut.map(LogCut::from) }
    }
}

impl From<Found> for LogWindow {
    fn from(found: Found) -> Self {
        let Found { lines, next, total, complete, cut } = found;
        Window { lines, next, total, complete, cut }.into()
    }
}

impl From<Cut> for LogCut {
    fn from(cut: Cut) -> Self {
        Self { first: cut.first, last: cut.last, bytes: cut.bytes() }
    }
}

impl From<Line> for LogLine {
    fn from(line: Line) -> Self {
        Self { n: line.n, stream: OneOf(line.stream), t_ms: line.t_ms, text: line.text }
    }
}

impl From<live::LogEvent> for LogEvent {
    fn from(event: live::LogEvent) -> Self {
        match event {
            live::LogEvent::Lines(window) => Self::Log(window.into()),
            live::LogEvent::End(execution, result) => {
                Self::End(Execution::from(*execution).with_result(result))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use automa_core::execution::log::Ending;

    use super::*;
    use crate::api::document::same_as_schema;

    #[test]
    fn a_window_is_as_its_schema_says() {
        let stream = Stream::Stderr;
        let line =
            Line { n: 1, stream, t_ms: 2, text: "ä\u{1b}".to_owned(), ending: Ending::Newline };
        let cut = Some(Cut { first: 2, last: 5, from: 3, to: 90 });
        let window = Window { lines: vec![line], next: 2, total: 1, complete: false, cut };
        same_as_schema(&LogWindow::from(window));
    }
}
