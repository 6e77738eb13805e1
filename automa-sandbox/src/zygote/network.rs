//! The network of a sandbox with an allow-list: a namespace in which every address is local to the
//! loopback interface, the sockets at which everything arrives, and the files that have names be
//! asked for there.
//!
//! Made by the slot. The sandbox may change none of it.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sched::{CloneFlags, setns, unshare},
    sys::socket::{
        AddressFamily, Backlog, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn,
        SockaddrIn6, bind, listen, recv, send, setsockopt, socket, sockopt,
    },
};

use super::{At, Failure, protocol::Connect};
use crate::{
    egress::{DNS_PORT, RESOLVER},
    landlock,
    report::Stage,
    sys,
};

/// Where the template keeps the files that are shown in the place of its own: below where the
/// writable file system is mounted, and so out of sight for programs.
pub(super) const FILES_DIR: &str = "/automa/job/network";

/// Connections that wait until the server takes them.
const BACKLOG: i32 = 128;

/// The loopback interface is the first of every network namespace.
const LOOPBACK: u32 = 1;

/// The networks of a slot: its own empty one, and those of its sandboxes.
pub(super) struct Networks {
    /// Nothing can be reached in it, and nothing be left. `None` for who may not configure networks,
    /// and so cannot ask which it is.
    empty: Option<OwnedFd>,
    /// A new one with a loopback interface, for the next sandbox that is to have one: the most of what
    /// its start would have to wait for.
    spare: Option<Netlink>,
    /// There was a sandbox with a network.
    wanted: bool,
}

impl Networks {
    /// Begins in the network that this process is in, which is empty.
    pub(super) fn new() -> Self {
        let empty = Netlink::open().ok().and_then(|netlink| netlink.namespace().ok());
        Self { empty, spare: None, wanted: false }
    }

    /// Enters a new one with a loopback interface and nothing else.
    pub(super) fn enter_loopback(&mut self) -> io::Result<()> {
        self.enter().map(drop)
    }

    fn enter(&mut self) -> io::Result<Netlink> {
        self.wanted = true;
        let Some(netlink) = self.spare.take() else { return Self::make() };
        setns(netlink.namespace()?, CloneFlags::CLONE_NEWNET)?;
        Ok(netlink)
    }

    fn make() -> io::Result<Netlink> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let netlink = Netlink::open()?;
        netlink.loopback_up()?;
        Ok(netlink)
    }

    /// Goes back to the empty one. What was left goes with the other, connections included.
    pub(super) fn leave(&self) -> nix::Result<()> {
        match &self.empty {
            Some(empty) => setns(empty, CloneFlags::CLONE_NEWNET),
            None => unshare(CloneFlags::CLONE_NEWNET),
        }
    }

    /// Makes the next one, if there was a sandbox that had one.
    pub(super) fn replenish(&mut self) -> nix::Result<()> {
        if !self.wanted || self.spare.is_some() || self.empty.is_none() {
            return Ok(());
        }
        // If that is not possible now, it is tried again when it is needed, and told.
        self.spare = Self::make().ok();
        self.leave()
    }
}

