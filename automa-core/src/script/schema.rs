//! Schemas of parameters: JSON Schema 2020-12, for an object.

mod cost;
mod defaults;

pub use self::defaults::is_secret;
pub(crate) use self::defaults::{hide_secrets, secrets};
use jsonschema::{Draft, PatternOptions, Validator, error::ValidationErrorKind};
use serde_json::Value;

use crate::{
    error::FieldError,
    execution::{Parameters, parameters::pointed},
};

/// Most bytes of a schema: 64 KiB.
pub const SCHEMA_MAX: usize = 64 << 10;
/// Most errors of one check that are told.
const ERRORS_MAX: usize = 20;

/// A schema that parameters can be checked against.
pub(crate) struct Schema {
    schema: Value,
    validator: Validator,
}

impl Schema {
    /// Reads a schema, or says what is wrong with it.
    ///
    /// It fetches nothing: `$ref` works within the schema only, and not in circles. Patterns are regular expressions
    /// without look-around and back references, which take no more time than their text is long.
    pub(crate) fn parse(json: &str) -> Result<Self, FieldError> {
        let problem = |reason: String| FieldError::new("parameters_schema", reason);
        if json.len() > SCHEMA_MAX {
            return Err(problem("must have at most 64 KiB".to_owned()));
        }
        let schema: Value =
            serde_json::from_str(json).map_err(|error| problem(format!("is no JSON: {error}")))?;
        if schema.get("type").and_then(Value::as_str) != Some("object") {
            return Err(problem("must be a JSON Schema with \"type\": \"object\"".to_owned()));
        }
        cost::check(&schema).map_err(problem)?;
        let patterns = PatternOptions::regex().size_limit(cost::PATTERN_SIZE_MAX);
        let options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .offline()
            .with_pattern_options(patterns)
            .should_validate_formats(true);
        let validator = options.build(&schema).map_err(|error| {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { "/".to_owned() } else { place };
            problem(format!("is no JSON Schema: at {place}: {}", short(error.to_string())))
        })?;
        Ok(Self { schema, validator })
    }

    /// What counts where parameters were left out.
    pub(crate) fn with_defaults(&self, parameters: Parameters) -> Parameters {
        defaults::fill(&self.schema, parameters)
    }

    /// Names every parameter that is missing, wrong or unknown, the first 20 of them.
    pub(crate) fn check(&self, parameters: &Parameters) -> Vec<FieldError> {
        let parameters = Value::Object(parameters.clone());
        let mut errors = Vec::new();
        for error in self.validator.iter_errors(&parameters) {
            let path = error.instance_path().to_string();
            let at = |name: &str| format!("parameters{path}/{}", pointed(name));
            match error.kind() {
                ValidationErrorKind::Required { property } => {
                    let name = property.as_str().unwrap_or_default();
                    errors.push(FieldError::new(at(name), "is required"));
                }
                ValidationErrorKind::AdditionalProperties { unexpected } => {
                    errors.extend(unexpected.iter().map(|name| {
                        FieldError::new(at(name), "is not a parameter of this script")
                    }));
                }
                ValidationErrorKind::FalseSchema => {
                    errors.push(FieldError::new(format!("parameters{path}"), "must not be given"));
                }
                // Without the value, which its sender knows and others need not.
                _ => errors.push(FieldError::new(
                    format!("parameters{path}"),
                    short(error.masked().to_string()),
                )),
            }
            if errors.len() >= ERRORS_MAX {
                break;
            }
        }
        errors.truncate(ERRORS_MAX);
        errors
    }
}

