//! What is kept, for how long, and what it takes.

use automa_core::{
    Automa,
    disk::{DiskUse, LogUse, ScriptUse},
    id::ScriptId,
    retention::{Rules, ScriptRules},
};
use poem::web::Data;
use poem_openapi::{Object, OpenApi, param::Path, payload::Json};

use super::{Tag, body::Body, wire::Text};
use crate::{auth::Auth, problem::Problem};

/// How long things are kept. What is beyond a limit is removed, oldest first; without one they stay.
#[derive(Debug, Object)]
struct Retention {
    /// Days for which executions are kept, with everything that is known of them: 1 to 36,500.
    history_days: Option<u32>,
    /// Days for which their logs are.
    log_days: Option<u32>,
    /// Bytes that all logs may take together: 1 MiB at least.
    log_bytes: Option<u64>,
    /// Days for which entries of the audit log are kept: 30 to 36,500.
    audit_days: Option<u32>,
}

/// How long things of one script are kept: days in place of those of all, bytes besides. What is not
/// said is as for all.
#[derive(Debug, Object)]
struct ScriptRetention {
    /// Days for which its executions are kept: 1 to 36,500.
    history_days: Option<u32>,
    /// Days for which their logs are.
    log_days: Option<u32>,
    /// Bytes that its logs may take together: 1 MiB at least.
    log_bytes: Option<u64>,
}

/// What the data directory holds.
#[derive(Debug, Object)]
struct Disk {
    /// The store's file.
    store_bytes: u64,
    /// Logs of executions that have ended.
    log_bytes: u64,
    /// How many these are.
    log_files: u64,
    /// What is free on its file system.
    free_bytes: u64,
    /// How large that is.
    total_bytes: u64,
    /// The 20 scripts whose logs take most, most first.
    scripts: Vec<DiskOfScript>,
}

/// What one script takes.
#[derive(Debug, Object)]
struct DiskOfScript {
    /// The script; none for code that was not saved.
    script_id: Option<Text<ScriptId>>,
    name: Option<String>,
    log_bytes: u64,
    log_files: u64,
}

pub(super) struct RetentionApi;

#[OpenApi(tag = "Tag::Disk")]
impl RetentionApi {
    /// See how long things are kept.
    #[oai(path = "/settings/retention", method = "get", operation_id = "getRetention")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn get(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
    ) -> Result<Json<Retention>, Problem> {
        Ok(Json(automa.retention(auth.actor()).get()?.into()))
    }

    /// Say how long things are kept.
    ///
    /// What is beyond that is removed within minutes.
    #[oai(path = "/settings/retention", method = "put", operation_id = "setRetention")]
    async fn set(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        Body(rules): Body<Retention>,
    ) -> Result<Json<Retention>, Problem> {
        let Retention { history_days, log_days, log_bytes, audit_days } = rules;
        let rules = Rules { history_days, log_days, log_bytes, audit_days };
        Ok(Json(automa.retention(auth.actor()).set(rules).await?.into()))
    }

    /// See how long things of one script are kept.
    #[oai(path = "/scripts/:id/retention", method = "get", operation_id = "getScriptRetention")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn get_of_script(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ScriptId>>,
    ) -> Result<Json<ScriptRetention>, Problem> {
        Ok(Json(automa.retention(auth.actor()).of_script(id.0.0)?.into()))
    }

    /// Say how long things of one script are kept.
    #[oai(path = "/scripts/:id/retention", method = "put", operation_id = "setScriptRetention")]
    async fn set_of_script(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ScriptId>>,
        Body(rules): Body<ScriptRetention>,
    ) -> Result<Json<ScriptRetention>, Problem> {
        let ScriptRetention { history_days, log_days, log_bytes } = rules;
        let rules = ScriptRules { history_days, log_days, log_bytes };
        let retention = automa.retention(auth.actor());
        Ok(Json(retention.set_of_script(id.0.0, rules).await?.into()))
    }

    /// See what the data directory holds.
    #[oai(path = "/disk", method = "get", operation_id = "getDiskUse")]
    async fn disk(&self, auth: Auth, Data(automa): Data<&Automa>) -> Result<Json<Disk>, Problem> {
        Ok(Json(automa.disk(auth.actor()).used().await?.into()))
    }
}

impl From<Rules> for Retention {
    fn from(rules: Rules) -> Self {
        let Rules { history_days, log_days, log_bytes, audit_days } = rules;
        Self { history_days, log_days, log_bytes, audit_days }
    }
}

impl From<ScriptRules> for ScriptRetention {
    fn from(rules: ScriptRules) -> Self {
        let ScriptRules { history_days, log_days, log_bytes } = rules;
        Self { history_days, log_days, log_bytes }
    }
}

impl From<DiskUse> for Disk {
    fn from(used: DiskUse) -> Self {
        let DiskUse { store_bytes, logs, free_bytes, total_bytes, scripts } = used;
        let LogUse { files: log_files, bytes: log_bytes } = logs;
        let scripts = scripts.into_iter().map(DiskOfScript::from).collect();
        Self { store_bytes, log_bytes, log_files, free_bytes, total_bytes, scripts }
    }
}

impl From<ScriptUse> for DiskOfScript {
    fn from(used: ScriptUse) -> Self {
        let ScriptUse { script, name, logs } = used;
        let LogUse { files: log_files, bytes: log_bytes } = logs;
        Self { script_id: script.map(Text), name, log_bytes, log_files }
    }
}
