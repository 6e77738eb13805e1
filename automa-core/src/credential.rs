//! Credentials: secrets that scripts use and nobody sees.
//!
//! | module | what lives there |
//! | --- | --- |
//! | `binding` | which script or job is given which credential |
//! | `kind` | what types there are, and what each is made of |
//! | `save` | creating and changing; each new secret is a version |
//! | `seal` | how a secret becomes bytes, and bound to its place |
//! | `master`, `vault` | master keys: where they come from, and which one seals |
//! | `rotate` | putting another master key in place of the current one |
//! | `open` | opening, for a use |
//! | `reveal` | showing a secret to its owner |
//! | `test` | whether one could be used now |
//! | `trail` | what a credential was used for, and what became of it |
//!
//! # Who can read what, and when
//!
//! A credential is there for its **owner** and for **admins**; for everybody else it is as if it did not
//! exist. What of it is not secret (a user name, a host) may be read by both. The secret is write-only:
//!
//! | who has | reads secrets |
//! | --- | --- |
//! | a copy of the store, a backup, the disk | no: they are sealed, and the key is not in the store |
//! | write access to the store's file | no, and moves none elsewhere: what is sealed is bound to its credential, version, field, type, and to what is shown beside it. Such a one can bring back an older state |
//! | the store and the master key | all |
//! | the owner's session | those that were saved as revealable, with the owner's password, five times a minute; each time is on record |
//! | an admin's session | none; but an admin may change and delete all, and give them to scripts, which is on record |
//! | a script that a credential is bound to | that one, while it runs |
//! | root on the host, or the server's memory | what is in use at that moment, and the master key |
//!
//! Write-only is for ever: a credential can be made revealable only together with a new secret. Secrets are
//! wiped from memory after use where this crate holds them; of what passes through a request's body,
//! a JSON parser or the kernel, copies may remain in freed memory of the server until they are
//! overwritten. The server is not dumped and swapped only where the host does so.
//!
//! An expired credential is not given to anything. Deleting one, or destroying an old version, removes the
//! sealed bytes; the file may hold them, unreadable without the master key, until their page is used again.

mod binding;
mod key_file;
mod kind;
mod master;
mod open;
mod reach;
mod reveal;
mod rotate;
mod save;
mod seal;
mod test;
mod trail;
mod vault;

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    binding::{BINDINGS_MAX, Binding, BindingNow, Holder, NewBinding},
    kind::{Data, FIELD_MAX, Field, Format, Kind, OBJECT, UnknownKind},
    master::{KEY_FILE, KeyId, KeyOrigin, KeyRecord, KeySource, MasterKeys, PASSPHRASE_MIN},
    open::{Opened, OpenedField},
    reveal::REVEALS_A_MINUTE,
    rotate::Rotation,
    save::{CredentialUpdate, NewCredential},
    test::Tested,
    trail::{Delivery, Given, UnknownDelivery, Usage, Use, What},
};
pub(crate) use self::{
    open::open,
    rotate::Rotator,
    seal::Sealed,
    vault::{Keys, Vault},
};
use crate::{
    Automa, Error, Result,
    actor::{Actor, Permission, Role},
    audit::{Action, Entry},
    event::Event,
    id::{CredentialId, UserId},
    page::{Page, PageRequest},
    store::{
        self,
        change::{Change, View},
    },
};

/// How long before its end a credential is said to expire soon, in days.
pub const EXPIRES_SOON_DAYS: i64 = 14;

/// What is known of a credential, apart from what it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// How often it was saved, from 1.
    pub revision: u32,
    /// Its name, one line of 1 to 200 characters.
    pub name: String,
    /// Its type, which never changes.
    pub kind: Kind,
    /// Words to find it by: at most 20 of 1 to 50 characters.
    pub tags: Vec<String>,
    /// The number of its newest version, which is the one that is used.
    pub version: u32,
    /// From when on it is not given to anything.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    pub expires_at: Option<Timestamp>,
    /// Whether its owner may see its secret.
    pub revealable: bool,
    /// Whose it is, unless the embedding program created it.
    pub owner: Option<UserId>,
    /// How they were named then.
    pub owner_name: String,
    /// When it was created.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub created_at: Timestamp,
    /// When it was last saved.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub updated_at: Timestamp,
}

