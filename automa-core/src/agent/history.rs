//! What has happened to an agent: each state that it came to, when, and why.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Agents, State, find};
use crate::{
    Error, Result,
    actor::Permission,
    id::{AgentId, ExecutionId},
    page::{Page, PageRequest},
    store::{self, change::Snapshot},
};

/// How many are kept of each agent.
pub(crate) const KEPT: u64 = 500;

/// A state that an agent came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// When.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub at: Timestamp,
    /// To which.
    pub state: State,
    /// Why, as a sentence without its full stop.
    pub why: String,
    /// The execution that it is about.
    pub execution: Option<ExecutionId>,
    /// When it goes on, if by the clock.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::optional")]
    pub until: Option<Timestamp>,
}

impl Agents<'_> {
    /// What has happened to an agent, newest first; the last 500 are kept.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn history(&self, id: AgentId, page: PageRequest) -> Result<Page<Happening>> {
        self.actor.require(Permission::ReadAgents)?;
        let list = move |view: &Snapshot| {
            find(view, id)?;
            Ok::<_, Error>(store::agents::history(view, id, &page)?)
        };
        self.automa.store.read(list).await
    }
}
