//! Signing in and out, tokens, and what each role may do.

use automa_tests::{
    client::{Answer, Client, PASSWORD, send},
    server::Server,
};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::block_on;

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value:#}"))
}

#[test]
fn signing_in_takes_the_right_name_and_password() {
    block_on(async {
        let server = Server::start();
        server.set_up().await;
        let client = server.anonymous();
        for name in ["admin", "admin@example.com"] {
            let signed_in = client.sign_in(name).await;
            let me = signed_in.get("/api/v1/auth/me").await.json(200);
            assert_eq!(me["username"], "admin");
        }
        let attempt = |name: &str, password: &str| {
            client.post("/api/v1/auth/login", json!({ "username": name, "password": password }))
        };
        let wrong = attempt("admin", "not the password").await.problem(401);
        let unknown = attempt("nobody", PASSWORD).await.problem(401);
        assert_eq!(wrong["detail"], unknown["detail"], "nobody learns which names exist");
        attempt("admin", "").await.problem(401);
    });
}

#[test]
fn a_refresh_gives_new_tokens_and_a_stolen_one_ends_the_session() {
    block_on(async {
        let server = Server::start();
        let client = server.anonymous();
        server.set_up().await;
        let body = json!({ "username": "admin", "password": PASSWORD });
        let tokens = client.post("/api/v1/auth/login", body).await.json(200);
        let refresh = async |token: &str| {
            client.post("/api/v1/auth/refresh", json!({ "refresh_token": token })).await
        };
        let first = text(&tokens, "refresh_token");
        let second = refresh(first).await.json(200);
        assert_ne!(text(&second, "refresh_token"), first);
        let third = refresh(text(&second, "refresh_token")).await.json(200);
        let user = client.with_token(text(&third, "access_token"));
        user.get("/api/v1/auth/me").await.is(200);
        // Two generations old: somebody else has it.
        refresh(first).await.problem(401);
        user.get("/api/v1/auth/me").await.problem(401);
        refresh(text(&third, "refresh_token")).await.problem(401);
    });
}

#[test]
fn signing_out_ends_both_tokens() {
    block_on(async {
        let server = Server::start();
        let first = server.set_up().await;
        let client = server.anonymous();
        // By either token: a program that has lost the one still has the other.
        for by_refresh_token in [true, false] {
            let body = json!({ "username": "admin", "password": PASSWORD });
            let tokens = client.post("/api/v1/auth/login", body).await.json(200);
            let user = client.with_token(text(&tokens, "access_token"));
            let body = json!({ "refresh_token": tokens["refresh_token"] });
            let answer = if by_refresh_token {
                client.post("/api/v1/auth/logout", body.clone()).await
            } else {
                user.post_nothing("/api/v1/auth/logout").await
            };
            answer.is(204);
            user.get("/api/v1/auth/me").await.problem(401);
            client.post("/api/v1/auth/refresh", body).await.problem(401);
        }
        first.get("/api/v1/auth/me").await.is(200);
    });
}

#[test]
fn a_token_is_good_only_as_it_was_given() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let body = json!({ "username": "admin", "password": PASSWORD });
        let tokens = client.post("/api/v1/auth/login", body).await.json(200);
        let token = text(&tokens, "access_token");
        let (rest, signature) = token.rsplit_once('.').unwrap();
        let mut changed: Vec<char> = signature.chars().collect();
        changed[3] = if changed[3] == 'A' { 'B' } else { 'A' };
        let changed = format!("{rest}.{}", changed.iter().collect::<String>());
        let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", token.split('.').nth(1).unwrap());
        let refresh = text(&tokens, "refresh_token");
        for bad in [changed.as_str(), &unsigned, refresh, "", "x", "a.b.c", "sk-nothing"] {
            let answer = client.with_token(bad).get("/api/v1/auth/me").await;
            answer.problem(401);
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{bad}");
        }
        let basic = server.anonymous().request(Method::GET, "/api/v1/auth/me");
        send(basic.header("authorization", "Basic x")).await.problem(401);
    });
}

#[test]
fn roles_decide_what_may_be_done() {
    let mut server = Server::start();
    block_on(async { server.set_up().await });
    server.end_by(Signal::SIGTERM);
    server.add_user("olga", "operator");
    server.add_user("victor", "viewer");
    server.restart();
    block_on(async {
        let admin = server.anonymous().sign_in("admin").await;
        let script = json!({ "name": "x", "language": "bash", "source": "true" });
        let script = admin.post("/api/v1/scripts", script).await.json(201);
        let script = text(&script, "id");
        let id = admin.submit("true").await;
        admin.ended(&id).await;
        let new = json!({ "name": "y", "language": "bash", "source": "true" });
        let code = json!({ "language": "bash", "source": "true" });
        let by_id = json!({ "script_id": script });
        for (name, status) in [("olga", None), ("victor", Some(403))] {
            let user = server.anonymous().sign_in(name).await;
            for path in ["scripts", "executions", &format!("scripts/{script}"), "executions/count"]
            {
                user.get(&format!("/api/v1/{path}")).await.is(200);
            }
            user.get(&format!("/api/v1/executions/{id}/log")).await.is(200);
            let rerun = format!("/api/v1/executions/{id}/rerun");
            let cancel = format!("/api/v1/executions/{id}/cancel");
            let calls = [
                ("/api/v1/scripts", &new, 201),
                ("/api/v1/executions", &code, 202),
                ("/api/v1/executions", &by_id, 202),
                (rerun.as_str(), &json!({}), 202),
                // It has ended.
                (cancel.as_str(), &json!({}), 409),
            ];
            for (path, body, allowed) in calls {
                let answer = user.post(path, body.clone()).await;
                answer.is(status.unwrap_or(allowed));
            }
        }
    });
}

