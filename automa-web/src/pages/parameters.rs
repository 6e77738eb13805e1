//! Parameters in forms: a field for each where a schema is simple, else one for a JSON object.

use automa_core::{execution::Parameters, script::is_secret};
use serde_json::{Number, Value};

use super::form::{Field, Kind, Problems, Typed};

/// The field of the JSON object.
pub(crate) const JSON: &str = "parameters";
/// Most properties that get fields of their own.
const FIELDS: usize = 20;

/// How a form asks for parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Asked {
    /// One by one.
    Each(Vec<Property>),
    /// As a JSON object.
    Json,
}

/// A property of a schema that one field can hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Property {
    name: String,
    kind: Type,
    description: Option<String>,
    default: Option<String>,
    required: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Type {
    String,
    /// Is never shown again.
    Secret,
    Integer,
    Number,
    Boolean,
    /// One of these.
    OneOf(Vec<String>),
}

impl Asked {
    /// How to ask for what a schema describes.
    pub(crate) fn of(schema: Option<&str>) -> Self {
        let schema = schema.and_then(|text| serde_json::from_str::<Value>(text).ok());
        schema.as_ref().and_then(properties).map_or(Self::Json, Self::Each)
    }

    /// The same where its fields can show these parameters, else as a JSON object.
    pub(crate) fn for_all(self, parameters: &Parameters) -> Self {
        let shows = |name: &String, value: &Value| match &self {
            Self::Each(all) => {
                !value.is_object() && !value.is_array() && all.iter().any(|it| it.name == *name)
            }
            Self::Json => true,
        };
        if parameters.iter().all(|(name, value)| shows(name, value)) { self } else { Self::Json }
    }

    /// The form that would ask for these parameters.
    pub(crate) fn typed(&self, typed: Typed, parameters: &Parameters) -> Typed {
        match self {
            Self::Json if parameters.is_empty() => typed,
            Self::Json => self::typed(typed, parameters),
            Self::Each(all) => {
                all.iter().fold(typed, |typed, property| match parameters.get(&property.name) {
                    Some(Value::String(text)) => typed.with(&property.id(), text.clone()),
                    Some(value) => typed.with(&property.id(), value.to_string()),
                    None => typed,
                })
            }
        }
    }

    /// The fields, with what was typed.
    pub(crate) fn fields(&self, typed: &Typed, problems: &mut Problems) -> Vec<Field> {
        match self {
            Self::Each(properties) => {
                properties.iter().map(|property| property.field(typed, problems)).collect()
            }
            Self::Json => {
                if let Some(wrong) = problems.take_below(JSON) {
                    problems.add(JSON, &wrong);
                }
                let field = Field::new(JSON, "Parameters", Kind::Text(3))
                    .side("optional")
                    .placeholder("{\"name\": \"value\"}")
                    .hint("A JSON object. Each reaches the script as a variable of its name.")
                    .attributes("class=\"mono\" spellcheck=\"false\"");
                vec![field.filled(typed, problems)]
            }
        }
    }

    /// What was typed, as parameters; what cannot be read is a problem of its field.
    pub(crate) fn read(&self, typed: &Typed, problems: &mut Problems) -> Option<Parameters> {
        match self {
            Self::Json if typed.line(JSON).is_empty() => None,
            Self::Json => match serde_json::from_str::<Parameters>(typed.get(JSON)) {
                Ok(parameters) => Some(parameters),
                Err(error) => {
                    problems.add(JSON, &format!("must be a JSON object: {error}"));
                    None
                }
            },
            Self::Each(properties) => {
                let read = properties.iter().filter_map(|property| {
                    Some((property.name.clone(), property.read(typed, problems)?))
                });
                Some(read.collect())
            }
        }
    }
}

/// The properties of a simple schema; `None` if it asks for more than fields can hold.
fn properties(schema: &Value) -> Option<Vec<Property>> {
    let all = schema.get("properties")?.as_object()?;
    let required = schema.get("required").and_then(Value::as_array);
    let required =
        |name: &str| required.is_some_and(|names| names.iter().any(|it| it.as_str() == Some(name)));
    if all.is_empty() || all.len() > FIELDS {
        return None;
    }
    let all = all.iter().map(|(name, schema)| property(name, schema, required(name)));
    let mut all: Vec<_> = all.collect::<Option<_>>()?;
    // What has to be there comes first.
    all.sort_by_key(|property| !property.required);
    Some(all)
}

