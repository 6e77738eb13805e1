//! `automa run`: what a script sees, and what its caller gets back.

use std::{fs, path::Path, process::Command};

use automa_sandbox::{Bytes, Engine, EngineConfig, Error, ExitReport, Outcome, Runtime, Stage};
use automa_tests::{
    Run, Script, User, automa, bash, command, command_of, make_public, public_dir, python,
    running::Running,
};
use nix::libc;

use crate::block_on;

/// Runs the built program with these arguments to its end.
fn automa_with(user: User, args: &[&str]) -> Run {
    Running::start(command(user).args(args), None).end()
}

fn run_to_end(command: &mut Command) -> Run {
    Running::start(command, None).end()
}

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

/// Asserts that nothing was run, and that stderr says why: in one line if we wrote it.
#[track_caller]
fn assert_refused(run: &Run, part: &str) {
    assert_eq!((run.code, run.stdout.as_str()), (125, ""), "{run:#?}");
    let first = run.stderr.lines().next().unwrap_or_default();
    assert!(run.stderr.contains(part), "`{part}` expected: {run:#?}");
    let ours = first.starts_with("automa: ") && run.stderr.lines().count() == 1;
    // What is wrong with a flag is told by the parser, which adds how to use it.
    assert!(ours || first.starts_with("error: "), "{run:#?}");
}

#[test]
fn mistakes_are_told_in_a_sentence() {
    let script = bash("echo ran");
    let unknown = Script::new("script.rb", b"puts 1");
    let file = script.file().to_str().unwrap();
    let dir = script.file().parent().unwrap().to_str().unwrap();
    let missing = format!("{dir}/missing");
    let over_proc = format!("{dir}:/proc");
    let below_etc = format!("{dir}:/etc/x");
    let relative = format!("{dir}:inside");
    for (args, part) in [
        (&["run", &missing][..], "No such file"),
        (&["run", &format!("{missing}.sh")], "No such file"),
        (&["run", dir], "Is a directory"),
        (&["run", "/"], "/ is not a file"),
        (&["run", unknown.file().to_str().unwrap()], "cannot tell the language of `script.rb`"),
        (&["run", unknown.file().to_str().unwrap()], "Automa runs bash and python"),
        (&["run"], "FILE"),
        (&["run", file, "--language", "ruby"], "`ruby` is not a language"),
        (&["run", file, "--no-such-flag"], "--no-such-flag"),
        (&["run", file, "--memory", "lots"], "`lots` is not a size"),
        (&["run", file, "--memory", "-1"], "-1"),
        (&["run", file, "--output", "1.5G"], "`1.5G` is not a size"),
        (&["run", file, "--tmp", ""], "--tmp"),
        (&["run", file, "--wall", "soon"], "--wall"),
        (&["run", file, "--cpu-time", "5"], "--cpu-time"),
        (&["run", file, "--cpus", "none"], "`none` is not a share of processors"),
        (&["run", file, "--cpus", "0"], "from 0.01 to 1024"),
        (&["run", file, "--pids", "many"], "--pids"),
        (&["run", file, "--allow-net", "example.org"], "`example.org` is not a destination"),
        (&["run", file, "--profile", "root"], "`root` is not a profile"),
        (&["run", file, "--require", "luck"], "`luck` is not a protection"),
        (&["run", file, "--prefer", "luck"], "`luck` is not a protection"),
        (&["run", file, "--report", "xml"], "xml"),
        (&["run", file, "--mount-ro", &missing], "--mount-ro"),
        (&["run", file, "--mount-ro", "/proc"], "lies in /proc"),
        (&["run", file, "--mount-ro", &over_proc], "lies in /proc"),
        (&["run", file, "--mount-ro", &below_etc], "lies in /etc"),
        (&["run", file, "--mount-ro", &relative], "inside is not an absolute path"),
        (&["run", file, "--mount-ro", "/"], "replace the sandbox's root"),
        (&["run", file, "--env", "NAME"], "`NAME` is not of the form NAME=VALUE"),
        (&["run", file, "--env", "=value"], "cannot be the name of an environment variable"),
        (&["run", file, "--stdin", &missing], "--stdin"),
        (&["run", file, "--stdin", dir], "directory"),
    ] {
        for user in User::all() {
            assert_refused(&automa_with(user, args), part);
        }
    }
}

