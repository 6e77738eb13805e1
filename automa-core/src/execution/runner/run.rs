//! One execution, from where it is taken on to its recorded end.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use automa_sandbox::{Artifacts, Child, Command, Exit, ExitReport, Policy};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, sleep},
};

use super::{
    super::{
        Artifact, Ending, Execution, Kept, Ran, Report, State, StoredResult, agent as kept,
        artifacts,
        attempt::Conclusion,
        find_program,
        log::{Keep, LogError, LogOptions, LogWriter, Mask, recover},
        network, parameters, result,
        secrets::Secrets,
    },
    Accepted, Console, Entered, LiveLog, Running, told,
};
use crate::{
    Error, Result, agent, blocking,
    error::StoreError,
    event::Event,
    id::ExecutionId,
    store::{
        self,
        change::{Change, Snapshot},
        logs::LogFile,
    },
};

/// The signal that nothing survives (`signal(7)`).
const SIGKILL: i32 = nix::sys::signal::Signal::SIGKILL as i32;

/// Time until it is looked again whether a full disk has room.
const NO_SPACE: Duration = Duration::from_millis(500);

/// Time that a store which fails has to recover once Automa is told to stop.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// What a run has left besides its log.
#[derive(Default)]
struct Left {
    result: Option<StoredResult>,
    artifacts: Option<(Kept, Vec<Artifact>)>,
}

/// How a run came out.
enum End {
    /// To be recorded.
    Known { state: State, ending: Ending, report: Option<Report>, left: Box<Left> },
    /// It was not started, and will be at another time.
    PutBack,
}

impl Running {
    /// Makes the change that accepts an execution as started, tells its result, and runs it. Its slot
    /// was taken before.
    pub(super) async fn accept_and_run(
        self: &Arc<Self>,
        id: ExecutionId,
        mut change: impl FnMut(&mut Change, bool) -> Result<Accepted> + Send + 'static,
        tell: oneshot::Sender<Result<Execution>>,
    ) {
        let Some(entered) = self.enter(id, None) else { return };
        let accepted = self.store.write(move |it: &mut Change| change(it, true)).await;
        let started = matches!(&accepted, Ok(Accepted { execution, .. })
            if execution.id == id && execution.state == State::Running);
        let in_doubt = matches!(&accepted, Err(Error::Store(StoreError::Commit(_))));
        if let Ok(accepted) = &accepted {
            self.end_replaced(accepted);
        }
        // Whoever does not wait any more does not want to know.
        let _ = tell.send(accepted.map(|accepted| accepted.execution));
        // Whether it was stored after all can be told when the store is available again.
        if started {
            self.run(entered, 1).await;
        } else if in_doubt && let Some(Some(attempt)) = self.begin(id).await {
            self.run(entered, attempt).await;
        }
    }

    /// Runs an execution that was queued, if it still is. Its slot was taken before.
    pub(super) async fn run_queued(self: &Arc<Self>, id: ExecutionId) {
        let Some(entered) = self.enter(id, None) else { return };
        if let Some(Some(attempt)) = self.begin(id).await {
            self.run(entered, attempt).await;
        }
    }

    /// Runs an execution that is recorded as started.
    pub(super) async fn run(&self, mut entered: Entered<'_>, attempt: u32) {
        let id = entered.id;
        let waits = match self.execute(&mut entered, attempt).await {
            End::Known { state, ending, report, left } => {
                entered.cpu_ms = Some(ending.cpu_ms);
                let (at, random) = (self.clock.now(), self.random());
                let end = Conclusion { attempt, state, ending, at, random };
                self.finish(id, end, report, *left).await
            }
            End::PutBack => self.put_back(id, attempt).await,
        };
        // From here on it may be taken on again.
        drop(entered);
        if waits {
            self.line_up_again(id);
        }
    }

    /// Records the start, before anything of the script can act, and tells which attempt it is;
    /// `None` if it was cancelled.
    async fn begin(&self, id: ExecutionId) -> Option<Option<u32>> {
        let now = self.clock.now();
        self.insist(id, move |change, execution| {
            match execution.state {
                State::Queued => {}
                // By an attempt of which it was not known whether it had succeeded: nobody else has
                // entered this execution.
                State::Running => return Ok(Some(execution.attempt)),
                _ => return Ok(None),
            }
            execution.state = State::Running;
            execution.started_at = Some(now);
            execution.dispatch.not_before = None;
            store::executions::put(change, execution)?;
            Ok(Some(execution.attempt))
        })
        .await
    }

