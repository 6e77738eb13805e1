//! What an allow-list names: a host, or all hosts below a domain, and one port.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use super::address::{self, Listed};

/// Longest name in its usual notation: RFC 1035, section 2.3.4.
pub(super) const MAX_NAME: usize = 253;
/// Longest part of a name between two dots.
pub(super) const MAX_LABEL: usize = 63;

/// A host and a port that may be reached. Written `HOST:PORT`, where the host is
///
/// - a name: `example.com`, and only that; upper case and a dot at the end make no difference;
/// - all names below one: `*.example.com`, at any depth, but not `example.com` itself;
/// - an address: `192.0.2.10`, `[2001:db8::1]`. A program that connects to an address reaches it
///   only if the address is listed, whatever names it has.
///
/// ```
/// use automa_sandbox::Destination;
/// let destination: Destination = "API.example.com.:443".parse()?;
/// assert_eq!(destination.to_string(), "api.example.com:443");
/// # Ok::<(), automa_sandbox::ParseDestinationError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Destination {
    target: Target,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Target {
    /// This name, in lower case.
    Name(String),
    /// Every name that ends in this domain and is longer, in lower case.
    Below(String),
    Address(IpAddr),
}

impl Destination {
    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether a name in lower case, without a dot at its end, is meant.
    pub(super) fn names(&self, name: &str) -> bool {
        match &self.target {
            Target::Name(own) => own == name,
            Target::Below(domain) => name
                .strip_suffix(domain.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|rest| !rest.is_empty()),
            Target::Address(_) => false,
        }
    }

    /// Whether this address is listed as such.
    pub(super) fn is(&self, address: SocketAddr) -> bool {
        self.port == address.port() && self.target == Target::Address(address.ip())
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        match &self.target {
            Target::Name(name) => write!(f, "{name}:{port}"),
            Target::Below(domain) => write!(f, "*.{domain}:{port}"),
            Target::Address(address) => write!(f, "{}", SocketAddr::new(*address, port)),
        }
    }
}

/// The text is not a destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a destination: {problem}")]
pub struct ParseDestinationError {
    text: String,
    problem: &'static str,
}

impl FromStr for Destination {
    type Err = ParseDestinationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|problem| ParseDestinationError {
            text: text.chars().take(2 * MAX_NAME).collect(),
            problem,
        })
    }
}

impl TryFrom<String> for Destination {
    type Error = ParseDestinationError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Destination> for String {
    fn from(destination: Destination) -> Self {
        destination.to_string()
    }
}

fn parse(text: &str) -> Result<Destination, &'static str> {
    const FORM: &str =
        "write HOST:PORT, as in example.com:443, *.example.com:443 or [2001:db8::1]:443";
    let (host, port) = text.rsplit_once(':').ok_or(FORM)?;
    if host.is_empty() || text.contains(['/', '@']) {
        return Err(FORM);
    }
    let digits = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = if digits { port.parse().unwrap_or(0) } else { 0 };
    if port == 0 {
        return Err("the port must be a number from 1 to 65535");
    }
    Ok(Destination { target: target(host)?, port })
}

fn target(host: &str) -> Result<Target, &'static str> {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or("a bracket is not closed")?;
        let address = inner.parse().map_err(|_| "between brackets must be an IPv6 address")?;
        return listed(IpAddr::V6(address));
    }
    if host.contains(':') {
        return Err("write an IPv6 address in brackets, as in [2001:db8::1]:443");
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if ends_in_number(&host) {
        let address = host.parse().map_err(|_| "write an IPv4 address as four decimal numbers")?;
        return listed(IpAddr::V4(address));
    }
    let (wild, name) = host.strip_prefix("*.").map_or((false, host.as_str()), |rest| (true, rest));
    check_name(name)?;
    Ok(if wild { Target::Below(name.to_owned()) } else { Target::Name(host) })
}

/// An address in its one form, unless it could never be reached.
fn listed(address: IpAddr) -> Result<Target, &'static str> {
    let address = address.to_canonical();
    match address::check(address, Listed::Yes) {
        Ok(()) => Ok(Target::Address(address)),
        Err(_) => Err("this address is the machine's own, link-local or reserved, and is never \
                       reached from a sandbox"),
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if !name.is_ascii() {
        return Err("write an international name in its ASCII form, as in xn--bcher-kva.example");
    }
    if name.contains('*') {
        return Err("a * stands for whole parts at the beginning only, as in *.example.com");
    }
    if name.len() > MAX_NAME {
        return Err("the name is longer than 253 characters");
    }
    for label in name.split('.') {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if label.is_empty() || label.len() > MAX_LABEL || !label.bytes().all(known) {
            return Err("a name is made of letters, digits, - and _, in parts of 1 to 63");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("no part of a name begins or ends with -");
        }
    }
    if name == "localhost" || name.ends_with(".localhost") {
        return Err("this name is the machine itself, which is never reached from a sandbox");
    }
    Ok(())
}

