//! The handle on everything: what an embedding program opens, uses and closes.

mod seed;

use std::{fs, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use automa_sandbox::{EngineConfig, Protection};
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{
    actor::Actor,
    agent::{self, Agents, Supervisor},
    api_key::{ApiKeys, Keyring, Uses},
    audit::{self, Audit, Keeper, Keeping, Refusals},
    blocking,
    clock::{Clock, SystemClock},
    credential::{Credentials, MasterKeys, Rotator, Vault},
    disk::Disk,
    error::{Error, Result},
    event::Subscription,
    execution::{
        Admission, ArtifactFiles, Executions, Packer, Runner, RunnerConfig, Sandboxes, ThisHost,
    },
    health::{EngineHealth, Health},
    id::SessionId,
    job::{HOOK_KEY_FILE, Hooks, Jobs, Scheduler},
    key_file::KeyFile,
    quota::{Calls, QuotasOf},
    retention::{Retention, Sweeper},
    script::{Checks, Library, Scripts},
    session::Sessions,
    setup::{Setup, Token},
    store::{Compaction, Store},
    tally::{self, Tally},
    tier::Tiers,
    user::{Passwords, Profile, Resets, Users},
};

/// An open Automa. Clones are handles of the same one.
#[derive(Debug, Clone)]
pub struct Automa {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) passwords: Passwords,
    pub(crate) setup_token: Arc<Token>,
    pub(crate) library: Arc<Library>,
    pub(crate) checks: Arc<Checks>,
    runner: Option<Arc<Runner>>,
    supervisor: Option<Arc<Supervisor>>,
    sweeper: Option<Arc<Sweeper>>,
    packer: Option<Arc<Packer>>,
    scheduler: Option<Arc<Scheduler>>,
    tally: Option<Arc<Tally>>,
    pub(crate) key_uses: Arc<Uses>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) api_calls: Arc<Calls>,
    pub(crate) hook_key: Arc<KeyFile>,
    pub(crate) audit_key: Arc<KeyFile>,
    pub(crate) refusals: Arc<Refusals>,
    keeper: Option<Arc<Keeper>>,
    rotator: Option<Arc<Rotator>>,
    /// Where data is kept, if not in memory.
    pub(crate) directory: Option<PathBuf>,
    /// Removed with the last handle.
    temporary: Option<Arc<TempDir>>,
}

/// Where an [`Automa`] keeps its data, and how it tells the time.
#[derive(Debug)]
#[must_use]
pub struct Builder {
    directory: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    engine: EngineConfig,
    slots: Option<usize>,
    per_user: Option<usize>,
    free_disk: Option<u64>,
    agents: usize,
    master_keys: MasterKeys,
}

