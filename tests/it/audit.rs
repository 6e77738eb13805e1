//! The audit log of a server that runs: found, exported, proven elsewhere, and on its page.

use std::{io::Write as _, process::Stdio};

use automa_tests::{User, automa, command_of, server::Server};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::block_on;

/// What `automa audit …` says, and its exit code.
fn audit(args: &[&str], input: &str) -> (String, Option<i32>) {
    let mut command = command_of(automa(), User::all()[0]);
    command.arg("audit").args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    // Whoever finds the beginning wrong reads no more.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8(said).unwrap(), output.status.code())
}

fn names(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|it| it["action"].as_str().unwrap()).collect()
}

#[test]
fn what_was_done_is_found_exported_and_proven_elsewhere() {
    block_on(async {
        let mut server = Server::start();
        let client = server.set_up().await;
        let body = json!({ "name": "=cmd()", "language": "bash", "source": "true" });
        let script = client.post("/api/v1/scripts", body).await.json(201);
        let id = script["id"].as_str().unwrap();
        let wrong = json!({ "username": "=evil()", "password": "not the password" });
        for _ in 0..3 {
            server.anonymous().post("/api/v1/auth/login", wrong.clone()).await.problem(401);
        }

        let all = client.get("/api/v1/audit").await.json(200);
        assert_eq!(
            names(&all),
            ["session.refused", "script.created", "session.began", "user.set_up"],
            "{all:#}"
        );
        let entry = &all["items"][1];
        assert_eq!((&entry["actor"], &entry["outcome"]), (&json!("admin"), &json!("done")));
        assert_eq!((&entry["address"], &entry["origin"]), (&json!("127.0.0.1"), &json!("api")));
        for (query, found) in [
            ("actor=admin&action=script.created", vec!["script.created"]),
            ("outcome=refused", vec!["session.refused"]),
            (&format!("resource=script:{id}"), vec!["script.created"]),
            ("resource=user", vec!["user.set_up"]),
            ("to=2020-01-01T00:00:00Z", vec![]),
        ] {
            let page = client.get(&format!("/api/v1/audit?{query}")).await.json(200);
            assert_eq!(names(&page), found, "{query}");
        }
        for query in ["action=no.such", "resource=planet", "outcome=maybe", "from=monday"] {
            client.get(&format!("/api/v1/audit?{query}")).await.problem(422);
        }
        let counted = client.get("/api/v1/audit/statistics").await.json(200);
        assert_eq!((&counted["total"], &counted["days"][0]["refused"]), (&json!(4), &json!(1)));

        let csv = client.get("/api/v1/audit/export?format=csv&outcome=refused").await;
        let table = String::from_utf8(csv.is(200).body.clone()).unwrap();
        assert!(table.starts_with("number,at,actor,"), "{table}");
        assert!(table.contains(",\"'=evil()\","), "no cell is a formula: {table}");
        assert_eq!(table.lines().count(), 2, "{table}");

        let export = client.get("/api/v1/audit/export").await;
        let export = String::from_utf8(export.is(200).body.clone()).unwrap();
        let (said, code) = audit(&["verify", "--export", "-"], &export);
        assert!(said.starts_with("intact: 4 entries, up to 4\n") && code == Some(0), "{said}");
        let (said, code) = audit(&["verify", "--export", "-"], &export.replace("admin", "other"));
        assert!(said.starts_with("BROKEN: ") && code == Some(1), "{said}");

        let verdict = client.get("/api/v1/audit/verify").await.json(200);
        assert_eq!((&verdict["is_intact"], &verdict["entries"]), (&json!(true), &json!(4)));
        let (key, checkpoint) = (&verdict["public_key"], verdict["checkpoint"].as_str().unwrap());
        let key = key.as_str().unwrap();
        let (said, code) = audit(&["verify", "--export", "-", "--public-key", key], &export);
        assert_eq!(code, Some(0), "{said}");
        let kept = client.get(&format!("/api/v1/audit/verify?checkpoint={checkpoint}")).await;
        assert_eq!(kept.json(200)["is_intact"], true);
        let zero = checkpoint.replacen(":4:", ":9:", 1);
        let forged = client.get(&format!("/api/v1/audit/verify?checkpoint={zero}")).await;
        assert_eq!(forged.json(200)["is_intact"], false);

        // The server has the store open; once it has ended, the data proves itself.
        let data = server.data();
        let data = data.to_str().unwrap();
        let (said, code) = audit(&["verify", "--data", data], "");
        assert!(said.contains("a server is running") && code == Some(2), "{said}");
        server.end_by(Signal::SIGTERM);
        let (said, code) = audit(&["verify", "--data", data], "");
        // With one for the two refusals that were counted.
        assert!(said.starts_with("intact: 5 entries") && code == Some(0), "{said}");
        let (said, code) = audit(&["key", "--data", data], "");
        assert_eq!((said.trim(), code), (key, Some(0)));
    });
}

#[test]
fn only_admins_see_the_log() {
    block_on(async {
        let mut server = Server::start();
        server.set_up().await;
        server.end_by(Signal::SIGTERM);
        server.add_user("otto", "operator");
        server.restart();
        let otto = server.anonymous().sign_in("otto").await;
        for path in ["", "/statistics", "/verify", "/export", "/export?format=csv"] {
            otto.get(&format!("/api/v1/audit{path}")).await.problem(403);
            server.anonymous().get(&format!("/api/v1/audit{path}")).await.problem(401);
        }
    });
}
