//! Directories of the host that scripts may use: whose files they are, and that nothing else of
//! the host comes along.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::Path,
    time::Duration,
};

use automa_sandbox::{
    Command, DirectoryMount, Engine, EngineConfig, Feature, Outcome, Runtime, Status,
};
use automa_tests::{
    Run, Script, User, automa, bash, command_of, host, make_public, public_dir, python,
    running::Running,
};
use nix::unistd::{getegid, geteuid};
use tempfile::TempDir;

use crate::block_on;

/// Who owns a directory that a script of `user`'s engine may write to: for root somebody who has
/// no account, as the sandbox's user has none.
fn owner(user: User) -> (u32, u32) {
    match user {
        User::Root => (12_345, 23_456),
        User::Ordinary if geteuid().is_root() => (65534, 65534),
        User::Ordinary => (geteuid().as_raw(), getegid().as_raw()),
    }
}

/// A directory that only its owner may enter.
fn private_dir(user: User) -> TempDir {
    let dir = public_dir();
    give(dir.path(), user);
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    dir
}

fn give(path: &Path, user: User) {
    let (uid, gid) = owner(user);
    chown(path, Some(uid), Some(gid)).unwrap();
}

fn write(path: &Path, content: &str, user: User) {
    fs::write(path, content).unwrap();
    give(path, user);
}

/// Shows `dir` for writing as `/automa/job/data/work`.
fn with(script: Script, dir: &TempDir) -> Script {
    script.flag("--mount-rw", &format!("{}:/automa/job/data/work", dir.path().display()))
}

#[track_caller]
fn assert_refused(run: &Run, part: &str) {
    assert_eq!((run.code, run.stdout.as_str()), (125, ""), "{run:#?}");
    assert!(run.stderr.contains(part), "`{part}` expected: {run:#?}");
}

#[test]
fn what_is_written_stays_and_is_the_owners() {
    for (user, start) in
        User::all().into_iter().flat_map(|user| [(user, "--cold"), (user, "--warm")])
    {
        let dir = private_dir(user);
        write(&dir.path().join("existing"), "from before\n", user);
        let script = "cd /automa/job/data/work; cat existing; stat -c '%U %G' . existing\n\
                      echo new >file; mkdir -p a/b; echo deep >a/b/c; chmod 750 file; rm existing";
        let run = with(bash(script), &dir).flags(start).run_as(user);
        assert_eq!(run.exited(0).stdout, "from before\njob job\njob job\n");
        for (path, content) in [("file", "new\n"), ("a/b/c", "deep\n")] {
            let path = dir.path().join(path);
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            let meta = fs::metadata(&path).unwrap();
            assert_eq!((meta.uid(), meta.gid()), owner(user), "{}", path.display());
        }
        assert_eq!(fs::metadata(dir.path().join("file")).unwrap().mode() & 0o777, 0o750);
        assert!(!dir.path().join("existing").exists());
        // The next sandbox finds what this one left.
        let run = with(bash("cat /automa/job/data/work/a/b/c"), &dir).run_as(user);
        assert_eq!(run.exited(0).stdout, "deep\n");
    }
}

#[test]
fn a_directory_is_shown_under_its_own_name_and_programs_run_in_it() {
    for user in User::all() {
        let dir = private_dir(user);
        let name = dir.path().file_name().unwrap().to_str().unwrap();
        let script = format!(
            "cd /automa/job/data/{name}; printf '#!/bin/sh\\necho ran' >program; chmod +x program\n\
             ./program; ls -A /automa/job/data"
        );
        let script = bash(script).flag("--mount-rw", dir.path().to_str().unwrap());
        assert_eq!(script.run_as(user).exited(0).stdout, format!("ran\n{name}\n"));
    }
}

