//! Resource limits of single processes (`getrlimit(2)`): the second line behind cgroups.

use std::io;

use crate::sys;

/// Lowers the limits that are the same for every payload. Set once in the zygote and inherited.
pub(crate) fn lower_for_all() -> io::Result<()> {
    for (resource, value) in [
        // No core files: they would carry a payload's memory, secrets included, to the host. Where a
        // program of the host takes them (core(5), `core_pattern`), 0 does not count, and 1 does.
        (libc::RLIMIT_CORE, 1),
        // Locked memory cannot be reclaimed; 64 KiB is what cryptographic libraries lock.
        (libc::RLIMIT_MEMLOCK, 64 << 10),
        // POSIX message queues are kernel memory outside of most accounting.
        (libc::RLIMIT_MSGQUEUE, 0),
        // Never better than the normal priority, never a real-time one.
        (libc::RLIMIT_NICE, 0),
        (libc::RLIMIT_RTPRIO, 0),
        (libc::RLIMIT_SIGPENDING, 4096),
    ] {
        sys::lower_limit(resource, value)?;
    }
    Ok(())
}
