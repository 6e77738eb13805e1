//! The file, byte by byte. Numbers are little-endian.
//!
//! ```text
//! header    8   89 'A' 'L' 'O' 'G' 0d 0a   magic
//!               01                         version
//! frame    16   kind u8, 00, time u48, length u32, checksum u32
//!           n   payload
//! …
//! index    16   a frame of kind 3, its payload as below
//! trailer  16   offset of the index frame u64, checksum u32 of it, 'A' 'L' 'O' 'G'
//! ```
//!
//! - The **magic** begins with a byte that no text has and ends with a newline of two bytes: a log
//!   that went through a text conversion is told from a damaged one.
//! - **Kind** is 1 for standard output, 2 for standard error, 3 for the index, 4 for a gap. None is
//!   0: a file that the kernel had made longer when the power failed ends in zeros.
//! - **Time** is milliseconds since the start: 32 bits would end after 49 days, and agents live
//!   longer.
//! - **Length** is 1 to 65536 for output: a reader checks a frame as a whole, so this is what it
//!   reads at least. A longer chunk becomes several frames.
//! - **Checksum** is CRC-32 (IEEE) of the 12 bytes before it and the payload: a torn or damaged
//!   frame is found whichever byte is wrong. It guards against accidents, not against forgers.
//! - Frames are in the order in which output was read, and hold nothing but output: the payloads of
//!   all frames one after the other are the raw log, unless some of it was cut. Where lines end is not stored: it follows from
//!   the payloads, so it cannot contradict them.
//! - **Index and trailer** are written when the log is finished. The trailer has a fixed size, so
//!   that the index is found from the end. Without them the log was cut short by a crash: the index
//!   is made anew by reading all frames.
//!
//! ```text
//! index    8   lines u64
//!         16   bytes of standard output u64, of standard error u64
//!          8   flags u32 (bit 0: output is missing; bit 1: there is a gap), number of checkpoints u32
//! checkpoint, ascending:
//!         24   line u64, frame u64, raw u64
//!          8   skip u32, carry u8 (0: none, else a kind), 00, length of carry u16
//!          8   time of carry u64   \ only with a carry
//!          n   carry               /
//! gap, if there is one:
//!          8   offset of its frame u64
//!          n   the payload of that frame
//! ```
//!
//! A log out of which frames were **cut** (version 3, [`keep`](super::keep)) has one gap in their
//! place. Whatever is behind it keeps the offset that it had, so that nothing that refers to it has
//! to change: the gap says what the next frame's is. What fell on the middle of a frame has divided
//! it, which leaves a frame before the gap and one behind it.
//!
//! ```text
//! header    8   as above, with version 03
//! frame     n   …
//! gap      16   a frame of kind 4, its payload:
//!           8   the first line that was cut u64
//!           8   raw bytes of the frames before it u64
//!          16   bytes of standard output u64, of standard error u64 before the next frame, those
//!               that were cut included
//!           n   a checkpoint at the next frame, as in the index
//! frame     n   …
//! index         as above, then trailer
//! ```
//!
//! A log may be **packed** once it is finished (version 2): the frames of output are the same, in
//! blocks, each of whole frames of 256 KiB or more and compressed by itself (LZ4 block format). The
//! offsets of frames, in checkpoints too, stay those that they had before.
//!
//! ```text
//! header    8   as above, with version 02; with version 04 where there is a gap
//! block     n   …
//! index    16   a frame of kind 3, its payload:
//!           4   length of the index of version 1 u32
//!           n   that index
//!           8   where the frames of output ended in the file u64
//!          8…   for each block: its compressed length u32, its length u32
//! trailer  16   as above
//! ```
//!
//! A **checkpoint** is where reading can begin: line `line` is the next to be completed after
//! `skip` bytes of the payload of the frame at offset `frame`, before which there are `raw` bytes of
//! output. There the stream just read is at the beginning of a line. The other is too, or the
//! **carry** is what it has written of its line.

mod gap;

