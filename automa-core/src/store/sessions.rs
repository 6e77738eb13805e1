//! Table `sessions`: `session id -> session`; and the index `sessions_expiry`: `(end in µs, session
//! id) -> ()`, so that those that have expired are found without reading the others.

use jiff::Timestamp;
use redb::{ReadableTable, TableDefinition};

use super::{
    change::{Change, View},
    migrate::Tables,
    record::Record,
    table::Table,
};
use crate::{error::StoreError, id::SessionId, session::Session};

const SESSIONS: Table<SessionId, Session> = Table::new();
const EXPIRY: TableDefinition<'static, (i64, SessionId), ()> =
    TableDefinition::new("sessions_expiry");

impl Record for Session {
    const TABLE: &'static str = "sessions";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    SESSIONS.create(tables)?;
    tables.create(EXPIRY)
}

pub(crate) fn get(view: &impl View, id: SessionId) -> Result<Option<Session>, StoreError> {
    SESSIONS.get(view, id)
}

/// Writes a session, and when it ends into the index.
pub(crate) fn put(change: &mut Change, session: &Session) -> Result<(), StoreError> {
    if let Some(old) = SESSIONS.get(change, session.id)? {
        change.open_mut(EXPIRY)?.remove(expiry(&old))?;
    }
    change.open_mut(EXPIRY)?.insert(expiry(session), ())?;
    SESSIONS.put(change, session.id, session)
}

pub(crate) fn remove(change: &mut Change, session: &Session) -> Result<(), StoreError> {
    change.open_mut(EXPIRY)?.remove(expiry(session))?;
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
        change.open_mut(EXPIRY)?.remove(key)?;
        SESSIONS.remove(change, key.1)?;
    }
    Ok(())
}

/// How many sessions there are, by the table and by its index.
#[cfg(test)]
pub(crate) fn count(view: &impl View) -> Result<(u64, u64), StoreError> {
    use redb::ReadableTableMetadata as _;
    let sessions = SESSIONS.oldest(view, .., usize::MAX)?.len() as u64;
    Ok((sessions, view.open(EXPIRY)?.len()?))
}

fn expiry(session: &Session) -> (i64, SessionId) {
    (session.expires_at.as_microsecond(), session.id)
}
