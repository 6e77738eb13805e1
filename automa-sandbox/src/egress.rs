//! The way out of a sandbox: connections to destinations on an allow-list, and to nothing else.
//!
//! A sandbox with an allow-list has a network namespace of its own in which every address is local:
//! whatever a program connects to, it arrives at a listener that its slot has made there and handed
//! to the server. There is no way out but through these listeners.
//!
//! ```text
//! inside                             server
//! resolves a name ──────────────────▶ dns: an address that stands for the name (names)
//! connects to that address ─────────▶ relay: which name, is it listed with this port?
//!                                     resolves it, looks at where it leads (address),
//!        ◀── bytes both ways ───────▶ connects, passes on, counts (events)
//! ```
//!
//! So programs need no proxy settings, and no packet of theirs ever reaches a network.

mod address;
mod datagram;
mod destination;
mod dns;
mod events;
mod gate;
mod names;
mod relay;
mod resolver;

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    destination::{Destination, ParseDestinationError},
    events::{EgressEvent, Refusal, Verdict},
    resolver::{Resolve, Resolving},
};
pub(crate) use self::{names::RESOLVER, relay::Relay, resolver::System as SystemResolver};
use crate::{class::MAX_PORTS, limits::Bytes};

/// Port of DNS, which every sandbox with an allow-list can ask.
pub(crate) const DNS_PORT: u16 = 53;

/// Most destinations of one allow-list.
const MAX_DESTINATIONS: usize = 64;

/// What a sandbox can reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Network {
    /// Nothing: not even a loopback interface is up.
    #[default]
    None,
    /// What an allow-list names.
    Allow(Egress),
}

impl Network {
    /// The ports that can be connected to, each once and in order; empty where there is no network.
    pub(crate) fn ports(&self) -> Vec<u16> {
        match self {
            Self::None => Vec::new(),
            Self::Allow(egress) => egress.ports().into_iter().collect(),
        }
    }

    /// Says what is wrong with an allow-list under which nothing could run.
    ///
    /// # Errors
    ///
    /// A sentence without its full stop: what is too much or missing.
    pub fn check(&self) -> Result<(), String> {
        let Self::Allow(egress) = self else { return Ok(()) };
        let within = |what, count, most| {
            if count > most {
                Err(format!("the allow-list names {count} {what}; the most is {most}"))
            } else {
                Ok(())
            }
        };
        if egress.destinations.is_empty() {
            return Err("the allow-list is empty; without one there is no network".to_owned());
        }
        within("destinations", egress.destinations.len(), MAX_DESTINATIONS)?;
        within("ports", egress.ports().len(), MAX_PORTS)
    }
}

/// An allow-list of TCP destinations: at most 64, with at most 32 different ports.
///
/// A name leads only to public addresses: one that resolves to a private, loopback or link-local
/// address, or to one of this machine's own, is refused. An address that is listed as such may be
/// of a private network.
///
/// ```
/// use automa_sandbox::{Egress, Network, Policy};
/// let egress = Egress::to(["example.com:443".parse()?, "*.example.org:443".parse()?]);
/// let policy = Policy::script().network(Network::Allow(egress));
/// # let _ = policy;
/// # Ok::<(), automa_sandbox::ParseDestinationError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Egress {
    /// What may be reached.
    pub destinations: Vec<Destination>,
    /// How much of it.
    #[serde(default)]
    pub limits: EgressLimits,
}

impl Egress {
    /// These destinations, with the default limits.
    #[must_use]
    pub fn to(destinations: impl IntoIterator<Item = Destination>) -> Self {
        let destinations = destinations.into_iter().collect();
        Self { destinations, limits: EgressLimits::default() }
    }

    fn ports(&self) -> BTreeSet<u16> {
        self.destinations.iter().map(Destination::port).collect()
    }
}

/// How much a sandbox may use of the network. Whatever goes over is reset and reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EgressLimits {
    /// Connections at one time: 64.
    pub simultaneous: u32,
    /// Connections in all: 10,000.
    pub connections: u32,
    /// Bytes sent over all connections together: 1 GiB.
    pub sent: Bytes,
    /// Bytes received over all connections together: 1 GiB.
    pub received: Bytes,
    /// Time to resolve a name, and to connect to each of its addresses: 10 seconds.
    pub connect: Duration,
    /// Different names that can be asked for: 1,024.
    pub names: u32,
}

impl Default for EgressLimits {
    fn default() -> Self {
        Self {
            simultaneous: 64,
            connections: 10_000,
            sent: Bytes::mib(1024),
            received: Bytes::mib(1024),
            connect: Duration::from_secs(10),
            names: 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(destinations: impl IntoIterator<Item = String>) -> Network {
        Network::Allow(Egress::to(destinations.into_iter().map(|text| text.parse().unwrap())))
    }

    #[test]
    fn ports_are_listed_once() {
        let listed = ["b.example:443", "a.example:80", "*.example:443"].map(str::to_owned);
        assert_eq!(allow(listed).ports(), [80, 443]);
        assert_eq!(Network::None.ports(), [] as [u16; 0]);
    }

    #[test]
    fn lists_that_are_too_long_are_explained() {
        assert!(allow([]).check().unwrap_err().contains("empty"));
        let many = (0..65).map(|n| format!("h{n}.example:443"));
        assert!(allow(many).check().unwrap_err().contains("65 destinations; the most is 64"));
        let ports = |most| (1..=most).map(|port| format!("a.example:{port}"));
        assert!(allow(ports(33)).check().unwrap_err().contains("33 ports; the most is 32"));
        assert_eq!(allow(ports(32)).check(), Ok(()));
        assert_eq!(Network::None.check(), Ok(()));
    }

    #[test]
    fn a_network_reads_back_and_limits_may_be_left_out() {
        let network = allow(["a.example:443".to_owned()]);
        let json = serde_json::to_string(&network).unwrap();
        assert_eq!(serde_json::from_str::<Network>(&json).unwrap(), network);
        let short = r#"{"allow":{"destinations":["A.example.:443"]}}"#;
        assert_eq!(serde_json::from_str::<Network>(short).unwrap(), network);
        assert!(serde_json::from_str::<Network>(r#"{"allow":{"destinations":["x"]}}"#).is_err());
    }
}
