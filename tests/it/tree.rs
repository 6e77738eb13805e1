//! The end of a sandbox: whatever its processes do, none outlives it, and nothing else is left.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use automa_sandbox::{Child, Command, Engine, EngineConfig, Exit, Outcome, Runtime};
use automa_tests::{
    Script, User, automa, bash, command_of, helper,
    host::{self, DEADLINE, PAUSE, Process, eventually, groups_of, marked, unique},
    python,
    running::Running,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tokio::time::Instant;

use crate::block_on;

/// [`eventually`] for a condition that an engine of this thread has to bring about.
async fn soon(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

fn config(slots: usize) -> EngineConfig {
    EngineConfig::default().helper(automa()).slots(slots)
}

fn bash_command(source: &str) -> Command {
    Runtime::bash().unwrap().command(source, "script.sh")
}

/// A command whose process has `marker` in its command line, and runs until it is ended.
fn endless(marker: &str) -> Command {
    Runtime::bash().unwrap().command("echo started; while :; do sleep 1; done", marker)
}

/// Starts an endless command and waits until it runs: its process on the host.
async fn start_endless(engine: &Engine) -> (Child, Process) {
    let marker = unique("endless");
    let mut child = engine.spawn(endless(&marker)).await.unwrap();
    assert_eq!(child.next_output().await.unwrap().bytes, b"started\n");
    let of_init = |process: &Process| process.ancestors()[0].name == "automa-init";
    let process = marked(&marker).into_iter().find(of_init).expect("the script runs");
    (child, process)
}

/// The slot that a process of a sandbox belongs to, checked to be below this test.
fn slot_of(process: &Process) -> Process {
    let above = process.ancestors();
    let names: Vec<&str> = above.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names[..3], ["automa-init", "automa-slot", "automa-zygote"], "{above:#?}");
    assert_eq!(above[3].pid, std::process::id(), "{above:#?}");
    above[1].clone()
}

fn kill_hard(process: &Process) {
    assert!(process.is_alive());
    kill(Pid::from_raw(process.pid.cast_signed()), Signal::SIGKILL).unwrap();
}

async fn says_hello(engine: &Engine) {
    let output = engine.output(bash_command("echo hello")).await.unwrap();
    assert_eq!(output.report.outcome, Outcome::Exited { code: 0 }, "{output:#?}");
    assert_eq!(output.stdout, b"hello\n");
}

/// Starts a daemon of the given name by the book, says so, and waits for a line before it ends.
fn daemon_script(marker: &str) -> Script {
    python(format!(
        "
import os, sys
ready, done = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir('/')
        os.closerange(0, done)
        os.closerange(done + 1, 100)
        os.execv('/bin/sleep', ['{marker}', '1000'])
    os._exit(0)
os.close(done)
os.wait()
os.read(ready, 1)
print('started', flush=True)
sys.stdin.readline()
"
    ))
}

#[test]
fn a_daemon_ends_with_its_sandbox() {
    for user in User::all() {
        let marker = unique("daemon");
        let script = daemon_script(&marker).flag("--stdin", "-");
        let mut running = script.start_as(user);
        assert_eq!(running.line(), "started\n");
        // The pipe is closed a moment before the program's name is there to be seen.
        eventually("the daemon runs", || !marked(&marker).is_empty());
        let [daemon] = marked(&marker).try_into().unwrap();
        running.send("end\n");
        let run = running.end();
        run.exited(0);
        assert!(run.report.as_ref().unwrap().tree_empty, "{run:#?}");
        assert!(!daemon.is_alive() && marked(&marker).is_empty());
    }
}

#[test]
fn who_keeps_the_output_open_delays_nothing() {
    for user in User::all() {
        let marker = unique("keeper");
        let source = format!("(exec -a {marker} sleep 1000) & echo done");
        // If the end waited for the sleeper, the limit would end the run.
        let run = bash(source).flags("--wall 30s").run_as(user);
        run.exited(0);
        assert_eq!(run.stdout, "done\n");
        assert!(marked(&marker).is_empty());
    }
}

#[test]
fn a_killed_server_leaves_no_process_and_its_groups_to_the_next() {
    for user in User::all() {
        let marker = unique("orphan");
        let script = bash(format!(
            "setsid bash -c 'exec -a {marker} sleep 1000' & trap '' TERM; echo started; wait"
        ));
        let running = script.start_as(user);
        assert_eq!(running.line(), "started\n");
        eventually("the sleeper runs", || !marked(&marker).is_empty());
        let server = running.pid();
        let below = host::descendants(server);
        let names: Vec<&str> = below.iter().map(|process| process.name.as_str()).collect();
        for helper in ["automa-zygote", "automa-slot", "automa-init"] {
            assert!(names.contains(&helper), "{names:?}");
        }
        running.signal(Signal::SIGKILL);
        eventually("all processes are gone", || !below.iter().any(Process::is_alive));
        eventually("nothing has the marker", || marked(&marker).is_empty());
        let killed = running.end();
        assert!(killed.code == -1 && killed.report.is_none(), "{killed:#?}");
        // Where it had groups, nobody has removed them so far but an engine that started since.
        bash("true").run_as(user).exited(0);
        assert_eq!(groups_of(server), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_signal_gives_the_script_its_grace() {
    let source = "trap 'echo bye; exit 7' TERM INT; echo started; sleep 1000 & wait";
    for user in User::all() {
        for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
            let script = bash(source);
            let running = script.start_as(user);
            assert_eq!(running.line(), "started\n");
            running.signal(signal);
            let run = running.end();
            assert_eq!(run.outcome(), &Outcome::Cancelled, "{run:#?}");
            assert_eq!((run.stdout.as_str(), run.code), ("bye\n", code), "{run:#?}");
            assert_eq!(run.report.unwrap().exit, Some(Exit::Code(7)));
        }
    }
}

#[test]
fn a_deaf_script_is_killed_after_its_grace_or_at_the_second_signal() {
    let marker = unique("deaf");
    let source = format!("trap '' TERM INT; echo started; while :; do sleep 1; done # {marker}");
    for user in User::all() {
        for signals in [1, 2] {
            let script = Script::new(&format!("{marker}.sh"), source.as_bytes());
            let running = script.start_as(user);
            assert_eq!(running.line(), "started\n");
            for _ in 0..signals {
                running.signal(Signal::SIGTERM);
            }
            let run = running.end();
            assert_eq!((run.outcome(), run.code), (&Outcome::Cancelled, 143), "{run:#?}");
            assert_eq!(run.report.unwrap().exit, None);
            assert!(marked(&marker).is_empty());
        }
    }
}

#[test]
fn a_reader_that_stalls_does_not_make_automa_deaf() {
    for user in User::all() {
        let marker = unique("stalled");
        let script = Script::new(&format!("{marker}.sh"), b"echo started; exec yes");
        let script = script.flags("--wall 40s --output 1G");
        // The reader takes one byte and no more until Automa has ended.
        let report = script.file().with_extension("json");
        std::fs::write(&report, "").unwrap();
        automa_tests::make_public(&report);
        let mut command = script.command(user, &report);
        let (reader, writer) = std::io::pipe().unwrap();
        command.stdout(writer);
        let mut child = command.spawn().unwrap();
        drop(command);
        let mut first = [0; 1];
        std::io::Read::read_exact(&mut &reader, &mut first).unwrap();
        let process = Process::find(child.id()).unwrap();
        eventually("the pipe is full", || is_blocked_in_write(&process));
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
        let ended = std::panic::catch_unwind(|| {
            eventually("automa ends", || Process::find(process.pid).is_none());
        });
        drop(reader);
        let _ = child.kill();
        child.wait().unwrap();
        assert!(ended.is_ok(), "TERM had no effect as {user:?}");
        assert!(marked(&marker).is_empty());
    }
}

/// Whether a process, or one of its threads, waits for room in a pipe.
fn is_blocked_in_write(process: &Process) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.pid)).into_iter().flatten();
    tasks.flatten().any(|task| {
        // The number of the call a thread is in; 1 is write. Only its owner and root may look.
        let call = std::fs::read_to_string(task.path().join("syscall")).unwrap_or_default();
        call.starts_with("1 ")
    })
}

