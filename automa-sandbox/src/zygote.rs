//! The other side: a small single-threaded process that builds the root file system all sandboxes
//! share, lives in it, and forks the slots that start sandboxes.
//!
//! It is the same program as the server, entered again through [`crate::reexec_guard`]. Why not
//! fork in the server: forking a large process costs tens of milliseconds, a multithreaded process
//! may do almost nothing after a fork, and the server's secrets would be copied into every child.
//!
//! ```text
//! server ── zygote ── slot 0 ── init (pid 1) ── payload
//!                  └─ slot 1 ── …
//! ```
//!
//! When the server goes, the zygote reads end-of-file and ends; each process below is killed by its
//! parent's death (`PR_SET_PDEATHSIG`), and an init takes its whole pid namespace with it.

pub(crate) mod identity;
mod init;
mod network;
mod payload;
pub(crate) mod plan;
mod proc;
pub(crate) mod protocol;
mod slot;
mod template;
mod terminal;

pub(crate) use self::{
    identity::INSIDE_ID,
    init::{FORWARDED, KNOCK, OVERDUE},
};

use std::{
    ffi::CStr,
    fs, io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use nix::{
    sys::{
        socket::{SockType, getsockopt, sockopt},
        stat::{Mode, umask},
    },
    unistd::{Pid, getppid, setsid},
};

use self::{
    proc::Proc,
    protocol::{Built, NewSlot, Template},
};
use crate::{
    policy::Profile,
    report::Stage,
    seccomp::Instruction,
    sys::{self, Forked},
};

/// The hidden argument that makes a program a zygote.
pub(crate) const ARGUMENT: &str = "sandbox-zygote";

/// Where the writable file system of every sandbox is mounted. A Landlock rule on a mount point is
/// not applied to what is mounted there later, one on its parent is: hence the two levels.
pub(crate) const WRITABLE_PARENT: &str = "/automa";
/// The writable file system itself; home of the payload.
pub(crate) const JOB_DIR: &str = "/automa/job";
/// Where the template keeps what init mounts over other things. Each sandbox's writable file system
/// covers it, so that no payload sees it there.
pub(crate) const PARTS: &str = "/automa/job/parts";
/// Working directory of the payload, where its files are.
pub(crate) const WORK_DIR: &str = "/automa/job/work";
/// Where directories of the host are shown.
pub(crate) const DATA_DIR: &str = "/automa/job/data";
/// Where secrets are that are given as files.
pub(crate) const SECRET_DIR: &str = "/automa/job/secrets";
/// Where the payload leaves files for its caller.
pub(crate) const OUT_DIR: &str = "/automa/job/out";

/// A step that failed, for the report.
#[derive(Debug)]
pub(crate) struct Failure {
    stage: Stage,
    pub(crate) errno: i32,
    /// Path or other context; only the zygote, which may allocate, fills this in.
    detail: String,
}

impl Failure {
    fn new(stage: Stage, error: &io::Error, detail: impl Into<String>) -> Self {
        let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
        Self { stage, errno, detail: detail.into() }
    }
}

/// Names the step in which an error happened.
trait At<T> {
    fn at(self, stage: Stage, detail: impl ToString) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, stage: Stage, detail: impl ToString) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(stage, &error.into(), detail.to_string()))
    }
}

/// What the zygote made once and every sandbox uses.
pub(crate) struct Shared {
    /// Ids of the payload by slot; `None` in a user namespace, where there is only one.
    first_uid: Option<u32>,
    /// Whether each slot has a user namespace of its own below the zygote's.
    user_namespace: bool,
    landlock_abi: i32,
    confinements: [Confinement; Profile::ALL.len()],
    hostname: String,
}

impl Shared {
    /// What confines payloads of a profile.
    fn confinement(&self, profile: Profile) -> &Confinement {
        &self.confinements[profile.index()]
    }
}

