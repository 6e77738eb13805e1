//! Fixtures: stores that earlier versions wrote. They are in `tests/fixtures`, and never change.
//!
//! What is in them is written by `write`. Each is read here by the public operations: what a
//! version has stored, all later ones can read.

mod write;

use std::{collections::BTreeSet, fs, path::PathBuf};

use jiff::{SignedDuration, Timestamp};
use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableHandle};

use crate::{
    Automa, Error,
    actor::{Actor, Origin, Role},
    audit::{Action, Entry},
    clock::TestClock,
    execution::{Execution, Filter, LimitsRequest, NewExecution, Parameters, State},
    id::ScriptId,
    page::{Limit, PageRequest},
    script::{Language, NewScript},
    session::{Client, Session},
    user::{NewUser, SecretString, User, UserFilter},
};

/// When fixtures begin; each step of what they tell is some seconds later.
const AT: &str = "2026-01-01T00:00:00Z";
const ORIGINS: [Origin; 5] =
    [Origin::Web, Origin::Api, Origin::Mcp, Origin::Scheduler, Origin::Embedder];
const SCHEMA: &str = r#"{"type":"object","required":["name"]}"#;
/// How many took a second or more, or are still running.
const LONG: usize = 10;
const CODE: &str = "echo code";

fn path(number: u32) -> PathBuf {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    root.join(format!("tests/fixtures/store-v{number}.redb"))
}

/// The numbers of those that there are.
fn numbers() -> impl Iterator<Item = u32> {
    (1..1000).take_while(|&number| path(number).exists())
}

fn password(name: &str) -> SecretString {
    format!("the password of {name}").into()
}

fn new_user(name: &str, role: Role) -> NewUser {
    let (username, email) = (name.to_owned(), format!("{name}@example.com"));
    NewUser { username, email, password: password(name), role }
}

fn parameters() -> Parameters {
    [("name".to_owned(), "wörld".into()), ("times".to_owned(), 3.into())].into_iter().collect()
}

fn all_limits() -> LimitsRequest {
    LimitsRequest {
        wall_ms: Some(1000),
        cpu_ms: Some(500),
        cpus: Some(0.5),
        memory_bytes: Some(64 << 20),
        pids: Some(9),
        output_bytes: Some(1 << 20),
        tmp_bytes: Some(2 << 20),
    }
}

/// What Ada submitted with a key.
fn keyed_code() -> NewExecution {
    let idempotency_key = Some("2026-01-01-nightly".to_owned());
    NewExecution { idempotency_key, ..NewExecution::code(Language::Bash, CODE) }
}

/// Does something with a copy of each fixture, an hour after it was written.
async fn with_each(test: impl AsyncFn(Automa)) {
    assert!(path(1).exists());
    for number in numbers() {
        eprintln!("store-v{number}.redb");
        let place = tempfile::tempdir().unwrap();
        fs::copy(path(number), place.path().join("automa.redb")).unwrap();
        let at: Timestamp = AT.parse().unwrap();
        let clock = TestClock::with_seed(at + SignedDuration::from_hours(1), u64::from(number));
        let automa = Automa::builder().directory(place.path()).clock(clock).open().unwrap();
        test(automa.clone()).await;
        automa.close().await;
    }
}

fn me() -> Actor {
    Actor::embedder("test")
}

fn all() -> PageRequest {
    PageRequest { cursor: None, limit: Limit::new(200).unwrap() }
}

/// Users, oldest first.
async fn users(automa: &Automa) -> Vec<User> {
    let mut users = automa.users(&me()).list(UserFilter::default(), all()).await.unwrap().items;
    users.reverse();
    users
}

/// Executions, oldest first.
async fn executions(automa: &Automa, filter: Filter) -> Vec<Execution> {
    let mut executions = automa.executions(&me()).list(filter, all()).await.unwrap().items;
    executions.reverse();
    executions
}

/// The audit log, oldest first.
async fn audited(automa: &Automa) -> Vec<Entry> {
    let mut entries = automa.audit(&me()).list(all()).await.unwrap().items;
    entries.reverse();
    entries
}

