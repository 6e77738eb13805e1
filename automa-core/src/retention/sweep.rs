//! The sweep: removes what is beyond its time, a batch at a time, so that nothing else waits long.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

use super::ScriptRules;
use crate::{
    Error, Result,
    actor::{Actor, Origin},
    audit::{Action, Entry},
    blocking,
    clock::Clock,
    execution::{ATTEMPTS_MAX, ArtifactFiles, log_name},
    id::{ExecutionId, ScriptId},
    store::{self, Store, change::Change},
};

/// Most records that one change looks at.
const BATCH: usize = 1000;
/// Time between the start and the first sweep.
const FIRST: Duration = Duration::from_mins(1);
/// Time between two sweeps.
const BETWEEN: Duration = Duration::from_hours(1);

/// What a sweep removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Swept {
    pub(crate) executions: u64,
    /// Logs, those of these executions included.
    pub(crate) logs: u64,
    pub(crate) bytes: u64,
}

impl Swept {
    fn add(&mut self, other: Self) {
        self.executions += other.executions;
        self.logs += other.logs;
        self.bytes += other.bytes;
    }
}

/// The task that sweeps now and then.
#[derive(Debug)]
pub(crate) struct Sweeper {
    task: Mutex<Option<JoinHandle<()>>>,
    stop: watch::Sender<bool>,
    soon: Arc<Notify>,
}

impl Sweeper {
    pub(crate) fn start(
        store: Store,
        clock: Arc<dyn Clock>,
        (logs, artifacts): (PathBuf, ArtifactFiles),
    ) -> Self {
        let (stop, soon) = (watch::Sender::new(false), Arc::new(Notify::new()));
        let (mut stopped, wanted) = (stop.subscribe(), Arc::clone(&soon));
        #[expect(clippy::disallowed_methods, reason = "joined by `stop`")]
        let task = tokio::spawn(async move {
            let sweep = Sweep { store, clock, logs, artifacts };
            let mut wait = FIRST;
            loop {
                let wait_for = SignedDuration::try_from(wait).unwrap_or_default();
                let next = sweep.clock.now().checked_add(wait_for).unwrap_or(Timestamp::MAX);
                tokio::select! {
                    _ = stopped.wait_for(|stop| *stop) => return,
                    () = sweep.clock.until(next) => {}
                    () = wanted.notified() => {}
                }
                wait = BETWEEN;
                tokio::select! {
                    // Between two changes: each is whole.
                    _ = stopped.wait_for(|stop| *stop) => return,
                    swept = sweep.run() => if let Err(error) = swept {
                        tracing::warn!(%error, "what is beyond its time could not be removed");
                    }
                }
            }
        });
        Self { task: Mutex::new(Some(task)), stop, soon }
    }

    /// Sweeps before its time, as the rules have changed.
    pub(crate) fn soon(&self) {
        self.soon.notify_one();
    }

    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // A panic in it was reported when it happened.
            let _ = task.await;
        }
    }
}

/// What a sweep needs.
#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) logs: PathBuf,
    pub(super) artifacts: ArtifactFiles,
}

/// One walk over executions or logs, from the oldest on.
struct Step {
    swept: Swept,
    /// Where to go on, if not at the end.
    next: Option<ExecutionId>,
}

impl Sweep {
    /// Removes everything that is beyond its time, and what a former sweep has left.
    pub(super) async fn run(&self) -> Result<Swept> {
        let now = self.clock.now();
        let read = |view: &_| {
            let rules = store::retention::get(view)?;
            Ok::<_, Error>((rules, store::retention::of_scripts(view)?))
        };
        let (rules, scripts) = self.store.read(read).await?;
        let scripts: Arc<[_]> = scripts.into();
        let mut swept = Swept::default();
        for (script, own) in scripts.iter() {
            swept.add(self.history(Some(*script), own.history_days, now, &scripts).await?);
            swept.add(self.aged_logs(Some(*script), own.log_days, now, &scripts).await?);
            swept.add(self.many_logs(Some(*script), own.log_bytes, now).await?);
        }
        swept.add(self.history(None, rules.history_days, now, &scripts).await?);
        swept.add(self.aged_logs(None, rules.log_days, now, &scripts).await?);
        swept.add(self.many_logs(None, rules.log_bytes, now).await?);
        if swept != Swept::default() {
            self.note(swept).await?;
        }
        self.files().await?;
        crate::script::sweep(&self.store, &*self.clock).await?;
        Ok(swept)
    }

