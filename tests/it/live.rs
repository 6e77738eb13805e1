//! Logs while they are written: in order, complete, for slow readers and after reconnects.

use automa_tests::{
    client::Client,
    live::{Event, Events, Socket},
    server::Server,
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite;

use crate::block_on;

/// Prints so many numbered lines, of about 100 bytes each, faster than anybody reads.
async fn submit_lines(client: &Client, count: usize) -> String {
    let source = format!("for i in range(1, {count} + 1): print(f'line {{i}} {{0:080}}')");
    let body = json!({
        "language": "python", "source": source,
        "limits": { "cpus": 2, "output_bytes": 1_000_000_000 },
    });
    let execution = client.post("/api/v1/executions", body).await.json(202);
    execution["id"].as_str().unwrap().to_owned()
}

/// What such a script prints.
fn expected(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("line {number} {:080}", 0)).collect()
}

/// Lines of events or messages, checked to be numbered without gaps from `from` on.
#[derive(Debug)]
struct Seen {
    next: u64,
    texts: Vec<String>,
}

impl Seen {
    fn from(next: u64) -> Self {
        Self { next, texts: Vec::new() }
    }

    #[track_caller]
    fn add(&mut self, window: &Value) {
        for line in window["lines"].as_array().unwrap_or_else(|| panic!("{window:#}")) {
            assert_eq!(line["n"], self.next, "a gap or a repetition");
            assert!(["stdout", "stderr"].contains(&line["stream"].as_str().unwrap()));
            self.texts.push(line["text"].as_str().unwrap().to_owned());
            self.next += 1;
        }
    }
}

#[test]
fn a_line_is_seen_while_the_script_still_runs() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let id = client.submit("echo begun; echo wrong >&2; sleep 1000").await;
        let mut events = Events::follow(&client, &id, None).await;
        let mut socket = Socket::follow(&client, &id).await;
        let (mut by_event, mut by_message) = (Seen::from(1), Seen::from(1));
        while by_event.texts.len() < 2 {
            by_event.add(&events.next().await.unwrap().data);
        }
        while by_message.texts.len() < 2 {
            let message = socket.next().await.unwrap();
            assert_eq!(message["type"], "log", "{message:#}");
            by_message.add(&message);
        }
        for mut texts in [by_event.texts, by_message.texts] {
            texts.sort();
            assert_eq!(texts, ["begun", "wrong"]);
        }
        let execution = client.get(&format!("/api/v1/executions/{id}")).await.json(200);
        assert_eq!(execution["state"], "running");
        client.post_nothing(&format!("/api/v1/executions/{id}/cancel")).await;
        let end = events.next().await.unwrap();
        assert_eq!((end.kind.as_str(), &end.data["state"]), ("end", &json!("cancelled")));
        assert_eq!((&end.data["id"], events.next().await), (&json!(id), None));
        let end = socket.next().await.unwrap();
        assert_eq!(end["type"], "end", "{end:#}");
        assert!(end.to_string().contains("\"cancelled\""), "{end:#}");
        assert_eq!(socket.next().await, None);
    });
}

#[test]
fn a_slow_reader_misses_nothing_and_slows_nobody() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        // More than what the kernel keeps for a connection that is not read.
        let count = 150_000;
        let id = submit_lines(&client, count).await;
        // Opened, and not read before the script has long ended.
        let mut events = Events::follow(&client, &id, None).await;
        let mut socket = Socket::follow(&client, &id).await;
        let ended = client.ended(&id).await;
        assert_eq!(ended["state"], "succeeded", "{ended:#}");
        let mut seen = Seen::from(1);
        let end = loop {
            let event = events.next().await.unwrap();
            match event.kind.as_str() {
                "log" => seen.add(&event.data),
                _ => break event,
            }
        };
        assert_eq!((end.kind.as_str(), &end.data["state"]), ("end", &json!("succeeded")));
        assert!(seen.texts == expected(count), "{} lines", seen.texts.len());
        let mut seen = Seen::from(1);
        loop {
            let message = socket.next().await.unwrap();
            match message["type"].as_str().unwrap() {
                "log" => seen.add(&message),
                _ => break,
            }
        }
        assert!(seen.texts == expected(count), "{} lines", seen.texts.len());
    });
}

/// Reads some events, as a browser does before its connection breaks.
async fn some(events: &mut Events, seen: &mut Seen, count: usize) -> (Option<String>, bool) {
    let mut last = None;
    for _ in 0..count {
        let Event { kind, id, data } = events.next().await.unwrap();
        if kind == "end" {
            return (last, true);
        }
        seen.add(&data);
        last = id;
    }
    (last, false)
}

