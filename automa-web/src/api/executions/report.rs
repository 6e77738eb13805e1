//! The sandbox's report in the API: the document that [`ExitReport`] is as JSON, which `automa run
//! --report json` writes too, with what it leaves out where that says nothing.

use automa_sandbox::ExitReport;
use poem_openapi::Object;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What confined an execution, what it used, and how it ended.
#[derive(Debug, Clone, Object, Serialize, Deserialize)]
pub(crate) struct Report {
    outcome: Outcome,
    /// How the script itself ended, if it did before it was killed.
    exit: Option<Exit>,
    usage: Usage,
    /// Protections whose limits were hit, whether or not they ended it.
    limits_hit: Vec<String>,
    protections: Vec<Protection>,
    /// Whether there was more output than the limit let through.
    output_truncated: bool,
    /// Whether the kernel confirmed that no process of it is left.
    tree_empty: bool,
    /// Where the time of the start went, in order.
    timeline: Vec<Step>,
    /// How its sandbox came to be: `warm` when it was prepared before, or `cold`.
    #[serde(default = "cold")]
    start: String,
    /// What it reached on the network and what was refused: at most 256 kinds of events.
    #[serde(default)]
    egress: Vec<EgressEvent>,
    /// Events that are not among them because there were too many kinds.
    #[serde(default)]
    egress_omitted: u64,
    /// What it used over time; empty when it ended within 100 ms.
    #[serde(default)]
    history: Vec<UsagePoint>,
}

/// Why a sandbox ended.
#[derive(Debug, Clone, Object, Serialize, Deserialize)]
#[oai(rename = "Outcome", skip_serializing_if_is_none)]
struct Outcome {
    /// `exited`, `signaled`, `wall_time`, `cpu_time`, `memory`, `processes`, `output`, `disk`,
    /// `seccomp`, `cancelled`, `lost` or `setup_failed`.
    kind: String,
    /// The exit code of what has `exited`.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    /// The signal of what was `signaled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    /// The step at which the start failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<String>,
    /// The system's error number at that step.
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<i32>,
}

/// How a script ended: one of both.
#[derive(Debug, Clone, Object, Serialize, Deserialize)]
#[oai(rename = "Exit", skip_serializing_if_is_none)]
struct Exit {
    /// By itself, with this code.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    /// By this signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
}

/// What an execution used, in nanoseconds and bytes.
#[derive(Debug, Clone, Object, Serialize, Deserialize)]
#[oai(rename = "Usage")]
struct Usage {
    wall_ns: u64,
    cpu_user_ns: u64,
    cpu_system_ns: u64,
    /// Most memory that all processes held together, where something counts it.
    memory_peak: Option<u64>,
    /// Largest resident set of one process.
    process_peak: u64,
    /// Bytes of output that were let through.
    output: u64,
    /// Temporary files at the end.
    tmp: u64,
    /// How many of them.
    tmp_inodes: u64,
    /// Processes that the kernel killed for lack of memory.
    oom_kills: u64,
    /// Forks that were refused at the process limit.
    forks_refused: u64,
}

