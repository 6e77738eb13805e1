//! Bad input of every kind to every operation of the document: a problem document, never an
//! error of the server's own, never silence.

use automa_tests::{
    client::{Answer, Client, assert_problem, send},
    document::{Document, Operation},
    server::Server,
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value, json};

use crate::block_on;

/// An id of the right form that nothing has.
const UNKNOWN: &str = "00000000-0000-7000-8000-000000000000";

/// Asserts that an answer is not the server's fault, and a problem document if it is a refusal.
#[track_caller]
fn assert_sound(answer: &Answer, what: &str) {
    let text = answer.text();
    assert!(answer.status < 500, "{}, {what}: {} {text}", answer.asked, answer.status);
    if answer.status >= 400 {
        assert_problem(answer);
    }
}

/// One operation, called by somebody who may call it.
struct Target<'a> {
    document: &'a Document,
    operation: Operation,
    client: Client,
    /// Something that exists, and its path.
    id: String,
    path: String,
}

impl Target<'_> {
    fn request(&self, path: &str) -> RequestBuilder {
        self.client.request(Method::from_bytes(self.operation.method.as_bytes()).unwrap(), path)
    }

    async fn sends(&self, request: RequestBuilder, what: &str) -> u16 {
        let answer = send(request).await;
        assert_sound(&answer, what);
        answer.status
    }

    /// A body that has what is required, and would be accepted.
    fn body(&self) -> Value {
        let Some(schema) = self.operation.body() else { return Value::Null };
        let schema = self.document.resolve(schema);
        let required = schema["required"].as_array().into_iter().flatten();
        let mut body: Map<String, Value> =
            required.map(|name| (name.as_str().unwrap().to_owned(), sample(name))).collect();
        if self.operation.path.ends_with("/executions") {
            body.extend([
                ("language".to_owned(), json!("bash")),
                ("source".to_owned(), json!("true")),
            ]);
        }
        Value::Object(body)
    }

    /// Everything that may be wrong with a body.
    async fn bad_bodies(&self) {
        let Some(schema) = self.operation.body() else { return };
        let typed = |media: &str, body: Vec<u8>| {
            self.request(&self.path).header("content-type", media).body(body)
        };
        let good = self.body().to_string().into_bytes();
        for media in [
            "text/plain",
            "application/xml",
            "multipart/form-data",
            "nonsense",
            "application/jsonx",
        ] {
            let status = self.sends(typed(media, good.clone()), media).await;
            assert_eq!(status, 415, "{} with {media}", self.operation.name());
        }
        let large = [b"{\"x\":\"".to_vec(), vec![b'x'; 20_000_000], b"\"}".to_vec()].concat();
        let status = self.sends(typed("application/json", large), "20 MB").await;
        assert_eq!(status, 413, "{} with 20 MB", self.operation.name());
        let deep = |open: &str, count: usize| open.repeat(count).into_bytes();
        let broken = [
            b"{".to_vec(),
            b"nonsense".to_vec(),
            b"{\"a\":}".to_vec(),
            b"\xff\xfe\x00".to_vec(),
            b"{\"name\": \"\xff\"}".to_vec(),
            b"{\"name\": \"\\ud800\"}".to_vec(),
            [good.clone(), b"}".to_vec()].concat(),
            deep("[", 100_000),
            deep("{\"a\":", 100_000),
        ];
        for body in broken {
            let what = String::from_utf8_lossy(&body[..body.len().min(30)]).into_owned();
            let status = self.sends(typed("application/json", body), &what).await;
            assert!(status >= 400, "{} with {what}", self.operation.name());
        }
        for body in ["[]", "1", "\"x\"", "true", "[{}]"] {
            let status = self.sends(typed("application/json", body.into()), body).await;
            assert!(status >= 400, "{} with {body}", self.operation.name());
        }
        self.sends(self.request(&self.path), "no body").await;
        self.bad_members(schema).await;
    }

    /// Each member of a body with values that it does not expect.
    async fn bad_members(&self, schema: &Value) {
        let mut names: Vec<String> =
            self.document.properties(schema).into_iter().map(|one| one.0).collect();
        names.push("unknown".to_owned());
        let values = [
            json!(null),
            json!(true),
            json!(-1),
            json!(0),
            json!(1.5),
            json!(1e308),
            json!(u64::MAX),
            json!(""),
            json!(" "),
            json!("\u{0}"),
            json!("x\u{0}y"),
            json!("\u{202e}\u{200b}\u{7f}"),
            json!("../../etc/passwd"),
            json!("x".repeat(100_000)),
            json!([]),
            json!([null, 1, "x", {}]),
            json!({}),
            json!({ "x": { "y": [1, 2, { "z": null }] } }),
            json!({ "\u{0}": 1, "": 2 }),
        ];
        for name in &names {
            for value in &values {
                let mut body = self.body();
                body[name] = value.clone();
                let what =
                    format!("{name}: {}", value.to_string().chars().take(40).collect::<String>());
                self.sends(self.request(&self.path).json(&body), &what).await;
            }
            // What no number of ours can hold.
            let mut body = self.body();
            body[name] = json!("HUGE");
            let body = body.to_string().replace("\"HUGE\"", &"9".repeat(400));
            let request = self.request(&self.path).header("content-type", "application/json");
            self.sends(request.body(body), name).await;
        }
    }

    /// Ids and numbers that nothing has, and what is none at all.
    async fn bad_ids(&self) {
        let name = self.operation.name();
        let request = |path: &str| {
            let request = self.request(path).header("if-match", "\"1\"");
            if self.operation.body().is_some() { request.json(&self.body()) } else { request }
        };
        let long = "x".repeat(5000);
        for parameter in self.operation.parameters("path") {
            let path = |value: &str| {
                // All others are as they should be.
                let path = self.operation.path_with(parameter, value);
                let path = path.replace("{id}", &self.id).replace("{number}", "1");
                format!("{path}?{}", self.operation.least_query())
            };
            let unknown = if parameter == "id" { UNKNOWN } else { "4000000000" };
            let status = self.sends(request(&path(unknown)), unknown).await;
            assert_eq!(status, 404, "{name} with an unknown {parameter}");
            for bad in ["x", "0", "-1", "%00", "%ff", "..%2f..", "%20", "1e9", "null", "ü", &long]
            {
                let status = self.sends(request(&path(bad)), bad).await;
                let refused = [400, 404, 422].contains(&status);
                assert!(refused, "{name} with the {parameter} {bad}: {status}");
            }
        }
    }

    /// Query parameters and header fields with values that they do not expect.
    async fn bad_parameters(&self) {
        let values = ["", "x", "-1", "0", "1.5", "1e9", "NaN", "%00", "%ff", "%", "true", "[]"];
        let huge = "9".repeat(400);
        for name in self.operation.parameters("query") {
            for value in values.into_iter().chain([huge.as_str()]) {
                let path = format!("{}?{name}={value}", self.path);
                let mut request = self.request(&path);
                if self.operation.body().is_some() {
                    request = request.json(&self.body());
                }
                // Waiting is what was asked for, but not what is tested.
                if name == "wait" && value == huge {
                    continue;
                }
                self.sends(request, &format!("{name}={value}")).await;
            }
        }
        self.sends(self.request(&format!("{}?unknown=1&unknown=2&%zz", self.path)), "a query")
            .await;
        for name in [
            "accept",
            "if-match",
            "if-none-match",
            "idempotency-key",
            "last-event-id",
            "range",
            "accept-encoding",
        ] {
            for value in [&b""[..], b"x", b"\xff\xfe", b"*/*;q=9", b"\"", b"-1", &[b'9'; 4000]] {
                let mut request = self.request(&self.path).header(name, value);
                if self.operation.body().is_some() {
                    request = request.json(&self.body());
                }
                self.sends(request, name).await;
            }
        }
    }

    /// Nobody, and somebody with a token that is none.
    async fn bad_tokens(&self, anonymous: &Client) {
        if self.operation.is_public() {
            return;
        }
        let method = Method::from_bytes(self.operation.method.as_bytes()).unwrap();
        for client in [anonymous.clone(), anonymous.with_token("nonsense")] {
            let mut request = client.request(method.clone(), &self.path);
            if self.operation.body().is_some() {
                request = request.json(&self.body());
            }
            let answer = send(request).await;
            assert!(!answer.header("www-authenticate").is_empty(), "{}", self.operation.name());
            answer.problem(401);
        }
    }
}

