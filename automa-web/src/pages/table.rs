//! Executions in a table: on the overview, at a script, in the list of all.

use askama::{Template, filters::HtmlSafe};
use automa_core::{
    execution::{Counts, Execution, State},
    id::ExecutionId,
};
use jiff::Timestamp;

use super::text::sentence;
use crate::filters;

/// A table of executions.
#[derive(Debug, Clone, Template)]
#[template(path = "executions/table.html")]
pub(crate) struct Table {
    label: &'static str,
    pub(crate) rows: Vec<Row>,
    now: Timestamp,
    /// Whether rows say which script they are of.
    named: bool,
}

/// The template escapes for itself.
impl HtmlSafe for Table {}

/// One execution.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) id: ExecutionId,
    pub(crate) state: State,
    pub(crate) name: String,
    version: Option<u32>,
    /// Why it did not succeed.
    pub(crate) note: Option<String>,
    by: String,
    pub(crate) at: Timestamp,
    wall_ms: Option<u64>,
    peak: Option<u64>,
}

impl Table {
    pub(crate) fn new(label: &'static str, executions: &[Execution], now: Timestamp) -> Self {
        Self { label, rows: executions.iter().map(Row::from).collect(), now, named: true }
    }

    /// The same for one script alone.
    pub(crate) fn unnamed(self) -> Self {
        Self { named: false, ..self }
    }

    /// Only the first rows.
    pub(crate) fn first(mut self, rows: usize) -> Self {
        self.rows.truncate(rows);
        self
    }
}

impl From<&Execution> for Row {
    fn from(execution: &Execution) -> Self {
        let ending = execution.ending.as_ref();
        let note = ending.filter(|_| execution.state != State::Succeeded);
        Self {
            id: execution.id,
            state: execution.state,
            name: title(execution),
            version: execution.script.map(|(_, version)| version),
            note: note.map(|ending| sentence(&ending.cause)),
            by: execution.requested_by.clone(),
            at: execution.created_at,
            wall_ms: ending.map(|ending| ending.wall_ms),
            peak: ending.and_then(|ending| ending.peak_memory_bytes),
        }
    }
}

/// How many executions are in each state.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tally(pub(crate) [(State, u64); State::ALL.len()]);

impl From<Counts> for Tally {
    fn from(counts: Counts) -> Self {
        Self(State::ALL.map(|state| (state, counts.of(state))))
    }
}

impl Tally {
    pub(crate) fn of(&self, state: State) -> u64 {
        self.0.iter().find(|(it, _)| *it == state).map_or(0, |(_, count)| *count)
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }
}

/// What an execution runs, by name.
pub(crate) fn title(execution: &Execution) -> String {
    match &execution.script_name {
        Some(name) => name.clone(),
        None => format!("{} code", language(execution.language)),
    }
}

/// A language as people write it.
pub(crate) fn language(language: automa_core::script::Language) -> &'static str {
    use automa_core::script::Language;
    match language {
        Language::Bash => "Bash",
        Language::Python => "Python",
        other => other.name(),
    }
}
