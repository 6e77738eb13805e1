//! Source text on a page: numbered lines, with comments, strings, numbers and keywords told apart.
//!
//! It is a reading aid, not a parser: what it takes for a string may end a line too late, but
//! every character is shown, in order, escaped.

use askama::{Template, filters::HtmlSafe};
use automa_core::script::Language;

use super::text;

/// Numbered lines of a source.
#[derive(Debug, Clone, Template)]
#[template(path = "parts/code.html")]
pub(crate) struct Listing {
    label: String,
    /// Each escaped already.
    lines: Vec<String>,
}

/// The template escapes for itself, and [`highlight`] its lines.
impl HtmlSafe for Listing {}

impl Listing {
    /// `source` in its language.
    pub(crate) fn code(label: impl Into<String>, language: Language, source: &str) -> Self {
        Self { label: label.into(), lines: highlight(language, source) }
    }

    /// Text without colours.
    pub(crate) fn text(label: impl Into<String>, source: &str) -> Self {
        let lines = source.lines().map(|line| {
            let mut html = String::new();
            line.chars().for_each(|c| text::push(&mut html, c));
            html
        });
        Self { label: label.into(), lines: lines.collect() }
    }
}

const BASH: &[&str] = &[
    "if", "then", "elif", "else", "fi", "for", "in", "do", "done", "while", "until", "case",
    "esac", "function", "select", "time", "return", "exit", "local", "export", "readonly",
    "declare", "set", "unset", "shift", "trap", "break", "continue", "source",
];

const PYTHON: &[&str] = &[
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif",
    "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda",
    "match", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
    "None", "True", "False",
];

/// Lines as HTML.
fn highlight(language: Language, source: &str) -> Vec<String> {
    let mut lines = Lines::default();
    let mut rest = source;
    // A word, a number or a comment begins where the character before belongs to none of them.
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let (class, length) = token(language, rest, c, before);
        let (taken, after) = rest.split_at(length);
        lines.push(class, taken);
        before = taken.chars().last().unwrap_or(' ');
        rest = after;
    }
    lines.finish()
}

/// The class and the length of what `rest` begins with, `c` first.
fn token(language: Language, rest: &str, c: char, before: char) -> (&'static str, usize) {
    let python = language == Language::Python;
    let word = |c: char| c.is_alphanumeric() || c == '_';
    match c {
        '#' if python || before.is_whitespace() || ";(`".contains(before) => {
            ("tok-comment", rest.find('\n').unwrap_or(rest.len()))
        }
        '\\' => ("", c.len_utf8() + rest[1..].chars().next().map_or(0, char::len_utf8)),
        '"' | '\'' => ("tok-string", string(language, rest, c)),
        c if c.is_ascii_digit() && !word(before) => {
            let end = rest.find(|c: char| !(word(c) || c == '.')).unwrap_or(rest.len());
            ("tok-number", end)
        }
        c if word(c) => {
            let end = rest.find(|c: char| !word(c)).unwrap_or(rest.len());
            let keywords = if python { PYTHON } else { BASH };
            let alone = !"$-/.{".contains(before) || before.is_whitespace();
            let keyword = alone && keywords.contains(&&rest[..end]);
            (if keyword { "tok-keyword" } else { "" }, end)
        }
        c => ("", c.len_utf8()),
    }
}

/// The length of a string that begins with `quote`.
fn string(language: Language, rest: &str, quote: char) -> usize {
    let triple = quote.to_string().repeat(3);
    let python = language == Language::Python;
    if python && rest.starts_with(&triple) {
        return rest[3..].find(&triple).map_or(rest.len(), |end| end + 6);
    }
    // A single quote of bash takes everything until the next as it is.
    let escapes = python || quote == '"';
    let mut after_backslash = false;
    for (place, c) in rest.char_indices().skip(1) {
        match c {
            _ if after_backslash => after_backslash = false,
            '\\' if escapes => after_backslash = true,
            '\n' if python => return place,
            c if c == quote => return place + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Lines that are being written; an element never goes over the end of one.
#[derive(Debug, Default)]
struct Lines {
    done: Vec<String>,
    line: String,
}

impl Lines {
    fn push(&mut self, class: &str, text: &str) {
        for (place, part) in text.split('\n').enumerate() {
            if place > 0 {
                self.done.push(std::mem::take(&mut self.line));
            }
            let part = part.strip_suffix('\r').unwrap_or(part);
            if part.is_empty() {
                continue;
            }
            if class.is_empty() {
                part.chars().for_each(|c| text::push(&mut self.line, c));
            } else {
                self.line.extend(["<span class=\"", class, "\">"]);
                part.chars().for_each(|c| text::push(&mut self.line, c));
                self.line.push_str("</span>");
            }
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.line.is_empty() || self.done.is_empty() {
            self.done.push(self.line);
        }
        self.done
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bash_is_told_apart() {
        let source = "#!/bin/bash\nif [ \"$a\" ]; then # yes\n  echo ${#a} done-ish 12\nfi\n";
        assert_eq!(
            highlight(Language::Bash, source),
            [
                "<span class=\"tok-comment\">#!/bin/bash</span>",
                "<span class=\"tok-keyword\">if</span> [ <span class=\"tok-string\">&quot;$a&quot;\
                 </span> ]; <span class=\"tok-keyword\">then</span> \
                 <span class=\"tok-comment\"># yes</span>",
                "  echo ${#a} <span class=\"tok-keyword\">done</span>-ish \
                 <span class=\"tok-number\">12</span>",
                "<span class=\"tok-keyword\">fi</span>",
            ]
        );
    }

    #[test]
    fn python_is_told_apart() {
        let source = "def f(a):\n    \"\"\"One\n    two\"\"\"\n    return 'it\\'s' + 1.5\n";
        assert_eq!(
            highlight(Language::Python, source),
            [
                "<span class=\"tok-keyword\">def</span> f(a):",
                "    <span class=\"tok-string\">&quot;&quot;&quot;One</span>",
                "<span class=\"tok-string\">    two&quot;&quot;&quot;</span>",
                "    <span class=\"tok-keyword\">return</span> \
                 <span class=\"tok-string\">&#39;it\\&#39;s&#39;</span> + \
                 <span class=\"tok-number\">1.5</span>",
            ]
        );
    }

    #[test]
    fn there_is_always_a_line() {
        assert_eq!(highlight(Language::Bash, ""), [""]);
        assert_eq!(highlight(Language::Bash, "\n\nx"), ["", "", "x"]);
    }

    proptest! {
        #[test]
        fn every_character_is_shown_in_order(
            source in r#"([a-z0-9 \t'"\\#$\n]|if|é|"""){0,40}"#, python: bool
        ) {
            let language = if python { Language::Python } else { Language::Bash };
            let shown = highlight(language, &source).join("\n");
            let tags = ["comment", "string", "keyword", "number"];
            let shown = tags.iter().fold(shown.replace("</span>", ""), |shown, class| {
                shown.replace(&format!("<span class=\"tok-{class}\">"), "")
            });
            let shown = shown.replace("&quot;", "\"").replace("&#39;", "'");
            prop_assert_eq!(shown, source.strip_suffix('\n').unwrap_or(&source));
        }
    }
}
