//! `/run`: code that runs once and is not kept as a script.

use askama::Template;
use automa_core::{
    Automa, Error,
    actor::Permission,
    execution::{DispatchRules, LimitsRequest, NewExecution},
    id::ExecutionId,
    script::Language,
};
use poem::{
    Request, Response, handler,
    http::StatusCode,
    web::{Data, Form, Query},
};

use super::{
    form::{Field, Kind, Problems, Typed},
    frame::{Frame, Place},
    limits::{self, LimitsFields},
    network::{self, NetworkField},
    overview::HELLO,
    parameters::{self, Asked},
    table,
    turn::{self, TurnFields},
};
use crate::{
    auth::Caller,
    filters,
    htmx::{render, render_as, see_other},
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "code.html")]
struct CodePage {
    frame: Frame,
    may_run: bool,
    language: Field,
    source: Field,
    parameters: Vec<Field>,
    network: NetworkField,
    limits: LimitsFields,
    turn: TurnFields,
    problems: Vec<String>,
}

impl CodePage {
    fn new(frame: Frame, may_run: bool, typed: &Typed, mut problems: Problems) -> Self {
        let problems_of = &mut problems;
        Self {
            frame,
            may_run,
            language: language_field().filled(typed, problems_of),
            source: source_field(20).filled(typed, problems_of),
            parameters: Asked::Json.fields(typed, problems_of),
            network: NetworkField::new(typed, problems_of),
            limits: LimitsFields::new(typed, problems_of, &LimitsRequest::default()),
            turn: TurnFields::new(typed, problems_of, &DispatchRules::default()),
            problems: problems.rest(),
        }
    }
}

/// The choice of a language.
pub(super) fn language_field() -> Field {
    let choices = Language::ALL.map(|it| (it.name().to_owned(), table::language(it).to_owned()));
    Field::new("language", "Language", Kind::Choice(choices.into()))
}

/// Where source text is typed.
pub(super) fn source_field(lines: u8) -> Field {
    Field::new("source", "Source", Kind::Text(lines))
        .attributes("class=\"mono\" spellcheck=\"false\" autocapitalize=\"none\" wrap=\"off\"")
}

/// Shows the form; `?from=` fills it with what an execution ran.
#[handler]
pub(super) async fn show(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    let typed = match query.get("from") {
        "" => Typed::default().with("language", Language::Bash.name()).with("source", HELLO),
        from => of_execution(automa, &caller, super::id(from)?).await?,
    };
    let frame = super::frame(request, &caller, "Run code", Place::Code);
    let frame = frame.spending(automa, &caller).await?;
    let may_run = caller.actor.require(Permission::Execute).is_ok();
    render(&CodePage::new(frame, may_run, &typed, Problems::default()))
}

/// What would have to be typed to run the same.
async fn of_execution(automa: &Automa, caller: &Caller, id: ExecutionId) -> Result<Typed, Problem> {
    let ran = automa.executions(&caller.actor).program(id).await?;
    let typed = Typed::default().with("language", ran.language.name()).with("source", ran.source);
    let typed = network::typed(limits::typed(typed, &ran.limits), &ran.network);
    Ok(match &ran.parameters {
        Some(parameters) => parameters::typed(typed, parameters),
        None => typed,
    })
}

/// Runs the code.
#[handler]
pub(super) async fn submit(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let mut problems = Problems::default();
    let new = NewExecution {
        parameters: Asked::Json.read(&typed, &mut problems),
        limits: limits::read(&typed, &mut problems),
        network: network::read(&typed, &mut problems),
        dispatch: turn::read(&typed, &mut problems),
        ..NewExecution::code(language(&typed, &mut problems), typed.text("source"))
    };
    if typed.line("source").is_empty() {
        problems.add("source", &"there is nothing to run yet");
    }
    if problems.is_empty() {
        match automa.executions(&caller.actor).submit(new).await {
            Ok(execution) => return Ok(see_other(&format!("/executions/{}", execution.id))),
            Err(Error::Invalid(fields)) => problems = Problems::from(&fields[..]),
            Err(error) => return Err(error.into()),
        }
    }
    let frame = super::frame(request, &caller, "Run code", Place::Code);
    let frame = frame.spending(automa, &caller).await?;
    let page = CodePage::new(frame, true, &typed, problems);
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

/// The language that was chosen.
pub(super) fn language(typed: &Typed, problems: &mut Problems) -> Language {
    typed.get("language").parse().unwrap_or_else(|error| {
        problems.add("language", &error);
        Language::Bash
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pages::samples;

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let page = |may_run, typed: &Typed, problems| {
            let frame = samples::frame("Run code", Place::Code);
            CodePage::new(frame, may_run, typed, problems).render().unwrap()
        };
        let hello = Typed::default().with("language", "bash").with("source", HELLO);
        let bad = Typed::default()
            .with("language", "python")
            .with("source", samples::HOSTILE)
            .with("parameters", "[")
            .with("network", "https://example.com/\n<b>:443")
            .with("limits.wall_ms", "soon")
            .with("priority", "high")
            .with("deadline_ms", "soon");
        let mut problems = Problems::default();
        turn::read(&bad, &mut problems);
        limits::read(&bad, &mut problems);
        network::read(&bad, &mut problems);
        Asked::Json.read(&bad, &mut problems);
        problems.add("idempotency_key", &"must be visible");
        vec![
            ("run", page(true, &hello, Problems::default())),
            ("run-refused", page(true, &bad, problems)),
            ("run-viewer", page(false, &hello, Problems::default())),
        ]
    }
}
