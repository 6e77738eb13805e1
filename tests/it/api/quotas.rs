//! Tiers: what they allow, on every way there is.

use automa_tests::{
    client::{Client, send},
    server::Server,
};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::block_on;

/// A server with `admin`, and `ada`, an operator whose tier has this plan.
async fn begin(plan: Value) -> (Server, Client, Client) {
    let mut server = Server::start();
    server.set_up().await;
    server.end_by(Signal::SIGTERM);
    server.add_user("ada", "operator");
    server.restart();
    let (admin, ada) =
        (server.anonymous().sign_in("admin").await, server.anonymous().sign_in("ada").await);
    let mut tiers = admin.get("/api/v1/tiers").await.json(200);
    assert_eq!(tiers["default_tier"], Value::Null, "nobody is held to anything at first");
    tiers["free"] = plan;
    tiers["default_tier"] = "free".into();
    let set = admin.request(Method::PUT, "/api/v1/tiers").json(&tiers);
    assert_eq!(send(set).await.json(200)["default_tier"], "free");
    (server, admin, ada)
}

async fn quota(client: &Client) -> Value {
    client.get("/api/v1/users/me/quota").await.json(200)
}

#[test]
fn tiers_begin_with_the_usual_figures() {
    block_on(async {
        let server = Server::start();
        let admin = server.set_up().await;
        let tiers = admin.get("/api/v1/tiers").await.json(200);
        let of = |tier: &str| {
            let tier = &tiers[tier];
            let (mib, seconds) = (1 << 20, 1000);
            let time = tier["wall_ms"].as_u64().map(|ms| ms / seconds);
            let memory = tier["memory_bytes"].as_u64().map(|bytes| bytes / mib);
            json!([
                tier["executions_per_day"],
                tier["api_calls_per_day"],
                time,
                memory,
                tier["scripts"],
                tier["api_keys"]
            ])
        };
        assert_eq!(of("free"), json!([10, 20, 30, 128, 5, 2]));
        assert_eq!(of("basic"), json!([50, 100, 60, 256, 20, 5]));
        assert_eq!(of("premium"), json!([200, 500, 120, 512, 100, 10]));
        assert_eq!(of("enterprise"), json!([null, null, 300, 1024, null, null]));
        let left = quota(&admin).await;
        assert_eq!(
            (&left["tier"], &left["executions_per_day"]["limit"]),
            (&Value::Null, &Value::Null)
        );
    });
}

#[test]
fn a_day_has_so_many_executions_and_calls() {
    block_on(async {
        let plan = json!({ "executions_per_day": 2, "api_calls_per_day": 6 });
        let (_server, admin, ada) = begin(plan).await;
        let code = json!({ "language": "bash", "source": "true" });
        for _ in 0..2 {
            ada.post("/api/v1/executions", code.clone()).await.is(202);
        }
        let left = quota(&ada).await;
        assert_eq!(left["tier"], "free");
        assert_eq!(left["executions_per_day"], json!({ "limit": 2, "used": 2, "left": 0 }));
        let refused = ada.post("/api/v1/executions", code.clone()).await;
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=86_400).contains(&wait), "{wait}");
        let problem = refused.problem(429);
        assert_eq!(problem["type"], "/docs/problems#quota-exceeded");
        assert_eq!(
            (&problem["quota"], &problem["used"]),
            (&json!("executions_per_day"), &json!(2))
        );
        assert_eq!(problem["resets_at"], left["resets_at"]);
        // The fourth to sixth call.
        let key = ada.post("/api/v1/api-keys", json!({ "name": "k" })).await.json(201);
        let key = ada.with_token(key["key"].as_str().unwrap());
        key.post("/api/v1/execute", code.clone()).await.problem(429);
        key.get("/api/v1/scripts").await.is(200);
        for client in [&key, &ada] {
            let problem = client.get("/api/v1/scripts").await.problem(429);
            assert_eq!(problem["quota"], "api_calls_per_day");
        }
        assert_eq!(
            quota(&key).await["api_calls_per_day"]["left"],
            0,
            "who has none left sees that"
        );
        // Others have their own, and another tier counts at once.
        admin.post("/api/v1/executions", code.clone()).await.is(202);
        let mut tiers = admin.get("/api/v1/tiers").await.json(200);
        tiers["default_tier"] = "enterprise".into();
        send(admin.request(Method::PUT, "/api/v1/tiers").json(&tiers)).await.is(200);
        ada.post("/api/v1/executions", code).await.is(202);
    });
}

