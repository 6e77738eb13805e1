//! Artifacts: the files that a script leaves in the directory `$AUTOMA_OUT`.
//!
//! They are kept in one file for each attempt of an execution, one after the other: names that a
//! script chose are in the store only, and never become paths of the host. The file is on disk
//! before the execution is recorded as ended.

mod keep;

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use automa_sandbox::CollectLimits;
use serde::{Deserialize, Serialize};

use super::{Executions, not_found};
use crate::{
    Error, Result,
    actor::Permission,
    id::ExecutionId,
    store::{self, change::Snapshot},
};

/// Most bytes of one piece that [`Content::read`] gives (256 KiB).
const PIECE: u64 = 256 << 10;

/// How much of what a script leaves is kept: 1,000 files with 100 MiB together.
pub(super) fn limits() -> CollectLimits {
    let bytes = automa_sandbox::Bytes::mib(100);
    CollectLimits { files: 1000, bytes, ..CollectLimits::default() }
}

/// A file that a script has left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Where it lay in `$AUTOMA_OUT`: parts separated by `/`, without control characters, and none
    /// of them `..`. The script chose it: it is no path to write to.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// SHA-256 of its content.
    pub sha256: [u8; 32],
    /// Where it begins in the file that holds all of the execution.
    pub start: u64,
}

/// All that a script has left as files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Artifacts {
    /// The files in the order of their names. The first has the number 1.
    pub files: Vec<Artifact>,
    /// What was left out, of which at most 100 are named.
    pub left_out: Vec<LeftOut>,
    /// How many were left out.
    pub left_out_count: u64,
    /// Whether everything was looked at.
    pub complete: bool,
}

/// Something that a script left and that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its name, made printable.
    pub name: String,
    /// Why: "a symbolic link", "over the limit on bytes".
    pub reason: String,
}

/// What is known of an execution's artifacts besides each of them. There is none of an execution
/// that left nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The attempt that left them, which names their file.
    pub(crate) attempt: u32,
    pub(crate) files: u32,
    pub(crate) bytes: u64,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) left_out_count: u64,
    pub(crate) complete: bool,
}

/// The directory of all of them.
#[derive(Debug, Clone)]
pub(crate) struct ArtifactFiles(PathBuf);

impl ArtifactFiles {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Where all of them are.
    pub(crate) fn directory(&self) -> &Path {
        &self.0
    }

    fn path(&self, id: ExecutionId, attempt: u32) -> PathBuf {
        self.0.join(format!("{id}.{attempt}"))
    }

    /// Removes the file of an attempt, if there is one.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(crate) fn remove(&self, id: ExecutionId, attempt: u32) -> io::Result<()> {
        match fs::remove_file(self.path(id, attempt)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn open(&self, id: ExecutionId, attempt: u32, artifact: &Artifact) -> io::Result<Content> {
        let file = Arc::new(File::open(self.path(id, attempt))?);
        Ok(Content { file, start: artifact.start, size: artifact.size })
    }
}

/// The content of an artifact, which may be read even when it is deleted meanwhile.
#[derive(Debug, Clone)]
pub struct Content {
    file: Arc<File>,
    start: u64,
    size: u64,
}

impl Content {
    /// Reads the beginning of a range: at most 256 KiB, and nothing only where nothing is. Blocks.
    ///
    /// # Errors
    ///
    /// The system's; `UnexpectedEof` for a file that is shorter than it was.
    pub fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let end = range.end.min(self.size);
        let length = end.saturating_sub(range.start).min(PIECE);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        if !bytes.is_empty() {
            self.file.read_exact_at(&mut bytes, self.start + range.start)?;
        }
        Ok(bytes)
    }
}

impl Executions<'_> {
    /// The files that an execution has left; none as long as it has not ended.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn artifacts(&self, id: ExecutionId) -> Result<Artifacts> {
        self.actor.require(Permission::ReadExecutions)?;
        let read = move |view: &Snapshot| {
            store::executions::get(view, id)?.ok_or_else(|| not_found(id))?;
            let Some(kept) = store::artifacts::kept(view, id)? else {
                return Ok(Artifacts { complete: true, ..Artifacts::default() });
            };
            let files = store::artifacts::list(view, id)?;
            let Kept { left_out, left_out_count, complete, .. } = kept;
            Ok::<_, Error>(Artifacts { files, left_out, left_out_count, complete })
        };
        self.automa.store.read(read).await
    }

    /// One of the files that an execution has left, with its content; numbers begin with 1. Blocks
    /// while the file is opened.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`]; [`Error::NotFound`]; [`Error::NotRunning`]; [`Error::Artifact`] when
    /// its file cannot be read; and the store's.
    pub fn artifact(&self, id: ExecutionId, number: u32) -> Result<(Artifact, Content)> {
        self.actor.require(Permission::ReadExecutions)?;
        let missing = || Error::NotFound { kind: "artifact", id: number.to_string() };
        let (attempt, artifact) = self.automa.store.look(|view| {
            store::executions::get(view, id)?.ok_or_else(|| not_found(id))?;
            let kept = store::artifacts::kept(view, id)?.ok_or_else(missing)?;
            let artifact = store::artifacts::get(view, id, number)?.ok_or_else(missing)?;
            Ok::<_, Error>((kept.attempt, artifact))
        })?;
        let files = self.automa.runner()?.artifacts();
        let content = files.open(id, attempt, &artifact).map_err(Error::Artifact)?;
        Ok((artifact, content))
    }
}

#[cfg(test)]
mod tests;
