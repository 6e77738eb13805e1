//! What operators and browsers rely on: health, headers, caching, nothing for other sites.

use std::{fs, os::unix::fs::PermissionsExt as _};

use automa_tests::{
    User,
    client::{PASSWORD, send},
    running::Running,
    server::Server,
};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;

use crate::block_on;

#[test]
fn health_is_told_to_anybody() {
    block_on(async {
        let server = Server::start();
        let client = server.anonymous();
        for path in ["/health", "/liveness", "/readiness"] {
            let answer = client.get(path).await;
            let body = answer.json(200);
            assert!(body.is_object(), "{path}: {body:#}");
            // Nothing that helps an attacker.
            let text = answer.text();
            let data = server.data().display().to_string();
            assert!(!text.contains(&data), "{path}: {text}");
            assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        }
    });
}

#[test]
fn every_kind_of_response_is_guarded() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let id = client.run("true").await["id"].as_str().unwrap().to_owned();
        let anonymous = server.anonymous();
        let answers = [
            client.get("/api/v1/executions").await,
            client.get(&format!("/api/v1/executions/{id}/log")).await,
            client.get(&format!("/api/v1/executions/{id}/log/stream")).await,
            client.get("/api/v1/nothing").await,
            client.delete("/api/v1/executions").await,
            anonymous.get("/api/v1/executions").await,
            anonymous.get("/").await,
            anonymous.get("/sign-in").await,
            anonymous.get("/nothing").await,
            anonymous.get("/health").await,
            anonymous.get("/openapi.json").await,
            anonymous.get("/docs").await,
            client.post("/api/v1/auth/login", json!({})).await,
        ];
        for answer in answers {
            let asked = &answer.asked;
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{asked}");
            assert!(!answer.header("referrer-policy").is_empty(), "{asked}");
            let policy = answer.header("content-security-policy");
            for directive in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
                assert!(policy.contains(directive), "{asked}: {policy:?} without {directive}");
            }
            assert!(!policy.contains("unsafe"), "{asked}: {policy}");
            assert!(answer.header("server").is_empty(), "{asked}");
        }
    });
}

#[test]
fn what_is_private_is_not_kept_in_caches() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        for path in ["/api/v1/executions", "/api/v1/auth/me", "/api/v1/scripts"] {
            let answer = client.get(path).await;
            assert!(answer.header("cache-control").contains("no-"), "{path}: {:?}", answer.headers);
        }
    });
}

#[test]
fn a_browser_session_is_kept_in_cookies_that_scripts_cannot_read() {
    block_on(async {
        let server = Server::start();
        server.set_up().await;
        let form = format!("username=admin&password={}", PASSWORD.replace(' ', "+"));
        let client = server.anonymous();
        let request = client
            .request(Method::POST, "/sign-in")
            .header("origin", server.url())
            .header("content-type", "application/x-www-form-urlencoded");
        let answer = send(request.body(form)).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        let cookies: Vec<&str> =
            answer.headers.get_all("set-cookie").iter().map(|one| one.to_str().unwrap()).collect();
        assert!(!cookies.is_empty());
        for cookie in &cookies {
            let lower = cookie.to_lowercase();
            assert!(lower.contains("httponly") && lower.contains("samesite="), "{cookie}");
        }
        let pairs: Vec<&str> = cookies.iter().map(|one| one.split(';').next().unwrap()).collect();
        let pairs = pairs.join("; ");
        let with_cookies = |method: Method, path: &str| {
            client.request(method, path).header("cookie", pairs.as_str())
        };
        let home = send(with_cookies(Method::GET, "/")).await;
        assert_eq!(home.status, 200, "{}", home.text());
        // Another site's page sends the cookies along; it may do nothing with them.
        let body = json!({ "language": "bash", "source": "true" });
        for (field, value) in
            [("sec-fetch-site", "cross-site"), ("origin", "https://other.example.com")]
        {
            let request = with_cookies(Method::POST, "/api/v1/executions").header(field, value);
            send(request.json(&body)).await.problem(403);
            let request = with_cookies(Method::POST, "/sign-out").header(field, value);
            assert_eq!(send(request).await.status, 403, "{field}");
        }
        let socket =
            with_cookies(Method::GET, "/api/v1/ws/executions/00000000-0000-7000-8000-000000000000")
                .header("origin", "https://other.example.com")
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(send(socket).await.status, 403);
        let own = with_cookies(Method::POST, "/api/v1/executions").header("origin", server.url());
        send(own.json(&body)).await.is(202);
    });
}

#[test]
fn responses_are_compressed_for_those_who_can_read_it() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        for encoding in ["gzip", "br"] {
            let request = client.request(Method::GET, "/openapi.json");
            let answer = send(request.header("accept-encoding", encoding)).await;
            answer.is(200);
            assert_eq!(answer.header("content-encoding"), encoding);
            assert!(answer.header("vary").to_lowercase().contains("accept-encoding"));
        }
        let plain = client.get("/openapi.json").await;
        assert_eq!(plain.header("content-encoding"), "");
    });
}

#[test]
fn without_a_command_it_serves_where_the_environment_says() {
    for user in User::all() {
        let data = tempfile::tempdir().unwrap();
        fs::set_permissions(data.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let mut command = automa_tests::command(user);
        command.env("AUTOMA_DATA", data.path().join("here")).env("AUTOMA_LISTEN", "127.0.0.1:0");
        let server = Running::start(&mut command, None);
        let line = server.line();
        assert!(line.starts_with("listening on http://127.0.0.1:"), "{line}");
        assert!(server.line().contains("/setup?token="));
        assert!(data.path().join("here/automa.redb").exists());
        server.signal(Signal::SIGTERM);
        assert_eq!(server.end().code, 0);
    }
}
