//! Errors at the HTTP edge, as problem details (RFC 9457).

use automa_core::{
    Error,
    clock::{Clock as _, SystemClock},
    error::{FieldError, StoreError},
    quota::Exceeded,
};
use jiff::Timestamp;
use poem::{
    IntoResponse, Response,
    error::{MethodNotAllowedError, NotFoundError, ResponseError},
    http::{StatusCode, header},
};
use poem_openapi::{
    ApiResponse, Object,
    error::{ParseParamError, ParsePathError},
    payload::{Json, Payload},
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};

use crate::api::wire::Text;

/// The media type of problem details.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request failed (RFC 9457).
#[derive(Debug, Clone, Object)]
#[oai(rename = "Problem", skip_serializing_if_is_none)]
pub(crate) struct Details {
    /// The kind of problem, the same every time: what a program should look at.
    #[oai(rename = "type")]
    pub(crate) kind: String,
    /// The kind in words.
    pub(crate) title: String,
    /// The HTTP status.
    pub(crate) status: u16,
    /// What happened this time, and what to do about it.
    pub(crate) detail: Option<String>,
    /// The fields that cannot be accepted.
    pub(crate) errors: Option<Vec<InvalidField>>,
    /// The newest version of what was to be changed, when that had been changed by someone else.
    pub(crate) current_version: Option<u32>,
    /// Of what there was too much, when a quota was exceeded.
    pub(crate) quota: Option<String>,
    /// How much of it is allowed.
    pub(crate) limit: Option<u64>,
    /// How much of it has been used.
    pub(crate) used: Option<u64>,
    /// When there is more of it, if there is by itself.
    pub(crate) resets_at: Option<Text<Timestamp>>,
    /// Under which name the server's log has the cause, when the fault is the server's.
    pub(crate) error_id: Option<String>,
    /// For the header `Retry-After`, in seconds.
    #[oai(skip)]
    pub(crate) retry_after: Option<u64>,
}

/// One field that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Object)]
pub(crate) struct InvalidField {
    /// The field, with dots between the names on the way to it.
    pub(crate) field: String,
    /// What is wrong with it, and what would be right.
    pub(crate) reason: String,
}

/// The error of every handler.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .0.detail.as_ref().unwrap_or(&.0.title))]
pub(crate) struct Problem(Box<Details>);

impl Problem {
    /// A problem of a kind that has its own name.
    pub(crate) fn new(status: StatusCode, kind: &str, title: &str) -> Self {
        Self(Box::new(Details {
            kind: format!("/docs/problems#{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: None,
            errors: None,
            current_version: None,
            quota: None,
            limit: None,
            used: None,
            resets_at: None,
            error_id: None,
            retry_after: None,
        }))
    }

    /// Something that cannot be done as things stand, and why.
    fn conflict(kind: &str, title: &str, error: &Error) -> Self {
        Self::new(StatusCode::CONFLICT, kind, title).detail(error)
    }

    /// A problem that the HTTP status says all about.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self::new(status, &title.to_ascii_lowercase().replace(' ', "-"), title)
    }

    /// Nobody is signed in, or no longer.
    pub(crate) fn unauthorized(detail: &str) -> Self {
        Self::of_status(StatusCode::UNAUTHORIZED).detail(&detail)
    }

    /// Some of the input cannot be accepted.
    pub(crate) fn invalid(errors: Vec<InvalidField>) -> Self {
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Invalid input");
        let sentences = errors.iter().map(|it| format!("{}: {}", it.field, it.reason));
        problem.0.detail = Some(sentences.collect::<Vec<_>>().join("; "));
        problem.0.errors = Some(errors);
        problem
    }

    /// One field of the input cannot be accepted.
    pub(crate) fn invalid_field(field: &str, reason: impl Into<String>) -> Self {
        let (field, reason) = (field.to_owned(), reason.into());
        Self::invalid(vec![InvalidField { field, reason }])
    }

