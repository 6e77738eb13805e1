//! Jobs with a store, a stand-in for sandboxes, and a clock that a test sets.

mod plans;
mod simulation;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::SignedDuration;
use sha2::Sha256;

use super::*;
use crate::{
    actor::Role,
    clock::{Clock, TestClock},
    execution::{
        Admission, ArtifactFiles, Filter, Runner, RunnerConfig, Sandboxes, StandIn, State, TestHost,
    },
    job::scheduler::{Tick, tick},
    page::Limit,
    script::{Language, NewScript},
    store::record::{Record, golden::assert_bytes},
};

/// How long a test waits for what has to come: only something broken takes that long.
const DEADLINE: Duration = Duration::from_secs(30);

/// How many executions run at the same time.
const SLOTS: usize = 64;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// An Automa whose executions run until they are told how they end, and whose jobs start when a test
/// lets the scheduler tick.
struct World {
    automa: Automa,
    runner: Arc<Runner>,
    clock: Arc<TestClock>,
    sandboxes: Arc<StandIn>,
    me: Actor,
    script: ScriptId,
    logs: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(TestClock::new(time("2026-01-01T00:00:00Z")));
        let opened = Automa::builder().in_memory().clock(Arc::clone(&clock)).open().unwrap();
        let logs = tempfile::tempdir().unwrap();
        let sandboxes = Arc::new(StandIn::new(SLOTS));
        let runner = runner(&opened, &sandboxes, logs.path()).await;
        let automa = opened.with_runner(Arc::clone(&runner));
        let me = Actor::embedder("test");
        let new = NewScript::new("backup", Language::Bash, ":");
        let script = automa.scripts(&me).create(new).await.unwrap().id;
        Self { automa, runner, clock, sandboxes, me, script, logs }
    }

    /// Begins anew on what is stored, as after a crash.
    async fn restart(&mut self) {
        self.sandboxes = Arc::new(StandIn::new(SLOTS));
        self.runner = runner(&self.automa, &self.sandboxes, self.logs.path()).await;
        self.automa = self.automa.clone().with_runner(Arc::clone(&self.runner));
    }

    fn jobs(&self) -> Jobs<'_> {
        self.automa.jobs(&self.me)
    }

    /// A job each minute.
    fn minutely(&self) -> NewJob {
        NewJob::new("minutely", self.script, every(60))
    }

    async fn create(&self, new: NewJob) -> JobId {
        self.jobs().create(new).await.unwrap().now.job.id
    }

    /// Moves the clock, and decides what is due then.
    async fn pass(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
        while tick(&self.automa).await.unwrap() != (Tick { due: 0, stuck: false }) {}
    }

    /// Lets everything that runs end.
    async fn end_all(&self, state: State) {
        let (mut until, mut before) = (Instant::now() + DEADLINE, u64::MAX);
        loop {
            for run in self.sandboxes.running() {
                self.sandboxes.end(run, state, 1);
            }
            let counts = self.automa.executions(&self.me).counts().unwrap();
            let open = counts.of(State::Queued) + counts.of(State::Running);
            if open == 0 {
                return;
            }
            if open < before {
                (until, before) = (Instant::now() + DEADLINE, open);
            }
            assert!(Instant::now() < until, "{counts:?}");
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }

    /// What became of a job's slots, oldest first, in words.
    async fn told(&self, id: JobId) -> Vec<String> {
        let page = PageRequest { cursor: None, limit: Limit::new(200).unwrap() };
        let slots = self.jobs().slots(id, page).await.unwrap().items;
        let told = slots.into_iter().rev().map(|slot| {
            let at = slot.at.strftime("%H:%M:%S");
            match slot.became {
                Became::Started(_) => format!("{at} {}", slot.by.name()),
                Became::Skipped(reason) => format!("{at} skipped: {reason}"),
                Became::Missed { until, count, exact } => {
                    let more = if exact { "" } else { " or more" };
                    format!("{at} to {} missed: {count}{more}", until.strftime("%H:%M:%S"))
                }
            }
        });
        told.collect()
    }

    async fn stop(self) {
        self.end_all(State::Succeeded).await;
        self.runner.stop().await;
    }
}

