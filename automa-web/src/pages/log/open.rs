//! Opening a log at the place that an address says, or where something is found.

use automa_core::{
    Automa, Error,
    execution::{
        Execution,
        log::{Direction, Found, Line, Search},
    },
    id::ExecutionId,
};
use automa_sandbox::Stream;

use super::{
    LINES, Log, Look, Place, Rows, View,
    find::{Note, Tally},
    piece::Piece,
    view,
};
use crate::{auth::Caller, problem::Problem};

/// What a page gets to show.
pub(crate) enum Opened {
    Log(Box<Log>),
    /// It is at another address: where something was found.
    Elsewhere(String),
}

impl Opened {
    /// A line that was found.
    fn at(id: ExecutionId, view: &View, line: &Line) -> Self {
        Self::Elsewhere(format!("/executions/{id}{}#L{}", view.at(Place::At(line.n)), line.n))
    }
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
            Place::From(line) | Place::After(line) | Place::Error(line) => {
                (line.max(1), Direction::Forward)
            }
            Place::At(line) => (line.saturating_sub(view::BEFORE).max(1), Direction::Forward),
        };
        let found = self.find(filter, from, direction, LINES).await?;
        let piece = Piece::of(rows, &found, (from, direction));
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
            return Ok(Opened::at(id, &view, line));
        }
        note = Some(Note::nothing(&view, &found, direction));
        view.place = Place::From(from.min(found.total));
    }
    if let Place::Error(from) = view.place {
        let search = Search::default().of(Some(Stream::Stderr));
        let found = source.find(search, from.max(1), Direction::Forward, 1).await?;
        if let Some(line) = found.lines.first() {
            return Ok(Opened::at(id, &view, line));
        }
        note = Some(Note::no_error(&view, &found));
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
