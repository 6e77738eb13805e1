//! The kernel's own surface: settings, clocks, devices, rarely reviewed subsystems.

use std::{fs, path::Path};

use automa_tests::{command_of, public_dir, python};

use super::{AMPLE, PROLOGUE, World, after, attempts, numbers, shell, since_abi};

/// Kernel settings that would run a program as root (`core(5)`, `core_pattern`), press a magic key,
/// or turn the memory killer on others. Their values on the host are read by every watched run.
#[test]
fn settings_cannot_be_written() {
    let missing = [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/sysrq",
        "/proc/sys/kernel/randomize_va_space",
        "/proc/sys/kernel/ns_last_pid",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sys/vm/drop_caches",
        "/proc/sys/fs/binfmt_misc/register",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sysrq-trigger",
        "/proc/acpi",
        "/proc/bus/pci",
        "/proc/irq",
    ];
    // These are the process's own; Landlock keeps even them from being written.
    let own = ["oom_score_adj", "oom_adj", "timerslack_ns", "gid_map", "attr/exec", "autogroup"];
    let missing = missing.map(|path| (format!("put('{path}', '1')"), "ENOENT"));
    let own = own.map(|name| (format!("put('/proc/self/{name}', '-1')"), "EACCES"));
    let present = own.iter().filter(|(row, _)| {
        Path::new(row.split('\'').nth(1).unwrap()).exists() // Depends on how the kernel was built.
    });
    let rows: Vec<_> = missing.iter().chain(present).collect();
    let rows: Vec<_> = rows.iter().map(|(row, expected)| (row.as_str(), *expected)).collect();
    for world in World::all() {
        attempts().inside(world, &rows);
        let told = shell(
            world,
            "for file in sys/kernel/core_pattern sysrq-trigger self/oom_score_adj; do\n\
             (echo 0 >/proc/$file) 2>&1 | grep -o '[A-Z][a-z ]*$'; done",
        );
        assert_eq!(told, "No such file or directory\nNo such file or directory\nPermission denied");
    }
}

/// What /proc tells about the machine, its memory and its keys.
#[test]
fn the_machine_is_not_described() {
    let names = [
        "kallsyms",
        "kcore",
        "keys",
        "key-users",
        "timer_list",
        "config.gz",
        "version",
        "cmdline",
        "meminfo",
        "cpuinfo",
        "stat",
        "uptime",
        "loadavg",
        "modules",
        "mounts",
        "net",
        "interrupts",
        "iomem",
        "ioports",
        "slabinfo",
        "swaps",
        "partitions",
        "diskstats",
        "sched_debug",
        "sys",
        "sysvipc",
        "vmallocinfo",
        "pagetypeinfo",
        "kmsg",
        "kpageflags",
        "locks",
        "devices",
    ];
    // Links to what is the process's own.
    let own = ["mounts", "net"];
    let hidden = names.into_iter().filter(|name| !own.contains(name));
    let rows: Vec<_> = hidden.map(|name| (format!("os.stat('/proc/{name}')"), "ENOENT")).collect();
    let rows: Vec<_> = rows.iter().map(|(row, expected)| (row.as_str(), *expected)).collect();
    for world in World::all() {
        attempts()
            .bare(world, &[("os.stat('/proc/version')", "ok"), ("os.stat('/proc/meminfo')", "ok")]);
        attempts().inside(world, &rows);
        assert_eq!(shell(world, "cd /proc; echo [a-z]*"), "self thread-self");
        assert_eq!(
            shell(world, "dmesg 2>&1 | grep -o 'Operation not permitted'"),
            "Operation not permitted"
        );
    }
}

