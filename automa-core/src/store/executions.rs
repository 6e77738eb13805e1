//! Tables `executions`: `execution id -> execution`; `execution_work`: what each is to run;
//! `execution_reports`: what its sandbox reported; `execution_retries`: when those are tried again
//! that may be; `execution_attempts`: `(execution id, number) -> attempt`, those that were followed
//! by another. And what lists and counts read, so that none of them goes through all executions:
//! indexes by state, by script, by both, by who asked, by duration, by job and by agent (`find`);
//! `executions_open_by_key` and `executions_open_by_job`: those that wait or run; and
//! `execution_counts`: `state -> how many`.

mod find;

use std::{collections::BTreeSet, ops::Bound};

use jiff::Timestamp;
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use sha2::{Digest, Sha256};

use super::{
    bindings,
    change::{Change, Snapshot, View},
    jobs,
    migrate::Tables,
    record::{self, Record},
    table::{Index, Table},
};
use crate::{
    error::StoreError,
    execution::{
        Attempt, Count, Counts, Execution, ExecutionV1, ExecutionV2, Filter, Report, Retry, State,
        Work, WorkV1,
    },
    id::{AgentId, ExecutionId, JobId, ScriptId},
    page::{Page, PageRequest},
};

const EXECUTIONS: Table<ExecutionId, Execution> = Table::new();
const WORK: Table<ExecutionId, Work> = Table::new();
const REPORTS: Table<ExecutionId, Report> = Table::new();
const RETRIES: Table<ExecutionId, Retry> = Table::new();
const ATTEMPTS: Table<(ExecutionId, u32), Attempt> = Table::new();
const BY_STATE: Index<(u8, ExecutionId)> = Index::new("executions_by_state");
const BY_SCRIPT: Index<(ScriptId, ExecutionId)> = Index::new("executions_by_script");
const BY_SCRIPT_AND_STATE: Index<(ScriptId, u8, ExecutionId)> =
    Index::new("executions_by_script_and_state");
/// By a hash of the name, which has no fixed width.
const BY_REQUESTER: Index<(Requester, ExecutionId)> = Index::new("executions_by_requester");
/// Only of those that took a second or more, by the class of their duration.
const BY_DURATION: Index<(u8, ExecutionId)> = Index::new("executions_by_duration");
const BY_JOB: Index<(JobId, ExecutionId)> = Index::new("executions_by_job");
const BY_AGENT: Index<(AgentId, ExecutionId)> = Index::new("executions_by_agent");
const OPEN_BY_JOB: Index<(JobId, ExecutionId)> = Index::new("executions_open_by_job");
const OPEN_BY_KEY: Index<([u8; 16], ExecutionId)> = Index::new("executions_open_by_key");
const COUNTS: TableDefinition<'static, u8, u64> = TableDefinition::new("execution_counts");

impl Record for Execution {
    const TABLE: &'static str = "executions";
    const VERSION: u8 = 3;

    fn upgrade(version: u8, body: &[u8]) -> Result<Self, StoreError> {
        match version {
            1 => Ok(record::read::<ExecutionV1>(Self::TABLE, version, body)?.into()),
            2 => Ok(record::read::<ExecutionV2>(Self::TABLE, version, body)?.into()),
            version => Err(StoreError::UnknownVersion { table: Self::TABLE, version }),
        }
    }
}

impl Record for Work {
    const TABLE: &'static str = "execution_work";
    const VERSION: u8 = 2;

    fn upgrade(version: u8, body: &[u8]) -> Result<Self, StoreError> {
        match version {
            1 => Ok(record::read::<WorkV1>(Self::TABLE, version, body)?.into()),
            version => Err(StoreError::UnknownVersion { table: Self::TABLE, version }),
        }
    }
}

impl Record for Report {
    const TABLE: &'static str = "execution_reports";
    const VERSION: u8 = 1;
}

impl Record for Retry {
    const TABLE: &'static str = "execution_retries";
    const VERSION: u8 = 1;
}

