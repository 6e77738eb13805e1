//! Agents: scripts that are kept running.
//!
//! Each run of an agent is an [execution][crate::execution::Execution] with its own log and report. What is
//! asked of an agent, and everything that happens to it, moves its state (`state.rs`) within the
//! change that records it; the supervisor (`supervisor.rs`) does what follows from where it is.
//!
//! ```standalone_crate
//! use automa_core::{
//!     Automa, Error,
//!     actor::Actor,
//!     agent::{NewAgent, State},
//!     script::{Language, NewScript},
//! };
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn run() -> Result<(), Error> {
//!     let automa = Automa::builder().in_memory().slots(1).start().await?;
//!     let me = Actor::embedder("example");
//!     let new = NewScript::new("echo", Language::Bash, "while read -r line; do echo $line; done");
//!     let script = automa.scripts(&me).create(new).await?;
//!
//!     let agents = automa.agents(&me);
//!     let agent = agents.create(NewAgent::new("echo", script.id)).await?;
//!     let mut events = automa.events();
//!     agents.start(agent.id).await?;
//!     while agents.status(agent.id)?.state != State::Running {
//!         events.next().await;
//!     }
//!     agents.stop(agent.id).await?;
//!     while agents.status(agent.id)?.state != State::Stopped {
//!         events.next().await;
//!     }
//!     automa.close().await;
//!     Ok(())
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     automa_sandbox::reexec_guard();
//!     run()?;
//!     Ok(())
//! }
//! ```

mod check;
mod history;
mod metrics;
mod operate;
mod restart;
mod state;
mod supervision;
mod supervisor;

use automa_sandbox::Destination;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    check::{Alive, Http, Ready},
    history::Happening,
    metrics::{Point, Resolution},
    operate::{LINE_MAX, Signal, UnknownSignal},
    restart::{Restart, When},
    state::{Desired, State},
};
pub(crate) use self::{
    history::KEPT as HISTORY_KEPT,
    metrics::{Mean, Minute},
    state::{Moment, Supervision},
    supervision::{ended, interrupted},
    supervisor::Supervisor,
};
use crate::{
    Automa, Error, Result,
    actor::{Actor, Permission},
    audit::{Action, Entry},
    blocking,
    error::FieldError,
    event::Event,
    execution::{self, LimitsRequest, Parameters},
    id::{AgentId, ExecutionId, ScriptId, UserId},
    script::{self, Sight},
    store::{
        self,
        change::{Change, Snapshot, View},
    },
};

/// Agents that run at the same time unless told.
pub(crate) const RUNNING: usize = 16;
/// Most agents that there can be.
const AGENTS_MAX: usize = 1000;
/// Most milliseconds that an agent has to end by itself: ten minutes.
const GRACE_MAX: u64 = 600_000;

/// A script that is kept running.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// One more for each change of what follows, from 1.
    pub revision: u32,
    /// Its name, one line of 1 to 200 characters.
    pub name: String,
    /// The script that it runs.
    pub script: ScriptId,
    /// The script's version; `None`: the newest at each start.
    pub version: Option<u32>,
    /// What the script is told: a JSON object as text.
    pub parameters: Option<String>,
    /// What it may use, over the defaults of agents: 1 processor, 1 GiB of memory, 256 processes. It
    /// has no time limit unless there is one here; what the script says of other limits counts.
    pub limits: LimitsRequest,
    /// What it may reach over TCP; nothing when there is nothing in it.
    pub network: Vec<Destination>,
    /// When it is started again.
    pub restart: Restart,
    /// How it says that it is ready; without, it is once it was started.
    pub ready: Option<Ready>,
    /// How it is seen to work; without, it does as long as it runs.
    pub alive: Option<Alive>,
    /// How long it may take to end once it was asked to, in milliseconds: at most ten minutes.
    pub grace_ms: u64,
    /// How much of the log of one run is kept, in bytes: what was written last.
    pub log_bytes: u64,
    /// Whose it is, unless the embedding program created it.
    pub owner: Option<UserId>,
    /// When it was created.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub updated_at: Timestamp,
}

/// What an agent is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAgent {
    /// See [`Agent::name`].
    pub name: String,
    /// See [`Agent::script`].
    pub script: ScriptId,
    /// See [`Agent::version`].
    pub version: Option<u32>,
    /// What the script is told.
    pub parameters: Option<Parameters>,
    /// See [`Agent::limits`].
    pub limits: LimitsRequest,
    /// See [`Agent::network`].
    pub network: Vec<Destination>,
    /// See [`Agent::restart`].
    pub restart: Restart,
    /// See [`Agent::ready`].
    pub ready: Option<Ready>,
    /// See [`Agent::alive`].
    pub alive: Option<Alive>,
    /// See [`Agent::grace_ms`]; ten seconds unless told.
    pub grace_ms: u64,
    /// See [`Agent::log_bytes`]; 64 MiB unless told, 1 MiB to 16 GiB.
    pub log_bytes: u64,
}

