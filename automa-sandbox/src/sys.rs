//! The system calls that no safe wrapper offers, each as a small safe function: the only unsafe
//! code of this crate.
//!
//! Everything here that is called between a fork and an exec allocates nothing, takes no lock and
//! touches no thread-local but `errno`, so that it is also sound in a child that shares its
//! parent's memory (`clone(2)` with `CLONE_VM | CLONE_VFORK`).
#![expect(unsafe_code, reason = "raw system calls; each block says why it is sound")]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    time::Duration,
};

use crate::seccomp::Instruction;

/// Turns the kernel's `-1` into the error it left in `errno`.
fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same for `syscall(2)`.
fn check_long(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

// ---- processes -------------------------------------------------------------------------------

/// Which side of a fork this is.
pub(crate) enum Forked {
    /// The new process.
    Child,
    /// The caller.
    Parent,
}

/// `fork(2)`. Must be called by a single-threaded process: the child continues on a copy of its
/// memory.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: the zygote, the only caller, made sure that it has one thread, so nothing that the
    // child inherits can be torn.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Forked::Child),
        _ => Ok(Forked::Parent),
    }
}

/// Memory for the stack of a child that shares its parent's memory.
pub(crate) struct Stack(Box<[u128]>);

impl Stack {
    /// 256 KiB: far more than the straight-line code of init and payload needs.
    pub(crate) fn new() -> Self {
        Self(vec![0; (256 << 10) / mem::size_of::<u128>()].into_boxed_slice())
    }
}

/// `CLONE_INTO_CGROUP` of linux/sched.h; libc's constant has overflowed.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Ends the process when it is dropped, that is when something unwinds past it.
struct Abort;

impl Drop for Abort {
    fn drop(&mut self) {
        std::process::abort();
    }
}

/// Starts a process with new namespaces that shares this process's memory (`CLONE_VM`, which
/// spares copying page tables, the largest part of a fork), calls `meanwhile` with its id and
/// pidfd, and waits until it has ended.
///
/// The child runs `main(data)` on `stack`; `cgroup` is a cgroup v2 directory that it is born in
/// (`CLONE_INTO_CGROUP`, Linux 5.7).
///
/// The two run at the same time and also share `errno`. So that neither reads the other's,
/// `meanwhile` should make no call that fails in the ordinary course of things.
pub(crate) fn run_sharing<T, R>(
    flags: i32,
    cgroup: Option<BorrowedFd<'_>>,
    stack: &mut Stack,
    (main, data): (fn(&mut T) -> !, &mut T),
    meanwhile: impl FnOnce(libc::pid_t, OwnedFd) -> R,
) -> io::Result<(Ended, R)> {
    struct Start<'a, T> {
        main: fn(&mut T) -> !,
        data: &'a mut T,
    }
    extern "C" fn enter<T>(start: *mut Start<'_, T>) -> ! {
        // SAFETY: `start` is the one below, which lives and is not touched until this process has
        // ended: the caller's function returns only after that.
        let start = unsafe { &mut *start };
        (start.main)(start.data)
    }
    let mut start = Start { main, data };
    let mut pidfd: RawFd = -1;
    // SAFETY: `clone_args` is plain data for which all zeroes is a valid value.
    let mut args: libc::clone_args = unsafe { mem::zeroed() };
    args.flags = (flags | libc::CLONE_VM | libc::CLONE_PIDFD) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    args.pidfd = &raw mut pidfd as u64;
    args.stack = stack.0.as_mut_ptr() as u64;
    args.stack_size = mem::size_of_val(&*stack.0) as u64;
    if let Some(dir) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = dir.as_raw_fd() as u64;
    }
    let result: i64;
    // SAFETY: the kernel preserves all registers but rax, rcx and r11 in both processes. The child
    // begins with rsp at the 16-byte aligned end of `stack`, calls `enter`, which has the C calling
    // convention and never returns. The parent goes on behind the label; the child changed none of
    // its registers and, but for `start`, none of its memory that Rust knows of.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, {start}",
            "call {enter}",
            "ud2",
            "2:",
            start = in(reg) &raw mut start,
            enter = in(reg) enter::<T> as *const (),
            inout("rax") libc::SYS_clone3 => result,
            in("rdi") &raw const args,
            in("rsi") mem::size_of_val(&args),
            out("rcx") _,
            out("r11") _,
        );
    }
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result as i32));
    }
    // From here to the child's end `start` and `stack` must stay: nothing may unwind past.
    let guard = Abort;
    // SAFETY: the kernel stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let pid = result as libc::pid_t;
    let value = meanwhile(pid, pidfd);
    let ended = loop {
        match wait(pid) {
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            // Waiting for one's own child cannot fail otherwise; going on would free its stack.
            Err(_) => drop(Abort),
            Ok(ended) => break ended,
        }
    };
    mem::forget(guard);
    Ok((ended, value))
}

