//! Lists of scripts, and finding them by what is in them.
//!
//! A search looks at every script of the store as it is at that moment, so that there is no index
//! that could be behind. What would take long is reading the sources: these are kept in memory in
//! lower case (`Library`), which is never out of date, because versions never change.

mod library;
mod terms;

use std::{cmp::Ordering, fmt, ops::ControlFlow, ops::Range, str::FromStr};

use redb::Value;

pub(crate) use self::library::Library;
use self::terms::{Terms, Weight};
use super::{Language, Script, Scripts, Sight, Status};
use crate::{
    Error, Result,
    actor::Permission,
    error::{FieldError, StoreError},
    id::{ScriptId, UserId},
    page::{Cursor, InvalidCursor, Page, PageRequest},
    store::{self, change::Snapshot},
};

/// Most characters of what is looked for.
const TEXT_MAX: usize = 200;
/// Most bytes of a name that decide about its place in a list; what is the same up to there is
/// listed by age.
const NAME_PART: usize = 120;

/// Which scripts, in which order. The default is all of them, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// Words of which each is in the name, the description, a tag, or the newest version's source,
    /// whatever their case; at most 200 characters, of which the first 8 words count.
    pub text: String,
    /// In this language.
    pub language: Option<Language>,
    /// Of this status.
    pub status: Option<Status>,
    /// With this tag, whatever its case.
    pub tag: Option<String>,
    /// Of this user.
    pub owner: Option<UserId>,
    /// In this order; unless told, best matches first where there is text, else newest first.
    pub sort: Option<Sort>,
}

/// An order of scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sort {
    /// Where what is looked for is in the name, then in a tag, in the description, in the source.
    /// Among equals the last changed first.
    Relevance,
    /// The last created first.
    Created,
    /// The last changed first.
    Updated,
    /// By name, from A to Z.
    Name,
}

/// There is no order of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no order `{0}`; scripts are sorted by relevance, created, updated or name")]
pub struct UnknownSort(String);

/// A script that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The script.
    pub script: Script,
    /// Where what was looked for is in it; `None` if nothing was.
    pub hit: Option<Hit>,
}

/// Where something that was looked for is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// In which part of the script: of several, the one that counts most.
    pub place: Place,
    /// In which line of that, from 1.
    pub line: u32,
    /// What is around it, on one line, at most 160 characters.
    pub text: String,
    /// Where in `text` it is, in bytes.
    pub mark: Range<usize>,
}

/// A part of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Its name.
    Name,
    /// One of its tags.
    Tag,
    /// Its description.
    Description,
    /// The source of its newest version.
    Source,
}

impl Sort {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Relevance, Self::Created, Self::Updated, Self::Name];

    /// Its name in the API and in addresses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Relevance => "relevance",
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Name => "name",
        }
    }
}

impl FromStr for Sort {
    type Err = UnknownSort;

    fn from_str(name: &str) -> Result<Self, UnknownSort> {
        let found = Self::ALL.into_iter().find(|sort| sort.name() == name);
        found.ok_or_else(|| UnknownSort(name.to_owned()))
    }
}

impl Place {
    /// All there are, from what counts most.
    pub const ALL: [Self; 4] = [Self::Name, Self::Tag, Self::Description, Self::Source];

    /// Its name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Tag => "tag",
            Self::Description => "description",
            Self::Source => "source",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Scripts<'_> {
    /// Scripts that a search finds, of those that the actor sees.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`]; [`Error::Invalid`] for a text that is too long; and the store's.
    pub async fn search(&self, search: Search, page: PageRequest) -> Result<Page<Found>> {
        self.actor.require(Permission::ReadScripts)?;
        if search.text.chars().count() > TEXT_MAX {
            let reason = format!("must have at most {TEXT_MAX} characters");
            return Err(Error::Invalid(vec![FieldError::new("q", reason)]));
        }
        let (library, sight) = (self.automa.library.clone(), self.sight());
        let find = move |view: &Snapshot| {
            let terms = Terms::new(&search.text);
            let sort = match search.sort {
                Some(Sort::Relevance) | None if terms.is_empty() => Sort::Created,
                sort => sort.unwrap_or(Sort::Relevance),
            };
            let list = List { search, terms, sort, sight, library: &library };
            list.page(view, &page)
        };
        self.automa.store.read(find).await
    }
}

