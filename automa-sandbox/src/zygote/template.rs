//! The root file system that all sandboxes share, and what else can be prepared once: user ids,
//! the Landlock ruleset, the seccomp program.
//!
//! ```text
//! /            tmpfs, read-only, no set-uid        /dev    null zero full random urandom
//! /usr …       the host's, read-only               /proc   mounted anew in each sandbox
//! /etc         generated, no host file but         /automa/job   the sandbox's tmpfs:
//!              harmless ones                               work/ tmp/ shm/, all that is writable
//! ```
//! The zygote moves into this tree and lets go of the host's: no path leads back.

use std::{
    ffi::{CStr, CString, OsStr},
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            fs::{PermissionsExt, symlink},
        },
    },
    path::{Path, PathBuf},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
    sys::stat::{Mode, SFlag, makedev, mknod},
    unistd::pivot_root,
};

use super::{
    At, Confinement, Failure, JOB_DIR, PARTS, Shared, WRITABLE_PARENT,
    identity::{self, INSIDE_ID},
    network,
    proc::{self, Proc},
    protocol, terminal,
};
use crate::{
    landlock::{self, Tcp},
    policy::Profile,
    report::Stage,
    rlimit, seccomp, sys,
};

/// Where the tree is put together; any directory that exists does, as the mount is private.
const BUILD: &str = "/tmp";

/// Directories that on a merged-/usr host are links into /usr, and elsewhere trees of their own.
const ROOT_DIRS: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Read-only parts of the host's /etc that programs need and that hold no secrets.
const ETC_TREES: [&str; 4] =
    ["/etc/alternatives", "/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/terminfo"];

/// Single files copied from the host's /etc, for the same reason.
const ETC_FILES: [&str; 9] = [
    "ld.so.cache",
    "localtime",
    "timezone",
    "services",
    "protocols",
    "mime.types",
    "os-release",
    "debian_version",
    "gai.conf",
];

/// Largest file copied into the template, in bytes.
const MAX_ETC_FILE: u64 = 1 << 20;

/// A device: name, major and minor number (`Documentation/admin-guide/devices.txt`).
type Device = (&'static str, u64, u64);

const DEVICES: [Device; 5] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9)];

/// The controlling terminal of whoever opens it.
const TTY: Device = ("tty", 5, 0);

/// A host tree, copied as a detached mount while the host's root is still there.
struct Tree {
    inside: PathBuf,
    is_dir: bool,
    mounts: OwnedFd,
}

/// Builds everything. The process afterwards sees only the template.
pub(super) fn build(template: &protocol::Template) -> Result<(Shared, protocol::Facts), Failure> {
    sys::can_start_sandboxes().at(Stage::CloneInit, "")?;
    sys::seccomp_available().at(Stage::Seccomp, "")?;
    let user_namespace = !identity::privileged();
    let first_uid = if user_namespace {
        None
    } else {
        Some(identity::choose_uids(template.slots).at(Stage::Identity, "/proc/self/uid_map")?)
    };
    let kept_groups = if user_namespace { identity::enter_user_namespace()? } else { 0 };
    if !user_namespace {
        unshare(CloneFlags::CLONE_NEWNS).at(Stage::MountNamespace, "")?;
    }
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .at(Stage::MountNamespace, "/")?;
    let trees = collect_trees(template, user_namespace)?;
    let root_links = collect_root_links();
    let etc = collect_etc();
    let covers = proc::covers().at(Stage::Root, "/proc")?;

    let options = "mode=0755,size=16m,nr_inodes=4096";
    mount(Some("automa"), BUILD, Some("tmpfs"), MsFlags::MS_NOSUID, Some(options))
        .at(Stage::Root, BUILD)?;
    let root = Path::new(BUILD);
    make_skeleton(root, &root_links).at(Stage::Root, BUILD)?;
    make_etc(root, &etc, template, first_uid).at(Stage::Root, "/etc")?;
    make_devices(&root.join("dev"), &DEVICES)?;
    make_devices(&inside(root, path(terminal::DEVICES)), &[TTY])?;
    move_into(root).at(Stage::PivotRoot, "")?;
    // Only now: a shown tree may hold links, and on the way to the next they must not lead out.
    for tree in &trees {
        attach(tree).at(Stage::Tree, tree.inside.display())?;
    }
    make_read_only().at(Stage::Root, "/")?;

    identity::drop_future_rights().at(Stage::Capabilities, "")?;
    rlimit::lower_for_all().at(Stage::Limits, "")?;
    let abi = sys::landlock_abi();
    let executable: Vec<PathBuf> = trees
        .iter()
        .filter(|tree| !["/etc", "/dev", "/proc"].iter().any(|dir| tree.inside.starts_with(dir)))
        .map(|tree| tree.inside.clone())
        .collect();
    let facts = protocol::Facts {
        user_namespace,
        first_uid,
        kept_groups,
        landlock_abi: abi,
        proc_subset: sys::proc_supports(c"subset", c"pid"),
        proc_hidepid: sys::proc_supports(c"hidepid", c"ptraceable"),
    };
    let confine = |profile: Profile| {
        let ruleset = |tcp| {
            let rules = landlock::Rules {
                tcp,
                executable: &executable,
                writable: Path::new(WRITABLE_PARENT),
                terminals: profile.has_terminal().then_some(path(terminal::DEVICES)),
            };
            landlock::ruleset(abi, &rules).at(Stage::Landlock, "ruleset")
        };
        let (usual, without_tcp) = if profile.loopback() {
            (Tcp::Unruled, None)
        } else {
            (Tcp::Refused, ruleset(Tcp::Unruled)?)
        };
        Ok(Confinement {
            landlock: ruleset(usual)?,
            landlock_without_tcp: without_tcp,
            filter: seccomp::filter(profile, template.memory_counted),
            proc: Proc::new(
                profile.shows_machine(),
                facts.proc_subset,
                facts.proc_hidepid,
                &covers,
            ),
        })
    };
    let [script, agent, build, terminal] = Profile::ALL.map(confine);
    let shared = Shared {
        first_uid,
        user_namespace,
        landlock_abi: abi,
        confinements: [script?, agent?, build?, terminal?],
        hostname: template.hostname.clone(),
    };
    Ok((shared, facts))
}

