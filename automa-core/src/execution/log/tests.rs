//! What the tests share: output to write, and what a reader should make of it.

use std::{path::PathBuf, time::Duration};

use automa_sandbox::{Chunk, Stream};
use proptest::prelude::*;
use tempfile::TempDir;

use super::{Ending, LINE_MAX, Line, LogOptions, LogReader, LogWriter};

mod crash;
mod empty;
mod find;
mod follow;
mod format;
mod keep;
mod pack;
mod size;
mod windows;

/// Output, at a time in milliseconds.
fn chunk(stream: Stream, t_ms: u64, bytes: impl Into<Vec<u8>>) -> Chunk {
    Chunk { stream, at: Duration::from_millis(t_ms), bytes: bytes.into() }
}

/// A directory and the path of a log in it.
fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.log");
    (directory, path)
}

/// Writes a whole log, flushing after every third chunk.
fn write(chunks: &[Chunk]) -> (TempDir, PathBuf) {
    let (directory, path) = place();
    let mut log = LogWriter::create(&path, &LogOptions::default()).unwrap();
    for (index, chunk) in chunks.iter().enumerate() {
        log.append(chunk).unwrap();
        if index % 3 == 2 {
            log.flush().unwrap();
        }
    }
    log.close().unwrap();
    (directory, path)
}

/// A place in a file as one in memory.
fn at(place: u64) -> usize {
    usize::try_from(place).unwrap()
}

/// The raw bytes of `chunks`.
fn raw(chunks: &[Chunk]) -> Vec<u8> {
    chunks.iter().flat_map(|chunk| chunk.bytes.iter().copied()).collect()
}

/// The lines of `chunks`. `ended`: whether the log is.
fn reference(chunks: &[Chunk], ended: bool) -> Vec<Line> {
    split(chunks, ended).0
}

/// The bytes of each line of `chunks`, of a log that has ended.
fn line_bytes(chunks: &[Chunk]) -> Vec<Vec<u8>> {
    split(chunks, true).2
}

/// How many lines are complete after each of `chunks`.
fn completed(chunks: &[Chunk]) -> Vec<usize> {
    split(chunks, false).1
}

/// How many raw bytes there are before the end of each line of `chunks` that is complete.
fn ends(chunks: &[Chunk]) -> Vec<u64> {
    let mut ends = Vec::new();
    let mut log = super::line::Assembler::default();
    let mut raw = 0;
    for Chunk { stream, bytes: all, .. } in chunks {
        let mut rest = &all[..];
        while log.take(*stream, 0, &mut rest).is_some() {
            ends.push(super::wide(raw + all.len() - rest.len()));
        }
        raw += all.len();
    }
    ends
}

/// Splits byte by byte, as the documentation says.
fn split(chunks: &[Chunk], ended: bool) -> (Vec<Line>, Vec<usize>, Vec<Vec<u8>>) {
    let (mut lines, mut completed, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    let mut emit = |lines: &mut Vec<Line>, stream, t_ms, line: &mut Vec<u8>, ending| {
        let text = String::from_utf8_lossy(line).into_owned();
        texts.push(std::mem::take(line));
        let n = u64::try_from(lines.len()).unwrap() + 1;
        lines.push(Line { n, stream, t_ms, text, ending });
    };
    let mut open: [(Vec<u8>, usize); 2] = Default::default();
    for (index, chunk) in chunks.iter().enumerate() {
        let t_ms = u64::try_from(chunk.at.as_millis()).unwrap();
        for &byte in &chunk.bytes {
            let (line, last) = &mut open[usize::from(chunk.stream == Stream::Stderr)];
            *last = index;
            let inside_character = (0x80..0xc0).contains(&byte);
            if byte == b'\n' {
                emit(&mut lines, chunk.stream, t_ms, line, Ending::Newline);
                continue;
            }
            if line.len() >= LINE_MAX && (!inside_character || line.len() == LINE_MAX + 3) {
                emit(&mut lines, chunk.stream, t_ms, line, Ending::Split);
            }
            line.push(byte);
        }
        completed.push(lines.len());
    }
    let [(mut stdout, last_out), (mut stderr, last_err)] = open;
    let mut ends =
        [(last_out, Stream::Stdout, &mut stdout), (last_err, Stream::Stderr, &mut stderr)];
    ends.sort_by_key(|(last, ..)| *last);
    for (last, stream, line) in ends {
        if ended && !line.is_empty() {
            let t_ms = u64::try_from(chunks[last].at.as_millis()).unwrap();
            emit(&mut lines, stream, t_ms, line, Ending::End);
        }
    }
    (lines, completed, texts)
}

/// All lines from `from` on, in windows of at most `limit`.
fn read_on(reader: &LogReader, mut from: u64, limit: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    loop {
        let window = reader.lines(from, limit).unwrap();
        assert!(window.lines.len() <= limit);
        if window.lines.is_empty() {
            return lines;
        }
        lines.extend(window.lines);
        from = window.next;
    }
}

/// All raw bytes, in pieces of at most `step`.
fn read_raw(reader: &LogReader, step: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let at = u64::try_from(bytes.len()).unwrap();
        let piece = reader.raw(at..at + step).unwrap();
        if piece.is_empty() {
            return bytes;
        }
        bytes.extend(piece);
    }
}

fn any_stream() -> impl Strategy<Value = Stream> {
    prop_oneof![3 => Just(Stream::Stdout), 1 => Just(Stream::Stderr)]
}

/// Bytes as scripts write them, and as they should not.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let repeated = |piece: &'static [u8], most: usize| {
        (0..most).prop_map(move |times| piece.repeat(times)).boxed()
    };
    prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..200),
        4 => "[a-z\n\r\0\u{1b}\u{e9}\u{1f600}]{0,100}".prop_map(String::into_bytes),
        2 => repeated(b"a line of usual length, which is about this long\n", 600),
        2 => repeated(b"\n", 20_000),
        1 => repeated(b"x", 40_000),
        1 => repeated("\u{1f600}".as_bytes(), 10_000),
        1 => repeated(b"\x80", 30_000),
        1 => repeated(b"\xff\n", 3000),
        1 => repeated("ab\u{e9}".as_bytes(), 10_000),
    ]
}

/// Any output; time stands still now and then.
fn any_chunks() -> impl Strategy<Value = Vec<Chunk>> {
    let one = (any_stream(), 0..3_u64, any_bytes());
    proptest::collection::vec(one, 0..20).prop_map(|pieces| {
        let mut now = 0;
        pieces
            .into_iter()
            .map(|(stream, later, bytes)| {
                now += later;
                chunk(stream, now, bytes)
            })
            .collect()
    })
}
