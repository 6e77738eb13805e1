//! The audit log: what was done, by whom, and by which way.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Automa, Result,
    actor::{Actor, Origin, Permission, Role},
    clock::Clock,
    id::{
        AgentId, ApiKeyId, AuditId, CredentialId, ExecutionId, JobId, ScriptId, SessionId, UserId,
    },
    page::{Page, PageRequest},
    script::Status,
    store,
    tier::Tier,
};

/// One entry of the audit log. Written in the same change as what it tells of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its id, in the order in which things happened.
    pub id: AuditId,
    /// When.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub at: Timestamp,
    /// Who, as named at that time; of a refused sign-in, the name that was tried.
    pub actor: String,
    /// Who, unless it was the embedding program or nobody who is known.
    pub user: Option<UserId>,
    /// By which way.
    pub origin: Origin,
    /// What.
    pub action: Action,
    /// From which network address; known of sign-ins only.
    pub address: Option<String>,
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
    /// The first admin was created through the setup link.
    SetupDone(UserId),
    /// A user was created.
    UserCreated(UserId),
    /// A user signed in, which began a session.
    SignedIn(SessionId),
    /// Somebody could not sign in, because the name or the password was wrong.
    SignInRefused,
    /// A session was ended by its user.
    SignedOut(SessionId),
    /// A session was ended because an old token of it was used again: it may have been stolen.
    SessionReused(SessionId),
    /// A script was deleted.
    ScriptDeleted(ScriptId),
    /// How long things are kept was changed.
    RetentionChanged,
    /// How long things of one script are kept was changed.
    ScriptRetentionChanged(ScriptId),
    /// What was beyond its time was removed.
    Swept {
        /// How many executions.
        executions: u64,
        /// How many logs, theirs included.
        logs: u64,
        /// How many bytes these took.
        bytes: u64,
    },
    /// A script was said to be good for something else.
    ScriptStatusChanged(ScriptId, Status),
    /// A job was created.
    JobCreated(JobId),
    /// A job was changed.
    JobChanged(JobId),
    /// A job was paused.
    JobPaused(JobId),
    /// A job was resumed.
    JobResumed(JobId),
    /// A job was deleted.
    JobDeleted(JobId),
    /// A job's webhook got a new address.
    JobHookRenewed(JobId),
    /// A deleted script was restored.
    ScriptRestored(ScriptId),
    /// A deleted script was removed for good.
    ScriptPurged(ScriptId),
    /// An agent was created.
    AgentCreated(AgentId),
    /// What an agent is was changed.
    AgentChanged(AgentId),
    /// An agent was deleted.
    AgentDeleted(AgentId),
    /// An agent was started by somebody.
    AgentStarted(AgentId),
    /// An agent was stopped by somebody.
    AgentStopped(AgentId),
    /// An agent was stopped and started anew by somebody.
    AgentRestarted(AgentId),
    /// An agent's script was sent a signal of this number.
    AgentSignalled(AgentId, i32),
    /// An agent's script was written a line.
    AgentTold(AgentId),
    /// A version of a script was approved.
    ScriptVersionApproved(ScriptId, u32),
    /// Whether versions have to be approved was changed.
    ReviewRulesChanged {
        /// Whether they have to.
        required: bool,
    },
    /// An API key was created.
    ApiKeyCreated(ApiKeyId),
    /// What an API key may do was changed, or whether it is accepted.
    ApiKeyChanged(ApiKeyId),
    /// An API key was removed.
    ApiKeyDeleted(ApiKeyId),
    /// An API key was refused this often within a minute: it was off, had expired, or came from elsewhere.
    ApiKeyRefused(ApiKeyId, u64),
    /// A credential was created.
    CredentialCreated(CredentialId),
    /// What is known of a credential was changed, but not its secret.
    CredentialChanged(CredentialId),
    /// A credential got a new secret, in this version.
    CredentialVersionAdded(CredentialId, u32),
    /// The secret of an old version was destroyed.
    CredentialVersionDestroyed(CredentialId, u32),
    /// A credential was deleted.
    CredentialDeleted(CredentialId),
    /// The secret of this version was shown to somebody.
    CredentialRevealed(CredentialId, u32),
    /// Somebody wanted to see a secret and was refused.
    CredentialRevealRefused(CredentialId),
    /// A credential was tested.
    CredentialTested(CredentialId),
    /// The address of a user was changed.
    UserChanged(UserId),
    /// A user got another role.
    UserRoleChanged(UserId, Role),
    /// A user may not sign in any more.
    UserDisabled(UserId),
    /// A user may sign in again.
    UserEnabled(UserId),
    /// A user set another password.
    PasswordChanged(UserId),
    /// A user's password was taken away, and a link made to set another one.
    PasswordResetBegun(UserId),
    /// A password was set by a link.
    PasswordReset(UserId),
    /// A user ended one of their sessions.
    SessionRevoked(SessionId),
    /// A user ended all of their sessions but one.
    OtherSessionsRevoked(UserId),
    /// What users of tiers may use was changed, or which tier those have who were given none.
    TiersChanged,
    /// A user was given a tier, or none.
    UserTierChanged(UserId, Option<Tier>),
}

