//! Flags that say how the server shows itself to the network.

use std::path::PathBuf;

use poem::http::{HeaderValue, Uri, uri::Authority};

use crate::{config::Web, listen::tls::Files};

#[derive(Debug, clap::Args)]
pub(super) struct WebFlags {
    /// A certificate in PEM, with its chain: the server offers TLS alone; it is read again when it changes
    #[arg(long, env = "AUTOMA_TLS_CERT", requires = "tls_key", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The key of the certificate in PEM
    #[arg(long, env = "AUTOMA_TLS_KEY", requires = "tls_cert", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// A name that the server is called by, besides `localhost` and addresses; may be given several times
    #[arg(
        long = "allowed-host",
        env = "AUTOMA_ALLOWED_HOSTS",
        value_delimiter = ',',
        value_parser = host,
        value_name = "NAME"
    )]
    allowed_hosts: Vec<String>,
    /// The origin of another site, such as `https://tools.example.com`, whose pages may call the API with
    /// tokens of their own; may be given several times
    #[arg(
        long = "allow-origin",
        env = "AUTOMA_ALLOW_ORIGINS",
        value_delimiter = ',',
        value_parser = origin,
        value_name = "ORIGIN"
    )]
    allowed_origins: Vec<HeaderValue>,
    /// Refuse to start where something is not safe, instead of warning
    #[arg(long)]
    production: bool,
    /// The same by its name
    #[arg(long, env = "AUTOMA_ENV", value_enum, default_value_t, value_name = "NAME")]
    environment: Environment,
    /// Serve plain HTTP on an address that others reach, where something else keeps it from being read
    #[arg(long, env = "AUTOMA_INSECURE_HTTP")]
    insecure_http: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Environment {
    #[default]
    Development,
    Production,
}

impl From<WebFlags> for Web {
    fn from(args: WebFlags) -> Self {
        let files = args.tls_cert.zip(args.tls_key);
        Self {
            tls: files.map(|(certificate, key)| Files { certificate, key }),
            allowed_hosts: args.allowed_hosts,
            allowed_origins: args.allowed_origins,
            production: args.production || args.environment == Environment::Production,
            insecure_http: args.insecure_http,
        }
    }
}

/// A name without a port.
fn host(text: &str) -> Result<String, String> {
    let authority: Option<Authority> = text.parse().ok();
    let named = authority.filter(|it| it.host() == text && !text.contains('@'));
    named.map(|it| it.host().to_owned()).ok_or_else(|| "a name such as automa.example.com".into())
}

/// A scheme and a host, as browsers send it: without a path, and never `*`.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let expected = || "an origin such as https://tools.example.com, without a path".to_owned();
    let uri: Uri = text.parse().map_err(|_| expected())?;
    let is_origin = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.authority().is_some_and(|it| !it.as_str().contains('@'))
        && uri.path() == "/"
        && !text.ends_with('/')
        && uri.query().is_none();
    if !is_origin || text.contains('*') {
        return Err(expected());
    }
    HeaderValue::from_str(text).map_err(|_| expected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_exact_and_hosts_have_no_port() {
        for right in ["https://tools.example.com", "http://127.0.0.1:8081"] {
            assert_eq!(origin(right).unwrap(), right);
        }
        for wrong in
            ["*", "https://*.example.com", "https://a.example.com/", "null", "ftp://x", "a"]
        {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
        assert_eq!(host("automa.example.com").unwrap(), "automa.example.com");
        for wrong in ["", "a:80", "https://a", "a/b", "x@a"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }
}
