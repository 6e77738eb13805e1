//! A line of JSON, indented for people.

use serde::de::IgnoredAny;

/// Deeper than so many levels nothing is indented further: what nests more is nobody's to read, and
/// would become much longer than it is.
const DEEPEST: usize = 20;

/// Whether a line is a JSON object or array.
pub(super) fn is_json(line: &str) -> bool {
    let line = line.trim();
    let object = line.starts_with('{') && line.ends_with('}');
    let array = line.starts_with('[') && line.ends_with(']');
    (object || array) && serde_json::from_str::<IgnoredAny>(line).is_ok()
}

/// The same with a line for each of its parts; numbers and strings stay as they were written.
pub(super) fn indented(json: &str) -> String {
    let mut out = String::with_capacity(2 * json.len());
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth.min(DEEPEST)));
    };
    let mut chars = json.trim().chars().peekable();
    while let Some(c) = chars.next() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                while chars.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(end) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => {
                in_string = c == '"';
                out.push(c);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_part_has_a_line() {
        let json = r#" {"a":[1.50,{ }],"b, {":"x: \"}","c":[ ]} "#;
        assert!(is_json(json));
        assert_eq!(
            indented(json),
            "{\n  \"a\": [\n    1.50,\n    {}\n  ],\n  \"b, {\": \"x: \\\"}\",\n  \"c\": []\n}"
        );
        for other in ["", "{", "{}x", "1", "\"a\"", "{a: 1}", "[INFO] started"] {
            assert!(!is_json(other), "{other}");
        }
        assert!(!is_json(&"[".repeat(10_000)));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 30, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(".{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_says_the_same(json in any_json(), text: String) {
            let again: Value = serde_json::from_str(&indented(&json.to_string())).unwrap();
            prop_assert_eq!(again, json);
            let _ = indented(&text);
        }
    }
}
