//! Scripts: created, changed, kept in versions, deleted.

use automa_tests::{
    client::{Answer, Client, send},
    server::Server,
};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::block_on;

fn count(source: &str) -> Value {
    json!({ "name": "count", "language": "python", "source": source })
}

/// Creates a script: its path.
async fn created(client: &Client, body: Value) -> String {
    let script = client.post("/api/v1/scripts", body).await.json(201);
    format!("/api/v1/scripts/{}", script["id"].as_str().unwrap())
}

/// Changes a script whose state with this tag was read.
async fn put(client: &Client, path: &str, tag: &str, body: &Value) -> Answer {
    send(client.request(Method::PUT, path).header("if-match", tag).json(body)).await
}

#[test]
fn a_script_is_created_with_all_that_belongs_to_it() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let body = json!({
            "name": "Weekly report",
            "language": "python",
            "source": "print('ünï ✓')\n",
            "description": "Sums up the week.",
            "tags": ["report", "weekly"],
            "parameters_schema": { "type": "object", "properties": { "week": { "type": "integer" } } },
            "limits": { "wall_ms": 5000, "memory_bytes": 268_435_456 },
        });
        let answer = client.post("/api/v1/scripts", body.clone()).await;
        let script = answer.json(201);
        let path = format!("/api/v1/scripts/{}", script["id"].as_str().unwrap());
        assert_eq!(answer.header("location"), path);
        let read = client.get(&path).await;
        assert_eq!(read.json(200), script);
        assert!(!read.header("etag").is_empty());
        for member in ["name", "language", "source", "description", "tags", "parameters_schema"] {
            assert_eq!(script[member], body[member], "{member}");
        }
        assert_eq!(script["limits"]["wall_ms"], 5000);
        let list = client.get("/api/v1/scripts").await.json(200);
        let listed = list["items"].as_array().unwrap();
        assert_eq!((listed.len(), &listed[0]["id"]), (1, &script["id"]));
        assert!(list["next_cursor"].is_null());
    });
}

#[test]
fn every_change_makes_a_version_and_none_is_lost() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let path = created(&client, count("print(1)")).await;
        let first = client.get(&path).await;
        let tag = first.header("etag");
        let second = put(&client, &path, tag, &count("print(2)")).await.json(200);
        assert_eq!((&second["version"], &second["source"]), (&json!(2), &json!("print(2)")));
        // Somebody else has read the first version and changes that.
        let late = put(&client, &path, tag, &count("print(3)")).await;
        assert!([409, 412].contains(&late.status), "{}", late.text());
        late.problem(late.status);
        let now = client.get(&path).await;
        assert_eq!(now.json(200)["source"], "print(2)");
        assert_ne!(now.header("etag"), tag);
        // Who has read nothing comes last, and loses nothing of the others.
        let blind = send(client.request(Method::PUT, &path).json(&count("print(3)"))).await;
        assert_eq!(blind.json(200)["version"], 3);
        let versions = client.get(&format!("{path}/versions")).await.json(200);
        let numbers: Vec<&Value> =
            versions["items"].as_array().unwrap().iter().map(|one| &one["version"]).collect();
        assert_eq!(numbers, [3, 2, 1]);
        let id = path.rsplit('/').next().unwrap();
        for (version, output) in [(json!(1), "1\n"), (json!(2), "2\n"), (Value::Null, "3\n")] {
            let body = json!({ "script_id": id, "version": version });
            let execution = client.post("/api/v1/executions?wait=60", body).await.json(200);
            assert_eq!(execution["output"], output, "{execution:#}");
        }
        let missing = json!({ "script_id": id, "version": 4 });
        client.post("/api/v1/executions", missing).await.problem(404);
    });
}

#[test]
fn of_two_changes_at_once_one_is_told() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let path = created(&client, count("print(1)")).await;
        let read = client.get(&path).await;
        let (two, three) = (count("print(2)"), count("print(3)"));
        let (one, other) = tokio::join!(
            put(&client, &path, read.header("etag"), &two),
            put(&client, &path, read.header("etag"), &three),
        );
        let won = [&one, &other].iter().filter(|answer| answer.status == 200).count();
        assert_eq!(won, 1, "{} {}", one.text(), other.text());
        assert_eq!(client.get(&path).await.json(200)["version"], 2);
    });
}

