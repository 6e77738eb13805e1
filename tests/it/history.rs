//! A long history, made up by `automa bench-seed`, through a real server.

use automa_tests::{running::Running, server::Server};
use nix::sys::signal::Signal;

use crate::block_on;

/// A server with a history of so many executions.
fn server_with(rows: u64) -> (Server, automa_tests::client::Client) {
    let mut server = Server::start();
    let client = block_on(server.set_up());
    let _ = server.end_by(Signal::SIGTERM);
    let rows = rows.to_string();
    let mut seed = server.command(&["bench-seed", "--rows", &rows]);
    let seeded = Running::start(&mut seed, None).end();
    assert_eq!((seeded.code, seeded.stdout.as_str()), (0, ""), "{}", seeded.stderr);
    assert!(seeded.stderr.contains(&format!("{rows} of {rows} executions")), "{}", seeded.stderr);
    server.restart();
    let client = client.at(server.url());
    (server, client)
}

#[test]
fn a_made_up_history_is_listed_counted_and_shown() {
    let (server, client) = server_with(500);
    let refused = Running::start(&mut server.command(&["bench-seed", "--rows", "1"]), None).end();
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("is open in another process"), "{}", refused.stderr);
    block_on(async {
        let count = client.get("/api/v1/executions/count").await.json(200);
        assert_eq!(count["count"], 500);
        let newest = client.get("/api/v1/executions?limit=1").await.json(200);
        let id = newest["items"][0]["id"].as_str().unwrap();
        let execution = client.get(&format!("/api/v1/executions/{id}")).await.json(200);
        assert!(execution["report"]["protections"].is_array(), "{execution:#}");
        let log = client.get(&format!("/api/v1/executions/{id}/log")).await.json(200);
        assert_eq!(
            (&log["complete"], &log["lines"][0]["text"]),
            (&true.into(), &"all is well".into())
        );
        // What is new comes before it.
        let new = client.run("echo new").await;
        let newest = client.get("/api/v1/executions?limit=1").await.json(200);
        assert_eq!(newest["items"][0]["id"], new["id"]);
    });
}
