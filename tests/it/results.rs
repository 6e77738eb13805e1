//! What scripts leave: a result value, and files that are listed and downloaded.

use std::{fs, path::Path};

use automa_tests::{
    User,
    client::{Answer, Client, send},
    live::Events,
    server::Server,
};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::block_on;

const ALL: &str = "/api/v1/executions";

fn path_of(execution: &Value) -> String {
    format!("{ALL}/{}", execution["id"].as_str().unwrap())
}

async fn list(client: &Client, execution: &Value) -> Value {
    client.get(&format!("{}/artifacts", path_of(execution))).await.json(200)
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect()
}

async fn get(client: &Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = client.request(Method::GET, path);
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    send(request).await
}

/// The files of the data directory that hold artifacts.
fn kept(server: &Server) -> Vec<String> {
    let files = fs::read_dir(server.data().join("artifacts")).unwrap().flatten();
    let mut names: Vec<_> =
        files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn files_are_listed_and_downloaded_whole_and_in_parts() {
    for user in User::all() {
        block_on(async {
            let server = Server::start_as(user, &[("AUTOMA_RATE_LIMIT", "off")]);
            let client = server.set_up().await;
            let source = "cd $AUTOMA_OUT; mkdir -p a/b; seq 100000 >a/b/numbers.csv; \
                echo '<script>alert(1)</script>' >'page \"x\".html'; : >empty; \
                sha256sum a/b/numbers.csv 'page \"x\".html' empty | cut -c1-64";
            let execution = client.run(source).await;
            assert_eq!(execution["state"], "succeeded", "{execution:#}");
            let list = list(&client, &execution).await;
            assert_eq!(names(&list), ["a/b/numbers.csv", "empty", "page \"x\".html"]);
            assert_eq!((&list["left_out"], &list["complete"]), (&json!([]), &json!(true)));
            let hashes: Vec<_> = execution["output"].as_str().unwrap().lines().collect();
            for (item, hash) in list["items"].as_array().unwrap().iter().zip([0, 2, 1]) {
                assert_eq!(item["sha256"], hashes[hash], "{item:#}");
            }
            assert_eq!(list["items"][0]["media_type"], "text/csv");

            let whole: Vec<u8> =
                (1..=100_000).flat_map(|n| format!("{n}\n").into_bytes()).collect();
            let path = format!("{}/artifacts/1", path_of(&execution));
            let answer = client.get(&path).await;
            answer.is(200);
            assert!(answer.body == whole, "{} bytes", answer.body.len());
            let etag = format!("\"{}\"", hashes[0]);
            let length = whole.len().to_string();
            for (name, value) in [
                ("etag", etag.as_str()),
                ("content-length", &length),
                ("content-type", "application/octet-stream"),
                ("x-content-type-options", "nosniff"),
                ("accept-ranges", "bytes"),
                ("content-security-policy", "default-src 'none'; sandbox; frame-ancestors 'none'"),
            ] {
                assert_eq!(answer.header(name), value, "{name}");
            }
            let disposition = answer.header("content-disposition");
            assert!(
                disposition.starts_with("attachment; filename=\"numbers.csv\""),
                "{disposition}"
            );
            let head = send(client.request(Method::HEAD, &path)).await;
            assert_eq!((head.status, head.header("content-length")), (200, length.as_str()));

            let part = get(&client, &path, &[("range", "bytes=10-19")]).await;
            assert_eq!((part.status, &part.body[..]), (206, &whole[10..20]));
            assert_eq!(part.header("content-range"), format!("bytes 10-19/{length}"));
            let tail = get(&client, &path, &[("range", "bytes=-5"), ("if-range", &etag)]).await;
            assert_eq!((tail.status, &tail.body[..]), (206, &whole[whole.len() - 5..]));
            for headers in [
                &[("range", "bytes=1-2"), ("if-range", "\"other\"")][..],
                &[("range", "bytes=1-2, 5-6")],
                &[("range", "lines=1-2")],
            ] {
                let answer = get(&client, &path, headers).await;
                assert_eq!((answer.status, answer.body.len()), (200, whole.len()), "{headers:?}");
            }
            let beyond = get(&client, &path, &[("range", "bytes=999999999-")]).await;
            assert_eq!(
                (beyond.status, beyond.header("content-range")),
                (416, &*format!("bytes */{length}"))
            );
            let known = get(&client, &path, &[("if-none-match", &etag)]).await;
            assert_eq!((known.status, known.body.len()), (304, 0));
            let empty = client.get(&format!("{}/artifacts/2", path_of(&execution))).await;
            assert_eq!((empty.status, empty.body.len()), (200, 0));
            for missing in ["0", "4", "4294967295", "x", "-1"] {
                let path = format!("{}/artifacts/{missing}", path_of(&execution));
                client.get(&path).await.problem(404);
            }
            server.anonymous().get(&path).await.problem(401);
        });
    }
}

#[test]
fn what_a_hostile_script_leaves_is_harmless() {
    for user in User::all() {
        block_on(async {
            let server = Server::start_as(user, &[("AUTOMA_RATE_LIMIT", "off")]);
            let client = server.set_up().await;
            let source = "cd $AUTOMA_OUT; ln -s /etc/passwd link; ln -s / root; mkfifo pipe; \
                echo x >$'new\\nline'; echo y >'..%2f..%2fx'; mkdir -m 000 closed; \
                ln -s /etc/shadow $AUTOMA_RESULT; echo ok >fine; chmod 000 fine .";
            let execution = client.run(source).await;
            assert_eq!(execution["state"], "succeeded", "{execution:#}");
            let found = list(&client, &execution).await;
            assert_eq!(names(&found), ["..%2f..%2fx", "fine"], "{found:#}");
            let left_out: Vec<_> = found["left_out"].as_array().unwrap().iter().collect();
            assert_eq!((left_out.len(), &found["left_out_count"]), (4, &json!(4)), "{found:#}");
            assert_eq!(
                (&execution["result"], execution["result_error"].is_string()),
                (&Value::Null, true)
            );
            assert!(!execution.to_string().contains("root:"), "{execution:#}");
            assert_eq!(kept(&server), [format!("{}.1", execution["id"].as_str().unwrap())]);
            let fine = client.get(&format!("{}/artifacts/2", path_of(&execution))).await;
            assert_eq!(fine.text(), "ok\n");

            // Too many names, too many bytes.
            let execution =
                client.run("cd $AUTOMA_OUT; for n in {1000..2999}; do : >$n; done").await;
            let found = list(&client, &execution).await;
            assert_eq!((names(&found).len(), &found["left_out_count"]), (1000, &json!(1000)));
            assert_eq!(found["left_out"].as_array().unwrap().len(), 100);
            let body = json!({
                "language": "bash",
                "source": "cd $AUTOMA_OUT; for n in 1 2; do head -c 60M /dev/zero >$n; done; echo 3 >3",
                "limits": { "tmp_bytes": 200 << 20 },
            });
            let execution = client.post(&format!("{ALL}?wait=60"), body).await.json(200);
            let found = list(&client, &execution).await;
            assert_eq!(names(&found), ["1", "3"], "{found:#}");
            assert_eq!(found["left_out"][0]["reason"], "over the limit on bytes");
        });
    }
}

#[test]
fn a_result_is_json_or_it_is_said_why_not() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let script = "echo '{\"rows\": 3, \"names\": [\"ü\", null]}' >$AUTOMA_RESULT; exit 7";
        let execution = client.run(script).await;
        let value = json!({ "rows": 3, "names": ["ü", null] });
        assert_eq!((&execution["result"], &execution["exit_code"]), (&value, &json!(7)));
        assert!(execution.get("result_error").is_none(), "{execution:#}");
        assert_eq!(client.get(&path_of(&execution)).await.json(200)["result"], value);
        assert_eq!(names(&list(&client, &execution).await), [""; 0]);
        assert_eq!(kept(&server), [""; 0]);
        let path = format!("{}/log/stream", path_of(&execution));
        let mut events = Events::at(&client, &path, None).await;
        let end = loop {
            let event = events.next().await.expect("there is an end");
            if event.kind == "end" {
                break event.data;
            }
        };
        assert_eq!(end["result"], value);

        for (source, reason) in [
            ("echo '{' >$AUTOMA_RESULT", "the result is not JSON: EOF"),
            (": >$AUTOMA_RESULT", "the result is empty"),
            (
                "head -c 70000 /dev/zero | tr '\\0' 1 >$AUTOMA_RESULT",
                "the result has more than 64 KiB",
            ),
            ("mkdir $AUTOMA_RESULT", "the result could not be read"),
        ] {
            let execution = client.run(source).await;
            assert_eq!(
                (&execution["state"], &execution["result"]),
                (&json!("succeeded"), &Value::Null)
            );
            let told = execution["result_error"].as_str().unwrap_or_default();
            assert!(told.starts_with(reason), "{source}: {execution:#}");
        }
        // Python too, and the largest there may be.
        let source =
            "import json, os\njson.dump('x' * 65534, open(os.environ['AUTOMA_RESULT'], 'w'))";
        let body = json!({ "language": "python", "source": source });
        let execution = client.post(&format!("{ALL}?wait=60"), body).await.json(200);
        assert_eq!(execution["result"].as_str().map(str::len), Some(65534));
        let none = client.run("true").await;
        assert!(none["result"].is_null() && none.get("result_error").is_none(), "{none:#}");
    });
}

