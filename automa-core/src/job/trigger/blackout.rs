//! Blackouts: times at which a job does not start.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, Zoned, civil::Weekday, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::{find_zone, millis, words::MONTHS};
use crate::error::FieldError;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// A time at which a job does not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blackout {
    /// On some days of each week, by the clock of a zone.
    Weekly {
        /// On which days it begins: at least one.
        days: Weekdays,
        /// From when on.
        from: TimeOfDay,
        /// Up to when, that minute not included. It is on the next day if it is not after `from`.
        to: TimeOfDay,
        /// The zone, by its name in the tz database.
        zone: String,
    },
    /// Some days of each year, by the calendar of a zone.
    Yearly {
        /// The first day.
        from: DayOfYear,
        /// The last, in the next year if it is before `from`.
        to: DayOfYear,
        /// The zone, by its name in the tz database.
        zone: String,
    },
    /// Once.
    Once {
        /// From when on.
        #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
        from: Timestamp,
        /// Up to when, that instant not included.
        #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
        to: Timestamp,
    },
}

impl Blackout {
    /// Names what cannot be accepted; `field` is how the caller wrote this.
    pub(super) fn check(&self, field: &str, errors: &mut Vec<FieldError>) {
        let mut wrong = |part: &str, reason: &str| {
            errors.push(FieldError::new(format!("{field}/{part}"), reason));
        };
        match self {
            Self::Weekly { days, .. } if days.is_empty() => {
                wrong("days", "must be at least one day");
            }
            Self::Once { from, to } if to <= from => wrong("to", "must be after `from`"),
            _ => {}
        }
        if let Self::Weekly { zone, .. } | Self::Yearly { zone, .. } = self
            && let Err(reason) = find_zone(zone)
        {
            wrong("zone", &reason);
        }
    }

    /// Whether an instant is within it. A zone that is no longer known counts as UTC.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        let local = |zone: &str| -> Zoned { at.to_zoned(find_zone(zone).unwrap_or(TimeZone::UTC)) };
        match self {
            Self::Weekly { days, from, to, zone } => {
                let local = local(zone);
                let minute = TimeOfDay::of(&local);
                let (today, before) = (local.weekday(), local.weekday().previous());
                if from < to {
                    days.contains(today) && (*from..*to).contains(&minute)
                } else {
                    (days.contains(today) && minute >= *from)
                        || (days.contains(before) && minute < *to)
                }
            }
            Self::Yearly { from, to, zone } => {
                let day = DayOfYear::of(&local(zone));
                if from <= to { (*from..=*to).contains(&day) } else { day >= *from || day <= *to }
            }
            Self::Once { from, to } => (millis(*from)..millis(*to)).contains(&millis(at)),
        }
    }
}

impl fmt::Display for Blackout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Weekly { days, from, to, zone } => {
                let next = if from < to { "" } else { " of the next day" };
                write!(f, "{days} from {from} to {to}{next} ({zone})")
            }
            Self::Yearly { from, to, zone } if from == to => write!(f, "each {from:#} ({zone})"),
            Self::Yearly { from, to, zone } => {
                write!(f, "each year from {from:#} to {to:#} ({zone})")
            }
            Self::Once { from, to } => {
                let shown = |at: &Timestamp| at.strftime("%-d %B %Y %H:%M UTC").to_string();
                write!(f, "from {} to {}", shown(from), shown(to))
            }
        }
    }
}

/// Text that is none of what a part of a blackout can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBlackout {
    /// Not a time of day.
    #[error("this is not a time of day: one looks like 22:30")]
    TimeOfDay,
    /// Not a day of the year.
    #[error("this is not a day of the year: one looks like 12-24, the month first")]
    DayOfYear,
    /// Not days of the week.
    #[error("these are not days of the week: they look like mon,tue,sun")]
    Weekdays,
}

/// A time of day, to the minute. As text, `22:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TimeOfDay {
    /// Minutes since midnight, below 1440.
    minute: u16,
}

impl TimeOfDay {
    fn of(at: &Zoned) -> Self {
        // jiff keeps both within their bounds.
        Self {
            minute: u16::from(at.hour().unsigned_abs()) * 60
                + u16::from(at.minute().unsigned_abs()),
        }
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minute / 60, self.minute % 60)
    }
}

impl FromStr for TimeOfDay {
    type Err = InvalidBlackout;

