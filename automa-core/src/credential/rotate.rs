//! Rotation: another master key takes the place of the current one, while everything goes on.
//!
//! The new key is made durable first, in the file beside the old one. From then on it seals what is new,
//! and the data keys of what is there are wrapped anew, a few in each change. When none is left that needs
//! the old key, the store says so, and then the old key leaves the file. Wherever that is interrupted, both
//! keys are there as long as the store needs both, and the next start goes on.
//!
//! Where the key is given from outside, a rotation is a start with the new key and the former one.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

use super::{Credentials, KeyRecord, Secret, Vault, seal::Place};
use crate::{
    Error, Result,
    actor::{Actor, Origin, Permission},
    audit::{Action, Entry},
    blocking,
    clock::Clock,
    store::{self, Store, change::Change},
};

/// How many versions one change wraps anew.
const BATCH: usize = 256;

/// Which master keys there are, and how far a rotation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The key that seals; `None` before anything was sealed.
    pub current: Option<KeyRecord>,
    /// Whether there is one under way.
    pub running: bool,
    /// How many versions the former keys sealed when it began.
    pub total: u64,
    /// How many of them wait for the current one.
    pub left: u64,
    /// Whether one can be begun here: the key is in the file.
    pub can_begin: bool,
}

impl Credentials<'_> {
    /// Which master keys there are, and how far a rotation is.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] for all but admins, and the store's.
    pub async fn rotation(&self) -> Result<Rotation> {
        self.actor.require(Permission::ManageSettings)?;
        let can_begin = self.automa.vault.is_in_file();
        let find = move |view: &_| {
            let Some(keys) = store::credentials::keys(view)? else {
                let rotation =
                    Rotation { current: None, running: false, total: 0, left: 0, can_begin };
                return Ok::<_, Error>(rotation);
            };
            let mut left = 0;
            for former in keys.used.iter().skip(1) {
                left += store::credentials::wrapped_by(view, former.id, usize::MAX)?.len() as u64;
            }
            let running = keys.used.len() > 1;
            let current = keys.used.into_iter().next();
            Ok(Rotation { current, running, total: keys.total, left, can_begin })
        };
        self.automa.store.read(find).await
    }

    /// Begins to put a new master key in place of the current one. What is sealed is wrapped anew in the
    /// background by an Automa that was started; by [`finish_rotation`](Self::finish_rotation) otherwise.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] for all but admins; [`Error::CannotRotate`] while one is under way, or where
    /// the key is not in the file; [`Error::Vault`]; and the store's.
    pub async fn rotate(&self) -> Result<Rotation> {
        self.actor.require(Permission::ManageSettings)?;
        let (vault, clock) = (Arc::clone(&self.automa.vault), Arc::clone(&self.automa.clock));
        let used = self.automa.store.look(store::credentials::keys)?.unwrap_or_default().used;
        if used.len() > 1 {
            return Err(Error::CannotRotate("the master key is being replaced already"));
        }
        let in_file = Arc::clone(&vault);
        blocking::run(move || in_file.add_key(&used, &*clock)).await?;
        let clock = &*self.automa.clock;
        let (entry, at) =
            (Entry::new(clock, self.actor, Action::MasterKeyRotationStarted), clock.now());
        let change = move |change: &mut Change| {
            vault.sealing_key(change, at)?;
            Ok::<_, Error>(store::audit::add(change, &entry)?)
        };
        self.automa.store.write(change).await?;
        self.automa.rotate_soon();
        self.rotation().await
    }

    /// Finishes a rotation that is under way, with `progress` told of how many versions are done; nothing
    /// if none is.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] for all but admins, [`Error::Vault`], and the store's.
    pub async fn finish_rotation(&self, progress: impl FnMut(u64)) -> Result<()> {
        self.actor.require(Permission::ManageSettings)?;
        let automa = self.automa;
        finish(&automa.store, &automa.vault, &automa.clock, progress).await
    }
}

