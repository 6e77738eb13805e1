//! `/credentials`: the list, and the master key.

pub(super) mod form;
pub(super) mod show;

use askama::Template;
use automa_core::{
    Automa, Error,
    actor::Permission,
    credential::{CredentialNow, EXPIRES_SOON_DAYS, Expiry, Filter, KeyOrigin, Kind, Rotation},
    id::CredentialId,
    page::{Cursor, PageRequest},
};
use jiff::Timestamp;
use poem::{
    Request, Response, handler,
    http::StatusCode,
    web::{Data, Query},
};

use super::{
    form::{Problems, Typed},
    frame::{Frame, Place},
};
use crate::{
    auth::Caller,
    filters,
    htmx::{encoded, render, render_as, see_other},
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "credentials/list.html")]
struct ListPage {
    frame: Frame,
    may_rotate: bool,
    asked: Asked,
    chips: Vec<Chip>,
    rows: Vec<Row>,
    first: bool,
    next: Option<String>,
}

/// What the list is asked for.
#[derive(Debug, Clone, Default, PartialEq)]
struct Asked {
    name: String,
    kind: String,
    tag: String,
    expiry: String,
}

/// A filter that can be set, or removed.
#[derive(Debug)]
struct Chip {
    name: String,
    path: String,
    on: bool,
}

/// One credential.
#[derive(Debug)]
struct Row {
    id: CredentialId,
    name: String,
    version: u32,
    kind: &'static str,
    owner: String,
    /// With the way to all that have it.
    tags: Vec<(String, String)>,
    used_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    expiry: Option<(&'static str, String)>,
}

/// How an end that is near or over is shown: its class, and words.
fn expiry(
    of: &automa_core::credential::Credential,
    now: Timestamp,
) -> Option<(&'static str, String)> {
    let at = of.expires_at?;
    match of.expiry(now) {
        Expiry::Fine => None,
        Expiry::Expired => Some(("failed", format!("Expired on {}", at.strftime("%-d %B %Y")))),
        Expiry::Soon => {
            let days = at.duration_since(now).as_hours() / 24;
            let when = match days {
                0 => "within a day".to_owned(),
                1 => "in a day".to_owned(),
                days => format!("in {days} days"),
            };
            Some(("timed_out", format!("Expires {when}")))
        }
    }
}

impl Asked {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn path(&self) -> String {
        let pairs =
            [("q", &self.name), ("type", &self.kind), ("tag", &self.tag), ("expiry", &self.expiry)];
        let said = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        let said: Vec<_> = said.map(|(key, value)| format!("{key}={}", encoded(value))).collect();
        if said.is_empty() {
            "/credentials".to_owned()
        } else {
            format!("/credentials?{}", said.join("&"))
        }
    }

    fn chips(&self) -> Vec<Chip> {
        let kinds = Kind::ALL.into_iter().map(|kind| {
            let on = self.kind == kind.name();
            let kind_asked = if on { String::new() } else { kind.name().to_owned() };
            let path = Self { kind: kind_asked, ..self.clone() }.path();
            Chip { name: kind.label().to_owned(), path, on }
        });
        let ends = [
            ("soon", format!("Within {EXPIRES_SOON_DAYS} days")),
            ("expired", "Expired".to_owned()),
        ];
        let ends = ends.into_iter().map(|(word, name)| {
            let on = self.expiry == word;
            let expiry = if on { String::new() } else { word.to_owned() };
            Chip { name, path: Self { expiry, ..self.clone() }.path(), on }
        });
        let tag = (!self.tag.is_empty()).then(|| {
            let path = Self { tag: String::new(), ..self.clone() }.path();
            Chip { name: self.tag.clone(), path, on: true }
        });
        tag.into_iter().chain(kinds).chain(ends).collect()
    }
}

impl Row {
    fn new(now: CredentialNow, at: Timestamp) -> Self {
        let CredentialNow { credential, usage, .. } = now;
        let tagged = |tag: String| {
            let path = Asked { tag: tag.clone(), ..Asked::default() }.path();
            (tag, path)
        };
        Self {
            id: credential.id,
            version: credential.version,
            kind: credential.kind.label(),
            used_at: usage.used_at,
            expires_at: credential.expires_at,
            expiry: expiry(&credential, at),
            name: credential.name,
            owner: credential.owner_name,
            tags: credential.tags.into_iter().map(tagged).collect(),
        }
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
    let cursor: Option<Cursor> = super::named(query.get("cursor"), "page", |it| it.parse().ok())?;
    let kind = super::named(query.get("type"), "type", |it| it.parse().ok())?;
    let expiry = super::named(query.get("expiry"), "filter", |it| match it {
        "soon" => Some(Expiry::Soon),
        "expired" => Some(Expiry::Expired),
        _ => None,
    })?;
    let asked = Asked {
        name: query.line("q").to_owned(),
        kind: query.get("type").to_owned(),
        tag: query.get("tag").to_owned(),
        expiry: query.get("expiry").to_owned(),
    };
    let tag = (!asked.tag.is_empty()).then(|| asked.tag.clone());
    let filter = Filter { kind, tag, expiry, name: asked.name.clone() };
    let first = cursor.is_none();
    let page = PageRequest { cursor, ..PageRequest::default() };
    let page = automa.credentials(&caller.actor).list(filter, page).await?;
    let frame = super::frame(request, &caller, "Credentials", Place::Credentials);
    let more = if asked.is_empty() { "?" } else { "&" };
    render(&ListPage {
        may_rotate: caller.actor.require(Permission::ManageSettings).is_ok(),
        rows: page.items.into_iter().map(|it| Row::new(it, frame.now)).collect(),
        next: page.next_cursor.map(|cursor| format!("{}{more}cursor={cursor}", asked.path())),
        chips: asked.chips(),
        asked,
        first,
        frame,
    })
}

#[derive(Debug, Template)]
#[template(path = "credentials/rotation.html")]
struct RotationPage {
    frame: Frame,
    rotation: Rotation,
    problems: Vec<String>,
}

impl RotationPage {
    fn done(&self) -> u64 {
        self.rotation.total.saturating_sub(self.rotation.left)
    }

