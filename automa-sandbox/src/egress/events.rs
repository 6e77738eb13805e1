//! What a sandbox reached and what it was refused: one entry for each kind of event, however often
//! it happened, and no more kinds than fit a report.

use std::{
    fmt,
    net::IpAddr,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::limits::Bytes;

/// Most kinds of events that a report lists.
pub(super) const MAX_KINDS: usize = 256;

/// Something a program did on the network, and what became of it. Events of the same host, port and
/// verdict are one, with their number and sums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressEvent {
    /// When it first happened, in nanoseconds from the request.
    pub at_ns: u64,
    /// The name that was asked for or connected to, or the address where no name led there.
    pub host: String,
    /// The port; `None` when only a name was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The address that was dialled, or refused: the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// What became of it.
    pub verdict: Verdict,
    /// Bytes that went out.
    pub sent: Bytes,
    /// Bytes that came in.
    pub received: Bytes,
    /// How often.
    pub count: u64,
}

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was made.
    Allowed,
    /// It was not, or was ended.
    Refused(Refusal),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed => f.write_str("allowed"),
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
        }
    }
}

/// Why a connection was refused or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// The destination is not on the allow-list.
    NotListed,
    /// The name leads to an address of a private network.
    PrivateAddress,
    /// The address is loopback, link-local, multicast or reserved.
    ReservedAddress,
    /// The address is one of this machine's own.
    OwnAddress,
    /// The name has no address.
    Unresolved,
    /// The destination refused the connection, or did not answer in time.
    Unreachable,
    /// Too many connections at one time.
    Simultaneous,
    /// Too many connections in all.
    Connections,
    /// Too many bytes sent.
    Sent,
    /// Too many bytes received.
    Received,
    /// Too many names asked for.
    Names,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotListed => "not on the allow-list",
            Self::PrivateAddress => "the name leads into a private network",
            Self::ReservedAddress => "a loopback, link-local or reserved address",
            Self::OwnAddress => "an address of this machine",
            Self::Unresolved => "the name has no address",
            Self::Unreachable => "the destination cannot be reached",
            Self::Simultaneous => "too many connections at one time",
            Self::Connections => "too many connections",
            Self::Sent => "too many bytes sent",
            Self::Received => "too many bytes received",
            Self::Names => "too many names",
        })
    }
}

/// Which way bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Out,
    In,
}

/// Collects events.
#[derive(Debug)]
pub(super) struct Events {
    begun: Instant,
    kinds: Vec<EgressEvent>,
    omitted: u64,
}

impl Events {
    /// Events of a run that began at this moment.
    pub(super) fn new(begun: Instant) -> Self {
        Self { begun, kinds: Vec::new(), omitted: 0 }
    }

    /// Counts an event. Returns where its bytes are counted; `None` when there are too many kinds.
    pub(super) fn note(
        &mut self,
        host: &str,
        port: Option<u16>,
        address: Option<IpAddr>,
        verdict: Verdict,
    ) -> Option<usize> {
        let same = |event: &EgressEvent| {
            event.verdict == verdict && event.port == port && event.host == host
        };
        if let Some(index) = self.kinds.iter().position(same) {
            self.kinds[index].count += 1;
            self.kinds[index].address = address.or(self.kinds[index].address);
            return Some(index);
        }
        if self.kinds.len() == MAX_KINDS {
            self.omitted += 1;
            return None;
        }
        self.kinds.push(EgressEvent {
            at_ns: nanos(self.begun.elapsed()),
            host: host.to_owned(),
            port,
            address,
            verdict,
            sent: Bytes(0),
            received: Bytes(0),
            count: 1,
        });
        Some(self.kinds.len() - 1)
    }

    /// Adds bytes to an event.
    pub(super) fn add(&mut self, index: usize, way: Way, bytes: u64) {
        let event = &mut self.kinds[index];
        match way {
            Way::Out => event.sent.0 += bytes,
            Way::In => event.received.0 += bytes,
        }
    }

    /// The events, and how many did not fit.
    pub(super) fn take(&mut self) -> (Vec<EgressEvent>, u64) {
        (std::mem::take(&mut self.kinds), self.omitted)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_kind_are_one() {
        let mut events = Events::new(Instant::now());
        let address = Some("192.0.2.1".parse().unwrap());
        let refused = Verdict::Refused(Refusal::NotListed);
        let first = events.note("a.example", Some(443), address, Verdict::Allowed).unwrap();
        let again = events.note("a.example", Some(443), None, Verdict::Allowed).unwrap();
        assert_eq!(first, again);
        let other = events.note("a.example", None, None, refused).unwrap();
        assert_ne!(first, other);
        events.add(first, Way::Out, 3);
        events.add(again, Way::In, 4);
        let (kinds, omitted) = events.take();
        assert_eq!((kinds.len(), omitted), (2, 0));
        assert_eq!((kinds[0].count, kinds[0].address), (2, address));
        assert_eq!((kinds[0].sent, kinds[0].received), (Bytes(3), Bytes(4)));
        let json = serde_json::to_value(&kinds[1]).unwrap();
        assert_eq!(json["verdict"]["refused"], "not_listed");
        assert_eq!(json.get("port"), None);
        assert_eq!(serde_json::from_value::<EgressEvent>(json).unwrap(), kinds[1]);
    }

    #[test]
    fn a_report_has_room_for_so_many_kinds() {
        let mut events = Events::new(Instant::now());
        let refused = Verdict::Refused(Refusal::NotListed);
        for n in 0..1000 {
            events.note(&format!("{n}.example"), None, None, refused);
        }
        assert_eq!(events.note("0.example", None, None, refused), Some(0));
        let (kinds, omitted) = events.take();
        assert_eq!((kinds.len(), omitted), (MAX_KINDS, 1000 - MAX_KINDS as u64));
    }
}
