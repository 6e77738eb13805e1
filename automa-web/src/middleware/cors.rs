//! Programs in pages of other sites, which are listed: they may call the API with a token of their own
//! (CORS, Fetch Standard 3.2), and never with the cookies of whoever looks at them.

use std::sync::Arc;

use poem::{
    Endpoint, IntoResponse as _, Request, Response, Result,
    http::{HeaderValue, Method, StatusCode, header},
};

/// The sites that are listed, as browsers write their origins.
#[derive(Debug, Clone, Default)]
pub(crate) struct AllowedOrigins(Arc<[HeaderValue]>);

impl AllowedOrigins {
    pub(crate) fn new(origins: impl Iterator<Item = HeaderValue>) -> Self {
        Self(origins.collect())
    }
}

/// The origin of a call of the API, if it is listed. A request with cookies is never one of these.
pub(crate) fn allowed_origin(request: &Request) -> Option<HeaderValue> {
    let AllowedOrigins(allowed) = request.data()?;
    let origin = request.headers().get(header::ORIGIN)?;
    let calls = request.original_uri().path().starts_with("/api/");
    let has_cookies = request.headers().contains_key(header::COOKIE);
    (calls && !has_cookies && allowed.contains(origin)).then(|| origin.clone())
}

/// Answers what browsers ask before, and lets the pages of listed sites read the answers.
pub(crate) async fn cors<E: Endpoint>(next: &E, request: Request) -> Result<Response> {
    let Some(origin) = allowed_origin(&request) else {
        return next.call(request).await.map(poem::IntoResponse::into_response);
    };
    let asks = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if asks {
        StatusCode::NO_CONTENT
            .with_header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE")
            .with_header(
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "authorization, content-type, idempotency-key, if-match, last-event-id, x-api-key",
            )
            .with_header(header::ACCESS_CONTROL_MAX_AGE, "600")
            .into_response()
    } else {
        next.get_response(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    let readable =
        HeaderValue::from_static("etag, location, retry-after, ratelimit, content-range");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, readable);
    let anyone = HeaderValue::from_static("cross-origin");
    headers.insert("cross-origin-resource-policy", anyone);
    Ok(response)
}
