//! `/theme`: light, dark, or as the system is; the browser remembers it.

use std::time::Duration;

use poem::{
    Request, Response, handler,
    http::uri::Scheme,
    web::{
        Form,
        cookie::{Cookie, SameSite},
    },
};

use super::{form::Typed, frame::Theme};
use crate::htmx::{local, see_other};

/// Remembers the choice and shows the page again.
#[handler]
pub(super) fn choose(request: &Request, Form(typed): Form<Typed>) -> Response {
    if let Some(theme) = Theme::named(typed.get("theme")) {
        let mut cookie = Cookie::new_with_str(Theme::COOKIE, theme.to_string());
        cookie.set_path("/");
        cookie.set_http_only(true);
        cookie.set_same_site(SameSite::Lax);
        cookie.set_secure(*request.scheme() == Scheme::HTTPS);
        cookie.set_max_age(Duration::from_hours(24 * 365));
        request.cookie().add(cookie);
    }
    see_other(local(typed.get("next")))
}
