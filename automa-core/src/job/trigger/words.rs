//! Triggers in plain words: `at 03:00 every day`, `every 15 minutes from 08:00 to 18:45 on weekdays`.
//!
//! What is common has words of its own; the rest is told field by field. Both are exact.

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};

use super::{
    Trigger,
    pattern::bits,
    written::{Nth, Part, Unit, Written},
};

/// Up to so many times of a day are listed one by one.
const TIMES: u32 = 4;
const WORKDAYS: u64 = 0b011_1110;
const WEEK: u64 = 0b111_1111;
const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Trigger {
    /// When it is due, in words that continue "It runs": `at 03:00 every day (Europe/Berlin)`. A
    /// pattern that cannot be read is told as it is.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::Once { at } => format!("once, on {}", instant(*at)),
            Self::Interval { every_ms, start_at } => {
                format!("every {} from {} on", duration(*every_ms), instant(*start_at))
            }
            Self::Cron { pattern, zone } => match Written::parse(pattern) {
                Ok(written) => format!("{} ({zone})", cron(&written)),
                Err(_) => format!("at `{pattern}` ({zone})"),
            },
            Self::Webhook => "whenever its URL is called".to_owned(),
        }
    }
}

fn instant(at: Timestamp) -> String {
    let local = TimeZone::UTC.to_datetime(at);
    let seconds = if local.second() == 0 { "%H:%M" } else { "%H:%M:%S" };
    at.strftime(&format!("%-d %B %Y at {seconds} UTC")).to_string()
}

/// A duration in its largest units: `90 seconds` is `1 minute 30 seconds`.
fn duration(millis: u64) -> String {
    let units = [
        (86_400_000, "day"),
        (3_600_000, "hour"),
        (60_000, "minute"),
        (1_000, "second"),
        (1, "millisecond"),
    ];
    let mut rest = millis;
    let mut parts = Vec::new();
    for (length, unit) in units {
        let count = rest / length;
        rest %= length;
        if count > 0 {
            let plural = if count == 1 { "" } else { "s" };
            parts.push(format!("{count} {unit}{plural}"));
        }
    }
    match parts.as_slice() {
        // As one says it: every day, every minute.
        [one] if one.starts_with("1 ") => one[2..].to_owned(),
        parts => parts.join(" "),
    }
}

/// A pattern in words.
pub(super) fn cron(written: &Written) -> String {
    let (time, returns) = time(written);
    let days = days(written, returns);
    if days.is_empty() { time } else { format!("{time} {days}") }
}

/// The numbers of a field, as they lie.
enum Shape {
    All,
    One(u8),
    /// All that are a multiple of this, up to the end and on from the beginning.
    Steps(u8),
    /// All from the first to the last.
    Range,
    Other,
}

struct Numbers {
    bits: u64,
    unit: Unit,
}

impl Numbers {
    fn of(written: &Written, unit: Unit) -> Self {
        let bits = written.field(unit).iter().fold(0, |all, part| all | bits(unit, *part));
        Self { bits, unit }
    }

    fn values(&self) -> impl DoubleEndedIterator<Item = u8> {
        let bits = self.bits;
        (0..64).filter(move |at| bits >> at & 1 == 1)
    }

    fn first(&self) -> u8 {
        self.values().next().unwrap_or(0)
    }

    fn last(&self) -> u8 {
        self.values().next_back().unwrap_or(0)
    }

    fn shape(&self) -> Shape {
        let (lowest, most) = self.unit.bounds();
        let (first, last) = (self.first(), self.last());
        let count = u8::try_from(self.bits.count_ones()).unwrap_or(u8::MAX);
        let step = self.values().nth(1).map_or(0, |second| second - first);
        let size = most - lowest + 1;
        if count == size {
            Shape::All
        } else if count == 1 {
            Shape::One(first)
        } else if last - first + 1 == count {
            Shape::Range
        } else if first == lowest
            && size.is_multiple_of(step)
            && count == size / step
            && self.values().all(|value| (value - lowest).is_multiple_of(step))
        {
            Shape::Steps(step)
        } else {
            Shape::Other
        }
    }

    /// `1 to 5, 7 or 9`.
    fn listed(&self, word: &str, name: impl Fn(u8) -> String) -> String {
        joined(&runs(self.values(), &name), word)
    }
}

