//! The API's description for people, made from its OpenAPI document, and the kinds of problems.

use std::sync::Arc;

use serde_json::Value;

/// Operations of one subject.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) operations: Vec<Operation>,
}

/// One thing that can be asked for.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) summary: String,
    pub(crate) about: String,
    /// Whether nobody needs to be signed in.
    pub(crate) open: bool,
    /// What goes into the address and the headers.
    pub(crate) parameters: Vec<Field>,
    /// What goes into the body.
    pub(crate) body: Vec<Field>,
    pub(crate) responses: Vec<Response>,
}

/// A parameter, or a field of a document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// Where it goes: `path`, `query`, `header`; empty in a body.
    pub(crate) place: String,
    pub(crate) kind: String,
    pub(crate) required: bool,
    pub(crate) about: String,
}

/// What comes back.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: String,
    pub(crate) about: String,
    pub(crate) fields: Vec<Field>,
}

/// A kind of problem: its name in `type`, its status, what it means and what to do.
pub(crate) const PROBLEMS: &[(&str, &str, &str)] = &[
    ("invalid", "422", "Some fields cannot be accepted. `errors` lists each with its reason."),
    ("not-json", "400", "The body is not JSON. The detail says where it stops being."),
    ("bad-request", "400", "The request cannot be read. The detail says what."),
    (
        "unauthorized",
        "401",
        "Nobody is signed in, or no longer. Sign in at `POST /api/v1/auth/login`, or get new tokens \
         at `POST /api/v1/auth/refresh`.",
    ),
    ("wrong-password", "401", "Name and password do not match any account."),
    (
        "wrong-key",
        "401",
        "The API key is not accepted: it is no key, was deleted, is off, has expired, or is not accepted \
         from this address. The detail says which.",
    ),
    (
        "forbidden",
        "403",
        "Your role does not allow this, which an administrator can change; or the scopes of the API key \
         do not, which its owner can.",
    ),
    (
        "not-revealable",
        "403",
        "The credential is write-only, or somebody else's: its secret is shown to nobody else.",
    ),
    ("wrong-token", "403", "The setup link is not the one that the server printed."),
    ("cross-origin", "403", "A page of another site asked for a change. Only Automa's own may."),
    (
        "rate-limited",
        "429",
        "This was asked for too often. `Retry-After` says when it may be again, and the headers \
         `RateLimit-…` of each answer what is left.",
    ),
    (
        "quota-exceeded",
        "429 or 403",
        "Your tier does not allow more: of this day (429, with `Retry-After`), or of what you have. `quota`, \
         `limit`, `used` and `resets_at` say what; `GET /users/me/quota` says what is left of all.",
    ),
    (
        "unknown-host",
        "421",
        "The server is not known by this name. Whoever runs it lists its names with `--allowed-host`.",
    ),
    (
        "too-complex",
        "413",
        "The body's objects and arrays are within each other more than 64 times, or have more than \
         10,000 members.",
    ),
    ("not-found", "404", "There is nothing of this id or at this address."),
    ("log-removed", "410", "The log was removed, as logs are kept for a limited time only."),
    ("method-not-allowed", "405", "The address does not take this method. `Allow` lists those."),
    (
        "conflict",
        "409 or 412",
        "Someone else changed it since you read it. Read it again; `current_version` is what it has \
         now.",
    ),
    (
        "not-approved",
        "409",
        "Versions have to be approved here, and this one was not. Somebody else than its author may.",
    ),
    (
        "not-active",
        "409",
        "The script is a draft or deprecated. Make it active to run it unattended.",
    ),
    (
        "overlaps",
        "409",
        "An execution of the job is not over yet, and the job is to run one at a time. Wait for its \
         end, or let runs overlap in the job's settings.",
    ),
    (
        "credential-bound",
        "409",
        "Scripts or jobs are given the credential. Take it from them first: the detail names them.",
    ),
    (
        "credential-expired",
        "409",
        "The credential's time is over. Renew its secret, or give it another date.",
    ),
    ("cannot-rotate", "409", "The master key is being replaced already, or is given from outside."),
    ("paused", "409", "The job is paused. Resume it first."),
    ("replayed", "409", "This call was received before. Sign each call anew."),
    (
        "wrong-signature",
        "401",
        "The webhook asks for signatures, and this call has none, a wrong one, or one of another time.",
    ),
    ("ended", "409", "The execution has ended, so it cannot be cancelled."),
    ("agent-stopped", "409", "The agent does not run at the moment. Start it first."),
    ("agent-runs", "409", "The agent is not stopped. Stop it first."),
    (
        "agent-deaf",
        "409",
        "The agent has not read what it was sent before, and there is no more room for it. Nothing was \
         sent.",
    ),
    (
        "wrong-link",
        "403",
        "The link was used, has expired or never was. An admin makes another one.",
    ),
    (
        "last-admin",
        "409",
        "Nobody could let others in any more. Make somebody else an admin first.",
    ),
    ("setup-closed", "409", "There is an account already. Sign in with it."),
    ("idempotency-mismatch", "409", "The `Idempotency-Key` was used for another request."),
    ("payload-too-large", "413", "The body is larger than 8 MiB."),
    ("too-many-requests", "429", "This was tried too often. Wait for as long as the detail says."),
    ("unsupported-media-type", "415", "The body has to be `application/json`."),
    (
        "internal-server-error",
        "500",
        "The fault is the server's. Its log has the cause under `error_id`.",
    ),
    (
        "insufficient-storage",
        "507",
        "There is no space for what an execution would write. Remove what is not needed, or give the \
         data a larger disk.",
    ),
    ("service-unavailable", "503", "The server cannot do this at the moment. Try again later."),
];

