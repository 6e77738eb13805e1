//! The log on an execution's page, in a real browser: found, filtered, scrolled and followed.

use automa_tests::{
    browser::Browser,
    client::Client,
    host::{DEADLINE, PAUSE},
    server::Server,
};
use serde_json::json;

use crate::{block_on, pages::signed_in};

/// Waits until a condition of the page holds, as an expression.
async fn until(browser: &Browser, condition: &str) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while browser.evaluate(&format!("return {condition}")).await != true {
        let log = "return document.getElementById('log')?.textContent.slice(0, 500)";
        let shown = browser.evaluate(log).await;
        assert!(tokio::time::Instant::now() < deadline, "not `{condition}`: {shown}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// The page of an execution that has ended.
async fn page_of(server: &Server, client: &Client, source: &str) -> String {
    let body = json!({
        "language": "bash", "source": source, "limits": { "output_bytes": 100_000_000 },
    });
    let ended = client.post("/api/v1/executions?wait=60", body).await.json(200);
    format!("{}/executions/{}", server.url(), ended["id"].as_str().unwrap())
}

#[test]
fn a_long_log_is_scrolled_from_its_end_to_its_beginning_and_back() {
    block_on(async {
        let server = Server::start();
        let browser = signed_in(&server).await;
        let client = server.anonymous().sign_in("admin").await;
        let page = page_of(&server, &client, "seq 6000").await;
        browser.goto(&page).await;
        browser.shows("#log", "End of log: 6,000 lines").await;
        until(&browser, "!document.getElementById('L5000')").await;

        let lines = "document.querySelectorAll('#log .ln').length";
        let scroll = |top: &str| format!("document.getElementById('log').scrollTop = {top}");
        for reached in [5000, 3000, 1] {
            while browser.evaluate(&format!("return !document.getElementById('L{reached}')")).await
                == true
            {
                browser.evaluate(&scroll("0")).await;
                assert!(browser.evaluate(&format!("return {lines} <= 2000")).await == true);
            }
        }
        until(&browser, "!document.querySelector('#log .way:first-child')").await;
        let missing = "return document.getElementById('L6000') === null";
        assert_eq!(browser.evaluate(missing).await, true, "what is far away is not kept");
        while browser.evaluate(missing).await == true {
            browser.evaluate(&scroll("1e9")).await;
            assert!(browser.evaluate(&format!("return {lines} <= 2000")).await == true);
        }
        // In order and without gaps.
        let numbers = "return [...document.querySelectorAll('#log .ln')].every((line, i, all) => \
            i === 0 || Number(line.id.slice(1)) === Number(all[i - 1].id.slice(1)) + 1)";
        assert_eq!(browser.evaluate(numbers).await, true);
        browser.assert_quiet("a log that is scrolled").await;
    });
}

#[test]
fn what_is_looked_for_is_found_one_after_the_other_or_alone() {
    block_on(async {
        let server = Server::start();
        let browser = signed_in(&server).await;
        let client = server.anonymous().sign_in("admin").await;
        let source = "for i in {1..3000}; do echo \"step $i\"; done; sync; echo 'Step aside' >&2";
        let page = page_of(&server, &client, source).await;
        browser.goto(&page).await;
        browser.fill("#q", "step 1000").await;
        browser.click("#find button").await;
        browser.shows("#log .ln.at", "step 1000").await;
        browser.shows("#find", "1 of 1").await;
        until(&browser, "document.querySelector('.ln.at').getBoundingClientRect().top > 0").await;

        browser.goto(&format!("{page}?q=step%20%5Cd%2B0%24&regex=on")).await;
        browser.shows("#log .ln.at", "step 10").await;
        browser.shows("#find", "1 of 300").await;
        browser.click("#after").await;
        browser.shows("#log .ln.at", "step 20").await;
        browser.shows("#find", "2 of 300").await;
        browser.click("#before").await;
        browser.shows("#find", "1 of 300").await;
        browser.click("label[for=find-only]").await;
        browser.shows("#log", "step 3000").await;
        until(&browser, "document.querySelectorAll('#log .ln').length === 300").await;

        browser.goto(&format!("{page}?stream=stderr")).await;
        browser.shows("#log", "Step aside").await;
        until(&browser, "document.querySelectorAll('#log .ln').length === 1").await;
        browser.goto(&format!("{page}?q=step&case=on&stream=stderr")).await;
        browser.shows("main", "No line has “step”.").await;
        browser.goto(&format!("{page}?q=(&regex=on")).await;
        browser.shows("main", "unclosed group").await;
        browser.assert_quiet("finding").await;
    });
}

#[test]
fn lines_are_linked_shown_whole_and_look_as_one_likes() {
    block_on(async {
        let server = Server::start();
        let browser = signed_in(&server).await;
        let client = server.anonymous().sign_in("admin").await;
        let source = "seq 2000; printf 'x%.0s' {1..9000}; echo end";
        let page = page_of(&server, &client, source).await;
        browser.goto(&format!("{page}#L120-L122")).await;
        until(&browser, "document.querySelectorAll('#log .ln.on').length === 3").await;
        until(&browser, "document.getElementById('L121').getBoundingClientRect().top > 0").await;
        browser.goto(&page).await;
        browser.shows("#L2001", "show 4.7 KiB more").await;
        browser.click("#L2001 a").await;
        browser.shows("#L2001", "xend").await;

        assert_ne!(browser.text("#L2000 time").await, "");
        browser.click("button[value=off]").await;
        until(&browser, "document.querySelector('#log.off') !== null").await;
        browser.click("button[name=wrap]").await;
        until(&browser, "document.querySelector('#log.off.wide') !== null").await;
        // The browser remembers, also for other pages.
        let other = page_of(&server, &client, "echo other").await;
        browser.goto(&other).await;
        until(&browser, "document.querySelector('#log.off.wide') !== null").await;
        browser.click("button[value=absolute]").await;
        until(&browser, "/\\d\\d:\\d\\d:\\d\\d\\.\\d\\d\\d/.test(document.querySelector('#L1 time').textContent)").await;
        browser.assert_quiet("looks").await;
    });
}

#[test]
fn lines_are_marked_folded_and_indented_and_the_first_error_is_found() {
    block_on(async {
        let server = Server::start();
        let browser = signed_in(&server).await;
        let client = server.anonymous().sign_in("admin").await;
        let source = r#"seq 1000; echo '::group::Build'; seq 3; echo '::endgroup::'; seq 700
            printf '{"level":"info","message":"a line as loggers write it","n":%s}\n' 1 2
            sync; echo wrong >&2"#;
        let page = page_of(&server, &client, source).await;
        browser.goto(&format!("{page}#L1001-L1004")).await;
        browser.shows("#marked", "Lines 1001 to 1004").await;
        let marked = "const link = document.querySelector('#marked a');
            return fetch(link.href).then((answer) => answer.text())";
        assert_eq!(browser.evaluate(marked).await, "::group::Build\n1\n2\n3\n");
        browser.screenshot("log-marked").await;

        let hidden = "document.querySelectorAll('#log .ln[hidden]').length";
        browser.click("#L1001 .fold").await;
        until(&browser, &format!("{hidden} === 4")).await;
        browser.screenshot("log-folded").await;
        browser.click("#L1001 .fold").await;
        until(&browser, &format!("{hidden} === 0")).await;

        browser.goto(&page).await;
        browser.click("#L1706 a").await;
        browser.shows("#L1706", "{\n  \"level\": \"info\",\n").await;
        browser.screenshot("log-indented").await;
        browser.click("#first-error").await;
        browser.shows("#log .ln.at", "wrong").await;
        until(&browser, "location.hash === '#L1708'").await;
        browser.assert_accessible("a marked log").await;
        browser.assert_quiet("marks").await;
    });
}

#[test]
fn who_has_scrolled_up_is_told_of_new_lines_and_a_filter_goes_on_live() {
    block_on(async {
        let server = Server::start();
        let browser = signed_in(&server).await;
        let client = server.anonymous().sign_in("admin").await;
        let source =
            "seq 300; while sleep 0.1; do echo \"tick $((++i))\"; echo \"tock $i\" >&2; done";
        let id = client.submit(source).await;
        client.logged(&id, "tick 1").await;
        let page = format!("{}/executions/{id}", server.url());
        browser.goto(&page).await;
        browser.shows("#log", "tick 2").await;
        browser.evaluate("document.getElementById('log').scrollTop = 0").await;
        browser.shows("#fresh", "new line").await;
        let top = "return document.getElementById('log').scrollTop";
        assert_eq!(browser.evaluate(top).await, 0, "nothing moves");
        browser.click("#fresh").await;
        until(&browser, "document.getElementById('log').scrollTop > 0").await;

        browser.goto(&format!("{page}?stream=stderr")).await;
        let tocks = "document.querySelectorAll('#log .ln').length";
        let before = browser.evaluate(&format!("return {tocks}")).await.as_u64().unwrap();
        until(&browser, &format!("{tocks} > {}", before + 3)).await;
        until(&browser, "document.querySelectorAll('#log .ln:not(.e)').length === 0").await;
        client.post_nothing(&format!("/api/v1/executions/{id}/cancel")).await.is(200);
        browser.shows("#outcome", "Cancelled").await;
        browser.assert_quiet("new lines").await;
    });
}

#[test]
fn a_log_is_downloaded_compressed() {
    block_on(async {
        let server = Server::start();
        let browser = signed_in(&server).await;
        let client = server.anonymous().sign_in("admin").await;
        let page = page_of(&server, &client, "seq 100000").await;
        browser.goto(&page).await;
        browser.find("a[href$='/log.gz'][download]").await;
        let script = format!(
            "return fetch('{page}/log.gz').then((it) => Promise.all([it.headers.get('content-type'), \
             new Response(it.body.pipeThrough(new DecompressionStream('gzip'))).text()]))"
        );
        let answer = browser.evaluate(&script).await;
        assert_eq!(answer[0], "application/gzip");
        let text = answer[1].as_str().unwrap();
        assert!(text.starts_with("1\n2\n") && text.ends_with("\n99999\n100000\n"));
    });
}