#[test]
fn what_was_left_outlives_the_server_and_what_was_not_recorded_does_not() {
    block_on(async {
        let mut server = Server::start();
        let client = server.set_up().await;
        let source = "echo 1 >$AUTOMA_RESULT; echo kept >$AUTOMA_OUT/file";
        let ended = client.run(source).await;
        let running = client.submit("echo begun; sleep 1000").await;
        client.logged(&running, "begun").await;
        server.end_by(Signal::SIGKILL);
        // As if it had been killed after the files were kept and before they were recorded.
        let orphan = server.data().join(format!("artifacts/{running}.1"));
        fs::copy(server.data().join("artifacts").join(&kept(&server)[0]), &orphan).unwrap();
        server.restart();
        let client = client.at(server.url());
        assert_eq!(client.ended(&running).await["state"], "lost");
        assert!(!Path::new(&orphan).exists(), "{:?}", kept(&server));
        assert_eq!(client.get(&path_of(&ended)).await.json(200)["result"], 1);
        let file = client.get(&format!("{}/artifacts/1", path_of(&ended))).await;
        assert_eq!(file.text(), "kept\n");
        assert_eq!(names(&list(&client, &json!({ "id": running })).await), [""; 0]);
        // A file that is gone is the server's fault, and told as such.
        fs::remove_file(server.data().join("artifacts").join(&kept(&server)[0])).unwrap();
        client.get(&format!("{}/artifacts/1", path_of(&ended))).await.problem(500);
    });
}

