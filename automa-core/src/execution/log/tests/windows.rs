use std::{fs::File, sync::Arc};

use automa_sandbox::{
    Chunk,
    Stream::{Stderr, Stdout},
};
use proptest::prelude::*;

use super::{any_chunks, chunk, completed, place, raw, read_on, read_raw, reference, write};
use crate::execution::log::{
    Ending, LINE_MAX, LogOptions, LogReader, LogWriter, Mask, RAW_MAX, WINDOW_BYTES, WINDOW_LINES,
    index::Checkpoint,
    recover::{Found, examine},
    wide,
};

fn checkpoints(path: &std::path::Path) -> Vec<Checkpoint> {
    match examine(&Arc::new(File::open(path).unwrap()), path).unwrap() {
        Found::Finished { footer, .. } => footer.checkpoints,
        Found::Cut { .. } => panic!("the log is not finished"),
    }
}

#[test]
fn streams_are_assembled_apart_and_numbered_when_complete() {
    let chunks = [
        chunk(Stdout, 1, "one "),
        chunk(Stderr, 2, "error\nunfinished"),
        chunk(Stdout, 3, "and\ntwo\r\n\nlast"),
        chunk(Stderr, 4, " business"),
        chunk(Stdout, 4, ""),
    ];
    let (_directory, path) = write(&chunks);
    let window = LogReader::open(path).unwrap().lines(1, 10).unwrap();
    let lines: Vec<_> = window
        .lines
        .iter()
        .map(|line| (line.n, line.stream, line.t_ms, line.text.as_str(), line.ending))
        .collect();
    let expected = [
        (1, Stderr, 2, "error", Ending::Newline),
        (2, Stdout, 3, "one and", Ending::Newline),
        (3, Stdout, 3, "two\r", Ending::Newline),
        (4, Stdout, 3, "", Ending::Newline),
        (5, Stdout, 3, "last", Ending::End),
        (6, Stderr, 4, "unfinished business", Ending::End),
    ];
    assert_eq!(lines, expected);
    assert_eq!((window.next, window.total, window.complete), (7, 6, true));
}

#[test]
fn long_lines_are_split_between_characters() {
    let endings = |text: &str| {
        let (_directory, path) = write(&[chunk(Stdout, 0, text)]);
        let lines = LogReader::open(path).unwrap().lines(1, 10).unwrap().lines;
        assert_eq!(
            lines.iter().map(|line| line.text.as_str()).collect::<String>(),
            text.trim_end()
        );
        lines.iter().map(|line| (line.text.len(), line.ending)).collect::<Vec<_>>()
    };
    let full = "x".repeat(LINE_MAX);
    assert_eq!(endings(&format!("{full}\n")), [(LINE_MAX, Ending::Newline)]);
    let split = [(LINE_MAX, Ending::Split), (1, Ending::Newline)];
    assert_eq!(endings(&format!("{full}y\n")), split);
    let wide = format!("{}\u{1f600}y\n", &full[1..]);
    assert_eq!(endings(&wide), [(LINE_MAX + 3, Ending::Split), (1, Ending::Newline)]);
    let wide = format!("{}\u{1f600}\n", &full[1..]);
    assert_eq!(endings(&wide), [(LINE_MAX + 3, Ending::Newline)]);
    assert_eq!(endings(&full), [(LINE_MAX, Ending::End)]);
}

#[test]
fn an_empty_log_has_no_lines() {
    let (_directory, path) = write(&[]);
    let reader = LogReader::open(&path).unwrap();
    for window in [reader.lines(0, 0).unwrap(), reader.tail(10).unwrap()] {
        assert_eq!((window.lines.len(), window.next, window.total), (0, 1, 0));
        assert!(window.complete);
    }
    assert!(reader.raw(0..10).unwrap().is_empty());
    assert_eq!(reader.summary().unwrap().bytes(), 0);
}

