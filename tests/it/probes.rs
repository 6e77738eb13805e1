//! Escape attempts: each test is one way in which a script could try to get at what is not its
//! own, and must fail in exactly the way the kernel defines.
//!
//! The judge stands outside. What a script prints says which wall it ran into; that nothing was
//! hurt is read from the host: its files, mounts, settings, sockets, groups and processes. See
//! [`watched`], through which every attempt goes. Where it is harmless, the same attempt is also
//! made bare, so that none can fail merely because it could never work.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod descriptors;
mod exploits;
mod files;
mod kernel;
mod namespaces;
mod network;
mod privileges;
mod runtimes;
mod tree;

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use automa_sandbox::{Outcome, Runtime, Start};
use automa_tests::{Run, Script, User, automa, bash, command_of, host, python};

/// Attempts in Python, and what must become of each: `ok`, the name of an error, or a text.
type Expected<'a> = &'a [(&'a str, &'a str)];

const PROLOGUE: &str = include_str!("probes/attempts.py");

/// Enough time and processor for every attempt; to reach either would be the failure.
const AMPLE: &str = "--wall 60s --cpus 2";

/// Python lines that give system calls their numbers.
macro_rules! numbers {
    ($($name:ident)*) => {
        [$(format!("{} = {}\n", stringify!($name), nix::libc::$name)),*].concat()
    };
}
use numbers;

/// The circumstances that every attempt is made in.
#[derive(Debug, Clone, Copy)]
struct World {
    user: User,
    start: Start,
}

impl World {
    fn all() -> Vec<Self> {
        let both = |user| [Start::Cold, Start::Warm].map(|start| Self { user, start });
        let mut worlds: Vec<_> = User::all().into_iter().flat_map(both).collect();
        if emulated() {
            worlds.retain(|world| (world.user == User::Root) == (world.start == Start::Cold));
        }
        worlds
    }

    /// Has a script started as it is here.
    fn arrange(self, script: Script) -> Script {
        match self.start {
            Start::Cold => script.flags("--cold"),
            Start::Warm => script.flags("--warm"),
        }
    }

    /// Those of one user.
    fn of(user: User) -> Vec<Self> {
        Self::all().into_iter().filter(|world| world.user == user).collect()
    }
}

/// Whether this machine is a slow, emulated one, as `tests/vm-tests` says: there each user has one of
/// the two ways to start.
#[expect(clippy::disallowed_methods, reason = "a setting of the tests")]
fn emulated() -> bool {
    std::env::var("AUTOMA_EMULATED").is_ok()
}

/// A series of attempts made by one Python program.
struct Attempts {
    setup: String,
    flags: Vec<(&'static str, String)>,
}

/// Attempts that need nothing but the prologue.
fn attempts() -> Attempts {
    after("")
}

/// Attempts that come after some Python lines.
fn after(setup: impl Into<String>) -> Attempts {
    Attempts { setup: setup.into(), flags: Vec::new() }
}

impl Attempts {
    /// Adds a flag for `automa run`.
    fn flag(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.flags.push((name, value.into()));
        self
    }

    /// Makes them in a sandbox, and compares.
    #[track_caller]
    fn inside(&self, world: World, expected: Expected<'_>) -> Run {
        let run = confined(self.script(expected), world);
        run.exited(0);
        compare(&format!("inside, in {world:?}"), &run.stdout, &run.stderr, expected);
        run
    }

    /// Makes them in a sandbox that is started in a roundabout way, and compares.
    #[track_caller]
    fn started(
        &self,
        world: World,
        expected: Expected<'_>,
        around: impl FnOnce(&Command) -> Command,
    ) {
        let script = world.arrange(self.script(expected)).flags(AMPLE);
        let output = around(&script.command(world.user, Path::new("/dev/null"))).output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes);
        compare(
            &format!("inside, in {world:?}"),
            &text(&output.stdout),
            &text(&output.stderr),
            expected,
        );
    }

