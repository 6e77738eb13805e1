//! Which dates and times of day a cron pattern matches.

use croner::{Cron, parser::CronParser};
use jiff::civil::DateTime;

use super::written::{Nth, Part, PatternError, Unit, Written};

/// Of days of the month, the last.
const LAST: u64 = 1;
/// Of days of the week, seven bits for each, then for each first to fifth of a month, then this
/// group for the last.
pub(super) const LAST_GROUP: u8 = 6;

/// A pattern, ready to be asked: some kilobytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// Asked for times of a clock that is never put forward or back. What zones make of these is
    /// settled in `wall_clock`.
    cron: Box<Cron>,
    /// Whether it returns, like each quarter of an hour, rather than having a time of day.
    pub(super) recurring: bool,
    all_hours: bool,
}

impl Pattern {
    /// Reads a pattern, and refuses one that never matches.
    pub(super) fn parse(text: &str) -> Result<Self, PatternError> {
        let wrong = |reason: String| PatternError { from: 0, to: text.len(), reason };
        // Ours tells what is wrong, and where.
        let written = Written::parse(text)?;
        let parser = CronParser::builder().dom_and_dow(written.both_days).build();
        let cron = parser.parse(text).map_err(|error| wrong(error.to_string()))?;
        let hours = written.field(Unit::Hour).iter();
        let hours = hours.map(|part| bits(Unit::Hour, *part)).fold(0, |a, b| a | b);
        let all_hours = hours == bits(Unit::Hour, Part::Every { step: 1 });
        let pattern = Self { cron: Box::new(cron), recurring: written.recurring, all_hours };
        let never = "the calendar has no such day: this would never run";
        pattern
            .next(DateTime::constant(2000, 1, 1, 0, 0, 0, 0))
            .ok_or_else(|| wrong(never.to_owned()))?;
        Ok(pattern)
    }

    /// Whether no hour is left out.
    pub(super) fn has_all_hours(&self) -> bool {
        self.all_hours
    }

    /// The first date and time from `from` on, which is of whole seconds; `None` if there is none before
    /// the year 5000.
    pub(super) fn next(&self, from: DateTime) -> Option<DateTime> {
        self.cron.find_next_occurrence(&from, true).ok()
    }
}

/// The set that a part stands for, without those nearest to a day.
pub(super) fn bits(unit: Unit, part: Part) -> u64 {
    let (least, most) = unit.bounds();
    let all = |from: u8, to: u8, step: u8| {
        let numbers = (from..=to).step_by(usize::from(step));
        numbers.fold(0, |bits, number| {
            let number = if unit == Unit::Weekday { number % 7 } else { number };
            bits | 1 << number
        })
    };
    match part {
        Part::Every { step } if unit == Unit::Weekday => all(0, 6, step),
        Part::Every { step } => all(least, most, step),
        Part::Range { from, to, step } => all(from, to, step),
        Part::Last => LAST,
        Part::Nth { from, to, nth } => {
            let group = match nth {
                Nth::Number(nth) => nth,
                Nth::Last => LAST_GROUP,
            };
            all(from, to, 1) << (group * 7)
        }
        Part::LastWorkday | Part::Nearest(_) => 0,
    }
}
