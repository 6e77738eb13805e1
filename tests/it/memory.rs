//! What the sandbox's own processes do with memory.

use automa_tests::{User, command_of, helper};

#[test]
fn init_and_payload_allocate_nothing() {
    let program = helper("allocation_free");
    let output = command_of(&program, User::all()[0]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
