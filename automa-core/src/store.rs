//! The store: everything but logs and artifacts, in one file.
//!
//! - **One way to write**: a change is a closure that reads, checks and writes within a
//!   transaction. All changes that wait are made by one thread in one transaction with one sync of
//!   the disk ("group commit"), and answered when that is durable: in the `journal` first, in the
//!   store's file within a second.
//! - **Reads never wait for writes**: each sees the store as it was when it began, and everything
//!   that had been acknowledged by then.
//! - **Nothing of redb crosses an `.await`**: closures run to their end within one thread.
//!
//! A table is a module here that says what its keys are, with a `Table` of `Record`s, and its line
//! in `migrate::CURRENT`. Actors, permissions and rules are not here: operations of the domain
//! decide, and then make one change that contains everything that belongs together.

pub(crate) mod agents;
pub(crate) mod api_keys;
pub(crate) mod artifacts;
pub(crate) mod audit;
pub(crate) mod bindings;
pub(crate) mod change;
pub(crate) mod compact;
pub(crate) mod credentials;
pub(crate) mod executions;
mod file;
pub(crate) mod idempotency;
pub(crate) mod jobs;
mod journal;
pub(crate) mod logs;
mod meet;
mod migrate;
mod queue;
pub(crate) mod quotas;
pub(crate) mod record;
pub(crate) mod results;
pub(crate) mod retention;
pub(crate) mod reviews;
pub(crate) mod scripts;
pub(crate) mod sessions;
pub(crate) mod table;
#[cfg(test)]
mod tests;
pub(crate) mod tiers;
pub(crate) mod users;
mod writer;

use std::{
    fmt,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use redb::{Database, ReadableDatabase, WriteTransaction, backends::InMemoryBackend};
use tokio::sync::watch;

pub use self::compact::Compaction;
use self::{
    change::{Change, Snapshot},
    journal::Journal,
    migrate::{Found, Schema},
    queue::Queue,
    writer::{Reopen, Reopened, Request, Waiting, Writer},
};
use crate::{
    blocking,
    error::StoreError,
    event::{Changes, Events, Publisher, Subscription},
    id::ExecutionId,
};

/// How many changes may wait; who comes then waits for a place.
const WAITING: usize = 4096;

/// An open store. Clones are handles of the same one.
///
/// It needs tokio's runtime for reading only; it spawns one thread and no task. When the last
/// handle is dropped, the changes that were accepted are made and the file is closed, as by
/// [`shutdown`](Self::shutdown), and the drop waits for that.
///
/// ```
/// use automa_core::store::{Health, Store};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = Store::in_memory()?;
/// assert_eq!(store.health(), Health::Ready);
/// store.shutdown().await;
/// assert_eq!(store.health(), Health::Closed);
/// # Ok::<(), automa_core::error::StoreError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

/// Whether a store can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It can.
    Ready,
    /// The last attempt failed. Changes are refused with [`StoreError::Unavailable`] until one is
    /// made again, which is tried in the background. What is there can be read, unless the disk fails
    /// at that, too.
    Failing {
        /// What failed.
        reason: String,
    },
    /// It was shut down.
    Closed,
}

/// What a store has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Transactions that were made durable.
    pub commits: u64,
    /// Changes that were acknowledged: more than commits when there are many at a time.
    pub changes: u64,
    /// Changes that wait at the moment, 4,096 at most.
    pub waiting: usize,
}

/// What the handles and the writer share.
struct Shared {
    /// None while it cannot even be opened, and in the end.
    database: RwLock<Option<Database>>,
    queue: Queue<Box<dyn Request>>,
    health: watch::Sender<Health>,
    commits: AtomicU64,
    changes: AtomicU64,
}