#[test]
fn every_table_of_a_fixture_has_records() {
    assert!(path(1).exists());
    for number in numbers() {
        let place = tempfile::tempdir().unwrap();
        let copy = place.path().join("automa.redb");
        fs::copy(path(number), &copy).unwrap();
        let txn = Database::open(&copy).unwrap().begin_read().unwrap();
        let tables: Vec<_> = txn.list_tables().unwrap().collect();
        assert!(tables.len() >= 19, "{} tables", tables.len());
        for table in tables {
            let name = table.name().to_owned();
            let records = txn.open_untyped_table(table).unwrap().len().unwrap();
            assert!(records > 0, "`{name}` of store-v{number}.redb is empty");
        }
    }
}

#[tokio::test]
async fn users_of_a_fixture_sign_in_with_their_passwords() {
    with_each(async |automa| {
        let users = users(&automa).await;
        let told: Vec<_> = users
            .iter()
            .map(|user| (user.username.as_str(), user.email.as_str(), user.role))
            .collect();
        let expected = [
            ("Ada", "Ada@example.com", Role::Admin),
            ("otto", "otto@example.com", Role::Operator),
            ("vera", "vera@example.com", Role::Viewer),
        ];
        assert_eq!(told, expected);
        assert!(!automa.setup().is_open().unwrap());
        let client = Client { origin: Origin::Web, address: None, agent: None };
        for user in users {
            assert!(user.created_at > AT.parse().unwrap());
            for name in [&user.username, &user.email] {
                let (name, password) = (name.to_uppercase(), password(&user.username));
                let signed_in = automa.sessions().sign_in(&name, &password, client.clone()).await;
                assert_eq!(signed_in.unwrap().user, user);
            }
            let wrong = password("nobody");
            let refused = automa.sessions().sign_in(&user.email, &wrong, client.clone()).await;
            assert!(matches!(refused, Err(Error::WrongPassword)));
        }
    })
    .await;
}

#[tokio::test]
async fn sessions_of_a_fixture_go_on() {
    with_each(async |automa| {
        let begun = audited(&automa).await.into_iter().filter_map(|entry| match entry.action {
            Action::SignedIn(session) => Some(session),
            _ => None,
        });
        let sessions = automa.sessions();
        let (mut live, mut ended): (Vec<Session>, u32) = Default::default();
        for id in begun {
            match sessions.resume(id, Origin::Api) {
                Ok((user, _)) => {
                    assert_eq!(user.username, "Ada");
                    // They were refreshed once.
                    live.push(sessions.refresh(id, 1).await.unwrap().session);
                }
                Err(error) => {
                    assert!(matches!(error, Error::SessionEnded));
                    ended += 1;
                }
            }
        }
        assert_eq!(ended, 2);
        assert_eq!(live.iter().map(|it| it.client.origin).collect::<Vec<_>>(), ORIGINS);
        for session in live {
            assert!(session.created_at < session.refreshed_at);
            assert_eq!(session.generation, 2);
            assert_eq!(session.client.address.as_deref(), Some("2001:db8::1"));
            assert_eq!(session.client.agent.as_deref(), Some("Browser/1.0"));
        }
    })
    .await;
}