fn collect_trees(template: &protocol::Template, bind_proc: bool) -> Result<Vec<Tree>, Failure> {
    const READ_ONLY: u64 =
        libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    let mut trees = vec![clone_tree(Path::new("/usr"), "/usr".into(), READ_ONLY)?];
    for name in ROOT_DIRS {
        let path = Path::new("/").join(name);
        if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
            trees.push(clone_tree(&path, path.clone(), READ_ONLY)?);
        }
    }
    for path in ETC_TREES.map(Path::new) {
        if path.is_dir() {
            trees.push(clone_tree(path, path.into(), READ_ONLY)?);
        }
    }
    for (outside, inside) in &template.trees {
        if !trees
            .iter()
            .any(|tree| tree.is_dir && outside == inside && inside.starts_with(&tree.inside))
        {
            trees.push(clone_tree(outside, inside.clone(), READ_ONLY)?);
        }
    }
    if bind_proc {
        // A user namespace may mount a new proc only while it sees a whole one (mount_namespaces(7)).
        let flags = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
        trees.push(clone_tree(Path::new("/proc"), "/proc".into(), flags)?);
    }
    Ok(trees)
}

fn clone_tree(outside: &Path, inside: PathBuf, flags: u64) -> Result<Tree, Failure> {
    let detail = outside.display();
    let is_dir = fs::metadata(outside).at(Stage::Tree, &detail)?.is_dir();
    let path = c_path(outside).at(Stage::Tree, &detail)?;
    let mounts = sys::clone_tree(&path).at(Stage::Tree, &detail)?;
    sys::set_tree_flags(mounts.as_fd(), flags).at(Stage::Tree, &detail)?;
    Ok(Tree { inside, is_dir, mounts })
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// `/bin -> usr/bin` and its like, as the host has them.
fn collect_root_links() -> Vec<(&'static str, PathBuf)> {
    let link = |name| fs::read_link(Path::new("/").join(name)).ok().map(|target| (name, target));
    ROOT_DIRS.into_iter().filter_map(link).collect()
}

fn collect_etc() -> Vec<(&'static str, Vec<u8>)> {
    let read = |name| {
        let path = Path::new("/etc").join(name);
        let small =
            fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_ETC_FILE);
        small.then(|| fs::read(&path).ok().map(|content| (name, content))).flatten()
    };
    ETC_FILES.into_iter().filter_map(read).collect()
}

fn make_skeleton(root: &Path, links: &[(&str, PathBuf)]) -> io::Result<()> {
    for dir in [
        "dev",
        "etc",
        &network::FILES_DIR[1..],
        "home",
        "opt",
        "proc",
        "root",
        "run",
        "usr",
        "var",
        &JOB_DIR[1..],
    ] {
        fs::create_dir_all(root.join(dir))?;
    }
    for (name, target) in links {
        symlink(target, root.join(name))?;
    }
    fs::create_dir(root.join("automa/python"))?;
    fs::write(root.join("automa/python/sitecustomize.py"), include_str!("sitecustomize.py"))?;
    for (link, target) in [("tmp", "automa/job/tmp"), ("var/tmp", "../automa/job/tmp")] {
        symlink(target, root.join(link))?;
    }
    fs::create_dir(inside(root, PARTS))?;
    fs::create_dir_all(inside(root, path(proc::EMPTY_DIR)))?;
    fs::write(inside(root, path(proc::EMPTY_FILE)), "")?;
    fs::create_dir_all(inside(root, path(terminal::DEVICES)).join("pts"))?;
    symlink("pts/ptmx", inside(root, path(terminal::DEVICES)).join("ptmx"))?;
    for (name, ..) in DEVICES {
        fs::write(inside(root, path(terminal::DEVICES)).join(name), "")?;
    }
    for dev in [Path::new("/dev"), path(terminal::DEVICES)] {
        for (link, target) in [
            ("shm", "/automa/job/shm"),
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ] {
            symlink(target, inside(root, dev).join(link))?;
        }
    }
    Ok(())
}

