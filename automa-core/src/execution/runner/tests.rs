//! The dispatcher with its store, and a stand-in for sandboxes, through anything that may happen to
//! them: submissions, ends, cancellations, time, and crashes between any two steps.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::SignedDuration;
use proptest::{option, prelude::*, sample::Index};
use tokio::runtime::Runtime;

use super::{Runner, RunnerConfig, Sandboxes, sandboxes::StandIn};
use crate::{
    Automa, Error,
    actor::{Actor, Origin, Role},
    clock::{Clock, TestClock},
    execution::{
        Admission, ArtifactFiles, Concurrency, Deadline, DispatchRequest, DispatchRules, Execution,
        NewExecution, OnConflict, Retry, State, admission::tests::TestHost,
    },
    id::{ExecutionId, ScriptId, UserId},
    script::{Language, NewScript},
    store,
};

const SLOTS: usize = 2;
const PER_USER: usize = 2;
/// How long a test waits for what has to come: only something broken takes that long.
const DEADLINE: Duration = Duration::from_secs(30);
const RULES: [(u32, OnConflict); 4] = [
    (1, OnConflict::Queue),
    (2, OnConflict::Queue),
    (1, OnConflict::Skip),
    (1, OnConflict::Replace),
];

#[derive(Debug, Clone, Copy)]
enum Op {
    Submit { user: usize, rule: Option<usize>, priority: i8, deadline: Option<u64>, retry: bool },
    End(Index, State, u64),
    Cancel(Index),
    Advance(i64),
    Memory(bool),
    Crash,
}

fn any_op() -> impl Strategy<Value = Op> {
    let rule = option::of(0..RULES.len());
    let submit = (0usize..2, rule, -1i8..2, option::of(1u64..60_000), any::<bool>());
    let end = prop::sample::select(&[State::Succeeded, State::Failed, State::TimedOut]);
    prop_oneof![
        6 => submit.prop_map(|(user, rule, priority, deadline, retry)| {
            Op::Submit { user, rule, priority, deadline, retry }
        }),
        4 => (any::<Index>(), end, 0u64..10_000).prop_map(|(which, state, cpu)| Op::End(which, state, cpu)),
        1 => any::<Index>().prop_map(Op::Cancel),
        2 => (0i64..40).prop_map(Op::Advance),
        1 => any::<bool>().prop_map(Op::Memory),
        1 => Just(Op::Crash),
    ]
}

/// One life of a server on a store that outlives it.
struct Life {
    runtime: Runtime,
    automa: Automa,
    runner: Arc<Runner>,
    sandboxes: Arc<StandIn>,
}

struct World {
    life: Option<Life>,
    /// Of the store, to begin the next life with.
    opened: Automa,
    clock: Arc<TestClock>,
    host: Arc<TestHost>,
    logs: tempfile::TempDir,
    users: [Actor; 2],
    scripts: Vec<ScriptId>,
    accepted: Vec<ExecutionId>,
    /// Each start that there ever was.
    started: HashSet<(ExecutionId, u32)>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(TestClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
        let opened = Automa::builder().in_memory().clock(Arc::clone(&clock)).open().unwrap();
        let users = ["ann", "bob"]
            .map(|name| Actor::user(UserId::generate(&*clock), name, Role::Operator, Origin::Api));
        let runtime = runtime();
        let scripts = RULES.into_iter().map(|(limit, on_conflict)| {
            let concurrency = Some(Concurrency { limit, key: None, on_conflict });
            let dispatch = DispatchRules { concurrency, ..DispatchRules::default() };
            let new = NewScript { dispatch, ..NewScript::new("script", Language::Bash, ":") };
            runtime.block_on(opened.scripts(&users[0]).create(new)).unwrap().id
        });
        let scripts = scripts.collect();
        let mut world = Self {
            life: None,
            opened,
            clock,
            host: Arc::default(),
            logs: tempfile::tempdir().unwrap(),
            users,
            scripts,
            accepted: Vec::new(),
            started: HashSet::new(),
        };
        world.begin();
        world
    }

