//! `/jobs`: the list, and what runs next over all of them.

mod blackouts;
pub(super) mod calendar;
pub(super) mod form;
pub(super) mod job;
mod moment;
mod runs;
mod when;

use askama::Template;
use automa_core::{
    Automa,
    actor::Permission,
    id::{JobId, ScriptId},
    job::{JobNow, Upcoming},
    page::{Cursor, PageRequest},
    script::Script,
};
use jiff::SignedDuration;
use poem::{
    Request, Response, handler,
    web::{Data, Query},
};

use self::{moment::Moment, runs::Strip};
use super::{
    form::Typed,
    frame::{Frame, Link, Place},
};
use crate::{auth::Caller, filters, htmx::render, problem::Problem};

/// How many runs to come are told beside the list.
const NEXT: usize = 8;

#[derive(Debug, Template)]
#[template(path = "jobs/list.html")]
struct ListPage {
    frame: Frame,
    views: Vec<Link>,
    may_write: bool,
    /// The script whose jobs these are, if not all are shown.
    script: Option<(ScriptId, String)>,
    rows: Vec<Row>,
    upcoming: Vec<Next>,
    first: bool,
    next: Option<String>,
}

/// One job.
#[derive(Debug)]
struct Row {
    id: JobId,
    name: String,
    words: String,
    paused: bool,
    next: Option<Moment>,
    strip: Strip,
    rate: Option<String>,
}

impl Row {
    fn new(now: &JobNow, frame: &Frame) -> Self {
        let JobNow { job, next_run_at, statistics, .. } = now;
        let zone = when::zone(&job.trigger);
        Self {
            id: job.id,
            name: job.name.clone(),
            words: job.trigger.in_words(),
            paused: job.paused,
            next: next_run_at.map(|at| Moment::new(at, zone, frame.now)),
            strip: Strip::small(&statistics.last),
            rate: statistics.success_rate().map(runs::percent),
        }
    }
}

/// A run to come.
#[derive(Debug)]
struct Next {
    job: JobId,
    name: String,
    at: Moment,
}

impl Next {
    fn new(upcoming: Upcoming, frame: &Frame) -> Self {
        let Upcoming { job, name, at, .. } = upcoming;
        Self { job, name, at: Moment::new(at, "UTC", frame.now) }
    }
}

/// The views of all jobs.
fn views(calendar: bool) -> Vec<Link> {
    let view = |(name, path, current): (_, &str, _)| Link {
        name,
        path: path.to_owned(),
        icon: "",
        current,
    };
    [("List", "/jobs", !calendar), ("Calendar", "/jobs/calendar", calendar)].map(view).into()
}