impl Credential {
    /// What its end means at `now`.
    #[must_use]
    pub fn expiry(&self, now: Timestamp) -> Expiry {
        let soon = now.saturating_add(jiff::SignedDuration::from_hours(24 * EXPIRES_SOON_DAYS));
        match self.expires_at {
            Some(at) if at <= now => Expiry::Expired,
            Some(at) if soon.is_ok_and(|soon| at <= soon) => Expiry::Soon,
            _ => Expiry::Fine,
        }
    }
}

/// Whether a credential's time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expiry {
    /// It has none, or it is far.
    Fine,
    /// It will be within [`EXPIRES_SOON_DAYS`].
    Soon,
    /// It is.
    Expired,
}

/// One version of what a credential is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Its number, from 1.
    pub number: u32,
    /// The fields that are not secret, by name.
    pub shown: Vec<(String, String)>,
    /// The others; `None` once they were destroyed.
    pub(crate) sealed: Option<Sealed>,
    /// Who made it, as named then.
    pub made_by: String,
    /// When.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub made_at: Timestamp,
}

impl Secret {
    /// Whether nothing of it can be used any more.
    #[must_use]
    pub fn is_destroyed(&self) -> bool {
        self.sealed.is_none()
    }
}

/// A credential as things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialNow {
    /// The credential.
    pub credential: Credential,
    /// How often and when it was used last.
    pub usage: Usage,
    /// The fields of its newest version that are not secret, by name.
    pub shown: Vec<(String, String)>,
}

/// Which credentials to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this type.
    pub kind: Option<Kind>,
    /// Only those with this tag.
    pub tag: Option<String>,
    /// Only those of this expiry.
    pub expiry: Option<Expiry>,
    /// Only those whose name contains this, in any case of its letters.
    pub name: String,
}

impl Filter {
    fn takes(&self, it: &Credential, now: Timestamp) -> bool {
        self.kind.is_none_or(|kind| it.kind == kind)
            && self.tag.as_ref().is_none_or(|tag| it.tags.contains(tag))
            && self.expiry.is_none_or(|expiry| it.expiry(now) == expiry)
            && it.name.to_lowercase().contains(&self.name.to_lowercase())
    }
}

/// Whose credentials an actor sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Everybody's.
    All,
    /// Those of one user, or what belongs to none.
    Of(Option<UserId>),
}

impl Whose {
    fn seen_by(actor: &Actor) -> Self {
        if actor.role == Role::Admin { Self::All } else { Self::Of(actor.user) }
    }
}

/// Why secrets cannot be sealed or opened: the operator's to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// What is sealed is not what was sealed there.
    #[error(
        "version {version} of the credential {credential} cannot be opened: what is stored of it was \
         damaged or changed; save its secret anew, or restore a backup"
    )]
    Damaged {
        /// The credential.
        credential: CredentialId,
        /// Which of its versions.
        version: u32,
    },
    /// A record names a master key that nobody knows.
    #[error("a secret is sealed by the master key {id}, which is not here any more")]
    KeyMissing {
        /// Its id.
        id: KeyId,
    },
    /// The master key is not the one that secrets are sealed by.
    #[error("the credentials here are sealed by the master key {id}, and this is not it: {}",
        wrong_key(*.origin, .file))]
    WrongKey {
        /// The id of the one that is needed.
        id: KeyId,
        /// Where it comes from.
        origin: KeyOrigin,
        /// The file that it would be in.
        file: PathBuf,
    },
    /// The file of master keys cannot be used.
    #[error("the master key in {} cannot be used: {reason}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// What was given is no key.
    #[error("a master key has 32 bytes: 64 hexadecimal digits, or 44 characters of base64")]
    WeakKey,
    /// What was given is no passphrase.
    #[error("the passphrase of the master key must have at least 16 characters")]
    WeakPassphrase,
    /// There is not enough memory.
    #[error("no key could be computed from the passphrase: it takes 64 MiB of memory")]
    Derivation,
    /// The store could not be asked.
    #[error("the store does not tell which master key is needed: {reason}")]
    Unknown {
        /// What failed.
        reason: String,
    },
}