/// Numbers one by one, and three and more in a row by their ends.
fn runs(values: impl Iterator<Item = u8>, name: impl Fn(u8) -> String) -> Vec<String> {
    let mut runs: Vec<(u8, u8)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == value => *last = value,
            _ => runs.push((value, value)),
        }
    }
    let told = |(first, last): (u8, u8)| match last - first {
        0 => vec![name(first)],
        1 => vec![name(first), name(last)],
        _ => vec![format!("{} to {}", name(first), name(last))],
    };
    runs.into_iter().flat_map(told).collect()
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn joined(parts: &[String], word: &str) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} {word} {last}", most.join(", ")),
    }
}

/// The time of day, and whether it returns rather than being a time.
fn time(written: &Written) -> (String, bool) {
    let [seconds, minutes, hours] =
        [Unit::Second, Unit::Minute, Unit::Hour].map(|unit| Numbers::of(written, unit));
    let second = match (seconds.shape(), minutes.shape(), hours.shape()) {
        (Shape::All, Shape::All, Shape::All) => return ("every second".to_owned(), true),
        (Shape::Steps(step), Shape::All, Shape::All) => {
            return (format!("every {step} seconds"), true);
        }
        (Shape::One(second), ..) => second,
        _ => return (by_field(&seconds, &minutes, &hours), true),
    };
    let clock = |hour: u8, minute: u8| {
        let mut text = format!("{hour:02}:{minute:02}");
        if second > 0 {
            let _ = write!(text, ":{second:02}");
        }
        text
    };
    if minutes.bits.count_ones() * hours.bits.count_ones() <= TIMES {
        let times: Vec<_> = hours
            .values()
            .flat_map(|hour| minutes.values().map(move |minute| (hour, minute)))
            .map(|(hour, minute)| clock(hour, minute))
            .collect();
        return (format!("at {}", joined(&times, "and")), false);
    }
    let every = match (minutes.shape(), hours.shape()) {
        (Shape::One(_), Shape::Steps(step)) => {
            let first = clock(0, minutes.first());
            return (format!("every {step} hours from {first} on"), true);
        }
        (Shape::All, _) => "every minute".to_owned(),
        (Shape::Steps(step), _) => format!("every {step} minutes"),
        (Shape::One(0), Shape::All) if second == 0 => return ("every hour".to_owned(), true),
        (Shape::One(minute), Shape::All) => {
            let plural = if minute == 1 { "" } else { "s" };
            let seconds = if second > 0 { format!(" and {second} s") } else { String::new() };
            return (format!("every hour at {minute} minute{plural}{seconds} past"), true);
        }
        (Shape::One(_), _) => "every hour".to_owned(),
        _ => return (by_field(&seconds, &minutes, &hours), true),
    };
    match hours.shape() {
        Shape::All if second > 0 => (format!("{every} at second {second}"), true),
        Shape::All => (every, true),
        Shape::One(_) | Shape::Range => {
            let from = clock(hours.first(), minutes.first());
            let to = clock(hours.last(), minutes.last());
            (format!("{every} from {from} to {to}"), true)
        }
        _ => (by_field(&seconds, &minutes, &hours), true),
    }
}

/// Whatever has no words of its own.
fn by_field(seconds: &Numbers, minutes: &Numbers, hours: &Numbers) -> String {
    let mut parts = Vec::new();
    for (field, name) in [(hours, "hour"), (minutes, "minute"), (seconds, "second")] {
        let usual = field.unit == Unit::Second && field.bits == 1;
        if !matches!(field.shape(), Shape::All) && !usual {
            parts.push(format!("the {name} is {}", field.listed("or", |value| value.to_string())));
        }
    }
    let every = if seconds.bits == 1 { "every minute" } else { "every second" };
    if parts.is_empty() {
        every.to_owned()
    } else {
        format!("{every} while {}", joined(&parts, "and"))
    }
}

