use automa_core::execution::log::{Direction, Found};

use super::*;
use crate::pages::samples;

const PATH: &str = "/executions/x?q=<b>";

fn piece(rows: &Rows, lines: &[Line], total: u64) -> Piece {
    let (first, last) = (lines.first().map(|it| it.n), lines.last().map(|it| it.n));
    Piece {
        id: rows.id,
        html: rows.draw(lines, None),
        view: rows.view.clone(),
        before: first.filter(|n| *n > 1).map(|n| n - 1),
        after: last.filter(|n| *n < total).map(|n| n + 1),
        first,
        last,
        total,
    }
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
    let mut lines: Vec<_> = texts
        .iter()
        .zip(1..)
        .map(|((stream, text), n)| rows::tests::line(n, *stream, text))
        .collect();
    lines.push(rows::tests::line(9, Stream::Stdout, &"0123456789".repeat(900)));
    let rows = rows::tests::rows(View::default(), Look::default());
    let piece = piece(&rows, &lines, 9);
    let truncated = !state.is_open();
    Log { bytes: 12_345, truncated, ..Log::new(rows, piece, state, PATH) }
}

/// A log in the middle of which something was found.
pub(crate) fn found() -> Log {
    let view = View {
        q: samples::HOSTILE.to_owned(),
        case: true,
        place: Place::At(901),
        ..View::default()
    };
    let look = Look { wrap: false, times: Times::Absolute };
    let rows = rows::tests::rows(view, look);
    let lines = [(900, "a"), (901, samples::HOSTILE)]
        .map(|(n, text)| rows::tests::line(n, Stream::Stdout, text));
    let piece = piece(&rows, &lines, 5000);
    let tally = Some(Tally { at: Some(3), found: 12, more: false });
    Log { tally, ..Log::new(rows, piece, State::Succeeded, PATH) }
}

/// A log in which nothing is found.
pub(crate) fn nothing() -> Log {
    let view = View { q: samples::HOSTILE.to_owned(), only: true, ..View::default() };
    let found =
        Found { lines: Vec::new(), next: 800_000, total: 900_000, complete: true, cut: None };
    let note = Some(Note::nothing(&view, &found, Direction::Forward));
    let rows = rows::tests::rows(view, Look { times: Times::Off, ..Look::default() });
    let piece = piece(&rows, &[], 900_000);
    Log { note, ..Log::new(rows, piece, State::Succeeded, PATH) }
}

#[test]
fn a_window_knows_what_is_before_and_behind_it() {
    let html = found().render().unwrap();
    assert!(html.contains("Lines 900 to 901 of 5,000"), "{html}");
    assert!(html.contains("to=899\"") && html.contains("from=902\""), "{html}");
    assert!(html.contains("3 of 12"), "{html}");
    assert!(html.contains("before=900\"") && html.contains("after=902\""), "{html}");
    assert!(!html.contains("data-events"), "it does not show the end: {html}");
    let html = sample(State::Running).render().unwrap();
    assert!(html.contains("data-next=\"10\""), "{html}");
    assert!(html.contains("data-events="), "{html}");
    let cancelled = samples::execution(State::Cancelled, "a");
    let empty = Log::empty(&cancelled, (View::default(), Look::default()), PATH);
    assert!(empty.clone().render().unwrap().contains("It wrote nothing."));
    let gone = empty.removed(samples::now()).render().unwrap();
    assert!(gone.contains("Its log was removed on 21 November 2026"), "{gone}");
}

#[test]
fn it_is_said_how_often_something_was_found() {
    let text = |at, found, more| Tally { at, found, more }.text();
    assert_eq!(text(None, 0, false), "0");
    assert_eq!(text(Some(3), 1200, false), "3 of 1,200");
    assert_eq!(text(Some(3), 1200, true), "3 of 1,200+");
    assert_eq!(text(None, 10_000, false), "10,000+");
}

#[test]
fn what_was_not_looked_at_can_be() {
    let note = nothing().note.unwrap();
    assert_eq!(note.text, "Nothing was found up to line 800,000 yet.");
    assert!(note.go_on.unwrap().ends_with("&after=800000"));
    let view = View { q: "x".to_owned(), ..View::default() };
    let found = Found { lines: Vec::new(), next: 10, total: 9, complete: true, cut: None };
    let note = Note::nothing(&view, &found, Direction::Forward);
    assert_eq!((note.text.as_str(), note.go_on), ("No line has “x”.", None));
}
