//! What a payload may ask of the kernel: every syscall of x86-64 Linux with its verdict.
//!
//! Only data. `tree` turns it into a program; the tests also read it directly, as the reference.
//! Numbers: `arch/x86/entry/syscalls/syscall_64.tbl` of Linux 6.18, and listns.

#![expect(non_upper_case_globals, reason = "numbers missing in libc are named as libc would")]

#[allow(
    clippy::wildcard_imports,
    reason = "the table names some 370 constants of this one crate"
)]
use libc::*;

use Verdict::{Absent, Allow, AllowIf, Deny, DenyIf};

use crate::policy::Profile;

/// The answer to a syscall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allow,
    /// `EPERM`: the call exists and this payload may not make it.
    Deny,
    /// `ENOSYS`: as on a kernel without the call, so that libraries take their older way.
    Absent,
    /// Allowed when a clause holds, `EPERM` otherwise.
    AllowIf(Clauses),
    /// `EPERM` when a clause holds, allowed otherwise.
    DenyIf(Clauses),
}

/// Any of these, where a clause holds when all of its conditions do.
pub(super) type Clauses = &'static [&'static [Condition]];

/// The masked argument lies in one of the spans.
///
/// Only the low 32 bits of an argument are looked at. The checked arguments are `int` or
/// `unsigned int`, and the kernel drops the high half of the register before it uses them (clone's
/// flags are a `long`, cut by `lower_32_bits`). A 64-bit comparison would be a hole in every
/// denial: `ioctl(fd, 1 << 32 | TIOCSTI)` differs from TIOCSTI here and equals it there.
/// The second argument of `prctl(PR_CAP_AMBIENT)` is the one true `long`: there a high half only
/// turns an allowed value into one the kernel does not know, so it answers EINVAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) argument: u8,
    pub(super) mask: u32,
    pub(super) spans: &'static [Span],
}

/// The numbers from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: u32,
    pub(super) last: u32,
}

/// Calls for memory that needs no process to exist: memory files and System V segments.
pub(super) const UNMAPPED_MEMORY: &[c_long] = &[SYS_memfd_create, SYS_shmget];

