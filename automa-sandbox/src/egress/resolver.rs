//! Who turns the names of an allow-list into addresses: the system, or what an embedder puts in
//! its place. It is asked about listed names only.

use std::{fmt, io, net::IpAddr, pin::Pin};

/// The addresses of a name, when they are known.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Finds the addresses of names. See [`EngineConfig::resolver`](crate::EngineConfig::resolver).
pub trait Resolve: fmt::Debug + Send + Sync {
    /// The addresses of `name`, which is in lower case and on the allow-list. What they are is
    /// judged by the caller. Called for each connection, so that a change is seen.
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a>;
}

/// `getaddrinfo(3)`, on a thread of its own.
#[derive(Debug)]
pub(crate) struct System;

impl Resolve for System {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name, 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    }
}
