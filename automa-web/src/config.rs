//! What the server is told at its start.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use automa_core::{Automa, Builder, address::Network, credential::MasterKeys};
use poem::http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

use crate::{listen::tls::Files, middleware::RateSetting};

/// Settings of `automa serve`.
#[derive(Debug)]
pub(crate) struct Config {
    /// Where everything is kept.
    pub(crate) data: PathBuf,
    /// Where to listen; port 0 picks a free one.
    pub(crate) listen: SocketAddr,
    /// What tokens are signed with, instead of the key in the data directory.
    pub(crate) secret_key: Option<SecretString>,
    /// Time that running executions have to end once the server is told to, before they are
    /// cancelled.
    pub(crate) grace: Duration,
    /// Executions that run at the same time, if not as many as there are processors.
    pub(crate) slots: Option<usize>,
    /// Executions of one user that do, if not as many.
    pub(crate) max_running_per_user: Option<usize>,
    /// Agents that run at the same time.
    pub(crate) max_agents: usize,
    /// Bytes that have to be free for data, if not the usual.
    pub(crate) least_free_disk: Option<u64>,
    /// How often something may be asked for, where that is not the usual.
    pub(crate) rate_limits: Vec<RateSetting>,
    /// Proxies that are believed from which address a request came to them.
    pub(crate) trusted_proxies: Vec<Network>,
    /// How the server shows itself to the network.
    pub(crate) web: Web,
    /// What secrets are sealed by.
    pub(crate) master_keys: MasterKeys,
}

/// How a server shows itself to the network.
#[derive(Debug, Clone, Default)]
pub(crate) struct Web {
    /// The certificate with which it offers TLS, and nothing else.
    pub(crate) tls: Option<Files>,
    /// Names that it is called by, besides `localhost` and addresses.
    pub(crate) allowed_hosts: Vec<String>,
    /// Origins of other sites whose pages may call the API with tokens of their own.
    pub(crate) allowed_origins: Vec<HeaderValue>,
    /// Whether what is unsafe keeps it from starting.
    pub(crate) production: bool,
    /// Whether plain HTTP on an address that others reach is meant.
    pub(crate) insecure_http: bool,
}

/// What a server was started with, as far as it is about its safety.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is on or off by itself")]
pub(crate) struct Posture {
    pub(crate) tls: bool,
    /// Whether it listens where only this machine reaches it.
    pub(crate) is_near: bool,
    /// Whether the key of tokens was given at the start.
    pub(crate) key_given: bool,
    pub(crate) weak_key: bool,
    pub(crate) production: bool,
    /// How many names it answers to.
    pub(crate) hosts: usize,
    /// How many other sites may call its API.
    pub(crate) origins: usize,
    /// How many networks of proxies it trusts.
    pub(crate) proxies: usize,
}

/// What is not safe in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsafe {
    #[error(
        "the secret key looks made up: whoever guesses it is anybody they like; \
         `openssl rand -hex 32` makes one"
    )]
    WeakKey,
    #[error(
        "{0} is reached by others, and without TLS whoever is on the way reads passwords and tokens: \
         give a certificate with `--tls-cert` and `--tls-key`, listen on 127.0.0.1 behind a proxy that \
         has one, or say `--insecure-http`"
    )]
    PlainHttp(SocketAddr),
}

/// Fewest bytes of a key that is given: what HMAC-SHA-256 makes full use of (RFC 7518, 3.2).
const KEY_MIN: usize = 32;

/// No key to sign with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error(
        "the secret key has {0} bytes, and needs at least {KEY_MIN}: \
         `openssl rand -hex 32` makes one"
    )]
    TooShort(usize),
    #[error("the file of the secret key {} cannot be used", path.display())]
    File { path: PathBuf, source: io::Error },
}

impl Config {
    /// How safe it is.
    pub(crate) fn posture(&self) -> Posture {
        Posture {
            tls: self.web.tls.is_some(),
            is_near: self.listen.ip().is_loopback(),
            key_given: self.secret_key.is_some(),
            weak_key: self.unsafe_parts().contains(&Unsafe::WeakKey),
            production: self.web.production,
            hosts: self.web.allowed_hosts.len(),
            origins: self.web.allowed_origins.len(),
            proxies: self.trusted_proxies.len(),
        }
    }

    /// What is not safe about it: in production, nothing may be.
    pub(crate) fn unsafe_parts(&self) -> Vec<Unsafe> {
        let mut found = Vec::new();
        if self.secret_key.as_ref().is_some_and(|key| is_weak(key.expose_secret())) {
            found.push(Unsafe::WeakKey);
        }
        let is_plain = self.web.tls.is_none() && !self.web.insecure_http;
        if is_plain && !self.listen.ip().is_loopback() {
            found.push(Unsafe::PlainHttp(self.listen));
        }
        found
    }