    /// The server is at fault: the cause goes to its log, an id to whoever asked.
    pub(crate) fn internal(status: StatusCode, cause: &dyn std::error::Error) -> Self {
        let id = format!("e-{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let causes: Vec<_> = std::iter::successors(Some(cause), |cause| cause.source())
            .map(ToString::to_string)
            .collect();
        tracing::error!(error_id = id, error = causes.join(": "), "a request failed");
        let mut problem = Self::of_status(status);
        problem.0.detail = Some(match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                "The server cannot do this at the moment; nothing was changed. Try again later."
                    .to_owned()
            }
            _ => format!("The fault is the server's. Its log has the cause under `{id}`."),
        });
        problem.0.error_id = Some(id);
        problem
    }

    /// More was asked for than a tier allows: for this day, or at all.
    fn quota_exceeded(exceeded: &Exceeded) -> Self {
        let Exceeded { quota, limit, used, resets_at } = *exceeded;
        let status = match resets_at {
            Some(_) => StatusCode::TOO_MANY_REQUESTS,
            None => StatusCode::FORBIDDEN,
        };
        let mut problem = Self::new(status, "quota-exceeded", "More than the tier allows");
        problem.0.quota = Some(quota.name().to_owned());
        (problem.0.limit, problem.0.used) = (Some(limit), Some(used));
        problem.0.resets_at = resets_at.map(Text);
        let left = resets_at.map(|at| at.as_second() - SystemClock::new().now().as_second());
        problem.0.retry_after = left.map(|seconds| u64::try_from(seconds).unwrap_or(0).max(1));
        problem
    }

    /// Says after how many seconds it may be tried again.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// What is wrong with a credential or the master key.
    fn of_secret(error: &Error) -> Self {
        let (status, kind, title) = match error {
            Error::CredentialExpired { .. } => {
                (StatusCode::CONFLICT, "credential-expired", "Credential expired")
            }
            Error::CredentialBound { .. } => {
                (StatusCode::CONFLICT, "credential-bound", "Credential in use")
            }
            Error::CannotRotate(_) => {
                (StatusCode::CONFLICT, "cannot-rotate", "Cannot be replaced now")
            }
            Error::NotRevealable(_) => (StatusCode::FORBIDDEN, "not-revealable", "Not to be shown"),
            Error::TooOften { seconds } => {
                let problem = Self::of_status(StatusCode::TOO_MANY_REQUESTS).detail(error);
                return problem.retry_after(*seconds);
            }
            _ => return Self::internal(StatusCode::SERVICE_UNAVAILABLE, error).detail(error),
        };
        Self::new(status, kind, title).detail(error)
    }

    /// Says what happened this time.
    pub(crate) fn detail(mut self, detail: &impl ToString) -> Self {
        self.0.detail = Some(sentence(&detail.to_string()));
        self
    }

    /// The same with another status.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status.as_u16();
        self
    }

    /// What is known about it.
    pub(crate) fn details(&self) -> &Details {
        &self.0
    }
}