async fn create(admin: &Client, name: &str, role: &str) -> String {
    let body = json!({
        "username": name, "email": format!("{name}@example.com"), "password": PASSWORD, "role": role,
    });
    let user = admin.post("/api/v1/users", body).await.json(201);
    format!("/api/v1/users/{}", text(&user, "id"))
}

async fn put(client: &Client, path: &str, body: Value) -> Answer {
    send(client.request(Method::PUT, path).json(&body)).await
}

#[test]
fn what_becomes_of_a_user_holds_at_once() {
    block_on(async {
        let server = Server::start();
        let admin = server.set_up().await;
        let path = create(&admin, "olga", "operator").await;
        let olga = server.anonymous().sign_in("olga").await;
        olga.get("/api/v1/users").await.problem(403);
        put(&olga, &path, json!({ "role": "admin" })).await.problem(403);
        put(&admin, &path, json!({ "role": "viewer" })).await.is(200);
        olga.get("/api/v1/auth/me").await.problem(401);
        let olga = server.anonymous().sign_in("olga").await;
        assert_eq!(
            put(&admin, &path, json!({ "disabled": true })).await.json(200)["disabled"],
            true
        );
        olga.get("/api/v1/auth/me").await.problem(401);
        let body = json!({ "username": "olga", "password": PASSWORD });
        let refused = server.anonymous().post("/api/v1/auth/login", body).await.problem(401);
        let body = json!({ "username": "nobody", "password": PASSWORD });
        let unknown = server.anonymous().post("/api/v1/auth/login", body).await.problem(401);
        assert_eq!(refused, unknown, "a disabled account is as none");
        let me = text(&admin.get("/api/v1/auth/me").await.json(200), "id").to_owned();
        let last = put(&admin, &format!("/api/v1/users/{me}"), json!({ "disabled": true })).await;
        assert_eq!(last.problem(409)["type"], "/docs/problems#last-admin");
        let weak = json!({
            "username": "eve", "email": "eve@example.com", "password": "Password1234", "role": "viewer",
        });
        let weak = admin.post("/api/v1/users", weak).await.problem(422);
        assert_eq!(weak["errors"][0]["field"], "password");
    });
}

#[test]
fn a_password_is_reset_by_a_link_from_a_page_of_admins_or_the_command_line() {
    let mut server = Server::start();
    let link = block_on(async {
        let admin = server.set_up().await;
        let path = create(&admin, "olga", "operator").await;
        let olga = server.anonymous().sign_in("olga").await;
        let link = admin.post_nothing(&format!("{path}/reset")).await.json(200);
        olga.get("/api/v1/auth/me").await.problem(401);
        let body = json!({ "username": "olga", "password": PASSWORD });
        server.anonymous().post("/api/v1/auth/login", body).await.problem(401);
        text(&link, "token").to_owned()
    });
    let set = async |server: &Server, token: &str, password: &str| {
        let body = json!({ "token": token, "password": password });
        server.anonymous().post("/api/v1/auth/reset", body).await
    };
    block_on(async {
        set(&server, &link, "short").await.problem(422);
        set(&server, &link, PASSWORD).await.is(204);
        let again = set(&server, &link, PASSWORD).await.problem(403);
        assert_eq!(again["type"], "/docs/problems#wrong-link");
        server.anonymous().sign_in("olga").await;
    });
    server.end_by(Signal::SIGTERM);
    let output = server.command(&["user", "reset", "nobody"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("there is no user `nobody`"), "{said}");
    let output = server.command(&["user", "reset", "ADMIN@example.com"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let token = said.trim().split_once("/reset?token=").expect("a link").1.to_owned();
    server.restart();
    block_on(async {
        set(&server, &token, PASSWORD).await.is(204);
        server.anonymous().sign_in("admin").await;
    });
}

#[test]
fn users_are_added_while_no_server_runs() {
    let mut server = Server::start();
    block_on(async { server.set_up().await });
    let mut command = server.command(&["user", "add", "olga", "--role", "operator"]);
    let output = command.arg("--password-stdin").output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("in use") || said.contains("open in another"), "{said}");
    server.end_by(Signal::SIGTERM);
    server.add_user("olga", "operator");
    server.restart();
    block_on(async {
        let olga = server.anonymous().sign_in("olga").await;
        assert_eq!(olga.get("/api/v1/auth/me").await.json(200)["role"], "operator");
    });
}
