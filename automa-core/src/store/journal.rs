//! The journal: what changes did that the store's file does not hold durably yet.
//!
//! A durable transaction of redb costs two syncs of the disk and writes a page for each of the dozen
//! tables that a change touches. So most transactions are not: what they do is appended to the journal,
//! one record for each transaction, which takes one sync; and then they are committed without. When the
//! journal is full, or after a second, a durable transaction follows, and the journal begins anew. After
//! a crash, what the journal holds beyond the store is done again when the store is opened.
//!
//! That this is right rests on three things: a record tells which bytes are under which keys
//! afterwards, so that doing it twice is the same as once; records are numbered, and the store holds the
//! number of the last one that is part of it; and a record is written and synced before anybody sees
//! what it does.
//!
//! The file is `<store>.journal`: a head (magic, format, the store's id, CRC), then records (length,
//! CRC, number, operations), all numbers little-endian. It is written over from its beginning each time,
//! so that its blocks stay allocated. Behind the last record are zeros, or records of a former
//! round, whose numbers do not go on from it.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crc32fast::Hasher;
use redb::{Database, ReadableDatabase as _, TableDefinition, TableError, WriteTransaction};

use super::file::{failed, sync_directory};
use crate::error::StoreError;

/// The bytes that a journal has at most: done again within some 50 ms.
const CAPACITY: usize = 4 << 20;
/// The file grows in steps of this many bytes, because a sync that makes it longer costs more.
const STEP: usize = 256 << 10;
const MAGIC: [u8; 8] = *b"AutomaJ1";
/// Magic, format, id, CRC of these.
const HEAD: usize = 24;
/// Length, CRC, number.
const FRAME: usize = 16;

/// What the store knows of its journal: its own [`ID`], and which records are [`TAKEN`].
const TABLE: TableDefinition<&str, u64> = TableDefinition::new("journal");
const ID: &str = "id";
const TAKEN: &str = "taken";

/// The journal of an open store.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// None until there is something to write.
    file: Option<File>,
    head: [u8; HEAD],
    /// Whether the file begins with that.
    begun: bool,
    /// The number of the last record.
    last: u64,
    /// Where the next one goes.
    end: usize,
    /// The length of the file.
    size: usize,
}

/// What a table is to be told again: keys with their values, or without where they were removed.
pub(super) type Again = Vec<(Vec<u8>, Option<Vec<u8>>)>;

impl Journal {
    /// Finds the journal of the store that was opened from the file `store`. It is not read yet.
    pub(super) fn of(store: &Path) -> Result<Self, StoreError> {
        let path = path_of(store);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed("opening", &path)(error)),
        };
        Ok(Self { path, file, head: [0; HEAD], begun: false, last: 0, end: HEAD, size: 0 })
    }

    /// What the journal holds that is not part of the store, for each table.
    ///
    /// # Errors
    ///
    /// [`StoreError::Journal`] if that was written by another version or does not go with the store.
    pub(super) fn read(
        &mut self,
        database: &Database,
        format: u32,
    ) -> Result<HashMap<String, Again>, StoreError> {
        let (id, taken) = known(database)?;
        // A store that never had one gets an id now.
        let id = id.map_or_else(random, Ok).map_err(failed("numbering", &self.path))?;
        self.head = head(format, id);
        self.last = taken;
        let Some(file) = &self.file else { return Ok(HashMap::new()) };
        let bytes = read_all(file).map_err(failed("reading", &self.path))?;
        self.size = bytes.len();
        self.begun = bytes.starts_with(&self.head);
        let mut operations = Vec::new();
        for (number, record) in records(&bytes) {
            if number <= taken {
                continue;
            }
            if number != self.last + 1 {
                return Err(self.unfit("it goes on from a later state of the store"));
            }
            operations.extend(record);
            self.last = number;
        }
        if !operations.is_empty() && !self.begun {
            return Err(self.unfit("it was written by another version, or for another store"));
        }
        let damaged = || self.unfit("a record of it makes no sense");
        by_table(&operations).ok_or_else(damaged)
    }

    fn unfit(&self, why: &'static str) -> StoreError {
        StoreError::Journal { path: self.path.clone(), why }
    }

    /// Whether operations can be appended.
    pub(super) fn fits(&self, operations: &[u8]) -> bool {
        self.end + FRAME + operations.len() <= CAPACITY
    }

    /// Whether it holds anything that the store's file does not.
    pub(super) fn is_empty(&self) -> bool {
        self.end == HEAD
    }

    /// Appends a record, and returns when it is durable. After an error it is not known whether it is.
    pub(super) fn append(&mut self, operations: &[u8]) -> io::Result<()> {
        let number = self.last + 1;
        let (start, mut bytes) =
            if self.begun { (self.end, Vec::new()) } else { (0, self.head.to_vec()) };
        bytes.reserve(FRAME + operations.len());
        let length = u32::try_from(operations.len()).map_err(io::Error::other)?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&checksum(number, operations).to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(operations);
        let end = start + bytes.len();
        if end > self.size {
            bytes.resize(end.next_multiple_of(STEP) - start, 0);
        }
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(create(&self.path)?),
        };
        file.write_all_at(&bytes, u64::try_from(start).map_err(io::Error::other)?)?;
        file.sync_data()?;
        (self.begun, self.last, self.end) = (true, number, end);
        self.size = self.size.max(start + bytes.len());
        Ok(())
    }

    /// Notes in a durable transaction that all records are part of it.
    pub(super) fn take(&self, txn: &WriteTransaction) -> Result<(), redb::Error> {
        let mut table = txn.open_table(TABLE)?;
        let id = u64::from_le_bytes(std::array::from_fn(|n| self.head[12 + n]));
        table.insert(ID, id)?;
        table.insert(TAKEN, self.last)?;
        Ok(())
    }

    /// Begins anew, once that transaction is durable.
    pub(super) fn restart(&mut self) {
        self.end = HEAD;
    }
}

