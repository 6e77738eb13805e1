//! Why a sandbox engine or a sandbox could not start.

use std::{io, path::PathBuf};

use crate::{protection::Feature, report::Stage};

/// Why nothing was run. What happens to a program that did run is told by its
/// [`ExitReport`](crate::ExitReport).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The command cannot be run as it was written.
    #[error("{0}")]
    InvalidCommand(String),
    /// A protection that the policy requires is not in force on this host.
    #[error("this host does not provide `{feature}`, which the policy requires: {reason}")]
    Unprotected {
        /// What is missing.
        feature: Feature,
        /// Why, and what to do.
        reason: String,
    },
    /// This host cannot confine anything: a step of building the sandbox failed.
    #[error("this host cannot confine programs: {stage} failed{}: {source}{}",
        in_brackets(.detail), advice(*stage, source))]
    Host {
        /// The step.
        stage: Stage,
        /// Path or other context, possibly empty.
        detail: String,
        /// The system's error.
        source: io::Error,
    },
    /// The program did not call [`reexec_guard`](crate::reexec_guard) first.
    #[error(
        "this program cannot start sandboxes: its main function must call \
         automa_sandbox::reexec_guard() first, or its configuration name a helper that does"
    )]
    NoGuard,
    /// The engine's helper process ended.
    #[error("the sandbox helper process has ended; start the engine again")]
    Stopped,
    /// A directory of the host cannot be shown to a sandbox.
    #[error("cannot show {} in a sandbox: {problem}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why, and what to do.
        problem: DirectoryProblem,
    },
    /// The system refused something on the caller's side.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

/// Why a directory cannot be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryProblem {
    /// It is not there, is no directory, or may not be entered.
    #[error("{0}")]
    Open(io::Error),
    /// Root owns it, and programs were to write to it.
    #[error(
        "what is written to it would be root's; give it another owner and group (chown), whose \
         files are then the sandbox's own"
    )]
    Root,
    /// Another user owns it, and programs were to write to it.
    #[error(
        "it belongs to user {0}; an ordinary user can let programs write only to what is their own"
    )]
    Foreign(u32),
    /// Its path leads somewhere else than a moment before.
    #[error("its path leads to another directory by now; try again")]
    Moved,
    /// Its file system has no idmapped mounts.
    #[error(
        "its file system cannot show its files as another user's (mount_setattr(2)); use ext4, xfs \
         or btrfs, from Linux 6.3 on also tmpfs, or start Automa as the directory's owner"
    )]
    NoIdMap,
    /// User namespaces are not to be had.
    #[error("creating a user namespace: {0}; see what automa doctor says")]
    UserNamespace(io::Error),
    /// The kernel refused.
    #[error("mounting it: {}{}", .0, mount_advice(.0))]
    Mount(io::Error),
}

impl Error {
    /// For `map_err`: an I/O error while `doing` something.
    pub(crate) fn io<E: Into<io::Error>>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Io { doing, source: source.into() }
    }
}

fn in_brackets(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(" ({detail})") }
}

fn mount_advice(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EINVAL) => {
            "; an ordinary user cannot show a directory in which something is mounted"
        }
        _ => "",
    }
}

/// What the person in front of this host can do about it.
fn advice(stage: Stage, source: &io::Error) -> &'static str {
    let errno = source.raw_os_error().unwrap_or(0);
    match stage {
        // Whoever comes to this stage may make namespaces: what was refused is a mount.
        Stage::MountNamespace | Stage::Root | Stage::Tree | Stage::PivotRoot
            if matches!(errno, libc::EPERM | libc::EACCES) =>
        {
            "; mounting is forbidden here: in a container allow CAP_SYS_ADMIN or an unconfined \
             AppArmor and seccomp profile; on Ubuntu set \
             kernel.apparmor_restrict_unprivileged_userns=0"
        }
        Stage::UserNamespace | Stage::IdMap | Stage::MountNamespace | Stage::NetworkNamespace => {
            "; run as root, or let users create namespaces: \
             sysctl -w user.max_user_namespaces=15000, and where they exist \
             kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0"
        }
        Stage::Tree if errno == libc::ENOENT => "; the directory does not exist",
        Stage::Seccomp => "; the kernel must be built with CONFIG_SECCOMP_FILTER (Linux 4.14)",
        _ if errno == libc::ENOSYS => "; Linux 5.15 or newer is needed",
        _ => "",
    }
}
