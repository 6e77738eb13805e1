//! The pages, in a real browser.

use std::panic::AssertUnwindSafe;

use automa_core::credential::Kind;
use automa_tests::{
    User,
    browser::{Browser, Scheme},
    client::{Client, PASSWORD, send},
    server::Server,
};
use futures_util::FutureExt;
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;

use crate::{block_on, secrets};

/// The checks of pages can fail.
#[test]
fn the_browser_sees_what_is_wrong() {
    block_on(async {
        let browser = Browser::open().await;
        browser.view(390, Scheme::Dark).await;
        let page = "data:text/html,<title>x</title><p style='width:500px;color:%23999'>faint</p>\
            <script>console.error('wrong')</script>";
        browser.goto(page).await;
        browser.shows("p", "faint").await;
        let fits = AssertUnwindSafe(browser.assert_fits("x")).catch_unwind().await;
        assert!(fits.is_err(), "500 pixels do not fit into 390");
        let accessible = AssertUnwindSafe(browser.assert_accessible("x")).catch_unwind().await;
        assert!(accessible.is_err(), "such a text cannot be read");
        let quiet = AssertUnwindSafe(browser.assert_quiet("x")).catch_unwind().await;
        assert!(quiet.is_err(), "the page has complained");
        browser.assert_quiet("x").await;
    });
}

/// What a newcomer does in the first minute.
#[test]
fn from_the_setup_link_to_the_report() {
    block_on(async {
        let server = Server::start();
        let browser = Browser::open().await;
        browser.view(1280, Scheme::Light).await;
        browser.goto(server.setup_link()).await;
        browser.fill("#username", "admin").await;
        browser.fill("#email", "admin@example.com").await;
        browser.fill("#password", PASSWORD).await;
        browser.click("form[action='/setup'] button").await;

        browser.shows("h1", "Welcome").await;
        assert_eq!(browser.path().await, "/");
        let script = browser.find("textarea[name=source]").await.prop("value").await.unwrap();
        assert!(script.is_some_and(|script| script.contains("echo")), "a script is there already");
        browser.click("form[action='/run'] button").await;

        browser.shows("#log", "Done.").await;
        browser.shows("#outcome", "Succeeded").await;
        browser.shows("#protections", "enforced").await;
        assert!(browser.path().await.starts_with("/executions/"));
        browser.assert_quiet("the first minute").await;
    });
}

#[test]
fn lines_appear_and_the_outcome_changes_while_one_looks() {
    block_on(async {
        let server = Server::start();
        let browser = signed_in(&server).await;
        browser.goto(&format!("{}/run", server.url())).await;
        browser.fill("#source", "while sleep 0.1; do echo \"tick $((++i))\"; done").await;
        browser.click("main form button[type=submit]").await;
        browser.shows("#log", "tick 1").await;
        browser.evaluate("window.isFirst = true").await;
        let lines = "return document.querySelectorAll('#log .n').length";
        let before = browser.evaluate(lines).await.as_u64().unwrap();
        browser.shows("#log", &format!("tick {}", before + 3)).await;
        assert_eq!(browser.evaluate("return window.isFirst").await, true, "nothing was reloaded");
        // What it uses is drawn while it runs.
        browser.shows("#usage", "Processors").await;
        browser.click("#actions button").await;
        browser.shows("#outcome", "Cancelled").await;
        browser.shows("#log", "End of log").await;
        browser.assert_quiet("a live log").await;
    });
}

/// The result and the files come with the end, as text, and are saved rather than shown.
#[test]
fn what_a_script_leaves_appears_at_its_end() {
    block_on(async {
        let server = Server::start();
        let browser = signed_in(&server).await;
        browser.goto(&format!("{}/run", server.url())).await;
        let source = "cd $AUTOMA_OUT; echo '<script>alert(1)</script>' >'<img src=x>.html'; \
            echo '{\"sum\": \"<b>42</b>\"}' >$AUTOMA_RESULT; echo begun; sleep 1";
        browser.fill("#source", source).await;
        browser.click("main form button[type=submit]").await;
        browser.shows("#log", "begun").await;
        browser.evaluate("window.isFirst = true").await;
        browser.shows("#results", "\"sum\": \"<b>42</b>\"").await;
        browser.shows("#results", "<img src=x>.html").await;
        assert_eq!(browser.evaluate("return window.isFirst").await, true, "nothing was reloaded");
        let download = "const link = document.querySelector('#results a[download]');
            return fetch(link.href).then(async (answer) => [answer.status,
                answer.headers.get('content-disposition').split(';')[0],
                answer.headers.get('content-type'), await answer.text()])";
        let saved = browser.evaluate(download).await;
        let content = "<script>alert(1)</script>\n";
        assert_eq!(saved, json!([200, "attachment", "application/octet-stream", content]));
        browser.assert_quiet("what a script leaves").await;
    });
}

