//! Scripts and versions as earlier versions of Automa stored them. What is here never changes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Content, Deleted, Language, Script, Status, Version, Visibility};
use crate::{
    execution::{DispatchRules, LimitsRequest},
    id::{ScriptId, UserId},
};

/// Version 1 of the record of a script.
#[derive(Serialize, Deserialize)]
pub(crate) struct ScriptV1 {
    id: ScriptId,
    name: String,
    description: String,
    tags: Vec<String>,
    version: u32,
    language: Language,
    owner: Option<UserId>,
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    created_at: Timestamp,
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    updated_at: Timestamp,
}

impl From<ScriptV1> for Script {
    /// Everybody saw all scripts, and could run them.
    fn from(old: ScriptV1) -> Self {
        Self {
            id: old.id,
            name: old.name,
            description: old.description,
            tags: old.tags,
            version: old.version,
            language: old.language,
            owner: old.owner,
            created_at: old.created_at,
            updated_at: old.updated_at,
            status: Status::Active,
            visibility: Visibility::Public,
            forked_from: None,
        }
    }
}

/// Version 1 of the record of a script that was deleted.
#[derive(Serialize, Deserialize)]
pub(crate) struct DeletedV1 {
    script: ScriptV1,
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    at: Timestamp,
}

impl From<DeletedV1> for Deleted {
    fn from(old: DeletedV1) -> Self {
        Self { script: old.script.into(), at: old.at, by: String::new() }
    }
}

/// Version 1 of the record of a version.
#[derive(Serialize, Deserialize)]
pub(crate) struct VersionV1 {
    script: ScriptId,
    number: u32,
    language: Language,
    source: String,
    parameters_schema: Option<String>,
    limits: LimitsRequest,
    author: String,
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    created_at: Timestamp,
}

impl From<VersionV1> for VersionV2 {
    fn from(old: VersionV1) -> Self {
        Self {
            script: old.script,
            number: old.number,
            language: old.language,
            source: old.source,
            parameters_schema: old.parameters_schema,
            limits: old.limits,
            author: old.author,
            created_at: old.created_at,
            dispatch: DispatchRules::default(),
        }
    }
}

/// Version 2 of the record of a version.
#[derive(Serialize, Deserialize)]
pub(crate) struct VersionV2 {
    script: ScriptId,
    number: u32,
    language: Language,
    source: String,
    parameters_schema: Option<String>,
    limits: LimitsRequest,
    author: String,
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    created_at: Timestamp,
    dispatch: DispatchRules,
}

impl From<VersionV2> for Version {
    fn from(old: VersionV2) -> Self {
        let mut version = Self {
            script: old.script,
            number: old.number,
            language: old.language,
            source: old.source,
            parameters_schema: old.parameters_schema,
            limits: old.limits,
            author: old.author,
            created_at: old.created_at,
            dispatch: old.dispatch,
            message: String::new(),
            content: Content::default(),
        };
        version.content = Content::of(&version);
        version
    }
}
