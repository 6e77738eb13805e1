//! `automa run`: what a script sees, and what its caller gets back.

use automa_sandbox::Outcome;
use automa_tests::{User, bash, python};

#[test]
fn output_and_exit_code_are_the_scripts_own() {
    for user in User::all() {
        let run = python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)");
        let run = run.run_as(user);
        run.exited(3);
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("out\n", "err\n"));
    }
}

#[test]
fn a_signal_is_told_from_an_exit_code() {
    for user in User::all() {
        let run = bash("kill -SEGV $$").run_as(user);
        assert_eq!(run.outcome(), &Outcome::Signaled { signal: 11 });
        assert_eq!(run.code, 139);
        bash("exit 139").run_as(user).exited(139);
    }
}
