//! Files: ways to read what is the host's, to write what is read-only, and to leave the tree.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::{BufRead, BufReader, Read},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        net::UnixListener,
    },
    path::Path,
    process::Stdio,
};

use automa_sandbox::{Feature, Outcome, Status};
use automa_tests::{User, automa, bash, make_public, public_dir, python};

use super::{AMPLE, PROLOGUE, World, after, attempts, confined, numbers, shell, since, watched};

fn hash(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    fs::read(path).unwrap().hash(&mut hasher);
    hasher.finish()
}

/// A file of the host that nobody inside may read, and where it is.
fn secret() -> (tempfile::TempDir, String) {
    let dir = public_dir();
    let file = dir.path().join("secret");
    fs::write(&file, "the secret").unwrap();
    make_public(&file);
    let path = file.to_str().unwrap().to_owned();
    (dir, path)
}

/// Overwriting the program that starts containers from inside of one (CVE-2019-5736 of runc):
/// through /proc/self/exe, through the parent's and init's, by a script that is "interpreted" by
/// /proc/self/exe.
#[test]
fn the_host_program_stays_as_it_is() {
    let before = hash(automa());
    let dir = public_dir();
    fs::copy("/usr/bin/sleep", dir.path().join("program")).unwrap();
    let anybody = fs::Permissions::from_mode(0o777);
    fs::set_permissions(dir.path().join("program"), anybody).unwrap();
    let copied = hash(&dir.path().join("program"));
    let shown = format!("{}:/shown", dir.path().display());
    let setup = format!("automa = {:?}\n", automa())
        + "def through_descriptor(path):\n\
           \x20   fd = os.open(path, os.O_PATH)\n\
           \x20   os.open(f'/proc/self/fd/{fd}', os.O_WRONLY)\n\
           def running(action):\n\
           \x20   import subprocess\n\
           \x20   with subprocess.Popen(['/shown/program', '1000']) as program:\n\
           \x20       exe = f'/proc/{program.pid}/exe'\n\
           \x20       # Popen returns a moment before the new program is in place.\n\
           \x20       while os.readlink(exe) != '/shown/program': time.sleep(0.001)\n\
           \x20       try: return action(exe)\n\
           \x20       finally: program.kill()\n\
           def interpreted():\n\
           \x20   with open('loop', 'w') as loop:\n\
           \x20       loop.write('#!/proc/self/exe\\nprint(\"python\")')\n\
           \x20   os.chmod('loop', 0o755)\n\
           \x20   read, write = os.pipe()\n\
           \x20   child(lambda: (os.dup2(write, 1), os.execv('loop', ['loop'])))\n\
           \x20   return os.read(read, 100).decode().strip()\n";
    for world in World::all() {
        after(&setup).flag("--mount-ro", &shown).inside(
            world,
            &[
                ("os.readlink('/proc/self/exe').split('/')[-1].rstrip('.0123456789')", "python"),
                ("os.open('/proc/self/exe', os.O_RDWR)", "EACCES"),
                ("os.truncate('/proc/self/exe', 0)", since((6, 14), "EACCES", "EROFS")),
                ("through_descriptor('/proc/self/exe')", "EACCES"),
                // Everybody may write to this one, so it is another wall that answers.
                ("running(lambda exe: os.open(exe, os.O_RDWR))", "ETXTBSY"),
                ("running(through_descriptor)", "ETXTBSY"),
                ("running(lambda exe: os.truncate(exe, 0))", "EROFS"),
                ("os.open('/shown/program', os.O_RDWR)", "EROFS"),
                ("os.open('/proc/1/exe', os.O_RDWR)", "ENOENT"),
                ("os.open(f'/proc/{os.getppid()}/exe', os.O_RDWR)", "ENOENT"),
                ("os.stat(automa)", "ENOENT"),
                ("interpreted()", "python"),
            ],
        );
        assert_eq!(shell(world, "readlink /proc/self/exe /proc/1/exe"), "/usr/bin/readlink");
        assert_eq!(hash(&dir.path().join("program")), copied);
    }
    assert_eq!(hash(automa()), before);
}

