//! Which entries of the audit log a list has.

use jiff::Timestamp;

use super::{Action, Outcome, Resource};

/// Which entries: all, unless something is named; then those of which all of it is true.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of somebody of this name, as named at that time.
    pub actor: Option<String>,
    /// Those of one of these actions, by [`Action::name`]; a name that there is not fits nothing.
    pub actions: Vec<String>,
    /// Those of one thing.
    pub resource: Option<Resource>,
    /// Those that ended like this.
    pub outcome: Option<Outcome>,
    /// Those of this moment or later, to the millisecond.
    pub from: Option<Timestamp>,
    /// Those before this moment, to the millisecond.
    pub until: Option<Timestamp>,
}

impl Filter {
    /// The names of the actions that concern a kind of things, such as `script` or `settings`.
    pub fn actions_of(kind: &str) -> impl Iterator<Item = &'static str> {
        let of = move |name: &&str| name.split_once('.').is_some_and(|(it, _)| it == kind);
        Action::NAMES.into_iter().filter(of)
    }
}
