//! What happens to every request before and after its handler.

mod body_limit;
mod compress;
mod headers;
mod panic;
mod rate_limit;
mod same_origin;

pub(crate) use self::{
    body_limit::body_limit,
    compress::compress,
    headers::security_headers,
    panic::OnPanic,
    rate_limit::{RateLimits, Setting as RateSetting, rate_limit},
    same_origin::same_origin,
};
