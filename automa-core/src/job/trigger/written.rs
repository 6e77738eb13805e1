//! A cron pattern as it is written: its fields, their parts, and where something is wrong.

/// Most characters of a pattern.
const LENGTH_MAX: usize = 256;

/// What a field of a pattern is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Weekday,
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Unit {
    /// In the order of a pattern.
    pub(super) const ALL: [Self; 6] =
        [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Month, Self::Weekday];

    /// The least and the greatest number.
    pub(super) fn bounds(self) -> (u8, u8) {
        match self {
            Self::Second | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::Day => (1, 31),
            Self::Month => (1, 12),
            // Sunday is 0 and 7.
            Self::Weekday => (0, 7),
        }
    }

    /// The greatest number that is not another name of a lesser one.
    fn last(self) -> u8 {
        if self == Self::Weekday { 6 } else { self.bounds().1 }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day of the month",
            Self::Month => "month",
            Self::Weekday => "day of the week",
        }
    }

    /// What may stand here, to be listed after "is".
    fn allowed(self) -> &'static str {
        match self {
            Self::Second | Self::Minute => "0 to 59",
            Self::Hour => "0 to 23",
            Self::Day => "1 to 31, L, LW, or as 15W",
            Self::Month => "1 to 12 or JAN to DEC",
            Self::Weekday => "0 to 7 or SUN to SAT, also as MON#2 or FRI#L",
        }
    }

    /// A number or a name, in capital letters.
    fn value(self, text: &str) -> Option<u8> {
        let (least, most) = self.bounds();
        let index =
            |names: &[&str]| u8::try_from(names.iter().position(|&name| name == text)?).ok();
        let value = match self {
            Self::Month => index(&MONTHS).map(|month| month + 1),
            Self::Weekday => index(&WEEKDAYS),
            _ => None,
        };
        // A sign would be a number to the parser, and is none here.
        let digits = || text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text);
        let value = value.or_else(|| digits()?.parse().ok())?;
        (least..=most).contains(&value).then_some(value)
    }
}

/// Which of the days of a month that are the same day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nth {
    /// The first to the fifth.
    Number(u8),
    /// The last.
    Last,
}

/// One of the parts of a field, which are divided by commas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// `*`, or `*/5`.
    Every { step: u8 },
    /// `7`, `1-5`, `10-50/20`, or `5/15`, which goes up to the end.
    Range { from: u8, to: u8, step: u8 },
    /// `L` of a month: its last day.
    Last,
    /// `LW`: the last of a month that is Monday to Friday.
    LastWorkday,
    /// `15W`: the one nearest to a day that is Monday to Friday, within the month.
    Nearest(u8),
    /// `MON#2`, `5L`, `MON-FRI#1`.
    Nth { from: u8, to: u8, nth: Nth },
}

/// A pattern's fields, each of at least one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    fields: [Vec<Part>; 6],
    /// Whether a day has to match both of day of month and day of week, not either.
    pub(super) both_days: bool,
    /// Whether a field of the time of day has a star or a step: what returns rather than has a time.
    pub(super) recurring: bool,
}

/// What is wrong with a pattern, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PatternError {
    /// The first byte of what is wrong.
    pub(super) from: usize,
    /// The byte after it.
    pub(super) to: usize,
    /// What is wrong, and what would be right.
    pub(super) reason: String,
}

impl PatternError {
    /// What is wrong, and at which character of the pattern if it is not all of it.
    pub(super) fn placed(&self, pattern: &str) -> String {
        let reason = &self.reason;
        match pattern.get(..self.from) {
            Some(before) if self.to - self.from < pattern.len() => {
                format!("{reason} (character {})", before.chars().count() + 1)
            }
            _ => reason.clone(),
        }
    }
}

/// A piece of the pattern, and where it begins.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    at: usize,
}

impl Piece<'_> {
    fn error(self, reason: impl Into<String>) -> PatternError {
        PatternError { from: self.at, to: self.at + self.text.len(), reason: reason.into() }
    }

    /// What this divides into.
    fn split(self, by: impl Fn(char) -> bool) -> impl Iterator<Item = Self> {
        let Self { text, at } = self;
        // Of pieces of one text, addresses are positions.
        let offset = move |piece: &str| piece.as_ptr().addr() - text.as_ptr().addr();
        text.split(by).map(move |piece| Self { text: piece, at: at + offset(piece) })
    }

    fn split_once(self, by: char) -> Option<(Self, Self)> {
        let (one, other) = self.text.split_once(by)?;
        let behind = self.at + one.len() + by.len_utf8();
        Some((Self { text: one, at: self.at }, Self { text: other, at: behind }))
    }
}

