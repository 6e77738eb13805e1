//! A head and a tail, against the plain model: lines are kept or cut, and otherwise as ever.

use std::{
    fs::{self, OpenOptions},
    path::Path,
    thread,
};

use automa_sandbox::{
    Chunk,
    Stream::{Stderr, Stdout},
};
use proptest::prelude::*;

use super::{any_chunks, at, chunk, ends, line_bytes, place, raw, read_on, reference};
use crate::execution::log::{
    Cut, Direction, Ending, Keep, LINE_MAX, Line, LogOptions, LogReader, LogWriter, Search,
    keep::draft_of, pack, recover, wide,
};

/// So much more than it should a log may hold in the end: what stands in the place of less, with the
/// beginning of a line, and the last line of each stream.
const MORE: u64 = 3 * (LINE_MAX as u64 + 1024);

fn options(keep: Keep) -> LogOptions {
    LogOptions { keep, ..LogOptions::default() }
}

fn any_keep() -> impl Strategy<Value = Keep> {
    (0..60_000_u64, 0..60_000_u64)
        .prop_map(|(head_bytes, tail_bytes)| Keep { head_bytes, tail_bytes })
}

/// Output enough to be cut.
fn much() -> impl Strategy<Value = Vec<Chunk>> {
    proptest::collection::vec(any_chunks(), 1..4).prop_map(|parts| {
        let (mut all, mut now) = (Vec::new(), 0);
        for part in parts {
            for one in part {
                now += 1;
                all.push(chunk(one.stream, now, one.bytes));
            }
        }
        all
    })
}

/// Writes all of it, synced where `synced` says so, and leaves the log open.
fn written(path: &Path, chunks: &[Chunk], keep: Keep, synced: &[bool]) -> LogWriter {
    let mut log = LogWriter::create(path, &options(keep)).unwrap();
    for (index, chunk) in chunks.iter().enumerate() {
        log.append(chunk).unwrap();
        log.flush().unwrap();
        if synced[index % synced.len()] {
            log.sync().unwrap();
        }
    }
    log
}

/// What is left of lines.
fn left(lines: &[Line], cut: Option<Cut>) -> Vec<Line> {
    let kept = |line: &&Line| cut.is_none_or(|cut| line.n < cut.first || line.n > cut.last);
    lines.iter().filter(kept).cloned().collect()
}

/// Whether lines are the same; otherwise it says where they differ.
fn same(seen: &[Line], expected: &[Line]) -> Result<(), TestCaseError> {
    let place = seen.iter().zip(expected).position(|(one, other)| one != other);
    let place = place.unwrap_or(seen.len().min(expected.len()));
    let about =
        |line: Option<&Line>| line.map(|it| (it.n, it.stream, it.t_ms, it.text.len(), it.ending));
    prop_assert_eq!(about(seen.get(place)), about(expected.get(place)));
    prop_assert_eq!(seen.len(), expected.len());
    Ok(())
}

/// All raw bytes that there are, from both sides of what was cut.
fn raw_left(reader: &LogReader) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut place = 0;
    while place < reader.raw_len() {
        let piece = reader.raw(place..u64::MAX).unwrap();
        if piece.is_empty() {
            place = reader.cut().expect("nothing else is missing").to;
            continue;
        }
        place += wide(piece.len());
        bytes.extend(piece);
    }
    bytes
}

