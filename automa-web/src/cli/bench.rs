//! `automa bench`: Automa against its bare counterpart, interleaved in one run, so that whatever
//! else the machine does falls on both.

mod engine;
mod http;
mod jobs;
mod log;
mod sandbox;
mod scripts;
mod table;

use std::process::ExitCode;

use clap::ValueEnum;

use super::block_on;

/// Arguments of `automa bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to measure (default: everything)
    #[arg(value_enum, value_delimiter = ',')]
    suites: Vec<Suite>,
    /// Write the figures as one JSON document
    #[arg(long)]
    json: bool,
    /// Fewer rounds: a first impression in seconds
    #[arg(long)]
    quick: bool,
    /// Serve what the http suite compares with, until killed
    #[arg(long, hide = true)]
    hello: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Starting programs in a sandbox
    Sandbox,
    /// Submissions, results, live logs, lists and long histories through a server
    Http,
    /// Submissions and results of the core alone, without a server
    Engine,
    /// The scheduler with a hundred thousand jobs
    Jobs,
    /// Writing, reading and searching a log of a gigabyte
    Log,
    /// Finding scripts among ten thousand
    Scripts,
}

/// Runs the command.
pub(crate) fn main(args: &Args) -> ExitCode {
    if args.hello {
        return match http::serve_hello() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let all = [Suite::Sandbox, Suite::Http, Suite::Engine, Suite::Jobs, Suite::Log, Suite::Scripts];
    let suites = if args.suites.is_empty() { &all[..] } else { &args.suites };
    let mut tables = Vec::new();
    for suite in suites {
        let result = match suite {
            Suite::Sandbox => block_on(sandbox::measure(args.quick)),
            Suite::Http => block_on(http::measure(args.quick)),
            Suite::Engine => block_on(engine::measure(args.quick)),
            Suite::Jobs => block_on(jobs::measure(args.quick)),
            Suite::Log => Ok(log::measure(args.quick)),
            Suite::Scripts => block_on(scripts::measure(args.quick)),
        };
        match result.map_err(|error| error.to_string()).flatten() {
            Ok(mut measured) => tables.append(&mut measured),
            Err(problem) => {
                eprintln!("automa: {problem}");
                return ExitCode::FAILURE;
            }
        }
    }
    match table::write(&tables, args.json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
