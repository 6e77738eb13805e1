use std::{fs, path::Path};

use automa_sandbox::{
    Chunk,
    Stream::{Stderr, Stdout},
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::{any_chunks, any_stream, chunk, raw, read_on, read_raw, reference, write};
use crate::execution::log::{
    Direction, LogError, LogOptions, LogReader, LogWriter, Search, pack, recover, wide,
};

/// Packs a log in place.
fn packed(path: &Path) -> bool {
    let draft = path.with_extension("draft");
    let done = pack(path, &draft).unwrap();
    assert!(!draft.exists());
    if let Some(summary) = done {
        assert_eq!(summary.file_bytes, fs::metadata(path).unwrap().len());
    }
    done.is_some()
}

/// Output with a usual log in front of it, so that it is worth packing.
fn long(mut chunks: Vec<Chunk>) -> Vec<Chunk> {
    let mut all: Vec<_> = (0..60)
        .map(|n| {
            chunk(Stdout, 0, format!("{n} is a line of a log as scripts write them\n").repeat(150))
        })
        .collect();
    all.append(&mut chunks);
    all
}

/// A packed log of about 1.5 MB and its output.
fn sample() -> (TempDir, std::path::PathBuf, Vec<Chunk>) {
    let lines = |n: u64| format!("{n} of many lines of usual length\n").repeat(40);
    let stream = |n| if n % 7 == 0 { Stderr } else { Stdout };
    let chunks: Vec<_> = (0..1000).map(|n| chunk(stream(n), n, lines(n))).collect();
    let (directory, path) = write(&chunks);
    assert!(packed(&path));
    (directory, path, chunks)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 4))]

    #[test]
    fn any_log_is_the_same_when_it_is_packed(
        chunks in any_chunks(),
        stream in proptest::option::of(any_stream()),
        limit in 100..1000_usize,
        place in 0.0..1.0,
    ) {
        let chunks = long(chunks);
        let (_directory, path) = write(&chunks);
        let before = LogReader::open(&path).unwrap();
        let lines = reference(&chunks, true);
        prop_assert!(packed(&path));
        let after = LogReader::open(&path).unwrap();
        prop_assert_eq!(&read_on(&after, 1, limit), &lines);
        prop_assert_eq!(read_raw(&after, 100_000), raw(&chunks));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
            reason = "any place will do")]
        let at = |most: u64| (place * most as f64) as u64;
        let (line, byte) = (at(after.total()) + 1, at(after.raw_len()));
        prop_assert_eq!(after.lines(line, limit).unwrap(), before.lines(line, limit).unwrap());
        prop_assert_eq!(after.tail(limit).unwrap(), before.tail(limit).unwrap());
        prop_assert_eq!(after.raw(byte..byte + 70_000).unwrap(), before.raw(byte..byte + 70_000).unwrap());
        let search = Search::text("ab", false).unwrap().of(stream);
        for direction in [Direction::Forward, Direction::Backward] {
            let find = |log: &LogReader| log.find(&search, line, direction, limit, || true).unwrap();
            prop_assert_eq!(find(&after), find(&before));
        }
        let count = |log: &LogReader| log.count(&search, (1, line), u64::MAX, || true).unwrap();
        prop_assert_eq!(count(&after), count(&before));
        let summary = |log: &LogReader| {
            let summary = log.summary().unwrap();
            (summary.lines, summary.stdout_bytes, summary.stderr_bytes, summary.truncated)
        };
        prop_assert_eq!(summary(&after), summary(&before));
        prop_assert!(after.summary().unwrap().file_bytes < before.summary().unwrap().file_bytes);
    }

    #[test]
    fn any_damage_is_found_and_never_shown(at in 0.0..1.0, bit in 0..8_u32) {
        let (_directory, path, chunks) = sample();
        let mut bytes = fs::read(&path).unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
            reason = "any byte will do")]
        let at = (at * bytes.len() as f64) as usize;
        bytes[at] ^= 1 << bit;
        fs::write(&path, &bytes).unwrap();
        let whole = raw(&chunks);
        let mut read = Vec::new();
        let result = LogReader::open(&path).and_then(|log| {
            while read.len() < whole.len() {
                let from = wide(read.len());
                read.extend(log.raw(from..from + 100_000)?);
            }
            Ok(())
        });
        prop_assert!(whole.starts_with(&read), "what is read was written");
        // A bit that LZ4 does not look at changes nothing.
        prop_assert!(result.is_err() || read == whole);
        if let Err(error) = result {
            let told = matches!(
                error,
                LogError::Damaged { .. } | LogError::NotALog { .. } | LogError::Version { .. }
            );
            prop_assert!(told, "{error:?}");
        }
    }

    #[test]
    fn a_torn_packed_log_is_damaged(len in 0.0..1.0) {
        let (_directory, path, _) = sample();
        let bytes = fs::read(&path).unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
            reason = "any length will do")]
        let len = (len * bytes.len() as f64) as usize;
        fs::write(&path, &bytes[..len]).unwrap();
        let damaged = matches!(LogReader::open(&path), Err(LogError::Damaged { .. }));
        // Of less than a header it is not known that it was packed.
        prop_assert!(damaged || len < 8);
    }
}

