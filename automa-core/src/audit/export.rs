//! The audit log as text, to be kept and looked at elsewhere.
//!
//! **JSON lines**, complete: the first line says what it is, with a checkpoint at the last entry; then come
//! entries, in the order of the chain, each with its stored bytes and its hash, and checkpoints among
//! them. [`verify`] proves such a file without any Automa.
//!
//! **CSV**, for spreadsheets. What a spreadsheet would take for a formula begins with an apostrophe.

use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};

use super::{Broken, Checkpoint, Entry, Hash, PublicKey, Verdict, Walk};
use crate::{hex, store::record::Record};

/// What a file of this kind begins with.
const FORMAT: &str = "automa audit 1";
/// Longest line that is read, in bytes: an entry has some hundreds.
const LONGEST: u64 = 64 * 1024;

/// An entry with what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) entry: Entry,
    /// As it is stored.
    pub(crate) bytes: Vec<u8>,
    pub(crate) hash: Hash,
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    export: String,
    /// At the last entry.
    checkpoint: Option<String>,
    /// What stands for entries that were removed.
    begins_after: Option<String>,
}

/// A line of a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
struct Signed {
    checkpoint: String,
}

/// A line of an entry.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    number: u64,
    id: String,
    at: String,
    actor: String,
    user_id: Option<String>,
    origin: String,
    action: String,
    resource: Option<String>,
    outcome: String,
    address: Option<String>,
    times: u32,
    detail: Option<String>,
    record: String,
    hash: String,
}

/// The first line of an export.
pub(super) fn head(base: Option<&Checkpoint>, last: Option<&Checkpoint>) -> String {
    let text = |it: Option<&Checkpoint>| it.map(ToString::to_string);
    json(&Head { export: FORMAT.to_owned(), checkpoint: text(last), begins_after: text(base) })
}

/// The line of a checkpoint.
pub(super) fn checkpoint(checkpoint: &Checkpoint) -> String {
    json(&Signed { checkpoint: checkpoint.to_string() })
}

/// The line of an entry.
pub(super) fn line(Sealed { entry, bytes, hash }: &Sealed) -> String {
    json(&Line {
        number: entry.number,
        id: entry.id.to_string(),
        at: entry.at.to_string(),
        actor: entry.actor.clone(),
        user_id: entry.user.map(|id| id.to_string()),
        origin: entry.origin.name().to_owned(),
        action: entry.action.name().to_owned(),
        resource: entry.action.resource().map(|it| it.to_string()),
        outcome: entry.outcome.name().to_owned(),
        address: entry.address.clone(),
        times: entry.times,
        detail: entry.detail.clone(),
        record: hex::encode(bytes),
        hash: hash.to_string(),
    })
}

fn json(line: &impl Serialize) -> String {
    let mut text = serde_json::to_string(line).unwrap_or_default();
    text.push('\n');
    text
}

/// The names of a table's columns.
pub(super) const COLUMNS: &str =
    "number,at,actor,user_id,origin,action,resource,outcome,address,times,detail\r\n";

/// An entry as a row of a table (RFC 4180).
pub(super) fn row(entry: &Entry) -> String {
    let text = |text: Option<String>| text.unwrap_or_default();
    let cells = [
        entry.number.to_string(),
        entry.at.to_string(),
        entry.actor.clone(),
        text(entry.user.map(|id| id.to_string())),
        entry.origin.name().to_owned(),
        entry.action.name().to_owned(),
        text(entry.action.resource().map(|it| it.to_string())),
        entry.outcome.name().to_owned(),
        text(entry.address.clone()),
        entry.times.to_string(),
        text(entry.detail.clone()),
    ];
    let mut row = cells.map(|text| cell(&text)).join(",");
    row.push_str("\r\n");
    row
}

