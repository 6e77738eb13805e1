//! The audit log: found, counted, exported and proven.

use automa_core::{
    Automa, Error,
    actor::Origin,
    audit::{self, Action, Entry, Export, Filter, Outcome, Resource},
    id::{AuditId, UserId},
    page::{Cursor, Limit, Page, PageRequest},
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use jiff::Timestamp;
use poem::{Body, web::Data};
use poem_openapi::{
    ApiResponse, Enum, Object, OpenApi, ResponseContent,
    param::Query,
    payload::{Binary, Json},
};

use super::{
    Tag,
    scripts::page,
    wire::{OneOf, Text},
};
use crate::{auth::Auth, problem::Problem};

/// What was done or refused.
#[derive(Debug, Object)]
struct AuditEntry {
    /// Its place in the chain, from 1 up.
    number: u64,
    id: Text<AuditId>,
    at: Text<Timestamp>,
    /// Who, as named at that time; of a refused sign-in, the name that was tried.
    actor: String,
    user_id: Option<Text<UserId>>,
    /// By which way.
    origin: OneOf<Origin>,
    /// What, such as `script.created`.
    action: String,
    /// To what: a kind, a colon and an id.
    resource: Option<String>,
    outcome: OneOf<Outcome>,
    /// From which network address.
    address: Option<String>,
    /// How often the same happened within a minute.
    times: u32,
    /// More about it.
    detail: Option<String>,
}

/// A page of entries.
#[derive(Debug, Object)]
struct AuditPage {
    /// Newest first.
    items: Vec<AuditEntry>,
    /// Where the next page continues; none on the last.
    next_cursor: Option<Text<Cursor>>,
}

/// How much was done within a time. Counting stops at 500,000 entries.
#[derive(Debug, Object)]
struct AuditStatistics {
    total: u64,
    /// Whether these are all entries of the time.
    is_exact: bool,
    /// Each day on which something happened, in UTC, oldest first.
    days: Vec<AuditDay>,
    /// Most first.
    actions: Vec<AuditCount>,
    /// The ten who have most entries, most first.
    actors: Vec<AuditCount>,
}

/// How much one day has.
#[derive(Debug, Object)]
struct AuditDay {
    day: String,
    entries: u64,
    refused: u64,
    failed: u64,
}

/// How much there is of something.
#[derive(Debug, Object)]
struct AuditCount {
    name: String,
    entries: u64,
}

/// What the chain of entries is found to be.
#[derive(Debug, Object)]
struct AuditVerdict {
    /// Whether nothing is wrong with it.
    is_intact: bool,
    /// What is wrong with it: the first that was found.
    problem: Option<String>,
    /// How many entries were looked at.
    entries: u64,
    /// The number of the first that is kept, and of the last.
    first: u64,
    last: u64,
    /// The hash of the last.
    head: String,
    checkpoints: u64,
    /// The newest checkpoint. Keep it elsewhere.
    checkpoint: Option<String>,
    signed_at: Option<Text<Timestamp>>,
    /// The key that checkpoints are signed with.
    public_key: String,
}

/// What an export looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
enum ExportFormat {
    /// JSON lines of everything, which `automa audit verify --export` proves.
    Jsonl,
    /// A table for spreadsheets, of what the filters let through.
    Csv,
}

#[derive(ResponseContent)]
enum Exported {
    /// Lines of JSON.
    #[oai(content_type = "application/jsonl")]
    Lines(Binary<Body>),
    /// A table.
    #[oai(content_type = "text/csv")]
    Table(Binary<Body>),
}

#[derive(ApiResponse)]
enum ExportResponse {
    /// The entries
    #[oai(status = 200)]
    Done(
        Exported,
        /// Under which name to save them.
        #[oai(header = "Content-Disposition")]
        String,
    ),
}

pub(super) struct AuditApi;

#[OpenApi(tag = "Tag::Audit", prefix_path = "/audit")]
impl AuditApi {
    /// List what was done and what was refused, newest first.
    ///
    /// All that is named has to be true of an entry. The work of one page has a limit: where little of
    /// much fits, a page may have fewer items than it could, even none, and still a `next_cursor`.
    #[oai(path = "/", method = "get", operation_id = "listAudit")]
    #[expect(clippy::too_many_arguments, reason = "each is one part of the request")]
    async fn list(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        /// Items on a page: 1 to 200, 50 unless told.
        limit: Query<Option<u64>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<Text<Cursor>>>,
        /// Only those of somebody of this name, as named at that time.
        actor: Query<Option<String>>,
        /// Only those of this action, such as `script.created`; several times, of any of these.
        action: Query<Option<Vec<String>>>,
        /// Only those of one thing, such as `script:0197c1a0-…`, or of all of a kind, such as `script`.
        resource: Query<Option<String>>,
        /// Only those that ended like this.
        outcome: Query<Option<OneOf<Outcome>>>,
        /// Only those of this time or later.
        from: Query<Option<Text<Timestamp>>>,
        /// Only those before this time.
        to: Query<Option<Text<Timestamp>>>,
    ) -> Result<Json<AuditPage>, Problem> {
        let filter = filter(actor.0, action.0, resource.0, outcome.0, (from.0, to.0))?;
        let found = automa.audit(auth.actor()).find(filter, page(limit.0, cursor.0)?).await?;
        let Page { items, next_cursor } = found.map(AuditEntry::from);
        Ok(Json(AuditPage { items, next_cursor: next_cursor.map(Text) }))
    }

    /// Count what was done, by day, action and actor.
    #[oai(path = "/statistics", method = "get", operation_id = "getAuditStatistics")]
    async fn statistics(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        /// Only of this time or later.
        from: Query<Option<Text<Timestamp>>>,
        /// Only before this time.
        to: Query<Option<Text<Timestamp>>>,
    ) -> Result<Json<AuditStatistics>, Problem> {
        let times = (from.0.map(|it| it.0), to.0.map(|it| it.0));
        Ok(Json(automa.audit(auth.actor()).statistics(times.0, times.1).await?.into()))
    }

    /// Prove that nothing in the log was changed, removed or moved.
    ///
    /// Takes seconds for a million entries. `automa audit verify` does the same with an export, without
    /// the server.
    #[oai(path = "/verify", method = "get", operation_id = "verifyAudit")]
    async fn verify(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        /// A checkpoint that was kept elsewhere, which has to be true; may be there several times.
        checkpoint: Query<Option<Vec<String>>>,
    ) -> Result<Json<AuditVerdict>, Problem> {
        let kept = checkpoint.0.unwrap_or_default().iter().map(|text| text.parse()).collect();
        let kept: Result<Vec<audit::Checkpoint>, _> = kept;
        let kept = kept.map_err(|error| Problem::invalid_field("checkpoint", error.to_string()))?;
        let audit = automa.audit(auth.actor());
        let public_key = audit.public_key()?.to_string();
        let found = audit.verify(Vec::new(), kept).await?;
        Ok(Json(AuditVerdict {
            is_intact: found.broken.is_none(),
            problem: found.broken.map(|broken| broken.to_string()),
            entries: found.entries,
            first: found.first,
            last: found.last,
            head: found.head.to_string(),
            checkpoints: found.checkpoints,
            checkpoint: found.signed.map(|it| it.to_string()),
            signed_at: found.signed.map(|it| Text(it.at())),
            public_key,
        }))
    }

    /// Export the log.
    #[oai(path = "/export", method = "get", operation_id = "exportAudit")]
    #[expect(clippy::too_many_arguments, reason = "each is one part of the request")]
    async fn export(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        /// `jsonl` unless told, which is always complete and takes no filters.
        format: Query<Option<ExportFormat>>,
        /// Only those of somebody of this name.
        actor: Query<Option<String>>,
        /// Only those of this action; several times, of any of these.
        action: Query<Option<Vec<String>>>,
        /// Only those of one thing, or of all of a kind.
        resource: Query<Option<String>>,
        /// Only those that ended like this.
        outcome: Query<Option<OneOf<Outcome>>>,
        /// Only those of this time or later.
        from: Query<Option<Text<Timestamp>>>,
        /// Only those before this time.
        to: Query<Option<Text<Timestamp>>>,
    ) -> Result<ExportResponse, Problem> {
        let filter = filter(actor.0, action.0, resource.0, outcome.0, (from.0, to.0))?;
        let (automa, actor) = (automa.clone(), auth.actor().clone());
        let name = |ending| format!("attachment; filename=\"automa-audit.{ending}\"");
        if format.0 == Some(ExportFormat::Csv) {
            actor.require(automa_core::actor::Permission::ReadAudit).map_err(Error::from)?;
            let body = Body::from_bytes_stream(table(automa, actor, filter));
            return Ok(ExportResponse::Done(Exported::Table(Binary(body)), name("csv")));
        }
        if filter != Filter::default() {
            let reason = "an export that proves itself is complete: take `csv` to filter";
            return Err(Problem::invalid_field("format", reason));
        }
        let (head, export) = automa.audit(&actor).export().await?;
        let body = Body::from_bytes_stream(lines(automa, actor, head, export));
        Ok(ExportResponse::Done(Exported::Lines(Binary(body)), name("jsonl")))
    }
}

/// What a query asks for.
fn filter(
    actor: Option<String>,
    actions: Option<Vec<String>>,
    resource: Option<String>,
    outcome: Option<OneOf<Outcome>>,
    (from, until): (Option<Text<Timestamp>>, Option<Text<Timestamp>>),
) -> Result<Filter, Problem> {
    let filter = Filter {
        actor,
        actions: actions.unwrap_or_default(),
        outcome: outcome.map(|it| it.0),
        from: from.map(|it| it.0),
        until: until.map(|it| it.0),
        resource: None,
    };
    if let Some(unknown) = filter.actions.iter().find(|it| !Action::NAMES.contains(&it.as_str())) {
        let reason = format!("there is no action `{unknown}`; one is `script.created`");
        return Err(Problem::invalid_field("action", reason));
    }
    match resource {
        None => Ok(filter),
        Some(text) => about(filter, &text)
            .map_err(|error| Problem::invalid_field("resource", error.to_string())),
    }
}

/// The same of one thing, or of all of a kind.
///
/// # Errors
///
/// When there is no such kind.
pub(crate) fn about(filter: Filter, text: &str) -> Result<Filter, audit::UnknownResource> {
    if text.contains(':') {
        let resource: Resource = text.parse()?;
        return Ok(Filter { resource: Some(resource), ..filter });
    }
    let of_kind: Vec<_> = Filter::actions_of(text).map(str::to_owned).collect();
    if of_kind.is_empty() {
        text.parse::<Resource>()?;
    }
    let actions = if filter.actions.is_empty() {
        of_kind
    } else {
        // None of an empty list would be all: a name that there is not fits nothing.
        let both: Vec<_> = filter.actions.into_iter().filter(|it| of_kind.contains(it)).collect();
        if both.is_empty() { vec![String::new()] } else { both }
    };
    Ok(Filter { actions, ..filter })
}

/// The lines of a complete export.
pub(crate) fn lines(
    automa: Automa,
    actor: automa_core::actor::Actor,
    head: String,
    export: Export,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let first = (Some(head), export);
    stream::try_unfold(first, move |(head, mut export)| {
        let (automa, actor) = (automa.clone(), actor.clone());
        async move {
            if let Some(head) = head {
                return Ok(Some((Bytes::from(head), (None, export))));
            }
            let more = automa.audit(&actor).export_next(&mut export).await;
            // What is cut short here does not reach the checkpoint of its first line.
            let more = more.map_err(std::io::Error::other)?;
            Ok(more.map(|text| (Bytes::from(text), (None, export))))
        }
    })
}

/// Where a table goes on.
enum Next {
    Columns,
    Page(Option<Cursor>),
    End,
}

/// The rows of what a filter lets through.
pub(crate) fn table(
    automa: Automa,
    actor: automa_core::actor::Actor,
    filter: Filter,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    stream::try_unfold(Next::Columns, move |next| {
        let (automa, actor, filter) = (automa.clone(), actor.clone(), filter.clone());
        async move {
            let cursor = match next {
                Next::Columns => {
                    return Ok(Some((Bytes::from(Entry::COLUMNS), Next::Page(None))));
                }
                Next::Page(cursor) => cursor,
                Next::End => return Ok(None),
            };
            let limit = Limit::new(u64::from(Limit::MAX)).unwrap_or_default();
            let page = automa.audit(&actor).find(filter, PageRequest { cursor, limit }).await;
            let Page { items, next_cursor } = page.map_err(std::io::Error::other)?;
            let rows: String = items.iter().map(Entry::row).collect();
            let next = next_cursor.map_or(Next::End, |cursor| Next::Page(Some(cursor)));
            Ok(Some((Bytes::from(rows), next)))
        }
    })
}

impl From<Entry> for AuditEntry {
    fn from(entry: Entry) -> Self {
        Self {
            number: entry.number,
            id: Text(entry.id),
            at: Text(entry.at),
            actor: entry.actor,
            user_id: entry.user.map(Text),
            origin: OneOf(entry.origin),
            action: entry.action.name().to_owned(),
            resource: entry.action.resource().map(|it| it.to_string()),
            outcome: OneOf(entry.outcome),
            address: entry.address,
            times: entry.times,
            detail: entry.detail,
        }
    }
}

impl From<audit::Statistics> for AuditStatistics {
    fn from(found: audit::Statistics) -> Self {
        let counted = |name: String, entries| AuditCount { name, entries };
        let total = found.total();
        let day = |(day, it): (jiff::civil::Date, audit::DayCount)| AuditDay {
            day: day.to_string(),
            entries: it.entries,
            refused: it.refused,
            failed: it.failed,
        };
        let actions =
            found.actions.into_iter().map(|(name, count)| counted(name.to_owned(), count));
        Self {
            total,
            is_exact: found.is_exact,
            days: found.days.into_iter().map(day).collect(),
            actions: actions.collect(),
            actors: found.actors.into_iter().map(|(name, count)| counted(name, count)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_a_kind_and_of_an_action_is_both() {
        let of = |actions: &[&str], text: &str| {
            let actions = actions.iter().map(|name| (*name).to_owned()).collect();
            about(Filter { actions, ..Filter::default() }, text).map(|filter| filter.actions)
        };
        assert!(of(&[], "job").unwrap().contains(&"job.created".to_owned()));
        assert_eq!(of(&["job.created", "script.created"], "job").unwrap(), ["job.created"]);
        assert_eq!(of(&["script.created"], "job").unwrap(), [""]);
        assert!(of(&[], "planet").is_err() && of(&[], "planet:1").is_err());
    }
}
