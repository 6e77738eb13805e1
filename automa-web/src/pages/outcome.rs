//! What became of an execution, in parts that a stream replaces as it goes on: how it ended, what
//! can be done about it, what it used and what confined it.

use askama::{Template, filters::HtmlSafe};
use automa_core::{
    execution::{Attempt, Execution, GivenCredential, Ran, State, Waiting},
    id::{ExecutionId, ScriptId},
};
use automa_sandbox::{Bytes, ExitReport, Feature, Limits, Start, Step, UsagePoint};
use jiff::Timestamp;

use super::{
    egress::Egress,
    protections::Protections,
    table,
    text::{bare, sentence},
    usage::Usage,
};
use crate::filters::{self, duration, state_word};

/// How it ended or where it is, with times and numbers.
#[derive(Debug, Clone, Template)]
#[template(path = "executions/outcome.html")]
pub(crate) struct Outcome {
    state: State,
    name: String,
    /// What happened, in a sentence.
    lead: String,
    /// What the script last said about it.
    last_error: Option<String>,
    spans: Vec<Span>,
    by: String,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    wall_ms: Option<u64>,
    wall_limit: u64,
    stats: Vec<Stat>,
}

/// A stretch of the timeline; places in percent.
#[derive(Debug, Clone)]
struct Span {
    name: &'static str,
    class: String,
    millis: u64,
    x: String,
    width: String,
}

#[derive(Debug, Clone)]
struct Stat {
    name: &'static str,
    value: String,
    note: Option<String>,
}

/// What can be done with it.
#[derive(Debug, Clone, Template)]
#[template(path = "executions/actions.html")]
pub(crate) struct Actions {
    id: ExecutionId,
    script: Option<ScriptId>,
    open: bool,
    ending: bool,
    may_run: bool,
}

/// What it used, and what confined it.
#[derive(Debug, Clone, Template)]
#[template(path = "executions/facts.html")]
pub(crate) struct Facts {
    open: bool,
    started: bool,
    meters: Vec<Meter>,
    usage: Usage,
    egress: Option<Egress>,
    protections: Option<Protections>,
    attempts: Attempts,
    given: Vec<GivenCredential>,
}

/// The attempts before the last, and where their logs are.
#[derive(Debug, Clone)]
struct Attempts {
    id: ExecutionId,
    rows: Vec<(u32, State, String)>,
}

#[derive(Debug, Clone)]
struct Meter {
    name: &'static str,
    used: String,
    limit: Option<String>,
    percent: Option<u64>,
    /// `failed` where the limit was hit.
    class: &'static str,
}

/// The templates escape for themselves.
impl HtmlSafe for Outcome {}
impl HtmlSafe for Actions {}
impl HtmlSafe for Facts {}

impl Outcome {
    pub(crate) fn new(
        execution: &Execution,
        limits: &Limits,
        report: Option<&ExitReport>,
        waiting: Option<&Waiting>,
    ) -> Self {
        Self {
            state: execution.state,
            name: table::title(execution),
            lead: lead(execution, waiting),
            last_error: None,
            spans: spans(execution, report),
            by: execution.requested_by.clone(),
            created_at: execution.created_at,
            started_at: execution.started_at,
            wall_ms: execution.ending.as_ref().map(|ending| ending.wall_ms),
            wall_limit: millis(limits.wall),
            stats: stats(execution, limits),
        }
    }

    /// With the last line that it wrote to stderr.
    pub(crate) fn last_error(self, line: Option<String>) -> Self {
        Self { last_error: line, ..self }
    }

    /// What the browser's tab says.
    pub(crate) fn title(&self) -> String {
        format!("{}: {}", state_word(self.state), bare(&self.name))
    }

    /// When it was started, else asked for.
    fn at(&self) -> &Timestamp {
        self.started_at.as_ref().unwrap_or(&self.created_at)
    }

    fn timeline(&self) -> String {
        let spans = self.spans.iter().map(|it| format!("{} {}", it.name, duration(it.millis)));
        format!("Timeline: {}", spans.collect::<Vec<_>>().join(", "))
    }
}

