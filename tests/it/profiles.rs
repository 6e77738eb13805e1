//! What sets the profiles apart, seen from inside: the rows of the table of [`Profile`]. Limits are
//! compared with that table beside it.

use automa_sandbox::{
    Engine, EngineConfig, Feature, Outcome, Output, Policy, Profile, Runtime, Status, Stream,
};
use automa_tests::{as_everybody, automa};
use nix::libc;

use crate::block_on;

/// Runs a test as everybody, with an engine for one sandbox at a time.
fn with_engine<F: Future<Output = ()>>(test: impl Fn(Engine) -> F) {
    as_everybody(&test, || {
        block_on(async {
            let config = EngineConfig::default().helper(automa()).slots(1);
            test(Engine::start(config).await.unwrap()).await;
        });
    });
}

async fn run(engine: &Engine, profile: Profile, runtime: Runtime, source: &str) -> String {
    let command = runtime.command(source, "script").policy(Policy::of(profile));
    let Output { stdout, stderr, report, .. } = engine.output(command).await.unwrap();
    let errors = String::from_utf8_lossy(&stderr);
    assert_eq!(report.outcome, Outcome::Exited { code: 0 }, "{profile}: {errors}");
    String::from_utf8(stdout).unwrap()
}

async fn bash(engine: &Engine, profile: Profile, source: &str) -> String {
    run(engine, profile, Runtime::bash().unwrap(), source).await
}

async fn python(engine: &Engine, profile: Profile, source: &str) -> String {
    run(engine, profile, Runtime::python().unwrap(), source).await
}

fn shows_machine(profile: Profile) -> bool {
    matches!(profile, Profile::Build | Profile::Terminal)
}

/// Whatever the profile, these hold.
#[test]
fn no_profile_gives_rights() {
    with_engine(async |engine| {
        for profile in Profile::ALL {
            let source = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status | cut -f2 | sort -u\n\
                unshare -r true 2>/dev/null || echo no namespaces\n\
                mount -t tmpfs x /tmp 2>/dev/null || echo no mounts";
            assert_eq!(
                bash(&engine, profile, source).await,
                "0000000000000000\n1\n2\nno namespaces\nno mounts\n",
                "{profile}"
            );
        }
    });
}

#[test]
fn proc_shows_what_the_profile_says() {
    with_engine(async |engine| {
        for profile in Profile::ALL {
            let shown = bash(&engine, profile, "cd /proc; echo [a-z]*").await;
            if !shows_machine(profile) {
                assert_eq!(shown, "self thread-self\n", "{profile}");
                continue;
            }
            // Whatever is not listed here is empty, and so it stays.
            let source = "import os\n\
                shown = ('cgroups cpuinfo filesystems loadavg meminfo stat swaps sysvipc tty uptime '\n\
                \x20        'version vmstat').split()\n\
                for name in sorted(os.listdir('/proc')):\n\
                \x20   path = '/proc/' + name\n\
                \x20   if name.isdigit() or os.path.islink(path) or name == 'sys': continue\n\
                \x20   size = len(os.listdir(path) if os.path.isdir(path) else open(path, 'rb').read())\n\
                \x20   if (size > 0) != (name in shown): print(name, size)\n\
                \x20   try: open(path if os.path.isfile(path) else path + '/x', 'w'); print(name, 'written')\n\
                \x20   except OSError: pass\n\
                for path in ('kernel/core_pattern', 'kernel/hostname', 'net/ipv4/ip_forward', 'vm/drop_caches'):\n\
                \x20   try: open('/proc/sys/' + path, 'w'); print(path, 'written')\n\
                \x20   except OSError: pass\n\
                mounts = [line.split() for line in open('/proc/self/mountinfo')]\n\
                covers = [mount for mount in mounts if mount[4].startswith('/proc/')]\n\
                print(len(covers) > 5, {mount[5].split(',')[0] for mount in covers})\n";
            assert_eq!(python(&engine, profile, source).await, "True {'ro'}\n", "{profile}");
            let tools = "ps -e -o comm= >/tmp/ps; sort /tmp/ps | xargs; for tool in free uptime nproc 'top -bn1' vmstat; do\n\
                $tool >/tmp/told 2>&1 && test -s /tmp/told || { echo $tool; cat /tmp/told; }; done";
            assert_eq!(bash(&engine, profile, tools).await, "bash ps\n", "{profile}");
        }
    });
}