#[test]
fn a_deleted_script_is_gone_but_its_executions_stay() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let path = created(&client, count("print(1)")).await;
        let id = path.rsplit('/').next().unwrap();
        let body = json!({ "script_id": id });
        let execution = client.post("/api/v1/executions?wait=60", body.clone()).await.json(200);
        client.delete(&path).await.is(204);
        client.get(&path).await.problem(404);
        client.delete(&path).await.problem(404);
        client.get(&format!("{path}/versions")).await.problem(404);
        client.post("/api/v1/executions", body).await.problem(404);
        assert_eq!(client.get("/api/v1/scripts").await.json(200)["items"], json!([]));
        let kept = format!("/api/v1/executions/{}", execution["id"].as_str().unwrap());
        assert_eq!(client.get(&kept).await.json(200)["script_id"], id);
    });
}

#[test]
fn lists_are_read_page_by_page() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let mut names = Vec::new();
        for number in 0..7 {
            let name = format!("script {number}");
            let body = json!({ "name": name, "language": "bash", "source": "true" });
            client.post("/api/v1/scripts", body).await.is(201);
            names.push(name);
        }
        let mut seen = Vec::new();
        let mut path = "/api/v1/scripts?limit=3".to_owned();
        let mut pages = 0;
        loop {
            let page = client.get(&path).await.json(200);
            let items = page["items"].as_array().unwrap();
            seen.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
            pages += 1;
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("/api/v1/scripts?limit=3&cursor={cursor}");
        }
        seen.sort();
        assert_eq!((seen, pages), (names, 3));
        client.get("/api/v1/scripts?cursor=nonsense").await.problem(422);
    });
}

#[test]
fn what_cannot_be_a_script_is_refused_field_by_field() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let refused = [
            ("name", json!("")),
            ("name", json!("x".repeat(10_000))),
            ("language", json!("cobol")),
            ("source", json!("x".repeat(2_000_000))),
            ("parameters_schema", json!({ "type": "nonsense" })),
            ("limits", json!({ "memory_bytes": 1 })),
        ];
        for (field, value) in refused {
            let mut body = count("print(1)");
            body[field] = value;
            let answer = client.post("/api/v1/scripts", body).await;
            assert!([413, 422].contains(&answer.status), "{field}: {}", answer.text());
            let problem = answer.problem(answer.status);
            if answer.status == 422 {
                let named = problem["errors"][0]["field"].as_str().unwrap_or_default();
                assert!(named.starts_with(field), "{field}: {problem:#}");
            }
        }
        assert_eq!(client.get("/api/v1/scripts").await.json(200)["items"], json!([]));
    });
}

#[test]
fn scripts_are_found_by_what_is_in_them_and_filtered() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let backup = json!({
            "name": "nightly", "language": "bash", "source": "true\npg_dump sales\n",
            "tags": ["Backup"], "status": "draft",
        });
        let backup = created(&client, backup).await;
        created(&client, count("print('sales')")).await;
        let find = async |query: &str| {
            let list = client.get(&format!("/api/v1/scripts?{query}")).await.json(200);
            let items = list["items"].as_array().unwrap().clone();
            (
                items.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>(),
                items,
            )
        };
        let (names, items) = find("q=PG_dump").await;
        assert_eq!(names, ["nightly"]);
        assert_eq!(
            items[0]["match"],
            json!({ "in": "source", "line": 2, "text": "pg_dump sales" })
        );
        assert_eq!(find("q=sales&sort=name").await.0, ["count", "nightly"]);
        assert_eq!(find("tag=backup&owner=me").await.0, ["nightly"]);
        assert_eq!(find("status=active").await.0, ["count"]);
        assert_eq!(find("language=python&status=draft").await.0, [""; 0]);
        let list = client.get("/api/v1/scripts?q=sales&limit=1").await.json(200);
        let cursor = list["next_cursor"].as_str().unwrap();
        let (names, items) = find(&format!("q=sales&limit=1&cursor={cursor}")).await;
        assert_eq!((names.len(), items[0]["id"] == list["items"][0]["id"]), (1, false));
        for refused in [
            format!("q=other&cursor={cursor}"),
            "status=odd".to_owned(),
            "owner=nobody".to_owned(),
            format!("q={}", "x".repeat(201)),
        ] {
            let status = client.get(&format!("/api/v1/scripts?{refused}")).await.status;
            assert!(matches!(status, 400 | 422), "{refused}: {status}");
        }
        let active = client.post(&format!("{backup}/status"), json!({ "status": "active" })).await;
        assert_eq!(active.json(200)["status"], "active");
    });
}