/// What runs executions in stand-ins.
async fn runner(automa: &Automa, sandboxes: &Arc<StandIn>, logs: &Path) -> Arc<Runner> {
    let config = RunnerConfig {
        logs: logs.into(),
        artifacts: ArtifactFiles::new(logs.join("artifacts")),
        per_user: None,
        admission: Admission::new(Box::new(Arc::new(TestHost::default())), None),
        vault: Arc::clone(&automa.vault),
    };
    let stand_in = Sandboxes::StandIn(Arc::clone(sandboxes));
    Runner::start(stand_in, automa.store.clone(), automa.clock.clone(), config).await.unwrap()
}

fn every(seconds: u64) -> Trigger {
    Trigger::Interval { every_ms: seconds * 1000, start_at: time("2026-01-01T00:00:00Z") }
}

fn with(job: Job, change: impl FnOnce(&mut NewJob)) -> NewJob {
    let mut new = NewJob::of(job);
    change(&mut new);
    new
}

#[tokio::test]
async fn a_job_runs_at_each_of_its_times_once() {
    let world = World::new().await;
    let id = world.create(world.minutely()).await;
    assert_eq!(world.jobs().get(id).unwrap().next_run_at, Some(time("2026-01-01T00:01:00Z")));
    for _ in 0..3 {
        world.pass(60).await;
        world.end_all(State::Succeeded).await;
        world.pass(0).await;
    }
    assert_eq!(world.told(id).await, ["00:01:00 trigger", "00:02:00 trigger", "00:03:00 trigger"]);
    let filter = Filter { job: Some(id), ..Filter::default() };
    let executions = world.automa.executions(&world.me);
    let listed = executions.list(filter, PageRequest::default()).await.unwrap().items;
    let slots: Vec<_> = listed.iter().map(|it| it.job.unwrap().at.to_string()).collect();
    let expected = ["2026-01-01T00:03:00Z", "2026-01-01T00:02:00Z", "2026-01-01T00:01:00Z"];
    assert_eq!(slots, expected);
    assert_eq!(listed[0].requested_by, "test");
    let now = world.jobs().get(id).unwrap();
    assert_eq!(now.statistics.succeeded, 3);
    assert_eq!(now.statistics.success_rate(), Some(1.0));
    assert_eq!(now.statistics.last[0].execution, listed[0].id);
    world.stop().await;
}

#[tokio::test]
async fn no_step_of_the_clock_runs_a_slot_twice() {
    let world = World::new().await;
    let id = world.create(NewJob { overlap: Overlap::Parallel, ..world.minutely() }).await;
    world.pass(60).await;
    world.pass(60).await;
    // Back by an hour: it waits until the clock has come there again.
    world.pass(-3600).await;
    world.pass(3600).await;
    assert_eq!(world.told(id).await, ["00:01:00 trigger", "00:02:00 trigger"]);
    // Back, and begun anew from then on: what was decided does not come again.
    world.pass(-90).await;
    world.jobs().resume(id).await.unwrap();
    for _ in 0..3 {
        world.pass(60).await;
    }
    assert_eq!(world.told(id).await, ["00:01:00 trigger", "00:02:00 trigger", "00:03:00 trigger"]);
    world.stop().await;
}

#[tokio::test]
async fn what_was_missed_is_made_up_for_as_the_job_says() {
    let world = World::new().await;
    let mut jobs = Vec::new();
    for misfire in [
        Misfire::Skip,
        Misfire::RunOnce,
        Misfire::CatchUp { within_ms: 250_000, most: 2 },
        Misfire::CatchUp { within_ms: 60_000, most: 9 },
    ] {
        let new = NewJob { misfire, overlap: Overlap::Parallel, ..world.minutely() };
        jobs.push(world.create(new).await);
    }
    // At 00:05:30, of five slots four are more than a minute late.
    world.pass(330).await;
    let expected: [&[&str]; 4] = [
        &["00:01:00 to 00:04:00 missed: 4", "00:05:00 trigger"],
        &["00:01:00 to 00:03:00 missed: 3", "00:04:00 catch_up", "00:05:00 trigger"],
        &[
            "00:01:00 to 00:02:00 missed: 2",
            "00:03:00 catch_up",
            "00:04:00 catch_up",
            "00:05:00 trigger",
        ],
        &["00:01:00 to 00:04:00 missed: 4", "00:05:00 trigger"],
    ];
    for (id, expected) in jobs.iter().zip(expected) {
        assert_eq!(world.told(*id).await, expected);
    }
    assert_eq!(world.jobs().get(jobs[0]).unwrap().statistics.missed, 4);
    world.stop().await;
}

