use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;

use super::{state::Phase, *};
use crate::{
    actor::Role,
    clock::{Clock, TestClock},
    execution::{
        Admission, ArtifactFiles, Filter, Runner, RunnerConfig, Sandboxes, StandIn,
        State as ExecutionState, TestHost,
    },
    page::PageRequest,
    script::{Language, NewScript},
    store::record::golden::assert_bytes,
};

/// How long a test waits for what has to come: only something broken takes that long.
const DEADLINE: Duration = Duration::from_secs(30);

fn me() -> Actor {
    Actor::embedder("eve")
}

/// A store, and servers on it one after the other, whose sandboxes the test decides about.
struct World {
    opened: Automa,
    clock: Arc<TestClock>,
    place: tempfile::TempDir,
    script: ScriptId,
}

/// One of them.
struct Life {
    automa: Automa,
    sandboxes: Arc<StandIn>,
    supervisor: Supervisor,
    runner: Arc<Runner>,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(TestClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
        let opened = Automa::builder().in_memory().clock(Arc::clone(&clock)).open().unwrap();
        let new = NewScript::new("serve", Language::Bash, "sleep inf");
        let script = opened.scripts(&me()).create(new).await.unwrap().id;
        Self { opened, clock, place: tempfile::tempdir().unwrap(), script }
    }

    async fn begin(&self, most: usize) -> Life {
        let sandboxes = Arc::new(StandIn::new(1));
        let config = RunnerConfig {
            logs: self.place.path().into(),
            artifacts: ArtifactFiles::new(self.place.path().join("artifacts")),
            per_user: None,
            admission: Admission::new(Box::new(Arc::new(TestHost::default())), None),
            vault: Arc::clone(&self.opened.vault),
        };
        let (store, clock) = (self.opened.store.clone(), self.opened.clock.clone());
        let stand_in = Sandboxes::StandIn(Arc::clone(&sandboxes));
        let runner = Runner::start(stand_in, store.clone(), clock.clone(), config).await.unwrap();
        let supervisor = Supervisor::start(store, clock, Arc::clone(&runner), most);
        let automa = self.opened.clone().with_runner(Arc::clone(&runner));
        Life { automa, sandboxes, supervisor, runner }
    }

    async fn agent(&self, change: impl FnOnce(&mut NewAgent)) -> AgentId {
        let mut new = NewAgent::new("serve", self.script);
        new.restart.jitter = false;
        change(&mut new);
        self.opened.agents(&me()).create(new).await.unwrap().id
    }

    async fn history(&self, id: AgentId) -> Vec<State> {
        let page = self.opened.agents(&me()).history(id, PageRequest::default()).await.unwrap();
        page.items.into_iter().rev().map(|it| it.state).collect()
    }
}

impl Life {
    /// Waits until an agent is in a state; its execution then.
    async fn is(&self, id: AgentId, state: State) -> Status {
        let until = tokio::time::Instant::now() + DEADLINE;
        let mut events = self.automa.events();
        loop {
            let status = self.automa.agents(&me()).status(id).unwrap();
            // Once its execution was taken on, it can be decided about.
            let begun = |execution| self.sandboxes.running().contains(&(execution, 1));
            if status.state == state && status.execution.is_none_or(begun) {
                return status;
            }
            let _ = tokio::time::timeout(Duration::from_millis(5), events.next()).await;
            assert!(tokio::time::Instant::now() < until, "{state:?}: {status:?}");
        }
    }

    async fn end(&self, id: AgentId, state: ExecutionState) {
        let execution = self.is(id, State::Running).await.execution.unwrap();
        self.sandboxes.end((execution, 1), state, 5);
    }

    async fn close(self) {
        self.supervisor.stop().await;
        self.runner.stop().await;
    }
}

