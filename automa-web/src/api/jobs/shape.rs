//! What jobs look like in the API.

use std::collections::BTreeMap;

use automa_core::{
    execution::State,
    id::{ExecutionId, JobId, ScriptId},
    job::{
        self, Became, By, JobNow, Overlap,
        trigger::{DayOfYear, TimeOfDay, Weekdays},
    },
    page::{Cursor, Page},
};
use automa_sandbox::Destination;
use jiff::Timestamp;
use poem_openapi::Object;
use serde_json::Value;

use super::super::{
    dispatch::{Retry, priority},
    executions::destinations,
    scripts::Limits,
    wire::{OneOf, Text, Word},
};
use crate::problem::{InvalidField, Problem};

/// What makes a job due.
#[derive(Clone, Object)]
struct Trigger {
    /// `once`, with `at`; `interval`, with `every_ms`; `cron`, with `pattern`; or `webhook`.
    #[oai(rename = "type")]
    kind: OneOf<Kind>,
    /// When, once.
    at: Option<Text<Timestamp>>,
    /// The distance of an interval's times: a second to 366 days.
    every_ms: Option<u64>,
    /// A time of the interval, from which all others are counted; when the job was created, unless told.
    start_at: Option<Text<Timestamp>>,
    /// Five fields as in `crontab(5)`, or six with the second first, or `@daily` and the like.
    pattern: Option<String>,
    /// The zone of the pattern by its name in the tz database; `UTC` unless told.
    zone: Option<String>,
    /// Whether calls of the webhook have to be signed.
    signed: Option<bool>,
}

/// What kind of trigger.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Once,
    Interval,
    Cron,
    Webhook,
}

impl Word for Kind {
    const NAME: &'static str = "TriggerType";
    const ALL: &'static [Self] = &[Self::Once, Self::Interval, Self::Cron, Self::Webhook];

    fn word(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Interval => "interval",
            Self::Cron => "cron",
            Self::Webhook => "webhook",
        }
    }
}

/// Rules for the times of a job, whatever its trigger.
#[derive(Clone, Default, Object)]
struct Rules {
    /// By up to how many milliseconds starts are put off, by chance: at most a day.
    jitter_ms: Option<u64>,
    /// Times before this are left out.
    not_before: Option<Text<Timestamp>>,
    /// Times after this are left out.
    not_after: Option<Text<Timestamp>>,
    /// Times within one of these are left out: at most 20.
    blackouts: Option<Vec<Blackout>>,
}

/// Times at which a job does not start: of each week with `days`, of each year from one day to another,
/// or once from one time to another.
#[derive(Clone, Object)]
struct Blackout {
    /// `weekly`, `yearly` or `once`.
    #[oai(rename = "type")]
    kind: OneOf<BlackoutKind>,
    /// Of a week: the days on which it begins, `mon,tue`.
    days: Option<String>,
    /// `22:30` of a week, `12-24` of a year, else a time.
    from: String,
    /// The same. Of a year it is the last day; else it is not within it any more.
    to: String,
    /// The zone by its name in the tz database; `UTC` unless told. Not for `once`.
    zone: Option<String>,
}

/// What kind of blackout.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum BlackoutKind {
    Weekly,
    Yearly,
    Once,
}

impl Word for BlackoutKind {
    const NAME: &'static str = "BlackoutType";
    const ALL: &'static [Self] = &[Self::Weekly, Self::Yearly, Self::Once];

    fn word(self) -> &'static str {
        match self {
            Self::Weekly => "weekly",
            Self::Yearly => "yearly",
            Self::Once => "once",
        }
    }
}

/// Which slots that were missed are made up for: the newest, oldest first.
#[derive(Clone, Object)]
struct CatchUp {
    /// Those no older than this: a minute to 366 days.
    within_ms: u64,
    /// So many at most: 1 to 1,000.
    most: u32,
}

/// The last day, within reason.
const CATCH_UP: CatchUp = CatchUp { within_ms: 24 * 60 * 60 * 1000, most: 100 };

