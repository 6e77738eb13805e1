//! Finds the entries that a filter lets through: newest first, by the facets that it names.

use redb::Value as _;

use super::{
    super::{
        change::Snapshot,
        meet::{AnyOf, Found, Ids, Meet, Span},
    },
    ACTION, ACTOR, AUDIT, BY, Facet, OUTCOME, RESOURCE, facet,
};
use crate::{
    audit::{Entry, Filter, Outcome},
    error::StoreError,
    id::AuditId,
    page::{Cursor, InvalidCursor, Page, PageRequest},
};

/// Steps of one search: some tens of milliseconds.
const STEPS: usize = 20_000;

/// A search for entries, newest first.
pub(super) struct Search {
    named: Meet<AuditId>,
    newest: AuditId,
    /// That of most entries is in no index.
    outcome: Option<Outcome>,
    read: Box<dyn Fn(AuditId) -> Result<Option<Entry>, StoreError>>,
    /// The name of the list: cursors of another filter do not belong to it.
    list: String,
}

impl Search {
    pub(super) fn new(view: &Snapshot, filter: &Filter) -> Result<Self, StoreError> {
        let Filter { actor, actions, resource, outcome, from, until } = filter;
        let oldest = from.map_or(AuditId::MIN, AuditId::first_at);
        let newest = match *until {
            None => AuditId::MAX,
            // No moment is before the first: the list is empty then.
            Some(until) => AuditId::first_at(until).before().unwrap_or(AuditId::MIN),
        };
        let at = Span { view, oldest };
        let any_of =
            |facets: &[Facet]| at.any_of(facets, &BY, |facet, id| (facet, id), |key| key.1);
        let mut named = Vec::new();
        if let Some(actor) = actor {
            named.push(any_of(&[facet(ACTOR, actor)])?);
        }
        if !actions.is_empty() {
            let mut facets: Vec<_> = actions.iter().map(|name| facet(ACTION, name)).collect();
            facets.sort_unstable();
            facets.dedup();
            named.push(any_of(&facets)?);
        }
        if let Some(resource) = resource {
            named.push(any_of(&[facet(RESOURCE, &resource.to_string())])?);
        }
        if let Some(outcome) = outcome.filter(|outcome| *outcome != Outcome::Done) {
            named.push(any_of(&[facet(OUTCOME, outcome.name())])?);
        }
        if named.is_empty() {
            named.push(AnyOf::of(Ids::new(AUDIT.walker(view)?, oldest, |id| id, |id| id)));
        }
        Ok(Self {
            named: Meet::new(named, oldest, STEPS),
            newest,
            outcome: *outcome,
            read: Box::new(AUDIT.finder(view)?),
            list: format!("audit {actor:?} {actions:?} {resource:?} {outcome:?}"),
        })
    }

    /// One page. A cursor is the newest id that may follow.
    pub(super) fn page(mut self, request: &PageRequest) -> Result<Page<Entry>, StoreError> {
        let mut at = self.newest;
        if let Some(cursor) = &request.cursor {
            let key: [u8; 16] = cursor.key(&self.list)?.try_into().map_err(|_| InvalidCursor)?;
            at = at.min(AuditId::from_bytes(&key));
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
            let fits = |entry: &Entry| self.outcome.is_none_or(|it| entry.outcome == it);
            items.extend((self.read)(id)?.filter(fits));
            let Some(older) = id.before() else { break None };
            at = older;
        };
        let next_cursor = next.map(|next| Cursor::new(&self.list, &AuditId::as_bytes(&next)));
        Ok(Page { items, next_cursor })
    }
}
