//! The audit log: what was done or refused, to whom, from where, and how it ended.
//!
//! Each state change leaves an [`Entry`] in the same change, so that there is none without the other.
//! What was refused leaves one too. Entries are chained by hashes and signed now and then
//! ([`Checkpoint`]), so that changing what was written shows.

mod action;
mod chain;
mod export;
mod filter;
mod keeper;
mod refusals;
mod resource;
mod statistics;

use ed25519_dalek::SigningKey;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    chain::Walk,
    export::Sealed,
    keeper::{Keeper, Keeping},
    refusals::Refusals,
    statistics::{ACTORS, COUNTED, Days},
};
pub use self::{
    chain::{Broken, Checkpoint, Hash, PublicKey, Unreadable, Verdict},
    export::verify as verify_export,
    filter::Filter,
    resource::{Resource, UnknownResource},
    statistics::{DayCount, Statistics},
};
use crate::{
    Automa, Result,
    actor::{Actor, Origin, Permission, Role},
    clock::Clock,
    credential::Holder,
    id::{
        AgentId, ApiKeyId, AuditId, CredentialId, ExecutionId, JobId, ScriptId, SessionId, UserId,
    },
    key_file::KeyFile,
    page::{Page, PageRequest},
    script::Status,
    session,
    store::{self, Store, change::Change},
    tier::Tier,
};

/// The file with the key that checkpoints are signed with.
pub(crate) const KEY_FILE: &str = "audit.key";
/// Entries that are exported at a time.
const EXPORTED: u64 = 500;
/// Most characters of a detail.
const DETAIL: usize = 200;

/// One entry of the audit log. Written in the same change as what it tells of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its id, in the order in which things were asked for.
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
    /// From which network address, where that is known.
    pub address: Option<String>,
    /// Its place in the chain, from 1 up, in the order in which changes were made.
    pub number: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// How often the same happened within a minute, for which there is one entry: 1 for all but what was
    /// refused.
    pub times: u32,
    /// More about it, in words: at most 200 characters.
    pub detail: Option<String>,
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was not allowed, or somebody did not prove who they are.
    Refused,
    /// It was tried and did not succeed.
    Failed,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 3] = [Self::Done, Self::Refused, Self::Failed];

    /// Its name, as in filters and exports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// An entry as version 1 wrote it, before there was a chain.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EntryV1 {
    id: AuditId,
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    at: Timestamp,
    actor: String,
    user: Option<UserId>,
    origin: Origin,
    action: Action,
    address: Option<String>,
}

impl From<EntryV1> for Entry {
    /// Its number comes from the chain that it is put into.
    fn from(old: EntryV1) -> Self {
        let EntryV1 { id, at, actor, user, origin, action, address } = old;
        let outcome = action.outcome();
        Self {
            id,
            at,
            actor,
            user,
            origin,
            action,
            address,
            number: 0,
            outcome,
            times: 1,
            detail: None,
        }
    }
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
    /// A request was refused, because whoever sent it may not do this or did not prove who they are.
    RequestRefused(Option<Resource>),
    /// A request that was to change something failed, by a fault of the server.
    RequestFailed(Option<Resource>),
    /// A call of a job's webhook was refused, because its signature was not accepted.
    JobCallRefused(JobId),
    /// Entries of the audit log that were beyond their time were removed.
    AuditPruned {
        /// How many.
        entries: u64,
        /// The number of the last of them.
        last: u64,
    },
    /// Another master key began to take the place of the current one.
    MasterKeyRotationStarted,
    /// Nothing is sealed by a former master key any more.
    MasterKeyRotated,
    /// A script or job is given a credential from then on.
    CredentialBound(CredentialId, Holder),
    /// A script or job is not given a credential any more.
    CredentialUnbound(CredentialId, Holder),
    /// Nothing is given a credential any more.
    CredentialReleased(CredentialId),
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
            address: actor.address.map(|address| address.to_string()),
            number: 0,
            outcome: action.outcome(),
            times: 1,
            detail: None,
        }
    }

    /// The same with something more to say, which may come from outside.
    pub(crate) fn detail(self, detail: &str) -> Self {
        Self { detail: Some(session::line(detail, DETAIL)), ..self }
    }
}

