//! Namespaces, mounts and /proc: ways to a view of the machine that is not the script's.

use std::{fs, io::Read, process::Stdio};

use automa_tests::{User, command_of, public_dir};

use super::{World, after, attempts, may_signal_init, numbers, shell};

/// A new user namespace gives all capabilities in it, and with them the kernel code behind most
/// local root exploits (CVE-2022-0185, CVE-2023-32233, `user_namespaces(7)`).
#[test]
fn no_namespace_can_be_made() {
    let setup = numbers!(SYS_unshare SYS_clone CLONE_NEWNS CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWUSER
        CLONE_NEWPID CLONE_NEWNET CLONE_NEWCGROUP)
        + "CLONE_NEWTIME = 0x80\n\
           def clone(flags):\n\
           \x20   if raw(SYS_clone, flags | signal.SIGCHLD, 0, 0, 0, 0) == 0: os._exit(0)\n";
    let probe = after(setup);
    for world in World::all() {
        probe.bare(world, &[("in_child(lambda: raw(SYS_unshare, CLONE_NEWUSER))", "ok")]);
        probe.inside(
            world,
            &[
                ("raw(SYS_unshare, CLONE_NEWUSER)", "EPERM"),
                ("raw(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS)", "EPERM"),
                ("raw(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNET)", "EPERM"),
                ("raw(SYS_unshare, CLONE_NEWNS)", "EPERM"),
                ("raw(SYS_unshare, CLONE_NEWUTS)", "EPERM"),
                ("raw(SYS_unshare, CLONE_NEWIPC)", "EPERM"),
                ("raw(SYS_unshare, CLONE_NEWPID)", "EPERM"),
                ("raw(SYS_unshare, CLONE_NEWNET)", "EPERM"),
                ("raw(SYS_unshare, CLONE_NEWCGROUP)", "EPERM"),
                ("raw(SYS_unshare, CLONE_NEWTIME)", "EPERM"),
                ("clone(CLONE_NEWUSER)", "EPERM"),
                ("clone(CLONE_NEWUSER | CLONE_NEWNS)", "EPERM"),
                ("clone(CLONE_NEWUSER | 1 << 32)", "EPERM"),
                ("clone(CLONE_NEWNS)", "EPERM"),
                ("clone(CLONE_NEWPID)", "EPERM"),
                ("clone(CLONE_NEWNET)", "EPERM"),
                ("clone(0)", "ok"),
            ],
        );
        let told =
            shell(world, "unshare --user true 2>&1; unshare --net true 2>&1; unshare -m true");
        assert_eq!(told.matches("unshare failed: Operation not permitted").count(), 2, "{told}");
    }
}

/// clone3(2) hands its flags over in memory, where no filter can look. It must seem not to exist,
/// so that C libraries fall back to clone(2), as they do upon ENOSYS alone.
#[test]
fn clone3_does_not_exist_and_threads_work() {
    let setup = numbers!(SYS_clone3 CLONE_NEWUSER)
        + "request = struct.pack('8Q', CLONE_NEWUSER, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)\n\
           def thread():\n\
           \x20   done = []\n\
           \x20   worker = threading.Thread(target=lambda: done.append('ran'))\n\
           \x20   worker.start(); worker.join()\n\
           \x20   return done[0]\n";
    let probe = after(setup);
    for world in World::all() {
        probe.bare(world, &[("in_child(lambda: raw(SYS_clone3, b'', 0))", "EINVAL")]);
        probe.inside(
            world,
            &[
                ("raw(SYS_clone3, request, len(request))", "ENOSYS"),
                ("raw(SYS_clone3, b'', 0)", "ENOSYS"),
                ("thread()", "ran"),
                ("child(lambda: None)", "exit 0"),
            ],
        );
        assert_eq!(shell(world, "(echo one | cat) & wait; echo $(echo two)"), "one\ntwo");
    }
}

