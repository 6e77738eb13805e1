use std::{
    fs::{self, File, OpenOptions},
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};

use automa_sandbox::{
    Chunk,
    Stream::{Stderr, Stdout},
};
use proptest::prelude::*;

use super::{any_chunks, at, chunk, place, raw, read_on, read_raw, reference, write};
use crate::execution::log::{
    Keep, LogError, LogOptions, LogReader, LogWriter,
    format::{HEAD, HEADER},
    keep::draft_of,
    recover, wide,
    writer::Disk,
};

/// A small log: each chunk is one frame.
fn small() -> Vec<Chunk> {
    vec![
        chunk(Stdout, 0, "first\nsecond "),
        chunk(Stderr, 1, "problem"),
        chunk(Stdout, 2, "half\n\u{e9}"),
        chunk(Stderr, 2, "s\n\0\x1b[1m"),
        chunk(Stdout, 9, "x"),
    ]
}

/// Where each frame ends.
fn ends(chunks: &[Chunk]) -> Vec<usize> {
    let mut end = HEADER;
    let mut step = |chunk: &Chunk| {
        end += HEAD + chunk.bytes.len();
        end
    };
    chunks.iter().map(&mut step).collect()
}

#[test]
fn a_log_cut_anywhere_keeps_every_whole_frame() {
    let chunks = small();
    let (_directory, path) = write(&chunks);
    let whole = fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let frames = ends(&chunks).iter().filter(|end| **end <= cut).count();
        let left = &chunks[..frames];
        let end = frames.checked_sub(1).map_or(HEADER, |last| ends(&chunks)[last]);

        let reader = LogReader::open(&path).unwrap();
        assert_eq!(read_on(&reader, 1, 3), reference(left, false), "cut at {cut}");
        assert_eq!(read_raw(&reader, 4), raw(left));
        assert_eq!(reader.summary(), None);
        assert_eq!(reader.damage().is_some(), cut != end && cut != 0, "cut at {cut}");

        let recovery = recover(&path).unwrap();
        assert_eq!(recovery.cut, wide(if cut < HEADER { cut } else { cut - end }));
        assert!(recovery.summary.truncated);
        assert_eq!(recovery.summary.file_bytes, path.metadata().unwrap().len());
        let reader = LogReader::open(&path).unwrap();
        assert_eq!(read_on(&reader, 1, 3), reference(left, true), "cut at {cut}");
        assert_eq!(read_raw(&reader, 4), raw(left));
        assert_eq!(reader.summary(), Some(recovery.summary));
        assert_eq!(recover(&path).unwrap().summary, recovery.summary, "it is finished");
    }
}

#[test]
fn every_flipped_bit_is_reported() {
    let chunks = small();
    let (_directory, path) = write(&chunks);
    let whole = fs::read(&path).unwrap();
    let ends = ends(&chunks);
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        let opened = LogReader::open(&path);
        if bit / 8 < HEADER {
            let refused = matches!(
                opened,
                Err(LogError::NotALog { .. } | LogError::Version { .. } | LogError::Damaged { .. })
            );
            assert!(refused, "bit {bit}");
            assert!(recover(&path).is_err());
            assert_eq!(fs::read(&path).unwrap(), bytes, "left as it is");
            continue;
        }
        let reader = opened.unwrap();
        if let Some(frame) = ends.iter().position(|end| bit / 8 < *end) {
            let begin = wide(frame.checked_sub(1).map_or(HEADER, |before| ends[before]));
            let at = |result| match result {
                Err(LogError::Damaged { offset, .. }) => offset == begin,
                _ => false,
            };
            assert!(at(reader.lines(1, 100).map(|_| ())), "bit {bit}");
            assert!(at(reader.raw(0..100).map(|_| ())), "bit {bit}");
            assert!(at(reader.tail(1).map(|_| ())), "bit {bit}");
            assert_eq!(recover(&path).unwrap().cut, 0, "a finished log is not cut");
        } else {
            // The index is damaged, the output is not.
            assert_eq!(reader.damage(), Some(wide(ends[ends.len() - 1])), "bit {bit}");
            assert_eq!(read_raw(&reader, 100), raw(&chunks));
            recover(&path).unwrap();
            let lines = read_on(&LogReader::open(&path).unwrap(), 1, 100);
            assert_eq!(lines, reference(&chunks, true));
        }
    }
}

