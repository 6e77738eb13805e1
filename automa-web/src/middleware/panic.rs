//! A panic in a handler is an internal error of that request alone.

use std::any::Any;

use poem::{Response, error::ResponseError as _, http::StatusCode, middleware::PanicHandler};

use crate::problem::Problem;

/// Answers a request whose handler panicked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnPanic;

impl PanicHandler for OnPanic {
    type Response = Response;

    fn get_response(&self, panic: Box<dyn Any + Send + 'static>) -> Response {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("of unknown cause");
        let cause = std::io::Error::other(format!("a panic: {message}"));
        Problem::internal(StatusCode::INTERNAL_SERVER_ERROR, &cause).as_response()
    }
}
