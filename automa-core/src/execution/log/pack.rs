//! Packing: a finished log becomes smaller.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
};

use super::{
    LogError, Summary,
    body::Body,
    format::{
        BLOCK, Block, Footer, HEADER, Head, Kind, PACKED_CUT_HEADER_BYTES, PACKED_HEADER_BYTES,
        packed_index, trailer,
    },
    recover::{Found, examine, summary},
    scan::{Broken, Entry, Frames},
    wide,
};

/// Logs whose file is smaller than this many bytes are not packed (64 KiB).
pub(crate) const PACK_MIN: u64 = 64 * 1024;

/// Packs the finished log at `path`: writes it anew to `draft`, in the same directory, and puts that
/// in its place once the disk has it. Whoever reads the log meanwhile goes on. Returns what it holds
/// then; `None` if it stays as it was, because it is small, not finished, packed already, or would
/// not become smaller.
///
/// Lines, searches and raw bytes are the same before and after. A crash leaves one of both, whole,
/// and maybe the draft, which is written over.
///
/// # Errors
///
/// As [`LogReader::open`](super::LogReader::open), [`LogError::Damaged`], and those of writing; the
/// log stays as it was.
pub fn pack(path: impl AsRef<Path>, draft: impl AsRef<Path>) -> Result<Option<Summary>, LogError> {
    let (path, draft) = (path.as_ref(), draft.as_ref());
    let file = Arc::new(File::open(path).map_err(|error| LogError::io("open", path, error))?);
    let Found::Finished { end, footer, blocks: None, file_bytes } = examine(&file, path)? else {
        return Ok(None);
    };
    if file_bytes < PACK_MIN {
        return Ok(None);
    }
    let body = Body::plain(file, footer.gap.clone());
    let written = write(&body, end, &footer, draft).map_err(|broken| match broken {
        Broken::Io(error) => LogError::io("pack", path, error),
        Broken::Frame(offset) => LogError::Damaged { path: path.into(), offset },
    });
    match written {
        Ok(packed) if packed < file_bytes => {
            let put = fs::rename(draft, path).and_then(|()| sync_directory(path));
            put.map_err(|error| LogError::io("replace", path, error))?;
            Ok(Some(summary(&footer, packed)))
        }
        written => {
            // What is left of it is written over the next time.
            let _ = fs::remove_file(draft);
            written.map(|_| None)
        }
    }
}

/// Writes frames in blocks, and the index behind them. Returns how large the file is.
fn write(body: &Body, end: u64, footer: &Footer, draft: &Path) -> Result<u64, Broken> {
    let mut open = OpenOptions::new();
    open.write(true).create(true).truncate(true).mode(0o600);
    let mut out = open.open(draft).map_err(Broken::Io)?;
    let (header, shift) = match &footer.gap {
        None => (PACKED_HEADER_BYTES, 0),
        Some(gap) => (PACKED_CUT_HEADER_BYTES, gap.shift()),
    };
    out.write_all(&header).map_err(Broken::Io)?;
    let mut frames = Frames::new(body, wide(HEADER), end);
    let (mut blocks, mut at, mut block) = (Vec::new(), wide(HEADER), Vec::new());
    loop {
        let entry = frames.next()?;
        let ended = entry.is_none();
        match entry {
            Some(Entry::Output(frame)) => block.extend(frame.bytes),
            Some(Entry::Gap(gap)) => block.extend(gap.frame().ok_or(Broken::Frame(gap.from))?),
            None => {}
        }
        if block.len() >= BLOCK || ended && !block.is_empty() {
            let packed = lz4_flex::block::compress(&block);
            out.write_all(&packed).map_err(Broken::Io)?;
            blocks.push(Block { packed: packed.len(), size: block.len() });
            at += wide(packed.len());
            block.clear();
        }
        if ended {
            break;
        }
    }
    let index = packed_index(footer, end - shift, &blocks);
    let head = Head::encode(Kind::Index, 0, &index);
    let head = head.ok_or_else(|| Broken::Io(io::ErrorKind::FileTooLarge.into()))?;
    let ending = [&head[..], &index, &trailer(at)].concat();
    out.write_all(&ending).and_then(|()| out.sync_all()).map_err(Broken::Io)?;
    Ok(at + wide(ending.len()))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|path| !path.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
