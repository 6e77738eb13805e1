//! What came out of a sandbox: how it ended and why, what it used, and what confined it.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    egress::EgressEvent,
    history::UsagePoint,
    limits::Bytes,
    protection::{Feature, Protection},
};

/// Everything that is known about one sandbox after its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExitReport {
    /// Why it ended.
    pub outcome: Outcome,
    /// How the program itself ended, if it did before it was killed.
    pub exit: Option<Exit>,
    /// What it used.
    pub usage: Usage,
    /// Limits that were hit, whether or not they ended the run: a program may survive a refused
    /// fork or a full disk.
    pub limits_hit: Vec<Feature>,
    /// For every protection, whether it was in force.
    pub protections: Vec<Protection>,
    /// Whether more output was produced than the limit let through.
    pub output_truncated: bool,
    /// Whether the kernel confirmed that no process of the sandbox is left.
    pub tree_empty: bool,
    /// Where the time of the start went, in order.
    pub timeline: Vec<Step>,
    /// Whether the sandbox had been prepared before.
    #[serde(default, skip_serializing_if = "Start::is_cold")]
    pub start: Start,
    /// What was reached on the network and what was refused: at most 256 kinds of events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<EgressEvent>,
    /// Events that are not among them because there were too many kinds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub egress_omitted: u64,
    /// What it used over time; empty when it ended within 100 ms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<UsagePoint>,
}

/// How a sandbox came to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// It was made for this run when the run was asked for.
    #[default]
    Cold,
    /// It had been prepared, for nobody in particular, and was never used before.
    Warm,
}

impl Start {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
    fn is_cold(&self) -> bool {
        *self == Self::Cold
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl ExitReport {
    /// Whether the program ran and ended with exit code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.outcome == Outcome::Exited { code: 0 }
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// Why a sandbox ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The program ended by itself.
    Exited {
        /// Its exit code, 0 to 255.
        code: i32,
    },
    /// A signal ended the program, and no limit was the cause.
    Signaled {
        /// The signal's number.
        signal: i32,
    },
    /// The wall-time limit ended it.
    WallTime,
    /// The processor-time limit ended it.
    CpuTime,
    /// The kernel killed a process at the memory limit, and the rest was killed with it.
    Memory,
    /// The program failed after the process limit had refused it a fork.
    Processes,
    /// The output limit ended it.
    Output,
    /// The program failed on a full temporary file system or the file-size limit, or was ended
    /// because it had filled its writable directories.
    Disk,
    /// The system call filter killed it: a foreign architecture's call.
    Seccomp,
    /// The caller ended it.
    Cancelled,
    /// It vanished without a trace: somebody outside killed it, or the machine failed.
    Lost,
    /// The program was not started.
    SetupFailed {
        /// The step that failed.
        stage: Stage,
        /// The system's error number.
        errno: i32,
    },
}

impl fmt::Display for Outcome {
    /// A sentence without its full stop, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited { code: 0 } => f.write_str("succeeded"),
            Self::Exited { code } => write!(f, "ended with exit code {code}"),
            Self::Signaled { signal } => write!(f, "was ended by signal {}", SignalName(*signal)),
            Self::WallTime => f.write_str("was stopped at its time limit"),
            Self::CpuTime => f.write_str("was stopped at its processor time limit"),
            Self::Memory => f.write_str("was killed at its memory limit"),
            Self::Processes => f.write_str("failed after reaching its process limit"),
            Self::Output => f.write_str("was stopped at its output limit"),
            Self::Disk => f.write_str("failed after filling its disk space"),
            Self::Seccomp => f.write_str("was killed for a forbidden system call"),
            Self::Cancelled => f.write_str("was cancelled"),
            Self::Lost => f.write_str("was lost: something outside ended it"),
            Self::SetupFailed { stage, errno } => {
                let error = std::io::Error::from_raw_os_error(*errno);
                write!(f, "could not be started: {stage}: {error}")
            }
        }
    }
}

