//! Disk use: what the data directory holds, and which scripts take most of it.

use std::{fs, io, path::Path};

use nix::sys::statvfs::statvfs;

use crate::{
    Automa, Error, Result,
    actor::{Actor, Permission},
    blocking,
    id::ScriptId,
    store,
};

/// Most scripts that are listed.
const TOP: usize = 20;

/// What the data directory holds, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskUse {
    /// The store's file.
    pub store_bytes: u64,
    /// Logs of executions that have ended.
    pub logs: LogUse,
    /// What is free on the file system of the data directory, for who runs this program.
    pub free_bytes: u64,
    /// How large that file system is.
    pub total_bytes: u64,
    /// The scripts whose logs take most, most first.
    pub scripts: Vec<ScriptUse>,
}

/// What some logs take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogUse {
    /// How many.
    pub files: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

/// What one script takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptUse {
    /// The script; `None` for code that was not saved.
    pub script: Option<ScriptId>,
    /// Its name, also of one that was deleted.
    pub name: Option<String>,
    /// Logs of its executions.
    pub logs: LogUse,
}

/// Disk use as one actor may see it.
#[derive(Debug, Clone, Copy)]
pub struct Disk<'a> {
    automa: &'a Automa,
    actor: &'a Actor,
}

impl<'a> Disk<'a> {
    pub(crate) fn new(automa: &'a Automa, actor: &'a Actor) -> Self {
        Self { automa, actor }
    }

    /// What there is now. Costs the same however many executions there were.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`]; [`Error::NotRunning`] when there is no data directory;
    /// [`Error::Directory`] and the store's.
    pub async fn used(&self) -> Result<DiskUse> {
        self.actor.require(Permission::ReadExecutions)?;
        let directory = self.automa.directory.clone().ok_or(Error::NotRunning)?;
        let (mut scripts, logs) = self.automa.store.read(read).await?;
        scripts.truncate(TOP);
        let (store_bytes, free_bytes, total_bytes) =
            blocking::run(move || sizes(&directory)).await?;
        Ok(DiskUse { store_bytes, logs, free_bytes, total_bytes, scripts })
    }
}

/// What each script takes, most first, and what all take.
fn read(view: &store::change::Snapshot) -> Result<(Vec<ScriptUse>, LogUse)> {
    let mut total = LogUse::default();
    let mut scripts = Vec::new();
    for (script, used) in store::logs::uses(view)? {
        let logs = LogUse { files: used.files, bytes: used.bytes };
        total.files += logs.files;
        total.bytes += logs.bytes;
        let name = script.map(|script| store::scripts::name(view, script)).transpose()?.flatten();
        scripts.push(ScriptUse { script, name, logs });
    }
    scripts.sort_by_key(|it| std::cmp::Reverse(it.logs.bytes));
    Ok((scripts, total))
}

/// The store's file, what is free, and how large the file system is.
fn sizes(directory: &Path) -> Result<(u64, u64, u64)> {
    let failed = |source: io::Error| Error::Directory {
        doing: "looking at",
        path: directory.into(),
        source,
    };
    let store = fs::metadata(directory.join("automa.redb")).map_err(failed)?.len();
    let system = statvfs(directory).map_err(|error| failed(error.into()))?;
    let block = system.fragment_size();
    Ok((store, system.blocks_available() * block, system.blocks() * block))
}
