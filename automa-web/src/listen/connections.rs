//! Connections that are open: how many there may be, and how long a request may take to arrive.
//!
//! Whoever opens many connections, or sends a request byte by byte, takes nothing from others: there are
//! bounds for both.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use poem::{Endpoint, IntoResponse, Request, Response, Result};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// Most connections at a time.
const MOST: usize = 4096;
/// Most of one address, unless it is this host or a proxy that is trusted.
const MOST_OF_ONE: usize = 256;
/// Time from the opening of a connection to its first whole request head; for a handshake, too.
const HEAD: Duration = Duration::from_secs(15);

/// The open connections of a server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    /// Whether a request has come, by the address and port at the other end.
    asked: HashMap<SocketAddr, Arc<AtomicBool>>,
    of_one: HashMap<IpAddr, usize>,
}

impl Connections {
    /// Counts one more; `None` if there are too many already.
    pub(super) fn admit(&self, peer: SocketAddr, is_bounded: bool) -> Option<Admitted> {
        let mut open = self.lock();
        let of_one = open.of_one.get(&peer.ip()).copied().unwrap_or(0);
        if open.asked.len() >= MOST || is_bounded && of_one >= MOST_OF_ONE {
            return None;
        }
        let asked = Arc::new(AtomicBool::new(false));
        open.asked.insert(peer, Arc::clone(&asked));
        open.of_one.insert(peer.ip(), of_one + 1);
        Some(Admitted { connections: self.clone(), peer, asked })
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.lock().asked.len()
    }

    fn asked(&self, peer: SocketAddr) {
        if let Some(asked) = self.lock().asked.get(&peer) {
            asked.store(true, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that counts until it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    connections: Connections,
    peer: SocketAddr,
    asked: Arc<AtomicBool>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.asked.remove(&self.peer);
        if let Some(count) = open.of_one.get_mut(&self.peer.ip()) {
            *count -= 1;
            if *count == 0 {
                open.of_one.remove(&self.peer.ip());
            }
        }
    }
}

/// Tells a connection that its request has come whole.
pub(crate) async fn arrived<E: Endpoint>(next: &E, request: Request) -> Result<Response> {
    if let (Some(connections), Some(peer)) =
        (request.data::<Connections>(), request.remote_addr().as_socket_addr())
    {
        connections.asked(*peer);
    }
    next.call(request).await.map(IntoResponse::into_response)
}

/// A connection that ends when its first request takes too long to come.
#[derive(Debug)]
pub(crate) struct Guarded<S> {
    stream: S,
    admitted: Admitted,
    /// None once a request has come.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, admitted: Admitted) -> Self {
        let deadline = Some(Box::pin(tokio::time::sleep_until(Instant::now() + HEAD)));
        Self { stream, admitted, deadline }
    }

    /// Whether its time is over.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        if self.admitted.asked.load(Ordering::Relaxed) {
            self.deadline = None;
        }
        self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(context).is_ready())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_late(context) {
            let late = "no request has come within the time for it";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, late)));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn there_are_bounds_for_one_address_and_for_all() {
        let connections = Connections::default();
        let one: Vec<_> = (0..300).filter_map(|port| connections.admit(peer(port), true)).collect();
        assert_eq!(one.len(), MOST_OF_ONE);
        drop(one);
        assert_eq!(connections.count(), 0);
        let all: Vec<_> =
            (0..5000).filter_map(|port| connections.admit(peer(port), false)).collect();
        assert_eq!(all.len(), MOST);
        assert!(connections.admit(SocketAddr::from(([192, 0, 2, 2], 1)), true).is_none());
    }

    #[tokio::test]
    async fn a_head_that_does_not_come_ends_the_connection_and_one_that_has_come_does_not() {
        let connections = Connections::default();
        for asks in [false, true] {
            let (near, mut far) = tokio::io::duplex(64);
            let mut near = Guarded::new(near, connections.admit(peer(1), true).unwrap());
            far.write_all(b"GET / HT").await.unwrap();
            let mut read = [0; 64];
            assert_eq!(near.read(&mut read).await.unwrap(), 8);
            if asks {
                connections.asked(peer(1));
            }
            // Its time is over.
            let before = Instant::now() - Duration::from_secs(1);
            near.deadline = Some(Box::pin(tokio::time::sleep_until(before)));
            far.write_all(b"TP/1.1").await.unwrap();
            let next = near.read(&mut read).await;
            assert_eq!(next.is_ok(), asks, "{next:?}");
        }
    }
}
