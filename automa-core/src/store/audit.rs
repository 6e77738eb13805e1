//! Tables `audit`: `audit id -> entry`, in the order in which things were asked for; `audit_by`:
//! `(facet, audit id)`, by which entries are found; `audit_chain`: `number -> id and hash`, in the order
//! in which changes were made; `audit_checkpoints`: `number -> checkpoint`.

mod find;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

use jiff::Timestamp;
use redb::WriteTransaction;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    change::{Change, Snapshot, View},
    migrate::Tables,
    record::{self, Record},
    table::{Index, Table},
};
use crate::{
    audit::{
        ACTORS, Action, Broken, COUNTED, Checkpoint, Days, Entry, EntryV1, Filter, Hash, Outcome,
        PublicKey, Sealed, Statistics, Verdict, Walk,
    },
    error::StoreError,
    id::AuditId,
    page::{Page, PageRequest},
};

const AUDIT: Table<AuditId, Entry> = Table::new();
const BY: Index<(Facet, AuditId)> = Index::new("audit_by");
const CHAIN: Table<u64, Link> = Table::new();
const CHECKPOINTS: Table<u64, Checkpoint> = Table::new();

/// Where an entry is in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) id: AuditId,
    pub(crate) hash: Hash,
}

impl Record for Entry {
    const TABLE: &'static str = "audit";
    const VERSION: u8 = 2;

    fn upgrade(version: u8, body: &[u8]) -> Result<Self, StoreError> {
        match version {
            1 => Ok(record::read::<EntryV1>(Self::TABLE, version, body)?.into()),
            version => Err(StoreError::UnknownVersion { table: Self::TABLE, version }),
        }
    }
}

impl Record for Link {
    const TABLE: &'static str = "audit_chain";
    const VERSION: u8 = 1;
}

impl Record for Checkpoint {
    const TABLE: &'static str = "audit_checkpoints";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    AUDIT.create(tables)?;
    BY.create(tables)?;
    CHAIN.create(tables)?;
    CHECKPOINTS.create(tables)
}

/// From format 3 to 4: chains what there is, and finds it by what it is about.
pub(super) fn chain_entries(txn: &WriteTransaction) -> Result<(), StoreError> {
    let (mut by, mut chain) = (BY.open_in(txn)?, CHAIN.open_in(txn)?);
    let (mut number, mut hash) = (0, Hash::default());
    AUDIT.rewrite(txn, |id, entry| {
        number += 1;
        let entry = Entry { number, ..entry };
        hash = hash.next(&entry.encode()?);
        chain.insert(number, Link { id, hash }.encode()?.as_slice())?;
        for facet in facets(&entry) {
            by.insert((facet, id), ())?;
        }
        Ok(entry)
    })
}

/// Adds an entry to the change that it tells of.
pub(crate) fn add(change: &mut Change, entry: &Entry) -> Result<(), StoreError> {
    let (number, before) = head(change)?;
    let entry = Entry { number: number.saturating_add(1), ..entry.clone() };
    let hash = before.next(&entry.encode()?);
    AUDIT.insert(change, entry.id, &entry)?;
    CHAIN.put(change, entry.number, &Link { id: entry.id, hash })?;
    facets(&entry).into_iter().try_for_each(|facet| BY.insert(change, (facet, entry.id)))
}

/// The number and the hash of the last entry of the chain.
pub(crate) fn head(view: &impl View) -> Result<(u64, Hash), StoreError> {
    if let Some((number, link)) = CHAIN.newest(view, .., 1)?.pop() {
        return Ok((number, link.hash));
    }
    // All of it was removed, but for what stands for it.
    let base = newest_checkpoint(view)?;
    Ok(base.map_or((0, Hash::default()), |base| (base.number, base.hash)))
}

/// The newest checkpoint.
pub(crate) fn newest_checkpoint(view: &impl View) -> Result<Option<Checkpoint>, StoreError> {
    Ok(CHECKPOINTS.newest(view, .., 1)?.pop().map(|(_, checkpoint)| checkpoint))
}

/// Keeps a checkpoint.
pub(crate) fn put_checkpoint(change: &mut Change, it: &Checkpoint) -> Result<(), StoreError> {
    CHECKPOINTS.put(change, it.number, it)
}

/// Removes entries from the beginning of the chain that were written before a time, at most `most`.
/// Tells the number and the hash of the last, and how many they are; `None` if there was none.
pub(crate) fn prune(
    change: &mut Change,
    before: Timestamp,
    most: usize,
) -> Result<Option<(u64, Hash, u64)>, StoreError> {
    let end = AuditId::first_at(before);
    let mut pruned = None;
    let oldest = CHAIN.oldest(change, .., most)?;
    for (count, (number, link)) in (1..).zip(oldest.into_iter().take_while(|it| it.1.id < end)) {
        if let Some(entry) = AUDIT.get(change, link.id)? {
            facets(&entry).into_iter().try_for_each(|it| BY.remove(change, (it, link.id)))?;
            AUDIT.remove(change, link.id)?;
        }
        CHAIN.remove(change, number)?;
        pruned = Some((number, link.hash, count));
    }
    Ok(pruned)
}

