//! Integration tests: the built program, real sandboxes. One module for each subject.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod agents;
mod api;
mod artifacts;
mod audit;
mod bad_input;
mod degraded;
mod directories;
mod dispatch;
mod documentation;
mod durable;
mod egress;
mod examples;
mod executions;
mod faults;
mod fidelity;
mod history;
mod limits;
mod live;
mod log_viewer;
mod logs;
mod memory;
mod openapi;
mod ops;
mod pages;
mod probes;
mod rate_limit;
mod results;
mod retention;
mod run;
mod secrets;
mod serving;
mod terminal;
mod tree;
mod vault;
mod warm;
mod web_safety;

/// Runs a future to its end; engines need a tokio runtime around them.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio.block_on(future)
}
