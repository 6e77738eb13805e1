//! Keeps the audit log: signs checkpoints, writes what was counted of refusals, and removes what is
//! beyond its time.

use std::sync::{Arc, Mutex, PoisonError};

use ed25519_dalek::SigningKey;
use jiff::{SignedDuration, Timestamp};
use tokio::{sync::watch, task::JoinHandle};

use super::{Action, Checkpoint, Entry, Refusals, signing_key};
use crate::{
    Result,
    actor::{Actor, Origin},
    clock::Clock,
    key_file::KeyFile,
    store::{self, Store, change::Change},
};

/// Time between two looks.
const BETWEEN: SignedDuration = SignedDuration::from_secs(5);
/// A checkpoint is signed once there are so many entries that none is about …
const UNSIGNED: u64 = 1000;
/// … or one, and the last checkpoint is so old. So often old entries are looked for, too.
const AGE: SignedDuration = SignedDuration::from_hours(1);
/// Most entries that one change removes.
const BATCH: usize = 1000;

/// The task that keeps the audit log.
#[derive(Debug)]
pub(crate) struct Keeper {
    task: Mutex<Option<JoinHandle<()>>>,
    stop: watch::Sender<bool>,
}

/// What it needs.
#[derive(Debug)]
pub(crate) struct Keeping {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) key: Arc<KeyFile>,
    pub(crate) refusals: Arc<Refusals>,
}

impl Keeper {
    pub(crate) fn start(keeping: Keeping) -> Self {
        let stop = watch::Sender::new(false);
        let mut stopped = stop.subscribe();
        #[expect(clippy::disallowed_methods, reason = "joined by `stop`")]
        let task = tokio::spawn(async move {
            let mut pruned = Timestamp::MIN;
            loop {
                let now = keeping.clock.now();
                let is_last = *stopped.borrow();
                if let Err(error) = keeping.look(is_last).await {
                    tracing::warn!(%error, "the audit log could not be kept; it is tried again");
                }
                if is_last {
                    return;
                }
                if now.duration_since(pruned) >= AGE {
                    pruned = now;
                    tokio::select! {
                        // Between two changes: each is whole.
                        _ = stopped.wait_for(|stop| *stop) => continue,
                        done = keeping.prune() => if let Err(error) = done {
                            tracing::warn!(%error, "old audit entries could not be removed");
                        }
                    }
                }
                let next = now.checked_add(BETWEEN).unwrap_or(Timestamp::MAX);
                tokio::select! {
                    _ = stopped.wait_for(|stop| *stop) => {}
                    () = keeping.clock.until(next) => {}
                }
            }
        });
        Self { task: Mutex::new(Some(task)), stop }
    }

    /// Writes and signs what there is to, and ends.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // A panic in it was reported when it happened.
            let _ = task.await;
        }
    }
}

impl Keeping {
    /// Writes what was counted, and signs what is due; in the end, all of it.
    pub(super) async fn look(&self, is_last: bool) -> Result<()> {
        let due = self.refusals.due(&*self.clock, is_last);
        super::write(&self.store, due).await?;
        let (head, last) = self.store.look(|view| {
            let (number, _) = store::audit::head(view)?;
            Ok::<_, crate::Error>((number, store::audit::newest_checkpoint(view)?))
        })?;
        let unsigned = head.saturating_sub(last.map_or(0, |last| last.number));
        let is_old =
            last.is_none_or(|last| self.clock.now().duration_since(last.at()).abs() >= AGE);
        if unsigned >= UNSIGNED || unsigned > 0 && (is_old || is_last) {
            sign(&self.store, &*self.clock, signing_key(&self.key, &*self.clock)?).await?;
        }
        Ok(())
    }

    /// Removes entries that are beyond their time. What stands for them is a checkpoint at the last.
    pub(super) async fn prune(&self) -> Result<()> {
        let rules = self.store.look(|view| Ok::<_, crate::Error>(store::retention::get(view)?))?;
        let Some(days) = rules.audit_days else { return Ok(()) };
        let age = SignedDuration::from_hours(24 * i64::from(days));
        let Ok(limit) = self.clock.now().checked_sub(age) else { return Ok(()) };
        let (key, now) = (signing_key(&self.key, &*self.clock)?, self.clock.now());
        let (mut entries, mut last) = (0, 0);
        loop {
            let key = key.clone();
            let prune = move |change: &mut Change| {
                let Some((number, hash, count)) = store::audit::prune(change, limit, BATCH)? else {
                    return Ok(None);
                };
                let checkpoint = Checkpoint::sign(&key, number, hash, now);
                store::audit::begin_at(change, &checkpoint)?;
                Ok::<_, crate::Error>(Some((number, count)))
            };
            let Some((number, count)) = self.store.write(prune).await? else { break };
            (entries, last) = (entries + count, number);
        }
        if entries > 0 {
            tracing::info!(entries, last, "removed audit entries that were beyond their time");
            let actor = Actor { origin: Origin::Scheduler, ..Actor::embedder("retention") };
            let action = Action::AuditPruned { entries, last };
            super::write(&self.store, vec![Entry::new(&*self.clock, &actor, action)]).await?;
        }
        Ok(())
    }
}

/// Signs a checkpoint at the newest entry, if there is none at it, and tells the log.
pub(super) async fn sign(store: &Store, clock: &dyn Clock, key: SigningKey) -> Result<()> {
    let now = clock.now();
    let sign = move |change: &mut Change| {
        let (number, hash) = store::audit::head(change)?;
        if store::audit::newest_checkpoint(change)?.map_or(0, |last| last.number) == number {
            return Ok(None);
        }
        let checkpoint = Checkpoint::sign(&key, number, hash, now);
        store::audit::put_checkpoint(change, &checkpoint)?;
        Ok::<_, crate::Error>(Some(checkpoint))
    };
    if let Some(checkpoint) = store.write(sign).await? {
        tracing::info!(%checkpoint, "audit checkpoint");
    }
    Ok(())
}
