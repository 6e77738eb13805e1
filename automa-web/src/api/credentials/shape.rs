//! What credentials look like in the API.

use std::collections::BTreeMap;

use automa_core::{
    credential::{self, CredentialNow, Data, Delivery, Given, Kind, Opened, Secret, Use, What},
    id::{CredentialId, ExecutionId, ScriptId, UserId},
    page::{Cursor, Page},
};
use jiff::Timestamp;
use poem_openapi::Object;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::{
    api::wire::{OneOf, Text, Word},
    problem::Problem,
};

/// A credential to be created.
#[derive(Object)]
pub(super) struct NewCredential {
    /// One line of 1 to 200 characters.
    name: String,
    /// What it is; see `/credentials/types`.
    #[oai(rename = "type")]
    kind: OneOf<Kind>,
    /// The fields of its type; of `custom`, the object itself.
    #[oai(write_only)]
    data: BTreeMap<String, Value>,
    /// Words to find it by: at most 20 of 1 to 50 characters.
    tags: Option<Vec<String>>,
    /// From when on it is not given to anything.
    expires_at: Option<Text<Timestamp>>,
    /// Whether its owner may see its secret: `false` unless told.
    revealable: Option<bool>,
}

/// What a credential is to become.
#[derive(Object)]
pub(super) struct CredentialUpdate {
    /// One line of 1 to 200 characters.
    name: String,
    /// The fields of its type, in a new version. Secret ones that are not in it stay as they are.
    #[oai(write_only)]
    data: Option<BTreeMap<String, Value>>,
    /// Words to find it by: none unless told.
    tags: Option<Vec<String>>,
    /// From when on it is not given to anything; never unless told.
    expires_at: Option<Text<Timestamp>>,
    /// Whether its owner may see its secret: `false` unless told. From then on only together with a new
    /// secret.
    revealable: Option<bool>,
    /// The revision that was read.
    pub(super) revision: Option<u32>,
}

/// A credential, without its secret.
#[derive(Object)]
pub(super) struct Credential {
    id: Text<CredentialId>,
    /// How often it was saved.
    revision: u32,
    name: String,
    #[oai(rename = "type")]
    kind: OneOf<Kind>,
    tags: Vec<String>,
    /// The number of its newest version, which is the one that is used.
    version: u32,
    /// The fields that are not secret.
    shown: BTreeMap<String, String>,
    expires_at: Option<Text<Timestamp>>,
    /// Whether it has expired, will within two weeks, or neither.
    expiry: OneOf<Expiry>,
    revealable: bool,
    /// Whose it is; none of the program that embeds Automa.
    owner_id: Option<Text<UserId>>,
    owner: String,
    created_at: Text<Timestamp>,
    updated_at: Text<Timestamp>,
    /// When it was given to an execution or shown last.
    last_used_at: Option<Text<Timestamp>>,
    /// How often that happened.
    use_count: u64,
}

/// Credentials, newest first.
#[derive(Object)]
pub(super) struct CredentialPage {
    pub(super) items: Vec<Credential>,
    /// Where the next page continues; none on the last.
    pub(super) next_cursor: Option<Text<Cursor>>,
}

/// What an end means now.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Expiry {
    Fine,
    Soon,
    Expired,
}

impl Word for Expiry {
    const NAME: &'static str = "CredentialExpiry";
    const ALL: &'static [Self] = &[Self::Fine, Self::Soon, Self::Expired];

    fn word(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Soon => "soon",
            Self::Expired => "expired",
        }
    }
}

impl From<Expiry> for credential::Expiry {
    fn from(expiry: Expiry) -> Self {
        match expiry {
            Expiry::Fine => Self::Fine,
            Expiry::Soon => Self::Soon,
            Expiry::Expired => Self::Expired,
        }
    }
}

impl From<credential::Expiry> for Expiry {
    fn from(expiry: credential::Expiry) -> Self {
        match expiry {
            credential::Expiry::Fine => Self::Fine,
            credential::Expiry::Soon => Self::Soon,
            credential::Expiry::Expired => Self::Expired,
        }
    }
}

/// The types of credentials.
#[derive(Object)]
pub(super) struct CredentialTypes {
    items: Vec<CredentialType>,
}

