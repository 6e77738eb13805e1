//! Prepared sandboxes: they confine and report as new ones do, serve one run each, and are gone with
//! whoever prepared them.

use std::{os::unix::fs::symlink, path::PathBuf, time::Duration};

use automa_sandbox::{
    Bytes, Command, Engine, EngineConfig, ExitReport, Feature, Limits, Outcome, Output, Policy,
    Runtime, Stage, Start, Status,
};
use automa_tests::{
    User, automa, bash,
    host::{self, Process, eventually, marked, unique},
    public_dir, python,
};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::block_on;

fn config(slots: usize) -> EngineConfig {
    EngineConfig::default().helper(automa()).slots(slots)
}

fn with_engine<T>(config: EngineConfig, work: impl AsyncFnOnce(&Engine) -> T) -> T {
    block_on(async {
        let engine = Engine::start(config).await.unwrap();
        let result = work(&engine).await;
        engine.shutdown().await;
        result
    })
}

/// A name for the helper, by which an engine's processes are told from those of other tests.
struct Helper {
    dir: TempDir,
    name: String,
}

impl Helper {
    fn new() -> Self {
        let helper = Self { dir: public_dir(), name: unique("helper") };
        symlink(automa(), helper.path()).unwrap();
        helper
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(&self.name)
    }

    /// The processes started through it.
    fn processes(&self, name: &str) -> Vec<Process> {
        marked(&self.name).into_iter().filter(|process| process.name == name).collect()
    }

    /// The inits of its sandboxes, not what waits below them.
    fn inits(&self) -> Vec<Process> {
        let slots: Vec<u32> = self.processes("automa-slot").iter().map(|slot| slot.pid).collect();
        let mut inits = self.processes("automa-init");
        inits.retain(|init| slots.contains(&init.parent));
        inits
    }
}

fn kill_hard(process: &Process) {
    kill(Pid::from_raw(process.pid.cast_signed()), Signal::SIGKILL).unwrap();
}

fn script(source: &str) -> Command {
    Runtime::bash().unwrap().command(source, "script.sh")
}

/// Runs in a sandbox that waits, and says whether it did.
async fn warm(engine: &Engine, command: Command) -> Output {
    engine.prewarm(&command, 1).await.unwrap();
    let output = engine.output(command).await.unwrap();
    assert_eq!(output.report.start, Start::Warm, "{output:#?}");
    output
}

#[test]
fn after_a_run_the_next_of_its_kind_is_warm() {
    with_engine(config(1), async |engine| {
        let start = async |command| engine.output(command).await.unwrap().report.start;
        assert_eq!(start(script("true")).await, Start::Cold);
        engine.prewarm(&script("true"), 1).await.unwrap();
        assert_eq!(start(script("true")).await, Start::Warm);
        engine.prewarm(&script("true"), 1).await.unwrap();
        assert_eq!(start(script("true").cold()).await, Start::Cold);
    });
}

#[test]
fn nothing_is_prepared_where_nobody_wants_it() {
    with_engine(config(1).warm(0), async |engine| {
        for _ in 0..3 {
            let output = engine.output(script("true")).await.unwrap();
            assert_eq!(output.report.start, Start::Cold);
        }
    });
}

#[test]
fn a_prepared_sandbox_looks_like_a_new_one() {
    let look = "
import os, sys, resource
print(os.getcwd(), os.getpid(), os.getppid(), os.getuid() == os.getgid(), os.getgroups())
print(os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid(), sorted(os.environ.items()))
for root in ['/automa', '/tmp', '/dev/shm', '/proc/self/fd']:
    for where, dirs, files in os.walk(root):
        print(where, sorted(dirs), sorted(files))
    print(root, oct(os.stat(root).st_mode), os.statvfs(root).f_blocks, os.statvfs(root).f_files)
for name in sorted(name for name in dir(resource) if name.startswith('RLIMIT')):
    print(name, resource.getrlimit(getattr(resource, name)))
for name in 'Seccomp NoNewPrivs CapEff CapBnd CapPrm SigIgn SigCgt SigBlk Umask Groups'.split():
    print([line for line in open('/proc/self/status') if line.startswith(name + ':')])
print(sorted(open('/proc/self/mountinfo').read().count(word) for word in ['tmpfs', 'proc']))
print(open('/proc/self/oom_score_adj').read(), sys.stdin.read(), sys.argv)
";
    for user in User::all() {
        let run = |flags: &str| {
            let script = python(look).flags(flags).flags("--tmp 20M --env SECRET=1").arg("a b");
            let run = script.run_as(user);
            run.exited(0);
            run.stdout
        };
        assert_eq!(run("--warm"), run("--cold"), "{user:?}");
    }
}

