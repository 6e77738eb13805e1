//! Table `quota_days`: `user -> what they used of the last day on which they used anything`.

use super::{
    change::{Change, View},
    migrate::Tables,
    record::Record,
    table::Table,
};
use crate::{error::StoreError, id::UserId, quota::Day};

const DAYS: Table<UserId, Day> = Table::new();

impl Record for Day {
    const TABLE: &'static str = "quota_days";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    DAYS.create(tables)
}

pub(crate) fn day(view: &impl View, user: UserId) -> Result<Option<Day>, StoreError> {
    DAYS.get(view, user)
}

pub(crate) fn put_day(change: &mut Change, user: UserId, day: &Day) -> Result<(), StoreError> {
    DAYS.put(change, user, day)
}
