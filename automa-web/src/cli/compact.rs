//! `automa compact`: gives space back to the file system that the store does not need any more.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use automa_core::{Automa, store::Compaction};
use automa_sandbox::Bytes;

use super::{explain, serve::DATA};

/// Arguments of `automa compact`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the server keeps everything, while it does not run
    #[arg(long, env = "AUTOMA_DATA", default_value = DATA, value_name = "DIR")]
    data: PathBuf,
}

/// Runs the command.
pub(crate) fn main(args: Args) -> ExitCode {
    match Automa::builder().directory(args.data).compact() {
        Ok(Compaction { before, after }) => {
            let (before, after) = (Bytes(before), Bytes(after));
            match writeln!(io::stdout(), "the store has {after}, and had {before} before") {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            eprintln!("automa: {}", explain(&error));
            ExitCode::FAILURE
        }
    }
}
