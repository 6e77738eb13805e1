//! The server's side of the helpers: the zygote and its slots.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
    time::Duration,
};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use serde::Serialize;
use tokio::time::{Instant, timeout};

use crate::{
    cgroup::{Cgroups, Leaf},
    class::Class,
    command::env_of_waiting,
    error::Error,
    helper::Helper,
    interpreter::Interpreter,
    limits::Limits,
    link::Link,
    policy::Policy,
    report::Stage,
    sys::{self, Received},
    zygote::{
        self,
        plan::{Contents, LIMITS, PlanFile, UNLIMITED},
        protocol::{Built, Event, Facts, MAX_JSON, NewSlot, Order, Prepare, Template},
    },
};

/// How long a slot may take to settle, or to unmount what a run has left.
const READY_PATIENCE: Duration = Duration::from_secs(10);

/// The zygote's process, ended with all its slots when dropped.
pub(crate) struct Zygote(Helper);

impl Zygote {
    pub(crate) fn spawn(program: &Path) -> Result<Self, Error> {
        Ok(Self(Helper::start(program, zygote::ARGUMENT)?))
    }

    /// Has it build what all sandboxes share.
    pub(crate) async fn build(&self, template: &Template) -> Result<Facts, Error> {
        self.send(template, &[])?;
        let mut buffer = vec![0; MAX_JSON];
        let received = self.0.link.receive(&mut buffer).await;
        let (len, _) = received.map_err(Error::io("starting a helper"))?;
        match serde_json::from_slice(&buffer[..len]) {
            Ok(Built::Ready(facts)) => Ok(facts),
            Ok(Built::Failed { stage, errno, detail }) => {
                let source = io::Error::from_raw_os_error(errno);
                Err(Error::Host { stage, detail, source })
            }
            Err(_) => Err(Error::Stopped),
        }
    }

    fn send(&self, message: &impl Serialize, fds: &[i32]) -> Result<(), Error> {
        let text = serde_json::to_vec(message).map_err(Error::io("encoding a message"))?;
        if text.len() > MAX_JSON {
            return Err(Error::InvalidCommand("too many directories to show".to_owned()));
        }
        self.0.link.send(&text, fds).map_err(|_| Error::Stopped)
    }
}

/// A slot, seen from the server.
pub(crate) struct Slot {
    pub(crate) index: usize,
    pub(crate) link: Link,
    pub(crate) leaf: Leaf,
    pub(crate) plans: PlanFile,
    /// The slot's process (pidfd).
    process: OwnedFd,
    /// User id of its payloads, as their file systems know it.
    id: u32,
    prepared: Option<Prepared>,
    /// What it is to be prepared for, when nobody waits for it.
    pub(crate) due: Option<Class>,
}

/// A sandbox that waits for its request.
pub(crate) struct Prepared {
    pub(crate) class: Class,
    pub(crate) init: Init,
    /// The sockets of its network; none without one.
    pub(crate) sockets: Vec<OwnedFd>,
    /// What its tmpfs was mounted with.
    pub(crate) tmpfs: CString,
    pub(crate) since: Instant,
}

/// The sandbox's pid 1; killed when dropped, and everything in the sandbox with it.
pub(crate) struct Init {
    pub(crate) pid: u32,
    pidfd: OwnedFd,
}

impl Init {
    pub(crate) fn new(pid: u32, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd }
    }

    pub(crate) fn signal(&self, signal: i32) {
        // It may have ended by itself a moment ago.
        let _ = sys::pidfd_send_signal(self.pidfd.as_fd(), signal);
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        self.signal(libc::SIGKILL);
    }
}

impl Slot {
    /// Has the zygote fork a slot and waits until it has settled.
    pub(crate) async fn new(
        zygote: &Zygote,
        groups: &Cgroups,
        index: usize,
        id: u32,
    ) -> Result<Self, Error> {
        let leaf = groups.leaf(index).map_err(Error::io("creating a cgroup"))?;
        let plans = PlanFile::new().map_err(Error::io("creating a memory file"))?;
        let (link, theirs) = Link::pair().map_err(Error::io("creating a socket"))?;
        let attach = leaf.attach_files().map_err(Error::io("opening a cgroup"))?;
        let mut fds = vec![theirs.as_raw_fd(), plans.as_raw_fd()];
        fds.extend(attach.iter().map(AsRawFd::as_raw_fd));
        zygote.send(&NewSlot { index }, &fds)?;
        drop(theirs);
        let process = ready(&link).await?.ok_or(Error::Stopped)?;
        let mut slot = Self { index, link, leaf, plans, process, id, prepared: None, due: None };
        slot.leaf.begin().map_err(Error::io("reading a cgroup"))?;
        Ok(slot)
    }

    /// User id of its payloads, as file systems know it.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Options of the tmpfs of a sandbox with these limits.
    pub(crate) fn tmpfs(&self, limits: &Limits) -> CString {
        let (size, inodes, id) = (limits.tmp.0, limits.tmp_inodes, self.id);
        let options = format!("mode=0755,size={size},nr_inodes={inodes},uid={id},gid={id}");
        CString::new(options).expect("digits and names hold no zero byte")
    }

    /// What the slot's sandbox is prepared for.
    pub(crate) fn prepared(&self) -> Option<&Prepared> {
        self.prepared.as_ref()
    }

    /// The prepared sandbox, for the one run it is there for.
    pub(crate) fn take_prepared(&mut self) -> Option<Prepared> {
        self.prepared.take()
    }

