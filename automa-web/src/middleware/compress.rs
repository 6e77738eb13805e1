//! Compression of what is text and worth it. Streams of events are left alone: a line is to arrive
//! now, not when a block of it is full.

use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    http::{HeaderValue, Method, StatusCode, header},
    web::{Compress, CompressionAlgo, CompressionLevel},
};

/// Fewest bytes that are compressed: less fits in one packet anyway.
const LEAST: u64 = 1024;

/// Compresses a response if the client takes that.
pub(crate) async fn compress<E: Endpoint>(next: &E, request: Request) -> Result<Response> {
    let accepted = request.header(header::ACCEPT_ENCODING).unwrap_or_default();
    let algorithm = choose(accepted);
    let bodiless = *request.method() == Method::HEAD;
    let mut response = next.call(request).await?.into_response();
    if bodiless || !is_worth_it(&response) {
        return Ok(response);
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    Ok(match algorithm {
        Some(algorithm) => Compress::new(response, algorithm)
            .with_quality(CompressionLevel::Fastest)
            .into_response(),
        None => response,
    })
}

fn is_worth_it(response: &Response) -> bool {
    let headers = response.headers();
    let length = headers.get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok());
    let small = length.and_then(|it| it.parse::<u64>().ok()).is_some_and(|bytes| bytes < LEAST);
    let kind = response.content_type().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let text = match kind {
        "text/event-stream" => false,
        "application/json" | "application/problem+json" | "image/svg+xml" => true,
        kind => kind.starts_with("text/"),
    };
    text && !small
        && !headers.contains_key(header::CONTENT_ENCODING)
        && response.status() != StatusCode::NOT_MODIFIED
        && response.status() != StatusCode::PARTIAL_CONTENT
}

/// The best of what is accepted (RFC 9110, 12.5.3), by name: `*` means no wish.
fn choose(accepted: &str) -> Option<CompressionAlgo> {
    let accepts = |name: &str| {
        accepted.split(',').any(|offer| {
            let mut parts = offer.split(';').map(str::trim);
            let named = parts.next().is_some_and(|it| it.eq_ignore_ascii_case(name));
            named && !parts.any(|part| quality(part) == Some(0.0))
        })
    };
    if accepts("br") {
        Some(CompressionAlgo::BR)
    } else if accepts("gzip") {
        Some(CompressionAlgo::GZIP)
    } else {
        None
    }
}

fn quality(part: &str) -> Option<f32> {
    let (name, value) = part.split_once('=')?;
    if name.trim().eq_ignore_ascii_case("q") { value.trim().parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_what_is_accepted_is_chosen() {
        for (accepted, name) in [
            ("gzip, deflate, br, zstd", Some("br")),
            ("gzip;q=1.0, br; q=0", Some("gzip")),
            ("GZIP", Some("gzip")),
            ("*", None),
            ("*;q=0", None),
            ("identity", None),
            ("", None),
        ] {
            let chosen = choose(accepted).map(|algorithm| match algorithm {
                CompressionAlgo::BR => "br",
                CompressionAlgo::GZIP => "gzip",
                _ => "another",
            });
            assert_eq!(chosen, name, "{accepted}");
        }
    }

    #[test]
    fn events_and_small_answers_are_left_alone() {
        let response = |kind: &str, body: usize| {
            Response::builder()
                .content_type(kind)
                .header(header::CONTENT_LENGTH, body.to_string())
                .body(vec![b'a'; body])
        };
        assert!(is_worth_it(&response("text/html; charset=utf-8", 5000)));
        assert!(is_worth_it(&response("application/json", 5000)));
        assert!(!is_worth_it(&response("text/html", 100)));
        assert!(!is_worth_it(&response("text/event-stream", 5000)));
        assert!(!is_worth_it(&response("image/png", 5000)));
    }
}
