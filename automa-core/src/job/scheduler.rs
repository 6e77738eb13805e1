//! The scheduler: starts what is due, and sleeps until the next time.
//!
//! What is due is an index of the store, so that a tick costs as much as there is due, however many jobs
//! there are, and nothing is kept in memory. Of a thousand jobs of the same second, each is a change of
//! its own, and those share transactions as all changes do.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{Notify, watch},
    task::{JoinHandle, JoinSet},
};

use super::{Became, By, Claim, Job, PastSlot, claim, plan::Plan};
use crate::{
    Automa, Error, Result,
    actor::{Actor, Origin},
    error::StoreError,
    id::JobId,
    store::{self, change::Change},
};

/// How many slots one tick decides at most.
const BATCH: usize = 1000;
/// Time after which it is tried again to start what could not be accepted.
const AGAIN: SignedDuration = SignedDuration::from_secs(1);

/// The task that starts jobs.
#[derive(Debug)]
pub(crate) struct Scheduler {
    task: Mutex<Option<JoinHandle<()>>>,
    stop: watch::Sender<bool>,
    changed: Arc<Notify>,
}

/// What a tick came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tick {
    /// How many slots were due.
    pub(crate) due: usize,
    /// Whether some could not be decided: the disk is full, or the store fails.
    pub(crate) stuck: bool,
}

impl Scheduler {
    /// Begins with what is due, on an Automa that runs executions.
    pub(crate) fn start(automa: Automa) -> Self {
        let (stop, changed) = (watch::Sender::new(false), Arc::new(Notify::new()));
        let (mut stopped, news) = (stop.subscribe(), Arc::clone(&changed));
        #[expect(clippy::disallowed_methods, reason = "joined by `stop`")]
        let task = tokio::spawn(async move {
            while !*stopped.borrow() {
                let wake = wake(&automa).await;
                let until = async {
                    match wake {
                        Some(wake) => automa.clock.until(wake).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    _ = stopped.wait_for(|stop| *stop) => return,
                    () = news.notified() => {}
                    () = until => {}
                }
            }
        });
        Self { task: Mutex::new(Some(task)), stop, changed }
    }

    /// Looks again when something is due.
    pub(crate) fn changed(&self) {
        self.changed.notify_one();
    }

    /// Starts nothing more; what is being accepted is.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // A panic in it was reported when it happened.
            let _ = task.await;
        }
    }
}

/// Ticks, and tells when to do so again.
async fn wake(automa: &Automa) -> Option<Timestamp> {
    let now = automa.clock.now();
    let ticked = tick(automa).await.and_then(|tick| {
        let next = automa.store.look(store::jobs::next_due)?;
        Ok(if tick.stuck { now.checked_add(AGAIN).ok().max(next) } else { next })
    });
    ticked.unwrap_or_else(|error| {
        tracing::warn!(%error, "jobs that are due could not be looked for");
        now.checked_add(AGAIN).ok()
    })
}

/// Decides slots that are due, one of each job.
pub(crate) async fn tick(automa: &Automa) -> Result<Tick> {
    let now = automa.clock.now();
    let plan = move |view: &_| {
        let mut plans = Vec::new();
        for id in store::jobs::due(view, now, BATCH)? {
            let next = store::jobs::schedule(view, id)?.next;
            if let (Some(job), Some(next)) = (store::jobs::get(view, id)?, next) {
                let plan = Plan::of(&job, next, now);
                plans.push((job, plan));
            }
        }
        Ok::<_, StoreError>(plans)
    };
    let plans = automa.store.read(plan).await?;
    let due = plans.len();
    let mut deciding = JoinSet::new();
    for (job, plan) in plans {
        let automa = automa.clone();
        deciding.spawn(async move { decide(&automa, &job, plan, now).await });
    }
    let mut stuck = false;
    while let Some(decided) = deciding.join_next().await {
        // A panic was reported when it happened; the slot is still due.
        let decided = decided.unwrap_or(Err(Error::NotRunning));
        if let Err(error) = decided {
            tracing::warn!(%error, "a job that is due could not be started, and is tried again");
            stuck = true;
        }
    }
    Ok(Tick { due, stuck })
}

/// Starts what a plan runs, or records why not.
///
/// # Errors
///
/// What passes: the slot stays due.
async fn decide(automa: &Automa, job: &Job, plan: Plan, now: Timestamp) -> Result<()> {
    let Some(claim) = Claim::planned(job, &plan) else {
        return move_on(automa, job.id, plan, None).await;
    };
    let (at, by) = (claim.slot.at, plan.run.map_or(By::Trigger, |(_, by)| by));
    let started = match owner(automa, job)? {
        Ok(actor) => {
            let new = claim::execution(job, job.parameters.clone());
            automa.executions(&actor).submit_for(new, claim).await.map(|_| ())
        }
        Err(reason) => {
            let skipped = PastSlot { at, decided_at: now, by, became: Became::Skipped(reason) };
            return move_on(automa, job.id, plan, Some(skipped)).await;
        }
    };
    match started {
        // Somebody has changed it meanwhile: it is looked at again.
        Ok(()) | Err(Error::Conflict { kind: "job", .. }) => Ok(()),
        Err(Error::Conflict { .. }) => move_on(automa, job.id, plan, None).await,
        Err(
            error @ (Error::Store(_)
            | Error::NotRunning
            | Error::DiskFull { .. }
            | Error::Sandbox(_)
            | Error::Directory { .. }),
        ) => Err(error),
        Err(error) => {
            let became = Became::Skipped(error.to_string());
            let skipped = PastSlot { at, decided_at: now, by, became };
            move_on(automa, job.id, plan, Some(skipped)).await
        }
    }
}

async fn move_on(automa: &Automa, job: JobId, plan: Plan, skipped: Option<PastSlot>) -> Result<()> {
    let change =
        move |change: &mut Change| Ok(claim::decide(change, job, &plan, skipped.as_ref())?);
    automa.store.write(change).await
}

/// In whose name a job runs, as they may act today; else why it does not.
pub(super) fn owner(automa: &Automa, job: &Job) -> Result<Result<Actor, String>> {
    let Some(id) = job.owner else {
        let name = job.owner_name.clone();
        let origin = Origin::Scheduler;
        return Ok(Ok(Actor { origin, ..Actor::embedder(name) }));
    };
    let user = automa.store.look(|view| store::users::get(view, id))?;
    if user.as_ref().is_some_and(|user| user.disabled_at.is_some()) {
        let reason = format!("{}, in whose name it runs, is disabled", job.owner_name);
        return Ok(Err(reason));
    }
    Ok(user.map(|user| Actor::user(id, user.username, user.role, Origin::Scheduler)).ok_or_else(
        || format!("{}, in whose name it runs, is gone: save the job again", job.owner_name),
    ))
}
