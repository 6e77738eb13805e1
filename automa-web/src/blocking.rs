//! Work that blocks, away from the threads that serve.

use poem::http::StatusCode;

use crate::problem::Problem;

/// Runs `body` where it may block.
///
/// # Errors
///
/// A problem of the server's, when `body` panics or the server is ending.
pub(crate) async fn run<T: Send + 'static>(
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(body)
        .await
        .map_err(|error| Problem::internal(StatusCode::INTERNAL_SERVER_ERROR, &error))
}
