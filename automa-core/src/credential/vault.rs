//! The vault of an open Automa: its master keys in memory, and which of them seals.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
};

use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    KeyId, KeyOrigin, KeyRecord, KeySource, MasterKeys, VaultError,
    master::{self, KEY_FILE, MasterKey, PASSPHRASE_MIN},
    reveal::Attempts,
};
use crate::{
    Error,
    clock::Clock,
    error::StoreError,
    store::{self, Store, change::Change},
};

/// By which master keys data keys are wrapped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keys {
    /// The first is what new ones are wrapped by; others are being replaced by it.
    pub(crate) used: Vec<KeyRecord>,
    /// How many versions the others wrapped when they began to be replaced.
    pub(super) total: u64,
    /// Keys that nothing is wrapped by any more: they leave the file.
    pub(super) retired: Vec<KeyId>,
}

/// The master keys of an open Automa.
#[derive(Debug)]
pub(crate) struct Vault {
    /// Why nothing can be sealed or opened.
    ring: Result<RwLock<Ring>, VaultError>,
    /// The file of keys; `None` in memory.
    file: Option<PathBuf>,
    /// Whether new keys are made here.
    in_file: bool,
    /// How often who wanted to see a secret.
    pub(super) attempts: Attempts,
}

#[derive(Debug)]
struct Ring {
    /// What seals from now on.
    current: Arc<MasterKey>,
    /// What can be opened with, the current one included.
    all: Vec<Arc<MasterKey>>,
}

impl Vault {
    /// Finds the keys that the store needs, and makes the first one. Blocks: with a passphrase for a
    /// part of a second.
    pub(crate) fn open(
        store: &Store,
        directory: Option<&Path>,
        keys: &MasterKeys,
        clock: &dyn Clock,
    ) -> Self {
        let file = directory.map(|directory| directory.join(KEY_FILE));
        let ring = store
            .look(store::credentials::keys)
            .map_err(|error| VaultError::Unknown { reason: error.to_string() })
            .and_then(|used| Ring::find(used.as_ref(), file.clone(), keys, clock));
        let in_file = matches!(keys.current, KeySource::File);
        Self { ring: ring.map(RwLock::new), file, in_file, attempts: Attempts::default() }
    }

    /// Whether its keys are there.
    pub(crate) fn check(&self) -> Result<(), VaultError> {
        self.with_ring(|_| ())
    }

    /// The key of this id.
    pub(super) fn key(&self, id: KeyId) -> Result<Arc<MasterKey>, VaultError> {
        let found = self.with_ring(|ring| ring.all.iter().find(|key| key.id() == id).cloned())?;
        found.ok_or(VaultError::KeyMissing { id })
    }

    /// The key that seals, as the store knows it from this change on. Within a change, so that none is
    /// used that a rotation has done away with meanwhile.
    pub(super) fn sealing_key(
        &self,
        change: &mut Change,
        now: Timestamp,
    ) -> crate::Result<Arc<MasterKey>> {
        let key = self.with_ring(|ring| Arc::clone(&ring.current))?;
        note_current(change, &key, now)?;
        Ok(key)
    }

    /// Whether new keys are made here, rather than given from outside.
    pub(super) fn is_in_file(&self) -> bool {
        self.in_file
    }

    /// Makes a new key, durable in the file beside those that are `used`, which seals from now on. Blocks.
    pub(super) fn add_key(&self, used: &[KeyRecord], clock: &dyn Clock) -> crate::Result<()> {
        if !self.in_file {
            return Err(Error::CannotRotate(
                "the master key is given from outside: start with another one, and the present one as \
                 the former",
            ));
        }
        let mut ring = self.ring_mut()?;
        let key = Arc::new(MasterKey::generate(clock, KeyOrigin::File));
        let is_used = |key: &&Arc<MasterKey>| used.iter().any(|used| used.id == key.id());
        let mut all = vec![Arc::clone(&key)];
        // One that was made before a crash and never used goes.
        all.extend(ring.all.iter().filter(is_used).cloned());
        self.write_file(&all)?;
        *ring = Ring { current: key, all };
        Ok(())
    }

    /// Forgets keys that nothing is wrapped by any more, also in the file. Blocks.
    pub(super) fn forget(&self, retired: &[KeyId]) -> crate::Result<()> {
        let mut ring = self.ring_mut()?;
        let current = ring.current.id();
        let is_retired = |key: &MasterKey| key.id() != current && retired.contains(&key.id());
        if ring.all.iter().any(|key| is_retired(key)) {
            let all: Vec<_> = ring.all.iter().filter(|key| !is_retired(key)).cloned().collect();
            self.write_file(&all)?;
            ring.all = all;
        }
        Ok(())
    }

