//! What can be seen of sandboxes from the host's side: processes, control groups, mounts.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// How long anything may take before it counts as hanging, on however slow a machine.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Time between two looks.
pub const PAUSE: Duration = Duration::from_millis(10);

/// Waits until `condition` holds.
///
/// # Panics
///
/// When it does not within [`DEADLINE`].
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// The version of the running kernel: `(6, 1)` for every 6.1.
///
/// # Panics
///
/// When proc cannot be read.
#[must_use]
pub fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => panic!("a kernel of another kind: {release}"),
    }
}

/// A word that no other process on this host has in its command line.
#[must_use]
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}-{}-{number}-{:?}", std::process::id(), Instant::now())
        .replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "")
}

/// A process, told from later ones with the same id by when it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id on the host.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    started: u64,
}

impl Process {
    /// The process with this id; `None` when there is none, or a dead one nobody has waited for.
    #[must_use]
    pub fn find(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name is in parentheses and may contain some.
        let (head, rest) = stat.rsplit_once(')')?;
        let name = head.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // Fields 3, 4 and 22 of proc_pid_stat(5).
        let alive = !matches!(*fields.first()?, "Z" | "X");
        let parent = fields.get(1)?.parse().ok()?;
        let started = fields.get(19)?.parse().ok()?;
        alive.then_some(Self { pid, parent, name, started })
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Self::find(self.pid).is_some_and(|now| now.started == self.started)
    }

    /// Its parent, the parent's parent, and so on.
    #[must_use]
    pub fn ancestors(&self) -> Vec<Self> {
        std::iter::successors(Self::find(self.parent), |one| Self::find(one.parent)).collect()
    }
}

/// All processes of this host.
///
/// # Panics
///
/// When proc cannot be read.
#[must_use]
pub fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(Process::find).collect()
}

/// The processes with `marker` in their command line.
#[must_use]
pub fn marked(marker: &str) -> Vec<Process> {
    let has = |process: &Process| {
        let args = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
        String::from_utf8_lossy(&args).contains(marker)
    };
    processes().into_iter().filter(has).collect()
}

/// The processes below this one.
#[must_use]
pub fn descendants(pid: u32) -> Vec<Process> {
    let all = processes();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for child in all.iter().filter(|process| process.parent == parent) {
            parents.push(child.pid);
            found.push(child.clone());
        }
    }
    found
}

/// Whether the memory of a process holds `needle` anywhere. To an ordinary user, who may not look
/// into what is confined, nothing does.
///
/// # Panics
///
/// When root may not look.
#[must_use]
pub fn memory_holds(pid: u32, needle: &[u8]) -> bool {
    const PIECE: u64 = 1 << 20;
    let Ok(maps) = fs::read_to_string(format!("/proc/{pid}/maps")) else { return false };
    let Ok(memory) = fs::File::open(format!("/proc/{pid}/mem")) else {
        let root = nix::unistd::Uid::effective().is_root();
        assert!(!root || Process::find(pid).is_none(), "the memory of {pid} cannot be read");
        return false;
    };
    let overlap = needle.len() as u64 - 1;
    let mut buffer = vec![0; usize::try_from(PIECE + overlap).unwrap()];
    for line in maps.lines().filter(|line| line.contains(" r")) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [start, end] = [start, end].map(|it| u64::from_str_radix(it, 16).unwrap());
        // Of a plan, only what may have been written: the rest would come into being by reading it.
        let end = if line.contains("memfd:automa-plan") { end.min(start + PIECE) } else { end };
        let mut at = start;
        while at < end {
            let len = usize::try_from((end - at).min(PIECE + overlap)).unwrap();
            // What the kernel shows there, such as the clock, cannot be read.
            let read = memory.read_at(&mut buffer[..len], at).unwrap_or(0);
            if memchr::memmem::find(&buffer[..read], needle).is_some() {
                return true;
            }
            at += PIECE;
        }
    }
    false
}

/// Control groups that the engines of a process have made, in all hierarchies.
#[must_use]
pub fn groups_of(pid: u32) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let point = fields.next()?;
        fields.next()?.starts_with("cgroup").then(|| PathBuf::from(point))
    });
    let mut found = Vec::new();
    for point in points {
        collect_groups(&point, &format!("automa-{pid}-"), &mut found);
    }
    found
}

fn collect_groups(dir: &Path, prefix: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        }
        collect_groups(&entry.path(), prefix, found);
    }
}

/// The mounts of this process's namespace, by what they are and where.
///
/// # Panics
///
/// When proc cannot be read.
#[must_use]
pub fn mounts() -> Vec<String> {
    fs::read_to_string("/proc/self/mounts").unwrap().lines().map(str::to_owned).collect()
}
