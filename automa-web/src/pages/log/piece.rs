//! Lines that are sent at once.

use askama::{Template, filters::HtmlSafe};
use automa_core::{
    execution::log::{Direction, Found},
    id::ExecutionId,
};

use super::{Place, Rows, View};
use crate::filters;

/// Lines that are sent at once, and what is before and behind them.
#[derive(Debug, Clone, Template)]
#[template(path = "executions/lines.html")]
pub(crate) struct Piece {
    pub(super) id: ExecutionId,
    pub(super) html: String,
    pub(super) view: View,
    /// The line up to which there is more before them.
    pub(super) before: Option<u64>,
    /// The line from which on there is more behind them.
    pub(super) after: Option<u64>,
    pub(super) first: Option<u64>,
    pub(super) last: Option<u64>,
    pub(super) total: u64,
}

/// The template escapes for itself, and [`Rows`] its lines.
impl HtmlSafe for Piece {}

impl Piece {
    /// No lines.
    pub(super) fn empty(id: ExecutionId, view: View) -> Self {
        let html = String::new();
        Self { id, html, view, before: None, after: None, first: None, last: None, total: 0 }
    }

    /// What was found from a line on, or up to it.
    pub(super) fn of(rows: &Rows, found: &Found, (from, direction): (u64, Direction)) -> Self {
        let more = found.more().then_some(found.next);
        // What is before and behind, and which lines are neither.
        let (before, after, (first, last)) = match direction {
            Direction::Forward => {
                ((from > 1).then(|| from - 1), more, (from, found.next.saturating_sub(1)))
            }
            Direction::Backward => {
                (more, (from < found.total).then(|| from + 1), (found.next + 1, from))
            }
        };
        let cut = found.cut.filter(|cut| (first..=last).contains(&cut.last));
        Self {
            id: rows.id,
            html: rows.draw(&found.lines, cut),
            view: rows.view.clone(),
            before,
            after,
            first: found.lines.first().map(|line| line.n),
            last: found.lines.last().map(|line| line.n),
            total: found.total,
        }
    }

    fn earlier(&self) -> Option<String> {
        self.before.map(|line| self.view.at(Place::To(line)))
    }

    fn later(&self) -> Option<String> {
        self.after.map(|line| self.view.at(Place::From(line)))
    }
}
