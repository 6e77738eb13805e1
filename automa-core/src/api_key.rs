//! API keys: what programs show in place of a password.
//!
//! A key acts for the user whose it is, within its scope: it may do what both the user's role, as it is at
//! that moment, and its scope allow. Only the SHA-256 of a key is kept: it has 256 random bits, which
//! nobody finds by trying, so that a slow hash would only make each call slow.

mod keyring;
#[cfg(test)]
mod tests;
mod token;

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub(crate) use self::keyring::Uses;
pub use self::{
    keyring::{Keyring, Refusal},
    token::PREFIX,
};
use crate::{
    Automa, Error, Result,
    actor::{Actor, Lack, Permission, Role},
    address::Network,
    audit::{Action, Entry},
    error::FieldError,
    event::Event,
    id::{ApiKeyId, ScriptId, UserId},
    page::{Page, PageRequest},
    quota,
    script::{self, Sight},
    store::{
        self,
        change::{Change, Snapshot, View},
    },
    user,
};

/// Most characters of a key's name.
pub const NAME_MAX: usize = 100;
/// Most scripts that a key is made for.
pub const SCRIPTS_MAX: usize = 200;
/// Most networks that a key is accepted from.
pub const NETWORKS_MAX: usize = 50;

/// What a key for chosen scripts can be allowed: to read and run these.
const OF_SCRIPTS: [Permission; 3] =
    [Permission::ReadScripts, Permission::ReadExecutions, Permission::Execute];

/// What a key leaves of what its owner may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Nothing but this.
    pub permissions: BTreeSet<Permission>,
    /// Nothing but these scripts and their executions, which it can be allowed to read and to run.
    pub scripts: Option<BTreeSet<ScriptId>>,
}

impl Default for Scope {
    /// To run all scripts, and see what becomes of that.
    fn default() -> Self {
        Self { permissions: OF_SCRIPTS.into(), scripts: None }
    }
}

/// An API key, without what it is proven by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// What it is for, 1 to 100 characters.
    pub name: String,
    /// For whom it acts.
    pub owner: UserId,
    /// Its last four characters, by which it is recognised.
    pub ending: String,
    /// What it may do.
    pub scope: Scope,
    /// From where it is accepted; from everywhere when there is nothing in it.
    pub networks: Vec<Network>,
    /// When it was created.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub created_at: Timestamp,
    /// Until when it is accepted.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    pub expires_at: Option<Timestamp>,
    /// Whether it is accepted.
    pub enabled: bool,
}

/// How a key has been used. What happened within the last minute is lost if Automa is killed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// How many calls it was accepted for.
    pub calls: u64,
    /// How many it was refused for: off, expired, or from elsewhere.
    pub refused: u64,
    /// When it was last accepted.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    pub last_used_at: Option<Timestamp>,
    /// From which address, where that is known.
    pub last_address: Option<String>,
}

/// A key with its owner's name and its use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyNow {
    /// The key.
    pub key: ApiKey,
    /// The name of its owner; empty if there is no such user any more.
    pub owner_name: String,
    /// How it has been used.
    pub usage: Usage,
}

/// A key by which somebody acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInUse {
    /// Its id.
    pub id: ApiKeyId,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
}

impl KeyInUse {
    /// Why it may not do something; `None` if it may.
    pub(crate) fn lack(&self, permission: Permission) -> Option<Lack> {
        let name = || self.name.clone();
        if permission == Permission::ManageAccount {
            Some(Lack::Person(name()))
        } else if !self.scope.permissions.contains(&permission) {
            Some(Lack::Scope(name()))
        } else {
            None
        }
    }
}

/// A key to be made, or what one is to be from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// See [`ApiKey::name`].
    pub name: String,
    /// See [`ApiKey::scope`]. At least one permission, none that the owner's role has not, and for at most
    /// 200 scripts.
    pub scope: Scope,
    /// See [`ApiKey::networks`]. At most 50.
    pub networks: Vec<Network>,
    /// See [`ApiKey::expires_at`]. In the future.
    pub expires_at: Option<Timestamp>,
    /// See [`ApiKey::enabled`].
    pub enabled: bool,
}

