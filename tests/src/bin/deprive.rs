//! `deprive landlock|userns|mount|seccomp -- PROGRAM ARGS…`: runs a program on a kernel that seems
//! to lack something, as older kernels, containers and hardened hosts do.

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

/// The calls that are refused, and with what error.
fn deprivation(name: &str) -> Result<(Rules, i32), Box<dyn Error>> {
    let always = |calls: &[c_long]| calls.iter().map(|&call| (call, Vec::new())).collect();
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
            let set = SeccompCmpOp::MaskedEq(flag);
            let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, set, flag)?;
            let rule = SeccompRule::new(vec![condition])?;
            let calls = [libc::SYS_unshare, libc::SYS_clone];
            (calls.map(|call| (call, vec![rule.clone()])).into(), libc::EPERM)
        }
        other => return Err(format!("cannot deprive anybody of {other}").into()),
    })
}

#[expect(clippy::disallowed_methods, reason = "becomes the program under test")]
fn run() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [what, dashes, program, rest @ ..] = &args[..] else {
        return Err("usage: deprive landlock|userns|mount|seccomp -- PROGRAM ARGS…".into());
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
