//! What to run: a program with its arguments, environment, files and input.

use std::{collections::BTreeMap, ffi::CString, os::fd::OwnedFd};

use zeroize::Zeroizing;

use crate::{
    artifacts::CollectLimits,
    class::Class,
    directory::{self, DirectoryMount},
    error::Error,
    interpreter::{self, Interpreter},
    limits::Bytes,
    policy::{Policy, Profile},
    secret::{self, Delivery, Handed, Secret},
    terminal::TerminalSize,
    zygote::{self, plan::LIMITS},
};

/// What a program reads as its standard input.
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum Stdin {
    /// Nothing: the end at once.
    #[default]
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// An open file or the reading end of a pipe.
    Fd(OwnedFd),
}

/// Where standard output and error go.
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum Stdout {
    /// To the caller, through [`Child::next_output`](crate::Child::next_output).
    #[default]
    Piped,
    /// Nowhere. The output limit does not apply.
    Null,
    /// To a terminal of this size, at which [`Child::write_input`](crate::Child::write_input)
    /// types: standard input, output and error, and the controlling terminal. Only for a
    /// [profile](crate::Profile) that has one.
    Terminal(TerminalSize),
}

/// A program to run in a sandbox.
///
/// The environment is not inherited: a program sees `PATH`, `HOME`, `USER`, `LANG` and what
/// [`env`](Self::env) adds. Its working directory is an empty writable one that holds the
/// [`file`](Self::file)s.
///
/// ```
/// use automa_sandbox::{Command, Policy};
/// let command = Command::new("/usr/bin/wc").arg("-l").stdin(b"one\ntwo\n".to_vec()).policy(Policy::script());
/// # let _ = command;
/// ```
#[derive(Debug)]
#[must_use = "a command does nothing until an engine spawns it"]
pub struct Command {
    program: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    files: Vec<(String, u32, Vec<u8>)>,
    secrets: Vec<Secret>,
    pub(crate) directories: Vec<DirectoryMount>,
    pub(crate) collect: Option<CollectLimits>,
    pub(crate) stdin: Stdin,
    pub(crate) stdout: Stdout,
    pub(crate) policy: Policy,
    pub(crate) cold: bool,
    /// The program is an interpreter that can wait for its script, the first argument.
    pub(crate) can_wait: bool,
}

/// What every program finds in its environment.
const ENV: [(&str, &str); 5] = [
    ("HOME", zygote::JOB_DIR),
    ("LANG", "C.UTF-8"),
    ("LOGNAME", "job"),
    ("PATH", "/usr/local/bin:/usr/bin:/bin"),
    ("USER", "job"),
];

impl Command {
    /// The working directory as the program sees it, where [`file`](Self::file)s are.
    pub const DIRECTORY: &str = zygote::WORK_DIR;

    /// Where [`directory`](Self::directory) shows directories of the host, each under a name.
    pub const DATA_DIRECTORY: &str = zygote::DATA_DIR;

    /// Where the program leaves files for its caller; there is one only with
    /// [`collect`](Self::collect).
    pub const OUT_DIRECTORY: &str = zygote::OUT_DIR;

