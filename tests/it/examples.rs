//! Examples that need a server: they do what they say.

use automa_tests::{User, client::PASSWORD, command_of, server::Server};

use crate::block_on;

#[test]
fn the_client_prints_what_its_script_printed() {
    let server = Server::start();
    block_on(server.set_up());
    let own = std::env::current_exe().unwrap();
    let client = own.ancestors().nth(2).unwrap().join("examples/client");
    let run = |password: &str| {
        let mut command = command_of(&client, User::all()[0]);
        command.args([server.url(), "admin", password]).output().unwrap()
    };
    let output = run(PASSWORD);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(shown.starts_with("hello admin\n\"succeeded\""), "{shown}");
    let refused = run("wrong");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("401"), "{refused:?}");
}
