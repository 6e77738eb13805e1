//! Tables `scripts`: `script id -> script`, and `script_versions`: `(script id, number) -> version`.

use redb::WriteTransaction;

use super::{
    change::{Change, View},
    record::Record,
    table::Table,
};
use crate::{
    error::StoreError,
    id::ScriptId,
    page::{Page, PageRequest},
    script::{Script, Version},
};

const SCRIPTS: Table<ScriptId, Script> = Table::new();
const VERSIONS: Table<(ScriptId, u32), Version> = Table::new();

impl Record for Script {
    const TABLE: &'static str = "scripts";
    const VERSION: u8 = 1;
}

impl Record for Version {
    const TABLE: &'static str = "script_versions";
    const VERSION: u8 = 1;
}

pub(super) fn create(txn: &WriteTransaction) -> Result<(), StoreError> {
    SCRIPTS.create(txn)?;
    VERSIONS.create(txn)
}

pub(crate) fn get(view: &impl View, id: ScriptId) -> Result<Option<Script>, StoreError> {
    SCRIPTS.get(view, id)
}

pub(crate) fn put(change: &mut Change, script: &Script) -> Result<(), StoreError> {
    SCRIPTS.put(change, script.id, script)
}

/// Scripts, newest first.
pub(crate) fn list(view: &impl View, page: &PageRequest) -> Result<Page<Script>, StoreError> {
    SCRIPTS.page(view, .., page)
}

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
