//! The store's file: made, opened, backed up.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use redb::{Database, DatabaseError, StorageError};

use super::{
    journal::{self, Journal},
    migrate::{self, Found, Schema},
    writer::Reopened,
};
use crate::error::StoreError;

/// redb's own default is 1 GiB.
const CACHE_BYTES: usize = 64 << 20;

/// Opens the store at `path`, makes it if there is none, and brings it to the format of `schema`.
pub(super) fn open(path: &Path, schema: Schema) -> Result<(Database, Journal), StoreError> {
    if !path.try_exists().map_err(failed("looking for", path))?
        && let Some(made) = create(path, schema)?
    {
        return Ok(made);
    }
    let mut database = open_existing(path)?;
    let mut found = migrate::inspect(&database)?;
    let known = schema.format();
    match found {
        Found::Foreign => return Err(StoreError::Foreign { path: path.into() }),
        Found::Format(found) if found > known => return Err(StoreError::TooNew { found, known }),
        Found::Format(old) if old < known => {
            // An open file is not fit to be copied, even when nothing is written.
            drop(database);
            back_up(path, old)?;
            database = open_existing(path)?;
            found = migrate::inspect(&database)?;
        }
        Found::Format(_) | Found::Empty => {}
    }
    let mut journal = Journal::of(path)?;
    schema.apply(&database, found, Some(&mut journal))?;
    Ok((database, journal))
}

/// How large a store's file is, in bytes.
pub(super) fn size(path: &Path) -> Result<u64, StoreError> {
    Ok(fs::metadata(path).map_err(failed("looking at", path))?.len())
}

/// Opens a file that has been opened before, after a failure.
pub(super) fn reopen(path: &Path, schema: Schema) -> Result<Reopened, StoreError> {
    Reopened::by(|| Ok((open_existing(path)?, Some(Journal::of(path)?))), schema)
}

/// Makes the store under another name and moves it to `path` when it is complete, so that whoever
/// is killed meanwhile leaves no half of a store there. `None` if there is one all at once.
fn create(path: &Path, schema: Schema) -> Result<Option<(Database, Journal)>, StoreError> {
    let draft = beside(path, "new");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&draft)
        .map_err(failed("creating", &draft))?;
    lock(&file, path)?;
    // Another process may have made it before this one got the lock. From here on none can.
    if path.try_exists().map_err(failed("looking for", path))? {
        return Ok(None);
    }
    // What somebody left who was killed.
    file.set_len(0).map_err(failed("emptying", &draft))?;
    journal::remove(path)?;
    let database = in_use(path, builder().create_file(file))?;
    let mut journal = Journal::of(path)?;
    schema.apply(&database, Found::Empty, Some(&mut journal))?;
    fs::rename(&draft, path).map_err(failed("naming", path))?;
    sync_directory(path)?;
    Ok(Some((database, journal)))
}

/// Opens a store that is there.
pub(super) fn open_existing(path: &Path) -> Result<Database, StoreError> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    in_use(path, builder().create_file(file.map_err(failed("opening", path))?))
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn in_use(path: &Path, opened: Result<Database, DatabaseError>) -> Result<Database, StoreError> {
    opened.map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: path.into() },
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() == io::ErrorKind::InvalidData =>
        {
            StoreError::Foreign { path: path.into() }
        }
        error => error.into(),
    })
}

/// Copies a closed store of an older format to `<name>.v<format>.backup` beside it.
fn back_up(path: &Path, format: u32) -> Result<(), StoreError> {
    let backup = beside(path, &format!("v{format}.backup"));
    let draft = beside(&backup, "new");
    let file = File::open(path).map_err(failed("opening", path))?;
    lock(&file, path)?;
    fs::copy(path, &draft).map_err(failed("copying the store to", &draft))?;
    File::open(&draft)
        .and_then(|copy| copy.sync_all())
        .map_err(failed("copying the store to", &draft))?;
    fs::rename(&draft, &backup).map_err(failed("naming", &backup))?;
    sync_directory(path)?;
    tracing::info!(path = %backup.display(), "the store was copied before its upgrade");
    Ok(())
}

/// Locks a file of the store as redb does, until it is closed.
fn lock(file: &File, path: &Path) -> Result<(), StoreError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => StoreError::InUse { path: path.into() },
        TryLockError::Error(error) => failed("locking", path)(error),
    })
}

/// Makes names in the directory of `path` durable: a file's own sync does not.
pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("syncing", directory))
}

pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

