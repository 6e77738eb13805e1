//! The server's side: starts the zygote, keeps its slots, and hands each command to a free one.

use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags},
    unistd::{SysconfVar, sysconf},
};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    cgroup::{Cgroups, Leaf},
    child::{Child, Output},
    command::{Command, Stdout},
    error::Error,
    host::Host,
    link::Link,
    report::{Feature, Protection, Stage, Status},
    stdio, supervisor, sys,
    zygote::{
        self,
        plan::PlanFile,
        protocol::{Built, Event, MAX_JSON, NewSlot, Template},
    },
};

/// Set by [`crate::reexec_guard`]: this program can be entered again as a zygote.
static GUARDED: AtomicBool = AtomicBool::new(false);

pub(crate) fn mark_guarded() {
    GUARDED.store(true, Ordering::Relaxed);
}

/// How an [`Engine`] is set up.
#[derive(Debug, Clone)]
#[must_use]
pub struct EngineConfig {
    slots: usize,
    trees: Vec<(PathBuf, PathBuf)>,
    helper: PathBuf,
    hostname: String,
}

impl Default for EngineConfig {
    /// As many slots as processors, nothing of the host but `/usr`, and this program as helper.
    fn default() -> Self {
        let processors = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten().unwrap_or(1);
        Self {
            slots: usize::try_from(processors).unwrap_or(1).clamp(1, MAX_SLOTS),
            trees: Vec::new(),
            helper: SELF.into(),
            hostname: "automa".to_owned(),
        }
    }
}

/// How long a slot may take to settle, or to unmount what a run has left.
const READY_PATIENCE: Duration = Duration::from_secs(10);

/// How long the helper may take to end its slots before it is killed, in milliseconds.
const END_PATIENCE_MS: u16 = 2000;

/// Most slots of one engine.
const MAX_SLOTS: usize = 64;

/// This program, even after its file was replaced by an upgrade.
const SELF: &str = "/proc/self/exe";

/// Paths inside that are not the caller's to mount over.
const RESERVED: [&str; 6] = ["/proc", "/dev", "/etc", "/tmp", "/var/tmp", "/automa"];

impl EngineConfig {
    /// How many sandboxes run at the same time, 1 to 64; more wait.
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = slots.clamp(1, MAX_SLOTS);
        self
    }

    /// Shows a host directory or file read-only in all sandboxes, at the path `inside`.
    pub fn mount_ro(mut self, outside: impl Into<PathBuf>, inside: impl Into<PathBuf>) -> Self {
        self.trees.push((outside.into(), inside.into()));
        self
    }

    /// A program that calls [`crate::reexec_guard`], for embedders whose own `main` cannot.
    pub fn helper(mut self, program: impl Into<PathBuf>) -> Self {
        self.helper = program.into();
        self
    }

    fn check(&self) -> Result<(), Error> {
        if self.helper == Path::new(SELF) && !GUARDED.load(Ordering::Relaxed) {
            return Err(Error::NoGuard);
        }
        for (outside, inside) in &self.trees {
            let problem = if !outside.is_absolute() || !inside.is_absolute() {
                "is not an absolute path".to_owned()
            } else if inside == Path::new("/") {
                "would replace the sandbox's root".to_owned()
            } else if let Some(dir) = RESERVED.iter().find(|dir| inside.starts_with(dir)) {
                format!("lies in {dir}, which is the sandbox's own: give another path inside")
            } else {
                continue;
            };
            let (outside, inside) = (outside.display(), inside.display());
            return Err(Error::InvalidCommand(format!(
                "cannot show {outside} at {inside}: {inside} {problem}"
            )));
        }
        Ok(())
    }
}

/// Starts sandboxes. Cheap to clone; when the last clone and the last [`Child`] are gone, so are
/// the helper processes and the groups.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    host: Host,
    groups: Cgroups,
    link: Link,
    idle: Mutex<Vec<Slot>>,
    free: Arc<Semaphore>,
    slots: u32,
    null: OwnedFd,
    zygote: Mutex<std::process::Child>,
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

