//! Whether the server lives: for whoever watches over it.

use poem::{IntoResponse as _, Response, handler, web::Json};
use serde_json::json;

/// Answers whenever the server answers at all.
#[handler]
pub(crate) fn liveness() -> Response {
    Json(json!({"status": "alive"})).into_response()
}

/// The server's version.
#[handler]
pub(crate) fn health() -> Response {
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")})).into_response()
}