#[test]
fn every_boundary_of_the_index_is_a_beginning() {
    // Usual lines, so many that lines make checkpoints; empty ones, where bytes do; a stream that
    // does not end its line for long.
    let mut chunks = Vec::new();
    for index in 0..900 {
        chunks.push(chunk(Stdout, index, format!("line {index} of some length\n").repeat(9)));
    }
    chunks.push(chunk(Stdout, 900, "\n".repeat(100_000)));
    chunks.push(chunk(Stderr, 901, "progress: "));
    for index in 902..1700 {
        let line = format!("{index} with the other open");
        chunks.push(chunk(Stdout, index, format!("{line:>100}\n").repeat(10)));
        if index % 200 == 0 {
            chunks.push(chunk(Stderr, index, "."));
        }
    }
    chunks.push(chunk(Stderr, 1700, " done\n"));
    let (_directory, path) = write(&chunks);
    let lines = reference(&chunks, true);
    let reader = LogReader::open(&path).unwrap();
    let checkpoints = checkpoints(&path);
    assert!(checkpoints.iter().any(|checkpoint| checkpoint.carry.is_some()));
    assert!(checkpoints.len() > 20, "{}", checkpoints.len());
    let far = |pair: &[Checkpoint]| pair[1].frame - pair[0].frame;
    assert!(checkpoints.windows(2).all(|pair| far(pair) <= 256 * 1024 + 64 * 1024));
    let bytes = raw(&chunks);
    for checkpoint in &checkpoints {
        for from in checkpoint.raw - 1..=checkpoint.raw + 1 {
            let at = usize::try_from(from).unwrap();
            assert_eq!(reader.raw(from..from + 5).unwrap(), bytes[at..at + 5]);
        }
        for from in checkpoint.line - 2..=checkpoint.line + 1 {
            let at = usize::try_from(from).unwrap() - 1;
            for limit in [1, 3] {
                let window = reader.lines(from, limit).unwrap();
                let at = at.min(lines.len());
                assert_eq!(window.lines, lines[at..(at + limit).min(lines.len())]);
                assert_eq!(window.next, from + wide(window.lines.len()));
            }
        }
    }
    // Also the line that was begun a hundred checkpoints before.
    assert_eq!(read_on(&reader, 1, 1000), lines);
    assert_eq!(lines.last().unwrap().text, "progress: .... done");
}

#[test]
fn windows_are_bounded() {
    let chunks = [chunk(Stdout, 0, "x".repeat(LINE_MAX).repeat(300)), chunk(Stdout, 1, "\n")];
    let (_directory, path) = write(&chunks);
    let reader = LogReader::open(&path).unwrap();
    let size = |lines: &[crate::execution::log::Line]| {
        lines.iter().map(|line| line.text.len()).sum::<usize>()
    };
    let window = reader.lines(1, usize::MAX).unwrap();
    assert!(size(&window.lines) <= WINDOW_BYTES && window.lines.len() > 50);
    let window = reader.tail(usize::MAX).unwrap();
    assert!(size(&window.lines) <= WINDOW_BYTES && window.lines.len() > 50);
    assert_eq!((window.lines.last().unwrap().n, window.next), (300, 301));
    assert_eq!(reader.raw(5..u64::MAX).unwrap().len(), RAW_MAX);

    let (_directory, path) = write(&[chunk(Stdout, 0, "\n".repeat(3000))]);
    let reader = LogReader::open(&path).unwrap();
    assert_eq!(reader.lines(1, usize::MAX).unwrap().lines.len(), WINDOW_LINES);
    assert_eq!(reader.tail(usize::MAX).unwrap().lines[0].n, 2001);
    assert_eq!(reader.lines(5000, 10).unwrap().next, 5000, "no line, and none is skipped");
}

#[test]
fn the_index_stays_small() {
    for piece in ["\n", "x", "a usual line, perhaps of sixty characters, or a few more\n"] {
        let chunks: Vec<_> = (0..300)
            .flat_map(|index| {
                let open = chunk(Stderr, index, "y".repeat(LINE_MAX));
                [open, chunk(Stdout, index, piece.repeat(20_000 / piece.len()))]
            })
            .collect();
        let (_directory, path) = write(&chunks);
        let bytes = raw(&chunks).len();
        let size = usize::try_from(path.metadata().unwrap().len()).unwrap();
        assert!(size < bytes + bytes / 8, "{size} for {bytes} of {piece:?}");
    }
}

