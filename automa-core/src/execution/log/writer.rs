//! Writing: chunks become frames, frames go to the file in blocks.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io, mem,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use automa_sandbox::{Chunk, Stream};
use tokio::sync::watch;

use super::{
    Keep, LogError, LogHandle, Mask, Summary,
    body::Body,
    format::{FRAME_MAX, Footer, HEAD, HEADER_BYTES, Head, Kind},
    index::Indexer,
    keep::Uncut,
    mask::Masker,
    recover::{ending, summary},
    slot,
    source::{Progress, Source},
    wide,
};

/// As much is kept before it is given to the kernel without being asked.
const BLOCK: usize = 256 * 1024;

/// How to write a log.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// What must not be written. None by default.
    pub mask: Mask,
    /// How much is kept. Everything by default.
    pub keep: Keep,
    /// How long what was flushed may wait to be synced ([`LogWriter::sync_due`]). 1 s by default.
    pub sync_after: Duration,
}

impl Default for LogOptions {
    fn default() -> Self {
        let (mask, keep) = (Mask::default(), Keep::default());
        Self { mask, keep, sync_after: Duration::from_secs(1) }
    }
}

/// What can go wrong with a file, apart, so that tests make it go wrong.
pub(super) trait Disk: fmt::Debug + Send + Sync {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
    /// Makes an empty file at `path`, also where there is one.
    fn draft(&self, path: &Path) -> io::Result<(Box<dyn Disk>, Arc<File>)>;
}

impl Disk for Arc<File> {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(&**self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn draft(&self, path: &Path) -> io::Result<(Box<dyn Disk>, Arc<File>)> {
        let mut open = OpenOptions::new();
        open.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = Arc::new(open.open(path)?);
        Ok((Box::new(Arc::clone(&file)), file))
    }
}

/// Writes the log of one execution.
///
/// Call [`append`](Self::append) for each chunk at hand, then [`flush`](Self::flush), so that
/// viewers see it; [`sync`](Self::sync) when it is [due](Self::sync_due); [`close`](Self::close) at
/// the end. A writer that is dropped without that flushes what it can, and leaves a log for
/// [`recover`](super::recover()).
#[derive(Debug)]
pub struct LogWriter {
    segment: Segment,
    maskers: Option<[Masker; 2]>,
    /// When the last chunk was read.
    t_ms: u64,
}

impl LogWriter {
    /// Creates the file at `path`, readable by its owner only.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], also when the file exists; [`LogError::NoSpace`].
    pub fn create(path: impl AsRef<Path>, options: &LogOptions) -> Result<Self, LogError> {
        let path = path.as_ref();
        let create = |error| LogError::io("create", path, error);
        let mut open = OpenOptions::new();
        open.read(true).write(true).create_new(true).mode(0o600);
        let file = Arc::new(open.open(path).map_err(create)?);
        Self::on(Box::new(Arc::clone(&file)), file, path, options).inspect_err(|_| {
            // So that it may be tried again.
            let _ = fs::remove_file(path);
        })
    }

    /// Writes to `disk`, from which `file` reads.
    pub(super) fn on(
        disk: Box<dyn Disk>,
        file: Arc<File>,
        path: &Path,
        options: &LogOptions,
    ) -> Result<Self, LogError> {
        disk.write_all_at(&HEADER_BYTES, 0).map_err(|error| LogError::io("create", path, error))?;
        let source = Arc::new(Source::new(path.to_path_buf(), Body::plain(file, None), Vec::new()));
        let segment = Segment {
            disk,
            source,
            progress: watch::Sender::new(Progress::start()),
            indexer: Indexer::default(),
            buffer: Vec::new(),
            open: None,
            written: Progress::start().end,
            shift: 0,
            keep: options.keep,
            sync_after: options.sync_after,
            // The header is not durable yet, and neither is the file's name.
            unsynced: Some(Instant::now()),
            named: false,
            truncated: false,
            failed: false,
        };
        Ok(Self { segment, maskers: options.mask.maskers(), t_ms: 0 })
    }

    /// Adds a chunk.
    ///
    /// It is seen by viewers after [`flush`](Self::flush), or when a block (256 KiB) is full. On an
    /// error nothing of it was taken, and it may be appended again.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub fn append(&mut self, chunk: &Chunk) -> Result<(), LogError> {
        if self.segment.buffer.len() >= BLOCK || self.segment.failed {
            self.segment.flush()?;
        }
        if chunk.bytes.is_empty() {
            return Ok(());
        }
        let t_ms = u64::try_from(chunk.at.as_millis()).unwrap_or(u64::MAX);
        self.t_ms = t_ms;
        let segment = &mut self.segment;
        match &mut self.maskers {
            None => segment.store(chunk.stream, t_ms, &chunk.bytes),
            Some(maskers) => maskers[slot(chunk.stream)]
                .push(&chunk.bytes, |bytes| segment.store(chunk.stream, t_ms, bytes)),
        }
        Ok(())
    }