/// How far an export has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Export {
    /// The number of the entry that comes next.
    next: u64,
    /// That of the last.
    last: u64,
}

impl Entry {
    /// The names of the columns of [`row`](Self::row), as a line.
    pub const COLUMNS: &'static str = export::COLUMNS;

    /// The entry as a row of a table for spreadsheets (RFC 4180). No cell is a formula.
    #[must_use]
    pub fn row(&self) -> String {
        export::row(self)
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
    /// As [`find`](Self::find).
    pub async fn list(&self, page: PageRequest) -> Result<Page<Entry>> {
        self.find(Filter::default(), page).await
    }

    /// The entries that a filter lets through, newest first. A page may have fewer than it could, or
    /// none, and continue all the same, if finding them took long.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`](crate::Error::Forbidden) for all but admins, and the store's.
    pub async fn find(&self, filter: Filter, page: PageRequest) -> Result<Page<Entry>> {
        self.actor.require(Permission::ReadAudit)?;
        let list = move |view: &_| Ok(store::audit::list(view, &filter, &page)?);
        self.automa.store.read(list).await
    }

    /// Goes along the whole chain: seconds for a million entries. All checkpoints have to be signed
    /// with the key of this Automa, or with one of `trusted`; and `kept`, checkpoints that were kept
    /// elsewhere, have to be true.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`](crate::Error::Forbidden) for all but admins;
    /// [`Error::Directory`](crate::Error::Directory) when the key cannot be read; and the store's. What is
    /// wrong with the chain is in the verdict.
    pub async fn verify(&self, trusted: Vec<PublicKey>, kept: Vec<Checkpoint>) -> Result<Verdict> {
        self.actor.require(Permission::ReadAudit)?;
        let mut trusted = trusted;
        trusted.push(public_key(self.automa)?);
        let verify = move |view: &_| Ok(store::audit::verify(view, &trusted, &kept)?);
        self.automa.store.read(verify).await
    }

    /// The newest checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`](crate::Error::Forbidden) for all but admins, and the store's.
    pub fn newest_checkpoint(&self) -> Result<Option<Checkpoint>> {
        self.actor.require(Permission::ReadAudit)?;
        self.automa.store.look(|view| Ok(store::audit::newest_checkpoint(view)?))
    }

    /// How much was done within a time, by whom and what.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`](crate::Error::Forbidden) for all but admins, and the store's.
    pub async fn statistics(
        &self,
        from: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Statistics> {
        self.actor.require(Permission::ReadAudit)?;
        let count = move |view: &_| Ok(store::audit::statistics(view, from, until)?);
        self.automa.store.read(count).await
    }

    /// Begins a complete export, JSON lines that [`verify_export`] proves: its first line, and where it
    /// goes on. What was not signed yet is signed by this.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`](crate::Error::Forbidden) for all but admins;
    /// [`Error::Directory`](crate::Error::Directory) when the key cannot be read; and the store's.
    pub async fn export(&self) -> Result<(String, Export)> {
        self.actor.require(Permission::ReadAudit)?;
        let (store, clock) = (&self.automa.store, &*self.automa.clock);
        keeper::sign(store, clock, signing_key(&self.automa.audit_key, clock)?).await?;
        store.look(|view| {
            let last = store::audit::newest_checkpoint(view)?;
            let (base, first) = store::audit::beginning(view)?;
            let head = export::head(base.as_ref(), last.as_ref());
            Ok((head, Export { next: first, last: last.map_or(0, |last| last.number) }))
        })
    }

    /// The next lines of an export, some hundred kilobytes; `None` at its end.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`](crate::Error::Forbidden) for all but admins, and the store's.
    pub async fn export_next(&self, export: &mut Export) -> Result<Option<String>> {
        self.actor.require(Permission::ReadAudit)?;
        let Export { next, last } = *export;
        if next > last {
            return Ok(None);
        }
        let end = last.min(next.saturating_add(EXPORTED - 1));
        export.next = end.saturating_add(1);
        let read = move |view: &_| {
            let (entries, checkpoints) = store::audit::sealed(view, next..=end)?;
            let mut checkpoints = checkpoints.iter().peekable();
            let mut text = String::new();
            for sealed in &entries {
                text.push_str(&export::line(sealed));
                while let Some(signed) = checkpoints.next_if(|it| it.number <= sealed.entry.number)
                {
                    text.push_str(&export::checkpoint(signed));
                }
            }
            Ok(Some(text))
        };
        self.automa.store.read(read).await
    }

    /// Remembers that this actor was refused something before an operation could: by whoever built the
    /// actor. `detail` says what and why.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn note_refused(&self, resource: Option<Resource>, detail: &str) -> Result<()> {
        self.note(Action::RequestRefused(resource), detail).await
    }

    /// Remembers that something that this actor wanted to change failed by a fault of the server.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn note_failed(&self, resource: Option<Resource>, detail: &str) -> Result<()> {
        self.note(Action::RequestFailed(resource), detail).await
    }

