//! The document that describes the API: valid, complete, and true.

use std::{collections::BTreeSet, fs, path::Path};

use automa_core::credential::Kind;
use automa_tests::{
    User,
    client::{Client, PASSWORD, send},
    command_of,
    document::{Document, Operation},
    public_dir,
    server::Server,
    tool,
};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{block_on, secrets};

#[test]
fn the_document_is_valid_for_two_validators() {
    let server = Server::start();
    let document = block_on(Document::read(&server.anonymous())).0;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let dir = public_dir();
    let file = dir.path().join("openapi.json");
    fs::write(&file, document.to_string()).unwrap();
    let validate = |program: &Path, args: &[&Path]| {
        let mut command = command_of(program, User::all()[0]);
        command.args(args).arg(&file).current_dir(dir.path());
        // It would ask for a newer version of itself.
        command.env("REDOCLY_TELEMETRY", "off").env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true");
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    };
    validate(&tool("python/bin/openapi-spec-validator"), &[]);
    let redocly = tool("node_modules/.bin/redocly");
    validate(&tool("node"), &[&redocly, Path::new("lint"), Path::new("--extends=spec")]);
}

#[test]
fn operations_have_what_generators_need() {
    let server = Server::start();
    let document = block_on(Document::read(&server.anonymous()));
    let mut ids = BTreeSet::new();
    for operation in document.operations() {
        let name = operation.name();
        let id = operation.about["operationId"].as_str();
        let id = id.unwrap_or_else(|| panic!("{name} has no operationId"));
        assert!(ids.insert(id.to_owned()), "{name}: {id} is there twice");
        assert!(operation.about["summary"].is_string(), "{name} has no summary");
        assert!(operation.about["tags"].is_array(), "{name} has no tags");
    }
}

/// Calls operations and checks each answer against the document.
struct Tour {
    document: Document,
    operations: Vec<Operation>,
    called: BTreeSet<String>,
}

impl Tour {
    async fn new(client: &Client) -> Self {
        let document = Document::read(client).await;
        let operations = document.operations();
        Self { document, operations, called: BTreeSet::new() }
    }

    /// Calls the operation that a path belongs to; it has to succeed.
    async fn call(&mut self, client: &Client, method: Method, path: &str, body: Value) -> Value {
        let mut request = client.request(method.clone(), path);
        if !body.is_null() {
            request = request.json(&body);
        }
        if method == Method::PUT {
            let read = client.get(path).await;
            request = request.header("if-match", read.header("etag"));
        }
        let answer = send(request).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.text());
        let operation = self.operation(method.as_str(), path);
        self.document.assert_describes(&operation, &answer);
        self.called.insert(operation.name());
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    fn operation(&self, method: &str, path: &str) -> Operation {
        let path = path.split('?').next().unwrap();
        let fits = |operation: &&Operation| {
            let mut parts = operation.path.split('/').zip(path.split('/'));
            operation.method == method
                && operation.path.split('/').count() == path.split('/').count()
                && parts.all(|(template, part)| template == part || template.starts_with('{'))
        };
        // A fixed part is more exact than a parameter.
        let mut fitting: Vec<&Operation> = self.operations.iter().filter(fits).collect();
        fitting.sort_by_key(|operation| operation.path.matches('{').count());
        let found = fitting.first();
        (*found.unwrap_or_else(|| panic!("{method} {path} is not in the document"))).clone()
    }

    fn assert_complete(&self) {
        let all: BTreeSet<String> = self.operations.iter().map(Operation::name).collect();
        let missing: Vec<&String> = all.difference(&self.called).collect();
        assert!(missing.is_empty(), "operations that are never called: {missing:#?}");
    }
}

fn id(value: &Value) -> String {
    value["id"].as_str().unwrap_or_else(|| panic!("no id in {value:#}")).to_owned()
}