#[test]
fn the_program_explains_itself() {
    for user in User::all() {
        let run = automa_with(user, &["--help"]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:#?}");
        assert!(run.stdout.contains("Usage: automa"), "{run:#?}");
        let unknown = automa_with(user, &["walk"]);
        assert_eq!((unknown.code, unknown.stdout.as_str()), (2, ""), "{unknown:#?}");
        assert!(unknown.stderr.contains("Usage: automa"), "{unknown:#?}");
        let help = automa_with(user, &["run", "--help"]);
        assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{help:#?}");
        assert!(help.stdout.contains("Exit code: "), "{help:#?}");
    }
}

#[test]
fn the_helpers_command_is_not_for_people() {
    for user in User::all() {
        let run = automa_with(user, &["sandbox-zygote"]);
        assert_eq!((run.code, run.stdout.as_str()), (125, ""), "{run:#?}");
        assert!(run.stderr.contains("is for Automa's own use"), "{run:#?}");
    }
}

#[test]
fn a_file_of_another_user_is_not_readable() {
    let script = bash("echo ran");
    fs::set_permissions(script.file(), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    for user in User::all() {
        let run = script.run_as(user);
        let owner = nix::unistd::geteuid().is_root() == (user == User::Root);
        if owner {
            run.exited(0);
        } else {
            assert_refused(&run, "Permission denied");
        }
    }
}

#[test]
fn the_report_goes_to_descriptor_3_or_to_stderr() {
    let script = bash("echo out; echo err >&2; exit 3");
    for user in User::all() {
        let run = script.run_as(user);
        run.exited(3);
        assert_eq!(run.stderr, "err\n");

        let shell = |redirect: &str, format: &str| {
            let mut command = command_of(Path::new("/bin/sh"), user);
            command.args(["-c", &format!("exec \"$0\" run \"$1\" --report {format} {redirect}")]);
            run_to_end(command.arg(automa()).arg(script.file()))
        };
        let closed = shell("3>&-", "json");
        assert_eq!((closed.code, closed.stdout.as_str()), (3, "out\n"), "{closed:#?}");
        let (err, line) = closed.stderr.split_once('\n').unwrap();
        assert_eq!(err, "err");
        let report: ExitReport = serde_json::from_str(line).unwrap();
        assert_eq!(report.outcome, Outcome::Exited { code: 3 });
        assert!(line.ends_with("}\n") && line.lines().count() == 1, "{line}");

        let piped = shell("3>&1", "json");
        let (out, line) = piped.stdout.split_once('\n').unwrap();
        let report: ExitReport = serde_json::from_str(line).unwrap();
        assert_eq!((out, report.outcome), ("out", Outcome::Exited { code: 3 }));

        // What cannot be written to is no place for a report.
        for unwritable in ["3</dev/null", "3>/dev/full", "3</"] {
            let elsewhere = shell(unwritable, "json");
            assert_eq!((elsewhere.code, elsewhere.stdout.as_str()), (3, "out\n"), "{elsewhere:#?}");
            let (_, line) = elsewhere.stderr.split_once('\n').unwrap();
            serde_json::from_str::<ExitReport>(line).unwrap();
        }

        let none = shell("3>&-", "none");
        assert_eq!((none.code, none.stderr.as_str()), (3, "err\n"));
        let text = shell("3>&-", "text");
        assert!(text.stderr.contains("exit code 3") && text.stderr.contains("confined by"));
    }
}

#[test]
fn without_a_terminal_only_a_limit_is_worth_a_line() {
    for user in User::all() {
        for (source, flags, line) in [
            ("exit 3", "--wall 60s", ""),
            ("kill -TERM $$", "--wall 60s", ""),
            ("sleep 1000", "--wall 100ms", "automa: the script was stopped at its time limit\n"),
        ] {
            let script = bash(source);
            let mut command = command(user);
            command.arg("run").arg(script.file()).args(flags.split(' '));
            assert_eq!(run_to_end(&mut command).stderr, line, "{source}");
        }
    }
}

#[test]
fn input_is_empty_a_file_or_our_own() {
    let dir = public_dir();
    let file = dir.path().join("in put");
    fs::write(&file, "from a file\nand more\n").unwrap();
    make_public(&file);
    let file = file.to_str().unwrap();
    for user in User::all() {
        let run = bash("cat; echo end").run_as(user);
        assert_eq!(run.stdout, "end\n");

        let run = bash("cat").flag("--stdin", file).run_as(user);
        assert_eq!(run.stdout, "from a file\nand more\n");
        // It is for reading only.
        let run = bash("echo x >&0 || echo refused").flag("--stdin", file).run_as(user);
        assert_eq!(run.stdout, "refused\n");

        let script = bash("cat; echo end").flags("--stdin -");
        let mut running = script.start_as(user);
        running.send("by pipe\n");
        let run = running.end();
        run.exited(0);
        assert_eq!(run.stdout, "by pipe\nend\n");
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "from a file\nand more\n");
}

#[test]
fn output_comes_while_the_script_runs() {
    for (script, what) in [
        (bash("echo first; echo second >&2; read line; echo got $line"), "bash"),
        (python("print('first')\nprint('got', input())"), "python"),
        (bash("printf 'first\n'; head -n 1 | sed 's/^/got /'"), "a child"),
    ] {
        let script = script.flags("--stdin -");
        for user in User::all() {
            let mut running = script.start_as(user);
            assert_eq!(running.line(), "first\n", "{what}");
            // Only now can it go on.
            running.send("an answer\n");
            assert_eq!(running.line(), "got an answer\n", "{what}");
            running.end().exited(0);
        }
    }
}

#[test]
fn a_reader_that_leaves_ends_the_run() {
    for user in User::all() {
        for source in ["yes", "while echo line; do sleep 0.01; done", "trap '' PIPE TERM; yes"] {
            let script = bash(source).flags("--output 1G");
            let mut running = script.start_as(user);
            let _ = running.line();
            running.close_output();
            let run = running.end();
            assert_eq!((run.outcome(), run.code), (&Outcome::Cancelled, 141), "{run:#?}");
            assert!(run.report.as_ref().unwrap().tree_empty);
        }
        let script = bash("yes");
        let mut command = command_of(Path::new("/bin/sh"), user);
        command.args(["-c", "\"$0\" run \"$1\" | head -n 1"]).arg(automa()).arg(script.file());
        assert_eq!(run_to_end(&mut command).stdout, "y\n");
    }
}

/// Arguments that something on the way might have taken for something else.
const WORDS: [&str; 16] = [
    "",
    " ",
    "two words",
    "  around  ",
    "-",
    "--",
    "-x",
    "--wall",
    "--help",
    "*",
    "$HOME",
    "`id`",
    "\"'\\",
    "a\nb",
    "käse 🧀",
    "a=b",
];

#[test]
fn arguments_arrive_as_they_are() {
    let expected = format!("<{}>", WORDS.join("><"));
    for user in User::all() {
        for script in [
            bash("printf '<%s>' \"$@\""),
            python("import sys; print(''.join(f'<{word}>' for word in sys.argv[1:]), end='')"),
        ] {
            let run = WORDS.iter().fold(script, |script, word| script.arg(word)).run_as(user);
            run.exited(0);
            assert_eq!(run.stdout, expected);
        }
        let none = bash("echo $#").run_as(user);
        assert_eq!(none.stdout, "0\n");
    }
}

#[test]
fn variables_arrive_as_they_are_and_no_others() {
    for user in User::all() {
        let script = WORDS.iter().enumerate().fold(
            python("import os, json; print(json.dumps(dict(os.environ)))"),
            |script, (n, word)| script.flag("--env", &format!("WORD{n}={word}")),
        );
        let script = script.flag("--env", "LANG=C");
        let report = script.file().with_extension("json");
        fs::write(&report, "").unwrap();
        make_public(&report);
        let mut command = script.command(user, &report);
        let run = run_to_end(command.env("SECRET", "of the server"));
        let seen: std::collections::BTreeMap<String, String> =
            serde_json::from_str(&run.stdout).unwrap();
        for (n, word) in WORDS.iter().enumerate() {
            assert_eq!(seen[&format!("WORD{n}")], *word);
        }
        assert_eq!(seen["LANG"], "C", "the caller's counts");
        let others: Vec<_> = seen.keys().filter(|name| !name.starts_with("WORD")).collect();
        // The last is added by Python itself where the locale is C.
        let known = ["HOME", "LANG", "LOGNAME", "PATH", "PYTHONUNBUFFERED", "USER", "LC_CTYPE"];
        assert!(others.iter().all(|name| known.contains(&name.as_str())), "{others:?}");
    }
}

#[test]
fn scripts_may_have_any_name() {
    let long = format!("{}.sh", "x".repeat(252));
    for name in
        ["two words.sh", "-x.sh", "--help.sh", "käse 🧀.sh", "$HOME.sh", "a'b\".sh", ".sh", &long]
    {
        let script = Script::new(name, b"echo \"$0\"; cat -- \"$0\" | wc -l");
        for user in User::all() {
            let run = script.run_as(user);
            run.exited(0);
            let shown = run.stdout.lines().next().unwrap();
            assert_eq!(shown.trim_start_matches("./"), name, "{run:#?}");
        }
    }
    for (name, source) in
        [("tool", "#!/usr/bin/env python3\n"), ("tool.txt", "#!/usr/bin/python3 -u\n")]
    {
        let source = format!("{source}print('python')");
        for user in User::all() {
            let run = Script::new(name, source.as_bytes()).run_as(user);
            assert_eq!(run.stdout, "python\n", "{name}");
        }
    }
    let run = Script::new("tool", b"echo told").flags("--language bash").run_as(User::Ordinary);
    assert_eq!(run.stdout, "told\n");
}

#[test]
fn sources_may_be_odd() {
    let mut large = b"echo begin\n".to_vec();
    large.resize(5 << 20, b'#');
    large.extend(b"\necho end\n");
    let mut large_python = b"print('begin')\n".to_vec();
    large_python.resize(5 << 20, b'#');
    large_python.extend(b"\nprint('end')\n");
    for user in User::all() {
        for (what, script, code, stdout) in [
            ("empty bash", bash(""), 0, ""),
            ("empty python", python(""), 0, ""),
            ("blank", bash("\n\n  \n"), 0, ""),
            ("no line end", bash("exit 7"), 7, ""),
            ("python with CRLF", python("if True:\r\n  print('a')\r\nprint('b')\r\n"), 0, "a\nb\n"),
            // bash takes the return for a part of the word, here as anywhere.
            ("bash with CRLF", bash("echo a\r\necho b\r\n"), 0, "a\r\nb\r\n"),
            ("python with a mark", python("\u{feff}print('marked')"), 0, "marked\n"),
            ("bytes that are no text", bash(b"echo \xff\xfe | wc -c"), 0, "3\n"),
            ("5 MiB of bash", bash(&large), 0, "begin\nend\n"),
            ("5 MiB of python", python(&large_python), 0, "begin\nend\n"),
        ] {
            let run = script.run_as(user);
            assert_eq!((run.code, run.stdout.as_str()), (code, stdout), "{what}: {run:#?}");
            run.exited(code);
        }
    }
}

#[test]
fn a_source_larger_than_its_disk_is_explained() {
    let source = vec![b'#'; 2 << 20];
    for user in User::all() {
        let run = bash(&source).flags("--tmp 1M").run_as(user);
        assert_eq!((run.code, run.stdout.as_str()), (125, ""), "{run:#?}");
        let outcome = Outcome::SetupFailed { stage: Stage::Files, errno: libc::ENOSPC };
        assert_eq!(run.outcome(), &outcome);
    }
}

/// The longest variable that Linux passes on, its name and a zero byte included.
const LONGEST: usize = 128 << 10;

#[test]
fn a_long_variable_arrives() {
    let value = "x".repeat(LONGEST - "A=".len() - 1);
    for user in User::all() {
        let run = bash("echo ${#A}").flag("--env", &format!("A={value}")).run_as(user);
        run.exited(0);
        assert_eq!(run.stdout, format!("{}\n", value.len()));
    }
}

#[test]
fn more_environment_than_linux_passes_on_is_an_error_and_no_crash() {
    block_on(async {
        let config = EngineConfig::default().helper(automa()).slots(1);
        let engine = Engine::start(config).await.unwrap();
        let script = || Runtime::bash().unwrap().command("env | wc -c", "script.sh");
        for value in [LONGEST - 2, LONGEST, 10 * LONGEST] {
            let error = engine.spawn(script().env("A", "x".repeat(value))).await.unwrap_err();
            assert!(matches!(error, Error::InvalidCommand(_)), "{error:?}");
            assert!(error.to_string().contains("longer than 128 KiB"), "{error}");
            let error = engine.spawn(script().arg("x".repeat(value + 2))).await.unwrap_err();
            assert!(error.to_string().contains("longer than 128 KiB"), "{error}");
        }
        let many = |count: usize| {
            let names = (0..count).map(|n| format!("VAR{n}"));
            names.fold(script(), |script, name| script.env(name, "x".repeat(100 << 10)))
        };
        // A quarter of the stack is for arguments and environment (execve(2)): here 2 MiB.
        let fits = engine.output(many(15)).await.unwrap();
        assert_eq!(fits.report.outcome, Outcome::Exited { code: 0 }, "{fits:#?}");
        let seen: u64 = String::from_utf8(fits.stdout).unwrap().trim().parse().unwrap();
        assert!(Bytes(seen) > Bytes::kib(1500), "{seen}");
        for count in [21, 40] {
            let output = engine.output(many(count)).await.unwrap();
            let outcome = Outcome::SetupFailed { stage: Stage::Exec, errno: libc::E2BIG };
            assert_eq!(output.report.outcome, outcome, "{count}: {output:#?}");
        }
        let next = engine.output(script()).await.unwrap();
        assert_eq!(next.report.outcome, Outcome::Exited { code: 0 });
        engine.shutdown().await;
    });
}

#[test]
fn host_files_are_shown_where_and_how_they_were_asked_for() {
    let dir = public_dir();
    fs::write(dir.path().join("file"), "content\n").unwrap();
    let at_home = dir.path().to_str().unwrap();
    let elsewhere = format!("{at_home}:/srv/data");
    let file = format!("{at_home}/file:/opt/one");
    for user in User::all() {
        let source = "cat /srv/data/file /opt/one; echo x 2>&1 >> /srv/data/file | tail -c 22
            rm -f /srv/data/file || ls -A /srv /opt";
        let script = bash(source).flag("--mount-ro", &elsewhere).flag("--mount-ro", &file);
        let run = script.run_as(user);
        assert!(run.stdout.starts_with("content\ncontent\n"), "{run:#?}");
        assert!(run.stdout.ends_with("/opt:\none\n\n/srv:\ndata\n"), "{run:#?}");
        assert_eq!(fs::read_to_string(dir.path().join("file")).unwrap(), "content\n");
    }
}
