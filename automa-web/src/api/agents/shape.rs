//! What agents look like in the API.

use std::collections::BTreeMap;

use automa_core::{
    agent::{self, Happening, Resolution, Status, When},
    id::{AgentId, ExecutionId, ScriptId, UserId},
    page::Cursor,
};
use automa_sandbox::Destination;
use jiff::Timestamp;
use poem_openapi::Object;
use serde_json::Value;

use crate::{
    api::{
        executions::destinations,
        scripts::Limits,
        wire::{OneOf, Text},
    },
    problem::Problem,
};

/// An agent to be created or changed.
#[derive(Object)]
pub(super) struct NewAgent {
    /// One line of at most 200 characters.
    name: String,
    /// The script that it runs.
    script_id: Text<ScriptId>,
    /// The script's version; the newest at each start unless told.
    version: Option<u32>,
    /// What the script is told.
    parameters: Option<BTreeMap<String, Value>>,
    /// What it may use, over the defaults of agents: one processor, 1 GiB of memory, 256 processes, no
    /// time limit. What the script says of limits counts, but for its time limits. `output_bytes` is
    /// said by `log_bytes`.
    limits: Option<Limits>,
    /// What it may reach over TCP, as of executions.
    network: Option<Vec<String>>,
    restart: Option<Restart>,
    ready: Option<Ready>,
    alive: Option<Alive>,
    /// How long it may take to end once it was asked to: 10,000 unless told, at most 600,000.
    grace_ms: Option<u64>,
    /// How much of the log of one run is kept: 64 MiB unless told, 1 MiB to 16 GiB.
    log_bytes: Option<u64>,
    /// For a change: the revision that was read. If there is a newer one, nothing is changed.
    pub(super) revision: Option<u32>,
}

/// When an agent is started again after its script has ended by itself.
#[derive(Debug, Object)]
struct Restart {
    /// After every end (`always`, unless told), unless it has ended with exit code 0 (`on_failure`),
    /// or `never`.
    policy: Option<OneOf<When>>,
    /// The first pause: 1,000 unless told, 100 to a day.
    backoff_ms: Option<u64>,
    /// The longest pause: 60,000 unless told, at most a day.
    max_backoff_ms: Option<u64>,
    /// How much longer each pause is than the one before: 1 to 10, 2 unless told.
    factor: Option<f64>,
    /// Whether pauses differ by chance, which they do unless told.
    jitter: Option<bool>,
    /// After running this long the next pause is the first one again: 60,000 unless told.
    stable_ms: Option<u64>,
    /// How many ends are a crash loop: 5 unless told, 2 to 100.
    crash_after: Option<u32>,
    /// Within which time: 300,000 unless told.
    crash_window_ms: Option<u64>,
    /// After how long one in a crash loop is started again: 3,600,000 unless told; 0 for not before
    /// somebody starts it.
    cool_down_ms: Option<u64>,
}

/// How an agent says that it is ready: by `output` or by `http`.
#[derive(Debug, Object)]
#[oai(rename = "AgentReady", skip_serializing_if_is_none)]
struct Ready {
    /// By this text in a line of its output.
    output: Option<String>,
    /// By an answer to this request, which is made until there is one.
    http: Option<Http>,
    /// Within this time, or it has failed: 60,000 unless told.
    timeout_ms: Option<u64>,
}

/// How an agent is seen to work: by `output_within_ms`, by `http`, or by both.
#[derive(Debug, Object)]
#[oai(rename = "AgentAlive", skip_serializing_if_is_none)]
struct Alive {
    /// It writes something at least this often.
    output_within_ms: Option<u64>,
    /// It answers this request.
    http: Option<Http>,
    /// How often that is made: every 10,000 unless told.
    every_ms: Option<u64>,
    /// How many answers in a row may not be missing: 3 unless told.
    failures: Option<u32>,
}

/// A `GET` request to the agent's own loopback interface; an answer has a status of 2xx.
#[derive(Debug, Object)]
#[oai(rename = "AgentHttp")]
struct Http {
    port: u16,
    /// `/` unless told.
    path: Option<String>,
    /// How long the answer may take: 5,000 unless told.
    timeout_ms: Option<u64>,
}

/// A signal for an agent.
#[derive(Object)]
#[oai(rename = "AgentSignal")]
pub(super) struct Signal {
    pub(super) signal: OneOf<agent::Signal>,
}

/// A line for an agent.
#[derive(Object)]
#[oai(rename = "AgentLine")]
pub(super) struct Line {
    /// At most 4,095 bytes; the newline is added.
    pub(super) line: String,
}

