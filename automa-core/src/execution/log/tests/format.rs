use automa_sandbox::Stream::{Stderr, Stdout};
use proptest::prelude::*;

use super::{chunk, place};
use crate::execution::log::{
    LogOptions, LogReader, LogWriter,
    format::{
        FRAME_MAX, Footer, Gap, HEAD, HEADER_BYTES, Head, Header, Kind, TRAILER, trailer,
        trailer_offset,
    },
    index::{Carry, Checkpoint},
};

/// If this fails, the format has changed: add a version that is read too, do not change the bytes.
#[test]
fn version_1_bytes() {
    let golden: &[u8] = &[
        0x89, b'A', b'L', b'O', b'G', b'\r', b'\n', 1, // header
        1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0xfa, 0x61, 0xee, 0x4d, // standard output at 0 ms
        b'h', b'i', b'\n', //
        2, 0, 0xc0, 0x9a, 0x1c, 0x4f, 1, 0, 2, 0, 0, 0, 0xfd, 0x3d, 0x36,
        0x75, // 1330420416 ms
        0xff, 0, //
        3, 0, 0xc0, 0x9a, 0x1c, 0x4f, 1, 0, 32, 0, 0, 0, 0xae, 0x29, 0x8b, 0xea, // index
        2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0,
        0, // lines, bytes
        1, 0, 0, 0, 0, 0, 0, 0, // flags, checkpoints
        45, 0, 0, 0, 0, 0, 0, 0, 0x7c, 0xd0, 0x3a, 0x38, b'A', b'L', b'O', b'G', // trailer
    ];
    let (_directory, path) = place();
    let mut log = LogWriter::create(&path, &LogOptions::default()).unwrap();
    log.append(&chunk(Stdout, 0, "h")).unwrap();
    log.append(&chunk(Stdout, 0, "i\n")).unwrap();
    log.append(&chunk(Stderr, 0x01_4f1c_9ac0, [0xff, 0])).unwrap();
    log.mark_truncated();
    let summary = log.close().unwrap();
    assert_eq!(format!("{:02x?}", std::fs::read(&path).unwrap()), format!("{golden:02x?}"));
    assert_eq!(summary.file_bytes, u64::try_from(golden.len()).unwrap());

    std::fs::write(&path, golden).unwrap();
    let reader = LogReader::open(&path).unwrap();
    assert_eq!(reader.summary(), Some(summary));
    assert_eq!(reader.raw(0..100).unwrap(), b"hi\n\xff\0");
    let lines = reader.lines(1, 100).unwrap().lines;
    assert_eq!(lines[1].t_ms, 0x01_4f1c_9ac0);
    assert_eq!(lines[1].text, "\u{fffd}\0");
}

#[test]
fn version_1_checkpoints() {
    let checkpoint = |line, carry| Checkpoint { line, frame: 8, raw: 7, skip: 6, carry };
    let carry = Carry { stream: Stderr, t_ms: 5, bytes: b"a".to_vec() };
    let checkpoints = vec![checkpoint(9, None), checkpoint(10, Some(Box::new(carry)))];
    let footer = Footer { lines: 11, bytes: [2, 3], truncated: false, checkpoints, gap: None };
    let golden = [
        [11, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0].as_slice(),
        &[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0],
        &[9, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0],
        &[6, 0, 0, 0, 0, 0, 0, 0],
        &[10, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0],
        &[6, 0, 0, 0, 2, 0, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, b'a'],
    ]
    .concat();
    assert_eq!(footer.encode(), golden);
    assert_eq!(Footer::decode(&golden, 9), Some(footer));
    for end in 0..golden.len() {
        assert_eq!(Footer::decode(&golden[..end], 9), None);
    }
    assert_eq!(Footer::decode(&golden, 8), None, "a checkpoint in the index itself");
}

/// What was cut from a log of 20 lines: lines 3 to 8.
fn gap() -> Gap {
    let carry = Carry { stream: Stderr, t_ms: 5, bytes: b"a".to_vec() };
    let start = Checkpoint { carry: Some(Box::new(carry)), ..Checkpoint::at(9, 300, 150) };
    Gap { from: 100, first: 3, raw: 40, before: [120, 30], start }
}

