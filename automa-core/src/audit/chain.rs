//! The hash chain: what was written cannot be changed, removed or moved without showing.
//!
//! Each entry has a number, in the order in which changes were made, and a hash over the hash of the
//! entry before and its own stored bytes. Whoever changes an entry has to change all hashes after it.
//! So now and then the newest hash is signed ([`Checkpoint`]), with a key in the file `audit.key` of the
//! data directory, and the signed line is written to the server's log: kept elsewhere, it proves what
//! the chain was until then, even to somebody who does not trust this machine any more.
//!
//! What it does not do: whoever has the key and the store can write a new past and sign it. Only lines
//! that are kept elsewhere tell. And entries after the newest checkpoint can be cut off.

use std::{fmt, str::FromStr};

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::hex;

/// What the hash of an entry begins with: no other use of SHA-256 here has it.
const DOMAIN: &[u8] = b"automa audit entry 1\n";

/// A hash of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of an entry, by that of the one before and its own bytes.
    #[must_use]
    pub fn next(self, entry: &[u8]) -> Self {
        let hash = Sha256::new().chain_update(DOMAIN).chain_update(self.0).chain_update(entry);
        Self(hash.finalize().into())
    }
}

impl FromStr for Hash {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        hex::decode(text).map(Self).ok_or(Unreadable("hash"))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// A public key of checkpoints, 64 hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    pub(crate) fn of(key: &SigningKey) -> Self {
        Self(key.verifying_key().to_bytes())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// Text that is no public key, or no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no {0} of an audit log")]
pub struct Unreadable(&'static str);

impl FromStr for PublicKey {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        hex::decode(text).map(Self).ok_or(Unreadable("public key"))
    }
}

/// A signed statement: at this time, the chain had this hash at this number.
///
/// As text, it is one word: `automa-audit-1:NUMBER:SECONDS:HASH:KEY:SIGNATURE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The number of the entry that it is about; 0 is before the first.
    pub number: u64,
    /// When it was signed, in seconds since 1970.
    pub second: i64,
    /// The hash of that entry.
    pub hash: Hash,
    /// The key that it was signed with.
    pub key: PublicKey,
    signature: [[u8; 32]; 2],
}

/// What the text of a checkpoint begins with.
const PREFIX: &str = "automa-audit-1";

impl Checkpoint {
    pub(crate) fn sign(key: &SigningKey, number: u64, hash: Hash, at: Timestamp) -> Self {
        let (second, public) = (at.as_second(), PublicKey::of(key));
        let signature = key.sign(statement(number, second, hash, public).as_bytes());
        let signature = [*signature.r_bytes(), *signature.s_bytes()];
        Self { number, second, hash, key: public, signature }
    }

    /// Whether it was signed with its key.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        let statement = statement(self.number, self.second, self.hash, self.key);
        let [r, s] = self.signature;
        let signature = Signature::from_components(r, s);
        VerifyingKey::from_bytes(&self.key.0)
            .is_ok_and(|key| key.verify_strict(statement.as_bytes(), &signature).is_ok())
    }

    /// When it was signed.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        Timestamp::from_second(self.second).unwrap_or(Timestamp::MIN)
    }

    /// The checkpoints in a text, such as a server's log, whatever else is in it.
    pub fn all_in(text: &str) -> impl Iterator<Item = Self> {
        let words = text.split(|it: char| !(it.is_ascii_alphanumeric() || it == ':' || it == '-'));
        words.filter_map(|word| word.parse().ok())
    }
}

/// What is signed.
fn statement(number: u64, second: i64, hash: Hash, key: PublicKey) -> String {
    format!("{PREFIX}:{number}:{second}:{hash}:{key}")
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = hex::encode(self.signature.as_flattened());
        let statement = statement(self.number, self.second, self.hash, self.key);
        write!(f, "{statement}:{signature}")
    }
}

impl FromStr for Checkpoint {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let read = || {
            let mut parts = text.split(':');
            let prefix = parts.next()?;
            let number = parts.next()?.parse().ok()?;
            let second = parts.next()?.parse().ok()?;
            let hash = parts.next()?.parse().ok()?;
            let key = parts.next()?.parse().ok()?;
            let (r, s) = parts.next()?.split_at_checked(64)?;
            let signature = [hex::decode(r)?, hex::decode(s)?];
            let read = Self { number, second, hash, key, signature };
            (prefix == PREFIX && parts.next().is_none() && read.to_string() == text).then_some(read)
        };
        read().ok_or(Unreadable("checkpoint"))
    }
}

