//! `/security`: what is on, what is off, and what to do about it.

use std::sync::Arc;

use askama::Template;
use automa_core::{Automa, Error, actor::Permission, audit::Checkpoint};
use automa_sandbox::{Protection, Status};
use poem::{Request, Response, handler, web::Data};

use super::frame::Frame;
use crate::{
    auth::Caller, config::Posture, csp_reports::CspReports, filters, htmx::render, problem::Problem,
};

/// How good a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Good,
    /// It works, and could be better.
    Weaker,
    Bad,
}

impl Level {
    /// Its colour, its sign, and its word.
    fn look(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Good => ("succeeded", "ok", "on"),
            Self::Weaker => ("timed_out", "warn", "weaker"),
            Self::Bad => ("failed", "bad", "off"),
        }
    }
}

/// One part of what keeps the server safe.
#[derive(Debug)]
struct Part {
    name: &'static str,
    level: Level,
    /// What is the case.
    says: String,
    /// What to do, if there is something.
    advice: Option<&'static str>,
}

impl Part {
    fn new(name: &'static str, level: Level, says: impl Into<String>) -> Self {
        Self { name, level, says: says.into(), advice: None }
    }

    fn advice(self, advice: &'static str) -> Self {
        Self { advice: Some(advice), ..self }
    }
}

#[derive(Debug, Template)]
#[template(path = "security.html")]
struct SecurityPage {
    frame: Frame,
    parts: Vec<Part>,
}

impl SecurityPage {
    fn count(&self, level: Level) -> usize {
        self.parts.iter().filter(|part| part.level == level).count()
    }
}

/// Shows the page.
#[handler]
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it takes from a request")]
pub(super) fn show(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Data(posture): Data<&Arc<Posture>>,
    Data(reports): Data<&Arc<CspReports>>,
) -> Result<Response, Problem> {
    caller.actor.require(Permission::ManageSettings).map_err(Error::from)?;
    let frame = Frame::new(request, "Security").user(&caller.user.username, caller.user.role);
    let signed = automa.audit(&caller.actor).newest_checkpoint()?;
    let mut parts = of_network(posture);
    parts.push(of_pages(reports.count()));
    parts.push(of_audit(signed));
    parts.push(of_sandbox(&automa.protections().unwrap_or_default()));
    render(&SecurityPage { frame, parts })
}

/// What the server was started with.
fn of_network(posture: &Posture) -> Vec<Part> {
    let named = |count: usize, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let tls = match (posture.tls, posture.is_near) {
        (true, _) => Part::new(
            "Encryption on the way",
            Level::Good,
            "TLS 1.2 and 1.3. A new certificate is shown without a restart.",
        ),
        (false, true) => Part::new(
            "Encryption on the way",
            Level::Weaker,
            "Plain HTTP, which only this machine reaches.",
        )
        .advice("Behind a proxy with TLS, this is right. Otherwise give --tls-cert and --tls-key."),
        (false, false) => Part::new(
            "Encryption on the way",
            Level::Bad,
            "Plain HTTP: whoever is on the way reads passwords and tokens.",
        )
        .advice("Give --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy with TLS."),
    };
    let key = if posture.weak_key {
        Part::new("Key of tokens", Level::Bad, "It looks made up: who guesses it is anybody.")
            .advice("Draw one with openssl rand -hex 32, or leave --secret-key out.")
    } else if posture.key_given {
        Part::new("Key of tokens", Level::Good, "Given at the start.")
    } else {
        Part::new("Key of tokens", Level::Good, "Drawn by the server, in its data directory.")
    };
    let production = if posture.production {
        Part::new(
            "Production mode",
            Level::Good,
            "What is not safe keeps the server from starting.",
        )
    } else {
        Part::new("Production mode", Level::Weaker, "What is not safe is a warning at the start.")
            .advice("Start with --production once others rely on this server.")
    };
    let hosts = match posture.hosts {
        0 => "It answers to localhost and addresses alone.".to_owned(),
        count => {
            format!("It answers to {}, localhost and addresses.", named(count, "name", "names"))
        }
    };
    let origins = match posture.origins {
        0 => "No other site may call the API.".to_owned(),
        count => format!(
            "Pages of {} may call the API with tokens of their own, never with cookies.",
            named(count, "other site", "other sites")
        ),
    };
    let proxies = match posture.proxies {
        0 => "None: addresses are those of connections.".to_owned(),
        count => format!(
            "{} believed which address is behind.",
            named(count, "network is", "networks are")
        ),
    };
    vec![
        tls,
        key,
        production,
        Part::new("Names of this server", Level::Good, hosts),
        Part::new("Other sites", Level::Good, origins),
        Part::new("Trusted proxies", Level::Good, proxies),
    ]
}

fn of_pages(reports: u64) -> Part {
    const NAME: &str = "Policy of pages";
    if reports == 0 {
        let says = "Pages run nothing but their own files; no browser has reported anything.";
        return Part::new(NAME, Level::Good, says);
    }
    let reported = filters::grouped(reports);
    Part::new(NAME, Level::Weaker, format!("{reported} reports of browsers since the start."))
        .advice("Often an extension of a browser; the server's log tells what was tried.")
}

fn of_audit(signed: Option<Checkpoint>) -> Part {
    const NAME: &str = "Audit log";
    match signed {
        Some(signed) => Part::new(
            NAME,
            Level::Good,
            format!("Chained, and signed up to entry {}.", filters::grouped(signed.number)),
        )
        .advice("Keep the signed lines of the server's log on another machine."),
        None => Part::new(NAME, Level::Weaker, "Chained; nothing has been signed yet."),
    }
}

fn of_sandbox(protections: &[Protection]) -> Part {
    const NAME: &str = "Sandbox";
    let enforced = protections.iter().filter(|it| matches!(it.status, Status::Enforced)).count();
    let all = protections.len();
    let says = format!("{enforced} of {all} protections are enforced in full.");
    if enforced == all {
        return Part::new(NAME, Level::Good, says);
    }
    Part::new(NAME, Level::Weaker, says).advice("automa doctor says what to do about the others.")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pages::{frame::Place, samples};

    fn posture() -> Posture {
        Posture {
            tls: true,
            is_near: false,
            key_given: true,
            weak_key: false,
            production: true,
            hosts: 1,
            origins: 2,
            proxies: 1,
        }
    }

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let page = |posture: &Posture, reports| {
            let mut parts = of_network(posture);
            parts.extend([of_pages(reports), of_audit(None), of_sandbox(&[])]);
            let frame = samples::frame("Security", Place::Overview);
            SecurityPage { frame, parts }.render().unwrap()
        };
        let worst = Posture { tls: false, weak_key: true, production: false, ..posture() };
        vec![("security", page(&posture(), 0)), ("security-worst", page(&worst, 12_345))]
    }

    #[test]
    fn what_is_not_safe_says_what_to_do() {
        let levels = |posture: &Posture| {
            let parts = of_network(posture);
            assert!(parts.iter().all(|it| it.level == Level::Good || it.advice.is_some()));
            parts.iter().map(|it| it.level).take(3).collect::<Vec<_>>()
        };
        assert_eq!(levels(&posture()), [Level::Good; 3]);
        let near = Posture { tls: false, is_near: true, ..posture() };
        assert_eq!(levels(&near)[0], Level::Weaker);
        let worst = Posture { tls: false, weak_key: true, production: false, ..posture() };
        assert_eq!(levels(&worst), [Level::Bad, Level::Bad, Level::Weaker]);
    }
}