    /// Executions that are older than `days`, of one script or of all that have no rule of their own.
    async fn history(
        &self,
        script: Option<ScriptId>,
        days: Option<u32>,
        now: Timestamp,
        scripts: &Arc<[(ScriptId, ScriptRules)]>,
    ) -> Result<Swept> {
        let Some(limit) = days.and_then(|days| before(now, days)) else {
            return Ok(Swept::default());
        };
        self.walk(|after| {
            let scripts = Arc::clone(scripts);
            move |change: &mut Change| {
                let end = ExecutionId::first_at(limit);
                let found = store::executions::oldest(change, script, (after, end), BATCH)?;
                let next = (found.len() == BATCH).then(|| found.last().map(|it| it.id)).flatten();
                let mut swept = Swept::default();
                for execution in found {
                    let own = script.is_none()
                        && own(&scripts, execution.script.map(|(script, _)| script))
                            .is_some_and(|it| it.history_days.is_some());
                    let old = execution.finished_at.is_some_and(|at| at < limit);
                    if own || !old || execution.state.is_open() {
                        continue;
                    }
                    let log = store::logs::forget(change, execution.id)?;
                    store::artifacts::delete(change, execution.id)?;
                    store::results::put(change, execution.id, None)?;
                    store::executions::remove(change, &execution)?;
                    swept.add(Swept {
                        executions: 1,
                        logs: u64::from(log.is_some()),
                        bytes: log.unwrap_or(0),
                    });
                }
                store::compact::note_removed(change, swept.executions)?;
                Ok(Step { swept, next })
            }
        })
        .await
    }

    /// Logs that are older than `days`.
    async fn aged_logs(
        &self,
        script: Option<ScriptId>,
        days: Option<u32>,
        now: Timestamp,
        scripts: &Arc<[(ScriptId, ScriptRules)]>,
    ) -> Result<Swept> {
        let Some(limit) = days.and_then(|days| before(now, days)) else {
            return Ok(Swept::default());
        };
        self.walk(|after| {
            let scripts = Arc::clone(scripts);
            move |change: &mut Change| {
                let found = oldest_logs(change, script, after)?;
                let next = (found.len() == BATCH).then(|| found.last().map(|it| it.0)).flatten();
                let (mut swept, end) = (Swept::default(), ExecutionId::first_at(limit));
                for (id, of) in found {
                    if id >= end {
                        return Ok(Step { swept, next: None });
                    }
                    let own = script.is_none()
                        && own(&scripts, of).is_some_and(|it| it.log_days.is_some());
                    let old = |at: Option<Timestamp>| at.is_some_and(|at| at < limit);
                    if !own && old(ended(change, id)?) {
                        let bytes = store::logs::remove(change, id, now)?;
                        swept.add(Swept { executions: 0, logs: 1, bytes });
                    }
                }
                Ok(Step { swept, next })
            }
        })
        .await
    }

    /// The oldest logs, until those of a script, or all, take no more than `most` bytes.
    async fn many_logs(
        &self,
        script: Option<ScriptId>,
        most: Option<u64>,
        now: Timestamp,
    ) -> Result<Swept> {
        let Some(most) = most else { return Ok(Swept::default()) };
        self.walk(|after| {
            move |change: &mut Change| {
                let mut bytes = match script {
                    Some(script) => store::logs::use_of(change, script)?.bytes,
                    None => store::logs::uses(change)?.iter().map(|(_, it)| it.bytes).sum(),
                };
                if bytes <= most {
                    return Ok(Step { swept: Swept::default(), next: None });
                }
                let found = oldest_logs(change, script, after)?;
                let next = (found.len() == BATCH).then(|| found.last().map(|it| it.0)).flatten();
                let mut swept = Swept::default();
                for (id, _) in found {
                    if bytes <= most {
                        return Ok(Step { swept, next: None });
                    }
                    if ended(change, id)?.is_none() {
                        continue;
                    }
                    let freed = store::logs::remove(change, id, now)?;
                    bytes = bytes.saturating_sub(freed);
                    swept.add(Swept { executions: 0, logs: 1, bytes: freed });
                }
                Ok(Step { swept, next })
            }
        })
        .await
    }

