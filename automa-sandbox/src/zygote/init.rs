//! Init: pid 1 of one sandbox. Mounts what is the sandbox's own, starts the payload, takes the
//! request, reaps orphans, and reports how the payload ended. Its own end takes every other process along.
//!
//! Shares its slot's memory, but not its descriptors, and allocates nothing.

use std::{
    cell::OnceCell,
    ffi::{CStr, c_int, c_void},
    io,
    os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd},
    sync::atomic::{AtomicI32, Ordering},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    poll::{PollFd, PollFlags, PollTimeout},
    sys::{
        socket::{AddressFamily, SockFlag, SockType, socketpair},
        stat::Mode,
    },
    unistd::{Gid, Uid, chown, pipe2},
};

use super::{
    Confinement, INSIDE_ID,
    network::{self, Network},
    payload::{self, SecretFds, Task, Timeline},
    plan::Plan,
    protocol::{Event, Exited, Mark, Order, Request},
    terminal,
};
use crate::{
    report::Stage,
    secret::MAX_SECRETS,
    sys::{self, Ended, Gate, Mapping, Received, SignalInfo, Stack},
};

/// [`super::JOB_DIR`] as the kernel wants it.
pub(super) const JOB: &CStr = c"/automa/job";
/// [`super::DATA_DIR`] likewise.
const DATA: &CStr = c"/automa/job/data";
/// [`super::OUT_DIR`] likewise.
const OUT: &CStr = c"/automa/job/out";

/// Exit status of an init whose own clock ended the run.
pub(crate) const OVERDUE: i32 = 124;

/// Signals that are passed on to the payload.
pub(crate) const FORWARDED: [libc::c_int; 5] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2];

/// The signal that says that there is an [`Order::Connect`] to be read.
pub(crate) const KNOCK: libc::c_int = libc::SIGURG;

/// Signals that may come as soon as init exists.
pub(super) const HANDLED: [libc::c_int; FORWARDED.len() + 1] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2, KNOCK];

/// Process id of the payload as seen here, 0 before it exists; read by signal handlers.
static PAYLOAD: AtomicI32 = AtomicI32::new(0);

/// A signal that came before the payload's process id was known: init is stopped until the payload
/// has exec'd, which may then be faster than init in telling its caller that it runs.
static EARLY: AtomicI32 = AtomicI32::new(0);

/// The socket to the server, read by the signal handler.
static SOCKET: AtomicI32 = AtomicI32::new(-1);

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
    pub(super) memory: &'a mut Mapping,
    pub(super) stack: &'a mut Stack,
    pub(super) confinement: &'a Confinement,
    /// Options for the terminals of the sandbox, if it may have some.
    pub(super) terminals: Option<&'a CStr>,
    /// The payload's ids; `None` in a user namespace, which has only one.
    pub(super) uid: Option<u32>,
    /// The sandbox's network, where it has one.
    pub(super) network: Option<&'a Network>,
    /// Length of a plan for the time before the request; 0 when that follows at once.
    pub(super) prepared_len: u64,
    /// The plan's program is started before the request.
    pub(super) starts: bool,
    /// When the slot got its order.
    pub(super) ordered: u64,
}

/// Runs the sandbox; never returns.
pub(super) fn run(start: &mut Start<'_>) -> ! {
    let marks = Timeline::default();
    marks.set(Mark::Ordered, start.ordered);
    marks.pass(Mark::InitRuns);
    let socket = start.socket;
    match supervise(start, &marks) {
        Ok(ended) => {
            marks.pass(Mark::Ended);
            let exited = Exited { ended, disk: sys::filled(JOB), marks: marks.marks() };
            // When nobody listens any more there is nobody left to be told.
            let _ = Event::Exited(exited).send(socket, None::<&OwnedFd>);
            sys::exit_now(0)
        }
        Err((stage, error)) => {
            let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
            let _ = Event::Failed { stage, errno }.send(socket, None::<&OwnedFd>);
            sys::exit_now(1)
        }
    }
}

