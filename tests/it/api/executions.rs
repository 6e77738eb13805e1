//! Executions: submitted, waited for, cancelled, run again, listed, and their logs.

use automa_tests::{
    client::{Answer, Client, send, texts},
    server::Server,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::block_on;

const ALL: &str = "/api/v1/executions";

fn bash(source: &str) -> Value {
    json!({ "language": "bash", "source": source })
}

#[test]
fn who_waits_gets_the_result_and_who_does_not_an_address() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let queued = client.post(ALL, bash("echo one; echo two >&2; exit 3")).await;
        let execution = queued.json(202);
        let path = queued.header("location");
        assert_eq!(path, format!("{ALL}/{}", execution["id"].as_str().unwrap()));
        let ended = client.ended(execution["id"].as_str().unwrap()).await;
        assert_eq!((&ended["state"], &ended["exit_code"]), (&json!("failed"), &json!(3)));
        assert_eq!(ended["cause"], "the script ended with exit code 3");
        let waited = client.run("echo one").await;
        assert_eq!((&waited["state"], &waited["output"]), (&json!("succeeded"), &json!("one\n")));
        // Nobody waits longer than was asked for.
        let still = client.post(&format!("{ALL}?wait=0"), bash("sleep 1000")).await.json(202);
        assert!(still.get("output").is_none() || still["output"].is_null(), "{still:#}");
        let still = client.post(&format!("{ALL}?wait=1"), bash("sleep 1000")).await.json(202);
        assert!(still["finished_at"].is_null(), "{still:#}");
    });
}

#[test]
fn long_output_is_cut_in_the_answer_and_whole_in_the_log() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let execution = client.run("for i in {1..20000}; do echo \"line $i\"; done").await;
        let output = execution["output"].as_str().unwrap();
        assert_eq!((output.len(), &execution["output_truncated"]), (65536, &json!(true)));
        let path = format!("{ALL}/{}/log", execution["id"].as_str().unwrap());
        let raw = send(client.request(Method::GET, &path).header("accept", "text/plain")).await;
        raw.is(200);
        assert!(raw.header("content-type").starts_with("text/plain"));
        let lines: Vec<String> = (1..=20000).map(|number| format!("line {number}")).collect();
        let whole = lines.join("\n") + "\n";
        assert!(raw.text() == whole, "{} bytes instead of {}", raw.body.len(), whole.len());
        assert!(whole.starts_with(output));
        assert_eq!(execution["output_bytes"].as_u64(), Some(whole.len() as u64));
    });
}

#[test]
fn a_log_is_read_in_windows() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let execution =
            client.run("for i in {1..1000}; do echo \"line $i\"; done; printf end").await;
        let path = format!("{ALL}/{}/log", execution["id"].as_str().unwrap());
        let mut next = 1;
        let mut seen = 0;
        while next <= 1001 {
            let window = client.get(&format!("{path}?from={next}&limit=300")).await.json(200);
            assert_eq!((&window["total"], &window["complete"]), (&json!(1001), &json!(true)));
            for line in window["lines"].as_array().unwrap() {
                seen += 1;
                let text = if seen == 1001 { "end".to_owned() } else { format!("line {seen}") };
                assert_eq!((&line["n"], &line["text"]), (&json!(seen), &json!(text)));
                assert!(line["t_ms"].is_u64(), "{line:#}");
            }
            next = window["next"].as_u64().unwrap();
        }
        assert_eq!((seen, next), (1001, 1002));
        let beyond = client.get(&format!("{path}?from=5000")).await.json(200);
        assert_eq!(beyond["lines"], json!([]));
        for bad in ["from=x", "from=-1", "limit=0", "limit=1000000000", "from=1e3"] {
            client.get(&format!("{path}?{bad}")).await.problem(422);
        }
    });
}