/// Output that would be markup, or a terminal's commands, is text.
#[test]
fn what_scripts_print_is_only_text() {
    block_on(async {
        let server = Server::start();
        let browser = signed_in(&server).await;
        let client = server.anonymous().sign_in("admin").await;
        let source = "echo '<img src=x onerror=alert(1)><script>alert(2)</script>'; \
            printf '\\033]0;title\\a\\033[31mred\\033[0m \\033[2J\\n'; echo '{{ 1 }} &amp;'";
        let execution = client.run(source).await;
        let id = execution["id"].as_str().unwrap();
        browser.goto(&format!("{}/executions/{id}", server.url())).await;
        browser.shows("#log", "<img src=x onerror=alert(1)><script>alert(2)</script>").await;
        browser.shows("#log", "{{ 1 }} &amp;").await;
        browser.shows("#log", "red").await;
        assert_eq!(
            browser.evaluate("return document.querySelectorAll('#log img').length").await,
            0
        );
        browser.assert_quiet("hostile output").await;
    });
}

/// A browser in which the first admin has just been made.
pub(crate) async fn signed_in(server: &Server) -> Browser {
    server.set_up().await;
    let browser = Browser::open().await;
    browser.view(1280, Scheme::Light).await;
    browser.goto(&format!("{}/sign-in", server.url())).await;
    sign_in(&browser).await;
    browser
}

pub(crate) async fn sign_in(browser: &Browser) {
    browser.fill("#username", "admin").await;
    browser.fill("#password", PASSWORD).await;
    browser.click("form[action='/sign-in'] button").await;
    browser.find("nav[aria-label=Main]").await;
}

/// Every size and colour that pages are made for.
const VIEWS: [(u32, Scheme); 4] =
    [(1280, Scheme::Light), (1280, Scheme::Dark), (390, Scheme::Light), (390, Scheme::Dark)];

/// Looks at a page in every way, and hears what it says to the console.
pub(crate) async fn look(browser: &Browser, url: &str, name: &str) {
    view(browser, url, name).await;
    browser.assert_quiet(name).await;
}

async fn view(browser: &Browser, url: &str, name: &str) {
    for (width, scheme) in VIEWS {
        browser.view(width, scheme).await;
        browser.goto(url).await;
        let page = format!("{name}-{width}-{}", scheme.name());
        browser.screenshot(&page).await;
        browser.assert_fits(&page).await;
        browser.assert_accessible(&page).await;
    }
}

/// Something of everything that pages show; the ids of a script and of executions: one
/// that succeeded, one that failed, one that runs, one that reached for the network, one that left a result
/// and files, and one with a long log.
async fn fill(client: &Client) -> (String, [String; 6]) {
    let body = json!({
        "name": "Weekly report with a name that is long enough to be cut somewhere",
        "language": "python",
        "source": "import os\n\nfor week in range(int(os.environ['weeks'])):\n    print('week', week)\n",
        "description": "Sums up the week.",
        "tags": ["report", "weekly"],
        "parameters_schema": {
            "type": "object",
            "properties": { "weeks": { "type": "integer", "default": 3, "description": "How many" } },
        },
    });
    let script = client.post("/api/v1/scripts", body).await.json(201);
    let body = json!({ "script_id": script["id"], "parameters": { "weeks": 3 } });
    let succeeded = client.post("/api/v1/executions?wait=60", body).await.json(200);
    let failed = client.run("echo working; echo 'cannot go on' >&2; exit 3").await;
    let long =
        "for i in {1..3000}; do echo \"line $i of a log that is long $(printf %0200d $i)\"; done";
    let long = client.run(long).await;
    let body = json!({
        "language": "bash",
        "source": "exec 2>/dev/null; for host in a.example.com other.example 192.0.2.1; do \
            (exec 3<>/dev/tcp/$host/443); done; until ((SECONDS > 1)); do :; done",
        "network": ["*.example.com:443", "192.0.2.2:443"],
    });
    let reaching = client.post("/api/v1/executions?wait=60", body).await.json(200);
    let source = "mkdir $AUTOMA_OUT/reports; cd $AUTOMA_OUT; seq 10000 >reports/numbers.csv; \
        echo x >'a name that is long, so that it does not fit into one line of a telephone.txt'; \
        ln -s / root; echo '{\"rows\": 10000, \"names\": [\"a\", \"b\"]}' >$AUTOMA_RESULT";
    let leaving = client.run(source).await;
    let running = client.submit("echo begun; sleep 1000").await;
    client.logged(&running, "begun").await;
    let id = |value: &serde_json::Value| value["id"].as_str().unwrap().to_owned();
    let ids = [&succeeded, &failed, &reaching, &leaving].map(id);
    let [succeeded, failed, reaching, leaving] = ids;
    (id(&script), [succeeded, failed, reaching, leaving, running, id(&long)])
}

