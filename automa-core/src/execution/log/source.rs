//! What writer, readers and viewers of one log share.

use std::{
    path::PathBuf,
    sync::{PoisonError, RwLock},
};

use super::{
    LogError, Summary,
    body::Body,
    format::HEADER,
    index::{self, Checkpoint},
    scan::{Broken, Cursor},
    wide,
};

/// How far a log has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    /// Where the last frame ends in the file.
    pub(super) end: u64,
    /// Complete lines in it.
    pub(super) lines: u64,
    /// Bytes of output in it.
    pub(super) raw: u64,
    /// What the log holds, once it is finished.
    pub(super) summary: Option<Summary>,
}

impl Progress {
    /// Nothing yet.
    pub(super) fn start() -> Self {
        Self { end: wide(HEADER), lines: 0, raw: 0, summary: None }
    }
}

/// A log's file and index.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) body: Body,
    /// Grows at its end only, and before the progress that lets readers get there.
    checkpoints: RwLock<Vec<Checkpoint>>,
}

impl Source {
    pub(super) fn new(path: PathBuf, body: Body, checkpoints: Vec<Checkpoint>) -> Self {
        Self { path, body, checkpoints: RwLock::new(checkpoints) }
    }

    /// Moves `fresh` checkpoints to the index.
    pub(super) fn extend(&self, fresh: &mut Vec<Checkpoint>) {
        if !fresh.is_empty() {
            self.checkpoints.write().unwrap_or_else(PoisonError::into_inner).append(fresh);
        }
    }

    /// A copy of the whole index.
    pub(super) fn checkpoints(&self) -> Vec<Checkpoint> {
        self.read(<[Checkpoint]>::to_vec)
    }

    /// The nearest place from which line `line` can be reached.
    pub(super) fn cursor_for_line(&self, line: u64) -> Cursor {
        let cursor = |at: &[Checkpoint]| index::for_line(at, line).map(Checkpoint::cursor);
        self.read(cursor).unwrap_or_else(Cursor::start)
    }

    /// A place from which line `line` can be reached, at least `raw` bytes before it, if there are
    /// as many.
    pub(super) fn cursor_well_before(&self, line: u64, raw: u64) -> Cursor {
        let cursor = |at: &[Checkpoint]| index::well_before(at, line, raw).map(Checkpoint::cursor);
        self.read(cursor).unwrap_or_else(Cursor::start)
    }

    /// The nearest frame before raw byte `raw`: its offset, and the raw bytes before it.
    pub(super) fn frame_for_raw(&self, raw: u64) -> (u64, u64) {
        let place = |at: &[Checkpoint]| index::for_raw(at, raw).map(|at| (at.frame, at.raw));
        self.read(place).unwrap_or((wide(HEADER), 0))
    }

    fn read<T>(&self, look: impl FnOnce(&[Checkpoint]) -> T) -> T {
        look(&self.checkpoints.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is wrong with this log's file.
    pub(super) fn error(&self, broken: Broken) -> LogError {
        match broken {
            Broken::Io(error) => LogError::io("read", &self.path, error),
            Broken::Frame(offset) => LogError::Damaged { path: self.path.clone(), offset },
        }
    }
}
