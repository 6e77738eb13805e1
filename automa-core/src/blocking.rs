//! Work that blocks, away from the threads of the async runtime.

use crate::error::StoreError;

/// Runs `body` where it may block. A panic in it is a panic of the caller.
///
/// # Errors
///
/// `body`'s, and [`StoreError::Closed`] when the runtime is ending.
pub(crate) async fn run<T, E>(body: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    match tokio::task::spawn_blocking(body).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(StoreError::Closed.into()),
        },
    }
}