/// Shows a page of the list.
#[handler]
pub(super) async fn show_list(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    let cursor: Option<Cursor> = super::named(query.get("cursor"), "page", |it| it.parse().ok())?;
    let script = super::named(query.get("script"), "script", |it| it.parse().ok())?;
    let script: Option<Script> =
        script.map(|id| automa.scripts(&caller.actor).get(id)).transpose()?;
    let script = script.map(|script| (script.id, script.name));
    let jobs = automa.jobs(&caller.actor);
    let first = cursor.is_none();
    let page = PageRequest { cursor, ..PageRequest::default() };
    let page = jobs.list(script.as_ref().map(|(id, _)| *id), page).await?;
    let frame = super::frame(request, &caller, "Jobs", Place::Jobs);
    let upcoming = if first && script.is_none() {
        let week = frame.now.checked_add(SignedDuration::from_hours(7 * 24)).unwrap_or(frame.now);
        jobs.upcoming(week, NEXT).await?
    } else {
        Vec::new()
    };
    let of_script = script.as_ref().map(|(id, _)| format!("&script={id}")).unwrap_or_default();
    render(&ListPage {
        views: views(false),
        may_write: caller.actor.require(Permission::WriteJobs).is_ok(),
        rows: page.items.iter().map(|job| Row::new(job, &frame)).collect(),
        upcoming: upcoming.into_iter().map(|it| Next::new(it, &frame)).collect(),
        script,
        first,
        next: page.next_cursor.map(|cursor| format!("/jobs?cursor={cursor}{of_script}")),
        frame,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use automa_core::{
        execution::{LimitsRequest, Parameters, State},
        job::{Job, Misfire, Overlap, Rules, Run, Statistics, Trigger, trigger::Blackout},
    };
    use jiff::Timestamp;

    use super::*;
    use crate::pages::samples;

    pub(super) fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    pub(super) fn job_id() -> JobId {
        "0197c1a0-5f00-7000-8000-00000000002c".parse().unwrap()
    }

    /// A job with a rule of each kind.
    pub(in crate::pages) fn job(trigger: Trigger) -> Job {
        let rules = Rules {
            jitter_ms: 30_000,
            not_before: Some(at("2026-01-01T00:00:00Z")),
            not_after: Some(at("2027-12-31T23:00:00Z")),
            blackouts: vec![Blackout::Yearly {
                from: "12-24".parse().unwrap(),
                to: "01-01".parse().unwrap(),
                zone: "Europe/Berlin".to_owned(),
            }],
        };
        Job {
            id: job_id(),
            revision: 3,
            name: samples::HOSTILE.to_owned(),
            script: samples::script_id(),
            version: None,
            parameters: Parameters::new(),
            limits: LimitsRequest::default(),
            network: Vec::new(),
            priority: None,
            retry: None,
            trigger,
            rules,
            misfire: Misfire::CatchUp { within_ms: 86_400_000, most: 10 },
            overlap: Overlap::Queue,
            paused: false,
            hook: None,
            owner: None,
            owner_name: samples::HOSTILE.to_owned(),
            created_at: at("2026-01-01T00:00:00Z"),
            updated_at: at("2026-11-20T00:00:00Z"),
        }
    }

    pub(super) fn cron() -> Trigger {
        Trigger::Cron { pattern: "30 2 * * *".to_owned(), zone: "Europe/Berlin".to_owned() }
    }

    pub(super) fn job_now(job: Job) -> JobNow {
        let states = [State::Succeeded, State::Failed, State::TimedOut, State::Cancelled];
        let run = |(place, state): (u32, State)| Run {
            execution: samples::execution_id(),
            slot: at("2026-11-20T01:30:00Z"),
            state,
            wall_ms: u64::from(place) * 1_300,
        };
        let last = (0..30).zip(states.into_iter().cycle()).map(run).collect();
        let statistics =
            Statistics { succeeded: 120, failed: 3, cancelled: 1, skipped: 2, missed: 4, last };
        let next = (!job.paused).then(|| at("2026-11-22T01:30:00Z"));
        JobNow { job, next_slot: next, next_run_at: next, statistics }
    }

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let page = |rows: &[JobNow], first, script, may_write| {
            let frame = samples::frame("Jobs", Place::Jobs);
            let upcoming = rows.iter().map(|row| Upcoming {
                job: row.job.id,
                name: row.job.name.clone(),
                script: row.job.script,
                slot: at("2026-11-22T01:30:00Z"),
                at: at("2026-11-22T01:30:07Z"),
            });
            let page = ListPage {
                views: views(false),
                may_write,
                rows: rows.iter().map(|row| Row::new(row, &frame)).collect(),
                upcoming: upcoming.map(|it| Next::new(it, &frame)).collect(),
                script,
                first,
                next: (!first).then(|| format!("/jobs?cursor={}", samples::cursor())),
                frame,
            };
            page.render().unwrap()
        };
        let mut paused = job_now(Job { paused: true, ..job(Trigger::Webhook) });
        paused.statistics = Statistics::default();
        let rows = [job_now(job(cron())), paused];
        let script = Some((samples::script_id(), samples::HOSTILE.to_owned()));
        vec![
            ("jobs", page(&rows, true, None, true)),
            ("jobs-of-script", page(&rows, false, script, false)),
            ("jobs-none", page(&[], true, None, true)),
        ]
    }
}
