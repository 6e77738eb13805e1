//! From which address a request comes: that of its connection, or what a trusted proxy says.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use automa_core::address::Network;
use poem::{
    Request,
    http::{HeaderMap, HeaderName, header},
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Proxies that are believed what they say about who is behind them; usually none.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrustedProxies(Arc<[Network]>);

impl TrustedProxies {
    pub(crate) fn new(networks: &[Network]) -> Self {
        Self(networks.into())
    }

    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// Where a request comes from, as far as that is known for sure: what anybody can write into a header
/// counts only if it came through a proxy that is trusted.
pub(crate) fn client_address(request: &Request) -> Option<IpAddr> {
    let peer = request.remote_addr().as_socket_addr()?.ip().to_canonical();
    let proxies = request.data::<TrustedProxies>();
    Some(proxies.map_or(peer, |proxies| behind(proxies, peer, request.headers())))
}

/// Who is behind a proxy, if it is trusted.
///
/// Each proxy adds whom it was asked by at the end of the header that it knows, and passes another on as
/// the client wrote it. So where there are both `X-Forwarded-For` and `Forwarded` (RFC 7239), and they do
/// not say the same, neither is believed.
fn behind(proxies: &TrustedProxies, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    if !proxies.trusts(peer) {
        return peer;
    }
    let lines = |name: HeaderName| {
        let lines: Vec<_> = headers.get_all(name).iter().map(|it| it.to_str().ok()).collect();
        lines
    };
    let (listed, described) = (lines(X_FORWARDED_FOR), lines(header::FORWARDED));
    let listed = (!listed.is_empty()).then(|| {
        let chain = listed.iter().flat_map(|line| split(line.unwrap_or("?"), ','));
        last_untrusted(proxies, peer, chain.map(address))
    });
    let described = (!described.is_empty()).then(|| {
        let chain = described.iter().flat_map(|line| split(line.unwrap_or("?"), ','));
        last_untrusted(proxies, peer, chain.map(forwarded_for))
    });
    match (listed, described) {
        (Some(one), Some(other)) if one != other => peer,
        (Some(found), _) | (None, Some(found)) => found,
        (None, None) => peer,
    }
}

/// The last of a chain that is no proxy of ours. Before what is no address, nothing is believed.
fn last_untrusted(
    proxies: &TrustedProxies,
    peer: IpAddr,
    chain: impl Iterator<Item = Option<IpAddr>>,
) -> IpAddr {
    let chain: Vec<_> = chain.collect();
    let mut last = peer;
    for address in chain.into_iter().rev().map_while(|it| it) {
        last = address;
        if !proxies.trusts(address) {
            break;
        }
    }
    last
}

/// Parts between separators that are not within quotes.
fn split(line: &str, separator: char) -> Vec<&str> {
    let mut quoted = false;
    line.split(move |c| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
    .map(str::trim)
    .collect()
}

/// The `for` of an element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let pair = |part: &&str| part.get(..4).is_some_and(|it| it.eq_ignore_ascii_case("for="));
    let parts = split(element, ';');
    address(parts.iter().find(|it| pair(it))?[4..].trim_matches('"'))
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
    let alone = bare.parse().ok();
    let address = alone.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn proxies() -> TrustedProxies {
        TrustedProxies::new(&["10.0.0.0/8".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()])
    }

    fn found(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        behind(&proxies(), peer.parse().unwrap(), &map).to_string()
    }

    #[test]
    fn headers_of_who_is_no_trusted_proxy_say_nothing() {
        let headers = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")];
        assert_eq!(found("198.51.100.1", &headers), "198.51.100.1");
        assert_eq!(found("198.51.100.1", &headers[..1]), "198.51.100.1");
    }

    #[test]
    fn the_right_most_address_that_is_no_proxy_is_the_client() {
        for (header, client) in [
            ("203.0.113.9", "203.0.113.9"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("192.0.2.66, 203.0.113.9", "203.0.113.9"),
            ("192.0.2.66, 203.0.113.9, 10.1.1.1", "203.0.113.9"),
            ("10.2.2.2, 10.1.1.1", "10.2.2.2"),
            ("2001:db8::7, 2001:db8:1::1", "2001:db8::7"),
            ("[2001:db8::7]:443", "2001:db8::7"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            // Nothing beyond what makes no sense is believed.
            ("203.0.113.9, unknown, 10.1.1.1", "10.1.1.1"),
            ("203.0.113.9, unknown", "10.0.0.1"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(found("10.0.0.1", &[("x-forwarded-for", header)]), client, "{header:?}");
        }
        let lines = [("x-forwarded-for", "192.0.2.66"), ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(found("10.0.0.1", &lines), "203.0.113.9");
        assert_eq!(found("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn the_standard_header_is_read_too() {
        for (header, client) in [
            ("for=203.0.113.9", "203.0.113.9"),
            ("proto=https;For=\"[2001:db8::7]:4711\";by=10.0.0.1", "2001:db8::7"),
            ("for=192.0.2.66, for=203.0.113.9;host=\"a,b;for=192.0.2.1\"", "203.0.113.9"),
            ("for=192.0.2.66, for=_hidden", "10.0.0.1"),
            ("proto=https", "10.0.0.1"),
        ] {
            assert_eq!(found("10.0.0.1", &[("forwarded", header)]), client, "{header:?}");
        }
    }

    #[test]
    fn where_two_headers_differ_neither_is_believed() {
        let headers = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=192.0.2.66")];
        assert_eq!(found("10.0.0.1", &headers), "10.0.0.1");
        let headers = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")];
        assert_eq!(found("10.0.0.1", &headers), "203.0.113.9");
    }

    proptest! {
        #[test]
        fn any_header_names_a_client(text in "[ -~]{0,60}", both: bool) {
            let other = if both { "forwarded" } else { "x-forwarded-for" };
            found("10.0.0.1", &[("x-forwarded-for", &text), (other, &text)]);
            found("10.0.0.1", &[("forwarded", &text)]);
        }
    }
}
