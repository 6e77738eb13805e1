//! Finds what a filter lets through: the indexes of all that it names are gone through side by side,
//! newest first, each jumping over what another has already ruled out.
//!
//! That may still be many steps for few executions, if much fits one part and little all. So a
//! search has a limit, and a page then ends early, with a cursor that says how far it got.

use jiff::Timestamp;
use redb::Value;

use super::{
    super::{
        change::Snapshot,
        meet::{AnyOf, Found, Ids, Meet, Span},
    },
    BY_AGENT, BY_DURATION, BY_JOB, BY_REQUESTER, BY_SCRIPT, BY_SCRIPT_AND_STATE, BY_STATE,
    EXECUTIONS, LONGEST, duration_class, requester,
};
use crate::{
    error::StoreError,
    execution::{Count, Execution, Filter, State},
    id::ExecutionId,
    page::{Cursor, InvalidCursor, Page, PageRequest},
};

/// The most that is counted.
pub(super) const COUNTED: u64 = 10_000;
/// Steps of one search: some tens of milliseconds.
const STEPS: usize = 20_000;

/// A search for executions, newest first.
pub(super) struct Search {
    /// What an execution has to be in, all of it.
    named: Meet<ExecutionId>,
    newest: ExecutionId,
    min_wall_ms: Option<u64>,
    now: Timestamp,
    read: Box<dyn Fn(ExecutionId) -> Result<Option<Execution>, StoreError>>,
    /// The name of the list: cursors of another filter do not belong to it.
    list: String,
}

impl Search {
    pub(super) fn new(
        view: &Snapshot,
        filter: &Filter,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let Filter { states, script, job, agent, requested_by, min_wall_ms, .. } = filter;
        let mut states: Vec<u8> = states.iter().map(|state| state.code()).collect();
        states.sort_unstable();
        states.dedup();
        let oldest = filter.created_from.map_or(ExecutionId::MIN, ExecutionId::first_at);
        let newest = match filter.created_until {
            None => ExecutionId::MAX,
            // No moment is before the first: the list is empty then.
            Some(until) => ExecutionId::first_at(until).before().unwrap_or(ExecutionId::MIN),
        };
        let list = format!(
            "executions {states:?} {script:?} {job:?} {agent:?} {requested_by:?} {min_wall_ms:?}"
        );
        let at = Span { view, oldest };
        let mut named = Vec::new();
        match (script, &*states) {
            (None, []) => {}
            (None, states) => {
                named.push(at.any_of(states, &BY_STATE, |state, id| (state, id), |key| key.1)?);
            }
            (&Some(script), []) => {
                named.push(at.any_of(
                    &[script],
                    &BY_SCRIPT,
                    |script, id| (script, id),
                    |key| key.1,
                )?);
            }
            (&Some(script), states) => named.push(at.any_of(
                states,
                &BY_SCRIPT_AND_STATE,
                move |state, id| (script, state, id),
                |key| key.2,
            )?),
        }
        if let &Some(job) = job {
            named.push(at.any_of(&[job], &BY_JOB, |job, id| (job, id), |key| key.1)?);
        }
        if let &Some(agent) = agent {
            named.push(at.any_of(&[agent], &BY_AGENT, |agent, id| (agent, id), |key| key.1)?);
        }
        if let Some(name) = requested_by {
            let name = [requester(name)];
            named.push(at.any_of(&name, &BY_REQUESTER, |name, id| (name, id), |key| key.1)?);
        }
        if let Some(least) = min_wall_ms.and_then(duration_class) {
            let classes: Vec<u8> = (least..=LONGEST).collect();
            let mut long = at.any_of(&classes, &BY_DURATION, |class, id| (class, id), |it| it.1)?;
            // What runs is in no class yet.
            let running = [State::Running.code()];
            long.or(at.any_of(&running, &BY_STATE, |state, id| (state, id), |key| key.1)?);
            named.push(long);
        }
        if named.is_empty() {
            named.push(AnyOf::of(Ids::new(EXECUTIONS.walker(view)?, oldest, |id| id, |id| id)));
        }
        Ok(Self {
            named: Meet::new(named, oldest, STEPS),
            newest,
            min_wall_ms: *min_wall_ms,
            now,
            read: Box::new(EXECUTIONS.finder(view)?),
            list,
        })
    }

    /// The same that gives up after fewer steps.
    #[cfg(test)]
    pub(super) fn within(mut self, steps: usize) -> Self {
        self.named.steps = steps;
        self
    }

    /// One page. A cursor is the newest id that may follow.
    pub(super) fn page(mut self, request: &PageRequest) -> Result<Page<Execution>, StoreError> {
        let mut at = self.newest;
        if let Some(cursor) = &request.cursor {
            let key = cursor.key(&self.list)?;
            let key: [u8; 16] = key.try_into().map_err(|_| InvalidCursor)?;
            at = at.min(ExecutionId::from_bytes(&key));
        }
        let mut items = Vec::new();
        let next = loop {
            let id = match self.named.next(at)? {
                Found::Next(id) => id,
                Found::End => break None,
                Found::Tired(at) => break Some(at),
            };
            if items.len() == request.limit.items() {
                break Some(id);
            }
            items.extend(self.look(id)?);
            let Some(older) = id.before() else { break None };
            at = older;
        };
        let next_cursor = next.map(|next| Cursor::new(&self.list, &ExecutionId::as_bytes(&next)));
        Ok(Page { items, next_cursor })
    }

    pub(super) fn count(mut self) -> Result<Count, StoreError> {
        let (mut at, mut count) = (self.newest, 0);
        let is_exact = loop {
            let id = match self.named.next(at)? {
                Found::Next(id) => id,
                Found::End => break true,
                Found::Tired(_) => break false,
            };
            if count == COUNTED {
                break false;
            }
            if self.min_wall_ms.is_none() || self.look(id)?.is_some() {
                count += 1;
            }
            let Some(older) = id.before() else { break true };
            at = older;
        };
        Ok(Count { count, is_exact })
    }

    /// Reads one that was found, unless it did not take long enough.
    fn look(&mut self, id: ExecutionId) -> Result<Option<Execution>, StoreError> {
        self.named.steps = self.named.steps.saturating_sub(1);
        let found = (self.read)(id)?;
        let least = self.min_wall_ms.unwrap_or(0);
        Ok(found.filter(|execution| execution.wall_ms(self.now) >= least))
    }
}
