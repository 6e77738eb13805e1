//! Tables of the logs that executions left: `execution_logs`: `execution -> size and script`, which
//! has those whose file is there; `execution_logs_by_script`; `execution_logs_use`: `script -> (files,
//! bytes)`, where code that was not saved has the lowest script id; `execution_logs_removed`: what is
//! gone; and `execution_files_leaving`: executions of which files may be left that belong to nothing.

use jiff::Timestamp;
use redb::{ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use super::{
    change::{Change, View},
    migrate::Tables,
    record::Record,
    table::{Index, Table},
};
use crate::{
    error::StoreError,
    id::{ExecutionId, ScriptId},
};

const LOGS: Table<ExecutionId, LogFile> = Table::new();
const REMOVED: Table<ExecutionId, Removed> = Table::new();
const BY_SCRIPT: Index<(ScriptId, ExecutionId)> = Index::new("execution_logs_by_script");
const LEAVING: Index<ExecutionId> = Index::new("execution_files_leaving");
const USE: TableDefinition<'static, ScriptId, (u64, u64)> =
    TableDefinition::new("execution_logs_use");

/// A log that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogFile {
    /// What its files take.
    pub(crate) bytes: u64,
    /// Of which script it is, unless of code that was not saved.
    pub(crate) script: Option<ScriptId>,
}

/// A log that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Removed {
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub(crate) at: Timestamp,
}

/// How much the logs of a script take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Use {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl Record for LogFile {
    const TABLE: &'static str = "execution_logs";
    const VERSION: u8 = 1;
}

impl Record for Removed {
    const TABLE: &'static str = "execution_logs_removed";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    LOGS.create(tables)?;
    REMOVED.create(tables)?;
    BY_SCRIPT.create(tables)?;
    LEAVING.create(tables)?;
    tables.create(USE)
}

/// Notes that an execution has left a log, or how large that is now.
pub(crate) fn put(change: &mut Change, id: ExecutionId, log: LogFile) -> Result<(), StoreError> {
    take(change, id)?;
    LOGS.put(change, id, &log)?;
    BY_SCRIPT.insert(change, (key(log.script), id))?;
    account(change, log.script, |of| Use { files: of.files + 1, bytes: of.bytes + log.bytes })
}

pub(crate) fn get(view: &impl View, id: ExecutionId) -> Result<Option<LogFile>, StoreError> {
    LOGS.get(view, id)
}

/// Notes how large a log is now. If it was removed meanwhile, a file may be left.
pub(crate) fn resize(change: &mut Change, id: ExecutionId, bytes: u64) -> Result<(), StoreError> {
    match get(change, id)? {
        Some(log) => put(change, id, LogFile { bytes, ..log }),
        None => LEAVING.insert(change, id),
    }
}

/// Notes that a log is gone; its file may be left. Tells how large it was.
pub(crate) fn remove(
    change: &mut Change,
    id: ExecutionId,
    at: Timestamp,
) -> Result<u64, StoreError> {
    let Some(log) = take(change, id)? else { return Ok(0) };
    REMOVED.put(change, id, &Removed { at })?;
    LEAVING.insert(change, id)?;
    Ok(log.bytes)
}

/// Forgets the log of an execution that is forgotten; its file may be left. Tells how large it was,
/// if there was one.
pub(crate) fn forget(change: &mut Change, id: ExecutionId) -> Result<Option<u64>, StoreError> {
    let log = take(change, id)?;
    REMOVED.remove(change, id)?;
    LEAVING.insert(change, id)?;
    Ok(log.map(|log| log.bytes))
}

/// When a log was removed.
pub(crate) fn removed(view: &impl View, id: ExecutionId) -> Result<Option<Timestamp>, StoreError> {
    Ok(REMOVED.get(view, id)?.map(|removed| removed.at))
}

/// The oldest logs of executions after `after`, in the order in which those were accepted.
pub(crate) fn oldest(
    view: &impl View,
    after: ExecutionId,
    limit: usize,
) -> Result<Vec<(ExecutionId, LogFile)>, StoreError> {
    let range = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
    LOGS.oldest(view, range, limit)
}

/// The oldest logs of one script.
pub(crate) fn oldest_of(
    view: &impl View,
    script: ScriptId,
    after: ExecutionId,
    limit: usize,
) -> Result<Vec<ExecutionId>, StoreError> {
    let range = (
        std::ops::Bound::Excluded((script, after)),
        std::ops::Bound::Included((script, ExecutionId::MAX)),
    );
    Ok(BY_SCRIPT.lowest(view, range, limit)?.into_iter().map(|(_, id)| id).collect())
}

/// How much the logs of each script take; `None` is code that was not saved.
pub(crate) fn uses(view: &impl View) -> Result<Vec<(Option<ScriptId>, Use)>, StoreError> {
    let table = view.open(USE)?;
    let read = |row: (redb::AccessGuard<'_, ScriptId>, redb::AccessGuard<'_, (u64, u64)>)| {
        let (script, (files, bytes)) = (row.0.value(), row.1.value());
        (Some(script).filter(|script| *script != ScriptId::MIN), Use { files, bytes })
    };
    table.iter()?.map(|row| Ok(read(row?))).collect()
}

/// How much the logs of one script take.
pub(crate) fn use_of(view: &impl View, script: ScriptId) -> Result<Use, StoreError> {
    let table = view.open(USE)?;
    let found = table.get(script)?.map(|row| row.value());
    Ok(found.map_or_else(Use::default, |(files, bytes)| Use { files, bytes }))
}

/// Executions of which files may be left.
pub(crate) fn leaving(view: &impl View, limit: usize) -> Result<Vec<ExecutionId>, StoreError> {
    LEAVING.lowest(view, .., limit)
}

/// Notes that no files of an execution are left.
pub(crate) fn left(change: &mut Change, id: ExecutionId) -> Result<(), StoreError> {
    LEAVING.remove(change, id)
}

/// Takes a log out of all but what is removed.
fn take(change: &mut Change, id: ExecutionId) -> Result<Option<LogFile>, StoreError> {
    let Some(log) = get(change, id)? else { return Ok(None) };
    LOGS.remove(change, id)?;
    BY_SCRIPT.remove(change, (key(log.script), id))?;
    account(change, log.script, |of| Use {
        files: of.files.saturating_sub(1),
        bytes: of.bytes.saturating_sub(log.bytes),
    })?;
    Ok(Some(log))
}

fn account(
    change: &mut Change,
    script: Option<ScriptId>,
    next: impl FnOnce(Use) -> Use,
) -> Result<(), StoreError> {
    let script = key(script);
    let Use { files, bytes } = next(use_of(change, script)?);
    let mut table = change.open_mut(USE)?;
    if files == 0 {
        table.remove(script)?;
    } else {
        table.insert(script, (files, bytes))?;
    }
    Ok(())
}

fn key(script: Option<ScriptId>) -> ScriptId {
    script.unwrap_or(ScriptId::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::golden::assert_bytes;

    /// If this fails, the stored format has changed: add a version, do not change the bytes.
    #[test]
    fn stored_bytes_stay_as_they_are() {
        let script = Some("018f0000-0000-7000-8000-000000000001".parse().unwrap());
        let log = LogFile { bytes: 300, script };
        assert_bytes(&log, "01ac0201018f0000000070008000000000000001");
        assert_bytes(&LogFile { bytes: 0, script: None }, "010000");
        let removed = Removed { at: "2026-01-01T00:00:00Z".parse().unwrap() };
        assert_bytes(&removed, "0180a0d5edee66");
    }
}