/// What confines the payloads of one profile.
pub(crate) struct Confinement {
    landlock: Option<OwnedFd>,
    /// The same without rules for TCP, for a sandbox with an allow-list; `None` where the other has
    /// none either.
    landlock_without_tcp: Option<OwnedFd>,
    filter: Vec<Instruction>,
    proc: Proc,
}

/// Runs the zygote on its inherited socket; never returns.
pub(crate) fn main() -> ! {
    run_helper(ARGUMENT, c"automa-zygote", serve)
}

/// Runs a helper process on its inherited socket; never returns.
pub(crate) fn run_helper(argument: &str, name: &CStr, serve: fn(OwnedFd) -> io::Result<()>) -> ! {
    if let Err(problem) = check_parent() {
        // The only place where this side speaks to a person: somebody ran the hidden command.
        eprintln!("automa {argument}: {problem}; this command is for Automa's own use");
        sys::exit_now(125);
    }
    let result = settle(name).and_then(serve);
    sys::exit_now(i32::from(result.is_err()))
}

/// Makes sure that standard input is a packet socket made by our parent.
fn check_parent() -> Result<(), &'static str> {
    let stdin = io::stdin();
    let kind = getsockopt(&stdin, sockopt::SockType).map_err(|_| "standard input is no socket")?;
    let peer = getsockopt(&stdin, sockopt::PeerCredentials).map_err(|_| "no peer")?;
    if kind != SockType::SeqPacket || Pid::from_raw(peer.pid()) != getppid() {
        return Err("not started by a sandbox engine");
    }
    Ok(())
}

fn serve(socket: OwnedFd) -> io::Result<()> {
    let Some((template, _)) = protocol::receive_json::<Template>(&socket)? else { return Ok(()) };
    let shared = match template::build(&template) {
        Ok((shared, facts)) => {
            protocol::send_json(&socket, &Built::Ready(facts), &[])?;
            shared
        }
        Err(Failure { stage, errno, detail }) => {
            return protocol::send_json(&socket, &Built::Failed { stage, errno, detail }, &[]);
        }
    };
    while let Some((NewSlot { index }, mut fds)) = protocol::receive_json(&socket)? {
        let (Some(slot_socket), Some(plans)) = (fds.take(0), fds.take(1)) else { continue };
        let attach: Vec<OwnedFd> = (2..fds.len()).filter_map(|index| fds.take(index)).collect();
        // On failure the slot's socket closes, which is how the server learns of it.
        if let Ok(Forked::Child) = sys::fork() {
            drop(socket);
            slot::run(index, &slot_socket, &plans, attach, &shared);
        }
    }
    end_slots();
    Ok(())
}

/// Ends all slots, which are in our process group, and waits for them, so that none is left to a
/// foreign parent as a zombie. Their sandboxes die with them.
fn end_slots() {
    sys::kill(0, libc::SIGTERM);
    // Without a handler for SIGCHLD this waits until no child is left (wait(2), notes).
    while sys::wait(-1).is_ok() {}
}

/// Gives this process a clean start whatever the embedding program was: no inherited descriptors,
/// default signals, one thread. Returns the socket, moved away from standard input.
fn settle(name: &CStr) -> io::Result<OwnedFd> {
    sys::set_name(name);
    sys::default_signals();
    sys::ignore(libc::SIGCHLD);
    // A session of its own: Ctrl-C in the server's terminal is the server's business. What we send
    // to our own group is for the slots.
    setsid()?;
    sys::ignore(libc::SIGTERM);
    umask(Mode::from_bits_truncate(0o022));
    match sys::close_from(3) {
        // Where the call is missing no sandbox is built, and the server is told why.
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {}
        closed => closed?,
    }
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for standard in [0, 1] {
        sys::duplicate_to(null.as_raw_fd(), standard)?;
    }
    let threads = fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        return Err(io::Error::other("the zygote must be single-threaded"));
    }
    Ok(socket)
}
