use std::os::unix::fs::symlink;

use automa_sandbox::{Artifacts as Found, Bytes};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;
use crate::{clock::TestClock, store::Store};

fn id() -> ExecutionId {
    ExecutionId::generate(&TestClock::new("2026-01-01T00:00:00Z".parse().unwrap()))
}

/// What a script has left, and where it goes.
struct Place {
    from: TempDir,
    to: TempDir,
    files: ArtifactFiles,
}

impl Place {
    fn new() -> Self {
        let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let files = ArtifactFiles::new(to.path().to_owned());
        Self { from, to, files }
    }

    fn write(&self, name: &str, content: &[u8]) {
        let path = self.from.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn found(&self, limits: &CollectLimits) -> Found {
        Found::of(self.from.path(), limits).unwrap()
    }

    fn kept(&self) -> Option<(Kept, Vec<Artifact>)> {
        self.files.keep(id(), 1, &self.found(&limits())).unwrap()
    }

    fn read(&self, artifact: &Artifact) -> Vec<u8> {
        let content = self.files.open(id(), 1, artifact).unwrap();
        let mut read = Vec::new();
        loop {
            match content.read(read.len() as u64..u64::MAX).unwrap() {
                piece if piece.is_empty() => return read,
                piece => read.extend(piece),
            }
        }
    }
}

#[test]
fn files_are_kept_with_their_hashes_under_no_name_of_theirs() {
    let place = Place::new();
    let zeros = vec![0; 200_000];
    let large = [vec![7; 100_000], vec![0; 300_000], vec![9; 10]].concat();
    let files: [(&str, &[u8]); 4] =
        [("..a/<b>/%2e%2e", b"x"), ("empty", b""), ("large", &large), ("zeros", &zeros)];
    for (name, content) in files {
        place.write(name, content);
    }
    let (kept, artifacts) = place.kept().unwrap();
    assert_eq!((kept.files, kept.bytes, kept.left_out_count), (4, 600_011, 0));
    assert!(kept.complete);
    for (artifact, (name, content)) in artifacts.iter().zip(files) {
        assert_eq!((artifact.name.as_str(), artifact.size), (name, content.len() as u64));
        assert_eq!(artifact.sha256, <[u8; 32]>::from(Sha256::digest(content)));
        assert!(place.read(artifact) == content, "{name}");
    }
    let written: Vec<_> = fs::read_dir(place.to.path()).unwrap().flatten().collect();
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].file_name(), format!("{}.1", id()).as_str());
    assert_eq!(written[0].metadata().unwrap().len(), kept.bytes);
    place.files.remove(id(), 1).unwrap();
    place.files.remove(id(), 1).unwrap();
    assert!(fs::read_dir(place.to.path()).unwrap().next().is_none());
}

#[test]
fn what_is_left_out_is_told_and_the_result_is_no_artifact() {
    let place = Place::new();
    place.write(".automa-result.json", b"1");
    assert_eq!(place.kept(), None);
    symlink("/etc/passwd", place.from.path().join("link")).unwrap();
    let (kept, artifacts) = place.kept().unwrap();
    assert!(artifacts.is_empty() && fs::read_dir(place.to.path()).unwrap().next().is_none());
    let reason = "a symbolic link".to_owned();
    assert_eq!(kept.left_out, [LeftOut { name: "link".to_owned(), reason }]);
    place.write("a", b"12345678");
    let found = place.found(&CollectLimits { bytes: Bytes(5), ..limits() });
    let (kept, _) = place.files.keep(id(), 1, &found).unwrap().unwrap();
    let names: Vec<_> = kept.left_out.iter().map(|it| it.name.as_str()).collect();
    assert_eq!((names, kept.left_out_count), (vec!["a", "link"], 2));
    // A link in place of the result is no artifact that was left out.
    fs::remove_file(place.from.path().join(".automa-result.json")).unwrap();
    symlink("/etc/passwd", place.from.path().join(".automa-result.json")).unwrap();
    assert_eq!(place.kept().unwrap().0.left_out_count, 1);
}