/// Calls what there is for agents.
async fn agents(tour: &mut Tour, client: &Client, script: &str) {
    let nothing = Value::Null;
    let source = "trap : HUP; while :; do read -r line; done";
    let body =
        json!({ "name": "reader", "language": "bash", "source": source, "status": "active" });
    tour.call(client, Method::PUT, script, body).await;
    let body = json!({
        "name": "reader", "script_id": script.rsplit('/').next(), "parameters": { "a": 1 },
        "limits": { "pids": 9 }, "network": ["example.com:443"], "restart": { "factor": 3 },
        "ready": { "http": { "port": 1 }, "timeout_ms": 86_400_000 },
        "alive": { "output_within_ms": 86_400_000, "http": { "port": 1 }, "every_ms": 86_400_000 },
    });
    let agents = "/api/v1/agents".to_owned();
    let agent = id(&tour.call(client, Method::POST, &agents, body.clone()).await);
    let agent = format!("{agents}/{agent}");
    let post = async |tour: &mut Tour, what: &str, body: Value| {
        tour.call(client, Method::POST, &format!("{agent}/{what}"), body).await
    };
    post(tour, "start", nothing.clone()).await;
    client.until(&agent, |agent| !agent["memory_bytes"].is_null()).await;
    post(tour, "stdin", json!({ "line": "x" })).await;
    post(tour, "signal", json!({ "signal": "HUP" })).await;
    for path in ["", "/history", "/metrics"] {
        tour.call(client, Method::GET, &format!("{agent}{path}"), nothing.clone()).await;
    }
    tour.call(client, Method::GET, &agents, nothing.clone()).await;
    tour.call(client, Method::PUT, &agent, body).await;
    post(tour, "restart", nothing.clone()).await;
    post(tour, "stop", nothing.clone()).await;
    client.until(&agent, |agent| agent["state"] == "stopped").await;
    tour.call(client, Method::DELETE, &agent, nothing).await;
}

/// API keys, and what they are for.
async fn tour_keys(tour: &mut Tour, client: &Client) {
    let (get, nothing) = (Method::GET, Value::Null);
    let keys = "/api/v1/api-keys".to_owned();
    let body = json!({
        "name": "ci", "scopes": ["execute", "read_executions"], "networks": ["127.0.0.0/8", "::1"],
        "expires_at": "2099-01-01T00:00:00Z", "enabled": true,
    });
    let made = tour.call(client, Method::POST, &keys, body.clone()).await;
    let key = client.with_token(made["key"].as_str().unwrap());
    let code = json!({ "language": "bash", "source": "echo one" });
    tour.call(&key, Method::POST, "/api/v1/execute", code).await;
    let path = format!("{keys}/{}", id(&made));
    for path in [keys.clone(), format!("{keys}?all=true&limit=5"), path.clone()] {
        tour.call(client, get.clone(), &path, nothing.clone()).await;
    }
    tour.call(client, Method::PUT, &path, body).await;
    tour.call(client, Method::DELETE, &path, nothing).await;
}

/// Credentials, and the master key that seals them.
async fn tour_credentials(tour: &mut Tour, client: &Client) {
    let (get, nothing) = (Method::GET, Value::Null);
    let all = "/api/v1/credentials".to_owned();
    let mut body = json!({
        "name": "shop", "type": "db_connection", "tags": ["eu"], "revealable": true,
        "expires_at": "2099-01-01T00:00:00Z",
        "data": { "engine": "postgresql", "host": "127.0.0.1", "port": 5432, "password": "p" },
    });
    let made = tour.call(client, Method::POST, &all, body.clone()).await;
    let path = format!("{all}/{}", id(&made));
    body["data"] = json!({ "engine": "mysql", "host": "127.0.0.1" });
    body.as_object_mut().unwrap().remove("type");
    tour.call(client, Method::PUT, &path, body).await;
    let filtered = format!("{all}?type=db_connection&tag=eu&expiry=fine&name=shop&limit=5");
    let types = format!("{all}/types");
    for path in [all.clone(), filtered, types, path.clone(), format!("{path}/versions")] {
        tour.call(client, get.clone(), &path, nothing.clone()).await;
    }
    let password = json!({ "password": PASSWORD });
    tour.call(client, Method::POST, &format!("{path}/decrypt"), password).await;
    tour.call(client, Method::POST, &format!("{path}/test"), nothing.clone()).await;
    tour.call(client, get.clone(), &format!("{path}/uses?limit=5"), nothing.clone()).await;
    tour.call(client, Method::DELETE, &format!("{path}/versions/1"), nothing.clone()).await;
    let rotation = format!("{all}/rotation");
    tour.call(client, Method::POST, &rotation, nothing.clone()).await;
    tour.call(client, get, &rotation, nothing.clone()).await;
    tour.call(client, Method::DELETE, &path, nothing).await;
}

/// All that a list of executions can be asked for.
const FILTERS: &str = "?state=succeeded&state=failed&requested_by=admin&min_wall_ms=0\
    &script_id=0197c1a0-5f00-7000-8000-00000000002b&created_from=2026-01-01T00:00:00Z\
    &created_until=2099-01-01T00:00:00%2B01:00";

