//! Tables `retention`: `0 -> rules`, and `retention_scripts`: `script -> its own rules`.

use super::{
    change::{Change, View},
    migrate::Tables,
    record::{self, Record},
    table::Table,
};
use crate::{
    error::StoreError,
    id::ScriptId,
    retention::{Rules, RulesV1, ScriptRules},
};

const RULES: Table<u8, Rules> = Table::new();
const SCRIPTS: Table<ScriptId, ScriptRules> = Table::new();

impl Record for Rules {
    const TABLE: &'static str = "retention";
    const VERSION: u8 = 2;

    fn upgrade(version: u8, body: &[u8]) -> Result<Self, StoreError> {
        match version {
            1 => Ok(record::read::<RulesV1>(Self::TABLE, version, body)?.into()),
            version => Err(StoreError::UnknownVersion { table: Self::TABLE, version }),
        }
    }
}

impl Record for ScriptRules {
    const TABLE: &'static str = "retention_scripts";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    RULES.create(tables)?;
    SCRIPTS.create(tables)
}

pub(crate) fn get(view: &impl View) -> Result<Rules, StoreError> {
    Ok(RULES.get(view, 0)?.unwrap_or_default())
}

pub(crate) fn put(change: &mut Change, rules: &Rules) -> Result<(), StoreError> {
    RULES.put(change, 0, rules)
}

/// The rules of a script's own.
pub(crate) fn of_script(view: &impl View, script: ScriptId) -> Result<ScriptRules, StoreError> {
    Ok(SCRIPTS.get(view, script)?.unwrap_or_default())
}

/// Those of all scripts that have some.
pub(crate) fn of_scripts(view: &impl View) -> Result<Vec<(ScriptId, ScriptRules)>, StoreError> {
    SCRIPTS.oldest(view, .., usize::MAX)
}

pub(crate) fn put_of_script(
    change: &mut Change,
    script: ScriptId,
    rules: &ScriptRules,
) -> Result<(), StoreError> {
    if *rules == ScriptRules::default() {
        SCRIPTS.remove(change, script)?;
        return Ok(());
    }
    SCRIPTS.put(change, script, rules)
}
