//! Init: pid 1 of one sandbox. Mounts what is the sandbox's own, starts the payload, reaps
//! orphans, and reports how the payload ended. Its own end takes every other process along.
//!
//! Shares its slot's memory, but not its descriptors, and allocates nothing.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::atomic::{AtomicI32, Ordering},
};

use nix::{
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout},
    unistd::pipe2,
};

use super::{
    payload,
    protocol::{Event, Exited, Mark},
};
use crate::{
    report::Stage,
    sys::{self, Ended, Stack},
};

/// [`super::JOB_DIR`] as the kernel wants it.
pub(super) const JOB: &CStr = c"/automa/job";

/// Exit status of an init whose own clock ended the run.
pub(crate) const OVERDUE: i32 = 124;

/// Process id of the payload as seen here, 0 before it exists; read by signal handlers.
static PAYLOAD: AtomicI32 = AtomicI32::new(0);

/// A signal that came before the payload's process id was known: init is stopped until the payload
/// has exec'd, which may then be faster than init in telling its caller that it runs.
static EARLY: AtomicI32 = AtomicI32::new(0);

/// A pipe whose writing end only the slot holds: when the slot has died, init's end hangs up.
pub(super) struct Liveness {
    read: OwnedFd,
    write: OwnedFd,
}

impl Liveness {
    pub(super) fn new() -> io::Result<Self> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        Ok(Self { read, write })
    }

    /// Whether the slot has died; asked by init, which closes its copy of the writing end.
    fn slot_died(&self) -> bool {
        sys::close(self.write.as_raw_fd());
        let mut poll = [PollFd::new(self.read.as_fd(), PollFlags::empty())];
        nix::poll::poll(&mut poll, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

/// What the slot hands over. All of it is the slot's, as a killed init frees nothing.
pub(super) struct Start<'a> {
    pub(super) socket: &'a OwnedFd,
    pub(super) liveness: &'a Liveness,
    pub(super) stack: &'a mut Stack,
    pub(super) setup: payload::Setup<'a>,
}

/// Runs the sandbox; never returns.
pub(super) fn run(start: &mut Start<'_>) -> ! {
    start.setup.mark(Mark::InitRuns);
    match supervise(start) {
        Ok(ended) => {
            start.setup.mark(Mark::Ended);
            let exited = Exited { ended, disk: sys::filled(JOB), marks: start.setup.marks };
            // When nobody listens any more there is nobody left to be told.
            let _ = Event::Exited(exited).send(start.socket, None::<&OwnedFd>);
            sys::exit_now(0)
        }
        Err((stage, error)) => {
            let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
            let _ = Event::Failed { stage, errno }.send(start.socket, None::<&OwnedFd>);
            sys::exit_now(1)
        }
    }
}

fn supervise(start: &mut Start<'_>) -> Result<Ended, (Stage, io::Error)> {
    let at = |stage| move |error| (stage, error);
    // Both are left from the slot's last sandbox, whose memory this is too.
    PAYLOAD.store(0, Ordering::Relaxed);
    EARLY.store(0, Ordering::Relaxed);
    sys::set_name(c"automa-init");
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64).map_err(at(Stage::Start))?;
    if start.liveness.slot_died() {
        sys::exit_now(1);
    }
    let flags = libc::MS_NOSUID | libc::MS_NODEV;
    let proc_options = start.setup.shared.proc_options.as_ptr();
    sys::mount_new(c"proc", c"/proc", flags | libc::MS_NOEXEC, proc_options)
        .map_err(at(Stage::MountProc))?;
    start.setup.mark(Mark::ProcMounted);
    let options = start.setup.plan.tmpfs_options();
    sys::mount_new(c"tmpfs", JOB, flags, options).map_err(at(Stage::MountJob))?;
    start.setup.mark(Mark::JobMounted);

    sys::handle_signal(libc::SIGTERM, forward);
    sys::handle_signal(libc::SIGINT, forward);
    sys::handle_signal(libc::SIGALRM, overdue);
    sys::alarm(start.setup.plan.alarm());
    // The payload writes to `setup` in our own memory: why it failed, and when it did what.
    let pid = {
        let setup = &mut start.setup;
        sys::spawn_sharing(start.stack, payload::run, setup).map_err(at(Stage::ClonePayload))?
    };
    PAYLOAD.store(pid, Ordering::SeqCst);
    let early = EARLY.swap(0, Ordering::SeqCst);
    if early != 0 {
        forward(early);
    }
    start.setup.close_stdio();
    let ended = reap_until(pid)?;
    match start.setup.failed.take() {
        Some(failed) => Err(failed),
        None => Ok(ended),
    }
}

/// Waits for the payload and, on the way, for every orphan that was handed to pid 1.
fn reap_until(payload: libc::pid_t) -> Result<Ended, (Stage, io::Error)> {
    loop {
        match sys::wait(-1) {
            Ok(ended) if ended.pid == payload => return Ok(ended),
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            Err(error) => return Err((Stage::ClonePayload, error)),
        }
    }
}

/// Passes a signal from outside on to the payload's process group.
extern "C" fn forward(signal: libc::c_int) {
    match PAYLOAD.load(Ordering::SeqCst) {
        0 => EARLY.store(signal, Ordering::SeqCst),
        pid => sys::kill(-pid, signal),
    }
}

/// Ends the run when the server, which normally does, is stuck.
extern "C" fn overdue(_signal: libc::c_int) {
    sys::exit_now(OVERDUE)
}
