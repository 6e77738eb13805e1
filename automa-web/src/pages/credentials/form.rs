//! `/credentials/new` and `/credentials/:id/edit`: the form of a type, drawn from what it is made of.

use askama::Template;
use automa_core::{
    Automa, Error,
    credential::{self, Credential, CredentialUpdate, Data as Parts, Format, Kind, NewCredential},
    id::CredentialId,
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
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
        form::{Field, Kind as Input, Problems, Typed},
        frame::{Frame, Place},
    },
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "credentials/pick.html")]
struct PickPage {
    frame: Frame,
}

#[derive(Debug, Template)]
#[template(path = "credentials/form.html")]
struct FormPage {
    frame: Frame,
    kind: Kind,
    edited: Option<Edited>,
    conflict: bool,
    problems: Vec<String>,
    name: Field,
    fields: Vec<Field>,
    tags: Field,
    expires: Field,
    revealable: bool,
    revealable_error: Option<String>,
}

/// What is changed.
#[derive(Debug, Clone)]
struct Edited {
    id: CredentialId,
    name: String,
    /// The revision that was read.
    read: u32,
}

/// The name of a field of a type in the form, which is its name in errors, too.
fn id(field: &credential::Field) -> String {
    format!("data.{}", field.name)
}

fn field(of: &credential::Field, new: bool) -> Field {
    let input = match of.format {
        Format::PrivateKey | Format::Object => Input::Text(8),
        Format::Choice(choices) => {
            let choices = choices.iter().map(|&it| it.to_owned());
            Input::Select(std::iter::once(String::new()).chain(choices).collect())
        }
        Format::Line if of.secret => Input::Line("password"),
        _ => Input::Line("text"),
    };
    let mut field = Field::new(id(of), of.label, input);
    if of.secret {
        field = field.attributes("autocomplete=\"off\" spellcheck=\"false\"");
        if !new {
            field = field.hint("It is kept when this stays empty.");
        }
    }
    if !of.required {
        field = field.side("optional");
    }
    if of.help.is_empty() || (of.secret && !new) { field } else { field.hint(of.help) }
}

impl FormPage {
    fn new(
        frame: Frame,
        (kind, edited): (Kind, Option<Edited>),
        (typed, mut problems): (&Typed, Problems),
    ) -> Self {
        let new = edited.is_none();
        let fields = kind.fields().iter().map(|of| {
            // What is secret is not sent back.
            let field = field(of, new);
            let known = if of.secret { &Typed::default() } else { typed };
            field.filled(known, &mut problems)
        });
        let fields = fields.collect();
        let line = |id, label| Field::line(id, label);
        Self {
            kind,
            edited,
            conflict: false,
            name: line("name", "Name").attributes("required").filled(typed, &mut problems),
            fields,
            tags: line("tags", "Tags")
                .side("optional")
                .placeholder("eu, production")
                .filled(typed, &mut problems),
            expires: Field::new("expires_at", "Expires on", Input::Line("date"))
                .side("optional")
                .hint("At the beginning of that day in UTC. From then on it is given to nothing.")
                .filled(typed, &mut problems),
            revealable: typed.has("revealable"),
            revealable_error: problems.take("revealable"),
            problems: problems.rest(),
            frame,
        }
    }

    fn back(&self) -> String {
        match &self.edited {
            Some(edited) => format!("/credentials/{}", edited.id),
            None => "/credentials".to_owned(),
        }
    }
}

fn tags(typed: &Typed) -> Vec<String> {
    let tags = typed.line("tags").split(',').map(str::trim).filter(|tag| !tag.is_empty());
    tags.map(str::to_owned).collect()
}

fn day(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).date().to_string()
}

/// The end that was typed; `before` is the one that stays when the day does.
fn end(typed: &Typed, before: Option<Timestamp>, problems: &mut Problems) -> Option<Timestamp> {
    let text = typed.line("expires_at");
    if text.is_empty() {
        return None;
    }
    if let Some(before) = before.filter(|&before| day(before) == text) {
        return Some(before);
    }
    let date = text.parse::<Date>().ok().and_then(|it| it.to_zoned(TimeZone::UTC).ok());
    if date.is_none() {
        problems.add("expires_at", &"must be a day, such as 2030-12-31");
    }
    date.map(|date| date.timestamp())
}

