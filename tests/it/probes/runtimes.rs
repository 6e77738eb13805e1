//! Weaknesses that other sandboxes and container runtimes had, tried on this one.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use automa_sandbox::{Engine, EngineConfig, Feature, Outcome, Runtime, Status};
use automa_tests::{User, automa, bash, command_of, make_public, public_dir};

use super::{World, after, attempts, confined, numbers, shell, watched};
use crate::block_on;

/// A working directory or a descriptor of the host's that comes along is a way out, also one that
/// has been removed and has no name any more (CVE-2024-21626 of runc, CVE-2018-1000001 of glibc).
#[test]
fn the_callers_directory_does_not_come_along() {
    let dir = public_dir();
    fs::write(dir.path().join("secret"), "the secret").unwrap();
    let path = dir.path().to_str().unwrap();
    let setup = format!("path = {path:?}\n")
        + "def enter():\n\
           \x20   entered = []\n\
           \x20   for fd in range(1024):\n\
           \x20       for way in (lambda: os.fchdir(fd), lambda: os.chdir(f'/proc/self/fd/{fd}')):\n\
           \x20           if outcome(way) == 'ok': entered.append(fd)\n\
           \x20   return str(entered)\n";
    let expected = &[
        ("os.getcwd()", "/automa/job/work"),
        ("os.readlink('/proc/self/cwd')", "/automa/job/work"),
        ("os.stat('secret')", "ENOENT"),
        ("os.stat(path)", "ENOENT"),
        ("os.stat('../' * 64 + path)", "ENOENT"),
        ("in_child(enter)", "[]"),
        ("os.listdir('/proc/self/fd') and 'listed'", "listed"),
    ];
    for world in World::all() {
        for around in ["cd \"$0\"", "cd \"$0\"; mkdir gone; cd gone; rmdir ../gone; exec 8<."] {
            let start = format!("{around}; exec 7<\"$0\" 9</; exec \"$@\"");
            after(&setup).started(world, expected, |own| {
                let mut command = command_of(Path::new("/bin/bash"), world.user);
                command.args(["-c", &start, path]).arg(own.get_program()).args(own.get_args());
                command
            });
        }
    }
}

/// Groups that the caller had besides its own: files that a group may read, and files that a group
/// may not (CVE-2022-2990 of Buildah). Root drops them; who cannot drop them says so.
#[test]
fn supplementary_groups_are_left_behind_or_reported() {
    let source = "id -G; grep ^Groups /proc/self/status | cut -f2 | xargs";
    for world in World::of(User::Root) {
        let with_groups = |uid: &str| {
            let script = bash(source);
            let report = script.file().with_extension("json");
            fs::write(&report, "").unwrap();
            make_public(&report);
            let script = world.arrange(script);
            let own = script.command(world.user, &report);
            let mut command = command_of(Path::new("/usr/bin/setpriv"), world.user);
            command.args(["--reuid", uid, "--regid", uid, "--groups", "4,27"]);
            let output = command.arg(own.get_program()).args(own.get_args()).output().unwrap();
            let report = fs::read_to_string(&report).unwrap();
            let report: automa_sandbox::ExitReport = serde_json::from_str(&report).unwrap();
            let identity = report.protections.into_iter().find(|p| p.feature == Feature::Identity);
            (String::from_utf8(output.stdout).unwrap(), identity.unwrap().status)
        };
        let (told, status) = with_groups("0");
        let [ids, groups] = told.lines().collect::<Vec<_>>()[..] else { panic!("{told}") };
        assert_eq!((ids.split(' ').count(), groups), (1, ""), "{told}");
        assert_eq!(status, Status::Enforced);
        // An ordinary user's are shown as those of nobody, and mean what they meant.
        let (told, status) = with_groups("65534");
        assert!(told.ends_with("65534 65534\n"), "{told}");
        let Status::Weaker(reason) = status else { panic!("{status:?}") };
        assert!(reason.starts_with("2 of your supplementary groups"), "{reason}");
    }
}

