//! Every limit: what it ends, and what is told of it.
//!
//! Where groups hold a limit it is exact. Where they are missing, as for an ordinary user on many
//! hosts, the report says so and the weaker substitute is what is tested.

use std::time::Duration;

use automa_sandbox::{
    Bytes, Command, Engine, EngineConfig, Exit, Feature, Limits, Outcome, Policy, Runtime, Stage,
    Status,
};
use automa_tests::{
    Run, Script, User, automa, bash,
    host::{eventually, marked, unique},
    python,
};

use crate::block_on;

/// Asserts that a limit ended the run, that the code and the report say so, and that nothing is
/// left of it.
#[track_caller]
fn assert_stopped(what: &str, run: &Run, outcome: &Outcome, code: i32, limit: Feature) {
    assert_eq!(run.outcome(), outcome, "{what}: {run:#?}");
    assert_eq!(run.code, code, "{what}");
    let report = run.report.as_ref().unwrap();
    assert!(report.limits_hit.contains(&limit), "{what}: {report:#?}");
    assert!(report.tree_empty, "{what}: {report:#?}");
}

/// Whether a limit is held exactly, by groups; asserts that its status is one of the two.
#[track_caller]
fn is_exact(run: &Run, limit: Feature) -> bool {
    match run.status(limit) {
        Status::Enforced => true,
        Status::Weaker(_) => false,
        Status::Missing(reason) => panic!("{limit} is missing: {reason}"),
    }
}

fn with_engine<T>(slots: usize, work: impl AsyncFnOnce(&Engine) -> T) -> T {
    block_on(async {
        let config = EngineConfig::default().helper(automa()).slots(slots);
        let engine = Engine::start(config).await.unwrap();
        let result = work(&engine).await;
        engine.shutdown().await;
        result
    })
}

/// A bash command under limits.
fn limited(source: &str, limits: Limits) -> Command {
    let command = Runtime::bash().unwrap().command(source, "script.sh");
    command.policy(Policy::script().limits(limits))
}

#[test]
fn wall_time_ends_whatever_the_script_does() {
    for (what, source) in [
        ("busy", "while :; do :; done"),
        ("sleeping", "sleep 1000"),
        ("stopped", "kill -STOP $$; echo went on"),
        ("deaf", "trap '' TERM INT HUP; while :; do sleep 1; done"),
        ("waiting for others", "for i in 1 2 3; do sleep 1000 & done; wait"),
        ("done but for its output", "exec >/dev/null 2>&1; sleep 1000"),
    ] {
        for user in User::all() {
            let run = bash(source).flags("--wall 500ms").run_as(user);
            assert_stopped(what, &run, &Outcome::WallTime, 124, Feature::WallTime);
            let report = run.report.as_ref().unwrap();
            assert!(report.usage.wall() >= Duration::from_millis(500), "{what}: {report:#?}");
            assert!(report.usage.wall() < Duration::from_secs(30), "{what}: {report:#?}");
            assert_eq!((report.exit, run.stdout.as_str()), (None, ""), "{what}");
        }
    }
}

#[test]
fn processor_time_counts_all_processes() {
    for (what, source) in [
        ("one", "while :; do :; done"),
        ("several", "for i in 1 2 3 4; do (while :; do :; done) & done; wait"),
        ("short-lived children", "while :; do (for ((i = 0; i < 20000; i++)); do :; done); done"),
        (
            "short-lived orphans",
            "work() { for ((i = 0; i < 20000; i++)); do :; done; echo done; }
             while :; do read -r _ < <(work & ); done",
        ),
        ("deaf to SIGXCPU", "trap '' XCPU; while :; do :; done"),
    ] {
        for user in User::all() {
            let script = bash(source).flags("--cpu-time 1s --wall 40s --cpus 2");
            let run = script.run_as(user);
            assert_stopped(what, &run, &Outcome::CpuTime, 124, Feature::CpuTime);
            let used = run.report.as_ref().unwrap().usage.cpu();
            let sane = Duration::from_millis(900)..Duration::from_secs(4);
            assert!(sane.contains(&used), "{what} as {user:?}: {used:?}");
        }
    }
}

/// Grows by 2 MiB at a time, slowly enough for samples to see it.
const GROW: &str = "
import sys, time
def grow(take):
    kept = []
    while True:
        kept.append(take())
        time.sleep(0.02)
";