#[tokio::test]
async fn what_fails_is_started_again_in_a_new_execution_until_it_is_a_crash_loop() {
    let world = World::new().await;
    let id = world.agent(|new| new.restart.crash_after = 3).await;
    let life = world.begin(16).await;
    let eve = me();
    let agents = life.automa.agents(&eve);
    agents.start(id).await.unwrap();
    let mut executions = Vec::new();
    for pause in [1, 2] {
        executions.push(life.is(id, State::Running).await.execution);
        life.end(id, ExecutionState::Failed).await;
        let status = life.is(id, State::BackingOff).await;
        let next = status.next_try.unwrap();
        assert_eq!(next, world.clock.now() + SignedDuration::from_secs(pause));
        world.clock.set(next);
    }
    life.end(id, ExecutionState::OutOfMemory).await;
    let status = life.is(id, State::CrashLoop).await;
    assert_eq!(status.restarts, 2);
    world.clock.set(status.next_try.unwrap());
    executions.push(life.is(id, State::Running).await.execution);
    executions.dedup();
    assert_eq!(executions.len(), 3);
    let filter = Filter { agent: Some(id), ..Filter::default() };
    let found = life.automa.executions(&me()).list(filter, PageRequest::default()).await.unwrap();
    assert_eq!(found.items.len(), 4);
    agents.stop(id).await.unwrap();
    life.is(id, State::Stopped).await;
    let up = [State::Starting, State::Running];
    let expected = [
        &up[..],
        &[State::BackingOff],
        &up,
        &[State::BackingOff],
        &up,
        &[State::CrashLoop],
        &up,
        &[State::Stopping, State::Stopped],
    ];
    // The first two are one change each: due, and started.
    assert_eq!(world.history(id).await, expected.concat());
    life.close().await;
}

#[tokio::test]
async fn what_is_meant_to_run_runs_again_after_a_stop_or_a_crash_of_automa() {
    let world = World::new().await;
    let id = world.agent(|new| new.restart.when = When::Never).await;
    let life = world.begin(16).await;
    life.automa.agents(&me()).start(id).await.unwrap();
    let first = life.is(id, State::Running).await.execution.unwrap();
    life.close().await;
    let ended = world.opened.executions(&me()).get(first).unwrap();
    assert_eq!(ended.state, ExecutionState::Cancelled);

    let life = world.begin(16).await;
    let second = life.is(id, State::Running).await;
    assert_eq!((second.desired, second.restarts), (Desired::Running, 1));
    // A crash: nothing was recorded.
    drop(life);
    let life = world.begin(16).await;
    let third = life.is(id, State::Running).await;
    assert_eq!(third.restarts, 2);
    let lost = world.opened.executions(&me()).get(second.execution.unwrap()).unwrap();
    assert_eq!(lost.state, ExecutionState::Lost);
    assert_eq!(life.sandboxes.running().len(), 1);
    life.automa.agents(&me()).stop(id).await.unwrap();
    life.is(id, State::Stopped).await;
    life.close().await;
    let life = world.begin(16).await;
    assert_eq!(life.automa.agents(&me()).status(id).unwrap().state, State::Stopped);
    assert_eq!(life.sandboxes.begun(), []);
    life.close().await;
}

#[tokio::test]
async fn more_than_may_run_wait_for_one_another() {
    let world = World::new().await;
    let first = world.agent(|_| ()).await;
    let second = world.agent(|_| ()).await;
    let life = world.begin(1).await;
    let eve = me();
    let agents = life.automa.agents(&eve);
    agents.start(first).await.unwrap();
    life.is(first, State::Running).await;
    agents.start(second).await.unwrap();
    loop {
        let status = agents.status(second).unwrap();
        assert_eq!(status.state, State::Starting);
        if status.why == "It waits: 1 agents run already, which is the most" {
            break;
        }
        tokio::task::yield_now().await;
    }
    agents.stop(first).await.unwrap();
    life.is(second, State::Running).await;
    life.close().await;
}

#[tokio::test]
async fn one_whose_script_is_gone_says_so_and_fails() {
    let world = World::new().await;
    let id = world.agent(|_| ()).await;
    world.opened.scripts(&me()).delete(world.script).await.unwrap();
    let life = world.begin(16).await;
    life.automa.agents(&me()).start(id).await.unwrap();
    let status = life.is(id, State::BackingOff).await;
    let script = world.script;
    assert_eq!(status.why, format!("It could not be started: there is no script `{script}`"));
    life.close().await;
}

