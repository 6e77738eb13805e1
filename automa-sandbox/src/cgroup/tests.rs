//! What the groups do, on the kernel the tests run on. Where no groups may be made, the tests check
//! that this is said.

#![expect(clippy::disallowed_methods, reason = "bare processes are put into groups")]

use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use super::place::V1Place;
use super::*;

const MIB: u64 = 1 << 20;
const NO_LIMITS: GroupLimits = GroupLimits { memory: None, pids: None, cpu_millis: None };

type Needed = fn(&Support) -> &Result<(), String>;

/// A leaf where `needed` works, and on a hybrid host one of v1 alone. Where it does not work,
/// checks that it is refused.
fn leaves_with(needed: Needed) -> Vec<(Cgroups, Leaf)> {
    let mut all = vec![Cgroups::discover()];
    if all[0].support().version == "hybrid" {
        let unified = Err("this is a test of v1 alone".to_owned());
        all.push(Cgroups::at(Places { unified, ..Cgroups::here().unwrap() }));
        assert_eq!(all[1].support().version, "v1");
    }
    all.into_iter().filter_map(|groups| check_support(groups, needed)).collect()
}

fn check_support(groups: Cgroups, needed: Needed) -> Option<(Cgroups, Leaf)> {
    let mut leaf = groups.leaf(0).unwrap();
    if let Cgroups::None { reason } = &groups {
        let root = fs::metadata("/proc/self").unwrap().uid() == 0;
        let known = ["Read-only file system", "is shared with other processes", "is not mounted"];
        assert!(!root || known.iter().any(|text| reason.contains(text)), "{reason}");
        check_none(&groups);
    }
    let support = groups.support();
    let Err(reason) = needed(&support) else { return Some((groups, leaf)) };
    assert!(!reason.is_empty());
    let all = GroupLimits { memory: Some(MIB), pids: Some(1), cpu_millis: Some(100) };
    if support.check(&all).is_err() {
        assert_eq!(leaf.apply(&all).unwrap_err().kind(), io::ErrorKind::Unsupported);
    }
    if support.kill.is_err() {
        assert_eq!(leaf.kill().unwrap_err().kind(), io::ErrorKind::Unsupported);
    }
    None
}

fn check_none(groups: &Cgroups) {
    let support = groups.support();
    assert_eq!(support.version, "none");
    assert!(support.memory.is_err() && support.kill.is_err());
    let mut leaf = groups.leaf(3).unwrap();
    leaf.apply(&NO_LIMITS).unwrap();
    let limits = GroupLimits { pids: Some(5), ..NO_LIMITS };
    assert_eq!(leaf.apply(&limits).unwrap_err().kind(), io::ErrorKind::Unsupported);
    leaf.begin().unwrap();
    leaf.unthrottle().unwrap();
    assert_eq!(leaf.usage(), Usage::default());
    assert_eq!(leaf.is_empty(), None);
    assert_eq!(leaf.kill().unwrap_err().kind(), io::ErrorKind::Unsupported);
    assert_eq!(leaf.recycle().unwrap(), Recycled::Same);
    assert!(leaf.attach_files().unwrap().is_empty() && leaf.birthplace().is_none());
}

fn paths(leaf: &Leaf) -> Vec<PathBuf> {
    match leaf {
        Leaf::V1(leaf) => leaf.paths().to_vec(),
        Leaf::V2(leaf) => leaf.paths().to_vec(),
        Leaf::None => Vec::new(),
    }
}

/// A control file, by its name in v1 or in v2.
fn control(leaf: &Leaf, v1: &str, v2: &str) -> String {
    let name = if matches!(leaf, Leaf::V1(_)) { v1 } else { v2 };
    let path = paths(leaf).into_iter().map(|path| path.join(name)).find(|path| path.exists());
    fs::read_to_string(path.unwrap()).unwrap().trim_end().to_owned()
}

/// A shell that joined the leaf, with all it started; killed on drop.
struct Payload(Child);