#[test]
fn who_reads_goes_on_while_the_log_is_packed() {
    let chunks = long(Vec::new());
    let (_directory, path) = write(&chunks);
    let reader = LogReader::open(&path).unwrap();
    let first = reader.lines(1, 10).unwrap();
    assert!(packed(&path));
    assert_eq!(read_on(&reader, 1, 1000), reference(&chunks, true));
    assert_eq!(reader.lines(1, 10).unwrap(), first);
}

#[test]
fn what_is_not_worth_it_stays_as_it_is() {
    let stays = |path: &Path| {
        let before = fs::read(path).unwrap();
        assert!(!packed(path));
        assert_eq!(fs::read(path).unwrap(), before);
    };
    // Small.
    let (_directory, path) = write(&[chunk(Stdout, 0, "line\n".repeat(100))]);
    stays(&path);
    // Without a pattern.
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    });
    let (_directory, path) = write(&[chunk(Stdout, 0, noise.take(300_000).collect::<Vec<_>>())]);
    stays(&path);
    // Packed already.
    let (_directory, path, _) = sample();
    stays(&path);
    // Not finished.
    let (_directory, path) = super::place();
    let mut log = LogWriter::create(&path, &LogOptions::default()).unwrap();
    for chunk in long(Vec::new()) {
        log.append(&chunk).unwrap();
    }
    log.flush().unwrap();
    stays(&path);
}

#[test]
fn a_draft_that_a_crash_has_left_is_written_over() {
    let chunks = long(Vec::new());
    let (_directory, path) = write(&chunks);
    let draft = path.with_extension("draft");
    fs::write(&draft, "half of a log".repeat(100_000)).unwrap();
    assert_eq!(read_on(&LogReader::open(&path).unwrap(), 1, 1000), reference(&chunks, true));
    assert!(packed(&path));
    assert_eq!(read_on(&LogReader::open(&path).unwrap(), 1, 1000), reference(&chunks, true));
}

#[test]
fn a_packed_log_is_whole_for_recovery_and_a_damaged_one_is_not_packed() {
    let (_directory, path, chunks) = sample();
    let recovery = recover(&path).unwrap();
    assert_eq!((recovery.cut, recovery.summary.bytes()), (0, wide(raw(&chunks).len())));

    let chunks = long(Vec::new());
    let (_directory, path) = write(&chunks);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100_000] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let draft = path.with_extension("draft");
    let error = pack(&path, &draft).unwrap_err();
    assert!(matches!(error, LogError::Damaged { .. }), "{error:?}");
    assert!(fs::read(&path).unwrap() == bytes && !draft.exists());
}

/// If this fails, the stored format has changed: add a version, do not change the bytes.
#[test]
fn packed_bytes_stay_as_they_are() {
    use crate::execution::log::format::{Block, Footer, packed_index, read_packed_index};
    let footer =
        Footer { lines: 3, bytes: [10, 0], truncated: false, checkpoints: Vec::new(), gap: None };
    let blocks = [Block { packed: 5, size: 26 }];
    let index = packed_index(&footer, 34, &blocks);
    let hex: Vec<_> = index.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex.concat(),
        "2000000003000000000000000a000000000000000000000000000000000000000000000022000000000000000500\
         00001a000000"
    );
    assert_eq!(read_packed_index(&index, 13), Some((34, footer, blocks.to_vec())));
    for (index, at) in [(&index[..], 14), (&index[..index.len() - 1], 13), (&[], 8)] {
        assert_eq!(read_packed_index(index, at), None);
    }
}
