//! Compaction: what was removed leaves free pages in the store's file. They are used again before the
//! file grows, but the file system gets them only when what lies behind them is moved and the file is
//! cut. That takes time, and nobody else may read meanwhile.
//!
//! So it is done when a store is opened, if at least half of its file is free: which is looked at only
//! once as many executions were removed as are left. Every other start costs the look at one number.
//!
//! A crash in between loses nothing: pages are copied to free ones, which a durable commit refers to
//! before the old ones count as free, and the file is cut behind the last page that is in use. Only the
//! next start takes longer, by the time to read the store once, and does not try again by itself.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable};

use super::{
    change::{Change, Snapshot},
    executions, file,
    migrate::META,
};
use crate::error::StoreError;

/// Under this key of `meta` is how many executions were removed since it was last looked.
const REMOVED: &str = "removed";
/// The smallest file that is made smaller when it is opened (64 MiB).
const WORTHWHILE: u64 = 64 << 20;

/// How large a store's file was, and is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compaction {
    /// Bytes before.
    pub before: u64,
    /// Bytes after.
    pub after: u64,
}

/// Notes that so many executions were removed.
pub(crate) fn note_removed(change: &mut Change, executions: u64) -> Result<(), StoreError> {
    if executions > 0 {
        let mut meta = change.open_mut(META)?;
        let before = meta.get(REMOVED)?.map_or(0, |removed| removed.value());
        let more = u32::try_from(executions).unwrap_or(u32::MAX);
        meta.insert(REMOVED, before.saturating_add(more))?;
    }
    Ok(())
}

/// Makes the file of a store that was just opened smaller, if that pays.
pub(super) fn when_due(database: Database, path: &Path) -> Result<Database, StoreError> {
    when_worthwhile(database, path, WORTHWHILE)
}

fn when_worthwhile(
    mut database: Database,
    path: &Path,
    least: u64,
) -> Result<Database, StoreError> {
    let before = file::size(path)?;
    if before < least || !many_removed(&database)? {
        return Ok(database);
    }
    // Whatever comes of it: it is not tried again until as many were removed once more.
    forget_removed(&database)?;
    if used(&database)? > before / 2 {
        return Ok(database);
    }
    tracing::info!(bytes = before, "more than half of the store is free, and is given back");
    match run(&mut database, path) {
        Ok(Compaction { before, after }) => {
            tracing::info!(before, after, "the store was made smaller");
            Ok(database)
        }
        // It is as good as before, but a handle that has failed is not.
        Err(error) => {
            tracing::warn!(%error, "the store could not be made smaller");
            drop(database);
            file::open_existing(path)
        }
    }
}

/// Makes a file smaller that only this handle has open.
pub(super) fn run(database: &mut Database, path: &Path) -> Result<Compaction, StoreError> {
    let before = file::size(path)?;
    database.compact()?;
    Ok(Compaction { before, after: file::size(path)? })
}

/// Whether as many were removed as are left, or more.
fn many_removed(database: &Database) -> Result<bool, StoreError> {
    let txn = database.begin_read()?;
    let removed = txn.open_table(META)?.get(REMOVED)?.map_or(0, |removed| removed.value());
    Ok(removed > 0 && u64::from(removed) >= executions::counts(&Snapshot::new(txn))?.total())
}

fn forget_removed(database: &Database) -> Result<(), StoreError> {
    let mut txn = database.begin_write()?;
    txn.set_quick_repair(true);
    txn.open_table(META)?.remove(REMOVED)?;
    Ok(txn.commit()?)
}

/// Bytes of the pages that are in use. Reads all of the store.
fn used(database: &Database) -> Result<u64, StoreError> {
    let txn = database.begin_write()?;
    let stats = txn.stats()?;
    txn.abort()?;
    let page = u64::try_from(stats.page_size()).unwrap_or(u64::MAX);
    Ok(stats.allocated_pages().saturating_mul(page))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Automa,
        actor::Actor,
        id::ExecutionId,
        store::{Store, migrate},
    };

    /// A store in which there were so many executions, of which some were removed.
    async fn store(directory: &Path, rows: u64, removed: usize) {
        let me = Actor::embedder("test");
        Automa::builder().directory(directory).seed(&me, rows, |_| ()).await.unwrap();
        let store = Store::open(directory.join("automa.redb")).unwrap();
        let remove = move |change: &mut Change| {
            let all = (ExecutionId::MIN, ExecutionId::MAX);
            let oldest = executions::oldest(change, None, all, removed)?;
            oldest.iter().try_for_each(|it| executions::remove(change, it))?;
            note_removed(change, oldest.len() as u64)
        };
        store.write(remove).await.unwrap();
        store.shutdown().await;
    }

    fn open(path: &Path, least: u64) -> (Database, u64) {
        let database = file::open(path, migrate::CURRENT).unwrap().0;
        let before = file::size(path).unwrap();
        let database = when_worthwhile(database, path, least).unwrap();
        assert!(!many_removed(&database).unwrap() || file::size(path).unwrap() < least);
        (database, before)
    }

    #[tokio::test]
    async fn a_store_of_which_most_was_removed_is_made_smaller_when_it_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("automa.redb");
        store(directory.path(), 3000, 2800).await;
        let (database, before) = open(&path, u64::MAX);
        assert_eq!(file::size(&path).unwrap(), before, "too small to be worth it");
        drop(database);
        let (database, before) = open(&path, 0);
        let after = file::size(&path).unwrap();
        assert!(after < before / 2, "{before} {after}");
        drop(database);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.look(executions::counts).unwrap().total(), 200);
        let all = (ExecutionId::MIN, ExecutionId::MAX);
        let left = store.look(|view| executions::oldest(view, None, all, 1000)).unwrap();
        assert_eq!(left.len(), 200);
    }

    #[tokio::test]
    async fn a_store_that_is_in_use_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("automa.redb");
        store(directory.path(), 300, 20).await;
        let (database, before) = open(&path, 0);
        assert!(file::size(&path).unwrap() >= before);
        drop(database);
        let open = Store::open(&path).unwrap();
        assert!(matches!(Store::compact(&path), Err(StoreError::InUse { .. })));
        open.shutdown().await;
        Store::compact(&path).unwrap();
        let nothing = directory.path().join("none.redb");
        assert!(matches!(Store::compact(&nothing), Err(StoreError::File { .. })));
        assert!(!nothing.exists());
    }
}
