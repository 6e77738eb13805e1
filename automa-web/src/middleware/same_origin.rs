//! A browser that is signed in does nothing here that another site asked it to (CSRF).
//!
//! Without any token in forms: browsers tell by `Sec-Fetch-Site`, older ones by `Origin`, where a
//! request comes from. Programs send neither, and no cookies.

use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    http::{Method, StatusCode, header},
};

use super::{cors::allowed_origin, host::authority};
use crate::problem::Problem;

/// Refuses requests of other sites that change something, and all their WebSockets.
pub(crate) async fn same_origin<E: Endpoint>(next: &E, request: Request) -> Result<Response> {
    if matters(&request) && !is_ours(&request) && allowed_origin(&request).is_none() {
        return Err(Problem::new(StatusCode::FORBIDDEN, "cross-origin", "Another site's request")
            .detail(&"a page of another site asked for this; only Automa's own pages may")
            .into());
    }
    next.call(request).await.map(IntoResponse::into_response)
}

fn matters(request: &Request) -> bool {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE];
    let upgrade = request.header(header::UPGRADE);
    let socket = upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"));
    socket || !reads.contains(request.method())
}

fn is_ours(request: &Request) -> bool {
    match (request.header("sec-fetch-site"), request.header(header::ORIGIN)) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = authority(request).unwrap_or_default();
            origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host))
        }
        (None, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, headers: &[(&str, &str)]) -> Request {
        let mut builder = Request::builder().method(method);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.finish()
    }

    #[test]
    fn what_another_site_asks_for_is_told() {
        let site = |site| [("sec-fetch-site", site), ("origin", "http://127.0.0.1:8080")];
        for (headers, ours) in [
            (&site("same-origin")[..], true),
            (&site("none"), true),
            (&site("cross-site"), false),
            (&site("same-site"), false),
            (&[("origin", "http://127.0.0.1:8080"), ("host", "127.0.0.1:8080")], true),
            (&[("origin", "http://evil.example.com"), ("host", "127.0.0.1:8080")], false),
            (&[("origin", "null"), ("host", "127.0.0.1:8080")], false),
            (&[], true),
        ] {
            let post = request(Method::POST, headers);
            assert!(matters(&post));
            assert_eq!(is_ours(&post), ours, "{headers:?}");
        }
    }

    #[test]
    fn reading_is_for_everyone_but_by_a_socket() {
        assert!(!matters(&request(Method::GET, &[("sec-fetch-site", "cross-site")])));
        assert!(matters(&request(Method::GET, &[("upgrade", "WebSocket")])));
    }
}