#[test]
fn a_directory_for_reading_is_read_as_its_owner_and_stays() {
    for user in User::all() {
        let dir = private_dir(user);
        write(&dir.path().join("file"), "content\n", user);
        let flag = format!("{}:/automa/job/data/shown", dir.path().display());
        let script = "cd /automa/job/data/shown; cat file; touch new; echo x >file; rm file\n\
                      chmod 777 .; ln file hard; mkdir d; mv file /tmp";
        let run = bash(script).flag("--mount-ro", &flag).run_as(user);
        assert_eq!(run.stdout, "content\n");
        assert_eq!(run.stderr.matches("Read-only file system").count(), 7, "{run:#?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

/// What root owns is shown to root's scripts as to everybody.
#[test]
fn what_root_owns_is_not_its_scripts_own() {
    if !geteuid().is_root() {
        // Nobody here can own it.
        return;
    }
    let dir = public_dir();
    fs::write(dir.path().join("public"), "public\n").unwrap();
    fs::write(dir.path().join("private"), "private\n").unwrap();
    fs::set_permissions(dir.path().join("private"), fs::Permissions::from_mode(0o600)).unwrap();
    for user in User::all() {
        let flag = format!("{}:/automa/job/data/shown", dir.path().display());
        let script = bash("cd /automa/job/data/shown; cat public private");
        let run = script.flag("--mount-ro", &flag).run_as(user);
        assert_eq!(run.stdout, "public\n");
        assert!(run.stderr.contains("private: Permission denied"), "{run:#?}");
    }
}

/// Files of others in a directory stay theirs: only the owner's ids are mapped.
#[test]
fn files_of_others_stay_theirs() {
    if !geteuid().is_root() {
        // Nobody else can put them there.
        return;
    }
    for user in User::all() {
        let dir = private_dir(user);
        for (name, mode) in [("open", 0o644), ("closed", 0o600)] {
            fs::write(dir.path().join(name), "root's\n").unwrap();
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(dir.path().join(name), mode).unwrap();
        }
        let script = "cd /automa/job/data/work; cat open; stat -c %U open\n\
                      cat closed; echo x >open; chmod 777 open; chown job open";
        let run = with(bash(script), &dir).run_as(user);
        assert_eq!(run.stdout, "root's\nnobody\n");
        for refused in ["closed: Permission denied", "open: Permission denied", "chmod: "] {
            assert!(run.stderr.contains(refused), "{run:#?}");
        }
        let meta = fs::metadata(dir.path().join("open")).unwrap();
        assert_eq!((meta.mode() & 0o777, meta.uid()), (0o644, 0));
    }
}

#[test]
fn directories_that_cannot_be_written_to_are_refused_with_a_reason() {
    for user in User::all() {
        let dir = private_dir(user);
        let file = dir.path().join("file");
        write(&file, "", user);
        let path = dir.path().display();
        for (flag, part) in [
            ("/nowhere".to_owned(), "--mount-rw /nowhere: No such file"),
            (format!("{}", file.display()), "Not a directory"),
            (format!("{path}:/srv"), "is not a name in /automa/job/data"),
            (format!("{path}:/automa/job/work"), "is not a name in /automa/job/data"),
            (format!("{path}:/automa/job/data/../work"), "is not a name in /automa/job/data"),
            (format!("{path}:relative"), "is not a name in /automa/job/data"),
        ] {
            assert_refused(&bash("echo ran").flag("--mount-rw", &flag).run_as(user), part);
        }
        let twice = with(with(bash("echo ran"), &dir), &dir).run_as(user);
        assert_refused(&twice, "two directories are to be shown as /automa/job/data/work");
        let part = match user {
            User::Root => "would be root's; give it another owner",
            User::Ordinary => "it belongs to user 0",
        };
        assert_refused(&bash("echo ran").flag("--mount-rw", "/usr/share").run_as(user), part);
    }
}

/// Of the groups that a directory may belong to, root's is as bad as its user.
#[test]
fn roots_group_is_not_handed_on() {
    let (uid, _) = owner(User::Root);
    if geteuid().is_root() {
        let dir = public_dir();
        chown(dir.path(), Some(uid), Some(0)).unwrap();
        assert_refused(&with(bash("echo ran"), &dir).run_as(User::Root), "would be root's");
    }
}

/// Runs a script with `dir` shown, after `mount` has mounted something in a mount namespace of
/// their own. In `mount` the directory is `$0`, and its owner `$1`.
fn run_with_mount(mount: &str, script: &str, dir: &TempDir, user: User) -> Run {
    let (uid, gid) = owner(user);
    let script = bash(script);
    let mut command = command_of(Path::new("/usr/bin/unshare"), User::Root);
    let mount = format!("{mount} && shift && exec \"$@\"");
    command.args(["--mount", "/bin/sh", "-c", &mount]).arg(dir.path());
    command.arg(format!("{uid}:{gid}"));
    if user == User::Ordinary {
        let (uid, gid) = (format!("--reuid={uid}"), format!("--regid={gid}"));
        command.args(["/usr/bin/setpriv", &uid, &gid, "--clear-groups"]);
    }
    command.arg(automa()).arg("run").arg(script.file());
    let shown = format!("{}:/automa/job/data/work", dir.path().display());
    Running::start(command.args(["--mount-rw", &shown]), None).end()
}

/// ramfs has no idmapped mounts. An ordinary user's sandboxes need none.
#[test]
fn a_file_system_that_cannot_map_ids_is_named() {
    if !geteuid().is_root() {
        // Only root can mount one here, and only root's engine would need the mapping.
        return;
    }
    for user in User::all() {
        let dir = public_dir();
        let mount = "mount -t ramfs ramfs \"$0\" && chown \"$1\" \"$0\"";
        let script = "touch /automa/job/data/work/new && echo ran";
        let run = run_with_mount(mount, script, &dir, user);
        match user {
            User::Root => assert_refused(&run, "its file system cannot show its files as another"),
            User::Ordinary => assert_eq!((run.code, run.stdout.as_str()), (0, "ran\n"), "{run:#?}"),
        }
    }
}

/// What is mounted below a directory is not shown. The kernel lets nobody look behind a mount who
/// may not unmount it.
#[test]
fn mounts_below_a_directory_are_left_out() {
    if !geteuid().is_root() {
        // Nobody else can mount something there.
        return;
    }
    for user in User::all() {
        let dir = private_dir(user);
        fs::create_dir(dir.path().join("below")).unwrap();
        write(&dir.path().join("below/behind"), "", user);
        let mount = "mount -t tmpfs tmpfs \"$0/below\" && touch \"$0/below/mounted\"";
        let run = run_with_mount(mount, "ls /automa/job/data/work/below", &dir, user);
        match user {
            User::Root => assert_eq!((run.code, run.stdout.as_str()), (0, "behind\n"), "{run:#?}"),
            User::Ordinary => assert_refused(&run, "a directory in which something is mounted"),
        }
    }
}

/// Links, `..`, hard links, descriptors and names of the mount: none leads to what lies beside
/// the directory.
#[test]
fn no_way_leads_out_of_a_directory() {
    for user in User::all() {
        let outer = private_dir(user);
        write(&outer.path().join("secret"), "the secret", user);
        let inner = outer.path().join("inner");
        fs::create_dir(&inner).unwrap();
        give(&inner, user);
        symlink("../secret", inner.join("relative")).unwrap();
        symlink(outer.path().join("secret"), inner.join("absolute")).unwrap();
        let secret = outer.path().join("secret");
        let shown = format!("{}:/automa/job/data/work", inner.display());
        let script = format!(
            "import os\n\
             def attempt(what):\n\
             \x20   try: return what()\n\
             \x20   except OSError as error: return os.strerror(error.errno)\n\
             def read(path): return lambda: open(path).read()\n\
             os.chdir('/automa/job/data/work')\n\
             here = os.open('.', os.O_RDONLY)\n\
             def climb():\n\
             \x20   fd = here\n\
             \x20   for _ in range(8): fd = os.open('..', os.O_PATH, dir_fd=fd)\n\
             \x20   return str(os.path.samestat(os.stat(fd), os.stat('/')))\n\
             for what in [read('relative'), read('absolute'), read('../secret'),\n\
             \x20            read({secret:?}), read('/proc/self/cwd/../secret'), climb,\n\
             \x20            lambda: os.link('/usr/bin/env', 'env'),\n\
             \x20            lambda: os.link('/automa/job/work/script.py', 'script'),\n\
             \x20            lambda: os.rename('/automa/job/data/work', '/tmp/work'),\n\
             \x20            lambda: os.rmdir('/automa/job/data/work'),\n\
             \x20            lambda: os.mknod('device', 0o20666, os.makedev(1, 3))]:\n\
             \x20   print(attempt(what))\n"
        );
        let run = python(script).flag("--mount-rw", &shown).run_as(user);
        let kept = match user {
            User::Root => "Permission denied",
            User::Ordinary => "Device or resource busy",
        };
        let expected = [
            "No such file or directory",
            "No such file or directory",
            "No such file or directory",
            "No such file or directory",
            "No such file or directory",
            "True",
            "Invalid cross-device link",
            "Invalid cross-device link",
            kept,
            kept,
            "Permission denied",
        ];
        let told: Vec<_> = run.exited(0).stdout.lines().collect();
        assert_eq!(told, expected, "{user:?}: {run:#?}");
        assert_eq!(fs::read_to_string(&secret).unwrap(), "the secret");
    }
}

/// A program with the set-user-id bit and a device, both put there on the host, are dead inside.
#[test]
fn neither_set_user_id_programs_nor_devices_work() {
    if !geteuid().is_root() {
        // Nobody else can put either there.
        return;
    }
    for user in User::all() {
        let dir = private_dir(user);
        let program = dir.path().join("id");
        fs::copy("/usr/bin/id", &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).unwrap();
        let device = dir.path().join("zero");
        let mut mknod = command_of(Path::new("/usr/bin/mknod"), User::Root);
        mknod.arg(&device).args(["c", "1", "5", "-m", "666"]);
        assert_eq!(Running::start(&mut mknod, None).end().code, 0);
        let script = "cd /automa/job/data/work; ./id -un; ./id -gn; head -c 1 zero 2>&1";
        let told = with(bash(script), &dir).run_as(user).stdout;
        assert!(told.starts_with("job\njob\n") && told.contains("Permission denied"), "{told}");
    }
}

/// Nothing on the file system keeps a script from filling it: it is counted, and ended.
#[test]
fn the_disk_limit_of_directories_is_soft_and_ends_the_run() {
    for user in User::all() {
        let fill = "while :; do n=$((n + 1)); head -c 1M /dev/zero >$n; done";
        // A directory that its owner may not list is counted as well.
        let hidden = "mkdir -m 300 hidden; cd hidden";
        for way in ["true", hidden, "mkdir -p a/b/c; cd a/b/c"] {
            let dir = private_dir(user);
            let script = bash(format!("cd /automa/job/data/work; {way}; {fill}"));
            let run = with(script, &dir).flags("--disk 20M").run_as(user);
            assert_eq!(run.outcome(), &Outcome::Disk, "{way}: {run:#?}");
            let Status::Weaker(reason) = run.status(Feature::DiskLimit) else { panic!("{run:#?}") };
            assert!(reason.starts_with("soft: "), "{reason}");
            assert_eq!(run.report.unwrap().limits_hit, [Feature::DiskLimit]);
        }
        // A single file is stopped at once.
        let dir = private_dir(user);
        let script = bash("exec head -c 30M /dev/zero >/automa/job/data/work/file");
        let run = with(script, &dir).flags("--disk 20M --tmp 10M").run_as(user);
        assert_eq!(run.outcome(), &Outcome::Disk, "{run:#?}");
        assert_eq!(fs::metadata(dir.path().join("file")).unwrap().len(), 20 << 20);
        // What was there before counts.
        let script = bash("sleep 1000");
        let run = with(script, &dir).flags("--disk 10M").run_as(user);
        assert_eq!(run.outcome(), &Outcome::Disk, "{run:#?}");
        let refused = with(bash("echo ran"), &dir).flags("--strict --prefer filesystem");
        assert_refused(&refused.run_as(user), "disk_limit");
        // Without such a directory the limit is as hard as ever.
        assert_eq!(bash("true").run_as(user).status(Feature::DiskLimit), &Status::Enforced);
    }
}

/// Directories are one command's: the next on the same slot has none, and nothing of them is left.
#[test]
fn the_next_sandbox_has_no_directory_of_the_last() {
    let user = User::all()[0];
    let dir = private_dir(user);
    block_on(async {
        let before = host::mounts();
        let config = EngineConfig::default().helper(automa()).slots(1);
        let engine = Engine::start(config).await.unwrap();
        let look = || Runtime::bash().unwrap().command("ls /automa/job /automa/job/data", "x.sh");
        let mut open_files = None;
        for number in 0..10 {
            let inside = format!("{}/d{number}", Command::DATA_DIRECTORY);
            let data = DirectoryMount::new(dir.path(), inside).writable();
            let output = engine.output(look().directory(data)).await.unwrap();
            let told = String::from_utf8(output.stdout).unwrap();
            assert!(told.ends_with(&format!("/automa/job/data:\nd{number}\n")), "{told}");
            let output = engine.output(look()).await.unwrap();
            let told = String::from_utf8(output.stdout).unwrap();
            assert!(told.contains("work") && !told.contains("data"), "{told}");
            let now = fs::read_dir("/proc/self/fd").unwrap().count();
            // The first has started the mounter.
            assert!(now <= *open_files.get_or_insert(now) + 8, "descriptors are left: {now}");
        }
        let own = std::process::id();
        let mounters =
            || host::descendants(own).into_iter().filter(|it| it.name == "automa-mounter").count();
        assert_eq!(mounters(), 1, "one process serves all");
        engine.shutdown().await;
        assert_eq!(mounters(), 0);
        assert_eq!(host::mounts(), before);
    });
}

/// Whoever stops waiting for a directory leaves the slot to others.
#[test]
fn a_start_that_nobody_waits_for_leaves_its_slot() {
    let user = User::all()[0];
    let dir = private_dir(user);
    block_on(async {
        let config = EngineConfig::default().helper(automa()).slots(1);
        let engine = Engine::start(config).await.unwrap();
        let command = || {
            let data = DirectoryMount::new(dir.path(), "/automa/job/data/x");
            Command::new("/bin/true").directory(data)
        };
        for _ in 0..10 {
            // Polled once, and dropped.
            let _ = tokio::time::timeout(Duration::ZERO, engine.spawn(command())).await;
        }
        let output = engine.output(command()).await.unwrap();
        assert_eq!(output.report.outcome, Outcome::Exited { code: 0 });
        engine.shutdown().await;
    });
}

/// A helper that somebody has killed is replaced by the next command that needs one.
#[test]
fn a_killed_mounter_is_replaced() {
    let user = User::all()[0];
    let dir = private_dir(user);
    block_on(async {
        let config = EngineConfig::default().helper(automa()).slots(1);
        let engine = Engine::start(config).await.unwrap();
        let run = async || {
            let data = DirectoryMount::new(dir.path(), "/automa/job/data/x").writable();
            let command = Command::new("/usr/bin/touch").arg("/automa/job/data/x/file");
            engine.output(command.directory(data)).await.unwrap().report.outcome
        };
        for _ in 0..3 {
            assert_eq!(run().await, Outcome::Exited { code: 0 });
            let helpers = host::descendants(std::process::id());
            let mounter = helpers.iter().find(|it| it.name == "automa-mounter").unwrap();
            let pid = nix::unistd::Pid::from_raw(mounter.pid.cast_signed());
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
            host::eventually("the mounter is dead", || !mounter.is_alive());
        }
        engine.shutdown().await;
    });
}

/// An ordinary user sees another's directory as everybody does.
#[test]
fn permissions_of_others_hold() {
    if !geteuid().is_root() {
        return;
    }
    let dir = private_dir(User::Root);
    make_public(dir.path());
    write(&dir.path().join("file"), "x", User::Root);
    fs::set_permissions(dir.path().join("file"), fs::Permissions::from_mode(0o600)).unwrap();
    let flag = format!("{}:/automa/job/data/shown", dir.path().display());
    let script = bash("cat /automa/job/data/shown/file || echo refused");
    let run = script.flag("--mount-ro", &flag).run_as(User::Ordinary);
    assert_eq!(run.stdout, "refused\n");
}