#[tokio::test]
async fn scripts_of_a_fixture_are_read_and_changed() {
    with_each(async |automa| {
        let me = me();
        let scripts = automa.scripts(&me);
        let listed = scripts.list(all()).await.unwrap().items;
        let [script] = &listed[..] else { panic!("one was deleted: {listed:?}") };
        assert_eq!((&*script.name, &*script.description), ("greeting", "Says hellö."));
        assert_eq!((script.version, script.language), (2, Language::Python));
        assert_eq!(script.tags, ["a", "b c"]);
        assert_eq!(script.owner, Some(users(&automa).await[0].id));
        assert!(script.created_at < script.updated_at);
        let versions = scripts.versions(script.id, all()).await.unwrap().items;
        let [second, first] = &versions[..] else { panic!("{versions:?}") };
        assert_eq!((first.number, first.language), (1, Language::Bash));
        assert_eq!((first.source.as_str(), first.author.as_str()), ("echo hello", "Ada"));
        assert_eq!((&first.parameters_schema, first.limits), (&None, LimitsRequest::default()));
        assert_eq!((second.source.as_str(), second.number), ("print('hello')", 2));
        assert_eq!(second.parameters_schema.as_deref(), Some(SCHEMA));
        assert_eq!(second.limits, all_limits());
        assert_eq!(second.created_at, script.updated_at);
        let new = NewScript::new("greeting", Language::Bash, "echo 3");
        let changed = scripts.update(script.id, 2, new).await.unwrap();
        assert_eq!((changed.version, changed.created_at), (3, script.created_at));
        let versions = scripts.versions(script.id, all()).await.unwrap().items;
        assert_eq!(versions.len(), 3);
        scripts.delete(script.id).await.unwrap();
        assert!(matches!(scripts.get(script.id), Err(Error::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn executions_of_a_fixture_are_read_with_what_they_ran() {
    with_each(async |automa| {
        let me = me();
        let ada = users(&automa).await[0].id;
        let executions = executions(&automa, Filter::default()).await;
        let states: Vec<_> = executions.iter().map(|it| it.state.name()).collect();
        let expected = [
            "succeeded",
            "failed",
            "succeeded",
            "timed_out",
            "out_of_memory",
            "failed",
            "cancelled",
            "lost",
            "succeeded",
            "cancelled",
            "running",
            "queued",
            "queued",
        ];
        assert_eq!(states, expected);
        for execution in &executions {
            let by_embedder = execution.requested_by == "nightly";
            assert_eq!(execution.user, Some(ada).filter(|_| !by_embedder), "{execution:?}");
            assert_eq!(
                execution.started_at.is_some(),
                execution.state != State::Queued
                    && (execution.ending.is_some() || execution.state == State::Running)
            );
            assert!(execution.started_at.is_none_or(|at| at > execution.created_at));
            assert!(execution.finished_at.is_none_or(|at| at > execution.created_at));
            assert_eq!(execution.finished_at.is_none(), execution.state.is_open());
            let ran = automa.executions(&me).program(execution.id).await.unwrap();
            assert_eq!(ran.language, execution.language);
            let (source, parameters, limits) = match execution.script_name.as_deref() {
                Some("greeting") => ("print('hello')", Some(parameters()), all_limits()),
                Some("old") => ("echo old", None, LimitsRequest::default()),
                _ => (CODE, None, LimitsRequest::default()),
            };
            assert_eq!((&*ran.source, ran.parameters, ran.limits), (source, parameters, limits));
        }
        let [first, again, ..] = &executions[..] else { panic!("{executions:?}") };
        assert_eq!((again.attempt, again.rerun_of), (2, Some(first.id)));
        assert_eq!((first.attempt, first.rerun_of), (1, None));
        assert_eq!(again.script.map(|(_, version)| version), Some(2));
    })
    .await;
}

#[tokio::test]
async fn executions_of_a_fixture_have_their_endings_and_reports() {
    with_each(async |automa| {
        let me = me();
        for execution in executions(&automa, Filter::default()).await {
            let report = automa.executions(&me).report(execution.id).unwrap();
            assert_eq!(report.is_some(), execution.ending.is_some(), "{execution:?}");
            let (Some(report), Some(ending)) = (report, execution.ending) else { continue };
            assert_eq!(State::from(&report.outcome), execution.state);
            assert_eq!(ending.cause, format!("the script {}", report.outcome));
            assert_eq!((ending.wall_ms, ending.cpu_ms), (1234, 234));
            assert_eq!((ending.peak_memory_bytes, ending.output_bytes), (Some(9 << 20), 42));
            let exit = match &*ending.cause {
                "the script succeeded" => (Some(0), None),
                "the script ended with exit code 3" => (Some(3), None),
                "the script was ended by signal SIGSEGV (11)" => (None, Some(11)),
                _ => (None, None),
            };
            assert_eq!((ending.exit_code, ending.signal), exit, "{}", ending.cause);
            assert_eq!(report.usage.forks_refused, 2);
            assert_eq!((report.protections.len(), report.timeline.len()), (21, 1));
            assert!(report.output_truncated);
        }
    })
    .await;
}

#[tokio::test]
async fn executions_of_a_fixture_are_found_and_counted_by_state_and_script() {
    with_each(async |automa| {
        let me = me();
        let listed = executions(&automa, Filter::default()).await;
        let counts = automa.executions(&me).counts().unwrap();
        assert_eq!(counts.total(), listed.len() as u64);
        let scripts: BTreeSet<_> = listed.iter().filter_map(|it| it.script).collect();
        assert_eq!(scripts.len(), 2);
        for state in State::ALL {
            let of = |script| Filter { script, ..Filter::in_state(state) };
            let with = |script: Option<ScriptId>| {
                let with = listed.iter().filter(move |it| {
                    it.state == state && (script.is_none() || it.script.map(|it| it.0) == script)
                });
                with.cloned().collect::<Vec<_>>()
            };
            assert!(!with(None).is_empty(), "{state}");
            assert_eq!(counts.of(state), with(None).len() as u64, "{state}");
            for script in [None].into_iter().chain(scripts.iter().map(|it| Some(it.0))) {
                assert_eq!(executions(&automa, of(script)).await, with(script), "{state}");
            }
        }
        for &(script, _) in &scripts {
            assert!(!executions(&automa, Filter::of_script(script)).await.is_empty());
        }
        for name in ["Ada", "nightly"] {
            let asked: Vec<_> =
                listed.iter().filter(|it| it.requested_by == name).cloned().collect();
            let of = Filter { requested_by: Some(name.to_owned()), ..Filter::default() };
            assert_eq!(executions(&automa, of).await, asked);
        }
        let long = Filter { min_wall_ms: Some(1000), ..Filter::default() };
        assert_eq!(executions(&automa, long).await.len(), LONG);
    })
    .await;
}

#[tokio::test]
async fn a_key_of_a_fixture_stands_for_its_execution() {
    with_each(async |automa| {
        let ada = users(&automa).await.remove(0);
        let actor = Actor::user(ada.id, ada.username, ada.role, Origin::Api);
        let found = automa.executions(&actor).submit(keyed_code()).await.unwrap();
        assert_eq!(found, executions(&automa, Filter::default()).await[8]);
        let other = NewExecution { parameters: Some(parameters()), ..keyed_code() };
        let refused = automa.executions(&actor).submit(other).await;
        assert!(matches!(refused, Err(Error::IdempotencyMismatch)), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn a_queued_execution_of_a_fixture_is_cancelled() {
    with_each(async |automa| {
        let me = me();
        let queued = || Filter::in_state(State::Queued);
        let waiting = executions(&automa, queued()).await;
        assert_eq!(waiting.len(), 2);
        let cancelled = automa.executions(&me).cancel(waiting[0].id).await.unwrap();
        assert_eq!(cancelled.state, State::Cancelled);
        assert_eq!(executions(&automa, queued()).await, waiting[1..]);
        assert_eq!(automa.executions(&me).count(queued()).await.unwrap().count, 1);
    })
    .await;
}

#[tokio::test]
async fn the_audit_log_of_a_fixture_tells_of_every_action() {
    with_each(async |automa| {
        let entries = audited(&automa).await;
        let numbers: BTreeSet<_> =
            entries.iter().map(|entry| postcard::to_stdvec(&entry.action).unwrap()[0]).collect();
        assert!(numbers.is_superset(&(0..12).collect()), "{numbers:?}");
        assert!(entries.is_sorted_by_key(|entry| entry.id));
        for entry in entries {
            let ada = users(&automa).await[0].id;
            let (actor, user) = match entry.action {
                Action::SignInRefused => ("mallory", None),
                Action::SetupDone(user) => {
                    assert_eq!(user, ada);
                    ("Ada", Some(ada))
                }
                _ => continue,
            };
            assert_eq!((&*entry.actor, entry.user, entry.origin), (actor, user, Origin::Web));
            let refused = entry.action == Action::SignInRefused;
            assert_eq!(entry.address.as_deref(), refused.then_some("2001:db8::1"));
        }
    })
    .await;
}
