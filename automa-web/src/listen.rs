//! The listening socket, tuned: small messages leave at once, and a failure to accept is waited out.

use std::{io, time::Duration};

use poem::{
    http::uri::Scheme,
    listener::Acceptor,
    web::{LocalAddr, RemoteAddr},
};
use tokio::net::TcpStream;

/// Time between two attempts to accept while descriptors are short.
const PAUSE: Duration = Duration::from_millis(50);

/// An acceptor whose connections do not wait to fill a segment (Nagle's algorithm, RFC 896): a line
/// of a live log would be 40 ms late.
#[derive(Debug)]
pub(crate) struct Tuned<A>(pub(crate) A);

impl<A: Acceptor<Io = TcpStream>> Acceptor for Tuned<A> {
    type Io = TcpStream;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.0.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(TcpStream, LocalAddr, RemoteAddr, Scheme)> {
        loop {
            match self.0.accept().await {
                Ok(accepted) => {
                    // Without it everything works, only later.
                    let _ = accepted.0.set_nodelay(true);
                    return Ok(accepted);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}
