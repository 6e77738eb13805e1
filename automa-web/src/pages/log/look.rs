//! How someone likes logs to look; the browser remembers it.

use std::fmt;

use poem::{Request, Response, handler, web::Form};

use crate::{
    auth::cookie,
    htmx::{local, see_other},
    pages::form::Typed,
};

/// Which times stand beside lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Times {
    Off,
    /// Since the start.
    #[default]
    Relative,
    /// Of the day, in UTC.
    Absolute,
}

impl Times {
    pub(super) const ALL: [Self; 3] = [Self::Off, Self::Relative, Self::Absolute];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Relative => "relative",
            Self::Absolute => "absolute",
        }
    }

    /// On a button.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Off => "No times",
            Self::Relative => "Since start",
            Self::Absolute => "UTC",
        }
    }
}

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) times: Times,
    /// Whether lines that are wider than the page go on below.
    pub(crate) wrap: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { times: Times::default(), wrap: true }
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.times.name(), if self.wrap { "wrap" } else { "wide" })
    }
}

impl Look {
    /// The cookie that remembers it.
    const COOKIE: &'static str = "log";

    /// What the browser remembers.
    pub(crate) fn of(request: &Request) -> Self {
        let jar = request.cookie();
        jar.get(Self::COOKIE).map_or_else(Self::default, |it| Self::read(it.value_str()))
    }

    fn read(text: &str) -> Self {
        let (times, wide) = text.split_once('-').unwrap_or_default();
        let times = Times::ALL.into_iter().find(|it| it.name() == times).unwrap_or_default();
        Self { times, wrap: wide != "wide" }
    }
}

/// Remembers what was chosen and shows the page again.
#[handler]
pub(in crate::pages) fn choose(request: &Request, Form(typed): Form<Typed>) -> Response {
    let before = Look::of(request);
    let times = Times::ALL.into_iter().find(|it| it.name() == typed.get("times"));
    let wrap = match typed.get("wrap") {
        "on" => true,
        "off" => false,
        _ => before.wrap,
    };
    let look = Look { times: times.unwrap_or(before.times), wrap };
    cookie::remember(request, Look::COOKIE, &look);
    see_other(local(typed.get("next")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_remembered_as_a_word() {
        for times in Times::ALL {
            for wrap in [true, false] {
                let look = Look { times, wrap };
                assert_eq!(Look::read(&look.to_string()), look);
            }
        }
        assert_eq!(Look::read("nonsense"), Look::default());
    }
}
