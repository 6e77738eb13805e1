//! What types of credentials there are, and what each is made of: one table, from which checks, the
//! API's description and forms follow.

use std::{collections::BTreeMap, fmt, str::FromStr};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::key_file;
use crate::error::FieldError;

/// Most bytes of one field.
pub const FIELD_MAX: usize = 64 * 1024;

/// A type of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One key, as services give them for programs.
    ApiKey,
    /// A user name with a password.
    UserPass,
    /// A client of OAuth 2.
    Oauth,
    /// A private key of SSH.
    SshKey,
    /// A database.
    DbConnection,
    /// A JSON object of whatever else is needed.
    Custom,
}

/// There is no type of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no type `{0}`; there are api_key, user_pass, oauth, ssh_key, db_connection and custom"
)]
pub struct UnknownKind(String);

/// One field of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name in the API, and the end of the variable that it is given in.
    pub name: &'static str,
    /// What people call it.
    pub label: &'static str,
    /// Whether it is sealed and never shown.
    pub secret: bool,
    /// Whether it has to be there.
    pub required: bool,
    /// What it looks like.
    pub format: Format,
    /// What to say beside it; may be empty.
    pub help: &'static str,
}

/// What the text of a field looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One line.
    Line,
    /// An address that begins with `http://` or `https://`.
    Url,
    /// The name or address of a host.
    Host,
    /// A number, 1 to 65535.
    Port,
    /// One of these.
    Choice(&'static [&'static str]),
    /// A private key, in a form that OpenSSH reads.
    PrivateKey,
    /// A JSON object.
    Object,
}

/// The fields of a credential by name, as somebody gives them.
pub type Data = BTreeMap<String, SecretString>;

/// Fields that were found right: those that are shown, and those that are sealed.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) shown: Vec<(String, String)>,
    pub(super) secret: Vec<(String, SecretString)>,
}

impl Parts {
    /// The fields as somebody would give them.
    pub(super) fn into_data(self) -> Data {
        let shown = self.shown.into_iter().map(|(name, value)| (name, value.into()));
        shown.chain(self.secret).collect()
    }

    /// Whether both consist of the same; the order is always that of the type.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.shown == other.shown
            && self.secret.len() == other.secret.len()
            && self.secret.iter().zip(&other.secret).all(|((name, value), (other, theirs))| {
                name == other && value.expose_secret() == theirs.expose_secret()
            })
    }
}

/// The field that holds the object of a [`Kind::Custom`].
pub const OBJECT: &str = "object";

const ENGINES: &[&str] = &["postgresql", "mysql", "mariadb", "sqlserver", "mongodb", "redis"];

const fn shown(name: &'static str, label: &'static str, format: Format) -> Field {
    Field { name, label, secret: false, required: false, format, help: "" }
}

const fn secret(name: &'static str, label: &'static str, format: Format) -> Field {
    Field { secret: true, ..shown(name, label, format) }
}

const fn required(field: Field) -> Field {
    Field { required: true, ..field }
}

const fn help(help: &'static str, field: Field) -> Field {
    Field { help, ..field }
}

const API_KEY: &[Field] = &[
    required(secret("key", "Key", Format::Line)),
    help("Where it is used; a test goes there.", shown("url", "Address", Format::Url)),
];
const USER_PASS: &[Field] = &[
    required(shown("username", "User name", Format::Line)),
    required(secret("password", "Password", Format::Line)),
    shown("url", "Address", Format::Url),
];
const OAUTH: &[Field] = &[
    required(shown("client_id", "Client id", Format::Line)),
    required(secret("client_secret", "Client secret", Format::Line)),
    shown("token_url", "Token address", Format::Url),
    help("With spaces between.", shown("scope", "Scopes", Format::Line)),
    secret("access_token", "Access token", Format::Line),
    secret("refresh_token", "Refresh token", Format::Line),
];
const SSH_KEY: &[Field] = &[
    help(
        "The whole file, from BEGIN to END.",
        required(secret("private_key", "Private key", Format::PrivateKey)),
    ),
    help("If the key is encrypted.", secret("passphrase", "Passphrase", Format::Line)),
    shown("username", "User name", Format::Line),
    shown("host", "Host", Format::Host),
    help("22 unless told.", shown("port", "Port", Format::Port)),
];
const DB_CONNECTION: &[Field] = &[
    required(shown("engine", "Engine", Format::Choice(ENGINES))),
    required(shown("host", "Host", Format::Host)),
    help("The engine's own unless told.", shown("port", "Port", Format::Port)),
    shown("database", "Database", Format::Line),
    shown("username", "User name", Format::Line),
    required(secret("password", "Password", Format::Line)),
];
const CUSTOM: &[Field] = &[help(
    "A JSON object, all of which is secret.",
    required(secret(OBJECT, "Object", Format::Object)),
)];

impl Kind {
    /// All types.
    pub const ALL: [Self; 6] =
        [Self::ApiKey, Self::UserPass, Self::Oauth, Self::SshKey, Self::DbConnection, Self::Custom];

