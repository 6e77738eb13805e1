//! Tables `executions`: `execution id -> execution`; `execution_work`: what each is to run;
//! `execution_reports`: what its sandbox reported. And what lists and counts read, so that none of
//! them goes through all executions: indexes by state, by script, and by both; and
//! `execution_counts`: `state -> how many`.

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::{
    change::{Change, View},
    record::{self, Record},
    table::{Index, Table},
};
use crate::{
    error::StoreError,
    execution::{Counts, Execution, Filter, Report, State, Work, WorkV1},
    id::{ExecutionId, ScriptId},
    page::{Page, PageRequest},
};

const EXECUTIONS: Table<ExecutionId, Execution> = Table::new();
const WORK: Table<ExecutionId, Work> = Table::new();
const REPORTS: Table<ExecutionId, Report> = Table::new();
const BY_STATE: Index<(u8, ExecutionId)> = Index::new("executions_by_state");
const BY_SCRIPT: Index<(ScriptId, ExecutionId)> = Index::new("executions_by_script");
const BY_SCRIPT_AND_STATE: Index<(ScriptId, u8, ExecutionId)> =
    Index::new("executions_by_script_and_state");
const COUNTS: TableDefinition<'static, u8, u64> = TableDefinition::new("execution_counts");

impl Record for Execution {
    const TABLE: &'static str = "executions";
    const VERSION: u8 = 1;
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

pub(super) fn create(txn: &WriteTransaction) -> Result<(), StoreError> {
    EXECUTIONS.create(txn)?;
    WORK.create(txn)?;
    REPORTS.create(txn)?;
    BY_STATE.create(txn)?;
    BY_SCRIPT.create(txn)?;
    BY_SCRIPT_AND_STATE.create(txn)?;
    txn.open_table(COUNTS)?;
    Ok(())
}

pub(crate) fn get(view: &impl View, id: ExecutionId) -> Result<Option<Execution>, StoreError> {
    EXECUTIONS.get(view, id)
}

/// Writes an execution, its place in each index, and the counts. The script of one never changes.
pub(crate) fn put(change: &mut Change, execution: &Execution) -> Result<(), StoreError> {
    let (id, state) = (execution.id, execution.state.code());
    let before = get(change, id)?.map(|before| before.state.code());
    EXECUTIONS.put(change, id, execution)?;
    if before == Some(state) {
        return Ok(());
    }
    let script = execution.script.map(|(script, _)| script);
    if let Some(before) = before {
        BY_STATE.remove(change, (before, id))?;
        if let Some(script) = script {
            BY_SCRIPT_AND_STATE.remove(change, (script, before, id))?;
        }
        count_one(change, before, |count| count.saturating_sub(1))?;
    } else if let Some(script) = script {
        BY_SCRIPT.insert(change, (script, id))?;
    }
    BY_STATE.insert(change, (state, id))?;
    if let Some(script) = script {
        BY_SCRIPT_AND_STATE.insert(change, (script, state, id))?;
    }
    count_one(change, state, |count| count.saturating_add(1))
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

/// Executions that a filter lets through, newest first.
pub(crate) fn list(
    view: &impl View,
    filter: Filter,
    page: &PageRequest,
) -> Result<Page<Execution>, StoreError> {
    const MIN: ExecutionId = ExecutionId::MIN;
    const MAX: ExecutionId = ExecutionId::MAX;
    let state = filter.state.map(State::code);
    let ids = match (filter.script, state) {
        (None, None) => return EXECUTIONS.page(view, .., page),
        (None, Some(state)) => {
            BY_STATE.page(view, (state, MIN)..=(state, MAX), page)?.map(|(_, id)| id)
        }
        (Some(script), None) => {
            BY_SCRIPT.page(view, (script, MIN)..=(script, MAX), page)?.map(|(_, id)| id)
        }
        (Some(script), Some(state)) => BY_SCRIPT_AND_STATE
            .page(view, (script, state, MIN)..=(script, state, MAX), page)?
            .map(|(_, _, id)| id),
    };
    Ok(Page { items: EXECUTIONS.get_all(view, ids.items)?, next_cursor: ids.next_cursor })
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
pub(crate) fn in_state(view: &impl View, state: State) -> Result<Vec<ExecutionId>, StoreError> {
    let code = state.code();
    let range = (code, ExecutionId::MIN)..=(code, ExecutionId::MAX);
    let keys = BY_STATE.lowest(view, range, usize::MAX)?;
    Ok(keys.into_iter().map(|(_, id)| id).collect())
}

#[cfg(test)]
mod tests;
