//! `automa setup-url`: the setup link again, while there is no user.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use super::serve::DATA;
use crate::server::setup_link;

/// Arguments of `automa setup-url`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the server keeps everything
    #[arg(long, env = "AUTOMA_DATA", default_value = DATA, value_name = "DIR")]
    data: PathBuf,
    /// Where the server listens
    #[arg(long, env = "AUTOMA_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDR:PORT")]
    listen: SocketAddr,
}

/// Runs the command.
pub(crate) fn main(args: &Args) -> ExitCode {
    match automa_core::setup::stored_token(&args.data) {
        Ok(Some(token)) => {
            let link = setup_link("http", args.listen, &token);
            match writeln!(io::stdout(), "{link}") {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            }
        }
        Ok(None) => {
            eprintln!(
                "automa: there is no setup link in {}: an account exists already, or no server has \
                 run there yet",
                args.data.display()
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("automa: cannot read the setup link in {}: {error}", args.data.display());
            ExitCode::FAILURE
        }
    }
}
