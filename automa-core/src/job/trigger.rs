//! Triggers: when a job is due. Everything here is pure: no clock is read, and nothing is stored.
//!
//! A *slot* is an instant at which a job is due: one time of the trigger, before jitter. Slots come
//! in order, none twice, and are the same whoever asks and whenever, so that job and slot together
//! name what is to be done exactly once.
//!
//! ```
//! use automa_core::job::trigger::Trigger;
//!
//! let trigger = Trigger::Cron { pattern: "30 2 * * *".into(), zone: "Europe/Berlin".into() };
//! let times = trigger.compile()?;
//! let next = times.next("2026-03-28T12:00:00Z".parse()?).unwrap();
//! // 02:30 is left out that night, as clocks go from 02:00 to 03:00.
//! assert_eq!(next.to_string(), "2026-03-29T01:00:00Z");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blackout;
mod odd_days;
mod pattern;
mod rules;
mod wall_clock;
mod words;
mod written;

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

pub(super) use self::odd_days::odd_days;
use self::pattern::Pattern;
pub use self::{
    blackout::{Blackout, DayOfYear, InvalidBlackout, TimeOfDay, Weekdays},
    odd_days::{ClockChange, clock_changes},
    rules::{BLACKOUTS_MAX, JITTER_MAX, Reason, Rules},
};
use crate::{Result, error::FieldError};

/// Shortest interval, in milliseconds.
pub const INTERVAL_MIN: u64 = 1_000;
/// Longest interval: 366 days, in milliseconds.
pub const INTERVAL_MAX: u64 = 366 * 24 * 60 * 60 * 1000;

/// What makes a job due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// A point in time.
    Once {
        /// When, to the millisecond.
        #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
        at: Timestamp,
    },
    /// Again and again at the same distance, from a beginning on which no delay moves.
    Interval {
        /// The distance in milliseconds, from a second to 366 days.
        every_ms: u64,
        /// The first time, to the millisecond.
        #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
        start_at: Timestamp,
    },
    /// Times that a pattern has, by the clock of a zone. What holds where that clock is put forward
    /// or back is said in `trigger/wall_clock.rs`: a time of day is due exactly once, and what
    /// returns (`*/15 * * * *`) is due in every real hour.
    Cron {
        /// Five fields as in `crontab(5)`, or six with the second first, or `@daily` and the like.
        /// Days also as `L`, `LW`, `15W`, `MON#2`, `FRI#L`. If day of month and day of week are both
        /// restricted, a day has to match one of them; with `+` before the day of week, both.
        pattern: String,
        /// The zone, by its name in the tz database: `Europe/Berlin`.
        zone: String,
    },
    /// A call of its URL.
    Webhook,
}

impl Trigger {
    /// Names what cannot be accepted, as `trigger.pattern` and the like.
    pub fn check(&self, errors: &mut Vec<FieldError>) {
        if let Err(found) = self.times() {
            errors.extend(found);
        }
    }

    /// Makes it ready to be asked for times.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid), with what [`check`](Self::check) names.
    pub fn compile(&self) -> Result<Times> {
        self.times().map_err(crate::Error::Invalid)
    }

    fn times(&self) -> Result<Times, Vec<FieldError>> {
        let wrong = |field, reason: String| vec![FieldError::new(field, reason)];
        Ok(Times(match self {
            Self::Once { at } => Kind::Once { at: millis(*at) },
            Self::Interval { every_ms, start_at } => {
                if !(INTERVAL_MIN..=INTERVAL_MAX).contains(every_ms) {
                    let reason = format!(
                        "must be {INTERVAL_MIN} to {INTERVAL_MAX} milliseconds: a second to 366 days"
                    );
                    return Err(wrong("trigger.every_ms", reason));
                }
                Kind::Interval { every: every_ms.cast_signed(), start: millis(*start_at) }
            }
            Self::Cron { pattern, zone } => {
                let read = Pattern::parse(pattern).map_err(|error| {
                    vec![FieldError::new("trigger.pattern", error.placed(pattern))]
                });
                let zone = find_zone(zone).map_err(|reason| wrong("trigger.zone", reason));
                match (read, zone) {
                    (Ok(pattern), Ok(zone)) => Kind::Cron { pattern, zone },
                    (Err(errors), Ok(_)) | (Ok(_), Err(errors)) => return Err(errors),
                    (Err(mut errors), Err(more)) => {
                        errors.extend(more);
                        return Err(errors);
                    }
                }
            }
            Self::Webhook => Kind::Never,
        }))
    }
}

/// Besides the zones there are copies of them that count leap seconds, or do not.
fn is_copy(name: &str) -> bool {
    ["posix/", "right/"].iter().any(|prefix| name.starts_with(prefix))
}

/// The names of the time zones that one may look for, in order.
#[must_use]
pub fn zones() -> Vec<String> {
    let mut names: Vec<_> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    names.retain(|name| (name.contains('/') || name == "UTC") && !is_copy(name));
    names.sort_unstable();
    names
}

/// A trigger that is ready to be asked for times: some kilobytes.
#[derive(Debug, Clone)]
pub struct Times(Kind);

/// All numbers are milliseconds since 1970.
#[derive(Debug, Clone)]
enum Kind {
    Never,
    Once { at: i64 },
    Interval { every: i64, start: i64 },
    Cron { pattern: Pattern, zone: TimeZone },
}

impl Times {
    /// The first slot that is strictly later than `after`; `None` if there is none before the year
    /// 5000, or of a trigger without a pattern 10000. The search is bounded, whatever the pattern.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let passed = millis(after);
        let next = match &self.0 {
            Kind::Never => return None,
            Kind::Once { at } => (passed < *at).then_some(*at)?,
            Kind::Interval { start, .. } if passed < *start => *start,
            Kind::Interval { every, start } => {
                let slots = passed.checked_sub(*start)? / every + 1;
                start.checked_add(every.checked_mul(slots)?)?
            }
            Kind::Cron { pattern, zone } => return wall_clock::next(pattern, zone, after),
        };
        Timestamp::from_millisecond(next).ok()
    }
}

/// Milliseconds since 1970 that have passed, the one that has begun not included.
fn millis(at: Timestamp) -> i64 {
    let whole = at.as_nanosecond().div_euclid(1_000_000);
    // A timestamp is within the years -9999 and 9999.
    i64::try_from(whole).unwrap_or(i64::MAX)
}

/// The zone of a name of the tz database; else what is wrong with the name.
///
/// # Errors
///
/// There is none of this name.
pub fn find_zone(name: &str) -> Result<TimeZone, String> {
    let found = TimeZone::get(name).ok().filter(|zone| !is_copy(name) && !zone.is_unknown());
    found.ok_or_else(|| format!("there is no time zone `{name}`; one is called like Europe/Berlin"))
}

#[cfg(test)]
mod tests;
