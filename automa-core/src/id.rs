//! Identifiers: `UUIDv7`, each kind a type of its own.
//!
//! The order of ids is the order of their creation, as text, as bytes and as keys of a table, so
//! that a list of the newest is a walk from the end of a table.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use jiff::Timestamp;
use uuid::{Builder, Uuid, Variant, Version};

use crate::clock::Clock;

/// How many parts of a millisecond an id tells apart: the 12 bits that follow its time.
const PARTS: u64 = 1 << 12;

/// The order in which the ids of one [`Clock`] are generated: each is later than the one before,
/// within one millisecond and when the time steps back too.
#[derive(Debug, Default)]
pub struct Sequence(AtomicU64);

impl Sequence {
    /// A tick, a 4096th of a millisecond since 1970, that nobody was given before: the current
    /// one, else the next after the last. More than four million ids a second borrow from the
    /// future.
    fn next(&self, now: Timestamp) -> u64 {
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
        let nanos = u64::try_from(now.subsec_nanosecond()).unwrap_or(0) % 1_000_000;
        let tick = millis * PARTS + nanos * PARTS / 1_000_000;
        let mut last = self.0.load(Ordering::Relaxed);
        loop {
            let next = tick.max(last + 1);
            match self.0.compare_exchange_weak(last, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return next,
                Err(found) => last = found,
            }
        }
    }
}

/// Text that is not an id of the kind that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not {kind}: one looks like 0197c1a0-5f00-7000-8000-00000000002a, 32 hexadecimal \
     digits and four hyphens"
)]
pub struct InvalidId {
    kind: &'static str,
}

/// A new id: 48 bits of milliseconds, 12 of parts of one, 62 of randomness.
fn generate(clock: &(impl Clock + ?Sized)) -> Uuid {
    let tick = clock.sequence().next(clock.now());
    let mut rest = [0; 10];
    clock.fill(&mut rest[2..]);
    let [.., high, low] = (tick % PARTS).to_be_bytes();
    rest[..2].copy_from_slice(&[high, low]);
    Builder::from_unix_timestamp_millis(tick / PARTS, &rest).into_uuid()
}

/// Only what [`generate`] makes, written as `Display` does: one id has one address.
fn parse(text: &str, kind: &'static str) -> Result<Uuid, InvalidId> {
    let invalid = InvalidId { kind };
    if text.len() != 36 || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(invalid);
    }
    let uuid = Uuid::try_parse(text).map_err(|_| invalid)?;
    let ours =
        uuid.get_version() == Some(Version::SortRand) && uuid.get_variant() == Variant::RFC4122;
    ours.then_some(uuid).ok_or(invalid)
}

/// The time within an id, to the millisecond.
fn created_at(uuid: Uuid) -> Timestamp {
    let mut millis = [0; 8];
    millis[2..].copy_from_slice(&uuid.as_bytes()[..6]);
    // Someone else's id may tell a year that no calendar here has.
    Timestamp::from_millisecond(i64::from_be_bytes(millis)).unwrap_or(Timestamp::MAX)
}

/// Below every id that [`generate`] makes from this time on.
fn first_at(at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
    Uuid::from_u128(u128::from(millis.min((1 << 48) - 1)) << 80)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $kind:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// As text it is a lower-case UUID with hyphens; as a key of a table, 16 bytes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Before every id.
            pub const MIN: Self = Self(Uuid::nil());
            /// After every id.
            pub const MAX: Self = Self(Uuid::max());

            /// A new id, later than every other that was generated with this clock.
            #[must_use]
            pub fn generate(clock: &(impl Clock + ?Sized)) -> Self {
                Self(generate(clock))
            }

            /// The lowest of all that are generated at `at` or later.
            #[must_use]
            pub fn first_at(at: Timestamp) -> Self {
                Self(first_at(at))
            }

            /// When it was generated, to the millisecond.
            #[must_use]
            pub fn created_at(self) -> Timestamp {
                created_at(self.0)
            }

            /// The id right before this one, if there can be one.
            #[must_use]
            pub fn before(self) -> Option<Self> {
                self.0.as_u128().checked_sub(1).map(|number| Self(Uuid::from_u128(number)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse(text, $kind).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                if to.is_human_readable() {
                    to.collect_str(self)
                } else {
                    self.0.as_bytes().serialize(to)
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                if from.is_human_readable() {
                    let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    uuid::Bytes::deserialize(from).map(|bytes| Self(Uuid::from_bytes(bytes)))
                }
            }
        }

        impl redb::Value for $name {
            type SelfType<'a> = Self;
            type AsBytes<'a> = uuid::Bytes;

            fn fixed_width() -> Option<usize> {
                Some(16)
            }

            fn from_bytes<'a>(data: &'a [u8]) -> Self
            where
                Self: 'a,
            {
                // The width above makes redb refuse a table of any other.
                Self(Uuid::from_slice(data).unwrap_or_default())
            }

            fn as_bytes<'a, 'b: 'a>(value: &'a Self) -> uuid::Bytes
            where
                Self: 'b,
            {
                value.0.into_bytes()
            }

            fn type_name() -> redb::TypeName {
                redb::TypeName::new(concat!("automa::", stringify!($name)))
            }
        }

        impl redb::Key for $name {
            fn compare(one: &[u8], other: &[u8]) -> std::cmp::Ordering {
                one.cmp(other)
            }
        }
    )*};
}

