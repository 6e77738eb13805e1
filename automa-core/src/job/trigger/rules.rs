//! Rules that hold for all the times of a job: from when to when, when not, and how far apart from others.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Blackout, Trigger, millis};
use crate::{error::FieldError, id::JobId};

/// Longest jitter: a day, in milliseconds.
pub const JITTER_MAX: u64 = 24 * 60 * 60 * 1000;
/// Most blackouts of one job.
pub const BLACKOUTS_MAX: usize = 20;

/// What holds for each slot of a job, whatever its trigger. The default is no rule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rules {
    /// By up to how many milliseconds a start is put off, so that jobs of the same time do not all
    /// start at once: at most a day, and no longer than an interval.
    pub jitter_ms: u64,
    /// Slots before this are left out. To the millisecond, as all times here.
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::optional")]
    pub not_before: Option<Timestamp>,
    /// Slots after this are left out.
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::optional")]
    pub not_after: Option<Timestamp>,
    /// Slots within one of these are left out: at most 20.
    pub blackouts: Vec<Blackout>,
}

/// Why a slot is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// It is before the first time that the job may run.
    NotYet,
    /// It is after the last.
    NoLonger,
    /// It is within this blackout.
    Blackout(Blackout),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet => f.write_str("it is before the first time that the job may run"),
            Self::NoLonger => f.write_str("it is after the last time that the job may run"),
            Self::Blackout(blackout) => write!(f, "it is within a blackout, {blackout}"),
        }
    }
}

impl Rules {
    /// Names what cannot be accepted, as `rules.jitter_ms` and the like.
    pub fn check(&self, trigger: &Trigger, errors: &mut Vec<FieldError>) {
        if self.jitter_ms > JITTER_MAX {
            errors.push(FieldError::new("rules.jitter_ms", "must be 0 to 86400000, a day"));
        } else if let Trigger::Interval { every_ms, .. } = trigger
            && self.jitter_ms > *every_ms
        {
            let reason = "must not be longer than the interval";
            errors.push(FieldError::new("rules.jitter_ms", reason));
        }
        if let (Some(first), Some(last)) = (self.not_before, self.not_after)
            && last < first
        {
            errors.push(FieldError::new("rules.not_after", "must not be before `not_before`"));
        }
        if self.blackouts.len() > BLACKOUTS_MAX {
            let reason = format!("must be at most {BLACKOUTS_MAX}");
            errors.push(FieldError::new("rules.blackouts", reason));
        }
        for (index, blackout) in self.blackouts.iter().enumerate() {
            blackout.check(&format!("rules.blackouts/{index}"), errors);
        }
    }

    /// Whether a slot is to run, by its nominal instant: jitter does not move it in or out.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn allows(&self, slot: Timestamp) -> Result<(), Reason> {
        let at = millis(slot);
        if self.not_before.is_some_and(|first| at < millis(first)) {
            return Err(Reason::NotYet);
        }
        if self.not_after.is_some_and(|last| millis(last) < at) {
            return Err(Reason::NoLonger);
        }
        match self.blackouts.iter().find(|blackout| blackout.contains(slot)) {
            Some(blackout) => Err(Reason::Blackout(blackout.clone())),
            None => Ok(()),
        }
    }

    /// When a slot starts: put off by 0 to `jitter_ms` milliseconds, which job and slot alone decide,
    /// so that it is the same after a restart. All of them are equally likely.
    #[must_use]
    pub fn delayed(&self, job: JobId, slot: Timestamp) -> Timestamp {
        if self.jitter_ms == 0 {
            return slot;
        }
        let mut hash = Sha256::new();
        hash.update(job.to_string());
        hash.update(millis(slot).to_le_bytes());
        let mut draw = [0; 8];
        draw.copy_from_slice(&hash.finalize()[..8]);
        let delay = u64::from_le_bytes(draw) % self.jitter_ms.saturating_add(1);
        let delay = SignedDuration::from_millis(i64::try_from(delay).unwrap_or(i64::MAX));
        slot.checked_add(delay).unwrap_or(slot)
    }
}
