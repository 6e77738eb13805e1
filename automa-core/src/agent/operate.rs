//! What is asked of an agent that is there: to start, to stop, and what its script is told while it
//! runs.

use std::{fmt, str::FromStr};

use super::{
    Agents, Status, find,
    state::{Input, Moment},
    supervision,
};
use crate::{
    Error, Result,
    actor::Permission,
    audit::{Action, Entry},
    error::FieldError,
    execution::TellError,
    id::{AgentId, ExecutionId},
    store::{self, change::Change},
};

/// Most bytes of a line for an agent: what a pipe takes as a whole (`pipe(7)`), with its newline.
pub const LINE_MAX: usize = 4095;

/// A signal that an agent can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `SIGHUP`: by custom, read the configuration again.
    Hup,
    /// `SIGINT`
    Int,
    /// `SIGTERM`: end. Unlike a stop, it is started again after that.
    Term,
    /// `SIGUSR1`
    Usr1,
    /// `SIGUSR2`
    Usr2,
    /// `SIGKILL`, to everything in its sandbox.
    Kill,
}

/// There is no signal of this name that can be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot be sent; there are {all}", all = Signal::ALL.map(Signal::name).join(", "))]
pub struct UnknownSignal(String);

impl Signal {
    /// All there are.
    pub const ALL: [Self; 6] =
        [Self::Hup, Self::Int, Self::Term, Self::Usr1, Self::Usr2, Self::Kill];

    /// Its name, without `SIG`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hup => "HUP",
            Self::Int => "INT",
            Self::Term => "TERM",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
            Self::Kill => "KILL",
        }
    }

    /// Its number, as the audit log has it.
    #[must_use]
    pub fn number(self) -> i32 {
        use nix::sys::signal::Signal as Nix;
        let signal = match self {
            Self::Hup => Nix::SIGHUP,
            Self::Int => Nix::SIGINT,
            Self::Term => Nix::SIGTERM,
            Self::Usr1 => Nix::SIGUSR1,
            Self::Usr2 => Nix::SIGUSR2,
            Self::Kill => Nix::SIGKILL,
        };
        signal as i32
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(name: &str) -> Result<Self, UnknownSignal> {
        let found = Self::ALL.into_iter().find(|signal| signal.name() == name);
        found.ok_or_else(|| UnknownSignal(name.to_owned()))
    }
}

impl Agents<'_> {
    /// Means an agent to run from now on: one that does not is started, also in the middle of a pause.
    /// It stays meant when Automa is started again. Starting one that runs changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], [`Error::NotRunning`], and the store's.
    pub async fn start(&self, id: AgentId) -> Result<Status> {
        self.actor.require(Permission::WriteAgents)?;
        let why = format!("{} has started it", self.actor.name);
        self.ask(id, Action::AgentStarted(id), why, |why| Input::Start(why)).await
    }

    /// Means an agent not to run any more: what runs is asked to end by `SIGTERM`, and ended by force
    /// after its grace.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn stop(&self, id: AgentId) -> Result<Status> {
        self.actor.require(Permission::WriteAgents)?;
        let why = format!("{} has stopped it", self.actor.name);
        self.ask(id, Action::AgentStopped(id), why, |why| Input::Stop(why)).await
    }

    /// Ends what runs as [`stop`](Self::stop) does, and starts it anew; one that does not run is
    /// started.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn restart(&self, id: AgentId) -> Result<Status> {
        self.actor.require(Permission::WriteAgents)?;
        let why = format!("{} has restarted it", self.actor.name);
        self.ask(id, Action::AgentRestarted(id), why, |why| Input::Restart(why)).await
    }

    async fn ask(
        &self,
        id: AgentId,
        action: Action,
        why: String,
        input: fn(&str) -> Input<'_>,
    ) -> Result<Status> {
        let runner = self.automa.runner()?;
        let entry = Entry::new(&*self.automa.clock, self.actor, action);
        let at = Moment { now: self.automa.clock.now(), random: 0 };
        let change = move |change: &mut Change| {
            let agent = find(change, id)?;
            let before = supervision::find(change, id)?;
            store::audit::add(change, &entry)?;
            Ok::<_, Error>(supervision::apply(change, &agent, before, input(&why), at)?)
        };
        let supervision = self.automa.store.write(change).await?;
        runner.agents_changed();
        Ok(self.seen(supervision))
    }

    /// Writes a line to what an agent's script reads as its standard input.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], [`Error::Invalid`]; [`Error::AgentStopped`] when it
    /// does not run; [`Error::AgentDeaf`] when it has not read what it was sent before.
    pub async fn tell(&self, id: AgentId, line: &str) -> Result<()> {
        self.actor.require(Permission::WriteAgents)?;
        if line.len() > LINE_MAX || line.contains(['\n', '\r', '\0']) {
            let reason = format!("must be one line of at most {LINE_MAX} bytes");
            return Err(Error::Invalid(vec![FieldError::new("line", reason)]));
        }
        let execution = self.current(id)?;
        let console = self.automa.runner()?.console(execution).ok_or(Error::AgentStopped)?;
        let entry = Entry::new(&*self.automa.clock, self.actor, Action::AgentTold(id));
        self.record(entry).await?;
        console.tell(line).map_err(|error| match error {
            TellError::Full => Error::AgentDeaf,
            TellError::Closed => Error::AgentStopped,
        })
    }

    /// Sends a signal to an agent's script. If it ends by that, the agent's rules say what follows.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`]; [`Error::AgentStopped`] when it does not run; and
    /// the store's.
    pub async fn signal(&self, id: AgentId, signal: Signal) -> Result<()> {
        self.actor.require(Permission::WriteAgents)?;
        let execution = self.current(id)?;
        let console = self.automa.runner()?.console(execution).ok_or(Error::AgentStopped)?;
        let action = Action::AgentSignalled(id, signal.number());
        self.record(Entry::new(&*self.automa.clock, self.actor, action)).await?;
        console.signal(signal.number());
        Ok(())
    }

    fn current(&self, id: AgentId) -> Result<ExecutionId> {
        let supervision = self.automa.store.look(|view| supervision::find(view, id))?;
        supervision.execution().ok_or(Error::AgentStopped)
    }

    /// Records what is about to be done.
    async fn record(&self, entry: Entry) -> Result<()> {
        let change = move |change: &mut Change| Ok::<_, Error>(store::audit::add(change, &entry)?);
        self.automa.store.write(change).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_one_name_and_its_number() {
        for signal in Signal::ALL {
            assert_eq!(signal.name().parse(), Ok(signal));
        }
        assert_eq!(Signal::ALL.map(Signal::number), [1, 2, 15, 10, 12, 9]);
        let error = "SIGHUP".parse::<Signal>().unwrap_err().to_string();
        assert_eq!(error, "`SIGHUP` cannot be sent; there are HUP, INT, TERM, USR1, USR2, KILL");
    }
}