/// What happened or will, in a sentence.
fn lead(execution: &Execution, waiting: Option<&Waiting>) -> String {
    let asked = execution.dispatch.cancelled_at.is_some();
    match (execution.state, &execution.ending) {
        (State::Queued, _) => match waiting {
            Some(waiting) => sentence(&waiting.to_string()),
            None => "It starts as soon as a place is free.".to_owned(),
        },
        (State::Running, _) if asked => {
            "It was asked to end, and has a while to do so by itself; then it is ended by force."
                .to_owned()
        }
        (State::Running, _) => "It is running; its log follows as it is written.".to_owned(),
        (State::Succeeded, Some(ending)) => {
            format!("Exit code 0 after {}.", duration(ending.wall_ms))
        }
        (State::Cancelled, None) => "It was cancelled before it was started.".to_owned(),
        (_, Some(ending)) if execution.started_at.is_none() => sentence(&ending.cause),
        (_, Some(ending)) => {
            let cause = sentence(&ending.cause);
            format!("{} after {}.", cause.trim_end_matches('.'), duration(ending.wall_ms))
        }
        (_, None) => "It ended; how is not known.".to_owned(),
    }
}

fn spans(execution: &Execution, report: Option<&ExitReport>) -> Vec<Span> {
    let (Some(started), Some(ending)) = (execution.started_at, &execution.ending) else {
        return Vec::new();
    };
    let waited = started.as_millisecond() - execution.created_at.as_millisecond();
    let waited = u64::try_from(waited).unwrap_or(0);
    let (prepared, finished) = report.map_or((0, 0), around);
    let ran = ending.wall_ms.saturating_sub(prepared + finished);
    let parts = [
        ("Queued", "none".to_owned(), waited),
        ("Prepared", "was".to_owned(), prepared),
        ("Ran", execution.state.name().to_owned(), ran),
        ("Finished", "none".to_owned(), finished),
    ];
    let total = (waited + prepared + ran + finished).max(1);
    // Tenths of a percent; each has at least two percent, so that it is seen.
    let widths = parts.each_ref().map(|(_, _, millis)| (millis * 920 / total) + 20);
    let mut x = 0;
    let place = |tenths: u64| format!("{}.{}", tenths / 10, tenths % 10);
    let placed = parts.into_iter().zip(widths).map(|((name, class, millis), width)| {
        let span = Span { name, class, millis, x: place(x), width: place(width - 3) };
        x += width;
        span
    });
    placed.collect()
}

/// Milliseconds before and after the program's own time.
fn around(report: &ExitReport) -> (u64, u64) {
    let steps = &report.timeline;
    let Some(own) = steps.iter().position(|step| step.name == "exec, run, exit") else {
        return (0, 0);
    };
    let sum = |steps: &[Step]| steps.iter().map(|step| step.ns).sum::<u64>() / 1_000_000;
    (sum(&steps[..own]), sum(&steps[own + 1..]))
}

fn stats(execution: &Execution, limits: &Limits) -> Vec<Stat> {
    let stat = |name, value: Option<String>, note: Option<String>| Stat {
        name,
        value: value.unwrap_or_else(|| "–".to_owned()),
        note,
    };
    let ending = execution.ending.as_ref();
    let cpu_limit = limits.cpu_time.map(|time| format!("limit {}", duration(millis(time))));
    #[expect(clippy::cast_precision_loss, reason = "a share of at most a few hundred")]
    let share = format!("{} of a processor", limits.cpu_millis as f64 / 1000.0);
    let memory = ending.and_then(|ending| ending.peak_memory_bytes);
    let end = match ending.map(|ending| (ending.exit_code, ending.signal)) {
        Some((Some(code), _)) => ("Exit code", Some(code.to_string())),
        Some((None, Some(signal))) => ("Signal", Some(signal.to_string())),
        _ => ("Exit code", None),
    };
    let most = execution.dispatch.max_attempts;
    let attempt = (most > 1).then(|| format!("attempt {} of {most}", execution.attempt));
    vec![
        stat("CPU time", ending.map(|it| duration(it.cpu_ms)), Some(cpu_limit.unwrap_or(share))),
        stat(
            "Peak memory",
            memory.map(|bytes| Bytes(bytes).to_string()),
            Some(format!("limit {}", limits.memory)),
        ),
        stat(end.0, end.1, attempt),
    ]
}

impl Actions {
    pub(crate) fn new(execution: &Execution, may_run: bool) -> Self {
        Self {
            id: execution.id,
            script: execution.script.map(|(script, _)| script),
            open: execution.state.is_open(),
            ending: execution.dispatch.cancelled_at.is_some(),
            may_run,
        }
    }
}

