//! Processes, memory and time: bombs, hiding places, and what is left at the end.

use std::time::Duration;

use automa_sandbox::{Exit, Feature, Outcome, Status};
use automa_tests::{Run, User, bash, python};

use super::{PROLOGUE, World, confined, new_mark, processes_with, shell, watched};

/// Limits for what would run for ever.
const SHORT: &str = "--wall 2s";

/// The end of a run that has reached its time limit: complete, and not much later.
#[track_caller]
fn assert_ended_in_time(run: &Run) {
    assert_eq!((run.outcome(), run.code), (&Outcome::WallTime, 124), "{run:#?}");
    let report = run.report.as_ref().unwrap();
    assert!(report.limits_hit.contains(&Feature::WallTime), "{:?}", report.limits_hit);
    assert!(report.usage.wall() >= Duration::from_secs(2));
    assert!(report.usage.wall() < Duration::from_secs(20), "{:?}", report.usage);
}

/// Whether a group holds this limit here, or something weaker does.
fn by_group(run: &Run, feature: Feature) -> bool {
    run.status(feature) == &Status::Enforced
}

/// Fork bombs of several kinds: no more processes than allowed, EAGAIN for the others, and all
/// gone at the end. The script survives and counts.
#[test]
fn a_fork_bomb_is_bounded() {
    let fork = "def start():\n\
        \x20   pid = os.fork()\n\
        \x20   if pid == 0: signal.pause()\n";
    let vfork = "import subprocess\ndef start(): subprocess.Popen(['/usr/bin/sleep', '1000'])\n";
    let count = "made, refused = 0, 0\n\
        for _ in range(400):\n\
        \x20   try: start(); made += 1\n\
        \x20   except BlockingIOError: refused += 1\n\
        print(made, refused)\nos._exit(0)\n";
    for world in World::all() {
        for kind in [fork, vfork] {
            let run = watched(
                python(format!("{PROLOGUE}\n{kind}{count}")).flags("--wall 60s --cpus 2 --pids 20"),
                world,
            );
            run.exited(0);
            let [made, refused] = run.stdout.split_whitespace().collect::<Vec<_>>()[..] else {
                panic!("{run:#?}")
            };
            let made: u32 = made.parse().unwrap();
            assert!((10..20).contains(&made), "{made} of 20");
            assert_eq!(made + refused.parse::<u32>().unwrap(), 400);
            if by_group(&run, Feature::ProcessLimit) {
                let report = run.report.unwrap();
                assert_eq!(report.limits_hit, [Feature::ProcessLimit]);
                assert!(report.usage.forks_refused >= 1);
            }
        }
    }
}

/// Threads count as processes.
#[test]
fn a_thread_bomb_is_bounded() {
    let source = "import threading\n\
        gate, made = threading.Event(), 0\n\
        for _ in range(400):\n\
        \x20   try: threading.Thread(target=gate.wait, daemon=True).start(); made += 1\n\
        \x20   except RuntimeError: break\n\
        print(made)\n";
    for world in World::all() {
        let run = watched(python(source).flags("--wall 60s --cpus 2 --pids 20"), world);
        let made: u32 = run.exited(0).stdout.trim().parse().unwrap();
        assert!((10..20).contains(&made), "{made} of 20");
    }
}

/// The well-known one, which does not stop by itself.
#[test]
fn the_shells_fork_bomb_is_ended() {
    for world in World::all() {
        let run = watched(
            bash(":() { : | : & }; : 2>/dev/null; while :; do :; done").flags(SHORT),
            world,
        );
        assert_eq!(run.code, 124, "{run:#?}");
        assert_eq!(run.outcome(), &Outcome::WallTime);
    }
}

/// Memory in every form that belongs to a process.
#[test]
fn a_memory_bomb_is_ended() {
    let flags = "--wall 60s --cpus 2 --memory 64M";
    for world in World::all() {
        for bomb in [
            "held = []\nwhile True: held.append(bytearray(1 << 20))",
            "held = []\n\
             while True: held.append(mmap.mmap(-1, 1 << 20)); held[-1].write(b'x' * (1 << 20))",
            "while True:\n\
             \x20   if os.fork() == 0: held = bytearray(8 << 20); signal.pause()\n\
             \x20   time.sleep(0.01)",
        ] {
            let run = watched(python(format!("{PROLOGUE}\n{bomb}")).flags(flags), world);
            // Without a group the process's own limit may answer first; Python's is a MemoryError.
            let own_limit =
                !by_group(&run, Feature::MemoryLimit) && run.stderr.contains("MemoryError");
            assert!(run.outcome() == &Outcome::Memory || own_limit, "{world:?} {bomb}: {run:#?}");
        }
        let run = watched(bash("a=x; while :; do a=$a$a; done").flags(flags), world);
        let own_limit =
            !by_group(&run, Feature::MemoryLimit) && run.stderr.contains("cannot allocate");
        assert!(run.outcome() == &Outcome::Memory || own_limit, "{world:?}: {run:#?}");
    }
}

