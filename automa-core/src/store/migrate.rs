//! The store's format: a number under `meta`, and the steps from one to the next.
//!
//! The format is the shape of the tables. What a record looks like is its own version's business
//! ([`record`](super::record)): a step is needed only where keys, names or indexes of tables
//! change.

use std::collections::HashMap;

use redb::{
    Database, Durability, Key, ReadableDatabase, TableDefinition, TableError, TableHandle as _,
    Value, WriteTransaction,
};

use super::journal::{Again, Journal};
use crate::error::StoreError;

pub(super) const META: TableDefinition<&str, u32> = TableDefinition::new("meta");
const FORMAT: &str = "format";

/// Part of bringing a store to the current format.
pub(super) type Step = fn(&WriteTransaction) -> Result<(), StoreError>;

/// Makes the tables of a module that are not there.
pub(super) type Create = fn(&mut Tables<'_>) -> Result<(), StoreError>;

/// The tables of this version, and the way there from each older one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schema {
    /// `steps[0]` leads from format 1 to 2, and so on. Released steps never change.
    pub(super) steps: &'static [Step],
    /// Each creates the tables of one module if they are missing.
    pub(super) tables: &'static [Create],
}

/// The tables of a store that is being opened.
pub(crate) struct Tables<'a> {
    pub(super) txn: &'a WriteTransaction,
    /// What the journal holds beyond the store.
    again: HashMap<String, Again>,
}

impl Tables<'_> {
    /// Makes a table if it is not there, and does in it again what the journal holds.
    pub(crate) fn create<K: Key + 'static, V: Value + 'static>(
        &mut self,
        table: TableDefinition<'_, K, V>,
    ) -> Result<(), StoreError> {
        let again = self.again.remove(table.name());
        let mut table = self.txn.open_table(table)?;
        for (key, value) in again.into_iter().flatten() {
            let key = K::from_bytes(&key);
            match value {
                Some(value) => drop(table.insert(key, V::from_bytes(&value))?),
                None => drop(table.remove(key)?),
            }
        }
        Ok(())
    }
}

/// What this version reads and writes.
pub(super) const CURRENT: Schema = Schema {
    steps: &[
        super::executions::add_requesters_and_durations,
        super::sessions::add_users,
        super::audit::chain_entries,
    ],
    tables: &[
        super::scripts::create,
        super::executions::create,
        super::results::create,
        super::artifacts::create,
        super::idempotency::create,
        super::audit::create,
        super::users::create,
        super::sessions::create,
        super::logs::create,
        super::retention::create,
        super::reviews::create,
        super::jobs::create,
        super::agents::create,
        super::api_keys::create,
        super::credentials::create,
        super::tiers::create,
        super::quotas::create,
        super::bindings::create,
    ],
};

/// What was found in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// No table at all.
    Empty,
    /// A store of this format.
    Format(u32),
    /// Tables that are not ours.
    Foreign,
}

impl Schema {
    /// The format that the steps lead to.
    pub(super) fn format(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX - 1) + 1
    }

    /// Applies the steps that are missing, creates tables, and does what the journal holds, all in one
    /// durable transaction.
    pub(super) fn apply(
        &self,
        database: &Database,
        found: Found,
        mut journal: Option<&mut Journal>,
    ) -> Result<(), StoreError> {
        let mut txn = database.begin_write()?;
        txn.set_quick_repair(true);
        self.bring(database, &txn, found, journal.as_deref_mut())?;
        if let Some(journal) = &journal {
            journal.take(&txn)?;
        }
        txn.commit()?;
        if let Some(journal) = journal {
            journal.restart();
        }
        Ok(())
    }

    /// Does what the journal holds in memory alone, for those who read a store of this format while it
    /// cannot be written.
    pub(super) fn show(
        &self,
        database: &Database,
        journal: Option<&mut Journal>,
    ) -> Result<(), StoreError> {
        let mut txn = database.begin_write()?;
        txn.set_durability(Durability::None).map_err(redb::Error::from)?;
        self.bring(database, &txn, Found::Format(self.format()), journal)?;
        Ok(txn.commit()?)
    }

    fn bring(
        &self,
        database: &Database,
        txn: &WriteTransaction,
        found: Found,
        journal: Option<&mut Journal>,
    ) -> Result<(), StoreError> {
        let done = match found {
            Found::Format(format) => usize::try_from(format).unwrap_or(usize::MAX) - 1,
            Found::Empty | Found::Foreign => self.steps.len(),
        };
        let again = match journal {
            Some(journal) => journal.read(database, self.format())?,
            None => HashMap::new(),
        };
        for step in self.steps.iter().skip(done) {
            step(txn)?;
        }
        let mut tables = Tables { txn, again };
        tables.create(META)?;
        for create in self.tables {
            create(&mut tables)?;
        }
        if let Some(table) = tables.again.into_keys().next() {
            return Err(StoreError::UnknownTable { table });
        }
        txn.open_table(META)?.insert(FORMAT, self.format())?;
        Ok(())
    }
}

