//! Executions: one run of a version of a script, or of code that was not saved.

pub mod log;
mod runner;
mod state;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use self::log::LogReader;
pub(crate) use self::runner::Runner;
pub use self::state::State;
use crate::{
    Automa, Error, Result,
    actor::{Actor, Permission},
    audit::{Action, Entry},
    error::FieldError,
    event::Event,
    id::{ExecutionId, ScriptId, UserId},
    page::{Page, PageRequest},
    script::{Language, SOURCE_MAX},
    store::{self, change::Change},
};

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
    /// Who asked for it, as named at that time.
    pub requested_by: String,
    /// Who, unless it was the embedding program.
    pub user: Option<UserId>,
    /// When it was accepted.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub created_at: Timestamp,
    /// When it was started.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    pub ending: Option<Ending>,
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

/// What an execution runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Work {
    /// Its file's name, as tracebacks show it.
    pub(crate) name: String,
    pub(crate) source: String,
}

/// What the sandbox reported: an [`automa_sandbox::ExitReport`] as JSON, which the sandbox may
/// extend without a change of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) json: String,
}

/// What to execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewExecution {
    /// A version of a script, the newest unless told.
    Script {
        /// The script.
        id: ScriptId,
        /// Its version.
        version: Option<u32>,
    },
    /// Code that is not saved.
    Code {
        /// Its language.
        language: Language,
        /// The code, at most 1 MiB.
        source: String,
    },
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

    /// Accepts an execution: once this returns, it is durable and will be run.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`]; [`Error::NotFound`] for the script or its version; [`Error::Invalid`];
    /// [`Error::NotRunning`] when nothing could run it; and the store's.
    pub async fn submit(&self, new: NewExecution) -> Result<Execution> {
        self.actor.require(Permission::Execute)?;
        self.automa.runner()?;
        if let NewExecution::Code { source, .. } = &new
            && source.len() > SOURCE_MAX
        {
            let reason = "must have at most 1 MiB".to_owned();
            return Err(Error::Invalid(vec![FieldError { field: "source", reason }]));
        }
        let clock = &*self.automa.clock;
        let id = ExecutionId::generate(clock);
        let now = clock.now();
        let (requested_by, user) = (self.actor.name.clone(), self.actor.user);
        let entry = Entry::new(clock, self.actor, Action::ExecutionSubmitted(id));
        let change = move |change: &mut Change| {
            let (language, script, source) = match &new {
                NewExecution::Code { language, source } => (*language, None, source.clone()),
                NewExecution::Script { id, version } => {
                    let found = crate::script::find_version(change, *id, *version)?;
                    (found.language, Some((*id, found.number)), found.source)
                }
            };
            let execution = Execution {
                id,
                state: State::Queued,
                language,
                script,
                requested_by: requested_by.clone(),
                user,
                created_at: now,
                started_at: None,
                finished_at: None,
                ending: None,
            };
            let work = Work { name: language.file_name().to_owned(), source };
            store::executions::put(change, &execution)?;
            store::executions::put_work(change, id, &work)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::ExecutionChanged { id, state: State::Queued });
            Ok::<_, Error>(execution)
        };
        // From the change's event on it is the runner's, whether or not anyone waits here.
        self.automa.store.write(change).await
    }

    /// One execution.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub fn get(&self, id: ExecutionId) -> Result<Execution> {
        self.actor.require(Permission::ReadExecutions)?;
        self.automa
            .store
            .look(|view| store::executions::get(view, id)?.ok_or_else(|| not_found(id)))
    }

    /// Executions, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] and the store's.
    pub async fn list(&self, page: PageRequest) -> Result<Page<Execution>> {
        self.actor.require(Permission::ReadExecutions)?;
        let list = move |view: &_| Ok(store::executions::list(view, &page)?);
        self.automa.store.read(list).await
    }

    /// Waits until an execution has ended or `until` has come, and returns it as it is then.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn wait(&self, id: ExecutionId, until: Instant) -> Result<Execution> {
        // Subscribed before it is read, so that no end falls between the two.
        let mut events = self.automa.events();
        loop {
            let execution = self.get(id)?;
            if !execution.state.is_open() {
                return Ok(execution);
            }
            loop {
                match timeout_at(until, events.next()).await {
                    Ok(Some(Event::ExecutionChanged { id: changed, .. })) if changed != id => {}
                    Ok(Some(Event::ExecutionChanged { .. } | Event::Missed(_))) => break,
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return self.get(id),
                }
            }
        }
    }

    /// Cancels an execution: one that is queued at once, one that runs by `SIGTERM` and, ten seconds
    /// later, by force. Returns it as it is then; [`wait`](Self::wait) for its end.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], [`Error::Ended`], and the store's.
    pub async fn cancel(&self, id: ExecutionId) -> Result<Execution> {
        self.actor.require(Permission::Execute)?;
        let clock = &*self.automa.clock;
        let now = clock.now();
        let entry = Entry::new(clock, self.actor, Action::ExecutionCancelled(id));
        let change = move |change: &mut Change| {
            let mut execution = store::executions::get(change, id)?.ok_or_else(|| not_found(id))?;
            match execution.state {
                State::Queued => {
                    execution.state = State::Cancelled;
                    execution.finished_at = Some(now);
                    store::executions::put(change, &execution)?;
                    change.emit(Event::ExecutionChanged { id, state: State::Cancelled });
                }
                State::Running => {}
                ended => return Err(Error::Ended(ended)),
            }
            store::audit::add(change, &entry)?;
            Ok(execution)
        };
        let execution = self.automa.store.write(change).await?;
        if execution.state == State::Running {
            self.automa.runner()?.cancel(id);
        }
        Ok(execution)
    }

    /// What the sandbox reported: what confined the execution and what it used; `None` if it has
    /// not ended or was never started.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn report(&self, id: ExecutionId) -> Result<Option<automa_sandbox::ExitReport>> {
        self.actor.require(Permission::ReadExecutions)?;
        let read = move |view: &_| {
            store::executions::get(view, id)?.ok_or_else(|| not_found(id))?;
            Ok::<_, Error>(store::executions::report(view, id)?)
        };
        let report = self.automa.store.read(read).await?;
        // A report that a later version wrote may have what this one does not know.
        Ok(report.and_then(|report| serde_json::from_str(&report.json).ok()))
    }

    /// The log, which may still grow. Its methods read files: call them where that may block.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], [`Error::NotRunning`], and the log's.
    pub fn log(&self, id: ExecutionId) -> Result<LogReader> {
        self.actor.require(Permission::ReadExecutions)?;
        self.get(id)?;
        self.automa.runner()?.log(id)
    }
}

fn not_found(id: ExecutionId) -> Error {
    Error::NotFound { kind: "execution", id: id.to_string() }
}

#[cfg(test)]
mod tests;
