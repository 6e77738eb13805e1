//! What is to be done about a slot that is due. Pure: what is decided depends on the job, on where it is
//! and on the time alone.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Became, By, Job, Misfire, PastSlot, Rules, Upcoming,
    trigger::{Reason, Times},
};
use crate::{
    Result,
    id::JobId,
    store::{self, change::View},
};

/// A slot that could not be started so long after its time, jitter included, was missed.
pub const LATE_AFTER: SignedDuration = SignedDuration::from_mins(1);
/// How many missed slots are counted at a time; more are "at least so many".
pub const MISSED_COUNTED: u64 = 10_000;
/// How many slots within blackouts are passed over at a time.
const PASSED_OVER: usize = 1000;

/// The slot that is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Next {
    /// The slot, as the trigger says.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub(crate) slot: Timestamp,
    /// When it starts: with jitter.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub(crate) due: Timestamp,
    /// Slots up to this one were missed and are made up for, however late.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    pub(crate) owed: Option<Timestamp>,
}

/// What is to be done, all of it in one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Where the job was.
    pub(crate) from: Next,
    /// What is to be recorded besides: slots that were missed and are not made up for.
    pub(crate) note: Option<PastSlot>,
    /// The slot to start something for.
    pub(crate) run: Option<(Timestamp, By)>,
    /// Where it goes on.
    pub(crate) next: Option<Next>,
}

/// The times of a job with its rules.
struct Calendar<'a> {
    id: JobId,
    rules: &'a Rules,
    times: Times,
}

impl<'a> Calendar<'a> {
    fn of(job: &'a Job) -> Result<Self> {
        Ok(Self { id: job.id, rules: &job.rules, times: job.trigger.compile()? })
    }

    /// The first slot after a time that the rules allow; or, where many in a row are not allowed, one of
    /// those, from which to go on when it is due.
    fn after(&self, mut time: Timestamp) -> Option<Timestamp> {
        let mut last = None;
        for _ in 0..PASSED_OVER {
            let Some(slot) = self.times.next(time) else { break };
            time = match self.rules.allows(slot) {
                Ok(()) => return Some(slot),
                Err(Reason::NoLonger) => return None,
                Err(Reason::NotYet) => {
                    let first = self.rules.not_before.unwrap_or(slot);
                    slot.max(first.checked_sub(SignedDuration::from_millis(1)).unwrap_or(slot))
                }
                Err(Reason::Blackout(_)) => slot,
            };
            last = Some(slot);
        }
        // It ended before any was found.
        last.filter(|_| self.times.next(time).is_some())
    }

    fn next(&self, slot: Timestamp, owed: Option<Timestamp>) -> Next {
        let owed = owed.filter(|owed| *owed >= slot);
        Next { slot, due: self.rules.delayed(self.id, slot), owed }
    }

    fn is_missed(&self, slot: Timestamp, now: Timestamp) -> bool {
        now.duration_since(self.rules.delayed(self.id, slot)) >= LATE_AFTER
    }

    /// Goes through the slots that were missed by `now`, from `first` on, and keeps the newest.
    fn missed(&self, first: Timestamp, now: Timestamp, most: usize) -> Missed {
        let mut missed = Missed { count: 0, exact: true, newest: VecDeque::new(), then: None };
        let mut slot = Some(first);
        while let Some(at) = slot {
            if !self.is_missed(at, now) {
                missed.then = Some(at);
                break;
            }
            if self.rules.allows(at).is_ok() {
                missed.add(at, most + 1);
            }
            slot = self.after(at);
            if missed.count == MISSED_COUNTED && missed.exact {
                missed.exact = false;
                slot = self.late_one(at, now).or(slot);
            } else if missed.count == 2 * MISSED_COUNTED {
                // Whatever lies between is left out of the count.
                let end = now.checked_sub(LATE_AFTER).unwrap_or(now);
                slot = self.after(end.max(at));
            }
        }
        missed
    }

    /// A missed slot after `after` that is close to now, where there may be very many between.
    fn late_one(&self, after: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let jitter =
            SignedDuration::from_millis(self.rules.jitter_ms.try_into().unwrap_or(i64::MAX));
        let end = now.checked_sub(LATE_AFTER).ok()?.checked_sub(jitter).ok()?;
        let hours = [0, 1, 24, 24 * 30, 24 * 366, 24 * 366 * 10];
        hours.into_iter().find_map(|hours| {
            let begin = end.checked_sub(SignedDuration::from_hours(hours)).ok()?;
            let begin = begin.checked_sub(SignedDuration::from_mins(30)).ok()?;
            let slot = self.after(begin).filter(|_| begin > after)?;
            self.is_missed(slot, now).then_some(slot)
        })
    }
}

/// Slots that were missed.
struct Missed {
    count: u64,
    exact: bool,
    /// Oldest first; one more than may be run.
    newest: VecDeque<Timestamp>,
    /// The first that was not.
    then: Option<Timestamp>,
}

