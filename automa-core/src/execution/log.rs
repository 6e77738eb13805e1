//! The log of an execution: what a script wrote, kept in one file and read line by line.
//!
//! A [`LogWriter`] takes [`Chunk`](automa_sandbox::Chunk)s as they come from the sandbox, masks
//! secrets, and appends them to the execution's file. A [`LogReader`] gives windows of lines and
//! ranges of raw bytes, of a finished log as of one that still grows. A [`LogTail`] waits for new
//! lines. What a crash left behind is made whole by [`recover()`]; what is finished is made smaller by
//! [`pack()`].
//!
//! Files are read and written synchronously: async callers use `spawn_blocking`. Only [`LogTail`]
//! waits asynchronously.
//!
//! # Lines
//!
//! Standard output and standard error are assembled each on its own, so that a line of one is
//! never torn by a chunk of the other. A line is numbered, from 1, when it is complete:
//!
//! - by a newline, which is not part of its text ([`Ending::Newline`]);
//! - by growing longer than [`LINE_MAX`]: then it goes on in the next line of its stream
//!   ([`Ending::Split`]). A UTF-8 character is not cut, for which a line may be 3 bytes longer;
//! - by the end of the log ([`Ending::End`]).
//!
//! Its time is when its last byte was read. Its text is UTF-8 for display: bytes that are none are
//! shown as U+FFFD. Everything else stays as it was written, escape sequences, NUL and carriage
//! returns included: **this is hostile text, and who shows it escapes it**. The exact bytes are had
//! from [`LogReader::raw`].
//!
//! # What is kept
//!
//! Everything, unless [`LogOptions::keep`] says otherwise: then a log out of which more was written
//! keeps its beginning and its end, and [`Cut`] says which lines are missing. Lines keep their numbers
//! and bytes their places. Whoever follows and has fallen behind what was cut goes on after it.
//!
//! # What is promised
//!
//! - A viewer sees lines once [`LogWriter::flush`] has given them to the kernel: they survive this
//!   process. [`LogWriter::sync`] makes them survive the machine; it is due at most once a second
//!   ([`LogWriter::sync_due`]), and [`LogWriter::close`] does it before an execution is recorded as
//!   finished. What was appended but not flushed, or is held back because it may yet become a
//!   secret, is lost in a crash.
//! - An error while writing never damages what was written before.
//! - No secret known to the [`Mask`] reaches the file.
//!
//! ```
//! use std::time::Duration;
//!
//! use automa_core::execution::log::{LogOptions, LogReader, LogWriter, Mask};
//! use automa_sandbox::{Chunk, Stream};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("execution.log");
//! let options = LogOptions { mask: Mask::new(["hunter22"])?, ..LogOptions::default() };
//! let mut log = LogWriter::create(&path, &options)?;
//! for (stream, bytes) in [
//!     (Stream::Stdout, "login: hun"),
//!     (Stream::Stderr, "ready\n"),
//!     (Stream::Stdout, "ter22\n"),
//! ] {
//!     log.append(&Chunk { stream, at: Duration::from_millis(5), bytes: bytes.into() })?;
//! }
//! let summary = log.close()?;
//! assert_eq!(summary.lines, 2);
//!
//! let window = LogReader::open(&path)?.lines(1, 100)?;
//! let texts: Vec<_> = window.lines.iter().map(|line| line.text.as_str()).collect();
//! assert_eq!(texts, ["ready", "login: ***"]);
//! # Ok(())
//! # }
//! ```

use std::{
    io,
    path::{Path, PathBuf},
};

use automa_sandbox::Stream;
use serde::Serialize;

