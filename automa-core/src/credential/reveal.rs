//! Showing a secret to its owner, who proves it with the password once more.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use super::{Credential, Credentials, Opened, Use, What, find_seen, open::open_newest};
use crate::{
    Error, Result,
    actor::Permission,
    audit::{Action, Entry},
    id::{CredentialId, UserId},
    store::{self, change::Change},
    user::Checked,
};

/// How often one user may ask for a secret within a minute, whatever comes of it.
pub const REVEALS_A_MINUTE: usize = 5;

/// When each user asked to see a secret within the last minute.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<UserId, Vec<Timestamp>>>);

impl Attempts {
    /// Counts an attempt, unless there were too many.
    fn count(&self, user: UserId, now: Timestamp) -> Result<()> {
        let minute = SignedDuration::from_mins(1);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for attempts in all.values_mut() {
            // A clock that was set back makes old ones new; those that are to come are over.
            attempts.retain(|&at| at <= now && now.duration_since(at) < minute);
        }
        all.retain(|_, attempts| !attempts.is_empty());
        let attempts = all.entry(user).or_default();
        if let Some(&oldest) = attempts.first().filter(|_| attempts.len() >= REVEALS_A_MINUTE) {
            let left = (minute - now.duration_since(oldest)).as_millis_f64() / 1000.0;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is up to sixty"
            )]
            return Err(Error::TooOften { seconds: left.ceil() as u64 });
        }
        attempts.push(now);
        Ok(())
    }
}

impl Credentials<'_> {
    /// Shows what a credential is made of to its owner, whose password this has to be. It is on record
    /// before this returns, and so is a refusal.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`]; [`Error::NotFound`]; [`Error::NotRevealable`] if it is write-only or
    /// somebody else's; [`Error::TooOften`]; [`Error::WrongPassword`]; [`Error::Vault`]; and the store's.
    pub async fn reveal(&self, id: CredentialId, password: &SecretString) -> Result<Opened> {
        self.actor.require(Permission::WriteCredentials)?;
        // A program shows no password.
        self.actor.require(Permission::ManageAccount)?;
        let credential = self.automa.store.look(|view| find_seen(view, self.actor, id))?;
        match self.allowed(&credential, password).await {
            Ok(()) => {}
            Err(error) => {
                self.refused(id, &error).await?;
                return Err(error);
            }
        }
        let clock = &*self.automa.clock;
        let vault = std::sync::Arc::clone(&self.automa.vault);
        let (actor, it) = (self.actor.clone(), Use::new(clock, self.actor, What::Changed));
        let entry = Entry::new(clock, self.actor, Action::CredentialChanged(id));
        let change = move |change: &mut Change| {
            // As it is now: it may have been changed while the password was hashed.
            let credential = find_seen(change, &actor, id)?;
            revealable(&credential, actor.user)?;
            let opened = open_newest(change, &vault, &credential)?;
            let what = What::Revealed(opened.version);
            store::credentials::used(change, id, &Use { what, ..it.clone() })?;
            let action = Action::CredentialRevealed(id, opened.version);
            store::audit::add(change, &Entry { action, ..entry.clone() })?;
            Ok::<_, Error>(opened)
        };
        self.automa.store.write(change).await
    }

    /// Whether the actor may see a secret and knows the password.
    async fn allowed(&self, credential: &Credential, password: &SecretString) -> Result<()> {
        let user = revealable(credential, self.actor.user)?;
        let clock = &*self.automa.clock;
        self.automa.vault.attempts.count(user, clock.now())?;
        let stored = self.automa.store.look(|view| store::users::password(view, user))?;
        match self.automa.passwords.check(clock, password, stored.as_ref()).await? {
            Checked::Right { .. } => Ok(()),
            Checked::Wrong => Err(Error::WrongPassword),
        }
    }

    async fn refused(&self, id: CredentialId, error: &Error) -> Result<()> {
        let clock = &*self.automa.clock;
        let entry = Entry::new(clock, self.actor, Action::CredentialRevealRefused(id));
        let it = Use::new(clock, self.actor, What::RevealRefused);
        // Who asks again and again does not push everything else out of the trail.
        let in_trail = !matches!(error, Error::TooOften { .. });
        let change = move |change: &mut Change| {
            if in_trail {
                store::credentials::used(change, id, &it)?;
            }
            store::audit::add(change, &entry)
        };
        Ok(self.automa.store.write(change).await?)
    }
}

/// Who may see the secret of a credential, if that is `user`.
fn revealable(credential: &Credential, user: Option<UserId>) -> Result<UserId> {
    match user {
        Some(user) if credential.owner == Some(user) => {
            let why =
                "this credential is write-only; its secret is given to scripts and shown to nobody";
            credential.revealable.then_some(user).ok_or(Error::NotRevealable(why))
        }
        _ => Err(Error::NotRevealable("only its owner may see the secret of a credential")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, TestClock};

    #[test]
    fn who_asked_five_times_within_a_minute_waits_for_the_oldest_to_pass() {
        let clock = TestClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let (attempts, ada) = (Attempts::default(), UserId::generate(&clock));
        for _ in 0..REVEALS_A_MINUTE {
            attempts.count(ada, clock.now()).unwrap();
            clock.advance(SignedDuration::from_millis(1500));
        }
        let error = attempts.count(ada, clock.now()).unwrap_err();
        assert!(matches!(error, Error::TooOften { seconds: 53 }), "{error:?}");
        attempts.count(UserId::generate(&clock), clock.now()).unwrap();
        clock.advance(SignedDuration::from_millis(52_500));
        attempts.count(ada, clock.now()).unwrap();
        assert!(attempts.count(ada, clock.now()).is_err());
        clock.advance(SignedDuration::from_hours(-1));
        attempts.count(ada, clock.now()).unwrap();
    }
}
