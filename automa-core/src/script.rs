//! Scripts: source text in a language, with versions that never change.

mod check;
mod content;
pub mod danger;
mod diff;
mod fork;
mod language;
mod new;
mod older;
mod review;
mod schema;
mod search;
mod sight;
mod starter;
mod status;
mod trash;

use std::ops::ControlFlow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    check::Checks,
    new::is_line,
    older::{DeletedV1, ScriptV1, VersionV1, VersionV2},
    review::find_to_run,
    schema::{Schema, hide_secrets, secrets},
    search::Library,
    sight::Sight,
    trash::sweep,
};
pub use self::{
    check::Problem,
    content::{Content, InvalidContent},
    diff::{Diff, DiffLine, Setting},
    language::{Language, UnknownLanguage},
    new::NewScript,
    review::{Approval, Review, ReviewRules},
    schema::{SCHEMA_MAX, is_secret},
    search::{Found, Hit, Place, Search, Sort, UnknownSort},
    starter::Starter,
    status::{Status, UnknownStatus, UnknownVisibility, Visibility},
    trash::TRASH_DAYS,
};
use crate::{
    Automa, Error, Result,
    actor::{Actor, Permission},
    audit::{Action, Entry},
    error::FieldError,
    event::Event,
    execution::{DispatchRules, LimitsRequest},
    id::{ScriptId, UserId},
    page::{Page, PageRequest},
    quota,
    store::{
        self,
        change::{Change, Snapshot, View},
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
    /// What it is good for.
    pub status: Status,
    /// Who sees it.
    pub visibility: Visibility,
    /// The script and version that it began as a copy of.
    pub forked_from: Option<(ScriptId, u32)>,
}

/// A script that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// What it was.
    pub script: Script,
    /// When.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub at: Timestamp,
    /// Who did, as named at that time; empty if an older version of Automa did not note it.
    pub by: String,
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
    /// What its author says about it, at most 500 characters.
    pub message: String,
    /// The hash of what it does.
    pub content: Content,
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
    /// [`Error::Forbidden`], [`Error::Invalid`], [`Error::QuotaExceeded`], and the store's.
    pub async fn create(&self, new: NewScript) -> Result<Script> {
        self.actor.require(Permission::WriteScripts)?;
        let new = new.checked().await?;
        let clock = &*self.automa.clock;
        let (id, now) = (ScriptId::generate(clock), clock.now());
        let version = new.clone().version(id, 1, self.actor.name.clone(), now);
        let status = new.status_after(None, &self.problems(&version).await)?;
        let script = Script {
            id,
            name: new.name.clone(),
            description: new.description.clone(),
            tags: new.tags.clone(),
            version: 1,
            language: new.language,
            owner: self.actor.user,
            created_at: now,
            updated_at: now,
            status,
            visibility: new.visibility.unwrap_or(Visibility::Public),
            forked_from: None,
        };
        self.add(script, version).await
    }

    /// Adds a script with its first version.
    async fn add(&self, script: Script, version: Version) -> Result<Script> {
        let action = Action::ScriptCreated(script.id);
        let entry = Entry::new(&*self.automa.clock, self.actor, action);
        let change = move |change: &mut Change| {
            quota::check_scripts(change, script.owner)?;
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
        let (author, sight) = (self.actor.name.clone(), self.sight());
        let problems = self.problems(&new.clone().version(id, 0, author.clone(), now)).await;
        let changed = Entry::new(clock, self.actor, Action::ScriptChanged(id));
        let change = move |change: &mut Change| {
            let (old, newest) = diff::find_to_change(change, &sight, id, read)?;
            let visibility = new.visibility.unwrap_or(old.visibility);
            if visibility != old.visibility && !sight.owns(&old) {
                let reason = "is for its owner and admins to change";
                return Err(Error::Invalid(vec![FieldError::new("visibility", reason)]));
            }
            let is_same = new.is_as(&newest);
            // Whoever forced it once need not force it again to rename it.
            let is_settled = is_same && old.status == Status::Active;
            let found = if is_settled { &[][..] } else { &problems };
            let status = new.status_after(Some(old.status), found)?;
            let mut script = Script {
                name: new.name.clone(),
                description: new.description.clone(),
                tags: new.tags.clone(),
                language: new.language,
                updated_at: now,
                status,
                visibility,
                ..old
            };
            let mut entry = changed.clone();
            if !is_same {
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

    /// Says what a script is good for. One that its language cannot read becomes active only with
    /// `force`.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], [`Error::Invalid`], and the store's.
    pub async fn set_status(&self, id: ScriptId, status: Status, force: bool) -> Result<Script> {
        self.actor.require(Permission::WriteScripts)?;
        if status == Status::Active && !force {
            let newest = self.get(id)?.version;
            new::check_active(&self.check(id, newest).await?)?;
        }
        let (clock, sight) = (&*self.automa.clock, self.sight());
        let now = clock.now();
        let entry = Entry::new(clock, self.actor, Action::ScriptStatusChanged(id, status));
        let change = move |change: &mut Change| {
            let old = find_seen(change, &sight, id)?;
            if old.status == status {
                return Ok(old);
            }
            let script = Script { status, updated_at: now, ..old };
            store::scripts::put(change, &script)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::ScriptChanged(id));
            Ok(script)
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
        self.automa.store.look(|view| find_seen(view, &self.sight(), id))
    }

    /// The only script of this name.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`]; [`Error::NotFound`]; [`Error::Invalid`] when several have the name; and the
    /// store's.
    pub async fn named(&self, name: &str) -> Result<Script> {
        self.actor.require(Permission::ReadScripts)?;
        let (sight, name) = (self.sight(), name.to_owned());
        let find = move |view: &Snapshot| {
            let mut found = Vec::new();
            store::scripts::each(view, None, |script| {
                if script.name == name && sight.sees(&script) {
                    found.push(script);
                }
                Ok(if found.len() < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
            if found.len() > 1 {
                let reason = format!("several scripts are called `{name}`: tell the id of one");
                return Err(Error::Invalid(vec![FieldError::new("script", reason)]));
            }
            found.pop().ok_or_else(|| Error::NotFound { kind: "script", id: name.clone() })
        };
        self.automa.store.read(find).await
    }

    /// Scripts, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] and the store's.
    pub async fn list(&self, page: PageRequest) -> Result<Page<Script>> {
        Ok(self.search(Search::default(), page).await?.map(|found| found.script))
    }

    /// One version of a script.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn version(&self, id: ScriptId, number: u32) -> Result<Version> {
        self.actor.require(Permission::ReadScripts)?;
        let sight = self.sight();
        let find = move |view: &_| Ok(find_version(view, &sight, id, Some(number))?.1);
        self.automa.store.read(find).await
    }

    /// A script's versions, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn versions(&self, id: ScriptId, page: PageRequest) -> Result<Page<Version>> {
        self.actor.require(Permission::ReadScripts)?;
        let sight = self.sight();
        let list = move |view: &_| {
            find_seen(view, &sight, id)?;
            Ok(store::scripts::versions(view, id, &page)?)
        };
        self.automa.store.read(list).await
    }

    /// Whose private scripts there are for the actor.
    fn sight(&self) -> Sight {
        Sight::of(self.actor)
    }
}

/// A script that was not deleted, whoever may see it.
pub(crate) fn find(view: &impl View, id: ScriptId) -> Result<Script> {
    store::scripts::get(view, id)?.ok_or_else(|| not_found(id))
}

/// A script that was not deleted and is there for whoever looks.
pub(crate) fn find_seen(view: &impl View, sight: &Sight, id: ScriptId) -> Result<Script> {
    let script = store::scripts::get(view, id)?.filter(|script| sight.sees(script));
    script.ok_or_else(|| not_found(id))
}

/// A script that is there for whoever looks, with one of its versions, the newest unless told.
pub(crate) fn find_version(
    view: &impl View,
    sight: &Sight,
    id: ScriptId,
    number: Option<u32>,
) -> Result<(Script, Version)> {
    with_version(view, find_seen(view, sight, id)?, number)
}

/// A script that may run unattended, with what of it would: the version that is told, or the
/// newest; where versions have to be approved, the newest that was. That whoever asked for it sees the script is for the caller to check
/// ([`find_seen`]).
///
/// # Errors
///
/// [`Error::NotFound`]; [`Error::NotActive`]; [`Error::NotApproved`]; and the store's.
pub(crate) fn find_for_schedule(
    view: &impl View,
    id: ScriptId,
    version: Option<u32>,
) -> Result<(Script, Version)> {
    let script = find(view, id)?;
    if script.status != Status::Active {
        return Err(Error::NotActive { name: script.name, status: script.status });
    }
    review::to_run_active(view, script, version)
}

fn with_version(
    view: &impl View,
    script: Script,
    number: Option<u32>,
) -> Result<(Script, Version)> {
    let id = script.id;
    let number = number.unwrap_or(script.version);
    let version = store::scripts::version(view, id, number)?;
    Ok((script, version.ok_or_else(|| no_version(id, number))?))
}

/// Whether a script, also one that was deleted, is not for whoever looks.
pub(crate) fn is_hidden(view: &impl View, sight: &Sight, id: ScriptId) -> Result<bool> {
    let script = store::scripts::get(view, id)?;
    let deleted = || Ok::<_, Error>(store::scripts::get_deleted(view, id)?.map(|it| it.script));
    let script = if script.is_some() { script } else { deleted()? };
    Ok(script.is_some_and(|script| !sight.sees(&script)))
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
