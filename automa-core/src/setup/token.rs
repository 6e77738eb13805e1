//! Where the setup token is kept.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::{
    error::{Error, Result},
    hex,
};

const FILE: &str = "setup-token";
/// Hexadecimal digits of a token.
const DIGITS: usize = 64;

/// The setup token that a data directory has, for who cannot open the store because a server has;
/// `None` if there is none, as is usual once there is a user.
///
/// # Errors
///
/// When the file is there and cannot be read.
pub fn stored_token(directory: &Path) -> io::Result<Option<String>> {
    let bytes = match fs::read(directory.join(FILE)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8(bytes).ok();
    let token = text.map(|text| text.trim_end().to_owned());
    // Something else is what a crash left of a token that nobody has been told.
    Ok(token.filter(|token| token.len() == DIGITS && token.bytes().all(|b| b.is_ascii_hexdigit())))
}

/// The setup token of an open Automa.
#[derive(Debug)]
pub(crate) struct Token {
    /// `None` for one that is kept in memory.
    directory: Option<PathBuf>,
    known: Mutex<Option<SecretString>>,
}

impl Token {
    pub(crate) fn new(directory: Option<PathBuf>) -> Self {
        // The program may go to another directory.
        let directory = directory.map(|path| std::path::absolute(&path).unwrap_or(path));
        Self { directory, known: Mutex::new(None) }
    }

    /// The token; made of `random` if there is none.
    pub(super) fn get_or_make(&self, random: &[u8; DIGITS / 2]) -> Result<String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = self.find(&mut known)? {
            return Ok(token.expose_secret().to_owned());
        }
        let token = hex::encode(random);
        self.write(&token)?;
        *known = Some(token.as_str().into());
        Ok(token)
    }

    /// Whether there is a token and it is `tried`. Takes as long for one wrong token as for
    /// another.
    pub(super) fn is(&self, tried: &SecretString) -> Result<bool> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(token) = self.find(&mut known)? else { return Ok(false) };
        let (token, tried) = (token.expose_secret().as_bytes(), tried.expose_secret().as_bytes());
        Ok(token.ct_eq(tried).into())
    }

    pub(super) fn forget(&self) -> Result<()> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = None;
        let Some(directory) = &self.directory else { return Ok(()) };
        match fs::remove_file(directory.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("removing the setup token in", error))
            }
            _ => Ok(()),
        }
    }

    fn find(&self, known: &mut Option<SecretString>) -> Result<Option<SecretString>> {
        if let (None, Some(directory)) = (&*known, &self.directory) {
            let stored = stored_token(directory)
                .map_err(|error| self.failed("reading the setup token in", error))?;
            *known = stored.map(SecretString::from);
        }
        Ok(known.clone())
    }

    /// Writes the file whole or not at all.
    fn write(&self, token: &str) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let (path, new) = (directory.join(FILE), directory.join("setup-token.new"));
        let write = || {
            let mut options = fs::OpenOptions::new();
            // A crash may have left one.
            match fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = options.write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(format!("{token}\n").as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().map_err(|error| self.failed("writing the setup token in", error))
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> Error {
        Error::Directory { doing, path: self.directory.clone().unwrap_or_default(), source }
    }
}
