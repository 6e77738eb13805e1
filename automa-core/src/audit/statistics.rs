//! How much was done, by whom and what: counted from indexes, without a look at the entries.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};

use super::Outcome;

/// Most entries that are counted.
pub(crate) const COUNTED: usize = 500_000;
/// Most actors that are told, and most that are looked at for that.
pub(crate) const ACTORS: (usize, usize) = (10, 1000);

/// What happened within a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Each day on which something happened, in UTC, oldest first: how many entries, and how many of
    /// them are not of something that was done.
    pub days: Vec<(Date, DayCount)>,
    /// Each action that happened, by name, most first.
    pub actions: Vec<(&'static str, u64)>,
    /// The ten actors who have most entries, most first.
    pub actors: Vec<(String, u64)>,
    /// Whether these are all entries of the time. Counting stops at 500,000.
    pub is_exact: bool,
}

/// How many entries a day has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DayCount {
    /// All of them.
    pub entries: u64,
    /// Those of something that was refused.
    pub refused: u64,
    /// Those of something that failed.
    pub failed: u64,
}

impl Statistics {
    /// How many entries there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.days.iter().map(|(_, day)| day.entries).sum()
    }

    /// How many of an outcome other than done.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> u64 {
        let of = |day: &DayCount| match outcome {
            Outcome::Done => day.entries - day.refused - day.failed,
            Outcome::Refused => day.refused,
            Outcome::Failed => day.failed,
        };
        self.days.iter().map(|(_, day)| of(day)).sum()
    }
}

/// Counts entries by day.
#[derive(Debug, Default)]
pub(crate) struct Days(BTreeMap<Date, DayCount>);

impl Days {
    /// Counts one more entry, or one more of an outcome.
    pub(crate) fn count(&mut self, at: Timestamp, outcome: Option<Outcome>) {
        let day = self.0.entry(at.to_zoned(jiff::tz::TimeZone::UTC).date()).or_default();
        match outcome {
            None => day.entries += 1,
            Some(Outcome::Refused) => day.refused += 1,
            Some(Outcome::Failed) => day.failed += 1,
            Some(Outcome::Done) => {}
        }
    }

    pub(crate) fn all(self) -> Vec<(Date, DayCount)> {
        self.0.into_iter().filter(|(_, day)| day.entries > 0).collect()
    }
}
