//! The report at the end of `automa run`.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
};

use automa_core::execution::State;
use automa_sandbox::{ExitReport, Outcome, Status, Verdict, inherited_descriptor};
use clap::ValueEnum;

/// How the report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
    None,
}

/// Descriptor for the report as JSON.
const REPORT_FD: i32 = 3;

/// Where the report goes; found before any descriptor is opened, as 3 might then be ours.
pub(super) enum Target {
    Text,
    /// One line, and only when a limit or the like ended the script.
    Line,
    Nowhere,
    /// Descriptor 3 if it is open, else stderr.
    Json(Option<File>),
}

impl Target {
    pub(super) fn find(format: Option<Format>) -> Self {
        match format {
            Some(Format::Text) => Self::Text,
            Some(Format::None) => Self::Nowhere,
            Some(Format::Json) => Self::Json(inherited_descriptor(REPORT_FD).ok().map(File::from)),
            None if io::stderr().is_terminal() => Self::Text,
            None => Self::Line,
        }
    }

    pub(super) fn write(self, report: &ExitReport) {
        let mut stderr = io::stderr().lock();
        // A report that cannot be delivered does not change what the script has done.
        let _ = match self {
            Self::Text => text(&mut stderr, report),
            Self::Nowhere => Ok(()),
            Self::Line => match report.outcome {
                Outcome::Exited { .. } | Outcome::Signaled { .. } => Ok(()),
                _ => writeln!(stderr, "automa: the script {}", report.outcome),
            },
            Self::Json(file) => {
                let line = serde_json::to_string(report).unwrap_or_default() + "\n";
                // One that is not open for writing is no place for a report.
                let delivered =
                    file.is_some_and(|mut file| file.write_all(line.as_bytes()).is_ok());
                if delivered { Ok(()) } else { stderr.write_all(line.as_bytes()) }
            }
        };
    }
}

/// The report for people: what happened, what it used, what confined it.
fn text(to: &mut impl Write, report: &ExitReport) -> io::Result<()> {
    let usage = &report.usage;
    let state = State::from(&report.outcome);
    match state {
        State::Succeeded => writeln!(to, "\n─── {state}")?,
        _ => writeln!(to, "\n─── {state}: the script {}", report.outcome)?,
    }
    let memory = usage.memory_peak.unwrap_or(usage.process_peak);
    writeln!(
        to,
        "    used        {:.3} s, {:.3} s of processor time, {memory} of memory, {} of output, {} of files",
        usage.wall().as_secs_f64(),
        usage.cpu().as_secs_f64(),
        usage.output,
        usage.tmp,
    )?;
    let reached: Vec<&str> = report.limits_hit.iter().map(|feature| feature.name()).collect();
    wrapped(to, "reached    ", &reached)?;
    network(to, report)?;
    let names = |wanted: fn(&Status) -> bool| -> Vec<&str> {
        let matching = report.protections.iter().filter(|protection| wanted(&protection.status));
        matching.map(|protection| protection.feature.name()).collect()
    };
    let weaker = names(|status| matches!(status, Status::Weaker(_)));
    let missing = names(|status| matches!(status, Status::Missing(_)));
    wrapped(to, "confined by", &names(|status| *status == Status::Enforced))?;
    wrapped(to, "weaker     ", &weaker)?;
    wrapped(to, "missing    ", &missing)?;
    if weaker.len() + missing.len() > 0 {
        writeln!(to, "    `automa doctor` says why, and what to do about it")?;
    }
    Ok(())
}

/// What was reached and what was refused, each on a line.
fn network(to: &mut impl Write, report: &ExitReport) -> io::Result<()> {
    for event in &report.egress {
        let port = event.port.map_or_else(String::new, |port| format!(":{port}"));
        write!(to, "    network     {}{port} {}", event.host, event.verdict)?;
        if event.count > 1 {
            write!(to, ", {} times", event.count)?;
        }
        if event.verdict == Verdict::Allowed {
            write!(to, "; {} sent, {} received", event.sent, event.received)?;
        }
        writeln!(to)?;
    }
    match report.egress_omitted {
        0 => Ok(()),
        omitted => writeln!(to, "    network     and {omitted} other events"),
    }
}

/// A list of words in lines of at most 90 columns; nothing if there are none.
fn wrapped(to: &mut impl Write, title: &str, words: &[&str]) -> io::Result<()> {
    if words.is_empty() {
        return Ok(());
    }
    let mut line = format!("    {title}");
    for (index, word) in words.iter().enumerate() {
        let comma = if index + 1 < words.len() { "," } else { "" };
        if line.len() + word.len() + 2 > 90 {
            writeln!(to, "{line}")?;
            " ".repeat(15).clone_into(&mut line);
        }
        line = format!("{line} {word}{comma}");
    }
    writeln!(to, "{line}")
}
