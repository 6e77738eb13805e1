//! `kill -9` again and again, while clients submit, cancel and follow logs. Judged by what those
//! clients were told before.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    env,
};

use automa_tests::{
    client::{Client, send, texts},
    host::PAUSE,
    live::Events,
    server::Server,
};
use futures_util::{StreamExt, stream};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::block_on;

/// Clients that submit at the same time.
const SUBMITTING: usize = 4;
/// Clients that follow logs.
const READING: usize = 3;
/// Submissions that are acknowledged between two kills, at least.
const BETWEEN: usize = 12;

/// What clients share, and what they were told.
struct Load {
    /// A client of the server that runs now, or ran last.
    client: RefCell<Client>,
    stop: Cell<bool>,
    /// The execution of each idempotency key.
    accepted: RefCell<BTreeMap<String, String>>,
    /// Keys that were sent again after an answer had not come.
    repeated: Cell<usize>,
    cancelled: Cell<usize>,
    /// Lines that were received live, by execution and number.
    lines: RefCell<HashMap<(String, u64), String>>,
}

/// What each script prints first: no two starts print the same.
const BEGIN: &str = "echo \"begin $EPOCHREALTIME $RANDOM $RANDOM $RANDOM\"";

fn source(number: usize) -> String {
    match number % 4 {
        // Lines that come while somebody follows.
        0 => {
            format!("{BEGIN}; for i in {{1..40}}; do echo \"line $i\"; sleep 0.01; done; echo done")
        }
        // Still running at the next kill, as likely as not.
        1 => format!("{BEGIN}; echo waiting; sleep 1; echo done"),
        _ => format!("{BEGIN}; echo done"),
    }
}

impl Load {
    fn client(&self) -> Client {
        self.client.borrow().clone()
    }

    /// The newest execution whose number leaves this rest of four.
    fn newest(&self, rest: usize) -> Option<String> {
        let accepted = self.accepted.borrow();
        let fitting = accepted.iter().filter(|(key, _)| number_of(key) % 4 == rest);
        fitting.map(|(_, id)| id).max().cloned()
    }

    /// Submits one after the other, each until it is acknowledged.
    async fn submit_all(&self, name: usize) {
        for number in 0.. {
            if self.stop.get() {
                return;
            }
            let key = format!("{name}-{number}");
            let id = self.submit(&key, &source(number)).await;
            if number % 5 == 0 {
                assert_eq!(self.submit(&key, &source(number)).await, id, "the same key");
            }
            self.accepted.borrow_mut().insert(key, id.clone());
            if number % 3 == 2 {
                // So that what waits does not become more and more.
                self.ended(&id).await;
            }
        }
    }

