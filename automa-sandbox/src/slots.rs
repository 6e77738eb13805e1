//! The server's side of the helpers: the zygote, its slots, and who may use them.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::poll::{PollFd, PollFlags};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    cgroup::{Cgroups, Leaf},
    config::EngineConfig,
    error::Error,
    host::Host,
    link::Link,
    report::Stage,
    stdio, sys,
    zygote::{
        self,
        plan::PlanFile,
        protocol::{Built, Event, Facts, MAX_JSON, NewSlot, Template},
    },
};

/// How long a slot may take to settle, or to unmount what a run has left.
const READY_PATIENCE: Duration = Duration::from_secs(10);

/// How long the helper may take to end its slots before it is killed, in milliseconds.
const END_PATIENCE_MS: u16 = 2000;

/// The zygote's process, ended with all its slots when dropped.
struct Zygote {
    link: Link,
    process: std::process::Child,
}

impl Zygote {
    #[expect(clippy::disallowed_methods, reason = "starts the sandbox itself")]
    fn spawn(helper: &Path) -> Result<Self, Error> {
        let (link, theirs) = Link::pair().map_err(Error::io("creating a socket"))?;
        let process = std::process::Command::new(helper)
            .arg(zygote::ARGUMENT)
            // Nothing of the server's environment, which may hold secrets, reaches the helper.
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .map_err(|source| Error::Host {
                stage: Stage::Start,
                detail: helper.display().to_string(),
                source,
            })?;
        Ok(Self { link, process })
    }

    /// Has it build what all sandboxes share.
    async fn build(&self, template: &Template) -> Result<Facts, Error> {
        self.send(template, &[])?;
        let mut buffer = vec![0; MAX_JSON];
        let received = self.link.receive(&mut buffer).await;
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
        self.link.send(&text, fds).map_err(|_| Error::Stopped)
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        // It ends its slots, waits for them and ends; the groups can be removed after that.
        self.link.close();
        let ended = sys::pidfd_open(self.process.id()).is_ok_and(|pidfd| {
            let mut poll = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            nix::poll::poll(&mut poll, END_PATIENCE_MS).is_ok_and(|ready| ready > 0)
        });
        if !ended {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

/// The slots of an engine. Fields are dropped in their order: first the zygote with all processes,
/// then the groups they were in.
pub(crate) struct Pool {
    zygote: Zygote,
    idle: Mutex<Vec<Slot>>,
    groups: Cgroups,
    host: Arc<Host>,
    free: Arc<Semaphore>,
    slots: u32,
    null: OwnedFd,
}

impl Pool {
    /// Starts the zygote and all slots.
    pub(crate) async fn start(config: EngineConfig) -> Result<Self, Error> {
        // Before any helper exists: in cgroup v2 this process moves to a group of its own.
        let groups = Cgroups::discover();
        let zygote = Zygote::spawn(&config.helper)?;
        let shows_trees = !config.trees.is_empty();
        let template = Template {
            slots: config.slots,
            trees: config.trees,
            memory_counted: groups.support().memory.is_ok(),
            hostname: config.hostname,
        };
        let facts = zygote.build(&template).await?;
        let pool = Self {
            zygote,
            idle: Mutex::default(),
            host: Arc::new(Host::new(facts, groups.support(), shows_trees)),
            groups,
            free: Arc::new(Semaphore::new(config.slots)),
            slots: config.slots as u32,
            null: stdio::null().map_err(Error::io("opening /dev/null"))?,
        };
        for index in 0..config.slots {
            let slot = pool.new_slot(index).await?;
            pool.idle().push(slot);
        }
        Ok(pool)
    }

    pub(crate) fn host(&self) -> &Arc<Host> {
        &self.host
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots as usize
    }

    /// `/dev/null`, open for reading and writing.
    pub(crate) fn null(&self) -> &OwnedFd {
        &self.null
    }

    /// Waits for a slot that nobody else uses.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<Lease, Error> {
        loop {
            let permit = self.free.clone().acquire_owned().await.map_err(|_| Error::Stopped)?;
            // None is left when slots died and could not be replaced.
            let slot = self.idle().pop().ok_or(Error::Stopped)?;
            let mut lease = Lease { slot: Some(slot), pool: self.clone(), _permit: permit };
            if !lease.slot().link.is_broken() {
                return Ok(lease);
            }
            // It died while nobody used it. Not here, where whoever waits may stop waiting.
            #[expect(
                clippy::disallowed_methods,
                reason = "joined by its permit: Engine::shutdown"
            )]
            tokio::spawn(lease.settle(true));
        }
    }

