//! Logs of executions: how fast one is written, and how soon something of a large one is seen, each
//! beside plain files. Written as it comes from a script, in chunks of up to 64 KiB that are shown to
//! viewers one by one, but without a sandbox in front.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{Read as _, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use automa_core::execution::log::{
    Direction, LogOptions, LogReader, LogWriter, Mask, Search, pack,
};
use automa_sandbox::{Chunk, Stream};

use super::table::{Figure, Row, Table, Target};

/// Bytes of output, and of that in a first impression.
const SIZE: u64 = 1_000_000_000;
const QUICK_SIZE: u64 = 100_000_000;
/// How often something is looked at.
const ROUNDS: usize = 20;
/// What is to be reached: MB/s written, and µs until a first screen.
const INGEST: f64 = 200.0;
const SCREEN_US: f64 = 100_000.0;
/// How many secrets are masked, in how many logs, and how much of the speed is to be left.
const SECRETS: u64 = 100;
const MASKED: u64 = 5;
const LEFT_BY_MASKING: f64 = 0.9;

/// Measures everything.
pub(super) fn measure(quick: bool) -> Result<Vec<Table>, String> {
    measure_in(if quick { QUICK_SIZE } else { SIZE }).map_err(|error| error.to_string())
}

fn measure_in(size: u64) -> Result<Vec<Table>, Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let (log, plain) = (place.path().join("a.log"), place.path().join("plain"));
    let megabytes = size / 1_000_000;
    let mut table = Table::new(format!("Logs (one of {megabytes} MB, beside plain files)"));
    let bare = write_plain(&plain, size)?;
    let rate = |time: Duration| to_f64(megabytes) / time.as_secs_f64();
    let written = write_log(&log, size, Mask::default())?;
    table.figures.push(Figure::new("a plain file, written", &[rate(bare)], "MB/s", None));
    let figure = Figure::new("a log, written", &[rate(written)], "MB/s", Some(rate(bare)));
    table.figures.push(figure.target(Target::AtLeast(INGEST)));
    mask(&mut table, place.path(), size / MASKED, &rate)?;
    look(&mut table, &log, "")?;
    let begun = Instant::now();
    let before = fs::metadata(&log)?.len();
    pack(&log, place.path().join("draft"))?;
    let took = begun.elapsed();
    table.figures.push(Figure::new("packed", &[rate(took)], "MB/s", None));
    let share = to_f64(fs::metadata(&log)?.len()) / to_f64(before);
    table.figures.push(Figure::new("size when packed", &[share * 100.0], "%", None));
    look(&mut table, &log, ", packed")?;
    search(&mut table, &log, &plain, megabytes)?;
    Ok(vec![table])
}

/// Logs in which secrets are looked for, beside such without, in turns: what a disk does meanwhile is
/// the same for both.
fn mask(
    table: &mut Table,
    place: &Path,
    size: u64,
    rate: &impl Fn(Duration) -> f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let secrets = (0..SECRETS).map(|n| format!("sk-{n:04}-{:032x}", n.wrapping_mul(0x9e37_79b9)));
    let begun = Instant::now();
    let mask = Mask::new(secrets)?;
    let made = begun.elapsed();
    let path = place.join("masked.log");
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..MASKED {
        for (mask, times) in [(Mask::default(), &mut without), (mask.clone(), &mut with)] {
            times.push(rate(write_log(&path, size, mask)?) / to_f64(MASKED));
            fs::remove_file(&path)?;
        }
    }
    let part = format!("a log of {} MB", size / 1_000_000);
    let bare = Figure::new(&format!("{part}, written"), &without, "MB/s", None);
    let name = format!("{part}, {SECRETS} secrets masked, written");
    let figure = Figure::new(&name, &with, "MB/s", Some(bare.value));
    table.rows.push(Row::new(&format!("{SECRETS} secrets, made ready"), &[made], None, None));
    table.figures.push(bare);
    table.figures.push(figure.target(Target::RatioAtLeast(LEFT_BY_MASKING)));
    Ok(())
}

