//! Automa as a library: what a script is, and what becomes of an execution.
//!
//! The crate has no web part: it is what a Rust program embeds. The sandbox below it is
//! [`automa_sandbox`].
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`script`], [`execution`], [`job`], [`agent`] | the nouns of the domain, and what can be done with them |
//! | [`user`], [`setup`], [`session`] | who may sign in, how the first comes to be, who is signed in |
//! | [`tier`], [`quota`] | how much each user may use; what of it they have |
//! | [`api_key`] | what programs show in place of a password |
//! | [`credential`] | secrets, sealed, for whoever may use them |
//! | [`actor`], [`audit`] | who does something, whether they may, and what is remembered of it |
//! | [`store`], [`error`] | one file that holds everything, one way to write it, and what can fail |
//! | [`event`], [`health`] | what has just been written; whether everything works |
//! | [`page`] | lists in pages, continued by a cursor |
//! | [`retention`], [`disk`] | how long things are kept; what they take |
//! | [`id`], [`clock`], [`address`] | identifiers in order of creation; time and randomness as parameters; networks |
//!
//! Everything is done through an [`Automa`] on behalf of an [`Actor`](actor::Actor):
//!
//! ```
//! use automa_core::{Automa, Error, actor::Actor, script::{Language, NewScript}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! let automa = Automa::builder().in_memory().open()?;
//! let me = Actor::embedder("nightly");
//! let new = NewScript::new("backup", Language::Bash, "tar -c /etc | wc -c");
//! let script = automa.scripts(&me).create(new).await?;
//! assert_eq!(automa.scripts(&me).version(script.id, script.version).await?.number, 1);
//! automa.close().await;
//! # Ok(())
//! # }
//! ```

pub mod actor;
pub mod address;
pub mod agent;
pub mod api_key;
pub mod audit;
mod automa;
mod blocking;
pub mod clock;
pub mod credential;
pub mod disk;
pub mod error;
pub mod event;
pub mod execution;
pub mod health;
mod hex;
pub mod id;
pub mod job;
mod key_file;
pub mod page;
pub mod quota;
pub mod retention;
pub mod script;
pub mod session;
pub mod setup;
pub mod store;
mod tally;
pub mod tier;
pub mod user;

pub use crate::{
    automa::{Automa, Builder},
    error::{Error, Result},
};