impl Builder {
    /// Keeps data in this directory, which is made if it is missing, for its owner alone.
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directory = Some(path.into());
        self
    }

    /// Keeps records in memory, and logs and artifacts in a temporary directory; all of it is gone when
    /// the last handle is: for tests.
    pub fn in_memory(mut self) -> Self {
        self.directory = None;
        self
    }

    /// Takes time and randomness from `clock` instead of the system.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets up the sandboxes' engine differently from its default.
    pub fn engine(mut self, config: EngineConfig) -> Self {
        self.engine = config;
        self
    }

    /// Runs this many executions at the same time, 1 to 64; more wait. As many as there are
    /// processors unless told.
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = Some(slots);
        self
    }

    /// Runs at most this many executions of one user at the same time; more wait. As many as there
    /// are slots unless told; 0 is the same as 1.
    pub fn max_running_per_user(mut self, most: usize) -> Self {
        self.per_user = Some(most.max(1));
        self
    }

    /// Starts and accepts executions only while this many bytes are free on the disk of the directory.
    /// A hundredth of it unless told, at least 256 MiB, but not more than a tenth.
    pub fn least_free_disk(mut self, bytes: u64) -> Self {
        self.free_disk = Some(bytes);
        self
    }

    /// Runs at most this many agents at the same time, 1 to 48, besides executions; more wait. 16
    /// unless told.
    pub fn max_agents(mut self, most: usize) -> Self {
        self.agents = most.clamp(1, 48);
        self
    }

    /// Seals secrets by these master keys. By that in the file `master.key` of the directory unless
    /// told, which is made when there is none yet; in memory, by a random one.
    pub fn master_keys(mut self, keys: MasterKeys) -> Self {
        self.master_keys = keys;
        self
    }

    /// Opens it and starts to run what is queued. What a former process was running when it ended
    /// is recorded as [`lost`](crate::execution::State::Lost), or tried again if it asked for that.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::Vault`] without the master key that secrets are sealed by; and
    /// [`Error::Sandbox`] when this host cannot confine anything.
    pub async fn start(self) -> Result<Automa> {
        let (directory, temporary) = if let Some(path) = &self.directory {
            (path.clone(), None)
        } else {
            let temporary = temporary_directory()?;
            (temporary.path().to_owned(), Some(temporary))
        };
        let (logs, artifacts) = (directory.join("logs"), directory.join("artifacts"));
        let (mut engine, per_user, free_disk) =
            (self.engine.clone(), self.per_user, self.free_disk);
        if let Some(slots) = self.slots {
            engine = engine.slots(slots);
        }
        let agents = self.agents;
        engine = engine.spare(agents);
        // At the same time, as both take tens of milliseconds and neither needs the other.
        let opening = blocking::run(move || self.open());
        let (opened, sandboxes) = tokio::join!(opening, Sandboxes::start(engine));
        // Of two failures, that another process has the store open tells more, or that a key is missing.
        let mut automa = opened?;
        automa.vault.check()?;
        let sandboxes = sandboxes?;
        for (doing, path) in [
            ("making the directory of logs", &logs),
            ("making the directory of artifacts", &artifacts),
        ] {
            let path = path.clone();
            make_private(&path).map_err(|source| Error::Directory { doing, path, source })?;
        }
        let artifacts = ArtifactFiles::new(artifacts);
        let (store, clock) = (automa.store.clone(), automa.clock.clone());
        automa.keeper = Some(Arc::new(Keeper::start(Keeping {
            store: store.clone(),
            clock: Arc::clone(&clock),
            key: Arc::clone(&automa.audit_key),
            refusals: Arc::clone(&automa.refusals),
        })));
        let rotator = Rotator::start(store.clone(), Arc::clone(&automa.vault), Arc::clone(&clock));
        automa.rotator = Some(Arc::new(rotator));
        automa.packer = Some(Arc::new(Packer::start(store.clone(), logs.clone())));
        automa.sweeper = Some(Arc::new(Sweeper::start(
            store.clone(),
            Arc::clone(&clock),
            (logs.clone(), artifacts.clone()),
        )));
        let admission = Admission::new(Box::new(ThisHost::new(logs.clone())), free_disk);
        let config =
            RunnerConfig { logs, artifacts, per_user, admission, vault: Arc::clone(&automa.vault) };
        automa.temporary = temporary.map(Arc::new);
        let runner = Runner::start(sandboxes, store.clone(), clock.clone(), config).await?;
        let supervisor = Supervisor::start(store, clock, Arc::clone(&runner), agents);
        automa.runner = Some(runner);
        automa.supervisor = Some(Arc::new(supervisor));
        automa.scheduler = Some(Arc::new(Scheduler::start(automa.clone())));
        automa.tally = Some(Arc::new(Tally::start(automa.clone())));
        Ok(automa)
    }

    /// Opens it to look, without running anything. Blocks while the store is read, and a part of a
    /// second longer where the master key is computed from a passphrase. Without the right master key,
    /// what needs one is refused with [`Error::Vault`].
    ///
    /// # Errors
    ///
    /// [`Error::Directory`] and [`Error::Store`]: among others when another process has it open.
    pub fn open(self) -> Result<Automa> {
        let store = match &self.directory {
            None => Store::in_memory()?,
            Some(path) => {
                make_private(path).map_err(|source| Error::Directory {
                    doing: "making the data directory",
                    path: path.clone(),
                    source,
                })?;
                Store::open(path.join("automa.redb"))?
            }
        };
        let directory = self.directory.as_deref();
        let vault = Vault::open(&store, directory, &self.master_keys, &*self.clock);
        Ok(Automa {
            vault: Arc::new(vault),
            rotator: None,
            store,
            clock: self.clock,
            passwords: Passwords::new(),
            setup_token: Arc::new(Token::new(self.directory.clone())),
            library: Arc::default(),
            checks: Arc::default(),
            runner: None,
            supervisor: None,
            sweeper: None,
            packer: None,
            scheduler: None,
            tally: None,
            key_uses: Arc::default(),
            api_calls: Arc::default(),
            hook_key: Arc::new(KeyFile::new(self.directory.as_deref(), HOOK_KEY_FILE)),
            audit_key: Arc::new(KeyFile::new(self.directory.as_deref(), audit::KEY_FILE)),
            refusals: Arc::default(),
            keeper: None,
            directory: self.directory,
            temporary: None,
        })
    }
}