/// A parser's reason without the names of types around it.
fn unwrapped(reason: &str) -> &str {
    let reason = reason.strip_prefix("failed to parse \"").unwrap_or(reason);
    let reason = reason.split_once("\": ").map_or(reason, |(_, rest)| rest);
    reason.split_once(" (occurred while parsing").map_or(reason, |(rest, _)| rest)
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    let mut sentence: String = first.chain(chars).collect();
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

impl From<&FieldError> for InvalidField {
    fn from(error: &FieldError) -> Self {
        Self { field: error.field.to_string(), reason: error.reason.clone() }
    }
}

impl Problem {
    /// What is wrong with who asks, or with an account, if that is what it is.
    fn of_account(error: &Error) -> Option<Self> {
        let problem = match error {
            Error::WrongPassword => {
                Self::new(StatusCode::UNAUTHORIZED, "wrong-password", "Wrong name or password")
            }
            Error::WrongKey(_) => {
                Self::new(StatusCode::UNAUTHORIZED, "wrong-key", "API key not accepted")
            }
            Error::QuotaExceeded(exceeded) => Self::quota_exceeded(exceeded),
            Error::SessionEnded => Self::of_status(StatusCode::UNAUTHORIZED),
            Error::WrongToken => {
                Self::new(StatusCode::FORBIDDEN, "wrong-token", "Wrong setup link")
            }
            Error::WrongLink => Self::new(StatusCode::FORBIDDEN, "wrong-link", "Wrong link"),
            Error::LastAdmin => Self::new(StatusCode::CONFLICT, "last-admin", "The last admin"),
            Error::SetupClosed => Self::new(StatusCode::CONFLICT, "setup-closed", "Already set up"),
            _ => return None,
        };
        Some(problem.detail(error))
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        if let Some(problem) = Self::of_account(&error) {
            return problem;
        }
        match &error {
            Error::NotFound { .. } => {
                Self::new(StatusCode::NOT_FOUND, "not-found", "Not found").detail(&error)
            }
            Error::Forbidden(_) => {
                Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed").detail(&error)
            }
            Error::Conflict { current, .. } => {
                let mut problem =
                    Self::new(StatusCode::CONFLICT, "conflict", "Changed meanwhile").detail(&error);
                problem.0.current_version = Some(*current);
                problem
            }
            Error::Invalid(fields) => {
                Self::invalid(fields.iter().map(InvalidField::from).collect())
            }
            Error::NotApproved { .. } => Self::conflict("not-approved", "Not approved", &error),
            Error::CredentialExpired { .. }
            | Error::CredentialBound { .. }
            | Error::CannotRotate(_)
            | Error::NotRevealable(_)
            | Error::TooOften { .. }
            | Error::Vault(_) => Self::of_secret(&error),
            Error::NotActive { .. } => Self::conflict("not-active", "Not active", &error),
            Error::Overlaps { .. } => Self::conflict("overlaps", "Overlaps", &error),
            Error::Replayed => {
                Self::new(StatusCode::CONFLICT, "replayed", "Received before").detail(&error)
            }
            Error::Paused => Self::new(StatusCode::CONFLICT, "paused", "Paused").detail(&error),
            Error::NoHook => Self::of_status(StatusCode::NOT_FOUND).detail(&error),
            Error::WrongSignature(_) => {
                Self::new(StatusCode::UNAUTHORIZED, "wrong-signature", "Wrong signature")
                    .detail(&error)
            }
            Error::LogRemoved { .. } => {
                Self::new(StatusCode::GONE, "log-removed", "Log removed").detail(&error)
            }
            Error::Ended(_) => {
                Self::new(StatusCode::CONFLICT, "ended", "Already ended").detail(&error)
            }
            Error::AgentStopped | Error::AgentRuns | Error::AgentDeaf => {
                let (kind, title) = match error {
                    Error::AgentStopped => ("agent-stopped", "The agent does not run"),
                    Error::AgentRuns => ("agent-runs", "The agent is not stopped"),
                    _ => ("agent-deaf", "The agent does not read"),
                };
                Self::new(StatusCode::CONFLICT, kind, title).detail(&error)
            }
            Error::DiskFull { .. } => {
                Self::internal(StatusCode::INSUFFICIENT_STORAGE, &error).detail(&error)
            }
            Error::IdempotencyMismatch => {
                let title = "Another request of this key";
                Self::new(StatusCode::CONFLICT, "idempotency-mismatch", title).detail(&error)
            }
            Error::Store(StoreError::Cursor(cursor)) => {
                Self::invalid_field("cursor", cursor.to_string())
            }
            Error::Store(StoreError::Unavailable { .. }) => {
                let detail = "The server cannot write to its disk, which is full or fails. Nothing \
                              was changed; try again later.";
                Self::internal(StatusCode::SERVICE_UNAVAILABLE, &error).detail(&detail)
            }
            Error::Store(StoreError::Commit(_)) => {
                let detail = "The server could not write to its disk, which is full or fails. \
                              Whether this was done shows when the disk works again: look, or send \
                              it again with the same `Idempotency-Key`.";
                Self::internal(StatusCode::SERVICE_UNAVAILABLE, &error).detail(&detail)
            }
            Error::NotRunning | Error::Sandbox(_) | Error::Store(StoreError::Closed) => {
                Self::internal(StatusCode::SERVICE_UNAVAILABLE, &error)
            }
            _ => Self::internal(StatusCode::INTERNAL_SERVER_ERROR, &error),
        }
    }
}

/// What poem itself refuses: unknown paths, methods, bodies and parameters it cannot read.
impl From<poem::Error> for Problem {
    fn from(error: poem::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(problem) => return problem,
            Err(error) => error,
        };
        if error.is::<NotFoundError>() {
            return Self::of_status(StatusCode::NOT_FOUND)
                .detail(&"there is nothing at this address");
        }
        if error.is::<MethodNotAllowedError>() {
            return Self::of_status(StatusCode::METHOD_NOT_ALLOWED)
                .detail(&"this address does not take this method; `Allow` lists those it takes");
        }
        if let Some(ParseParamError { name, reason }) = error.downcast_ref() {
            return Self::invalid_field(name, unwrapped(reason));
        }
        if let Some(ParsePathError { reason, .. }) = error.downcast_ref() {
            return Self::new(StatusCode::NOT_FOUND, "not-found", "Not found")
                .detail(&unwrapped(reason));
        }
        let status = error.status();
        if status.is_client_error() {
            Self::of_status(status).detail(&error)
        } else {
            Self::internal(status, &*Box::<dyn std::error::Error>::from(error.to_string()))
        }
    }
}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn as_response(&self) -> Response {
        let details = Json(Details::clone(&self.0)).with_content_type(MEDIA_TYPE);
        let mut response = details.with_status(self.status()).into_response();
        if let Some(seconds) = self.0.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        // What happens to it afterwards may depend on what it tells.
        response.set_data(self.clone());
        response
    }
}