#[test]
fn output_of_every_kind_comes_through() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let source = r#"
import sys
for data in [b"\x1b[31mred\x1b[0m\n", b"\xff\xfe\x00 bytes\n", "ünï ✓ 🦀\n".encode(),
             b"<script>alert(1)</script>\n", b"\r\n", b"progress 1\rprogress 2\n", b"\n",
             b"x" * 100000 + b"\n"]:
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
"#;
        let body = json!({ "language": "python", "source": source });
        let execution = client.post(&format!("{ALL}?wait=60"), body).await.json(200);
        assert_eq!(execution["state"], "succeeded", "{execution:#}");
        let path = format!("{ALL}/{}/log", execution["id"].as_str().unwrap());
        let raw = send(client.request(Method::GET, &path).header("accept", "text/plain")).await;
        let mut sent = b"\x1b[31mred\x1b[0m\n\xff\xfe\x00 bytes\n".to_vec();
        sent.extend("ünï ✓ 🦀\n<script>alert(1)</script>\n\r\nprogress 1\rprogress 2\n\n".bytes());
        sent.extend(vec![b'x'; 100_000]);
        sent.push(b'\n');
        assert!(raw.body == sent, "{} bytes instead of {}", raw.body.len(), sent.len());
        let window = client.get(&path).await.json(200);
        let lines = texts(&window);
        assert_eq!(lines[0], "\u{1b}[31mred\u{1b}[0m");
        assert_eq!(lines[2], "ünï ✓ 🦀");
        assert!(lines[7].starts_with("xxxx"));
    });
}

#[test]
fn parameters_reach_the_script() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let source = "import json, os\n\
            print(os.environ['word'], os.environ['count'], os.environ['yes'], 'list' in os.environ)\n\
            print(json.dumps(json.load(open(os.environ['AUTOMA_PARAMETERS'])), sort_keys=True))\n";
        let parameters = json!({
            "word": "ünï \"quoted\" $HOME `x`\nsecond line", "count": 3, "yes": true,
            "list": [1, { "deep": null }],
        });
        let body = json!({ "language": "python", "source": source, "parameters": parameters });
        let execution = client.post(&format!("{ALL}?wait=60"), body).await.json(200);
        let output = execution["output"].as_str().unwrap();
        assert_eq!(execution["state"], "succeeded", "{output}");
        let (first, document) = output.trim_end().rsplit_once('\n').unwrap();
        assert_eq!(first, "ünï \"quoted\" $HOME `x`\nsecond line 3 true False");
        assert_eq!(serde_json::from_str::<Value>(document).unwrap(), parameters);
        for bad in [json!([1]), json!("x"), json!({ "PATH=x": "1" }), json!({ "a\u{0}b": "1" })] {
            let body = json!({ "language": "bash", "source": "true", "parameters": bad });
            client.post(ALL, body).await.problem(422);
        }
    });
}

#[test]
fn parameters_are_checked_against_the_schema_of_the_script() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let body = json!({
            "name": "greet", "language": "bash", "source": "echo \"$who\"",
            "parameters_schema": {
                "type": "object",
                "properties": { "who": { "type": "string", "maxLength": 5 } },
                "required": ["who"],
                "additionalProperties": false,
            },
        });
        let script = client.post("/api/v1/scripts", body).await.json(201);
        let submit = async |parameters: Value| -> Answer {
            let body = json!({ "script_id": script["id"], "parameters": parameters });
            client.post(&format!("{ALL}?wait=60"), body).await
        };
        assert_eq!(submit(json!({ "who": "me" })).await.json(200)["output"], "me\n");
        for bad in [json!({}), json!({ "who": 1 }), json!({ "who": "too long" }), json!({ "x": 1 })]
        {
            let problem = submit(bad.clone()).await.problem(422);
            let field = problem["errors"][0]["field"].as_str().unwrap_or_default();
            assert!(field.starts_with("parameters"), "{bad}: {problem:#}");
        }
        assert_eq!(client.get(&format!("{ALL}/count")).await.json(200)["count"], 1);
    });
}

#[test]
fn limits_hold_and_are_named() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let run = async |source: &str, limits: Value| -> Value {
            let body = json!({ "language": "bash", "source": source, "limits": limits });
            client.post(&format!("{ALL}?wait=60"), body).await.json(200)
        };
        let slow = run("sleep 1000", json!({ "wall_ms": 300 })).await;
        assert_eq!(slow["state"], "timed_out", "{slow:#}");
        let large = run(
            "x=$(head -c 200000000 /dev/zero | tr '\\0' x)",
            json!({
                "memory_bytes": 33_554_432,
            }),
        );
        let large = large.await;
        assert_eq!(large["state"], "out_of_memory", "{large:#}");
        assert!(large["cause"].as_str().unwrap().contains("memory"), "{large:#}");
        for (field, value) in [
            ("wall_ms", json!(0)),
            ("memory_bytes", json!(1)),
            ("cpus", json!(-1)),
            ("pids", json!(0)),
            ("output_bytes", json!("much")),
        ] {
            let limits = json!({ field: value });
            let body = json!({ "language": "bash", "source": "true", "limits": limits });
            let problem = client.post(ALL, body).await.problem(422);
            let named = problem["errors"][0]["field"].as_str().unwrap_or_default();
            assert!(named.starts_with("limits"), "{field}: {problem:#}");
        }
    });
}