impl NewAgent {
    /// The newest version of a script, kept running by the default rules.
    pub fn new(name: impl Into<String>, script: ScriptId) -> Self {
        Self {
            name: name.into(),
            script,
            version: None,
            parameters: None,
            limits: LimitsRequest::default(),
            network: Vec::new(),
            restart: Restart::default(),
            ready: None,
            alive: None,
            grace_ms: 10_000,
            log_bytes: 64 << 20,
        }
    }

    /// The parameters as JSON text.
    fn check(&self) -> Result<Option<String>> {
        let mut errors = Vec::new();
        let mut check = |field, holds: bool, reason| {
            if !holds {
                errors.push(FieldError::new(field, reason));
            }
        };
        let named = script::is_line(&self.name, 200);
        check("name", named, "must be one line of 1 to 200 characters");
        let grace = self.grace_ms <= GRACE_MAX;
        check("grace_ms", grace, "must be 0 to 600000, ten minutes");
        let log = (1 << 20..=16 << 30).contains(&self.log_bytes);
        check("log_bytes", log, "must be 1 MiB to 16 GiB");
        let given = self.parameters.as_ref().filter(|parameters| !parameters.is_empty());
        let parameters =
            given.map(execution::parameters::check).transpose().unwrap_or_else(|wrong| {
                errors.extend(wrong);
                None
            });
        self.limits.check(&mut errors);
        execution::check_network(&self.network, &mut errors);
        self.restart.check(&mut errors);
        if let Some(ready) = &self.ready {
            ready.check(&mut errors);
        }
        if let Some(alive) = &self.alive {
            alive.check(&mut errors);
        }
        FieldError::none_of(errors)?;
        Ok(parameters)
    }

    /// As an agent, in the place of `old`.
    fn over(&self, old: &Agent, parameters: Option<String>) -> Agent {
        let new = self.clone();
        Agent {
            name: new.name,
            script: new.script,
            version: new.version,
            parameters,
            limits: new.limits,
            network: new.network,
            restart: new.restart,
            ready: new.ready,
            alive: new.alive,
            grace_ms: new.grace_ms,
            log_bytes: new.log_bytes,
            ..*old
        }
    }
}

/// How an agent is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Where it is.
    pub state: State,
    /// Whether it is meant to run.
    pub desired: Desired,
    /// Why it is there, as a sentence without its full stop.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
    /// When it is started again, if by the clock.
    pub next_try: Option<Timestamp>,
    /// How often it was started again by itself since somebody started it.
    pub restarts: u64,
    /// Its execution, while there is one.
    pub execution: Option<ExecutionId>,
    /// When that was started.
    pub up_since: Option<Timestamp>,
    /// How long ago that is, in milliseconds.
    pub uptime_ms: Option<u64>,
    /// What that uses, once it is known.
    pub usage: Option<Point>,
}

/// Agents as one actor may see and operate them.
#[derive(Debug, Clone, Copy)]
pub struct Agents<'a> {
    automa: &'a Automa,
    actor: &'a Actor,
}

impl<'a> Agents<'a> {
    pub(crate) fn new(automa: &'a Automa, actor: &'a Actor) -> Self {
        Self { automa, actor }
    }

