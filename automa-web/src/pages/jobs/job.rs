//! `/jobs/{id}`: one job, with what comes, what became of what was, and what can be done with it.

use askama::Template;
use automa_core::{
    Automa,
    actor::Permission,
    execution::State,
    id::{ExecutionId, JobId},
    job::{Became, By, Job, JobNow, NewHook, PastSlot, Saved, Statistics, Trigger},
    page::{Limit, PageRequest},
};
use poem::{
    Request, Response, handler,
    http::{StatusCode, header},
    web::{Data, Path, Query},
};

use super::{
    moment::Moment,
    runs::{Strip, percent},
    when,
};
use crate::{
    auth::Caller,
    filters,
    htmx::{render, render_as, see_other},
    pages::{
        self,
        form::Typed,
        frame::{Frame, Place},
        text::sentence,
    },
    problem::Problem,
};

/// How many of its next runs are told.
const NEXT: usize = 5;
/// How many slots a page tells of.
const SLOTS: u64 = 20;

#[derive(Debug, Template)]
#[template(path = "jobs/show.html")]
struct JobPage {
    frame: Frame,
    job: Job,
    words: String,
    zone: String,
    script_name: Option<String>,
    facts: Vec<(&'static str, String)>,
    statistics: Statistics,
    rate: Option<String>,
    strip: Strip,
    next: Vec<Moment>,
    slots: Vec<Slot>,
    newest: bool,
    older: Option<String>,
    may_write: bool,
    /// What is told of its webhook this once.
    hook: Option<Told>,
}

/// The address of a webhook, and its secret.
#[derive(Debug)]
struct Told {
    url: String,
    secret: Option<String>,
}

/// A slot that was decided.
#[derive(Debug)]
struct Slot {
    at: Moment,
    by: &'static str,
    became: Fate,
}

/// What became of it.
#[derive(Debug)]
enum Fate {
    Ran(ExecutionId, State),
    /// It ran, and what it was has been removed.
    Removed,
    Not(String),
}

impl JobPage {
    fn new(
        frame: Frame,
        now: JobNow,
        next: Vec<Moment>,
        slots: Vec<Slot>,
        may_write: bool,
    ) -> Self {
        let JobNow { job, statistics, .. } = now;
        Self {
            frame,
            words: sentence(&job.trigger.in_words()),
            zone: when::zone(&job.trigger).to_owned(),
            script_name: None,
            facts: when::facts(&job),
            rate: statistics.success_rate().map(percent),
            strip: Strip::large(&statistics.last),
            statistics,
            job,
            next,
            slots,
            newest: true,
            older: None,
            may_write,
            hook: None,
        }
    }

    fn is_webhook(&self) -> bool {
        self.job.trigger == Trigger::Webhook
    }
}

impl Slot {
    fn new(
        slot: PastSlot,
        zone: &str,
        frame: &Frame,
        state: impl Fn(ExecutionId) -> Option<State>,
    ) -> Self {
        let by = match slot.by {
            By::Trigger => "",
            By::CatchUp => "made up for",
            By::Person => "by hand",
            By::Call => "called",
        };
        let became = match slot.became {
            Became::Started(id) => state(id).map_or(Fate::Removed, |state| Fate::Ran(id, state)),
            Became::Skipped(reason) => Fate::Not(format!("Skipped: {}", sentence(&reason))),
            Became::Missed { until, count, exact } => {
                let least = if exact { "" } else { "at least " };
                let until = Moment::new(until, zone, frame.now).local();
                Fate::Not(match count {
                    1 => "Missed: nothing ran at its time.".to_owned(),
                    _ => format!("Missed, with those up to {until}: {least}{count} in all."),
                })
            }
        };
        Self { at: Moment::new(slot.at, zone, frame.now), by, became }
    }
}

/// Shows a job.
#[handler]
pub(in crate::pages) async fn show(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    let now = automa.jobs(&caller.actor).get(pages::id(&id)?)?;
    render(&page(request, &caller, automa, now, query.get("cursor")).await?)
}

/// Shows a job with what is told of its webhook once.
pub(super) async fn show_saved(
    request: &Request,
    caller: &Caller,
    automa: &Automa,
    saved: Saved,
) -> Result<Response, Problem> {
    let Some(hook) = saved.hook else {
        return Ok(see_other(&format!("/jobs/{}", saved.now.job.id)));
    };
    let mut page = page(request, caller, automa, saved.now, "").await?;
    page.hook = Some(told(request, hook));
    let mut response = render_as(StatusCode::OK, &page)?;
    let header = header::HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, header);
    Ok(response)
}

/// The address as whoever asks has reached this server.
fn told(request: &Request, hook: NewHook) -> Told {
    let host = request.header(header::HOST).unwrap_or("localhost");
    let scheme = request.scheme();
    Told { url: format!("{scheme}://{host}/hooks/{}", hook.token), secret: hook.secret }
}