/// What waits, ends or is tried again, and a script with rules for that: paths and names.
async fn turns(client: &Client) -> [(String, &'static str); 6] {
    let forever = "trap '' TERM; echo begun; while :; do sleep 1; done";
    let body = json!({
        "name": "turns", "language": "bash", "source": forever, "priority": 5,
        "concurrency": { "limit": 1, "key": "region", "on_conflict": "queue" },
        "retry": { "attempts": 3 },
    });
    let script = client.post("/api/v1/scripts", body).await.json(201);
    let body = json!({ "script_id": script["id"] });
    let ending = client.post("/api/v1/executions", body.clone()).await.json(202);
    let waiting = client.post("/api/v1/executions", body).await.json(202);
    let id = |value: &serde_json::Value| value["id"].as_str().unwrap().to_owned();
    client.logged(&id(&ending), "begun").await;
    let cancel = format!("/api/v1/executions/{}/cancel?grace_ms=600000", id(&ending));
    client.post_nothing(&cancel).await.is(200);
    let failing = async |backoff: u64| {
        let retry = json!({ "attempts": 2, "backoff_ms": backoff, "max_backoff_ms": backoff });
        let source = "echo trying; echo 'cannot go on' >&2; exit 3";
        let body = json!({ "language": "bash", "source": source, "retry": retry });
        id(&client.post("/api/v1/executions", body).await.json(202))
    };
    let (failed, again) = (failing(0).await, failing(86_400_000).await);
    client.ended(&failed).await;
    client.execution(&again, |it| it["attempt"] == 2).await;
    [
        (format!("/scripts/{}/edit", id(&script)), "script-turns"),
        (format!("/executions/{}", id(&waiting)), "execution-waiting"),
        (format!("/executions/{}", id(&ending)), "execution-ending"),
        (format!("/executions/{failed}"), "execution-retried"),
        (format!("/executions/{failed}?attempt=1"), "execution-attempt"),
        (format!("/executions/{again}"), "execution-again"),
    ]
}

#[test]
fn a_page_goes_on_with_the_next_attempt() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let browser = Browser::open().await;
        browser.goto(&format!("{}/sign-in", server.url())).await;
        sign_in(&browser).await;
        let retry = json!({ "attempts": 2, "backoff_ms": 500, "jitter": false });
        let source = "date +%N; sleep 2; exit 3";
        let body = json!({ "language": "bash", "source": source, "retry": retry });
        let execution = client.post("/api/v1/executions", body).await.json(202);
        let id = execution["id"].as_str().unwrap();
        browser.goto(&format!("{}/executions/{id}", server.url())).await;
        browser.shows("#outcome", "attempt 1 of 2").await;
        client.ended(id).await;
        browser.shows("#outcome", "attempt 2 of 2").await;
        // It was loaded anew, with the log of that.
        let log = client.get(&format!("/api/v1/executions/{id}/log?attempt=2")).await.json(200);
        browser.shows("#log", log["lines"][0]["text"].as_str().unwrap()).await;
        browser.shows("#facts", "Attempt 1").await;
        browser.shows("#outcome", "Failed").await;
        browser.assert_quiet("attempts").await;
    });
}

#[test]
fn every_page_about_turns_can_be_used_by_everybody() {
    block_on(async {
        let variables = [("AUTOMA_RATE_LIMIT", "off"), ("AUTOMA_SLOTS", "4")];
        let server = Server::start_as(User::all()[0], &variables);
        let client = server.set_up().await;
        let browser = Browser::open().await;
        browser.goto(&format!("{}/sign-in", server.url())).await;
        sign_in(&browser).await;
        for (path, name) in turns(&client).await {
            look(&browser, &format!("{}{path}", server.url()), name).await;
        }
    });
}

