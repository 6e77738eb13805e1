//! Which part of a log is looked at: what the page's address says.

use automa_core::execution::log::{Direction, Search, SearchError};
use automa_sandbox::Stream;

use crate::{htmx::encoded, pages::form::Typed, problem::Problem};

/// Lines that are shown before the one that was asked for.
pub(super) const BEFORE: u64 = 100;

/// What the address says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// What to look for; empty for nothing.
    pub(super) q: String,
    /// Whether that is a regular expression.
    pub(super) regex: bool,
    /// Whether upper and lower case differ.
    pub(super) case: bool,
    /// Whether only lines are shown in which it was found.
    pub(super) only: bool,
    /// The only stream that is shown.
    pub(super) stream: Option<Stream>,
    /// The attempt that is shown, if that was said.
    pub(crate) attempt: Option<u32>,
    pub(super) place: Place,
    /// A line that is shown to its end, however long.
    pub(super) whole: Option<u64>,
    /// A line of JSON that is shown indented.
    pub(super) indented: Option<u64>,
}

/// Where in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// Its end, or the first place at which something was found.
    #[default]
    Unsaid,
    /// From this line on.
    From(u64),
    /// Up to this line.
    To(u64),
    /// Around this line, in which something was found.
    At(u64),
    /// Around the next line in which something is found, from this one on.
    After(u64),
    /// Around the last one, up to this one.
    Before(u64),
    /// Around the next line that was written to stderr, from this one on.
    Error(u64),
}

impl View {
    pub(crate) fn of(query: &Typed) -> Result<Self, Problem> {
        let line = |name| crate::pages::named(query.get(name), "line", |it| it.parse().ok());
        let stream = crate::pages::named(query.get("stream"), "stream", stream_of)?;
        let mut place = line("from")?.map_or(Place::Unsaid, Place::From);
        place = line("to")?.map_or(place, Place::To);
        place = line("at")?.map_or(place, Place::At);
        place = line("after")?.map_or(place, Place::After);
        place = line("before")?.map_or(place, Place::Before);
        place = line("error")?.map_or(place, Place::Error);
        Ok(Self {
            q: query.get("q").to_owned(),
            regex: query.has("regex"),
            case: query.has("case"),
            only: query.has("only"),
            stream,
            attempt: crate::pages::named(query.get("attempt"), "attempt", |it| it.parse().ok())?,
            place,
            whole: line("whole")?,
            indented: line("indented")?,
        })
    }

    /// What is looked for, if anything is.
    pub(super) fn search(&self) -> Result<Option<Search>, SearchError> {
        if self.q.is_empty() {
            return Ok(None);
        }
        let of = if self.regex { Search::regex } else { Search::text };
        Ok(Some(of(&self.q, self.case)?.of(self.stream)))
    }

    /// From where a line is to be found before anything is shown, and which way.
    pub(super) fn wanted(&self) -> Option<(u64, Direction)> {
        match self.place {
            Place::Unsaid if !self.only => Some((1, Direction::Forward)),
            Place::After(line) => Some((line, Direction::Forward)),
            Place::Before(line) => Some((line, Direction::Backward)),
            _ => None,
        }
    }

    /// What lines are shown: those that are looked for, those of a stream, or all.
    pub(super) fn filter(&self, search: Option<&Search>) -> Search {
        match search {
            Some(search) if self.only => search.clone(),
            _ => Search::default().of(self.stream),
        }
    }

    /// The same at another place, as a query: `?q=a&from=5`.
    pub(super) fn at(&self, place: Place) -> String {
        let mut query = self.words();
        let mut add = |name: &str, line: u64| query.push(format!("{name}={line}"));
        match place {
            Place::Unsaid => {}
            Place::From(line) => add("from", line),
            Place::To(line) => add("to", line),
            Place::At(line) => add("at", line),
            Place::After(line) => add("after", line),
            Place::Before(line) => add("before", line),
            Place::Error(line) => add("error", line),
        }
        format!("?{}", query.join("&"))
    }

    /// The same of one stream, or of both.
    pub(super) fn of_stream(&self, stream: Option<Stream>) -> String {
        Self { stream, ..self.clone() }.at(Place::Unsaid)
    }

    /// What the address says apart from the place.
    fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if !self.q.is_empty() {
            words.push(format!("q={}", encoded(&self.q)));
        }
        let flags = [(self.regex, "regex"), (self.case, "case"), (self.only, "only")];
        words.extend(flags.iter().filter(|(on, _)| *on).map(|(_, name)| format!("{name}=on")));
        words.extend(self.stream.map(|stream| format!("stream={}", name(stream))));
        words.extend(self.attempt.map(|attempt| format!("attempt={attempt}")));
        words
    }

    /// What the address says apart from the place, to go on in a query.
    pub(super) fn rest(&self) -> String {
        self.words().join("&")
    }
}

/// A stream's name.
pub(super) fn name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    }
}

fn stream_of(text: &str) -> Option<Stream> {
    [Stream::Stdout, Stream::Stderr].into_iter().find(|stream| name(*stream) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_is_seen() {
        let typed = |pairs: &[(&str, &str)]| {
            pairs.iter().fold(Typed::default(), |typed, (name, value)| typed.with(name, *value))
        };
        let view = View::of(&typed(&[
            ("q", "a&b é"),
            ("regex", "on"),
            ("only", "on"),
            ("stream", "stderr"),
            ("attempt", "2"),
            ("to", "7"),
        ]))
        .unwrap();
        assert_eq!((view.place, view.case), (Place::To(7), false));
        let query = "?q=a%26b%20%C3%A9&regex=on&only=on&stream=stderr&attempt=2";
        assert_eq!(view.at(Place::Unsaid), query);
        assert_eq!(view.at(Place::After(8)), format!("{query}&after=8"));
        assert_eq!(view.of_stream(None), "?q=a%26b%20%C3%A9&regex=on&only=on&attempt=2");
        assert_eq!(View::default().at(Place::Unsaid), "?");
        assert!(View::of(&typed(&[("from", "x")])).is_err());
        assert!(View::of(&typed(&[("stream", "both")])).is_err());
    }

    #[test]
    fn nothing_is_looked_for_unless_said() {
        assert!(View::default().search().unwrap().is_none());
        let wrong = View { q: "(".to_owned(), regex: true, ..View::default() };
        assert!(wrong.search().is_err());
        assert!(View { regex: false, ..wrong }.search().unwrap().is_some());
    }
}
