//! What a start in a sandbox costs beside a bare one: `cargo bench -p automa-sandbox`.
//!
//! Rows that are compared are measured in turn, one round after the other, so that what else the
//! machine does hits all of them. A number as argument is how many rounds there are. `automa bench
//! sandbox` measures more: with gaps, with interpreters, beside bubblewrap.
#![expect(clippy::print_stdout, reason = "its result")]
#![expect(clippy::disallowed_methods, reason = "the bare counterpart")]

use std::{
    process::{Command as Bare, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use automa_sandbox::{
    Command, Egress, Engine, EngineConfig, Limits, Network, Policy, Start, Stdout,
};
use tokio::task::JoinSet;

const PROGRAM: &str = "/bin/true";

/// Starts of the last rows, which are under way at the same time.
const TOGETHER: usize = 32;

type Failed = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failed> {
    // First of all: this program also serves as the sandbox's helper.
    automa_sandbox::reexec_guard();
    // `cargo bench` says so; `cargo test --benches` only wants to see it work.
    let benched = std::env::args().any(|argument| argument == "--bench");
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let rounds = asked.unwrap_or(if benched { 200 } else { 1 });
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio.block_on(async {
        one_at_a_time(rounds).await?;
        many_at_a_time(rounds.div_ceil(10)).await
    })
}

async fn one_at_a_time(rounds: usize) -> Result<(), Failed> {
    let config = EngineConfig::default().slots(1);
    let cold = Engine::start(config.clone().warm(0)).await?;
    let warm = Engine::start(config.warm(2)).await?;
    let listed = Network::Allow(Egress::to(["example.com:443".parse()?]));
    let mut bare = Vec::new();
    let mut rows = [
        ("cold", Start::Cold, Network::None, Vec::new()),
        ("prepared", Start::Warm, Network::None, Vec::new()),
        ("own network, cold", Start::Cold, listed.clone(), Vec::new()),
        ("own network, prepared", Start::Warm, listed, Vec::new()),
    ];
    for _ in 0..rounds {
        bare.push(start_bare()?);
        for (name, start, network, times) in &mut rows {
            let engine = if *start == Start::Warm { &warm } else { &cold };
            if *start == Start::Warm {
                engine.prewarm(&command(network), 1).await?;
            }
            let begun = Instant::now();
            let report = engine.spawn(command(network)).await?.wait().await;
            times.push(begun.elapsed());
            if !report.success() || report.start != *start {
                return Err(format!("{name}: {report:?}").into());
            }
        }
    }
    println!("One start of {PROGRAM} at a time, until all of it is gone ({rounds} rounds)");
    let bare = print("bare", &mut bare, None);
    for (name, _, _, times) in &mut rows {
        print(name, times, Some(bare));
    }
    cold.shutdown().await;
    warm.shutdown().await;
    Ok(())
}

/// As many run at the same time as there are processors.
async fn many_at_a_time(rounds: usize) -> Result<(), Failed> {
    let slots = std::thread::available_parallelism()?.get();
    let engine = Arc::new(Engine::start(EngineConfig::default().slots(slots)).await?);
    let (mut bare, mut sandboxed) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let some = || (0..TOGETHER / slots).try_for_each(|_| start_bare().map(drop));
            let threads: Vec<_> = (0..slots).map(|_| scope.spawn(some)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))
        })?;
        bare.push(begun.elapsed());
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..slots {
            let engine = engine.clone();
            tasks.spawn(async move {
                for _ in 0..TOGETHER / slots {
                    let report = engine.spawn(command(&Network::None)).await?.wait().await;
                    if !report.success() {
                        return Err(Failed::from(format!("{report:?}")));
                    }
                }
                Ok(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        sandboxed.push(begun.elapsed());
    }
    println!("{TOGETHER} starts, {slots} at a time ({rounds} rounds)");
    let bare = print("bare", &mut bare, None);
    print("sandboxed, as they come", &mut sandboxed, Some(bare));
    Ok(())
}

fn command(network: &Network) -> Command {
    let limits = Limits { cpu_millis: 1_000_000, ..Limits::default() };
    let policy = Policy::script().limits(limits).network(network.clone());
    Command::new(PROGRAM).policy(policy).stdout(Stdout::Null)
}

fn start_bare() -> Result<Duration, Failed> {
    let begun = Instant::now();
    let status = Bare::new(PROGRAM).stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    if status.success() { Ok(begun.elapsed()) } else { Err(status.to_string().into()) }
}

/// Prints the median, and what it is of another; returns it in microseconds.
fn print(name: &str, times: &mut [Duration], bare: Option<f64>) -> f64 {
    times.sort();
    let median = times[times.len() / 2].as_secs_f64() * 1e6;
    let ratio = bare.map_or_else(String::new, |bare| format!("{:>8.2} x", median / bare));
    println!("  {name:<26} {median:>9.0} µs {ratio}");
    median
}
