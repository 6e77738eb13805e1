//! Users: who may sign in, by which names, and as what.

mod password;

use jiff::Timestamp;
use secrecy::ExposeSecret;
pub use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub(crate) use self::password::{Checked, Hash, Passwords};
use crate::{
    Automa, Error, Result,
    actor::{Actor, Permission, Role},
    audit::{Action, Entry},
    clock::Clock,
    error::FieldError,
    event::Event,
    id::UserId,
    page::{Page, PageRequest},
    store::{
        self,
        change::{Change, View},
    },
};

/// Fewest characters of a password.
pub const PASSWORD_MIN: usize = 12;
/// Most bytes of a password.
pub const PASSWORD_MAX: usize = 1024;
/// Most characters of a username.
pub const USERNAME_MAX: usize = 64;
/// Most bytes of an e-mail address.
pub const EMAIL_MAX: usize = 254;

/// A user, as far as it may be shown: the password's hash is kept apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its name: 1 to 64 of `A-Z a-z 0-9 . _ -`, of which the first is a letter or digit. No other
    /// user has the same in other case.
    pub username: String,
    /// Its e-mail address, at most 254 bytes. No other user has the same in other case.
    pub email: String,
    /// What it may do.
    pub role: Role,
    /// When it was created.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub created_at: Timestamp,
}

/// A user to be created.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// See [`User::username`].
    pub username: String,
    /// See [`User::email`].
    pub email: String,
    /// At least 12 characters and at most 1,024 bytes; neither the username nor the address.
    pub password: SecretString,
    /// See [`User::role`].
    pub role: Role,
}

impl NewUser {
    /// Tells what cannot be accepted, whoever else there is.
    pub(crate) fn check(&self) -> Result<()> {
        let checks = [
            ("username", check_username(&self.username)),
            ("email", check_email(&self.email)),
            ("password", self.check_password()),
        ];
        let wrong = checks.into_iter().filter_map(|(field, check)| {
            let reason = check.err()?.to_owned();
            Some(FieldError::new(field, reason))
        });
        invalid_unless_empty(wrong.collect())
    }

    fn check_password(&self) -> Result<(), &'static str> {
        let password = self.password.expose_secret();
        if password.chars().count() < PASSWORD_MIN {
            return Err("must have at least 12 characters");
        }
        if password.len() > PASSWORD_MAX {
            return Err("must have at most 1024 bytes");
        }
        let is = |name: &str| password.trim().eq_ignore_ascii_case(name);
        if is(&self.username) || is(&self.email) {
            return Err("must be something else than the username and the e-mail address");
        }
        Ok(())
    }

    /// The user this becomes.
    pub(crate) fn into_user(self, clock: &dyn Clock) -> User {
        let Self { username, email, password: _, role } = self;
        User { id: UserId::generate(clock), username, email, role, created_at: clock.now() }
    }
}

fn check_username(name: &str) -> Result<(), &'static str> {
    let starts = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if starts && rest && name.len() <= USERNAME_MAX {
        return Ok(());
    }
    Err("must have 1 to 64 characters of A-Z, a-z, 0-9, `.`, `_` and `-`, and begin with a letter \
         or digit")
}

fn check_email(email: &str) -> Result<(), &'static str> {
    let visible = !email.chars().any(|c| c.is_whitespace() || c.is_control());
    let parts = email.split_once('@');
    let whole = parts.is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !domain.contains('@')
    });
    if visible && whole && email.len() <= EMAIL_MAX {
        return Ok(());
    }
    Err("must look like name@example.com: one `@`, no spaces, at most 254 bytes")
}

fn invalid_unless_empty(errors: Vec<FieldError>) -> Result<()> {
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
}

/// Tells which names of a new user another one has already.
fn check_free(view: &impl View, user: &User) -> Result<()> {
    let mut errors = Vec::new();
    for (field, name) in [("username", &user.username), ("email", &user.email)] {
        if store::users::find(view, name)?.is_some() {
            errors.push(FieldError::new(field, "belongs to another user"));
        }
    }
    invalid_unless_empty(errors)
}

/// Writes a new user with what tells of it: the part of a change that all ways to create one share.
pub(crate) fn add(change: &mut Change, user: &User, hash: &Hash, entry: &Entry) -> Result<()> {
    check_free(change, user)?;
    store::users::insert(change, user, hash)?;
    store::audit::add(change, entry)?;
    change.emit(Event::UserChanged(user.id));
    Ok(())
}

/// Users as one actor may manage them.
#[derive(Debug, Clone, Copy)]
pub struct Users<'a> {
    automa: &'a Automa,
    actor: &'a Actor,
}

impl<'a> Users<'a> {
    pub(crate) fn new(automa: &'a Automa, actor: &'a Actor) -> Self {
        Self { automa, actor }
    }

    /// Creates a user. The first one ends the [setup](crate::setup), whatever its role.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] for all but admins; [`Error::Invalid`], also for a name or address
    /// that another user has; [`Error::Hashing`]; and the store's.
    pub async fn create(&self, new: NewUser) -> Result<User> {
        self.actor.require(Permission::ManageUsers)?;
        new.check()?;
        let clock = &*self.automa.clock;
        let hash = self.automa.passwords.hash(clock, &new.password).await?;
        let user = new.into_user(clock);
        let entry = Entry::new(clock, self.actor, Action::UserCreated(user.id));
        let change = move |change: &mut Change| {
            add(change, &user, &hash, &entry)?;
            Ok::<_, Error>(user.clone())
        };
        let user = self.automa.store.write(change).await?;
        self.automa.setup().forget_token().await;
        Ok(user)
    }

    /// One user. Everybody may see oneself.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub fn get(&self, id: UserId) -> Result<User> {
        if self.actor.user != Some(id) {
            self.actor.require(Permission::ManageUsers)?;
        }
        self.automa.store.look(|view| get(view, id))
    }

    /// Users, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] for all but admins, and the store's.
    pub async fn list(&self, page: PageRequest) -> Result<Page<User>> {
        self.actor.require(Permission::ManageUsers)?;
        let list = move |view: &_| Ok(store::users::list(view, &page)?);
        self.automa.store.read(list).await
    }
}

/// A user that is expected to be there.
pub(crate) fn get(view: &impl View, id: UserId) -> Result<User> {
    let not_found = || Error::NotFound { kind: "user", id: id.to_string() };
    store::users::get(view, id)?.ok_or_else(not_found)
}

#[cfg(test)]
pub(crate) mod tests;
