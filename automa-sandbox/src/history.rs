//! What a run used over time.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::limits::Bytes;

/// Most points of one run.
const POINTS: usize = 120;

/// What a run used at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsagePoint {
    /// When, since the start.
    pub at_ms: u64,
    /// Processor time of all processes until then.
    pub cpu_ms: u64,
    /// Most memory that was seen since the point before, files of the run included where groups
    /// count it; `None` where nothing does.
    pub memory: Option<Bytes>,
    /// Most processes and threads likewise.
    pub processes: Option<u64>,
}

impl UsagePoint {
    /// One point in the place of two, of which `later` is the second.
    fn and(self, later: Self) -> Self {
        Self {
            memory: self.memory.max(later.memory),
            processes: self.processes.max(later.processes),
            ..later
        }
    }
}

/// What a run used so far: at most 120 points, however long it runs. They are some ten a
/// second at first; when there are too many, two become one, and from then on there are half as many
/// in the same time.
///
/// Clones show the same run, also after its end.
#[derive(Debug, Clone, Default)]
pub struct UsageHistory(Arc<Mutex<Recorded>>);

#[derive(Debug, Default)]
struct Recorded {
    points: Vec<UsagePoint>,
    /// How many samples a point has beside its first.
    more: u32,
    /// The last sample.
    latest: Option<UsagePoint>,
    /// Samples of the point to come.
    pending: Option<(UsagePoint, u32)>,
}

impl UsageHistory {
    /// The points so far, in the order of time.
    #[must_use]
    pub fn points(&self) -> Vec<UsagePoint> {
        let recorded = self.recorded();
        let pending = recorded.pending.map(|(point, _)| point);
        recorded.points.iter().copied().chain(pending).collect()
    }

    /// What it used at last, once anything is known.
    #[must_use]
    pub fn latest(&self) -> Option<UsagePoint> {
        self.recorded().latest
    }

    pub(crate) fn record(
        &self,
        at: Duration,
        cpu: Duration,
        memory: Option<u64>,
        processes: Option<u64>,
    ) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (at_ms, cpu_ms) = (millis(at), millis(cpu));
        self.recorded().add(UsagePoint { at_ms, cpu_ms, memory: memory.map(Bytes), processes });
    }

    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorded {
    fn add(&mut self, sample: UsagePoint) {
        self.latest = Some(sample);
        let (point, samples) = match self.pending.take() {
            Some((point, samples)) => (point.and(sample), samples + 1),
            None => (sample, 1),
        };
        if samples <= self.more {
            self.pending = Some((point, samples));
            return;
        }
        self.points.push(point);
        if self.points.len() == POINTS {
            let pairs = self.points.chunks_exact(2);
            self.points = pairs.map(|pair| pair[0].and(pair[1])).collect();
            self.more = self.more.saturating_mul(2).saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn history(memory: &[u64]) -> Vec<UsagePoint> {
        let history = UsageHistory::default();
        for (tick, memory) in (1..).zip(memory) {
            let at = Duration::from_millis(100) * tick;
            history.record(at, at / 2, Some(*memory), None);
        }
        history.points()
    }

    proptest! {
        #[test]
        fn however_long_a_run_its_end_and_its_peak_are_kept(
            memory in prop::collection::vec(any::<u64>(), 1..3000),
        ) {
            let points = history(&memory);
            prop_assert!(points.len() <= POINTS);
            prop_assert!(points.len() >= memory.len().min(POINTS / 2));
            prop_assert!(points.is_sorted_by(|one, next| one.at_ms < next.at_ms));
            let last = points.last().unwrap();
            prop_assert_eq!(last.at_ms, memory.len() as u64 * 100);
            prop_assert_eq!(last.cpu_ms, last.at_ms / 2);
            let peak = points.iter().filter_map(|point| point.memory).max().unwrap();
            prop_assert_eq!(Some(&peak.0), memory.iter().max());
        }
    }

    #[test]
    fn a_short_run_has_all_its_points() {
        let points = history(&[5, 7, 6]);
        let memory: Vec<_> = points.iter().map(|point| point.memory.unwrap().0).collect();
        assert_eq!(memory, [5, 7, 6]);
        assert_eq!(points.iter().map(|point| point.at_ms).collect::<Vec<_>>(), [100, 200, 300]);
    }
}
