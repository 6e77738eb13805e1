//! Master keys: where they come from, and how they are kept.
//!
//! A key comes from the file `master.key` of the data directory, which is made when there is none yet, from
//! 32 bytes that the embedding program was given, or from a passphrase by Argon2id. Its id is computed from
//! it, so that a wrong key is told from the right one before anything is opened, and says nothing about it.

use std::{
    fmt, fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::VaultError;
use crate::clock::Clock;

/// The file with the master key, in the data directory.
pub const KEY_FILE: &str = "master.key";
/// Fewest characters of a passphrase.
pub const PASSPHRASE_MIN: usize = 16;
/// Most bytes that a file of keys has.
const FILE_MAX: usize = 4096;
const HEADER: &str = "# The master key of this Automa. Without it no credential can be opened: keep a copy \
                      apart from\n# the backups of the data, where nobody else finds it.\n";

/// Argon2id as RFC 9106 recommends it where memory is not plenty: 64 MiB, three passes.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;

/// Where a master key comes from.
#[derive(Debug, Clone, Default)]
pub enum KeySource {
    /// The file `master.key` in the data directory.
    #[default]
    File,
    /// These 32 bytes.
    Bytes(SecretSlice<u8>),
    /// A passphrase of at least 16 characters.
    Passphrase(SecretString),
}

impl KeySource {
    /// 32 bytes as text: 64 hexadecimal digits, or base64 with or without padding.
    ///
    /// # Errors
    ///
    /// [`VaultError::WeakKey`] for everything else.
    pub fn parse(text: &SecretString) -> Result<Self, VaultError> {
        let text = text.expose_secret().trim();
        if let Some(bytes) = from_hex(text) {
            return Ok(Self::Bytes(bytes.to_vec().into()));
        }
        let bytes = Zeroizing::new(
            STANDARD_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| VaultError::WeakKey)?,
        );
        if bytes.len() == 32 {
            Ok(Self::Bytes(bytes.to_vec().into()))
        } else {
            Err(VaultError::WeakKey)
        }
    }
}

/// Which master keys an Automa has.
#[derive(Debug, Clone, Default)]
pub struct MasterKeys {
    /// That which new secrets are sealed by.
    pub current: KeySource,
    /// That which was in its place before, if secrets may still be sealed by it.
    pub former: Option<KeySource>,
}

/// Names a master key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyId(pub(crate) [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What is stored of a master key: by what means it is found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyOrigin {
    /// It is in the file.
    File,
    /// It is given as it is.
    Given,
    /// It is computed from a passphrase.
    Passphrase {
        /// With this salt,
        salt: [u8; 16],
        /// in so much memory,
        memory_kib: u32,
        /// with so many passes,
        passes: u32,
        /// in so many lanes.
        lanes: u32,
    },
}

/// What is stored of a master key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Its id.
    pub id: KeyId,
    /// Where it comes from.
    pub origin: KeyOrigin,
    /// Since when secrets are sealed by it.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub since: Timestamp,
}

/// A master key.
pub(crate) struct MasterKey {
    bytes: Zeroizing<[u8; 32]>,
    /// What data keys are wrapped by: a key of its own for each purpose.
    wrapping: Zeroizing<[u8; 32]>,
    id: KeyId,
    pub(super) origin: KeyOrigin,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

impl MasterKey {
    pub(super) fn new(bytes: Zeroizing<[u8; 32]>, origin: KeyOrigin) -> Self {
        let derive = |purpose: &[u8]| {
            let mut mac = Hmac::<Sha256>::new_from_slice(&*bytes).expect("HMAC takes any key");
            mac.update(purpose);
            Zeroizing::new(<[u8; 32]>::from(mac.finalize().into_bytes()))
        };
        let mut id = [0; 8];
        id.copy_from_slice(&derive(b"automa master key: id")[..8]);
        let wrapping = derive(b"automa master key: wrapping");
        Self { bytes, wrapping, id: KeyId(id), origin }
    }

    /// A new one.
    pub(super) fn generate(clock: &dyn Clock, origin: KeyOrigin) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        clock.fill(&mut *bytes);
        Self::new(bytes, origin)
    }

    /// The key that a passphrase makes in this way.
    pub(super) fn derive(passphrase: &SecretString, origin: KeyOrigin) -> Result<Self, VaultError> {
        let KeyOrigin::Passphrase { salt, memory_kib, passes, lanes } = origin else {
            unreachable!("only passphrases are derived from")
        };
        let mut bytes = Zeroizing::new([0; 32]);
        let params = Params::new(memory_kib, passes, lanes, Some(32));
        let derived = params.and_then(|params| {
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            argon2.hash_password_into(passphrase.expose_secret().as_bytes(), &salt, &mut *bytes)
        });
        derived.map_err(|_| VaultError::Derivation)?;
        Ok(Self::new(bytes, origin))
    }

    pub(super) fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn wrapping(&self) -> &[u8; 32] {
        &self.wrapping
    }
}

/// How a new key is made from a passphrase.
pub(super) fn new_salt(clock: &dyn Clock) -> KeyOrigin {
    let mut salt = [0; 16];
    clock.fill(&mut salt);
    KeyOrigin::Passphrase { salt, memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES }
}

/// The keys in a file, newest first; none if it does not exist.
///
/// # Errors
///
/// [`VaultError::KeyFile`], also when others than its owner may read it.
pub(super) fn read_file(path: &Path) -> Result<Vec<MasterKey>, VaultError> {
    let failed = |reason| VaultError::KeyFile { path: path.to_owned(), reason };
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file.map_err(|error| failed(error.to_string()))?,
    };
    let mode = file.metadata().map_err(|error| failed(error.to_string()))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        let reason = format!(
            "others than its owner can reach it (mode {mode:04o}); `chmod 600` it, and think of whether \
             the key has to be replaced"
        );
        return Err(failed(reason));
    }
    let mut text = Zeroizing::new(String::with_capacity(FILE_MAX));
    let read = file.take(FILE_MAX as u64).read_to_string(&mut text);
    read.map_err(|error| failed(error.to_string()))?;
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Option<Vec<_>> = lines
        .map(|line| from_hex(line).map(|bytes| MasterKey::new(bytes, KeyOrigin::File)))
        .collect();
    match keys {
        Some(keys) if !keys.is_empty() => Ok(keys),
        _ => Err(failed("it does not hold keys of 64 hexadecimal digits; restore it".to_owned())),
    }
}

/// Writes a file of keys, newest first: whole or not at all, and durable when this returns.
pub(super) fn write_file<'a>(
    path: &Path,
    keys: impl IntoIterator<Item = &'a MasterKey>,
) -> Result<(), VaultError> {
    let mut text = Zeroizing::new(String::with_capacity(FILE_MAX));
    text.push_str(HEADER);
    for key in keys {
        text.extend(key.bytes.iter().flat_map(|byte| {
            [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'))
        }));
        text.push('\n');
    }
    let write = || -> io::Result<()> {
        let draft = path.with_extension("draft");
        // One that was left behind may be readable by others.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    let failed = |error: io::Error| VaultError::KeyFile {
        path: path.to_owned(),
        reason: format!("it could not be written: {error}"),
    };
    write().map_err(failed)
}

/// Removes a file of keys, if there is one.
pub(super) fn remove_file(path: &Path) -> Result<(), VaultError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let reason = format!("it could not be removed: {error}");
            Err(VaultError::KeyFile { path: path.to_owned(), reason })
        }
        _ => Ok(()),
    }
}

/// A key of 64 hexadecimal digits.
fn from_hex(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
