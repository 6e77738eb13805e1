//! `/scripts/{id}/credentials` and `/jobs/{id}/credentials`: what scripts and jobs are given.

use automa_core::{
    Automa,
    credential::{BindingNow, Delivery, Holder, NewBinding},
    execution::GivenCredential,
    id::{BindingId, CredentialId, ExecutionId, JobId, ScriptId},
};
use jiff::Timestamp;
use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi, param::Path, payload::Json};

use super::{
    Tag,
    body::Body,
    wire::{OneOf, Text},
};
use crate::{auth::Auth, problem::Problem};

/// A credential that is to be given to a script or a job.
#[derive(Debug, Object)]
struct Bind {
    credential_id: Text<CredentialId>,
    /// The variable that has the whole credential, its path or its descriptor: upper-case letters,
    /// digits and `_`. Each field has one of its own besides, such as `NAME_PASSWORD`.
    variable_name: String,
    /// `env`: as the variable's value, which everything that the script starts inherits. `file`: in a
    /// file that the script alone can read, in memory. `fd`: in an open descriptor.
    delivery: OneOf<Delivery>,
}

/// A credential that a script or a job is given.
#[derive(Debug, Object)]
struct Binding {
    id: Text<BindingId>,
    credential_id: Text<CredentialId>,
    credential_name: String,
    variable_name: String,
    delivery: OneOf<Delivery>,
    /// The script, if it is bound to one.
    script_id: Option<Text<ScriptId>>,
    /// The job, if it is bound to one.
    job_id: Option<Text<JobId>>,
    /// The name of the script or job.
    holder_name: String,
    /// The script's versions up to this one are given it, whoever wrote them; later ones only if who
    /// bound it wrote them.
    confirmed_version: u32,
    /// The script's newest version, if that is not given it until it is bound again.
    unconfirmed_version: Option<u32>,
    bound_by: String,
    bound_at: Text<Timestamp>,
}

/// Bindings.
#[derive(Debug, Object)]
struct Bindings {
    items: Vec<Binding>,
}

/// A credential that an execution was given.
#[derive(Debug, Object)]
struct Given {
    credential_id: Text<CredentialId>,
    /// Its name at that time.
    credential_name: String,
    /// Which version of its secret.
    version: u32,
    variable_name: String,
    delivery: OneOf<Delivery>,
}

/// What an execution was given.
#[derive(Debug, Object)]
struct AllGiven {
    items: Vec<Given>,
}

#[derive(ApiResponse)]
enum Bound {
    /// It is given from now on.
    #[oai(status = 201)]
    Created(Json<Binding>),
}

#[derive(ApiResponse)]
enum Unbound {
    /// It is not given any more.
    #[oai(status = 204)]
    Done,
}

pub(super) struct BindingsApi;

