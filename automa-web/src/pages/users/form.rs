//! `/users/new` and `/users/ID`: an account as an admin makes and changes it.

use askama::Template;
use automa_core::{
    Automa, Error,
    actor::{Permission, Role},
    id::UserId,
    user::{NewUser, ResetLink, User, UserChange},
};
use poem::{
    Request, Response, handler,
    http::{StatusCode, header},
    web::{Data, Form, Path},
};
use secrecy::ExposeSecret as _;

use crate::{
    auth::Caller,
    filters,
    htmx::{render, render_as, see_other},
    pages::{
        self,
        form::{Field, Kind, Problems, Typed},
        frame::Frame,
    },
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "users/form.html")]
struct FormPage {
    frame: Frame,
    /// The account that is changed, if it is not a new one.
    user: Option<User>,
    fields: Vec<Field>,
    problems: Vec<String>,
    saved: bool,
    /// A link that was just made: its address, and until when it is good.
    link: Option<(String, jiff::Timestamp)>,
}

impl FormPage {
    fn new(frame: Frame, user: Option<User>, typed: &Typed, mut problems: Problems) -> Self {
        let email = Field::new("email", "E-mail", Kind::Line("email"))
            .attributes("required maxlength=\"254\" autocomplete=\"off\"");
        let role = |role: Role| (role.name().to_owned(), role.name().to_owned());
        let roles = Field::new("role", "Role", Kind::Choice(Role::ALL.map(role).into()))
            .hint("A viewer looks, an operator writes and runs, an admin may do everything.");
        let mut fields = vec![email, roles];
        if user.is_none() {
            let name = Field::line("username", "Name")
                .attributes(
                    "required maxlength=\"64\" autocapitalize=\"none\" autocomplete=\"off\"",
                )
                .hint(
                    "Letters, digits, dots and dashes. It stays as it is: the audit log names it.",
                );
            fields.insert(0, name);
            let password = Field::new("password", "First password", Kind::Line("password"))
                .attributes("autocomplete=\"new-password\" required minlength=\"12\"")
                .hint("At least 12 characters. They can set another one on their profile.");
            fields.push(password);
        }
        let mut fields: Vec<_> =
            fields.into_iter().map(|field| field.filled(typed, &mut problems)).collect();
        if user.is_none() {
            // A password is never sent back.
            let password = fields.pop();
            fields.extend(password.map(|field| field.value("")));
        }
        let saved = frame.path.ends_with("?saved");
        Self { frame, user, fields, problems: problems.rest(), saved, link: None }
    }
}

fn frame(request: &Request, caller: &Caller, title: &str) -> Frame {
    Frame::new(request, title).user(&caller.user.username, caller.user.role)
}

/// What a form says of an account as it is.
fn typed(user: &User) -> Typed {
    Typed::default().with("email", &*user.email).with("role", user.role.name())
}

/// Shows an empty form.
#[handler]
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it takes from a request")]
pub(in crate::pages) fn blank(request: &Request, caller: Caller) -> Result<Response, Problem> {
    caller.actor.require(Permission::ManageUsers).map_err(Error::from)?;
    let typed = Typed::default().with("role", Role::Operator.name());
    let frame = frame(request, &caller, "New user");
    render(&FormPage::new(frame, None, &typed, Problems::default()))
}

