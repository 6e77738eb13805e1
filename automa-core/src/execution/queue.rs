//! What starts next, and why the rest waits.
//!
//! A data structure and nothing else: it does no IO, has no tasks and no clock, and the same events
//! in the same order give the same decisions. Whoever has it tells it what happened, asks what starts
//! now, and starts that.
//!
//! - **Who is next**: the user who has used least processor time ([`fair`]); of one user's, what has
//!   the highest priority; of those, the oldest.
//! - **What can be next**: what waits for no time of its own, and for which there is a slot, a place
//!   among its user's and a place among those of its concurrency key. What cannot start keeps
//!   nothing else from starting, but for what comes behind it in the same *lane*: the executions of
//!   one user and one key.
//!
//! Times of its own are moments by the clock, which may be set. When it steps back, what waits for one
//! goes on waiting until the clock shows it, a deadline as well as another attempt; when it steps
//! forward, all that it stepped over has come. Whatever waits for no time is not affected.
//!
//! A decision costs `O(log n)`; so does an event, but for the end of one with a key, which looks at
//! each user who waits for that key.

mod fair;
#[cfg(test)]
mod tests;
mod waiting;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
};

use jiff::Timestamp;

use self::fair::Shares;
pub use self::waiting::{Reason, Shortage, Waiting};
use super::concurrency::Place;
use crate::id::{ExecutionId, UserId};

/// Whose an execution is; `None` is the embedding program.
type Owner = Option<UserId>;

/// An execution's place in its user's order: highest priority first, then oldest.
type Rank = (Reverse<i8>, ExecutionId);

/// Those of one user that share a concurrency key, or have none.
type LaneKey = Option<[u8; 16]>;

/// An execution as far as its turn is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: ExecutionId,
    pub(crate) user: Owner,
    pub(crate) priority: i8,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) concurrency: Option<Place>,
}

impl Entry {
    fn rank(&self) -> Rank {
        (Reverse(self.priority), self.id)
    }

    fn lane(&self) -> LaneKey {
        self.concurrency.map(|place| place.key)
    }
}

/// How much runs at the same time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) slots: usize,
    pub(crate) per_user: Option<usize>,
}

/// What waits and what runs.
#[derive(Debug)]
pub(crate) struct Queue {
    limits: Limits,
    shortage: Option<Shortage>,
    waiting: HashMap<ExecutionId, Entry>,
    running: HashMap<ExecutionId, Entry>,
    /// Those of them whose sandbox is gone, so that only their end is still to be recorded.
    ending: HashSet<ExecutionId>,
    /// Those that wait for a time of their own.
    delayed: BTreeSet<(Timestamp, ExecutionId)>,
    deadlines: BTreeSet<(Timestamp, ExecutionId)>,
    /// Users who have, or had, anything: they are as many as there are accounts at most.
    users: HashMap<Owner, User>,
    shares: Shares,
    /// Users who have something that can start, in the order of their turns.
    turns: BTreeSet<Turn>,
    keys: HashMap<[u8; 16], Key>,
}

/// Least used first; between equals the more urgent, then the older.
type Turn = (u64, Rank, Owner);

#[derive(Debug, Default)]
struct User {
    running: usize,
    /// How many of theirs may run, if not as many as of others.
    most: Option<usize>,
    lanes: BTreeMap<LaneKey, Lane>,
    /// The first of each lane that is open.
    heads: BTreeSet<(Rank, LaneKey)>,
    /// Its place in [`Queue::turns`].
    turn: Option<Turn>,
}

#[derive(Debug, Default)]
struct Lane {
    ranks: BTreeSet<Rank>,
    /// Its place in [`User::heads`].
    head: Option<Rank>,
}

