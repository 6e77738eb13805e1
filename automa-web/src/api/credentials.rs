//! Credentials: secrets that scripts use and nobody sees.

mod shape;

use automa_core::{
    Automa, Error,
    credential::{Filter, Kind},
    id::CredentialId,
    page::{Cursor, Page},
};
use poem::{http::StatusCode, web::Data};
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
};

use self::shape::{
    Credential, CredentialPage, CredentialTypes, CredentialUpdate, Decrypt, Decrypted, Expiry,
    NewCredential, Rotation, Tested, UsePage, Versions,
};
use super::{
    Tag,
    body::Body,
    scripts::{page, precondition_failed, read_tag, tag},
    wire::{OneOf, Text},
};
use crate::{auth::Auth, problem::Problem};

#[derive(ApiResponse)]
enum Created {
    /// The credential was created
    #[oai(status = 201)]
    Created(
        Json<Credential>,
        /// Where it is.
        #[oai(header = "Location")]
        String,
        /// Its revision, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Found {
    /// The credential
    #[oai(status = 200)]
    Credential(
        Json<Credential>,
        /// Its revision, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Done {
    /// It was done
    #[oai(status = 204)]
    Done,
}

#[derive(ApiResponse)]
enum Begun {
    /// The rotation goes on in the background
    #[oai(status = 202)]
    Begun(Json<Rotation>),
}

pub(super) struct CredentialsApi;

#[OpenApi(tag = "Tag::Credentials", prefix_path = "/credentials")]
impl CredentialsApi {
    /// List credentials, newest first.
    ///
    /// One's own; for admins, everybody's. No secret is in it.
    #[oai(path = "/", method = "get", operation_id = "listCredentials")]
    #[expect(clippy::too_many_arguments, reason = "each is one part of the request")]
    async fn list(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        /// Items on a page: 1 to 200, 50 unless told.
        limit: Query<Option<u64>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<Text<Cursor>>>,
        /// Only those of this type.
        #[oai(name = "type")]
        kind: Query<Option<OneOf<Kind>>>,
        /// Only those with this tag.
        tag: Query<Option<String>>,
        /// Only those that have expired, will within two weeks, or neither.
        expiry: Query<Option<OneOf<Expiry>>>,
        /// Only those whose name contains this.
        name: Query<Option<String>>,
    ) -> Result<Json<CredentialPage>, Problem> {
        let filter = Filter {
            kind: kind.0.map(|it| it.0),
            tag: tag.0,
            expiry: expiry.0.map(|it| it.0.into()),
            name: name.0.unwrap_or_default(),
        };
        let page = page(limit.0, cursor.0)?;
        let found = automa.credentials(auth.actor()).list(filter, page).await?;
        let now = automa.now();
        let Page { items, next_cursor } = found.map(|it| Credential::new(it, now));
        Ok(Json(CredentialPage { items, next_cursor: next_cursor.map(Text) }))
    }

    /// Create a credential.
    ///
    /// It belongs to who creates it. Its secret is sealed and never told again, unless it is saved as
    /// revealable.
    #[oai(path = "/", method = "post", operation_id = "createCredential")]
    async fn create(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        Body(new): Body<NewCredential>,
    ) -> Result<Created, Problem> {
        let now = automa.credentials(auth.actor()).create(new.read()?).await?;
        let (id, tag) = (now.credential.id, tag(now.credential.revision));
        let credential = Json(Credential::new(now, automa.now()));
        Ok(Created::Created(credential, format!("/api/v1/credentials/{id}"), tag))
    }

    /// List the types of credentials, and what each is made of.
    #[oai(path = "/types", method = "get", operation_id = "listCredentialTypes")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn types(&self, _auth: Auth) -> Result<Json<CredentialTypes>, Problem> {
        Ok(Json(CredentialTypes::all()))
    }

    /// See how far a rotation of the master key is.
    #[oai(path = "/rotation", method = "get", operation_id = "getRotation")]
    async fn rotation(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
    ) -> Result<Json<Rotation>, Problem> {
        Ok(Json(automa.credentials(auth.actor()).rotation().await?.into()))
    }

    /// Put a new master key in place of the current one.
    ///
    /// What is sealed is wrapped by the new key in the background, while everything goes on. Where the
    /// key is given from outside it is replaced by a start with another (409).
    #[oai(path = "/rotation", method = "post", operation_id = "rotateMasterKey")]
    async fn rotate(&self, auth: Auth, Data(automa): Data<&Automa>) -> Result<Begun, Problem> {
        Ok(Begun::Begun(Json(automa.credentials(auth.actor()).rotate().await?.into())))
    }

    /// Get a credential, without its secret.
    #[oai(path = "/:id", method = "get", operation_id = "getCredential")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn get(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<CredentialId>>,
    ) -> Result<Found, Problem> {
        let now = automa.credentials(auth.actor()).get(id.0.0)?;
        let tag = tag(now.credential.revision);
        Ok(Found::Credential(Json(Credential::new(now, automa.now())), tag))
    }

