//! Runs executions: `dispatch` decides what starts by the rules of the [queue](super::queue), and
//! each execution that runs has a task of its own (`run`), which holds its slot as long as it lives.
//!
//! What waits is in the store, and the queue is made from it at the start; from then on everything
//! that makes an execution wait goes through here, and tells the queue once it is durable. What is
//! submitted while a slot is free and nothing goes before it is accepted and started in one change.

mod console;
mod dispatch;
mod run;
mod sandboxes;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, hash_map::Entry},
    convert::Infallible,
    fmt, fs,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use automa_sandbox::{Child, Command, Protection, UsageHistory};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

pub(crate) use self::console::{Console, TellError};
pub(super) use self::dispatch::Accepted;
use self::dispatch::Line;
pub(crate) use self::sandboxes::Sandboxes;
#[cfg(test)]
pub(crate) use self::sandboxes::StandIn;
use super::{
    Admission, ArtifactFiles, Ending, Execution, GRACE, State, Waiting,
    attempt::{Conclusion, log_name},
    log::{LogError, LogHandle, LogReader, recover},
    queue::{Limits, Queue},
};
use crate::{
    Error, Result, agent,
    clock::Clock,
    credential::Vault,
    event::Event,
    health::EngineHealth,
    id::{ExecutionId, UserId},
    store::{self, Store, change::Change, logs::LogFile},
    tier::{self, Plan},
};

/// What the handles of an Automa share.
pub(crate) struct Runner {
    dispatcher: Mutex<Option<JoinHandle<()>>>,
    running: Arc<Running>,
}

/// What runs them needs to know.
pub(crate) struct RunnerConfig {
    /// The directory of logs.
    pub(crate) logs: PathBuf,
    /// What scripts left.
    pub(crate) artifacts: ArtifactFiles,
    /// How many executions of one user run at the same time.
    pub(crate) per_user: Option<usize>,
    /// Whether the host has enough for more.
    pub(crate) admission: Admission,
    /// What opens credentials.
    pub(crate) vault: Arc<Vault>,
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
    vault: Arc<Vault>,
    live: Mutex<HashMap<ExecutionId, Live>>,
    line: Mutex<Line>,
    /// Something may start now.
    changed: Notify,
    /// Agents are to be looked after.
    agents: Notify,
    /// All agents are to end.
    agents_end: AtomicBool,
    /// How many tasks there are.
    tasks: watch::Sender<usize>,
    stop: watch::Sender<bool>,
}

/// An execution that a task has taken on.
struct Live {
    /// Once it is to end, the time that it has to do so by itself.
    cancel: watch::Sender<Option<Duration>>,
    /// `None` until its log is made.
    log: watch::Sender<Option<LiveLog>>,
    /// What its sandbox uses, once there is one.
    usage: OnceLock<UsageHistory>,
    /// What an agent has.
    console: Option<Arc<Console>>,
}

/// The log of an attempt that runs.
pub(super) struct LiveLog {
    pub(super) attempt: u32,
    pub(super) handle: LogHandle,
}

impl Runner {
    /// Concludes what a former process left running, and begins with what is queued.
    pub(crate) async fn start(
        sandboxes: Sandboxes,
        store: Store,
        clock: Arc<dyn Clock>,
        config: RunnerConfig,
    ) -> Result<Arc<Self>> {
        let RunnerConfig { logs, artifacts, per_user, admission, vault } = config;
        let limits = Limits { slots: sandboxes.slots(), per_user };
        let running = Arc::new(Running {
            sandboxes,
            store,
            clock,
            logs,
            artifacts,
            vault,
            live: Mutex::default(),
            line: Mutex::new(Line::new(Queue::new(limits), admission)),
            changed: Notify::new(),
            agents: Notify::new(),
            agents_end: AtomicBool::new(false),
            tasks: watch::Sender::new(0),
            stop: watch::Sender::new(false),
        });
        running.reconcile().await?;
        running.limit_users()?;
        #[expect(clippy::disallowed_methods, reason = "joined by `stop`")]
        let dispatcher = tokio::spawn(running.clone().dispatch());
        Ok(Arc::new(Self { dispatcher: Mutex::new(Some(dispatcher)), running }))
    }

    /// Runs an agent's execution, which is recorded as started, while `mind` looks after it.
    pub(crate) fn keep(
        &self,
        id: ExecutionId,
        console: Arc<Console>,
        mind: impl Future<Output = Infallible> + Send + 'static,
    ) {
        let running = self.running.clone();
        self.running.spawn(async move {
            let grace = console.grace;
            let Some(entered) = running.enter(id, Some(console)) else { return };
            if running.agents_end.load(Ordering::SeqCst) {
                running.cancel(id, grace);
            }
            // It may have been asked to end before it could be told.
            running.agents.notify_one();
            tokio::select! {
                () = running.run(entered, 1) => {}
                never = mind => match never {},
            }
            running.agents.notify_one();
        });
    }

