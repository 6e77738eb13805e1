//! Packets with descriptors.
#![expect(unsafe_code, reason = "raw system calls; each block says why it is sound")]

use std::{
    ffi::c_int,
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

/// Most descriptors that one message carries.
pub(crate) const MAX_FDS: usize = 36;

/// Room for the control message of `MAX_FDS` descriptors, aligned for `cmsghdr`.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// `CMSG_SPACE` of that many: a header and the numbers, each part aligned to 8 bytes.
const CONTROL: usize = 16 + (MAX_FDS * size_of::<RawFd>()).next_multiple_of(8);

/// Sends one packet with descriptors over a `SOCK_SEQPACKET` socket (`unix(7)`, `SCM_RIGHTS`).
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    data: &[u8],
    fds: &[RawFd],
    flags: c_int,
) -> io::Result<()> {
    assert!(fds.len() <= MAX_FDS, "at most {MAX_FDS} descriptors in a message");
    let mut control = Control([0; CONTROL]);
    let mut part = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    // SAFETY: `msghdr` is plain data; the pointers put into it live through the call; `control`
    // is large enough for MAX_FDS descriptors, which the assertion bounds.
    unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        if !fds.is_empty() {
            let size = mem::size_of_val(fds) as u32;
            message.msg_control = control.0.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(size) as usize;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size) as usize;
            ptr::copy_nonoverlapping(
                fds.as_ptr().cast::<u8>(),
                libc::CMSG_DATA(header),
                size as usize,
            );
        }
        let sent =
            libc::sendmsg(socket.as_raw_fd(), &raw const message, flags | libc::MSG_NOSIGNAL);
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Descriptors that came with a message; those not taken are closed.
pub(crate) struct Received {
    fds: [Option<OwnedFd>; MAX_FDS],
    count: usize,
}

impl Default for Received {
    fn default() -> Self {
        Self { fds: [const { None }; MAX_FDS], count: 0 }
    }
}

impl Received {
    /// How many came.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Takes those that were not taken yet, in their order.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = OwnedFd> {
        self.fds.iter_mut().filter_map(Option::take)
    }

    /// Takes the descriptor at `index`, once.
    pub(crate) fn take(&mut self, index: usize) -> Option<OwnedFd> {
        self.fds.get_mut(index)?.take()
    }
}

/// A descriptor that is known by its number alone, and stays open as long as this process lives.
pub(crate) fn descriptor(fd: RawFd) -> BorrowedFd<'static> {
    debug_assert!(fd >= 0, "a descriptor");
    // SAFETY: by contract nobody closes it. Were it closed, calls would fail or reach another file of
    // this process; no memory depends on it.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Receives one packet into `buffer` (cut to its length) with its descriptors, all close-on-exec.
/// A length of 0 means that the other side is gone.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: c_int,
) -> io::Result<(usize, Received)> {
    let mut control = Control([0; CONTROL]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut received = Received::default();
    // SAFETY: as in `send`; each descriptor in the SCM_RIGHTS message is new and owned by us, and
    // the kernel never writes more than `msg_controllen` bytes.
    unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = control.0.len();
        let n = libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags | libc::MSG_CMSG_CLOEXEC);
        if n < 0 {
            return Err(io::Error::last_os_error());
        }
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if !header.is_null()
            && (*header).cmsg_level == libc::SOL_SOCKET
            && (*header).cmsg_type == libc::SCM_RIGHTS
        {
            let size = (*header).cmsg_len - libc::CMSG_LEN(0) as usize;
            let first = libc::CMSG_DATA(header);
            for index in 0..(size / mem::size_of::<RawFd>()).min(MAX_FDS) {
                let at = first.add(index * mem::size_of::<RawFd>());
                let fd = ptr::read_unaligned(at.cast::<RawFd>());
                received.fds[index] = Some(OwnedFd::from_raw_fd(fd));
                received.count += 1;
            }
        }
        Ok((n as usize, received))
    }
}