/// Memory that belongs to the kernel or to no process: files, pipes, sockets, shared segments, page
/// tables. A group counts them all, and the host's swap is not used.
#[test]
fn memory_without_a_process_is_counted() {
    let flags = "--wall 60s --cpus 2 --memory 64M --tmp 1G";
    let bombs = [
        ("tmpfs", "f = open('/tmp/file', 'wb')\nwhile True: f.write(bytes(1 << 20))"),
        ("memfd", "f = os.memfd_create('x')\nwhile True: os.write(f, bytes(1 << 20))"),
        (
            "System V",
            "raw(30, raw(29, 0, 512 << 20, 0o1600), 0, 0)\n\
             address = raw(30, raw(29, 0, 512 << 20, 0o1600), 0, 0)\n\
             ctypes.memset(address, 1, 512 << 20)",
        ),
        (
            "page tables",
            "m = mmap.mmap(-1, 1 << 40, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)\n\
             raw(28, ctypes.addressof(ctypes.c_char.from_buffer(m)), 1 << 40, 15)\n\
             for at in range(0, 1 << 40, 1 << 21): m[at]",
        ),
    ];
    // An ordinary user may have no groups.
    for world in World::of(User::Root) {
        for (name, bomb) in bombs {
            let run = watched(python(format!("{PROLOGUE}\n{bomb}")).flags(flags), world);
            assert_eq!(run.outcome(), &Outcome::Memory, "{name}: {run:#?}");
            let report = run.report.unwrap();
            assert_eq!(report.limits_hit, [Feature::MemoryLimit], "{name}");
            assert!(report.usage.oom_kills >= 1);
            assert!(report.usage.memory_peak.unwrap().0 <= (64 << 20) + (1 << 20), "{name}");
        }
    }
}

/// Data on its way through sockets and pipes is the kernel's memory as well. Descriptors may run
/// out before it does; more than the limit is not to be had.
#[test]
fn memory_in_flight_is_counted() {
    let prelude = "def fill(ends):\n\
        \x20   held.append(ends)\n\
        \x20   os.set_blocking(ends[1], False)\n\
        \x20   try:\n\
        \x20       while True: os.write(ends[1], bytes(65536))\n\
        \x20   except BlockingIOError: pass\n\
        def sockets(): return [end.detach() for end in socket.socketpair()]\n\
        held = []\n";
    let sources = ["while True: fill(sockets())", "while True: fill(os.pipe())"];
    // An ordinary user may have no groups.
    for world in World::of(User::Root) {
        for source in sources {
            let flags = "--wall 60s --cpus 2 --memory 32M";
            let run = watched(python(format!("{PROLOGUE}\n{prelude}{source}")).flags(flags), world);
            let full =
                run.outcome() == &Outcome::Memory || run.stderr.contains("Too many open files");
            assert!(full, "{source}: {run:#?}");
            let peak = run.report.unwrap().usage.memory_peak.unwrap();
            assert!(peak.0 > 16 << 20 && peak.0 <= 33 << 20, "{source}: {peak}");
        }
    }
}

/// Where no group counts, memory that belongs to no process must be bounded all the same.
#[test]
fn memory_without_a_process_is_bounded_without_groups() {
    let source = format!(
        "{PROLOGUE}\nfile, size = os.memfd_create('x'), 0\n\
         while size < 256 << 20: size += os.write(file, bytes(1 << 20))\nprint(size >> 20)"
    );
    for world in World::of(User::Ordinary) {
        let run = watched(python(&source).flags("--wall 60s --cpus 2 --memory 64M"), world);
        let ended =
            matches!(run.outcome(), Outcome::Memory | Outcome::Signaled { .. }) || run.code == 1;
        assert!(ended && run.stdout.is_empty(), "{run:#?}");
    }
}

/// What does not end by itself, in every way of not being ended.
#[test]
fn the_time_limit_ends_everything() {
    let shells = [
        "sleep infinity",
        "kill -STOP $$",
        "while :; do :; done",
        "trap '' TERM INT HUP XCPU QUIT ALRM USR1 PIPE; while :; do :; done",
        "mkfifo f; read line <f",
        "trap 'sleep infinity' EXIT; sleep infinity",
        "setsid sleep 1000 & kill -STOP $$",
    ];
    let pythons = [
        "pid = raw(56, 0x4100 | signal.SIGCHLD, 0, 0, 0, 0)\nsignal.pause()",
        "for n in {*range(1, 32)} - {9, 19}: signal.signal(n, signal.SIG_IGN)\nwhile True: pass",
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: signal.pause()",
        "signal.signal(14, lambda *_: 0); signal.setitimer(0, 1e-4, 1e-4)\n\
         while True: time.sleep(9)",
    ];
    for world in World::all() {
        let shells = shells.map(|source| bash(format!("echo begun; {source}")));
        let pythons = pythons
            .map(|source| python(format!("{PROLOGUE}\nprint('begun', flush=True)\n{source}")));
        std::thread::scope(|scope| {
            for script in shells.into_iter().chain(pythons) {
                scope.spawn(move || {
                    let run = watched(script.flags(SHORT), world);
                    assert_ended_in_time(&run);
                    assert_eq!(run.stdout, "begun\n");
                });
            }
        });
    }
}

