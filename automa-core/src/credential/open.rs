//! Opening a credential: what a script or its owner gets.

use std::collections::BTreeMap;

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use zeroize::{Zeroize as _, Zeroizing};

use super::{Credential, Kind, OBJECT, Secret, Vault, VaultError, find, kind::Parts, seal::Place};
use crate::{
    Error, Result,
    id::CredentialId,
    store::{self, change::View},
};

/// What of a user name or password has to be encoded in a connection string.
const USERINFO: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a credential is made of, in memory that is wiped when it is dropped.
#[derive(Debug)]
pub struct Opened {
    /// Its type.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The version that was opened.
    pub version: u32,
    fields: Vec<OpenedField>,
}

/// One field of what a credential is made of.
#[derive(Debug, Clone)]
pub struct OpenedField {
    /// Its name: as in [`Kind::fields`]; of a [`Kind::Custom`], the name of a member of its object.
    pub name: String,
    /// Whether it is secret.
    pub secret: bool,
    /// What it says; of a member that is no string, its JSON.
    pub value: SecretString,
}

impl Opened {
    /// All fields, in the order of their type.
    #[must_use]
    pub fn fields(&self) -> &[OpenedField] {
        &self.fields
    }

    /// The whole credential as one text, which is secret: of a key its text, of a database a connection
    /// string, of everything else a JSON object of its fields.
    #[must_use]
    pub fn value(&self) -> SecretString {
        match self.kind {
            Kind::ApiKey => self.field("key").clone(),
            Kind::SshKey => self.field("private_key").clone(),
            Kind::DbConnection => self.connection_string(),
            Kind::UserPass | Kind::Oauth | Kind::Custom => self.object(),
        }
    }

    fn field(&self, name: &str) -> &SecretString {
        let field = self.fields.iter().find(|field| field.name == name);
        &field.expect("a required field was there when it was saved").value
    }

    fn get(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|field| field.name == name)?;
        Some(field.value.expose_secret())
    }

    fn object(&self) -> SecretString {
        let members: BTreeMap<_, _> =
            self.fields.iter().map(|it| (&*it.name, it.value.expose_secret())).collect();
        let text = serde_json::to_string(&members);
        wiped(text.expect("an object of texts can be written"))
    }

    /// `engine://user:password@host:port/database`, each part encoded.
    fn connection_string(&self) -> SecretString {
        let encoded = |text: &str| utf8_percent_encode(text, USERINFO).to_string();
        let password = Zeroizing::new(encoded(self.get("password").unwrap_or_default()));
        let user = self.get("username").map(encoded).unwrap_or_default();
        let engine = self.get("engine").unwrap_or_default();
        let host = self.get("host").unwrap_or_default();
        // An address of IPv6 is told from its port by brackets.
        let bare_v6 = host.contains(':') && !host.starts_with('[');
        let host = if bare_v6 { format!("[{host}]") } else { host.to_owned() };
        let port = self.get("port").map(|port| format!(":{port}")).unwrap_or_default();
        let database = self.get("database").map(|it| format!("/{}", encoded(it)));
        let database = database.unwrap_or_default();
        wiped(format!("{engine}://{user}:{}@{host}{port}{database}", *password))
    }
}

/// A text as a secret of which no copy is left.
fn wiped(mut text: String) -> SecretString {
    let mut exact = String::with_capacity(text.len());
    exact.push_str(&text);
    text.zeroize();
    exact.into()
}

/// Opens the newest version of a credential for a use at `now`. Who asks for it has to be allowed to.
///
/// # Errors
///
/// [`Error::NotFound`]; [`Error::CredentialExpired`]; [`Error::Vault`] if it cannot be opened; and the
/// store's.
pub(crate) fn open(
    view: &impl View,
    vault: &Vault,
    id: CredentialId,
    now: Timestamp,
) -> Result<Opened> {
    let credential = find(view, id)?;
    if let Some(at) = credential.expires_at.filter(|&at| at <= now) {
        return Err(Error::CredentialExpired { name: credential.name, at });
    }
    open_newest(view, vault, &credential)
}

/// Opens the newest version of a credential, whether or not it has expired.
pub(super) fn open_newest(
    view: &impl View,
    vault: &Vault,
    credential: &Credential,
) -> Result<Opened> {
    let parts = unseal(view, vault, credential)?;
    let (version, damaged) = (credential.version, damaged(credential));
    let fields = in_order(credential.kind, parts).ok_or(damaged)?;
    Ok(Opened { kind: credential.kind, name: credential.name.clone(), version, fields })
}

/// What the newest version of a credential consists of.
pub(super) fn unseal(view: &impl View, vault: &Vault, credential: &Credential) -> Result<Parts> {
    let (id, version) = (credential.id, credential.version);
    let Some(Secret { shown, sealed: Some(sealed), .. }) =
        store::credentials::version(view, id, version)?
    else {
        return Err(damaged(credential).into());
    };
    let place = Place { credential: id, version, kind: credential.kind, shown: &shown };
    let secret = sealed.open(&*vault.key(sealed.key)?, place)?;
    Ok(Parts { shown, secret })
}

fn damaged(credential: &Credential) -> VaultError {
    VaultError::Damaged { credential: credential.id, version: credential.version }
}

/// The fields in the order of the type; `None` if one is missing that has to be there.
fn in_order(kind: Kind, Parts { shown, secret }: Parts) -> Option<Vec<OpenedField>> {
    if kind == Kind::Custom {
        return members(&secret.into_iter().find(|(name, _)| name == OBJECT)?.1);
    }
    let shown = shown.into_iter().map(|(name, value)| (name, value.into(), false));
    let secret = secret.into_iter().map(|(name, value)| (name, value, true));
    let mut all: BTreeMap<String, OpenedField> = shown
        .chain(secret)
        .map(|(name, value, secret)| (name.clone(), OpenedField { name, secret, value }))
        .collect();
    let fields = kind.fields().iter();
    fields
        .filter_map(|field| {
            let found = all.remove(field.name);
            (found.is_some() || field.required).then_some(found)
        })
        .collect()
}

/// The members of an object.
fn members(object: &SecretString) -> Option<Vec<OpenedField>> {
    let members: BTreeMap<String, Value> = serde_json::from_str(object.expose_secret()).ok()?;
    let members = members.into_iter().map(|(name, value)| {
        let value = match value {
            Value::String(text) => wiped(text),
            other => wiped(other.to_string()),
        };
        OpenedField { name, secret: true, value }
    });
    Some(members.collect())
}
