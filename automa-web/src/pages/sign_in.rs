//! `/sign-in` and `/sign-out`.

use std::sync::Arc;

use askama::Template;
use automa_core::{Automa, Error, actor::Origin};
use poem::{
    Request, Response, handler,
    http::StatusCode,
    web::{Data, Form, Query},
};

use super::{
    form::{Field, Kind, Problems, Typed},
    frame::Frame,
    theme,
};
use crate::{
    auth::{Caller, Keys, client, cookie},
    filters,
    htmx::{local, render, render_as, see_other},
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    /// The page to go to afterwards.
    next: String,
    notice: Option<&'static str>,
    username: Field,
    password: Field,
    problems: Vec<String>,
    version: &'static str,
}

impl SignInPage {
    fn new(frame: Frame, typed: &Typed, problems: Vec<String>) -> Self {
        let notice = match typed.get("note") {
            "set-up" => Some("The first account exists already. Sign in with it."),
            "out" => Some("You are signed out."),
            "password" => Some("Your password is set. Sign in with it."),
            _ => None,
        };
        let username = Field::line("username", "Name or e-mail")
            .attributes("autocomplete=\"username\" required autocapitalize=\"none\" autofocus");
        let password = Field::new("password", "Password", Kind::Line("password"))
            .attributes("autocomplete=\"current-password\" required");
        Self {
            frame,
            next: local(typed.get("next")).to_owned(),
            notice,
            username: username.filled(typed, &mut Problems::default()),
            password,
            problems,
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// Shows the form; who is signed in already goes on.
#[handler]
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it takes from a request")]
pub(super) fn show(
    request: &Request,
    caller: Option<Caller>,
    Data(automa): Data<&Automa>,
    Query(typed): Query<Typed>,
) -> Result<Response, Problem> {
    if caller.is_some() {
        return Ok(see_other(local(typed.get("next"))));
    }
    let mut problems = Vec::new();
    if automa.setup().is_open()? {
        let text = "There is no account yet. Open the link that the server printed at its start.";
        problems.push(text.to_owned());
    }
    render(&SignInPage::new(Frame::new(request, "Sign in"), &typed, problems))
}

/// Signs in.
#[handler]
pub(super) async fn submit(
    request: &Request,
    Data(automa): Data<&Automa>,
    Data(keys): Data<&Arc<Keys>>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let password = typed.get("password").into();
    let client = client(request, Origin::Web);
    match automa.sessions().sign_in(typed.line("username"), &password, client).await {
        Ok(session) => {
            cookie::set(request, &keys.tokens(&session));
            theme::bring(request, &session.user);
            Ok(see_other(local(typed.get("next"))))
        }
        Err(Error::WrongPassword) => {
            let problem = "Name and password do not match.".to_owned();
            let page = SignInPage::new(Frame::new(request, "Sign in"), &typed, vec![problem]);
            render_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
        Err(error) => Err(error.into()),
    }
}

/// Signs out: the session ends, also for whoever kept its cookies.
#[handler]
pub(super) async fn out(
    request: &Request,
    Data(automa): Data<&Automa>,
    Data(keys): Data<&Arc<Keys>>,
) -> Result<Response, Problem> {
    let session = cookie::refresh(request).and_then(|token| keys.refreshable(&token));
    if let Some((session, _)) = session {
        automa.sessions().end(session).await?;
    }
    cookie::clear(request);
    Ok(see_other("/sign-in?note=out"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pages::samples;

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let page = |typed: &Typed, problems| {
            SignInPage::new(samples::stranger(), typed, problems).render().unwrap()
        };
        let typed = Typed::default().with("username", samples::HOSTILE).with("next", "//evil");
        vec![
            ("sign-in", page(&Typed::default().with("note", "out"), vec![])),
            ("sign-in-refused", page(&typed, vec!["Name and password do not match.".to_owned()])),
        ]
    }
}
