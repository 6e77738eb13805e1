//! `/`: a first script for a newcomer; afterwards how much runs, what ran, and what went wrong.

use askama::Template;
use automa_core::{
    Automa,
    actor::Permission,
    execution::{Execution, Filter, State},
    id::ExecutionId,
    page::{Limit, PageRequest},
};
use jiff::Timestamp;
use poem::{Request, Response, handler, web::Data};

use super::{
    form::{Field, Kind},
    frame::{Frame, Place},
    protections::Protections,
    table::{self, Table, Tally},
    text::sentence,
};
use crate::{
    auth::Caller,
    filters::{self, grouped},
    htmx::render,
    problem::Problem,
};

/// How many of the newest executions are looked at for what went wrong.
const LOOKED_AT: u64 = 100;
/// How many executions are shown.
const RECENT: usize = 12;
/// How many things are shown that need attention.
const ATTENTION: usize = 6;

/// What a newcomer runs first.
pub(crate) const HELLO: &str = include_str!("../../../templates/hello.sh");

#[derive(Debug, Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    may_run: bool,
    /// The first script, as long as nothing was run.
    hello: Option<Field>,
    protections: Option<Protections>,
    stats: Vec<Stat>,
    recent: Table,
    attention: Vec<Attention>,
    looked_at: usize,
}

#[derive(Debug)]
struct Stat {
    name: &'static str,
    value: String,
    note: String,
    /// Where the note leads.
    path: Option<&'static str>,
}

/// Something that went wrong, the last time it did.
#[derive(Debug)]
struct Attention {
    id: ExecutionId,
    state: State,
    name: String,
    times: usize,
    cause: String,
    at: Timestamp,
}

impl Overview {
    fn new(
        frame: Frame,
        may_run: bool,
        counts: &Tally,
        newest: &[Execution],
        protections: Option<Protections>,
    ) -> Self {
        let hello = (counts.total() == 0).then(|| {
            Field::new("source", "What it does", Kind::Text(18)).value(HELLO).attributes(
                "class=\"mono\" spellcheck=\"false\" autocapitalize=\"none\" wrap=\"off\"",
            )
        });
        Self {
            may_run,
            protections: protections.filter(|_| hello.is_some()),
            hello,
            stats: stats(counts),
            recent: Table::new("Recent executions", newest, frame.now).first(RECENT),
            attention: attention(newest),
            looked_at: newest.len(),
            frame,
        }
    }
}

fn stats(counts: &Tally) -> Vec<Stat> {
    let of = |state| counts.of(state);
    let all = counts.total();
    let ended = all - of(State::Queued) - of(State::Running);
    let stat =
        |name, value: u64, note: String, path| Stat { name, value: grouped(value), note, path };
    let share = (of(State::Succeeded) * 1000).checked_div(ended);
    let share =
        share.map_or_else(String::new, |it| format!("{}.{} % of what ended", it / 10, it % 10));
    let failed = of(State::Failed);
    let stopped = of(State::TimedOut) + of(State::OutOfMemory) + of(State::Lost);
    let link = |state: State, path| (of(state) > 0).then_some(path);
    vec![
        stat("Executions", all, "in all".to_owned(), Some("/executions")),
        stat(
            "Running",
            of(State::Running),
            format!("{} waiting", grouped(of(State::Queued))),
            link(State::Queued, "/executions?state=queued"),
        ),
        stat("Succeeded", of(State::Succeeded), share, None),
        stat(
            "Failed",
            failed,
            if failed == 0 { "none".to_owned() } else { "show them".to_owned() },
            link(State::Failed, "/executions?state=failed"),
        ),
        stat("Stopped", stopped, "time, memory, or lost".to_owned(), None),
    ]
}

/// What went wrong, newest first, each script once.
fn attention(newest: &[Execution]) -> Vec<Attention> {
    let mut attention: Vec<Attention> = Vec::new();
    let wrong = [State::Failed, State::TimedOut, State::OutOfMemory, State::Lost];
    for execution in newest.iter().filter(|it| wrong.contains(&it.state)) {
        let name = table::title(execution);
        match attention.iter_mut().find(|it| it.name == name) {
            Some(known) => known.times += 1,
            None => attention.push(Attention {
                id: execution.id,
                state: execution.state,
                name,
                times: 1,
                cause: execution.ending.as_ref().map_or_else(String::new, |it| sentence(&it.cause)),
                at: execution.created_at,
            }),
        }
    }
    attention.truncate(ATTENTION);
    attention
}

impl Attention {
    fn icon(&self) -> &'static str {
        filters::state_icon(self.state)
    }

    fn what(&self) -> String {
        let what = match self.state {
            State::TimedOut => "timed out",
            State::OutOfMemory => "ran out of memory",
            State::Lost => "was lost",
            _ => "failed",
        };
        if self.times == 1 {
            what.to_owned()
        } else {
            format!("{what}, {} times lately", self.times)
        }
    }
}

/// Shows the page.
#[handler]
pub(super) async fn show(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
) -> Result<Response, Problem> {
    let actor = &caller.actor;
    let executions = automa.executions(actor);
    let counts = Tally::from(executions.counts()?);
    let page = PageRequest { limit: Limit::new(LOOKED_AT).unwrap_or_default(), cursor: None };
    let newest = executions.list(Filter::default(), page).await?.items;
    let frame = super::frame(request, &caller, "Overview", Place::Overview);
    let may_run = actor.require(Permission::Execute).is_ok();
    let protections =
        automa.protections().map(|it| Protections::new("What this machine enforces", &it));
    render(&Overview::new(frame, may_run, &counts, &newest, protections))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pages::samples;

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let page = |may_run, newest: &[Execution]| {
            let frame = samples::frame("Overview", Place::Overview);
            let counts = samples::counts(newest);
            Overview::new(frame, may_run, &counts, newest, Some(samples::protections()))
                .render()
                .unwrap()
        };
        let executions = samples::executions();
        vec![
            ("overview-first", page(true, &[])),
            ("overview-first-viewer", page(false, &[])),
            ("overview", page(true, &executions)),
            ("overview-well", page(true, &executions[2..3])),
        ]
    }

    #[test]
    fn what_went_wrong_is_shown_once_for_each_script() {
        let executions = samples::executions();
        let twice = [&executions[..], &executions[..]].concat();
        let attention = attention(&twice);
        let names: Vec<_> = attention.iter().map(|it| it.name.as_str()).collect();
        let mut unique = names.clone();
        unique.dedup();
        assert_eq!(names, unique);
        assert!(attention.iter().all(|it| it.times >= 2));
    }
}
