//! Starters: scripts for routine tasks to begin with, each of which runs as it is, without network.

use serde_json::Value;

use super::Language;

/// A script to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Starter {
    /// Its name in addresses.
    pub id: &'static str,
    /// What it is called.
    pub title: String,
    /// What it does, in a sentence or two.
    pub description: String,
    /// Words to find scripts by that are made of it.
    pub tags: Vec<String>,
    /// Its language.
    pub language: Language,
    /// Its source.
    pub source: &'static str,
    /// The JSON Schema of its parameters, all of which may be left out.
    pub parameters_schema: String,
}

macro_rules! starters {
    ($($id:literal $language:ident $ending:literal,)*) => {
        [$((
            $id,
            Language::$language,
            include_str!(concat!("../../../templates/starters/", $id, $ending)),
            include_str!(concat!("../../../templates/starters/", $id, ".json")),
        ),)*]
    };
}

/// Id, language, source, and what is said about it.
const ALL: [(&str, Language, &str, &str); 6] = starters! {
    "data-processing" Python ".py",
    "e-mail" Python ".py",
    "scraping" Python ".py",
    "monitoring" Bash ".sh",
    "report" Python ".py",
    "backup" Bash ".sh",
};

impl Starter {
    /// All there are.
    #[must_use]
    pub fn all() -> Vec<Self> {
        ALL.into_iter().map(Self::read).collect()
    }

    /// The one of this id.
    #[must_use]
    pub fn find(id: &str) -> Option<Self> {
        ALL.into_iter().find(|it| it.0 == id).map(Self::read)
    }

    fn read((id, language, source, about): (&'static str, Language, &'static str, &str)) -> Self {
        // It is compiled in, and a test reads each.
        let about: Value = serde_json::from_str(about).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            id,
            title: text(&about["title"]),
            description: text(&about["description"]),
            tags: about["tags"].as_array().into_iter().flatten().map(text).collect(),
            language,
            source,
            parameters_schema: format!("{:#}", about["schema"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{NewScript, Schema, danger::warnings};

    #[tokio::test]
    async fn each_starter_can_be_saved_and_needs_no_parameter() {
        for starter in Starter::all() {
            let id = starter.id;
            assert_eq!(Starter::find(id).as_ref(), Some(&starter));
            let schema = Schema::parse(&starter.parameters_schema).unwrap();
            let defaults = schema.with_defaults(serde_json::Map::new());
            assert_eq!(schema.check(&defaults), [], "{id}");
            assert_eq!(warnings(starter.language, starter.source), [], "{id}");
            let new = NewScript {
                description: starter.description,
                tags: starter.tags,
                parameters_schema: Some(starter.parameters_schema),
                ..NewScript::new(starter.title, starter.language, starter.source)
            };
            assert!(!new.description.is_empty() && !new.tags.is_empty(), "{id}");
            assert!(new.checked().await.is_ok(), "{id}");
        }
        assert_eq!(Starter::find("nothing"), None);
    }
}
