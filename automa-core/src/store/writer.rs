//! The one thread that writes: it takes all changes that wait, applies them in one transaction,
//! makes that durable with one sync of the [journal](super::journal), publishes their events, and
//! answers them all.

use std::{
    any::Any,
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use redb::{Database, Durability, WriteTransaction};
use tokio::sync::oneshot;

use super::{
    Health, Shared,
    change::{Change, Ran, Verdict},
    journal::Journal,
    migrate::{Found, Schema},
    queue::Taken,
};
use crate::{
    error::StoreError,
    event::{Event, Publisher},
};

/// The most changes of one transaction.
const BATCH: usize = 512;
/// How long the journal goes on before the store is synced.
const ROUND: Duration = Duration::from_secs(1);
/// From the second attempt on to open a failed store, the pause doubles from this …
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Opens a store again that failed.
pub(super) type Reopen = Box<dyn Fn() -> Result<Reopened, StoreError> + Send>;

/// A store that was opened again.
pub(super) struct Reopened {
    pub(super) database: Database,
    pub(super) journal: Option<Journal>,
    /// Why it can only be read.
    pub(super) problem: Option<StoreError>,
}

impl Reopened {
    /// Opens it, and learns whether it can be written.
    pub(super) fn by(
        open: impl Fn() -> Result<(Database, Option<Journal>), StoreError>,
        schema: Schema,
    ) -> Result<Self, StoreError> {
        let (database, mut journal) = open()?;
        let found = Found::Format(schema.format());
        let Err(problem) = schema.apply(&database, found, journal.as_mut()) else {
            return Ok(Self { database, journal, problem: None });
        };
        // A handle whose disk has failed once does not read any more either. It holds the lock.
        drop(database);
        let (mut database, mut journal) = open()?;
        if let Err(error) = schema.show(&database, journal.as_mut()) {
            tracing::warn!(%error, "what the journal of the store holds cannot be shown yet");
            drop(database);
            (database, journal) = open()?;
        }
        Ok(Self { database, journal, problem: Some(problem) })
    }
}

/// A change that waits, whatever the types of its closure and result.
pub(super) trait Request: Send {
    /// Applies it to a transaction. This may happen again, to another one.
    fn apply(&mut self, change: &mut Change) -> Ran;
    /// Tells the caller, if it still waits, its result or the failure of all.
    fn answer(self: Box<Self>, failure: Option<StoreError>);
}

/// The one implementation of [`Request`].
pub(super) struct Waiting<T, E, F> {
    body: F,
    result: Option<Result<T, E>>,
    caller: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Waiting<T, E, F> {
    pub(super) fn new(body: F) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (caller, answer) = oneshot::channel();
        (Self { body, result: None, caller }, answer)
    }
}

impl<T, E, F> Request for Waiting<T, E, F>
where
    T: Send,
    E: From<StoreError> + Send,
    F: FnMut(&mut Change) -> Result<T, E> + Send,
{
    fn apply(&mut self, change: &mut Change) -> Ran {
        change.run(|change| {
            // Whatever the closure left half done in the transaction goes with it, and what it
            // left half done in itself nobody sees: it does not run again.
            let (result, verdict) = match catch_unwind(AssertUnwindSafe(|| (self.body)(change))) {
                Ok(Ok(value)) => (Ok(value), Verdict::Keep),
                Ok(Err(error)) => (Err(error), Verdict::Refuse),
                Err(panic) => {
                    let message = message(&*panic);
                    (Err(StoreError::Panicked { message }.into()), Verdict::Panic)
                }
            };
            self.result = Some(result);
            verdict
        })
    }

    fn answer(self: Box<Self>, failure: Option<StoreError>) {
        let result = match (failure, self.result) {
            (Some(failure), _) => Err(failure.into()),
            (None, Some(result)) => result,
            (None, None) => Err(StoreError::Closed.into()),
        };
        // A caller that has gone away wanted no answer; its change is made all the same.
        let _ = self.caller.send(result);
    }
}

/// Answers a request and drops it, which is code of its caller too and may panic.
fn answer(request: Box<dyn Request>, failure: Option<StoreError>) {
    if catch_unwind(AssertUnwindSafe(|| request.answer(failure))).is_err() {
        tracing::error!("a change of the store panicked when it was dropped");
    }
}

/// What a panic was raised with, if that was text.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref().cloned()).unwrap_or_else(|| "no message".into())
}