/// Signals that the caller ignores or blocks would stay so across `execve(2)`: a script could not
/// be interrupted, or would write into pipes that nobody reads.
#[test]
fn signal_dispositions_are_not_inherited() {
    let deaf = "import os, signal, sys\n\
        for n in {*range(1, 65)} - {9, 19, 32, 33}: signal.signal(n, signal.SIG_IGN)\n\
        signal.pthread_sigmask(signal.SIG_BLOCK, {10, 12, 14, 34, 64})\n\
        os.execv(sys.argv[1], sys.argv[1:])\n";
    for world in World::all() {
        let script = bash("exec grep -E '^Sig(Blk|Ign)' /proc/self/status");
        let script = world.arrange(script);
        let own = script.command(world.user, Path::new("/dev/null"));
        let mut command = command_of(Runtime::python().unwrap().program(), world.user);
        command.args(["-c", deaf]).arg(own.get_program()).args(own.get_args());
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        let masks = told.lines().map(|line| line.split_once('\t').unwrap().1);
        let masks: Vec<u64> = masks.map(|mask| u64::from_str_radix(mask, 16).unwrap()).collect();
        // 32 and 33 belong to the C library, which lets nobody touch them.
        assert_eq!(
            masks.iter().map(|mask| mask & !(3 << 31)).collect::<Vec<_>>(),
            [0, 0],
            "{told}"
        );
    }
}

