//! The form in which an agent is described and changed.

use askama::Template;
use automa_core::{
    Automa, Error,
    actor::Permission,
    agent::{Agent, Alive, Http, NewAgent, Ready, Restart, When},
    execution::{LimitsRequest, Parameters},
    id::{AgentId, ScriptId},
    page::{Limit, PageRequest},
};
use poem::{
    Request, Response, handler,
    http::StatusCode,
    web::{Data, Form, Path, Query},
};

use crate::{
    auth::Caller,
    filters,
    htmx::{render, render_as, see_other},
    pages::{
        self,
        form::{Field, Kind, Problems, Typed},
        frame::{Frame, Place},
        limits::{self, LimitsFields},
        network::{self, NetworkField},
    },
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "agents/form.html")]
struct FormPage {
    frame: Frame,
    /// The agent that is changed; none while one is described.
    edited: Option<Edited>,
    /// The current revision, where somebody else has changed it meanwhile.
    conflict: Option<u32>,
    name: Field,
    scripts: Vec<Choice>,
    script_error: Option<String>,
    version: Field,
    parameters: Field,
    when: Field,
    restarting: Vec<Field>,
    checks: Vec<Field>,
    ending: Vec<Field>,
    network: NetworkField,
    limits: LimitsFields,
    problems: Vec<String>,
}

#[derive(Debug, Clone)]
struct Edited {
    id: AgentId,
    name: String,
    read: u32,
}

/// A script that can be chosen.
#[derive(Debug, Clone)]
struct Choice {
    id: String,
    name: String,
    current: bool,
}

/// Fields about restarts: names, labels, and what counts unless told.
const RESTARTING: [(&str, &str, &str); 6] = [
    ("restart.backoff_ms", "First pause", "1s"),
    ("restart.max_backoff_ms", "Longest pause", "1m"),
    ("restart.stable_ms", "Stable after", "1m"),
    ("restart.crash_after", "Ends for a crash loop", "5"),
    ("restart.crash_window_ms", "Within", "5m"),
    ("restart.cool_down_ms", "Tried again after", "1h, or never"),
];

impl FormPage {
    fn new(
        frame: Frame,
        edited: Option<Edited>,
        scripts: &[(ScriptId, String)],
        typed: &Typed,
        mut problems: Problems,
    ) -> Self {
        let all = &mut problems;
        let chosen = typed.get("script_id");
        let scripts = scripts.iter().map(|(id, name)| {
            let id = id.to_string();
            Choice { current: id == chosen, name: name.clone(), id }
        });
        let when = [
            (When::Always, "Always"),
            (When::OnFailure, "After a failure"),
            (When::Never, "Never"),
        ];
        let when = when.map(|(when, title)| (when.name().to_owned(), title.to_owned()));
        let parameters = Field::new("parameters", "Parameters", Kind::Text(3))
            .side("optional, a JSON object")
            .attributes("class=\"mono\" spellcheck=\"false\" autocapitalize=\"none\"")
            .placeholder("{\"region\": \"eu\"}");
        if let Some(wrong) = all.take_below("parameters") {
            all.add("parameters", &wrong);
        }
        let line = |id, label, placeholder| Field::line(id, label).placeholder(placeholder);
        let restarting =
            RESTARTING.map(|(id, label, usual)| line(id, label, usual).filled(typed, all));
        let ready = "The agent counts as starting until it says so.";
        let checks = [
            line("ready.output", "Ready when it says", "listening on").hint(ready),
            line("ready.http", "Or when it answers at", "8000/health")
                .hint("A port of its own loopback interface, and a path."),
            line("ready.timeout_ms", "Within", "1m"),
            line("alive.output_within_ms", "Says something at least each", "never asked")
                .hint("Else it is ended, and has failed."),
            line("alive.http", "Answers at", "8000/health"),
            line("alive.every_ms", "Asked every", "10s"),
        ];
        let ending = [line("grace_ms", "Time to end", "10s"), line("log_bytes", "Log kept", "64M")];
        Self {
            frame,
            edited,
            conflict: None,
            name: Field::line("name", "Name")
                .attributes("required maxlength=\"200\"")
                .filled(typed, all),
            scripts: scripts.collect(),
            script_error: all.take("script_id"),
            version: line("version", "Version", "the newest at each start").filled(typed, all),
            parameters: parameters.filled(typed, all),
            when: Field::new("restart.policy", "Start it again", Kind::Choice(when.into()))
                .filled(typed, all),
            restarting: restarting.into(),
            checks: checks.map(|field| field.filled(typed, all)).into(),
            ending: ending.map(|field| field.filled(typed, all)).into(),
            network: NetworkField::new(typed, all),
            limits: LimitsFields::new(typed, all, &usual()),
            problems: problems.rest(),
        }
    }

