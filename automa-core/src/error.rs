//! What can fail: the caller's faults first, the operator's last.

use std::{borrow::Cow, fmt, io, path::PathBuf, sync::Arc};

use jiff::Timestamp;

use crate::{
    actor::Forbidden,
    api_key::Refusal,
    credential::VaultError,
    execution::{
        Shortage, State,
        log::{LogError, MaskError},
    },
    page::InvalidCursor,
    quota::Exceeded,
    script::Status,
};

/// The result of an operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation was refused or failed. All but the last two are the caller's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing of this name.
    #[error("there is no {kind} `{id}`")]
    NotFound {
        /// What was looked for.
        kind: &'static str,
        /// Under which name.
        id: String,
    },
    /// The actor's role does not allow this.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// It was changed since the caller last read it.
    #[error("the {kind} has been changed meanwhile; it now has version {current}")]
    Conflict {
        /// What was to be changed.
        kind: &'static str,
        /// The version it has now.
        current: u32,
    },
    /// The script is not to run unattended.
    #[error(
        "the script `{name}` is {status}, and only active scripts run unattended; make it active"
    )]
    NotActive {
        /// Its name.
        name: String,
        /// What it is instead.
        status: Status,
    },
    /// A former execution of the job is open, and its rule is to skip then; or there are too many.
    #[error("a former execution of the job has not ended yet ({open} of it wait or run)")]
    Overlaps {
        /// How many there are.
        open: usize,
    },
    /// There is no webhook with this token.
    #[error("there is no webhook at this address")]
    NoHook,
    /// A call of a webhook is not signed as it has to be.
    #[error("the signature of this call is not accepted: {0}")]
    WrongSignature(&'static str),
    /// A signed call came a second time.
    #[error("this call was received before, and is accepted once; sign it anew to repeat it")]
    Replayed,
    /// The job rests.
    #[error("the job is paused; it can be called once it is resumed")]
    Paused,
    /// The version may not run as active before somebody has approved it.
    #[error(
        "version {version} of the script `{name}` has not been approved; somebody else than its \
         author has to, or it has to run as a draft"
    )]
    NotApproved {
        /// The script's name.
        name: String,
        /// The version that was asked for, or the newest.
        version: u32,
    },
    /// Some of the input cannot be accepted: one entry for each field.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<FieldError>),
    /// Nobody has this name with this password; which of both is wrong is not told.
    #[error("the name or the password is wrong")]
    WrongPassword,
    /// The actor's tier does not allow more.
    #[error(transparent)]
    QuotaExceeded(#[from] Exceeded),
    /// The API key is not accepted.
    #[error(transparent)]
    WrongKey(#[from] Refusal),
    /// Nobody could let others in any more.
    #[error("this is the last admin who may sign in; make somebody else an admin first")]
    LastAdmin,
    /// Not a link by which a password may be set.
    #[error("this link was used, has expired or never was; ask an admin for another one")]
    WrongLink,
    /// The session was ended or has expired.
    #[error("the session has ended; sign in again")]
    SessionEnded,
    /// There is a user already.
    #[error("Automa is set up already; sign in, or ask an admin for an account")]
    SetupClosed,
    /// Not the token of the setup link.
    #[error("this is not the setup link of this Automa; `automa setup-url` shows it again")]
    WrongToken,
    /// The idempotency key came with another request within the last day.
    #[error("this idempotency key was used for another request; take a new key for a new request")]
    IdempotencyMismatch,
    /// The execution has ended already.
    #[error("the execution has already ended: it {state}", state = .0.as_sentence())]
    Ended(State),
    /// The agent does not run.
    #[error("the agent does not run at the moment; start it first")]
    AgentStopped,
    /// The agent runs, or is about to.
    #[error("the agent is not stopped; stop it first")]
    AgentRuns,
    /// The agent's script does not read its standard input.
    #[error("the agent has not read what it was sent before; nothing was sent")]
    AgentDeaf,
    /// There is no pipe for the standard input of an agent.
    #[error("no pipe could be made for the standard input of an agent")]
    AgentInput(#[source] io::Error),
    /// There is no space for what an execution would write.
    #[error(
        "{}; remove what is not needed from the disk, or move the data to a larger one",
        Shortage::Disk { free: *.free, least: *.least }
    )]
    DiskFull {
        /// Bytes that are free.
        free: u64,
        /// Bytes that have to be.
        least: u64,
    },
    /// The log was removed, because it was beyond the time or size that logs are kept for.
    #[error(
        "the log was removed on {day}, as logs are kept for a limited time only",
        day = .at.strftime("%-d %B %Y")
    )]
    LogRemoved {
        /// When.
        at: Timestamp,
    },
    /// The credential's time is over.
    #[error(
        "the credential `{name}` expired on {day}; renew it, or give it another date",
        day = .at.strftime("%-d %B %Y")
    )]
    CredentialExpired {
        /// Its name.
        name: String,
        /// When.
        at: Timestamp,
    },
    /// Something is given the credential.
    #[error("the credential `{name}` is given to {holders}; take it from them first")]
    CredentialBound {
        /// Its name.
        name: String,
        /// The names of scripts and jobs.
        holders: String,
    },
    /// A version of a script is not given a credential.
    #[error(
        "version {number} was written by {author} after {by} had bound the credential `{name}` to the \
         script; {by}, or whoever else may use it, has to bind it again to confirm that version"
    )]
    CredentialUnconfirmed {
        /// The credential's name.
        name: String,
        /// Who bound it.
        by: String,
        /// Who wrote the version.
        author: String,
        /// Its number.
        number: u32,
    },
    /// Nobody may see this secret.
    #[error("{0}")]
    NotRevealable(&'static str),
    /// It was asked for too often.
    #[error("this was tried too often; try again in {seconds} seconds")]
    TooOften {
        /// After how many seconds it may be tried again, at least 1.
        seconds: u64,
    },
    /// The master key is not replaced now.
    #[error("{0}")]
    CannotRotate(&'static str),
    /// Secrets cannot be sealed or opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// This Automa was opened without an engine.
    #[error("this Automa was opened to look, not to run: start it instead")]
    NotRunning,
    /// Nothing can be confined on this host.
    #[error(transparent)]
    Sandbox(#[from] automa_sandbox::Error),
    /// A log could not be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The secrets that an execution is given cannot be masked in what it leaves.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// The content of an artifact could not be read.
    #[error("an artifact could not be read")]
    Artifact(#[source] io::Error),
    /// A password could not be hashed, for lack of memory, or its stored hash is damaged.
    #[error("a password could not be hashed")]
    Hashing(#[source] argon2::password_hash::Error),
    /// A directory could not be used.
    #[error("{doing} {}", path.display())]
    Directory {
        /// What was being done.
        doing: &'static str,
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One field that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field, as the caller wrote it: `name`, `limits.wall_ms`, `parameters/count`.
    pub field: Cow<'static, str>,
    /// What is wrong with it and what would be right.
    pub reason: String,
}

impl FieldError {
    /// What is wrong with a field.
    pub fn new(field: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }

    /// Everything is right with the input, or [`Error::Invalid`].
    pub(crate) fn none_of(errors: Vec<Self>) -> Result<()> {
        if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

/// Why the store did not do what it was asked to.
///
/// Unless a variant says otherwise, nothing of the change was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The cursor is not one of this list.
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    /// There is a record of this key already.
    #[error("`{table}` already has a record of this key")]
    Exists {
        /// The table.
        table: &'static str,
    },
    /// The code of the change panicked; other changes are not affected.
    #[error("a change of the store panicked: {message}")]
    Panicked {
        /// What it panicked with.
        message: String,
    },
    /// The store was shut down.
    #[error("the store is closed")]
    Closed,
    /// The store failed before and cannot be written yet.
    #[error("the store is out of order since a failure, and is tried again: {reason}")]
    Unavailable {
        /// What failed.
        reason: String,
    },
    /// Making changes durable failed. **Whether this change is stored is not known** until the
    /// store is available again: read before repeating it.
    #[error("the store could not make a change durable; check its disk for space and errors")]
    Commit(#[source] Arc<redb::Error>),
    /// Another process has the store open.
    #[error("{} is open in another process; stop that first", path.display())]
    InUse {
        /// The store's file.
        path: PathBuf,
    },
    /// The store was written by a newer Automa.
    #[error(
        "this store has format {found}, and this version of Automa knows formats up to {known}; \
         install the newer version, or restore the backup that it made before its upgrade"
    )]
    TooNew {
        /// The store's format.
        found: u32,
        /// The newest format that is known here.
        known: u32,
    },
    /// The file is not a store of Automa.
    #[error("{} is not a store of Automa", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The journal does not go with the store, and cannot be left out without loss.
    #[error(
        "{} holds changes that the store lacks, but {why}; start the version that wrote it once, or \
         remove it to go on without them",
        path.display()
    )]
    Journal {
        /// The journal's file.
        path: PathBuf,
        /// Why they cannot be made.
        why: &'static str,
    },
    /// The journal tells of a table that this version does not have.
    #[error(
        "the store's journal has changes of `{table}`, which this version of Automa does not know; \
         start the version that wrote them once"
    )]
    UnknownTable {
        /// The table.
        table: String,
    },
    /// A file could not be opened or copied.
    #[error("{doing} {}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A record was written by a newer Automa, or is damaged.
    #[error("a record of `{table}` has version {version}, which this version does not know")]
    UnknownVersion {
        /// The table.
        table: &'static str,
        /// The version found, 0 if the record is empty.
        version: u8,
    },
    /// The bytes of a record make no sense.
    #[error("a record of `{table}`, version {version}, is damaged")]
    Damaged {
        /// The table.
        table: &'static str,
        /// The record's version.
        version: u8,
        /// Where it stopped making sense.
        source: postcard::Error,
    },
    /// A record has a part that cannot be written.
    #[error("a record of `{table}` cannot be written")]
    Unwritable {
        /// The table.
        table: &'static str,
        /// Which part.
        source: postcard::Error,
    },
    /// The database failed: disk, lock or corruption.
    #[error("the database failed")]
    Database(#[source] Box<redb::Error>),
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseClosed => Self::Closed,
            // Of a handle that is about to be replaced.
            redb::Error::PreviousIo => Self::Unavailable { reason: error.to_string() },
            error => Self::Database(Box::new(error)),
        }
    }
}

macro_rules! through_redb_error {
    ($($error:ident)*) => {$(
        impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}

through_redb_error! { CommitError CompactionError DatabaseError StorageError TableError TransactionError }

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn a_source_is_told_once() {
        let error = StoreError::from(redb::StorageError::Corrupted("page 7".into()));
        assert_eq!(error.to_string(), "the database failed");
        assert!(error.source().unwrap().to_string().contains("page 7"));
    }

    #[test]
    fn a_closed_database_is_a_closed_store() {
        let error = StoreError::from(redb::StorageError::DatabaseClosed);
        assert!(matches!(error, StoreError::Closed), "{error:?}");
    }
}
