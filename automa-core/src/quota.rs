//! Quotas: what users have used of what their [tier] allows.
//!
//! Executions are counted in the change that accepts them. Calls of the API, which wait for no disk, are
//! counted in memory and written each minute: what came within the last one before Automa is killed was
//! free.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::{
    Automa, Error, Result,
    actor::Actor,
    error::StoreError,
    id::UserId,
    store::{
        self,
        change::{Change, Snapshot, View},
    },
    tier::{self, Plan, Tier},
};

/// What a user has used of a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Day {
    /// Days since 1970, in UTC.
    pub(crate) number: i64,
    pub(crate) executions: u32,
    pub(crate) api_calls: u32,
}

/// Something of which a tier allows so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quota {
    /// Executions of a day.
    Executions,
    /// Calls of the API of a day.
    ApiCalls,
    /// Scripts that a user has.
    Scripts,
    /// API keys that a user has.
    ApiKeys,
}

impl Quota {
    /// Its name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Executions => "executions_per_day",
            Self::ApiCalls => "api_calls_per_day",
            Self::Scripts => "scripts",
            Self::ApiKeys => "api_keys",
        }
    }
}

/// More was asked for than a tier allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// Of what.
    pub quota: Quota,
    /// How much is allowed.
    pub limit: u64,
    /// How much has been used.
    pub used: u64,
    /// When there is more, if there is by itself.
    pub resets_at: Option<Timestamp>,
}

impl std::error::Error for Exceeded {}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quota, limit, resets_at, .. } = *self;
        let what = match quota {
            Quota::Executions => "executions in a day",
            Quota::ApiCalls => "calls of the API in a day",
            Quota::Scripts if limit == 1 => "script; delete it if it is not needed",
            Quota::Scripts => "scripts; delete one that is not needed",
            Quota::ApiKeys if limit == 1 => "API key; delete it if it is not needed",
            Quota::ApiKeys => "API keys; delete one that is not needed",
        };
        write!(f, "your tier allows {limit} {what}")?;
        match resets_at {
            Some(at) => write!(f, ", which are used up until {at:.0}"),
            None => f.write_str(", or ask an admin for another tier"),
        }
    }
}

/// One quota of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// How much is allowed; `None` for any.
    pub limit: Option<u64>,
    /// How much has been used.
    pub used: u64,
}

impl Left {
    fn new(limit: Option<u32>, used: u64) -> Self {
        Self { limit: limit.map(u64::from), used }
    }

    /// How much may still be used; `None` for any.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        Some(self.limit?.saturating_sub(self.used))
    }

    fn take(self, quota: Quota, resets_at: Option<Timestamp>) -> Result<(), Exceeded> {
        let Self { limit, used } = self;
        match limit {
            Some(limit) if used >= limit => Err(Exceeded { quota, limit, used, resets_at }),
            _ => Ok(()),
        }
    }
}

/// What a user may use, and has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// The tier that counts; `None` if there is none.
    pub tier: Option<Tier>,
    /// What it allows.
    pub plan: Plan,
    /// Executions of this day.
    pub executions: Left,
    /// Calls of the API of this day.
    pub api_calls: Left,
    /// Scripts.
    pub scripts: Left,
    /// API keys.
    pub api_keys: Left,
    /// When the day ends.
    pub resets_at: Timestamp,
}

fn day_of(now: Timestamp) -> i64 {
    now.as_second().div_euclid(24 * 60 * 60)
}

/// The next midnight in UTC.
fn midnight_after(now: Timestamp) -> Timestamp {
    let next = now.to_zoned(TimeZone::UTC).date().tomorrow();
    let next = next.and_then(|day| day.to_zoned(TimeZone::UTC));
    next.map_or(Timestamp::MAX, |day| day.timestamp())
}

/// What was counted of the day it is now.
fn today(view: &impl View, user: UserId, now: Timestamp) -> Result<Day, StoreError> {
    let number = day_of(now);
    let day = store::quotas::day(view, user)?.filter(|day| day.number == number);
    Ok(day.unwrap_or(Day { number, ..Day::default() }))
}

/// An execution that was taken of a day, to be written with it.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub(crate) struct Taken(Option<(UserId, Day)>);

/// Takes one execution of a user's day, before anything is written.
pub(crate) fn take_execution(
    view: &impl View,
    user: Option<UserId>,
    now: Timestamp,
) -> Result<Taken> {
    let Some(user) = user else { return Ok(Taken(None)) };
    let (plan, mut day) = (tier::plan(view, Some(user))?, today(view, user, now)?);
    let left = Left::new(plan.executions_per_day, day.executions.into());
    left.take(Quota::Executions, Some(midnight_after(now)))?;
    day.executions = day.executions.saturating_add(1);
    Ok(Taken(Some((user, day))))
}

impl Taken {
    pub(crate) fn put(self, change: &mut Change) -> Result<(), StoreError> {
        self.0.map_or(Ok(()), |(user, day)| store::quotas::put_day(change, user, &day))
    }
}

/// Whether a user may have one script more.
pub(crate) fn check_scripts(view: &impl View, user: Option<UserId>) -> Result<()> {
    let limit = tier::plan(view, user)?.scripts;
    if let (Some(user), Some(_)) = (user, limit) {
        Left::new(limit, scripts(view, user)?).take(Quota::Scripts, None)?;
    }
    Ok(())
}