/// A type of credential.
#[derive(Object)]
struct CredentialType {
    #[oai(rename = "type")]
    kind: OneOf<Kind>,
    /// What people call it.
    label: String,
    fields: Vec<CredentialField>,
}

/// A field of a type.
#[derive(Object)]
struct CredentialField {
    name: String,
    /// What people call it.
    label: String,
    /// Whether it is sealed and never shown.
    secret: bool,
    required: bool,
    /// `line`, `url`, `host`, `port`, `choice`, `private_key` or `object`.
    format: String,
    /// Of a `choice`, what there is.
    choices: Option<Vec<String>>,
    help: String,
}

/// The versions of a credential, newest first.
#[derive(Object)]
pub(super) struct Versions {
    items: Vec<CredentialVersion>,
}

/// A version of a credential, without its secret.
#[derive(Object)]
struct CredentialVersion {
    number: u32,
    /// The fields that are not secret.
    shown: BTreeMap<String, String>,
    made_at: Text<Timestamp>,
    made_by: String,
    /// Whether its secret is gone for good.
    destroyed: bool,
}

/// Who wants to see a secret.
#[derive(Object)]
pub(super) struct Decrypt {
    /// The password of who is signed in.
    #[oai(write_only)]
    password: String,
}

/// What a credential is made of.
#[derive(Object)]
pub(super) struct Decrypted {
    version: u32,
    /// Its fields, those that are not secret included; of `custom`, the members of its object.
    data: BTreeMap<String, String>,
    /// All of it as one text, as a script is given it.
    value: String,
}

/// What a test found.
#[derive(Object)]
pub(super) struct Tested {
    /// Whether the credential could be used.
    ok: bool,
    detail: String,
}

/// An entry of a credential's trail.
#[derive(Object)]
struct CredentialUse {
    at: Text<Timestamp>,
    /// Who, unless it was the program that embeds Automa.
    user_id: Option<Text<UserId>>,
    actor: String,
    /// `given` to an execution, `revealed`, `reveal_refused`, `tested`, `created`, `changed`,
    /// `version_added`, `version_destroyed` or `deleted`.
    what: String,
    version: Option<u32>,
    /// Of a test, whether it passed.
    passed: Option<bool>,
    execution_id: Option<Text<ExecutionId>>,
    script_id: Option<Text<ScriptId>>,
    /// Under which name an execution was given it.
    variable: Option<String>,
    delivery: Option<OneOf<Delivery>>,
}

/// A credential's trail, newest first.
#[derive(Object)]
pub(super) struct UsePage {
    items: Vec<CredentialUse>,
    /// Where the next page continues; none on the last.
    next_cursor: Option<Text<Cursor>>,
}

/// Master keys, and how far a rotation is.
#[derive(Object)]
pub(super) struct Rotation {
    /// The key that seals, by its id; none before anything was sealed.
    key_id: Option<String>,
    since: Option<Text<Timestamp>>,
    /// Whether a former key is being replaced.
    running: bool,
    /// How many versions the former key had sealed when that began.
    total: u64,
    /// How many of them wait for the new one.
    left: u64,
    /// Whether a rotation can be begun here: the key is in the data directory, not given from outside.
    can_begin: bool,
}

impl NewCredential {
    pub(super) fn read(self) -> Result<credential::NewCredential, Problem> {
        let kind = self.kind.0;
        Ok(credential::NewCredential {
            name: self.name,
            kind,
            data: read_data(kind, self.data)?,
            tags: self.tags.unwrap_or_default(),
            expires_at: self.expires_at.map(|it| it.0),
            revealable: self.revealable.unwrap_or(false),
        })
    }
}

impl CredentialUpdate {
    pub(super) fn read(self, kind: Kind) -> Result<credential::CredentialUpdate, Problem> {
        Ok(credential::CredentialUpdate {
            name: self.name,
            tags: self.tags.unwrap_or_default(),
            expires_at: self.expires_at.map(|it| it.0),
            revealable: self.revealable.unwrap_or(false),
            data: self.data.map(|data| read_data(kind, data)).transpose()?,
        })
    }
}

fn read_data(kind: Kind, data: BTreeMap<String, Value>) -> Result<Data, Problem> {
    Ok(kind.data_of_json(data.into_iter().collect())?)
}

