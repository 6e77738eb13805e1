//! What became of a search: how often something was found, or that it was not.

use automa_core::execution::{
    COUNT_MAX,
    log::{Direction, Found},
};

use super::{Place, View};
use crate::filters::grouped;

/// What became of a search that found nothing.
#[derive(Debug, Clone)]
pub(super) struct Note {
    pub(super) text: String,
    /// Where it goes on, if it has not come to the end.
    pub(super) go_on: Option<String>,
}

/// How often something was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally {
    /// Which of the matches is shown, if one is.
    pub(super) at: Option<u64>,
    pub(super) found: u64,
    /// Whether there may be more.
    pub(super) more: bool,
}

impl Note {
    /// Nothing was found, so far at least.
    pub(super) fn nothing(view: &View, found: &Found, direction: Direction) -> Self {
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

    /// Nothing was written to stderr, so far at least.
    pub(super) fn no_error(view: &View, found: &Found) -> Self {
        let go_on = found.more().then(|| view.at(Place::Error(found.next)));
        let text = match go_on {
            Some(_) => format!("Nothing on stderr up to line {} yet.", grouped(found.next)),
            None => "No line was written to stderr.".to_owned(),
        };
        Self { text, go_on }
    }
}

impl Tally {
    /// In a few words: `3 of 12`.
    pub(super) fn text(&self) -> String {
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