#[test]
fn dropping_a_child_kills() {
    block_on(async {
        let engine = Engine::start(config(1)).await.unwrap();
        let (child, process) = start_endless(&engine).await;
        drop(child);
        soon("the process is gone", || !process.is_alive()).await;
        says_hello(&engine).await;
        engine.shutdown().await;
    });
}

#[test]
fn dropping_the_engine_and_its_child_ends_everything() {
    block_on(async {
        let engine = Engine::start(config(2)).await.unwrap();
        let (child, process) = start_endless(&engine).await;
        let helpers = process.ancestors();
        drop(engine);
        // A child keeps its engine.
        assert!(process.is_alive());
        drop(child);
        soon("the helpers are gone", || !helpers[..3].iter().any(Process::is_alive)).await;
        assert!(!process.is_alive());
    });
}

#[test]
fn an_engine_whose_runtime_ends_under_it_leaves_no_process() {
    let (engine, child, process) = block_on(async {
        let engine = Engine::start(config(1)).await.unwrap();
        let (child, process) = start_endless(&engine).await;
        (engine, child, process)
    });
    // The supervisor went with its runtime, and with it the sandbox.
    eventually("the process is gone", || !process.is_alive());
    assert_eq!(block_on(child.wait()).outcome, Outcome::Lost);
    drop(engine);
}

