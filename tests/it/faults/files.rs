//! Files that are not as a server left them: of an older version, torn, or on what cannot be written.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use automa_tests::{
    User, automa, client::texts, command_of, public_dir, running::Running, server::Server,
};
use nix::{sys::signal::Signal, unistd::geteuid};
use serde_json::json;

use crate::block_on;

#[test]
fn a_store_of_an_older_version_is_served_and_what_waited_in_it_runs() {
    let server = Server::start_with(|data| {
        fs::create_dir(data).unwrap();
        automa_tests::make_public(data);
        let store = data.join("automa.redb");
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/store-v1.redb");
        fs::copy(fixture, &store).unwrap();
        automa_tests::make_public(&store);
    });
    assert!(server.data().join("automa.redb.v1.backup").exists());
    block_on(async {
        let body = json!({ "username": "ada", "password": "the password of Ada" });
        let tokens = server.anonymous().post("/api/v1/auth/login", body).await.json(200);
        let client = server.anonymous().with_token(tokens["access_token"].as_str().unwrap());
        let listed = client.get("/api/v1/executions?requested_by=Ada").await.json(200);
        let listed = listed["items"].as_array().unwrap().clone();
        assert!(listed.len() > 10, "{listed:#?}");
        let mut ran = 0;
        for execution in &listed {
            let ended = client.ended(execution["id"].as_str().unwrap()).await;
            ran += u32::from(ended["output_bytes"] == 5);
        }
        // One that was queued, of `echo code`; one was cancelled, one is another's.
        assert_eq!(ran, 1, "{listed:#?}");
        assert_eq!(client.run("echo new").await["output"], "new\n");
    });
}

#[test]
fn a_log_whose_end_is_torn_keeps_every_whole_line() {
    for torn in [&b"\x01\xff\x00\x00half a frame"[..], &[0; 4096], b"\n"] {
        let mut server = Server::start();
        let client = block_on(server.set_up());
        let running = block_on(async {
            let running =
                client.submit("for i in {1..50}; do echo line $i; done; sleep 1000").await;
            client.logged(&running, "line 50").await;
            running
        });
        let _ = server.end_by(Signal::SIGKILL);
        // As a machine leaves it that lost its power while it wrote.
        let log = server.data().join(format!("logs/{running}.log"));
        let file = OpenOptions::new().write(true).open(&log).unwrap();
        file.write_all_at(torn, file.metadata().unwrap().len()).unwrap();
        drop(file);
        server.restart();
        block_on(async {
            let client = client.at(server.url());
            let lost = client.get(&format!("/api/v1/executions/{running}")).await.json(200);
            assert_eq!(lost["state"], "lost", "{lost:#}");
            let path = format!("/api/v1/executions/{running}/log?limit=100");
            let log = client.get(&path).await.json(200);
            let expected: Vec<_> = (1..=50).map(|n| format!("line {n}")).collect();
            assert_eq!(
                (texts(&log), &log["complete"]),
                (expected.iter().map(String::as_str).collect(), &json!(true))
            );
        });
    }
}

/// A program in a mount namespace of its own, in which this was done before.
fn with_mounts(mounts: &str, directory: &Path, program: &[&str]) -> Running<'static> {
    let mut command = command_of(Path::new("/usr/bin/unshare"), User::all()[0]);
    command.arg(if geteuid().is_root() { "-m" } else { "-rm" });
    command.args(["sh", "-c", &format!("{mounts} && exec \"$@\"")]).arg(directory).args(program);
    Running::start(&mut command, None)
}

#[test]
fn a_directory_that_cannot_be_written_is_refused_in_a_sentence() {
    let directory = public_dir();
    let data = directory.path().join("data");
    let serve = |data: &Path| {
        let (automa, data) = (automa().to_str().unwrap(), data.to_str().unwrap());
        let program = [automa, "serve", "--listen", "127.0.0.1:0", "--data", data];
        let mounts = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\"";
        with_mounts(mounts, directory.path(), &program).end()
    };
    let refused = |data: &Path, doing: &str| {
        let run = serve(data);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run:#?}");
        let said = run.stderr.lines().collect::<Vec<_>>();
        assert_eq!(said.len(), 1, "a sentence, not a trace: {said:#?}");
        let expected = format!("automa: {doing} {}", data.display());
        assert!(said[0].starts_with(&expected), "{said:#?}");
        assert!(said[0].contains("Read-only file system"), "{said:#?}");
    };
    refused(&data, "making the data directory");
    fs::create_dir(&data).unwrap();
    automa_tests::make_public(&data);
    refused(&data, "creating");
    // A store that is there, and was closed well.
    let mut server = Server::start();
    let store = server.data().join("automa.redb");
    let _ = server.end_by(Signal::SIGTERM);
    fs::copy(store, data.join("automa.redb")).unwrap();
    automa_tests::make_public(&data.join("automa.redb"));
    refused(&data, "opening");
}

/// Does something in the mount namespace of a server.
fn within(server: &Server, program: &[&str]) {
    let mut command = command_of(Path::new("/usr/bin/nsenter"), User::all()[0]);
    let pid = server.process().pid().to_string();
    if !geteuid().is_root() {
        command.args(["-U", "--preserve-credentials"]);
    }
    command.args(["-m", "-t", &pid]).args(program);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{program:?}: {output:?}");
}

#[test]
fn logs_that_cannot_be_written_fail_executions_and_nothing_else() {
    let server = Server::start_on_disk_of(600);
    let logs = server.data().join("logs");
    let logs = logs.to_str().unwrap();
    block_on(async {
        let client = server.set_up().await;
        assert_eq!(client.run("echo before").await["output"], "before\n");
        within(&server, &["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", logs]);
        let failed = client.run("echo never").await;
        assert_eq!(failed["state"], "failed", "{failed:#}");
        let cause = failed["cause"].as_str().unwrap();
        assert!(cause.starts_with("the script was not run: cannot create the log "), "{cause}");
        let listed = client.get("/api/v1/executions").await.json(200);
        assert_eq!(listed["items"].as_array().unwrap().len(), 2);
        within(&server, &["umount", logs]);
        assert_eq!(client.run("echo after").await["output"], "after\n");
    });
    let errors = server.process().errors();
    assert!(!errors.contains("panicked"), "{errors}");
}