    async fn note(&self, action: Action, detail: &str) -> Result<()> {
        let entry = Entry::new(&*self.automa.clock, self.actor, action).detail(detail);
        note_refusal(self.automa, entry).await
    }

    /// The key that checkpoints are signed with.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`](crate::Error::Forbidden) for all but admins, and
    /// [`Error::Directory`](crate::Error::Directory) when it cannot be read or made.
    pub fn public_key(&self) -> Result<PublicKey> {
        self.actor.require(Permission::ReadAudit)?;
        public_key(self.automa)
    }
}

/// Remembers that somebody was refused something, or failed. The first of a kind is durable when this
/// returns; what is the same within a minute is counted.
///
/// # Errors
///
/// The store's.
pub(crate) async fn note_refusal(automa: &Automa, entry: Entry) -> Result<()> {
    write(&automa.store, automa.refusals.note(&*automa.clock, entry)).await
}

/// Writes entries that are about no change.
async fn write(store: &Store, entries: Vec<Entry>) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let write = move |change: &mut Change| {
        entries.iter().try_for_each(|entry| Ok(store::audit::add(change, entry)?))
    };
    store.write(write).await
}

fn signing_key(key: &KeyFile, clock: &dyn Clock) -> Result<SigningKey> {
    let key = key.get_or_make(clock)?;
    let bytes = key.expose_secret().first_chunk().copied().unwrap_or_default();
    Ok(SigningKey::from_bytes(&bytes))
}

fn public_key(automa: &Automa) -> Result<PublicKey> {
    Ok(PublicKey::of(&signing_key(&automa.audit_key, &*automa.clock)?))
}

#[cfg(test)]
mod tests {
    mod export;
    mod log;

    use super::*;
    use crate::{
        clock::TestClock,
        store::record::{
            Record,
            golden::{assert_bytes, assert_reads},
        },
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
            Action::RequestRefused(None),
            Action::RequestFailed(None),
            Action::JobCallRefused(job),
            Action::AuditPruned { entries: 1, last: 2 },
            Action::MasterKeyRotationStarted,
            Action::MasterKeyRotated,
            Action::CredentialBound(credential, Holder::Script(script)),
            Action::CredentialUnbound(credential, Holder::Job(job)),
            Action::CredentialReleased(credential),
        ];
        assert_eq!(actions.map(|action| action.name()), Action::NAMES);
        for (number, action) in actions.into_iter().enumerate() {
            let bytes = postcard::to_stdvec(&action).unwrap();
            assert_eq!(usize::from(bytes[0]), number, "{action:?}");
        }
    }

    /// If this fails, the stored format has changed: add a version, do not change the bytes.
    #[test]
    fn stored_bytes_stay_as_they_are() {
        let old = EntryV1 {
            id: "018f0000-0000-7000-8000-000000000001".parse().unwrap(),
            at: "2026-01-01T00:00:00Z".parse().unwrap(),
            actor: "eve".to_owned(),
            user: None,
            origin: Origin::Web,
            action: Action::SignInRefused,
            address: Some("::1".to_owned()),
        };
        let entry = Entry::from(old);
        assert_reads(
            "01018f0000000070008000000000000001808082e288d2a3060365766500000801033a3a31",
            &entry,
        );
        let detail = Some("why".to_owned());
        let entry = Entry { number: 300, times: 7, detail, ..entry };
        assert_bytes(
            &entry,
            "02018f0000000070008000000000000001808082e288d2a3060365766500000801033a3a31\
             ac0201070103776879",
        );
        assert!(Entry::decode(&[1, 255]).is_err());
    }
}
