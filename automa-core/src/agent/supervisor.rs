//! Does what follows from where agents are: makes their executions, ends them, looks after them.
//!
//! One task does, and looks at all agents whenever something has happened or is due: what it has to
//! do is in the store. So it makes no difference whether it was told of something, was busy, or has
//! just been started after a crash.

use std::{
    collections::HashSet,
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::{
    Agent, Alive, Http, Supervision,
    metrics::{Batch, Sampler},
    state::{Input, Moment, Phase},
    supervision::{advance, apply},
};
use crate::{
    Error, Result,
    clock::Clock,
    error::StoreError,
    event::Event,
    execution::{self, Console, Runner},
    id::{AgentId, ExecutionId},
    store::{self, Store, change::Change},
};

/// Time until it is looked again, also if a clock was set.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Time between two questions whether an agent is ready.
const READY_PAUSE: Duration = Duration::from_millis(250);
/// Time until it is tried again what the store did not do.
const AGAIN: Duration = Duration::from_secs(1);

/// The task that looks after agents.
#[derive(Debug)]
pub(crate) struct Supervisor {
    task: Mutex<Option<JoinHandle<()>>>,
    stop: watch::Sender<bool>,
    runner: Arc<Runner>,
}

impl Supervisor {
    /// Starts what is meant to run, at most `most` at a time.
    pub(crate) fn start(
        store: Store,
        clock: Arc<dyn Clock>,
        runner: Arc<Runner>,
        most: usize,
    ) -> Self {
        let stop = watch::Sender::new(false);
        let (begun, sampler) = (HashSet::new(), Sampler::default());
        let care = Care { store, clock, runner: Arc::clone(&runner), most, begun, sampler };
        #[expect(clippy::disallowed_methods, reason = "joined by `stop`")]
        let task = tokio::spawn(care.run(stop.subscribe()));
        Self { task: Mutex::new(Some(task)), stop, runner }
    }

    /// Starts nothing more, and asks what runs to end, each within its grace. What is meant to run
    /// stays meant.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // A panic in it was reported when it happened.
            let _ = task.await;
        }
        self.runner.end_agents();
    }
}

/// What the task has.
struct Care {
    store: Store,
    clock: Arc<dyn Clock>,
    runner: Arc<Runner>,
    most: usize,
    /// Executions that were taken on, as far as they are still somebody's.
    begun: HashSet<ExecutionId>,
    sampler: Sampler,
}

impl Care {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let next = self.look().await.unwrap_or_else(|error| {
                tracing::error!(%error, "agents could not be looked after");
                self.clock.now().checked_add(AGAIN).ok()
            });
            let clock = Arc::clone(&self.clock);
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                () = self.runner.agents_change() => {}
                () = until(&*clock, next) => {}
            }
        }
        if let Some(batch) = self.sampler.take() {
            self.write(batch).await;
        }
    }

    /// Does what is to be done now; tells when to look again by the clock.
    async fn look(&mut self) -> Result<Option<Timestamp>> {
        let now = self.clock.now();
        let all = self.store.look(store::agents::list)?;
        self.begun.retain(|id| all.iter().any(|(_, it)| it.execution() == Some(*id)));
        let mut running = all.iter().filter(|(_, it)| it.execution().is_some()).count();
        let mut next = None;
        let mut on = Vec::new();
        for (agent, supervision) in all {
            let supervision = self.tick(&agent, supervision, now).await?;
            if supervision.is_due() {
                if running < self.most {
                    running += 1;
                    self.launch(agent.id).await?;
                    // Where it is then is seen by the next look.
                    next = Some(now);
                } else {
                    self.wait(&agent, &supervision, now).await?;
                }
                continue;
            }
            if let Some(execution) = supervision.execution() {
                self.see_to(&agent, &supervision, execution)?;
                if let Some(console) = self.runner.console(execution) {
                    on.push((agent.id, supervision.restarts, console));
                }
            }
            next = next.into_iter().chain(supervision.wake()).min();
        }
        if let Some(batch) = self.sampler.sample(now, &on) {
            self.write(batch).await;
        }
        Ok(next.into_iter().chain(self.sampler.next()).min())
    }

    /// Lets the time pass for an agent.
    async fn tick(
        &self,
        agent: &Agent,
        supervision: Supervision,
        now: Timestamp,
    ) -> Result<Supervision> {
        let at = Moment { now, random: 0 };
        if !supervision.clone().apply(Input::Tick, &agent.restart, at) {
            return Ok(supervision);
        }
        let id = agent.id;
        let change = move |change: &mut Change| advance(change, id, Input::Tick, at);
        let after = self.store.write(change).await?;
        Ok(after.unwrap_or(supervision))
    }

    /// Makes an execution for an agent that is due, and takes it on.
    async fn launch(&mut self, id: AgentId) -> Result<()> {
        let at = self.moment();
        let execution = ExecutionId::generate(&*self.clock);
        self.store.write(move |change: &mut Change| launch(change, id, execution, at)).await?;
        Ok(())
    }

    /// Says why one that is due is not started, once.
    async fn wait(&self, agent: &Agent, supervision: &Supervision, now: Timestamp) -> Result<()> {
        let why = format!("It waits: {} agents run already, which is the most", self.most);
        if supervision.why == why {
            return Ok(());
        }
        let id = agent.id;
        let change = move |change: &mut Change| {
            let Some(mut it) = store::agents::supervision(change, id)? else { return Ok(()) };
            if it.is_due() {
                (it.why, it.since) = (why.clone(), now);
                store::agents::put_supervision(change, id, &it)?;
                change.emit(Event::AgentChanged(id));
            }
            Ok::<_, Error>(())
        };
        self.store.write(change).await
    }

    /// Runs an agent's execution unless that was begun, and ends it if that is asked for.
    fn see_to(
        &mut self,
        agent: &Agent,
        supervision: &Supervision,
        execution: ExecutionId,
    ) -> Result<()> {
        // What a former process had begun was concluded before this one looked after anything.
        if !self.begun.contains(&execution) {
            let console = Arc::new(Console::new(agent).map_err(Error::AgentInput)?);
            self.begun.insert(execution);
            let mind = Mind {
                store: self.store.clone(),
                clock: Arc::clone(&self.clock),
                agent: agent.clone(),
                execution,
                console: Arc::clone(&console),
                runner: Arc::clone(&self.runner),
            };
            self.runner.keep(execution, console, mind.watch());
        }
        if let Phase::Stopping { .. } = supervision.phase {
            let grace = Duration::from_millis(agent.grace_ms);
            self.runner.cancel(execution, grace);
        }
        Ok(())
    }

    async fn write(&self, batch: Batch) {
        if let Err(error) = self.store.write(move |change: &mut Change| batch.write(change)).await {
            tracing::warn!(%error, "what agents use could not be recorded");
        }
    }

    fn moment(&self) -> Moment {
        let mut bytes = [0; 8];
        self.clock.fill(&mut bytes);
        Moment { now: self.clock.now(), random: u64::from_le_bytes(bytes) }
    }
}

