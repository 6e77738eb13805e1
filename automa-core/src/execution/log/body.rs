//! Where the frames of a log are: in its file as they were written, or packed in blocks.
//!
//! A packed log has the same frames at the same offsets as the one it was made of, so that whatever
//! reads frames reads both; only where their bytes come from differs.

use std::{fs::File, sync::Arc};

use super::{
    format::{Block, HEADER},
    scan::{Broken, PIECE, read_up_to},
    wide,
};

#[derive(Debug)]
pub(super) enum Body {
    /// At their offsets.
    Plain(Arc<File>),
    /// In blocks of whole frames.
    Packed { file: Arc<File>, blocks: Vec<Place> },
}

/// Where a block is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The offset of its first frame.
    at: u64,
    /// Where it is in the file.
    file_at: u64,
    block: Block,
}

/// A piece of the frames, and the offset where it begins.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
    packed: Vec<u8>,
}

impl Body {
    /// Blocks that follow each other in a file, from behind its header.
    pub(super) fn packed(file: Arc<File>, blocks: &[Block]) -> Self {
        let (mut at, mut file_at) = (wide(HEADER), wide(HEADER));
        let place = |block: &Block| {
            let place = Place { at, file_at, block: *block };
            at += wide(block.size);
            file_at += wide(block.packed);
            place
        };
        Self::Packed { blocks: blocks.iter().map(place).collect(), file }
    }

    /// Reads what is at offset `at`: `len` bytes, if there are as many before `end`, and more where
    /// that costs nothing.
    pub(super) fn read(
        &self,
        piece: &mut Piece,
        at: u64,
        len: usize,
        end: u64,
    ) -> Result<(), Broken> {
        match self {
            Self::Plain(file) => {
                let most = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE).max(len);
                piece.at = at;
                piece.bytes.resize(most, 0);
                let read = read_up_to(file, &mut piece.bytes, at).map_err(Broken::Io)?;
                piece.bytes.truncate(read);
            }
            Self::Packed { file, blocks } => {
                let after = blocks.partition_point(|place| place.at <= at);
                let place = after.checked_sub(1).and_then(|index| blocks.get(index));
                let place = place.ok_or(Broken::Frame(at))?;
                piece.unpack(file, place)?;
            }
        }
        Ok(())
    }
}

impl Piece {
    fn unpack(&mut self, file: &File, place: &Place) -> Result<(), Broken> {
        let Place { at, file_at, block } = *place;
        self.packed.resize(block.packed, 0);
        let read = read_up_to(file, &mut self.packed, file_at).map_err(Broken::Io)?;
        self.at = at;
        self.bytes.resize(block.size, 0);
        let unpacked = lz4_flex::block::decompress_into(&self.packed[..read], &mut self.bytes);
        if unpacked.is_ok_and(|size| size == block.size) {
            return Ok(());
        }
        self.bytes.clear();
        Err(Broken::Frame(at))
    }
}