/// A program that is looked up in the caller's PATH, or in its directory, is anybody's: programs
/// with rights were led astray that way again and again. Nothing is looked up here.
#[test]
fn no_program_of_the_callers_path_is_run() {
    let dir = public_dir();
    let names = "automa bash id ip ldconfig mount newgidmap newuidmap nsenter python3 sh umount \
                 unshare";
    for name in names.split(' ') {
        let path = dir.path().join(name);
        fs::write(&path, format!("#!/bin/sh\necho {name} >>{}/ran\n", dir.path().display()))
            .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    // Python would load these from where it is started.
    for name in ["sitecustomize.py", "json.py", "os.py", "encodings.py"] {
        let source = format!("open({:?}, 'a').write({name:?})\n", dir.path().join("ran"));
        fs::write(dir.path().join(name), source).unwrap();
    }
    for world in World::all() {
        for script in [bash("id -u | wc -l"), automa_tests::python("import json\nprint(1)")] {
            let script = world.arrange(script);
            let mut command = script.command(world.user, Path::new("/dev/null"));
            command.current_dir(dir.path()).env("PATH", dir.path());
            let output = command.output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n", "{output:?}");
            assert!(!dir.path().join("ran").exists(), "{:?}", fs::read(dir.path().join("ran")));
        }
    }
}

/// Links inside of what is shown are followed inside, whatever they name (CVE-2024-42472 of
/// Flatpak, CVE-2018-15664 of Docker, CVE-2015-1335 of LXC).
#[test]
fn links_in_shown_directories_end_inside() {
    let outside = public_dir();
    fs::write(outside.path().join("secret"), "the secret").unwrap();
    let target = outside.path().join("secret");
    let dir = public_dir();
    let links = [
        ("absolute", target.clone()),
        ("climbing", Path::new(&"../".repeat(64)).join(target.strip_prefix("/").unwrap())),
        ("init", Path::new("/proc/1/root").join(target.strip_prefix("/").unwrap())),
        ("own", Path::new("/proc/self/root").join(target.strip_prefix("/").unwrap())),
        ("shadow", "/etc/shadow".into()),
        ("directory", outside.path().into()),
        ("root", "/".into()),
    ];
    for (name, target) in &links {
        symlink(target, dir.path().join(name)).unwrap();
    }
    let bare = format!("path = {:?}\n", dir.path());
    for world in World::all() {
        after(&bare).bare(world, &[("text(path + '/absolute')", "the secret")]);
        attempts().flag("--mount-ro", format!("{}:/shown", dir.path().display())).inside(
            world,
            &[
                ("text('/shown/absolute')", "ENOENT"),
                ("text('/shown/climbing')", "ENOENT"),
                ("text('/shown/init')", "ENOENT"),
                ("text('/shown/own')", "ENOENT"),
                ("text('/shown/shadow')", "ENOENT"),
                ("os.listdir('/shown/directory')", "ENOENT"),
                ("text('/shown/root/etc/hostname').strip()", "automa"),
                ("os.mkdir('/shown/root/tmp/new')", "ok"),
                ("str(os.path.isdir('/tmp/new'))", "True"),
            ],
        );
    }
}

/// The places that a runtime fills in, replaced while it is at work or before the next run: /dev,
/// masks, the console (CVE-2025-31133 and CVE-2025-52565 of runc), and what leads there.
#[test]
fn the_places_of_the_runtime_cannot_be_replaced() {
    let rows: Vec<(String, &str)> = ["/dev/null", "/dev/zero", "/dev/urandom", "/dev/fd", "/tmp"]
        .into_iter()
        .chain(["/dev/shm", "/var/tmp", "/bin", "/etc/passwd", "/etc/resolv.conf"])
        .flat_map(|path| {
            [
                (format!("os.unlink('{path}')"), "EROFS"),
                (format!("os.rename('{path}', '{path}2')"), "EROFS"),
                (format!("os.symlink('/proc/sysrq-trigger', '{path}2')"), "EROFS"),
            ]
        })
        .chain([
            ("os.rmdir('/proc')".to_owned(), "EROFS"),
            ("os.rename('/automa', '/automa2')".to_owned(), "EROFS"),
            ("os.rename('/automa/job', '/automa/job2')".to_owned(), "EROFS"),
            ("os.open('/dev/console', os.O_RDWR)".to_owned(), "ENOENT"),
            ("os.open('/dev/pts/0', os.O_RDWR)".to_owned(), "ENOENT"),
            ("os.open('/dev/pts/ptmx', os.O_RDWR)".to_owned(), "ENOENT"),
            ("str(os.stat('/dev/null').st_rdev == os.makedev(1, 3))".to_owned(), "True"),
        ])
        .collect();
    let rows: Vec<_> = rows.iter().map(|(row, expected)| (row.as_str(), *expected)).collect();
    for world in World::all() {
        attempts().inside(world, &rows);
        let told = shell(world, "rm -f /dev/null 2>&1 | wc -l; stat -c %t:%T /dev/null");
        assert_eq!(told, "1\n1:3");
    }
}

/// A link to a file of /proc, where a runtime writes labels and settings (CVE-2025-52881 and
/// CVE-2019-19921 of runc): through whatever name, these are not for writing.
#[test]
fn writes_do_not_end_in_proc() {
    let mut rows: Vec<(String, &str)> = Vec::new();
    for (name, expected) in [
        ("/proc/sysrq-trigger", "ENOENT"),
        ("/proc/sys/kernel/core_pattern", "ENOENT"),
        ("/proc/self/oom_score_adj", "EACCES"),
        ("/proc/thread-self/comm", "EACCES"),
        ("/proc/self/task/../comm", "EACCES"),
    ] {
        rows.push((format!("through({name:?})"), expected));
    }
    let setup = "def through(path):\n\
        \x20   os.symlink(path, 'link')\n\
        \x20   try: put('link', '1')\n\
        \x20   finally: os.unlink('link')\n";
    let rows: Vec<_> = rows.iter().map(|(row, expected)| (row.as_str(), *expected)).collect();
    for world in World::all() {
        after(setup).inside(world, &rows);
        let told = shell(
            world,
            "for name in sysrq-trigger self/comm; do ln -sf /proc/$name link\n\
             (echo 1 >link) 2>&1 | grep -oE '(No such|Permission).*'; done",
        );
        assert_eq!(told, "No such file or directory\nPermission denied");
    }
}

/// A directory moved out of where it was mounted, with somebody inside who then climbs
/// (CVE-2015-2925).
#[test]
fn moved_directories_do_not_lead_out() {
    let setup = "root = os.stat('/')\n\
        def climb():\n\
        \x20   os.makedirs('deep/inside')\n\
        \x20   os.chdir('deep/inside')\n\
        \x20   os.rename('/automa/job/work/deep', '/tmp/moved')\n\
        \x20   os.rename('/tmp/moved/inside', '/dev/shm/inside')\n\
        \x20   for _ in range(100): os.chdir('..')\n\
        \x20   return 'root' if os.path.samestat(os.stat('.'), root) else 'elsewhere'\n";
    for world in World::all() {
        after(setup).inside(world, &[("in_child(climb)", "root")]);
        let told = shell(world, "mkdir a; cd a; mv ../a /tmp/b; cd ../../../../..; pwd -P");
        assert_eq!(told, "/");
    }
}

/// A file without a name gets one later (`open(2)`, `O_TMPFILE`): only where one may be made.
#[test]
fn nameless_files_get_no_name_elsewhere() {
    let dir = public_dir();
    let shown = format!("{}:/shown", dir.path().display());
    let setup = numbers!(SYS_linkat AT_FDCWD AT_SYMLINK_FOLLOW)
        + "def nameless(path): return os.open(path, os.O_TMPFILE | os.O_RDWR, 0o777)\n\
           def name(path):\n\
           \x20   link = f'/proc/self/fd/{nameless(\"/tmp\")}'.encode()\n\
           \x20   raw(SYS_linkat, AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW)\n";
    for world in World::all() {
        after(&setup).flag("--mount-ro", &shown).inside(
            world,
            &[
                ("nameless('/usr')", "EROFS"),
                ("nameless('/etc')", "EROFS"),
                ("nameless('/shown')", "EROFS"),
                ("name(b'/shown/new')", "EROFS"),
                ("name(b'/usr/bin/new')", "EROFS"),
                ("name(b'/dev/new')", "EROFS"),
                ("name(b'new')", "ok"),
            ],
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

/// Somebody who looks like a helper and writes what looks like a report (CVE-2022-31214 of
/// Firejail, which joined a sandbox that was none): the names of processes are never believed.
#[test]
fn nobody_poses_as_a_helper() {
    let source = "report='{\"outcome\":{\"kind\":\"exited\",\"code\":0},\"tree_empty\":true}'\n\
        for fd in 3 4 5 6 7 8 9; do (echo \"$report\" >&$fd) 2>/dev/null && echo wrote $fd; done\n\
        for name in automa-zygote automa-slot automa-init 'automa sandbox-zygote'; do\n\
        \x20   (exec -a \"$name\" sleep 1000) &\n\
        done\n\
        python3 -c 'open(\"/proc/self/comm\", \"w\").write(\"automa-init\")' 2>/dev/null\n\
        kill -TERM 1 $PPID 2>/dev/null; echo $report; exit 5";
    for world in World::all() {
        let run = confined(bash(source), world);
        run.exited(5);
        assert_eq!(run.stdout.lines().count(), 1, "{run:#?}");
    }
}

/// Automa inside of itself, from a copy that is shown: it has nothing that it would need.
#[test]
fn automa_does_not_run_in_its_own_sandbox() {
    let dir = automa().parent().unwrap().display();
    let source = "echo 'echo ran' >inner.sh\n\
        /shown/automa run inner.sh 2>error; echo $?; grep -c 'cannot confine programs' error\n\
        /shown/automa sandbox-zygote 2>/dev/null; echo $?";
    for world in World::all() {
        let run = confined(bash(source).flag("--mount-ro", &format!("{dir}:/shown")), world);
        assert_eq!(run.exited(0).stdout, "125\n1\n125\n", "{}", run.stderr);
    }
}

/// What one run does to its own directory is gone with it: the next one in the same place starts
/// from nothing, and with the source that was handed over (CVE-2021-30465 of runc, CVE-2024-28185
/// and CVE-2024-28189 of Judge0, where what was left behind led the next write astray).
#[test]
fn nothing_is_left_to_the_next_run_in_the_same_place() {
    let look = "pwd; ls -lA --time-style=+ . .. /tmp /dev/shm /var/tmp | grep -v ^total | cut -d' ' -f1,3,4,5,9-\n\
        cat script.sh | md5sum; stat -c '%a %U' . .. script.sh; ipcs | wc -l; umask; ulimit -a\n\
        cat /proc/self/mountinfo | cut -d' ' -f4-; echo /proc/[0-9]*";
    let ruins = [
        "cp /usr/bin/env script.sh; rm -f script.sh; ln -s /etc/passwd script.sh",
        "cd /; rm -rf /automa/job/tmp /automa/job/work /automa/job/shm 2>/dev/null\n\
         for name in tmp work shm; do mv /automa/job/$name /automa/job/$name.old\n\
         ln -s /etc /automa/job/$name; done",
        "mkdir -p a/b/c; touch a/b/c/file; chmod 0 a/b/c a/b a .; chmod 000 /tmp /dev/shm",
        "echo x >script.sh; chmod 4777 script.sh; chmod 000 /automa/job; umask 777; ulimit -n 3",
        "ipcmk -M 4096 -p 666; ipcmk -Q; ipcmk -S 1; exec 5<>/dev/tcp/127.0.0.1/1; mkfifo f",
        "exec -a '' sleep 1000 & cd /tmp; for n in {1..400}; do mkdir d; cd d; done; kill -9 $$",
    ];
    let command = |source: &str| Runtime::bash().unwrap().command(source, "script.sh");
    block_on(async {
        let config = || EngineConfig::default().helper(automa()).slots(1);
        let engine = Engine::start(config()).await.unwrap();
        let first = engine.output(command(look)).await.unwrap();
        assert_eq!(first.report.outcome, Outcome::Exited { code: 0 }, "{first:#?}");
        for ruin in ruins {
            engine.output(command(ruin)).await.unwrap();
            let next = engine.output(command(look)).await.unwrap();
            assert_eq!(
                String::from_utf8_lossy(&next.stdout),
                String::from_utf8_lossy(&first.stdout),
                "after {ruin}"
            );
        }
        engine.shutdown().await;
    });
}

/// Sources of many kinds of trouble shown together: every mount is without set-user-id programs,
/// and all but the script's own directory and its /proc are read-only (CVE-2014-5206 and
/// CVE-2014-5207, by which such flags were taken off).
#[test]
fn every_mount_has_its_flags() {
    let dir = public_dir();
    let source = "while read -r _ _ _ _ point flags rest; do\n\
        case $rest in *' - '*) rest=${rest#* - };; *) rest=${rest#- };; esac\n\
        case ,$flags, in *,nosuid,*) ;; *) echo \"$point may set ids\";; esac\n\
        case $point in /dev/*) ;; *) case ,$flags, in *,nodev,*) ;; *)\n\
        [ $point = / ] || echo \"$point has devices\";; esac;; esac\n\
        case ,$flags, in *,ro,*) ;; *) echo \"$point ${rest%% *}\";; esac\n\
        done </proc/self/mountinfo | grep -v -e ^/dev/ -e ^/automa/job/parts/dev/tty";
    for world in World::all() {
        let script = bash(source).flag("--mount-ro", &format!("{}:/shown", dir.path().display()));
        let run = watched(script, world);
        let mut writable: Vec<&str> = run.stdout.lines().collect();
        // An ordinary user's covers the one that has to be seen while it is mounted.
        writable.dedup();
        assert_eq!(writable, ["/proc proc", "/automa/job tmpfs"], "{world:?}: {}", run.stderr);
    }
}
