//! Networks: ranges of addresses that a list allows or trusts.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize, de};

/// A range of addresses of IPv4 or IPv6 (CIDR, RFC 4632). An address alone is a range of one.
///
/// An IPv4 address within IPv6 (`::ffff:192.0.2.1`) is that IPv4 address.
///
/// ```
/// use automa_core::address::Network;
///
/// let office: Network = "192.0.2.0/24".parse()?;
/// assert!(office.contains("::ffff:192.0.2.7".parse()?));
/// assert_eq!("2001:db8::1".parse::<Network>()?.to_string(), "2001:db8::1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpNet);

/// Text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address nor a network, such as 192.0.2.0/24 or 2001:db8::/32")]
pub struct InvalidNetwork(String);

impl Network {
    /// Whether an address is one of these.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let text = text.trim();
        let alone = || Some(IpNet::from(text.parse::<IpAddr>().ok()?.to_canonical()));
        let network = || Some(text.parse::<IpNet>().ok()?.trunc());
        let invalid = || InvalidNetwork(text.chars().take(64).collect());
        alone().or_else(network).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            self.0.addr().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}

impl Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_contains_what_begins_like_it() {
        for (range, address, within) in [
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.77/24", "192.0.2.1", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("0.0.0.0/0", "198.51.100.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
        ] {
            assert_eq!(network(range).contains(address.parse().unwrap()), within, "{range}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "example.com", "192.0.2.0/33", "192.0.2", "::/129", "10.0.0.0/8,::1"] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` is neither")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = text.parse::<Network>();
        }

        #[test]
        fn a_network_is_written_as_it_is_read(bits: [u8; 16], length in 0u8..=128) {
            let v6 = network(&format!("{}/{length}", std::net::Ipv6Addr::from(bits)));
            prop_assert_eq!(network(&v6.to_string()), v6);
            let v4 = [bits[0], bits[1], bits[2], bits[3]];
            let v4 = network(&format!("{}/{}", std::net::Ipv4Addr::from(v4), length % 33));
            prop_assert_eq!(network(&v4.to_string()), v4);
        }
    }
}