#[test]
fn version_3_gaps() {
    let gap = gap();
    let golden = [
        [4, 0, 0, 0, 0, 0, 0, 0, 73, 0, 0, 0, 0x9e, 0x90, 0x4c, 0x88].as_slice(),
        &[3, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0],
        &[120, 0, 0, 0, 0, 0, 0, 0, 30, 0, 0, 0, 0, 0, 0, 0],
        &[9, 0, 0, 0, 0, 0, 0, 0, 0x2c, 1, 0, 0, 0, 0, 0, 0, 150, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 0, 2, 0, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, b'a'],
    ]
    .concat();
    let frame = gap.frame().unwrap();
    assert_eq!(format!("{frame:02x?}"), format!("{golden:02x?}"));
    assert_eq!((gap.size(), gap.shift()), (89, 111));
    let (_, payload) = frame.split_at(HEAD);
    assert_eq!(Gap::decode(payload, 100), Some(gap.clone()));
    for end in 0..payload.len() {
        assert_eq!(Gap::decode(&payload[..end], 100), None);
    }
    assert_eq!(Gap::decode(payload, 212), None, "it would be larger than what it stands for");

    let checkpoints = vec![Checkpoint::at(2, 50, 20), Checkpoint::at(15, 400, 200)];
    let footer =
        Footer { lines: 20, bytes: [200, 80], truncated: true, checkpoints, gap: Some(gap) };
    let index = footer.encode();
    assert_eq!(index[24..28], [3, 0, 0, 0], "its flags");
    assert_eq!(
        index[index.len() - payload.len() - 8..],
        [&[100, 0, 0, 0, 0, 0, 0, 0], payload].concat()
    );
    assert_eq!(Footer::decode(&index, 290), Some(footer.clone()));
    assert_eq!(footer.end(290), Some(401));
    assert_eq!(Footer::decode(&index, 289), None, "a checkpoint in the index itself");
    for end in 0..index.len() {
        assert_eq!(Footer::decode(&index[..end], 500), None);
    }
}

#[test]
fn other_files_are_told_from_logs() {
    for (bytes, header) in [
        (&HEADER_BYTES[..], Header::Plain { cut: false }),
        (b"\x89ALOG\r\n\x02packed", Header::Packed { cut: false }),
        (b"\x89ALOG\r\n\x03cut", Header::Plain { cut: true }),
        (b"\x89ALOG\r\n\x04both", Header::Packed { cut: true }),
        (b"\x89ALOG\r\n\x05later", Header::Version(5)),
        (b"\x89ALOG\n\x01 ", Header::Foreign),
        (b"#!/bin/sh", Header::Foreign),
        (b"\0\0\0\0\0\0\0\0", Header::Foreign),
        (b"hi", Header::Foreign),
        (b"\x89ALOG", Header::Torn),
        (b"\0\0", Header::Torn),
        (b"", Header::Torn),
    ] {
        assert_eq!(Header::of(bytes), header, "{bytes:?}");
    }
}

#[test]
fn heads_that_cannot_be_are_refused() {
    let head = Head::encode(Kind::Output(Stdout), u64::MAX, b"x").unwrap();
    let read = Head::decode(&head).unwrap();
    assert_eq!((read.kind, read.t_ms, read.len), (Kind::Output(Stdout), (1 << 48) - 1, 1));
    assert!(read.vouches_for(&head, b"x"));
    assert!(!read.vouches_for(&head, b"y"));
    assert!(!read.vouches_for(&[], b"x"));
    let with = |at: usize, bytes: &[u8]| {
        let mut head = head;
        head[at..at + bytes.len()].copy_from_slice(bytes);
        Head::decode(&head)
    };
    assert_eq!(with(0, &[0]), None);
    assert_eq!(with(0, &[5]), None);
    assert_eq!(with(1, &[1]), None);
    assert_eq!(with(8, &[0; 4]), None, "an empty frame");
    assert_eq!(with(8, &u32::try_from(FRAME_MAX + 1).unwrap().to_le_bytes()), None);
    assert!(with(8, &u32::try_from(FRAME_MAX).unwrap().to_le_bytes()).is_some());
    assert_eq!(Head::decode(&head[..HEAD - 1]), None);
}

proptest! {
    #[test]
    fn reading_never_panics(bytes: Vec<u8>, end: u64) {
        let _ = Head::decode(&bytes);
        let _ = Gap::decode(&bytes, end);
        let _ = Footer::decode(&bytes, end);
        let _ = Header::of(&bytes);
        let _ = trailer_offset(&bytes);
    }

    #[test]
    fn trailers_are_exact(offset: u64, at in 0..TRAILER * 8) {
        let mut bytes = trailer(offset);
        prop_assert_eq!(trailer_offset(&bytes), Some(offset));
        bytes[at / 8] ^= 1 << (at % 8);
        prop_assert_eq!(trailer_offset(&bytes), None);
    }
}
