//! Retries: whether and when an execution that did not go well is tried again.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::State;
use crate::error::FieldError;

/// Most attempts of one execution.
pub(crate) const ATTEMPTS_MAX: u32 = 10;
/// Longest pause between two: a day.
const BACKOFF_MAX: u64 = 24 * 60 * 60 * 1000;

/// How often an execution is tried, and how long it pauses in between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// How often it is tried at most, the first time included: 1 to 10.
    pub attempts: u32,
    /// The pause before the second attempt, in milliseconds: 0 to 86,400,000, which is a day.
    pub backoff_ms: u64,
    /// The longest pause, in milliseconds: at most a day.
    pub max_backoff_ms: u64,
    /// How much longer each pause is than the one before: 1 to 10.
    pub factor: f64,
    /// Whether pauses differ by chance, from half of their length to all of it: what failed together
    /// does not come back together.
    pub jitter: bool,
    /// After which ends it is tried again: some of `failed`, `timed_out`, `out_of_memory`, `lost`.
    pub on: Vec<State>,
}

impl Retry {
    /// The ends after which one may be tried again.
    pub const ENDS: [State; 4] = [State::Failed, State::TimedOut, State::OutOfMemory, State::Lost];

    /// Names what is out of its bounds.
    pub(crate) fn check(&self, errors: &mut Vec<FieldError>) {
        let mut check = |field, holds: bool, reason| {
            if !holds {
                errors.push(FieldError::new(field, reason));
            }
        };
        let attempts = (1..=ATTEMPTS_MAX).contains(&self.attempts);
        check("retry.attempts", attempts, "must be 1 to 10");
        check("retry.backoff_ms", self.backoff_ms <= BACKOFF_MAX, "must be 0 to 86400000, a day");
        let most = self.max_backoff_ms <= BACKOFF_MAX;
        check("retry.max_backoff_ms", most, "must be 0 to 86400000, a day");
        // Not a number is within no bounds.
        check("retry.factor", (1.0..=10.0).contains(&self.factor), "must be 1 to 10");
        let ends = !self.on.is_empty() && self.on.iter().all(|state| Self::ENDS.contains(state));
        let reason = "must be some of failed, timed_out, out_of_memory and lost";
        check("retry.on", ends && self.on.len() <= Self::ENDS.len(), reason);
    }

    /// When to try again after attempt number `attempt` has ended now; `None` if never. `random` is
    /// any number.
    pub(super) fn next(
        &self,
        attempt: u32,
        end: State,
        now: Timestamp,
        random: u64,
    ) -> Option<Timestamp> {
        if attempt >= self.attempts || !self.on.contains(&end) {
            return None;
        }
        let pause = SignedDuration::from_millis(i64::try_from(self.pause(attempt, random)).ok()?);
        now.checked_add(pause).ok()
    }

    /// The pause after an attempt, in milliseconds.
    fn pause(&self, attempt: u32, random: u64) -> u64 {
        let Self { backoff_ms, max_backoff_ms, factor, jitter, .. } = *self;
        let pauses = Pauses { first_ms: backoff_ms, longest_ms: max_backoff_ms, factor, jitter };
        pauses.after(attempt, random)
    }
}

/// Pauses of which each is longer than the one before.
pub(crate) struct Pauses {
    pub(crate) first_ms: u64,
    pub(crate) longest_ms: u64,
    /// From 1 to 10.
    pub(crate) factor: f64,
    /// Whether they differ by chance, from half of their length to all of it.
    pub(crate) jitter: bool,
}

impl Pauses {
    /// Number `number` of them, from 1, in milliseconds.
    pub(crate) fn after(&self, number: u32, random: u64) -> u64 {
        let times = i32::try_from(number.saturating_sub(1)).unwrap_or(i32::MAX);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within a day as milliseconds, and a float becomes the nearest number there is"
        )]
        let grown = (self.first_ms as f64 * self.factor.powi(times)) as u64;
        let pause = grown.min(self.longest_ms);
        if !self.jitter {
            return pause;
        }
        let half = pause / 2;
        half + random % (pause - half + 1)
    }
}

impl Default for Retry {
    /// Three attempts, a second apart and then two, whatever went wrong, unless Automa itself ended:
    /// nobody knows what such a script has done.
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff_ms: 1_000,
            max_backoff_ms: 300_000,
            factor: 2.0,
            jitter: true,
            on: vec![State::Failed, State::TimedOut, State::OutOfMemory],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        let retry =
            Retry { attempts: 10, max_backoff_ms: 5_000, jitter: false, ..Retry::default() };
        let pauses: Vec<_> = (1..=5).map(|attempt| retry.pause(attempt, 7)).collect();
        assert_eq!(pauses, [1_000, 2_000, 4_000, 5_000, 5_000]);
        let steady = Retry { factor: 1.0, ..retry };
        assert_eq!(steady.pause(9, 7), 1_000);
    }

    #[test]
    fn only_what_the_policy_names_is_tried_again_and_not_for_ever() {
        let retry = Retry { attempts: 2, ..Retry::default() };
        let now = Timestamp::UNIX_EPOCH;
        for state in State::ALL {
            let named = retry.on.contains(&state);
            assert_eq!(retry.next(1, state, now, 0).is_some(), named, "{state}");
            assert_eq!(retry.next(2, state, now, 0), None);
        }
        assert_eq!(retry.next(1, State::Failed, Timestamp::MAX, 0), None);
    }

    #[test]
    fn each_part_has_bounds() {
        let mut errors = Vec::new();
        Retry::default().check(&mut errors);
        assert!(errors.is_empty());
        let wrong = Retry {
            attempts: 0,
            backoff_ms: BACKOFF_MAX + 1,
            max_backoff_ms: u64::MAX,
            factor: f64::NAN,
            jitter: true,
            on: vec![State::Cancelled],
        };
        wrong.check(&mut errors);
        let fields: Vec<_> = errors.iter().map(|error| &*error.field).collect();
        let all = ["attempts", "backoff_ms", "max_backoff_ms", "factor", "on"];
        assert_eq!(fields, all.map(|name| format!("retry.{name}")));
    }

    proptest! {
        #[test]
        fn jitter_is_within_half_of_a_pause_and_all_of_it(
            backoff_ms in 0..=BACKOFF_MAX,
            max_backoff_ms in 0..=BACKOFF_MAX,
            factor in 1.0..=10.0,
            attempt in 1..10u32,
            random: u64,
        ) {
            let attempts = ATTEMPTS_MAX;
            let exact = Retry {
                attempts, backoff_ms, max_backoff_ms, factor, jitter: false, ..Retry::default()
            };
            let retry = Retry { jitter: true, ..exact.clone() };
            let (full, pause) = (exact.pause(attempt, 0), retry.pause(attempt, random));
            prop_assert!(full / 2 <= pause && pause <= full && full <= max_backoff_ms);
        }
    }
}