impl Record for Attempt {
    const TABLE: &'static str = "execution_attempts";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    EXECUTIONS.create(tables)?;
    WORK.create(tables)?;
    REPORTS.create(tables)?;
    RETRIES.create(tables)?;
    ATTEMPTS.create(tables)?;
    OPEN_BY_KEY.create(tables)?;
    BY_STATE.create(tables)?;
    BY_SCRIPT.create(tables)?;
    BY_SCRIPT_AND_STATE.create(tables)?;
    BY_REQUESTER.create(tables)?;
    BY_DURATION.create(tables)?;
    BY_JOB.create(tables)?;
    BY_AGENT.create(tables)?;
    OPEN_BY_JOB.create(tables)?;
    tables.create(COUNTS)
}

/// From format 1 to 2: finds executions by who asked and by duration.
pub(super) fn add_requesters_and_durations(txn: &WriteTransaction) -> Result<(), StoreError> {
    let mut by_requester = BY_REQUESTER.open_in(txn)?;
    let mut by_duration = BY_DURATION.open_in(txn)?;
    EXECUTIONS.for_each(txn, |id, execution| {
        let places = Places::of(&execution);
        by_requester.insert((places.requester, id), ())?;
        if let Some(class) = places.duration {
            by_duration.insert((class, id), ())?;
        }
        Ok(())
    })
}

pub(crate) fn get(view: &impl View, id: ExecutionId) -> Result<Option<Execution>, StoreError> {
    EXECUTIONS.get(view, id)
}

/// Writes an execution, its place in each index, and the counts; its end also in its job's.
pub(crate) fn put(change: &mut Change, execution: &Execution) -> Result<(), StoreError> {
    let id = execution.id;
    let before = get(change, id)?;
    if before.as_ref().is_none_or(|before| before.state.is_open()) && !execution.state.is_open() {
        jobs::note_end(change, execution)?;
    }
    let before = before.map(|before| Places::of(&before));
    EXECUTIONS.put(change, id, execution)?;
    let now = Places::of(execution);
    if before.as_ref() == Some(&now) {
        return Ok(());
    }
    if let Some(before) = before {
        before.leave(change, id)?;
    }
    now.take(change, id)
}

/// 16 bytes of a name's SHA-256: enough that no two names meet.
type Requester = [u8; 16];

fn requester(name: &str) -> Requester {
    let hash: [u8; 32] = Sha256::digest(name).into();
    std::array::from_fn(|place| hash[place])
}

/// The highest class of durations: 12 days and more.
const LONGEST: u8 = 20;

/// The class of a duration: 0 from 1 s, 1 from 2 s, 2 from 4 s …; none below.
fn duration_class(wall_ms: u64) -> Option<u8> {
    let seconds = (wall_ms / 1000).checked_ilog2()?;
    Some(u8::try_from(seconds).map_or(LONGEST, |class| class.min(LONGEST)))
}

/// Where an execution is in the indexes.
#[derive(PartialEq, Eq)]
struct Places {
    state: u8,
    script: Option<ScriptId>,
    requester: Requester,
    duration: Option<u8>,
    job: Option<JobId>,
    agent: Option<AgentId>,
    /// Its job, as long as it is open.
    open_job: Option<JobId>,
    /// Its concurrency key, as long as it counts among those of it.
    open_key: Option<[u8; 16]>,
}

impl Places {
    fn of(execution: &Execution) -> Self {
        let place = execution.dispatch.concurrency.filter(|_| execution.state.is_open());
        Self {
            state: execution.state.code(),
            script: execution.script.map(|(script, _)| script),
            requester: requester(&execution.requested_by),
            duration: execution.ending.as_ref().and_then(|it| duration_class(it.wall_ms)),
            job: execution.job.map(|slot| slot.job),
            agent: execution.agent,
            open_job: execution.job.filter(|_| execution.state.is_open()).map(|slot| slot.job),
            open_key: place.map(|place| place.key),
        }
    }

