//! Where the files go that a script has left for its caller.

use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::PathBuf,
};

use automa_sandbox::{Artifacts, Bytes, CollectLimits, Skipped};

/// A directory that is to be made, or is empty.
pub(super) struct OutDirectory(PathBuf);

impl OutDirectory {
    /// Looks at the directory before anything is run, so that no work is lost for a mistake.
    pub(super) fn check(path: PathBuf) -> Result<Self, String> {
        let problem = |error: io::Error| format!("--out {}: {error}", path.display());
        let is_empty = match fs::read_dir(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir(&path).map(|()| true)
            }
            entries => entries.map(|mut entries| entries.next().is_none()),
        };
        if !is_empty.map_err(problem)? {
            return Err(format!("--out {}: the directory is not empty", path.display()));
        }
        Ok(Self(path))
    }

    /// Copies the files, and tells of each that is left out.
    pub(super) fn fill(&self, artifacts: &Artifacts) -> Result<(), String> {
        let copied = artifacts.copy_to(&self.0);
        let unread = copied.map_err(|error| format!("--out {}: {error}", self.0.display()))?;
        let mut stderr = io::stderr().lock();
        let mut tell = |text: String| {
            // Nobody is left to be told when stderr is closed.
            let _ = writeln!(stderr, "automa: {text}");
        };
        for Skipped { path, reason } in artifacts.skipped.iter().chain(&unread) {
            tell(format!("{path} is not copied: {reason}"));
        }
        match artifacts.skipped_count - artifacts.skipped.len() as u64 {
            0 => {}
            more => tell(format!("{more} more files are not copied")),
        }
        if !artifacts.complete {
            tell("not everything that the script left was looked at".to_owned());
        }
        Ok(())
    }
}

/// What is copied: all that the temporary file system can hold, in a bearable number of files.
pub(super) fn limits(tmp: Bytes) -> CollectLimits {
    CollectLimits { files: 10_000, bytes: tmp, listed: 1000, ..CollectLimits::default() }
}