#[test]
fn what_is_beyond_a_plan_is_refused_and_what_is_usual_is_cut() {
    block_on(async {
        let plan = json!({ "wall_ms": 2000, "memory_bytes": 134_217_728, "scripts": 1 });
        let (_server, admin, ada) = begin(plan).await;
        let code = json!({ "language": "bash", "source": "sleep 1000" });
        let mut more = code.clone();
        more["limits"] = json!({ "wall_ms": 2001, "memory_bytes": 134_217_729 });
        let problem = ada.post("/api/v1/executions", more).await.problem(422);
        let errors = problem["errors"].as_array().unwrap();
        let fields: Vec<_> = errors.iter().map(|it| it["field"].as_str().unwrap()).collect();
        assert_eq!(fields, ["limits.wall_ms", "limits.memory_bytes"]);
        let ended = ada.post("/api/v1/executions?wait=60", code).await.json(200);
        assert_eq!(ended["state"], "timed_out", "{ended:#}");

        let script = json!({ "name": "one", "language": "bash", "source": "true" });
        let made = ada.post("/api/v1/scripts", script.clone()).await.json(201);
        let problem = ada.post("/api/v1/scripts", script).await.problem(403);
        assert_eq!((&problem["quota"], &problem["limit"]), (&json!("scripts"), &json!(1)));
        let job = json!({
            "name": "j", "script_id": made["id"], "trigger": { "type": "webhook" },
            "limits": { "wall_ms": 60_000 },
        });
        ada.post("/api/v1/jobs", job.clone()).await.problem(422);
        admin.post("/api/v1/jobs", job).await.is(201);
    });
}

#[test]
fn one_user_runs_so_many_at_the_same_time() {
    block_on(async {
        let (_server, admin, ada) = begin(json!({ "running": 1 })).await;
        let first = ada.submit("sleep 1000").await;
        ada.execution(&first, |it| it["state"] == "running").await;
        let second = ada.submit("sleep 1000").await;
        let waits = ada.execution(&second, |it| !it["waiting"].is_null()).await;
        assert_eq!(waits["waiting"]["reason"], "user", "{waits:#}");
        let mut tiers = admin.get("/api/v1/tiers").await.json(200);
        tiers["free"]["running"] = 2.into();
        send(admin.request(Method::PUT, "/api/v1/tiers").json(&tiers)).await.is(200);
        ada.execution(&second, |it| it["state"] == "running").await;
        for id in [first, second] {
            ada.post_nothing(&format!("/api/v1/executions/{id}/cancel")).await.is(200);
        }
    });
}

#[test]
fn tiers_are_for_admins_to_give() {
    block_on(async {
        let (_server, admin, ada) = begin(json!({ "scripts": 0 })).await;
        let me = ada.get("/api/v1/auth/me").await.json(200);
        let path = format!("/api/v1/users/{}/tier", me["id"].as_str().unwrap());
        let put = async |client: &Client, tier: Value| {
            send(client.request(Method::PUT, &path).json(&json!({ "tier": tier }))).await
        };
        put(&ada, "enterprise".into()).await.problem(403);
        assert_eq!(ada.get(&path).await.json(200)["tier"], Value::Null);
        put(&admin, "gold".into()).await.problem(422);
        assert_eq!(put(&admin, "premium".into()).await.json(200)["tier"], "premium");
        assert_eq!(quota(&ada).await["tier"], "premium");
        put(&admin, Value::Null).await.is(200);
        assert_eq!(quota(&ada).await["tier"], "free");
        let nothing = json!({ "tiers": 1 });
        send(ada.request(Method::PUT, "/api/v1/tiers").json(&nothing)).await.problem(422);
    });
}