/// Reviews and the end of the script at a path, whose author one is and the other not.
async fn tour_reviews(tour: &mut Tour, (author, other): (&Client, &Client), script: &str) {
    let v1 = |path: &str| format!("/api/v1/{path}");
    let (get, nothing) = (Method::GET, Value::Null);
    for path in [v1("settings/reviews"), v1("scripts/reviews")] {
        tour.call(author, get.clone(), &path, nothing.clone()).await;
    }
    let body = json!({ "required": true });
    tour.call(author, Method::PUT, &v1("settings/reviews"), body).await;
    let version = author.get(&format!("{script}/versions/1")).await.json(200);
    let body = json!({ "content_sha256": version["content_sha256"] });
    tour.call(other, Method::POST, &format!("{script}/versions/1/approve"), body).await;
    tour.call(author, Method::DELETE, script, nothing.clone()).await;
    tour.call(author, get.clone(), &v1("scripts/deleted"), nothing.clone()).await;
    tour.call(author, Method::POST, &format!("{script}/restore"), nothing.clone()).await;
    tour.call(author, Method::DELETE, script, nothing.clone()).await;
    tour.call(author, Method::POST, &format!("{script}/purge"), nothing).await;
}

/// Gives a credential to a script and a job, and takes it from them.
async fn tour_bindings(
    tour: &mut Tour,
    client: &Client,
    credential: &str,
    (script, execution): (&str, &str),
) {
    let (get, nothing) = (Method::GET, Value::Null);
    let job = json!({
        "name": "given a key", "script_id": script.rsplit('/').next(),
        "trigger": { "type": "webhook" },
    });
    let job = id(&client.post("/api/v1/jobs", job).await.json(201));
    for holder in [script.to_owned(), format!("/api/v1/jobs/{job}")] {
        let path = format!("{holder}/credentials");
        let body =
            json!({ "credential_id": credential, "variable_name": "KEY", "delivery": "file" });
        let binding = id(&tour.call(client, Method::POST, &path, body).await);
        tour.call(client, get.clone(), &path, nothing.clone()).await;
        let bindings = format!("/api/v1/credentials/{credential}/bindings");
        tour.call(client, get.clone(), &bindings, nothing.clone()).await;
        tour.call(client, Method::DELETE, &format!("{path}/{binding}"), nothing.clone()).await;
    }
    tour.call(client, get, &format!("{execution}/credentials"), nothing).await;
}

/// Jobs, of the script at a path.
async fn tour_jobs(tour: &mut Tour, client: &Client, script: &str) {
    let v1 = |path: &str| format!("/api/v1/{path}");
    let (get, nothing) = (Method::GET, Value::Null);
    let mut job = json!({
        "name": "nightly", "script_id": script.rsplit('/').next(),
        "trigger": { "type": "cron", "pattern": "0 3 * * *", "zone": "Europe/Berlin" },
        "rules": { "jitter_ms": 1000, "blackouts": [
            { "type": "weekly", "days": "sat,sun", "from": "22:00", "to": "06:00" },
            { "type": "yearly", "from": "12-24", "to": "12-26", "zone": "UTC" },
            { "type": "once", "from": "2099-01-01T00:00:00Z", "to": "2099-01-02T00:00:00Z" },
        ] },
        "misfire": "catch_up", "catch_up": { "within_ms": 60000, "most": 3 },
        "overlap": "queue",
        "retry": { "attempts": 2 }, "priority": -1, "network": ["example.com:443"],
    });
    let made = tour.call(client, Method::POST, &v1("jobs"), job.clone()).await;
    let path = v1(&format!("jobs/{}", id(&made)));
    tour.call(client, Method::PUT, &path, job.clone()).await;
    for act in ["run", "pause", "resume"] {
        let act = format!("{path}/{act}");
        tour.call(client, Method::POST, &act, nothing.clone()).await;
    }
    let listed = v1("jobs?script_id=0197c1a0-5f00-7000-8000-00000000002b");
    let upcoming = v1("jobs/upcoming?limit=3&until=2099-01-01T00:00:00Z");
    for path in [v1("jobs"), listed, upcoming, path.clone(), format!("{path}/slots")] {
        tour.call(client, get.clone(), &path, nothing.clone()).await;
    }
    job["trigger"] = json!({ "type": "webhook", "signed": true });
    let made = tour.call(client, Method::POST, &v1("jobs"), job).await;
    let path = v1(&format!("jobs/{}", id(&made)));
    tour.call(client, Method::POST, &format!("{path}/webhook"), nothing.clone()).await;
    tour.call(client, Method::DELETE, &path, nothing.clone()).await;
}