/// A message that may repeat a part of a schema.
fn short(mut message: String) -> String {
    const MOST: usize = 300;
    if message.len() > MOST {
        message.truncate(message.floor_char_boundary(MOST));
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(schema: &Value, parameters: Value) -> Vec<String> {
        let schema = Schema::parse(&schema.to_string()).unwrap();
        let Value::Object(parameters) = parameters else { panic!("{parameters} is no object") };
        schema.check(&parameters).iter().map(ToString::to_string).collect()
    }

    fn refused(json: &str) -> String {
        let Err(error) = Schema::parse(json) else { panic!("{json} was accepted") };
        assert_eq!(error.field, "parameters_schema");
        error.reason
    }

    #[test]
    fn every_wrong_parameter_is_named() {
        let schema = json!({
            "type": "object",
            "required": ["count", "a/b"],
            "additionalProperties": false,
            "properties": {
                "count": { "type": "integer", "minimum": 1 },
                "to": { "type": "string", "format": "email" },
                "deep": { "type": "object", "required": ["x"], "properties": { "y": { "enum": [1] } } },
                "a/b": {},
            },
        });
        let wrong = json!({ "count": "secret", "to": "nobody", "deep": { "y": 2 }, "more": 1 });
        let mut found = errors(&schema, wrong);
        found.sort();
        assert_eq!(
            found,
            [
                "parameters/a~1b: is required",
                "parameters/count: value is not of type \"integer\"",
                "parameters/deep/x: is required",
                "parameters/deep/y: value is not one of 1",
                "parameters/more: is not a parameter of this script",
                "parameters/to: value is not a \"email\"",
            ]
        );
        let right = json!({ "count": 1, "to": "a@example.com", "a/b": null });
        assert_eq!(errors(&schema, right), [""; 0]);
    }

    #[test]
    fn what_is_no_schema_of_an_object_is_refused() {
        for (json, part) in [
            ("", "is no JSON: "),
            ("{", "is no JSON: "),
            ("true", "\"type\": \"object\""),
            ("{}", "\"type\": \"object\""),
            (r#"{"type":["object","null"]}"#, "\"type\": \"object\""),
            (r#"{"type":"object","properties":{"a":{"type":"text"}}}"#, "at /properties/a/type: "),
            (r#"{"type":"object","required":"a"}"#, "at /required: "),
            (r##"{"type":"object","$ref":"#/$defs/missing"}"##, "has no part #/$defs/missing"),
        ] {
            let reason = refused(json);
            assert!(reason.contains(part), "{json}: {reason}");
        }
        assert_eq!(refused(&" ".repeat(SCHEMA_MAX + 1)), "must have at most 64 KiB");
        assert!(refused(&"[".repeat(1000)).contains("recursion limit"));
    }

    #[test]
    fn a_schema_reaches_for_nothing_outside() {
        for reference in ["https://example.com/x.json", "file:///etc/passwd"] {
            let schema = json!({ "type": "object", "$ref": reference });
            let reason = refused(&schema.to_string());
            assert!(reason.contains(reference), "{reason}");
        }
    }

    #[test]
    fn patterns_are_as_fast_as_their_text_is_long() {
        let pattern = |pattern: &str| json!({ "type": "object", "properties": { "a": { "pattern": pattern } } });
        let hard = format!("{}!", "a".repeat(10_000));
        assert_eq!(errors(&pattern("^(a+)+$"), json!({ "a": hard })).len(), 1);
        assert_eq!(errors(&pattern(r"^[\pL ]{1,50}$"), json!({ "a": "Zoë" })), [""; 0]);
        for refused_pattern in ["(?=a)", "((a{1000}){1000}){1000}", r"(\w{10}|\pL{20}){12}"] {
            refused(&pattern(refused_pattern).to_string());
        }
    }

    #[test]
    fn there_is_a_most_of_errors() {
        let none = json!({ "type": "object", "additionalProperties": false });
        assert_eq!(errors(&none, json!({ "a": 1 })), ["parameters: must not be given"]);
        let schema =
            json!({ "type": "object", "additionalProperties": false, "properties": { "a": {} } });
        let many: Parameters = (0..100).map(|n| (format!("p{n}"), json!(n))).collect();
        assert_eq!(errors(&schema, Value::Object(many)).len(), ERRORS_MAX);
    }
}