    /// How Automa is started.
    pub(crate) fn builder(&self) -> Builder {
        let mut builder = Automa::builder()
            .directory(&self.data)
            .max_agents(self.max_agents)
            .master_keys(self.master_keys.clone());
        if let Some(slots) = self.slots {
            builder = builder.slots(slots);
        }
        if let Some(most) = self.max_running_per_user {
            builder = builder.max_running_per_user(most);
        }
        if let Some(bytes) = self.least_free_disk {
            builder = builder.least_free_disk(bytes);
        }
        builder
    }

    /// The key that was given, else the one in the data directory, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub(crate) fn key(&self) -> Result<SecretSlice<u8>, KeyError> {
        if let Some(key) = &self.secret_key {
            let key = key.expose_secret().as_bytes();
            if key.len() < KEY_MIN {
                return Err(KeyError::TooShort(key.len()));
            }
            return Ok(key.to_vec().into());
        }
        let path = self.data.join("secret.key");
        let key =
            read_or_make(&path).map_err(|source| KeyError::File { path: path.clone(), source })?;
        if key.len() < KEY_MIN {
            return Err(KeyError::TooShort(key.len()));
        }
        Ok(key.into())
    }
}

/// Whether a key was made up rather than drawn: of few different characters, or with words in it.
fn is_weak(key: &str) -> bool {
    const WORDS: [&str; 9] = [
        "secret",
        "password",
        "changeme",
        "change-me",
        "change_me",
        "example",
        "default",
        "123456",
        "qwerty",
    ];
    const DIFFERENT: usize = 8;
    let lower = key.to_ascii_lowercase();
    let different: std::collections::BTreeSet<_> = lower.bytes().collect();
    different.len() < DIFFERENT || WORDS.iter().any(|word| lower.contains(word))
}

fn read_or_make(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    let mut key = vec![0; KEY_MIN];
    fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    // Whole or not at all: a key cut short by a crash would be refused ever after.
    let draft = path.with_extension("draft");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn config(data: &Path, secret_key: Option<&str>) -> Config {
        Config {
            data: data.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            secret_key: secret_key.map(Into::into),
            grace: Duration::ZERO,
            slots: None,
            max_running_per_user: None,
            max_agents: 16,
            least_free_disk: None,
            rate_limits: Vec::new(),
            master_keys: MasterKeys::default(),
            trusted_proxies: Vec::new(),
            web: Web::default(),
        }
    }

    #[test]
    fn the_key_is_made_once_and_for_its_owner_alone() {
        let data = tempfile::tempdir().unwrap();
        let first = config(data.path(), None).key().unwrap();
        let again = config(data.path(), None).key().unwrap();
        assert_eq!(first.expose_secret(), again.expose_secret());
        let mode = fs::metadata(data.path().join("secret.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_not_safe_is_told() {
        let data = tempfile::tempdir().unwrap();
        let parts = |key: Option<&str>, address: [u8; 4], web: Web| {
            let listen = SocketAddr::from((address, 80));
            Config { listen, web, ..config(data.path(), key) }.unsafe_parts()
        };
        let (near, far) = ([127, 0, 0, 1], [192, 0, 2, 1]);
        let plain = Unsafe::PlainHttp(SocketAddr::from((far, 80)));
        let drawn = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        assert_eq!(parts(Some(drawn), near, Web::default()), []);
        assert_eq!(parts(None, far, Web::default()), [plain]);
        assert_eq!(parts(None, far, Web { insecure_http: true, ..Web::default() }), []);
        let files = Files { certificate: "a".into(), key: "b".into() };
        assert_eq!(parts(None, far, Web { tls: Some(files), ..Web::default() }), []);
        for weak in ["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "my-secret-key-which-has-many-bytes-x"]
        {
            assert_eq!(parts(Some(weak), near, Web::default()), [Unsafe::WeakKey], "{weak}");
        }
    }

    #[test]
    fn a_weak_key_is_refused() {
        let data = tempfile::tempdir().unwrap();
        let error = config(data.path(), Some("changeme")).key().unwrap_err();
        assert!(error.to_string().starts_with("the secret key has 8 bytes"), "{error}");
        fs::write(data.path().join("secret.key"), b"short").unwrap();
        assert!(config(data.path(), None).key().is_err());
    }
}