/// /sys: the helper that a device event starts, debugging and tracing, security modules, firmware.
#[test]
fn sys_does_not_exist() {
    let rows: Vec<_> = [
        "/sys",
        "/sys/kernel/uevent_helper",
        "/sys/kernel/debug",
        "/sys/kernel/tracing",
        "/sys/kernel/security",
        "/sys/firmware",
        "/sys/module",
        "/sys/class/net",
        "/sys/devices/system/cpu",
    ]
    .map(|path| (format!("os.stat('{path}')"), "ENOENT"))
    .into();
    let rows: Vec<_> = rows.iter().map(|(row, expected)| (row.as_str(), *expected)).collect();
    for world in World::all() {
        attempts().bare(world, &[("os.stat('/sys/kernel')", "ok")]);
        attempts().inside(world, &rows);
        assert_eq!(shell(world, "ls -d /sys /boot 2>/dev/null"), "");
    }
}

/// The clock is the whole machine's. Reading how it is adjusted is everybody's right.
#[test]
fn the_clock_cannot_be_set() {
    let setup = numbers!(SYS_clock_settime SYS_settimeofday SYS_adjtimex SYS_clock_adjtime
        CLOCK_REALTIME ADJ_FREQUENCY ADJ_SETOFFSET)
        + "def adjust(modes): return raw(SYS_adjtimex, struct.pack('2q', modes, 1) + bytes(192))\n\
           def adjust_clock(modes):\n\
           \x20   request = struct.pack('2q', modes, 1) + bytes(192)\n\
           \x20   raw(SYS_clock_adjtime, CLOCK_REALTIME, request)\n\
           later = struct.pack('2q', int(time.time()) + 86400, 0)\n";
    for world in World::all() {
        after(&setup).bare(world, &[("adjust(0)", "ok")]);
        after(&setup).inside(
            world,
            &[
                ("raw(SYS_clock_settime, CLOCK_REALTIME, later)", "EPERM"),
                ("raw(SYS_settimeofday, later, None)", "EPERM"),
                ("adjust(ADJ_FREQUENCY)", "EPERM"),
                ("adjust(ADJ_SETOFFSET)", "EPERM"),
                ("adjust_clock(ADJ_FREQUENCY)", "EPERM"),
                ("adjust(0)", "ok"),
            ],
        );
        assert_eq!(
            shell(world, "date -s tomorrow 2>&1 >/dev/null"),
            "date: cannot set date: Operation not permitted"
        );
    }
}

/// Calls for administrators: restart, modules, another kernel, swap, accounting, log, ports. Their
/// arguments are such that they would fail otherwise where they were let through by mistake.
#[test]
fn the_machine_cannot_be_managed() {
    let setup = numbers!(SYS_reboot SYS_kexec_load SYS_kexec_file_load SYS_init_module
        SYS_finit_module SYS_delete_module SYS_swapon SYS_swapoff SYS_acct SYS_quotactl SYS_syslog
        SYS_nfsservctl SYS_iopl SYS_ioperm SYS_modify_ldt SYS_vhangup SYS_uselib SYS_ustat
        SYS_sysfs SYS__sysctl SYS_lookup_dcookie)
        + "SYS_create_module, SYS_get_kernel_syms, SYS_query_module = 174, 177, 178\n";
    for world in World::all() {
        // So it is the filter that says EPERM, and not a lack of rights.
        after(&setup).bare(
            world,
            &[
                ("in_child(lambda: raw(SYS_modify_ldt, 0, bytes(16), 16))", "ok"),
                ("raw(SYS_sysfs, 3)", "ok"),
                ("raw(SYS_quotactl, -1, b'/none', 0, None)", "EINVAL"),
            ],
        );
        after(&setup).inside(
            world,
            &[
                ("raw(SYS_reboot, 0, 0, 0, None)", "EPERM"),
                ("raw(SYS_kexec_load, 0, 0, None, 0)", "EPERM"),
                ("raw(SYS_kexec_file_load, -1, -1, 0, None, 0)", "EPERM"),
                ("raw(SYS_init_module, b'', 0, b'')", "EPERM"),
                ("raw(SYS_finit_module, -1, b'', 0)", "EPERM"),
                ("raw(SYS_delete_module, b'no_such_module', 0)", "EPERM"),
                ("raw(SYS_create_module, b'x', 1)", "EPERM"),
                ("raw(SYS_query_module, None, 0, None, 0, None)", "EPERM"),
                ("raw(SYS_get_kernel_syms, None)", "EPERM"),
                ("raw(SYS_swapon, b'/no-such-file', 0)", "EPERM"),
                ("raw(SYS_swapoff, b'/no-such-file')", "EPERM"),
                ("raw(SYS_acct, b'/no-such-file')", "EPERM"),
                ("raw(SYS_quotactl, -1, b'/none', 0, None)", "EPERM"),
                ("raw(SYS_syslog, 3, bytes(512), 512)", "EPERM"),
                ("raw(SYS_syslog, 10, None, 0)", "EPERM"),
                ("raw(SYS_nfsservctl, 0, None, None)", "EPERM"),
                ("raw(SYS_iopl, 3)", "EPERM"),
                ("raw(SYS_iopl, 0)", "EPERM"),
                ("raw(SYS_ioperm, 0x80, 1, 1)", "EPERM"),
                ("raw(SYS_modify_ldt, 0, bytes(16), 16)", "EPERM"),
                ("raw(SYS_vhangup)", "EPERM"),
                ("raw(SYS_uselib, b'/usr/lib')", "EPERM"),
                ("raw(SYS_ustat, 0, bytes(64))", "EPERM"),
                ("raw(SYS_sysfs, 3)", "EPERM"),
                ("raw(SYS__sysctl, None)", "EPERM"),
                ("raw(SYS_lookup_dcookie, 0, bytes(64), 64)", "EPERM"),
            ],
        );
    }
}

