//! Tables `api_keys`: `key -> what it is`; `api_key_hashes`: `key -> hash`; `api_key_uses`: `key -> how it
//! was used`; and the indexes `api_keys_by_hash`: `hash -> key`, and `api_keys_by_owner`: `(user, key)`.

use redb::{ReadableTable, TableDefinition};

use super::{
    change::{Change, View},
    migrate::Tables,
    record::Record,
    table::{Index, Table},
};
use crate::{
    api_key::{ApiKey, Usage},
    error::StoreError,
    id::{ApiKeyId, UserId},
    page::{Page, PageRequest},
};

const KEYS: Table<ApiKeyId, ApiKey> = Table::new();
const USES: Table<ApiKeyId, Usage> = Table::new();
const HASHES: TableDefinition<'static, ApiKeyId, [u8; 32]> = TableDefinition::new("api_key_hashes");
const BY_HASH: TableDefinition<'static, [u8; 32], ApiKeyId> =
    TableDefinition::new("api_keys_by_hash");
const BY_OWNER: Index<(UserId, ApiKeyId)> = Index::new("api_keys_by_owner");

impl Record for ApiKey {
    const TABLE: &'static str = "api_keys";
    const VERSION: u8 = 1;
}

impl Record for Usage {
    const TABLE: &'static str = "api_key_uses";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    KEYS.create(tables)?;
    USES.create(tables)?;
    tables.create(HASHES)?;
    tables.create(BY_HASH)?;
    BY_OWNER.create(tables)
}

pub(crate) fn get(view: &impl View, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
    KEYS.get(view, id)
}

/// The key of this hash.
pub(crate) fn find(view: &impl View, hash: [u8; 32]) -> Result<Option<ApiKey>, StoreError> {
    let id = view.open(BY_HASH)?.get(hash)?.map(|id| id.value());
    id.map_or(Ok(None), |id| KEYS.get(view, id))
}

/// Writes a new key.
pub(crate) fn insert(change: &mut Change, key: &ApiKey, hash: [u8; 32]) -> Result<(), StoreError> {
    KEYS.insert(change, key.id, key)?;
    change.open_mut(HASHES)?.insert(key.id, hash)?;
    change.open_mut(BY_HASH)?.insert(hash, key.id)?;
    BY_OWNER.insert(change, (key.owner, key.id))
}

/// Writes a key that is there already, of the same owner.
pub(crate) fn put(change: &mut Change, key: &ApiKey) -> Result<(), StoreError> {
    KEYS.put(change, key.id, key)
}

pub(crate) fn remove(change: &mut Change, key: &ApiKey) -> Result<(), StoreError> {
    let hash = change.open(HASHES)?.get(key.id)?.map(|hash| hash.value());
    change.open_mut(HASHES)?.remove(key.id)?;
    if let Some(hash) = hash {
        change.open_mut(BY_HASH)?.remove(hash)?;
    }
    BY_OWNER.remove(change, (key.owner, key.id))?;
    USES.remove(change, key.id)?;
    KEYS.remove(change, key.id)?;
    Ok(())
}

pub(crate) fn usage(view: &impl View, id: ApiKeyId) -> Result<Usage, StoreError> {
    Ok(USES.get(view, id)?.unwrap_or_default())
}

pub(crate) fn put_usage(
    change: &mut Change,
    id: ApiKeyId,
    usage: &Usage,
) -> Result<(), StoreError> {
    USES.put(change, id, usage)
}

/// How many keys a user has.
pub(crate) fn count(view: &impl View, user: UserId) -> Result<u64, StoreError> {
    let range = (user, ApiKeyId::MIN)..=(user, ApiKeyId::MAX);
    Ok(BY_OWNER.lowest(view, range, usize::MAX)?.len() as u64)
}

/// Keys of one user or of all, newest first.
pub(crate) fn list(
    view: &impl View,
    whose: Option<UserId>,
    page: &PageRequest,
) -> Result<Page<ApiKey>, StoreError> {
    let Some(user) = whose else { return KEYS.page(view, .., page) };
    let range = (user, ApiKeyId::MIN)..=(user, ApiKeyId::MAX);
    let Page { items, next_cursor } = BY_OWNER.page(view, range, page)?;
    let mut keys = Vec::with_capacity(items.len());
    for (_, id) in items {
        keys.extend(KEYS.get(view, id)?);
    }
    Ok(Page { items: keys, next_cursor })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{actor::Permission, api_key::Scope, store::record::golden::assert_bytes};

    /// If this fails, the stored format has changed: add a version, do not change the bytes.
    #[test]
    fn stored_bytes_stay_as_they_are() {
        let key = ApiKey {
            id: "018f0000-0000-7000-8000-000000000001".parse().unwrap(),
            name: "ci".to_owned(),
            owner: "018f0000-0000-7000-8000-000000000002".parse().unwrap(),
            ending: "a1B2".to_owned(),
            scope: Scope {
                permissions: [Permission::Execute].into(),
                scripts: Some(["018f0000-0000-7000-8000-000000000003".parse().unwrap()].into()),
            },
            networks: vec!["192.0.2.0/24".parse().unwrap()],
            created_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            expires_at: Some("2027-01-01T00:00:00Z".parse().unwrap()),
            enabled: true,
        };
        assert_bytes(
            &key,
            "01018f0000000070008000000000000001026369018f0000000070008000000000000002046131423201030101\
             018f0000000070008000000000000003010c3139322e302e322e302f3234808082e288d2a306018080a1a3dafdb10601",
        );
        let usage = Usage {
            calls: 300,
            refused: 2,
            last_used_at: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            last_address: Some("::1".to_owned()),
        };
        assert_bytes(&usage, "01ac020201808082e288d2a30601033a3a31");
    }
}
