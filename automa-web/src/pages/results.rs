//! What an execution's script has left: its result, and its files.

use askama::{Template, filters::HtmlSafe};
use automa_core::{
    execution::{Artifacts, ResultValue},
    id::ExecutionId,
};

use super::{listing::Listing, text::sentence};
use crate::{
    api::artifacts::{hex, media_type},
    filters,
};

/// Most files that a page lists.
const MOST: usize = 200;

/// A part of the execution's page; hidden where nothing was left.
#[derive(Debug, Template)]
#[template(path = "executions/results.html")]
pub(crate) struct Results {
    id: ExecutionId,
    result: Option<Value>,
    files: Option<Files>,
}

/// The template escapes for itself.
impl HtmlSafe for Results {}

#[derive(Debug)]
enum Value {
    Json(Listing),
    /// Why it is none.
    Unusable(String),
}

#[derive(Debug)]
struct Files {
    rows: Vec<Row>,
    /// How many there are besides.
    more: usize,
    count: usize,
    bytes: u64,
    /// What was left out, in a sentence each.
    left_out: Vec<String>,
    /// How many were left out that are not named.
    left_out_more: u64,
    complete: bool,
}

#[derive(Debug)]
struct Row {
    number: u32,
    name: String,
    size: u64,
    media_type: String,
    sha256: String,
}

impl Row {
    fn short(&self) -> &str {
        &self.sha256[..12]
    }
}

impl Results {
    pub(crate) fn new(
        id: ExecutionId,
        result: Option<&ResultValue>,
        artifacts: &Artifacts,
    ) -> Self {
        let result = result.map(|result| match result {
            ResultValue::Value(value) => {
                let json = serde_json::to_string_pretty(value).unwrap_or_default();
                Value::Json(Listing::text("Result as JSON", &json))
            }
            ResultValue::Unusable(reason) => Value::Unusable(sentence(reason)),
        });
        Self { id, result, files: Files::new(artifacts) }
    }

    fn is_empty(&self) -> bool {
        self.result.is_none() && self.files.is_none()
    }
}

impl Files {
    fn new(artifacts: &Artifacts) -> Option<Self> {
        let Artifacts { files, left_out, left_out_count, complete } = artifacts;
        if files.is_empty() && *left_out_count == 0 && *complete {
            return None;
        }
        let row = |(number, file): (u32, &automa_core::execution::Artifact)| Row {
            number,
            name: file.name.clone(),
            size: file.size,
            media_type: media_type(&file.name),
            sha256: hex(&file.sha256),
        };
        let named = left_out.len() as u64;
        Some(Self {
            rows: (1..).zip(files).take(MOST).map(row).collect(),
            more: files.len().saturating_sub(MOST),
            count: files.len(),
            bytes: files.iter().map(|file| file.size).sum(),
            left_out: left_out.iter().map(|it| format!("{}: {}", it.name, it.reason)).collect(),
            left_out_more: left_out_count.saturating_sub(named),
            complete: *complete,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::samples;

    #[test]
    fn what_was_left_is_text_whatever_it_is_called() {
        let (result, artifacts) = samples::left();
        let results = Results::new(samples::execution_id(), Some(&result), &artifacts);
        let html = results.render().unwrap();
        assert!(!html.contains("<script>"), "{html}");
        assert!(html.contains("/artifacts/1\""), "{html}");
        assert!(html.contains("a link: a symbolic link"), "{html}");
        assert!(html.contains("and 7 more"), "{html}");
    }

    #[test]
    fn many_files_are_listed_in_part() {
        let (_, mut artifacts) = samples::left();
        let file = artifacts.files[0].clone();
        artifacts.files = vec![file; 250];
        let html = Results::new(samples::execution_id(), None, &artifacts).render().unwrap();
        assert!(html.contains("50 more files"), "{html}");
        assert_eq!(html.matches("<tr").count(), 201);
    }

    #[test]
    fn where_nothing_was_left_nothing_is_shown() {
        let nothing = Artifacts { complete: true, ..Artifacts::default() };
        let html = Results::new(samples::execution_id(), None, &nothing).render().unwrap();
        assert_eq!(html.trim(), "<div id=\"results\" hidden></div>");
    }
}
