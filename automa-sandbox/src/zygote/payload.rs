//! From clone to exec: everything a payload gives up before its program runs, in order.
//!
//! Runs in a child that shares init's memory, and allocates nothing. It confines itself before it
//! passes the gate, behind which it is told what to run: a sandbox can be prepared up to there.
//! The order matters: identity before files, so that they belong to the payload; Landlock and the
//! filter before anything that comes with the request.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    Confinement,
    network::Network,
    plan::Plan,
    protocol::{Mark, Marks},
};
use crate::{
    report::Stage,
    secret::MAX_SECRETS,
    sys::{self, Gate},
};

/// What the payload has to know, and what came of it: init reads this after the exec.
pub(super) struct Setup<'a> {
    /// The ids to take on; `None` in a user namespace, which has only one.
    pub(super) uid: Option<u32>,
    pub(super) confinement: &'a Confinement,
    /// The sandbox's network, where it has one.
    pub(super) network: Option<&'a Network>,
    pub(super) gate: &'a Gate<Task<'a>>,
    pub(super) marks: &'a Timeline,
    /// Set when a step failed and the program did not run.
    pub(super) failed: &'a Failed,
}

/// What is to be run.
pub(super) struct Task<'a> {
    pub(super) plan: &'a Plan<'a>,
    /// Descriptors to become standard input, output and error.
    pub(super) stdio: [RawFd; 3],
    /// Those of secrets, to become the next after them; all are greater than what they become.
    pub(super) secrets: SecretFds,
    /// One to become the next after standard error, which nothing but an interpreter that waits has.
    pub(super) gate: Option<RawFd>,
}

/// Descriptors of secrets, none of them lower than [`FIRST`](Self::FIRST).
#[derive(Clone, Copy, Default)]
pub(super) struct SecretFds {
    fds: [RawFd; MAX_SECRETS],
    count: usize,
}

impl SecretFds {
    /// Above all numbers that they get in the program.
    pub(super) const FIRST: RawFd = 64;

    pub(super) fn new(fds: &[Option<OwnedFd>; MAX_SECRETS]) -> Self {
        let mut new = Self::default();
        for fd in fds.iter().flatten() {
            new.fds[new.count] = fd.as_raw_fd();
            new.count += 1;
        }
        new
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, RawFd> {
        self.fds[..self.count].iter()
    }
}

/// [`Marks`] that several processes with one memory write.
#[derive(Default)]
pub(super) struct Timeline([AtomicU64; Mark::COUNT]);

impl Timeline {
    pub(super) fn pass(&self, mark: Mark) {
        self.set(mark, sys::monotonic_ns());
    }

    pub(super) fn set(&self, mark: Mark, ns: u64) {
        self.0[mark as usize].store(ns, Ordering::Relaxed);
    }

    pub(super) fn marks(&self) -> Marks {
        self.0.each_ref().map(|mark| mark.load(Ordering::Relaxed))
    }
}

/// The step that failed and its error number; read once its process has ended.
#[derive(Default)]
pub(super) struct Failed(AtomicU64);

impl Failed {
    fn set(&self, (stage, error): &(Stage, io::Error)) {
        let errno = error.raw_os_error().unwrap_or(libc::EINVAL) as u64;
        self.0.store((*stage as u64) << 32 | errno, Ordering::Release);
    }

