//! Runs executions: takes what is queued and starts it when a slot is free. One task keeps the queue;
//! each execution has a task of its own (`run`), which holds its slot as long as it lives.
//!
//! The queue is told by the store's own events what was accepted: whoever submitted need not live on
//! for it, and what an event misses is read from the store. What is submitted while a slot is free
//! and nothing waits for one does not go through the queue: it is accepted and started in one change.

mod run;
mod sandboxes;

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use automa_sandbox::Protection;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch},
    task::JoinHandle,
};

pub(crate) use self::sandboxes::Sandboxes;
use super::{
    ArtifactFiles, Ending, Execution, State,
    log::{LogError, LogHandle, LogReader, recover},
};
use crate::{
    Error, Result,
    clock::Clock,
    error::StoreError,
    event::{Event, Subscription},
    health::EngineHealth,
    id::ExecutionId,
    store::{
        self, Store,
        change::{Change, Snapshot},
    },
};

/// What the handles of an Automa share.
pub(crate) struct Runner {
    dispatcher: Mutex<Option<JoinHandle<()>>>,
    running: Arc<Running>,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}

/// What the tasks share with them.
struct Running {
    sandboxes: Sandboxes,
    store: Store,
    clock: Arc<dyn Clock>,
    logs: PathBuf,
    artifacts: ArtifactFiles,
    live: Mutex<HashMap<ExecutionId, Live>>,
    /// A permit for each execution that may run at the same time.
    slots: Arc<Semaphore>,
    /// How many wait for one.
    waiting: AtomicUsize,
    stop: watch::Sender<bool>,
}

/// The right to run one execution.
pub(super) struct Slot(
    #[expect(dead_code, reason = "given back when dropped")] OwnedSemaphorePermit,
);

/// An execution that a task has taken on.
struct Live {
    cancel: watch::Sender<bool>,
    /// `None` until its log is made.
    log: watch::Sender<Option<LogHandle>>,
}

impl Runner {
    /// Records what a former process left running as lost, and begins with what is queued.
    pub(crate) async fn start(
        sandboxes: Sandboxes,
        store: Store,
        clock: Arc<dyn Clock>,
        (logs, artifacts): (PathBuf, ArtifactFiles),
    ) -> Result<Arc<Self>> {
        let running = Arc::new(Running {
            slots: Arc::new(Semaphore::new(sandboxes.slots())),
            sandboxes,
            store,
            clock,
            logs,
            artifacts,
            live: Mutex::default(),
            waiting: AtomicUsize::new(0),
            stop: watch::Sender::new(false),
        });
        // Before what is queued is read: what comes meanwhile is told twice rather than not at all.
        let events = running.store.subscribe();
        let queue = running.reconcile().await?.into();
        #[expect(clippy::disallowed_methods, reason = "joined by `stop`")]
        let dispatcher = tokio::spawn(running.clone().dispatch(queue, events));
        Ok(Arc::new(Self { dispatcher: Mutex::new(Some(dispatcher)), running }))
    }

    /// A slot, if one is free and nothing waits for it.
    pub(super) fn free_slot(&self) -> Option<Slot> {
        let running = &self.running;
        if *running.stop.borrow() || running.waiting.load(Ordering::Relaxed) > 0 {
            return None;
        }
        running.slots.clone().try_acquire_owned().ok().map(Slot)
    }

