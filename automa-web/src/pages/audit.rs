//! `/audit`: what was done and what was refused, how much, and whether the log proves itself.

use askama::Template;
use automa_core::{
    Automa,
    audit::{Action, Broken, Checkpoint, Entry, Filter, Outcome, PublicKey, Statistics, Verdict},
    page::{Cursor, PageRequest},
};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use poem::{
    Body, Request, Response, handler,
    http::header,
    web::{Data, Query},
};

use super::{form::Typed, frame::Frame, text::sentence};
use crate::{
    api::audit as export,
    auth::Caller,
    filters,
    htmx::{encoded, render, see_other},
    problem::Problem,
};

/// Days that are counted unless told.
const COUNTED: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Rows of each part of the statistics.
const TOP: usize = 8;

/// What part of the log is asked for. Its addresses have what is asked for and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Asked {
    actor: Option<String>,
    action: Option<String>,
    /// A kind, or a kind and an id.
    resource: Option<String>,
    outcome: Option<Outcome>,
    /// The first day, and the last.
    from: Option<Date>,
    to: Option<Date>,
}

/// One of the filters, as it is told.
struct Part {
    name: &'static str,
    value: String,
    /// The address without it.
    path: String,
}

/// An outcome that can be chosen.
struct Chip {
    name: &'static str,
    path: String,
    current: bool,
}

impl Asked {
    fn read(query: &Typed) -> Result<Self, Problem> {
        let text = |name| Some(query.line(name).to_owned()).filter(|text| !text.is_empty());
        let day = |name| super::named(query.line(name), "day", |it| it.parse().ok());
        let known = |name: &str| Action::NAMES.contains(&name).then(|| name.to_owned());
        let about =
            |text: &str| export::about(Filter::default(), text).is_ok().then(|| text.to_owned());
        Ok(Self {
            actor: text("actor"),
            action: super::named(query.line("action"), "action", known)?,
            resource: super::named(query.line("resource"), "resource", about)?,
            outcome: super::named(query.line("outcome"), "outcome", Outcome::named)?,
            from: day("from")?,
            to: day("to")?,
        })
    }

    fn is_filtered(&self) -> bool {
        *self != Self::default()
    }

    fn query(&self) -> String {
        let pairs = [
            self.actor.as_ref().map(|it| format!("actor={}", encoded(it))),
            self.action.as_ref().map(|it| format!("action={it}")),
            self.resource.as_ref().map(|it| format!("resource={}", encoded(it))),
            self.outcome.map(|it| format!("outcome={}", it.name())),
            self.from.map(|day| format!("from={day}")),
            self.to.map(|day| format!("to={day}")),
        ];
        pairs.into_iter().flatten().collect::<Vec<_>>().join("&")
    }

    /// An address with what is asked for, to which more can be added.
    fn at(&self, path: &str, more: &str) -> String {
        let query = self.query();
        let all: Vec<_> = [query.as_str(), more].into_iter().filter(|it| !it.is_empty()).collect();
        if all.is_empty() { path.to_owned() } else { format!("{path}?{}", all.join("&")) }
    }

    fn path(&self) -> String {
        self.at("/audit", "")
    }

    fn times(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        let begin = |day: Date| {
            let midnight = TimeZone::UTC.to_ambiguous_zoned(day.at(0, 0, 0, 0)).compatible();
            midnight.map_or(Timestamp::MAX, |midnight| midnight.timestamp())
        };
        (self.from.map(begin), self.to.map(|day| day.tomorrow().map_or(Timestamp::MAX, begin)))
    }

    fn filter(&self) -> Filter {
        let (from, until) = self.times();
        let filter = Filter {
            actor: self.actor.clone(),
            actions: self.action.iter().cloned().collect(),
            resource: None,
            outcome: self.outcome,
            from,
            until,
        };
        match &self.resource {
            None => filter,
            Some(text) => export::about(filter.clone(), text).unwrap_or(filter),
        }
    }

    /// All that is asked for but the outcome.
    fn parts(&self) -> Vec<Part> {
        let part = |name, value: Option<String>, without: Self| {
            value.map(|value| Part { name, value, path: without.path() })
        };
        let it = self.clone();
        let parts = [
            part("Who", self.actor.clone(), Self { actor: None, ..it.clone() }),
            part("Action", self.action.clone(), Self { action: None, ..it.clone() }),
            part("Resource", self.resource.clone(), Self { resource: None, ..it.clone() }),
            part("From", self.from.map(|it| it.to_string()), Self { from: None, ..it.clone() }),
            part("Until", self.to.map(|it| it.to_string()), Self { to: None, ..it }),
        ];
        parts.into_iter().flatten().collect()
    }

