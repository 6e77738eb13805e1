//! What scripts look like in the API.

use automa_core::{
    execution::DispatchRules,
    id::{ScriptId, UserId},
    page::Cursor,
    script::{self, Language, Place, Status, Visibility, danger},
};
use jiff::Timestamp;
use poem_openapi::Object;
use serde::Serialize;
use serde_json::Value;

use crate::api::{
    dispatch::{Concurrency, Retry, priority},
    wire::{OneOf, Text},
};

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
pub(super) struct NewScript {
    /// One line of at most 200 characters.
    pub(super) name: String,
    pub(super) language: OneOf<Language>,
    /// At most 1 MiB.
    pub(super) source: String,
    /// At most 4,000 characters.
    pub(super) description: Option<String>,
    /// At most 20.
    pub(super) tags: Option<Vec<String>>,
    /// A JSON Schema (2020-12) of its parameters.
    pub(super) parameters_schema: Option<Value>,
    pub(super) limits: Option<Limits>,
    /// -100 to 100: of what one user has waiting, the highest goes first; 0 unless told.
    pub(super) priority: Option<i32>,
    pub(super) concurrency: Option<Concurrency>,
    pub(super) retry: Option<Retry>,
    /// What it is good for: only `active` ones run unattended. A new one is `active` unless told; a
    /// change leaves it as it is.
    pub(super) status: Option<OneOf<Status>>,
    /// `private`: only its owner and admins see it. A new one is `public` unless told; a change
    /// leaves it as it is.
    pub(super) visibility: Option<OneOf<Visibility>>,
    /// What is new in this version: at most 500 characters.
    pub(super) message: Option<String>,
    /// Makes it `active` although its language cannot read it. Without, a new one of which no status
    /// is told becomes a `draft`, and everything else is refused.
    pub(super) force: Option<bool>,
    /// For a change: the version that was read. If there is a newer one, nothing is changed.
    pub(super) version: Option<u32>,
}

/// A script, with its newest version.
#[derive(Object)]
pub(super) struct Script {
    pub(super) id: Text<ScriptId>,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) tags: Vec<String>,
    pub(super) language: OneOf<Language>,
    /// Not in lists.
    #[oai(skip_serializing_if_is_none)]
    pub(super) source: Option<String>,
    /// Not in lists.
    #[oai(skip_serializing_if_is_none)]
    pub(super) parameters_schema: Option<Value>,
    /// Not in lists.
    #[oai(skip_serializing_if_is_none)]
    pub(super) limits: Option<Limits>,
    /// Not in lists.
    #[oai(skip_serializing_if_is_none)]
    pub(super) priority: Option<i32>,
    /// Not in lists.
    #[oai(skip_serializing_if_is_none)]
    pub(super) concurrency: Option<Concurrency>,
    /// Not in lists.
    #[oai(skip_serializing_if_is_none)]
    pub(super) retry: Option<Retry>,
    /// The number of its newest version.
    pub(super) version: u32,
    pub(super) status: OneOf<Status>,
    pub(super) visibility: OneOf<Visibility>,
    /// What it began as a copy of.
    #[oai(skip_serializing_if_is_none)]
    pub(super) forked_from: Option<ForkedFrom>,
    /// Of a draft: what its language cannot read in its source.
    #[oai(skip_serializing_if_is_none)]
    pub(super) problems: Option<Vec<SyntaxProblem>>,
    /// What in its source would do harm outside of a sandbox. Not in lists.
    #[oai(skip_serializing_if_is_none)]
    pub(super) warnings: Option<Vec<Warning>>,
    /// In lists with `q`: where that was found.
    #[oai(rename = "match", skip_serializing_if_is_none)]
    pub(super) hit: Option<Hit>,
    /// The user who created it.
    pub(super) owner: Option<Text<UserId>>,
    pub(super) created_at: Text<Timestamp>,
    pub(super) updated_at: Text<Timestamp>,
}

/// A version of another script.
#[derive(Object)]
#[oai(rename = "ForkedFrom")]
pub(super) struct ForkedFrom {
    pub(super) script_id: Text<ScriptId>,
    pub(super) version: u32,
}

