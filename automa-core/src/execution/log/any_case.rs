//! Finding a text whose upper and lower case do not differ.
//!
//! A regular expression does it too, by the text's beginning: where many a line has that, each is a
//! false alarm, and dear. Here those bytes of the text are looked for that are likely to be the
//! rarest, many at a time, and around each of them the text is compared at once.

use aho_corasick::packed::Searcher;

/// Bytes of logs, the most frequent first; others are rarer.
const FREQUENT: &[u8] = b" etaonirldh01c2u345m6789p-.:,gfwybv/_=\"x";

/// As many bytes are looked for, or as many as there are.
const WINDOW: usize = 3;

/// A text of ASCII that is found in any case, as regular expressions define it: the letters `k` and
/// `s` have a third form each, which is no ASCII.
#[derive(Debug)]
pub(super) struct AnyCase {
    text: Vec<u8>,
    /// Where in the text the bytes are that are looked for.
    at: usize,
    searcher: Searcher,
}

impl AnyCase {
    /// `None` if this is not the way to find such a text on this machine.
    pub(super) fn new(text: &str) -> Option<Self> {
        let text = text.is_ascii().then(|| text.to_ascii_lowercase().into_bytes())?;
        let windows = text.windows(WINDOW.min(text.len())).enumerate();
        let plain = windows.filter(|(_, window)| !window.iter().any(|byte| b"ks".contains(byte)));
        let (at, window) = plain.max_by_key(|(_, window)| rarity(window))?;
        let searcher = Searcher::new(cases(window))?;
        Some(Self { text, at, searcher })
    }

    /// Where it is found first, from `from` on.
    pub(super) fn find(&self, bytes: &[u8], from: usize) -> Option<usize> {
        let (before, behind) = self.text.split_at(self.at);
        let mut span = from..bytes.len();
        loop {
            let place = self.searcher.find_in(bytes, span.clone().into())?.start();
            if follows(&bytes[place..], behind)
                && let Some(begin) = precedes(&bytes[from..place], before)
            {
                return Some(from + begin);
            }
            span.start = place + 1;
        }
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}

fn rarity(window: &[u8]) -> usize {
    let of = |byte: &u8| FREQUENT.iter().position(|it| it == byte).unwrap_or(FREQUENT.len());
    window.iter().map(of).sum()
}

/// A few bytes with each letter in both cases.
fn cases(window: &[u8]) -> Vec<Vec<u8>> {
    window.iter().fold(vec![Vec::new()], |all, byte| {
        let mut both = vec![*byte, byte.to_ascii_uppercase()];
        both.dedup();
        let with = |it: &Vec<u8>, byte: u8| [it, &[byte][..]].concat();
        both.iter().flat_map(|byte| all.iter().map(|it| with(it, *byte))).collect()
    })
}

/// The third form of a letter.
fn third(letter: u8) -> Option<&'static [u8]> {
    match letter {
        b'k' => Some("\u{212a}".as_bytes()),
        b's' => Some("\u{17f}".as_bytes()),
        _ => None,
    }
}

/// Whether `bytes` begin with `text`.
fn follows(mut bytes: &[u8], text: &[u8]) -> bool {
    text.iter().all(|letter| {
        let rest = match bytes.split_first() {
            Some((first, rest)) if first.to_ascii_lowercase() == *letter => Some(rest),
            _ => third(*letter).and_then(|form| bytes.strip_prefix(form)),
        };
        rest.inspect(|rest| bytes = rest).is_some()
    })
}

/// Where at the end of `bytes` the `text` begins, if they end with it.
fn precedes(mut bytes: &[u8], text: &[u8]) -> Option<usize> {
    for letter in text.iter().rev() {
        bytes = match bytes.split_last() {
            Some((last, rest)) if last.to_ascii_lowercase() == *letter => rest,
            _ => third(*letter).and_then(|form| bytes.strip_suffix(form))?,
        };
    }
    Some(bytes.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::bytes::RegexBuilder;

    use super::*;

    proptest! {
        #[test]
        fn it_is_found_where_a_regular_expression_finds_it(
            text in "[aKsx. ]{1,6}",
            bytes in "[aAkK\u{212a}sS\u{17f}xX. \u{e9}]{0,60}",
            from in 0..10_usize,
        ) {
            let Some(any) = AnyCase::new(&text) else { return Ok(()) };
            let regex = RegexBuilder::new(&regex::escape(&text)).case_insensitive(true).build();
            let from = from.min(bytes.len());
            let expected = regex.unwrap().find_at(bytes.as_bytes(), from).map(|it| it.start());
            prop_assert_eq!(any.find(bytes.as_bytes(), from), expected);
        }
    }

    #[test]
    fn the_rarest_bytes_are_looked_for() {
        let window = |text: &str| {
            let any = AnyCase::new(text)?;
            Some(text[any.at..].chars().take(WINDOW).collect::<String>())
        };
        assert_eq!(window("a line of XQZ text").as_deref(), Some("XQZ"));
        assert_eq!(window("é"), None);
        assert_eq!(window("sk"), None);
        assert_eq!(cases(b"a."), [b"a.", b"A."]);
    }
}