/// setns(2) with what /proc offers, and with the descriptor of a process.
#[test]
fn no_namespace_can_be_joined() {
    let setup = numbers!(SYS_setns SYS_pidfd_open CLONE_NEWNS CLONE_NEWUSER)
        + "SYS_listns = 470\n\
           def join(name): raw(SYS_setns, os.open(f'/proc/self/ns/{name}', os.O_RDONLY), 0)\n\
           def join_process(pid, kind): raw(SYS_setns, raw(SYS_pidfd_open, pid, 0), kind)\n";
    let probe = after(setup);
    for world in World::all() {
        probe.bare(world, &[("join('user')", "EINVAL"), ("raw(SYS_setns, -1, 0)", "EBADF")]);
        probe.inside(
            world,
            &[
                ("join('user')", "EPERM"),
                ("join('mnt')", "EPERM"),
                ("join('net')", "EPERM"),
                ("join('pid')", "EPERM"),
                ("join('ipc')", "EPERM"),
                ("join('uts')", "EPERM"),
                ("join('cgroup')", "EPERM"),
                ("join('time')", "EPERM"),
                ("join_process(os.getpid(), CLONE_NEWNS)", "EPERM"),
                ("join_process(1, CLONE_NEWUSER)", "EPERM"),
                ("join_process(1, CLONE_NEWNS)", "EPERM"),
                ("raw(SYS_listns, bytes(64), bytes(64), 8, 0)", "EPERM"),
                ("raw(SYS_pidfd_open, os.getpid(), 0)", "ok"),
            ],
        );
        let told = shell(world, "nsenter --net=/proc/self/ns/net true 2>&1");
        assert!(told.ends_with("Operation not permitted"), "{told}");
    }
}

/// mount(2) and its successors: to take a cover off, to make writable, to mount what is more
/// than a file system (overlayfs and FUSE as in CVE-2023-0386, cgroup as in CVE-2022-0492).
#[test]
fn nothing_can_be_mounted_or_unmounted() {
    let setup = numbers!(SYS_mount SYS_umount2 SYS_fsopen SYS_fsmount SYS_fsconfig SYS_fspick
        SYS_move_mount SYS_open_tree SYS_mount_setattr SYS_unshare MNT_DETACH MS_REMOUNT MS_BIND
        MS_REC MS_PRIVATE CLONE_NEWUSER CLONE_NEWNS AT_FDCWD AT_RECURSIVE)
        + "SYS_statmount, SYS_listmount, SYS_open_tree_attr = 457, 458, 467\n\
           table = text('/proc/self/mountinfo')\n\
           def mounts(): return 'same' if text('/proc/self/mountinfo') == table else 'changed'\n\
           def own_mount():\n\
           \x20   raw(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS)\n\
           \x20   raw(SYS_mount, None, b'/', None, MS_REC | MS_PRIVATE, None)\n\
           \x20   raw(SYS_mount, b'/usr', b'/mnt', None, MS_BIND | MS_REC, None)\n";
    let probe = after(setup);
    for world in World::all() {
        probe.bare(world, &[("in_child(own_mount)", "ok")]);
        probe.inside(
            world,
            &[
                ("raw(SYS_mount, b'x', b'/tmp', b'tmpfs', 0, None)", "EPERM"),
                ("raw(SYS_mount, b'x', b'/tmp', b'proc', 0, None)", "EPERM"),
                ("raw(SYS_mount, b'x', b'/tmp', b'cgroup', 0, b'memory')", "EPERM"),
                ("raw(SYS_mount, b'x', b'/tmp', b'cgroup2', 0, None)", "EPERM"),
                ("raw(SYS_mount, b'x', b'/tmp', b'overlay', 0, b'lowerdir=/usr:/etc')", "EPERM"),
                ("raw(SYS_mount, b'x', b'/tmp', b'fuse', 0, b'fd=3')", "EPERM"),
                ("raw(SYS_mount, b'/', b'/tmp', None, MS_BIND | MS_REC, None)", "EPERM"),
                ("raw(SYS_mount, None, b'/usr', None, MS_REMOUNT | MS_BIND, None)", "EPERM"),
                ("raw(SYS_mount, None, b'/', None, MS_REMOUNT, None)", "EPERM"),
                ("raw(SYS_umount2, b'/proc', MNT_DETACH)", "EPERM"),
                ("raw(SYS_umount2, b'/usr', MNT_DETACH)", "EPERM"),
                ("raw(SYS_umount2, b'/', MNT_DETACH)", "EPERM"),
                ("raw(SYS_fsopen, b'tmpfs', 0)", "EPERM"),
                ("raw(SYS_fsopen, b'overlay', 0)", "EPERM"),
                ("raw(SYS_fsconfig, -1, 6, None, None, 0)", "EPERM"),
                ("raw(SYS_fsmount, -1, 0, 0)", "EPERM"),
                ("raw(SYS_fspick, AT_FDCWD, b'/usr', 0)", "EPERM"),
                ("raw(SYS_open_tree, AT_FDCWD, b'/proc', 1 | AT_RECURSIVE)", "EPERM"),
                ("raw(SYS_open_tree, AT_FDCWD, b'/', 0)", "EPERM"),
                ("raw(SYS_open_tree_attr, AT_FDCWD, b'/', 1, bytes(32), 32)", "EPERM"),
                ("raw(SYS_move_mount, AT_FDCWD, b'/usr', AT_FDCWD, b'/tmp', 0)", "EPERM"),
                ("raw(SYS_mount_setattr, AT_FDCWD, b'/usr', 0, bytes(32), 32)", "EPERM"),
                ("raw(SYS_statmount, bytes(32), bytes(512), 512, 0)", "EPERM"),
                ("raw(SYS_listmount, bytes(32), bytes(512), 64, 0)", "EPERM"),
                ("mounts()", "same"),
            ],
        );
        let told = shell(
            world,
            "for what in '-o remount,rw /usr' '-o bind /usr /tmp' '-t tmpfs x /tmp'; do\n\
             mount $what 2>/dev/null && echo mounted; done; umount /proc 2>/dev/null || echo none",
        );
        assert_eq!(told, "none");
    }
}