    /// Gives everything appended to the kernel and shows it to viewers, but for what may yet become
    /// a secret.
    ///
    /// # Errors
    ///
    /// [`LogError::NoSpace`] or [`LogError::Io`]: nothing is lost, it is tried again with the next
    /// call. [`LogError::Unsynced`] after [`sync`](Self::sync) has failed.
    pub fn flush(&mut self) -> Result<(), LogError> {
        self.segment.flush()
    }

    /// Flushes, and waits until the disk has everything. If that is more than is to be kept, the rest
    /// is cut out first, which takes longer.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush); [`LogError::Damaged`] if what is to be cut cannot be read;
    /// [`LogError::Unsynced`] if the disk fails: the kernel may have thrown away what it could not
    /// write, so that the writer is of no more use.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.segment.flush()?;
        if self.segment.keep.is_far_exceeded_by(self.segment.kept()) {
            self.segment.cut()?;
        }
        self.segment.sync()
    }

    /// When [`sync`](Self::sync) is due, which may be by now; `None` while everything flushed is
    /// synced.
    #[must_use]
    pub fn sync_due(&self) -> Option<Instant> {
        let Segment { unsynced, keep, sync_after, .. } = self.segment;
        let cut = keep.is_far_exceeded_by(self.segment.kept());
        unsynced.map(|since| if cut { since } else { since + sync_after })
    }

    /// Keeps so much from here on, instead of what [`LogOptions::keep`] said.
    pub fn keep(&mut self, keep: Keep) {
        self.segment.keep = keep;
    }

    /// Masks this from here on, instead of what [`LogOptions::mask`] said. Of the output before,
    /// nothing may be held back: this is for before the first chunk.
    pub fn mask(&mut self, mask: &Mask) {
        self.maskers = mask.maskers();
    }

    /// Notes that output is missing: for [`Summary::truncated`].
    pub fn mark_truncated(&mut self) {
        self.segment.truncated = true;
    }

    /// A way to read the log while it is written.
    #[must_use]
    pub fn handle(&self) -> LogHandle {
        LogHandle::new(Arc::clone(&self.segment.source), self.segment.progress.subscribe())
    }

    /// Finishes the log: what was held back and the index are written and synced, viewers told.
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync). The log is then as after a crash: [`recover`](super::recover())
    /// finishes it once there is space.
    pub fn close(mut self) -> Result<Summary, LogError> {
        self.release();
        self.segment.close(self.t_ms)
    }

    /// Stores what was held back: it did not become a secret.
    fn release(&mut self) {
        let (segment, t_ms) = (&mut self.segment, self.t_ms);
        for (stream, masker) in
            [Stream::Stdout, Stream::Stderr].into_iter().zip(self.maskers.iter_mut().flatten())
        {
            masker.finish(|bytes| segment.store(stream, t_ms, bytes));
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        // Nobody is left to be told of an error. Held back bytes stay so: they may be the beginning
        // of a secret whose end was lost.
        let _ = self.segment.flush();
    }
}

/// The file and what is about to be written to it.
#[derive(Debug)]
struct Segment {
    disk: Box<dyn Disk>,
    source: Arc<Source>,
    progress: watch::Sender<Progress>,
    indexer: Indexer,
    /// Frames not yet written. They stay until they are, however often that fails.
    buffer: Vec<u8>,
    /// The last frame of the buffer, if output may still be added to it.
    open: Option<Open>,
    /// How much is written: the offset at which the buffer belongs.
    written: u64,
    /// By how much that is greater than the place in the file, for what was cut.
    shift: u64,
    keep: Keep,
    sync_after: Duration,
    /// Since when there is something that is written and not synced.
    unsynced: Option<Instant>,
    /// Whether the directory's entry for the file is durable.
    named: bool,
    truncated: bool,
    /// Whether syncing has failed.
    failed: bool,
}

/// A frame whose head is not yet filled in.
#[derive(Debug, Clone, Copy)]
struct Open {
    stream: Stream,
    t_ms: u64,
    /// Where it begins in the buffer.
    start: usize,
}

