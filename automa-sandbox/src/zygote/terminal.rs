//! The terminals of a sandbox whose profile has some: its own devpts below a /dev that has a place
//! for it, and the one that its program is given.

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsFd, OwnedFd},
};

use crate::sys;

/// The /dev of a sandbox with terminals, made with the template: it has a place for them, and the
/// device `tty`, which is nobody else's business.
pub(super) const DEVICES: &CStr = c"/automa/job/parts/dev";

/// What is in every /dev, and its place in this one.
const OTHERS: [(&CStr, &CStr); 5] = [
    (c"/dev/null", c"/automa/job/parts/dev/null"),
    (c"/dev/zero", c"/automa/job/parts/dev/zero"),
    (c"/dev/full", c"/automa/job/parts/dev/full"),
    (c"/dev/random", c"/automa/job/parts/dev/random"),
    (c"/dev/urandom", c"/automa/job/parts/dev/urandom"),
];

/// Options of a devpts in which all terminals are the payload's, as though it had logged in.
pub(super) fn options(id: u32) -> CString {
    let options = format!("newinstance,ptmxmode=0666,mode=0620,uid={id},gid={id}");
    CString::new(options).unwrap_or_default()
}

/// Mounts /dev and the sandbox's terminals; called by init, allocates nothing.
pub(super) fn mount(options: &CStr) -> io::Result<()> {
    for (device, place) in OTHERS {
        sys::mount_bind(device, place, 0)?;
    }
    sys::mount_bind(DEVICES, c"/dev", libc::MS_REC)?;
    let flags = libc::MS_NOSUID | libc::MS_NOEXEC;
    sys::mount_new(c"devpts", c"/dev/pts", flags, options.as_ptr())
}

/// Opens the program's terminal, the sandbox's first: its outer and its inner side.
pub(super) fn open(size: (u16, u16)) -> io::Result<(OwnedFd, OwnedFd)> {
    let (outside, inside) = sys::open_terminal(c"/dev/pts/ptmx")?;
    sys::set_window_size(outside.as_fd(), size)?;
    Ok((outside, inside))
}
