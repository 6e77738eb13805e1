//! A program that runs on: it listens on a loopback interface of its own, is asked how it is by a
//! signal, and is told to end.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::{error::Error, time::Duration};

use automa_examples::until;
use automa_sandbox::{Engine, EngineConfig, Outcome, Policy, Runtime};

const AGENT: &str = r#"
import signal, socket

signals = {signal.SIGUSR1, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
server = socket.create_server(("127.0.0.1", 8080))
print("listening on", server.getsockname())
while signal.sigwait(signals) != signal.SIGTERM:
    print("all is well")
"#;

/// `SIGUSR1` of `signal(7)`.
const USR1: i32 = 10;

#[tokio::main(flavor = "current_thread")]
async fn run() -> Result<(), Box<dyn Error>> {
    let engine = Engine::start(EngineConfig::default()).await?;
    let command = Runtime::python()?.command(AGENT, "agent.py").policy(Policy::agent());
    let mut agent = engine.spawn(command).await?;
    until(&mut agent, "8080)\n").await?;
    agent.signal(USR1);
    until(&mut agent, "well\n").await?;
    agent.cancel(Duration::from_secs(10));
    let report = agent.wait().await;
    println!("it {}, nothing is left: {}", report.outcome, report.tree_empty);
    assert_eq!(report.outcome, Outcome::Cancelled);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    automa_sandbox::reexec_guard();
    run()
}
