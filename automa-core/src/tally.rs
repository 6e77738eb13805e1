//! The tally: what is counted in memory, written each minute and when Automa is closed.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::{sync::watch, task::JoinHandle};

use crate::{Automa, Result};

/// Time for which counts are only in memory: what of it is not written is lost if Automa is killed.
const BETWEEN: SignedDuration = SignedDuration::from_mins(1);

/// The task that writes counts.
#[derive(Debug)]
pub(crate) struct Tally {
    task: Mutex<Option<JoinHandle<()>>>,
    stop: watch::Sender<bool>,
}

impl Tally {
    pub(crate) fn start(automa: Automa) -> Self {
        let stop = watch::Sender::new(false);
        let mut stopped = stop.subscribe();
        #[expect(clippy::disallowed_methods, reason = "joined by `stop`")]
        let task = tokio::spawn(async move {
            while !*stopped.borrow() {
                let now = automa.clock.now();
                let next = now.checked_add(BETWEEN).unwrap_or(Timestamp::MAX);
                tokio::select! {
                    _ = stopped.wait_for(|stop| *stop) => return,
                    () = automa.clock.until(next) => {}
                }
                if let Err(error) = write(&automa).await {
                    tracing::warn!(%error, "what was counted could not be written");
                }
            }
        });
        Self { task: Mutex::new(Some(task)), stop }
    }

    /// Writes no more by itself.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // A panic in it was reported when it happened.
            let _ = task.await;
        }
    }
}

/// Writes what was counted since it was last written.
pub(crate) async fn write(automa: &Automa) -> Result<()> {
    automa.key_uses.write(automa).await?;
    automa.api_calls.write(automa).await
}
