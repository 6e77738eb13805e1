//! What a trigger would do, before it is saved: in words, its next times, and what is odd about them.

use jiff::{Timestamp, ToSpan, tz::TimeZone};

use super::{
    Jobs, Rules, Trigger,
    trigger::{Reason, odd_days},
};
use crate::{Result, actor::Permission, error::FieldError};

/// Most times that are told.
pub const PREVIEW_MAX: usize = 100;
/// How many slots are looked at for them: more may be left out.
const LOOKED_AT: usize = 10_000;
/// Most notes.
const NOTES: usize = 4;

/// What a trigger would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// When it is due, in words that continue "It runs": `at 03:00 every day (Europe/Berlin)`.
    pub description: String,
    /// Its next slots, soonest first, without those that are left out.
    pub next: Vec<Timestamp>,
    /// Of the slots up to the last of `next`, those that are left out, with the reason: at most
    /// as many as `next` may have.
    pub left_out: Vec<(Timestamp, Reason)>,
    /// What is odd within a year, in sentences: where clocks are put forward or back, and where
    /// nothing comes.
    pub notes: Vec<String>,
}

impl Preview {
    /// Looks at the first `count` slots after `after`, which are at most [`PREVIEW_MAX`].
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) for what [`Trigger::check`] and [`Rules::check`] name.
    pub fn new(trigger: &Trigger, rules: &Rules, after: Timestamp, count: usize) -> Result<Self> {
        let mut errors = Vec::new();
        trigger.check(&mut errors);
        rules.check(trigger, &mut errors);
        FieldError::none_of(errors)?;
        let times = trigger.compile()?;
        let count = count.min(PREVIEW_MAX);
        let (mut next, mut left_out) = (Vec::new(), Vec::new());
        let slots = std::iter::successors(times.next(after), |slot| times.next(*slot));
        for slot in slots.take(LOOKED_AT) {
            if next.len() == count {
                break;
            }
            match rules.allows(slot) {
                Ok(()) => next.push(slot),
                Err(Reason::NoLonger) => break,
                Err(reason) if left_out.len() < count => left_out.push((slot, reason)),
                Err(_) => {}
            }
        }
        let year = TimeZone::UTC.to_datetime(after).checked_add(1.year());
        let until = year.and_then(|end| TimeZone::UTC.to_timestamp(end)).unwrap_or(after);
        let mut notes = odd_days(trigger, after, until, NOTES);
        if next.is_empty() && count > 0 && *trigger != Trigger::Webhook {
            notes.push("It has no time to come: it is over, or its rules leave none.".to_owned());
        }
        Ok(Self { description: trigger.in_words(), next, left_out, notes })
    }
}

impl Jobs<'_> {
    /// What a trigger would do from now on: see [`Preview::new`].
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`](crate::Error::Forbidden), and as [`Preview::new`].
    pub fn preview(&self, trigger: &Trigger, rules: &Rules, count: usize) -> Result<Preview> {
        self.actor.require(Permission::ReadJobs)?;
        Preview::new(trigger, rules, self.automa.clock.now(), count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn cron(pattern: &str) -> Trigger {
        Trigger::Cron { pattern: pattern.to_owned(), zone: "Europe/Berlin".to_owned() }
    }

    fn preview(trigger: &Trigger, rules: &Rules) -> Preview {
        Preview::new(trigger, rules, at("2026-03-01T00:00:00Z"), 3).unwrap()
    }

    #[test]
    fn a_preview_tells_words_times_and_the_days_on_which_clocks_change() {
        let nightly = preview(&cron("30 2 * * *"), &Rules::default());
        assert_eq!(nightly.description, "at 02:30 every day (Europe/Berlin)");
        let next = ["2026-03-01T01:30:00Z", "2026-03-02T01:30:00Z", "2026-03-03T01:30:00Z"];
        assert_eq!(nightly.next, next.map(at));
        assert_eq!(
            nightly.notes,
            [
                "On 29 March 2026 the clock goes from 02:00 to 03:00 in Europe/Berlin: 02:30 does not \
                 exist, and runs at 03:00 instead.",
                "On 25 October 2026 the clock goes back from 03:00 to 02:00 in Europe/Berlin: 02:30 \
                 comes twice, and runs the first time only.",
            ]
        );
    }

    #[test]
    fn what_returns_is_told_to_be_left_out_or_doubled_only_if_it_is_bound_to_hours() {
        assert!(preview(&cron("*/15 * * * *"), &Rules::default()).notes.is_empty());
        assert!(preview(&cron("*/15 8-18 * * *"), &Rules::default()).notes.is_empty());
        assert_eq!(
            preview(&cron("*/15 2 * * *"), &Rules::default()).notes,
            [
                "On 29 March 2026 the clock goes from 02:00 to 03:00 in Europe/Berlin: what is due in \
                 between does not run.",
                "On 25 October 2026 the clock goes back from 03:00 to 02:00 in Europe/Berlin: what is \
                 due in between runs twice.",
            ]
        );
    }

    #[test]
    fn what_rules_leave_out_is_told_apart() {
        let rules = Rules {
            not_before: Some(at("2026-03-02T00:00:00Z")),
            not_after: Some(at("2026-03-03T00:00:00Z")),
            ..Rules::default()
        };
        let some = preview(&cron("30 2 * * *"), &rules);
        assert_eq!(some.next, [at("2026-03-02T01:30:00Z")]);
        assert_eq!(some.left_out, [(at("2026-03-01T01:30:00Z"), Reason::NotYet)]);
        let over = Trigger::Once { at: at("2026-02-01T00:00:00Z") };
        let none = preview(&over, &Rules::default());
        assert_eq!(none.notes, ["It has no time to come: it is over, or its rules leave none."]);
        assert!(preview(&Trigger::Webhook, &Rules::default()).notes.is_empty());
    }
}