/// A rule for slots that were missed.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Misfire {
    Skip,
    RunOnce,
    CatchUp,
}

impl Word for Misfire {
    const NAME: &'static str = "Misfire";
    const ALL: &'static [Self] = &[Self::Skip, Self::RunOnce, Self::CatchUp];

    fn word(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::RunOnce => "run_once",
            Self::CatchUp => "catch_up",
        }
    }
}

/// A job to be created, or what one is to become.
#[derive(Object)]
pub(super) struct NewJob {
    name: String,
    script_id: Text<ScriptId>,
    /// The script's version; the newest of the time unless told.
    version: Option<u32>,
    /// What it is told.
    parameters: Option<BTreeMap<String, Value>>,
    /// In place of the script's.
    limits: Option<Limits>,
    /// What may be reached over TCP, nothing unless told: as of an execution.
    network: Option<Vec<String>>,
    /// -100 to 100: of what one user has waiting, the highest goes first. The script's unless told.
    priority: Option<i32>,
    /// In place of the script's.
    retry: Option<Retry>,
    trigger: Trigger,
    rules: Option<Rules>,
    /// What becomes of slots that were missed, as nobody was there within a minute of their time: nothing
    /// (`skip`), the newest is run (`run_once`, unless told), or several are (`catch_up`).
    misfire: Option<OneOf<Misfire>>,
    /// With `catch_up`, which are: up to 100 of the last day unless told.
    catch_up: Option<CatchUp>,
    /// What becomes of a slot while a former execution is open: it is skipped (`skip`, unless told),
    /// waits (`queue`), runs beside it (`parallel`), or takes its place (`replace`).
    overlap: Option<OneOf<Overlap>>,
    /// Whether it rests.
    paused: Option<bool>,
    /// When changing: the revision that was read.
    pub(super) revision: Option<u32>,
}

/// A script with parameters and a trigger.
#[derive(Object)]
pub(super) struct Job {
    id: Text<JobId>,
    /// How often it was saved, from 1.
    revision: u32,
    name: String,
    script_id: Text<ScriptId>,
    /// The script's version; none for the newest of the time.
    version: Option<u32>,
    parameters: BTreeMap<String, Value>,
    limits: Limits,
    network: Vec<Text<Destination>>,
    priority: Option<i32>,
    retry: Option<Retry>,
    trigger: Trigger,
    rules: Rules,
    misfire: OneOf<Misfire>,
    catch_up: Option<CatchUp>,
    overlap: OneOf<Overlap>,
    paused: bool,
    /// In whose name it runs.
    owner: String,
    created_at: Text<Timestamp>,
    updated_at: Text<Timestamp>,
    /// The slot that is next.
    next_slot: Option<Text<Timestamp>>,
    /// When it starts: the slot with its jitter.
    next_run_at: Option<Text<Timestamp>>,
    statistics: Statistics,
    /// The address of its webhook. Only in the answer that makes it.
    #[oai(skip_serializing_if_is_none)]
    pub(super) webhook_url: Option<String>,
    /// The secret with which calls are signed. Only in the answer that makes it.
    #[oai(skip_serializing_if_is_none)]
    pub(super) webhook_secret: Option<String>,
}

/// What has come of a job since it was created.
#[derive(Object)]
struct Statistics {
    succeeded: u64,
    failed: u64,
    cancelled: u64,
    /// Slots that were skipped.
    skipped: u64,
    /// Slots that were missed.
    missed: u64,
    /// Of those that succeeded or failed, the part that succeeded: 0 to 1.
    success_rate: Option<f64>,
    /// The last 30 executions that have ended, newest first.
    last: Vec<Run>,
}

/// An execution that has ended.
#[derive(Object)]
struct Run {
    execution_id: Text<ExecutionId>,
    slot: Text<Timestamp>,
    state: OneOf<State>,
    wall_ms: u64,
}

/// Jobs, newest first.
#[derive(Object)]
pub(super) struct JobPage {
    pub(super) items: Vec<Job>,
    /// Where the next page continues; none on the last.
    pub(super) next_cursor: Option<Text<Cursor>>,
}

