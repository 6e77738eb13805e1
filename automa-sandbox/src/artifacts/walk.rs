//! The search: bounded in depth, names, files and bytes, whatever it is let loose on.

use std::{
    ffi::CString,
    io,
    path::{Path, PathBuf},
};

use nix::sys::stat::{FileStat, SFlag};

use super::{Artifact, CollectLimits, SkipReason, Skipped, name};
use crate::beneath::{self, Dir};

/// One descriptor is open for each level, so there is an end to them.
const MAX_DEPTH: usize = 64;

/// What a search has found.
pub(super) struct Found {
    pub(super) files: Vec<Artifact>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) skipped_count: u64,
    pub(super) complete: bool,
}

/// Searches everything below `root`.
pub(super) fn search(root: &Dir, limits: &CollectLimits) -> Found {
    let mut search = Search {
        limits,
        entries: limits.entries,
        bytes: limits.bytes.0,
        found: Found { files: Vec::new(), skipped: Vec::new(), skipped_count: 0, complete: true },
    };
    if search.directory(root, Path::new(""), limits.depth.min(MAX_DEPTH)).is_err() {
        search.found.complete = false;
    }
    search.found
}

struct Search<'a> {
    limits: &'a CollectLimits,
    /// Names that may still be looked at.
    entries: usize,
    /// Bytes that may still be taken.
    bytes: u64,
    found: Found,
}

impl Search<'_> {
    /// Looks at everything in a directory, and in those below it down to `depth`.
    fn directory(&mut self, dir: &Dir, path: &Path, depth: usize) -> io::Result<()> {
        let mut names: Vec<CString> = Vec::new();
        for name in dir.names()? {
            if self.entries == 0 {
                self.found.complete = false;
                break;
            }
            self.entries -= 1;
            names.push(name?);
        }
        names.sort_unstable();
        for name in names {
            let name = beneath::os(&name);
            let path = path.join(name);
            let taken = if name::is_plain(name) && name::fits(&path) {
                dir.stat(name).map_err(|error| unreadable(&error)).and_then(|stat| {
                    match beneath::kind(&stat) {
                        SFlag::S_IFDIR if depth == 0 => Err(SkipReason::TooDeep),
                        SFlag::S_IFDIR => {
                            let below = dir
                                .directory(Path::new(name))
                                .map_err(|error| unreadable(&error))?;
                            self.directory(&below, &path, depth - 1)
                                .map_err(|error| unreadable(&error))
                        }
                        kind => self.file(kind, &stat, &path),
                    }
                })
            } else {
                Err(SkipReason::Name)
            };
            if let Err(reason) = taken {
                self.skip(&path, reason);
            }
        }
        Ok(())
    }

    fn file(&mut self, kind: SFlag, stat: &FileStat, path: &Path) -> Result<(), SkipReason> {
        match kind {
            SFlag::S_IFREG => {}
            SFlag::S_IFLNK => return Err(SkipReason::Link),
            SFlag::S_IFIFO => return Err(SkipReason::Pipe),
            SFlag::S_IFSOCK => return Err(SkipReason::Socket),
            _ => return Err(SkipReason::Device),
        }
        if self.found.files.len() >= self.limits.files {
            return Err(SkipReason::TooMany);
        }
        let size = stat.st_size.unsigned_abs();
        self.bytes = self.bytes.checked_sub(size).ok_or(SkipReason::TooLarge)?;
        let path = PathBuf::from(path);
        self.found.files.push(Artifact { path, size, mode: stat.st_mode & 0o777 });
        Ok(())
    }

    fn skip(&mut self, path: &Path, reason: SkipReason) {
        self.found.skipped_count += 1;
        if self.found.skipped.len() < self.limits.listed {
            self.found.skipped.push(Skipped { path: name::printable(path), reason });
        }
    }
}

/// The reason for an error.
pub(super) fn unreadable(error: &io::Error) -> SkipReason {
    SkipReason::Unreadable(error.raw_os_error().unwrap_or(libc::EIO))
}