/// Keeps the mount namespace of a process alive until the result is dropped, where the kernel
/// offers that (`PIDFD_GET_MNT_NAMESPACE`, Linux 6.11).
pub(crate) fn hold_mounts(pidfd: BorrowedFd<'_>) -> Option<OwnedFd> {
    const PIDFD_GET_MNT_NAMESPACE: libc::c_ulong = 0xff03;
    // SAFETY: the request takes no argument and returns a new descriptor.
    unsafe {
        let fd = libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_MNT_NAMESPACE, 0);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd))
    }
}

/// Starts a child that shares this process's memory and runs `main(data)` on `stack`, while the
/// caller waits until the child has exec'd or ended (`CLONE_VM | CLONE_VFORK`). What the child
/// wrote to `data` is seen by the caller.
pub(crate) fn spawn_sharing<T>(
    stack: &mut Stack,
    main: fn(&mut T) -> i32,
    data: &mut T,
) -> io::Result<libc::pid_t> {
    struct Start<'a, T> {
        main: fn(&mut T) -> i32,
        data: &'a mut T,
    }
    extern "C" fn enter<T>(start: *mut c_void) -> c_int {
        // SAFETY: `start` is the `Start` below. The caller is suspended until this process has
        // exec'd or ended, so this is the only live reference to it.
        let start = unsafe { &mut *start.cast::<Start<'_, T>>() };
        (start.main)(start.data)
    }
    let mut start = Start { main, data };
    let top = stack.0.as_mut_ptr_range().end.cast::<c_void>();
    // SAFETY: `top` is the 16-byte aligned end of memory that outlives the child's use of it, as
    // CLONE_VFORK suspends this process meanwhile; `start` likewise.
    check(unsafe {
        libc::clone(
            enter::<T>,
            top,
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            (&raw mut start).cast(),
        )
    })
}

/// How a child ended, by `wait4(2)`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ended {
    /// Process id as this process's pid namespace numbers it.
    pub(crate) pid: libc::pid_t,
    /// Wait status, to be read with `WIFEXITED` and its family.
    pub(crate) status: c_int,
    /// What the child and all descendants it waited for used.
    pub(crate) used: Used,
}

/// The parts of `struct rusage` that are of use here.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Used {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    /// Largest resident set of one process, in bytes.
    pub(crate) max_rss: u64,
}

/// Waits for a child (`-1`: any). Fails with `EINTR` when a signal handler ran.
pub(crate) fn wait(pid: libc::pid_t) -> io::Result<Ended> {
    let mut status = 0;
    // SAFETY: `rusage` is plain data for which all zeroes is a valid value.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: both pointers are to live, writable values of the types wait4 fills in.
    let pid = check(unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) })?;
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    let used = Used {
        user: time(usage.ru_utime),
        system: time(usage.ru_stime),
        max_rss: usage.ru_maxrss as u64 * 1024,
    };
    Ok(Ended { pid, status, used })
}

/// Sends a signal through a pidfd, which cannot hit a recycled process id.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: c_int) -> io::Result<()> {
    // SAFETY: no memory is passed but a null `siginfo`, which the call allows.
    check_long(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            ptr::null::<libc::siginfo_t>(),
            0,
        )
    })
    .map(drop)
}

/// Sends a signal to a process, or with a negative `pid` to a process group.
pub(crate) fn kill(pid: libc::pid_t, signal: c_int) {
    // SAFETY: kill takes two integers. A failure means that nobody is left to be told.
    unsafe { libc::kill(pid, signal) };
}

/// Ends this process at once: no destructor and no `atexit` handler of the forked program runs.
pub(crate) fn exit_now(code: c_int) -> ! {
    // SAFETY: _exit does not return and touches no memory.
    unsafe { libc::_exit(code) }
}