/// The fields of a type as they were typed. Of a credential that exists, empty secrets are left out: they
/// stay.
fn parts(kind: Kind, typed: &Typed, new: bool) -> Parts {
    let fields = kind.fields().iter().filter_map(|field| {
        let text = match field.format {
            Format::PrivateKey | Format::Object => typed.text(&id(field)),
            _ if field.secret => typed.get(&id(field)).to_owned(),
            _ => typed.line(&id(field)).to_owned(),
        };
        let stays = !new && field.secret && text.is_empty();
        (!stays).then(|| (field.name.to_owned(), text.into()))
    });
    fields.collect()
}

/// What a form says of a credential as it is.
fn typed(credential: &Credential, shown: &[(String, String)]) -> Typed {
    let mut typed = Typed::default()
        .with("name", credential.name.clone())
        .with("tags", credential.tags.join(", "))
        .with("expires_at", credential.expires_at.map(day).unwrap_or_default());
    for (name, value) in shown {
        typed = typed.with(&format!("data.{name}"), value.clone());
    }
    if credential.revealable { typed.with("revealable", "1") } else { typed }
}

/// Shows the types, or the empty form of one.
#[handler]
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it takes from a request")]
pub(in crate::pages) fn blank(
    request: &Request,
    caller: Caller,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    may_write(&caller)?;
    let frame = crate::pages::frame(request, &caller, "New credential", Place::Credentials);
    match asked_kind(&query)? {
        None => render(&PickPage { frame }),
        Some(kind) => {
            let empty = (&Typed::default(), Problems::default());
            render(&FormPage::new(frame, (kind, None), empty))
        }
    }
}

fn may_write(caller: &Caller) -> Result<(), Problem> {
    let permission = automa_core::actor::Permission::WriteCredentials;
    Ok(caller.actor.require(permission).map_err(Error::from)?)
}

fn asked_kind(query: &Typed) -> Result<Option<Kind>, Problem> {
    crate::pages::named(query.get("type"), "type", |it| it.parse().ok())
}