/// "Shocker": a handle names an inode of the file system, wherever a mount shows it
/// (`open_by_handle_at(2)`; the way out of early Docker).
#[test]
fn files_are_not_opened_by_handle() {
    let setup = numbers!(SYS_name_to_handle_at SYS_open_by_handle_at AT_FDCWD AT_EMPTY_PATH)
        + "handle = ctypes.create_string_buffer(struct.pack('2I', 128, 0) + bytes(128))\n\
           mount = ctypes.create_string_buffer(8)\n\
           # Of ext4: inode 2, the root directory, and its generation.\n\
           root = struct.pack('Ii2I', 8, 1, 2, 0)\n\
           def name(path): raw(SYS_name_to_handle_at, AT_FDCWD, path, handle, mount, 0)\n\
           def by_handle(path, handle):\n\
           \x20   raw(SYS_open_by_handle_at, os.open(path, os.O_RDONLY), handle, 0)\n";
    for world in World::all() {
        after(&setup).bare(world, &[("name(b'/usr')", "ok")]);
        after(&setup).inside(
            world,
            &[
                ("name(b'/usr')", "EPERM"),
                ("name(b'/automa/job')", "EPERM"),
                ("by_handle('/usr', root)", "EPERM"),
                ("by_handle('/etc/alternatives', root)", "EPERM"),
                ("by_handle('/automa/job', handle)", "EPERM"),
            ],
        );
    }
}

/// Climbing by descriptors, `openat2` with and without its restrictions, and the magic links of
/// /proc: all end at the script's own root.
#[test]
fn no_path_leads_out() {
    let (_dir, path) = secret();
    let setup = format!("path = {path:?}\n")
        + &numbers!(SYS_openat2 O_PATH AT_FDCWD)
        + "own = os.stat('/')\n\
         def is_root(fd): return 'root' if os.path.samestat(os.fstat(fd), own) else 'elsewhere'\n\
         def climb(start):\n\
         \x20   fd = os.open(start, O_PATH)\n\
         \x20   for _ in range(200):\n\
         \x20       fd, last = os.open('..', O_PATH, dir_fd=fd), fd\n\
         \x20       os.close(last)\n\
         \x20   return is_root(fd)\n\
         def open2(base, path, resolve):\n\
         \x20   how = struct.pack('3Q', os.O_RDONLY, 0, resolve)\n\
         \x20   return raw(SYS_openat2, base, path.encode(), how, len(how))\n\
         root = os.open('/', O_PATH)\n\
         work = os.open('.', O_PATH)\n\
         up = '../' * 64\n\
         MAGIC, BENEATH, IN_ROOT = 2, 8, 16\n";
    for world in World::all() {
        after(&setup)
            .bare(world, &[("text(path)", "the secret"), ("open2(root, path[1:], 0)", "ok")]);
        after(&setup).inside(
            world,
            &[
                ("climb('/')", "root"),
                ("climb('.')", "root"),
                ("climb('/proc/self')", "root"),
                ("climb('/proc/self/root')", "root"),
                ("climb('/proc/self/cwd')", "root"),
                ("climb('/usr/bin')", "root"),
                ("climb('/etc/ssl/certs')", "root"),
                ("is_root(os.open('/proc/self/root', O_PATH))", "root"),
                ("is_root(open2(root, up, 0))", "root"),
                ("is_root(open2(root, up, IN_ROOT))", "root"),
                ("open2(root, up, BENEATH)", "EXDEV"),
                ("open2(work, '/', BENEATH)", "EXDEV"),
                ("open2(AT_FDCWD, '/proc/self/root', MAGIC)", "ELOOP"),
                ("open2(root, path[1:], 0)", "ENOENT"),
                ("open2(work, up + path, 0)", "ENOENT"),
                ("open2(AT_FDCWD, '/proc/self/root' + path, 0)", "ENOENT"),
                ("os.stat('/proc/self/cwd/' + up + path)", "ENOENT"),
                ("os.stat(f'/proc/self/fd/{root}' + path)", "ENOENT"),
                ("os.stat(f'/proc/self/task/{os.getpid()}/root' + path)", "ENOENT"),
                ("os.stat(f'/proc/self/map_files')", "ok"),
            ],
        );
        let told =
            shell(world, &format!("ln -s {path} link; cat link 2>&1; cat ../../../..{path} 2>&1"));
        assert_eq!(told.matches("No such file or directory").count(), 2, "{told}");
    }
}

