//! Submitting: what is asked for is checked, and accepted in one durable change.

use automa_sandbox::Destination;
use jiff::Timestamp;

use super::{
    Dispatch, DispatchRequest, DispatchRules, Execution, Executions, LimitsRequest, OnConflict,
    Parameters, Place, Retry, State, Work, idempotency::Key, network, not_found, parameters,
    runner::Accepted, secrets,
};
use crate::{
    Error, Result,
    actor::Permission,
    audit::{Action, Entry},
    error::FieldError,
    event::Event,
    id::{ExecutionId, ScriptId, UserId},
    job::Claim,
    quota,
    script::{self, Language, SOURCE_MAX, Schema, Script, Sight, Version},
    store::{
        self,
        change::{Change, Snapshot},
    },
    tier,
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
    /// When it has its turn.
    pub dispatch: DispatchRequest,
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
        let (limits, dispatch) = (LimitsRequest::default(), DispatchRequest::default());
        let network = Vec::new();
        Self { program, parameters: None, limits, network, dispatch, idempotency_key: None }
    }

    /// The parameters as JSON text.
    pub(crate) fn check(&self, now: Timestamp) -> Result<Option<String>> {
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
        self.dispatch.check(now, &mut errors);
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
    rerun_of: Option<ExecutionId>,
    key: Option<Key>,
    turn: Turn,
    claim: Option<Claim>,
}

/// When an execution has its turn, and what of that only counts at its beginning and at its end.
#[derive(Default)]
struct Turn {
    dispatch: Dispatch,
    retry: Option<Retry>,
    on_conflict: Option<OnConflict>,
}

impl Turn {
    /// What is asked for, over what the script says.
    fn new(asked: &DispatchRequest, rules: &DispatchRules, now: Timestamp) -> Self {
        let retry = asked.retry.as_ref().or(rules.retry.as_ref());
        let retry = retry.filter(|retry| retry.attempts > 1).cloned();
        let dispatch = Dispatch {
            priority: asked.priority.unwrap_or(rules.priority),
            deadline: asked.deadline(now),
            max_attempts: retry.as_ref().map_or(1, |retry| retry.attempts),
            ..Dispatch::default()
        };
        Self { dispatch, retry, on_conflict: None }
    }

    /// With a place among those that are counted together.
    fn placed(mut self, place: Option<Place>, rules: &DispatchRules) -> Self {
        self.dispatch.concurrency = place;
        self.on_conflict = rules.concurrency.as_ref().map(|rule| rule.on_conflict);
        self
    }
}