#[test]
fn cancelling_ends_the_run_with_what_it_wrote() {
    block_on(async {
        let engine = Engine::start(config(1)).await.unwrap();
        let (child, process) = start_endless(&engine).await;
        child.cancel(Duration::ZERO);
        let report = child.wait().await;
        assert_eq!(report.outcome, Outcome::Cancelled);
        assert!(report.tree_empty && !process.is_alive());
        engine.shutdown().await;
    });
}

/// Also one that is cancelled before its init can do anything is asked first, and not only killed once
/// its grace is over.
#[test]
fn whoever_is_cancelled_at_once_is_asked_to_end() {
    block_on(async {
        let engine = Engine::start(config(1).warm(0)).await.unwrap();
        for _ in 0..100 {
            let child = engine.spawn(Command::new("/usr/bin/sleep").args(["1000"])).await.unwrap();
            child.cancel(DEADLINE);
            let report = child.wait().await;
            assert_eq!(report.outcome, Outcome::Cancelled);
            assert_eq!(report.exit, Some(Exit::Signal(15)), "{report:#?}");
        }
        engine.shutdown().await;
    });
}

#[test]
fn shutdown_waits_for_runs_and_ends_the_helpers() {
    block_on(async {
        let engine = Engine::start(config(2)).await.unwrap();
        let (child, process) = start_endless(&engine).await;
        let mut helpers = process.ancestors();
        helpers.truncate(3);
        let zygote = helpers[2].clone();
        helpers.extend(host::descendants(zygote.pid));
        let closing = tokio::join!(engine.shutdown(), async {
            assert!(process.is_alive(), "shutdown hurries nobody");
            child.cancel(Duration::ZERO);
            child.wait().await
        });
        assert_eq!(closing.1.outcome, Outcome::Cancelled);
        soon("the helpers are gone", || !helpers.iter().any(Process::is_alive)).await;
    });
}

#[test]
fn a_slot_killed_from_outside_loses_one_run() {
    block_on(async {
        let engine = Engine::start(config(1)).await.unwrap();
        for _ in 0..3 {
            let (child, process) = start_endless(&engine).await;
            kill_hard(&slot_of(&process));
            let report = child.wait().await;
            assert_eq!(report.outcome, Outcome::Lost, "{report:#?}");
            assert!(!report.success() && !report.tree_empty);
            soon("the sandbox is gone", || !process.is_alive()).await;
            says_hello(&engine).await;
        }
        engine.shutdown().await;
    });
}

#[test]
fn a_slot_killed_while_idle_loses_no_more_than_one_run() {
    block_on(async {
        let engine = Engine::start(config(1)).await.unwrap();
        let (child, process) = start_endless(&engine).await;
        let slot = slot_of(&process);
        drop(child);
        soon("the process is gone", || !process.is_alive()).await;
        says_hello(&engine).await;
        kill_hard(&slot);
        soon("the slot is gone", || !slot.is_alive()).await;
        // Found dead before this run, it has been replaced; else this run is the one that is lost.
        let outcome = engine.output(bash_command("echo hello")).await.unwrap().report.outcome;
        let expected = [Outcome::Lost, Outcome::Exited { code: 0 }];
        assert!(expected.contains(&outcome), "{outcome}");
        says_hello(&engine).await;
        engine.shutdown().await;
    });
}