/// Syscalls of one verdict.
pub(super) type Group = (Verdict, &'static [c_long]);

const fn argument(argument: u8, spans: &'static [Span]) -> Condition {
    Condition { argument, mask: u32::MAX, spans }
}

const fn masked(argument: u8, mask: c_int, spans: &'static [Span]) -> Condition {
    Condition { argument, mask: mask.cast_unsigned(), spans }
}

const fn is(value: c_int) -> Span {
    between(value, value)
}

/// Compared as unsigned numbers, as the filter does.
const fn between(first: c_int, last: c_int) -> Span {
    Span { first: first.cast_unsigned(), last: last.cast_unsigned() }
}

// What libc does not name (yet).
const SYS_create_module: c_long = 174;
const SYS_get_kernel_syms: c_long = 177;
const SYS_query_module: c_long = 178;
const SYS_io_pgetevents: c_long = 333;
const SYS_uretprobe: c_long = 335;
const SYS_uprobe: c_long = 336;
const SYS_cachestat: c_long = 451;
const SYS_map_shadow_stack: c_long = 453;
const SYS_futex_wake: c_long = 454;
const SYS_futex_wait: c_long = 455;
const SYS_futex_requeue: c_long = 456;
const SYS_statmount: c_long = 457;
const SYS_listmount: c_long = 458;
const SYS_lsm_get_self_attr: c_long = 459;
const SYS_lsm_set_self_attr: c_long = 460;
const SYS_lsm_list_modules: c_long = 461;
const SYS_setxattrat: c_long = 463;
const SYS_getxattrat: c_long = 464;
const SYS_listxattrat: c_long = 465;
const SYS_removexattrat: c_long = 466;
const SYS_open_tree_attr: c_long = 467;
const SYS_file_getattr: c_long = 468;
const SYS_file_setattr: c_long = 469;
const SYS_listns: c_long = 470;

/// clone(2): no new namespace. `CLONE_NEWTIME` is a flag of clone3 and unshare only: its bit lies
/// in the byte that clone reads as the exit signal.
const CLONE_FLAGS: Clauses = &[&[masked(
    0,
    CLONE_NEWNS
        | CLONE_NEWCGROUP
        | CLONE_NEWUTS
        | CLONE_NEWIPC
        | CLONE_NEWUSER
        | CLONE_NEWPID
        | CLONE_NEWNET,
    &[is(0)],
)]];

/// `SOCK_TYPE_MASK` of linux/net.h: the type without `SOCK_CLOEXEC` and `SOCK_NONBLOCK`.
const SOCKET_TYPE: c_int = 0xf;

/// socket(2): local, TCP, UDP, and the netlink family that lists interfaces and routes. What is
/// left out reaches past the network namespace (`AF_VSOCK`: the hypervisor) or is rarely used and
/// rarely reviewed kernel code (`AF_ALG`, `AF_PACKET`, raw, SCTP, MPTCP, ...).
const SOCKET: Clauses = &[
    &[argument(0, &[is(AF_UNIX)])],
    &[
        argument(0, &[is(AF_INET), is(AF_INET6)]),
        masked(1, SOCKET_TYPE, &[is(SOCK_STREAM), is(SOCK_DGRAM)]),
        argument(2, &[is(0), is(IPPROTO_TCP), is(IPPROTO_UDP)]),
    ],
    &[argument(0, &[is(AF_NETLINK)]), argument(2, &[is(NETLINK_ROUTE)])],
];

const SOCKETPAIR: Clauses = &[&[argument(0, &[is(AF_UNIX)])]];

/// `ioctl_tty(2)`, `ioctl_console(2)`: typing into another program's terminal (TIOCSTI and
/// TIOCLINUX), taking the console's output, changing the line discipline, and the requests of the
/// virtual console (`KD*`, `VT_*`), which are 0x4B and 0x56 in the second byte, nothing above it.
const IOCTL_REQUEST: Clauses = &[&[argument(
    1,
    &[
        between(0x4b00, 0x4bff),
        between(0x5412, 0x5412), // TIOCSTI
        between(0x541c, 0x541d), // TIOCLINUX, TIOCCONS
        between(0x5423, 0x5423), // TIOCSETD
        between(0x5600, 0x56ff),
    ],
)]];

/// prctl(2): what programs say about themselves. Not in the list, among others: `PR_SET_MM`,
/// `PR_SET_PTRACER`, `PR_SCHED_CORE`, `PR_SET_SECCOMP`, `PR_SET_SECUREBITS`,
/// `PR_SET_SPECULATION_CTRL`.
const PRCTL: Clauses = &[
    &[argument(
        0,
        &[
            between(PR_SET_PDEATHSIG, PR_SET_DUMPABLE), // also: PR_GET_PDEATHSIG, PR_GET_DUMPABLE
            is(PR_GET_KEEPCAPS),
            is(PR_GET_TIMING),
            between(PR_SET_NAME, PR_GET_NAME),
            is(PR_GET_SECCOMP),
            is(PR_CAPBSET_READ),
            is(PR_GET_TSC),
            is(PR_GET_SECUREBITS),
            between(PR_SET_TIMERSLACK, PR_GET_TIMERSLACK),
            between(PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER),
            between(PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS),
            is(PR_GET_TID_ADDRESS),
            between(PR_SET_THP_DISABLE, PR_GET_THP_DISABLE),
            is(PR_SET_VMA),
        ],
    )],
    &[
        argument(0, &[is(PR_CAP_AMBIENT)]),
        argument(1, &[is(PR_CAP_AMBIENT_IS_SET), is(PR_CAP_AMBIENT_CLEAR_ALL)]),
    ],
];

/// personality(2): the plain one, and the question which one it is. The others switch off address
/// randomisation, make readable memory executable or lie about the kernel's version.
const PERSONALITY: Clauses = &[&[argument(0, &[is(0), is(-1)])]];

/// For `terminal`: a process may also name who debugs it, where Yama asks for that.
const DEBUGGED_PRCTL: Clauses = &[PRCTL[0], PRCTL[1], &[argument(0, &[is(PR_SET_PTRACER)])]];

/// For `terminal`: debuggers start programs at addresses that stay the same.
const DEBUGGED_PERSONALITY: Clauses = &[&[argument(0, &[is(0), is(ADDR_NO_RANDOMIZE), is(-1)])]];

/// fcntl(2): a lease delays, and a directory notification watches, whoever else opens a file that
/// is shared read-only between sandboxes. The three commands are neighbours.
const FCNTL_COMMAND: Clauses = &[&[argument(1, &[between(F_SETLEASE, F_NOTIFY)])]];

/// socket(7): the way out is not the payload's choice. `SO_BINDTOIFINDEX` is the same by number.
const SOCKET_OPTION: Clauses =
    &[&[argument(1, &[is(SOL_SOCKET)]), argument(2, &[is(SO_BINDTODEVICE), is(SO_BINDTOIFINDEX)])]];

/// Profile `script`: what ordinary programs need (shells, interpreters, compilers, servers).
///
/// Calls that the kernel itself refuses without a capability (setuid, adjtimex, chown, mknod of a
/// device, real-time scheduling, ...) are allowed: they have harmless uses, and a payload holds no
/// capability. Denied are those that would be dangerous anyway, or that widen the kernel's
/// surface for nothing. A number that is not here is `Absent`.
#[rustfmt::skip] // one family per paragraph reads better than one name per line
const SCRIPT: &[Group] = &[
    (AllowIf(CLONE_FLAGS), &[SYS_clone]),
    (AllowIf(SOCKET), &[SYS_socket]),
    (AllowIf(SOCKETPAIR), &[SYS_socketpair]),
    (DenyIf(IOCTL_REQUEST), &[SYS_ioctl]),
    (AllowIf(PRCTL), &[SYS_prctl]),
    (AllowIf(PERSONALITY), &[SYS_personality]),
    (DenyIf(FCNTL_COMMAND), &[SYS_fcntl]),
    (DenyIf(SOCKET_OPTION), &[SYS_setsockopt]),

    // Reading and writing; io_* is what databases use where io_uring is closed.
    (Allow, &[
        SYS_read, SYS_write, SYS_pread64, SYS_pwrite64, SYS_readv, SYS_writev, SYS_preadv,
        SYS_pwritev, SYS_preadv2, SYS_pwritev2, SYS_lseek, SYS_sendfile, SYS_splice, SYS_tee,
        SYS_copy_file_range, SYS_readahead, SYS_fadvise64, SYS_fallocate, SYS_truncate,
        SYS_ftruncate, SYS_sync, SYS_syncfs, SYS_fsync, SYS_fdatasync, SYS_sync_file_range,
        SYS_cachestat, SYS_io_setup, SYS_io_destroy, SYS_io_getevents, SYS_io_submit,
        SYS_io_cancel, SYS_io_pgetevents,
    ]),
    // Descriptors.
    (Allow, &[
        SYS_open, SYS_openat, SYS_openat2, SYS_creat, SYS_close, SYS_close_range, SYS_dup, SYS_dup2,
        SYS_dup3, SYS_pipe, SYS_pipe2, SYS_flock, SYS_memfd_create, SYS_umask,
    ]),
    // Names and metadata.
    (Allow, &[
        SYS_stat, SYS_fstat, SYS_lstat, SYS_newfstatat, SYS_statx, SYS_statfs, SYS_fstatfs,
        SYS_access, SYS_faccessat, SYS_faccessat2, SYS_getdents, SYS_getdents64, SYS_getcwd,
        SYS_chdir, SYS_fchdir, SYS_rename, SYS_renameat, SYS_renameat2, SYS_mkdir, SYS_mkdirat,
        SYS_rmdir, SYS_link, SYS_linkat, SYS_unlink, SYS_unlinkat, SYS_symlink, SYS_symlinkat,
        SYS_readlink, SYS_readlinkat, SYS_mknod, SYS_mknodat, SYS_chmod, SYS_fchmod, SYS_fchmodat,
        SYS_fchmodat2, SYS_chown, SYS_fchown, SYS_lchown, SYS_fchownat, SYS_utime, SYS_utimes,
        SYS_futimesat, SYS_utimensat, SYS_file_getattr,
    ]),
    (Allow, &[
        SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr, SYS_setxattrat, SYS_getxattr, SYS_lgetxattr,
        SYS_fgetxattr, SYS_getxattrat, SYS_listxattr, SYS_llistxattr, SYS_flistxattr,
        SYS_listxattrat, SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr, SYS_removexattrat,
    ]),
    // Waiting for events.
    (Allow, &[
        SYS_poll, SYS_ppoll, SYS_select, SYS_pselect6, SYS_epoll_create, SYS_epoll_create1,
        SYS_epoll_ctl, SYS_epoll_wait, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_eventfd, SYS_eventfd2,
        SYS_signalfd, SYS_signalfd4, SYS_timerfd_create, SYS_timerfd_settime, SYS_timerfd_gettime,
        SYS_inotify_init, SYS_inotify_init1, SYS_inotify_add_watch, SYS_inotify_rm_watch,
    ]),
    // Memory.
    (Allow, &[
        SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_mincore,
        SYS_msync, SYS_mlock, SYS_mlock2, SYS_mlockall, SYS_munlock, SYS_munlockall, SYS_mseal,
        SYS_map_shadow_stack, SYS_pkey_alloc, SYS_pkey_free, SYS_pkey_mprotect, SYS_membarrier,
        SYS_get_mempolicy,
    ]),
    // Processes and threads.
    (Allow, &[
        SYS_fork, SYS_vfork, SYS_execve, SYS_execveat, SYS_exit, SYS_exit_group, SYS_wait4,
        SYS_waitid, SYS_pidfd_open, SYS_set_tid_address, SYS_set_robust_list, SYS_get_robust_list,
        SYS_rseq, SYS_arch_prctl, SYS_futex, SYS_futex_waitv, SYS_futex_wake, SYS_futex_wait,
        SYS_futex_requeue, SYS_restart_syscall,
    ]),
    (Allow, &[
        SYS_kill, SYS_tkill, SYS_tgkill, SYS_pidfd_send_signal, SYS_rt_sigaction,
        SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigpending, SYS_rt_sigtimedwait,
        SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_rt_sigsuspend, SYS_sigaltstack, SYS_pause,
    ]),
    // Identity and limits.
    (Allow, &[
        SYS_getpid, SYS_gettid, SYS_getppid, SYS_getpgid, SYS_setpgid, SYS_getpgrp, SYS_getsid,
        SYS_setsid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getresuid, SYS_getresgid,
        SYS_getgroups, SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid,
        SYS_setresgid, SYS_setgroups, SYS_setfsuid, SYS_setfsgid, SYS_capget, SYS_capset,
        SYS_getrlimit, SYS_setrlimit, SYS_prlimit64, SYS_getrusage, SYS_times, SYS_uname,
        SYS_sysinfo, SYS_getrandom,
    ]),
    (Allow, &[
        SYS_landlock_create_ruleset, SYS_landlock_add_rule, SYS_landlock_restrict_self,
    ]),
    // Scheduling.
    (Allow, &[
        SYS_sched_yield, SYS_sched_setparam, SYS_sched_getparam, SYS_sched_setscheduler,
        SYS_sched_getscheduler, SYS_sched_get_priority_max, SYS_sched_get_priority_min,
        SYS_sched_rr_get_interval, SYS_sched_setaffinity, SYS_sched_getaffinity, SYS_sched_setattr,
        SYS_sched_getattr, SYS_getpriority, SYS_setpriority, SYS_ioprio_set, SYS_ioprio_get,
        SYS_getcpu,
    ]),
    // Time.
    (Allow, &[
        SYS_time, SYS_gettimeofday, SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep,
        SYS_nanosleep, SYS_alarm, SYS_getitimer, SYS_setitimer, SYS_timer_create,
        SYS_timer_settime, SYS_timer_gettime, SYS_timer_getoverrun, SYS_timer_delete, SYS_adjtimex,
        SYS_clock_adjtime,
    ]),
    // Sockets, once they exist.
    (Allow, &[
        SYS_connect, SYS_bind, SYS_listen, SYS_accept, SYS_accept4, SYS_sendto, SYS_sendmsg,
        SYS_sendmmsg, SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg, SYS_shutdown, SYS_getsockname,
        SYS_getpeername, SYS_getsockopt,
    ]),
    // System V and POSIX IPC, both inside the IPC namespace.
    (Allow, &[
        SYS_shmget, SYS_shmat, SYS_shmdt, SYS_shmctl, SYS_semget, SYS_semop, SYS_semtimedop,
        SYS_semctl, SYS_msgget, SYS_msgsnd, SYS_msgrcv, SYS_msgctl, SYS_mq_open, SYS_mq_unlink,
        SYS_mq_timedsend, SYS_mq_timedreceive, SYS_mq_notify, SYS_mq_getsetattr,
    ]),

    // Namespaces and mounts.
    (Deny, &[
        SYS_unshare, SYS_setns, SYS_listns, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot,
        SYS_move_mount, SYS_open_tree, SYS_open_tree_attr, SYS_fsopen, SYS_fsconfig, SYS_fsmount,
        SYS_fspick, SYS_mount_setattr, SYS_statmount, SYS_listmount,
    ]),
    // The machine.
    (Deny, &[
        SYS_reboot, SYS_kexec_load, SYS_kexec_file_load, SYS_init_module, SYS_finit_module,
        SYS_delete_module, SYS_create_module, SYS_query_module, SYS_get_kernel_syms, SYS_swapon,
        SYS_swapoff, SYS_sethostname, SYS_setdomainname, SYS_settimeofday, SYS_clock_settime,
        SYS_acct, SYS_quotactl, SYS_quotactl_fd, SYS_syslog, SYS_vhangup, SYS_iopl, SYS_ioperm,
        SYS_modify_ldt,
    ]),
    // Other processes.
    (Deny, &[
        SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_process_madvise,
        SYS_process_mrelease, SYS_kcmp, SYS_pidfd_getfd,
    ]),
    // Large or often broken parts of the kernel. A filter of the payload's own is among them: one
    // that answers with a user notification lets it forge the results of a child's syscalls.
    (Deny, &[
        SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup, SYS_io_uring_enter,
        SYS_io_uring_register, SYS_add_key, SYS_request_key, SYS_keyctl, SYS_fanotify_init,
        SYS_fanotify_mark, SYS_memfd_secret, SYS_vmsplice, SYS_remap_file_pages, SYS_move_pages,
        SYS_migrate_pages, SYS_mbind, SYS_set_mempolicy, SYS_set_mempolicy_home_node, SYS_seccomp,
        SYS_lsm_get_self_attr, SYS_lsm_set_self_attr, SYS_lsm_list_modules,
    ]),
    // Files by handle pass over the permissions of the directories above them.
    (Deny, &[SYS_name_to_handle_at, SYS_open_by_handle_at, SYS_file_setattr]),
    // Relics.
    (Deny, &[
        SYS_uselib, SYS_ustat, SYS_sysfs, SYS__sysctl, SYS_nfsservctl, SYS_lookup_dcookie,
    ]),

    // The flags of clone3 are behind a pointer, out of a filter's reach. C libraries fall back to
    // clone upon ENOSYS, and only then.
    (Absent, &[SYS_clone3]),
    // Made by the kernel's own trampolines, which pass by the filter since Linux 6.14.
    (Absent, &[SYS_uretprobe, SYS_uprobe]),
    // Numbers without a call behind them.
    (Absent, &[
        SYS_getpmsg, SYS_putpmsg, SYS_afs_syscall, SYS_tuxcall, SYS_security, SYS_vserver,
        SYS_set_thread_area, SYS_get_thread_area, SYS_epoll_ctl_old, SYS_epoll_wait_old,
    ]),
];

/// Profile `terminal`, where it differs from `script`: a debugger may follow and change the
/// processes of its own sandbox. That it reaches no other, its init included, is kept by what
/// ptrace(2) itself asks for ("Ptrace access mode checking": the same user, dumpable, no more
/// capabilities), by the process namespace and by Landlock. A traced process stays under its
/// filter, which looks at a system call after the tracer did (seccomp(2), `SECCOMP_RET_TRACE`).
const TERMINAL: &[Group] = &[
    (AllowIf(DEBUGGED_PRCTL), &[SYS_prctl]),
    (AllowIf(DEBUGGED_PERSONALITY), &[SYS_personality]),
    (Allow, &[SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev]),
];

/// What differs from [`SCRIPT`] for a profile.
const fn differences(profile: Profile) -> &'static [Group] {
    match profile {
        // The kernel's part in their other rights is none of a filter's: files, limits, network.
        Profile::Script | Profile::Agent | Profile::Build => &[],
        Profile::Terminal => TERMINAL,
    }
}

