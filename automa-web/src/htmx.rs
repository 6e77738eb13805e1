//! What pages send to browsers, with or without htmx: documents, and where to go next.

use std::fmt::Write as _;

use askama::Template;
use poem::{
    IntoResponse, Response,
    http::{StatusCode, header},
    web::Html,
};

use crate::problem::Problem;

/// A template as a document.
///
/// # Errors
///
/// A problem of the server's, when the template cannot be rendered.
pub(crate) fn render(template: &impl Template) -> Result<Response, Problem> {
    render_as(StatusCode::OK, template)
}

/// The same with another status: a form that was not accepted is shown again with 422.
///
/// # Errors
///
/// As [`render`].
pub(crate) fn render_as(status: StatusCode, template: &impl Template) -> Result<Response, Problem> {
    let html = template
        .render()
        .map_err(|error| Problem::internal(StatusCode::INTERNAL_SERVER_ERROR, &error))?;
    Ok(Html(html).with_status(status).into_response())
}

/// To another page by `GET`, after something was done.
pub(crate) fn see_other(path: &str) -> Response {
    StatusCode::SEE_OTHER.with_header(header::LOCATION, path).into_response()
}

/// To another page, when htmx asked for a part of this one and would put the other there.
pub(crate) fn elsewhere(path: &str) -> Response {
    StatusCode::NO_CONTENT.with_header("HX-Redirect", path).into_response()
}

/// Text as a value in a query (RFC 3986).
pub(crate) fn encoded(text: &str) -> String {
    let mut query = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            query.push(byte.into());
        } else {
            // Writing to a string does not fail.
            let _ = write!(query, "%{byte:02X}");
        }
    }
    query
}

/// `path` if it is a page of this server, else the overview: nobody is sent elsewhere by a link
/// that someone made up.
pub(crate) fn local(path: &str) -> &str {
    // Browsers read `//host` and `/\host` as another server, and skip tabs and line breaks.
    let inside = path.starts_with('/')
        && !path[1..].starts_with(['/', '\\'])
        && path.chars().all(|c| c.is_ascii_graphic());
    if inside { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_fits_into_a_query() {
        assert_eq!(encoded("/a?b=c&d é"), "%2Fa%3Fb%3Dc%26d%20%C3%A9");
    }

    #[test]
    fn a_link_leads_nowhere_else() {
        for path in ["/", "/scripts?cursor=1", "/executions/x#L12"] {
            assert_eq!(local(path), path);
        }
        for path in [
            "",
            "scripts",
            "https://example.com",
            "//example.com",
            "/\\example.com",
            "/\t/example.com",
            "/\r\nSet-Cookie: a=b",
            "javascript:alert(1)",
        ] {
            assert_eq!(local(path), "/", "{path:?}");
        }
    }
}
