//! `/credentials/:id`: what is known of one, what it was used for, and its secret for who may see it.

use askama::Template;
use automa_core::{
    Automa, Error,
    credential::{Credential, CredentialNow, Given, Opened, Secret, Usage, Use, What},
    id::{CredentialId, ExecutionId},
    page::PageRequest,
};
use jiff::Timestamp;
use poem::{
    Request, Response, handler,
    http::StatusCode,
    web::{Data, Form, Path, Query},
};
use secrecy::{ExposeSecret as _, SecretString};

use super::expiry;
use crate::{
    auth::Caller,
    filters,
    htmx::{render, render_as, see_other},
    pages::{
        form::{Problems, Typed},
        frame::{Frame, Place},
    },
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "credentials/show.html")]
struct ShowPage {
    frame: Frame,
    credential: Credential,
    usage: Usage,
    /// Labels and values of what is not secret.
    shown: Vec<(&'static str, String)>,
    versions: Vec<Secret>,
    trail: Vec<Entry>,
    next: Option<String>,
    expiry: Option<(&'static str, String)>,
    said: Option<(&'static str, String)>,
    problems: Vec<String>,
    may_reveal: bool,
    opened: Option<Opened>,
}

/// One entry of the trail.
#[derive(Debug)]
struct Entry {
    at: Timestamp,
    actor: String,
    words: String,
    execution: Option<ExecutionId>,
}

impl Entry {
    fn new(it: Use) -> Self {
        let mut execution = None;
        let words = match it.what {
            What::Created => "Created".to_owned(),
            What::Changed => "Changed, with the same secret".to_owned(),
            What::VersionAdded(number) => format!("Got a new secret, version {number}"),
            What::VersionDestroyed(number) => format!("Version {number} was destroyed"),
            What::Deleted => "Deleted".to_owned(),
            What::Revealed(number) => format!("Version {number} was shown"),
            What::RevealRefused => "Not shown to who asked".to_owned(),
            What::Tested { passed: true } => "Tested: it can be used".to_owned(),
            What::Tested { passed: false } => "Tested: it cannot be used".to_owned(),
            What::Given(Given { version, execution: to, variable, delivery, .. }) => {
                execution = Some(to);
                format!("Version {version} given as {variable} ({delivery}) to")
            }
            _ => "Something else".to_owned(),
        };
        Self { at: it.at, actor: it.actor, words, execution }
    }
}

/// What a page shows besides the credential itself.
#[derive(Default)]
struct Besides {
    said: Option<(&'static str, String)>,
    problems: Problems,
    opened: Option<Opened>,
    cursor: Option<automa_core::page::Cursor>,
}

async fn page(
    request: &Request,
    caller: &Caller,
    automa: &Automa,
    id: CredentialId,
    besides: Besides,
) -> Result<ShowPage, Problem> {
    let credentials = automa.credentials(&caller.actor);
    let CredentialNow { credential, usage, shown } = credentials.get(id)?;
    let asked = PageRequest { cursor: besides.cursor, ..PageRequest::default() };
    let trail = credentials.uses(id, asked).await?;
    let frame = crate::pages::frame(request, caller, credential.name.clone(), Place::Credentials);
    Ok(ShowPage {
        versions: credentials.versions(id)?,
        shown: labelled(&credential, shown),
        next: trail.next_cursor.map(|cursor| format!("/credentials/{id}?cursor={cursor}")),
        trail: trail.items.into_iter().map(Entry::new).collect(),
        expiry: expiry(&credential, frame.now),
        may_reveal: credential.revealable && credential.owner == caller.actor.user,
        credential,
        usage,
        said: besides.said,
        problems: besides.problems.rest(),
        opened: besides.opened,
        frame,
    })
}

fn labelled(credential: &Credential, shown: Vec<(String, String)>) -> Vec<(&'static str, String)> {
    let labelled = shown
        .into_iter()
        .filter_map(|(name, value)| Some((credential.kind.field(&name)?.label, value)));
    labelled.collect()
}

/// Shows a credential.
#[handler]
pub(in crate::pages) async fn show(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    let cursor = crate::pages::named(query.get("cursor"), "page", |it| it.parse().ok())?;
    let said = match query.get("said") {
        "saved" => Some(("succeeded", "Saved.".to_owned())),
        "destroyed" => Some(("succeeded", "The version was destroyed.".to_owned())),
        _ => None,
    };
    let besides = Besides { said, cursor, ..Besides::default() };
    render(&page(request, &caller, automa, crate::pages::id(&id)?, besides).await?)
}

/// Tests whether a credential could be used now.
#[handler]
pub(in crate::pages) async fn test(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = crate::pages::id(&id)?;
    let tested = automa.credentials(&caller.actor).test(id).await?;
    let class = if tested.passed { "succeeded" } else { "failed" };
    let said = Some((class, format!("Tested: {}.", tested.detail)));
    render(&page(request, &caller, automa, id, Besides { said, ..Besides::default() }).await?)
}

/// Shows a secret to its owner, who gives the password.
#[handler]
pub(in crate::pages) async fn reveal(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let id = crate::pages::id(&id)?;
    let password = SecretString::from(typed.get("password"));
    let (status, besides) = match automa.credentials(&caller.actor).reveal(id, &password).await {
        Ok(opened) => (StatusCode::OK, Besides { opened: Some(opened), ..Besides::default() }),
        Err(Error::WrongPassword) => {
            let problems = Problems::of_form(&"the password is wrong");
            (StatusCode::FORBIDDEN, Besides { problems, ..Besides::default() })
        }
        Err(error @ (Error::TooOften { .. } | Error::NotRevealable(_))) => {
            let problems = Problems::of_form(&error);
            (StatusCode::FORBIDDEN, Besides { problems, ..Besides::default() })
        }
        Err(error) => return Err(error.into()),
    };
    render_as(status, &page(request, &caller, automa, id, besides).await?)
}

/// Destroys an old version.
#[handler]
pub(in crate::pages) async fn destroy(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let id: CredentialId = crate::pages::id(&id)?;
    let number = crate::pages::id(typed.get("version"))?;
    automa.credentials(&caller.actor).destroy_version(id, number).await?;
    Ok(see_other(&format!("/credentials/{id}?said=destroyed")))
}

/// Deletes a credential.
#[handler]
pub(in crate::pages) async fn delete(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    automa.credentials(&caller.actor).delete(crate::pages::id(&id)?).await?;
    Ok(see_other("/credentials"))
}

#[cfg(test)]
pub(in crate::pages) mod tests {
    use automa_core::credential::Delivery;

    use super::*;
    use crate::pages::{credentials::tests::sample, samples};

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let CredentialNow { credential, usage, shown } = sample(Some("2026-11-23T00:00:00Z"));
        let given = What::Given(Given {
            version: 2,
            execution: samples::execution_id(),
            script: Some(samples::script_id()),
            variable: "DB_URL".to_owned(),
            delivery: Delivery::File,
        });
        let all = [
            given,
            What::Created,
            What::Changed,
            What::VersionAdded(2),
            What::VersionDestroyed(1),
            What::Revealed(2),
            What::RevealRefused,
            What::Tested { passed: true },
            What::Tested { passed: false },
            What::Deleted,
        ];
        let entry = |what| {
            Entry::new(Use {
                id: "0197c1a0-5f00-7000-8000-00000000003a".parse().unwrap(),
                at: samples::now(),
                user: None,
                actor: samples::HOSTILE.to_owned(),
                what,
            })
        };
        let page = ShowPage {
            frame: samples::frame("Credential", Place::Credentials),
            shown: labelled(&credential, shown),
            expiry: expiry(&credential, samples::now()),
            credential,
            usage,
            versions: Vec::new(),
            trail: all.map(entry).into(),
            next: Some("/credentials".to_owned()),
            said: Some(("succeeded", samples::HOSTILE.to_owned())),
            problems: vec!["The password is wrong.".to_owned()],
            may_reveal: true,
            opened: None,
        };
        vec![("credential", page.render().unwrap())]
    }
}
