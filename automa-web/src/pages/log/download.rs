//! A log to be kept: as it was written, or compressed, whole or some of its lines.

use automa_core::{Automa, execution::log::LogReader};
use poem::{
    Body, Response, handler,
    http::header,
    web::{Data, Path, Query},
};

use crate::{
    auth::Caller,
    live,
    pages::{form::Typed, id, named},
    problem::Problem,
};

/// The log of an attempt as text, as it was written; with `from` and `to` those lines of it.
#[handler]
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it takes from a request")]
pub(in crate::pages) fn plain(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    let log = log(automa, &caller, &id, &query)?;
    let line = |name| named(query.get(name), "line", |it| it.parse::<u64>().ok());
    let body = match (line("from")?, line("to")?) {
        (None, None) => Body::from_bytes_stream(live::text(&log)),
        (from, to) => {
            let lines = from.unwrap_or(1)..=to.unwrap_or(u64::MAX);
            Body::from_bytes_stream(live::lines(&log, lines))
        }
    };
    // Nothing of what a script writes is a page, whatever it looks like.
    Ok(answer("text/plain; charset=utf-8", &format!("inline; filename=\"{id}.txt\""), body))
}

/// The same, compressed.
#[handler]
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it takes from a request")]
pub(in crate::pages) fn gzip(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    let body = Body::from_bytes_stream(live::gzip(&log(automa, &caller, &id, &query)?));
    Ok(answer("application/gzip", &format!("attachment; filename=\"{id}.txt.gz\""), body))
}

fn log(automa: &Automa, caller: &Caller, of: &str, query: &Typed) -> Result<LogReader, Problem> {
    let attempt = named(query.get("attempt"), "attempt", |it| it.parse().ok())?;
    Ok(automa.executions(&caller.actor).log((id(of)?, attempt))?)
}

fn answer(kind: &str, disposition: &str, body: Body) -> Response {
    Response::builder()
        .content_type(kind)
        .header(header::CONTENT_DISPOSITION, disposition)
        .body(body)
}
