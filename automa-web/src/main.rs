//! The program `automa`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: this program also serves as the sandbox's helper.
    automa_sandbox::reexec_guard();
    cli::main()
}
