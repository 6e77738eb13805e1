//! Scripts and their versions.

mod reviews;
mod shape;

use std::fmt::Display;

use automa_core::{
    Automa,
    actor::Actor,
    id::{ScriptId, UserId},
    page::{Cursor, Limit, Page, PageRequest},
    script::{self, Language, Search, Sort, Status},
};
use poem::{http::StatusCode, web::Data};
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
};

pub(super) use self::reviews::ReviewsApi;
pub(crate) use self::shape::Limits;
use self::shape::{
    DeletedScripts, Diff, Fork, NewScript, NewStatus, Rollback, Script, ScriptPage, Starters,
    Version, VersionPage,
};
use super::{
    Tag,
    body::Body,
    wire::{OneOf, Text},
};
use crate::{auth::Auth, problem::Problem};

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
    /// List scripts, or find some.
    ///
    /// All that is named has to be true of them. What `q` finds has each of its words in name, tags,
    /// description or newest source; best matches come first, else the newest. A cursor belongs to
    /// the same query.
    #[oai(path = "/", method = "get", operation_id = "listScripts")]
    #[expect(clippy::too_many_arguments, reason = "each is one part of the request")]
    async fn list(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        /// Items on a page: 1 to 200, 50 unless told.
        limit: Query<Option<u64>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<Text<Cursor>>>,
        /// Words to look for, whatever their case; at most 200 characters.
        q: Query<Option<String>>,
        /// Only those in this language.
        language: Query<Option<OneOf<Language>>>,
        /// Only those of this status.
        status: Query<Option<OneOf<Status>>>,
        /// Only those with this tag.
        tag: Query<Option<String>>,
        /// Only those of this user: an id, or `me`.
        owner: Query<Option<String>>,
        /// `relevance` is for `q`.
        sort: Query<Option<OneOf<Sort>>>,
    ) -> Result<Json<ScriptPage>, Problem> {
        let search = Search {
            text: q.0.unwrap_or_default(),
            language: language.0.map(|it| it.0),
            status: status.0.map(|it| it.0),
            tag: tag.0,
            owner: owner.0.map(|owner| user(&owner, auth.actor())).transpose()?,
            sort: sort.0.map(|it| it.0),
        };
        let page = page(limit.0, cursor.0)?;
        let Page { items, next_cursor } =
            automa.scripts(auth.actor()).search(search, page).await?.map(Script::from);
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
        let script = automa.scripts(auth.actor()).create(new.into()).await?;
        created(automa, &auth, script).await
    }

    /// Copy a script as a private draft of one's own.
    #[oai(path = "/:id/fork", method = "post", operation_id = "forkScript")]
    async fn fork(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ScriptId>>,
        Body(fork): Body<Fork>,
    ) -> Result<Created, Problem> {
        let script = automa.scripts(auth.actor()).fork(id.0.0, fork.version).await?;
        created(automa, &auth, script).await
    }

    /// Say what a script is good for.
    ///
    /// `draft` ones are run by hand, `active` ones also unattended: by jobs and as agents.
    /// `deprecated` ones are run by hand, with a warning.
    #[oai(path = "/:id/status", method = "post", operation_id = "setScriptStatus")]
    async fn set_status(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ScriptId>>,
        Body(new): Body<NewStatus>,
    ) -> Result<Found, Problem> {
        let script = automa
            .scripts(auth.actor())
            .set_status(id.0.0, new.status.0, new.force.unwrap_or_default())
            .await?;
        found(automa, &auth, script).await
    }

    /// Get a script with its newest version.
    #[oai(path = "/:id", method = "get", operation_id = "getScript")]
    async fn get(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ScriptId>>,
    ) -> Result<Found, Problem> {
        let script = automa.scripts(auth.actor()).get(id.0.0)?;
        found(automa, &auth, script).await
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
            (Some(tag), _) => read_tag(tag).ok_or_else(|| precondition_failed("script", &id))?,
            (None, Some(version)) => version,
            (None, None) => scripts.get(id)?.version,
        };
        let changed = scripts.update(id, read, new.into()).await.map_err(Problem::from);
        let script = changed.map_err(|problem| match problem.details().current_version {
            Some(_) if matched.is_some() => problem.with_status(StatusCode::PRECONDITION_FAILED),
            _ => problem,
        })?;
        found(automa, &auth, script).await
    }

    /// List scripts to begin with.
    ///
    /// Each is for a routine task, and runs as it is, without network.
    #[oai(path = "/starters", method = "get", operation_id = "listStarters")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn starters(&self, _auth: Auth) -> Json<Starters> {
        let all = script::Starter::all().into_iter();
        Json(Starters { items: all.map(Into::into).collect() })
    }

    /// List deleted scripts, last deleted first.
    ///
    /// Each can be restored for 30 days.
    #[oai(path = "/deleted", method = "get", operation_id = "listDeletedScripts")]
    async fn deleted(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
    ) -> Result<Json<DeletedScripts>, Problem> {
        let items = automa.scripts(auth.actor()).deleted().await?;
        Ok(Json(DeletedScripts { items: items.into_iter().map(Into::into).collect() }))
    }

    /// Restore a deleted script, with all its versions.
    #[oai(path = "/:id/restore", method = "post", operation_id = "restoreScript")]
    async fn restore(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ScriptId>>,
    ) -> Result<Found, Problem> {
        let script = automa.scripts(auth.actor()).restore(id.0.0).await?;
        found(automa, &auth, script).await
    }

    /// Remove a deleted script for good.
    ///
    /// Versions that executions ran stay readable with these.
    #[oai(path = "/:id/purge", method = "post", operation_id = "purgeScript")]
    async fn purge(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ScriptId>>,
    ) -> Result<Deleted, Problem> {
        automa.scripts(auth.actor()).purge(id.0.0).await?;
        Ok(Deleted::Done)
    }

    /// Compare two versions of a script.
    #[oai(path = "/:id/diff", method = "get", operation_id = "compareVersions")]
    async fn diff(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ScriptId>>,
        /// The version to compare with; the one before `to` unless told.
        from: Query<Option<u32>>,
        /// The version to look at; the newest unless told.
        to: Query<Option<u32>>,
    ) -> Result<Json<Diff>, Problem> {
        let scripts = automa.scripts(auth.actor());
        let to = to.0.map_or_else(|| scripts.get(id.0.0).map(|it| it.version), Ok)?;
        let from = from.0.unwrap_or_else(|| to.saturating_sub(1).max(1));
        Ok(Json(scripts.diff(id.0.0, from, to).await?.into()))
    }

    /// Make what an old version was the newest again.
    ///
    /// That is a new version. Name, description, tags, status and visibility stay.
    #[oai(path = "/:id/rollback", method = "post", operation_id = "rollBackScript")]
    async fn roll_back(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ScriptId>>,
        Body(rollback): Body<Rollback>,
    ) -> Result<Found, Problem> {
        let Rollback { to, version } = rollback;
        let scripts = automa.scripts(auth.actor());
        let read = version.map_or_else(|| scripts.get(id.0.0).map(|it| it.version), Ok)?;
        let script = scripts.roll_back(id.0.0, read, to).await?;
        found(automa, &auth, script).await
    }

    /// Delete a script.
    ///
    /// Its executions stay, and for 30 days it can be restored.
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

