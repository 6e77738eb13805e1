//! What happens to every request before and after its handler.

mod body_limit;
mod compress;
mod cors;
mod headers;
mod host;
mod panic;
mod rate_limit;
mod refusals;
mod same_origin;

pub(crate) use self::{
    body_limit::body_limit,
    compress::compress,
    cors::{AllowedOrigins, cors},
    headers::security_headers,
    host::{Hosts, known_host},
    panic::OnPanic,
    rate_limit::{RateLimits, Setting as RateSetting, rate_limit},
    refusals::{Asker, note_refusals},
    same_origin::same_origin,
};
