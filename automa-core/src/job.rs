//! Jobs: scripts that start by themselves, at times or when somebody calls.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`trigger`] | when a job is due: once, at intervals, by a cron pattern, by a call; pure, without a clock |
//! | `plan` | what is to be done about a slot that is due, also where some were missed; pure as well |
//! | `agenda` | what runs on each day of a calendar |
//! | `preview` | what a trigger would do, before it is saved |
//! | `claim` | the start for a slot: in one change with the move to the next one |
//! | `scheduler` | the task that does so when the time has come |
//! | `history` | what became of slots, and statistics of the ends |
//! | `hook` | the URL of a webhook, and who may call it |
//!
//! Each slot that a trigger gives is decided once: it starts an execution, or is recorded as skipped or
//! missed with the reason, in one change with the move to the next slot. No crash, restart or step of
//! the clock comes between the two:
//!
//! - After a **step back**, no slot comes again: a job goes on with the slot that is next, when the
//!   clock has come there. If that takes too long, because the clock was far ahead, save the job or
//!   resume it: it goes on from the present, without those slots that were decided.
//! - After a **step forward**, and when nothing ran, slots that are more than a minute late were missed:
//!   [`Misfire`] says what becomes of them.
//! - While a job is **paused**, it has no slots: what would have been due is neither made up for nor
//!   recorded.

mod agenda;
mod claim;
mod history;
mod hook;
mod plan;
mod preview;
mod save;
mod scheduler;
pub mod trigger;

use std::{fmt, str::FromStr};

use automa_sandbox::Destination;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    agenda::{AGENDA_DAYS, AGENDA_SLOTS, Agenda, DayOfJob},
    history::{Became, By, PastSlot, Run, Statistics},
    hook::{Call, Hook, Hooks, NewHook, SIGNATURE_WINDOW},
    plan::{LATE_AFTER, MISSED_COUNTED},
    preview::{PREVIEW_MAX, Preview},
    save::{NewJob, Saved},
    trigger::{Rules, Trigger},
};
pub(crate) use self::{
    claim::Claim, history::Schedule, hook::KEY_FILE as HOOK_KEY_FILE, plan::Next,
    scheduler::Scheduler,
};
use crate::{
    Automa, Error, Result,
    actor::{Actor, Permission},
    audit::{Action, Entry},
    credential::Holder,
    event::Event,
    execution::{Execution, LimitsRequest, Parameters, Retry},
    id::{JobId, ScriptId, UserId},
    page::{Page, PageRequest},
    store::{
        self,
        change::{Change, View},
    },
};

/// A script with parameters and a trigger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// How often it was saved, from 1.
    pub revision: u32,
    /// Its name, 1 to 200 characters.
    pub name: String,
    /// What it runs.
    pub script: ScriptId,
    /// In which version; the newest of the time when `None`.
    pub version: Option<u32>,
    /// What it is told.
    #[serde(with = "as_text")]
    pub parameters: Parameters,
    /// How much it may use, over what its script says.
    pub limits: LimitsRequest,
    /// What it may reach.
    pub network: Vec<Destination>,
    /// Of what one user has waiting, the highest goes first; the script's when `None`.
    pub priority: Option<i8>,
    /// Whether what fails is tried again; as the script says when `None`.
    pub retry: Option<Retry>,
    /// What makes it due.
    pub trigger: Trigger,
    /// When not, and how far apart from others.
    pub rules: Rules,
    /// What becomes of slots that were missed.
    pub misfire: Misfire,
    /// What becomes of a slot while a former execution is open.
    pub overlap: Overlap,
    /// Whether it rests.
    pub paused: bool,
    /// Who may call it, if its trigger is a webhook.
    pub hook: Option<Hook>,
    /// In whose name it runs: of who saved it last, unless that was the embedding program.
    pub owner: Option<UserId>,
    /// How they were named then.
    pub owner_name: String,
    /// When it was created.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub created_at: Timestamp,
    /// When it was last saved, paused or resumed.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub updated_at: Timestamp,
}

