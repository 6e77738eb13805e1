//! Commands of a shell, as far as one has to know them to warn.

use super::{Warning, is_disk, is_vital};

/// Programs that run another one, named after them.
const BEFORE: [&str; 16] = [
    "!", "builtin", "command", "do", "else", "elif", "env", "exec", "if", "nice", "nohup", "sudo",
    "then", "time", "until", "while",
];
/// Programs that run what they read.
const READERS: [&str; 9] =
    ["bash", "dash", "ksh", "node", "perl", "python", "python3", "sh", "zsh"];

/// A command: the words of it without quotes, and where its output goes.
#[derive(Debug, Default)]
struct Command {
    line: u32,
    words: Vec<String>,
    /// Files that it is redirected to.
    written: Vec<String>,
    /// Whether what is before it is piped into it.
    is_piped: bool,
}

pub(super) fn warnings(source: &str) -> Vec<Warning> {
    let commands = commands(source);
    let mut found = Vec::new();
    let mut fetches = false;
    for command in &commands {
        fetches = command.is_piped && fetches;
        let words = command.meant();
        let mut warn = |message| found.push(Warning { line: command.line, message });
        if let Some(message) = of_words(words) {
            warn(message);
        }
        if command.written.iter().any(|path| is_disk(path)) {
            warn("overwrites a disk");
        }
        let name = words.first().map_or("", |word| base(word));
        if fetches && READERS.contains(&name) {
            warn("runs what it fetches from the network, whatever that is by then");
        }
        let substituted = |word: &String| {
            ["$(curl", "$(wget", "<(curl", "<(wget", "`curl", "`wget"]
                .iter()
                .any(|begin| word.contains(begin))
        };
        if (READERS.contains(&name) || matches!(name, "eval" | "source" | "."))
            && words.iter().any(substituted)
        {
            warn("runs what it fetches from the network, whatever that is by then");
        }
        fetches |= matches!(name, "curl" | "wget");
    }
    found.extend(fork_bombs(source));
    found
}

/// What a command would do, by its words.
pub(super) fn of_words<W: AsRef<str>>(words: &[W]) -> Option<&'static str> {
    let (name, rest) = words.split_first()?;
    let name = base(name.as_ref());
    let rest: Vec<&str> = rest.iter().map(AsRef::as_ref).collect();
    let flagged = |short: char, long: &str| {
        rest.iter().any(|word| {
            *word == long
                || (word.starts_with('-') && !word.starts_with("--") && word.contains(short))
        })
    };
    let vital = rest.iter().any(|word| is_vital(word));
    match name {
        "rm" if vital && (flagged('r', "--recursive") || flagged('R', "--recursive")) => {
            Some("removes the system, or somebody's home")
        }
        "rm" if rest.contains(&"--no-preserve-root") => Some("removes the system"),
        "chmod" | "chown" | "chgrp" if vital && flagged('R', "--recursive") => {
            Some("changes the rights of the system's files, after which it may not start")
        }
        "dd" if rest.iter().any(|it| it.strip_prefix("of=").is_some_and(is_disk)) => {
            Some("overwrites a disk")
        }
        "tee" | "cp" | "shred" | "wipefs" | "blkdiscard"
            if rest.last().is_some_and(|it| is_disk(it)) =>
        {
            Some("overwrites a disk")
        }
        "kill" if rest.last() == Some(&"-1") && rest.len() > 1 => Some("ends all processes"),
        "shutdown" | "reboot" | "poweroff" | "halt" if !rest.contains(&"--help") => {
            Some("turns the machine off")
        }
        name if (name == "mke2fs" || name == "mkswap" || name.starts_with("mkfs"))
            && rest.iter().any(|it| it.starts_with("/dev/")) =>
        {
            Some("formats a disk")
        }
        _ => None,
    }
}

/// Functions that call themselves twice in a pipe.
fn fork_bombs(source: &str) -> Vec<Warning> {
    let mut found = Vec::new();
    for (at, _) in source.match_indices("()") {
        let name = source[..at].rsplit([' ', '\t', '\n', ';']).next().unwrap_or_default();
        let Some(body) = source[at + 2..].trim_start().strip_prefix('{') else { continue };
        let Some(end) = body.find('}') else { continue };
        let piped = body[..end]
            .split('|')
            .filter(|part| part.trim_matches([' ', '\t', '\n', '&', ';']) == name);
        if !name.is_empty() && piped.count() > 1 {
            let line = line_at(source, at);
            found.push(Warning { line, message: "starts itself again and again (a fork bomb)" });
        }
    }
    found
}

