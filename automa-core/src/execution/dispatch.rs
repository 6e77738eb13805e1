//! When an execution has its turn: what a script says, what is asked for, and what counts.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Concurrency, Execution, Place, Retry};
use crate::{error::FieldError, execution::queue::Entry, id::ExecutionId};

/// Longest time after acceptance that a deadline can be given as: a year.
const YEAR_MS: u64 = 366 * 24 * 60 * 60 * 1000;
/// Most characters of a concurrency key that is given.
const KEY_MAX: usize = 255;

/// What a version of a script says about its executions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DispatchRules {
    /// -100 to 100: of what one user has waiting, the highest goes first.
    pub priority: i8,
    /// How many may run at the same time; without, as many as there are slots for.
    pub concurrency: Option<Concurrency>,
    /// Whether one that fails is tried again; without, never.
    pub retry: Option<Retry>,
}

/// What is asked for of one execution. What is `None` is the script's, else the default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DispatchRequest {
    /// See [`DispatchRules::priority`].
    pub priority: Option<i8>,
    /// Until when it has to be started: what still waits then ends as timed out.
    pub deadline: Option<Deadline>,
    /// See [`DispatchRules::retry`]. One attempt is no retry.
    pub retry: Option<Retry>,
    /// In place of the value of the parameter by which executions are counted, 1 to 255 characters.
    /// For scripts that say how many may run at the same time.
    pub concurrency_key: Option<String>,
}

/// Until when an execution has to be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deadline {
    /// A moment to come.
    At(Timestamp),
    /// So many milliseconds after it was accepted: 1 to 31,622,400,000, which is a year.
    After(u64),
}

/// What decides about an execution's turn, as it was when it was accepted, and what has become of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispatch {
    /// Of what its user has waiting, the highest goes first.
    pub priority: i8,
    /// If it waits until then, it ends.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    pub deadline: Option<Timestamp>,
    /// When it is tried again, while it waits for that.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    pub not_before: Option<Timestamp>,
    /// How often it is tried at most.
    pub max_attempts: u32,
    /// Its place among those that are counted together.
    pub concurrency: Option<Place>,
    /// When it was asked to end while it ran.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    pub cancelled_at: Option<Timestamp>,
    /// The execution for which it was asked to end.
    pub replaced_by: Option<ExecutionId>,
}

impl Default for Dispatch {
    fn default() -> Self {
        Self {
            priority: 0,
            deadline: None,
            not_before: None,
            max_attempts: 1,
            concurrency: None,
            cancelled_at: None,
            replaced_by: None,
        }
    }
}

impl DispatchRules {
    /// Names what is out of its bounds.
    pub(crate) fn check(&self, errors: &mut Vec<FieldError>) {
        check_priority(self.priority, errors);
        if let Some(concurrency) = &self.concurrency {
            concurrency.check(errors);
        }
        if let Some(retry) = &self.retry {
            retry.check(errors);
        }
    }
}

impl DispatchRequest {
    /// Whether nothing is asked for.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Names what is out of its bounds.
    pub(super) fn check(&self, now: Timestamp, errors: &mut Vec<FieldError>) {
        if let Some(priority) = self.priority {
            check_priority(priority, errors);
        }
        match self.deadline {
            Some(Deadline::At(at)) if at <= now => {
                errors.push(FieldError::new("deadline", "must be a moment to come"));
            }
            Some(Deadline::After(ms)) if !(1..=YEAR_MS).contains(&ms) => {
                let reason = "must be 1 to 31622400000, a year";
                errors.push(FieldError::new("deadline_ms", reason));
            }
            _ => {}
        }
        if let Some(retry) = &self.retry {
            retry.check(errors);
        }
        let fits = |key: &String| {
            (1..=KEY_MAX).contains(&key.chars().count()) && !key.contains(char::is_control)
        };
        if !self.concurrency_key.as_ref().is_none_or(fits) {
            let reason = "must be 1 to 255 characters, all of them visible";
            errors.push(FieldError::new("concurrency_key", reason));
        }
    }

    /// The moment of the deadline.
    pub(super) fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        Some(match self.deadline? {
            // As records store it.
            Deadline::At(at) => Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at),
            Deadline::After(ms) => {
                let time = SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
                now.checked_add(time).unwrap_or(Timestamp::MAX)
            }
        })
    }
}

fn check_priority(priority: i8, errors: &mut Vec<FieldError>) {
    if !(-100..=100).contains(&priority) {
        errors.push(FieldError::new("priority", "must be -100 to 100"));
    }
}

impl Execution {
    /// What the queue has to know of it.
    pub(super) fn entry(&self) -> Entry {
        let Dispatch { priority, deadline, not_before, concurrency, .. } = self.dispatch;
        Entry { id: self.id, user: self.user, priority, not_before, deadline, concurrency }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(request: &DispatchRequest, now: Timestamp) -> Vec<String> {
        let mut errors = Vec::new();
        request.check(now, &mut errors);
        errors.into_iter().map(|error| error.field.into_owned()).collect()
    }

    #[test]
    fn what_is_asked_for_has_bounds() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let none = DispatchRequest::default();
        assert!(none.is_empty() && fields(&none, now).is_empty());
        for (deadline, field) in [
            (Deadline::At(now), Some("deadline")),
            (Deadline::At(Timestamp::MAX), None),
            (Deadline::After(0), Some("deadline_ms")),
            (Deadline::After(u64::MAX), Some("deadline_ms")),
            (Deadline::After(YEAR_MS), None),
        ] {
            let request = DispatchRequest { deadline: Some(deadline), ..none.clone() };
            assert_eq!(fields(&request, now).first().map(String::as_str), field, "{deadline:?}");
            assert!(request.deadline(now).is_some());
        }
        let wrong = DispatchRequest {
            priority: Some(101),
            concurrency_key: Some("a\nb".to_owned()),
            retry: Some(Retry { attempts: 11, ..Retry::default() }),
            deadline: None,
        };
        assert_eq!(fields(&wrong, now), ["priority", "retry.attempts", "concurrency_key"]);
        let mut errors = Vec::new();
        DispatchRules { priority: -101, ..DispatchRules::default() }.check(&mut errors);
        assert_eq!(errors[0].to_string(), "priority: must be -100 to 100");
    }

    #[test]
    fn a_deadline_is_a_moment_after_acceptance() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let with = |deadline| DispatchRequest { deadline, ..DispatchRequest::default() };
        let deadline = with(Some(Deadline::After(1500))).deadline(now);
        assert_eq!(deadline.unwrap().to_string(), "2026-01-01T00:00:01.5Z");
        assert_eq!(with(Some(Deadline::At(now))).deadline(Timestamp::MIN), Some(now));
        assert_eq!(with(None).deadline(now), None);
    }
}
