//! Where the hierarchies are mounted and which group in each is ours: pure functions over the
//! text of `/proc/self/cgroup` and `/proc/self/mountinfo`.
//!
//! Formats: cgroups(7), `proc_pid_mountinfo(5)`, kernel `admin-guide/cgroup-v1/cgroups.rst` 1.1.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

/// The v1 controllers of interest.
pub(super) const CONTROLLERS: [&str; 4] = ["memory", "pids", "cpu", "cpuacct"];

/// The directories of our own group in each hierarchy, or why there is none.
#[derive(Debug, PartialEq)]
pub(super) struct Places {
    /// The v1 hierarchies that hold at least one of [`CONTROLLERS`].
    pub(super) v1: Vec<V1Place>,
    /// The v2 hierarchy: the only one of a v2 host, a second one without controllers on a hybrid
    /// host.
    pub(super) unified: Result<PathBuf, String>,
}

/// Our own group in one v1 hierarchy; several controllers can share it (`cpu,cpuacct`).
#[derive(Debug, PartialEq)]
pub(super) struct V1Place {
    pub(super) controllers: Vec<&'static str>,
    pub(super) own: Result<PathBuf, String>,
}

impl Places {
    /// Combines `/proc/self/cgroup` and `/proc/self/mountinfo`.
    pub(super) fn find(membership: &str, mountinfo: &str) -> Self {
        let mounts = mounts(mountinfo);
        let mut v1 = Vec::new();
        let mut unified = Err("this kernel or container shows no cgroup v2 hierarchy".to_owned());
        for (names, path) in memberships(membership) {
            if names.is_empty() {
                unified = directory(&mounts, None, path);
                continue;
            }
            let names: Vec<&str> = names.split(',').collect();
            let controllers: Vec<_> =
                CONTROLLERS.into_iter().filter(|name| names.contains(name)).collect();
            if let Some(first) = controllers.first() {
                let own = directory(&mounts, Some(first), path);
                v1.push(V1Place { controllers, own });
            }
        }
        Self { v1, unified }
    }
}

/// The lines of `/proc/self/cgroup` as (controllers, path); no controllers means v2.
fn memberships(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?, fields.next()?))
    })
}

#[derive(Debug, PartialEq)]
struct Mount<'a> {
    /// Which group of the hierarchy is seen at `point`.
    root: PathBuf,
    point: PathBuf,
    /// The controllers of a v1 hierarchy (among other options), `None` for v2.
    v1_options: Option<&'a str>,
}

fn mounts(mountinfo: &str) -> Vec<Mount<'_>> {
    mountinfo.lines().filter_map(mount).collect()
}

/// One line: `36 35 98:0 /root /point options [optional fields] - type source super-options`.
fn mount(line: &str) -> Option<Mount<'_>> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, point) = (left.next()?, left.next()?);
    let mut right = right.split(' ');
    let v1_options = match (right.next()?, right.nth(1)) {
        ("cgroup", options) => Some(options?),
        ("cgroup2", _) => None,
        _ => return None,
    };
    Some(Mount { root: unescape(root), point: unescape(point), v1_options })
}

/// The kernel writes space, tab, newline and backslash as `\` and three octal digits.
fn unescape(field: &str) -> PathBuf {
    let bytes = field.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = match bytes.get(at + 1..at + 4) {
            Some(digits) if byte == b'\\' => octal(digits),
            _ => None,
        };
        out.push(code.unwrap_or(byte));
        at += if code.is_some() { 4 } else { 1 };
    }
    PathBuf::from(OsString::from_vec(out))
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