    /// Records the end of an attempt with all that it has left. Whether the execution waits to be
    /// tried again.
    async fn finish(
        &self,
        id: ExecutionId,
        end: Conclusion,
        report: Option<Report>,
        left: Left,
    ) -> bool {
        let attempt = end.attempt;
        let log_bytes = self.log_bytes(id, attempt);
        let closing = self.agents_end.load(Ordering::SeqCst);
        let finished = self.insist(id, move |change, execution| {
            if !end.record(change, execution)? {
                return Ok((execution.state, None));
            }
            let at = agent::Moment { now: end.at, random: end.random };
            agent::ended(change, execution, closing, at)?;
            if let Some(report) = &report {
                store::executions::put_report(change, id, report)?;
            }
            if let Some(bytes) = log_bytes {
                let script = execution.script.map(|(script, _)| script);
                store::logs::put(change, id, LogFile { bytes, script })?;
            }
            store::results::put(change, id, left.result.as_ref())?;
            let before = store::artifacts::put(change, id, left.artifacts.as_ref())?;
            Ok((execution.state, before.filter(|before| before.attempt != attempt)))
        });
        let Some((state, before)) = finished.await else { return false };
        // What an attempt before has left is not referred to any more.
        if let Some(before) = before
            && let Err(error) = self.artifacts.remove(id, before.attempt)
        {
            tracing::error!(%id, %error, "artifacts of a former attempt could not be removed");
        }
        state == State::Queued
    }

    /// Queues an execution again of which nothing was started. Whether that was recorded.
    async fn put_back(&self, id: ExecutionId, attempt: u32) -> bool {
        if let Err(error) = fs::remove_file(self.log_path(id, attempt)) {
            tracing::error!(%id, %error, "the empty log of an execution could not be removed");
        }
        self.insist(id, |change, execution| {
            execution.state = State::Queued;
            execution.started_at = None;
            store::executions::put(change, execution)
        })
        .await
        .is_some()
    }

    /// Changes an execution, if need be once the store is available again; `None` if that could not
    /// be done.
    pub(super) async fn insist<T: Send + 'static>(
        &self,
        id: ExecutionId,
        step: impl Fn(&mut Change, &mut Execution) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Option<T> {
        let change = move |change: &mut Change| {
            let Some(mut execution) = store::executions::get(change, id)? else { return Ok(None) };
            let before = execution.state;
            let result = step(change, &mut execution)?;
            if execution.state != before {
                change.emit(Event::ExecutionChanged { id, state: execution.state });
            }
            Ok(Some(result))
        };
        let result = tokio::select! {
            biased;
            result = self.store.insist(change) => result,
            () = self.patience() => Err(StoreError::Closed),
        };
        result.unwrap_or_else(|error| {
            tracing::error!(%id, %error, "an execution could not be recorded");
            None
        })
    }

    /// Waits until Automa is told to stop, and a while longer.
    async fn patience(&self) {
        told(&mut self.stop.subscribe()).await;
        sleep(LAST_PATIENCE).await;
    }

    /// Runs it in a sandbox.
    async fn execute(&self, entered: &mut Entered<'_>, attempt: u32) -> End {
        let id = entered.id;
        #[cfg(test)]
        if let super::Sandboxes::StandIn(stand_in) = &self.sandboxes {
            let (state, cpu_ms) = stand_in.run((id, attempt), &mut entered.cancelled).await;
            entered.leave_slot();
            let ending = Ending { cpu_ms, ..Ending::unknown("was stood in for") };
            return End::Known { state, ending, report: None, left: Box::default() };
        }
        let path = self.log_path(id, attempt);
        let mut log = match LogWriter::create(&path, &LogOptions::default()) {
            Ok(log) => log,
            Err(error) => return End::not_run(&error.into()),
        };
        let mut console = None;
        if let Some(live) = self.live().get(&id) {
            live.log.send_replace(Some(LiveLog { attempt, handle: log.handle() }));
            console.clone_from(&live.console);
        }
        let cancelled = &mut entered.cancelled;
        let (child, keep, mask) = match self.start_sandbox(id, console.as_deref(), cancelled).await
        {
            Ok(started) => started,
            Err(End::PutBack) => return End::PutBack,
            Err(end) => {
                let mask = Mask::default();
                return self.put_away((id, attempt), log, None, mask, end).await;
            }
        };
        if let Some(live) = self.live().get(&id) {
            // Each attempt is taken on anew.
            let _ = live.usage.set(child.history());
        }
        log.keep(keep);
        log.mask(&mask);
        if let Some(console) = &console {
            console.started(&child);
        }
        let relayed = relay(child, log, console.as_deref(), cancelled).await;
        entered.leave_slot();
        match relayed {
            Ok((report, found, log)) => {
                let end = End::of(&report, &mask);
                self.put_away((id, attempt), log, found, mask, end).await
            }
            Err(error) => {
                self.make_whole(id, path).await;
                let cause = format!("was stopped, because its log could not be written: {error}");
                End::without_report(State::Failed, &cause)
            }
        }
    }

