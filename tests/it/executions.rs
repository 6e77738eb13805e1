//! Executions through the library: accepted, run, logged, recorded, and truthful after a crash.

use std::{path::Path, time::Duration};

use automa_core::{
    Automa, Error,
    actor::{Actor, Origin, Role},
    clock::SystemClock,
    execution::{Execution, Filter, NewExecution, Program, Rerun, State, log::LogReader},
    health::EngineHealth,
    id::{ExecutionId, UserId},
    page::PageRequest,
    script::{Language, NewScript},
};
use automa_sandbox::{EngineConfig, Outcome};
use automa_tests::{User, automa, command_of, host::eventually, public_dir, running::Running};
use nix::sys::signal::Signal;
use tokio::time::Instant;

use crate::block_on;

mod engine;
mod following;
mod network;
mod submitting;

fn me() -> Actor {
    Actor::embedder("tests")
}

async fn start(directory: &Path, slots: usize) -> Automa {
    let engine = EngineConfig::default().helper(automa()).slots(slots);
    Automa::builder().directory(directory).engine(engine).start().await.unwrap()
}

fn code(source: &str) -> NewExecution {
    NewExecution::code(Language::Bash, source)
}

/// Waits for the end, with a deadline that only something broken reaches.
async fn ended(automa: &Automa, id: ExecutionId) -> Execution {
    let until = Instant::now() + Duration::from_mins(1);
    let execution = automa.executions(&me()).wait(id, until).await.unwrap();
    assert!(!execution.state.is_open(), "{execution:#?}");
    execution
}

async fn reached(automa: &Automa, id: ExecutionId, state: State) {
    let mut events = automa.events();
    while automa.executions(&me()).get(id).unwrap().state != state {
        tokio::time::timeout(Duration::from_mins(1), events.next()).await.unwrap();
    }
}

fn texts(log: &LogReader) -> Vec<String> {
    log.lines(1, 100).unwrap().lines.into_iter().map(|line| line.text).collect()
}

#[test]
fn what_is_submitted_is_run_logged_and_recorded() {
    block_on(async {
        let dir = public_dir();
        let automa = start(dir.path(), 2).await;
        let me = me();
        let executions = automa.executions(&me);
        let submitted = executions.submit(code("echo out; echo err >&2; exit 3")).await.unwrap();
        let execution = ended(&automa, submitted.id).await;
        assert_eq!(execution.state, State::Failed);
        assert!(execution.started_at >= Some(execution.created_at));
        assert!(execution.finished_at >= execution.started_at);
        let ending = execution.ending.clone().unwrap();
        assert_eq!(ending.cause, "the script ended with exit code 3");
        assert_eq!((ending.exit_code, ending.signal, ending.output_bytes), (Some(3), None, 8));
        let mut lines = texts(&executions.log(submitted.id).unwrap());
        lines.sort();
        assert_eq!(lines, ["err", "out"]);
        let report = executions.report(submitted.id).unwrap().unwrap();
        assert_eq!(report.outcome, Outcome::Exited { code: 3 });
        let listed =
            executions.list(Filter::default(), PageRequest::default()).await.unwrap().items;
        assert_eq!(listed, [execution]);
        automa.close().await;
    });
}

#[test]
fn a_script_runs_in_its_newest_version_or_the_one_asked_for() {
    block_on(async {
        let dir = public_dir();
        let automa = start(dir.path(), 1).await;
        let me = me();
        let python = |source: &str| NewScript::new("count", Language::Python, source);
        let script = automa.scripts(&me).create(python("print(1)")).await.unwrap();
        automa.scripts(&me).update(script.id, 1, python("print(2)")).await.unwrap();
        for (version, number, output) in [(None, 2, "2"), (Some(1), 1, "1")] {
            let program = Program::Script { id: script.id, version };
            let new = NewExecution { program, ..NewExecution::script(script.id) };
            let id = automa.executions(&me).submit(new).await.unwrap().id;
            let execution = ended(&automa, id).await;
            assert_eq!(execution.state, State::Succeeded, "{execution:#?}");
            assert_eq!(execution.script, Some((script.id, number)));
            assert_eq!(texts(&automa.executions(&me).log(id).unwrap()), [output]);
        }
        let program = Program::Script { id: script.id, version: Some(3) };
        let missing = NewExecution { program, ..NewExecution::script(script.id) };
        let error = automa.executions(&me).submit(missing).await.unwrap_err();
        assert!(matches!(error, Error::NotFound { kind: "version", .. }), "{error}");
        automa.close().await;
    });
}

#[test]
fn what_waits_and_what_runs_can_be_cancelled() {
    block_on(async {
        let dir = public_dir();
        let automa = start(dir.path(), 1).await;
        let me = me();
        let executions = automa.executions(&me);
        let source = "trap 'echo bye; exit 0' TERM; echo begun; sleep 1000 & wait";
        let first = executions.submit(code(source)).await.unwrap().id;
        let second = executions.submit(code("echo never")).await.unwrap().id;
        reached(&automa, first, State::Running).await;
        let cancelled = executions.cancel(second).await.unwrap();
        assert_eq!((cancelled.state, cancelled.started_at), (State::Cancelled, None));
        let mut tail = eventually_log(&automa, first).await;
        while !tail.contains(&"begun".to_owned()) {
            tokio::task::yield_now().await;
            tail = eventually_log(&automa, first).await;
        }
        executions.cancel(first).await.unwrap();
        let execution = ended(&automa, first).await;
        assert_eq!(execution.state, State::Cancelled);
        assert_eq!(execution.ending.unwrap().exit_code, Some(0));
        assert_eq!(texts(&executions.log(first).unwrap()), ["begun", "bye"]);
        let again = executions.cancel(first).await.unwrap_err();
        assert!(matches!(again, Error::Ended(State::Cancelled)), "{again}");
        automa.close().await;
    });
}

