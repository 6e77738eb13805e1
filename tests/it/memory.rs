//! What the sandbox's own processes do with memory.

use std::path::Path;

use automa_tests::{User, command_of};

#[test]
fn init_and_payload_allocate_nothing() {
    let program = Path::new(env!("CARGO_BIN_EXE_allocation_free"));
    let output = command_of(program, User::all()[0]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