#[test]
fn what_proc_shows_is_reported() {
    with_engine(async |engine| {
        for profile in Profile::ALL {
            let script = Runtime::bash().unwrap().command("true", "script.sh");
            let protections = engine.protections(&script.policy(Policy::of(profile)));
            let of = |feature| &protections.iter().find(|it| it.feature == feature).unwrap().status;
            let machine = matches!(of(Feature::Proc), Status::Weaker(text) if text.contains("load"));
            assert_eq!(machine, shows_machine(profile), "{profile}: {:?}", of(Feature::Proc));
            let tcp = matches!(of(Feature::LandlockNetwork), Status::Missing(_));
            let old = engine.host().landlock_abi() < 4;
            assert_eq!(tcp, profile != Profile::Script || old, "{profile}");
        }
    });
}

#[test]
fn loopback_is_the_sandboxs_own() {
    let talk = "import errno, os, socket\n\
        def tcp(family, host):\n\
        \x20   with socket.create_server((host, 0), family=family) as server:\n\
        \x20       with socket.create_connection(server.getsockname()[:2]) as client:\n\
        \x20           peer, _ = server.accept()\n\
        \x20           client.sendall(b'x'); return peer.recv(1) == b'x'\n\
        def udp():\n\
        \x20   one = socket.socket(type=socket.SOCK_DGRAM); one.bind(('127.0.0.1', 0))\n\
        \x20   one.sendto(b'x', one.getsockname()); return one.recv(1) == b'x'\n\
        def outside(): socket.create_connection(('192.0.2.1', 80), 5)\n\
        def attempt(what, *arguments):\n\
        \x20   try: return str(what(*arguments))\n\
        \x20   except OSError as error: return errno.errorcode[error.errno]\n\
        print(attempt(tcp, socket.AF_INET, '127.0.0.1'), attempt(udp), attempt(outside))\n";
    with_engine(async |engine| {
        for profile in Profile::ALL.into_iter().chain(Profile::ALL) {
            let told = python(&engine, profile, talk).await;
            let expected = match profile {
                Profile::Script => "EACCES ENETUNREACH EACCES\n",
                _ => "True True ENETUNREACH\n",
            };
            assert_eq!(told, expected, "{profile}");
            // Nothing is left of that: not even a connection that waits for its end.
            let connections = bash(&engine, profile, "grep : /proc/self/net/tcp || true").await;
            assert_eq!(connections, "", "{profile}");
        }
    });
}

#[test]
fn only_terminal_has_terminals() {
    with_engine(async |engine| {
        for profile in Profile::ALL {
            let source = "import os\n\
                print(' '.join(sorted(os.listdir('/dev'))))\n\
                try: print(os.ttyname(os.openpty()[1]))\n\
                except OSError as error: print(error.errno)\n";
            let expected = match profile {
                Profile::Terminal => {
                    "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero\n/dev/pts/0\n"
                }
                _ => "fd full null random shm stderr stdin stdout urandom zero\n2\n",
            };
            assert_eq!(python(&engine, profile, source).await, expected, "{profile}");
        }
    });
}

