//! Table `audit`: `audit id -> entry`, in the order in which things happened.

use super::{
    change::{Change, View},
    migrate::Tables,
    record::Record,
    table::Table,
};
use crate::{
    audit::Entry,
    error::StoreError,
    id::AuditId,
    page::{Page, PageRequest},
};

const AUDIT: Table<AuditId, Entry> = Table::new();

impl Record for Entry {
    const TABLE: &'static str = "audit";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    AUDIT.create(tables)
}

/// Adds an entry to the change that it tells of.
pub(crate) fn add(change: &mut Change, entry: &Entry) -> Result<(), StoreError> {
    AUDIT.insert(change, entry.id, entry)
}

/// Entries, newest first.
pub(crate) fn list(view: &impl View, page: &PageRequest) -> Result<Page<Entry>, StoreError> {
    AUDIT.page(view, .., page)
}
