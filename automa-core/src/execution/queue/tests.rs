//! The queue against one that goes through everything for each decision.

use std::{cmp::Reverse, collections::BTreeMap};

use jiff::SignedDuration;
use proptest::{option, prelude::*, sample::Index};

use super::{
    fair::{CREDIT, LEAST, PROVISIONAL},
    *,
};
use crate::clock::{Clock, TestClock};

const MEMORY: Shortage = Shortage::Memory { stalled: 4_200 };
const DISK: Shortage = Shortage::Disk { free: 1, least: 2 };

/// What the queue promises, in the simplest way.
struct Model {
    limits: Limits,
    shortage: Option<Shortage>,
    /// With those that have begun to wait for a turn.
    waiting: Vec<(Entry, bool)>,
    running: Vec<Entry>,
    ending: Vec<ExecutionId>,
    used: BTreeMap<Owner, u64>,
    floor: u64,
}

impl Model {
    fn new(limits: Limits) -> Self {
        let (waiting, running, ending) = (Vec::new(), Vec::new(), Vec::new());
        let used = BTreeMap::new();
        Self { limits, shortage: None, waiting, running, ending, used, floor: 0 }
    }

    fn is_active(&self, owner: Owner) -> bool {
        self.running.iter().any(|it| it.user == owner)
            || self.waiting.iter().any(|(it, ready)| *ready && it.user == owner)
    }

    /// Whoever begins to wait or run after doing neither has no more than the credit.
    fn enter(&mut self, owner: Owner) {
        let active = self.is_active(owner);
        let used = self.used.entry(owner).or_default();
        if !active {
            *used = (*used).max(self.floor.saturating_sub(CREDIT));
        }
    }

    fn raise_floor(&mut self) {
        let active = self.used.iter().filter(|(owner, _)| self.is_active(**owner));
        let least = active.map(|(_, used)| *used).min();
        self.floor = self.floor.max(least.unwrap_or(0));
    }

    fn tick(&mut self, now: Timestamp) {
        for index in 0..self.waiting.len() {
            let (entry, ready) = &self.waiting[index];
            if !ready && entry.not_before.is_none_or(|at| at <= now) {
                let owner = entry.user;
                self.enter(owner);
                self.waiting[index].1 = true;
                self.raise_floor();
            }
        }
    }

    fn has_room(&self) -> bool {
        let most = match self.shortage {
            None => self.limits.slots,
            Some(Shortage::Memory { .. }) => 1,
            Some(Shortage::Disk { .. }) => 0,
        };
        let taken = self.running.len() - self.ending.len().min(self.limits.slots);
        taken < most.min(self.limits.slots)
    }

    /// Whether the limits let it start, and nothing of its lane goes before it.
    fn may_start(&self, entry: &Entry) -> bool {
        let of_user = self.running.iter().filter(|it| it.user == entry.user).count();
        let of_key = |place: Place| {
            let same = |it: &&Entry| it.concurrency.is_some_and(|it| it.key == place.key);
            self.running.iter().filter(same).count() < place.limit as usize
        };
        let first = self.waiting.iter().all(|(it, ready)| {
            !ready
                || (it.user, it.lane()) != (entry.user, entry.lane())
                || it.rank() >= entry.rank()
        });
        self.limits.per_user.is_none_or(|most| of_user < most)
            && entry.concurrency.is_none_or(of_key)
            && first
    }

    fn candidates(&self) -> Vec<&Entry> {
        let ready = self.waiting.iter().filter(|(_, ready)| *ready).map(|(entry, _)| entry);
        let mut all: Vec<_> = ready.filter(|entry| self.may_start(entry)).collect();
        all.sort_by_key(|it| (self.used[&it.user], it.rank(), it.user));
        all
    }

    fn run(&mut self, entry: Entry) {
        self.enter(entry.user);
        *self.used.get_mut(&entry.user).unwrap() += PROVISIONAL;
        self.running.push(entry);
        self.raise_floor();
    }

    fn next(&mut self) -> Option<ExecutionId> {
        let id = self.candidates().first().filter(|_| self.has_room())?.id;
        let entry = self.take(id).unwrap();
        self.run(entry);
        Some(id)
    }

