//! Questions that come as datagrams, to any address: an answer has to come from where it was asked,
//! or no resolver takes it.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::UdpSocket as StdSocket,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::{
    cmsg_space,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg,
    },
};
use tokio::{io::Interest, net::UdpSocket, time::sleep};

use super::{dns::MAX_QUERY, relay::PAUSE};

/// A socket that tells to which address a datagram was sent: with `IP_PKTINFO` (`ip(7)`) or
/// `IPV6_RECVPKTINFO` (`ipv6(7)`) set.
#[derive(Debug)]
pub(super) struct Datagrams(UdpSocket);

/// Who sent a datagram, and to which address.
struct Envelope {
    length: usize,
    sender: SockaddrStorage,
    to: To,
}

enum To {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Datagrams {
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self(UdpSocket::from_std(StdSocket::from(socket))?))
    }

    /// Answers datagrams as they come, for ever.
    pub(super) async fn answer(&self, answer: impl Fn(&[u8]) -> Option<Vec<u8>>) {
        let mut buffer = [0; MAX_QUERY];
        loop {
            let receive = || receive(&self.0, &mut buffer);
            let envelope = match self.0.async_io(Interest::READABLE, receive).await {
                Ok(Some(envelope)) => envelope,
                Ok(None) => continue,
                Err(_) => {
                    sleep(PAUSE).await;
                    continue;
                }
            };
            if let Some(answer) = answer(&buffer[..envelope.length]) {
                // Whoever does not get it asks again.
                let _ = send(&self.0, &answer, &envelope);
            }
        }
    }
}

/// Receives one datagram; `None` when it does not say where it was sent to.
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Option<Envelope>> {
    let mut control = cmsg_space!(libc::in6_pktinfo);
    let mut parts = [IoSliceMut::new(buffer)];
    let fd = socket.as_raw_fd();
    let received =
        recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
    let to = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(To::V4(info)),
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(To::V6(info)),
        _ => None,
    });
    let envelope = |(sender, to)| Envelope { length: received.bytes, sender, to };
    Ok(received.address.zip(to).map(envelope))
}

/// Sends an answer from the address to which the question was sent.
fn send(socket: &UdpSocket, answer: &[u8], envelope: &Envelope) -> nix::Result<usize> {
    let parts = [IoSlice::new(answer)];
    let send = |from: ControlMessage<'_>| {
        let to = Some(&envelope.sender);
        sendmsg(socket.as_raw_fd(), &parts, &[from], MsgFlags::MSG_DONTWAIT, to)
    };
    match envelope.to {
        To::V4(info) => {
            let own = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: info.ipi_addr, ..info };
            send(ControlMessage::Ipv4PacketInfo(&own))
        }
        To::V6(info) => {
            let own = libc::in6_pktinfo { ipi6_ifindex: 0, ..info };
            send(ControlMessage::Ipv6PacketInfo(&own))
        }
    }
}