#[test]
fn a_killed_init_is_told_as_lost() {
    block_on(async {
        let engine = Engine::start(config(1)).await.unwrap();
        let (child, process) = start_endless(&engine).await;
        let init = process.ancestors()[0].clone();
        kill_hard(&init);
        let report = child.wait().await;
        assert_eq!(report.outcome, Outcome::Lost, "{report:#?}");
        assert!(report.tree_empty && !process.is_alive(), "{report:#?}");
        says_hello(&engine).await;
        engine.shutdown().await;
    });
}

#[test]
fn a_killed_zygote_is_an_error_and_no_hang() {
    block_on(async {
        let engine = Engine::start(config(1)).await.unwrap();
        let (child, process) = start_endless(&engine).await;
        let above = process.ancestors();
        kill_hard(&above[2]);
        let report = child.wait().await;
        assert_eq!(report.outcome, Outcome::Lost, "{report:#?}");
        soon("all are gone", || !above[..3].iter().any(Process::is_alive)).await;
        let error = engine.output(bash_command("echo hello")).await.unwrap_err();
        assert!(matches!(error, automa_sandbox::Error::Stopped), "{error}");
    });
}

#[test]
fn what_died_while_nothing_ran_loses_no_run() {
    block_on(async {
        let engine = Engine::start(config(2)).await.unwrap();
        let (child, process) = start_endless(&engine).await;
        let above = process.ancestors();
        drop(child);
        soon("the script is gone", || !process.is_alive()).await;
        // A slot is replaced, and what comes then waits for that.
        kill_hard(&above[1]);
        soon("the slot is gone", || !above[1].is_alive()).await;
        for _ in 0..4 {
            says_hello(&engine).await;
        }
        // Without the zygote there is none to come, and nothing is started to be lost.
        let slots = host::descendants(above[2].pid);
        kill_hard(&above[2]);
        soon("all are gone", || !slots.iter().any(Process::is_alive)).await;
        for _ in 0..4 {
            let error = engine.output(bash_command("echo hello")).await.unwrap_err();
            assert!(matches!(error, automa_sandbox::Error::Stopped), "{error}");
        }
    });
}

#[test]
fn many_at_once_share_few_slots_and_no_output() {
    block_on(async {
        let engine = Engine::start(config(2)).await.unwrap();
        let runs = (0..200).map(|n| {
            let engine = engine.clone();
            let source = format!(
                "ls -A; echo {n} > mine; for i in 1 2 3; do echo {n}; echo e{n} >&2; done
                 cat mine; read line; echo $line $VAR; exit {n}"
            );
            let command = bash_command(&source)
                .env("VAR", format!("v{n}"))
                .stdin(format!("in{n}\n").into_bytes());
            #[expect(clippy::disallowed_methods, reason = "joined below")]
            tokio::spawn(async move { engine.output(command).await.unwrap() })
        });
        let runs: Vec<_> = runs.collect();
        for (n, run) in runs.into_iter().enumerate() {
            let output = run.await.unwrap();
            let stdout = String::from_utf8(output.stdout).unwrap();
            assert_eq!(stdout, format!("script.sh\n{n}\n{n}\n{n}\n{n}\nin{n} v{n}\n"));
            assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("e{n}\n").repeat(3));
            assert_eq!(output.report.outcome, Outcome::Exited { code: n.try_into().unwrap() });
        }
        engine.shutdown().await;
    });
}

