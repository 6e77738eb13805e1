//! `/executions`: the list, filtered and in pages, and the notices that it has changed.

mod asked;

use std::time::Duration;

use askama::Template;
use automa_core::{
    Automa, Error,
    actor::Permission,
    event::{Event, Subscription},
    execution::{Count, Execution, State},
    id::ScriptId,
    page::{Cursor, Limit, Page, PageRequest},
};
use futures_util::{StreamExt as _, stream};
use poem::{
    Request, Response, handler,
    web::{
        Data, Query,
        sse::{self, SSE},
    },
};

use self::asked::{Asked, Part, took};
use super::{
    form::Typed,
    frame::{Frame, Place},
    table::{Table, Tally},
};
use crate::{
    auth::Caller,
    filters::{self, state_word},
    htmx::{render, see_other},
    lifecycle::Stop,
    problem::Problem,
};

/// Shortest time between two notices of a stream: a page asks for its rows upon each.
const PAUSE: Duration = Duration::from_millis(500);
/// Life of a stream: afterwards the browser asks again, and shows again who it is.
pub(super) const LIFE: Duration = Duration::from_mins(10);
/// Time after which something is sent, so that nobody on the way thinks the stream dead.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Choices of the least duration.
const TOOK: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_mins(1),
    Duration::from_mins(10),
    Duration::from_hours(1),
];

#[derive(Debug, Template)]
#[template(path = "executions/list.html")]
struct ListPage {
    frame: Frame,
    may_run: bool,
    asked: Asked,
    /// The name of the script that is asked for.
    script: Option<String>,
    /// Those that can be chosen.
    scripts: Vec<(ScriptId, String)>,
    counts: Tally,
    table: Table,
    /// Whether it is the first page.
    first: bool,
    /// Where the next page is.
    next: Option<String>,
    /// Where to ask for the rows again when something has changed.
    refresh: Option<String>,
    /// Of an empty list: what there would be without each of the filters.
    instead: Vec<Instead>,
}

/// A filter that can be chosen.
#[derive(Debug)]
struct Chip {
    name: &'static str,
    path: String,
    count: Option<u64>,
    current: bool,
}

/// A list with a filter less.
#[derive(Debug)]
struct Instead {
    /// Which one.
    without: String,
    path: String,
    count: Count,
}

/// A choice of the form.
#[derive(Debug)]
struct Choice {
    value: String,
    title: String,
    current: bool,
}

impl ListPage {
    /// The states, each to be added or taken away.
    fn chips(&self) -> Vec<Chip> {
        let asked = &self.asked;
        let all = Chip {
            name: "All",
            path: asked.in_any_state().path(),
            count: None,
            current: asked.states.is_empty(),
        };
        let chip = |&(state, count): &(State, u64)| Chip {
            name: state_word(state),
            path: asked.toggled(state).path(),
            // They are of all executions.
            count: (!asked.has_more()).then_some(count),
            current: asked.states.contains(&state),
        };
        std::iter::once(all).chain(self.counts.0.iter().map(chip)).collect()
    }

    fn parts(&self) -> Vec<Part> {
        self.asked.parts(self.script.as_deref())
    }

    fn script_choices(&self) -> Vec<Choice> {
        let scripts = self.scripts.iter().map(|(id, name)| Choice {
            value: id.to_string(),
            title: name.clone(),
            current: self.asked.script == Some(*id),
        });
        scripts.collect()
    }

    /// The script that is asked for, if it is none of the choices: an old one, or one that was
    /// deleted.
    fn unlisted_script(&self) -> Option<ScriptId> {
        self.asked.script.filter(|id| self.scripts.iter().all(|(known, _)| known != id))
    }

