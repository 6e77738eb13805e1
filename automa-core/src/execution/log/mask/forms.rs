//! The forms in which a secret may be written.

use std::{collections::BTreeSet, fmt::Write as _};

/// Shortest secret that is masked, in bytes, without white space around it.
pub const SECRET_MIN: usize = 4;
/// Shortest line of a secret that is masked alone: shorter ones are `}` or `true`.
const LINE_MIN: usize = 8;

/// All forms of `secret`, none of less than 4 bytes.
pub(super) fn forms(secret: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::new();
    // A file ends in a newline that `$(cat file)` does not have.
    let trimmed = secret.trim_ascii();
    if trimmed.len() < SECRET_MIN {
        return forms;
    }
    forms.insert(trimmed.to_vec());
    let lines = trimmed.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    forms.extend(lines.filter(|line| line.len() >= LINE_MIN).map(<[u8]>::to_vec));
    for bytes in [trimmed, secret] {
        hex(bytes, &mut forms);
        base64(bytes, &mut forms);
        url(bytes, &mut forms);
        if let Ok(text) = str::from_utf8(bytes) {
            json(text, &mut forms);
        }
    }
    // What is left between newlines where the secret is its own white space.
    forms.retain(|form| form.len() >= SECRET_MIN);
    forms
}

fn hex(bytes: &[u8], forms: &mut BTreeSet<Vec<u8>>) {
    let lower = bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    forms.insert(lower.to_ascii_uppercase().into_bytes());
    forms.insert(lower.into_bytes());
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64 takes three bytes at a time, so what becomes of the secret depends on how many bytes are
/// before it.
fn base64(bytes: &[u8], forms: &mut BTreeSet<Vec<u8>>) {
    for alphabet in [STANDARD, URL_SAFE] {
        for before in 0..3 {
            let all = encode(&[&[0; 2][..before], bytes].concat(), alphabet);
            let bits = 8 * (before + bytes.len());
            // Characters that hold bits of what is before, or of what may come after, are not known.
            let first = (8 * before).div_ceil(6);
            forms.insert(all[first..bits / 6].to_vec());
            forms.insert(all[first..bits.div_ceil(6)].to_vec());
            forms.insert(all[first..].to_vec());
        }
        let alone = encode(bytes, alphabet);
        for width in [64, 76] {
            let lines = alone.chunks(width).filter(|line| line.len() >= LINE_MIN);
            forms.extend(lines.map(<[u8]>::to_vec));
        }
    }
}

/// Base64 with padding.
fn encode(bytes: &[u8], alphabet: &[u8; 64]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for group in bytes.chunks(3) {
        let byte = |at: usize| usize::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let known = at <= group.len();
            encoded.push(if known { alphabet[bits >> shift & 63] } else { b'=' });
        }
    }
    encoded
}

/// What libraries leave as it is, besides letters and digits, and what becomes of a space.
const URL_STYLES: [(&[u8], &str); 6] = [
    // RFC 3986, encodeURIComponent, encodeURI
    (b"-_.~", "%20"),
    (b"-_.~!*'()", "%20"),
    (b"-_.~!*'();,/?:@&=+$#", "%20"),
    // Python's quote and quote_plus, forms of the WHATWG
    (b"-_.~/", "%20"),
    (b"-_.~", "+"),
    (b"*-._", "+"),
];

fn url(bytes: &[u8], forms: &mut BTreeSet<Vec<u8>>) {
    for (kept, space) in URL_STYLES {
        let (mut upper, mut lower) = (String::new(), String::new());
        for &byte in bytes {
            if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
                upper.push(char::from(byte));
                lower.push(char::from(byte));
            } else if byte == b' ' {
                upper.push_str(space);
                lower.push_str(space);
            } else {
                let _ = write!(upper, "%{byte:02X}");
                let _ = write!(lower, "%{byte:02x}");
            }
        }
        forms.extend([upper.into_bytes(), lower.into_bytes()]);
    }
}

fn json(text: &str, forms: &mut BTreeSet<Vec<u8>>) {
    // What libraries escape though they need not: what is not ASCII (Python, PHP), what has a
    // meaning in HTML (Go), the slash (PHP).
    for (ascii, html, slash) in [
        (false, false, false),
        (true, false, false),
        (false, true, false),
        (false, false, true),
        (true, false, true),
    ] {
        let mut escaped = String::new();
        for character in text.chars() {
            match character {
                '"' => escaped.push_str("\\\""),
                '\\' => escaped.push_str("\\\\"),
                '\n' => escaped.push_str("\\n"),
                '\r' => escaped.push_str("\\r"),
                '\t' => escaped.push_str("\\t"),
                '\u{8}' => escaped.push_str("\\b"),
                '\u{c}' => escaped.push_str("\\f"),
                '/' if slash => escaped.push_str("\\/"),
                '<' | '>' | '&' if html => unicode(character, &mut escaped),
                '\0'..' ' => unicode(character, &mut escaped),
                _ if ascii && !character.is_ascii() => unicode(character, &mut escaped),
                _ => escaped.push(character),
            }
        }
        forms.insert(escaped.into_bytes());
    }
}

fn unicode(character: char, escaped: &mut String) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        let _ = write!(escaped, "\\u{unit:04x}");
    }
}