type Step<T> = Result<T, (Stage, io::Error)>;

fn at(stage: Stage) -> impl Fn(io::Error) -> (Stage, io::Error) {
    move |error| (stage, error)
}

fn supervise(start: &mut Start<'_>, marks: &Timeline) -> Step<Ended> {
    // Both are left from the slot's last sandbox, whose memory this is too.
    PAYLOAD.store(0, Ordering::Relaxed);
    EARLY.store(0, Ordering::Relaxed);
    SOCKET.store(start.socket.as_raw_fd(), Ordering::Relaxed);
    sys::set_name(c"automa-init");
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64).map_err(at(Stage::Start))?;
    if start.liveness.slot_died() {
        sys::exit_now(1);
    }
    for signal in FORWARDED {
        sys::handle_signal(signal, forward);
    }
    sys::handle_signal(KNOCK, connect);
    sys::block_only(&[]);
    start.confinement.proc.mount().map_err(at(Stage::MountProc))?;
    if let Some(options) = start.terminals {
        terminal::mount(options).map_err(at(Stage::Terminal))?;
    }
    if start.network.is_some() {
        network::show_files().map_err(at(Stage::Tree))?;
    }
    marks.pass(Mark::ProcMounted);
    sys::handle_signal(libc::SIGALRM, overdue);

    let (plan, gate, failed) = (OnceCell::new(), Gate::new(), payload::Failed::default());
    let setup = payload::Setup {
        uid: start.uid,
        confinement: start.confinement,
        network: start.network,
        gate: &gate,
        marks,
        failed: &failed,
    };
    let pid = match (start.prepared_len, start.starts) {
        (0, _) => start_at_once(start, &plan, &setup)?,
        (_, false) => start_prepared(start, &plan, &setup)?,
        (_, true) => start_interpreter(start, marks, &failed)?,
    };
    if let Some(plan) = plan.get() {
        plan.forget();
    }
    PAYLOAD.store(pid, Ordering::SeqCst);
    let early = EARLY.swap(0, Ordering::SeqCst);
    if early != 0 {
        sys::kill(-pid, early);
    }
    let ended = reap_until(pid)?;
    failed.get().map_or(Ok(ended), Err)
}

/// Flags of everything that a sandbox mounts.
const MOUNT_FLAGS: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV;

/// Reads the request, which is there already, and starts the payload, which finds its gate open.
fn start_at_once<'a>(
    start: &'a mut Start<'_>,
    plan: &'a OnceCell<Plan<'a>>,
    setup: &payload::Setup<'a>,
) -> Step<libc::pid_t> {
    let (request, stdio, mounts) = receive(start.socket)?;
    setup.marks.pass(Mark::Requested);
    let plan = read(plan, start.memory, request.plan_len)?;
    sys::mount_new(c"tmpfs", JOB, MOUNT_FLAGS, plan.tmpfs_options())
        .map_err(at(Stage::MountJob))?;
    furnish(plan, mounts, start.socket, start.uid)?;
    setup.marks.pass(Mark::JobMounted);
    sys::alarm(plan.alarm());
    let stdio = at_terminal(start.socket, plan, stdio)?;
    let secrets = secret_files(plan)?;
    setup.gate.open(task(plan, &stdio, &secrets));
    // When this returns, the payload has exec'd, and our copies of its descriptors go.
    sys::spawn_sharing(start.stack, payload::run, setup).map_err(at(Stage::ClonePayload))
}