    /// Starts on what the store has.
    fn begin(&mut self) {
        let runtime = runtime();
        let sandboxes = Arc::new(StandIn::new(SLOTS));
        let config = RunnerConfig {
            logs: self.logs.path().into(),
            artifacts: ArtifactFiles::new(self.logs.path().join("artifacts")),
            per_user: Some(PER_USER),
            admission: Admission::new(Box::new(Arc::clone(&self.host)), None),
            vault: Arc::clone(&self.opened.vault),
        };
        let (store, clock) = (self.opened.store.clone(), self.opened.clock.clone());
        let stand_in = Sandboxes::StandIn(Arc::clone(&sandboxes));
        let runner = runtime.block_on(Runner::start(stand_in, store, clock, config)).unwrap();
        let automa = self.opened.clone().with_runner(Arc::clone(&runner));
        self.life = Some(Life { runtime, automa, runner, sandboxes });
    }

    /// Ends without any task having noticed: each stops wherever it waits.
    fn crash(&mut self) {
        self.note_starts();
        self.life = None;
    }

    fn note_starts(&mut self) {
        for start in self.life().sandboxes.begun() {
            assert!(self.started.insert(start), "{start:?} was started twice");
        }
    }

    fn life(&self) -> &Life {
        self.life.as_ref().unwrap()
    }

    fn get(&self, id: ExecutionId) -> Execution {
        self.opened.store.look(|view| store::executions::get(view, id)).unwrap().unwrap()
    }

