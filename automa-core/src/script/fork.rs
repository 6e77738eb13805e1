//! Forks: copies of scripts that one sees, to change them for oneself.

use super::{Script, Scripts, Status, Version, Visibility, find_version};
use crate::{Result, actor::Permission, id::ScriptId, store::change::Snapshot};

impl Scripts<'_> {
    /// Copies a version of a script, the newest unless told, as the first of a new script: a private
    /// draft of the actor's own, which keeps where it came from.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`](crate::Error::Forbidden), [`Error::NotFound`](crate::Error::NotFound), and
    /// the store's.
    pub async fn fork(&self, id: ScriptId, number: Option<u32>) -> Result<Script> {
        self.actor.require(Permission::WriteScripts)?;
        let (clock, sight) = (&*self.automa.clock, self.sight());
        let find = move |view: &Snapshot| find_version(view, &sight, id, number);
        let (old, version) = self.automa.store.read(find).await?;
        let now = clock.now();
        let script = Script {
            id: ScriptId::generate(clock),
            version: 1,
            language: version.language,
            owner: self.actor.user,
            created_at: now,
            updated_at: now,
            status: Status::Draft,
            visibility: Visibility::Private,
            forked_from: Some((id, version.number)),
            ..old
        };
        let first = Version {
            script: script.id,
            number: 1,
            author: self.actor.name.clone(),
            created_at: now,
            message: String::new(),
            ..version
        };
        self.add(script, first).await
    }
}
