//! Sources in lower case, kept in memory to be searched.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    error::StoreError,
    id::ScriptId,
    script::Script,
    store::{self, change::Snapshot},
};

/// Most bytes that are kept: 64 MiB. What is beyond is read from the store at each search.
const BYTES_MAX: usize = 64 << 20;

/// The sources of the newest versions that were looked at, in lower case. It is filled by searches:
/// a server that nobody searches keeps nothing.
#[derive(Debug, Default)]
pub(crate) struct Library(Mutex<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    /// With the version that each is of: another one is another source.
    texts: HashMap<ScriptId, (u32, Arc<[u8]>)>,
    bytes: usize,
}

/// The library while it is searched. One search at a time: each takes milliseconds.
pub(super) struct Sources<'a>(MutexGuard<'a, Shelf>);

impl Shelf {
    fn forget(&mut self, id: ScriptId) {
        if let Some((_, old)) = self.texts.remove(&id) {
            self.bytes -= old.len();
        }
    }
}

impl Library {
    /// Makes room, as a script was deleted.
    pub(crate) fn forget(&self, id: ScriptId) {
        self.sources().0.forget(id);
    }

    pub(super) fn sources(&self) -> Sources<'_> {
        Sources(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sources<'_> {
    /// The source of a script's newest version, in lower case.
    pub(super) fn of(&mut self, view: &Snapshot, script: &Script) -> Result<Arc<[u8]>, StoreError> {
        let kept = &mut *self.0;
        if let Some((version, text)) = kept.texts.get(&script.id)
            && *version == script.version
        {
            return Ok(Arc::clone(text));
        }
        let version = store::scripts::version(view, script.id, script.version)?;
        let source = version.map(|version| version.source).unwrap_or_default();
        let text: Arc<[u8]> = source.to_lowercase().into_bytes().into();
        kept.forget(script.id);
        if kept.bytes + text.len() <= BYTES_MAX {
            kept.bytes += text.len();
            kept.texts.insert(script.id, (script.version, Arc::clone(&text)));
        }
        Ok(text)
    }
}
