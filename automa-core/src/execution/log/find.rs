//! Finding lines: forwards and backwards from any line, in steps of bounded work.

use std::{borrow::Cow, collections::VecDeque, ops::ControlFlow};

use automa_sandbox::Stream;
use memchr::{memchr, memchr_iter, memrchr};
use serde::Serialize;

use super::{
    Cut, Ending, Line, LogError, LogReader, Search,
    line::{Assembled, LINE_MAX},
    reader::{TEXT_MAX, WINDOW_BYTES, WINDOW_LINES},
    scan::{Broken, Cursor, Entry, Frame, Frames},
    source::Progress,
    wide,
};

/// So much is read between two questions whether to go on.
const STEP: u64 = 64 * 1024;
/// So much is read at once when going backwards.
const BACK: u64 = 512 * 1024;
/// A pattern may match across lines without matching in one, again and again over the same lines.
/// After this many times lines are tried one by one.
const MISSES: u32 = 8;

/// Which way to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Towards the end.
    Forward,
    /// Towards the beginning.
    Backward,
}

/// Lines that were found, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The lines, in the order of the log whichever way it was looked.
    pub lines: Vec<Line>,
    /// The line to go on from, in the same direction: more than `total`, or 0, when there is none.
    pub next: u64,
    /// How many lines the log has so far.
    pub total: u64,
    /// Whether the log is finished, so that `total` is final.
    pub complete: bool,
    /// Lines that were cut, among which nothing is found.
    pub cut: Option<Cut>,
}

impl Found {
    /// Whether there are lines that were not looked at yet.
    #[must_use]
    pub fn more(&self) -> bool {
        (1..=self.total).contains(&self.next)
    }
}

/// How many lines were found, and where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count {
    /// How many of the lines that were looked at.
    pub matches: u64,
    /// The line to go on from: the one behind the last that was looked at.
    pub next: u64,
    /// Whether there are lines that were not looked at yet.
    pub more: bool,
}

/// A line that was found.
struct Hit<'a> {
    n: u64,
    stream: Stream,
    t_ms: u64,
    bytes: Cow<'a, [u8]>,
    ending: Ending,
}

impl Hit<'_> {
    fn line(&self) -> Line {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        Line { n: self.n, stream: self.stream, t_ms: self.t_ms, text, ending: self.ending }
    }
}

impl LogReader {
    /// Up to `limit` lines that are looked for, beginning with line `from`: at most
    /// [`WINDOW_LINES`] and [`WINDOW_BYTES`]. A `from` before the first line is the first, one
    /// behind the last is the last when looking backwards.
    ///
    /// Each 64 KiB or so `go_on` is asked whether there is still time; otherwise what was found so
    /// far is returned, and [`Found::next`] tells where to go on. At least one line is looked at.
    ///
    /// # Errors
    ///
    /// As [`lines`](Self::lines).
    pub fn find(
        &self,
        search: &Search,
        from: u64,
        direction: Direction,
        limit: usize,
        go_on: impl FnMut() -> bool,
    ) -> Result<Found, LogError> {
        let limit = limit.clamp(1, WINDOW_LINES);
        let progress = self.progress();
        let (lines, next) = match direction {
            Direction::Forward => self.find_forward(progress, search, from.max(1), limit, go_on),
            Direction::Backward => self.find_backward(progress, search, from, limit, go_on),
        }
        .map_err(|broken| self.source().error(broken))?;
        let (total, complete) = (progress.lines, progress.summary.is_some());
        Ok(Found { lines, next, total, complete, cut: self.cut() })
    }

    /// How many lines from `from` to `to` are looked for, of which at most `most` are counted.
    ///
    /// # Errors
    ///
    /// As [`lines`](Self::lines). `go_on` as in [`find`](Self::find).
    pub fn count(
        &self,
        search: &Search,
        (from, to): (u64, u64),
        most: u64,
        go_on: impl FnMut() -> bool,
    ) -> Result<Count, LogError> {
        let progress = self.progress();
        let (from, to) = (from.max(1), to.min(progress.lines));
        let mut count = Count { matches: 0, next: from, more: false };
        if from > to || most == 0 {
            return Ok(count);
        }
        let mut cursor = self.source().cursor_for_line(from);
        let each = |_: &Hit<'_>| {
            count.matches += 1;
            if count.matches == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let scan = Scan { search, range: (from, to), each };
        let counted = scan.run(self, progress, &mut cursor, go_on);
        counted.map_err(|broken| self.source().error(broken))?;
        count.next = cursor.line.clamp(from, to + 1);
        count.more = count.next <= to;
        Ok(count)
    }