impl NewKey {
    /// A key that may run everything, for ever and from everywhere.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let (scope, networks) = (Scope::default(), Vec::new());
        Self { name: name.into(), scope, networks, expires_at: None, enabled: true }
    }

    /// Tells what cannot be accepted of a user of this role.
    fn check(&self, role: Role) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut wrong = |field, reason: String| errors.push(FieldError::new(field, reason));
        let length = self.name.trim().chars().count();
        if length == 0
            || self.name.chars().count() > NAME_MAX
            || self.name.contains(char::is_control)
        {
            wrong("name", format!("must have 1 to {NAME_MAX} characters, in one line"));
        }
        let Scope { permissions, scripts } = &self.scope;
        if permissions.is_empty() {
            wrong("scopes", "must name what the key may do: at least one".to_owned());
        }
        for permission in permissions {
            let name = permission.name();
            if *permission == Permission::ManageAccount {
                wrong("scopes", format!("`{name}` is for people who sign in, and for no key"));
            } else if role < permission.least_role() {
                let reason = format!("`{name}` is more than a user of role {role} may");
                wrong("scopes", reason);
            } else if scripts.is_some() && !OF_SCRIPTS.contains(permission) {
                let reason = format!(
                    "`{name}` is not for a key of chosen scripts, which may have \
                                      read_scripts, read_executions and execute"
                );
                wrong("scopes", reason);
            }
        }
        let count = scripts.as_ref().map_or(1, BTreeSet::len);
        if !(1..=SCRIPTS_MAX).contains(&count) {
            wrong("script_ids", format!("must be 1 to {SCRIPTS_MAX} scripts, or none for all"));
        }
        if self.networks.len() > NETWORKS_MAX {
            wrong("networks", format!("must be at most {NETWORKS_MAX}"));
        }
        errors
    }

    /// Tells which scripts are not there for whoever chooses them.
    fn check_scripts(&self, view: &impl View, sight: &Sight) -> Result<()> {
        for id in self.scope.scripts.iter().flatten() {
            match script::find_seen(view, sight, *id) {
                Err(Error::NotFound { .. }) => {
                    let reason = format!("there is no script `{id}`");
                    return Err(Error::Invalid(vec![FieldError::new("script_ids", reason)]));
                }
                found => drop(found?),
            }
        }
        Ok(())
    }
}

/// API keys as one actor may manage them: their own, and admins everybody's.
#[derive(Debug, Clone, Copy)]
pub struct ApiKeys<'a> {
    automa: &'a Automa,
    actor: &'a Actor,
}

impl<'a> ApiKeys<'a> {
    pub(crate) fn new(automa: &'a Automa, actor: &'a Actor) -> Self {
        Self { automa, actor }
    }

