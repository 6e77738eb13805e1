//! The document in which a server describes its API, read as a generator of clients would.

use serde_json::{Map, Value, json};

use crate::client::{Answer, Client};

/// One operation of the API.
#[derive(Debug, Clone)]
pub struct Operation {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path with its parameters in braces, from the server's root.
    pub path: String,
    /// What the document says of it.
    pub about: Value,
}

impl Operation {
    /// Method and path, as people write it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Whether it can be called without a token.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.about["security"] == json!([])
    }

    /// The names of its parameters in the path, the query or the header.
    #[must_use]
    pub fn parameters(&self, place: &str) -> Vec<&str> {
        let parameters = self.about["parameters"].as_array().into_iter().flatten();
        let here = parameters.filter(|one| one["in"] == place);
        here.filter_map(|one| one["name"].as_str()).collect()
    }

    /// A query with something for each of its parameters that has to be there.
    #[must_use]
    pub fn least_query(&self) -> String {
        let parameters = self.about["parameters"].as_array().into_iter().flatten();
        let needed = parameters.filter(|one| one["in"] == "query" && one["required"] == true);
        let pairs = needed.filter_map(|one| one["name"].as_str()).map(|name| format!("{name}=x"));
        pairs.collect::<Vec<_>>().join("&")
    }

    /// Its path with this id, and 1 for every other parameter.
    #[must_use]
    pub fn path_of(&self, id: &str) -> String {
        self.path_with("id", id).replace("{number}", "1")
    }

    /// Its path with this value for one parameter; the others stay in braces.
    #[must_use]
    pub fn path_with(&self, name: &str, value: &str) -> String {
        self.path.replace(&format!("{{{name}}}"), value)
    }

    /// The schema of its JSON body, if it takes one.
    #[must_use]
    pub fn body(&self) -> Option<&Value> {
        self.about.pointer("/requestBody/content/application~1json/schema")
    }
}

/// The whole document.
#[derive(Debug, Clone)]
pub struct Document(pub Value);

impl Document {
    /// Reads it from a server.
    ///
    /// # Panics
    ///
    /// When it is not there.
    pub async fn read(client: &Client) -> Self {
        Self(client.get("/openapi.json").await.json(200))
    }

    /// All operations.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        let base = self.0["servers"][0]["url"].as_str().unwrap_or_default();
        let base = base.find("//").map_or(base, |at| {
            let rest = &base[at + 2..];
            rest.find('/').map_or("", |slash| &rest[slash..])
        });
        let base = base.trim_end_matches('/');
        let mut found = Vec::new();
        for (path, item) in self.0["paths"].as_object().into_iter().flatten() {
            for (method, about) in item.as_object().into_iter().flatten() {
                let path = format!("{base}{path}");
                let method = method.to_uppercase();
                found.push(Operation { method, path, about: about.clone() });
            }
        }
        found
    }

    /// What a reference stands for; anything else as it is.
    #[must_use]
    pub fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let target = schema["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
        target.and_then(|pointer| self.0.pointer(pointer)).unwrap_or(schema)
    }

    /// The properties of an object's schema, also those of its alternatives.
    #[must_use]
    pub fn properties(&self, schema: &Value) -> Map<String, Value> {
        let schema = self.resolve(schema);
        let mut all = schema["properties"].as_object().cloned().unwrap_or_default();
        for group in ["allOf", "anyOf", "oneOf"] {
            for part in schema[group].as_array().into_iter().flatten() {
                all.extend(self.properties(part));
            }
        }
        all
    }

    /// Asserts that an answer is one that the document tells of.
    ///
    /// # Panics
    ///
    /// When it is not.
    #[track_caller]
    pub fn assert_describes(&self, operation: &Operation, answer: &Answer) {
        let name = operation.name();
        let status = answer.status.to_string();
        let range = format!("{}XX", &status[..1]);
        let responses = &operation.about["responses"];
        let response =
            [status.as_str(), &range, "default"].into_iter().find_map(|one| responses.get(one));
        let response = response.unwrap_or_else(|| panic!("{name} tells nothing of {status}"));
        let response = self.resolve(response);
        let media = answer.header("content-type").split(';').next().unwrap_or_default();
        if answer.body.is_empty() && response.get("content").is_none() {
            return;
        }
        let content = response["content"].get(media);
        let content =
            content.unwrap_or_else(|| panic!("{name} tells nothing of {status} {media:?}"));
        if !media.ends_with("json") {
            return;
        }
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "allOf": [content["schema"]],
            "components": self.0["components"],
        });
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let faults: Vec<String> = validator
            .iter_errors(&body)
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{name} {status}: {faults:#?}\n{body:#}");
    }
}