/// The days, to follow a time.
fn days(written: &Written, returns: bool) -> String {
    let months = Numbers::of(written, Unit::Month);
    let names = || months.listed("and", |month| MONTHS[usize::from(month) - 1].to_owned());
    let (of, within) = match months.shape() {
        Shape::All => ("of each month".to_owned(), String::new()),
        _ => (format!("of {}", names()), format!("in {}", names())),
    };
    let day = of_month(written.field(Unit::Day), &of);
    let week = Week::of(written.field(Unit::Weekday));
    let with_month = |text: String| {
        if within.is_empty() { text } else { format!("{text} {within}").trim().to_owned() }
    };
    match (day, week) {
        (None, None) if returns => within,
        (None, None) => with_month("every day".to_owned()),
        (Some(day), None) => day,
        (None, Some(week)) => week.on(&of, with_month),
        (Some(day), Some(week)) if written.both_days => format!("{day} if it is {}", week.is()),
        (Some(day), Some(week)) => format!("{day}, and {}", week.on(&of, with_month)),
    }
}

fn ordinal(number: u8) -> String {
    let ending = match (number % 10, number / 10) {
        (_, 1) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// Days of a month; `None` if it is all.
fn of_month(field: &[Part], of: &str) -> Option<String> {
    if let [Part::Every { step }] = field
        && *step > 1
    {
        return Some(format!("on every {} day from the 1st {of}", ordinal(*step)));
    }
    let plain = field.iter().fold(0, |all, part| match part {
        Part::Last => all,
        part => all | bits(Unit::Day, *part),
    });
    let numbers = Numbers { bits: plain, unit: Unit::Day };
    if matches!(numbers.shape(), Shape::All) {
        return None;
    }
    let mut parts = runs(numbers.values(), |day| format!("the {}", ordinal(day)));
    parts.extend(field.iter().filter_map(|part| match part {
        Part::Last => Some("the last day".to_owned()),
        Part::LastWorkday => Some("the last weekday (Monday to Friday)".to_owned()),
        Part::Nearest(day) => Some(format!("the weekday nearest to the {}", ordinal(*day))),
        _ => None,
    }));
    Some(format!("on {} {of}", joined(&parts, "and")))
}

/// Days of a week.
struct Week {
    /// Those of each week, Sunday first.
    each: u64,
    /// `the second Monday`.
    nth: Vec<String>,
}

impl Week {
    /// `None` if it is all.
    fn of(field: &[Part]) -> Option<Self> {
        let mut week = Self { each: 0, nth: Vec::new() };
        for part in field {
            match *part {
                Part::Nth { from, to, nth } => {
                    let which = match nth {
                        Nth::Number(nth) => {
                            ["first", "second", "third", "fourth", "fifth"][usize::from(nth) - 1]
                        }
                        Nth::Last => "last",
                    };
                    let days = (from..=to).map(|day| DAYS[usize::from(day % 7)]);
                    week.nth.extend(days.map(|day| format!("the {which} {day}")));
                }
                part => week.each |= bits(Unit::Weekday, part),
            }
        }
        (week.each != WEEK).then_some(week)
    }

    /// Those of each week, from Monday on.
    fn each(&self) -> impl Iterator<Item = u8> {
        (1..=7).filter(|day| self.each >> (day % 7) & 1 == 1)
    }

    fn on(&self, of: &str, with_month: impl Fn(String) -> String) -> String {
        let mut parts = Vec::new();
        let each: Vec<_> = self.each().collect();
        if self.each == WORKDAYS {
            parts.push(with_month("on weekdays".to_owned()));
        } else if let [first, _, .., last] = each.as_slice()
            && usize::from(last - first) + 1 == each.len()
            && each.len() > 2
        {
            let [first, last] = [first, last].map(|day| DAYS[usize::from(day % 7)]);
            parts.push(with_month(format!("from {first} to {last}")));
        } else if !each.is_empty() {
            let days: Vec<_> =
                each.iter().map(|day| format!("{}s", DAYS[usize::from(day % 7)])).collect();
            parts.push(with_month(format!("on {}", joined(&days, "and"))));
        }
        if !self.nth.is_empty() {
            parts.push(format!("on {} {of}", joined(&self.nth, "and")));
        }
        joined(&parts, "and")
    }

    fn is(&self) -> String {
        if self.each == WORKDAYS && self.nth.is_empty() {
            return "a weekday".to_owned();
        }
        let mut days: Vec<_> =
            self.each().map(|day| format!("a {}", DAYS[usize::from(day % 7)])).collect();
        days.extend(self.nth.iter().cloned());
        joined(&days, "or")
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::DateTime;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_are_told_as_people_would() {
        for (pattern, words) in [
            ("* * * * *", "every minute"),
            ("*/2 * * * *", "every 2 minutes"),
            ("*/15 * * * *", "every 15 minutes"),
            ("0,15,30,45 * * * *", "every 15 minutes"),
            ("*/7 * * * *", "every minute while the minute is 0, 7, 14, 21, 28, 35, 42, 49 or 56"),
            ("* * * * * *", "every second"),
            ("*/10 * * * * *", "every 10 seconds"),
            ("30 * * * * *", "every minute at second 30"),
            ("30 */5 * * * *", "every 5 minutes at second 30"),
            ("15 0 3 * * *", "at 03:00:15 every day"),
            (
                "0,30 0 3 * * *",
                "every second while the hour is 3, the minute is 0 and the second is 0 or 30",
            ),
            ("0 * * * *", "every hour"),
            ("@hourly", "every hour"),
            ("1 * * * *", "every hour at 1 minute past"),
            ("30 * * * *", "every hour at 30 minutes past"),
            ("30 5 * * * *", "every hour at 5 minutes and 30 s past"),
            ("0 */2 * * *", "every 2 hours from 00:00 on"),
            ("30 */2 * * *", "every 2 hours from 00:30 on"),
            ("0 */6 * * *", "at 00:00, 06:00, 12:00 and 18:00 every day"),
            (
                "0 */5 * * *",
                "every minute while the hour is 0, 5, 10, 15 or 20 and the minute is 0",
            ),
            ("0 3 * * *", "at 03:00 every day"),
            ("@daily", "at 00:00 every day"),
            ("0 8,20 * * *", "at 08:00 and 20:00 every day"),
            ("0,30 8,20 * * *", "at 08:00, 08:30, 20:00 and 20:30 every day"),
            ("0 8-18 * * *", "every hour from 08:00 to 18:00"),
            ("30 8-18 * * 1-5", "every hour from 08:30 to 18:30 on weekdays"),
            ("*/15 8-17 * * MON-FRI", "every 15 minutes from 08:00 to 17:45 on weekdays"),
            ("* 9 * * *", "every minute from 09:00 to 09:59"),
            ("*/5 9 * * *", "every 5 minutes from 09:00 to 09:55"),
            ("*/20 9 * * *", "at 09:00, 09:20 and 09:40 every day"),
            ("10-20 9 * * *", "every minute while the hour is 9 and the minute is 10 to 20"),
            (
                "0 1-5,9,22,23 * * *",
                "every minute while the hour is 1 to 5, 9, 22 or 23 and the minute is 0",
            ),
            ("0 0 * * 0", "at 00:00 on Sundays"),
            ("0 0 * * 7", "at 00:00 on Sundays"),
            ("0 0 * * 6,0", "at 00:00 on Saturdays and Sundays"),
            ("0 0 * * MON,THU", "at 00:00 on Mondays and Thursdays"),
            ("0 0 * * TUE-SAT", "at 00:00 from Tuesday to Saturday"),
            ("0 0 * * 0-6", "at 00:00 every day"),
            ("0 0 * * FRI-SUN", "at 00:00 from Friday to Sunday"),
            ("*/30 * * * 1-5", "every 30 minutes on weekdays"),
            ("0 0 * * MON#2", "at 00:00 on the second Monday of each month"),
            ("0 0 * * FRI#L", "at 00:00 on the last Friday of each month"),
            ("0 0 * * MON,FRI#L", "at 00:00 on Mondays and on the last Friday of each month"),
            ("0 0 1 * *", "at 00:00 on the 1st of each month"),
            ("@monthly", "at 00:00 on the 1st of each month"),
            ("0 6 1,15 * *", "at 06:00 on the 1st and the 15th of each month"),
            ("0 6 1-7 * *", "at 06:00 on the 1st to the 7th of each month"),
            ("0 6 L * *", "at 06:00 on the last day of each month"),
            ("0 6 1,L * *", "at 06:00 on the 1st and the last day of each month"),
            ("0 6 LW * *", "at 06:00 on the last weekday (Monday to Friday) of each month"),
            ("0 6 15W * *", "at 06:00 on the weekday nearest to the 15th of each month"),
            ("0 6 */2 * *", "at 06:00 on every 2nd day from the 1st of each month"),
            (
                "0 6 2,3,11,12,13,21,22,23 * *",
                "at 06:00 on the 2nd, the 3rd, the 11th to the 13th and the 21st to the 23rd of each month",
            ),
            ("@yearly", "at 00:00 on the 1st of January"),
            ("0 0 31 12 *", "at 00:00 on the 31st of December"),
            ("0 0 1 1,7 *", "at 00:00 on the 1st of January and July"),
            ("0 0 1 3-5 *", "at 00:00 on the 1st of March to May"),
            ("0 3 * 6 *", "at 03:00 every day in June"),
            ("*/15 * * 6-8 *", "every 15 minutes in June to August"),
            ("0 3 * 6 1", "at 03:00 on Mondays in June"),
            ("0 3 * 6 1#1", "at 03:00 on the first Monday of June"),
            ("0 0 13 * FRI", "at 00:00 on the 13th of each month, and on Fridays"),
            ("0 0 13 * +FRI", "at 00:00 on the 13th of each month if it is a Friday"),
            ("0 0 1 * +1-5", "at 00:00 on the 1st of each month if it is a weekday"),
            ("0 0 1 6 1,2", "at 00:00 on the 1st of June, and on Mondays and Tuesdays in June"),
            (
                "0 0 */2 * 1",
                "at 00:00 on every 2nd day from the 1st of each month if it is a Monday",
            ),
        ] {
            assert_eq!(cron(&Written::parse(pattern).unwrap()), words, "{pattern}");
        }
    }

    #[test]
    fn every_trigger_has_words() {
        let at: Timestamp = "2026-05-01T12:00:00Z".parse().unwrap();
        let every = |every_ms| Trigger::Interval { every_ms, start_at: at };
        let cron = |pattern: &str| Trigger::Cron { pattern: pattern.into(), zone: "UTC".into() };
        let from = "from 1 May 2026 at 12:00 UTC on";
        for (trigger, words) in [
            (Trigger::Once { at }, "once, on 1 May 2026 at 12:00 UTC".to_owned()),
            (every(60_000), format!("every minute {from}")),
            (every(90_000), format!("every 1 minute 30 seconds {from}")),
            (every(7_200_000), format!("every 2 hours {from}")),
            (every(1_500), format!("every 1 second 500 milliseconds {from}")),
            (cron("0 3 * * *"), "at 03:00 every day (UTC)".to_owned()),
            (cron("often"), "at `often` (UTC)".to_owned()),
            (Trigger::Webhook, "whenever its URL is called".to_owned()),
        ] {
            assert_eq!(trigger.in_words(), words);
        }
    }

    proptest! {
        #[test]
        fn any_pattern_has_words(
            pattern in "([0-9]{1,2} )?([0-9]{1,2}|\\*|\\*/[1-9]|[0-9]-1[0-9]|[0-9],1[0-9]) [*0-9] ([*1-9]|L|LW|9W|\\*/3) [*1-9] \\+?([*0-7]|2-5|3#2|4L|1,5#1)",
        ) {
            if let Ok(written) = Written::parse(&pattern) {
                let words = cron(&written);
                prop_assert!(words.starts_with("at ") || words.starts_with("every "), "{words}");
            }
        }

        #[test]
        fn what_is_told_to_be_from_a_time_to_another_is(
            step in 1u8..30,
            (from, to) in (0u8..24, 0u8..24).prop_map(|(a, b)| (a.min(b), a.max(b))),
        ) {
            let text = format!("*/{step} {from}-{to} * * *");
            let words = cron(&Written::parse(&text).unwrap());
            if let Some((_, ends)) = words.split_once(" from ") {
                let pattern = super::super::pattern::Pattern::parse(&text).unwrap();
                let day = DateTime::constant(2026, 1, 1, 0, 0, 0, 0);
                let second = jiff::ToSpan::seconds(1);
                let all: Vec<_> = std::iter::successors(pattern.next(day), |at| pattern.next(*at + second))
                    .take_while(|at| at.date() == day.date())
                    .map(|at| at.strftime("%H:%M").to_string())
                    .collect();
                prop_assert_eq!(ends, format!("{} to {}", all[0], all[all.len() - 1]));
            }
        }
    }
}
