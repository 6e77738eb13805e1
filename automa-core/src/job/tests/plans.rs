//! Plans against a simple model: going through all slots.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::{super::plan::Plan, *};

/// A job that was never stored.
fn job(every_s: u64, misfire: Misfire, rules: Rules) -> Job {
    let at = time("2026-01-01T00:00:00Z");
    Job {
        id: JobId::MIN,
        revision: 1,
        name: String::new(),
        script: ScriptId::MIN,
        version: None,
        parameters: Parameters::new(),
        limits: LimitsRequest::default(),
        network: Vec::new(),
        priority: None,
        retry: None,
        trigger: every(every_s),
        rules,
        misfire,
        overlap: Overlap::Skip,
        paused: false,
        hook: None,
        owner: None,
        owner_name: String::new(),
        created_at: at,
        updated_at: at,
    }
}

/// All that follows from one moment to another where a scheduler looks at each of `looks`: slots that
/// ran, and how many were missed.
fn follow(job: &Job, looks: &[Timestamp]) -> (Vec<Timestamp>, u64) {
    let (mut runs, mut missed) = (Vec::new(), 0);
    let mut next = plan::first(job, looks[0]).unwrap();
    for &now in &looks[1..] {
        while let Some(due) = next.filter(|next| next.due <= now) {
            let plan = Plan::of(job, due, now);
            runs.extend(plan.run.map(|(slot, _)| slot));
            if let Some(PastSlot { became: Became::Missed { count, exact, .. }, .. }) = plan.note {
                assert!(exact);
                missed += count;
            }
            next = plan.next;
        }
    }
    (runs, missed)
}

proptest! {
    /// However late and however often it is looked: each slot is decided once, in order, and what runs
    /// is what the policy says.
    #[test]
    fn each_slot_is_run_or_missed_once(
        every_s in 1u64..600,
        steps in prop::collection::vec(prop_oneof![3 => 1i64..120, 1 => 60i64..4000], 1..40),
        misfire in prop_oneof![
            Just(Misfire::Skip),
            Just(Misfire::RunOnce),
            (60_000u64..3_000_000, 1u32..20)
                .prop_map(|(within_ms, most)| Misfire::CatchUp { within_ms, most }),
        ],
        jitter_ms in prop_oneof![Just(0u64), 0u64..30_000],
    ) {
        let rules = Rules { jitter_ms: jitter_ms.min(every_s * 1000), ..Rules::default() };
        let job = job(every_s, misfire, rules);
        let mut looks = vec![time("2026-01-01T00:00:00Z")];
        for step in steps {
            looks.push(*looks.last().unwrap() + SignedDuration::from_secs(step));
        }
        let (runs, missed) = follow(&job, &looks);
        prop_assert!(runs.is_sorted_by(|one, other| one < other), "{runs:?}");
        let end = *looks.last().unwrap();
        let slots: Vec<_> = (1..100_000)
            .map(|n| looks[0] + SignedDuration::from_secs(n * i64::try_from(every_s).unwrap()))
            .take_while(|slot| *slot <= end)
            .collect();
        let decided = runs.len() as u64 + missed;
        // The last one may have been put off beyond the end.
        let open = slots.iter().filter(|slot| job.rules.delayed(job.id, **slot) > end).count() as u64;
        prop_assert!(decided <= slots.len() as u64 && decided + open >= slots.len() as u64);
        let mut expected = Vec::new();
        for look in looks.windows(2) {
            let due = |slot: &&Timestamp| {
                let due = job.rules.delayed(job.id, **slot);
                look[0] < due && due <= look[1]
            };
            let late = |slot: &&Timestamp| {
                look[1].duration_since(job.rules.delayed(job.id, **slot)) >= LATE_AFTER
            };
            let (were_late, in_time): (Vec<&Timestamp>, Vec<&Timestamp>) =
                slots.iter().filter(due).partition(late);
            let (most, within) = match misfire {
                Misfire::Skip => (0, u64::MAX),
                Misfire::RunOnce => (1, u64::MAX),
                Misfire::CatchUp { within_ms, most } => (most as usize, within_ms),
            };
            let young = were_late.into_iter().filter(|slot| {
                look[1].duration_since(**slot).as_millis().unsigned_abs() <= u128::from(within)
            });
            let young: Vec<_> = young.collect();
            expected.extend(young.iter().rev().take(most).rev().map(|slot| **slot));
            expected.extend(in_time.into_iter().copied());
        }
        if job.rules.jitter_ms == 0 {
            prop_assert_eq!(runs, expected);
        }
    }
}

#[test]
fn after_a_long_absence_the_newest_slot_is_found_without_counting_all() {
    let job = job(1, Misfire::CatchUp { within_ms: 120_000, most: 3 }, Rules::default());
    let begin = plan::first(&job, time("2026-01-01T00:00:00Z")).unwrap().unwrap();
    let now = time("2027-01-01T00:00:00Z");
    let plan = Plan::of(&job, begin, now);
    let Some(PastSlot { became: Became::Missed { count, exact, until }, .. }) = plan.note else {
        panic!("{plan:?}")
    };
    assert!(!exact && count >= MISSED_COUNTED - 3, "{count}");
    assert_eq!(until, now - SignedDuration::from_secs(63));
    assert_eq!(plan.run, Some((now - SignedDuration::from_secs(62), By::CatchUp)));
    assert_eq!(plan.next.unwrap().slot, now - SignedDuration::from_secs(61));
}

#[test]
fn slots_within_blackouts_are_passed_over_however_many() {
    let (from, to) = (time("2026-01-01T00:00:30Z"), time("2026-01-03T00:00:00Z"));
    let blackouts = vec![trigger::Blackout::Once { from, to }];
    let job = job(1, Misfire::Skip, Rules { blackouts, ..Rules::default() });
    let begin = time("2026-01-01T00:00:00Z");
    let seconds = (0..3 * 24 * 360).map(|n| begin + SignedDuration::from_secs(n * 10));
    let (runs, missed) = follow(&job, &seconds.collect::<Vec<_>>());
    assert_eq!((missed, runs[28], runs[29]), (0, from - SignedDuration::from_secs(1), to));
}
