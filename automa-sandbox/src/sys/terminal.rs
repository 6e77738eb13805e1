//! Pseudo-terminals (`pty(7)`, `ioctl_tty(2)`).
#![expect(unsafe_code, reason = "raw system calls; each block says why it is sound")]

use std::{
    ffi::{CStr, c_int},
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use tokio::io::unix::AsyncFd;

use super::check;

/// Opens a pseudo-terminal at the multiplexer `ptmx`: the side that is typed at and read from, and
/// the terminal itself. Neither becomes anybody's controlling terminal.
pub(crate) fn open_terminal(ptmx: &CStr) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    let unlocked: c_int = 0;
    // SAFETY: `ptmx` is NUL-terminated, TIOCSPTLCK reads one int, TIOCGPTPEER takes open flags; both
    // results are new descriptors.
    unsafe {
        let outside = OwnedFd::from_raw_fd(check(libc::open(ptmx.as_ptr(), flags))?);
        check(libc::ioctl(outside.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked))?;
        let inside = check(libc::ioctl(outside.as_raw_fd(), libc::TIOCGPTPEER, flags))?;
        Ok((outside, OwnedFd::from_raw_fd(inside)))
    }
}

/// Sets the size of a terminal's window. Its foreground processes get `SIGWINCH` if that changed it.
pub(crate) fn set_window_size(
    terminal: BorrowedFd<'_>,
    (cols, rows): (u16, u16),
) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one `winsize`.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }).map(drop)
}

/// The size of a terminal's window, columns first.
pub(crate) fn window_size(terminal: BorrowedFd<'_>) -> io::Result<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one `winsize`.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) })?;
    Ok((size.ws_col, size.ws_row))
}

/// Makes a terminal the controlling one of this process's session, which must have none, and this
/// process's group its foreground.
pub(crate) fn control_terminal(terminal: RawFd) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes an integer: 0 steals it from no other session.
    check(unsafe { libc::ioctl(terminal, libc::TIOCSCTTY, 0) }).map(drop)
}

/// Has tokio tell when a descriptor can be read and written.
pub(crate) fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the `AsyncFd` owns the descriptor, and nobody else here knows its number.
    Ok(unsafe { AsyncFd::register(fd)? })
}
