//! A script with an allow-list: what is not on it is refused, and reported.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::error::Error;

use automa_sandbox::{Egress, Engine, EngineConfig, Network, Policy, Runtime};

const SCRIPT: &str = r#"
import socket

for host, port in [("tracker.example", 443), ("192.0.2.1", 443), ("example.com", 22)]:
    try:
        with socket.create_connection((host, port), timeout=5) as connection:
            connection.recv(1)
    except OSError as error:
        print(host, port, "->", error)
"#;

#[tokio::main(flavor = "current_thread")]
async fn run() -> Result<(), Box<dyn Error>> {
    let engine = Engine::start(EngineConfig::default()).await?;
    let egress = Egress::to(["example.com:443".parse()?, "*.example.org:443".parse()?]);
    let policy = Policy::script().network(Network::Allow(egress));
    let output =
        engine.output(Runtime::python()?.command(SCRIPT, "reach.py").policy(policy)).await?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.report.success(), "it {}", output.report.outcome);
    for event in &output.report.egress {
        println!("{} {:?}: {:?}, {} times", event.host, event.port, event.verdict, event.count);
    }
    assert_eq!(output.report.egress.len(), 2);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    automa_sandbox::reexec_guard();
    run()
}