/// What there is for accounts, and for one's own.
async fn tour_people(tour: &mut Tour, admin: &Client, anonymous: &Client) {
    let v1 = |path: &str| format!("/api/v1/{path}");
    let (get, post, nothing) = (Method::GET, Method::POST, Value::Null);
    let body = json!({
        "username": "eve", "email": "eve@example.com", "password": PASSWORD, "role": "viewer",
    });
    let eve = id(&tour.call(admin, post.clone(), &v1("users"), body).await);
    let path = v1(&format!("users/{eve}"));
    let found = v1("users?q=eve&role=viewer&disabled=false&two_factor=false&limit=5");
    for path in [v1("users"), found, path.clone()] {
        tour.call(admin, get.clone(), &path, nothing.clone()).await;
    }
    let body = json!({ "email": "eve@example.org", "role": "operator" });
    tour.call(admin, Method::PUT, &path, body).await;
    let link = tour.call(admin, post.clone(), &format!("{path}/reset"), nothing.clone()).await;
    let body = json!({ "token": link["token"], "password": "tide lamp orbit quill" });
    tour.call(anonymous, post.clone(), &v1("auth/reset"), body).await;
    let sign_in = async || {
        let body = json!({ "username": "eve", "password": "tide lamp orbit quill" });
        let tokens = anonymous.post("/api/v1/auth/login", body).await.json(200);
        anonymous.with_token(tokens["access_token"].as_str().unwrap())
    };
    let (eve, _elsewhere) = (sign_in().await, sign_in().await);
    tour.call(&eve, Method::PUT, &v1("auth/me"), json!({ "theme": "dark" })).await;
    let sessions = tour.call(&eve, get, &v1("auth/sessions"), nothing.clone()).await;
    let other = v1(&format!("auth/sessions/{}", sessions["items"][0]["id"].as_str().unwrap()));
    tour.call(&eve, Method::DELETE, &other, nothing.clone()).await;
    tour.call(&eve, Method::DELETE, &v1("auth/sessions"), nothing).await;
    let body = json!({ "current_password": "tide lamp orbit quill", "new_password": PASSWORD });
    tour.call(&eve, post, &v1("auth/password"), body).await;
}

/// What there is for the audit log.
async fn tour_audit(tour: &mut Tour, client: &Client) {
    for path in ["", "/statistics", "/verify", "/export", "/export?format=csv"] {
        let path = format!("/api/v1/audit{path}");
        tour.call(client, Method::GET, &path, Value::Null).await;
    }
}

/// What a user may spend.
async fn tour_tiers(tour: &mut Tour, client: &Client) {
    let get = Method::GET;
    let tiers = tour.call(client, get.clone(), "/api/v1/tiers", Value::Null).await;
    tour.call(client, Method::PUT, "/api/v1/tiers", tiers).await;
    tour.call(client, get.clone(), "/api/v1/users/me/quota", Value::Null).await;
    let me = client.get("/api/v1/auth/me").await.json(200);
    let tier = format!("/api/v1/users/{}/tier", id(&me));
    tour.call(client, get, &tier, Value::Null).await;
    tour.call(client, Method::PUT, &tier, json!({ "tier": "enterprise" })).await;
}