/// The directory of the group `path` in the hierarchy of one v1 controller, or in that of v2.
fn directory(
    mounts: &[Mount<'_>],
    controller: Option<&str>,
    path: &str,
) -> Result<PathBuf, String> {
    let what = controller.map_or("cgroup v2".to_owned(), |name| format!("cgroup v1 `{name}`"));
    // A process outside of the root of its cgroup namespace has a path with `..` in it.
    if Path::new(path).components().any(|part| part == Component::ParentDir) {
        return Err(format!("{what}: our group {path} is outside of the cgroup namespace"));
    }
    let of_hierarchy = |mount: &&Mount<'_>| match (controller, mount.v1_options) {
        (Some(name), Some(options)) => options.split(',').any(|option| option == name),
        (None, None) => true,
        _ => false,
    };
    let mut seen = None;
    // The last mount hides earlier ones at the same place.
    for mount in mounts.iter().rev().filter(of_hierarchy) {
        match Path::new(path).strip_prefix(&mount.root) {
            Ok(below) if below.as_os_str().is_empty() => return Ok(mount.point.clone()),
            Ok(below) => return Ok(mount.point.join(below)),
            Err(_) => seen = Some(&mount.point),
        }
    }
    Err(match seen {
        Some(point) => format!("{what}: our group {path} is not shown at {}", point.display()),
        None => format!("{what} is not mounted"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the kernel writes a path in mountinfo (`seq_path`, with "\040" for a blank and so on).
    fn escaped(path: &str) -> String {
        let byte = |byte| match byte {
            b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
            other => vec![other],
        };
        String::from_utf8(path.bytes().flat_map(byte).collect()).unwrap()
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_not(
            membership in "([0-9]{0,2}:[a-z,=]{0,9}:[/.a-z]{0,9}\n|\\PC*\n){0,5}",
            mountinfo in "([0-9 /a-z\\\\:,.-]{0,50} - cgroup2? [a-z ,]{0,20}\n|\\PC*\n){0,5}",
        ) {
            let places = Places::find(&membership, &mountinfo);
            prop_assert!(places.v1.iter().all(|place| !place.controllers.is_empty()));
        }

        #[test]
        fn a_group_is_found_wherever_the_hierarchy_is_mounted(
            point in "(/[^/\r]{1,20}){1,4}",
            group in "(/[a-zA-Z0-9_:@ -]{1,20}){1,4}",
        ) {
            let line = format!("1 2 0:3 / {} rw - cgroup2 none rw", escaped(&point));
            let places = Places::find(&format!("0::{group}\n"), &line);
            prop_assert_eq!(places.unified, Ok(PathBuf::from(format!("{point}{group}"))));
        }

        #[test]
        fn what_the_kernel_escapes_is_read_back(path: String) {
            prop_assert_eq!(unescape(&escaped(&path)), PathBuf::from(path));
        }
    }

    const V1: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:1 master:2 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
";

    fn v1(controllers: &[&'static str], own: &str) -> V1Place {
        V1Place { controllers: controllers.to_vec(), own: Ok(own.into()) }
    }

    #[test]
    fn v1_with_co_mounted_controllers() {
        let own = "9:name=systemd:/x\n4:memory:/process/7\n3:cpuset:/\n1:cpu,cpuacct:/a:b\n";
        let places = Places::find(own, V1);
        assert_eq!(
            places.v1,
            [
                v1(&["memory"], "/sys/fs/cgroup/memory/process/7"),
                v1(&["cpu", "cpuacct"], "/sys/fs/cgroup/cpu,cpuacct/a:b"),
            ]
        );
        assert!(places.unified.unwrap_err().contains("shows no cgroup v2"));
    }

    #[test]
    fn hybrid_has_both() {
        let mounts = format!("{V1}41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
        let places = Places::find("4:memory:/\n8:pids:/\n0::/mine\n", &mounts);
        assert_eq!(places.v1[0], v1(&["memory"], "/sys/fs/cgroup/memory"));
        assert_eq!(places.v1[1].own, Err("cgroup v1 `pids` is not mounted".to_owned()));
        assert_eq!(places.unified, Ok("/sys/fs/cgroup/unified/mine".into()));
    }

    #[test]
    fn v2_alone() {
        let mounts =
            "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
        let places = Places::find("0::/user.slice/user-1000.slice/session-3.scope\n", mounts);
        let own = "/sys/fs/cgroup/user.slice/user-1000.slice/session-3.scope";
        assert_eq!(places, Places { v1: Vec::new(), unified: Ok(own.into()) });
    }

    #[test]
    fn mount_of_a_part_of_the_hierarchy() {
        let mounts = "35 31 0:32 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory";
        let inside = Places::find("4:memory:/docker/ab/x", mounts);
        assert_eq!(inside.v1, [v1(&["memory"], "/sys/fs/cgroup/memory/x")]);
        let outside = Places::find("4:memory:/docker/abc", mounts);
        assert!(outside.v1[0].own.as_ref().unwrap_err().contains("is not shown at"));
        let above = Places::find("4:memory:/../x", V1);
        assert!(above.v1[0].own.as_ref().unwrap_err().contains("cgroup namespace"));
    }

    #[test]
    fn mount_points_are_unescaped() {
        assert_eq!(unescape(r"/a\040b\134\011c"), Path::new("/a b\\\tc"));
        // What is no escape stays as it is.
        assert_eq!(unescape(r"/a\04"), Path::new(r"/a\04"));
        assert_eq!(unescape(r"/a\999\777"), Path::new(r"/a\999\777"));
        let mounts = r"30 23 0:26 / /mnt/my\040groups rw - cgroup2 none rw";
        assert_eq!(Places::find("0::/", mounts).unified, Ok("/mnt/my groups".into()));
    }

    #[test]
    fn the_last_mount_wins_and_nonsense_is_skipped() {
        let mounts = "garbage\n1 2 0:3 / /old rw - cgroup2 a rw\n\n1 2 - cgroup2\n\
                      1 2 0:3 / /new rw - cgroup2 a rw\n1 2 0:3 / / rw - ext4 /dev/sda rw\n";
        assert_eq!(Places::find("nonsense\n0::/\n", mounts).unified, Ok("/new".into()));
        assert_eq!(Places::find("", "").v1, []);
    }
}
