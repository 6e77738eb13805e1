//! Executions: one run of a version of a script, or of code that was not saved.
//!
//! ```standalone_crate
//! use automa_core::{
//!     Automa, Error,
//!     actor::Actor,
//!     execution::{NewExecution, ResultValue},
//!     script::Language,
//! };
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn run() -> Result<(), Error> {
//!     // With `directory` instead, what is accepted survives this process.
//!     let automa = Automa::builder().in_memory().slots(1).start().await?;
//!     let me = Actor::embedder("example");
//!     let executions = automa.executions(&me);
//!
//!     let source = "echo hello $name; echo '{\"greeted\": 1}' >$AUTOMA_RESULT; echo bye";
//!     let mut new = NewExecution::code(Language::Bash, source);
//!     new.parameters = Some([("name".to_owned(), "world".into())].into_iter().collect());
//!     let id = executions.submit(new).await?.id;
//!
//!     // Lines come while it runs; after the last it has ended.
//!     let (mut follow, mut next, mut lines) = (executions.follow(id)?, 1, Vec::new());
//!     while let Some(window) = follow.next(next).await? {
//!         next = window.next;
//!         lines.extend(window.lines.into_iter().map(|line| line.text));
//!     }
//!     assert_eq!(lines, ["hello world", "bye"]);
//!     assert_eq!(executions.get(id)?.state.name(), "succeeded");
//!     let Some(ResultValue::Value(result)) = executions.result(id)? else { panic!("it left one") };
//!     assert_eq!(result["greeted"], 1);
//!     automa.close().await;
//!     Ok(())
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // First of all: this program also serves as the sandbox's helper.
//!     automa_sandbox::reexec_guard();
//!     run()?;
//!     Ok(())
//! }
//! ```

mod admission;
mod agent;
mod artifacts;
mod attempt;
mod concurrency;
mod dispatch;
mod find;
mod follow;
mod idempotency;
mod limits;
mod list;
pub mod log;
mod network;
mod older;
mod packing;
pub(crate) mod parameters;
mod queue;
mod result;
mod retry;
mod runner;
mod secrets;
mod state;
mod submission;

use std::time::Duration;

use automa_sandbox::Destination;
use automa_sandbox::UsagePoint;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use self::log::LogReader;
pub(crate) use self::submission::check_unattended;
#[cfg(test)]
pub(crate) use self::{admission::tests::TestHost, idempotency::Key, runner::StandIn};
pub(crate) use self::{
    admission::{Admission, ThisHost},
    agent::start_for_agent,
    artifacts::{ArtifactFiles, Kept},
    attempt::log_name,
    idempotency::{Hash, KEYS_EXPIRE_AFTER, Submitted},
    network::check as check_network,
    older::{ExecutionV1, ExecutionV2},
    packing::Packer,
    result::StoredResult,
    retry::{ATTEMPTS_MAX, Pauses},
    runner::{Console, Runner, RunnerConfig, Sandboxes, TellError},
    secrets::GivenCredentials,
    submission::by_schema,
};
pub use self::{
    artifacts::{Artifact, Artifacts, Content, LeftOut},
    attempt::{Attempt, AttemptOf},
    concurrency::{Concurrency, OnConflict, Place, UnknownOnConflict},
    dispatch::{Deadline, Dispatch, DispatchRequest, DispatchRules},
    find::COUNT_MAX,
    follow::Follow,
    limits::LimitsRequest,
    list::{Count, Counts, Filter},
    parameters::{PARAMETERS_MAX, Parameters},
    queue::{Reason, Shortage, Waiting},
    result::{RESULT_MAX, ResultValue},
    retry::Retry,
    secrets::GivenCredential,
    state::{State, UnknownState},
    submission::{NewExecution, Program, Rerun},
};
use crate::{
    Automa, Error, Result,
    actor::{Actor, Permission},
    audit::{Action, Entry},
    error::FieldError,
    event::Event,
    id::{AgentId, ExecutionId, JobId, ScriptId, UserId},
    page::{Page, PageRequest},
    script::{self, Language, Sight},
    store::{
        self,
        change::{Change, Snapshot, View},
    },
};

/// Time that a cancelled script has to end by itself, unless told.
const GRACE: Duration = Duration::from_secs(10);
/// Most of it that can be given.
const GRACE_MAX: Duration = Duration::from_mins(10);

/// One execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// Its id.
    pub id: ExecutionId,
    /// Where it is.
    pub state: State,
    /// The language of what it runs.
    pub language: Language,
    /// The script and its version, unless it runs code that was not saved.
    pub script: Option<(ScriptId, u32)>,
    /// The script's name at that time.
    pub script_name: Option<String>,
    /// Who asked for it, as named at that time.
    pub requested_by: String,
    /// Who, unless it was the embedding program.
    pub user: Option<UserId>,
    /// When it was accepted.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub created_at: Timestamp,
    /// When it was started; of several attempts, the last one.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    pub finished_at: Option<Timestamp>,
    /// 1, and one more for each time that it was tried again by itself.
    pub attempt: u32,
    /// The execution that this one is a re-run of.
    pub rerun_of: Option<ExecutionId>,
    /// How it ended.
    pub ending: Option<Ending>,
    /// What decides about its turn.
    pub dispatch: Dispatch,
    /// The job whose turn it was, if one started it.
    pub job: Option<Slot>,
    /// The agent that it is a run of.
    pub agent: Option<AgentId>,
}

