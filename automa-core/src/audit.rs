//! The audit log: what was done, by whom, and by which way.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Automa, Result,
    actor::{Actor, Origin, Permission},
    clock::Clock,
    id::{AuditId, ExecutionId, ScriptId, UserId},
    page::{Page, PageRequest},
    store,
};

/// One entry of the audit log. Written in the same change as what it tells of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its id, in the order in which things happened.
    pub id: AuditId,
    /// When.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub at: Timestamp,
    /// Who, as named at that time.
    pub actor: String,
    /// Who, unless it was the embedding program.
    pub user: Option<UserId>,
    /// By which way.
    pub origin: Origin,
    /// What.
    pub action: Action,
}

/// What was done, and to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Action {
    /// A script was created.
    ScriptCreated(ScriptId),
    /// A script was changed, without a new version of its source.
    ScriptChanged(ScriptId),
    /// A script got a new version.
    ScriptVersionAdded(ScriptId, u32),
    /// An execution was submitted.
    ExecutionSubmitted(ExecutionId),
    /// An execution was cancelled.
    ExecutionCancelled(ExecutionId),
}

impl Entry {
    /// What `actor` does now; made before the change that it goes into.
    pub(crate) fn new(clock: &dyn Clock, actor: &Actor, action: Action) -> Self {
        Self {
            id: AuditId::generate(clock),
            at: clock.now(),
            actor: actor.name.clone(),
            user: actor.user,
            origin: actor.origin,
            action,
        }
    }
}

/// The audit log as one actor may see it.
#[derive(Debug, Clone, Copy)]
pub struct Audit<'a> {
    automa: &'a Automa,
    actor: &'a Actor,
}

impl<'a> Audit<'a> {
    pub(crate) fn new(automa: &'a Automa, actor: &'a Actor) -> Self {
        Self { automa, actor }
    }

    /// The entries, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`](crate::Error::Forbidden) for all but admins, and the store's.
    pub async fn list(&self, page: PageRequest) -> Result<Page<Entry>> {
        self.actor.require(Permission::ReadAudit)?;
        let list = move |view: &_| Ok(store::audit::list(view, &page)?);
        self.automa.store.read(list).await
    }
}
