//! Who acts by a key, and how often each is used.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::{ApiKey, KeyInUse, Usage, token};
use crate::{
    Automa, Error, Result,
    actor::{Actor, Origin},
    audit::{Action, Entry},
    error::StoreError,
    id::{ApiKeyId, UserId},
    store::{
        self,
        change::{Change, View},
    },
    user::User,
};

/// Why a key is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A part is missing or wrong.
    #[error("this is not an API key: it was cut off, or a letter of it is wrong")]
    Malformed,
    /// There is no such key.
    #[error("there is no such API key; it may have been deleted")]
    Unknown,
    /// It is off.
    #[error("this API key is switched off")]
    Off,
    /// It has expired.
    #[error("this API key has expired")]
    Expired,
    /// It came from elsewhere.
    #[error("this API key is not accepted from this address")]
    Address,
    /// Its owner is gone or disabled.
    #[error("the user for whom this API key acts is gone or disabled")]
    Owner,
}

/// Keys as those show them who call.
#[derive(Debug, Clone, Copy)]
pub struct Keyring<'a> {
    automa: &'a Automa,
}

impl<'a> Keyring<'a> {
    pub(crate) fn new(automa: &'a Automa) -> Self {
        Self { automa }
    }

    /// Who acts by a key that was shown from an address, where that is known: asked anew for each call,
    /// so that what becomes of the key and its owner holds at once.
    ///
    /// # Errors
    ///
    /// [`Error::WrongKey`] and the store's.
    pub fn resume(&self, key: &SecretString, address: Option<IpAddr>) -> Result<(User, Actor)> {
        if !token::is_whole(key.expose_secret()) {
            return Err(Refusal::Malformed.into());
        }
        let (hash, now) = (token::hash(key), self.automa.clock.now());
        let found = self.automa.store.look(|view| {
            let Some(key) = store::api_keys::find(view, hash)? else { return Ok(None) };
            let found = accepted(view, &key, address, now)?;
            Ok::<_, Error>(Some((key, found)))
        })?;
        let (key, found) = found.ok_or(Refusal::Unknown)?;
        let uses = &self.automa.key_uses;
        let owner = found.inspect_err(|_| uses.refused(key.id))?;
        uses.accepted(key.id, now, address);
        let actor = Actor::user(owner.id, owner.username.clone(), owner.role, Origin::Api);
        let ApiKey { id, name, scope, .. } = key;
        Ok((owner, Actor { key: Some(Arc::new(KeyInUse { id, name, scope })), ..actor }))
    }

    /// Whose a key is that would be accepted from an address, if it would; without counting a use.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn owner(&self, key: &SecretString, address: Option<IpAddr>) -> Result<Option<UserId>> {
        if !token::is_whole(key.expose_secret()) {
            return Ok(None);
        }
        let (hash, now) = (token::hash(key), self.automa.clock.now());
        self.automa.store.look(|view| {
            let Some(key) = store::api_keys::find(view, hash)? else { return Ok(None) };
            Ok(accepted(view, &key, address, now)?.ok().map(|user| user.id))
        })
    }

    /// Whether a key that was accepted still is, from everywhere.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn is_good(&self, id: ApiKeyId) -> Result<bool> {
        let now = self.automa.clock.now();
        self.automa.store.look(|view| {
            let Some(key) = store::api_keys::get(view, id)? else { return Ok(false) };
            Ok(accepted(view, &ApiKey { networks: Vec::new(), ..key }, None, now)?.is_ok())
        })
    }
}

/// For whom a key acts, or why it does not.
fn accepted(
    view: &impl View,
    key: &ApiKey,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<Result<User, Refusal>, StoreError> {
    let known = || address.is_some_and(|it| key.networks.iter().any(|range| range.contains(it)));
    let refusal = if !key.enabled {
        Some(Refusal::Off)
    } else if key.expires_at.is_some_and(|at| at <= now) {
        Some(Refusal::Expired)
    } else if !key.networks.is_empty() && !known() {
        Some(Refusal::Address)
    } else {
        None
    };
    if let Some(refusal) = refusal {
        return Ok(Err(refusal));
    }
    let owner = store::users::get(view, key.owner)?.filter(|owner| owner.disabled_at.is_none());
    Ok(owner.ok_or(Refusal::Owner))
}

/// How keys have been used since that was last written.
///
/// A call of the API does not wait for a disk: what happens is counted here and written each minute.
#[derive(Debug, Default)]
pub(crate) struct Uses(Mutex<HashMap<ApiKeyId, Usage>>);

impl Uses {
    fn pending(&self) -> MutexGuard<'_, HashMap<ApiKeyId, Usage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accepted(&self, id: ApiKeyId, now: Timestamp, address: Option<IpAddr>) {
        let mut pending = self.pending();
        let usage = pending.entry(id).or_default();
        usage.calls += 1;
        usage.last_used_at = Some(now);
        usage.last_address = address.map(|it| it.to_string());
    }

    fn refused(&self, id: ApiKeyId) {
        self.pending().entry(id).or_default().refused += 1;
    }

    /// What was stored, with what came since.
    pub(super) fn over(&self, id: ApiKeyId, stored: Usage) -> Usage {
        match self.pending().get(&id) {
            Some(since) => stored.and(since),
            None => stored,
        }
    }

    /// Writes what came since it was last written, and of refusals an entry of the audit log.
    pub(crate) async fn write(&self, automa: &Automa) -> Result<()> {
        let since: Vec<_> = self.pending().drain().collect();
        if since.is_empty() {
            return Ok(());
        }
        let clock = &*automa.clock;
        let of = |(id, usage): &(ApiKeyId, Usage)| {
            let entry = |count| {
                let actor = Actor { origin: Origin::Api, ..Actor::embedder("API key") };
                Entry::new(clock, &actor, Action::ApiKeyRefused(*id, count))
            };
            (*id, usage.clone(), (usage.refused > 0).then(|| entry(usage.refused)))
        };
        let rows: Vec<_> = since.iter().map(of).collect();
        let change = move |change: &mut Change| {
            for (id, usage, entry) in &rows {
                if store::api_keys::get(change, *id)?.is_some() {
                    let usage = store::api_keys::usage(change, *id)?.and(usage);
                    store::api_keys::put_usage(change, *id, &usage)?;
                    entry.iter().try_for_each(|entry| store::audit::add(change, entry))?;
                }
            }
            Ok(())
        };
        let written = automa.store.write(change).await;
        if written.is_err() {
            // It is written with what comes next.
            let mut pending = self.pending();
            for (id, usage) in since {
                let newer = pending.remove(&id).unwrap_or_default();
                pending.insert(id, usage.and(&newer));
            }
        }
        written
    }
}

impl Usage {
    /// With what came later.
    fn and(self, later: &Self) -> Self {
        let newer = later.last_used_at.is_some();
        let last_address = if newer { later.last_address.clone() } else { self.last_address };
        Self {
            calls: self.calls + later.calls,
            refused: self.refused + later.refused,
            last_used_at: later.last_used_at.or(self.last_used_at),
            last_address,
        }
    }
}