/// A path that is also handed to the kernel.
fn path(path: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(path.to_bytes()))
}

/// Where the absolute `path` will be, while `root` is put together.
fn inside(root: &Path, path: impl AsRef<Path>) -> PathBuf {
    root.join(path.as_ref().strip_prefix("/").unwrap_or(path.as_ref()))
}

fn make_etc(
    root: &Path,
    copies: &[(&str, Vec<u8>)],
    template: &protocol::Template,
    first_uid: Option<u32>,
) -> io::Result<()> {
    let etc = root.join("etc");
    let ids: Vec<u32> = match first_uid {
        Some(first) => (first..first + template.slots as u32).collect(),
        None => vec![INSIDE_ID],
    };
    // One name for all slots: each finds itself by its id.
    let user = |id| format!("job:x:{id}:{id}:Automa job:{JOB_DIR}:/bin/sh\n");
    let users = ids.iter().map(user).collect::<Vec<_>>().concat();
    let groups = ids.iter().map(|id| format!("job:x:{id}:\n")).collect::<Vec<_>>().concat();
    let nobody = "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
    let host = &template.hostname;
    for (name, content) in copies {
        fs::write(etc.join(name), content)?;
    }
    for (name, content) in [
        ("passwd", format!("root:x:0:0:root:/root:/usr/sbin/nologin\n{users}{nobody}")),
        ("group", format!("root:x:0:\n{groups}nogroup:x:65534:\n")),
        ("hosts", format!("127.0.0.1 localhost {host}\n::1 localhost {host}\n")),
        ("hostname", format!("{host}\n")),
        // Names that are not in `hosts` fail at once instead of waiting for a resolver.
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n"
                .to_owned(),
        ),
        // A resolver that does not care for that file waits no time for one that is not there.
        ("resolv.conf", "options timeout:0 attempts:1\n".to_owned()),
    ] {
        fs::write(etc.join(name), content)?;
    }
    for (name, content) in network::files() {
        fs::write(root.join(name.trim_start_matches('/')), content)?;
    }
    Ok(())
}

fn attach(tree: &Tree) -> io::Result<()> {
    let target = &tree.inside;
    // What is shown would not be found where it was asked for.
    if target.ancestors().any(Path::is_symlink) {
        return Err(io::Error::from_raw_os_error(libc::ELOOP));
    }
    if tree.is_dir {
        fs::create_dir_all(target)?;
    } else {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(target, "")?;
    }
    sys::attach_tree(tree.mounts.as_fd(), &c_path(target)?)
}

/// Makes device nodes in `dev`, or where that is not allowed borrows the host's.
fn make_devices(dev: &Path, devices: &[Device]) -> Result<(), Failure> {
    for &(name, major, minor) in devices {
        let path = dev.join(name);
        let access = Mode::from_bits_truncate(0o666);
        let made = mknod(&path, SFlag::S_IFCHR, access, makedev(major, minor))
            .map_err(io::Error::from)
            // mknod obeys the umask; and a node on a file system of a user namespace is dead.
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o666)))
            .and_then(|()| fs::File::open(&path).map(drop));
        match made {
            Ok(()) => continue,
            // This process has no terminal (tty(4)): the node itself works.
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => continue,
            Err(_) => {}
        }
        let _ = fs::remove_file(&path);
        let host = Path::new("/dev").join(name);
        if name == TTY.0 && !host.exists() {
            // Programs can do without, and so do some containers.
            continue;
        }
        let flags = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;
        let tree = clone_tree(&host, path, flags)?;
        attach(&tree).at(Stage::Devices, host.display())?;
    }
    Ok(())
}

/// Makes `root` this process's root and lets go of the old one.
fn move_into(root: &Path) -> nix::Result<()> {
    std::env::set_current_dir(root).map_err(|_| nix::Error::last())?;
    // pivot_root(2): with both arguments "." the old root ends up on top and is detached.
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    std::env::set_current_dir("/").map_err(|_| nix::Error::last())
}

fn make_read_only() -> nix::Result<()> {
    let flags = MsFlags::MS_REMOUNT
        | MsFlags::MS_BIND
        | MsFlags::MS_RDONLY
        | MsFlags::MS_NOSUID
        | MsFlags::MS_NOEXEC;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
}
