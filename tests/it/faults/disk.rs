//! A disk that is full, and files that cannot be written.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
};

use automa_tests::{
    client::{Client, texts},
    host::{DEADLINE, PAUSE},
    server::Server,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::block_on;

/// Size of the file system in MiB: more than what a server wants to be free at least.
const DISK: u64 = 600;

/// Everything that is free on a server's disk; given back when dropped.
struct Filler(PathBuf);

impl Filler {
    fn new(server: &Server) -> Self {
        let filler = Self(server.data_within().join("filler"));
        let mut file = File::create(&filler.0).unwrap();
        let zeros = vec![0; 1 << 20];
        // To the last page.
        for size in [1 << 20, 4 << 10] {
            while file.write_all(&zeros[..size]).is_ok() {}
        }
        filler
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn code(source: &str) -> Value {
    json!({ "language": "bash", "source": source })
}

/// Submits until that is answered by this kind of status: the answer.
async fn submitted(client: &Client, refused: bool) -> automa_tests::client::Answer {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let answer = client.post("/api/v1/executions", code("echo more")).await;
        if (answer.status >= 400) == refused {
            return answer;
        }
        assert!(Instant::now() < deadline, "it stays so: {}", answer.text());
        sleep(PAUSE).await;
    }
}

#[test]
fn a_full_disk_refuses_what_is_new_and_harms_nothing() {
    let server = Server::start_on_disk_of(DISK);
    block_on(async {
        let client = server.set_up().await;
        let before = client.run("echo before").await;
        let before = format!("/api/v1/executions/{}", before["id"].as_str().unwrap());
        // One writes until it cannot, one ends while nothing can be recorded.
        let writing = "echo begun; for ((i = 0; ; i++)) { printf '%01000d\\n' $i; sleep 0.001; }";
        let writing = client.submit(writing).await;
        client.logged(&writing, "begun").await;
        let ending = client.submit("echo begun; sleep 1; exit 3").await;
        client.logged(&ending, "begun").await;

        let filler = Filler::new(&server);
        let problem = submitted(&client, true).await;
        assert!([503, 507].contains(&problem.status), "{}", problem.text());
        let problem = problem.problem(problem.status);
        assert!(problem["detail"].as_str().unwrap().contains("disk"), "{problem:#}");
        // What is there can be read all the time.
        for _ in 0..50 {
            let listed = client.get("/api/v1/executions").await.json(200);
            assert!(listed["items"].as_array().unwrap().len() >= 3, "{listed:#}");
            assert_eq!(client.get(&before).await.json(200)["state"], "succeeded");
            assert_eq!(texts(&client.get(&format!("{before}/log")).await.json(200)), ["before"]);
            sleep(PAUSE).await;
        }

        drop(filler);
        let accepted = submitted(&client, false).await.json(202);
        let accepted = client.ended(accepted["id"].as_str().unwrap()).await;
        assert_eq!(accepted["state"], "succeeded", "{accepted:#}");
        assert_eq!(client.run("echo after").await["output"], "after\n");
        // What happened meanwhile is told as it was.
        let ended = client.ended(&ending).await;
        assert_eq!(
            (&ended["state"], &ended["exit_code"]),
            (&json!("failed"), &json!(3)),
            "{ended:#}"
        );
        let log = client.get(&format!("/api/v1/executions/{ending}/log")).await.json(200);
        assert_eq!((texts(&log), &log["complete"]), (vec!["begun"], &json!(true)));
        let stopped = client.ended(&writing).await;
        assert_eq!(stopped["state"], "failed", "{stopped:#}");
        let cause = stopped["cause"].as_str().unwrap();
        assert!(cause.contains("its log could not be written: no space left"), "{cause}");
        let log =
            client.get(&format!("/api/v1/executions/{writing}/log?limit=500")).await.json(200);
        assert_eq!(log["complete"], true);
        let lines = texts(&log);
        assert_eq!(lines[0], "begun");
        for (number, line) in lines[1..].iter().enumerate() {
            assert_eq!(*line, format!("{number:01000}"));
        }
    });
}
