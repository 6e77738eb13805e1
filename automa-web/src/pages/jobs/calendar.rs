//! `/jobs/calendar`: a month of what runs, by the clock of a zone.

use askama::Template;
use automa_core::{
    Automa,
    id::JobId,
    job::{
        AGENDA_SLOTS, DayOfJob,
        trigger::{ClockChange, clock_changes, find_zone, zones},
    },
};
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use poem::{
    Request, Response, handler,
    web::{Data, Query},
};

use super::moment::Moment;
use crate::{
    auth::Caller,
    filters,
    htmx::{encoded, render},
    pages::{
        self,
        form::Typed,
        frame::{Frame, Link, Place},
    },
    problem::Problem,
};

/// How many jobs of a day are named.
const NAMED: usize = 6;

#[derive(Debug, Template)]
#[template(path = "jobs/calendar.html")]
struct CalendarPage {
    frame: Frame,
    views: Vec<Link>,
    zone: String,
    zones: Vec<String>,
    title: String,
    month: String,
    before: Option<String>,
    after: Option<String>,
    /// From a Monday on: days of other months are empty.
    days: Vec<Day>,
    complete: bool,
}

#[derive(Debug)]
struct Day {
    /// `None` outside of the month.
    date: Option<Date>,
    today: bool,
    /// What happens to the clock, if something does.
    change: Option<String>,
    jobs: Vec<Entry>,
    /// How many more there are.
    more: usize,
}

/// A job on a day.
#[derive(Debug)]
struct Entry {
    id: JobId,
    name: String,
    first: String,
    /// How often it runs, if it is more than once.
    times: Option<String>,
    /// Why it does not run, if it does not.
    left_out: Option<String>,
}

impl Entry {
    fn new(it: DayOfJob, zone: &str, now: Timestamp) -> Self {
        let many = if it.more { format!("{AGENDA_SLOTS}+") } else { it.runs.to_string() };
        let reason = it.reason.filter(|_| it.runs == 0);
        Self {
            id: it.job,
            name: it.name,
            first: Moment::new(it.first, zone, now).clock(),
            times: (it.runs > 1).then_some(many),
            left_out: reason.map(|reason| format!("left out: {reason}")),
        }
    }
}

impl Day {
    fn has_anything(&self) -> bool {
        !self.jobs.is_empty() || self.change.is_some() || self.today
    }

    fn name(&self) -> String {
        self.date.map(|date| date.strftime("%A, %-d %B").to_string()).unwrap_or_default()
    }

    fn number(&self) -> i8 {
        self.date.map_or(0, Date::day)
    }
}

/// The first days of a month and of the next.
fn month(first: Date) -> Option<Vec<Date>> {
    let end = first.checked_add(1.month()).ok()?;
    let days = std::iter::successors(Some(first), |day| day.tomorrow().ok());
    let mut days: Vec<_> = days.take_while(|day| *day < end).collect();
    days.push(end);
    Some(days)
}

/// What happens to the clock of a zone on a day.
fn told(change: ClockChange) -> String {
    let shown = |time: jiff::civil::DateTime| time.strftime("%H:%M").to_string();
    let back = if change.to < change.from { "back " } else { "" };
    format!("The clock goes {back}from {} to {}", shown(change.from), shown(change.to))
}

/// Shows a month.
#[handler]
pub(in crate::pages) async fn show(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    let name = match query.line("zone") {
        "" => "UTC",
        name => name,
    };
    let zone = pages::named(name, "time zone", |it| find_zone(it).ok())?.unwrap_or(TimeZone::UTC);
    let frame = pages::frame(request, &caller, "Calendar of jobs", Place::Jobs);
    let today = zone.to_datetime(frame.now).date();
    let asked = pages::named(query.get("month"), "month", |it| {
        format!("{it}-01").parse::<Date>().ok().filter(|first| (1970..9999).contains(&first.year()))
    })?;
    let first = asked.unwrap_or_else(|| today.first_of_month());
    let days = month(first).unwrap_or_default();
    let bounds: Vec<_> = days
        .iter()
        .filter_map(|day| zone.to_timestamp(day.to_datetime(jiff::civil::Time::midnight())).ok())
        .collect();
    let agenda = automa.jobs(&caller.actor).agenda(bounds.clone()).await?;
    let (now, complete) = (frame.now, agenda.complete);
    let changes: Vec<_> = match (bounds.first(), bounds.last()) {
        (Some(first), Some(end)) => clock_changes(&zone, *first, *end).collect(),
        _ => Vec::new(),
    };
    let days = days.iter().zip(agenda.days).map(|(date, jobs)| {
        let change = changes.iter().find(|change| change.from.date() == *date);
        let more = jobs.len().saturating_sub(NAMED);
        let jobs = jobs.into_iter().take(NAMED).map(|it| Entry::new(it, name, now));
        Day {
            date: Some(*date),
            today: *date == today,
            change: change.copied().map(told),
            jobs: jobs.collect(),
            more,
        }
    });
    render(&CalendarPage::new(frame, name, first, today, days.collect(), complete))
}