impl Missed {
    fn add(&mut self, slot: Timestamp, most: usize) {
        self.count += 1;
        self.newest.push_back(slot);
        if self.newest.len() > most {
            self.newest.pop_front();
        }
    }
}

impl Plan {
    /// What is to be done at `now` about a job that is due since `from.due`.
    pub(crate) fn of(job: &Job, from: Next, now: Timestamp) -> Self {
        match Calendar::of(job) {
            Ok(calendar) => Self::by(&calendar, job.misfire, from, now),
            // Its zone is not there any more: there is no next time either.
            Err(error) => {
                let became = Became::Skipped(error.to_string());
                let note = PastSlot { at: from.slot, decided_at: now, by: By::Trigger, became };
                Self { from, note: Some(note), run: None, next: None }
            }
        }
    }

    fn by(calendar: &Calendar<'_>, misfire: Misfire, from: Next, now: Timestamp) -> Self {
        let owed = from.owed.is_some_and(|owed| from.slot <= owed);
        if owed || !calendar.is_missed(from.slot, now) {
            let by = if owed { By::CatchUp } else { By::Trigger };
            let run = calendar.rules.allows(from.slot).is_ok().then_some((from.slot, by));
            let next = calendar.after(from.slot).map(|slot| calendar.next(slot, from.owed));
            return Self { from, note: None, run, next };
        }
        let (most, within_ms) = match misfire {
            Misfire::Skip => (0, u64::MAX),
            Misfire::RunOnce => (1, u64::MAX),
            Misfire::CatchUp { within_ms, most } => (most as usize, within_ms),
        };
        let mut missed = calendar.missed(from.slot, now, most);
        let within = SignedDuration::from_millis(within_ms.try_into().unwrap_or(i64::MAX));
        let is_over = |slot: &Timestamp| now.duration_since(*slot) > within;
        let mut lost = None;
        while missed.newest.len() > most || missed.newest.front().is_some_and(is_over) {
            lost = missed.newest.pop_front();
        }
        let runs = missed.newest;
        let count = missed.count - runs.len() as u64;
        let record = lost.map(|until| PastSlot {
            at: from.slot,
            decided_at: now,
            by: By::Trigger,
            became: Became::Missed { until, count, exact: missed.exact },
        });
        let owed = runs.back().copied();
        let next = runs.get(1).copied().or(missed.then);
        Self {
            from,
            note: record,
            run: runs.front().map(|slot| (*slot, By::CatchUp)),
            next: next.map(|slot| calendar.next(slot, owed)),
        }
    }
}

/// Where a job begins after `now`, if it has times.
pub(super) fn first(job: &Job, now: Timestamp) -> Result<Option<Next>> {
    if job.paused {
        return Ok(None);
    }
    let calendar = Calendar::of(job)?;
    Ok(calendar.after(now).map(|slot| calendar.next(slot, None)))
}

/// The slots of a job from where it is, which the rules allow.
pub(super) fn following(
    job: &Job,
    from: Option<Next>,
) -> Result<impl Iterator<Item = Upcoming> + use<'_>> {
    let calendar = Calendar::of(job)?;
    let mut next = from.map(|it| it.slot);
    Ok(std::iter::from_fn(move || {
        let slot = next?;
        next = calendar.after(slot);
        Some(Upcoming {
            job: job.id,
            name: job.name.clone(),
            script: job.script,
            slot,
            at: calendar.rules.delayed(job.id, slot),
        })
    })
    .filter(|it| job.rules.allows(it.slot).is_ok()))
}

/// See [`Jobs::upcoming`](super::Jobs::upcoming).
pub(super) fn upcoming(view: &impl View, until: Timestamp, limit: usize) -> Result<Vec<Upcoming>> {
    // Who is not among the first of these is not among the first of all.
    let mut jobs = Vec::new();
    for id in store::jobs::upcoming(view, limit)? {
        let next = store::jobs::schedule(view, id)?.next;
        jobs.extend(store::jobs::get(view, id)?.map(|job| (job, next)));
    }
    let mut each = Vec::new();
    for (job, next) in &jobs {
        each.push(following(job, *next)?);
    }
    let mut soonest = BinaryHeap::new();
    let mut heads: Vec<_> = each.iter_mut().map(Iterator::next).collect();
    for (index, head) in heads.iter().enumerate() {
        soonest.extend(head.as_ref().map(|it| Reverse((it.at, index))));
    }
    let mut found = Vec::new();
    while let Some(Reverse((at, index))) = soonest.pop() {
        if found.len() == limit || at >= until {
            break;
        }
        found.extend(std::mem::replace(&mut heads[index], each[index].next()));
        soonest.extend(heads[index].as_ref().map(|it| Reverse((it.at, index))));
    }
    Ok(found)
}
