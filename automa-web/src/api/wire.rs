//! Values of core as values of the API: text of a format, and words of a list.

use std::{borrow::Cow, fmt::Display, str::FromStr};

use automa_core::{
    actor::{Origin, Permission, Role},
    address::Network,
    agent,
    audit::Outcome,
    credential::{Delivery, Kind},
    execution::{OnConflict, State},
    id::{
        AgentId, ApiKeyId, AuditId, BindingId, CredentialId, ExecutionId, JobId, ScriptId,
        SessionId, UserId,
    },
    job::{By, Overlap},
    page::Cursor,
    script::{Content, Language, Place, Sort, Status, Visibility},
    tier::Tier,
    user::Theme,
};
use automa_sandbox::{Destination, Stream};
use jiff::Timestamp;
use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON, Type},
};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// Something of core that is text of a format.
pub(crate) trait Format: Display + FromStr<Err: Display> + Send + Sync {
    /// The format's name in OpenAPI.
    const FORMAT: &'static str;
}

impl Format for ExecutionId {
    const FORMAT: &'static str = "uuid";
}
impl Format for CredentialId {
    const FORMAT: &'static str = "uuid";
}
impl Format for BindingId {
    const FORMAT: &'static str = "uuid";
}
impl Format for ScriptId {
    const FORMAT: &'static str = "uuid";
}
impl Format for JobId {
    const FORMAT: &'static str = "uuid";
}
impl Format for AgentId {
    const FORMAT: &'static str = "uuid";
}
impl Format for ApiKeyId {
    const FORMAT: &'static str = "uuid";
}
impl Format for Network {
    const FORMAT: &'static str = "network";
}
impl Format for UserId {
    const FORMAT: &'static str = "uuid";
}
impl Format for SessionId {
    const FORMAT: &'static str = "uuid";
}
impl Format for AuditId {
    const FORMAT: &'static str = "uuid";
}
impl Format for Timestamp {
    const FORMAT: &'static str = "date-time";
}
impl Format for Cursor {
    const FORMAT: &'static str = "cursor";
}

impl Format for Content {
    const FORMAT: &'static str = "sha256";
}

impl Format for Destination {
    const FORMAT: &'static str = "destination";
}

/// Something of core that is one word of a list.
pub(crate) trait Word: Copy + Send + Sync + 'static {
    /// What the word names.
    const NAME: &'static str;
    /// All words there are.
    const ALL: &'static [Self];
    /// The word.
    fn word(self) -> &'static str;
}

impl Word for State {
    const NAME: &'static str = "State";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for OnConflict {
    const NAME: &'static str = "OnConflict";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for Overlap {
    const NAME: &'static str = "Overlap";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for By {
    const NAME: &'static str = "SlotBy";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for Language {
    const NAME: &'static str = "Language";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for Status {
    const NAME: &'static str = "ScriptStatus";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for Visibility {
    const NAME: &'static str = "Visibility";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for Sort {
    const NAME: &'static str = "ScriptSort";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for Place {
    const NAME: &'static str = "ScriptPart";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for agent::State {
    const NAME: &'static str = "AgentState";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for agent::When {
    const NAME: &'static str = "RestartPolicy";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for agent::Signal {
    const NAME: &'static str = "Signal";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for Permission {
    const NAME: &'static str = "Permission";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for Tier {
    const NAME: &'static str = "Tier";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for Outcome {
    const NAME: &'static str = "AuditOutcome";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for Kind {
    const NAME: &'static str = "CredentialTypeName";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for Origin {
    const NAME: &'static str = "Origin";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for Delivery {
    const NAME: &'static str = "Delivery";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for Role {
    const NAME: &'static str = "Role";
    const ALL: &'static [Self] = &[Self::Viewer, Self::Operator, Self::Admin];

    fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl Word for Theme {
    const NAME: &'static str = "Theme";
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Word for Stream {
    const NAME: &'static str = "Stream";
    const ALL: &'static [Self] = &[Self::Stdout, Self::Stderr];

    fn word(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl<T: Format> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<T: Word> Serialize for OneOf<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.word())
    }
}

/// How a value of core travels.
trait Travel: Sized + Send + Sync {
    fn name() -> Cow<'static, str>;
    fn schema() -> MetaSchema;
    fn read(text: &str) -> Result<Self, String>;
    fn write(&self) -> String;
}

/// Text of a format, in the API.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<T>(pub(crate) T);

/// A word of a list, in the API.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OneOf<T>(pub(crate) T);

impl<T: Format> Travel for Text<T> {
    fn name() -> Cow<'static, str> {
        format!("string_{}", T::FORMAT).into()
    }

    fn schema() -> MetaSchema {
        MetaSchema::new_with_format("string", T::FORMAT)
    }

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error: T::Err| error.to_string())
    }

    fn write(&self) -> String {
        self.0.to_string()
    }
}

impl<T: Word> Travel for OneOf<T> {
    fn name() -> Cow<'static, str> {
        T::NAME.into()
    }

    fn schema() -> MetaSchema {
        let words = T::ALL.iter().map(|it| Value::from(it.word())).collect();
        MetaSchema { enum_items: words, ..MetaSchema::new("string") }
    }

    fn read(text: &str) -> Result<Self, String> {
        let known = T::ALL.iter().find(|it| it.word() == text);
        known.copied().map(Self).ok_or_else(|| {
            let words: Vec<_> = T::ALL.iter().map(|it| it.word()).collect();
            format!("must be one of {}", words.join(", "))
        })
    }

    fn write(&self) -> String {
        self.0.word().to_owned()
    }
}

macro_rules! travels {
    ($name:ident, $bound:ident) => {
        impl<T: $bound> Type for $name<T> {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                <Self as Travel>::name()
            }

            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Inline(Box::new(<Self as Travel>::schema()))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }

        impl<T: $bound> ParseFromParameter for $name<T> {
            fn parse_from_parameter(text: &str) -> ParseResult<Self> {
                Self::read(text).map_err(ParseError::custom)
            }
        }

        impl<T: $bound> ParseFromJSON for $name<T> {
            fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
                match value {
                    Some(Value::String(text)) => Self::read(&text).map_err(ParseError::custom),
                    other => Err(ParseError::expected_type(other.unwrap_or_default())),
                }
            }
        }

        impl<T: $bound> ToJSON for $name<T> {
            fn to_json(&self) -> Option<Value> {
                Some(Value::String(self.write()))
            }
        }
    };
}

travels!(Text, Format);
travels!(OneOf, Word);