#[test]
fn limits_are_those_of_the_run() {
    let kib = |output: &Output| String::from_utf8_lossy(&output.stdout).trim().to_owned();
    with_engine(config(1), async |engine| {
        for tmp in [20u64, 300, 100] {
            let limits = Limits {
                tmp: Bytes::mib(tmp),
                tmp_inodes: tmp * 10,
                open_files: 64 + tmp,
                ..Limits::default()
            };
            let source = "echo $(stat -f -c '%b %S %c' /tmp) $(ulimit -n)";
            let command = script(source).policy(Policy::script().limits(limits));
            let output = warm(engine, command).await;
            let expected = format!("{} 4096 {} {}", tmp * 256, tmp * 10, 64 + tmp);
            assert_eq!(kib(&output), expected);
        }
    });
}

#[test]
fn limits_end_a_prepared_sandbox_as_any_other() {
    for (source, flags, outcome) in [
        ("while :; do :; done", "--wall 500ms", Outcome::WallTime),
        ("while :; do :; done", "--cpu-time 1s --wall 30s --cpus 1", Outcome::CpuTime),
        ("yes", "--output 1M", Outcome::Output),
        ("head -c 30M /dev/zero >/tmp/x", "--tmp 20M", Outcome::Disk),
        ("tail /dev/zero", "--memory 50M", Outcome::Memory),
        ("for i in {1..100}; do sleep 9 & done; exit 1", "--pids 20", Outcome::Processes),
    ] {
        for user in User::all() {
            let run = bash(source).flags("--warm").flags(flags).run_as(user);
            let report = run.report.as_ref().unwrap_or_else(|| panic!("{source}: {run:#?}"));
            // Without groups a fork bomb is refused by a resource limit, which leaves no trace.
            let exact = !matches!(
                (run.status(Feature::ProcessLimit), &outcome),
                (Status::Weaker(_), Outcome::Processes)
            );
            if exact {
                assert_eq!(report.outcome, outcome, "{source} as {user:?}: {run:#?}");
            }
            assert_eq!(report.start, Start::Warm, "{run:#?}");
            assert!(report.tree_empty, "{run:#?}");
        }
    }
}

#[test]
fn the_report_counts_from_the_request() {
    with_engine(config(1), async |engine| {
        let output = warm(engine, script("true")).await;
        let ExitReport { timeline, usage, .. } = output.report;
        let steps: u64 = timeline.iter().map(|step| step.ns).sum();
        assert_eq!(steps, usage.wall_ns, "{timeline:#?}");
        assert!(timeline.iter().all(|step| !step.name.contains("clone3")), "{timeline:#?}");
    });
}

#[test]
fn a_sandbox_serves_one_run() {
    with_engine(config(1), async |engine| {
        let mark = "touch /tmp/mark /dev/shm/mark; (sleep 1000 &) ; echo done";
        let output = warm(engine, script(mark)).await;
        assert_eq!(output.stdout, b"done\n");
        let look = "ls /tmp /dev/shm; ls -d /proc/[0-9]* | wc -l";
        let output = warm(engine, script(look)).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!text.contains("mark"), "{text}");
        assert!(output.report.tree_empty);
    });
}

