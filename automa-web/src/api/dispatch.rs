//! When executions have their turns: what scripts say, what is asked for, and what became of it.

use automa_core::execution::{self, OnConflict, State};
use jiff::Timestamp;
use poem_openapi::Object;
use serde::Serialize;

use super::wire::{OneOf, Text};

/// How many executions of a script may run at the same time.
#[derive(Debug, Clone, Object)]
pub(crate) struct Concurrency {
    /// 1 to 1,000.
    limit: u32,
    /// The parameter by whose value they are counted; without one, all are counted together.
    key: Option<String>,
    /// What becomes of one that would be too many: it runs all the same (`allow`), waits (`queue`,
    /// unless told), is recorded as cancelled and never starts (`skip`), or takes the place of the
    /// oldest, which is cancelled (`replace`).
    on_conflict: Option<OneOf<OnConflict>>,
}

/// Whether and when an execution that does not go well is tried again.
#[derive(Debug, Clone, Object)]
pub(crate) struct Retry {
    /// How often it is tried at most, the first time included: 1 to 10.
    attempts: u32,
    /// The pause before the second attempt: 1,000 unless told, at most a day.
    backoff_ms: Option<u64>,
    /// The longest pause: 300,000 unless told, at most a day.
    max_backoff_ms: Option<u64>,
    /// How much longer each pause is than the one before: 1 to 10, 2 unless told.
    factor: Option<f64>,
    /// Whether pauses differ by chance, which they do unless told.
    jitter: Option<bool>,
    /// After which ends: some of `failed`, `timed_out`, `out_of_memory`, `lost`; all but the last
    /// unless told.
    on: Option<Vec<OneOf<State>>>,
}

/// Why an execution waits.
#[derive(Debug, Clone, Object, Serialize)]
pub(super) struct Waiting {
    /// What it waits for: `retry`, `concurrency`, `user`, `slot`, `memory` or `disk`; `starting` if
    /// nothing.
    reason: String,
    /// The same in a sentence.
    detail: String,
    /// Its place among those that wait for the same, as far as that is known now; 1 is the next.
    position: u64,
}

/// An attempt that was followed by another.
#[derive(Debug, Clone, Object, Serialize)]
pub(super) struct Attempt {
    /// From 1.
    number: u32,
    state: OneOf<State>,
    started_at: Option<Text<Timestamp>>,
    finished_at: Text<Timestamp>,
    exit_code: Option<i32>,
    /// The signal that ended the script.
    signal: Option<i32>,
    /// Why it ended, in a sentence.
    cause: String,
    wall_ms: u64,
    cpu_ms: u64,
    peak_memory_bytes: Option<u64>,
    output_bytes: u64,
}

/// What the API takes as a priority; core says what is right.
pub(super) fn priority(number: i32) -> i8 {
    i8::try_from(number).unwrap_or(if number < 0 { i8::MIN } else { i8::MAX })
}

impl From<Concurrency> for execution::Concurrency {
    fn from(rule: Concurrency) -> Self {
        let on_conflict = rule.on_conflict.map_or(OnConflict::Queue, |rule| rule.0);
        Self { limit: rule.limit, key: rule.key, on_conflict }
    }
}

impl From<execution::Concurrency> for Concurrency {
    fn from(rule: execution::Concurrency) -> Self {
        Self { limit: rule.limit, key: rule.key, on_conflict: Some(OneOf(rule.on_conflict)) }
    }
}

impl From<Retry> for execution::Retry {
    fn from(retry: Retry) -> Self {
        let usual = Self::default();
        let on = |states: Vec<OneOf<State>>| states.into_iter().map(|state| state.0).collect();
        Self {
            attempts: retry.attempts,
            backoff_ms: retry.backoff_ms.unwrap_or(usual.backoff_ms),
            max_backoff_ms: retry.max_backoff_ms.unwrap_or(usual.max_backoff_ms),
            factor: retry.factor.unwrap_or(usual.factor),
            jitter: retry.jitter.unwrap_or(usual.jitter),
            on: retry.on.map_or(usual.on, on),
        }
    }
}

impl From<execution::Retry> for Retry {
    fn from(retry: execution::Retry) -> Self {
        Self {
            attempts: retry.attempts,
            backoff_ms: Some(retry.backoff_ms),
            max_backoff_ms: Some(retry.max_backoff_ms),
            factor: Some(retry.factor),
            jitter: Some(retry.jitter),
            on: Some(retry.on.into_iter().map(OneOf).collect()),
        }
    }
}

impl From<execution::Waiting> for Waiting {
    fn from(waiting: execution::Waiting) -> Self {
        Self {
            reason: waiting.reason.name().to_owned(),
            detail: waiting.to_string(),
            position: waiting.before.saturating_add(1),
        }
    }
}

impl From<execution::Attempt> for Attempt {
    fn from(attempt: execution::Attempt) -> Self {
        let ending = attempt.ending;
        Self {
            number: attempt.number,
            state: OneOf(attempt.state),
            started_at: attempt.started_at.map(Text),
            finished_at: Text(attempt.finished_at),
            exit_code: ending.exit_code,
            signal: ending.signal,
            cause: ending.cause,
            wall_ms: ending.wall_ms,
            cpu_ms: ending.cpu_ms,
            peak_memory_bytes: ending.peak_memory_bytes,
            output_bytes: ending.output_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use automa_core::execution::Reason;

    use super::*;
    use crate::api::document::same_as_schema;

    #[test]
    fn documents_are_as_their_schemas_say() {
        let waiting = execution::Waiting { reason: Reason::Slot { slots: 2 }, before: 3 };
        same_as_schema(&Waiting::from(waiting));
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        same_as_schema(&Attempt::from(execution::Attempt {
            number: 1,
            state: State::Failed,
            started_at: Some(at),
            finished_at: at,
            ending: execution::Ending {
                cause: "the script ended with exit code 1".to_owned(),
                exit_code: Some(1),
                signal: None,
                wall_ms: 1,
                cpu_ms: 2,
                peak_memory_bytes: None,
                output_bytes: 3,
            },
        }));
    }

    #[test]
    fn what_is_not_told_is_the_usual() {
        let retry = Retry {
            attempts: 3,
            backoff_ms: None,
            max_backoff_ms: None,
            factor: None,
            jitter: None,
            on: None,
        };
        assert_eq!(execution::Retry::from(retry), execution::Retry::default());
        let rule = Concurrency { limit: 1, key: None, on_conflict: None };
        assert_eq!(execution::Concurrency::from(rule).on_conflict, OnConflict::Queue);
        assert_eq!([priority(-1000), priority(7), priority(1000)], [-128, 7, 127]);
    }
}
