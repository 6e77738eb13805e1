//! Tables `users`: `user id -> user`; `user_passwords`: `user id -> hash`; and the index
//! `user_names`: usernames and e-mail addresses in lower case, to the user. One index holds both:
//! an address has an `@`, and a username has none.

use redb::{ReadableTable, ReadableTableMetadata, TableDefinition};

use super::{
    change::{Change, View},
    migrate::Tables,
    record::Record,
    table::Table,
};
use crate::{
    error::StoreError,
    id::UserId,
    page::{Page, PageRequest},
    user::{EMAIL_MAX, Hash, User},
};

const USERS: Table<UserId, User> = Table::new();
const PASSWORDS: Table<UserId, Hash> = Table::new();
const NAMES: TableDefinition<'static, &str, UserId> = TableDefinition::new("user_names");

impl Record for User {
    const TABLE: &'static str = "users";
    const VERSION: u8 = 1;
}

impl Record for Hash {
    const TABLE: &'static str = "user_passwords";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    USERS.create(tables)?;
    PASSWORDS.create(tables)?;
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

/// Users, newest first.
pub(crate) fn list(view: &impl View, page: &PageRequest) -> Result<Page<User>, StoreError> {
    USERS.page(view, .., page)
}
