//! Days and times without zones, against a model.

use jiff::civil::DateTime;
use proptest::{prelude::*, sample::select};

use super::{super::pattern::Pattern, model::Model};

/// The next ten from a time on.
fn ours(pattern: &str, from: DateTime) -> Vec<DateTime> {
    let pattern = Pattern::parse(pattern).unwrap();
    let second = jiff::ToSpan::seconds(1);
    std::iter::successors(pattern.next(from), |last| pattern.next(*last + second))
        .take(10)
        .collect()
}

/// The same by a model.
fn theirs(pattern: &str, from: DateTime) -> Vec<DateTime> {
    let model = Model::parse(pattern);
    let second = jiff::ToSpan::seconds(1);
    std::iter::successors(model.next(from), |last| model.next(*last + second)).take(10).collect()
}

#[test]
fn days_are_those_that_people_mean() {
    let from = DateTime::constant(2026, 1, 1, 0, 0, 0, 0);
    for (pattern, expected) in [
        ("0 0 L * *", ["2026-01-31", "2026-02-28", "2026-03-31"]),
        // Of January 2026 the last day is a Saturday, of May a Sunday.
        ("0 0 LW 1,5,6 *", ["2026-01-30", "2026-05-29", "2026-06-30"]),
        // A Sunday, a Sunday and a Friday.
        ("0 0 15W 2,3,5 *", ["2026-02-16", "2026-03-16", "2026-05-15"]),
        // A Sunday, a Saturday and a Friday; not out of the month.
        ("0 0 1W 2,8,5 *", ["2026-02-02", "2026-05-01", "2026-08-03"]),
        ("0 0 31W 1,5,10 *", ["2026-01-30", "2026-05-29", "2026-10-30"]),
        ("0 0 * * MON#2", ["2026-01-12", "2026-02-09", "2026-03-09"]),
        ("0 0 * * FRI#L", ["2026-01-30", "2026-02-27", "2026-03-27"]),
        ("0 0 * * SUN#5", ["2026-03-29", "2026-05-31", "2026-08-30"]),
        // Either of both, as long as no star says that one of them does not matter.
        ("0 0 13 * FRI", ["2026-01-02", "2026-01-09", "2026-01-13"]),
        ("0 0 13 * +FRI", ["2026-02-13", "2026-03-13", "2026-11-13"]),
        ("0 0 */10 * FRI", ["2026-05-01", "2026-07-31", "2026-08-21"]),
        ("0 0 ? * MON", ["2026-01-05", "2026-01-12", "2026-01-19"]),
        ("0 0 * 2 7", ["2026-02-01", "2026-02-08", "2026-02-15"]),
        ("0 0 29 2 *", ["2028-02-29", "2032-02-29", "2036-02-29"]),
    ] {
        let found: Vec<_> = ours(pattern, from).iter().map(|at| at.date().to_string()).collect();
        assert_eq!(found[..3], expected, "{pattern}");
    }
}

#[test]
fn what_never_matches_is_known_soon() {
    assert!(Pattern::parse("* * * 30 2 *").is_err());
    // 2100 is no leap year: 40 years pass from one to the next of these.
    let rare = ours("0 0 29 2 +SUN", DateTime::constant(2088, 3, 1, 0, 0, 0, 0));
    assert_eq!(rare[0].date().to_string(), "2128-02-29");
}

/// A field.
fn field(least: u8, most: u8, special: &'static [&'static str]) -> impl Strategy<Value = String> {
    let number = least..=most;
    let range = (least..=most, least..=most)
        .prop_map(|(one, other)| format!("{}-{}", one.min(other), one.max(other)));
    let step = 1..=(most - least);
    let part = prop_oneof![
        4 => number.prop_map(|number| number.to_string()),
        2 => range.clone(),
        1 => (range, step).prop_map(|(range, step)| format!("{range}/{step}")),
        // Where nothing is special, a number again.
        1 => if special.is_empty() { (least..=most).prop_map(|n| n.to_string()).boxed() }
             else { select(special).prop_map(str::to_owned).boxed() },
    ];
    prop_oneof![
        3 => Just("*".to_owned()),
        5 => prop::collection::vec(part, 1..4).prop_map(|parts| parts.join(",")),
    ]
}

fn pattern() -> impl Strategy<Value = String> {
    let days = &["L", "LW", "1W", "15W", "31W"];
    let weekdays = &["MON", "sun", "FRI#1", "2#5", "MON-FRI#2", "WED#L", "6L", "0"];
    let stepped = |most: u8| (1..=most).prop_map(|step| format!("*/{step}"));
    (
        prop_oneof![3 => Just(String::new()), 1 => field(0, 59, &[]).prop_map(|s| s + " ")],
        prop_oneof![4 => field(0, 59, &[]), 1 => stepped(59)],
        prop_oneof![4 => field(0, 23, &[]), 1 => stepped(23)],
        field(1, 31, days),
        field(1, 12, &["JAN", "dec"]),
        (any::<bool>(), field(0, 6, weekdays)),
    )
        .prop_map(|(second, minute, hour, day, month, (plus, weekday))| {
            let plus = if plus && day != "*" && weekday != "*" { "+" } else { "" };
            // An `L` beside it is refused.
            let day = if day.contains("LW") { "LW".to_owned() } else { day };
            format!("{second}{minute} {hour} {day} {month} {plus}{weekday}")
        })
}

proptest! {
    #[test]
    fn dates_and_times_are_those_of_the_model(
        pattern in pattern(),
        second in 1_700_000_000i64..2_000_000_000,
    ) {
        let from = jiff::tz::TimeZone::UTC
            .to_datetime(jiff::Timestamp::from_second(second).unwrap());
        if Pattern::parse(&pattern).is_ok() {
            prop_assert_eq!(ours(&pattern, from), theirs(&pattern, from), "{}", pattern);
        }
    }
}