/// First and last screens, and one in the middle.
fn look(table: &mut Table, log: &Path, how: &str) -> Result<(), Box<dyn std::error::Error>> {
    let (mut first, mut last, mut middle) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let reader = LogReader::open(log)?;
        reader.lines(1, 500)?;
        first.push(begun.elapsed());
        let begun = Instant::now();
        let reader = LogReader::open(log)?;
        reader.tail(500)?;
        last.push(begun.elapsed());
        let begun = Instant::now();
        reader.lines(reader.total() / 2, 500)?;
        middle.push(begun.elapsed());
    }
    let rows = [("first screen", first), ("last screen", last), ("a screen in the middle", middle)];
    for (name, times) in rows {
        table.rows.push(Row::new(&format!("{name}{how}"), &times, None, None).at_most(SCREEN_US));
    }
    Ok(())
}

/// Looks through the whole log, and counts the lines of the plain file.
fn search(
    table: &mut Table,
    log: &Path,
    plain: &Path,
    megabytes: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let rate = |time: Duration| to_f64(megabytes) / time.as_secs_f64();
    let begun = Instant::now();
    let (mut file, mut buffer, mut lines) = (File::open(plain)?, vec![0; 64 * 1024], 0_usize);
    while let read @ 1.. = file.read(&mut buffer)? {
        lines += buffer[..read].iter().map(|byte| usize::from(*byte == b'\n')).sum::<usize>();
    }
    let bare = rate(begun.elapsed());
    table.figures.push(Figure::new(
        &format!("{lines} lines of a plain file, counted"),
        &[bare],
        "MB/s",
        None,
    ));
    let reader = LogReader::open(log)?;
    for (name, search) in [
        ("text that is not there, looked for", Search::text("no such line", true)?),
        ("the same in any case", Search::text("no such line", false)?),
        ("a pattern that is not there", Search::regex(r"GET /\d+ .* in \d+ s$", true)?),
    ] {
        let begun = Instant::now();
        reader.find(&search, 1, Direction::Forward, 1, || true)?;
        table.figures.push(Figure::new(name, &[rate(begun.elapsed())], "MB/s", Some(bare)));
    }
    Ok(())
}

fn write_plain(path: &Path, size: u64) -> std::io::Result<Duration> {
    let mut file = File::create(path)?;
    let (mut took, mut written, mut lines) = (Duration::ZERO, 0, 0);
    while written < size {
        let bytes = output(&mut lines);
        let begun = Instant::now();
        file.write_all(&bytes)?;
        took += begun.elapsed();
        written += bytes.len() as u64;
    }
    let begun = Instant::now();
    file.sync_all()?;
    Ok(took + begun.elapsed())
}

fn write_log(path: &Path, size: u64, mask: Mask) -> Result<Duration, Box<dyn std::error::Error>> {
    let mut log = LogWriter::create(path, &LogOptions { mask, ..LogOptions::default() })?;
    let (mut took, mut written, mut lines) = (Duration::ZERO, 0, 0);
    while written < size {
        let bytes = output(&mut lines);
        written += bytes.len() as u64;
        let at = Duration::from_millis(lines / 1000);
        let chunk = Chunk { stream: Stream::Stdout, at, bytes };
        let begun = Instant::now();
        log.append(&chunk)?;
        log.flush()?;
        took += begun.elapsed();
    }
    let begun = Instant::now();
    log.close()?;
    Ok(took + begun.elapsed())
}

/// The next lines that a script might write, about 64 KiB.
fn output(lines: &mut u64) -> Vec<u8> {
    let mut text = String::with_capacity(64 * 1024);
    while text.len() < 64 * 1024 - 100 {
        *lines += 1;
        let n = *lines;
        // Writing to a string does not fail.
        let (thing, ms) = (n % 9973, n % 89);
        let _ = writeln!(text, "{n:>9} INFO GET /api/v1/things/{thing}/parts in {ms} ms");
    }
    text.into_bytes()
}

#[expect(clippy::cast_precision_loss, reason = "sizes, for figures of three digits")]
fn to_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_one_is_measured() {
        let tables = measure_in(2_000_000).unwrap();
        assert_eq!((tables[0].rows.len(), tables[0].figures.len()), (7, 10));
        assert!(tables[0].figures.iter().all(|figure| figure.value > 0.0));
    }
}
