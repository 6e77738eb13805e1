//! Reset links: how somebody who cannot sign in sets a new password.
//!
//! An admin makes one, or whoever may read the data directory; it is good for one use within a day,
//! and only a hash of what is in it is stored. The old password and all sessions end as it is made:
//! whoever made them necessary has no use of them any more.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use redb::Value as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{User, Users, get, strength};
use crate::{
    Automa, Error, Result,
    actor::{Actor, Origin, Permission},
    audit::{Action, Entry},
    error::FieldError,
    event::Event,
    id::UserId,
    session,
    store::{
        self,
        change::{Change, View},
    },
};

/// How long a link is good.
const LIFETIME: SignedDuration = SignedDuration::from_hours(24);
/// Bytes of a token: whose it is, and what nobody else knows.
const TOKEN: usize = 16 + SECRET;
const SECRET: usize = 32;

/// What is stored of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reset {
    hash: [u8; 32],
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    expires_at: Timestamp,
}

#[cfg(test)]
impl Reset {
    pub(super) fn of(hash: [u8; 32], expires_at: Timestamp) -> Self {
        Self { hash, expires_at }
    }
}

/// A link that was just made; it is shown once.
#[derive(Debug, Clone)]
pub struct ResetLink {
    /// What has to be brought back: 64 characters of `A-Z a-z 0-9 - _`.
    pub token: SecretString,
    /// Until when.
    pub expires_at: Timestamp,
}

impl Users<'_> {
    /// Takes a user's password away, ends all sessions and failed sign-ins of the user, and makes a
    /// link by which a new password is set. A link that was made before is good no more.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] for all but admins, [`Error::NotFound`], and the store's.
    pub async fn reset(&self, id: UserId) -> Result<ResetLink> {
        self.actor.require(Permission::ManageUsers)?;
        let clock = &*self.automa.clock;
        let now = clock.now();
        let expires_at = now.checked_add(LIFETIME).unwrap_or(Timestamp::MAX);
        let mut secret = [0; SECRET];
        clock.fill(&mut secret);
        let token = BASE64_URL_SAFE_NO_PAD.encode([&UserId::as_bytes(&id)[..], &secret].concat());
        let reset = Reset { hash: Sha256::digest(secret).into(), expires_at };
        let entry = Entry::new(clock, self.actor, Action::PasswordResetBegun(id));
        let change = move |change: &mut Change| {
            let old = get(change, id)?;
            let user = User { password_changed_at: now, ..old.clone() };
            store::users::update(change, &old, &user)?;
            store::users::remove_password(change, id)?;
            store::users::put_reset(change, id, &reset)?;
            session::end_all(change, id, None)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::UserChanged(id));
            Ok::<_, Error>(())
        };
        self.automa.store.write(change).await?;
        Ok(ResetLink { token: token.into(), expires_at })
    }
}

/// Reset links on behalf of who has one: the link stands for the right to use it.
#[derive(Debug, Clone, Copy)]
pub struct Resets<'a> {
    automa: &'a Automa,
}

impl<'a> Resets<'a> {
    pub(crate) fn new(automa: &'a Automa) -> Self {
        Self { automa }
    }

    /// Whose link this is.
    ///
    /// # Errors
    ///
    /// [`Error::WrongLink`] when it was used, has expired or never was, and the store's.
    pub fn of(&self, token: &SecretString) -> Result<User> {
        let (id, hash) = read(token).ok_or(Error::WrongLink)?;
        let now = self.automa.clock.now();
        self.automa.store.look(|view| find(view, id, &hash, now))
    }

    /// Sets a password, which uses the link up. Nobody is signed in by that.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of); [`Error::Invalid`] for a password that cannot be accepted;
    /// [`Error::Hashing`].
    pub async fn set_password(
        &self,
        token: &SecretString,
        password: &SecretString,
        origin: Origin,
    ) -> Result<User> {
        let user = self.of(token)?;
        check_password(&user, password, "password")?;
        let clock = &*self.automa.clock;
        let new = self.automa.passwords.hash(clock, password).await?;
        let (id, hash) = read(token).ok_or(Error::WrongLink)?;
        let actor = Actor::user(user.id, user.username, user.role, origin);
        let entry = Entry::new(clock, &actor, Action::PasswordReset(id));
        let now = clock.now();
        let change = move |change: &mut Change| {
            let old = find(change, id, &hash, now)?;
            let user = User { password_changed_at: now, ..old.clone() };
            store::users::remove_reset(change, id)?;
            store::users::update(change, &old, &user)?;
            store::users::put_password(change, id, &new)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::UserChanged(id));
            Ok::<_, Error>(user)
        };
        self.automa.store.write(change).await
    }
}

/// Tells what is wrong with a new password of a user.
pub(super) fn check_password(
    user: &User,
    password: &SecretString,
    field: &'static str,
) -> Result<()> {
    let check = strength::check(password.expose_secret(), &user.username, &user.email);
    check.map_err(|reason| Error::Invalid(vec![FieldError::new(field, reason)]))
}

/// Whose token this is, and the hash of what is secret in it.
fn read(token: &SecretString) -> Option<(UserId, [u8; 32])> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.expose_secret().trim()).ok()?;
    let bytes: [u8; TOKEN] = bytes.try_into().ok()?;
    let (id, secret) = bytes.split_at(16);
    Some((UserId::from_bytes(id), Sha256::digest(secret).into()))
}

fn find(view: &impl View, id: UserId, hash: &[u8; 32], now: Timestamp) -> Result<User> {
    let reset = store::users::reset(view, id)?.ok_or(Error::WrongLink)?;
    let right: bool = reset.hash[..].ct_eq(hash).into();
    let user = store::users::get(view, id)?.filter(|user| user.disabled_at.is_none());
    user.filter(|_| right && now < reset.expires_at).ok_or(Error::WrongLink)
}
