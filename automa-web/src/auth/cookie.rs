//! The two cookies of a browser that is signed in, and those by which it remembers how someone likes
//! pages to look. No script of a page can read them, and no other site's request carries them.

use std::time::Duration;

use poem::{
    Request,
    http::uri::Scheme,
    web::cookie::{Cookie, SameSite},
};

use super::token::{ACCESS_SECONDS, Tokens};

/// Carries the access token.
pub(crate) const ACCESS: &str = "automa_access";
/// Carries the refresh token.
pub(crate) const REFRESH: &str = "automa_refresh";
/// How long what someone likes is remembered: a year.
const PREFERENCE_SECONDS: i64 = 365 * 24 * 60 * 60;

pub(crate) fn access(request: &Request) -> Option<String> {
    value(request, ACCESS)
}

pub(crate) fn refresh(request: &Request) -> Option<String> {
    value(request, REFRESH)
}

fn value(request: &Request, name: &str) -> Option<String> {
    let cookie = request.cookie().get(name)?;
    Some(cookie.value_str().to_owned())
}

/// Signs the browser in.
pub(crate) fn set(request: &Request, tokens: &Tokens) {
    add(request, ACCESS, tokens.access.clone(), ACCESS_SECONDS);
    add(request, REFRESH, tokens.refresh.clone(), tokens.refresh_seconds);
}

/// Signs the browser out.
pub(crate) fn clear(request: &Request) {
    add(request, ACCESS, String::new(), 0);
    add(request, REFRESH, String::new(), 0);
}

/// Has the browser remember what someone likes.
pub(crate) fn remember(request: &Request, name: &str, what: &impl ToString) {
    add(request, name, what.to_string(), PREFERENCE_SECONDS);
}

fn add(request: &Request, name: &str, value: String, seconds: i64) {
    let mut cookie = Cookie::new_with_str(name, value);
    cookie.set_path("/");
    cookie.set_http_only(true);
    // Lax, not Strict: a link to a page from elsewhere, a chat say, finds its user signed in.
    cookie.set_same_site(SameSite::Lax);
    cookie.set_secure(*request.scheme() == Scheme::HTTPS);
    cookie.set_max_age(Duration::from_secs(seconds.unsigned_abs()));
    request.cookie().add(cookie);
}