/// Replaces this process's program. Returns only on failure.
pub(crate) fn execve(
    program: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> io::Error {
    // SAFETY: the pointers come from a `Plan`, which checked at `Plan::map` that all three are
    // NUL-terminated strings and null-terminated arrays inside one live mapping.
    unsafe { libc::execve(program, argv, envp) };
    io::Error::last_os_error()
}

/// A descriptor that becomes readable when the process ends (`pidfd_open(2)`).
pub(crate) fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: two integers; the result is a new descriptor.
    unsafe {
        let fd = check_long(libc::syscall(libc::SYS_pidfd_open, pid, 0))?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// One `prctl(2)` with integer arguments.
pub(crate) fn prctl(option: c_int, argument: u64) -> io::Result<c_int> {
    // SAFETY: used only with options whose arguments are integers (see the callers).
    check(unsafe { libc::prctl(option, argument, 0u64, 0u64, 0u64) })
}

/// Names this process for `ps`, at most 15 bytes.
pub(crate) fn set_name(name: &CStr) {
    // SAFETY: PR_SET_NAME reads a NUL-terminated string. The name is decoration: errors are none.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Sets all signal dispositions to their defaults and unblocks every signal. Rust's runtime
/// ignores `SIGPIPE` and the embedder may block more; a payload would inherit both.
pub(crate) fn default_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL is a valid disposition. KILL, STOP and libc's own two signals refuse.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: `set` is initialised by sigemptyset before it is read.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut());
    }
}

/// Has `handler` called for `signal`, without restarting interrupted calls.
///
/// `handler` must do only what `signal-safety(7)` allows.
pub(crate) fn handle_signal(signal: c_int, handler: extern "C" fn(c_int)) {
    // SAFETY: `sigaction` is plain data; the handler is an `extern "C"` function that lives
    // forever, and by contract async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        libc::sigaction(signal, &raw const action, ptr::null_mut());
    }
}

/// Ignores a signal; for `SIGCHLD` the kernel then reaps children by itself.
pub(crate) fn ignore(signal: c_int) {
    // SAFETY: SIG_IGN is a valid disposition of every signal that has one.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Sends this process `SIGALRM` after `seconds`.
pub(crate) fn alarm(seconds: u32) {
    // SAFETY: alarm takes one integer and cannot fail.
    unsafe { libc::alarm(seconds) };
}

/// Time of `CLOCK_MONOTONIC` in nanoseconds, comparable between processes of one machine.
pub(crate) fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live timespec; CLOCK_MONOTONIC always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

// ---- identity and rights ---------------------------------------------------------------------

/// Drops all supplementary groups. A raw call, as glibc's wrapper would signal other threads.
pub(crate) fn drop_groups() -> io::Result<()> {
    // SAFETY: a count of 0 reads no memory.
    check_long(unsafe { libc::syscall(libc::SYS_setgroups, 0, ptr::null::<libc::gid_t>()) })
        .map(drop)
}

/// Sets real, effective and saved user and group id. Leaving user 0 clears all capabilities
/// (`capabilities(7)`, effect of user ID changes).
pub(crate) fn set_ids(uid: libc::uid_t, gid: libc::gid_t) -> io::Result<()> {
    // SAFETY: three integers each.
    check_long(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: as above.
    check_long(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// Clears the permitted, effective and inheritable capability sets of this process.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: c_int,
    }
    /// `_LINUX_CAPABILITY_VERSION_3`: two words of 32 capabilities for each set.
    const VERSION_3: u32 = 0x2008_0522;
    let header = Header { version: VERSION_3, pid: 0 };
    let none = [[0u32; 3]; 2];
    // SAFETY: both structures have the layout of linux/capability.h, version 3.
    check_long(unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) })
        .map(drop)
}

/// The effective capabilities of this process, bit by capability number.
pub(crate) fn effective_capabilities() -> u64 {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: c_int,
    }
    let header = Header { version: 0x2008_0522, pid: 0 };
    let mut sets = [[0u32; 3]; 2];
    // SAFETY: as in `drop_capabilities`; the kernel writes 24 bytes into `sets`.
    unsafe { libc::syscall(libc::SYS_capget, &raw const header, sets.as_mut_ptr()) };
    u64::from(sets[0][0]) | u64::from(sets[1][0]) << 32
}

/// Lowers a resource limit to at most `value`, soft and hard. Never raises one, as that needs
/// `CAP_SYS_RESOURCE`; and as the hard limit falls with the soft one, nobody raises it again.
pub(crate) fn lower_limit(resource: u32, value: u64) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is live and of the type both calls use.
    unsafe {
        check(libc::getrlimit(resource, &raw mut limit))?;
        limit.rlim_max = limit.rlim_max.min(value);
        limit.rlim_cur = limit.rlim_max;
        check(libc::setrlimit(resource, &raw const limit))
    }
    .map(drop)
}