/// Parts of the kernel that are large, new or often broken, and that scripts do not need: most
/// local exploits of the last years go through one of them (CVE-2021-3490 bpf, CVE-2022-29582
/// `io_uring`, CVE-2016-0728 keyrings), or wins its races by `userfaultfd`.
#[test]
fn risky_subsystems_are_closed() {
    let setup = numbers!(SYS_bpf SYS_perf_event_open SYS_userfaultfd SYS_io_uring_setup
        SYS_io_uring_enter SYS_io_uring_register SYS_keyctl SYS_add_key SYS_request_key
        SYS_fanotify_init SYS_fanotify_mark SYS_memfd_secret SYS_move_pages SYS_migrate_pages
        SYS_mbind SYS_set_mempolicy SYS_set_mempolicy_home_node SYS_remap_file_pages SYS_vmsplice
        SYS_seccomp)
        + "SYS_lsm_get_self_attr, SYS_lsm_set_self_attr, SYS_lsm_list_modules = 459, 460, 461\n\
           SYS_uretprobe, SYS_uprobe = 335, 336\n";
    for world in World::all() {
        after(&setup).bare(
            world,
            &[
                ("raw(SYS_io_uring_enter, -1, 0, 0, 0, None, 0)", "EBADF"),
                ("raw(SYS_move_pages, 0, 0, None, None, None, 0)", "ok"),
                ("raw(SYS_set_mempolicy, 0, None, 0)", "ok"),
                ("raw(SYS_mbind, 0, 0, 0, None, 0, 0)", "ok"),
                ("raw(SYS_vmsplice, -1, None, 0, 0)", "EBADF"),
            ],
        );
        let commands = (0..40).map(|command| format!("raw(SYS_bpf, {command}, bytes(128), 128)"));
        let bpf: Vec<_> = commands.collect();
        let bpf: Vec<_> = bpf.iter().map(|row| (row.as_str(), "EPERM")).collect();
        after(&setup).inside(world, &bpf);
        after(&setup).inside(
            world,
            &[
                ("raw(SYS_perf_event_open, bytes(128), 0, -1, -1, 0)", "EPERM"),
                ("raw(SYS_userfaultfd, 0)", "EPERM"),
                ("raw(SYS_userfaultfd, 1)", "EPERM"),
                ("raw(SYS_io_uring_setup, 8, bytes(256))", "EPERM"),
                ("raw(SYS_io_uring_enter, -1, 0, 0, 0, None, 0)", "EPERM"),
                ("raw(SYS_io_uring_register, -1, 0, None, 0)", "EPERM"),
                ("raw(SYS_fanotify_init, 0, 0)", "EPERM"),
                ("raw(SYS_fanotify_mark, -1, 1, 1, -100, b'/')", "EPERM"),
                ("raw(SYS_memfd_secret, 0)", "EPERM"),
                ("raw(SYS_move_pages, 0, 0, None, None, None, 0)", "EPERM"),
                ("raw(SYS_migrate_pages, 0, 0, None, None)", "EPERM"),
                ("raw(SYS_mbind, 0, 0, 0, None, 0, 0)", "EPERM"),
                ("raw(SYS_set_mempolicy, 0, None, 0)", "EPERM"),
                ("raw(SYS_set_mempolicy_home_node, 0, 0, 0, 0)", "EPERM"),
                ("raw(SYS_remap_file_pages, 0, 0, 0, 0, 0)", "EPERM"),
                ("raw(SYS_vmsplice, -1, None, 0, 0)", "EPERM"),
                ("raw(SYS_seccomp, 1, 8, None)", "EPERM"),
                ("raw(SYS_lsm_get_self_attr, 100, None, bytes(4), 0)", "EPERM"),
                ("raw(SYS_lsm_set_self_attr, 100, bytes(32), 32, 0)", "EPERM"),
                ("raw(SYS_lsm_list_modules, bytes(64), bytes(4), 0)", "EPERM"),
                // Not for a filter to see (Linux 6.14): only the kernel's own code may make these.
                ("child(lambda: raw(SYS_uretprobe)).replace('exit 1', 'signal 4')", "signal 4"),
                ("child(lambda: raw(SYS_uprobe)).replace('exit 1', 'signal 4')", "signal 4"),
            ],
        );
    }
}

