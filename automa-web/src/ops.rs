//! Whether the server lives and can work: for whoever watches over it.

use automa_core::{
    Automa,
    health::{EngineHealth, Health},
    store,
};
use poem::{
    IntoResponse as _, Response, handler,
    http::StatusCode,
    web::{Data, Json},
};
use serde_json::json;

/// Answers whenever the server answers at all.
#[handler]
pub(crate) fn liveness() -> Response {
    Json(json!({"status": "alive"})).into_response()
}

/// How the parts are: 200 in any case, so that it can be read when something is wrong.
#[handler]
pub(crate) fn health(Data(automa): Data<&Automa>) -> Response {
    let found = automa.health();
    let store = match &found.store {
        store::Health::Ready => "ok",
        store::Health::Failing { .. } => "failing; it is being opened again",
        _ => "closed",
    };
    let sandbox = match &found.engine {
        EngineHealth::Ready => "ok",
        EngineHealth::Restarting { .. } => "being started again",
        _ => "not started",
    };
    Json(json!({
        "status": word(&found, "ok", "degraded"),
        "version": env!("CARGO_PKG_VERSION"),
        "store": store,
        "sandbox": sandbox,
    }))
    .into_response()
}

/// Whether executions are accepted and run at once: 200, else 503.
#[handler]
pub(crate) fn readiness(Data(automa): Data<&Automa>) -> Response {
    let found = automa.health();
    let status = if found.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = Json(json!({"status": word(&found, "ready", "not ready")}));
    body.with_status(status).into_response()
}

fn word<'a>(found: &Health, ready: &'a str, otherwise: &'a str) -> &'a str {
    if found.is_ready() { ready } else { otherwise }
}
