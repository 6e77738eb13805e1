//! The search let loose on what a hostile program could leave. Who reads here may be root; what an
//! ordinary user sees is checked where sandboxes run.

use std::{
    ffi::OsStr,
    fs,
    io::Read,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
        net::UnixListener,
    },
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use nix::{
    fcntl::{AT_FDCWD, RenameFlags, renameat2},
    sys::stat::{Mode, mkdirat},
    unistd::mkfifo,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn found(dir: &TempDir, limits: &CollectLimits) -> Artifacts {
    Artifacts::of(dir.path(), limits).unwrap()
}

fn paths(artifacts: &Artifacts) -> Vec<&str> {
    artifacts.files.iter().map(|file| file.path.to_str().unwrap()).collect()
}

fn reasons(artifacts: &Artifacts) -> Vec<SkipReason> {
    artifacts.skipped.iter().map(|skipped| skipped.reason).collect()
}

fn read(artifacts: &Artifacts, index: usize) -> String {
    let mut text = String::new();
    artifacts.open(&artifacts.files[index]).unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn files_are_found_in_order_and_read() {
    let dir = TempDir::new().unwrap();
    fs::create_dir_all(dir.path().join("b/c")).unwrap();
    for (path, text) in [("b/c/deep", "3"), ("a", "1"), ("b/b", "22"), ("z", "")] {
        fs::write(dir.path().join(path), text).unwrap();
    }
    fs::set_permissions(dir.path().join("a"), fs::Permissions::from_mode(0o4711)).unwrap();
    let artifacts = found(&dir, &CollectLimits::default());
    assert_eq!(paths(&artifacts), ["a", "b/b", "b/c/deep", "z"]);
    assert_eq!(artifacts.files.iter().map(|file| file.size).collect::<Vec<_>>(), [1, 2, 1, 0]);
    assert_eq!(artifacts.files[0].mode, 0o711);
    assert_eq!(read(&artifacts, 1), "22");
    assert!(artifacts.complete && artifacts.skipped.is_empty());
}

#[test]
fn what_is_no_file_is_named_and_left() {
    use SkipReason as R;
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    symlink("/etc/passwd", at("a link")).unwrap();
    symlink("/etc", at("b link to a directory")).unwrap();
    mkfifo(&at("c pipe"), Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(at("d socket")).unwrap();
    symlink(".", at("e loop")).unwrap();
    let artifacts = found(&dir, &CollectLimits::default());
    assert_eq!(reasons(&artifacts), [R::Link, R::Link, R::Pipe, R::Socket, R::Link]);
    assert_eq!(artifacts.skipped[2].to_string(), "c pipe: a pipe");
    assert_eq!((artifacts.files.len(), artifacts.skipped_count), (0, 5));
    assert!(artifacts.complete);
}

#[test]
fn hostile_names_are_left_and_shown_harmlessly() {
    let dir = TempDir::new().unwrap();
    let long = "x".repeat(255);
    for name in [b"\n".as_slice(), b"a\x1b[31m", b"\xff\xfe", b"..."] {
        fs::write(dir.path().join(OsStr::from_bytes(name)), "").unwrap();
    }
    fs::write(dir.path().join(&long), "long").unwrap();
    let artifacts = found(&dir, &CollectLimits::default());
    assert_eq!(paths(&artifacts), ["...", &long]);
    let shown: Vec<_> = artifacts.skipped.iter().map(ToString::to_string).collect();
    let reason = "its name is not plain text, or too long";
    assert_eq!(
        shown,
        ["\\n", "a\\u{1b}[31m", "\u{fffd}\u{fffd}"].map(|name| format!("{name}: {reason}"))
    );
}

#[test]
fn each_limit_leaves_out_what_is_over_it() {
    let dir = TempDir::new().unwrap();
    for (name, size) in [("a", 10), ("b", 100), ("c", 5), ("d", 0)] {
        fs::write(dir.path().join(name), vec![b'x'; size]).unwrap();
    }
    let bytes = found(&dir, &CollectLimits { bytes: Bytes(15), ..CollectLimits::default() });
    assert_eq!(paths(&bytes), ["a", "c", "d"]);
    assert_eq!(reasons(&bytes), [SkipReason::TooLarge]);
    let files = found(&dir, &CollectLimits { files: 2, listed: 1, ..CollectLimits::default() });
    assert_eq!(paths(&files), ["a", "b"]);
    assert_eq!((reasons(&files).as_slice(), files.skipped_count), (&[SkipReason::TooMany][..], 2));
    assert!(files.complete);
    let entries = found(&dir, &CollectLimits { entries: 3, ..CollectLimits::default() });
    assert_eq!((entries.files.len(), entries.complete), (3, false));
}

/// A tree far deeper than any path can name, built as a program would: by going down.
#[test]
fn a_tree_of_4096_levels_is_searched_to_the_limit() {
    let dir = TempDir::new().unwrap();
    let mut deepest = Dir::open(dir.path()).unwrap();
    for _ in 0..4096 {
        mkdirat(&deepest, "d", Mode::S_IRWXU).unwrap();
        deepest = deepest.directory(Path::new("d")).unwrap();
    }
    for depth in [0, 16, usize::MAX] {
        let artifacts = found(&dir, &CollectLimits { depth, ..CollectLimits::default() });
        assert_eq!(reasons(&artifacts), [SkipReason::TooDeep]);
        assert!(artifacts.files.is_empty() && artifacts.complete);
    }
    drop(deepest);
    // std would go down as deep as the tree by recursion.
    let mut level = dir.path().join("d");
    while fs::read_dir(&level).unwrap().next().is_some() {
        let below = dir.path().join("below");
        fs::rename(level.join("d"), &below).unwrap();
        fs::remove_dir(&level).unwrap();
        fs::rename(&below, &level).unwrap();
        level = dir.path().join("d");
    }
}

#[test]
fn a_hundred_thousand_files_are_bounded_work() {
    let dir = TempDir::new_in("/dev/shm").unwrap();
    for number in 0..100_000 {
        let name = format!("{number:06}");
        nix::sys::stat::mknod(
            &dir.path().join(name),
            nix::sys::stat::SFlag::S_IFREG,
            Mode::S_IRUSR,
            0,
        )
        .unwrap();
    }
    let limits = CollectLimits { entries: 50_000, ..CollectLimits::default() };
    let artifacts = found(&dir, &limits);
    assert!(!artifacts.complete);
    assert_eq!((artifacts.files.len(), artifacts.skipped.len()), (1000, 100));
    assert_eq!(artifacts.skipped_count, 49_000);
}

#[test]
fn a_file_with_several_names_is_several_files() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("a"), "12345").unwrap();
    for name in ["b", "c", "d"] {
        fs::hard_link(dir.path().join("a"), dir.path().join(name)).unwrap();
    }
    let artifacts = found(&dir, &CollectLimits { bytes: Bytes(12), ..CollectLimits::default() });
    assert_eq!(paths(&artifacts), ["a", "b"]);
    assert_eq!(reasons(&artifacts), [SkipReason::TooLarge; 2]);
}

#[test]
fn holes_count_as_what_a_reader_would_read_and_stay_holes() {
    let dir = TempDir::new().unwrap();
    fs::File::create(dir.path().join("tebibyte")).unwrap().set_len(1 << 40).unwrap();
    fs::File::create(dir.path().join("mebibytes")).unwrap().set_len(8 << 20).unwrap();
    fs::write(dir.path().join("text"), "text").unwrap();
    let artifacts = found(&dir, &CollectLimits::default());
    assert_eq!(paths(&artifacts), ["mebibytes", "text"]);
    assert_eq!(reasons(&artifacts), [SkipReason::TooLarge]);
    let to = TempDir::new().unwrap();
    assert_eq!(artifacts.copy_to(to.path()).unwrap(), []);
    let copy = fs::metadata(to.path().join("mebibytes")).unwrap();
    assert_eq!((copy.len(), copy.blocks()), (8 << 20, 0));
}

#[test]
fn copies_are_new_files_in_an_empty_directory() {
    let dir = TempDir::new().unwrap();
    fs::create_dir_all(dir.path().join("x/y")).unwrap();
    fs::write(dir.path().join("x/y/program"), "run me").unwrap();
    fs::set_permissions(dir.path().join("x/y/program"), fs::Permissions::from_mode(0o4755))
        .unwrap();
    let artifacts = found(&dir, &CollectLimits::default());
    let outside = TempDir::new().unwrap();
    let to = outside.path().join("new");
    assert_eq!(artifacts.copy_to(&to).unwrap(), []);
    let copy = to.join("x/y/program");
    assert_eq!(fs::read_to_string(&copy).unwrap(), "run me");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o7000, 0);
    let again = artifacts.copy_to(&to).unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    // A file that is gone meanwhile is told, and the others are copied.
    fs::remove_file(dir.path().join("x/y/program")).unwrap();
    let skipped = artifacts.copy_to(outside.path().join("other")).unwrap();
    assert_eq!(skipped[0].reason, SkipReason::Unreadable(libc::ENOENT));
}

