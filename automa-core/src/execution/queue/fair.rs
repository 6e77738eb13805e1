//! How much each user has used, so that turns are shared in processor time.
//!
//! Each user has a sum of the milliseconds that their executions used; the least has the next turn. It is
//! the *virtual time* of fair queueing: who comes after doing nothing for long does not bring all that
//! time along as a claim, but begins at most [`CREDIT`] before those who are at work. So a newcomer
//! goes first, and for a minute of processor time only.
//!
//! What an execution will use is known at its end. Until then it counts as [`PROVISIONAL`], so that
//! one user's many starts at the same moment are not all taken for free. Nothing of this is stored:
//! after a start of Automa everyone begins equal.

use std::collections::{BTreeSet, HashMap};

use super::Owner;

/// How far ahead of the others one can be who has used nothing lately, in milliseconds.
pub(super) const CREDIT: u64 = 60_000;
/// What an execution counts for while it runs, in milliseconds.
pub(super) const PROVISIONAL: u64 = 1_000;
/// What it counts for at least in the end: a slot was taken, even if only to sleep.
pub(super) const LEAST: u64 = 10;

#[derive(Debug, Default)]
pub(super) struct Shares {
    users: HashMap<Owner, Share>,
    /// What those have used who wait or run.
    active: BTreeSet<(u64, Owner)>,
    /// The least of these; it never falls.
    floor: u64,
}

#[derive(Debug, Default)]
struct Share {
    used: u64,
    /// How many of theirs wait for a turn or run.
    open: usize,
}

impl Shares {
    /// What a user has used.
    pub(super) fn of(&self, owner: Owner) -> u64 {
        self.users.get(&owner).map_or(0, |share| share.used)
    }

    /// One of a user's has begun to wait for its turn.
    pub(super) fn wait(&mut self, owner: Owner) {
        let least = self.floor.saturating_sub(CREDIT);
        self.change(owner, |share| {
            if share.open == 0 {
                share.used = share.used.max(least);
            }
            share.open += 1;
        });
    }

    /// One of a user's does not wait any more.
    pub(super) fn leave(&mut self, owner: Owner) {
        self.change(owner, |share| share.open -= 1);
    }

    /// One of a user's begins to run.
    pub(super) fn begin(&mut self, owner: Owner) {
        self.wait(owner);
        self.change(owner, |share| share.used = share.used.saturating_add(PROVISIONAL));
    }

    /// It has ended, with the milliseconds that it used; `None` if it was not started after all.
    pub(super) fn settle(&mut self, owner: Owner, cpu_ms: Option<u64>) {
        let used = cpu_ms.map_or(0, |used| used.max(LEAST));
        self.change(owner, |share| {
            share.used = share.used.saturating_add(used).saturating_sub(PROVISIONAL);
        });
        self.leave(owner);
    }

    fn change(&mut self, owner: Owner, change: impl FnOnce(&mut Share)) {
        let share = self.users.entry(owner).or_default();
        if share.open > 0 {
            self.active.remove(&(share.used, owner));
        }
        change(share);
        if share.open > 0 {
            self.active.insert((share.used, owner));
        }
        if let Some(&(least, _)) = self.active.first() {
            self.floor = self.floor.max(least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::SystemClock, id::UserId};

    #[test]
    fn who_did_nothing_for_long_has_a_bounded_advantage() {
        let mut shares = Shares::default();
        let [busy, new] = [(); 2].map(|()| Some(UserId::generate(&SystemClock::new())));
        shares.wait(busy);
        for _ in 0..1000 {
            shares.begin(busy);
            shares.settle(busy, Some(10_000));
        }
        assert_eq!(shares.of(busy), 10_000_000);
        shares.wait(new);
        assert_eq!(shares.of(new), 10_000_000 - CREDIT);
        // Coming and going gives no new credit.
        for _ in 0..10 {
            shares.begin(new);
            shares.settle(new, Some(5_000));
            shares.leave(new);
            shares.wait(new);
        }
        assert_eq!(shares.of(new), 10_000_000 - CREDIT + 50_000);
    }

    #[test]
    fn what_was_not_started_costs_nothing_and_what_slept_costs_a_little() {
        let mut shares = Shares::default();
        shares.begin(None);
        assert_eq!(shares.of(None), PROVISIONAL);
        shares.settle(None, None);
        assert_eq!(shares.of(None), 0);
        shares.begin(None);
        shares.settle(None, Some(0));
        assert_eq!(shares.of(None), LEAST);
    }
}
