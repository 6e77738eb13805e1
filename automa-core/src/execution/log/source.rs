//! What writer, readers and viewers of one log share.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
};

use super::{
    Cut, LogError, Summary,
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
    contents: RwLock<Contents>,
}

/// They change before the progress that lets readers get there: whoever reads asks how far that is
/// first.
#[derive(Debug, Clone)]
struct Contents {
    body: Arc<Body>,
    /// With the one behind the gap.
    checkpoints: Vec<Checkpoint>,
}

impl Source {
    /// `checkpoints`: without the one behind the gap.
    pub(super) fn new(path: PathBuf, body: Body, mut checkpoints: Vec<Checkpoint>) -> Self {
        index::enter(&mut checkpoints, body.gap());
        Self { path, contents: RwLock::new(Contents { body: Arc::new(body), checkpoints }) }
    }

    /// The same as it is now: what is cut from here on stays in it.
    pub(super) fn frozen(&self) -> Self {
        let contents = self.look(Contents::clone);
        Self { path: self.path.clone(), contents: RwLock::new(contents) }
    }

    /// Moves `fresh` checkpoints to the index.
    pub(super) fn extend(&self, fresh: &mut Vec<Checkpoint>) {
        if !fresh.is_empty() {
            self.contents().checkpoints.append(fresh);
        }
    }

    /// Goes on with a body out of which more was cut.
    pub(super) fn replace(&self, body: Body) {
        let mut contents = self.contents();
        if let Some(gap) = body.gap() {
            index::cut(&mut contents.checkpoints, gap);
        }
        contents.body = Arc::new(body);
    }

    /// The log's bytes. Ask for them after what is to be read.
    pub(super) fn body(&self) -> Arc<Body> {
        self.look(|it| Arc::clone(&it.body))
    }

    /// What was cut out of the log.
    pub(super) fn cut(&self) -> Option<Cut> {
        self.look(|it| it.body.cut())
    }

    /// A copy of the index, without the checkpoint behind the gap.
    pub(super) fn checkpoints(&self) -> Vec<Checkpoint> {
        self.look(|it| {
            let behind = it.body.gap().map(|gap| gap.start.line);
            let stored = it.checkpoints.iter().filter(|one| Some(one.line) != behind);
            stored.cloned().collect()
        })
    }

    /// The nearest place from which line `line` can be reached.
    pub(super) fn cursor_for_line(&self, line: u64) -> Cursor {
        let cursor = |it: &Contents| index::for_line(&it.checkpoints, line).map(Checkpoint::cursor);
        self.look(cursor).unwrap_or_else(Cursor::start)
    }

    /// A place from which line `line` can be reached, at least `raw` bytes before it, if there are
    /// as many.
    pub(super) fn cursor_well_before(&self, line: u64, raw: u64) -> Cursor {
        let cursor =
            |it: &Contents| index::well_before(&it.checkpoints, line, raw).map(Checkpoint::cursor);
        self.look(cursor).unwrap_or_else(Cursor::start)
    }

    /// The nearest place that is not behind raw byte `raw`.
    pub(super) fn cursor_for_raw(&self, raw: u64) -> Cursor {
        let cursor = |it: &Contents| index::up_to(&it.checkpoints, raw).map(Checkpoint::cursor);
        self.look(cursor).unwrap_or_else(Cursor::start)
    }

    /// The nearest frame before raw byte `raw`: its offset, and the raw bytes before it.
    pub(super) fn frame_for_raw(&self, raw: u64) -> (u64, u64) {
        let place =
            |it: &Contents| index::for_raw(&it.checkpoints, raw).map(|at| (at.frame, at.raw));
        self.look(place).unwrap_or((wide(HEADER), 0))
    }

    fn contents(&self) -> RwLockWriteGuard<'_, Contents> {
        self.contents.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn look<T>(&self, look: impl FnOnce(&Contents) -> T) -> T {
        look(&self.contents.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is wrong with this log's file.
    pub(super) fn error(&self, broken: Broken) -> LogError {
        match broken {
            Broken::Io(error) => LogError::io("read", &self.path, error),
            Broken::Frame(offset) => LogError::Damaged { path: self.path.clone(), offset },
        }
    }
}
