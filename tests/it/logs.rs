//! Logs that are read: searched, one stream alone, and in raw bytes.

use std::fs;

use automa_tests::{
    client::{Client, send, texts},
    host::{DEADLINE, PAUSE},
    live::{Events, Socket},
    server::Server,
};
use reqwest::Method;
use serde_json::{Value, json};

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

#[test]
fn a_log_that_is_longer_than_is_kept_says_what_was_cut_wherever_it_is_read() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let body = json!({
            "language": "bash", "source": "seq 1 200000",
            "limits": { "output_bytes": 100_000 },
        });
        let ended = client.post("/api/v1/executions?wait=60", body).await.json(200);
        assert_eq!(
            (&ended["state"], &ended["output_bytes"]),
            (&json!("succeeded"), &json!(1_288_895))
        );
        let id = ended["id"].as_str().unwrap();
        let log = format!("/api/v1/executions/{id}/log");
        let number = |value: &Value| value.as_u64().unwrap();

        let window = client.get(&log).await.json(200);
        let (total, cut) = (number(&window["total"]), &window["cut"]);
        let (first, last) = (number(&cut["first"]), number(&cut["last"]));
        assert_eq!(total, 200_000, "{window:#}");
        assert_eq!(first, 10_185, "50,000 bytes of numbers");
        let end = client.get(&format!("{log}?from={first}&limit=1000")).await.json(200);
        assert_eq!(
            (number(&end["lines"][0]["n"]), texts(&end)[0]),
            (last + 1, &*(last + 1).to_string())
        );
        let across = client.get(&format!("{log}?from={}&limit=2", first - 1)).await.json(200);
        assert_eq!(texts(&across), [(first - 1).to_string(), (last + 1).to_string()]);
        assert_eq!(&end["cut"], cut);

        let count = client.get(&format!("{log}/count?q=0000")).await.json(200);
        assert_eq!((&count["next"], &count["more"]), (&json!(total + 1), &json!(false)));
        assert_eq!(count["count"], 2, "10000 and 200000");
        let found = client.get(&format!("{log}/find?q={first}&limit=1")).await.json(200);
        assert_eq!((texts(&found).len(), &found["cut"]), (0, cut), "{found:#}");
        let back = format!("{log}/find?q=1&direction=backward&from={last}&limit=1");
        assert_eq!(texts(&client.get(&back).await.json(200)), [(first - 1).to_string()]);

        let mut events = Events::at(&client, &format!("{log}/stream?from=5"), None).await;
        let mut next = 5;
        while let Some(event) = events.next().await {
            for line in event.data["lines"].as_array().into_iter().flatten() {
                if number(&line["n"]) != next {
                    assert_eq!((next, number(&line["n"])), (first, last + 1));
                    assert_eq!(&event.data["cut"], cut);
                    next = last + 1;
                }
                next += 1;
            }
        }
        assert_eq!(next, total + 1);

        let raw = async |range: &str| {
            let request = client.request(Method::GET, &log).header("accept", "text/plain");
            let request = if range.is_empty() { request } else { request.header("range", range) };
            send(request).await
        };
        let whole = raw("").await;
        assert_eq!(whole.status, 200);
        let missing = number(&cut["bytes"]);
        let lines = |range: std::ops::RangeInclusive<u64>| {
            range.flat_map(|n| [n.to_string(), "\n".to_owned()]).collect::<String>()
        };
        let text = whole.text();
        let (head, rest) = text.split_once("[… ").unwrap();
        assert_eq!(head, lines(1..=first - 1));
        let (note, tail) = rest.split_once('\n').unwrap();
        assert!(note.ends_with(" bytes were not kept …]"), "{note}");
        assert_eq!(tail, lines(last + 1..=total));
        assert_eq!(head.len() + tail.len() + usize::try_from(missing).unwrap(), 1_288_895);
        // A part is on one side of it; where it is is told by its place in all that was written.
        let from = head.len();
        let before = raw(&format!("bytes={}-", from - 3)).await;
        assert_eq!((before.status, before.body.len()), (206, 3));
        assert_eq!(
            before.header("content-range"),
            format!("bytes {}-{}/1288895", from - 3, from - 1)
        );
        let behind = raw(&format!("bytes={from}-")).await;
        assert_eq!((behind.status, behind.text()), (206, tail.to_owned()));
        let place = u64::try_from(from).unwrap() + missing;
        assert_eq!(behind.header("content-range"), format!("bytes {place}-1288894/1288895"));
        assert_eq!(raw(&format!("bytes={from}-{}", from + 5)).await.status, 416);
    });
}
