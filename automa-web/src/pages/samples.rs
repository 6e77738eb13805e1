//! Values to draw every page with: usual ones, and such as only an attacker would think of.

use automa_core::{
    Automa,
    actor::{Actor, Origin, Role},
    agent::{self, Agent, Http},
    execution::{
        Artifact, Artifacts, Attempt, Concurrency, Dispatch, DispatchRules, Ending, Execution,
        LeftOut, LimitsRequest, OnConflict, Ran, Reason, ResultValue, Retry, State, Waiting,
    },
    id::{AgentId, ExecutionId, ScriptId},
    page::Cursor,
    script::{Content, Hit, Language, Place as Part, Script, Status, Version, Visibility},
    user::{Theme, User},
};
use automa_sandbox::{
    Bytes, EgressEvent, Exit, ExitReport, Feature, Outcome, Refusal, Start, Step, Usage,
    UsagePoint, Verdict,
};
use jiff::{SignedDuration, Timestamp};

use super::{
    frame::{Frame, Place},
    parameters,
    protections::{self, Protections},
    table::Tally,
};
use crate::auth::{By, Caller};

/// A name that tries to be more than text.
pub(super) const HOSTILE: &str =
    "<script>alert(1)</script>\" onload='x' {{ 7 }} \u{202e}gnp.exe\u{7} & שלום";

pub(super) fn now() -> Timestamp {
    "2026-11-21T04:56:24Z".parse().unwrap()
}

/// The frame of a page that someone signed in sees.
pub(super) fn frame(title: &str, place: Place) -> Frame {
    let member = super::frame::Member { name: "ops-admin".to_owned(), role: Role::Admin };
    let path = place.path().to_owned();
    Frame { user: Some(member), place: Some(place), path, title: title.to_owned(), ..stranger() }
}

/// Somebody who may do everything.
pub(super) fn caller() -> Caller {
    let user = User {
        id: "0197c1a0-5f00-7000-8000-00000000002d".parse().unwrap(),
        username: "ops-admin".to_owned(),
        email: "ops@example.com".to_owned(),
        role: Role::Admin,
        created_at: now(),
        disabled_at: None,
        password_changed_at: now(),
        two_factor_since: None,
        theme: Theme::System,
    };
    let actor = Actor::user(user.id, "ops-admin", Role::Admin, Origin::Web);
    let by = By::Session("0197c1a0-5f00-7000-8000-00000000002e".parse().unwrap());
    Caller { user, actor, by }
}

/// The frame of a page that nobody has to sign in for.
pub(super) fn stranger() -> Frame {
    Frame {
        title: "Automa".to_owned(),
        place: None,
        user: None,
        theme: Theme::System,
        path: "/executions?\"><script>".to_owned(),
        now: now(),
        quotas: None,
        broad: false,
    }
}

pub(super) fn automa() -> Automa {
    Automa::builder().in_memory().open().unwrap()
}

pub(super) fn protections() -> Protections {
    Protections::new("What this machine enforces", &protections::tests::sample())
}

pub(super) fn execution_id() -> ExecutionId {
    "0197c1a0-5f00-7000-8000-00000000002a".parse().unwrap()
}

pub(super) fn script_id() -> ScriptId {
    "0197c1a0-5f00-7000-8000-00000000002b".parse().unwrap()
}

pub(super) fn cursor() -> Cursor {
    "00112233445566778899aabbccddeeff".parse().unwrap()
}

fn before(seconds: i64) -> Timestamp {
    now().checked_sub(SignedDuration::from_secs(seconds)).unwrap()
}

/// An execution in a state, of a script of this name.
pub(super) fn execution(state: State, name: &str) -> Execution {
    let started = state != State::Queued;
    let cause = match state {
        State::Succeeded => "the script succeeded",
        State::TimedOut => "the script was stopped at its time limit",
        State::OutOfMemory => "the script was killed at its memory limit",
        State::Lost => "the server ended while the script was running",
        State::Cancelled => "the script was cancelled",
        _ => "the script ended with exit code 1",
    };
    let ending = Ending {
        cause: cause.to_owned(),
        exit_code: matches!(state, State::Succeeded | State::Failed)
            .then_some(i32::from(state == State::Failed)),
        signal: None,
        wall_ms: 8_420,
        cpu_ms: 290,
        peak_memory_bytes: (state != State::Lost).then_some(41 << 20),
        output_bytes: 1_234,
    };
    Execution {
        id: execution_id(),
        state,
        language: Language::Python,
        script: Some((script_id(), 8)),
        script_name: Some(name.to_owned()),
        requested_by: "ops-admin".to_owned(),
        user: None,
        created_at: before(12),
        started_at: started.then(|| before(11)),
        finished_at: (!state.is_open()).then(|| before(3)),
        attempt: 2,
        rerun_of: None,
        ending: (!state.is_open()).then_some(ending),
        dispatch: Dispatch { max_attempts: 3, ..Dispatch::default() },
        job: None,
        agent: None,
    }
}