#[test]
fn what_vanishes_before_it_is_copied_is_left_out() {
    let place = Place::new();
    for name in ["a", "b", "c"] {
        place.write(name, name.as_bytes());
    }
    let found = place.found(&limits());
    fs::remove_file(place.from.path().join("b")).unwrap();
    let (kept, artifacts) = place.files.keep(id(), 1, &found).unwrap().unwrap();
    let names: Vec<_> = artifacts.iter().map(|it| it.name.as_str()).collect();
    assert_eq!((names, kept.files, kept.left_out_count), (vec!["a", "c"], 2, 1));
    assert_eq!(place.read(&artifacts[1]), b"c");
}

#[test]
fn what_cannot_be_written_leaves_nothing() {
    let place = Place::new();
    place.write("a", b"1");
    let nowhere = ArtifactFiles::new(place.to.path().join("missing"));
    nowhere.keep(id(), 1, &place.found(&limits())).unwrap_err();
    assert!(fs::read_dir(place.to.path()).unwrap().next().is_none());
}

#[test]
fn what_was_cut_off_behind_our_back_is_an_error() {
    let place = Place::new();
    place.write("a", b"12345");
    let (_, artifacts) = place.kept().unwrap();
    let path = place.files.path(id(), 1);
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(2).unwrap();
    let content = place.files.open(id(), 1, &artifacts[0]).unwrap();
    assert_eq!(content.read(0..5).unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn the_last_attempt_counts_until_it_is_deleted() {
    let store = Store::in_memory().unwrap();
    let left = |attempt, names: &[&str]| {
        let artifact =
            |name: &&str| Artifact { name: (*name).to_owned(), size: 1, sha256: [0; 32], start: 0 };
        let files = u32::try_from(names.len()).unwrap();
        let kept = Kept {
            attempt,
            files,
            bytes: 1,
            left_out: Vec::new(),
            left_out_count: 0,
            complete: true,
        };
        (kept, names.iter().map(artifact).collect::<Vec<_>>())
    };
    let put = async |left: Option<(Kept, Vec<Artifact>)>| {
        let change = move |change: &mut _| store::artifacts::put(change, id(), left.as_ref());
        store.write(change).await.unwrap()
    };
    let names = || {
        let all = store.look(|view| store::artifacts::list(view, id())).unwrap();
        all.into_iter().map(|it| it.name).collect::<Vec<_>>()
    };
    assert_eq!(put(None).await, None);
    assert_eq!(put(Some(left(1, &["a", "b", "c"]))).await, None);
    assert_eq!(names(), ["a", "b", "c"]);
    assert_eq!(put(Some(left(2, &["d"]))).await.unwrap().attempt, 1);
    assert_eq!(names(), ["d"]);
    let delete = |change: &mut _| store::artifacts::delete(change, id());
    assert_eq!(store.write(delete).await.unwrap().unwrap().bytes, 1);
    assert_eq!(names(), [""; 0]);
    assert_eq!(store.write(delete).await.unwrap(), None);
    store.shutdown().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever files there are and whichever bytes of them are asked for.
    #[test]
    fn every_range_of_every_file_is_read(
        contents in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                (65_000usize..140_000, any::<bool>()).prop_map(|(n, set)| vec![u8::from(set); n]),
            ],
            1..6,
        ),
        ranges in prop::collection::vec((any::<u32>(), 0u64..300_000), 1..8),
    ) {
        let place = Place::new();
        for (number, content) in contents.iter().enumerate() {
            place.write(&format!("{number}"), content);
        }
        let (_, artifacts) = place.kept().unwrap();
        for (artifact, content) in artifacts.iter().zip(&contents) {
            prop_assert!(&place.read(artifact) == content);
            let opened = place.files.open(id(), 1, artifact).unwrap();
            for (start, length) in &ranges {
                let start = u64::from(*start) % 150_000;
                let piece = opened.read(start..start + length).unwrap();
                let from = usize::try_from(start).unwrap().min(content.len());
                let to = usize::try_from(start + length).unwrap().min(content.len());
                prop_assert!(content[from..to].starts_with(&piece));
                prop_assert_eq!(piece.is_empty(), from == to);
            }
        }
    }
}
