//! Logs that are read: searched, one stream alone, and in raw bytes.

use std::fs;

use automa_tests::{
    client::{Client, send, texts},
    host::{DEADLINE, PAUSE},
    live::{Events, Socket},
    server::Server,
};
use reqwest::Method;
use serde_json::Value;

use crate::block_on;

/// The path of the log of an execution that has ended.
async fn log_of(client: &Client, source: &str) -> String {
    let execution = client.run(source).await;
    format!("/api/v1/executions/{}/log", execution["id"].as_str().unwrap())
}

#[test]
fn lines_are_found_counted_and_read_of_one_stream() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let source = "for i in {1..500}; do echo \"step $i of 500\"; done; sync; \
            echo 'ERROR: step 250 failed' >&2; echo done";
        let log = log_of(&client, source).await;
        let find = async |query: &str| client.get(&format!("{log}/find?{query}")).await.json(200);
        let numbers = |found: &Value| -> Vec<u64> {
            found["lines"].as_array().unwrap().iter().map(|it| it["n"].as_u64().unwrap()).collect()
        };

        let found = find("q=STEP%20250").await;
        assert_eq!(texts(&found).len(), 2, "{found:#}");
        assert_eq!(
            (&found["more"], &found["complete"], &found["total"]),
            (&false.into(), &true.into(), &502.into())
        );
        assert_eq!(texts(&find("q=STEP%20250&case=true").await).len(), 0);
        assert_eq!(texts(&find("q=STEP%20250&stream=stderr").await), ["ERROR: step 250 failed"]);
        let found = find("q=%5Estep%20%5Cd%24&regex=true&case=true").await;
        assert!(numbers(&found).is_empty(), "^ and $ are those of the line: {found:#}");
        let found = find("q=%5Estep%20%5Cd%20of&regex=true").await;
        assert_eq!(numbers(&found).len(), 9, "{found:#}");
        let found = find("q=step&from=100&limit=2").await;
        assert_eq!((numbers(&found).len(), &found["more"]), (2, &true.into()), "{found:#}");
        let back = find(&format!("q=step&direction=backward&limit=3&from={}", found["next"])).await;
        assert_eq!(numbers(&back).len(), 3);
        assert!(numbers(&back).iter().all(|n| *n <= found["next"].as_u64().unwrap()), "{back:#}");

        let count = client.get(&format!("{log}/count?q=step")).await.json(200);
        assert_eq!((&count["count"], &count["more"]), (&501.into(), &false.into()));
        let count = client.get(&format!("{log}/count?q=step&from=1&to=10")).await.json(200);
        assert!(
            count["count"].as_u64().is_some_and(|count| (9..=10).contains(&count)),
            "{count:#}"
        );

        let errors = client.get(&format!("{log}?stream=stderr")).await.json(200);
        assert_eq!(texts(&errors), ["ERROR: step 250 failed"]);
        assert_eq!(errors["next"], 503);
        let output = client.get(&format!("{log}?stream=stdout&limit=10")).await.json(200);
        assert_eq!(texts(&output).len(), 10);

        for (query, field) in [
            ("q=", "q"),
            ("q=(&regex=true", "q"),
            ("q=a%0Ab", "q"),
            ("regex=true", "q"),
            ("q=a&limit=0", "limit"),
            ("q=a&direction=up", "direction"),
            ("q=a&stream=both", "stream"),
            ("q=a&case=maybe", "case"),
            ("q=(%5Cw%7B100%7D)%7B100%7D&regex=true", "q"),
        ] {
            let problem = client.get(&format!("{log}/find?{query}")).await.problem(422);
            assert_eq!(problem["errors"][0]["field"], field, "{query}: {problem:#}");
        }
        client.get(&format!("{log}/count?q=(&regex=true")).await.problem(422);
        let nowhere = "/api/v1/executions/018f0000-0000-7000-8000-000000000000/log/find?q=a";
        client.get(nowhere).await.problem(404);
        server.anonymous().get(&format!("{log}/find?q=a")).await.problem(401);
    });
}

