//! Scripts: source text in a language, with versions that never change.

mod language;
mod older;
mod schema;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    language::{Language, UnknownLanguage},
    schema::SCHEMA_MAX,
};
pub(crate) use self::{older::VersionV1, schema::Schema};
use crate::{
    Automa, Error, Result,
    actor::{Actor, Permission},
    audit::{Action, Entry},
    blocking,
    error::FieldError,
    event::Event,
    execution::{DispatchRules, LimitsRequest},
    id::{ScriptId, UserId},
    page::{Page, PageRequest},
    store::{
        self,
        change::{Change, View},
    },
};

/// Most bytes of a source: 1 MiB.
pub const SOURCE_MAX: usize = 1 << 20;

/// A script: what is the same for all its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// Its id.
    pub id: ScriptId,
    /// Its name, 1 to 200 characters.
    pub name: String,
    /// What it is for, at most 4,000 characters.
    pub description: String,
    /// Words to find it by: at most 20 of 1 to 50 characters each.
    pub tags: Vec<String>,
    /// The number of its newest version, from 1.
    pub version: u32,
    /// The language of its newest version.
    pub language: Language,
    /// Whose it is, unless the embedding program created it.
    pub owner: Option<UserId>,
    /// When it was created.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub updated_at: Timestamp,
}

/// A script that was deleted, with the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deleted {
    pub(crate) script: Script,
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub(crate) at: Timestamp,
}

/// One immutable state of a script's source and settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// The script.
    pub script: ScriptId,
    /// Its number, from 1 without gaps.
    pub number: u32,
    /// The language of the source.
    pub language: Language,
    /// The source, at most 1 MiB.
    pub source: String,
    /// The JSON Schema of its parameters as text, at most 64 KiB; without one, anything goes.
    pub parameters_schema: Option<String>,
    /// What its executions may use, unless they ask for something else.
    pub limits: LimitsRequest,
    /// Who wrote it, as named at that time.
    pub author: String,
    /// When.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub created_at: Timestamp,
    /// When its executions have their turns, unless they ask for something else.
    pub dispatch: DispatchRules,
}

/// A script to be created.
#[derive(Debug, Clone, PartialEq)]
pub struct NewScript {
    /// See [`Script::name`].
    pub name: String,
    /// See [`Script::description`].
    pub description: String,
    /// See [`Script::tags`].
    pub tags: Vec<String>,
    /// See [`Version::language`].
    pub language: Language,
    /// See [`Version::source`].
    pub source: String,
    /// See [`Version::parameters_schema`]. It has `"type": "object"` and refers to nothing outside
    /// of itself; patterns in it have no look-around and no back references.
    pub parameters_schema: Option<String>,
    /// See [`Version::limits`].
    pub limits: LimitsRequest,
    /// See [`Version::dispatch`].
    pub dispatch: DispatchRules,
}

impl NewScript {
    /// A script with nothing but a name and a source.
    pub fn new(name: impl Into<String>, language: Language, source: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: String::new(),
            tags: Vec::new(),
            language,
            source: source.into(),
            parameters_schema: None,
            limits: LimitsRequest::default(),
            dispatch: DispatchRules::default(),
        }
    }

    /// The same, found right. A schema is compiled for it, which may take a while.
    async fn checked(self) -> Result<Self> {
        blocking::run(move || self.check().map(|()| self)).await
    }

    fn check(&self) -> Result<()> {
        let mut errors = Vec::new();
        let mut check = |field, holds: bool, reason| {
            if !holds {
                errors.push(FieldError::new(field, reason));
            }
        };
        check("name", is_line(&self.name, 200), "must be one line of 1 to 200 characters");
        let described = self.description.chars().count() <= 4000;
        check("description", described, "must have at most 4000 characters");
        let tagged = self.tags.len() <= 20 && self.tags.iter().all(|tag| is_line(tag, 50));
        check("tags", tagged, "must be at most 20, each one line of 1 to 50 characters");
        check("source", self.source.len() <= SOURCE_MAX, "must have at most 1 MiB");
        errors.extend(self.parameters_schema.as_deref().and_then(|json| Schema::parse(json).err()));
        self.limits.check(&mut errors);
        self.dispatch.check(&mut errors);
        FieldError::none_of(errors)
    }

    /// What is in it of a version, as one.
    fn version(self, id: ScriptId, number: u32, author: String, created_at: Timestamp) -> Version {
        let Self { language, source, parameters_schema, limits, dispatch, .. } = self;
        Version {
            script: id,
            number,
            language,
            source,
            parameters_schema,
            limits,
            author,
            created_at,
            dispatch,
        }
    }

    /// Whether it says of a version what that is already.
    fn is_as(&self, version: &Version) -> bool {
        (self.language, &self.source, &self.parameters_schema, self.limits, &self.dispatch)
            == (
                version.language,
                &version.source,
                &version.parameters_schema,
                version.limits,
                &version.dispatch,
            )
    }
}

/// Text that shows as one line, of 1 to `most` characters.
fn is_line(text: &str, most: usize) -> bool {
    let visible = !text.trim().is_empty() && !text.chars().any(char::is_control);
    visible && text.chars().count() <= most
}

/// Scripts as one actor may use them.
#[derive(Debug, Clone, Copy)]
pub struct Scripts<'a> {
    automa: &'a Automa,
    actor: &'a Actor,
}

impl<'a> Scripts<'a> {
    pub(crate) fn new(automa: &'a Automa, actor: &'a Actor) -> Self {
        Self { automa, actor }
    }

