//! Detached mounts of single directories, and user namespaces that map their owners' ids.
#![expect(unsafe_code, reason = "raw system calls; each block says why it is sound")]

use std::{
    fs::{self, File},
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use super::{check_long, kill};

/// A new detached mount of an open directory, without what is mounted below it (`open_tree(2)`).
pub(crate) fn clone_mount(dir: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags =
        libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH.cast_unsigned();
    // SAFETY: the path is the empty string; the result is a new descriptor.
    unsafe {
        let fd =
            check_long(libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), c"".as_ptr(), flags))?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Lets a detached mount show ids as a user namespace maps them (`mount_setattr(2)`, Linux 5.12).
pub(crate) fn map_ids_of_mount(mount: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: `mount_attr` is plain data for which all zeroes is a valid value.
    let mut attributes: libc::mount_attr = unsafe { mem::zeroed() };
    attributes.attr_set = libc::MOUNT_ATTR_IDMAP;
    attributes.userns_fd = namespace.as_raw_fd() as u64;
    // SAFETY: the path is the empty string, `attributes` is live and its size is given.
    check_long(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            mem::size_of_val(&attributes),
        )
    })
    .map(drop)
}

/// A user namespace in which user and group `first` are `second` outside: pairs of
/// (first, second). Made with a process that lives only until the namespace is held. Must be
/// called by a single-threaded process that ignores `SIGCHLD` and may write the maps.
pub(crate) fn user_namespace(user: (u32, u32), group: (u32, u32)) -> io::Result<OwnedFd> {
    // SAFETY: `clone_args` is plain data for which all zeroes is a valid value.
    let mut args: libc::clone_args = unsafe { mem::zeroed() };
    args.flags = libc::CLONE_NEWUSER as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    let parent = std::process::id() as libc::pid_t;
    // SAFETY: without CLONE_VM this is a fork, whose child only waits to be killed.
    let pid = unsafe {
        let size = mem::size_of_val(&args);
        let pid = check_long(libc::syscall(libc::SYS_clone3, &raw const args, size))?;
        if pid == 0 {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            while libc::getppid() == parent {
                libc::pause();
            }
            libc::_exit(0);
        }
        pid as libc::pid_t
    };
    let result = (|| {
        fs::write(format!("/proc/{pid}/uid_map"), format!("{} {} 1", user.0, user.1))?;
        fs::write(format!("/proc/{pid}/gid_map"), format!("{} {} 1", group.0, group.1))?;
        File::open(format!("/proc/{pid}/ns/user"))
    })();
    // Not waited for: it vanishes by itself, as SIGCHLD is ignored. So its id is its own until then.
    kill(pid, libc::SIGKILL);
    Ok(result?.into())
}
