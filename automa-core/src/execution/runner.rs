//! Runs executions: takes what is queued, starts it when a slot is free, writes its log, and records
//! how it ended. One task keeps the queue; each execution has a task of its own.
//!
//! The queue is told by the store's own events what was accepted: whoever submitted need not live on
//! for it, and what an event misses is read from the store.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use automa_sandbox::{Child, Command, Engine, Exit, ExitReport};
use tokio::{
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
};

use super::{
    Ending, Ran, Report, State, find_program,
    log::{LogError, LogHandle, LogOptions, LogReader, LogWriter, recover},
    parameters,
};
use crate::{
    Error, Result,
    clock::Clock,
    event::{Event, Subscription},
    id::ExecutionId,
    store::{
        self, Store,
        change::{Change, Snapshot},
    },
};

/// Time that a cancelled script has to end by itself.
const GRACE: Duration = Duration::from_secs(10);

/// What is shared by the handles and the tasks.
pub(crate) struct Runner {
    dispatcher: Mutex<Option<JoinHandle<()>>>,
    stop: watch::Sender<bool>,
    running: Running,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}

/// What a task needs, cheap to clone.
#[derive(Clone)]
struct Running {
    engine: Engine,
    store: Store,
    clock: Arc<dyn Clock>,
    logs: PathBuf,
    live: Arc<Mutex<HashMap<ExecutionId, Live>>>,
}

/// An execution that is begun.
struct Live {
    cancel: watch::Sender<bool>,
    /// `None` until its log is made.
    log: watch::Sender<Option<LogHandle>>,
}

impl Runner {
    /// Records what a former process left running as lost, and begins with what is queued.
    pub(crate) async fn start(
        engine: Engine,
        store: Store,
        clock: Arc<dyn Clock>,
        logs: PathBuf,
    ) -> Result<Arc<Self>> {
        let running = Running { engine, store, clock, logs, live: Arc::default() };
        // Before what is queued is read: what comes meanwhile is told twice rather than not at all.
        let events = running.store.subscribe();
        let queue = running.reconcile().await?.into();
        let stop = watch::Sender::new(false);
        #[expect(clippy::disallowed_methods, reason = "joined by `stop`")]
        let dispatcher = tokio::spawn(dispatch(running.clone(), queue, events, stop.subscribe()));
        let dispatcher = Mutex::new(Some(dispatcher));
        Ok(Arc::new(Self { dispatcher, stop, running }))
    }

    /// Asks an execution to end, if it runs.
    pub(crate) fn cancel(&self, id: ExecutionId) {
        if let Some(live) = self.running.live().get(&id) {
            live.cancel.send_replace(true);
        }
    }

    /// The log of an execution, which may still be written. One that was never begun has an empty
    /// one, to which nothing is added if it has `ended`.
    pub(crate) fn log(&self, id: ExecutionId, ended: bool) -> Result<LogReader> {
        if let Some(log) = self.live_log(id).and_then(|log| log.borrow().clone()) {
            return Ok(log.reader());
        }
        let path = self.running.log_path(id);
        match LogReader::open(&path) {
            Err(error) if is_missing(&error) => Ok(LogReader::empty(path, ended)?),
            result => Ok(result?),
        }
    }

    /// The log of an execution that has begun, once it is made.
    pub(crate) fn live_log(&self, id: ExecutionId) -> Option<watch::Receiver<Option<LogHandle>>> {
        self.running.live().get(&id).map(|live| live.log.subscribe())
    }

    /// Starts nothing more and waits for what runs.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let dispatcher = self.dispatcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(dispatcher) = dispatcher {
            // A panic in it was reported when it happened.
            let _ = dispatcher.await;
        }
    }
}

/// Starts what is queued, one execution for each free slot, until told to stop.
async fn dispatch(
    running: Running,
    mut queue: VecDeque<ExecutionId>,
    mut events: Subscription,
    mut stop: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(running.engine.slots()));
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            () = told(&mut stop) => break,
            event = events.next() => match event {
                Some(Event::ExecutionChanged { id, state: State::Queued }) => queue.push_back(id),
                Some(Event::Missed(_)) => match running.queued().await {
                    Ok(queued) => queue = queued.into(),
                    Err(error) => tracing::error!(%error, "what is queued could not be read"),
                },
                Some(_) => {}
                None => break,
            },
            slot = slots.clone().acquire_owned(), if !queue.is_empty() => {
                let (Ok(slot), Some(id)) = (slot, queue.pop_front()) else { break };
                let running = running.clone();
                tasks.spawn(async move {
                    if let Err(error) = running.run(id).await {
                        tracing::error!(%id, %error, "an execution could not be recorded");
                    }
                    drop(slot);
                });
            }
            // Forgets tasks that are done.
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}

