//! Somebody at a terminal: a shell that is typed at, and whose window changes its size.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::error::Error;

use automa_examples::until;
use automa_sandbox::{Command, Engine, EngineConfig, Exit, Policy, Stdout, TerminalSize};

#[tokio::main(flavor = "current_thread")]
async fn run() -> Result<(), Box<dyn Error>> {
    let engine = Engine::start(EngineConfig::default()).await?;
    let shell = Command::new("/bin/bash")
        .args(["--norc", "-i"])
        .env("PS1", "ready> ")
        .policy(Policy::terminal())
        .stdout(Stdout::Terminal(TerminalSize { cols: 80, rows: 24 }));
    let mut shell = engine.spawn(shell).await?;
    until(&mut shell, "ready> ").await?;
    shell.write_input(b"stty size\r").await?;
    until(&mut shell, "24 80").await?;
    until(&mut shell, "ready> ").await?;
    shell.resize(TerminalSize { cols: 132, rows: 50 });
    shell.write_input(b"stty size\r").await?;
    until(&mut shell, "50 132").await?;
    shell.write_input(b"exit 3\r").await?;
    let report = shell.wait().await;
    println!("\nit {}", report.outcome);
    assert_eq!(report.exit, Some(Exit::Code(3)));
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    automa_sandbox::reexec_guard();
    run()
}
