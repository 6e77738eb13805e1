//! Tables `credentials`: `credential id -> what is known of it`; `credential_versions`: `(credential id,
//! number) -> what it is made of, sealed`; `credential_usage`: how often and when it was used last;
//! `credential_uses`: `(credential id, use id) -> one use`; `vault`: `0 -> by which keys data keys are
//! wrapped`; and the indexes `credentials_by_owner`, and `credential_wraps`: `(id of a master key,
//! credential id, number)`.

use super::{
    change::{Change, View},
    migrate::Tables,
    record::Record,
    table::{Index, Table},
};
use crate::{
    credential::{Credential, KeyId, Keys, Secret, Usage, Use, Whose},
    error::StoreError,
    id::{CredentialId, UseId, UserId},
    page::{Limit, Page, PageRequest},
};

const CREDENTIALS: Table<CredentialId, Credential> = Table::new();
const VERSIONS: Table<(CredentialId, u32), Secret> = Table::new();
const USAGE: Table<CredentialId, Usage> = Table::new();
const USES: Table<(CredentialId, UseId), Use> = Table::new();
const KEYS: Table<u8, Keys> = Table::new();
/// Those that belong to nobody are under [`UserId::MIN`].
const BY_OWNER: Index<(UserId, CredentialId)> = Index::new("credentials_by_owner");
const WRAPS: Index<([u8; 8], CredentialId, u32)> = Index::new("credential_wraps");

/// How many uses of a credential are kept, the newest.
pub(crate) const USES_KEPT: u32 = 10_000;
/// How many old ones a new one removes: more than one, so that they become fewer.
const REMOVED: usize = 4;

impl Record for Credential {
    const TABLE: &'static str = "credentials";
    const VERSION: u8 = 1;
}

impl Record for Secret {
    const TABLE: &'static str = "credential_versions";
    const VERSION: u8 = 1;
}

impl Record for Usage {
    const TABLE: &'static str = "credential_usage";
    const VERSION: u8 = 1;
}

impl Record for Use {
    const TABLE: &'static str = "credential_uses";
    const VERSION: u8 = 1;
}

impl Record for Keys {
    const TABLE: &'static str = "vault";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    CREDENTIALS.create(tables)?;
    VERSIONS.create(tables)?;
    USAGE.create(tables)?;
    USES.create(tables)?;
    KEYS.create(tables)?;
    BY_OWNER.create(tables)?;
    WRAPS.create(tables)
}

pub(crate) fn get(view: &impl View, id: CredentialId) -> Result<Option<Credential>, StoreError> {
    CREDENTIALS.get(view, id)
}

/// Writes a credential, whose owner never changes.
pub(crate) fn put(change: &mut Change, credential: &Credential) -> Result<(), StoreError> {
    BY_OWNER.insert(change, (credential.owner.unwrap_or(UserId::MIN), credential.id))?;
    CREDENTIALS.put(change, credential.id, credential)
}

/// Removes a credential with all of its secrets. Its uses stay.
pub(crate) fn remove(change: &mut Change, credential: &Credential) -> Result<(), StoreError> {
    let id = credential.id;
    for secret in versions(change, id)? {
        unwrap(change, id, &secret)?;
        VERSIONS.remove(change, (id, secret.number))?;
    }
    BY_OWNER.remove(change, (credential.owner.unwrap_or(UserId::MIN), id))?;
    CREDENTIALS.remove(change, id)?;
    Ok(())
}

/// Those credentials that `takes` says, newest first, of one owner or of all.
pub(crate) fn list(
    view: &impl View,
    whose: Whose,
    page: &PageRequest,
    takes: impl Fn(&Credential) -> bool,
) -> Result<Page<Credential>, StoreError> {
    let (mut items, mut next) = (Vec::new(), page.clone());
    loop {
        let some = one_page(view, whose, &next)?;
        items.extend(some.items.into_iter().filter(&takes));
        let left = page.limit.items() - items.len();
        let (Some(cursor), Ok(limit)) = (&some.next_cursor, Limit::new(left as u64)) else {
            return Ok(Page { items, next_cursor: some.next_cursor });
        };
        next = PageRequest { cursor: Some(cursor.clone()), limit };
    }
}

