//! Idempotency keys: whoever does not know whether a submission arrived sends it again with the
//! same key, and gets the execution of the first.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Execution, NewExecution, Program};
use crate::{
    Error, Result,
    error::{FieldError, StoreError},
    id::{ExecutionId, UserId},
    store::{
        self,
        change::{Change, View},
    },
};

/// How long a key stands for its request: a day by the clock. One that steps back makes it longer by as
/// much; one that steps forward over its end makes the same request another one.
pub(crate) const KEYS_EXPIRE_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// Most characters of a key.
const KEY_MAX: usize = 255;

pub(crate) type Hash = [u8; 32];

/// What was submitted with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Submitted {
    pub(crate) execution: ExecutionId,
    /// Of all that makes the request what it is.
    pub(crate) request: Hash,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub(crate) expires_at: Timestamp,
}

/// A key with the request that it came with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// Of who sent it and the key itself: nobody meets another's keys.
    key: Hash,
    request: Hash,
}

impl Key {
    /// The key of a request of `user`, with its parameters as text.
    pub(crate) fn new(
        key: &str,
        user: Option<UserId>,
        new: &NewExecution,
        parameters: Option<&str>,
    ) -> Result<Self> {
        let NewExecution { program, parameters: _, limits, network, dispatch, idempotency_key: _ } =
            new;
        let program = match program {
            Program::Script { id, version } => (Some((id, version)), None),
            Program::Code { language, source } => (None, Some((language, source))),
        };
        let request = (program, parameters, limits);
        // What came later is part of it only where it is used: keys from before stay as they are.
        let request = match (network.is_empty(), dispatch.is_empty()) {
            (true, true) => hash(&request),
            (false, true) => hash(&(request, network)),
            (_, false) => hash(&(request, network, dispatch)),
        }?;
        Ok(Self { key: hash(&(user, key))?, request })
    }

    /// Says what is wrong with a key's text.
    pub(super) fn check(key: &str, errors: &mut Vec<FieldError>) {
        if !(1..=KEY_MAX).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let reason = "must be 1 to 255 visible ASCII characters";
            errors.push(FieldError::new("idempotency_key", reason));
        }
    }

    /// The execution of the same request before this one; [`Error::IdempotencyMismatch`] if there
    /// was another with the same key.
    pub(super) fn find(&self, view: &impl View, now: Timestamp) -> Result<Option<Execution>> {
        match store::idempotency::find(view, self.key, now)? {
            None => Ok(None),
            Some(before) if before.request != self.request => Err(Error::IdempotencyMismatch),
            Some(before) => Ok(store::executions::get(view, before.execution)?),
        }
    }

    /// Remembers that this request has become this execution.
    pub(crate) fn put(&self, change: &mut Change, execution: &Execution) -> Result<()> {
        let now = execution.created_at;
        let expires_at = now.checked_add(KEYS_EXPIRE_AFTER).unwrap_or(Timestamp::MAX);
        let submitted = Submitted { execution: execution.id, request: self.request, expires_at };
        Ok(store::idempotency::put(change, self.key, &submitted, now)?)
    }
}

fn hash(value: &impl Serialize) -> Result<Hash> {
    let bytes = postcard::to_stdvec(value)
        .map_err(|source| StoreError::Unwritable { table: "idempotency_keys", source })?;
    Ok(Sha256::digest(bytes).into())
}
