//! Testing a credential: whether it could be used now.

use super::{
    Credentials, Use, What, find_seen,
    kind::Parts,
    open::{open, unseal},
    reach::{destination, reach},
};
use crate::{
    Error, Result,
    actor::Permission,
    audit::{Action, Entry},
    error::FieldError,
    id::CredentialId,
    store::{self, change::Change},
};

/// What a test found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// Whether the credential could be used.
    pub passed: bool,
    /// What was found, in a sentence that tells nothing of the secret.
    pub detail: String,
}

impl Credentials<'_> {
    /// Tells whether a credential could be given to a script now: it has not expired, it can be opened,
    /// and it has the form of its type. If it says whom it is for (a database, an address), it is also tried
    /// to connect there, from inside a sandbox that may reach nothing else; nothing of it is sent. It is on
    /// record.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`], and the store's.
    pub async fn test(&self, id: CredentialId) -> Result<Tested> {
        self.actor.require(Permission::WriteCredentials)?;
        let clock = &*self.automa.clock;
        let (mut tested, place) = self.automa.store.look(|view| {
            let credential = find_seen(view, self.actor, id)?;
            let vault = &self.automa.vault;
            let opened = open(view, vault, id, clock.now());
            match opened.and_then(|_| unseal(view, vault, &credential)) {
                Ok(parts) => {
                    let place = destination(credential.kind, &parts.shown);
                    Ok((Tested::form(credential.kind.check(parts.into_data())), place))
                }
                Err(error @ (Error::CredentialExpired { .. } | Error::Vault(_))) => {
                    Ok((Tested { passed: false, detail: error.to_string() }, None))
                }
                Err(error) => Err(error),
            }
        })?;
        if let (true, Some((host, port)), Ok(runner)) = (tested.passed, place, self.automa.runner())
        {
            let (reached, told) = reach(runner, &host, port).await?;
            tested = Tested { passed: reached, detail: format!("{}, {told}", tested.detail) };
        }
        let it = Use::new(clock, self.actor, What::Tested { passed: tested.passed });
        let entry = Entry::new(clock, self.actor, Action::CredentialTested(id));
        let change = move |change: &mut Change| {
            store::credentials::used(change, id, &it)?;
            store::audit::add(change, &entry)
        };
        self.automa.store.write(change).await?;
        Ok(tested)
    }
}

impl Tested {
    fn form(checked: Result<Parts, Vec<FieldError>>) -> Self {
        match checked {
            Ok(_) => {
                let detail = "it can be opened, and has the form of its type".to_owned();
                Self { passed: true, detail }
            }
            Err(errors) => {
                let faults: Vec<_> = errors.iter().map(ToString::to_string).collect();
                Self { passed: false, detail: faults.join("; ") }
            }
        }
    }
}
