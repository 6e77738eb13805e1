//! Rights: ways to be somebody else, to be more than nobody, or to loosen what confines.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use automa_sandbox::Outcome;
use automa_tests::{User, bash, command_of, make_public, public_dir, python};
use nix::unistd::geteuid;

use super::{
    NET_ABI, PROLOGUE, World, after, attempts, bare, confined, landlock_abi, numbers, shell,
    since_abi,
};

/// A directory with programs that give rights to whoever runs them; only root can make them.
struct Gifts {
    dir: tempfile::TempDir,
}

impl Gifts {
    fn make() -> Self {
        let gifts = Self { dir: public_dir() };
        for (name, original) in [("set-uid", "/usr/bin/id"), ("capable", "/usr/bin/grep")] {
            fs::copy(original, gifts.path(name)).unwrap();
        }
        fs::set_permissions(gifts.path("set-uid"), fs::Permissions::from_mode(0o6755)).unwrap();
        // struct vfs_ns_cap_data's predecessor, revision 2: effective, CAP_SYS_ADMIN permitted.
        let set = "attr = struct.pack('<5I', 0x02000001, 1 << 21, 0, 0, 0)\n\
                   os.setxattr(path, 'security.capability', attr)\n";
        let path = gifts.path("capable").to_str().unwrap().to_owned();
        bare(User::Root, &format!("{PROLOGUE}\npath = {path:?}\n{set}"));
        gifts
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run_bare(&self, name: &str, arguments: &[&str]) -> String {
        let output = command_of(&self.path(name), User::Ordinary).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}

/// Set-user-id programs and file capabilities, given by root, shown read-only: the mount is
/// `nosuid` and the process has `no_new_privs`. Copies made inside are the script's own.
#[test]
fn programs_give_no_rights() {
    if !geteuid().is_root() {
        return; // Nobody else can make such a program.
    }
    let gifts = Gifts::make();
    assert_eq!(gifts.run_bare("set-uid", &["-u"]), "0", "bare it makes root");
    let bare = gifts.run_bare("capable", &["CapEff", "/proc/self/status"]);
    assert_eq!(bare, "CapEff:\t0000000000200000");
    for world in World::all() {
        let source = "me=$(id -u); test $me != 0 || echo root\n\
            test $(/gifts/set-uid -u) = $me && test $(/gifts/set-uid -ru) = $me && echo same\n\
            /gifts/capable CapEff /proc/self/status\n\
            cp /gifts/set-uid own; chmod 6755 own; stat -c %a own\n\
            test $(./own -u) = $me && echo same\n\
            su -c 'id -u' </dev/null >/dev/null 2>&1 && echo su\n\
            mount -t tmpfs x /tmp 2>/dev/null && echo mount\n\
            passwd -d root >/dev/null 2>&1 && echo passwd\n\
            find /usr/bin/su /usr/bin/mount -perm -4000 | wc -l";
        let script =
            bash(source).flag("--mount-ro", &format!("{}:/gifts", gifts.dir.path().display()));
        let run = confined(script, world);
        run.exited(0);
        let expected = "same\nCapEff:\t0000000000000000\n6755\nsame\n2\n";
        assert_eq!(run.stdout, expected, "{world:?}: {}", run.stderr);
    }
}

/// A program started without any argument takes its environment for arguments (CVE-2021-4034).
#[test]
fn programs_without_arguments_give_no_rights() {
    let setup = numbers!(SYS_execve)
        + "def bare_exec(path):\n\
           \x20   environment = (ctypes.c_char_p * 2)(b'GCONV_PATH=.', None)\n\
           \x20   raw(SYS_execve, path, None, environment)\n";
    let probe = after(setup);
    for world in World::all() {
        probe.inside(
            world,
            &[
                // It runs, unprivileged, and complains.
                ("child(lambda: (os.close(2), bare_exec(b'/usr/bin/su')))", "exit 1"),
                ("child(lambda: bare_exec(b'/usr/bin/true'))", "exit 0"),
            ],
        );
    }
}

/// setuid(2) and relatives, `capset(2)`, ambient capabilities, secure bits: root of the host is
/// not to be had (EPERM), and in the namespace of an ordinary user there is no such id (EINVAL).
#[test]
fn nobody_else_can_be_become() {
    let setup = numbers!(SYS_setuid SYS_setgid SYS_setreuid SYS_setresuid SYS_setresgid
        SYS_setgroups SYS_setfsuid SYS_capset SYS_capget SYS_prctl PR_CAP_AMBIENT
        PR_CAP_AMBIENT_RAISE PR_SET_SECUREBITS PR_SET_KEEPCAPS PR_CAPBSET_DROP)
        + "def raise_capabilities():\n\
           \x20   header = struct.pack('<2I', 0x20080522, 0)\n\
           \x20   raw(SYS_capset, header, struct.pack('<6I', *[0xffffffff] * 6))\n\
           def filesystem_id(id):\n\
           \x20   raw(SYS_setfsuid, id)\n\
           \x20   return 'own' if raw(SYS_setfsuid, -1) == os.getuid() else 'changed'\n\
           def ids():\n\
           \x20   every = {*os.getresuid(), *os.getresgid()}\n\
           \x20   return 'own' if len(every) == 1 and 0 not in every else 'other'\n";
    for world in World::all() {
        let refused = if world.user == User::Root { "EPERM" } else { "EINVAL" };
        after(&setup).inside(
            world,
            &[
                ("raw(SYS_setuid, 0)", refused),
                ("raw(SYS_setgid, 0)", refused),
                ("raw(SYS_setreuid, 0, 0)", refused),
                ("raw(SYS_setresuid, 0, 0, 0)", refused),
                ("raw(SYS_setresgid, 0, 0, 0)", refused),
                ("raw(SYS_setuid, os.getuid() + 1)", refused),
                ("raw(SYS_setuid, 65534)", refused),
                ("raw(SYS_setuid, os.getuid())", "ok"),
                ("raw(SYS_setgroups, 1, struct.pack('I', 0))", "EPERM"),
                ("raw(SYS_setgroups, 0, None)", "EPERM"),
                ("filesystem_id(0)", "own"),
                ("raise_capabilities()", "EPERM"),
                ("raw(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21, 0, 0)", "EPERM"),
                ("raw(SYS_prctl, PR_SET_SECUREBITS, 0)", "EPERM"),
                ("raw(SYS_prctl, PR_SET_KEEPCAPS, 1)", "EPERM"),
                ("put('/proc/self/uid_map', '0 0 1')", "EACCES"),
                ("put('/proc/self/setgroups', 'allow')", "EACCES"),
                ("ids()", "own"),
            ],
        );
        let told = shell(world, "setpriv --reuid 0 true 2>/dev/null; echo $?; id -G | wc -w");
        assert_eq!(told, "1\n1", "{world:?}");
    }
}

/// The state of every process, however it came to be (`proc_pid_status(5)`).
#[test]
fn every_process_is_without_rights() {
    let setup = "fields = 'CapInh CapPrm CapEff CapAmb NoNewPrivs Seccomp'.split()\n\
         def rights(): return ' '.join(status(field).lstrip('0') or '0' for field in fields)\n\
         def in_thread():\n\
         \x20   told = []\n\
         \x20   thread = threading.Thread(target=lambda: told.append(rights()))\n\
         \x20   thread.start(); thread.join()\n\
         \x20   return told[0]\n";
    let expected = "0 0 0 0 1 2";
    for world in World::all() {
        after(setup).bare(world, &[("status('NoNewPrivs')", "0"), ("status('Seccomp')", "0")]);
        after(setup).inside(
            world,
            &[
                ("rights()", expected),
                ("in_thread()", expected),
                ("in_child(rights)", expected),
                ("in_child(lambda: in_child(rights))", expected),
            ],
        );
        let told = shell(
            world,
            "env -i bash -c 'exec grep -E \"^(NoNewP|Seccomp:|Cap[IPEA])\" /proc/self/status'",
        );
        let values: Vec<_> = told.lines().map(|line| line.split_once('\t').unwrap().1).collect();
        let none = "0000000000000000";
        assert_eq!(values, [none, none, none, none, "1", "2"], "{world:?}");
    }
}

/// The capability bounding set is the one thing that entering a user namespace gives back
/// (`capabilities(7)`): it must be emptied after the last such entry.
#[test]
fn no_process_may_ever_have_a_capability() {
    for world in World::all() {
        attempts().inside(
            world,
            &[
                ("status('CapBnd')", "0000000000000000"),
                ("in_child(lambda: status('CapBnd'))", "0000000000000000"),
            ],
        );
    }
}

/// ptrace(2) and whatever else reads or writes another process: init, the parent, an own child.
#[test]
fn other_processes_cannot_be_touched() {
    let setup = numbers!(SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev SYS_kcmp
        SYS_pidfd_open SYS_pidfd_getfd SYS_process_madvise SYS_process_mrelease PTRACE_TRACEME
        PTRACE_ATTACH PTRACE_SEIZE)
        + "PR_SET_PTRACER = 0x59616d61\n\
           memory = ctypes.create_string_buffer(b'memory')\n\
           span = struct.pack('2Q', ctypes.addressof(memory), 6)\n\
           me = os.getpid()\n\
           def read_memory(pid): raw(SYS_process_vm_readv, pid, span, 1, span, 1, 0)\n\
           def write_memory(pid): raw(SYS_process_vm_writev, pid, span, 1, span, 1, 0)\n\
           def with_child(action):\n\
           \x20   pid = os.fork()\n\
           \x20   if pid == 0: signal.pause()\n\
           \x20   try: return action(pid)\n\
           \x20   finally: os.kill(pid, signal.SIGKILL); os.waitpid(pid, 0)\n\
           def attach(pid): raw(SYS_ptrace, PTRACE_ATTACH, pid, 0, 0); os.waitpid(pid, 0)\n";
    let probe = after(setup);
    for world in World::all() {
        probe.bare(
            world,
            &[
                ("in_child(lambda: raw(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0))", "ok"),
                ("with_child(attach)", "ok"),
                ("read_memory(me)", "ok"),
                ("raw(SYS_kcmp, me, me, 0, 0, 1)", "ok"),
                ("raw(SYS_pidfd_getfd, raw(SYS_pidfd_open, me, 0), 0, 0)", "ok"),
            ],
        );
        probe.inside(
            world,
            &[
                ("raw(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0)", "EPERM"),
                ("raw(SYS_ptrace, PTRACE_ATTACH, 1, 0, 0)", "EPERM"),
                ("raw(SYS_ptrace, PTRACE_SEIZE, 1, 0, 0)", "EPERM"),
                ("with_child(attach)", "EPERM"),
                ("read_memory(1)", "EPERM"),
                ("write_memory(1)", "EPERM"),
                ("read_memory(me)", "EPERM"),
                ("with_child(read_memory)", "EPERM"),
                ("raw(SYS_kcmp, me, 1, 0, 0, 1)", "EPERM"),
                ("raw(SYS_pidfd_getfd, raw(SYS_pidfd_open, 1, 0), 0, 0)", "EPERM"),
                ("raw(SYS_pidfd_getfd, raw(SYS_pidfd_open, me, 0), 0, 0)", "EPERM"),
                ("raw(SYS_process_madvise, -1, span, 1, 20, 0)", "EPERM"),
                ("raw(SYS_process_mrelease, -1, 0)", "EPERM"),
                ("open('/proc/self/mem', 'r+b')", "EACCES"),
                ("with_child(lambda pid: os.stat(f'/proc/{pid}/mem') and 'seen')", "seen"),
                ("with_child(lambda pid: open(f'/proc/{pid}/mem', 'r+b'))", "EACCES"),
                ("with_child(lambda pid: put(f'/proc/{pid}/oom_score_adj', '0'))", "EACCES"),
            ],
        );
    }
}

/// Another process to take memory from, for the shell: gdb's way, through /proc.
#[test]
fn memory_is_not_writable_through_proc() {
    for world in World::all() {
        let told = shell(
            world,
            "sleep 100 &\n\
             for file in mem oom_score_adj coredump_filter comm clear_refs attr/current; do\n\
             for pid in $! self; do\n\
             (echo 0 >/proc/$pid/$file) 2>&1 | grep -o 'Permission denied'\n\
             done; done; kill $!",
        );
        assert_eq!(told.lines().count(), 12, "{told}");
    }
}

/// personality(2): a predictable address space, executable data, or another kernel's version.
#[test]
fn the_personality_stays() {
    let setup = numbers!(SYS_personality ADDR_NO_RANDOMIZE READ_IMPLIES_EXEC UNAME26
        MMAP_PAGE_ZERO ADDR_COMPAT_LAYOUT STICKY_TIMEOUTS)
        + "PER_LINUX32 = 8\n";
    for world in World::all() {
        let flags = "READ_IMPLIES_EXEC ADDR_NO_RANDOMIZE UNAME26 MMAP_PAGE_ZERO \
                     ADDR_COMPAT_LAYOUT STICKY_TIMEOUTS";
        let bare = flags
            .split_whitespace()
            .map(|flag| format!("in_child(lambda: raw(SYS_personality, {flag}))"));
        let rows: Vec<_> = bare.collect();
        let rows = |expected| rows.iter().map(|row| (row.as_str(), expected)).collect::<Vec<_>>();
        after(&setup).bare(world, &rows("ok"));
        after(&setup).inside(world, &rows("EPERM"));
        after(&setup).inside(
            world,
            &[
                ("raw(SYS_personality, ADDR_NO_RANDOMIZE | 1 << 32)", "EPERM"),
                ("raw(SYS_personality, 0xffffffff)", "ok"),
                ("raw(SYS_personality, 0)", "ok"),
            ],
        );
        assert_eq!(shell(world, "setarch -R true 2>/dev/null; echo $?"), "1");
    }
}

/// prctl(2): what a process may say about itself, and what it may not.
#[test]
fn prctl_loosens_nothing() {
    let setup = numbers!(SYS_prctl SYS_seccomp PR_SET_MM PR_SET_SECCOMP PR_SET_NO_NEW_PRIVS
        PR_SET_CHILD_SUBREAPER PR_SET_NAME PR_SET_DUMPABLE PR_SCHED_CORE PR_CAPBSET_DROP
        PR_SET_SPECULATION_CTRL PR_SET_TSC PR_MCE_KILL)
        + "PR_SET_IO_FLUSHER = 57\n\
           PR_SET_PTRACER = 0x59616d61\n";
    for world in World::all() {
        after(&setup).bare(world, &[("raw(SYS_prctl, PR_SCHED_CORE, 99, 0, 0, 0)", "EINVAL")]);
        after(&setup).inside(
            world,
            &[
                ("raw(SYS_prctl, PR_SET_MM, 1, 0, 0, 0)", "EPERM"),
                ("raw(SYS_prctl, PR_SET_PTRACER, -1, 0, 0, 0)", "EPERM"),
                ("raw(SYS_prctl, PR_SCHED_CORE, 1, 1, 0, 0)", "EPERM"),
                ("raw(SYS_prctl, PR_SCHED_CORE, 99, 0, 0, 0)", "EPERM"),
                ("raw(SYS_prctl, PR_SET_SECCOMP, 1, 0, 0, 0)", "EPERM"),
                ("raw(SYS_prctl, PR_SET_SECCOMP | 1 << 32, 1, 0, 0, 0)", "EPERM"),
                ("raw(SYS_seccomp, 0, 0, None)", "EPERM"),
                ("raw(SYS_prctl, PR_SET_SPECULATION_CTRL, 0, 2, 0, 0)", "EPERM"),
                ("raw(SYS_prctl, PR_SET_TSC, 2, 0, 0, 0)", "EPERM"),
                ("raw(SYS_prctl, PR_SET_IO_FLUSHER, 1, 0, 0, 0)", "EPERM"),
                ("raw(SYS_prctl, PR_MCE_KILL, 0, 0, 0, 0)", "EPERM"),
                ("raw(SYS_prctl, PR_CAPBSET_DROP, 0, 0, 0, 0)", "EPERM"),
                ("raw(SYS_prctl, PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0)", "EINVAL"),
                ("raw(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)", "ok"),
                ("raw(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)", "ok"),
                ("raw(SYS_prctl, PR_SET_NAME, b'name', 0, 0, 0)", "ok"),
                ("raw(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0)", "ok"),
            ],
        );
    }
}

/// A core file would carry the script's secrets to the host, in a directory of its choice. The
/// host's root is looked at by every watched run.
#[test]
fn no_core_file_is_written() {
    let setup = numbers!(SYS_prctl SYS_setrlimit PR_SET_DUMPABLE RLIMIT_CORE)
        + "def core(limit): raw(SYS_setrlimit, RLIMIT_CORE, struct.pack('2Q', limit, limit))\n\
           def dies():\n\
           \x20   pid = os.fork()\n\
           \x20   if pid == 0:\n\
           \x20       raw(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0)\n\
           \x20       os.abort()\n\
           \x20   _, state = os.waitpid(pid, 0)\n\
           \x20   return f'{os.WTERMSIG(state)} {os.WCOREDUMP(state)} {sorted(os.listdir())}'\n";
    for world in World::all() {
        let dir = public_dir();
        let bare = format!(
            "{setup}\nos.chdir({:?})\n\
            hard = resource.getrlimit(resource.RLIMIT_CORE)[1]\n\
            if hard: core(min(hard, 1 << 20) if hard > 0 else 1 << 20)\n",
            dir.path()
        );
        // Where core files have the usual name, one is written; elsewhere something takes it.
        after(bare).bare(world, &[("dies().split()[1] if hard else 'True'", "True")]);
        after(&setup).inside(
            world,
            &[
                ("core(2**64 - 1)", "EPERM"),
                ("core(2)", "EPERM"),
                ("dies()", "6 False ['script.py']"),
                ("str(resource.getrlimit(resource.RLIMIT_CORE))", "(1, 1)"),
            ],
        );
        let run = confined(bash("ulimit -c unlimited; cd /; kill -SEGV $$"), world);
        assert_eq!(run.outcome(), &Outcome::Signaled { signal: 11 });
    }
}

/// A process may stack Landlock rules of its own; the union of what they refuse stays refused.
#[test]
fn own_rules_do_not_loosen_ours() {
    let setup = numbers!(SYS_landlock_create_ruleset SYS_landlock_add_rule
        SYS_landlock_restrict_self O_PATH)
        + &format!("rules_net = {}\n", u8::from(landlock_abi() >= NET_ABI))
        + "def allow_all():\n\
           \x20   handled = struct.pack('2Q', 0x1fff, 3)[:16 if rules_net else 8]\n\
           \x20   rules = raw(SYS_landlock_create_ruleset, handled, len(handled), 0)\n\
           \x20   root = os.open('/', O_PATH)\n\
           \x20   raw(SYS_landlock_add_rule, rules, 1, struct.pack('=Qi', 0x1fff, root), 0)\n\
           \x20   for right in (1, 2) if rules_net else ():\n\
           \x20       raw(SYS_landlock_add_rule, rules, 2, struct.pack('2Q', right, 8080), 0)\n\
           \x20   raw(SYS_landlock_restrict_self, rules, 0)\n\
           def listen(): socket.socket().bind(('127.0.0.1', 8080))\n";
    for world in World::all() {
        after(&setup).inside(
            world,
            &[
                ("listen()", since_abi(NET_ABI, "EACCES", "ok")),
                ("allow_all()", "ok"),
                ("listen()", since_abi(NET_ABI, "EACCES", "ok")),
                ("put('/proc/self/comm')", "EACCES"),
                ("open('own', 'w').write('own')", "ok"),
            ],
        );
    }
}

/// The numbers of the x32 ABI, and of i386 by `int 0x80`, mean other calls: no filter by number is
/// of use there, so such a call ends the process (`seccomp(2)`, caveats).
#[test]
fn calls_of_other_architectures_are_deadly() {
    let x32 = "raw(0x40000000 | 39)\n";
    // mov eax, 20 (getpid); int 0x80; ret
    let i386 = "code = mmap.mmap(-1, 4096, prot=7)\n\
        code.write(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3')\n\
        ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()\n";
    for world in World::all() {
        for call in [x32, i386] {
            let run = confined(python(format!("{PROLOGUE}\n{call}print('survived')")), world);
            assert_eq!((run.outcome(), run.stdout.as_str()), (&Outcome::Seccomp, ""), "{call}");
            // A child's death is the child's alone.
            let setup = call
                .lines()
                .fold("def call():\n".to_owned(), |code, line| code + "    " + line + "\n");
            after(setup).inside(world, &[("child(call)", "signal 31")]);
        }
    }
}

/// What Automa itself shows on request is not a way to become its user either.
#[test]
fn shown_directories_are_not_a_way_in() {
    let dir = public_dir();
    let file = dir.path().join("file");
    fs::write(&file, "as it was").unwrap();
    make_public(&file);
    let shown = format!("{}:/shown", dir.path().display());
    let rows: &[(&str, &str)] = &[
        ("text('/shown/file')", "as it was"),
        ("put('/shown/file')", "EROFS"),
        ("os.chmod('/shown/file', 0o4777)", "EROFS"),
        ("os.chown('/shown/file', os.getuid(), os.getgid())", "EROFS"),
        ("os.unlink('/shown/file')", "EROFS"),
        ("os.setxattr('/shown/file', 'user.x', b'x')", "EROFS"),
        ("os.mkdir('/shown/new')", "EROFS"),
    ];
    for world in World::all() {
        attempts().flag("--mount-ro", &shown).inside(world, rows);
        assert_eq!(fs::read_to_string(&file).unwrap(), "as it was");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(Path::new(&file).metadata().unwrap().permissions().mode() & 0o7777 == 0o666);
        // The wall is not the files' own permissions.
        let path = format!("path = {file:?}\n");
        after(path).bare(
            world,
            &[
                ("put(path, 'as it was')", "ok"),
                ("os.mkdir(path + '2')", "ok"),
                ("os.rmdir(path + '2')", "ok"),
            ],
        );
    }
}
