//! What a closure gets to read or write with: a snapshot, or a change.

use std::{borrow::Borrow, marker::PhantomData, ops::Deref};

use redb::{
    Key, ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, TableHandle as _,
    Value, WriteTransaction,
};

use super::journal;
use crate::{error::StoreError, event::Event};

/// Keeps a type within its thread, so that no future that is sent between threads holds it while
/// waiting: an open transaction keeps the file from reusing its pages.
type WithinThread = PhantomData<*const ()>;

/// What can be read from: a [`Snapshot`], or a [`Change`], which sees its own writes.
pub(crate) trait View {
    /// An open table.
    type Table<'a, K: Key + 'static, V: Value + 'static>: ReadableTable<K, V>
    where
        Self: 'a;

    /// Opens a table for reading. A change has each table open once at a time.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], also for a table that nobody created.
    fn open<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDefinition<'_, K, V>,
    ) -> Result<Self::Table<'_, K, V>, StoreError>;
}

/// The store as it was at one moment.
pub(crate) struct Snapshot {
    txn: ReadTransaction,
    within_thread: WithinThread,
}

impl Snapshot {
    pub(super) fn new(txn: ReadTransaction) -> Self {
        Self { txn, within_thread: PhantomData }
    }
}

impl View for Snapshot {
    type Table<'a, K: Key + 'static, V: Value + 'static> = ReadOnlyTable<K, V>;

    fn open<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDefinition<'_, K, V>,
    ) -> Result<ReadOnlyTable<K, V>, StoreError> {
        Ok(self.txn.open_table(table)?)
    }
}

/// How one change's closure ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    Refuse,
    Panic,
}

/// What that means for the transaction it shares with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ran {
    /// It is part of the transaction.
    Kept,
    /// It failed before it wrote: the transaction is as if it had not been.
    Refused,
    /// It failed and may have written: the transaction must not be committed.
    Spoilt,
}

/// A write transaction, and the events that tell of it once it is durable.
pub(crate) struct Change {
    txn: WriteTransaction,
    events: Vec<Event>,
    /// Whether anything was opened for writing by any of the changes that share it.
    wrote: bool,
    /// What was done, for the journal.
    operations: Vec<u8>,
    within_thread: WithinThread,
}

impl Change {
    pub(super) fn new(txn: WriteTransaction) -> Self {
        Self {
            txn,
            events: Vec::new(),
            wrote: false,
            operations: Vec::new(),
            within_thread: PhantomData,
        }
    }

    /// Opens a table for reading and writing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], also if the table is open in this change already.
    pub(crate) fn open_mut<K: Key + 'static, V: Value + 'static>(
        &mut self,
        table: TableDefinition<'_, K, V>,
    ) -> Result<Writable<'_, K, V>, StoreError> {
        self.wrote = true;
        let table = self.txn.open_table(table)?;
        Ok(Writable { table, operations: &mut self.operations })
    }

    /// Publishes `event` once the change is durable.
    pub(crate) fn emit(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Runs one of the changes that share this transaction. The events of one that is not kept are
    /// forgotten; what it wrote goes with the transaction.
    pub(super) fn run(&mut self, body: impl FnOnce(&mut Self) -> Verdict) -> Ran {
        let (events, wrote) = (self.events.len(), std::mem::take(&mut self.wrote));
        let verdict = body(self);
        let wrote_now = self.wrote;
        self.wrote |= wrote;
        if verdict != Verdict::Keep {
            self.events.truncate(events);
        }
        match verdict {
            Verdict::Keep => Ran::Kept,
            Verdict::Refuse if !wrote_now => Ran::Refused,
            Verdict::Refuse | Verdict::Panic => Ran::Spoilt,
        }
    }

    /// The transaction and what it does, if anything may have been written; and the events to publish.
    pub(super) fn finish(self) -> (Option<(WriteTransaction, Vec<u8>)>, Vec<Event>) {
        (self.wrote.then_some((self.txn, self.operations)), self.events)
    }
}

/// A table that a change has open for writing, which is the only way to write: what is done is noted
/// for the journal. Reading is redb's.
pub(crate) struct Writable<'a, K: Key + 'static, V: Value + 'static> {
    table: Table<'a, K, V>,
    operations: &'a mut Vec<u8>,
}

impl<K: Key + 'static, V: Value + 'static> Writable<'_, K, V> {
    /// Writes a value, over the one of this key if there is one.
    pub(crate) fn insert<'k, 'v>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
        value: impl Borrow<V::SelfType<'v>>,
    ) -> Result<(), StoreError> {
        let (key, value) = (key.borrow(), value.borrow());
        self.table.insert(key, value)?;
        let (key, value) = (K::as_bytes(key), V::as_bytes(value));
        journal::note(self.operations, self.table.name(), key.as_ref(), Some(value.as_ref()));
        Ok(())
    }

    /// Removes the value of a key, if there is one.
    pub(crate) fn remove<'k>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
    ) -> Result<(), StoreError> {
        let key = key.borrow();
        self.table.remove(key)?;
        journal::note(self.operations, self.table.name(), K::as_bytes(key).as_ref(), None);
        Ok(())
    }
}

impl<'a, K: Key + 'static, V: Value + 'static> Deref for Writable<'a, K, V> {
    type Target = Table<'a, K, V>;

    fn deref(&self) -> &Self::Target {
        &self.table
    }
}

impl View for Change {
    type Table<'a, K: Key + 'static, V: Value + 'static> = Table<'a, K, V>;

    fn open<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDefinition<'_, K, V>,
    ) -> Result<Table<'_, K, V>, StoreError> {
        Ok(self.txn.open_table(table)?)
    }
}