    /// Change a credential.
    ///
    /// All fields are replaced but `data`, without which it keeps its secret. Secret fields that are not
    /// in `data` stay as they are; `null` removes one. What is new makes a new version. With `If-Match`
    /// (412) or `revision` (409) nothing is changed if someone else did meanwhile.
    #[oai(path = "/:id", method = "put", operation_id = "changeCredential")]
    async fn change(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<CredentialId>>,
        /// The `ETag` that was read.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        Body(update): Body<CredentialUpdate>,
    ) -> Result<Found, Problem> {
        let (id, credentials) = (id.0.0, automa.credentials(auth.actor()));
        let before = credentials.get(id)?.credential;
        let matched = if_match.0.filter(|tag| tag.trim() != "*");
        let read = match (&matched, update.revision) {
            (Some(tag), _) => {
                read_tag(tag).ok_or_else(|| precondition_failed("credential", &id))?
            }
            (None, Some(revision)) => revision,
            (None, None) => before.revision,
        };
        let changed = credentials.update(id, read, update.read(before.kind)?).await;
        let now = changed.map_err(Problem::from).map_err(|problem| {
            match problem.details().current_version {
                Some(_) if matched.is_some() => {
                    problem.with_status(StatusCode::PRECONDITION_FAILED)
                }
                _ => problem,
            }
        })?;
        let tag = tag(now.credential.revision);
        Ok(Found::Credential(Json(Credential::new(now, automa.now())), tag))
    }

    /// Delete a credential with all of its versions.
    #[oai(path = "/:id", method = "delete", operation_id = "deleteCredential")]
    async fn delete(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<CredentialId>>,
    ) -> Result<Done, Problem> {
        automa.credentials(auth.actor()).delete(id.0.0).await?;
        Ok(Done::Done)
    }

    /// List the versions of a credential, newest first.
    #[oai(path = "/:id/versions", method = "get", operation_id = "listCredentialVersions")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn versions(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<CredentialId>>,
    ) -> Result<Json<Versions>, Problem> {
        Ok(Json(automa.credentials(auth.actor()).versions(id.0.0)?.into()))
    }

    /// Destroy the secret of an old version for good.
    #[oai(
        path = "/:id/versions/:number",
        method = "delete",
        operation_id = "destroyCredentialVersion"
    )]
    async fn destroy(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<CredentialId>>,
        number: Path<u32>,
    ) -> Result<Done, Problem> {
        automa.credentials(auth.actor()).destroy_version(id.0.0, number.0).await?;
        Ok(Done::Done)
    }

    /// See a secret.
    ///
    /// For its owner, with the password once more, if it was saved as revealable: five times a minute.
    /// It is on record, and so is a refusal.
    #[oai(path = "/:id/decrypt", method = "post", operation_id = "decryptCredential")]
    async fn decrypt(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<CredentialId>>,
        Body(asked): Body<Decrypt>,
    ) -> Result<Json<Decrypted>, Problem> {
        let opened = automa.credentials(auth.actor()).reveal(id.0.0, &asked.password()).await;
        let opened = opened.map_err(|error| match error {
            // Who asks is signed in, and stays so.
            Error::WrongPassword => Problem::from(error).with_status(StatusCode::FORBIDDEN),
            error => error.into(),
        })?;
        Ok(Json(opened.into()))
    }

    /// Test whether a credential could be used now.
    #[oai(path = "/:id/test", method = "post", operation_id = "testCredential")]
    async fn test(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<CredentialId>>,
    ) -> Result<Json<Tested>, Problem> {
        Ok(Json(automa.credentials(auth.actor()).test(id.0.0).await?.into()))
    }

    /// List what a credential was used for and what became of it, newest first.
    ///
    /// The newest 10,000; also of one that was deleted, for admins.
    #[oai(path = "/:id/uses", method = "get", operation_id = "listCredentialUses")]
    async fn uses(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<CredentialId>>,
        /// Items on a page: 1 to 200, 50 unless told.
        limit: Query<Option<u64>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<Text<Cursor>>>,
    ) -> Result<Json<UsePage>, Problem> {
        let page = page(limit.0, cursor.0)?;
        Ok(Json(automa.credentials(auth.actor()).uses(id.0.0, page).await?.into()))
    }
}