/// Scripts in the ways in which one may find them: paths and names.
async fn scripts(client: &Client) -> Vec<(String, &'static str)> {
    let long = "# pg_dump of everything that has a name which is much too long for one line of a telephone\n";
    let body = json!({
        "name": "warehouse backup", "language": "bash", "source": format!("echo one\n{long}"),
        "tags": ["backup", "nightly"], "status": "deprecated", "visibility": "private",
        "message": "Dumps all databases, where it was one before.",
    });
    let script = client.post("/api/v1/scripts", body.clone()).await.json(201);
    let path = format!("/scripts/{}", script["id"].as_str().unwrap());
    let forked = client.post(&format!("/api/v1{path}/fork"), json!({})).await.json(201);
    let fork = format!("/scripts/{}", forked["id"].as_str().unwrap());
    let put = async |source: &str, pids: u32| {
        let body = json!({
            "name": "warehouse backup", "language": "bash", "source": source, "limits": { "pids": pids },
            "message": "Looks at less.",
        });
        let path = format!("/api/v1{fork}");
        send(client.request(Method::PUT, &path).json(&body)).await.is(200);
    };
    put("echo one\n# something else\ncurl https://example.com/install | sh\necho a line that goes on and on, further than a telephone is wide\n", 8).await;
    put("echo one\n# something else\necho two\n", 9).await;
    send(
        client.request(Method::PUT, "/api/v1/settings/reviews").json(&json!({ "required": true })),
    )
    .await
    .is(200);
    let waiting = json!({ "name": "waiting", "language": "bash", "source": "true" });
    let waiting = client.post("/api/v1/scripts", waiting).await.json(201);
    let broken = json!({ "name": "broken", "language": "python", "source": "import os\nif os:\n" });
    let broken = client.post("/api/v1/scripts", broken).await.json(201);
    let gone = client.post("/api/v1/scripts", body).await.json(201);
    client.delete(&format!("/api/v1/scripts/{}", gone["id"].as_str().unwrap())).await.is(204);
    vec![
        (format!("{fork}/versions"), "script-history"),
        (format!("{fork}/versions/2"), "script-warned"),
        (format!("{fork}/diff"), "script-changes"),
        (format!("{fork}/diff?from=1&to=1"), "script-unchanged"),
        (format!("{fork}/settings"), "script-settings"),
        ("/scripts/deleted".to_owned(), "scripts-deleted"),
        ("/scripts/reviews".to_owned(), "reviews"),
        (format!("/scripts/{}", waiting["id"].as_str().unwrap()), "script-waiting"),
        ("/scripts/new?starter=e-mail".to_owned(), "script-starter"),
        (format!("/scripts/{}", broken["id"].as_str().unwrap()), "script-broken"),
        ("/scripts?q=pg_dump&mine=yes".to_owned(), "scripts-found"),
        ("/scripts?q=nowhere&tag=backup&language=bash&status=draft".to_owned(), "scripts-no-match"),
        (path, "script-deprecated"),
        (fork.clone(), "script-fork"),
    ]
}

#[test]
fn every_page_about_scripts_can_be_used_by_everybody() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let browser = Browser::open().await;
        browser.goto(&format!("{}/sign-in", server.url())).await;
        sign_in(&browser).await;
        for (path, name) in scripts(&client).await {
            look(&browser, &format!("{}{path}", server.url()), name).await;
        }
    });
}

/// Sends a form of `/jobs/new` as the page would, and gives back the address of the job.
async fn create_job(browser: &Browser, script: &str, fields: serde_json::Value) -> String {
    let send = format!(
        "const form = new URLSearchParams(Object.assign({{script: '{script}'}}, {fields}));
        return fetch('/jobs/new', {{method: 'POST', body: form}})
            .then((answer) => [answer.status, new URL(answer.url).pathname])"
    );
    let answer = browser.evaluate(&send).await;
    assert_eq!(answer[0], 200, "{answer}");
    answer[1].as_str().unwrap().to_owned()
}

