//! The program `automa`: command line, pages and API.
//!
#![doc = include_str!("threat_model.md")]

mod api;
mod assets;
mod auth;
mod blocking;
mod cli;
mod client_address;
mod config;
mod csp_reports;
mod docs;
mod filters;
mod htmx;
mod lifecycle;
mod listen;
mod live;
mod middleware;
mod openapi;
mod ops;
mod pages;
mod problem;
mod range;
mod server;

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: this program also serves as the sandbox's helper.
    automa_sandbox::reexec_guard();
    cli::main()
}
