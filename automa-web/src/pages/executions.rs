//! `/executions`: the list, filtered and in pages, and the notices that it has changed.

use std::time::Duration;

use askama::Template;
use automa_core::{
    Automa, Error,
    actor::Permission,
    event::{Event, Subscription},
    execution::{Execution, Filter, State},
    id::ScriptId,
    page::{Cursor, Page, PageRequest},
};
use futures_util::{StreamExt as _, stream};
use poem::{
    Request, Response, handler,
    web::{
        Data, Query,
        sse::{self, SSE},
    },
};

use super::{
    form::Typed,
    frame::{Frame, Place},
    table::{Table, Tally},
};
use crate::{
    auth::Caller,
    filters::{self, state_word},
    htmx::render,
    lifecycle::Stop,
    problem::Problem,
};

/// Shortest time between two notices of a stream: a page asks for its rows upon each.
const PAUSE: Duration = Duration::from_millis(500);
/// Life of a stream: afterwards the browser asks again, and shows again who it is.
pub(super) const LIFE: Duration = Duration::from_mins(10);
/// Time after which something is sent, so that nobody on the way thinks the stream dead.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(20);

#[derive(Debug, Template)]
#[template(path = "executions/list.html")]
struct ListPage {
    frame: Frame,
    may_run: bool,
    asked: Asked,
    counts: Tally,
    table: Table,
    /// Where the next page is.
    next: Option<String>,
    /// Where to ask for the rows again when something has changed.
    refresh: Option<String>,
}

/// What part of the list was asked for.
#[derive(Debug, Clone)]
struct Asked {
    state: Option<State>,
    /// The script whose executions these are, with its name.
    script: Option<(ScriptId, String)>,
    /// Whether it is the first page.
    first: bool,
}

/// A filter that can be chosen.
#[derive(Debug)]
struct Chip {
    name: &'static str,
    path: String,
    count: Option<u64>,
    current: bool,
}

impl ListPage {
    fn new(
        frame: Frame,
        may_run: bool,
        asked: Asked,
        counts: Tally,
        page: &Page<Execution>,
    ) -> Self {
        let path = asked.path(asked.state);
        let next = page.next_cursor.as_ref().map(|cursor| {
            format!("{path}{}cursor={cursor}", if path.contains('?') { '&' } else { '?' })
        });
        Self {
            may_run,
            table: Table::new("Executions, newest first", &page.items, frame.now),
            counts,
            next,
            // Older pages hold what has ended: only the first one moves.
            refresh: asked.first.then_some(path),
            asked,
            frame,
        }
    }

    fn chips(&self) -> Vec<Chip> {
        let chip = |state, name, count| Chip {
            name,
            path: self.asked.path(state),
            count,
            current: self.asked.state == state,
        };
        let states = self.counts.0.iter();
        let states =
            states.map(|(state, count)| chip(Some(*state), state_word(*state), Some(*count)));
        std::iter::once(chip(None, "All", None)).chain(states).collect()
    }

    /// The same list from its beginning.
    fn newest(&self) -> String {
        self.asked.path(self.asked.state)
    }
}

impl Asked {
    fn is_filtered(&self) -> bool {
        self.state.is_some() || self.script.is_some()
    }

    /// The list in another state.
    fn path(&self, state: Option<State>) -> String {
        path(state, self.script.as_ref().map(|(id, _)| *id))
    }

    fn without_script(&self) -> String {
        path(self.state, None)
    }
}

/// The list with these filters.
fn path(state: Option<State>, script: Option<ScriptId>) -> String {
    let state = state.map(|state| format!("state={state}"));
    let script = script.map(|script| format!("script={script}"));
    let filters: Vec<_> = state.into_iter().chain(script).collect();
    if filters.is_empty() {
        "/executions".to_owned()
    } else {
        format!("/executions?{}", filters.join("&"))
    }
}