#[test]
fn a_prepared_sandbox_fails_like_a_new_one() {
    with_engine(config(1), async |engine| {
        for cold in [true, false] {
            for (command, problem) in [
                (Command::new("/no/such/program"), Errno::ENOENT),
                (Command::new("/usr"), Errno::EACCES),
            ] {
                let command = if cold { command.cold() } else { command };
                engine.prewarm(&command, 1).await.unwrap();
                let report = engine.output(command).await.unwrap().report;
                let Outcome::SetupFailed { stage, errno } = report.outcome else {
                    panic!("{report:#?}")
                };
                assert_eq!((stage, errno), (Stage::Exec, problem as i32), "cold: {cold}");
                assert!(report.tree_empty);
            }
        }
    });
}

#[test]
fn a_cancelled_prepared_sandbox_has_its_grace() {
    with_engine(config(1), async |engine| {
        let source = "trap 'echo bye; exit 7' TERM; echo started; sleep 1000 & wait";
        engine.prewarm(&script(source), 1).await.unwrap();
        let mut child = engine.spawn(script(source)).await.unwrap();
        assert_eq!(child.next_output().await.unwrap().bytes, b"started\n");
        child.cancel(Duration::from_secs(20));
        let output = child.output().await;
        assert_eq!(output.report.outcome, Outcome::Cancelled);
        assert_eq!((output.report.start, output.stdout), (Start::Warm, b"bye\n".to_vec()));
        // At once: whether its program was reached or not, it ends.
        for _ in 0..20 {
            engine.prewarm(&script(source), 1).await.unwrap();
            let child = engine.spawn(script(source)).await.unwrap();
            child.cancel(Duration::from_secs(20));
            let report = child.wait().await;
            assert_eq!((report.outcome, report.start), (Outcome::Cancelled, Start::Warm));
        }
    });
}

#[test]
fn a_prepared_sandbox_that_was_killed_is_not_used() {
    let helper = Helper::new();
    with_engine(config(1).helper(helper.path()), async |engine| {
        engine.prewarm(&script("true"), 1).await.unwrap();
        let [init] = helper.inits().try_into().unwrap();
        kill_hard(&init);
        eventually("it is gone", || !init.is_alive());
        for _ in 0..2 {
            let output = engine.output(script("echo hello")).await.unwrap();
            assert_eq!(output.report.outcome, Outcome::Exited { code: 0 }, "{output:#?}");
            assert_eq!(output.stdout, b"hello\n");
        }
    });
}

#[test]
fn what_is_prepared_is_gone_with_its_engine() {
    block_on(async {
        for killed in [None, Some("automa-zygote"), Some("automa-slot")] {
            let helper = Helper::new();
            let engine = Engine::start(config(2).helper(helper.path())).await.unwrap();
            engine.prewarm(&script("true"), 2).await.unwrap();
            assert_eq!(helper.inits().len(), 2);
            let inits = helper.processes("automa-init");
            if let Some(name) = killed {
                helper.processes(name).iter().for_each(kill_hard);
                eventually("no sandbox is left", || !inits.iter().any(Process::is_alive));
            }
            engine.shutdown().await;
            eventually("all processes are gone", || marked(&helper.name).is_empty());
        }
    });
}

#[test]
fn what_is_prepared_is_gone_with_its_server() {
    for user in User::all() {
        let marker = unique("prepared");
        let script = bash(format!("exec -a {marker} sleep 1000")).flags("--warm");
        let running = script.start_as(user);
        eventually("the sleeper runs", || !marked(&marker).is_empty());
        let below = host::descendants(running.pid());
        running.signal(Signal::SIGKILL);
        eventually("all processes are gone", || !below.iter().any(Process::is_alive));
        let _ = running.end();
    }
}

#[test]
fn more_starts_than_slots_all_find_one() {
    with_engine(config(2), async |engine| {
        let run = async |n: usize| {
            let command = script(&format!("echo {n}"));
            let command = if n.is_multiple_of(5) { command.cold() } else { command };
            let output = engine.output(command).await.unwrap();
            assert_eq!(output.stdout, format!("{n}\n").into_bytes(), "{output:#?}");
            assert!(output.report.tree_empty);
        };
        for round in 0..10 {
            tokio::join!(
                run(round),
                run(round + 1),
                run(round + 2),
                run(round + 3),
                run(round + 4)
            );
        }
    });
}