/// Runs `soak` as `user`: root gets a /tmp of its own, in which nobody else makes files.
fn soak(user: User, runs: u32) -> Value {
    let program = helper("soak");
    let mut command = command_of(Path::new("/bin/sh"), user);
    let private = "exec 9<\"$0\"; exec unshare -m sh -c 'mount -t tmpfs tmpfs /tmp && \
                   exec /proc/self/fd/9 \"$0\"' \"$1\"";
    let shared = "exec \"$0\" \"$1\"";
    command.args(["-c", if user == User::Root { private } else { shared }]);
    command.arg(program).arg(runs.to_string());
    let run = Running::start(&mut command, None).end();
    assert_eq!(run.code, 0, "{run:#?}");
    let mut counts: Value = serde_json::from_str(&run.stdout).unwrap();
    if user == User::Ordinary {
        // What other tests make is of these names.
        for count in ["before", "after", "gone"] {
            let names = counts[count]["temporary"].as_array_mut().unwrap();
            names.retain(|name| {
                let name = name.as_str().unwrap();
                !name.starts_with("automa-test-") && !name.starts_with(".tmp")
            });
        }
    }
    counts
}

#[test]
fn hundreds_of_runs_leave_everything_as_it_was() {
    for user in User::all() {
        let runs = if user == User::Root { 500 } else { 100 };
        let counts = soak(user, runs);
        assert_eq!(counts["before"], counts["after"], "{user:?}");
        let gone = &counts["gone"];
        assert_eq!(gone["processes"], Value::Array(Vec::new()), "{gone:#}");
        assert_eq!(gone["groups"], 0, "{gone:#}");
        for same in ["mounts", "temporary"] {
            assert_eq!(gone[same], counts["before"][same], "{gone:#}");
        }
        // The counts are of something.
        let before = &counts["before"];
        assert_eq!(before["processes"].as_array().unwrap().len(), 13, "{before:#}");
        for memory in ["resident", "their_resident"] {
            let [first, last]: [u64; 2] = serde_json::from_value(counts[memory].clone()).unwrap();
            assert!(last < first + 8192, "{memory}: {first} KiB, then {last} KiB");
        }
    }
}

#[test]
fn many_programs_one_after_the_other_leave_everything_as_it_was() {
    for user in User::all() {
        let source = "echo x > /tmp/file; (setsid sleep 1000 &); echo started; read; exit 5";
        let script = bash(source).flag("--stdin", "-");
        let mounts = host::mounts();
        let mut all = Vec::new();
        for _ in 0..40 {
            let mut running = script.start_as(user);
            assert_eq!(running.line(), "started\n");
            let server = running.pid();
            let below = host::descendants(server);
            assert!(below.len() >= 5, "zygote, slot, init, script, sleeper: {below:#?}");
            all.extend(below);
            running.send("end\n");
            running.end().exited(5);
            assert_eq!(groups_of(server), Vec::<PathBuf>::new());
        }
        all.retain(Process::is_alive);
        assert_eq!(all, Vec::new(), "{user:?}");
        assert_eq!(host::mounts(), mounts, "{user:?}");
    }
}

/// Newer kernels let nothing be born from a group that was killed once, as a service manager does
/// to stop a service that it then starts again in the same group.
#[test]
fn a_group_that_was_killed_once_is_no_obstacle() {
    let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
    let v2 = roots.into_iter().find(|root| root.join("cgroup.controllers").exists());
    let (Some(root), true) = (v2, User::all().contains(&User::Root)) else {
        // Without a group of v2 that we may make there is nothing to be killed.
        assert!(v2.is_none() || !nix::unistd::geteuid().is_root());
        return;
    };
    let group = root.join(format!("automa-test-{}", std::process::id()));
    fs::create_dir(&group).unwrap();
    let enter = "echo 0 >\"$0/cgroup.procs\"; exec \"$@\"";
    let shell = || {
        let mut shell = command_of(Path::new("/bin/sh"), User::Root);
        shell.args(["-c", enter]).arg(&group);
        shell
    };
    let mut victim = shell().args(["sleep", "1000"]).spawn().unwrap();
    let inside = || fs::read_to_string(group.join("cgroup.procs")).unwrap();
    eventually("the victim is inside", || inside().contains(&victim.id().to_string()));
    fs::write(group.join("cgroup.kill"), "1").unwrap();
    assert!(!victim.wait().unwrap().success());

    let script = bash("echo hello");
    let output = shell().arg(automa()).arg("run").arg(script.file()).output().unwrap();
    eventually("the group is empty", || inside().is_empty());
    fs::remove_dir(&group).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n", "{output:?}");
}
