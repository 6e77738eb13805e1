//! The check of a source: whether its language can read it, found out within a sandbox.
//!
//! `bash -n` and Python's `compile` run nothing of the source. Yet they are programs that read what
//! somebody wrote, so they run confined, for three seconds at most. Where nothing can be run, or all
//! slots are in use, nothing is checked: a check tells what it finds, and keeps nobody from saving.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use automa_sandbox::{Command, Limits, Output, Policy};
use serde_json::Value;
use tokio::time::timeout;

use super::{Content, Language, Scripts, Version, find_version};
use crate::{Result, actor::Permission, id::ScriptId, store::change::Snapshot};

/// Time for a check, with the time until a slot is free.
const TIME_MAX: Duration = Duration::from_secs(3);
/// Most problems that are told.
const MOST: usize = 20;
/// Most characters of a message.
const MESSAGE_MAX: usize = 300;

/// The file with the source, within the sandbox.
const FILE: &str = ".checked";
const BASH: &str = "exec bash -n .checked";
const PYTHON: &str = "\
import json, warnings
warnings.simplefilter('ignore')
try:
    with open('.checked', 'rb') as file:
        compile(file.read(), 'script.py', 'exec', dont_inherit=True)
except SyntaxError as error:
    print(json.dumps([error.lineno, error.offset, error.msg]))
except (ValueError, RecursionError, MemoryError) as error:
    print(json.dumps([1, None, str(error) or type(error).__name__]))
";

/// Something that a language cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: u32,
    /// The character in the line, from 1, if that is known.
    pub column: Option<u32>,
    /// What is wrong, in the words of the language.
    pub message: String,
}

/// What was found in the contents that were checked last.
#[derive(Debug, Default)]
pub(crate) struct Checks(Mutex<HashMap<Content, Arc<[Problem]>>>);

/// Most contents of which that is kept.
const KEPT: usize = 1000;

impl Checks {
    fn get(&self, content: Content) -> Option<Arc<[Problem]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&content).cloned()
    }

    fn keep(&self, content: Content, problems: &Arc<[Problem]>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(content, Arc::clone(problems));
    }
}

impl Scripts<'_> {
    /// What the language cannot read in a version; nothing where that cannot be found out within three
    /// seconds.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`](crate::Error::Forbidden), [`Error::NotFound`](crate::Error::NotFound), and
    /// the store's.
    pub async fn check(&self, id: ScriptId, number: u32) -> Result<Arc<[Problem]>> {
        self.actor.require(Permission::ReadScripts)?;
        let sight = self.sight();
        let find = move |view: &Snapshot| find_version(view, &sight, id, Some(number));
        let (_, version) = self.automa.store.read(find).await?;
        Ok(self.problems(&version).await)
    }

    /// The same of a version that need not be stored.
    pub(super) async fn problems(&self, version: &Version) -> Arc<[Problem]> {
        let Version { content, language, source, .. } = version;
        let Ok(runner) = self.automa.runner() else { return Arc::default() };
        if let Some(known) = self.automa.checks.get(*content) {
            return known;
        }
        let check = async {
            let child = runner.spawn(|| command(*language, source)).await?;
            Ok::<_, crate::Error>(child.output().await)
        };
        match timeout(TIME_MAX, check).await {
            Ok(Ok(output)) => {
                let problems = read(*language, source, &output).into();
                self.automa.checks.keep(*content, &problems);
                problems
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "a source could not be checked");
                Arc::default()
            }
            Err(_) => Arc::default(),
        }
    }
}

fn command(language: Language, source: &str) -> Result<Command> {
    let checker = match language {
        Language::Bash => BASH,
        Language::Python => PYTHON,
    };
    let limits = Limits { wall: TIME_MAX, cpu_time: Some(TIME_MAX), ..Limits::default() };
    let command = language.command(checker, language.file_name())?;
    Ok(command.file(FILE, 0o400, source).policy(Policy::script().limits(limits)))
}

/// Reads what a checker wrote.
fn read(language: Language, source: &str, output: &Output) -> Vec<Problem> {
    let lines = u32::try_from(source.lines().count()).unwrap_or(u32::MAX).max(1);
    let mut problems = match language {
        Language::Bash => of_bash(&String::from_utf8_lossy(&output.stderr)),
        Language::Python => of_python(&output.stdout).into_iter().collect(),
    };
    for problem in &mut problems {
        problem.line = problem.line.clamp(1, lines);
        if problem.message.chars().count() > MESSAGE_MAX {
            problem.message = problem.message.chars().take(MESSAGE_MAX).chain(['…']).collect();
        }
    }
    problems.truncate(MOST);
    problems
}

/// `.checked: line 3: syntax error near unexpected token 'fi'`; the line itself follows, in quotes.
fn of_bash(said: &str) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    for line in said.lines() {
        let Some(said) = line.strip_prefix(".checked: line ") else { continue };
        let Some((number, message)) = said.split_once(": ") else { continue };
        let Ok(number) = number.parse() else { continue };
        let quotes = message.starts_with('`') && message.ends_with('\'');
        let repeats = quotes && problems.last().is_some_and(|last| last.line == number);
        // With a warning bash goes on.
        if repeats || message.starts_with("warning: ") {
            continue;
        }
        problems.push(Problem { line: number, column: None, message: message.to_owned() });
    }
    problems
}

fn of_python(said: &[u8]) -> Option<Problem> {
    let said: Value = serde_json::from_slice(said).ok()?;
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let message = said[2].as_str()?.to_owned();
    let column = number(&said[1]).filter(|column| *column > 0);
    Some(Problem { line: number(&said[0]).unwrap_or(1), column, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bash_says_is_read() {
        let said = ".checked: line 3: syntax error near unexpected token `fi'\n\
            .checked: line 3: `fi'\n\
            .checked: line 9: warning: here-document at line 5 delimited by end-of-file (wanted `X')\n\
            something else\n.checked: line x: y\n";
        let problems = of_bash(said);
        let told: Vec<_> = problems.iter().map(|it| (it.line, &*it.message)).collect();
        assert_eq!(told[0], (3, "syntax error near unexpected token `fi'"));
        assert_eq!(told.len(), 1, "{told:?}");
    }

    #[test]
    fn what_python_says_is_read() {
        let problem = of_python(br#"[2, 7, "invalid syntax"]"#).unwrap();
        assert_eq!(
            (problem.line, problem.column, &*problem.message),
            (2, Some(7), "invalid syntax")
        );
        assert_eq!(of_python(br#"[null, 0, "x"]"#).unwrap().column, None);
        for odd in ["", "[]", "{}", "[1]", "nothing", "[1, 2, 3]"] {
            assert_eq!(of_python(odd.as_bytes()), None, "{odd}");
        }
    }
}