    fn chips(&self) -> Vec<Chip> {
        let chip = |name, outcome| Chip {
            name,
            path: Self { outcome, ..self.clone() }.path(),
            current: self.outcome == outcome,
        };
        vec![
            chip("All", None),
            chip("Done", Some(Outcome::Done)),
            chip("Refused", Some(Outcome::Refused)),
            chip("Failed", Some(Outcome::Failed)),
        ]
    }
}

/// Something that is counted, and how it compares with the most.
struct Count {
    name: String,
    path: String,
    entries: u64,
    share: u64,
}

fn counts<'a>(
    found: impl Iterator<Item = (&'a str, u64)>,
    path: impl Fn(&str) -> String,
) -> Vec<Count> {
    let found: Vec<_> = found.take(TOP).collect();
    let most = found.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let count = |(name, entries): (&str, u64)| Count {
        name: name.to_owned(),
        path: path(name),
        entries,
        share: (entries * 100).checked_div(most).unwrap_or(0),
    };
    found.into_iter().map(count).collect()
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    asked: Asked,
    entries: Vec<Entry>,
    first: bool,
    next: Option<String>,
    statistics: Statistics,
    /// What the statistics are of.
    counted: String,
    key: PublicKey,
    /// What the chain was found to be, if that was asked for.
    verdict: Option<Verdict>,
    signed: Option<Checkpoint>,
}

impl AuditPage {
    fn actions(&self) -> Vec<Count> {
        let of = |name: &str| Asked { action: Some(name.to_owned()), ..self.asked.clone() }.path();
        counts(self.statistics.actions.iter().copied(), of)
    }

    fn actors(&self) -> Vec<Count> {
        let of = |name: &str| Asked { actor: Some(name.to_owned()), ..self.asked.clone() }.path();
        counts(self.statistics.actors.iter().map(|(name, count)| (name.as_str(), *count)), of)
    }

    fn refused(&self) -> u64 {
        self.statistics.of(Outcome::Refused)
    }

    fn only_refused(&self) -> String {
        Asked { outcome: Some(Outcome::Refused), ..self.asked.clone() }.path()
    }

    fn tone(entry: &Entry) -> (&'static str, &'static str) {
        match entry.outcome {
            Outcome::Done => ("succeeded", "ok"),
            Outcome::Refused => ("failed", "ban"),
            Outcome::Failed => ("failed", "bad"),
        }
    }

    fn told(broken: &Broken) -> String {
        sentence(&broken.to_string())
    }

    /// The page of what an entry is about, if there is one.
    fn about(entry: &Entry) -> Option<(String, String)> {
        let resource = entry.action.resource()?;
        let (kind, id) = (resource.kind(), resource.id());
        let only = Asked { resource: Some(resource.to_string()), ..Asked::default() };
        Some((format!("{kind} {}", id.get(..8).unwrap_or(&id)), only.path()))
    }
}

/// Shows a page of the log.
#[handler]
pub(super) async fn show(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    let asked = Asked::read(&query)?;
    let cursor: Option<Cursor> = super::named(query.get("cursor"), "page", |it| it.parse().ok())?;
    let check = query.has("check");
    if !query.is_filled() && cursor.is_none() && !check {
        // A form sends what is empty, too: an address that is kept has only what counts.
        return Ok(see_other(&asked.path()));
    }
    let first = cursor.is_none();
    let audit = automa.audit(&caller.actor);
    let page = audit.find(asked.filter(), PageRequest { cursor, ..PageRequest::default() }).await?;
    let frame = Frame::new(request, "Audit log").user(&caller.user.username, caller.user.role);
    let (from, until) = asked.times();
    let month = frame.now.checked_sub(COUNTED).ok();
    let counted = match (asked.from, asked.to) {
        (None, None) => "the last 30 days".to_owned(),
        (Some(from), None) => format!("from {from}"),
        (None, Some(to)) => format!("until {to}"),
        (Some(from), Some(to)) => format!("{from} to {to}"),
    };
    let from = if asked.from.is_none() && asked.to.is_none() { month } else { from };
    let statistics = audit.statistics(from, until).await?;
    let verdict = if check { Some(audit.verify(vec![], vec![]).await?) } else { None };
    render(&AuditPage {
        next: page.next_cursor.map(|cursor| asked.at("/audit", &format!("cursor={cursor}"))),
        entries: page.items,
        first,
        statistics,
        counted,
        key: audit.public_key()?,
        signed: audit.newest_checkpoint()?,
        verdict,
        asked,
        frame,
    })
}

/// The whole log, as lines that prove themselves.
#[handler]
pub(super) async fn lines(
    caller: Caller,
    Data(automa): Data<&Automa>,
) -> Result<Response, Problem> {
    let (head, more) = automa.audit(&caller.actor).export().await?;
    let lines = export::lines(automa.clone(), caller.actor.clone(), head, more);
    Ok(download("application/jsonl", "jsonl", Body::from_bytes_stream(lines)))
}

