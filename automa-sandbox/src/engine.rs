//! What callers hold: starts sandboxes, after checking that the host provides what is required.

use std::{fmt, sync::Arc};

use crate::{
    child::{Child, Output},
    class::Class,
    command::{Command, Prepared, Stdout},
    config::EngineConfig,
    directory::{self, Shown},
    error::Error,
    host::Host,
    pool::Pool,
    protection::{Feature, Protection, Status},
    supervisor,
};

/// Starts sandboxes. Cheap to clone; when the last clone and the last [`Child`] are gone, so are
/// the helper processes and the groups.
#[derive(Clone)]
pub struct Engine {
    pool: Arc<Pool>,
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
        let slots = config.slots;
        let pool = Pool::start(config).await?;
        tracing::debug!(slots, cgroups = pool.host().cgroups(), "engine started");
        Ok(Self { pool: Arc::new(pool) })
    }

    /// How many sandboxes run at the same time.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.pool.slots()
    }

    /// What this host enforces.
    #[must_use]
    pub fn host(&self) -> &Host {
        self.pool.host()
    }

    /// The protections that `command` would have here.
    #[must_use]
    pub fn protections(&self, command: &Command) -> Vec<Protection> {
        let host = self.pool.host();
        let mut protections = host.protections_of(command.policy.profile());
        for Protection { feature, status } in &mut protections {
            match feature {
                Feature::OutputLimit if matches!(command.stdout, Stdout::Null) => {
                    *status = Status::Missing("the output is not read by the engine".to_owned());
                }
                Feature::DiskLimit if command.writes_directories() => {
                    *status = Status::Weaker(directory::SOFT_LIMIT.to_owned());
                }
                Feature::Filesystem if !command.directories.is_empty() => {
                    *status = host.filesystem(true);
                }
                _ => {}
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
        let class = self.class(&command, &prepared);
        let mut lease = self.pool.lease(&class, command.cold).await?;
        let shown = if command.directories.is_empty() {
            Shown::default()
        } else {
            let user = lease.user();
            // Whoever waits here may stop waiting.
            let unused = lease.unused();
            let shown = self.pool.mounter().show(&command.directories, user).await?;
            lease = unused.used();
            shown
        };
        supervisor::start(lease, command, class, &prepared, shown, protections)
    }

    /// Prepares sandboxes for commands like this one, until `count` of them wait or as many as the
    /// engine may [keep](EngineConfig::warm). Without it the first starts of an engine are cold; later
    /// ones find what was prepared after the runs before them.
    ///
    /// # Errors
    ///
    /// [`Error::Host`] when a step failed, as it would when `command` was started,
    /// [`Error::InvalidCommand`] as for [`spawn`](Self::spawn), and [`Error::Stopped`] when the helper
    /// has died.
    pub async fn prewarm(&self, command: &Command, count: usize) -> Result<(), Error> {
        let prepared = command.prepare()?;
        self.pool.prewarm(&self.class(command, &prepared), count).await
    }

    fn class(&self, command: &Command, prepared: &Prepared) -> Class {
        let limits = supervisor::process_limits(
            self.host(),
            command.policy.limits_ref(),
            prepared.writes_directories,
        );
        command.class(prepared, limits)
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
        self.pool.drain().await;
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("host", self.pool.host()).finish_non_exhaustive()
    }
}
