//! Lines of a log as HTML.

use std::fmt::Write as _;

use automa_core::{
    execution::{
        Execution,
        log::{Cut, Line, Search},
    },
    id::ExecutionId,
};
use automa_sandbox::{Bytes, Stream};
use jiff::{SignedDuration, Timestamp};

use super::{
    json::{indented, is_json},
    look::{Look, Times},
    view::{Place, View},
};
use crate::{
    filters::{duration, grouped},
    live::missing,
    pages::ansi,
};

/// Most bytes of a line on a page, unless it was asked for as a whole.
const SHOWN: usize = 4096;

/// A line of JSON that is shorter is read as it is.
const WORTH_INDENTING: usize = 40;

/// After so long without a line that is said, in milliseconds.
const PAUSE_MS: u64 = 10_000;

/// Draws lines for one page.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(super) id: ExecutionId,
    pub(super) attempt: u32,
    pub(super) started_at: Option<Timestamp>,
    pub(super) view: View,
    pub(super) look: Look,
    /// Lines that it finds are marked.
    pub(super) search: Option<Search>,
}

impl Rows {
    /// Lines of an execution. What cannot be looked for is not: the page has said so.
    pub(crate) fn new(execution: &Execution, view: View, look: Look) -> Self {
        let search = view.search().ok().flatten();
        let Execution { id, attempt, started_at, .. } = *execution;
        Self { id, attempt, started_at, view, look, search }
    }

    /// The attempt that is shown, if that was said.
    pub(crate) fn attempt(&self) -> Option<u32> {
        self.view.attempt
    }

    /// Lines as HTML, with a notice in the place of those among them that were cut.
    pub(crate) fn draw(&self, lines: &[Line], mut cut: Option<Cut>) -> String {
        let text: usize = lines.iter().map(|line| line.text.len().min(SHOWN) + 120).sum();
        let mut html = String::with_capacity(text);
        let mut before: Option<&Line> = None;
        for line in lines {
            // What no filter has left out was not written in between.
            let next = before.replace(line).filter(|before| before.n + 1 == line.n);
            pause(&mut html, next.map_or(0, |before| line.t_ms.saturating_sub(before.t_ms)));
            if let Some(cut) = cut.take_if(|cut| cut.last < line.n) {
                notice_of_cut(&mut html, cut);
            }
            self.row(&mut html, line);
        }
        if let Some(cut) = cut {
            notice_of_cut(&mut html, cut);
        }
        html
    }

    /// The address of another place in the same view.
    pub(crate) fn at(&self, place: Place) -> String {
        self.view.at(place)
    }

    /// Whether a line is shown in this view.
    pub(crate) fn shows(&self, line: &Line) -> bool {
        self.view.filter(self.search.as_ref()).finds(line)
    }

    fn row(&self, html: &mut String, line: &Line) {
        let n = line.n;
        let stream = match line.stream {
            Stream::Stdout => "<i></i>",
            Stream::Stderr => "<i title=\"stderr\">e<span class=\"sr\">rr</span></i>",
        };
        // Writing to a string does not fail.
        let _ = write!(
            html,
            "<div class=\"ln{}\" id=\"L{n}\"><span class=\"n\">{n}</span>{stream}<time>{}</time><span>",
            self.classes(line),
            self.time(line.t_ms),
        );
        match Command::of(&line.text) {
            Some(Command::Begin(name)) => {
                html.push_str("<button class=\"fold\" aria-expanded=\"true\" disabled>");
                ansi::push(html, &name[..name.floor_char_boundary(SHOWN)]);
                html.push_str("</button>");
            }
            _ => self.text(html, line),
        }
        html.push_str("</span></div>\n");
    }

    /// The text of a line, and ways to see more of it.
    fn text(&self, html: &mut String, line: &Line) {
        let n = line.n;
        if self.view.indented == Some(n) && is_json(&line.text) {
            for (index, part) in indented(&line.text).lines().enumerate() {
                html.push_str(if index > 0 { "\n" } else { "" });
                ansi::push(html, part);
            }
            return;
        }
        let whole = self.view.whole == Some(n);
        let most = if whole { line.text.len() } else { SHOWN };
        let shown = &line.text[..line.text.floor_char_boundary(most)];
        ansi::push(html, shown);
        if line.text.len() >= WORTH_INDENTING && is_json(&line.text) {
            self.way(html, n, "indented", "indent");
        }
        if shown.len() < line.text.len() {
            let rest = u64::try_from(line.text.len() - shown.len()).unwrap_or(u64::MAX);
            self.way(html, n, "whole", &format!("show {} more", Bytes(rest)));
        }
    }