    /// Creates a script with its first version.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::Invalid`], and the store's.
    pub async fn create(&self, new: NewScript) -> Result<Script> {
        self.actor.require(Permission::WriteScripts)?;
        let new = new.checked().await?;
        let clock = &*self.automa.clock;
        let now = clock.now();
        let script = Script {
            id: ScriptId::generate(clock),
            name: new.name.clone(),
            description: new.description.clone(),
            tags: new.tags.clone(),
            version: 1,
            language: new.language,
            owner: self.actor.user,
            created_at: now,
            updated_at: now,
        };
        let version = new.version(script.id, 1, self.actor.name.clone(), now);
        let entry = Entry::new(clock, self.actor, Action::ScriptCreated(script.id));
        let change = move |change: &mut Change| {
            store::scripts::put(change, &script)?;
            store::scripts::add_version(change, &version)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::ScriptChanged(script.id));
            Ok(script.clone())
        };
        self.automa.store.write(change).await
    }

    /// Changes a script. A language, source, schema, limits or turns other than the newest version's
    /// make a new version.
    ///
    /// `read` is the version that the caller has seen: nobody overwrites what they have not read.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::Invalid`], [`Error::NotFound`]; [`Error::Conflict`] when
    /// `read` is not the newest version; and the store's.
    pub async fn update(&self, id: ScriptId, read: u32, new: NewScript) -> Result<Script> {
        self.actor.require(Permission::WriteScripts)?;
        let new = new.checked().await?;
        let clock = &*self.automa.clock;
        let now = clock.now();
        let author = self.actor.name.clone();
        let changed = Entry::new(clock, self.actor, Action::ScriptChanged(id));
        let change = move |change: &mut Change| {
            let old = find(change, id)?;
            if old.version != read {
                return Err(Error::Conflict { kind: "script", current: old.version });
            }
            let newest = store::scripts::version(change, id, old.version)?
                .ok_or_else(|| no_version(id, old.version))?;
            let mut script = Script {
                name: new.name.clone(),
                description: new.description.clone(),
                tags: new.tags.clone(),
                language: new.language,
                updated_at: now,
                ..old
            };
            let mut entry = changed.clone();
            if !new.is_as(&newest) {
                script.version += 1;
                entry.action = Action::ScriptVersionAdded(id, script.version);
                let version = new.clone().version(id, script.version, author.clone(), now);
                store::scripts::add_version(change, &version)?;
            }
            store::scripts::put(change, &script)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::ScriptChanged(id));
            Ok(script)
        };
        self.automa.store.write(change).await
    }

    /// Deletes a script: it is no longer found, listed or run. Its executions stay, with what they
    /// ran.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn delete(&self, id: ScriptId) -> Result<()> {
        self.actor.require(Permission::WriteScripts)?;
        let clock = &*self.automa.clock;
        let at = clock.now();
        let entry = Entry::new(clock, self.actor, Action::ScriptDeleted(id));
        let change = move |change: &mut Change| {
            let script = find(change, id)?;
            store::scripts::delete(change, &Deleted { script, at })?;
            store::audit::add(change, &entry)?;
            change.emit(Event::ScriptChanged(id));
            Ok(())
        };
        self.automa.store.write(change).await
    }

    /// One script.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub fn get(&self, id: ScriptId) -> Result<Script> {
        self.actor.require(Permission::ReadScripts)?;
        self.automa.store.look(|view| find(view, id))
    }

    /// Scripts, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] and the store's.
    pub async fn list(&self, page: PageRequest) -> Result<Page<Script>> {
        self.actor.require(Permission::ReadScripts)?;
        let list = move |view: &_| Ok(store::scripts::list(view, &page)?);
        self.automa.store.read(list).await
    }

    /// One version of a script.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn version(&self, id: ScriptId, number: u32) -> Result<Version> {
        self.actor.require(Permission::ReadScripts)?;
        let find = move |view: &_| Ok(find_version(view, id, Some(number))?.1);
        self.automa.store.read(find).await
    }

    /// A script's versions, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn versions(&self, id: ScriptId, page: PageRequest) -> Result<Page<Version>> {
        self.actor.require(Permission::ReadScripts)?;
        let list = move |view: &_| {
            find(view, id)?;
            Ok(store::scripts::versions(view, id, &page)?)
        };
        self.automa.store.read(list).await
    }
}

/// A script that was not deleted.
pub(crate) fn find(view: &impl View, id: ScriptId) -> Result<Script> {
    store::scripts::get(view, id)?.ok_or_else(|| not_found(id))
}

/// A script that was not deleted, with one of its versions, the newest unless told.
pub(crate) fn find_version(
    view: &impl View,
    id: ScriptId,
    number: Option<u32>,
) -> Result<(Script, Version)> {
    let script = find(view, id)?;
    let number = number.unwrap_or(script.version);
    let version = store::scripts::version(view, id, number)?;
    Ok((script, version.ok_or_else(|| no_version(id, number))?))
}

/// A version that something refers to, whether or not its script was deleted since.
pub(crate) fn kept_version(view: &impl View, id: ScriptId, number: u32) -> Result<Version> {
    store::scripts::version(view, id, number)?.ok_or_else(|| no_version(id, number))
}

fn not_found(id: ScriptId) -> Error {
    Error::NotFound { kind: "script", id: id.to_string() }
}

fn no_version(id: ScriptId, number: u32) -> Error {
    Error::NotFound { kind: "version", id: format!("{number} of script {id}") }
}

#[cfg(test)]
mod tests;
