//! `/executions/{id}`: one execution with its log, and what can be done with it.

mod live;

use std::mem;

use askama::Template;
use automa_core::{
    Automa, Error,
    actor::Permission,
    execution::{
        Artifacts, Attempt, Execution, GivenCredential, Ran, Rerun, ResultValue, State, Waiting,
    },
    id::ExecutionId,
};
use automa_sandbox::{ExitReport, UsagePoint};
use poem::{
    IntoResponse as _, Request, Response, handler,
    web::{Data, Path, Query},
};

pub(super) use self::live::events;
use super::{
    form::Typed,
    frame::{Frame, Link, Place},
    listing::Listing,
    log::{self, Log, Look, Opened, View, last_error},
    outcome::{Actions, Facts, Outcome},
    results::Results,
    table,
};
use crate::{
    api,
    auth::Caller,
    blocking, filters,
    htmx::{render, see_other},
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "executions/show.html")]
struct ExecutionPage {
    frame: Frame,
    id: ExecutionId,
    name: String,
    version: Option<u32>,
    actions: Actions,
    outcome: Outcome,
    results: Results,
    facts: Facts,
    pane: Pane,
}

/// What the large panel shows.
#[derive(Debug)]
enum Pane {
    Log(Box<Log>),
    Parameters(Option<Listing>),
    Code(Listing),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tab {
    Log,
    Parameters,
    Code,
}

/// Everything of an execution that its page is made of.
struct Found {
    execution: Execution,
    ran: Ran,
    report: Option<ExitReport>,
    usage: Vec<UsagePoint>,
    result: Option<ResultValue>,
    artifacts: Artifacts,
    /// Why it waits, while it does.
    waiting: Option<Waiting>,
    /// Those before the last.
    attempts: Vec<Attempt>,
    /// What it was given.
    given: Vec<GivenCredential>,
}

/// The parts of a page that change as an execution goes on.
struct Parts {
    outcome: Outcome,
    actions: Actions,
    results: Results,
    facts: Facts,
}

impl Found {
    async fn of(automa: &Automa, caller: &Caller, id: ExecutionId) -> Result<Self, Problem> {
        let executions = automa.executions(&caller.actor);
        let execution = executions.get(id)?;
        let ran = executions.program(id).await?;
        let mut report = executions.report(id)?;
        // Its last attempt's, which may be under way, else as it was reported.
        let usage = if execution.state.is_open() {
            executions.usage(id)?
        } else {
            report.as_mut().map(|report| mem::take(&mut report.history)).unwrap_or_default()
        };
        let (result, artifacts) = (executions.result(id)?, executions.artifacts(id).await?);
        let (waiting, attempts) = (executions.waiting(id)?, executions.attempts(id)?);
        let given = executions.credentials(id)?;
        Ok(Self { execution, ran, report, usage, result, artifacts, waiting, attempts, given })
    }

    /// The parts that change as it goes on.
    fn parts(&self, may_run: bool, last_error: Option<String>) -> Parts {
        let Self { execution, ran, report, usage, result, artifacts, waiting, attempts, given } =
            self;
        let report = report.as_ref();
        let outcome = Outcome::new(execution, &ran.limits.limits(), report, waiting.as_ref());
        Parts {
            outcome: outcome.last_error(last_error),
            actions: Actions::new(execution, may_run),
            results: Results::new(execution.id, result.as_ref(), artifacts),
            facts: Facts::new(execution, ran, report, usage).after(attempts).given(given),
        }
    }

    /// The last line on stderr, if that may say what went wrong.
    async fn last_error(
        &self,
        automa: &Automa,
        caller: &Caller,
    ) -> Result<Option<String>, Problem> {
        let Execution { id, state, started_at, .. } = self.execution;
        let says_why = matches!(state, State::Failed | State::TimedOut | State::OutOfMemory);
        if started_at.is_none() || !says_why {
            return Ok(None);
        }
        match automa.executions(&caller.actor).log(id) {
            Err(Error::LogRemoved { .. }) => Ok(None),
            log => {
                let log = log?;
                blocking::run(move || last_error(&log)).await
            }
        }
    }

