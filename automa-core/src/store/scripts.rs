//! Tables `scripts`: `script id -> script`; `scripts_deleted`, where those go that were deleted;
//! `script_versions`: `(script id, number) -> version`, also of deleted ones, whose executions stay;
//! and `scripts_purged`: the ids of those of which nothing but such versions is left.

use std::ops::ControlFlow;

use super::{
    change::{Change, Snapshot, View},
    migrate::Tables,
    record::{Record, read},
    table::{Index, Table},
};
use crate::{
    error::StoreError,
    id::ScriptId,
    page::{Page, PageRequest},
    script::{Deleted, DeletedV1, Script, ScriptV1, Version, VersionV1, VersionV2},
};

const SCRIPTS: Table<ScriptId, Script> = Table::new();
const DELETED: Table<ScriptId, Deleted> = Table::new();
const VERSIONS: Table<(ScriptId, u32), Version> = Table::new();
const PURGED: Index<ScriptId> = Index::new("scripts_purged");

impl Record for Script {
    const TABLE: &'static str = "scripts";
    const VERSION: u8 = 2;

    fn upgrade(version: u8, body: &[u8]) -> Result<Self, StoreError> {
        match version {
            1 => Ok(read::<ScriptV1>(Self::TABLE, version, body)?.into()),
            version => Err(StoreError::UnknownVersion { table: Self::TABLE, version }),
        }
    }
}

impl Record for Deleted {
    const TABLE: &'static str = "scripts_deleted";
    const VERSION: u8 = 2;

    fn upgrade(version: u8, body: &[u8]) -> Result<Self, StoreError> {
        match version {
            1 => Ok(read::<DeletedV1>(Self::TABLE, version, body)?.into()),
            version => Err(StoreError::UnknownVersion { table: Self::TABLE, version }),
        }
    }
}

impl Record for Version {
    const TABLE: &'static str = "script_versions";
    const VERSION: u8 = 3;

    fn upgrade(version: u8, body: &[u8]) -> Result<Self, StoreError> {
        match version {
            1 => Ok(VersionV2::from(read::<VersionV1>(Self::TABLE, version, body)?).into()),
            2 => Ok(read::<VersionV2>(Self::TABLE, version, body)?.into()),
            version => Err(StoreError::UnknownVersion { table: Self::TABLE, version }),
        }
    }
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    SCRIPTS.create(tables)?;
    DELETED.create(tables)?;
    VERSIONS.create(tables)?;
    PURGED.create(tables)
}

/// A script, unless it was deleted.
pub(crate) fn get(view: &impl View, id: ScriptId) -> Result<Option<Script>, StoreError> {
    SCRIPTS.get(view, id)
}

/// A script's name, also of one that was deleted.
pub(crate) fn name(view: &impl View, id: ScriptId) -> Result<Option<String>, StoreError> {
    if let Some(script) = SCRIPTS.get(view, id)? {
        return Ok(Some(script.name));
    }
    Ok(DELETED.get(view, id)?.map(|deleted| deleted.script.name))
}

pub(crate) fn put(change: &mut Change, script: &Script) -> Result<(), StoreError> {
    SCRIPTS.put(change, script.id, script)
}

/// Moves a script to the deleted ones. Its versions stay where they are.
pub(crate) fn delete(change: &mut Change, deleted: &Deleted) -> Result<(), StoreError> {
    SCRIPTS.remove(change, deleted.script.id)?;
    DELETED.put(change, deleted.script.id, deleted)
}

pub(crate) fn get_deleted(view: &impl View, id: ScriptId) -> Result<Option<Deleted>, StoreError> {
    DELETED.get(view, id)
}

/// All that were deleted and not removed for good.
pub(crate) fn deleted(view: &impl View) -> Result<Vec<Deleted>, StoreError> {
    let all = DELETED.oldest(view, .., usize::MAX)?;
    Ok(all.into_iter().map(|(_, deleted)| deleted).collect())
}

/// Moves a deleted script back.
pub(crate) fn restore(change: &mut Change, script: &Script) -> Result<(), StoreError> {
    DELETED.remove(change, script.id)?;
    put(change, script)
}

/// Removes a deleted script; its versions are for the caller to remove.
pub(crate) fn purge(change: &mut Change, id: ScriptId) -> Result<(), StoreError> {
    DELETED.remove(change, id)?;
    PURGED.insert(change, id)
}

/// Those of which versions may be left.
pub(crate) fn purged(view: &impl View) -> Result<Vec<ScriptId>, StoreError> {
    PURGED.lowest(view, .., usize::MAX)
}

/// Notes that nothing is left of one.
pub(crate) fn forget_purged(change: &mut Change, id: ScriptId) -> Result<(), StoreError> {
    PURGED.remove(change, id)
}

/// The numbers of a script's versions that are there.
pub(crate) fn version_numbers(view: &Snapshot, id: ScriptId) -> Result<Vec<u32>, StoreError> {
    let walk = VERSIONS.walker(view)?;
    walk((id, 0)..=(id, u32::MAX))?.map(|key| Ok(key?.1)).collect()
}

pub(crate) fn remove_version(
    change: &mut Change,
    id: ScriptId,
    number: u32,
) -> Result<(), StoreError> {
    VERSIONS.remove(change, (id, number))?;
    Ok(())
}

/// Looks at scripts without the deleted ones, newest first, from before `before` on and until
/// `look` has seen enough.
pub(crate) fn each(
    view: &impl View,
    before: Option<ScriptId>,
    look: impl FnMut(Script) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    SCRIPTS.each_newest(view, ..before.unwrap_or(ScriptId::MAX), look)
}

/// A version, also of a deleted script.
pub(crate) fn version(
    view: &impl View,
    id: ScriptId,
    number: u32,
) -> Result<Option<Version>, StoreError> {
    VERSIONS.get(view, (id, number))
}

/// Adds a version; there must be none of its number, as versions never change.
pub(crate) fn add_version(change: &mut Change, version: &Version) -> Result<(), StoreError> {
    VERSIONS.insert(change, (version.script, version.number), version)
}

/// A script's versions, newest first.
pub(crate) fn versions(
    view: &impl View,
    id: ScriptId,
    page: &PageRequest,
) -> Result<Page<Version>, StoreError> {
    VERSIONS.page(view, (id, 0)..=(id, u32::MAX), page)
}
