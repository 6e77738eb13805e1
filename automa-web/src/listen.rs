//! The listening socket: small messages leave at once, TLS if there is a certificate, bounds for
//! connections, and a failure to accept is waited out.

pub(crate) mod connections;
pub(crate) mod tls;

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use poem::{
    http::uri::Scheme,
    listener::Acceptor,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{Accept, TlsAcceptor, server::TlsStream};

use self::connections::{Connections, Guarded};
use crate::client_address::TrustedProxies;

/// Time between two attempts to accept while descriptors are short.
const PAUSE: Duration = Duration::from_millis(50);

/// An acceptor whose connections do not wait to fill a segment (Nagle's algorithm, RFC 896): a line
/// of a live log would be 40 ms late.
pub(crate) struct Tuned<A> {
    pub(crate) listener: A,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) connections: Connections,
    pub(crate) proxies: TrustedProxies,
}

impl<A: Acceptor<Io = TcpStream>> Acceptor for Tuned<A> {
    type Io = Guarded<Stream>;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.listener.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        loop {
            let (stream, local, remote, _) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            // One that has ended already has no address any more.
            let Ok(peer) = stream.peer_addr() else { continue };
            let Some(admitted) = self.connections.admit(peer, self.is_bounded(peer)) else {
                tracing::debug!(%peer, "there are too many connections; one was closed");
                continue;
            };
            // Without it everything works, only later.
            let _ = stream.set_nodelay(true);
            let (stream, scheme) = match &self.tls {
                None => (Stream::Plain(stream), Scheme::HTTP),
                Some(tls) => (Stream::Greeting(Box::new(tls.accept(stream))), Scheme::HTTPS),
            };
            return Ok((Guarded::new(stream, admitted), local, remote, scheme));
        }
    }
}

impl<A> Tuned<A> {
    /// Whether there is a bound for the connections of one address.
    fn is_bounded(&self, peer: SocketAddr) -> bool {
        let address = peer.ip().to_canonical();
        !address.is_loopback() && !self.proxies.trusts(address)
    }
}

/// A connection, with or without TLS. Its handshake is part of the first read, so that one who is slow
/// keeps nobody waiting.
pub(crate) enum Stream {
    Plain(TcpStream),
    Greeting(Box<Accept<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Ends the handshake, if it has not ended.
    fn poll_greeted(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Self::Greeting(accept) = self {
            let stream = std::task::ready!(Pin::new(&mut **accept).poll(context))?;
            *self = Self::Tls(Box::new(stream));
        }
        Poll::Ready(Ok(()))
    }
}

/// Does something with the stream, once its handshake is over.
macro_rules! on_stream {
    ($self:ident, $context:ident, $stream:ident => $do:expr) => {{
        let this = $self.get_mut();
        std::task::ready!(this.poll_greeted($context))?;
        match this {
            Stream::Plain(stream) => {
                let $stream = Pin::new(stream);
                $do
            }
            Stream::Tls(stream) => {
                let $stream = Pin::new(&mut **stream);
                $do
            }
            // It was ended above.
            Stream::Greeting(_) => Poll::Pending,
        }
    }};
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_stream!(self, context, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_stream!(self, context, stream => stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_stream!(self, context, stream => stream.poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Greeting(_) | Self::Tls(_) => true,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, context, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, context, stream => stream.poll_shutdown(context))
    }
}