    /// Waits until no slot is in use, and lends no more.
    pub(crate) async fn drain(&self) {
        // All permits together mean that no supervisor is left; it returns its permit last.
        let _all = self.free.acquire_many(self.slots).await;
        self.free.close();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the zygote fork a slot and waits until it has settled.
    async fn new_slot(&self, index: usize) -> Result<Slot, Error> {
        let leaf = self.groups.leaf(index).map_err(Error::io("creating a cgroup"))?;
        let plans = PlanFile::new().map_err(Error::io("creating a memory file"))?;
        let (link, theirs) = Link::pair().map_err(Error::io("creating a socket"))?;
        let attach = leaf.attach_files().map_err(Error::io("opening a cgroup"))?;
        let mut fds = vec![theirs.as_raw_fd(), plans.as_raw_fd()];
        fds.extend(attach.iter().map(AsRawFd::as_raw_fd));
        self.zygote.send(&NewSlot { index }, &fds)?;
        drop(theirs);
        let mut slot = Slot { index, link, leaf, plans };
        slot.ready().await?;
        slot.leaf.begin().map_err(Error::io("reading a cgroup"))?;
        Ok(slot)
    }
}

/// A slot that waits for a request, seen from the server.
pub(crate) struct Slot {
    pub(crate) index: usize,
    pub(crate) link: Link,
    pub(crate) leaf: Leaf,
    pub(crate) plans: PlanFile,
}

impl Slot {
    /// Waits until the slot's process waits for a request.
    async fn ready(&self) -> Result<(), Error> {
        let mut buffer = [0; Event::SIZE];
        let received = timeout(READY_PATIENCE, self.link.receive(&mut buffer)).await;
        let (len, _) =
            received.map_err(|_| Error::Stopped)?.map_err(Error::io("waiting for a helper"))?;
        match Event::decode(&buffer[..len]) {
            Some(Event::Ready) => Ok(()),
            Some(Event::Failed { stage, errno }) => {
                let source = io::Error::from_raw_os_error(errno);
                Err(Error::Host { stage, detail: String::new(), source })
            }
            _ => Err(Error::Stopped),
        }
    }

    /// Does, after a run, all that the next start need not do itself.
    async fn recover(&mut self) -> Result<(), Error> {
        self.ready().await?;
        self.leaf.recycle().and_then(|_| self.leaf.begin()).map_err(Error::io("using a cgroup"))?;
        self.plans.clear().map_err(Error::io("clearing the plan"))
    }
}

/// A slot in use. It goes back to the others by [`settle`](Self::settle); a lease that is just
/// dropped, because its supervisor's runtime ended, takes the slot with it.
pub(crate) struct Lease {
    slot: Option<Slot>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn slot(&mut self) -> &mut Slot {
        self.slot.as_mut().expect("a lease holds its slot until it is dropped")
    }

    /// Returns a slot that was not used.
    pub(crate) fn give_back(mut self) {
        self.pool.idle().extend(self.slot.take());
    }

    /// Makes the slot ready for the next run and returns it; a new process takes the place of one
    /// that is lost.
    pub(crate) async fn settle(mut self, lost: bool) {
        let Some(mut slot) = self.slot.take() else { return };
        let index = slot.index;
        let slot = if !lost && slot.recover().await.is_ok() {
            Ok(slot)
        } else {
            // Groups that cannot be used again are left to their drop; new ones are made.
            let _ = slot.leaf.kill();
            drop(slot);
            self.pool.new_slot(index).await
        };
        match slot {
            Ok(slot) => self.pool.idle().push(slot),
            Err(error) => tracing::error!(index, %error, "a sandbox slot could not be replaced"),
        }
    }
}
