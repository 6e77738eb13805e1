//! The content of a version as a hash: two versions with the same one do the same.

use std::{fmt, str::FromStr};

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

/// Text that is no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a content is 64 hexadecimal digits")]
pub struct InvalidContent;

impl FromStr for Content {
    type Err = InvalidContent;

    fn from_str(text: &str) -> Result<Self, InvalidContent> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidContent);
        }
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| InvalidContent)?;
        }
        Ok(Self(bytes))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_its_digits() {
        let content = Content(std::array::from_fn(|index| u8::try_from(index * 7).unwrap()));
        assert_eq!(content.to_string().parse(), Ok(content));
        for odd in ["", "00", &"é".repeat(32), &"0g".repeat(32), &"+1".repeat(32)] {
            assert!(odd.parse::<Content>().is_err(), "{odd}");
        }
    }
}