    /// Makes a key of the actor's own, and tells it, this once.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] for who came by a key, and for the embedding program, for which no key can
    /// act; [`Error::Invalid`]; [`Error::QuotaExceeded`]; and the store's.
    pub async fn create(&self, new: NewKey) -> Result<(ApiKey, SecretString)> {
        self.actor.require(Permission::ManageAccount)?;
        let owner = self.owner()?;
        let (clock, actor, sight) = (&*self.automa.clock, self.actor, Sight::of(self.actor));
        let now = clock.now();
        let mut errors = new.check(actor.role);
        if new.expires_at.is_some_and(|at| at <= now) {
            errors.push(FieldError::new("expires_at", "must be in the future"));
        }
        FieldError::none_of(errors)?;
        let (secret, ending) = token::generate(clock);
        let hash = token::hash(&secret);
        let NewKey { name, scope, networks, expires_at, enabled } = new.clone();
        let (id, created_at) = (ApiKeyId::generate(clock), now);
        let name = name.trim().to_owned();
        let key =
            ApiKey { id, name, owner, ending, scope, networks, created_at, expires_at, enabled };
        let entry = Entry::new(clock, actor, Action::ApiKeyCreated(id));
        let change = move |change: &mut Change| {
            new.check_scripts(change, &sight)?;
            quota::check_api_keys(change, owner)?;
            store::api_keys::insert(change, &key, hash)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::ApiKeyChanged(id));
            Ok::<_, Error>(key.clone())
        };
        Ok((self.automa.store.write(change).await?, secret))
    }

    /// Says what a key is from now on.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], [`Error::Invalid`], and the store's.
    pub async fn update(&self, id: ApiKeyId, new: NewKey) -> Result<ApiKey> {
        self.actor.require(Permission::ManageAccount)?;
        let (clock, reach) = (&*self.automa.clock, self.reach());
        let (now, sight) = (clock.now(), Sight::of(self.actor));
        let entry = Entry::new(clock, self.actor, Action::ApiKeyChanged(id));
        let change = move |change: &mut Change| {
            let old = find(change, reach, id)?;
            let mut errors = new.check(user::get(change, old.owner)?.role);
            if new.expires_at != old.expires_at && new.expires_at.is_some_and(|at| at <= now) {
                errors.push(FieldError::new("expires_at", "must be in the future"));
            }
            FieldError::none_of(errors)?;
            if new.scope.scripts != old.scope.scripts {
                new.check_scripts(change, &sight)?;
            }
            let NewKey { name, scope, networks, expires_at, enabled } = new.clone();
            let name = name.trim().to_owned();
            let key = ApiKey { name, scope, networks, expires_at, enabled, ..old };
            store::api_keys::put(change, &key)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::ApiKeyChanged(id));
            Ok(key)
        };
        self.automa.store.write(change).await
    }

    /// Removes a key: it is not accepted any more.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn delete(&self, id: ApiKeyId) -> Result<()> {
        self.actor.require(Permission::ManageAccount)?;
        let reach = self.reach();
        let entry = Entry::new(&*self.automa.clock, self.actor, Action::ApiKeyDeleted(id));
        let change = move |change: &mut Change| {
            let key = find(change, reach, id)?;
            store::api_keys::remove(change, &key)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::ApiKeyChanged(id));
            Ok(())
        };
        self.automa.store.write(change).await
    }

    /// One key.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub fn get(&self, id: ApiKeyId) -> Result<KeyNow> {
        self.actor.require(Permission::ManageAccount)?;
        let uses = &self.automa.key_uses;
        self.automa.store.look(|view| now(view, uses, find(view, self.reach(), id)?))
    }

    /// Keys, newest first: one's own, or everybody's.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], of everybody's for all but admins; and the store's.
    pub async fn list(&self, everybodys: bool, page: PageRequest) -> Result<Page<KeyNow>> {
        self.actor.require(Permission::ManageAccount)?;
        if everybodys {
            self.actor.require(Permission::ManageUsers)?;
        }
        let whose = if everybodys { None } else { Some(self.owner()?) };
        let uses = Arc::clone(&self.automa.key_uses);
        let list = move |view: &Snapshot| {
            let Page { items, next_cursor } = store::api_keys::list(view, whose, &page)?;
            let items = items.into_iter().map(|key| now(view, &uses, key));
            Ok(Page { items: items.collect::<Result<_>>()?, next_cursor })
        };
        self.automa.store.read(list).await
    }

    /// For whom a key can act.
    fn owner(&self) -> Result<UserId> {
        self.actor.user.ok_or_else(|| {
            let reason = "an API key acts for a user: sign in as one to make it";
            Error::Invalid(vec![FieldError::new("owner", reason)])
        })
    }

    /// Whose keys the actor manages; `None` is everybody's.
    fn reach(&self) -> Option<UserId> {
        let all = self.actor.require(Permission::ManageUsers).is_ok();
        self.actor.user.filter(|_| !all)
    }
}

/// A key as it is now.
fn now(view: &impl View, uses: &Uses, key: ApiKey) -> Result<KeyNow> {
    let owner_name = store::users::get(view, key.owner)?.map_or(String::new(), |it| it.username);
    let usage = uses.over(key.id, store::api_keys::usage(view, key.id)?);
    Ok(KeyNow { key, owner_name, usage })
}

/// A key that belongs to this user, if it has to.
fn find(view: &impl View, whose: Option<UserId>, id: ApiKeyId) -> Result<ApiKey> {
    let key = store::api_keys::get(view, id)?;
    let key = key.filter(|key| whose.is_none_or(|user| user == key.owner));
    key.ok_or_else(|| Error::NotFound { kind: "API key", id: id.to_string() })
}
