//! `/profile`: one's own account: how one signs in, and where one is signed in.

use askama::Template;
use automa_core::{
    Automa, Error,
    id::SessionId,
    session::Session,
    user::{SecretString, User},
};
use poem::{
    Request, Response, handler,
    http::StatusCode,
    web::{Data, Form},
};

use super::{
    form::{Field, Kind, Problems, Typed},
    frame::Frame,
};
use crate::{
    auth::Caller,
    filters,
    htmx::{render_as, see_other},
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "profile.html")]
struct ProfilePage {
    frame: Frame,
    user: User,
    sessions: Vec<Session>,
    /// The one that looks.
    current: SessionId,
    password: [Field; 2],
    problems: Vec<String>,
    notice: Option<&'static str>,
}

impl ProfilePage {
    fn new(
        frame: Frame,
        user: User,
        (sessions, current): (Vec<Session>, SessionId),
        mut problems: Problems,
    ) -> Self {
        let old = Field::new("current_password", "Current password", Kind::Line("password"))
            .attributes("autocomplete=\"current-password\" required");
        let new = Field::new("new_password", "New password", Kind::Line("password"))
            .attributes("autocomplete=\"new-password\" required minlength=\"12\"")
            .hint("At least 12 characters. Four or five words are easy to type and hard to guess.");
        // Passwords are never sent back.
        let password = [old, new].map(|field| field.filled(&Typed::default(), &mut problems));
        let notice = match frame.path.split_once('?').map(|it| it.1) {
            Some("password") => Some("Your password is changed, and you are signed out elsewhere."),
            Some("ended") => Some("Signed out there."),
            _ => None,
        };
        Self { frame, user, sessions, current, password, problems: problems.rest(), notice }
    }

    /// What a session's client is, in words.
    fn device(session: &Session) -> String {
        session.client.agent.as_deref().map_or_else(|| "A program".to_owned(), device)
    }
}

/// A browser and its system by the `User-Agent` header, or the header itself: programs say their
/// names.
fn device(agent: &str) -> String {
    let first = |names: &[(&'static str, &'static str)]| {
        names.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name)
    };
    // Each names itself after those whose marks it bears, too.
    let browser = first(&[
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = first(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, _) => agent.to_owned(),
    }
}

/// Shows the page.
#[handler]
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it takes from a request")]
pub(super) fn show(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
) -> Result<Response, Problem> {
    page(request, &caller, automa, Problems::default())
}

fn page(
    request: &Request,
    caller: &Caller,
    automa: &Automa,
    problems: Problems,
) -> Result<Response, Problem> {
    let status =
        if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let frame = Frame::new(request, "Profile").user(&caller.user.username, caller.user.role);
    let profile = caller.profile(automa)?;
    let sessions = (profile.sessions()?, profile.session());
    render_as(status, &ProfilePage::new(frame, caller.user.clone(), sessions, problems))
}

/// Sets another password.
#[handler]
pub(super) async fn change_password(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let secret = |name| SecretString::from(typed.get(name));
    let (current, new) = (secret("current_password"), secret("new_password"));
    match caller.profile(automa)?.change_password(&current, &new).await {
        Ok(()) => Ok(see_other("/profile?password")),
        Err(Error::Invalid(fields)) => page(request, &caller, automa, Problems::from(&fields[..])),
        Err(error) => Err(error.into()),
    }
}

/// Ends one session, or all others.
#[handler]
pub(super) async fn end_sessions(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let profile = caller.profile(automa)?;
    match typed.get("end") {
        "others" => profile.end_other_sessions().await?,
        id => profile.end_session(super::id(id)?).await?,
    }
    Ok(see_other("/profile?ended"))
}

#[cfg(test)]
pub(super) mod tests {
    use automa_core::{
        actor::{Origin, Role},
        session::Client,
    };

    use super::*;
    use crate::pages::{samples, users::tests::user};

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let current: SessionId = "0197c1a0-5f00-7000-8000-00000000002e".parse().unwrap();
        let session = |id: &str, address: Option<&str>, agent: Option<&str>| Session {
            id: id.parse().unwrap(),
            user: user(Role::Admin, true).id,
            generation: 0,
            created_at: samples::now(),
            refreshed_at: samples::now(),
            expires_at: samples::now(),
            client: Client {
                origin: Origin::Web,
                address: address.map(Into::into),
                agent: agent.map(Into::into),
            },
        };
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        let sessions = vec![
            session(&current.to_string(), Some("2001:db8::1"), Some(firefox)),
            session("0197c1a0-5f00-7000-8000-00000000002f", None, Some(samples::HOSTILE)),
            session("0197c1a0-5f00-7000-8000-000000000030", Some("192.0.2.1"), None),
        ];
        let page = |path: &str, problems| {
            let frame = samples::stranger().user("ops-admin", Role::Admin);
            let frame = Frame { path: path.to_owned(), ..frame };
            let user = user(Role::Admin, true);
            ProfilePage::new(frame, user, (sessions.clone(), current), problems).render().unwrap()
        };
        let mut problems = Problems::of_form(&"something is wrong");
        problems.add("current_password", &"is not your password");
        vec![
            ("profile", page("/profile?password", Problems::default())),
            ("profile-refused", page("/profile/password", problems)),
        ]
    }

    #[test]
    fn devices_are_named_as_people_do() {
        for (agent, expected) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 \
                 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
            ),
            ("Firefox/1", "Firefox"),
            ("curl/8.16.0", "curl/8.16.0"),
            ("", ""),
        ] {
            assert_eq!(device(agent), expected);
        }
    }
}
