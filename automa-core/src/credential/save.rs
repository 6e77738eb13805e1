//! Creating and changing credentials: each new secret is a version.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    Credential, CredentialNow, Credentials, Data, Kind, Secret, Use, Vault, What, find_seen,
    kind::Parts,
    now,
    open::unseal,
    seal::{Place, Sealed},
};
use crate::{
    Error, Result,
    actor::Permission,
    audit::{Action, Entry},
    clock::Clock,
    error::FieldError,
    event::Event,
    id::CredentialId,
    script::is_line,
    store::{
        self,
        change::{Change, View},
    },
};

/// A credential to be created.
#[derive(Debug, Clone)]
pub struct NewCredential {
    /// See [`Credential::name`].
    pub name: String,
    /// See [`Credential::kind`].
    pub kind: Kind,
    /// What it is made of: [`Kind::fields`]. Fields that are empty are as if they were not there.
    pub data: Data,
    /// See [`Credential::tags`].
    pub tags: Vec<String>,
    /// See [`Credential::expires_at`]: a time to come.
    pub expires_at: Option<Timestamp>,
    /// See [`Credential::revealable`].
    pub revealable: bool,
}

/// What a credential is to become.
#[derive(Debug, Clone)]
pub struct CredentialUpdate {
    /// See [`Credential::name`].
    pub name: String,
    /// See [`Credential::tags`].
    pub tags: Vec<String>,
    /// See [`Credential::expires_at`]. One that is new has to be to come.
    pub expires_at: Option<Timestamp>,
    /// See [`Credential::revealable`]. From write-only it becomes revealable only together with new data,
    /// whose secret fields are then all of them.
    pub revealable: bool,
    /// What it is made of from now on, in a new version; nothing new when `None`. Secret fields that are
    /// not in it stay as they are; those that are empty are removed.
    pub data: Option<Data>,
}

impl NewCredential {
    /// A credential with nothing but what each has.
    pub fn new(name: impl Into<String>, kind: Kind, data: Data) -> Self {
        let (tags, expires_at, revealable) = (Vec::new(), None, false);
        Self { name: name.into(), kind, data, tags, expires_at, revealable }
    }
}

impl CredentialUpdate {
    /// A credential as it is.
    #[must_use]
    pub fn of(credential: Credential) -> Self {
        let Credential { name, tags, expires_at, revealable, .. } = credential;
        Self { name, tags, expires_at, revealable, data: None }
    }
}

fn check(
    name: &str,
    tags: &[String],
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut check = |field: &'static str, right: bool, reason: &str| {
        if !right {
            errors.push(FieldError::new(field, reason));
        }
    };
    check("name", is_line(name, 200), "must be one line of 1 to 200 characters");
    let tagged = tags.len() <= 20 && tags.iter().all(|tag| is_line(tag, 50));
    check("tags", tagged, "must be at most 20, each one line of 1 to 50 characters");
    check("expires_at", expires_at.is_none_or(|at| at > now), "must be a time to come");
    errors
}

/// The parts that data consists of, or everything that is wrong with it and the rest.
fn checked(mut errors: Vec<FieldError>, kind: Kind, data: Data) -> Result<Parts> {
    match kind.check(data) {
        Ok(parts) if errors.is_empty() => return Ok(parts),
        Ok(_) => {}
        Err(more) => errors.extend(more),
    }
    Err(Error::Invalid(errors))
}

/// What seals within a change.
struct Sealer {
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    by: String,
    at: Timestamp,
}

impl Sealer {
    fn seal(&self, change: &mut Change, of: &Credential, parts: &Parts) -> Result<()> {
        let key = self.vault.sealing_key(change, self.at)?;
        let (credential, version) = (of.id, of.version);
        let place = Place { credential, version, kind: of.kind, shown: &parts.shown };
        let secret = Secret {
            number: of.version,
            shown: parts.shown.clone(),
            sealed: Some(Sealed::seal(&key, place, &parts.secret, &*self.clock)),
            made_by: self.by.clone(),
            made_at: self.at,
        };
        Ok(store::credentials::put_version(change, credential, &secret)?)
    }
}