impl CalendarPage {
    fn new(
        frame: Frame,
        zone: &str,
        first: Date,
        today: Date,
        days: Vec<Day>,
        complete: bool,
    ) -> Self {
        let empty = || Day { date: None, today: false, change: None, jobs: Vec::new(), more: 0 };
        let before = usize::try_from(first.weekday().to_monday_zero_offset()).unwrap_or(0);
        let mut all: Vec<_> = std::iter::repeat_with(empty).take(before).chain(days).collect();
        let after = all.len().next_multiple_of(7) - all.len();
        all.extend(std::iter::repeat_with(empty).take(after));
        let path = |first: Date| {
            format!("/jobs/calendar?month={}&zone={}", first.strftime("%Y-%m"), encoded(zone))
        };
        // What is over is told by the history of each job.
        let earlier = first.checked_sub(1.month()).ok();
        let earlier = earlier.filter(|first| *first >= today.first_of_month());
        Self {
            frame,
            views: super::views(true),
            zone: zone.to_owned(),
            zones: zones(),
            title: first.strftime("%B %Y").to_string(),
            month: first.strftime("%Y-%m").to_string(),
            before: earlier.map(path),
            after: first.checked_add(1.month()).ok().map(path),
            days: all,
            complete,
        }
    }

    fn is_empty(&self) -> bool {
        self.days.iter().all(|day| day.jobs.is_empty())
    }
}

#[cfg(test)]
pub(in crate::pages) mod tests {
    use automa_core::job::trigger::Reason;

    use super::{
        super::tests::{at, job_id},
        *,
    };
    use crate::pages::samples;

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let page = |jobs: bool| {
            let frame = samples::frame("Calendar", Place::Jobs);
            let first: Date = "2027-03-01".parse().unwrap();
            let day = |date: Date| {
                let entry = |runs, left_out, reason, more| {
                    let it = DayOfJob {
                        job: job_id(),
                        name: samples::HOSTILE.to_owned(),
                        first: at("2027-03-01T01:30:00Z"),
                        runs,
                        left_out,
                        reason,
                        more,
                    };
                    Entry::new(it, "Europe/Berlin", frame.now)
                };
                let full = jobs && date.day() % 3 == 0;
                let all = || {
                    vec![
                        entry(1, 0, None, false),
                        entry(24, 2, Some(Reason::NotYet), false),
                        entry(AGENDA_SLOTS, 0, None, true),
                        entry(0, 1, Some(Reason::NoLonger), false),
                    ]
                };
                Day {
                    date: Some(date),
                    today: date.day() == 1,
                    change: (date.day() == 28).then(|| "The clock goes from 02:00 to 03:00".into()),
                    jobs: if full { all() } else { vec![] },
                    more: if full { 3 } else { 0 },
                }
            };
            let mut dates = month(first).unwrap();
            dates.pop();
            let days = dates.into_iter().map(day).collect();
            let page = CalendarPage::new(frame, "Europe/Berlin", first, first, days, !jobs);
            assert_eq!(page.days.len() % 7, 0);
            page.render().unwrap()
        };
        vec![("jobs-calendar", page(true)), ("jobs-calendar-none", page(false))]
    }

    #[test]
    fn a_month_has_its_days_and_the_first_of_the_next() {
        let days = month("2028-02-01".parse().unwrap()).unwrap();
        assert_eq!((days.len(), days[29].to_string().as_str()), (30, "2028-03-01"));
    }
}
