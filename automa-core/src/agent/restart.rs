//! Whether, and after what pause, an agent that has ended is started again.

use serde::{Deserialize, Serialize};

use crate::{error::FieldError, execution::Pauses};

/// A day, in milliseconds: the longest pause.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// After which ends an agent is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// However it has ended.
    #[default]
    Always,
    /// Unless it has ended with exit code 0.
    OnFailure,
    /// Never.
    Never,
}

impl When {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Always, Self::OnFailure, Self::Never];

    /// Its name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::OnFailure => "on_failure",
            Self::Never => "never",
        }
    }
}

/// When an agent is started again after its script has ended by itself.
///
/// The first pause is `backoff_ms`; each further one is `factor` times as long, up to
/// `max_backoff_ms`, until the agent has run for `stable_ms` without a break. One that has ended
/// `crash_after` times within `crash_window_ms` is in a crash loop: it is left alone until somebody
/// starts it, or until `cool_down_ms` have passed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Restart {
    /// After which ends.
    pub when: When,
    /// The first pause, in milliseconds: 100 to a day.
    pub backoff_ms: u64,
    /// The longest pause, in milliseconds: from the first one to a day.
    pub max_backoff_ms: u64,
    /// How much longer each pause is than the one before: 1 to 10.
    pub factor: f64,
    /// Whether pauses differ by chance, from half of their length to all of it: what failed together
    /// does not come back together.
    pub jitter: bool,
    /// After running this long the next pause is the first one again: 1 second to a day.
    pub stable_ms: u64,
    /// How many ends make a crash loop: 2 to 100.
    pub crash_after: u32,
    /// Within which time they do: 1 second to a day.
    pub crash_window_ms: u64,
    /// After how long one in a crash loop is started again: 1 second to a day; `None`: not before
    /// somebody does.
    pub cool_down_ms: Option<u64>,
}

impl Default for Restart {
    /// Always: after a second, two, four … up to a minute. Five ends within five minutes are a
    /// crash loop, which is tried again after an hour.
    fn default() -> Self {
        Self {
            when: When::Always,
            backoff_ms: 1_000,
            max_backoff_ms: 60_000,
            factor: 2.0,
            jitter: true,
            stable_ms: 60_000,
            crash_after: 5,
            crash_window_ms: 300_000,
            cool_down_ms: Some(3_600_000),
        }
    }
}

impl Restart {
    /// Names what is out of its bounds.
    pub(super) fn check(&self, errors: &mut Vec<FieldError>) {
        let mut check = |field, holds: bool, reason| {
            if !holds {
                errors.push(FieldError::new(field, reason));
            }
        };
        let day = |from: u64, value: u64| (from..=DAY_MS).contains(&value);
        let backoff = day(100, self.backoff_ms);
        check("restart.backoff_ms", backoff, "must be 100 to 86400000, a day");
        let longest = day(self.backoff_ms, self.max_backoff_ms);
        check("restart.max_backoff_ms", longest, "must be backoff_ms to 86400000, a day");
        // Not a number is within no bounds.
        check("restart.factor", (1.0..=10.0).contains(&self.factor), "must be 1 to 10");
        check("restart.stable_ms", day(1000, self.stable_ms), "must be 1000 to 86400000, a day");
        check("restart.crash_after", (2..=100).contains(&self.crash_after), "must be 2 to 100");
        let window = day(1000, self.crash_window_ms);
        check("restart.crash_window_ms", window, "must be 1000 to 86400000, a day");
        let cool_down = self.cool_down_ms.is_none_or(|it| day(1000, it));
        check("restart.cool_down_ms", cool_down, "must be 1000 to 86400000, a day, or null");
    }

    /// The pause, in milliseconds, after `ends` in a row of which none came after a stable time.
    pub(super) fn pause_ms(&self, ends: u32, random: u64) -> u64 {
        let Self { backoff_ms, max_backoff_ms, factor, jitter, .. } = *self;
        let pauses = Pauses { first_ms: backoff_ms, longest_ms: max_backoff_ms, factor, jitter };
        pauses.after(ends, random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(restart: &Restart) -> Vec<String> {
        let mut errors = Vec::new();
        restart.check(&mut errors);
        errors.into_iter().map(|error| error.field.into_owned()).collect()
    }

    #[test]
    fn each_rule_has_bounds() {
        assert!(fields(&Restart::default()).is_empty());
        let wrong = Restart {
            when: When::Never,
            backoff_ms: 0,
            max_backoff_ms: DAY_MS + 1,
            factor: f64::NAN,
            jitter: false,
            stable_ms: 999,
            crash_after: 1,
            crash_window_ms: 0,
            cool_down_ms: Some(0),
        };
        let all = [
            "backoff_ms",
            "max_backoff_ms",
            "factor",
            "stable_ms",
            "crash_after",
            "crash_window_ms",
            "cool_down_ms",
        ];
        assert_eq!(fields(&wrong), all.map(|name| format!("restart.{name}")));
        let shrinking = Restart { backoff_ms: 2000, max_backoff_ms: 1000, ..Restart::default() };
        assert_eq!(fields(&shrinking), ["restart.max_backoff_ms"]);
    }

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let restart = Restart { jitter: false, ..Restart::default() };
        let pauses: Vec<_> = (1..=8).map(|ends| restart.pause_ms(ends, 0) / 1000).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
