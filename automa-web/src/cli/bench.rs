//! `automa bench`
use std::process::ExitCode;

/// Arguments of `automa bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn main(_args: &Args) -> ExitCode {
    ExitCode::SUCCESS
}
