//! Forms in which a text stands within quotes: of JSON, of Python, of shells.

use std::io::Write as _;

use zeroize::Zeroizing;

use super::{Forms, room};

/// Most bytes that one byte becomes: those of a character as `\u0000`, twice where it takes two.
const LONGEST: usize = 6;

/// What is escaped in JSON that need not be, by some libraries.
#[derive(Clone, Copy, Default)]
struct Json {
    /// What is not ASCII (Python, PHP).
    unicode: bool,
    /// What has a meaning in HTML (Go).
    html: bool,
    /// The slash (PHP).
    slash: bool,
}

/// Adds forms in which no control character stands for itself.
pub(super) fn escaped(bytes: &[u8], forms: &mut Forms) {
    if let Ok(text) = str::from_utf8(bytes) {
        let plain = Json::default();
        for style in [
            plain,
            Json { unicode: true, ..plain },
            Json { html: true, ..plain },
            Json { slash: true, ..plain },
            Json { unicode: true, slash: true, ..plain },
        ] {
            forms.push(json(text, style, |unit| format!("{unit:04x}")));
            forms.push(json(text, style, |unit| format!("{unit:04X}")));
        }
        for quote in [None, Some('\''), Some('"')] {
            forms.push(python(text, quote));
        }
    }
}

/// Adds forms of command lines.
pub(super) fn for_shells(bytes: &[u8], forms: &mut Forms) {
    // Between single quotes, as bash writes it and as Python's shlex does.
    forms.push(replaced(bytes, |byte| (byte == b'\'').then_some(r"'\''")));
    forms.push(replaced(bytes, |byte| (byte == b'\'').then_some(r#"'"'"'"#)));
    // Between double quotes, and without any: each special character behind a backslash.
    forms.push(behind_backslashes(bytes, b"\"$\\`"));
    forms.push(behind_backslashes(bytes, b" \t!\"#$&'()*,;<=>?[\\]^`{|}~"));
    forms.push(behind_backslashes(bytes, b" \t!\"$&'()*,;<>?[\\]^`{|}"));
}

fn json(text: &str, style: Json, hex: impl Fn(u16) -> String) -> Zeroizing<Vec<u8>> {
    let mut escaped = room(LONGEST * text.len());
    for character in text.chars() {
        let short = match character {
            '"' => r#"\""#,
            '\\' => r"\\",
            '\n' => r"\n",
            '\r' => r"\r",
            '\t' => r"\t",
            '\u{8}' => r"\b",
            '\u{c}' => r"\f",
            '/' if style.slash => r"\/",
            _ => "",
        };
        let long = character < ' '
            || style.html && matches!(character, '<' | '>' | '&')
            || style.unicode && !character.is_ascii();
        if !short.is_empty() {
            escaped.extend_from_slice(short.as_bytes());
        } else if long {
            for unit in character.encode_utf16(&mut [0; 2]) {
                escaped.extend_from_slice(br"\u");
                escaped.extend_from_slice(hex(*unit).as_bytes());
            }
        } else {
            push(&mut escaped, character);
        }
    }
    escaped
}

/// As `repr` and bash's `$'…'` write it, with one kind of quotes escaped.
fn python(text: &str, quote: Option<char>) -> Zeroizing<Vec<u8>> {
    let mut escaped = room(LONGEST * text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.extend_from_slice(br"\\"),
            '\n' => escaped.extend_from_slice(br"\n"),
            '\r' => escaped.extend_from_slice(br"\r"),
            '\t' => escaped.extend_from_slice(br"\t"),
            _ if Some(character) == quote => {
                escaped.push(b'\\');
                push(&mut escaped, character);
            }
            '\0'..' ' | '\u{7f}' => {
                // Writing to memory does not fail.
                let _ = write!(escaped, "\\x{:02x}", u32::from(character));
            }
            _ => push(&mut escaped, character),
        }
    }
    escaped
}

fn push(to: &mut Vec<u8>, character: char) {
    to.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn replaced(bytes: &[u8], by: impl Fn(u8) -> Option<&'static str>) -> Zeroizing<Vec<u8>> {
    let mut escaped = room(LONGEST * bytes.len());
    for &byte in bytes {
        match by(byte) {
            Some(text) => escaped.extend_from_slice(text.as_bytes()),
            None => escaped.push(byte),
        }
    }
    escaped
}

fn behind_backslashes(bytes: &[u8], special: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut escaped = room(2 * bytes.len());
    for &byte in bytes {
        if special.contains(&byte) {
            escaped.push(b'\\');
        }
        escaped.push(byte);
    }
    escaped
}