    fn all(&self) -> Vec<Execution> {
        self.accepted.iter().map(|id| self.get(*id)).collect()
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Submit { user, rule, priority, deadline, retry } => {
                let on = vec![State::Failed, State::Lost];
                let retry = retry.then(|| Retry { attempts: 3, on, ..Retry::default() });
                let dispatch = DispatchRequest {
                    priority: Some(priority),
                    deadline: deadline.map(Deadline::After),
                    retry,
                    concurrency_key: None,
                };
                let new = match rule {
                    Some(rule) => NewExecution::script(self.scripts[rule]),
                    None => NewExecution::code(Language::Bash, ":"),
                };
                let (life, new) = (self.life(), NewExecution { dispatch, ..new });
                let executions = life.automa.executions(&self.users[user]);
                let accepted = life.runtime.block_on(executions.submit(new)).unwrap();
                self.accepted.push(accepted.id);
            }
            Op::End(which, state, cpu_ms) => {
                let running = self.life().sandboxes.running();
                if !running.is_empty() {
                    self.life().sandboxes.end(running[which.index(running.len())], state, cpu_ms);
                }
            }
            Op::Cancel(which) if !self.accepted.is_empty() => {
                let id = self.accepted[which.index(self.accepted.len())];
                let life = self.life();
                let cancelled =
                    life.runtime.block_on(life.automa.executions(&self.users[0]).cancel(id));
                assert!(matches!(cancelled, Ok(_) | Err(Error::Ended(_))), "{cancelled:?}");
            }
            Op::Cancel(_) => {}
            Op::Advance(seconds) => self.clock.advance(SignedDuration::from_secs(seconds)),
            Op::Memory(short) => {
                let stalled = if short { 10_000 } else { 0 };
                self.host.stalled.store(stalled, std::sync::atomic::Ordering::Relaxed);
            }
            Op::Crash => {
                self.crash();
                self.begin();
            }
        }
    }

    /// Waits until nothing more happens by itself.
    fn settle(&mut self) {
        let until = Instant::now() + DEADLINE;
        let life = self.life.as_ref().unwrap();
        life.runtime.block_on(async {
            while !life.runner.is_quiet(self.clock.now(), life.sandboxes.running().len()) {
                assert!(Instant::now() < until, "it does not come to rest");
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        });
        self.note_starts();
    }

    /// What has to be so whenever nothing happens.
    fn check(&self) {
        let (all, now) = (self.all(), self.clock.now());
        let running: Vec<_> = all.iter().filter(|it| it.state == State::Running).collect();
        let mut in_sandboxes = self.life().sandboxes.running();
        in_sandboxes.sort_unstable();
        let mut recorded: Vec<_> = running.iter().map(|it| (it.id, it.attempt)).collect();
        recorded.sort_unstable();
        assert_eq!(recorded, in_sandboxes, "what is recorded as running runs");
        assert!(running.len() <= SLOTS);
        for actor in &self.users {
            let of_user = running.iter().filter(|it| it.user == actor.user).count();
            assert!(of_user <= PER_USER, "{running:#?}");
        }
        let mut keys: BTreeMap<_, u32> = BTreeMap::new();
        for place in running.iter().filter_map(|it| it.dispatch.concurrency) {
            let count = keys.entry(place.key).or_default();
            *count += 1;
            assert!(*count <= place.limit, "{running:#?}");
        }
        for execution in &all {
            let Execution { id, attempt, state, .. } = *execution;
            let was_started = |attempt| self.started.contains(&(id, attempt));
            match state {
                State::Queued => assert!(!was_started(attempt), "{execution:#?}"),
                State::Running | State::Succeeded => {
                    assert!(was_started(attempt), "{execution:#?}");
                }
                _ => {}
            }
            assert!((attempt + 1..9).all(|later| !was_started(later)), "{execution:#?}");
            let waiting = self.life().automa.executions(&self.users[0]).waiting(id).unwrap();
            assert_eq!(waiting.is_some(), state == State::Queued, "{execution:#?} {waiting:?}");
            let late = execution.dispatch.deadline.is_some_and(|deadline| deadline <= now);
            assert!(state != State::Queued || !late, "{execution:#?}");
            assert_eq!(execution.finished_at.is_some(), !state.is_open());
        }
        Self::check_order(&all);
    }

    /// Of one user's that nothing but their order tells apart, the first runs first.
    fn check_order(all: &[Execution]) {
        let rank = |it: &Execution| (std::cmp::Reverse(it.dispatch.priority), it.id);
        let plain = |it: &&Execution| it.dispatch.concurrency.is_none();
        let waits =
            all.iter().filter(plain).filter(|it| it.state == State::Queued && it.attempt == 1);
        for waiting in waits {
            // Whatever was started since it was accepted went before it by right.
            let jumped = all.iter().filter(plain).find(|it| {
                it.user == waiting.user
                    && it.attempt == 1
                    && it.started_at.is_some_and(|at| at > waiting.created_at)
                    && rank(it) > rank(waiting)
            });
            assert!(jumped.is_none(), "{jumped:#?} went before {waiting:#?}");
        }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn nothing_is_lost_and_nothing_started_twice_whatever_happens(
        ops in prop::collection::vec((any_op(), any::<bool>()), 1..50),
    ) {
        let mut world = World::new();
        for (op, settles) in ops {
            world.clock.advance(SignedDuration::from_millis(1));
            let crashed = matches!(op, Op::Crash);
            world.apply(op);
            // Without coming to rest, the next thing happens in the middle of this one.
            if settles || crashed {
                world.settle();
                world.check();
            }
        }
        // A year later everything has ended.
        world.apply(Op::Memory(false));
        for _ in 0..world.accepted.len() * 4 + 4 {
            world.clock.advance(SignedDuration::from_hours(24));
            world.settle();
            for running in world.life().sandboxes.running() {
                world.life().sandboxes.end(running, State::Succeeded, 1);
            }
            world.settle();
        }
        world.check();
        let open: Vec<_> = world.all().into_iter().filter(|it| it.state.is_open()).collect();
        prop_assert!(open.is_empty(), "{open:#?}");
        let life = world.life();
        life.runtime.block_on(life.runner.stop());
    }
}