/// `SIGTERM (15)`.
struct SignalName(i32);

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match nix::sys::signal::Signal::try_from(self.0) {
            Ok(signal) => write!(f, "{} ({})", signal.as_str(), self.0),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

/// What a sandbox used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// From the request to the end of the whole process tree, in nanoseconds.
    pub wall_ns: u64,
    /// Processor time of all processes in user mode, in nanoseconds.
    pub cpu_user_ns: u64,
    /// The same in the kernel.
    pub cpu_system_ns: u64,
    /// Most memory that all processes held together; `None` where nothing counts it.
    pub memory_peak: Option<Bytes>,
    /// Largest resident set of one process.
    pub process_peak: Bytes,
    /// Bytes of stdout and stderr that were let through.
    pub output: Bytes,
    /// Temporary file system in use when the program ended.
    pub tmp: Bytes,
    /// Files and directories on it.
    pub tmp_inodes: u64,
    /// Processes the kernel killed for lack of memory.
    pub oom_kills: u64,
    /// Forks refused at the process limit.
    pub forks_refused: u64,
}

impl Usage {
    /// Processor time in user mode and in the kernel.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_user_ns + self.cpu_system_ns)
    }

    /// Time from the request to the end.
    #[must_use]
    pub fn wall(&self) -> Duration {
        Duration::from_nanos(self.wall_ns)
    }
}

/// One step of a start, and how long it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What was done.
    pub name: String,
    /// For how long, in nanoseconds.
    pub ns: u64,
}

/// Declares [`Stage`] with its texts and numbers in one place.
macro_rules! stages {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// A step on the way to a running program, named where it failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Stage {
            $($(#[$doc])* $name = $number,)*
        }

        impl Stage {
            /// The stage that travels under this number.
            pub(crate) fn from_number(number: u64) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for Stage {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $text,)* })
            }
        }
    };
}

stages! {
    /// Starting a process of the sandbox's own.
    Start = 1, "starting a helper process";
    /// Choosing or taking on the payload's user id.
    Identity = 2, "taking on the sandbox's user id";
    /// `unshare(CLONE_NEWUSER)`.
    UserNamespace = 3, "creating a user namespace";
    /// Writing `uid_map` and `gid_map`.
    IdMap = 4, "mapping user and group ids";
    /// `unshare(CLONE_NEWNS)`.
    MountNamespace = 5, "creating a mount namespace";
    /// The template's root.
    Root = 6, "building the root file system";
    /// A host tree shown read-only.
    Tree = 7, "mounting a read-only directory";
    /// `/dev`.
    Devices = 8, "making device nodes";
    /// `pivot_root(2)`.
    PivotRoot = 9, "changing the root directory";
    /// The slot's cgroups.
    Cgroup = 10, "entering a cgroup";
    /// The slot's network namespace.
    NetworkNamespace = 11, "creating a network namespace";
    /// `sethostname(2)`.
    Hostname = 12, "setting the host name";
    /// `clone3(2)` of init.
    CloneInit = 13, "creating the sandbox's namespaces";
    /// proc.
    MountProc = 14, "mounting /proc";
    /// The writable file system.
    MountJob = 15, "mounting the temporary file system";
    /// Reading what is to be run.
    Plan = 16, "reading the plan";
    /// `clone(2)` of the payload.
    ClonePayload = 17, "creating the program's process";
    /// Standard input, output and error.
    Stdio = 18, "connecting standard input and output";
    /// `setsid(2)`.
    Session = 19, "starting a session";
    /// Resource limits.
    Limits = 20, "setting resource limits";
    /// Capability sets.
    Capabilities = 21, "dropping capabilities";
    /// The program's files.
    Files = 22, "writing the program's files";
    /// `landlock_restrict_self(2)`.
    Landlock = 23, "applying Landlock rules";
    /// `seccomp(2)`.
    Seccomp = 24, "installing the system call filter";
    /// `execve(2)`.
    Exec = 25, "executing the program";
    /// `move_mount(2)` of a directory of the host.
    Directory = 26, "showing a directory of the host";
    /// devpts, and the program's terminal.
    Terminal = 27, "opening a terminal";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_keep_their_numbers() {
        assert_eq!(Stage::from_number(Stage::Exec as u64), Some(Stage::Exec));
        assert_eq!(Stage::from_number(0), None);
        assert_eq!(Stage::from_number(28), None);
    }

    #[test]
    fn outcomes_read_as_sentences() {
        let failed = Outcome::SetupFailed { stage: Stage::Exec, errno: libc::ENOENT };
        assert_eq!(
            failed.to_string(),
            "could not be started: executing the program: No such file or directory (os error 2)"
        );
        assert_eq!(
            Outcome::Signaled { signal: 15 }.to_string(),
            "was ended by signal SIGTERM (15)"
        );
    }
}
