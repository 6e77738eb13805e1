//! Dates and times that a pattern matches, found in another way: by sets of bits.

use jiff::civil::{Date, DateTime, Time};

use super::super::{
    pattern::{LAST_GROUP, bits},
    written::{Part, Unit, Written},
};

/// After this many days the calendar is the same again: what it does not have in them, it never has.
const CALENDAR: u32 = 400 * 365 + 97;
/// Of days nearest to one of the month, the last that is Monday to Friday.
const LAST: u64 = 1;

/// What is in each field.
pub(super) struct Model {
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    nearest: u64,
    months: u64,
    weekdays: u64,
    both_days: bool,
}

impl Model {
    pub(super) fn parse(text: &str) -> Self {
        Self::new(&Written::parse(text).unwrap())
    }

    fn new(written: &Written) -> Self {
        let set =
            |unit| written.field(unit).iter().map(|part| bits(unit, *part)).fold(0, |a, b| a | b);
        Self {
            seconds: set(Unit::Second),
            minutes: set(Unit::Minute),
            hours: set(Unit::Hour),
            days: set(Unit::Day),
            nearest: written
                .field(Unit::Day)
                .iter()
                .map(|part| nearest(*part))
                .fold(0, |a, b| a | b),
            months: set(Unit::Month),
            weekdays: set(Unit::Weekday),
            both_days: written.both_days,
        }
    }

    /// The first date and time from `from` on, which is of whole seconds; `None` if there is none in
    /// 400 years or before the year 10000.
    pub(super) fn next(&self, from: DateTime) -> Option<DateTime> {
        let (mut date, mut time) = (from.date(), from.time());
        for _ in 0..CALENDAR {
            if !has(self.months, date.month()) {
                date = date.last_of_month();
            } else if self.has_day(date)
                && let Some(time) = self.time_from(time)
            {
                return Some(date.to_datetime(time));
            }
            date = date.tomorrow().ok()?;
            time = Time::midnight();
        }
        None
    }

    /// The first time of day from `from` on.
    fn time_from(&self, from: Time) -> Option<Time> {
        let (second, minute, hour) = (from.second(), from.minute(), from.hour());
        let start = |bits| first(bits, 0);
        if has(self.hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = first(self.seconds, second)
            {
                return Time::new(hour, minute, second, 0).ok();
            }
            if let Some(minute) = first(self.minutes, minute + 1) {
                return Time::new(hour, minute, start(self.seconds)?, 0).ok();
            }
        }
        let hour = first(self.hours, hour + 1)?;
        Time::new(hour, start(self.minutes)?, start(self.seconds)?, 0).ok()
    }

    /// Whether the day is one of the pattern, in a month that is.
    fn has_day(&self, date: Date) -> bool {
        let (day, length) = (date.day(), date.days_in_month());
        let of_month = has(self.days, day)
            || (has(self.days, 0) && day == length)
            || (self.nearest != 0 && self.is_nearest(date));
        let weekday = date.weekday().to_sunday_zero_offset();
        let of_group = |group: i8| has(self.weekdays, group * 7 + weekday);
        let of_week = of_group(0)
            || of_group((day - 1) / 7 + 1)
            || (of_group(LAST_GROUP.cast_signed()) && day + 7 > length);
        if self.both_days { of_month && of_week } else { of_month || of_week }
    }

    /// Whether the day is Monday to Friday and nearest to one that was asked for.
    fn is_nearest(&self, date: Date) -> bool {
        let (day, length) = (date.day(), date.days_in_month());
        let weekday = date.weekday().to_sunday_zero_offset();
        let last = match date.last_of_month().weekday().to_sunday_zero_offset() {
            0 => length - 2,
            6 => length - 1,
            _ => length,
        };
        if self.nearest & LAST != 0 && day == last {
            return true;
        }
        (1..=length).filter(|&asked| has(self.nearest, asked)).any(|asked| {
            let nearest = match (weekday + asked - day).rem_euclid(7) {
                0 if asked < length => asked + 1,
                0 => asked - 2,
                6 if asked > 1 => asked - 1,
                6 => asked + 2,
                _ => asked,
            };
            nearest == day
        })
    }
}

fn has(bits: u64, at: i8) -> bool {
    bits >> at & 1 == 1
}

/// The first that is set from `from` on.
fn first(bits: u64, from: i8) -> Option<i8> {
    let rest = bits >> from << from;
    (rest != 0).then(|| i8::try_from(rest.trailing_zeros()).ok()).flatten()
}

fn nearest(part: Part) -> u64 {
    match part {
        Part::LastWorkday => LAST,
        Part::Nearest(day) => 1 << day,
        _ => 0,
    }
}
