//! The form in which a script is written and changed.

use askama::Template;
use automa_core::{
    Automa, Error,
    actor::Permission,
    execution::LimitsRequest,
    id::ScriptId,
    script::{Language, NewScript, Script, Starter, Status, Version, Visibility},
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
        code::{language, language_field, source_field},
        dispatch::{self, DispatchFields},
        form::{Field, Kind, Problems, Typed},
        frame::{Frame, Place},
        limits::{self, LimitsFields},
        overview::HELLO,
    },
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "scripts/form.html")]
struct FormPage {
    frame: Frame,
    /// The script that is changed; none while one is written.
    edited: Option<Edited>,
    conflict: Option<Conflict>,
    name: Field,
    language: Field,
    source: Field,
    description: Field,
    tags: Field,
    status: Field,
    visibility: Field,
    message: Field,
    schema: Field,
    limits: LimitsFields,
    dispatch: DispatchFields,
    problems: Vec<String>,
    /// What a new script can begin with.
    starters: Vec<Starter>,
}

#[derive(Debug, Clone)]
struct Edited {
    id: ScriptId,
    name: String,
    /// The version that the form was filled with, or that its reader was told of since.
    read: u32,
}

/// Somebody else saved meanwhile.
#[derive(Debug, Clone)]
struct Conflict {
    current: u32,
    author: String,
    path: String,
}

impl FormPage {
    fn new(frame: Frame, edited: Option<Edited>, typed: &Typed, mut problems: Problems) -> Self {
        let all = &mut problems;
        let name = Field::line("name", "Name").attributes("required maxlength=\"200\"");
        let description = Field::new("description", "Description", Kind::Text(3))
            .side("optional")
            .attributes("maxlength=\"4000\"");
        let tags = Field::line("tags", "Tags")
            .side("optional")
            .hint("Words to find it by, separated by commas.");
        let choices = |names: &[&str]| {
            let titled = names.iter().map(|name| ((*name).to_owned(), capitalised(name)));
            Kind::Choice(titled.collect())
        };
        let statuses = Status::ALL.map(Status::name);
        let status = Field::new("status", "Status", choices(&statuses))
            .hint("Only active scripts run unattended: by jobs and as agents.");
        let visibilities = Visibility::ALL.map(Visibility::name);
        let visibility = Field::new("visibility", "Who sees it", choices(&visibilities))
            .hint("A private script is there for its owner and admins alone.");
        let message = Field::line("message", "What is new")
            .side("optional")
            .attributes("maxlength=\"500\"")
            .hint("Stands beside the version that saving makes.");
        let schema = Field::new("parameters_schema", "Parameters", Kind::Text(6))
            .side("optional")
            .attributes("class=\"mono\" spellcheck=\"false\" autocapitalize=\"none\"")
            .placeholder(
                "{\"type\": \"object\", \"properties\": {\"days\": {\"type\": \"integer\"}}}",
            )
            .hint("A JSON Schema of what it takes. The form to run it is drawn from it.");
        Self {
            frame,
            edited,
            conflict: None,
            name: name.filled(typed, all),
            language: language_field().filled(typed, all),
            source: source_field(24).filled(typed, all),
            description: description.filled(typed, all),
            tags: tags.filled(typed, all),
            status: status.filled(typed, all),
            visibility: visibility.filled(typed, all),
            message: message.filled(typed, all),
            schema: schema.filled(typed, all),
            limits: LimitsFields::new(typed, all, &LimitsRequest::default()),
            dispatch: DispatchFields::new(typed, all),
            problems: problems.rest(),
            starters: Starter::all(),
        }
    }

    fn save(&self) -> String {
        match (&self.conflict, &self.edited) {
            (Some(conflict), _) => format!("Save on top of version {}", conflict.current),
            (None, Some(_)) => "Save".to_owned(),
            (None, None) => "Create script".to_owned(),
        }
    }

    fn back(&self) -> String {
        match &self.edited {
            Some(edited) => format!("/scripts/{}", edited.id),
            None => "/scripts".to_owned(),
        }
    }
}

/// The script that a form describes.
fn read(typed: &Typed, problems: &mut Problems) -> NewScript {
    let schema = typed.line("parameters_schema");
    let tags = typed.get("tags").split(',').map(str::trim).filter(|tag| !tag.is_empty());
    NewScript {
        description: typed.text("description").trim().to_owned(),
        tags: tags.map(str::to_owned).collect(),
        parameters_schema: (!schema.is_empty()).then(|| schema.to_owned()),
        status: typed.get("status").parse().ok(),
        visibility: typed.get("visibility").parse().ok(),
        message: typed.line("message").to_owned(),
        force: typed.has("force"),
        limits: limits::read(typed, problems),
        dispatch: dispatch::read(typed, problems),
        ..NewScript::new(typed.line("name"), language(typed, problems), typed.text("source"))
    }
}

/// What would have to be typed to write the same script.
fn typed(script: &Script, version: &Version) -> Typed {
    let typed = Typed::default()
        .with("name", script.name.clone())
        .with("description", script.description.clone())
        .with("tags", script.tags.join(", "))
        .with("status", script.status.name())
        .with("visibility", script.visibility.name())
        .with("language", version.language.name())
        .with("source", version.source.clone())
        .with("parameters_schema", version.parameters_schema.clone().unwrap_or_default());
    dispatch::typed(limits::typed(typed, &version.limits), &version.dispatch)
}

