//! Interpreters: where they are on this host and how a script is handed to them.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use crate::{command::Command, error::Error, interpreter};

/// Where programs are found inside a sandbox, and so where interpreters are looked for.
const PATH: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

/// An interpreter, found once and used for every script.
///
/// ```
/// use automa_sandbox::Runtime;
/// let bash = Runtime::bash()?;
/// let command = bash.command("echo hello", "hello.sh");
/// # let _ = command;
/// # Ok::<(), automa_sandbox::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    program: PathBuf,
    env: &'static [(&'static str, &'static str)],
    can_wait: bool,
}

impl Runtime {
    /// bash.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCommand`] when there is none.
    pub fn bash() -> Result<Self, Error> {
        Ok(Self { program: find("bash")?, env: &[], can_wait: false })
    }

    /// Python 3, with its output unbuffered so that logs are live.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCommand`] when there is none.
    pub fn python() -> Result<Self, Error> {
        Ok(Self { program: find("python3")?, env: &[interpreter::UNBUFFERED], can_wait: true })
    }

    /// The interpreter's own file.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A command that runs `source`, which the program sees as the file `name`.
    pub fn command(&self, source: impl Into<Vec<u8>>, name: &str) -> Command {
        // So that a name with a leading dash is no option of the interpreter.
        let arg = if name.starts_with('-') { format!("./{name}") } else { name.to_owned() };
        let mut command =
            Command::new(self.program.to_string_lossy()).arg(arg).file(name, 0o755, source);
        command.can_wait = self.can_wait;
        self.env.iter().fold(command, |command, (name, value)| command.env(*name, *value))
    }
}

/// Finds the real program. What a version manager puts in front of it is a script, costs tens of
/// milliseconds at each start and does not work inside: those are passed over.
fn find(name: &str) -> Result<PathBuf, Error> {
    PATH.iter().map(|dir| Path::new(dir).join(name)).find(|path| is_elf(path)).ok_or_else(|| {
        let places = PATH.join(", ");
        Error::InvalidCommand(format!("there is no {name} in {places}: install it"))
    })
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && magic == *b"\x7fELF"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_are_programs_not_scripts() {
        assert!(is_elf(Runtime::bash().unwrap().program()));
        let shim = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(shim.path(), "#!/bin/sh\nexec real \"$@\"\n").unwrap();
        assert!(!is_elf(shim.path()));
        let error = find("no-such-interpreter").unwrap_err().to_string();
        assert!(error.contains("install it"), "{error}");
    }
}