/// The files in [`FILES_DIR`], by their paths. Names are asked for by every resolver in use: that of
/// glibc heeds the first, all heed the second.
pub(super) fn files() -> [(&'static str, String); 2] {
    let databases = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n\
                     protocols: files\n";
    [
        ("/automa/job/network/nsswitch.conf", databases.to_owned()),
        ("/automa/job/network/resolv.conf", format!("nameserver {RESOLVER}\n")),
    ]
}

/// Shows those files at their usual places, before the writable file system is mounted. Allocates
/// nothing.
pub(super) fn show_files() -> io::Result<()> {
    sys::mount_bind(c"/automa/job/network/nsswitch.conf", c"/etc/nsswitch.conf", 0)?;
    sys::mount_bind(c"/automa/job/network/resolv.conf", c"/etc/resolv.conf", 0)
}

/// Connects to a port of the loopback interface, without waiting for it. Allocates nothing.
pub(super) fn connect(Connect { port, ipv6 }: Connect) -> nix::Result<OwnedFd> {
    let family = if ipv6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Stream, flags, None)?;
    let connected = if ipv6 {
        let address = SocketAddrV6::new(Ipv6Addr::LOCALHOST, port, 0, 0);
        nix::sys::socket::connect(socket.as_raw_fd(), &SockaddrIn6::from(address))
    } else {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        nix::sys::socket::connect(socket.as_raw_fd(), &SockaddrIn::from(address))
    };
    match connected {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

/// What a sandbox needs to know about the network its slot has made for it.
pub(super) struct Network {
    /// Rules for the ports, where the kernel has such.
    pub(super) ruleset: Option<OwnedFd>,
}

impl Network {
    /// Enters a new network in which all addresses lead to the sockets that are returned, which the
    /// server serves. TCP can connect to `ports` only.
    pub(super) fn enter(
        networks: &mut Networks,
        ports: &[u16],
        landlock_abi: i32,
    ) -> Result<(Self, Vec<OwnedFd>), Failure> {
        let sockets = enter_caught(networks, ports).at(Stage::NetworkNamespace, "")?;
        let ports = ports.iter().copied().chain([DNS_PORT]);
        let ruleset = landlock::connect_only(landlock_abi, ports).at(Stage::Landlock, "")?;
        Ok((Self { ruleset }, sockets))
    }
}

/// Enters a new network in which all addresses lead to the sockets that are returned: for names a
/// datagram socket and a listener, then a listener for each port.
fn enter_caught(networks: &mut Networks, ports: &[u16]) -> io::Result<Vec<OwnedFd>> {
    let netlink = networks.enter()?;
    netlink.all_local(libc::AF_INET, libc::RT_SCOPE_HOST)?;
    // A host may have no IPv6: then the sandbox has none either.
    let _ = netlink.all_local(libc::AF_INET6, libc::RT_SCOPE_UNIVERSE);
    let family = Family::available()?;
    let mut sockets = vec![family.datagrams(DNS_PORT)?];
    let others = ports.iter().copied().filter(|port| *port != DNS_PORT);
    for port in std::iter::once(DNS_PORT).chain(others) {
        sockets.push(family.listener(port)?);
    }
    Ok(sockets)
}

/// A socket to configure the network with (`rtnetlink(7)`).
struct Netlink(OwnedFd);

impl Netlink {
    fn open() -> nix::Result<Self> {
        let (family, route) = (AddressFamily::Netlink, SockProtocol::NetlinkRoute);
        socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, route).map(Self)
    }

    /// The network that it configures.
    fn namespace(&self) -> io::Result<OwnedFd> {
        sys::network_of(self.0.as_fd())
    }

    fn loopback_up(&self) -> nix::Result<()> {
        let up = (libc::IFF_UP as u32).to_ne_bytes();
        // struct ifinfomsg: family, type, index, flags, and which of these change.
        let body = [[0; 4], LOOPBACK.to_ne_bytes(), up, up].concat();
        self.request(libc::RTM_NEWLINK, 0, &body)
    }

    /// Makes every address one of the loopback interface's own: `ip route add local default dev lo`.
    fn all_local(&self, family: i32, scope: u8) -> nix::Result<()> {
        // struct rtmsg: family, lengths of destination and source, type of service, table,
        // protocol, scope, type, flags; then one attribute with length, type and value.
        let destination = [family as u8, 0, 0, 0];
        let route = [libc::RT_TABLE_LOCAL, libc::RTPROT_STATIC, scope, libc::RTN_LOCAL];
        let attribute = (u32::from(libc::RTA_OIF) << 16 | 8).to_le_bytes();
        let body = [destination, route, [0; 4], attribute, LOOPBACK.to_ne_bytes()].concat();
        self.request(libc::RTM_NEWROUTE, libc::NLM_F_CREATE, &body)
    }

    /// Sends one request and waits for its acknowledgement (`netlink(7)`).
    fn request(&self, kind: u16, flags: i32, body: &[u8]) -> nix::Result<()> {
        const HEADER: usize = 16;
        let flags = (flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        let mut message = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&flags.to_ne_bytes());
        // Sequence and port.
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(body);
        send(self.0.as_raw_fd(), &message, MsgFlags::empty())?;
        let mut answer = [0; 256];
        let length = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        // struct nlmsgerr: the error as a negative number, 0 for none.
        let error =
            answer[..length].get(HEADER..HEADER + 4).and_then(|bytes| bytes.try_into().ok());
        match error.map(i32::from_ne_bytes) {
            Some(0) => Ok(()),
            Some(error) => Err(Errno::from_raw(-error)),
            None => Err(Errno::EPROTO),
        }
    }
}

/// Which sockets receive what is sent to any address.
#[derive(Clone, Copy)]
enum Family {
    /// For IPv6 and, in its mapped form, for IPv4 (`ipv6(7)`).
    Both,
    /// Where the kernel has no IPv6.
    V4,
}

impl Family {
    fn available() -> nix::Result<Self> {
        match Self::Both.socket(SockType::Datagram) {
            Ok(_) => Ok(Self::Both),
            Err(Errno::EAFNOSUPPORT) => Ok(Self::V4),
            Err(error) => Err(error),
        }
    }

    fn listener(self, port: u16) -> nix::Result<OwnedFd> {
        let listener = self.socket(SockType::Stream)?;
        self.bind(&listener, port)?;
        listen(&listener, Backlog::new(BACKLOG)?)?;
        Ok(listener)
    }

    /// A socket that tells to which address each datagram was sent.
    fn datagrams(self, port: u16) -> nix::Result<OwnedFd> {
        let datagrams = self.socket(SockType::Datagram)?;
        match self {
            Self::Both => setsockopt(&datagrams, sockopt::Ipv6RecvPacketInfo, &true)?,
            Self::V4 => setsockopt(&datagrams, sockopt::Ipv4PacketInfo, &true)?,
        }
        // To answer from any address: of IPv6, only those of an interface count as one's own.
        setsockopt(&datagrams, sockopt::IpFreebind, &true)?;
        self.bind(&datagrams, port)?;
        Ok(datagrams)
    }

    fn socket(self, kind: SockType) -> nix::Result<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        match self {
            Self::Both => {
                let socket = socket(AddressFamily::Inet6, kind, flags, None)?;
                setsockopt(&socket, sockopt::Ipv6V6Only, &false)?;
                Ok(socket)
            }
            Self::V4 => socket(AddressFamily::Inet, kind, flags, None),
        }
    }

    fn bind(self, socket: &OwnedFd, port: u16) -> nix::Result<()> {
        let fd = socket.as_raw_fd();
        match self {
            Self::Both => {
                bind(fd, &SockaddrIn6::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0)))
            }
            Self::V4 => bind(fd, &SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))),
        }
    }
}
