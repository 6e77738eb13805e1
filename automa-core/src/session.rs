//! Sessions: what lies between signing in and signing out.
//!
//! A session lives for seven days from its last refresh. Each refresh makes a new *generation*,
//! and a token names a session and one generation of it. Whoever comes with an old generation has
//! a token that was used already: it may have been stolen, so that the session ends, for the thief
//! and for its user, who signs in again. For 30 seconds the generation before the current one is
//! accepted too, because two tabs of a browser may refresh at once.
//!
//! All of this is by the clock. One that steps back ends no session, and makes those there are live
//! longer by as much, until they are refreshed; one that steps forward over their end ends them.

mod sign_in;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    Automa, Error, Result,
    actor::{Actor, Origin},
    audit::{Action, Entry},
    event::Event,
    id::{SessionId, UserId},
    store::{
        self,
        change::{Change, View},
    },
    user::User,
};

/// How long a session lives from its last refresh.
pub const LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long after a refresh the generation before it is still accepted.
pub const GRACE: SignedDuration = SignedDuration::from_secs(30);

/// A session of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// How often it was refreshed.
    pub generation: u32,
    /// When its user signed in.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub created_at: Timestamp,
    /// When it was last refreshed.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub refreshed_at: Timestamp,
    /// When it ends if it is not refreshed by then.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub expires_at: Timestamp,
    /// From where its user signed in.
    pub client: Client,
}

/// From where somebody signs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// By which way.
    pub origin: Origin,
    /// The network address, where it is known: the first 64 characters are kept.
    pub address: Option<String>,
    /// What the client says it is, such as a browser's name: the first 200 characters are kept.
    pub agent: Option<String>,
}

/// Somebody who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// The user.
    pub user: User,
    /// The session.
    pub session: Session,
}

impl Session {
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }

    /// The next generation.
    fn refreshed(&self, now: Timestamp) -> Self {
        let generation = self.generation.saturating_add(1);
        Self { generation, refreshed_at: now, expires_at: end_of_life(now), ..self.clone() }
    }

    /// Whether a token of `generation` is good for what was made of it already.
    fn forgives(&self, generation: u32, now: Timestamp) -> bool {
        // The clock may step back, by which nothing old becomes new.
        let soon = now.duration_since(self.refreshed_at).abs() <= GRACE;
        soon && generation.checked_add(1) == Some(self.generation)
    }
}

fn end_of_life(now: Timestamp) -> Timestamp {
    now.checked_add(LIFETIME).unwrap_or(Timestamp::MAX)
}

impl Client {
    /// As it is kept: it came from outside.
    fn cut(self) -> Self {
        let cut = |text: Option<String>, most| text.map(|text| line(&text, most));
        Self { address: cut(self.address, 64), agent: cut(self.agent, 200), ..self }
    }
}

/// The first `most` characters of text from outside, as one line that shows as it is.
pub(crate) fn line(text: &str, most: usize) -> String {
    let misleads = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().take(most).map(|c| if misleads(c) { '\u{fffd}' } else { c }).collect()
}

/// The sessions of all users. Signing in needs no right, and everything else a session.
#[derive(Debug, Clone, Copy)]
pub struct Sessions<'a> {
    automa: &'a Automa,
}

impl<'a> Sessions<'a> {
    pub(crate) fn new(automa: &'a Automa) -> Self {
        Self { automa }
    }

    /// Goes on with a session, of which the caller has a token of `generation`.
    ///
    /// What is returned has the next generation. Within 30 s of that, the one before gets the same
    /// again. Any older one ends the session.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] when it has ended, has expired, or ends by this; and the store's.
    pub async fn refresh(&self, id: SessionId, generation: u32) -> Result<SignedIn> {
        let clock = &*self.automa.clock;
        let now = clock.now();
        let SignedIn { user, session } = self.current(id, now)?;
        let actor = actor(&user, session.client.origin);
        let reused = Entry::new(clock, &actor, Action::SessionReused(id));
        let change = move |change: &mut Change| {
            let Some(SignedIn { user, session }) = find(change, id, now)? else { return Ok(None) };
            if generation == session.generation {
                let session = session.refreshed(now);
                store::sessions::put(change, &session)?;
                return Ok(Some(SignedIn { user, session }));
            }
            // Nobody was given a later one: the store may be a restored, older one.
            if generation > session.generation {
                return Ok(None);
            }
            if session.forgives(generation, now) {
                return Ok(Some(SignedIn { user, session }));
            }
            end(change, &session, &reused)?;
            Ok::<_, Error>(None)
        };
        self.automa.store.write(change).await?.ok_or(Error::SessionEnded)
    }

    /// Who acts in a session, by `origin`: asked anew for each request, so that what becomes of
    /// the user and the session holds at once.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] when it has ended or expired, and the store's.
    pub fn resume(&self, id: SessionId, origin: Origin) -> Result<(User, Actor)> {
        let SignedIn { user, .. } = self.current(id, self.automa.clock.now())?;
        let actor = actor(&user, origin);
        Ok((user, actor))
    }

    /// Ends a session, if it has not ended already: its user signs out.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn end(&self, id: SessionId) -> Result<()> {
        let clock = &*self.automa.clock;
        let now = clock.now();
        let SignedIn { user, session } = match self.current(id, now) {
            Ok(signed_in) => signed_in,
            Err(Error::SessionEnded) => return Ok(()),
            Err(error) => return Err(error),
        };
        let actor = actor(&user, session.client.origin);
        let entry = Entry::new(clock, &actor, Action::SignedOut(id));
        let change = move |change: &mut Change| match find(change, id, now)? {
            Some(SignedIn { session, .. }) => end(change, &session, &entry),
            None => Ok(()),
        };
        self.automa.store.write(change).await
    }

    fn current(self, id: SessionId, now: Timestamp) -> Result<SignedIn> {
        let found = self.automa.store.look(|view| find(view, id, now))?;
        found.ok_or(Error::SessionEnded)
    }
}

fn actor(user: &User, origin: Origin) -> Actor {
    Actor::user(user.id, user.username.clone(), user.role, origin)
}

fn may_sign_in(user: &User) -> bool {
    user.disabled_at.is_none()
}

/// A session that has not ended, with its user, who may be signed in.
fn find(view: &impl View, id: SessionId, now: Timestamp) -> Result<Option<SignedIn>> {
    let session = store::sessions::get(view, id)?.filter(|session| !session.is_over(now));
    let Some(session) = session else { return Ok(None) };
    let user = store::users::get(view, session.user)?.filter(may_sign_in);
    Ok(user.map(|user| SignedIn { user, session }))
}

pub(crate) fn end(change: &mut Change, session: &Session, entry: &Entry) -> Result<()> {
    store::sessions::remove(change, session)?;
    store::audit::add(change, entry)?;
    change.emit(Event::SessionEnded(session.id));
    Ok(())
}

/// Ends all sessions of a user, but for one: part of a change that tells why.
pub(crate) fn end_all(change: &mut Change, user: UserId, kept: Option<SessionId>) -> Result<()> {
    for session in store::sessions::of_user(change, user, usize::MAX)? {
        if Some(session.id) != kept {
            store::sessions::remove(change, &session)?;
            change.emit(Event::SessionEnded(session.id));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
