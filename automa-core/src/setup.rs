//! Setup: how the first user comes to be, an admin.
//!
//! As long as there is no user, whoever knows the setup token may create one. It is in the setup
//! link that the server prints when it starts, so that only who can see that, or read the data
//! directory, takes possession of a new Automa. It has no expiry: it is valid while no user exists,
//! also after a restart, and useless from then on.
//!
//! ```
//! use automa_core::{Automa, Error, actor::{Origin, Role}, setup::NewAdmin};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! let automa = Automa::builder().in_memory().open()?;
//! let token = automa.setup().token().await?.expect("there is no user yet");
//! let ada = NewAdmin {
//!     username: "ada".to_owned(),
//!     email: "ada@example.com".to_owned(),
//!     password: "correct horse battery".into(),
//! };
//! let user = automa.setup().create_admin(&token, ada, Origin::Embedder).await?;
//! assert_eq!(user.role, Role::Admin);
//! assert!(!automa.setup().is_open()?);
//! # Ok(())
//! # }
//! ```

mod token;

use std::sync::Arc;

use secrecy::SecretString;

pub(crate) use self::token::Token;
pub use self::token::stored_token;
use crate::{
    Automa, Error, Result,
    actor::{Actor, Origin, Role},
    audit::{Action, Entry},
    blocking,
    store::{self, change::Change},
    user::{self, NewUser, User},
};

/// The first user, to be created as an admin.
#[derive(Debug, Clone)]
pub struct NewAdmin {
    /// See [`User::username`].
    pub username: String,
    /// See [`User::email`].
    pub email: String,
    /// See [`NewUser::password`].
    pub password: SecretString,
}

/// The setup, which is nobody's: the token stands for the right to do it.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    automa: &'a Automa,
}

impl<'a> Setup<'a> {
    pub(crate) fn new(automa: &'a Automa) -> Self {
        Self { automa }
    }

    /// Whether it can be done: there is no user.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn is_open(&self) -> Result<bool> {
        self.automa.store.look(|view| Ok(store::users::is_empty(view)?))
    }

    /// The setup token, 64 hexadecimal digits; `None` once there is a user.
    ///
    /// The first call makes it, and it stays the same. It is in the file `setup-token` of the data
    /// directory, readable by its owner alone, until there is a user.
    ///
    /// # Errors
    ///
    /// [`Error::Directory`] when that file cannot be read or made, and the store's.
    pub async fn token(&self) -> Result<Option<String>> {
        if self.is_open()? {
            let mut bytes = [0; 32];
            self.automa.clock.fill(&mut bytes);
            let token = self.with_token(move |token| token.get_or_make(&bytes)).await??;
            // The first user may have come meanwhile.
            if self.is_open()? {
                return Ok(Some(token));
            }
        }
        self.forget_token().await;
        Ok(None)
    }

    /// Creates the first user.
    ///
    /// # Errors
    ///
    /// [`Error::SetupClosed`] once there is a user; [`Error::WrongToken`]; [`Error::Invalid`];
    /// [`Error::Hashing`]; [`Error::Directory`] when the token cannot be read; and the store's.
    pub async fn create_admin(&self, token: &str, new: NewAdmin, origin: Origin) -> Result<User> {
        if !self.is_open()? {
            return Err(Error::SetupClosed);
        }
        let tried = SecretString::from(token);
        if !self.with_token(move |token| token.is(&tried)).await?? {
            return Err(Error::WrongToken);
        }
        let NewAdmin { username, email, password } = new;
        let new = NewUser { username, email, password, role: Role::Admin };
        new.check()?;
        let clock = &*self.automa.clock;
        let hash = self.automa.passwords.hash(clock, &new.password).await?;
        let user = new.into_user(clock);
        let actor = Actor::user(user.id, user.username.clone(), user.role, origin);
        let entry = Entry::new(clock, &actor, Action::SetupDone(user.id));
        let change = move |change: &mut Change| {
            if !store::users::is_empty(change)? {
                return Err(Error::SetupClosed);
            }
            user::add(change, &user, &hash, &entry)?;
            Ok(user.clone())
        };
        let user = self.automa.store.write(change).await?;
        self.forget_token().await;
        Ok(user)
    }

    /// Removes the token, as there is a user. It is of no use any more, so that failing to is worth
    /// no more than a notice.
    pub(crate) async fn forget_token(&self) {
        match self.with_token(Token::forget).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) | Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the used setup token could not be removed"
                );
            }
        }
    }

    /// Does something with the token's file, away from the threads of the async runtime.
    async fn with_token<T: Send + 'static>(
        &self,
        body: impl FnOnce(&Token) -> T + Send + 'static,
    ) -> Result<T> {
        let token = Arc::clone(&self.automa.setup_token);
        blocking::run(move || Ok(body(&token))).await
    }
}

#[cfg(test)]
mod tests;
