//! `kill -9` while lines are cut out of a log that is longer than is kept.

use std::fs;

use automa_tests::{client::Client, host::PAUSE, server::Server};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::block_on;

/// How often it is killed.
const KILLS: u64 = 4;

/// A log with the answer from `from` on, as soon as there is one for which `is` holds.
async fn window(client: &Client, id: &str, from: u64, is: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/api/v1/executions/{id}/log?from={from}");
    loop {
        let window = client.get(&path).await.json(200);
        if is(&window) {
            return window;
        }
        sleep(PAUSE).await;
    }
}

/// All lines that there are are those of `seq`; returns how many.
async fn check(client: &Client, id: &str) -> u64 {
    let (mut next, mut lines, mut cut) = (1, 0, Value::Null);
    loop {
        let window = window(client, id, next, |_| true).await;
        assert_eq!(window["complete"], true);
        cut = if cut.is_null() { window["cut"].clone() } else { cut };
        assert_eq!(window["cut"], cut, "it has ended");
        let Some(shown) = window["lines"].as_array().filter(|lines| !lines.is_empty()) else {
            let missing = cut["last"].as_u64().unwrap() + 1 - cut["first"].as_u64().unwrap();
            assert_eq!(window["total"], lines + missing);
            return lines;
        };
        for line in shown {
            if line["n"] != next {
                assert_eq!(
                    (&cut["first"], &line["n"]),
                    (&json!(next), &json!(cut["last"].as_u64().unwrap() + 1))
                );
                next = line["n"].as_u64().unwrap();
            }
            // The last one may not have been written to its end.
            let text = line["text"].as_str().unwrap();
            assert!(next == window["total"] || text == next.to_string(), "{line:#}");
            assert!(next.to_string().starts_with(text), "{line:#}");
            (next, lines) = (next + 1, lines + 1);
        }
        assert_eq!(window["next"], next);
    }
}

#[test]
fn whenever_it_is_killed_a_log_has_all_lines_but_those_that_it_says_were_cut() {
    let mut server = Server::start();
    let mut client = block_on(server.set_up());
    for kill in 1..=KILLS {
        let id = block_on(async {
            let limits = json!({ "output_bytes": 200_000, "cpus": 2 });
            let body =
                json!({ "language": "bash", "source": "seq 1 1000000000", "limits": limits });
            let submitted = client.post("/api/v1/executions", body).await.json(202);
            let id = submitted["id"].as_str().unwrap().to_owned();
            // So often was it cut at least, 4 MiB of 7 or 8 bytes each at a time.
            let enough = |window: &Value| {
                window["cut"]["last"].as_u64().is_some_and(|last| last > 500_000 * kill)
            };
            window(&client, &id, 1, enough).await;
            id
        });
        let _ = server.end_by(Signal::SIGKILL);
        server.restart();
        block_on(async {
            client = client.at(server.url());
            assert_eq!(client.ended(&id).await["state"], "lost");
            let lines = check(&client, &id).await;
            // Half of what is kept and all since it was cut, each 2 to 10 bytes.
            assert!((10_000..1_000_000).contains(&lines), "{lines}");
        });
        let files: Vec<_> = fs::read_dir(server.data().join("logs"))
            .unwrap()
            .map(|it| it.unwrap().path())
            .collect();
        assert!(
            files.iter().all(|path| path.extension().is_some_and(|it| it == "log")),
            "{files:?}"
        );
    }
}
