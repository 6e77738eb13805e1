//! Tables `idempotency_keys`: `hash of user and key -> what was submitted with it`, and
//! `idempotency_expiry`: `(when it expires in ms, hash)`, by which old keys are found.

use jiff::Timestamp;

use super::{
    change::{Change, View},
    migrate::Tables,
    record::Record,
    table::{Index, Table},
};
use crate::{
    error::StoreError,
    execution::{Hash, Submitted},
};

const KEYS: Table<Hash, Submitted> = Table::new();
const EXPIRY: Index<(i64, Hash)> = Index::new("idempotency_expiry");

/// How many old keys a new one removes: more than one, so that they become fewer.
const REMOVED: usize = 4;

impl Record for Submitted {
    const TABLE: &'static str = "idempotency_keys";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    KEYS.create(tables)?;
    EXPIRY.create(tables)
}

/// What was submitted with a key, unless that has expired.
pub(crate) fn find(
    view: &impl View,
    key: Hash,
    now: Timestamp,
) -> Result<Option<Submitted>, StoreError> {
    Ok(KEYS.get(view, key)?.filter(|submitted| submitted.expires_at > now))
}

/// Remembers what was submitted with a key that is not in use, and forgets a few that have expired.
pub(crate) fn put(
    change: &mut Change,
    key: Hash,
    submitted: &Submitted,
    now: Timestamp,
) -> Result<(), StoreError> {
    let expired = ..=(now.as_millisecond(), [u8::MAX; 32]);
    for (at, old) in EXPIRY.lowest(change, expired, REMOVED)? {
        EXPIRY.remove(change, (at, old))?;
        KEYS.remove(change, old)?;
    }
    // An expired one of the same key that is not among those.
    if let Some(old) = KEYS.get(change, key)? {
        EXPIRY.remove(change, (old.expires_at.as_millisecond(), key))?;
    }
    KEYS.put(change, key, submitted)?;
    EXPIRY.insert(change, (submitted.expires_at.as_millisecond(), key))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::{
        clock::{Clock, TestClock},
        execution::KEYS_EXPIRE_AFTER,
        id::ExecutionId,
        store::Store,
    };

    #[tokio::test]
    async fn old_keys_are_removed_a_few_at_a_time() {
        let store = Store::in_memory().unwrap();
        let clock = TestClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let submit = async |key: u8| {
            let now = clock.now();
            let submitted = Submitted {
                execution: ExecutionId::generate(&clock),
                request: [key; 32],
                expires_at: now + KEYS_EXPIRE_AFTER,
            };
            store.write(move |change: &mut Change| put(change, [key; 32], &submitted, now)).await
        };
        let left = || {
            store.look(|view| {
                let keys = KEYS.newest(view, .., 100)?.len();
                assert_eq!(keys, EXPIRY.lowest(view, .., 100)?.len());
                Ok::<_, StoreError>(keys)
            })
        };
        for key in 0..10 {
            submit(key).await.unwrap();
        }
        clock.advance(KEYS_EXPIRE_AFTER - SignedDuration::from_millis(1));
        submit(10).await.unwrap();
        assert_eq!(left().unwrap(), 11);
        clock.advance(SignedDuration::from_millis(1));
        let found = |key| store.look(|view| find(view, [key; 32], clock.now())).unwrap();
        assert!(found(9).is_none(), "it has expired, though it is still there");
        assert!(found(10).is_some());
        // The same key again, and another.
        submit(9).await.unwrap();
        assert_eq!(left().unwrap(), 11 - REMOVED);
        assert!(found(9).is_some());
        submit(11).await.unwrap();
        submit(12).await.unwrap();
        assert_eq!(left().unwrap(), 4, "those that have not expired stay");
    }

    #[tokio::test]
    async fn a_key_counts_while_the_clock_shows_a_time_before_its_end() {
        let store = Store::in_memory().unwrap();
        let clock = TestClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let submit = async |key: u8| {
            let now = clock.now();
            let (execution, expires_at) = (ExecutionId::generate(&clock), now + KEYS_EXPIRE_AFTER);
            let submitted = Submitted { execution, request: [key; 32], expires_at };
            let change = move |change: &mut Change| put(change, [key; 32], &submitted, now);
            store.write(change).await.unwrap();
        };
        submit(1).await;
        let found = || store.look(|view| find(view, [1; 32], clock.now())).unwrap().is_some();
        let year = SignedDuration::from_hours(365 * 24);
        clock.advance(-year);
        assert!(found(), "it steps back");
        // A new key forgets none that has not expired.
        submit(2).await;
        assert!(found());
        clock.advance(year + year);
        assert!(!found(), "it steps over the end");
        clock.advance(-year);
        assert!(found(), "and back, before it was forgotten");
        clock.advance(year);
        submit(3).await;
        clock.advance(-year);
        assert!(!found(), "what was forgotten stays so");
    }
}
