//! Which addresses a name may lead to. A name is whatever its owner says it is, at every moment
//! anew: what counts is the address that is dialled.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use nix::ifaddrs::getifaddrs;

use super::events::Refusal;

/// Whether an address was named by the allow-list itself, and not by a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    Yes,
    No,
}

/// Refuses what is not somebody else's public address; of a listed one, only what is never
/// anybody's else.
pub(super) fn check(address: IpAddr, listed: Listed) -> Result<(), Refusal> {
    let kind = match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    };
    match kind {
        Kind::Public => Ok(()),
        Kind::Private if listed == Listed::Yes => Ok(()),
        Kind::Private => Err(Refusal::PrivateAddress),
        Kind::Reserved => Err(Refusal::ReservedAddress),
    }
}

/// The addresses of this machine's interfaces.
pub(super) fn own() -> io::Result<Vec<IpAddr>> {
    let ip = |address: nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    Ok(getifaddrs()?.filter_map(|interface| interface.address.and_then(ip)).collect())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Public,
    /// Of a network that is not public, and may hold what trusts its neighbours.
    Private,
    /// The machine itself, its link, many receivers, or nobody.
    Reserved,
}

/// By the registry of special addresses, RFC 6890. Documentation addresses lead nowhere and are
/// left alone.
fn kind_v4(address: Ipv4Addr) -> Kind {
    match address.octets() {
        [10, ..] | [192, 168, ..] => Kind::Private,
        [172, second, ..] if second & 0xf0 == 16 => Kind::Private,
        // Shared by the customers of a provider (RFC 6598), and used by clouds for their services.
        [100, second, ..] if second & 0xc0 == 64 => Kind::Private,
        // This machine and its link; protocol assignments; relays to 6to4 (RFC 7526); benchmarks,
        // which stand for names (see `names`); multicast, future use, broadcast.
        [0 | 127 | 224..=255, ..]
        | [169, 254, ..]
        | [192, 0, 0, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..] => Kind::Reserved,
        _ => Kind::Public,
    }
}

fn kind_v6(address: Ipv6Addr) -> Kind {
    let parts = address.segments();
    let v4 =
        |high: u16, low: u16| kind_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match parts {
        // Unspecified and loopback; in IPv4 behind a local translator (RFC 8215), or with whom it
        // is not known (Teredo, RFC 4380).
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] | [0x64, 0xff9b, 1, ..] | [0x2001, 0, ..] => Kind::Reserved,
        // IPv4 in another form: "compatible" or mapped (RFC 4291), translated on the way (RFC
        // 6052), or the router of a 6to4 site (RFC 3056).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => v4(high, low),
        // Unique local, and the site-local ones before them.
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Kind::Private,
        // Global unicast is 2000::/3 (RFC 4291); the rest is link-local, multicast or unassigned.
        [0x2000..=0x3fff, ..] => Kind::Public,
        _ => Kind::Reserved,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict(text: &str, listed: Listed) -> Result<(), Refusal> {
        check(text.parse().unwrap(), listed)
    }

    #[test]
    fn only_public_addresses_are_reached_by_name() {
        for public in [
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "192.0.2.10",
            "203.0.113.5",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2001:db8::1",
            "2606:4700::1111",
            "64:ff9b::101:101",
            "2002:101:101::1",
        ] {
            assert_eq!(verdict(public, Listed::No), Ok(()), "{public}");
        }
        for private in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "fc00::1",
            "fd00:ec2::254",
            "fec0::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
        ] {
            assert_eq!(verdict(private, Listed::No), Err(Refusal::PrivateAddress), "{private}");
            assert_eq!(verdict(private, Listed::Yes), Ok(()), "{private}");
        }
        for reserved in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "192.0.0.8",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::1",
            "2001::1",
            "4000::1",
            "100::1",
        ] {
            for listed in [Listed::Yes, Listed::No] {
                assert_eq!(verdict(reserved, listed), Err(Refusal::ReservedAddress), "{reserved}");
            }
        }
    }

    #[test]
    fn the_loopback_interface_is_the_machines_own() {
        assert!(own().unwrap().contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }

    proptest! {
        /// No way of writing IPv4 as IPv6 makes more of it.
        #[test]
        fn an_ipv4_address_stays_what_it_is(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let [a, b, c, d] = v4.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let plain = check(IpAddr::V4(v4), Listed::No);
            let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low);
            let six_to_four = Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1);
            for v6 in [v4.to_ipv6_mapped(), nat64, six_to_four] {
                prop_assert_eq!(check(IpAddr::V6(v6), Listed::No), plain);
            }
        }
    }
}
