//! Users: who may sign in, by which names, and as what.
//!
//! A user is never removed, as what they made and did names them; one who may not come any more is
//! disabled. Whatever takes something from a user (the role, the account, the password) ends their
//! sessions in the same change, and the last admin who may sign in stays one.

mod change;
mod password;
mod profile;
mod reset;
mod strength;

use jiff::Timestamp;
use secrecy::ExposeSecret;
pub use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub use self::{
    change::{UserChange, UserFilter},
    profile::Profile,
    reset::{ResetLink, Resets},
};
pub(crate) use self::{
    password::{Checked, Hash, Passwords},
    reset::Reset,
};
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
    /// Since when it may not sign in and nothing is done in its name, if so.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    pub disabled_at: Option<Timestamp>,
    /// When its password was last set or taken away.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub password_changed_at: Timestamp,
    /// Since when it signs in with a code as well, if so.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    pub two_factor_since: Option<Timestamp>,
    /// How it likes pages to look.
    pub theme: Theme,
}

/// Light, dark, or as the system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    /// As the system is.
    #[default]
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    /// All themes.
    pub const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.name() == name)
    }

    /// Its name in the API and in pages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// A user to be created.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// See [`User::username`].
    pub username: String,
    /// See [`User::email`].
    pub email: String,
    /// At least 12 characters and at most 1,024 bytes, and none that is easily guessed.
    pub password: SecretString,
    /// See [`User::role`].
    pub role: Role,
}

impl NewUser {
    /// Tells what cannot be accepted, whoever else there is.
    pub(crate) fn check(&self) -> Result<()> {
        let password = strength::check(self.password.expose_secret(), &self.username, &self.email);
        let checks = [
            ("username", check_username(&self.username)),
            ("email", check_email(&self.email)),
            ("password", password),
        ];
        let wrong = checks.into_iter().filter_map(|(field, check)| {
            let reason = check.err()?.to_owned();
            Some(FieldError::new(field, reason))
        });
        FieldError::none_of(wrong.collect())
    }

    /// The user this becomes.
    pub(crate) fn into_user(self, clock: &dyn Clock) -> User {
        let Self { username, email, password: _, role } = self;
        let created_at = clock.now();
        User {
            id: UserId::generate(clock),
            username,
            email,
            role,
            created_at,
            disabled_at: None,
            password_changed_at: created_at,
            two_factor_since: None,
            theme: Theme::default(),
        }
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

/// Tells which names of a user another one has already.
fn check_free(view: &impl View, user: &User) -> Result<()> {
    let mut errors = Vec::new();
    for (field, name) in [("username", &user.username), ("email", &user.email)] {
        if store::users::find(view, name)?.is_some_and(|id| id != user.id) {
            errors.push(FieldError::new(field, "belongs to another user"));
        }
    }
    FieldError::none_of(errors)
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

    /// The user of this name or e-mail address, in whatever case.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] for all but admins, [`Error::NotFound`], and the store's.
    pub fn named(&self, name: &str) -> Result<User> {
        self.actor.require(Permission::ManageUsers)?;
        self.automa.store.look(|view| match store::users::find(view, name)? {
            Some(id) => get(view, id),
            None => Err(Error::NotFound { kind: "user", id: name.to_owned() }),
        })
    }

    /// The users that a filter lets through, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] for all but admins, and the store's.
    pub async fn list(&self, filter: UserFilter, page: PageRequest) -> Result<Page<User>> {
        self.actor.require(Permission::ManageUsers)?;
        let filter = filter.lowered();
        let list = move |view: &_| Ok(store::users::list(view, &page, |user| filter.fits(user))?);
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