/// What all clones of a [`Store`] own.
struct Handle {
    shared: Arc<Shared>,
    events: Events,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store in the file `path`, or makes it there, in a directory that exists.
    ///
    /// Blocks while it does, for long if the store has an older format: that is copied to
    /// `<path>.v<format>.backup` and then brought up to date, in one transaction. And for a while if
    /// more than half of its file is free since much was removed: then the file is made smaller.
    ///
    /// The file is readable by its owner alone. It is locked as long as the store is open, and
    /// copying it then makes no usable copy. The store caches up to 64 MiB of it. Beside it is
    /// `<path>.journal`, which belongs to it after a crash: it holds what the file does not yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] if it is open already, in this process or another;
    /// [`StoreError::TooNew`] if a newer Automa wrote it; [`StoreError::Foreign`] if it is
    /// something else; [`StoreError::File`] if a file cannot be read or made;
    /// [`StoreError::Database`] if its contents cannot be.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(path.as_ref(), migrate::CURRENT)
    }

    /// A new store in memory, which ends with it: for tests.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], which memory gives no reason for, and [`StoreError::File`] if the
    /// system starts no thread.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::in_memory_with(migrate::CURRENT)
    }

    fn open_with(path: &Path, schema: Schema) -> Result<Self, StoreError> {
        // It may be opened again after the program has gone to another directory.
        let file = std::path::absolute(path).map_err(|source| StoreError::File {
            doing: "looking for",
            path: path.into(),
            source,
        })?;
        let (database, journal) = file::open(&file, schema)?;
        let database = compact::when_due(database, &file)?;
        let reopen = Box::new(move || file::reopen(&file, schema));
        Self::start(database, Some(journal), Some(reopen), path)
    }

    /// Makes the file of a store smaller that nobody has open, as far as that goes. Blocks meanwhile,
    /// seconds for each gigabyte. Whoever is interrupted loses nothing.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); and [`StoreError::File`] if there is none.
    pub fn compact(path: impl AsRef<Path>) -> Result<Compaction, StoreError> {
        let path = path.as_ref();
        // It is not made here.
        file::size(path)?;
        compact::run(&mut file::open(path, migrate::CURRENT)?.0, path)
    }

    fn in_memory_with(schema: Schema) -> Result<Self, StoreError> {
        let database = Database::builder().create_with_backend(InMemoryBackend::new())?;
        schema.apply(&database, Found::Empty, None)?;
        Self::start(database, None, None, Path::new("memory"))
    }

    fn start(
        database: Database,
        journal: Option<Journal>,
        reopen: Option<Reopen>,
        path: &Path,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            database: RwLock::new(Some(database)),
            queue: Queue::new(WAITING),
            health: watch::Sender::new(Health::Ready),
            commits: AtomicU64::new(0),
            changes: AtomicU64::new(0),
        });
        let (publisher, events) = Publisher::new();
        let writer = Writer::new(Arc::clone(&shared), reopen, journal, publisher);
        let thread = thread::Builder::new().name("automa-store".into()).spawn(|| writer.run());
        let thread = thread.map_err(|source| StoreError::File {
            doing: "starting the writer of",
            path: path.into(),
            source,
        })?;
        let writer = Mutex::new(Some(thread));
        Ok(Self { handle: Arc::new(Handle { shared, events, writer }) })
    }

    /// Reads with `body`, away from the threads of the async runtime: for whatever is more than a
    /// few lookups.
    ///
    /// Do not wait for anything within: the file keeps growing while an old state is read.
    ///
    /// # Errors
    ///
    /// `body`'s, or [`StoreError::Closed`], [`StoreError::Unavailable`],
    /// [`StoreError::Database`].
    ///
    /// # Panics
    ///
    /// When `body` does, and when called outside of tokio's runtime.
    pub(crate) async fn read<T, E, F>(&self, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Snapshot) -> Result<T, E> + Send + 'static,
    {
        let shared = Arc::clone(&self.handle.shared);
        blocking::run(move || body(&shared.snapshot()?)).await
    }

    /// Reads with `body`, here and now: for a few lookups by key, microseconds each.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub(crate) fn look<T, E: From<StoreError>>(
        &self,
        body: impl FnOnce(&Snapshot) -> Result<T, E>,
    ) -> Result<T, E> {
        body(&self.handle.shared.snapshot()?)
    }

    /// Makes a change; returns when it is durable and its events are published.
    ///
    /// `body` may run several times, on different states of the store, of which one counts: it
    /// has no effect but on its [`Change`]. It checks before it writes, because one that fails
    /// after it wrote makes all others of its transaction run again. Ids and times are made before,
    /// outside of it.
    ///
    /// Dropping the future before the change was accepted, that is while 4,096 others wait, means
    /// it never was. Afterwards it is made exactly once, whether or not anyone waits for it.
    /// Changes are made in the order of acceptance.
    ///
    /// # Errors
    ///
    /// `body`'s: nothing of it is stored, and the other changes are not affected. Or
    /// [`StoreError::Panicked`], the same for a panic; [`StoreError::Closed`];
    /// [`StoreError::Unavailable`]; and [`StoreError::Commit`], after which it is not known
    /// whether the change is stored.
    pub(crate) async fn write<T, E, F>(&self, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnMut(&mut Change) -> Result<T, E> + Send + 'static,
    {
        let (request, answer) = Waiting::new(body);
        if self.handle.shared.queue.push(Box::new(request)).await.is_err() {
            return Err(StoreError::Closed.into());
        }
        answer.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// As [`write`](Self::write), and while the store fails again each time it is available again.
    /// For what has to be recorded; `body` may find that it was made already.
    ///
    /// # Errors
    ///
    /// `body`'s, and [`StoreError::Closed`].
    pub(crate) async fn insist<T, F>(&self, body: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut Change) -> Result<T, StoreError> + Send + Sync + 'static,
    {
        let body = Arc::new(body);
        loop {
            let body = Arc::clone(&body);
            match self.write(move |change: &mut Change| body(change)).await {
                Err(error) if self.outlives(&error).await => {}
                result => return result,
            }
        }
    }

    /// Waits until the store is available again after `error`; `false` if it is no error that passes
    /// or the store was shut down.
    pub(crate) async fn outlives(&self, error: &StoreError) -> bool {
        matches!(error, StoreError::Unavailable { .. } | StoreError::Commit(_))
            && self.settled().await == Health::Ready
    }

    /// The events of all changes from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.handle.events.subscribe()
    }

    /// What becomes of one execution from now on.
    pub(crate) fn changes_of(&self, id: ExecutionId) -> Changes {
        self.handle.events.of_execution(id)
    }

    /// Whether the store can be written.
    #[must_use]
    pub fn health(&self) -> Health {
        self.handle.shared.health.borrow().clone()
    }

    /// Waits until the store can be written, or was shut down, and tells which.
    pub async fn settled(&self) -> Health {
        let mut health = self.handle.shared.health.subscribe();
        let settled = health.wait_for(|health| !matches!(health, Health::Failing { .. })).await;
        settled.map_or(Health::Closed, |health| health.clone())
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = &self.handle.shared;
        Stats {
            commits: shared.commits.load(Ordering::Relaxed),
            changes: shared.changes.load(Ordering::Relaxed),
            waiting: shared.queue.len(),
        }
    }

    /// Accepts no more changes, makes and answers those that were accepted, and closes the file.
    ///
    /// Reads that are not done by then fail with [`StoreError::Closed`]. All handles are closed by
    /// it, and it can be called more than once.
    pub async fn shutdown(&self) {
        self.handle.shared.queue.close();
        let mut health = self.handle.shared.health.subscribe();
        // The sender is in `shared`, so there is an answer.
        let _ = health.wait_for(|health| *health == Health::Closed).await;
        // Closing was the last thing the thread did.
        self.handle.join();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("health", &self.health()).finish_non_exhaustive()
    }
}

impl Shared {
    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.with_database(|database| Ok(Snapshot::new(database.begin_read()?)))
    }

    fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        self.with_database(|database| Ok(database.begin_write()?))
    }

    fn with_database<T>(
        &self,
        begin: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => begin(database),
            None => Err(match &*self.health.borrow() {
                Health::Failing { reason } => StoreError::Unavailable { reason: reason.clone() },
                Health::Ready | Health::Closed => StoreError::Closed,
            }),
        }
    }

    fn install(&self, database: Option<Database>) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = database;
    }

    /// Opens the store again; who wants to read meanwhile waits. Tells why it can only be read.
    fn replace(
        &self,
        reopen: &Reopen,
    ) -> Result<(Option<Journal>, Option<StoreError>), StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The old handle holds the lock.
        *database = None;
        let Reopened { database: reopened, journal, problem } = reopen()?;
        *database = Some(reopened);
        Ok((journal, problem))
    }
}

impl Handle {
    fn join(&self) {
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last handle may have been in a change's closure: the writer does not wait for itself.
        if let Some(thread) = thread.filter(|writer| writer.thread().id() != thread::current().id())
            && thread.join().is_err()
        {
            tracing::error!("the writer of the store panicked");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queue.close();
        self.join();
    }
}
