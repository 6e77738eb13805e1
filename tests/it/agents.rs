//! Agents: real scripts that are kept running, through the API.

use automa_tests::{
    client::{Client, texts},
    host::{eventually, marked, unique},
    server::Server,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::block_on;

/// An agent, by the eyes of somebody who may operate it.
struct Agent {
    client: Client,
    path: String,
}

impl Agent {
    /// Creates one that runs this code, with what else it is to be.
    async fn new(client: &Client, language: &str, source: &str, more: Value) -> Self {
        let script = json!({ "name": "agent", "language": language, "source": source });
        let script = client.post("/api/v1/scripts", script).await.json(201);
        let mut agent = json!({ "name": "agent", "script_id": script["id"] });
        agent.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let agent = client.post("/api/v1/agents", agent).await.json(201);
        assert_eq!(agent["state"], "stopped");
        let path = format!("/api/v1/agents/{}", agent["id"].as_str().unwrap());
        Self { client: client.clone(), path }
    }

    async fn post(&self, what: &str) -> Value {
        self.client.post_nothing(&format!("{}/{what}", self.path)).await.json(200)
    }

    async fn sends(&self, what: &str, body: Value) -> u16 {
        self.client.post(&format!("{}/{what}", self.path), body).await.status
    }

    async fn is(&self, state: &str) -> Value {
        self.client.until(&self.path, |agent| agent["state"] == state).await
    }

    /// Waits until it runs in another execution than this one.
    async fn runs_after(&self, execution: &Value) -> Value {
        let runs =
            |agent: &Value| agent["state"] == "running" && agent["execution_id"] != *execution;
        self.client.until(&self.path, runs).await["execution_id"].clone()
    }

    async fn says(&self, execution: &Value, text: &str) {
        self.client.logged(execution.as_str().unwrap(), text).await;
    }

    async fn ended(&self, execution: &Value) -> Value {
        self.client.ended(execution.as_str().unwrap()).await
    }

    /// Each state that it came to, the first one first.
    async fn history(&self) -> Vec<String> {
        let path = format!("{}/history?limit=200", self.path);
        let history = self.client.get(&path).await.json(200);
        let states = history["items"].as_array().unwrap().iter().rev();
        states.map(|it| it["state"].as_str().unwrap().to_owned()).collect()
    }
}

fn with_server(test: impl AsyncFnOnce(Server, Client)) {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        test(server, client).await;
    });
}

/// Says what it reads, and which signals it gets.
const ECHO: &str = "trap 'echo hup' HUP; trap 'echo usr1' USR1; trap 'echo bye; exit 0' TERM
    echo up
    while :; do if read -r line; then echo \"read $line\"; fi; done";

#[test]
fn lines_and_signals_arrive_and_a_stop_is_heard() {
    with_server(async |_server, client| {
        let agent = Agent::new(&client, "bash", ECHO, json!({})).await;
        assert_eq!(agent.sends("stdin", json!({ "line": "x" })).await, 409);
        assert_eq!(agent.sends("signal", json!({ "signal": "HUP" })).await, 409);
        agent.post("start").await;
        let first = agent.is("running").await["execution_id"].clone();
        agent.says(&first, "up").await;
        assert_eq!(agent.sends("stdin", json!({ "line": "größer $x" })).await, 204);
        agent.says(&first, "read größer $x").await;
        for (signal, text) in [("HUP", "hup"), ("USR1", "usr1")] {
            assert_eq!(agent.sends("signal", json!({ "signal": signal })).await, 204);
            agent.says(&first, text).await;
        }
        for (what, body) in [
            ("signal", json!({ "signal": "STOP" })),
            ("stdin", json!({ "line": "two\nlines" })),
            ("stdin", json!({ "line": "x".repeat(4096) })),
        ] {
            assert_eq!(agent.sends(what, body).await, 422);
        }
        agent.post("restart").await;
        let second = agent.runs_after(&first).await;
        agent.says(&second, "up").await;
        let told = agent.ended(&first).await;
        assert_eq!(told["agent_id"], agent.path.rsplit('/').next().unwrap());
        let log = client.get(&format!("/api/v1/executions/{}/log", first.as_str().unwrap())).await;
        assert_eq!(texts(&log.json(200)).last(), Some(&"bye"));
        client.delete(&agent.path).await.problem(409);
        agent.post("stop").await;
        agent.is("stopped").await;
        let runs = format!("/api/v1/executions?agent_id={}", told["agent_id"].as_str().unwrap());
        let runs = client.get(&runs).await.json(200);
        assert_eq!(runs["items"].as_array().unwrap().len(), 2);
        client.delete(&agent.path).await.is(204);
        client.get(&agent.path).await.problem(404);
    });
}