/// Where the journal of a store is.
pub(super) fn path_of(store: &Path) -> PathBuf {
    super::file::beside(store, "journal")
}

/// Removes what was left of a store that is not there any more.
pub(super) fn remove(store: &Path) -> Result<(), StoreError> {
    let path = path_of(store);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("removing", &path)(error))
        }
        _ => Ok(()),
    }
}

/// Appends to `operations` that `key` has this value from now on, or none.
pub(super) fn note(operations: &mut Vec<u8>, table: &str, key: &[u8], value: Option<&[u8]>) {
    for part in [table.as_bytes(), key] {
        put(operations, part);
    }
    operations.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(operations, value);
    }
}

fn put(operations: &mut Vec<u8>, part: &[u8]) {
    // Nothing in memory is longer, and redb takes values up to 3 GiB.
    let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
    operations.extend_from_slice(&length.to_le_bytes());
    operations.extend_from_slice(part);
}

/// The reverse of [`note`], many times; `None` if that makes no sense.
fn by_table(mut operations: &[u8]) -> Option<HashMap<String, Again>> {
    fn take<'a>(operations: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
        let (part, rest) = operations.split_at_checked(count)?;
        *operations = rest;
        Some(part)
    }
    fn part<'a>(operations: &mut &'a [u8]) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(take(operations, 4)?.try_into().ok()?);
        take(operations, usize::try_from(length).ok()?)
    }
    let mut tables: HashMap<String, Again> = HashMap::new();
    while !operations.is_empty() {
        let table = str::from_utf8(part(&mut operations)?).ok()?;
        let key = part(&mut operations)?.to_vec();
        let value = match take(&mut operations, 1)? {
            [0] => None,
            [1] => Some(part(&mut operations)?.to_vec()),
            _ => return None,
        };
        match tables.get_mut(table) {
            Some(again) => again.push((key, value)),
            None => drop(tables.insert(table.to_owned(), vec![(key, value)])),
        }
    }
    Some(tables)
}

/// The records of a journal up to the first that is not whole, or does not go on from the one before.
fn records(bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = bytes.get(HEAD..).unwrap_or_default();
    let mut before: Option<u64> = None;
    std::iter::from_fn(move || {
        let (frame, behind) = rest.split_first_chunk::<FRAME>()?;
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|n| frame[at + n]));
        let number = u64::from_le_bytes(std::array::from_fn(|n| frame[8 + n]));
        let (record, behind) = behind.split_at_checked(usize::try_from(word(0)).ok()?)?;
        let follows = before.is_none_or(|before| before.checked_add(1) == Some(number));
        if number == 0 || !follows || word(4) != checksum(number, record) {
            return None;
        }
        (before, rest) = (Some(number), behind);
        Some((number, record))
    })
}

fn checksum(number: u64, operations: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(operations);
    hasher.finalize()
}

fn head(format: u32, id: u64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&format.to_le_bytes());
    head[12..20].copy_from_slice(&id.to_le_bytes());
    let crc = crc32fast::hash(&head[..20]);
    head[20..].copy_from_slice(&crc.to_le_bytes());
    head
}

/// What the store holds: its id, and the number of the last record that is part of it.
fn known(database: &Database) -> Result<(Option<u64>, u64), StoreError> {
    let txn = database.begin_read()?;
    let table = match txn.open_table(TABLE) {
        Err(TableError::TableDoesNotExist(_)) => return Ok((None, 0)),
        table => table?,
    };
    let number = |key| Ok::<_, StoreError>(table.get(key)?.map(|number| number.value()));
    Ok((number(ID)?, number(TAKEN)?.unwrap_or(0)))
}

fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u64::from_le_bytes(bytes))
}

fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length.min(CAPACITY.next_multiple_of(STEP))];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    sync_directory(path).map_err(io::Error::other)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
