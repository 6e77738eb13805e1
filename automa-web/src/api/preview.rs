//! What a trigger would do, before there is a job.

use automa_core::{
    Automa, Error,
    clock::{Clock as _, SystemClock},
    error::FieldError,
    job::{self, PREVIEW_MAX, Rules, Trigger},
};
use jiff::Timestamp;
use poem::web::Data;
use poem_openapi::{Object, OpenApi, param::Query, payload::Json};

use super::{Tag, wire::Text};
use crate::{auth::Auth, problem::Problem};

/// What a trigger would do.
#[derive(Debug, Object)]
struct Preview {
    /// When it runs, in words: `at 03:00 every day (Europe/Berlin)`.
    description: String,
    /// The next times, soonest first.
    next: Vec<Text<Timestamp>>,
    /// What is odd within a year: where clocks are put forward or back, and where nothing comes.
    notes: Vec<String>,
}

pub(super) struct PreviewApi;

#[OpenApi(tag = "Tag::Jobs")]
impl PreviewApi {
    /// See what a trigger would do.
    ///
    /// One of `pattern`, `every_ms` and `at` says which trigger. What is wrong with a pattern is told
    /// with the place in it.
    #[oai(path = "/jobs/preview", method = "get", operation_id = "previewTrigger")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    #[expect(clippy::too_many_arguments, reason = "one for each part of the query")]
    async fn preview(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        /// A cron pattern: five fields, or six with the second first, or `@daily` and the like.
        Query(pattern): Query<Option<String>>,
        /// The time zone of the pattern, by its name in the tz database; UTC unless told.
        Query(zone): Query<Option<String>>,
        /// An interval in milliseconds: 1000 to 31622400000.
        Query(every_ms): Query<Option<u64>>,
        /// From when on the interval counts; from now unless told.
        Query(start_at): Query<Option<Text<Timestamp>>>,
        /// A time.
        Query(at): Query<Option<Text<Timestamp>>>,
        /// How many times are told: 5 unless told, at most 100.
        #[oai(validator(maximum(value = "100")))]
        Query(count): Query<Option<u16>>,
    ) -> Result<Json<Preview>, Problem> {
        let trigger = match (pattern, every_ms, at) {
            (Some(pattern), None, None) => {
                Trigger::Cron { pattern, zone: zone.unwrap_or_else(|| "UTC".to_owned()) }
            }
            (None, Some(every_ms), None) => {
                let start_at = start_at.map_or_else(|| SystemClock::new().now(), |it| it.0);
                Trigger::Interval { every_ms, start_at }
            }
            (None, None, Some(at)) => Trigger::Once { at: at.0 },
            _ => {
                let reason = "must be the only one of `pattern`, `every_ms` and `at`";
                return Err(Error::Invalid(vec![FieldError::new("pattern", reason)]).into());
            }
        };
        let count = count.map_or(5, usize::from).min(PREVIEW_MAX);
        let told = automa.jobs(auth.actor()).preview(&trigger, &Rules::default(), count);
        Ok(Json(told.map_err(as_query)?.into()))
    }
}

/// A query has no trigger of which these would be parts.
fn as_query(error: Error) -> Error {
    let Error::Invalid(mut errors) = error else { return error };
    for error in &mut errors {
        if let Some(field) = error.field.strip_prefix("trigger.") {
            error.field = field.to_owned().into();
        }
    }
    Error::Invalid(errors)
}

impl From<job::Preview> for Preview {
    fn from(told: job::Preview) -> Self {
        let job::Preview { description, next, notes, .. } = told;
        Self { description, next: next.into_iter().map(Text).collect(), notes }
    }
}
