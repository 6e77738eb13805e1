//! Group directories: making and removing them, writing their control files.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a drop waits for processes that are dying, which takes a period of 100 ms where their
/// group's processor quota is used up, and longer on a busy machine; the last leaf waits as long for
/// the engine.
const PATIENCE: Duration = Duration::from_secs(2);

/// Numbers the engines of this process, for the names of their groups.
static ENGINES: AtomicU32 = AtomicU32::new(0);

/// The groups of one engine, one per hierarchy, removed on drop with all that is below.
#[derive(Debug)]
pub(super) struct EngineGroups {
    groups: Vec<EngineGroup>,
    name: String,
}

#[derive(Debug)]
struct EngineGroup {
    path: PathBuf,
    /// Holds the lock that tells others the group is in use.
    _lock: File,
}

impl EngineGroups {
    /// Removes what dead engines left below `parents`, and chooses a name that is free in all.
    pub(super) fn new(parents: &[&Path]) -> Self {
        for parent in parents {
            remove_leftovers(parent);
        }
        let pid = std::process::id();
        loop {
            let name = format!("automa-{pid}-{}", ENGINES.fetch_add(1, Ordering::Relaxed));
            if !parents.iter().any(|parent| parent.join(&name).exists()) {
                return Self { groups: Vec::new(), name };
            }
        }
    }

    /// Makes the engine's group below `parent`.
    pub(super) fn create(&mut self, parent: &Path) -> io::Result<PathBuf> {
        let path = parent.join(&self.name);
        // The parent is what matters to whoever reads this, and the same for every process.
        fs::create_dir(&path).map_err(|error| at(parent, &error))?;
        let lock =
            File::open(&path).and_then(|lock| lock.try_lock().map_err(Into::into).map(|()| lock));
        match lock {
            Ok(lock) => self.groups.push(EngineGroup { path: path.clone(), _lock: lock }),
            Err(error) => {
                let _ = fs::remove_dir(&path);
                return Err(at(&path, &error));
            }
        }
        Ok(path)
    }
}

impl Drop for EngineGroups {
    fn drop(&mut self) {
        let paths = self.groups.iter().map(|group| group.path.clone()).collect();
        remove_patiently(paths);
    }
}

/// The groups of one leaf, one per hierarchy, removed on drop.
#[derive(Debug, Default)]
pub(super) struct LeafGroups(Vec<PathBuf>);

impl LeafGroups {
    /// Makes one group below each of `parents`, in their order.
    pub(super) fn create(parents: &[&Path], slot: usize) -> io::Result<Self> {
        // A former leaf of the slot can still be there when a process in it cannot die yet.
        let mut name = format!("slot-{slot}");
        let mut again = 0;
        while parents.iter().any(|parent| parent.join(&name).exists()) {
            again += 1;
            name = format!("slot-{slot}.{again}");
        }
        let mut made = Self::default();
        for parent in parents {
            let path = parent.join(&name);
            fs::create_dir(&path).map_err(|error| at(&path, &error))?;
            made.0.push(path);
        }
        Ok(made)
    }

    pub(super) fn paths(&self) -> &[PathBuf] {
        &self.0
    }

    /// The only one of v2.
    pub(super) fn first(&self) -> &Path {
        self.0.first().map_or(Path::new(""), PathBuf::as_path)
    }

    /// Removes the groups and makes them again, to start with fresh counters.
    pub(super) fn renew(&self) -> io::Result<()> {
        if let Some(path) = remove_patiently(self.0.clone()).first() {
            return Err(at(path, &io::ErrorKind::ResourceBusy.into()));
        }
        self.0.iter().try_for_each(|path| fs::create_dir(path).map_err(|error| at(path, &error)))
    }
}

impl Drop for LeafGroups {
    fn drop(&mut self) {
        remove_patiently(std::mem::take(&mut self.0));
    }
}

/// The file through which processes enter a group.
pub(super) fn open_procs(group: &Path) -> io::Result<File> {
    let path = group.join("cgroup.procs");
    OpenOptions::new().write(true).open(&path).map_err(|error| at(&path, &error))
}

/// Removes groups, and the empty ones directly below; a group refuses to go while the kernel still
/// counts a process in it, which can be some milliseconds after its end. Returns those left.
fn remove_patiently(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        paths.retain(|path| !remove(path));
        if paths.is_empty() || Instant::now() + pause > deadline {
            return paths;
        }
        thread::sleep(pause);
        pause *= 2;
    }
}

/// Whether the group is gone.
fn remove(path: &Path) -> bool {
    let gone = |result: io::Result<()>| match result {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if gone(fs::remove_dir(path)) {
        return true;
    }
    for below in subdirectories(path) {
        let _ = fs::remove_dir(below);
    }
    gone(fs::remove_dir(path))
}

fn subdirectories(path: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path())
}

/// Removes the groups of engines that ended without doing so themselves.
fn remove_leftovers(parent: &Path) {
    for path in subdirectories(parent) {
        let Some((pid, number)) = path.file_name().and_then(|name| engine_of(name.to_str()?))
        else {
            continue;
        };
        // A number that this process has not reached yet is from an earlier one with its pid, as
        // happens to pid 1 of a container.
        let dead = if pid == std::process::id() {
            number >= ENGINES.load(Ordering::Relaxed)
        } else {
            !Path::new(&format!("/proc/{pid}")).exists()
        };
        // The lock also knows of owners in other pid namespaces.
        if dead && File::open(&path).is_ok_and(|group| group.try_lock().is_ok()) {
            remove(&path);
        }
    }
}

/// Process and number in a name that [`EngineGroups::new`] made.
fn engine_of(name: &str) -> Option<(u32, u32)> {
    let (pid, number) = name.strip_prefix("automa-")?.split_once('-')?;
    Some((pid.parse().ok()?, number.parse().ok()?))
}

/// Adds the path to an error, keeps its kind.
pub(super) fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Writes a control file in one `write`, as the kernel wants it.
pub(super) fn write(path: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)
        .and_then(|file| file.write_all_at(value.as_bytes(), 0))
        .map_err(|error| {
            io::Error::new(error.kind(), format!("{} <- {value}: {error}", path.display()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_engine_groups() {
        assert_eq!(engine_of("automa-12-3"), Some((12, 3)));
        for other in
            ["automa-12", "automa-x-1", "automa-1-2-3", "xautoma-1-2", "automa--1", "supervisor"]
        {
            assert_eq!(engine_of(other), None, "{other}");
        }
    }
}
