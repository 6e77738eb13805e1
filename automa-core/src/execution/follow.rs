//! Following an execution's log from before its start until after its end.

use tokio::sync::watch;

use super::{
    AttemptOf, Executions, State,
    log::{LogReader, LogTail, WINDOW_LINES, Window},
    runner::LiveLog,
};
use crate::{
    Automa, Error, Result, actor::Permission, blocking, event::Changes, id::ExecutionId, store,
};

/// Waits for the lines of one attempt of an execution: for its start, for each line, and for its end.
///
/// A follower that is slow, or drops and comes back, loses nothing: lines are read from the log.
#[derive(Debug)]
pub struct Follow {
    automa: Automa,
    id: ExecutionId,
    attempt: u32,
    /// From before the first look at the execution, so that nothing falls between the two.
    changes: Changes,
    log: Log,
}

/// Where the lines come from.
#[derive(Debug)]
enum Log {
    /// It is not known to be there yet.
    Awaited,
    /// A writer is at it.
    Live(LogTail),
    /// It will not grow.
    Finished(LogReader),
}

/// Where an execution is, as far as its log is concerned.
enum Phase {
    Waiting,
    /// It was begun; its log is made at any moment, if it has not been.
    Begun(watch::Receiver<Option<LiveLog>>),
    Over,
}

impl Executions<'_> {
    /// Follows the log of an execution's last attempt, or of another, whether or not that has begun,
    /// and even if it has ended.
    ///
    /// # Errors
    ///
    /// As [`log`](Self::log).
    pub fn follow(&self, of: impl Into<AttemptOf>) -> Result<Follow> {
        self.actor.require(Permission::ReadExecutions)?;
        self.automa.runner()?;
        let of = of.into();
        let changes = self.automa.store.changes_of(of.execution);
        let (execution, attempt) = self.attempt(of)?;
        if let Some(at) = self.log_removed(execution.id)? {
            return Err(Error::LogRemoved { at });
        }
        Ok(Follow {
            automa: self.automa.clone(),
            id: execution.id,
            attempt,
            changes,
            log: Log::Awaited,
        })
    }
}

impl Follow {
    /// The next lines from line `from` on, 1 being the first, as soon as there is one; `None` once
    /// the attempt has ended and there are no more.
    ///
    /// Ask for [`Window::next`] to go on, or for any line to resume from there. May be cancelled
    /// without loss.
    ///
    /// # Errors
    ///
    /// The store's, and those of [`LogReader::lines`].
    pub async fn next(&mut self, from: u64) -> Result<Option<Window>> {
        loop {
            match &mut self.log {
                Log::Awaited => self.log = self.awaited().await?,
                Log::Live(tail) => {
                    if let Some(window) = tail.next(from).await? {
                        return Ok(Some(window));
                    }
                    // Recorded as ended a moment after its log was closed.
                    self.over().await?;
                    return Ok(None);
                }
                Log::Finished(reader) => {
                    let reader = reader.clone();
                    let window =
                        blocking::run(move || Ok::<_, Error>(reader.lines(from, WINDOW_LINES)?))
                            .await?;
                    return Ok(Some(window).filter(|window| !window.lines.is_empty()));
                }
            }
        }
    }

    /// Waits until there is a log.
    async fn awaited(&mut self) -> Result<Log> {
        loop {
            match self.phase()? {
                Phase::Waiting => self.changed().await,
                Phase::Begun(mut log) => {
                    // If it came to nothing, the next look tells what became of it.
                    let made = |log: &Option<LiveLog>| {
                        log.as_ref().is_some_and(|log| log.attempt == self.attempt)
                    };
                    if let Ok(Some(log)) = log.wait_for(made).await.as_deref() {
                        return Ok(Log::Live(log.handle.subscribe()));
                    }
                }
                Phase::Over => {
                    let (automa, id, attempt) = (self.automa.clone(), self.id, self.attempt);
                    let open = move || automa.runner()?.log(id, attempt, true);
                    return Ok(Log::Finished(blocking::run(open).await?));
                }
            }
        }
    }

    /// Waits until the attempt has ended.
    async fn over(&mut self) -> Result<()> {
        while !matches!(self.phase()?, Phase::Over) {
            self.changed().await;
        }
        Ok(())
    }

    fn phase(&self) -> Result<Phase> {
        let state = || -> Result<State> {
            let found = self.automa.store.look(|view| store::executions::get(view, self.id))?;
            // Whatever comes after an attempt, that has ended.
            let found = found.filter(|execution| execution.attempt == self.attempt);
            Ok(found.map_or(State::Lost, |execution| execution.state))
        };
        let runner = self.automa.runner()?;
        Ok(match (state()?, runner.live_log(self.id)) {
            (State::Queued | State::Running, Some(log)) => Phase::Begun(log),
            (State::Queued, None) => Phase::Waiting,
            // Whoever was running a moment ago and now is not has ended in between.
            _ => Phase::Over,
        })
    }

    /// Waits until something has become of the execution, or the store is closed, which the next look
    /// at it tells.
    async fn changed(&mut self) {
        self.changes.next().await;
    }
}
