//! Descriptors, files, mounts and memory.
#![expect(unsafe_code, reason = "raw system calls; each block says why it is sound")]

use std::{
    ffi::{CStr, c_char},
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::{
        memfd::{MFdFlags, memfd_create},
        stat::{Mode, fchmod},
        uio::pwrite,
    },
};

use super::{check, check_long};

/// Closes every descriptor from `first` on.
pub(crate) fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: called right before exec, or at the start of the zygote: nothing owned is used later.
    check_long(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) }).map(drop)
}

/// Gives this process descriptors of its own, without those from `first` on, where it shared
/// another's (`CLONE_FILES`).
pub(crate) fn unshare_descriptors(first: u32) -> io::Result<()> {
    let flags = libc::CLOSE_RANGE_UNSHARE;
    // SAFETY: as in `close_from`; the other process keeps its descriptors.
    check_long(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) }).map(drop)
}

/// Makes `target` refer to what `fd` is, without close-on-exec.
pub(crate) fn duplicate_to(fd: RawFd, target: RawFd) -> io::Result<()> {
    // SAFETY: two integers; the caller owns `target`.
    check(unsafe { libc::dup2(fd, target) }).map(drop)
}

/// A new descriptor, closed on exec, for what `fd` is.
pub(crate) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: two integers; the result is a new descriptor.
    unsafe {
        let new = check(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3))?;
        Ok(OwnedFd::from_raw_fd(new))
    }
}

/// Closes a descriptor that was received and is owned by this process alone.
pub(crate) fn close(fd: RawFd) {
    // SAFETY: the callers keep received descriptors as numbers and close each once.
    unsafe { libc::close(fd) };
}

/// `mount(2)` of a new file system, without allocating.
pub(crate) fn mount_new(
    kind: &CStr,
    target: &CStr,
    flags: libc::c_ulong,
    options: *const c_char,
) -> io::Result<()> {
    // SAFETY: the strings are NUL-terminated; `options` is one too (from a `Plan`) or null.
    check(unsafe {
        libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.cast())
    })
    .map(drop)
}

/// Gives a mounted file system other options (`mount(2)`, `MS_REMOUNT`).
pub(crate) fn remount(
    target: &CStr,
    flags: libc::c_ulong,
    options: *const c_char,
) -> io::Result<()> {
    mount_new(c"none", target, flags | libc::MS_REMOUNT, options)
}

/// Shows a file or directory at another place too (`mount(2)`, `MS_BIND`), without allocating; with
/// `MS_REC` also what is mounted below it.
pub(crate) fn mount_bind(source: &CStr, target: &CStr, flags: libc::c_ulong) -> io::Result<()> {
    let (none, flags) = (ptr::null(), flags | libc::MS_BIND);
    // SAFETY: both paths are NUL-terminated; a bind mount has neither type nor options.
    check(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), none, flags, none.cast()) })
        .map(drop)
}

/// Copies the mount tree at `path` into a detached one (`open_tree(2)`, recursive).
pub(crate) fn clone_tree(path: &CStr) -> io::Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_RECURSIVE as u32;
    // SAFETY: `path` is NUL-terminated; the result is a new descriptor.
    unsafe {
        let fd =
            check_long(libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags))?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Adds `MOUNT_ATTR_*` flags to every mount of a detached tree (`mount_setattr(2)`, Linux 5.12).
pub(crate) fn set_tree_flags(tree: BorrowedFd<'_>, set: u64) -> io::Result<()> {
    // SAFETY: `mount_attr` is plain data for which all zeroes is a valid value.
    let mut attributes: libc::mount_attr = unsafe { mem::zeroed() };
    attributes.attr_set = set;
    // SAFETY: the path is the empty string, `attributes` is live and its size is given.
    check_long(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            mem::size_of_val(&attributes),
        )
    })
    .map(drop)
}