/// Own processes only, and of these not init, which has rights that a payload has not.
#[test]
fn only_terminal_debugs_and_only_its_own() {
    let source = "import ctypes, os, signal\n\
        libc = ctypes.CDLL(None, use_errno=True)\n\
        libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]\n\
        TRACEME, ATTACH, SEIZE, DETACH = 0, 16, 0x4206, 17\n\
        def ptrace(request, pid):\n\
        \x20   return 'ok' if libc.ptrace(request, pid, None, None) == 0 else os.strerror(ctypes.get_errno())\n\
        child = os.fork()\n\
        if child == 0:\n\
        \x20   traced = ptrace(TRACEME, 0) == 'ok'\n\
        \x20   if traced: os.kill(os.getpid(), signal.SIGSTOP)\n\
        \x20   os._exit(0 if traced else 3)\n\
        _, status = os.waitpid(child, 0)\n\
        print('stopped' if os.WIFSTOPPED(status) else os.WEXITSTATUS(status))\n\
        if os.WIFSTOPPED(status): ptrace(DETACH, child); os.waitpid(child, 0)\n\
        print({ptrace(how, pid) for how in (ATTACH, SEIZE) for pid in (1, os.getppid(), 0, -1)})\n\
        class Part(ctypes.Structure): _fields_ = [('base', ctypes.c_void_p), ('size', ctypes.c_size_t)]\n\
        def peek(pid):\n\
        \x20   here = ctypes.create_string_buffer(4); there = ctypes.create_string_buffer(b'own')\n\
        \x20   to, by = Part(ctypes.addressof(here), 4), Part(ctypes.addressof(there), 4)\n\
        \x20   n = libc.process_vm_readv(pid, ctypes.byref(to), 1, ctypes.byref(by), 1, 0)\n\
        \x20   return here.value.decode() if n == 4 else os.strerror(ctypes.get_errno())\n\
        print(peek(os.getpid()), peek(1))\n";
    with_engine(async |engine| {
        for profile in Profile::ALL {
            let told = python(&engine, profile, source).await;
            let expected = match profile {
                // 0 and -1 are nobody: ESRCH.
                Profile::Terminal => "stopped\n{'Operation not permitted', 'No such process'}\nown",
                _ => "3\n{'Operation not permitted'}\nOperation not permitted",
            };
            let told = told.replace(
                "{'No such process', 'Operation not permitted'}",
                "{'Operation not permitted', 'No such process'}",
            );
            assert_eq!(told, format!("{expected} Operation not permitted\n"), "{profile}");
        }
    });
}

/// A program that runs on is steered by signals.
#[test]
fn signals_are_passed_on() {
    with_engine(async |engine| {
        for profile in [Profile::Agent, Profile::Script] {
            let source = "import os, signal\n\
                def tell(text): os.write(1, text.encode() + b'\\n')\n\
                told = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGTERM]\n\
                signal.pthread_sigmask(signal.SIG_BLOCK, told)\n\
                tell('ready')\n\
                for _ in told: tell(signal.sigwait(told).name)\n";
            let command = Runtime::python().unwrap().command(source, "script.py");
            let mut child = engine.spawn(command.policy(Policy::of(profile))).await.unwrap();
            assert_eq!(child.next_output().await.unwrap().bytes, b"ready\n");
            // Not passed on, neither to the program nor to its init, which would not survive it.
            child.signal(libc::SIGKILL);
            child.signal(libc::SIGSTOP);
            for (signal, name) in [
                (libc::SIGUSR1, "SIGUSR1\n"),
                (libc::SIGHUP, "SIGHUP\n"),
                (libc::SIGUSR2, "SIGUSR2\n"),
                (libc::SIGINT, "SIGINT\n"),
                (libc::SIGTERM, "SIGTERM\n"),
            ] {
                child.signal(signal);
                let chunk = child.next_output().await.unwrap();
                assert_eq!((chunk.stream, &chunk.bytes[..]), (Stream::Stdout, name.as_bytes()));
            }
            assert_eq!(child.wait().await.outcome, Outcome::Exited { code: 0 });
        }
    });
}

/// The defaults that differ, as far as a program can see them.
#[test]
fn limits_are_the_profiles() {
    with_engine(async |engine| {
        for (profile, expected) in [
            (Profile::Script, "1024 102400 16384"),
            (Profile::Agent, "4096 262144 16384"),
            (Profile::Build, "4096 2097152 262144"),
            (Profile::Terminal, "4096 1048576 65536"),
        ] {
            let source = "echo $(ulimit -n) $(df --output=size /tmp | tail -n1) $(df --output=itotal /tmp | tail -n1)";
            assert_eq!(bash(&engine, profile, source).await, format!("{expected}\n"), "{profile}");
        }
    });
}