/// Jobs in every way in which they run: a script, and paths and names.
async fn jobs(client: &Client, browser: &Browser) -> (String, Vec<(String, &'static str)>) {
    let body = json!({ "name": "warehouse backup", "language": "bash", "source": "echo done" });
    let script = client.post("/api/v1/scripts", body).await.json(201);
    let script = script["id"].as_str().unwrap().to_owned();
    let nightly = json!({
        "name": "Every night", "trigger": "cron", "trigger.pattern": "30 2 * * *",
        "trigger.zone": "Europe/Berlin", "misfire": "catch_up", "overlap": "queue",
        "rules.jitter_ms": "30s", "rules.blackouts": "sat,sun 22:00 to 06:00\n12-24 to 01-01",
    });
    let nightly = create_job(browser, &script, nightly).await;
    let often = json!({
        "name": "Each quarter of an hour, with a name that is too long for the width of a telephone",
        "trigger": "cron", "trigger.pattern": "*/15 8-17 * * 1-5", "paused": "yes",
    });
    let often = create_job(browser, &script, often).await;
    let often_of_day = json!({ "name": "pulse", "trigger": "interval", "trigger.every_ms": "10m" });
    create_job(browser, &script, often_of_day).await;
    let once = json!({ "name": "move", "trigger": "once", "trigger.at": "2099-12-31T23:00" });
    create_job(browser, &script, once).await;
    let pages = vec![
        ("/jobs".to_owned(), "jobs"),
        (format!("/jobs?script={script}"), "jobs-of-script"),
        ("/jobs/new".to_owned(), "job-pick"),
        (format!("/jobs/new?script={script}"), "job-new"),
        (nightly.clone(), "job"),
        (format!("{nightly}/edit"), "job-edit"),
        (often, "job-paused"),
        ("/jobs/calendar".to_owned(), "jobs-calendar"),
        ("/jobs/calendar?month=2099-03&zone=Europe/Berlin".to_owned(), "jobs-calendar-change"),
    ];
    (nightly, pages)
}

#[test]
fn every_page_about_jobs_can_be_used_by_everybody() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let browser = Browser::open().await;
        browser.goto(&format!("{}/sign-in", server.url())).await;
        sign_in(&browser).await;
        for (path, name) in [
            ("/jobs", "jobs-none"),
            ("/jobs/new", "job-pick-none"),
            ("/jobs/calendar", "jobs-calendar-none"),
        ] {
            look(&browser, &format!("{}{path}", server.url()), name).await;
        }
        let (job, pages) = jobs(&client, &browser).await;
        let run = "return fetch(location.origin + arguments[0], {method: 'POST'})"
            .replace("arguments[0]", &format!("'{job}/run'"));
        for _ in 0..2 {
            browser.evaluate(&format!("{run}.then((answer) => answer.status)")).await;
        }
        for (path, name) in pages {
            look(&browser, &format!("{}{path}", server.url()), name).await;
        }
    });
}

/// The way from a script to a job that runs it.
#[test]
fn what_a_job_would_do_is_told_as_one_types() {
    block_on(async {
        let server = Server::start();
        let browser = signed_in(&server).await;
        let client = server.anonymous().sign_in("admin").await;
        let body = json!({ "name": "backup", "language": "bash", "source": "echo done" });
        client.post("/api/v1/scripts", body).await.is(201);
        browser.goto(&format!("{}/jobs/new", server.url())).await;
        browser.click("main form button").await;
        let pattern = "input[name='trigger.pattern']";
        browser.shows("#preview", "At 03:00 every day (").await;
        browser.fill(pattern, "*/15 8-17 * * 1-5").await;
        browser.shows("#preview", "Every 15 minutes from 08:00 to 17:45 on weekdays (").await;
        browser.fill("input[name='trigger.zone']", "Europe/Berlin").await;
        browser.fill(pattern, "30 2 * * *").await;
        browser.shows("#preview", "02:30 comes twice, and runs the first time only").await;
        browser.fill(pattern, "0 25 * * *").await;
        browser.shows("#preview", "`25` is no hour, which is 0 to 23 (character 3)").await;
        browser.click("main form button[type=submit]").await;
        browser.shows("main form .error", "`25` is no hour").await;
        browser.fill(pattern, "0 3 * * *").await;
        // The button tells the same as typing does, for who has no JavaScript.
        browser.click("main form button[name=do]").await;
        browser.shows("#preview", "At 03:00 every day (Europe/Berlin)").await;
        browser.click("main form button[type=submit]").await;
        browser.shows("main", "At 03:00 every day (Europe/Berlin)").await;
        browser.shows("h1", "backup").await;
        let path = browser.path().await;
        assert!(path.starts_with("/jobs/") && !path.ends_with("/new"), "{path}");
        browser.click("form[action$='/run'] button").await;
        browser.shows("#log", "done").await;
        // What was refused before is an error to the browser too.
        browser.said().await;

        browser.goto(&format!("{}/jobs/new", server.url())).await;
        browser.click("main form button").await;
        browser.click(".trigger .seg label:nth-child(4)").await;
        browser.shows("#preview", "Whenever its URL is called.").await;
        browser.click("label[for=signed]").await;
        browser.click("main form button[type=submit]").await;
        browser.shows("#hook-h", "Its URL, told this once").await;
        browser.shows("main", &format!("{}/hooks/", server.url())).await;
        for (width, scheme) in VIEWS {
            browser.view(width, scheme).await;
            let name = format!("job-told-once-{width}-{}", scheme.name());
            browser.screenshot(&name).await;
            browser.assert_fits(&name).await;
            browser.assert_accessible(&name).await;
        }
        browser.assert_quiet("a webhook").await;
        browser.click("a[href$='/edit']").await;
        browser.shows("h1", "Edit job").await;
    });
}