    /// Keeps what a run has left and finishes its log. Both are on disk when this returns, and so
    /// before its end is recorded: what is recorded as there is there after any crash.
    async fn put_away(
        &self,
        (id, attempt): (ExecutionId, u32),
        log: LogWriter,
        found: Option<Artifacts>,
        mask: Mask,
        end: End,
    ) -> End {
        let (files, found) = (self.artifacts.clone(), found.filter(left_something));
        let put_away = move || {
            // First, because the next sandbox in its slot waits until this is gone.
            let left = found.map(|found| {
                let result = result::read(&found, &mask);
                (result, files.keep(id, attempt, &found))
            });
            Ok::<_, Error>((left, log.close()))
        };
        let (left, closed) = match blocking::run(put_away).await {
            Ok(done) => done,
            Err(error) => return end.but(&format!("what it left could not be kept: {error}")),
        };
        let end = match left {
            None => end,
            Some((result, Ok(artifacts))) => end.leaving(Left { result, artifacts }),
            Some((result, Err(error))) => end
                .leaving(Left { result, artifacts: None })
                .but(&format!("the files that it left could not be kept: {error}")),
        };
        match closed {
            Ok(_) => end,
            Err(error) => {
                self.make_whole(id, self.log_path(id, attempt)).await;
                end.but(&format!("its log could not be completed: {error}"))
            }
        }
    }

    /// Ends a log that could not be written to its end, so that what there is of it can be read: on a
    /// full disk, once there is room.
    async fn make_whole(&self, id: ExecutionId, path: PathBuf) {
        loop {
            let log = path.clone();
            match blocking::run(move || Ok::<_, Error>(recover(log)?)).await {
                Ok(_) => return,
                Err(Error::Log(LogError::NoSpace { .. })) => {}
                Err(error) => return tracing::error!(%id, %error, "a log could not be recovered"),
            }
            tokio::select! {
                () = self.patience() => return,
                () = sleep(NO_SPACE) => {}
            }
        }
    }

    /// Starts its sandbox and tells how much of its log is kept and what is masked, or how it ended
    /// without.
    async fn start_sandbox(
        &self,
        id: ExecutionId,
        console: Option<&Console>,
        cancelled: &mut watch::Receiver<Option<Duration>>,
    ) -> Result<(Child, Keep, Mask), End> {
        let find = |view: &Snapshot| {
            let (execution, ran) = find_program(view, id)?;
            let secrets = Secrets::open(view, &self.vault, self.clock.now(), &execution, &ran)?;
            Ok((ran, secrets.record(&*self.clock, &execution), secrets))
        };
        let (ran, record, secrets) = loop {
            match self.store.look(find) {
                Ok(ran) => break ran,
                Err(Error::Store(error)) if self.store.outlives(&error).await => {}
                Err(error) => return Err(End::not_run(&error)),
            }
        };
        // Before it is given them: whatever happens then, it is on record.
        if let Some(record) = record
            && self.insist(id, move |change, _| record.write(change, id)).await.is_none()
        {
            let cause =
                "was not run, because it could not be recorded that it is given credentials";
            return Err(End::without_report(State::Failed, cause));
        }
        let mut stop = self.stop.subscribe();
        tokio::select! {
            // What can be started is, whatever else is the case.
            biased;
            child = self.sandboxes.spawn(|| Ok(secrets.hand_over(command(&ran, console)?))) => {
                let keep = console.map_or_else(|| ran.limits.keep(), Console::keep);
                child.map(|child| (child, keep, secrets.into_mask())).map_err(|error| End::not_run(&error))
            }
            _ = shortened(cancelled, None) => {
                Err(End::without_report(State::Cancelled, "was cancelled before it was started"))
            }
            // An agent is told so itself, and waits in no queue.
            () = told(&mut stop), if console.is_none() => Err(End::PutBack),
        }
    }
}

/// Whether a run has left anything that is kept, be it only that something was left out.
fn left_something(found: &Artifacts) -> bool {
    let no_files = found.files.is_empty() && found.skipped_count == 0 && found.complete;
    !no_files || result::is_there(found)
}

