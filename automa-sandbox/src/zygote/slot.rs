//! A slot: attaches itself once to its cgroups and its own empty network namespace, then starts
//! one sandbox after the other. What is expensive happens here, before any request.

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use nix::{
    sched::{CloneFlags, unshare},
    unistd::{getppid, pipe2, sethostname},
};

use super::{
    At, Failure, Shared, init,
    protocol::{Event, Request},
};
use crate::{
    report::Stage,
    sys::{self, Forked, Stack},
};

/// The namespaces that each sandbox gets new; its network namespace is the slot's.
const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// Serves requests on `socket` until the server closes it; never returns.
pub(super) fn run(index: usize, socket: &OwnedFd, attach: Vec<OwnedFd>, shared: &Shared) -> ! {
    let liveness = match settle(attach, shared) {
        Ok(liveness) => liveness,
        Err(Failure { stage, errno, .. }) => {
            let _ = Event::Failed { stage, errno }.send(socket, None::<&OwnedFd>);
            sys::exit_now(1);
        }
    };
    let uid = shared.first_uid.map(|first| first + index as u32);
    let mut stack = Stack::new();
    if Event::Ready.send(socket, None::<&OwnedFd>).is_err() {
        sys::exit_now(1);
    }
    loop {
        if serve(socket, &liveness, &mut stack, shared, uid).is_err() {
            sys::exit_now(0);
        }
    }
}

/// A pipe whose writing end only the slot holds: when the slot has died, init's end hangs up.
pub(super) struct Liveness {
    pub(super) read: OwnedFd,
    pub(super) write: OwnedFd,
}

fn settle(attach: Vec<OwnedFd>, shared: &Shared) -> Result<Liveness, Failure> {
    sys::set_name(c"automa-slot");
    sys::default_signals();
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64).at(Stage::Start, "")?;
    if getppid().as_raw() == 1 {
        return Err(Failure::new(Stage::Start, &io::Error::from_raw_os_error(libc::ESRCH), ""));
    }
    for group in attach {
        // Costs an RCU grace period, 6 to 16 ms: the reason why slots exist.
        nix::unistd::write(&group, b"0").at(Stage::Cgroup, "")?;
    }
    let mut namespaces = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS;
    if shared.user_namespace {
        // One for each slot, so that RLIMIT_NPROC counts this slot's processes alone.
        namespaces |= CloneFlags::CLONE_NEWUSER;
    }
    unshare(namespaces).at(Stage::NetworkNamespace, "")?;
    if shared.user_namespace {
        map_ids(super::template::INSIDE_ID, super::template::INSIDE_ID)
            .at(Stage::IdMap, "in the slot")?;
    }
    sethostname(&shared.hostname).at(Stage::Hostname, "")?;
    sys::prctl(libc::PR_SET_DUMPABLE, 0).at(Stage::Start, "")?;
    let (read, write) = pipe2(nix::fcntl::OFlag::O_CLOEXEC).at(Stage::Start, "")?;
    Ok(Liveness { read, write })
}

/// Maps one user and one group id into the user namespace that this process has just entered.
pub(super) fn map_ids(inside: u32, outside: u32) -> io::Result<()> {
    map_ids_of(inside, outside, outside)
}

/// The same where user and group id differ outside.
pub(super) fn map_ids_of(inside: u32, uid: u32, gid: u32) -> io::Result<()> {
    // user_namespaces(7): without privilege a group map needs setgroups switched off first.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{inside} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{inside} {gid} 1"))
}

/// Serves one request from start to "everything is gone". Fails when the server is gone.
fn serve(
    socket: &OwnedFd,
    liveness: &Liveness,
    stack: &mut Stack,
    shared: &Shared,
    uid: Option<u32>,
) -> io::Result<()> {
    let mut buffer = [0u8; Request::SIZE];
    let (len, mut fds) = match sys::receive(socket.as_fd(), &mut buffer, 0) {
        Err(error) if error.raw_os_error() == Some(libc::EINTR) => return Ok(()),
        other => other?,
    };
    let received = sys::monotonic_ns();
    if len == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let request = Request::decode(&buffer[..len]).filter(|_| fds.len() >= Request::MIN_FDS);
    let (Some(request), Some(plan)) = (request, fds.take(0)) else {
        return Event::Failed { stage: Stage::Plan, errno: libc::EPROTO }
            .send(socket, None::<&OwnedFd>);
    };
    let stdio = [fds.take(1), fds.take(2), fds.take(3)];
    let cgroup = fds.take(4);
    let flags = (NAMESPACES | libc::CLONE_PIDFD) as u64;
    match sys::fork(flags, cgroup.as_ref().map(AsFd::as_fd)) {
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
            Event::Failed { stage: Stage::CloneInit, errno }.send(socket, None::<&OwnedFd>)
        }
        Ok(Forked::Child) => {
            let stdio = stdio.map(|fd| fd.map_or(-1, |fd| std::os::fd::IntoRawFd::into_raw_fd(fd)));
            init::run(init::Start {
                socket,
                liveness,
                plan: &plan,
                plan_len: request.plan_len,
                stack,
                shared,
                setup: super::payload::Setup::new(stdio, uid, shared, received),
            })
        }
        Ok(Forked::Parent(pid, pidfd)) => {
            drop((plan, stdio, cgroup));
            Event::Started { pid: pid as u32 }.send(socket, pidfd.as_ref())?;
            drop(pidfd);
            let ended = wait_for(pid)?;
            Event::Gone { status: ended.status, used: ended.used }.send(socket, None::<&OwnedFd>)
        }
    }
}

/// Waits for init. When it is reaped its pid namespace is empty: the kernel kills and reaps all
/// others first (`pid_namespaces(7)`, the init process).
fn wait_for(pid: libc::pid_t) -> io::Result<sys::Ended> {
    loop {
        match sys::wait(pid) {
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            other => return other,
        }
    }
}

/// Whether the slot that made `liveness` has died; asked by init, which closes its writing end.
pub(super) fn slot_died(liveness: &Liveness) -> bool {
    sys::close(liveness.write.as_raw_fd());
    let mut poll = [nix::poll::PollFd::new(liveness.read.as_fd(), nix::poll::PollFlags::empty())];
    nix::poll::poll(&mut poll, nix::poll::PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
