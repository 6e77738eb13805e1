//! Table `execution_results`: `execution id -> what its script has left as its result`.

use super::{
    change::{Change, View},
    migrate::Tables,
    record::Record,
    table::Table,
};
use crate::{error::StoreError, execution::StoredResult, id::ExecutionId};

const RESULTS: Table<ExecutionId, StoredResult> = Table::new();

impl Record for StoredResult {
    const TABLE: &'static str = "execution_results";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    RESULTS.create(tables)
}

pub(crate) fn get(view: &impl View, id: ExecutionId) -> Result<Option<StoredResult>, StoreError> {
    RESULTS.get(view, id)
}

/// Writes the result of an execution's last attempt, in place of that of the one before.
pub(crate) fn put(
    change: &mut Change,
    id: ExecutionId,
    result: Option<&StoredResult>,
) -> Result<(), StoreError> {
    match result {
        Some(result) => RESULTS.put(change, id, result),
        None => RESULTS.remove(change, id).map(drop),
    }
}
