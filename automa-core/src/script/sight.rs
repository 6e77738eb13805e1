//! Who sees which scripts: everybody the public ones, owners and admins also the private ones; an API
//! key for chosen scripts only these.

use std::sync::Arc;

use super::{Script, Visibility};
use crate::{
    actor::{Actor, Role},
    api_key::KeyInUse,
    id::{ScriptId, UserId},
};

/// Whose private scripts an actor sees, and to which scripts it is confined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sight {
    whose: Whose,
    key: Option<Arc<KeyInUse>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Everybody's.
    All,
    /// Those of one user, or what belongs to none.
    Of(Option<UserId>),
}

impl Sight {
    /// Everything there is.
    pub(crate) const ALL: Self = Self { whose: Whose::All, key: None };

    /// What `actor` sees.
    pub(crate) fn of(actor: &Actor) -> Self {
        let whose = if actor.role == Role::Admin { Whose::All } else { Whose::Of(actor.user) };
        Self { whose, key: actor.key.clone() }
    }

    /// Whether a script is there for whoever looks.
    pub(crate) fn sees(&self, script: &Script) -> bool {
        let public = script.visibility == Visibility::Public || self.owns(script);
        public && self.reaches(Some(script.id))
    }

    /// Whether whoever looks decides who else sees it.
    pub(crate) fn owns(&self, script: &Script) -> bool {
        match self.whose {
            Whose::All => true,
            Whose::Of(user) => script.owner == user,
        }
    }

    /// Whether this is the sight of somebody from whom nothing is private.
    pub(crate) fn is_of_all(&self) -> bool {
        self.whose == Whose::All
    }

    /// Whether a script, or code that belongs to none, is not beyond what an API key was made for.
    pub(crate) fn reaches(&self, script: Option<ScriptId>) -> bool {
        let chosen = self.key.as_ref().and_then(|key| key.scope.scripts.as_ref());
        chosen.is_none_or(|chosen| script.is_some_and(|script| chosen.contains(&script)))
    }
}
