//! Submitting: what is asked for is checked, and accepted in one durable change.

use automa_sandbox::Destination;

use super::{
    Execution, Executions, LimitsRequest, Parameters, State, Work, idempotency::Key, network,
    not_found, parameters,
};
use crate::{
    Error, Result,
    actor::Permission,
    audit::{Action, Entry},
    error::FieldError,
    event::Event,
    id::{ExecutionId, ScriptId},
    script::{self, Language, SOURCE_MAX, Schema, Version},
    store::{
        self,
        change::{Change, Snapshot},
    },
};

/// What to execute, and how.
///
/// ```
/// use automa_core::{execution::{LimitsRequest, NewExecution}, script::Language};
///
/// let new = NewExecution {
///     limits: LimitsRequest { wall_ms: Some(1000), ..LimitsRequest::default() },
///     idempotency_key: Some("2026-01-01-nightly".to_owned()),
///     ..NewExecution::code(Language::Bash, "echo hello")
/// };
/// # let _ = new;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct NewExecution {
    /// What to run.
    pub program: Program,
    /// What it is told. Its script's schema decides what it takes; without one, everything whose
    /// names can be environment variables, 64 KiB as JSON. None is the same as none in it.
    pub parameters: Option<Parameters>,
    /// How much it may use.
    pub limits: LimitsRequest,
    /// What it may reach over TCP: at most 64 destinations with at most 32 different ports. With
    /// none there is no network.
    pub network: Vec<Destination>,
    /// With a key, 1 to 255 visible ASCII characters, the same request of the same user within 24
    /// hours is this one: it is answered with the execution that there is already.
    pub idempotency_key: Option<String>,
}

/// What is different when something is run again. What is `None` stays as it was.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rerun {
    /// What it is told.
    pub parameters: Option<Parameters>,
    /// What it may reach.
    pub network: Option<Vec<Destination>>,
}

/// What an execution is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
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

impl NewExecution {
    /// The newest version of a script, without parameters.
    #[must_use]
    pub fn script(id: ScriptId) -> Self {
        Self::of(Program::Script { id, version: None })
    }

    /// Code that is not saved, without parameters.
    pub fn code(language: Language, source: impl Into<String>) -> Self {
        Self::of(Program::Code { language, source: source.into() })
    }

    fn of(program: Program) -> Self {
        let limits = LimitsRequest::default();
        Self { program, parameters: None, limits, network: Vec::new(), idempotency_key: None }
    }

    /// The parameters as JSON text.
    fn check(&self) -> Result<Option<String>> {
        let mut errors = Vec::new();
        if let Program::Code { source, .. } = &self.program
            && source.len() > SOURCE_MAX
        {
            errors.push(FieldError::new("source", "must have at most 1 MiB"));
        }
        let given = self.parameters.as_ref().filter(|parameters| !parameters.is_empty());
        let parameters = given.map(parameters::check).transpose().unwrap_or_else(|wrong| {
            errors.extend(wrong);
            None
        });
        self.limits.check(&mut errors);
        network::check(&self.network, &mut errors);
        if let Some(key) = &self.idempotency_key {
            Key::check(key, &mut errors);
        }
        FieldError::none_of(errors)?;
        Ok(parameters)
    }
}

/// What was asked for and found right, before it is an execution.
struct Submission {
    language: Language,
    script: Option<(ScriptId, u32)>,
    script_name: Option<String>,
    work: Work,
    attempt: u32,
    rerun_of: Option<ExecutionId>,
    key: Option<Key>,
}