    fn take(&self, change: &mut Change, id: ExecutionId) -> Result<(), StoreError> {
        BY_STATE.insert(change, (self.state, id))?;
        if let Some(script) = self.script {
            BY_SCRIPT.insert(change, (script, id))?;
            BY_SCRIPT_AND_STATE.insert(change, (script, self.state, id))?;
        }
        BY_REQUESTER.insert(change, (self.requester, id))?;
        if let Some(class) = self.duration {
            BY_DURATION.insert(change, (class, id))?;
        }
        if let Some(job) = self.job {
            BY_JOB.insert(change, (job, id))?;
        }
        if let Some(agent) = self.agent {
            BY_AGENT.insert(change, (agent, id))?;
        }
        if let Some(job) = self.open_job {
            OPEN_BY_JOB.insert(change, (job, id))?;
        }
        if let Some(key) = self.open_key {
            OPEN_BY_KEY.insert(change, (key, id))?;
        }
        count_one(change, self.state, |count| count.saturating_add(1))
    }

    fn leave(&self, change: &mut Change, id: ExecutionId) -> Result<(), StoreError> {
        BY_STATE.remove(change, (self.state, id))?;
        if let Some(script) = self.script {
            BY_SCRIPT.remove(change, (script, id))?;
            BY_SCRIPT_AND_STATE.remove(change, (script, self.state, id))?;
        }
        BY_REQUESTER.remove(change, (self.requester, id))?;
        if let Some(class) = self.duration {
            BY_DURATION.remove(change, (class, id))?;
        }
        if let Some(job) = self.job {
            BY_JOB.remove(change, (job, id))?;
        }
        if let Some(agent) = self.agent {
            BY_AGENT.remove(change, (agent, id))?;
        }
        if let Some(job) = self.open_job {
            OPEN_BY_JOB.remove(change, (job, id))?;
        }
        if let Some(key) = self.open_key {
            OPEN_BY_KEY.remove(change, (key, id))?;
        }
        count_one(change, self.state, |count| count.saturating_sub(1))
    }
}

/// Removes an execution that has ended, and everything that is kept under its id here.
pub(crate) fn remove(change: &mut Change, execution: &Execution) -> Result<(), StoreError> {
    let id = execution.id;
    if !EXECUTIONS.remove(change, id)? {
        return Ok(());
    }
    Places::of(execution).leave(change, id)?;
    jobs::forget_slot(change, execution)?;
    WORK.remove(change, id)?;
    REPORTS.remove(change, id)?;
    bindings::forget_given(change, id)?;
    RETRIES.remove(change, id)?;
    for attempt in 1..=execution.attempt {
        ATTEMPTS.remove(change, (id, attempt))?;
    }
    Ok(())
}

/// The oldest between two ids, without either, of one script or of all.
pub(crate) fn oldest(
    view: &impl View,
    script: Option<ScriptId>,
    (after, end): (ExecutionId, ExecutionId),
    limit: usize,
) -> Result<Vec<Execution>, StoreError> {
    let Some(script) = script else {
        let range = (Bound::Excluded(after), Bound::Excluded(end));
        let found = EXECUTIONS.oldest(view, range, limit)?;
        return Ok(found.into_iter().map(|(_, execution)| execution).collect());
    };
    let range = (Bound::Excluded((script, after)), Bound::Excluded((script, end)));
    let keys = BY_SCRIPT.lowest(view, range, limit)?;
    let found = keys.into_iter().map(|(_, id)| EXECUTIONS.get(view, id));
    found.filter_map(Result::transpose).collect()
}

/// The versions of a script that executions refer to.
pub(crate) fn versions_of(view: &impl View, script: ScriptId) -> Result<BTreeSet<u32>, StoreError> {
    const BATCH: usize = 1000;
    let (mut numbers, mut after) = (BTreeSet::new(), ExecutionId::MIN);
    loop {
        let found = oldest(view, Some(script), (after, ExecutionId::MAX), BATCH)?;
        numbers.extend(found.iter().filter_map(|it| it.script).map(|(_, number)| number));
        match found.last() {
            Some(last) if found.len() == BATCH => after = last.id,
            _ => return Ok(numbers),
        }
    }
}

fn count_one(
    change: &mut Change,
    state: u8,
    next: impl FnOnce(u64) -> u64,
) -> Result<(), StoreError> {
    let mut counts = change.open_mut(COUNTS)?;
    let count = counts.get(state)?.map_or(0, |count| count.value());
    counts.insert(state, next(count))?;
    Ok(())
}

