//! The journal against a model, across crashes at any byte of it.

use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*};
use tempfile::TempDir;

use super::*;
use crate::store::{
    Store,
    change::Change,
    migrate::Schema,
    tests::{NOTES, Note, SCHEMA},
};

/// What the table holds.
type Model = BTreeMap<u64, Note>;

/// Which keys get which text or are removed, in one change.
type Step = Vec<(u64, Option<String>)>;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let text = option::weighted(0.7, "[a-z]{0,40}");
    vec(vec((0_u64..8, text), 1..4), 1..20)
}

fn apply(model: &mut Model, step: &Step) {
    for (key, text) in step {
        match text {
            Some(text) => drop(model.insert(*key, Note { text: text.clone() })),
            None => drop(model.remove(key)),
        }
    }
}

async fn write(store: &Store, step: Step) {
    let change = move |change: &mut Change| {
        for (key, text) in &step {
            match text {
                Some(text) => NOTES.put(change, *key, &Note { text: text.clone() })?,
                None => drop(NOTES.remove(change, *key)?),
            }
        }
        Ok::<_, StoreError>(())
    };
    store.write(change).await.unwrap();
}

fn held(store: &Store) -> Model {
    let rows = store.look(|view| NOTES.oldest(view, .., usize::MAX)).unwrap();
    rows.into_iter().collect()
}

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("automa.redb");
    (directory, path)
}

/// What a disk holds of a store that nobody writes to at the moment.
fn crashed(store: &Path) -> (TempDir, PathBuf) {
    let (directory, path) = place();
    fs::copy(store, &path).unwrap();
    if path_of(store).exists() {
        fs::copy(path_of(store), path_of(&path)).unwrap();
    }
    (directory, path)
}

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open_with(path, SCHEMA)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever was acknowledged is there after a crash, and after another one while that is made
    /// good; of a journal that was cut, all up to some change.
    #[test]
    fn a_crash_loses_nothing(steps in steps(), crash in any::<prop::sample::Index>(), cut in 0.0..1.0) {
        let runtime = runtime();
        let (_directory, path) = place();
        let store = open(&path).unwrap();
        let (mut models, at) = (vec![Model::new()], crash.index(steps.len()));
        for (number, step) in steps.iter().enumerate() {
            let mut model = models.last().unwrap().clone();
            apply(&mut model, step);
            models.push(model);
            runtime.block_on(write(&store, step.clone()));
            if number != at {
                continue;
            }
            let (_image, image) = crashed(&path);
            let (_again, again) = crashed(&image);
            for path in [&image, &again] {
                let store = open(path).unwrap();
                prop_assert_eq!(&held(&store), models.last().unwrap());
                runtime.block_on(store.shutdown());
            }
            let (_torn, torn) = crashed(&path);
            let journal = OpenOptions::new().create(true).truncate(false).write(true).open(path_of(&torn));
            let journal = journal.unwrap();
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation,
                clippy::cast_sign_loss, reason = "any length will do")]
            let length = (journal.metadata().unwrap().len().min(4096) as f64 * cut) as u64;
            journal.set_len(length).unwrap();
            let held = held(&open(&torn).unwrap());
            prop_assert!(models.contains(&held), "{held:?}");
        }
        runtime.block_on(store.shutdown());
        prop_assert_eq!(&held(&open(&path).unwrap()), models.last().unwrap());
    }

    #[test]
    fn what_is_noted_is_read_again(
        notes in vec(("[a-z_]{1,20}", vec(any::<u8>(), 0..20), option::of(vec(any::<u8>(), 0..50))), 0..20),
    ) {
        let mut operations = Vec::new();
        let mut expected: HashMap<String, Again> = HashMap::new();
        for (table, key, value) in notes {
            note(&mut operations, &table, &key, value.as_deref());
            expected.entry(table).or_default().push((key, value));
        }
        prop_assert_eq!(by_table(&operations), Some(expected));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..400)) {
        prop_assert!(records(&bytes).count() <= bytes.len() / FRAME);
        let _ = by_table(&bytes);
    }
}