/// Tells what a database holds.
pub(super) fn inspect(database: &Database) -> Result<Found, StoreError> {
    let txn = database.begin_read()?;
    let meta = match txn.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => {
            let empty = txn.list_tables()?.next().is_none();
            return Ok(if empty { Found::Empty } else { Found::Foreign });
        }
        Err(TableError::Storage(error)) => return Err(error.into()),
        // A table of this name that is not as we make it.
        Err(_) => return Ok(Found::Foreign),
    };
    let format = meta.get(FORMAT)?.map(|format| format.value());
    Ok(format.filter(|&format| format > 0).map_or(Found::Foreign, Found::Format))
}

#[cfg(test)]
mod tests {
    use redb::{ReadableTable, TableHandle, backends::InMemoryBackend};

    use super::*;

    const OLD: TableDefinition<u64, u64> = TableDefinition::new("old");
    const NEW: TableDefinition<u64, &str> = TableDefinition::new("new");

    const FIRST: Schema = Schema { steps: &[], tables: &[create_old] };
    const THIRD: Schema = Schema { steps: &[add_one, convert], tables: &[create_new] };

    fn create_old(tables: &mut Tables<'_>) -> Result<(), StoreError> {
        tables.create(OLD)
    }

    fn create_new(tables: &mut Tables<'_>) -> Result<(), StoreError> {
        tables.create(NEW)
    }

    fn add_one(txn: &WriteTransaction) -> Result<(), StoreError> {
        let mut old = txn.open_table(OLD)?;
        let value = old.get(1)?.map_or(0, |value| value.value());
        old.insert(1, value + 1)?;
        Ok(())
    }

    fn convert(txn: &WriteTransaction) -> Result<(), StoreError> {
        let old = txn.open_table(OLD)?;
        let mut new = txn.open_table(NEW)?;
        for row in old.iter()? {
            let (key, value) = row?;
            new.insert(key.value(), value.value().to_string().as_str())?;
        }
        drop(old);
        txn.delete_table(OLD)?;
        Ok(())
    }

    fn fail(txn: &WriteTransaction) -> Result<(), StoreError> {
        txn.delete_table(OLD)?;
        Err(StoreError::Closed)
    }

    fn tables(database: &Database) -> Vec<String> {
        let txn = database.begin_read().unwrap();
        txn.list_tables().unwrap().map(|table| table.name().to_owned()).collect()
    }

    fn memory() -> Database {
        Database::builder().create_with_backend(InMemoryBackend::new()).unwrap()
    }

    #[test]
    fn a_new_store_gets_the_tables_and_no_step() {
        let database = memory();
        assert_eq!(inspect(&database).unwrap(), Found::Empty);
        THIRD.apply(&database, Found::Empty, None).unwrap();
        assert_eq!(inspect(&database).unwrap(), Found::Format(3));
        assert_eq!(tables(&database), ["meta", "new"]);
    }

    #[test]
    fn an_old_store_gets_the_missing_steps_in_order_and_each_once() {
        let database = memory();
        FIRST.apply(&database, Found::Empty, None).unwrap();
        let txn = database.begin_write().unwrap();
        txn.open_table(OLD).unwrap().insert(1, 41).unwrap();
        txn.commit().unwrap();
        for found in [Found::Format(1), Found::Format(3)] {
            assert_eq!(inspect(&database).unwrap(), found);
            THIRD.apply(&database, found, None).unwrap();
        }
        assert_eq!(tables(&database), ["meta", "new"]);
        let new = database.begin_read().unwrap().open_table(NEW).unwrap();
        assert_eq!(new.get_owned(1).unwrap().unwrap().value(), "42");
    }

    #[test]
    fn a_step_that_fails_leaves_the_store_as_it_was() {
        let database = memory();
        FIRST.apply(&database, Found::Empty, None).unwrap();
        let failing = Schema { steps: &[add_one, fail], tables: &[create_new] };
        failing.apply(&database, Found::Format(1), None).unwrap_err();
        assert_eq!(inspect(&database).unwrap(), Found::Format(1));
        assert_eq!(tables(&database), ["meta", "old"]);
        let old = database.begin_read().unwrap().open_table(OLD).unwrap();
        assert!(old.get_owned(1).unwrap().is_none());
    }

    #[test]
    fn a_database_of_something_else_is_told() {
        const OTHER: TableDefinition<u64, u64> = TableDefinition::new("meta");
        for table in [OLD, OTHER] {
            let database = memory();
            let txn = database.begin_write().unwrap();
            txn.open_table(table).unwrap();
            txn.commit().unwrap();
            assert_eq!(inspect(&database).unwrap(), Found::Foreign);
        }
    }
}
