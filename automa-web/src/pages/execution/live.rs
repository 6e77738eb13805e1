//! The one stream of an execution's page: lines as they are written, and its parts as it goes on.
//!
//! Each event's data is HTML. `lines` are added to the log, with the number of the last one as id,
//! from which a browser that lost the stream resumes. The parts of `parts` and `end` replace those
//! of the same id on the page; after `end` nothing comes. If the execution is tried again, `again`
//! comes with the start of the next attempt, which has a log and a stream of its own.

use std::time::Duration;

use askama::Template as _;
use automa_core::{
    Automa,
    actor::Permission,
    event::Subscription,
    execution::{
        Follow, State, Waiting,
        log::{Cut, Window},
    },
    id::ExecutionId,
};
use futures_util::{StreamExt as _, stream};
use poem::{
    Request, handler,
    web::{
        Data, Path, Query,
        sse::{self, SSE},
    },
};
use tokio::time::{Instant, sleep_until};

use super::{Found, Parts, is_ending};
use crate::{
    auth::Caller,
    blocking,
    lifecycle::Stop,
    pages::{
        executions::{KEEP_ALIVE, LIFE},
        form::Typed,
        log::{LINES, Look, Place, Rows, View, gap},
        usage::Usage,
    },
    problem::Problem,
};

/// How often it is looked at what an execution waits for.
const WAITS: Duration = Duration::from_secs(1);
/// How often what it uses is drawn.
const USAGE: Duration = Duration::from_secs(2);
/// Lines by which a page may be behind: beyond that it gets the last ones only.
const BEHIND: u64 = 4 * LINES as u64;

/// A page that follows an execution.
struct Following {
    automa: Automa,
    caller: Caller,
    id: ExecutionId,
    follow: Follow,
    events: Subscription,
    /// The line to go on from.
    from: u64,
    /// How the page shows lines, and which.
    rows: Rows,
    /// The state that the page shows.
    shown: Option<State>,
    /// Whether it shows that the execution was asked to end.
    ending: bool,
    /// Why it shows that the execution waits.
    waiting: Option<Waiting>,
    /// When what it uses is drawn again.
    usage_due: Instant,
    /// Whether the attempt has ended, and another may follow.
    rests: bool,
    over: bool,
}

/// The state that a page shows which asks for what comes after.
fn named_state(query: &Typed) -> Result<Option<State>, Problem> {
    crate::pages::named(query.get("state"), "state", crate::pages::state)
}

/// Follows an execution from line `?from=` on, or from where the browser was before.
#[handler]
pub(in crate::pages) fn events(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
    Data(stop): Data<&Stop>,
    Path(id): Path<String>,
    Query(query): Query<Typed>,
) -> Result<SSE, Problem> {
    let id: ExecutionId = crate::pages::id(&id)?;
    let seen = request.header("Last-Event-ID").and_then(|it| it.parse::<u64>().ok());
    let asked = crate::pages::named(query.get("from"), "line", |it| it.parse().ok())?;
    let from = seen.map(|line| line.saturating_add(1)).or(asked).unwrap_or(1).max(1);
    // Subscribed before it is read, so that no change falls between the two.
    let events = automa.events();
    let executions = automa.executions(&caller.actor);
    let view = View::of(&query)?;
    let follow = executions.follow((id, view.attempt))?;
    let rows = Rows::new(&executions.get(id)?, view, Look::of(request));
    let shown = named_state(&query)?;
    let ending = query.has("ending");
    let following = Following {
        automa: automa.clone(),
        caller,
        id,
        follow,
        events,
        from,
        rows,
        shown,
        ending,
        waiting: None,
        usage_due: Instant::now() + USAGE,
        rests: false,
        over: false,
    };
    let stop = stop.clone();
    let ended = async move {
        tokio::select! {
            () = stop.told() => {}
            () = tokio::time::sleep(LIFE) => {}
        }
    };
    let stream = stream::unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((event, following))
    });
    Ok(SSE::new(stream.take_until(Box::pin(ended))).keep_alive(KEEP_ALIVE))
}

