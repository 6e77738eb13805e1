//! Tables `tiers`: `0 -> what they are`, and `user_tiers`: `user -> the one that was given`.

use serde::{Deserialize, Serialize};

use super::{
    change::{Change, View},
    migrate::Tables,
    record::Record,
    table::Table,
};
use crate::{
    error::StoreError,
    id::UserId,
    tier::{Tier, TierSettings},
};

/// A tier that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Given(Tier);

const SETTINGS: Table<u8, TierSettings> = Table::new();
const USERS: Table<UserId, Given> = Table::new();

impl Record for TierSettings {
    const TABLE: &'static str = "tiers";
    const VERSION: u8 = 1;
}

impl Record for Given {
    const TABLE: &'static str = "user_tiers";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    SETTINGS.create(tables)?;
    USERS.create(tables)
}

pub(crate) fn settings(view: &impl View) -> Result<TierSettings, StoreError> {
    Ok(SETTINGS.get(view, 0)?.unwrap_or_default())
}

pub(crate) fn put_settings(change: &mut Change, settings: &TierSettings) -> Result<(), StoreError> {
    SETTINGS.put(change, 0, settings)
}

/// The tier that a user was given, if one was.
pub(crate) fn of_user(view: &impl View, id: UserId) -> Result<Option<Tier>, StoreError> {
    Ok(USERS.get(view, id)?.map(|Given(tier)| tier))
}

pub(crate) fn put_of_user(
    change: &mut Change,
    id: UserId,
    tier: Option<Tier>,
) -> Result<(), StoreError> {
    match tier {
        Some(tier) => USERS.put(change, id, &Given(tier)),
        None => USERS.remove(change, id).map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{quota::Day, store::record::golden::assert_bytes};

    /// If this fails, the stored format has changed: add a version, do not change the bytes.
    #[test]
    fn stored_bytes_stay_as_they_are() {
        let settings = TierSettings { default: Some(Tier::Free), ..TierSettings::default() };
        assert_bytes(
            &settings,
            "01010a011401b0ea010180808040010501020101013201640\
             1e0d40301808080800101140105010201c80101f40301c0a907018080808002\
             0164010a0104000001e0a7120180808080040000000100",
        );
        assert_bytes(&Given(Tier::Enterprise), "0103");
        assert_bytes(&Day { number: 20_454, executions: 300, api_calls: 7 }, "01ccbf02ac0207");
    }
}
