//! `/api-keys`: what programs show in place of a password.

mod form;

use askama::Template;
use automa_core::{
    Automa,
    actor::Permission,
    api_key::{ApiKey, KeyNow},
    id::ApiKeyId,
    page::{Cursor, PageRequest},
};
use jiff::Timestamp;
use poem::{
    Request, Response, handler,
    web::{Data, Path, Query},
};

pub(super) use self::form::{blank, create, edit, save};
use super::{form::Typed, frame::Frame};
use crate::{
    auth::Caller,
    filters,
    htmx::{render, see_other},
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "api_keys/list.html")]
struct ListPage {
    frame: Frame,
    /// Whether there is a choice, and it is everybody's.
    all: Option<bool>,
    rows: Vec<Row>,
    first: bool,
    next: Option<String>,
}

/// One key.
#[derive(Debug)]
struct Row {
    now: KeyNow,
    state: State,
}

/// Whether a key is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    On,
    Off,
    Expired,
}

impl State {
    fn of(key: &ApiKey, now: Timestamp) -> Self {
        if key.expires_at.is_some_and(|at| at <= now) {
            Self::Expired
        } else if key.enabled {
            Self::On
        } else {
            Self::Off
        }
    }
}

impl Row {
    fn new(now: KeyNow, frame: &Frame) -> Self {
        Self { state: State::of(&now.key, frame.now), now }
    }

    /// What it may do, in few words.
    fn scope(&self) -> String {
        let scope = &self.now.key.scope;
        let names: Vec<_> = scope.permissions.iter().map(|it| it.name()).collect();
        match &scope.scripts {
            None => names.join(", "),
            Some(scripts) if scripts.len() == 1 => format!("{} of one script", names.join(", ")),
            Some(scripts) => format!("{} of {} scripts", names.join(", "), scripts.len()),
        }
    }
}

fn frame(request: &Request, caller: &Caller, title: &str) -> Frame {
    Frame::new(request, title).user(&caller.user.username, caller.user.role)
}

/// Shows a page of the list.
#[handler]
pub(super) async fn show_list(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    let cursor: Option<Cursor> = super::named(query.get("cursor"), "page", |it| it.parse().ok())?;
    let all = query.has("all");
    let may_see_all = caller.actor.require(Permission::ManageUsers).is_ok();
    let first = cursor.is_none();
    let page = PageRequest { cursor, ..PageRequest::default() };
    let page = automa.api_keys(&caller.actor).list(all, page).await?;
    let next = page.next_cursor.map(|cursor| {
        let all = if all { "&all" } else { "" };
        format!("/api-keys?cursor={cursor}{all}")
    });
    let frame = frame(request, &caller, "API keys").spending(automa, &caller).await?;
    let rows = page.items.into_iter().map(|now| Row::new(now, &frame)).collect();
    render(&ListPage { frame, all: may_see_all.then_some(all), rows, first, next })
}

/// Removes a key.
#[handler]
pub(super) async fn delete(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id: ApiKeyId = super::id(&id)?;
    automa.api_keys(&caller.actor).delete(id).await?;
    Ok(see_other("/api-keys"))
}

#[cfg(test)]
pub(super) mod tests {
    use automa_core::api_key::{Scope, Usage};

    use super::*;
    use crate::pages::{frame::Place, samples};

    pub(super) fn frame() -> Frame {
        Frame { place: None, ..samples::frame("API keys", Place::Overview) }
    }

    pub(super) fn keys() -> Vec<KeyNow> {
        let key = |name: &str, enabled, expires_at: Option<&str>| ApiKey {
            id: "0197c1a0-5f00-7000-8000-00000000002c".parse().unwrap(),
            name: name.to_owned(),
            owner: "0197c1a0-5f00-7000-8000-00000000002d".parse().unwrap(),
            ending: "a1B2".to_owned(),
            scope: Scope::default(),
            networks: vec!["192.0.2.0/24".parse().unwrap()],
            created_at: samples::now(),
            expires_at: expires_at.map(|it| it.parse().unwrap()),
            enabled,
        };
        let used = Usage {
            calls: 12_480,
            refused: 3,
            last_used_at: Some(samples::now()),
            last_address: Some("192.0.2.7".to_owned()),
        };
        let now = |key, usage| KeyNow { key, owner_name: samples::HOSTILE.to_owned(), usage };
        let mut chosen = key("warehouse", true, Some("2027-01-01T00:00:00Z"));
        chosen.scope.scripts = Some([samples::script_id()].into());
        vec![
            now(key(samples::HOSTILE, true, None), used),
            now(key("ci", false, None), Usage::default()),
            now(key("old", true, Some("2026-01-01T00:00:00Z")), Usage::default()),
            now(chosen, Usage::default()),
        ]
    }

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let page = |keys: Vec<KeyNow>, all| {
            let frame = frame();
            let rows = keys.into_iter().map(|now| Row::new(now, &frame)).collect();
            let next = Some(format!("/api-keys?cursor={}", samples::cursor()));
            ListPage { frame, all, rows, first: true, next }.render().unwrap()
        };
        let mut pages = vec![
            ("api-keys", page(keys(), Some(false))),
            ("api-keys-all", page(keys(), Some(true))),
            ("api-keys-none", page(vec![], None)),
        ];
        pages.extend(form::tests::samples());
        pages
    }

    #[test]
    fn what_has_expired_is_neither_on_nor_off() {
        let states: Vec<_> = keys().iter().map(|it| State::of(&it.key, samples::now())).collect();
        assert_eq!(states, [State::On, State::Off, State::Expired, State::On]);
    }
}