    fn touched(fields: &[Field]) -> bool {
        fields.iter().any(|field| field.is_filled() || field.has_error())
    }

    fn save(&self) -> &'static str {
        match (&self.conflict, &self.edited) {
            (Some(_), _) => "Save over it",
            (None, Some(_)) => "Save",
            (None, None) => "Create agent",
        }
    }

    fn back(&self) -> String {
        match &self.edited {
            Some(edited) => format!("/agents/{}", edited.id),
            None => "/agents".to_owned(),
        }
    }
}

/// What counts of limits unless told.
fn usual() -> LimitsRequest {
    LimitsRequest {
        cpus: Some(1.0),
        memory_bytes: Some(1 << 30),
        pids: Some(256),
        tmp_bytes: Some(256 << 20),
        ..LimitsRequest::default()
    }
}

/// The agent that a form describes; `None` where its script is not told.
fn read(typed: &Typed, problems: &mut Problems) -> Option<NewAgent> {
    let whole = |text: &str| text.parse().map_err(|_| "must be a whole number".to_owned());
    let script = typed.line("script_id").parse::<ScriptId>();
    let script = script.map_err(|_| problems.add("script_id", &"choose a script")).ok();
    let parameters = limits::field(typed, problems, "parameters", |text| {
        serde_json::from_str::<Parameters>(text)
            .map_err(|error| format!("is no JSON object: {error}"))
    });
    let policy = typed.line("restart.policy");
    let when = When::ALL.into_iter().find(|when| when.name() == policy).unwrap_or_default();
    let usual = Restart::default();
    let mut time = |name: &str| limits::field(typed, problems, name, limits::time);
    let restart = Restart {
        when,
        backoff_ms: time(RESTARTING[0].0).unwrap_or(usual.backoff_ms),
        max_backoff_ms: time(RESTARTING[1].0).unwrap_or(usual.max_backoff_ms),
        stable_ms: time(RESTARTING[2].0).unwrap_or(usual.stable_ms),
        crash_window_ms: time(RESTARTING[4].0).unwrap_or(usual.crash_window_ms),
        cool_down_ms: match typed.line(RESTARTING[5].0) {
            "never" => None,
            _ => time(RESTARTING[5].0).or(usual.cool_down_ms),
        },
        ..usual
    };
    let (ready_ms, silence, every_ms, grace_ms) = (
        time("ready.timeout_ms"),
        time("alive.output_within_ms"),
        time("alive.every_ms"),
        time("grace_ms"),
    );
    let crash_after = limits::field(typed, problems, RESTARTING[3].0, whole);
    let ready_http = limits::field(typed, problems, "ready.http", http);
    let alive_http = limits::field(typed, problems, "alive.http", http);
    let output = Some(typed.line("ready.output")).filter(|text| !text.is_empty());
    let ready = (output.is_some() || ready_http.is_some()).then(|| Ready {
        output: output.map(str::to_owned),
        http: ready_http,
        timeout_ms: ready_ms.unwrap_or(60_000),
    });
    let alive = (silence.is_some() || alive_http.is_some()).then(|| Alive {
        output_within_ms: silence,
        http: alive_http,
        every_ms: every_ms.unwrap_or(10_000),
        failures: 3,
    });
    let log_bytes = limits::field(typed, problems, "log_bytes", limits::size);
    let version = limits::field(typed, problems, "version", |text| {
        text.parse().map_err(|_| "must be a whole number".to_owned())
    });
    let (network, limits) = (network::read(typed, problems), limits::read(typed, problems));
    let new = NewAgent::new(typed.line("name"), script?);
    Some(NewAgent {
        version,
        parameters,
        limits,
        network,
        restart: Restart { crash_after: crash_after.unwrap_or(restart.crash_after), ..restart },
        ready,
        alive,
        grace_ms: grace_ms.unwrap_or(new.grace_ms),
        log_bytes: log_bytes.unwrap_or(new.log_bytes),
        ..new
    })
}

/// `8000/health`.
fn http(text: &str) -> Result<Http, String> {
    let problem = || format!("`{text}` is not a port with a path: write 8000/health");
    let (port, path) = text.split_at(text.find('/').unwrap_or(text.len()));
    let port = port.parse().map_err(|_| problem())?;
    let path = if path.is_empty() { "/" } else { path };
    Ok(Http { port, path: path.to_owned(), timeout_ms: 5_000 })
}

