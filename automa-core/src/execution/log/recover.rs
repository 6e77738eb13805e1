//! What is in a file: a finished log, or what a crash has left of one.

use std::{
    fs::{self, File, OpenOptions},
    io, mem,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use super::{
    LogError, Summary,
    body::Body,
    format::{
        Block, CUT_HEADER_BYTES, Footer, Gap, HEAD, HEADER, HEADER_BYTES, Head, Header, Kind,
        TRAILER, read_packed_index, trailer, trailer_offset,
    },
    index::Indexer,
    keep::draft_of,
    scan::{Broken, Entry, Frames, read_up_to},
    wide,
};

/// What [`recover`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// What the log holds.
    pub summary: Summary,
    /// How many bytes were cut off the file, because they were not a whole frame, or came after
    /// one that was not.
    pub cut: u64,
}

/// Finishes a log that a crash has cut short: cuts off the torn frame, counts what is there, and
/// writes the index. A finished log is left as it is.
///
/// The log must not be in use by a [`LogWriter`](super::LogWriter).
///
/// # Errors
///
/// [`LogError::NotALog`] and [`LogError::Version`], the file being left as it is; otherwise as
/// [`LogWriter::close`](super::LogWriter::close).
pub fn recover(path: impl AsRef<Path>) -> Result<Recovery, LogError> {
    let path = path.as_ref();
    let io = |action| move |error| LogError::io(action, path, error);
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(io("open"))?;
    let file = Arc::new(file);
    match fs::remove_file(draft_of(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io("recover")(error)),
        _ => {}
    }
    let (end, mut indexer, gap, t_ms, cut) = match examine(&file, path)? {
        Found::Finished { footer, file_bytes, .. } => {
            return Ok(Recovery { summary: summary(&footer, file_bytes), cut: 0 });
        }
        Found::Cut { end, indexer, gap, t_ms, cut } => (end, indexer, gap, t_ms, cut),
    };
    let (at, header) = match &gap {
        None => (end, HEADER_BYTES),
        Some(gap) => (end - gap.shift(), CUT_HEADER_BYTES),
    };
    indexer.finish();
    let footer = Footer {
        lines: indexer.lines(),
        bytes: indexer.bytes(),
        truncated: true,
        checkpoints: mem::take(&mut indexer.fresh),
        gap,
    };
    file.set_len(at).map_err(io("cut"))?;
    // Where not even the header was written.
    file.write_all_at(&header, 0).map_err(io("write"))?;
    let tail = ending(&footer, t_ms, at).map_err(io("write"))?;
    file.write_all_at(&tail, at).map_err(io("write"))?;
    file.sync_data().map_err(|_| LogError::Unsynced { path: path.to_path_buf() })?;
    Ok(Recovery { summary: summary(&footer, at + wide(tail.len())), cut })
}

/// What a finished file ends in, from `at` on, where its frames end.
pub(super) fn ending(footer: &Footer, t_ms: u64, at: u64) -> io::Result<Vec<u8>> {
    let payload = footer.encode();
    let head = Head::encode(Kind::Index, t_ms, &payload)
        .ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
    Ok([&head[..], &payload, &trailer(at)].concat())
}

/// What a log with this index holds.
pub(super) fn summary(footer: &Footer, file_bytes: u64) -> Summary {
    let [stdout_bytes, stderr_bytes] = footer.bytes;
    let (lines, truncated) = (footer.lines, footer.truncated);
    let cut = footer.gap.as_ref().map(Gap::cut);
    Summary { lines, stdout_bytes, stderr_bytes, file_bytes, truncated, cut }
}

/// What is in a file.
#[derive(Debug)]
pub(super) enum Found {
    /// A finished log, whose frames end at `end`; in blocks if it is packed.
    Finished { end: u64, footer: Footer, blocks: Option<Vec<Block>>, file_bytes: u64 },
    /// Frames up to `end`, the last of them read at `t_ms`, and `cut` bytes that are none.
    Cut { end: u64, indexer: Indexer, gap: Option<Gap>, t_ms: u64, cut: u64 },
}

