//! A request that was refused leaves an entry in the audit log, whatever refused it.

use std::sync::{Arc, OnceLock};

use automa_core::{
    Automa,
    actor::{Actor, Origin},
    audit::Resource,
};
use poem::{
    Endpoint, Request, Response, Result,
    error::ResponseError as _,
    http::{Method, StatusCode, header},
};

use crate::{client_address::client_address, problem::Problem};

/// Who sends a request, once that is known: whoever finds out says so here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asker(Arc<OnceLock<Actor>>);

impl Asker {
    /// Says who it is, of a request that wants to know.
    pub(crate) fn is(request: &Request, actor: &Actor) {
        if let Some(Self(asker)) = request.data() {
            // The first one counts: a page that asks twice is the same person's.
            let _ = asker.set(actor.clone());
        }
    }
}

/// Notes what was refused: what is forbidden, other sites' requests, and tokens that are none; and
/// changes that failed. A wrong password is noted where it is checked.
pub(crate) async fn note_refusals<E: Endpoint>(next: &E, mut request: Request) -> Result<Response> {
    let asker = Asker::default();
    request.set_data(asker.clone());
    let automa = request.data::<Automa>().cloned();
    let (method, path) = (request.method().clone(), request.original_uri().path().to_owned());
    let has_token = request.headers().contains_key(header::AUTHORIZATION);
    let address = client_address(&request);
    let response = next.get_response(request).await;
    let (Some(problem), Some(automa)) = (response.data::<Problem>(), automa) else {
        return Ok(response);
    };
    let failed = match problem.status() {
        StatusCode::FORBIDDEN => false,
        StatusCode::UNAUTHORIZED if has_token => false,
        StatusCode::INTERNAL_SERVER_ERROR if !method.is_safe() => true,
        _ => return Ok(response),
    };
    let origin = if path.starts_with("/api/") { Origin::Api } else { Origin::Web };
    let somebody = || Actor::nobody("somebody", origin).at(address);
    let actor = asker.0.get().cloned().unwrap_or_else(somebody);
    let (resource, detail) = (resource(&path), told(&method, &path, problem));
    let audit = automa.audit(&actor);
    let noted = if failed {
        audit.note_failed(resource, &detail).await
    } else {
        audit.note_refused(resource, &detail).await
    };
    if let Err(error) = noted {
        tracing::warn!(%error, "a refusal could not be written into the audit log");
    }
    Ok(response)
}

/// What was tried, and why it was refused. What follows in the address of a webhook is a secret.
fn told(method: &Method, path: &str, problem: &Problem) -> String {
    let path = if path.starts_with("/hooks/") { "/hooks/…" } else { path };
    format!("{method} {path}: {problem}")
}

/// What a path is about: the id after the name of a collection.
fn resource(path: &str) -> Option<Resource> {
    let mut parts = path.strip_prefix("/api/v1").unwrap_or(path).split('/').skip(1);
    let kind = match parts.next()? {
        "scripts" => "script",
        "executions" => "execution",
        "jobs" => "job",
        "agents" => "agent",
        "users" => "user",
        "sessions" => "session",
        "api-keys" => "api_key",
        "credentials" => "credential",
        _ => return None,
    };
    Resource::named(kind, parts.next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_what_it_is_about() {
        let id = "018f0000-0000-7000-8000-000000000001";
        let about = |path: &str| resource(path).map(|it| it.to_string());
        assert_eq!(about(&format!("/api/v1/scripts/{id}/run")), Some(format!("script:{id}")));
        assert_eq!(about(&format!("/jobs/{id}")), Some(format!("job:{id}")));
        for path in ["/", "/scripts", "/scripts/new", "/api/v1/disk", "/api/v1/users/../x"] {
            assert_eq!(about(path), None, "{path}");
        }
    }

    #[test]
    fn the_address_of_a_webhook_is_not_told() {
        let problem = Problem::of_status(StatusCode::FORBIDDEN);
        let told = told(&Method::POST, "/hooks/secret", &problem);
        assert_eq!(told, "POST /hooks/…: Forbidden");
    }
}
