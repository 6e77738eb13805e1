//! The sandboxes' engine dies, and executions go on.

use std::os::unix::fs::symlink;

use automa_core::{event::Event, health::EngineHealth};
use automa_tests::host::{DEADLINE, PAUSE, Process, descendants, marked, unique};
use nix::{sys::signal::kill, unistd::Pid};

use super::*;

async fn soon(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// An execution that goes on until it is cancelled, and the helper it runs below.
async fn endless(automa: &Automa) -> (ExecutionId, Process) {
    let marker = unique("endless");
    let source = format!("exec -a {marker} sleep 1000");
    let id = automa.executions(&me()).submit(code(&source)).await.unwrap().id;
    let mut zygote = None;
    soon("the script runs", || {
        let above = marked(&marker).into_iter().map(|process| process.ancestors());
        zygote = above.flatten().find(|process| process.name == "automa-zygote");
        zygote.is_some()
    })
    .await;
    (id, zygote.unwrap())
}

/// Kills the helper, and waits until nothing of it is left.
async fn kill_hard(zygote: &Process) {
    let below = descendants(zygote.pid);
    kill(Pid::from_raw(zygote.pid.cast_signed()), Signal::SIGKILL).unwrap();
    soon("all are gone", || !zygote.is_alive() && !below.iter().any(Process::is_alive)).await;
}

#[test]
fn what_ran_is_lost_and_what_comes_is_run() {
    block_on(async {
        let dir = public_dir();
        let automa = start(dir.path(), 2).await;
        let me = me();
        let executions = automa.executions(&me);
        assert!(automa.health().is_ready());
        assert!(automa.protections().is_some_and(|protections| !protections.is_empty()));
        let (running, zygote) = endless(&automa).await;
        kill_hard(&zygote).await;
        let many = (0..6).map(|_| executions.submit(code("echo hello")));
        for submitted in futures_util::future::join_all(many).await {
            let id = submitted.unwrap().id;
            let execution = ended(&automa, id).await;
            assert_eq!(execution.state, State::Succeeded, "{execution:#?}");
            assert_eq!(texts(&executions.log(id).unwrap()), ["hello"]);
        }
        assert_eq!(ended(&automa, running).await.state, State::Lost);
        assert!(automa.health().is_ready());
        automa.close().await;
    });
}

/// Its helper is a link, so that it can be taken away.
async fn start_with(helper: &Path, directory: &Path) -> Automa {
    let engine = EngineConfig::default().helper(helper);
    Automa::builder().directory(directory).engine(engine).slots(2).start().await.unwrap()
}

#[test]
fn as_long_as_there_is_no_engine_executions_wait() {
    block_on(async {
        let dir = public_dir();
        let helper = dir.path().join("helper");
        symlink(automa(), &helper).unwrap();
        let automa = start_with(&helper, &dir.path().join("data")).await;
        let me = me();
        let executions = automa.executions(&me);
        let (running, zygote) = endless(&automa).await;
        std::fs::remove_file(&helper).unwrap();
        kill_hard(&zygote).await;
        ended(&automa, running).await;
        let [waits, cancelled] = [
            executions.submit(code("echo hello")).await.unwrap().id,
            executions.submit(code("echo never")).await.unwrap().id,
        ];
        // It says why, as soon as it has tried.
        soon("a start has failed", || match automa.health().engine {
            EngineHealth::Restarting { reason } => reason.contains("No such file"),
            _ => false,
        })
        .await;
        assert!(!automa.health().is_ready());
        executions.cancel(cancelled).await.unwrap();
        let execution = ended(&automa, cancelled).await;
        assert_eq!(execution.state, State::Cancelled);
        let cause = execution.ending.unwrap().cause;
        assert_eq!(cause, "the script was cancelled before it was started");
        assert!(texts(&executions.log(cancelled).unwrap()).is_empty());
        assert_eq!(executions.get(waits).unwrap().state, State::Running);
        symlink(automa_tests::automa(), &helper).unwrap();
        assert_eq!(ended(&automa, waits).await.state, State::Succeeded);
        assert_eq!(texts(&executions.log(waits).unwrap()), ["hello"]);
        automa.close().await;
    });
}

#[test]
fn what_was_not_started_is_queued_again_at_the_end() {
    block_on(async {
        let dir = public_dir();
        let (helper, data) = (dir.path().join("helper"), dir.path().join("data"));
        symlink(automa(), &helper).unwrap();
        let automa = start_with(&helper, &data).await;
        let (running, zygote) = endless(&automa).await;
        std::fs::remove_file(&helper).unwrap();
        kill_hard(&zygote).await;
        ended(&automa, running).await;
        let me = me();
        let id = automa.executions(&me).submit(code("echo once")).await.unwrap().id;
        let mut events = automa.events();
        assert_eq!(automa.executions(&me).get(id).unwrap().state, State::Running);
        automa.close().await;
        let put_back = Event::ExecutionChanged { id, state: State::Queued };
        assert_eq!(events.next().await, Some(put_back));
        symlink(automa_tests::automa(), &helper).unwrap();
        let automa = start_with(&helper, &data).await;
        assert_eq!(ended(&automa, id).await.state, State::Succeeded);
        assert_eq!(texts(&automa.executions(&me).log(id).unwrap()), ["once"]);
        automa.close().await;
    });
}

#[test]
fn with_a_free_slot_it_is_accepted_and_started_in_one() {
    block_on(async {
        let dir = public_dir();
        let automa = start(dir.path(), 1).await;
        let me = me();
        let executions = automa.executions(&me);
        let mut events = automa.events();
        let first = executions.submit(code("trap exit TERM; sleep 1000 & wait")).await.unwrap();
        assert_eq!((first.state, first.started_at), (State::Running, Some(first.created_at)));
        let second = executions.submit(code(":")).await.unwrap();
        assert_eq!((second.state, second.started_at), (State::Queued, None));
        executions.cancel(first.id).await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < 6 {
            match events.next().await {
                Some(Event::ExecutionChanged { id, state }) => seen.push((id == first.id, state)),
                other => panic!("{other:?}"),
            }
        }
        let of = |which| seen.iter().filter(move |it| it.0 == which).map(|it| it.1);
        // The second running is that it was asked to end.
        assert!(of(true).eq([State::Running, State::Running, State::Cancelled]), "{seen:?}");
        // It begins once the other's sandbox is gone, whether or not that is recorded yet.
        assert!(of(false).eq([State::Queued, State::Running, State::Succeeded]), "{seen:?}");
        automa.close().await;
    });
}
