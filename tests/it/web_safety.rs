//! What a hostile network, other sites and strange clients get from a server.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
};

use automa_tests::{
    User,
    client::send,
    command, command_of,
    document::Document,
    host::{DEADLINE, PAUSE},
    public_dir,
    server::Server,
};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::json;

use crate::block_on;

const ID: &str = "018f0000-0000-7000-8000-000000000001";

/// The paths of pages that take `POST`, from the table of routes itself.
fn forms() -> Vec<String> {
    let table = include_str!("../../automa-web/src/pages.rs");
    let routes = table.split(".at(\"").skip(1).filter(|route| {
        let (_, handlers) = route.split_once('"').unwrap();
        handlers.split(".at(").next().unwrap().contains("post(")
    });
    let path = |route: &str| {
        let path = route.split_once('"').unwrap().0;
        let parts = path.split('/').map(|part| match part {
            ":id" => ID,
            part if part.starts_with(':') => "1",
            part => part,
        });
        parts.collect::<Vec<_>>().join("/")
    };
    routes.map(path).collect()
}

#[test]
fn no_other_site_changes_anything_by_any_route() {
    block_on(async {
        let server = Server::start();
        let admin = server.set_up().await;
        let operations = Document::read(&server.anonymous()).await.operations();
        let unsafe_ones = operations.iter().filter(|operation| operation.method != "GET");
        let mut routes: Vec<(Method, String)> = unsafe_ones
            .map(|it| (it.method.parse().unwrap(), it.path_of(ID).replace(['{', '}'], "")))
            .collect();
        let forms = forms();
        assert!(forms.len() > 25 && forms.contains(&format!("/jobs/{ID}/run")), "{forms:#?}");
        routes.extend(forms.into_iter().map(|path| (Method::POST, path)));
        assert!(routes.len() > 60, "{} routes", routes.len());
        let before = admin.get("/api/v1/audit/statistics").await.json(200);
        for (method, path) in &routes {
            for (name, value) in [
                ("origin", "http://evil.example.com"),
                ("origin", "null"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-site", "same-site"),
            ] {
                let request = admin.request(method.clone(), path).header(name, value);
                let problem = send(request).await.problem(403);
                assert_eq!(problem["type"], "/docs/problems#cross-origin", "{method} {path}");
            }
        }
        // All of it is in the audit log, in few entries.
        let after = admin.get("/api/v1/audit/statistics").await.json(200);
        let refused = |counted: &serde_json::Value| {
            let days = counted["days"].as_array().unwrap();
            days.iter().map(|day| day["refused"].as_u64().unwrap()).sum::<u64>()
        };
        let entries = refused(&after) - refused(&before);
        assert!((1..=64).contains(&entries), "{entries}");
    });
}

#[test]
fn what_is_refused_is_in_the_audit_log_with_who_and_what() {
    block_on(async {
        let mut server = Server::start();
        server.set_up().await;
        server.end_by(Signal::SIGTERM);
        server.add_user("vera", "viewer");
        server.restart();
        let admin = server.anonymous().sign_in("admin").await;
        let vera = server.anonymous().sign_in("vera").await;
        vera.delete(&format!("/api/v1/scripts/{ID}")).await.problem(403);
        server.anonymous().with_token("forged").get("/api/v1/auth/me").await.problem(401);
        let found = admin.get("/api/v1/audit?action=request.refused").await.json(200);
        let items = found["items"].as_array().unwrap();
        assert_eq!(items.len(), 2, "{found:#}");
        let (forged, lacking) = (&items[0], &items[1]);
        assert_eq!((&forged["actor"], &forged["user_id"]), (&json!("somebody"), &json!(null)));
        assert_eq!(lacking["actor"], "vera");
        assert_eq!(lacking["resource"], format!("script:{ID}"));
        assert_eq!(lacking["outcome"], "refused");
        let detail = lacking["detail"].as_str().unwrap();
        assert!(
            detail.contains("a viewer may not") || detail.contains("A viewer may not"),
            "{detail}"
        );
    });
}

#[test]
fn a_server_answers_to_its_own_names_only() {
    block_on(async {
        let variables =
            [("AUTOMA_RATE_LIMIT", "off"), ("AUTOMA_ALLOWED_HOSTS", "automa.example.com")];
        let server = Server::start_as(User::all()[0], &variables);
        let get = |host: &str| {
            let client = server.anonymous();
            let request = client.request(Method::GET, "/health").header("host", host.to_owned());
            async move { send(request).await }
        };
        for host in ["automa.example.com", "AUTOMA.EXAMPLE.COM:80", "localhost:1", "192.0.2.1"] {
            get(host).await.is(200);
        }
        for host in ["evil.example.com", "automa.example.com.evil.example.com"] {
            let problem = get(host).await.problem(421);
            assert_eq!(problem["type"], "/docs/problems#unknown-host");
        }
    });
}

#[test]
fn listed_sites_may_call_the_api_with_tokens_and_nobody_else() {
    block_on(async {
        let listed = "https://tools.example.com";
        let variables = [("AUTOMA_RATE_LIMIT", "off"), ("AUTOMA_ALLOW_ORIGINS", listed)];
        let server = Server::start_as(User::all()[0], &variables);
        let admin = server.set_up().await;
        let from = |method: Method, path: &str, origin: &str| {
            let request = admin.request(method, path).header("origin", origin.to_owned());
            request.header("sec-fetch-site", "cross-site")
        };
        let asks = from(Method::OPTIONS, "/api/v1/executions", listed)
            .header("access-control-request-method", "POST");
        let answer = send(asks).await;
        assert_eq!(answer.is(204).header("access-control-allow-origin"), listed);
        let body = json!({ "name": "a", "language": "bash", "source": "true" });
        let answer = send(from(Method::POST, "/api/v1/scripts", listed).json(&body)).await;
        assert_eq!(answer.is(201).header("access-control-allow-origin"), listed);
        assert!(!answer.headers.contains_key("access-control-allow-credentials"));
        // With cookies it would be whoever looks at that site.
        let with_cookie = from(Method::POST, "/api/v1/scripts", listed).header("cookie", "a=b");
        send(with_cookie.json(&body)).await.problem(403);
        send(from(Method::POST, "/sign-out", listed)).await.problem(403);
        for other in
            ["https://evil.example.com", "https://tools.example.com.evil.example.com", "null"]
        {
            let answer = send(from(Method::GET, "/api/v1/scripts", other)).await;
            assert!(!answer.headers.contains_key("access-control-allow-origin"), "{other}");
            send(from(Method::POST, "/api/v1/scripts", other).json(&body)).await.problem(403);
        }
    });
}

#[test]
fn json_of_too_many_parts_is_refused_before_it_is_read() {
    block_on(async {
        let server = Server::start();
        let admin = server.set_up().await;
        let deep = "[".repeat(5000) + &"]".repeat(5000);
        let wide = format!(
            "{{{}}}",
            (0..20_000).map(|it| format!("\"{it}\":1")).collect::<Vec<_>>().join(",")
        );
        for body in [deep, wide] {
            let request = admin.request(Method::POST, "/api/v1/scripts").body(body);
            let problem =
                send(request.header("content-type", "application/json")).await.problem(413);
            assert_eq!(problem["type"], "/docs/problems#too-complex");
        }
    });
}

#[test]
fn reports_of_browsers_are_counted_and_bounded() {
    block_on(async {
        let server = Server::start();
        let client = server.anonymous();
        let post = |body: String| {
            let request = client.request(Method::POST, "/csp-reports").body(body);
            async move { send(request).await.status }
        };
        let report = json!({ "csp-report": { "blocked-uri": "inline" } });
        assert_eq!(post(report.to_string()).await, 204);
        assert_eq!(post("no JSON".to_owned()).await, 400);
        assert_eq!(post(format!("\"{}\"", "a".repeat(20_000))).await, 413);
        let policy = client.get("/sign-in").await;
        assert!(policy.header("content-security-policy").contains("report-uri /csp-reports"));
    });
}

/// A key and a certificate for 127.0.0.1 that signs itself.
fn certificate(directory: &Path, name: &str) {
    let mut openssl = command_of(Path::new("/usr/bin/openssl"), User::all()[0]);
    openssl.args(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(' '),
    );
    openssl.args(["-subj", &format!("/CN={name}"), "-addext", "subjectAltName=IP:127.0.0.1"]);
    openssl.arg("-keyout").arg(directory.join("key.draft"));
    let made = openssl.arg("-out").arg(directory.join("cert.draft")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for file in ["key", "cert"] {
        let draft = directory.join(format!("{file}.draft"));
        std::fs::rename(draft, directory.join(format!("{file}.pem"))).unwrap();
    }
}

/// What a client that trusts this certificate alone is answered.
fn ask(url: &str, certificate: &Path, more: &[&str]) -> Option<String> {
    let mut curl = command_of(Path::new("/usr/bin/curl"), User::all()[0]);
    curl.args(["--silent", "--show-error", "--include", "--noproxy", "*", "--cacert"]);
    let output = curl.arg(certificate).args(more).arg(format!("{url}/health")).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().to_lowercase())
}

#[test]
fn tls_is_offered_and_a_new_certificate_is_shown_without_a_restart() {
    let directory = public_dir();
    let (cert, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    certificate(directory.path(), "first");
    let variables = [
        ("AUTOMA_RATE_LIMIT", "off"),
        ("AUTOMA_TLS_CERT", cert.to_str().unwrap()),
        ("AUTOMA_TLS_KEY", key.to_str().unwrap()),
    ];
    let server = Server::start_as(User::all()[0], &variables);
    assert!(server.url().starts_with("https://127.0.0.1:"), "{}", server.url());
    assert!(server.setup_link().starts_with("https://"), "{}", server.setup_link());
    for version in ["--http1.1", "--http2", "--tlsv1.3"] {
        let answer = ask(server.url(), &cert, &[version]).expect("an answer");
        assert!(answer.contains(" 200"), "{answer}");
        assert!(answer.contains("strict-transport-security: max-age="), "{answer}");
    }
    assert!(ask(server.url(), &cert, &["--http2"]).unwrap().starts_with("http/2 200"));
    assert_eq!(ask(server.url(), &cert, &["--tls-max", "1.1"]), None);
    // What is no TLS gets nothing.
    let plain = server.url().replace("https://", "http://");
    assert!(ask(&plain, &cert, &[]).is_none_or(|answer| !answer.contains(" 200")));

    let old = directory.path().join("old.pem");
    std::fs::copy(&cert, &old).unwrap();
    certificate(directory.path(), "second");
    server.process().signal(Signal::SIGHUP);
    let deadline = std::time::Instant::now() + DEADLINE;
    while ask(server.url(), &cert, &[]).is_none() {
        assert!(std::time::Instant::now() < deadline, "the new certificate is not shown");
        std::thread::sleep(PAUSE);
    }
    assert_eq!(ask(server.url(), &old, &[]), None);
    // What is no certificate changes nothing.
    std::fs::write(&cert, "no certificate").unwrap();
    server.process().signal(Signal::SIGHUP);
    let mut said = String::new();
    while !said.contains("cannot be used") {
        assert!(std::time::Instant::now() < deadline, "{said}");
        said.push_str(&server.process().errors());
        std::thread::sleep(PAUSE);
    }
}

#[test]
fn production_refuses_what_is_not_safe() {
    let start = |args: &[&str]| {
        let directory = public_dir();
        let data = directory.path().join("data");
        let mut command = command(User::all()[0]);
        command.args(["serve", "--production", "--listen", "0.0.0.0:0", "--data"]).arg(&data);
        command.args(args);
        let output = command.output().unwrap();
        assert!(!data.exists(), "nothing is made by what does not start");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = start(&[]);
    assert!(code == Some(1) && said.contains("--insecure-http"), "{said}");
    let weak = "my-secret-key-which-has-many-bytes-x";
    let (code, said) = start(&["--insecure-http", "--secret-key", weak]);
    assert!(code == Some(1) && said.contains("looks made up"), "{said}");
    for wrong in [["--allow-origin", "*"], ["--allowed-host", "a:80"], ["--tls-cert", "/nowhere"]] {
        assert_eq!(start(&wrong).0, Some(2), "{wrong:?}");
    }
}

#[test]
fn a_head_that_never_ends_keeps_nobody_else_waiting() {
    let server = Server::start();
    let address = server.url().strip_prefix("http://").unwrap().to_owned();
    let slow: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").unwrap();
            stream
        })
        .collect();
    block_on(async {
        server.anonymous().get("/health").await.is(200);
    });
    // Each is ended by the server: reading finds the end, or an answer and the end.
    for mut stream in slow.into_iter().take(3) {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut said = Vec::new();
        // A reset is an end, too.
        let _ = stream.read_to_end(&mut said);
        assert!(!said.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&said));
    }
}