impl Running {
    fn live(&self) -> MutexGuard<'_, HashMap<ExecutionId, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_path(&self, id: ExecutionId) -> PathBuf {
        self.logs.join(format!("{id}.log"))
    }

    /// Ends what a former process was running; returns what is queued, oldest first.
    async fn reconcile(&self) -> Result<Vec<ExecutionId>> {
        let now = self.clock.now();
        let change = move |change: &mut Change| {
            let lost = store::executions::in_state(change, State::Running)?;
            for &id in &lost {
                let Some(mut execution) = store::executions::get(change, id)? else { continue };
                execution.state = State::Lost;
                execution.finished_at = Some(now);
                execution.ending = Some(Ending::unknown("was lost: Automa ended while it ran"));
                store::executions::put(change, &execution)?;
                change.emit(Event::ExecutionChanged { id, state: State::Lost });
            }
            Ok::<_, Error>((store::executions::in_state(change, State::Queued)?, lost))
        };
        let (queued, lost) = self.store.write(change).await?;
        for id in lost {
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

    /// Runs one execution to its recorded end.
    async fn run(&self, id: ExecutionId) -> Result<()> {
        // Before it is recorded as running, from when on it can be cancelled.
        let cancel = watch::Sender::new(false);
        let cancelled = cancel.subscribe();
        match self.live().entry(id) {
            // Told twice.
            Entry::Occupied(_) => return Ok(()),
            Entry::Vacant(free) => free.insert(Live { cancel, log: watch::Sender::default() }),
        };
        let result = self.run_live(id, cancelled).await;
        self.live().remove(&id);
        result
    }

    async fn run_live(&self, id: ExecutionId, cancelled: watch::Receiver<bool>) -> Result<()> {
        if !self.begin(id).await? {
            return Ok(());
        }
        match self.execute(id, cancelled).await {
            Ok(report) => {
                self.finish(id, State::from(&report.outcome), Ending::of(&report), Some(&report))
                    .await
            }
            // It was not run: the reason is its cause.
            Err(error) => {
                self.finish(
                    id,
                    State::Failed,
                    Ending::unknown(&format!("was not run: {error}")),
                    None,
                )
                .await
            }
        }
    }

    /// Records the start, before anything of the script can act; `false` if it was cancelled.
    async fn begin(&self, id: ExecutionId) -> Result<bool> {
        let now = self.clock.now();
        let change = move |change: &mut Change| {
            let Some(mut execution) = store::executions::get(change, id)? else { return Ok(false) };
            if execution.state != State::Queued {
                return Ok(false);
            }
            execution.state = State::Running;
            execution.started_at = Some(now);
            store::executions::put(change, &execution)?;
            change.emit(Event::ExecutionChanged { id, state: State::Running });
            Ok::<_, Error>(true)
        };
        self.store.write(change).await
    }

    async fn execute(
        &self,
        id: ExecutionId,
        mut cancelled: watch::Receiver<bool>,
    ) -> Result<ExitReport> {
        let ran = self.store.look(|view| find_program(view, id))?;
        let mut log = LogWriter::create(self.log_path(id), &LogOptions::default())?;
        if let Some(live) = self.live().get(&id) {
            live.log.send_replace(Some(log.handle()));
        }
        let result = async {
            let child = self.engine.spawn(command(ran)?).await?;
            relay(child, &mut log, &mut cancelled).await
        }
        .await;
        // The log is complete on disk before the execution is recorded as ended.
        let closed = log.close();
        let report = result?;
        closed?;
        Ok(report)
    }

    async fn finish(
        &self,
        id: ExecutionId,
        state: State,
        ending: Ending,
        report: Option<&ExitReport>,
    ) -> Result<()> {
        let now = self.clock.now();
        let json = report.and_then(|report| serde_json::to_string(report).ok());
        let report = json.map(|json| Report { json });
        let change = move |change: &mut Change| {
            let Some(mut execution) = store::executions::get(change, id)? else { return Ok(()) };
            execution.state = state;
            execution.finished_at = Some(now);
            execution.ending = Some(ending.clone());
            store::executions::put(change, &execution)?;
            if let Some(report) = &report {
                store::executions::put_report(change, id, report)?;
            }
            change.emit(Event::ExecutionChanged { id, state });
            Ok::<_, Error>(())
        };
        self.store.write(change).await
    }
}

/// What the sandbox is to run.
fn command(ran: Ran) -> Result<Command> {
    let Ran { language, source, parameters, limits } = ran;
    let command = language.command(source, language.file_name())?.policy(limits.policy());
    Ok(parameters::hand_over(command, parameters))
}

/// Writes output into the log as it comes, and passes a cancellation on.
async fn relay(
    mut child: Child,
    log: &mut LogWriter,
    cancelled: &mut watch::Receiver<bool>,
) -> Result<ExitReport> {
    let mut cancelling = false;
    loop {
        let sync_due = log.sync_due().map(tokio::time::Instant::from_std);
        tokio::select! {
            chunk = child.next_output() => {
                let Some(chunk) = chunk else { break };
                log.append(&chunk)?;
                log.flush()?;
            }
            () = told(cancelled), if !cancelling => {
                cancelling = true;
                child.cancel(GRACE);
            }
            () = sleep_until(sync_due) => log.sync()?,
        }
    }
    let report = child.wait().await;
    if report.output_truncated {
        log.mark_truncated();
    }
    Ok(report)
}

/// Waits until a switch is on; its other end lives as long as whoever waits.
async fn told(switch: &mut watch::Receiver<bool>) {
    let _ = switch.wait_for(|on| *on).await;
}

/// Waits until a moment, for ever if there is none.
async fn sleep_until(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn is_missing(error: &LogError) -> bool {
    let source = std::error::Error::source(error);
    let io = source.and_then(|source| source.downcast_ref::<std::io::Error>());
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

impl Ending {
    /// Of something that did not end in a sandbox.
    fn unknown(cause: &str) -> Self {
        Self {
            cause: format!("the script {cause}"),
            exit_code: None,
            signal: None,
            wall_ms: 0,
            cpu_ms: 0,
            peak_memory_bytes: None,
            output_bytes: 0,
        }
    }

    fn of(report: &ExitReport) -> Self {
        let (exit_code, signal) = match report.exit {
            Some(Exit::Code(code)) => (Some(code), None),
            Some(Exit::Signal(signal)) => (None, Some(signal)),
            None => (None, None),
        };
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            cause: format!("the script {}", report.outcome),
            exit_code,
            signal,
            wall_ms: millis(report.usage.wall()),
            cpu_ms: millis(report.usage.cpu()),
            peak_memory_bytes: report.usage.memory_peak.map(|bytes| bytes.0),
            output_bytes: report.usage.output.0,
        }
    }
}