#[tokio::test]
async fn an_agent_is_changed_and_deleted_by_rules() {
    let world = World::new().await;
    let (eve, automa) = (me(), &world.opened);
    let agents = automa.agents(&eve);
    let id = world.agent(|_| ()).await;
    let new = NewAgent { grace_ms: 5, ..NewAgent::new("other", world.script) };
    assert_eq!(agents.update(id, 1, new.clone()).await.unwrap().revision, 2);
    let error = agents.update(id, 1, new.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { kind: "agent", current: 2 }), "{error:?}");
    let wrong = NewAgent { name: String::new(), grace_ms: 600_001, log_bytes: 1, ..new };
    let Err(Error::Invalid(errors)) = agents.create(wrong).await else { panic!("accepted") };
    let fields: Vec<_> = errors.iter().map(|error| &*error.field).collect();
    assert_eq!(fields, ["name", "grace_ms", "log_bytes"]);
    let viewer = Actor { role: Role::Viewer, ..me() };
    assert!(matches!(automa.agents(&viewer).delete(id).await, Err(Error::Forbidden(_))));
    assert_eq!(automa.agents(&viewer).list().await.unwrap().len(), 1);
    let life = world.begin(16).await;
    let running = life.automa.agents(&eve);
    running.start(id).await.unwrap();
    life.is(id, State::Running).await;
    assert!(matches!(running.delete(id).await, Err(Error::AgentRuns)));
    running.stop(id).await.unwrap();
    life.is(id, State::Stopped).await;
    running.delete(id).await.unwrap();
    assert!(matches!(agents.get(id), Err(Error::NotFound { kind: "agent", .. })));
    life.close().await;
}

/// If this fails, the stored format has changed: add a version, do not change the bytes.
#[test]
fn stored_bytes_stay_as_they_are() {
    let id: AgentId = "018f0000-0000-7000-8000-000000000001".parse().unwrap();
    let script: ScriptId = "018f0000-0000-7000-8000-000000000002".parse().unwrap();
    let execution: ExecutionId = "018f0000-0000-7000-8000-000000000003".parse().unwrap();
    let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let http = Http { port: 80, path: "/".to_owned(), timeout_ms: 7 };
    let agent = Agent {
        id,
        revision: 1,
        name: "a".to_owned(),
        script,
        version: Some(2),
        parameters: Some("{}".to_owned()),
        limits: LimitsRequest { pids: Some(3), ..LimitsRequest::default() },
        network: vec!["a:1".parse().unwrap()],
        restart: Restart { when: When::OnFailure, cool_down_ms: None, ..Restart::default() },
        ready: Some(Ready { output: Some("x".to_owned()), http: None, timeout_ms: 4 }),
        alive: Some(Alive {
            output_within_ms: Some(5),
            http: Some(http),
            every_ms: 6,
            failures: 2,
        }),
        grace_ms: 8,
        log_bytes: 9,
        owner: None,
        created_at: at,
        updated_at: at,
    };
    assert_bytes(
        &agent,
        "01018f0000000070008000000000000001010161018f0000000070008000000000000002010201027b7d00000000010300000103613a3101e807e0d403000000000000004001e0d40305e0a712000101017800040101050150012f070602080900808082e288d2a306808082e288d2a306",
    );
    let supervision = Supervision {
        desired: Desired::Running,
        phase: Phase::Stopping { execution, failing: true },
        why: "b".to_owned(),
        since: at,
        up_since: Some(at),
        ends: 1,
        ended_at: vec![-1],
        restarts: 2,
    };
    assert_bytes(
        &supervision,
        "010005018f0000000070008000000000000003010162808082e288d2a30601808082e288d2a30601010102",
    );
    let happening = Happening {
        at,
        state: State::CrashLoop,
        why: "c".to_owned(),
        execution: Some(execution),
        until: Some(at),
    };
    assert_bytes(
        &happening,
        "01808082e288d2a30604016301018f000000007000800000000000000301808082e288d2a306",
    );
    let point = Point { at, cpu_millis: 1, memory_bytes: 2, pids: 3, restarts: 4 };
    assert_bytes(&Minute(vec![point]), "010180a0d5edee6601020304");
    assert_bytes(&Mean(point), "0180a0d5edee6601020304");
}
