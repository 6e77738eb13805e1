//! Calls in Python that do what a shell would be warned of.

use std::sync::LazyLock;

use regex::Regex;

use super::{
    Warning, is_disk, is_vital,
    shell::{self, line_at, of_words},
};

/// A call with a text as its first argument, or with a list of texts.
static CALL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let name = r"(?P<name>(?:shutil|os|subprocess)\.[a-z_A-Z]+|open|rmtree)";
    let text = r#"[rbf]{0,2}(?:"(?P<double>[^"\n]*)"|'(?P<single>[^'\n]*)')"#;
    let list = r"\[(?P<list>[^\]\n]*)\]";
    Regex::new(&format!(r"(?:^|[^\w.]){name}\(\s*(?:{text}|{list})(?P<rest>[^)\n]*)")).ok()
});
static TEXT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#""([^"]*)"|'([^']*)'"#).ok());
static FORKS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"while\s+(?:True|1)\s*:\s*os\.fork\(\)").ok());

pub(super) fn warnings(source: &str) -> Vec<Warning> {
    let code = without_comments(source);
    let mut found = Vec::new();
    let (Some(call), Some(text), Some(forks)) = (&*CALL, &*TEXT, &*FORKS) else { return found };
    for captures in call.captures_iter(&code) {
        let part = |name| captures.name(name).map_or("", |it| it.as_str());
        let name = part("name");
        let line = captures.name("name").map_or(1, |it| line_at(&code, it.start()));
        let argument = if part("double").is_empty() { part("single") } else { part("double") };
        let mut warn = |message| found.push(Warning { line, message });
        let runs = name == "os.system" || name == "os.popen" || name.starts_with("subprocess.");
        if runs && !part("list").is_empty() {
            let words = text.captures_iter(part("list"));
            let words: Vec<_> =
                words.filter_map(|it| it.get(1).or(it.get(2)).map(|word| word.as_str())).collect();
            if let Some(message) = of_words(&words) {
                warn(message);
            }
        } else if runs {
            for warning in shell::warnings(argument) {
                warn(warning.message);
            }
        } else if name.ends_with("rmtree") && is_vital(argument) {
            warn("removes the system, or somebody's home");
        } else if name == "open" && is_disk(argument) && part("rest").contains(['w', 'a', '+']) {
            warn("overwrites a disk");
        }
    }
    for at in forks.find_iter(&code) {
        let line = line_at(&code, at.start());
        found.push(Warning { line, message: "starts itself again and again (a fork bomb)" });
    }
    found
}

/// The source without its comments, line by line. A text of several lines is passed over, as it is
/// mostly a description.
fn without_comments(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut quote: Option<&str> = None;
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let long = ["\"\"\"", "'''"].into_iter().find(|long| rest.starts_with(long));
        let length = match (quote, long) {
            (Some(open), Some(long)) if open == long => {
                quote = None;
                3
            }
            (None, Some(long)) => {
                quote = Some(long);
                3
            }
            (Some(open), _) if open.len() == 3 => {
                if c == '\n' {
                    code.push(c);
                }
                c.len_utf8()
            }
            (Some(open), _) => {
                code.push(c);
                if rest.starts_with(open) || c == '\n' {
                    quote = None;
                }
                c.len_utf8()
            }
            (None, None) if c == '#' => rest.find('\n').unwrap_or(rest.len()),
            (None, None) => {
                code.push(c);
                quote = match c {
                    '"' => Some("\""),
                    '\'' => Some("'"),
                    _ => None,
                };
                c.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    code
}
