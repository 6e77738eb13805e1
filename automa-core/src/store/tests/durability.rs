//! What was acknowledged survives `kill -9`, at whatever moment.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use tokio::task::JoinSet;

use super::*;
use crate::clock::{Clock, SystemClock};

const ROUNDS: u64 = 20;
const PRODUCERS: u64 = 8;
/// Tells the child its store and the keys it starts from.
const STORE: &str = "AUTOMA_TEST_STORE";
const START: &str = "AUTOMA_TEST_START";

/// The first key of a producer in a round.
fn first_key(round: u64, producer: u64) -> u64 {
    (round * PRODUCERS + producer) << 32
}

/// Not a test but the process that is killed: it writes, and tells each key it was acknowledged.
#[tokio::test]
async fn child() {
    let (Some(path), Some(round)) = (env::var_os(STORE), env::var_os(START)) else { return };
    let round: u64 = round.to_str().unwrap().parse().unwrap();
    let store = Store::open_with(Path::new(&path), SCHEMA).unwrap();
    let mut producers = JoinSet::new();
    for producer in 0..PRODUCERS {
        let store = store.clone();
        producers.spawn(async move {
            for key in first_key(round, producer).. {
                store.write(put(key)).await.unwrap();
                // Not `println!`, which the harness may keep to itself.
                let line = format!("acknowledged {key}\n");
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
        });
    }
    while producers.join_next().await.is_some() {}
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the child is this program, to be killed")]
fn what_was_acknowledged_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("automa.redb");
    let child = module_path!().split_once("::").unwrap().1.to_owned() + "::child";
    let mut all = BTreeSet::new();
    for round in 0..ROUNDS {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", &child, "--nocapture"])
            .env(STORE, &path)
            .env(START, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut random = [0; 4];
        SystemClock::new().fill(&mut random);
        let random = u32::from_le_bytes(random);
        // Some are killed before they open the store, some while they do.
        let (lines, spins) = (random % 200, random >> 16);
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut acknowledged = BTreeSet::new();
        let mut killed = false;
        for count in 0.. {
            if count >= lines && !killed {
                (0..spins).for_each(|_| std::hint::spin_loop());
                process.kill().unwrap();
                killed = true;
            }
            let mut line = String::new();
            if output.read_line(&mut line).unwrap() == 0 {
                break;
            }
            // The last line may be half of one.
            let key = line.strip_prefix("acknowledged ").and_then(|line| line.strip_suffix('\n'));
            acknowledged.extend(key.map(|key| key.parse::<u64>().unwrap()));
        }
        assert!(killed, "round {round}: the child ended by itself");
        process.wait().unwrap();

        all.extend(acknowledged);
        let store = Store::open_with(&path, SCHEMA).unwrap();
        let stored: BTreeSet<_> = keys(&store).into_iter().collect();
        let lost: Vec<_> = all.difference(&stored).collect();
        assert!(lost.is_empty(), "round {round}, after {lines} lines and {spins} spins: {lost:?}");
        for producer in 0..PRODUCERS {
            let first = first_key(round, producer);
            let of_producer: Vec<_> = stored.range(first..first_key(round, producer + 1)).collect();
            let in_order = of_producer.iter().zip(first..).all(|(stored, key)| **stored == key);
            assert!(in_order, "round {round}: a later change without an earlier one");
        }
    }
    assert!(!all.is_empty());
}