/// Where something that was looked for is.
#[derive(Object)]
#[oai(rename = "Match")]
pub(super) struct Hit {
    /// The part of the script; of several, the one that counts most.
    #[oai(rename = "in")]
    pub(super) place: OneOf<Place>,
    /// The line of that, from 1.
    pub(super) line: u32,
    /// What is around it.
    pub(super) text: String,
}

/// A copy to be made.
#[derive(Object)]
pub(super) struct Fork {
    /// The version to copy, the newest unless told.
    pub(super) version: Option<u32>,
}

/// What a script is good for.
#[derive(Object)]
pub(super) struct NewStatus {
    pub(super) status: OneOf<Status>,
    /// Makes it `active` although its language cannot read it.
    pub(super) force: Option<bool>,
}

/// A version to go back to.
#[derive(Object)]
pub(super) struct Rollback {
    /// Its number.
    pub(super) to: u32,
    /// The version that was read. If there is a newer one, nothing is changed.
    pub(super) version: Option<u32>,
}

/// Something in a source that its language cannot read.
#[derive(Object)]
pub(super) struct SyntaxProblem {
    /// The line, from 1.
    pub(super) line: u32,
    /// The character in the line, from 1.
    pub(super) column: Option<u32>,
    /// What is wrong, in the words of the language.
    pub(super) message: String,
}

/// A script to begin with.
#[derive(Object)]
#[oai(rename = "Starter")]
pub(super) struct Starter {
    /// Its name in addresses.
    pub(super) id: String,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) tags: Vec<String>,
    pub(super) language: OneOf<Language>,
    pub(super) source: String,
    pub(super) parameters_schema: Option<Value>,
}

/// Scripts to begin with.
#[derive(Object)]
pub(super) struct Starters {
    pub(super) items: Vec<Starter>,
}

/// Something in a source that would do harm outside of a sandbox.
#[derive(Object)]
#[oai(rename = "Warning")]
pub(super) struct Warning {
    /// The line, from 1.
    pub(super) line: u32,
    pub(super) message: String,
}

/// What is different between two versions.
#[derive(Object)]
#[oai(rename = "ScriptDiff")]
pub(super) struct Diff {
    pub(super) from: u32,
    pub(super) to: u32,
    /// Whether they do the same.
    pub(super) is_same: bool,
    /// Lines that only the second has.
    pub(super) added: u64,
    /// Lines that only the first has.
    pub(super) removed: u64,
    /// Lines that are different and three around them; at most 5,000 lines in all.
    pub(super) hunks: Vec<Vec<DiffLine>>,
    /// Lines that are left out, as there are too many.
    pub(super) omitted: u64,
    /// What else is different.
    pub(super) settings: Vec<Setting>,
}

/// A line of either source, or both.
#[derive(Object)]
#[oai(rename = "DiffLine")]
pub(super) struct DiffLine {
    /// Its number in the first; none if it was added.
    pub(super) old: Option<u64>,
    /// Its number in the second; none if it was removed.
    pub(super) new: Option<u64>,
    pub(super) text: String,
}

/// A setting that is different.
#[derive(Object)]
#[oai(rename = "SettingChange")]
pub(super) struct Setting {
    /// Such as `limits.wall_ms` or `parameters_schema.properties.days.default`.
    pub(super) name: String,
    /// As JSON; none if it was not set.
    pub(super) before: Option<String>,
    /// As JSON; none if it is not set.
    pub(super) after: Option<String>,
}

/// A script that was deleted.
#[derive(Object)]
#[oai(rename = "DeletedScript")]
pub(super) struct Trashed {
    pub(super) id: Text<ScriptId>,
    pub(super) name: String,
    pub(super) version: u32,
    pub(super) deleted_at: Text<Timestamp>,
    /// Empty if that is not known.
    pub(super) deleted_by: String,
    /// When it is removed for good.
    pub(super) purged_at: Text<Timestamp>,
}

/// Scripts that were deleted, last deleted first.
#[derive(Object)]
pub(super) struct DeletedScripts {
    pub(super) items: Vec<Trashed>,
}