    fn find_forward(
        &self,
        progress: Progress,
        search: &Search,
        from: u64,
        limit: usize,
        go_on: impl FnMut() -> bool,
    ) -> Result<(Vec<Line>, u64), Broken> {
        let mut lines = Vec::new();
        if from > progress.lines {
            return Ok((lines, from));
        }
        let mut cursor = self.source().cursor_for_line(from);
        let mut bytes = 0;
        let each = |hit: &Hit<'_>| {
            let line = hit.line();
            bytes += line.text.len();
            lines.push(line);
            if lines.len() == limit || bytes + TEXT_MAX > WINDOW_BYTES {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        let scan = Scan { search, range: (from, progress.lines), each };
        scan.run(self, progress, &mut cursor, go_on)?;
        Ok((lines, cursor.line))
    }

    fn find_backward(
        &self,
        progress: Progress,
        search: &Search,
        from: u64,
        limit: usize,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<(Vec<Line>, u64), Broken> {
        let mut to = from.min(progress.lines);
        let mut lines: Vec<Line> = Vec::new();
        let mut bytes = 0;
        while to > 0 {
            let mut cursor = self.source().cursor_well_before(to, BACK);
            let begin = cursor.line;
            let mut piece = VecDeque::new();
            let mut full = false;
            // A piece is read as a whole: what is found last in it is wanted first.
            let each = |hit: &Hit<'_>| {
                let line = hit.line();
                bytes += line.text.len();
                piece.push_back(line);
                if lines.len() + piece.len() > limit || bytes > WINDOW_BYTES {
                    full = true;
                    bytes -= piece.pop_front().map_or(0, |line| line.text.len());
                }
                ControlFlow::Continue(())
            };
            let scan = Scan { search, range: (begin, to), each };
            scan.run(self, progress, &mut cursor, || true)?;
            piece.extend(lines);
            lines = piece.into();
            to = begin - 1;
            if full || lines.len() == limit {
                to = lines.first().map_or(to, |line| line.n - 1);
                break;
            }
            if !go_on() {
                break;
            }
        }
        Ok((lines, to))
    }
}

/// Goes over lines and shows those that are looked for.
struct Scan<'a, F> {
    search: &'a Search,
    range: (u64, u64),
    each: F,
}

impl<F: FnMut(&Hit<'_>) -> ControlFlow<()>> Scan<'_, F> {
    /// Shows `each` line in `range` that is looked for until it breaks or it is not to `go_on`, and
    /// leaves the cursor behind the last line that was looked at.
    fn run(
        mut self,
        log: &LogReader,
        progress: Progress,
        cursor: &mut Cursor,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<(), Broken> {
        let body = log.source().body();
        body.settle(cursor);
        let mut frames = Frames::new(&body, cursor.frame, progress.end);
        let mut read = 0;
        while let Some(entry) = frames.next()? {
            let frame = match entry {
                Entry::Output(frame) => frame,
                Entry::Gap(gap) => {
                    *cursor = gap.start.cursor();
                    continue;
                }
            };
            read += wide(frame.payload.len());
            if cursor.line > self.range.1 || self.frame(cursor, &frame)?.is_break() {
                return Ok(());
            }
            if read >= STEP && cursor.line > self.range.0 {
                read = 0;
                if !go_on() {
                    return Ok(());
                }
            }
        }
        while progress.summary.is_some()
            && let Some(line) = cursor.lines.finish()
        {
            cursor.line += 1;
            if self.line(cursor.line - 1, &line).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The lines that end in a frame.
    fn frame(&mut self, cursor: &mut Cursor, frame: &Frame<'_>) -> Result<ControlFlow<()>, Broken> {
        let mut rest = frame.payload.get(cursor.skip..).ok_or(Broken::Frame(frame.offset))?;
        cursor.skip = 0;
        while !rest.is_empty() && cursor.line <= self.range.1 {
            let many = if cursor.line >= self.range.0 && cursor.lines.is_between(frame.stream) {
                whole_lines(rest)
            } else {
                0
            };
            let flow = if many > 0 {
                let (lines, after) = rest.split_at(many);
                rest = after;
                self.lines(&mut cursor.line, lines, (frame.stream, frame.t_ms))
            } else if let Some(line) = cursor.lines.take(frame.stream, frame.t_ms, &mut rest) {
                cursor.line += 1;
                self.line(cursor.line - 1, &line)
            } else {
                break;
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whole lines, the first of which is number `n`: where nothing is found they are only counted.
    fn lines(
        &mut self,
        n: &mut u64,
        lines: &[u8],
        (stream, t_ms): (Stream, u64),
    ) -> ControlFlow<()> {
        let inside = &lines[..lines.len() - 1];
        let (mut at, mut misses) = (0, 0);
        while self.search.takes(stream) && at < lines.len() && *n <= self.range.1 {
            let place = if misses < MISSES { self.search.first(inside, at) } else { Some(at) };
            let Some(place) = place else { break };
            let begin = memrchr(b'\n', &lines[at..place]).map_or(at, |it| at + it + 1);
            let end = memchr(b'\n', &lines[begin..]).map_or(inside.len(), |it| begin + it);
            *n += newlines(&lines[at..begin]) + 1;
            at = end + 1;
            let bytes = &lines[begin..end];
            if !self.search.matches(bytes) {
                misses += 1;
                continue;
            }
            let hit = Hit { n: *n - 1, stream, t_ms, bytes: bytes.into(), ending: Ending::Newline };
            self.show(&hit)?;
        }
        *n += newlines(&lines[at..]);
        ControlFlow::Continue(())
    }

    /// One line.
    fn line(&mut self, n: u64, line: &Assembled<'_>) -> ControlFlow<()> {
        let bytes = line.bytes();
        if !self.search.takes(line.stream) || !self.search.matches(&bytes) {
            return ControlFlow::Continue(());
        }
        self.show(&Hit { n, stream: line.stream, t_ms: line.t_ms, bytes, ending: line.ending })
    }

    fn show(&mut self, hit: &Hit<'_>) -> ControlFlow<()> {
        let (from, to) = self.range;
        if (from..=to).contains(&hit.n) { (self.each)(hit) } else { ControlFlow::Continue(()) }
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    wide(memchr_iter(b'\n', bytes).count())
}

/// How many of `bytes`, which begin with a line, are whole lines none of which is split.
fn whole_lines(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some(at) = memrchr(b'\n', &bytes[end..bytes.len().min(end + LINE_MAX + 1)]) {
        end += at + 1;
    }
    end
}