async fn page(
    request: &Request,
    caller: &Caller,
    automa: &Automa,
    now: JobNow,
    cursor: &str,
) -> Result<JobPage, Problem> {
    let jobs = automa.jobs(&caller.actor);
    let (id, script) = (now.job.id, now.job.script);
    let frame = pages::frame(request, caller, now.job.name.clone(), Place::Jobs);
    let zone = when::zone(&now.job.trigger).to_owned();
    let next = jobs.next(id, NEXT).await?;
    let next = next.iter().map(|it| Moment::new(it.at, &zone, frame.now)).collect();
    let cursor = pages::named(cursor, "page", |it| it.parse().ok())?;
    let newest = cursor.is_none();
    let limit = Limit::new(SLOTS).unwrap_or_default();
    let slots = jobs.slots(id, PageRequest { cursor, limit }).await?;
    let older = slots.next_cursor.map(|cursor| format!("/jobs/{id}?cursor={cursor}#history"));
    let executions = automa.executions(&caller.actor);
    let state = |id| executions.get(id).ok().map(|execution| execution.state);
    let slots = slots.items.into_iter().map(|slot| Slot::new(slot, &zone, &frame, state)).collect();
    let may_write = caller.actor.require(Permission::WriteJobs).is_ok();
    let script_name = automa.scripts(&caller.actor).get(script).ok().map(|script| script.name);
    let page = JobPage::new(frame, now, next, slots, may_write);
    Ok(JobPage { script_name, newest, older, ..page })
}

/// Runs it now.
#[handler]
pub(in crate::pages) async fn run(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let execution = automa.jobs(&caller.actor).run(pages::id(&id)?).await?;
    Ok(see_other(&format!("/executions/{}", execution.id)))
}

/// Lets it rest.
#[handler]
pub(in crate::pages) async fn pause(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let now = automa.jobs(&caller.actor).pause(pages::id(&id)?).await?;
    Ok(see_other(&format!("/jobs/{}", now.job.id)))
}

/// Lets it go on.
#[handler]
pub(in crate::pages) async fn resume(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let now = automa.jobs(&caller.actor).resume(pages::id(&id)?).await?;
    Ok(see_other(&format!("/jobs/{}", now.job.id)))
}

/// Gives its webhook a new address.
#[handler]
pub(in crate::pages) async fn renew(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let saved = automa.jobs(&caller.actor).renew_hook(pages::id(&id)?).await?;
    show_saved(request, &caller, automa, saved).await
}

/// Deletes it.
#[handler]
pub(in crate::pages) async fn delete(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id: JobId = pages::id(&id)?;
    automa.jobs(&caller.actor).delete(id).await?;
    Ok(see_other("/jobs"))
}

#[cfg(test)]
pub(in crate::pages) mod tests {
    use super::{
        super::tests::{at, cron, job, job_now},
        *,
    };
    use crate::pages::samples;

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let page = |now: JobNow, may_write: bool, hook| {
            let frame = samples::frame("nightly-backup", Place::Jobs);
            let past = |by, became| PastSlot {
                at: at("2026-11-20T01:30:00Z"),
                decided_at: at("2026-11-20T01:30:00Z"),
                by,
                became,
            };
            let missed =
                |count, exact| Became::Missed { until: at("2026-11-21T01:30:00Z"), count, exact };
            let started = Became::Started(samples::execution_id());
            let slots = [
                past(By::Trigger, started.clone()),
                past(By::Person, started),
                past(By::Call, Became::Skipped(samples::HOSTILE.to_owned())),
                past(By::Trigger, missed(1, true)),
                past(By::CatchUp, missed(10_000, false)),
            ];
            let zone = when::zone(&now.job.trigger).to_owned();
            let state = |_| may_write.then_some(State::Failed);
            let slots =
                slots.into_iter().map(|slot| Slot::new(slot, &zone, &frame, state)).collect();
            let next = if now.job.paused {
                vec![]
            } else {
                vec![Moment::new(at("2026-11-22T01:30:00Z"), &zone, frame.now)]
            };
            let page = JobPage::new(frame, now, next, slots, may_write);
            let script_name = may_write.then(|| samples::HOSTILE.to_owned());
            let older = Some(format!("/jobs/x?cursor={}", samples::cursor()));
            JobPage { script_name, older, hook, ..page }.render().unwrap()
        };
        let told = Told {
            url: format!("http://automa.example.com/hooks/{}", "5f".repeat(32)),
            secret: Some("0a".repeat(32)),
        };
        let paused = job_now(Job { paused: true, version: Some(7), ..job(Trigger::Webhook) });
        let mut fresh = job_now(job(Trigger::Webhook));
        fresh.statistics = Statistics::default();
        vec![
            ("job", page(job_now(job(cron())), true, None)),
            ("job-paused", page(paused, false, None)),
            ("job-told-once", page(fresh, true, Some(told))),
        ]
    }
}
