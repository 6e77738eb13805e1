//! The OpenAPI document: what the framework writes, made a valid 3.1.0.

use std::collections::BTreeSet;

use poem::http::StatusCode;
use serde_json::{Map, Value, json};

/// Where an operation says what its body is.
const BODY: &str = "/requestBody/content/application~1json/schema/$ref";

/// Makes a valid document of version 3.1.0 out of `text`.
///
/// What is mended: the version; fields that may be `null` and are not said to; bounds in the form
/// of 3.0; parameters in media types; streams of events, which are text; empty descriptions;
/// operations that need nobody signed in; and bodies, whose fields are all that may be sent.
///
/// # Errors
///
/// When `text` is not JSON.
pub(crate) fn document(text: &str) -> serde_json::Result<Value> {
    let mut document: Value = serde_json::from_str(text)?;
    document["openapi"] = "3.1.0".into();
    mend_schemas(&mut document);
    let mut bodies = Vec::new();
    for operation in operations_mut(&mut document) {
        let reference = operation.pointer(BODY);
        bodies.extend(reference.and_then(Value::as_str).map(ToOwned::to_owned));
        mend_operation(operation);
    }
    for reference in bodies {
        close(&mut document, &reference);
    }
    Ok(document)
}

/// The names of the schemas of bodies.
pub(crate) fn bodies(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().into_iter().flat_map(Map::values);
    let operations = paths.filter_map(Value::as_object).flat_map(Map::values);
    let names = operations.filter_map(|operation| {
        let reference = operation.pointer(BODY)?.as_str()?;
        reference.rsplit('/').next().map(ToOwned::to_owned)
    });
    names.collect()
}

/// The schema of this name with those that it refers to: a small document of its own.
pub(crate) fn schema(document: &Value, name: &str) -> Value {
    let mut schemas = Map::new();
    let mut open = vec![format!("#/components/schemas/{name}")];
    while let Some(reference) = open.pop() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        let schema = document.pointer(reference.trim_start_matches('#'));
        if let Some(schema) = schema.filter(|_| !schemas.contains_key(name)) {
            references(schema, &mut open);
            schemas.insert(name.to_owned(), schema.clone());
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": format!("#/components/schemas/{name}"),
        "components": {"schemas": schemas},
    })
}

/// The methods of each path, for `Allow` (RFC 9110, 15.5.6): segments of the path, and methods.
pub(crate) fn methods(document: &Value) -> Vec<(Vec<String>, String)> {
    let paths = document["paths"].as_object();
    let paths = paths.into_iter().flatten().map(|(path, operations)| {
        let segments = path.split('/').map(ToOwned::to_owned).collect();
        let methods = operations.as_object().into_iter().flat_map(Map::keys);
        (segments, methods.map(|it| it.to_ascii_uppercase()).collect::<Vec<_>>().join(", "))
    });
    paths.collect()
}

fn operations_mut(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    let items = paths.into_iter().flat_map(|paths| paths.values_mut());
    items.filter_map(Value::as_object_mut).flat_map(|item| item.values_mut())
}

fn mend_operation(operation: &mut Value) {
    if operation.get("security").is_none() {
        operation["security"] = json!([]);
    }
    for parameter in
        operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten()
    {
        if let Some(parameter) = parameter.as_object_mut() {
            parameter.remove("explode");
            remove_if(parameter, "deprecated", &json!(false));
        }
    }
    if let Some(content) = operation.pointer_mut("/requestBody/content") {
        mend_content(content);
    }
    let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
    for (code, response) in responses.into_iter().flatten() {
        if response["description"] == "" {
            let status = code.parse().ok().and_then(|code: u16| StatusCode::from_u16(code).ok());
            let reason = status.and_then(|status| status.canonical_reason());
            response["description"] = reason.unwrap_or("Response").into();
        }
        if let Some(content) = response.get_mut("content") {
            mend_content(content);
        }
        if let Some(headers) = response.get_mut("headers").and_then(Value::as_object_mut) {
            *headers = std::mem::take(headers)
                .into_iter()
                .map(|(name, mut header)| {
                    if let Some(header) = header.as_object_mut() {
                        remove_if(header, "deprecated", &json!(false));
                    }
                    (title_case(&name), header)
                })
                .collect();
        }
    }
}

