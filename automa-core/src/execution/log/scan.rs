//! Reading frames, and lines out of frames.

use std::{fs::File, io, ops::ControlFlow, os::unix::fs::FileExt};

use automa_sandbox::Stream;

use super::{
    body::{Body, Piece},
    format::{FRAME_MAX, Gap, HEAD, HEADER, Head, Kind},
    line::{Assembled, Assembler},
    wide,
};

/// Why frames cannot be read on.
#[derive(Debug)]
pub(super) enum Broken {
    /// The file cannot be read.
    Io(io::Error),
    /// The frame at this offset is not as it was written, or not all there.
    Frame(u64),
}

/// The frames of a file, in order.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    body: &'a Body,
    /// The offset of the next frame.
    at: u64,
    /// The offset where the last frame ends.
    end: u64,
    /// By how much these offsets are greater than the places in the body.
    shift: u64,
    piece: Piece,
}

/// What is next in a file.
#[derive(Debug)]
pub(super) enum Entry<'a> {
    Output(Frame<'a>),
    /// Frames were cut here.
    Gap(Gap),
}

/// A frame of output.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) offset: u64,
    pub(super) stream: Stream,
    pub(super) t_ms: u64,
    pub(super) payload: &'a [u8],
    /// All of it, with its head.
    pub(super) bytes: &'a [u8],
}

/// As much is read at once: one frame of any size, and many small ones.
pub(super) const PIECE: usize = FRAME_MAX + 4096;

impl<'a> Frames<'a> {
    /// Frames of `body` from the one at offset `at` to `end`.
    pub(super) fn new(body: &'a Body, at: u64, end: u64) -> Self {
        Self { body, at, end, shift: body.shift(at), piece: Piece::default() }
    }

    /// The next frame, `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Entry<'_>>, Broken> {
        let offset = self.at;
        if offset >= self.end {
            return Ok(None);
        }
        let broken = Broken::Frame(offset - self.shift);
        let Some(head) = Head::decode(self.bytes(offset, HEAD)?) else { return Err(broken) };
        let len = HEAD + head.len;
        match head.kind {
            Kind::Output(stream) => {
                self.at = offset + wide(len);
                let bytes = self.bytes(offset, len)?;
                let (head_bytes, payload) = bytes.split_at(HEAD);
                if !head.vouches_for(head_bytes, payload) {
                    return Err(broken);
                }
                Ok(Some(Entry::Output(Frame { offset, stream, t_ms: head.t_ms, payload, bytes })))
            }
            Kind::Gap => {
                let (head_bytes, payload) = self.bytes(offset, len)?.split_at(HEAD);
                let gap = Gap::decode(payload, offset);
                let Some(gap) = gap.filter(|_| head.vouches_for(head_bytes, payload)) else {
                    return Err(broken);
                };
                (self.at, self.shift) = (gap.start.frame, gap.shift());
                Ok(Some(Entry::Gap(gap)))
            }
            Kind::Index => Err(broken),
        }
    }

    /// `len` bytes from offset `at` on, all of which have to lie before the end.
    fn bytes(&mut self, at: u64, len: usize) -> Result<&[u8], Broken> {
        let (at, end) = (at - self.shift, self.end - self.shift);
        if at + wide(len) > end {
            return Err(Broken::Frame(at));
        }
        let have = |piece_at: u64, piece: &[u8]| {
            let from = usize::try_from(at.checked_sub(piece_at)?).ok()?;
            (from.checked_add(len)? <= piece.len()).then_some(from)
        };
        let from = if let Some(from) = have(self.piece.at, &self.piece.bytes) {
            from
        } else {
            self.body.read(&mut self.piece, at, len, end)?;
            have(self.piece.at, &self.piece.bytes).ok_or(Broken::Frame(at))?
        };
        Ok(&self.piece.bytes[from..from + len])
    }
}

/// Reads from `at` until `buffer` or the file is at its end; says how much it was.
pub(super) fn read_up_to(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + wide(filled)) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A place in a log from which reading goes on.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    /// The number of the next line.
    pub(super) line: u64,
    /// The offset of the frame at which to go on.
    pub(super) frame: u64,
    /// Bytes of output before that frame.
    raw: u64,
    /// How much of its payload is used up.
    pub(super) skip: usize,
    /// Lines that are not complete here.
    pub(super) lines: Assembler,
}

impl Cursor {
    pub(super) fn new(line: u64, frame: u64, raw: u64) -> Self {
        Self { line, frame, raw, skip: 0, lines: Assembler::default() }
    }

    /// The beginning of a log.
    pub(super) fn start() -> Self {
        Self::new(1, wide(HEADER), 0)
    }

    /// Raw bytes before it.
    pub(super) fn raw(&self) -> u64 {
        self.raw + wide(self.skip)
    }

    /// Shows `each` line, with the cursor behind it, until it breaks or `end` is reached, which is
    /// the end of the log if it is `complete`. Reading may go on from there at any time.
    pub(super) fn read(
        &mut self,
        body: &Body,
        (end, complete): (u64, bool),
        mut each: impl FnMut(&Self, Assembled<'_>) -> ControlFlow<()>,
    ) -> Result<(), Broken> {
        body.settle(self);
        let mut frames = Frames::new(body, self.frame, end);
        while let Some(entry) = frames.next()? {
            let frame = match entry {
                Entry::Output(frame) => frame,
                Entry::Gap(gap) => {
                    *self = gap.start.cursor();
                    continue;
                }
            };
            let mut rest = frame.payload.get(self.skip..).ok_or(Broken::Frame(frame.offset))?;
            while let Some(line) = self.lines.take(frame.stream, frame.t_ms, &mut rest) {
                self.skip = frame.payload.len() - rest.len();
                self.line += 1;
                if each(self, line).is_break() {
                    return Ok(());
                }
            }
            self.frame = frame.offset + wide(HEAD + frame.payload.len());
            self.raw += wide(frame.payload.len());
            self.skip = 0;
        }
        while complete && let Some(line) = self.lines.finish() {
            self.line += 1;
            if each(self, line).is_break() {
                break;
            }
        }
        Ok(())
    }
}