#[test]
fn every_operation_answers_as_described() {
    block_on(async {
        let mut server = Server::start();
        let anonymous = server.anonymous();
        let mut tour = Tour::new(&anonymous).await;
        let body = json!({
            "token": server.setup_token(), "username": "admin",
            "email": "admin@example.com", "password": PASSWORD,
        });
        let nothing = Value::Null;
        let v1 = |path: &str| format!("/api/v1/{path}");
        tour.call(&anonymous, Method::POST, &v1("auth/setup"), body).await;
        server.end_by(Signal::SIGTERM);
        server.add_user("other", "operator");
        let credential: [secrets::New<'_>; 1] = [("a key", Kind::ApiKey, &[("key", "abcdefgh")])];
        let [credential] = secrets::create(&server, &credential).await.try_into().unwrap();
        server.restart();
        let anonymous = anonymous.at(server.url());
        let other = anonymous.sign_in("other").await;
        let body = json!({ "username": "admin", "password": PASSWORD });
        let tokens = tour.call(&anonymous, Method::POST, &v1("auth/login"), body).await;
        let body = json!({ "refresh_token": tokens["refresh_token"] });
        let tokens = tour.call(&anonymous, Method::POST, &v1("auth/refresh"), body).await;
        let client = anonymous.with_token(tokens["access_token"].as_str().unwrap());
        let get = Method::GET;
        tour.call(&client, get.clone(), &v1("auth/me"), nothing.clone()).await;

        let body = json!({ "name": "x", "language": "bash", "source": "echo one" });
        let script = id(&tour.call(&client, Method::POST, &v1("scripts"), body.clone()).await);
        let script = v1(&format!("scripts/{script}"));
        tour.call(&client, Method::PUT, &script, body).await;
        let versions = format!("{script}/versions");
        let found = v1("scripts?q=echo&language=bash&status=active&owner=me&sort=relevance");
        for path in [v1("scripts"), found, script.clone(), format!("{versions}/1"), versions] {
            tour.call(&client, get.clone(), &path, nothing.clone()).await;
        }
        let body = json!({ "version": 1 });
        tour.call(&client, Method::POST, &format!("{script}/fork"), body).await;
        tour.call(&client, get.clone(), &v1("scripts/starters"), nothing.clone()).await;
        tour.call(&client, get.clone(), &format!("{script}/diff?from=1&to=1"), nothing.clone())
            .await;
        let body = json!({ "to": 1, "version": 1 });
        tour.call(&client, Method::POST, &format!("{script}/rollback"), body).await;
        let body = json!({ "status": "active" });
        tour.call(&client, Method::POST, &format!("{script}/status"), body).await;

        let body = json!({ "language": "bash", "source": "echo one; sleep 1000" });
        let running = id(&tour.call(&client, Method::POST, &v1("executions"), body).await);
        let running = v1(&format!("executions/{running}"));
        tour.call(&client, Method::POST, &format!("{running}/cancel"), nothing.clone()).await;
        let source = "echo one; echo 1 >$AUTOMA_RESULT; echo two >$AUTOMA_OUT/file";
        let body = json!({ "language": "bash", "source": source });
        let ended = tour.call(&client, Method::POST, &v1("executions?wait=60"), body).await;
        let ended = v1(&format!("executions/{}", id(&ended)));
        tour.call(&client, Method::POST, &format!("{ended}/rerun"), json!({})).await;
        for path in [
            v1("executions"),
            v1("executions/count"),
            v1(&format!("executions{FILTERS}")),
            v1(&format!("executions/count{FILTERS}")),
            ended.clone(),
            format!("{ended}/usage"),
            format!("{ended}/artifacts"),
            format!("{ended}/artifacts/1"),
            format!("{ended}/log"),
            format!("{ended}/log/stream"),
            format!("{ended}/log/find?q=one"),
            format!("{ended}/log/count?q=one"),
        ] {
            tour.call(&client, get.clone(), &path, nothing.clone()).await;
        }
        for query in ["pattern=@daily&zone=Europe/Berlin&count=3", "every_ms=60000"] {
            let path = v1(&format!("jobs/preview?{query}"));
            tour.call(&client, get.clone(), &path, nothing.clone()).await;
        }
        tour_jobs(&mut tour, &client, &script).await;
        tour_bindings(&mut tour, &client, &credential, (&script, &ended)).await;
        tour_keys(&mut tour, &client).await;
        tour_tiers(&mut tour, &client).await;
        tour_credentials(&mut tour, &client).await;
        let retention = v1("settings/retention");
        for path in [retention.clone(), format!("{script}/retention"), v1("disk")] {
            tour.call(&client, get.clone(), &path, nothing.clone()).await;
        }
        let rules = json!({ "log_days": 30 });
        for path in [retention, format!("{script}/retention")] {
            tour.call(&client, Method::PUT, &path, rules.clone()).await;
        }
        agents(&mut tour, &client, &script).await;
        tour_audit(&mut tour, &client).await;
        for path in ["/health", "/liveness", "/readiness"] {
            // They need no prefix, and may be told of in the document or not.
            client.get(path).await.is(200);
            if tour.operations.iter().any(|operation| operation.path == path) {
                tour.call(&client, get.clone(), path, nothing.clone()).await;
            }
        }

        tour_people(&mut tour, &client, &anonymous).await;
        tour_reviews(&mut tour, (&client, &other), &script).await;
        let body = json!({ "refresh_token": tokens["refresh_token"] });
        tour.call(&client, Method::POST, &v1("auth/logout"), body).await;
        tour.assert_complete();
    });
}