/// An agent, and how it is now.
#[derive(Object)]
pub(super) struct Agent {
    id: Text<AgentId>,
    name: String,
    script_id: Text<ScriptId>,
    /// None for the newest at each start.
    version: Option<u32>,
    parameters: Option<BTreeMap<String, Value>>,
    limits: Limits,
    network: Vec<Text<Destination>>,
    restart: Restart,
    ready: Option<Ready>,
    alive: Option<Alive>,
    grace_ms: u64,
    log_bytes: u64,
    /// One more for each change.
    revision: u32,
    /// The user who created it.
    owner: Option<Text<UserId>>,
    created_at: Text<Timestamp>,
    updated_at: Text<Timestamp>,
    state: OneOf<agent::State>,
    /// Whether it is meant to run, which outlives the server.
    is_wanted: bool,
    /// Why it is in its state, in a sentence.
    why: String,
    /// Since when.
    since: Text<Timestamp>,
    /// When it is started again, while it waits for that.
    next_start_at: Option<Text<Timestamp>>,
    /// How often it was started again by itself since somebody started it.
    restarts: u64,
    /// Its current execution.
    execution_id: Option<Text<ExecutionId>>,
    /// How long that has been running.
    uptime_ms: Option<u64>,
    /// Processes and threads.
    pid_count: Option<u32>,
    memory_bytes: Option<u64>,
    /// Share of processors, such as 0.5, on average over ten seconds.
    cpus: Option<f64>,
}

/// All agents.
#[derive(Object)]
pub(super) struct AgentList {
    pub(super) items: Vec<Agent>,
}

/// A state that an agent came to.
#[derive(Object)]
pub(super) struct AgentHappening {
    at: Text<Timestamp>,
    state: OneOf<agent::State>,
    /// Why, in a sentence.
    why: String,
    /// The execution that it is about.
    execution_id: Option<Text<ExecutionId>>,
    /// When it goes on by itself.
    until: Option<Text<Timestamp>>,
}

/// What has happened to an agent, newest first.
#[derive(Object)]
pub(super) struct HappeningPage {
    pub(super) items: Vec<AgentHappening>,
    /// Where the next page continues; none on the last.
    pub(super) next_cursor: Option<Text<Cursor>>,
}

/// What an agent used over time, oldest first.
#[derive(Object)]
#[oai(rename = "AgentMetrics")]
pub(super) struct Metrics {
    /// Time between two points.
    every_ms: u64,
    points: Vec<Point>,
}

/// What an agent used at a moment.
#[derive(Object)]
#[oai(rename = "AgentPoint")]
struct Point {
    at: Text<Timestamp>,
    /// Share of processors since the point before.
    cpus: f64,
    memory_bytes: u64,
    /// Processes and threads.
    pid_count: u32,
    /// How often it had been started again by itself.
    restarts: u32,
}

impl NewAgent {
    pub(super) fn read(self) -> Result<agent::NewAgent, Problem> {
        let network = destinations(&self.network.unwrap_or_default())?;
        let usual = agent::NewAgent::new(self.name, self.script_id.0);
        Ok(agent::NewAgent {
            version: self.version,
            parameters: self.parameters.map(|it| it.into_iter().collect()),
            limits: self.limits.unwrap_or_default().into(),
            network,
            restart: self.restart.map(Into::into).unwrap_or_default(),
            ready: self.ready.map(Into::into),
            alive: self.alive.map(Into::into),
            grace_ms: self.grace_ms.unwrap_or(usual.grace_ms),
            log_bytes: self.log_bytes.unwrap_or(usual.log_bytes),
            ..usual
        })
    }
}

impl From<Restart> for agent::Restart {
    fn from(restart: Restart) -> Self {
        let usual = Self::default();
        Self {
            when: restart.policy.map_or(usual.when, |it| it.0),
            backoff_ms: restart.backoff_ms.unwrap_or(usual.backoff_ms),
            max_backoff_ms: restart.max_backoff_ms.unwrap_or(usual.max_backoff_ms),
            factor: restart.factor.unwrap_or(usual.factor),
            jitter: restart.jitter.unwrap_or(usual.jitter),
            stable_ms: restart.stable_ms.unwrap_or(usual.stable_ms),
            crash_after: restart.crash_after.unwrap_or(usual.crash_after),
            crash_window_ms: restart.crash_window_ms.unwrap_or(usual.crash_window_ms),
            cool_down_ms: match restart.cool_down_ms {
                Some(0) => None,
                Some(time) => Some(time),
                None => usual.cool_down_ms,
            },
        }
    }
}

