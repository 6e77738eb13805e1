//! Files that scripts leave for their caller: what comes out, and what must not.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
    time::Instant,
};

use automa_sandbox::{
    Bytes, CollectLimits, Engine, EngineConfig, Limits, Outcome, Policy, Runtime, SkipReason, Start,
};
use automa_tests::{Run, Script, User, automa, bash, host, public_dir, python};
use tempfile::TempDir;

use crate::block_on;

/// A place for a directory that does not exist yet.
struct Out(TempDir);

impl Out {
    fn new() -> Self {
        Self(public_dir())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("out")
    }

    fn run(&self, script: Script, user: User) -> Run {
        script.flag("--out", self.path().to_str().unwrap()).run_as(user)
    }

    /// Paths of all that was copied, sorted.
    fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut directories = vec![self.path()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                assert!(kind.is_dir() || kind.is_file(), "{entry:?}");
                if kind.is_dir() {
                    directories.push(entry.path());
                } else {
                    let path = entry.path();
                    let path = path.strip_prefix(self.path()).unwrap();
                    found.push(path.to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap()
    }
}

#[test]
fn what_a_script_leaves_is_copied() {
    for (user, start) in
        User::all().into_iter().flat_map(|user| [(user, "--cold"), (user, "--warm")])
    {
        let out = Out::new();
        let script = "cd $AUTOMA_OUT; echo one >a; mkdir -p b/c; echo two >b/c/d; chmod 700 b/c/d\n\
                      mkdir empty; pwd; exit 3";
        let run = out.run(bash(script).flags(start), user);
        assert_eq!(run.exited(3).stdout, "/automa/job/out\n");
        assert_eq!(run.stderr, "");
        assert_eq!(out.files(), ["a", "b/c/d"]);
        assert_eq!((out.read("a"), out.read("b/c/d")), ("one\n".into(), "two\n".into()));
        assert_eq!(fs::metadata(out.path().join("b/c/d")).unwrap().mode() & 0o7777, 0o700);
    }
}

#[test]
fn without_being_asked_there_is_no_place_for_files() {
    for user in User::all() {
        let run = bash("echo ${AUTOMA_OUT-unset}; ls /automa/job").run_as(user);
        assert_eq!(run.stdout, "unset\nshm\ntmp\nwork\n");
    }
}

#[test]
fn a_directory_with_something_in_it_is_refused_before_anything_runs() {
    for user in User::all() {
        let out = Out::new();
        fs::create_dir(out.path()).unwrap();
        fs::write(out.path().join("mine"), "").unwrap();
        let run = out.run(bash("echo ran"), user);
        assert_eq!((run.code, run.stdout.as_str()), (125, ""), "{run:#?}");
        assert!(run.stderr.contains("the directory is not empty"), "{run:#?}");
        let missing = out.path().join("mine/below");
        let run = bash("echo ran").flag("--out", missing.to_str().unwrap()).run_as(user);
        assert_eq!((run.code, run.stdout.as_str()), (125, ""), "{run:#?}");
    }
}

/// Links to secrets, pipes that would wait for ever, sockets, names that would be lines of their
/// own, trees too deep: all of it is named, none of it is read.
#[test]
fn nothing_hostile_is_copied() {
    let secret = public_dir();
    let secret_file = secret.path().join("file");
    fs::write(&secret_file, "the secret").unwrap();
    let script = format!(
        "import os, socket\n\
         os.chdir(os.environ['AUTOMA_OUT'])\n\
         for name, target in [('shadow', '/etc/shadow'), ('host', {secret_file:?}),\n\
         \x20                    ('directory', '/etc'), ('up', '../..'), ('loop', 'loop'),\n\
         \x20                    ('self', '/proc/self/root/etc/passwd')]:\n\
         \x20   os.symlink(target, name)\n\
         os.mkfifo('pipe')\n\
         socket.socket(socket.AF_UNIX).bind('socket')\n\
         open('bad\\nline', 'w'); open(b'\\xff', 'w'); open('\\x1b[2J', 'w')\n\
         open('x' * 255, 'w').write('long')\n\
         with open('tebibyte', 'w') as file: file.truncate(1 << 40)\n\
         os.makedirs('/'.join(['deep'] * 100))\n\
         open('first', 'w').write('12345')\n\
         for number in range(100): os.link('first', f'link{{number:02}}')\n\
         open('fine', 'w').write('fine')\n"
    );
    for user in User::all() {
        let out = Out::new();
        let run = out.run(python(&script), user);
        run.exited(0);
        let mut expected: Vec<String> = (0..100).map(|number| format!("link{number:02}")).collect();
        expected.extend(["fine", "first"].map(str::to_owned));
        expected.push("x".repeat(255));
        expected.sort();
        assert_eq!(out.files(), expected);
        assert_eq!(out.read("fine"), "fine");
        for told in [
            "automa: shadow is not copied: a symbolic link",
            "automa: host is not copied: a symbolic link",
            "automa: directory is not copied: a symbolic link",
            "automa: pipe is not copied: a pipe",
            "automa: socket is not copied: a socket",
            "automa: bad\\nline is not copied: its name is not plain text, or too long",
            "automa: \\u{1b}[2J is not copied: its name is not plain text, or too long",
            "automa: \u{fffd} is not copied: its name is not plain text, or too long",
            "automa: tebibyte is not copied: over the limit on bytes",
            "/deep is not copied: in too many directories",
        ] {
            assert!(run.stderr.contains(told), "{told}: {}", run.stderr);
        }
        assert!(!run.stderr.contains("the secret"));
        assert_eq!(run.stderr.lines().count(), 13, "{}", run.stderr);
    }
}

/// Rights that a script takes away from its own files keep nobody from what it left.
#[test]
fn what_nobody_may_read_is_copied_all_the_same() {
    for user in User::all() {
        let out = Out::new();
        let script = "cd $AUTOMA_OUT; mkdir -p a/b; for f in 1 a/2 a/b/3; do echo $f >$f; done\n\
                      chmod 000 1 a/2 a/b/3 a/b a .";
        let run = out.run(bash(script), user);
        assert_eq!(run.exited(0).stderr, "");
        assert_eq!(out.files(), ["1", "a/2", "a/b/3"]);
        assert_eq!(out.read("a/b/3"), "a/b/3\n");
    }
}

/// The directory is the one that was made before the script began, whatever is put in its place.
#[test]
fn another_directory_in_its_place_is_not_searched() {
    for user in User::all() {
        for (script, files) in [
            ("rmdir $AUTOMA_OUT; ln -s /etc $AUTOMA_OUT", &[][..]),
            ("rmdir $AUTOMA_OUT; mkdir $AUTOMA_OUT; echo x >$AUTOMA_OUT/lost", &[]),
            ("echo x >$AUTOMA_OUT/a; mv $AUTOMA_OUT /tmp/moved; ln -s /etc $AUTOMA_OUT", &["a"]),
        ] {
            let out = Out::new();
            let run = out.run(bash(script), user);
            assert_eq!(run.exited(0).stderr, "", "{script}");
            assert_eq!(out.files(), files, "{script}");
        }
    }
}

/// A script that is ended at a limit has left what it had written by then.
#[test]
fn files_are_there_however_the_script_ends() {
    for user in User::all() {
        let write = "echo begun >$AUTOMA_OUT/file; echo >$AUTOMA_OUT/.done";
        for (end, flags, outcome) in [
            ("sleep 1000", "--wall 2s", Outcome::WallTime),
            ("yes", "--output 1K", Outcome::Output),
            ("kill -KILL $$", "", Outcome::Signaled { signal: 9 }),
            // Its children go on until the end.
            ("sleep 1000 & disown", "", Outcome::Exited { code: 0 }),
            ("cat /dev/zero >$AUTOMA_OUT/full", "--tmp 2M", Outcome::Disk),
        ] {
            let out = Out::new();
            let run = out.run(bash(format!("{write}; {end}")).flags(flags), user);
            assert_eq!(run.outcome(), &outcome, "{run:#?}");
            assert!(out.files().starts_with(&[".done".to_owned(), "file".to_owned()]), "{end}");
            assert_eq!(out.read("file"), "begun\n");
        }
    }
}

/// The memory of what was left belongs to the sandbox that left it: the next begins with none of
/// it, whether or not it has been dropped by then.
#[test]
fn the_next_sandbox_does_not_pay_for_what_the_last_left() {
    block_on(async {
        let config = EngineConfig::default().helper(automa()).slots(1);
        let engine = Engine::start(config).await.unwrap();
        let limits = Limits { memory: Bytes::mib(100), ..Limits::default() };
        let script = "head -c 60M /dev/zero >$AUTOMA_OUT/file";
        let mut kept = Vec::new();
        for _ in 0..3 {
            let command = Runtime::bash().unwrap().command(script, "x.sh");
            let command = command.collect(CollectLimits::default());
            let command = command.policy(Policy::script().limits(limits.clone()));
            let output = engine.output(command).await.unwrap();
            assert_eq!(output.report.outcome, Outcome::Exited { code: 0 });
            let artifacts = output.artifacts.unwrap();
            assert_eq!(artifacts.files[0].size, 60 << 20);
            kept.push(artifacts);
        }
        for artifacts in &kept {
            let file = artifacts.open(&artifacts.files[0]).unwrap();
            assert_eq!(file.metadata().unwrap().blocks(), (60 << 20) / 512);
        }
        drop(kept);
        // The slot in its place is prepared like any other.
        let deadline = Instant::now() + host::DEADLINE;
        loop {
            let command = Runtime::bash().unwrap().command("", "x.sh");
            let command = command.collect(CollectLimits::default());
            let output = engine.output(command).await.unwrap();
            if output.report.start == Start::Warm {
                break;
            }
            assert!(Instant::now() < deadline, "no sandbox is prepared");
        }
        engine.shutdown().await;
        let own = std::process::id();
        host::eventually("the groups are gone", || host::groups_of(own).is_empty());
    });
}

/// Nothing is kept of a run that left nothing, whatever else it wrote: its slot goes on.
#[test]
fn who_leaves_nothing_keeps_its_slot() {
    block_on(async {
        let config = EngineConfig::default().helper(automa()).slots(1);
        let engine = Engine::start(config).await.unwrap();
        let own = std::process::id();
        let slot = || slots_of(own);
        let run = async |script: &str| {
            let command = Runtime::bash().unwrap().command(script, "x.sh");
            let output = engine.output(command.collect(CollectLimits::default())).await.unwrap();
            assert_eq!(output.report.outcome, Outcome::Exited { code: 0 });
            output.artifacts.unwrap()
        };
        let before = slot();
        assert_eq!(before.len(), 1);
        for script in ["head -c 1M /dev/zero >/tmp/x", "rmdir $AUTOMA_OUT", ":"] {
            let artifacts = run(script).await;
            assert!(artifacts.complete && artifacts.files.is_empty());
            let missing = artifacts.open_path("x").unwrap_err();
            assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
            assert!(artifacts.copy_to(TempDir::new().unwrap().path()).unwrap().is_empty());
            assert_eq!(slot(), before, "{script}");
        }
        let artifacts = run("ln -s /etc/passwd $AUTOMA_OUT/link; echo x >$AUTOMA_OUT/x").await;
        let link = artifacts.open_path("link").unwrap_err();
        assert_eq!(link.raw_os_error(), Some(40), "a link is not followed: {link}");
        assert_eq!(artifacts.open_path("x").unwrap().metadata().unwrap().len(), 2);
        // It is read, or the slot goes.
        let deadline = Instant::now() + host::DEADLINE;
        while slot() == before || slot().len() != 1 {
            assert!(Instant::now() < deadline, "no other slot is in its place");
            tokio::time::sleep(host::PAUSE).await;
        }
        drop(artifacts);
        engine.shutdown().await;
    });
}

/// The processes that the zygotes of a process have started and that start sandboxes: their
/// children, not the sandboxes below.
fn slots_of(pid: u32) -> Vec<String> {
    let children = |pid: &str| -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")));
        let lists: Vec<_> = lists.map(Result::unwrap_or_default).collect();
        lists.iter().flat_map(|list| list.split_whitespace()).map(str::to_owned).collect()
    };
    children(&pid.to_string()).iter().flat_map(|zygote| children(zygote)).collect()
}

#[test]
fn limits_hold_and_what_is_left_out_is_counted() {
    block_on(async {
        let config = EngineConfig::default().helper(automa()).slots(1);
        let engine = Engine::start(config).await.unwrap();
        let script = "cd $AUTOMA_OUT; for n in {1000..5999}; do echo >$n; done";
        let command = Runtime::bash().unwrap().command(script, "x.sh");
        let limits = CollectLimits { files: 10, listed: 20, ..CollectLimits::default() };
        let artifacts = engine.output(command.collect(limits)).await.unwrap().artifacts.unwrap();
        assert_eq!((artifacts.files.len(), artifacts.skipped.len()), (10, 20));
        assert_eq!(artifacts.skipped_count, 4990);
        assert!(artifacts.skipped.iter().all(|it| it.reason == SkipReason::TooMany));
        let to = TempDir::new().unwrap();
        fs::set_permissions(to.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(artifacts.copy_to(to.path()).unwrap().is_empty());
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 10);
        drop(artifacts);
        engine.shutdown().await;
    });
}
