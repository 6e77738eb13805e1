//! The command line: arguments in, exit codes out. No other part of Automa knows of either.

mod audit;
mod bench;
mod bench_seed;
mod compact;
mod doctor;
mod run;
mod serve;
mod setup_url;
mod user;
mod vault;

use std::{env, ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand, error::ErrorKind};

/// Exit code when Automa itself, not the script, is the reason that nothing ran.
const EXIT_NOT_RUN: u8 = 125;

/// Runs scripts in native Linux sandboxes. Without a command, it serves.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve pages and the API, in the foreground
    Serve(Box<serve::Args>),
    /// Manage accounts
    User(user::Args),
    /// Manage the master key that secrets are sealed by
    Vault(vault::Args),
    /// Print the setup link again, while there is no account
    SetupUrl(setup_url::Args),
    /// Prove that nothing in the audit log was changed
    Audit(audit::Args),
    /// Run a script file in a sandbox
    Run(Box<run::Args>),
    /// Give back space that the store does not need any more, while no server runs
    Compact(compact::Args),
    /// Show what this host enforces, and what to do about the rest
    Doctor(doctor::Args),
    /// Measure Automa against its bare counterpart, interleaved in one run
    Bench(bench::Args),
    /// Fill a data directory with executions that never were, for benchmarks
    BenchSeed(bench_seed::Args),
}

/// Parses the command line and runs the command.
pub(crate) fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().collect();
    let parsed = Cli::try_parse_from(&args).and_then(|cli| match cli.command {
        Some(command) => Ok(command),
        None => serve::Args::of_environment().map(|args| Command::Serve(Box::new(args))),
    });
    let command = match parsed {
        Ok(command) => command,
        Err(error) => return usage(&error, &args),
    };
    match command {
        Command::Serve(args) => serve::main(*args),
        Command::User(args) => user::main(args),
        Command::Audit(args) => audit::main(args),
        Command::Vault(args) => vault::main(args),
        Command::SetupUrl(args) => setup_url::main(&args),
        Command::Run(args) => run::main(*args),
        Command::Compact(args) => compact::main(args),
        Command::Doctor(args) => doctor::main(&args),
        Command::Bench(args) => bench::main(&args),
        Command::BenchSeed(args) => bench_seed::main(args),
    }
}

/// Shows help or what was wrong. For `run` the code differs from 2, which a script may well have.
fn usage(error: &clap::Error, args: &[OsString]) -> ExitCode {
    // When the terminal is gone, nobody is left to be told.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ if args.get(1).is_some_and(|command| command == "run") => ExitCode::from(EXIT_NOT_RUN),
        _ => ExitCode::from(2),
    }
}

/// An error and its causes, as one sentence.
fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |cause| cause.source()) {
        let cause = cause.to_string();
        // Some errors say in their own words what their cause says.
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Runs a command's future on this thread.
fn block_on<F: Future>(future: F) -> std::io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(future);
    // Whatever still waits for a reader who stalls is not waited for.
    runtime.shutdown_background();
    Ok(result)
}
