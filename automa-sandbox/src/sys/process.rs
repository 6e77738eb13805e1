//! Processes: forks of three kinds, waiting, signals, clocks.
#![expect(unsafe_code, reason = "raw system calls; each block says why it is sound")]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    time::Duration,
};

use super::{Gate, check, check_long};

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

/// Whether this kernel has what starting a sandbox takes: `clone3(2)` (Linux 5.3) and
/// `close_range(2)` (5.9). Both are asked for nothing, which they refuse with `EINVAL`.
pub(crate) fn can_start_sandboxes() -> io::Result<()> {
    // SAFETY: a size of zero: nothing is read.
    let started = unsafe { libc::syscall(libc::SYS_clone3, ptr::null::<libc::clone_args>(), 0) };
    refused_as_invalid(started)?;
    // SAFETY: an empty range: nothing is closed.
    refused_as_invalid(unsafe { libc::syscall(libc::SYS_close_range, 1, 0, 0) })
}

/// The answer of a call that exists and was asked for nothing.
fn refused_as_invalid(result: i64) -> io::Result<()> {
    match check_long(result) {
        Err(error) if error.raw_os_error() != Some(libc::EINVAL) => Err(error),
        _ => Ok(()),
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

/// The network namespace of a socket (`SIOCGSKNS`, Linux 4.10, for whoever may configure it).
pub(crate) fn network_of(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the request takes no argument and returns a new descriptor.
    unsafe {
        let fd = check(libc::ioctl(socket.as_raw_fd(), libc::SIOCGSKNS, 0))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// What a child that shares its parent's memory begins with, at the top of its own stack.
struct Beginning<'a, T> {
    main: fn(&T) -> i32,
    data: &'a T,
}

extern "C" fn begin<T>(beginning: *mut c_void) -> c_int {
    // SAFETY: `beginning` is what `clone_sharing` wrote to this process's stack; its caller keeps
    // `data` until this process has exec'd or ended.
    let beginning = unsafe { &*beginning.cast::<Beginning<'_, T>>() };
    (beginning.main)(beginning.data)
}

/// Clones a child that runs `main(data)` on `stack` and shares this process's memory.
///
/// # Safety
///
/// The caller must keep `stack` and `data` until the child has exec'd or ended.
unsafe fn clone_sharing<T>(
    flags: i32,
    cleared: *mut u32,
    stack: &mut Stack,
    main: fn(&T) -> i32,
    data: &T,
) -> io::Result<libc::pid_t> {
    const { assert!(mem::size_of::<Beginning<'_, u8>>() == 16, "the stack stays aligned") };
    // SAFETY: the last 16 bytes of the stack are its own, aligned for `u128`; below them lies an
    // aligned, writable stack. The promises about the child's life are the caller's.
    check(unsafe {
        let top = stack.0.as_mut_ptr_range().end.sub(1).cast::<Beginning<'_, T>>();
        top.write(Beginning { main, data });
        let none = ptr::null_mut::<c_void>();
        let flags = flags | libc::CLONE_VM | libc::SIGCHLD;
        libc::clone(begin::<T>, top.cast(), flags, top.cast(), none, none, cleared)
    })
}

/// Starts a child that shares this process's memory and runs `main(data)` on `stack`, while the
/// caller waits until the child has exec'd or ended (`CLONE_VFORK`).
pub(crate) fn spawn_sharing<T: Sync>(
    stack: &mut Stack,
    main: fn(&T) -> i32,
    data: &T,
) -> io::Result<libc::pid_t> {
    // SAFETY: CLONE_VFORK suspends this process until the child needs neither any more.
    unsafe { clone_sharing(libc::CLONE_VFORK, ptr::null_mut(), stack, main, data) }
}

/// Starts a child as [`spawn_sharing`] does, but calls `meanwhile` with its process id while the
/// child runs up to the gate, and then waits until the child has exec'd or ended; one that the gate
/// was not opened for is killed.
///
/// Until its exec the child has this process's descriptors, not a copy of them (`CLONE_FILES`).
pub(crate) fn spawn_waiting<T: Sync, V, R>(
    stack: &mut Stack,
    (main, data): (fn(&T) -> i32, &T),
    gate: &Gate<V>,
    meanwhile: impl FnOnce(libc::pid_t) -> R,
) -> io::Result<(libc::pid_t, R)> {
    // From the clone to the child's end `stack` and `data` must stay: nothing may unwind past.
    let guard = Abort;
    let flags = libc::CLONE_FILES | libc::CLONE_CHILD_CLEARTID;
    // SAFETY: below, this process waits until the kernel says that the child has exec'd or ended.
    let pid = unsafe { clone_sharing(flags, gate.word(), stack, main, data) };
    let result = pid.map(|pid| {
        let result = meanwhile(pid);
        if !gate.is_done() {
            kill(pid, libc::SIGKILL);
        }
        gate.wait_left();
        (pid, result)
    });
    mem::forget(guard);
    result
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
    block_only(&[]);
}

/// Blocks these signals, and unblocks all others.
pub(crate) fn block_only(signals: &[c_int]) {
    // SAFETY: `set` is initialised by sigemptyset before it is used; a number that is no signal is
    // refused.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut());
    }
}

/// What the kernel tells of a signal, for a handler.
#[repr(transparent)]
pub(crate) struct SignalInfo(libc::siginfo_t);

impl SignalInfo {
    /// Whether it came from the kernel, or from a process that this one's pid namespace does not
    /// hold: such a sender has the id 0 (`pid_namespaces(7)`). No process can claim that of itself, as
    /// `rt_sigqueueinfo(2)` refuses these codes.
    pub(crate) fn is_from_outside(&self) -> bool {
        match self.0.si_code {
            libc::SI_KERNEL => true,
            // SAFETY: signals with this code carry the sender's process id (sigaction(2)).
            libc::SI_USER => unsafe { self.0.si_pid() == 0 },
            _ => false,
        }
    }
}

/// Has `handler` called for `signal`, without restarting interrupted calls.
///
/// `handler` must do only what `signal-safety(7)` allows.
pub(crate) fn handle_signal(
    signal: c_int,
    handler: extern "C" fn(c_int, &SignalInfo, *mut c_void),
) {
    // SAFETY: `sigaction` is plain data; the handler is an `extern "C"` function that lives
    // forever, and by contract async-signal-safe. With SA_SIGINFO the kernel calls it with a pointer
    // to a `siginfo_t` that lives as long as the call.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_flags = libc::SA_SIGINFO;
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