/// Whether a resolver would take this for an address: `inet_aton(3)` reads `127.1` and `0x7f.1`.
fn ends_in_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    let hex =
        last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    hex || (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn destination(text: &str) -> Destination {
        text.parse().unwrap()
    }

    #[test]
    fn one_destination_has_one_form() {
        for (text, form) in [
            ("example.com:443", "example.com:443"),
            ("EXAMPLE.com.:443", "example.com:443"),
            ("*.Example.COM:80", "*.example.com:80"),
            ("a_b-c.example:1", "a_b-c.example:1"),
            ("xn--bcher-kva.example:443", "xn--bcher-kva.example:443"),
            ("192.0.2.10:65535", "192.0.2.10:65535"),
            ("192.0.2.10.:80", "192.0.2.10:80"),
            ("10.1.2.3:5432", "10.1.2.3:5432"),
            ("[2001:DB8:0::1]:443", "[2001:db8::1]:443"),
            ("[::ffff:192.0.2.10]:443", "192.0.2.10:443"),
        ] {
            assert_eq!(destination(text).to_string(), form, "{text}");
        }
    }

    #[test]
    fn what_is_no_destination_is_explained() {
        for (text, part) in [
            ("", "write HOST:PORT"),
            ("example.com", "write HOST:PORT"),
            (":443", "write HOST:PORT"),
            ("https://example.com:443", "write HOST:PORT"),
            ("example.com:443/path", "write HOST:PORT"),
            ("user@example.com:443", "write HOST:PORT"),
            ("example.com:", "1 to 65535"),
            ("example.com:0", "1 to 65535"),
            ("example.com:65536", "1 to 65535"),
            ("example.com:+80", "1 to 65535"),
            ("example.com:http", "1 to 65535"),
            ("*:443", "stands for whole parts"),
            ("*.*.example.com:443", "stands for whole parts"),
            ("a*.example.com:443", "stands for whole parts"),
            ("bücher.example:443", "ASCII form"),
            ("exa mple.com:443", "letters, digits"),
            ("a..example.com:443", "letters, digits"),
            ("example.com..:443", "letters, digits"),
            (".:443", "letters, digits"),
            ("-a.example.com:443", "begins or ends with -"),
            ("localhost:80", "the machine itself"),
            ("a.localhost:80", "the machine itself"),
            ("127.0.0.1:80", "the machine's own"),
            ("0.0.0.0:80", "the machine's own"),
            ("169.254.169.254:80", "link-local"),
            ("198.18.0.1:80", "reserved"),
            ("[::1]:80", "the machine's own"),
            ("[::ffff:127.0.0.1]:80", "the machine's own"),
            ("[fe80::1]:80", "link-local"),
            ("[64:ff9b::7f00:1]:80", "the machine's own"),
            ("127.1:80", "four decimal numbers"),
            ("0x7f000001:80", "four decimal numbers"),
            ("010.0.0.1:80", "four decimal numbers"),
            ("2130706433:80", "four decimal numbers"),
            ("2001:db8::1:443", "in brackets"),
            ("[2001:db8::1:443", "not closed"),
            ("[192.0.2.10]:443", "IPv6 address"),
        ] {
            let problem = text.parse::<Destination>().unwrap_err().to_string();
            assert!(problem.contains(part), "{text}: {problem}");
        }
        let label = "a".repeat(64);
        assert!(format!("{label}.example:1").parse::<Destination>().is_err());
        let name = ["a".repeat(63).as_str(); 4].join(".");
        assert!(format!("{name}:1").parse::<Destination>().is_err());
    }

    #[test]
    fn names_are_matched_whole() {
        let exact = destination("example.com:443");
        let below = destination("*.example.com:443");
        for (name, by_exact, by_below) in [
            ("example.com", true, false),
            ("www.example.com", false, true),
            ("a.b.example.com", false, true),
            ("evilexample.com", false, false),
            ("example.com.evil.example", false, false),
            (".example.com", false, false),
            ("com", false, false),
            ("", false, false),
        ] {
            assert_eq!(exact.names(name), by_exact, "{name}");
            assert_eq!(below.names(name), by_below, "{name}");
        }
        assert!(!destination("192.0.2.10:80").names("192.0.2.10"));
    }

    #[test]
    fn addresses_are_matched_with_their_port() {
        let listed = destination("192.0.2.10:80");
        assert!(listed.is("192.0.2.10:80".parse().unwrap()));
        assert!(!listed.is("192.0.2.10:81".parse().unwrap()));
        assert!(!listed.is("192.0.2.11:80".parse().unwrap()));
        assert!(!destination("example.com:80").is("192.0.2.10:80".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn reading_never_panics(text: String) {
            let _ = text.parse::<Destination>();
        }

        #[test]
        fn what_is_written_is_read(
            wild: bool, name in "[a-z]([a-z0-9-]{0,20}[a-z0-9])?(\\.[a-z]{1,9}){1,3}", port in 1u16..,
        ) {
            let text = format!("{}{name}:{port}", if wild { "*." } else { "" });
            let destination = destination(&text);
            prop_assert_eq!(destination.to_string(), text.clone());
            let json = serde_json::to_string(&destination).unwrap();
            prop_assert_eq!(&json, &format!("{text:?}"));
            prop_assert_eq!(serde_json::from_str::<Destination>(&json).unwrap(), destination);
        }

        #[test]
        fn addresses_are_read_as_they_are_written(address: IpAddr, port in 1u16..) {
            let text = SocketAddr::new(address.to_canonical(), port).to_string();
            if let Ok(destination) = text.parse::<Destination>() {
                prop_assert_eq!(destination.to_string(), text);
            }
        }

        /// A wildcard stands for one part or more, and for nothing else.
        #[test]
        fn a_wildcard_needs_a_dot(prefix in "[a-z.]{0,8}") {
            let below = destination("*.example.com:1");
            let name = format!("{prefix}example.com");
            prop_assert_eq!(below.names(&name), prefix.len() > 1 && prefix.ends_with('.'));
        }
    }
}