fn wrong_key(origin: KeyOrigin, file: &std::path::Path) -> String {
    match origin {
        KeyOrigin::File => {
            format!("restore the file {} that was made with them", file.display())
        }
        KeyOrigin::Given => {
            "give the key in AUTOMA_MASTER_KEY that was given before, or, to replace it, \
                             in AUTOMA_MASTER_KEY_OLD"
                .to_owned()
        }
        KeyOrigin::Passphrase { .. } => {
            "give the passphrase in AUTOMA_MASTER_PASSPHRASE that was given \
                                         before, or, to replace it, in AUTOMA_MASTER_PASSPHRASE_OLD"
                .to_owned()
        }
    }
}

/// Credentials as one actor may use them.
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'a> {
    automa: &'a Automa,
    actor: &'a Actor,
}

impl<'a> Credentials<'a> {
    pub(crate) fn new(automa: &'a Automa, actor: &'a Actor) -> Self {
        Self { automa, actor }
    }

    /// One credential.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], also for somebody else's, and the store's.
    pub fn get(&self, id: CredentialId) -> Result<CredentialNow> {
        self.actor.require(Permission::ReadCredentials)?;
        self.automa.store.look(|view| now(view, find_seen(view, self.actor, id)?))
    }

    /// One's credentials, newest first; for admins, everybody's.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] and the store's.
    pub async fn list(&self, filter: Filter, page: PageRequest) -> Result<Page<CredentialNow>> {
        self.actor.require(Permission::ReadCredentials)?;
        let (whose, at) = (Whose::seen_by(self.actor), self.automa.clock.now());
        let list = move |view: &_| {
            let takes = |it: &Credential| filter.takes(it, at);
            let Page { items, next_cursor } = store::credentials::list(view, whose, &page, takes)?;
            let items = items.into_iter().map(|it| now(view, it)).collect::<Result<_>>()?;
            Ok(Page { items, next_cursor })
        };
        self.automa.store.read(list).await
    }

    /// All versions, newest first.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn versions(&self, id: CredentialId) -> Result<Vec<Secret>> {
        self.actor.require(Permission::ReadCredentials)?;
        self.automa.store.look(|view| {
            find_seen(view, self.actor, id)?;
            Ok(store::credentials::versions(view, id)?)
        })
    }

    /// Deletes a credential with all of its versions. Its uses can still be read by admins.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`]; [`Error::CredentialBound`] as long as a script or job
    /// is given it; and the store's.
    pub async fn delete(&self, id: CredentialId) -> Result<()> {
        self.actor.require(Permission::WriteCredentials)?;
        let clock = &*self.automa.clock;
        let (actor, it) = (self.actor.clone(), Use::new(clock, self.actor, What::Deleted));
        let entry = Entry::new(clock, self.actor, Action::CredentialDeleted(id));
        let change = move |change: &mut Change| {
            let credential = find_seen(change, &actor, id)?;
            binding::check_unbound(change, &credential)?;
            store::credentials::remove(change, &credential)?;
            store::credentials::used(change, id, &it)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::CredentialChanged(id));
            Ok::<_, Error>(())
        };
        self.automa.store.write(change).await
    }
}

/// A credential that is expected to be there.
pub(crate) fn find(view: &impl View, id: CredentialId) -> Result<Credential> {
    let not_found = || Error::NotFound { kind: "credential", id: id.to_string() };
    store::credentials::get(view, id)?.ok_or_else(not_found)
}

/// A credential that is there for `actor`: for its owner and for admins.
pub(crate) fn find_seen(view: &impl View, actor: &Actor, id: CredentialId) -> Result<Credential> {
    let credential = find(view, id)?;
    if actor.role == Role::Admin || credential.owner == actor.user {
        Ok(credential)
    } else {
        Err(Error::NotFound { kind: "credential", id: id.to_string() })
    }
}

fn now(view: &impl View, credential: Credential) -> Result<CredentialNow> {
    let usage = store::credentials::usage(view, credential.id)?;
    let newest = store::credentials::version(view, credential.id, credential.version)?;
    let shown = newest.map(|it| it.shown).unwrap_or_default();
    Ok(CredentialNow { credential, usage, shown })
}

#[cfg(test)]
mod tests;
