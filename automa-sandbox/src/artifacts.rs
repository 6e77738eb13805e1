//! The files that a program has left for its caller.

mod copy;
mod name;
mod walk;

use std::{
    convert::Infallible,
    fmt,
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tokio::{sync::oneshot, task::spawn_blocking};

use crate::{beneath::Dir, limits::Bytes};

/// How much is collected of what a program leaves. What is over a limit is left out and listed as
/// [`Skipped`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectLimits {
    /// Files: 1,000. A file with several names is several files.
    pub files: usize,
    /// Bytes of all files together, holes included, as a reader would read them: 64 MiB.
    pub bytes: Bytes,
    /// Directories above a file: 16. At most 64.
    pub depth: usize,
    /// Names of any kind that are looked at: 100,000. Then the search ends, and
    /// [`Artifacts::complete`] says so.
    pub entries: usize,
    /// Entries in the list of what was left out: 100. All are counted.
    pub listed: usize,
}

impl Default for CollectLimits {
    fn default() -> Self {
        Self { files: 1000, bytes: Bytes::mib(64), depth: 16, entries: 100_000, listed: 100 }
    }
}

/// A file that was found. Its content has not been read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Where it lies, relative to the collected directory: names without control characters,
    /// never `..`.
    pub path: PathBuf,
    /// Bytes it had when it was found.
    pub size: u64,
    /// Its permissions, without set-user-id and the like.
    pub mode: u32,
}

/// Something that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it lies, made printable.
    pub path: String,
    /// Why.
    pub reason: SkipReason,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

/// Why something was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// A symbolic link, wherever it points.
    Link,
    /// A device.
    Device,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A name that is not UTF-8 or has control characters in it, or a path over 4095 bytes.
    Name,
    /// It lies in more directories than the limit allows.
    TooDeep,
    /// There are more files than the limit allows.
    TooMany,
    /// With it there would be more bytes than the limit allows.
    TooLarge,
    /// The system refused it, with this error number.
    Unreadable(i32),
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Link => "a symbolic link",
            Self::Device => "a device",
            Self::Pipe => "a pipe",
            Self::Socket => "a socket",
            Self::Name => "its name is not plain text, or too long",
            Self::TooDeep => "in too many directories",
            Self::TooMany => "over the limit on files",
            Self::TooLarge => "over the limit on bytes",
            Self::Unreadable(errno) => {
                return write!(f, "{}", io::Error::from_raw_os_error(*errno));
            }
        })
    }
}

/// The files that a program has left: regular ones only, found without following anything that the
/// program could have put in the way.
///
/// After a [collected](crate::Command::collect) run they lie where the program wrote them, in
/// memory: its temporary file system is kept until this is dropped, and freed then. Copy what is to
/// stay.
#[derive(Debug)]
pub struct Artifacts {
    /// In the order of their paths.
    pub files: Vec<Artifact>,
    /// What was left out, up to [`CollectLimits::listed`].
    pub skipped: Vec<Skipped>,
    /// How many were left out.
    pub skipped_count: u64,
    /// Whether everything was looked at; not when there were more names than
    /// [`CollectLimits::entries`] or the directory itself could not be read.
    pub complete: bool,
    /// None where nothing was left.
    root: Option<Dir>,
    /// Goes after the directory.
    _kept: Option<Kept>,
}

/// Exists as long as a file system whose sandbox is gone.
#[derive(Debug)]
pub(crate) struct Kept(
    #[expect(dead_code, reason = "tells by being dropped")] oneshot::Sender<Infallible>,
);

impl Kept {
    /// And what ends when it is gone.
    pub(crate) fn new() -> (Self, oneshot::Receiver<Infallible>) {
        let (alive, gone) = oneshot::channel();
        (Self(alive), gone)
    }
}

/// The directory that a sandbox has left.
#[derive(Debug)]
pub(crate) enum Left {
    /// There is nothing in it, so that nothing of the sandbox is kept.
    Nothing,
    /// There may be.
    Something { root: Dir, limits: CollectLimits, kept: Kept },
}

impl Left {
    pub(crate) fn new(directory: OwnedFd, limits: CollectLimits, kept: Kept) -> Self {
        let root = Dir::new(directory);
        match root.names().map(|mut names| names.next().is_none()) {
            Ok(true) => Self::Nothing,
            Ok(false) | Err(_) => Self::Something { root, limits, kept },
        }
    }
}

impl Artifacts {
    /// Looks through a directory of the host, which programs may be changing meanwhile: as a
    /// writable [`DirectoryMount`](crate::DirectoryMount). Blocks while it reads.
    ///
    /// # Errors
    ///
    /// When the directory cannot be opened.
    pub fn of(directory: impl AsRef<Path>, limits: &CollectLimits) -> io::Result<Self> {
        Ok(Self::search(Dir::open(directory.as_ref())?, limits, None))
    }

    /// Looks through what a sandbox has left, somewhere where that may block.
    pub(crate) async fn collect(left: Left) -> Option<Self> {
        let Left::Something { root, limits, kept } = left else { return Some(Self::nothing()) };
        // A runtime that is being shut down searches no more.
        spawn_blocking(move || Self::search(root, &limits, Some(kept))).await.ok()
    }

    fn search(root: Dir, limits: &CollectLimits, kept: Option<Kept>) -> Self {
        let walk::Found { files, skipped, skipped_count, complete } = walk::search(&root, limits);
        Self { files, skipped, skipped_count, complete, root: Some(root), _kept: kept }
    }

    fn nothing() -> Self {
        Self {
            files: Vec::new(),
            skipped: Vec::new(),
            skipped_count: 0,
            complete: true,
            root: None,
            _kept: None,
        }
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// When it is not there any more, or something else stands in its place.
    pub fn open(&self, artifact: &Artifact) -> io::Result<File> {
        self.open_path(&artifact.path)
    }

    /// Opens the file at a path below the directory, whether or not it is one of
    /// [`files`](Self::files).
    ///
    /// # Errors
    ///
    /// `NotFound`; others when it is no regular file or lies behind a link.
    pub fn open_path(&self, path: impl AsRef<Path>) -> io::Result<File> {
        self.root.as_ref().ok_or(io::ErrorKind::NotFound)?.file(path.as_ref())
    }

    /// Copies all files into `directory`, which is made or must be empty. Nothing in it is followed
    /// or replaced, holes stay holes, and of each file at most [`Artifact::size`] bytes are taken.
    /// Returns what could not be read. Blocks.
    ///
    /// # Errors
    ///
    /// When something cannot be written: `AlreadyExists` when the directory is not empty.
    pub fn copy_to(&self, directory: impl AsRef<Path>) -> io::Result<Vec<Skipped>> {
        copy::copy(self.root.as_ref(), &self.files, directory.as_ref())
    }
}

#[cfg(test)]
mod tests;
