//! A table of records.

use std::{
    marker::PhantomData,
    ops::{Bound, ControlFlow, RangeBounds, RangeInclusive},
};

use redb::{
    AccessGuard, Key, ReadableTable, ReadableTableMetadata as _, StorageError, TableDefinition,
    TableHandle as _, WriteTransaction,
};

use super::{
    change::{Change, Snapshot, View},
    migrate::Tables,
    record::Record,
};
use crate::{
    error::StoreError,
    page::{Cursor, InvalidCursor, Page, PageRequest},
};

/// A table `K -> R`, named after its record.
///
/// Keys are of fixed width, ids and tuples with them, in the order of which the records are
/// listed; each pattern of their bytes has to be a key, because a cursor is text from outside.
pub(crate) struct Table<K: Key + 'static, R> {
    definition: TableDefinition<'static, K, &'static [u8]>,
    record: PhantomData<fn() -> R>,
}

impl<K, R> Table<K, R>
where
    K: for<'a> Key<SelfType<'a> = K> + Copy + Ord + 'static,
    R: Record,
{
    pub(crate) const fn new() -> Self {
        Self { definition: TableDefinition::new(R::TABLE), record: PhantomData }
    }

    /// Makes the table if it is not there. Every table is made when the store is opened, because
    /// reading from one that is missing is an error.
    pub(crate) fn create(&self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        tables.create(self.definition)
    }

    pub(crate) fn get(&self, view: &impl View, key: K) -> Result<Option<R>, StoreError> {
        let table = view.open(self.definition)?;
        let bytes = table.get(key)?;
        bytes.map(|bytes| R::decode(bytes.value())).transpose()
    }

    /// Writes a record, over the one of this key if there is one.
    pub(crate) fn put(&self, change: &mut Change, key: K, record: &R) -> Result<(), StoreError> {
        let bytes = record.encode()?;
        change.open_mut(self.definition)?.insert(key, bytes.as_slice())?;
        Ok(())
    }

    /// Writes a new record; [`StoreError::Exists`] if there is one of this key.
    pub(crate) fn insert(&self, change: &mut Change, key: K, record: &R) -> Result<(), StoreError> {
        if change.open(self.definition)?.get(key)?.is_some() {
            return Err(StoreError::Exists { table: R::TABLE });
        }
        self.put(change, key, record)
    }

    /// Removes a record; tells whether there was one.
    pub(crate) fn remove(&self, change: &mut Change, key: K) -> Result<bool, StoreError> {
        if change.open(self.definition)?.get(key)?.is_none() {
            return Ok(false);
        }
        change.open_mut(self.definition)?.remove(key)?;
        Ok(true)
    }

    /// At most `limit` records with keys in `range`, lowest key first.
    pub(crate) fn oldest(
        &self,
        view: &impl View,
        range: impl RangeBounds<K>,
        limit: usize,
    ) -> Result<Vec<(K, R)>, StoreError> {
        let table = view.open(self.definition)?;
        collect(table.range(bounds(&range))?.take(limit))
    }

    /// At most `limit` records with keys in `range`, highest key first.
    pub(crate) fn newest(
        &self,
        view: &impl View,
        range: impl RangeBounds<K>,
        limit: usize,
    ) -> Result<Vec<(K, R)>, StoreError> {
        let table = view.open(self.definition)?;
        collect(table.range(bounds(&range))?.rev().take(limit))
    }

    /// Looks at the records with keys in `range`, highest key first, until `look` has seen enough.
    pub(crate) fn each_newest(
        &self,
        view: &impl View,
        range: impl RangeBounds<K>,
        mut look: impl FnMut(R) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let table = view.open(self.definition)?;
        for row in table.range(bounds(&range))?.rev() {
            if look(R::decode(row?.1.value())?)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// One page of the records with keys in `range`, highest key first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Cursor`] for a cursor of another list or from outside of `range`.
    pub(crate) fn page(
        &self,
        view: &impl View,
        range: impl RangeBounds<K>,
        request: &PageRequest,
    ) -> Result<Page<R>, StoreError> {
        let after = after(R::TABLE, &range, request)?;
        // One more tells whether another page follows.
        let rows = self.newest(view, after, request.limit.items() + 1)?;
        Ok(page(R::TABLE, rows, request))
    }

    /// As [`page`](Self::page), of the records that `fits` lets through: for tables that are small
    /// enough to be read until a page is full.
    pub(crate) fn page_of(
        &self,
        view: &impl View,
        range: impl RangeBounds<K>,
        request: &PageRequest,
        fits: impl Fn(&R) -> bool,
    ) -> Result<Page<R>, StoreError> {
        let after = after(R::TABLE, &range, request)?;
        let table = view.open(self.definition)?;
        let mut rows = Vec::new();
        for row in table.range(after)?.rev() {
            let (key, bytes) = row?;
            let record = R::decode(bytes.value())?;
            if fits(&record) {
                rows.push((key.value(), record));
            }
            if rows.len() > request.limit.items() {
                break;
            }
        }
        Ok(page(R::TABLE, rows, request))
    }

    /// Reads all records, lowest key first, for a step from one format to the next.
    pub(crate) fn for_each(
        &self,
        txn: &WriteTransaction,
        mut read: impl FnMut(K, R) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for row in txn.open_table(self.definition)?.iter()? {
            let (key, bytes) = row?;
            read(key.value(), R::decode(bytes.value())?)?;
        }
        Ok(())
    }

    /// Reads all records and writes them as this version does, for a step from one format to the next.
    pub(crate) fn rewrite(
        &self,
        txn: &WriteTransaction,
        mut rewrite: impl FnMut(K, R) -> Result<R, StoreError>,
    ) -> Result<(), StoreError> {
        const BATCH: usize = 1000;
        let mut table = txn.open_table(self.definition)?;
        let mut from = Bound::Unbounded;
        loop {
            let rows = collect(table.range((from, Bound::Unbounded))?.take(BATCH))?;
            let Some(&(last, _)) = rows.last() else { return Ok(()) };
            for (key, record) in rows {
                table.insert(key, rewrite(key, record)?.encode()?.as_slice())?;
            }
            from = Bound::Excluded(last);
        }
    }

    /// Opens the table within a step from one format to the next.
    pub(crate) fn open_in<'a>(
        &self,
        txn: &'a WriteTransaction,
    ) -> Result<redb::Table<'a, K, &'static [u8]>, StoreError> {
        Ok(txn.open_table(self.definition)?)
    }

    /// How many records there are.
    pub(crate) fn len(&self, view: &impl View) -> Result<u64, StoreError> {
        Ok(view.open(self.definition)?.len()?)
    }

    /// All keys, lowest first: as many as fit into memory.
    pub(crate) fn keys(&self, view: &impl View) -> Result<Vec<K>, StoreError> {
        let table = view.open(self.definition)?;
        table.iter()?.map(|row| Ok(row?.0.value())).collect()
    }

    /// Opens the table to find the bytes of records here and there, as they are stored.
    pub(crate) fn raw_finder(
        &self,
        view: &Snapshot,
    ) -> Result<impl Fn(K) -> Result<Option<Vec<u8>>, StoreError> + 'static, StoreError> {
        let table = view.open(self.definition)?;
        Ok(move |key| Ok(table.get(key)?.map(|bytes| bytes.value().to_vec())))
    }

    /// Opens the table to find records here and there.
    pub(crate) fn finder(
        &self,
        view: &Snapshot,
    ) -> Result<impl Fn(K) -> Result<Option<R>, StoreError> + 'static, StoreError> {
        let table = view.open(self.definition)?;
        Ok(move |key| {
            let bytes = table.get(key)?;
            bytes.map(|bytes| R::decode(bytes.value())).transpose()
        })
    }

    /// Opens the table to go through its keys alone, as [`Index::walker`].
    pub(crate) fn walker(&self, view: &Snapshot) -> Result<Walker<K>, StoreError> {
        let table = view.open(self.definition)?;
        Ok(Box::new(move |range| {
            let rows = table.range(range)?.rev();
            Ok(Box::new(rows.map(|row| Ok(row?.0.value()))))
        }))
    }
}