/// What grew after it was found is not taken beyond what was counted.
#[test]
fn a_file_that_grows_is_copied_to_the_size_it_had() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("log"), "short").unwrap();
    let artifacts = found(&dir, &CollectLimits::default());
    fs::write(dir.path().join("log"), "short no more").unwrap();
    let to = TempDir::new().unwrap();
    assert_eq!(artifacts.copy_to(to.path()).unwrap(), []);
    assert_eq!(fs::read_to_string(to.path().join("log")).unwrap(), "short");
}

/// Links are exchanged for files and directories, and back, as fast as a thread can, while the
/// directory is searched, its files are opened, and copied.
#[test]
fn a_race_for_links_is_not_won() {
    let secret = TempDir::new().unwrap();
    fs::write(secret.path().join("file"), "the secret").unwrap();
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("directory")).unwrap();
    fs::write(at("directory/file"), "harmless").unwrap();
    fs::write(at("file"), "harmless").unwrap();
    let other = TempDir::new_in(dir.path().parent().unwrap()).unwrap();
    symlink(secret.path(), other.path().join("directory")).unwrap();
    symlink(secret.path().join("file"), other.path().join("file")).unwrap();

    let over = AtomicBool::new(false);
    let (mut read, mut refused) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for name in ["directory", "file"] {
                    let (ours, theirs) = (at(name), other.path().join(name));
                    let exchange = RenameFlags::RENAME_EXCHANGE;
                    renameat2(AT_FDCWD, &ours, AT_FDCWD, &theirs, exchange).unwrap();
                }
            }
        });
        // Until both answers have come often: a test of a race that does not happen is none.
        while read < 300 || refused < 300 {
            let artifacts = found(&dir, &CollectLimits::default());
            refused += artifacts.skipped.len();
            for artifact in &artifacts.files {
                let mut text = String::new();
                match artifacts.open(artifact).and_then(|mut it| it.read_to_string(&mut text)) {
                    Ok(_) => {
                        assert_eq!(text, "harmless");
                        read += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// What a program could put into one directory.
#[derive(Debug, Clone)]
enum Entry {
    File(u64),
    Link,
    Directory,
}

fn entry() -> impl Strategy<Value = (Vec<u8>, Entry)> {
    let name = proptest::collection::vec(any::<u8>(), 1..20).prop_map(|mut name| {
        name.retain(|byte| !matches!(byte, 0 | b'/'));
        name.push(b'_');
        name
    });
    let entry =
        prop_oneof![(0u64..100).prop_map(Entry::File), Just(Entry::Link), Just(Entry::Directory)];
    (name, entry)
}

proptest! {
    /// Everything is either found or left out for a reason, and no limit is passed.
    #[test]
    fn nothing_is_lost_and_no_limit_passed(
        entries in proptest::collection::vec(entry(), 0..12),
        files in 0usize..8,
        bytes in 0u64..300,
        depth in 0usize..2,
    ) {
        let dir = TempDir::new().unwrap();
        for (name, entry) in entries {
            let path = dir.path().join(OsStr::from_bytes(&name));
            // A name may come twice.
            let _ = match entry {
                Entry::File(size) => fs::write(&path, vec![0; size as usize]),
                Entry::Link => symlink("nowhere", &path),
                Entry::Directory => fs::create_dir(&path),
            };
        }
        let told = fs::read_dir(dir.path()).unwrap().flatten().filter(|entry| {
            // An empty directory is nothing to tell of, if its name is.
            let silent = depth > 0 && entry.path().is_dir();
            !silent || !name::is_plain(&entry.file_name())
        });
        let told = told.count() as u64;
        let limits = CollectLimits { files, bytes: Bytes(bytes), depth, ..CollectLimits::default() };
        let artifacts = found(&dir, &limits);
        let total: u64 = artifacts.files.iter().map(|file| file.size).sum();
        prop_assert!(artifacts.complete);
        prop_assert!(total <= bytes && artifacts.files.len() <= files);
        prop_assert_eq!(artifacts.files.len() as u64 + artifacts.skipped_count, told);
        for artifact in &artifacts.files {
            prop_assert!(artifacts.open(artifact).is_ok());
        }
    }
}