/// A finished log is as the model says that is left of `chunks`.
fn check(reader: &LogReader, chunks: &[Chunk], limit: usize) -> Result<(), TestCaseError> {
    let cut = reader.cut();
    let lines = left(&reference(chunks, true), cut);
    same(&read_on(reader, 1, limit), &lines)?;
    let mut bytes = raw(chunks);
    if let Some(cut) = cut {
        bytes.drain(at(cut.from)..at(cut.to));
        let window = reader.lines(cut.first, 1).unwrap();
        let behind = lines.iter().find(|line| line.n > cut.last);
        prop_assert_eq!(window.lines.first(), behind);
        prop_assert_eq!(window.cut, Some(cut));
        for from in [cut.first - 1, cut.last, cut.last + 2] {
            let expected: Vec<_> =
                lines.iter().filter(|line| line.n >= from).take(3).cloned().collect();
            prop_assert_eq!(reader.lines(from, 3).unwrap().lines, expected);
        }
    }
    prop_assert_eq!(raw_left(reader), bytes);
    let tail = reader.tail(limit).unwrap().lines;
    prop_assert!(lines.ends_with(&tail));

    let texts = line_bytes(chunks);
    let wanted = |line: &&Line| texts[at(line.n) - 1].contains(&b'a');
    let found: Vec<Line> = lines.iter().filter(wanted).cloned().collect();
    let search = Search::text("a", true).unwrap();
    for direction in [Direction::Forward, Direction::Backward] {
        let mut all: Vec<Line> = Vec::new();
        let mut from = if direction == Direction::Forward { 1 } else { u64::MAX };
        loop {
            let it = reader.find(&search, from, direction, limit, || false).unwrap();
            let place = if direction == Direction::Forward { all.len() } else { 0 };
            all.splice(place..place, it.lines.iter().cloned());
            if !it.more() {
                break;
            }
            from = it.next;
        }
        same(&all, &found)?;
    }
    let total = reader.total();
    prop_assert_eq!(total, wide(reference(chunks, true).len()));
    let count = reader.count(&search, (1, u64::MAX), u64::MAX, || true).unwrap();
    prop_assert_eq!((count.matches, count.more), (wide(found.len()), false));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 16))]

    #[test]
    fn a_log_keeps_its_head_and_its_newest_lines(
        chunks in much(),
        keep in any_keep(),
        synced in proptest::collection::vec(any::<bool>(), 1..5),
        limit in 100..1000_usize,
    ) {
        let (_directory, path) = place();
        let log = written(&path, &chunks, keep, &synced);
        let growing = log.handle().reader();
        let summary = log.close().unwrap();
        let (total, ends) = (wide(raw(&chunks).len()), ends(&chunks));
        prop_assert_eq!((summary.bytes(), summary.truncated), (total, summary.cut.is_some()));
        prop_assert_eq!(summary.file_bytes, path.metadata().unwrap().len());
        if let Some(cut) = summary.cut {
            let end = |line: u64| line.checked_sub(1).map_or(0, |before| ends[at(before)]);
            // That a line goes on in the next is known by a byte of that.
            let lines = reference(&chunks, true);
            let split = |line: u64| line > 0 && lines[at(line) - 1].ending == Ending::Split;
            let known = |line| end(line) + u64::from(split(line));
            prop_assert_eq!((cut.from, cut.to), (known(cut.first - 1), end(cut.last)));
            prop_assert!(cut.from <= keep.head_bytes && known(cut.first) > keep.head_bytes);
            prop_assert!(end(cut.last - 1) < total.saturating_sub(keep.tail_bytes), "too much was cut");
            prop_assert!(cut.last < wide(ends.len()), "the last line is kept");
        }
        let kept = total - summary.cut.map_or(0, |cut| cut.bytes());
        prop_assert!(kept <= keep.head_bytes + keep.tail_bytes + MORE, "{kept} of {keep:?}");
        check(&growing, &chunks, limit)?;
        check(&LogReader::open(&path).unwrap(), &chunks, limit)?;
        let draft = path.with_extension("draft");
        let packed = pack(&path, &draft).unwrap();
        if let Some(packed) = packed {
            prop_assert_eq!((packed.cut, packed.bytes()), (summary.cut, summary.bytes()));
        }
        check(&LogReader::open(&path).unwrap(), &chunks, limit)?;
    }

    #[test]
    fn a_crash_leaves_what_was_written_but_for_what_was_cut(
        chunks in much(),
        keep in any_keep(),
        synced in proptest::collection::vec(any::<bool>(), 1..5),
        lost in 0..30_000_u64,
        drafted: bool,
    ) {
        let (_directory, path) = place();
        let log = written(&path, &chunks, keep, &synced);
        let (growing, lines) = (log.handle().reader(), log.handle().reader().total());
        prop_assert_eq!(raw_left(&growing).len(), at(growing.raw_len() - growing.cut().map_or(0, |cut| cut.bytes())));
        drop(log);
        let size = path.metadata().unwrap().len();
        let header = 8;
        let left_of = size.saturating_sub(lost).max(header);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(left_of).unwrap();
        if drafted {
            fs::write(draft_of(&path), "half of what was to be kept").unwrap();
        }
        let opened = LogReader::open(&path).unwrap();
        let before = read_on(&opened, 1, 1000);
        let recovery = recover(&path).unwrap();
        prop_assert!(!draft_of(&path).exists());
        let reader = LogReader::open(&path).unwrap();
        prop_assert_eq!(reader.summary(), Some(recovery.summary));
        prop_assert_eq!(recovery.summary.file_bytes, path.metadata().unwrap().len());
        let after = read_on(&reader, 1, 1000);
        prop_assert!(after.starts_with(&before));
        let all = left(&reference(&chunks, false), reader.cut());
        prop_assert!(all.starts_with(&before));
        // Whole lines may be lost at the end only.
        prop_assert!(lost > 0 || wide(before.len()) == lines - reader.cut().map_or(0, |cut| cut.lines()));
        let mut bytes = raw(&chunks);
        if let Some(cut) = reader.cut() {
            bytes.drain(at(cut.from)..at(cut.to));
        }
        prop_assert!(bytes.starts_with(&raw_left(&reader)));
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 32))]

    #[test]
    fn who_follows_sees_every_line_or_is_told_of_the_gap(
        chunks in much(),
        keep in any_keep(),
        slow: bool,
    ) {
        let (_directory, path) = place();
        let mut log = LogWriter::create(&path, &options(keep)).unwrap();
        let handle = log.handle();
        let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        let seen = thread::scope(|scope| {
            let viewer = scope.spawn(|| runtime().block_on(async {
                let (mut tail, mut next, mut seen) = (handle.subscribe(), 1, Vec::new());
                while let Some(window) = tail.next(next).await.unwrap() {
                    let first = window.lines.first().map_or(window.next, |line| line.n);
                    let cut = window.cut;
                    assert!(first == next || cut.is_some_and(|cut| cut.last + 1 >= first), "{cut:?}");
                    seen.extend(window.lines);
                    next = window.next;
                    if slow {
                        tokio::task::yield_now().await;
                    }
                }
                seen
            }));
            for (index, chunk) in chunks.iter().enumerate() {
                log.append(chunk).unwrap();
                log.flush().unwrap();
                if index % 4 == 3 {
                    log.sync().unwrap();
                }
            }
            log.close().unwrap();
            viewer.join().unwrap()
        });
        let lines = reference(&chunks, true);
        let mut last = 0;
        for line in &seen {
            prop_assert!(line.n > last);
            prop_assert_eq!(line, &lines[at(line.n) - 1]);
            last = line.n;
        }
        let cut = handle.reader().cut();
        let missing = left(&lines, cut).into_iter().find(|line| !seen.contains(line));
        prop_assert_eq!(missing, None, "what is kept was seen");
    }
}

