//! What a closure gets to read or write with: a snapshot, or a change.

use std::marker::PhantomData;

use redb::{
    Key, ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, Value,
    WriteTransaction,
};

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
    within_thread: WithinThread,
}

impl Change {
    pub(super) fn new(txn: WriteTransaction) -> Self {
        Self { txn, events: Vec::new(), wrote: false, within_thread: PhantomData }
    }

    /// Opens a table for reading and writing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], also if the table is open in this change already.
    pub(crate) fn open_mut<K: Key + 'static, V: Value + 'static>(
        &mut self,
        table: TableDefinition<'_, K, V>,
    ) -> Result<Table<'_, K, V>, StoreError> {
        self.wrote = true;
        Ok(self.txn.open_table(table)?)
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

    /// The transaction if anything may have been written, and the events to publish.
    pub(super) fn finish(self) -> (Option<WriteTransaction>, Vec<Event>) {
        (self.wrote.then_some(self.txn), self.events)
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
