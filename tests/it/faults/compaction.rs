//! A store that is made smaller, and killed meanwhile.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use automa_core::{Automa, actor::Actor, execution::Counts, retention::Rules};
use automa_sandbox::EngineConfig;
use automa_tests::{
    automa,
    host::{DEADLINE, PAUSE},
    public_dir,
};
use tokio::time::{Instant, sleep};

use crate::block_on;

const ROWS: u64 = 6_000;

fn me() -> Actor {
    Actor::embedder("test")
}

/// A year of executions, of which the last month is left.
async fn swept(data: &Path) {
    Automa::builder().directory(data).seed(&me(), ROWS, |_| ()).await.unwrap();
    let engine = EngineConfig::default().helper(automa());
    let automa = Automa::builder().directory(data).engine(engine).start().await.unwrap();
    let rules = Rules { history_days: Some(30), ..Rules::default() };
    automa.retention(&me()).set(rules).await.unwrap();
    let until = Instant::now() + DEADLINE;
    while automa.executions(&me()).counts().unwrap().total() > ROWS / 8 {
        assert!(Instant::now() < until, "they stay");
        sleep(PAUSE).await;
    }
    automa.close().await;
}

async fn counts(data: &Path) -> Counts {
    let automa = Automa::builder().directory(data).open().unwrap();
    let counts = automa.executions(&me()).counts().unwrap();
    automa.close().await;
    counts
}

#[expect(clippy::disallowed_methods, reason = "the test kills it")]
fn compact(data: &Path) -> std::process::Child {
    let mut command = Command::new(automa());
    command.args(["compact", "--data"]).arg(data).stdout(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn a_store_that_is_made_smaller_loses_nothing_when_that_is_killed() {
    block_on(async {
        let directory = public_dir();
        let data = directory.path().join("data");
        swept(&data).await;
        let size = || fs::metadata(data.join("automa.redb")).unwrap().len();
        let (left, before) = (counts(&data).await, size());
        for kill in 0..10 {
            let mut running = compact(&data);
            // Somewhere between its first step and its last.
            sleep(Duration::from_millis(10 * kill)).await;
            running.kill().unwrap();
            running.wait().unwrap();
            assert_eq!(counts(&data).await, left, "killed after {kill} steps");
        }
        let done = compact(&data).wait_with_output().unwrap();
        let said = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success() && said.starts_with("the store has "), "{said}");
        assert!(size() < before / 2, "{before} bytes, then {}", size());
        assert_eq!(counts(&data).await, left);
    });
}
