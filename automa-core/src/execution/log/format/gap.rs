//! A gap: what stands in a log in the place of what was cut out of it.

use super::{
    super::{Cut, index::Checkpoint, wide},
    Fields, HEAD, Head, Kind,
};

/// What stands in the place of frames that were cut out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Gap {
    /// The offset of its frame, where the head ends.
    pub(in super::super) from: u64,
    /// The first line that was cut.
    pub(in super::super) first: u64,
    /// Raw bytes of the head.
    pub(in super::super) raw: u64,
    /// Bytes of each stream before the frames behind it, with those that were cut.
    pub(in super::super) before: [u64; 2],
    /// Where reading goes on, at the beginning of a frame.
    pub(in super::super) start: Checkpoint,
}

impl Gap {
    /// What is missing.
    pub(in super::super) fn cut(&self) -> Cut {
        let (line, raw) = (self.start.line, self.start.raw);
        Cut { first: self.first, last: line - 1, from: self.raw, to: raw }
    }

    /// By how much what is behind it is nearer to the beginning of the file than its offset says.
    pub(in super::super) fn shift(&self) -> u64 {
        self.start.frame - self.from - wide(self.size())
    }

    /// How large its frame is.
    pub(in super::super) fn size(&self) -> usize {
        HEAD + self.payload().len()
    }

    /// Its frame.
    pub(in super::super) fn frame(&self) -> Option<Vec<u8>> {
        let payload = self.payload();
        Some([&Head::encode(Kind::Gap, 0, &payload)?[..], &payload].concat())
    }

    pub(super) fn payload(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let [stdout, stderr] = self.before;
        for number in [self.first, self.raw, stdout, stderr] {
            out.extend(number.to_le_bytes());
        }
        self.start.encode(&mut out);
        out
    }

    /// Reads the payload of the frame at offset `from`; `None` when it cannot be one.
    pub(in super::super) fn decode(bytes: &[u8], from: u64) -> Option<Self> {
        let mut fields = Fields(bytes);
        let (first, raw) = (fields.u64()?, fields.u64()?);
        let before = [fields.u64()?, fields.u64()?];
        let start = fields.checkpoint()?;
        let sound = fields.0.is_empty()
            && start.skip == 0
            && (1..start.line).contains(&first)
            && raw <= start.raw
            && before[0].checked_add(before[1]) == Some(start.raw)
            && from.checked_add(wide(HEAD + bytes.len())).is_some_and(|end| end <= start.frame);
        sound.then_some(Self { from, first, raw, before, start })
    }
}
