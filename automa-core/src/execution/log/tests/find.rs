use automa_sandbox::{
    Chunk,
    Stream::{self, Stderr, Stdout},
};
use proptest::prelude::*;

use super::{any_chunks, any_stream, chunk, reference, write};
use crate::execution::log::{
    Direction::{self, Backward, Forward},
    Found, Line, LogReader, SEARCH_MAX, Search, SearchError, wide,
};

/// Everything that is found from `from` on, asking again as long as there is more.
fn find_all(
    reader: &LogReader,
    search: &Search,
    mut from: u64,
    direction: Direction,
    limit: usize,
    go_on: impl Fn() -> bool,
) -> Vec<Line> {
    let mut lines = Vec::new();
    loop {
        let found = reader.find(search, from, direction, limit, &go_on).unwrap();
        assert!(found.lines.len() <= limit);
        if direction == Forward {
            assert!(found.next > from || !found.more(), "at least one line is looked at");
            lines.extend(found.lines.iter().cloned());
        } else {
            assert!(found.next < from, "at least one line is looked at");
            lines.splice(0..0, found.lines.iter().cloned());
        }
        if !found.more() {
            return lines;
        }
        from = found.next;
    }
}

/// What is looked for, and how it is told of a line by itself.
fn any_search() -> impl Strategy<Value = (Search, regex::bytes::Regex)> {
    let texts = prop_oneof![
        Just("line"),
        Just("a"),
        Just("LENGTH"),
        Just("USUAL"),
        Just("xxxxxxXx"),
        Just("\u{e9}"),
        Just("x"),
        Just("no such thing"),
        Just("."),
        Just("\r"),
        Just("e of usual length, which is about this long"),
    ];
    let patterns = prop_oneof![
        Just("^a"),
        Just("g$"),
        Just("^$"),
        Just(r"l\w+e"),
        Just("[^b]*y"),
        Just(r"\s+l"),
        Just(r"\Aa"),
        Just(r"g\z"),
        Just(r"(?s)l.*l"),
        Just(r"\bab?\b"),
        Just("a|x{20}"),
        Just("z*"),
        Just("[^a]"),
        Just("\u{1f600}{3}"),
        Just(r"(?-u)\xff"),
    ];
    let of_text = (texts, any::<bool>()).prop_map(|(text, case)| {
        let flags = if case { "(?m)" } else { "(?mi)" };
        let alone = format!("{flags}{}", regex::escape(text));
        (Search::text(text, case).unwrap(), regex::bytes::Regex::new(&alone).unwrap())
    });
    let of_pattern = patterns.prop_map(|pattern| {
        let alone = format!("(?m){pattern}");
        (Search::regex(pattern, true).unwrap(), regex::bytes::Regex::new(&alone).unwrap())
    });
    let all = Just((Search::default(), regex::bytes::Regex::new("").unwrap()));
    prop_oneof![of_text, of_pattern, all]
}

/// What can be told by the text of lines: where a line is no UTF-8, what is looked for has to be.
fn expected(chunks: &[Chunk], regex: &regex::bytes::Regex, stream: Option<Stream>) -> Vec<Line> {
    let bytes = super::line_bytes(chunks);
    let lines = reference(chunks, true).into_iter().zip(bytes);
    lines
        .filter(|(line, bytes)| {
            stream.is_none_or(|only| only == line.stream) && regex.is_match(bytes)
        })
        .map(|(line, _)| line)
        .collect()
}

/// Each case looks several times at the same log.
const CASES: u32 = 4;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / CASES))]

    #[test]
    fn any_search_finds_the_lines_that_match_by_themselves(
        chunks in any_chunks(),
        (search, regex) in any_search(),
        stream in proptest::option::of(any_stream()),
        limit in 50..1000_usize,
        patient: bool,
        place in 0.0..1.0,
    ) {
        let (_directory, path) = write(&chunks);
        let reader = LogReader::open(path).unwrap();
        let search = search.of(stream);
        let expected = expected(&chunks, &regex, stream);
        let total = reader.total();
        let go_on = || patient;
        prop_assert_eq!(&find_all(&reader, &search, 1, Forward, limit, go_on), &expected);
        if total > 0 {
            prop_assert_eq!(&find_all(&reader, &search, u64::MAX, Backward, limit, go_on), &expected);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
            reason = "any line will do")]
        let from = 1 + (place * total as f64) as u64;
        let (before, after): (Vec<_>, Vec<_>) = expected.iter().cloned().partition(|line| line.n < from);
        prop_assert_eq!(&find_all(&reader, &search, from, Forward, limit, go_on), &after);
        if from > 1 {
            prop_assert_eq!(&find_all(&reader, &search, from - 1, Backward, limit, go_on), &before);
        }
        let count = reader.count(&search, (1, total), u64::MAX, || true).unwrap();
        prop_assert_eq!((count.matches, count.next), (wide(expected.len()), total + 1));
        let first = reader.count(&search, (from, total), 1, || true).unwrap();
        prop_assert_eq!(first.matches, wide(after.len().min(1)));
        if let Some(line) = after.first() {
            prop_assert_eq!(first.next, line.n + 1);
        }
    }

    #[test]
    fn any_pattern_is_taken_or_refused(pattern in "\\PC{0,40}", case: bool) {
        for search in [Search::text(&pattern, case), Search::regex(&pattern, case)] {
            if let Err(error) = search {
                prop_assert!(!error.to_string().contains('\n'), "{error}");
            }
        }
    }
}