/// Begins to go through the keys in a range, highest first; may begin again elsewhere.
pub(crate) type Walker<K> = Box<dyn Fn(RangeInclusive<K>) -> Result<Walk<K>, StoreError>>;

/// Keys, highest first.
pub(crate) type Walk<K> = Box<dyn Iterator<Item = Result<K, StoreError>>>;

/// A table of keys alone: an order in which records can be found. Its keys are as a [`Table`]'s.
pub(crate) struct Index<K: Key + 'static> {
    definition: TableDefinition<'static, K, ()>,
}

impl<K> Index<K>
where
    K: for<'a> Key<SelfType<'a> = K> + Copy + Ord + 'static,
{
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { definition: TableDefinition::new(name) }
    }

    /// As [`Table::create`].
    pub(crate) fn create(&self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        tables.create(self.definition)
    }

    pub(crate) fn insert(&self, change: &mut Change, key: K) -> Result<(), StoreError> {
        change.open_mut(self.definition)?.insert(key, ())?;
        Ok(())
    }

    pub(crate) fn remove(&self, change: &mut Change, key: K) -> Result<(), StoreError> {
        change.open_mut(self.definition)?.remove(key)?;
        Ok(())
    }

    /// At most `limit` keys in `range`, lowest first.
    pub(crate) fn lowest(
        &self,
        view: &impl View,
        range: impl RangeBounds<K>,
        limit: usize,
    ) -> Result<Vec<K>, StoreError> {
        let table = view.open(self.definition)?;
        table.range(bounds(&range))?.take(limit).map(|row| Ok(row?.0.value())).collect()
    }

    /// At most `limit` keys in `range`, highest first.
    pub(crate) fn highest(
        &self,
        view: &impl View,
        range: impl RangeBounds<K>,
        limit: usize,
    ) -> Result<Vec<K>, StoreError> {
        let table = view.open(self.definition)?;
        table.range(bounds(&range))?.rev().take(limit).map(|row| Ok(row?.0.value())).collect()
    }

    /// One page of the keys in `range`, highest first: as [`Table::page`].
    pub(crate) fn page(
        &self,
        view: &impl View,
        range: impl RangeBounds<K>,
        request: &PageRequest,
    ) -> Result<Page<K>, StoreError> {
        let list = self.definition.name();
        let after = after(list, &range, request)?;
        let table = view.open(self.definition)?;
        let rows = table.range(after)?.rev().take(request.limit.items() + 1).map(|row| {
            let key = row?.0.value();
            Ok((key, key))
        });
        Ok(page(list, rows.collect::<Result<_, StoreError>>()?, request))
    }

    /// How many keys there are.
    pub(crate) fn len(&self, view: &impl View) -> Result<u64, StoreError> {
        Ok(view.open(self.definition)?.len()?)
    }

    /// Opens the index to look for keys here and there.
    pub(crate) fn finder(
        &self,
        view: &Snapshot,
    ) -> Result<impl Fn(K) -> Result<bool, StoreError> + 'static, StoreError> {
        let table = view.open(self.definition)?;
        Ok(move |key| Ok(table.get(key)?.is_some()))
    }

    /// Opens the index to go through its keys.
    pub(crate) fn walker(&self, view: &Snapshot) -> Result<Walker<K>, StoreError> {
        let table = view.open(self.definition)?;
        Ok(Box::new(move |range| {
            let rows = table.range(range)?.rev();
            Ok(Box::new(rows.map(|row| Ok(row?.0.value()))))
        }))
    }

    /// Opens the index within a step from one format to the next.
    pub(crate) fn open_in<'a>(
        &self,
        txn: &'a WriteTransaction,
    ) -> Result<redb::Table<'a, K, ()>, StoreError> {
        Ok(txn.open_table(self.definition)?)
    }
}

