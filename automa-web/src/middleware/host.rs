//! The name that a request calls this server by has to be one of its own.
//!
//! A page of another site can have its own name lead to this server's address (DNS rebinding), and would
//! then be of the same origin as this server. What is an address is nobody's name, and is taken.

use std::{net::IpAddr, sync::Arc};

use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    http::{StatusCode, header},
};

use crate::problem::Problem;

/// The names that this server is called by, besides `localhost` and addresses.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts(Arc<[String]>);

impl Hosts {
    pub(crate) fn new(names: impl Iterator<Item = String>) -> Self {
        Self(names.map(|name| plain(&name)).collect())
    }

    fn know(&self, authority: &str) -> bool {
        let host = plain(name(authority));
        host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.0.contains(&host)
    }
}

/// A name as it is compared.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// An authority without its port.
fn name(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => authority,
    }
}

/// What a request calls this server: of HTTP/2, in its address.
pub(crate) fn authority(request: &Request) -> Option<&str> {
    let of_address = || request.original_uri().authority().map(poem::http::uri::Authority::as_str);
    request.header(header::HOST).or_else(of_address)
}

/// Refuses requests to a name that is not this server's. Those of HTTP/1.0 need none.
pub(crate) async fn known_host<E: Endpoint>(next: &E, request: Request) -> Result<Response> {
    let hosts = request.data::<Hosts>();
    if let (Some(hosts), Some(called)) = (hosts, authority(&request))
        && !hosts.know(called)
    {
        let called: String = name(called).chars().take(100).collect();
        let detail = format!(
            "this server is not known as `{called}`; if that is its name, start it with \
             `--allowed-host {called}`"
        );
        let status = StatusCode::MISDIRECTED_REQUEST;
        return Err(Problem::new(status, "unknown-host", "Not this server's name")
            .detail(&detail)
            .into());
    }
    next.call(request).await.map(IntoResponse::into_response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_and_addresses_are_no_names() {
        let hosts = Hosts::new(["Automa.example.com".to_owned()].into_iter());
        for known in [
            "127.0.0.1:8080",
            "[::1]:8080",
            "192.0.2.7",
            "localhost:8080",
            "automa.example.com",
            "AUTOMA.example.com.:443",
        ] {
            assert!(hosts.know(known), "{known}");
        }
        for unknown in ["evil.example.com", "automa.example.com.evil.example.com:80", "", "x:y"] {
            assert!(!hosts.know(unknown), "{unknown}");
        }
    }
}
