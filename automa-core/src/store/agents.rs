//! Tables `agents`: `agent id -> agent`; `agent_states`: `agent id -> where it is`; `agent_history`:
//! `(agent id, number) -> what has happened`; `agent_minutes`: `(agent id, minute) -> its figures`,
//! every ten seconds; and `agent_means`: `(agent id, five minutes) -> their mean`. Times are numbers
//! of minutes, or of five minutes, since 1970.

use super::{
    change::{Change, View},
    migrate::Tables,
    record::Record,
    table::Table,
};
use crate::{
    agent::{Agent, HISTORY_KEPT, Happening, Mean, Minute, Supervision},
    error::StoreError,
    id::AgentId,
    page::{Page, PageRequest},
};

const AGENTS: Table<AgentId, Agent> = Table::new();
const STATES: Table<AgentId, Supervision> = Table::new();
const HISTORY: Table<(AgentId, u64), Happening> = Table::new();
const MINUTES: Table<(AgentId, u64), Minute> = Table::new();
const MEANS: Table<(AgentId, u64), Mean> = Table::new();

/// Most records of a kind that one change removes.
const BATCH: usize = 100;

impl Record for Agent {
    const TABLE: &'static str = "agents";
    const VERSION: u8 = 1;
}

impl Record for Supervision {
    const TABLE: &'static str = "agent_states";
    const VERSION: u8 = 1;
}

impl Record for Happening {
    const TABLE: &'static str = "agent_history";
    const VERSION: u8 = 1;
}

impl Record for Minute {
    const TABLE: &'static str = "agent_minutes";
    const VERSION: u8 = 1;
}

impl Record for Mean {
    const TABLE: &'static str = "agent_means";
    const VERSION: u8 = 1;
}

pub(super) fn create(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    AGENTS.create(tables)?;
    STATES.create(tables)?;
    HISTORY.create(tables)?;
    MINUTES.create(tables)?;
    MEANS.create(tables)
}

pub(crate) fn get(view: &impl View, id: AgentId) -> Result<Option<Agent>, StoreError> {
    AGENTS.get(view, id)
}

pub(crate) fn put(change: &mut Change, agent: &Agent) -> Result<(), StoreError> {
    AGENTS.put(change, agent.id, agent)
}

/// How many there are.
pub(crate) fn count(view: &impl View) -> Result<usize, StoreError> {
    Ok(AGENTS.oldest(view, .., usize::MAX)?.len())
}

pub(crate) fn supervision(
    view: &impl View,
    id: AgentId,
) -> Result<Option<Supervision>, StoreError> {
    STATES.get(view, id)
}

pub(crate) fn put_supervision(
    change: &mut Change,
    id: AgentId,
    supervision: &Supervision,
) -> Result<(), StoreError> {
    STATES.put(change, id, supervision)
}

/// All agents and where they are, newest first.
pub(crate) fn list(view: &impl View) -> Result<Vec<(Agent, Supervision)>, StoreError> {
    let mut list = Vec::new();
    for (id, agent) in AGENTS.newest(view, .., usize::MAX)? {
        if let Some(supervision) = STATES.get(view, id)? {
            list.push((agent, supervision));
        }
    }
    Ok(list)
}

/// Removes an agent and everything that is kept of it.
pub(crate) fn delete(change: &mut Change, id: AgentId) -> Result<(), StoreError> {
    AGENTS.remove(change, id)?;
    STATES.remove(change, id)?;
    remove(&HISTORY, change, id, u64::MAX, usize::MAX)?;
    remove(&MINUTES, change, id, u64::MAX, usize::MAX)?;
    remove(&MEANS, change, id, u64::MAX, usize::MAX)
}

/// Adds to the history of an agent, whose oldest entry makes room.
pub(crate) fn add_to_history(
    change: &mut Change,
    id: AgentId,
    happening: &Happening,
) -> Result<(), StoreError> {
    let last = HISTORY.newest(change, (id, 0)..=(id, u64::MAX), 1)?;
    let number = last.first().map_or(1, |((_, number), _)| number + 1);
    HISTORY.put(change, (id, number), happening)?;
    if let Some(oldest) = number.checked_sub(HISTORY_KEPT) {
        HISTORY.remove(change, (id, oldest))?;
    }
    Ok(())
}

/// The history of an agent, newest first.
pub(crate) fn history(
    view: &impl View,
    id: AgentId,
    page: &PageRequest,
) -> Result<Page<Happening>, StoreError> {
    HISTORY.page(view, (id, 0)..=(id, u64::MAX), page)
}

pub(crate) fn put_minute(
    change: &mut Change,
    (id, minute): (AgentId, u64),
    points: &Minute,
) -> Result<(), StoreError> {
    MINUTES.put(change, (id, minute), points)
}

/// The figures of some minutes, the last excluded, oldest first.
pub(crate) fn minutes(
    view: &impl View,
    id: AgentId,
    (from, to): (u64, u64),
) -> Result<Vec<Minute>, StoreError> {
    let rows = MINUTES.oldest(view, (id, from)..(id, to), usize::MAX)?;
    Ok(rows.into_iter().map(|(_, minute)| minute).collect())
}

pub(crate) fn put_mean(
    change: &mut Change,
    (id, number): (AgentId, u64),
    mean: &Mean,
) -> Result<(), StoreError> {
    MEANS.put(change, (id, number), mean)
}

/// The means of some times of five minutes, the last excluded, oldest first.
pub(crate) fn means(
    view: &impl View,
    id: AgentId,
    (from, to): (u64, u64),
) -> Result<Vec<Mean>, StoreError> {
    let rows = MEANS.oldest(view, (id, from)..(id, to), usize::MAX)?;
    Ok(rows.into_iter().map(|(_, mean)| mean).collect())
}

/// Removes figures of before these times, some at a time.
pub(crate) fn forget(
    change: &mut Change,
    id: AgentId,
    first_minute: u64,
    first_mean: u64,
) -> Result<(), StoreError> {
    remove(&MINUTES, change, id, first_minute, BATCH)?;
    remove(&MEANS, change, id, first_mean, BATCH)
}

/// Removes records of an agent with numbers below `end`, at most so many.
fn remove<R: Record>(
    table: &Table<(AgentId, u64), R>,
    change: &mut Change,
    id: AgentId,
    end: u64,
    most: usize,
) -> Result<(), StoreError> {
    for (key, _) in table.oldest(change, (id, 0)..(id, end), most)? {
        table.remove(change, key)?;
    }
    Ok(())
}