    /// A link to a line as it is seen in another way.
    fn way(&self, html: &mut String, n: u64, way: &str, name: &str) {
        let (id, place) = (self.id, self.view.at(Place::From(n)).replace('&', "&amp;"));
        let _ = write!(
            html,
            " <a class=\"small\" href=\"{place}&amp;{way}={n}#L{n}\" \
             data-whole=\"/executions/{id}/lines{place}&amp;{way}={n}\">{name}</a>"
        );
    }

    fn classes(&self, line: &Line) -> String {
        let group = match Command::of(&line.text) {
            Some(Command::Begin(_)) => " group",
            Some(Command::End) => " endgroup",
            None => "",
        };
        format!("{}{group}", self.marks(line))
    }

    fn marks(&self, line: &Line) -> &'static str {
        let error = line.stream == Stream::Stderr;
        let found = self.search.as_ref().is_some_and(|search| search.finds(line));
        let at = self.view.place == Place::At(line.n);
        match (error, found && !self.view.only, at) {
            (false, false, false) => "",
            (true, false, false) => " e",
            (false, true, false) => " hit",
            (true, true, false) => " e hit",
            (false, _, true) => " hit at",
            (true, _, true) => " e hit at",
        }
    }

    fn time(&self, t_ms: u64) -> String {
        match (self.look.times, self.started_at) {
            (Times::Off, _) => String::new(),
            (Times::Absolute, Some(start)) => {
                let since = SignedDuration::from_millis(i64::try_from(t_ms).unwrap_or(i64::MAX));
                let at = start.checked_add(since).unwrap_or(start);
                at.strftime("%H:%M:%S.%3f").to_string()
            }
            _ => clock(t_ms),
        }
    }
}

/// What a line says of how the lines behind it belong together, as continuous integration has it:
/// `::group::NAME`, and `::endgroup::`.
enum Command<'a> {
    Begin(&'a str),
    End,
}

impl<'a> Command<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let command = text.trim_end().strip_prefix("::")?;
        match command.strip_prefix("group::") {
            Some(name) => Some(Self::Begin(name)),
            None => (command == "endgroup::").then_some(Self::End),
        }
    }
}

/// A notice that nothing was written for long, if it was so many milliseconds.
fn pause(html: &mut String, ms: u64) {
    if ms >= PAUSE_MS {
        let _ = writeln!(html, "<div class=\"gap\">nothing for {}</div>", duration(ms));
    }
}

fn notice_of_cut(html: &mut String, cut: Cut) {
    let _ = writeln!(html, "<div class=\"gap\">{}</div>", missing(cut));
}