    /// What an agent's execution that runs has.
    pub(crate) fn console(&self, id: ExecutionId) -> Option<Arc<Console>> {
        self.running.live().get(&id)?.console.clone()
    }

    /// Has agents looked after.
    pub(crate) fn agents_changed(&self) {
        self.running.agents.notify_one();
    }

    /// Waits until agents are to be looked after.
    pub(crate) async fn agents_change(&self) {
        self.running.agents.notified().await;
    }

    /// Asks all agents to end, also those that are just being started.
    pub(crate) fn end_agents(&self) {
        self.running.agents_end.store(true, Ordering::SeqCst);
        for live in self.running.live().values() {
            if let Some(console) = &live.console {
                live.cancel(console.grace);
            }
        }
    }

    /// Asks an execution to end within a time: it does not wait any more, or is ended if it runs.
    pub(crate) fn cancel(&self, id: ExecutionId, grace: Duration) {
        self.running.cancel(id, grace);
    }

    /// Runs at most so many executions of a user at the same time.
    pub(super) fn limit_user(&self, user: UserId, plan: &Plan) {
        self.running.limit_user(user, plan);
    }

    /// Looks again how much users may run.
    pub(crate) fn plans_changed(&self) -> Result<()> {
        self.running.limit_users()?;
        self.running.changed.notify_one();
        Ok(())
    }

    /// Why an execution waits; `None` if it does not.
    pub(super) fn why(&self, id: ExecutionId) -> Option<Waiting> {
        self.running.line().queue.why(id)
    }