#[test]
fn a_private_script_is_its_owners_and_a_copy_is_ones_own() {
    block_on(async {
        let mut server = Server::start();
        let admin = server.set_up().await;
        server.end_by(Signal::SIGTERM);
        server.add_user("ann", "operator");
        server.add_user("ben", "operator");
        server.restart();
        let admin = admin.at(server.url());
        let ann = server.anonymous().sign_in("ann").await;
        let ben = server.anonymous().sign_in("ben").await;
        let body = json!({
            "name": "mine", "language": "bash", "source": "echo private", "visibility": "private",
        });
        let path = created(&ann, body).await;
        let id = path.rsplit_once('/').unwrap().1;
        ben.get(&path).await.is(404);
        ben.post("/api/v1/executions", json!({ "script_id": id })).await.is(404);
        ben.post(&format!("{path}/fork"), json!({})).await.is(404);
        assert_eq!(ben.get("/api/v1/scripts?q=private").await.json(200)["items"], json!([]));
        admin.get(&path).await.is(200);
        let ran =
            ann.post("/api/v1/executions?wait=60", json!({ "script_id": id })).await.json(200);
        assert_eq!(ran["output"], "private\n");
        let ran = format!("/api/v1/executions/{}", ran["id"].as_str().unwrap());
        for path in [ran.clone(), format!("{ran}/log")] {
            ben.get(&path).await.is(404);
            ann.get(&path).await.is(200);
            admin.get(&path).await.is(200);
        }
        let listed = |list: Value| list["items"].as_array().unwrap().len();
        assert_eq!(listed(ben.get("/api/v1/executions").await.json(200)), 0);
        assert_eq!(listed(ann.get("/api/v1/executions").await.json(200)), 1);
        let copied = admin.post(&format!("{path}/fork"), json!({ "version": 1 })).await.json(201);
        assert_eq!(copied["forked_from"], json!({ "script_id": id, "version": 1 }));
        assert_eq!(
            (&copied["status"], &copied["visibility"]),
            (&json!("draft"), &json!("private"))
        );
        ann.get(&format!("/api/v1/scripts/{}", copied["id"].as_str().unwrap())).await.is(404);
    });
}

#[test]
fn what_a_language_cannot_read_is_told_and_kept_from_being_active() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        for (language, source, line) in [
            ("bash", "echo one\nif true; then\n  echo two\n}\n", 4),
            ("python", "import os\nprint('x'\n", 2),
            ("python", "x = '\u{0}'\n", 1),
        ] {
            let body = |status: Option<&str>, force| {
                json!({
                    "name": "broken", "language": language, "source": source,
                    "status": status, "force": force,
                })
            };
            let saved = client.post("/api/v1/scripts", body(None, false)).await.json(201);
            assert_eq!(saved["status"], "draft", "{source:?}");
            assert_eq!(saved["problems"][0]["line"], line, "{saved:#}");
            let refused =
                client.post("/api/v1/scripts", body(Some("active"), false)).await.problem(422);
            assert_eq!(refused["errors"][0]["field"], "source", "{refused:#}");
            let path = format!("/api/v1/scripts/{}", saved["id"].as_str().unwrap());
            let activate = |force| json!({ "status": "active", "force": force });
            client.post(&format!("{path}/status"), activate(false)).await.is(422);
            let forced = client.post(&format!("{path}/status"), activate(true)).await.json(200);
            assert_eq!(forced["status"], "active");
            client.post("/api/v1/scripts", body(Some("active"), true)).await.is(201);
        }
        // What is right is active and told so; nothing of it was run.
        let right =
            json!({ "name": "right", "language": "bash", "source": "exit 3", "status": "draft" });
        let right = client.post("/api/v1/scripts", right).await.json(201);
        assert_eq!((&right["problems"], &right["status"]), (&json!([]), &json!("draft")));
        assert_eq!(client.get("/api/v1/executions").await.json(200)["items"], json!([]));
    });
}

