//! `soak RUNS`: runs sandboxes of several kinds through one engine, and writes as JSON what there
//! was before, after, and when the engine was gone.

use std::{
    collections::BTreeSet,
    error::Error,
    fs::{self, DirEntry},
    io::Write,
    ops::Range,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use automa_sandbox::{
    Command, Egress, Engine, EngineConfig, Limits, Network, Outcome, Policy, Runtime,
};
use automa_tests::host::{self, Process};
use nix::unistd::geteuid;
use serde::Serialize;

/// Runs at one time.
const SLOTS: usize = 2;

/// Processes when nothing runs: the zygote, and for each slot itself and a prepared sandbox of two.
const SETTLED: usize = 1 + (SLOTS + SPARE) * 3;

/// Slots beyond those, made for what the others are not prepared for.
const SPARE: usize = 2;

/// How long Python waits before its sandbox is prepared for any program, as all are when counted.
const PATIENCE_OF_PYTHON: Duration = Duration::from_secs(1);

/// Runs before the first count, after which nothing should grow any more.
const WARM: usize = 20;

/// How long groups and processes may take to go after a run.
const PATIENCE: Duration = Duration::from_secs(20);

/// What must not grow.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Count {
    /// Descriptors of this process.
    files: usize,
    /// Processes below this one.
    processes: Vec<String>,
    /// Descriptors of those, where this user may see them.
    their_files: usize,
    groups: usize,
    mounts: usize,
    /// Mounts that the helpers see, where this user may look.
    their_mounts: usize,
    /// Different namespaces that they are in, where this user may look.
    their_namespaces: usize,
    temporary: Vec<String>,
}

impl Count {
    fn take() -> Self {
        let own = std::process::id();
        let helpers = host::descendants(own);
        let listed = |pid: u32| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        let seen = |pid: u32| {
            fs::read_to_string(format!("/proc/{pid}/mountinfo")).map_or(0, |it| it.lines().count())
        };
        Self {
            files: own_names("/proc/self/fd").len(),
            their_files: helpers.iter().map(|helper| listed(helper.pid)).sum(),
            their_mounts: helpers.iter().map(|helper| seen(helper.pid)).sum(),
            their_namespaces: namespaces(&helpers).len(),
            processes: helpers.into_iter().map(|helper| helper.name).collect(),
            groups: host::groups_of(own).len(),
            mounts: host::mounts().len(),
            temporary: own_names("/tmp"),
        }
    }
}

/// The namespaces of processes, by kind and number.
fn namespaces(of: &[Process]) -> BTreeSet<PathBuf> {
    let dirs = of.iter().filter_map(|it| fs::read_dir(format!("/proc/{}/ns", it.pid)).ok());
    dirs.flatten().flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
}

