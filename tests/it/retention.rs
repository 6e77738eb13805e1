//! How long things are kept, and what they take, through the API and in the data directory.

use automa_tests::{
    client::{Client, send},
    host::{DEADLINE, PAUSE},
    server::Server,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::block_on;

async fn put(client: &Client, path: &str, body: Value) -> automa_tests::client::Answer {
    send(client.request(Method::PUT, path).json(&body)).await
}

/// Runs something of a script that writes about a MiB.
async fn run(client: &Client, script: &str) -> String {
    let body = json!({ "script_id": script });
    let ended = client.post("/api/v1/executions?wait=60", body).await.json(200);
    ended["id"].as_str().unwrap().to_owned()
}

#[test]
fn logs_go_when_they_are_too_large_and_say_so() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let rules = client.get("/api/v1/settings/retention").await.json(200);
        let default = json!({ "history_days": 730, "log_days": 90, "log_bytes": 10_737_418_240_u64, "audit_days": null });
        assert_eq!(rules, default);
        // What has no pattern is not packed, so that its size is known.
        let source = "head -c 900000 /dev/urandom | base64 -w 100";
        let body = json!({ "name": "loud", "language": "bash", "source": source });
        let script = client.post("/api/v1/scripts", body).await.json(201);
        let script = script["id"].as_str().unwrap();
        let (first, second) = (run(&client, script).await, run(&client, script).await);
        let disk = client.get("/api/v1/disk").await.json(200);
        assert_eq!(disk["log_files"], 2, "{disk:#}");
        let top = &disk["scripts"][0];
        assert_eq!((&top["script_id"], &top["name"]), (&json!(script), &json!("loud")));
        let bytes = top["log_bytes"].as_u64().unwrap();
        assert!(bytes > 2_000_000 && disk["log_bytes"] == bytes, "{disk:#}");
        assert!(disk["store_bytes"].as_u64() > Some(0) && disk["free_bytes"].as_u64() > Some(0));

        let own = format!("/api/v1/scripts/{script}/retention");
        let nothing = json!({ "history_days": null, "log_days": null, "log_bytes": null });
        assert_eq!(client.get(&own).await.json(200), nothing);
        let rules = json!({ "history_days": 7, "log_days": null, "log_bytes": 1_300_000 });
        assert_eq!(put(&client, &own, rules.clone()).await.json(200), rules);
        assert_eq!(client.get(&own).await.json(200), rules);

        let log = |id: &str| format!("/api/v1/executions/{id}/log");
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while client.get(&log(&first)).await.status == 200 {
            assert!(tokio::time::Instant::now() < deadline, "the older log stays");
            tokio::time::sleep(PAUSE).await;
        }
        let gone = client.get(&log(&first)).await.problem(410);
        assert_eq!(gone["type"], "/docs/problems#log-removed");
        for path in ["find?q=1", "count?q=1", "stream"] {
            client.get(&format!("{}/{path}", log(&first))).await.problem(410);
        }
        client.get(&format!("/api/v1/executions/{first}")).await.is(200);
        assert_eq!(client.get(&log(&second)).await.json(200)["total"], 12_000);
        let left = |id: &str| server.data().join(format!("logs/{id}.log")).exists();
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while left(&first) {
            assert!(tokio::time::Instant::now() < deadline, "the file stays");
            tokio::time::sleep(PAUSE).await;
        }
        assert!(left(&second));
        let disk = client.get("/api/v1/disk").await.json(200);
        assert!(
            disk["log_files"] == 1 && disk["log_bytes"].as_u64() <= Some(1_300_000),
            "{disk:#}"
        );
    });
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let path = "/api/v1/settings/retention";
        let wrong = json!({ "history_days": 0, "log_days": 36_501, "log_bytes": 5 });
        let problem = put(&client, path, wrong).await.problem(422);
        assert_eq!(problem["errors"].as_array().unwrap().len(), 3, "{problem:#}");
        put(&client, path, json!({ "log_days": "many" })).await.problem(422);
        put(&client, path, json!({ "days": 5 })).await.problem(422);
        let rules = json!({
            "history_days": null, "log_days": 1, "log_bytes": null, "audit_days": null,
        });
        assert_eq!(put(&client, path, json!({ "log_days": 1 })).await.json(200), rules);
        let nowhere = "/api/v1/scripts/018f0000-0000-7000-8000-000000000000/retention";
        client.get(nowhere).await.problem(404);
        put(&client, nowhere, json!({})).await.problem(404);
    });
}