/// What of a range comes after the page before.
fn after<K>(
    list: &str,
    range: &impl RangeBounds<K>,
    request: &PageRequest,
) -> Result<(Bound<K>, Bound<K>), StoreError>
where
    K: for<'a> Key<SelfType<'a> = K> + Copy + Ord + 'static,
{
    let (start, end) = bounds(range);
    let Some(cursor) = &request.cursor else { return Ok((start, end)) };
    let key = cursor.key(list)?;
    if K::fixed_width() != Some(key.len()) {
        return Err(InvalidCursor.into());
    }
    let key = K::from_bytes(key);
    if !range.contains(&key) {
        return Err(InvalidCursor.into());
    }
    Ok((start, Bound::Excluded(key)))
}

/// A page of rows, of which there may be one more than it holds.
fn page<K, T>(list: &str, mut rows: Vec<(K, T)>, request: &PageRequest) -> Page<T>
where
    K: for<'a> Key<SelfType<'a> = K> + 'static,
{
    let limit = request.limit.items();
    let more = rows.len() > limit;
    rows.truncate(limit);
    let end = rows.last().filter(|_| more);
    let next_cursor = end.map(|(key, _)| Cursor::new(list, K::as_bytes(key).as_ref()));
    Page { items: rows.into_iter().map(|(_, item)| item).collect(), next_cursor }
}

fn bounds<K: Copy>(range: &impl RangeBounds<K>) -> (Bound<K>, Bound<K>) {
    (range.start_bound().cloned(), range.end_bound().cloned())
}

/// What a range yields.
type Row<'a, K> = (AccessGuard<'a, K>, AccessGuard<'a, &'static [u8]>);

