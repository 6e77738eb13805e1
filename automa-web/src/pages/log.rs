//! The log on an execution's page: a window of its lines, found, filtered or followed, and the rows
//! that come to it as one scrolls.

mod look;
mod rows;
mod view;

use askama::{Template, filters::HtmlSafe};
use automa_core::{
    Automa, Error,
    execution::{
        COUNT_MAX, Execution, State,
        log::{Direction, Found, Line, LogReader, Search},
    },
    id::ExecutionId,
};
use automa_sandbox::{Bytes, Stream};
use jiff::Timestamp;

pub(super) use self::look::choose;
pub(crate) use self::{
    look::{Look, Times},
    rows::{Rows, gap},
    view::{Place, View},
};
use super::{ansi, frame::Link};
use crate::{
    auth::Caller,
    filters::{self, grouped},
    problem::Problem,
};

/// Most lines that are sent at once.
pub(crate) const LINES: usize = 500;

/// A window of a log.
#[derive(Debug, Clone, Template)]
#[template(path = "executions/log.html")]
pub(crate) struct Log {
    rows: Rows,
    piece: Piece,
    tally: Option<Tally>,
    note: Option<Note>,
    /// The state that the page shows, if lines will be added: it shows the end of a log that still
    /// grows.
    live: Option<State>,
    /// Whether the execution was asked to end.
    ending: bool,
    bytes: u64,
    truncated: bool,
    /// When it was removed.
    removed: Option<Timestamp>,
    complete: bool,
    /// The page's own address.
    path: String,
}

/// Lines that are sent at once, and what is before and behind them.
#[derive(Debug, Clone, Template)]
#[template(path = "executions/lines.html")]
pub(crate) struct Piece {
    id: ExecutionId,
    html: String,
    view: View,
    /// The line up to which there is more before them.
    before: Option<u64>,
    /// The line from which on there is more behind them.
    after: Option<u64>,
    first: Option<u64>,
    last: Option<u64>,
    total: u64,
}

/// What became of a search that found nothing.
#[derive(Debug, Clone)]
struct Note {
    text: String,
    /// Where it goes on, if it has not come to the end.
    go_on: Option<String>,
}

/// How often something was found.
#[derive(Debug, Clone, Copy)]
struct Tally {
    /// Which of the matches is shown, if one is.
    at: Option<u64>,
    found: u64,
    /// Whether there may be more.
    more: bool,
}

/// The template escapes for itself, and [`Rows`] its lines.
impl HtmlSafe for Log {}
impl HtmlSafe for Piece {}

/// What a page gets to show.
pub(crate) enum Opened {
    Log(Box<Log>),
    /// It is at another address: where something was found.
    Elsewhere(String),
}

/// A log that was begun, for one page.
#[derive(Debug, Clone, Copy)]
struct Source<'a> {
    automa: &'a Automa,
    caller: &'a Caller,
    id: ExecutionId,
    /// The last one unless said.
    attempt: Option<u32>,
}

