//! `/setup`: the first account, made once, with the link that the server prints.

use std::sync::Arc;

use askama::Template;
use automa_core::{Automa, Error, actor::Origin, setup::NewAdmin};
use poem::{
    Request, Response, handler,
    http::StatusCode,
    web::{Data, Form, Query},
};

use super::{
    form::{Field, Kind, Problems, Typed},
    frame::Frame,
    protections::Protections,
};
use crate::{
    auth::{Keys, client, cookie},
    filters,
    htmx::{render, render_as, see_other},
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "setup.html")]
struct SetupPage {
    frame: Frame,
    token: String,
    username: Field,
    email: Field,
    password: Field,
    problems: Vec<String>,
    protections: Option<Protections>,
}

impl SetupPage {
    fn new(frame: Frame, automa: &Automa, typed: &Typed, mut problems: Problems) -> Self {
        let protections = automa.protections();
        let username = Field::line("username", "Name")
            .attributes(
                "autocomplete=\"username\" required maxlength=\"64\" autocapitalize=\"none\"",
            )
            .hint("Letters, digits, dots and dashes. Shown in the audit log.");
        let email = Field::new("email", "E-mail", Kind::Line("email"))
            .attributes("autocomplete=\"email\" required maxlength=\"254\"");
        let password = Field::new("password", "Password", Kind::Line("password"))
            .attributes("autocomplete=\"new-password\" required minlength=\"12\"")
            .hint("At least 12 characters. Four or five words are easy to type and hard to guess.");
        Self {
            frame: frame.broad(),
            token: typed.get("token").to_owned(),
            username: username.filled(typed, &mut problems),
            email: email.filled(typed, &mut problems),
            // A password is never sent back.
            password: password.filled(&Typed::default(), &mut problems),
            problems: problems.rest(),
            protections: protections.map(|it| Protections::new("What this machine enforces", &it)),
        }
    }
}

/// Shows the form, while there is no account.
#[handler]
pub(super) fn show(
    request: &Request,
    Data(automa): Data<&Automa>,
    Query(typed): Query<Typed>,
) -> Result<Response, Problem> {
    if !automa.setup().is_open()? {
        return Ok(see_other("/"));
    }
    let frame = Frame::new(request, "Set up");
    render(&SetupPage::new(frame, automa, &typed, Problems::default()))
}

/// Creates the account, and signs it in.
#[handler]
pub(super) async fn submit(
    request: &Request,
    Data(automa): Data<&Automa>,
    Data(keys): Data<&Arc<Keys>>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let admin = NewAdmin {
        username: typed.line("username").to_owned(),
        email: typed.line("email").to_owned(),
        password: typed.get("password").into(),
    };
    let problems = match automa.setup().create_admin(typed.get("token"), admin, Origin::Web).await {
        Ok(user) => {
            let session = automa.sessions().begin(user.id, client(request, Origin::Web)).await?;
            cookie::set(request, &keys.tokens(&session));
            return Ok(see_other("/"));
        }
        Err(Error::SetupClosed) => return Ok(see_other("/sign-in?note=set-up")),
        Err(Error::WrongToken) => {
            Problems::of_form(&"this is not the link that the server printed; open that one")
        }
        Err(Error::Invalid(fields)) => Problems::from(&fields[..]),
        Err(error) => return Err(error.into()),
    };
    let page = SetupPage::new(Frame::new(request, "Set up"), automa, &typed, problems);
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pages::samples;

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let automa = samples::automa();
        let page = |typed: &Typed, problems| {
            let mut page = SetupPage::new(samples::stranger(), &automa, typed, problems);
            page.protections = Some(samples::protections());
            page.render().unwrap()
        };
        let typed = Typed::default()
            .with("token", samples::HOSTILE)
            .with("username", samples::HOSTILE)
            .with("email", "ops-admin@example.com")
            .with("password", "correct-ho");
        let mut problems = Problems::default();
        problems.add("username", &"must have 1 to 64 characters");
        problems.add("password", &"must have at least 12 characters");
        problems.add("", &"this is not the link that the server printed; open that one");
        let empty = Typed::default().with("token", "a1b2");
        vec![
            ("setup", page(&empty, Problems::default())),
            ("setup-refused", page(&typed, problems)),
        ]
    }

    #[test]
    fn a_password_is_never_sent_back() {
        for (_, page) in samples() {
            assert!(!page.contains("correct-ho"));
        }
    }
}
