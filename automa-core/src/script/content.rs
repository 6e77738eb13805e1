//! The content of a version as a hash: two versions with the same one do the same.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Version;

/// The SHA-256 of all that decides what a version does: language, source, schema, limits, turns.
/// As text it is 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Content([u8; 32]);

impl Content {
    /// The content of a version, whatever its number, author and message are.
    pub(crate) fn of(version: &Version) -> Self {
        let Version { language, source, parameters_schema, limits, dispatch, .. } = version;
        let parts = (language, source, parameters_schema, limits, dispatch);
        // postcard says how long each part is: no two contents have the same bytes.
        let bytes = postcard::to_stdvec(&parts).unwrap_or_default();
        Self(Sha256::digest(&bytes).into())
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({self})")
    }
}