/// Starts the payload, which waits at its gate until the request is here.
fn start_prepared<'a>(
    start: &'a mut Start<'_>,
    plan: &'a OnceCell<Plan<'a>>,
    setup: &payload::Setup<'a>,
) -> Step<libc::pid_t> {
    let guess = Plan::read(start.memory, start.prepared_len).map_err(at(Stage::Plan))?;
    sys::mount_new(c"tmpfs", JOB, MOUNT_FLAGS, guess.tmpfs_options())
        .map_err(at(Stage::MountJob))?;
    setup.marks.pass(Mark::JobMounted);
    let mut buffer = [0; 8];
    let score = sys::read_file(payload::OOM_SCORE, &mut buffer).unwrap_or(b"0");

    let Start { socket, memory, stack, .. } = start;
    let (memory, gate, marks): (&'a mut Mapping, _, _) = (memory, setup.gate, setup.marks);
    let main = (payload::run as fn(&payload::Setup<'a>) -> i32, setup);
    let started = sys::spawn_waiting(stack, main, gate, move |_| {
        if !gate.is_reached() {
            // It has failed, and `setup` says why.
            return Ok(None);
        }
        Event::Prepared.send(socket, None::<&OwnedFd>).map_err(at(Stage::Start))?;
        let (request, stdio, mounts) = receive(socket)?;
        marks.pass(Mark::Requested);
        let plan = read(plan, memory, request.plan_len)?;
        resize(plan)?;
        furnish(plan, mounts, socket, setup.uid)?;
        sys::alarm(plan.alarm());
        let stdio = at_terminal(socket, plan, stdio)?;
        let secrets = secret_files(plan)?;
        gate.open(task(plan, &stdio, &secrets));
        // Ours, which the payload uses, have to stay until its exec.
        Ok(Some((stdio, secrets)))
    });
    let (pid, armed) = started.map_err(at(Stage::ClonePayload))?;
    armed?;
    // What the payload said of itself counted for us and the slot too, see `OOM_SCORE`.
    let _ = sys::write_file(payload::OOM_SCORE, score);
    Ok(pid)
}

/// Starts an interpreter, which waits for its script when it is ready, and has it go on with the
/// request.
fn start_interpreter(
    start: &mut Start<'_>,
    marks: &Timeline,
    failed: &payload::Failed,
) -> Step<libc::pid_t> {
    // Not close-on-exec: the payload closes what its program must not have.
    let (ours, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::empty())
            .map_err(|errno| (Stage::Stdio, errno.into()))?;
    let pid = exec_interpreter(start, &theirs, marks, failed)?;
    drop(theirs);
    let (len, _) = sys::receive(ours.as_fd(), &mut [0; 16], 0).map_err(at(Stage::Exec))?;
    if len == 0 {
        // It ended without a word: as a step failed, or as it is none that waits.
        let none = || (Stage::Exec, io::Error::from_raw_os_error(libc::EPIPE));
        return Err(failed.get().unwrap_or_else(none));
    }
    Event::Prepared.send(start.socket, None::<&OwnedFd>).map_err(at(Stage::Start))?;
    let (request, stdio, mounts) = receive(start.socket)?;
    marks.pass(Mark::Requested);
    let plan = Plan::read(start.memory, request.plan_len).map_err(at(Stage::Plan))?;
    resize(&plan)?;
    furnish(&plan, mounts, start.socket, start.uid)?;
    sys::alarm(plan.alarm());
    sys::set_file_ids(start.uid.unwrap_or(INSIDE_ID));
    payload::make_files(&plan).map_err(at(Stage::Files))?;
    sys::set_file_ids(if start.uid.is_some() { 0 } else { INSIDE_ID });
    marks.pass(Mark::FilesMade);
    let secrets = secret_files(&plan)?;
    let mut fds = [0; Request::STDIO + MAX_SECRETS];
    let mut count = 0;
    for (place, fd) in fds.iter_mut().zip(stdio.iter().chain(secrets.iter().flatten())) {
        *place = fd.as_raw_fd();
        count += 1;
    }
    sys::send(ours.as_fd(), plan.message(), &fds[..count], 0).map_err(at(Stage::Exec))?;
    plan.forget();
    Ok(pid)
}

/// Becomes the interpreter of the plan that was sent ahead, without input or output.
fn exec_interpreter(
    start: &mut Start<'_>,
    theirs: &OwnedFd,
    marks: &Timeline,
    failed: &payload::Failed,
) -> Step<libc::pid_t> {
    let plan = Plan::read(start.memory, start.prepared_len).map_err(at(Stage::Plan))?;
    sys::mount_new(c"tmpfs", JOB, MOUNT_FLAGS, plan.tmpfs_options())
        .map_err(at(Stage::MountJob))?;
    marks.pass(Mark::JobMounted);
    let gate = Gate::new();
    // The zygote's standard input is /dev/null, open for reading and writing.
    let secrets = SecretFds::default();
    gate.open(Task { plan: &plan, stdio: [0; 3], secrets, gate: Some(theirs.as_raw_fd()) });
    let setup = payload::Setup {
        uid: start.uid,
        network: start.network,
        confinement: start.confinement,
        gate: &gate,
        marks,
        failed,
    };
    sys::spawn_sharing(start.stack, payload::run, &setup).map_err(at(Stage::ClonePayload))
}

/// Gives the tmpfs the run's size, where it is not what was guessed.
fn resize(plan: &Plan<'_>) -> Step<()> {
    if plan.has_tmpfs_options() {
        sys::remount(JOB, MOUNT_FLAGS, plan.tmpfs_options()).map_err(at(Stage::MountJob))?;
    }
    Ok(())
}

/// Makes the directory for files that the caller is to have, and attaches the host's directories.
/// Nothing runs yet that could be in the way.
fn furnish(plan: &Plan<'_>, mut mounts: Received, socket: &OwnedFd, uid: Option<u32>) -> Step<()> {
    if plan.collects() {
        let out = make_out(uid).map_err(at(Stage::Files))?;
        Event::Collects.send(socket, Some(&out)).map_err(at(Stage::Files))?;
    }
    for (target, index) in plan.directories().zip(Request::STDIO..) {
        if index == Request::STDIO {
            sys::make_dir(DATA, 0o755).map_err(at(Stage::Directory))?;
        }
        let mount = mounts.take(index).ok_or_else(|| at(Stage::Directory)(protocol_error()))?;
        sys::make_dir(target, 0o755).map_err(at(Stage::Directory))?;
        sys::attach_tree(mount.as_fd(), target).map_err(at(Stage::Directory))?;
    }
    Ok(())
}

/// Makes the directory, for the payload to write to, and opens it.
fn make_out(uid: Option<u32>) -> io::Result<OwnedFd> {
    sys::make_dir(OUT, 0o755)?;
    let owner = uid.map(Uid::from_raw);
    chown(OUT, owner, owner.map(|owner| Gid::from_raw(owner.as_raw())))?;
    Ok(open(OUT, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
}

fn protocol_error() -> io::Error {
    io::Error::from_raw_os_error(libc::EPROTO)
}

/// Waits for the request.
fn receive(socket: &OwnedFd) -> Step<(Request, [OwnedFd; Request::STDIO], Received)> {
    let mut buffer = [0; Order::SIZE];
    loop {
        match sys::receive(socket.as_fd(), &mut buffer, 0) {
            // A signal, which is remembered.
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            Err(error) => return Err((Stage::Plan, error)),
            // The server is gone.
            Ok((0, _)) => sys::exit_now(1),
            Ok((len, mut fds)) => {
                return match (Order::decode(&buffer[..len]), [0, 1, 2].map(|at| fds.take(at))) {
                    (Some(Order::Request(request)), [Some(stdin), Some(stdout), Some(stderr)]) => {
                        Ok((request, [stdin, stdout, stderr], fds))
                    }
                    _ => Err((Stage::Plan, protocol_error())),
                };
            }
        }
    }
}

/// Gives the program a terminal in the place of what the server sent, if the plan says so; its outer
/// side goes to the server.
fn at_terminal(socket: &OwnedFd, plan: &Plan<'_>, stdio: [OwnedFd; 3]) -> Step<[OwnedFd; 3]> {
    let Some(size) = plan.terminal() else { return Ok(stdio) };
    let opened = || {
        let (outside, inside) = terminal::open(size)?;
        Event::Terminal.send(socket, Some(&outside))?;
        // Open to our end: a program that has closed its terminal may open it again, and until then
        // nobody is to believe that it is over.
        let inside = inside.into_raw_fd();
        Ok([sys::duplicate(inside)?, sys::duplicate(inside)?, sys::duplicate(inside)?])
    };
    opened().map_err(at(Stage::Terminal))
}

/// Reads the plan of the request, and keeps it as long as the payload may need it.
fn read<'a>(plan: &'a OnceCell<Plan<'a>>, memory: &'a mut Mapping, len: u64) -> Step<&'a Plan<'a>> {
    let read = Plan::read(memory, len).map_err(at(Stage::Plan))?;
    Ok(plan.get_or_init(|| read))
}

fn task<'a>(plan: &'a Plan<'a>, stdio: &[OwnedFd; 3], secrets: &SecretFiles) -> Task<'a> {
    let stdio = stdio.each_ref().map(AsRawFd::as_raw_fd);
    Task { plan, stdio, secrets: SecretFds::new(secrets), gate: None }
}

/// Files of secrets that are given as descriptors.
type SecretFiles = [Option<OwnedFd>; MAX_SECRETS];

fn secret_files(plan: &Plan<'_>) -> Step<SecretFiles> {
    let mut files = [const { None }; MAX_SECRETS];
    for (place, data) in files.iter_mut().zip(plan.descriptors()) {
        *place = Some(sys::sealed_file(data, SecretFds::FIRST).map_err(at(Stage::Files))?);
    }
    Ok(files)
}

/// Waits for the payload and, on the way, for every orphan that was handed to pid 1.
fn reap_until(payload: libc::pid_t) -> Step<Ended> {
    loop {
        match sys::wait(-1) {
            Ok(ended) if ended.pid == payload => return Ok(ended),
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            Err(error) => return Err((Stage::ClonePayload, error)),
        }
    }
}

/// Passes a signal from outside on to the payload's process group. The program itself may signal its
/// init, where both have one user and Landlock does not forbid it: that changes nothing.
extern "C" fn forward(signal: c_int, info: &SignalInfo, _: *mut c_void) {
    if !info.is_from_outside() {
        return;
    }
    match PAYLOAD.load(Ordering::SeqCst) {
        0 => EARLY.store(signal, Ordering::SeqCst),
        pid => sys::kill(-pid, signal),
    }
}

/// Makes the connections that the server asks for. They are asked for once there is somebody who may
/// want one, and so never before the request.
extern "C" fn connect(_: c_int, info: &SignalInfo, _: *mut c_void) {
    if !info.is_from_outside() {
        return;
    }
    // Of the call that was interrupted.
    let errno = Errno::last_raw();
    let socket = sys::descriptor(SOCKET.load(Ordering::Relaxed));
    let mut buffer = [0; Order::SIZE];
    while let Ok((len @ 1.., _)) = sys::receive(socket, &mut buffer, libc::MSG_DONTWAIT) {
        let Some(Order::Connect(order)) = Order::decode(&buffer[..len]) else { continue };
        let connected = network::connect(order);
        let errno = connected.as_ref().err().map_or(0, |errno| *errno as i32);
        let _ = Event::Connected { errno }.send(&socket, connected.ok().as_ref());
    }
    Errno::set_raw(errno);
}

/// Ends the run when the server, which normally does, is stuck.
extern "C" fn overdue(_: c_int, info: &SignalInfo, _: *mut c_void) {
    if info.is_from_outside() {
        sys::exit_now(OVERDUE)
    }
}
