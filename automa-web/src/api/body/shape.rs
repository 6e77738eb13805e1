//! Bounds for the shape of JSON, before it is read into memory: few bytes can make many values.

/// Most levels of objects and arrays within each other.
pub(super) const DEPTH: usize = 64;
/// Most members of all objects together.
pub(super) const MEMBERS: usize = 10_000;

/// Why a text is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Shapeless {
    #[error("objects and arrays may be within each other {DEPTH} times at most")]
    Deep,
    #[error("all objects together may have {MEMBERS} members at most")]
    Wide,
}

/// Looks at brackets and colons outside of strings. Whether it is JSON at all is seen later.
pub(super) fn check(json: &[u8]) -> Result<(), Shapeless> {
    let (mut depth, mut members) = (0usize, 0usize);
    let (mut in_string, mut escaped) = (false, false);
    for &byte in json {
        if in_string {
            (in_string, escaped) = match byte {
                _ if escaped => (true, false),
                b'\\' => (true, true),
                byte => (byte != b'"', false),
            };
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b':' => members += 1,
            _ => {}
        }
        if depth > DEPTH {
            return Err(Shapeless::Deep);
        }
        if members > MEMBERS {
            return Err(Shapeless::Wide);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bounds_are_exact_and_strings_do_not_count() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(check(deep(DEPTH).as_bytes()), Ok(()));
        assert_eq!(check(deep(DEPTH + 1).as_bytes()), Err(Shapeless::Deep));
        let wide = |members: usize| format!("{{{}}}", vec!["\"a\":1"; members].join(","));
        assert_eq!(check(wide(MEMBERS).as_bytes()), Ok(()));
        assert_eq!(check(wide(MEMBERS + 1).as_bytes()), Err(Shapeless::Wide));
        let text = serde_json::to_string(&(deep(100) + "\\\":\\" + &":".repeat(20_000))).unwrap();
        assert_eq!(check(text.as_bytes()), Ok(()));
    }

    proptest! {
        #[test]
        fn any_string_is_only_a_string(text: String) {
            let json = serde_json::to_string(&vec![text; 3]).unwrap();
            prop_assert_eq!(check(json.as_bytes()), Ok(()));
        }
    }
}
