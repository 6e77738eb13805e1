//! The form in which a key is made and changed, and the page that tells a new one.

use std::collections::BTreeSet;

use askama::Template;
use automa_core::{
    Automa, Error,
    actor::Permission,
    address::Network,
    api_key::{ApiKey, KeyNow, NewKey, Scope},
    id::{ApiKeyId, ScriptId},
};
use jiff::{civil::Date, tz::TimeZone};
use poem::{
    Request, Response, handler,
    http::StatusCode,
    web::{Data, Form, Path},
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{State, frame};
use crate::{
    auth::Caller,
    filters,
    htmx::{render_as, see_other},
    pages::{
        self,
        form::{Field, Kind, Problems, Typed},
        frame::Frame,
    },
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "api_keys/form.html")]
struct FormPage {
    frame: Frame,
    /// The key that is changed; none while one is made.
    edited: Option<(KeyNow, State)>,
    name: Field,
    scopes: Vec<Choice>,
    scopes_wrong: Option<String>,
    scripts: Field,
    networks: Field,
    expires: Field,
    enabled: bool,
    problems: Vec<String>,
}

/// Something that a key may be allowed.
#[derive(Debug)]
struct Choice {
    name: &'static str,
    about: String,
    chosen: bool,
}

/// A key, told once.
#[derive(Template)]
#[template(path = "api_keys/told.html")]
struct ToldPage {
    frame: Frame,
    name: String,
    key: SecretString,
}

impl FormPage {
    fn new(
        frame: Frame,
        caller: &Caller,
        edited: Option<KeyNow>,
        (typed, mut problems): (Typed, Problems),
    ) -> Self {
        let chosen: BTreeSet<_> = typed.all("scopes").collect();
        let own = |it: &Permission| {
            *it != Permission::ManageAccount
                && (caller.actor.require(*it).is_ok() || chosen.contains(it.name()))
        };
        let choice = |it: Permission| Choice {
            name: it.name(),
            about: it.to_string(),
            chosen: chosen.contains(it.name()),
        };
        let scopes = Permission::ALL.into_iter().filter(own).map(choice).collect();
        let mut field = |field: Field| field.filled(&typed, &mut problems);
        let name = field(
            Field::line("name", "Name")
                .hint("What it is for, such as the program that will have it.")
                .attributes("required maxlength=\"100\" autocomplete=\"off\""),
        );
        let scripts = field(
            Field::new("script_ids", "Only these scripts", Kind::Text(3))
                .placeholder("all scripts")
                .hint("Names or ids, one in a line. Such a key reads and runs these, and does nothing else."),
        );
        let networks = field(
            Field::new("networks", "Only from these networks", Kind::Text(2))
                .placeholder("from everywhere")
                .hint("One in a line: 192.0.2.0/24, 2001:db8::/32, or an address alone."),
        );
        let expires = field(
            Field::new("expires_at", "Expires at the end of", Kind::Line("date"))
                .hint("A day, in UTC. Empty: never."),
        );
        let edited = edited.map(|now| {
            let state = State::of(&now.key, frame.now);
            (now, state)
        });
        Self {
            scopes,
            scopes_wrong: problems.take("scopes"),
            name,
            scripts,
            networks,
            expires,
            enabled: typed.get("enabled") == "yes",
            problems: problems.rest(),
            frame,
            edited,
        }
    }
}

/// What the form of a key would say.
fn typed(key: &ApiKey) -> Typed {
    let lines = |texts: Vec<String>| texts.join("\n");
    let scripts = key.scope.scripts.iter().flatten().map(ToString::to_string).collect();
    let networks = key.networks.iter().map(ToString::to_string).collect();
    let last_day = |at: jiff::Timestamp| {
        let within = at.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap_or(at);
        within.strftime("%Y-%m-%d").to_string()
    };
    let typed = Typed::default()
        .with("name", &key.name)
        .with("script_ids", lines(scripts))
        .with("networks", lines(networks))
        .with("expires_at", key.expires_at.map_or(String::new(), last_day))
        .with("enabled", if key.enabled { "yes" } else { "" });
    key.scope.permissions.iter().fold(typed, |typed, it| typed.with("scopes", it.name()))
}