    /// Waits for an execution's end, across restarts.
    async fn ended(&self, id: &str) {
        while !self.stop.get() {
            let request = self.client().request(Method::GET, &format!("/api/v1/executions/{id}"));
            if let Ok(answer) = request.send().await
                && let Ok(execution) = answer.json::<Value>().await
                && !execution["finished_at"].is_null()
            {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Sends a submission until it is answered, across restarts.
    async fn submit(&self, key: &str, source: &str) -> String {
        let body = json!({ "language": "bash", "source": source });
        loop {
            let request = self.client().request(Method::POST, "/api/v1/executions");
            let answer = request.header("Idempotency-Key", key).json(&body).send().await;
            if let Ok(answer) = answer {
                let status = answer.status();
                if let Ok(execution) = answer.json::<Value>().await {
                    assert_eq!(status, 202, "{execution:#}");
                    return execution["id"].as_str().unwrap().to_owned();
                }
            }
            self.repeated.set(self.repeated.get() + 1);
            sleep(PAUSE).await;
        }
    }

    /// Cancels the newest now and then.
    async fn cancel_some(&self) {
        while !self.stop.get() {
            sleep(PAUSE * 20).await;
            let Some(id) = self.newest(1) else { continue };
            let path = format!("/api/v1/executions/{id}/cancel");
            let Ok(answer) = self.client().request(Method::POST, &path).send().await else {
                continue;
            };
            let status = answer.status().as_u16();
            assert!([200, 409].contains(&status), "{status}");
            if status == 200 {
                self.cancelled.set(self.cancelled.get() + 1);
            }
        }
    }

    /// Follows the newest, one after the other, and remembers each line that comes.
    async fn follow_some(&self) {
        while !self.stop.get() {
            sleep(PAUSE).await;
            let Some(id) = self.newest(0) else { continue };
            let path = format!("/api/v1/executions/{id}/log/stream");
            let Ok(mut events) = Events::try_at(&self.client(), &path, None).await else {
                continue;
            };
            while let Ok(Some(event)) = events.try_next().await {
                for line in event.data["lines"].as_array().into_iter().flatten() {
                    let text = line["text"].as_str().unwrap().to_owned();
                    let n = line["n"].as_u64().unwrap();
                    let before = self.lines.borrow_mut().insert((id.clone(), n), text.clone());
                    assert!(before.is_none_or(|before| before == text), "line {n} of {id}");
                }
            }
        }
    }

    /// Kills the server so often, each time in the midst of all this.
    async fn kill(&self, server: &mut Server, times: usize) {
        for _ in 0..times {
            let (accepted, lines) = (self.accepted.borrow().len(), self.lines.borrow().len());
            while self.accepted.borrow().len() < accepted + BETWEEN
                || self.lines.borrow().len() == lines
            {
                sleep(PAUSE).await;
            }
            let run = server.end_by(Signal::SIGKILL);
            assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
            server.restart();
            self.client.replace_with(|client| client.at(server.url()));
        }
        self.stop.set(true);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a setting of the tests")]
fn nothing_is_lost_and_nothing_run_twice_however_often_it_is_killed() {
    let kills = env::var("AUTOMA_KILLS").map_or(10, |kills| kills.parse().unwrap());
    block_on(async {
        let mut server = Server::start();
        let load = Load {
            client: RefCell::new(server.set_up().await),
            stop: Cell::new(false),
            accepted: RefCell::default(),
            repeated: Cell::new(0),
            cancelled: Cell::new(0),
            lines: RefCell::default(),
        };
        let submitting = (0..SUBMITTING).map(|name| load.submit_all(name));
        let reading = (0..READING).map(|_| load.follow_some());
        tokio::join!(
            load.kill(&mut server, kills),
            futures_util::future::join_all(submitting),
            futures_util::future::join_all(reading),
            load.cancel_some(),
        );
        let client = load.client();
        let keys = load.accepted.borrow().clone();
        let looking = keys.iter().map(async |(key, id)| {
            // Still the same one.
            assert_eq!(load.submit(key, &source(number_of(key))).await, *id, "{key}");
            assert_whole(&client, id, &load).await
        });
        let looked = stream::iter(looking).buffer_unordered(8).collect::<Vec<_>>().await;
        let mut states = BTreeMap::<String, usize>::new();
        for state in looked {
            *states.entry(state).or_default() += 1;
        }
        let accepted = load.accepted.borrow().len();
        let count = client.get("/api/v1/executions/count").await.json(200);
        assert_eq!(count["count"], accepted, "each key is one execution, and each has a key");
        println!(
            "{kills} kills; {accepted} accepted: {states:?}; none missing, none started twice; {} sent again, {} \
             cancelled, {} lines received live",
            load.repeated.get(),
            load.cancelled.get(),
            load.lines.borrow().len()
        );
    });
}

fn number_of(key: &str) -> usize {
    key.split_once('-').unwrap().1.parse().unwrap()
}

/// Waits for an execution's end, and checks that it ran at most once, ended truthfully, and has
/// every line that anybody has seen: its state.
async fn assert_whole(client: &Client, id: &str, load: &Load) -> String {
    let ended = client.ended(id).await;
    let state = ended["state"].as_str().unwrap();
    assert!(["succeeded", "lost", "cancelled"].contains(&state), "{ended:#}");
    assert_eq!(ended["attempt"], 1, "{ended:#}");
    let path = format!("/api/v1/executions/{id}/log?limit=1000");
    let log = send(client.request(Method::GET, &path)).await.json(200);
    assert_eq!(log["complete"], true, "{id}");
    let texts = texts(&log);
    let begun = texts.iter().filter(|text| text.starts_with("begin ")).count();
    assert!(begun <= 1, "{id} was started {begun} times");
    assert_eq!(begun == 0, texts.is_empty(), "it begins with its first line: {log:#}");
    if state == "succeeded" {
        assert_eq!((begun, texts.last()), (1, Some(&"done")), "{log:#}");
    }
    if ended["started_at"].is_null() {
        assert_eq!(begun, 0, "{ended:#}");
    }
    for ((_, n), text) in load.lines.borrow().iter().filter(|((of, _), _)| of == id) {
        let there = texts.get(usize::try_from(*n).unwrap() - 1);
        assert_eq!(there, Some(&text.as_str()), "line {n} of {id}, which somebody has seen");
    }
    state.to_owned()
}

/// Slots of a job that were decided, oldest first.
async fn slots(client: &Client, job: &str) -> Vec<Value> {
    let mut slots = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/jobs/{job}/slots?limit=200{cursor}");
        let page = client.get(&path).await.json(200);
        slots.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    slots.reverse();
    slots
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a setting of the tests")]
fn no_slot_of_a_job_is_lost_or_run_twice_however_often_it_is_killed() {
    let kills: usize = env::var("AUTOMA_KILLS").map_or(6, |kills| kills.parse().unwrap());
    block_on(async {
        let mut server = Server::start();
        let mut client = server.set_up().await;
        let script =
            json!({ "name": "x", "language": "bash", "source": format!("{BEGIN}; echo done") });
        let script = client.post("/api/v1/scripts", script).await.json(201);
        let new = json!({
            "name": "each second", "script_id": script["id"], "overlap": "parallel",
            "trigger": { "type": "interval", "every_ms": 1000 },
            "misfire": "catch_up", "catch_up": { "within_ms": 3_600_000, "most": 1000 },
        });
        let job = client.post("/api/v1/jobs", new).await.json(201);
        let job = job["id"].as_str().unwrap().to_owned();
        for kill in 0..kills {
            let before = slots(&client, &job).await.len();
            while slots(&client, &job).await.len() < before + 1 {
                sleep(PAUSE).await;
            }
            // At another part of a second each time.
            sleep(PAUSE * u32::try_from(kill * 7 % 40).unwrap()).await;
            let run = server.end_by(Signal::SIGKILL);
            assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
            server.restart();
            client = client.at(server.url());
        }
        client.post_nothing(&format!("/api/v1/jobs/{job}/pause")).await.is(200);
        let slots = slots(&client, &job).await;
        let at = |slot: &Value| slot["slot"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let times: Vec<_> = slots.iter().map(|slot| at(slot).as_millisecond()).collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 1000), "{times:?}");
        let mut states = BTreeMap::<String, usize>::new();
        for slot in &slots {
            let id = slot["execution_id"].as_str().unwrap_or_else(|| panic!("{slot:#}"));
            let ended = client.ended(id).await;
            assert_eq!((&ended["slot"], &ended["job_id"]), (&slot["slot"], &json!(job)));
            *states.entry(ended["state"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        let count = client.get(&format!("/api/v1/executions/count?job_id={job}")).await.json(200);
        assert_eq!(count["count"], slots.len(), "each slot is one execution");
        println!("{kills} kills; {} slots: {states:?}; none missing, none doubled", slots.len());
    });
}
