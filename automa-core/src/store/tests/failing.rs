//! A disk that fails, and works again.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{Database, StorageBackend};

use super::*;
use crate::{
    clock::SystemClock,
    event::Event,
    id::UserId,
    store::{Health, journal::Journal, migrate::Found, writer::Reopened},
};

/// A file in memory that outlives the database on it.
#[derive(Debug, Clone, Default)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    full: Arc<AtomicBool>,
    /// Whether it has room for nothing more than there is.
    crowded: Arc<AtomicBool>,
}

impl Disk {
    fn open(&self) -> Result<Database, StoreError> {
        Ok(Database::builder().create_with_backend(self.clone())?)
    }

    fn fill(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    fn check(&self) -> io::Result<()> {
        let full = self.full.load(Ordering::SeqCst);
        if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn store(&self) -> Store {
        self.store_with(|| None)
    }

    /// A store with a journal, if there is one.
    fn store_with(&self, journal: impl Fn() -> Option<Journal> + Send + 'static) -> Store {
        let (database, mut begun) = (self.open().unwrap(), journal());
        SCHEMA.apply(&database, Found::Empty, begun.as_mut()).unwrap();
        let disk = self.clone();
        let reopen = move || Reopened::by(|| Ok((disk.open()?, journal())), SCHEMA);
        Store::start(database, begun, Some(Box::new(reopen)), "disk".as_ref()).unwrap()
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.bytes.lock().unwrap()[start..start + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        if self.crowded.load(Ordering::SeqCst) && len > self.len()? {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.lock().unwrap().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        let start = usize::try_from(offset).unwrap();
        self.bytes.lock().unwrap()[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}

#[tokio::test]
async fn all_that_wait_are_told_and_the_store_comes_back_by_itself() {
    let disk = Disk::default();
    let store = disk.store();
    store.write(put(1)).await.unwrap();
    let mut subscription = store.subscribe();

    let gate = Gate::close(&store).await;
    let mut answers = Vec::new();
    for key in 2..5 {
        let user = UserId::generate(&SystemClock::new());
        let write = store.write(move |change| {
            change.emit(Event::UserChanged(user));
            put(key)(change)
        });
        answers.push(accepted(write).await);
    }
    let refused = accepted(store.write(|change| NOTES.insert(change, 4, &Note::new(4)))).await;
    answers.push(refused);
    disk.fill(true);
    gate.open().await.unwrap();
    for answer in answers {
        let error = answer.await.unwrap_err();
        assert!(matches!(error, StoreError::Commit(_)), "{error:?}");
    }
    let Health::Failing { reason } = store.health() else { panic!("{:?}", store.health()) };
    assert!(!reason.is_empty());
    let error = store.write(put(5)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_eq!(subscription.try_next(), None);

    disk.fill(false);
    assert_eq!(store.settled().await, Health::Ready);
    assert_eq!(keys(&store)[0], 1, "what was acknowledged is there");
    assert_eq!(subscription.next().await, Some(Event::Missed(3)));
    store.write(put(6)).await.unwrap();
    assert!(keys(&store).contains(&6));
}

#[tokio::test]
async fn who_insists_waits_for_the_disk() {
    let disk = Disk::default();
    let store = disk.store();
    disk.fill(true);
    // It fails once, and each time it is tried again.
    let insisting = accepted(store.insist(|change| NOTES.put(change, 1, &Note::new(1)))).await;
    let error = store.write(put(2)).await.unwrap_err();
    assert!(matches!(error, StoreError::Commit(_) | StoreError::Unavailable { .. }), "{error:?}");
    disk.fill(false);
    insisting.await.unwrap();
    assert!(keys(&store).contains(&1));
    // What fails for another reason, or for ever, is not tried again.
    let exists = store.insist(|change| NOTES.insert(change, 1, &Note::new(1))).await;
    assert!(matches!(exists, Err(StoreError::Exists { .. })), "{exists:?}");
    disk.fill(true);
    let insisting = accepted(store.insist(|change| NOTES.put(change, 3, &Note::new(3)))).await;
    store.shutdown().await;
    let closed = insisting.await;
    assert!(closed.is_err(), "{closed:?}");
}

#[tokio::test]
async fn a_store_that_fails_can_be_shut_down() {
    let disk = Disk::default();
    let store = disk.store();
    store.write(put(1)).await.unwrap();
    disk.fill(true);
    store.write(put(2)).await.unwrap_err();
    store.shutdown().await;
    assert_eq!(store.health(), Health::Closed);
    disk.fill(false);
    assert_eq!(keys(&disk.store())[0], 1);
}

#[tokio::test]
async fn what_a_database_cannot_write_fails_without_closing_it() {
    let disk = Disk::default();
    let store = disk.store();
    let twice = |change: &mut Change| {
        let definition = redb::TableDefinition::<u64, &[u8]>::new("notes");
        let _held = change.open_mut(definition)?;
        Err::<(), _>(redb::TableError::TableDoesNotExist("none".into()).into())
    };
    let error: StoreError = store.write(twice).await.unwrap_err();
    assert!(matches!(error, StoreError::Database(_)), "{error:?}");
    assert_eq!(store.health(), Health::Ready);
    store.write(put(1)).await.unwrap();
}

#[tokio::test]
async fn what_only_the_journal_holds_is_there_when_the_store_cannot_grow() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("automa.redb");
    let disk = Disk::default();
    let store = disk.store_with(move || Some(Journal::of(&path).unwrap()));
    for key in 0..3 {
        store.write(put(key)).await.unwrap();
    }
    disk.crowded.store(true, Ordering::SeqCst);
    let large = Note::new(&*"large".repeat(1 << 20));
    store.write(move |change: &mut Change| NOTES.put(change, 3, &large)).await.unwrap_err();
    // The handle has failed by that, and what the store's file does not hold with it.
    store.insist(|change| NOTES.put(change, 4, &Note::new(4))).await.unwrap();
    assert_eq!(keys(&store), [0, 1, 2, 4]);
    store.shutdown().await;
    assert_eq!(keys(&disk.store()), [0, 1, 2, 4]);
}
