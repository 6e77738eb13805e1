//! Retention: how long executions and their logs are kept, and what removes them afterwards.
//!
//! What is removed says so: a log that is gone is [`LogRemoved`](crate::Error::LogRemoved), with the
//! day, and each sweep that removed something leaves an entry in the audit log. Executions that have
//! not ended are never touched. Audit entries are removed from the oldest on, and only if somebody says
//! for how long they are kept; a signed checkpoint stands for those that are gone.
//!
//! Ages are by the clock. One that steps back makes everything younger: nothing is removed that would
//! not have been, and some later. One that steps forward makes everything older, and the next sweep
//! removes what that puts beyond its time, which does not come back when the clock does.

mod sweep;

use serde::{Deserialize, Serialize};

pub(crate) use self::sweep::Sweeper;
use crate::{
    Automa, Result,
    actor::{Actor, Permission},
    audit::{Action, Entry},
    error::FieldError,
    id::ScriptId,
    script::{self, Sight},
    store::{self, change::Change},
};

/// Longest time that can be said, in days (100 years).
pub const DAYS_MAX: u32 = 36_500;
/// Shortest time for which audit entries can be kept, in days.
pub const AUDIT_DAYS_MIN: u32 = 30;
/// Fewest bytes that a limit can be (1 MiB).
pub const BYTES_MIN: u64 = 1024 * 1024;

/// How long things are kept. What is beyond a limit is removed, oldest first; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Days for which executions are kept, with everything that is known of them and that they left.
    pub history_days: Option<u32>,
    /// Days for which their logs are.
    pub log_days: Option<u32>,
    /// Bytes that all logs may take together.
    pub log_bytes: Option<u64>,
    /// Days for which entries of the audit log are kept.
    pub audit_days: Option<u32>,
}

impl Default for Rules {
    /// Two years of history, of which the logs for 90 days, up to 10 GiB; and all of the audit log.
    fn default() -> Self {
        Self {
            history_days: Some(730),
            log_days: Some(90),
            log_bytes: Some(10 << 30),
            audit_days: None,
        }
    }
}

/// Rules as version 1 wrote them: audit entries were kept for ever.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RulesV1 {
    history_days: Option<u32>,
    log_days: Option<u32>,
    log_bytes: Option<u64>,
}

impl From<RulesV1> for Rules {
    fn from(old: RulesV1) -> Self {
        let RulesV1 { history_days, log_days, log_bytes } = old;
        Self { history_days, log_days, log_bytes, audit_days: None }
    }
}

/// How long things of one script are kept: in place of what [`Rules`] say of days, and besides what
/// they say of bytes. `None` is what is said of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ScriptRules {
    /// Days for which its executions are kept.
    pub history_days: Option<u32>,
    /// Days for which their logs are.
    pub log_days: Option<u32>,
    /// Bytes that its logs may take together.
    pub log_bytes: Option<u64>,
}

/// Retention as one actor may see and set it.
#[derive(Debug, Clone, Copy)]
pub struct Retention<'a> {
    automa: &'a Automa,
    actor: &'a Actor,
}

impl<'a> Retention<'a> {
    pub(crate) fn new(automa: &'a Automa, actor: &'a Actor) -> Self {
        Self { automa, actor }
    }

    /// How long things are kept.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`](crate::Error::Forbidden) and the store's.
    pub fn get(&self) -> Result<Rules> {
        self.actor.require(Permission::ReadExecutions)?;
        self.automa.store.look(|view| Ok(store::retention::get(view)?))
    }

    /// Says how long things are kept, from now on: what is beyond is removed soon.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`](crate::Error::Forbidden) for all but admins,
    /// [`Error::Invalid`](crate::Error::Invalid), and the store's.
    pub async fn set(&self, rules: Rules) -> Result<Rules> {
        self.actor.require(Permission::ManageSettings)?;
        check(rules.history_days, rules.log_days, rules.audit_days, rules.log_bytes)?;
        let entry = Entry::new(&*self.automa.clock, self.actor, Action::RetentionChanged);
        let change = move |change: &mut Change| {
            store::retention::put(change, &rules)?;
            Ok(store::audit::add(change, &entry)?)
        };
        self.automa.store.write::<_, crate::Error, _>(change).await?;
        self.automa.sweep_soon();
        Ok(rules)
    }

    /// What is said of one script.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`](crate::Error::Forbidden), [`Error::NotFound`](crate::Error::NotFound),
    /// and the store's.
    pub fn of_script(&self, id: ScriptId) -> Result<ScriptRules> {
        self.actor.require(Permission::ReadScripts)?;
        self.automa.store.look(|view| {
            script::find_seen(view, &Sight::of(self.actor), id)?;
            Ok(store::retention::of_script(view, id)?)
        })
    }

    /// Says how long things of one script are kept, from now on.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set), but whoever changes scripts may do this; and
    /// [`Error::NotFound`](crate::Error::NotFound).
    pub async fn set_of_script(&self, id: ScriptId, rules: ScriptRules) -> Result<ScriptRules> {
        self.actor.require(Permission::WriteScripts)?;
        check(rules.history_days, rules.log_days, None, rules.log_bytes)?;
        let (action, sight) = (Action::ScriptRetentionChanged(id), Sight::of(self.actor));
        let entry = Entry::new(&*self.automa.clock, self.actor, action);
        let change = move |change: &mut Change| {
            script::find_seen(change, &sight, id)?;
            store::retention::put_of_script(change, id, &rules)?;
            Ok(store::audit::add(change, &entry)?)
        };
        self.automa.store.write::<_, crate::Error, _>(change).await?;
        self.automa.sweep_soon();
        Ok(rules)
    }
}

fn check(
    history_days: Option<u32>,
    log_days: Option<u32>,
    audit_days: Option<u32>,
    log_bytes: Option<u64>,
) -> Result<()> {
    let mut errors = Vec::new();
    for (field, days, least) in [
        ("history_days", history_days, 1),
        ("log_days", log_days, 1),
        ("audit_days", audit_days, AUDIT_DAYS_MIN),
    ] {
        if days.is_some_and(|days| !(least..=DAYS_MAX).contains(&days)) {
            errors.push(FieldError::new(field, format!("must be {least} to {DAYS_MAX} days")));
        }
    }
    if log_bytes.is_some_and(|bytes| bytes < BYTES_MIN) {
        let reason = format!("must be at least {BYTES_MIN} bytes (1 MiB)");
        errors.push(FieldError::new("log_bytes", reason));
    }
    FieldError::none_of(errors)
}

#[cfg(test)]
mod tests;
