//! What a program gets from its start: descriptors, arguments, environment; and how it is ended
//! by them.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use automa_tests::{automa, bash, command_of, public_dir, python};

use super::{
    AMPLE, Start, World, after, attempts, confined, mentions, new_mark, numbers, pids, shell,
};

/// An inherited descriptor is a way past every wall (CVE-2024-21626 of runc: one of the host's
/// cgroup directory). Automa itself is given some to leak.
#[test]
fn only_standard_descriptors_are_there() {
    let source = "import os, stat, json\n\
        kinds = {stat.S_IFIFO: 'pipe', stat.S_IFCHR: 'device', stat.S_IFSOCK: 'socket'}\n\
        own = [fd for fd in range(4096) if os.path.exists(f'/proc/self/fd/{fd}')]\n\
        print(json.dumps([own, [kinds.get(stat.S_IFMT(os.fstat(fd).st_mode)) for fd in own],\n\
        \x20                 [os.get_inheritable(fd) for fd in own]]))\n";
    for world in World::all() {
        let script = python(source).flags(AMPLE);
        let script = world.arrange(script);
        let own = script.command(world.user, Path::new("/dev/null"));
        let leak = "exec 5</etc 6</etc/passwd 7<>/dev/null 9</ 100</proc; exec \"$@\"";
        let mut command = command_of("/bin/bash".as_ref(), world.user);
        command.args(["-c", leak, "leak"]).arg(own.get_program()).args(own.get_args());
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        let expected = "[[0, 1, 2], [\"device\", \"pipe\", \"pipe\"], [true, true, true]]\n";
        assert_eq!(told, expected, "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(shell(world, "ls /proc/self/fd | xargs"), "0 1 2 3", "3 is what ls reads");
    }
}

/// The standard descriptors lead to pipes and /dev/null: not to a file, a terminal or a socket of
/// the host, and not to more than they are.
#[test]
fn standard_descriptors_are_not_a_way_out() {
    let setup = numbers!(F_SETPIPE_SZ F_SETOWN O_PATH)
        + "def parent(fd): os.open('..', O_PATH, dir_fd=fd)\n\
           def again(fd, flags): os.open(f'/proc/self/fd/{fd}', flags)\n";
    for world in World::all() {
        after(&setup).inside(
            world,
            &[
                ("os.readlink('/proc/self/fd/0')", "/dev/null"),
                ("os.readlink('/proc/self/fd/1').split(':')[0]", "pipe"),
                ("os.readlink('/proc/self/fd/2').split(':')[0]", "pipe"),
                ("os.read(1, 1)", "EBADF"),
                ("parent(0)", "ENOTDIR"),
                ("parent(1)", "ENOTDIR"),
                ("os.fchdir(1)", "ENOTDIR"),
                ("socket.socket(fileno=os.dup(1))", "ENOTSOCK"),
                ("socket.socket(fileno=os.dup(0))", "ENOTSOCK"),
                ("fcntl.fcntl(1, F_SETPIPE_SZ, 1 << 30)", "EPERM"),
                ("str(os.isatty(0) or os.isatty(1) or os.isatty(2))", "False"),
            ],
        );
    }
}

/// A lease delays whoever else opens a file, a directory notification watches them
/// (`fcntl(2)`), here on files that all sandboxes share.
#[test]
fn shared_files_are_not_held() {
    let setup = numbers!(F_SETLEASE F_GETLEASE F_NOTIFY F_RDLCK F_WRLCK)
        + "fd = os.open('/usr/bin/env', os.O_RDONLY)\n\
           own = os.open('own', os.O_CREAT | os.O_RDWR)\n";
    for world in World::all() {
        after(&setup).inside(
            world,
            &[
                ("fcntl.fcntl(fd, F_SETLEASE, F_RDLCK)", "EPERM"),
                ("fcntl.fcntl(own, F_SETLEASE, F_WRLCK)", "EPERM"),
                ("fcntl.fcntl(fd, F_GETLEASE)", "EPERM"),
                ("fcntl.fcntl(os.open('/usr', os.O_RDONLY), F_NOTIFY, 1)", "EPERM"),
                ("fcntl.lockf(own, fcntl.LOCK_EX)", "ok"),
                ("fcntl.lockf(fd, fcntl.LOCK_EX)", "EBADF"),
            ],
        );
    }
}

/// Output that is closed, input that is never read or never ends, a reader that goes away: none
/// of it holds a run up or hides how it ended.
#[test]
fn odd_streams_do_not_hold_a_run_up() {
    for world in World::all() {
        confined(bash("exec >&- 2>&-; echo lost; exit 7"), world).exited(7);
        confined(bash("exec <&-; exit 8").flag("--stdin", "/dev/zero"), world).exited(8);
        confined(bash("exit 9").flag("--stdin", "/dev/zero"), world).exited(9);
        let run = confined(bash("head -c 5 | wc -c").flag("--stdin", "/dev/zero"), world);
        assert_eq!(run.exited(0).stdout, "5\n");
        let run = confined(bash("yes | head -n 1; echo ${PIPESTATUS[0]}"), world);
        assert_eq!(run.exited(0).stdout, "y\n141\n", "SIGPIPE has its default");
        let source = "import sys; sys.stdout.close(); sys.stderr.close(); sys.exit(6)";
        confined(python(source), world).exited(6);
        confined(python("import os; os.closerange(0, 100); os._exit(5)"), world).exited(5);
    }
}

/// When the reader of Automa's output goes away, so does the script.
#[test]
fn a_lost_reader_ends_the_script() {
    for world in World::all() {
        let mark = new_mark();
        let script = bash("while :; do echo line; done").flag("--env", &format!("PROBE={mark}"));
        let script = world.arrange(script);
        let mut command = script.command(world.user, Path::new("/dev/null"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "line\n");
        let begun = Instant::now();
        child.wait().unwrap();
        assert!(begun.elapsed() < Duration::from_mins(1));
        assert_eq!(super::processes_with(&mark), Vec::<u32>::new());
    }
}

/// A grandchild that keeps the output open does not keep the run going: everything ends with the
/// script, and what was written before is there.
#[test]
fn a_grandchild_with_the_output_open_is_ended() {
    for world in World::all() {
        let run = confined(bash("sleep 1000 & (trap '' TERM HUP; sleep 1000) & echo done"), world);
        assert_eq!(run.exited(0).stdout, "done\n");
        let source = "import os, subprocess\n\
            subprocess.Popen(['sleep', '1000'], start_new_session=True)\n\
            print('done', flush=True); os._exit(3)";
        let run = confined(python(source), world);
        assert_eq!(run.exited(3).stdout, "done\n");
        assert!(run.report.unwrap().usage.wall() < Duration::from_secs(30));
    }
}

/// The caller's environment stays the caller's; what is asked for reaches the script alone, and
/// not the dynamic linker or the shell of anything that Automa runs about it.
#[test]
fn the_environment_is_the_scripts_alone() {
    let dir = public_dir();
    let library = dir.path().join("library.so");
    let script = "env | cut -d= -f1 | sort | xargs";
    let usual = "HOME LANG LD_PRELOAD LOGNAME PATH PROBE PWD SHLVL USER _";
    for world in World::all() {
        let hostile =
            [("BASH_ENV", "/dev/stdin"), ("PYTHONSTARTUP", "x.py"), ("SECRET", "x"), ("ENV", "x")];
        let script =
            bash(script).flags(AMPLE).flag("--env", "PROBE=x").flag("--env", "LD_PRELOAD=/none.so");
        let script = world.arrange(script);
        let mut command = script.command(world.user, Path::new("/dev/null"));
        let output = command.envs(hostile).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), usual);
        // The linker complains in the name of the script's programs only.
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.lines().all(|line| line.contains("object '/none.so'")), "{stderr}");
        assert!(!stderr.contains("automa") && !library.exists(), "{stderr}");
        let run = confined(bash("echo script").flag("--env", "BASH_ENV=before"), world);
        assert_eq!(run.exited(0).stdout, "script\n");
    }
}

