//! Packs the logs of executions that have ended, one after the other, beside what runs.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use tokio::{sync::watch, task::JoinHandle};

use super::{
    attempt::log_name,
    log::{PACK_MIN, pack},
};
use crate::{
    Error, Result, blocking,
    event::Event,
    id::ExecutionId,
    store::{self, Store, change::Change},
};

/// What a packed log is written to first; one at a time is.
const DRAFT: &str = "packing";

/// The task that packs.
#[derive(Debug)]
pub(crate) struct Packer {
    task: Mutex<Option<JoinHandle<()>>>,
    stop: watch::Sender<bool>,
}

impl Packer {
    pub(crate) fn start(store: Store, logs: PathBuf) -> Self {
        let stop = watch::Sender::new(false);
        let mut stopped = stop.subscribe();
        #[expect(clippy::disallowed_methods, reason = "joined by `stop`")]
        let task = tokio::spawn(async move {
            let mut events = store.subscribe();
            loop {
                let event = tokio::select! {
                    _ = stopped.wait_for(|stop| *stop) => return,
                    event = events.next() => event,
                };
                // A log whose event is missed stays as it is, which costs space and nothing else.
                let id = match event {
                    None => return,
                    Some(Event::ExecutionChanged { id, state }) if !state.is_open() => id,
                    Some(_) => continue,
                };
                if let Err(error) = pack_logs(&store, &logs, id).await {
                    tracing::warn!(%id, %error, "a log could not be packed");
                }
            }
        });
        Self { task: Mutex::new(Some(task)), stop }
    }

    /// Waits for the log that is being packed.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // A panic in it was reported when it happened.
            let _ = task.await;
        }
    }
}

/// Packs the logs of an execution's attempts, if they are large.
async fn pack_logs(store: &Store, logs: &Path, id: ExecutionId) -> Result<()> {
    let find = |view: &_| {
        let log = store::logs::get(view, id)?.filter(|log| log.bytes >= PACK_MIN);
        Ok::<_, Error>(log.and(store::executions::get(view, id)?))
    };
    let Some(execution) = store.look(find)? else { return Ok(()) };
    let directory = logs.to_owned();
    let attempts = execution.attempt;
    let pack_all = move || {
        let (mut bytes, draft) = (0, directory.join(DRAFT));
        for attempt in 1..=attempts {
            let path = directory.join(log_name(id, attempt));
            // An attempt that was never begun has none.
            if path.exists() {
                pack(&path, &draft)?;
                bytes += fs::metadata(&path).map_or(0, |about| about.len());
            }
        }
        Ok::<_, Error>(bytes)
    };
    let bytes = blocking::run(pack_all).await?;
    store.write(move |change: &mut Change| Ok(store::logs::resize(change, id, bytes)?)).await
}