    /// The type's name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::UserPass => "user_pass",
            Self::Oauth => "oauth",
            Self::SshKey => "ssh_key",
            Self::DbConnection => "db_connection",
            Self::Custom => "custom",
        }
    }

    /// What people call it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::ApiKey => "API key",
            Self::UserPass => "User name and password",
            Self::Oauth => "OAuth client",
            Self::SshKey => "SSH key",
            Self::DbConnection => "Database",
            Self::Custom => "Custom object",
        }
    }

    /// What it is made of.
    #[must_use]
    pub fn fields(self) -> &'static [Field] {
        match self {
            Self::ApiKey => API_KEY,
            Self::UserPass => USER_PASS,
            Self::Oauth => OAUTH,
            Self::SshKey => SSH_KEY,
            Self::DbConnection => DB_CONNECTION,
            Self::Custom => CUSTOM,
        }
    }

    /// Its field of this name.
    #[must_use]
    pub fn field(self, name: &str) -> Option<&'static Field> {
        self.fields().iter().find(|field| field.name == name)
    }

    /// The fields that a JSON object says: texts as they are, numbers as their text, `null` as nothing.
    /// Of a [`Kind::Custom`] it is all one secret.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) for a field that is neither.
    pub fn data_of_json(self, members: serde_json::Map<String, Value>) -> crate::Result<Data> {
        if self == Self::Custom {
            let object = Value::Object(members).to_string();
            return Ok(Data::from([(OBJECT.to_owned(), object.into())]));
        }
        let mut errors = Vec::new();
        let fields = members.into_iter().filter_map(|(name, value)| {
            let text = match value {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Null => String::new(),
                _ => {
                    errors.push(wrong(&name, "must be text"));
                    return None;
                }
            };
            Some((name, text.into()))
        });
        let data = fields.collect();
        FieldError::none_of(errors)?;
        Ok(data)
    }

    /// Takes fields apart, or tells what is wrong with them. Empty ones are as if they were not there.
    pub(super) fn check(self, mut data: Data) -> Result<Parts, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut parts = Parts::default();
        data.retain(|_, value| !value.expose_secret().is_empty());
        for field in self.fields() {
            let Some(value) = data.remove(field.name) else {
                if field.required {
                    errors.push(wrong(field.name, "is missing"));
                }
                continue;
            };
            match field.format.read(value) {
                Err(reason) => errors.push(wrong(field.name, &reason)),
                Ok(value) if field.secret => parts.secret.push((field.name.to_owned(), value)),
                Ok(value) => {
                    parts.shown.push((field.name.to_owned(), value.expose_secret().to_owned()));
                }
            }
        }
        for name in data.keys() {
            let known: Vec<_> = self.fields().iter().map(|field| field.name).collect();
            let reason = format!("is no field of {}, which has {}", self.name(), known.join(", "));
            errors.push(wrong(name, &reason));
        }
        if self == Self::SshKey
            && errors.is_empty()
            && let Err(error) = check_passphrase(&parts)
        {
            errors.push(error);
        }
        if errors.is_empty() { Ok(parts) } else { Err(errors) }
    }
}

fn wrong(field: &str, reason: &str) -> FieldError {
    FieldError::new(format!("data.{field}"), reason)
}

/// Whether a key that is encrypted comes with a passphrase, and no other does.
fn check_passphrase(parts: &Parts) -> Result<(), FieldError> {
    let get = |name: &str| parts.secret.iter().find(|(known, _)| known == name);
    let key = get("private_key").map_or("", |(_, key)| key.expose_secret());
    match (key_file::is_encrypted(key), get("passphrase").is_some()) {
        (true, false) => Err(wrong("passphrase", "is missing: the private key is encrypted")),
        (false, true) => {
            Err(wrong("passphrase", "is not needed: the private key is not encrypted"))
        }
        _ => Ok(()),
    }
}

impl Format {
    /// The format's name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Url => "url",
            Self::Host => "host",
            Self::Port => "port",
            Self::Choice(_) => "choice",
            Self::PrivateKey => "private_key",
            Self::Object => "object",
        }
    }

    /// The text as it is kept, or why it is not of this format. What it says is not repeated.
    fn read(self, given: SecretString) -> Result<SecretString, String> {
        let text = given.expose_secret();
        if text.len() > FIELD_MAX {
            return Err("must have at most 64 KiB".to_owned());
        }
        if text.contains('\0') {
            return Err("must not contain the character 0".to_owned());
        }
        if self == Self::PrivateKey {
            return key_file::read(text).map_err(str::to_owned);
        }
        self.check(text)?;
        Ok(given)
    }

    fn check(self, text: &str) -> Result<(), String> {
        let is_line = !text.chars().any(char::is_control);
        let (is_right, otherwise) = match self {
            Self::Line => (is_line, "must be one line, without control characters"),
            Self::Url => return check_url(text).map_err(str::to_owned),
            Self::Host => {
                let allowed = |c: char| c.is_ascii_alphanumeric() || ".-:[]_".contains(c);
                let is_host = text.len() <= 253 && text.chars().all(allowed);
                (is_host, "must be the name or address of a host, such as db.example.com")
            }
            Self::Port => {
                let is_port = text.parse::<u16>().is_ok_and(|port| port > 0);
                (is_port, "must be a number, 1 to 65535")
            }
            Self::Choice(choices) if choices.contains(&text) => return Ok(()),
            Self::Choice(choices) => return Err(format!("must be one of {}", choices.join(", "))),
            Self::PrivateKey => return key_file::read(text).map(drop).map_err(str::to_owned),
            Self::Object => return check_object(text),
        };
        if is_right { Ok(()) } else { Err(otherwise.to_owned()) }
    }
}

fn check_url(text: &str) -> Result<(), &'static str> {
    let rest = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let is_visible = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    let authority = rest.map_or("", |rest| rest.split(['/', '?', '#']).next().unwrap_or(""));
    if authority.is_empty() || !is_visible {
        return Err("must be an address such as https://api.example.com/v1");
    }
    if authority.contains('@') {
        return Err("must not contain a user name or a password, because it is shown");
    }
    Ok(())
}

fn check_object(text: &str) -> Result<(), String> {
    match serde_json::from_str::<serde_json::Map<String, Value>>(text) {
        Ok(object) if object.is_empty() => Err("must have a member".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            Err(format!("must be a JSON object; line {line}, column {column} is wrong"))
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| UnknownKind(name.to_owned()))
    }
}

#[cfg(test)]
mod tests;