    /// Whether the slot can start something: it lives, and so does its sandbox if it has one.
    pub(crate) fn is_sound(&self) -> bool {
        let init = self.prepared.as_ref().map(|prepared| prepared.init.pidfd.as_fd());
        // Each may have died a moment ago, and the other not know of it yet.
        let processes = [Some(self.process.as_fd()), init].into_iter().flatten();
        let mut poll: Vec<_> = processes.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let live = nix::poll::poll(&mut poll, PollTimeout::ZERO) == Ok(0);
        // A prepared sandbox has nothing to say, and a slot without one neither.
        live && !self.link.is_readable()
    }

    /// Has the slot make a sandbox for `class`; its request may follow at once if `plan_len` is 0,
    /// and else the plan's program may be started before it.
    pub(crate) fn order(&self, class: Class, plan_len: u64, starts: bool) -> io::Result<()> {
        let birthplace = self.leaf.birthplace().map(|dir| dir.as_raw_fd());
        let order = Order::Prepare(Prepare { class, plan_len, starts });
        self.link.send(&order.encode(), birthplace.as_slice())
    }

    /// Prepares a sandbox and waits until it is.
    ///
    /// # Errors
    ///
    /// [`Error::Host`] when a step failed; the slot is then as good as before. Any other when the
    /// slot is lost.
    pub(crate) async fn prepare(&mut self, class: &Class) -> Result<(), Error> {
        let tmpfs = self.tmpfs(Policy::of(class.profile).limits_ref());
        let mut guess = Contents {
            program: c"",
            args: &[],
            env: &[],
            tmpfs: &tmpfs,
            files: &[],
            secrets: &[],
            collects: false,
            directories: &[],
            message: &[],
            alarm: 0,
            terminal: None,
            limits: [UNLIMITED; LIMITS.len()],
        };
        let (args, env);
        if let Some(Interpreter { program, script, limits }) = &class.interpreter {
            (args, env) = ([program.clone(), script.clone()], env_of_waiting());
            guess = Contents { program, args: &args, env: &env, limits: *limits, ..guess };
        }
        let plan_len = self.plans.write(&guess).map_err(Error::io("writing the plan"))?;
        let starts = class.interpreter.is_some();
        self.order(class.clone(), plan_len, starts).map_err(|_| Error::Stopped)?;
        let (mut init, mut sockets) = (None, Vec::new());
        let (mut failed, mut ready) = (None, false);
        // Slot and init tell at the same time: in any order.
        let init = loop {
            if let Some(init) = init.take_if(|_| ready) {
                break init;
            }
            match next_event(&self.link).await? {
                (Event::Network, mut fds) => sockets = fds.take_all().collect(),
                (Event::Started { pid }, mut fds) => {
                    init = fds.take(0).map(|pidfd| Init::new(pid, pidfd));
                }
                (Event::Prepared, _) => ready = true,
                (Event::Failed { stage, errno }, _) => {
                    failed = Some((stage, io::Error::from_raw_os_error(errno)));
                }
                // It has ended, if it ever was.
                (Event::Ready, _) => {
                    let (stage, source) = failed.unwrap_or_else(|| {
                        (Stage::ClonePayload, io::ErrorKind::UnexpectedEof.into())
                    });
                    return Err(Error::Host { stage, detail: String::new(), source });
                }
                _ => {}
            }
        };
        // What was used so far is nobody's.
        self.leaf.begin().map_err(Error::io("reading a cgroup"))?;
        let (class, since) = (class.clone(), Instant::now());
        self.prepared = Some(Prepared { class, init, sockets, tmpfs, since });
        Ok(())
    }

    /// Ends the prepared sandbox, if there is one, and waits until nothing of it is left.
    pub(crate) async fn discard(&mut self) -> Result<(), Error> {
        match self.prepared.take() {
            Some(prepared) => {
                drop(prepared);
                // It has begun something: an interpreter's start may have used up a quota.
                self.leaf.unthrottle().map_err(Error::io("using a cgroup"))?;
                self.recover().await
            }
            None => Ok(()),
        }
    }

    /// Does, after a run, all that the next start need not do itself.
    pub(crate) async fn recover(&mut self) -> Result<(), Error> {
        ready(&self.link).await?;
        self.leaf.recycle().and_then(|_| self.leaf.begin()).map_err(Error::io("using a cgroup"))?;
        self.plans.clear().map_err(Error::io("clearing the plan"))
    }
}

/// Waits until a slot's process waits for an order; the first time, the process comes along.
async fn ready(link: &Link) -> Result<Option<OwnedFd>, Error> {
    loop {
        match next_event(link).await? {
            (Event::Ready, mut fds) => return Ok(fds.take(0)),
            // A slot that never was ready, or a sandbox that was being prepared.
            (Event::Failed { stage, errno }, _) => {
                let source = io::Error::from_raw_os_error(errno);
                return Err(Error::Host { stage, detail: String::new(), source });
            }
            _ => {}
        }
    }
}

async fn next_event(link: &Link) -> Result<(Event, Received), Error> {
    let mut buffer = [0; Event::SIZE];
    let received = timeout(READY_PATIENCE, link.receive(&mut buffer)).await;
    let (len, fds) =
        received.map_err(|_| Error::Stopped)?.map_err(Error::io("waiting for a helper"))?;
    Event::decode(&buffer[..len]).map(|event| (event, fds)).ok_or(Error::Stopped)
}