/// A session keyring would outlive the script and be found by the next one: a store to pass things
/// through (`keyrings(7)`; Linux containers share it, as Docker's default filter notes).
#[test]
fn keyrings_keep_nothing() {
    let setup = numbers!(SYS_keyctl SYS_add_key SYS_request_key KEYCTL_GET_KEYRING_ID
        KEYCTL_JOIN_SESSION_KEYRING KEYCTL_GET_PERSISTENT)
        + "SESSION, USER = -3, -4\n";
    for world in World::all() {
        after(&setup).bare(world, &[("raw(SYS_keyctl, 99, 0, 0, 0, 0)", "ENOTSUP")]);
        after(&setup).inside(
            world,
            &[
                ("raw(SYS_keyctl, 99, 0, 0, 0, 0)", "EPERM"),
                ("raw(SYS_add_key, b'user', b'automa-probe', b'x', 1, SESSION)", "EPERM"),
                ("raw(SYS_add_key, b'user', b'automa-probe', b'x', 1, USER)", "EPERM"),
                ("raw(SYS_add_key, b'keyring', b'automa-probe', None, 0, USER)", "EPERM"),
                ("raw(SYS_request_key, b'user', b'automa-probe', None, USER)", "EPERM"),
                ("raw(SYS_keyctl, KEYCTL_GET_KEYRING_ID, SESSION, 1, 0, 0)", "EPERM"),
                ("raw(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, b'automa-probe', 0, 0, 0)", "EPERM"),
                ("raw(SYS_keyctl, KEYCTL_GET_PERSISTENT, -1, USER, 0, 0)", "EPERM"),
            ],
        );
        let keys = fs::read_to_string("/proc/keys").unwrap_or_default();
        assert!(!keys.contains("automa-probe"), "{keys}");
    }
}