impl Payload {
    fn start(leaf: &Leaf, script: &str) -> Self {
        let files = leaf.attach_files().unwrap();
        let own = format!("/proc/{}/fd", std::process::id());
        let mut line = vec!["set -e".to_owned()];
        line.extend(files.iter().map(|file| format!("echo 0 > {own}/{}", file.as_raw_fd())));
        // What CLONE_INTO_CGROUP does in earnest, but slower.
        if let Some(directory) = leaf.birthplace() {
            line.push(format!("echo 0 > {own}/{}/cgroup.procs", directory.as_raw_fd()));
        }
        line.extend(["echo joined", "set +e", script].map(str::to_owned));
        let mut shell = Command::new("sh");
        shell.args(["-c", &line.join("; ")]).stdin(Stdio::null()).stderr(Stdio::null());
        let mut payload = Self(shell.stdout(Stdio::piped()).process_group(0).spawn().unwrap());
        let mut joined = [0; 7];
        let stdout = payload.0.stdout.as_mut().unwrap();
        io::Read::read_exact(stdout, &mut joined).expect("the payload joins the leaf");
        payload
    }

    fn kill(&mut self) {
        // Its own process group, and not reaped yet, so nobody else has the number.
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.kill();
    }
}

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !check() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn without_groups_nothing_is_promised() {
    check_none(&Cgroups::None { reason: "a test".to_owned() });
    let missing = |name| V1Place { controllers: vec![name], own: Err(format!("no {name}")) };
    let places = Places { v1: vec![missing("memory")], unified: Err("no v2".to_owned()) };
    let Cgroups::None { reason } = Cgroups::at(places) else { panic!("groups from nothing") };
    assert_eq!(reason, "no memory");
}

#[test]
fn v1_controllers_are_missed_one_by_one() {
    let folder = v2::tests::Folder::new("v1-partly");
    let own = |controllers: &[&'static str]| V1Place {
        controllers: controllers.to_vec(),
        own: Ok(folder.path().to_owned()),
    };
    let gone = V1Place { controllers: vec!["pids"], own: Err("pids are elsewhere".to_owned()) };
    let unified = Err("no v2".to_owned());
    let groups = Cgroups::at(Places { v1: vec![own(&["cpu", "cpuacct"]), gone], unified });
    let support = groups.support();
    assert_eq!(support.version, "v1");
    assert_eq!(support.pids, Err("pids are elsewhere".to_owned()));
    assert_eq!(support.kill, Err("no v2".to_owned()));
    // Plain folders have no control files.
    assert!(support.cpu.unwrap_err().contains("cpu.cfs_quota_us"));
    assert!(support.cpu_accounting.unwrap_err().contains("cpuacct.usage"));
    assert!(support.memory.unwrap_err().contains("no such cgroup v1 controller"));
    assert_eq!(paths(&groups.leaf(7).unwrap()).len(), 1);
}

#[test]
fn memory_limit_goes_up_and_down() {
    for (groups, mut leaf) in leaves_with(|support| &support.memory) {
        for mib in [64, 128, 32, 33, 1024] {
            leaf.apply(&GroupLimits { memory: Some(mib * MIB), ..NO_LIMITS }).unwrap();
            let bytes = (mib * MIB).to_string();
            assert_eq!(control(&leaf, "memory.limit_in_bytes", "memory.max"), bytes);
            if groups.support().swap.is_ok() {
                let with_swap = control(&leaf, "memory.memsw.limit_in_bytes", "memory.swap.max");
                assert_eq!(with_swap, if matches!(leaf, Leaf::V1(_)) { &*bytes } else { "0" });
            }
        }
        leaf.apply(&NO_LIMITS).unwrap();
        let unlimited = control(&leaf, "memory.limit_in_bytes", "memory.max");
        assert!(unlimited == "max" || unlimited.parse::<u64>().unwrap() > 1 << 60, "{unlimited}");
    }
}

#[test]
fn limit_of_processes_is_written() {
    for (_groups, mut leaf) in leaves_with(|support| &support.pids) {
        leaf.apply(&GroupLimits { pids: Some(64), ..NO_LIMITS }).unwrap();
        let with_ours = if matches!(leaf, Leaf::V1(_)) { "66" } else { "65" };
        assert_eq!(control(&leaf, "pids.max", "pids.max"), with_ours);
        leaf.apply(&NO_LIMITS).unwrap();
        assert_eq!(control(&leaf, "pids.max", "pids.max"), "max");
    }
}