impl Facts {
    pub(crate) fn new(
        execution: &Execution,
        ran: &Ran,
        report: Option<&ExitReport>,
        usage: &[UsagePoint],
    ) -> Self {
        let protections = report.filter(|report| !report.protections.is_empty()).map(|report| {
            let protections = Protections::new("What confined it", &report.protections);
            if ran.network.is_empty() { protections } else { protections.with_network() }
        });
        Self {
            open: execution.state.is_open(),
            started: execution.started_at.is_some(),
            meters: report.map(|it| meters(&ran.limits.limits(), it)).unwrap_or_default(),
            usage: Usage::new(usage),
            egress: Egress::new(&ran.network, report),
            protections,
            attempts: Attempts { id: execution.id, rows: Vec::new() },
            given: Vec::new(),
        }
    }

    /// With the credentials that it was given.
    pub(crate) fn given(mut self, given: &[GivenCredential]) -> Self {
        self.given = given.to_vec();
        self
    }

    /// With the attempts before the last.
    pub(crate) fn after(mut self, attempts: &[Attempt]) -> Self {
        let row = |it: &Attempt| (it.number, it.state, sentence(&it.ending.cause));
        self.attempts.rows = attempts.iter().map(row).collect();
        self
    }
}

fn meters(limits: &Limits, report: &ExitReport) -> Vec<Meter> {
    let hit = |feature| report.limits_hit.contains(&feature);
    let usage = &report.usage;
    let time = |name, used: u64, limit: Option<u64>, feature| Meter {
        name,
        used: duration(used),
        limit: limit.map(duration),
        percent: limit.map(|limit| percent(used, limit)),
        class: if hit(feature) { "failed" } else { "" },
    };
    let size = |name, used: Bytes, limit: Bytes, feature| Meter {
        name,
        used: used.to_string(),
        limit: Some(limit.to_string()),
        percent: Some(percent(used.0, limit.0)),
        class: if hit(feature) { "failed" } else { "" },
    };
    let cpu_limit = limits.cpu_time.map(millis);
    let mut meters = vec![
        time("Time", millis(usage.wall()), Some(millis(limits.wall)), Feature::WallTime),
        time("Processor time", millis(usage.cpu()), cpu_limit, Feature::CpuTime),
    ];
    if let Some(peak) = usage.memory_peak {
        meters.push(size("Memory", peak, limits.memory, Feature::MemoryLimit));
    }
    meters.push(size("Output", usage.output, limits.output, Feature::OutputLimit));
    meters.push(size("Temporary files", usage.tmp, limits.tmp, Feature::DiskLimit));
    let fact = |name, used, class| Meter { name, used, limit: None, percent: None, class };
    if usage.forks_refused > 0 {
        meters.push(fact("Processes refused", usage.forks_refused.to_string(), "failed"));
    }
    let start = match report.start {
        Start::Warm => "prepared in advance",
        Start::Cold => "made for this run",
    };
    meters.push(fact("Sandbox", start.to_owned(), ""));
    meters
}

/// Whole percents, 0 to 100.
fn percent(used: u64, limit: u64) -> u64 {
    let share = u128::from(used) * 100 / u128::from(limit.max(1));
    u64::try_from(share).unwrap_or(100).min(100)
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::samples;

    #[test]
    fn the_timeline_adds_up() {
        let execution = samples::execution(State::Failed, "a");
        let spans = spans(&execution, Some(&samples::report()));
        let millis: Vec<_> = spans.iter().map(|span| (span.name, span.millis)).collect();
        let expected = [("Queued", 1000), ("Prepared", 3), ("Ran", 8411), ("Finished", 6)];
        assert_eq!(millis, expected);
        let ends: Vec<f64> = spans
            .iter()
            .map(|span| span.x.parse::<f64>().unwrap() + span.width.parse::<f64>().unwrap())
            .collect();
        assert!(ends.is_sorted() && ends.iter().all(|end| *end <= 100.0), "{ends:?}");
    }

    #[test]
    fn every_ending_is_a_sentence() {
        for state in State::ALL {
            let lead = lead(&samples::execution(state, "a"), None);
            assert!(lead.starts_with(char::is_uppercase) && lead.ends_with('.'), "{lead}");
        }
        let late = samples::execution(State::TimedOut, "a");
        assert_eq!(lead(&late, None), "The script was stopped at its time limit after 8.42 s.");
    }

    #[test]
    fn a_share_of_a_limit_is_at_most_all_of_it() {
        assert_eq!((percent(1, 3), percent(9, 3), percent(1, 0)), (33, 100, 100));
    }
}