use automa_sandbox::Stream;

pub(super) use self::gap::Gap;
use super::{
    index::{Carry, Checkpoint},
    line::LINE_HARD_MAX,
};

/// What a file begins with.
pub(super) const HEADER_BYTES: [u8; HEADER] = *b"\x89ALOG\r\n\x01";
/// What a packed file begins with.
pub(super) const PACKED_HEADER_BYTES: [u8; HEADER] = *b"\x89ALOG\r\n\x02";
/// What a file with a gap begins with.
pub(super) const CUT_HEADER_BYTES: [u8; HEADER] = *b"\x89ALOG\r\n\x03";
/// What a packed file with a gap begins with.
pub(super) const PACKED_CUT_HEADER_BYTES: [u8; HEADER] = *b"\x89ALOG\r\n\x04";
/// A block of a packed file is complete when it has as many bytes of frames.
pub(super) const BLOCK: usize = 256 * 1024;
/// Largest number of bytes of frames in a block: what it lacked was one byte.
const BLOCK_MAX: usize = BLOCK + HEAD + FRAME_MAX;
/// Size of the file's header.
pub(super) const HEADER: usize = 8;
/// Size of a frame's head.
pub(super) const HEAD: usize = 16;
/// Size of the trailer.
pub(super) const TRAILER: usize = 16;
/// Largest payload of an output frame.
pub(super) const FRAME_MAX: usize = 64 * 1024;

const TRAILER_MAGIC: [u8; 4] = *b"ALOG";
const INDEX: u8 = 3;
const GAP: u8 = 4;
const TRUNCATED: u32 = 1;
const CUT: u32 = 2;
/// Times are cut to 48 bits: 8919 years.
const TIME_MAX: u64 = (1 << 48) - 1;

/// What the first bytes of a file say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// A log as it is written, or one with a gap.
    Plain { cut: bool },
    /// A packed one.
    Packed { cut: bool },
    /// A log of another version.
    Version(u8),
    /// The beginning of a header: creation was cut short.
    Torn,
    /// No log.
    Foreign,
}

impl Header {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let (magic, _) = HEADER_BYTES.split_at(7);
        match bytes.get(..HEADER) {
            Some(header) if header == HEADER_BYTES => Self::Plain { cut: false },
            Some(header) if header == PACKED_HEADER_BYTES => Self::Packed { cut: false },
            Some(header) if header == CUT_HEADER_BYTES => Self::Plain { cut: true },
            Some(header) if header == PACKED_CUT_HEADER_BYTES => Self::Packed { cut: true },
            Some([known @ .., version]) if known == magic => Self::Version(*version),
            // A crash may also leave zeros where the header was to be.
            None if HEADER_BYTES.starts_with(bytes) || bytes.iter().all(|&byte| byte == 0) => {
                Self::Torn
            }
            _ => Self::Foreign,
        }
    }
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Output(Stream),
    Index,
    Gap,
}

fn kind_byte(kind: Kind) -> u8 {
    match kind {
        Kind::Output(Stream::Stdout) => 1,
        Kind::Output(Stream::Stderr) => 2,
        Kind::Index => INDEX,
        Kind::Gap => GAP,
    }
}

fn stream_of(kind: u8) -> Option<Stream> {
    match kind {
        1 => Some(Stream::Stdout),
        2 => Some(Stream::Stderr),
        _ => None,
    }
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) t_ms: u64,
    pub(super) len: usize,
    checksum: u32,
}

impl Head {
    /// The head that belongs before `payload`; `None` when that is 4 GiB or more.
    pub(super) fn encode(kind: Kind, t_ms: u64, payload: &[u8]) -> Option<[u8; HEAD]> {
        let mut head = [0; HEAD];
        let first = u64::from(kind_byte(kind)) | (t_ms.min(TIME_MAX) << 16);
        head[..8].copy_from_slice(&first.to_le_bytes());
        head[8..12].copy_from_slice(&u32::try_from(payload.len()).ok()?.to_le_bytes());
        let checksum = checksum(&head[..12], payload);
        head[12..].copy_from_slice(&checksum.to_le_bytes());
        Some(head)
    }