    /// Makes them without a sandbox, and compares: for attempts that are harmless there.
    #[track_caller]
    fn bare(&self, world: World, expected: Expected<'_>) {
        let (stdout, stderr) = bare(world.user, &self.source(expected));
        compare(&format!("bare, in {world:?}"), &stdout, &stderr, expected);
    }

    fn script(&self, expected: Expected<'_>) -> Script {
        let script = python(self.source(expected));
        self.flags.iter().fold(script, |script, (name, value)| script.flag(name, value))
    }

    fn source(&self, expected: Expected<'_>) -> String {
        let mut source = format!("{PROLOGUE}\n{}\ntell([\n", self.setup);
        for (attempt, _) in expected {
            writeln!(source, "    lambda: ({attempt}),").unwrap();
        }
        source + "])\n"
    }
}

/// Compares what was told with what was expected, attempt by attempt.
#[track_caller]
fn compare(place: &str, stdout: &str, stderr: &str, expected: Expected<'_>) {
    let told = stdout.lines().last().unwrap_or_default();
    let told: Vec<String> = serde_json::from_str(told)
        .unwrap_or_else(|_| panic!("{place}: nothing was told: {stdout}\n{stderr}"));
    assert_eq!(told.len(), expected.len(), "{place}: {stdout}");
    let wrong: Vec<String> = told
        .iter()
        .zip(expected)
        .filter(|(told, (_, expected))| told != expected)
        .map(|(told, (attempt, expected))| format!("{attempt}: {told}, expected {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{place}:\n{}", wrong.join("\n"));
}

/// Runs a Python program without a sandbox; what it wrote to stdout and stderr.
fn bare(user: User, source: &str) -> (String, String) {
    let runtime = Runtime::python().unwrap();
    let output = command_of(runtime.program(), user).args(["-c", source]).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Runs a script with ample limits, watched.
fn confined(script: Script, world: World) -> Run {
    watched(script.flags(AMPLE), world)
}

/// Runs bash lines with ample limits, watched, to the end that they choose; returns what they
/// wrote, the last newline removed.
#[track_caller]
fn shell(world: World, source: &str) -> String {
    let run = confined(bash(source), world);
    assert!(matches!(run.outcome(), Outcome::Exited { .. }), "{run:#?}");
    run.stdout.trim_end().to_owned()
}

/// Runs a script, and asserts that the host is as before and that nothing is left of it.
fn watched(script: Script, world: World) -> Run {
    let mark = new_mark();
    let before = Host::now();
    let script = world.arrange(script);
    let run = script.flag("--env", &format!("PROBE={mark}")).run_as(world.user);
    assert_eq!(processes_with(&mark), Vec::<u32>::new(), "left behind by {run:#?}");
    assert_eq!(groups_of(run.pid), Vec::<PathBuf>::new(), "left behind by {run:#?}");
    assert_eq!(Host::now(), before, "the host was changed by {run:#?}");
    if let Some(report) = &run.report {
        assert!(report.tree_empty, "{run:#?}");
        assert_eq!(report.start, world.start, "{run:#?}");
    }
    run
}

/// The kernel's Landlock ABI; 0 where there is none.
fn landlock_abi() -> i32 {
    static ABI: OnceLock<i32> = OnceLock::new();
    *ABI.get_or_init(|| {
        let ask = numbers!(SYS_landlock_create_ruleset)
            + "try: print(raw(SYS_landlock_create_ruleset, None, 0, 1))\n\
               except OSError: print(0)\n";
        bare(User::Ordinary, &format!("{PROLOGUE}\n{ask}")).0.trim().parse().unwrap()
    })
}

/// What is expected from a version of the kernel on, and before it.
fn since(version: (u32, u32), then: &'static str, before: &'static str) -> &'static str {
    if host::kernel() >= version { then } else { before }
}

/// What is expected from a version of Landlock on, and before it.
fn since_abi(abi: i32, then: &'static str, before: &'static str) -> &'static str {
    if landlock_abi() >= abi { then } else { before }
}