fn property(name: &str, schema: &Value, required: bool) -> Option<Property> {
    let words = |values: &Value| -> Option<Vec<String>> {
        values.as_array()?.iter().map(|value| Some(value.as_str()?.to_owned())).collect()
    };
    let kind = match (schema.get("enum"), schema.get("type")?.as_str()?) {
        (Some(values), "string") => Type::OneOf(words(values)?),
        (None, "string") if is_secret(schema) => Type::Secret,
        (None, "string") => Type::String,
        (None, "integer") => Type::Integer,
        (None, "number") => Type::Number,
        (None, "boolean") => Type::Boolean,
        // Of values of other types, or of what no field holds.
        _ => return None,
    };
    let default = schema.get("default").filter(|_| kind != Type::Secret);
    let default = default.map(|value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    let description = schema.get("description").and_then(Value::as_str).map(str::to_owned);
    // The schema's own value stands in for what is left out.
    let required = required && schema.get("default").is_none();
    Some(Property { name: name.to_owned(), kind, description, default, required })
}

impl Property {
    /// Its name in the form, which is also that of errors about it (RFC 6901).
    fn id(&self) -> String {
        format!("{JSON}/{}", self.name.replace('~', "~0").replace('/', "~1"))
    }

    fn field(&self, typed: &Typed, problems: &mut Problems) -> Field {
        let optional = (!self.required).then(String::new);
        let kind = match &self.kind {
            Type::OneOf(words) => {
                Kind::Select(optional.into_iter().chain(words.iter().cloned()).collect())
            }
            Type::Boolean => {
                let words = ["true", "false"].map(str::to_owned);
                Kind::Select(optional.into_iter().chain(words).collect())
            }
            Type::Secret => Kind::Line("password"),
            Type::String | Type::Integer | Type::Number => Kind::Line("text"),
        };
        let mut field = Field::new(self.id(), self.name.clone(), kind);
        if matches!(self.kind, Type::Integer | Type::Number) {
            field = field.attributes("inputmode=\"decimal\"");
        }
        if self.required {
            field = field.side("required");
        }
        if let Some(default) = &self.default {
            field = field.placeholder(default);
        }
        if let Some(description) = &self.description {
            field = field.hint(description);
        }
        if self.kind == Type::Secret {
            let field = field.attributes("autocomplete=\"new-password\"");
            return field.filled(&Typed::default(), problems);
        }
        field.filled(typed, problems)
    }

    /// Its value; nothing where nothing was typed, or what was typed is none.
    fn read(&self, typed: &Typed, problems: &mut Problems) -> Option<Value> {
        let id = self.id();
        let text = typed.get(&id);
        if text.is_empty() {
            return None;
        }
        let value = match self.kind {
            Type::String | Type::Secret | Type::OneOf(_) => Ok(Value::String(text.to_owned())),
            Type::Integer => match text.trim().parse::<i64>() {
                Ok(number) => Ok(number.into()),
                Err(_) => Err("must be a whole number"),
            },
            Type::Number => {
                let number = text.trim().parse().ok().and_then(Number::from_f64);
                number.map(Value::Number).ok_or("must be a number")
            }
            Type::Boolean => {
                text.trim().parse().map(Value::Bool).map_err(|_| "must be true or false")
            }
        };
        value.map_err(|problem| problems.add(id, &problem)).ok()
    }
}

/// The form that would ask for these parameters.
pub(crate) fn typed(typed: Typed, parameters: &Parameters) -> Typed {
    let json = serde_json::to_string_pretty(parameters).unwrap_or_default();
    typed.with(JSON, json)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A schema that fields can hold.
    pub(crate) const SCHEMA: &str = r#"{
        "type": "object",
        "required": ["hosts"],
        "properties": {
            "hosts": {"type": "string", "description": "Names, separated by spaces"},
            "days": {"type": "integer", "default": 14},
            "ratio": {"type": "number"},
            "report": {"type": "string", "enum": ["short", "full"]},
            "dry/run": {"type": "boolean"}
        }
    }"#;

    #[test]
    fn what_has_a_value_of_its_own_need_not_be_typed() {
        let schema = r#"{
            "type": "object",
            "required": ["days", "hosts"],
            "properties": {"days": {"type": "integer", "default": 14}, "hosts": {"type": "string"}}
        }"#;
        let found = properties(&serde_json::from_str(schema).unwrap()).unwrap();
        let required: Vec<_> = found.iter().map(|it| (&*it.name, it.required)).collect();
        assert_eq!(required, [("hosts", true), ("days", false)]);
    }

    #[test]
    fn a_simple_schema_has_fields() {
        let asked = Asked::of(Some(SCHEMA));
        let typed = Typed::default()
            .with("parameters/hosts", "a b")
            .with("parameters/days", " 7 ")
            .with("parameters/report", "full")
            .with("parameters/dry~1run", "true");
        let mut problems = Problems::default();
        let read = asked.read(&typed, &mut problems).map(Value::Object);
        let expected = json!({"hosts": "a b", "days": 7, "report": "full", "dry/run": true});
        assert_eq!(read, Some(expected));
        assert!(problems.is_empty());
        assert_eq!(asked.fields(&typed, &mut problems).len(), 5);
    }

    #[test]
    fn what_is_no_number_is_a_problem_of_its_field() {
        let typed =
            Typed::default().with("parameters/days", "many").with("parameters/ratio", "NaN");
        let mut problems = Problems::default();
        let asked = Asked::of(Some(SCHEMA));
        assert_eq!(asked.read(&typed, &mut problems), Some(Parameters::new()));
        let fields = asked.fields(&typed, &mut problems);
        assert_eq!(fields.iter().filter(|field| field.has_error()).count(), 2);
    }

    #[test]
    fn what_is_wrong_with_a_parameter_is_shown_where_it_was_typed() {
        let mut problems = Problems::default();
        problems.add("parameters/PATH", &"is taken");
        let fields = Asked::Json.fields(&Typed::default(), &mut problems);
        assert!(fields[0].has_error() && problems.is_empty());
    }

    #[test]
    fn what_was_asked_for_is_typed_again() {
        let parameters = json!({"hosts": "a b", "days": 7, "report": "full", "dry/run": true});
        let Value::Object(mut parameters) = parameters else { unreachable!() };
        let asked = Asked::of(Some(SCHEMA));
        assert_eq!(asked.clone().for_all(&parameters), asked);
        let typed = asked.typed(Typed::default(), &parameters);
        assert_eq!(asked.read(&typed, &mut Problems::default()), Some(parameters.clone()));
        parameters.insert("more".to_owned(), json!(["x"]));
        let asked = asked.for_all(&parameters);
        assert_eq!(asked, Asked::Json);
        let typed = asked.typed(Typed::default(), &parameters);
        assert_eq!(asked.read(&typed, &mut Problems::default()), Some(parameters));
    }

    #[test]
    fn everything_else_is_json() {
        for schema in [
            "",
            "{}",
            "true",
            r#"{"properties": {}}"#,
            r#"{"properties": {"a": {"type": "array"}}}"#,
            r#"{"properties": {"a": {"type": ["string", "null"]}}}"#,
            r##"{"properties": {"a": {"$ref": "#/x"}}}"##,
        ] {
            assert_eq!(Asked::of(Some(schema)), Asked::Json, "{schema}");
        }
        let mut problems = Problems::default();
        assert_eq!(Asked::Json.read(&Typed::default(), &mut problems), None);
        let typed = Typed::default().with(JSON, "{\"a\": [1]}");
        assert_eq!(
            Asked::Json.read(&typed, &mut problems).map(Value::Object),
            Some(json!({"a": [1]}))
        );
        assert!(problems.is_empty());
        for text in ["[]", "1", "{"] {
            assert_eq!(Asked::Json.read(&Typed::default().with(JSON, text), &mut problems), None);
            assert!(problems.take(JSON).is_some_and(|it| it.starts_with("Must be a JSON object")));
        }
    }
}