impl Credentials<'_> {
    /// Creates a credential, which belongs to the actor.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::Invalid`], [`Error::Vault`] without a master key, and the store's.
    pub async fn create(&self, new: NewCredential) -> Result<CredentialNow> {
        self.actor.require(Permission::WriteCredentials)?;
        let clock = &*self.automa.clock;
        let at = clock.now();
        let errors = check(&new.name, &new.tags, new.expires_at, at);
        let parts = checked(errors, new.kind, new.data)?;
        let credential = Credential {
            id: CredentialId::generate(clock),
            revision: 1,
            name: new.name,
            kind: new.kind,
            tags: new.tags,
            version: 1,
            expires_at: new.expires_at,
            revealable: new.revealable,
            owner: self.actor.user,
            owner_name: self.actor.name.clone(),
            created_at: at,
            updated_at: at,
        };
        let entry = Entry::new(clock, self.actor, Action::CredentialCreated(credential.id));
        let (it, sealer) = (Use::new(clock, self.actor, What::Created), self.sealer(at));
        let change = move |change: &mut Change| {
            sealer.seal(change, &credential, &parts)?;
            written(change, &credential, &it, &entry)
        };
        self.automa.store.write(change).await
    }

    /// Changes a credential. Data that says something else than before makes a new version, which is
    /// used from then on; the former ones stay until they are destroyed.
    ///
    /// `read` is the revision that the caller has seen: nobody overwrites what they have not read.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create); [`Error::NotFound`]; [`Error::Conflict`] when `read` is not its
    /// revision.
    pub async fn update(
        &self,
        id: CredentialId,
        read: u32,
        update: CredentialUpdate,
    ) -> Result<CredentialNow> {
        self.actor.require(Permission::WriteCredentials)?;
        let clock = &*self.automa.clock;
        let (actor, at, sealer) = (self.actor.clone(), clock.now(), self.sealer(clock.now()));
        let changed = Entry::new(clock, self.actor, Action::CredentialChanged(id));
        let it = Use::new(clock, self.actor, What::Changed);
        let change = move |change: &mut Change| {
            let old = find_seen(change, &actor, id)?;
            if old.revision != read {
                return Err(Error::Conflict { kind: "credential", current: old.revision });
            }
            let parts = update.parts(change, &sealer.vault, &old, at)?;
            let credential = Credential {
                revision: old.revision.saturating_add(1),
                name: update.name.clone(),
                tags: update.tags.clone(),
                version: old.version + u32::from(parts.is_some()),
                expires_at: update.expires_at,
                revealable: update.revealable,
                updated_at: at,
                ..old
            };
            let (mut entry, mut it) = (changed.clone(), it.clone());
            if let Some(parts) = parts {
                entry.action = Action::CredentialVersionAdded(id, credential.version);
                it.what = What::VersionAdded(credential.version);
                sealer.seal(change, &credential, &parts)?;
            }
            written(change, &credential, &it, &entry)
        };
        self.automa.store.write(change).await
    }

    /// Destroys the secret of an old version for good; what is shown of it stays.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`]; [`Error::NotFound`]; [`Error::Invalid`] for the newest, which is in use; and
    /// the store's.
    pub async fn destroy_version(&self, id: CredentialId, number: u32) -> Result<()> {
        self.actor.require(Permission::WriteCredentials)?;
        let clock = &*self.automa.clock;
        let actor = self.actor.clone();
        let it = Use::new(clock, self.actor, What::VersionDestroyed(number));
        let action = Action::CredentialVersionDestroyed(id, number);
        let entry = Entry::new(clock, self.actor, action);
        let change = move |change: &mut Change| {
            let credential = find_seen(change, &actor, id)?;
            let version = store::credentials::version(change, id, number)?;
            let not_found = || Error::NotFound { kind: "version", id: number.to_string() };
            let version = version.ok_or_else(not_found)?;
            if number == credential.version {
                let reason = "is the one in use; save a new secret first, or delete the credential";
                return Err(Error::Invalid(vec![FieldError::new("version", reason)]));
            }
            let destroyed = Secret { sealed: None, ..version };
            store::credentials::put_version(change, id, &destroyed)?;
            store::credentials::used(change, id, &it)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::CredentialChanged(id));
            Ok(())
        };
        self.automa.store.write(change).await
    }

    fn sealer(&self, at: Timestamp) -> Sealer {
        let (vault, clock) = (Arc::clone(&self.automa.vault), Arc::clone(&self.automa.clock));
        Sealer { vault, clock, by: self.actor.name.clone(), at }
    }
}

impl CredentialUpdate {
    /// What the new version consists of, if there is to be one.
    fn parts(
        &self,
        view: &impl View,
        vault: &Vault,
        old: &Credential,
        at: Timestamp,
    ) -> Result<Option<Parts>> {
        let new_end = self.expires_at.filter(|_| self.expires_at != old.expires_at);
        let mut errors = check(&self.name, &self.tags, new_end, at);
        let becomes_revealable = self.revealable && !old.revealable;
        if becomes_revealable && self.data.is_none() {
            let reason = "can be allowed only together with a new secret: what was saved as write-only \
                          stays so";
            errors.push(FieldError::new("revealable", reason));
        }
        let Some(data) = &self.data else {
            FieldError::none_of(errors)?;
            return Ok(None);
        };
        let mut data = data.clone();
        let before = unseal(view, vault, old)?;
        if !becomes_revealable {
            for (name, value) in &before.secret {
                data.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        let parts = checked(errors, old.kind, data)?;
        Ok((becomes_revealable || !parts.says_the_same(&before)).then_some(parts))
    }
}

fn written(
    change: &mut Change,
    credential: &Credential,
    it: &Use,
    entry: &Entry,
) -> Result<CredentialNow> {
    store::credentials::put(change, credential)?;
    store::credentials::used(change, credential.id, it)?;
    store::audit::add(change, entry)?;
    change.emit(Event::CredentialChanged(credential.id));
    now(change, credential.clone())
}
