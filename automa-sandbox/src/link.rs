//! One end of a packet socket on the server's side: messages awaited without blocking a thread.

use std::{
    io,
    net::Shutdown,
    os::fd::{AsFd, OwnedFd, RawFd},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout},
    sys::socket::{AddressFamily, SockFlag, SockType, socketpair},
};
use tokio::{io::Interest, net::UnixDatagram};

use crate::sys::{self, Received};

/// A `SOCK_SEQPACKET` socket registered with tokio. tokio has no type for these; the one for
/// datagrams serves, as packets are received by `recvmsg` in any case.
#[derive(Debug)]
pub(crate) struct Link(UnixDatagram);

impl Link {
    /// A connected pair: our end, and the end for the other process, which blocks.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        let ours = std::os::unix::net::UnixDatagram::from(ours);
        ours.set_nonblocking(true)?;
        Ok((Self(UnixDatagram::from_std(ours)?), theirs))
    }

    /// Sends one packet. Never waits: our messages are few and small, the buffer never full.
    pub(crate) fn send(&self, data: &[u8], fds: &[RawFd]) -> io::Result<()> {
        sys::send(self.0.as_fd(), data, fds, libc::MSG_DONTWAIT)
    }

    /// Whether the other side has sent something, or is gone.
    pub(crate) fn is_readable(&self) -> bool {
        let mut poll = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        nix::poll::poll(&mut poll, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Ends the connection for both sides.
    pub(crate) fn close(&self) {
        // An end that is gone already is as closed as it can be.
        let _ = self.0.shutdown(Shutdown::Both);
    }

    /// Receives one packet; a length of 0 means that the other side is gone. May be cancelled.
    pub(crate) async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Received)> {
        let receive = || sys::receive(self.0.as_fd(), buffer, libc::MSG_DONTWAIT);
        match self.0.async_io(Interest::READABLE, receive).await {
            // The other side died with messages unread.
            Err(error) if error.raw_os_error() == Some(libc::ECONNRESET) => {
                Ok((0, Received::default()))
            }
            other => other,
        }
    }
}
