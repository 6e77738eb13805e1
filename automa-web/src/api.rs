//! The API under `/api/v1`: wire types and thin handlers. What they do is done in core.

mod agents;
mod api_keys;
pub(crate) mod artifacts;
pub(crate) mod audit;
mod auth;
mod bindings;
mod body;
mod credentials;
mod dispatch;
mod document;
mod executions;
mod jobs;
mod logs;
mod preview;
mod retention;
mod scripts;
mod tiers;
mod users;
pub(crate) mod wire;

use std::sync::Arc;

use poem::{
    Endpoint, EndpointExt as _, IntoEndpoint as _, IntoResponse, Request, Response,
    error::ResponseError as _,
    http::{HeaderValue, StatusCode, header},
};
use poem_openapi::{LicenseObject, OpenApiService, Tags};
use serde_json::Value;

pub(crate) use self::{executions::Execution, jobs::call, logs::LogWindow};
use crate::{openapi, problem::Problem};

/// Where the API is.
pub(crate) const PREFIX: &str = "/api/v1";

#[derive(Tags)]
enum Tag {
    /// Signing in and out
    Auth,
    /// Source text with versions
    Scripts,
    /// Runs, their logs and reports
    Executions,
    /// Scripts that start by themselves
    Jobs,
    /// Scripts that are kept running
    Agents,
    /// Who may use how much
    Tiers,
    /// What programs show in place of a password
    ApiKeys,
    /// Secrets that scripts use and nobody sees
    Credentials,
    /// What is kept, for how long, and what it takes
    Disk,
    /// Who has an account, and what it is
    Users,
    /// What was done and refused, and its proof
    Audit,
}

/// The API as an endpoint, and the document that describes it.
///
/// # Errors
///
/// When the document cannot be made: a fault of this build.
pub(crate) fn service() -> Result<(impl Endpoint, Value), Box<dyn std::error::Error>> {
    let apis = (
        auth::AuthApi,
        scripts::ScriptsApi,
        scripts::ReviewsApi,
        executions::ExecutionsApi,
        executions::ExecuteApi,
        artifacts::ArtifactsApi,
        logs::LogsApi,
        logs::FindApi,
        agents::AgentsApi,
        retention::RetentionApi,
        preview::PreviewApi,
        jobs::JobsApi,
        audit::AuditApi,
        api_keys::ApiKeysApi,
        users::UsersApi,
        // A tuple has sixteen at most.
        (tiers::TiersApi, credentials::CredentialsApi, bindings::BindingsApi),
    );
    let service = OpenApiService::new(apis, "Automa", env!("CARGO_PKG_VERSION"))
        .description("Scripts, run in native Linux sandboxes. Errors are problems of RFC 9457.")
        .license(LicenseObject::new("MIT OR Apache-2.0").identifier("MIT OR Apache-2.0"))
        .server(PREFIX);
    let document = openapi::document(&service.spec())?;
    body::install(&document)?;
    let methods: Arc<[_]> = openapi::methods(&document).into();
    let endpoint = service
        .into_endpoint()
        .catch_all_error(async |error| Problem::from(error).as_response())
        .around(move |next, request: Request| {
            let (uri, methods) = (request.original_uri().clone(), Arc::clone(&methods));
            async move { Ok(explain(next.get_response(request).await, &methods, uri.path())) }
        });
    Ok((endpoint, document))
}

/// Says which methods there are, and how to sign in (RFC 9110, 15.5.6 and 11.6.1).
fn explain(mut response: Response, methods: &[(Vec<String>, String)], path: &str) -> Response {
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => {
            let allowed = allowed(methods, path);
            if let Some(value) = allowed.and_then(|it| HeaderValue::from_str(it).ok()) {
                response.headers_mut().insert(header::ALLOW, value);
            }
        }
        StatusCode::UNAUTHORIZED => {
            let bearer = HeaderValue::from_static("Bearer realm=\"automa\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        _ => {}
    }
    response.into_response()
}

/// The methods of a path.
fn allowed<'a>(methods: &'a [(Vec<String>, String)], path: &str) -> Option<&'a str> {
    let path: Vec<_> = path.strip_prefix(PREFIX)?.split('/').collect();
    let same = |(pattern, part): (&String, &&str)| pattern.starts_with('{') || pattern == part;
    let found = methods
        .iter()
        .find(|(pattern, _)| pattern.len() == path.len() && pattern.iter().zip(&path).all(same));
    found.map(|(_, methods)| methods.as_str())
}
