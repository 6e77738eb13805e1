//! Headers that confine pages: what they may load, where they may be shown, who may keep them.

use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    http::{HeaderName, HeaderValue, header, uri::Scheme},
};

/// Nothing but our own files, no inline script or style, no frame around us (CSP Level 3).
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'; report-uri /csp-reports; report-to csp";
/// Where browsers that know `report-to` send reports.
const REPORTING_ENDPOINTS: &str = "csp=\"/csp-reports\"";
/// Two years without plain HTTP, once it was TLS (RFC 6797).
const STRICT_TRANSPORT_SECURITY: &str = "max-age=63072000";

const HEADERS: [(HeaderName, HeaderValue); 8] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
    (HeaderName::from_static("reporting-endpoints"), HeaderValue::from_static(REPORTING_ENDPOINTS)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
    ),
];

/// Adds them to every response. What says nothing about caching is not kept by anyone.
pub(crate) async fn security_headers<E: Endpoint>(next: &E, request: Request) -> Result<Response> {
    let is_secure = *request.scheme() == Scheme::HTTPS;
    let mut response = next.get_response(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    if is_secure {
        let always = HeaderValue::from_static(STRICT_TRANSPORT_SECURITY);
        headers.insert(header::STRICT_TRANSPORT_SECURITY, always);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    Ok(response.into_response())
}