fn remove_if(object: &mut Map<String, Value>, key: &str, value: &Value) {
    if object.get(key) == Some(value) {
        object.remove(key);
    }
}

/// `LOCATION` as one writes it: `Location`.
fn title_case(header: &str) -> String {
    let parts = header.split('-').map(|part| {
        let (first, rest) = part.split_at(part.len().min(1));
        first.to_ascii_uppercase() + &rest.to_ascii_lowercase()
    });
    parts.collect::<Vec<_>>().join("-")
}

/// Media types without parameters; a stream of events is text.
fn mend_content(content: &mut Value) {
    let Some(types) = content.as_object_mut() else { return };
    *types = std::mem::take(types)
        .into_iter()
        .map(|(kind, mut media)| {
            let kind = kind.split(';').next().unwrap_or_default().trim().to_owned();
            if kind == "text/event-stream" {
                let event = media["schema"]["items"]["$ref"].as_str().unwrap_or_default();
                let event = event.rsplit('/').next().unwrap_or_default();
                let description = format!("Events; the data of each is JSON, a `{event}`");
                media = json!({"schema": {"type": "string", "description": description}});
            }
            (kind, media)
        })
        .collect();
}

fn mend_schemas(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mend_schemas),
        Value::Object(object) => {
            mend_bounds(object);
            remove_if(object, "default", &Value::Null);
            mend_optional_fields(object);
            if object.remove("nullable") == Some(json!(true)) {
                let mut schema = Value::Object(std::mem::take(object));
                allow_null(&mut schema);
                if let Value::Object(schema) = schema {
                    *object = schema;
                }
            }
            object.values_mut().for_each(mend_schemas);
        }
        _ => {}
    }
}

/// `exclusiveMaximum` is a number in 3.1, no flag; and bounds of integers are integers.
fn mend_bounds(object: &mut Map<String, Value>) {
    for (flag, bound) in [("exclusiveMaximum", "maximum"), ("exclusiveMinimum", "minimum")] {
        match object.get(flag) {
            Some(Value::Bool(true)) => {
                if let Some(number) = object.remove(bound) {
                    object.insert(flag.to_owned(), number);
                }
            }
            Some(Value::Bool(false)) => {
                object.remove(flag);
            }
            _ => {}
        }
    }
    for bound in ["minimum", "maximum"] {
        let integral = object.get(bound).and_then(Value::as_f64).filter(|it| it.fract() == 0.0);
        let integer = integral.and_then(|it| format!("{it:.0}").parse::<i64>().ok());
        if let Some(integer) = integer {
            object.insert(bound.to_owned(), integer.into());
        }
    }
}

/// A field that is not required may be `null`, as it is written when there is nothing.
fn mend_optional_fields(object: &mut Map<String, Value>) {
    if object.get("type") != Some(&json!("object")) {
        return;
    }
    let required = object.get("required").cloned().unwrap_or_default();
    let is_required = |name: &str| {
        required.as_array().is_some_and(|names| names.iter().any(|it| it.as_str() == Some(name)))
    };
    let fields = object.get_mut("properties").and_then(Value::as_object_mut);
    for (name, schema) in fields.into_iter().flatten() {
        if !is_required(name) && schema.get("default").is_none_or(Value::is_null) {
            allow_null(schema);
        }
    }
}