    /// The log of an attempt, which may still be written. One that was never begun has an empty one,
    /// to which nothing is added if it has `ended`.
    pub(super) fn log(&self, id: ExecutionId, attempt: u32, ended: bool) -> Result<LogReader> {
        if let Some(log) = self.live_log(id)
            && let Some(log) = log.borrow().as_ref().filter(|log| log.attempt == attempt)
        {
            return Ok(log.handle.reader());
        }
        let path = self.running.log_path(id, attempt);
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
    pub(super) fn live_log(&self, id: ExecutionId) -> Option<watch::Receiver<Option<LiveLog>>> {
        self.running.live().get(&id).map(|live| live.log.subscribe())
    }

    /// What an execution that runs has used so far.
    pub(super) fn usage(&self, id: ExecutionId) -> Option<UsageHistory> {
        self.running.live().get(&id).and_then(|live| live.usage.get().cloned())
    }

    /// Whether sandboxes can be started.
    pub(crate) fn health(&self) -> EngineHealth {
        self.running.sandboxes.health()
    }

    /// Starts a sandbox that is for no execution, as soon as a slot is free.
    pub(crate) async fn spawn(&self, command: impl Fn() -> Result<Command>) -> Result<Child> {
        self.running.sandboxes.spawn(command).await
    }

    /// What this host enforces.
    pub(crate) fn protections(&self) -> Vec<Protection> {
        self.running.sandboxes.protections()
    }

    /// Asks everything that runs to end.
    pub(crate) fn cancel_all(&self) {
        for live in self.running.live().values() {
            live.cancel(GRACE);
        }
    }

    /// Whether nothing more happens by itself, given how many sandboxes there are.
    #[cfg(test)]
    fn is_quiet(&self, now: jiff::Timestamp, sandboxes: usize) -> bool {
        let tasks = *self.running.tasks.borrow();
        tasks == sandboxes && self.running.line().is_quiet(now, sandboxes)
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
        // Its other end lives as long as `running`.
        let _ = running.tasks.subscribe().wait_for(|tasks| *tasks == 0).await;
    }
}

impl Running {
    fn live(&self) -> MutexGuard<'_, HashMap<ExecutionId, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an execution on, before it is recorded as running, from when on it can be cancelled;
    /// `None` if another task has.
    fn enter(&self, id: ExecutionId, console: Option<Arc<Console>>) -> Option<Entered<'_>> {
        let cancel = watch::Sender::new(None);
        let cancelled = cancel.subscribe();
        match self.live().entry(id) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(free) => {
                let (log, usage) = (watch::Sender::default(), OnceLock::new());
                free.insert(Live { cancel, log, usage, console })
            }
        };
        Some(Entered { running: self, id, cancelled, cpu_ms: None })
    }

    fn cancel(&self, id: ExecutionId, grace: Duration) {
        self.line().queue.remove(id);
        if let Some(live) = self.live().get(&id) {
            live.cancel(grace);
        }
        self.changed.notify_one();
    }

    fn limit_user(&self, user: UserId, plan: &Plan) {
        let most = plan.running.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        self.line().queue.limit_user(Some(user), most);
    }

    /// Holds everybody who has something in the queue to their plan.
    fn limit_users(&self) -> Result<()> {
        let users = self.line().queue.users();
        for user in users {
            let plan = self.store.look(|view| tier::plan(view, Some(user)))?;
            self.limit_user(user, &plan);
        }
        Ok(())
    }

    fn log_path(&self, id: ExecutionId, attempt: u32) -> PathBuf {
        self.logs.join(log_name(id, attempt))
    }

    /// Ends what a former process was running, and queues what waits.
    async fn reconcile(&self) -> Result<()> {
        let (now, random) = (self.clock.now(), self.random());
        let change = move |change: &mut Change| {
            let lost = store::executions::in_state(change, State::Running)?;
            for (execution, times) in lost.iter().zip(0..) {
                let mut execution = execution.clone();
                let random = random.rotate_left(times);
                let (id, attempt) = (execution.id, execution.attempt);
                let ending = Ending::unknown("was lost: Automa ended while it ran");
                let end = Conclusion { attempt, state: State::Lost, ending, at: now, random };
                end.record(change, &mut execution)?;
                agent::interrupted(change, &execution, agent::Moment { now, random })?;
                change.emit(Event::ExecutionChanged { id, state: execution.state });
            }
            Ok::<_, Error>((store::executions::in_state(change, State::Queued)?, lost))
        };
        let (queued, lost) = self.store.write(change).await?;
        let mut logs = Vec::new();
        for Execution { id, attempt, .. } in lost {
            // It may have been killed after it kept files and before it recorded them.
            if let Err(error) = self.artifacts.remove(id, attempt) {
                tracing::error!(%id, %error, "artifacts without a record could not be removed");
            }
            match recover(self.log_path(id, attempt)) {
                Ok(_) => logs.extend(self.log_bytes(id, attempt).map(|bytes| (id, bytes))),
                // It was killed before it made its log.
                Err(error) if is_missing(&error) => {}
                Err(error) => tracing::error!(%id, %error, "a log could not be recovered"),
            }
        }
        if !logs.is_empty() {
            self.note_logs(logs).await?;
        }
        let mut line = self.line();
        for execution in queued {
            line.queue.accept(execution.entry(), now);
        }
        Ok(())
    }

    /// Records how large logs are.
    async fn note_logs(&self, logs: Vec<(ExecutionId, u64)>) -> Result<()> {
        let change = move |change: &mut Change| {
            for &(id, bytes) in &logs {
                if let Some(execution) = store::executions::get(change, id)? {
                    let script = execution.script.map(|(script, _)| script);
                    store::logs::put(change, id, LogFile { bytes, script })?;
                }
            }
            Ok(())
        };
        self.store.write(change).await
    }

    /// How large the logs of an execution are, up to that of an attempt, if there are any.
    fn log_bytes(&self, id: ExecutionId, attempt: u32) -> Option<u64> {
        let size = |attempt| fs::metadata(self.log_path(id, attempt)).ok().map(|it| it.len());
        (1..=attempt).filter_map(size).reduce(|sum, bytes| sum + bytes)
    }

    fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        self.clock.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

impl Live {
    /// Asks it to end; asked again, the shorter time counts.
    fn cancel(&self, grace: Duration) {
        let shorter = |asked: Option<Duration>| asked.is_none_or(|before| grace < before);
        self.cancel.send_if_modified(|asked| {
            let changes = shorter(*asked);
            if changes {
                *asked = Some(grace);
            }
            changes
        });
    }
}

/// A task's hold on an execution, and on its place among those that run.
struct Entered<'a> {
    running: &'a Running,
    id: ExecutionId,
    cancelled: watch::Receiver<Option<Duration>>,
    /// What it used, once it was started and has ended.
    cpu_ms: Option<u64>,
}

impl Entered<'_> {
    /// Lets the next execution have its slot, once its sandbox is gone: what is still to be put on
    /// disk keeps none waiting.
    fn leave_slot(&self) {
        self.running.line().queue.leave_slot(self.id);
        self.running.changed.notify_one();
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.running.live().remove(&self.id);
        self.running.line().queue.ended(self.id, self.cpu_ms);
        self.running.changed.notify_one();
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