#[test]
fn memory_counts_wherever_it_is() {
    let heap = "grow(lambda: bytearray(2 << 20))";
    let shared = "
import mmap
def take():
    area = mmap.mmap(-1, 2 << 20)
    area.write(b'x' * (2 << 20))
    return area
grow(take)";
    let grandchild = format!(
        "
import os
if os.fork() == 0:
    if os.fork() == 0:
        {heap}
    os.wait()
    sys.exit()
os.wait()
time.sleep(1000)"
    );
    for (what, source) in [("heap", heap), ("shared", shared), ("grandchild", &grandchild)] {
        for user in User::all() {
            let script = python(format!("{GROW}{source}"));
            let run = script.flags("--memory 48M --cpus 2").run_as(user);
            assert_stopped(what, &run, &Outcome::Memory, 137, Feature::MemoryLimit);
            let usage = &run.report.as_ref().unwrap().usage;
            if is_exact(&run, Feature::MemoryLimit) {
                assert!(usage.oom_kills > 0, "{what}: {usage:?}");
                assert!(usage.memory_peak.unwrap() <= Bytes::mib(48), "{what}: {usage:?}");
            } else {
                assert!(usage.memory_peak.unwrap() > Bytes::mib(48), "{what}: {usage:?}");
            }
        }
    }
}

#[test]
fn memory_counts_files_that_are_memory() {
    for (what, source) in [
        ("temporary file", "fill(open('/tmp/file', 'wb'))"),
        ("shared memory", "fill(open('/dev/shm/file', 'wb'))"),
        ("memory file", "import os; fill(os.fdopen(os.memfd_create('file'), 'wb'))"),
    ] {
        let fill = "
def fill(file):
    for _ in range(120):
        file.write(bytes(1 << 20))
        file.flush()
";
        for user in User::all() {
            let script = python(format!("{fill}{source}"));
            let run = script.flags("--memory 64M --tmp 100M --cpus 2").run_as(user);
            if is_exact(&run, Feature::MemoryLimit) {
                assert_stopped(what, &run, &Outcome::Memory, 137, Feature::MemoryLimit);
            } else if what == "memory file" {
                // Nothing would count these, so there are none; and the report says so.
                let Status::Weaker(reason) = run.status(Feature::MemoryLimit) else { panic!() };
                assert!(reason.contains("without memory files"), "{reason}");
                assert!(run.exited(1).stderr.contains("Function not implemented"), "{run:#?}");
            } else {
                // The size of the file system is the limit that is left.
                assert_stopped(what, &run, &Outcome::Disk, 1, Feature::DiskLimit);
            }
        }
    }
}

#[test]
fn the_process_limit_refuses_forks_and_says_so() {
    for user in User::all() {
        let run = python("import os\nwhile True: os.fork()").flags("--pids 32").run_as(user);
        assert!(run.stderr.contains("BlockingIOError"), "{run:#?}");
        if is_exact(&run, Feature::ProcessLimit) {
            assert_stopped("bomb", &run, &Outcome::Processes, 1, Feature::ProcessLimit);
            assert!(run.report.unwrap().usage.forks_refused > 0);
        } else {
            run.exited(1);
        }
    }
}

#[test]
fn as_many_processes_as_allowed_and_no_more() {
    let source = "
import os, time
count = 1
try:
    while count < 100:
        if os.fork() == 0:
            time.sleep(1000)
        count += 1
except BlockingIOError:
    print(count)
";
    for user in User::all() {
        let run = python(source).flags("--pids 7").run_as(user);
        run.exited(0);
        assert_eq!(run.stdout, "7\n", "{user:?}");
        // What was survived is told as well.
        let exact = is_exact(&run, Feature::ProcessLimit);
        let report = run.report.unwrap();
        let hit: &[Feature] = if exact { &[Feature::ProcessLimit] } else { &[] };
        assert_eq!(report.limits_hit, hit, "{user:?}");
        assert_eq!(report.usage.forks_refused, u64::from(exact));
    }
}

#[test]
fn a_shells_fork_bomb_ends_and_leaves_nothing() {
    for user in User::all() {
        let marker = unique("bomb");
        let source = ":() { : | : & }; :; sleep 1000";
        let script = Script::new(&format!("{marker}.sh"), source.as_bytes());
        let run = script.flags("--wall 1s --output 1M").run_as(user);
        let ended = matches!(run.code, 0 | 1 | 124 | 137 | 254);
        assert!(ended && run.report.as_ref().unwrap().tree_empty, "{run:#?}");
        // The ordinary process table has dead ones for a moment.
        eventually("all bombs are gone", || marked(&marker).is_empty());
    }
}