#[test]
fn what_is_read_at_a_moment_stays_as_it_was() {
    let (_directory, path) = place();
    let keep = Keep::newest(20_000);
    let mut log = LogWriter::create(&path, &options(keep)).unwrap();
    let first: Vec<_> =
        (0..10).map(|n| chunk(Stdout, n, format!("{n} of the first\n").repeat(400))).collect();
    for chunk in &first {
        log.append(chunk).unwrap();
    }
    log.flush().unwrap();
    let then = log.handle().reader().frozen();
    for n in 10..100 {
        log.append(&chunk(Stderr, n, format!("{n} of the others\n").repeat(400))).unwrap();
        log.sync().unwrap();
    }
    let now = log.handle().reader();
    assert!(now.cut().is_some_and(|cut| cut.first == 1));
    assert_eq!((raw_left(&then), then.cut()), (raw(&first), None));
    assert_eq!(read_on(&then, 1, 1000), reference(&first, false));
    let size = path.metadata().unwrap().len();
    assert!(size < 120_000, "{size} while it is written");
    log.close().unwrap();
    let size = path.metadata().unwrap().len();
    assert!((15_000..30_000).contains(&size), "{size}");
}

#[test]
fn lines_without_an_end_are_cut_as_lines() {
    let (_directory, path) = place();
    let chunks: Vec<_> = (0..40).map(|n| chunk(Stdout, n, "x".repeat(10_000))).collect();
    let log = written(&path, &chunks, Keep::both_ends(100_000), &[true, false]);
    let cut = log.close().unwrap().cut.unwrap();
    assert_eq!((cut.first, cut.from), (4, 3 * wide(LINE_MAX) + 1));
    let lines = read_on(&LogReader::open(&path).unwrap(), 1, 7);
    assert_eq!(lines, left(&reference(&chunks, true), Some(cut)));
    assert_eq!(lines.iter().map(|line| line.n).collect::<Vec<_>>(), [1, 2, 3, 23, 24, 25]);
}

#[test]
fn a_log_that_is_not_much_too_long_is_left_alone() {
    for keep in [Keep::default(), Keep::both_ends(100)] {
        let (_directory, path) = place();
        let chunks = [chunk(Stdout, 0, "a line\n".repeat(20))];
        let log = written(&path, &chunks, keep, &[true]);
        assert_eq!(log.close().unwrap().cut, None);
        assert_eq!(read_on(&LogReader::open(&path).unwrap(), 1, 7), reference(&chunks, true));
    }
}