/// Why an execution waits, if it does.
pub(super) fn waiting(execution: &Execution) -> Option<Waiting> {
    let reason = Reason::Slot { slots: 2 };
    (execution.state == State::Queued).then_some(Waiting { reason, before: 3 })
}

/// One that was asked to end.
pub(super) fn ending() -> Execution {
    let mut execution = execution(State::Running, "nightly-backup");
    execution.dispatch.cancelled_at = Some(before(2));
    execution
}

/// The attempts before an execution's last.
pub(super) fn attempts(execution: &Execution) -> Vec<Attempt> {
    let Some(ending) = &execution.ending else { return Vec::new() };
    let ending = Ending { cause: format!("the script {HOSTILE}"), ..ending.clone() };
    let (started_at, finished_at) = (execution.started_at, before(6));
    vec![Attempt { number: 1, state: State::Failed, started_at, finished_at, ending }]
}

/// One execution in each state, one of a hostile name, one of no script.
pub(super) fn executions() -> Vec<Execution> {
    let names = ["warehouse-load", "image-resize", "nightly-backup", "billing-sync"];
    let pairs = State::ALL.into_iter().zip(names.into_iter().cycle());
    let mut executions: Vec<_> = pairs.map(|(state, name)| execution(state, name)).collect();
    executions.push(execution(State::Failed, HOSTILE));
    executions.push(execution(State::Failed, &"a-name-without-a-break-".repeat(8)));
    let code = execution(State::Succeeded, "");
    executions.push(Execution { script: None, script_name: None, ..code });
    executions
}

pub(super) fn counts(executions: &[Execution]) -> Tally {
    Tally(
        State::ALL
            .map(|state| (state, executions.iter().filter(|it| it.state == state).count() as u64)),
    )
}

pub(super) fn ran() -> Ran {
    let version = version();
    let parameters = serde_json::json!({"hosts": HOSTILE, "days": 14, "list": [1, 2]});
    Ran {
        language: version.language,
        source: version.source,
        parameters: parameters.as_object().cloned(),
        limits: LimitsRequest { wall_ms: Some(30_000), ..LimitsRequest::default() },
        network: ["*.example.com:443", "192.0.2.1:80"].map(|it| it.parse().unwrap()).into(),
    }
}

pub(super) fn report() -> ExitReport {
    let usage = Usage {
        wall_ns: 8_420_000_000,
        cpu_user_ns: 250_000_000,
        cpu_system_ns: 40_000_000,
        memory_peak: Some(Bytes::mib(41)),
        process_peak: Bytes::mib(30),
        output: Bytes(1_234),
        tmp: Bytes::mib(100),
        forks_refused: 2,
        ..Usage::default()
    };
    ExitReport {
        outcome: Outcome::Exited { code: 1 },
        exit: Some(Exit::Code(1)),
        usage,
        limits_hit: vec![Feature::DiskLimit],
        protections: protections::tests::sample(),
        output_truncated: false,
        tree_empty: true,
        timeline: [("mount proc", 3_100_000), ("exec, run, exit", 0), ("the end", 6_000_000)]
            .map(|(name, ns)| Step { name: name.to_owned(), ns })
            .into(),
        start: Start::Warm,
        egress: egress(),
        egress_omitted: 3,
        history: history(),
    }
}

/// A run that works in bursts.
pub(super) fn history() -> Vec<UsagePoint> {
    let point = |tick: u64| UsagePoint {
        at_ms: tick * 700,
        cpu_ms: tick / 3 * 72,
        memory: Some(Bytes::mib(20 + tick * 7 % 22)),
        processes: Some(1 + tick % 4),
    };
    (1..=12).map(point).collect()
}

/// A result and files of names that a script chose.
pub(super) fn left() -> (ResultValue, Artifacts) {
    let names = ["reports/2026/november.csv", HOSTILE, &"a-name-without-a-break-".repeat(8)];
    let file = |name: &str| {
        let name = name.to_owned();
        Artifact { name, size: 90_000, sha256: [0xab; 32], start: 0 }
    };
    let reason = "a symbolic link".to_owned();
    let artifacts = Artifacts {
        files: names.map(file).into(),
        left_out: vec![LeftOut { name: "a link".to_owned(), reason }],
        left_out_count: 8,
        complete: false,
    };
    let value = serde_json::json!({"rows": 3, "names": [HOSTILE, "b"], "ok": true});
    (ResultValue::Value(value), artifacts)
}

/// What was reached, and what was refused; a name may be what a script chose.
fn egress() -> Vec<EgressEvent> {
    let event = |host: &str, port, verdict, count| EgressEvent {
        at_ns: 1_000_000,
        host: host.to_owned(),
        port,
        address: None,
        verdict,
        sent: Bytes(517 * count),
        received: Bytes::kib(90 * count),
        count,
    };
    let refused = Verdict::Refused;
    vec![
        event("api.example.com", Some(443), Verdict::Allowed, 12),
        event("2001:db8::1", Some(80), refused(Refusal::NotListed), 1),
        event("intranet.example.com", Some(443), refused(Refusal::PrivateAddress), 2),
        event(&"a-long-part.".repeat(12), None, refused(Refusal::NotListed), 1),
        event(HOSTILE, None, refused(Refusal::Unresolved), 1),
    ]
}