/// A descriptor for reading opened anew for writing, by the magic link and by `O_PATH`.
#[test]
fn reading_does_not_become_writing() {
    let (dir, _) = secret();
    let shown = format!("{}:/shown", dir.path().display());
    let setup = numbers!(O_PATH)
        + "def again(path, first, then):\n\
           \x20   fd = os.open(path, first)\n\
           \x20   os.open(f'/proc/self/fd/{fd}', then)\n\
           def share(path):\n\
           \x20   fd = os.open(path, os.O_RDONLY)\n\
           \x20   mmap.mmap(fd, 4, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)\n\
           open('own', 'w').write('mine')\n";
    for world in World::all() {
        after(setup.clone()).flag("--mount-ro", &shown).inside(
            world,
            &[
                ("again('/shown/secret', os.O_RDONLY, os.O_RDWR)", "EROFS"),
                ("again('/shown/secret', O_PATH, os.O_WRONLY)", "EROFS"),
                ("again('/shown/secret', os.O_RDONLY, os.O_RDONLY | os.O_TRUNC)", "EROFS"),
                ("again('/etc/passwd', os.O_RDONLY, os.O_RDWR)", of(world.user, "EACCES", "EROFS")),
                ("os.write(os.open('/shown/secret', os.O_RDONLY), b'x')", "EBADF"),
                ("os.ftruncate(os.open('/shown/secret', os.O_RDONLY), 0)", "EINVAL"),
                ("share('/shown/secret')", "EACCES"),
                ("again('own', os.O_RDONLY, os.O_RDWR)", "ok"),
            ],
        );
        let again = "exec 3</shown/secret; (echo x >/dev/fd/3) 2>&1; (echo x >&3) 2>&1";
        let run = confined(bash(again).flag("--mount-ro", &shown), world);
        assert!(run.stdout.contains("Read-only file system"), "{run:#?}");
        assert!(run.stdout.contains("Bad file descriptor"), "{run:#?}");
        assert_eq!(fs::read_to_string(dir.path().join("secret")).unwrap(), "the secret");
    }
}

/// What is expected for root's sandboxes, and for those of an ordinary user.
fn of(user: User, root: &'static str, ordinary: &'static str) -> &'static str {
    if user == User::Root { root } else { ordinary }
}

/// A program that exists in memory only runs, and is as confined as any (`memfd_create(2)`).
#[test]
fn programs_in_memory_are_confined() {
    let setup = numbers!(SYS_memfd_create SYS_execveat AT_EMPTY_PATH)
        + "EXEC, SEAL_EXEC, NOEXEC = 0x10, 0x20, 0x8\n\
           def memory(flags, program):\n\
           \x20   fd = raw(SYS_memfd_create, b'program', flags | 2)\n\
           \x20   os.write(fd, open(program, 'rb').read())\n\
           \x20   return fd\n\
           def run(flags, program, *args):\n\
           \x20   fd = memory(flags, program)\n\
           \x20   read, write = os.pipe()\n\
           \x20   def start():\n\
           \x20       os.dup2(write, 1); os.dup2(write, 2)\n\
           \x20       os.execve(fd, [program, *args], {})\n\
           \x20   child(start)\n\
           \x20   os.close(write)\n\
           \x20   with os.fdopen(read) as told:\n\
           \x20       return told.read().replace('\\t', '').replace('\\n', ' ')\n\
           def exec_mode(flags): os.fchmod(memory(flags, '/usr/bin/true'), 0o777)\n\
           def exec_directly(flags): os.execve(memory(flags, '/usr/bin/true'), ['true'], {})\n\
           rights = ('-E', '^(NoNewPrivs|Seccomp|CapEff):', '/proc/self/status')\n";
    let jailed = "CapEff:0000000000000000 NoNewPrivs:1 Seccomp:2 ";
    for world in World::all() {
        if bash("true").run_as(world.user).status(Feature::MemoryLimit) != &Status::Enforced {
            // Where nobody counts memory files there are none.
            after(&setup).inside(world, &[("memory(0, '/usr/bin/true')", "ENOSYS")]);
            continue;
        }
        after(&setup).inside(
            world,
            &[
                ("run(EXEC, '/usr/bin/grep', *rights)", since((6, 3), jailed, "EINVAL")),
                ("run(0, '/usr/bin/grep', *rights)", jailed),
                (
                    "run(0, '/usr/bin/touch', '/usr/new').split(':')[-1].strip()",
                    "Read-only file system",
                ),
                (
                    "run(0, '/usr/bin/unshare', '-U', 'true').split(':')[-1].strip()",
                    "Operation not permitted",
                ),
                ("exec_mode(NOEXEC)", since((6, 3), "EPERM", "EINVAL")),
                ("exec_directly(NOEXEC)", since((6, 3), "EACCES", "EINVAL")),
            ],
        );
    }
}

