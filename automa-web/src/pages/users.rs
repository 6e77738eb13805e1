//! `/users`: who has an account, for admins.

pub(super) mod form;

use askama::Template;
use automa_core::{
    Automa,
    actor::Role,
    page::{Cursor, PageRequest},
    user::{User, UserFilter},
};
use poem::{
    Request, Response, handler,
    web::{Data, Query},
};

use super::{form::Typed, frame::Frame};
use crate::{
    auth::Caller,
    filters,
    htmx::{encoded, render},
    problem::Problem,
};

/// What accounts are looked for by besides text and role: name in the address, title, filter.
const STATES: [(&str, &str); 4] = [
    ("active", "Active"),
    ("disabled", "Disabled"),
    ("two-factor", "With two-factor"),
    ("no-two-factor", "Without two-factor"),
];

#[derive(Debug, Template)]
#[template(path = "users/list.html")]
struct ListPage {
    frame: Frame,
    asked: Asked,
    rows: Vec<User>,
    first: bool,
    next: Option<String>,
}

/// What the address asks for.
#[derive(Debug, Clone, Default)]
struct Asked {
    text: String,
    role: Option<Role>,
    state: Option<&'static str>,
}

impl Asked {
    fn read(query: &Typed) -> Result<Self, Problem> {
        let state = |name: &str| STATES.iter().find(|it| it.0 == name).map(|it| it.0);
        Ok(Self {
            text: query.line("q").to_owned(),
            role: super::named(query.get("role"), "role", |name| name.parse().ok())?,
            state: super::named(query.get("state"), "state", state)?,
        })
    }

    fn filter(&self) -> UserFilter {
        let text = (!self.text.is_empty()).then(|| self.text.clone());
        let (disabled, two_factor) = match self.state {
            Some("active") => (Some(false), None),
            Some("disabled") => (Some(true), None),
            Some("two-factor") => (None, Some(true)),
            Some("no-two-factor") => (None, Some(false)),
            _ => (None, None),
        };
        UserFilter { text, role: self.role, disabled, two_factor }
    }

    fn is_filtered(&self) -> bool {
        self.filter() != UserFilter::default()
    }

    fn path(&self) -> String {
        let role = self.role.map(Role::name).unwrap_or_default();
        let state = self.state.unwrap_or_default();
        format!("/users?q={}&role={role}&state={state}", encoded(&self.text))
    }
}

/// Shows a page of the list.
#[handler]
pub(super) async fn show_list(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    let asked = Asked::read(&query)?;
    let cursor: Option<Cursor> = super::named(query.get("cursor"), "page", |it| it.parse().ok())?;
    let first = cursor.is_none();
    let page = PageRequest { cursor, ..PageRequest::default() };
    let page = automa.users(&caller.actor).list(asked.filter(), page).await?;
    let next = page.next_cursor.map(|cursor| format!("{}&cursor={cursor}", asked.path()));
    let frame = Frame::new(request, "Users").user(&caller.user.username, caller.user.role);
    render(&ListPage { frame, asked, rows: page.items, first, next })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pages::samples;

    /// Somebody with a hostile address; `what` tells them apart.
    pub(in crate::pages) fn user(role: Role, disabled: bool) -> User {
        let at = samples::now();
        User {
            id: "0197c1a0-5f00-7000-8000-00000000002d".parse().unwrap(),
            username: "a-name-of-an-operator-that-is-as-long-as-names-may-be-64-characters"
                .to_owned(),
            email: samples::HOSTILE.to_owned(),
            role,
            created_at: at,
            disabled_at: disabled.then_some(at),
            password_changed_at: at,
            two_factor_since: disabled.then_some(at),
            theme: automa_core::user::Theme::Dark,
        }
    }

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let page = |asked: Asked, rows, first: bool| {
            let frame = samples::stranger().user("ops-admin", Role::Admin);
            let next = (!first).then(|| asked.path());
            ListPage { frame, asked, rows, first, next }.render().unwrap()
        };
        let asked = Asked {
            text: samples::HOSTILE.to_owned(),
            role: Some(Role::Viewer),
            state: Some("disabled"),
        };
        let rows = vec![user(Role::Admin, false), user(Role::Viewer, true)];
        vec![
            ("users", page(Asked::default(), rows.clone(), true)),
            ("users-filtered", page(asked.clone(), rows, false)),
            ("users-none", page(asked, Vec::new(), true)),
        ]
    }

    #[test]
    fn what_is_asked_for_is_in_the_address() {
        let query =
            Typed::default().with("q", "a b").with("role", "viewer").with("state", "active");
        let asked = Asked::read(&query).unwrap();
        assert_eq!(asked.path(), "/users?q=a%20b&role=viewer&state=active");
        assert_eq!(asked.filter().disabled, Some(false));
        assert!(Asked::read(&Typed::default().with("role", "x")).is_err());
        assert!(!Asked::read(&Typed::default()).unwrap().is_filtered());
    }
}