    fn take(&mut self, id: ExecutionId) -> Option<Entry> {
        let index = self.waiting.iter().position(|(it, _)| it.id == id)?;
        let entry = self.waiting.remove(index).0;
        self.raise_floor();
        Some(entry)
    }

    fn end(&mut self, index: usize, cpu_ms: Option<u64>) -> ExecutionId {
        let owner = self.running[index].user;
        let used = self.used.get_mut(&owner).unwrap();
        *used = (*used + cpu_ms.map_or(0, |ms| ms.max(LEAST))).saturating_sub(PROVISIONAL);
        self.raise_floor();
        let id = self.running.remove(index).id;
        self.ending.retain(|it| *it != id);
        self.raise_floor();
        id
    }
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Accept {
        new: bool,
        user: usize,
        priority: i8,
        place: Option<(u8, u32)>,
        delay: i64,
        deadline: Option<i64>,
    },
    Next,
    LeaveSlot(Index),
    End(Index, Option<u64>),
    Cancel(Index),
    Advance(i64),
    Shortage(Option<Shortage>),
}

fn any_op() -> impl Strategy<Value = Op> {
    let place = option::of((0u8..3, 1u32..3));
    let delay = prop_oneof![3 => Just(0), 1 => 1i64..20];
    let accept = (any::<bool>(), 0usize..3, -2i8..3, place, delay, option::of(1i64..30));
    let cpu = prop_oneof![Just(None), Just(Some(0)), (0u64..200_000).prop_map(Some)];
    prop_oneof![
        5 => accept.prop_map(|(new, user, priority, place, delay, deadline)| {
            Op::Accept { new, user, priority, place, delay, deadline }
        }),
        5 => Just(Op::Next),
        4 => (any::<Index>(), cpu).prop_map(|(which, cpu)| Op::End(which, cpu)),
        2 => any::<Index>().prop_map(Op::LeaveSlot),
        1 => any::<Index>().prop_map(Op::Cancel),
        2 => (-5i64..15).prop_map(Op::Advance),
        1 => option::of(prop_oneof![Just(MEMORY), Just(DISK)]).prop_map(Op::Shortage),
    ]
}

fn any_limits() -> impl Strategy<Value = Limits> {
    (1usize..4, option::of(1usize..3)).prop_map(|(slots, per_user)| Limits { slots, per_user })
}

/// Both queues and their clock.
struct Pair {
    queue: Queue,
    model: Model,
    clock: TestClock,
    /// As far as time was told: it may step back.
    users: [Owner; 3],
}

impl Pair {
    fn new(limits: Limits) -> Self {
        let clock = TestClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let users = [None, Some(UserId::generate(&clock)), Some(UserId::generate(&clock))];
        Self { queue: Queue::new(limits), model: Model::new(limits), clock, users }
    }

