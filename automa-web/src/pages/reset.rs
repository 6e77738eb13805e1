//! `/reset`: a new password, by a link that an admin made.

use askama::Template;
use automa_core::{
    Automa, Error,
    actor::Origin,
    user::{SecretString, User},
};
use poem::{
    Request, Response, handler,
    http::StatusCode,
    web::{Data, Form, Query},
};

use super::{
    form::{Field, Kind, Problems, Typed},
    frame::Frame,
};
use crate::{
    auth::cookie,
    filters,
    htmx::{render, render_as, see_other},
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "reset.html")]
struct ResetPage {
    frame: Frame,
    token: String,
    /// Whose password is set, if the link is good.
    username: Option<String>,
    password: Field,
    problems: Vec<String>,
}

impl ResetPage {
    fn new(frame: Frame, token: &str, user: Option<&User>, mut problems: Problems) -> Self {
        let password = Field::new("password", "New password", Kind::Line("password"))
            .attributes("autocomplete=\"new-password\" required minlength=\"12\" autofocus")
            .hint("At least 12 characters. Four or five words are easy to type and hard to guess.");
        Self {
            frame,
            token: token.to_owned(),
            username: user.map(|user| user.username.clone()),
            // A password is never sent back.
            password: password.filled(&Typed::default(), &mut problems),
            problems: problems.rest(),
        }
    }
}

/// Shows the form, while the link is good.
#[handler]
pub(super) fn show(
    request: &Request,
    Data(automa): Data<&Automa>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    let token = query.get("token");
    let frame = Frame::new(request, "Set a password");
    match automa.resets().of(&token.into()) {
        Ok(user) => render(&ResetPage::new(frame, token, Some(&user), Problems::default())),
        Err(error) => refused(frame, error),
    }
}

/// Sets the password.
#[handler]
pub(super) async fn submit(
    request: &Request,
    Data(automa): Data<&Automa>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let (token, password): (SecretString, SecretString) =
        (typed.get("token").into(), typed.get("password").into());
    let frame = Frame::new(request, "Set a password");
    match automa.resets().set_password(&token, &password, Origin::Web).await {
        Ok(_) => {
            // Whoever is signed in here may be somebody else.
            cookie::clear(request);
            Ok(see_other("/sign-in?note=password"))
        }
        Err(Error::Invalid(fields)) => {
            let user = automa.resets().of(&token)?;
            let problems = Problems::from(&fields[..]);
            let page = ResetPage::new(frame, typed.get("token"), Some(&user), problems);
            render_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
        Err(error) => refused(frame, error),
    }
}

/// Says that a link is good no more, on the page itself.
fn refused(frame: Frame, error: Error) -> Result<Response, Problem> {
    match error {
        Error::WrongLink => {
            let page = ResetPage::new(frame, "", None, Problems::of_form(&error));
            render_as(StatusCode::FORBIDDEN, &page)
        }
        error => Err(error.into()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use automa_core::actor::Role;

    use super::*;
    use crate::pages::{samples, users::tests::user};

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let page = |user: Option<&User>, problems| {
            let token = samples::HOSTILE;
            ResetPage::new(samples::stranger(), token, user, problems).render().unwrap()
        };
        let user = user(Role::Viewer, false);
        let mut problems = Problems::default();
        problems.add("password", &"must have at least 12 characters");
        vec![
            ("reset", page(Some(&user), problems)),
            ("reset-used", page(None, Problems::of_form(&Error::WrongLink))),
        ]
    }
}