    fn from_str(text: &str) -> Result<Self, InvalidBlackout> {
        let read = || {
            let (hour, minute) = two_numbers(text, ':')?;
            // Nobody writes 24:00 for the beginning of a day, but many for its end.
            let minutes = if (hour, minute) == (24, 0) { 0 } else { hour * 60 + minute };
            (minute < 60 && minutes < DAY).then_some(Self { minute: minutes })
        };
        read().ok_or(InvalidBlackout::TimeOfDay)
    }
}

/// A day of the year. As text, `12-24`, the month first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DayOfYear {
    month: u8,
    day: u8,
}

impl DayOfYear {
    fn of(at: &Zoned) -> Self {
        Self { month: at.month().unsigned_abs(), day: at.day().unsigned_abs() }
    }
}

impl fmt::Display for DayOfYear {
    /// As [`FromStr`] reads it; for people (`{:#}`), `24 December`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            let name = MONTHS.get(usize::from(self.month).wrapping_sub(1)).unwrap_or(&"?");
            write!(f, "{} {name}", self.day)
        } else {
            write!(f, "{:02}-{:02}", self.month, self.day)
        }
    }
}

impl FromStr for DayOfYear {
    type Err = InvalidBlackout;

    fn from_str(text: &str) -> Result<Self, InvalidBlackout> {
        let read = || {
            let (month, day) = two_numbers(text, '-')?;
            let (month, day) = (u8::try_from(month).ok()?, u8::try_from(day).ok()?);
            // A year with a 29 February.
            let date = jiff::civil::Date::new(2000, month.try_into().ok()?, day.try_into().ok()?);
            date.is_ok().then_some(Self { month, day })
        };
        read().ok_or(InvalidBlackout::DayOfYear)
    }
}

/// Two numbers of at most two digits.
fn two_numbers(text: &str, between: char) -> Option<(u16, u16)> {
    let (one, other) = text.split_once(between)?;
    let read = |text: &str| {
        let digits =
            (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    Some((read(one)?, read(other)?))
}

/// Some days of the week. As text, `mon,tue,sun`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Weekdays {
    /// One bit for each, Monday first.
    bits: u8,
}

impl Weekdays {
    /// All days, from Monday on.
    const WEEK: [(Weekday, &str, &str); 7] = [
        (Weekday::Monday, "mon", "Monday"),
        (Weekday::Tuesday, "tue", "Tuesday"),
        (Weekday::Wednesday, "wed", "Wednesday"),
        (Weekday::Thursday, "thu", "Thursday"),
        (Weekday::Friday, "fri", "Friday"),
        (Weekday::Saturday, "sat", "Saturday"),
        (Weekday::Sunday, "sun", "Sunday"),
    ];

    /// Whether a day is one of them.
    #[must_use]
    pub fn contains(self, day: Weekday) -> bool {
        self.bits >> day.to_monday_zero_offset() & 1 == 1
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// The short names of those that are in it, from Monday on: `mon`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.days().map(|(_, short, _)| short)
    }

    fn days(self) -> impl Iterator<Item = (Weekday, &'static str, &'static str)> {
        Self::WEEK.into_iter().filter(move |(day, ..)| self.contains(*day))
    }
}

impl FromIterator<Weekday> for Weekdays {
    fn from_iter<I: IntoIterator<Item = Weekday>>(days: I) -> Self {
        let bits = days.into_iter().fold(0, |bits, day| bits | 1 << day.to_monday_zero_offset());
        Self { bits }
    }
}

impl fmt::Display for Weekdays {
    /// For people: `Saturdays and Sundays`, `every day`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<_> = self.days().map(|(.., long)| format!("{long}s")).collect();
        match days.as_slice() {
            [_, _, _, _, _, _, _] => f.write_str("every day"),
            [] => f.write_str("no day"),
            [one] => f.write_str(one),
            [most @ .., last] => write!(f, "{} and {last}", most.join(", ")),
        }
    }
}

impl FromStr for Weekdays {
    type Err = InvalidBlackout;

    fn from_str(text: &str) -> Result<Self, InvalidBlackout> {
        let find = |name: &str| Self::WEEK.into_iter().find(|(_, short, _)| *short == name.trim());
        let days = text.split(',').map(|name| find(name).map(|(day, ..)| day));
        days.collect::<Option<_>>().ok_or(InvalidBlackout::Weekdays)
    }
}
