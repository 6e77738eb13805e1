//! How a record becomes bytes: a version byte, then postcard.
//!
//! postcard writes no names: the fields and their order are the format. So a change of a stored
//! type is a new [`VERSION`](Record::VERSION): freeze the old struct beside the new one, read it in
//! [`upgrade`](Record::upgrade) with [`read`], and keep golden bytes of both in tests. Records
//! are upgraded when they are read, and stay as they are until they are written again.
//!
//! Not in a stored type, because postcard writes it and cannot read it back, or reads it as
//! something else: serde's `skip_serializing_if`, `default`, `tag`, `untagged` and `flatten`, and
//! values of no fixed shape such as `serde_json::Value` (store their text).

use serde::{Serialize, de::DeserializeOwned};

use crate::error::StoreError;

/// A type whose values are stored.
pub(crate) trait Record: Serialize + DeserializeOwned {
    /// The table that holds it.
    const TABLE: &'static str;
    /// The version that is written, from 1 up.
    const VERSION: u8;

    /// Reads what an older Automa wrote: `body` follows the version byte.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownVersion`] for a version that never was, [`StoreError::Damaged`] for
    /// bytes that make no sense.
    fn upgrade(version: u8, _body: &[u8]) -> Result<Self, StoreError> {
        Err(StoreError::UnknownVersion { table: Self::TABLE, version })
    }

    /// The bytes to store.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unwritable`] if the type contains what postcard cannot write.
    fn encode(&self) -> Result<Vec<u8>, StoreError> {
        postcard::to_extend(self, vec![Self::VERSION])
            .map_err(|source| StoreError::Unwritable { table: Self::TABLE, source })
    }

    /// Reads stored bytes, of this version or an older one. Never panics, whatever they are.
    ///
    /// # Errors
    ///
    /// As [`upgrade`](Self::upgrade).
    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let (&version, body) = bytes.split_first().unwrap_or((&0, &[]));
        if version == Self::VERSION {
            read(Self::TABLE, version, body)
        } else {
            Self::upgrade(version, body)
        }
    }
}

/// Reads the body of a record as `T`, the struct of its version, to the last byte.
///
/// # Errors
///
/// [`StoreError::Damaged`].
pub(crate) fn read<T: DeserializeOwned>(
    table: &'static str,
    version: u8,
    body: &[u8],
) -> Result<T, StoreError> {
    let damaged = |source| StoreError::Damaged { table, version, source };
    match postcard::take_from_bytes(body).map_err(damaged)? {
        (record, []) => Ok(record),
        _ => Err(damaged(postcard::Error::DeserializeBadEncoding)),
    }
}

/// Checks of stored formats.
#[cfg(test)]
pub(crate) mod golden {
    use super::Record;

    /// Checks that `record` is written as `hex`, and that `hex` is read as `record`.
    ///
    /// When this fails, the stored format has changed: add a version, do not change the bytes.
    #[track_caller]
    pub(crate) fn assert_bytes<R: Record + PartialEq + std::fmt::Debug>(record: &R, hex: &str) {
        let bytes = record.encode().unwrap();
        let written: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(written.concat(), hex, "the stored format of `{}` has changed", R::TABLE);
        assert_reads(hex, record);
    }

    /// Checks that `hex`, bytes of an older version, is read as `record`.
    #[track_caller]
    pub(crate) fn assert_reads<R: Record + PartialEq + std::fmt::Debug>(hex: &str, record: &R) {
        let pairs = hex.as_bytes().chunks(2);
        let bytes = pairs.map(|pair| {
            u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect("pairs of hex digits")
        });
        assert_eq!(&R::decode(&bytes.collect::<Vec<_>>()).unwrap(), record);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::{execution::State, id::UserId};

    /// A record of every shape that records have, in its second version.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Sample {
        user: UserId,
        name: String,
        #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
        at: Timestamp,
        state: Option<State>,
        labels: BTreeMap<String, Vec<i64>>,
    }

    /// The first version, frozen.
    #[derive(Serialize, Deserialize)]
    struct SampleV1 {
        user: UserId,
        name: String,
    }

    impl Record for Sample {
        const TABLE: &'static str = "samples";
        const VERSION: u8 = 2;

        fn upgrade(version: u8, body: &[u8]) -> Result<Self, StoreError> {
            match version {
                1 => {
                    let SampleV1 { user, name } = read(Self::TABLE, version, body)?;
                    let (at, labels) = (Timestamp::UNIX_EPOCH, BTreeMap::new());
                    Ok(Self { user, name, at, state: None, labels })
                }
                version => Err(StoreError::UnknownVersion { table: Self::TABLE, version }),
            }
        }
    }

    fn sample() -> Sample {
        Sample {
            user: "018f0000-0000-7000-8000-000000000001".parse().unwrap(),
            name: "ada".into(),
            at: "2026-01-01T00:00:00Z".parse().unwrap(),
            state: Some(State::Running),
            labels: [("a".into(), vec![-1])].into(),
        }
    }

    #[test]
    fn sample_bytes() {
        let v2 = "02018f00000000700080000000000000010361646180a0d5edee6601010101610101";
        golden::assert_bytes(&sample(), v2);
        let mut old = sample();
        (old.at, old.state, old.labels) = (Timestamp::UNIX_EPOCH, None, BTreeMap::new());
        golden::assert_reads("01018f000000007000800000000000000103616461", &old);
    }

    #[test]
    fn an_unknown_version_is_told_with_its_table() {
        for bytes in [&[9, 1, 2][..], &[0], &[]] {
            let error = Sample::decode(bytes).unwrap_err();
            let version = bytes.first().copied().unwrap_or(0);
            assert!(
                matches!(error, StoreError::UnknownVersion { table: "samples", version: found }
                    if found == version),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_record_that_is_too_short_or_too_long_is_damaged() {
        let bytes = sample().encode().unwrap();
        let longer = [&bytes[..], &[0]].concat();
        for bytes in [&bytes[..bytes.len() - 1], &longer, &[1]] {
            let error = Sample::decode(bytes).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { table: "samples", .. }), "{error:?}");
        }
    }

    proptest! {
        #[test]
        fn decoding_never_panics(version in 0u8..4, body: Vec<u8>) {
            let _ = Sample::decode(&[&[version], &body[..]].concat());
        }

        #[test]
        fn decoding_a_damaged_record_never_panics(place: prop::sample::Index, with: u8) {
            let mut bytes = sample().encode().unwrap();
            let place = place.index(bytes.len());
            bytes[place] = with;
            let _ = Sample::decode(&bytes);
        }

        #[test]
        fn records_round_trip(
            name: String,
            millis in -377_705_000_000_000i64..253_402_207_200_000,
            labels: BTreeMap<String, Vec<i64>>,
        ) {
            let at = Timestamp::from_millisecond(millis).unwrap();
            let record = Sample { name, at, labels, ..sample() };
            prop_assert_eq!(Sample::decode(&record.encode().unwrap()).unwrap(), record);
        }
    }
}
