//! The raw bytes of a log, whole or a range of them (RFC 9110, 14).

use automa_core::execution::log::LogReader;
use poem::{
    Body, Request,
    http::header,
    web::headers::{HeaderMapExt as _, Range as Ranges},
};
use poem_openapi::{ApiResponse, ResponseContent, payload::Binary};

use super::LogWindow;
use crate::{api::document::Document, live, problem::Problem, range::only_range};

#[derive(ResponseContent)]
pub(super) enum LogContent {
    Lines(Document<LogWindow>),
    /// Raw bytes of both streams, in the order in which they were written.
    #[oai(content_type = "text/plain")]
    Raw(Binary<Body>),
}

#[derive(ApiResponse)]
pub(super) enum LogResponse {
    /// Lines, or with `Accept: text/plain` the raw bytes of the whole log, where some were cut with a
    /// line that says so
    #[oai(status = 200)]
    Log(
        LogContent,
        /// What a `Range` may be in, of raw bytes.
        #[oai(header = "Accept-Ranges")]
        Option<String>,
    ),
    /// The raw bytes that `Range` asked for
    #[oai(status = 206)]
    Part(
        LogContent,
        /// Which bytes these are, and of how many; `*` as long as the log may grow.
        #[oai(header = "Content-Range")]
        String,
    ),
    /// The log has no such bytes, or none yet
    #[oai(status = 416)]
    Beyond(
        /// How many bytes there are.
        #[oai(header = "Content-Range")]
        String,
    ),
}

impl LogResponse {
    pub(super) fn lines(window: LogWindow) -> Self {
        Self::Log(LogContent::Lines(Document(window)), None)
    }
}

/// The raw bytes that a request asks for.
pub(super) fn respond(
    request: &Request,
    log: &LogReader,
    one_stream: bool,
) -> Result<LogResponse, Problem> {
    if one_stream {
        let reason = "raw bytes are those of both streams; ask for lines to see one";
        return Err(Problem::invalid_field("stream", reason));
    }
    // As it is now: what is read later may be cut meanwhile.
    let log = log.frozen();
    let (len, complete, cut) = (log.raw_len(), log.summary().is_some(), log.cut());
    let whole = || {
        let text = Body::from_bytes_stream(live::text(&log));
        LogResponse::Log(LogContent::Raw(Binary(text)), Some("bytes".to_owned()))
    };
    let ranges = request.headers().typed_get::<Ranges>();
    // A log has no validator with which a condition could be true.
    let conditional = request.headers().contains_key(header::IF_RANGE);
    let Some(ranges) = ranges.filter(|_| !conditional) else { return Ok(whole()) };
    // Several at once are not given: the whole is allowed for an answer.
    let Some(range) = only_range(&ranges, len) else { return Ok(whole()) };
    let range = match cut {
        Some(cut) if range.start < cut.from => range.start..range.end.min(cut.from),
        Some(cut) => range.start.max(cut.to)..range.end,
        None => range,
    };
    if range.is_empty() {
        return Ok(LogResponse::Beyond(format!("bytes */{len}")));
    }
    let total = if complete { len.to_string() } else { "*".to_owned() };
    let about = format!("bytes {}-{}/{total}", range.start, range.end - 1);
    let part = Body::from_bytes_stream(live::raw(log.clone(), range));
    Ok(LogResponse::Part(LogContent::Raw(Binary(part)), about))
}
