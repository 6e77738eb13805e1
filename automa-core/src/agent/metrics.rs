//! What agents use over time: a point every ten seconds for a day, and a mean every five minutes for
//! 30 days.
//!
//! Points are written once a minute, for all agents in one change: a crash loses a minute of them at
//! most, and nothing else. Of one agent there are at most 8,640 points of each kind, some 400 KB.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Agents, find};
use crate::{
    Error, Result,
    actor::Permission,
    error::StoreError,
    execution::Console,
    id::AgentId,
    store::{
        self,
        change::{Change, Snapshot},
    },
};

/// Time between two points.
pub(super) const EVERY: SignedDuration = SignedDuration::from_secs(10);
/// How long points are kept, in minutes.
const MINUTES_KEPT: u64 = 24 * 60;
/// How long means are kept, in times of five minutes.
const MEANS_KEPT: u64 = 30 * 24 * 12;

/// What an agent used at a moment, or on average in the time before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The moment; of a mean, the end of its time.
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub at: Timestamp,
    /// Share of one processor since the point before, in thousandths.
    pub cpu_millis: u32,
    /// Memory of all its processes; of a mean, the most.
    pub memory_bytes: u64,
    /// How many processes and threads there were; of a mean, the most.
    pub pids: u32,
    /// How often it had been started again by itself.
    pub restarts: u32,
}

/// The points of one minute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Minute(pub(crate) Vec<Point>);

/// One point for five minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mean(pub(crate) Point);

/// How close points are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Ten seconds.
    Points,
    /// Five minutes.
    Means,
}

impl Mean {
    /// Of some points, if there are any.
    fn of(points: &[Point]) -> Option<Self> {
        let last = points.last()?;
        let sum: u64 = points.iter().map(|point| u64::from(point.cpu_millis)).sum();
        let count = u64::try_from(points.len()).unwrap_or(u64::MAX);
        let most = |value: fn(&Point) -> u64| points.iter().map(value).max().unwrap_or(0);
        Some(Self(Point {
            at: last.at,
            cpu_millis: u32::try_from(sum / count).unwrap_or(u32::MAX),
            memory_bytes: most(|point| point.memory_bytes),
            pids: u32::try_from(most(|point| point.pids.into())).unwrap_or(u32::MAX),
            restarts: last.restarts,
        }))
    }
}

/// The number of the minute of a moment, since 1970.
fn minute(at: Timestamp) -> u64 {
    u64::try_from(at.as_second() / 60).unwrap_or(0)
}

/// Takes points, and writes them now and then.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    /// When the next points are due.
    next: Option<Timestamp>,
    minute: u64,
    points: BTreeMap<AgentId, Vec<Point>>,
}

impl Sampler {
    /// When there is something to do, while agents run.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.next
    }

    /// Takes a point of each agent if it is time. What is returned is to be written.
    pub(super) fn sample(
        &mut self,
        now: Timestamp,
        running: &[(AgentId, u64, Arc<Console>)],
    ) -> Option<Batch> {
        // A clock that was set back does not end this.
        let due = self.next.is_none_or(|next| now >= next || next > now + EVERY);
        if running.is_empty() {
            self.next = None;
            return self.take();
        }
        if !due {
            return None;
        }
        self.next = now.checked_add(EVERY).ok();
        let written = if minute(now) == self.minute { None } else { self.take() };
        self.minute = minute(now);
        for (id, restarts, console) in running {
            if let Some(point) = console.sample(now, *restarts) {
                self.points.entry(*id).or_default().push(point);
            }
        }
        written
    }

    /// What was not written yet.
    pub(super) fn take(&mut self) -> Option<Batch> {
        let points = std::mem::take(&mut self.points);
        (!points.is_empty()).then_some(Batch { minute: self.minute, points })
    }
}

/// Points of one minute, to be written.
#[derive(Debug)]
pub(super) struct Batch {
    minute: u64,
    points: BTreeMap<AgentId, Vec<Point>>,
}

impl Batch {
    /// Writes the points, the mean of the five minutes that they are in, and removes what is too old.
    pub(super) fn write(&self, change: &mut Change) -> Result<(), StoreError> {
        let (minute, five) = (self.minute, self.minute / 5);
        for (&id, points) in &self.points {
            // It may have been deleted.
            if store::agents::get(change, id)?.is_none() {
                continue;
            }
            // One that was stopped and started within the minute has points already.
            let mut all = store::agents::minutes(change, id, (minute, minute + 1))?;
            let mut all = all.pop().unwrap_or_default();
            all.0.extend(points);
            store::agents::put_minute(change, (id, minute), &all)?;
            let together = store::agents::minutes(change, id, (five * 5, five * 5 + 5))?;
            let together: Vec<_> = together.into_iter().flat_map(|minute| minute.0).collect();
            if let Some(mean) = Mean::of(&together) {
                store::agents::put_mean(change, (id, five), &mean)?;
            }
            let first_minute = minute.saturating_sub(MINUTES_KEPT);
            store::agents::forget(change, id, first_minute, five.saturating_sub(MEANS_KEPT))?;
        }
        Ok(())
    }
}

impl Agents<'_> {
    /// What an agent used from one moment to another, oldest first: points of ten seconds where they
    /// are asked for, for at most a day; else means of five minutes.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn metrics(
        &self,
        id: AgentId,
        (from, to): (Timestamp, Timestamp),
        resolution: Resolution,
    ) -> Result<Vec<Point>> {
        self.actor.require(Permission::ReadAgents)?;
        let (first, last) = (minute(from), minute(to) + 1);
        let read = move |view: &Snapshot| {
            find(view, id)?;
            let points: Vec<_> = match resolution {
                Resolution::Points => {
                    let first = first.max(last.saturating_sub(MINUTES_KEPT + 1));
                    let minutes = store::agents::minutes(view, id, (first, last))?;
                    minutes.into_iter().flat_map(|minute| minute.0).collect()
                }
                Resolution::Means => {
                    let means = store::agents::means(view, id, (first / 5, last / 5 + 1))?;
                    means.into_iter().map(|mean| mean.0).collect()
                }
            };
            Ok::<_, Error>(points)
        };
        let mut points = self.automa.store.read(read).await?;
        points.retain(|point| (from..=to).contains(&point.at));
        Ok(points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_the_average_share_and_the_most_of_the_rest() {
        let point = |second: i64, cpu_millis, memory_bytes, pids| Point {
            at: Timestamp::from_second(second).unwrap(),
            cpu_millis,
            memory_bytes,
            pids,
            restarts: 2,
        };
        let points = [point(10, 100, 5, 3), point(20, 200, 9, 1), point(30, 0, 7, 2)];
        assert_eq!(Mean::of(&points), Some(Mean(point(30, 100, 9, 3))));
        assert_eq!(Mean::of(&[]), None);
    }
}