/// What was found wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// An entry is not what was written.
    #[error("entry {0} was changed, or an entry before it was removed or moved")]
    Changed(u64),
    /// An entry is not there, or not at its place.
    #[error("entry {0} is missing")]
    Missing(u64),
    /// An entry is there that does not belong to the chain.
    #[error("there are {0} entries that do not belong to the chain")]
    Foreign(u64),
    /// An entry is in the chain, and is not found by what it is about.
    #[error("entry {0} is hidden from lists")]
    Hidden(u64),
    /// The chain ends before what was signed.
    #[error("entries up to {signed} were signed, and there are only those up to {last}")]
    Cut {
        /// The last entry that is there.
        last: u64,
        /// The last that has been signed.
        signed: u64,
    },
    /// The chain does not begin at the first entry, and no checkpoint says how it went before.
    #[error("the chain begins at entry {0}, and nothing that was signed tells what was before it")]
    NoBeginning(u64),
    /// A checkpoint is not signed with the key that it names.
    #[error("the checkpoint at entry {0} is not signed as it says")]
    NotSigned(u64),
    /// A checkpoint is signed with a key that is not to be trusted.
    #[error("the checkpoint at entry {number} is signed with another key: {key}")]
    WrongKey {
        /// The entry.
        number: u64,
        /// The key.
        key: PublicKey,
    },
    /// What was signed is not what is there.
    #[error("what was signed at entry {0} is not what is there: the chain was written anew")]
    Rewritten(u64),
    /// A line of an export makes no sense.
    #[error("line {line} of the export: {reason}")]
    Line {
        /// Which, from 1 up.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// What a chain is found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How many entries were looked at.
    pub entries: u64,
    /// The number of the first that is kept.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
    /// The hash of the last.
    pub head: Hash,
    /// How many checkpoints were looked at.
    pub checkpoints: u64,
    /// The newest of them.
    pub signed: Option<Checkpoint>,
    /// What is wrong, if anything is: the first that was found.
    pub broken: Option<Broken>,
}

/// Goes along a chain.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    /// Keys that are trusted; any if there are none.
    trusted: &'a [PublicKey],
    entries: u64,
    first: u64,
    last: u64,
    head: Hash,
    checkpoints: u64,
    signed: Option<Checkpoint>,
}

impl<'a> Walk<'a> {
    /// From the first entry, or from behind a checkpoint that stands for what was removed.
    pub(crate) fn begin(
        trusted: &'a [PublicKey],
        base: Option<&Checkpoint>,
    ) -> Result<Self, Broken> {
        let (last, head) = base.map_or((0, Hash::default()), |base| (base.number, base.hash));
        let mut walk = Self {
            trusted,
            entries: 0,
            first: last.saturating_add(1),
            last,
            head,
            checkpoints: 0,
            signed: None,
        };
        if let Some(base) = base {
            walk.checkpoint(base)?;
        }
        Ok(walk)
    }

    /// Nowhere: there is nothing to begin with.
    pub(crate) fn nowhere() -> Self {
        let head = Hash::default();
        let (entries, first, last, checkpoints) = (0, 0, 0, 0);
        Self { trusted: &[], entries, first, last, head, checkpoints, signed: None }
    }

    /// How many entries were looked at.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// The number of the entry that comes next.
    pub(crate) fn next(&self) -> u64 {
        self.last.saturating_add(1)
    }

    /// Looks at the next entry: its number, its bytes, and the hash that is kept of it.
    pub(crate) fn entry(&mut self, number: u64, bytes: &[u8], hash: Hash) -> Result<(), Broken> {
        if number != self.next() {
            return Err(Broken::Missing(self.next()));
        }
        let expected = self.head.next(bytes);
        if hash != expected {
            return Err(Broken::Changed(number));
        }
        (self.last, self.head) = (number, expected);
        self.entries += 1;
        Ok(())
    }

    /// Looks at a checkpoint of the entry that was looked at last.
    pub(crate) fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), Broken> {
        let number = checkpoint.number;
        if !checkpoint.is_signed() {
            return Err(Broken::NotSigned(number));
        }
        if !self.trusted.is_empty() && !self.trusted.contains(&checkpoint.key) {
            return Err(Broken::WrongKey { number, key: checkpoint.key });
        }
        if number > self.last {
            return Err(Broken::Cut { last: self.last, signed: number });
        }
        if number < self.last || checkpoint.hash != self.head {
            return Err(Broken::Rewritten(number));
        }
        self.checkpoints += 1;
        self.signed = Some(*checkpoint);
        Ok(())
    }

    /// What was found.
    pub(crate) fn end(self, broken: Option<Broken>) -> Verdict {
        let Self { entries, first, last, head, checkpoints, signed, .. } = self;
        Verdict { entries, first, last, head, checkpoints, signed, broken }
    }
}