/// Creates the account.
#[handler]
pub(in crate::pages) async fn create(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let role = typed.get("role").parse();
    let role = role.map_err(|error| Problem::invalid_field("role", format!("{error}")))?;
    let new = NewUser {
        username: typed.line("username").to_owned(),
        email: typed.line("email").to_owned(),
        password: typed.get("password").into(),
        role,
    };
    let problems = match automa.users(&caller.actor).create(new).await {
        Ok(user) => return Ok(see_other(&format!("/users/{}", user.id))),
        Err(Error::Invalid(fields)) => Problems::from(&fields[..]),
        Err(error) => return Err(error.into()),
    };
    let page = FormPage::new(frame(request, &caller, "New user"), None, &typed, problems);
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

/// Shows an account.
#[handler]
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it takes from a request")]
pub(in crate::pages) fn edit(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.actor.require(Permission::ManageUsers).map_err(Error::from)?;
    let user = automa.users(&caller.actor).get(pages::id(&id)?)?;
    let frame = frame(request, &caller, &user.username);
    let typed = typed(&user);
    render(&FormPage::new(frame, Some(user), &typed, Problems::default()))
}

/// Changes what the form has fields for.
#[handler]
pub(in crate::pages) async fn save(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Form(sent): Form<Typed>,
) -> Result<Response, Problem> {
    let id: UserId = pages::id(&id)?;
    let change = UserChange {
        email: sent.has("email").then(|| sent.line("email").to_owned()),
        role: pages::named(sent.get("role"), "role", |name| name.parse().ok())?,
        disabled: sent.has("disabled").then(|| sent.get("disabled") == "yes"),
    };
    let users = automa.users(&caller.actor);
    let problems = match users.update(id, change).await {
        Ok(_) => return Ok(see_other(&format!("/users/{id}?saved"))),
        Err(Error::Invalid(fields)) => Problems::from(&fields[..]),
        Err(error @ Error::LastAdmin) => Problems::of_form(&error),
        Err(error) => return Err(error.into()),
    };
    let user = users.get(id)?;
    let sent = if sent.has("email") { sent } else { typed(&user) };
    let frame = frame(request, &caller, &user.username);
    let page = FormPage::new(frame, Some(user), &sent, problems);
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

/// Takes the password away, and shows the link to set another one, this once.
#[handler]
pub(in crate::pages) async fn reset(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id: UserId = pages::id(&id)?;
    let users = automa.users(&caller.actor);
    let link = users.reset(id).await?;
    // Who has reset their own account is signed out by that, and sees the link all the same.
    let user = users.get(id)?;
    let frame = frame(request, &caller, &user.username);
    let typed = typed(&user);
    let mut page = FormPage::new(frame, Some(user), &typed, Problems::default());
    page.link = Some((address(request, &link), link.expires_at));
    render(&page)
}

/// The address of a link, where this server was asked for the page.
fn address(request: &Request, link: &ResetLink) -> String {
    let scheme = request.scheme();
    let host = request.header(header::HOST).unwrap_or("localhost");
    format!("{scheme}://{host}/reset?token={}", link.token.expose_secret())
}

#[cfg(test)]
pub(in crate::pages) mod tests {
    use super::*;
    use crate::pages::{samples, users::tests::user};

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let frame = || samples::stranger().user("ops-admin", Role::Admin);
        let page = |user: Option<User>, typed: &Typed, problems, linked: bool| {
            let mut page = FormPage::new(frame(), user, typed, problems);
            let address = format!("http://127.0.0.1:8080/reset?token={}", "aA0-_".repeat(13));
            page.link = linked.then(|| (address, samples::now()));
            page.render().unwrap()
        };
        let hostile = Typed::default()
            .with("username", samples::HOSTILE)
            .with("email", samples::HOSTILE)
            .with("password", "correct-ho");
        let mut problems = Problems::of_form(&Error::LastAdmin);
        problems.add("email", &"must look like name@example.com");
        let disabled = user(Role::Viewer, true);
        let active = user(Role::Admin, false);
        vec![
            ("user-new", page(None, &hostile, problems.clone(), false)),
            ("user", page(Some(active.clone()), &typed(&active), Problems::default(), true)),
            ("user-disabled", page(Some(disabled.clone()), &typed(&disabled), problems, false)),
        ]
    }

    #[test]
    fn a_password_is_never_sent_back() {
        for (_, page) in samples() {
            assert!(!page.contains("correct-ho"));
        }
    }
}