/// Creates a credential.
#[handler]
pub(in crate::pages) async fn create(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Query(query): Query<Typed>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let Some(kind) = asked_kind(&query)? else { return Ok(see_other("/credentials/new")) };
    let mut problems = Problems::default();
    let expires_at = end(&typed, None, &mut problems);
    if problems.is_empty() {
        let new = NewCredential {
            tags: tags(&typed),
            expires_at,
            revealable: typed.has("revealable"),
            ..NewCredential::new(typed.line("name"), kind, parts(kind, &typed, true))
        };
        match automa.credentials(&caller.actor).create(new).await {
            Ok(now) => return Ok(see_other(&format!("/credentials/{}", now.credential.id))),
            Err(Error::Invalid(fields)) => problems = Problems::from(&fields[..]),
            Err(error) => return Err(error.into()),
        }
    }
    let frame = crate::pages::frame(request, &caller, "New credential", Place::Credentials);
    let page = FormPage::new(frame, (kind, None), (&typed, problems));
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

/// Shows the form of a credential.
#[handler]
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it takes from a request")]
pub(in crate::pages) fn edit(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    may_write(&caller)?;
    let now = automa.credentials(&caller.actor).get(crate::pages::id(&id)?)?;
    let frame = crate::pages::frame(request, &caller, "Edit credential", Place::Credentials);
    let typed = typed(&now.credential, &now.shown);
    let (kind, read) = (now.credential.kind, now.credential.revision);
    let edited = Edited { id: now.credential.id, name: now.credential.name, read };
    render(&FormPage::new(frame, (kind, Some(edited)), (&typed, Problems::default())))
}

/// Changes a credential.
#[handler]
pub(in crate::pages) async fn save(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let id: CredentialId = crate::pages::id(&id)?;
    let credentials = automa.credentials(&caller.actor);
    let Credential { kind, name, revision, expires_at, .. } = credentials.get(id)?.credential;
    let read = typed.get("read").parse().unwrap_or(revision);
    let mut problems = Problems::default();
    let expires_at = end(&typed, expires_at, &mut problems);
    let mut conflict = false;
    if problems.is_empty() {
        let update = CredentialUpdate {
            name: typed.line("name").to_owned(),
            tags: tags(&typed),
            expires_at,
            revealable: typed.has("revealable"),
            data: Some(parts(kind, &typed, false)),
        };
        match credentials.update(id, read, update).await {
            Ok(_) => return Ok(see_other(&format!("/credentials/{id}?said=saved"))),
            Err(Error::Invalid(fields)) => problems = Problems::from(&fields[..]),
            Err(Error::Conflict { .. }) => conflict = true,
            Err(error) => return Err(error.into()),
        }
    }
    let frame = crate::pages::frame(request, &caller, "Edit credential", Place::Credentials);
    let edited = Edited { id, name, read: if conflict { revision } else { read } };
    let page = FormPage::new(frame, (kind, Some(edited)), (&typed, problems));
    let status = if conflict { StatusCode::CONFLICT } else { StatusCode::UNPROCESSABLE_ENTITY };
    render_as(status, &FormPage { conflict, ..page })
}

#[cfg(test)]
pub(in crate::pages) mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::pages::{credentials::tests::sample, samples};

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let frame = || samples::frame("New credential", Place::Credentials);
        let now = sample(Some("2030-01-01T00:00:00Z"));
        let edited = Edited { id: now.credential.id, name: now.credential.name.clone(), read: 3 };
        let mut wrong = Problems::default();
        for field in ["name", "data.private_key", "expires_at", "revealable", "elsewhere"] {
            wrong.add(field, &"is wrong");
        }
        let hostile = Typed::default()
            .with("name", samples::HOSTILE)
            .with("data.private_key", "tell nobody")
            .with("data.host", samples::HOSTILE);
        let filled = typed(&now.credential, &now.shown);
        let changed = FormPage::new(
            frame(),
            (Kind::DbConnection, Some(edited)),
            (&filled, Problems::default()),
        );
        vec![
            ("credential-pick", PickPage { frame: frame() }.render().unwrap()),
            (
                "credential-wrong",
                FormPage::new(frame(), (Kind::SshKey, None), (&hostile, wrong)).render().unwrap(),
            ),
            ("credential-edit", FormPage { conflict: true, ..changed }.render().unwrap()),
        ]
    }

    #[test]
    fn what_is_secret_is_not_sent_back() {
        for (sample, page) in samples() {
            assert!(!page.contains("tell nobody"), "{sample}");
        }
    }

    #[test]
    fn empty_secrets_stay_when_a_credential_is_changed() {
        let typed = Typed::default().with("data.host", " db ").with("data.password", "");
        let data = parts(Kind::DbConnection, &typed, false);
        assert!(!data.contains_key("password"));
        assert_eq!(data["host"].expose_secret(), "db");
        assert!(parts(Kind::DbConnection, &typed, true).contains_key("password"));
    }

    #[test]
    fn a_day_that_stays_keeps_its_time() {
        let mut problems = Problems::default();
        let before: Timestamp = "2030-01-01T12:34:56Z".parse().unwrap();
        let typed = |text: &str| Typed::default().with("expires_at", text);
        assert_eq!(end(&typed("2030-01-01"), Some(before), &mut problems), Some(before));
        let next = end(&typed("2030-01-02"), Some(before), &mut problems).unwrap();
        assert_eq!(next.to_string(), "2030-01-02T00:00:00Z");
        assert_eq!(end(&typed(""), Some(before), &mut problems), None);
        assert!(problems.is_empty());
        assert_eq!(end(&typed("soon"), None, &mut problems), None);
        assert!(problems.take("expires_at").is_some());
    }
}