/// Reads what was typed. An unchanged day leaves the time of `old` as it is.
async fn read(
    typed: &Typed,
    old: Option<&ApiKey>,
    (caller, automa): (&Caller, &Automa),
) -> Result<Result<NewKey, Problems>, Problem> {
    let mut problems = Problems::default();
    let named = |name: &str| Permission::ALL.into_iter().find(|it| it.name() == name);
    let permissions = typed.all("scopes").filter_map(named).collect();
    let mut networks = Vec::new();
    for line in lines(typed, "networks") {
        match line.parse::<Network>() {
            Ok(network) => networks.push(network),
            Err(error) => problems.add("networks", &error),
        }
    }
    let mut scripts: BTreeSet<ScriptId> = BTreeSet::new();
    for line in lines(typed, "script_ids") {
        let id = match line.parse() {
            Ok(id) => Ok(id),
            Err(_) => automa.scripts(&caller.actor).named(line).await.map(|script| script.id),
        };
        match id {
            Ok(id) => drop(scripts.insert(id)),
            Err(Error::Invalid(fields)) => {
                for it in fields {
                    problems.add("script_ids", &it.reason);
                }
            }
            Err(error @ Error::NotFound { .. }) => problems.add("script_ids", &error),
            Err(error) => return Err(error.into()),
        }
    }
    let day = typed.line("expires_at");
    let unchanged = old.filter(|old| self::typed(old).get("expires_at") == day);
    let expires_at = match (unchanged, day) {
        (Some(old), _) => old.expires_at,
        (None, "") => None,
        (None, day) => {
            let end = day.parse::<Date>().and_then(|day| day.tomorrow()?.to_zoned(TimeZone::UTC));
            let end = end.map_err(|_| problems.add("expires_at", &"must be a day: 2027-01-31"));
            end.ok().map(|end| end.timestamp())
        }
    };
    if !problems.is_empty() {
        return Ok(Err(problems));
    }
    Ok(Ok(NewKey {
        name: typed.line("name").to_owned(),
        scope: Scope { permissions, scripts: (!scripts.is_empty()).then_some(scripts) },
        networks,
        expires_at,
        enabled: typed.get("enabled") == "yes",
    }))
}

fn lines<'a>(typed: &'a Typed, field: &str) -> impl Iterator<Item = &'a str> {
    typed.get(field).lines().map(str::trim).filter(|line| !line.is_empty())
}

/// The form for a new key.
#[handler]
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it takes from a request")]
pub(in crate::pages) fn blank(request: &Request, caller: Caller) -> Result<Response, Problem> {
    let typed = Typed::default().with("enabled", "yes");
    let usual = Scope::default().permissions;
    let usual = usual.into_iter().filter(|it| caller.actor.require(*it).is_ok());
    let typed = usual.fold(typed, |typed, it| typed.with("scopes", it.name()));
    let frame = frame(request, &caller, "New API key");
    let page = FormPage::new(frame, &caller, None, (typed, Problems::default()));
    render_as(StatusCode::OK, &page)
}

/// Makes a key, and tells it.
#[handler]
pub(in crate::pages) async fn create(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let frame = frame(request, &caller, "New API key");
    let problems = match read(&typed, None, (&caller, automa)).await? {
        Err(problems) => problems,
        Ok(new) => match automa.api_keys(&caller.actor).create(new).await {
            Ok((key, secret)) => {
                let page = ToldPage { frame, name: key.name, key: secret };
                return render_as(StatusCode::CREATED, &page);
            }
            Err(Error::Invalid(fields)) => Problems::from(&fields[..]),
            Err(error) => return Err(error.into()),
        },
    };
    let page = FormPage::new(frame, &caller, None, (typed, problems));
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

/// The form for a key that is there.
#[handler]
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it takes from a request")]
pub(in crate::pages) fn edit(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let now = automa.api_keys(&caller.actor).get(pages::id(&id)?)?;
    let frame = frame(request, &caller, "API key");
    let typed = typed(&now.key);
    let page = FormPage::new(frame, &caller, Some(now), (typed, Problems::default()));
    render_as(StatusCode::OK, &page)
}

/// Changes a key.
#[handler]
pub(in crate::pages) async fn save(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let id: ApiKeyId = pages::id(&id)?;
    let keys = automa.api_keys(&caller.actor);
    let now = keys.get(id)?;
    let problems = match read(&typed, Some(&now.key), (&caller, automa)).await? {
        Err(problems) => problems,
        Ok(new) => match keys.update(id, new).await {
            Ok(_) => return Ok(see_other("/api-keys")),
            Err(Error::Invalid(fields)) => Problems::from(&fields[..]),
            Err(error) => return Err(error.into()),
        },
    };
    let frame = frame(request, &caller, "API key");
    let page = FormPage::new(frame, &caller, Some(now), (typed, problems));
    render_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pages::samples;

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let caller = samples::caller();
        let page = |edited: Option<KeyNow>, typed, problems| {
            let frame = super::super::tests::frame();
            FormPage::new(frame, &caller, edited, (typed, problems)).render().unwrap()
        };
        let key = super::super::tests::keys().remove(0);
        let mut problems = Problems::default();
        problems.add("scopes", &"must name what the key may do");
        problems.add("networks", &"must be networks");
        problems.add("elsewhere", &"is wrong");
        let wrong = Typed::default().with("name", samples::HOSTILE);
        let told = ToldPage {
            frame: super::super::tests::frame(),
            name: samples::HOSTILE.to_owned(),
            key: format!("sk-{}", "a1B2".repeat(12)).into(),
        };
        vec![
            ("api-key-new", page(None, Typed::default(), Problems::default())),
            ("api-key-wrong", page(None, wrong, problems)),
            ("api-key", page(Some(key.clone()), typed(&key.key), Problems::default())),
            ("api-key-told", told.render().unwrap()),
        ]
    }

    #[test]
    fn the_form_of_a_key_says_what_the_key_is() {
        let key = super::super::tests::keys().remove(3).key;
        let typed = typed(&key);
        assert_eq!(typed.get("expires_at"), "2026-12-31", "its last day");
        assert_eq!(typed.all("scopes").count(), 3);
        assert_eq!(typed.get("networks"), "192.0.2.0/24");
        assert_eq!(lines(&typed, "script_ids").count(), 1);
    }
}