    /// Creates an agent, which is not started yet.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`]; [`Error::Invalid`]; [`Error::NotFound`] for the script or its version;
    /// [`Error::NotActive`]; and the store's.
    pub async fn create(&self, new: NewAgent) -> Result<Agent> {
        self.actor.require(Permission::WriteAgents)?;
        let parameters = self.checked(&new).await?;
        let clock = &*self.automa.clock;
        let now = clock.now();
        let none = Agent {
            id: AgentId::generate(clock),
            revision: 1,
            name: String::new(),
            script: new.script,
            version: None,
            parameters: None,
            limits: LimitsRequest::default(),
            network: Vec::new(),
            restart: Restart::default(),
            ready: None,
            alive: None,
            grace_ms: 0,
            log_bytes: 0,
            owner: self.actor.user,
            created_at: now,
            updated_at: now,
        };
        let agent = new.over(&none, parameters);
        let entry = Entry::new(clock, self.actor, Action::AgentCreated(agent.id));
        let first = Supervision::new(&format!("{} has created it", self.actor.name), now);
        let change = move |change: &mut Change| {
            if store::agents::count(change)? >= AGENTS_MAX {
                let reason = format!("there are {AGENTS_MAX} agents, which is the most");
                return Err(Error::Invalid(vec![FieldError::new("name", reason)]));
            }
            script::find(change, agent.script)?;
            store::agents::put(change, &agent)?;
            store::agents::put_supervision(change, agent.id, &first)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::AgentChanged(agent.id));
            Ok(agent.clone())
        };
        self.automa.store.write(change).await
    }

    /// Changes what an agent is, which counts from its next start on.
    ///
    /// `read` is the revision that the caller has seen: nobody overwrites what they have not read.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create); [`Error::Conflict`] when `read` is not the current revision.
    pub async fn update(&self, id: AgentId, read: u32, new: NewAgent) -> Result<Agent> {
        self.actor.require(Permission::WriteAgents)?;
        let parameters = self.checked(&new).await?;
        let clock = &*self.automa.clock;
        let now = clock.now();
        let entry = Entry::new(clock, self.actor, Action::AgentChanged(id));
        let change = move |change: &mut Change| {
            let old = find(change, id)?;
            if old.revision != read {
                return Err(Error::Conflict { kind: "agent", current: old.revision });
            }
            script::find(change, new.script)?;
            let revision = old.revision + 1;
            let mut agent = new.over(&old, parameters.clone());
            (agent.revision, agent.updated_at) = (revision, now);
            store::agents::put(change, &agent)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::AgentChanged(id));
            Ok(agent)
        };
        self.automa.store.write(change).await
    }

    /// Deletes an agent that is stopped, with its history and its figures. Its executions stay.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`]; [`Error::AgentRuns`] unless it is stopped; and the
    /// store's.
    pub async fn delete(&self, id: AgentId) -> Result<()> {
        self.actor.require(Permission::WriteAgents)?;
        let entry = Entry::new(&*self.automa.clock, self.actor, Action::AgentDeleted(id));
        let change = move |change: &mut Change| {
            find(change, id)?;
            if supervision::find(change, id)?.state() != State::Stopped {
                return Err(Error::AgentRuns);
            }
            store::agents::delete(change, id)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::AgentChanged(id));
            Ok(())
        };
        self.automa.store.write(change).await
    }

    /// One agent.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub fn get(&self, id: AgentId) -> Result<Agent> {
        self.actor.require(Permission::ReadAgents)?;
        self.automa.store.look(|view| find(view, id))
    }

    /// How an agent is now.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub fn status(&self, id: AgentId) -> Result<Status> {
        self.actor.require(Permission::ReadAgents)?;
        let supervision = self.automa.store.look(|view| supervision::find(view, id))?;
        Ok(self.seen(supervision))
    }

    /// All agents, newest first, and how they are: a thousand at most.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] and the store's.
    pub async fn list(&self) -> Result<Vec<(Agent, Status)>> {
        self.actor.require(Permission::ReadAgents)?;
        let list = |view: &Snapshot| Ok::<_, Error>(store::agents::list(view)?);
        let agents = self.automa.store.read(list).await?;
        Ok(agents.into_iter().map(|(agent, it)| (agent, self.seen(it))).collect())
    }

    /// What is known, and what is only seen while it runs.
    fn seen(&self, supervision: Supervision) -> Status {
        let execution = supervision.execution();
        let runner = self.automa.runner().ok();
        let console = execution.zip(runner).and_then(|(id, runner)| runner.console(id));
        let (now, restarts) = (self.automa.clock.now(), supervision.restarts);
        let up = |since: Timestamp| u64::try_from(now.duration_since(since).as_millis()).ok();
        Status {
            state: supervision.state(),
            desired: supervision.desired,
            next_try: match supervision.state() {
                State::BackingOff | State::CrashLoop => supervision.wake(),
                _ => None,
            },
            why: supervision.why,
            since: supervision.since,
            restarts,
            execution,
            up_since: supervision.up_since,
            uptime_ms: supervision.up_since.and_then(up),
            usage: console.and_then(|console| console.usage(now, restarts)),
        }
    }

    /// What is asked for, found right: its parameters as text. A schema is compiled for it, which may
    /// take a while.
    async fn checked(&self, new: &NewAgent) -> Result<Option<String>> {
        let new = new.clone();
        let (store, sight) = (self.automa.store.clone(), Sight::of(self.actor));
        blocking::run(move || {
            let json = new.check()?;
            store.look(|view| {
                script::find_seen(view, &sight, new.script)?;
                let (_, version) = script::find_for_schedule(view, new.script, new.version)?;
                execution::by_schema(&version, new.parameters.clone(), None)?;
                Ok(json)
            })
        })
        .await
    }
}

/// An agent that was not deleted.
pub(crate) fn find(view: &impl View, id: AgentId) -> Result<Agent> {
    store::agents::get(view, id)?.ok_or_else(|| not_found(id))
}

fn not_found(id: AgentId) -> Error {
    Error::NotFound { kind: "agent", id: id.to_string() }
}

#[cfg(test)]
mod tests;
