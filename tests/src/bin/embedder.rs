//! A program that embeds Automa and is killed: submits executions in a data directory, tells of
//! each that was accepted, and goes on until somebody ends it.
//!
//! `embedder DIRECTORY HELPER`
#![expect(clippy::print_stdout, reason = "this is how it tells")]

use automa_core::{Automa, Error, actor::Actor, execution::NewExecution, script::Language};
use automa_sandbox::EngineConfig;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().collect();
    let engine = EngineConfig::default().helper(&args[2]).slots(1);
    let automa = Automa::builder().directory(&args[1]).engine(engine).start().await?;
    let me = Actor::embedder("embedder");
    for source in ["echo begun; sleep 1000", "echo second", "echo third"] {
        let new = NewExecution::code(Language::Bash, source);
        println!("{}", automa.executions(&me).submit(new).await?.id);
    }
    std::future::pending().await
}
