//! How much work a schema makes, told before it is compiled: a few lines of references to
//! references, or of patterns, could keep a processor busy for hours.

use std::collections::HashMap;

use serde_json::Value;

/// Most parts of a schema, with each reference counted as all that it refers to.
const PARTS_MAX: u64 = 10_000;
/// Most references on the way from one to the next.
const DEPTH_MAX: usize = 64;
/// Most patterns.
const PATTERNS_MAX: usize = 50;
/// Most bytes of a compiled pattern: `^[\pL ]{1,50}$` needs about as much.
pub(super) const PATTERN_SIZE_MAX: usize = 5 << 20;

/// Keywords that would give a part another name or another base than its place.
const OTHER_NAMES: [&str; 6] =
    ["$id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef"];

/// Says why a schema would be too much work, if it would.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    let mut cost = Cost { schema, known: HashMap::new(), depth: 0, patterns: 0 };
    cost.of(schema).map(|_| ())
}

struct Cost<'a> {
    schema: &'a Value,
    /// What each reference costs; `None` while that is being found out.
    known: HashMap<&'a str, Option<u64>>,
    depth: usize,
    patterns: usize,
}

impl<'a> Cost<'a> {
    fn of(&mut self, value: &'a Value) -> Result<u64, String> {
        let mut parts = 1;
        match value {
            Value::Object(fields) => {
                for (key, inner) in fields {
                    parts += self.of_keyword(key, inner)?;
                }
            }
            Value::Array(items) => {
                for inner in items {
                    parts += self.of(inner)?;
                }
            }
            _ => {}
        }
        if parts > PARTS_MAX {
            return Err("is too large once its references are followed".to_owned());
        }
        Ok(parts)
    }

    fn of_keyword(&mut self, key: &str, inner: &'a Value) -> Result<u64, String> {
        match (key, inner) {
            ("$ref", Value::String(reference)) => return self.of_reference(reference),
            ("pattern", Value::String(_)) => self.patterns += 1,
            ("patternProperties", Value::Object(patterns)) => self.patterns += patterns.len(),
            (name, Value::String(_)) if OTHER_NAMES.contains(&name) => {
                return Err(format!("must not use {name}; `$ref` names parts by their place"));
            }
            _ => {}
        }
        if self.patterns > PATTERNS_MAX {
            return Err(format!("has more than {PATTERNS_MAX} patterns"));
        }
        self.of(inner)
    }

    fn of_reference(&mut self, reference: &'a str) -> Result<u64, String> {
        match self.known.get(reference) {
            Some(Some(parts)) => return Ok(*parts),
            Some(None) => return Err(format!("refers to itself by {reference}")),
            None => {}
        }
        let within = reference.strip_prefix('#');
        let part = within.and_then(|pointer| self.schema.pointer(pointer));
        let part = part.ok_or_else(|| format!("has no part {reference} to refer to"))?;
        if self.depth == DEPTH_MAX {
            return Err(format!("refers on more than {DEPTH_MAX} times in a row"));
        }
        self.known.insert(reference, None);
        self.depth += 1;
        let parts = self.of(part)?;
        self.depth -= 1;
        self.known.insert(reference, Some(parts));
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(schema: &Value) -> String {
        check(schema).expect_err("it should be refused")
    }

    #[test]
    fn references_that_double_at_each_step_are_refused() {
        let steps = |most: usize| {
            let step = |n: usize| {
                let next = json!({ "$ref": format!("#/$defs/d{}", n + 1) });
                let schema = if n < most { json!({ "allOf": [next, next] }) } else { json!({}) };
                (format!("d{n}"), schema)
            };
            let parts: serde_json::Map<_, _> = (0..=most).map(step).collect();
            json!({ "$ref": "#/$defs/d0", "$defs": parts })
        };
        assert_eq!(check(&steps(5)), Ok(()));
        assert!(refused(&steps(26)).starts_with("is too large"));
    }

    #[test]
    fn circles_and_long_ways_are_refused() {
        for schema in [
            json!({ "$ref": "#" }),
            json!({ "properties": { "child": { "$ref": "#" } } }),
            json!({ "$ref": "#/$defs/a",
                "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } }),
        ] {
            assert!(refused(&schema).starts_with("refers to itself"), "{schema}");
        }
        let way: serde_json::Map<_, _> = (0..100)
            .map(|n| (n.to_string(), json!({ "$ref": format!("#/$defs/{}", n + 1) })))
            .chain([("100".to_owned(), json!({}))])
            .collect();
        let schema = json!({ "$ref": "#/$defs/0", "$defs": way });
        assert!(refused(&schema).starts_with("refers on more than 64"), "{}", refused(&schema));
    }

    #[test]
    fn a_part_has_one_name() {
        let alias = json!({ "$ref": "#/%24defs/a", "$defs": { "a": {} } });
        assert!(refused(&alias).starts_with("has no part #/%24defs/a"));
        assert!(refused(&json!({ "$defs": { "a": { "$anchor": "x" } } })).contains("$anchor"));
        // As the name of a parameter it is no keyword.
        assert_eq!(check(&json!({ "properties": { "$ref": { "type": "string" } } })), Ok(()));
    }

    #[test]
    fn there_is_a_most_of_patterns() {
        let with = |count: usize| json!({ "allOf": vec![json!({ "pattern": "a" }); count] });
        assert_eq!(check(&with(50)), Ok(()));
        assert_eq!(refused(&with(51)), "has more than 50 patterns");
    }
}
