//! What a process may do: ids, capabilities, limits, Landlock, seccomp.
#![expect(unsafe_code, reason = "raw system calls; each block says why it is sound")]

use std::{
    ffi::{c_int, c_void},
    io,
    os::fd::RawFd,
    ptr,
};

use super::{check, check_long};
use crate::seccomp::Instruction;

/// One `prctl(2)` with integer arguments.
pub(crate) fn prctl(option: c_int, argument: u64) -> io::Result<c_int> {
    // SAFETY: used only with options whose arguments are integers (see the callers).
    check(unsafe { libc::prctl(option, argument, 0u64, 0u64, 0u64) })
}

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

/// Sets the ids by which files are made and accessed, or leaves them as they are where that is not
/// allowed (`setfsuid(2)`).
pub(crate) fn set_file_ids(id: libc::uid_t) {
    // SAFETY: one integer each; the calls report no error.
    unsafe {
        libc::syscall(libc::SYS_setfsgid, id);
        libc::syscall(libc::SYS_setfsuid, id);
    }
}

/// The header of `capget(2)` and `capset(2)`, for the calling process.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: c_int,
}

/// `_LINUX_CAPABILITY_VERSION_3`: two words of 32 capabilities for each set.
static OWN_CAPABILITIES: CapabilityHeader = CapabilityHeader { version: 0x2008_0522, pid: 0 };

/// Clears the permitted, effective and inheritable capability sets of this process.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    let none = [[0u32; 3]; 2];
    // SAFETY: both structures have the layout of linux/capability.h, version 3.
    check_long(unsafe {
        libc::syscall(libc::SYS_capset, &raw const OWN_CAPABILITIES, none.as_ptr())
    })
    .map(drop)
}

/// The effective capabilities of this process, bit by capability number.
pub(crate) fn effective_capabilities() -> u64 {
    let mut sets = [[0u32; 3]; 2];
    // SAFETY: as in `drop_capabilities`; the kernel writes 24 bytes into `sets`.
    unsafe { libc::syscall(libc::SYS_capget, &raw const OWN_CAPABILITIES, sets.as_mut_ptr()) };
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