#[test]
fn processor_quota_is_written() {
    for (_groups, mut leaf) in leaves_with(|support| &support.cpu) {
        leaf.apply(&GroupLimits { cpu_millis: Some(250), ..NO_LIMITS }).unwrap();
        let quota = control(&leaf, "cpu.cfs_quota_us", "cpu.max");
        assert_eq!(quota.split(' ').next(), Some("25000"));
        leaf.unthrottle().unwrap();
        assert!(control(&leaf, "cpu.cfs_quota_us", "cpu.max").starts_with(['-', 'm']));
        leaf.apply(&GroupLimits { cpu_millis: Some(250), ..NO_LIMITS }).unwrap();
        assert_eq!(control(&leaf, "cpu.cfs_quota_us", "cpu.max"), quota);
    }
}

#[test]
fn too_much_memory_is_an_oom_kill() {
    for (_groups, mut leaf) in leaves_with(|support| &support.memory) {
        leaf.apply(&GroupLimits { memory: Some(24 * MIB), ..NO_LIMITS }).unwrap();
        leaf.begin().unwrap();
        let mut payload = Payload::start(&leaf, "exec tail /dev/zero");
        assert_eq!(payload.0.wait().unwrap().signal(), Some(9));
        let usage = leaf.usage();
        assert_eq!(usage.oom_kills, 1);
        if let Some(peak) = usage.memory_peak {
            assert!((23 * MIB..=24 * MIB).contains(&peak), "{peak}");
        }

        let _ = leaf.recycle().unwrap();
        leaf.begin().unwrap();
        let usage = leaf.usage();
        assert_eq!(usage.oom_kills, 0);
        assert!(usage.memory_peak.is_none_or(|peak| peak < 8 * MIB), "{usage:?}");
    }
}

#[test]
fn page_cache_is_given_back() {
    for (_groups, mut leaf) in leaves_with(|support| &support.memory) {
        let folder = v2::tests::Folder::below(Path::new("/var/tmp"), "page-cache");
        let kind =
            Command::new("stat").args(["-f", "-c", "%T"]).arg(folder.path()).output().unwrap();
        if kind.stdout == b"tmpfs\n" {
            // Its pages are no cache, they cannot be given back.
            return;
        }
        let file = folder.path().join("file");
        leaf.apply(&GroupLimits { memory: Some(64 * MIB), ..NO_LIMITS }).unwrap();
        let script = format!("head -c 16M /dev/zero > {0} && exec sync {0}", file.display());
        assert!(Payload::start(&leaf, &script).0.wait().unwrap().success());
        let before = leaf.usage().memory_now.unwrap();
        let recycled = leaf.recycle().unwrap();
        if before > 16 * MIB && recycled == Recycled::Same {
            assert!(leaf.usage().memory_now.unwrap() <= v2::RESIDUE + MIB, "{:?}", leaf.usage());
            let limit = control(&leaf, "memory.limit_in_bytes", "memory.max");
            assert_eq!(limit, (64 * MIB).to_string());
        }
    }
}

#[test]
fn too_many_processes_are_refused() {
    for (_groups, mut leaf) in leaves_with(|support| &support.pids) {
        leaf.apply(&GroupLimits { pids: Some(4), ..NO_LIMITS }).unwrap();
        leaf.begin().unwrap();
        let script =
            "sleep 60 & sleep 60 & sleep 60 & sleep 60 & sleep 60 & sleep 60 & sleep 60 & wait";
        let mut payload = Payload::start(&leaf, script);
        eventually("a fork is refused", || leaf.usage().pids_refused > 0);
        assert!(leaf.usage().pids_now.unwrap() >= 3);
        assert_eq!(leaf.is_empty(), Some(false));
        payload.kill();
        eventually("the leaf is empty", || leaf.is_empty() == Some(true));
        eventually("nothing counts", || leaf.usage().pids_now == Some(0));
        leaf.begin().unwrap();
        assert_eq!(leaf.usage().pids_refused, 0);
    }
}

#[test]
fn processor_time_is_counted() {
    for (_groups, mut leaf) in leaves_with(|support| &support.cpu_accounting) {
        leaf.begin().unwrap();
        let spin = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        assert!(Payload::start(&leaf, spin).0.wait().unwrap().success());
        let usage = leaf.usage();
        let (cpu, user) = (usage.cpu.unwrap(), usage.cpu_user.unwrap());
        assert!(cpu > Duration::from_millis(10) && cpu < Duration::from_mins(1), "{usage:?}");
        assert_eq!(user + usage.cpu_system.unwrap(), cpu);
        leaf.begin().unwrap();
        assert!(leaf.usage().cpu.unwrap() < cpu / 2);
    }
}