    /// The program at an absolute path as seen inside the sandbox.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: ENV.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            files: Vec::new(),
            secrets: Vec::new(),
            directories: Vec::new(),
            collect: None,
            stdin: Stdin::Empty,
            stdout: Stdout::Piped,
            policy: Policy::script(),
            cold: false,
            can_wait: false,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable; the last value given for a name counts.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Puts a file into the working directory, writable by the program and executable if `mode`
    /// says so. It counts against the limit on temporary files.
    pub fn file(mut self, name: impl Into<String>, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.into(), mode & 0o777, content.into()));
        self
    }

    /// Gives the program a secret under the name of a variable: at most [`MAX_SECRETS`](crate::MAX_SECRETS)
    /// of them. It is in no argument and on no disk, and once the program runs, nobody but it has it
    /// any more: see [`Delivery`].
    pub fn secret(
        mut self,
        variable: impl Into<String>,
        delivery: Delivery,
        value: Zeroizing<Vec<u8>>,
    ) -> Self {
        self.secrets.push(Secret { variable: variable.into(), delivery, value });
        self
    }

    /// Shows a directory of the host, at most eight of them.
    pub fn directory(mut self, directory: DirectoryMount) -> Self {
        self.directories.push(directory);
        self
    }

    /// Gives the program a directory, named by the variable `AUTOMA_OUT`, for files that its caller
    /// is to have: see [`Child::collect`](crate::Child::collect). It lies on the temporary file
    /// system and counts against its limits; what is over `limits` is left out.
    ///
    /// However the program ends, what it had written by then is there, unless it has removed the
    /// directory itself.
    pub fn collect(mut self, limits: CollectLimits) -> Self {
        self.collect = Some(limits);
        self
    }

    /// Sets what the program reads.
    pub fn stdin(mut self, input: impl Into<Stdin>) -> Self {
        self.stdin = input.into();
        self
    }

    /// Sets where output goes.
    pub fn stdout(mut self, stdout: Stdout) -> Self {
        self.stdout = stdout;
        self
    }

    /// Sets what confines the program.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Runs in a sandbox that is made from nothing when the command is started, never in one that was
    /// prepared before.
    pub fn cold(mut self) -> Self {
        self.cold = true;
        self
    }

    /// What a sandbox for this command, whose processes have these limits, can be prepared for.
    pub(crate) fn class(&self, prepared: &Prepared, limits: [u64; LIMITS.len()]) -> Class {
        let waits = self.can_wait
            && matches!(self.stdout, Stdout::Piped | Stdout::Null)
            && interpreter::serves(&self.env, &ENV)
            && !self.secrets.iter().any(|secret| interpreter::reads(&secret.variable))
            && interpreter::message(&prepared.args, &prepared.env, &prepared.secrets).is_some();
        let script = prepared.args.get(1).filter(|_| waits).cloned();
        let interpreter =
            script.map(|script| Interpreter { program: prepared.program.clone(), script, limits });
        let ports = self.policy.network_ref().ports();
        Class { profile: self.policy.profile(), ports, interpreter }
    }

    /// Whether it can change a directory of the host.
    pub(crate) fn writes_directories(&self) -> bool {
        self.directories.iter().any(DirectoryMount::is_writable)
    }

    /// Refuses a terminal where there can be none, and what would be read instead of it.
    fn check_terminal(&self) -> Result<(), Error> {
        let Stdout::Terminal(_) = self.stdout else { return Ok(()) };
        let profile = self.policy.profile();
        let problem = if !profile.has_terminal() {
            format!("profile `{profile}` has no terminals; `{}` has", Profile::Terminal)
        } else if !matches!(self.stdin, Stdin::Empty) {
            "what a terminal's program reads is typed: give it no other input".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::InvalidCommand(problem))
    }

    /// Everything as the kernel wants it, or what is wrong with it.
    pub(crate) fn prepare(&self) -> Result<Prepared, Error> {
        self.policy.limits_ref().check().map_err(Error::InvalidCommand)?;
        self.policy.network_ref().check().map_err(Error::InvalidCommand)?;
        if !self.program.starts_with('/') {
            let problem = format!("the program `{}` is not an absolute path", self.program);
            return Err(Error::InvalidCommand(problem));
        }
        self.check_terminal()?;
        let program = c_string("the program", &self.program)?;
        let mut args = vec![program.clone()];
        for arg in &self.args {
            args.push(c_string("an argument", arg)?);
        }
        let out = self.collect.as_ref().map(|_| ("AUTOMA_OUT", zygote::OUT_DIR));
        let own = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut env = Vec::with_capacity(self.env.len() + 2);
        if matches!(self.stdout, Stdout::Terminal(_)) && !self.env.contains_key("TERM") {
            env.push(c"TERM=xterm-256color".to_owned());
        }
        for (name, value) in
            own.filter(|(name, _)| *name != "AUTOMA_OUT" || out.is_none()).chain(out)
        {
            if name.is_empty() || name.contains('=') {
                let problem = format!("`{name}` cannot be the name of an environment variable");
                return Err(Error::InvalidCommand(problem));
            }
            env.push(c_string("an environment variable", &format!("{name}={value}"))?);
        }
        let secrets = secret::prepare(&self.secrets, &mut env)?;
        let directories = directory::targets(&self.directories)?;
        let files = self.files.iter().map(|(name, mode, content)| {
            if name.is_empty() || name.contains('/') || name == "." || name == ".." {
                let problem = format!("`{name}` cannot be the name of a file in the sandbox");
                return Err(Error::InvalidCommand(problem));
            }
            let path = c_string("a file name", &format!("{}/{name}", zygote::WORK_DIR))?;
            Ok((path, *mode, content.clone()))
        });
        let files = files.collect::<Result<_, _>>()?;
        let terminal = match self.stdout {
            Stdout::Terminal(size) => Some(size),
            Stdout::Piped | Stdout::Null => None,
        };
        Ok(Prepared {
            program,
            args,
            env,
            files,
            secrets,
            terminal,
            directories,
            writes_directories: self.writes_directories(),
            collects: self.collect.is_some(),
        })
    }
}

/// The environment of an interpreter that waits for its script.
pub(crate) fn env_of_waiting() -> Vec<CString> {
    let pairs = ENV.into_iter().chain([interpreter::UNBUFFERED]);
    let pairs = pairs.map(|(name, value)| format!("{name}={value}"));
    let strings = pairs.chain([interpreter::MODULES.to_owned()]);
    strings.filter_map(|string| CString::new(string).ok()).collect()
}

/// A checked command.
pub(crate) struct Prepared {
    pub(crate) program: CString,
    pub(crate) args: Vec<CString>,
    pub(crate) env: Vec<CString>,
    pub(crate) files: Vec<(CString, u32, Vec<u8>)>,
    pub(crate) secrets: Vec<Handed>,
    /// Where directories of the host are shown.
    pub(crate) directories: Vec<CString>,
    /// Whether one of them can be written to.
    pub(crate) writes_directories: bool,
    pub(crate) collects: bool,
    pub(crate) terminal: Option<TerminalSize>,
}

