//! Reviews of versions.

use automa_core::{
    Automa,
    id::ScriptId,
    script::{self, Content},
};
use jiff::Timestamp;
use poem::web::Data;
use poem_openapi::{Object, OpenApi, param::Path, payload::Json};

use crate::{
    api::{Tag, body::Body, wire::Text},
    auth::Auth,
    problem::Problem,
};

/// Whether versions have to be approved.
#[derive(Object)]
struct ReviewRules {
    /// Whether a version runs as active only once somebody else than its author has approved it.
    required: bool,
}

/// A word that a version may run as active.
#[derive(Object)]
struct Approve {
    /// `content_sha256` of the version that was read.
    content_sha256: Text<Content>,
}

/// Somebody's word that a version may run as active.
#[derive(Object)]
struct Approval {
    content_sha256: Text<Content>,
    /// Who gave it.
    by: String,
    at: Text<Timestamp>,
}

/// The newest version of an active script, which waits to be approved.
#[derive(Object)]
struct Review {
    script_id: Text<ScriptId>,
    name: String,
    /// The number of the version.
    version: u32,
    content_sha256: Text<Content>,
    /// Who wrote it, and cannot approve it.
    author: String,
    /// The newest version that was approved, which runs meanwhile.
    approved_version: Option<u32>,
}

/// Versions that wait to be approved, newest script first.
#[derive(Object)]
struct Reviews {
    items: Vec<Review>,
}

pub(in crate::api) struct ReviewsApi;

#[OpenApi(tag = "Tag::Scripts")]
impl ReviewsApi {
    /// Whether versions have to be approved.
    #[oai(path = "/settings/reviews", method = "get", operation_id = "getReviewRules")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn rules(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
    ) -> Result<Json<ReviewRules>, Problem> {
        let rules = automa.scripts(auth.actor()).review_rules()?;
        Ok(Json(ReviewRules { required: rules.required }))
    }

    /// Say whether versions have to be approved.
    ///
    /// From then on an active script runs its newest approved version, or is refused.
    #[oai(path = "/settings/reviews", method = "put", operation_id = "setReviewRules")]
    async fn set_rules(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        Body(new): Body<ReviewRules>,
    ) -> Result<Json<ReviewRules>, Problem> {
        let rules = script::ReviewRules { required: new.required };
        let rules = automa.scripts(auth.actor()).set_review_rules(rules).await?;
        Ok(Json(ReviewRules { required: rules.required }))
    }

    /// List the versions that wait to be approved.
    #[oai(path = "/scripts/reviews", method = "get", operation_id = "listReviews")]
    async fn list(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
    ) -> Result<Json<Reviews>, Problem> {
        let reviews = automa.scripts(auth.actor()).reviews().await?;
        Ok(Json(Reviews { items: reviews.into_iter().map(Review::from).collect() }))
    }

    /// Approve a version of somebody else.
    #[oai(
        path = "/scripts/:id/versions/:number/approve",
        method = "post",
        operation_id = "approveVersion"
    )]
    async fn approve(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ScriptId>>,
        number: Path<u32>,
        Body(approve): Body<Approve>,
    ) -> Result<Json<Approval>, Problem> {
        let content = approve.content_sha256.0;
        let given = automa.scripts(auth.actor()).approve(id.0.0, number.0, content).await?;
        Ok(Json(Approval { content_sha256: Text(given.content), by: given.by, at: Text(given.at) }))
    }
}

impl From<script::Review> for Review {
    fn from(review: script::Review) -> Self {
        Self {
            script_id: Text(review.script.id),
            name: review.script.name,
            version: review.script.version,
            content_sha256: Text(review.content),
            author: review.author,
            approved_version: review.approved,
        }
    }
}