pub(super) fn script() -> Script {
    Script {
        id: script_id(),
        name: "check-certificates".to_owned(),
        description: "Warns two weeks before a TLS certificate expires".to_owned(),
        tags: vec!["monitoring".to_owned(), "tls".to_owned()],
        language: Language::Python,
        version: 8,
        owner: None,
        created_at: before(900_000),
        updated_at: before(7_500),
        status: Status::Active,
        visibility: Visibility::Public,
        forked_from: None,
    }
}

/// Where something was found, in a line that someone chose.
pub(super) fn hit() -> Hit {
    let text = format!("…{HOSTILE}");
    Hit { place: Part::Source, line: 12, mark: 3..11, text }
}

pub(super) fn scripts() -> Vec<Script> {
    let hostile = Script {
        name: HOSTILE.to_owned(),
        description: HOSTILE.to_owned(),
        tags: vec![HOSTILE.to_owned()],
        status: Status::Deprecated,
        visibility: Visibility::Private,
        ..script()
    };
    let bare = Script {
        name: "nightly-backup".to_owned(),
        description: String::new(),
        tags: vec![],
        status: Status::Draft,
        ..script()
    };
    vec![script(), bare, hostile]
}

pub(super) fn version() -> Version {
    let source = "\"\"\"Warn before a TLS certificate expires.\"\"\"\n\nimport os, socket, ssl\n\n\
        hosts = os.environ[\"hosts\"].split()\ndays = int(os.environ.get(\"days\", \"14\"))\n\n\n\
        def days_left(host):\n    # The handshake gives the certificate; no request is sent.\n    \
        context = ssl.create_default_context()\n    with socket.create_connection((host, 443), \
        timeout=5) as raw:\n        return context.wrap_socket(raw, server_hostname=host)\n\n\n\
        print('</textarea><script>alert(1)</script>')\n";
    Version {
        script: script_id(),
        number: 8,
        language: Language::Python,
        source: source.to_owned(),
        parameters_schema: Some(parameters::tests::SCHEMA.to_owned()),
        limits: LimitsRequest { wall_ms: Some(30_000), ..LimitsRequest::default() },
        author: "data-team".to_owned(),
        created_at: before(7_500),
        dispatch: DispatchRules {
            priority: 5,
            concurrency: Some(Concurrency {
                limit: 2,
                key: Some("hosts".to_owned()),
                on_conflict: OnConflict::Skip,
            }),
            retry: Some(Retry::default()),
        },
        message: format!("Also looks at {HOSTILE}"),
        content: Content::default(),
    }
}

pub(super) fn agent_id() -> AgentId {
    "0197c1a0-5f00-7000-8000-00000000002c".parse().unwrap()
}

/// An agent with everything that one can have, and how it is in a state.
pub(super) fn agent(state: agent::State) -> (Agent, agent::Status) {
    let http = Http { port: 8000, path: "/health?\"><script>".to_owned(), timeout_ms: 700 };
    let agent = Agent {
        id: agent_id(),
        revision: 3,
        name: HOSTILE.trim().to_owned(),
        script: script_id(),
        version: Some(8),
        parameters: None,
        limits: LimitsRequest { pids: Some(20), ..LimitsRequest::default() },
        network: vec!["api.example.com:443".parse().unwrap()],
        restart: agent::Restart { factor: 3.0, cool_down_ms: None, ..agent::Restart::default() },
        ready: Some(agent::Ready {
            output: Some(HOSTILE.replace('\u{7}', "").trim().to_owned()),
            http: None,
            timeout_ms: 90_000,
        }),
        alive: Some(agent::Alive {
            output_within_ms: Some(30_000),
            http: Some(http),
            every_ms: 5_000,
            failures: 7,
        }),
        grace_ms: 2_500,
        log_bytes: 1 << 20,
        owner: None,
        created_at: before(7_500),
        updated_at: before(7_000),
    };
    let up = matches!(state, agent::State::Running | agent::State::Stopping);
    let usage =
        agent::Point { at: now(), cpu_millis: 21, memory_bytes: 48 << 20, pids: 3, restarts: 2 };
    let status = agent::Status {
        state,
        desired: agent::Desired::Running,
        why: HOSTILE.to_owned(),
        since: before(90),
        next_try: (state == agent::State::BackingOff).then(now),
        restarts: 2,
        execution: up.then(execution_id),
        up_since: up.then(|| before(90)),
        uptime_ms: up.then_some(90_000),
        usage: up.then_some(usage),
    };
    (agent, status)
}