/// The classic way out of a changed root directory: keep a descriptor outside of a second one and
/// climb (`chroot(2)`, notes). And `pivot_root(2)` back to what was before.
#[test]
fn the_root_directory_stays() {
    let dir = public_dir();
    let secret = dir.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let setup = numbers!(SYS_chroot SYS_pivot_root)
        + &format!("path = {secret:?}\n")
        + "start = os.open('/', os.O_RDONLY)\n\
           root = os.stat('/')\n\
           os.mkdir('jail')\n\
           def climb():\n\
           \x20   os.fchdir(start)\n\
           \x20   for _ in range(100): os.chdir('..')\n\
           \x20   return 'root' if os.path.samestat(os.stat('.'), root) else 'elsewhere'\n\
           def double():\n\
           \x20   raw(SYS_chroot, b'jail')\n\
           \x20   climb()\n\
           \x20   raw(SYS_chroot, b'.')\n";
    let probe = after(setup);
    for world in World::all() {
        after(format!("path = {secret:?}\n")).bare(world, &[("text(path)", "secret")]);
        probe.inside(
            world,
            &[
                ("raw(SYS_chroot, b'jail')", "EPERM"),
                ("raw(SYS_chroot, b'/')", "EPERM"),
                ("double()", "EPERM"),
                ("raw(SYS_pivot_root, b'.', b'.')", "EPERM"),
                ("raw(SYS_pivot_root, b'/automa/job', b'/automa/job/work')", "EPERM"),
                ("climb()", "root"),
                ("text(path)", "ENOENT"),
                ("text('../' * 64 + path)", "ENOENT"),
            ],
        );
        assert_eq!(
            shell(world, "/usr/sbin/chroot / true 2>/dev/null; echo $?; cd /; cd ../../..; pwd"),
            "125\n/"
        );
    }
}

/// /proc/1 would lead to init's root, memory and environment (`proc(5)`, `hidepid`).
#[test]
fn init_is_not_in_proc() {
    let names =
        ["root", "cwd", "environ", "mem", "maps", "fd", "exe", "status", "ns/mnt", "task/1"];
    let rows = names.map(|name| format!("os.stat('/proc/1/{name}')"));
    for world in World::all() {
        attempts().inside(world, &rows.each_ref().map(|row| (row.as_str(), "ENOENT")));
        attempts().inside(world, &[("os.stat('/proc/self/status')", "ok")]);
        let told = shell(world, "cat /proc/1/environ 2>&1; ls /proc | grep -cx 1");
        let why = ["No such file or directory", "Operation not permitted"];
        assert!(why.iter().any(|why| told.ends_with(&format!("{why}\n0"))), "{told}");
    }
}