/// One list that is asked for.
struct List<'a> {
    search: Search,
    terms: Terms,
    sort: Sort,
    sight: Sight,
    library: &'a Library,
}

/// A script with its place in a list: lower ones come first.
struct Row {
    key: Vec<u8>,
    script: Script,
}

impl List<'_> {
    fn page(&self, view: &Snapshot, request: &PageRequest) -> Result<Page<Found>> {
        let list = self.name();
        let after = request.cursor.as_ref().map(|cursor| cursor.key(&list)).transpose();
        let after = after.map_err(StoreError::from)?;
        let limit = request.limit.items();
        let mut rows = Vec::new();
        let newest_first = self.sort == Sort::Created;
        let before = match after {
            Some(key) if newest_first => Some(created_before(key)?),
            _ => None,
        };
        let mut sources = self.library.sources();
        store::scripts::each(view, before, |script| {
            let Some(weight) = self.weight(view, &script, &mut sources)? else {
                return Ok(ControlFlow::Continue(()));
            };
            let key = self.key(&script, weight);
            if after.is_none_or(|after| key[..] > *after) {
                rows.push(Row { key, script });
            }
            // They come in the order of the list, of which this is the end.
            let full = newest_first && rows.len() > limit;
            Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        drop(sources);
        rows.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|row| Cursor::new(&list, &row.key));
        let found = rows.into_iter().map(|row| self.found(view, row.script));
        Ok(Page { items: found.collect::<Result<_>>()?, next_cursor })
    }

    /// The list's name: cursors of another search do not belong to it.
    fn name(&self) -> String {
        let Search { language, status, tag, owner, .. } = &self.search;
        let sort = self.sort.name();
        format!("scripts {sort} {language:?} {status:?} {tag:?} {owner:?} {:?}", self.terms)
    }

    /// What a script counts for what is looked for; `None` if it is not one of those.
    fn weight(
        &self,
        view: &Snapshot,
        script: &Script,
        sources: &mut library::Sources<'_>,
    ) -> Result<Option<Weight>, StoreError> {
        let Search { language, status, tag, owner, .. } = &self.search;
        let asked = language.is_none_or(|language| script.language == language)
            && status.is_none_or(|status| script.status == status)
            && owner.is_none_or(|owner| script.owner == Some(owner))
            && tag.as_ref().is_none_or(|tag| has_tag(script, tag))
            && self.sight.sees(script);
        if !asked {
            return Ok(None);
        }
        self.terms.weigh(script, || sources.of(view, script))
    }

    /// Where in the list a script is, after all with lower keys.
    fn key(&self, script: &Script, weight: Weight) -> Vec<u8> {
        // Later times and ids first.
        let id = turned(ScriptId::as_bytes(&script.id));
        let micros = script.updated_at.as_microsecond();
        let updated = (!micros.cast_unsigned() ^ (1 << 63)).to_be_bytes();
        match self.sort {
            Sort::Created => id.to_vec(),
            Sort::Updated => [&updated[..], &id].concat(),
            Sort::Relevance => [&(!weight).to_be_bytes()[..], &updated, &id].concat(),
            Sort::Name => {
                let name = script.name.to_lowercase();
                let part = &name[..name.floor_char_boundary(NAME_PART)];
                // No name contains a NUL: a shorter one comes before those that begin with it.
                [part.as_bytes(), &[0], &id].concat()
            }
        }
    }

    fn found(&self, view: &Snapshot, script: Script) -> Result<Found> {
        let hit = self.terms.hit(&script, || {
            let version = store::scripts::version(view, script.id, script.version)?;
            Ok(version.map(|version| version.source).unwrap_or_default())
        })?;
        Ok(Found { script, hit })
    }
}

fn has_tag(script: &Script, tag: &str) -> bool {
    let tag = tag.to_lowercase();
    script.tags.iter().any(|it| it.to_lowercase().cmp(&tag) == Ordering::Equal)
}

/// The id that a key of the newest first was made of.
fn created_before(key: &[u8]) -> Result<ScriptId, StoreError> {
    let key: [u8; 16] = key.try_into().map_err(|_| InvalidCursor)?;
    Ok(ScriptId::from_bytes(&turned(key)))
}

/// What was in the order of ids, in the opposite one.
fn turned(id: [u8; 16]) -> [u8; 16] {
    id.map(|byte| !byte)
}

#[cfg(test)]
mod tests;
