//! The log on an execution's page: a window of its lines, and the rows that a stream adds to it.

use std::fmt::Write as _;

use askama::{Template, filters::HtmlSafe};
use automa_core::{
    execution::{
        State,
        log::{Line, LogError, LogReader, Window},
    },
    id::ExecutionId,
};
use automa_sandbox::{Bytes, Stream};

use super::ansi;
use crate::filters::{self, grouped};

/// Most lines of a page.
pub(crate) const LINES: usize = 500;
/// Most bytes of a line on a page: who wants more looks at the whole log.
const SHOWN: usize = 4096;

/// A window of a log.
#[derive(Debug, Clone, Template)]
#[template(path = "executions/log.html")]
pub(crate) struct Log {
    id: ExecutionId,
    /// The lines as HTML.
    rows: String,
    first: u64,
    last: u64,
    /// Where to go on.
    next: u64,
    total: u64,
    /// The state that the page shows, if lines will be added: it shows the end of a log that still
    /// grows.
    live: Option<State>,
    /// Whether the execution was asked to end.
    ending: bool,
    bytes: u64,
    truncated: bool,
}

/// The template escapes for itself, and [`rows`] its lines.
impl HtmlSafe for Log {}

impl Log {
    /// The lines from `from` on, or the last ones. Reads a file: call it where that may block.
    ///
    /// # Errors
    ///
    /// The log's.
    pub(crate) fn read(
        id: ExecutionId,
        reader: &LogReader,
        from: Option<u64>,
        state: State,
    ) -> Result<Self, LogError> {
        let window = match from {
            Some(from) => reader.lines(from, LINES)?,
            None => reader.tail(LINES)?,
        };
        let truncated = reader.summary().is_some_and(|summary| summary.truncated);
        Ok(Self::new(id, &window, reader.raw_len(), truncated, state))
    }

    /// A log of which there is nothing yet, or never was.
    pub(crate) fn empty(id: ExecutionId, state: State) -> Self {
        let nothing = Window { lines: Vec::new(), next: 1, total: 0, complete: true };
        Self::new(id, &nothing, 0, false, state)
    }

    fn new(id: ExecutionId, window: &Window, bytes: u64, truncated: bool, state: State) -> Self {
        let first = window.lines.first().map_or(window.next, |line| line.n);
        Self {
            id,
            rows: rows(id, &window.lines),
            first,
            last: window.next.saturating_sub(1),
            next: window.next,
            total: window.total,
            live: (state.is_open() && window.next > window.total).then_some(state),
            ending: false,
            bytes,
            truncated,
        }
    }

    /// The same of an execution that was asked to end.
    pub(crate) fn ending(self, ending: bool) -> Self {
        Self { ending, ..self }
    }

    fn earlier(&self) -> u64 {
        let lines = u64::try_from(LINES).unwrap_or(u64::MAX);
        self.first.saturating_sub(lines).max(1)
    }

    /// What stands below the last line.
    fn closing(&self) -> String {
        if self.last < self.total {
            return "More lines follow.".to_owned();
        }
        if self.total == 0 {
            return "It wrote nothing.".to_owned();
        }
        let lines = if self.total == 1 { "line" } else { "lines" };
        let mut closing =
            format!("End of log: {} {lines}, {}.", grouped(self.total), Bytes(self.bytes));
        if self.truncated {
            closing += " There was more: output beyond its limit is not kept.";
        }
        closing
    }
}

/// Lines as HTML.
pub(crate) fn rows(id: ExecutionId, lines: &[Line]) -> String {
    let text: usize = lines.iter().map(|line| line.text.len().min(SHOWN) + 120).sum();
    let mut html = String::with_capacity(text);
    for line in lines {
        row(&mut html, id, line);
    }
    html
}

/// A notice among the lines that some are not shown.
pub(crate) fn gap(missing: u64, from: u64) -> String {
    let missing = grouped(missing);
    format!(
        "<div class=\"gap\">{missing} lines came too fast to be shown here. \
        <a href=\"?from={from}\">Show them</a></div>"
    )
}

fn row(html: &mut String, id: ExecutionId, line: &Line) {
    let n = line.n;
    let (class, stream) = match line.stream {
        Stream::Stdout => ("ln", "<i></i>"),
        Stream::Stderr => ("ln e", "<i title=\"stderr\">e<span class=\"sr\">rr</span></i>"),
    };
    // Writing to a string does not fail.
    let _ = write!(
        html,
        "<div class=\"{class}\" id=\"L{n}\"><span class=\"n\">{n}</span>{stream}<time>{}</time>\
         <span>",
        clock(line.t_ms)
    );
    let shown = &line.text[..line.text.floor_char_boundary(SHOWN)];
    ansi::push(html, shown);
    if shown.len() < line.text.len() {
        let rest = u64::try_from(line.text.len() - shown.len()).unwrap_or(u64::MAX);
        let rest = Bytes(rest);
        let _ = write!(
            html,
            " <a class=\"small\" href=\"/executions/{id}/log.txt\">{rest} more in the whole log</a>"
        );
    }
    html.push_str("</span></div>\n");
}