/// Wraps everything by the current key, and forgets the former ones.
async fn finish(
    store: &Store,
    vault: &Arc<Vault>,
    clock: &Arc<dyn Clock>,
    mut progress: impl FnMut(u64),
) -> Result<()> {
    let mut done = 0;
    loop {
        let (vault, clock) = (Arc::clone(vault), Arc::clone(clock));
        let (at, actor) =
            (clock.now(), Actor { origin: Origin::Scheduler, ..Actor::embedder("vault") });
        let entry = Entry::new(&*clock, &actor, Action::MasterKeyRotated);
        let change =
            move |change: &mut Change| one_batch(change, &vault, &*clock, (at, &entry), BATCH);
        match store.write(change).await? {
            0 => break,
            some => done += some,
        }
        progress(done);
    }
    let retired = store.look(|view| {
        let keys = store::credentials::keys(view)?;
        Ok::<_, Error>(keys.map(|keys| keys.retired).unwrap_or_default())
    })?;
    let vault = Arc::clone(vault);
    blocking::run(move || vault.forget(&retired)).await
}

/// Wraps some versions anew, and tells how many; with none left, says that the former keys are not needed.
fn one_batch(
    change: &mut Change,
    vault: &Vault,
    clock: &dyn Clock,
    (at, entry): (Timestamp, &Entry),
    most: usize,
) -> Result<u64> {
    if store::credentials::keys(change)?.is_none() {
        return Ok(0);
    }
    let current = vault.sealing_key(change, at)?;
    let Some(mut keys) = store::credentials::keys(change)? else { return Ok(0) };
    let Some(former) = keys.used.last().filter(|last| last.id != current.id()) else {
        return Ok(0);
    };
    let some = store::credentials::wrapped_by(change, former.id, most)?;
    let old = vault.key(former.id)?;
    for &(id, number) in &some {
        let credential = super::find(change, id)?;
        let Some(secret) = store::credentials::version(change, id, number)? else { continue };
        let Some(sealed) = &secret.sealed else { continue };
        let place =
            Place { credential: id, version: number, kind: credential.kind, shown: &secret.shown };
        // One that is damaged cannot be opened by any key. It stays as it is, and is not asked for again.
        let sealed = match sealed.rewrap(&old, &current, place, clock) {
            Ok(sealed) => sealed,
            Err(error) => {
                tracing::error!(%error, "a secret could not be wrapped by the new master key");
                sealed.relabelled(current.id())
            }
        };
        let secret = Secret { sealed: Some(sealed), ..secret };
        store::credentials::put_version(change, id, &secret)?;
    }
    if some.is_empty() {
        keys.retired.extend(keys.used.pop().map(|key| key.id));
        store::credentials::put_keys(change, &keys)?;
        store::audit::add(change, entry)?;
        // Another former one may be left.
        return Ok(u64::from(keys.used.len() > 1));
    }
    Ok(some.len() as u64)
}

/// The task that goes on with a rotation.
#[derive(Debug)]
pub(crate) struct Rotator {
    task: Mutex<Option<JoinHandle<()>>>,
    stop: watch::Sender<bool>,
    soon: Arc<Notify>,
}

impl Rotator {
    pub(crate) fn start(store: Store, vault: Arc<Vault>, clock: Arc<dyn Clock>) -> Self {
        let (stop, soon) = (watch::Sender::new(false), Arc::new(Notify::new()));
        let (mut stopped, wanted) = (stop.subscribe(), Arc::clone(&soon));
        #[expect(clippy::disallowed_methods, reason = "joined by `stop`")]
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    // Between two changes: each is whole.
                    _ = stopped.wait_for(|stop| *stop) => return,
                    done = finish(&store, &vault, &clock, |_| {}) => if let Err(error) = done {
                        tracing::error!(%error, "the master key could not be replaced; the next start goes on");
                    }
                }
                tokio::select! {
                    _ = stopped.wait_for(|stop| *stop) => return,
                    () = wanted.notified() => {}
                }
            }
        });
        Self { task: Mutex::new(Some(task)), stop, soon }
    }

    /// Looks whether there is something to do.
    pub(crate) fn soon(&self) {
        self.soon.notify_one();
    }

    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // A panic in it was reported when it happened.
            let _ = task.await;
        }
    }
}

#[cfg(test)]
mod tests;
