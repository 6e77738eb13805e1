//! Which names are taken over: those that any program, terminal and archive shows as they are.

use std::{ffi::OsStr, path::Path};

/// Longest path that can be opened in one call (`PATH_MAX` with its NUL).
const MAX_PATH: usize = 4095;

/// Whether a name can be taken over. It comes from a directory, so it is neither `.` nor `..`, and
/// no slash is in it.
pub(super) fn is_plain(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| !name.chars().any(is_treacherous))
}

/// Whether a path is short enough to be opened.
pub(super) fn fits(path: &Path) -> bool {
    path.as_os_str().len() <= MAX_PATH
}

/// Ends or moves the line it is shown in.
fn is_treacherous(c: char) -> bool {
    // Besides control characters: the separators of lines and paragraphs, and what turns the
    // direction of writing around, so that `gpj.exe` would be shown as `exe.jpg`.
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A path as it can be shown: escaped, and cut when it is long.
pub(super) fn printable(path: &Path) -> String {
    const SHOWN: usize = 300;
    let mut text = String::new();
    for c in path.to_string_lossy().chars() {
        if is_treacherous(c) {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
        if text.len() > SHOWN {
            text.push('…');
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_deceive_are_not_plain() {
        for name in ["report.txt", "päth", "...", "a b", "-rf", "\u{1f600}", "a\\b", ".hidden"] {
            assert!(is_plain(name.as_ref()), "{name}");
        }
        for name in ["a\nb", "\x1b[2J", "\x7f", "a\u{85}b", "a\u{202e}gpj.exe", "\t"] {
            assert!(!is_plain(name.as_ref()), "{name:?}");
        }
        assert!(!is_plain(OsStr::from_bytes(b"\xff")));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_short_and_stays_on_its_line(bytes: Vec<u8>) {
            let shown = printable(Path::new(OsStr::from_bytes(&bytes)));
            prop_assert!(is_plain(shown.as_ref()));
            prop_assert!(shown.len() < 320);
        }

        #[test]
        fn a_plain_name_is_shown_as_it_is(name in "[^/\0]{1,60}") {
            if is_plain(name.as_ref()) {
                prop_assert_eq!(printable(Path::new(&name)), name);
            }
        }
    }
}