#[test]
fn zeros_at_the_end_are_cut_off() {
    let chunks = small();
    let (_directory, path) = place();
    let mut log = LogWriter::create(&path, &LogOptions::default()).unwrap();
    for chunk in &chunks {
        log.append(chunk).unwrap();
    }
    drop(log);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(path.metadata().unwrap().len() + 5000).unwrap();
    let recovery = recover(&path).unwrap();
    assert_eq!(recovery.cut, 5000);
    let reader = LogReader::open(&path).unwrap();
    assert_eq!(reader.summary(), Some(recovery.summary));
    assert_eq!(read_raw(&reader, 100), raw(&chunks));
}

#[test]
fn files_that_are_no_logs_are_refused() {
    let (_directory, path) = place();
    fs::write(&path, "#!/bin/bash\n").unwrap();
    assert!(matches!(LogReader::open(&path), Err(LogError::NotALog { .. })));
    assert!(matches!(recover(&path), Err(LogError::NotALog { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"#!/bin/bash\n");
    let exists = LogWriter::create(&path, &LogOptions::default()).unwrap_err();
    assert!(matches!(&exists, LogError::Io { action: "create", source, .. }
        if source.kind() == io::ErrorKind::AlreadyExists));
    assert_eq!(exists.to_string(), format!("cannot create the log {}", path.display()));
    fs::write(&path, b"\x89ALOG\r\n\x09...").unwrap();
    assert!(matches!(LogReader::open(&path), Err(LogError::Version { version: 9, .. })));
    assert!(matches!(LogReader::open(path.with_extension("gone")), Err(LogError::Io { .. })));
}

/// A disk with so much space, which may fail to sync.
#[derive(Debug)]
struct Faulty {
    file: Arc<File>,
    space: AtomicU64,
    broken: AtomicBool,
}

impl Disk for Arc<Faulty> {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let fits = self.space.load(SeqCst).saturating_sub(offset);
        let fits = bytes.len().min(usize::try_from(fits).unwrap_or(usize::MAX));
        self.file.write_all_at(&bytes[..fits], offset)?;
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.broken.load(SeqCst) { Err(io::Error::other("disk")) } else { self.file.sync_data() }
    }

    fn draft(&self, path: &Path) -> io::Result<(Box<dyn Disk>, Arc<File>)> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(path)?;
        let file = Arc::new(file);
        let (space, broken) = (self.space.load(SeqCst).into(), self.broken.load(SeqCst).into());
        let draft = Faulty { file: Arc::clone(&file), space, broken };
        Ok((Box::new(Arc::new(draft)), file))
    }
}

fn faulty(path: &Path, space: u64) -> (Arc<Faulty>, Result<LogWriter, LogError>) {
    faulty_with(path, space, &LogOptions::default())
}

fn faulty_with(
    path: &Path,
    space: u64,
    log_options: &LogOptions,
) -> (Arc<Faulty>, Result<LogWriter, LogError>) {
    let mut options = OpenOptions::new();
    let file = Arc::new(options.read(true).write(true).create(true).open(path).unwrap());
    let (space, broken) = (space.into(), false.into());
    let disk = Arc::new(Faulty { file: Arc::clone(&file), space, broken });
    let log = LogWriter::on(Box::new(Arc::clone(&disk)), file, path, log_options);
    (disk, log)
}

#[test]
fn a_full_disk_harms_nothing_and_may_be_emptied() {
    let chunks = small();
    let full = |result| matches!(result, Err(LogError::NoSpace { .. }));
    let size = {
        let (_directory, path) = write(&chunks);
        path.metadata().unwrap().len()
    };
    for space in 0..size {
        let (_directory, path) = place();
        let (disk, log) = faulty(&path, space);
        let Ok(mut log) = log else {
            assert!(space < wide(HEADER));
            continue;
        };
        let reader = log.handle().reader();
        let mut written = 0;
        for (index, chunk) in chunks.iter().enumerate() {
            log.append(chunk).unwrap();
            match log.flush() {
                Ok(()) => written = index + 1,
                result => assert!(full(result)),
            }
            assert_eq!(read_on(&reader, 1, 10), reference(&chunks[..written], false));
        }
        let end = written.checked_sub(1).map_or(HEADER, |last| ends(&chunks)[last]);
        assert!(space >= wide(end), "{space}");
        if space % 2 == 0 {
            // Space is made in time.
            disk.space.store(u64::MAX, SeqCst);
            let summary = log.close().unwrap();
            assert!(!summary.truncated);
            written = chunks.len();
        } else {
            assert!(full(log.close().map(|_| ())), "{space}");
            assert!(reader.summary().is_none());
            recover(&path).unwrap();
        }
        let reader = LogReader::open(&path).unwrap();
        let left = &chunks[..written];
        assert_eq!(read_on(&reader, 1, 10), reference(left, true), "{space}");
        assert_eq!(read_raw(&reader, 10), raw(left));
    }
}

#[test]
fn a_disk_that_is_full_while_lines_are_cut_harms_nothing() {
    let keep = Keep { head_bytes: 10_000, tail_bytes: 40_000 };
    let options = LogOptions { keep, ..LogOptions::default() };
    let (_directory, path) = place();
    let (disk, log) = faulty_with(&path, u64::MAX, &options);
    let mut log = log.unwrap();
    let chunks: Vec<_> =
        (0..30).map(|n| chunk(Stdout, n, format!("{n} of some lines\n").repeat(250))).collect();
    for chunk in &chunks {
        log.append(chunk).unwrap();
    }
    let reader = log.handle().reader();
    disk.space.store(30_000, SeqCst);
    // What was appended is written; what is kept of it does not fit.
    log.flush().unwrap_err();
    disk.space.store(u64::MAX, SeqCst);
    log.flush().unwrap();
    disk.space.store(30_000, SeqCst);
    assert!(matches!(log.sync(), Err(LogError::NoSpace { .. })));
    assert!(!draft_of(&path).exists());
    assert_eq!((read_raw(&reader, 9999), reader.cut()), (raw(&chunks), None));
    // At the end that is no reason to lose anything.
    disk.space.store(u64::MAX, SeqCst);
    let summary = log.close().unwrap();
    let cut = summary.cut.unwrap();
    assert!((8000..=10_000).contains(&cut.from), "{cut:?}");
    assert_eq!(reader.raw(cut.to..cut.to + 100).unwrap(), raw(&chunks)[at(cut.to)..][..100]);
}

#[test]
fn a_chunk_that_was_refused_may_be_appended_again() {
    let (_directory, path) = place();
    let (disk, log) = faulty(&path, 1000);
    let mut log = log.unwrap();
    let chunks: Vec<_> = (0..40).map(|index| chunk(Stdout, index, vec![b'x'; 30_000])).collect();
    let mut refused = 0;
    for chunk in &chunks {
        if log.append(chunk).is_err() {
            refused += 1;
            disk.space.store(u64::MAX, SeqCst);
            log.append(chunk).unwrap();
            disk.space.store(1000, SeqCst);
        }
    }
    assert!(refused > 1);
    disk.space.store(u64::MAX, SeqCst);
    log.close().unwrap();
    assert_eq!(read_raw(&LogReader::open(&path).unwrap(), 99_999), raw(&chunks));
}

#[test]
fn after_a_failed_sync_nothing_is_promised_any_more() {
    let (_directory, path) = place();
    let (disk, log) = faulty(&path, u64::MAX);
    let mut log = log.unwrap();
    assert!(log.sync_due().is_some(), "the file itself");
    log.sync().unwrap();
    assert_eq!(log.sync_due(), None);
    log.append(&chunk(Stdout, 0, "kept\n")).unwrap();
    assert_eq!(log.sync_due(), None, "nothing was flushed");
    log.flush().unwrap();
    assert!(log.sync_due().is_some());
    disk.broken.store(true, SeqCst);
    assert!(matches!(log.sync(), Err(LogError::Unsynced { .. })));
    disk.broken.store(false, SeqCst);
    let append = log.append(&chunk(Stdout, 1, "lost\n"));
    assert!(matches!(append, Err(LogError::Unsynced { .. })));
    assert!(matches!(log.sync(), Err(LogError::Unsynced { .. })));
    assert!(matches!(log.close(), Err(LogError::Unsynced { .. })));
    recover(&path).unwrap();
    assert_eq!(read_raw(&LogReader::open(&path).unwrap(), 100), b"kept\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_index_made_anew_is_the_one_that_was_written(chunks in any_chunks(), lost in 1..33_u64) {
        let (_directory, path) = write(&chunks);
        let whole = fs::read(&path).unwrap();
        let size = wide(whole.len());
        OpenOptions::new().write(true).open(&path).unwrap().set_len(size - lost).unwrap();
        let recovery = recover(&path).unwrap();
        prop_assert_eq!(recovery.summary.file_bytes, size);
        let again = fs::read(&path).unwrap();
        // But for the flag, and the checksum over it.
        let differ = whole.iter().zip(&again).filter(|(before, after)| before != after).count();
        prop_assert!((1..=5).contains(&differ), "{differ} bytes");
    }
}
