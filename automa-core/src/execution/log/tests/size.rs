//! A log of a gigabyte and ten million lines stays instant.

use std::{
    fs::{self, File},
    io::Read,
    time::{Duration, Instant},
};

use automa_sandbox::{
    Chunk,
    Stream::{Stderr, Stdout},
};

use super::place;
use crate::execution::log::{
    Direction::{Backward, Forward},
    LogOptions, LogReader, LogWriter, Search, pack, wide,
};

const LINES: u64 = 10_000_000;
/// Lines in one chunk, as they come from a pipe.
const AT_ONCE: u64 = 600;

fn line(n: u64) -> String {
    format!(
        "{n:>8} INFO request handled in 12 ms: GET /api/v1/things/{n:>08}/parts?limit=50&order=age for a client\n"
    )
}

/// Tells how long something took, and gives what it returned.
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let result = work();
    let took = begun.elapsed();
    println!("{what:>40}: {:>10.3} ms", took.as_secs_f64() * 1000.0);
    (result, took)
}

/// Run it with `cargo test --release -p automa-core gigabyte -- --ignored --nocapture`.
#[test]
#[ignore = "writes a gigabyte"]
fn a_gigabyte_is_as_fast_as_a_page() {
    let (_directory, path) = place();
    let mut log = LogWriter::create(&path, &LogOptions::default()).unwrap();
    let mut writing = Duration::ZERO;
    let mut n = 1;
    while n <= LINES {
        let bytes: String = (n..(n + AT_ONCE).min(LINES + 1)).map(line).collect();
        let stream = if n % (AT_ONCE * 100) == 1 { Stderr } else { Stdout };
        let chunk = Chunk { stream, at: Duration::from_millis(n / 1000), bytes: bytes.into() };
        let begun = Instant::now();
        log.append(&chunk).unwrap();
        log.flush().unwrap();
        writing += begun.elapsed();
        n += AT_ONCE;
    }
    let begun = Instant::now();
    let summary = log.close().unwrap();
    writing += begun.elapsed();
    let megabytes = |bytes: u64| u32::try_from(bytes / 1_000_000).unwrap();
    let rate = f64::from(megabytes(summary.bytes())) / writing.as_secs_f64();
    println!("{:>40}: {} MB, {rate:.0} MB/s", "written", megabytes(summary.bytes()));
    assert_eq!(summary.lines, LINES);
    look(&path, "");
    let (packed, took) = timed("packing", || pack(&path, path.with_extension("draft")).unwrap());
    let packed = packed.unwrap().file_bytes;
    println!(
        "{:>40}: {} MB, {:.0} MB/s",
        "packed",
        megabytes(packed),
        f64::from(megabytes(summary.file_bytes)) / took.as_secs_f64()
    );
    look(&path, "packed: ");
}

fn look(path: &std::path::Path, how: &str) {
    let name = |what: &str| format!("{how}{what}");
    let (_, plainly) = timed(&name("a plain loop over the file"), || {
        let (mut file, mut buffer, mut lines) = (File::open(path).unwrap(), vec![0; 1 << 16], 0);
        while let read @ 1.. = file.read(&mut buffer).unwrap() {
            lines += memchr::memchr_iter(b'\n', &buffer[..read]).count();
        }
        (lines, fs::metadata(path).unwrap().len())
    });
    let open = || LogReader::open(path).unwrap();
    let (window, took) =
        timed(&name("open, and the first screen"), || open().lines(1, 500).unwrap());
    assert_eq!((window.lines.len(), window.total), (500, LINES));
    let instant = plainly / 4;
    assert!(took < instant.max(Duration::from_millis(100)), "{took:?}");
    let (window, _) = timed(&name("open, and the last screen"), || open().tail(500).unwrap());
    assert_eq!(window.lines[0].n, LINES - 499);
    let log = open();
    let (window, _) = timed(&name("line 7,654,321"), || log.lines(7_654_321, 500).unwrap());
    assert_eq!(window.lines[0].text, line(7_654_321).trim_end_matches('\n'));
    let near = Search::text("things/00000100", true).unwrap();
    let (found, _) =
        timed(&name("find what is near"), || log.find(&near, 1, Forward, 1, || true).unwrap());
    assert_eq!(found.lines[0].n, 100);
    let far = [
        ("text, to the end", Search::text("things/10000000", true).unwrap()),
        ("text of any case, to the end", Search::text("THINGS/10000000", false).unwrap()),
        ("pattern, to the end", Search::regex(r"things/1000+\b.*client$", true).unwrap()),
    ];
    for (what, search) in far {
        let (found, took) =
            timed(&name(what), || log.find(&search, 9, Forward, 1, || true).unwrap());
        assert!(!found.lines.is_empty());
        println!("{:>40}: {:.1} of a plain loop", "", took.as_secs_f64() / plainly.as_secs_f64());
    }
    let (found, _) = timed(&name("text, back to the beginning"), || {
        log.find(&near, LINES, Backward, 1, || true).unwrap()
    });
    assert_eq!(found.lines[0].n, 100);
    let errors = Search::default().of(Some(Stderr));
    let (count, _) = timed(&name("count the lines of one stream"), || {
        log.count(&errors, (1, LINES), u64::MAX, || true).unwrap()
    });
    let of_stderr = LINES.div_ceil(AT_ONCE * 100) * AT_ONCE;
    assert!(count.matches.abs_diff(of_stderr) < AT_ONCE, "{count:?}");
    let mut steps = 0;
    let mut from = 1;
    let nothing = Search::text("no such line", true).unwrap();
    let ((), took) = timed(&name("in steps of a quarter of a second"), || {
        while from <= LINES {
            let begun = Instant::now();
            let go_on = || begun.elapsed() < Duration::from_millis(250);
            from = log.find(&nothing, from, Forward, 1, go_on).unwrap().next;
            steps += 1;
        }
    });
    println!(
        "{:>40}: {steps} steps of {:.0} ms",
        "",
        took.as_secs_f64() * 1000.0 / f64::from(steps)
    );
    assert_eq!(wide(found.lines.len()), 1);
}