/// The document's operations by subject, in its order.
pub(crate) fn sections(document: &Value) -> Arc<[Section]> {
    let mut sections: Vec<_> = list(&document["tags"])
        .map(|tag| Section {
            name: text(&tag["name"]),
            about: text(&tag["description"]),
            operations: Vec::new(),
        })
        .collect();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let tag = text(&operation["tags"][0]);
            if let Some(section) = sections.iter_mut().find(|section| section.name == tag) {
                section.operations.push(read(document, method, path, operation));
            }
        }
    }
    sections.retain(|section| !section.operations.is_empty());
    sections.into()
}

fn read(document: &Value, method: &str, path: &str, operation: &Value) -> Operation {
    let parameter = |it: &Value| Field {
        name: text(&it["name"]),
        place: text(&it["in"]),
        kind: kind(&it["schema"]),
        required: it["required"] == true,
        about: text(&it["description"]),
    };
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    let responses = operation["responses"].as_object().into_iter().flatten();
    let responses = responses.map(|(status, response)| Response {
        status: status.clone(),
        about: text(&response["description"]),
        fields: fields(document, &response["content"]["application/json"]["schema"]),
    });
    Operation {
        id: text(&operation["operationId"]),
        method: method.to_ascii_uppercase(),
        path: format!("{}{}", crate::api::PREFIX, path.trim_end_matches('/')),
        summary: text(&operation["summary"]),
        about: text(&operation["description"]),
        open: list(&operation["security"]).next().is_none(),
        parameters: list(&operation["parameters"]).map(parameter).collect(),
        body: fields(document, body),
        responses: responses.filter(|it| it.status.starts_with('2')).collect(),
    }
}

/// The fields of an object's schema.
fn fields(document: &Value, schema: &Value) -> Vec<Field> {
    let schema = resolve(document, schema);
    let required: Vec<_> = list(&schema["required"]).map(text).collect();
    let fields = schema["properties"].as_object().into_iter().flatten();
    let fields = fields.map(|(name, schema)| Field {
        name: name.clone(),
        place: String::new(),
        kind: kind(schema),
        required: required.contains(name),
        about: about(schema),
    });
    fields.collect()
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let target = reference(schema).and_then(|it| document.pointer(it.trim_start_matches('#')));
    target.unwrap_or(schema)
}

/// Where a schema refers to, also as one of two with `null`.
fn reference(schema: &Value) -> Option<&str> {
    let own = schema["$ref"].as_str();
    own.or_else(|| ["anyOf", "allOf"].iter().find_map(|key| list(&schema[key]).find_map(reference)))
}

fn about(schema: &Value) -> String {
    let own = text(&schema["description"]);
    if !own.is_empty() {
        return own;
    }
    let inner = ["anyOf", "allOf"].iter().flat_map(|key| list(&schema[key]));
    inner.map(|it| text(&it["description"])).find(|it| !it.is_empty()).unwrap_or_default()
}

/// A schema in words.
fn kind(schema: &Value) -> String {
    if let Some(reference) = reference(schema) {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    let words: Vec<_> = list(&schema["enum"]).filter_map(Value::as_str).collect();
    if !words.is_empty() {
        return words.join(" | ");
    }
    let types: Vec<_> = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        types => list(types).filter_map(Value::as_str).filter(|it| *it != "null").collect(),
    };
    match (types.first().copied(), schema["format"].as_str()) {
        (Some("array"), _) => format!("list of {}", kind(&schema["items"])),
        (Some("string"), Some(format @ ("uuid" | "date-time" | "cursor"))) => format.to_owned(),
        (Some(kind), _) => kind.to_owned(),
        (None, _) => "any".to_owned(),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_problem_is_described() {
        let sources = concat!(
            include_str!("problem.rs"),
            include_str!("api/body.rs"),
            include_str!("api/scripts.rs"),
            include_str!("middleware/same_origin.rs"),
        );
        // `new(StatusCode::NOT_FOUND, "not-found", …`, over one line or several.
        let kinds = sources.split("new(StatusCode::").skip(1).filter_map(|made| {
            let made = made.split(')').next()?;
            made.split('"').nth(1)
        });
        let kinds: Vec<_> = kinds.collect();
        assert!(kinds.len() > 10, "{kinds:?}");
        for kind in kinds {
            assert!(PROBLEMS.iter().any(|(known, ..)| *known == kind), "{kind} is not described");
        }
    }

    #[test]
    fn the_description_has_every_operation_and_names_types() {
        let (_, document) = crate::api::service().unwrap();
        let sections = sections(&document);
        let shown: usize = sections.iter().map(|section| section.operations.len()).sum();
        let paths = document["paths"].as_object().unwrap().values();
        let there: usize = paths.map(|item| item.as_object().unwrap().len()).sum();
        assert_eq!(shown, there);
        let operations = sections.iter().flat_map(|section| &section.operations);
        for operation in operations.clone() {
            assert!(!operation.summary.is_empty(), "{}", operation.id);
            assert!(!operation.responses.is_empty(), "{}", operation.id);
        }
        let submit = operations.clone().find(|it| it.id == "submitExecution").unwrap();
        assert_eq!((submit.method.as_str(), submit.path.as_str()), ("POST", "/api/v1/executions"));
        let kinds: Vec<_> =
            submit.body.iter().map(|it| (it.name.as_str(), it.kind.as_str())).collect();
        assert!(kinds.contains(&("language", "bash | python")), "{kinds:?}");
        assert!(kinds.contains(&("limits", "Limits")), "{kinds:?}");
        assert!(kinds.contains(&("script_id", "uuid")), "{kinds:?}");
    }
}