/// Shows the form for a new script; with `?example` it holds one, with `?starter` that of this id.
#[handler]
pub(in crate::pages) async fn blank(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    may_write(&caller)?;
    let mut typed = Typed::default()
        .with("language", Language::Bash.name())
        .with("status", Status::Active.name())
        .with("visibility", Visibility::Public.name());
    if query.has("example") {
        typed = typed.with("name", "hello").with("source", HELLO);
    }
    if let Some(starter) = pages::named(query.get("starter"), "starter", Starter::find)? {
        typed = typed
            .with("name", starter.title)
            .with("description", starter.description)
            .with("tags", starter.tags.join(", "))
            .with("source", starter.source)
            .with("parameters_schema", starter.parameters_schema);
        typed = Typed::default().with("language", starter.language.name()).and(typed);
    }
    let frame = pages::frame(request, &caller, "New script", Place::Scripts);
    let frame = frame.spending(automa, &caller).await?;
    render(&FormPage::new(frame, None, &typed, Problems::default()))
}

/// Creates a script.
#[handler]
pub(in crate::pages) async fn create(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let mut problems = Problems::default();
    let new = read(&typed, &mut problems);
    if problems.is_empty() {
        match automa.scripts(&caller.actor).create(new).await {
            Ok(script) => return Ok(see_other(&format!("/scripts/{}", script.id))),
            Err(Error::Invalid(fields)) => problems = Problems::from(&fields[..]),
            Err(error) => return Err(error.into()),
        }
    }
    let frame = pages::frame(request, &caller, "New script", Place::Scripts);
    let frame = frame.spending(automa, &caller).await?;
    let page = FormPage::new(frame, None, &typed, problems);
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

/// Shows the form with what a script is now.
#[handler]
pub(in crate::pages) async fn edit(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    may_write(&caller)?;
    let (script, version) = pages::script::newest(automa, &caller, &id).await?;
    let edited = Edited { id: script.id, name: script.name.clone(), read: script.version };
    let frame = pages::frame(request, &caller, format!("Edit {}", script.name), Place::Scripts);
    render(&FormPage::new(frame, Some(edited), &typed(&script, &version), Problems::default()))
}

/// Saves a script, unless somebody else did meanwhile: then what was typed is shown again, to be
/// saved on top of that or not.
#[handler]
pub(in crate::pages) async fn save(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let scripts = automa.scripts(&caller.actor);
    let script = scripts.get(pages::id(&id)?)?;
    let mut problems = Problems::default();
    let new = read(&typed, &mut problems);
    let read = typed.get("read").parse().unwrap_or(0);
    let mut edited = Edited { id: script.id, name: script.name.clone(), read };
    let mut conflict = None;
    if problems.is_empty() {
        match scripts.update(script.id, read, new).await {
            Ok(script) => return Ok(see_other(&format!("/scripts/{}", script.id))),
            Err(Error::Invalid(fields)) => problems = Problems::from(&fields[..]),
            Err(Error::Conflict { current, .. }) => {
                let author = scripts.version(script.id, current).await?.author;
                let path = format!("/scripts/{}/versions/{current}", script.id);
                conflict = Some(Conflict { current, author, path });
                edited.read = current;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let frame = pages::frame(request, &caller, format!("Edit {}", script.name), Place::Scripts);
    let page = FormPage { conflict, ..FormPage::new(frame, Some(edited), &typed, problems) };
    let refused = StatusCode::UNPROCESSABLE_ENTITY;
    render_as(if page.conflict.is_some() { StatusCode::CONFLICT } else { refused }, &page)
}

fn capitalised(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}

/// Nobody fills in a form that would be refused.
fn may_write(caller: &Caller) -> Result<(), Problem> {
    caller
        .actor
        .require(Permission::WriteScripts)
        .map_err(|forbidden| Error::from(forbidden).into())
}

#[cfg(test)]
pub(in crate::pages) mod tests {
    use super::*;
    use crate::pages::samples;

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let form = |edited: Option<Edited>, typed: &Typed, problems, conflict| {
            let frame = samples::frame("Edit", Place::Scripts);
            let page = FormPage { conflict, ..FormPage::new(frame, edited, typed, problems) };
            page.render().unwrap()
        };
        let script = samples::script();
        let edited = || Some(Edited { id: script.id, name: script.name.clone(), read: 8 });
        let conflict = Conflict {
            current: 9,
            author: samples::HOSTILE.to_owned(),
            path: format!("/scripts/{}/versions/9", script.id),
        };
        let new = Typed::default().with("language", "bash").with("status", "draft");
        let bad = typed(&script, &samples::version())
            .with("limits.cpus", "all")
            .with("retry.on", "never");
        let mut problems = Problems::default();
        limits::read(&bad, &mut problems);
        dispatch::read(&bad, &mut problems);
        problems.add("name", &"must be one line of 1 to 200 characters");
        problems.add("parameters_schema", &"is no JSON: expected value at line 1 column 1");
        let whole = typed(&script, &samples::version());
        vec![
            ("script-new", form(None, &new, Problems::default(), None)),
            ("script-refused", form(None, &bad, problems, None)),
            ("script-edit", form(edited(), &whole, Problems::default(), None)),
            ("script-conflict", form(edited(), &whole, Problems::default(), Some(conflict))),
        ]
    }

    #[test]
    fn a_form_that_is_filled_from_a_script_describes_it() {
        let (script, version) = (samples::script(), samples::version());
        let mut problems = Problems::default();
        let new = read(&typed(&script, &version), &mut problems);
        assert!(problems.is_empty());
        assert_eq!((&new.name, &new.tags), (&script.name.trim().to_owned(), &script.tags));
        assert_eq!((&new.source, new.limits), (&version.source, version.limits));
        assert_eq!(new.dispatch, version.dispatch);
        assert_eq!(new.parameters_schema.as_deref(), version.parameters_schema.as_deref());
    }
}