    /// Makes the change that accepts an execution as started, and runs it, whether or not anyone
    /// waits here. A `change` that gives another execution starts nothing.
    pub(super) async fn start_in<F>(
        &self,
        slot: Slot,
        id: ExecutionId,
        change: F,
    ) -> Result<Execution>
    where
        F: FnMut(&mut Change) -> Result<Execution> + Send + 'static,
    {
        let running = self.running.clone();
        let (tell, accepted) = oneshot::channel();
        #[expect(clippy::disallowed_methods, reason = "joined by its slot: `stop`")]
        tokio::spawn(async move {
            running.accept_and_run(id, change, tell).await;
            drop(slot);
        });
        accepted.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Asks an execution to end, if it runs.
    pub(super) fn cancel(&self, id: ExecutionId) {
        if let Some(live) = self.running.live().get(&id) {
            live.cancel.send_replace(true);
        }
    }

    /// The log of an execution, which may still be written. One that was never begun has an empty
    /// one, to which nothing is added if it has `ended`.
    pub(super) fn log(&self, id: ExecutionId, ended: bool) -> Result<LogReader> {
        if let Some(log) = self.live_log(id).and_then(|log| log.borrow().clone()) {
            return Ok(log.reader());
        }
        let path = self.running.log_path(id);
        match LogReader::open(&path) {
            Err(error) if is_missing(&error) => Ok(LogReader::empty(path, ended)?),
            result => Ok(result?),
        }
    }

    /// Where artifacts are kept.
    pub(super) fn artifacts(&self) -> &ArtifactFiles {
        &self.running.artifacts
    }

    /// The log of an execution that a task has taken on, once it is made.
    pub(super) fn live_log(&self, id: ExecutionId) -> Option<watch::Receiver<Option<LogHandle>>> {
        self.running.live().get(&id).map(|live| live.log.subscribe())
    }

    /// Whether sandboxes can be started.
    pub(crate) fn health(&self) -> EngineHealth {
        self.running.sandboxes.health()
    }

    /// What this host enforces.
    pub(crate) fn protections(&self) -> Vec<Protection> {
        self.running.sandboxes.protections()
    }

    /// Asks everything that runs to end.
    pub(crate) fn cancel_all(&self) {
        for live in self.running.live().values() {
            live.cancel.send_replace(true);
        }
    }

    /// Starts nothing more and waits for what runs.
    pub(crate) async fn stop(&self) {
        let running = &self.running;
        running.stop.send_replace(true);
        let dispatcher = self.dispatcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(dispatcher) = dispatcher {
            // A panic in it was reported when it happened.
            let _ = dispatcher.await;
        }
        // All slots together mean that no task is left.
        let all = u32::try_from(running.sandboxes.slots()).unwrap_or(u32::MAX);
        let _all = running.slots.acquire_many(all).await;
        running.slots.close();
    }
}

impl Running {
    /// Starts what is queued, one execution for each free slot, until told to stop.
    async fn dispatch(self: Arc<Self>, mut queue: VecDeque<ExecutionId>, mut events: Subscription) {
        let mut stop = self.stop.subscribe();
        loop {
            self.waiting.store(queue.len(), Ordering::Relaxed);
            tokio::select! {
                () = told(&mut stop) => break,
                event = events.next() => match event {
                    Some(Event::ExecutionChanged { id, state: State::Queued }) => {
                        queue.push_back(id);
                    }
                    Some(Event::Missed(_)) => match self.queued().await {
                        Ok(queued) => queue = queued.into(),
                        Err(error) => tracing::error!(%error, "what is queued could not be read"),
                    },
                    Some(_) => {}
                    None => break,
                },
                slot = self.slots.clone().acquire_owned(), if !queue.is_empty() => {
                    let (Ok(slot), Some(id)) = (slot, queue.pop_front()) else { break };
                    let running = self.clone();
                    #[expect(clippy::disallowed_methods, reason = "joined by its slot: `stop`")]
                    tokio::spawn(async move {
                        running.run_queued(id).await;
                        drop(slot);
                    });
                }
            }
        }
    }

    fn live(&self) -> MutexGuard<'_, HashMap<ExecutionId, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an execution on, before it is recorded as running, from when on it can be cancelled;
    /// `None` if another task has.
    fn enter(&self, id: ExecutionId) -> Option<Entered<'_>> {
        let cancel = watch::Sender::new(false);
        let cancelled = cancel.subscribe();
        match self.live().entry(id) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(free) => free.insert(Live { cancel, log: watch::Sender::default() }),
        };
        Some(Entered { running: self, id, cancelled })
    }

    fn log_path(&self, id: ExecutionId) -> PathBuf {
        self.logs.join(format!("{id}.log"))
    }

    /// Ends what a former process was running; returns what is queued, oldest first.
    async fn reconcile(&self) -> Result<Vec<ExecutionId>> {
        let now = self.clock.now();
        let change = move |change: &mut Change| {
            let mut lost = Vec::new();
            for id in store::executions::in_state(change, State::Running)? {
                let Some(mut execution) = store::executions::get(change, id)? else { continue };
                lost.push((id, execution.attempt));
                execution.state = State::Lost;
                execution.finished_at = Some(now);
                execution.ending = Some(Ending::unknown("was lost: Automa ended while it ran"));
                store::executions::put(change, &execution)?;
                change.emit(Event::ExecutionChanged { id, state: State::Lost });
            }
            Ok::<_, Error>((store::executions::in_state(change, State::Queued)?, lost))
        };
        let (queued, lost) = self.store.write(change).await?;
        for (id, attempt) in lost {
            // It may have been killed after it kept files and before it recorded them.
            if let Err(error) = self.artifacts.remove(id, attempt) {
                tracing::error!(%id, %error, "artifacts without a record could not be removed");
            }
            match recover(self.log_path(id)) {
                Ok(_) => {}
                // It was killed before it made its log.
                Err(error) if is_missing(&error) => {}
                Err(error) => tracing::error!(%id, %error, "a log could not be recovered"),
            }
        }
        Ok(queued)
    }

    /// What is queued, oldest first.
    async fn queued(&self) -> Result<Vec<ExecutionId>> {
        let find = |view: &Snapshot| Ok(store::executions::in_state(view, State::Queued)?);
        self.store.read(find).await
    }
}

/// A task's hold on an execution.
struct Entered<'a> {
    running: &'a Running,
    id: ExecutionId,
    cancelled: watch::Receiver<bool>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.running.live().remove(&self.id);
    }
}

/// Waits until a switch is on; its other end lives as long as whoever waits.
async fn told(switch: &mut watch::Receiver<bool>) {
    let _ = switch.wait_for(|on| *on).await;
}

fn is_missing(error: &LogError) -> bool {
    let source = std::error::Error::source(error);
    let io = source.and_then(|source| source.downcast_ref::<std::io::Error>());
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}
