//! Webhooks: calls by who knows an address.

use automa_core::{Automa, job::Call};
use poem::{
    IntoResponse, Request, Response, handler,
    http::{StatusCode, header},
    web::{Data, Path},
};
use serde_json::json;

use crate::{client_address::client_address, problem::Problem};

/// Runs the job that an address belongs to, with the body as parameters.
#[handler]
pub(crate) async fn call(
    request: &Request,
    Data(automa): Data<&Automa>,
    Path(token): Path<String>,
    body: Vec<u8>,
) -> poem::Result<Response> {
    if body.len() > automa_core::execution::PARAMETERS_MAX {
        let problem = Problem::of_status(StatusCode::PAYLOAD_TOO_LARGE);
        return Err(problem.detail(&"a call may have at most 64 KiB").into());
    }
    let header = |name: &str| request.header(name).map(str::to_owned);
    let signature = header("X-Automa-Signature");
    let hub_signature = header("X-Hub-Signature-256");
    let call = Call { body, signature, hub_signature, address: client_address(request) };
    let called = automa.hooks().call(&token, call).await;
    let execution = called.map_err(Problem::from)?;
    let location = format!("/api/v1/executions/{}", execution.id);
    let answer = json!({ "execution_id": execution.id, "job_id": execution.job.map(|it| it.job) });
    Ok(poem::web::Json(answer)
        .with_status(StatusCode::ACCEPTED)
        .with_header(header::LOCATION, location)
        .into_response())
}
