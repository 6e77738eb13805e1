//! Tables `executions`: `execution id -> execution`; `execution_work`: what each is to run;
//! `execution_reports`: what its sandbox reported; and the index `executions_open` of those that
//! have not ended, so that a start reads no more than these.

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::{
    change::{Change, View},
    record::Record,
    table::Table,
};
use crate::{
    error::StoreError,
    execution::{Execution, Report, Work},
    id::ExecutionId,
    page::{Page, PageRequest},
};

const EXECUTIONS: Table<ExecutionId, Execution> = Table::new();
const WORK: Table<ExecutionId, Work> = Table::new();
const REPORTS: Table<ExecutionId, Report> = Table::new();
const OPEN: TableDefinition<'static, ExecutionId, ()> = TableDefinition::new("executions_open");

impl Record for Execution {
    const TABLE: &'static str = "executions";
    const VERSION: u8 = 1;
}

impl Record for Work {
    const TABLE: &'static str = "execution_work";
    const VERSION: u8 = 1;
}

impl Record for Report {
    const TABLE: &'static str = "execution_reports";
    const VERSION: u8 = 1;
}

pub(super) fn create(txn: &WriteTransaction) -> Result<(), StoreError> {
    EXECUTIONS.create(txn)?;
    WORK.create(txn)?;
    REPORTS.create(txn)?;
    txn.open_table(OPEN)?;
    Ok(())
}

pub(crate) fn get(view: &impl View, id: ExecutionId) -> Result<Option<Execution>, StoreError> {
    EXECUTIONS.get(view, id)
}

/// Writes an execution, and whether it is open into the index.
pub(crate) fn put(change: &mut Change, execution: &Execution) -> Result<(), StoreError> {
    EXECUTIONS.put(change, execution.id, execution)?;
    let mut open = change.open_mut(OPEN)?;
    if execution.state.is_open() {
        open.insert(execution.id, ())?;
    } else {
        open.remove(execution.id)?;
    }
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

/// Executions, newest first.
pub(crate) fn list(view: &impl View, page: &PageRequest) -> Result<Page<Execution>, StoreError> {
    EXECUTIONS.page(view, .., page)
}

/// Those that have not ended, oldest first.
pub(crate) fn open(view: &impl View) -> Result<Vec<ExecutionId>, StoreError> {
    let table = view.open(OPEN)?;
    let ids = table.iter()?.map(|row| Ok(row?.0.value()));
    ids.collect()
}
