//! A long history, made up by `automa bench-seed`, through a real server.

use automa_tests::{
    client::{Client, send},
    running::Running,
    server::Server,
};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::block_on;

/// A server with a history of so many executions.
fn server_with(rows: u64) -> (Server, Client) {
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

/// Whether an execution is what a filter asks for.
type Condition<'a> = Box<dyn Fn(&Value) -> bool + 'a>;

/// All pages of a list with these filters.
async fn listed(client: &Client, filters: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut path = format!("/api/v1/executions?limit=200&{filters}");
    loop {
        let mut page = client.get(&path).await.json(200);
        items.append(page["items"].as_array_mut().unwrap());
        let Some(cursor) = page["next_cursor"].as_str() else { return items };
        path = format!("/api/v1/executions?limit=200&{filters}&cursor={cursor}");
    }
}

#[test]
fn a_history_is_filtered_by_all_that_is_asked_for() {
    let (_server, client) = server_with(2000);
    block_on(async {
        let all = listed(&client, "").await;
        assert_eq!(all.len(), 2000);
        let (from, until) = (&all[1500]["created_at"], &all[300]["created_at"]);
        let (from, until) = (from.as_str().unwrap(), until.as_str().unwrap());
        let script = all.iter().find(|it| !it["script_id"].is_null()).unwrap()["script_id"].clone();
        let of_script = format!("script_id={}", script.as_str().unwrap());
        let between = format!("created_from={from}&created_until={until}");
        // RFC 3339 times are compared as text, once they are of one length; they are of one zone.
        let millis = |time: &str| {
            let time = time.trim_end_matches('Z');
            let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
            format!("{seconds}.{fraction:0<3.3}")
        };
        let conditions: [(&str, Condition); 5] = [
            (
                "state=failed&state=timed_out",
                Box::new(|it| it["state"] == "failed" || it["state"] == "timed_out"),
            ),
            (&of_script, Box::new(|it| it["script_id"] == script)),
            ("requested_by=ada", Box::new(|it| it["requested_by"] == "ada")),
            ("min_wall_ms=2500", Box::new(|it| it["wall_ms"].as_u64() >= Some(2500))),
            (
                &between,
                Box::new(|it| {
                    let at = millis(it["created_at"].as_str().unwrap());
                    at >= millis(from) && at < millis(until)
                }),
            ),
        ];
        for chosen in 0..1 << conditions.len() {
            let chosen: Vec<_> = (0..conditions.len())
                .filter(|n| chosen & (1 << n) != 0)
                .map(|n| &conditions[n])
                .collect();
            let query: Vec<_> = chosen.iter().map(|(query, _)| *query).collect();
            let query = query.join("&");
            let expected: Vec<_> = all
                .iter()
                .filter(|it| chosen.iter().all(|(_, holds)| holds(it)))
                .cloned()
                .collect();
            assert_eq!(listed(&client, &query).await, expected, "{query}");
            let count = client.get(&format!("/api/v1/executions/count?{query}")).await.json(200);
            assert_eq!(count, json!({ "count": expected.len(), "is_exact": true }), "{query}");
        }
        for wrong in ["state=odd", "created_from=today", "min_wall_ms=-1", "script_id=1"] {
            for path in ["executions", "executions/count"] {
                client.get(&format!("/api/v1/{path}?{wrong}")).await.problem(422);
            }
        }
    });
}

#[test]
fn the_filters_of_the_page_are_in_its_address_and_can_be_taken_away() {
    let (server, client) = server_with(300);
    block_on(async {
        let cookie = format!("automa_access={}", client.token());
        let browser = server.anonymous();
        let get = async |path: &str| {
            send(browser.request(Method::GET, path).header("cookie", &cookie)).await
        };
        let page = async |path: &str| get(path).await.is(200).text();
        // A form sends everything, and is led to what counts.
        let path = "/executions?state=failed&script=&by=ada&from=&until=&took=1s";
        let led = get(path).await;
        led.is(303);
        let kept = "/executions?state=failed&by=ada&took=1s";
        assert_eq!(led.header("location"), kept);
        let shown = page(kept).await;
        for without in [
            "href=\"/executions?by=ada&#38;took=1s\"",
            "href=\"/executions?state=failed&#38;took=1s\"",
            "href=\"/executions?state=failed&#38;by=ada\"",
            "href=\"/executions?state=failed&#38;state=lost&#38;by=ada&#38;took=1s\"",
        ] {
            assert!(shown.contains(without), "{without}: {shown}");
        }
        let nothing = page("/executions?by=nobody&took=1s").await;
        assert!(nothing.contains("Started by: nobody"), "{nothing}");
        assert!(!nothing.contains("Took: "), "there would be nothing either: {nothing}");
        for wrong in ["state=odd", "from=yesterday", "took=long", "script=1"] {
            get(&format!("/executions?{wrong}")).await.is(400);
        }
    });
}
