//! Reading: windows of lines, and raw bytes.

use std::{
    collections::VecDeque,
    fs::File,
    mem,
    ops::{ControlFlow, Range},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::watch;

use super::{
    Cut, Line, LogError, Summary, Window,
    body::Body,
    line::LINE_HARD_MAX,
    recover::{Found, examine, summary},
    scan::{Cursor, Entry, Frames},
    source::{Progress, Source},
    wide,
};

/// Most lines in a window.
pub const WINDOW_LINES: usize = 1000;
/// Most bytes of text in a window (1 MiB).
pub const WINDOW_BYTES: usize = 1024 * 1024;
/// Most raw bytes given at once (1 MiB).
pub const RAW_MAX: usize = 1024 * 1024;

/// Longest text of a line: a byte that is no UTF-8 becomes three.
pub(super) const TEXT_MAX: usize = 3 * LINE_HARD_MAX;

/// Reads one log, finished or still growing. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogReader {
    source: Arc<Source>,
    progress: watch::Receiver<Progress>,
    damage: Option<u64>,
}

impl LogReader {
    pub(super) fn new(source: Arc<Source>, progress: watch::Receiver<Progress>) -> Self {
        Self { source, progress, damage: None }
    }

    /// Opens the log at `path`.
    ///
    /// The index at the end of a finished log is all that is read. A log that a crash has cut short
    /// is read once as a whole, and gives its complete lines up to the first damage;
    /// [`recover`](super::recover()) finishes it. A log that is being written is read through its
    /// [`LogHandle`](super::LogHandle): opened by its path it does not grow.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::NotALog`], [`LogError::Version`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, LogError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| LogError::io("open", path, error))?;
        let file = Arc::new(file);
        let (progress, checkpoints, body, damage) = match examine(&file, path)? {
            Found::Finished { end, footer, blocks, file_bytes } => {
                let summary = summary(&footer, file_bytes);
                let (lines, raw) = (summary.lines, summary.bytes());
                let progress = Progress { end, lines, raw, summary: Some(summary) };
                let body = match blocks {
                    Some(blocks) => Body::packed(file, &blocks, footer.gap),
                    None => Body::plain(file, footer.gap),
                };
                (progress, footer.checkpoints, body, None)
            }
            Found::Cut { end, mut indexer, gap, cut, .. } => {
                let (lines, raw) = (indexer.lines(), indexer.raw());
                let checkpoints = mem::take(&mut indexer.fresh);
                let progress = Progress { end, lines, raw, summary: None };
                let body = Body::plain(file, gap);
                let place = end - body.shift(end);
                (progress, checkpoints, body, (cut > 0).then_some(place))
            }
        };
        let source = Arc::new(Source::new(path.to_path_buf(), body, checkpoints));
        Ok(Self { damage, ..Self::new(source, watch::channel(progress).1) })
    }

    /// The log of an execution that has not made one, or never will if it is `complete`.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`].
    pub(crate) fn empty(path: PathBuf, complete: bool) -> Result<Self, LogError> {
        // Something to hold; nothing is read from it.
        let file = File::open("/dev/null").map_err(|error| LogError::io("open", &path, error))?;
        let source = Arc::new(Source::new(path, Body::plain(Arc::new(file), None), Vec::new()));
        let summary = complete.then_some(Summary {
            lines: 0,
            stdout_bytes: 0,
            stderr_bytes: 0,
            file_bytes: 0,
            truncated: false,
            cut: None,
        });
        let progress = Progress { summary, ..Progress::start() };
        Ok(Self::new(source, watch::channel(progress).1))
    }

    /// Up to `limit` lines from line `from` on: at least one if there is one, at most
    /// [`WINDOW_LINES`] and [`WINDOW_BYTES`]. A `from` or `limit` of 0 is taken as 1. Lines that were
    /// [cut](Window::cut) are passed over.
    ///
    /// What is read is about the window and 256 lines before it, however long the log.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`]; [`LogError::Damaged`] if what is to be read is damaged.
    pub fn lines(&self, from: u64, limit: usize) -> Result<Window, LogError> {
        let from = from.max(1);
        self.read(&mut self.source.cursor_for_line(from), from, limit)
    }

    /// The last `count` lines, at most [`WINDOW_LINES`] and [`WINDOW_BYTES`].
    ///
    /// # Errors
    ///
    /// As [`lines`](Self::lines).
    pub fn tail(&self, count: usize) -> Result<Window, LogError> {
        let progress = self.progress();
        let count = count.clamp(1, WINDOW_LINES);
        let from = progress.lines.saturating_sub(wide(count)) + 1;
        let mut cursor = self.source.cursor_for_line(from);
        let mut lines = VecDeque::new();
        let mut bytes = 0;
        let end = (progress.end, progress.summary.is_some());
        let body = self.source.body();
        let result = cursor.read(&body, end, |at, line| {
            let n = at.line - 1;
            if n >= from {
                let (stream, t_ms, ending) = (line.stream, line.t_ms, line.ending);
                let text = line.text();
                bytes += text.len();
                lines.push_back(Line { n, stream, t_ms, text, ending });
            }
            while bytes > WINDOW_BYTES
                && let Some(line) = lines.pop_front()
            {
                bytes -= line.text.len();
            }
            ControlFlow::Continue(())
        });
        result.map_err(|broken| self.source.error(broken))?;
        Ok(Window {
            lines: lines.into(),
            next: progress.lines + 1,
            total: progress.lines,
            complete: progress.summary.is_some(),
            cut: body.cut(),
        })
    }

    /// The raw bytes of both streams in `range`, in the order in which they were read, at most
    /// [`RAW_MAX`]: fewer than asked for at the end, none after it.
    ///
    /// A byte's place is that in the whole output: of what was [cut](Self::cut) there is none, and
    /// what is before it and what is behind are not given at once.
    ///
    /// # Errors
    ///
    /// As [`lines`](Self::lines).
    pub fn raw(&self, range: Range<u64>) -> Result<Vec<u8>, LogError> {
        let progress = self.progress();
        let end = range.end.min(progress.raw).min(range.start.saturating_add(wide(RAW_MAX)));
        let (frame, mut at) = self.source.frame_for_raw(range.start);
        let body = self.source.body();
        let end = match body.cut() {
            Some(cut) if range.start < cut.from => end.min(cut.from),
            Some(cut) if range.start < cut.to => return Ok(Vec::new()),
            _ => end,
        };
        let mut bytes = Vec::new();
        let mut frames = Frames::new(&body, frame, progress.end);
        while range.start < end
            && at < end
            && let Some(entry) = frames.next().map_err(|broken| self.source.error(broken))?
        {
            let frame = match entry {
                Entry::Output(frame) => frame,
                Entry::Gap(gap) => {
                    at = gap.start.raw;
                    continue;
                }
            };
            let inside = |raw: u64| {
                usize::try_from(raw.saturating_sub(at))
                    .unwrap_or(usize::MAX)
                    .min(frame.payload.len())
            };
            bytes.extend(&frame.payload[inside(range.start)..inside(end)]);
            at += wide(frame.payload.len());
        }
        Ok(bytes)
    }

    /// What was cut out of the log so far.
    #[must_use]
    pub fn cut(&self) -> Option<Cut> {
        self.source.body().cut()
    }

    /// A reader of the log as it is now: what is written or cut from here on does not change what it
    /// gives.
    #[must_use]
    pub fn frozen(&self) -> Self {
        let progress = self.progress();
        Self {
            progress: watch::channel(progress).1,
            source: Arc::new(self.source.frozen()),
            ..*self
        }
    }

    /// How many raw bytes there are so far, those that were cut included.
    #[must_use]
    pub fn raw_len(&self) -> u64 {
        self.progress().raw
    }

    /// How many lines there are so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.progress().lines
    }

    /// What the log holds; `None` as long as it is not finished.
    #[must_use]
    pub fn summary(&self) -> Option<Summary> {
        self.progress().summary
    }

    /// Where in the file of a log that was not finished the bytes begin that could not be read.
    #[must_use]
    pub fn damage(&self) -> Option<u64> {
        self.damage
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    pub(super) fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// A place from which line `from` can be reached.
    pub(super) fn cursor(&self, from: u64) -> Cursor {
        self.source.cursor_for_line(from)
    }

    /// Reads a window beginning with line `from` at `cursor`, and leaves the cursor behind it.
    pub(super) fn read(
        &self,
        cursor: &mut Cursor,
        from: u64,
        limit: usize,
    ) -> Result<Window, LogError> {
        let progress = self.progress();
        let complete = progress.summary.is_some();
        let limit = limit.clamp(1, WINDOW_LINES);
        let mut lines = Vec::new();
        let mut next = from;
        let body = self.source.body();
        if from <= progress.lines {
            let mut bytes = 0;
            let result = cursor.read(&body, (progress.end, complete), |at, line| {
                let n = at.line - 1;
                if n < from {
                    return ControlFlow::Continue(());
                }
                let (stream, t_ms, ending) = (line.stream, line.t_ms, line.ending);
                let text = line.text();
                bytes += text.len();
                lines.push(Line { n, stream, t_ms, text, ending });
                if lines.len() == limit || bytes + TEXT_MAX > WINDOW_BYTES {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            result.map_err(|broken| self.source.error(broken))?;
            next = cursor.line.max(from);
        }
        Ok(Window { lines, next, total: progress.lines, complete, cut: body.cut() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.source.path
    }
}
