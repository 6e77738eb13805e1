//! What templates do with values: icons, states, times, sizes, and text that nobody vouches for.
//!
//! askama escapes what these give unless it is [`Safe`]; what is `Safe` here escapes for itself.

#![expect(
    clippy::inline_always,
    clippy::trivially_copy_pass_by_ref,
    clippy::unnecessary_wraps,
    clippy::unused_self,
    unreachable_pub,
    reason = "the form that askama gives to filters"
)]

use std::fmt::{Display, Write as _};

use askama::{Result, Values, filters::Safe};
use automa_core::{
    agent,
    execution::{Count, State},
};
use automa_sandbox::Bytes;
use jiff::Timestamp;

use crate::{
    assets,
    pages::{agents, text},
};

/// The address of a file of `static/`.
#[askama::filter_fn]
pub(crate) fn asset<'a>(path: &'a str, _: &dyn Values) -> Result<&'a str> {
    Ok(assets::url(path))
}

/// A picture of the sprite. It says nothing to screen readers: a word stands beside it.
#[askama::filter_fn]
pub(crate) fn icon(name: &str, _: &dyn Values) -> Result<Safe<String>> {
    Ok(Safe(picture(name)))
}

/// A state as icon and word, in its colour.
#[askama::filter_fn]
pub(crate) fn status(state: &State, _: &dyn Values) -> Result<Safe<String>> {
    let picture = picture(state_icon(*state));
    Ok(Safe(format!("<span class=\"st {state}\">{picture}{}</span>", state_word(*state))))
}

/// An agent's state as icon and word, in its colour.
#[askama::filter_fn]
pub(crate) fn agent_status(state: &agent::State, _: &dyn Values) -> Result<Safe<String>> {
    let (icon, class) = agents::look(*state);
    let (picture, word) = (picture(icon), agents::word(*state));
    Ok(Safe(format!("<span class=\"st {class}\">{picture}{word}</span>")))
}

/// Text from someone else as one line that cannot turn what stands around it: see [`text::plain`].
#[askama::filter_fn]
pub(crate) fn plain(value: impl Display, _: &dyn Values) -> Result<Safe<String>> {
    Ok(Safe(text::plain(&value.to_string())))
}

/// Our own text, in which what stands between backticks is code.
#[askama::filter_fn]
pub(crate) fn prose(value: &str, _: &dyn Values) -> Result<Safe<String>> {
    let mut html = String::with_capacity(value.len() + 32);
    for (n, part) in value.split('`').enumerate() {
        let is_code = n % 2 == 1;
        html.push_str(if is_code { "<code>" } else { "" });
        part.chars().for_each(|c| text::push(&mut html, c));
        html.push_str(if is_code { "</code>" } else { "" });
    }
    Ok(Safe(html))
}

/// Bytes with a unit: `1.5 KiB`.
#[askama::filter_fn]
pub(crate) fn bytes(value: &u64, _: &dyn Values) -> Result<String> {
    Ok(Bytes(*value).to_string())
}

/// Milliseconds as people say them: `38 ms`, `8.42 s`, `4 min 05 s`.
#[askama::filter_fn]
pub(crate) fn millis(value: &u64, _: &dyn Values) -> Result<String> {
    Ok(duration(*value))
}

/// A number with commas: `12,480`.
#[askama::filter_fn]
pub(crate) fn count(value: &u64, _: &dyn Values) -> Result<String> {
    Ok(grouped(*value))
}

/// How many executions, of which there may be more.
#[askama::filter_fn]
pub(crate) fn counted(value: &Count, _: &dyn Values) -> Result<String> {
    let Count { count, is_exact } = *value;
    let least = if is_exact { "" } else { "more than " };
    Ok(format!("{least}{} execution{}", grouped(count), if count == 1 { "" } else { "s" }))
}

/// How long before `now` it was, with the exact time beside it.
#[askama::filter_fn]
pub(crate) fn ago(at: &Timestamp, _: &dyn Values, now: &Timestamp) -> Result<Safe<String>> {
    Ok(Safe(time_element(*at, " data-ago", &relative(*at, *now))))
}

fn relative(at: Timestamp, now: Timestamp) -> String {
    let seconds = u64::try_from(now.as_second() - at.as_second()).unwrap_or(0);
    match seconds {
        0..5 => "just now".to_owned(),
        5..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        86_400..172_800 => "yesterday".to_owned(),
        172_800..2_592_000 => format!("{} days ago", seconds / 86_400),
        _ => at.strftime("%-d %b %Y").to_string(),
    }
}