/// The table of a profile, in which the first group that names a number counts.
pub(super) fn table(profile: Profile) -> Vec<Group> {
    [differences(profile), SCRIPT].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_syscall_is_named_once() {
        let named = |groups: &[Group]| {
            let mut named: Vec<c_long> = groups.iter().flat_map(|group| group.1).copied().collect();
            named.sort_unstable();
            named
        };
        let defined: Vec<c_long> = (0..=336).chain(424..=470).collect();
        assert_eq!(named(SCRIPT), defined);
        for profile in Profile::ALL {
            let changed = named(differences(profile));
            assert!(changed.is_sorted_by(|one, next| one < next), "{profile}: {changed:?}");
            assert!(changed.iter().all(|number| defined.contains(number)), "{profile}");
        }
    }

    /// The generator searches spans by halves, so their order matters.
    #[test]
    fn conditions_are_well_formed() {
        for (verdict, _) in Profile::ALL.into_iter().flat_map(table) {
            let (AllowIf(clauses) | DenyIf(clauses)) = verdict else { continue };
            for condition in clauses.iter().copied().flatten() {
                assert!(condition.argument < 6, "{condition:?}");
                assert!(
                    condition.spans.iter().all(|span| span.first <= span.last),
                    "{condition:?}"
                );
                let sorted = condition.spans.is_sorted_by(|low, high| low.last < high.first);
                assert!(sorted && !condition.spans.is_empty(), "{condition:?}");
            }
        }
    }

    /// The rule has numbers, because the type of libc's constants depends on the C library.
    #[test]
    fn terminal_requests_agree_with_libc() {
        let [[Condition { spans, .. }]] = IOCTL_REQUEST else { panic!("one condition expected") };
        for request in [TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD, 0x4b72, 0x5606] {
            let request = u32::try_from(request).unwrap();
            assert!(spans.iter().any(|span| (span.first..=span.last).contains(&request)));
        }
        for request in [TCGETS, TIOCGWINSZ, TIOCSCTTY, FIONREAD, FIONBIO, TIOCGPTN] {
            let request = u32::try_from(request).unwrap();
            assert!(!spans.iter().any(|span| (span.first..=span.last).contains(&request)));
        }
    }
}