#[test]
fn output_is_cut_exactly_at_its_limit() {
    const LIMIT: usize = 100_000;
    for (what, source) in [
        ("stdout", "yes"),
        ("stderr", "yes >&2"),
        ("both", "yes & yes >&2"),
        ("no line ends", "cat /dev/zero"),
        ("much at once", "exec head -c 50M /dev/zero"),
        ("a little more than allowed", "head -c 100001 /dev/zero"),
        ("from a child left behind", "yes & exit 0"),
    ] {
        for user in User::all() {
            let script = bash(source).flag("--output", &LIMIT.to_string());
            let run = script.flags("--wall 60s --cpus 2").run_as(user);
            // Whoever leaves a child behind has ended before: then nothing had to be stopped.
            if what.starts_with("from a child") && run.outcome() == &(Outcome::Exited { code: 0 }) {
                continue;
            }
            assert_stopped(what, &run, &Outcome::Output, 137, Feature::OutputLimit);
            let report = run.report.as_ref().unwrap();
            assert!(report.output_truncated, "{what}");
            assert_eq!(report.usage.output, Bytes(LIMIT as u64), "{what}");
            assert_eq!(run.stdout.len() + run.stderr.len(), LIMIT, "{what} as {user:?}");
        }
    }
}

/// Output that is passed on is not kept: the program that runs the script stays as small as it was.
#[test]
fn a_flood_of_output_is_not_kept_in_memory() {
    let source = "echo ready; read _; head -c 60M /dev/zero; head -c 2M /dev/urandom >&2
        echo; echo done; read _";
    for user in User::all() {
        let script = bash(source).flags("--output 100M --stdin - --wall 60s --cpus 2");
        let mut running = script.start_as(user);
        assert_eq!(running.line(), "ready\n");
        let before = peak_of(running.pid());
        running.send("go\n");
        assert_eq!(running.line().len(), (60 << 20) + 1);
        assert_eq!(running.line(), "done\n");
        let after = peak_of(running.pid());
        assert!(after < before + Bytes::mib(8).0, "{user:?}: {before} and then {after} bytes");
        running.send("end\n");
        running.end().exited(0);
    }
}