/// What becomes of slots that were missed: those that could not be started within
/// [`LATE_AFTER`] of their time, because nothing ran or the clock was put forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Misfire {
    /// Nothing: they are recorded as missed.
    Skip,
    /// The newest of them is run; the others are recorded as missed.
    #[default]
    RunOnce,
    /// The newest of them are run, oldest first; the others are recorded as missed.
    CatchUp {
        /// Only those that are no older than this: 1 minute to 366 days.
        within_ms: u64,
        /// So many at most: 1 to 1,000.
        most: u32,
    },
}

/// What becomes of a slot while an execution of the same job waits or runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub enum Overlap {
    /// It is recorded as skipped. Slots that are [caught up](Misfire::CatchUp) wait for each other
    /// instead.
    #[default]
    Skip,
    /// It waits for the end of the former. Where the script says itself how many of it may run at the
    /// same time, it waits for that instead.
    Queue,
    /// It runs beside the former.
    Parallel,
    /// The former is cancelled, and it runs after that.
    Replace,
}

/// There is no such rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no rule for overlaps; there are skip, queue, parallel and replace")]
pub struct UnknownOverlap(String);

impl Overlap {
    /// All rules.
    pub const ALL: [Self; 4] = [Self::Skip, Self::Queue, Self::Parallel, Self::Replace];

    /// The rule's name in the API and in forms.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Queue => "queue",
            Self::Parallel => "parallel",
            Self::Replace => "replace",
        }
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Overlap {
    type Err = UnknownOverlap;

    fn from_str(name: &str) -> Result<Self, UnknownOverlap> {
        let found = Self::ALL.into_iter().find(|rule| rule.name() == name);
        found.ok_or_else(|| UnknownOverlap(name.to_owned()))
    }
}

/// Parameters as the text that a record can have.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de, ser};

    use crate::execution::Parameters;

    pub(super) fn serialize<S: Serializer>(it: &Parameters, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&serde_json::to_string(it).map_err(ser::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Parameters, D::Error> {
        let text = String::deserialize(from)?;
        serde_json::from_str(&text).map_err(de::Error::custom)
    }
}

/// A job as things stand.
#[derive(Debug, Clone, PartialEq)]
pub struct JobNow {
    /// The job.
    pub job: Job,
    /// The slot that is next, if one is.
    pub next_slot: Option<Timestamp>,
    /// When it starts: the slot with its jitter.
    pub next_run_at: Option<Timestamp>,
    /// What has come of it.
    pub statistics: Statistics,
}

/// A run to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upcoming {
    /// The job.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// Its script.
    pub script: ScriptId,
    /// For which slot.
    pub slot: Timestamp,
    /// When it starts.
    pub at: Timestamp,
}

/// Jobs as one actor may use them.
#[derive(Debug, Clone, Copy)]
pub struct Jobs<'a> {
    automa: &'a Automa,
    actor: &'a Actor,
}

impl<'a> Jobs<'a> {
    pub(crate) fn new(automa: &'a Automa, actor: &'a Actor) -> Self {
        Self { automa, actor }
    }

