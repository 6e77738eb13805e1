//! Table `sessions`: `session id -> session`; and the indexes `sessions_expiry`: `(end in µs, session
//! id) -> ()`, and `sessions_users`: `(user, session id) -> ()`, so that those that have expired and
//! those of a user are found without reading the others.

use jiff::Timestamp;
use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::{
    change::{Change, View},
    migrate::Tables,
    record::Record,
    table::{Index, Table},
};
use crate::{
    error::StoreError,
    id::{SessionId, UserId},
    session::Session,
};

const SESSIONS: Table<SessionId, Session> = Table::new();
const EXPIRY: TableDefinition<'static, (i64, SessionId), ()> =
    TableDefinition::new("sessions_expiry");
const BY_USER: Index<(UserId, SessionId)> = Index::new("sessions_users");

impl Record for Session {
    const TABLE: &'static str = "sessions";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    SESSIONS.create(tables)?;
    tables.create(EXPIRY)?;
    BY_USER.create(tables)
}

/// The step to the format in which sessions are found by their users.
pub(super) fn add_users(txn: &WriteTransaction) -> Result<(), StoreError> {
    let mut by_user = BY_USER.open_in(txn)?;
    SESSIONS.for_each(txn, |id, session| {
        by_user.insert((session.user, id), ())?;
        Ok(())
    })
}

pub(crate) fn get(view: &impl View, id: SessionId) -> Result<Option<Session>, StoreError> {
    SESSIONS.get(view, id)
}

/// The sessions of a user, newest first, at most `limit`.
pub(crate) fn of_user(
    view: &impl View,
    user: UserId,
    limit: usize,
) -> Result<Vec<Session>, StoreError> {
    let mut sessions = Vec::new();
    for (_, id) in BY_USER.highest(view, (user, SessionId::MIN)..=(user, SessionId::MAX), limit)? {
        sessions.extend(SESSIONS.get(view, id)?);
    }
    Ok(sessions)
}

/// Writes a session, and when it ends and whose it is into the indexes.
pub(crate) fn put(change: &mut Change, session: &Session) -> Result<(), StoreError> {
    if let Some(old) = SESSIONS.get(change, session.id)? {
        change.open_mut(EXPIRY)?.remove(expiry(&old))?;
    }
    change.open_mut(EXPIRY)?.insert(expiry(session), ())?;
    BY_USER.insert(change, (session.user, session.id))?;
    SESSIONS.put(change, session.id, session)
}

pub(crate) fn remove(change: &mut Change, session: &Session) -> Result<(), StoreError> {
    change.open_mut(EXPIRY)?.remove(expiry(session))?;
    BY_USER.remove(change, (session.user, session.id))?;
    SESSIONS.remove(change, session.id)?;
    Ok(())
}

/// Removes at most `limit` sessions that ended by `now`, earliest first.
pub(crate) fn remove_expired(
    change: &mut Change,
    now: Timestamp,
    limit: usize,
) -> Result<(), StoreError> {
    let mut expired = Vec::new();
    for row in change.open(EXPIRY)?.range(..=(now.as_microsecond(), SessionId::MAX))?.take(limit) {
        expired.push(row?.0.value());
    }
    for key in expired {
        match SESSIONS.get(change, key.1)? {
            Some(session) => remove(change, &session)?,
            None => change.open_mut(EXPIRY)?.remove(key)?,
        }
    }
    Ok(())
}

/// How many sessions there are, by the table and by its indexes.
#[cfg(test)]
pub(crate) fn count(view: &impl View) -> Result<(u64, u64), StoreError> {
    use redb::ReadableTableMetadata as _;
    let sessions = SESSIONS.oldest(view, .., usize::MAX)?.len() as u64;
    let by_user = BY_USER.lowest(view, .., usize::MAX)?.len() as u64;
    let by_end = view.open(EXPIRY)?.len()?;
    assert_eq!(by_user, by_end);
    Ok((sessions, by_end))
}

fn expiry(session: &Session) -> (i64, SessionId) {
    (session.expires_at.as_microsecond(), session.id)
}
