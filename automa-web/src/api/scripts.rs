//! Scripts and their versions.

use automa_core::{
    Automa,
    execution::DispatchRules,
    id::{ScriptId, UserId},
    page::{Cursor, Limit, Page, PageRequest},
    script::{self, Language},
};
use jiff::Timestamp;
use poem::{http::StatusCode, web::Data};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
};
use serde::Serialize;
use serde_json::Value;

use super::{
    Tag,
    body::Body,
    dispatch::{Concurrency, Retry, priority},
    wire::{OneOf, Text},
};
use crate::{auth::Auth, problem::Problem};

/// What a script's executions may use. What is not given is the default.
#[derive(Debug, Clone, Default, Object, Serialize)]
#[oai(rename = "Limits")]
pub(crate) struct Limits {
    /// Time from start to end.
    pub(crate) wall_ms: Option<u64>,
    /// Processor time of all its processes.
    pub(crate) cpu_ms: Option<u64>,
    /// Processors that it may use at a time, such as 0.5.
    pub(crate) cpus: Option<f64>,
    /// Memory of all its processes.
    pub(crate) memory_bytes: Option<u64>,
    /// Processes and threads at a time.
    pub(crate) pids: Option<u32>,
    /// What it may write to stdout and stderr.
    pub(crate) output_bytes: Option<u64>,
    /// Files that it may write.
    pub(crate) tmp_bytes: Option<u64>,
}

/// A script to be created or changed.
#[derive(Object)]
struct NewScript {
    /// One line of at most 200 characters.
    name: String,
    language: OneOf<Language>,
    /// At most 1 MiB.
    source: String,
    /// At most 4,000 characters.
    description: Option<String>,
    /// At most 20.
    tags: Option<Vec<String>>,
    /// A JSON Schema (2020-12) of its parameters.
    parameters_schema: Option<Value>,
    limits: Option<Limits>,
    /// -100 to 100: of what one user has waiting, the highest goes first; 0 unless told.
    priority: Option<i32>,
    concurrency: Option<Concurrency>,
    retry: Option<Retry>,
    /// For a change: the version that was read. If there is a newer one, nothing is changed.
    version: Option<u32>,
}

/// A script, with its newest version.
#[derive(Object)]
struct Script {
    id: Text<ScriptId>,
    name: String,
    description: String,
    tags: Vec<String>,
    language: OneOf<Language>,
    /// Not in lists.
    #[oai(skip_serializing_if_is_none)]
    source: Option<String>,
    /// Not in lists.
    #[oai(skip_serializing_if_is_none)]
    parameters_schema: Option<Value>,
    /// Not in lists.
    #[oai(skip_serializing_if_is_none)]
    limits: Option<Limits>,
    /// Not in lists.
    #[oai(skip_serializing_if_is_none)]
    priority: Option<i32>,
    /// Not in lists.
    #[oai(skip_serializing_if_is_none)]
    concurrency: Option<Concurrency>,
    /// Not in lists.
    #[oai(skip_serializing_if_is_none)]
    retry: Option<Retry>,
    /// The number of its newest version.
    version: u32,
    /// The user who created it.
    owner: Option<Text<UserId>>,
    created_at: Text<Timestamp>,
    updated_at: Text<Timestamp>,
}

/// One version of a script, which never changes.
#[derive(Object)]
#[expect(clippy::struct_field_names, reason = "`version` is its name in the API")]
struct Version {
    script_id: Text<ScriptId>,
    version: u32,
    language: OneOf<Language>,
    source: String,
    parameters_schema: Option<Value>,
    limits: Limits,
    /// Of what one user has waiting, the highest goes first.
    priority: i32,
    /// None for as many as there are slots.
    concurrency: Option<Concurrency>,
    /// None for no retry.
    retry: Option<Retry>,
    /// Who wrote it.
    author: String,
    created_at: Text<Timestamp>,
}

/// Scripts, newest first.
#[derive(Object)]
struct ScriptPage {
    items: Vec<Script>,
    /// Where the next page continues; none on the last.
    next_cursor: Option<Text<Cursor>>,
}

