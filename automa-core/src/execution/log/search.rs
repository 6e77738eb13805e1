//! What is looked for in a log: a text or a regular expression, in one stream or in both.

use std::{borrow::Cow, fmt, sync::Arc};

use automa_sandbox::Stream;
use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};

use super::{Line, any_case::AnyCase};

/// Longest text or pattern, in bytes.
pub const SEARCH_MAX: usize = 1000;

/// Most memory of a compiled pattern: what is larger is refused, since the time per byte grows with
/// it.
const COMPILED_MAX: usize = 512 * 1024;

/// What lines are looked for. Cheap to clone.
///
/// A line is compared as it was written, before it is made UTF-8 and without its newline: what is
/// looked for is found within one line, with the escape sequences that it may hold. Takes time
/// linear in what is read, whatever the pattern.
///
/// ```
/// use automa_core::execution::log::Search;
///
/// let errors = Search::regex(r"^(error|warning)\b", false)?;
/// assert!(Search::regex("(", false).is_err());
/// # Ok::<(), automa_core::execution::log::SearchError>(())
/// ```
#[derive(Clone, Default)]
pub struct Search {
    pattern: Option<Pattern>,
    stream: Option<Stream>,
}

#[derive(Clone)]
enum Pattern {
    /// In these very bytes.
    Text(Arc<Finder<'static>>),
    /// In these letters, whatever their case.
    AnyCase(Arc<AnyCase>),
    Regex {
        regex: Regex,
        /// Whether it has to be tried on each line alone: it may tell the beginning or the end of
        /// what it is tried on from that of a line.
        alone: bool,
    },
}

/// This cannot be looked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// Nothing was given.
    #[error("must not be empty: say what to look for")]
    Empty,
    /// More than [`SEARCH_MAX`] bytes, or a pattern that becomes too large.
    #[error("is too large: look for something shorter, or repeat less")]
    TooLarge,
    /// A line has no newline.
    #[error("must not have a newline, as each line is looked at by itself")]
    Newline,
    /// Not a regular expression.
    #[error("is not a regular expression: {0}")]
    Regex(String),
}

impl Search {
    /// All lines that contain `text`. With `case`, upper and lower case differ.
    ///
    /// # Errors
    ///
    /// [`SearchError`].
    pub fn text(text: &str, case: bool) -> Result<Self, SearchError> {
        check(text)?;
        let pattern = if case {
            Pattern::Text(Arc::new(Finder::new(text).into_owned()))
        } else if let Some(any) = AnyCase::new(text) {
            Pattern::AnyCase(Arc::new(any))
        } else {
            Pattern::Regex { regex: compile(&regex::escape(text), case)?, alone: false }
        };
        Ok(Self { pattern: Some(pattern), stream: None })
    }

    /// All lines in which `pattern` matches, in the syntax of the crate [`regex`]. `^` and `$` are
    /// the beginning and the end of the line.
    ///
    /// # Errors
    ///
    /// [`SearchError`].
    pub fn regex(pattern: &str, case: bool) -> Result<Self, SearchError> {
        check(pattern)?;
        let alone = ["\\A", "\\z"].iter().any(|it| pattern.contains(it))
            // Flags may change what `^` and `$` mean.
            || pattern.split("(?").skip(1).any(|rest| !rest.starts_with(':'));
        let regex = compile(pattern, case)?;
        Ok(Self { pattern: Some(Pattern::Regex { regex, alone }), stream: None })
    }

    /// The same, but only lines of `stream`.
    #[must_use]
    pub fn of(self, stream: Option<Stream>) -> Self {
        Self { stream, ..self }
    }

    /// Whether `line` is one that is looked for, as far as that can be told by its text.
    #[must_use]
    pub fn finds(&self, line: &Line) -> bool {
        self.takes(line.stream) && self.matches(line.text.as_bytes())
    }

    /// Whether lines of `stream` are looked at.
    pub(super) fn takes(&self, stream: Stream) -> bool {
        self.stream.is_none_or(|only| only == stream)
    }

    /// Whether `line` is one that is looked for.
    pub(super) fn matches(&self, line: &[u8]) -> bool {
        match &self.pattern {
            None => true,
            Some(Pattern::Text(finder)) => finder.find(line).is_some(),
            Some(Pattern::AnyCase(any)) => any.find(line, 0).is_some(),
            Some(Pattern::Regex { regex, .. }) => regex.is_match(line),
        }
    }

    /// Where in `lines`, whole lines without the last one's newline, the first may be that is looked
    /// for, from `at` on, which is the beginning of a line: a place in it, or before it. There is
    /// none if there is no such place.
    pub(super) fn first(&self, lines: &[u8], at: usize) -> Option<usize> {
        match &self.pattern {
            None | Some(Pattern::Regex { alone: true, .. }) => Some(at),
            Some(Pattern::Text(finder)) => Some(at + finder.find(&lines[at..])?),
            Some(Pattern::AnyCase(any)) => any.find(lines, at),
            // It may match across a newline, beginning in a line before. But of a match within a
            // line nothing before is skipped: the leftmost one is found.
            Some(Pattern::Regex { regex, .. }) => Some(regex.find_at(lines, at)?.start()),
        }
    }
}

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pattern: Option<Cow<'_, str>> = self.pattern.as_ref().map(|pattern| match pattern {
            Pattern::Text(finder) => String::from_utf8_lossy(finder.needle()),
            Pattern::AnyCase(any) => String::from_utf8_lossy(any.text()),
            Pattern::Regex { regex, .. } => regex.as_str().into(),
        });
        let fields = (pattern, self.stream);
        f.debug_tuple("Search").field(&fields.0).field(&fields.1).finish()
    }
}

fn check(text: &str) -> Result<(), SearchError> {
    match text {
        "" => Err(SearchError::Empty),
        text if text.len() > SEARCH_MAX => Err(SearchError::TooLarge),
        text if text.contains('\n') => Err(SearchError::Newline),
        _ => Ok(()),
    }
}

fn compile(pattern: &str, case: bool) -> Result<Regex, SearchError> {
    let mut builder = RegexBuilder::new(pattern);
    builder.case_insensitive(!case).multi_line(true);
    builder.size_limit(COMPILED_MAX).dfa_size_limit(COMPILED_MAX);
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => SearchError::TooLarge,
        error => {
            // Its text shows the pattern on lines of their own; the last says what is wrong.
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default();
            SearchError::Regex(reason.trim_start_matches("error: ").to_owned())
        }
    })
}