pub(crate) fn work(view: &impl View, id: ExecutionId) -> Result<Option<Work>, StoreError> {
    WORK.get(view, id)
}

pub(crate) fn put_work(
    change: &mut Change,
    id: ExecutionId,
    work: &Work,
) -> Result<(), StoreError> {
    WORK.put(change, id, work)
}

pub(crate) fn report(view: &impl View, id: ExecutionId) -> Result<Option<Report>, StoreError> {
    REPORTS.get(view, id)
}

pub(crate) fn put_report(
    change: &mut Change,
    id: ExecutionId,
    report: &Report,
) -> Result<(), StoreError> {
    REPORTS.put(change, id, report)
}

pub(crate) fn retry(view: &impl View, id: ExecutionId) -> Result<Option<Retry>, StoreError> {
    RETRIES.get(view, id)
}

pub(crate) fn put_retry(
    change: &mut Change,
    id: ExecutionId,
    retry: &Retry,
) -> Result<(), StoreError> {
    RETRIES.put(change, id, retry)
}

/// The attempts of an execution that were followed by another, first to last.
pub(crate) fn attempts(view: &impl View, id: ExecutionId) -> Result<Vec<Attempt>, StoreError> {
    let rows = ATTEMPTS.oldest(view, (id, 0)..=(id, u32::MAX), usize::MAX)?;
    Ok(rows.into_iter().map(|(_, attempt)| attempt).collect())
}

pub(crate) fn put_attempt(
    change: &mut Change,
    id: ExecutionId,
    attempt: &Attempt,
) -> Result<(), StoreError> {
    ATTEMPTS.put(change, (id, attempt.number), attempt)
}

/// Those of a concurrency key that wait or run, oldest first.
pub(crate) fn open_of_key(view: &impl View, key: [u8; 16]) -> Result<Vec<ExecutionId>, StoreError> {
    let range = (key, ExecutionId::MIN)..=(key, ExecutionId::MAX);
    let keys = OPEN_BY_KEY.lowest(view, range, usize::MAX)?;
    Ok(keys.into_iter().map(|(_, id)| id).collect())
}

/// Those of a job that wait or run, oldest first.
pub(crate) fn open_of_job(
    view: &impl View,
    job: JobId,
    most: usize,
) -> Result<Vec<ExecutionId>, StoreError> {
    let keys = OPEN_BY_JOB.lowest(view, (job, ExecutionId::MIN)..=(job, ExecutionId::MAX), most)?;
    Ok(keys.into_iter().map(|(_, id)| id).collect())
}

/// Executions that a filter lets through, newest first.
pub(crate) fn list(
    view: &Snapshot,
    filter: &Filter,
    now: Timestamp,
    page: &PageRequest,
) -> Result<Page<Execution>, StoreError> {
    if *filter == Filter::default() {
        return EXECUTIONS.page(view, .., page);
    }
    find::Search::new(view, filter, now)?.page(page)
}

/// How many a filter lets through, up to [`find::COUNTED`].
pub(crate) fn count(view: &Snapshot, filter: &Filter, now: Timestamp) -> Result<Count, StoreError> {
    find::Search::new(view, filter, now)?.count()
}

/// How many there are in each state.
pub(crate) fn counts(view: &impl View) -> Result<Counts, StoreError> {
    let table = view.open(COUNTS)?;
    let mut counts = Counts::default();
    for state in State::ALL {
        counts.set(state, table.get(state.code())?.map_or(0, |count| count.value()));
    }
    Ok(counts)
}

/// Those in one state, oldest first.
pub(crate) fn in_state(view: &impl View, state: State) -> Result<Vec<Execution>, StoreError> {
    let code = state.code();
    let range = (code, ExecutionId::MIN)..=(code, ExecutionId::MAX);
    let keys = BY_STATE.lowest(view, range, usize::MAX)?;
    let found = keys.into_iter().map(|(_, id)| EXECUTIONS.get(view, id).transpose());
    found.flatten().collect()
}

#[cfg(test)]
mod tests;