#[test]
fn what_is_killed_comes_back_and_what_ignores_a_stop_is_killed() {
    with_server(async |_server, client| {
        let marker = unique("agent");
        let source = format!("trap '' TERM; exec -a {marker} sleep 1000");
        let more = json!({ "grace_ms": 200, "restart": { "backoff_ms": 100 } });
        let agent = Agent::new(&client, "bash", &source, more).await;
        agent.post("start").await;
        let first = agent.is("running").await["execution_id"].clone();
        eventually("it runs", || marked(&marker).len() == 1);
        kill(Pid::from_raw(marked(&marker)[0].pid.cast_signed()), Signal::SIGKILL).unwrap();
        let second = agent.runs_after(&first).await;
        assert_eq!(agent.ended(&first).await["signal"], 9);
        assert_eq!(agent.sends("signal", json!({ "signal": "KILL" })).await, 204);
        let third = agent.runs_after(&second).await;
        eventually("one runs", || marked(&marker).len() == 1);
        assert_eq!(agent.post("stop").await["state"], "stopping");
        agent.is("stopped").await;
        assert_eq!(agent.ended(&third).await["state"], "cancelled");
        assert!(marked(&marker).is_empty());
    });
}

#[test]
fn one_that_ends_again_and_again_is_in_a_crash_loop_until_it_is_started() {
    with_server(async |_server, client| {
        let restart = json!({
            "backoff_ms": 100, "factor": 1, "crash_after": 3, "crash_window_ms": 86_400_000,
        });
        let agent = Agent::new(&client, "bash", "exit 3", json!({ "restart": restart })).await;
        agent.post("start").await;
        let agent_now = agent.is("crash_loop").await;
        assert_eq!(agent_now["why"], "The script ended with exit code 3");
        assert_eq!((&agent_now["restarts"], &agent_now["is_wanted"]), (&json!(2), &json!(true)));
        assert!(agent_now["next_start_at"].is_string());
        let run = ["starting", "running", "backing_off"];
        let loops = [&run[..], &run[..], &["starting", "running", "crash_loop"]].concat();
        assert_eq!(agent.history().await, loops);
        agent.post("start").await;
        client.until(&agent.path, |agent| agent["state"] == "crash_loop").await;
        agent.post("stop").await;
        agent.is("stopped").await;
    });
}

#[test]
fn one_that_ends_well_is_done_where_only_failures_count() {
    with_server(async |_server, client| {
        let more = json!({ "restart": { "policy": "on_failure" } });
        let agent = Agent::new(&client, "bash", "true", more).await;
        agent.post("start").await;
        let done = |agent: &Value| agent["state"] == "stopped" && agent["is_wanted"] == false;
        let agent = client.until(&agent.path, done).await;
        assert_eq!(agent["why"], "The script ended by itself");
    });
}

#[test]
fn one_that_leaks_memory_is_ended_and_started_again() {
    with_server(async |_server, client| {
        let leak = "data = []\nwhile True: data.append(bytearray(1 << 20))";
        let more = json!({
            "limits": { "memory_bytes": 64 << 20 }, "restart": { "backoff_ms": 100 },
        });
        let agent = Agent::new(&client, "python", leak, more).await;
        agent.post("start").await;
        let first = client.until(&agent.path, |it| it["execution_id"].is_string()).await;
        let first = first["execution_id"].clone();
        assert_eq!(agent.ended(&first).await["state"], "out_of_memory");
        client.until(&agent.path, |it| it["restarts"].as_u64() > Some(0)).await;
        agent.post("stop").await;
        agent.is("stopped").await;
    });
}

#[test]
fn what_is_meant_to_run_runs_again_after_a_crash_and_after_a_stop_of_the_server() {
    with_server(async |mut server, client| {
        let marker = unique("agent");
        let source = format!(
            "trap 'echo bye; exit' TERM
            exec -a {marker} sleep 1000 & echo up; wait"
        );
        let agent = Agent::new(&client, "bash", &source, json!({})).await;
        let idle = Agent::new(&client, "bash", &source, json!({})).await;
        agent.post("start").await;
        let first = agent.is("running").await["execution_id"].clone();
        agent.says(&first, "up").await;
        server.end_by(Signal::SIGKILL);
        server.restart();
        let agent = Agent { client: client.at(server.url()), ..agent };
        let second = agent.runs_after(&first).await;
        assert_eq!(agent.ended(&first).await["state"], "lost");
        agent.says(&second, "up").await;
        eventually("one runs", || marked(&marker).len() == 1);
        // Another server of this data does not start.
        let other = server.serve_command().output().unwrap();
        assert!(!other.status.success(), "{other:?}");
        server.end_by(Signal::SIGTERM);
        assert!(marked(&marker).is_empty());
        server.restart();
        let agent = Agent { client: client.at(server.url()), ..agent };
        let third = agent.runs_after(&second).await;
        agent.says(&third, "up").await;
        let log = format!("/api/v1/executions/{}/log", second.as_str().unwrap());
        assert_eq!(texts(&agent.client.get(&log).await.json(200)), ["up", "bye"]);
        let now = agent.client.get(&agent.path).await.json(200);
        assert_eq!(now["restarts"], 2);
        let idle = agent.client.get(&idle.path).await.json(200);
        assert_eq!(idle["state"], "stopped");
        agent.post("stop").await;
        agent.is("stopped").await;
    });
}