    /// One job.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub fn get(&self, id: JobId) -> Result<JobNow> {
        self.actor.require(Permission::ReadJobs)?;
        self.automa.store.look(|view| now(view, find(view, id)?))
    }

    /// Jobs, newest first, of one script or all.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] and the store's.
    pub async fn list(&self, script: Option<ScriptId>, page: PageRequest) -> Result<Page<JobNow>> {
        self.actor.require(Permission::ReadJobs)?;
        let list = move |view: &_| {
            let Page { items, next_cursor } = store::jobs::list(view, script, &page)?;
            let items = items.into_iter().map(|job| now(view, job)).collect::<Result<_>>()?;
            Ok(Page { items, next_cursor })
        };
        self.automa.store.read(list).await
    }

    /// What became of a job's slots, newest first: of the newest thousand.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn slots(&self, id: JobId, page: PageRequest) -> Result<Page<PastSlot>> {
        self.actor.require(Permission::ReadJobs)?;
        let list = move |view: &_| {
            find(view, id)?;
            Ok(store::jobs::slots(view, id, &page)?)
        };
        self.automa.store.read(list).await
    }

    /// What runs next over all jobs, soonest first: at most `limit`, which is 1,000 at most, before
    /// `until`. It says nothing of executions that wait already.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] and the store's.
    pub async fn upcoming(&self, until: Timestamp, limit: usize) -> Result<Vec<Upcoming>> {
        self.actor.require(Permission::ReadJobs)?;
        self.automa.store.read(move |view: &_| plan::upcoming(view, until, limit.min(1000))).await
    }

    /// The next slots of a job, with jitter: at most `count`, which is 100 at most.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn next(&self, id: JobId, count: usize) -> Result<Vec<Upcoming>> {
        self.actor.require(Permission::ReadJobs)?;
        let list = move |view: &_| {
            let job = find(view, id)?;
            let next = store::jobs::schedule(view, id)?.next;
            Ok(plan::following(&job, next)?.take(count.min(100)).collect())
        };
        self.automa.store.read(list).await
    }

    /// Runs a job now, whatever its trigger, also while it is paused; its rule for overlaps holds.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`]; [`Error::Overlaps`] if its rule is to skip and a
    /// former execution is open; and as
    /// [`Executions::submit`](crate::execution::Executions::submit).
    pub async fn run(&self, id: JobId) -> Result<Execution> {
        self.actor.require(Permission::WriteJobs)?;
        let job = self.automa.store.look(|view| find(view, id))?;
        let claim = Claim::asked(&job, By::Person, self.automa.clock.now());
        let new = claim::execution(&job, job.parameters.clone());
        self.automa.executions(self.actor).submit_for(new, claim).await
    }

    /// Lets a job rest: it has no slots until it is [resumed](Self::resume). What runs runs on.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn pause(&self, id: JobId) -> Result<JobNow> {
        self.set_paused(id, true).await
    }

    /// Lets a job go on from now: what was due meanwhile is not made up for.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn resume(&self, id: JobId) -> Result<JobNow> {
        self.set_paused(id, false).await
    }

    async fn set_paused(&self, id: JobId, paused: bool) -> Result<JobNow> {
        self.actor.require(Permission::WriteJobs)?;
        let clock = &*self.automa.clock;
        let at = clock.now();
        let action = if paused { Action::JobPaused(id) } else { Action::JobResumed(id) };
        let entry = Entry::new(clock, self.actor, action);
        let change = move |change: &mut Change| {
            let mut job = find(change, id)?;
            // Paused again it stays so; resumed again, it begins anew from the present.
            if !(job.paused && paused) {
                (job.paused, job.updated_at) = (paused, at);
                let next = match store::jobs::schedule(change, id)?.next {
                    _ if paused => None,
                    // What is due at this moment is not forgotten.
                    Some(due) if due.due <= at => Some(due),
                    _ => plan::first(&job, at)?,
                };
                store::jobs::put(change, &job)?;
                store::jobs::put_next(change, id, next)?;
                store::audit::add(change, &entry)?;
                change.emit(Event::JobChanged(id));
            }
            now(change, job)
        };
        let changed = self.automa.store.write(change).await?;
        self.automa.schedule_changed();
        Ok(changed)
    }

    /// Deletes a job with its history. Its executions stay, and what runs runs on.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn delete(&self, id: JobId) -> Result<()> {
        self.actor.require(Permission::WriteJobs)?;
        let entry = Entry::new(&*self.automa.clock, self.actor, Action::JobDeleted(id));
        let change = move |change: &mut Change| {
            let job = find(change, id)?;
            store::jobs::remove(change, &job)?;
            store::bindings::remove_of(change, Holder::Job(id))?;
            store::audit::add(change, &entry)?;
            change.emit(Event::JobChanged(id));
            Ok(())
        };
        self.automa.store.write(change).await
    }
}

/// A job as things stand.
fn now(view: &impl View, job: Job) -> Result<JobNow> {
    let next = store::jobs::schedule(view, job.id)?.next;
    let statistics = store::jobs::statistics(view, job.id)?;
    let (next_slot, next_run_at) = (next.map(|it| it.slot), next.map(|it| it.due));
    Ok(JobNow { job, next_slot, next_run_at, statistics })
}

pub(crate) fn find(view: &impl View, id: JobId) -> Result<Job> {
    store::jobs::get(view, id)?.ok_or_else(|| not_found(id))
}

fn not_found(id: JobId) -> Error {
    Error::NotFound { kind: "job", id: id.to_string() }
}

#[cfg(test)]
mod tests;
