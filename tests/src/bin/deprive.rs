//! `deprive WHAT -- PROGRAM ARGS…`: runs a program on a kernel that seems to lack something, as
//! older kernels, containers and hardened hosts do.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use nix::libc::{self, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// `ioctl_nsfs(2)`: the mount namespace of a process by its descriptor, Linux 6.11.
const PIDFD_GET_MNT_NAMESPACE: u64 = 0xff03;

/// The calls that are refused, and with what error.
fn deprivation(name: &str) -> Result<(Rules, i32), Box<dyn Error>> {
    let always = |calls: &[c_long]| calls.iter().map(|&call| (call, Vec::new())).collect();
    // Calls for which an argument has this value under this mask.
    let with = |calls: &[c_long], argument, mask, value| -> Result<Rules, Box<dyn Error>> {
        let operator = SeccompCmpOp::MaskedEq(mask);
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
        let rule = SeccompRule::new(vec![condition])?;
        Ok(calls.iter().map(|&call| (call, vec![rule.clone()])).collect())
    };
    Ok(match name {
        "landlock" => (
            always(&[
                libc::SYS_landlock_create_ruleset,
                libc::SYS_landlock_add_rule,
                libc::SYS_landlock_restrict_self,
            ]),
            libc::ENOSYS,
        ),
        "seccomp" => (always(&[libc::SYS_seccomp]), libc::ENOSYS),
        "mount" => (
            always(&[
                libc::SYS_mount,
                libc::SYS_pivot_root,
                libc::SYS_move_mount,
                libc::SYS_open_tree,
                libc::SYS_fsopen,
            ]),
            libc::EPERM,
        ),
        "userns" => {
            let flag = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
            (with(&[libc::SYS_unshare, libc::SYS_clone], 0, flag, flag)?, libc::EPERM)
        }
        // What Linux got with 5.2, 5.3, 5.6, 5.9 and 5.12.
        "mount_api" => (
            always(&[
                libc::SYS_open_tree,
                libc::SYS_move_mount,
                libc::SYS_fsopen,
                libc::SYS_fsconfig,
                libc::SYS_fsmount,
            ]),
            libc::ENOSYS,
        ),
        "clone3" => (always(&[libc::SYS_clone3]), libc::ENOSYS),
        "pidfd" => (
            always(&[libc::SYS_pidfd_open, libc::SYS_pidfd_send_signal, libc::SYS_pidfd_getfd]),
            libc::ENOSYS,
        ),
        "close_range" => (always(&[libc::SYS_close_range]), libc::ENOSYS),
        "openat2" => (always(&[libc::SYS_openat2]), libc::ENOSYS),
        "listen" => (always(&[libc::SYS_listen]), libc::ENOBUFS),
        "mount_setattr" => (always(&[libc::SYS_mount_setattr]), libc::ENOSYS),
        "pidfd_namespaces" => (
            with(&[libc::SYS_ioctl], 1, u64::from(u32::MAX), PIDFD_GET_MNT_NAMESPACE)?,
            libc::ENOTTY,
        ),
        other => return Err(format!("cannot deprive anybody of {other}").into()),
    })
}

#[expect(clippy::disallowed_methods, reason = "becomes the program under test")]
fn run() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [what, dashes, program, rest @ ..] = &args[..] else {
        return Err("usage: deprive WHAT -- PROGRAM ARGS…".into());
    };
    if dashes != "--" {
        return Err(format!("`--` expected instead of `{dashes}`").into());
    }
    let (rules, errno) = deprivation(what)?;
    let refuse = SeccompAction::Errno(errno.cast_unsigned());
    let arch = env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?;
    apply_filter(&BpfProgram::try_from(filter)?)?;
    Err(Command::new(program).args(rest).exec().into())
}

fn main() -> ExitCode {
    let Err(problem) = run() else { return ExitCode::FAILURE };
    eprintln!("deprive: {problem}");
    // None of the codes that Automa ends with.
    ExitCode::from(99)
}