impl Following {
    async fn next(&mut self) -> Option<sse::Event> {
        if self.over {
            return None;
        }
        loop {
            let changed = self.changed()?;
            match self.shown {
                Some(State::Running) if self.rests => {
                    self.over = true;
                    return Some(sse::Event::message("again").event_type("again"));
                }
                Some(state) if self.rests && !state.is_open() => {
                    self.over = true;
                    return self.parts("end").await;
                }
                _ if changed => return self.parts("parts").await,
                _ => {}
            }
            // Which of these is dropped has lost nothing: lines are asked for by their numbers.
            let window = tokio::select! {
                window = self.follow.next(self.from), if !self.rests => window,
                event = self.events.next() => {
                    event?;
                    continue;
                }
                // What goes before it changes without an event of its own.
                () = tokio::time::sleep(WAITS), if self.waiting.is_some() => continue,
                () = sleep_until(self.usage_due), if self.runs() => {
                    self.usage_due = Instant::now() + USAGE;
                    return self.usage();
                }
            };
            return match window {
                Ok(Some(window)) => Some(self.lines(window).await),
                Ok(None) => {
                    // What waits to be tried again is told of above.
                    self.rests = true;
                    continue;
                }
                Err(error) => {
                    tracing::warn!(id = %self.id, %error, "a log cannot be followed");
                    None
                }
            };
        }
    }

    /// Whether the page shows something else than what is; from here on it does not.
    fn changed(&mut self) -> Option<bool> {
        let executions = self.automa.executions(&self.caller.actor);
        let execution = executions.get(self.id).ok()?;
        let (state, ending) = (execution.state, is_ending(&execution));
        let waiting = executions.waiting(self.id).ok()?;
        let began = state == State::Running && self.shown != Some(state);
        let changed = began || ending != self.ending || waiting != self.waiting;
        (self.shown, self.ending, self.waiting) = (Some(state), ending, waiting);
        // What has ended is told with its last line.
        Some(changed && state.is_open())
    }

    fn runs(&self) -> bool {
        self.shown == Some(State::Running) && !self.rests
    }

    /// The part of the page that draws what it uses.
    fn usage(&self) -> Option<sse::Event> {
        let usage = self.automa.executions(&self.caller.actor).usage(self.id).ok()?;
        Some(sse::Event::message(Usage::new(&usage).render().ok()?).event_type("parts"))
    }

    async fn lines(&mut self, mut window: Window) -> sse::Event {
        let mut html = String::new();
        // Those that are passed over now or were before, since they were cut.
        let mut cut = window.cut.filter(|cut| (self.from..window.next).contains(&cut.last));
        if window.total.saturating_sub(window.next) > BEHIND
            && let Some(last) = self.last_lines().await
            && let Some(line) = last.lines.first()
        {
            let place = self.rows.at(Place::From(self.from));
            let passed = |cut: &Cut| (self.from..line.n).contains(&cut.last);
            let gone =
                last.cut.filter(passed).map_or(0, |it| it.last + 1 - it.first.max(self.from));
            html += &gap(line.n.saturating_sub(self.from + gone), &place);
            cut = last.cut.filter(passed);
            window = last;
        }
        self.from = window.next;
        window.lines.retain(|line| self.rows.shows(line));
        html += &self.rows.draw(&window.lines, cut);
        sse::Event::message(html).event_type("lines").id(window.next.saturating_sub(1).to_string())
    }

    async fn last_lines(&self) -> Option<Window> {
        let log =
            self.automa.executions(&self.caller.actor).log((self.id, self.rows.attempt())).ok()?;
        blocking::run(move || log.tail(LINES)).await.ok()?.ok()
    }

    /// The parts of the page as they are now.
    async fn parts(&self, name: &str) -> Option<sse::Event> {
        let found = Found::of(&self.automa, &self.caller, self.id).await.ok()?;
        let last = found.last_error(&self.automa, &self.caller).await.ok().flatten();
        let may_run = self.caller.actor.require(Permission::Execute).is_ok();
        let Parts { outcome, actions, results, facts } = found.parts(may_run, last);
        let html = [outcome.render(), actions.render(), results.render(), facts.render()];
        let html: Vec<_> = html.into_iter().collect::<Result<_, _>>().ok()?;
        Some(sse::Event::message(html.concat()).event_type(name))
    }
}
