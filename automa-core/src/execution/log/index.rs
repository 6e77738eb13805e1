//! The index: where in the file reading can begin for a line.

use automa_sandbox::Stream;

use super::{
    format::{Gap, HEAD, HEADER},
    line::Assembler,
    scan::Cursor,
    slot, wide,
};

/// There is a checkpoint after this many lines…
const LINES: u64 = 256;
/// …but not so soon after the last, in bytes of the file: a log of empty lines would otherwise have
/// an index a tenth of its own size, in memory too.
const NEAR: u64 = 16 * 1024;
/// After this many bytes of the file there is one in any case: it bounds what is read to find a
/// line. Until then a moment is awaited at which both streams are at the beginning of a line, which
/// for nearly all logs is the next line; so carries are rare, and are never more than a sixteenth of
/// the file.
const FAR: u64 = 256 * 1024;

/// Where reading can begin; [`format`](super::format) says what the fields are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) line: u64,
    pub(super) frame: u64,
    pub(super) raw: u64,
    pub(super) skip: u32,
    pub(super) carry: Option<Box<Carry>>,
}

/// What the other stream has written of its line at a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Carry {
    pub(super) stream: Stream,
    pub(super) t_ms: u64,
    pub(super) bytes: Vec<u8>,
}

impl Checkpoint {
    /// At the beginning of a frame, and of lines of both streams.
    pub(super) fn at(line: u64, frame: u64, raw: u64) -> Self {
        Self { line, frame, raw, skip: 0, carry: None }
    }

    pub(super) fn cursor(&self) -> Cursor {
        let mut cursor = Cursor::new(self.line, self.frame, self.raw);
        cursor.skip = usize::try_from(self.skip).unwrap_or(usize::MAX);
        if let Some(carry) = &self.carry {
            // A carry has no newline and is no longer than a line: it only becomes the partial.
            let _ = cursor.lines.take(carry.stream, carry.t_ms, &mut &carry.bytes[..]);
        }
        cursor
    }
}

/// The last checkpoint from which line `line` can be reached.
pub(super) fn for_line(checkpoints: &[Checkpoint], line: u64) -> Option<&Checkpoint> {
    let after = checkpoints.partition_point(|checkpoint| checkpoint.line <= line);
    checkpoints.get(after.checked_sub(1)?)
}

/// A checkpoint from which line `line` can be reached, with at least `raw` bytes in between.
pub(super) fn well_before(checkpoints: &[Checkpoint], line: u64, raw: u64) -> Option<&Checkpoint> {
    for_raw(checkpoints, for_line(checkpoints, line)?.raw.checked_sub(raw)?)
}

/// The last checkpoint whose frame does not begin after raw byte `raw`.
pub(super) fn for_raw(checkpoints: &[Checkpoint], raw: u64) -> Option<&Checkpoint> {
    let after = checkpoints.partition_point(|checkpoint| checkpoint.raw <= raw);
    checkpoints.get(after.checked_sub(1)?)
}

/// The last checkpoint that is not behind raw byte `raw`.
pub(super) fn up_to(checkpoints: &[Checkpoint], raw: u64) -> Option<&Checkpoint> {
    let after = checkpoints.partition_point(|it| it.raw + u64::from(it.skip) <= raw);
    checkpoints.get(after.checked_sub(1)?)
}

/// Adds the checkpoint behind a gap to the others.
pub(super) fn enter(checkpoints: &mut Vec<Checkpoint>, gap: Option<&Gap>) {
    if let Some(gap) = gap {
        let at = checkpoints.partition_point(|it| it.line < gap.start.line);
        checkpoints.insert(at, gap.start.clone());
    }
}

/// Leaves only what is before the gap or behind it.
pub(super) fn cut(checkpoints: &mut Vec<Checkpoint>, gap: &Gap) {
    checkpoints.retain_mut(|it| {
        // The frame in which the gap ends begins there now.
        if it.line > gap.start.line
            && let Some(used) = gap.start.frame.checked_sub(it.frame)
        {
            it.frame += used;
            it.raw += used;
            it.skip -= u32::try_from(used).unwrap_or(it.skip);
        }
        it.line < gap.first || it.line > gap.start.line
    });
    enter(checkpoints, Some(gap));
}

/// Counts lines while a log is written, or read as a whole, and says where checkpoints are.
#[derive(Debug, Default)]
pub(super) struct Indexer {
    assembler: Assembler,
    lines: u64,
    bytes: [u64; 2],
    /// Lines, and position in the file, at the last checkpoint.
    last: (u64, u64),
    /// Checkpoints not yet taken.
    pub(super) fresh: Vec<Checkpoint>,
}

impl Indexer {
    /// Goes on with `bytes`, which follow `skip` others in the frame at offset `frame`.
    pub(super) fn add(&mut self, frame: u64, skip: usize, output: (Stream, u64, &[u8])) {
        let (stream, t_ms, bytes) = output;
        let raw = self.raw() - wide(skip);
        let mut rest = bytes;
        while self.assembler.take(stream, t_ms, &mut rest).is_some() {
            self.lines += 1;
            let skip = skip + bytes.len() - rest.len();
            self.consider(frame, raw, skip, stream);
        }
        self.bytes[slot(stream)] += wide(bytes.len());
    }

    /// Makes a checkpoint if one is due here.
    fn consider(&mut self, frame: u64, raw: u64, skip: usize, stream: Stream) {
        let position = frame + wide(HEAD + skip);
        let distance = position - self.last.1.max(wide(HEADER));
        if distance < NEAR || (distance < FAR && self.lines - self.last.0 < LINES) {
            return;
        }
        let other = match stream {
            Stream::Stdout => Stream::Stderr,
            Stream::Stderr => Stream::Stdout,
        };
        let partial = self.assembler.partial(other);
        if partial.is_some() && distance < FAR {
            return;
        }
        let carry = partial
            .map(|(bytes, t_ms)| Box::new(Carry { stream: other, t_ms, bytes: bytes.to_vec() }));
        // A frame has at most 64 KiB.
        let skip = u32::try_from(skip).unwrap_or(u32::MAX);
        self.fresh.push(Checkpoint { line: self.lines + 1, frame, raw, skip, carry });
        self.last = (self.lines, position);
    }

    /// Goes on behind a gap.
    pub(super) fn skip(&mut self, gap: &Gap) {
        self.assembler = gap.start.cursor().lines;
        self.lines = gap.start.line - 1;
        self.bytes = gap.before;
        self.last = (self.lines, gap.start.frame);
    }

    /// At the end, counts lines that were incomplete.
    pub(super) fn finish(&mut self) {
        while self.assembler.finish().is_some() {
            self.lines += 1;
        }
    }

    /// Lines so far.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// Bytes so far, of each stream.
    pub(super) fn bytes(&self) -> [u64; 2] {
        self.bytes
    }

    /// Bytes so far.
    pub(super) fn raw(&self) -> u64 {
        self.bytes.iter().sum()
    }
}
