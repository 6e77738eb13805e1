//! Copying what a sandbox has left into one file of the data directory.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
};

use automa_sandbox::Artifacts as Found;
use sha2::{Digest, Sha256};

use super::{super::result, Artifact, ArtifactFiles, Kept, LeftOut};
use crate::id::ExecutionId;

/// Bytes copied at once; as many zeros become a hole.
const BLOCK: usize = 64 << 10;
/// Most of what was left out that is named.
const LISTED: usize = 100;

impl ArtifactFiles {
    /// Copies what an attempt of an execution has left; on disk when this returns. `None` where it
    /// has left nothing. Blocks.
    ///
    /// # Errors
    ///
    /// When it cannot be written. What was written by then is removed.
    pub(crate) fn keep(
        &self,
        id: ExecutionId,
        attempt: u32,
        found: &Found,
    ) -> io::Result<Option<(Kept, Vec<Artifact>)>> {
        // The result is none of them, whatever became of it.
        let files: Vec<_> =
            found.files.iter().filter(|file| !result::is_file(&file.path)).collect();
        let skipped: Vec<_> =
            found.skipped.iter().filter(|it| !result::is_file(&it.path)).collect();
        let own = found.skipped.len() - skipped.len();
        let left_out = skipped
            .into_iter()
            .map(|it| LeftOut { name: it.path.clone(), reason: it.reason.to_string() });
        let mut kept = Kept {
            attempt,
            files: 0,
            bytes: 0,
            left_out: left_out.collect(),
            left_out_count: found.skipped_count.saturating_sub(own as u64),
            complete: found.complete,
        };
        if files.is_empty() {
            let nothing = kept.left_out_count == 0 && kept.complete;
            return Ok((!nothing).then_some((kept, Vec::new())));
        }
        let copied = self.copy(id, found, &files, &mut kept);
        if copied.is_err() {
            // Of the two, the first failure tells more.
            let _ = self.remove(id, attempt);
        }
        Ok(Some((kept, copied?)))
    }

    fn copy(
        &self,
        id: ExecutionId,
        found: &Found,
        files: &[&automa_sandbox::Artifact],
        kept: &mut Kept,
    ) -> io::Result<Vec<Artifact>> {
        let mut options = OpenOptions::new();
        // A former process may have died over it.
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut to = options.open(self.path(id, kept.attempt))?;
        let mut artifacts = Vec::new();
        for file in files {
            let name = file.path.to_string_lossy().into_owned();
            let start = kept.bytes;
            let copied = match found.open(file) {
                Ok(from) => copy_one(from, file.size, &mut to, start)?,
                Err(error) => Err(error),
            };
            match copied {
                Ok((size, sha256)) => {
                    kept.bytes += size;
                    artifacts.push(Artifact { name, size, sha256, start });
                }
                Err(error) => {
                    kept.left_out_count += 1;
                    if kept.left_out.len() < LISTED {
                        kept.left_out.push(LeftOut { name, reason: error.to_string() });
                    }
                }
            }
        }
        kept.files = u32::try_from(artifacts.len()).unwrap_or(u32::MAX);
        // Holes at the end are none yet, and what was read by half is cut off.
        to.set_len(kept.bytes)?;
        to.sync_all()?;
        File::open(&self.0)?.sync_all()?;
        Ok(artifacts)
    }
}

/// Copies at most `size` bytes to where the last file has ended. The outer error is of writing, the
/// inner one of reading.
fn copy_one(
    from: File,
    size: u64,
    to: &mut File,
    start: u64,
) -> io::Result<io::Result<(u64, [u8; 32])>> {
    let (mut from, mut hash) = (from.take(size), Sha256::new());
    let mut block = vec![0; BLOCK];
    let mut length = 0;
    to.seek(SeekFrom::Start(start))?;
    loop {
        let read = match from.read(&mut block) {
            Ok(0) => return Ok(Ok((length, hash.finalize().into()))),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Ok(Err(error)),
        };
        hash.update(&block[..read]);
        length += read as u64;
        if read == BLOCK && block.iter().all(|&byte| byte == 0) {
            to.seek(SeekFrom::Start(start + length))?;
        } else {
            to.write_all(&block[..read])?;
        }
    }
}
