//! Searching a log.

use automa_core::{
    Automa,
    execution::log::{Direction, Found, Search, SearchError},
    id::ExecutionId,
};
use automa_sandbox::Stream;
use poem::web::Data;
use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use serde::Serialize;

use super::{LogCut, LogLine, limit_of};
use crate::{
    api::{
        Tag,
        document::Document,
        wire::{OneOf, Text, Word},
    },
    auth::Auth,
    problem::Problem,
};

/// Lines of a log that were looked for.
#[derive(Debug, Object, Serialize)]
struct LogMatches {
    /// In the order of the log, whichever way it was looked.
    lines: Vec<LogLine>,
    /// The line to go on from, in the same direction.
    next: u64,
    /// Whether there are lines that were not looked at yet: each answer comes after a moment, so
    /// that of a long log it may have no lines and more to come.
    more: bool,
    /// How many lines the log has so far.
    total: u64,
    /// Whether these are all there will be.
    complete: bool,
    /// Lines that were not looked at, because they were cut out of the log.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<LogCut>,
}

/// How many lines of a log were looked for.
#[derive(Debug, Object)]
struct LogCount {
    /// Of the lines that were looked at, 10,000 at most.
    count: u64,
    /// The line to go on from.
    next: u64,
    /// Whether there are lines that were not looked at yet.
    more: bool,
}

impl Word for Direction {
    const NAME: &'static str = "Direction";
    const ALL: &'static [Self] = &[Self::Forward, Self::Backward];

    fn word(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
        }
    }
}

pub(in crate::api) struct FindApi;

#[OpenApi(tag = "Tag::Executions", prefix_path = "/executions")]
impl FindApi {
    /// Find lines of a log.
    ///
    /// Looks at each line by itself, as it was written. A request does a moment's work and tells
    /// where to go on.
    #[oai(path = "/:id/log/find", method = "get", operation_id = "findInLog")]
    #[expect(clippy::too_many_arguments, reason = "each is one part of the request")]
    async fn find(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ExecutionId>>,
        /// What to look for, at most 1,000 bytes.
        q: Query<String>,
        /// Whether that is a regular expression, in the syntax of Rust's `regex`.
        #[oai(default)]
        regex: Query<bool>,
        /// Whether upper and lower case differ.
        #[oai(default)]
        case: Query<bool>,
        /// Only lines of this stream.
        stream: Query<Option<OneOf<Stream>>>,
        /// The line to begin with, which may itself be found: the first, or going backward the last,
        /// unless told.
        from: Query<Option<u64>>,
        /// Which way to look: forward unless told.
        direction: Query<Option<OneOf<Direction>>>,
        /// Lines: 1 to 1,000.
        limit: Query<Option<u64>>,
        /// The attempt, from 1; the last unless told.
        attempt: Query<Option<u32>>,
    ) -> Result<Document<LogMatches>, Problem> {
        let search = search(&q, regex.0, case.0, stream.0)?;
        let direction = direction.0.map_or(Direction::Forward, |direction| direction.0);
        let from = from.0.unwrap_or(if direction == Direction::Forward { 1 } else { u64::MAX });
        let limit = limit_of(limit.0)?;
        let executions = automa.executions(auth.actor());
        let of = (id.0.0, attempt.0);
        let found = executions.find(of, search, from, direction, limit).await?;
        Ok(Document(found.into()))
    }

    /// Count lines of a log.
    ///
    /// Counts lines as `find` finds them, up to 10,000 of them. A request does a moment's work and
    /// tells where to go on.
    #[oai(path = "/:id/log/count", method = "get", operation_id = "countInLog")]
    #[expect(clippy::too_many_arguments, reason = "each is one part of the request")]
    async fn count(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ExecutionId>>,
        /// What to look for, at most 1,000 bytes.
        q: Query<String>,
        /// Whether that is a regular expression.
        #[oai(default)]
        regex: Query<bool>,
        /// Whether upper and lower case differ.
        #[oai(default)]
        case: Query<bool>,
        /// Only lines of this stream.
        stream: Query<Option<OneOf<Stream>>>,
        /// The first line that may be counted.
        from: Query<Option<u64>>,
        /// The last one.
        to: Query<Option<u64>>,
        /// The attempt, from 1; the last unless told.
        attempt: Query<Option<u32>>,
    ) -> Result<Json<LogCount>, Problem> {
        let search = search(&q, regex.0, case.0, stream.0)?;
        let lines = (from.0.unwrap_or(1), to.0.unwrap_or(u64::MAX));
        let executions = automa.executions(auth.actor());
        let count = executions.count_lines((id.0.0, attempt.0), search, lines).await?;
        Ok(Json(LogCount { count: count.matches, next: count.next, more: count.more }))
    }
}

/// What is looked for.
fn search(
    q: &str,
    regex: bool,
    case: bool,
    stream: Option<OneOf<Stream>>,
) -> Result<Search, Problem> {
    let search = if regex { Search::regex(q, case) } else { Search::text(q, case) };
    let search =
        search.map_err(|error: SearchError| Problem::invalid_field("q", error.to_string()))?;
    Ok(search.of(stream.map(|stream| stream.0)))
}

impl From<Found> for LogMatches {
    fn from(found: Found) -> Self {
        let more = found.more();
        let Found { lines, next, total, complete, cut } = found;
        let lines = lines.into_iter().map(LogLine::from).collect();
        Self { lines, next, more, total, complete, cut: cut.map(LogCut::from) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::document::same_as_schema;

    #[test]
    fn matches_are_as_their_schema_says() {
        let found = Found { lines: Vec::new(), next: 0, total: 3, complete: true, cut: None };
        same_as_schema(&LogMatches::from(found));
    }
}