mod any_case;
mod body;
mod find;
mod format;
mod index;
mod keep;
mod line;
mod mask;
mod pack;
mod reader;
mod recover;
mod scan;
mod search;
mod source;
mod tail;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use self::pack::PACK_MIN;
pub use self::{
    find::{Count, Direction, Found},
    keep::Keep,
    line::LINE_MAX,
    mask::{Mask, MaskError, PATTERNS_MAX, SECRET_MIN},
    pack::pack,
    reader::{LogReader, RAW_MAX, WINDOW_BYTES, WINDOW_LINES},
    recover::{Recovery, recover},
    search::{SEARCH_MAX, Search, SearchError},
    tail::{LogHandle, LogTail},
    writer::{LogOptions, LogWriter},
};

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its number, from 1, in the order in which lines were completed.
    pub n: u64,
    /// Where it was written to.
    pub stream: Stream,
    /// When its last byte was read, in milliseconds since the start of the execution.
    pub t_ms: u64,
    /// The text without its newline, as UTF-8. Hostile: it may hold escape sequences.
    pub text: String,
    /// What completed it.
    pub ending: Ending,
}

/// What completed a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// A newline.
    Newline,
    /// It grew longer than [`LINE_MAX`], and goes on in the next line of its stream.
    Split,
    /// The log ended.
    End,
}

/// Some lines in a row, and where they stand in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Window {
    /// The lines, at most [`WINDOW_LINES`] and [`WINDOW_BYTES`] of text.
    pub lines: Vec<Line>,
    /// The number of the line to ask for next.
    pub next: u64,
    /// How many lines the log has so far.
    pub total: u64,
    /// Whether the log is finished, so that `total` is final.
    pub complete: bool,
    /// Lines that were cut out of the log: no window has them.
    pub cut: Option<Cut>,
}

/// Lines that were cut out of a log, as more was written than is [kept](Keep). Numbers of lines and
/// places of bytes are those in the whole output. A line whose end was cut was cut, though its
/// beginning may still be among the raw bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// The number of the first.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
    /// The first raw byte that is missing.
    pub from: u64,
    /// The first raw byte behind them that is there.
    pub to: u64,
}

impl Cut {
    /// How many lines.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.last + 1 - self.first
    }

    /// How many raw bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.to - self.from
    }
}

/// What a finished log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// How many lines, those that were cut included.
    pub lines: u64,
    /// How many bytes of standard output, after masking, those that were cut included.
    pub stdout_bytes: u64,
    /// How many bytes of standard error, likewise.
    pub stderr_bytes: u64,
    /// How large the file is, in bytes.
    pub file_bytes: u64,
    /// Whether output is missing: its limit was reached, lines were cut, or the log is what a crash
    /// left.
    pub truncated: bool,
    /// Lines that were cut.
    pub cut: Option<Cut>,
}

impl Summary {
    /// How many bytes of output, after masking: as many as [`LogReader::raw`] gives, but for those that
    /// were cut.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.stdout_bytes + self.stderr_bytes
    }
}

/// A log could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The disk or the quota is full, or the file as large as it may be. Nothing that was written
    /// before is harmed, and the same call may be tried again.
    #[error("no space left for the log {}", path.display())]
    NoSpace {
        /// The log.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The disk failed to keep what was written. What was not synced before may be lost, and the
    /// kernel does not say twice: the writer refuses everything from then on.
    #[error("the log {} could not be made durable", path.display())]
    Unsynced {
        /// The log.
        path: PathBuf,
    },
    /// Another failure of the file.
    #[error("cannot {action} the log {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The log.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file is no log.
    #[error("{} is not the log of an execution", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
    },
    /// The log was written by a later version of this crate.
    #[error("the log {} has format {version}, which this version cannot read", path.display())]
    Version {
        /// The log.
        path: PathBuf,
        /// The version of its format.
        version: u8,
    },
    /// Bytes are not what was written. The rest of the log can still be read.
    #[error("the log {} is damaged at byte {offset}", path.display())]
    Damaged {
        /// The log.
        path: PathBuf,
        /// Where in the file the damaged frame begins.
        offset: u64,
    },
}

impl LogError {
    /// An error of the file at `path` while trying to `action` it.
    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::NoSpace { path, source },
            _ => Self::Io { action, path, source },
        }
    }
}

/// The stream's place in pairs.
fn slot(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

/// A size or position in memory as one in a file.
fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