/// Secrets of the host and of its users.
#[test]
fn files_of_the_host_do_not_exist() {
    let (_dir, path) = secret();
    let server = std::process::id();
    let rows: Vec<_> = [
        "/etc/shadow",
        "/etc/gshadow",
        "/etc/sudoers",
        "/etc/ssh",
        "/etc/ssl/private",
        "/etc/fstab",
        "/etc/machine-id",
        "/etc/hosts.allow",
        "/root/.bashrc",
        "/root/.ssh",
        "/home/user",
        "/var/lib",
        "/var/log",
        "/var/run",
        "/run/docker.sock",
        "/run/systemd",
        "/boot",
        "/mnt",
        "/media",
        "/srv",
        "/lost+found",
        "/opt/automa",
        "/var/lib/automa",
        &format!("/proc/{server}/environ"),
        &path,
    ]
    .iter()
    .map(|path| (format!("os.stat('{path}')"), "ENOENT"))
    .collect();
    let rows: Vec<_> = rows.iter().map(|(row, expected)| (row.as_str(), *expected)).collect();
    for world in World::all() {
        attempts().bare(
            world,
            &[("os.stat('/etc/shadow')", "ok"), (&format!("text({path:?})"), "the secret")],
        );
        attempts().inside(world, &rows);
        attempts().inside(
            world,
            &[
                ("str(os.listdir('/root') + os.listdir('/home') + os.listdir('/run'))", "[]"),
                ("str(os.listdir('/opt') + os.listdir('/var'))", "['tmp']"),
                (
                    "str(sorted(line.split(':')[0] for line in open('/etc/passwd')))",
                    "['job', 'nobody', 'root']",
                ),
                ("str(sorted(os.listdir('/')))", ROOT),
                ("str(sorted(os.listdir('/tmp')))", "[]"),
            ],
        );
        let told = shell(
            world,
            &format!("cat /etc/shadow {path} ~root/.bashrc 2>&1 | grep -c 'No such file'"),
        );
        assert_eq!(told, "3");
    }
}
const ROOT: &str = "['automa', 'bin', 'dev', 'etc', 'home', 'lib', 'lib64', 'opt', 'proc', 'root', \
                    'run', 'sbin', 'tmp', 'usr', 'var']";

/// Every way to change what is shared read-only: the wall is the mount, and Landlock behind it.
#[test]
fn what_is_read_only_stays() {
    let (dir, _) = secret();
    let shown = format!("{}:/shown", dir.path().display());
    let directories = ["/", "/usr", "/etc", "/opt", "/dev", "/automa", "/shown", "/usr/lib"];
    let mut rows: Vec<(String, &str)> = Vec::new();
    for dir in directories {
        rows.push((format!("os.mkdir('{dir}/new')"), "EROFS"));
        rows.push((format!("os.symlink('x', '{dir}/new')"), "EROFS"));
        rows.push((format!("os.mkfifo('{dir}/new')"), "EROFS"));
        rows.push((format!("os.open('{dir}/new', os.O_CREAT | os.O_WRONLY)"), "EROFS"));
        rows.push((format!("os.utime('{dir}')"), "EROFS"));
        rows.push((format!("os.chmod('{dir}', 0o777)"), "EROFS"));
        rows.push((format!("os.rename('script.py', '{dir}/new')"), "EXDEV"));
    }
    for file in ["/shown/secret", "/usr/bin/env"] {
        rows.push((format!("os.unlink('{file}')"), "EROFS"));
        rows.push((format!("os.chmod('{file}', 0o777)"), "EROFS"));
        rows.push((format!("os.utime('{file}', (0, 0))"), "EROFS"));
        rows.push((format!("os.setxattr('{file}', 'user.x', b'x')"), "EROFS"));
        rows.push((format!("os.rename('{file}', '{file}2')"), "EROFS"));
    }
    // Only where the file's own permissions would allow it does the mount have to answer.
    rows.push(("os.truncate('/shown/secret', 0)".to_owned(), "EROFS"));
    rows.push(("os.truncate('/usr/bin/env', 0)".to_owned(), since((6, 14), "EACCES", "EROFS")));
    rows.push(("put('/shown/secret')".to_owned(), "EROFS"));
    rows.push(("os.rename('/shown/secret', 'secret')".to_owned(), "EXDEV"));
    let rows: Vec<_> = rows.iter().map(|(row, expected)| (row.as_str(), *expected)).collect();
    let file = dir.path().join("secret");
    for world in World::all() {
        attempts().flag("--mount-ro", &shown).inside(world, &rows);
        assert_eq!(fs::read_to_string(&file).unwrap(), "the secret");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let told = shell(
            world,
            "for dir in / /usr /etc /opt /dev /var /root /home /run; do\n\
            (echo x >$dir/new) 2>&1 | grep -o 'Read-only file system' || echo $dir; done | sort -u",
        );
        assert_eq!(told, "Read-only file system");
    }
}

