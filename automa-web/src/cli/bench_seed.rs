//! `automa bench-seed`: a history of executions that never were, to measure with.

use std::{path::PathBuf, process::ExitCode, time::Instant};

use automa_core::{Automa, actor::Actor};

use super::{block_on, explain, serve::DATA};

/// Arguments of `automa bench-seed`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to write them, while no server runs there: a directory of its own
    #[arg(long, env = "AUTOMA_DATA", default_value = DATA, value_name = "DIR")]
    data: PathBuf,
    /// How many executions
    #[arg(long, value_name = "N")]
    rows: u64,
}

/// Runs the command.
pub(crate) fn main(args: Args) -> ExitCode {
    let Args { data, rows } = args;
    match block_on(seed(data, rows)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => fail(&error),
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("automa: {}", explain(error));
    ExitCode::FAILURE
}

async fn seed(data: PathBuf, rows: u64) -> Result<(), automa_core::Error> {
    let begun = Instant::now();
    let (step, mut next) = ((rows / 10).max(1), 0);
    let progress = |done| {
        if done >= next || done == rows {
            eprintln!("{done} of {rows} executions after {:.1} s", begun.elapsed().as_secs_f64());
            next = done + step;
        }
    };
    let actor = Actor::embedder("automa bench-seed");
    Automa::builder().directory(data).seed(&actor, rows, progress).await
}