/// What is shown is what the last attempt has left.
#[test]
fn each_attempt_takes_the_place_of_the_one_before() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let body = |source: &str, backoff: u64| {
            let retry =
                json!({ "attempts": 3, "backoff_ms": backoff, "max_backoff_ms": 86_400_000 });
            json!({ "language": "bash", "source": source, "retry": retry })
        };
        let source = "date +%N >$AUTOMA_OUT/at; cp $AUTOMA_OUT/at $AUTOMA_OUT/again; \
            echo \\\"$(<$AUTOMA_OUT/at)\\\" >$AUTOMA_RESULT; cat $AUTOMA_OUT/at; exit 1";
        let execution = client.post(&format!("{ALL}?wait=60"), body(source, 0)).await.json(200);
        assert_eq!((&execution["state"], &execution["attempt"]), (&json!("failed"), &json!(3)));
        assert_eq!(names(&list(&client, &execution).await), ["again", "at"]);
        let at = client.get(&format!("{}/artifacts/2", path_of(&execution))).await.text();
        assert_eq!(execution["output"], at);
        assert_eq!(execution["result"].as_str(), Some(at.trim_end()));
        let id = execution["id"].as_str().unwrap();
        assert_eq!(kept(&server), [format!("{id}.3")]);
        // Of one that waits for its next attempt, what the last one left is there.
        let waiting = client.post(ALL, body(source, 86_400_000)).await.json(202);
        let id = waiting["id"].as_str().unwrap();
        let waiting = client.execution(id, |it| it["attempt"] == 2).await;
        assert_eq!((&waiting["state"], waiting["result"].is_string()), (&json!("queued"), true));
        assert_eq!(names(&list(&client, &waiting).await), ["again", "at"]);
    });
}

/// Whenever the server dies: what is listed is whole, and nothing is kept that is not listed.
#[test]
fn kill_nine_leaves_no_file_without_a_record_and_no_record_without_its_file() {
    block_on(async {
        let mut server = Server::start();
        let mut client = server.set_up().await;
        let source = "head -c 3M /dev/urandom >$AUTOMA_OUT/large; echo small >$AUTOMA_OUT/small";
        let mut ids = Vec::new();
        for _ in 0..5 {
            for _ in 0..6 {
                ids.push(client.submit(source).await);
            }
            // It dies while one of them is at its end, and others have not begun.
            client.ended(&ids[ids.len() - 6]).await;
            server.end_by(Signal::SIGKILL);
            server.restart();
            client = client.at(server.url());
        }
        let mut left = Vec::new();
        for id in &ids {
            let ended = client.ended(id).await;
            let found = list(&client, &ended).await;
            let items = found["items"].as_array().unwrap();
            assert_eq!(items.len(), if ended["state"] == "succeeded" { 2 } else { 0 }, "{ended:#}");
            for item in items {
                let path = format!("{}/artifacts/{}", path_of(&ended), item["number"]);
                let answer = client.get(&path).await;
                let sha256 = hex(&Sha256::digest(&answer.body));
                assert_eq!(item["sha256"], sha256, "{path}");
            }
            left.extend((!items.is_empty()).then(|| format!("{id}.1")));
        }
        left.sort();
        assert_eq!(kept(&server), left);
        assert!(left.len() >= 5, "some have ended in peace");
    });
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|it| char::from(b"0123456789abcdef"[usize::from(it)]))
        .collect()
}