#[tokio::test]
async fn what_was_due_while_a_job_was_paused_is_not_made_up_for() {
    let world = World::new().await;
    let id = world.create(world.minutely()).await;
    let paused = world.jobs().pause(id).await.unwrap();
    assert_eq!((paused.job.paused, paused.next_run_at), (true, None));
    world.pass(600).await;
    assert_eq!(world.told(id).await, Vec::<String>::new());
    let resumed = world.jobs().resume(id).await.unwrap();
    assert_eq!(resumed.next_run_at, Some(time("2026-01-01T00:11:00Z")));
    // By hand it can be run nevertheless.
    world.jobs().pause(id).await.unwrap();
    let execution = world.jobs().run(id).await.unwrap();
    assert_eq!(execution.job, Some(crate::execution::Slot { job: id, at: world.clock.now() }));
    assert_eq!(world.told(id).await, ["00:10:00 person"]);
    world.stop().await;
}

#[tokio::test]
async fn overlaps_are_skipped_queued_let_or_replaced() {
    let world = World::new().await;
    let mut jobs = Vec::new();
    for overlap in Overlap::ALL {
        jobs.push(world.create(NewJob { overlap, ..world.minutely() }).await);
    }
    world.pass(60).await;
    world.pass(60).await;
    let open = |id: JobId| {
        let filter = Filter { job: Some(id), ..Filter::default() };
        let world = &world;
        async move {
            let executions = world.automa.executions(&world.me);
            let listed = executions.list(filter, PageRequest::default()).await.unwrap().items;
            listed.iter().rev().map(|it| it.state.name()).collect::<Vec<_>>()
        }
    };
    let until = Instant::now() + DEADLINE;
    while open(jobs[3]).await != ["cancelled", "running"] {
        assert!(Instant::now() < until, "{:?}", open(jobs[3]).await);
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    assert_eq!(open(jobs[0]).await, ["running"]);
    let skipped =
        "00:02:00 skipped: a former execution of the job has not ended yet (1 of it wait or run)";
    assert_eq!(world.told(jobs[0]).await, ["00:01:00 trigger", skipped]);
    assert_eq!(open(jobs[1]).await, ["running", "queued"]);
    assert_eq!(open(jobs[2]).await, ["running", "running"]);
    let refused = world.jobs().run(jobs[0]).await;
    assert!(matches!(refused, Err(Error::Overlaps { open: 1 })), "{refused:?}");
    world.end_all(State::Failed).await;
    let statistics = world.jobs().get(jobs[0]).unwrap().statistics;
    assert_eq!((statistics.failed, statistics.skipped), (1, 1));
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_run_is_recorded_with_the_reason() {
    let world = World::new().await;
    let schema = r#"{"type":"object","properties":{"days":{"type":"integer"}}}"#;
    let new = NewScript {
        parameters_schema: Some(schema.to_owned()),
        ..NewScript::new("report", Language::Bash, ":")
    };
    let scripts = world.automa.scripts(&world.me);
    let script = scripts.create(new).await.unwrap().id;
    let parameters = |value: serde_json::Value| [("days".to_owned(), value)].into_iter().collect();
    let bad = NewJob { script, parameters: parameters("x".into()), ..world.minutely() };
    let refused = world.jobs().create(bad).await.unwrap_err();
    assert!(refused.to_string().starts_with("parameters/days: "), "{refused}");
    let good = NewJob { script, parameters: parameters(3.into()), ..world.minutely() };
    let id = world.create(good).await;
    world.pass(60).await;
    world.end_all(State::Succeeded).await;
    // A new version takes them no longer.
    let schema = r#"{"type":"object","properties":{"days":{"type":"string"}}}"#;
    let new = NewScript {
        parameters_schema: Some(schema.to_owned()),
        ..NewScript::new("report", Language::Bash, ":")
    };
    scripts.update(script, 1, new).await.unwrap();
    world.pass(60).await;
    scripts.delete(script).await.unwrap();
    world.pass(60).await;
    let told = world.told(id).await;
    assert!(told[1].starts_with("00:02:00 skipped: parameters/days: "), "{told:?}");
    let gone = format!("00:03:00 skipped: there is no script `{script}`");
    assert_eq!((&*told[0], &*told[2]), ("00:01:00 trigger", &*gone));
    assert_eq!(world.jobs().get(id).unwrap().statistics.skipped, 2);
    world.stop().await;
}

#[tokio::test]
async fn jobs_are_changed_listed_and_deleted() {
    let world = World::new().await;
    let jobs = world.jobs();
    let id = world.create(world.minutely()).await;
    let job = jobs.get(id).unwrap().job;
    let renamed = with(job.clone(), |new| new.name = "renamed".to_owned());
    let saved = jobs.update(id, 1, renamed.clone()).await.unwrap().now;
    assert_eq!((saved.job.revision, &*saved.job.name), (2, "renamed"));
    assert_eq!(saved.next_slot, Some(time("2026-01-01T00:01:00Z")));
    let conflict = jobs.update(id, 1, renamed).await;
    assert!(matches!(conflict, Err(Error::Conflict { kind: "job", current: 2 })), "{conflict:?}");
    let other = world
        .create(NewJob::new(
            "once",
            world.script,
            Trigger::Once { at: time("2026-01-01T00:00:30Z") },
        ))
        .await;
    let page = || PageRequest::default();
    let listed = jobs.list(Some(world.script), page()).await.unwrap().items;
    assert_eq!(listed.iter().map(|it| it.job.id).collect::<Vec<_>>(), [other, id]);
    assert_eq!(jobs.list(None, page()).await.unwrap().items, listed);
    assert!(jobs.list(Some(ScriptId::MIN), page()).await.unwrap().items.is_empty());
    let upcoming = jobs.upcoming(Timestamp::MAX, 3).await.unwrap();
    let told: Vec<_> = upcoming.iter().map(|it| format!("{} {}", it.name, it.at)).collect();
    let expected = [
        "once 2026-01-01T00:00:30Z",
        "renamed 2026-01-01T00:01:00Z",
        "renamed 2026-01-01T00:02:00Z",
    ];
    assert_eq!(told, expected);
    assert_eq!(jobs.next(id, 2).await.unwrap(), upcoming[1..]);
    world.pass(30).await;
    assert_eq!(jobs.get(other).unwrap().next_run_at, None);
    jobs.delete(other).await.unwrap();
    assert!(matches!(jobs.get(other), Err(Error::NotFound { kind: "job", .. })));
    assert_eq!(jobs.list(Some(world.script), page()).await.unwrap().items.len(), 1);
    // What it was running ends as any other.
    world.end_all(State::Succeeded).await;
    world.stop().await;
}

#[tokio::test]
async fn who_may_only_look_changes_nothing() {
    let world = World::new().await;
    let id = world.create(world.minutely()).await;
    let viewer = Actor { role: Role::Viewer, ..world.me.clone() };
    let jobs = world.automa.jobs(&viewer);
    assert!(jobs.get(id).is_ok());
    assert!(matches!(jobs.run(id).await, Err(Error::Forbidden(_))));
    assert!(matches!(jobs.pause(id).await, Err(Error::Forbidden(_))));
    assert!(matches!(jobs.delete(id).await, Err(Error::Forbidden(_))));
    assert!(matches!(jobs.create(world.minutely()).await, Err(Error::Forbidden(_))));
    assert!(matches!(jobs.update(id, 1, world.minutely()).await, Err(Error::Forbidden(_))));
    assert!(matches!(jobs.renew_hook(id).await, Err(Error::Forbidden(_))));
    world.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_job_is_told_at_once() {
    let world = World::new().await;
    let new = NewJob {
        name: " ".to_owned(),
        trigger: Trigger::Interval { every_ms: 1, start_at: Timestamp::UNIX_EPOCH },
        misfire: Misfire::CatchUp { within_ms: 1, most: 0 },
        priority: Some(101),
        signed: true,
        ..world.minutely()
    };
    let Err(Error::Invalid(errors)) = world.jobs().create(new).await else { panic!() };
    let fields: Vec<_> = errors.iter().map(|it| &*it.field).collect();
    let expected =
        ["name", "trigger.every_ms", "misfire.within_ms", "misfire.most", "signed", "priority"];
    assert_eq!(fields, expected);
    let over = Trigger::Once { at: time("2025-12-31T23:59:59Z") };
    let refused = world.jobs().create(NewJob { trigger: over, ..world.minutely() }).await;
    assert!(refused.unwrap_err().to_string().starts_with("trigger: has no time to come"));
    world.stop().await;
}

#[tokio::test]
async fn a_webhook_is_called_by_who_knows_it() {
    let world = World::new().await;
    let parameters = |text: &str| serde_json::from_str::<Parameters>(text).unwrap();
    let new = NewJob {
        trigger: Trigger::Webhook,
        parameters: parameters(r#"{"a":1,"b":2}"#),
        overlap: Overlap::Parallel,
        ..world.minutely()
    };
    let saved = world.jobs().create(new).await.unwrap();
    let (id, token) = (saved.now.job.id, saved.hook.unwrap().token);
    assert_eq!(saved.now.next_run_at, None);
    let hooks = world.automa.hooks();
    let call = |body: &str| Call { body: body.as_bytes().to_vec(), ..Call::default() };
    let execution = hooks.call(&token, call(r#"{"b":3}"#)).await.unwrap();
    let ran = world.automa.executions(&world.me).program(execution.id).await.unwrap();
    assert_eq!(ran.parameters, Some(parameters(r#"{"a":1,"b":3}"#)));
    assert!(hooks.call(&token, call("")).await.is_ok());
    assert_eq!(world.told(id).await, ["00:00:00 call", "00:00:00 call"]);
    for bad in ["[1]", "{", "1"] {
        assert!(matches!(hooks.call(&token, call(bad)).await, Err(Error::Invalid(_))), "{bad}");
    }
    for wrong in ["", "x", &token[1..], &token.to_uppercase()] {
        assert!(matches!(hooks.call(wrong, call("")).await, Err(Error::NoHook)), "{wrong}");
    }
    let renewed = world.jobs().renew_hook(id).await.unwrap().hook.unwrap();
    assert!(matches!(hooks.call(&token, call("")).await, Err(Error::NoHook)));
    assert!(hooks.call(&renewed.token, call("")).await.is_ok());
    world.jobs().pause(id).await.unwrap();
    assert!(matches!(hooks.call(&renewed.token, call("")).await, Err(Error::Paused)));
    // With another trigger there is no webhook any more.
    let job = world.jobs().get(id).unwrap().job;
    let timed = with(job, |new| new.trigger = every(60));
    world.jobs().update(id, 2, timed).await.unwrap();
    assert!(matches!(hooks.call(&renewed.token, call("")).await, Err(Error::NoHook)));
    world.stop().await;
}

fn hmac(secret: &str, parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    for part in parts {
        mac.update(part);
    }
    crate::hex::encode(&mac.finalize().into_bytes())
}

#[tokio::test]
async fn a_signed_call_is_accepted_once_and_in_time() {
    let world = World::new().await;
    let new = NewJob {
        trigger: Trigger::Webhook,
        signed: true,
        overlap: Overlap::Parallel,
        ..world.minutely()
    };
    let saved = world.jobs().create(new).await.unwrap();
    let NewHook { token, secret } = saved.hook.unwrap();
    let (secret, hooks) = (secret.unwrap(), world.automa.hooks());
    let body = br#"{"a":1}"#;
    let signed = |at: i64| {
        let code = hmac(&secret, &[format!("{at}.").as_bytes(), body]);
        let signature = Some(format!("t={at},v1={code}"));
        Call { body: body.to_vec(), signature, ..Call::default() }
    };
    let hub = |secret: &str| Call {
        body: body.to_vec(),
        hub_signature: Some(format!("sha256={}", hmac(secret, &[body]))),
        ..Call::default()
    };
    let now = world.clock.now().as_second();
    assert!(hooks.call(&token, signed(now)).await.is_ok());
    assert!(matches!(hooks.call(&token, signed(now)).await, Err(Error::Replayed)));
    for at in [now - SIGNATURE_WINDOW, now + SIGNATURE_WINDOW] {
        assert!(hooks.call(&token, signed(at)).await.is_ok());
    }
    assert!(hooks.call(&token, hub(&secret)).await.is_ok());
    assert!(matches!(hooks.call(&token, hub(&secret)).await, Err(Error::Replayed)));
    let other = Call { body: b"{}".to_vec(), ..signed(now) };
    let unsigned = Call { body: body.to_vec(), ..Call::default() };
    let strange = ["", "t=1", "v1=00", "t=x,v1=", "t=1,v1=zz", "=", "t=99999999999999999999,v1=0"];
    let strange = strange.map(|text| Call { signature: Some(text.to_owned()), ..unsigned.clone() });
    let late =
        [now - SIGNATURE_WINDOW - 1, now + SIGNATURE_WINDOW + 1, i64::MIN, i64::MAX].map(signed);
    for call in [other, unsigned, hub("another")].into_iter().chain(strange).chain(late) {
        let refused = hooks.call(&token, call.clone()).await;
        assert!(matches!(refused, Err(Error::WrongSignature(_))), "{call:?} {refused:?}");
    }
    world.stop().await;
}

/// If this fails, the stored format has changed: make a new version of the record instead of
/// changing the bytes.
#[test]
fn stored_bytes_stay_as_they_are() {
    let clock = TestClock::with_seed(time("2026-01-01T00:00:00Z"), 1);
    let id = JobId::generate(&clock);
    let execution = crate::id::ExecutionId::generate(&clock);
    let next = Next { slot: clock.now(), due: clock.now(), owed: Some(clock.now()) };
    let job = Job {
        id,
        revision: 3,
        name: "nightly".to_owned(),
        script: ScriptId::generate(&clock),
        version: Some(2),
        parameters: [("a".to_owned(), 1.into())].into_iter().collect(),
        limits: LimitsRequest { wall_ms: Some(1000), ..LimitsRequest::default() },
        network: vec!["example.com:443".parse().unwrap()],
        priority: Some(-1),
        retry: Some(Retry::default()),
        trigger: Trigger::Cron {
            pattern: "0 3 * * *".to_owned(),
            zone: "Europe/Berlin".to_owned(),
        },
        rules: Rules { jitter_ms: 1000, not_before: Some(clock.now()), ..Rules::default() },
        misfire: Misfire::CatchUp { within_ms: 60_000, most: 3 },
        overlap: Overlap::Replace,
        paused: true,
        hook: Some(Hook::stored()),
        owner: Some(UserId::generate(&clock)),
        owner_name: "ada".to_owned(),
        created_at: clock.now(),
        updated_at: clock.now(),
    };
    let (at, count) = (clock.now(), 9);
    let missed = PastSlot {
        at,
        decided_at: at,
        by: By::Call,
        became: Became::Missed { until: at, count, exact: true },
    };
    let mut statistics = Statistics { skipped: 1, missed: 2, ..Statistics::default() };
    statistics.add(Run { execution, slot: at, state: State::TimedOut, wall_ms: 300 });
    for damaged in [&[][..], &[0], &[2, 3], &[1, 255]] {
        assert!(Job::decode(damaged).is_err() && Schedule::decode(damaged).is_err());
        assert!(PastSlot::decode(damaged).is_err() && Statistics::decode(damaged).is_err());
    }
    assert_bytes(&Schedule { next: Some(next), kept: 300 }, SCHEDULE_V1);
    assert_bytes(&missed, MISSED_V1);
    assert_bytes(&PastSlot { became: Became::Started(execution), ..missed.clone() }, STARTED_V1);
    assert_bytes(&PastSlot { became: Became::Skipped("x".to_owned()), ..missed }, SKIPPED_V1);
    assert_bytes(&statistics, STATISTICS_V1);
    assert_bytes(&job, JOB_V1);
}

const SCHEDULE_V1: &str = "0101808082e288d2a306808082e288d2a30601808082e288d2a306ac02";
const MISSED_V1: &str = "01808082e288d2a306808082e288d2a3060302808082e288d2a3060901";
const STARTED_V1: &str = "01808082e288d2a306808082e288d2a3060300019b76daa8007001a7ec8e65a18debbe";
const SKIPPED_V1: &str = "01808082e288d2a306808082e288d2a30603010178";
const STATISTICS_V1: &str = "01000100010201019b76daa8007001a7ec8e65a18debbe808082e288d2a30604ac02";
const JOB_V1: &str = "01019b76daa8007000815c0289ec2d0a9103076e696768746c79019b76daa80070029e5532fbeea293f80102077b2261223a317d01e807000000000000010f6578616d706c652e636f6d3a34343301ff0103e807e0a712000000000000004001030304060209302033202a202a202a0d4575726f70652f4265726c696ee8070180a0d5edee66000002e0d40303030101070707070707070707070707070707070707070707070707070707070707070701ac0201019b76daa80070038bc942ee9086c17103616461808082e288d2a306808082e288d2a306";