/// The Landlock ABI of this kernel, 0 where there is none (`landlock_create_ruleset(2)`).
pub(crate) fn landlock_abi() -> i32 {
    const CREATE_RULESET_VERSION: u32 = 1;
    // SAFETY: with this flag the call reads no memory.
    let abi = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            ptr::null::<c_void>(),
            0usize,
            CREATE_RULESET_VERSION,
        )
    };
    abi.max(0) as i32
}

/// Confines this process, and all it starts, to a ruleset made before.
pub(crate) fn landlock_restrict_self(ruleset: RawFd) -> io::Result<()> {
    // SAFETY: two integers.
    check_long(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0) }).map(drop)
}

/// Installs a filter of system calls (`seccomp(2)`); needs `no_new_privs`.
pub(crate) fn install_filter(program: &[Instruction]) -> io::Result<()> {
    #[repr(C)]
    struct Program {
        len: u16,
        filter: *const Instruction,
    }
    let program = Program { len: program.len() as u16, filter: program.as_ptr() };
    // SAFETY: `Instruction` has the layout of `struct sock_filter`; the kernel copies `len` of
    // them and rejects a program that could jump out of its bounds.
    check_long(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    })
    .map(drop)
}

/// Whether this kernel knows seccomp filters and the actions we use.
pub(crate) fn seccomp_available() -> io::Result<()> {
    let action: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    // SAFETY: SECCOMP_GET_ACTION_AVAIL reads one u32.
    check_long(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action)
    })
    .map(drop)
}

// ---- files and mounts ------------------------------------------------------------------------

/// Closes every descriptor from `first` on.
pub(crate) fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: called right before exec, or at the start of the zygote: nothing owned is used later.
    check_long(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) }).map(drop)
}

/// Makes `target` refer to what `fd` is, without close-on-exec.
pub(crate) fn duplicate_to(fd: RawFd, target: RawFd) -> io::Result<()> {
    // SAFETY: two integers; the caller owns `target`.
    check(unsafe { libc::dup2(fd, target) }).map(drop)
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
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: `path` is a NUL-terminated string of a `Plan`.
    let fd = check(unsafe { libc::open(path, flags, mode) })?;
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

/// A private, writable copy of a memory file, unmapped when dropped.
pub(crate) struct Mapping {
    start: *mut u8,
    len: usize,
}

impl Mapping {
    /// Maps the first `len` bytes of `fd`; writes to the mapping stay in this process.
    pub(crate) fn new(fd: RawFd, len: usize) -> io::Result<Self> {
        // SAFETY: the kernel picks the address; a private mapping is shared with nobody, and the
        // sender of the file never shrinks it (it has no other use for it).
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE,
                fd,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start: start.cast(), len })
    }

    /// The mapped bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `start..start+len` is mapped readable until `self` is dropped.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    /// The mapped bytes, to be changed.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as `bytes`, mapped writable, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `new` and no reference to it is left.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}

// ---- messages --------------------------------------------------------------------------------

/// Most descriptors that one message carries.
pub(crate) const MAX_FDS: usize = 8;

/// Room for the control message of `MAX_FDS` descriptors, aligned for `cmsghdr`.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Sends one packet with descriptors over a `SOCK_SEQPACKET` socket (`unix(7)`, `SCM_RIGHTS`).
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    data: &[u8],
    fds: &[RawFd],
    flags: c_int,
) -> io::Result<()> {
    assert!(fds.len() <= MAX_FDS, "at most {MAX_FDS} descriptors in a message");
    let mut control = Control([0; 64]);
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
#[derive(Default)]
pub(crate) struct Received {
    fds: [Option<OwnedFd>; MAX_FDS],
    count: usize,
}

impl Received {
    /// How many came.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Takes the descriptor at `index`, once.
    pub(crate) fn take(&mut self, index: usize) -> Option<OwnedFd> {
        self.fds.get_mut(index)?.take()
    }
}

/// Receives one packet into `buffer` (cut to its length) with its descriptors, all close-on-exec.
/// A length of 0 means that the other side is gone.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: c_int,
) -> io::Result<(usize, Received)> {
    let mut control = Control([0; 64]);
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
            let first = libc::CMSG_DATA(header).cast::<RawFd>();
            for index in 0..(size / mem::size_of::<RawFd>()).min(MAX_FDS) {
                let fd = ptr::read_unaligned(first.add(index));
                received.fds[index] = Some(OwnedFd::from_raw_fd(fd));
                received.count += 1;
            }
        }
        Ok((n as usize, received))
    }
}