/// A time at which a job's turn is, and for which it starts at most one execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// The job.
    pub job: JobId,
    /// When: as its trigger says, however late it was in fact; of what was asked for, the time of
    /// asking.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub at: Timestamp,
}

impl Execution {
    /// How long it took or has been running, in milliseconds; 0 of what is not started.
    pub(crate) fn wall_ms(&self, now: Timestamp) -> u64 {
        match (&self.ending, self.started_at) {
            (Some(ending), _) => ending.wall_ms,
            (None, Some(started)) if self.state.is_open() => {
                u64::try_from(now.duration_since(started).as_millis()).unwrap_or(0)
            }
            (None, _) => 0,
        }
    }
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Why, in a sentence without its full stop: "the script was stopped at its time limit".
    pub cause: String,
    /// The script's exit code, if it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended the script, if one did.
    pub signal: Option<i32>,
    /// From start to end.
    pub wall_ms: u64,
    /// Processor time of all its processes.
    pub cpu_ms: u64,
    /// Most memory that all its processes held, where that is known.
    pub peak_memory_bytes: Option<u64>,
    /// Bytes it wrote to stdout and stderr.
    pub output_bytes: u64,
}

/// What an execution runs, apart from it, so that lists need not read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Work {
    /// The code, unless that is the version's.
    pub(crate) source: Option<String>,
    /// A JSON object.
    pub(crate) parameters: Option<String>,
    /// What was asked for over what the version says.
    pub(crate) limits: LimitsRequest,
    /// What it may reach; stored as text.
    pub(crate) network: Vec<Destination>,
}

/// [`Work`] in its first version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkV1 {
    pub(crate) source: Option<String>,
    pub(crate) parameters: Option<String>,
    pub(crate) limits: LimitsRequest,
}

impl From<WorkV1> for Work {
    fn from(WorkV1 { source, parameters, limits }: WorkV1) -> Self {
        Self { source, parameters, limits, network: Vec::new() }
    }
}

/// What an execution ran or will run: enough to run it again, as it is or edited.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    /// Its language.
    pub language: Language,
    /// The code, also if its script was deleted.
    pub source: String,
    /// What it was told.
    pub parameters: Option<Parameters>,
    /// Its limits. What is `None` is the default.
    pub limits: LimitsRequest,
    /// What it may reach; nothing when there is nothing in it.
    pub network: Vec<Destination>,
}

/// What the sandbox reported: an [`automa_sandbox::ExitReport`] as JSON, which the sandbox may
/// extend without a change of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) json: String,
}

