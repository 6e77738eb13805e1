//! What starts when: the queue with its clock, and the way of an execution into it.

use std::sync::{Arc, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::{oneshot, watch};

use super::{
    super::{
        Admission, Execution, Shortage, State,
        queue::{Entry, Queue},
    },
    Runner, Running, told,
};
use crate::{
    Error, Result,
    error::StoreError,
    id::ExecutionId,
    store::{self, change::Change},
};

/// The queue, and who is on the way into it.
pub(super) struct Line {
    pub(super) queue: Queue,
    /// How many are being accepted to wait: nobody who comes later starts before them.
    arriving: usize,
    admission: Admission,
}

/// What became of a submission.
#[derive(Debug)]
pub(in super::super) struct Accepted {
    pub(in super::super) execution: Execution,
    /// Those that run, and have to end for it.
    pub(in super::super) replaced: Vec<ExecutionId>,
}

impl Line {
    pub(super) fn new(queue: Queue, admission: Admission) -> Self {
        Self { queue, arriving: 0, admission }
    }

    /// Whether nobody is on the way, nothing could start, and what runs is as much as is said.
    #[cfg(test)]
    pub(super) fn is_quiet(&self, now: Timestamp, running: usize) -> bool {
        self.arriving == 0 && self.queue.is_quiet(now, running)
    }

    /// Takes note of the time, and of what the host has.
    fn look(&mut self, now: Timestamp) -> Option<Shortage> {
        let shortage = self.admission.shortage(now);
        self.queue.set_shortage(shortage);
        self.queue.tick(now);
        shortage
    }
}

impl Runner {
    /// Makes the change that accepts an execution, as started if it is told so, and sees to it,
    /// whether or not anyone waits here. A `change` that gives another execution starts nothing.
    pub(in super::super) async fn accept<F>(&self, entry: Entry, change: F) -> Result<Execution>
    where
        F: FnMut(&mut Change, bool) -> Result<Accepted> + Send + 'static,
    {
        let running = self.running.clone();
        let (tell, accepted) = oneshot::channel();
        if running.starts_at_once(&entry)? {
            self.running.spawn(async move {
                running.accept_and_run(entry.id, change, tell).await;
            });
        } else {
            self.running.spawn(async move { running.accept_to_wait(entry, change, tell).await });
        }
        accepted.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }
}

impl Running {
    pub(super) fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts what can be started, and ends what has waited for too long, until told to stop.
    pub(super) async fn dispatch(self: Arc<Self>) {
        let mut stop = self.stop.subscribe();
        loop {
            let wake = self.start_what_can();
            tokio::select! {
                () = told(&mut stop) => break,
                () = self.changed.notified() => {}
                () = self.until(wake) => {}
            }
        }
    }

    /// Gives each execution whose turn it is a task. Tells when to look again by the clock.
    fn start_what_can(self: &Arc<Self>) -> Option<Timestamp> {
        let now = self.clock.now();
        let mut line = self.line();
        line.queue.tick(now);
        while let Some(id) = line.queue.expired(now) {
            let running = self.clone();
            self.spawn(async move { running.expire(id).await });
        }
        let shortage = if line.queue.has_ready() { line.look(now) } else { None };
        while let Some(id) = line.queue.next() {
            let running = self.clone();
            self.spawn(async move { running.run_queued(id).await });
        }
        let look = line.admission.next_look().filter(|_| shortage.is_some());
        line.queue.next_time().into_iter().chain(look).min()
    }

    /// Waits until a moment, for ever if there is none.
    async fn until(&self, moment: Option<Timestamp>) {
        match moment {
            Some(moment) => self.clock.until(moment).await,
            None => std::future::pending().await,
        }
    }

    /// Whether a new execution starts now, in which case its slot is taken; else it is on the way
    /// into the queue, unless there is no place for what it would write.
    fn starts_at_once(&self, entry: &Entry) -> Result<bool> {
        let now = self.clock.now();
        let mut line = self.line();
        if let Some(Shortage::Disk { free, least }) = line.look(now) {
            return Err(Error::DiskFull { free, least });
        }
        let stopped = *self.stop.borrow();
        let starts = !stopped && line.arriving == 0 && line.queue.start_new(entry, now);
        line.arriving += usize::from(!starts);
        Ok(starts)
    }

    /// Makes the change that accepts an execution to wait, puts it into the queue, and tells.
    async fn accept_to_wait(
        &self,
        entry: Entry,
        mut change: impl FnMut(&mut Change, bool) -> Result<Accepted> + Send + 'static,
        tell: oneshot::Sender<Result<Execution>>,
    ) {
        let id = entry.id;
        let arriving = Arriving(self);
        let accepted = self.store.write(move |it: &mut Change| change(it, false)).await;
        match &accepted {
            Ok(accepted) => {
                self.end_replaced(accepted);
                self.line_up(&accepted.execution, id);
            }
            // Whether it was stored can be told when the store is available again.
            Err(Error::Store(error @ StoreError::Commit(_))) => {
                if self.store.outlives(error).await {
                    self.line_up_again(id);
                }
            }
            Err(_) => {}
        }
        drop(arriving);
        // Whoever does not wait any more does not want to know.
        let _ = tell.send(accepted.map(|accepted| accepted.execution));
    }

    /// Puts an execution into the queue if it is the one of this id, and waits.
    fn line_up(&self, execution: &Execution, id: ExecutionId) {
        if execution.id == id && execution.state == State::Queued {
            self.line().queue.accept(execution.entry(), self.clock.now());
            self.changed.notify_one();
        }
    }

    /// Puts an execution into the queue that waits as far as the store knows.
    pub(super) fn line_up_again(&self, id: ExecutionId) {
        match self.store.look(|view| store::executions::get(view, id)) {
            Ok(Some(execution)) => self.line_up(&execution, id),
            Ok(None) => {}
            Err(error) => tracing::error!(%id, %error, "an execution could not be queued"),
        }
    }

    /// Asks those to end that a new one takes the places of.
    pub(super) fn end_replaced(&self, accepted: &Accepted) {
        for &id in &accepted.replaced {
            self.cancel(id, super::GRACE);
        }
    }

    /// Ends one that has waited until its deadline.
    async fn expire(&self, id: ExecutionId) {
        let now = self.clock.now();
        self.insist(id, move |change, execution| {
            if execution.state == State::Queued {
                let cause = format!("was not {} before its deadline", execution.step());
                execution.end_unstarted(State::TimedOut, now, &cause);
                store::executions::put(change, execution)?;
            }
            Ok(())
        })
        .await;
    }

    /// Runs a task that `stop` waits for.
    pub(super) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.send_modify(|tasks| *tasks += 1);
        let counted = Counted(self.clone());
        #[expect(clippy::disallowed_methods, reason = "joined by its count: `stop`")]
        tokio::spawn(async move {
            task.await;
            drop(counted);
        });
    }
}

/// One that is on the way into the queue.
struct Arriving<'a>(&'a Running);

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        self.0.line().arriving -= 1;
        self.0.changed.notify_one();
    }
}

/// A task that has not ended.
struct Counted(Arc<Running>);

impl Drop for Counted {
    fn drop(&mut self) {
        let tasks: &watch::Sender<usize> = &self.0.tasks;
        tasks.send_modify(|tasks| *tasks -= 1);
    }
}