impl Source<'_> {
    async fn find(
        &self,
        search: Search,
        from: u64,
        direction: Direction,
        limit: usize,
    ) -> Result<Found, Error> {
        let executions = self.automa.executions(&self.caller.actor);
        executions.find((self.id, self.attempt), search, from, direction, limit).await
    }

    async fn count(&self, search: &Search, lines: (u64, u64)) -> Result<(u64, bool), Error> {
        let executions = self.automa.executions(&self.caller.actor);
        let count = executions.count_lines((self.id, self.attempt), search.clone(), lines).await?;
        Ok((count.matches, count.more))
    }

    /// The lines of a place.
    async fn piece(&self, rows: &Rows) -> Result<(Piece, bool), Error> {
        let view = &rows.view;
        let filter = view.filter(rows.search.as_ref());
        let (from, direction) = match view.place {
            Place::Unsaid => (u64::MAX, Direction::Backward),
            Place::To(line) | Place::Before(line) => (line, Direction::Backward),
            Place::From(line) | Place::After(line) => (line.max(1), Direction::Forward),
            Place::At(line) => (line.saturating_sub(view::BEFORE).max(1), Direction::Forward),
        };
        let found = self.find(filter, from, direction, LINES).await?;
        let more = found.more().then_some(found.next);
        let (before, after) = match direction {
            Direction::Forward => ((from > 1).then(|| from - 1), more),
            Direction::Backward => (more, (from < found.total).then(|| from + 1)),
        };
        let piece = Piece {
            id: self.id,
            html: rows.draw(&found.lines),
            view: view.clone(),
            before,
            after,
            first: found.lines.first().map(|line| line.n),
            last: found.lines.last().map(|line| line.n),
            total: found.total,
        };
        Ok((piece, found.complete))
    }

    /// How often something is found, and which of it is shown.
    async fn tally(&self, search: &Search, place: Place) -> Result<Tally, Error> {
        let Place::At(line) = place else {
            let (found, more) = self.count(search, (1, u64::MAX)).await?;
            return Ok(Tally { at: None, found, more });
        };
        let (before, unknown) = self.count(search, (1, line)).await?;
        let (after, more) = self.count(search, (line + 1, u64::MAX)).await?;
        let at = (!unknown).then_some(before);
        Ok(Tally { at, found: before + after, more: unknown || more })
    }
}

/// The log of an execution that was begun, at the place that its page's address says.
///
/// # Errors
///
/// The log's.
pub(crate) async fn open(
    automa: &Automa,
    caller: &Caller,
    execution: &Execution,
    (mut view, look): (View, Look),
    path: &str,
) -> Result<Opened, Problem> {
    let (id, attempt) = (execution.id, view.attempt);
    let source = Source { automa, caller, id, attempt };
    let (search, refused) = match view.search() {
        Ok(search) => (search, None),
        Err(error) => (None, Some(Note { text: format!("“{}” {error}.", view.q), go_on: None })),
    };
    let mut note = refused;
    if let (Some(search), Some((from, direction))) = (&search, view.wanted()) {
        let found = source.find(search.clone(), from, direction, 1).await?;
        if let Some(line) = found.lines.first() {
            let place = view.at(Place::At(line.n));
            return Ok(Opened::Elsewhere(format!("/executions/{id}{place}#L{}", line.n)));
        }
        note = Some(Note::nothing(&view, &found, direction));
        view.place = Place::From(from.min(found.total));
    }
    let tally = match &search {
        Some(search) if note.is_none() => Some(source.tally(search, view.place).await?),
        _ => None,
    };
    let reader = automa.executions(&caller.actor).log((id, attempt))?;
    let rows = Rows { search, ..Rows::new(execution, view, look) };
    let (piece, complete) = source.piece(&rows).await?;
    let log = Log { tally, note, complete, ..Log::new(rows, piece, execution.state, path) };
    Ok(Opened::Log(Box::new(log.of(&reader))))
}

/// More lines of a page's log, with the ways to those before or behind them.
///
/// # Errors
///
/// The log's.
pub(crate) async fn more(
    automa: &Automa,
    caller: &Caller,
    execution: &Execution,
    (view, look): (View, Look),
) -> Result<Piece, Problem> {
    let (id, attempt) = (execution.id, view.attempt);
    let rows = Rows::new(execution, view, look);
    let source = Source { automa, caller, id, attempt };
    let piece = source.piece(&rows).await?.0;
    // Whoever scrolls up has what is below, and the other way round.
    Ok(match rows.view.place {
        Place::To(_) => Piece { after: None, ..piece },
        _ => Piece { before: None, ..piece },
    })
}