impl Written {
    /// Reads a pattern.
    pub(super) fn parse(pattern: &str) -> Result<Self, PatternError> {
        let whole = Piece { text: pattern, at: 0 };
        if pattern.len() > LENGTH_MAX {
            return Err(whole.error(format!("a pattern has at most {LENGTH_MAX} characters")));
        }
        if pattern.trim_start().starts_with('@') {
            return Self::parse(nickname(whole)?);
        }
        let upper = pattern.to_ascii_uppercase();
        let whole = Piece { text: &upper, at: 0 };
        let mut pieces: Vec<_> =
            whole.split(char::is_whitespace).filter(|piece| !piece.text.is_empty()).collect();
        match pieces.len() {
            5 => pieces.insert(0, Piece { text: "0", at: 0 }),
            6 => {}
            found => {
                return Err(whole.error(format!(
                    "a pattern has 5 fields (minute, hour, day of the month, month, day of the \
                     week), or 6 with the second first; this has {found}"
                )));
            }
        }
        let plus = pieces[5].text.starts_with('+');
        if plus {
            pieces[5] = Piece { text: &pieces[5].text[1..], at: pieces[5].at + 1 };
        }
        let mut fields: [Vec<Part>; 6] = Default::default();
        for ((field, unit), piece) in fields.iter_mut().zip(Unit::ALL).zip(&pieces) {
            *field =
                piece.split(|c| c == ',').map(|part| read(unit, part)).collect::<Result<_, _>>()?;
        }
        let days = &fields[Unit::Day as usize];
        if days.contains(&Part::Last) && days.contains(&Part::LastWorkday) {
            let reason = "ask for `L` or for `LW`, not for both".to_owned();
            let (from, to) = (pieces[3].at, pieces[3].at + pieces[3].text.len());
            return Err(PatternError { from, to, reason });
        }
        // As crontab(5) has it: a star does not restrict, so that what the other says counts.
        let star = |piece: &Piece<'_>| piece.text.starts_with(['*', '?']);
        let both_days = plus || star(&pieces[3]) || star(&pieces[5]);
        let recurring = pieces[..3].iter().any(|piece| piece.text.contains(['*', '/']));
        Ok(Self { fields, both_days, recurring })
    }

    /// The parts of a field.
    pub(super) fn field(&self, unit: Unit) -> &[Part] {
        &self.fields[unit as usize]
    }
}