/// Agents in several states: the ids of one that runs, and of one that is in a crash loop.
async fn agents(client: &Client) -> [String; 2] {
    let make = async |source: &str, more: serde_json::Value| {
        let name = "An agent with a name that is long enough to be cut somewhere";
        let script = json!({ "name": name, "language": "bash", "source": source });
        let script = client.post("/api/v1/scripts", script).await.json(201);
        let mut agent = json!({ "name": name, "script_id": script["id"] });
        agent.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let agent = client.post("/api/v1/agents", agent).await.json(201);
        let id = agent["id"].as_str().unwrap().to_owned();
        client.post_nothing(&format!("/api/v1/agents/{id}/start")).await.is(200);
        id
    };
    let running = make("echo up; while read -r line; do echo \"$line\"; done", json!({})).await;
    let restart = json!({ "restart": { "backoff_ms": 100, "factor": 1, "crash_after": 3 } });
    let looping = make("echo 'cannot go on' >&2; exit 3", restart).await;
    let path = |id: &str| format!("/api/v1/agents/{id}");
    client.until(&path(&running), |it| it["state"] == "running").await;
    client.until(&path(&looping), |it| it["state"] == "crash_loop").await;
    [running, looping]
}

#[test]
fn an_agent_is_talked_to_on_its_page() {
    block_on(async {
        let server = Server::start();
        let browser = signed_in(&server).await;
        let client = server.anonymous().sign_in("admin").await;
        let [running, _] = agents(&client).await;
        browser.goto(&format!("{}/agents/{running}", server.url())).await;
        browser.shows("#agent", "Running").await;
        browser.shows("#log", "up").await;
        browser.fill("#line", "hello there").await;
        browser.click("form[action$='/stdin'] button").await;
        browser.shows("main", "The line was written").await;
        browser.shows("#log", "hello there").await;
        browser.evaluate("window.isFirst = true").await;
        client.post_nothing(&format!("/api/v1/agents/{running}/restart")).await.is(200);
        browser.shows("#agent", "Show the log of this run").await;
        assert_eq!(browser.evaluate("return window.isFirst").await, true, "nothing was reloaded");
        browser.click("#agent form[action$='/stop'] button").await;
        browser.shows("#agent", "Stopped").await;
        browser.assert_quiet("an agent").await;
    });
}

#[test]
fn every_page_about_agents_can_be_used_by_everybody() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let browser = Browser::open().await;
        let url = |path: &str| format!("{}{path}", server.url());
        browser.goto(&url("/sign-in")).await;
        sign_in(&browser).await;
        look(&browser, &url("/agents"), "agents-none").await;
        let [running, looping] = agents(&client).await;
        for (path, name) in [
            ("/agents".to_owned(), "agents"),
            ("/agents/new".to_owned(), "agent-new"),
            (format!("/agents/{running}"), "agent-running"),
            (format!("/agents/{running}?said=told"), "agent-told"),
            (format!("/agents/{running}/edit"), "agent-edit"),
            (format!("/agents/{looping}"), "agent-crash-loop"),
        ] {
            look(&browser, &url(&path), name).await;
        }
    });
}

/// A credential with two versions: the path of its page.
async fn credential(client: &Client) -> String {
    let all = "/api/v1/credentials";
    let name = "A database with a name that is long enough to be cut somewhere on a phone";
    let data = json!({ "engine": "postgresql", "host": "db.example.com", "password": "p-1" });
    let mut body = json!({
        "name": name, "type": "db_connection", "data": data, "tags": ["eu", "production"],
        "revealable": true,
    });
    let made = client.post(all, body.clone()).await.json(201);
    let id = made["id"].as_str().unwrap();
    let changed = body.as_object_mut().unwrap();
    changed.remove("type");
    changed["data"]["password"] = json!("p-2");
    send(client.request(Method::PUT, &format!("{all}/{id}")).json(&body)).await.is(200);
    format!("/credentials/{id}")
}