impl Note {
    /// Nothing was found, so far at least.
    fn nothing(view: &View, found: &Found, direction: Direction) -> Self {
        let place = match direction {
            Direction::Forward => Place::After(found.next),
            Direction::Backward => Place::Before(found.next),
        };
        if found.more() {
            let text = format!("Nothing was found up to line {} yet.", grouped(found.next));
            return Self { text, go_on: Some(view.at(place)) };
        }
        let further = if view.place == Place::Unsaid { "" } else { " further" };
        Self { text: format!("No{further} line has “{}”.", view.q), go_on: None }
    }
}

impl Tally {
    /// In a few words: `3 of 12`.
    fn text(&self) -> String {
        let found = match (self.found >= COUNT_MAX, self.more) {
            (true, _) | (_, true) => format!("{}+", grouped(self.found)),
            _ => grouped(self.found),
        };
        match self.at {
            Some(at) => format!("{} of {found}", grouped(at)),
            None => found,
        }
    }
}

impl Log {
    /// A log of which there is nothing yet, or never was.
    pub(crate) fn empty(execution: &Execution, (view, look): (View, Look), path: &str) -> Self {
        let id = execution.id;
        let piece = Piece {
            id,
            html: String::new(),
            view: view.clone(),
            before: None,
            after: None,
            first: None,
            last: None,
            total: 0,
        };
        let rows = Rows::new(execution, view, look);
        Self::new(rows, piece, execution.state, path)
    }

    fn new(rows: Rows, piece: Piece, state: State, path: &str) -> Self {
        Self {
            live: (state.is_open() && piece.after.is_none()).then_some(state),
            rows,
            piece,
            tally: None,
            note: None,
            ending: false,
            bytes: 0,
            truncated: false,
            removed: None,
            complete: !state.is_open(),
            path: path.to_owned(),
        }
    }

    fn of(self, reader: &LogReader) -> Self {
        let truncated = reader.summary().is_some_and(|summary| summary.truncated);
        Self { bytes: reader.raw_len(), truncated, ..self }
    }

    /// A log that was removed.
    pub(crate) fn removed(self, at: Timestamp) -> Self {
        Self { removed: Some(at), ..self }
    }

    /// The same of an execution that was asked to end.
    pub(crate) fn ending(self, ending: bool) -> Self {
        Self { ending, ..self }
    }

    fn view(&self) -> &View {
        &self.rows.view
    }

    /// Both streams or one of them.
    fn streams(&self) -> Vec<Link> {
        let link = |(name, stream): (&'static str, Option<Stream>)| Link {
            name,
            path: self.view().of_stream(stream),
            icon: "",
            current: self.view().stream == stream,
        };
        [("Both", None), ("stdout", Some(Stream::Stdout)), ("stderr", Some(Stream::Stderr))]
            .map(link)
            .into()
    }

    /// What it is the log of, if not of the last attempt.
    fn attempt(&self) -> Option<String> {
        self.view().attempt.map(|number| format!("Attempt {number}"))
    }

    /// That, in a query.
    pub(crate) fn of_attempt(&self) -> String {
        self.view().attempt.map_or_else(String::new, |number| format!("?attempt={number}"))
    }

    fn times(&self) -> [(Times, bool); 3] {
        Times::ALL.map(|times| (times, times == self.rows.look.times))
    }

