//! Text that nobody vouches for, made fit for a page: names, causes, lines of logs.
//!
//! It is escaped, and no character of it is left that does something other than show: control
//! characters would be invisible, and those that turn the direction of writing would change the
//! look of what stands around.

/// Escaped for an element or a quoted attribute, with odd characters as [`push`] shows them.
/// Isolated, so that text from right to left stays in its place.
pub(crate) fn plain(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 16);
    html.push_str("<bdi>");
    text.chars().for_each(|c| push(&mut html, c));
    html.push_str("</bdi>");
    html
}

/// Not escaped, for where there is no element to put odd characters into: the title of a tab.
pub(crate) fn bare(text: &str) -> String {
    text.chars().map(|c| if is_odd(c) { '\u{fffd}' } else { c }).collect()
}

/// Whether a character does something other than show.
fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Appends one character: escaped, or visible instead of effective.
pub(crate) fn push(html: &mut String, c: char) {
    match c {
        '&' => html.push_str("&amp;"),
        '<' => html.push_str("&lt;"),
        '>' => html.push_str("&gt;"),
        '"' => html.push_str("&quot;"),
        '\'' => html.push_str("&#39;"),
        '\t' => html.push('\t'),
        // Pictures of control characters stand in the same order as they do.
        '\0'..='\x1f' => {
            odd(html, &char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}').to_string());
        }
        '\x7f' => odd(html, "\u{2421}"),
        c if is_odd(c) => odd(html, &format!("U+{:04X}", u32::from(c))),
        c => html.push(c),
    }
}

fn odd(html: &mut String, shown: &str) {
    html.push_str("<span class=\"odd\">");
    html.push_str(shown);
    html.push_str("</span>");
}

/// The first letter of a sentence as a capital, and its full stop.
pub(crate) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    let mut sentence: String = first.chain(chars).collect();
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_does_anything_but_show() {
        assert_eq!(
            plain("<script>alert('1')</script> & \"x\""),
            "<bdi>&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;x&quot;</bdi>"
        );
        assert_eq!(plain("a\u{7}b"), "<bdi>a<span class=\"odd\">␇</span>b</bdi>");
        assert_eq!(plain("\u{202e}txt"), "<bdi><span class=\"odd\">U+202E</span>txt</bdi>");
        assert_eq!(plain("שלום, мир, 世界, 👩"), "<bdi>שלום, мир, 世界, 👩</bdi>");
    }

    proptest! {
        #[test]
        fn any_text_is_escaped(text in r"(?s)(.|[<>&\x22']){0,40}") {
            let html = plain(&text);
            let inside = html.strip_prefix("<bdi>").unwrap().strip_suffix("</bdi>").unwrap();
            let inside = inside.replace("<span class=\"odd\">", "").replace("</span>", "");
            prop_assert!(!inside.contains(['<', '>', '"', '\'']), "{}", html);
            prop_assert!(!inside.chars().any(|c| c.is_control() && c != '\t'), "{:?}", html);
        }
    }
}