/// What the sandbox is to run.
fn command(ran: &Ran, console: Option<&Console>) -> Result<Command> {
    let Ran { language, source, parameters, limits, network } = ran;
    let mut command = language.command(source.as_str(), language.file_name())?;
    let policy = if let Some(console) = console {
        command = console.connect(command);
        kept::policy(limits)
    } else {
        Policy::script().limits(limits.sandbox())
    };
    let policy = policy.network(network::network(network));
    let command = command.policy(policy).collect(artifacts::limits());
    Ok(result::hand_over(parameters::hand_over(command, parameters.clone())))
}

/// Writes output into the log as it comes, and passes a cancellation on.
async fn relay(
    mut child: Child,
    mut log: LogWriter,
    console: Option<&Console>,
    cancelled: &mut watch::Receiver<Option<Duration>>,
) -> Result<(ExitReport, Option<Artifacts>, LogWriter)> {
    let mut grace = None;
    loop {
        let sync_due = log.sync_due().map(Instant::from_std);
        tokio::select! {
            chunk = child.next_output() => {
                let Some(chunk) = chunk else { break };
                log.append(&chunk)?;
                log.flush()?;
                if let Some(console) = console {
                    console.on_output(&chunk);
                }
            }
            signal = next_signal(console) => {
                match signal {
                    SIGKILL => child.cancel(Duration::ZERO),
                    signal => child.signal(signal),
                }
            }
            asked = shortened(cancelled, grace) => {
                grace = Some(asked);
                child.cancel(asked);
            }
            () = sleep_until(sync_due) => {
                // A disk may take its time, and others need this thread.
                log = blocking::run(move || {
                    log.sync()?;
                    Ok::<_, Error>(log)
                })
                .await?;
            }
        }
    }
    let (report, found) = child.collect().await;
    if report.output_truncated {
        log.mark_truncated();
    }
    Ok((report, found, log))
}

/// Waits for a signal that an agent is to be sent.
async fn next_signal(console: Option<&Console>) -> i32 {
    match console {
        Some(console) => console.next_signal().await,
        None => std::future::pending().await,
    }
}

/// Waits until it is to end within a shorter time than it was told before.
async fn shortened(
    cancelled: &mut watch::Receiver<Option<Duration>>,
    before: Option<Duration>,
) -> Duration {
    let asked = cancelled.wait_for(|asked| *asked != before).await.ok().and_then(|asked| *asked);
    match asked {
        Some(grace) => grace,
        // Its other end lives as long as the task has entered the execution.
        None => std::future::pending().await,
    }
}

/// Waits until a moment, for ever if there is none.
async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

impl End {
    fn of(report: &ExitReport, mask: &Mask) -> Self {
        let state = State::from(&report.outcome);
        let mut ending = Ending::of(report);
        let mut report = serde_json::to_string(report).ok().map(|json| Report { json });
        mask.apply_to_end(&mut ending, report.as_mut());
        Self::Known { state, ending, report, left: Box::default() }
    }

    fn not_run(error: &Error) -> Self {
        Self::without_report(State::Failed, &format!("was not run: {error}"))
    }

    fn without_report(state: State, cause: &str) -> Self {
        Self::Known { state, ending: Ending::unknown(cause), report: None, left: Box::default() }
    }

    /// The same with what it has left.
    fn leaving(mut self, what: Left) -> Self {
        if let Self::Known { left, .. } = &mut self {
            **left = what;
        }
        self
    }

    /// The same with something to add to its cause.
    fn but(mut self, what: &str) -> Self {
        if let Self::Known { ending, .. } = &mut self {
            ending.cause = format!("{}, but {what}", ending.cause);
        }
        self
    }
}

impl Ending {
    /// Of something that did not end in a sandbox.
    pub(in super::super) fn unknown(cause: &str) -> Self {
        Self {
            cause: format!("the script {cause}"),
            exit_code: None,
            signal: None,
            wall_ms: 0,
            cpu_ms: 0,
            peak_memory_bytes: None,
            output_bytes: 0,
        }
    }

    /// Of something that did.
    pub(crate) fn of(report: &ExitReport) -> Self {
        let (exit_code, signal) = match report.exit {
            Some(Exit::Code(code)) => (Some(code), None),
            Some(Exit::Signal(signal)) => (None, Some(signal)),
            None => (None, None),
        };
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            cause: format!("the script {}", report.outcome),
            exit_code,
            signal,
            wall_ms: millis(report.usage.wall()),
            cpu_ms: millis(report.usage.cpu()),
            peak_memory_bytes: report.usage.memory_peak.map(|bytes| bytes.0),
            output_bytes: report.usage.output.0,
        }
    }
}