    /// The only stream that is shown.
    fn stream(&self) -> Option<&'static str> {
        self.view().stream.map(view::name)
    }

    /// The same place with nothing to look for.
    fn cleared(&self) -> String {
        let place = self.piece.first.map_or(Place::Unsaid, Place::From);
        View { q: String::new(), only: false, ..self.view().clone() }.at(place)
    }

    /// The line that comes next.
    fn next(&self) -> u64 {
        self.piece.total + 1
    }

    fn to_first(&self) -> Option<String> {
        self.piece.before.map(|_| self.view().at(Place::From(1)))
    }

    fn to_last(&self) -> Option<String> {
        self.piece.after.map(|_| {
            if self.complete {
                return self.view().at(Place::To(self.piece.total));
            }
            View { q: String::new(), ..self.view().clone() }.at(Place::Unsaid)
        })
    }

    /// The matches before and behind the one that is shown.
    fn neighbours(&self) -> (Option<String>, Option<String>) {
        let (Some(tally), Place::At(line)) = (self.tally, self.view().place) else {
            return (None, None);
        };
        let way = |there: bool, place| there.then(|| self.view().at(place));
        let first = tally.at == Some(1);
        let last = tally.at == Some(tally.found) && !tally.more;
        (way(!first, Place::Before(line.saturating_sub(1))), way(!last, Place::After(line + 1)))
    }

    /// What stands below the last line.
    fn closing(&self) -> Option<String> {
        if self.live.is_some() || self.piece.after.is_some() {
            return None;
        }
        if let Some(at) = self.removed {
            let day = at.strftime("%-d %B %Y");
            return Some(format!(
                "Its log was removed on {day}: logs are kept for a limited time."
            ));
        }
        let total = self.piece.total;
        if total == 0 {
            return Some("It wrote nothing.".to_owned());
        }
        let lines = if total == 1 { "line" } else { "lines" };
        let mut closing = format!("End of log: {} {lines}, {}.", grouped(total), Bytes(self.bytes));
        if self.truncated {
            closing += " There was more: output beyond its limit is not kept.";
        }
        Some(closing)
    }

    /// Which lines are shown, if they are not all.
    fn part(&self) -> Option<String> {
        let Piece { first, last, before, after, total, .. } = &self.piece;
        let (first, last) = ((*first)?, (*last)?);
        let part = before.is_some() || after.is_some();
        part.then(|| {
            format!("Lines {} to {} of {}", grouped(first), grouped(last), grouped(*total))
        })
    }
}

impl Piece {
    fn earlier(&self) -> Option<String> {
        self.before.map(|line| self.view.at(Place::To(line)))
    }

    fn later(&self) -> Option<String> {
        self.after.map(|line| self.view.at(Place::From(line)))
    }
}

