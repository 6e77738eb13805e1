//! A build: a compiler in a sandbox with room for it, and the program it makes for the caller.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::error::Error;

use automa_sandbox::{CollectLimits, Engine, EngineConfig, Policy, Runtime};

const PROGRAM: &str = r#"
#include <stdio.h>
int main(void) { puts("compiled in a sandbox"); }
"#;

const BUILD: &str = r#"
    echo "with $(nproc) processors and $(free -m | awk '/^Mem/ { print $2 }') MiB in sight"
    cc -O2 -o "$AUTOMA_OUT/program" main.c && "$AUTOMA_OUT/program"
"#;

#[tokio::main(flavor = "current_thread")]
async fn run() -> Result<(), Box<dyn Error>> {
    let engine = Engine::start(EngineConfig::default()).await?;
    let command = Runtime::bash()?
        .command(BUILD, "build.sh")
        .file("main.c", 0o644, PROGRAM)
        .policy(Policy::build())
        .collect(CollectLimits::default());
    let output = engine.output(command).await?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.report.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let artifacts = output.artifacts.ok_or("it was to collect some")?;
    for file in &artifacts.files {
        println!("made {}: {} bytes, mode {:o}", file.path.display(), file.size, file.mode);
    }
    assert_eq!(artifacts.files.len(), 1);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    automa_sandbox::reexec_guard();
    run()
}
