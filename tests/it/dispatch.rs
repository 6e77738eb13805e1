//! When executions have their turns: order, limits, deadlines, retries, and why they wait.

use automa_tests::{
    User,
    client::{Client, send},
    server::Server,
};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::block_on;

const ALL: &str = "/api/v1/executions";
const FOREVER: &str = "echo begun; exec sleep 1000";

/// A server whose executions run one after the other, unless told otherwise.
fn serve(more: &[(&'static str, &str)]) -> Server {
    let mut variables = vec![("AUTOMA_RATE_LIMIT", "off"), ("AUTOMA_SLOTS", "1")];
    variables.extend(more);
    Server::start_as(User::all()[0], &variables)
}

fn path(execution: &Value) -> String {
    format!("{ALL}/{}", id(execution))
}

fn id(execution: &Value) -> &str {
    execution["id"].as_str().unwrap_or_else(|| panic!("no id in {execution:#}"))
}

/// Submits code with more fields.
async fn submit(client: &Client, source: &str, more: Value) -> Value {
    let mut body = json!({ "language": "bash", "source": source });
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    client.post(ALL, body).await.json(202)
}

/// Makes a script of `source` with more fields; its id.
async fn script(client: &Client, source: &str, more: Value) -> String {
    let mut body = json!({ "name": "script", "language": "bash", "source": source });
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    id(&client.post("/api/v1/scripts", body).await.json(201)).to_owned()
}

async fn run(client: &Client, script: &str, more: Value) -> Value {
    let mut body = json!({ "script_id": script });
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    client.post(ALL, body).await.json(202)
}

async fn running(client: &Client, execution: &Value) {
    client.execution(id(execution), |it| it["state"] == "running").await;
}

async fn get(client: &Client, execution: &Value) -> Value {
    client.get(&path(execution)).await.json(200)
}

async fn cancel(client: &Client, execution: &Value) -> Value {
    client.post_nothing(&format!("{}/cancel?grace_ms=0", path(execution))).await.json(200)
}

#[test]
fn what_waits_says_why_and_goes_by_priority_and_age() {
    block_on(async {
        let server = serve(&[]);
        let client = server.set_up().await;
        let first = submit(&client, FOREVER, json!({})).await;
        assert!(get(&client, &first).await.get("waiting").is_none());
        let second = submit(&client, ":", json!({})).await;
        let third = submit(&client, ":", json!({})).await;
        let waiting = &get(&client, &third).await["waiting"];
        assert_eq!(waiting["reason"], "slot");
        assert_eq!(waiting["detail"], "the only slot is taken; one goes before it");
        assert_eq!(waiting["position"], 2);
        let urgent = submit(&client, ":", json!({ "priority": 10 })).await;
        assert_eq!(urgent["priority"], 10);
        for (execution, position) in [(&urgent, 1), (&second, 2), (&third, 3)] {
            assert_eq!(get(&client, execution).await["waiting"]["position"], position);
        }
        let listed = client.get(ALL).await.json(200);
        assert!(listed["items"][0].get("waiting").is_none(), "not in lists");
        cancel(&client, &first).await;
        let mut started = Vec::new();
        for execution in [&urgent, &second, &third] {
            let ended = client.ended(id(execution)).await;
            assert_eq!(ended["state"], "succeeded", "{ended:#}");
            started.push(ended["started_at"].as_str().unwrap().to_owned());
        }
        assert!(started.is_sorted(), "{started:?}");
    });
}

#[test]
fn users_take_turns_and_have_their_own_limits() {
    block_on(async {
        let mut server = serve(&[("AUTOMA_SLOTS", "2"), ("AUTOMA_MAX_RUNNING_PER_USER", "1")]);
        let client = server.set_up().await;
        server.end_by(Signal::SIGTERM);
        server.add_user("otto", "operator");
        server.restart();
        let client = client.at(server.url());
        let otto = server.anonymous().sign_in("otto").await;
        let first = submit(&client, FOREVER, json!({})).await;
        running(&client, &first).await;
        let second = submit(&client, FOREVER, json!({})).await;
        let waiting = &get(&client, &second).await["waiting"];
        let sentence = "1 of the same user run, and each may have 1 at a time; it is the next";
        assert_eq!((&waiting["reason"], &waiting["detail"]), (&json!("user"), &json!(sentence)));
        let others = submit(&otto, FOREVER, json!({})).await;
        running(&otto, &others).await;
        cancel(&client, &first).await;
        running(&client, &second).await;
        cancel(&client, &second).await;
        cancel(&client, &others).await;
    });
}

#[test]
fn what_waits_until_its_deadline_ends_without_a_start() {
    block_on(async {
        let server = serve(&[]);
        let client = server.set_up().await;
        let first = submit(&client, FOREVER, json!({})).await;
        let late = submit(&client, "echo never", json!({ "deadline_ms": 50 })).await;
        assert!(late["deadline"].as_str() > late["created_at"].as_str(), "{late:#}");
        let ended = client.ended(id(&late)).await;
        assert_eq!(ended["state"], "timed_out");
        assert_eq!(ended["cause"], "the script was not started before its deadline");
        assert!(ended["started_at"].is_null());
        let log = client.get(&format!("{}/log", path(&late))).await.json(200);
        assert_eq!((&log["total"], &log["complete"]), (&json!(0), &json!(true)));
        cancel(&client, &first).await;
        // What has started is not ended by it.
        let soon = submit(&client, "sleep 0.2", json!({ "deadline_ms": 60_000 })).await;
        assert_eq!(client.ended(id(&soon)).await["state"], "succeeded");
    });
}

#[test]
fn what_fails_is_tried_again_with_a_log_for_each_attempt() {
    block_on(async {
        let server = serve(&[]);
        let client = server.set_up().await;
        let retry = json!({ "attempts": 3, "backoff_ms": 5, "jitter": false });
        let source = "date +%N; exit 7";
        let execution = submit(&client, source, json!({ "retry": retry })).await;
        assert_eq!((&execution["attempt"], &execution["max_attempts"]), (&json!(1), &json!(3)));
        let ended = client.ended(id(&execution)).await;
        assert_eq!((&ended["state"], &ended["attempt"]), (&json!("failed"), &json!(3)));
        let attempts = ended["attempts"].as_array().unwrap();
        let told: Vec<_> =
            attempts.iter().map(|it| (&it["number"], &it["state"], &it["exit_code"])).collect();
        let (failed, seven) = (json!("failed"), json!(7));
        assert_eq!(told, [(&json!(1), &failed, &seven), (&json!(2), &failed, &seven)]);
        let mut logs = Vec::new();
        for attempt in ["?attempt=1", "?attempt=2", "?attempt=3", ""] {
            let log = client.get(&format!("{}/log{attempt}", path(&execution))).await.json(200);
            assert_eq!((&log["total"], &log["complete"]), (&json!(1), &json!(true)));
            logs.push(log["lines"][0]["text"].clone());
        }
        assert!(logs[0] != logs[1] && logs[1] != logs[2] && logs[2] == logs[3], "{logs:?}");
        let missing = client.get(&format!("{}/log?attempt=4", path(&execution))).await;
        assert_eq!(missing.problem(404)["type"], "/docs/problems#not-found");
        // What goes well is not.
        let fine = submit(&client, "echo fine", json!({ "retry": retry })).await;
        assert_eq!(client.ended(id(&fine)).await["attempt"], 1);
    });
}

#[test]
fn what_waits_to_be_tried_again_can_be_cancelled_and_survives_a_restart() {
    block_on(async {
        let mut server = serve(&[]);
        let client = server.set_up().await;
        let retry =
            json!({ "attempts": 2, "backoff_ms": 86_400_000, "max_backoff_ms": 86_400_000 });
        let execution = submit(&client, "exit 1", json!({ "retry": retry })).await;
        let waiting = client.execution(id(&execution), |it| it["attempt"] == 2).await;
        assert_eq!(
            (&waiting["state"], &waiting["waiting"]["reason"]),
            (&json!("queued"), &json!("retry"))
        );
        let detail = waiting["waiting"]["detail"].as_str().unwrap();
        assert!(detail.starts_with("it is tried again at "), "{detail}");
        assert!(waiting["not_before"].as_str() > waiting["started_at"].as_str());
        // Nothing is behind it.
        assert_eq!(client.run("echo meanwhile").await["state"], "succeeded");
        server.end_by(Signal::SIGTERM);
        server.restart();
        let client = client.at(server.url());
        let waiting = get(&client, &execution).await;
        assert_eq!(waiting["waiting"]["reason"], "retry", "{waiting:#}");
        let ended = cancel(&client, &execution).await;
        assert_eq!(ended["state"], "cancelled");
        assert_eq!(ended["cause"], "the script was cancelled before it was tried again");
    });
}

#[test]
fn what_was_lost_is_tried_again_only_if_it_may_be() {
    block_on(async {
        let mut server = serve(&[("AUTOMA_SLOTS", "2")]);
        let client = server.set_up().await;
        let once = submit(&client, FOREVER, json!({ "retry": { "attempts": 2 } })).await;
        let retry = json!({ "attempts": 2, "backoff_ms": 0, "on": ["lost"] });
        let again = submit(&client, "echo begun; sleep 0.5", json!({ "retry": retry })).await;
        for execution in [&once, &again] {
            client.logged(id(execution), "begun").await;
        }
        server.end_by(Signal::SIGKILL);
        server.restart();
        let client = client.at(server.url());
        let lost = get(&client, &once).await;
        assert_eq!((&lost["state"], &lost["attempt"]), (&json!("lost"), &json!(1)));
        let ended = client.ended(id(&again)).await;
        assert_eq!((&ended["state"], &ended["attempt"]), (&json!("succeeded"), &json!(2)));
        assert_eq!(ended["attempts"][0]["state"], "lost");
        let log = client.get(&format!("{}/log?attempt=1", path(&again))).await.json(200);
        assert_eq!(log["lines"][0]["text"], "begun");
    });
}

#[test]
fn a_script_allows_so_many_at_a_time_and_says_what_becomes_of_more() {
    block_on(async {
        let server = serve(&[("AUTOMA_SLOTS", "4")]);
        let client = server.set_up().await;
        let rule =
            |on_conflict: &str| json!({ "limit": 1, "key": "region", "on_conflict": on_conflict });
        let with = |region: &str| json!({ "parameters": { "region": region } });

        let queue = script(&client, FOREVER, json!({ "concurrency": rule("queue") })).await;
        let first = run(&client, &queue, with("north")).await;
        let second = run(&client, &queue, with("north")).await;
        let other = run(&client, &queue, with("south")).await;
        running(&client, &first).await;
        running(&client, &other).await;
        let waiting = &get(&client, &second).await["waiting"];
        let sentence =
            "another one of this script runs, and it allows one at a time; it is the next";
        assert_eq!(waiting["reason"], "concurrency");
        assert_eq!(waiting["detail"], sentence);
        // It keeps nothing else from starting.
        assert_eq!(client.run("echo meanwhile").await["state"], "succeeded");
        cancel(&client, &first).await;
        running(&client, &second).await;
        cancel(&client, &second).await;
        cancel(&client, &other).await;

        let skip = script(&client, FOREVER, json!({ "concurrency": rule("skip") })).await;
        let first = run(&client, &skip, with("north")).await;
        let skipped = run(&client, &skip, with("north")).await;
        assert_eq!(
            (&skipped["state"], &skipped["started_at"]),
            (&json!("cancelled"), &Value::Null)
        );
        let cause = "the script was skipped: 1 of it waits or runs already";
        assert_eq!(skipped["cause"], cause);
        let keyed = json!({ "parameters": { "region": "north" }, "concurrency_key": "mine" });
        let own = run(&client, &skip, keyed).await;
        running(&client, &own).await;
        cancel(&client, &first).await;
        cancel(&client, &own).await;

        let replace = script(&client, FOREVER, json!({ "concurrency": rule("replace") })).await;
        let first = run(&client, &replace, with("north")).await;
        running(&client, &first).await;
        let second = run(&client, &replace, with("north")).await;
        let ended = client.ended(id(&first)).await;
        assert_eq!((&ended["state"], &ended["replaced_by"]), (&json!("cancelled"), &second["id"]));
        let cause = ended["cause"].as_str().unwrap();
        assert!(
            cause.ends_with(&format!("because execution {} replaced it", id(&second))),
            "{cause}"
        );
        running(&client, &second).await;
        cancel(&client, &second).await;

        let changed = client.get(&format!("/api/v1/scripts/{replace}")).await.json(200);
        assert_eq!(changed["concurrency"], rule("replace"));
    });
}

#[test]
fn a_second_cancel_ends_at_once_what_the_first_left_time() {
    block_on(async {
        let server = serve(&[]);
        let client = server.set_up().await;
        let execution =
            submit(&client, "trap '' TERM; echo begun; while :; do sleep 1; done", json!({})).await;
        client.logged(id(&execution), "begun").await;
        let path = format!("{}/cancel", path(&execution));
        let refused = client.post_nothing(&format!("{path}?grace_ms=600001")).await;
        assert_eq!(refused.problem(422)["errors"][0]["field"], "grace_ms");
        let asked = client.post_nothing(&format!("{path}?grace_ms=600000")).await.json(200);
        assert_eq!(asked["state"], "running");
        assert!(asked["cancel_requested_at"].is_string(), "{asked:#}");
        let again = client.post_nothing(&path).await.json(200);
        assert_eq!(again["cancel_requested_at"], asked["cancel_requested_at"]);
        let ended = client.ended(id(&execution)).await;
        assert_eq!(ended["state"], "cancelled");
        assert!(ended["wall_ms"].as_u64().unwrap() < 300_000, "{ended:#}");
    });
}

#[test]
fn without_space_on_the_disk_nothing_is_accepted() {
    block_on(async {
        let server = serve(&[("AUTOMA_LEAST_FREE_DISK", "1000T")]);
        let client = server.set_up().await;
        let body = json!({ "language": "bash", "source": ":" });
        let problem = client.post(ALL, body).await.problem(507);
        assert_eq!(problem["type"], "/docs/problems#insufficient-storage");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with("The disk is full: "), "{detail}");
        assert_eq!(client.get(&format!("{ALL}/count")).await.json(200)["count"], 0);
    });
}

#[test]
fn what_is_wrong_with_a_turn_is_named() {
    block_on(async {
        let server = serve(&[]);
        let client = server.set_up().await;
        for (more, field) in [
            (json!({ "priority": 101 }), "priority"),
            (json!({ "deadline": "2020-01-01T00:00:00Z" }), "deadline"),
            (json!({ "deadline_ms": 0 }), "deadline_ms"),
            (json!({ "deadline": "2120-01-01T00:00:00Z", "deadline_ms": 1 }), "deadline_ms"),
            (json!({ "retry": { "attempts": 0 } }), "retry.attempts"),
            (json!({ "retry": { "attempts": 2, "on": ["cancelled"] } }), "retry.on"),
            (json!({ "concurrency_key": "x" }), "concurrency_key"),
        ] {
            let mut body = json!({ "language": "bash", "source": ":" });
            body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
            let problem = client.post(ALL, body).await.problem(422);
            assert_eq!(problem["errors"][0]["field"], field, "{problem:#}");
        }
        let script = json!({
            "name": "x", "language": "bash", "source": ":", "priority": -101,
            "concurrency": { "limit": 0 }, "retry": { "attempts": 11 },
        });
        let problem = client.post("/api/v1/scripts", script).await.problem(422);
        let fields: Vec<_> = problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["field"].as_str().unwrap())
            .collect();
        assert_eq!(fields, ["priority", "concurrency.limit", "retry.attempts"]);
    });
}

#[test]
fn the_same_key_with_another_turn_is_another_request() {
    block_on(async {
        let server = serve(&[]);
        let client = server.set_up().await;
        let keyed = async |priority: i32| {
            let body = json!({ "language": "bash", "source": ":", "priority": priority });
            let request = client.request(Method::POST, ALL).header("idempotency-key", "a");
            send(request.json(&body)).await
        };
        let first = keyed(1).await.json(202);
        assert_eq!(id(&keyed(1).await.json(202)), id(&first));
        assert_eq!(keyed(2).await.problem(409)["type"], "/docs/problems#idempotency-mismatch");
    });
}