    /// Writes those keys that belong there.
    fn write_file(&self, all: &[Arc<MasterKey>]) -> Result<(), VaultError> {
        let Some(path) = &self.file else { return Ok(()) };
        let mut keys: Vec<&MasterKey> = Vec::new();
        for key in all.iter().filter(|key| key.origin == KeyOrigin::File) {
            if keys.iter().all(|other| other.id() != key.id()) {
                keys.push(key);
            }
        }
        if keys.is_empty() { master::remove_file(path) } else { master::write_file(path, keys) }
    }

    fn ring_mut(&self) -> Result<RwLockWriteGuard<'_, Ring>, VaultError> {
        let ring = self.ring.as_ref().map_err(Clone::clone)?;
        Ok(ring.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_ring<T>(&self, look: impl FnOnce(&Ring) -> T) -> Result<T, VaultError> {
        let ring = self.ring.as_ref().map_err(Clone::clone)?;
        Ok(look(&ring.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Has the store know that `key` is what seals.
fn note_current(change: &mut Change, key: &MasterKey, now: Timestamp) -> Result<(), StoreError> {
    let mut keys = store::credentials::keys(change)?.unwrap_or_default();
    if keys.used.first().is_some_and(|first| first.id == key.id()) {
        return Ok(());
    }
    keys.used.retain(|old| old.id != key.id());
    keys.retired.retain(|old| *old != key.id());
    keys.total = 0;
    for old in &keys.used {
        keys.total += store::credentials::wrapped_by(change, old.id, usize::MAX)?.len() as u64;
    }
    keys.used.insert(0, KeyRecord { id: key.id(), origin: key.origin, since: now });
    store::credentials::put_keys(change, &keys)
}

impl Ring {
    fn find(
        used: Option<&Keys>,
        file: Option<PathBuf>,
        keys: &MasterKeys,
        clock: &dyn Clock,
    ) -> Result<Self, VaultError> {
        let used = used.map_or(&[][..], |keys| &keys.used);
        let mut all = Vec::new();
        if let Some(former) = &keys.former {
            all.extend(read(former, file.as_deref(), used)?);
        }
        let mine = read(&keys.current, file.as_deref(), used)?;
        // What the store knows as its current one goes on to be that, if it is of this source.
        let goes_on =
            used.first().and_then(|first| mine.iter().position(|key| key.id() == first.id));
        let current = goes_on.or((!mine.is_empty()).then_some(0));
        let current = current.map(|at| Arc::clone(&mine[at]));
        all.extend(mine);
        if !matches!(keys.current, KeySource::File)
            && let Some(file) = &file
        {
            all.extend(master::read_file(file)?.into_iter().map(Arc::new));
        }
        if let Some(missing) = used.iter().find(|used| all.iter().all(|key| key.id() != used.id)) {
            return Err(missing_key(missing, file));
        }
        let current = match current {
            Some(key) => key,
            None => Arc::new(make(&keys.current, file.as_deref(), clock)?),
        };
        all.push(Arc::clone(&current));
        Ok(Self { current, all })
    }
}

/// The keys of a source: several are in a file while one replaces another.
fn read(
    source: &KeySource,
    file: Option<&Path>,
    used: &[KeyRecord],
) -> Result<Vec<Arc<MasterKey>>, VaultError> {
    let keys = match source {
        KeySource::File => file.map(master::read_file).transpose()?.unwrap_or_default(),
        KeySource::Bytes(bytes) => {
            let bytes = <[u8; 32]>::try_from(bytes.expose_secret());
            let bytes = Zeroizing::new(bytes.map_err(|_| VaultError::WeakKey)?);
            vec![MasterKey::new(bytes, KeyOrigin::Given)]
        }
        KeySource::Passphrase(passphrase) => {
            if passphrase.expose_secret().chars().count() < PASSPHRASE_MIN {
                return Err(VaultError::WeakPassphrase);
            }
            let with_salt =
                used.iter().filter(|it| matches!(it.origin, KeyOrigin::Passphrase { .. }));
            let derived: Result<Vec<_>, VaultError> = with_salt
                .map(|known| Ok((known.id, MasterKey::derive(passphrase, known.origin)?)))
                .collect();
            // What another passphrase made is not this one's.
            derived?.into_iter().filter(|(id, key)| key.id() == *id).map(|(_, key)| key).collect()
        }
    };
    Ok(keys.into_iter().map(Arc::new).collect())
}

/// The first key of a source that has none yet.
fn make(
    source: &KeySource,
    file: Option<&Path>,
    clock: &dyn Clock,
) -> Result<MasterKey, VaultError> {
    if let KeySource::Passphrase(passphrase) = source {
        return MasterKey::derive(passphrase, master::new_salt(clock));
    }
    let key = MasterKey::generate(clock, KeyOrigin::File);
    if let Some(path) = file {
        master::write_file(path, [&key])?;
    }
    Ok(key)
}

fn missing_key(missing: &KeyRecord, file: Option<PathBuf>) -> VaultError {
    VaultError::WrongKey {
        id: missing.id,
        origin: missing.origin,
        file: file.unwrap_or_else(|| PathBuf::from(KEY_FILE)),
    }
}

#[cfg(test)]
mod tests;