#[test]
fn who_reconnects_goes_on_where_the_connection_broke() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let count = 20_000;
        let id = submit_lines(&client, count).await;
        let mut seen = Seen::from(1);
        let mut last: Option<String> = None;
        let mut connections = 0;
        loop {
            let mut events = Events::follow(&client, &id, last.as_deref()).await;
            connections += 1;
            let (now, ended) = some(&mut events, &mut seen, 2).await;
            last = now.or(last);
            if ended {
                break;
            }
        }
        assert!(connections > 2, "one connection was enough for everything");
        assert!(seen.texts == expected(count), "{} lines", seen.texts.len());
        // All the same after the end, from a line in the middle.
        let mut events = Events::follow(&client, &id, Some("15000")).await;
        let mut rest = Seen::from(15_001);
        while !some(&mut events, &mut rest, 10).await.1 {}
        assert_eq!(rest.next, 20_001);
    });
}

#[test]
fn what_has_not_begun_can_be_followed_from_its_start() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let mut blocking = Vec::new();
        for _ in 0..64 {
            blocking.push(client.submit("sleep 1000").await);
        }
        let id = client.submit("echo mine").await;
        let mut events = Events::follow(&client, &id, None).await;
        let mut socket = Socket::follow(&client, &id).await;
        for id in &blocking {
            client.post_nothing(&format!("/api/v1/executions/{id}/cancel")).await.is(200);
        }
        let first = events.next().await.unwrap();
        assert_eq!(first.data["lines"][0]["text"], "mine");
        let first = socket.next().await.unwrap();
        assert_eq!(first["lines"][0]["text"], "mine");
    });
}

#[test]
fn many_watch_the_same_log() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let id = client.submit("read -t 1; for i in {1..500}; do echo $i; done").await;
        let watching = (0..20).map(|_| async {
            let mut events = Events::follow(&client, &id, None).await;
            let mut seen = Seen::from(1);
            while !some(&mut events, &mut seen, 1).await.1 {}
            seen.texts.len()
        });
        let seen = futures_util::future::join_all(watching).await;
        assert_eq!(seen, [500; 20]);
    });
}

/// The status with which a socket is refused.
async fn refused(client: &Client, id: &str, fields: &[(&'static str, &str)]) -> u16 {
    match *Socket::open(client, id, fields).await.unwrap_err() {
        tungstenite::Error::Http(answer) => answer.status().as_u16(),
        other => panic!("{other}"),
    }
}

#[test]
fn a_socket_takes_a_token_in_three_places_and_from_no_other_site() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let id = client.run("echo hello").await["id"].as_str().unwrap().to_owned();
        let token = client.token().to_owned();
        let bearer = format!("Bearer {token}");
        let protocol = format!("bearer.{token}");
        for fields in [("authorization", bearer.as_str()), ("sec-websocket-protocol", &protocol)] {
            let mut socket = Socket::open(&client, &id, &[fields]).await.unwrap();
            let first = socket.next().await.unwrap();
            assert_eq!(first["lines"][0]["text"], "hello", "{fields:?}");
        }
        assert_eq!(refused(&client, &id, &[]).await, 401);
        assert_eq!(refused(&client, &id, &[("authorization", "Bearer x")]).await, 401);
        assert_eq!(refused(&client, &id, &[("sec-websocket-protocol", "bearer.x")]).await, 401);
        let unknown = "00000000-0000-7000-8000-000000000000";
        assert_eq!(refused(&client, unknown, &[("authorization", &bearer)]).await, 404);
        // What a client says is of no importance.
        let mut socket = Socket::follow(&client, &id).await;
        socket.send("{\"type\":\"nonsense\"}").await;
        assert_eq!(socket.next().await.unwrap()["type"], "log");
    });
}

#[test]
fn who_has_signed_out_sees_no_more() {
    block_on(async {
        let server = Server::start();
        let admin = server.set_up().await;
        let id = admin.submit("echo begun; sleep 1000").await;
        let client = server.anonymous().sign_in("admin").await;
        let mut events = Events::follow(&client, &id, None).await;
        let mut socket = Socket::follow(&client, &id).await;
        assert_eq!(events.next().await.unwrap().kind, "log");
        assert_eq!(socket.next().await.unwrap()["type"], "log");
        client.post_nothing("/api/v1/auth/logout").await.is(204);
        assert!(
            events.next().await.is_none(),
            "the stream is over, without an end of the execution"
        );
        assert!(socket.next().await.is_none());
        // Others are not affected.
        admin.execution(&id, |it| it["state"] == "running").await;
    });
}
