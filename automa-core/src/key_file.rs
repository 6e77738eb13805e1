//! Keys of 32 bytes, each in a file of its own in the data directory, for its owner alone: what is
//! in the store is of no use without them, and a copy of the store does not have them.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use secrecy::SecretSlice;

use crate::{Error, Result, clock::Clock};

/// Bytes of a key.
pub(crate) const BYTES: usize = 32;

/// The key in a file, which is made when it is first asked for.
#[derive(Debug)]
pub(crate) struct KeyFile {
    /// `None` for one that is kept in memory.
    path: Option<PathBuf>,
    known: Mutex<Option<SecretSlice<u8>>>,
}

impl KeyFile {
    pub(crate) fn new(directory: Option<&Path>, name: &str) -> Self {
        // The program may go to another directory.
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let path = directory.map(|directory| absolute(directory).join(name));
        Self { path, known: Mutex::new(None) }
    }

    /// The key, which is made if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Directory`].
    pub(crate) fn get_or_make(&self, clock: &dyn Clock) -> Result<SecretSlice<u8>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = &*known {
            return Ok(key.clone());
        }
        let mut random = vec![0; BYTES];
        clock.fill(&mut random);
        let key = match &self.path {
            None => random,
            Some(path) => read_or_write(path, random).map_err(|source| Error::Directory {
                doing: "reading or writing the key",
                path: path.clone(),
                source,
            })?,
        };
        Ok(known.insert(key.into()).clone())
    }
}

/// The key in a file, which is written whole or not at all if it is missing.
fn read_or_write(path: &Path, new: Vec<u8>) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Ok(key) if key.len() != BYTES => {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not have 32 bytes"));
        }
        read => return read,
    }
    let draft = path.with_extension("draft");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(&new)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let place = tempfile::tempdir().unwrap();
        let get = || KeyFile::new(Some(place.path()), "a.key").get_or_make(&SystemClock::new());
        let (first, again) = (get().unwrap(), get().unwrap());
        assert_eq!(first.expose_secret(), again.expose_secret());
        let path = place.path().join("a.key");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(path, b"short").unwrap();
        assert!(get().unwrap_err().to_string().contains("a.key"));
    }
}