    /// Makes one change after the other, each from where the last one ended.
    async fn walk<F>(&self, step: impl Fn(ExecutionId) -> F) -> Result<Swept>
    where
        F: FnMut(&mut Change) -> Result<Step> + Send + 'static,
    {
        let (mut swept, mut after) = (Swept::default(), ExecutionId::MIN);
        loop {
            let done = self.store.write(step(after)).await?;
            swept.add(done.swept);
            let Some(next) = done.next else { return Ok(swept) };
            after = next;
        }
    }

    /// Leaves an entry in the audit log.
    async fn note(&self, swept: Swept) -> Result<()> {
        let actor = Actor { origin: Origin::Scheduler, ..Actor::embedder("retention") };
        let Swept { executions, logs, bytes } = swept;
        let action = Action::Swept { executions, logs, bytes };
        let entry = Entry::new(&*self.clock, &actor, action);
        tracing::info!(executions, logs, bytes, "removed what was beyond its time");
        self.store.write(move |change: &mut Change| Ok(store::audit::add(change, &entry)?)).await
    }

    /// Removes files that belong to nothing any more.
    async fn files(&self) -> Result<()> {
        loop {
            let leaving = self.store.read(|view: &_| store::logs::leaving(view, BATCH)).await?;
            if leaving.is_empty() {
                return Ok(());
            }
            let (logs, artifacts) = (self.logs.clone(), self.artifacts.clone());
            let (ids, now) = (leaving.clone(), self.store.clone());
            let remove = move || {
                ids.into_iter().try_for_each(|id| {
                    let known = now.look(|view| store::executions::get(view, id))?;
                    remove_logs(&logs, id, known.as_ref().map_or(ATTEMPTS_MAX, |it| it.attempt))?;
                    // Those of an execution that is still known are its own.
                    if known.is_none() {
                        remove_artifacts(&artifacts, id)?;
                    }
                    Ok::<_, Error>(())
                })
            };
            blocking::run(remove).await?;
            self.store
                .write(move |change: &mut Change| {
                    leaving
                        .iter()
                        .try_for_each(|id| Ok::<_, Error>(store::logs::left(change, *id)?))
                })
                .await?;
        }
    }
}

/// When an execution ended; it may be tried again as long as it has not.
fn ended(change: &Change, id: ExecutionId) -> Result<Option<Timestamp>> {
    let execution = store::executions::get(change, id)?.filter(|it| !it.state.is_open());
    Ok(execution.and_then(|it| it.finished_at))
}

/// Removes the files with the logs of an execution's attempts, where they are there.
fn remove_logs(logs: &Path, id: ExecutionId, attempts: u32) -> Result<()> {
    (1..=attempts).try_for_each(|attempt| {
        let path = logs.join(log_name(id, attempt));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::Directory { doing: "removing", path, source: error })
            }
            _ => Ok(()),
        }
    })
}

/// Removes the files that an execution has left, whichever of its attempts did.
fn remove_artifacts(artifacts: &ArtifactFiles, id: ExecutionId) -> Result<()> {
    let failed = |source| Error::Directory {
        doing: "removing artifacts of an execution from",
        path: artifacts.directory().into(),
        source,
    };
    (1..=ATTEMPTS_MAX).try_for_each(|attempt| artifacts.remove(id, attempt).map_err(failed))
}

/// The oldest logs, with their scripts.
fn oldest_logs(
    change: &Change,
    script: Option<ScriptId>,
    after: ExecutionId,
) -> Result<Vec<(ExecutionId, Option<ScriptId>)>> {
    if let Some(of) = script {
        let ids = store::logs::oldest_of(change, of, after, BATCH)?;
        return Ok(ids.into_iter().map(|id| (id, script)).collect());
    }
    let logs = store::logs::oldest(change, after, BATCH)?;
    Ok(logs.into_iter().map(|(id, log)| (id, log.script)).collect())
}

/// The rules of a script's own.
fn own(scripts: &[(ScriptId, ScriptRules)], script: Option<ScriptId>) -> Option<ScriptRules> {
    let script = script?;
    let found = scripts.binary_search_by_key(&script, |(id, _)| *id).ok()?;
    Some(scripts[found].1)
}

/// So many days ago, if there was such a time.
fn before(now: Timestamp, days: u32) -> Option<Timestamp> {
    now.checked_sub(SignedDuration::from_hours(24 * i64::from(days))).ok()
}