#[test]
fn a_credential_is_made_changed_and_seen_on_its_pages() {
    block_on(async {
        let server = Server::start();
        let browser = signed_in(&server).await;
        let url = |path: &str| format!("{}{path}", server.url());
        browser.goto(&url("/credentials/new?type=user_pass")).await;
        browser.fill("#name", "relay").await;
        browser.fill("[name='data.password']", "p-1").await;
        browser.click("#revealable").await;
        browser.click("form.cols button[type=submit]").await;
        browser.shows("main", "Is missing").await;
        browser.fill("[name='data.username']", "ada").await;
        browser.fill("[name='data.password']", "p-2").await;
        browser.click("form.cols button[type=submit]").await;
        browser.shows("h1", "relay").await;
        browser.shows("main", "Created").await;
        browser.click("a[href$='/edit']").await;
        browser.fill("[name='data.password']", "p-3").await;
        browser.click("form.cols button[type=submit]").await;
        browser.shows("main", "Got a new secret, version 2").await;
        browser.click("form[action$='/test'] button").await;
        browser.shows("main", "Tested: it can be opened").await;
        browser.click("details summary").await;
        browser.fill("#password", PASSWORD).await;
        browser.click("form[action$='/reveal'] button").await;
        browser.shows("main", "p-3").await;
        browser.shows("main", "Version 2 was shown").await;
    });
}

#[test]
fn every_page_about_credentials_can_be_used_by_everybody() {
    block_on(async {
        let server = Server::start();
        let client = server.set_up().await;
        let browser = Browser::open().await;
        let url = |path: &str| format!("{}{path}", server.url());
        browser.goto(&url("/sign-in")).await;
        sign_in(&browser).await;
        look(&browser, &url("/credentials"), "credentials-none").await;
        let path = credential(&client).await;
        for (path, name) in [
            ("/credentials/new".to_owned(), "credential-pick"),
            ("/credentials/new?type=ssh_key".to_owned(), "credential-new"),
            ("/credentials".to_owned(), "credentials"),
            ("/credentials?tag=eu&expiry=soon".to_owned(), "credentials-no-match"),
            (path.clone(), "credential"),
            (format!("{path}/edit"), "credential-edit"),
            ("/credentials/rotation".to_owned(), "rotation"),
        ] {
            look(&browser, &url(&path), name).await;
        }
    });
}

#[test]
fn every_page_about_given_credentials_can_be_used_by_everybody() {
    block_on(async {
        let mut server = Server::start();
        let client = server.set_up().await;
        let body = json!({ "name": "deploy", "language": "bash", "source": "echo ${#TOKEN}" });
        let script = client.post("/api/v1/scripts", body).await.json(201);
        let script = script["id"].as_str().unwrap();
        server.end_by(Signal::SIGTERM);
        let fields: &[_] = &[("key", "a key of a registry")];
        let credentials = [("registry", Kind::ApiKey, fields), ("mirror", Kind::ApiKey, fields)];
        let ids = secrets::create(&server, &credentials).await;
        server.restart();
        let client = client.at(server.url());
        let browser = Browser::open().await;
        let url = |path: &str| format!("{}{path}", server.url());
        browser.goto(&url("/sign-in")).await;
        sign_in(&browser).await;
        let path = format!("/scripts/{script}/credentials");
        look(&browser, &url(&path), "bindings-none").await;
        for (id, variable, delivery) in [(&ids[0], "TOKEN", "env"), (&ids[1], "MIRROR", "file")] {
            let body =
                json!({ "credential_id": id, "variable_name": variable, "delivery": delivery });
            client.post(&format!("/api/v1{path}"), body).await.is(201);
        }
        look(&browser, &url(&path), "bindings").await;
        let body = json!({ "script_id": script });
        let ran = client.post("/api/v1/executions?wait=60", body).await.json(200);
        let ran = ran["id"].as_str().unwrap();
        look(&browser, &url(&format!("/executions/{ran}")), "execution-given").await;
        let said = browser.said().await;
        assert_eq!(said, [""; 0]);
    });
}