#[derive(Debug, Default)]
struct Key {
    running: usize,
    /// Who has a lane of it.
    owners: HashSet<Owner>,
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            shortage: None,
            waiting: HashMap::new(),
            running: HashMap::new(),
            ending: HashSet::new(),
            delayed: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            users: HashMap::new(),
            shares: Shares::default(),
            turns: BTreeSet::new(),
            keys: HashMap::new(),
        }
    }

    /// Adds one that waits. One that is known already is left as it is.
    pub(crate) fn accept(&mut self, entry: Entry, now: Timestamp) {
        if self.knows(entry.id) {
            return;
        }
        if let Some(deadline) = entry.deadline {
            self.deadlines.insert((deadline, entry.id));
        }
        self.waiting.insert(entry.id, entry);
        match entry.not_before {
            Some(at) if at > now => {
                self.delayed.insert((at, entry.id));
            }
            _ => self.line_up(&entry),
        }
    }

    /// Starts one that has not been accepted yet, if it is its turn at once: then it runs.
    pub(crate) fn start_new(&mut self, entry: &Entry, now: Timestamp) -> bool {
        let user = self.users.get(&entry.user);
        let behind = user.is_some_and(|user| user.lanes.contains_key(&entry.lane()));
        let starts = self.has_room()
            && self.turns.is_empty()
            && !behind
            && entry.not_before.is_none_or(|at| at <= now)
            && user.is_none_or(|user| self.limits.allow(user))
            && entry.concurrency.is_none_or(|place| self.is_open(place))
            && !self.knows(entry.id);
        if starts {
            self.run(*entry);
        }
        starts
    }

    /// Says how many of one user's may run at the same time.
    pub(crate) fn limit_user(&mut self, owner: Owner, most: Option<usize>) {
        if self.users.get(&owner).and_then(|user| user.most) != most {
            self.users.entry(owner).or_default().most = most;
            self.user_changed(owner);
        }
    }

    /// Users who have, or had, anything.
    pub(crate) fn users(&self) -> Vec<UserId> {
        self.users.keys().copied().flatten().collect()
    }

    /// What starts now; from here on it runs. Ask again until there is nothing.
    pub(crate) fn next(&mut self) -> Option<ExecutionId> {
        if !self.has_room() {
            return None;
        }
        let &(_, (_, id), _) = self.turns.first()?;
        let entry = self.take_out(id)?;
        self.run(entry);
        Some(id)
    }

    /// The sandbox of one that runs is gone: its slot is free for the next, although it counts among
    /// its user's and its key's until its end is recorded, as it does for everyone who asks.
    pub(crate) fn leave_slot(&mut self, id: ExecutionId) {
        if self.running.contains_key(&id) {
            self.ending.insert(id);
        }
    }

    /// One that ran does not any more. `cpu_ms` is what it used; `None` if nothing was started.
    pub(crate) fn ended(&mut self, id: ExecutionId, cpu_ms: Option<u64>) {
        let Some(entry) = self.running.remove(&id) else { return };
        self.ending.remove(&id);
        let user = self.users.entry(entry.user).or_default();
        user.running -= 1;
        self.shares.settle(entry.user, cpu_ms);
        if let Some(key) = entry.lane()
            && let Some(state) = self.keys.get_mut(&key)
        {
            state.running -= 1;
            self.key_changed(key);
        }
        self.user_changed(entry.user);
    }

    /// One does not wait any more: it was cancelled.
    pub(crate) fn remove(&mut self, id: ExecutionId) {
        self.take_out(id);
    }

    /// Takes note of the time: what waited for it may start.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        while let Some(&(at, id)) = self.delayed.first()
            && at <= now
        {
            self.delayed.pop_first();
            if let Some(entry) = self.waiting.get(&id).copied() {
                self.line_up(&entry);
            }
        }
    }

    /// Takes out one that still waits at its deadline. Ask again until there is none.
    pub(crate) fn expired(&mut self, now: Timestamp) -> Option<ExecutionId> {
        let &(at, id) = self.deadlines.first().filter(|(at, _)| *at <= now)?;
        self.deadlines.remove(&(at, id));
        self.take_out(id);
        Some(id)
    }

    /// What the host lacks, if it does: nothing starts meanwhile. While only memory is short, one at
    /// a time does, so that what others use does not hold everything up for ever.
    pub(crate) fn set_shortage(&mut self, shortage: Option<Shortage>) {
        self.shortage = shortage;
    }

    /// When the next of those comes that wait for a time, be it to start or to end.
    pub(crate) fn next_time(&self) -> Option<Timestamp> {
        let (delayed, deadline) = (self.delayed.first(), self.deadlines.first());
        delayed.into_iter().chain(deadline).map(|(at, _)| *at).min()
    }

    /// Whether anything could start if there were room for it.
    pub(crate) fn has_ready(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Whether nothing could start, no time has come, and so many run.
    #[cfg(test)]
    pub(crate) fn is_quiet(&self, now: Timestamp, running: usize) -> bool {
        let starts = self.has_room() && self.has_ready();
        !starts && self.running.len() == running && self.next_time().is_none_or(|at| at > now)
    }

    fn knows(&self, id: ExecutionId) -> bool {
        self.waiting.contains_key(&id) || self.running.contains_key(&id)
    }

    /// Whether there is a slot, and nothing that the host lacks.
    fn has_room(&self) -> bool {
        // If ends cannot be recorded, no more than this many are ahead of that.
        let ending = self.ending.len().min(self.limits.slots);
        let taken = self.running.len() - ending;
        let short = match self.shortage {
            None => false,
            Some(Shortage::Memory { .. }) => taken > 0,
            Some(Shortage::Disk { .. }) => true,
        };
        !short && taken < self.limits.slots
    }

    fn is_open(&self, place: Place) -> bool {
        let running = self.keys.get(&place.key).map_or(0, |key| key.running);
        running < usize::try_from(place.limit).unwrap_or(usize::MAX)
    }

    /// Counts one as running.
    fn run(&mut self, entry: Entry) {
        let owner = entry.user;
        self.users.entry(owner).or_default().running += 1;
        self.shares.begin(owner);
        let key = entry.lane();
        self.running.insert(entry.id, entry);
        if let Some(key) = key {
            self.keys.entry(key).or_default().running += 1;
            self.key_changed(key);
        }
        self.user_changed(owner);
    }

    /// Puts one that waits for nothing of its own into its lane.
    fn line_up(&mut self, entry: &Entry) {
        let (owner, key) = (entry.user, entry.lane());
        let user = self.users.entry(owner).or_default();
        user.lanes.entry(key).or_default().ranks.insert(entry.rank());
        self.shares.wait(owner);
        if let Some(key) = key {
            self.keys.entry(key).or_default().owners.insert(owner);
        }
        self.lane_changed(owner, key);
        self.user_changed(owner);
    }

    /// Takes one out of everything that it waits in.
    fn take_out(&mut self, id: ExecutionId) -> Option<Entry> {
        let entry = self.waiting.remove(&id)?;
        if let Some(deadline) = entry.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        if entry.not_before.is_some_and(|at| self.delayed.remove(&(at, id))) {
            return Some(entry);
        }
        let (owner, key) = (entry.user, entry.lane());
        let user = self.users.entry(owner).or_default();
        if let Some(lane) = user.lanes.get_mut(&key) {
            lane.ranks.remove(&entry.rank());
        }
        self.shares.leave(owner);
        self.lane_changed(owner, key);
        self.user_changed(owner);
        Some(entry)
    }

    /// Brings the head of one user's lane up to date.
    fn lane_changed(&mut self, owner: Owner, key: LaneKey) {
        let lane = self.users.get(&owner).and_then(|user| user.lanes.get(&key));
        let Some(first) = lane.map(|lane| lane.ranks.first().copied()) else { return };
        let head = first.filter(|(_, id)| {
            let place = self.waiting.get(id).and_then(|entry| entry.concurrency);
            place.is_none_or(|place| self.is_open(place))
        });
        let user = self.users.entry(owner).or_default();
        let lane = user.lanes.entry(key).or_default();
        if let Some(old) = std::mem::replace(&mut lane.head, head) {
            user.heads.remove(&(old, key));
        }
        user.heads.extend(head.map(|head| (head, key)));
        if first.is_none() {
            user.lanes.remove(&key);
            if let Some(key) = key
                && let Some(state) = self.keys.get_mut(&key)
            {
                state.owners.remove(&owner);
                self.forget_unused(key);
            }
        }
    }

    /// Brings everything up to date that waits for a place among those of a key.
    fn key_changed(&mut self, key: [u8; 16]) {
        let Some(state) = self.keys.get(&key) else { return };
        let owners: Vec<_> = state.owners.iter().copied().collect();
        for owner in owners {
            self.lane_changed(owner, Some(key));
            self.user_changed(owner);
        }
        self.forget_unused(key);
    }

    fn forget_unused(&mut self, key: [u8; 16]) {
        if self.keys.get(&key).is_some_and(|it| it.running == 0 && it.owners.is_empty()) {
            self.keys.remove(&key);
        }
    }

    /// Brings a user's turn up to date.
    fn user_changed(&mut self, owner: Owner) {
        let user = self.users.entry(owner).or_default();
        let head = user.heads.first().filter(|_| self.limits.allow(user));
        let turn = head.map(|(rank, _)| (self.shares.of(owner), *rank, owner));
        if turn == user.turn {
            return;
        }
        if let Some(old) = std::mem::replace(&mut user.turn, turn) {
            self.turns.remove(&old);
        }
        self.turns.extend(turn);
    }
}

impl Limits {
    /// Whether a user may have one more running.
    fn allow(&self, user: &User) -> bool {
        self.of(user).is_none_or(|most| user.running < most)
    }

    /// How many a user may have running.
    fn of(&self, user: &User) -> Option<usize> {
        self.per_user.into_iter().chain(user.most).min()
    }
}
