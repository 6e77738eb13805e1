//! What is written and read, on folders of plain files.

use super::*;

/// A folder that goes with its content.
pub(in crate::cgroup) struct Folder(PathBuf);

impl Folder {
    pub(in crate::cgroup) fn new(name: &str) -> Self {
        Self::below(&std::env::temp_dir(), name)
    }

    pub(in crate::cgroup) fn below(parent: &Path, name: &str) -> Self {
        let path = parent.join(format!("automa-cgroup-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(in crate::cgroup) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn fill(folder: &Path, files: &[(&str, &str)]) {
    fs::create_dir_all(folder).unwrap();
    for (name, content) in files {
        fs::write(folder.join(name), content).unwrap();
    }
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

const ALL: Support = Support {
    version: "v2",
    memory: Ok(()),
    swap: Ok(()),
    pids: Ok(()),
    cpu: Ok(()),
    cpu_accounting: Ok(()),
    kill: Ok(()),
};

/// A leaf with the files the kernel would have put there.
fn leaf(folder: &Folder) -> Leaf {
    let path = folder.path().to_owned();
    let tree = Tree(Arc::new(Shared { path, support: ALL, _groups: EngineGroups::new(&[]) }));
    let mut leaf = tree.leaf(4).unwrap();
    let path = leaf.groups.first().to_owned();
    assert_eq!(path, folder.path().join("slot-4"));
    fill(
        &path,
        &[
            ("memory.max", "max\n"),
            ("memory.swap.max", "max\n"),
            ("memory.oom.group", "0\n"),
            ("memory.current", "4096\n"),
            ("memory.peak", "9999\n"),
            ("memory.events", "low 0\nmax 7\noom 1\noom_kill 3\noom_group_kill 1\n"),
            ("memory.reclaim", ""),
            ("pids.max", "max\n"),
            ("pids.current", "5\n"),
            ("pids.events", "max 2\n"),
            ("cpu.max", "max 100000\n"),
            ("cpu.stat", "usage_usec 500\nuser_usec 300\nsystem_usec 200\nnr_periods 0\n"),
            ("cgroup.events", "populated 1\nfrozen 0\n"),
        ],
    );
    leaf.open = Open::new(&path).unwrap();
    leaf
}

#[test]
fn limits() {
    let folder = Folder::new("limits");
    let mut leaf = leaf(&folder);
    let path = leaf.groups.first().to_owned();
    let limits = GroupLimits { memory: Some(1 << 20), pids: Some(9), cpu_millis: Some(1500) };
    leaf.apply(&limits).unwrap();
    assert_eq!(read(&path, "memory.max"), "1048576");
    assert_eq!(read(&path, "memory.swap.max"), "0");
    assert_eq!(read(&path, "memory.oom.group"), "0\n", "would kill the slot with its init");
    assert_eq!(read(&path, "pids.max"), "10");
    assert_eq!(read(&path, "cpu.max"), "150000 100000");

    fill(&path, &[("memory.max", "untouched")]);
    leaf.apply(&GroupLimits { pids: None, ..limits }).unwrap();
    assert_eq!(read(&path, "memory.max"), "untouched");
    assert_eq!(read(&path, "pids.max"), "max");
    leaf.unthrottle().unwrap();
    assert_eq!(read(&path, "cpu.max"), "max 100000");

    fs::remove_file(path.join("pids.max")).unwrap();
    let error = leaf.apply(&limits).unwrap_err();
    assert!(error.to_string().contains("slot-4/pids.max <- 10"), "{error}");
}

#[test]
fn usage_is_that_of_the_run() {
    let folder = Folder::new("usage");
    let mut leaf = leaf(&folder);
    let path = leaf.groups.first().to_owned();
    leaf.begin().unwrap();
    fill(
        &path,
        &[
            ("memory.peak", "8192\n"),
            ("memory.events", "max 9\noom_kill 5\n"),
            ("pids.events", "max 6\n"),
            ("cpu.stat", "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n"),
        ],
    );
    let usage = Usage {
        cpu: Some(Duration::from_millis(1)),
        cpu_user: Some(Duration::from_micros(700)),
        cpu_system: Some(Duration::from_micros(300)),
        memory_peak: Some(8192),
        memory_now: Some(4096),
        oom_kills: 2,
        pids_refused: 4,
        pids_now: Some(4),
    };
    assert_eq!(leaf.usage(), usage);
    assert_eq!(leaf.is_empty(), Some(false));
    fill(&path, &[("cgroup.events", "populated 0\nfrozen 0\n")]);
    assert_eq!(leaf.is_empty(), Some(true));
}

#[test]
fn recycling() {
    let folder = Folder::new("recycling");
    let mut leaf = leaf(&folder);
    let path = leaf.groups.first().to_owned();
    assert_eq!(leaf.recycle().unwrap(), Recycled::Same);
    assert_eq!(read(&path, "memory.reclaim"), "");
    fill(&path, &[("memory.current", "5242880\n")]);
    assert_eq!(leaf.recycle().unwrap(), Recycled::Same);
    assert_eq!(read(&path, "memory.reclaim"), "1048576");

    leaf.apply(&GroupLimits { pids: Some(3), ..GroupLimits::default() }).unwrap();
    // As before Linux 6.12. The group cannot go while something is in it.
    leaf.open.peak_resets = false;
    assert_eq!(leaf.recycle().unwrap_err().kind(), io::ErrorKind::ResourceBusy);
    for file in fs::read_dir(&path).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    assert_eq!(leaf.recycle().unwrap(), Recycled::Renewed);
    assert!(path.exists());
    assert_eq!(leaf.written.pids, Some(UNLIMITED));
}

#[test]
fn the_root_group_is_used_as_it_is() {
    let folder = Folder::new("root");
    fill(folder.path(), &[("cgroup.procs", "1\n2\n"), ("cgroup.controllers", "cpu memory\n")]);
    assert_eq!(base(folder.path()), Ok(folder.path().to_owned()));
    let support = Tree::new(folder.path()).unwrap().support().clone();
    assert!(support.pids.unwrap_err().contains("does not offer `pids`"));
    assert!(support.memory.unwrap_err().contains("cgroup.subtree_control"));
    assert!(support.kill.unwrap_err().contains("no `cgroup.kill`"));
}

#[test]
fn a_shared_group_is_left_alone() {
    let folder = Folder::new("shared");
    let own = std::process::id();
    let procs = format!("{own}\n0\n1\n");
    fill(folder.path(), &[("cgroup.type", "domain\n"), ("cgroup.procs", &procs)]);
    let reason = Tree::new(folder.path()).unwrap_err();
    assert!(reason.contains("is shared with other processes (2)"), "{reason}");
    assert!(reason.contains("systemd-run --user --scope -p Delegate=yes"), "{reason}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_group_of_our_own_gets_a_supervisor() {
    let folder = Folder::new("own");
    let own = std::process::id().to_string();
    fill(folder.path(), &[("cgroup.type", "domain\n"), ("cgroup.procs", &own)]);
    let supervisor = folder.path().join("supervisor");
    fill(&supervisor, &[("cgroup.type", "domain\n"), ("cgroup.procs", "")]);
    assert_eq!(base(folder.path()), Ok(folder.path().to_owned()));
    assert_eq!(read(&supervisor, "cgroup.procs"), own);
    // A second engine finds itself there.
    fill(folder.path(), &[("cgroup.procs", "")]);
    fill(&supervisor, &[("cgroup.procs", &own)]);
    assert_eq!(base(&supervisor), Ok(folder.path().to_owned()));
}

#[test]
fn controllers_are_enabled_one_by_one() {
    let folder = Folder::new("enable");
    let engine = folder.path().join("engine");
    fill(folder.path(), &[("cgroup.controllers", "cpu io pids\n"), ("cgroup.subtree_control", "")]);
    fill(&engine, &[("cgroup.subtree_control", "")]);
    enable(folder.path(), &engine, "pids").unwrap();
    assert_eq!(read(folder.path(), "cgroup.subtree_control"), "+pids");
    assert_eq!(read(&engine, "cgroup.subtree_control"), "+pids");
    enable(folder.path(), &engine, "memory").unwrap_err();
}

#[test]
fn a_group_that_is_not_ours_has_a_reason() {
    let reason = Tree::new(Path::new("/nowhere/at/all")).unwrap_err();
    assert!(reason.contains("/nowhere/at/all/cgroup.procs"), "{reason}");
    assert!(reason.contains("Delegate=yes"), "{reason}");
}