/// /dev holds what programs cannot do without, and nothing that is a device of the machine.
#[test]
fn only_harmless_devices_are_there() {
    let rows: Vec<_> = [
        "mem",
        "port",
        "kmsg",
        "kvm",
        "vda",
        "sda",
        "vsock",
        "vhost-vsock",
        "net/tun",
        "fuse",
        "loop-control",
        "loop0",
        "console",
        "tty",
        "tty0",
        "ptmx",
        "pts",
        "btrfs-control",
        "cpu_dma_latency",
        "userfaultfd",
        "hwrng",
        "snapshot",
        "dri",
        "input",
        "mapper/control",
    ]
    .map(|name| (format!("os.open('/dev/{name}', os.O_RDONLY)"), "ENOENT"))
    .into();
    let rows: Vec<_> = rows.iter().map(|(row, expected)| (row.as_str(), *expected)).collect();
    let own: &[(&str, &str)] = &[
        (
            "' '.join(sorted(os.listdir('/dev')))",
            "fd full null random shm stderr stdin stdout urandom zero",
        ),
        ("put('/dev/null')", "ok"),
        ("put('/dev/full')", "ENOSPC"),
        ("str(len(open('/dev/urandom', 'rb').read(16)))", "16"),
        // It is the machine's: its readers are fed, its writers are not wanted.
        ("put('/dev/urandom')", "EACCES"),
        ("put('/dev/random')", "EACCES"),
        (
            "fcntl.ioctl(os.open('/dev/urandom', os.O_RDONLY), 0x5206)",
            since_abi(5, "EACCES", "EPERM"),
        ),
    ];
    for world in World::all() {
        attempts().inside(world, &rows);
        attempts().inside(world, own);
        assert_eq!(
            shell(world, "cd /dev; for name in *; do test -L $name || echo -n $name,; done"),
            "full,null,random,urandom,zero,"
        );
    }
}

/// mknod(2), by whatever makes the call, for what `mknod` needs no capability for as well: the
/// device 0:0 that overlayfs takes for a deleted file.
#[test]
fn device_nodes_cannot_be_made() {
    let setup = numbers!(SYS_mknod SYS_mknodat SYS_renameat2 AT_FDCWD)
        + "def node(name, kind, device): raw(SYS_mknodat, AT_FDCWD, name, kind | 0o666, device)\n\
           def unpack():\n\
           \x20   import io, tarfile\n\
           \x20   member = tarfile.TarInfo('disk')\n\
           \x20   member.type, member.devmajor, member.devminor = tarfile.BLKTYPE, 254, 0\n\
           \x20   archive = io.BytesIO()\n\
           \x20   with tarfile.open(fileobj=archive, mode='w') as tar: tar.addfile(member)\n\
           \x20   archive.seek(0)\n\
           \x20   with tarfile.open(fileobj=archive) as tar: tar.extract(member)\n\
           def whiteout():\n\
           \x20   open('file', 'w').close()\n\
           \x20   raw(SYS_renameat2, AT_FDCWD, b'file', AT_FDCWD, b'moved', 4)\n\
           \x20   os.remove('moved')\n\
           def left_behind(way):\n\
           \x20   # Landlock may let these pass, as kernels differ; what comes of it cannot be opened.\n\
           \x20   if outcome(way) == 'EACCES': return 'nothing'\n\
           \x20   kind = os.stat('file')\n\
           \x20   opened = outcome(lambda: os.open('file', os.O_RDONLY))\n\
           \x20   os.remove('file')\n\
           \x20   return 'nothing' if (kind.st_rdev, opened) == (0, 'EACCES') else opened\n";
    for world in World::all() {
        let dir = public_dir();
        let bare = format!("{setup}\nos.chdir({:?})\n", dir.path());
        after(bare).bare(world, &[("node(b'zero', stat.S_IFCHR, 0)", "ok"), ("whiteout()", "ok")]);
        after(&setup).inside(
            world,
            &[
                ("node(b'mem', stat.S_IFCHR, os.makedev(1, 1))", "EACCES"),
                ("node(b'null', stat.S_IFCHR, os.makedev(1, 3))", "EACCES"),
                ("node(b'vda', stat.S_IFBLK, os.makedev(254, 0))", "EACCES"),
                ("left_behind(lambda: node(b'file', stat.S_IFCHR, 0))", "nothing"),
                ("raw(SYS_mknod, b'/dev/vda', stat.S_IFBLK | 0o666, os.makedev(254, 0))", "EROFS"),
                ("left_behind(whiteout)", "nothing"),
                ("unpack()", "EACCES"),
                ("node(b'fifo', stat.S_IFIFO, 0)", "ok"),
                ("node(b'socket', stat.S_IFSOCK, 0)", "ok"),
                ("' '.join(sorted(os.listdir()))", "fifo script.py socket"),
            ],
        );
        let told = shell(world, "mknod disk b 254 0 2>&1; mknod null c 1 3 2>&1; ls");
        let refused = "mknod: disk: Permission denied\nmknod: null: Permission denied\nscript.sh";
        assert_eq!(told, refused);
    }
}

