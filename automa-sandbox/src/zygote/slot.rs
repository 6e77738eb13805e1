//! A slot: attaches itself once to its cgroups and its own empty network namespace, then starts
//! one sandbox after the other. What is expensive happens here, before any request.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

use nix::{
    sched::{CloneFlags, unshare},
    unistd::{getppid, sethostname},
};

use super::{
    At, Failure, Shared,
    identity::{self, INSIDE_ID},
    init::{self, Liveness},
    network::{Network, Networks},
    plan::CAPACITY,
    protocol::{Event, Order, Prepare},
    terminal,
};
use crate::{
    class::Class,
    report::Stage,
    sys::{self, Mapping, Stack},
};

/// The namespaces that are made at each start. The others are the slot's: the network, in which
/// nothing can be left or which is a new one, and the host name, which no payload can change, for all its sandboxes; IPC
/// for the next one only, see [`renew_ipc`].
const NAMESPACES: i32 = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWCGROUP;

/// Serves orders on `socket` until the server closes it; never returns.
pub(super) fn run(
    index: usize,
    socket: &OwnedFd,
    plans: &OwnedFd,
    attach: Vec<OwnedFd>,
    shared: &Shared,
) -> ! {
    let mapped = Mapping::new(plans, CAPACITY).at(Stage::Plan, "");
    let settled = mapped.and_then(|map| {
        let (liveness, networks) = settle(attach, shared)?;
        let process = sys::pidfd_open(std::process::id()).at(Stage::Start, "")?;
        Ok((map, liveness, networks, process))
    });
    let (mut memory, liveness, networks, process) = match settled {
        Ok(settled) => settled,
        Err(Failure { stage, errno, .. }) => {
            let _ = Event::Failed { stage, errno }.send(socket, None::<&OwnedFd>);
            sys::exit_now(1);
        }
    };
    let uid = shared.first_uid.map(|first| first + index as u32);
    let mut stacks = Stacks { init: Stack::new(), payload: Stack::new() };
    let terminals = terminal::options(uid.unwrap_or(INSIDE_ID));
    let mut slot = Slot { socket, liveness, networks, shared, uid, terminals };
    let mut process = Some(process);
    loop {
        // Also when a run is over and everything of it, mounts included, is gone.
        let ready = Event::Ready.send(socket, process.take().as_ref());
        // Who waited for the slot waits no more: here is time for what the next one may need.
        let ready = ready.and_then(|()| Ok(slot.networks.replenish()?));
        if ready.and_then(|()| slot.serve(&mut memory, &mut stacks)).is_err() {
            sys::exit_now(0);
        }
    }
}

/// Stacks of the two processes that share the slot's memory.
struct Stacks {
    init: Stack,
    payload: Stack,
}

fn settle(attach: Vec<OwnedFd>, shared: &Shared) -> Result<(Liveness, Networks), Failure> {
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
        identity::map_ids(INSIDE_ID, (INSIDE_ID, INSIDE_ID)).at(Stage::IdMap, "in the slot")?;
        // A new user namespace begins with all capabilities again (capabilities(7)).
        identity::drop_future_rights().at(Stage::Capabilities, "in the slot")?;
    }
    let networks = Networks::new();
    renew_ipc().at(Stage::CloneInit, "")?;
    sethostname(&shared.hostname).at(Stage::Hostname, "")?;
    sys::prctl(libc::PR_SET_DUMPABLE, 0).at(Stage::Start, "")?;
    Ok((Liveness::new().at(Stage::Start, "")?, networks))
}

/// What stays the same from request to request.
struct Slot<'a> {
    socket: &'a OwnedFd,
    liveness: Liveness,
    networks: Networks,
    shared: &'a Shared,
    uid: Option<u32>,
    terminals: CString,
}

