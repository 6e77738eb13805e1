//! `/scripts/{id}`: one script, with its versions and executions, and a form to run it.

mod pane;

use std::sync::Arc;

use askama::Template;
use automa_core::{
    Automa, Error,
    actor::Permission,
    execution::{Filter, NewExecution, Program},
    page::{Limit, PageRequest},
    script::{DiffLine, Review, Script, Status, UnknownStatus, Version},
};
use poem::{
    Request, Response, handler,
    http::StatusCode,
    web::{Data, Form, Path, Query},
};

use self::pane::{Changes, Pane};
use super::{
    form::{Field, Problems, Typed},
    frame::{Frame, Link, Place},
    limits::{self, LimitsFields},
    network::{self, NetworkField},
    parameters::Asked,
    table::{self, Table},
    turn::{self, TurnFields},
};
use crate::{
    auth::Caller,
    filters,
    htmx::{render, render_as, see_other},
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "scripts/show.html")]
struct ScriptPage {
    frame: Frame,
    script: Script,
    language: &'static str,
    /// The version that is shown, and that the form runs.
    number: u32,
    may_write: bool,
    may_run: bool,
    /// What its newest version waits for.
    review: Option<Review>,
    pane: Pane,
    parameters: Vec<Field>,
    network: NetworkField,
    limits: LimitsFields,
    turn: TurnFields,
    problems: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tab {
    Code,
    Versions,
    Changes,
    Settings,
    Executions,
}

impl ScriptPage {
    fn new(
        frame: Frame,
        script: Script,
        version: &Version,
        pane: Pane,
        may: May,
        (typed, mut problems): (&Typed, Problems),
    ) -> Self {
        let asked = Asked::of(version.parameters_schema.as_deref());
        Self {
            frame,
            script,
            language: table::language(version.language),
            number: version.number,
            may_write: may.write,
            may_run: may.run,
            review: None,
            pane,
            parameters: asked.fields(typed, &mut problems),
            network: NetworkField::new(typed, &mut problems),
            limits: LimitsFields::new(typed, &mut problems, &version.limits),
            turn: TurnFields::new(typed, &mut problems, &version.dispatch),
            problems: problems.rest(),
        }
    }

    fn tab(&self) -> Tab {
        match self.pane {
            Pane::Code(_) => Tab::Code,
            Pane::Versions(_) => Tab::Versions,
            Pane::Changes(_) => Tab::Changes,
            Pane::Settings(_) => Tab::Settings,
            Pane::Executions(_) => Tab::Executions,
        }
    }

    fn tabs(&self) -> Vec<Link> {
        let path = format!("/scripts/{}", self.script.id);
        let link = |(tab, name, below)| Link {
            name,
            path: format!("{path}{below}"),
            icon: "",
            current: self.tab() == tab,
        };
        let tabs = [
            (Tab::Code, "Code", ""),
            (Tab::Versions, "Versions", "/versions"),
            (Tab::Changes, "Changes", "/diff"),
            (Tab::Settings, "Settings", "/settings"),
            (Tab::Executions, "Executions", "/executions"),
        ];
        tabs.map(link).into()
    }

    /// What the script may be said to be good for instead, and how a button says so.
    fn statuses(&self) -> Vec<(Status, &'static str)> {
        let ways = [
            (Status::Draft, "Make it a draft"),
            (Status::Active, "Make it active"),
            (Status::Deprecated, "Deprecate"),
        ];
        ways.into_iter().filter(|(status, _)| *status != self.script.status).collect()
    }

    fn is_deprecated(&self) -> bool {
        self.script.status == Status::Deprecated
    }

    /// The same with what its newest version waits for.
    fn waiting(self, review: Option<Review>) -> Self {
        Self { review, ..self }
    }

    /// Whether who looks may approve it.
    fn may_approve(&self, review: &Review) -> bool {
        let user = self.frame.user.as_ref();
        self.may_write && user.is_some_and(|user| user.name != review.author)
    }

    /// The class of a line of a diff, and its sign.
    #[expect(clippy::unused_self, reason = "templates reach it through the page")]
    fn mark(&self, line: &DiffLine) -> (&'static str, &'static str) {
        pane::mark(line)
    }

