//! What is looked for: words, and what it counts where they are.

use memchr::memmem::Finder;

use super::{Hit, Place};
use crate::{Result, error::StoreError, script::Script};

/// Most words that count.
const TERMS_MAX: usize = 8;
/// Most characters of a hit's text, and how many of them go before what was found.
const TEXT: usize = 160;
const BEFORE: usize = 40;

/// What a script counts: more goes first.
pub(super) type Weight = u32;

/// Words in lower case.
#[derive(Default)]
pub(super) struct Terms(Vec<Finder<'static>>);

impl std::fmt::Debug for Terms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|it| String::from_utf8_lossy(it.needle())))
            .finish()
    }
}

impl Terms {
    pub(super) fn new(text: &str) -> Self {
        let text = text.to_lowercase();
        let words = text.split_whitespace().take(TERMS_MAX);
        Self(words.map(|word| Finder::new(word).into_owned()).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a script counts, if every word is somewhere in it. Its source, in lower case, is asked for
    /// only if a word is nowhere else.
    pub(super) fn weigh<S: AsRef<[u8]>>(
        &self,
        script: &Script,
        source: impl FnOnce() -> Result<S, StoreError>,
    ) -> Result<Option<Weight>, StoreError> {
        if self.is_empty() {
            return Ok(Some(0));
        }
        let name = script.name.to_lowercase();
        let tags: Vec<_> = script.tags.iter().map(|tag| tag.to_lowercase()).collect();
        let description = script.description.to_lowercase();
        let (mut source, mut read) = (Some(source), None);
        let mut total = 0;
        for term in &self.0 {
            let at = term.find(name.as_bytes());
            total += if let Some(at) = at {
                named(name.as_bytes(), term.needle(), at)
            } else if let Some(tag) = tags.iter().find(|tag| term.find(tag.as_bytes()).is_some()) {
                if tag.as_bytes() == term.needle() { 12 } else { 8 }
            } else if term.find(description.as_bytes()).is_some() {
                4
            } else {
                if let Some(source) = source.take() {
                    read = Some(source()?);
                }
                if read.as_ref().is_none_or(|it: &S| term.find(it.as_ref()).is_none()) {
                    return Ok(None);
                }
                1
            };
        }
        Ok(Some(total))
    }

    /// Where in a script the first of what is looked for is that counts most. The source is asked for
    /// as it is.
    pub(super) fn hit(
        &self,
        script: &Script,
        source: impl FnOnce() -> Result<String, StoreError>,
    ) -> Result<Option<Hit>> {
        if self.is_empty() {
            return Ok(None);
        }
        let tags = || script.tags.iter().map(String::as_str);
        let named = std::iter::once((Place::Name, &*script.name));
        let parts = named.chain(tags().map(|tag| (Place::Tag, tag)));
        for (place, text) in parts.chain([(Place::Description, &*script.description)]) {
            if let Some(hit) = self.hit_in(place, text) {
                return Ok(Some(hit));
            }
        }
        Ok(self.hit_in(Place::Source, &source()?))
    }

    fn hit_in(&self, place: Place, text: &str) -> Option<Hit> {
        let lower = text.to_lowercase();
        let mut found = self.0.iter().map(|term| (term.find(lower.as_bytes()), term));
        let (at, term) = found.find_map(|(at, term)| Some((at?, term)))?;
        // Lower case has the lines of the original, if not its bytes.
        let line = lower[..at].bytes().filter(|&byte| byte == b'\n').count();
        let begin = lower[..at].rfind('\n').map_or(0, |end| end + 1);
        let skipped = lower[begin..at].chars().count();
        let length = String::from_utf8_lossy(term.needle()).chars().count();
        let text = text.split('\n').nth(line)?;
        let (text, mark) = cut(text, skipped, length);
        Some(Hit { place, line: u32::try_from(line + 1).unwrap_or(u32::MAX), text, mark })
    }
}

/// What a word in a name counts: most if it is the name, then if a word of that begins with it.
fn named(name: &[u8], term: &[u8], at: usize) -> Weight {
    if name == term {
        return 64;
    }
    let begins = at == 0 || !name[at - 1].is_ascii_alphanumeric();
    if begins { 24 } else { 16 }
}

/// A part of a line, around `length` characters after `skipped` others, and where these are in it.
///
/// They were counted in lower case, where a few letters have more characters: the mark may then be
/// some characters beside, and is always within the text.
fn cut(line: &str, skipped: usize, length: usize) -> (String, std::ops::Range<usize>) {
    let line = line.trim_end();
    let indent = line.chars().take_while(|it| it.is_whitespace()).count();
    let first = skipped.saturating_sub(BEFORE).max(indent.min(skipped));
    let mut text: String = line.chars().skip(first).take(TEXT).collect();
    let byte = |chars: usize| text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
    let mut mark = byte(skipped - first)..byte(skipped - first + length);
    if first > indent {
        text.insert(0, '…');
        let by = '…'.len_utf8();
        mark = mark.start + by..mark.end + by;
    }
    (text, mark)
}