/// Has a checkpoint stand for everything up to it, which is gone.
pub(crate) fn begin_at(change: &mut Change, base: &Checkpoint) -> Result<(), StoreError> {
    for (number, _) in CHECKPOINTS.oldest(change, ..base.number, usize::MAX)? {
        CHECKPOINTS.remove(change, number)?;
    }
    put_checkpoint(change, base)
}

/// Entries that a filter lets through, newest first.
pub(crate) fn list(
    view: &Snapshot,
    filter: &Filter,
    page: &PageRequest,
) -> Result<Page<Entry>, StoreError> {
    find::Search::new(view, filter)?.page(page)
}

/// How much happened within a time.
pub(crate) fn statistics(
    view: &Snapshot,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<Statistics, StoreError> {
    let from = from.map_or(AuditId::MIN, AuditId::first_at);
    let until = until.map_or(AuditId::MAX, AuditId::first_at);
    let by = BY.walker(view)?;
    let mut left = COUNTED;
    // Counts the entries of one facet, and tells the first of them.
    let mut count = |facet: Facet, mut each: Option<&mut dyn FnMut(AuditId)>| {
        let (mut counted, mut newest) = (0u64, None);
        for key in by((facet, from)..=(facet, until))? {
            let (_, id) = key?;
            let Some(rest) = left.checked_sub(1) else { break };
            left = rest;
            if let Some(each) = &mut each {
                each(id);
            }
            newest = newest.or(Some(id));
            counted += 1;
        }
        Ok::<_, StoreError>((counted, newest))
    };
    let (mut days, mut actions) = (Days::default(), Vec::new());
    for name in Action::NAMES {
        let mut day = |id: AuditId| days.count(id.created_at(), None);
        let (counted, _) = count(facet(ACTION, name), Some(&mut day))?;
        actions.extend((counted > 0).then_some((name, counted)));
    }
    for outcome in [Outcome::Refused, Outcome::Failed] {
        let mut day = |id: AuditId| days.count(id.created_at(), Some(outcome));
        count(facet(OUTCOME, outcome.name()), Some(&mut day))?;
    }
    let (most, looked) = ACTORS;
    let (mut actors, mut next) = (Vec::new(), facet_of_kind(ACTOR));
    let end = facet_of_kind(ACTOR + 1);
    let read = AUDIT.finder(view)?;
    for _ in 0..looked {
        let Some((found, _)) = BY.lowest(view, (next, AuditId::MIN)..(end, AuditId::MIN), 1)?.pop()
        else {
            break;
        };
        let (counted, newest) = count(found, None)?;
        if let Some(entry) = newest.map(&read).transpose()?.flatten() {
            actors.push((entry.actor, counted));
        }
        next = Facet::from((u128::from_be_bytes(found) + 1).to_be_bytes());
    }
    actions.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
    actors.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), name.clone()));
    actors.truncate(most);
    Ok(Statistics { days: days.all(), actions, actors, is_exact: left > 0 })
}

/// What stands for what was removed, and the number of the first entry that is there.
pub(crate) fn beginning(view: &impl View) -> Result<(Option<Checkpoint>, u64), StoreError> {
    let first = CHAIN.oldest(view, .., 1)?.pop().map(|(number, _)| number);
    let base = match first {
        Some(first) => CHECKPOINTS.get(view, first.saturating_sub(1))?,
        None => newest_checkpoint(view)?,
    };
    let next = base.map_or(1, |base| base.number.saturating_add(1));
    Ok((base, first.unwrap_or(next)))
}

/// Entries by their numbers, with what proves them, and the checkpoints among them.
pub(crate) fn sealed(
    view: &Snapshot,
    numbers: RangeInclusive<u64>,
) -> Result<(Vec<Sealed>, Vec<Checkpoint>), StoreError> {
    let bytes = AUDIT.raw_finder(view)?;
    let mut entries = Vec::new();
    for (_, Link { id, hash }) in CHAIN.oldest(view, numbers.clone(), usize::MAX)? {
        if let Some(bytes) = bytes(id)? {
            entries.push(Sealed { entry: Entry::decode(&bytes)?, bytes, hash });
        }
    }
    let checkpoints = CHECKPOINTS.oldest(view, numbers, usize::MAX)?;
    Ok((entries, checkpoints.into_iter().map(|(_, checkpoint)| checkpoint).collect()))
}

