//! The engine of the sandboxes, which is started again when its helper has died.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use automa_sandbox::{Child, Command, Engine, EngineConfig, Protection};
use tokio::time::{Instant, sleep};

#[cfg(test)]
use crate::execution::State;
use crate::{Result, health::EngineHealth};

/// The first pause before an engine is started again that did not live long …
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// … from which on it doubles up to this; one that has lived longer is started again at once.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What executions run in.
pub(crate) enum Sandboxes {
    /// Real ones.
    Engines(Box<Engines>),
    /// What a test puts in their place, and decides about.
    #[cfg(test)]
    StandIn(std::sync::Arc<StandIn>),
}

/// An engine, and the one that takes its place when its helper has died.
pub(crate) struct Engines {
    config: EngineConfig,
    slots: usize,
    current: Mutex<Current>,
    /// Held by whoever starts it again: one at a time. The pause before the last time.
    restarting: tokio::sync::Mutex<Duration>,
}

struct Current {
    engine: Engine,
    /// How many there were before.
    number: u64,
    started: Instant,
    /// Why no sandbox can be started, while that is so.
    trouble: Option<String>,
}

impl Sandboxes {
    pub(crate) async fn start(config: EngineConfig) -> Result<Self> {
        Ok(Self::Engines(Box::new(Engines::start(config).await?)))
    }

    /// How many sandboxes run at the same time.
    pub(super) fn slots(&self) -> usize {
        match self {
            Self::Engines(engines) => engines.slots,
            #[cfg(test)]
            Self::StandIn(stand_in) => stand_in.slots,
        }
    }

    pub(super) fn health(&self) -> EngineHealth {
        match self {
            Self::Engines(engines) => engines.health(),
            #[cfg(test)]
            Self::StandIn(_) => EngineHealth::Ready,
        }
    }

    pub(super) fn protections(&self) -> Vec<Protection> {
        match self {
            Self::Engines(engines) => engines.current().engine.host().protections(),
            #[cfg(test)]
            Self::StandIn(_) => Vec::new(),
        }
    }

    /// Starts a sandbox; waits as long as there is no engine. May be cancelled: then nothing was
    /// started.
    pub(super) async fn spawn(&self, command: impl Fn() -> Result<Command>) -> Result<Child> {
        match self {
            Self::Engines(engines) => engines.spawn(command).await,
            #[cfg(test)]
            Self::StandIn(_) => Err(crate::Error::NotRunning),
        }
    }
}

impl Engines {
    async fn start(config: EngineConfig) -> Result<Self> {
        let engine = Engine::start(config.clone()).await?;
        let slots = engine.slots();
        let current = Current { engine, number: 0, started: Instant::now(), trouble: None };
        let (current, restarting) = (Mutex::new(current), tokio::sync::Mutex::default());
        Ok(Self { config, slots, current, restarting })
    }

    fn health(&self) -> EngineHealth {
        match &self.current().trouble {
            None => EngineHealth::Ready,
            Some(reason) => EngineHealth::Restarting { reason: reason.clone() },
        }
    }

    async fn spawn(&self, command: impl Fn() -> Result<Command>) -> Result<Child> {
        loop {
            let (number, engine) = {
                let current = self.current();
                (current.number, current.engine.clone())
            };
            match engine.spawn(command()?).await {
                Err(automa_sandbox::Error::Stopped) => {
                    drop(engine);
                    self.replace(number).await;
                }
                result => return Ok(result?),
            }
        }
    }

    /// Starts an engine in place of the one of this number, unless somebody has.
    async fn replace(&self, number: u64) {
        let mut pause = self.restarting.lock().await;
        if self.current().number != number {
            return;
        }
        let mut lived = {
            let mut current = self.current();
            let reason = automa_sandbox::Error::Stopped.to_string();
            tracing::error!("{reason}");
            current.trouble = Some(reason);
            current.started.elapsed()
        };
        loop {
            *pause = next_pause(*pause, lived);
            sleep(*pause).await;
            match Engine::start(self.config.clone()).await {
                Ok(engine) => {
                    self.install(engine);
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "the sandbox engine could not be started again");
                    self.current().trouble = Some(error.to_string());
                    lived = Duration::ZERO;
                }
            }
        }
    }

    fn install(&self, engine: Engine) {
        let mut current = self.current();
        let number = current.number + 1;
        let next = Current { engine, number, started: Instant::now(), trouble: None };
        let old = std::mem::replace(&mut *current, next);
        drop(current);
        tracing::info!("the sandbox engine was started again");
        // Where it may block: it waits for what is left of its helper.
        tokio::task::spawn_blocking(move || drop(old));
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pause before the next start, after the last pause and the time the engine has lived.
fn next_pause(last: Duration, lived: Duration) -> Duration {
    if lived > LONGEST_PAUSE {
        return Duration::ZERO;
    }
    (last * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE)
}

/// Sandboxes of a test, in which executions run until they are told how they end.
#[cfg(test)]
pub(crate) struct StandIn {
    slots: usize,
    runs: Mutex<Runs>,
}

#[cfg(test)]
#[derive(Default)]
struct Runs {
    running: std::collections::BTreeMap<Run, tokio::sync::oneshot::Sender<(State, u64)>>,
    begun: Vec<Run>,
}

/// An attempt of an execution.
#[cfg(test)]
type Run = (crate::id::ExecutionId, u32);

#[cfg(test)]
impl StandIn {
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots, runs: Mutex::default() }
    }

    /// Runs an attempt: how it ended, and what it used.
    pub(super) async fn run(
        &self,
        run: Run,
        cancelled: &mut tokio::sync::watch::Receiver<Option<Duration>>,
    ) -> (State, u64) {
        let (end, ended) = tokio::sync::oneshot::channel();
        {
            let mut runs = self.runs();
            runs.begun.push(run);
            runs.running.insert(run, end);
        }
        let end = tokio::select! {
            end = ended => end.unwrap(),
            _ = cancelled.wait_for(Option::is_some) => (State::Cancelled, 0),
        };
        self.runs().running.remove(&run);
        end
    }

    /// What runs.
    pub(crate) fn running(&self) -> Vec<Run> {
        self.runs().running.keys().copied().collect()
    }

    /// What was started since this was last asked.
    pub(crate) fn begun(&self) -> Vec<Run> {
        std::mem::take(&mut self.runs().begun)
    }

    /// Ends an attempt that runs.
    pub(crate) fn end(&self, run: Run, state: State, cpu_ms: u64) {
        if let Some(end) = self.runs().running.remove(&run) {
            // It may have been cancelled at the same time.
            let _ = end.send((state, cpu_ms));
        }
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_engines_do_not_live() {
        let mut pause = Duration::ZERO;
        let mut next = |lived| {
            pause = next_pause(pause, Duration::from_secs(lived));
            pause.as_millis()
        };
        let pauses = [60, 0, 0, 1, 0, 0, 0, 0, 0, 0, 11, 0].map(&mut next);
        let expected = [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 0, 100];
        assert_eq!(pauses, expected);
    }
}
