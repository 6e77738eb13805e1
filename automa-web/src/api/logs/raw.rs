//! The raw bytes of a log, whole or a range of them (RFC 9110, 14).

use std::ops::{Bound, Range};

use automa_core::execution::log::LogReader;
use poem::{
    Body, Request,
    http::header,
    web::headers::{HeaderMapExt as _, Range as Ranges},
};
use poem_openapi::{ApiResponse, ResponseContent, payload::Binary};

use super::LogWindow;
use crate::{api::document::Document, live, problem::Problem};

#[derive(ResponseContent)]
pub(super) enum LogContent {
    Lines(Document<LogWindow>),
    /// Raw bytes of both streams, in the order in which they were written.
    #[oai(content_type = "text/plain")]
    Raw(Binary<Body>),
}

#[derive(ApiResponse)]
pub(super) enum LogResponse {
    /// Lines, or with `Accept: text/plain` the raw bytes of the whole log
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
    let (len, complete) = (log.raw_len(), log.summary().is_some());
    let content =
        |range| LogContent::Raw(Binary(Body::from_bytes_stream(live::raw(log.clone(), range))));
    let ranges = request.headers().typed_get::<Ranges>();
    // A log has no validator with which a condition could be true.
    let conditional = request.headers().contains_key(header::IF_RANGE);
    let Some(ranges) = ranges.filter(|_| !conditional) else {
        return Ok(LogResponse::Log(content(0..len), Some("bytes".to_owned())));
    };
    match only_range(&ranges, len) {
        Some(range) if range.is_empty() => Ok(LogResponse::Beyond(format!("bytes */{len}"))),
        Some(range) => {
            let total = if complete { len.to_string() } else { "*".to_owned() };
            let about = format!("bytes {}-{}/{total}", range.start, range.end - 1);
            Ok(LogResponse::Part(content(range), about))
        }
        // Several at once are not given: the whole is allowed for an answer.
        None => Ok(LogResponse::Log(content(0..len), Some("bytes".to_owned()))),
    }
}

/// The bytes of `len` that are asked for, none of which may exist; `None` if it is several ranges.
fn only_range(ranges: &Ranges, len: u64) -> Option<Range<u64>> {
    let mut ranges = ranges.satisfiable_ranges(len);
    let Some((from, to)) = ranges.next() else { return Some(0..0) };
    if ranges.next().is_some() {
        return None;
    }
    let from = match from {
        Bound::Included(from) => from,
        Bound::Excluded(from) => from.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match to {
        Bound::Included(to) => to.saturating_add(1),
        Bound::Excluded(to) => to,
        Bound::Unbounded => len,
    };
    Some(from.min(len)..to.min(len))
}

#[cfg(test)]
mod tests {
    use poem::http::{HeaderMap, HeaderValue};

    use super::*;

    fn of(range: &str, len: u64) -> Option<Range<u64>> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_str(range).unwrap());
        only_range(&headers.typed_get::<Ranges>().unwrap(), len)
    }

    #[test]
    fn a_range_is_cut_to_what_there_is() {
        assert_eq!(of("bytes=0-4", 10), Some(0..5));
        assert_eq!(of("bytes=4-", 10), Some(4..10));
        assert_eq!(of("bytes=4-100", 10), Some(4..10));
        assert_eq!(of("bytes=-3", 10), Some(7..10));
        for beyond in ["bytes=10-", "bytes=10-12", "bytes=5-2"] {
            assert!(of(beyond, 10).is_some_and(|range| range.is_empty()), "{beyond}");
        }
        assert_eq!(of("bytes=0-1, 4-5", 10), None);
    }
}
