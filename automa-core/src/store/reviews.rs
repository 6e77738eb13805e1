//! Tables `script_approvals`: `(script id, number) -> approval`, and `review_rules`: `0 -> rules`.

use super::{
    change::{Change, View},
    migrate::Tables,
    record::Record,
    table::Table,
};
use crate::{
    error::StoreError,
    id::ScriptId,
    script::{Approval, ReviewRules},
};

const APPROVALS: Table<(ScriptId, u32), Approval> = Table::new();
const RULES: Table<u8, ReviewRules> = Table::new();

impl Record for Approval {
    const TABLE: &'static str = "script_approvals";
    const VERSION: u8 = 1;
}

impl Record for ReviewRules {
    const TABLE: &'static str = "review_rules";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    APPROVALS.create(tables)?;
    RULES.create(tables)
}

pub(crate) fn rules(view: &impl View) -> Result<ReviewRules, StoreError> {
    Ok(RULES.get(view, 0)?.unwrap_or_default())
}

pub(crate) fn put_rules(change: &mut Change, rules: ReviewRules) -> Result<(), StoreError> {
    RULES.put(change, 0, &rules)
}

/// All approvals of a script's versions.
pub(crate) fn of_script(view: &impl View, id: ScriptId) -> Result<Vec<Approval>, StoreError> {
    let all = APPROVALS.oldest(view, (id, 0)..=(id, u32::MAX), usize::MAX)?;
    Ok(all.into_iter().map(|(_, approval)| approval).collect())
}

pub(crate) fn put(
    change: &mut Change,
    id: ScriptId,
    number: u32,
    approval: &Approval,
) -> Result<(), StoreError> {
    APPROVALS.put(change, (id, number), approval)
}
