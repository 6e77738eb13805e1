//! How much disk space directories take, counted from time to time: what stands in where a file
//! system limits nothing.

use std::{
    collections::HashSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use nix::sys::stat::SFlag;
use tokio::{task, time::sleep};

use crate::{
    beneath::{self, Dir},
    limits::Bytes,
};

/// Least time between two counts.
const PAUSE: Duration = Duration::from_millis(100);

/// What a count took is waited this many times before the next: it uses a tenth of a processor.
const REST: u32 = 9;

/// Most names that are counted below one directory: more are over any limit.
const MAX_ENTRIES: u64 = 1_000_000;

/// Most directories within one another; a tree made for use has a tenth of that.
const MAX_DEPTH: usize = 128;

/// Most bytes of names of directories that are still to be looked into.
const MAX_PENDING: usize = 16 << 20;

/// Counts the writable directories of a run.
#[derive(Default)]
pub(crate) struct DiskWatch {
    directories: Arc<Vec<Dir>>,
    limit: Bytes,
}

impl DiskWatch {
    pub(crate) fn new(directories: Vec<Dir>, limit: Bytes) -> Self {
        Self { directories: Arc::new(directories), limit }
    }

    /// Waits until the directories together take more than the limit, or cannot be counted.
    pub(crate) async fn exceeded(self) {
        if self.directories.is_empty() {
            return std::future::pending().await;
        }
        loop {
            let begun = Instant::now();
            let directories = self.directories.clone();
            // Does not wait for its runtime to end: there is an end to each count.
            let counted = task::spawn_blocking(move || {
                directories.iter().map(disk_use).try_fold(0u64, |sum, it| sum.checked_add(it?))
            });
            // A runtime that is being shut down counts no more.
            let Ok(used) = counted.await else { return std::future::pending().await };
            if used.is_none_or(|used| used > self.limit.0) {
                return;
            }
            sleep(PAUSE.max(begun.elapsed() * REST)).await;
        }
    }
}

/// Disk space of everything below `root`, in bytes; `None` when there is more of it than can be
/// counted. What vanishes meanwhile counts nothing.
fn disk_use(root: &Dir) -> Option<u64> {
    let mut count = Count::default();
    count.directory(root, &Below::default())?;
    while let Some(below) = count.pending.pop() {
        count.pending_bytes -= below.path.len();
        // By its path from the open directory: only downwards, and through no link.
        if let Ok(dir) = root.directory(Path::new(OsStr::from_bytes(&below.path))) {
            count.directory(&dir, &below)?;
        }
    }
    // Blocks are of 512 bytes whatever the file system's are (inode(7)).
    Some(count.blocks.saturating_mul(512))
}

/// A directory that was seen and not looked into yet.
#[derive(Default)]
struct Below {
    path: Vec<u8>,
    depth: usize,
}

#[derive(Default)]
struct Count {
    blocks: u64,
    entries: u64,
    /// Files with several names, which take their space once.
    seen: HashSet<u64>,
    pending: Vec<Below>,
    pending_bytes: usize,
}

impl Count {
    /// Adds what lies directly in a directory; `None` when that is too much.
    fn directory(&mut self, dir: &Dir, at: &Below) -> Option<()> {
        let Ok(names) = dir.names() else { return Some(()) };
        for name in names.map_while(Result::ok) {
            self.entries += 1;
            let Ok(stat) = dir.stat(beneath::os(&name)) else { continue };
            if stat.st_nlink < 2 || self.seen.insert(stat.st_ino) {
                self.blocks = self.blocks.saturating_add(stat.st_blocks.unsigned_abs());
            }
            if beneath::kind(&stat) == SFlag::S_IFDIR {
                let path = [&at.path, name.as_bytes(), b"/"].concat();
                self.pending_bytes += path.len();
                self.pending.push(Below { path, depth: at.depth + 1 });
            }
            let countable = self.entries <= MAX_ENTRIES
                && self.pending_bytes <= MAX_PENDING
                && at.depth < MAX_DEPTH;
            countable.then_some(())?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use nix::sys::stat::{Mode, mkdirat};
    use tempfile::TempDir;

    use super::*;

    fn used(dir: &TempDir) -> Option<u64> {
        disk_use(&Dir::open(dir.path()).unwrap())
    }

    #[test]
    fn space_is_counted_once_and_only_inside() {
        let dir = TempDir::new_in("/dev/shm").unwrap();
        assert_eq!(used(&dir), Some(0));
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/file"), vec![1; 1 << 20]).unwrap();
        fs::hard_link(dir.path().join("a/b/file"), dir.path().join("again")).unwrap();
        fs::File::create(dir.path().join("hole")).unwrap().set_len(1 << 40).unwrap();
        symlink("/usr", dir.path().join("link")).unwrap();
        assert_eq!(used(&dir), Some(1 << 20));
    }

    #[test]
    fn what_is_too_deep_is_too_much() {
        let dir = TempDir::new().unwrap();
        let mut deepest = Dir::open(dir.path()).unwrap();
        for depth in 0..=MAX_DEPTH {
            assert!(used(&dir).is_some(), "{depth}");
            mkdirat(&deepest, "d", Mode::S_IRWXU).unwrap();
            deepest = deepest.directory(Path::new("d")).unwrap();
        }
        assert_eq!(used(&dir), None);
    }
}
