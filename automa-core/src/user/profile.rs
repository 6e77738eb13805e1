//! What users do about themselves: how they sign in, where they are signed in, how pages look.

use secrecy::SecretString;

use super::{Checked, Theme, User, get, reset::check_password};
use crate::{
    Automa, Error, Result,
    actor::Actor,
    audit::{self, Action, Entry},
    error::FieldError,
    event::Event,
    id::{SessionId, UserId},
    session::{self, Session},
    store::{self, change::Change},
};

/// Most sessions that one look at them shows.
const SESSIONS_SHOWN: usize = 200;

/// A user's own account, for who is signed in: a key or the embedding program has none.
#[derive(Debug, Clone, Copy)]
pub struct Profile<'a> {
    pub(super) automa: &'a Automa,
    pub(super) actor: &'a Actor,
    session: SessionId,
}

impl<'a> Profile<'a> {
    pub(crate) fn new(automa: &'a Automa, actor: &'a Actor, session: SessionId) -> Self {
        Self { automa, actor, session }
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The user, whose session has to be going on.
    pub(super) fn user(&self) -> Result<User> {
        let (user, _) = self.automa.sessions().resume(self.session, self.actor.origin)?;
        if self.actor.user == Some(user.id) { Ok(user) } else { Err(Error::SessionEnded) }
    }

    /// The sessions of the user that go on, newest first, at most 200.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] and the store's.
    pub fn sessions(&self) -> Result<Vec<Session>> {
        let (user, now) = (self.user()?.id, self.automa.clock.now());
        let mut sessions = self
            .automa
            .store
            .look(|view| Ok::<_, Error>(store::sessions::of_user(view, user, SESSIONS_SHOWN)?))?;
        sessions.retain(|session| !session.is_over(now));
        Ok(sessions)
    }

    /// Ends one session of the user, be it this one.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`]; [`Error::NotFound`] when the user has no such session; and the
    /// store's.
    pub async fn end_session(&self, id: SessionId) -> Result<()> {
        let user = self.user()?.id;
        let entry = self.entry(Action::SessionRevoked(id));
        let change = move |change: &mut Change| {
            let session = store::sessions::get(change, id)?.filter(|it| it.user == user);
            let not_found = || Error::NotFound { kind: "session", id: id.to_string() };
            session::end(change, &session.ok_or_else(not_found)?, &entry)
        };
        self.automa.store.write(change).await
    }

    /// Ends all sessions of the user but this one.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] and the store's.
    pub async fn end_other_sessions(&self) -> Result<()> {
        let (user, kept) = (self.user()?.id, self.session);
        let entry = self.entry(Action::OtherSessionsRevoked(user));
        let change = move |change: &mut Change| {
            session::end_all(change, user, Some(kept))?;
            Ok::<_, Error>(store::audit::add(change, &entry)?)
        };
        self.automa.store.write(change).await
    }

    /// Sets another password for the user who knows the current one; all other sessions end.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`]; [`Error::Invalid`], of `current_password` when it is wrong, which
    /// counts as a sign-in that failed; [`Error::Hashing`]; and the store's.
    pub async fn change_password(&self, current: &SecretString, new: &SecretString) -> Result<()> {
        let user = self.user()?;
        check_password(&user, new, "new_password")?;
        self.prove(&user, current, "current_password").await?;
        let clock = &*self.automa.clock;
        let hash = self.automa.passwords.hash(clock, new).await?;
        let (id, kept, now) = (user.id, self.session, clock.now());
        let entry = self.entry(Action::PasswordChanged(id));
        let proven_until = user.password_changed_at;
        let change = move |change: &mut Change| {
            let old = get(change, id)?;
            // Somebody else set another one meanwhile, which ended this session.
            if old.password_changed_at != proven_until {
                return Err(Error::SessionEnded);
            }
            let user = User { password_changed_at: now, ..old.clone() };
            store::users::update(change, &old, &user)?;
            store::users::put_password(change, id, &hash)?;
            session::end_all(change, id, Some(kept))?;
            store::audit::add(change, &entry)?;
            change.emit(Event::UserChanged(id));
            Ok(())
        };
        self.automa.store.write(change).await
    }

    /// Says how pages look, on all devices from their next sign-in on.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] and the store's.
    pub async fn set_theme(&self, theme: Theme) -> Result<()> {
        let id = self.user()?.id;
        let change = move |change: &mut Change| {
            let old = get(change, id)?;
            if old.theme != theme {
                store::users::update(change, &old, &User { theme, ..old.clone() })?;
                change.emit(Event::UserChanged(id));
            }
            Ok::<_, Error>(())
        };
        self.automa.store.write(change).await
    }

    /// Has the user prove anew that they know their password.
    pub(super) async fn prove(
        &self,
        user: &User,
        password: &SecretString,
        field: &'static str,
    ) -> Result<()> {
        let id = user.id;
        let stored =
            self.automa.store.look(|view| Ok::<_, Error>(store::users::password(view, id)?))?;
        let checked = self.automa.passwords.check(&*self.automa.clock, password, stored.as_ref());
        if matches!(checked.await?, Checked::Right { .. }) {
            return Ok(());
        }
        self.refuse(id).await?;
        Err(Error::Invalid(vec![FieldError::new(field, "is not your password")]))
    }

    /// Remembers that somebody in this session did not know what the user knows.
    async fn refuse(&self, _: UserId) -> Result<()> {
        audit::note_refusal(self.automa, self.entry(Action::SignInRefused)).await
    }

    fn entry(&self, action: Action) -> Entry {
        Entry::new(&*self.automa.clock, self.actor, action)
    }
}
