//! Jobs: saved, started by themselves, by hand and by calls, and what became of that.

use std::time::{Duration, Instant};

use automa_tests::{
    client::{Answer, Client, send},
    server::Server,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::block_on;

const JOBS: &str = "/api/v1/jobs";
/// How long a test waits for what has to come: only something broken takes that long.
const DEADLINE: Duration = Duration::from_mins(1);

async fn script(client: &Client, source: &str) -> String {
    let new = json!({ "name": "x", "language": "bash", "source": source });
    let script = client.post("/api/v1/scripts", new).await.json(201);
    script["id"].as_str().unwrap().to_owned()
}

/// A job's slots, once they are as they have to be.
async fn slots(client: &Client, job: &str, are: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let until = Instant::now() + DEADLINE;
    loop {
        let page = client.get(&format!("{job}/slots")).await.json(200);
        let slots = page["items"].as_array().unwrap();
        if are(slots) {
            return slots.clone();
        }
        assert!(Instant::now() < until, "{page:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_job_starts_by_itself_until_it_is_paused() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let script = script(&client, "echo $name").await;
        let new = json!({
            "name": "greeting", "script_id": script, "parameters": { "name": "world" },
            "trigger": { "type": "interval", "every_ms": 1000 }, "overlap": "parallel",
        });
        let answer = client.post(JOBS, new.clone()).await;
        let job = answer.json(201);
        let path = answer.header("location").to_owned();
        assert_eq!(path, format!("{JOBS}/{}", job["id"].as_str().unwrap()));
        assert!(job["next_run_at"].is_string() && job["webhook_url"].is_null(), "{job:#}");
        let became = slots(&client, &path, |slots| slots.len() >= 3).await;
        let times: Vec<_> = became.iter().map(|slot| slot["slot"].as_str().unwrap()).collect();
        assert!(times.is_sorted_by(|one, other| one > other), "{times:?}");
        assert_eq!(
            (&became[0]["became"], &became[0]["by"]),
            (&json!("started"), &json!("trigger"))
        );
        let execution = client.ended(became[2]["execution_id"].as_str().unwrap()).await;
        assert_eq!(execution["state"], "succeeded");
        assert_eq!((&execution["job_id"], &execution["slot"]), (&job["id"], &became[2]["slot"]));
        let log = format!("/api/v1/executions/{}/log", execution["id"].as_str().unwrap());
        assert_eq!(client.get(&log).await.json(200)["lines"][0]["text"], "world");
        let of_job = format!("/api/v1/executions?job_id={}", job["id"].as_str().unwrap());
        let listed = client.get(&of_job).await.json(200);
        assert!(listed["items"].as_array().unwrap().len() >= 3, "{listed:#}");

        let paused = client.post_nothing(&format!("{path}/pause")).await.json(200);
        assert_eq!((&paused["paused"], &paused["next_run_at"]), (&json!(true), &Value::Null));
        let run = client.post_nothing(&format!("{path}/run")).await;
        let by_hand = run.json(202);
        assert!(run.header("location").ends_with(by_hand["id"].as_str().unwrap()));
        assert_eq!(client.ended(by_hand["id"].as_str().unwrap()).await["state"], "succeeded");
        let last = slots(&client, &path, |slots| slots[0]["by"] == "person").await;
        assert_eq!(last[0]["execution_id"], by_hand["id"]);
        let now = client.get(&path).await.json(200);
        assert_eq!(now["statistics"]["success_rate"], 1.0, "{now:#}");
        let resumed = client.post_nothing(&format!("{path}/resume")).await.json(200);
        assert!(resumed["next_run_at"].is_string(), "{resumed:#}");
        client.delete(&path).await.is(204);
        client.get(&path).await.problem(404);
        assert_eq!(client.get(JOBS).await.json(200)["items"], json!([]));
        assert_eq!(client.get(&of_job).await.status, 200, "executions stay");
    });
}

#[test]
fn nobody_overwrites_a_job_that_they_have_not_read() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let script = script(&client, "true").await;
        let cron = json!({ "type": "cron", "pattern": "0 3 * * *", "zone": "Europe/Berlin" });
        let new = |name: &str| json!({ "name": name, "script_id": script, "trigger": cron });
        let made = client.post(JOBS, new("one")).await;
        let (path, tag) = (made.header("location").to_owned(), made.header("etag").to_owned());
        let put = |name: &str, tag: &str| {
            send(client.request(Method::PUT, &path).header("if-match", tag).json(&new(name)))
        };
        let changed = put("two", &tag).await;
        assert_eq!(changed.json(200)["name"], "two");
        put("three", &tag).await.problem(412);
        assert_eq!(put("three", changed.header("etag")).await.json(200)["revision"], 3);
        let mut stale = new("four");
        stale["revision"] = json!(1);
        send(client.request(Method::PUT, &path).json(&stale)).await.problem(409);
        let upcoming = client.get(&format!("{JOBS}/upcoming?limit=2")).await.json(200);
        let upcoming = upcoming["items"].as_array().unwrap();
        assert_eq!(upcoming.len(), 2);
        assert_eq!(
            (&upcoming[0]["name"], &upcoming[0]["job_id"]),
            (&json!("three"), &made.json(201)["id"])
        );
    });
}

