//! Who sees which scripts: everybody the public ones, owners and admins also the private ones.

use super::{Script, Visibility};
use crate::{
    actor::{Actor, Role},
    id::UserId,
};

/// Whose private scripts an actor sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Everybody's.
    All,
    /// Those of one user, or what belongs to none.
    Of(Option<UserId>),
}

impl Sight {
    /// What `actor` sees.
    pub(crate) fn of(actor: &Actor) -> Self {
        if actor.role == Role::Admin { Self::All } else { Self::Of(actor.user) }
    }

    /// Whether a script is there for whoever looks.
    pub(crate) fn sees(self, script: &Script) -> bool {
        script.visibility == Visibility::Public || self.owns(script)
    }

    /// Whether whoever looks decides who else sees it.
    pub(crate) fn owns(self, script: &Script) -> bool {
        match self {
            Self::All => true,
            Self::Of(user) => script.owner == user,
        }
    }
}