impl Builder {
    /// Gives space of its directory's store back to the file system that was freed by what was
    /// removed. Blocks; nobody may have it open.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] when it is kept in memory; [`Error::Store`] as
    /// [`Store::compact`].
    pub fn compact(self) -> Result<Compaction> {
        let directory = self.directory.ok_or(Error::NotRunning)?;
        Ok(Store::compact(directory.join("automa.redb"))?)
    }
}

/// Makes a directory for what is kept in files although records are in memory.
fn temporary_directory() -> Result<TempDir> {
    let parent = std::env::temp_dir();
    tempfile::Builder::new().prefix("automa-").tempdir_in(&parent).map_err(|source| {
        Error::Directory { doing: "making a temporary directory", path: parent, source }
    })
}

/// Makes a directory that its owner alone may enter; one that exists is left as it is.
fn make_private(path: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

impl Automa {
    /// Begins with the system's clock and nothing stored.
    pub fn builder() -> Builder {
        let clock = Arc::new(SystemClock::new());
        Builder {
            directory: None,
            clock,
            engine: EngineConfig::default(),
            slots: None,
            per_user: None,
            free_disk: None,
            agents: agent::RUNNING,
            master_keys: MasterKeys::default(),
        }
    }

    /// Signing in, and who is signed in.
    #[must_use]
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions::new(self)
    }

    /// How the first user comes to be.
    #[must_use]
    pub fn setup(&self) -> Setup<'_> {
        Setup::new(self)
    }

    /// Users, on behalf of `actor`.
    #[must_use]
    pub fn users<'a>(&'a self, actor: &'a Actor) -> Users<'a> {
        Users::new(self, actor)
    }

    /// API keys, on behalf of `actor`.
    #[must_use]
    pub fn api_keys<'a>(&'a self, actor: &'a Actor) -> ApiKeys<'a> {
        ApiKeys::new(self, actor)
    }

    /// Tiers, on behalf of `actor`.
    #[must_use]
    pub fn tiers<'a>(&'a self, actor: &'a Actor) -> Tiers<'a> {
        Tiers::new(self, actor)
    }

    /// What `actor` may use, and has used.
    #[must_use]
    pub fn quotas<'a>(&'a self, actor: &'a Actor) -> QuotasOf<'a> {
        QuotasOf::new(self, actor)
    }

    /// Looks again how much users may run.
    pub(crate) fn plans_changed(&self) -> Result<()> {
        self.runner.as_ref().map_or(Ok(()), |runner| runner.plans_changed())
    }

    /// Who acts by an API key.
    #[must_use]
    pub fn keyring(&self) -> Keyring<'_> {
        Keyring::new(self)
    }

    /// The account of `actor`, who is signed in by a session.
    #[must_use]
    pub fn profile<'a>(&'a self, actor: &'a Actor, session: SessionId) -> Profile<'a> {
        Profile::new(self, actor, session)
    }

    /// Setting a password by a link.
    #[must_use]
    pub fn resets(&self) -> Resets<'_> {
        Resets::new(self)
    }

    /// Scripts and their versions, on behalf of `actor`.
    #[must_use]
    pub fn scripts<'a>(&'a self, actor: &'a Actor) -> Scripts<'a> {
        Scripts::new(self, actor)
    }

    /// Executions, on behalf of `actor`.
    #[must_use]
    pub fn executions<'a>(&'a self, actor: &'a Actor) -> Executions<'a> {
        Executions::new(self, actor)
    }

    /// Jobs, on behalf of `actor`.
    #[must_use]
    pub fn jobs<'a>(&'a self, actor: &'a Actor) -> Jobs<'a> {
        Jobs::new(self, actor)
    }

    /// Webhooks, on behalf of who knows their addresses.
    #[must_use]
    pub fn hooks(&self) -> Hooks<'_> {
        Hooks::new(self)
    }

    /// Looks again when a job is due.
    pub(crate) fn schedule_changed(&self) {
        if let Some(scheduler) = &self.scheduler {
            scheduler.changed();
        }
    }

    /// Credentials, on behalf of `actor`.
    #[must_use]
    pub fn credentials<'a>(&'a self, actor: &'a Actor) -> Credentials<'a> {
        Credentials::new(self, actor)
    }

    /// Agents, on behalf of `actor`.
    #[must_use]
    pub fn agents<'a>(&'a self, actor: &'a Actor) -> Agents<'a> {
        Agents::new(self, actor)
    }

    /// The same with something that runs executions.
    #[cfg(test)]
    pub(crate) fn with_runner(self, runner: Arc<Runner>) -> Self {
        Self { runner: Some(runner), ..self }
    }

    /// How long things are kept, on behalf of `actor`.
    #[must_use]
    pub fn retention<'a>(&'a self, actor: &'a Actor) -> Retention<'a> {
        Retention::new(self, actor)
    }

    /// What the data directory holds, on behalf of `actor`.
    #[must_use]
    pub fn disk<'a>(&'a self, actor: &'a Actor) -> Disk<'a> {
        Disk::new(self, actor)
    }

    /// Goes on with the rotation of the master key, if one is under way.
    pub(crate) fn rotate_soon(&self) {
        if let Some(rotator) = &self.rotator {
            rotator.soon();
        }
    }

    /// Removes what is beyond its time before the next hour.
    pub(crate) fn sweep_soon(&self) {
        if let Some(sweeper) = &self.sweeper {
            sweeper.soon();
        }
    }

    /// What runs executions.
    pub(crate) fn runner(&self) -> Result<&Runner> {
        self.runner.as_deref().ok_or(Error::NotRunning)
    }

    /// What was done by whom, on behalf of `actor`.
    #[must_use]
    pub fn audit<'a>(&'a self, actor: &'a Actor) -> Audit<'a> {
        Audit::new(self, actor)
    }

    /// What its clock shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> Subscription {
        self.store.subscribe()
    }

    /// Whether changes can be made and executions started.
    #[must_use]
    pub fn health(&self) -> Health {
        let engine = self.runner.as_ref().map_or(EngineHealth::NotStarted, |it| it.health());
        Health { store: self.store.health(), engine }
    }

    /// What this host enforces on executions; `None` if this Automa was opened to look.
    #[must_use]
    pub fn protections(&self) -> Option<Vec<Protection>> {
        self.runner.as_ref().map(|runner| runner.protections())
    }

    /// As [`close`](Self::close), but cancels what is still running after `grace`: a script that
    /// never ends does not keep the program from it.
    pub async fn close_within(&self, grace: Duration) {
        let mut closing = pin!(self.close());
        if timeout(grace, &mut closing).await.is_err() {
            if let Some(runner) = &self.runner {
                runner.cancel_all();
            }
            closing.await;
        }
    }

    /// Stops agents, waits for what is running, leaves what is queued for the next start, and closes
    /// the store. All handles are closed by it.
    pub async fn close(&self) {
        if let Some(scheduler) = &self.scheduler {
            scheduler.stop().await;
        }
        if let Some(supervisor) = &self.supervisor {
            supervisor.stop().await;
        }
        if let Some(runner) = &self.runner {
            runner.stop().await;
        }
        if let Some(sweeper) = &self.sweeper {
            sweeper.stop().await;
        }
        if let Some(packer) = &self.packer {
            packer.stop().await;
        }
        if let Some(rotator) = &self.rotator {
            rotator.stop().await;
        }
        if let Some(tally) = &self.tally {
            tally.stop().await;
        }
        if let Err(error) = tally::write(self).await {
            tracing::warn!(%error, "what was counted within the last minute is lost");
        }
        if let Some(keeper) = &self.keeper {
            keeper.stop().await;
        }
        self.store.shutdown().await;
    }
}