impl Engine {
    /// Starts the helper processes: some 10 ms, most of it for entering cgroups.
    ///
    /// Must be called within a tokio runtime with I/O and time enabled.
    ///
    /// # Errors
    ///
    /// [`Error::Host`] names the step at which this host refused to confine anything, and what to
    /// do about it; [`Error::NoGuard`] when [`crate::reexec_guard`] was not called.
    pub async fn start(config: EngineConfig) -> Result<Self, Error> {
        config.check()?;
        // Before any helper exists: in cgroup v2 this process moves to a group of its own.
        let groups = Cgroups::discover();
        let (link, theirs) = Link::pair().map_err(Error::io("creating a socket"))?;
        let zygote = spawn_zygote(&config.helper, theirs)?;
        let zygote = Mutex::new(zygote);
        let template = Template {
            slots: config.slots,
            trees: config.trees.clone(),
            memory_counted: groups.support().memory.is_ok(),
            hostname: config.hostname.clone(),
        };
        send_json(&link, &template, &[])?;
        let mut buffer = vec![0; MAX_JSON];
        let (len, _) = link.receive(&mut buffer).await.map_err(Error::io("starting a helper"))?;
        let facts = match serde_json::from_slice(&buffer[..len]) {
            Ok(Built::Ready(facts)) => facts,
            Ok(Built::Failed { stage, errno, detail }) => {
                let source = io::Error::from_raw_os_error(errno);
                return Err(Error::Host { stage, detail, source });
            }
            Err(_) => return Err(Error::Stopped),
        };
        let host = Host::new(facts, groups.support(), !config.trees.is_empty());
        let shared = Shared {
            host,
            groups,
            link,
            idle: Mutex::default(),
            free: Arc::new(Semaphore::new(config.slots)),
            slots: config.slots as u32,
            null: stdio::null().map_err(Error::io("opening /dev/null"))?,
            zygote,
        };
        for index in 0..config.slots {
            let slot = shared.new_slot(index).await?;
            shared.idle().push(slot);
        }
        tracing::debug!(slots = config.slots, cgroups = shared.host.cgroups(), "engine started");
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What this host enforces.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.shared.host
    }

    /// The protections that `command` would have here.
    #[must_use]
    pub fn protections(&self, command: &Command) -> Vec<Protection> {
        let mut protections = self.shared.host.protections();
        if matches!(command.stdout, Stdout::Null) {
            let reason = "the output is not read by the engine".to_owned();
            for protection in &mut protections {
                if protection.feature == Feature::OutputLimit {
                    protection.status = Status::Missing(reason.clone());
                }
            }
        }
        protections
    }

    /// Starts `command` as soon as a slot is free.
    ///
    /// # Errors
    ///
    /// [`Error::Unprotected`] when the host does not provide what the policy requires,
    /// [`Error::InvalidCommand`] when the kernel could not take the command, and
    /// [`Error::Stopped`] when the helper has died. A program that cannot be started is no error
    /// here but an [`Outcome::SetupFailed`](crate::Outcome::SetupFailed) of its report.
    pub async fn spawn(&self, command: Command) -> Result<Child, Error> {
        let protections = self.protections(&command);
        command.policy.check(&protections)?;
        let prepared = command.prepare()?;
        let lease = self.lease().await?;
        supervisor::start(lease, command, &prepared, protections)
    }

    /// Runs `command` to its end and collects its output.
    ///
    /// ```standalone_crate
    /// use automa_sandbox::{Bytes, Command, Engine, EngineConfig, Error, Limits, Outcome, Policy};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// async fn run() -> Result<(), Error> {
    ///     let engine = Engine::start(EngineConfig::default().slots(2)).await?;
    ///     let limits = Limits { output: Bytes(1000), ..Limits::default() };
    ///     let command = Command::new("/usr/bin/yes").policy(Policy::script().limits(limits));
    ///     let output = engine.output(command).await?;
    ///     assert_eq!(output.report.outcome, Outcome::Output);
    ///     assert_eq!(output.stdout.len(), 1000);
    ///     engine.shutdown().await;
    ///     Ok(())
    /// }
    ///
    /// fn main() -> Result<(), Error> {
    ///     automa_sandbox::reexec_guard();
    ///     run()
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub async fn output(&self, command: Command) -> Result<Output, Error> {
        Ok(self.spawn(command).await?.output().await)
    }

