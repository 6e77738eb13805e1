//! Following a log while it grows.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    LogError, LogReader, Window,
    reader::WINDOW_LINES,
    scan::Cursor,
    source::{Progress, Source},
};

/// A way to the log that a [`LogWriter`](super::LogWriter) is writing. Cheap to clone.
///
/// It shares the writer's index, so that a growing log is read as fast as a finished one. It keeps
/// the file open.
#[derive(Debug, Clone)]
pub struct LogHandle {
    reader: LogReader,
}

impl LogHandle {
    pub(super) fn new(source: Arc<Source>, progress: watch::Receiver<Progress>) -> Self {
        Self { reader: LogReader::new(source, progress) }
    }

    /// A reader that sees the log grow.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        self.reader.clone()
    }

    /// Follows the log. Each follower reads the file for itself: a slow one slows neither the
    /// writer nor others, and loses nothing.
    #[must_use]
    pub fn subscribe(&self) -> LogTail {
        let progress = self.reader.watch();
        LogTail { reader: self.reader.clone(), progress, cursor: None }
    }
}

/// Waits for new lines of a log.
#[derive(Debug)]
pub struct LogTail {
    reader: LogReader,
    progress: watch::Receiver<Progress>,
    /// Behind the last window: the next is most likely asked for from there.
    cursor: Option<Cursor>,
}

impl LogTail {
    /// The next lines from line `from` on, as soon as there is one; `None` when there will be none,
    /// because the log is finished or its writer gone.
    ///
    /// Ask for [`Window::next`] to go on, or for any line to resume from there. May be cancelled:
    /// what to read is told by `from` alone. Needs a tokio runtime, on whose blocking threads the
    /// file is read.
    ///
    /// # Errors
    ///
    /// As [`LogReader::lines`].
    pub async fn next(&mut self, from: u64) -> Result<Option<Window>, LogError> {
        let from = from.max(1);
        let enough = |progress: &Progress| progress.lines >= from || progress.summary.is_some();
        // An error means that the writer is gone: what there is now is all there will be.
        let _ = self.progress.wait_for(enough).await;
        if self.progress.borrow().lines < from {
            return Ok(None);
        }
        let kept = self.cursor.take().filter(|cursor| cursor.line == from);
        let reader = self.reader.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut cursor = kept.unwrap_or_else(|| reader.cursor(from));
            let window = reader.read(&mut cursor, from, WINDOW_LINES)?;
            Ok((window, cursor))
        });
        let (window, cursor) = read
            .await
            .map_err(|error| LogError::io("read", self.reader.path(), error.into()))??;
        self.cursor = Some(cursor);
        Ok(Some(window))
    }
}
