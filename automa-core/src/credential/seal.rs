//! Sealing: how a secret becomes bytes that are worth nothing without the master key.
//!
//! Each version of a credential has a random data key of its own, which seals its secret fields one by
//! one with XChaCha20-Poly1305, and is itself sealed ("wrapped") by the master key in the same way. So a
//! rotation of the master key rewrites 72 bytes of each version and touches no secret.
//!
//! Nonces are random: 24 bytes are enough for that. What is sealed is bound to its place by associated
//! data, so that nothing can be moved elsewhere in the store: a field to the credential, the number of the
//! version and its own name; a data key to the credential, the version, the id of the master key, and a
//! hash of what is shown beside the secret. Who can write the store's file can therefore not turn a
//! password to another host, either. The length of a secret can be seen.

use chacha20poly1305::{
    AeadInOut as _, KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{KeyId, Kind, VaultError, master::MasterKey};
use crate::{clock::Clock, id::CredentialId};

/// The first byte of the associated data: changes with whatever is bound.
const FORMAT: u8 = 1;
const NONCE: usize = 24;
const TAG: usize = 16;

/// What a secret is part of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) credential: CredentialId,
    pub(super) version: u32,
    pub(super) kind: Kind,
    /// What is shown beside it.
    pub(super) shown: &'a [(String, String)],
}

/// Secret fields, sealed, and the key to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealed {
    /// By which master key the data key is wrapped.
    pub(crate) key: KeyId,
    /// The data key: nonce, ciphertext, tag.
    wrapped: Vec<u8>,
    /// Each field's name, with its nonce, ciphertext and tag.
    fields: Vec<(String, Vec<u8>)>,
}

impl Place<'_> {
    fn about(&self, purpose: &[u8]) -> Vec<u8> {
        let id = self.credential.to_string();
        let version = self.version.to_be_bytes();
        // Of fixed width but for the purpose, which is last: no two places are the same bytes.
        [&b"automa vault"[..], &[FORMAT], id.as_bytes(), &version, purpose].concat()
    }

    fn about_field(&self, name: &str) -> Vec<u8> {
        self.about(&[b"field ", name.as_bytes()].concat())
    }

    fn about_key(&self, master: KeyId) -> Vec<u8> {
        let mut shown = Sha256::new();
        for text in
            std::iter::once(self.kind.name()).chain(self.shown.iter().flat_map(|(a, b)| [&**a, b]))
        {
            // With its length before it, so that no text can be moved to its neighbour.
            shown.update((text.len() as u64).to_be_bytes());
            shown.update(text);
        }
        self.about(&[&b"key "[..], &master.0, &shown.finalize()].concat())
    }

    fn damaged(&self) -> VaultError {
        VaultError::Damaged { credential: self.credential, version: self.version }
    }
}

impl Sealed {
    /// Seals fields with a new data key.
    pub(super) fn seal(
        master: &MasterKey,
        place: Place<'_>,
        fields: &[(String, SecretString)],
        clock: &dyn Clock,
    ) -> Self {
        let mut data_key = Zeroizing::new([0; 32]);
        clock.fill(&mut *data_key);
        let fields = fields.iter().map(|(name, value)| {
            let value = value.expose_secret().as_bytes();
            (name.clone(), encrypt(&data_key, &place.about_field(name), value, clock))
        });
        let fields = fields.collect();
        let wrapped = encrypt(master.wrapping(), &place.about_key(master.id()), &*data_key, clock);
        Self { key: master.id(), wrapped, fields }
    }

    /// The fields, if all of them are what was sealed in this place by this master key.
    pub(super) fn open(
        &self,
        master: &MasterKey,
        place: Place<'_>,
    ) -> Result<Vec<(String, SecretString)>, VaultError> {
        let data_key = self.data_key(master, place)?;
        let fields = self.fields.iter().map(|(name, sealed)| {
            let bytes = decrypt(&data_key, &place.about_field(name), sealed);
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            Ok((name.clone(), text.ok_or_else(|| place.damaged())?.into()))
        });
        fields.collect()
    }

    /// The same with its data key wrapped by another master key.
    pub(super) fn rewrap(
        &self,
        from: &MasterKey,
        to: &MasterKey,
        place: Place<'_>,
        clock: &dyn Clock,
    ) -> Result<Self, VaultError> {
        let data_key = self.data_key(from, place)?;
        let wrapped = encrypt(to.wrapping(), &place.about_key(to.id()), &*data_key, clock);
        Ok(Self { key: to.id(), wrapped, fields: self.fields.clone() })
    }

    /// The same, said to be wrapped by another master key: for what none can open.
    pub(super) fn relabelled(&self, key: KeyId) -> Self {
        Self { key, ..self.clone() }
    }

    fn data_key(
        &self,
        master: &MasterKey,
        place: Place<'_>,
    ) -> Result<Zeroizing<[u8; 32]>, VaultError> {
        let about = place.about_key(master.id());
        let key = decrypt(master.wrapping(), &about, &self.wrapped).map(Zeroizing::new);
        let key = key.and_then(|key| <[u8; 32]>::try_from(&key[..]).ok());
        key.map(Zeroizing::new).ok_or_else(|| place.damaged())
    }
}

fn encrypt(key: &[u8; 32], about: &[u8], plain: &[u8], clock: &dyn Clock) -> Vec<u8> {
    let mut nonce = [0; NONCE];
    clock.fill(&mut nonce);
    let sealed = XChaCha20Poly1305::new(key.into())
        .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: about })
        .expect("secrets are far smaller than what the cipher takes");
    [&nonce[..], &sealed].concat()
}

/// Whatever `sealed` is, it is opened or `None`.
fn decrypt(key: &[u8; 32], about: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
    let (cipher, tag) = sealed.split_last_chunk::<TAG>()?;
    // As large as what is in it, so that no copy is left behind when it becomes a text.
    let mut bytes = cipher.to_vec();
    XChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(
            &XNonce::from(*nonce),
            about,
            bytes.as_mut_slice().into(),
            &(*tag).into(),
        )
        .ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests;