#[test]
fn one_byte_writes_share_frames() {
    let chunks = vec![chunk(Stdout, 7, "x"); 10_000];
    let (_directory, path) = place();
    let mut log = LogWriter::create(&path, &LogOptions::default()).unwrap();
    for chunk in &chunks {
        log.append(chunk).unwrap();
    }
    assert!(log.close().unwrap().file_bytes < 10_200);
    assert_eq!(read_raw(&LogReader::open(&path).unwrap(), 333), raw(&chunks));
}

#[test]
fn no_secret_reaches_the_file() {
    let mask = Mask::new(["hunter22"]).unwrap();
    let (_directory, path) = place();
    let options = LogOptions { mask, ..LogOptions::default() };
    let mut log = LogWriter::create(&path, &options).unwrap();
    let reader = log.handle().reader();
    let secret = b"a hunter22 b\n";
    for (out, err) in secret.iter().zip(b"xhunter22xhun") {
        log.append(&chunk(Stdout, 1, [*out])).unwrap();
        log.append(&chunk(Stderr, 2, [*err])).unwrap();
        log.flush().unwrap();
        let bytes = reader.raw(0..1000).unwrap();
        assert!(!bytes.windows(2).any(|pair| pair == b"hu"), "{}", bytes.escape_ascii());
    }
    let texts = |reader: &LogReader| {
        let lines = reader.lines(1, 10).unwrap().lines;
        lines.into_iter().map(|line| line.text).collect::<Vec<_>>()
    };
    assert_eq!(texts(&reader), ["a *** b"]);
    let summary = log.close().unwrap();
    assert_eq!(texts(&reader), ["a *** b", "x***xhun"], "what was held back comes at the end");
    assert_eq!((summary.stdout_bytes, summary.stderr_bytes), (8, 8));
}

fn check(chunks: &[Chunk], limit: usize, step: u64) -> Result<(), TestCaseError> {
    let (_directory, path) = write(chunks);
    let reader = LogReader::open(&path).unwrap();
    let (lines, bytes) = (reference(chunks, true), raw(chunks));
    prop_assert_eq!(read_on(&reader, 1, limit), lines.as_slice());
    prop_assert_eq!(read_raw(&reader, step), bytes.as_slice());
    for from in (0..lines.len()).step_by(lines.len() / 20 + 1) {
        let window = reader.lines(wide(from) + 1, 2).unwrap();
        prop_assert_eq!(&window.lines, &lines[from..(from + 2).min(lines.len())]);
    }
    let tail = reader.tail(limit).unwrap();
    prop_assert!(lines.ends_with(&tail.lines) && tail.lines.len() <= limit);
    prop_assert!(tail.lines.len() == limit.min(lines.len()) || tail.lines.len() > 20);
    let summary = reader.summary().unwrap();
    prop_assert_eq!((summary.lines, summary.bytes()), (wide(lines.len()), wide(bytes.len())));
    prop_assert_eq!(summary.file_bytes, path.metadata().unwrap().len());
    prop_assert!(!summary.truncated);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(chunks in any_chunks(), limit in 60..1000_usize, step in 1000..200_000_u64) {
        check(&chunks, limit, step)?;
    }

    #[test]
    fn a_growing_log_reads_as_far_as_it_is_flushed(chunks in any_chunks()) {
        let (_directory, path) = place();
        let mut log = LogWriter::create(&path, &LogOptions::default()).unwrap();
        let reader = log.handle().reader();
        let (lines, ends) = (reference(&chunks, true), completed(&chunks));
        let mut seen = 0;
        for (index, chunk) in chunks.iter().enumerate() {
            log.append(chunk).unwrap();
            if index % 2 == 0 {
                continue;
            }
            log.flush().unwrap();
            let new = read_on(&reader, wide(seen) + 1, 1000);
            prop_assert_eq!(&new, &lines[seen..ends[index]]);
            seen = ends[index];
            prop_assert_eq!(reader.total(), wide(seen));
            prop_assert_eq!(reader.raw_len(), wide(raw(&chunks[..=index]).len()));
            prop_assert!(!reader.lines(1, 1).unwrap().complete);
        }
        log.close().unwrap();
        prop_assert_eq!(&read_on(&reader, wide(seen) + 1, 1000), &lines[seen..]);
        prop_assert!(reader.summary().is_some());
        prop_assert_eq!(read_raw(&reader, 50_000), raw(&chunks));
    }
}
