//! What actions are called, what they concern, and how they ended.

use super::{Action, Outcome, Resource};

impl Action {
    /// The names of all actions. Each begins with the kind of thing that it concerns, and stays as it
    /// is: filters and exports rely on it.
    pub const NAMES: [&str; 66] = [
        "script.created",
        "script.changed",
        "script.version_added",
        "execution.submitted",
        "execution.cancelled",
        "user.set_up",
        "user.created",
        "session.began",
        "session.refused",
        "session.ended",
        "session.reused",
        "script.deleted",
        "settings.retention_changed",
        "script.retention_changed",
        "settings.swept",
        "script.status_changed",
        "job.created",
        "job.changed",
        "job.paused",
        "job.resumed",
        "job.deleted",
        "job.hook_renewed",
        "script.restored",
        "script.purged",
        "agent.created",
        "agent.changed",
        "agent.deleted",
        "agent.started",
        "agent.stopped",
        "agent.restarted",
        "agent.signalled",
        "agent.told",
        "script.version_approved",
        "settings.review_rules_changed",
        "api_key.created",
        "api_key.changed",
        "api_key.deleted",
        "api_key.refused",
        "credential.created",
        "credential.changed",
        "credential.version_added",
        "credential.version_destroyed",
        "credential.deleted",
        "credential.revealed",
        "credential.reveal_refused",
        "credential.tested",
        "user.changed",
        "user.role_changed",
        "user.disabled",
        "user.enabled",
        "user.password_changed",
        "user.password_reset_begun",
        "user.password_reset",
        "session.revoked",
        "user.other_sessions_revoked",
        "settings.tiers_changed",
        "user.tier_changed",
        "request.refused",
        "request.failed",
        "job.call_refused",
        "audit.pruned",
        "settings.master_key_rotation_started",
        "settings.master_key_rotated",
        "credential.bound",
        "credential.unbound",
        "credential.released",
    ];