/// A store with three notes, of which the journal holds all, on a disk where its process was killed.
async fn killed() -> (TempDir, PathBuf) {
    let (_directory, path) = place();
    let store = open(&path).unwrap();
    for key in 0..3 {
        write(&store, vec![(key, Some("kept".into()))]).await;
    }
    crashed(&path)
}

#[tokio::test]
async fn a_round_begins_where_the_former_one_did() {
    let (_directory, path) = place();
    let size = || fs::metadata(path_of(&path)).map_or(0, |file| file.len());
    for round in 0..3 {
        let store = open(&path).unwrap();
        assert_eq!(held(&store).len(), round);
        let key = u64::try_from(round).unwrap();
        write(&store, vec![(key, Some("x".repeat(100 << 10)))]).await;
        store.shutdown().await;
        assert_eq!(size(), STEP as u64, "it does not grow while what it holds fits");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_durable_without_the_journal() {
    let (_directory, path) = place();
    let store = open(&path).unwrap();
    write(&store, vec![(1, Some("small".into()))]).await;
    write(&store, vec![(2, Some("large".repeat(CAPACITY / 4)))]).await;
    write(&store, vec![(3, Some("small".into()))]).await;
    assert!(fs::metadata(path_of(&path)).unwrap().len() <= STEP as u64);
    let (_image, image) = crashed(&path);
    assert_eq!(held(&open(&image).unwrap()).len(), 3);
}

#[tokio::test]
async fn it_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_directory, path) = killed().await;
    let mode = fs::metadata(path_of(&path)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn the_journal_of_another_store_is_refused_and_left_as_it_is() {
    let ((_one, one), (_other, other)) = (killed().await, killed().await);
    fs::copy(path_of(&one), path_of(&other)).unwrap();
    let before = fs::read(path_of(&other)).unwrap();
    let error = open(&other).unwrap_err();
    assert!(error.to_string().contains("for another store"), "{error}");
    assert_eq!(fs::read(path_of(&other)).unwrap(), before);
    fs::remove_file(path_of(&other)).unwrap();
    assert!(held(&open(&other).unwrap()).is_empty(), "nothing of it was in the store's file");
}

#[tokio::test]
async fn a_journal_that_goes_on_from_a_later_state_is_refused() {
    let (_directory, path) = place();
    let store = open(&path).unwrap();
    write(&store, vec![(1, Some("early".into()))]).await;
    store.shutdown().await;
    let (_early, early) = crashed(&path);
    for _ in 0..2 {
        let store = open(&path).unwrap();
        write(&store, vec![(2, Some("later".into()))]).await;
        store.shutdown().await;
    }
    fs::copy(path_of(&path), path_of(&early)).unwrap();
    let error = open(&early).unwrap_err();
    assert!(error.to_string().contains("a later state"), "{error}");
}

#[tokio::test]
async fn changes_of_another_format_or_table_are_not_left_out() {
    let (_directory, path) = killed().await;
    let next = Schema { steps: &[|_| Ok(())], tables: SCHEMA.tables };
    let error = Store::open_with(&path, next).unwrap_err();
    assert!(matches!(error, StoreError::Journal { .. }), "{error:?}");
    let without = Schema { steps: &[], tables: &[] };
    let error = Store::open_with(&path, without).unwrap_err();
    assert!(matches!(&error, StoreError::UnknownTable { table } if table == "notes"), "{error:?}");
    let store = open(&path).unwrap();
    assert_eq!(held(&store).len(), 3);
    store.shutdown().await;
    // Once they are in the store, it goes on to the next format.
    assert_eq!(held(&Store::open_with(&path, next).unwrap()).len(), 3);
}

#[tokio::test]
async fn a_new_store_does_not_take_what_another_left() {
    let (_directory, path) = killed().await;
    fs::remove_file(&path).unwrap();
    assert!(held(&open(&path).unwrap()).is_empty());
}