ids! {
    /// Names a user.
    UserId, "the id of a user";
    /// Names a session. It is no secret: who knows it proves nothing.
    SessionId, "the id of a session";
    /// Names a script.
    ScriptId, "the id of a script";
    /// Names a job.
    JobId, "the id of a job";
    /// Names an agent.
    AgentId, "the id of an agent";
    /// Names an execution.
    ExecutionId, "the id of an execution";
    /// Names an API key. It is no secret: who knows it proves nothing.
    ApiKeyId, "the id of an API key";
    /// Names an entry of the audit log.
    AuditId, "the id of an audit entry";
    /// Names a credential.
    CredentialId, "the id of a credential";
    /// Names a use of a credential.
    UseId, "the id of a use of a credential";
    /// Names a binding of a credential.
    BindingId, "the id of a binding";
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::SignedDuration;
    use proptest::prelude::*;
    use redb::Value;

    use super::*;
    use crate::clock::{SystemClock, TestClock};

    fn clock() -> TestClock {
        TestClock::new("2026-01-01T00:00:00Z".parse().unwrap())
    }

    fn assert_in_order(ids: &[ExecutionId]) {
        for pair in ids.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
            assert!(pair[0].to_string() < pair[1].to_string(), "{pair:?}");
            assert!(ExecutionId::as_bytes(&pair[0]) < ExecutionId::as_bytes(&pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn order_is_creation_within_one_millisecond() {
        let clock = clock();
        let ids: Vec<_> = (0..10_000).map(|_| ExecutionId::generate(&clock)).collect();
        assert_in_order(&ids);
        assert_eq!(ids[0].created_at(), clock.now());
        assert_eq!(ids[4095].created_at(), clock.now());
    }

    #[test]
    fn order_is_creation_when_the_clock_steps_back() {
        let clock = clock();
        let steps = [0, 1, -3_600_000, 10, -1, 7_200_000, 0, -7_200_000];
        let ids: Vec<_> = steps
            .iter()
            .map(|&millis| {
                clock.advance(SignedDuration::from_millis(millis));
                ExecutionId::generate(&clock)
            })
            .collect();
        assert_in_order(&ids);
    }

    #[test]
    fn order_is_creation_in_each_of_many_threads_and_no_id_comes_twice() {
        let clock = Arc::new(SystemClock::new());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let clock = Arc::clone(&clock);
                std::thread::spawn(move || {
                    (0..2_000).map(|_| ExecutionId::generate(&*clock)).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            let ids = thread.join().unwrap();
            assert_in_order(&ids);
            all.extend(ids);
        }
        all.sort_unstable();
        assert_in_order(&all);
    }

    #[test]
    fn text_is_one_spelling_of_one_kind_of_uuid() {
        let id = ScriptId::generate(&clock());
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        let version_4 = format!("{}4{}", &text[..14], &text[15..]);
        let foreign =
            ["", "x", &text[1..], &text.to_uppercase(), &text.replace('-', ""), &version_4];
        for foreign in foreign.into_iter().chain([format!("{{{text}}}").as_str()]) {
            let error = foreign.parse::<ScriptId>().unwrap_err().to_string();
            assert!(
                error.starts_with("this is not the id of a script: one looks like "),
                "{error}"
            );
        }
        let example = InvalidId { kind: "" }.to_string();
        let example = example.split_once("like ").unwrap().1.split_once(',').unwrap().0;
        assert!(example.parse::<ScriptId>().is_ok(), "{example}");
    }

    #[test]
    fn serde_writes_text_for_people_and_bytes_for_the_store() {
        let id = UserId::generate(&clock());
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<UserId>(&json).unwrap(), id);
        assert!(serde_json::from_str::<UserId>("\"1\"").is_err());
        let bytes = postcard::to_stdvec(&id).unwrap();
        assert_eq!(bytes, UserId::as_bytes(&id));
        assert_eq!(postcard::from_bytes::<UserId>(&bytes).unwrap(), id);
    }

    #[test]
    fn the_ends_contain_every_id() {
        let id = AuditId::generate(&clock());
        assert!(AuditId::MIN < id && id < AuditId::MAX);
    }

    proptest! {
        #[test]
        fn parsing_and_reading_never_panic(text: String, bytes: [u8; 16]) {
            let _ = text.parse::<UserId>();
            let id = UserId::from_bytes(&bytes);
            prop_assert_eq!(UserId::as_bytes(&id), bytes);
            let _ = id.created_at();
            if let Ok(parsed) = id.to_string().parse::<UserId>() {
                prop_assert_eq!(parsed, id);
            }
        }

        #[test]
        fn time_survives(millis in 0i64..253_402_207_200_000) {
            let at = Timestamp::from_millisecond(millis).unwrap();
            prop_assert_eq!(UserId::generate(&TestClock::new(at)).created_at(), at);
        }
    }
}