    fn pane(&self, tab: Tab, log: Log) -> Pane {
        let ran = &self.ran;
        match tab {
            Tab::Log => Pane::Log(Box::new(log)),
            Tab::Code => Pane::Code(Listing::code("Code", ran.language, &ran.source)),
            Tab::Parameters => Pane::Parameters(ran.parameters.as_ref().map(|parameters| {
                let json = serde_json::to_string_pretty(parameters).unwrap_or_default();
                Listing::text("Parameters", &json)
            })),
        }
    }
}

impl ExecutionPage {
    fn new(
        frame: Frame,
        found: &Found,
        Parts { outcome, actions, results, facts }: Parts,
        pane: Pane,
    ) -> Self {
        let execution = &found.execution;
        let frame = Frame { title: outcome.title(), ..frame };
        Self {
            frame,
            id: execution.id,
            name: table::title(execution),
            version: execution.script.map(|(_, version)| version),
            actions,
            outcome,
            results,
            facts,
            pane,
        }
    }

    fn tab(&self) -> Tab {
        match self.pane {
            Pane::Log(_) => Tab::Log,
            Pane::Parameters(_) => Tab::Parameters,
            Pane::Code(_) => Tab::Code,
        }
    }

    fn tabs(&self) -> Vec<Link> {
        let path = format!("/executions/{}", self.id);
        let link = |(tab, name, query)| Link {
            name,
            path: format!("{path}{query}"),
            icon: "",
            current: self.tab() == tab,
        };
        let tabs = [
            (Tab::Log, "Log", ""),
            (Tab::Parameters, "Parameters", "?tab=parameters"),
            (Tab::Code, "Code", "?tab=code"),
        ];
        tabs.map(link).into()
    }
}

/// Shows the page.
#[handler]
pub(super) async fn show(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    let id: ExecutionId = super::id(&id)?;
    let tab = match query.get("tab") {
        "code" => Tab::Code,
        "parameters" => Tab::Parameters,
        _ => Tab::Log,
    };
    let found = Found::of(automa, &caller, id).await?;
    let execution = &found.execution;
    let frame = super::frame(request, &caller, "", Place::Executions);
    let last_error = found.last_error(automa, &caller).await?;
    let seen = (View::of(&query)?, Look::of(request));
    let execution = &as_of(execution, seen.0.attempt, &found.attempts);
    let log = if let Some(at) = automa.executions(&caller.actor).log_removed(id)? {
        Log::empty(execution, seen, &frame.path).removed(at)
    } else if execution.started_at.is_none() {
        Log::empty(execution, seen, &frame.path)
    } else {
        match log::open(automa, &caller, execution, seen, &frame.path).await? {
            Opened::Log(log) => *log,
            Opened::Elsewhere(path) => return Ok(see_other(&path)),
        }
    };
    let may_run = caller.actor.require(Permission::Execute).is_ok();
    let ending = is_ending(&found.execution);
    let parts = found.parts(may_run, last_error);
    render(&ExecutionPage::new(frame, &found, parts, found.pane(tab, log.ending(ending))))
}

/// More lines of the log, for a page that is scrolled.
#[handler]
pub(super) async fn lines(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    let id: ExecutionId = super::id(&id)?;
    let executions = automa.executions(&caller.actor);
    let (execution, attempts) = (executions.get(id)?, executions.attempts(id)?);
    let seen = (View::of(&query)?, Look::of(request));
    let execution = as_of(&execution, seen.0.attempt, &attempts);
    render(&log::more(automa, &caller, &execution, seen).await?)
}

/// An execution as it was at the end of one of its earlier attempts, if that is asked for.
fn as_of(execution: &Execution, number: Option<u32>, attempts: &[Attempt]) -> Execution {
    let attempt = attempts.iter().find(|attempt| Some(attempt.number) == number);
    let execution = execution.clone();
    match attempt {
        None => execution,
        Some(&Attempt { number: attempt, state, started_at, .. }) => {
            Execution { attempt, state, started_at, ..execution }
        }
    }
}

/// Whether it was asked to end, and has not yet.
fn is_ending(execution: &Execution) -> bool {
    execution.state == State::Running && execution.dispatch.cancelled_at.is_some()
}

/// Downloads a file that the script has left.
#[handler]
pub(super) async fn artifact(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path((id, number)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (id, number) = (super::id(&id)?, super::id(&number)?);
    let download = api::artifacts::download(automa, &caller.actor, request, id, number).await?;
    Ok(download.into_response())
}

/// Asks an execution to end; asked again, makes it.
#[handler]
pub(super) async fn cancel(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id: ExecutionId = super::id(&id)?;
    match automa.executions(&caller.actor).cancel(id).await {
        // It was over before: the page says how.
        Ok(_) | Err(Error::Ended(_)) => Ok(see_other(&format!("/executions/{id}"))),
        Err(error) => Err(error.into()),
    }
}

/// Runs the same again.
#[handler]
pub(super) async fn rerun(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id: ExecutionId = super::id(&id)?;
    let again = automa.executions(&caller.actor).rerun(id, Rerun::default()).await?;
    Ok(see_other(&format!("/executions/{}", again.id)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pages::{log, samples};

    fn page(execution: Execution, report: Option<ExitReport>, tab: Tab, may_run: bool) -> String {
        let log = if execution.started_at.is_some() {
            log::tests::sample(execution.state)
        } else {
            Log::empty(&execution, (View::default(), Look::default()), "/executions/x")
        };
        page_of(execution, report, log, tab, may_run)
    }

    fn page_of(
        execution: Execution,
        report: Option<ExitReport>,
        log: Log,
        tab: Tab,
        may_run: bool,
    ) -> String {
        let last = report.as_ref().filter(|it| !it.success()).map(|_| samples::HOSTILE.to_owned());
        let (result, artifacts) = match execution.state {
            State::Failed => samples::left(),
            State::Succeeded => {
                let reason = "the result is not JSON: EOF".to_owned();
                (ResultValue::Unusable(reason), samples::left().1)
            }
            _ => (ResultValue::Value(1.into()), Artifacts::default()),
        };
        let result = Some(result).filter(|_| !execution.state.is_open());
        let (waiting, attempts) = (samples::waiting(&execution), samples::attempts(&execution));
        let ran = samples::ran();
        let usage = if execution.started_at.is_some() { samples::history() } else { Vec::new() };
        let given = super::super::bindings::tests::given();
        let found =
            Found { execution, ran, report, usage, result, artifacts, waiting, attempts, given };
        let frame = samples::frame("", Place::Executions);
        let parts = found.parts(may_run, last);
        let pane = found.pane(tab, log);
        ExecutionPage::new(frame, &found, parts, pane).render().unwrap()
    }

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let report = || Some(samples::report());
        let of = samples::execution;
        let failed = || of(State::Failed, samples::HOSTILE);
        vec![
            ("execution-queued", page(of(State::Queued, "nightly-backup"), None, Tab::Log, true)),
            ("execution-running", page(of(State::Running, "nightly-backup"), None, Tab::Log, true)),
            ("execution-ending", page(samples::ending(), None, Tab::Log, true)),
            (
                "execution-succeeded",
                page(of(State::Succeeded, "nightly-backup"), report(), Tab::Log, true),
            ),
            ("execution-failed", page(failed(), report(), Tab::Log, true)),
            ("execution-viewer", page(failed(), report(), Tab::Log, false)),
            ("execution-parameters", page(failed(), report(), Tab::Parameters, true)),
            ("execution-code", page(failed(), report(), Tab::Code, true)),
            (
                "execution-found",
                page_of(of(State::Succeeded, "a"), report(), log::tests::found(), Tab::Log, true),
            ),
            (
                "execution-nothing-found",
                page_of(of(State::Succeeded, "a"), report(), log::tests::nothing(), Tab::Log, true),
            ),
            ("execution-lost", page(of(State::Lost, "nightly-backup"), None, Tab::Log, true)),
        ]
    }

    #[test]
    fn a_viewer_has_nothing_to_press() {
        let viewer = page(samples::execution(State::Running, "a"), None, Tab::Log, false);
        assert!(!viewer.contains("/cancel") && !viewer.contains("/rerun"), "{viewer}");
    }
}