impl ApiResponse for Problem {
    fn meta() -> MetaResponses {
        let response = |range: &str, description| MetaResponse {
            description,
            status: None,
            status_range: Some(range.into()),
            content: vec![MetaMediaType {
                content_type: MEDIA_TYPE,
                schema: <Json<Details>>::schema_ref(),
            }],
            headers: vec![],
        };
        let refused = response("4XX", "The request was refused");
        let failed = response("5XX", "The server failed");
        MetaResponses { responses: vec![refused, failed] }
    }

    fn register(registry: &mut Registry) {
        Details::register(registry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_what_to_do_and_keeps_the_cause_to_the_log() {
        let invalid = Problem::invalid_field("limits.pids", "must be 1 to 4096");
        assert_eq!(invalid.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(invalid.to_string(), "limits.pids: must be 1 to 4096");
        let closed = Problem::from(Error::Store(StoreError::Closed));
        assert_eq!(closed.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(!closed.to_string().contains("store"), "{closed}");
        assert!(closed.details().error_id.as_ref().is_some_and(|id| id.len() == 14));
    }

    #[test]
    fn a_reason_names_no_types() {
        let reason = "failed to parse \"State\": must be one of queued, running (occurred while \
                      parsing \"optional_State\")";
        assert_eq!(unwrapped(reason), "must be one of queued, running");
        assert_eq!(unwrapped("no digits"), "no digits");
    }

    #[test]
    fn a_detail_is_a_sentence() {
        assert_eq!(sentence("there is no script `a`"), "There is no script `a`.");
        assert_eq!(sentence("Why?"), "Why?");
        assert_eq!(sentence(""), ".");
    }
}