/// Attaches a detached mount tree at `target` (`move_mount(2)`).
pub(crate) fn attach_tree(tree: BorrowedFd<'_>, target: &CStr) -> io::Result<()> {
    const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
    // SAFETY: both paths are NUL-terminated.
    check_long(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// Whether the kernel's proc knows an option, asked of an unmounted instance (`fsconfig(2)`).
pub(crate) fn proc_supports(key: &CStr, value: &CStr) -> bool {
    const FSCONFIG_SET_STRING: u32 = 1;
    // SAFETY: all strings are NUL-terminated, and the descriptor is closed once.
    unsafe {
        let fd = libc::syscall(libc::SYS_fsopen, c"proc".as_ptr(), 0);
        if fd < 0 {
            return false;
        }
        let result = libc::syscall(
            libc::SYS_fsconfig,
            fd,
            FSCONFIG_SET_STRING,
            key.as_ptr(),
            value.as_ptr(),
            0,
        );
        libc::close(fd as RawFd);
        result == 0
    }
}

/// What a file system holds, by `statfs(2)`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Filled {
    pub(crate) bytes_used: u64,
    pub(crate) bytes_free: u64,
    pub(crate) inodes_used: u64,
    pub(crate) inodes_free: u64,
}

/// Asks the file system at `path` how full it is.
pub(crate) fn filled(path: &CStr) -> Filled {
    // SAFETY: `statfs` is plain data, filled in by the call; `path` is NUL-terminated.
    let stat = unsafe {
        let mut stat: libc::statfs = mem::zeroed();
        if libc::statfs(path.as_ptr(), &raw mut stat) < 0 {
            return Filled::default();
        }
        stat
    };
    let block = stat.f_bsize as u64;
    Filled {
        bytes_used: (stat.f_blocks - stat.f_bfree) * block,
        bytes_free: stat.f_bfree * block,
        inodes_used: stat.f_files - stat.f_ffree,
        inodes_free: stat.f_ffree,
    }
}

/// Makes a directory.
pub(crate) fn make_dir(path: &CStr, mode: u32) -> io::Result<()> {
    // SAFETY: `path` is NUL-terminated.
    check(unsafe { libc::mkdir(path.as_ptr(), mode) }).map(drop)
}

/// Changes the working directory.
pub(crate) fn change_dir(path: &CStr) -> io::Result<()> {
    // SAFETY: `path` is NUL-terminated.
    check(unsafe { libc::chdir(path.as_ptr()) }).map(drop)
}

/// Creates a file that must not exist yet and writes all of `data` to it.
pub(crate) fn create_file(path: *const c_char, mode: u32, data: &[u8]) -> io::Result<()> {
    open_and_write(path, libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW, mode, data)
}

/// Writes to a file that exists.
pub(crate) fn write_file(path: &CStr, data: &[u8]) -> io::Result<()> {
    open_and_write(path.as_ptr(), 0, 0, data)
}

/// Reads the beginning of a file.
pub(crate) fn read_file<'a>(path: &CStr, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    // SAFETY: `path` is NUL-terminated and `buffer` a live, writable slice.
    let n = unsafe {
        let fd = check(libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC))?;
        let n = libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len());
        let error = io::Error::last_os_error();
        close(fd);
        usize::try_from(n).map_err(|_| error)?
    };
    Ok(&buffer[..n])
}

/// `path` must be NUL-terminated: both callers take it from a `CStr` or a `Plan`.
fn open_and_write(path: *const c_char, flags: i32, mode: u32, data: &[u8]) -> io::Result<()> {
    // SAFETY: `path` is a NUL-terminated string, as said above.
    let fd = check(unsafe { libc::open(path, libc::O_WRONLY | libc::O_CLOEXEC | flags, mode) })?;
    let mut rest = data;
    let mut result = Ok(());
    while !rest.is_empty() {
        // SAFETY: `rest` is a live slice.
        let n = unsafe { libc::write(fd, rest.as_ptr().cast(), rest.len()) };
        if n <= 0 {
            result = Err(io::Error::last_os_error());
            break;
        }
        rest = &rest[n as usize..];
    }
    close(fd);
    result
}

/// Makes a memory file that only a descriptor leads to, and that nobody can change
/// (`memfd_create(2)`, `F_ADD_SEALS`). The descriptor is at least `least`, and closed on exec.
pub(crate) fn sealed_file(data: &[u8], least: RawFd) -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = memfd_create(c"secret", flags)?;
    let mut at = 0;
    while at < data.len() {
        // The offset stays where it is, for whoever reads.
        at += pwrite(&file, &data[at..], at as libc::off_t)?;
    }
    // Whose it is does not matter: it can be opened again by its number, and not be run.
    fchmod(&file, Mode::from_bits_truncate(0o444))?;
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    let fd = fcntl(&file, FcntlArg::F_DUPFD_CLOEXEC(least))?;
    // SAFETY: a new descriptor, which is nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Gives memory of a [`Mapping`], from its beginning, back to the kernel for all who share it
/// (`madvise(2)`, `MADV_REMOVE`): it is zeros from then on. Callers read nothing of it afterwards.
pub(crate) fn give_back(memory: &[u8]) {
    let start = memory.as_ptr().cast_mut().cast();
    // SAFETY: the range is mapped, as there is a reference to it, and nothing is read of it any more,
    // as said above. Where it is no shared mapping, the call fails and does nothing.
    let _ = unsafe { libc::madvise(start, memory.len(), libc::MADV_REMOVE) };
}

/// A memory file that is shared with another process, unmapped when dropped.
pub(crate) struct Mapping {
    start: *mut u8,
    len: usize,
}

impl Mapping {
    /// Maps the first `len` bytes of `file`, which must not be shorter.
    ///
    /// The other process is this program's other half: it changes the file only while this one
    /// waits for a message from it, and so never under a reference.
    pub(crate) fn new(file: &OwnedFd, len: usize) -> io::Result<Self> {
        // SAFETY: the kernel picks the address, so no memory of ours is replaced.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start: start.cast(), len })
    }

    /// The mapped bytes.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the range is mapped until `self` is dropped, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `new` and no reference to it is left.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}