fn allow_null(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    match object.get("type").cloned() {
        Some(Value::String(kind)) => {
            object.insert("type".to_owned(), json!([kind, "null"]));
            if let Some(words) = object.get_mut("enum").and_then(Value::as_array_mut) {
                words.push(Value::Null);
            }
        }
        Some(_) => {}
        // Anything, `null` among it.
        None if object.keys().all(|key| key == "description") => {}
        None => {
            let inner = Value::Object(std::mem::take(object));
            *schema = json!({"anyOf": [inner, {"type": "null"}]});
        }
    }
}

/// Says that a schema's fields are all there are, of it and of what it consists of.
fn close(document: &mut Value, reference: &str) {
    let Some(schema) = document.pointer_mut(reference.trim_start_matches('#')) else { return };
    let Some(object) = schema.as_object_mut() else { return };
    if object.get("type") != Some(&json!("object")) || object.contains_key("additionalProperties") {
        return;
    }
    object.insert("additionalProperties".to_owned(), json!(false));
    let mut inner = Vec::new();
    references(&schema["properties"], &mut inner);
    for reference in inner {
        close(document, &reference);
    }
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str).map(ToOwned::to_owned));
            object.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_null_is_said_to() {
        let text = json!({
            "openapi": "3.0.0",
            "paths": {"/x": {"post": {
                "requestBody": {"content": {"application/json; charset=utf-8": {
                    "schema": {"$ref": "#/components/schemas/New"}}}},
                "responses": {"201": {"description": "", "headers": {"LOCATION": {}},
                    "content": {"text/event-stream": {"schema": {
                        "type": "array", "items": {"$ref": "#/components/schemas/Tick"}}}}}},
            }}},
            "components": {"schemas": {
                "New": {"type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string"},
                    "state": {"type": "string", "enum": ["on"]},
                    "limits": {"$ref": "#/components/schemas/Limits"},
                    "size": {"type": "integer", "minimum": 1.0, "default": 3},
                }},
                "Limits": {"type": "object", "properties": {}},
            }},
        });
        let document = document(&text.to_string()).unwrap();
        let new = &document["components"]["schemas"]["New"]["properties"];
        assert_eq!(new["name"], json!({"type": "string"}));
        assert_eq!(new["state"], json!({"type": ["string", "null"], "enum": ["on", null]}));
        assert_eq!(new["limits"]["anyOf"][1], json!({"type": "null"}));
        assert_eq!(new["size"], json!({"type": "integer", "minimum": 1, "default": 3}));
        let post = &document["paths"]["/x"]["post"];
        assert_eq!(post["security"], json!([]));
        let created = &post["responses"]["201"];
        assert_eq!(created["description"], "Created");
        assert!(created["headers"]["Location"].is_object());
        let events = &created["content"]["text/event-stream"]["schema"];
        assert_eq!(events["description"], "Events; the data of each is JSON, a `Tick`");
    }

    #[test]
    fn bodies_have_no_other_fields_and_paths_know_their_methods() {
        let text = json!({
            "paths": {"/x/{id}": {"put": {"responses": {}, "requestBody": {"content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/New"}}}}},
                "get": {"responses": {}}}},
            "components": {"schemas": {
                "New": {"type": "object", "properties": {
                    "limits": {"$ref": "#/components/schemas/Limits"}}},
                "Limits": {"type": "object", "properties": {}},
                "Shown": {"type": "object", "properties": {}},
            }},
        });
        let document = document(&text.to_string()).unwrap();
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["New"]["additionalProperties"], false);
        assert_eq!(schemas["Limits"]["additionalProperties"], false);
        assert!(schemas["Shown"].get("additionalProperties").is_none());
        let alone = super::schema(&document, "New");
        assert_eq!(alone["$ref"], "#/components/schemas/New");
        let names: Vec<_> = alone["components"]["schemas"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["Limits", "New"]);
        let (segments, methods) = &super::methods(&document)[0];
        assert_eq!(segments.join("/"), "/x/{id}");
        assert!(methods == "PUT, GET" || methods == "GET, PUT", "{methods}");
    }
}
