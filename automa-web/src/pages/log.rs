//! The log on an execution's page: a window of its lines, found, filtered or followed, and the rows
//! that come to it as one scrolls.

mod download;
mod find;
mod json;
mod look;
mod open;
mod piece;
mod rows;
#[cfg(test)]
pub(crate) mod tests;
mod view;

use askama::{Template, filters::HtmlSafe};
use automa_core::execution::{
    Execution, State,
    log::{Cut, Line, LogReader},
};
use automa_sandbox::{Bytes, Stream};
use jiff::Timestamp;

pub(super) use self::{
    download::{gzip, plain},
    look::choose,
};
use self::{
    find::{Note, Tally},
    piece::Piece,
};
pub(crate) use self::{
    look::{Look, Times},
    open::{Opened, more, open},
    rows::{Rows, gap},
    view::{Place, View},
};
use super::{ansi, frame::Link};
use crate::{
    filters::{self, grouped},
    live::missing,
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
    cut: Option<Cut>,
    /// Where its first line on stderr is, if it is known to have one.
    first_error: Option<String>,
    /// When it was removed.
    removed: Option<Timestamp>,
    complete: bool,
    /// The page's own address.
    path: String,
}

/// The template escapes for itself.
impl HtmlSafe for Log {}

impl Log {
    /// A log of which there is nothing yet, or never was.
    pub(crate) fn empty(execution: &Execution, (view, look): (View, Look), path: &str) -> Self {
        let id = execution.id;
        let piece = Piece::empty(id, view.clone());
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
            cut: None,
            first_error: None,
            removed: None,
            complete: !state.is_open(),
            path: path.to_owned(),
        }
    }

    fn of(self, reader: &LogReader) -> Self {
        let summary = reader.summary();
        let truncated = summary.is_some_and(|summary| summary.truncated);
        let attempt = self.view().attempt;
        let place = || View { attempt, ..View::default() }.at(Place::Error(1));
        let first_error = summary.filter(|summary| summary.stderr_bytes > 0).map(|_| place());
        Self { bytes: reader.raw_len(), truncated, cut: reader.cut(), first_error, ..self }
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
        let closing = format!("End of log: {} {lines}, {}.", grouped(total), Bytes(self.bytes));
        Some(match self.cut {
            Some(cut) => format!("{closing} {}.", missing(cut)),
            None if self.truncated => {
                format!("{closing} There was more: output beyond its limit is not kept.")
            }
            None => closing,
        })
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