/// Serves on a port, and says so with an answer to each request that it can be told.
const SERVICE: &str = "import http.server, os, signal
state = {'code': 503}
def set_code(code): state['code'] = code
signal.signal(signal.SIGUSR1, lambda *_: set_code(200))
signal.signal(signal.SIGUSR2, lambda *_: set_code(500))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(state['code'] if self.path == '/health' else 404)
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(('127.0.0.1', 8000), Handler)
print('serving', flush=True)
server.serve_forever()";

#[test]
fn one_that_serves_is_asked_whether_it_is_ready_and_works() {
    with_server(async |_server, client| {
        let http = json!({ "port": 8000, "path": "/health" });
        let more = json!({
            "ready": { "http": http }, "alive": { "http": http, "every_ms": 1000, "failures": 1 },
            "restart": { "backoff_ms": 100 },
        });
        let agent = Agent::new(&client, "python", SERVICE, more).await;
        agent.post("start").await;
        let first = client.until(&agent.path, |it| it["execution_id"].is_string()).await;
        let first = first["execution_id"].clone();
        agent.says(&first, "serving").await;
        assert_eq!(agent.client.get(&agent.path).await.json(200)["state"], "starting");
        agent.sends("signal", json!({ "signal": "USR1" })).await;
        agent.is("running").await;
        agent.sends("signal", json!({ "signal": "USR2" })).await;
        let second = client.until(&agent.path, |it| it["restarts"].as_u64() > Some(0)).await;
        assert_ne!(second["execution_id"], first);
        let page = client.get(&format!("{}/history", agent.path)).await.json(200);
        let why = "/health at port 8000 failed 1 times: status 500";
        let items = page["items"].as_array().unwrap();
        assert!(items.iter().any(|it| it["why"] == why), "{page:#}");
        agent.post("stop").await;
        agent.is("stopped").await;
    });
}

#[test]
fn one_says_that_it_is_ready_and_is_ended_when_it_is_silent() {
    with_server(async |_server, client| {
        let source = "read -r a; echo now ready to serve; read -r b; echo never";
        let more = json!({
            "ready": { "output": "ready to" }, "alive": { "output_within_ms": 300 },
            "restart": { "policy": "never" },
        });
        let agent = Agent::new(&client, "bash", source, more).await;
        agent.post("start").await;
        client.until(&agent.path, |it| it["pid_count"].is_number()).await;
        assert_eq!(agent.client.get(&agent.path).await.json(200)["state"], "starting");
        assert_eq!(agent.sends("stdin", json!({ "line": "go" })).await, 204);
        let silent = |it: &Value| it["why"] == "It has written nothing for 0.3 s";
        client.until(&agent.path, |it| it["state"] == "stopped" && silent(it)).await;
        let states = ["starting", "running", "stopping", "stopped"];
        let history = agent.history().await;
        // Once it was due, and once it had to say that it is ready.
        assert_eq!(history, [&["starting"], &states[..]].concat());

        // Without a line it is not ready in time.
        let body = json!({
            "name": "late", "script_id": client.get(&agent.path).await.json(200)["script_id"],
            "ready": { "output": "ready to", "timeout_ms": 300 }, "restart": { "policy": "never" },
        });
        let request = client.request(Method::PUT, &agent.path).json(&body);
        automa_tests::client::send(request).await.is(200);
        agent.post("start").await;
        let late = |it: &Value| it["why"] == "It did not say in time that it was ready";
        client.until(&agent.path, |it| it["state"] == "stopped" && late(it)).await;
    });
}

#[test]
fn agents_do_not_take_the_places_of_executions() {
    block_on(async {
        let variables = [("AUTOMA_RATE_LIMIT", "off"), ("AUTOMA_SLOTS", "1")];
        let variables = [variables[0], variables[1], ("AUTOMA_MAX_AGENTS", "3")];
        let server = Server::start_as(automa_tests::User::all()[0], &variables);
        let client = server.set_up().await;
        let mut agents = Vec::new();
        for _ in 0..4 {
            let agent = Agent::new(&client, "bash", "echo up; sleep 1000", json!({})).await;
            agent.post("start").await;
            agents.push(agent);
        }
        for agent in &agents[..3] {
            let execution = agent.is("running").await["execution_id"].clone();
            agent.says(&execution, "up").await;
        }
        let waits = |it: &Value| it["why"] == "It waits: 3 agents run already, which is the most";
        client.until(&agents[3].path, waits).await;
        assert_eq!(client.run("echo hello").await["output"], "hello\n");
        agents[0].post("stop").await;
        agents[3].is("running").await;
    });
}