fn collect<'a, K, R>(
    rows: impl Iterator<Item = Result<Row<'a, K>, StorageError>>,
) -> Result<Vec<(K, R)>, StoreError>
where
    K: for<'k> Key<SelfType<'k> = K> + 'static,
    R: Record,
{
    rows.map(|row| {
        let (key, bytes) = row?;
        Ok((key.value(), R::decode(bytes.value())?))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        page::Limit,
        store::{
            Store,
            tests::{NOTES, Note, SCHEMA},
        },
    };

    /// A store with a note at each of `keys`.
    async fn store(keys: impl IntoIterator<Item = u64>) -> Store {
        let store = Store::in_memory_with(SCHEMA).unwrap();
        let keys: Vec<_> = keys.into_iter().collect();
        let fill = move |change: &mut Change| {
            keys.iter().try_for_each(|&key| NOTES.put(change, key, &Note::new(key)))
        };
        store.write(fill).await.unwrap();
        store
    }

    fn request(limit: u64, cursor: Option<Cursor>) -> PageRequest {
        PageRequest { cursor, limit: Limit::new(limit).unwrap() }
    }

    #[tokio::test]
    async fn records_are_written_found_replaced_and_removed() {
        let store = store([1]).await;
        let change = |change: &mut Change| {
            assert!(matches!(
                NOTES.insert(change, 1, &Note::new(9)),
                Err(StoreError::Exists { table: "notes" })
            ));
            NOTES.insert(change, 2, &Note::new(2))?;
            NOTES.put(change, 1, &Note::new(9))?;
            assert_eq!(NOTES.get(change, 2)?, Some(Note::new(2)), "a change sees its own writes");
            assert!(NOTES.remove(change, 2)?);
            NOTES.remove(change, 2)
        };
        assert!(!store.write(change).await.unwrap());
        let found =
            store.look(|view| Ok::<_, StoreError>((NOTES.get(view, 1)?, NOTES.get(view, 2)?)));
        assert_eq!(found.unwrap(), (Some(Note::new(9)), None));
    }

    #[tokio::test]
    async fn ranges_are_read_from_both_ends() {
        let store = store(1..=9).await;
        let keys = |rows: Result<Vec<(u64, Note)>, StoreError>| {
            rows.unwrap().into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        let (oldest, newest) = store
            .look(|view| {
                let oldest = keys(NOTES.oldest(view, 3.., 2));
                Ok::<_, StoreError>((oldest, keys(NOTES.newest(view, ..=7, 3))))
            })
            .unwrap();
        assert_eq!((oldest, newest), (vec![3, 4], vec![7, 6, 5]));
    }

    #[tokio::test]
    async fn pages_continue_where_the_last_ended_whatever_comes_meanwhile() {
        let store = store((0..10).map(|key| key * 10)).await;
        let page = |cursor| {
            let page = store.look(|view| NOTES.page(view, .., &request(4, cursor))).unwrap();
            let texts: Vec<_> = page.items.into_iter().map(|note| note.text).collect();
            (texts.join(" "), page.next_cursor)
        };
        let (texts, cursor) = page(None);
        assert_eq!(texts, "90 80 70 60");
        let meanwhile = |change: &mut Change| {
            NOTES.put(change, 95, &Note::new(95))?;
            NOTES.put(change, 55, &Note::new(55))?;
            NOTES.remove(change, 60)
        };
        store.write(meanwhile).await.unwrap();
        let (texts, cursor) = page(cursor);
        assert_eq!(texts, "55 50 40 30");
        let (texts, cursor) = page(cursor);
        assert_eq!((texts.as_str(), cursor), ("20 10 0", None));
    }

    #[tokio::test]
    async fn a_cursor_from_elsewhere_is_refused() {
        let store = store(0..10).await;
        for cursor in [
            Cursor::new("scripts", &5u64.to_le_bytes()),
            Cursor::new("notes", b"short"),
            Cursor::new("notes", &9u64.to_le_bytes()),
        ] {
            let page = store.look(|view| NOTES.page(view, ..8, &request(4, Some(cursor))));
            assert!(matches!(page, Err(StoreError::Cursor(InvalidCursor))), "{page:?}");
        }
    }

    proptest! {
        #[test]
        fn pages_together_are_the_whole_range(
            keys: std::collections::BTreeSet<u64>,
            start: u64,
            limit in 1u64..=7,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let store = runtime.block_on(store(keys.iter().copied()));
            let (mut seen, mut cursor) = (Vec::new(), None);
            loop {
                let request = request(limit, cursor);
                let page = store.look(|view| NOTES.page(view, start.., &request)).unwrap();
                prop_assert!(page.items.len() as u64 <= limit);
                seen.extend(page.items);
                cursor = page.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
            let expected: Vec<_> = keys.range(start..).rev().map(|&key| Note::new(key)).collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