impl Credential {
    pub(super) fn new(now: CredentialNow, at: Timestamp) -> Self {
        let CredentialNow { credential, usage, shown } = now;
        let expiry = OneOf(credential.expiry(at).into());
        Self {
            id: Text(credential.id),
            revision: credential.revision,
            name: credential.name,
            kind: OneOf(credential.kind),
            tags: credential.tags,
            version: credential.version,
            shown: shown.into_iter().collect(),
            expires_at: credential.expires_at.map(Text),
            expiry,
            revealable: credential.revealable,
            owner_id: credential.owner.map(Text),
            owner: credential.owner_name,
            created_at: Text(credential.created_at),
            updated_at: Text(credential.updated_at),
            last_used_at: usage.used_at.map(Text),
            use_count: usage.uses,
        }
    }
}

impl CredentialTypes {
    pub(super) fn all() -> Self {
        let types = Kind::ALL.into_iter().map(|kind| CredentialType {
            kind: OneOf(kind),
            label: kind.label().to_owned(),
            fields: kind.fields().iter().map(CredentialField::from).collect(),
        });
        Self { items: types.collect() }
    }
}

impl From<&credential::Field> for CredentialField {
    fn from(field: &credential::Field) -> Self {
        let choices = match field.format {
            credential::Format::Choice(choices) => {
                Some(choices.iter().map(|&it| it.to_owned()).collect())
            }
            _ => None,
        };
        Self {
            name: field.name.to_owned(),
            label: field.label.to_owned(),
            secret: field.secret,
            required: field.required,
            format: field.format.name().to_owned(),
            choices,
            help: field.help.to_owned(),
        }
    }
}

impl From<Vec<Secret>> for Versions {
    fn from(versions: Vec<Secret>) -> Self {
        let items = versions.into_iter().map(|it| CredentialVersion {
            destroyed: it.is_destroyed(),
            number: it.number,
            shown: it.shown.into_iter().collect(),
            made_at: Text(it.made_at),
            made_by: it.made_by,
        });
        Self { items: items.collect() }
    }
}

impl Decrypt {
    pub(super) fn password(self) -> SecretString {
        self.password.into()
    }
}

impl From<Opened> for Decrypted {
    fn from(opened: Opened) -> Self {
        let fields = opened.fields().iter();
        Self {
            version: opened.version,
            data: fields.map(|it| (it.name.clone(), it.value.expose_secret().to_owned())).collect(),
            value: opened.value().expose_secret().to_owned(),
        }
    }
}

impl From<credential::Tested> for Tested {
    fn from(tested: credential::Tested) -> Self {
        Self { ok: tested.passed, detail: tested.detail }
    }
}

impl From<Page<Use>> for UsePage {
    fn from(page: Page<Use>) -> Self {
        let Page { items, next_cursor } = page.map(CredentialUse::from);
        Self { items, next_cursor: next_cursor.map(Text) }
    }
}

impl From<Use> for CredentialUse {
    fn from(it: Use) -> Self {
        let mut used = Self {
            at: Text(it.at),
            user_id: it.user.map(Text),
            actor: it.actor,
            what: it.what.name().to_owned(),
            version: None,
            passed: None,
            execution_id: None,
            script_id: None,
            variable: None,
            delivery: None,
        };
        match it.what {
            What::VersionAdded(version)
            | What::VersionDestroyed(version)
            | What::Revealed(version) => used.version = Some(version),
            What::Tested { passed } => used.passed = Some(passed),
            What::Given(Given { version, execution, script, variable, delivery }) => {
                used.version = Some(version);
                used.execution_id = Some(Text(execution));
                used.script_id = script.map(Text);
                used.variable = Some(variable);
                used.delivery = Some(OneOf(delivery));
            }
            _ => {}
        }
        used
    }
}

impl From<credential::Rotation> for Rotation {
    fn from(rotation: credential::Rotation) -> Self {
        let credential::Rotation { current, running, total, left, can_begin } = rotation;
        Self {
            key_id: current.as_ref().map(|key| key.id.to_string()),
            since: current.map(|key| Text(key.since)),
            running,
            total,
            left,
            can_begin,
        }
    }
}