#[OpenApi(tag = "Tag::Credentials")]
impl BindingsApi {
    /// List the credentials that a script is given.
    #[oai(
        path = "/scripts/:id/credentials",
        method = "get",
        operation_id = "listScriptCredentials"
    )]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn of_script(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ScriptId>>,
    ) -> Result<Json<Bindings>, Problem> {
        list(automa, &auth, Holder::Script(id.0.0))
    }

    /// Give a script a credential.
    ///
    /// Everybody who may run the script uses it from then on; nobody sees it. What was given under the
    /// same variable is replaced. Versions that others write later are not given it until it is bound
    /// again.
    #[oai(
        path = "/scripts/:id/credentials",
        method = "post",
        operation_id = "bindScriptCredential"
    )]
    async fn bind_to_script(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ScriptId>>,
        Body(new): Body<Bind>,
    ) -> Result<Bound, Problem> {
        bind(automa, &auth, Holder::Script(id.0.0), new).await
    }

    /// Take a credential from a script.
    #[oai(
        path = "/scripts/:id/credentials/:binding",
        method = "delete",
        operation_id = "unbindScriptCredential"
    )]
    async fn unbind_from_script(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ScriptId>>,
        binding: Path<Text<BindingId>>,
    ) -> Result<Unbound, Problem> {
        let holder = Holder::Script(id.0.0);
        automa.credentials(auth.actor()).unbind(holder, binding.0.0).await?;
        Ok(Unbound::Done)
    }

    /// List the credentials that a job is given, besides those of its script.
    #[oai(path = "/jobs/:id/credentials", method = "get", operation_id = "listJobCredentials")]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn of_job(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<JobId>>,
    ) -> Result<Json<Bindings>, Problem> {
        list(automa, &auth, Holder::Job(id.0.0))
    }

    /// Give a job a credential.
    ///
    /// What the job is given under a variable goes before what its script is given under the same.
    #[oai(path = "/jobs/:id/credentials", method = "post", operation_id = "bindJobCredential")]
    async fn bind_to_job(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<JobId>>,
        Body(new): Body<Bind>,
    ) -> Result<Bound, Problem> {
        bind(automa, &auth, Holder::Job(id.0.0), new).await
    }

    /// Take a credential from a job.
    #[oai(
        path = "/jobs/:id/credentials/:binding",
        method = "delete",
        operation_id = "unbindJobCredential"
    )]
    async fn unbind_from_job(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<JobId>>,
        binding: Path<Text<BindingId>>,
    ) -> Result<Unbound, Problem> {
        let holder = Holder::Job(id.0.0);
        automa.credentials(auth.actor()).unbind(holder, binding.0.0).await?;
        Ok(Unbound::Done)
    }

    /// List what a credential is given to.
    #[oai(
        path = "/credentials/:id/bindings",
        method = "get",
        operation_id = "listCredentialBindings"
    )]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn of_credential(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<CredentialId>>,
    ) -> Result<Json<Bindings>, Problem> {
        let found = automa.credentials(auth.actor()).holders(id.0.0)?;
        Ok(Json(Bindings { items: found.into_iter().map(Binding::from).collect() }))
    }

    /// List the credentials that an execution was given.
    #[oai(
        path = "/executions/:id/credentials",
        method = "get",
        operation_id = "listExecutionCredentials"
    )]
    #[expect(clippy::unused_async, reason = "an operation is awaited")]
    async fn of_execution(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ExecutionId>>,
    ) -> Result<Json<AllGiven>, Problem> {
        let given = automa.executions(auth.actor()).credentials(id.0.0)?;
        Ok(Json(AllGiven { items: given.into_iter().map(Given::from).collect() }))
    }
}

fn list(automa: &Automa, auth: &Auth, holder: Holder) -> Result<Json<Bindings>, Problem> {
    let found = automa.credentials(auth.actor()).bindings(holder)?;
    Ok(Json(Bindings { items: found.into_iter().map(Binding::from).collect() }))
}

async fn bind(automa: &Automa, auth: &Auth, holder: Holder, new: Bind) -> Result<Bound, Problem> {
    let new = NewBinding {
        credential: new.credential_id.0,
        variable: new.variable_name,
        delivery: new.delivery.0,
    };
    let bound = automa.credentials(auth.actor()).bind(holder, new).await?;
    Ok(Bound::Created(Json(bound.into())))
}

impl From<BindingNow> for Binding {
    fn from(now: BindingNow) -> Self {
        let BindingNow { binding, credential_name, holder_name, unconfirmed } = now;
        let (script_id, job_id) = match binding.holder {
            Holder::Script(id) => (Some(Text(id)), None),
            Holder::Job(id) => (None, Some(Text(id))),
        };
        Self {
            id: Text(binding.id),
            credential_id: Text(binding.credential),
            credential_name,
            variable_name: binding.variable,
            delivery: OneOf(binding.delivery),
            script_id,
            job_id,
            holder_name,
            confirmed_version: binding.versions,
            unconfirmed_version: unconfirmed.map(|(number, _)| number),
            bound_by: binding.by_name,
            bound_at: Text(binding.at),
        }
    }
}

impl From<GivenCredential> for Given {
    fn from(given: GivenCredential) -> Self {
        Self {
            credential_id: Text(given.credential),
            credential_name: given.name,
            version: given.version,
            variable_name: given.variable,
            delivery: OneOf(given.delivery),
        }
    }
}