impl Segment {
    /// Adds output to the open frame, or to new ones.
    ///
    /// Pieces of one stream in the same millisecond share a frame: a script that writes byte after
    /// byte would otherwise get 17 bytes of file for each.
    fn store(&mut self, stream: Stream, t_ms: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let payload = |open: &Open, buffer: &[u8]| buffer.len() - open.start - HEAD;
            let same = |open: &Open| {
                (open.stream, open.t_ms) == (stream, t_ms)
                    && payload(open, &self.buffer) < FRAME_MAX
            };
            let open = if let Some(open) = self.open.filter(same) {
                open
            } else {
                self.seal();
                let open = Open { stream, t_ms, start: self.buffer.len() };
                self.buffer.extend([0; HEAD]);
                *self.open.insert(open)
            };
            let skip = payload(&open, &self.buffer);
            let (now, later) = bytes.split_at(bytes.len().min(FRAME_MAX - skip));
            self.buffer.extend(now);
            self.indexer.add(self.written + wide(open.start), skip, (stream, t_ms, now));
            bytes = later;
        }
    }

    /// Fills in the head of the open frame.
    fn seal(&mut self) {
        let Some(open) = self.open.take() else { return };
        let (head, payload) = self.buffer[open.start..].split_at_mut(HEAD);
        if let Some(bytes) = Head::encode(Kind::Output(open.stream), open.t_ms, payload) {
            head.copy_from_slice(&bytes);
        }
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.seal();
        self.write()?;
        self.publish(None);
        Ok(())
    }

    /// Writes the buffer where it belongs. If that fails midway, the next attempt writes over what
    /// the last has left, and readers do not go there.
    fn write(&mut self) -> Result<(), LogError> {
        if self.failed {
            return Err(self.unsynced());
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.disk
            .write_all_at(&self.buffer, self.written - self.shift)
            .map_err(|error| LogError::io("write", &self.source.path, error))?;
        self.written += wide(self.buffer.len());
        self.buffer.clear();
        // One large chunk is no reason to keep as much for the next hours.
        self.buffer.shrink_to(2 * BLOCK);
        self.unsynced.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Lets readers go as far as is written.
    fn publish(&mut self, summary: Option<Summary>) {
        let raw = self.indexer.raw();
        if summary.is_none() && self.progress.borrow().raw == raw {
            return;
        }
        self.source.extend(&mut self.indexer.fresh);
        let end = summary.map_or(self.written, |_| self.progress.borrow().end);
        let lines = self.indexer.lines();
        self.progress.send_replace(Progress { end, lines, raw, summary });
    }

    fn sync(&mut self) -> Result<(), LogError> {
        if self.unsynced.is_none() {
            return Ok(());
        }
        if self.disk.sync_data().and_then(|()| self.sync_name()).is_err() {
            self.failed = true;
            return Err(self.unsynced());
        }
        self.unsynced = None;
        Ok(())
    }

    /// Makes the directory's entry durable: a file that cannot be found is of no use.
    fn sync_name(&mut self) -> io::Result<()> {
        if !mem::replace(&mut self.named, true) {
            let parent = self.source.path.parent().filter(|path| !path.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }

    /// How many bytes of output there are that were not cut.
    fn kept(&self) -> u64 {
        let cut = self.source.cut().map_or(0, |cut| cut.bytes());
        self.indexer.raw() - cut
    }

    /// Cuts out what is not to be kept of what is written. On an error everything is as it was.
    fn cut(&mut self) -> Result<(), LogError> {
        let (lines, bytes) = (self.indexer.lines(), self.indexer.bytes());
        let uncut = Uncut { source: &self.source, end: self.written, lines, bytes };
        let Some(shortened) = uncut.cut(self.keep, &*self.disk)? else { return Ok(()) };
        self.disk = shortened.disk;
        self.shift = shortened.gap.shift();
        self.source.replace(Body::plain(shortened.file, Some(shortened.gap)));
        // The disk has all of it, but may not have its name.
        self.named = false;
        self.unsynced.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn close(&mut self, t_ms: u64) -> Result<Summary, LogError> {
        self.flush()?;
        if self.keep.is_exceeded_by(self.kept()) {
            // Where there is no room for it, more is kept.
            let _ = self.cut();
        }
        self.indexer.finish();
        let gap = self.source.body().gap().cloned();
        let footer = Footer {
            lines: self.indexer.lines(),
            bytes: self.indexer.bytes(),
            truncated: self.truncated || gap.is_some(),
            checkpoints: self.source.checkpoints(),
            gap,
        };
        let at = self.written - self.shift;
        self.buffer = ending(&footer, t_ms, at)
            .map_err(|error| LogError::io("write", &self.source.path, error))?;
        let result = self.write().and_then(|()| self.sync());
        self.buffer.clear();
        result?;
        let summary = summary(&footer, self.written - self.shift);
        self.publish(Some(summary));
        Ok(summary)
    }

    fn unsynced(&self) -> LogError {
        LogError::Unsynced { path: PathBuf::clone(&self.source.path) }
    }
}
