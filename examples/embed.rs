//! Automa inside another program: a script is saved, run in the sandbox, and looked at.
//!
//! `embed [DIRECTORY]` keeps its data in the directory, else in memory.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use automa_core::{
    Automa, Error,
    actor::Actor,
    execution::NewExecution,
    script::{Language, NewScript},
};

#[tokio::main(flavor = "current_thread")]
async fn run() -> Result<(), Error> {
    let builder = match std::env::args().nth(1) {
        Some(directory) => Automa::builder().directory(directory),
        None => Automa::builder(),
    };
    let automa = builder.start().await?;
    let me = Actor::embedder("example");
    let script = NewScript::new("greet", Language::Python, "print('hello from a script')");
    let script = automa.scripts(&me).create(script).await?;
    let execution = automa.executions(&me).submit(NewExecution::script(script.id)).await?;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    let execution = automa.executions(&me).wait(execution.id, deadline).await?;
    for line in automa.executions(&me).log(execution.id)?.lines(1, 100)?.lines {
        println!("{:>3}  {}", line.number, line.text);
    }
    println!("{:?}: {}", execution.state, execution.ending.map_or_default(|ending| ending.cause));
    automa.close().await;
    Ok(())
}

fn main() -> Result<(), Error> {
    automa_sandbox::reexec_guard();
    run()
}