/// Why a whole transaction came to nothing.
enum Failure {
    /// It did not begin.
    Begin(String),
    /// It may or may not be durable.
    Commit(Arc<redb::Error>),
}

impl Failure {
    fn error(&self) -> StoreError {
        match self {
            Self::Begin(reason) => StoreError::Unavailable { reason: reason.clone() },
            Self::Commit(source) => StoreError::Commit(Arc::clone(source)),
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Begin(reason) => reason.clone(),
            Self::Commit(source) => source.to_string(),
        }
    }
}

/// The store failed; it is opened again at a time.
struct Broken {
    reason: String,
    retry_at: Instant,
    /// How many events were never sent because it is not known whether they happened.
    withheld: u64,
}

/// The state of the writer's thread.
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// None if there is nothing to open again: the store is in memory.
    reopen: Option<Reopen>,
    /// None if there is nothing to keep.
    journal: Option<Journal>,
    /// When the journal is to begin anew, if it holds anything.
    due: Option<Instant>,
    events: Publisher,
    broken: Option<Broken>,
    /// Failures since the last transaction that succeeded.
    failures: u32,
}

/// What the thread does last, however it ends.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.queue.close();
        // Nothing is left unless the thread panicked. Who is dropped here is told by that.
        while let Taken::Items(items) = self.0.queue.take(BATCH, None) {
            drop(items);
        }
        self.0.install(None);
        self.0.health.send_replace(Health::Closed);
    }
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        reopen: Option<Reopen>,
        journal: Option<Journal>,
        events: Publisher,
    ) -> Self {
        Self { shared, reopen, journal, due: None, events, broken: None, failures: 0 }
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let _end = End(&shared);
        loop {
            let retry_at = self.broken.as_ref().map(|broken| broken.retry_at);
            if retry_at.is_some_and(|at| at <= Instant::now()) {
                self.reopen();
                continue;
            }
            match shared.queue.take(BATCH, retry_at.or(self.due)) {
                Taken::Closed => break self.settle(),
                Taken::Nothing => self.settle(),
                Taken::Items(requests) => match &self.broken {
                    None => self.write(requests),
                    Some(Broken { reason, .. }) => {
                        for request in requests {
                            let reason = reason.clone();
                            answer(request, Some(StoreError::Unavailable { reason }));
                        }
                    }
                },
            }
        }
    }

    /// Makes the changes of one batch, and answers them.
    fn write(&mut self, requests: Vec<Box<dyn Request>>) {
        let mut batch: Vec<_> = requests.into_iter().map(|request| (request, true)).collect();
        let mut events = Vec::new();
        let failure = loop {
            match self.attempt(&mut batch, &mut events) {
                Ok(true) => break None,
                Ok(false) => {}
                Err(failure) => break Some(failure),
            }
        };
        if let Some(failure) = &failure {
            self.fail(failure, events.len());
        } else {
            self.failures = 0;
            for event in events {
                self.events.publish(event);
            }
        }
        for (request, _) in batch {
            answer(request, failure.as_ref().map(Failure::error));
        }
    }

    /// Applies and commits those of a batch that are still in it. `false` if one of them spoilt the
    /// transaction: that one is taken out, and the others have to be applied again.
    fn attempt(
        &mut self,
        batch: &mut [(Box<dyn Request>, bool)],
        events: &mut Vec<Event>,
    ) -> Result<bool, Failure> {
        let txn = self.shared.begin_write().map_err(|error| Failure::Begin(chain(&error)))?;
        let mut change = Change::new(txn);
        let mut kept = 0;
        for (request, within) in batch.iter_mut().filter(|(_, within)| *within) {
            match request.apply(&mut change) {
                Ran::Kept => kept += 1,
                Ran::Refused => {}
                Ran::Spoilt => {
                    *within = false;
                    return Ok(false);
                }
            }
        }
        let (written, emitted) = change.finish();
        *events = emitted;
        if let Some((txn, operations)) = written {
            self.commit(txn, &operations).map_err(|error| Failure::Commit(Arc::new(error)))?;
            self.shared.commits.fetch_add(1, Ordering::Relaxed);
        }
        self.shared.changes.fetch_add(kept, Ordering::Relaxed);
        Ok(true)
    }

    /// Makes a transaction durable: by the journal if it has room, else by a sync of the store.
    fn commit(&mut self, mut txn: WriteTransaction, operations: &[u8]) -> Result<(), redb::Error> {
        match &mut self.journal {
            Some(journal) if journal.fits(operations) => {
                txn.set_durability(Durability::None)?;
                journal.append(operations).map_err(redb::Error::Io)?;
                self.due.get_or_insert_with(|| Instant::now() + ROUND);
                Ok(txn.commit()?)
            }
            _ => self.commit_to_store(txn),
        }
    }

    /// Syncs the store, which needs nothing of the journal then.
    fn commit_to_store(&mut self, mut txn: WriteTransaction) -> Result<(), redb::Error> {
        // Without, opening after a crash takes seconds for each gigabyte.
        txn.set_quick_repair(true);
        if let Some(journal) = &self.journal {
            journal.take(&txn)?;
        }
        txn.commit()?;
        self.due = None;
        if let Some(journal) = &mut self.journal {
            journal.restart();
        }
        Ok(())
    }

    /// Makes the store durable without its journal, if it is not.
    fn settle(&mut self) {
        if self.broken.is_some() || self.journal.as_ref().is_none_or(Journal::is_empty) {
            return;
        }
        let settled = self.shared.begin_write().map_err(|error| Failure::Begin(chain(&error)));
        let settled = settled.and_then(|txn| {
            self.commit_to_store(txn).map_err(|error| Failure::Commit(Arc::new(error)))
        });
        if let Err(failure) = settled {
            self.fail(&failure, 0);
        }
    }

    /// After an I/O error redb refuses all later writes on its handle: a new one is needed.
    fn fail(&mut self, failure: &Failure, withheld: usize) {
        let reason = failure.reason();
        tracing::error!(reason, "the store failed");
        if self.reopen.is_some() {
            self.retry_later(reason, u64::try_from(withheld).unwrap_or(u64::MAX));
        }
    }

    fn retry_later(&mut self, reason: String, withheld: u64) {
        let retry_at = Instant::now() + pause(self.failures);
        self.failures = self.failures.saturating_add(1);
        self.shared.health.send_replace(Health::Failing { reason: reason.clone() });
        self.broken = Some(Broken { reason, retry_at, withheld });
    }

    fn reopen(&mut self) {
        let (Some(broken), Some(reopen)) = (self.broken.take(), &self.reopen) else { return };
        let problem = match self.shared.replace(reopen) {
            Ok((journal, None)) => {
                (self.journal, self.due) = (journal, None);
                self.shared.health.send_replace(Health::Ready);
                if broken.withheld > 0 {
                    self.events.publish(Event::Missed(broken.withheld));
                }
                tracing::info!("the store is available again");
                return;
            }
            Ok((_, Some(problem))) | Err(problem) => problem,
        };
        let reason = chain(&problem);
        tracing::debug!(reason, "the store cannot be written yet");
        self.retry_later(reason, broken.withheld);
    }
}

/// How long to wait after the given number of failures in a row.
fn pause(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        failures => FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(16)).min(LONGEST_PAUSE),
    }
}

/// An error and its sources, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        let pauses = [0, 1, 2, 3, 9, 10, 11, 1000].map(|failures| pause(failures).as_millis());
        assert_eq!(pauses, [0, 10, 20, 40, 2560, 5000, 5000, 5000]);
    }
}
