//! How much of a log is kept: its head and its newest lines. What is between is cut out.
//!
//! The file is then written anew, to a draft beside it: the head, a gap that says what is missing, and
//! the tail; the draft takes the file's place once the disk has it. So a log is one file without
//! holes whose size is what it takes, on every file system; a crash leaves one of both, whole; and
//! whoever is reading goes on in the file that they have open. The price is that what is kept is
//! copied. It is paid only by who writes more than is kept, once for each tail's worth that they
//! write.
//!
//! Others were weighed. Holes in the file (`FALLOCATE_FL_PUNCH_HOLE`) cost nothing to make, but some
//! file systems have none, and a log of an agent would look like terabytes to backups and end at its
//! file system's largest file. A head and numbered segments cost no copying either, but what is one
//! log would be several files, to be opened, packed, removed, counted and recovered together.

use std::{
    fs::{self, File},
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use automa_sandbox::Stream;

use super::{
    Ending, LogError,
    body::Body,
    format::{CUT_HEADER_BYTES, Gap, HEAD, HEADER, Head, Kind},
    index::{Carry, Checkpoint},
    scan::{Broken, Cursor, Entry, Frames},
    slot,
    source::Source,
    wide,
    writer::Disk,
};

/// So much more than is kept there may be at least until it is cut, in bytes; less in tests, so that
/// a small log comes to it.
const SLACK: u64 = if cfg!(test) { 32 * 1024 } else { 4 * 1024 * 1024 };

/// In so many bytes of a log lines end, however they are written.
const MANY_LINES: u64 = 1024 * 1024;

/// So much is written to a draft at once.
const BLOCK: usize = 256 * 1024;

/// How much of a log is kept, in bytes of output. Everything by default.
///
/// While it is written there may be as much as the tail more, 4 MiB at least. What is cut are whole
/// lines: head and tail may each be shorter by a line, but the last line is kept however long it is.
/// Nothing is cut where that would not make the log smaller, as for a few lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// From the beginning.
    pub head_bytes: u64,
    /// Of what was written last.
    pub tail_bytes: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { head_bytes: 0, tail_bytes: u64::MAX }
    }
}

impl Keep {
    /// As much of the beginning as of the end, `bytes` together.
    #[must_use]
    pub fn both_ends(bytes: u64) -> Self {
        Self { head_bytes: bytes / 2, tail_bytes: bytes - bytes / 2 }
    }

    /// The last `bytes`.
    #[must_use]
    pub fn newest(bytes: u64) -> Self {
        Self { head_bytes: 0, tail_bytes: bytes }
    }

    fn bytes(self) -> u64 {
        self.head_bytes.saturating_add(self.tail_bytes)
    }

    /// Whether `kept` bytes are more than may be left while a log is written.
    pub(super) fn is_far_exceeded_by(self, kept: u64) -> bool {
        kept > self.bytes().saturating_add(self.tail_bytes.max(SLACK))
    }

    /// Whether `kept` bytes are more than may be left in the end.
    pub(super) fn is_exceeded_by(self, kept: u64) -> bool {
        kept > self.bytes()
    }
}

/// The draft of a log with less in it.
pub(super) fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".cut");
    name.into()
}

/// A place in the frames by which a line has ended.
#[derive(Debug, Clone, Copy)]
struct Position {
    /// The line that is next.
    line: u64,
    frame: u64,
    /// How much of the frame's payload is before it.
    skip: usize,
    raw: u64,
}

impl Position {
    fn of(cursor: &Cursor) -> Self {
        let Cursor { line, frame, skip, .. } = *cursor;
        Self { line, frame, skip, raw: cursor.raw() }
    }
}

/// A log as it is before something is cut out of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Uncut<'a> {
    pub(super) source: &'a Source,
    /// Where its frames end.
    pub(super) end: u64,
    /// Its lines.
    pub(super) lines: u64,
    /// Its bytes, of each stream.
    pub(super) bytes: [u64; 2],
}

/// What is left in its place.
#[derive(Debug)]
pub(super) struct Shortened {
    pub(super) disk: Box<dyn Disk>,
    pub(super) file: Arc<File>,
    pub(super) gap: Gap,
}