    fn apply(&mut self, op: Op) {
        let (queue, model, now) = (&mut self.queue, &mut self.model, self.clock.now());
        match op {
            Op::Accept { new, user, priority, place, delay, deadline } => {
                let at = |seconds: i64| now + SignedDuration::from_secs(seconds);
                let entry = Entry {
                    id: ExecutionId::generate(&self.clock),
                    user: self.users[user],
                    priority,
                    not_before: (delay > 0).then(|| at(delay)),
                    deadline: deadline.map(at),
                    concurrency: place.map(|(key, limit)| Place { key: [key; 16], limit }),
                };
                if new {
                    let others = !model.candidates().is_empty();
                    // It would be the first of its lane, though others of it wait.
                    let behind = model.waiting.iter().any(|(it, ready)| {
                        *ready && (it.user, it.lane()) == (entry.user, entry.lane())
                    });
                    let starts = model.has_room() && !others && !behind && delay == 0;
                    let starts = starts && model.may_start(&entry);
                    assert_eq!(queue.start_new(&entry, now), starts);
                    if starts {
                        model.run(entry);
                    }
                } else {
                    queue.accept(entry, now);
                    queue.accept(entry, now);
                    model.waiting.push((entry, false));
                    model.tick_last(now);
                }
            }
            Op::Next => assert_eq!(queue.next(), model.next()),
            Op::LeaveSlot(which) if !model.running.is_empty() => {
                let id = model.running[which.index(model.running.len())].id;
                if !model.ending.contains(&id) {
                    model.ending.push(id);
                }
                queue.leave_slot(id);
            }
            Op::End(which, cpu) if !model.running.is_empty() => {
                let id = model.end(which.index(model.running.len()), cpu);
                queue.ended(id, cpu);
                queue.ended(id, cpu);
            }
            Op::Cancel(which) if !model.waiting.is_empty() => {
                let id = model.waiting[which.index(model.waiting.len())].0.id;
                model.take(id);
                queue.remove(id);
            }
            Op::End(..) | Op::LeaveSlot(_) | Op::Cancel(_) => {}
            Op::Advance(seconds) => {
                self.clock.advance(SignedDuration::from_secs(seconds));
                let now = self.clock.now();
                let due = |(it, _): &&(Entry, bool)| it.deadline.is_some_and(|at| at <= now);
                let mut late: Vec<_> = model.waiting.iter().filter(due).collect();
                late.sort_by_key(|(it, _)| (it.deadline, it.id));
                let late: Vec<_> = late.into_iter().map(|(it, _)| it.id).collect();
                for id in late {
                    model.take(id);
                    assert_eq!(queue.expired(now), Some(id));
                }
                assert_eq!(queue.expired(now), None);
                queue.tick(now);
                model.tick(now);
            }
            Op::Shortage(shortage) => {
                queue.set_shortage(shortage);
                model.shortage = shortage;
            }
        }
    }

    fn check(&self) {
        let (queue, model) = (&self.queue, &self.model);
        assert_eq!(queue.running.len(), model.running.len());
        assert_eq!(queue.ending.len(), model.ending.len());
        assert_eq!(queue.has_ready(), !model.candidates().is_empty());
        let times = model.waiting.iter().flat_map(|(it, ready)| {
            it.deadline.into_iter().chain(it.not_before.filter(|_| !ready))
        });
        assert_eq!(queue.next_time(), times.min());
        for (entry, ready) in &model.waiting {
            let waiting = queue.why(entry.id).unwrap();
            let retry =
                matches!(waiting.reason, Reason::Retry { at } if Some(at) == entry.not_before);
            assert_eq!(retry, !ready, "{waiting:?}");
            assert!(waiting.to_string().len() > 10);
        }
        if let Some(first) = model.candidates().first() {
            let Waiting { reason, before } = queue.why(first.id).unwrap();
            assert_eq!(before, 0, "{reason:?}");
            assert_eq!(reason == Reason::Starting, model.has_room(), "{reason:?}");
        }
        for entry in &model.running {
            assert_eq!(queue.why(entry.id), None);
        }
        if model.waiting.is_empty() && model.running.is_empty() {
            assert!(queue.keys.is_empty() && queue.turns.is_empty() && queue.delayed.is_empty());
            assert!(queue.users.values().all(|user| user.lanes.is_empty()), "nothing is left");
        }
    }
}

impl Model {
    /// What was accepted last may be ready at once.
    fn tick_last(&mut self, now: Timestamp) {
        let (entry, _) = self.waiting.last().unwrap();
        if entry.not_before.is_none_or(|at| at <= now) {
            let (owner, last) = (entry.user, self.waiting.len() - 1);
            self.enter(owner);
            self.waiting[last].1 = true;
            self.raise_floor();
        }
    }
}