/// A slot that was decided.
#[derive(Object)]
struct PastSlot {
    slot: Text<Timestamp>,
    decided_at: Text<Timestamp>,
    /// What made it one: the trigger, in time (`trigger`) or made up for (`catch_up`), somebody who ran
    /// it by hand (`person`), or a call of its webhook (`call`).
    by: OneOf<By>,
    /// `started`, `skipped` or `missed`.
    became: String,
    /// What was started; it may have been removed since.
    execution_id: Option<Text<ExecutionId>>,
    /// Why it was skipped.
    reason: Option<String>,
    /// Of slots that were missed one after the other, the last.
    missed_until: Option<Text<Timestamp>>,
    /// How many they are.
    missed_count: Option<u64>,
    /// Whether these are all, and not only as many as are counted.
    missed_is_exact: Option<bool>,
}

/// What became of slots, newest first.
#[derive(Object)]
pub(super) struct SlotPage {
    items: Vec<PastSlot>,
    /// Where the next page continues; none on the last.
    next_cursor: Option<Text<Cursor>>,
}

/// A run to come.
#[derive(Object)]
pub(super) struct Upcoming {
    job_id: Text<JobId>,
    /// The job's name.
    name: String,
    script_id: Text<ScriptId>,
    slot: Text<Timestamp>,
    /// When it starts: the slot with its jitter.
    at: Text<Timestamp>,
}

/// Runs to come, soonest first.
#[derive(Object)]
pub(super) struct UpcomingRuns {
    pub(super) items: Vec<Upcoming>,
}

impl NewJob {
    /// What it asks for; an interval without a beginning goes on from that of the trigger before, else
    /// from now.
    pub(super) fn read(
        self,
        now: impl Fn() -> Timestamp,
        before: Option<&job::Trigger>,
    ) -> Result<job::NewJob, Problem> {
        let signed = self.trigger.signed.unwrap_or(false);
        let trigger = self.trigger.read(now, before)?;
        let misfire = match (self.misfire.map(|it| it.0), self.catch_up) {
            (Some(Misfire::CatchUp), rule) => {
                let CatchUp { within_ms, most } = rule.unwrap_or(CATCH_UP);
                job::Misfire::CatchUp { within_ms, most }
            }
            (_, Some(_)) => {
                let reason = "is for the misfire rule `catch_up`";
                return Err(Problem::invalid_field("catch_up", reason));
            }
            (Some(Misfire::Skip), None) => job::Misfire::Skip,
            (Some(Misfire::RunOnce) | None, None) => job::Misfire::RunOnce,
        };
        Ok(job::NewJob {
            version: self.version,
            parameters: self.parameters.unwrap_or_default().into_iter().collect(),
            limits: self.limits.unwrap_or_default().into(),
            network: destinations(&self.network.unwrap_or_default())?,
            priority: self.priority.map(priority),
            retry: self.retry.map(Into::into),
            rules: self.rules.unwrap_or_default().read()?,
            misfire,
            overlap: self.overlap.map(|it| it.0).unwrap_or_default(),
            paused: self.paused.unwrap_or(false),
            signed,
            ..job::NewJob::new(self.name, self.script_id.0, trigger)
        })
    }
}

impl Trigger {
    fn read(
        self,
        now: impl Fn() -> Timestamp,
        before: Option<&job::Trigger>,
    ) -> Result<job::Trigger, Problem> {
        let missing =
            |field: &'static str| Problem::invalid_field(field, "is required of this type");
        Ok(match self.kind.0 {
            Kind::Once => {
                job::Trigger::Once { at: self.at.ok_or_else(|| missing("trigger.at"))?.0 }
            }
            Kind::Interval => {
                let every_ms = self.every_ms.ok_or_else(|| missing("trigger.every_ms"))?;
                let start_at = match (self.start_at, before) {
                    (Some(Text(start)), _) => start,
                    (None, Some(job::Trigger::Interval { start_at, .. })) => *start_at,
                    (None, _) => now(),
                };
                job::Trigger::Interval { every_ms, start_at }
            }
            Kind::Cron => job::Trigger::Cron {
                pattern: self.pattern.ok_or_else(|| missing("trigger.pattern"))?,
                zone: self.zone.unwrap_or_else(|| "UTC".to_owned()),
            },
            Kind::Webhook => job::Trigger::Webhook,
        })
    }