/// Versions, newest first.
#[derive(Object)]
struct VersionPage {
    items: Vec<Version>,
    /// Where the next page continues; none on the last.
    next_cursor: Option<Text<Cursor>>,
}

#[derive(ApiResponse)]
enum Created {
    /// The script was created
    #[oai(status = 201)]
    Created(
        Json<Script>,
        /// Where it is.
        #[oai(header = "Location")]
        String,
        /// Its version, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Found {
    /// The script
    #[oai(status = 200)]
    Script(
        Json<Script>,
        /// Its version, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Deleted {
    /// The script was deleted
    #[oai(status = 204)]
    Done,
}

pub(super) struct ScriptsApi;

#[OpenApi(tag = "Tag::Scripts", prefix_path = "/scripts")]
impl ScriptsApi {
    /// List scripts, newest first.
    #[oai(path = "/", method = "get", operation_id = "listScripts")]
    async fn list(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        /// Items on a page: 1 to 200, 50 unless told.
        limit: Query<Option<u64>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<Text<Cursor>>>,
    ) -> Result<Json<ScriptPage>, Problem> {
        let scripts = automa.scripts(auth.actor()).list(page(limit.0, cursor.0)?).await?;
        let Page { items, next_cursor } = scripts.map(|script| Script::new(script, None));
        Ok(Json(ScriptPage { items, next_cursor: next_cursor.map(Text) }))
    }

    /// Create a script.
    #[oai(path = "/", method = "post", operation_id = "createScript")]
    async fn create(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        Body(new): Body<NewScript>,
    ) -> Result<Created, Problem> {
        let scripts = automa.scripts(auth.actor());
        let script = scripts.create(new.into()).await?;
        let version = scripts.version(script.id, script.version).await?;
        let (location, tag) = (format!("/api/v1/scripts/{}", script.id), tag(script.version));
        Ok(Created::Created(Json(Script::new(script, Some(version))), location, tag))
    }

    /// Get a script with its newest version.
    #[oai(path = "/:id", method = "get", operation_id = "getScript")]
    async fn get(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ScriptId>>,
    ) -> Result<Found, Problem> {
        let scripts = automa.scripts(auth.actor());
        let script = scripts.get(id.0.0)?;
        let version = scripts.version(script.id, script.version).await?;
        let tag = tag(script.version);
        Ok(Found::Script(Json(Script::new(script, Some(version))), tag))
    }

    /// Change a script.
    ///
    /// All fields are replaced. Another source, language, schema, or other rules for its
    /// executions make a new version. With
    /// `If-Match` (412) or `version` (409) nothing is changed if someone else did meanwhile.
    #[oai(path = "/:id", method = "put", operation_id = "changeScript")]
    async fn change(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ScriptId>>,
        /// The `ETag` that was read.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        Body(new): Body<NewScript>,
    ) -> Result<Found, Problem> {
        let id = id.0.0;
        let scripts = automa.scripts(auth.actor());
        let matched = if_match.0.filter(|tag| tag.trim() != "*");
        let read = match (&matched, new.version) {
            (Some(tag), _) => read_tag(tag).ok_or_else(|| precondition_failed(id))?,
            (None, Some(version)) => version,
            (None, None) => scripts.get(id)?.version,
        };
        let changed = scripts.update(id, read, new.into()).await.map_err(Problem::from);
        let script = changed.map_err(|problem| match problem.details().current_version {
            Some(_) if matched.is_some() => problem.with_status(StatusCode::PRECONDITION_FAILED),
            _ => problem,
        })?;
        let version = scripts.version(script.id, script.version).await?;
        let tag = tag(script.version);
        Ok(Found::Script(Json(Script::new(script, Some(version))), tag))
    }

    /// Delete a script.
    ///
    /// Its executions stay.
    #[oai(path = "/:id", method = "delete", operation_id = "deleteScript")]
    async fn delete(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ScriptId>>,
    ) -> Result<Deleted, Problem> {
        automa.scripts(auth.actor()).delete(id.0.0).await?;
        Ok(Deleted::Done)
    }

    /// List a script's versions, newest first.
    #[oai(path = "/:id/versions", method = "get", operation_id = "listVersions")]
    async fn versions(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ScriptId>>,
        /// Items on a page: 1 to 200, 50 unless told.
        limit: Query<Option<u64>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<Text<Cursor>>>,
    ) -> Result<Json<VersionPage>, Problem> {
        let page = page(limit.0, cursor.0)?;
        let versions = automa.scripts(auth.actor()).versions(id.0.0, page).await?;
        let Page { items, next_cursor } = versions.map(Version::from);
        Ok(Json(VersionPage { items, next_cursor: next_cursor.map(Text) }))
    }

    /// Get one version of a script.
    #[oai(path = "/:id/versions/:number", method = "get", operation_id = "getVersion")]
    async fn version(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ScriptId>>,
        number: Path<u32>,
    ) -> Result<Json<Version>, Problem> {
        Ok(Json(automa.scripts(auth.actor()).version(id.0.0, number.0).await?.into()))
    }
}

/// Which page, from a query.
pub(super) fn page(
    limit: Option<u64>,
    cursor: Option<Text<Cursor>>,
) -> Result<PageRequest, Problem> {
    let limit = limit.map(Limit::new).transpose();
    let limit = limit.map_err(|error| Problem::invalid_field("limit", error.to_string()))?;
    Ok(PageRequest { cursor: cursor.map(|it| it.0), limit: limit.unwrap_or_default() })
}

fn tag(version: u32) -> String {
    format!("\"{version}\"")
}

fn read_tag(tag: &str) -> Option<u32> {
    tag.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

fn precondition_failed(id: ScriptId) -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "conflict", "Changed meanwhile")
        .detail(&format!("`If-Match` is not the `ETag` of a version of script {id}"))
}

impl From<NewScript> for script::NewScript {
    fn from(new: NewScript) -> Self {
        Self {
            name: new.name,
            description: new.description.unwrap_or_default(),
            tags: new.tags.unwrap_or_default(),
            language: new.language.0,
            source: new.source,
            parameters_schema: new.parameters_schema.map(|schema| format!("{schema:#}")),
            limits: new.limits.unwrap_or_default().into(),
            dispatch: DispatchRules {
                priority: new.priority.map_or(0, priority),
                concurrency: new.concurrency.map(Into::into),
                retry: new.retry.map(Into::into),
            },
        }
    }
}

impl Script {
    fn new(script: script::Script, version: Option<script::Version>) -> Self {
        let version = version.map(Version::from);
        let (source, limits, priority) = match &version {
            Some(it) => (Some(it.source.clone()), Some(it.limits.clone()), Some(it.priority)),
            None => (None, None, None),
        };
        let (schema, concurrency, retry) =
            version.map(|it| (it.parameters_schema, it.concurrency, it.retry)).unwrap_or_default();
        Self {
            id: Text(script.id),
            name: script.name,
            description: script.description,
            tags: script.tags,
            language: OneOf(script.language),
            source,
            parameters_schema: schema,
            limits,
            priority,
            concurrency,
            retry,
            version: script.version,
            owner: script.owner.map(Text),
            created_at: Text(script.created_at),
            updated_at: Text(script.updated_at),
        }
    }
}

impl From<script::Version> for Version {
    fn from(version: script::Version) -> Self {
        Self {
            script_id: Text(version.script),
            version: version.number,
            language: OneOf(version.language),
            // What was stored was JSON.
            parameters_schema: version
                .parameters_schema
                .and_then(|schema| serde_json::from_str(&schema).ok()),
            source: version.source,
            limits: version.limits.into(),
            priority: version.dispatch.priority.into(),
            concurrency: version.dispatch.concurrency.map(Into::into),
            retry: version.dispatch.retry.map(Into::into),
            author: version.author,
            created_at: Text(version.created_at),
        }
    }
}
