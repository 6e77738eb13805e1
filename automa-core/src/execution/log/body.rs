//! Where the frames of a log are: in its file as they were written, or packed in blocks.
//!
//! A packed log has the same frames as the one it was made of, so that whatever reads frames reads
//! both; only where their bytes come from differs. What is behind a gap is nearer to the beginning of
//! the file than its offset says: [`Frames`](super::scan::Frames) knows by how much.

use std::{fs::File, sync::Arc};

use super::{
    Cut,
    format::{Block, Gap, HEAD, HEADER},
    scan::{Broken, Cursor, PIECE, read_up_to},
    wide,
};

/// The bytes of a log. They do not change but for what is added at their end: a log out of which
/// something is cut gets another body.
#[derive(Debug)]
pub(super) struct Body {
    file: Arc<File>,
    /// Blocks of whole frames, if it is packed.
    blocks: Option<Vec<Place>>,
    gap: Option<Gap>,
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

/// A piece of the frames, and where among them it begins.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
    packed: Vec<u8>,
}

impl Body {
    /// Frames as they were written.
    pub(super) fn plain(file: Arc<File>, gap: Option<Gap>) -> Self {
        Self { file, blocks: None, gap }
    }

    /// Blocks that follow each other in a file, from behind its header.
    pub(super) fn packed(file: Arc<File>, blocks: &[Block], gap: Option<Gap>) -> Self {
        let (mut at, mut file_at) = (wide(HEADER), wide(HEADER));
        let place = |block: &Block| {
            let place = Place { at, file_at, block: *block };
            at += wide(block.size);
            file_at += wide(block.packed);
            place
        };
        Self { blocks: Some(blocks.iter().map(place).collect()), file, gap }
    }

    pub(super) fn gap(&self) -> Option<&Gap> {
        self.gap.as_ref()
    }

    /// What was cut out of the log.
    pub(super) fn cut(&self) -> Option<Cut> {
        self.gap.as_ref().map(Gap::cut)
    }

    /// By how much what is at offset `at` is nearer to the beginning.
    pub(super) fn shift(&self, at: u64) -> u64 {
        self.gap.as_ref().filter(|gap| at >= gap.start.frame).map_or(0, Gap::shift)
    }

    /// The cursor, or if what comes next at it was cut, one behind the gap.
    pub(super) fn settle(&self, cursor: &mut Cursor) {
        let Some(gap) = &self.gap else { return };
        let used = if cursor.skip > 0 { wide(HEAD + cursor.skip) } else { 0 };
        if cursor.frame + used > gap.from && cursor.frame < gap.start.frame {
            *cursor = gap.start.cursor();
        }
    }

    /// Reads what is at `at` of the frames that there are: `len` bytes, if there are as many before
    /// `end`, and more where that costs nothing.
    pub(super) fn read(
        &self,
        piece: &mut Piece,
        at: u64,
        len: usize,
        end: u64,
    ) -> Result<(), Broken> {
        match &self.blocks {
            None => {
                let most = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE).max(len);
                piece.at = at;
                piece.bytes.resize(most, 0);
                let read = read_up_to(&self.file, &mut piece.bytes, at).map_err(Broken::Io)?;
                piece.bytes.truncate(read);
            }
            Some(blocks) => {
                let after = blocks.partition_point(|place| place.at <= at);
                let place = after.checked_sub(1).and_then(|index| blocks.get(index));
                let place = place.ok_or(Broken::Frame(at))?;
                piece.unpack(&self.file, place)?;
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
