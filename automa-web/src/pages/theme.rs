//! `/theme`: light, dark, or as the system is; the browser remembers it.

use poem::{Request, Response, handler, web::Form};

use super::{form::Typed, frame::Theme};
use crate::{
    auth::cookie,
    htmx::{local, see_other},
};

/// Remembers the choice and shows the page again.
#[handler]
pub(super) fn choose(request: &Request, Form(typed): Form<Typed>) -> Response {
    if let Some(theme) = Theme::named(typed.get("theme")) {
        cookie::remember(request, Theme::COOKIE, &theme);
    }
    see_other(local(typed.get("next")))
}
