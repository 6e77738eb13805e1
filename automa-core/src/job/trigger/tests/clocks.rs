//! Where clocks are put forward or back: all zones, against a model that goes minute by minute.

use std::collections::BTreeSet;

use jiff::{SignedDuration, ToSpan, civil::DateTime};

use super::{super::wall_clock, model::Model, *};

/// With a time of day, and such that return.
const DUE_ONCE: [&str; 7] = [
    "30 2 * * *",
    "0 0 * * *",
    "15 0,1,2,3 * * *",
    "59 23 * * *",
    "0,30 1-3 * * SUN",
    "45 2 L * *",
    "0 12 * * *",
];
const RETURNING: [&str; 5] =
    ["*/15 * * * *", "0 * * * *", "0 */2 * * *", "*/20 1-3 * * *", "5-59/10 2 * * SUN"];

/// What is due in minutes after `from` up to `to`, by looking at the clock in each of them.
fn model(pattern: &str, zone: &TimeZone, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let pattern_model = Model::parse(pattern);
    let matches = |time: DateTime| pattern_model.next(time) == Some(time);
    let returning = RETURNING.contains(&pattern);
    let mut passed = zone.to_datetime(from);
    let mut due = Vec::new();
    let mut now = from;
    while now < to {
        now += 1.minute();
        let shown = zone.to_datetime(now);
        let is_due = if returning {
            matches(shown)
        } else {
            // Whatever the clock shows for the first time, or has jumped over.
            let mut missed =
                std::iter::successors(Some(passed + 1.minute()), |time| Some(*time + 1.minute()));
            missed.by_ref().take_while(|time| *time <= shown).any(matches)
        };
        passed = passed.max(shown);
        if is_due {
            due.push(now);
        }
    }
    due
}

fn found(pattern: &str, zone: &TimeZone, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let pattern = Pattern::parse(pattern).unwrap();
    let next = |after| wall_clock::next(&pattern, zone, after);
    std::iter::successors(next(from), |slot| next(*slot)).take_while(|slot| *slot <= to).collect()
}

/// Compares both around each change of a zone's clock before a year.
fn compare(name: &str, year: i16) -> usize {
    let zone = find_zone(name).unwrap();
    let start = at("2025-01-01T00:00:00Z");
    let end = TimeZone::UTC.to_timestamp(DateTime::constant(year, 1, 1, 0, 0, 0, 0)).unwrap();
    let changes = zone.following(start).take_while(|change| change.timestamp() < end);
    let mut compared = 0;
    for change in changes {
        let around = SignedDuration::from_hours(26);
        // A change may be at a second that is no minute's beginning, in times long ago only.
        let (from, to) = (change.timestamp() - around, change.timestamp() + around);
        for pattern in DUE_ONCE.iter().chain(&RETURNING) {
            let (model, found) = (model(pattern, &zone, from, to), found(pattern, &zone, from, to));
            assert_eq!(found, model, "{pattern} in {name} around {}", change.timestamp());
            assert!(found.is_sorted_by(|one, other| one < other));
            compared += found.len();
        }
    }
    compared
}

#[test]
fn slots_are_those_of_a_clock_that_is_watched_in_zones_of_every_kind() {
    // Ordinary ones; at midnight; by half an hour; by two hours; with a summer that is the negative
    // of a winter; in the month of fasting; and without.
    for zone in [
        "Europe/Berlin",
        "America/New_York",
        "America/Santiago",
        "Asia/Beirut",
        "America/Havana",
        "Australia/Lord_Howe",
        "Antarctica/Troll",
        "Europe/Dublin",
        "Africa/Casablanca",
        "Asia/Gaza",
    ] {
        assert!(compare(zone, 2027) > 0, "{zone} has no change of its clock");
    }
    assert_eq!(compare("Asia/Kolkata", 2035), 0);
}

#[test]
#[ignore = "takes minutes: all zones there are"]
fn slots_are_those_of_a_clock_that_is_watched_in_all_zones() {
    let names: Vec<_> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    let (mut zones, mut slots) = (0, 0);
    for name in names.iter().filter(|name| find_zone(name).is_ok()) {
        zones += 1;
        slots += compare(name, 2035);
    }
    println!("{slots} slots around changes of clocks in {zones} zones");
    assert!(zones > 400, "{zones}");
}

#[test]
fn a_time_that_is_left_out_is_due_right_after_and_once() {
    let berlin = |pattern: &str, count| {
        slots(&cron(pattern, "Europe/Berlin"), "2026-03-28T12:00:00Z", count)
    };
    let days = ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
    assert_eq!(berlin("30 2 * * *", 2), days);
    // Several left out become one.
    assert_eq!(berlin("0,15,30 2 * * *", 2), ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]);
    // And one with what is due then anyway.
    assert_eq!(berlin("0 2,3 * * *", 2), ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]);
    // What is due each half of an hour keeps to that.
    let halves = slots(&cron("*/30 * * * *", "Europe/Berlin"), "2026-03-29T00:15:00Z", 3);
    assert_eq!(halves, ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]);
    // All of a day that Samoa left out when it went to the other side of the date line.
    let samoa = slots(&cron("0 9 * * *", "Pacific/Apia"), "2011-12-30T00:00:00Z", 2);
    assert_eq!(samoa, ["2011-12-30T10:00:00Z", "2011-12-30T19:00:00Z"]);
}

#[test]
fn a_time_that_comes_twice_is_due_the_first_time_and_what_returns_is_due_in_both() {
    let berlin = |pattern: &str, after, count| slots(&cron(pattern, "Europe/Berlin"), after, count);
    let once = berlin("30 2 * * *", "2026-10-24T12:00:00Z", 2);
    assert_eq!(once, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    // Who asks within the second hour is not told of the first's times again.
    let within = berlin("0,45 2,3 * * *", "2026-10-25T01:10:00Z", 2);
    assert_eq!(within, ["2026-10-25T02:00:00Z", "2026-10-25T02:45:00Z"]);
    let hours = berlin("0 * * * *", "2026-10-24T23:30:00Z", 3);
    assert_eq!(hours, ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"]);
}

proptest! {
    #[test]
    fn whenever_somebody_asks_the_slots_are_the_same(
        zone in prop::sample::select(vec![
            "UTC", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Africa/Casablanca",
        ]),
        pattern in prop::sample::select(
            DUE_ONCE.iter().chain(&RETURNING).chain(&["*/7 * * * * *", "59 59 23 31 12 *"])
                .copied().collect::<Vec<_>>(),
        ),
        asked in prop::collection::vec(1_500_000_000_000i64..2_000_000_000_000, 20),
    ) {
        let times = cron(pattern, zone).compile().unwrap();
        // As a server's clock may step: in any order.
        let answers: BTreeSet<_> = asked
            .iter()
            .map(|&millis| Timestamp::from_millisecond(millis).unwrap())
            .map(|after| (after, times.next(after).unwrap()))
            .collect();
        for (after, slot) in &answers {
            prop_assert!(slot > after);
            // A moment before the slot it is still the next, and no other comes in between.
            prop_assert_eq!(times.next(*slot - 1.nanosecond()), Some(*slot));
        }
        let slots: Vec<_> = answers.iter().map(|(_, slot)| *slot).collect();
        prop_assert!(slots.is_sorted(), "later questions have later answers");
        for ((_, slot), (after, next)) in answers.iter().zip(answers.iter().skip(1)) {
            prop_assert!(slot <= after || slot == next, "{} is lost or doubled", slot);
        }
    }
}