/// Whether nothing but what init does about a signal keeps it from being sent one: an ordinary
/// user has one id for init and script, and before Landlock ABI 6 signals are not ruled.
fn may_signal_init(world: World) -> bool {
    world.user == User::Ordinary && landlock_abi() < 6
}

/// From this ABI on, TCP ports are ruled.
const NET_ABI: i32 = 4;

/// A text that no other process carries, and that is no part of another such text.
fn new_mark() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("probe-{}-{}.", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Processes with this text in their arguments or environment.
fn processes_with(mark: &str) -> Vec<u32> {
    pids().into_iter().filter(|pid| mentions(*pid, &["cmdline", "environ"], mark)).collect()
}

fn pids() -> Vec<u32> {
    let names = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

/// Whether one of a process's files in /proc holds a text; a process that is gone has none.
fn mentions(pid: u32, files: &[&str], text: &str) -> bool {
    let holds = |content: Vec<u8>| content.windows(text.len()).any(|part| part == text.as_bytes());
    files.iter().any(|file| fs::read(format!("/proc/{pid}/{file}")).is_ok_and(holds))
}

/// Control groups that the engine of this process made, in any hierarchy.
fn groups_of(pid: u32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect_groups(Path::new("/sys/fs/cgroup"), &format!("automa-{pid}-"), &mut found);
    found
}

fn collect_groups(dir: &Path, prefix: &str, found: &mut Vec<PathBuf>) {
    // Groups of other tests come and go meanwhile.
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        } else {
            collect_groups(&entry.path(), prefix, found);
        }
    }
}

/// What no script may change. Times of the last change of metadata cannot be forged, so they stand
/// for contents.
#[derive(Debug, PartialEq)]
struct Host {
    files: Vec<(PathBuf, Option<[i64; 4]>)>,
    settings: Vec<(&'static str, Option<String>)>,
    mounts: String,
    booted: BootTime,
}

impl Host {
    const FILES: [&str; 11] = [
        "/",
        "/core",
        "/etc",
        "/etc/passwd",
        "/etc/shadow",
        "/etc/hostname",
        "/usr",
        "/usr/bin",
        "/usr/bin/bash",
        "/usr/bin/python3",
        "/usr/lib",
    ];
    const SETTINGS: [&str; 9] = [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/sysrq",
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/domainname",
        "/proc/sys/kernel/randomize_va_space",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/swaps",
    ];

    fn now() -> Self {
        let files = Self::FILES.into_iter().map(PathBuf::from).chain([automa().to_path_buf()]);
        let read = |path| fs::read_to_string(path).ok();
        Self {
            files: files.map(|path| (path.clone(), state(&path))).collect(),
            settings: Self::SETTINGS.map(|path| (path, read(path))).into(),
            mounts: read("/proc/self/mountinfo").unwrap(),
            booted: boot_time(),
        }
    }
}

/// Identity, size and time of the last change of a file; `None` where there is none.
fn state(path: &Path) -> Option<[i64; 4]> {
    let meta = fs::metadata(path).ok()?;
    let inode = meta.ino().cast_signed();
    Some([inode, meta.size().cast_signed(), meta.ctime(), meta.ctime_nsec()])
}

/// When the machine was started, in seconds of its wall clock: it moves when that clock is set.
#[derive(Debug)]
struct BootTime(i64);

impl PartialEq for BootTime {
    /// A clock that is being adjusted to others moves as well, but by little.
    fn eq(&self, other: &Self) -> bool {
        self.0.abs_diff(other.0) < 30
    }
}

fn boot_time() -> BootTime {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let line = stat.lines().find_map(|line| line.strip_prefix("btime ")).unwrap();
    BootTime(line.parse().unwrap())
}