/// A script that was made, with its version.
async fn created(automa: &Automa, auth: &Auth, script: script::Script) -> Result<Created, Problem> {
    let (location, tag) = (format!("/api/v1/scripts/{}", script.id), tag(script.version));
    Ok(Created::Created(Json(whole(automa, auth, script).await?), location, tag))
}

/// A script with its newest version.
async fn found(automa: &Automa, auth: &Auth, script: script::Script) -> Result<Found, Problem> {
    let tag = tag(script.version);
    Ok(Found::Script(Json(whole(automa, auth, script).await?), tag))
}

/// A script with all that is told of one alone.
async fn whole(automa: &Automa, auth: &Auth, script: script::Script) -> Result<Script, Problem> {
    let scripts = automa.scripts(auth.actor());
    let version = scripts.version(script.id, script.version).await?;
    if script.status != Status::Draft {
        return Ok(Script::new(script, Some(version)));
    }
    let problems = scripts.check(script.id, script.version).await?;
    Ok(Script::new(script, Some(version)).checked(&problems))
}

/// A user, by id or as who asks.
fn user(owner: &str, actor: &Actor) -> Result<UserId, Problem> {
    match (owner, actor.user) {
        ("me", Some(user)) => Ok(user),
        (id, _) => id
            .parse()
            .map_err(|_| Problem::invalid_field("owner", "must be the id of a user, or `me`")),
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

pub(super) fn tag(version: u32) -> String {
    format!("\"{version}\"")
}

pub(super) fn read_tag(tag: &str) -> Option<u32> {
    tag.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

pub(super) fn precondition_failed(kind: &str, id: &impl Display) -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "conflict", "Changed meanwhile")
        .detail(&format!("`If-Match` is not the `ETag` of a version of {kind} {id}"))
}