#[test]
fn one_stream_is_followed_alone() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let log = log_of(&client, "echo one; echo wrong >&2; echo two; echo worse >&2").await;
        let id = log.split('/').nth(4).unwrap();
        let mut events = Events::at(&client, &format!("{log}/stream?stream=stderr"), None).await;
        let mut seen = Vec::new();
        while let Some(event) = events.next().await {
            if event.kind == "log" {
                seen.extend(texts(&event.data).into_iter().map(str::to_owned));
            }
        }
        assert_eq!(seen, ["wrong", "worse"]);
        let mut socket = Socket::follow(&client, &format!("{id}?stream=stdout")).await;
        let mut seen = Vec::new();
        while let Some(message) = socket.next().await {
            if message["type"] == "log" {
                seen.extend(texts(&message).into_iter().map(str::to_owned));
            }
        }
        assert_eq!(seen, ["one", "two"]);
    });
}

#[test]
fn raw_bytes_are_read_from_where_one_was() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let log = log_of(&client, "printf '0123456789'").await;
        let range = async |range: &str| {
            let request = client.request(Method::GET, &log).header("accept", "text/plain");
            send(request.header("range", range)).await
        };
        let part = range("bytes=2-4").await;
        assert_eq!((part.status, part.text().as_str()), (206, "234"));
        assert_eq!(part.header("content-range"), "bytes 2-4/10");
        assert_eq!(range("bytes=7-").await.text(), "789");
        assert_eq!(range("bytes=-2").await.text(), "89");
        let beyond = range("bytes=10-").await;
        assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */10"));
        assert_eq!(
            (range("bytes=0-1,3-4").await.status, range("lines=1-2").await.status),
            (200, 200)
        );
        let request = client.request(Method::GET, &log).header("accept", "text/plain");
        let whole = send(request.header("range", "bytes=0-1").header("if-range", "\"x\"")).await;
        assert_eq!((whole.status, whole.text().as_str()), (200, "0123456789"));
        assert_eq!(whole.header("accept-ranges"), "bytes");
        let request = client.request(Method::GET, &format!("{log}?stream=stdout"));
        send(request.header("accept", "text/plain")).await.problem(422);

        // Of a log that grows, the total is not known.
        let id = client.submit("echo begun; sleep 1000").await;
        client.logged(&id, "begun").await;
        let request = client.request(Method::GET, &format!("/api/v1/executions/{id}/log"));
        let part = send(request.header("accept", "text/plain").header("range", "bytes=0-")).await;
        assert_eq!((part.status, part.header("content-range")), (206, "bytes 0-5/*"));
        client.post_nothing(&format!("/api/v1/executions/{id}/cancel")).await.is(200);
        client.ended(&id).await;
    });
}

#[test]
fn a_large_log_is_packed_once_it_is_finished_and_reads_as_before() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let log = log_of(&client, "seq 200000").await;
        let file = server.data().join(format!("logs/{}.log", log.split('/').nth(4).unwrap()));
        let deadline = tokio::time::Instant::now() + DEADLINE;
        // The eighth byte is the version of its format.
        while fs::read(&file).unwrap()[7] != 2 {
            assert!(tokio::time::Instant::now() < deadline, "it stays as it was");
            tokio::time::sleep(PAUSE).await;
        }
        let size = fs::metadata(&file).unwrap().len();
        let window = client.get(&format!("{log}?from=123456&limit=2")).await.json(200);
        assert_eq!(texts(&window), ["123456", "123457"]);
        let found = client.get(&format!("{log}/find?q=%5E199999%24&regex=true")).await.json(200);
        assert_eq!(texts(&found), ["199999"]);
        let request = client.request(Method::GET, &log).header("accept", "text/plain");
        let raw = send(request).await.text();
        assert!(raw.len() as u64 > size, "{size} bytes of {}", raw.len());
        assert!(raw.lines().eq((1..=200_000).map(|n| n.to_string())));
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while client.get("/api/v1/disk").await.json(200)["log_bytes"] != size {
            assert!(tokio::time::Instant::now() < deadline, "its size is not noted");
            tokio::time::sleep(PAUSE).await;
        }
    });
}