/// Executions as one actor may see and start them.
#[derive(Debug, Clone, Copy)]
pub struct Executions<'a> {
    automa: &'a Automa,
    actor: &'a Actor,
}

impl<'a> Executions<'a> {
    pub(crate) fn new(automa: &'a Automa, actor: &'a Actor) -> Self {
        Self { automa, actor }
    }

    /// One execution. Those of private scripts are for who sees the script, and who started them.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub fn get(&self, id: ExecutionId) -> Result<Execution> {
        self.actor.require(Permission::ReadExecutions)?;
        let (sight, user) = (Sight::of(self.actor), self.actor.user);
        self.automa.store.look(|view| {
            let execution = store::executions::get(view, id)?.ok_or_else(|| not_found(id))?;
            let seen = is_seen(view, &sight, user, &execution)?;
            if seen { Ok(execution) } else { Err(not_found(id)) }
        })
    }

    /// Executions that a filter lets through, newest first. A cursor belongs to its filter, but not
    /// to the times in it.
    ///
    /// What is named is looked up, not searched for, and the work of one page has a limit. So a page
    /// may have fewer executions than there is place for, even none, and still a cursor: there may
    /// be more further back.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] and the store's.
    pub async fn list(&self, filter: Filter, page: PageRequest) -> Result<Page<Execution>> {
        self.actor.require(Permission::ReadExecutions)?;
        let now = self.automa.clock.now();
        let (sight, user) = (Sight::of(self.actor), self.actor.user);
        let list = move |view: &_| {
            let mut page = store::executions::list(view, &filter, now, &page)?;
            let mut hidden = Vec::new();
            for execution in &page.items {
                if !is_seen(view, &sight, user, execution)? {
                    hidden.push(execution.id);
                }
            }
            page.items.retain(|execution| !hidden.contains(&execution.id));
            Ok(page)
        };
        self.automa.store.read(list).await
    }

    /// How many executions a filter lets through, up to 10,000; of states, how many there are, which
    /// costs the same however many that is.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] and the store's.
    pub async fn count(&self, filter: Filter) -> Result<Count> {
        if filter.is_by_state_alone() {
            let counts = self.counts()?;
            let count = match &*filter.states {
                [] => counts.total(),
                states => State::ALL
                    .iter()
                    .filter(|it| states.contains(it))
                    .map(|it| counts.of(*it))
                    .sum(),
            };
            return Ok(Count { count, is_exact: true });
        }
        self.actor.require(Permission::ReadExecutions)?;
        let now = self.automa.clock.now();
        let count = move |view: &_| Ok(store::executions::count(view, &filter, now)?);
        self.automa.store.read(count).await
    }

    /// How many executions there are in each state. Costs the same however many there are.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] and the store's.
    pub fn counts(&self) -> Result<Counts> {
        self.actor.require(Permission::ReadExecutions)?;
        self.automa.store.look(|view| Ok(store::executions::counts(view)?))
    }

    /// What an execution ran or will run. Parameters that its schema marks as secret are `********`.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`]; [`Error::NotFound`], also when the script is private and neither it nor
    /// the execution is the actor's; and the store's.
    pub async fn program(&self, id: ExecutionId) -> Result<Ran> {
        self.actor.require(Permission::ReadExecutions)?;
        let (sight, user) = (Sight::of(self.actor), self.actor.user);
        let find = move |view: &Snapshot| {
            let (execution, mut ran) = find_program(view, id)?;
            if !is_seen(view, &sight, user, &execution)? {
                return Err(not_found(id));
            }
            let Some((script, number)) = execution.script else { return Ok(ran) };
            let schema = script::kept_version(view, script, number)?.parameters_schema;
            if let (Some(parameters), Some(schema)) = (&mut ran.parameters, schema) {
                // What was stored was a schema.
                let schema = serde_json::from_str(&schema).unwrap_or_default();
                script::hide_secrets(&schema, parameters);
            }
            Ok(ran)
        };
        self.automa.store.read(find).await
    }

    /// Waits until an execution has ended or `until` has come, and returns it as it is then.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn wait(&self, id: ExecutionId, until: Instant) -> Result<Execution> {
        // Subscribed before it is read, so that no end falls between the two.
        let mut changes = self.automa.store.changes_of(id);
        loop {
            let execution = self.get(id)?;
            if !execution.state.is_open() {
                return Ok(execution);
            }
            if !timeout_at(until, changes.next()).await.unwrap_or(false) {
                return self.get(id);
            }
        }
    }

    /// Why an execution waits, as things are now; `None` if it does not wait.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and [`Error::NotRunning`].
    pub fn waiting(&self, id: ExecutionId) -> Result<Option<Waiting>> {
        let execution = self.get(id)?;
        let waits = execution.state == State::Queued;
        Ok(if waits { self.automa.runner()?.why(id) } else { None })
    }

    /// The attempts of an execution that were followed by another, first to last.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub fn attempts(&self, id: ExecutionId) -> Result<Vec<Attempt>> {
        let execution = self.get(id)?;
        if execution.attempt == 1 {
            return Ok(Vec::new());
        }
        self.automa.store.look(|view| Ok(store::executions::attempts(view, id)?))
    }

    /// As [`cancel_within`](Self::cancel_within), with the usual grace of ten seconds.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn cancel(&self, id: ExecutionId) -> Result<Execution> {
        self.cancel_within(id, GRACE).await
    }

    /// Cancels an execution: one that waits at once; one that runs by `SIGTERM`, and by force when
    /// it has not ended after `grace`, which is ten minutes at most, or when it is cancelled once
    /// more. Returns it as it is then; [`wait`](Self::wait) for its end.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], [`Error::Invalid`], [`Error::Ended`], and the
    /// store's.
    pub async fn cancel_within(&self, id: ExecutionId, grace: Duration) -> Result<Execution> {
        self.actor.require(Permission::Execute)?;
        if grace > GRACE_MAX {
            let error = FieldError::new("grace_ms", "must be 0 to 600000, ten minutes");
            return Err(Error::Invalid(vec![error]));
        }
        let clock = &*self.automa.clock;
        let now = clock.now();
        let entry = Entry::new(clock, self.actor, Action::ExecutionCancelled(id));
        let change = move |change: &mut Change| {
            let mut execution = store::executions::get(change, id)?.ok_or_else(|| not_found(id))?;
            let before = execution.dispatch.cancelled_at;
            match execution.state {
                State::Queued => {
                    let cause = format!("was cancelled before it was {}", execution.step());
                    execution.end_unstarted(State::Cancelled, now, &cause);
                }
                State::Running => execution.dispatch.cancelled_at = before.or(Some(now)),
                ended => return Err(Error::Ended(ended)),
            }
            store::executions::put(change, &execution)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::ExecutionChanged { id, state: execution.state });
            Ok((execution, before.is_some()))
        };
        let (execution, again) = self.automa.store.write(change).await?;
        match (&self.automa.runner(), execution.state) {
            (Ok(runner), _) => runner.cancel(id, if again { Duration::ZERO } else { grace }),
            // Whoever only looks has nothing that runs.
            (Err(_), State::Queued | State::Cancelled) => {}
            (Err(_), _) => return Err(Error::NotRunning),
        }
        Ok(execution)
    }

    /// What the sandbox reported: what confined the execution and what it used; `None` if it has
    /// not ended or was never started.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub fn report(&self, id: ExecutionId) -> Result<Option<automa_sandbox::ExitReport>> {
        self.actor.require(Permission::ReadExecutions)?;
        let report = self.automa.store.look(|view| {
            store::executions::get(view, id)?.ok_or_else(|| not_found(id))?;
            Ok::<_, Error>(store::executions::report(view, id)?)
        })?;
        // A report that a later version wrote may have what this one does not know.
        Ok(report.and_then(|report| serde_json::from_str(&report.json).ok()))
    }

    /// What the last attempt used over time, while it runs and afterwards: at most 120 points, and
    /// none of one that ended within 100 ms.
    ///
    /// # Errors
    ///
    /// As [`report`](Self::report).
    pub fn usage(&self, id: ExecutionId) -> Result<Vec<UsagePoint>> {
        self.actor.require(Permission::ReadExecutions)?;
        let runner = self.automa.runner().ok();
        match runner.and_then(|runner| runner.usage(id)) {
            Some(usage) => Ok(usage.points()),
            None => Ok(self.report(id)?.map(|report| report.history).unwrap_or_default()),
        }
    }

    /// The log of an execution's last attempt, or of another, which may still grow, and is empty as
    /// long as that has not begun. Its methods read files: call them where that may block.
    /// [`follow`](Self::follow) waits for lines.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], [`Error::NotRunning`], [`Error::LogRemoved`], and
    /// the log's.
    pub fn log(&self, of: impl Into<AttemptOf>) -> Result<LogReader> {
        let (execution, attempt) = self.attempt(of.into())?;
        if let Some(at) = self.log_removed(execution.id)? {
            return Err(Error::LogRemoved { at });
        }
        let over = attempt < execution.attempt || !execution.state.is_open();
        self.automa.runner()?.log(execution.id, attempt, over)
    }

    /// An execution with the number of the attempt that is meant.
    fn attempt(&self, of: AttemptOf) -> Result<(Execution, u32)> {
        let execution = self.get(of.execution)?;
        let attempt = of.attempt.unwrap_or(execution.attempt);
        if !(1..=execution.attempt).contains(&attempt) {
            let id = format!("{attempt} of execution {}", of.execution);
            return Err(Error::NotFound { kind: "attempt", id });
        }
        Ok((execution, attempt))
    }

    /// When the log was removed, if it was.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] and the store's.
    pub fn log_removed(&self, id: ExecutionId) -> Result<Option<Timestamp>> {
        self.actor.require(Permission::ReadExecutions)?;
        self.automa.store.look(|view| Ok(store::logs::removed(view, id)?))
    }
}