    fn of(trigger: job::Trigger, signed: Option<bool>) -> Self {
        let empty = Self {
            kind: OneOf(Kind::Webhook),
            at: None,
            every_ms: None,
            start_at: None,
            pattern: None,
            zone: None,
            signed: None,
        };
        match trigger {
            job::Trigger::Once { at } => {
                Self { kind: OneOf(Kind::Once), at: Some(Text(at)), ..empty }
            }
            job::Trigger::Interval { every_ms, start_at } => Self {
                kind: OneOf(Kind::Interval),
                every_ms: Some(every_ms),
                start_at: Some(Text(start_at)),
                ..empty
            },
            job::Trigger::Cron { pattern, zone } => {
                Self { kind: OneOf(Kind::Cron), pattern: Some(pattern), zone: Some(zone), ..empty }
            }
            job::Trigger::Webhook => Self { signed, ..empty },
        }
    }
}

impl Rules {
    fn read(self) -> Result<job::Rules, Problem> {
        let (mut blackouts, mut wrong) = (Vec::new(), Vec::new());
        for (index, blackout) in self.blackouts.unwrap_or_default().into_iter().enumerate() {
            match blackout.read() {
                Ok(blackout) => blackouts.push(blackout),
                Err((part, reason)) => {
                    let field = format!("rules.blackouts/{index}/{part}");
                    wrong.push(InvalidField { field, reason });
                }
            }
        }
        if !wrong.is_empty() {
            return Err(Problem::invalid(wrong));
        }
        Ok(job::Rules {
            jitter_ms: self.jitter_ms.unwrap_or(0),
            not_before: self.not_before.map(|it| it.0),
            not_after: self.not_after.map(|it| it.0),
            blackouts,
        })
    }
}

impl Blackout {
    /// What it says, or which part cannot be read and why.
    fn read(self) -> Result<job::trigger::Blackout, (&'static str, String)> {
        fn part<T: std::str::FromStr<Err: ToString>>(
            name: &'static str,
            text: &str,
        ) -> Result<T, (&'static str, String)> {
            text.parse().map_err(|error: T::Err| (name, error.to_string()))
        }
        let zone = self.zone.unwrap_or_else(|| "UTC".to_owned());
        Ok(match self.kind.0 {
            BlackoutKind::Weekly => job::trigger::Blackout::Weekly {
                days: part::<Weekdays>("days", &self.days.unwrap_or_default())?,
                from: part::<TimeOfDay>("from", &self.from)?,
                to: part::<TimeOfDay>("to", &self.to)?,
                zone,
            },
            BlackoutKind::Yearly => job::trigger::Blackout::Yearly {
                from: part::<DayOfYear>("from", &self.from)?,
                to: part::<DayOfYear>("to", &self.to)?,
                zone,
            },
            BlackoutKind::Once => job::trigger::Blackout::Once {
                from: part::<Timestamp>("from", &self.from)?,
                to: part::<Timestamp>("to", &self.to)?,
            },
        })
    }
}

impl From<job::trigger::Blackout> for Blackout {
    fn from(blackout: job::trigger::Blackout) -> Self {
        let (kind, days, from, to, zone) = match blackout {
            job::trigger::Blackout::Weekly { days, from, to, zone } => (
                BlackoutKind::Weekly,
                Some(days.to_string()),
                from.to_string(),
                to.to_string(),
                Some(zone),
            ),
            job::trigger::Blackout::Yearly { from, to, zone } => {
                (BlackoutKind::Yearly, None, from.to_string(), to.to_string(), Some(zone))
            }
            job::trigger::Blackout::Once { from, to } => {
                (BlackoutKind::Once, None, from.to_string(), to.to_string(), None)
            }
        };
        Self { kind: OneOf(kind), days, from, to, zone }
    }
}

