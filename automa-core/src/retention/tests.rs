use std::{fs, path::Path, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::{
    Rules, ScriptRules,
    sweep::{Sweep, Swept},
};
use crate::{
    Automa, Error,
    actor::{Actor, Role},
    audit::Action,
    clock::{Clock, TestClock},
    error::StoreError,
    execution::{ArtifactFiles, Dispatch, Execution, LimitsRequest, State, Work},
    id::{ExecutionId, ScriptId},
    page::{Limit, PageRequest},
    script::{Language, NewScript},
    store::{self, change::Change, logs::LogFile},
};

/// A history that is as old as the test says, and the files that go with it.
struct History {
    automa: Automa,
    clock: Arc<TestClock>,
    place: TempDir,
}

impl History {
    fn new() -> Self {
        let clock = Arc::new(TestClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
        let automa = Automa::builder().in_memory().clock(Arc::clone(&clock)).open().unwrap();
        let place = tempfile::tempdir().unwrap();
        for below in ["logs", "artifacts"] {
            fs::create_dir(place.path().join(below)).unwrap();
        }
        Self { automa, clock, place }
    }

    fn sweep(&self) -> Sweep {
        let (store, clock) = (self.automa.store.clone(), Arc::clone(&self.clock));
        let logs = self.place.path().join("logs");
        let artifacts = ArtifactFiles::new(self.place.path().join("artifacts"));
        Sweep { store, clock, logs, artifacts }
    }

    async fn script(&self, name: &str) -> ScriptId {
        let new = NewScript::new(name, Language::Bash, "echo");
        self.automa.scripts(&me()).create(new).await.unwrap().id
    }

    /// An execution that takes a minute, with a log of so many bytes.
    async fn run(&self, script: Option<ScriptId>, state: State, bytes: u64) -> ExecutionId {
        let created_at = self.clock.now();
        let id = ExecutionId::generate(&*self.clock);
        let ended = !state.is_open();
        let execution = Execution {
            id,
            state,
            language: Language::Bash,
            script: script.map(|script| (script, 1)),
            script_name: None,
            requested_by: "eve".to_owned(),
            user: None,
            created_at,
            started_at: Some(created_at),
            finished_at: ended.then(|| created_at + SignedDuration::from_mins(1)),
            attempt: 1,
            rerun_of: None,
            ending: None,
            dispatch: Dispatch::default(),
            job: None,
            agent: None,
        };
        let work = Work {
            source: Some("echo".to_owned()),
            parameters: None,
            limits: LimitsRequest::default(),
            network: Vec::new(),
        };
        let change = move |change: &mut Change| {
            store::executions::put(change, &execution)?;
            store::executions::put_work(change, id, &work)?;
            if ended {
                store::logs::put(change, id, LogFile { bytes, script })?;
            }
            Ok::<_, StoreError>(())
        };
        self.automa.store.write(change).await.unwrap();
        fs::write(self.log(id), "log").unwrap();
        fs::write(self.place.path().join(format!("artifacts/{id}.2")), "files").unwrap();
        id
    }

    fn log(&self, id: ExecutionId) -> std::path::PathBuf {
        self.place.path().join(format!("logs/{id}.log"))
    }

    fn days(&self, days: i64) {
        self.clock.advance(SignedDuration::from_hours(24 * days));
    }

    fn exists(&self, id: ExecutionId) -> bool {
        self.automa.executions(&me()).get(id).is_ok()
    }

    /// When the log of an execution was removed.
    fn log_removed(&self, id: ExecutionId) -> Option<Timestamp> {
        self.automa.store.look(|view| store::logs::removed(view, id)).unwrap()
    }

    /// Bytes of all logs.
    fn log_bytes(&self) -> u64 {
        let uses = self.automa.store.look(store::logs::uses).unwrap();
        uses.iter().map(|(_, it)| it.bytes).sum()
    }

    async fn audit(&self) -> Vec<Action> {
        let page = PageRequest { cursor: None, limit: Limit::new(10).unwrap() };
        let entries = self.automa.audit(&me()).list(page).await.unwrap().items;
        entries.into_iter().map(|entry| entry.action).collect()
    }
}

fn me() -> Actor {
    Actor::embedder("test")
}

/// How many files with logs and with artifacts there are.
fn files(place: &Path) -> (usize, usize) {
    let count = |below: &str| fs::read_dir(place.join(below)).unwrap().count();
    (count("logs"), count("artifacts"))
}

fn nothing() -> Rules {
    Rules { history_days: None, log_days: None, log_bytes: None, audit_days: None }
}

#[tokio::test]
async fn a_year_passes_and_each_thing_goes_when_its_time_has_come() {
    let history = History::new();
    let admin = me();
    let retention = history.automa.retention(&admin);
    let rules = Rules { history_days: Some(300), log_days: Some(30), ..nothing() };
    retention.set(rules).await.unwrap();
    assert_eq!(retention.get().unwrap(), rules);
    let mut runs = Vec::new();
    for _ in 0..365 {
        runs.push(history.run(None, State::Succeeded, 100).await);
        history.days(1);
        history.sweep().run().await.unwrap();
    }
    for (day, id) in runs.into_iter().enumerate() {
        let age = 365 - day;
        assert_eq!(history.exists(id), age <= 300, "{age} days old");
        assert_eq!(history.log(id).exists(), age <= 30, "{age} days old");
        let removed = history.log_removed(id).is_some();
        assert_eq!(removed, (31..=300).contains(&age), "{age} days old");
    }
    assert_eq!((history.log_bytes(), files(history.place.path())), (3000, (30, 300)));
    let counts = history.automa.executions(&me()).counts().unwrap();
    assert_eq!((counts.total(), counts.of(State::Succeeded)), (300, 300));
    let gone = Action::Swept { executions: 1, logs: 1, bytes: 100 };
    assert_eq!(history.audit().await[0], gone);
    // Nothing is left to do, and nothing is said of it.
    let before = history.audit().await;
    assert_eq!(history.sweep().run().await.unwrap(), Swept::default());
    assert_eq!(history.audit().await, before);
}

#[tokio::test]
async fn a_clock_that_steps_back_removes_nothing_and_one_that_steps_forward_what_is_old_then() {
    let history = History::new();
    let rules = Rules { history_days: Some(10), log_days: Some(5), ..nothing() };
    history.automa.retention(&me()).set(rules).await.unwrap();
    let first = history.run(None, State::Succeeded, 5).await;
    history.days(-100);
    let second = history.run(None, State::Succeeded, 5).await;
    assert!(second > first, "they are in the order in which they came");
    assert_eq!(history.sweep().run().await.unwrap(), Swept::default());
    history.days(4);
    assert_eq!(history.sweep().run().await.unwrap(), Swept::default());
    history.days(96 + 9);
    // The second ended long ago by the clock, but is not older than the first, which has its turn.
    let swept = history.sweep().run().await.unwrap();
    assert_eq!(swept, Swept { executions: 0, logs: 2, bytes: 10 });
    history.days(2);
    history.sweep().run().await.unwrap();
    assert!(!history.exists(first) && !history.exists(second));
}

#[tokio::test]
async fn what_is_open_or_has_just_ended_stays() {
    let history = History::new();
    let rules = Rules { history_days: Some(1), log_days: Some(1), ..nothing() };
    history.automa.retention(&me()).set(rules).await.unwrap();
    let queued = history.run(None, State::Queued, 0).await;
    let running = history.run(None, State::Running, 0).await;
    let ended = history.run(None, State::Failed, 5).await;
    history.days(100);
    let swept = history.sweep().run().await.unwrap();
    assert_eq!(swept, Swept { executions: 1, logs: 1, bytes: 5 });
    assert!(history.exists(queued) && history.exists(running) && !history.exists(ended));
    assert!(history.log(running).exists());
    // It was accepted long ago and ends now.
    let finished_at = Some(history.clock.now());
    let end = move |change: &mut Change| {
        let execution = store::executions::get(change, running)?.unwrap();
        let execution = Execution { state: State::Succeeded, finished_at, ..execution };
        store::executions::put(change, &execution)?;
        store::logs::put(change, running, LogFile { bytes: 7, script: None })
    };
    history.automa.store.write(end).await.unwrap();
    assert_eq!(history.sweep().run().await.unwrap(), Swept::default());
    assert!(history.exists(running) && history.log(running).exists());
    history.days(2);
    assert_eq!(history.sweep().run().await.unwrap().executions, 1);
    assert!(!history.exists(running) && !history.log(running).exists());
}

#[tokio::test]
async fn the_oldest_logs_go_until_the_others_have_room() {
    let history = History::new();
    let mib = 1 << 20;
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(history.run(None, State::Succeeded, mib).await);
    }
    let rules = Rules { log_bytes: Some(4 * mib), ..nothing() };
    history.automa.retention(&me()).set(rules).await.unwrap();
    let swept = history.sweep().run().await.unwrap();
    assert_eq!(swept, Swept { executions: 0, logs: 6, bytes: 6 * mib });
    for (index, id) in ids.into_iter().enumerate() {
        assert_eq!(history.log(id).exists(), index >= 6);
        assert!(history.exists(id));
    }
    assert_eq!(history.log_bytes(), 4 * mib);
}

#[tokio::test]
async fn a_script_may_have_rules_of_its_own() {
    let history = History::new();
    let admin = me();
    let retention = history.automa.retention(&admin);
    let (short, long, many) =
        (history.script("a").await, history.script("b").await, history.script("c").await);
    let rules = Rules { history_days: Some(100), log_days: Some(10), ..nothing() };
    retention.set(rules).await.unwrap();
    let own = |history_days, log_days, log_bytes| ScriptRules { history_days, log_days, log_bytes };
    retention.set_of_script(short, own(Some(5), None, None)).await.unwrap();
    retention.set_of_script(long, own(Some(1000), Some(500), None)).await.unwrap();
    retention.set_of_script(many, own(None, None, Some(1 << 20))).await.unwrap();
    let mut ids = Vec::new();
    for script in [Some(short), Some(long), Some(many), Some(many), None] {
        ids.push(history.run(script, State::Succeeded, 1 << 20).await);
    }
    let [a, b, c1, c2, code] = ids[..] else { panic!("there are five") };
    history.sweep().run().await.unwrap();
    assert!(history.log_removed(c1).is_some() && history.log_removed(c2).is_none());
    history.days(6);
    history.sweep().run().await.unwrap();
    assert!(!history.exists(a) && history.exists(b) && history.log_removed(code).is_none());
    history.days(100);
    history.sweep().run().await.unwrap();
    assert!(!history.exists(code) && !history.exists(c2));
    assert!(history.exists(b) && history.log(b).exists());
    history.days(1000);
    history.sweep().run().await.unwrap();
    assert!(!history.exists(b));
    assert_eq!((history.log_bytes(), files(history.place.path())), (0, (0, 0)));
    // Rules that say nothing are none.
    retention.set_of_script(long, ScriptRules::default()).await.unwrap();
    let left = history.automa.store.look(store::retention::of_scripts).unwrap();
    assert_eq!(left.len(), 2);
}

#[tokio::test]
async fn what_a_sweep_could_not_finish_the_next_one_does() {
    let history = History::new();
    let id = history.run(None, State::Succeeded, 5).await;
    let at = history.clock.now();
    // As if it had ended between the change and the file.
    let change = move |change: &mut Change| store::logs::remove(change, id, at);
    assert_eq!(history.automa.store.write(change).await.unwrap(), 5);
    assert!(history.log(id).exists());
    history.sweep().run().await.unwrap();
    assert!(!history.log(id).exists());
    let left = |view: &store::change::Snapshot| store::logs::leaving(view, 10);
    assert!(history.automa.store.look(left).unwrap().is_empty());
}

#[tokio::test]
async fn many_are_removed_batch_by_batch() {
    let history = History::new();
    for _ in 0..2500 {
        history.run(None, State::Succeeded, 1).await;
    }
    let rules = Rules { history_days: Some(1), ..nothing() };
    history.automa.retention(&me()).set(rules).await.unwrap();
    history.days(2);
    let swept = history.sweep().run().await.unwrap();
    assert_eq!(swept, Swept { executions: 2500, logs: 2500, bytes: 2500 });
    assert_eq!(history.automa.executions(&me()).counts().unwrap().total(), 0);
    assert_eq!(files(history.place.path()), (0, 0));
}

#[tokio::test]
async fn nobody_but_an_admin_sets_rules_and_they_have_to_make_sense() {
    let history = History::new();
    let of = |role| Actor { role, ..me() };
    let automa = &history.automa;
    assert_eq!(automa.retention(&of(Role::Viewer)).get().unwrap(), Rules::default());
    let refused = automa.retention(&of(Role::Operator)).set(nothing()).await.unwrap_err();
    assert!(matches!(refused, Error::Forbidden(_)), "{refused}");
    let rules = Rules {
        history_days: Some(0),
        log_days: Some(40_000),
        log_bytes: Some(5),
        audit_days: Some(29),
    };
    let Error::Invalid(fields) = automa.retention(&me()).set(rules).await.unwrap_err() else {
        panic!("it makes no sense")
    };
    let names: Vec<_> = fields.iter().map(|it| it.field.as_ref()).collect();
    assert_eq!(names, ["history_days", "log_days", "audit_days", "log_bytes"]);
    let nowhere = ScriptId::generate(&*history.clock);
    let missing = automa.retention(&me()).set_of_script(nowhere, ScriptRules::default()).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
    automa.retention(&of(Role::Admin)).set(nothing()).await.unwrap();
    assert_eq!(history.audit().await, [Action::RetentionChanged]);
}

/// If this fails, the stored format has changed: add a version, do not change the bytes.
#[test]
fn stored_bytes_stay_as_they_are() {
    use crate::store::record::golden::{assert_bytes, assert_reads};
    assert_reads("0101da05015a018080808028", &Rules::default());
    let rules = Rules { audit_days: Some(400), ..Rules::default() };
    assert_bytes(&rules, "0201da05015a0180808080280190 03".replace(' ', "").as_str());
    let own = ScriptRules { history_days: None, log_days: Some(7), log_bytes: None };
    assert_bytes(&own, "01000107 00".replace(' ', "").as_str());
}
