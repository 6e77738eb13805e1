//! Forms: what was typed, what is wrong with it, and how it is shown again.

use std::collections::BTreeMap;

use askama::{Template, filters::HtmlSafe};
use automa_core::error::FieldError;

use crate::{filters, pages::text::sentence};

/// The pairs that a form sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Typed(Vec<(String, String)>);

impl Typed {
    /// What was typed into a field; nothing when the form had none of this name.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// All that was chosen of a field that may be sent several times.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// Whether all that was sent has something in it.
    pub(crate) fn is_filled(&self) -> bool {
        self.0.iter().all(|(_, value)| !value.is_empty())
    }

    /// Whether there was a field of this name, whatever was in it.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// The same without space around it.
    pub(crate) fn line(&self, name: &str) -> &str {
        self.get(name).trim()
    }

    /// Text of several lines, with the line ends of a script: browsers send `\r\n`.
    pub(crate) fn text(&self, name: &str) -> String {
        self.get(name).replace("\r\n", "\n")
    }

    /// The same, and of another form what this has not.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Puts a value in, for forms that were not sent yet.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }
}

/// What is wrong, by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Problems(BTreeMap<String, String>);

impl Problems {
    pub(crate) fn add(&mut self, field: impl Into<String>, reason: &impl ToString) {
        self.0.entry(field.into()).or_insert_with(|| sentence(&reason.to_string()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes what is wrong with one field, to be shown there.
    pub(crate) fn take(&mut self, field: &str) -> Option<String> {
        self.0.remove(field)
    }

    /// Something that is wrong with the form as a whole.
    pub(crate) fn of_form(reason: &impl ToString) -> Self {
        let mut problems = Self::default();
        problems.add("", reason);
        problems
    }

    /// Takes what is wrong with anything below a field, to be shown there as one text.
    pub(crate) fn take_below(&mut self, field: &str) -> Option<String> {
        let below = format!("{field}/");
        let wrong = self.0.extract_if(.., |name, _| name.starts_with(&below));
        let wrong: Vec<_> =
            wrong.map(|(name, reason)| format!("{}: {reason}", &name[below.len()..])).collect();
        (!wrong.is_empty()).then(|| wrong.join(" "))
    }

    /// All that is wrong, without the names of fields.
    pub(crate) fn reasons(self) -> Vec<String> {
        self.0.into_values().collect()
    }

    /// What no field of the form has shown.
    pub(crate) fn rest(self) -> Vec<String> {
        let named = |(field, reason): (String, String)| match field.as_str() {
            "" => reason,
            _ => format!("{field}: {reason}"),
        };
        self.0.into_iter().map(named).collect()
    }
}

impl From<&[FieldError]> for Problems {
    fn from(errors: &[FieldError]) -> Self {
        let mut problems = Self::default();
        for error in errors {
            problems.add(error.field.to_string(), &error.reason);
        }
        problems
    }
}

/// How a field is filled in.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// One line: the `type` of its input.
    Line(&'static str),
    /// So many lines.
    Text(u8),
    /// One of few, all of them seen: value and title.
    Choice(Vec<(String, String)>),
    /// One of several.
    Select(Vec<String>),
}

/// A field of a form with its label, hint and error.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/field.html")]
pub(crate) struct Field {
    /// Its name in the form, too.
    id: String,
    label: String,
    /// Said beside the label: "required".
    side: Option<String>,
    value: String,
    placeholder: Option<String>,
    hint: Option<String>,
    error: Option<String>,
    kind: Kind,
    /// More attributes of the input: written here only, never by a user.
    attributes: &'static str,
}

/// The template escapes for itself.
impl HtmlSafe for Field {}

impl Field {
    pub(crate) fn new(id: impl Into<String>, label: impl Into<String>, kind: Kind) -> Self {
        Self {
            id: id.into(),
            label: label.into(),
            side: None,
            value: String::new(),
            placeholder: None,
            hint: None,
            error: None,
            kind,
            attributes: "",
        }
    }

    pub(crate) fn line(id: impl Into<String>, label: impl Into<String>) -> Self {
        Self::new(id, label, Kind::Line("text"))
    }

    pub(crate) fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn side(mut self, side: impl Into<String>) -> Self {
        self.side = Some(side.into());
        self
    }

    pub(crate) fn placeholder(mut self, text: impl Into<String>) -> Self {
        self.placeholder = Some(text.into());
        self
    }

    pub(crate) fn attributes(mut self, attributes: &'static str) -> Self {
        self.attributes = attributes;
        self
    }

    /// With what was typed and what is wrong with it.
    pub(crate) fn filled(self, typed: &Typed, problems: &mut Problems) -> Self {
        let value = typed.get(&self.id).to_owned();
        let error = problems.take(&self.id);
        Self { error, ..self.value(value) }
    }

    /// Whether there is something in it.
    pub(crate) fn is_filled(&self) -> bool {
        !self.value.trim().is_empty()
    }

    pub(crate) fn has_error(&self) -> bool {
        self.error.is_some()
    }

    fn is(&self, value: &str) -> bool {
        self.value == value
    }

    /// What is in it, or what counts while nothing is.
    pub(crate) fn shown(&self) -> &str {
        if self.is_filled() { &self.value } else { self.placeholder.as_deref().unwrap_or_default() }
    }

    /// How many lines of it hold something.
    pub(crate) fn filled_lines(&self) -> usize {
        self.value.lines().filter(|line| !line.trim().is_empty()).count()
    }

    /// The elements that say more, for whoever hears the page.
    fn described(&self) -> Option<String> {
        let error = self.error.as_ref().map(|_| format!("{}-e", self.id));
        let hint = self.hint.as_ref().map(|_| format!("{}-h", self.id));
        let ids: Vec<_> = error.into_iter().chain(hint).collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_shown_again_with_what_is_wrong() {
        let typed = Typed::default().with("name", "<b>\"x\"");
        let mut problems = Problems::default();
        problems.add("name", &"must be one line");
        problems.add("elsewhere", &"is wrong");
        let field = Field::line("name", "Name").hint("A hint").filled(&typed, &mut problems);
        let html = field.render().unwrap();
        assert!(html.contains("value=\"&#60;b&#62;&#34;x&#34;\""), "{html}");
        assert!(
            html.contains("aria-invalid=\"true\" aria-describedby=\"name-e name-h\""),
            "{html}"
        );
        assert!(html.contains("Must be one line."), "{html}");
        assert_eq!(problems.rest(), ["elsewhere: Is wrong."]);
    }

    #[test]
    fn text_has_the_line_ends_of_scripts() {
        let typed = Typed::default().with("source", "a\r\nb\n\r\n");
        assert_eq!(typed.text("source"), "a\nb\n\n");
        assert_eq!(typed.get("none"), "");
    }

    #[test]
    fn a_text_keeps_the_empty_line_it_begins_with() {
        let field = Field::new("source", "Source", Kind::Text(3)).value("\nsecond");
        // A browser drops one line break after the tag.
        assert!(field.render().unwrap().contains(">\n\nsecond</textarea>"));
    }
}