/// Arguments and environments at and above the limits of `execve(2)`.
#[test]
fn huge_arguments_arrive_or_are_refused() {
    for world in World::all() {
        let longest = "x".repeat((128 << 10) - 1);
        let run = confined(bash("echo ${#1}").arg(&longest), world);
        assert_eq!(run.exited(0).stdout, "131071\n");
        let variables =
            (0..2000).fold(bash("env | grep -c ^V"), |s, i| s.flag("--env", &format!("V{i}={i}")));
        assert_eq!(confined(variables, world).exited(0).stdout, "2000\n");
        after("def run(*args): os.execv('/usr/bin/true', ['true', *args])\n").inside(
            world,
            &[
                ("run('x' * (128 << 10))", "E2BIG"),
                ("run(*['x' * 1000] * 4000)", "E2BIG"),
                ("child(lambda: run('x' * 1000, '', '-' * 1000))", "exit 0"),
            ],
        );
    }
}

/// What cannot be executed is told apart by the kernel, and by the shell as 126 and 127; what the
/// script says with the same numbers stays the script's.
#[test]
fn programs_that_cannot_run_are_told_apart() {
    let setup = "def make(name, content, mode=0o755):\n\
        \x20   with open(name, 'wb') as file: file.write(content)\n\
        \x20   os.chmod(name, mode)\n\
        make('plain', b'#!/bin/sh\\n', 0o644)\n\
        make('lost', b'#!/no/such/interpreter\\n')\n\
        make('loop', b'#!' + os.path.abspath('loop').encode() + b'\\n')\n\
        make('arm', open('/usr/bin/true', 'rb').read()[:18] + b'\\xb7\\0' + bytes(200))\n\
        make('empty', b'')\n\
        make('garbage', b'\\x7fELF' + bytes(60))\n\
        def run(name): os.execv(name, [name])\n";
    for world in World::all() {
        after(setup).inside(
            world,
            &[
                ("run('./missing')", "ENOENT"),
                ("run('./plain')", "EACCES"),
                ("run('./lost')", "ENOENT"),
                ("run('./loop')", "ELOOP"),
                ("run('./arm')", "ENOEXEC"),
                ("run('./empty')", "ENOEXEC"),
                ("run('./garbage')", "ENOEXEC"),
                ("run('/usr/bin')", "EACCES"),
                ("run('/etc/passwd')", "EACCES"),
                ("run('./empty/x')", "ENOTDIR"),
            ],
        );
        assert_eq!(shell(world, "./x 2>/dev/null; echo $?; /etc 2>/dev/null; echo $?"), "127\n126");
        for code in [124, 125, 126, 127, 137] {
            confined(bash(format!("exit {code}")), world).exited(code);
        }
        let output =
            command_of(automa(), world.user).args(["run", "/no/such.sh"]).output().unwrap();
        assert_eq!(output.status.code(), Some(125));
        assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such.sh"));
    }
}