impl Slot<'_> {
    /// Serves one order, from the making of a sandbox to "everything is gone". Fails when the server
    /// is gone.
    fn serve(&mut self, memory: &mut Mapping, stacks: &mut Stacks) -> io::Result<()> {
        let (prepare, birthplace) = self.next_order()?;
        let birthplace = birthplace.as_ref().map(AsFd::as_fd);
        self.run(&prepare, birthplace, memory, stacks)?;
        if prepare.class.has_network() {
            // With it go the connections that it still has; also when it was made by half.
            self.networks.leave()?;
        }
        renew_ipc().map_err(io::Error::from)
    }

    /// Runs one sandbox, from its making until it is gone.
    fn run(
        &mut self,
        prepare: &Prepare,
        birthplace: Option<BorrowedFd<'_>>,
        memory: &mut Mapping,
        stacks: &mut Stacks,
    ) -> io::Result<()> {
        let ordered = sys::monotonic_ns();
        let profile = prepare.class.profile;
        let network = match self.network(&prepare.class) {
            Ok(network) => network,
            Err(Failure { errno, .. }) => {
                let error = io::Error::from_raw_os_error(errno);
                return self.failed(Stage::NetworkNamespace, &error);
            }
        };
        let mut start = init::Start {
            socket: self.socket,
            liveness: &self.liveness,
            memory,
            stack: &mut stacks.payload,
            confinement: self.shared.confinement(profile),
            terminals: profile.has_terminal().then_some(&*self.terminals),
            uid: self.uid,
            prepared_len: prepare.plan_len,
            network: network.as_ref(),
            starts: prepare.starts,
            ordered,
        };
        let init = (init::run as fn(&mut init::Start<'_>) -> !, &mut start);
        // Inherited by init: what it is sent before it can handle it has to wait. The kernel drops
        // what a pid 1 neither handles nor blocks.
        sys::block_only(&init::HANDLED);
        let result =
            sys::run_sharing(NAMESPACES, birthplace, &mut stacks.init, init, |pid, pidfd| {
                sys::block_only(&[]);
                // Unmounting waits for an RCU grace period: later, and here, not while init ends.
                let mounts = sys::hold_mounts(pidfd.as_fd());
                let sent = Event::Started { pid: pid as u32 }.send(self.socket, Some(&pidfd));
                sent.map(|()| mounts)
            });
        match result {
            Err(error) => {
                sys::block_only(&[]);
                self.failed(Stage::CloneInit, &error)
            }
            // When init is reaped, its pid namespace is empty: the kernel kills and reaps all others
            // first (pid_namespaces(7), the init process).
            Ok((ended, mounts)) => {
                let gone = Event::Gone { status: ended.status, used: ended.used };
                gone.send(self.socket, None::<&OwnedFd>)?;
                mounts.map(drop)
            }
        }
    }

    /// Makes the network for a class and hands its sockets to the server; `None` where the slot's
    /// own empty one will do, or one with nothing but loopback.
    fn network(&mut self, class: &Class) -> Result<Option<Network>, Failure> {
        let Class { profile, ports, .. } = class;
        if ports.is_empty() {
            if profile.loopback() {
                self.networks.enter_loopback().at(Stage::NetworkNamespace, "")?;
            }
            return Ok(None);
        }
        // Rules about ports would be about those of the loopback interface as well.
        let rules = if profile.loopback() { 0 } else { self.shared.landlock_abi };
        let (network, sockets) = Network::enter(&mut self.networks, ports, rules)?;
        let fds: Vec<RawFd> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
        Event::Network.send_with(self.socket, &fds).at(Stage::NetworkNamespace, "")?;
        Ok(Some(network))
    }

    /// Waits for the order to prepare a sandbox.
    fn next_order(&self) -> io::Result<(Prepare, Option<OwnedFd>)> {
        let mut buffer = [0u8; Order::SIZE];
        loop {
            let (len, mut fds) = sys::receive(self.socket.as_fd(), &mut buffer, 0)?;
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match Order::decode(&buffer[..len]).ok_or_else(invalid)? {
                Order::Prepare(prepare) => return Ok((prepare, fds.take(0))),
                // For an init that ended before it could read it, which the server was told.
                Order::Request(_) | Order::Connect(_) => {}
            }
        }
    }

    /// Tells the server that no init was started.
    fn failed(&self, stage: Stage, error: &io::Error) -> io::Result<()> {
        let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
        Event::Failed { stage, errno }.send(self.socket, None::<&OwnedFd>)
    }
}

/// Leaves the IPC namespace of the last sandbox, with whatever it left there, and makes a new one
/// for the next: 45 µs that would otherwise be part of its start.
fn renew_ipc() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWIPC)
}

fn invalid() -> io::Error {
    io::Error::from_raw_os_error(libc::EPROTO)
}
