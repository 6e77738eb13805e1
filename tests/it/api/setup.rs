//! The first admin, and the way from there to a finished execution.

use automa_tests::{client::PASSWORD, client::texts, server::Server};
use serde_json::{Value, json};

use crate::block_on;

fn admin(token: &str) -> Value {
    json!({
        "token": token,
        "username": "admin",
        "email": "admin@example.com",
        "password": PASSWORD,
    })
}

#[test]
fn from_setup_to_a_finished_execution() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let me = client.get("/api/v1/auth/me").await.json(200);
        assert_eq!(
            (&me["username"], &me["email"], &me["role"]),
            (&json!("admin"), &json!("admin@example.com"), &json!("admin"))
        );
        let script =
            json!({ "name": "greet", "language": "bash", "source": "echo \"hello $who\"" });
        let script = client.post("/api/v1/scripts", script).await.json(201);
        assert_eq!(script["version"], 1);
        let body = json!({ "script_id": script["id"], "parameters": { "who": "world" } });
        let execution = client.post("/api/v1/executions?wait=60", body).await.json(200);
        assert_eq!(execution["state"], "succeeded", "{execution:#}");
        assert_eq!(execution["script_id"], script["id"]);
        assert_eq!((&execution["version"], &execution["exit_code"]), (&json!(1), &json!(0)));
        assert_eq!(execution["output"], "hello world\n");
        assert_eq!(execution["output_truncated"], false);
        assert_eq!((&execution["language"], &execution["attempt"]), (&json!("bash"), &json!(1)));
        assert!(!execution["cause"].as_str().unwrap().is_empty(), "{execution:#}");
        assert!(execution["wall_ms"].is_u64() && execution["cpu_ms"].is_u64(), "{execution:#}");
        assert!(execution["report"]["protections"].is_array(), "{execution:#}");
        for time in ["created_at", "started_at", "finished_at"] {
            let time = execution[time].as_str().unwrap();
            assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
        }
        let path = format!("/api/v1/executions/{}", execution["id"].as_str().unwrap());
        let log = client.get(&format!("{path}/log")).await.json(200);
        assert_eq!(texts(&log), ["hello world"]);
        assert_eq!((&log["complete"], &log["total"]), (&json!(true), &json!(1)));
        assert_eq!(
            (&log["lines"][0]["n"], &log["lines"][0]["stream"]),
            (&json!(1), &json!("stdout"))
        );
        let again = client.get(&path).await.json(200);
        assert_eq!(again["state"], "succeeded");
    });
}

#[test]
fn the_setup_link_is_good_for_one_admin() {
    block_on(async {
        let server = Server::start();
        let client = server.anonymous();
        let wrong = client.post("/api/v1/auth/setup", admin("wrong")).await;
        wrong.problem(403);
        let mut weak = admin(server.setup_token());
        weak["password"] = json!("short");
        let problem = client.post("/api/v1/auth/setup", weak).await.problem(422);
        assert_eq!(problem["errors"][0]["field"], "password", "{problem:#}");
        let right = admin(server.setup_token());
        let tokens = client.post("/api/v1/auth/setup", right.clone()).await.json(201);
        assert_eq!(tokens["token_type"], "bearer");
        assert!(tokens["expires_in"].as_u64().unwrap() > 0);
        client.post("/api/v1/auth/setup", right).await.problem(409);
        client.post("/api/v1/auth/setup", admin("wrong")).await.problem(409);
    });
}

#[test]
fn only_one_of_two_who_set_up_at_once_becomes_admin() {
    block_on(async {
        let server = Server::start();
        let client = server.anonymous();
        let body = |name: &str| {
            let mut body = admin(server.setup_token());
            body["username"] = json!(name);
            body
        };
        let (one, other) = tokio::join!(
            client.post("/api/v1/auth/setup", body("one")),
            client.post("/api/v1/auth/setup", body("other")),
        );
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
    });
}

#[test]
fn the_setup_link_stays_the_same_until_it_is_used() {
    let mut server = Server::start();
    let first = server.setup_token().to_owned();
    let output = server.command(&["setup-url"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && shown.contains(&first), "{shown}");
    let ended = server.end_by(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(ended.code, 0, "{ended:#?}");
    server.restart_without_users();
    assert_eq!(server.setup_token(), first);
    block_on(async {
        server.set_up().await;
    });
    let output = server.command(&["setup-url"]).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
}