/// Looks at a file.
pub(super) fn examine(file: &Arc<File>, path: &Path) -> Result<Found, LogError> {
    let io = |error| LogError::io("read", path, error);
    let len = file.metadata().map_err(io)?.len();
    let mut first = [0; HEADER];
    let read = read_up_to(file, &mut first, 0).map_err(io)?;
    let path = path.to_path_buf();
    let damaged = |offset| LogError::Damaged { path: path.clone(), offset };
    let cut = match Header::of(&first[..read]) {
        Header::Plain { cut } => cut,
        Header::Packed { cut } => {
            let found = index(file, len).map_err(io)?;
            let read = |(at, payload): (u64, Vec<u8>)| read_packed_index(&payload, at);
            let found = found.and_then(read).filter(|(_, footer, _)| footer.gap.is_some() == cut);
            // It was complete before it got its name.
            let (at, footer, blocks) = found.ok_or_else(|| damaged(len))?;
            let end = footer.end(at).ok_or_else(|| damaged(len))?;
            return Ok(Found::Finished { end, footer, blocks: Some(blocks), file_bytes: len });
        }
        Header::Version(version) => return Err(LogError::Version { path, version }),
        Header::Foreign => return Err(LogError::NotALog { path }),
        Header::Torn => {
            let (end, indexer) = (wide(HEADER), Indexer::default());
            return Ok(Found::Cut { end, indexer, gap: None, t_ms: 0, cut: len });
        }
    };
    if let Some((at, payload)) = index(file, len).map_err(io)?
        && let Some(footer) = Footer::decode(&payload, at)
        && let Some(end) = footer.end(at)
    {
        if footer.gap.is_some() != cut {
            return Err(damaged(0));
        }
        return Ok(Found::Finished { end, footer, blocks: None, file_bytes: len });
    }
    scan(file, len).map_err(io)
}

/// Reads all frames of a file of `len` bytes up to the first damage.
fn scan(file: &Arc<File>, len: u64) -> io::Result<Found> {
    let body = Body::plain(Arc::clone(file), None);
    // Whatever the offsets, there are no more bytes than these: reading stops at the file's end.
    let mut frames = Frames::new(&body, wide(HEADER), u64::MAX);
    let (mut indexer, mut t_ms, mut end) = (Indexer::default(), 0, wide(HEADER));
    let mut gap = None;
    loop {
        match frames.next() {
            Ok(Some(Entry::Output(frame))) => {
                indexer.add(frame.offset, 0, (frame.stream, frame.t_ms, frame.payload));
                t_ms = frame.t_ms;
                end = frame.offset + wide(frame.bytes.len());
            }
            Ok(Some(Entry::Gap(it))) if gap.is_none() && it.raw <= indexer.raw() => {
                indexer.skip(&it);
                end = it.start.frame;
                gap = Some(it);
            }
            Ok(Some(Entry::Gap(_)) | None) | Err(Broken::Frame(_)) => break,
            Err(Broken::Io(error)) => return Err(error),
        }
    }
    let at = end - gap.as_ref().map_or(0, Gap::shift);
    Ok(Found::Cut { end, indexer, gap, t_ms, cut: len - at })
}

/// The payload of the index at the end of a file of `len` bytes, and where that begins, if it is
/// there and whole.
fn index(file: &File, len: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    let Some(trailer_at) = len.checked_sub(wide(TRAILER)) else { return Ok(None) };
    let mut trailer = [0; TRAILER];
    let read = read_up_to(file, &mut trailer, trailer_at)?;
    let Some(at) = trailer_offset(&trailer[..read]) else { return Ok(None) };
    let Some(size) = trailer_at.checked_sub(at).and_then(|size| usize::try_from(size).ok()) else {
        return Ok(None);
    };
    let mut frame = vec![0; size];
    let read = read_up_to(file, &mut frame, at)?;
    let whole = |frame: &[u8]| -> Option<Vec<u8>> {
        let head = Head::decode(frame)?;
        let (head_bytes, payload) = frame.split_at_checked(HEAD)?;
        let sound = head.kind == Kind::Index
            && head.len == payload.len()
            && head.vouches_for(head_bytes, payload);
        sound.then(|| payload.to_vec())
    };
    Ok(whole(&frame[..read]).map(|payload| (at, payload)))
}
