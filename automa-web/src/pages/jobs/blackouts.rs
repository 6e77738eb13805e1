//! Blackouts in forms: one a line.

use automa_core::job::trigger::{Blackout, find_zone};
use jiff::{civil::DateTime, tz::TimeZone};

/// Reads lines such as `sat,sun 22:00 to 06:00`, `12-24 to 01-01` and `2026-12-30 08:00 to 2026-12-31
/// 18:00`, each with the name of a zone behind it if it is not `zone`.
///
/// # Errors
///
/// Which lines are none, in a sentence.
pub(super) fn read(text: &str, zone: &str) -> Result<Vec<Blackout>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut wrong = Vec::new();
    let read = lines.filter_map(|line| {
        let read = line_of(line, zone);
        if read.is_none() {
            wrong.push(format!("`{line}`"));
        }
        read
    });
    let read = read.collect();
    if wrong.is_empty() {
        return Ok(read);
    }
    let are = if wrong.len() == 1 { "is no such time" } else { "are no such times" };
    Err(format!("{} {are}: one looks like `sat,sun 22:00 to 06:00`", wrong.join(", ")))
}

fn line_of(line: &str, zone: &str) -> Option<Blackout> {
    let (begin, end) = line.split_once(" to ")?;
    let mut begin = begin.split_whitespace();
    let mut end = end.split_whitespace();
    let (one, two) = (begin.next()?, begin.next());
    let last = end.next()?;
    let mut rest: Vec<_> = end.collect();
    // A day has digits and hyphens: nothing else does here.
    let is_once = one.len() == 10 && one.as_bytes()[4] == b'-';
    let clock = if is_once && !rest.is_empty() { Some(rest.remove(0)) } else { None };
    let zone = match rest.as_slice() {
        [] => zone.to_owned(),
        [other] => (*other).to_owned(),
        _ => return None,
    };
    if begin.next().is_some() {
        return None;
    }
    if is_once {
        let found = find_zone(&zone).unwrap_or(TimeZone::UTC);
        let moment = |day: &str, time: Option<&str>| {
            let time = time.unwrap_or("00:00");
            let at: DateTime = format!("{day}T{time}").parse().ok()?;
            found.to_timestamp(at).ok()
        };
        return Some(Blackout::Once { from: moment(one, two)?, to: moment(last, clock)? });
    }
    Some(match two {
        Some(from) => Blackout::Weekly {
            days: one.parse().ok()?,
            from: from.parse().ok()?,
            to: last.parse().ok()?,
            zone,
        },
        None => Blackout::Yearly { from: one.parse().ok()?, to: last.parse().ok()?, zone },
    })
}

/// The lines that would say the same on a form of this zone.
pub(super) fn written(blackouts: &[Blackout], zone: &str) -> String {
    let other = |it: &str| if it == zone { String::new() } else { format!(" {it}") };
    let found = find_zone(zone).unwrap_or(TimeZone::UTC);
    let line = |blackout: &Blackout| match blackout {
        Blackout::Weekly { days, from, to, zone } => {
            let days: Vec<_> = days.names().collect();
            format!("{} {from} to {to}{}", days.join(","), other(zone))
        }
        Blackout::Yearly { from, to, zone } => format!("{from} to {to}{}", other(zone)),
        Blackout::Once { from, to } => {
            let told = |at| found.to_datetime(at).strftime("%Y-%m-%d %H:%M:%S").to_string();
            format!("{} to {}", told(*from), told(*to))
        }
    };
    blackouts.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_blackouts_and_blackouts_are_such_lines() {
        let lines = "fri,sat 22:00 to 06:00\n12-24 to 01-01\nsun 00:00 to 00:00 America/New_York\n\
            2026-12-30 08:00:00 to 2026-12-31 18:00:00";
        let read = super::read(&format!("\n {lines} \r\n"), "Europe/Berlin").unwrap();
        assert_eq!(read.len(), 4);
        assert_eq!(written(&read, "Europe/Berlin"), lines);
        let Blackout::Once { from, .. } = &read[3] else { panic!("{read:?}") };
        assert_eq!(from.to_string(), "2026-12-30T07:00:00Z");
        assert_eq!(super::read("2026-12-30 to 2026-12-31", "UTC").unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_blackout_is_named() {
        for line in
            ["never", "sat 22:00", "sat 25:00 to 26:00", "a b c to d", "1 to 2 3 4", "é to é"]
        {
            let wrong = read(line, "UTC").unwrap_err();
            assert!(wrong.starts_with(&format!("`{line}` is no such time")), "{wrong}");
        }
    }
}