pub(super) fn line_at(source: &str, at: usize) -> u32 {
    let before = source[..at].bytes().filter(|&byte| byte == b'\n').count();
    u32::try_from(before + 1).unwrap_or(u32::MAX)
}

/// The name of a program without its directory.
fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

impl Command {
    /// Its words from the name of the program on that is meant.
    fn meant(&self) -> &[String] {
        let mut words = &self.words[..];
        while let Some((first, rest)) = words.split_first() {
            let sets = first.split_once('=').is_some_and(|(name, _)| {
                !name.is_empty() && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_')
            });
            // Flags of `sudo` and the like.
            let flag = words.len() < self.words.len() && first.starts_with('-');
            if !sets && !flag && !BEFORE.contains(&base(first)) {
                break;
            }
            words = rest;
        }
        words
    }
}

/// The commands of a source. What is within quotes or substitutions is part of a word.
fn commands(source: &str) -> Vec<Command> {
    let mut reader = Reader { line: 1, ..Reader::default() };
    let mut chars = source.chars().peekable();
    while let Some(c) = chars.next() {
        match (reader.quote, c) {
            (Some(quote), c) if c == quote => reader.quote = None,
            (Some('\''), c) => reader.push(c),
            (_, '\\') => match chars.next() {
                Some('\n') => reader.line += 1,
                Some(c) => reader.push(c),
                None => {}
            },
            (None, '\'' | '"') => {
                reader.quote = Some(c);
                reader.in_word = true;
            }
            (None, '#') if !reader.in_word => while chars.next_if(|&c| c != '\n').is_some() {},
            (None, '$' | '<' | '>') if chars.peek() == Some(&'(') => {
                reader.push(c);
                reader.push('(');
                chars.next();
                reader.depth += 1;
            }
            (None, ')') if reader.depth > 0 => {
                reader.push(c);
                reader.depth -= 1;
            }
            (None, c) if reader.depth > 0 => reader.push(c),
            (None, '>') => {
                reader.end_word();
                while chars.next_if(|&c| matches!(c, '>' | '|')).is_some() {}
                reader.redirects = true;
            }
            (None, '|') => {
                let piped = chars.next_if_eq(&'|').is_none();
                chars.next_if_eq(&'&');
                reader.end_command();
                reader.command.is_piped = piped;
            }
            (None, ';' | '&' | '\n' | '(' | ')' | '{' | '}')
                if c != '{' && c != '}' || !reader.in_word =>
            {
                // A pipe goes on in the next line.
                let goes_on = c == '\n' && reader.is_empty();
                let is_piped = goes_on && reader.command.is_piped;
                reader.end_command();
                reader.command.is_piped = is_piped;
            }
            (None, ' ' | '\t' | '\r') => reader.end_word(),
            (_, c) => reader.push(c),
        }
        if c == '\n' {
            reader.line += 1;
            if reader.is_empty() {
                reader.command.line = reader.line;
            }
        }
    }
    reader.end_command();
    reader.commands
}

/// What was read so far.
#[derive(Debug, Default)]
struct Reader {
    line: u32,
    quote: Option<char>,
    /// How deep it is in `$(…)`.
    depth: usize,
    word: String,
    in_word: bool,
    /// Whether the next word is where output goes.
    redirects: bool,
    command: Command,
    commands: Vec<Command>,
}

impl Reader {
    fn push(&mut self, c: char) {
        if !self.in_word && self.command.words.is_empty() {
            self.command.line = self.line;
        }
        self.in_word = true;
        self.word.push(c);
    }

    fn is_empty(&self) -> bool {
        !self.in_word && self.command.words.is_empty() && self.command.written.is_empty()
    }

    fn end_word(&mut self) {
        if !std::mem::take(&mut self.in_word) {
            return;
        }
        let word = std::mem::take(&mut self.word);
        if std::mem::take(&mut self.redirects) {
            self.command.written.push(word);
        } else {
            self.command.words.push(word);
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.redirects = false;
        let next = Command { line: self.line, ..Command::default() };
        let command = std::mem::replace(&mut self.command, next);
        if !command.words.is_empty() || !command.written.is_empty() {
            self.commands.push(command);
        }
    }
}