impl Uncut<'_> {
    /// Cuts out what is not to be kept; `None` if there is no such line.
    ///
    /// On an error the log is as it was.
    pub(super) fn cut(self, keep: Keep, disk: &dyn Disk) -> Result<Option<Shortened>, LogError> {
        let path = &self.source.path;
        let body = self.source.body();
        let broken = |broken| self.source.error(broken);
        let head = self.head(&body, keep.head_bytes).map_err(broken)?;
        let tail = self.tail(&body, keep.tail_bytes).map_err(broken)?;
        let gap = Gap {
            from: head.frame + if head.skip > 0 { wide(HEAD + head.skip) } else { 0 },
            first: head.line,
            raw: head.raw,
            before: self.bytes,
            start: Checkpoint {
                carry: carry(&tail),
                ..Checkpoint::at(tail.line, tail.frame + wide(tail.skip), tail.raw())
            },
        };
        let no_more = body.gap().is_some_and(|before| before.start.line >= tail.line);
        // What stands in its place takes some room as well.
        if no_more || tail.line <= head.line || gap.start.frame < gap.from + wide(gap.size()) {
            return Ok(None);
        }
        let draft = draft_of(path);
        let (disk, file) =
            disk.draft(&draft).map_err(|error| LogError::io("create", path, error))?;
        let written = Draft { disk: &*disk, buffer: Vec::new(), at: 0 }
            .write(&body, self.end, (head, &tail), gap)
            .and_then(|gap| {
                fs::rename(&draft, path).map_err(Broken::Io)?;
                Ok(gap)
            });
        match written {
            Ok(gap) => Ok(Some(Shortened { disk, file, gap })),
            Err(error) => {
                // What is left of it is written over the next time.
                let _ = fs::remove_file(&draft);
                Err(match error {
                    Broken::Io(error) => LogError::io("cut", path, error),
                    broken @ Broken::Frame(_) => self.source.error(broken),
                })
            }
        }
    }

    /// Where the head ends: behind the last line of the first `most` bytes, or where it ended before.
    fn head(&self, body: &Body, most: u64) -> Result<Position, Broken> {
        if let Some(gap) = body.gap() {
            let Gap { from, first, raw, .. } = *gap;
            return Ok(Position { line: first, frame: from, skip: 0, raw });
        }
        let mut head = Position::of(&Cursor::start());
        let mut cursor = self.source.cursor_for_raw(most.saturating_sub(MANY_LINES));
        cursor.read(body, (self.end, false), |at, line| {
            let mut end = Position::of(at);
            if line.ending == Ending::Split {
                // It is known to go on by the byte behind it.
                end = Position { skip: end.skip + 1, raw: end.raw + 1, ..end };
            }
            if end.raw > most {
                return ControlFlow::Break(());
            }
            head = end;
            ControlFlow::Continue(())
        })?;
        Ok(head)
    }

    /// Where the tail begins: with the first line of the last `most` bytes, or the last line.
    fn tail(&self, body: &Body, most: u64) -> Result<Cursor, Broken> {
        let target = self.bytes.iter().sum::<u64>().saturating_sub(most);
        let mut cursor = self.source.cursor_for_raw(target);
        let mut line = cursor.line;
        if cursor.raw() < target {
            cursor.read(body, (self.end, false), |at, _| {
                line = at.line;
                if at.raw() < target { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        let line = line.min(self.lines);
        let mut cursor = self.source.cursor_for_line(line);
        if cursor.line < line {
            cursor.read(body, (self.end, false), |at, _| {
                if at.line < line { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok(cursor)
    }
}

/// A log that is being written with less in it.
struct Draft<'a> {
    disk: &'a dyn Disk,
    /// Not written yet.
    buffer: Vec<u8>,
    /// Where that belongs.
    at: u64,
}

impl Draft<'_> {
    /// Writes all of it and has it synced.
    fn write(
        mut self,
        body: &Body,
        end: u64,
        (head, tail): (Position, &Cursor),
        mut gap: Gap,
    ) -> Result<Gap, Broken> {
        self.put(&CUT_HEADER_BYTES)?;
        let mut frames = Frames::new(body, wide(HEADER), end);
        while let Some(Entry::Output(frame)) = frames.next()? {
            if frame.offset < head.frame {
                self.put(frame.bytes)?;
                continue;
            }
            if head.skip > 0 {
                self.put(&part(frame.stream, frame.t_ms, &frame.payload[..head.skip])?)?;
            }
            break;
        }
        // It is written last, as what is before the tail follows from the tail's bytes.
        self.put(&vec![0; gap.size()])?;
        let mut frames = Frames::new(body, tail.frame, end);
        let mut skip = tail.skip;
        while let Some(Entry::Output(frame)) = frames.next()? {
            let payload = frame.payload.get(skip..).ok_or(Broken::Frame(frame.offset))?;
            gap.before[slot(frame.stream)] -= wide(payload.len());
            match skip {
                0 => self.put(frame.bytes)?,
                // The tail begins with the frame behind it.
                _ if payload.is_empty() => gap.start.frame += wide(HEAD),
                _ => self.put(&part(frame.stream, frame.t_ms, payload)?)?,
            }
            skip = 0;
        }
        self.flush()?;
        let frame = gap.frame().ok_or(Broken::Frame(gap.from))?;
        self.disk.write_all_at(&frame, gap.from).map_err(Broken::Io)?;
        self.disk.sync_data().map_err(Broken::Io)?;
        Ok(gap)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.buffer.extend(bytes);
        if self.buffer.len() >= BLOCK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Broken> {
        self.disk.write_all_at(&self.buffer, self.at).map_err(Broken::Io)?;
        self.at += wide(self.buffer.len());
        self.buffer.clear();
        Ok(())
    }
}

/// A frame of a part of another's payload.
fn part(stream: Stream, t_ms: u64, payload: &[u8]) -> Result<Vec<u8>, Broken> {
    let head = Head::encode(Kind::Output(stream), t_ms, payload);
    let head = head.ok_or_else(|| Broken::Io(std::io::ErrorKind::FileTooLarge.into()))?;
    Ok([&head[..], payload].concat())
}

/// What one of the streams has written of its line; the other is at the beginning of one.
fn carry(cursor: &Cursor) -> Option<Box<Carry>> {
    [Stream::Stdout, Stream::Stderr].into_iter().find_map(|stream| {
        let (bytes, t_ms) = cursor.lines.partial(stream)?;
        Some(Box::new(Carry { stream, t_ms, bytes: bytes.to_vec() }))
    })
}
