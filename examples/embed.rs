//! Automa inside another program: a script is saved, run in the sandbox, and looked at.
//!
//! `embed [DIRECTORY]` keeps its data in that directory, which is made, or in a temporary one.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::{error::Error, path::PathBuf, time::Duration};

use automa_core::{
    Automa,
    actor::Actor,
    execution::NewExecution,
    script::{Language, NewScript},
};
use tokio::time::Instant;

#[tokio::main(flavor = "current_thread")]
async fn run() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let directory = std::env::args().nth(1).map_or(temporary.path().into(), PathBuf::from);
    let automa = Automa::builder().directory(directory).start().await?;
    let me = Actor::embedder("example");

    let script = NewScript::new("greet", Language::Python, "print('hello from a script')");
    let script = automa.scripts(&me).create(script).await?;
    let executions = automa.executions(&me);
    let accepted = executions.submit(NewExecution::script(script.id)).await?;
    let ended = executions.wait(accepted.id, Instant::now() + Duration::from_mins(1)).await?;

    for line in executions.log(ended.id)?.lines(1, 100)?.lines {
        println!("{:>3}  {}", line.n, line.text);
    }
    println!("{}: {}", ended.state, ended.ending.map(|ending| ending.cause).unwrap_or_default());
    automa.close().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    automa_sandbox::reexec_guard();
    run()
}