/// Whether an execution is there for who looks: those of private scripts are for who sees these, and
/// for who started them.
fn is_seen(
    view: &impl View,
    sight: &Sight,
    user: Option<UserId>,
    execution: &Execution,
) -> Result<bool> {
    if !sight.reaches(execution.script.map(|(script, _)| script)) {
        return Ok(false);
    }
    let Some((script, _)) = execution.script else { return Ok(true) };
    let theirs = user.is_some() && execution.user == user;
    Ok(theirs || sight.is_of_all() || !script::is_hidden(view, sight, script)?)
}

/// An execution, and what it runs.
fn find_program(view: &impl View, id: ExecutionId) -> Result<(Execution, Ran)> {
    let execution = store::executions::get(view, id)?.ok_or_else(|| not_found(id))?;
    let work = store::executions::work(view, id)?.ok_or_else(|| not_found(id))?;
    let source = match (work.source, execution.script) {
        (Some(source), _) => source,
        (None, Some((script, number))) => script::kept_version(view, script, number)?.source,
        (None, None) => return Err(not_found(id)),
    };
    let parameters = work.parameters.as_deref().map(parameters::read).transpose()?;
    let Work { limits, network, .. } = work;
    let ran = Ran { language: execution.language, source, parameters, limits, network };
    Ok((execution, ran))
}

impl Execution {
    /// Ends one that waits, for a reason that stands after "the script".
    fn end_unstarted(&mut self, state: State, now: Timestamp, cause: &str) {
        self.state = state;
        self.started_at = self.started_at.filter(|_| self.attempt > 1);
        self.finished_at = Some(now);
        self.ending = Some(Ending::unknown(cause));
    }

    /// What it waits for, after "it was".
    fn step(&self) -> &'static str {
        if self.attempt > 1 { "tried again" } else { "started" }
    }
}

fn not_found(id: ExecutionId) -> Error {
    Error::NotFound { kind: "execution", id: id.to_string() }
}

#[cfg(test)]
mod tests;