/// What an entry is found by: its kind, and a hash of what it is.
type Facet = [u8; 16];

const ACTOR: u8 = 1;
const ACTION: u8 = 2;
const RESOURCE: u8 = 3;
const OUTCOME: u8 = 4;

fn facet(kind: u8, text: &str) -> Facet {
    let mut facet: Facet = std::array::from_fn({
        let hash: [u8; 32] = Sha256::digest(text).into();
        move |place| hash[place]
    });
    facet[0] = kind;
    facet
}

/// Before all facets of a kind.
fn facet_of_kind(kind: u8) -> Facet {
    std::array::from_fn(|place| if place == 0 { kind } else { 0 })
}

/// All that an entry is found by. Most are done: those are found by having no other outcome.
fn facets(entry: &Entry) -> Vec<Facet> {
    let mut facets = vec![facet(ACTOR, &entry.actor), facet(ACTION, entry.action.name())];
    facets.extend(entry.action.resource().map(|it| facet(RESOURCE, &it.to_string())));
    if entry.outcome != Outcome::Done {
        facets.push(facet(OUTCOME, entry.outcome.name()));
    }
    facets
}

/// Goes along the chain, and looks whether what is listed is what is in it.
pub(crate) fn verify(
    view: &Snapshot,
    trusted: &[PublicKey],
    kept: &[Checkpoint],
) -> Result<Verdict, StoreError> {
    let mut checkpoints: Vec<_> = kept.to_vec();
    for number in CHECKPOINTS.keys(view)? {
        match CHECKPOINTS.get(view, number) {
            Ok(found) => checkpoints.extend(found),
            Err(error) => return Ok(Walk::nowhere().end(Some(damaged(error, number)?))),
        }
    }
    checkpoints.sort_by_key(|checkpoint| checkpoint.number);
    let mut numbers = CHAIN.keys(view)?.into_iter().peekable();
    let first = numbers.peek().copied();
    let base = match first {
        Some(1) => None,
        Some(first) => checkpoints.iter().rfind(|it| it.number + 1 == first),
        None => checkpoints.last(),
    };
    let mut walk = match Walk::begin(trusted, base) {
        Ok(walk) => walk,
        Err(broken) => return Ok(Walk::nowhere().end(Some(broken))),
    };
    let broken = match first {
        Some(first) if first != walk.next() => Some(Broken::NoBeginning(first)),
        _ => go_along(view, &mut walk, numbers, &checkpoints)?,
    };
    Ok(walk.end(broken))
}

/// What is wrong on the way along the chain, if anything is.
fn go_along(
    view: &Snapshot,
    walk: &mut Walk<'_>,
    numbers: impl Iterator<Item = u64>,
    checkpoints: &[Checkpoint],
) -> Result<Option<Broken>, StoreError> {
    let (links, entries, is_found) =
        (CHAIN.finder(view)?, AUDIT.raw_finder(view)?, BY.finder(view)?);
    let (mut listed, before) = (0, walk.next());
    let mut checkpoints = checkpoints.iter().skip_while(|it| it.number < before).peekable();
    for number in numbers {
        let link = match links(number) {
            Ok(link) => link,
            Err(error) => return damaged(error, number).map(Some),
        };
        let Some(Link { id, hash }) = link else { return Ok(Some(Broken::Missing(number))) };
        let Some(bytes) = entries(id)? else { return Ok(Some(Broken::Missing(number))) };
        if let Err(broken) = walk.entry(number, &bytes, hash) {
            return Ok(Some(broken));
        }
        let entry = match Entry::decode(&bytes) {
            Ok(entry) if entry.id == id && entry.number == number => entry,
            _ => return Ok(Some(Broken::Changed(number))),
        };
        for facet in facets(&entry) {
            if !is_found((facet, id))? {
                return Ok(Some(Broken::Hidden(number)));
            }
            listed += 1;
        }
        while let Some(checkpoint) = checkpoints.next_if(|it| it.number <= number) {
            if let Err(broken) = walk.checkpoint(checkpoint) {
                return Ok(Some(broken));
            }
        }
    }
    if let Some(beyond) = checkpoints.next() {
        return Ok(walk.checkpoint(beyond).err());
    }
    let foreign = (AUDIT.len(view)? - walk.entries()).max(BY.len(view)? - listed);
    Ok((foreign > 0).then_some(Broken::Foreign(foreign)))
}

/// A record that makes no sense was not written like that.
fn damaged(error: StoreError, number: u64) -> Result<Broken, StoreError> {
    match error {
        StoreError::Damaged { .. } | StoreError::UnknownVersion { .. } => {
            Ok(Broken::Changed(number))
        }
        error => Err(error),
    }
}