/// A value that a member of this name would be accepted with.
fn sample(name: &Value) -> Value {
    match name.as_str().unwrap() {
        "language" => json!("bash"),
        "source" => json!("true"),
        "script_id" | "credential_id" => json!(UNKNOWN),
        "variable_name" => json!("SOMEBODY"),
        "delivery" => json!("env"),
        "signal" => json!("HUP"),
        "status" => json!("active"),
        "email" => json!("somebody@example.com"),
        "password" => json!("a long enough password"),
        "to" | "version" => json!(1),
        "trigger" => json!({ "type": "webhook" }),
        "content_sha256" => json!("0".repeat(64)),
        _ => json!("somebody"),
    }
}

#[test]
fn bad_input_is_answered_with_a_problem() {
    block_on(async {
        let server = Server::start();
        let admin = server.set_up().await;
        let anonymous = server.anonymous();
        let document = Document::read(&admin).await;
        let script = json!({ "name": "x", "language": "bash", "source": "true" });
        let script = admin.post("/api/v1/scripts", script).await.json(201);
        let agent = json!({ "name": "x", "script_id": script["id"] });
        let agent = admin.post("/api/v1/agents", agent).await.json(201);
        let execution = admin.run("true").await;
        let job =
            json!({ "name": "x", "script_id": script["id"], "trigger": { "type": "webhook" } });
        let job = admin.post("/api/v1/jobs", job).await.json(201);
        for operation in document.operations() {
            // Each with a session of its own: some operations end it.
            let client = anonymous.sign_in("admin").await;
            let existing = match operation.path.split('/').nth(3) {
                Some("scripts") => &script,
                Some("agents") => &agent,
                Some("jobs") => &job,
                _ => &execution,
            };
            let id = existing["id"].as_str().unwrap().to_owned();
            let path = operation.path_of(&id);
            let target = Target { document: &document, operation, client, id, path };
            target.bad_tokens(&anonymous).await;
            target.bad_bodies().await;
            target.bad_ids().await;
            target.bad_parameters().await;
        }
        // It is as well as before; somebody may have ended all other sessions.
        let admin = anonymous.sign_in("admin").await;
        assert_eq!(admin.run("echo well").await["output"], "well\n");
    });
}