pub(super) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { doing, path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use redb::{ReadableDatabase, TableDefinition, WriteTransaction};

    use super::{super::migrate::Tables, *};

    const TABLE: TableDefinition<u64, u64> = TableDefinition::new("numbers");
    const FIRST: Schema = Schema { steps: &[], tables: &[fill] };
    const SECOND: Schema = Schema { steps: &[double], tables: &[] };
    const STUCK: Schema = Schema { steps: &[stuck], tables: &[] };

    fn fill(tables: &mut Tables<'_>) -> Result<(), StoreError> {
        tables.txn.open_table(TABLE)?.insert(1, 21)?;
        Ok(())
    }

    fn double(txn: &WriteTransaction) -> Result<(), StoreError> {
        txn.open_table(TABLE)?.insert(1, 42)?;
        Ok(())
    }

    fn stuck(_: &WriteTransaction) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    fn number(database: &Database) -> u64 {
        let table = database.begin_read().unwrap().open_table(TABLE).unwrap();
        table.get_owned(1).unwrap().unwrap().value()
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_store_is_its_owners_alone_and_leaves_no_draft() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("automa.redb");
        drop(open(&path, FIRST).unwrap());
        assert_eq!(names(directory.path()), ["automa.redb"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_a_killed_process_left_half_made_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("automa.redb");
        fs::write(directory.path().join("automa.redb.new"), [0; 4096]).unwrap();
        assert_eq!(number(&open(&path, FIRST).unwrap().0), 21);
    }

    #[test]
    fn a_step_works_on_a_store_that_was_copied_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("automa.redb");
        drop(open(&path, FIRST).unwrap());
        assert_eq!(number(&open(&path, SECOND).unwrap().0), 42);
        assert_eq!(names(directory.path()), ["automa.redb", "automa.redb.v1.backup"]);
        let backup = open(&directory.path().join("automa.redb.v1.backup"), FIRST).unwrap();
        assert_eq!(number(&backup.0), 21);
    }

    #[test]
    fn a_step_that_fails_leaves_the_store_and_its_copy() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("automa.redb");
        drop(open(&path, FIRST).unwrap());
        open(&path, STUCK).unwrap_err();
        assert_eq!(number(&open(&path, FIRST).unwrap().0), 21);
        assert_eq!(names(directory.path()), ["automa.redb", "automa.redb.v1.backup"]);
    }

    #[test]
    fn a_store_without_a_copy_is_not_migrated() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("automa.redb");
        drop(open(&path, FIRST).unwrap());
        fs::create_dir(directory.path().join("automa.redb.v1.backup")).unwrap();
        let error = open(&path, SECOND).unwrap_err();
        assert!(matches!(error, StoreError::File { doing: "naming", .. }), "{error:?}");
        assert_eq!(number(&open(&path, FIRST).unwrap().0), 21);
    }

    #[test]
    fn a_newer_store_is_refused_and_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("automa.redb");
        drop(open(&path, SECOND).unwrap());
        let error = open(&path, FIRST).unwrap_err();
        assert!(matches!(error, StoreError::TooNew { found: 2, known: 1 }), "{error:?}");
        drop(open(&path, SECOND).unwrap());
        assert_eq!(names(directory.path()), ["automa.redb"]);
    }

    #[test]
    fn a_second_opener_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("automa.redb");
        let first = open(&path, FIRST).unwrap();
        let error = open(&path, FIRST).unwrap_err();
        assert!(matches!(&error, StoreError::InUse { path: told } if *told == path), "{error:?}");
        drop(first);
        open(&path, FIRST).unwrap();
    }

    #[test]
    fn two_that_make_the_same_store_at_once_do_not_meet() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("automa.redb");
        let draft = File::create(directory.path().join("automa.redb.new")).unwrap();
        draft.try_lock().unwrap();
        let error = open(&path, FIRST).unwrap_err();
        assert!(matches!(error, StoreError::InUse { .. }), "{error:?}");
    }

    #[test]
    fn a_file_that_is_no_store_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("automa.redb");
        fs::write(&path, "a letter to the editor".repeat(500)).unwrap();
        let error = open(&path, FIRST).unwrap_err();
        assert!(matches!(error, StoreError::Foreign { .. }), "{error:?}");
    }

    #[test]
    fn the_directory_has_to_exist() {
        let directory = tempfile::tempdir().unwrap();
        let error = open(&directory.path().join("none/automa.redb"), FIRST).unwrap_err();
        assert!(matches!(error, StoreError::File { doing: "creating", .. }), "{error:?}");
    }
}
