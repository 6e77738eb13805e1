//! The result value: JSON that a script writes to the file `$AUTOMA_RESULT`.
//!
//! The file lies in the directory of [artifacts](super::artifacts), because that is what outlives a
//! sandbox, under a name that is no artifact's. It is read without following anything that a script
//! could have put in its place.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    path::Path,
};

use automa_sandbox::{Artifacts as Found, Command};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Executions, log::Mask, not_found};
use crate::{Error, Result, actor::Permission, id::ExecutionId, store};

/// Most bytes of a result (64 KiB).
pub const RESULT_MAX: usize = 64 << 10;

/// The variable with the path of the file.
const VARIABLE: &str = "AUTOMA_RESULT";
/// The file's name.
const FILE: &str = ".automa-result.json";

/// What a script has left as its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum StoredResult {
    /// JSON.
    Json(String),
    /// Something that is none: why, in a sentence without its full stop.
    Unusable(String),
}

/// What a script has left as its result.
#[derive(Debug, Clone, PartialEq)]
pub enum ResultValue {
    /// A value.
    Value(Value),
    /// Something that is no JSON of at most 64 KiB: why, in a sentence without its full stop.
    Unusable(String),
}

/// Tells a program where to leave its result.
pub(super) fn hand_over(command: Command) -> Command {
    command.env(VARIABLE, format!("{}/{FILE}", Command::OUT_DIRECTORY))
}

/// Whether a path in the directory of artifacts is the result's.
pub(super) fn is_file(path: impl AsRef<Path>) -> bool {
    path.as_ref() == Path::new(FILE)
}

/// Whether there is anything under the result's name.
pub(super) fn is_there(found: &Found) -> bool {
    found.open_path(FILE).map_or_else(|error| error.kind() != ErrorKind::NotFound, |_| true)
}

/// Reads what a script has left; secrets in it are masked. `None` where there is nothing. Blocks.
pub(super) fn read(found: &Found, mask: &Mask) -> Option<StoredResult> {
    let file = match found.open_path(FILE) {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        file => file,
    };
    Some(match file.and_then(read_file) {
        Err(error) => StoredResult::Unusable(format!("the result could not be read: {error}")),
        Ok(bytes) if bytes.len() > RESULT_MAX => {
            StoredResult::Unusable("the result has more than 64 KiB, which is the most".to_owned())
        }
        Ok(bytes) => check(&bytes, mask),
    })
}

/// At most one byte more than may be.
fn read_file(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(RESULT_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn check(bytes: &[u8], mask: &Mask) -> StoredResult {
    let masked = mask.apply(bytes);
    match serde_json::from_slice::<Value>(&masked) {
        Ok(_) => StoredResult::Json(String::from_utf8_lossy(&masked).trim().to_owned()),
        Err(_) if bytes.trim_ascii().is_empty() => {
            StoredResult::Unusable("the result is empty, and has to be JSON".to_owned())
        }
        Err(error) => StoredResult::Unusable(format!("the result is not JSON: {error}")),
    }
}

impl From<StoredResult> for ResultValue {
    fn from(stored: StoredResult) -> Self {
        match stored {
            // It was read when it was stored; what nobody can read now is told as such.
            StoredResult::Json(json) => match serde_json::from_str(&json) {
                Ok(value) => Self::Value(value),
                Err(error) => Self::Unusable(format!("the result is not JSON: {error}")),
            },
            StoredResult::Unusable(reason) => Self::Unusable(reason),
        }
    }
}

impl Executions<'_> {
    /// The value that an execution's script has left as its result; `None` when it left none, or
    /// has not ended.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub fn result(&self, id: ExecutionId) -> Result<Option<ResultValue>> {
        self.actor.require(Permission::ReadExecutions)?;
        let stored = self.automa.store.look(|view| {
            store::executions::get(view, id)?.ok_or_else(|| not_found(id))?;
            Ok::<_, Error>(store::results::get(view, id)?)
        });
        Ok(stored?.map(ResultValue::from))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(bytes: &[u8]) -> StoredResult {
        check(bytes, &Mask::default())
    }

    #[test]
    fn what_is_json_is_kept_as_it_was_written() {
        for json in ["1", "null", "\"x\"", "{\"a\": [1, 2.5e300]}", "[]"] {
            assert_eq!(plain(format!(" {json}\n").as_bytes()), StoredResult::Json(json.to_owned()));
        }
    }

    #[test]
    fn what_is_none_is_told() {
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        for (bytes, part) in [
            (&b""[..], "the result is empty"),
            (b" \n", "the result is empty"),
            (b"{", "the result is not JSON: EOF"),
            (b"NaN", "the result is not JSON: expected"),
            (b"1 2", "the result is not JSON: trailing"),
            (b"\"\xff\"", "the result is not JSON"),
            (deep.as_bytes(), "the result is not JSON: recursion limit"),
        ] {
            let StoredResult::Unusable(reason) = plain(bytes) else { panic!("{bytes:?}") };
            assert!(reason.starts_with(part), "{reason}");
        }
    }

    #[test]
    fn secrets_are_masked_before_anything_is_kept() {
        let mask = Mask::new(["a long secret \"quoted\""]).unwrap();
        let json = r#"{"token": "a long secret \"quoted\"", "n": 1}"#;
        let masked = r#"{"token": "***", "n": 1}"#.to_owned();
        assert_eq!(check(json.as_bytes(), &mask), StoredResult::Json(masked));
        let bare = check(b"a long secret \"quoted\"", &mask);
        assert!(matches!(bare, StoredResult::Unusable(reason) if !reason.contains("secret")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_value_or_a_sentence(bytes: Vec<u8>) {
            match (plain(&bytes), serde_json::from_slice::<Value>(&bytes)) {
                (StoredResult::Json(json), Ok(value)) => {
                    prop_assert_eq!(ResultValue::from(StoredResult::Json(json)), ResultValue::Value(value));
                }
                (StoredResult::Unusable(reason), Err(_)) => prop_assert!(reason.len() > 10),
                (stored, value) => prop_assert!(false, "{:?} {:?}", stored, value),
            }
        }
    }
}