/// The last line that was written to stderr, without its colours, to be quoted.
pub(crate) fn last_error(reader: &LogReader) -> Option<String> {
    let window = reader.tail(50).ok()?;
    let written = |line: &&Line| line.stream == Stream::Stderr && !line.text.trim().is_empty();
    let line = window.lines.iter().rev().find(written)?;
    let text = ansi::plain(&line.text);
    let text = text.trim();
    let shown = &text[..text.floor_char_boundary(200)];
    Some(if shown.len() < text.len() { format!("{shown}…") } else { shown.to_owned() })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::pages::samples;

    const PATH: &str = "/executions/x?q=<b>";

    fn piece(rows: &Rows, lines: &[Line], total: u64) -> Piece {
        let (first, last) = (lines.first().map(|it| it.n), lines.last().map(|it| it.n));
        Piece {
            id: rows.id,
            html: rows.draw(lines),
            view: rows.view.clone(),
            before: first.filter(|n| *n > 1).map(|n| n - 1),
            after: last.filter(|n| *n < total).map(|n| n + 1),
            first,
            last,
            total,
        }
    }

    /// A log with everything that lines can have.
    pub(crate) fn sample(state: State) -> Log {
        let texts = [
            (Stream::Stdout, "3 hosts, warn under 14 days, report full"),
            (Stream::Stdout, "\x1b[1;36mshop.example.com\x1b[0m"),
            (Stream::Stdout, "  resolved 203.0.113.10 in \x1b[33m12 ms\x1b[0m"),
            (Stream::Stdout, "  \x1b[32m64 days left\x1b[0m"),
            (Stream::Stdout, "10 %\r50 %\r100 %"),
            (Stream::Stderr, "smtp probe on port 25: \x1b[31mOperation not permitted\x1b[0m"),
            (Stream::Stdout, "<script>alert(1)</script> \u{202e}gnihtemos\u{7}"),
            (Stream::Stderr, "1 of 3 certificates expires within 14 days"),
        ];
        let mut lines: Vec<_> = texts
            .iter()
            .zip(1..)
            .map(|((stream, text), n)| rows::tests::line(n, *stream, text))
            .collect();
        lines.push(rows::tests::line(9, Stream::Stdout, &"0123456789".repeat(900)));
        let rows = rows::tests::rows(View::default(), Look::default());
        let piece = piece(&rows, &lines, 9);
        let truncated = !state.is_open();
        Log { bytes: 12_345, truncated, ..Log::new(rows, piece, state, PATH) }
    }

    /// A log in the middle of which something was found.
    pub(crate) fn found() -> Log {
        let view = View {
            q: samples::HOSTILE.to_owned(),
            case: true,
            place: Place::At(901),
            ..View::default()
        };
        let look = Look { wrap: false, times: Times::Absolute };
        let rows = rows::tests::rows(view, look);
        let lines = [(900, "a"), (901, samples::HOSTILE)]
            .map(|(n, text)| rows::tests::line(n, Stream::Stdout, text));
        let piece = piece(&rows, &lines, 5000);
        let tally = Some(Tally { at: Some(3), found: 12, more: false });
        Log { tally, ..Log::new(rows, piece, State::Succeeded, PATH) }
    }

    /// A log in which nothing is found.
    pub(crate) fn nothing() -> Log {
        let view = View { q: samples::HOSTILE.to_owned(), only: true, ..View::default() };
        let found = Found { lines: Vec::new(), next: 800_000, total: 900_000, complete: true };
        let note = Some(Note::nothing(&view, &found, Direction::Forward));
        let rows = rows::tests::rows(view, Look { times: Times::Off, ..Look::default() });
        let piece = piece(&rows, &[], 900_000);
        Log { note, ..Log::new(rows, piece, State::Succeeded, PATH) }
    }

    #[test]
    fn a_window_knows_what_is_before_and_behind_it() {
        let html = found().render().unwrap();
        assert!(html.contains("Lines 900 to 901 of 5,000"), "{html}");
        assert!(html.contains("to=899\"") && html.contains("from=902\""), "{html}");
        assert!(html.contains("3 of 12"), "{html}");
        assert!(html.contains("before=900\"") && html.contains("after=902\""), "{html}");
        assert!(!html.contains("data-events"), "it does not show the end: {html}");
        let html = sample(State::Running).render().unwrap();
        assert!(html.contains("data-next=\"10\""), "{html}");
        assert!(html.contains("data-events="), "{html}");
        let cancelled = samples::execution(State::Cancelled, "a");
        let empty = Log::empty(&cancelled, (View::default(), Look::default()), PATH);
        assert!(empty.clone().render().unwrap().contains("It wrote nothing."));
        let gone = empty.removed(samples::now()).render().unwrap();
        assert!(gone.contains("Its log was removed on 21 November 2026"), "{gone}");
    }

    #[test]
    fn it_is_said_how_often_something_was_found() {
        let text = |at, found, more| Tally { at, found, more }.text();
        assert_eq!(text(None, 0, false), "0");
        assert_eq!(text(Some(3), 1200, false), "3 of 1,200");
        assert_eq!(text(Some(3), 1200, true), "3 of 1,200+");
        assert_eq!(text(None, 10_000, false), "10,000+");
    }

    #[test]
    fn what_was_not_looked_at_can_be() {
        let note = nothing().note.unwrap();
        assert_eq!(note.text, "Nothing was found up to line 800,000 yet.");
        assert!(note.go_on.unwrap().ends_with("&after=800000"));
        let view = View { q: "x".to_owned(), ..View::default() };
        let found = Found { lines: Vec::new(), next: 10, total: 9, complete: true };
        let note = Note::nothing(&view, &found, Direction::Forward);
        assert_eq!((note.text.as_str(), note.go_on), ("No line has “x”.", None));
    }
}
