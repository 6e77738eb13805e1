//! Tables `users`: `user id -> user`; `user_passwords`: `user id -> hash`; `user_resets`: `user id ->
//! the link by which a password may be set`; and the index `user_names`: usernames and e-mail
//! addresses in lower case, to the user. One index holds both: an address has an `@`, and a username
//! has none.

use std::ops::ControlFlow;

use jiff::Timestamp;
use redb::{ReadableTable, ReadableTableMetadata, TableDefinition};
use serde::{Deserialize, Serialize};

use super::{
    change::{Change, View},
    migrate::Tables,
    record::{Record, read},
    table::Table,
};
use crate::{
    actor::Role,
    error::StoreError,
    id::UserId,
    page::{Page, PageRequest},
    user::{EMAIL_MAX, Hash, Reset, Theme, User},
};

const USERS: Table<UserId, User> = Table::new();
const PASSWORDS: Table<UserId, Hash> = Table::new();
const RESETS: Table<UserId, Reset> = Table::new();
const NAMES: TableDefinition<'static, &str, UserId> = TableDefinition::new("user_names");

impl Record for User {
    const TABLE: &'static str = "users";
    const VERSION: u8 = 2;

    fn upgrade(version: u8, body: &[u8]) -> Result<Self, StoreError> {
        match version {
            1 => Ok(read::<UserV1>(Self::TABLE, version, body)?.into()),
            version => Err(StoreError::UnknownVersion { table: Self::TABLE, version }),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct UserV1 {
    id: UserId,
    username: String,
    email: String,
    role: Role,
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    created_at: Timestamp,
}

impl From<UserV1> for User {
    fn from(old: UserV1) -> Self {
        let UserV1 { id, username, email, role, created_at } = old;
        Self {
            id,
            username,
            email,
            role,
            created_at,
            disabled_at: None,
            password_changed_at: created_at,
            two_factor_since: None,
            theme: Theme::default(),
        }
    }
}

impl Record for Reset {
    const TABLE: &'static str = "user_resets";
    const VERSION: u8 = 1;
}

impl Record for Hash {
    const TABLE: &'static str = "user_passwords";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    USERS.create(tables)?;
    PASSWORDS.create(tables)?;
    RESETS.create(tables)?;
    tables.create(NAMES)
}

/// Whether there is no user.
pub(crate) fn is_empty(view: &impl View) -> Result<bool, StoreError> {
    Ok(view.open(NAMES)?.is_empty()?)
}

pub(crate) fn get(view: &impl View, id: UserId) -> Result<Option<User>, StoreError> {
    USERS.get(view, id)
}

/// Whose username or e-mail address this is, in any case of its ASCII letters.
pub(crate) fn find(view: &impl View, name: &str) -> Result<Option<UserId>, StoreError> {
    if name.len() > EMAIL_MAX {
        return Ok(None);
    }
    let names = view.open(NAMES)?;
    let id = names.get(&*name.to_ascii_lowercase())?;
    Ok(id.map(|id| id.value()))
}

/// Writes a new user, whose names nobody has.
pub(crate) fn insert(change: &mut Change, user: &User, hash: &Hash) -> Result<(), StoreError> {
    USERS.insert(change, user.id, user)?;
    PASSWORDS.insert(change, user.id, hash)?;
    let mut names = change.open_mut(NAMES)?;
    for name in [&user.username, &user.email] {
        names.insert(&*name.to_ascii_lowercase(), user.id)?;
    }
    Ok(())
}

pub(crate) fn password(view: &impl View, id: UserId) -> Result<Option<Hash>, StoreError> {
    PASSWORDS.get(view, id)
}

pub(crate) fn put_password(change: &mut Change, id: UserId, hash: &Hash) -> Result<(), StoreError> {
    PASSWORDS.put(change, id, hash)
}

pub(crate) fn remove_password(change: &mut Change, id: UserId) -> Result<(), StoreError> {
    PASSWORDS.remove(change, id)?;
    Ok(())
}

/// Writes a user who was `old`; nobody else has the new names.
pub(crate) fn update(change: &mut Change, old: &User, user: &User) -> Result<(), StoreError> {
    if old.email != user.email {
        let mut names = change.open_mut(NAMES)?;
        names.remove(&*old.email.to_ascii_lowercase())?;
        names.insert(&*user.email.to_ascii_lowercase(), user.id)?;
    }
    USERS.put(change, user.id, user)
}

/// Whether there is a user of whom this is true.
pub(crate) fn any(view: &impl View, is: impl Fn(&User) -> bool) -> Result<bool, StoreError> {
    let mut found = false;
    USERS.each_newest(view, .., |user| {
        found = is(&user);
        Ok(if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(found)
}

/// Those of whom something is true, newest first.
pub(crate) fn list(
    view: &impl View,
    page: &PageRequest,
    fits: impl Fn(&User) -> bool,
) -> Result<Page<User>, StoreError> {
    USERS.page_of(view, .., page, fits)
}

pub(crate) fn reset(view: &impl View, id: UserId) -> Result<Option<Reset>, StoreError> {
    RESETS.get(view, id)
}

pub(crate) fn put_reset(change: &mut Change, id: UserId, reset: &Reset) -> Result<(), StoreError> {
    RESETS.put(change, id, reset)
}

pub(crate) fn remove_reset(change: &mut Change, id: UserId) -> Result<(), StoreError> {
    RESETS.remove(change, id)?;
    Ok(())
}