/// Scheduling that starves others. `setpriority(2)` has EACCES where others have EPERM.
#[test]
fn priorities_cannot_be_raised() {
    let setup = numbers!(SYS_sched_setattr SYS_ioprio_set SYS_sched_setaffinity)
        + "def attributes(policy, *rest):\n\
           \x20   wanted = struct.pack('2IQiI3Q', 48, policy, 0, *rest)\n\
           \x20   raw(SYS_sched_setattr, 0, wanted, 0)\n\
           def renice():\n\
           \x20   nice = os.getpriority(os.PRIO_PROCESS, 0)\n\
           \x20   os.setpriority(os.PRIO_PROCESS, 0, nice + 1)\n\
           \x20   os.setpriority(os.PRIO_PROCESS, 0, nice)\n";
    for world in World::all() {
        after(&setup).inside(
            world,
            &[
                ("os.setpriority(os.PRIO_PROCESS, 0, -20)", "EACCES"),
                ("os.setpriority(os.PRIO_PROCESS, 0, -1)", "EACCES"),
                ("renice()", "EACCES"),
                ("os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))", "EPERM"),
                ("os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(99))", "EPERM"),
                ("attributes(1, 0, 50, 0, 0, 0)", "EPERM"),
                ("attributes(6, 0, 0, 10**7, 10**8, 10**8)", "EPERM"),
                ("raw(SYS_ioprio_set, 1, 0, 1 << 13)", "EPERM"),
                ("os.sched_setaffinity(0, {1023})", "EINVAL"),
                ("raw(SYS_sched_setaffinity, 1, 8, struct.pack('Q', 1))", "EPERM"),
                ("os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))", "ok"),
            ],
        );
        let told = shell(
            world,
            "exec 2>/dev/null; chrt -f 1 true || echo refused; ionice -c 1 true || echo refused\n\
             test $(nice -n -5 nice) = $(nice) && echo same",
        );
        assert_eq!(told, "refused\nrefused\nsame");
    }
}