/// The lines so far of an execution whose log may not have been made yet.
async fn eventually_log(automa: &Automa, id: ExecutionId) -> Vec<String> {
    tokio::time::sleep(Duration::from_millis(5)).await;
    automa.executions(&me()).log(id).map(|log| texts(&log)).unwrap_or_default()
}

/// A client that disconnects while its request is under way drops the future.
#[test]
fn what_was_accepted_is_run_though_nobody_waits_for_it() {
    block_on(async {
        let dir = public_dir();
        let automa = start(dir.path(), 2).await;
        let me = me();
        let executions = automa.executions(&me);
        for _ in 0..20 {
            let mut submitting = std::pin::pin!(executions.submit(code("echo hello")));
            // Polled once, which is when it is accepted, and dropped.
            let polled = std::future::poll_fn(|context| {
                std::task::Poll::Ready(submitting.as_mut().poll(context).is_ready())
            });
            assert!(!polled.await, "a durable change takes longer than that");
        }
        // The store makes changes in order: when this one is there, so are the others.
        let last = executions.submit(code("echo last")).await.unwrap().id;
        ended(&automa, last).await;
        let all = executions.list(Filter::default(), PageRequest::default()).await.unwrap().items;
        assert_eq!(all.len(), 21);
        for execution in all {
            assert_eq!(ended(&automa, execution.id).await.state, State::Succeeded);
        }
        automa.close().await;
    });
}

#[test]
fn roles_decide_here_too_and_nothing_runs_without_a_start() {
    block_on(async {
        let dir = public_dir();
        let automa = Automa::builder().directory(dir.path()).open().unwrap();
        let viewer = Actor { role: Role::Viewer, ..me() };
        let refused = automa.executions(&viewer).submit(code("true")).await.unwrap_err();
        assert_eq!(refused.to_string(), "a viewer may not run anything");
        let id = ExecutionId::generate(&SystemClock::new());
        for refused in [
            automa.executions(&viewer).rerun(id, Rerun::default()).await.unwrap_err(),
            automa.executions(&viewer).cancel(id).await.unwrap_err(),
        ] {
            assert!(matches!(refused, Error::Forbidden(_)), "{refused}");
        }
        for missing in [
            automa.executions(&viewer).get(id).unwrap_err(),
            automa.executions(&viewer).program(id).await.unwrap_err(),
            automa.executions(&viewer).report(id).unwrap_err(),
            automa.executions(&me()).rerun(id, Rerun::default()).await.unwrap_err(),
            automa.executions(&me()).cancel(id).await.unwrap_err(),
        ] {
            assert!(matches!(missing, Error::NotFound { kind: "execution", .. }), "{missing}");
        }
        assert_eq!(automa.executions(&viewer).counts().unwrap().total(), 0);
        assert_eq!(automa.health().engine, EngineHealth::NotStarted);
        assert!(!automa.health().is_ready() && automa.protections().is_none());
        assert!(
            automa
                .executions(&viewer)
                .list(Filter::default(), PageRequest::default())
                .await
                .is_ok()
        );
        let refused = automa.executions(&me()).submit(code("true")).await.unwrap_err();
        assert!(matches!(refused, Error::NotRunning), "{refused}");
        assert!(
            automa
                .executions(&viewer)
                .list(Filter::default(), PageRequest::default())
                .await
                .unwrap()
                .items
                .is_empty()
        );
        automa.close().await;
    });
}

#[test]
fn an_accepted_execution_survives_kill_nine() {
    let dir = public_dir();
    let mut command = command_of(Path::new(env!("CARGO_BIN_EXE_embedder")), User::all()[0]);
    command.arg(dir.path()).arg(automa());
    let running = Running::start(&mut command, None);
    let ids: Vec<ExecutionId> =
        (0..3).map(|_| running.line().trim_end().parse().unwrap()).collect();
    let log = dir.path().join(format!("logs/{}.log", ids[0]));
    eventually("the first has written a line", || {
        LogReader::open(&log).is_ok_and(|log| texts(&log) == ["begun"])
    });
    running.signal(Signal::SIGKILL);
    assert_eq!(running.end().code, -1);
    block_on(async {
        let automa = start(dir.path(), 1).await;
        let me = me();
        let lost = automa.executions(&me).get(ids[0]).unwrap();
        assert_eq!(lost.state, State::Lost);
        assert_eq!(lost.ending.unwrap().cause, "the script was lost: Automa ended while it ran");
        assert_eq!(texts(&automa.executions(&me).log(ids[0]).unwrap()), ["begun"]);
        let mut follow = automa.executions(&me).follow(ids[0]).unwrap();
        let window = follow.next(1).await.unwrap().unwrap();
        assert_eq!((window.lines[0].text.as_str(), window.complete), ("begun", true));
        assert!(follow.next(window.next).await.unwrap().is_none());
        for (id, output) in ids[1..].iter().zip(["second", "third"]) {
            assert_eq!(ended(&automa, *id).await.state, State::Succeeded);
            assert_eq!(texts(&automa.executions(&me).log(*id).unwrap()), [output]);
        }
        let second = Automa::builder().directory(dir.path()).open().unwrap_err();
        assert!(second.to_string().contains("is open in another process"), "{second}");
        automa.close().await;
    });
}
