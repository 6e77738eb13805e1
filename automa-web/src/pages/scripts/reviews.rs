//! `/scripts/reviews`: versions that wait to be approved, and whether they have to.

use askama::Template;
use automa_core::{
    Automa,
    actor::Permission,
    script::{Content, InvalidContent, Review, ReviewRules},
};
use poem::{
    Request, Response, handler,
    web::{Data, Form, Path},
};

use crate::{
    auth::Caller,
    filters,
    htmx::{render, see_other},
    pages::{
        self,
        form::Typed,
        frame::{Frame, Place},
    },
    problem::Problem,
};

#[derive(Debug, Template)]
#[template(path = "scripts/reviews.html")]
struct ReviewsPage {
    frame: Frame,
    may_set: bool,
    rules: ReviewRules,
    rows: Vec<Review>,
}

/// Shows what waits.
#[handler]
pub(in crate::pages) async fn show(
    request: &Request,
    caller: Caller,
    Data(automa): Data<&Automa>,
) -> Result<Response, Problem> {
    let scripts = automa.scripts(&caller.actor);
    let frame = pages::frame(request, &caller, "Reviews", Place::Scripts);
    let may_set = caller.actor.require(Permission::ManageSettings).is_ok();
    let (rules, rows) = (scripts.review_rules()?, scripts.reviews().await?);
    render(&ReviewsPage { frame, may_set, rules, rows })
}

/// Says whether versions have to be approved.
#[handler]
pub(in crate::pages) async fn save(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let rules = ReviewRules { required: typed.get("required") == "yes" };
    automa.scripts(&caller.actor).set_review_rules(rules).await?;
    Ok(see_other("/scripts/reviews"))
}

/// Approves a version as it was shown.
#[handler]
pub(in crate::pages) async fn approve(
    caller: Caller,
    Data(automa): Data<&Automa>,
    Path((id, number)): Path<(String, String)>,
    Form(typed): Form<Typed>,
) -> Result<Response, Problem> {
    let content: Content = typed
        .get("content")
        .parse()
        .map_err(|error: InvalidContent| Problem::invalid_field("content", error.to_string()))?;
    let (id, number) = (pages::id(&id)?, pages::id(&number)?);
    automa.scripts(&caller.actor).approve(id, number, content).await?;
    Ok(see_other(&format!("/scripts/{id}")))
}

#[cfg(test)]
pub(in crate::pages) mod tests {
    use super::*;
    use crate::pages::samples;

    pub(in crate::pages) fn review(approved: Option<u32>) -> Review {
        let script = samples::scripts().remove(2);
        let author = samples::HOSTILE.to_owned();
        Review { script, content: Content::default(), author, approved }
    }

    pub(in crate::pages) fn samples() -> Vec<(&'static str, String)> {
        let page = |may_set, required, rows| {
            let frame = samples::frame("Reviews", Place::Scripts);
            ReviewsPage { frame, may_set, rules: ReviewRules { required }, rows }.render().unwrap()
        };
        vec![
            ("reviews", page(true, true, vec![review(None), review(Some(3))])),
            ("reviews-none", page(false, true, vec![])),
            ("reviews-off", page(true, false, vec![])),
        ]
    }
}
