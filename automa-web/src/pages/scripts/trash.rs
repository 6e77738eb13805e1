//! `/scripts/deleted`: scripts that were deleted, to be restored or removed for good.

use askama::Template;
use automa_core::{
    Automa,
    actor::Permission,
    script::{Deleted, TRASH_DAYS},
};
use poem::{
    Request, Response, handler,
    web::{Data, Path},
};

use crate::{
    auth::Caller,
    filters,
    htmx::{render, see_other},
    pages::{
        self,
        frame::{Frame, Place},
    },
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "scripts/deleted.html")]
struct TrashPage {
    frame: Frame,
    may_purge: bool,
    rows: Vec<Deleted>,
}

impl TrashPage {
    /// The day on which one is removed for good.
    #[expect(clippy::unused_self, reason = "templates reach it through the page")]
    fn purged(&self, deleted: &Deleted) -> String {
        deleted.purged_at().strftime("%-d %b %Y").to_string()
    }
}

/// Shows what was deleted.
#[handler]
pub(in crate::pages) async fn show(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
) -> Result<Response, Problem> {
    let rows = automa.scripts(&caller.actor).deleted().await?;
    let frame = pages::frame(request, &caller, "Deleted scripts", Place::Scripts);
    let may_purge = caller.actor.require(Permission::ManageSettings).is_ok();
    render(&TrashPage { frame, may_purge, rows })
}

/// Deletes a script.
#[handler]
pub(in crate::pages) async fn delete(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    automa.scripts(&caller.actor).delete(pages::id(&id)?).await?;
    Ok(see_other("/scripts/deleted"))
}

/// Undoes a deletion.
#[handler]
pub(in crate::pages) async fn restore(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let script = automa.scripts(&caller.actor).restore(pages::id(&id)?).await?;
    Ok(see_other(&format!("/scripts/{}", script.id)))
}

/// Removes a deleted script for good.
#[handler]
pub(in crate::pages) async fn purge(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    automa.scripts(&caller.actor).purge(pages::id(&id)?).await?;
    Ok(see_other("/scripts/deleted"))
}

#[cfg(test)]
pub(in crate::pages) mod tests {
    use super::*;
    use crate::pages::samples;

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let page = |may_purge, rows| {
            let frame = samples::frame("Deleted scripts", Place::Scripts);
            TrashPage { frame, may_purge, rows }.render().unwrap()
        };
        let rows = || {
            let scripts = samples::scripts().into_iter();
            let by = |number: usize| if number > 0 { samples::HOSTILE } else { "" };
            let row = |(number, script)| Deleted {
                script,
                at: samples::now(),
                by: by(number).to_owned(),
            };
            scripts.enumerate().map(row).collect::<Vec<_>>()
        };
        vec![
            ("scripts-deleted", page(true, rows())),
            ("scripts-deleted-operator", page(false, rows())),
            ("scripts-deleted-none", page(true, vec![])),
        ]
    }
}
