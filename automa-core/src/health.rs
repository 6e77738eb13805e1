//! Whether everything works, for whoever decides to send work here.

use crate::store;

/// What works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether changes can be made.
    pub store: store::Health,
    /// Whether executions can be started.
    pub engine: EngineHealth,
}

/// Whether executions can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineHealth {
    /// They can.
    Ready,
    /// The helper of the sandboxes has died and is being started again. What is submitted is
    /// accepted, and waits for that.
    Restarting {
        /// What happened last.
        reason: String,
    },
    /// This Automa was opened to look.
    NotStarted,
}

impl Health {
    /// Whether what is submitted now is accepted and run.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.store == store::Health::Ready && self.engine == EngineHealth::Ready
    }
}
