//! API keys: what programs show, and what is refused.

use automa_tests::{
    client::{Client, send},
    server::Server,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::block_on;

const KEYS: &str = "/api/v1/api-keys";

/// Makes a key: what it is, and somebody who sends it as a bearer.
async fn make(owner: &Client, body: Value) -> (Value, Client) {
    let made = owner.post(KEYS, body).await.json(201);
    let key = owner.with_token(made["key"].as_str().unwrap());
    (made, key)
}

#[test]
fn a_program_runs_a_script_with_one_call() {
    block_on(async {
        let server = Server::start();
        let admin = server.set_up().await;
        let script = json!({
            "name": "greet", "language": "bash",
            "source": "echo \"hello $who\"; echo 42 >$AUTOMA_RESULT",
        });
        let script = admin.post("/api/v1/scripts", script).await.json(201);
        let (made, key) = make(&admin, json!({ "name": "ci" })).await;
        assert_eq!(made["scopes"], json!(["read_scripts", "read_executions", "execute"]));
        let listed = key.get("/api/v1/scripts").await.json(200);
        assert_eq!(listed["items"][0]["id"], script["id"], "the library");
        for named in [&json!("greet"), &script["id"]] {
            let body = json!({ "script": named, "parameters": { "who": "world" } });
            let ended = key.post("/api/v1/execute", body).await.json(200);
            assert_eq!((&ended["state"], &ended["exit_code"]), (&json!("succeeded"), &json!(0)));
            assert_eq!((&ended["output"], &ended["result"]), (&json!("hello world\n"), &json!(42)));
        }
        let code = json!({ "language": "bash", "source": "echo code" });
        let ended = key.post("/api/v1/execute", code.clone()).await.json(200);
        assert_eq!(ended["output"], "code\n");
        key.post("/api/v1/execute?wait=0", code).await.is(202);
        key.post("/api/v1/execute", json!({ "script": "none" })).await.problem(404);
        let again = json!({ "name": "greet", "language": "bash", "source": "true" });
        admin.post("/api/v1/scripts", again).await.is(201);
        let two = key.post("/api/v1/execute", json!({ "script": "greet" })).await.problem(422);
        assert_eq!(two["errors"][0]["field"], "script");

        let found = admin.get(&format!("{KEYS}/{}", made["id"].as_str().unwrap())).await.json(200);
        assert_eq!((&found["use_count"], &found["last_address"]), (&json!(7), &json!("127.0.0.1")));
        assert!(found["key"].is_null() && !found["last_used_at"].is_null(), "{found:#}");
        let ran = admin.get("/api/v1/executions?requested_by=admin").await.json(200);
        assert_eq!(ran["items"].as_array().unwrap().len(), 4, "it acts for its owner");
    });
}

#[test]
fn a_key_is_sent_in_either_header_and_never_beside_another() {
    block_on(async {
        let server = Server::start();
        let admin = server.set_up().await;
        let (made, key) = make(&admin, json!({ "name": "ci" })).await;
        let anonymous = server.anonymous();
        let ask = |client: &Client, headers: &[(&'static str, &str)]| {
            let request = client.request(Method::GET, "/api/v1/auth/me");
            send(
                headers
                    .iter()
                    .fold(request, |request, (name, value)| request.header(*name, *value)),
            )
        };
        let right = made["key"].as_str().unwrap();
        let wrong = format!("{}0", &right[..right.len() - 1]);
        ask(&key, &[]).await.is(200);
        ask(&anonymous, &[("x-api-key", right)]).await.is(200);
        let problem = ask(&anonymous, &[("x-api-key", &wrong)]).await.problem(401);
        assert_eq!(problem["type"], "/docs/problems#wrong-key");
        ask(&anonymous.with_token(&wrong), &[]).await.problem(401);
        // A wrong one is refused beside a right one, be that a token, a key or a cookie.
        let cookie = format!("automa_access={}", admin.token());
        ask(&anonymous, &[("cookie", &cookie)]).await.is(200);
        for client in [&admin, &key] {
            ask(client, &[("x-api-key", &wrong)]).await.problem(401);
            ask(client, &[("x-api-key", right)]).await.problem(401);
        }
        ask(&anonymous, &[("cookie", &cookie), ("x-api-key", &wrong)]).await.problem(401);
        ask(&anonymous.with_token(&wrong), &[("cookie", &cookie)]).await.problem(401);
        let twice = ask(&anonymous, &[("x-api-key", right), ("x-api-key", right)]);
        twice.await.problem(401);
        // It opens no page.
        let as_cookie = format!("automa_access={right}");
        let page = anonymous.request(Method::GET, "/scripts").header("cookie", as_cookie);
        send(page).await.is(303);
    });
}

#[test]
fn a_key_does_no_more_than_its_scopes_while_it_is_on() {
    block_on(async {
        let server = Server::start();
        let admin = server.set_up().await;
        let body = json!({ "name": "reader", "scopes": ["read_scripts"] });
        let (made, key) = make(&admin, body.clone()).await;
        let path = format!("{KEYS}/{}", made["id"].as_str().unwrap());
        key.get("/api/v1/scripts").await.is(200);
        let code = json!({ "language": "bash", "source": "true" });
        let refused = key.post("/api/v1/executions", code.clone()).await.problem(403);
        assert!(refused["detail"].as_str().unwrap().contains("`execute`"), "{refused:#}");
        for answer in [key.get(KEYS).await, key.post(KEYS, json!({ "name": "more" })).await] {
            answer.problem(403);
        }
        // Who may run and not read is told before it runs.
        let (_, runs) = make(&admin, json!({ "name": "runs", "scopes": ["execute"] })).await;
        let refused = runs.post("/api/v1/execute", code.clone()).await.problem(403);
        assert!(refused["detail"].as_str().unwrap().contains("`read_executions`"), "{refused:#}");
        let count = admin.get("/api/v1/executions/count").await.json(200);
        assert_eq!(count["count"], 0);
        runs.post("/api/v1/execute?wait=0", code).await.is(202);

        let put = async |body: Value| send(admin.request(Method::PUT, &path).json(&body)).await;
        let mut off = body.clone();
        off["enabled"] = false.into();
        assert_eq!(put(off).await.json(200)["enabled"], false);
        key.get("/api/v1/scripts").await.problem(401);
        put(body.clone()).await.is(200);
        key.get("/api/v1/scripts").await.is(200);
        let mut elsewhere = body;
        elsewhere["networks"] = json!(["192.0.2.0/24"]);
        put(elsewhere).await.is(200);
        let refused = key.get("/api/v1/scripts").await.problem(401);
        assert!(refused["detail"].as_str().unwrap().contains("address"), "{refused:#}");
        admin.delete(&path).await.is(204);
        key.get("/api/v1/scripts").await.problem(401);
        admin.get(&path).await.problem(404);
        for wrong in [
            json!({ "name": "" }),
            json!({ "name": "k", "scopes": [] }),
            json!({ "name": "k", "scopes": ["everything"] }),
            json!({ "name": "k", "scopes": ["manage_account"] }),
            json!({ "name": "k", "networks": ["everywhere"] }),
            json!({ "name": "k", "expires_at": "2020-01-01T00:00:00Z" }),
            json!({ "name": "k", "script_ids": ["0197c1a0-5f00-7000-8000-00000000002a"] }),
            json!({ "name": "k", "script_ids": [] }),
        ] {
            admin.post(KEYS, wrong).await.problem(422);
        }
    });
}

#[test]
fn what_a_key_follows_ends_with_the_key() {
    block_on(async {
        let server = Server::start();
        let admin = server.set_up().await;
        let (made, key) = make(&admin, json!({ "name": "follower" })).await;
        let id = key.submit("echo begun; sleep 1000").await;
        key.logged(&id, "begun").await;
        let stream = key.request(Method::GET, &format!("/api/v1/executions/{id}/log/stream"));
        let mut stream = stream.send().await.unwrap();
        assert!(stream.chunk().await.unwrap().is_some(), "it follows");
        admin.delete(&format!("{KEYS}/{}", made["id"].as_str().unwrap())).await.is(204);
        // To its end, or the client's own time is over.
        while stream.chunk().await.unwrap().is_some() {}
        admin.post_nothing(&format!("/api/v1/executions/{id}/cancel")).await.is(200);
    });
}