/// What would have to be typed to describe the same agent.
fn typed(agent: &Agent) -> Typed {
    let time = |ms: u64| {
        humantime::format_duration(std::time::Duration::from_millis(ms))
            .to_string()
            .replace(' ', "")
    };
    let http = |http: &Option<Http>| {
        http.as_ref().map(|it| format!("{}{}", it.port, it.path)).unwrap_or_default()
    };
    let restart = &agent.restart;
    let mut typed = Typed::default()
        .with("name", agent.name.clone())
        .with("script_id", agent.script.to_string())
        .with("version", agent.version.map(|it| it.to_string()).unwrap_or_default())
        .with("restart.policy", restart.when.name())
        .with(RESTARTING[0].0, time(restart.backoff_ms))
        .with(RESTARTING[1].0, time(restart.max_backoff_ms))
        .with(RESTARTING[2].0, time(restart.stable_ms))
        .with(RESTARTING[3].0, restart.crash_after.to_string())
        .with(RESTARTING[4].0, time(restart.crash_window_ms))
        .with(RESTARTING[5].0, restart.cool_down_ms.map_or("never".to_owned(), time))
        .with("grace_ms", time(agent.grace_ms))
        .with("log_bytes", limits::written(agent.log_bytes));
    if let Some(json) = &agent.parameters {
        typed = typed.with("parameters", json.clone());
    }
    if let Some(ready) = &agent.ready {
        typed = typed
            .with("ready.output", ready.output.clone().unwrap_or_default())
            .with("ready.http", http(&ready.http))
            .with("ready.timeout_ms", time(ready.timeout_ms));
    }
    if let Some(alive) = &agent.alive {
        typed = typed
            .with("alive.output_within_ms", alive.output_within_ms.map(time).unwrap_or_default())
            .with("alive.http", http(&alive.http))
            .with("alive.every_ms", time(alive.every_ms));
    }
    network::typed(limits::typed(typed, &agent.limits), &agent.network)
}

/// What the form asks for is more than it shows: that stays as it was.
fn keeping(new: NewAgent, old: &Agent) -> NewAgent {
    let http = |new: Option<Http>, old: Option<&Http>| {
        new.map(|it| Http { timeout_ms: old.map_or(it.timeout_ms, |old| old.timeout_ms), ..it })
    };
    let (old_ready, old_alive) = (old.ready.as_ref(), old.alive.as_ref());
    let restart = Restart { factor: old.restart.factor, jitter: old.restart.jitter, ..new.restart };
    let ready = new.ready.map(|it| {
        let http = http(it.http, old_ready.and_then(|old| old.http.as_ref()));
        Ready { http, ..it }
    });
    let alive = new.alive.map(|it| Alive {
        http: http(it.http, old_alive.and_then(|old| old.http.as_ref())),
        failures: old_alive.map_or(it.failures, |old| old.failures),
        ..it
    });
    NewAgent { restart, ready, alive, ..new }
}

/// The scripts that can be chosen, and the one that is.
async fn scripts(
    automa: &Automa,
    caller: &Caller,
    chosen: &str,
) -> Result<Vec<(ScriptId, String)>, Problem> {
    let scripts = automa.scripts(&caller.actor);
    let limit = Limit::new(Limit::MAX.into()).unwrap_or_default();
    let page = scripts.list(PageRequest { cursor: None, limit }).await?;
    let mut choices: Vec<_> = page.items.into_iter().map(|it| (it.id, it.name)).collect();
    if let Ok(id) = chosen.parse::<ScriptId>()
        && !choices.iter().any(|(it, _)| *it == id)
        && let Ok(script) = scripts.get(id)
    {
        choices.push((id, script.name));
    }
    Ok(choices)
}

fn may_write(caller: &Caller) -> Result<(), Problem> {
    Ok(caller.actor.require(Permission::WriteAgents).map_err(Error::from)?)
}

/// Shows the form for a new agent; `?script=` has chosen one.
#[handler]
pub(in crate::pages) async fn blank(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    may_write(&caller)?;
    let typed = Typed::default()
        .with("restart.policy", When::Always.name())
        .with("script_id", query.get("script"));
    let scripts = scripts(automa, &caller, query.get("script")).await?;
    let frame = pages::frame(request, &caller, "New agent", Place::Agents);
    render(&FormPage::new(frame, None, &scripts, &typed, Problems::default()))
}