/// Typing into the terminal from which Automa was started (TIOCSTI, CVE-2017-5226 of bubblewrap,
/// CVE-2023-28339 of doas), or having its selection typed (TIOCLINUX, CVE-2023-1523 of snapd).
#[test]
fn no_terminal_is_typed_into() {
    let setup = numbers!(SYS_ioctl TIOCSTI TIOCLINUX TIOCCONS TIOCSETD TIOCSCTTY TIOCNOTTY TCGETS)
        + "def ask(fd, request): raw(SYS_ioctl, fd, request, b'X')\n";
    let rows: Vec<(String, &str)> = [0, 1, 2]
        .into_iter()
        .flat_map(|fd| {
            let row = move |request: &str, expected| (format!("ask({fd}, {request})"), expected);
            [
                row("TIOCSTI", "EPERM"),
                row("TIOCSTI | 1 << 32", "EPERM"),
                row("TIOCLINUX", "EPERM"),
                row("TIOCCONS", "EPERM"),
                row("TIOCSETD", "EPERM"),
                row("0x4b44", "EPERM"), // KDGKBMODE
                row("0x4b45", "EPERM"), // KDSKBMODE
                row("0x5606", "EPERM"), // VT_ACTIVATE
                row("TIOCSCTTY", "ENOTTY"),
                row("TCGETS", "ENOTTY"),
            ]
        })
        .chain([("os.open('/dev/tty', os.O_RDWR)".to_owned(), "ENOENT")])
        .collect();
    let rows: Vec<_> = rows.iter().map(|(row, expected)| (row.as_str(), *expected)).collect();
    for world in World::all() {
        after(&setup).bare(world, &[("ask(0, TIOCSTI)", "ENOTTY")]);
        after(&setup).inside(world, &rows);
        assert_eq!(shell(world, "echo x >/dev/tty 2>/dev/null || tty </dev/null"), "not a tty");
    }
}

/// The same with a terminal around Automa: it is the controlling one of a session of its own, and
/// everything that is typed into it would be echoed.
#[test]
fn the_callers_terminal_stays_the_callers() {
    let inside = format!(
        "{PROLOGUE}\n{}\n\
         def type_into(fd):\n\
         \x20   for letter in b'TYPED': raw(SYS_ioctl, fd, TIOCSTI, bytes([letter]))\n\
         print(os.isatty(0), os.isatty(1), os.isatty(2), outcome(os.ctermid))\n\
         print([outcome(lambda: type_into(fd)) for fd in (0, 1, 2)])\n\
         print(outcome(lambda: os.open('/dev/tty', os.O_RDWR)), os.getsid(0) == os.getpid())\n",
        numbers!(SYS_ioctl TIOCSTI)
    );
    let around = "import os, pty, sys\n\
        pid, terminal = pty.fork()\n\
        if pid == 0: os.execv(sys.argv[1], sys.argv[1:])\n\
        shown = b''\n\
        try:\n\
        \x20   while part := os.read(terminal, 4096): shown += part\n\
        except OSError: pass\n\
        os.waitpid(pid, 0)\n\
        sys.stdout.write(shown.decode().replace('\\r', ''))\n";
    for world in World::all() {
        let script = python(&inside).flags(AMPLE);
        let script = world.arrange(script);
        let own = script.command(world.user, Path::new("/dev/null"));
        let mut command = command_of("/usr/bin/python3".as_ref(), world.user);
        command.args(["-c", around]).arg(own.get_program()).args(own.get_args());
        let output = command.output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout);
        let expected = "False False False /dev/tty\n['EPERM', 'EPERM', 'EPERM']\nENOENT True\n";
        assert_eq!(shown, expected, "{world:?}");
    }
}

/// Locked memory cannot be reclaimed; what is left of it is what cryptographic libraries lock.
#[test]
fn memory_is_locked_only_a_little() {
    let setup = "memory = mmap.mmap(-1, 1 << 20)\n\
         address = ctypes.addressof(ctypes.c_char.from_buffer(memory))\n"
        .to_owned()
        + &numbers!(SYS_mlock SYS_munlock SYS_mlockall MCL_CURRENT MCL_FUTURE);
    for world in World::all() {
        after(&setup).inside(
            world,
            &[
                ("raw(SYS_mlock, address, 64 << 10)", "ok"),
                ("raw(SYS_mlock, address, 68 << 10)", "ENOMEM"),
                ("raw(SYS_mlockall, MCL_CURRENT)", "ENOMEM"),
                ("resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))", "ok"),
            ],
        );
        let told = shell(
            world,
            "for more in '-l 128' '-n 4096' '-c 1' '-e 40' '-r 1'; do\n\
            ulimit $more 2>&1 | grep -o 'Operation not permitted'; done | wc -l",
        );
        assert_eq!(told, "5", "no limit is raised");
    }
}
