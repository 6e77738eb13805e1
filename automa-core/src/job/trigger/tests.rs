//! Times against a model that knows nothing of how they are found, in zones as they are.

mod calendar;
mod clocks;
mod model;

use jiff::{SignedDuration, ToSpan, civil::Weekday};
use proptest::prelude::*;

use super::*;
use crate::{clock::TestClock, id::JobId};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cron(pattern: &str, zone: &str) -> Trigger {
    Trigger::Cron { pattern: pattern.to_owned(), zone: zone.to_owned() }
}

/// The first `count` slots after `after`.
fn slots(trigger: &Trigger, after: &str, count: usize) -> Vec<String> {
    let times = trigger.compile().unwrap();
    let first = times.next(at(after));
    let all = std::iter::successors(first, |slot| times.next(*slot));
    all.take(count).map(|slot| slot.to_string()).collect()
}

fn errors(trigger: &Trigger) -> Vec<String> {
    let mut errors = Vec::new();
    trigger.check(&mut errors);
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn once_is_due_once_and_a_webhook_never() {
    let once = Trigger::Once { at: at("2026-05-01T12:00:00Z") };
    assert_eq!(slots(&once, "2026-05-01T11:59:59.999Z", 3), ["2026-05-01T12:00:00Z"]);
    assert!(slots(&once, "2026-05-01T12:00:00Z", 1).is_empty());
    assert!(slots(&Trigger::Webhook, "2026-05-01T12:00:00Z", 1).is_empty());
}

#[test]
fn an_interval_keeps_to_the_grid_of_its_beginning() {
    let every = |every_ms| Trigger::Interval { every_ms, start_at: at("2026-01-01T00:00:07Z") };
    let minutes = every(90_000);
    assert_eq!(slots(&minutes, "2025-06-01T00:00:00Z", 1), ["2026-01-01T00:00:07Z"]);
    // However late somebody asks.
    let late = ["2026-01-01T00:01:37Z", "2026-01-01T00:03:07Z"];
    assert_eq!(slots(&minutes, "2026-01-01T00:00:59Z", 2), late);
    assert_eq!(slots(&minutes, "2026-01-01T00:00:07Z", 2), late);
    for wrong in [0, INTERVAL_MIN - 1, INTERVAL_MAX + 1, u64::MAX] {
        let said = errors(&every(wrong));
        let reason = "trigger.every_ms: must be 1000 to 31622400000 milliseconds";
        assert!(said.len() == 1 && said[0].starts_with(reason), "{said:?}");
    }
}

#[test]
fn a_cron_trigger_says_what_is_wrong_with_it_and_where() {
    assert!(errors(&cron("@daily", "Europe/Berlin")).is_empty());
    assert_eq!(
        errors(&cron("0 25 * * *", "Europe/Berlyn")),
        [
            "trigger.pattern: `25` is no hour, which is 0 to 23 (character 3)",
            "trigger.zone: there is no time zone `Europe/Berlyn`; one is called like Europe/Berlin",
        ],
    );
    for zone in ["", "posix/Europe/Berlin", "right/UTC", "../etc/passwd", "Etc/Unknown", "UTC+1"] {
        assert_eq!(errors(&cron("0 0 * * *", zone)).len(), 1, "{zone}");
    }
}

#[test]
fn a_day_that_no_calendar_has_is_refused() {
    for never in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 30 2 +MON", "0 0 1-7 * +MON#5"] {
        let reason = "trigger.pattern: the calendar has no such day: this would never run";
        assert_eq!(errors(&cron(never, "UTC")), [reason], "{never}");
    }
    // What is rare is not never.
    let leap = cron("0 0 29 2 +SUN", "UTC");
    assert_eq!(slots(&leap, "2088-03-01T00:00:00Z", 1), ["2128-02-29T00:00:00Z"]);
}

#[test]
fn a_job_has_a_window_outside_of_which_slots_are_left_out() {
    let rules = Rules {
        not_before: Some(at("2026-01-01T00:00:00Z")),
        not_after: Some(at("2026-12-31T23:59:59Z")),
        ..Rules::default()
    };
    assert_eq!(rules.allows(at("2025-12-31T23:59:59.999Z")), Err(Reason::NotYet));
    assert_eq!(rules.allows(at("2026-01-01T00:00:00Z")), Ok(()));
    assert_eq!(rules.allows(at("2026-12-31T23:59:59Z")), Ok(()));
    assert_eq!(rules.allows(at("2027-01-01T00:00:00Z")), Err(Reason::NoLonger));
    assert_eq!(Rules::default().allows(Timestamp::MIN), Ok(()));
}