    /// Whether the form to run it stands beside.
    fn runs(&self) -> bool {
        self.may_run && self.tab() == Tab::Code
    }
}

/// What the actor may do with scripts.
#[derive(Debug, Clone, Copy)]
struct May {
    write: bool,
    run: bool,
}

impl May {
    fn of(caller: &Caller) -> Self {
        let may = |permission| caller.actor.require(permission).is_ok();
        Self { write: may(Permission::WriteScripts), run: may(Permission::Execute) }
    }
}

/// Copies a version as a draft of one's own.
#[handler]
pub(super) async fn fork(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let number = super::named(typed.get("version"), "version", |it| it.parse().ok())?;
    let script = automa.scripts(&caller.actor).fork(super::id(&id)?, number).await?;
    Ok(see_other(&format!("/scripts/{}/edit", script.id)))
}

/// Says what the script is good for.
#[handler]
pub(super) async fn set_status(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let status: Status = typed
        .get("status")
        .parse()
        .map_err(|error: UnknownStatus| Problem::invalid_field("status", error.to_string()))?;
    let script = automa.scripts(&caller.actor).set_status(super::id(&id)?, status, false).await?;
    Ok(see_other(&format!("/scripts/{}/settings", script.id)))
}

/// A script with its newest version.
pub(super) async fn newest(
    automa: &Automa,
    caller: &Caller,
    id: &str,
) -> Result<(Script, Version), Problem> {
    let scripts = automa.scripts(&caller.actor);
    let script = scripts.get(super::id(id)?)?;
    let version = scripts.version(script.id, script.version).await?;
    Ok((script, version))
}

/// Shows the newest version.
#[handler]
pub(super) async fn show(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (script, newest) = newest(automa, &caller, &id).await?;
    let problems = match script.status {
        // Others were checked when they became what they are.
        Status::Draft => automa.scripts(&caller.actor).check(script.id, newest.number).await?,
        _ => Arc::default(),
    };
    page(request, automa, &caller, script, &newest, Pane::code(&newest).with(problems)).await
}

/// Shows one version.
#[handler]
pub(super) async fn show_version(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path((id, number)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let scripts = automa.scripts(&caller.actor);
    let script = scripts.get(super::id(&id)?)?;
    let version = scripts.version(script.id, super::id(&number)?).await?;
    page(request, automa, &caller, script, &version, Pane::code(&version)).await
}

/// Shows all versions.
#[handler]
pub(super) async fn list_versions(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    let (script, newest) = newest(automa, &caller, &id).await?;
    let cursor = super::named(query.get("cursor"), "page", |it| it.parse().ok())?;
    let list = PageRequest { cursor, ..PageRequest::default() };
    let versions = automa.scripts(&caller.actor).versions(script.id, list).await?;
    let pane = Pane::versions(script.id, versions);
    page(request, automa, &caller, script, &newest, pane).await
}

/// Shows what is different between two versions: of the newest and the one before, unless told.
#[handler]
pub(super) async fn show_changes(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    let (script, newest) = newest(automa, &caller, &id).await?;
    let number = |name| super::named(query.get(name), "version", |it| it.parse::<u32>().ok());
    let to = number("to")?.unwrap_or(script.version);
    let from = number("from")?.unwrap_or_else(|| to.saturating_sub(1).max(1));
    let diff = automa.scripts(&caller.actor).diff(script.id, from, to).await?;
    let pane = Pane::Changes(Changes::new(diff, script.version));
    page(request, automa, &caller, script, &newest, pane).await
}

/// Shows what counts for the script and its executions.
#[handler]
pub(super) async fn show_settings(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (script, newest) = newest(automa, &caller, &id).await?;
    let pane = Pane::settings(&newest);
    page(request, automa, &caller, script, &newest, pane).await
}

/// Makes an old version the newest again.
#[handler]
pub(super) async fn roll_back(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let number = |name| super::named(typed.get(name), "version", |it| it.parse::<u32>().ok());
    let (read, to) = (number("read")?.unwrap_or(0), number("to")?.unwrap_or(0));
    let script = automa.scripts(&caller.actor).roll_back(super::id(&id)?, read, to).await?;
    Ok(see_other(&format!("/scripts/{}", script.id)))
}

/// Shows its newest executions.
#[handler]
pub(super) async fn list_executions(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (script, newest) = newest(automa, &caller, &id).await?;
    let filter = Filter::of_script(script.id);
    let limit = Limit::new(20).unwrap_or_default();
    let list = PageRequest { cursor: None, limit };
    let items = automa.executions(&caller.actor).list(filter, list).await?.items;
    let now = super::frame(request, &caller, "", Place::Scripts).now;
    let table = Table::new("Executions of this script, newest first", &items, now).unnamed();
    page(request, automa, &caller, script, &newest, Pane::Executions(table)).await
}

async fn page(
    request: &Request,
    automa: &Automa,
    caller: &Caller,
    script: Script,
    version: &Version,
    pane: Pane,
) -> Result<Response, Problem> {
    let frame = super::frame(request, caller, script.name.clone(), Place::Scripts);
    let frame = frame.spending(automa, caller).await?;
    let review = match script.status {
        Status::Active => automa.scripts(&caller.actor).review(script.id).await?,
        _ => None,
    };
    let nothing = (&Typed::default(), Problems::default());
    let drawn = ScriptPage::new(frame, script, version, pane, May::of(caller), nothing);
    render(&drawn.waiting(review))
}

/// Runs a version.
#[handler]
pub(super) async fn run(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let scripts = automa.scripts(&caller.actor);
    let script = scripts.get(super::id(&id)?)?;
    let number = typed.get("version").parse().unwrap_or(script.version);
    let version = scripts.version(script.id, number).await?;
    let mut problems = Problems::default();
    let new = NewExecution {
        program: Program::Script { id: script.id, version: Some(version.number) },
        parameters: Asked::of(version.parameters_schema.as_deref()).read(&typed, &mut problems),
        limits: limits::read(&typed, &mut problems),
        network: network::read(&typed, &mut problems),
        dispatch: turn::read(&typed, &mut problems),
        ..NewExecution::script(script.id)
    };
    if problems.is_empty() {
        match automa.executions(&caller.actor).submit(new).await {
            Ok(execution) => return Ok(see_other(&format!("/executions/{}", execution.id))),
            Err(Error::Invalid(fields)) => problems = Problems::from(&fields[..]),
            Err(error) => return Err(error.into()),
        }
    }
    let frame = super::frame(request, &caller, script.name.clone(), Place::Scripts);
    let frame = frame.spending(automa, &caller).await?;
    let pane = Pane::code(&version);
    let filled = (&typed, problems);
    let refused = ScriptPage::new(frame, script, &version, pane, May::of(&caller), filled);
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &refused)
}

#[cfg(test)]
pub(super) mod tests {
    use automa_core::page::Page;