/// The most memory that a process has had, in bytes: `VmHWM` of `proc_pid_status(5)`.
fn peak_of(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn output_up_to_its_limit_is_no_flood() {
    for user in User::all() {
        let run = bash("head -c 100000 /dev/zero").flags("--output 100000").run_as(user);
        run.exited(0);
        assert_eq!(run.stdout.len(), 100_000);
        let report = run.report.unwrap();
        assert!(!report.output_truncated && report.limits_hit.is_empty(), "{report:#?}");
    }
}

#[test]
fn a_full_disk_is_told() {
    let inodes = "i=0; while : > f$i; do i=$((i + 1)); done; exit 9";
    for (what, source, code) in [
        ("bytes", "head -c 20M /dev/zero > file", 1),
        ("bytes in /tmp", "exec head -c 20M /dev/zero > /tmp/file", 1),
        ("files", inodes, 9),
    ] {
        for user in User::all() {
            let run = bash(source).flags("--tmp 4M --cpus 2").run_as(user);
            assert_stopped(what, &run, &Outcome::Disk, code, Feature::DiskLimit);
            assert!(run.stderr.contains("No space left on device"), "{what}: {run:#?}");
            let usage = run.report.unwrap().usage;
            assert!(usage.tmp <= Bytes::mib(4), "{what}: {usage:?}");
            assert!(usage.tmp_inodes <= Limits::default().tmp_inodes, "{what}: {usage:?}");
        }
    }
}

#[test]
fn a_full_disk_that_is_survived_is_told_too() {
    for user in User::all() {
        let run = bash("head -c 20M /dev/zero > file || exit 0").flags("--tmp 4M").run_as(user);
        run.exited(0);
        assert_eq!(run.report.unwrap().limits_hit, [Feature::DiskLimit]);
    }
}

#[test]
fn a_file_cannot_outgrow_its_limit() {
    with_engine(1, async |engine| {
        let limits = Limits { file_size: Some(Bytes::mib(1)), ..Limits::default() };
        for (source, outcome) in [
            ("exec head -c 1M /dev/zero > file", Outcome::Exited { code: 0 }),
            ("exec head -c 1048577 /dev/zero > file", Outcome::Disk),
        ] {
            let output = engine.output(limited(source, limits.clone())).await.unwrap();
            assert_eq!(output.report.outcome, outcome, "{output:#?}");
            let hit = output.report.limits_hit.contains(&Feature::DiskLimit);
            assert_eq!(hit, outcome == Outcome::Disk, "{output:#?}");
            assert!(output.report.usage.tmp <= Bytes::kib(1100), "{output:#?}");
        }
    });
}

#[test]
fn open_files_run_out() {
    let source = "
import resource
kept = []
try:
    while True:
        kept.append(open('/dev/null'))
except OSError as error:
    print(error.errno, 1000 < len(kept) < 1024, resource.getrlimit(resource.RLIMIT_NOFILE))
";
    for user in User::all() {
        let run = python(source).run_as(user);
        run.exited(0);
        // EMFILE; and what is allowed cannot be raised.
        assert_eq!(run.stdout, "24 True (1024, 1024)\n");
    }
}

#[test]
fn every_exit_code_arrives() {
    with_engine(2, async |engine| {
        for code in 0..=255 {
            let command = Runtime::bash().unwrap().command(format!("exit {code}"), "script.sh");
            let report = engine.output(command).await.unwrap().report;
            assert_eq!(report.outcome, Outcome::Exited { code });
            assert_eq!(report.exit, Some(Exit::Code(code)));
            assert_eq!(report.success(), code == 0);
            assert_eq!(report.limits_hit, []);
        }
    });
    for user in User::all() {
        for code in [0, 1, 2, 124, 125, 126, 127, 128, 137, 139, 143, 255] {
            bash(format!("exit {code}")).run_as(user).exited(code);
        }
    }
}

#[test]
fn every_signal_is_told() {
    const IGNORED: [i32; 4] = [17, 18, 23, 28];
    const STOPPING: [i32; 4] = [19, 20, 21, 22];
    let real_time = [34, 64];
    for user in User::all() {
        for signal in (1..=31).chain(real_time).filter(|signal| !STOPPING.contains(signal)) {
            let run = python(format!(
                "import os, signal
if {signal} != 9: signal.signal({signal}, signal.SIG_DFL)
os.kill(os.getpid(), {signal})"
            ));
            let run = run.flags("--cpus 2").run_as(user);
            let outcome = match signal {
                // The two that stand for a limit or a protection.
                25 => Outcome::Disk,
                31 => Outcome::Seccomp,
                _ if IGNORED.contains(&signal) => Outcome::Exited { code: 0 },
                _ => Outcome::Signaled { signal },
            };
            assert_eq!(run.outcome(), &outcome, "{run:#?}");
            let report = run.report.as_ref().unwrap();
            if IGNORED.contains(&signal) {
                assert_eq!((report.exit, run.code), (Some(Exit::Code(0)), 0));
            } else {
                assert_eq!((report.exit, run.code), (Some(Exit::Signal(signal)), 128 + signal));
            }
        }
    }
}

#[test]
fn what_cannot_be_started_is_no_exit_code() {
    for (program, errno) in [("/bin/does-not-exist", 2), ("/etc/passwd", 13), ("/usr", 13)] {
        with_engine(1, async |engine| {
            let output = engine.output(Command::new(program)).await.unwrap();
            let outcome = Outcome::SetupFailed { stage: Stage::Exec, errno };
            assert_eq!(output.report.outcome, outcome, "{program}");
            assert!(!output.report.success() && output.report.tree_empty, "{program}");
        });
    }
}

#[test]
fn usage_is_what_was_used() {
    let source = "
import os, sys, time
block = bytearray(os.urandom(1 << 20) * 50)
open('file', 'wb').write(bytes(3 << 20))
os.mkdir('directory')
while time.process_time() < 1: pass
sys.stdout.write('x' * 12345)
sys.stderr.write('y' * 55)
";
    for user in User::all() {
        let run = python(source).flags("--cpus 1").run_as(user);
        run.exited(0);
        let report = run.report.unwrap();
        let usage = report.usage;
        let second = Duration::from_secs(1);
        assert!((second..2 * second).contains(&usage.cpu()), "{user:?}: {usage:?}");
        assert!(usage.wall() >= second && usage.wall() < Duration::from_mins(1), "{usage:?}");
        let plausible = Bytes::mib(50)..Bytes::mib(200);
        assert!(plausible.contains(&usage.memory_peak.unwrap()), "{user:?}: {usage:?}");
        assert!(plausible.contains(&usage.process_peak), "{user:?}: {usage:?}");
        assert_eq!(usage.output, Bytes(12_400), "{user:?}");
        assert!((Bytes::mib(3)..Bytes::kib(3200)).contains(&usage.tmp), "{user:?}: {usage:?}");
        // The root, work, tmp, shm, the script, the file and the directory.
        assert_eq!(usage.tmp_inodes, 7, "{user:?}");
        assert_eq!((usage.oom_kills, usage.forks_refused), (0, 0), "{user:?}");
        assert_eq!(report.limits_hit, [], "{user:?}");
        // The steps of the start are the whole time.
        let steps: u64 = report.timeline.iter().map(|step| step.ns).sum();
        assert_eq!(steps, usage.wall_ns, "{user:?}: {:#?}", report.timeline);
    }
}

#[test]
fn what_one_run_used_is_not_counted_for_the_next() {
    with_engine(1, async |engine| {
        let big = "head -c 60M /dev/zero > /tmp/file; head -c 60M /dev/zero | tail -c 40M | wc -c";
        let first = engine.output(limited(big, Limits::default())).await.unwrap().report;
        assert_eq!(first.outcome, Outcome::Exited { code: 0 });
        let limits = Limits { memory: Bytes::mib(16), processes: 3, ..Limits::default() };
        let next = engine.output(limited("echo hello", limits)).await.unwrap();
        assert_eq!(next.report.outcome, Outcome::Exited { code: 0 }, "{next:#?}");
        assert_eq!(next.report.limits_hit, []);
        let peak = next.report.usage.memory_peak.unwrap_or_default();
        assert!(peak < Bytes::mib(16), "{:?}", next.report.usage);
        assert!(next.report.usage.cpu() < first.usage.cpu(), "{:?}", next.report.usage);
    });
}

#[test]
fn impossible_limits_are_refused() {
    for (flags, part) in [
        ("--wall 0s", "wall time"),
        ("--memory 0", "memory"),
        ("--pids 0", "processes"),
        ("--tmp 0", "temporary files"),
    ] {
        for user in User::all() {
            let run = bash("echo ran").flags(flags).run_as(user);
            assert_eq!((run.code, run.stdout.as_str()), (125, ""), "{flags}");
            assert!(run.report.is_none() && run.stderr.contains(part), "{flags}: {run:#?}");
        }
    }
}

/// Four busy processes share a quarter of a processor; where nothing can hold them to it, the report
/// says that.
#[test]
fn the_share_of_processors_is_for_all_processes_together() {
    let source = "for i in 1 2 3 4; do while :; do :; done & done; wait";
    for user in User::all() {
        let run = bash(source).flags("--wall 3s --cpus 0.25").run_as(user);
        assert_eq!(run.outcome(), &Outcome::WallTime, "{run:#?}");
        let used = run.report.as_ref().unwrap().usage.cpu();
        match run.status(Feature::CpuShare) {
            // 750 ms, and a period of 100 ms at either end; without the limit it is 3 s at least.
            Status::Enforced => assert!(used < Duration::from_millis(1500), "{used:?}"),
            Status::Missing(reason) => assert!(reason.contains("group"), "{reason}"),
            Status::Weaker(reason) => panic!("{reason}"),
        }
    }
}

/// What is used is seen while it is used: a program that holds memory for a while and burns processor
/// time leaves both in the report's history, with groups and without.
#[test]
fn what_a_run_uses_is_recorded_over_time() {
    let source = "import time\n\
                  held = b'x' * (40 << 20)\n\
                  while time.process_time() < 0.5: pass\n";
    for user in User::all() {
        let run = python(source).flags("--cpus 2").run_as(user);
        run.exited(0);
        let report = run.report.as_ref().unwrap();
        let history = &report.history;
        assert!(history.is_sorted_by_key(|point| (point.at_ms, point.cpu_ms)), "{history:?}");
        let last = history.last().expect("half a second is long enough");
        assert!((1..=report.usage.cpu().as_millis()).contains(&last.cpu_ms.into()));
        let most = history.iter().filter_map(|point| point.memory).max();
        assert!(most >= Some(Bytes::mib(40)), "{history:?}");
    }
}