#[test]
fn what_runs_and_what_waits_is_cancelled() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let source = "trap 'echo bye; exit 0' TERM; echo begun; sleep 1000 & wait";
        let running = client.submit(source).await;
        client.logged(&running, "begun").await;
        let answer = client.post_nothing(&format!("{ALL}/{running}/cancel")).await;
        assert!([200, 202].contains(&answer.status), "{}", answer.text());
        let ended = client.ended(&running).await;
        assert_eq!(ended["state"], "cancelled", "{ended:#}");
        let log = client.get(&format!("{ALL}/{running}/log")).await.json(200);
        assert_eq!(texts(&log), ["begun", "bye"]);
        client.post_nothing(&format!("{ALL}/{running}/cancel")).await.problem(409);
        // As many as there are slots run; the last of many waits.
        let mut waiting = Vec::new();
        for _ in 0..64 {
            waiting.push(client.submit("sleep 1000").await);
        }
        let last = waiting.last().unwrap();
        client.post_nothing(&format!("{ALL}/{last}/cancel")).await.is(200);
        let ended = client.ended(last).await;
        assert_eq!((&ended["state"], &ended["started_at"]), (&json!("cancelled"), &Value::Null));
    });
}

#[test]
fn an_execution_is_run_again_with_the_same_or_other_parameters() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let body = json!({
            "language": "bash", "source": "echo \"$word\"", "parameters": { "word": "one" },
            "limits": { "wall_ms": 9000 },
        });
        let first = client.post(&format!("{ALL}?wait=60"), body).await.json(200);
        let first = first["id"].as_str().unwrap();
        let path = format!("{ALL}/{first}/rerun");
        for (body, output) in
            [(json!({}), "one"), (json!({ "parameters": { "word": "two" } }), "two")]
        {
            let again = client.post(&path, body).await;
            let id = again.json(202)["id"].as_str().unwrap().to_owned();
            assert_ne!(id, first);
            assert_eq!(again.header("location"), format!("{ALL}/{id}"));
            let ended = client.ended(&id).await;
            assert_eq!((&ended["state"], &ended["rerun_of"]), (&json!("succeeded"), &json!(first)));
            client.logged(&id, output).await;
        }
        let none = client.post_nothing(&path).await.json(202);
        client.ended(none["id"].as_str().unwrap()).await;
    });
}

#[test]
fn a_key_keeps_a_submission_from_being_accepted_twice() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let submit = async |key: &str, source: &str| -> Answer {
            let request = client.request(Method::POST, ALL).header("idempotency-key", key);
            send(request.json(&bash(source))).await
        };
        let first = submit("one", "echo x").await.json(202);
        let again = submit("one", "echo x").await;
        assert!([200, 202].contains(&again.status), "{}", again.text());
        assert_eq!(again.json(again.status)["id"], first["id"]);
        let other = submit("two", "echo x").await.json(202);
        assert_ne!(other["id"], first["id"]);
        // The same key for something else is a mistake.
        let misused = submit("one", "echo y").await;
        assert!([409, 422].contains(&misused.status), "{}", misused.text());
        misused.problem(misused.status);
        let many = futures_util::future::join_all((0..8).map(|_| submit("three", "echo z"))).await;
        let ids: Vec<Value> =
            many.iter().map(|answer| answer.json(answer.status)["id"].clone()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(client.get(&format!("{ALL}/count")).await.json(200)["count"], 3);
        let long = submit(&"k".repeat(5000), "echo x").await;
        long.problem(422);
    });
}

/// All ids that a list has, page by page.
async fn listed(client: &Client, query: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("{ALL}?limit=4{query}{cursor}")).await.json(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 4);
        ids.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