/// A daemon in the usual way, which lets go of everything it can; it names itself, so that it is
/// found without its environment.
#[test]
fn a_daemon_ends_with_its_script() {
    for world in World::all() {
        let mark = new_mark();
        let source = format!(
            "import os, sys\n\
             read, write = os.pipe()\n\
             if os.fork(): os.read(read, 1); print('started'); sys.exit(0)\n\
             os.setsid()\n\
             if os.fork(): os._exit(0)\n\
             os.chdir('/')\n\
             os.write(write, b'x')\n\
             os.closerange(0, 100)\n\
             program = 'trap \"\" TERM HUP; sleep 1000; :'\n\
             os.execve('/usr/bin/bash', ['bash', '-c', program, '{mark}'], {{}})\n"
        );
        let run = confined(python(source), world);
        assert_eq!(run.exited(0).stdout, "started\n");
        assert_eq!(processes_with(&mark), Vec::<u32>::new());
        let told = format!(
            "(setsid setsid env -i bash -c 'sleep 1000; :' {mark} </dev/null >/dev/null 2>&1 &)"
        );
        shell(world, &told);
        let own_session = "import os\n\
            if os.fork() == 0:\n\
            \x20   while True: os.setsid() if os.fork() == 0 else os._exit(0)\n";
        confined(python(own_session), world).exited(0);
        assert_eq!(processes_with(&mark), Vec::<u32>::new());
    }
}

/// Processes that are made as fast as they are killed: each runs from the signal into a new one.
#[test]
fn the_tree_is_ended_faster_than_it_grows() {
    for world in World::all() {
        let mark = new_mark();
        // The first process stays, so that its exit does not end the run before its time.
        let source = format!(
            "import os, signal, sys\n\
             again = [sys.executable, 'script.py', '{mark}']\n\
             if len(sys.argv) == 1: os.execv(again[0], again)\n\
             if os.fork(): signal.pause()\n\
             for _ in range(4): os.fork()\n\
             while True:\n\
             \x20   try:\n\
             \x20       if os.fork(): os._exit(0)\n\
             \x20   except BlockingIOError: pass\n"
        );
        let run = watched(python(source).flags(SHORT), world);
        assert_ended_in_time(&run);
        assert_eq!(processes_with(&mark), Vec::<u32>::new());
    }
}

/// Orphans are reaped by init, far more of them than may exist at a time; zombies whose parent
/// does not wait keep their places.
#[test]
fn orphans_are_reaped_and_zombies_count() {
    let orphans = "import os\n\
        def orphan():\n\
        \x20   while True:\n\
        \x20       try:\n\
        \x20           if os.fork() == 0: os._exit(0)\n\
        \x20           return\n\
        \x20       except BlockingIOError: pass\n\
        for _ in range(500):\n\
        \x20   if os.fork() == 0: orphan(); os._exit(0)\n\
        \x20   os.wait()\n\
        print('all')\n";
    let zombies = "import os\n\
        made = 0\n\
        try:\n\
        \x20   for _ in range(400):\n\
        \x20       if os.fork() == 0: os._exit(0)\n\
        \x20       made += 1\n\
        except BlockingIOError: print('bounded' if made < 20 else made)\n";
    for world in World::all() {
        let flags = "--wall 60s --cpus 2 --pids 20";
        assert_eq!(watched(python(orphans).flags(flags), world).exited(0).stdout, "all\n");
        assert_eq!(watched(python(zombies).flags(flags), world).exited(0).stdout, "bounded\n");
    }
}

/// Every way in which a program can end is told apart: its code, a signal, what looks like one.
#[test]
fn every_end_is_told_exactly() {
    for world in World::all() {
        for code in [0, 1, 2, 77, 124, 125, 126, 127, 128, 129, 137, 139, 143, 255] {
            confined(bash(format!("exit {code}")), world).exited(code);
        }
        for signal in (1..=31)
            .filter(|signal| ![17, 18, 19, 20, 21, 22, 23, 28].contains(signal))
            .chain([34, 50, 64])
        {
            let source = format!(
                "import os, signal\n\
                 if {signal} != 9: signal.signal({signal}, signal.SIG_DFL)\n\
                 os.kill(2, {signal})"
            );
            let run = confined(python(source), world);
            let exit = run.report.as_ref().unwrap().exit;
            assert_eq!(exit, Some(Exit::Signal(signal)), "{run:#?}");
            assert_eq!(run.code, 128 + signal);
            // For two of them the usual cause is named: the filter, and the limit on file size.
            let outcome = match signal {
                25 => Outcome::Disk,
                31 => Outcome::Seccomp,
                _ => Outcome::Signaled { signal },
            };
            assert_eq!(run.outcome(), &outcome);
        }
        let run = confined(python("import os; os.abort()"), world);
        assert_eq!(run.outcome(), &Outcome::Signaled { signal: 6 });
    }
}
