//! A slot in use, and what becomes of it afterwards.

use std::sync::Arc;

use tokio::sync::{OwnedRwLockReadGuard, OwnedSemaphorePermit, oneshot};

use super::{Pool, detach, log};
use crate::{class::Class, error::Error, slots::Slot};

/// A slot in use. It goes back to the others by [`settle`](Self::settle); a lease that is just
/// dropped, because its supervisor's runtime ended, takes the slot with it.
pub(crate) struct Lease {
    slot: Option<Slot>,
    pool: Arc<Pool>,
    /// What to prepare the slot for, after its run.
    pub(super) next: Option<Class>,
    /// A class that has lost its prepared sandbox to this run.
    pub(super) missed: Option<Class>,
    pub(super) permit: Option<OwnedSemaphorePermit>,
    _in_use: OwnedRwLockReadGuard<()>,
}

impl Lease {
    pub(super) fn new(mut slot: Slot, pool: &Arc<Pool>, in_use: OwnedRwLockReadGuard<()>) -> Self {
        let pool = pool.clone();
        slot.due = None;
        Self { slot: Some(slot), pool, next: None, missed: None, permit: None, _in_use: in_use }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn slot(&mut self) -> &mut Slot {
        self.slot.as_mut().expect("a lease holds its slot until it is dropped")
    }

    /// User id of the slot's payloads where it is not the engine's own.
    pub(crate) fn user(&self) -> Option<u32> {
        let slot = self.slot.as_ref()?;
        (!self.pool.host.user_namespace()).then(|| slot.id())
    }

    /// Gives the slot back by itself when it is dropped instead of used.
    pub(crate) fn unused(self) -> Unused {
        Unused(Some(self))
    }

    /// Returns a slot that was not used.
    pub(crate) fn give_back(mut self) {
        if let Some(slot) = self.slot.take() {
            self.pool.put(slot);
        }
    }

    /// Ends what the slot is prepared for; `None` when the slot is lost.
    pub(super) async fn discard(mut self) -> Option<Self> {
        let (give, take) = oneshot::channel();
        detach(async move {
            self.missed = self.slot().prepared().map(|it| it.class.clone());
            if self.slot().discard().await.is_err() {
                self.replace().await;
            } else if let Err(unwanted) = give.send(self) {
                unwanted.give_back();
            }
        });
        take.await.ok()
    }

    /// Prepares the slot for a class and returns it.
    pub(super) async fn prepare(mut self, class: Class) -> Result<(), Error> {
        if class.interpreter.is_some() {
            self.pool.watch_ages();
        }
        let slot = self.slot();
        let mut prepared = match slot.discard().await {
            Ok(()) => slot.prepare(&class).await,
            Err(error) => Err(error),
        };
        if matches!(prepared, Err(Error::Host { .. })) && class.interpreter.is_some() {
            // One that cannot wait: what is left can be prepared all the same.
            prepared = slot.prepare(&class.for_any_program()).await;
        }
        match &prepared {
            // Where a step failed, the slot is as good as before.
            Ok(()) | Err(Error::Host { .. }) => self.give_back(),
            Err(_) => self.replace().await,
        }
        prepared
    }

    /// Returns a slot that may be in the middle of a start.
    pub(crate) fn give_up(self) {
        detach(self.replace());
    }

    /// Has a new process take the slot's place.
    async fn replace(mut self) {
        let Some(slot) = self.slot.take() else { return };
        let index = slot.index;
        // Groups that cannot be used again are left to their drop; new ones are made.
        let _ = slot.leaf.kill();
        drop(slot);
        match self.pool.new_slot(index).await {
            Ok(mut slot) => {
                slot.due = self.next.take().filter(|_| self.pool.prepares);
                self.pool.put(slot);
            }
            Err(error) => {
                self.pool.present.add_permits(1);
                tracing::error!(index, %error, "a sandbox slot could not be replaced");
            }
        }
    }

    /// Makes the slot ready for the next run and returns it; a new process takes the place of one
    /// that is lost.
    pub(crate) async fn settle(mut self, lost: bool) {
        // The run is over; nobody has to wait for what is still to be done.
        self.permit = None;
        let pool = self.pool.clone();
        let spare = self.missed.take().filter(|_| pool.prepares).zip(pool.reserve(pool.spare));
        if lost || self.slot().recover().await.is_err() {
            self.replace().await;
        } else {
            self.slot().due = self.next.take().filter(|_| pool.prepares);
            self.give_back();
        }
        while let Some((class, lease)) = pool.due() {
            log(lease.prepare(class).await);
        }
        if let Some((class, reserved)) = spare {
            log(pool.add(reserved, &class).await);
        }
    }
}

/// A lease of somebody who may stop waiting for what else is needed.
pub(crate) struct Unused(Option<Lease>);

impl Unused {
    pub(crate) fn used(mut self) -> Lease {
        self.0.take().expect("a lease is taken once")
    }
}

impl Drop for Unused {
    fn drop(&mut self) {
        if let Some(lease) = self.0.take() {
            lease.give_back();
        }
    }
}