#[test]
fn executions_are_listed_counted_and_filtered() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let script = json!({ "name": "x", "language": "bash", "source": "true" });
        let script = client.post("/api/v1/scripts", script).await.json(201);
        let script = script["id"].as_str().unwrap();
        let mut newest_first = Vec::new();
        for number in 0..10 {
            let body = match number % 5 {
                0 => json!({ "script_id": script }),
                1 => bash("exit 1"),
                _ => bash("true"),
            };
            let execution = client.post(&format!("{ALL}?wait=60"), body).await.json(200);
            newest_first.insert(0, execution["id"].as_str().unwrap().to_owned());
        }
        let every = |rest: usize| -> Vec<String> {
            let numbered = newest_first.iter().enumerate();
            numbered.filter(|(at, _)| (9 - at) % 5 == rest).map(|(_, id)| id.clone()).collect()
        };
        assert_eq!(listed(&client, "").await, newest_first);
        assert_eq!(listed(&client, &format!("&script_id={script}")).await, every(0));
        assert_eq!(listed(&client, "&state=failed").await, every(1));
        let both = format!("&state=failed&script_id={script}");
        assert_eq!(listed(&client, &both).await, Vec::<String>::new());
        for (query, count) in
            [("", 10), ("?state=failed", 2), ("?state=succeeded", 8), ("?state=queued", 0)]
        {
            let answer = client.get(&format!("{ALL}/count{query}")).await.json(200);
            assert_eq!(answer["count"], count, "{query}");
        }
        // What nobody scheduled belongs to no job and no agent.
        for of in ["job_id", "agent_id"] {
            assert_eq!(listed(&client, &format!("&{of}={script}")).await, Vec::<String>::new());
            let answer = client.get(&format!("{ALL}/count?{of}={script}")).await.json(200);
            assert_eq!(answer["count"], 0, "{of}");
            client.get(&format!("{ALL}?{of}=x")).await.problem(422);
        }
        for bad in ["limit=0", "limit=x", "limit=-1", "state=done", "cursor=x", "script_id=x"] {
            client.get(&format!("{ALL}?{bad}")).await.problem(422);
        }
        client.get(&format!("{ALL}/count?state=done")).await.problem(422);
    });
}

#[test]
fn what_may_be_reached_is_checked_kept_and_shown() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let with =
            |network: Value| json!({ "language": "bash", "source": "true", "network": network });
        let bad = with(json!(["example.com:443", "https://example.com/", "example.com:0"]));
        let problem = client.post(ALL, bad).await.problem(422);
        let fields: Vec<_> =
            problem["errors"].as_array().unwrap().iter().map(|it| &it["field"]).collect();
        assert_eq!(fields, ["network.1", "network.2"], "{problem:#}");
        let long: Vec<_> = (0..65).map(|n| format!("h{n}.example.com:443")).collect();
        let problem = client.post(ALL, with(json!(long))).await.problem(422);
        assert_eq!(problem["errors"][0]["field"], "network", "{problem:#}");
        let path = format!("{ALL}?wait=60");
        let network = json!(["*.example.com:443", "[2001:db8::1]:80"]);
        let ended = client.post(&path, with(network.clone())).await.json(200);
        let path = format!("{ALL}/{}", ended["id"].as_str().unwrap());
        let shown = client.get(&path).await.json(200);
        assert_eq!((&shown["network"], &shown["limits"]["pids"]), (&network, &Value::Null));
        let rerun = client.post(&format!("{path}/rerun?wait=60"), json!({ "network": [] })).await;
        let path = format!("{ALL}/{}", rerun.json(200)["id"].as_str().unwrap());
        assert_eq!(client.get(&path).await.json(200)["network"], json!([]));
        let bad = client.post(&format!("{path}/rerun"), json!({ "network": ["x"] })).await;
        assert_eq!(bad.problem(422)["errors"][0]["field"], "network.0");
    });
}

#[test]
fn what_is_confined_is_told_and_holds() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let execution = client.run("cat /etc/shadow; ls /root; echo x >/usr/x; exit 7").await;
        assert_eq!((&execution["state"], &execution["exit_code"]), (&json!("failed"), &json!(7)));
        let output = execution["output"].as_str().unwrap();
        assert!(!output.contains("root:"), "{output}");
        let protections = execution["report"]["protections"].as_array().unwrap();
        assert!(protections.len() > 5, "{execution:#}");
        let body = json!({ "language": "bash", "source": "true", "network": { "allow": ["x:1"] } });
        // Nothing may be asked for that is not enforced.
        let answer = client.post(ALL, body).await;
        assert!(answer.status >= 400, "{}", answer.text());
        answer.problem(answer.status);
    });
}