#[test]
fn a_blackout_is_by_the_clock_of_its_zone_and_goes_over_midnight() {
    let weekly = |days: &str, from: &str, to: &str| Blackout::Weekly {
        days: days.parse().unwrap(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        zone: "Europe/Berlin".to_owned(),
    };
    let night = weekly("fri,sat", "22:00", "06:00");
    assert_eq!(
        night.to_string(),
        "Fridays and Saturdays from 22:00 to 06:00 of the next day (Europe/Berlin)"
    );
    // A Friday in summer, when Berlin is two hours ahead.
    for (instant, within) in [
        ("2026-07-03T19:59:59Z", false),
        ("2026-07-03T20:00:00Z", true),
        ("2026-07-04T03:59:59Z", true),
        ("2026-07-04T04:00:00Z", false),
        ("2026-07-04T20:00:00Z", true),
        ("2026-07-05T03:59:00Z", true),
        ("2026-07-05T20:00:00Z", false),
        ("2026-07-03T03:59:00Z", false),
    ] {
        assert_eq!(night.contains(at(instant)), within, "{instant}");
        let rules = Rules { blackouts: vec![night.clone()], ..Rules::default() };
        assert_eq!(rules.allows(at(instant)).is_err(), within);
    }
    let all_sunday = weekly("sun", "00:00", "24:00");
    assert!(all_sunday.contains(at("2026-07-05T21:59:59Z")));
    assert!(!all_sunday.contains(at("2026-07-05T22:00:00Z")));
}

#[test]
fn a_blackout_returns_each_year_or_never() {
    let yearly = |from: &str, to: &str| Blackout::Yearly {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        zone: "UTC".to_owned(),
    };
    let holidays = yearly("12-24", "01-01");
    assert_eq!(holidays.to_string(), "each year from 24 December to 1 January (UTC)");
    for (instant, within) in [
        ("2026-12-23T23:59:59Z", false),
        ("2026-12-24T00:00:00Z", true),
        ("2027-01-01T23:59:59Z", true),
        ("2027-01-02T00:00:00Z", false),
    ] {
        assert_eq!(holidays.contains(at(instant)), within, "{instant}");
    }
    assert_eq!(yearly("02-29", "02-29").to_string(), "each 29 February (UTC)");
    let once = Blackout::Once { from: at("2026-01-01T00:00:00Z"), to: at("2026-01-02T00:00:00Z") };
    assert!(once.contains(at("2026-01-01T00:00:00Z")));
    assert!(!once.contains(at("2026-01-02T00:00:00Z")));
    assert_eq!(once.to_string(), "from 1 January 2026 00:00 UTC to 2 January 2026 00:00 UTC");
}

#[test]
fn rules_have_bounds() {
    let check = |rules: &Rules, trigger: &Trigger| {
        let mut errors = Vec::new();
        rules.check(trigger, &mut errors);
        errors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let now = at("2026-01-01T00:00:00Z");
    let interval = Trigger::Interval { every_ms: 60_000, start_at: now };
    assert!(check(&Rules { jitter_ms: 60_000, ..Rules::default() }, &interval).is_empty());
    let longer = Rules { jitter_ms: 60_001, ..Rules::default() };
    let reason = "rules.jitter_ms: must not be longer than the interval";
    assert_eq!(check(&longer, &interval), [reason]);
    let wrong = Rules {
        jitter_ms: JITTER_MAX + 1,
        not_before: Some(now),
        not_after: Some(now - 1.second()),
        blackouts: vec![
            Blackout::Weekly {
                days: Weekdays::default(),
                from: "00:00".parse().unwrap(),
                to: "00:00".parse().unwrap(),
                zone: "Mars/Base".to_owned(),
            },
            Blackout::Once { from: now, to: now },
        ],
    };
    assert_eq!(
        check(&wrong, &Trigger::Webhook),
        [
            "rules.jitter_ms: must be 0 to 86400000, a day",
            "rules.not_after: must not be before `not_before`",
            "rules.blackouts/0/days: must be at least one day",
            "rules.blackouts/0/zone: there is no time zone `Mars/Base`; one is called like \
             Europe/Berlin",
            "rules.blackouts/1/to: must be after `from`",
        ],
    );
    let once = Blackout::Once { from: now, to: now + 1.second() };
    let many = Rules { blackouts: vec![once; BLACKOUTS_MAX + 1], ..Rules::default() };
    assert_eq!(check(&many, &Trigger::Webhook), ["rules.blackouts: must be at most 20"]);
}

#[test]
fn parts_of_blackouts_are_read_as_they_are_written_and_nothing_else_is() {
    for good in ["00:00", "23:59"] {
        assert_eq!(good.parse::<TimeOfDay>().unwrap().to_string(), good);
    }
    for bad in ["", "24:01", "12:60", "1200", "+1:00", "001:00", "-1:00", "12:00:00"] {
        assert_eq!(bad.parse::<TimeOfDay>(), Err(InvalidBlackout::TimeOfDay), "{bad}");
    }
    for good in ["02-29", "12-31"] {
        assert_eq!(good.parse::<DayOfYear>().unwrap().to_string(), good);
    }
    for bad in ["", "02-30", "13-01", "00-01", "24 December", "1-200"] {
        assert_eq!(bad.parse::<DayOfYear>(), Err(InvalidBlackout::DayOfYear), "{bad}");
    }
    let days: Weekdays = "sun,mon".parse().unwrap();
    assert_eq!(days, [Weekday::Monday, Weekday::Sunday].into_iter().collect());
    assert_eq!(days.names().collect::<Vec<_>>(), ["mon", "sun"]);
    for bad in ["", "Mon", "mon,,tue", "mon;tue"] {
        assert_eq!(bad.parse::<Weekdays>(), Err(InvalidBlackout::Weekdays), "{bad}");
    }
}

#[test]
fn jitter_is_the_same_for_the_same_slot_and_evenly_spread() {
    let clock = TestClock::new(at("2026-01-01T00:00:00Z"));
    let (job, other) = (JobId::generate(&clock), JobId::generate(&clock));
    let rules = Rules { jitter_ms: 59_999, ..Rules::default() };
    let slot = at("2026-02-01T00:00:00Z");
    assert_eq!(rules.delayed(job, slot), rules.delayed(job, slot));
    assert_ne!(rules.delayed(job, slot), rules.delayed(other, slot));
    assert_eq!(Rules::default().delayed(job, slot), slot);
    let mut tenths = [0; 10];
    for hour in 0..10_000 {
        let slot = slot + SignedDuration::from_hours(hour);
        let delay = rules.delayed(job, slot).duration_since(slot).as_millis();
        tenths[usize::try_from(delay / 6_000).unwrap()] += 1;
    }
    assert!(tenths.iter().all(|count| (800..1_200).contains(count)), "{tenths:?}");
}

proptest! {
    #[test]
    fn what_is_stored_is_read(every_ms: u64, millis in -1_000_000_000_000i64..4_000_000_000_000) {
        let at = Timestamp::from_millisecond(millis).unwrap();
        for trigger in [
            Trigger::Once { at },
            Trigger::Interval { every_ms, start_at: at },
            cron("0 3 * * *", "Europe/Berlin"),
            Trigger::Webhook,
        ] {
            let bytes = postcard::to_stdvec(&trigger).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Trigger>(&bytes).unwrap(), trigger);
        }
    }

    #[test]
    fn an_interval_has_each_slot_once_in_order(
        every_ms in INTERVAL_MIN..INTERVAL_MAX,
        start in -1_000_000_000_000_000_000i64..4_000_000_000_000_000_000,
        after in -1_000_000_000_000_000_000i64..4_000_000_000_000_000_000,
    ) {
        let (start_at, after) = (
            Timestamp::from_nanosecond(i128::from(start)).unwrap(),
            Timestamp::from_nanosecond(i128::from(after)).unwrap(),
        );
        let times = Trigger::Interval { every_ms, start_at }.compile().unwrap();
        let next = times.next(after).unwrap();
        prop_assert!(next > after && millis(next) >= millis(start_at));
        prop_assert_eq!((millis(next) - millis(start_at)) % every_ms.cast_signed(), 0);
        // The one before is the beginning, or not after.
        let earlier = millis(next) - every_ms.cast_signed();
        prop_assert!(next == times.next(Timestamp::MIN).unwrap() || earlier <= millis(after));
        prop_assert_eq!(times.next(next).unwrap().duration_since(next).as_millis(), i128::from(every_ms));
    }

    #[test]
    fn the_ends_of_time_are_no_slots_and_no_panic(
        pattern in "([0-9*/,-]{1,5} ){4}[0-6*#L]{1,3}",
        zone in prop::sample::select(vec!["UTC", "America/New_York", "Pacific/Apia"]),
    ) {
        if let Ok(times) = cron(&pattern, zone).compile() {
            let _ = times.next(Timestamp::MIN);
            prop_assert_eq!(times.next(Timestamp::MAX), None);
        }
    }
}
