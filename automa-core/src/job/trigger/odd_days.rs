//! The days on which the clock of a zone is put forward or back, as far as a pattern is concerned.

use jiff::{
    Timestamp, ToSpan,
    civil::DateTime,
    tz::{Offset, TimeZone},
};

use super::{Trigger, find_zone, pattern::Pattern, words::joined};

/// Up to so many times of a day are told one by one.
const TIMES: usize = 3;

/// A change of a zone's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockChange {
    /// When.
    pub at: Timestamp,
    /// What the clock would show then.
    pub from: DateTime,
    /// What it shows instead.
    pub to: DateTime,
}

/// The changes of a zone's clock between two instants.
pub fn clock_changes(
    zone: &TimeZone,
    after: Timestamp,
    until: Timestamp,
) -> impl Iterator<Item = ClockChange> {
    let mut offset: Offset = zone.to_offset(after);
    zone.following(after).take_while(move |change| change.timestamp() <= until).filter_map(
        move |change| {
            let (at, before) = (change.timestamp(), offset);
            offset = change.offset();
            (offset != before).then(|| ClockChange {
                at,
                from: before.to_datetime(at),
                to: offset.to_datetime(at),
            })
        },
    )
}

/// What a trigger does where the clock of its zone changes between two instants, in sentences; at
/// most `most`, and none where it makes no difference.
pub(in crate::job) fn odd_days(
    trigger: &Trigger,
    after: Timestamp,
    until: Timestamp,
    most: usize,
) -> Vec<String> {
    let Trigger::Cron { pattern, zone } = trigger else { return Vec::new() };
    let (Ok(pattern), Ok(found)) = (Pattern::parse(pattern), find_zone(zone)) else {
        return Vec::new();
    };
    if pattern.recurring && pattern.has_all_hours() {
        return Vec::new();
    }
    let notes =
        clock_changes(&found, after, until).filter_map(|change| note(&pattern, zone, change));
    notes.take(most).collect()
}

fn note(pattern: &Pattern, zone: &str, change: ClockChange) -> Option<String> {
    let ClockChange { from, to, .. } = change;
    let (first, end) = (from.min(to), from.max(to));
    let next = |from| pattern.next(from).filter(|time| *time < end);
    let times: Vec<_> = std::iter::successors(next(first), |time| next(*time + 1.second()))
        .take(TIMES + 1)
        .collect();
    let shown = |time: &DateTime| {
        time.strftime(if time.second() == 0 { "%H:%M" } else { "%H:%M:%S" }).to_string()
    };
    let many = pattern.recurring || times.len() > TIMES;
    let concerned = match times.as_slice() {
        [] => return None,
        _ if many => "what is due in between".to_owned(),
        times => joined(&times.iter().map(shown).collect::<Vec<_>>(), "and"),
    };
    let one = many || times.len() == 1;
    let verb = |singular: &'static str, plural: &'static str| if one { singular } else { plural };
    let (does, runs, comes) = (verb("does", "do"), verb("runs", "run"), verb("comes", "come"));
    let day = from.strftime("%-d %B %Y");
    let (left, reached) = (shown(&from), shown(&to));
    Some(if from < to {
        let what = match (pattern.recurring, many) {
            (true, _) => format!("{concerned} does not run"),
            (false, true) => format!("{concerned} runs at {reached}, once"),
            (false, false) => {
                format!("{concerned} {does} not exist, and {runs} at {reached} instead")
            }
        };
        format!("On {day} the clock goes from {left} to {reached} in {zone}: {what}.")
    } else {
        let what = match (pattern.recurring, many) {
            (true, _) => format!("{concerned} runs twice"),
            (false, true) => format!("{concerned} runs the first time only"),
            (false, false) => {
                format!("{concerned} {comes} twice, and {runs} the first time only")
            }
        };
        format!("On {day} the clock goes back from {left} to {reached} in {zone}: {what}.")
    })
}