/// What is asked for, as a table for spreadsheets.
#[handler]
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it takes from a request")]
pub(super) fn table(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    automa.audit(&caller.actor).public_key()?;
    let filter = Asked::read(&query)?.filter();
    let rows = export::table(automa.clone(), caller.actor.clone(), filter);
    Ok(download("text/csv; charset=utf-8", "csv", Body::from_bytes_stream(rows)))
}

fn download(kind: &str, ending: &str, body: Body) -> Response {
    let disposition = format!("attachment; filename=\"automa-audit.{ending}\"");
    Response::builder()
        .content_type(kind)
        .header(header::CONTENT_DISPOSITION, disposition)
        .body(body)
}

#[cfg(test)]
pub(super) mod tests {
    use automa_core::audit::{DayCount, Hash, Resource};

    use super::*;
    use crate::pages::{frame::Place, samples};

    fn entry(action: Action, outcome: Outcome) -> Entry {
        Entry {
            id: "018f0000-0000-7000-8000-000000000001".parse().unwrap(),
            at: "2026-01-01T00:00:00Z".parse().unwrap(),
            actor: samples::HOSTILE.to_owned(),
            user: None,
            origin: automa_core::actor::Origin::Web,
            action,
            address: Some("2001:db8::1".to_owned()),
            number: 7,
            outcome,
            times: 3,
            detail: Some(samples::HOSTILE.to_owned()),
        }
    }

    fn page(entries: Vec<Entry>, asked: Asked, verdict: Option<Verdict>) -> AuditPage {
        let zeros = "00".repeat(32);
        let signed = format!("automa-audit-1:7:1767225600:{zeros}:{zeros}:{zeros}{zeros}");
        let day = (Date::constant(2026, 1, 1), DayCount { entries: 12, refused: 2, failed: 1 });
        AuditPage {
            frame: samples::frame("Audit log", Place::Overview),
            asked,
            entries,
            first: true,
            next: Some("/audit?cursor=1".to_owned()),
            statistics: Statistics {
                days: vec![day],
                actions: vec![("script.created", 9), ("job.deleted", 3)],
                actors: vec![(samples::HOSTILE.to_owned(), 12)],
                is_exact: false,
            },
            counted: "the last 30 days".to_owned(),
            key: zeros.parse().unwrap(),
            verdict,
            signed: Some(signed.parse().unwrap()),
        }
    }

    fn verdict(broken: Option<Broken>) -> Verdict {
        let (entries, first, last, head) = (7, 1, 7, Hash::default());
        Verdict { entries, first, last, head, checkpoints: 0, signed: None, broken }
    }

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let resource = Resource::Script(samples::script_id());
        let entries = vec![
            entry(Action::SignInRefused, Outcome::Refused),
            entry(Action::RequestFailed(Some(resource)), Outcome::Failed),
            entry(Action::ScriptCreated(samples::script_id()), Outcome::Done),
        ];
        let asked = Asked {
            actor: Some(samples::HOSTILE.to_owned()),
            action: Some("script.created".to_owned()),
            resource: Some(resource.to_string()),
            outcome: Some(Outcome::Refused),
            from: Some(Date::constant(2026, 1, 1)),
            to: Some(Date::constant(2026, 1, 2)),
        };
        let draw = |page: AuditPage| page.render().unwrap();
        let broken = verdict(Some(Broken::Changed(3)));
        vec![
            ("audit", draw(page(entries.clone(), Asked::default(), Some(verdict(None))))),
            ("audit-broken", draw(page(entries, asked.clone(), Some(broken)))),
            ("audit-none", draw(page(Vec::new(), asked, None))),
        ]
    }

    #[test]
    fn an_address_says_what_is_asked_for_and_nothing_else() {
        let read = |query: &[(&str, &str)]| {
            let typed =
                query.iter().fold(Typed::default(), |it, (key, value)| it.with(key, *value));
            Asked::read(&typed).map(|asked| asked.path())
        };
        assert_eq!(read(&[("actor", ""), ("from", "")]).unwrap(), "/audit");
        let all = [
            ("actor", "a b"),
            ("action", "job.deleted"),
            ("resource", "job"),
            ("outcome", "done"),
            ("from", "2026-01-01"),
            ("to", "2026-01-02"),
        ];
        let path = "/audit?actor=a%20b&action=job.deleted&resource=job&outcome=done\
                    &from=2026-01-01&to=2026-01-02";
        assert_eq!(read(&all).unwrap(), path);
        for wrong in [("action", "x"), ("resource", "planet"), ("outcome", "x"), ("from", "x")] {
            assert!(read(&[wrong]).is_err(), "{wrong:?}");
        }
    }
}