/// Whether a user may have one API key more.
pub(crate) fn check_api_keys(view: &impl View, user: UserId) -> Result<()> {
    let limit = tier::plan(view, Some(user))?.api_keys;
    if limit.is_some() {
        let keys = store::api_keys::count(view, user)?;
        Left::new(limit, keys).take(Quota::ApiKeys, None)?;
    }
    Ok(())
}

/// How many scripts a user has. Looks at all there are, which is a few milliseconds for ten thousand.
fn scripts(view: &impl View, user: UserId) -> Result<u64, StoreError> {
    let mut count = 0;
    store::scripts::each(view, None, |script| {
        count += u64::from(script.owner == Some(user));
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    Ok(count)
}

/// Calls of the API since they were last written.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<HashMap<UserId, Counted>>);

/// Calls of one user and day.
#[derive(Debug, Clone, Copy)]
struct Counted {
    day: i64,
    written: u32,
    since: u32,
}

impl Counted {
    fn all(self) -> u32 {
        self.written.saturating_add(self.since)
    }
}

impl Calls {
    fn counted(&self) -> MutexGuard<'_, HashMap<UserId, Counted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls of a day so far.
    fn of(&self, user: UserId, stored: Day) -> u32 {
        let counted = self.counted().get(&user).copied();
        counted.filter(|it| it.day == stored.number).map_or(stored.api_calls, Counted::all)
    }

    /// Writes what came since it was last written.
    pub(crate) async fn write(&self, automa: &Automa) -> Result<()> {
        let rows: Vec<_> = self
            .counted()
            .iter_mut()
            .filter(|(_, counted)| counted.since > 0)
            .map(|(user, counted)| {
                let since = std::mem::take(&mut counted.since);
                counted.written = counted.written.saturating_add(since);
                (*user, counted.day, since)
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let again = rows.clone();
        let change = move |change: &mut Change| {
            for &(user, number, since) in &rows {
                let day = store::quotas::day(change, user)?.unwrap_or_default();
                // Of a day that is over, nobody asks any more.
                if day.number <= number {
                    let same = if day.number == number { day } else { Day::default() };
                    let api_calls = same.api_calls.saturating_add(since);
                    let day = Day { number, api_calls, ..same };
                    store::quotas::put_day(change, user, &day)?;
                }
            }
            Ok(())
        };
        let written = automa.store.write(change).await;
        if written.is_err() {
            // It is written with what comes next.
            let mut counted = self.counted();
            for (user, day, since) in again {
                if let Some(counted) = counted.get_mut(&user).filter(|it| it.day == day) {
                    counted.since = counted.since.saturating_add(since);
                    counted.written = counted.written.saturating_sub(since);
                }
            }
        }
        written
    }
}

/// Quotas, as those use them whose they are.
#[derive(Debug, Clone, Copy)]
pub struct QuotasOf<'a> {
    automa: &'a Automa,
    actor: &'a Actor,
}

impl<'a> QuotasOf<'a> {
    pub(crate) fn new(automa: &'a Automa, actor: &'a Actor) -> Self {
        Self { automa, actor }
    }

    /// What the actor may use, and has used. Needs no right: it is about themselves.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn get(&self) -> Result<Quotas> {
        let (user, now) = (self.actor.user, self.automa.clock.now());
        let look = move |view: &Snapshot| {
            let (tier, plan) = tier::of(view, user)?;
            let Some(user) = user else { return Ok((tier, plan, Day::default(), 0, 0)) };
            let (day, keys) = (today(view, user, now)?, store::api_keys::count(view, user)?);
            Ok::<_, Error>((tier, plan, day, scripts(view, user)?, keys))
        };
        let (tier, plan, day, scripts, keys) = self.automa.store.read(look).await?;
        let calls = user.map_or(0, |user| self.automa.api_calls.of(user, day));
        Ok(Quotas {
            tier,
            plan,
            executions: Left::new(plan.executions_per_day, day.executions.into()),
            api_calls: Left::new(plan.api_calls_per_day, calls.into()),
            scripts: Left::new(plan.scripts, scripts),
            api_keys: Left::new(plan.api_keys, keys),
            resets_at: midnight_after(now),
        })
    }

    /// The same for who has a tier; `None` for who may use anything, which costs a lookup or two.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn limited(&self) -> Result<Option<Quotas>> {
        let tier = self.automa.store.look(|view| tier::of(view, self.actor.user))?.0;
        Ok(if tier.is_some() { Some(self.get().await?) } else { None })
    }

    /// Counts a call of the API.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaExceeded`] when it is one too many of this day, and the store's.
    pub fn count_api_call(&self) -> Result<()> {
        let Some(user) = self.actor.user else { return Ok(()) };
        let now = self.automa.clock.now();
        let number = day_of(now);
        let (plan, stored) = self.automa.store.look(|view| {
            Ok::<_, Error>((tier::plan(view, Some(user))?, today(view, user, now)?))
        })?;
        let mut all = self.automa.api_calls.counted();
        let counted = all.entry(user).or_insert(Counted { day: number, written: 0, since: 0 });
        if counted.day != number || counted.all() == 0 {
            *counted = Counted { day: number, written: stored.api_calls, since: 0 };
        }
        let left = Left::new(plan.api_calls_per_day, counted.all().into());
        left.take(Quota::ApiCalls, Some(midnight_after(now)))?;
        counted.since = counted.since.saturating_add(1);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