#[test]
fn a_kill_ends_all_at_once() {
    for (_groups, leaf) in leaves_with(|support| &support.kill) {
        let mut payload = Payload::start(&leaf, "sleep 60 & sleep 60 & (setsid sleep 60) & wait");
        assert_eq!(leaf.is_empty(), Some(false));
        leaf.kill().unwrap();
        assert_eq!(payload.0.wait().unwrap().signal(), Some(9));
        eventually("the leaf is empty", || leaf.is_empty() == Some(true));
    }
}

#[test]
fn a_throttled_process_dies_at_once() {
    for (_groups, mut leaf) in leaves_with(|support| &support.cpu) {
        let mut times: Vec<Duration> = (0..5)
            .map(|round| {
                leaf.apply(&GroupLimits { cpu_millis: Some(100), ..NO_LIMITS }).unwrap();
                leaf.begin().unwrap();
                let mut payload = Payload::start(&leaf, "while :; do :; done");
                thread::sleep(Duration::from_millis(125 + 3 * round));
                let start = Instant::now();
                payload.0.kill().unwrap();
                leaf.unthrottle().unwrap();
                payload.0.wait().unwrap();
                start.elapsed()
            })
            .collect();
        times.sort();
        // 40 ms and more without.
        assert!(times[2] < Duration::from_millis(20), "{times:?}");
    }
}

#[test]
fn a_run_begins_with_a_full_quota() {
    for (_groups, mut leaf) in leaves_with(|support| &support.cpu) {
        leaf.apply(&GroupLimits { cpu_millis: Some(100), ..NO_LIMITS }).unwrap();
        let mut payload = Payload::start(&leaf, "while :; do :; done");
        let mut times: Vec<Duration> = (0..5)
            .map(|_| {
                // Throttled by now, until the next period.
                thread::sleep(Duration::from_millis(30));
                let start = Instant::now();
                let _ = leaf.recycle().unwrap();
                leaf.begin().unwrap();
                eventually("it runs", || leaf.usage().cpu.unwrap() > Duration::ZERO);
                start.elapsed()
            })
            .collect();
        payload.kill();
        times.sort();
        assert!(times[2] < Duration::from_millis(20), "{times:?}");
    }
}

#[test]
fn dropping_removes_everything() {
    for (groups, leaf) in leaves_with(|support| &support.memory) {
        let other = groups.leaf(0).unwrap();
        let (first, second) = (paths(&leaf), paths(&other));
        assert!(first.iter().all(|path| !second.contains(path)), "two leaves of a slot");
        let engines: Vec<PathBuf> =
            first.iter().map(|path| path.parent().unwrap().into()).collect();
        let mut payload = Payload::start(&other, "exec sleep 60");
        drop(leaf);
        assert!(!first.iter().any(|path| path.exists()));
        // A leaf outlives its engine's handle, and may hold a process that is just dying.
        drop(groups);
        assert!(second.iter().all(|path| path.exists()));
        payload.0.kill().unwrap();
        let start = Instant::now();
        drop(other);
        assert!(start.elapsed() < Duration::from_millis(400));
        payload.kill();
        assert!(!engines.iter().any(|path| path.exists()), "{engines:?}");
    }
}

#[test]
fn leftovers_of_the_dead_are_removed() {
    for (groups, leaf) in leaves_with(|support| &support.memory) {
        let mut child = Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let engines: Vec<PathBuf> =
            paths(&leaf).iter().map(|path| path.parent().unwrap().to_owned()).collect();
        let left: Vec<PathBuf> =
            engines.iter().map(|path| path.with_file_name(format!("automa-{dead}-0"))).collect();
        for path in &left {
            fs::create_dir_all(path.join("slot-0")).unwrap();
        }
        // One of a process that lives, but in another pid namespace.
        let locked = engines[0].with_file_name(format!("automa-{dead}-1"));
        fs::create_dir(&locked).unwrap();
        let lock = File::open(&locked).unwrap();
        lock.lock().unwrap();
        let second = Cgroups::discover();
        assert!(!left.iter().any(|path| path.exists()), "{left:?}");
        assert!(locked.exists());
        drop(lock);
        drop(Cgroups::discover());
        assert!(!locked.exists());
        // The first engine is not taken for dead.
        assert!(engines.iter().all(|path| path.exists()));
        drop((second, groups));
    }
}
