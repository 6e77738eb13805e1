//! Jobs: scripts that start by themselves.

mod hook;
mod shape;

use automa_core::{
    Automa, Error,
    id::{JobId, ScriptId},
    job,
    page::{Cursor, Page},
};
use jiff::Timestamp;
use poem::{
    Request,
    http::{StatusCode, header},
    web::Data,
};
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
};

pub(crate) use self::hook::call;
use self::shape::{Job, JobPage, NewJob, SlotPage, Upcoming, UpcomingRuns};
use super::{
    Tag,
    body::Body,
    executions::Execution,
    scripts::{page, precondition_failed, read_tag, tag},
    wire::Text,
};
use crate::{auth::Auth, problem::Problem};

/// How many runs are told of unless asked.
const UPCOMING: usize = 50;

#[derive(ApiResponse)]
enum Created {
    /// The job was created
    #[oai(status = 201)]
    Created(
        Json<Job>,
        /// Where it is.
        #[oai(header = "Location")]
        String,
        /// Its revision, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Found {
    /// The job
    #[oai(status = 200)]
    Job(
        Json<Job>,
        /// Its revision, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Deleted {
    /// The job was deleted
    #[oai(status = 204)]
    Done,
}

#[derive(ApiResponse)]
enum Started {
    /// The execution is accepted, durably
    #[oai(status = 202)]
    Accepted(
        Json<Execution>,
        /// Where it is.
        #[oai(header = "Location")]
        String,
    ),
}

pub(super) struct JobsApi;

#[OpenApi(tag = "Tag::Jobs", prefix_path = "/jobs")]
impl JobsApi {
    /// List jobs, newest first.
    #[oai(path = "/", method = "get", operation_id = "listJobs")]
    async fn list(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        /// Items on a page: 1 to 200, 50 unless told.
        limit: Query<Option<u64>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<Text<Cursor>>>,
        /// Only those of this script.
        script_id: Query<Option<Text<ScriptId>>>,
    ) -> Result<Json<JobPage>, Problem> {
        let page = page(limit.0, cursor.0)?;
        let jobs = automa.jobs(auth.actor()).list(script_id.0.map(|it| it.0), page).await?;
        let Page { items, next_cursor } = jobs.map(Job::from);
        Ok(Json(JobPage { items, next_cursor: next_cursor.map(Text) }))
    }

    /// Create a job.
    ///
    /// What it runs is checked as a submission would be. The address of a webhook, and the secret with
    /// which its calls are signed, are told in this answer alone.
    #[oai(path = "/", method = "post", operation_id = "createJob")]
    async fn create(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        request: &Request,
        Body(new): Body<NewJob>,
    ) -> Result<Created, Problem> {
        let new = new.read(|| automa.now(), None)?;
        let saved = automa.jobs(auth.actor()).create(new).await.map_err(refused)?;
        let location = format!("/api/v1/jobs/{}", saved.now.job.id);
        let tag = tag(saved.now.job.revision);
        Ok(Created::Created(Json(told(saved, request)), location, tag))
    }

    /// See what runs next over all jobs, soonest first.
    #[oai(path = "/upcoming", method = "get", operation_id = "listUpcomingRuns")]
    async fn upcoming(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        /// How many: 1 to 1,000, 50 unless told.
        limit: Query<Option<u64>>,
        /// Only those before this time.
        until: Query<Option<Text<Timestamp>>>,
    ) -> Result<Json<UpcomingRuns>, Problem> {
        let limit = match limit.0.map(usize::try_from) {
            None => UPCOMING,
            Some(Ok(limit @ 1..=1000)) => limit,
            Some(_) => return Err(Problem::invalid_field("limit", "must be 1 to 1000")),
        };
        let until = until.0.map_or(Timestamp::MAX, |it| it.0);
        let runs = automa.jobs(auth.actor()).upcoming(until, limit).await?;
        Ok(Json(UpcomingRuns { items: runs.into_iter().map(Upcoming::from).collect() }))
    }

    /// Get a job.
    #[oai(path = "/:id", method = "get", operation_id = "getJob")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn get(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<JobId>>,
    ) -> Result<Found, Problem> {
        Ok(found(automa.jobs(auth.actor()).get(id.0.0)?))
    }

    /// Change a job.
    ///
    /// All fields are replaced. With another trigger or other rules it begins anew from the present;
    /// from now on it runs in the name of who changes it. With `If-Match` (412) or `revision` (409)
    /// nothing is changed if someone else did meanwhile.
    #[oai(path = "/:id", method = "put", operation_id = "changeJob")]
    #[expect(clippy::too_many_arguments, reason = "each is one part of the request")]
    async fn change(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        request: &Request,
        id: Path<Text<JobId>>,
        /// The `ETag` that was read.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        Body(new): Body<NewJob>,
    ) -> Result<Found, Problem> {
        let id = id.0.0;
        let jobs = automa.jobs(auth.actor());
        let before = jobs.get(id)?.job;
        let matched = if_match.0.filter(|tag| tag.trim() != "*");
        let read = match (&matched, new.revision) {
            (Some(tag), _) => read_tag(tag).ok_or_else(|| precondition_failed("job", &id))?,
            (None, Some(revision)) => revision,
            (None, None) => before.revision,
        };
        let new = new.read(|| automa.now(), Some(&before.trigger))?;
        let changed = jobs.update(id, read, new).await.map_err(refused);
        let saved = changed.map_err(|problem| match problem.details().current_version {
            Some(_) if matched.is_some() => problem.with_status(StatusCode::PRECONDITION_FAILED),
            _ => problem,
        })?;
        let tag = tag(saved.now.job.revision);
        Ok(Found::Job(Json(told(saved, request)), tag))
    }

    /// Delete a job with its history.
    ///
    /// Its executions stay, and what runs runs on.
    #[oai(path = "/:id", method = "delete", operation_id = "deleteJob")]
    async fn delete(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<JobId>>,
    ) -> Result<Deleted, Problem> {
        automa.jobs(auth.actor()).delete(id.0.0).await?;
        Ok(Deleted::Done)
    }

    /// Run a job now.
    ///
    /// Whatever its trigger, also while it is paused; its rule for overlaps holds (409).
    #[oai(path = "/:id/run", method = "post", operation_id = "runJob")]
    async fn run(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<JobId>>,
    ) -> Result<Started, Problem> {
        let execution = automa.jobs(auth.actor()).run(id.0.0).await?;
        let location = format!("/api/v1/executions/{}", execution.id);
        Ok(Started::Accepted(Json(execution.into()), location))
    }

    /// Pause a job.
    ///
    /// It has no slots until it is resumed. What runs runs on.
    #[oai(path = "/:id/pause", method = "post", operation_id = "pauseJob")]
    async fn pause(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<JobId>>,
    ) -> Result<Found, Problem> {
        Ok(found(automa.jobs(auth.actor()).pause(id.0.0).await?))
    }

    /// Resume a job.
    ///
    /// It goes on from now: what was due meanwhile is not made up for.
    #[oai(path = "/:id/resume", method = "post", operation_id = "resumeJob")]
    async fn resume(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<JobId>>,
    ) -> Result<Found, Problem> {
        Ok(found(automa.jobs(auth.actor()).resume(id.0.0).await?))
    }

    /// Give a webhook a new address.
    ///
    /// And a new secret, if its calls are signed. The old ones are worth nothing from then on; the new
    /// ones are told in this answer alone.
    #[oai(path = "/:id/webhook", method = "post", operation_id = "renewWebhook")]
    async fn renew(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        request: &Request,
        id: Path<Text<JobId>>,
    ) -> Result<Found, Problem> {
        let saved = automa.jobs(auth.actor()).renew_hook(id.0.0).await?;
        let tag = tag(saved.now.job.revision);
        Ok(Found::Job(Json(told(saved, request)), tag))
    }

    /// List what became of a job's slots, newest first.
    ///
    /// The newest thousand: each started an execution, was skipped with a reason, or was missed, as
    /// nobody was there at its time; many that were missed one after the other are one item.
    #[oai(path = "/:id/slots", method = "get", operation_id = "listSlots")]
    async fn slots(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<JobId>>,
        /// Items on a page: 1 to 200, 50 unless told.
        limit: Query<Option<u64>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<Text<Cursor>>>,
    ) -> Result<Json<SlotPage>, Problem> {
        let page = page(limit.0, cursor.0)?;
        let slots = automa.jobs(auth.actor()).slots(id.0.0, page).await?;
        Ok(Json(SlotPage::from(slots)))
    }
}

/// Names fields as they are called here.
fn refused(error: Error) -> Problem {
    let Error::Invalid(mut errors) = error else { return error.into() };
    for error in &mut errors {
        if let Some(part) = error.field.strip_prefix("misfire.") {
            error.field = format!("catch_up.{part}").into();
        }
    }
    Error::Invalid(errors).into()
}

fn found(now: job::JobNow) -> Found {
    let tag = tag(now.job.revision);
    Found::Job(Json(now.into()), tag)
}

/// A saved job, with what is told of its webhook once.
fn told(saved: job::Saved, request: &Request) -> Job {
    let host = request.header(header::HOST).unwrap_or_default();
    let url = |token: &str| format!("{}://{host}/hooks/{token}", request.scheme());
    let mut job = Job::from(saved.now);
    if let Some(hook) = saved.hook {
        job.webhook_url = Some(url(&hook.token));
        job.webhook_secret = hook.secret;
    }
    job
}
