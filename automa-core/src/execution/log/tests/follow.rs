use std::{
    sync::mpsc::{Receiver, channel},
    thread,
};

use automa_sandbox::{
    Chunk,
    Stream::{Stderr, Stdout},
};
use proptest::prelude::*;

use super::{any_chunks, chunk, place, reference};
use crate::execution::log::{Line, LogHandle, LogOptions, LogWriter, wide};

/// Follows a log to its end, from `from` on; `each` sees each window.
fn follow(log: &LogHandle, from: u64, mut each: impl FnMut(&[Line])) -> Vec<Line> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut tail = log.subscribe();
    let (mut from, mut lines) = (from, Vec::new());
    runtime.block_on(async {
        while let Some(window) = tail.next(from).await.unwrap() {
            assert!(!window.lines.is_empty());
            assert_eq!(window.lines[0].n, from);
            each(&window.lines);
            from = window.next;
            lines.extend(window.lines);
        }
    });
    lines
}

/// Lines of both streams, in chunks that tear them.
fn torn_lines(count: u64) -> Vec<Chunk> {
    (0..count)
        .flat_map(|index| {
            let line = format!("{index} some text\n");
            let (a, b) = line.split_at(usize::try_from(index).unwrap() % line.len());
            [chunk(Stdout, index, a), chunk(Stderr, index, "!\n"), chunk(Stdout, index, b)]
        })
        .collect()
}

#[test]
fn a_slow_viewer_gets_everything_and_slows_nobody() {
    let chunks = torn_lines(5000);
    let (_directory, path) = place();
    let mut log = LogWriter::create(&path, &LogOptions::default()).unwrap();
    let handle = log.handle();
    let (go, gate) = channel::<()>();
    let viewers = thread::scope(|scope| {
        let handle = &handle;
        // One reads as fast as it can, one reads its first window and then nothing until the
        // writer is done.
        let fast = scope.spawn(move || follow(handle, 1, |_| ()));
        let gate: Receiver<()> = gate;
        let slow = scope.spawn(move || {
            follow(handle, 1, |lines| {
                if lines[0].n == 1 {
                    gate.recv().unwrap();
                }
            })
        });
        for chunk in &chunks {
            log.append(chunk).unwrap();
            log.flush().unwrap();
        }
        log.close().unwrap();
        go.send(()).unwrap();
        [fast.join().unwrap(), slow.join().unwrap()]
    });
    let lines = reference(&chunks, true);
    for seen in viewers {
        assert_eq!(seen, lines);
    }
}

#[test]
fn windows_are_read_while_the_log_grows() {
    let chunks = torn_lines(3000);
    let (_directory, path) = place();
    let mut log = LogWriter::create(&path, &LogOptions::default()).unwrap();
    let reader = log.handle().reader();
    let lines = reference(&chunks, true);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = 1;
            loop {
                let window = reader.lines(next, 7).unwrap();
                let at = usize::try_from(next).unwrap() - 1;
                assert_eq!(window.lines, lines[at..at + window.lines.len()]);
                next = window.next;
                if window.complete && next > window.total {
                    assert_eq!(next, wide(lines.len()) + 1);
                    break;
                }
            }
        });
        for chunk in &chunks {
            log.append(chunk).unwrap();
            log.flush().unwrap();
        }
        log.close().unwrap();
    });
}

#[test]
fn following_resumes_at_any_line() {
    let chunks = torn_lines(400);
    let (_directory, path) = place();
    let mut log = LogWriter::create(&path, &LogOptions::default()).unwrap();
    for chunk in &chunks {
        log.append(chunk).unwrap();
    }
    let handle = log.handle();
    log.close().unwrap();
    let lines = reference(&chunks, true);
    for from in 1..=lines.len() + 2 {
        let left = &lines[(from - 1).min(lines.len())..];
        assert_eq!(follow(&handle, wide(from), |_| ()), left, "from {from}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut tail = handle.subscribe();
    runtime.block_on(async {
        for from in [700, 1, 700, 300, 800, 2] {
            let window = tail.next(from).await.unwrap().unwrap();
            assert_eq!(window.lines[0], lines[usize::try_from(from).unwrap() - 1]);
        }
    });
}

#[tokio::test]
async fn waiting_may_be_cancelled_and_ends_with_the_writer() {
    let (_directory, path) = place();
    let mut log = LogWriter::create(&path, &LogOptions::default()).unwrap();
    let mut tail = log.handle().subscribe();
    log.append(&chunk(Stdout, 0, "one\ntwo")).unwrap();
    // Nothing is flushed: it is polled once, waits, and is cancelled.
    let cancelled = tokio::select! { biased; _ = tail.next(1) => false, () = async {} => true };
    assert!(cancelled);
    log.flush().unwrap();
    let window = tail.next(1).await.unwrap().unwrap();
    assert_eq!((window.lines.len(), window.complete), (1, false));
    // Dropped, not closed, as when the execution's task has panicked.
    log.append(&chunk(Stdout, 1, "\nthree")).unwrap();
    drop(log);
    let window = tail.next(window.next).await.unwrap().unwrap();
    assert_eq!(window.lines[0].text, "two");
    assert_eq!(tail.next(window.next).await.unwrap(), None);
}

#[test]
fn writers_and_waiting_move_between_threads() {
    fn moves<T: Send>(_: &T) {}
    let (_directory, path) = place();
    let log = LogWriter::create(&path, &LogOptions::default()).unwrap();
    let (handle, mut tail) = (log.handle(), log.handle().subscribe());
    moves(&log);
    moves(&(handle.clone(), handle.reader()));
    moves(&tail.next(1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nothing_is_lost_or_seen_twice(chunks in any_chunks()) {
        let (_directory, path) = place();
        let mut log = LogWriter::create(&path, &LogOptions::default()).unwrap();
        let handle = log.handle();
        let seen = thread::scope(|scope| {
            let viewer = scope.spawn(|| follow(&handle, 1, |_| ()));
            for chunk in &chunks {
                log.append(chunk).unwrap();
                log.flush().unwrap();
            }
            log.close().unwrap();
            viewer.join().unwrap()
        });
        prop_assert_eq!(seen, reference(&chunks, true));
    }
}