    /// Reads a head; `None` when it cannot be one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes.get(..HEAD)?);
        let (kind, zero) = (fields.u8()?, fields.u8()?);
        let t_ms = u64::from(fields.u16()?) | (u64::from(fields.u32()?) << 16);
        let len = usize::try_from(fields.u32()?).ok()?;
        let checksum = fields.u32()?;
        let short = (1..=FRAME_MAX).contains(&len);
        let (kind, sound) = match (kind, stream_of(kind)) {
            (_, Some(stream)) => (Kind::Output(stream), short),
            (GAP, None) => (Kind::Gap, short),
            _ => (Kind::Index, kind == INDEX),
        };
        (sound && zero == 0).then_some(Self { kind, t_ms, len, checksum })
    }

    /// Whether `head`, which this was read from, and `payload` are as they were written.
    pub(super) fn vouches_for(&self, head: &[u8], payload: &[u8]) -> bool {
        head.get(..12).is_some_and(|head| checksum(head, payload) == self.checksum)
    }
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(payload);
    hasher.finalize()
}

/// What ends a file whose index frame is at `offset`.
pub(super) fn trailer(offset: u64) -> [u8; TRAILER] {
    let mut trailer = [0; TRAILER];
    trailer[..8].copy_from_slice(&offset.to_le_bytes());
    let checksum = checksum(&trailer[..8], &TRAILER_MAGIC);
    trailer[8..12].copy_from_slice(&checksum.to_le_bytes());
    trailer[12..].copy_from_slice(&TRAILER_MAGIC);
    trailer
}

/// Where the index frame is, if `bytes` are a trailer.
pub(super) fn trailer_offset(bytes: &[u8]) -> Option<u64> {
    let offset = Fields(bytes).u64()?;
    (trailer(offset) == bytes).then_some(offset)
}

/// The index as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) lines: u64,
    pub(super) bytes: [u64; 2],
    pub(super) truncated: bool,
    /// Without the one at which the log goes on behind a gap.
    pub(super) checkpoints: Vec<Checkpoint>,
    pub(super) gap: Option<Gap>,
}

impl Footer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + 32 * self.checkpoints.len());
        let [stdout, stderr] = self.bytes;
        for number in [self.lines, stdout, stderr] {
            out.extend(number.to_le_bytes());
        }
        let flags = if self.truncated { TRUNCATED } else { 0 };
        let flags = if self.gap.is_some() { flags | CUT } else { flags };
        out.extend(flags.to_le_bytes());
        // There is at most one checkpoint in 16 KiB, and a payload has less than 4 GiB.
        out.extend(u32::try_from(self.checkpoints.len()).unwrap_or(u32::MAX).to_le_bytes());
        for checkpoint in &self.checkpoints {
            checkpoint.encode(&mut out);
        }
        if let Some(gap) = &self.gap {
            out.extend(gap.from.to_le_bytes());
            out.extend(gap.payload());
        }
        out
    }

    /// Reads an index before which the file has frames up to `at`; `None` when it cannot be one.
    pub(super) fn decode(bytes: &[u8], at: u64) -> Option<Self> {
        let mut fields = Fields(bytes);
        let lines = fields.u64()?;
        let bytes = [fields.u64()?, fields.u64()?];
        let flags = fields.u32()?;
        let (truncated, cut) = (flags & TRUNCATED != 0, flags & CUT != 0);
        let count = fields.u32()?;
        let mut checkpoints: Vec<Checkpoint> = Vec::new();
        for _ in 0..count {
            let checkpoint = fields.checkpoint()?;
            let ascends = checkpoints.last().is_none_or(|last| {
                last.line < checkpoint.line
                    && last.frame <= checkpoint.frame
                    && last.raw <= checkpoint.raw
            });
            if !ascends {
                return None;
            }
            checkpoints.push(checkpoint);
        }
        let gap = if cut {
            let from = fields.u64()?;
            Some(Gap::decode(std::mem::take(&mut fields.0), from)?)
        } else {
            None
        };
        let footer = Self { lines, bytes, truncated, checkpoints, gap };
        let end = footer.end(at)?;
        let sound = fields.0.is_empty()
            && footer.checkpoints.last().is_none_or(|last| last.frame < end)
            && footer.gap.as_ref().is_none_or(|gap| gap.start.frame <= end);
        sound.then_some(footer)
    }

    /// The offset at which frames end that end in the file at `at`.
    pub(super) fn end(&self, at: u64) -> Option<u64> {
        at.checked_add(self.gap.as_ref().map_or(0, Gap::shift))
    }
}

