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
        table::{Index, Walk, Walker},
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
/// Keys that are passed one by one before jumping: a jump costs about as much.
const PASSED: usize = 4;

/// A search for executions, newest first.
pub(super) struct Search {
    /// What an execution has to be in, all of it.
    named: Vec<AnyOf>,
    newest: ExecutionId,
    oldest: ExecutionId,
    min_wall_ms: Option<u64>,
    now: Timestamp,
    read: Box<dyn Fn(ExecutionId) -> Result<Option<Execution>, StoreError>>,
    /// The name of the list: cursors of another filter do not belong to it.
    list: String,
    /// Steps that are left.
    steps: usize,
}

/// How far a search got.
enum Found {
    /// The newest that is in all that is named.
    Next(ExecutionId),
    /// There is none any more.
    End,
    /// None down to this one, which was not looked at.
    Tired(ExecutionId),
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
        let oldest = filter.created_from.map_or(ExecutionId::MIN, first_at);
        let newest = match filter.created_until {
            None => ExecutionId::MAX,
            // No moment is before the first: the list is empty then.
            Some(until) => before(first_at(until)).unwrap_or(ExecutionId::MIN),
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
            long.0.extend(at.any_of(&running, &BY_STATE, |state, id| (state, id), |key| key.1)?.0);
            named.push(long);
        }
        if named.is_empty() {
            named.push(AnyOf(vec![Ids::new(EXECUTIONS.walker(view)?, oldest, |id| id, |id| id)]));
        }
        Ok(Self {
            named,
            newest,
            oldest,
            min_wall_ms: *min_wall_ms,
            now,
            read: Box::new(EXECUTIONS.finder(view)?),
            list,
            steps: STEPS,
        })
    }

    /// The same that gives up after fewer steps.
    #[cfg(test)]
    pub(super) fn within(self, steps: usize) -> Self {
        Self { steps, ..self }
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
            let id = match self.next(at)? {
                Found::Next(id) => id,
                Found::End => break None,
                Found::Tired(at) => break Some(at),
            };
            if items.len() == request.limit.items() {
                break Some(id);
            }
            items.extend(self.look(id)?);
            let Some(older) = before(id) else { break None };
            at = older;
        };
        let next_cursor = next.map(|next| Cursor::new(&self.list, &ExecutionId::as_bytes(&next)));
        Ok(Page { items, next_cursor })
    }

    pub(super) fn count(mut self) -> Result<Count, StoreError> {
        let (mut at, mut count) = (self.newest, 0);
        let is_exact = loop {
            let id = match self.next(at)? {
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
            let Some(older) = before(id) else { break true };
            at = older;
        };
        Ok(Count { count, is_exact })
    }

    /// The newest, not newer than `at`, that is in all that is named.
    fn next(&mut self, at: ExecutionId) -> Result<Found, StoreError> {
        let (mut candidate, mut agreed) = (at, 0);
        for place in (0..self.named.len()).cycle() {
            if candidate < self.oldest {
                return Ok(Found::End);
            }
            if agreed == self.named.len() {
                return Ok(Found::Next(candidate));
            }
            if self.steps == 0 {
                return Ok(Found::Tired(candidate));
            }
            self.steps -= 1;
            match self.named[place].at_most(candidate)? {
                None => return Ok(Found::End),
                Some(id) if id == candidate => agreed += 1,
                Some(id) => (candidate, agreed) = (id, 1),
            }
        }
        Ok(Found::End)
    }

    /// Reads one that was found, unless it did not take long enough.
    fn look(&mut self, id: ExecutionId) -> Result<Option<Execution>, StoreError> {
        self.steps = self.steps.saturating_sub(1);
        let found = (self.read)(id)?;
        let least = self.min_wall_ms.unwrap_or(0);
        Ok(found.filter(|execution| execution.wall_ms(self.now) >= least))
    }
}

/// What all indexes of a search are opened with.
struct Span<'a> {
    view: &'a Snapshot,
    oldest: ExecutionId,
}

impl Span<'_> {
    /// What is in an index below one of `parts`.
    fn any_of<P, K>(
        &self,
        parts: &[P],
        index: &Index<K>,
        key: impl Fn(P, ExecutionId) -> K + Clone + 'static,
        id: fn(K) -> ExecutionId,
    ) -> Result<AnyOf, StoreError>
    where
        P: Copy + 'static,
        K: for<'a> redb::Key<SelfType<'a> = K> + Copy + Ord + 'static,
    {
        let ids = parts.iter().map(|&part| {
            let key = key.clone();
            let walker = index.walker(self.view)?;
            Ok(Ids::new(walker, self.oldest, move |id| key(part, id), id))
        });
        ids.collect::<Result<_, StoreError>>().map(AnyOf)
    }
}

/// What is in any of several.
struct AnyOf(Vec<Ids>);

impl AnyOf {
    /// The newest that is not newer than `id`. From one call to the next, `id` never grows.
    fn at_most(&mut self, id: ExecutionId) -> Result<Option<ExecutionId>, StoreError> {
        let mut newest = None;
        for ids in &mut self.0 {
            newest = newest.max(ids.at_most(id)?);
        }
        Ok(newest)
    }
}

/// The ids in one part of an index, newest first, among which can be jumped.
struct Ids {
    begin: Box<dyn Fn(ExecutionId) -> Result<Walk<ExecutionId>, StoreError>>,
    walk: Option<Walk<ExecutionId>>,
    head: Option<ExecutionId>,
}

impl Ids {
    fn new<K: 'static>(
        walker: Walker<K>,
        oldest: ExecutionId,
        key: impl Fn(ExecutionId) -> K + 'static,
        id: fn(K) -> ExecutionId,
    ) -> Self {
        let begin = move |newest| {
            let walk = walker(key(oldest)..=key(newest))?;
            let ids: Walk<ExecutionId> = Box::new(walk.map(move |row| row.map(id)));
            Ok(ids)
        };
        Self { begin: Box::new(begin), walk: None, head: None }
    }

    /// As [`AnyOf::at_most`].
    fn at_most(&mut self, id: ExecutionId) -> Result<Option<ExecutionId>, StoreError> {
        if self.walk.is_some() {
            for _ in 0..PASSED {
                match self.head {
                    // No more, or not yet come to.
                    None => return Ok(None),
                    Some(head) if head <= id => return Ok(Some(head)),
                    Some(_) => self.step()?,
                }
            }
            if self.head.is_none_or(|head| head <= id) {
                return Ok(self.head);
            }
        }
        self.walk = Some((self.begin)(id)?);
        self.step()?;
        Ok(self.head)
    }

    fn step(&mut self) -> Result<(), StoreError> {
        self.head = self.walk.as_mut().and_then(Iterator::next).transpose()?;
        Ok(())
    }
}

/// Before every id that is made from this moment on, and after all that were made before.
fn first_at(moment: Timestamp) -> ExecutionId {
    let millis = u64::try_from(moment.as_millisecond()).unwrap_or(0);
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    ExecutionId::from_bytes(&bytes)
}

/// The id right before another.
fn before(id: ExecutionId) -> Option<ExecutionId> {
    let number = u128::from_be_bytes(ExecutionId::as_bytes(&id)).checked_sub(1)?;
    Some(ExecutionId::from_bytes(&number.to_be_bytes()))
}
