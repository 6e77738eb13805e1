//! The trail of a credential: what it was used for, by whom, and what became of it.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Credentials, find_seen};
use crate::{
    Error, Result,
    actor::{Actor, Permission, Role},
    clock::Clock,
    id::{CredentialId, ExecutionId, ScriptId, UseId, UserId},
    page::{Page, PageRequest},
    store,
};

/// One entry of a credential's trail. The newest 10,000 are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Its id, in the order in which things happened.
    pub id: UseId,
    /// When.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub at: Timestamp,
    /// Who, unless it was the embedding program.
    pub user: Option<UserId>,
    /// Who, as named then.
    pub actor: String,
    /// What happened.
    pub what: What,
}

/// What happened with a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum What {
    /// It was created.
    Created,
    /// What is known of it was changed.
    Changed,
    /// It got a new secret, in this version.
    VersionAdded(u32),
    /// The secret of this version was destroyed.
    VersionDestroyed(u32),
    /// It was deleted.
    Deleted,
    /// The secret of this version was shown.
    Revealed(u32),
    /// It was not shown to somebody who asked for that.
    RevealRefused,
    /// An execution was given it.
    Given(Given),
    /// Somebody tested it.
    Tested {
        /// Whether it could be used.
        passed: bool,
    },
}

/// How an execution was given a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// In which version.
    pub version: u32,
    /// The execution.
    pub execution: ExecutionId,
    /// Its script, unless it was code that was not saved.
    pub script: Option<ScriptId>,
    /// Under which name.
    pub variable: String,
    /// By which way.
    pub delivery: Delivery,
}

/// By which way a script is given a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// In environment variables.
    Env,
    /// In a file that the script alone can read, in memory.
    File,
    /// In an open descriptor.
    Fd,
}

/// There is no such way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no way to be given a secret; there are env, file and fd")]
pub struct UnknownDelivery(String);

impl Delivery {
    /// All ways.
    pub const ALL: [Self; 3] = [Self::Env, Self::File, Self::Fd];

    /// Its name in the API and in forms.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::File => "file",
            Self::Fd => "fd",
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Delivery {
    type Err = UnknownDelivery;

    fn from_str(name: &str) -> Result<Self, UnknownDelivery> {
        let found = Self::ALL.into_iter().find(|way| way.name() == name);
        found.ok_or_else(|| UnknownDelivery(name.to_owned()))
    }
}

impl What {
    /// The name of what happened in the API.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::VersionAdded(_) => "version_added",
            Self::VersionDestroyed(_) => "version_destroyed",
            Self::Deleted => "deleted",
            Self::Revealed(_) => "revealed",
            Self::RevealRefused => "reveal_refused",
            Self::Given(_) => "given",
            Self::Tested { .. } => "tested",
        }
    }

    /// Whether somebody or something got the secret.
    pub(crate) fn is_use(&self) -> bool {
        matches!(self, Self::Revealed(_) | Self::Given(_))
    }
}

impl Use {
    /// What `actor` does now; made before the change that it goes into.
    pub(crate) fn new(clock: &dyn Clock, actor: &Actor, what: What) -> Self {
        Self {
            id: UseId::generate(clock),
            at: clock.now(),
            user: actor.user,
            actor: actor.name.clone(),
            what,
        }
    }
}

/// How often and when a credential was used last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// When its secret was given to an execution or shown last.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    pub used_at: Option<Timestamp>,
    /// How often that happened.
    pub uses: u64,
    /// How many entries of its trail are kept.
    pub(crate) kept: u32,
}

impl Credentials<'_> {
    /// What a credential was used for and what became of it, newest first. Of one that was deleted,
    /// admins can still read it.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn uses(&self, id: CredentialId, page: PageRequest) -> Result<Page<Use>> {
        self.actor.require(Permission::ReadCredentials)?;
        let actor = self.actor.clone();
        let list = move |view: &_| {
            let uses = store::credentials::uses(view, id, &page)?;
            match find_seen(view, &actor, id) {
                Err(Error::NotFound { .. })
                    if actor.role == Role::Admin && !uses.items.is_empty() => {}
                found => drop(found?),
            }
            Ok(uses)
        };
        self.automa.store.read(list).await
    }
}