impl Entry {
    /// What `actor` does now; made before the change that it goes into.
    pub(crate) fn new(clock: &dyn Clock, actor: &Actor, action: Action) -> Self {
        Self {
            id: AuditId::generate(clock),
            at: clock.now(),
            actor: actor.label(),
            user: actor.user,
            origin: actor.origin,
            action,
            address: None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::TestClock,
        store::record::{Record, golden::assert_bytes},
    };

    /// If this fails, the stored format has changed: add actions at the end only.
    #[test]
    fn an_action_keeps_its_number() {
        let clock = TestClock::new(Timestamp::UNIX_EPOCH);
        let (script, execution) = (ScriptId::generate(&clock), ExecutionId::generate(&clock));
        let (user, session) = (UserId::generate(&clock), SessionId::generate(&clock));
        let job = JobId::generate(&clock);
        let agent = AgentId::generate(&clock);
        let key = ApiKeyId::generate(&clock);
        let credential = CredentialId::generate(&clock);
        let actions = [
            Action::ScriptCreated(script),
            Action::ScriptChanged(script),
            Action::ScriptVersionAdded(script, 2),
            Action::ExecutionSubmitted(execution),
            Action::ExecutionCancelled(execution),
            Action::SetupDone(user),
            Action::UserCreated(user),
            Action::SignedIn(session),
            Action::SignInRefused,
            Action::SignedOut(session),
            Action::SessionReused(session),
            Action::ScriptDeleted(script),
            Action::RetentionChanged,
            Action::ScriptRetentionChanged(script),
            Action::Swept { executions: 1, logs: 2, bytes: 3 },
            Action::ScriptStatusChanged(script, Status::Active),
            Action::JobCreated(job),
            Action::JobChanged(job),
            Action::JobPaused(job),
            Action::JobResumed(job),
            Action::JobDeleted(job),
            Action::JobHookRenewed(job),
            Action::ScriptRestored(script),
            Action::ScriptPurged(script),
            Action::AgentCreated(agent),
            Action::AgentChanged(agent),
            Action::AgentDeleted(agent),
            Action::AgentStarted(agent),
            Action::AgentStopped(agent),
            Action::AgentRestarted(agent),
            Action::AgentSignalled(agent, 1),
            Action::AgentTold(agent),
            Action::ScriptVersionApproved(script, 2),
            Action::ReviewRulesChanged { required: true },
            Action::ApiKeyCreated(key),
            Action::ApiKeyChanged(key),
            Action::ApiKeyDeleted(key),
            Action::ApiKeyRefused(key, 3),
            Action::CredentialCreated(credential),
            Action::CredentialChanged(credential),
            Action::CredentialVersionAdded(credential, 2),
            Action::CredentialVersionDestroyed(credential, 1),
            Action::CredentialDeleted(credential),
            Action::CredentialRevealed(credential, 2),
            Action::CredentialRevealRefused(credential),
            Action::CredentialTested(credential),
            Action::UserChanged(user),
            Action::UserRoleChanged(user, Role::Admin),
            Action::UserDisabled(user),
            Action::UserEnabled(user),
            Action::PasswordChanged(user),
            Action::PasswordResetBegun(user),
            Action::PasswordReset(user),
            Action::SessionRevoked(session),
            Action::OtherSessionsRevoked(user),
            Action::TiersChanged,
            Action::UserTierChanged(user, Some(Tier::Free)),
        ];
        for (number, action) in actions.into_iter().enumerate() {
            let bytes = postcard::to_stdvec(&action).unwrap();
            assert_eq!(usize::from(bytes[0]), number, "{action:?}");
        }
    }

    /// If this fails, the stored format has changed: add a version, do not change the bytes.
    #[test]
    fn stored_bytes_stay_as_they_are() {
        let entry = Entry {
            id: "018f0000-0000-7000-8000-000000000001".parse().unwrap(),
            at: "2026-01-01T00:00:00Z".parse().unwrap(),
            actor: "eve".to_owned(),
            user: None,
            origin: Origin::Web,
            action: Action::SignInRefused,
            address: Some("::1".to_owned()),
        };
        assert_bytes(
            &entry,
            "01018f0000000070008000000000000001808082e288d2a3060365766500000801033a3a31",
        );
        assert!(Entry::decode(&[1, 255]).is_err());
    }
}