/// Makes an execution for an agent that is due, as started.
fn launch(
    change: &mut Change,
    id: AgentId,
    execution: ExecutionId,
    at: Moment,
) -> Result<(), StoreError> {
    let Some(agent) = store::agents::get(change, id)? else { return Ok(()) };
    let Some(supervision) = store::agents::supervision(change, id)? else { return Ok(()) };
    if !supervision.is_due() {
        return Ok(());
    }
    match execution::start_for_agent(change, &agent, execution, at.now) {
        Ok(()) => {
            let until = agent.ready.as_ref().map(|ready| {
                let time = i64::try_from(ready.timeout_ms).unwrap_or(i64::MAX);
                let time = SignedDuration::from_millis(time);
                at.now.checked_add(time).unwrap_or(Timestamp::MAX)
            });
            apply(change, &agent, supervision, Input::Launched(execution, until), at)?;
        }
        Err(Error::Store(error)) => return Err(error),
        Err(error) => {
            let why = format!("It could not be started: {error}");
            apply(change, &agent, supervision, Input::NotLaunched(&why), at)?;
        }
    }
    Ok(())
}

/// Looks after one execution of an agent as long as it runs.
struct Mind {
    store: Store,
    clock: Arc<dyn Clock>,
    agent: Agent,
    execution: ExecutionId,
    console: Arc<Console>,
    runner: Arc<Runner>,
}

impl Mind {
    async fn watch(self) -> Infallible {
        if let Some(ready) = &self.agent.ready {
            match &ready.http {
                None => self.console.is_ready().await,
                Some(http) => {
                    while http.ask(&self.console).await.is_err() {
                        sleep(READY_PAUSE).await;
                    }
                }
            }
            self.advance(String::new(), |id, _| Input::Ready(id)).await;
        }
        if let Some(alive) = &self.agent.alive {
            let why = tokio::select! {
                why = self.is_silent(alive.output_within_ms) => why,
                why = self.does_not_answer(alive) => why,
            };
            self.advance(why, |id, why| Input::Unhealthy(id, why)).await;
        }
        pending().await
    }

    /// Waits until it has been silent for so long, for ever if it may be; says so.
    async fn is_silent(&self, within_ms: Option<u64>) -> String {
        let Some(millis) = within_ms else { return pending().await };
        let time = Duration::from_millis(millis);
        self.console.is_silent_for(time).await;
        format!("It has written nothing for {} s", time.as_secs_f64())
    }

    /// Asks it now and then, until it has not answered too often; says so.
    async fn does_not_answer(&self, alive: &Alive) -> String {
        let Some(http) = &alive.http else { return pending().await };
        let mut missed = 0;
        loop {
            sleep(Duration::from_millis(alive.every_ms)).await;
            match http.ask(&self.console).await {
                Ok(()) => missed = 0,
                Err(_) if missed + 1 < alive.failures => missed += 1,
                Err(error) => {
                    let Http { port, path, .. } = http;
                    let times = alive.failures;
                    return format!("{path} at port {port} failed {times} times: {error}");
                }
            }
        }
    }

    async fn advance(&self, why: String, input: fn(ExecutionId, &str) -> Input<'_>) {
        let (id, execution) = (self.agent.id, self.execution);
        let at = Moment { now: self.clock.now(), random: 0 };
        let change =
            move |change: &mut Change| advance(change, id, input(execution, &why), at).map(drop);
        if let Err(error) = self.store.insist(change).await {
            tracing::error!(%id, %error, "what has become of an agent could not be recorded");
        }
        self.runner.agents_changed();
    }
}

/// Waits until a moment, for ever if there is none; not long beyond it if the clock is set back.
async fn until(clock: &dyn Clock, moment: Option<Timestamp>) {
    let Some(moment) = moment else { return pending().await };
    tokio::select! {
        () = clock.until(moment) => {}
        () = sleep(LONGEST_WAIT) => {}
    }
}