#[test]
fn what_is_wrong_with_a_job_is_told_by_field() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let script = script(&client, "true").await;
        let minutely = json!({ "type": "interval", "every_ms": 60000 });
        let job = |changes: Value| {
            let mut job = json!({ "name": "x", "script_id": script, "trigger": minutely });
            job.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            job
        };
        let cron = |pattern: &str, zone: &str| json!({ "trigger": { "type": "cron", "pattern": pattern, "zone": zone } });
        let blackout = json!({ "type": "weekly", "days": "mon", "from": "25:00", "to": "1:00" });
        for (changes, field) in [
            (json!({ "name": "" }), "name"),
            (json!({ "trigger": { "type": "interval" } }), "trigger.every_ms"),
            (json!({ "trigger": { "type": "interval", "every_ms": 1 } }), "trigger.every_ms"),
            (json!({ "trigger": { "type": "once", "at": "2020-01-01T00:00:00Z" } }), "trigger"),
            (cron("0 3 * *", "UTC"), "trigger.pattern"),
            (cron("0 3 * * *", "Mars/Olympus"), "trigger.zone"),
            (
                json!({ "misfire": "catch_up", "catch_up": { "within_ms": 1, "most": 1 } }),
                "catch_up.within_ms",
            ),
            (
                json!({ "misfire": "skip", "catch_up": { "within_ms": 60000, "most": 1 } }),
                "catch_up",
            ),
            (json!({ "rules": { "jitter_ms": 86_400_001 } }), "rules.jitter_ms"),
            (json!({ "rules": { "blackouts": [blackout] } }), "rules.blackouts/0/from"),
            (json!({ "parameters": { "PATH": "/" } }), "parameters/PATH"),
            (json!({ "network": ["x"] }), "network.0"),
        ] {
            let problem = client.post(JOBS, job(changes)).await.problem(422);
            assert_eq!(problem["errors"][0]["field"], field, "{problem:#}");
        }
        for changes in
            [json!({ "overlap": "x" }), json!({ "misfire": "x" }), cron("61 * * * *", "UTC")]
        {
            client.post(JOBS, job(changes)).await.problem(422);
        }
        for misfire in ["skip", "run_once", "catch_up"] {
            client.post(JOBS, job(json!({ "misfire": misfire }))).await.is(201);
        }
        let unknown = json!({ "script_id": "0197c1a0-5f00-7000-8000-00000000002a" });
        client.post(JOBS, job(unknown)).await.problem(404);
        client.post_nothing(&format!("{JOBS}/x/run")).await.problem(404);
        client.get(&format!("{JOBS}/upcoming?limit=0")).await.problem(422);
    });
}

/// Calls a webhook as a program does that knows nothing but its address.
async fn call(client: &Client, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let path = url.strip_prefix(client.url()).unwrap_or_else(|| panic!("{url}"));
    let mut request = client.request(Method::POST, path).body(body.to_vec());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(request).await
}

#[test]
fn a_webhook_is_called_by_who_knows_its_address() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let script = script(&client, "echo $a $b").await;
        let new = |trigger: Value| {
            json!({
                "name": "hook", "script_id": script, "parameters": { "a": 1, "b": 2 },
                "trigger": trigger, "overlap": "parallel",
            })
        };
        let job = client.post(JOBS, new(json!({ "type": "webhook" }))).await.json(201);
        let path = format!("{JOBS}/{}", job["id"].as_str().unwrap());
        let url = job["webhook_url"].as_str().unwrap();
        assert!(job["webhook_secret"].is_null(), "{job:#}");
        let anonymous = server.anonymous();
        let called = call(&anonymous, url, &[], br#"{"b": 3}"#).await.json(202);
        let ended = client.ended(called["execution_id"].as_str().unwrap()).await;
        assert_eq!(ended["job_id"], job["id"]);
        let log = format!("/api/v1/executions/{}/log", ended["id"].as_str().unwrap());
        assert_eq!(client.get(&log).await.json(200)["lines"][0]["text"], "1 3");
        call(&anonymous, url, &[], b"").await.is(202);
        call(&anonymous, url, &[], b"[]").await.problem(422);
        call(&anonymous, url, &[], br#"{"PATH": "/"}"#).await.problem(422);
        call(&anonymous, url, &[], &vec![b' '; (64 << 10) + 1]).await.problem(413);
        call(&anonymous, &format!("{url}0"), &[], b"").await.problem(404);
        anonymous.get(url.strip_prefix(client.url()).unwrap()).await.problem(405);
        // It is told once, and worth nothing after it was renewed.
        assert!(client.get(&path).await.json(200)["webhook_url"].is_null());
        let renewed = client.post_nothing(&format!("{path}/webhook")).await.json(200);
        call(&anonymous, url, &[], b"").await.problem(404);
        let url = renewed["webhook_url"].as_str().unwrap();
        call(&anonymous, url, &[], b"").await.is(202);
        client.post_nothing(&format!("{path}/pause")).await.is(200);
        call(&anonymous, url, &[], b"").await.problem(409);

        let signed = json!({ "type": "webhook", "signed": true });
        let job = client.post(JOBS, new(signed)).await.json(201);
        let url = job["webhook_url"].as_str().unwrap();
        assert_eq!(job["webhook_secret"].as_str().unwrap().len(), 64);
        call(&anonymous, url, &[], b"").await.problem(401);
        let code = format!("sha256={}", "0".repeat(64));
        call(&anonymous, url, &[("x-hub-signature-256", &code)], b"").await.problem(401);
    });
}