/// Each does what it says, as it is, without network.
#[test]
fn every_starter_runs_as_it_is() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let starters = client.get("/api/v1/scripts/starters").await.json(200);
        for starter in starters["items"].as_array().unwrap() {
            let id = starter["id"].as_str().unwrap();
            let body = json!({
                "name": starter["title"], "language": starter["language"], "source": starter["source"],
                "description": starter["description"], "tags": starter["tags"],
                "parameters_schema": starter["parameters_schema"], "status": "active",
            });
            let script = client.post("/api/v1/scripts", body).await.json(201);
            let run = json!({ "script_id": script["id"] });
            let ran = client.post("/api/v1/executions?wait=60", run).await.json(200);
            assert_eq!(ran["state"], "succeeded", "{id}: {ran:#}");
            let result = &ran["result"];
            let part = match id {
                "data-processing" => ("/sums", json!({ "north": 12.0, "south": 4.0 })),
                "e-mail" => ("/sent", json!(false)),
                "scraping" => ("/links/1/address", json!("https://example.com/two")),
                "monitoring" => ("/problems", json!(0)),
                "report" => ("/total", json!(45.0)),
                "backup" => ("/files", json!(1)),
                other => panic!("what {other} leaves is not checked"),
            };
            assert_eq!(result.pointer(part.0), Some(&part.1), "{id}: {result:#}");
            let path = format!("/api/v1/executions/{}/artifacts", ran["id"].as_str().unwrap());
            let left = client.get(&path).await.json(200)["items"].as_array().unwrap().len();
            let files = usize::from(!matches!(id, "scraping" | "monitoring"));
            assert_eq!(left, files, "{id}");
        }
    });
}

#[test]
fn where_reviews_are_asked_for_nothing_runs_that_nobody_else_has_read() {
    let mut server = Server::start();
    let admin = block_on(async { server.set_up().await });
    server.end_by(Signal::SIGTERM);
    server.add_user("ann", "operator");
    server.restart();
    block_on(async {
        let admin = admin.at(server.url());
        let ann = server.anonymous().sign_in("ann").await;
        let rules = json!({ "required": true });
        let set = async |client: &Client| {
            send(client.request(Method::PUT, "/api/v1/settings/reviews").json(&rules)).await
        };
        set(&ann).await.is(403);
        set(&admin).await.is(200);
        let path = created(&ann, count("print('one')")).await;
        let id = path.rsplit_once('/').unwrap().1;
        let run = async || ann.post("/api/v1/executions?wait=60", json!({ "script_id": id })).await;
        let refused = run().await.problem(409);
        assert_eq!(refused["type"], "/docs/problems#not-approved", "{refused:#}");
        let version = admin.get(&format!("{path}/versions/1")).await.json(200);
        let approve = json!({ "content_sha256": version["content_sha256"] });
        ann.post(&format!("{path}/versions/1/approve"), approve.clone()).await.is(422);
        admin.post(&format!("{path}/versions/1/approve"), approve.clone()).await.is(200);
        assert_eq!(run().await.json(200)["output"], "one\n");
        put(&ann, &path, "\"1\"", &count("print('two')")).await.is(200);
        let waiting = admin.get("/api/v1/scripts/reviews").await.json(200);
        assert_eq!(waiting["items"][0]["approved_version"], 1, "{waiting:#}");
        assert_eq!(run().await.json(200)["output"], "one\n");
        // It was approved as it was read, and is no longer that.
        admin.post(&format!("{path}/versions/2/approve"), approve).await.is(422);
    });
}