/// A cell that is text to every spreadsheet.
fn cell(text: &str) -> String {
    // What a formula begins with, also after what is skipped.
    let is_formula = text.trim_start().starts_with(['=', '+', '-', '@', '|', '%'])
        || text.starts_with(['\t', '\r', '\n']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n', ';']) || is_formula {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// Proves an export: nothing in it was changed, removed, added or moved, and each checkpoint is
/// signed, with one of the keys that are `trusted`, or with any if there are none. `kept` are checkpoints
/// that were kept elsewhere.
///
/// # Errors
///
/// When it cannot be read. What is wrong with it is in the verdict.
pub fn verify(
    export: impl BufRead,
    trusted: &[PublicKey],
    kept: &[Checkpoint],
) -> io::Result<Verdict> {
    let mut lines = Lines { from: export, line: 0, read: String::new() };
    let begun = match lines.next()?.map(|line| begin(line, trusted, kept)) {
        Some(Ok(begun)) => Ok(begun),
        Some(Err(broken)) => Err(broken),
        None => Err(Broken::Line { line: 1, reason: "there is nothing in it".to_owned() }),
    };
    let (mut walk, checkpoints) = match begun {
        Ok(begun) => begun,
        Err(broken) => return Ok(Walk::nowhere().end(Some(broken))),
    };
    let mut checkpoints = checkpoints.into_iter().peekable();
    loop {
        let number = lines.line + 1;
        let Some(line) = lines.next()? else { break };
        let looked = look(line, &mut walk)
            .unwrap_or_else(|reason| Err(Broken::Line { line: number, reason: reason.to_owned() }));
        if let Err(broken) = looked {
            return Ok(walk.end(Some(broken)));
        }
        while let Some(checkpoint) = checkpoints.next_if(|it| it.number < walk.next()) {
            if let Err(broken) = walk.checkpoint(&checkpoint) {
                return Ok(walk.end(Some(broken)));
            }
        }
    }
    let broken = checkpoints.next().and_then(|beyond| walk.checkpoint(&beyond).err());
    Ok(walk.end(broken))
}

/// What the first line says: where the chain begins, and which checkpoints it has to reach.
fn begin<'a>(
    line: &str,
    trusted: &'a [PublicKey],
    kept: &[Checkpoint],
) -> Result<(Walk<'a>, Vec<Checkpoint>), Broken> {
    let wrong = |reason: &str| Broken::Line { line: 1, reason: reason.to_owned() };
    let head: Head = serde_json::from_str(line)
        .ok()
        .filter(|head: &Head| head.export == FORMAT && json(head).trim_end() == line)
        .ok_or_else(|| wrong("this is no complete export of an audit log, in JSON lines"))?;
    let read = |text: Option<String>| {
        text.map(|it| it.parse::<Checkpoint>().map_err(|error| wrong(&error.to_string())))
            .transpose()
    };
    let (base, last) = (read(head.begins_after)?, read(head.checkpoint)?);
    let walk = Walk::begin(trusted, base.as_ref())?;
    let mut checkpoints: Vec<_> = kept.iter().copied().chain(last).collect();
    checkpoints.retain(|it| it.number + 1 >= walk.next());
    checkpoints.sort_by_key(|checkpoint| checkpoint.number);
    if let (None, Some(kept)) = (last, checkpoints.last()) {
        return Err(Broken::Cut { last: 0, signed: kept.number });
    }
    Ok((walk, checkpoints))
}

/// Looks at a line after the first. An inner error is what the line tells, an outer one that it tells
/// nothing.
fn look(text: &str, walk: &mut Walk<'_>) -> Result<Result<(), Broken>, &'static str> {
    if let Ok(Signed { checkpoint }) = serde_json::from_str(text) {
        let found: Checkpoint = checkpoint.parse().map_err(|_| "this is no checkpoint")?;
        if self::checkpoint(&found).trim_end() != text {
            return Err("this line is not as it was written");
        }
        return Ok(walk.checkpoint(&found));
    }
    let line: Line = serde_json::from_str(text).map_err(|_| "this is no entry")?;
    let bytes = hex::decode_any(&line.record).ok_or("this is no entry")?;
    let hash: Hash = line.hash.parse().map_err(|_| "this is no entry")?;
    if let Err(broken) = walk.entry(line.number, &bytes, hash) {
        return Ok(Err(broken));
    }
    let entry = Entry::decode(&bytes).map_err(|_| "a newer version of Automa wrote this")?;
    if self::line(&Sealed { entry, bytes, hash }).trim_end() != text {
        return Ok(Err(Broken::Changed(line.number)));
    }
    Ok(Ok(()))
}

/// Lines, of which none is longer than it can be.
struct Lines<R> {
    from: R,
    line: u64,
    read: String,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> io::Result<Option<&str>> {
        use io::Read as _;
        self.read.clear();
        if self.from.by_ref().take(LONGEST).read_line(&mut self.read)? == 0 {
            return Ok(None);
        }
        self.line += 1;
        Ok(Some(self.read.strip_suffix('\n').unwrap_or(&self.read)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_never_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r=1", "|calc", "%0a"] {
            let cell = cell(text);
            assert!(cell.starts_with("\"'"), "{cell}");
        }
        assert_eq!(cell("ada"), "ada");
        assert_eq!(cell("a, \"b\""), "\"a, \"\"b\"\"\"");
        assert_eq!(cell("a;b"), "\"a;b\"");
    }
}
