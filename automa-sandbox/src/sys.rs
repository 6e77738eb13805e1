//! The system calls that no safe wrapper offers, each as a small safe function: with its parts the
//! only unsafe code of this crate.
//!
//! Everything here that is called between a fork and an exec allocates nothing, takes no lock and
//! touches no thread-local but `errno`, so that it is also sound in a child that shares its
//! parent's memory (`clone(2)` with `CLONE_VM`).

mod files;
mod gate;
mod message;
mod mounts;
mod process;
mod rights;
mod terminal;

use std::{
    ffi::{c_int, c_long},
    io,
};

pub(crate) use self::{
    files::{
        Filled, Mapping, attach_tree, change_dir, clone_tree, close, close_from, create_file,
        duplicate, duplicate_to, filled, give_back, make_dir, mount_bind, mount_new, proc_supports,
        read_file, remount, sealed_file, set_tree_flags, unshare_descriptors, write_file,
    },
    gate::Gate,
    message::{Received, descriptor, receive, send},
    mounts::{clone_mount, map_ids_of_mount, user_namespace},
    process::{
        Ended, Forked, SignalInfo, Stack, Used, alarm, block_only, can_start_sandboxes,
        default_signals, execve, exit_now, fork, handle_signal, hold_mounts, ignore, kill,
        monotonic_ns, network_of, pidfd_open, pidfd_send_signal, run_sharing, set_name,
        spawn_sharing, spawn_waiting, wait,
    },
    rights::{
        drop_capabilities, drop_groups, effective_capabilities, install_filter, landlock_abi,
        landlock_restrict_self, lower_limit, prctl, seccomp_available, set_file_ids, set_ids,
    },
    terminal::{control_terminal, open_terminal, register, set_window_size, window_size},
};

/// Turns the kernel's `-1` into the error it left in `errno`.
fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same for `syscall(2)`.
fn check_long(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