/// A tree of its own: no other process is seen, and none is reached by a signal, whatever its
/// number. A process of the host stands ready to be hit.
#[test]
fn only_own_processes_are_seen_and_reached() {
    let mut victims: Vec<_> = User::all().into_iter().map(Victim::start).collect();
    let setup = "def seen():\n\
         \x20   return str([int(name) for name in os.listdir('/proc') if name.isdigit()])\n\
         def reached(number):\n\
         \x20   found = []\n\
         \x20   for pid in range(1, 70000):\n\
         \x20       try: os.kill(pid, number); found.append(pid)\n\
         \x20       except ProcessLookupError: pass\n\
         \x20       except PermissionError: found.append(-pid)\n\
         \x20   return str(found)\n";
    for world in World::all() {
        // Bare, root may send to anybody, and everybody to their own.
        let reach = |victim: &Victim| format!("os.kill({}, 0)", victim.child.id());
        attempts().bare(world, &[(&reach(victims.last().unwrap()), "ok")]);
        let refused = if may_signal_init(world) { "ok" } else { "EPERM" };
        after(setup).inside(
            world,
            &[
                ("seen()", "[2]"),
                // Of all numbers only these exist: init, out of reach, and the script itself.
                ("reached(0)", if may_signal_init(world) { "[1, 2]" } else { "[-1, 2]" }),
                ("os.kill(1, signal.SIGKILL)", refused),
                ("os.kill(1, signal.SIGUSR1)", refused),
                ("os.kill(-1, 0)", "ESRCH"),
                ("os.killpg(1, 0)", "ESRCH"),
            ],
        );
        let pids: Vec<String> =
            victims.iter().map(|victim| victim.child.id().to_string()).collect();
        let told =
            shell(world, &format!("for pid in {}; do kill -9 $pid; done 2>&1", pids.join(" ")));
        assert_eq!(told.matches("No such process").count(), pids.len(), "{told}");
    }
    victims.iter_mut().for_each(Victim::assert_alive);
}

/// A process of the host that waits to be hit by a signal, and ends with the test.
struct Victim {
    child: std::process::Child,
}

impl Victim {
    fn start(user: User) -> Self {
        let mut command = command_of("/bin/cat".as_ref(), user);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        Self { child }
    }

    fn assert_alive(&mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "a process of the host was hit");
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Where the test has failed it may still be there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `release_agent` runs as root on the host (CVE-2022-0492): no group is to be seen, and none may
/// be mounted.
#[test]
fn control_groups_are_out_of_reach() {
    let setup = "def groups():\n\
         \x20   lines = text('/proc/self/cgroup').splitlines()\n\
         \x20   paths = {line.rsplit(':', 1)[1] for line in lines}\n\
         \x20   return ' '.join(sorted(paths))\n";
    for world in World::all() {
        after(setup).inside(
            world,
            &[
                ("os.stat('/sys')", "ENOENT"),
                ("os.stat('/sys/fs/cgroup')", "ENOENT"),
                ("put('/sys/fs/cgroup/memory/release_agent', '/bin/sh')", "ENOENT"),
                ("put('/sys/fs/cgroup/cgroup.procs', '0')", "ENOENT"),
                ("put('/proc/self/cgroup', '0::/')", "EACCES"),
                ("os.stat('/proc/cgroups')", "ENOENT"),
                // As its own namespace shows it, every group is the root.
                ("groups()", "/"),
            ],
        );
        let told = shell(world, "ls /sys/fs/cgroup 2>&1; grep -c cgroup /proc/self/mountinfo");
        assert_eq!(told, "ls: cannot access '/sys/fs/cgroup': No such file or directory\n0");
    }
}

/// sethostname(2) and setdomainname(2); the host's own name is read by every watched run.
#[test]
fn the_host_name_stays() {
    let setup = numbers!(SYS_sethostname SYS_setdomainname);
    for world in World::all() {
        after(&setup).inside(
            world,
            &[
                ("os.uname().nodename", "automa"),
                ("raw(SYS_sethostname, b'taken', 5)", "EPERM"),
                ("raw(SYS_setdomainname, b'taken', 5)", "EPERM"),
                ("put('/proc/sys/kernel/hostname', 'taken')", "ENOENT"),
                ("os.uname().nodename", "automa"),
            ],
        );
        assert_eq!(shell(world, "hostname taken 2>/dev/null || hostname"), "automa");
    }
}