/// Longest single argument or variable that Linux takes: `MAX_ARG_STRLEN`, `execve(2)`.
pub(crate) const MAX_STRING: Bytes = Bytes::kib(128);

pub(crate) fn c_string(what: &str, text: &str) -> Result<CString, Error> {
    if text.len() as u64 >= MAX_STRING.0 {
        let problem = format!("{what} is longer than {MAX_STRING}, the most that Linux passes on");
        return Err(Error::InvalidCommand(problem));
    }
    CString::new(text)
        .map_err(|_| Error::InvalidCommand(format!("{what} contains a zero byte: {text:?}")))
}

impl From<Vec<u8>> for Stdin {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<OwnedFd> for Stdin {
    fn from(fd: OwnedFd) -> Self {
        Self::Fd(fd)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_the_kernel_could_not_take_is_explained() {
        for (command, part) in [
            (Command::new("true"), "not an absolute path"),
            (Command::new("/bin/true").arg("a\0b"), "zero byte"),
            (Command::new("/bin/true").arg("x".repeat(128 << 10)), "longer than 128 KiB"),
            (Command::new("/bin/true").env("A=B", "C"), "cannot be the name of an environment"),
            (Command::new("/bin/true").file("../x", 0o644, ""), "cannot be the name of a file"),
            (Command::new("/bin/true").file("", 0o644, ""), "cannot be the name of a file"),
        ] {
            let Err(Error::InvalidCommand(problem)) = command.prepare() else {
                panic!("{command:?} was accepted")
            };
            assert!(problem.contains(part), "{problem}");
        }
    }

    #[test]
    fn terminals_are_for_profiles_that_have_one() {
        let command = || Command::new("/bin/sh").stdout(Stdout::Terminal(TerminalSize::default()));
        assert!(command().policy(Policy::terminal()).prepare().is_ok());
        for (command, part) in [
            (command(), "profile `script` has no terminals; `terminal` has"),
            (command().policy(Policy::terminal()).stdin(b"x".to_vec()), "is typed"),
        ] {
            let Err(Error::InvalidCommand(problem)) = command.prepare() else { panic!() };
            assert!(problem.contains(part), "{problem}");
        }
        let prepared = command().policy(Policy::terminal()).prepare().unwrap();
        assert!(prepared.env.contains(&CString::from(c"TERM=xterm-256color")));
    }

    #[test]
    fn the_environment_is_not_inherited() {
        let prepared = Command::new("/bin/true").env("A", "1").env("A", "2").prepare().unwrap();
        let names: Vec<_> = prepared
            .env
            .iter()
            .map(|pair| pair.to_str().unwrap().split('=').next().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["A", "HOME", "LANG", "LOGNAME", "PATH", "USER"]);
        assert!(prepared.env.contains(&CString::from(c"A=2")));
    }

    #[test]
    fn the_directory_for_files_is_named_once_and_only_if_there_is_one() {
        let out = |command: Command| {
            let env = command.prepare().unwrap().env;
            let is_out = |pair: &&CString| pair.to_bytes().starts_with(b"AUTOMA_OUT=");
            env.iter().filter(is_out).cloned().collect::<Vec<_>>()
        };
        let command = || Command::new("/bin/true");
        assert!(out(command()).is_empty());
        assert_eq!(out(command().env("AUTOMA_OUT", "mine")), [CString::from(c"AUTOMA_OUT=mine")]);
        let collected = command().env("AUTOMA_OUT", "mine").collect(CollectLimits::default());
        assert_eq!(out(collected), [CString::from(c"AUTOMA_OUT=/automa/job/out")]);
    }

    proptest! {
        /// Whatever a caller gives, it is refused with a sentence, or the kernel can take it.
        #[test]
        fn any_command_is_taken_or_refused(
            program in "/?\\PC{0,9}|\0|/[a-z\0]{0,9}",
            args in prop::collection::vec("\\PC{0,9}|[a\0]{0,3}", 0..4),
            name in "\\PC{0,9}|[A-Z]{1,9}|[A=\0]{0,3}",
            value in "\\PC{0,9}|[a\0]{0,3}",
            file in "[a-z]{1,9}|[./a\0]{0,4}",
            mode: u32,
        ) {
            let command = Command::new(&*program).args(&args).env(&*name, &*value);
            match command.file(&*file, mode, "content").prepare() {
                Ok(prepared) => {
                    prop_assert_eq!(prepared.args.len(), args.len() + 1);
                    let variable = CString::new(format!("{name}={value}")).unwrap();
                    prop_assert!(prepared.env.contains(&variable));
                    let (path, mode, _) = &prepared.files[0];
                    let path = std::path::Path::new(path.to_str().unwrap());
                    prop_assert_eq!(path.parent(), Some(std::path::Path::new(zygote::WORK_DIR)));
                    prop_assert!(*mode <= 0o777);
                }
                Err(error) => prop_assert!(error.to_string().len() > 10),
            }
        }
    }
}
