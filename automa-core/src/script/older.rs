//! Versions of scripts as earlier versions of Automa stored them. What is here never changes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Language, Version};
use crate::{
    execution::{DispatchRules, LimitsRequest},
    id::ScriptId,
};

/// Version 1 of the record.
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

impl From<VersionV1> for Version {
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