/// 100,000 lines, 2.5 MB.
fn long_log() -> (tempfile::TempDir, LogReader) {
    let chunks: Vec<_> = (0..1000_u64)
        .map(|chunk_of| {
            let lines =
                (0..100).map(|line| format!("line {} of many\n", chunk_of * 100 + line + 1));
            chunk(Stdout, chunk_of, lines.collect::<String>())
        })
        .collect();
    let (directory, path) = write(&chunks);
    (directory, LogReader::open(path).unwrap())
}

#[test]
fn each_request_does_a_bounded_step_and_tells_where_to_go_on() {
    let (_directory, reader) = long_log();
    let search = Search::text("line 99000 ", true).unwrap();
    for (direction, from, least) in [(Forward, 1, 20), (Backward, u64::MAX, 0)] {
        let (mut asked, mut from) = (0, from);
        let found = loop {
            let found = reader.find(&search, from, direction, 1, || false).unwrap();
            if !found.lines.is_empty() {
                break found;
            }
            from = found.next;
            asked += 1;
        };
        assert_eq!(found.lines[0].n, 99_000);
        assert!((least..60).contains(&asked), "{asked} steps {direction:?}");
    }
    let count = reader.count(&search, (1, u64::MAX), 10, || false).unwrap();
    assert!(count.next > 1000 && count.next < 10_000, "{count:?}");
}

#[test]
fn what_is_not_found_says_so() {
    let (_directory, reader) = long_log();
    let nothing = Search::text("LINE", true).unwrap();
    let nothing_found = |direction, from, next| {
        let found = reader.find(&nothing, from, direction, 10, || true).unwrap();
        assert_eq!(
            found,
            Found { lines: Vec::new(), next, total: 100_000, complete: true, cut: None }
        );
        assert!(!found.more());
    };
    nothing_found(Forward, 1, 100_001);
    nothing_found(Backward, 100_000, 0);
    nothing_found(Forward, 200_000, 200_000);
    nothing_found(Backward, 0, 0);
    let count = reader.count(&nothing, (5, 4), 10, || true).unwrap();
    assert_eq!((count.matches, count.next), (0, 5));
}

#[test]
fn one_stream_is_read_alone() {
    let chunks: Vec<_> = (0..2000)
        .map(|n| chunk(if n % 100 == 7 { Stderr } else { Stdout }, n, format!("{n}\n")))
        .collect();
    let (_directory, path) = write(&chunks);
    let reader = LogReader::open(path).unwrap();
    let search = Search::default().of(Some(Stderr));
    let found = reader.find(&search, 1, Forward, 5, || true).unwrap();
    let texts: Vec<_> = found.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["7", "107", "207", "307", "407"]);
    assert_eq!(found.next, 409);
    let found = reader.find(&search, u64::MAX, Backward, 2, || true).unwrap();
    let texts: Vec<_> = found.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["1807", "1907"]);
    assert_eq!(found.next, 1807);
}

/// A pattern that may match across lines costs no more than one that does not.
#[test]
fn a_pattern_over_many_lines_is_tried_on_each() {
    let mut text = "a line without its end\n".repeat(200_000);
    text.push_str("a z\n");
    let (_directory, path) = write(&[chunk(Stdout, 0, text)]);
    let reader = LogReader::open(path).unwrap();
    let search = Search::regex("a[^z]*z", true).unwrap();
    let found = reader.find(&search, 1, Forward, 5, || true).unwrap();
    assert_eq!(found.lines.iter().map(|line| line.n).collect::<Vec<_>>(), [200_001]);
}

#[test]
fn what_cannot_be_looked_for_is_refused_with_a_reason() {
    assert_eq!(Search::text("", false).unwrap_err(), SearchError::Empty);
    assert_eq!(Search::text("a\nb", false).unwrap_err(), SearchError::Newline);
    let long = "x".repeat(SEARCH_MAX + 1);
    assert_eq!(Search::text(&long, true).unwrap_err(), SearchError::TooLarge);
    assert_eq!(Search::regex(r"(\w{100}){100}", true).unwrap_err(), SearchError::TooLarge);
    let error = Search::regex("a(b", true).unwrap_err().to_string();
    assert_eq!(error, "is not a regular expression: unclosed group");
    assert!(Search::text("a(b", true).is_ok());
    // The longest text is no pattern that is too large.
    Search::text(&"\u{df}".repeat(SEARCH_MAX / 2), false).unwrap();
}
