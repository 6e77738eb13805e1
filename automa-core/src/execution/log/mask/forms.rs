//! The forms in which a secret may be written.

use std::io::Write as _;

use zeroize::Zeroizing;

mod quoted;

/// Shortest secret that is masked, in bytes, without white space around it.
pub const SECRET_MIN: usize = 4;
/// Shortest line of a secret that is masked alone: shorter ones are `}` or `true`.
const LINE_MIN: usize = 8;
/// Longest secret that is looked for with the white space around it as well: of what is longer, the
/// encoded forms without it are found all the same, but for a character at either end.
const WHOLE_MAX: usize = 4096;

/// Forms, in memory that is wiped.
pub(super) type Forms = Vec<Zeroizing<Vec<u8>>>;

/// All forms of `secret`, each once, none of less than 4 bytes.
pub(super) fn forms(secret: &[u8]) -> Forms {
    let mut forms = Forms::new();
    // A file ends in a newline that `$(cat file)` does not have.
    let trimmed = secret.trim_ascii();
    if trimmed.len() < SECRET_MIN {
        return forms;
    }
    add(&mut forms, trimmed);
    let lines = trimmed.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| line.len() >= LINE_MIN).for_each(|line| add(&mut forms, line));
    let whole = (secret != trimmed && secret.len() <= WHOLE_MAX).then_some(secret);
    for bytes in [trimmed].into_iter().chain(whole) {
        hex(bytes, &mut forms);
        base64(bytes, &mut forms);
        url(bytes, &mut forms);
        quoted::escaped(bytes, &mut forms);
    }
    quoted::for_shells(trimmed, &mut forms);
    // What is left between newlines where the secret is its own white space.
    forms.retain(|form| form.len() >= SECRET_MIN);
    forms.sort_unstable_by(|a, b| a.as_slice().cmp(b));
    forms.dedup();
    forms
}

fn add(forms: &mut Forms, form: &[u8]) {
    forms.push(Zeroizing::new(form.to_vec()));
}

/// Room for a form of at most `most` bytes: what grows leaves copies behind.
fn room(most: usize) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(most))
}

fn hex(bytes: &[u8], forms: &mut Forms) {
    let mut lower = room(2 * bytes.len());
    for byte in bytes {
        // Writing to memory does not fail.
        let _ = write!(lower, "{byte:02x}");
    }
    add(forms, &Zeroizing::new(lower.to_ascii_uppercase()));
    forms.push(lower);
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64 takes three bytes at a time, so what becomes of the secret depends on how many bytes are
/// before it.
fn base64(bytes: &[u8], forms: &mut Forms) {
    for alphabet in [STANDARD, URL_SAFE] {
        for before in 0..3 {
            let shifted = Zeroizing::new([&[0; 2][..before], bytes].concat());
            let all = encode(&shifted, alphabet);
            let bits = 8 * (before + bytes.len());
            // Characters that hold bits of what is before, or of what may come after, are not known.
            let first = (8 * before).div_ceil(6);
            add(forms, &all[first..bits / 6]);
            add(forms, &all[first..bits.div_ceil(6)]);
            add(forms, &all[first..]);
        }
        let alone = encode(bytes, alphabet);
        for width in [64, 76] {
            let lines = alone.chunks(width).filter(|line| line.len() >= LINE_MIN);
            lines.for_each(|line| add(forms, line));
        }
    }
}

/// Base64 with padding.
fn encode(bytes: &[u8], alphabet: &[u8; 64]) -> Zeroizing<Vec<u8>> {
    let mut encoded = room(bytes.len().div_ceil(3) * 4);
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

fn url(bytes: &[u8], forms: &mut Forms) {
    let mut encode = |is_kept: &dyn Fn(u8) -> bool, space: &str| {
        let (mut upper, mut lower) = (room(3 * bytes.len()), room(3 * bytes.len()));
        for &byte in bytes {
            if is_kept(byte) {
                upper.push(byte);
                lower.push(byte);
            } else if byte == b' ' {
                upper.extend_from_slice(space.as_bytes());
                lower.extend_from_slice(space.as_bytes());
            } else {
                let _ = write!(upper, "%{byte:02X}");
                let _ = write!(lower, "%{byte:02x}");
            }
        }
        forms.extend([upper, lower]);
    };
    for (kept, space) in URL_STYLES {
        encode(&|byte| byte.is_ascii_alphanumeric() || kept.contains(&byte), space);
    }
    // Each byte, as nobody has to but some do.
    encode(&|_| false, "%20");
}