impl Executions<'_> {
    /// Accepts an execution: once this returns, it is durable, and is running or will be run.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`]; [`Error::NotFound`] for the script or its version; [`Error::Invalid`];
    /// [`Error::IdempotencyMismatch`]; [`Error::NotRunning`] when nothing could run it; and the
    /// store's.
    pub async fn submit(&self, new: NewExecution) -> Result<Execution> {
        self.actor.require(Permission::Execute)?;
        let json = new.check()?;
        let (user, now) = (self.actor.user, self.automa.clock.now());
        let key = |key: &String| Key::new(key, user, &new, json.as_deref());
        let key = new.idempotency_key.as_ref().map(key).transpose()?;
        // What it was the first time counts, whatever has become of its script.
        if let Some(key) = key
            && let Some(before) = self.automa.store.look(|view| key.find(view, now))?
        {
            return Ok(before);
        }
        let NewExecution { program, parameters, limits, network, .. } = new;
        let submission = match program {
            Program::Code { language, source } => Submission {
                language,
                script: None,
                script_name: None,
                work: Work { source: Some(source), parameters: json, limits, network },
                attempt: 1,
                rerun_of: None,
                key,
            },
            Program::Script { id, version } => {
                let find = move |view: &Snapshot| {
                    let (script, version) = script::find_version(view, id, version)?;
                    check_by_schema(&version, parameters.as_ref())?;
                    let limits = limits.over(version.limits);
                    Ok::<_, Error>(Submission {
                        language: version.language,
                        script: Some((id, version.number)),
                        script_name: Some(script.name),
                        work: Work { source: None, parameters: json, limits, network },
                        attempt: 1,
                        rerun_of: None,
                        key,
                    })
                };
                self.automa.store.read(find).await?
            }
        };
        self.accept(submission).await
    }

    /// Runs once more what an execution ran, in the same version and with the same limits, but for
    /// what is to be different.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit); [`Error::NotFound`] also when its script was deleted.
    pub async fn rerun(
        &self,
        id: ExecutionId,
        Rerun { parameters, network }: Rerun,
    ) -> Result<Execution> {
        self.actor.require(Permission::Execute)?;
        let mut errors = Vec::new();
        network::check(network.as_deref().unwrap_or_default(), &mut errors);
        FieldError::none_of(errors)?;
        let find = move |view: &Snapshot| {
            let before = store::executions::get(view, id)?.ok_or_else(|| not_found(id))?;
            let mut work = store::executions::work(view, id)?.ok_or_else(|| not_found(id))?;
            if let Some(parameters) = &parameters {
                work.parameters = Some(parameters::check(parameters).map_err(Error::Invalid)?);
                if let Some((id, number)) = before.script {
                    let (_, version) = script::find_version(view, id, Some(number))?;
                    check_by_schema(&version, Some(parameters))?;
                }
            }
            if let Some(network) = network {
                work.network = network;
            }
            Ok::<_, Error>(Submission {
                language: before.language,
                script: before.script,
                script_name: before.script_name,
                work,
                attempt: 1,
                rerun_of: Some(id),
                key: None,
            })
        };
        let submission = self.automa.store.read(find).await?;
        self.accept(submission).await
    }

    async fn accept(&self, submission: Submission) -> Result<Execution> {
        let runner = self.automa.runner()?;
        let clock = &*self.automa.clock;
        let (id, now) = (ExecutionId::generate(clock), clock.now());
        let entry = Entry::new(clock, self.actor, Action::ExecutionSubmitted(id));
        let Submission { language, script, script_name, work, attempt, rerun_of, key } = submission;
        // With a slot it is accepted and started in one change.
        let slot = runner.free_slot();
        let state = if slot.is_some() { State::Running } else { State::Queued };
        let execution = Execution {
            id,
            state,
            language,
            script,
            script_name,
            requested_by: self.actor.name.clone(),
            user: self.actor.user,
            created_at: now,
            started_at: slot.is_some().then_some(now),
            finished_at: None,
            attempt,
            rerun_of,
            ending: None,
        };
        let change = move |change: &mut Change| {
            // Here, where nobody comes between: of several at the same time one is the first.
            if let Some(key) = &key
                && let Some(before) = key.find(change, execution.created_at)?
            {
                return Ok(before);
            }
            if let Some((script, _)) = execution.script {
                // It may have been deleted meanwhile.
                script::find(change, script)?;
            }
            store::executions::put(change, &execution)?;
            store::executions::put_work(change, id, &work)?;
            store::audit::add(change, &entry)?;
            if let Some(key) = &key {
                key.put(change, &execution)?;
            }
            change.emit(Event::ExecutionChanged { id, state });
            Ok::<_, Error>(execution.clone())
        };
        match slot {
            Some(slot) => runner.start_in(slot, id, change).await,
            // From the change's event on it is the runner's, whether or not anyone waits here.
            None => self.automa.store.write(change).await,
        }
    }
}

/// Refuses parameters that a version's schema does not allow.
fn check_by_schema(version: &Version, parameters: Option<&Parameters>) -> Result<()> {
    let Some(schema) = &version.parameters_schema else { return Ok(()) };
    // It was checked when the version was made; a later one may know more errors. Reading it again
    // takes some 20 µs for ten parameters: too little for a cache.
    let schema = Schema::parse(schema).map_err(|error| Error::Invalid(vec![error]))?;
    let none = Parameters::new();
    FieldError::none_of(schema.check(parameters.unwrap_or(&none)))
}
