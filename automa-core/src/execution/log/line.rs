//! What a line is: bytes of two streams become lines.

use std::{borrow::Cow, mem};

use automa_sandbox::Stream;

use super::{Ending, slot};

/// Longest line in bytes (16 KiB): what is longer goes on in the next line. A UTF-8 character that
/// begins before the limit stays whole, so that a line may have up to 3 bytes more.
pub const LINE_MAX: usize = 16 * 1024;
/// Longest line, with the rest of a character.
pub(super) const LINE_HARD_MAX: usize = LINE_MAX + 3;

/// What a stream has written of its line.
#[derive(Debug, Clone, Default)]
struct Partial {
    bytes: Vec<u8>,
    /// When the last byte was read.
    t_ms: u64,
    /// The later the last byte was read, the greater.
    order: u64,
}

/// Assembles lines of both streams.
#[derive(Debug, Clone, Default)]
pub(super) struct Assembler {
    partial: [Partial; 2],
    order: u64,
}

/// A complete line: its bytes are `head`, then `tail`.
#[derive(Debug)]
pub(super) struct Assembled<'a> {
    pub(super) stream: Stream,
    pub(super) t_ms: u64,
    head: Vec<u8>,
    tail: &'a [u8],
    pub(super) ending: Ending,
}

impl Assembled<'_> {
    /// Its bytes.
    pub(super) fn bytes(&self) -> Cow<'_, [u8]> {
        if self.head.is_empty() {
            self.tail.into()
        } else {
            [&self.head, self.tail].concat().into()
        }
    }

    /// The line for display.
    pub(super) fn text(self) -> String {
        if self.head.is_empty() {
            return String::from_utf8_lossy(self.tail).into_owned();
        }
        let mut bytes = self.head;
        bytes.extend(self.tail);
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

impl Assembler {
    /// Takes bytes off the front of `bytes` until a line is complete; `None` when all are taken
    /// and none is.
    pub(super) fn take<'a>(
        &mut self,
        stream: Stream,
        t_ms: u64,
        bytes: &mut &'a [u8],
    ) -> Option<Assembled<'a>> {
        let partial = &mut self.partial[slot(stream)];
        let Some((len, after, ending)) = cut(partial.bytes.len(), bytes) else {
            if !bytes.is_empty() {
                self.order += 1;
                partial.bytes.extend(mem::take(bytes));
                (partial.t_ms, partial.order) = (t_ms, self.order);
            }
            return None;
        };
        let (tail, rest) = (&bytes[..len], &bytes[after..]);
        *bytes = rest;
        Some(Assembled { stream, t_ms, head: mem::take(&mut partial.bytes), tail, ending })
    }

    /// At the end, the next of the lines that are still incomplete, the one last written to last.
    pub(super) fn finish(&mut self) -> Option<Assembled<'static>> {
        let (stream, partial) = [Stream::Stdout, Stream::Stderr]
            .into_iter()
            .zip(&mut self.partial)
            .filter(|(_, partial)| !partial.bytes.is_empty())
            .min_by_key(|(_, partial)| partial.order)?;
        let head = mem::take(&mut partial.bytes);
        Some(Assembled { stream, t_ms: partial.t_ms, head, tail: &[], ending: Ending::End })
    }

    /// Whether `stream` is at the beginning of a line.
    pub(super) fn is_between(&self, stream: Stream) -> bool {
        self.partial[slot(stream)].bytes.is_empty()
    }

    /// What `stream` has written of its line, and when the last byte of it was read.
    pub(super) fn partial(&self, stream: Stream) -> Option<(&[u8], u64)> {
        let partial = &self.partial[slot(stream)];
        (!partial.bytes.is_empty()).then_some((&partial.bytes, partial.t_ms))
    }
}

/// Where the line ends of which `before` bytes are known and `bytes` follow: how many of them
/// belong to it, how many are used up by it, and why it ends.
fn cut(before: usize, bytes: &[u8]) -> Option<(usize, usize, Ending)> {
    let fits = LINE_MAX.saturating_sub(before);
    if let Some(at) = memchr::memchr(b'\n', &bytes[..bytes.len().min(fits + 1)]) {
        return Some((at, at + 1, Ending::Newline));
    }
    let mut len = fits;
    while before + len < LINE_HARD_MAX && bytes.get(len).is_some_and(|byte| byte & 0xc0 == 0x80) {
        len += 1;
    }
    match bytes.get(len)? {
        b'\n' => Some((len, len + 1, Ending::Newline)),
        _ => Some((len, len, Ending::Split)),
    }
}