impl From<job::Rules> for Rules {
    fn from(rules: job::Rules) -> Self {
        Self {
            jitter_ms: Some(rules.jitter_ms),
            not_before: rules.not_before.map(Text),
            not_after: rules.not_after.map(Text),
            blackouts: Some(rules.blackouts.into_iter().map(Into::into).collect()),
        }
    }
}

impl From<JobNow> for Job {
    fn from(now: JobNow) -> Self {
        let JobNow { job, next_slot, next_run_at, statistics } = now;
        let signed = job.hook.map(|hook| hook.is_signed());
        let (misfire, catch_up) = match job.misfire {
            job::Misfire::Skip => (Misfire::Skip, None),
            job::Misfire::RunOnce => (Misfire::RunOnce, None),
            job::Misfire::CatchUp { within_ms, most } => {
                (Misfire::CatchUp, Some(CatchUp { within_ms, most }))
            }
        };
        Self {
            id: Text(job.id),
            revision: job.revision,
            name: job.name,
            script_id: Text(job.script),
            version: job.version,
            parameters: job.parameters.into_iter().collect(),
            limits: job.limits.into(),
            network: job.network.into_iter().map(Text).collect(),
            priority: job.priority.map(Into::into),
            retry: job.retry.map(Into::into),
            trigger: Trigger::of(job.trigger, signed),
            rules: job.rules.into(),
            misfire: OneOf(misfire),
            catch_up,
            overlap: OneOf(job.overlap),
            paused: job.paused,
            owner: job.owner_name,
            created_at: Text(job.created_at),
            updated_at: Text(job.updated_at),
            next_slot: next_slot.map(Text),
            next_run_at: next_run_at.map(Text),
            statistics: statistics.into(),
            webhook_url: None,
            webhook_secret: None,
        }
    }
}

impl From<job::Statistics> for Statistics {
    fn from(statistics: job::Statistics) -> Self {
        let success_rate = statistics.success_rate();
        let job::Statistics { succeeded, failed, cancelled, skipped, missed, last } = statistics;
        let last = last.into_iter().map(|run| Run {
            execution_id: Text(run.execution),
            slot: Text(run.slot),
            state: OneOf(run.state),
            wall_ms: run.wall_ms,
        });
        let last = last.collect();
        Self { succeeded, failed, cancelled, skipped, missed, success_rate, last }
    }
}

impl From<job::PastSlot> for PastSlot {
    fn from(past: job::PastSlot) -> Self {
        let empty = Self {
            slot: Text(past.at),
            decided_at: Text(past.decided_at),
            by: OneOf(past.by),
            became: "started".to_owned(),
            execution_id: None,
            reason: None,
            missed_until: None,
            missed_count: None,
            missed_is_exact: None,
        };
        match past.became {
            Became::Started(id) => Self { execution_id: Some(Text(id)), ..empty },
            Became::Skipped(reason) => {
                Self { became: "skipped".to_owned(), reason: Some(reason), ..empty }
            }
            Became::Missed { until, count, exact } => Self {
                became: "missed".to_owned(),
                missed_until: Some(Text(until)),
                missed_count: Some(count),
                missed_is_exact: Some(exact),
                ..empty
            },
        }
    }
}

impl From<Page<job::PastSlot>> for SlotPage {
    fn from(page: Page<job::PastSlot>) -> Self {
        let Page { items, next_cursor } = page.map(PastSlot::from);
        Self { items, next_cursor: next_cursor.map(Text) }
    }
}

impl From<job::Upcoming> for Upcoming {
    fn from(run: job::Upcoming) -> Self {
        Self {
            job_id: Text(run.job),
            name: run.name,
            script_id: Text(run.script),
            slot: Text(run.slot),
            at: Text(run.at),
        }
    }
}
