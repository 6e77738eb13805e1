//! `/theme`: light, dark, or as the system is. The profile keeps it, and so does the browser: for
//! pages that nobody is signed in for.

use automa_core::{
    Automa,
    user::{Theme, User},
};
use poem::{
    Request, Response, handler,
    web::{Data, Form},
};

use super::form::Typed;
use crate::{
    auth::{Caller, cookie},
    htmx::{local, see_other},
    problem::Problem,
};

/// The cookie that remembers it.
const COOKIE: &str = "theme";

/// What the browser remembers.
pub(super) fn of(request: &Request) -> Theme {
    let jar = request.cookie();
    jar.get(COOKIE).and_then(|it| Theme::named(it.value_str())).unwrap_or_default()
}

/// Has the browser remember what somebody likes who has just signed in.
pub(super) fn bring(request: &Request, user: &User) {
    if user.theme != Theme::default() {
        cookie::remember(request, COOKIE, &user.theme.name());
    }
}

/// Remembers the choice and shows the page again.
#[handler]
pub(super) async fn choose(
    request: &Request,
    caller: Option<Caller>,
    Data(automa): Data<&Automa>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    if let Some(theme) = Theme::named(typed.get("theme")) {
        cookie::remember(request, COOKIE, &theme.name());
        if let Some(caller) = caller {
            caller.profile(automa)?.set_theme(theme).await?;
        }
    }
    Ok(see_other(local(typed.get("next"))))
}

/// A theme to choose.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) icon: &'static str,
    pub(super) current: bool,
}

/// All themes, of which one is chosen.
pub(super) fn choices(chosen: Theme) -> Vec<Choice> {
    let choice = |theme: Theme| {
        let (title, icon) = match theme {
            Theme::System => ("As the system is", "half"),
            Theme::Light => ("Light", "sun"),
            Theme::Dark => ("Dark", "moon"),
        };
        Choice { name: theme.name(), title, icon, current: theme == chosen }
    };
    Theme::ALL.map(choice).into()
}
