//! From what the clocks of a zone show to instants, also where they are put forward or back.
//!
//! A zone's clock does not show each time once. In Berlin, on 29 March 2026, 03:00 follows 01:59, and
//! on 25 October, 02:00 to 02:59 are shown twice. What a pattern means then is settled here, as
//! those are used to who know cron:
//!
//! - **A pattern with a time of day** (`30 2 * * *`, `0 8,20 * * *`) is due once for each of its
//!   times: when the clock first shows it, or has passed it. So a time that is left out is due at the
//!   first instant after it, and one that comes twice is due the first time.
//! - **A pattern that returns**, with a star or a step in its hour, minute or second (`*/15 * * * *`,
//!   `0 */2 * * *`), is due whenever the clock shows what it says: each real quarter of an hour, no
//!   matter what the hour is called. Of a time that is left out nothing is due, and one that comes twice is
//!   due twice.

use jiff::{
    Timestamp, ToSpan,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

use super::pattern::Pattern;

/// The first instant after `after` at which the pattern is due in the zone.
pub(super) fn next(pattern: &Pattern, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    if pattern.recurring {
        next_shown(pattern, zone, after)
    } else {
        next_due(pattern, zone, after)
    }
}

/// The next of a pattern with a time of day.
fn next_due(pattern: &Pattern, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let offset = zone.to_offset(after);
    let shown = behind(offset.to_datetime(after))?;
    let due = first_shown(zone, pattern.next(shown)?)?;
    if due > after {
        return Some(due);
    }
    // The clock has been put back and shows times again that were due before: go on where it was.
    let back = zone.preceding(after.checked_add(1.nanosecond()).ok()?).next()?.timestamp();
    let before = zone.to_offset(back.checked_sub(1.nanosecond()).ok()?);
    first_shown(zone, pattern.next(before.to_datetime(back))?)
}

/// When the clock first shows a time, or has passed it.
fn first_shown(zone: &TimeZone, time: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(time).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            offset.to_timestamp(time).ok()
        }
        AmbiguousOffset::Gap { after, .. } => {
            let before = after.to_timestamp(time).ok()?;
            let mut changes = zone.following(before);
            let passes =
                changes.find(|change| change.offset().to_datetime(change.timestamp()) > time);
            passes.map(|change| change.timestamp())
        }
    }
}

/// The next of a pattern that returns.
fn next_shown(pattern: &Pattern, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let mut offset = zone.to_offset(after);
    let mut from = behind(offset.to_datetime(after))?;
    let mut found = pattern.next(from)?;
    // Between two changes the clock goes evenly.
    for change in zone.following(after) {
        if let Ok(at) = offset.to_timestamp(found)
            && at < change.timestamp()
        {
            return Some(at);
        }
        offset = change.offset();
        let shown = offset.to_datetime(change.timestamp());
        if shown < from || found < shown {
            from = shown;
            found = pattern.next(from)?;
        }
    }
    offset.to_timestamp(found).ok()
}

/// The next whole second.
fn behind(time: DateTime) -> Option<DateTime> {
    time.with().subsec_nanosecond(0).build().ok()?.checked_add(1.second()).ok()
}