proptest! {
    #[test]
    fn any_events_lead_to_the_decisions_that_were_promised(
        limits in any_limits(),
        ops in prop::collection::vec(any_op(), 1..120),
    ) {
        let mut pair = Pair::new(limits);
        for op in ops {
            pair.apply(op);
            pair.check();
        }
        // Whatever is left ends, and then nothing is left.
        pair.apply(Op::Shortage(None));
        pair.apply(Op::Advance(60));
        while pair.queue.has_ready() || !pair.model.running.is_empty() {
            pair.apply(Op::Next);
            if !pair.model.has_room() || !pair.queue.has_ready() {
                let running = pair.model.running.len();
                if running > 0 {
                    let id = pair.model.end(running - 1, Some(0));
                    pair.queue.ended(id, Some(0));
                }
            }
            pair.check();
        }
        prop_assert!(pair.model.waiting.is_empty());
    }

    #[test]
    fn the_place_that_is_told_is_the_place_in_which_any_starts(
        entries in prop::collection::vec((0usize..3, -1i8..2), 1..40),
        used in prop::collection::vec((0usize..3, 0u64..4), 0..6),
    ) {
        let mut pair = Pair::new(Limits { slots: 1000, per_user: None });
        let accept = |user, priority| {
            Op::Accept { new: false, user, priority, place: None, delay: 0, deadline: None }
        };
        for (user, seconds) in used {
            pair.apply(accept(user, 0));
            let id = pair.queue.next().unwrap();
            pair.queue.ended(id, Some(seconds * PROVISIONAL));
        }
        pair.queue.set_shortage(Some(DISK));
        for (user, priority) in entries {
            pair.apply(accept(user, priority));
        }
        let ids: Vec<_> = pair.queue.waiting.keys().copied().collect();
        let mut told: Vec<_> =
            ids.into_iter().map(|id| (pair.queue.why(id).unwrap().before, id)).collect();
        told.sort_unstable();
        pair.queue.set_shortage(None);
        for (place, (before, id)) in told.into_iter().enumerate() {
            prop_assert_eq!(before, place as u64);
            prop_assert_eq!(pair.queue.next(), Some(id));
        }
    }
}

fn entry(clock: &TestClock, user: Owner) -> Entry {
    let id = ExecutionId::generate(clock);
    Entry { id, user, priority: 0, not_before: None, deadline: None, concurrency: None }
}

#[test]
fn a_clock_that_is_set_moves_what_waits_for_a_time_and_nothing_else() {
    let mut pair = Pair::new(Limits { slots: 9, per_user: None });
    let (queue, clock, start) = (&mut pair.queue, &pair.clock, pair.clock.now());
    let [minute, hour] = [60, 3600].map(SignedDuration::from_secs);
    let plain = entry(clock, None);
    let retry = Entry { not_before: Some(start + minute), ..entry(clock, None) };
    let late = Entry { deadline: Some(start + hour), ..retry };
    let late = Entry { id: ExecutionId::generate(clock), not_before: late.deadline, ..late };
    for it in [plain, retry, late] {
        queue.accept(it, start);
    }
    let mut at = |now| {
        let expired = queue.expired(now);
        queue.tick(now);
        (queue.next(), expired)
    };
    assert_eq!(at(start - hour), (Some(plain.id), None), "it waits for no time");
    assert_eq!(at(start), (None, None), "no sooner than it was said");
    assert_eq!(at(start + minute - hour), (None, None));
    // Over both times at once: nothing starts that has come too late for that.
    assert_eq!(at(start + hour + hour), (Some(retry.id), Some(late.id)));
    assert_eq!(at(start), (None, None), "what has come does not go back");
}

#[test]
fn a_newcomer_is_not_kept_waiting_by_a_hundred_thousand_of_another() {
    let mut pair = Pair::new(Limits { slots: 2, per_user: None });
    let [_, busy, new] = pair.users;
    let now = pair.clock.now();
    for _ in 0..100_000 {
        pair.queue.accept(entry(&pair.clock, busy), now);
    }
    for _ in 0..1_000 {
        let id = pair.queue.next().unwrap();
        pair.queue.ended(id, Some(2_000));
    }
    let late = entry(&pair.clock, new);
    pair.queue.accept(late, now);
    assert_eq!(pair.queue.next(), Some(late.id));
    assert_eq!(pair.queue.why(late.id), None);
    let last = pair.queue.waiting.keys().max().copied().unwrap();
    pair.queue.next();
    let Waiting { reason, before } = pair.queue.why(last).unwrap();
    assert_eq!((reason, before), (Reason::Slot { slots: 2 }, 98_998));
}