/// Time since the start, in as few characters as tell lines apart: `8.37`, `12:05`, `1:02:07`.
fn clock(t_ms: u64) -> String {
    let (seconds, rest) = (t_ms / 1000, t_ms % 1000);
    match seconds {
        0..100 => format!("{seconds}.{:02}", rest / 10),
        100..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

/// The last line that was written to stderr, without its colours, to be quoted.
pub(crate) fn last_error(reader: &LogReader) -> Option<String> {
    let window = reader.tail(50).ok()?;
    let written = |line: &&Line| line.stream == Stream::Stderr && !line.text.trim().is_empty();
    let line = window.lines.iter().rev().find(written)?;
    let text = ansi::plain(&line.text);
    let text = text.trim();
    let shown = &text[..text.floor_char_boundary(200)];
    Some(if shown.len() < text.len() { format!("{shown}…") } else { shown.to_owned() })
}

#[cfg(test)]
pub(crate) mod tests {
    use automa_core::execution::log::Ending;

    use super::*;
    use crate::pages::samples;

    fn line(n: u64, stream: Stream, text: &str) -> Line {
        Line { n, stream, t_ms: n * 137, text: text.to_owned(), ending: Ending::Newline }
    }

    /// A log with everything that lines can have.
    pub(crate) fn sample(state: State) -> Log {
        let texts = [
            (Stream::Stdout, "3 hosts, warn under 14 days, report full"),
            (Stream::Stdout, "\x1b[1;36mshop.example.com\x1b[0m"),
            (Stream::Stdout, "  resolved 203.0.113.10 in \x1b[33m12 ms\x1b[0m"),
            (Stream::Stdout, "  \x1b[32m64 days left\x1b[0m"),
            (Stream::Stdout, "10 %\r50 %\r100 %"),
            (Stream::Stderr, "smtp probe on port 25: \x1b[31mOperation not permitted\x1b[0m"),
            (Stream::Stdout, "<script>alert(1)</script> \u{202e}gnihtemos\u{7}"),
            (Stream::Stderr, "1 of 3 certificates expires within 14 days"),
        ];
        let mut lines: Vec<_> =
            texts.iter().zip(1..).map(|((stream, text), n)| line(n, *stream, text)).collect();
        lines.push(line(9, Stream::Stdout, &"0123456789".repeat(900)));
        let window = Window { next: 10, total: 9, complete: true, lines };
        let truncated = !state.is_open();
        Log::new(samples::execution_id(), &window, 12_345, truncated, state)
    }

    #[test]
    fn a_row_is_escaped_numbered_and_marked() {
        let id = samples::execution_id();
        let html = rows(id, &[line(12, Stream::Stderr, "<b>\x1b[31mred")]);
        assert_eq!(
            html,
            "<div class=\"ln e\" id=\"L12\"><span class=\"n\">12</span><i title=\"stderr\">e<span \
             class=\"sr\">rr</span></i><time>1.64</time><span>&lt;b&gt;<span class=\"a1\">red\
             </span></span></div>\n"
        );
    }

    #[test]
    fn a_long_line_is_cut_at_a_character() {
        let html = rows(samples::execution_id(), &[line(1, Stream::Stdout, &"é".repeat(3000))]);
        assert_eq!(html.matches('é').count(), 2048);
        assert!(html.contains("1.8 KiB more in the whole log"), "{html}");
    }

    #[test]
    fn times_are_short() {
        for (ms, text) in
            [(20, "0.02"), (99_990, "99.99"), (725_000, "12:05"), (3_727_000, "1:02:07")]
        {
            assert_eq!(clock(ms), text);
        }
    }

    #[test]
    fn a_window_knows_what_is_before_and_behind_it() {
        let id = samples::execution_id();
        let lines = vec![line(900, Stream::Stdout, "a"), line(901, Stream::Stdout, "b")];
        let window = Window { lines, next: 902, total: 5000, complete: false };
        let html = Log::new(id, &window, 1, false, State::Running).render().unwrap();
        assert!(html.contains("Lines 900 to 901 of 5,000"), "{html}");
        assert!(html.contains("?from=400") && html.contains("?from=902"), "{html}");
        assert!(!html.contains("data-events"), "it does not show the end: {html}");
        let html = sample(State::Running).render().unwrap();
        assert!(html.contains("data-next=\"10\""), "{html}");
        let html = Log::empty(id, State::Cancelled).render().unwrap();
        assert!(html.contains("It wrote nothing."), "{html}");
    }
}