/// Creates an agent, and starts it where that is asked for.
#[handler]
pub(in crate::pages) async fn create(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let mut problems = Problems::default();
    let agents = automa.agents(&caller.actor);
    if let Some(new) = read(&typed, &mut problems)
        && problems.is_empty()
    {
        match agents.create(new).await {
            Ok(agent) => {
                if typed.has("start") {
                    agents.start(agent.id).await?;
                }
                return Ok(see_other(&format!("/agents/{}", agent.id)));
            }
            Err(Error::Invalid(fields)) => problems = Problems::from(&fields[..]),
            Err(error @ Error::NotFound { .. }) => problems.add("script_id", &error),
            Err(error) => return Err(error.into()),
        }
    }
    let scripts = scripts(automa, &caller, typed.get("script_id")).await?;
    let frame = pages::frame(request, &caller, "New agent", Place::Agents);
    let page = FormPage::new(frame, None, &scripts, &typed, problems);
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

/// Shows the form with what an agent is now.
#[handler]
pub(in crate::pages) async fn edit(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    may_write(&caller)?;
    let agent = automa.agents(&caller.actor).get(pages::id(&id)?)?;
    let edited = Edited { id: agent.id, name: agent.name.clone(), read: agent.revision };
    let typed = typed(&agent);
    let scripts = scripts(automa, &caller, typed.get("script_id")).await?;
    let frame = pages::frame(request, &caller, format!("Edit {}", agent.name), Place::Agents);
    render(&FormPage::new(frame, Some(edited), &scripts, &typed, Problems::default()))
}

/// Changes an agent.
#[handler]
pub(in crate::pages) async fn save(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let id: AgentId = pages::id(&id)?;
    let agents = automa.agents(&caller.actor);
    let agent = agents.get(id)?;
    let mut problems = Problems::default();
    let revision = typed.line("read").parse().unwrap_or(0);
    let mut conflict = None;
    if let Some(new) = read(&typed, &mut problems)
        && problems.is_empty()
    {
        match agents.update(id, revision, keeping(new, &agent)).await {
            Ok(_) => return Ok(see_other(&format!("/agents/{id}"))),
            Err(Error::Conflict { current, .. }) => conflict = Some(current),
            Err(Error::Invalid(fields)) => problems = Problems::from(&fields[..]),
            Err(error @ Error::NotFound { .. }) => problems.add("script_id", &error),
            Err(error) => return Err(error.into()),
        }
    }
    let read = conflict.unwrap_or(revision);
    let edited = Edited { id, name: agent.name.clone(), read };
    let scripts = scripts(automa, &caller, typed.get("script_id")).await?;
    let frame = pages::frame(request, &caller, format!("Edit {}", agent.name), Place::Agents);
    let page = FormPage::new(frame, Some(edited), &scripts, &typed, problems);
    let status =
        if conflict.is_some() { StatusCode::CONFLICT } else { StatusCode::UNPROCESSABLE_ENTITY };
    render_as(status, &FormPage { conflict, ..page })
}

#[cfg(test)]
pub(super) mod tests {
    use automa_core::agent::State;

    use super::*;
    use crate::pages::samples;

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let (agent, _) = samples::agent(State::Running);
        let scripts = [(samples::script_id(), samples::HOSTILE.to_owned())];
        let form = |edited, typed: &Typed, problems, conflict| {
            let frame = samples::frame("Agent", Place::Agents);
            let page = FormPage::new(frame, edited, &scripts, typed, problems);
            FormPage { conflict, ..page }.render().unwrap()
        };
        let edited = || Some(Edited { id: agent.id, name: samples::HOSTILE.to_owned(), read: 1 });
        let new = Typed::default().with("restart.policy", "always");
        let bad = typed(&agent).with("script_id", "x");
        let bad = Typed::default()
            .with("script_id", samples::HOSTILE)
            .with("parameters", samples::HOSTILE)
            .with("ready.http", "x/health")
            .with("restart.crash_after", "many")
            .with("name", bad.get("name"));
        let mut problems = Problems::default();
        read(&bad, &mut problems);
        let good = typed(&agent);
        vec![
            ("agent-new", form(None, &new, Problems::default(), None)),
            ("agent-refused", form(None, &bad, problems, None)),
            ("agent-edit", form(edited(), &good, Problems::default(), None)),
            ("agent-conflict", form(edited(), &good, Problems::default(), Some(2))),
        ]
    }

    #[test]
    fn a_form_that_is_filled_from_an_agent_describes_it() {
        let (agent, _) = samples::agent(State::Running);
        let mut problems = Problems::default();
        let new = keeping(read(&typed(&agent), &mut problems).unwrap(), &agent);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!((new.name, new.script), (agent.name.trim().to_owned(), agent.script));
        assert_eq!((new.version, new.restart), (agent.version, agent.restart));
        assert_eq!((new.ready, new.alive), (agent.ready, agent.alive));
        assert_eq!((new.limits, new.network), (agent.limits, agent.network));
        assert_eq!((new.grace_ms, new.log_bytes), (agent.grace_ms, agent.log_bytes));
    }

    #[test]
    fn an_address_is_a_port_with_a_path() {
        assert_eq!(http("80").map(|it| (it.port, it.path)), Ok((80, "/".to_owned())));
        assert_eq!(http("80/x/y?z").map(|it| it.path), Ok("/x/y?z".to_owned()));
        assert!(http("/x").is_err() && http("70000/").is_err());
    }
}
