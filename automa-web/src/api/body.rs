//! Bodies of requests, checked against the schemas of our own OpenAPI document, so that everything
//! that is wrong is told at once and by field.

mod shape;

use std::{collections::HashMap, sync::OnceLock};

use jsonschema::{ValidationError, Validator, error::ValidationErrorKind};
use poem::{FromRequest, Request, RequestBody, Result, http::StatusCode};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    payload::{ParsePayload, Payload},
    registry::{MetaMediaType, MetaRequest, MetaSchemaRef, Registry},
    types::{ParseFromJSON, Type},
};
use serde_json::Value;

use crate::{
    openapi,
    problem::{InvalidField, Problem},
};

/// Most errors that one answer lists.
const MOST_ERRORS: usize = 50;

static VALIDATORS: OnceLock<HashMap<String, Validator>> = OnceLock::new();

/// Makes the schemas of `document` those that bodies are checked against. The first one counts.
///
/// # Errors
///
/// When one is no valid schema.
pub(crate) fn install(document: &Value) -> Result<(), Box<ValidationError<'static>>> {
    let mut validators = HashMap::new();
    for name in openapi::bodies(document) {
        // A validator keeps all that it was made from.
        let schema = openapi::schema(document, &name);
        validators.insert(name, jsonschema::validator_for(&schema).map_err(Box::new)?);
    }
    // A second server in one process has the same document.
    let _ = VALIDATORS.set(validators);
    Ok(())
}

/// A body of JSON.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: Type> Payload for Body<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn check_content_type(content_type: &str) -> bool {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case(Self::CONTENT_TYPE)
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: ParseFromJSON> ParsePayload for Body<T> {
    const IS_REQUIRED: bool = T::IS_REQUIRED;

    async fn from_request(request: &Request, body: &mut RequestBody) -> Result<Self> {
        let bytes = <Vec<u8> as FromRequest>::from_request(request, body).await?;
        if bytes.is_empty() && !T::IS_REQUIRED {
            let nothing = T::parse_from_json(None);
            return Ok(nothing.map(Body).map_err(|error| unreadable(&error.into_message()))?);
        }
        if let Err(problem) = shape::check(&bytes) {
            let title = "The body has too many parts";
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-complex", title)
                .detail(&problem)
                .into());
        }
        let mut value: Value = serde_json::from_slice(&bytes).map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, "not-json", "The body is not JSON").detail(&error)
        })?;
        make_integral(&mut value);
        if let MetaSchemaRef::Reference(name) = T::schema_ref()
            && let Some(validator) = VALIDATORS.get().and_then(|all| all.get(&name))
        {
            let mut fields = Vec::new();
            validator.iter_errors(&value).for_each(|error| collect(&error, &mut fields));
            fields.truncate(MOST_ERRORS);
            if !fields.is_empty() {
                return Err(Problem::invalid(fields).into());
            }
        }
        let parsed = T::parse_from_json(Some(value));
        Ok(parsed.map(Body).map_err(|error| unreadable(&error.into_message()))?)
    }
}

/// What the schema lets pass and the type does not take.
fn unreadable(reason: &str) -> Problem {
    Problem::invalid_field("body", reason)
}

impl<'a, T: ParseFromJSON> ApiExtractor<'a> for Body<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <Self as Payload>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content_type = <Self as Payload>::CONTENT_TYPE;
        let content = MetaMediaType { content_type, schema: <Self as Payload>::schema_ref() };
        Some(MetaRequest { description: None, content: vec![content], required: T::IS_REQUIRED })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self> {
        match request.content_type() {
            Some(kind) if !Self::check_content_type(kind) => Err(not_json_type(kind)),
            None if T::IS_REQUIRED => Err(not_json_type("nothing")),
            _ => <Self as ParsePayload>::from_request(request, body).await,
        }
    }
}

fn not_json_type(kind: &str) -> poem::Error {
    let problem = Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let kind = cut(kind);
    problem.detail(&format!("`Content-Type` must be `application/json`, and is {kind}")).into()
}

/// `90.0` is an integer in JSON Schema, and none to the parser.
fn make_integral(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            // Exact below 2^53; the text of an integral float is that of its integer.
            let integral = number.as_f64().filter(|it| it.fract() == 0.0 && it.abs() < 9e15);
            if let Some(integer) = integral.and_then(|it| format!("{it:.0}").parse::<i64>().ok()) {
                *value = integer.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_integral),
        Value::Object(fields) => fields.values_mut().for_each(make_integral),
        _ => {}
    }
}

/// Adds what an error says; one of something that may also be `null` says what is wrong within.
fn collect(error: &ValidationError<'_>, fields: &mut Vec<InvalidField>) {
    match error.kind() {
        ValidationErrorKind::AnyOf { context } if error.instance().is_object() => {
            context.first().into_iter().flatten().for_each(|inner| collect(inner, fields));
        }
        _ => fields.push(field(error)),
    }
}

fn field(error: &ValidationError<'_>) -> InvalidField {
    let path = error.instance_path().to_string();
    let mut path: Vec<_> = path.split('/').skip(1).map(ToOwned::to_owned).collect();
    let reason = match error.kind() {
        ValidationErrorKind::Required { property } => {
            path.extend(property.as_str().map(ToOwned::to_owned));
            "is required".to_owned()
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            if let [name] = &unexpected[..] {
                path.push(name.clone());
                "is not a field of this request".to_owned()
            } else {
                format!("{} are not fields of this request", unexpected.join(", "))
            }
        }
        _ => cut(&error.to_string()),
    };
    let field = if path.is_empty() { "body".to_owned() } else { path.join(".") };
    InvalidField { field, reason }
}

/// The message repeats the value, which may be long.
fn cut(message: &str) -> String {
    const MOST: usize = 300;
    let mut chars = message.char_indices();
    match chars.nth(MOST) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(schema: &Value, value: &Value) -> Vec<(String, String)> {
        let validator = jsonschema::validator_for(schema).unwrap();
        let mut fields = Vec::new();
        validator.iter_errors(value).for_each(|error| collect(&error, &mut fields));
        fields.into_iter().map(|it| (it.field, it.reason)).collect()
    }

    #[test]
    fn errors_name_the_field() {
        let schema = json!({
            "type": "object", "required": ["name"], "additionalProperties": false,
            "properties": {
                "name": {"type": "string"},
                "limits": {"anyOf": [
                    {"type": "object", "properties": {"pids": {"type": "integer"}}},
                    {"type": "null"},
                ]},
            },
        });
        let found = errors(&schema, &json!({"limits": {"pids": "x"}, "colour": 1}));
        assert!(found.contains(&("name".into(), "is required".into())), "{found:?}");
        assert!(
            found.contains(&("colour".into(), "is not a field of this request".into())),
            "{found:?}"
        );
        assert!(found.iter().any(|(field, _)| field == "limits.pids"), "{found:?}");
        assert_eq!(errors(&schema, &json!([]))[0].0, "body");
    }

    #[test]
    fn integral_floats_are_integers() {
        let mut value = json!([90.0, 0.5, -3.0, 1e300, {"a": 2.0}]);
        make_integral(&mut value);
        assert_eq!(value, json!([90, 0.5, -3, 1e300, {"a": 2}]));
    }

    #[test]
    fn a_long_value_is_cut_out_of_the_message() {
        let found = errors(&json!({"type": "integer"}), &json!("ä".repeat(5000)));
        assert_eq!(found[0].1.chars().count(), 301);
    }
}
