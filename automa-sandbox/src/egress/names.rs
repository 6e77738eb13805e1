//! The addresses that stand for names inside a sandbox. A program asks for a name and gets one of
//! these; when it connects there, the name is known again, and with it the rule.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::Ipv4Addr,
};

/// The first of 198.18.0.0/15, which is set aside for benchmarks (RFC 2544) and is on no network.
const FIRST: u32 = 0xc612_0000;
/// How many there are.
const SPACE: u32 = 1 << 17;

/// The address written into `/etc/resolv.conf` inside. Any other would do as well.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::from_bits(FIRST + 1);

/// Names that were asked for, each with its address.
#[derive(Debug)]
pub(super) struct Names {
    by_name: HashMap<String, Ipv4Addr>,
    by_address: HashMap<Ipv4Addr, String>,
    limit: u32,
}

impl Names {
    /// A table of at most `limit` names.
    pub(super) fn new(limit: u32) -> Self {
        // Without the network's own address, the resolver's, and the last.
        let limit = limit.min(SPACE - 3);
        Self { by_name: HashMap::new(), by_address: HashMap::new(), limit }
    }

    /// The address that stands for `name`; `None` when the table is full.
    pub(super) fn address(&mut self, name: &str) -> Option<Ipv4Addr> {
        let count = self.by_name.len() as u32;
        match self.by_name.entry(name.to_owned()) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(_) if count == self.limit => None,
            Entry::Vacant(new) => {
                let address = Ipv4Addr::from_bits(RESOLVER.to_bits() + 1 + count);
                new.insert(address);
                self.by_address.insert(address, name.to_owned());
                Some(address)
            }
        }
    }

    /// The name that `address` stands for.
    pub(super) fn name(&self, address: Ipv4Addr) -> Option<&str> {
        self.by_address.get(&address).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_address() {
        let mut names = Names::new(2);
        let first = names.address("a.example").unwrap();
        let second = names.address("b.example").unwrap();
        assert_ne!(first, second);
        assert_eq!(names.address("a.example"), Some(first));
        assert_eq!(names.address("c.example"), None, "the table is full");
        assert_eq!(names.address("b.example"), Some(second));
        assert_eq!(names.name(first), Some("a.example"));
        assert_eq!(names.name(RESOLVER), None);
    }

    #[test]
    fn every_address_is_of_the_reserved_network() {
        let mut names = Names::new(u32::MAX);
        assert_eq!(names.limit, SPACE - 3);
        let addresses = (0..1000).map(|n| names.address(&n.to_string()).unwrap());
        assert!(
            addresses.into_iter().all(|address| matches!(address.octets(), [198, 18 | 19, ..]))
        );
        let last = RESOLVER.to_bits() + names.limit;
        assert!(last < FIRST + SPACE - 1);
    }
}
