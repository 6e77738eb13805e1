//! Scripts: source text in a language.

use std::{fmt, str::FromStr};

use automa_sandbox::{Command, Error, Runtime};
use serde::{Deserialize, Serialize};

/// The language of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Language {
    /// GNU bash.
    Bash,
    /// Python 3.
    Python,
}

/// The language of a script cannot be told, or there is none of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; Automa runs {known}", known = Language::ALL.map(Language::name).join(" and "))]
pub struct UnknownLanguage(String);

impl Language {
    /// All languages.
    pub const ALL: [Self; 2] = [Self::Bash, Self::Python];

    /// The language's name in the API and in flags.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Python => "python",
        }
    }

    /// Tells the language by the ending of a file name, else by the source's `#!` line.
    ///
    /// # Errors
    ///
    /// [`UnknownLanguage`] when neither tells.
    pub fn detect(file_name: &str, source: &[u8]) -> Result<Self, UnknownLanguage> {
        let ending = file_name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        match ending.as_deref() {
            Some("py") => return Ok(Self::Python),
            Some("sh" | "bash") => return Ok(Self::Bash),
            _ => {}
        }
        let first = source.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(first);
        let interpreter = line.strip_prefix("#!").and_then(interpreter).unwrap_or_default();
        match interpreter.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.') {
            "python" => Ok(Self::Python),
            "bash" | "sh" => Ok(Self::Bash),
            _ => Err(UnknownLanguage(format!(
                "cannot tell the language of `{file_name}`: it ends in neither .sh nor .py and \
                 begins with no `#!` line of either"
            ))),
        }
    }

    /// A usual name for a file of this language.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Bash => "script.sh",
            Self::Python => "script.py",
        }
    }

    /// Finds the interpreter on this host.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCommand`] when it is not installed.
    pub fn runtime(self) -> Result<Runtime, Error> {
        match self {
            Self::Bash => Runtime::bash(),
            Self::Python => Runtime::python(),
        }
    }

    /// A command that runs `source`, shown in tracebacks as `file_name`.
    ///
    /// # Errors
    ///
    /// As [`runtime`](Self::runtime).
    pub fn command(self, source: impl Into<Vec<u8>>, file_name: &str) -> Result<Command, Error> {
        Ok(self.runtime()?.command(source, file_name))
    }
}

/// `python3` of `/usr/bin/env -S python3 -u` or `/usr/bin/python3`.
fn interpreter(line: &str) -> Option<&str> {
    let base = |path: &str| path.rsplit('/').next().map(str::len).unwrap_or_default();
    let mut words = line.split_whitespace().map(|word| &word[word.len() - base(word)..]);
    match words.next()? {
        "env" => words.find(|word| !word.starts_with('-') && !word.contains('=')),
        program => Some(program),
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|language| language.name() == text)
            .ok_or_else(|| UnknownLanguage(format!("`{text}` is not a language")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_decides_then_the_first_line() {
        for (name, source, language) in [
            ("a.py", "", Language::Python),
            ("A.PY", "#!/bin/bash", Language::Python),
            ("a.sh", "", Language::Bash),
            ("a", "#!/usr/bin/env python3\n", Language::Python),
            ("a", "#!/usr/bin/env -S LANG=C python3.11 -u", Language::Python),
            ("a.txt", "#!/bin/sh -e\n", Language::Bash),
            ("a", "#! /usr/local/bin/bash", Language::Bash),
        ] {
            assert_eq!(Language::detect(name, source.as_bytes()), Ok(language), "{name} {source}");
        }
        for (name, source) in
            [("a.rb", ""), ("a", ""), ("a", "#!"), ("a", "#!/usr/bin/env"), ("py", "x")]
        {
            let error = Language::detect(name, source.as_bytes()).unwrap_err().to_string();
            assert!(error.ends_with("Automa runs bash and python"), "{error}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_have_no_language() {
        assert!(Language::detect("\u{fffd}", &[0xff, 0, b'\n']).is_err());
    }
}
