//! A time as it is told of jobs: by the clock of a zone, with the distance from UTC and from now.

use automa_core::job::trigger::find_zone;
use jiff::{Timestamp, Zoned, tz::TimeZone};

/// A time to be shown.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    at: Zoned,
    now: Timestamp,
}

impl Moment {
    pub(crate) fn new(at: Timestamp, zone: &str, now: Timestamp) -> Self {
        Self { at: at.to_zoned(find_zone(zone).unwrap_or(TimeZone::UTC)), now }
    }

    /// `Sun 29 Mar 2026, 03:00`.
    pub(crate) fn local(&self) -> String {
        let seconds = if self.at.second() == 0 { "" } else { ":%S" };
        self.at.strftime(&format!("%a %-d %b %Y, %H:%M{seconds}")).to_string()
    }

    /// `03:00`.
    pub(crate) fn clock(&self) -> String {
        self.at.strftime("%H:%M").to_string()
    }

    /// `UTC+2`.
    pub(crate) fn offset(&self) -> String {
        let seconds = self.at.offset().seconds();
        let sign = if seconds < 0 { '-' } else { '+' };
        match (seconds.abs() / 3600, seconds.abs() / 60 % 60) {
            (0, 0) => "UTC".to_owned(),
            (hours, 0) => format!("UTC{sign}{hours}"),
            (hours, minutes) => format!("UTC{sign}{hours}:{minutes:02}"),
        }
    }

    /// Both.
    pub(crate) fn exact(&self) -> String {
        format!("{} {}", self.local(), self.offset())
    }

    /// For machines.
    pub(crate) fn machine(&self) -> String {
        self.at.timestamp().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// `in 3 h`.
    pub(crate) fn distance(&self) -> String {
        let seconds = self.at.timestamp().as_second() - self.now.as_second();
        match seconds {
            ..=0 => "now".to_owned(),
            1..60 => format!("in {seconds} s"),
            60..3600 => format!("in {} min", seconds / 60),
            3600..172_800 => format!("in {} h", seconds / 3600),
            _ => format!("in {} days", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_by_its_zone() {
        let now: Timestamp = "2026-03-29T00:00:00Z".parse().unwrap();
        let at = "2026-03-29T01:00:00Z".parse().unwrap();
        let berlin = Moment::new(at, "Europe/Berlin", now);
        assert_eq!(berlin.exact(), "Sun 29 Mar 2026, 03:00 UTC+2");
        assert_eq!((berlin.clock(), berlin.distance()), ("03:00".into(), "in 1 h".into()));
        assert_eq!(Moment::new(at, "Asia/Kolkata", now).offset(), "UTC+5:30");
        assert_eq!(Moment::new(at, "UTC", at).exact(), "Sun 29 Mar 2026, 01:00 UTC");
        assert_eq!(Moment::new(now, "America/New_York", at).offset(), "UTC-4");
    }
}