/// The time of day, with the date beside it.
#[askama::filter_fn]
pub(crate) fn clock(at: &Timestamp, _: &dyn Values) -> Result<Safe<String>> {
    Ok(Safe(time_element(*at, " data-clock", &at.strftime("%H:%M:%S").to_string())))
}

/// The start of something that goes on: a script of the page counts from there.
#[askama::filter_fn]
pub(crate) fn since(at: &Timestamp, _: &dyn Values) -> Result<Safe<String>> {
    let text = at.strftime("since %H:%M:%S UTC").to_string();
    Ok(Safe(time_element(*at, " data-since", &text)))
}

/// The day.
#[askama::filter_fn]
pub(crate) fn day(at: &Timestamp, _: &dyn Values) -> Result<String> {
    Ok(at.strftime("%-d %b %Y").to_string())
}

/// Date and time, in UTC.
#[askama::filter_fn]
pub(crate) fn moment(at: &Timestamp, _: &dyn Values) -> Result<Safe<String>> {
    Ok(Safe(time_element(*at, "", &exact(*at))))
}

fn exact(at: Timestamp) -> String {
    at.strftime("%-d %B %Y, %H:%M:%S UTC").to_string()
}

fn time_element(at: Timestamp, attribute: &str, text: &str) -> String {
    let machine = at.strftime("%Y-%m-%dT%H:%M:%SZ");
    format!("<time datetime=\"{machine}\" title=\"{}\"{attribute}>{text}</time>", exact(at))
}

fn picture(name: &str) -> String {
    let class = if name == "turn" { "i turn" } else { "i" };
    let sprite = assets::url("icons.svg");
    format!("<svg class=\"{class}\" aria-hidden=\"true\"><use href=\"{sprite}#{name}\"/></svg>")
}

pub(crate) fn state_icon(state: State) -> &'static str {
    match state {
        State::Queued => "wait",
        State::Running => "turn",
        State::Succeeded => "ok",
        State::Failed => "bad",
        State::TimedOut => "hour",
        State::Cancelled => "ban",
        State::OutOfMemory => "mem",
        State::Lost => "lost",
    }
}

/// A state in words, with a capital.
pub(crate) fn state_word(state: State) -> &'static str {
    match state {
        State::Queued => "Queued",
        State::Running => "Running",
        State::Succeeded => "Succeeded",
        State::Failed => "Failed",
        State::TimedOut => "Timed out",
        State::Cancelled => "Cancelled",
        State::OutOfMemory => "Out of memory",
        State::Lost => "Lost",
    }
}

/// Milliseconds as people say them.
pub(crate) fn duration(millis: u64) -> String {
    let (seconds, rest) = (millis / 1000, millis % 1000);
    match seconds {
        0 => format!("{rest} ms"),
        1..10 => format!("{seconds}.{:02} s", rest / 10),
        10..60 => format!("{seconds}.{} s", rest / 100),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A number with commas.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        // Writing to a string does not fail.
        let _ = text.write_char(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_three_figures() {
        for (millis, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (8_420, "8.42 s"),
            (9_999, "9.99 s"),
            (30_040, "30.0 s"),
            (245_000, "4 min 05 s"),
            (7_500_000, "2 h 05 min"),
        ] {
            assert_eq!(duration(millis), text);
        }
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(value), text);
        }
    }

    #[test]
    fn times_are_relative_and_exact() {
        let at: Timestamp = "2026-11-21T04:56:12Z".parse().unwrap();
        for (now, text) in [
            ("2026-11-21T04:56:10Z", "just now"),
            ("2026-11-21T04:56:24Z", "12 s ago"),
            ("2026-11-21T06:56:24Z", "2 h ago"),
            ("2026-11-22T06:56:24Z", "yesterday"),
            ("2027-11-22T06:56:24Z", "21 Nov 2026"),
        ] {
            assert_eq!(relative(at, now.parse().unwrap()), text);
        }
        assert_eq!(
            time_element(at, " data-ago", "12 s ago"),
            "<time datetime=\"2026-11-21T04:56:12Z\" title=\"21 November 2026, 04:56:12 UTC\" \
             data-ago>12 s ago</time>"
        );
    }

    #[test]
    fn every_state_has_an_icon_of_the_sprite() {
        let sprite = include_str!("../../static/icons.svg");
        for state in [
            State::Queued,
            State::Running,
            State::Succeeded,
            State::Failed,
            State::TimedOut,
            State::Cancelled,
            State::OutOfMemory,
            State::Lost,
        ] {
            let icon = state_icon(state);
            assert!(sprite.contains(&format!("<symbol id=\"{icon}\"")), "{icon}");
        }
    }
}