/// One version of a script, which never changes.
#[derive(Object)]
#[expect(clippy::struct_field_names, reason = "`version` is its name in the API")]
pub(super) struct Version {
    pub(super) script_id: Text<ScriptId>,
    pub(super) version: u32,
    pub(super) language: OneOf<Language>,
    pub(super) source: String,
    pub(super) parameters_schema: Option<Value>,
    pub(super) limits: Limits,
    /// Of what one user has waiting, the highest goes first.
    pub(super) priority: i32,
    /// None for as many as there are slots.
    pub(super) concurrency: Option<Concurrency>,
    /// None for no retry.
    pub(super) retry: Option<Retry>,
    /// Who wrote it.
    pub(super) author: String,
    /// What its author says about it.
    pub(super) message: String,
    /// The SHA-256 of what it does, in hexadecimal: language, source, schema, and the rules for its
    /// executions.
    pub(super) content_sha256: String,
    pub(super) created_at: Text<Timestamp>,
}

/// Scripts.
#[derive(Object)]
pub(super) struct ScriptPage {
    pub(super) items: Vec<Script>,
    /// Where the next page continues; none on the last.
    pub(super) next_cursor: Option<Text<Cursor>>,
}

/// Versions, newest first.
#[derive(Object)]
pub(super) struct VersionPage {
    pub(super) items: Vec<Version>,
    /// Where the next page continues; none on the last.
    pub(super) next_cursor: Option<Text<Cursor>>,
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
            status: new.status.map(|status| status.0),
            visibility: new.visibility.map(|visibility| visibility.0),
            message: new.message.unwrap_or_default(),
            force: new.force.unwrap_or_default(),
        }
    }
}

impl Script {
    pub(super) fn new(script: script::Script, version: Option<script::Version>) -> Self {
        let warnings = version.as_ref().map(|version| {
            let found = danger::warnings(version.language, &version.source).into_iter();
            found.map(|it| Warning { line: it.line, message: it.message.to_owned() }).collect()
        });
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
            status: OneOf(script.status),
            visibility: OneOf(script.visibility),
            forked_from: script
                .forked_from
                .map(|(id, version)| ForkedFrom { script_id: Text(id), version }),
            problems: None,
            warnings,
            hit: None,
            owner: script.owner.map(Text),
            created_at: Text(script.created_at),
            updated_at: Text(script.updated_at),
        }
    }
}

impl Script {
    /// The same with what its language cannot read.
    pub(super) fn checked(self, problems: &[script::Problem]) -> Self {
        let problem = |it: &script::Problem| SyntaxProblem {
            line: it.line,
            column: it.column,
            message: it.message.clone(),
        };
        Self { problems: Some(problems.iter().map(problem).collect()), ..self }
    }
}

impl From<script::Starter> for Starter {
    fn from(starter: script::Starter) -> Self {
        Self {
            id: starter.id.to_owned(),
            title: starter.title,
            description: starter.description,
            tags: starter.tags,
            language: OneOf(starter.language),
            source: starter.source.to_owned(),
            parameters_schema: serde_json::from_str(&starter.parameters_schema).ok(),
        }
    }
}

impl From<script::Found> for Script {
    fn from(found: script::Found) -> Self {
        let hit =
            found.hit.map(|hit| Hit { place: OneOf(hit.place), line: hit.line, text: hit.text });
        Self { hit, ..Self::new(found.script, None) }
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
            message: version.message,
            content_sha256: version.content.to_string(),
            created_at: Text(version.created_at),
        }
    }
}

impl From<script::Diff> for Diff {
    fn from(diff: script::Diff) -> Self {
        let line = |line: script::DiffLine| DiffLine {
            old: line.old.map(|number| number as u64),
            new: line.new.map(|number| number as u64),
            text: line.text,
        };
        let hunk = |hunk: Vec<_>| hunk.into_iter().map(line).collect();
        let setting =
            |it: script::Setting| Setting { name: it.name, before: it.before, after: it.after };
        Self {
            from: diff.from,
            to: diff.to,
            is_same: diff.is_same,
            added: diff.added as u64,
            removed: diff.removed as u64,
            hunks: diff.hunks.into_iter().map(hunk).collect(),
            omitted: diff.omitted as u64,
            settings: diff.settings.into_iter().map(setting).collect(),
        }
    }
}

impl From<script::Deleted> for Trashed {
    fn from(deleted: script::Deleted) -> Self {
        Self {
            purged_at: Text(deleted.purged_at()),
            id: Text(deleted.script.id),
            name: deleted.script.name,
            version: deleted.script.version,
            deleted_at: Text(deleted.at),
            deleted_by: deleted.by,
        }
    }
}
