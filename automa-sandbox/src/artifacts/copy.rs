//! Copying what was found to where it is to stay.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::Path,
};

use super::{Artifact, Skipped, name, walk};
use crate::beneath::Dir;

/// Bytes read at once; as many zeros become a hole.
const BLOCK: usize = 64 << 10;

/// Copies `files` below `from` into the directory `to`. Returns what could not be read.
pub(super) fn copy(from: Option<&Dir>, files: &[Artifact], to: &Path) -> io::Result<Vec<Skipped>> {
    match fs::create_dir(to) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => made?,
    }
    let to = Dir::open(to)?;
    if to.names()?.next().is_some() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "the directory is not empty"));
    }
    let mut skipped = Vec::new();
    let Some(from) = from else { return Ok(skipped) };
    for artifact in files {
        let skip = |error: &io::Error| {
            let reason = walk::unreadable(error);
            Skipped { path: name::printable(&artifact.path), reason }
        };
        match from.file(&artifact.path) {
            Ok(mut content) => {
                // Whoever copies can read and change the copy.
                let mut file = to.create(&artifact.path, artifact.mode | 0o600)?;
                if let Err(error) = copy_content(&mut content, artifact.size, &mut file)? {
                    skipped.push(skip(&error));
                }
            }
            Err(error) => skipped.push(skip(&error)),
        }
    }
    Ok(skipped)
}

/// Copies at most `size` bytes. The outer error is of writing, the inner one of reading.
fn copy_content(from: &mut File, size: u64, to: &mut File) -> io::Result<io::Result<()>> {
    let mut block = vec![0; BLOCK];
    let mut from = from.take(size);
    let mut length = 0;
    loop {
        let read = match from.read(&mut block) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Ok(Err(error)),
        };
        length += read as u64;
        if read == BLOCK && block.iter().all(|&byte| byte == 0) {
            to.seek(SeekFrom::Start(length))?;
        } else {
            to.write_all(&block[..read])?;
        }
    }
    to.set_len(length)?;
    Ok(Ok(()))
}
