//! Why an execution waits.

use std::fmt;

use automa_sandbox::Bytes;
use jiff::Timestamp;

use super::{Entry, Lane, Queue, Rank, User, fair::PROVISIONAL};
use crate::id::ExecutionId;

/// What the host lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// Memory: programs stand still because of it.
    Memory {
        /// The share of the last ten seconds in which some did, in hundredths of a percent.
        stalled: u32,
    },
    /// Space on the disk of the data directory.
    Disk {
        /// Bytes that are free.
        free: u64,
        /// Bytes that have to be.
        least: u64,
    },
}

/// Why an execution waits, and how many others go before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What it waits for.
    pub reason: Reason,
    /// How many of those that wait for the same go before it, as far as that is known now: who
    /// comes later may have a higher priority, or have used less.
    pub before: u64,
}

/// What an execution waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The time at which it is tried again.
    Retry {
        /// That time.
        at: Timestamp,
    },
    /// The end of others of its concurrency key.
    Concurrency {
        /// How many run.
        running: u64,
        /// How many may.
        limit: u64,
    },
    /// The end of others of its user.
    User {
        /// How many run.
        running: u64,
        /// How many may.
        limit: u64,
    },
    /// What the host lacks.
    Shortage(Shortage),
    /// A slot.
    Slot {
        /// How many there are.
        slots: u64,
    },
    /// Nothing: it starts at any moment.
    Starting,
}

impl Reason {
    /// The reason's name in the API.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Retry { .. } => "retry",
            Self::Concurrency { .. } => "concurrency",
            Self::User { .. } => "user",
            Self::Shortage(Shortage::Memory { .. }) => "memory",
            Self::Shortage(Shortage::Disk { .. }) => "disk",
            Self::Slot { .. } => "slot",
            Self::Starting => "starting",
        }
    }
}

impl fmt::Display for Waiting {
    /// A sentence without its full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Retry { at } => return write!(f, "it is tried again at {at:.0}"),
            Reason::Concurrency { running: 1, limit: 1 } => {
                f.write_str("another one of this script runs, and it allows one at a time")?;
            }
            Reason::Concurrency { running, limit } => {
                let others = if running == 1 { "other" } else { "others" };
                write!(
                    f,
                    "{running} {others} of this script run, and it allows {limit} at a time"
                )?;
            }
            Reason::User { running, limit } => {
                write!(f, "{running} of the same user run, and each may have {limit} at a time")?;
            }
            Reason::Shortage(shortage) => write!(f, "{shortage}")?,
            Reason::Slot { slots: 1 } => f.write_str("the only slot is taken")?,
            Reason::Slot { slots } => write!(f, "all {slots} slots are taken")?,
            Reason::Starting => return f.write_str("it starts at any moment"),
        }
        match self.before {
            0 => f.write_str("; it is the next"),
            1 => f.write_str("; one goes before it"),
            before => write!(f, "; {before} go before it"),
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Memory { stalled } => write!(
                f,
                "memory is short: programs stood still for lack of it during {}.{:02} % of the \
                 last 10 s",
                stalled / 100,
                stalled % 100
            ),
            Self::Disk { free, least } => write!(
                f,
                "the disk is full: {} are free for data, and {} have to be",
                Bytes(free),
                Bytes(least)
            ),
        }
    }
}

impl Queue {
    /// Why one waits; `None` if it does not.
    pub(crate) fn why(&self, id: ExecutionId) -> Option<Waiting> {
        let entry = self.waiting.get(&id)?;
        if let Some(at) = entry.not_before.filter(|at| self.delayed.contains(&(*at, id))) {
            return Some(Waiting { reason: Reason::Retry { at }, before: 0 });
        }
        let user = self.users.get(&entry.user)?;
        if let Some(place) = entry.concurrency.filter(|place| !self.is_open(*place)) {
            let running = self.keys.get(&place.key).map_or(0, |key| count(key.running));
            let reason = Reason::Concurrency { running, limit: u64::from(place.limit) };
            let before = self.before_in_key(place.key, entry.rank());
            return Some(Waiting { reason, before });
        }
        if let Some(limit) = self.limits.of(user).filter(|_| !self.limits.allow(user)) {
            let reason = Reason::User { running: count(user.running), limit: count(limit) };
            return Some(Waiting { reason, before: before_in(user, entry.rank()) });
        }
        let reason = match self.shortage {
            Some(shortage) if !self.has_room() => Reason::Shortage(shortage),
            _ if self.has_room() => Reason::Starting,
            _ => Reason::Slot { slots: count(self.limits.slots) },
        };
        let before = self.before_in_turns(entry, user);
        Some(Waiting { reason, before })
    }

    /// How many wait for a place of a key before one of this rank, by priority and age.
    fn before_in_key(&self, key: [u8; 16], rank: Rank) -> u64 {
        let owners = self.keys.get(&key).into_iter().flat_map(|key| &key.owners);
        let lanes = owners.filter_map(|owner| self.users.get(owner)?.lanes.get(&Some(key)));
        lanes.map(|lane| count(lane.ranks.range(..rank).count())).sum()
    }

    /// How many start before one of these that may, if each takes what it counts for at first.
    fn before_in_turns(&self, entry: &Entry, user: &User) -> u64 {
        let (rank, own) = (entry.rank(), before_in(user, entry.rank()));
        let turn = self.shares.of(entry.user).saturating_add(own.saturating_mul(PROVISIONAL));
        let others = self.turns.iter().filter(|(_, _, owner)| *owner != entry.user);
        let before = others.filter_map(|(used, _, owner)| {
            let (other, ahead) = (self.users.get(owner)?, turn.checked_sub(*used)?);
            let starts = ahead / PROVISIONAL;
            // At the same use, the more urgent and then the older goes first.
            let tie = !ahead.is_multiple_of(PROVISIONAL)
                || nth(other, starts).is_some_and(|theirs| theirs < rank);
            Some((starts + u64::from(tie)).min(ready(other)))
        });
        own + before.sum::<u64>()
    }
}

/// The one of a user's that may start before which this many others go.
fn nth(user: &User, place: u64) -> Option<Rank> {
    let place = usize::try_from(place).ok()?;
    let mut lanes = open_lanes(user);
    if let (Some(lane), None) = (lanes.next(), lanes.next()) {
        return lane.ranks.iter().nth(place).copied();
    }
    let mut ranks: Vec<_> = open_lanes(user).flat_map(|lane| &lane.ranks).copied().collect();
    let found = ranks.len() > place;
    found.then(|| *ranks.select_nth_unstable(place).1)
}

/// How many of a user's that may start go before one of this rank.
fn before_in(user: &User, rank: Rank) -> u64 {
    open_lanes(user).map(|lane| count(lane.ranks.range(..rank).count())).sum()
}

/// How many of a user's may start.
fn ready(user: &User) -> u64 {
    open_lanes(user).map(|lane| count(lane.ranks.len())).sum()
}

fn open_lanes(user: &User) -> impl Iterator<Item = &Lane> {
    user.lanes.values().filter(|lane| lane.head.is_some())
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