/// The entries of a directory that belong to this user: others come and go as they like.
fn own_names(dir: &str) -> Vec<String> {
    let user = geteuid().as_raw();
    let is_own =
        |entry: &DirEntry| fs::symlink_metadata(entry.path()).is_ok_and(|it| it.uid() == user);
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().filter(is_own);
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[derive(Serialize)]
struct Counts {
    before: Count,
    after: Count,
    gone: Count,
    /// Resident memory of this process in KiB, before and after.
    resident: [u64; 2],
    /// The same of its helpers together.
    their_resident: [u64; 2],
}

/// A run of each kind in turn, with the outcome it must have.
fn nth(n: usize) -> Result<(Command, Outcome), Box<dyn Error>> {
    let script =
        |source: &str| Ok::<_, automa_sandbox::Error>(Runtime::bash()?.command(source, "s.sh"));
    let exited = |code| Outcome::Exited { code };
    let limited = |limits| Policy::script().limits(limits);
    Ok(match n % 10 {
        8 => {
            let source =
                "exec 3<>/dev/tcp/other.example/443; exec 3<>/dev/tcp/192.0.2.1/443; exit 4";
            let listed = Egress::to(["api.example.com:443".parse()?]);
            let policy = Policy::script().network(Network::Allow(listed));
            (script(source)?.policy(policy), exited(4))
        }
        9 => {
            let source = "import socket\n\
                server = socket.create_server(('127.0.0.1', 0))\n\
                client = socket.create_connection(server.getsockname())\n\
                raise SystemExit(5)\n";
            (Runtime::python()?.command(source, "s.py").policy(Policy::agent()), exited(5))
        }
        0 => (Command::new("/bin/true"), exited(0)),
        1 => (script("echo x > file; mkdir d; cat file; exit 3")?, exited(3)),
        2 => (script("(setsid sleep 1000 &) ; echo left one")?, exited(0)),
        3 => (
            Command::new("/bin/does-not-exist"),
            Outcome::SetupFailed { stage: automa_sandbox::Stage::Exec, errno: nix::libc::ENOENT },
        ),
        4 => {
            let limits = Limits { wall: Duration::from_millis(30), ..Limits::default() };
            (Command::new("/bin/sleep").arg("1000").policy(limited(limits)), Outcome::WallTime)
        }
        5 => {
            let leave = "ipcmk -M 4096; ipcmk -Q; ipcmk -S 1; mkfifo f; exec 9<>f; cd /tmp; mkdir d
                for n in 1 2 3; do sleep 1000 & done; exec -a x bash -c 'kill -9 $$'";
            (script(leave)?, Outcome::Signaled { signal: nix::libc::SIGKILL })
        }
        6 => {
            let source = "import os, socket\n\
                held = [socket.socketpair() for _ in range(100)]\n\
                if os.fork() == 0: os.setsid(); os.execv('/bin/sleep', ['x', '1000'])\n\
                os.abort()\n";
            let command = Runtime::python()?.command(source, "s.py");
            (command, Outcome::Signaled { signal: nix::libc::SIGABRT })
        }
        _ => {
            let limits = Limits { output: automa_sandbox::Bytes(1000), ..Limits::default() };
            (Command::new("/usr/bin/yes").policy(limited(limits)), Outcome::Output)
        }
    })
}

/// Runs those of the given numbers; of `mixed` ones every third does not use what was prepared,
/// which then has to go for it.
async fn runs(engine: &Engine, numbers: Range<usize>, mixed: bool) -> Result<(), Box<dyn Error>> {
    for n in numbers {
        let (command, expected) = nth(n)?;
        let command = if mixed && n % 3 == 0 { command.cold() } else { command };
        let outcome = engine.output(command).await?.report.outcome;
        if outcome != expected {
            return Err(format!("run {n}: {outcome:?} instead of {expected:?}").into());
        }
    }
    Ok(())
}

/// The count once it is as `wanted`, or the last one.
async fn settled(mut wanted: impl FnMut(&Count) -> bool) -> Count {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let count = Count::take();
        if wanted(&count) || Instant::now() > deadline {
            return count;
        }
        tokio::time::sleep(host::PAUSE).await;
    }
}

async fn soak(total: usize) -> Result<Counts, Box<dyn Error>> {
    let own = std::process::id();
    let config = EngineConfig::default().slots(SLOTS).warm(SPARE);
    let engine = Engine::start(config.keep_interpreters(PATIENCE_OF_PYTHON)).await?;
    // Each slot has had a network, and keeps one for the next.
    engine.prewarm(&nth(8)?.0, SLOTS + SPARE).await?;
    engine.prewarm(&nth(0)?.0, SLOTS + SPARE).await?;
    runs(&engine, 0..WARM, false).await?;
    // The slot of the last run may still be clearing up and preparing: what two looks agree on is the count.
    let mut last = None;
    let before = settled(|count| {
        let same = last.as_ref() == Some(count);
        last = Some(count.clone());
        let waits = |name: &String| name.starts_with("python");
        same && count.processes.len() == SETTLED && !count.processes.iter().any(waits)
    })
    .await;
    let resident = [self::resident(own), their_resident()];
    let half = total / 2;
    let (first, second) =
        tokio::join!(runs(&engine, 0..half, true), runs(&engine, half..total, true));
    first.and(second)?;
    // What the last ones leave prepared must be the same.
    runs(&engine, 0..WARM, false).await?;
    let after = settled(|count| *count == before).await;
    let [resident, theirs] = resident;
    let resident = [resident, self::resident(own)];
    let their_resident = [theirs, their_resident()];
    engine.shutdown().await;
    let gone = settled(|count| count.processes.is_empty() && count.groups == 0).await;
    Ok(Counts { before, after, gone, resident, their_resident })
}

fn their_resident() -> u64 {
    host::descendants(std::process::id()).iter().map(|helper| resident(helper.pid)).sum()
}

fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn main() -> Result<(), Box<dyn Error>> {
    automa_sandbox::reexec_guard();
    let total = std::env::args().nth(1).ok_or("usage: soak RUNS")?.parse()?;
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let counts = tokio.block_on(soak(total))?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&counts)?)?;
    // Of /tmp the caller has to say what is others'.
    let [before, after] =
        [counts.before, counts.after].map(|count| Count { temporary: Vec::new(), ..count });
    if before == after { Ok(()) } else { Err("something was left behind".into()) }
}
