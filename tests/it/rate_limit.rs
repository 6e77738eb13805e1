//! How often something may be asked for, and who is told apart.

use automa_tests::{
    User,
    client::{PASSWORD, send},
    server::Server,
};
use reqwest::Method;
use serde_json::json;

use crate::block_on;

fn start(variables: &[(&'static str, &str)]) -> Server {
    Server::start_as(User::all()[0], variables)
}

#[test]
fn who_asks_too_often_is_told_when_to_come_again() {
    block_on(async {
        let server = start(&[("AUTOMA_RATE_LIMIT", "general=4/1h,scripts=1/1h")]);
        let admin = server.set_up().await;
        let list = async || admin.get("/api/v1/scripts").await;
        let first = list().await;
        let header = |name: &str| first.is(200).header(name).to_owned();
        assert_eq!(
            (header("ratelimit-limit"), header("ratelimit-remaining")),
            ("4".into(), "3".into())
        );
        assert_eq!(header("ratelimit-policy"), "4;w=3600");
        let reset: u64 = header("ratelimit-reset").parse().unwrap();
        assert!((1..=900).contains(&reset), "{reset}");
        // What fails counts too.
        admin.get("/api/v1/scripts/none").await.problem(404);
        list().await.is(200);
        assert_eq!(list().await.header("ratelimit-remaining"), "0");
        let refused = list().await;
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=900).contains(&wait), "{wait}");
        assert_eq!(refused.problem(429)["type"], "/docs/problems#rate-limited");
        // New scripts are counted by themselves; who is nobody yet, by address.
        let script = json!({ "name": "one", "language": "bash", "source": "true" });
        admin.post("/api/v1/scripts", script.clone()).await.is(201);
        admin.post("/api/v1/scripts", script).await.problem(429);
        server.anonymous().get("/api/v1/scripts").await.problem(401);
        let wrong = admin.with_token("nonsense");
        assert_eq!(wrong.get("/api/v1/scripts").await.header("ratelimit-remaining"), "2");
        // What is not counted says nothing.
        assert_eq!(server.anonymous().get("/health").await.is(200).header("ratelimit-limit"), "");
    });
}

#[test]
fn a_page_that_is_asked_for_too_often_is_a_page() {
    block_on(async {
        let server = start(&[("AUTOMA_RATE_LIMIT", "pages=1/1h")]);
        let anonymous = server.anonymous();
        anonymous.get("/sign-in").await.is(200);
        let refused = anonymous.get("/sign-in").await;
        assert!(refused.is(429).header("content-type").starts_with("text/html"));
        assert!(!refused.header("retry-after").is_empty());
        assert!(refused.text().contains("try again in"), "{}", refused.text());
    });
}

#[test]
fn addresses_are_told_apart_by_what_trusted_proxies_say_and_nobody_else() {
    block_on(async {
        for (trusted, refused) in [("127.0.0.0/8,::1", false), ("192.0.2.0/24", true)] {
            let variables =
                [("AUTOMA_RATE_LIMIT", "sign_in=2/1h"), ("AUTOMA_TRUSTED_PROXIES", trusted)];
            let server = start(&variables);
            // By itself one of the two.
            server.set_up().await;
            let attempt = async |client: &str| {
                let body = json!({ "username": "admin", "password": PASSWORD });
                let request = server.anonymous().request(Method::POST, "/api/v1/auth/login");
                send(request.header("x-forwarded-for", client).json(&body)).await.status
            };
            assert_eq!(attempt("203.0.113.1").await, 200);
            assert_eq!(attempt("203.0.113.2").await, if refused { 429 } else { 200 });
            if !refused {
                attempt("198.51.100.1, 203.0.113.1").await;
                assert_eq!(
                    attempt("198.51.100.2, 203.0.113.1").await,
                    429,
                    "the right-most counts"
                );
            }
        }
    });
}