impl Checkpoint {
    fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.line, self.frame, self.raw] {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.skip.to_le_bytes());
        let Some(carry) = &self.carry else {
            out.extend([0; 4]);
            return;
        };
        out.extend([kind_byte(Kind::Output(carry.stream)), 0]);
        out.extend(u16::try_from(carry.bytes.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend(carry.t_ms.to_le_bytes());
        out.extend(&carry.bytes);
    }
}

/// One block of a packed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    /// Its length in the file.
    pub(super) packed: usize,
    /// How many bytes of frames that is.
    pub(super) size: usize,
}

/// The index of a packed file whose frames ended at `at` before it was packed.
pub(super) fn packed_index(footer: &Footer, at: u64, blocks: &[Block]) -> Vec<u8> {
    // A frame has less than 4 GiB: a longer one is refused.
    let short = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    let footer = footer.encode();
    let mut out = Vec::with_capacity(12 + footer.len() + 8 * blocks.len());
    out.extend(short(footer.len()));
    out.extend(footer);
    out.extend(at.to_le_bytes());
    for block in blocks {
        out.extend(short(block.packed));
        out.extend(short(block.size));
    }
    out
}

/// Reads the index of a packed file, which is at `at` in the file, and says where frames ended before
/// it was packed; `None` when it cannot be one.
pub(super) fn read_packed_index(bytes: &[u8], at: u64) -> Option<(u64, Footer, Vec<Block>)> {
    let mut fields = Fields(bytes);
    let len = usize::try_from(fields.u32()?).ok()?;
    let footer = fields.take(len)?;
    let end = fields.u64()?;
    let footer = Footer::decode(footer, end)?;
    let (mut blocks, mut file_at, mut frames_at) = (Vec::new(), HEADER, HEADER);
    while !fields.0.is_empty() {
        let packed = usize::try_from(fields.u32()?).ok()?;
        let size = usize::try_from(fields.u32()?).ok()?;
        if !(1..=BLOCK_MAX).contains(&size) {
            return None;
        }
        file_at = file_at.checked_add(packed)?;
        frames_at = frames_at.checked_add(size)?;
        blocks.push(Block { packed, size });
    }
    let whole = u64::try_from(file_at) == Ok(at) && u64::try_from(frames_at) == Ok(end);
    whole.then_some((end, footer, blocks))
}

/// Bytes from which numbers are taken; `None` when they are used up.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn checkpoint(&mut self) -> Option<Checkpoint> {
        let (line, frame, raw, skip) = (self.u64()?, self.u64()?, self.u64()?, self.u32()?);
        let (kind, zero, len) = (self.u8()?, self.u8()?, usize::from(self.u16()?));
        let carry = match (kind, stream_of(kind)) {
            (0, _) if len == 0 => None,
            (_, Some(stream)) if (1..=LINE_HARD_MAX).contains(&len) => {
                let t_ms = self.u64()?;
                Some(Box::new(Carry { stream, t_ms, bytes: self.take(len)?.to_vec() }))
            }
            _ => return None,
        };
        (zero == 0).then_some(Checkpoint { line, frame, raw, skip, carry })
    }
}
