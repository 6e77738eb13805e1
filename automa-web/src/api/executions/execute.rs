//! Running something with one call, as programs like it.

use std::collections::BTreeMap;

use automa_core::{Automa, actor::Permission, execution::NewExecution, script::Language};
use poem::web::Data;
use poem_openapi::{
    Object, OpenApi,
    param::{Header, Query},
};
use serde_json::Value;

use super::{Submitted, deadline, respond, shape::Submission};
use crate::{
    api::{
        Tag,
        body::Body,
        scripts::Limits,
        wire::{OneOf, Text},
    },
    auth::Auth,
    problem::Problem,
};

/// Seconds that an end is waited for unless told.
const WAIT: f64 = 60.0;

/// What to run: a script, or code that is not saved.
#[derive(Object)]
struct Execute {
    /// The script, by its name or its id; else `language` and `source`.
    script: Option<String>,
    /// The script's version, the newest unless told.
    version: Option<u32>,
    /// The language of code that is not saved.
    language: Option<OneOf<Language>>,
    /// The code, at most 1 MiB.
    source: Option<String>,
    /// Given to the run as environment variables, and as one JSON document.
    parameters: Option<BTreeMap<String, Value>>,
    /// In place of the script's.
    limits: Option<Limits>,
    /// What may be reached over TCP, as in `POST /executions`.
    network: Option<Vec<String>>,
}

pub(in crate::api) struct ExecuteApi;

#[OpenApi(tag = "Tag::Executions")]
impl ExecuteApi {
    /// Run a script or code and get what came of it.
    ///
    /// As `POST /executions`, for programs: the script may be named, and its end is waited for, a minute
    /// unless told.
    #[oai(path = "/execute", method = "post", operation_id = "execute")]
    async fn execute(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        /// Seconds to wait for its end, at most 300; 60 unless told. With 0 it is only accepted.
        wait: Query<Option<f64>>,
        /// The same key with the same request is the same execution, for a day.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<String>>,
        Body(asked): Body<Execute>,
    ) -> Result<Submitted, Problem> {
        let wait = wait.0.unwrap_or(WAIT);
        let until = deadline(Some(wait))?.filter(|_| wait > 0.0);
        if until.is_some() {
            // Who may not see what comes of it is told so before it runs.
            auth.actor().require(Permission::ReadExecutions).map_err(automa_core::Error::from)?;
        }
        let Execute { script, version, language, source, parameters, limits, network } = asked;
        let script = match script.map(|text| text.parse().map_err(|_| text)) {
            None => None,
            Some(Ok(id)) => Some(Text(id)),
            Some(Err(name)) => Some(Text(automa.scripts(auth.actor()).named(&name).await?.id)),
        };
        let submission = Submission {
            version,
            language,
            source,
            parameters,
            limits,
            network,
            ..Submission::of(script)
        };
        let new = NewExecution { idempotency_key: key.0, ..submission.read()? };
        let accepted = automa.executions(auth.actor()).submit(new).await?;
        respond(automa, &auth, accepted, until).await
    }
}