/// The pattern that a name stands for.
fn nickname(name: Piece<'_>) -> Result<&'static str, PatternError> {
    match name.text.trim().to_ascii_lowercase().as_str() {
        "@yearly" | "@annually" => Ok("0 0 1 1 *"),
        "@monthly" => Ok("0 0 1 * *"),
        "@weekly" => Ok("0 0 * * 0"),
        "@daily" | "@midnight" => Ok("0 0 * * *"),
        "@hourly" => Ok("0 * * * *"),
        other if other.starts_with("@every") => {
            Err(name.error("`@every` is no pattern here: take an interval as the trigger instead"))
        }
        "@reboot" => {
            Err(name.error("a job has no `@reboot`: what is to run all the time is an agent"))
        }
        _ => Err(name.error(
            "the names are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually",
        )),
    }
}

/// Reads one part of a field.
fn read(unit: Unit, part: Piece<'_>) -> Result<Part, PatternError> {
    if part.text.is_empty() {
        return Err(part.error(format!("a part of the {} is empty", unit.name())));
    }
    match unit {
        Unit::Day if part.text == "L" => return Ok(Part::Last),
        Unit::Day if part.text == "LW" => return Ok(Part::LastWorkday),
        Unit::Day if part.text.ends_with('W') => {
            let day = Piece { text: &part.text[..part.text.len() - 1], ..part };
            return number(unit, day).map(Part::Nearest);
        }
        Unit::Weekday if part.text.len() > 1 && part.text.ends_with('L') => {
            let text = part.text[..part.text.len() - 1].trim_end_matches('#');
            let (from, to) = range(unit, Piece { text, ..part })?;
            return Ok(Part::Nth { from, to, nth: Nth::Last });
        }
        Unit::Weekday => {
            if let Some((days, nth)) = part.split_once('#') {
                let (from, to) = range(unit, days)?;
                let count = nth.text.parse().ok().filter(|count| (1..=5).contains(count));
                let wrong = || nth.error("after # stands 1 to 5, or L for the last of a month");
                return Ok(Part::Nth { from, to, nth: Nth::Number(count.ok_or_else(wrong)?) });
            }
        }
        _ => {}
    }
    let (base, step) = match part.split_once('/') {
        Some((base, step)) => (base, Some(self::step(unit, step)?)),
        None => (part, None),
    };
    let star = base.text == "*";
    let question = base.text == "?" && step.is_none() && matches!(unit, Unit::Day | Unit::Weekday);
    if star || question {
        return Ok(Part::Every { step: step.unwrap_or(1) });
    }
    let (from, to) = range(unit, base)?;
    let to = if step.is_some() && !base.text.contains('-') { unit.last() } else { to };
    Ok(Part::Range { from, to, step: step.unwrap_or(1) })
}

/// Reads what stands after a slash.
fn step(unit: Unit, piece: Piece<'_>) -> Result<u8, PatternError> {
    let (first, last) = (unit.bounds().0, unit.last());
    let most = last - first;
    let digits = piece.text.bytes().all(|byte| byte.is_ascii_digit());
    let step = piece.text.parse().ok().filter(|step| digits && (1..=most).contains(step));
    step.ok_or_else(|| {
        let name = unit.name();
        piece.error(format!(
            "`/{}` is no step of the {name}, which is 1 to {most}, as it begins anew after {last}; \
             for other distances take an interval as the trigger",
            piece.text
        ))
    })
}

/// Reads a number, a name, or two with a hyphen.
fn range(unit: Unit, piece: Piece<'_>) -> Result<(u8, u8), PatternError> {
    // Sunday is 0, and 7 only where it ends a week.
    let begin = |value: u8| if unit == Unit::Weekday { value % 7 } else { value };
    let Some((from, to)) = piece.split_once('-') else {
        let value = begin(number(unit, piece)?);
        return Ok((value, value));
    };
    let (from, mut last) = (number(unit, from)?, number(unit, to)?);
    let first = begin(from);
    if unit == Unit::Weekday && last % 7 == 0 {
        last = if first == 0 { 0 } else { 7 };
    }
    if first > last {
        return Err(piece.error(format!(
            "`{}` ends before it begins; write {first}-{end},{begin}-{last}",
            piece.text,
            end = unit.last(),
            begin = unit.bounds().0,
        )));
    }
    Ok((first, last))
}

fn number(unit: Unit, piece: Piece<'_>) -> Result<u8, PatternError> {
    unit.value(piece.text).ok_or_else(|| {
        let (name, allowed) = (unit.name(), unit.allowed());
        piece.error(format!("`{}` is no {name}, which is {allowed}", piece.text))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn wrong(pattern: &str) -> (String, String) {
        let error = Written::parse(pattern).unwrap_err();
        (pattern[error.from..error.to].to_owned(), error.reason)
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        for (pattern, place, reason) in [
            ("61 * * * *", "61", "`61` is no minute, which is 0 to 59"),
            ("0 24 * * *", "24", "`24` is no hour, which is 0 to 23"),
            ("0 0 1,x * *", "x", "`X` is no day of the month, which is 1 to 31, L, LW, or as 15W"),
            ("0 0 * MON *", "MON", "`MON` is no month, which is 1 to 12 or JAN to DEC"),
            ("0 0 * * 1-9", "9", "`9` is no day of the week, which is 0 to 7 or SUN to SAT"),
            ("0 0 * * MON#6", "6", "after # stands 1 to 5, or L for the last of a month"),
            ("0 0 1,,2 * *", "", "a part of the day of the month is empty"),
            ("*/90 * * * *", "90", "`/90` is no step of the minute, which is 1 to 59"),
            ("*/0 * * * *", "0", "`/0` is no step"),
            ("0 22-2 * * *", "22-2", "`22-2` ends before it begins; write 22-23,0-2"),
            ("0 0 * * FRI-MON", "FRI-MON", "`FRI-MON` ends before it begins; write 5-6,0-1"),
            ("0 +1 * * *", "+1", "`+1` is no hour"),
            ("? 0 * * *", "?", "`?` is no minute"),
            ("0 0 32W * *", "32", "`32` is no day of the month"),
            ("@reboot", "@reboot", "a job has no `@reboot`"),
            ("@every 5m", "@every 5m", "`@every` is no pattern here"),
            ("@often", "@often", "the names are @hourly, @daily"),
            ("* * * *", "* * * *", "a pattern has 5 fields (minute, hour, day of the month"),
            ("0 0 1 1 * 2026 x", "0 0 1 1 * 2026 x", "a pattern has 5 fields"),
            ("", "", "a pattern has 5 fields"),
        ] {
            let (found, said) = wrong(pattern);
            assert_eq!(found, place, "{pattern}: {said}");
            assert!(said.starts_with(reason), "{pattern}: {said}");
        }
        assert_eq!(wrong(&"*".repeat(LENGTH_MAX + 1)).1, "a pattern has at most 256 characters");
    }

    #[test]
    fn names_are_numbers_in_whatever_case_and_spaces_do_not_matter() {
        for (one, other) in [
            ("0 0 * jan,Dec sun-tue", "0 0 * 1,12 0-2"),
            (" 0\t0  1 * ? ", "0 0 1 * *"),
            ("0 0 * * sat-sun", "0 0 * * 6-7"),
            ("0 0 * * friL", "0 0 * * 5#L"),
            ("5/20 0 * * 2/2", "5-59/20 0 * * 2-6/2"),
            ("0 0 * * 7-2,7", "0 0 * * 0-2,0"),
            ("@daily", "0 0 * * *"),
            ("@Midnight ", "0 0 0 * * *"),
        ] {
            assert_eq!(Written::parse(one).unwrap(), Written::parse(other).unwrap(), "{one}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_at_a_place_within_it(
            pattern in "([-*?/,#+LWa-zA-Z0-9 @é]{0,30}|([0-9*/,?#LW-]{1,6} ){4,5}[0-7*#+L]{1,4})",
        ) {
            if let Err(error) = Written::parse(&pattern) {
                prop_assert!(pattern.get(error.from..error.to).is_some(), "{:?}", error);
                prop_assert!(!error.reason.is_empty());
            }
        }
    }
}