#[test]
fn bad_input_before_setup_makes_nobody_an_admin() {
    block_on(async {
        let server = Server::start();
        let client = server.anonymous();
        let document = Document::read(&client).await;
        for operation in document.operations() {
            let path = operation.path_of(UNKNOWN);
            let (client, id) = (client.clone(), UNKNOWN.to_owned());
            let target = Target { document: &document, operation, client, id, path };
            target.bad_tokens(&server.anonymous()).await;
            if target.operation.is_public() {
                target.bad_bodies().await;
                target.bad_parameters().await;
            }
        }
        server.set_up().await;
    });
}

#[test]
fn wrong_methods_are_told_the_right_ones() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let document = Document::read(&client).await;
        let operations = document.operations();
        for operation in &operations {
            let path = operation.path_of(UNKNOWN);
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
                // A fixed path may be taken for a parameter by another operation.
                let known = operations.iter().any(|other| {
                    other.method == method
                        && (other.path == operation.path
                            || other.path.rsplit_once('/').map(|one| one.0)
                                == operation.path.rsplit_once('/').map(|one| one.0))
                });
                if known {
                    continue;
                }
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                let answer = send(client.request(method, &path)).await;
                answer.problem(405);
                let allowed = answer.header("allow");
                assert!(allowed.contains(&operation.method), "{}: {allowed:?}", answer.asked);
            }
        }
    });
}

#[test]
fn unknown_addresses_are_not_found() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        for path in
            ["", "/", "/x", "/scripts/", "/scripts/x/y/z", "/../x", "/%2e%2e/x", "//", "/ws/x"]
        {
            let answer = client.get(&format!("/api/v1{path}")).await;
            assert!([400, 404, 422].contains(&answer.status), "{path}: {}", answer.text());
            answer.problem(answer.status);
        }
        let plain = client.get(&format!("/api/v1/ws/executions/{UNKNOWN}")).await;
        assert!((400..500).contains(&plain.status), "{}", plain.text());
        plain.problem(plain.status);
    });
}