/// A secret for one script, while it runs: nowhere but in the script's own environment, and on the
/// command line that the test itself gave. The kernel shows the environment that a program was
/// started with, which an interpreter that waited has never had the secret in.
#[test]
fn secrets_stay_with_the_script() {
    for world in World::all() {
        let secret = format!("secret-{}", new_mark());
        let script = python(
            "import os, sys; print(len(os.environ['SECRET']), flush=True); sys.stdin.read()",
        );
        let script =
            script.flags(AMPLE).flag("--stdin", "-").flag("--env", &format!("SECRET={secret}"));
        let script = world.arrange(script);
        let mut command = script.command(world.user, Path::new("/dev/null"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        told.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), secret.len().to_string());

        let holders = |file| {
            pids().into_iter().filter(|pid| mentions(*pid, &[file], &secret)).collect::<Vec<_>>()
        };
        assert_eq!(holders("cmdline"), [child.id()], "as the caller wrote it");
        let environs = holders("environ");
        match world.start {
            Start::Warm => assert!(environs.is_empty(), "{environs:?}"),
            Start::Cold => {
                assert_eq!(environs.len(), 1, "the script's: {environs:?}");
                let name = fs::read_to_string(format!("/proc/{}/comm", environs[0])).unwrap();
                assert!(name.starts_with("python"), "{name}");
            }
        }
        // Another sandbox sees nothing of it.
        let other = format!("str({secret:?}[7:] in str(os.environ))");
        attempts().inside(world, &[(&other, "False")]);

        drop(child.stdin.take());
        told.read_to_string(&mut line).unwrap();
        assert!(child.wait().unwrap().success());
    }
}