    pub(super) fn get(&self) -> Option<(Stage, io::Error)> {
        let failed = self.0.load(Ordering::Acquire);
        let errno = failed as u32 as i32;
        Stage::from_number(failed >> 32).map(|stage| (stage, io::Error::from_raw_os_error(errno)))
    }
}

/// Becomes the program. Returns an exit code only when a step failed.
pub(super) fn run(setup: &Setup<'_>) -> i32 {
    setup.marks.pass(Mark::PayloadRuns);
    let Err(failed) = confine(setup).and_then(|()| match setup.gate.pass() {
        Some(task) => become_program(setup, task),
        None => Ok(()),
    }) else {
        return 127;
    };
    setup.failed.set(&failed);
    127
}

/// Gives up what no program may have: all that need not be known for what it will be.
fn confine(setup: &Setup<'_>) -> Result<(), (Stage, io::Error)> {
    let at = |stage| move |error| (stage, error);
    nix::unistd::setsid().map_err(|errno| (Stage::Session, errno.into()))?;
    // The kernel's first choice when memory is short, of its group or of the machine, never its
    // slot. A user namespace may not say so; its slot is smaller than most programs in any case.
    let _ = sys::write_file(OOM_SCORE, b"1000");
    if let Some(uid) = setup.uid {
        sys::drop_groups().map_err(at(Stage::Identity))?;
        sys::set_ids(uid, uid).map_err(at(Stage::Identity))?;
    }
    sys::drop_capabilities().map_err(at(Stage::Capabilities))?;
    make_directories().map_err(at(Stage::Files))?;
    let Confinement { landlock, landlock_without_tcp, .. } = setup.confinement;
    let rulesets = match setup.network {
        None => [landlock.as_ref(), None],
        Some(network) => {
            [landlock_without_tcp.as_ref().or(landlock.as_ref()), network.ruleset.as_ref()]
        }
    };
    for ruleset in rulesets.into_iter().flatten() {
        sys::landlock_restrict_self(ruleset.as_raw_fd()).map_err(at(Stage::Landlock))?;
    }
    setup.marks.pass(Mark::Landlocked);
    sys::install_filter(&setup.confinement.filter).map_err(at(Stage::Seccomp))?;
    setup.marks.pass(Mark::Filtered);
    Ok(())
}

/// How willingly the kernel ends this process when memory is short (proc(5)). Where several
/// processes share their memory, what one writes counts for all, but for one that a parent
/// suspended by `CLONE_VFORK` waits for (`__set_oom_adj` in `fs/proc/base.c`).
pub(super) const OOM_SCORE: &std::ffi::CStr = c"/proc/self/oom_score_adj";

/// Does what the request asks for, and becomes its program: never `Ok`.
fn become_program(setup: &Setup<'_>, task: &Task<'_>) -> Result<(), (Stage, io::Error)> {
    let at = |stage| move |error| (stage, error);
    setup.marks.pass(Mark::Passed);
    let Task { plan, stdio, secrets, gate } = task;
    // The descriptors may be init's as well, which needs its own.
    let all = stdio.iter().chain(secrets.iter()).chain(gate);
    let beyond = all.fold(2, |last, fd| last.max(*fd)) + 1;
    sys::unshare_descriptors(beyond as u32).map_err(at(Stage::Stdio))?;
    for (fd, target) in stdio.iter().zip(0..) {
        sys::duplicate_to(*fd, target).map_err(at(Stage::Stdio))?;
    }
    let mut next = 3;
    for fd in secrets.iter().chain(gate) {
        sys::duplicate_to(*fd, next).map_err(at(Stage::Stdio))?;
        next += 1;
    }
    sys::close_from(next as u32).map_err(at(Stage::Stdio))?;
    if plan.terminal().is_some() {
        sys::control_terminal(0).map_err(at(Stage::Terminal))?;
    }
    make_files(plan).map_err(at(Stage::Files))?;
    // After the files: the limit on file size is for the program, not for us.
    for (resource, value) in plan.limits() {
        sys::lower_limit(resource, value).map_err(at(Stage::Limits))?;
    }
    setup.marks.pass(Mark::FilesMade);
    Err((Stage::Exec, sys::execve(plan.program(), plan.argv(), plan.envp())))
}

/// Makes the files of a plan.
pub(super) fn make_files(plan: &Plan<'_>) -> io::Result<()> {
    if plan.has_secret_files() {
        sys::make_dir(SECRETS, 0o700)?;
    }
    plan.files().try_for_each(|(path, mode, data)| sys::create_file(path, mode, data))
}

/// As [`SECRET_DIR`](super::SECRET_DIR).
const SECRETS: &std::ffi::CStr = c"/automa/job/secrets";

/// Makes the directories of the writable file system.
fn make_directories() -> io::Result<()> {
    for (dir, mode) in
        [(c"/automa/job/work", 0o755), (c"/automa/job/tmp", 0o777), (c"/automa/job/shm", 0o777)]
    {
        sys::make_dir(dir, mode)?;
    }
    sys::change_dir(c"/automa/job/work")
}
