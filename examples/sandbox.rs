//! The sandbox by itself: runs a script, shows its output and what confined it.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use automa_sandbox::{Bytes, Engine, EngineConfig, Error, Limits, Policy, Runtime};

#[tokio::main(flavor = "current_thread")]
async fn run() -> Result<(), Error> {
    let engine = Engine::start(EngineConfig::default()).await?;
    let limits = Limits { memory: Bytes::mib(64), ..Limits::default() };
    let script = "echo \"I am $(id -un), process $$ of $(ls -d /proc/[0-9]* | wc -l)\"";
    let command = Runtime::bash()?.command(script, "hello.sh");
    let output = engine.output(command.policy(Policy::script().limits(limits))).await?;
    println!("{}it {}", String::from_utf8_lossy(&output.stdout), output.report.outcome);
    for protection in output.report.protections {
        println!("{:18} {:?}", protection.feature.name(), protection.status);
    }
    Ok(())
}

fn main() -> Result<(), Error> {
    automa_sandbox::reexec_guard();
    run()
}