#[test]
fn every_page_can_be_used_by_everybody() {
    block_on(async {
        let server = Server::start();
        let browser = Browser::open().await;
        let url = |path: &str| format!("{}{path}", server.url());
        look(&browser, server.setup_link(), "setup").await;
        let client = server.set_up().await;
        look(&browser, &url("/sign-in"), "sign-in").await;
        sign_in(&browser).await;
        for (path, name) in [
            ("/", "welcome"),
            ("/scripts", "scripts-none"),
            ("/executions", "executions-none"),
            ("/api-keys", "api-keys-none"),
        ] {
            look(&browser, &url(path), name).await;
        }
        let (script, [succeeded, failed, reaching, leaving, running, long]) = fill(&client).await;
        let key =
            json!({ "name": "continuous integration of the warehouse", "script_ids": [script] });
        let key = client.post("/api/v1/api-keys", key).await.json(201);
        let key = key["id"].as_str().unwrap();
        let pages = [
            ("/".to_owned(), "overview"),
            ("/run".to_owned(), "run"),
            ("/scripts".to_owned(), "scripts"),
            ("/scripts/new".to_owned(), "script-new"),
            (format!("/scripts/{script}"), "script"),
            (format!("/scripts/{script}/edit"), "script-edit"),
            (format!("/scripts/{script}/versions"), "script-versions"),
            (format!("/scripts/{script}/executions"), "script-executions"),
            (format!("/scripts/{script}/versions/1"), "script-version"),
            ("/executions".to_owned(), "executions"),
            (
                format!(
                    "/executions?state=failed&state=succeeded&script={script}&by=admin&from=2026-01-01&took=1ms"
                ),
                "executions-filtered",
            ),
            ("/executions?state=succeeded&by=nobody".to_owned(), "executions-no-match"),
            (format!("/executions/{succeeded}"), "execution-succeeded"),
            (format!("/executions/{failed}"), "execution-failed"),
            (format!("/executions/{reaching}"), "execution-network"),
            (format!("/executions/{leaving}"), "execution-results"),
            (format!("/run?from={reaching}"), "run-again"),
            (format!("/executions/{running}"), "execution-running"),
            (format!("/executions/{failed}?q=working&case=on"), "log-found"),
            (format!("/executions/{long}?to=1500"), "log-middle"),
            (format!("/executions/{long}?q=line.*00%5Cb&regex=on&only=on"), "log-only"),
            (format!("/executions/{long}?q=(&regex=on&stream=stderr"), "log-refused"),
            ("/disk".to_owned(), "disk"),
            ("/api-keys?all".to_owned(), "api-keys"),
            ("/tiers".to_owned(), "tiers"),
            ("/api-keys/new".to_owned(), "api-key-new"),
            (format!("/api-keys/{key}"), "api-key"),
            ("/audit".to_owned(), "audit"),
            ("/security".to_owned(), "security"),
            ("/audit?actor=admin&resource=script&check".to_owned(), "audit-filtered"),
            (format!("/scripts/{script}/retention"), "script-retention"),
            ("/docs".to_owned(), "docs"),
            ("/docs/problems".to_owned(), "docs-problems"),
        ];
        for (path, name) in pages {
            look(&browser, &url(&path), name).await;
        }
        view(&browser, &url("/nothing"), "error").await;
        let said = browser.said().await;
        assert!(said.iter().all(|it| it.contains("status of 404")), "{said:#?}");
    });
}

/// A key is shown once, and works.
#[test]
fn a_key_is_made_on_its_page_and_told_once() {
    block_on(async {
        let server = Server::start();
        let browser = signed_in(&server).await;
        browser.goto(&format!("{}/api-keys/new", server.url())).await;
        browser.fill("#name", "ci").await;
        browser.fill("#networks", "192.0.2.0/33").await;
        browser.click("main form button").await;
        browser.shows("#networks-e", "neither an address nor a network").await;
        let said = browser.said().await;
        assert!(said.iter().all(|it| it.contains("status of 422")), "{said:#?}");
        browser.fill("#networks", "127.0.0.0/8").await;
        browser.click("main form button").await;
        browser.shows("h1", "ci").await;
        let text = "return document.querySelector('#key').innerText.trim()";
        let key = browser.evaluate(text).await;
        browser.assert_accessible("api-key-told").await;
        let program = server.anonymous().with_token(key.as_str().unwrap());
        program.get("/api/v1/scripts").await.is(200);
        browser.click("main a.btn").await;
        browser.shows("main table", "127.0.0.1").await;
        browser.click("main table a").await;
        browser.click("#enabled").await;
        browser.click("main form button").await;
        browser.shows("main table", "Off").await;
        program.get("/api/v1/scripts").await.problem(401);
        browser.assert_quiet("API keys").await;
    });
}
