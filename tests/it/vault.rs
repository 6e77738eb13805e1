//! Credentials through the API, the command line and in the data directory.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Output};

use automa_tests::{
    User,
    client::{Client, PASSWORD, send},
    server::Server,
};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::block_on;

const PATH: &str = "/api/v1/credentials";

async fn create(client: &Client, key: &str) -> String {
    let body = json!({
        "name": "a key", "type": "api_key", "data": { "key": key },
        "revealable": true,
    });
    let made = client.post(PATH, body).await.json(201);
    made["id"].as_str().unwrap().to_owned()
}

async fn decrypt(client: &Client, id: &str) -> automa_tests::client::Answer {
    client.post(&format!("{PATH}/{id}/decrypt"), json!({ "password": PASSWORD })).await
}

/// Whether any file below a directory has these bytes.
fn is_in_files(directory: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_in_files(&path, bytes);
        }
        fs::read(&path).unwrap().windows(bytes.len()).any(|it| it == bytes)
    })
}

#[test]
fn a_secret_is_told_to_who_may_see_it_and_is_nowhere_else() {
    const SECRET: &str = "k-7f3a91c2d4e5b6a7";
    block_on(async {
        let mut server = Server::start();
        let client = server.set_up().await;
        let id = create(&client, SECRET).await;
        let renamed = json!({ "name": "renamed", "revealable": true });
        let path = format!("{PATH}/{id}");
        let changed = send(client.request(Method::PUT, &path).json(&renamed)).await.json(200);
        assert_eq!((&changed["version"], &changed["revision"]), (&json!(1), &json!(2)));
        for answer in [
            client.get(&path).await,
            client.get(PATH).await,
            client.get(&format!("{path}/versions")).await,
            client.get(&format!("{path}/uses")).await,
            client.post_nothing(&format!("{path}/test")).await,
        ] {
            assert!(!answer.is(200).text().contains(SECRET), "{}", answer.text());
        }
        let shown = decrypt(&client, &id).await.json(200);
        assert_eq!(shown["data"]["key"], SECRET);
        let wrong = client.post(&format!("{path}/decrypt"), json!({ "password": "wrong" })).await;
        wrong.problem(403);
        client.get("/api/v1/auth/me").await.is(200);
        for _ in 0..3 {
            decrypt(&client, &id).await.is(200);
        }
        decrypt(&client, &id).await.problem(429);
        let bad = json!({ "name": "x", "type": "db_connection", "data": { "port": SECRET } });
        let refused = client.post(PATH, bad).await;
        assert!(!refused.text().contains(SECRET), "{}", refused.text());
        let errors = refused.problem(422)["errors"].as_array().unwrap().len();
        assert_eq!(errors, 4, "engine, host, port, password");
        let stop = server.end_by(Signal::SIGTERM);
        assert!(!stop.stderr.contains(SECRET), "it is in the server's log");
        assert!(!is_in_files(&server.data(), SECRET.as_bytes()));
        let key = server.data().join("master.key");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    });
}

#[test]
fn a_server_without_the_right_master_key_does_not_start_and_says_why() {
    block_on(async {
        let mut server = Server::start();
        let client = server.set_up().await;
        let id = create(&client, "k-1").await;
        server.end_by(Signal::SIGTERM);
        let key = server.data().join("master.key");
        let other = server.data().join("other.key");
        fs::rename(&key, &other).unwrap();
        let refused = |server: &Server, part: &str| {
            let output: Output = server.serve_command().output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(!output.status.success() && said.contains(part), "{part}: {said}");
        };
        refused(&server, "restore the file");
        fs::copy(&other, &key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        refused(&server, "chmod 600");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        server.restart();
        let client = client.at(server.url());
        assert_eq!(decrypt(&client, &id).await.json(200)["data"]["key"], "k-1");
    });
}

#[test]
fn the_command_line_replaces_the_master_key() {
    block_on(async {
        let mut server = Server::start_as(User::all()[0], &[]);
        let client = server.set_up().await;
        let id = create(&client, "k-1").await;
        server.end_by(Signal::SIGTERM);
        let before = fs::read(server.data().join("master.key")).unwrap();
        let output = server.command(&["vault", "rotate"]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("1 secrets were moved"), "{said}");
        assert_ne!(fs::read(server.data().join("master.key")).unwrap(), before);
        // And then it is given from outside.
        let mut rotate = server.command(&["vault", "rotate"]);
        let output = rotate.env("AUTOMA_MASTER_KEY", "07".repeat(32)).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let output = server.serve_command().output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("AUTOMA_MASTER_KEY"), "{said}");
        let mut rotate = server.command(&["vault", "rotate"]);
        rotate.env("AUTOMA_MASTER_KEY_OLD", "07".repeat(32));
        assert!(rotate.output().unwrap().status.success(), "it is in the file again");
        server.restart();
        let client = client.at(server.url());
        assert_eq!(decrypt(&client, &id).await.json(200)["data"]["key"], "k-1");
    });
}

/// Kills a server while it replaces its master key: ten times, or as often as `AUTOMA_KILLS` says.
#[test]
fn a_rotation_that_is_killed_loses_no_secret_however_often() {
    #[expect(clippy::disallowed_methods, reason = "a switch of the tests")]
    let kills = std::env::var("AUTOMA_KILLS").map_or(10, |text| text.parse().unwrap());
    block_on(async {
        let mut server = Server::start();
        let mut client = server.set_up().await;
        let mut ids = Vec::new();
        for number in 0..300 {
            ids.push(create(&client, &format!("k-{number}")).await);
        }
        for round in 0..kills {
            let answer = client.post_nothing(&format!("{PATH}/rotation")).await;
            assert!([202, 409].contains(&answer.status), "{}", answer.text());
            // At once, or a little later: by what else there is to ask for.
            for _ in 0..round % 5 {
                client.get(PATH).await.is(200);
            }
            server.end_by(Signal::SIGKILL);
            server.restart();
            client = client.at(server.url());
            for id in ids.iter().skip(round % 10).step_by(50) {
                let tested = client.post_nothing(&format!("{PATH}/{id}/test")).await.json(200);
                assert_eq!(tested["ok"], true, "{tested:#}");
            }
        }
        let rotation = format!("{PATH}/rotation");
        client.until(&rotation, |it: &Value| it["running"] == false && it["left"] == 0).await;
        for id in &ids {
            let tested = client.post_nothing(&format!("{PATH}/{id}/test")).await.json(200);
            assert_eq!(tested["ok"], true, "{tested:#}");
        }
        server.end_by(Signal::SIGTERM);
        let text = fs::read_to_string(server.data().join("master.key")).unwrap();
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 1);
    });
}