#[test]
fn users_with_the_same_needs_take_turns_and_one_with_greater_needs_gets_fewer() {
    let mut pair = Pair::new(Limits { slots: 1, per_user: None });
    let [_, heavy, light] = pair.users;
    let mut owners = BTreeMap::new();
    for _ in 0..200 {
        for (user, cpu) in [(heavy, 9_000), (light, 1_000)] {
            let entry = entry(&pair.clock, user);
            owners.insert(entry.id, (user, cpu));
            pair.queue.accept(entry, pair.clock.now());
        }
    }
    let mut starts: BTreeMap<Owner, u64> = BTreeMap::new();
    for _ in 0..100 {
        let id = pair.queue.next().unwrap();
        let (user, cpu) = owners[&id];
        *starts.entry(user).or_default() += 1;
        pair.queue.ended(id, Some(cpu));
    }
    assert_eq!((starts[&heavy], starts[&light]), (10, 90), "the same time for both");
}

#[test]
fn one_user_may_have_fewer_running_than_others() {
    let mut pair = Pair::new(Limits { slots: 9, per_user: Some(2) });
    let (queue, now) = (&mut pair.queue, pair.clock.now());
    let [_, few, many] = pair.users;
    queue.limit_user(few, Some(1));
    queue.limit_user(many, Some(5));
    let entries = [few, few, many, many, many].map(|user| entry(&pair.clock, user));
    for entry in entries {
        queue.accept(entry, now);
    }
    let start = |queue: &mut Queue| std::iter::from_fn(|| queue.next()).collect::<Vec<_>>();
    let mut started = start(queue);
    started.sort_unstable();
    assert_eq!(started, [entries[0].id, entries[2].id, entries[3].id], "what holds for all, too");
    let reason = Reason::User { running: 1, limit: 1 };
    assert_eq!(queue.why(entries[1].id), Some(Waiting { reason, before: 0 }));
    assert!(!queue.start_new(&entry(&pair.clock, few), now));
    queue.limit_user(few, None);
    assert_eq!(start(queue), [entries[1].id]);
    queue.limit_user(few, Some(1));
    queue.ended(entries[0].id, None);
    assert!(!queue.start_new(&entry(&pair.clock, few), now), "one of two that ran still does");
    let known = queue.users();
    assert!(known.contains(&few.unwrap()) && known.contains(&many.unwrap()));
}

#[test]
fn a_reason_is_a_sentence() {
    let say = |reason, before| Waiting { reason, before }.to_string();
    let at = "2026-01-01T00:00:00.5Z".parse().unwrap();
    for (waiting, expected) in [
        (say(Reason::Retry { at }, 0), "it is tried again at 2026-01-01T00:00:00Z"),
        (
            say(Reason::Concurrency { running: 1, limit: 1 }, 0),
            "another one of this script runs, and it allows one at a time; it is the next",
        ),
        (
            say(Reason::Concurrency { running: 2, limit: 2 }, 1),
            "2 others of this script run, and it allows 2 at a time; one goes before it",
        ),
        (
            say(Reason::User { running: 3, limit: 3 }, 2),
            "3 of the same user run, and each may have 3 at a time; 2 go before it",
        ),
        (say(Reason::Slot { slots: 1 }, 0), "the only slot is taken; it is the next"),
        (say(Reason::Slot { slots: 2 }, 3), "all 2 slots are taken; 3 go before it"),
        (
            say(Reason::Shortage(MEMORY), 0),
            "memory is short: programs stood still for lack of it during 42.00 % of the last 10 \
             s; it is the next",
        ),
        (say(Reason::Starting, 0), "it starts at any moment"),
    ] {
        assert_eq!(waiting, expected);
    }
}

#[test]
fn priority_is_within_a_user_and_age_within_a_priority() {
    let mut pair = Pair::new(Limits { slots: 9, per_user: None });
    let [_, ann, bob] = pair.users;
    let now = pair.clock.now();
    let entries: Vec<_> = [(ann, 0), (ann, 5), (ann, 5), (bob, -100), (bob, 0)]
        .map(|(user, priority)| Entry { priority, ..entry(&pair.clock, user) })
        .into();
    for entry in &entries {
        pair.queue.accept(*entry, now);
    }
    let order: Vec<_> = std::iter::from_fn(|| pair.queue.next()).collect();
    // In turns, as both count the same so far; within a turn by priority.
    assert_eq!(order, [1, 4, 2, 3, 0].map(|index: usize| entries[index].id));
    assert_eq!(entries[0].rank().0, Reverse(0));
}