fn one_page(
    view: &impl View,
    whose: Whose,
    page: &PageRequest,
) -> Result<Page<Credential>, StoreError> {
    let Whose::Of(owner) = whose else { return CREDENTIALS.page(view, .., page) };
    let owner = owner.unwrap_or(UserId::MIN);
    let keys =
        BY_OWNER.page(view, (owner, CredentialId::MIN)..=(owner, CredentialId::MAX), page)?;
    let credentials: Result<Vec<_>, _> = keys
        .items
        .into_iter()
        .map(|(_, id)| CREDENTIALS.get(view, id))
        .filter_map(Result::transpose)
        .collect();
    Ok(Page { items: credentials?, next_cursor: keys.next_cursor })
}

pub(crate) fn version(
    view: &impl View,
    id: CredentialId,
    number: u32,
) -> Result<Option<Secret>, StoreError> {
    VERSIONS.get(view, (id, number))
}

/// All versions, newest first.
pub(crate) fn versions(view: &impl View, id: CredentialId) -> Result<Vec<Secret>, StoreError> {
    let all = VERSIONS.newest(view, (id, 0)..=(id, u32::MAX), usize::MAX)?;
    Ok(all.into_iter().map(|(_, secret)| secret).collect())
}

/// Writes a version, over the one of this number if there is one.
pub(crate) fn put_version(
    change: &mut Change,
    id: CredentialId,
    secret: &Secret,
) -> Result<(), StoreError> {
    if let Some(before) = VERSIONS.get(change, (id, secret.number))? {
        unwrap(change, id, &before)?;
    }
    if let Some(sealed) = &secret.sealed {
        WRAPS.insert(change, (sealed.key.0, id, secret.number))?;
    }
    VERSIONS.put(change, (id, secret.number), secret)
}

/// Forgets by which key a version is wrapped.
fn unwrap(change: &mut Change, id: CredentialId, secret: &Secret) -> Result<(), StoreError> {
    if let Some(sealed) = &secret.sealed {
        WRAPS.remove(change, (sealed.key.0, id, secret.number))?;
    }
    Ok(())
}

/// Some of the versions that are wrapped by a master key.
pub(crate) fn wrapped_by(
    view: &impl View,
    key: KeyId,
    most: usize,
) -> Result<Vec<(CredentialId, u32)>, StoreError> {
    let all = (key.0, CredentialId::MIN, 0)..=(key.0, CredentialId::MAX, u32::MAX);
    let keys = WRAPS.lowest(view, all, most)?;
    Ok(keys.into_iter().map(|(_, id, number)| (id, number)).collect())
}

/// By which master keys data keys are wrapped; `None` before anything was sealed.
pub(crate) fn keys(view: &impl View) -> Result<Option<Keys>, StoreError> {
    KEYS.get(view, 0)
}

pub(crate) fn put_keys(change: &mut Change, keys: &Keys) -> Result<(), StoreError> {
    KEYS.put(change, 0, keys)
}

/// How often and when a credential was used last.
pub(crate) fn usage(view: &impl View, id: CredentialId) -> Result<Usage, StoreError> {
    Ok(USAGE.get(view, id)?.unwrap_or_default())
}

/// Records that a credential was used, and forgets the oldest uses where there are too many.
pub(crate) fn used(change: &mut Change, id: CredentialId, it: &Use) -> Result<(), StoreError> {
    let before = usage(change, id)?;
    let mut kept = before.kept + 1;
    if kept > USES_KEPT {
        for (key, _) in USES.oldest(change, (id, UseId::MIN)..=(id, UseId::MAX), REMOVED)? {
            USES.remove(change, key)?;
            kept -= 1;
        }
    }
    let used_at = if it.what.is_use() { Some(it.at) } else { before.used_at };
    let uses = before.uses + u64::from(it.what.is_use());
    USAGE.put(change, id, &Usage { used_at, uses, kept })?;
    USES.insert(change, (id, it.id), it)
}

/// Uses of a credential, newest first; also of one that was deleted.
pub(crate) fn uses(
    view: &impl View,
    id: CredentialId,
    page: &PageRequest,
) -> Result<Page<Use>, StoreError> {
    USES.page(view, (id, UseId::MIN)..=(id, UseId::MAX), page)
}