/// A notice among the lines that some are not shown.
pub(crate) fn gap(missing: u64, place: &str) -> String {
    let missing = grouped(missing);
    let place = place.replace('&', "&amp;");
    format!(
        "<div class=\"gap\">{missing} lines came too fast to be shown here. \
        <a href=\"{place}\">Show them</a></div>"
    )
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

#[cfg(test)]
pub(in crate::pages) mod tests {
    use automa_core::execution::log::Ending;

    use super::*;
    use crate::pages::samples;

    pub(in crate::pages) fn line(n: u64, stream: Stream, text: &str) -> Line {
        Line { n, stream, t_ms: n * 137, text: text.to_owned(), ending: Ending::Newline }
    }

    pub(in crate::pages) fn rows(view: View, look: Look) -> Rows {
        let search = view.search().unwrap();
        let (id, started_at) = (samples::execution_id(), Some(samples::now()));
        Rows { id, attempt: 1, started_at, view, look, search }
    }

    fn draw(view: View, line: Line) -> String {
        rows(view, Look::default()).draw(&[line], None)
    }

    #[test]
    fn a_row_is_escaped_numbered_and_marked() {
        assert_eq!(
            draw(View::default(), line(12, Stream::Stderr, "<b>\x1b[31mred")),
            "<div class=\"ln e\" id=\"L12\"><span class=\"n\">12</span><i title=\"stderr\">e<span \
             class=\"sr\">rr</span></i><time>1.64</time><span>&lt;b&gt;<span class=\"a1\">red\
             </span></span></div>\n"
        );
    }

    #[test]
    fn what_was_cut_is_told_where_it_was() {
        let rows = rows(View::default(), Look::default());
        let lines = [2, 7, 8].map(|n| line(n, Stream::Stdout, "a"));
        let cut = Some(Cut { first: 3, last: 6, from: 4, to: 1204 });
        let notice = "<div class=\"gap\">4 lines of 1,200 bytes were not kept</div>\n";
        let html = rows.draw(&lines, cut);
        let place = html.find(notice).unwrap();
        assert!(html.find("L2").unwrap() < place && place < html.find("L7").unwrap(), "{html}");
        assert!(rows.draw(&lines[..1], cut).ends_with(notice), "at the end");
        assert!(rows.draw(&lines[1..], cut).starts_with(notice), "at the beginning");
        assert!(!rows.draw(&lines, None).contains("gap"));
    }

    #[test]
    fn what_is_looked_for_is_marked() {
        let view = View { q: "RED".to_owned(), place: Place::At(13), ..View::default() };
        let class = |view: &View, n, text| {
            let html = draw(view.clone(), line(n, Stream::Stdout, text));
            html.split('"').nth(1).unwrap().to_owned()
        };
        assert_eq!(class(&view, 12, "a red line"), "ln hit");
        assert_eq!(class(&view, 13, "a red line"), "ln hit at");
        assert_eq!(class(&view, 14, "a blue line"), "ln");
        let only = View { only: true, ..view };
        assert_eq!(class(&only, 12, "a red line"), "ln", "all of them would be");
        let shown = rows(only, Look::default());
        assert!(shown.shows(&line(1, Stream::Stdout, "red")));
        assert!(!shown.shows(&line(1, Stream::Stdout, "blue")));
    }

    #[test]
    fn a_long_line_is_cut_at_a_character_until_it_is_asked_for() {
        let long = line(1, Stream::Stdout, &"é".repeat(3000));
        let html = draw(View::default(), long.clone());
        assert_eq!(html.matches('é').count(), 2048);
        assert!(
            html.contains("?from=1&amp;whole=1#L1\"") && html.contains("1.8 KiB more"),
            "{html}"
        );
        let html = draw(View { whole: Some(1), ..View::default() }, long);
        assert_eq!(html.matches('é').count(), 3000);
    }

    #[test]
    fn json_is_indented_when_it_is_asked_for() {
        let json = r#"{"level":"info","message":"<b> of a line","took":1.50}"#;
        let html = draw(View::default(), line(3, Stream::Stdout, json));
        assert!(html.contains("from=3&amp;indented=3#L3\""), "{html}");
        assert!(html.contains(">indent</a>"), "{html}");
        let view = View { indented: Some(3), ..View::default() };
        let html = draw(view.clone(), line(3, Stream::Stdout, json));
        assert!(
            html.contains("{\n  &quot;level&quot;") || html.contains("{\n  \"level\""),
            "{html}"
        );
        assert!(html.contains("&lt;b&gt;") && html.contains("1.50\n}"), "{html}");
        let html =
            draw(view, line(3, Stream::Stdout, "[INFO] a line that only looks like an array]"));
        assert!(!html.contains("indent"), "{html}");
    }

    #[test]
    fn groups_begin_and_end_and_pauses_are_told() {
        let texts = ["::group::Build <x>", "a", "::endgroup::", "::group::"];
        let lines: Vec<_> = texts
            .iter()
            .zip([1, 2, 90, 91])
            .map(|(text, t)| Line { t_ms: t * 1000, ..line(t, Stream::Stdout, text) })
            .collect();
        let html = rows(View::default(), Look::default()).draw(&lines, None);
        assert!(html.contains("class=\"ln group\" id=\"L1\""), "{html}");
        assert!(html.contains("disabled>Build &lt;x&gt;</button>"), "{html}");
        assert!(html.contains("class=\"ln endgroup\" id=\"L90\""), "{html}");
        assert!(!html.contains("nothing for"), "lines in between are not shown: {html}");
        let lines = [1, 2].map(|n| Line { t_ms: n * 12_000, ..line(n, Stream::Stdout, "a") });
        let html = rows(View::default(), Look::default()).draw(&lines, None);
        assert!(html.contains("<div class=\"gap\">nothing for 12.0 s</div>"), "{html}");
    }

    #[test]
    fn times_are_short_or_those_of_the_day() {
        for (ms, text) in
            [(20, "0.02"), (99_990, "99.99"), (725_000, "12:05"), (3_727_000, "1:02:07")]
        {
            assert_eq!(clock(ms), text);
        }
        let time = |times| rows(View::default(), Look { times, ..Look::default() }).time(1500);
        assert_eq!(time(Times::Off), "");
        assert_eq!(time(Times::Relative), "1.50");
        assert_eq!(time(Times::Absolute), "04:56:25.500");
    }
}