    fn took_choices(&self) -> Vec<Choice> {
        let asked = self.asked.took;
        let other = asked.filter(|it| !TOOK.contains(it));
        let choices = TOOK.into_iter().chain(other).map(|it| Choice {
            value: took(it),
            title: filters::duration(u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
            current: asked == Some(it),
        });
        choices.collect()
    }

    /// What the person who looks has asked for.
    fn mine(&self) -> Option<String> {
        let name = self.frame.user.as_ref().map(|user| user.name.clone())?;
        let mine = Asked { by: Some(name), ..self.asked.clone() };
        (mine != self.asked).then(|| mine.path())
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
    let asked = Asked::read(&query)?;
    let cursor: Option<Cursor> = super::named(query.get("cursor"), "page", |it| it.parse().ok())?;
    if !query.is_filled() && cursor.is_none() {
        // A form sends what is empty, too: an address that is kept has only what counts.
        return Ok(see_other(&asked.path()));
    }
    let first = cursor.is_none();
    let executions = automa.executions(&caller.actor);
    let request_page = PageRequest { cursor, ..PageRequest::default() };
    let page = executions.list(asked.filter(), request_page).await?;
    let scripts = scripts(automa, &caller).await?;
    let script = asked.script.map(|id| script_name(&scripts, id, automa, &caller, &page));
    let frame = super::frame(request, &caller, "Executions", Place::Executions);
    let path = asked.path();
    let cursor = |cursor: &Cursor| {
        format!("{path}{}cursor={cursor}", if path.contains('?') { '&' } else { '?' })
    };
    let nothing = first && page.items.is_empty() && page.next_cursor.is_none();
    let instead = if nothing && asked.is_filtered() {
        instead(automa, &caller, &asked, script.as_deref()).await?
    } else {
        Vec::new()
    };
    render(&ListPage {
        may_run: caller.actor.require(Permission::Execute).is_ok(),
        table: Table::new("Executions, newest first", &page.items, frame.now),
        counts: executions.counts()?.into(),
        next: page.next_cursor.as_ref().map(cursor),
        // Older pages hold what has ended: only the first one moves.
        refresh: first.then_some(path),
        first,
        asked,
        script,
        scripts,
        instead,
        frame,
    })
}

/// The newest scripts.
async fn scripts(automa: &Automa, caller: &Caller) -> Result<Vec<(ScriptId, String)>, Problem> {
    let limit = Limit::new(u64::from(Limit::MAX)).unwrap_or_default();
    let page = PageRequest { cursor: None, limit };
    let scripts = automa.scripts(&caller.actor).list(page).await?.items;
    Ok(scripts.into_iter().map(|script| (script.id, script.name)).collect())
}

/// What there would be with one filter less: only what there would be some of.
async fn instead(
    automa: &Automa,
    caller: &Caller,
    asked: &Asked,
    script: Option<&str>,
) -> Result<Vec<Instead>, Problem> {
    let mut ways = asked.parts(script);
    if !asked.states.is_empty() {
        let states: Vec<_> = asked.states.iter().map(|it| state_word(*it)).collect();
        let (value, without) = (states.join(" or "), asked.in_any_state());
        ways.insert(0, Part { name: "State", value, without });
    }
    let mut instead = Vec::new();
    for Part { name, value, without } in ways {
        let count = automa.executions(&caller.actor).count(without.filter()).await?;
        if count.count > 0 || !count.is_exact {
            let path = without.path();
            instead.push(Instead { without: format!("{name}: {value}"), path, count });
        }
    }
    Ok(instead)
}

/// The name of a script, of a deleted one as its executions remember it.
fn script_name(
    scripts: &[(ScriptId, String)],
    id: ScriptId,
    automa: &Automa,
    caller: &Caller,
    page: &Page<Execution>,
) -> String {
    if let Some((_, name)) = scripts.iter().find(|(known, _)| *known == id) {
        return name.clone();
    }
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

    fn page(asked: Asked, items: &[Execution], first: bool, may_run: bool) -> ListPage {
        let frame = samples::frame("Executions", Place::Executions);
        let path = asked.path();
        let count = Count { count: 12_480, is_exact: false };
        let parts = asked.parts(Some(samples::HOSTILE)).into_iter().map(|part| Instead {
            without: format!("{}: {}", part.name, part.value),
            path: part.without.path(),
            count,
        });
        ListPage {
            may_run,
            instead: parts.collect(),
            script: asked.script.map(|_| samples::HOSTILE.to_owned()),
            scripts: vec![(samples::script_id(), samples::HOSTILE.to_owned())],
            counts: samples::counts(&samples::executions()),
            table: Table::new("Executions, newest first", items, frame.now),
            next: (!first).then(|| format!("{path}?cursor={}", samples::cursor())),
            refresh: first.then_some(path),
            first,
            asked,
            frame,
        }
    }

    fn everything() -> Asked {
        Asked {
            states: vec![State::Failed, State::Lost],
            script: Some(samples::script_id()),
            by: Some(samples::HOSTILE.to_owned()),
            from: "2026-01-01".parse().ok(),
            until: "2026-12-31".parse().ok(),
            took: Some(Duration::from_secs(90)),
        }
    }

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let executions = samples::executions();
        let none = Asked::default;
        let draw = |page: ListPage| page.render().unwrap();
        vec![
            ("executions", draw(page(none(), &executions, true, true))),
            ("executions-filtered", draw(page(everything(), &executions, false, true))),
            ("executions-none", draw(page(none(), &[], true, true))),
            ("executions-none-viewer", draw(page(none(), &[], true, false))),
            ("executions-no-match", draw(page(everything(), &[], true, true))),
            ("executions-not-yet", draw(page(everything(), &[], false, true))),
        ]
    }

    #[test]
    fn a_duration_that_was_asked_for_is_a_choice() {
        let choices = page(everything(), &[], true, true).took_choices();
        let current: Vec<_> = choices.iter().filter(|it| it.current).collect();
        assert_eq!((choices.len(), current.len()), (6, 1));
        assert_eq!((&*current[0].value, &*current[0].title), ("1m30s", "1 min 30 s"));
    }
}