    fn kept(&self) -> &'static str {
        match self.rotation.current.as_ref().map(|key| key.origin) {
            Some(KeyOrigin::Given) => "given from outside",
            Some(KeyOrigin::Passphrase { .. }) => "computed from a passphrase",
            Some(KeyOrigin::File) | None => "the file master.key of the data directory",
        }
    }
}

/// Shows the master key, and how far a rotation is.
#[handler]
pub(super) async fn show_rotation(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
) -> Result<Response, Problem> {
    let rotation = automa.credentials(&caller.actor).rotation().await?;
    let frame = super::frame(request, &caller, "Master key", Place::Credentials);
    render(&RotationPage { frame, rotation, problems: Vec::new() })
}

/// Puts a new master key in place of the current one.
#[handler]
pub(super) async fn rotate(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
) -> Result<Response, Problem> {
    let credentials = automa.credentials(&caller.actor);
    match credentials.rotate().await {
        Ok(_) => Ok(see_other("/credentials/rotation")),
        Err(error @ Error::CannotRotate(_)) => {
            let rotation = credentials.rotation().await?;
            let frame = super::frame(request, &caller, "Master key", Place::Credentials);
            let problems = Problems::of_form(&error).rest();
            render_as(StatusCode::CONFLICT, &RotationPage { frame, rotation, problems })
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use automa_core::credential::{Credential, Usage};

    use super::*;
    use crate::pages::samples;

    pub(super) fn sample(expires_at: Option<&str>) -> CredentialNow {
        let at = samples::now();
        let credential = Credential {
            id: "0197c1a0-5f00-7000-8000-00000000002f".parse().unwrap(),
            revision: 3,
            name: samples::HOSTILE.to_owned(),
            kind: Kind::DbConnection,
            tags: vec!["eu".to_owned(), samples::HOSTILE.to_owned()],
            version: 2,
            expires_at: expires_at.map(|at| at.parse().unwrap()),
            revealable: true,
            owner: None,
            owner_name: samples::HOSTILE.to_owned(),
            created_at: at,
            updated_at: at,
        };
        let shown = vec![
            ("engine".to_owned(), "postgresql".to_owned()),
            ("host".to_owned(), samples::HOSTILE.to_owned()),
        ];
        CredentialNow { credential, usage: Usage::default(), shown }
    }

    fn list(rows: Vec<CredentialNow>, asked: Asked) -> String {
        let frame = samples::frame("Credentials", Place::Credentials);
        let page = ListPage {
            may_rotate: true,
            rows: rows.into_iter().map(|it| Row::new(it, frame.now)).collect(),
            next: Some(asked.path()),
            chips: asked.chips(),
            asked,
            first: true,
            frame,
        };
        page.render().unwrap()
    }

    fn rotation(running: bool, can_begin: bool) -> String {
        let rotation = Rotation { current: None, running, total: 300, left: 120, can_begin };
        let frame = samples::frame("Master key", Place::Credentials);
        RotationPage { frame, rotation, problems: vec!["It is so.".to_owned()] }.render().unwrap()
    }

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let asked = Asked { tag: samples::HOSTILE.to_owned(), ..Asked::default() };
        let rows = || {
            vec![
                sample(None),
                sample(Some("2026-11-23T00:00:00Z")),
                sample(Some("2026-01-01T00:00:00Z")),
                sample(Some("2030-01-01T00:00:00Z")),
            ]
        };
        vec![
            ("credentials", list(rows(), Asked::default())),
            ("credentials-none", list(Vec::new(), Asked::default())),
            ("credentials-filtered", list(Vec::new(), asked)),
            ("rotation", rotation(true, true)),
            ("rotation-idle", rotation(false, true)),
            ("rotation-outside", rotation(false, false)),
        ]
    }

    #[test]
    fn a_filter_keeps_the_others_and_goes_when_it_is_chosen_again() {
        let asked = Asked { name: "a&b".into(), kind: "oauth".into(), ..Asked::default() };
        assert_eq!(asked.path(), "/credentials?q=a%26b&type=oauth");
        let chips = asked.chips();
        let on: Vec<_> = chips.iter().filter(|chip| chip.on).collect();
        assert!(on.len() == 1 && on[0].path == "/credentials?q=a%26b", "{on:?}");
    }

    #[test]
    fn an_end_is_told_when_it_is_near() {
        let words = |at: &str| {
            let now = sample(Some(at)).credential;
            expiry(&now, samples::now()).map(|(_, words)| words)
        };
        assert_eq!(words("2030-01-01T00:00:00Z"), None);
        assert_eq!(words("2026-11-24T12:00:00Z").unwrap(), "Expires in 3 days");
        assert_eq!(words("2026-11-21T05:00:00Z").unwrap(), "Expires within a day");
        assert_eq!(words("2026-11-20T00:00:00Z").unwrap(), "Expired on 20 November 2026");
    }
}
