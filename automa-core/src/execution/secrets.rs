//! Secrets of an execution: what must not be seen of what it is given.

use serde_json::Value;

use super::{Ending, Ran, Report, log::Mask};
use crate::{Error, Result, id::ScriptId, script, store::change::View};

/// What is masked in everything that an execution leaves: parameters that its script's schema marks as
/// secret.
///
/// # Errors
///
/// [`Error::Mask`] when they are too large to be looked for; and the store's.
pub(super) fn mask(view: &impl View, script: Option<(ScriptId, u32)>, ran: &Ran) -> Result<Mask> {
    let Some(parameters) = &ran.parameters else { return Ok(Mask::default()) };
    let Some((script, number)) = script else { return Ok(Mask::default()) };
    let Some(schema) = script::kept_version(view, script, number)?.parameters_schema else {
        return Ok(Mask::default());
    };
    // What was stored was a schema.
    let schema: Value = serde_json::from_str(&schema).unwrap_or_default();
    Mask::new(script::secrets(&schema, parameters)).map_err(Error::from)
}

impl Mask {
    /// Masks what is told of how an execution ended.
    pub(super) fn apply_to_end(&self, ending: &mut Ending, report: Option<&mut Report>) {
        if self.is_empty() {
            return;
        }
        ending.cause = self.apply_to_text(&ending.cause);
        let Some(report) = report else { return };
        if let Ok(mut value) = serde_json::from_str(&report.json) {
            self.apply_to_value(&mut value);
            report.json = value.to_string();
        }
    }

    /// Masks every text within a value.
    fn apply_to_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.apply_to_text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.apply_to_value(item)),
            Value::Object(members) => {
                members.values_mut().for_each(|member| self.apply_to_value(member));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn apply_to_text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.apply(text.as_bytes())).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_the_end_is_masked() {
        let mask = Mask::new(["hunter22", "wall"]).unwrap();
        let mut ending = Ending::unknown("reached hunter22.example.com");
        let json = r#"{"usage":{"wall":1},"network":[{"host":"hunter22.example.com"}]}"#;
        let mut report = Report { json: json.to_owned() };
        mask.apply_to_end(&mut ending, Some(&mut report));
        assert_eq!(ending.cause, "the script reached ***.example.com");
        let masked: Value = serde_json::from_str(&report.json).unwrap();
        assert_eq!(masked["network"][0]["host"], "***.example.com");
        assert_eq!(masked["usage"]["wall"], 1);
    }
}
