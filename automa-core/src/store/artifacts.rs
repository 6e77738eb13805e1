//! Tables `artifacts`: `(execution id, number) -> a file that its script has left`; and
//! `execution_artifacts`: `execution id -> how many, and what was left out`, where there are any.

use super::{
    change::{Change, View},
    migrate::Tables,
    record::Record,
    table::Table,
};
use crate::{
    error::StoreError,
    execution::{Artifact, Kept},
    id::ExecutionId,
};

const ARTIFACTS: Table<(ExecutionId, u32), Artifact> = Table::new();
const KEPT: Table<ExecutionId, Kept> = Table::new();

impl Record for Artifact {
    const TABLE: &'static str = "artifacts";
    const VERSION: u8 = 1;
}

impl Record for Kept {
    const TABLE: &'static str = "execution_artifacts";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    ARTIFACTS.create(tables)?;
    KEPT.create(tables)
}

pub(crate) fn kept(view: &impl View, id: ExecutionId) -> Result<Option<Kept>, StoreError> {
    KEPT.get(view, id)
}

pub(crate) fn get(
    view: &impl View,
    id: ExecutionId,
    number: u32,
) -> Result<Option<Artifact>, StoreError> {
    ARTIFACTS.get(view, (id, number))
}

/// Those of one execution, in the order of their numbers.
pub(crate) fn list(view: &impl View, id: ExecutionId) -> Result<Vec<Artifact>, StoreError> {
    let all = ARTIFACTS.oldest(view, (id, 0)..=(id, u32::MAX), usize::MAX)?;
    Ok(all.into_iter().map(|(_, artifact)| artifact).collect())
}

/// Writes what the last attempt of an execution has left, in place of what those before have.
/// Returns what it takes the place of.
pub(crate) fn put(
    change: &mut Change,
    id: ExecutionId,
    left: Option<&(Kept, Vec<Artifact>)>,
) -> Result<Option<Kept>, StoreError> {
    let before = delete(change, id)?;
    if let Some((kept, artifacts)) = left {
        KEPT.put(change, id, kept)?;
        for (number, artifact) in (1..).zip(artifacts) {
            ARTIFACTS.insert(change, (id, number), artifact)?;
        }
    }
    Ok(before)
}

/// Forgets what an execution has left; returns what is known of it. Its file is removed
/// [apart](crate::execution::ArtifactFiles::remove), and first.
pub(crate) fn delete(change: &mut Change, id: ExecutionId) -> Result<Option<Kept>, StoreError> {
    let Some(kept) = kept(change, id)? else { return Ok(None) };
    for number in 1..=kept.files {
        ARTIFACTS.remove(change, (id, number))?;
    }
    KEPT.remove(change, id)?;
    Ok(Some(kept))
}
