//! Tables `jobs`: `job id -> job`; `job_schedules`: when each is due next; `job_statistics`: what has
//! come of it; `job_slots`: `(job id, time in µs, number) -> what became of that slot`; and the indexes
//! `jobs_due`: `(when in µs, job id)`, `jobs_by_script`, and `job_hooks`: `(hash of a webhook's token,
//! job id)`.
//!
//! Of a slot that a trigger gives the number is 0, so that there is at most one of each; what was
//! asked for at the same time is numbered from 1.

use jiff::Timestamp;

use super::{
    change::{Change, View},
    migrate::Tables,
    record::Record,
    table::{Index, Table},
};
use crate::{
    error::StoreError,
    execution::{Execution, Slot},
    id::{JobId, ScriptId},
    job::{Became, Job, PastSlot, Run, Schedule, Statistics},
    page::{Page, PageRequest},
};

const JOBS: Table<JobId, Job> = Table::new();
const SCHEDULES: Table<JobId, Schedule> = Table::new();
const STATISTICS: Table<JobId, Statistics> = Table::new();
const SLOTS: Table<(JobId, i64, u32), PastSlot> = Table::new();
const DUE: Index<(i64, JobId)> = Index::new("jobs_due");
const BY_SCRIPT: Index<(ScriptId, JobId)> = Index::new("jobs_by_script");
const HOOKS: Index<([u8; 32], JobId)> = Index::new("job_hooks");

/// How many slots of a job are kept, the newest.
pub(crate) const SLOTS_KEPT: u32 = 1000;
/// How many old ones a new one removes: more than one, so that they become fewer.
const REMOVED: usize = 4;

impl Record for Job {
    const TABLE: &'static str = "jobs";
    const VERSION: u8 = 1;
}

impl Record for Schedule {
    const TABLE: &'static str = "job_schedules";
    const VERSION: u8 = 1;
}

impl Record for Statistics {
    const TABLE: &'static str = "job_statistics";
    const VERSION: u8 = 1;
}

impl Record for PastSlot {
    const TABLE: &'static str = "job_slots";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    JOBS.create(tables)?;
    SCHEDULES.create(tables)?;
    STATISTICS.create(tables)?;
    SLOTS.create(tables)?;
    DUE.create(tables)?;
    BY_SCRIPT.create(tables)?;
    HOOKS.create(tables)
}

pub(crate) fn get(view: &impl View, id: JobId) -> Result<Option<Job>, StoreError> {
    JOBS.get(view, id)
}

/// Writes a job, and what finds it by its script and its webhook.
pub(crate) fn put(change: &mut Change, job: &Job) -> Result<(), StoreError> {
    if let Some(before) = JOBS.get(change, job.id)? {
        BY_SCRIPT.remove(change, (before.script, job.id))?;
        if let Some(hook) = before.hook {
            HOOKS.remove(change, (hook.token, job.id))?;
        }
    }
    BY_SCRIPT.insert(change, (job.script, job.id))?;
    if let Some(hook) = &job.hook {
        HOOKS.insert(change, (hook.token, job.id))?;
    }
    JOBS.put(change, job.id, job)
}

/// Removes a job with all that is kept of it. Its executions stay.
pub(crate) fn remove(change: &mut Change, job: &Job) -> Result<(), StoreError> {
    let id = job.id;
    put_next(change, id, None)?;
    SCHEDULES.remove(change, id)?;
    STATISTICS.remove(change, id)?;
    let slots = SLOTS.oldest(change, (id, i64::MIN, 0)..=(id, i64::MAX, u32::MAX), usize::MAX)?;
    for (key, _) in slots {
        SLOTS.remove(change, key)?;
    }
    BY_SCRIPT.remove(change, (job.script, id))?;
    if let Some(hook) = &job.hook {
        HOOKS.remove(change, (hook.token, id))?;
    }
    JOBS.remove(change, id)?;
    Ok(())
}

/// Jobs, newest first, of one script or all.
pub(crate) fn list(
    view: &impl View,
    script: Option<ScriptId>,
    page: &PageRequest,
) -> Result<Page<Job>, StoreError> {
    let Some(script) = script else { return JOBS.page(view, .., page) };
    let ids = BY_SCRIPT.page(view, (script, JobId::MIN)..=(script, JobId::MAX), page)?;
    let jobs: Result<Vec<_>, _> = ids
        .items
        .into_iter()
        .map(|(_, id)| JOBS.get(view, id))
        .filter_map(Result::transpose)
        .collect();
    Ok(Page { items: jobs?, next_cursor: ids.next_cursor })
}

/// The job that a webhook's token belongs to, by the hash of that.
pub(crate) fn of_hook(view: &impl View, token: [u8; 32]) -> Result<Option<Job>, StoreError> {
    let found = HOOKS.lowest(view, (token, JobId::MIN)..=(token, JobId::MAX), 1)?;
    found.first().map_or(Ok(None), |(_, id)| JOBS.get(view, *id))
}

pub(crate) fn schedule(view: &impl View, id: JobId) -> Result<Schedule, StoreError> {
    Ok(SCHEDULES.get(view, id)?.unwrap_or_default())
}

