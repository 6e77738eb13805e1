//! What runs on each day of a calendar, over all jobs.

use jiff::Timestamp;

use super::{Job, Jobs, trigger::Reason};
use crate::{
    Result,
    actor::Permission,
    error::FieldError,
    id::JobId,
    page::{Limit, PageRequest},
    store::{self, change::Snapshot},
};

/// Most days of an agenda.
pub const AGENDA_DAYS: usize = 62;
/// Of a job, so many slots of a day are counted.
pub const AGENDA_SLOTS: usize = 100;
/// Most jobs that are looked at, newest first.
const JOBS: usize = 1000;

/// The days of a calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agenda {
    /// For each day, the jobs that run or are left out on it, in the order of their times.
    pub days: Vec<Vec<DayOfJob>>,
    /// Whether all jobs were looked at, and not only the newest thousand.
    pub complete: bool,
}

/// A job on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayOfJob {
    /// The job.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// Its first slot of the day, whether it runs or not.
    pub first: Timestamp,
    /// How many slots run: [`AGENDA_SLOTS`] at most.
    pub runs: usize,
    /// How many are left out, of those that were counted, and why the first is.
    pub left_out: usize,
    /// Why the first of them is.
    pub reason: Option<Reason>,
    /// Whether there are more slots than were counted.
    pub more: bool,
}

impl Jobs<'_> {
    /// What runs on some days from now on, which begin at all of `bounds` but the last: that is the
    /// end. Jobs that are paused are not in it.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`](crate::Error::Forbidden); [`Error::Invalid`](crate::Error::Invalid) if
    /// the bounds are not in order or of more than [`AGENDA_DAYS`] days; and the store's.
    pub async fn agenda(&self, bounds: Vec<Timestamp>) -> Result<Agenda> {
        self.actor.require(Permission::ReadJobs)?;
        if bounds.len() > AGENDA_DAYS + 1 || !bounds.is_sorted() {
            let reason = format!("must be in order, and of at most {AGENDA_DAYS} days");
            return Err(crate::Error::Invalid(vec![FieldError::new("bounds", reason)]));
        }
        let now = self.automa.clock.now();
        self.automa.store.read(move |view: &Snapshot| look(view, &bounds, now)).await
    }
}

fn look(view: &Snapshot, bounds: &[Timestamp], now: Timestamp) -> Result<Agenda> {
    let mut days = vec![Vec::new(); bounds.len().saturating_sub(1)];
    let (mut looked_at, mut cursor) = (0, None);
    loop {
        let limit = Limit::new(Limit::MAX.into()).unwrap_or_default();
        let page = store::jobs::list(view, None, &PageRequest { cursor, limit })?;
        looked_at += page.items.len();
        for job in page.items.iter().filter(|job| !job.paused) {
            add(&mut days, job, bounds, now)?;
        }
        cursor = page.next_cursor;
        if cursor.is_none() || looked_at >= JOBS {
            break;
        }
    }
    for day in &mut days {
        day.sort_by(|one, other| (one.first, &one.name).cmp(&(other.first, &other.name)));
    }
    Ok(Agenda { days, complete: cursor.is_none() })
}

/// Adds the slots of one job.
fn add(days: &mut [Vec<DayOfJob>], job: &Job, bounds: &[Timestamp], now: Timestamp) -> Result<()> {
    let times = job.trigger.compile()?;
    let moment = jiff::SignedDuration::from_nanos(1);
    for (day, bound) in days.iter_mut().zip(bounds.windows(2)) {
        let (from, to) = (bound[0].checked_sub(moment).unwrap_or(bound[0]).max(now), bound[1]);
        let next = |after| times.next(after).filter(|slot| *slot < to);
        let Some(first) = next(from) else { continue };
        let slots: Vec<_> =
            std::iter::successors(Some(first), |slot| next(*slot)).take(AGENDA_SLOTS + 1).collect();
        let counted = &slots[..slots.len().min(AGENDA_SLOTS)];
        let mut reasons = counted.iter().filter_map(|slot| job.rules.allows(*slot).err());
        let reason = reasons.next();
        let left_out = reasons.count() + usize::from(reason.is_some());
        // Outside of its window a job has no times rather than such as are left out.
        if left_out == counted.len() && matches!(reason, Some(Reason::NotYet | Reason::NoLonger)) {
            continue;
        }
        day.push(DayOfJob {
            job: job.id,
            name: job.name.clone(),
            first,
            runs: counted.len() - left_out,
            left_out,
            reason,
            more: slots.len() > AGENDA_SLOTS,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, ToSpan};

    use super::*;
    use crate::{
        Automa,
        actor::Actor,
        clock::TestClock,
        job::{NewJob, Rules, Trigger, trigger::Blackout},
        script::{Language, NewScript},
    };

    #[tokio::test]
    async fn an_agenda_has_what_runs_on_each_day_from_now_on() {
        let midnight: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
        let noon = midnight + 12.hours();
        let automa = Automa::builder().in_memory().clock(TestClock::new(noon)).open().unwrap();
        let actor = Actor::embedder("test");
        let script = NewScript::new("report", Language::Bash, "true");
        let script = automa.scripts(&actor).create(script).await.unwrap().id;
        let jobs = automa.jobs(&actor);
        let cron = |pattern: &str| Trigger::Cron { pattern: pattern.into(), zone: "UTC".into() };
        let night = NewJob::new("night", script, cron("0 3 * * *"));
        let blackout = Blackout::Once { from: midnight + 24.hours(), to: midnight + 36.hours() };
        let rules = Rules { blackouts: vec![blackout], ..Rules::default() };
        let often = NewJob { rules, ..NewJob::new("often", script, cron("*/30 * * * *")) };
        let quick = NewJob::new("quick", script, cron("* * * * *"));
        let paused = NewJob { paused: true, ..NewJob::new("paused", script, cron("0 4 * * *")) };
        for new in [night, often, quick, paused] {
            jobs.create(new).await.unwrap();
        }
        let day = |days: i64| midnight + SignedDuration::from_hours(24 * days);
        let agenda = jobs.agenda((-1..=2).map(day).collect()).await.unwrap();
        assert!(agenda.complete && agenda.days[0].is_empty(), "what is over is not in it");
        let told = |day: &[DayOfJob]| {
            let told = day.iter().map(|it| (it.name.clone(), it.runs, it.left_out, it.more));
            told.collect::<Vec<_>>()
        };
        let told_as = |name: &str, runs, left_out, more| (name.to_owned(), runs, left_out, more);
        let today = [told_as("quick", 100, 0, true), told_as("often", 23, 0, false)];
        assert_eq!(told(&agenda.days[1]), today);
        let tomorrow = [
            told_as("often", 24, 24, false),
            told_as("quick", 100, 0, true),
            told_as("night", 1, 0, false),
        ];
        assert_eq!(told(&agenda.days[2]), tomorrow);
        let unsorted = vec![day(1), day(0)];
        assert!(jobs.agenda(unsorted).await.is_err());
        assert!(jobs.agenda(vec![midnight; AGENDA_DAYS + 2]).await.is_err());
        automa.close().await;
    }
}
