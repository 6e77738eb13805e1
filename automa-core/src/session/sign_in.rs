//! Signing in: how a session begins.

use jiff::Timestamp;
use secrecy::SecretString;

use super::{Client, Session, Sessions, SignedIn, actor, end_of_life, line, may_sign_in};
use crate::{
    Error, Result,
    actor::Actor,
    audit::{self, Action, Entry},
    id::{SessionId, UserId},
    store::{
        self,
        change::{Change, View},
    },
    user::{self, Checked, Hash, User},
};

/// How many expired sessions one sign-in removes at most: more than come to be by it.
pub(super) const SWEEP: usize = 100;

impl Sessions<'_> {
    /// Signs in by username or e-mail address, in whatever case, and password.
    ///
    /// Who tries is told no difference between a name that does not exist and a wrong password,
    /// neither by the answer nor by the work done for it. Both are in the audit log.
    ///
    /// # Errors
    ///
    /// [`Error::WrongPassword`], [`Error::Hashing`], and the store's.
    pub async fn sign_in(
        &self,
        name: &str,
        password: &SecretString,
        client: Client,
    ) -> Result<SignedIn> {
        let client = client.cut();
        let name = name.trim();
        let account = self.automa.store.look(|view| find_account(view, name))?;
        let stored = account.as_ref().map(|(_, hash)| hash);
        let clock = &*self.automa.clock;
        let checked = self.automa.passwords.check(clock, password, stored).await?;
        if let (Some((user, stored)), Checked::Right { renewed }) = (account, checked) {
            let proven = Proven { stored, renewed };
            if let Some(signed_in) = self.open(&user, client.clone(), Some(proven)).await? {
                return Ok(signed_in);
            }
        }
        self.refuse(name, client).await
    }

    /// Begins a session of a user who has just proven by other means who they are, as by the
    /// [setup](crate::setup).
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such user, and the store's.
    pub async fn begin(&self, user: UserId, client: Client) -> Result<SignedIn> {
        let user = self.automa.store.look(|view| user::get(view, user))?;
        let signed_in = self.open(&user, client.cut(), None).await?;
        signed_in.ok_or_else(|| Error::NotFound { kind: "user", id: user.id.to_string() })
    }

    /// Writes a new session; `None` when the user or the password is not any more what it was.
    pub(super) async fn open(
        &self,
        user: &User,
        client: Client,
        proven: Option<Proven>,
    ) -> Result<Option<SignedIn>> {
        let clock = &*self.automa.clock;
        let now = clock.now();
        let session = Session::begin(SessionId::generate(clock), user.id, now, client);
        let actor = actor(user, session.client.origin);
        let mut entry = Entry::new(clock, &actor, Action::SignedIn(session.id));
        entry.address.clone_from(&session.client.address);
        let change = move |change: &mut Change| {
            let user = store::users::get(change, session.user)?.filter(may_sign_in);
            let Some(user) = user else { return Ok(None) };
            if let Some(Proven { stored, renewed }) = &proven {
                if store::users::password(change, user.id)?.as_ref() != Some(stored) {
                    return Ok(None);
                }
                if let Some(renewed) = renewed {
                    store::users::put_password(change, user.id, renewed)?;
                }
            }
            store::sessions::remove_expired(change, now, SWEEP)?;
            store::sessions::put(change, &session)?;
            store::audit::add(change, &entry)?;
            Ok::<_, Error>(Some(SignedIn { user, session: session.clone() }))
        };
        self.automa.store.write(change).await
    }

    /// Remembers that somebody could not sign in.
    async fn refuse<T>(&self, name: &str, client: Client) -> Result<T> {
        // Nobody has proven to be a user: this is the name that was tried.
        let name = line(name, 64);
        let nobody = Actor::nobody(name, client.origin);
        let mut entry = Entry::new(&*self.automa.clock, &nobody, Action::SignInRefused);
        entry.address = client.address;
        audit::note_refusal(self.automa, entry).await?;
        Err(Error::WrongPassword)
    }
}

/// A password that was right, by the hash that was stored then.
pub(super) struct Proven {
    pub(super) stored: Hash,
    pub(super) renewed: Option<Hash>,
}

fn find_account(view: &impl View, name: &str) -> Result<Option<(User, Hash)>> {
    let Some(id) = store::users::find(view, name)? else { return Ok(None) };
    let user = store::users::get(view, id)?.filter(may_sign_in);
    Ok(user.zip(store::users::password(view, id)?))
}

impl Session {
    fn begin(id: SessionId, user: UserId, now: Timestamp, client: Client) -> Self {
        let expires_at = end_of_life(now);
        Self { id, user, generation: 0, created_at: now, refreshed_at: now, expires_at, client }
    }
}