/// Says when a job is due next.
pub(crate) fn put_next(
    change: &mut Change,
    id: JobId,
    next: Option<crate::job::Next>,
) -> Result<(), StoreError> {
    let before = schedule(change, id)?;
    if let Some(old) = before.next {
        DUE.remove(change, (old.due.as_microsecond(), id))?;
    }
    if let Some(new) = next {
        DUE.insert(change, (new.due.as_microsecond(), id))?;
    }
    SCHEDULES.put(change, id, &Schedule { next, ..before })
}

/// Those that are due at `now`, first the longest due.
pub(crate) fn due(view: &impl View, now: Timestamp, most: usize) -> Result<Vec<JobId>, StoreError> {
    let keys = DUE.lowest(view, ..=(now.as_microsecond(), JobId::MAX), most)?;
    Ok(keys.into_iter().map(|(_, id)| id).collect())
}

/// The next that will be due, soonest first.
pub(crate) fn upcoming(view: &impl View, most: usize) -> Result<Vec<JobId>, StoreError> {
    let keys = DUE.lowest(view, .., most)?;
    Ok(keys.into_iter().map(|(_, id)| id).collect())
}

/// When the next one is due.
pub(crate) fn next_due(view: &impl View) -> Result<Option<Timestamp>, StoreError> {
    let next = DUE.lowest(view, .., 1)?;
    Ok(next.first().and_then(|(at, _)| Timestamp::from_microsecond(*at).ok()))
}

/// Whether it was decided what becomes of a slot of the trigger's.
pub(crate) fn is_decided(view: &impl View, slot: Slot) -> Result<bool, StoreError> {
    Ok(SLOTS.get(view, (slot.job, slot.at.as_microsecond(), 0))?.is_some())
}

/// Keeps what became of a slot, and forgets the oldest where there are too many.
pub(crate) fn put_slot(change: &mut Change, job: JobId, past: &PastSlot) -> Result<(), StoreError> {
    let at = past.at.as_microsecond();
    let all_at = (job, at, 0)..=(job, at, u32::MAX);
    let number = if past.by.is_trigger() {
        0
    } else {
        let last = SLOTS.newest(change, all_at, 1)?;
        last.first().map_or(1, |((_, _, number), _)| number.saturating_add(1))
    };
    let schedule = schedule(change, job)?;
    let mut kept = schedule.kept + 1;
    if kept > SLOTS_KEPT {
        let all = (job, i64::MIN, 0)..=(job, i64::MAX, u32::MAX);
        for (key, _) in SLOTS.oldest(change, all, REMOVED)? {
            SLOTS.remove(change, key)?;
            kept -= 1;
        }
    }
    SCHEDULES.put(change, job, &Schedule { kept, ..schedule })?;
    SLOTS.insert(change, (job, at, number), past)
}

/// Forgets the slot of an execution that is removed.
pub(super) fn forget_slot(change: &mut Change, execution: &Execution) -> Result<(), StoreError> {
    let Some(Slot { job, at }) = execution.job else { return Ok(()) };
    let at = at.as_microsecond();
    let started = Became::Started(execution.id);
    let all_at = SLOTS.oldest(change, (job, at, 0)..=(job, at, u32::MAX), usize::MAX)?;
    let Some((key, _)) = all_at.into_iter().find(|(_, past)| past.became == started) else {
        return Ok(());
    };
    SLOTS.remove(change, key)?;
    let schedule = schedule(change, job)?;
    SCHEDULES.put(change, job, &Schedule { kept: schedule.kept.saturating_sub(1), ..schedule })
}

/// What became of a job's slots, newest first.
pub(crate) fn slots(
    view: &impl View,
    id: JobId,
    page: &PageRequest,
) -> Result<Page<PastSlot>, StoreError> {
    SLOTS.page(view, (id, i64::MIN, 0)..=(id, i64::MAX, u32::MAX), page)
}

pub(crate) fn statistics(view: &impl View, id: JobId) -> Result<Statistics, StoreError> {
    Ok(STATISTICS.get(view, id)?.unwrap_or_default())
}

/// Counts slots that started nothing.
pub(crate) fn count_slots(
    change: &mut Change,
    id: JobId,
    past: &PastSlot,
) -> Result<(), StoreError> {
    let mut statistics = statistics(change, id)?;
    match &past.became {
        Became::Started(_) => return Ok(()),
        Became::Skipped(_) => statistics.skipped += 1,
        Became::Missed { count, .. } => statistics.missed += count,
    }
    STATISTICS.put(change, id, &statistics)
}

/// Counts the end of an execution, if a job started it that is still there.
pub(super) fn note_end(change: &mut Change, execution: &Execution) -> Result<(), StoreError> {
    let Some(Slot { job, at }) = execution.job else { return Ok(()) };
    if JOBS.get(change, job)?.is_none() {
        return Ok(());
    }
    let mut statistics = statistics(change, job)?;
    statistics.add(Run {
        execution: execution.id,
        slot: at,
        state: execution.state,
        wall_ms: execution.ending.as_ref().map_or(0, |ending| ending.wall_ms),
    });
    STATISTICS.put(change, job, &statistics)
}
