//! What an admin changes of a user, and which users they look for.

use super::{User, Users, check_email, check_free, get};
use crate::{
    Error, Result,
    actor::{Permission, Role},
    audit::{Action, Entry},
    error::FieldError,
    event::Event,
    id::UserId,
    session,
    store::{
        self,
        change::{Change, View},
    },
};

/// What is to change of a user; the rest stays.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// See [`User::email`].
    pub email: Option<String>,
    /// See [`User::role`].
    pub role: Option<Role>,
    /// Whether it may not sign in.
    pub disabled: Option<bool>,
}

/// Which users are looked for: those that all of this is true of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// Is part of the name or the e-mail address, in whatever case.
    pub text: Option<String>,
    /// Has this role.
    pub role: Option<Role>,
    /// Is disabled, or is not.
    pub disabled: Option<bool>,
    /// Signs in with a code as well, or does not.
    pub two_factor: Option<bool>,
}

impl UserFilter {
    pub(super) fn lowered(self) -> Self {
        Self { text: self.text.map(|text| text.to_ascii_lowercase()), ..self }
    }

    /// Whether a user is looked for; the text is in lower case.
    pub(super) fn fits(&self, user: &User) -> bool {
        let has = |text: &String| {
            [&user.username, &user.email].iter().any(|it| it.to_ascii_lowercase().contains(text))
        };
        self.text.as_ref().is_none_or(has)
            && self.role.is_none_or(|role| role == user.role)
            && self.disabled.is_none_or(|disabled| disabled == user.disabled_at.is_some())
            && self.two_factor.is_none_or(|on| on == user.two_factor_since.is_some())
    }
}

impl Users<'_> {
    /// Changes a user. Another role and a disabled account end the user's sessions.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] for all but admins; [`Error::NotFound`]; [`Error::Invalid`], also for an
    /// address that another user has; [`Error::LastAdmin`]; and the store's.
    pub async fn update(&self, id: UserId, new: UserChange) -> Result<User> {
        self.actor.require(Permission::ManageUsers)?;
        if let Some(Err(reason)) = new.email.as_deref().map(check_email) {
            return Err(Error::Invalid(vec![FieldError::new("email", reason)]));
        }
        let clock = &*self.automa.clock;
        let now = clock.now();
        let entry = |action| Entry::new(clock, self.actor, action);
        let changed = entry(Action::UserChanged(id));
        let role = new.role.map(|role| (role, entry(Action::UserRoleChanged(id, role))));
        let disabled = new.disabled.map(|disabled| {
            let action = if disabled { Action::UserDisabled(id) } else { Action::UserEnabled(id) };
            (disabled.then_some(now), entry(action))
        });
        let change = move |change: &mut Change| {
            let old = get(change, id)?;
            let mut user = old.clone();
            let mut entries = Vec::new();
            if let Some(email) = new.email.as_ref().filter(|email| **email != old.email) {
                user.email.clone_from(email);
                check_free(change, &user)?;
                entries.push(&changed);
            }
            if let Some((role, entry)) = role.as_ref().filter(|(role, _)| *role != old.role) {
                user.role = *role;
                entries.push(entry);
            }
            let other = |at: &Option<_>| at.is_some() != old.disabled_at.is_some();
            if let Some((at, entry)) = disabled.as_ref().filter(|(at, _)| other(at)) {
                user.disabled_at = *at;
                entries.push(entry);
            }
            check_last_admin(change, &old, &user)?;
            store::users::update(change, &old, &user)?;
            if user.role != old.role || user.disabled_at.is_some() {
                session::end_all(change, id, None)?;
            }
            for entry in entries {
                store::audit::add(change, entry)?;
            }
            change.emit(Event::UserChanged(id));
            Ok::<_, Error>(user)
        };
        self.automa.store.write(change).await
    }
}

/// Refuses to leave nobody who could let others in.
fn check_last_admin(view: &impl View, old: &User, new: &User) -> Result<()> {
    let manages = |user: &User| user.role == Role::Admin && user.disabled_at.is_none();
    if manages(old)
        && !manages(new)
        && !store::users::any(view, |it| it.id != old.id && manages(it))?
    {
        return Err(Error::LastAdmin);
    }
    Ok(())
}