impl Executions<'_> {
    /// Accepts an execution: once this returns, it is durable, and is running or will be run.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`]; [`Error::NotFound`] for the script or its version; [`Error::Invalid`];
    /// [`Error::QuotaExceeded`]; [`Error::IdempotencyMismatch`]; [`Error::NotRunning`] when nothing could run it; and the
    /// store's.
    pub async fn submit(&self, new: NewExecution) -> Result<Execution> {
        self.submit_claiming(new, None).await
    }

    /// Accepts an execution that a job starts, with the claim to its slot.
    pub(crate) async fn submit_for(&self, new: NewExecution, claim: Claim) -> Result<Execution> {
        self.submit_claiming(new, Some(claim)).await
    }

    async fn submit_claiming(&self, new: NewExecution, claim: Option<Claim>) -> Result<Execution> {
        self.actor.require(Permission::Execute)?;
        let (user, now) = (self.actor.user, self.automa.clock.now());
        let json = new.check(now)?;
        let key = |key: &String| Key::new(key, user, &new, json.as_deref());
        let key = new.idempotency_key.as_ref().map(key).transpose()?;
        // What it was the first time counts, whatever has become of its script.
        if let Some(key) = key
            && let Some(before) = self.automa.store.look(|view| key.find(view, now))?
        {
            return Ok(before);
        }
        let NewExecution { program, parameters, limits, network, dispatch, .. } = new;
        let submission = match program {
            Program::Code { language, source } => {
                self.actor.require_every_script(Permission::Execute)?;
                if dispatch.concurrency_key.is_some() {
                    return Err(no_concurrency());
                }
                let plan = self.automa.store.look(|view| tier::plan(view, user))?;
                let limits = plan.cap(&limits, limits)?;
                Submission {
                    language,
                    script: None,
                    script_name: None,
                    work: Work { source: Some(source), parameters: json, limits, network },
                    rerun_of: None,
                    key,
                    turn: Turn::new(&dispatch, &DispatchRules::default(), now),
                    claim,
                }
            }
            Program::Script { id, version } => {
                let sight = Sight::of(self.actor);
                let find = move |view: &Snapshot| {
                    let (script, version) = match &claim {
                        None => script::find_to_run(view, &sight, id, version)?,
                        Some(_) => find_unattended(view, &sight, id, version)?,
                    };
                    let (parameters, json) = by_schema(&version, parameters, json)?;
                    secrets::check_parameters(view, id, parameters.as_ref())?;
                    let rules = &version.dispatch;
                    let limits =
                        tier::plan(view, user)?.cap(&limits, limits.over(version.limits))?;
                    let given = dispatch.concurrency_key.as_deref();
                    if given.is_some() && rules.concurrency.is_none() {
                        return Err(no_concurrency());
                    }
                    let rule = rules.concurrency.as_ref();
                    let place = rule.and_then(|it| it.place(id, parameters.as_ref(), given));
                    let place = place.or_else(|| claim.as_ref().and_then(Claim::place));
                    Ok::<_, Error>(Submission {
                        language: version.language,
                        script: Some((id, version.number)),
                        script_name: Some(script.name),
                        work: Work { source: None, parameters: json, limits, network },
                        rerun_of: None,
                        key,
                        turn: Turn::new(&dispatch, rules, now).placed(place, rules),
                        claim: claim.clone(),
                    })
                };
                self.automa.store.read(find).await?
            }
        };
        self.accept(submission).await
    }

    /// Runs once more what an execution ran, in the same version, with the same limits, priority and
    /// retries, but for what is to be different.
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
        let (now, sight) = (self.automa.clock.now(), Sight::of(self.actor));
        let user = self.actor.user;
        let find = move |view: &Snapshot| {
            let before = store::executions::get(view, id)?.ok_or_else(|| not_found(id))?;
            let mut work = store::executions::work(view, id)?.ok_or_else(|| not_found(id))?;
            if !sight.reaches(before.script.map(|(script, _)| script)) {
                return Err(not_found(id));
            }
            work.limits = tier::plan(view, user)?.cut(work.limits);
            if let Some(parameters) = &parameters {
                work.parameters = Some(parameters::check(parameters).map_err(Error::Invalid)?);
            }
            let asked = DispatchRequest {
                priority: Some(before.dispatch.priority),
                retry: store::executions::retry(view, id)?,
                ..DispatchRequest::default()
            };
            let mut turn = Turn::new(&asked, &DispatchRules::default(), now);
            if let Some((script, number)) = before.script {
                let (_, version) = script::find_to_run(view, &sight, script, Some(number))?;
                let rule = version.dispatch.concurrency.as_ref();
                let place = match &parameters {
                    None => before.dispatch.concurrency,
                    Some(parameters) => {
                        let json = work.parameters.take();
                        let (filled, json) = by_schema(&version, Some(parameters.clone()), json)?;
                        secrets::check_parameters(view, script, filled.as_ref())?;
                        work.parameters = json;
                        rule.and_then(|rule| rule.place(script, filled.as_ref(), None))
                    }
                };
                turn = turn.placed(place, &version.dispatch);
            }
            if let Some(network) = network {
                work.network = network;
            }
            Ok::<_, Error>(Submission {
                language: before.language,
                script: before.script,
                script_name: before.script_name,
                work,
                rerun_of: Some(id),
                key: None,
                turn,
                claim: None,
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
        let Submission { language, script, script_name, work, rerun_of, key, turn, claim } =
            submission;
        let Turn { dispatch, retry, on_conflict } = turn;
        let execution = Execution {
            id,
            state: State::Queued,
            language,
            script,
            script_name,
            requested_by: self.actor.name.clone(),
            user: self.actor.user,
            created_at: now,
            started_at: None,
            finished_at: None,
            attempt: 1,
            rerun_of,
            ending: None,
            dispatch,
            job: claim.as_ref().map(|claim| claim.slot),
            agent: None,
        };
        if let Some(user) = execution.user {
            let plan = self.automa.store.look(|view| tier::plan(view, Some(user)))?;
            runner.limit_user(user, &plan);
        }
        let waits = execution.entry();
        // With a slot it is accepted and started in one change.
        let change = move |change: &mut Change, starts: bool| {
            // Here, where nobody comes between: of several at the same time one is the first.
            if let Some(key) = &key
                && let Some(execution) = key.find(change, execution.created_at)?
            {
                return Ok(Accepted { execution, replaced: Vec::new() });
            }
            if let Some((script, _)) = execution.script {
                // It may have been deleted meanwhile.
                script::find(change, script)?;
            }
            let taken = quota::take_execution(change, execution.user, now)?;
            let former = claim.as_ref().map(|claim| claim.check(change, now)).transpose()?;
            let mut execution = execution.clone();
            if starts {
                (execution.state, execution.started_at) = (State::Running, Some(now));
            }
            let mut replaced = make_room(change, &mut execution, on_conflict)?;
            if execution.state.is_open() {
                taken.put(change)?;
                replaced.extend(replace(change, &former.unwrap_or_default(), &execution)?);
            }
            store::executions::put(change, &execution)?;
            store::executions::put_work(change, id, &work)?;
            if let Some(retry) = &retry {
                store::executions::put_retry(change, id, retry)?;
            }
            store::audit::add(change, &entry)?;
            if let Some(key) = &key {
                key.put(change, &execution)?;
            }
            if let Some(claim) = &claim {
                claim.record(change, &execution)?;
            }
            change.emit(Event::ExecutionChanged { id, state: execution.state });
            Ok(Accepted { execution, replaced })
        };
        runner.accept(waits, change).await
    }
}

/// Applies the rule for one that would be too many of those that are counted together: it is skipped,
/// or takes the places of the oldest, of which those are returned that run.
fn make_room(
    change: &mut Change,
    execution: &mut Execution,
    on_conflict: Option<OnConflict>,
) -> Result<Vec<ExecutionId>> {
    let (Some(place), Some(rule)) = (execution.dispatch.concurrency, on_conflict) else {
        return Ok(Vec::new());
    };
    if !matches!(rule, OnConflict::Skip | OnConflict::Replace) {
        return Ok(Vec::new());
    }
    let now = execution.created_at;
    let open = store::executions::open_of_key(change, place.key)?;
    let limit = usize::try_from(place.limit).unwrap_or(usize::MAX);
    let excess = (open.len() + 1).saturating_sub(limit);
    if rule == OnConflict::Skip {
        if excess > 0 {
            let cause = format!("was skipped: {} of it waits or runs already", open.len());
            execution.end_unstarted(State::Cancelled, now, &cause);
        }
        return Ok(Vec::new());
    }
    replace(change, &open[..excess], execution)
}

/// Ends executions for another; returns those of them that run.
fn replace(change: &mut Change, olds: &[ExecutionId], by: &Execution) -> Result<Vec<ExecutionId>> {
    let (id, now) = (by.id, by.created_at);
    let mut running = Vec::new();
    for &old in olds {
        let Some(mut old) = store::executions::get(change, old)? else { continue };
        old.dispatch.replaced_by = Some(id);
        if old.state == State::Queued {
            let cause = format!("was cancelled, because execution {id} replaced it");
            old.end_unstarted(State::Cancelled, now, &cause);
        } else {
            old.dispatch.cancelled_at = old.dispatch.cancelled_at.or(Some(now));
            running.push(old.id);
        }
        store::executions::put(change, &old)?;
        change.emit(Event::ExecutionChanged { id: old.id, state: old.state });
    }
    Ok(running)
}

fn no_concurrency() -> Error {
    let reason = "is for scripts that say how many may run at the same time";
    Error::Invalid(vec![FieldError::new("concurrency_key", reason)])
}

/// Checks that a script may run unattended, in this version and with these parameters.
pub(crate) fn check_unattended(
    view: &Snapshot,
    (sight, user): (&Sight, Option<UserId>),
    new: &NewExecution,
) -> Result<()> {
    let Program::Script { id, version } = new.program else { return Ok(()) };
    tier::plan(view, user)?.cap(&new.limits, new.limits)?;
    let (_, version) = find_unattended(view, sight, id, version)?;
    let (parameters, _) = by_schema(&version, new.parameters.clone(), None)?;
    secrets::check_parameters(view, id, parameters.as_ref())
}

/// A script that may run unattended, and that who it runs for may see, with the version that would.
fn find_unattended(
    view: &Snapshot,
    sight: &Sight,
    id: ScriptId,
    version: Option<u32>,
) -> Result<(Script, Version)> {
    script::find_seen(view, sight, id)?;
    script::find_for_schedule(view, id, version)
}

/// Parameters with the defaults of a version's schema, also as text; refuses those that it does not
/// allow.
pub(crate) fn by_schema(
    version: &Version,
    parameters: Option<Parameters>,
    json: Option<String>,
) -> Result<(Option<Parameters>, Option<String>)> {
    let Some(schema) = &version.parameters_schema else { return Ok((parameters, json)) };
    // It was checked when the version was made; a later one may know more errors. Reading it again
    // takes some 20 µs for ten parameters: too little for a cache.
    let schema = Schema::parse(schema).map_err(|error| Error::Invalid(vec![error]))?;
    let filled = schema.with_defaults(parameters.unwrap_or_default());
    FieldError::none_of(schema.check(&filled))?;
    if filled.is_empty() {
        return Ok((None, None));
    }
    let json = parameters::check(&filled).map_err(Error::Invalid)?;
    Ok((Some(filled), Some(json)))
}