/// A hard link would be a second, writable name of a read-only file.
#[test]
fn links_do_not_cross_mounts() {
    let (dir, _) = secret();
    let shown = format!("{}:/shown", dir.path().display());
    let setup = numbers!(SYS_linkat AT_FDCWD AT_EMPTY_PATH AT_SYMLINK_FOLLOW)
        + "def by_descriptor(path):\n\
           \x20   fd = os.open(path, os.O_RDONLY)\n\
           \x20   raw(SYS_linkat, fd, b'', AT_FDCWD, b'new', AT_EMPTY_PATH)\n\
           def by_magic(path):\n\
           \x20   link = f'/proc/self/fd/{os.open(path, os.O_RDONLY)}'.encode()\n\
           \x20   raw(SYS_linkat, AT_FDCWD, link, AT_FDCWD, b'new', AT_SYMLINK_FOLLOW)\n\
           def whole():\n\
           \x20   os.link('script.py', 'second')\n\
           \x20   return str(os.stat('script.py').st_nlink)\n";
    for world in World::all() {
        after(&setup).flag("--mount-ro", &shown).inside(
            world,
            &[
                ("os.link('/shown/secret', 'new')", "EXDEV"),
                ("os.link('/usr/bin/env', 'new')", "EXDEV"),
                ("os.link('/etc/passwd', 'new')", "EXDEV"),
                ("os.link('/shown/secret', '/shown/new')", "EROFS"),
                ("os.link('script.py', '/shown/new')", "EROFS"),
                // Only by what this process has opened itself, and for nobody before that.
                ("by_descriptor('/shown/secret')", since((6, 10), "EXDEV", "ENOENT")),
                ("by_magic('/shown/secret')", "EXDEV"),
                ("whole()", "2"),
            ],
        );
        let link = "for file in /shown/secret /usr/bin/env /etc/passwd; do ln $file new 2>&1\n\
            done | grep -c 'cross-device link'";
        let run = confined(bash(link).flag("--mount-ro", &shown), world);
        assert_eq!(run.stdout, "3\n", "{run:#?}");
        assert_eq!(fs::metadata(dir.path().join("secret")).unwrap().nlink(), 1);
    }
}

/// Filling the one writable place, by bytes and by names: it is bounded, and nothing else fills.
#[test]
fn the_temporary_file_system_is_bounded() {
    let flags = "--wall 60s --cpus 2 --tmp 8M --memory 256M";
    for world in World::all() {
        for fill in [
            "dd if=/dev/zero of=/tmp/full bs=64k 2>&1 | grep -o 'No space.*'; exit 3",
            "dd if=/dev/zero of=/dev/shm/full bs=64k 2>&1 | grep -o 'No space.*'; exit 3",
            "i=0; while :>$((i++)); do :; done 2>&1 | grep -o 'No space.*'; exit 3",
        ] {
            let run = watched(bash(fill).flags(flags), world);
            assert_eq!((run.outcome(), run.code), (&Outcome::Disk, 3), "{run:#?}");
            assert_eq!(run.stdout, "No space left on device\n");
            let report = run.report.unwrap();
            assert_eq!(report.limits_hit, [Feature::DiskLimit]);
            assert!(report.usage.tmp.0 <= 8 << 20 && report.usage.tmp_inodes <= 16_384);
        }
    }
}