/// Shows a page of the list.
#[handler]
pub(super) async fn show_list(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Query(query): Query<Typed>,
) -> Result<Response, Problem> {
    let state = super::named(query.get("state"), "state", super::state)?;
    let script = super::named(query.get("script"), "script", |id| id.parse().ok())?;
    let cursor: Option<Cursor> = super::named(query.get("cursor"), "page", |it| it.parse().ok())?;
    let first = cursor.is_none();
    let executions = automa.executions(&caller.actor);
    let request_page = PageRequest { cursor, ..PageRequest::default() };
    let page = executions.list(Filter { state, script }, request_page).await?;
    let counts = executions.counts()?.into();
    let script = script.map(|id| (id, script_name(automa, &caller, id, &page)));
    let asked = Asked { state, script, first };
    let frame = super::frame(request, &caller, "Executions", Place::Executions);
    let may_run = caller.actor.require(Permission::Execute).is_ok();
    render(&ListPage::new(frame, may_run, asked, counts, &page))
}

/// The name of a script, of a deleted one as its executions remember it.
fn script_name(automa: &Automa, caller: &Caller, id: ScriptId, page: &Page<Execution>) -> String {
    if let Ok(script) = automa.scripts(&caller.actor).get(id) {
        return script.name;
    }
    let remembered = page.items.iter().find_map(|it| it.script_name.clone());
    remembered.unwrap_or_else(|| id.to_string())
}

/// Tells a page that something has changed: it asks for what it shows.
#[handler]
#[expect(clippy::needless_pass_by_value, reason = "a handler owns what it takes from a request")]
pub(super) fn notices(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Data(stop): Data<&Stop>,
) -> Result<SSE, Problem> {
    caller.actor.require(Permission::ReadExecutions).map_err(Error::from)?;
    let stop = stop.clone();
    let over = async move {
        tokio::select! {
            () = stop.told() => {}
            () = tokio::time::sleep(LIFE) => {}
        }
    };
    let changes = stream::unfold((automa.events(), true), |(mut events, first)| async move {
        // At once when it begins: something may have changed since the page was made.
        if !first {
            tokio::time::sleep(PAUSE).await;
            changed(&mut events).await?;
        }
        Some((sse::Event::message("now").event_type("changed"), (events, false)))
    });
    Ok(SSE::new(changes.take_until(Box::pin(over))).keep_alive(KEEP_ALIVE))
}

/// Waits until an execution has changed, and takes all that has happened.
async fn changed(events: &mut Subscription) -> Option<()> {
    loop {
        let mut event = Some(events.next().await?);
        let mut changed = false;
        while let Some(happened) = event {
            changed |= matches!(happened, Event::ExecutionChanged { .. } | Event::Missed(_));
            event = events.try_next();
        }
        if changed {
            return Some(());
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pages::samples;

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let page = |state, script, items: Vec<Execution>, first: bool, may_run| {
            let counts = samples::counts(&samples::executions());
            let page = Page { items, next_cursor: (!first).then(samples::cursor) };
            let frame = samples::frame("Executions", Place::Executions);
            let asked = Asked { state, script, first };
            ListPage::new(frame, may_run, asked, counts, &page).render().unwrap()
        };
        let script = || Some((samples::script_id(), samples::HOSTILE.to_owned()));
        vec![
            ("executions", page(None, None, samples::executions(), true, true)),
            (
                "executions-filtered",
                page(Some(State::Failed), script(), samples::executions(), false, true),
            ),
            ("executions-none", page(None, None, vec![], true, true)),
            ("executions-none-viewer", page(None, None, vec![], true, false)),
            ("executions-no-match", page(Some(State::Lost), script(), vec![], true, true)),
        ]
    }

    #[test]
    fn filters_are_in_the_address() {
        let id = samples::script_id();
        assert_eq!(path(None, None), "/executions");
        assert_eq!(path(Some(State::Failed), None), "/executions?state=failed");
        assert_eq!(
            path(Some(State::Lost), Some(id)),
            format!("/executions?state=lost&script={id}")
        );
    }
}
