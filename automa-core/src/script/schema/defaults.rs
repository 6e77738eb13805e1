//! Defaults of parameters, and parameters that are secret.

use serde_json::Value;

use crate::execution::Parameters;

/// What a secret is shown as.
const HIDDEN: &str = "********";

/// Fills in the `default` of every property that is missing, also within objects that are given.
pub(super) fn fill(schema: &Value, mut parameters: Parameters) -> Parameters {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        match (parameters.get_mut(name), property.get("default")) {
            (Some(Value::Object(given)), _) => *given = fill(property, std::mem::take(given)),
            (None, Some(default)) => {
                parameters.insert(name.clone(), default.clone());
            }
            _ => {}
        }
    }
    parameters
}

/// Hides what a schema marks as secret: `"writeOnly": true` or `"format": "password"`.
pub(crate) fn hide_secrets(schema: &Value, parameters: &mut Parameters) {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        match parameters.get_mut(name) {
            Some(value) if is_secret(property) => *value = HIDDEN.into(),
            Some(Value::Object(given)) => hide_secrets(property, given),
            _ => {}
        }
    }
}

/// What [`hide_secrets`] would hide: texts, and what is no text as it stands in JSON.
pub(crate) fn secrets(schema: &Value, parameters: &Parameters) -> Vec<String> {
    let mut found = Vec::new();
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        match parameters.get(name) {
            Some(value) if is_secret(property) => leaves(value, &mut found),
            Some(Value::Object(given)) => found.extend(secrets(property, given)),
            _ => {}
        }
    }
    found
}

/// All texts and numbers within a value.
fn leaves(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Number(number) => found.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, found)),
        Value::Object(members) => members.values().for_each(|member| leaves(member, found)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// Whether what a schema describes is a secret.
#[must_use]
pub fn is_secret(property: &Value) -> bool {
    property.get("writeOnly").and_then(Value::as_bool) == Some(true)
        || property.get("format").and_then(Value::as_str) == Some("password")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Parameters {
        let Value::Object(map) = value else { panic!("{value} is no object") };
        map
    }

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "days": { "type": "integer", "default": 14 },
                "token": { "type": "string", "writeOnly": true },
                "to": {
                    "type": "object",
                    "properties": {
                        "port": { "default": 25 },
                        "pass": { "format": "password" },
                        "host": {},
                    },
                },
            },
        })
    }

    #[test]
    fn what_was_left_out_has_its_default() {
        let filled = |given| Value::Object(fill(&schema(), map(given)));
        assert_eq!(filled(json!({})), json!({ "days": 14 }));
        assert_eq!(filled(json!({ "days": null })), json!({ "days": null }));
        let given = json!({ "days": 1, "to": { "host": "a" }, "more": [] });
        let expected = json!({ "days": 1, "to": { "host": "a", "port": 25 }, "more": [] });
        assert_eq!(filled(given), expected);
        assert_eq!(Value::Object(fill(&json!({}), map(json!({ "a": 1 })))), json!({ "a": 1 }));
    }

    #[test]
    fn secrets_are_hidden_wherever_they_are() {
        let mut given = map(json!({ "days": 1, "token": "t", "to": { "pass": 5, "host": "h" } }));
        hide_secrets(&schema(), &mut given);
        let hidden = json!({ "days": 1, "token": HIDDEN, "to": { "pass": HIDDEN, "host": "h" } });
        assert_eq!(Value::Object(given), hidden);
    }

    #[test]
    fn secrets_are_found_wherever_they_are() {
        let token = json!({ "a": ["one", 2.5], "b": { "c": "three" }, "d": null, "e": true });
        let given = map(json!({ "days": 1, "token": token, "to": { "pass": 5, "host": "h" } }));
        let mut found = secrets(&schema(), &given);
        found.sort();
        assert_eq!(found, ["2.5", "5", "one", "three"]);
    }
}
