//! What was refused, in entries that are few however much it was: the first of a kind is written at
//! once, and what follows within a minute is counted, in one entry.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use super::{Action, Entry};
use crate::{
    actor::{Actor, Origin},
    clock::Clock,
    id::UserId,
};

/// How long what is of one kind is counted together.
const WINDOW: SignedDuration = SignedDuration::from_mins(1);
/// Kinds that have entries of their own within that time: of users, and of whoever is none, so that
/// these do not hide those.
const KINDS: usize = 32;

/// What has been refused within the last minute.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    since: Timestamp,
    /// How often each kind came again, and an entry of it.
    again: HashMap<Kind, (u32, Entry)>,
    /// How often what had no room came, of users and others.
    others: [u32; 2],
}

/// What is counted together.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Kind {
    actor: String,
    user: Option<UserId>,
    address: Option<String>,
    action: &'static str,
    resource: Option<super::Resource>,
    detail: Option<String>,
}

impl Kind {
    fn of(entry: &Entry) -> Self {
        Self {
            actor: entry.actor.clone(),
            user: entry.user,
            address: entry.address.clone(),
            action: entry.action.name(),
            resource: entry.action.resource(),
            detail: entry.detail.clone(),
        }
    }
}

impl Refusals {
    /// Takes note of a refusal, and tells which entries are to be written now.
    pub(super) fn note(&self, clock: &dyn Clock, entry: Entry) -> Vec<Entry> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = window.end(clock, false);
        let users = window.again.keys().filter(|kind| kind.user.is_some()).count();
        let is_user = entry.user.is_some();
        let kinds = if is_user { users } else { window.again.len() - users };
        if let Some((times, _)) = window.again.get_mut(&Kind::of(&entry)) {
            *times = times.saturating_add(1);
        } else if kinds < KINDS {
            window.again.insert(Kind::of(&entry), (0, entry.clone()));
            due.push(entry);
        } else {
            let others = &mut window.others[usize::from(is_user)];
            *others = others.saturating_add(1);
        }
        due
    }

    /// What has been counted for a minute, or `all`.
    pub(super) fn due(&self, clock: &dyn Clock, all: bool) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).end(clock, all)
    }
}

impl Window {
    /// The entries of a window that is over; another begins.
    fn end(&mut self, clock: &dyn Clock, all: bool) -> Vec<Entry> {
        let now = clock.now();
        if !all && now.duration_since(self.since).abs() < WINDOW {
            return Vec::new();
        }
        let Self { again, others, .. } =
            std::mem::replace(self, Self { since: now, ..Self::default() });
        let counted = again.into_values().filter(|(times, _)| *times > 0);
        let mut entries: Vec<_> = counted
            .map(|(times, entry)| Entry {
                id: crate::id::AuditId::generate(clock),
                at: now,
                times,
                ..entry
            })
            .collect();
        let whose = ["somebody", "users"].into_iter().zip(others);
        entries.extend(whose.filter(|(_, times)| *times > 0).map(|(name, times)| {
            let actor = Actor::nobody(name, Origin::Web);
            let entry = Entry::new(clock, &actor, Action::RequestRefused(None));
            let detail = "of more kinds than have entries of their own within a minute";
            Entry { times, ..entry.detail(detail) }
        }));
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TestClock;

    fn refused(clock: &TestClock, name: &str) -> Entry {
        let actor = Actor::nobody(name, Origin::Api);
        Entry::new(clock, &actor, Action::SignInRefused).detail("no")
    }

    fn told(entries: Vec<Entry>) -> Vec<(String, u32)> {
        let mut told: Vec<_> = entries.into_iter().map(|it| (it.actor, it.times)).collect();
        told.sort();
        told
    }

    #[test]
    fn what_comes_again_within_a_minute_is_counted() {
        let clock = TestClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let refusals = Refusals::default();
        let note = |name| told(refusals.note(&clock, refused(&clock, name)));
        assert_eq!(note("eve"), [("eve".to_owned(), 1)]);
        assert_eq!((note("eve"), note("eve")), (vec![], vec![]));
        assert_eq!(note("mallory"), [("mallory".to_owned(), 1)]);
        clock.advance(SignedDuration::from_secs(59));
        assert_eq!(told(refusals.due(&clock, false)), []);
        clock.advance(SignedDuration::from_secs(1));
        assert_eq!(told(refusals.due(&clock, false)), [("eve".to_owned(), 2)]);
        assert_eq!(note("eve"), [("eve".to_owned(), 1)], "another minute has begun");
    }

    #[test]
    fn a_flood_of_many_kinds_leaves_few_entries_and_hides_no_user() {
        let clock = TestClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let refusals = Refusals::default();
        let flood = (0..10_000).map(|number| refused(&clock, &format!("eve{number}")));
        let written: usize = flood.map(|entry| refusals.note(&clock, entry).len()).sum();
        assert_eq!(written, KINDS);
        let user = UserId::generate(&clock);
        let actor = Actor::user(user, "ada", crate::actor::Role::Viewer, Origin::Api);
        let entry = Entry::new(&clock, &actor, Action::RequestRefused(None));
        assert_eq!(told(refusals.note(&clock, entry)), [("ada".to_owned(), 1)]);
        let counted = told(refusals.due(&clock, true));
        let others = u32::try_from(10_000 - KINDS).unwrap();
        assert_eq!(counted, [("somebody".to_owned(), others)]);
    }
}
