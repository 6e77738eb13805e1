//! What was accepted survives: a crash, an orderly end, a second server on the same data.

use automa_tests::{
    User,
    client::texts,
    host::{descendants, eventually, groups_of, marked, unique},
    live::{Events, Socket},
    running::Running,
    server::Server,
};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::block_on;

#[test]
fn kill_nine_leaves_nothing_alive_and_loses_nothing() {
    for user in User::all() {
        let mut server = Server::start_as(user, &[("AUTOMA_RATE_LIMIT", "off")]);
        let marker = unique("mid-run");
        let script = format!(
            "echo begun; (exec -a {marker} sleep 1000) & \
             for i in {{1..500}}; do echo \"line $i\"; done; echo ready; wait"
        );
        let (client, running, waiting) = block_on(async {
            let client = server.set_up().await;
            let running = client.submit(&script).await;
            client.logged(&running, "ready").await;
            let mut waiting = Vec::new();
            for _ in 0..64 {
                waiting.push(client.submit("echo ran").await);
            }
            (client, running, waiting)
        });
        eventually("the script's process is there", || !marked(&marker).is_empty());
        let pid = server.process().pid();
        let below = descendants(pid);
        server.end_by(Signal::SIGKILL);
        eventually("all processes are gone", || {
            marked(&marker).is_empty() && !below.iter().any(automa_tests::host::Process::is_alive)
        });
        server.restart();
        block_on(async {
            // A session outlives the server too.
            let client = client.at(server.url());
            let lost = client.get(&format!("/api/v1/executions/{running}")).await.json(200);
            assert_eq!(lost["state"], "lost", "{lost:#}");
            assert_eq!(lost["cause"], "the script was lost: Automa ended while it ran");
            assert!(!lost["finished_at"].is_null(), "{lost:#}");
            let path = format!("/api/v1/executions/{running}/log?limit=1000");
            let log = client.get(&path).await.json(200);
            let lines = texts(&log);
            assert_eq!((lines.len(), lines[0], lines[501]), (502, "begun", "ready"));
            assert_eq!(log["complete"], true);
            for id in &waiting {
                let ended = client.ended(id).await;
                // What ran at that moment is lost as well; what waited has run now.
                assert!(["succeeded", "lost"].contains(&ended["state"].as_str().unwrap()));
            }
            let newest = client.ended(waiting.last().unwrap()).await;
            assert_eq!(newest["state"], "succeeded", "{newest:#}");
            assert_eq!(client.run("echo again").await["output"], "again\n");
        });
        assert_eq!(groups_of(pid), Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn every_acknowledged_submission_is_there_after_kill_nine() {
    let mut server = Server::start();
    let (client, accepted) = block_on(async {
        let client = server.set_up().await;
        // Submitted by many at once, and killed in the midst of it.
        let accepted = std::sync::Mutex::new(Vec::new());
        let submitting = (0..16).map(|_| async {
            let body = json!({ "language": "bash", "source": "true" });
            let url = format!("{}/api/v1/executions", server.url());
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            while let Ok(answer) =
                http.post(&url).bearer_auth(client.token()).json(&body).send().await
            {
                let Ok(execution) = answer.json::<serde_json::Value>().await else { return };
                let mut accepted = accepted.lock().unwrap();
                accepted.push(execution["id"].as_str().unwrap().to_owned());
                if accepted.len() == 200 {
                    server.process().signal(Signal::SIGKILL);
                }
            }
        });
        futures_util::future::join_all(submitting).await;
        (client, accepted.into_inner().unwrap())
    });
    assert!(accepted.len() >= 200);
    assert_eq!(server.end().code, -1);
    server.restart();
    block_on(async {
        let client = client.at(server.url());
        for id in &accepted {
            let ended = client.ended(id).await;
            assert!(["succeeded", "lost"].contains(&ended["state"].as_str().unwrap()), "{ended:#}");
        }
        let count = client.get("/api/v1/executions/count").await.json(200);
        assert!(count["count"].as_u64().unwrap() >= accepted.len() as u64);
    });
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let server = Server::start();
    let second = Running::start(&mut server.serve_command(), None).end();
    assert!(second.code > 0, "{second:#?}");
    assert_eq!(second.stdout, "");
    let said = &second.stderr;
    assert!(said.contains("another process") && said.contains("data"), "{said}");
    assert!(said.lines().count() <= 2, "a sentence, not a trace: {said}");
    block_on(async {
        let client = server.set_up().await;
        assert_eq!(client.run("echo fine").await["output"], "fine\n");
    });
}

#[test]
fn an_address_in_use_or_impossible_is_a_clear_refusal() {
    let first = Server::start();
    let address = first.url().strip_prefix("http://").unwrap();
    for (listen, named) in [(address, address), ("nonsense", "nonsense")] {
        let other = automa_tests::public_dir();
        let mut command = automa_tests::command(User::all()[0]);
        command.args(["serve", "--listen", listen, "--data"]).arg(other.path().join("data"));
        let refused = Running::start(&mut command, None).end();
        assert!(refused.code > 0, "{refused:#?}");
        assert!(refused.stderr.contains(named), "{refused:#?}");
    }
}

/// Waits until the server has heard a signal: it takes no new connections any more.
fn heard(server: &Server) {
    let address = server.url().strip_prefix("http://").unwrap();
    eventually("the server stops listening", || std::net::TcpStream::connect(address).is_err());
}

#[test]
fn an_orderly_end_says_goodbye_to_those_who_watch() {
    let mut server = Server::start();
    let pid = server.process().pid();
    let (client, running) = block_on(async {
        let client = server.set_up().await;
        let running = client.submit("echo begun; sleep 3; echo done").await;
        client.logged(&running, "begun").await;
        let mut events = Events::follow(&client, &running, None).await;
        let mut socket = Socket::follow(&client, &running).await;
        server.process().signal(Signal::SIGTERM);
        // Both streams end by themselves.
        while events.next().await.is_some() {}
        while socket.next().await.is_some() {}
        (client, running)
    });
    let ended = server.end();
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert!(descendants(pid).is_empty());
    server.restart();
    block_on(async {
        let client = client.at(server.url());
        // What ran was let end.
        let after = client.ended(&running).await;
        assert_eq!(after["state"], "succeeded", "{after:#}");
        let log = client.get(&format!("/api/v1/executions/{running}/log")).await.json(200);
        assert_eq!(texts(&log), ["begun", "done"]);
    });
}

/// Variables of a server that lets what runs go on for as long as this after the first signal.
fn with_grace(grace: &'static str) -> [(&'static str, &'static str); 2] {
    [("AUTOMA_RATE_LIMIT", "off"), ("AUTOMA_GRACE", grace)]
}

#[test]
fn what_outlasts_the_grace_is_cancelled_and_recorded() {
    for user in User::all() {
        let mut server = Server::start_as(user, &with_grace("1s"));
        let pid = server.process().pid();
        let (client, running) = block_on(async {
            let client = server.set_up().await;
            let running = client.submit("echo begun; sleep 600; echo never").await;
            client.logged(&running, "begun").await;
            (client, running)
        });
        let ended = server.end_by(Signal::SIGTERM);
        assert_eq!(ended.code, 0, "{ended:#?}");
        assert!(descendants(pid).is_empty());
        server.restart();
        block_on(async {
            let client = client.at(server.url());
            let path = format!("/api/v1/executions/{running}");
            let after = client.get(&path).await.json(200);
            assert_eq!(after["state"], "cancelled", "{after:#}");
            assert_eq!(after["report"]["outcome"]["kind"], "cancelled", "{after:#}");
            let log = client.get(&format!("{path}/log")).await.json(200);
            assert_eq!((texts(&log), &log["complete"]), (vec!["begun"], &json!(true)));
        });
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = Server::start_as(User::all()[0], &with_grace("1h"));
    let pid = server.process().pid();
    let (client, running) = block_on(async {
        let client = server.set_up().await;
        let running = client.submit("trap '' TERM; echo begun; sleep 1000").await;
        client.logged(&running, "begun").await;
        (client, running)
    });
    server.process().signal(Signal::SIGTERM);
    heard(&server);
    server.process().signal(Signal::SIGTERM);
    let _ = server.end();
    eventually("nothing is left", || descendants(pid).is_empty());
    server.restart();
    block_on(async {
        let client = client.at(server.url());
        let path = format!("/api/v1/executions/{running}");
        let after = client.get(&path).await.json(200);
        assert_eq!(after["state"], "lost", "{after:#}");
        let log = client.get(&format!("{path}/log")).await.json(200);
        assert_eq!((texts(&log), &log["complete"]), (vec!["begun"], &json!(true)));
    });
}