fn python_script(source: &str) -> Command {
    Runtime::python().unwrap().command(source, "script.py")
}

/// The interpreters that wait.
fn waiting(helper: &Helper) -> Vec<Process> {
    let inits: Vec<u32> = helper.inits().iter().map(|init| init.pid).collect();
    let all = host::processes().into_iter();
    all.filter(|it| inits.contains(&it.parent) && it.name.starts_with("python")).collect()
}

#[test]
fn an_interpreter_that_waits_knows_no_secret() {
    let helper = Helper::new();
    with_engine(config(1).helper(helper.path()), async |engine| {
        let secret = unique("secret");
        let command = || {
            let source = "import os, sys; print(os.environ['TOKEN'], sys.argv[1:])";
            python_script(source).env("TOKEN", &secret).arg(&secret)
        };
        engine.prewarm(&command(), 1).await.unwrap();
        let [python] = waiting(&helper).try_into().unwrap();
        for file in ["environ", "cmdline"] {
            let seen = std::fs::read(format!("/proc/{}/{file}", python.pid));
            // An ordinary user may not look into what is confined.
            let seen = String::from_utf8_lossy(&seen.unwrap_or_default()).into_owned();
            assert!(!seen.contains(&secret), "{file}: {seen}");
        }
        let output = engine.output(command()).await.unwrap();
        assert_eq!(output.report.start, Start::Warm);
        let expected = format!("{secret} ['{secret}']\n");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:#?}");
        assert!(!python.is_alive(), "it was that one");
    });
}

#[test]
fn what_python_reads_at_its_start_has_it_started() {
    let helper = Helper::new();
    with_engine(config(1).helper(helper.path()), async |engine| {
        engine.prewarm(&python_script(""), 1).await.unwrap();
        let [python] = waiting(&helper).try_into().unwrap();
        let source = "import sys; print(sys.flags.hash_randomization, sys.flags.optimize)";
        let command = python_script(source).env("PYTHONOPTIMIZE", "2").env("PYTHONHASHSEED", "0");
        let output = engine.output(command).await.unwrap();
        assert_eq!(output.stdout, b"0 2\n", "{output:#?}");
        assert!(!python.is_alive(), "its slot was taken");
    });
}

#[test]
fn limits_of_a_process_are_those_of_the_run_in_python_too() {
    with_engine(config(1), async |engine| {
        for open_files in [100, 200] {
            let limits = Limits { open_files, tmp: Bytes::mib(open_files), ..Limits::default() };
            let source = "import os, resource
print(resource.getrlimit(resource.RLIMIT_NOFILE)[1], os.statvfs('/tmp').f_blocks)";
            let command = python_script(source).policy(Policy::script().limits(limits));
            let output = warm(engine, command).await;
            let expected = format!("{open_files} {}\n", open_files * 256);
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
        }
    });
}

#[test]
fn an_interpreter_waits_for_some_time_only() {
    let helper = Helper::new();
    let config = config(1).helper(helper.path()).keep_interpreters(Duration::from_millis(200));
    with_engine(config, async |engine| {
        engine.prewarm(&python_script(""), 1).await.unwrap();
        let deadline = std::time::Instant::now() + host::DEADLINE;
        while !waiting(&helper).is_empty() {
            assert!(std::time::Instant::now() < deadline, "it still waits");
            tokio::time::sleep(host::PAUSE).await;
        }
        let output = engine.output(python_script("print('hello')")).await.unwrap();
        assert_eq!(output.stdout, b"hello\n");
    });
}

#[test]
fn who_never_ran_python_has_none() {
    let helper = Helper::new();
    with_engine(config(2).helper(helper.path()), async |engine| {
        for _ in 0..5 {
            engine.output(script("true")).await.unwrap();
        }
        engine.prewarm(&script("true"), 2).await.unwrap();
        assert_eq!(waiting(&helper).len(), 0);
    });
}