/// A file larger than what there is, and one larger than a limit (`setrlimit(2)`, SIGXFSZ).
#[test]
fn large_files_are_refused() {
    let setup = "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n\
        file, other = [os.open(name, os.O_CREAT | os.O_RDWR) for name in ('large', 'other')]\n\
        def limit(): resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n\
        def used(): return str(os.fstat(file).st_blocks)\n";
    for world in World::all() {
        after(setup).inside(
            world,
            &[
                ("os.posix_fallocate(file, 0, 1 << 40)", "ENOSPC"),
                // A hole takes no room.
                ("os.ftruncate(file, 1 << 40)", "ok"),
                ("used()", "0"),
                ("limit()", "ok"),
                ("os.pwrite(file, b'x', 8192)", "EFBIG"),
                ("os.ftruncate(other, 8192)", "EFBIG"),
                ("os.posix_fallocate(other, 0, 8192)", "EFBIG"),
                ("os.pwrite(other, b'x', 0)", "ok"),
            ],
        );
        let run = confined(bash("ulimit -f 1; exec dd if=/dev/zero of=large bs=4k count=1"), world);
        assert_eq!((run.outcome(), run.code), (&Outcome::Disk, 128 + 25), "{run:#?}");
        assert_eq!(run.report.unwrap().limits_hit, [Feature::DiskLimit]);
    }
}