    /// Its name, such as `script.created`: one of [`NAMES`](Self::NAMES).
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ScriptCreated(_) => "script.created",
            Self::ScriptChanged(_) => "script.changed",
            Self::ScriptVersionAdded(..) => "script.version_added",
            Self::ExecutionSubmitted(_) => "execution.submitted",
            Self::ExecutionCancelled(_) => "execution.cancelled",
            Self::SetupDone(_) => "user.set_up",
            Self::UserCreated(_) => "user.created",
            Self::SignedIn(_) => "session.began",
            Self::SignInRefused => "session.refused",
            Self::SignedOut(_) => "session.ended",
            Self::SessionReused(_) => "session.reused",
            Self::ScriptDeleted(_) => "script.deleted",
            Self::RetentionChanged => "settings.retention_changed",
            Self::ScriptRetentionChanged(_) => "script.retention_changed",
            Self::Swept { .. } => "settings.swept",
            Self::ScriptStatusChanged(..) => "script.status_changed",
            Self::JobCreated(_) => "job.created",
            Self::JobChanged(_) => "job.changed",
            Self::JobPaused(_) => "job.paused",
            Self::JobResumed(_) => "job.resumed",
            Self::JobDeleted(_) => "job.deleted",
            Self::JobHookRenewed(_) => "job.hook_renewed",
            Self::ScriptRestored(_) => "script.restored",
            Self::ScriptPurged(_) => "script.purged",
            Self::AgentCreated(_) => "agent.created",
            Self::AgentChanged(_) => "agent.changed",
            Self::AgentDeleted(_) => "agent.deleted",
            Self::AgentStarted(_) => "agent.started",
            Self::AgentStopped(_) => "agent.stopped",
            Self::AgentRestarted(_) => "agent.restarted",
            Self::AgentSignalled(..) => "agent.signalled",
            Self::AgentTold(_) => "agent.told",
            Self::ScriptVersionApproved(..) => "script.version_approved",
            Self::ReviewRulesChanged { .. } => "settings.review_rules_changed",
            Self::ApiKeyCreated(_) => "api_key.created",
            Self::ApiKeyChanged(_) => "api_key.changed",
            Self::ApiKeyDeleted(_) => "api_key.deleted",
            Self::ApiKeyRefused(..) => "api_key.refused",
            Self::CredentialCreated(_) => "credential.created",
            Self::CredentialChanged(_) => "credential.changed",
            Self::CredentialVersionAdded(..) => "credential.version_added",
            Self::CredentialVersionDestroyed(..) => "credential.version_destroyed",
            Self::CredentialDeleted(_) => "credential.deleted",
            Self::CredentialRevealed(..) => "credential.revealed",
            Self::CredentialRevealRefused(_) => "credential.reveal_refused",
            Self::CredentialTested(_) => "credential.tested",
            Self::UserChanged(_) => "user.changed",
            Self::UserRoleChanged(..) => "user.role_changed",
            Self::UserDisabled(_) => "user.disabled",
            Self::UserEnabled(_) => "user.enabled",
            Self::PasswordChanged(_) => "user.password_changed",
            Self::PasswordResetBegun(_) => "user.password_reset_begun",
            Self::PasswordReset(_) => "user.password_reset",
            Self::SessionRevoked(_) => "session.revoked",
            Self::OtherSessionsRevoked(_) => "user.other_sessions_revoked",
            Self::TiersChanged => "settings.tiers_changed",
            Self::UserTierChanged(..) => "user.tier_changed",
            Self::RequestRefused(_) => "request.refused",
            Self::RequestFailed(_) => "request.failed",
            Self::JobCallRefused(_) => "job.call_refused",
            Self::AuditPruned { .. } => "audit.pruned",
            Self::MasterKeyRotationStarted => "settings.master_key_rotation_started",
            Self::MasterKeyRotated => "settings.master_key_rotated",
            Self::CredentialBound(..) => "credential.bound",
            Self::CredentialUnbound(..) => "credential.unbound",
            Self::CredentialReleased(_) => "credential.released",
        }
    }

    /// What it was done to, if that is one thing that has an id.
    #[must_use]
    pub fn resource(&self) -> Option<Resource> {
        match *self {
            Self::ScriptCreated(id)
            | Self::ScriptChanged(id)
            | Self::ScriptVersionAdded(id, _)
            | Self::ScriptDeleted(id)
            | Self::ScriptRetentionChanged(id)
            | Self::ScriptStatusChanged(id, _)
            | Self::ScriptRestored(id)
            | Self::ScriptPurged(id)
            | Self::ScriptVersionApproved(id, _) => Some(Resource::Script(id)),
            Self::ExecutionSubmitted(id) | Self::ExecutionCancelled(id) => {
                Some(Resource::Execution(id))
            }
            Self::SetupDone(id)
            | Self::UserCreated(id)
            | Self::UserChanged(id)
            | Self::UserRoleChanged(id, _)
            | Self::UserDisabled(id)
            | Self::UserEnabled(id)
            | Self::PasswordChanged(id)
            | Self::PasswordResetBegun(id)
            | Self::PasswordReset(id)
            | Self::OtherSessionsRevoked(id)
            | Self::UserTierChanged(id, _) => Some(Resource::User(id)),
            Self::SignedIn(id)
            | Self::SignedOut(id)
            | Self::SessionReused(id)
            | Self::SessionRevoked(id) => Some(Resource::Session(id)),
            Self::JobCreated(id)
            | Self::JobChanged(id)
            | Self::JobPaused(id)
            | Self::JobResumed(id)
            | Self::JobDeleted(id)
            | Self::JobHookRenewed(id)
            | Self::JobCallRefused(id) => Some(Resource::Job(id)),
            Self::AgentCreated(id)
            | Self::AgentChanged(id)
            | Self::AgentDeleted(id)
            | Self::AgentStarted(id)
            | Self::AgentStopped(id)
            | Self::AgentRestarted(id)
            | Self::AgentSignalled(id, _)
            | Self::AgentTold(id) => Some(Resource::Agent(id)),
            Self::ApiKeyCreated(id)
            | Self::ApiKeyChanged(id)
            | Self::ApiKeyDeleted(id)
            | Self::ApiKeyRefused(id, _) => Some(Resource::ApiKey(id)),
            Self::CredentialCreated(id)
            | Self::CredentialChanged(id)
            | Self::CredentialVersionAdded(id, _)
            | Self::CredentialVersionDestroyed(id, _)
            | Self::CredentialDeleted(id)
            | Self::CredentialRevealed(id, _)
            | Self::CredentialRevealRefused(id)
            | Self::CredentialTested(id)
            | Self::CredentialBound(id, _)
            | Self::CredentialUnbound(id, _)
            | Self::CredentialReleased(id) => Some(Resource::Credential(id)),
            Self::RequestRefused(resource) | Self::RequestFailed(resource) => resource,
            Self::SignInRefused
            | Self::RetentionChanged
            | Self::TiersChanged
            | Self::Swept { .. }
            | Self::ReviewRulesChanged { .. }
            | Self::AuditPruned { .. }
            | Self::MasterKeyRotationStarted
            | Self::MasterKeyRotated => None,
        }
    }

    /// How an action of this kind ends.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::SignInRefused
            | Self::SessionReused(_)
            | Self::ApiKeyRefused(..)
            | Self::CredentialRevealRefused(_)
            | Self::RequestRefused(_)
            | Self::JobCallRefused(_) => Outcome::Refused,
            Self::RequestFailed(_) => Outcome::Failed,
            _ => Outcome::Done,
        }
    }
}