impl From<agent::Restart> for Restart {
    fn from(restart: agent::Restart) -> Self {
        Self {
            policy: Some(OneOf(restart.when)),
            backoff_ms: Some(restart.backoff_ms),
            max_backoff_ms: Some(restart.max_backoff_ms),
            factor: Some(restart.factor),
            jitter: Some(restart.jitter),
            stable_ms: Some(restart.stable_ms),
            crash_after: Some(restart.crash_after),
            crash_window_ms: Some(restart.crash_window_ms),
            cool_down_ms: Some(restart.cool_down_ms.unwrap_or(0)),
        }
    }
}

impl From<Ready> for agent::Ready {
    fn from(ready: Ready) -> Self {
        let Ready { output, http, timeout_ms } = ready;
        Self { output, http: http.map(Into::into), timeout_ms: timeout_ms.unwrap_or(60_000) }
    }
}

impl From<agent::Ready> for Ready {
    fn from(ready: agent::Ready) -> Self {
        let agent::Ready { output, http, timeout_ms } = ready;
        Self { output, http: http.map(Into::into), timeout_ms: Some(timeout_ms) }
    }
}

impl From<Alive> for agent::Alive {
    fn from(alive: Alive) -> Self {
        Self {
            output_within_ms: alive.output_within_ms,
            http: alive.http.map(Into::into),
            every_ms: alive.every_ms.unwrap_or(10_000),
            failures: alive.failures.unwrap_or(3),
        }
    }
}

impl From<agent::Alive> for Alive {
    fn from(alive: agent::Alive) -> Self {
        Self {
            output_within_ms: alive.output_within_ms,
            http: alive.http.map(Into::into),
            every_ms: Some(alive.every_ms),
            failures: Some(alive.failures),
        }
    }
}

impl From<Http> for agent::Http {
    fn from(http: Http) -> Self {
        Self {
            port: http.port,
            path: http.path.unwrap_or_else(|| "/".to_owned()),
            timeout_ms: http.timeout_ms.unwrap_or(5_000),
        }
    }
}

impl From<agent::Http> for Http {
    fn from(http: agent::Http) -> Self {
        let agent::Http { port, path, timeout_ms } = http;
        Self { port, path: Some(path), timeout_ms: Some(timeout_ms) }
    }
}

impl Agent {
    pub(super) fn new(agent: agent::Agent, status: Status) -> Self {
        // What was stored was a JSON object.
        let parameters = agent.parameters.as_deref().and_then(|it| serde_json::from_str(it).ok());
        Self {
            id: Text(agent.id),
            name: agent.name,
            script_id: Text(agent.script),
            version: agent.version,
            parameters,
            limits: agent.limits.into(),
            network: agent.network.into_iter().map(Text).collect(),
            restart: agent.restart.into(),
            ready: agent.ready.map(Into::into),
            alive: agent.alive.map(Into::into),
            grace_ms: agent.grace_ms,
            log_bytes: agent.log_bytes,
            revision: agent.revision,
            owner: agent.owner.map(Text),
            created_at: Text(agent.created_at),
            updated_at: Text(agent.updated_at),
            state: OneOf(status.state),
            is_wanted: status.desired == agent::Desired::Running,
            why: status.why,
            since: Text(status.since),
            next_start_at: status.next_try.map(Text),
            restarts: status.restarts,
            execution_id: status.execution.map(Text),
            uptime_ms: status.uptime_ms,
            pid_count: status.usage.map(|it| it.pids),
            memory_bytes: status.usage.map(|it| it.memory_bytes),
            cpus: status.usage.map(|it| f64::from(it.cpu_millis) / 1000.0),
        }
    }
}

impl From<Happening> for AgentHappening {
    fn from(it: Happening) -> Self {
        Self {
            at: Text(it.at),
            state: OneOf(it.state),
            why: it.why,
            execution_id: it.execution.map(Text),
            until: it.until.map(Text),
        }
    }
}

impl Metrics {
    pub(super) fn new(resolution: Resolution, points: Vec<agent::Point>) -> Self {
        let every_ms = match resolution {
            Resolution::Points => 10_000,
            Resolution::Means => 300_000,
        };
        let points = points.into_iter().map(|point| Point {
            at: Text(point.at),
            cpus: f64::from(point.cpu_millis) / 1000.0,
            memory_bytes: point.memory_bytes,
            pid_count: point.pids,
            restarts: point.restarts,
        });
        Self { every_ms, points: points.collect() }
    }
}