/// Two sandboxes at the same time have nothing in common: not /tmp, not shared memory of either
/// kind, not an abstract socket, not a process; and the host has none of it.
#[test]
fn sandboxes_do_not_see_each_other() {
    let setup = numbers!(SYS_semget SYS_mq_open)
        + "def shared(flags): raw(SYS_semget, 0x61746d61, 1, flags)\n\
           def connect(): socket.socket(socket.AF_UNIX).connect('\\0automa-probe-sibling')\n";
    let first = format!(
        "{PROLOGUE}\n{setup}\nfor path in ('/tmp/mine', '/dev/shm/mine', '/var/tmp/mine2'):\n\
         \x20   open(path, 'w').write('mine')\n\
         shared(0o1666)\n\
         listener = socket.socket(socket.AF_UNIX)\n\
         listener.bind('\\0automa-probe-sibling'); listener.listen()\n\
         print(outcome(lambda: shared(0)), outcome(connect), flush=True)\n\
         sys.stdin.read()\n"
    );
    let mines: &[(&str, &str)] = &[
        ("str(os.listdir('/tmp') + os.listdir('/dev/shm') + os.listdir('/var/tmp'))", "[]"),
        ("shared(0)", "ENOENT"),
        ("connect()", "ECONNREFUSED"),
        ("str([int(n) for n in os.listdir('/proc') if n.isdigit()])", "[2]"),
        ("raw(SYS_mq_open, b'queue', os.O_CREAT | os.O_RDWR, 0o600, None)", "EMFILE"),
    ];
    for world in World::all() {
        let script = python(&first).flags(AMPLE).flag("--stdin", "-");
        let script = world.arrange(script);
        let mut command = script.command(world.user, Path::new("/dev/null"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        told.read_line(&mut line).unwrap();
        assert_eq!(line, "ok ok\n", "the first sandbox sees its own");
        after(&setup).inside(world, mines);
        assert_eq!(
            shell(world, "ls /tmp /dev/shm /var/tmp | xargs; ipcs | grep -c 0x"),
            "/dev/shm: /tmp: /var/tmp:\n0"
        );
        after(&setup).bare(world, &mines[1..3]);
        assert!(!Path::new("/tmp/mine").exists() && !Path::new("/dev/shm/mine").exists());
        assert!(child.try_wait().unwrap().is_none(), "it was there all the time");
        drop(child.stdin.take());
        told.read_to_string(&mut line).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

/// Objects of the host's IPC namespace, by well-known names: shared memory and its file system.
#[test]
fn shared_memory_of_the_host_is_untouched() {
    let name = format!("automa-probe-{}", std::process::id());
    let path = Path::new("/dev/shm").join(&name);
    let file = Removed(path.clone());
    fs::write(&file.0, "the host's").unwrap();
    make_public(&file.0);
    let setup = format!("path = {path:?}\n")
        + &numbers!(SYS_shmget IPC_RMID)
        + "def segments():\n\
           \x20   info = ctypes.create_string_buffer(256)\n\
           \x20   return str(raw(31, 0, 14, info))\n";
    for world in World::all() {
        after(&setup).bare(world, &[("text(path)", "the host's")]);
        after(&setup).inside(
            world,
            &[
                ("text(path)", "ENOENT"),
                // SHM_INFO tells the highest index in use: there is none.
                ("segments()", "0"),
                ("open(path, 'w').write('own')", "ok"),
                ("text(path)", "own"),
            ],
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "the host's");
    }
}

/// A file that is removed at the end of a test, also of one that fails.
struct Removed(std::path::PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What a script reads keeps its times, so that nothing can be told to the next through them.
#[test]
fn reading_leaves_no_trace() {
    let (dir, _) = secret();
    let shown = format!("{}:/shown", dir.path().display());
    let file = dir.path().join("secret");
    let times = || {
        let meta = fs::metadata(&file).unwrap();
        [meta.atime_nsec(), meta.mtime_nsec(), meta.ctime_nsec(), meta.atime(), meta.mtime()]
    };
    let before = times();
    for world in World::all() {
        attempts().flag("--mount-ro", &shown).inside(
            world,
            &[("text('/shown/secret')", "the secret"), ("str(os.listdir('/shown'))", "['secret']")],
        );
        assert_eq!(times(), before);
    }
}

/// Extended attributes that give rights, and as many harmless ones as there is room for.
#[test]
fn attributes_give_nothing() {
    let setup = "capability = struct.pack('<5I', 0x02000001, 1 << 21, 0, 0, 0)\n\
        open('file', 'w').close()\n\
        def set(name, value=b'x'): os.setxattr('file', name, value)\n\
        def flood():\n\
        \x20   for i in range(10000):\n\
        \x20       open(f'file{i}', 'w').close()\n\
        \x20       for j in range(100): os.setxattr(f'file{i}', f'user.{j}', bytes(60000))\n";
    for world in World::all() {
        let probe = after(setup).flag("--memory", "256M");
        probe.inside(
            world,
            &[
                ("set('security.capability', capability)", "EPERM"),
                ("set('security.evm')", "EPERM"),
                ("set('trusted.overlay.opaque')", "EPERM"),
                ("set('security.ima')", "EPERM"),
                ("set('user.harmless')", since((6, 6), "ok", "ENOTSUP")),
                ("flood()", since((6, 6), "ENOSPC", "ENOTSUP")),
            ],
        );
    }
}

/// A shown directory may be somebody else's, and what is shown below it comes after it: a link on
/// the way must not have directories made on the host (CVE-2026-87766 of bubblewrap).
#[test]
fn showing_below_a_link_makes_nothing_on_the_host() {
    let (dir, _) = secret();
    // Not in /tmp, which is covered while the tree is put together.
    let outside = tempfile::tempdir_in("/var/tmp").unwrap();
    make_public(outside.path());
    for (name, target) in [("link", outside.path()), ("etc", Path::new("/etc"))] {
        symlink(target, dir.path().join(name)).unwrap();
    }
    let path = dir.path().display();
    for world in World::all() {
        for below in ["link/new", "link", "etc/new", "./link/new/deeper"] {
            let script = bash("echo ran").flag("--mount-ro", &format!("{path}:/shown"));
            let run = watched(script.flag("--mount-ro", &format!("{path}:/shown/{below}")), world);
            assert_eq!((run.code, run.stdout.as_str()), (125, ""), "{below}: {run:#?}");
            assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "{below}");
        }
    }
}

/// A directory that is shown may hold sockets and pipes: they are not for reading alone. Where the
/// kernel cannot refuse a connection (before Landlock ABI 9), the report has to say so.
#[test]
fn shown_sockets_and_pipes_do_not_answer_or_are_reported() {
    let (dir, _) = secret();
    let shown = format!("{}:/shown", dir.path().display());
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    make_public(&path);
    nix::unistd::mkfifo(&dir.path().join("pipe"), nix::sys::stat::Mode::all()).unwrap();
    make_public(&dir.path().join("pipe"));
    let setup = "def connect(path): socket.socket(socket.AF_UNIX).connect(path)\n";
    for world in World::all() {
        let filesystem = bash("true").flag("--mount-ro", &shown).run_as(world.user);
        let (expected, reached) = match filesystem.status(Feature::Filesystem) {
            Status::Enforced => ("EACCES", false),
            Status::Weaker(reason) if reason.contains("sockets") => ("ok", true),
            other => panic!("{other:?}"),
        };
        after(setup).flag("--mount-ro", &shown).inside(
            world,
            &[
                ("os.open('/shown/pipe', os.O_RDWR | os.O_NONBLOCK)", "EACCES"),
                ("connect('/shown/socket')", expected),
            ],
        );
        assert_eq!(listener.accept().is_ok(), reached);
        // Without the directory there is nothing to admit.
        assert_eq!(bash("true").run_as(world.user).status(Feature::Filesystem), &Status::Enforced);
    }
}