    use super::*;
    use crate::pages::{samples, scripts};

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let page = |script: Script, version: &Version, pane, may, filled: (&Typed, Problems)| {
            let frame = samples::frame("check-certificates", Place::Scripts);
            ScriptPage::new(frame, script, version, pane, may, filled).render().unwrap()
        };
        let (all, none) = (May { write: true, run: true }, May { write: false, run: false });
        let (script, version) = (samples::script(), samples::version());
        let copy = Script {
            status: Status::Deprecated,
            forked_from: Some((samples::script_id(), 3)),
            ..samples::scripts().remove(2)
        };
        let draft = Script { status: Status::Draft, ..script.clone() };
        let old = Version { number: 3, parameters_schema: None, ..version.clone() };
        let nothing = Typed::default();
        let of =
            |pane, may| page(script.clone(), &version, pane, may, (&nothing, Problems::default()));
        let waiting = |approved| {
            let frame = samples::frame("check-certificates", Place::Scripts);
            let (typed, code) = (Typed::default(), Pane::code(&version));
            let filled = (&typed, Problems::default());
            let drawn = ScriptPage::new(frame, script.clone(), &version, code, all, filled);
            drawn.waiting(Some(scripts::reviews::tests::review(approved))).render().unwrap()
        };
        let bad = Typed::default().with("parameters/days", "many").with("limits.pids", "-1");
        let mut problems = Problems::default();
        limits::read(&bad, &mut problems);
        Asked::of(version.parameters_schema.as_deref()).read(&bad, &mut problems);
        let list = || Page {
            items: vec![version.clone(), old.clone()],
            next_cursor: Some(samples::cursor()),
        };
        let now = samples::frame("", Place::Scripts).now;
        let table = |items: &[_]| Pane::Executions(Table::new("Executions", items, now).unnamed());
        vec![
            ("script", of(Pane::code(&version), all)),
            ("script-viewer", of(Pane::code(&version), none)),
            ("script-versions", of(Pane::versions(script.id, list()), all)),
            ("script-changes", of(Pane::Changes(Changes::new(pane::tests::diff(), 8)), all)),
            ("script-settings", of(Pane::settings(&version), all)),
            ("script-settings-viewer", of(Pane::settings(&version), none)),
            ("script-executions", of(table(&samples::executions()), all)),
            ("script-unused", of(table(&[]), all)),
            (
                "script-old",
                page(script.clone(), &old, Pane::code(&old), all, (&nothing, Problems::default())),
            ),
            (
                "script-fork",
                page(copy, &version, Pane::code(&version), all, (&nothing, Problems::default())),
            ),
            ("script-waiting", waiting(Some(3))),
            ("script-waiting-first", waiting(None)),
            (
                "script-draft",
                page(
                    draft,
                    &version,
                    Pane::code(&version).with(pane::tests::problems()),
                    all,
                    (&nothing, Problems::default()),
                ),
            ),
            (
                "script-run-refused",
                page(script.clone(), &version, Pane::code(&version), all, (&bad, problems)),
            ),
        ]
    }
}