    /// Waits until every sandbox has ended, then ends the helpers. Sandboxes are not hurried:
    /// cancel or drop their [`Child`] for that.
    pub async fn shutdown(self) {
        // All permits together mean that no supervisor is left; it returns its permit last.
        let _all = self.shared.free.acquire_many(self.shared.slots).await;
        self.shared.free.close();
    }

    /// A slot that nobody else uses, replaced if its process has died.
    async fn lease(&self) -> Result<Lease, Error> {
        let free = self.shared.free.clone();
        let permit = free.acquire_owned().await.map_err(|_| Error::Stopped)?;
        let slot = self.shared.idle().pop();
        // None is left when slots died and could not be replaced.
        let slot = slot.ok_or(Error::Stopped)?;
        Ok(Lease { slot: Some(slot), shared: self.shared.clone(), _permit: permit })
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("host", &self.shared.host).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// `/dev/null`, open for reading and writing.
    pub(crate) fn null(&self) -> &OwnedFd {
        &self.null
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
        send_json(&self.link, &NewSlot { index }, &fds)?;
        drop(theirs);
        let mut slot = Slot { index, link, leaf, plans };
        slot.ready().await?;
        slot.leaf.begin().map_err(Error::io("reading a cgroup"))?;
        Ok(slot)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let zygote = self.zygote.get_mut().unwrap_or_else(PoisonError::into_inner);
        // It ends its slots, waits for them and ends; the groups can be removed after that.
        self.link.close();
        let ended = sys::pidfd_open(zygote.id()).is_ok_and(|pidfd| {
            let mut poll = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            nix::poll::poll(&mut poll, END_PATIENCE_MS).is_ok_and(|ready| ready > 0)
        });
        if !ended {
            let _ = zygote.kill();
        }
        let _ = zygote.wait();
    }
}

/// A slot in use. It goes back to the others by [`settle`](Self::settle); a lease that is just
/// dropped, because its supervisor's runtime ended, takes the slot with it.
pub(crate) struct Lease {
    slot: Option<Slot>,
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn slot(&mut self) -> &mut Slot {
        self.slot.as_mut().expect("a lease holds its slot until it is dropped")
    }

    /// Returns a slot that was not used.
    pub(crate) fn give_back(mut self) {
        self.shared.idle().extend(self.slot.take());
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
            self.shared.new_slot(index).await
        };
        match slot {
            Ok(slot) => self.shared.idle().push(slot),
            Err(error) => tracing::error!(index, %error, "a sandbox slot could not be replaced"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "starts the sandbox itself")]
fn spawn_zygote(helper: &Path, socket: OwnedFd) -> Result<std::process::Child, Error> {
    std::process::Command::new(helper)
        .arg(zygote::ARGUMENT)
        // Nothing of the server's environment, which may hold secrets, reaches the helper.
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .spawn()
        .map_err(|source| Error::Host {
            stage: Stage::Start,
            detail: helper.display().to_string(),
            source,
        })
}

fn send_json(link: &Link, message: &impl Serialize, fds: &[i32]) -> Result<(), Error> {
    let text = serde_json::to_vec(message).map_err(Error::io("encoding a message"))?;
    if text.len() > MAX_JSON {
        return Err(Error::InvalidCommand("too many directories to show".to_owned()));
    }
    link.send(&text, fds).map_err(|_| Error::Stopped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_over_the_sandboxs_own_places_are_refused() {
        for (inside, part) in [
            ("relative", "not an absolute path"),
            ("/", "replace the sandbox's root"),
            ("/proc/x", "lies in /proc"),
            ("/tmp", "lies in /tmp"),
        ] {
            let config = EngineConfig::default().helper("/bin/true").mount_ro("/srv", inside);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn without_the_guard_nothing_is_started() {
        // The test harness's main does not call it, and must not be entered again as a helper.
        assert!(matches!(EngineConfig::default().check(), Err(Error::NoGuard)));
    }
}