/// A protection, and whether it was in force.
#[derive(Debug, Clone, Object, Serialize, Deserialize)]
#[oai(rename = "Protection", skip_serializing_if_is_none)]
struct Protection {
    /// Its name, as in `automa doctor`.
    feature: String,
    /// `enforced`, `weaker` or `missing`.
    status: String,
    /// Why it was not enforced.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A step of a start.
#[derive(Debug, Clone, Object, Serialize, Deserialize)]
#[oai(rename = "Step")]
struct Step {
    name: String,
    /// For how long, in nanoseconds.
    ns: u64,
}

/// Something that a script did on the network; events of the same host, port and verdict are one.
#[derive(Debug, Clone, Object, Serialize, Deserialize)]
#[oai(rename = "EgressEvent", skip_serializing_if_is_none)]
struct EgressEvent {
    /// When it first happened, in nanoseconds from the request.
    at_ns: u64,
    /// The name, or the address where no name led there.
    host: String,
    /// None when only the name was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    /// The address that was dialled or refused last.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// `"allowed"`, or an object: why it was `refused`.
    verdict: Value,
    /// Bytes that went out.
    sent: u64,
    /// Bytes that came in.
    received: u64,
    /// How often.
    count: u64,
}

/// What an execution used until a moment.
#[derive(Debug, Clone, Object, Serialize, Deserialize)]
#[oai(rename = "UsagePoint")]
struct UsagePoint {
    /// When, since the start.
    at_ms: u64,
    /// Processor time of all processes until then.
    cpu_ms: u64,
    /// Most memory since the point before, where something counts it.
    memory: Option<u64>,
    /// Most processes and threads likewise.
    processes: Option<u64>,
}

/// What an execution used over time.
#[derive(Debug, Object)]
#[oai(rename = "UsageHistory")]
pub(crate) struct UsageHistory {
    points: Vec<UsagePoint>,
}

impl From<Vec<automa_sandbox::UsagePoint>> for UsageHistory {
    fn from(points: Vec<automa_sandbox::UsagePoint>) -> Self {
        let point = |it: automa_sandbox::UsagePoint| UsagePoint {
            at_ms: it.at_ms,
            cpu_ms: it.cpu_ms,
            memory: it.memory.map(|bytes| bytes.0),
            processes: it.processes,
        };
        Self { points: points.into_iter().map(point).collect() }
    }
}

fn cold() -> String {
    "cold".to_owned()
}

impl Report {
    /// The document of a report.
    pub(super) fn of(report: &ExitReport) -> Option<Self> {
        serde_json::from_value(serde_json::to_value(report).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use automa_sandbox::{
        self as sandbox, Bytes, Feature, Outcome as O, Refusal, Stage, Start, Status, Verdict,
    };

    use super::*;
    use crate::api::document::same_as_schema;

    fn event(verdict: Verdict) -> sandbox::EgressEvent {
        sandbox::EgressEvent {
            at_ns: 1,
            host: "a.example.com".to_owned(),
            port: (verdict == Verdict::Allowed).then_some(443),
            address: (verdict == Verdict::Allowed).then(|| [192, 0, 2, 1].into()),
            verdict,
            sent: Bytes(1),
            received: Bytes(u64::MAX),
            count: 2,
        }
    }

    fn reports() -> Vec<ExitReport> {
        let statuses = [
            Status::Enforced,
            Status::Weaker("counted".to_owned()),
            Status::Missing("none".to_owned()),
        ];
        let protection = |(feature, status)| sandbox::Protection { feature, status };
        let full = |outcome, exit| ExitReport {
            outcome,
            exit,
            usage: sandbox::Usage { memory_peak: Some(Bytes(7)), ..sandbox::Usage::default() },
            limits_hit: vec![Feature::DiskLimit],
            protections: Feature::ALL.into_iter().zip(statuses.clone()).map(protection).collect(),
            output_truncated: true,
            tree_empty: false,
            timeline: vec![sandbox::Step { name: "a".to_owned(), ns: 3 }],
            start: Start::Warm,
            egress: vec![event(Verdict::Allowed), event(Verdict::Refused(Refusal::NotListed))],
            egress_omitted: 4,
            history: vec![sandbox::UsagePoint {
                at_ms: 100,
                cpu_ms: 9,
                memory: None,
                processes: Some(2),
            }],
        };
        let failed = O::SetupFailed { stage: Stage::Exec, errno: 2 };
        let outcomes = [
            (O::Exited { code: 3 }, Some(sandbox::Exit::Code(3))),
            (O::Signaled { signal: 9 }, Some(sandbox::Exit::Signal(9))),
            (O::WallTime, None),
            (O::Lost, None),
            (failed, None),
        ];
        outcomes.map(|(outcome, exit)| full(outcome, exit)).into()
    }

    #[test]
    fn the_document_is_the_report_as_json() {
        for report in reports() {
            let document = Report::of(&report).unwrap();
            assert_eq!(
                serde_json::to_value(&document).unwrap(),
                serde_json::to_value(&report).unwrap()
            );
            same_as_schema(&document);
        }
    }

    #[test]
    fn what_says_nothing_is_said_all_the_same() {
        let report = ExitReport {
            start: Start::Cold,
            egress: Vec::new(),
            egress_omitted: 0,
            history: Vec::new(),
            ..reports().remove(0)
        };
        let document = serde_json::to_value(Report::of(&report).unwrap()).unwrap();
        assert_eq!((&document["start"], &document["egress_omitted"]), (&"cold".into(), &0.into()));
        assert_eq!(
            (&document["egress"], &document["history"]),
            (&Value::from([0; 0]), &Value::from([0; 0]))
        );
    }
}
