//! What the integration tests share: the built program, run as root or as an ordinary user, and
//! what talks to it when it serves.

#![expect(clippy::unwrap_used, reason = "all of this is for tests, which fail by panicking")]

pub mod browser;
pub mod client;
pub mod document;
pub mod host;
pub mod live;
pub mod network;
pub mod running;
pub mod server;

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use automa_sandbox::{ExitReport, Feature, Outcome, Status};
use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::{network::Network, running::Running};

/// Who runs Automa.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// Root, with all that it may do.
    Root,
    /// An ordinary user: `nobody` when the tests run as root, else whoever runs them.
    Ordinary,
}

impl User {
    /// Everybody whom these tests can be: without root there is only one.
    #[must_use]
    pub fn all() -> Vec<Self> {
        if geteuid().is_root() { vec![Self::Root, Self::Ordinary] } else { vec![Self::Ordinary] }
    }
}

/// Id of `nobody` on Debian.
pub const NOBODY: u32 = 65534;

/// The built program: `AUTOMA_BIN`, as `tests/run` sets it, else what lies beside the tests.
///
/// # Panics
///
/// When it has not been built.
#[must_use]
pub fn automa() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        #[expect(clippy::disallowed_methods, reason = "the one setting of the tests")]
        let set = std::env::var("AUTOMA_BIN").ok().map(PathBuf::from);
        let own = std::env::current_exe().unwrap();
        let program = set.unwrap_or_else(|| own.ancestors().nth(2).unwrap().join("automa"));
        assert!(program.exists(), "{} is not built: use tests/run", program.display());
        program
    })
}

/// A program of these tests, which lies beside [`automa`].
///
/// # Panics
///
/// When it has not been built.
#[must_use]
pub fn helper(name: &str) -> PathBuf {
    let program = automa().with_file_name(name);
    assert!(program.exists(), "{} is not built: use tests/run", program.display());
    program
}

/// A program or file that `tests/run` has installed, by its path below `tools` in the target
/// directory.
///
/// # Panics
///
/// When it is not there.
#[must_use]
pub fn tool(path: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let tool = own.ancestors().nth(3).unwrap().join("tools").join(path);
    assert!(tool.exists(), "{} is not installed: use tests/run", tool.display());
    tool
}

/// A command that runs the built program as `user`, with nothing on its input.
#[must_use]
pub fn command(user: User) -> Command {
    command_of(automa(), user)
}

/// Runs a test that has an engine of its own, and as root once more as an ordinary user: this
/// program is started again for this one test, which is the one that `part` is a closure of.
///
/// # Panics
///
/// When it fails.
#[track_caller]
pub fn as_everybody<P>(part: &P, test: impl Fn()) {
    test();
    if geteuid().is_root() {
        let name = std::any::type_name_of_val(part);
        let name = name.trim_end_matches("::{{closure}}").split_once("::").map_or(name, |(_, n)| n);
        // By its link, as an ordinary user need not be able to reach where it lies.
        let mut program = command_of(Path::new("/proc/self/exe"), User::Ordinary);
        let output = program.args(["--exact", name, "--nocapture"]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("1 passed"), "{name}, as an ordinary user: {told}{errors}");
    }
}

/// A command that runs any program as `user`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "what is under test runs bare")]
pub fn command_of(program: &Path, user: User) -> Command {
    let mut command = Command::new(program);
    if user == User::Ordinary && geteuid().is_root() {
        // With a user id, std also drops the supplementary groups.
        command.uid(NOBODY).gid(NOBODY);
    }
    command.stdin(Stdio::null()).current_dir("/");
    command
}

/// What `automa run` gave.
#[derive(Debug)]
pub struct Run {
    /// Its process id while it ran.
    pub pid: u32,
    /// Its exit code.
    pub code: i32,
    /// What the script wrote.
    pub stdout: String,
    /// What the script, or Automa about it, wrote to stderr.
    pub stderr: String,
    /// The report, unless nothing was run.
    pub report: Option<ExitReport>,
}

impl Run {
    /// The outcome.
    ///
    /// # Panics
    ///
    /// When nothing was run.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.report.as_ref().unwrap_or_else(|| panic!("nothing was run: {self:#?}")).outcome
    }

    /// Whether a protection was in force.
    ///
    /// # Panics
    ///
    /// When nothing was run.
    #[must_use]
    pub fn status(&self, feature: Feature) -> &Status {
        let report = self.report.as_ref().expect("nothing was run");
        &report.protections.iter().find(|p| p.feature == feature).expect("all are listed").status
    }

    /// Asserts that the script ended by itself with this exit code.
    ///
    /// # Panics
    ///
    /// When it did not.
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "an assertion; the rest is for chains")]
    pub fn exited(&self, code: i32) -> &Self {
        assert_eq!(self.outcome(), &Outcome::Exited { code }, "{self:#?}");
        assert_eq!(self.code, code);
        self
    }
}

/// A script to be run by the built program.
#[derive(Debug)]
#[must_use]
pub struct Script {
    dir: TempDir,
    file: PathBuf,
    flags: Vec<String>,
    args: Vec<String>,
}

/// A bash script.
pub fn bash(source: impl AsRef<[u8]>) -> Script {
    Script::new("script.sh", source.as_ref())
}

/// A Python script.
pub fn python(source: impl AsRef<[u8]>) -> Script {
    Script::new("script.py", source.as_ref())
}

impl Script {
    /// A script in a file of this name.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn new(name: &str, source: &[u8]) -> Self {
        let dir = public_dir();
        let file = dir.path().join(name);
        fs::write(&file, source).unwrap();
        Self { dir, file, flags: Vec::new(), args: Vec::new() }
    }

    /// Adds flags, separated by blanks.
    pub fn flags(mut self, flags: &str) -> Self {
        self.flags.extend(flags.split_whitespace().map(str::to_owned));
        self
    }

    /// Adds one flag with a value that may contain blanks.
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Adds an argument for the script.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// The command that runs this script; its report goes to the file `report`.
    #[must_use]
    pub fn command(&self, user: User, report: &Path) -> Command {
        // Descriptor 3 takes a shell, as std passes only the standard ones on.
        let mut command = command_of(Path::new("/bin/sh"), user);
        command.args(["-c", "exec 3>>\"$0\"; exec \"$@\""]).arg(report).arg(automa());
        command.arg("run").arg(&self.file).args(["--report", "json"]).args(&self.flags);
        command.arg("--").args(&self.args);
        command
    }

    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// When the program cannot be started.
    #[must_use]
    pub fn run_as(&self, user: User) -> Run {
        let report = self.report_file(user);
        run(&mut self.command(user, &report), &report)
    }

    /// Runs it to its end in a network.
    ///
    /// # Panics
    ///
    /// When the program cannot be started.
    #[must_use]
    pub fn run_in(&self, network: &Network, user: User) -> Run {
        let report = self.report_file(user);
        run(&mut network.around(&self.command(User::Root, &report), user), &report)
    }

    /// Starts it and leaves it running, with a pipe at its input.
    ///
    /// # Panics
    ///
    /// When the program cannot be started.
    pub fn start_as(&self, user: User) -> Running<'_> {
        let report = self.report_file(user);
        Running::start(&mut self.command(user, &report), Some(report))
    }

    /// An empty file for the report.
    fn report_file(&self, user: User) -> PathBuf {
        let report = self.dir.path().join(format!("report-{user:?}"));
        fs::write(&report, "").unwrap();
        make_public(&report);
        report
    }

    /// The script's file on the host.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }
}

/// Runs a command to its end, and reads its report.
fn run(command: &mut Command, report: &Path) -> Run {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    Run {
        pid,
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        report: read_report(report),
    }
}

/// The report in a file; `None` when nothing was run.
fn read_report(file: &Path) -> Option<ExitReport> {
    let text = fs::read_to_string(file).unwrap();
    (!text.is_empty()).then(|| serde_json::from_str(&text).unwrap())
}

/// A temporary directory that every user may read and write.
///
/// # Panics
///
/// When it cannot be made.
#[must_use]
pub fn public_dir() -> TempDir {
    let dir = tempfile::Builder::new().prefix("automa-test-").tempdir().unwrap();
    make_public(dir.path());
    dir
}

/// Lets every user read and write a file or directory.
///
/// # Panics
///
/// When that is not allowed.
pub fn make_public(path: &Path) {
    let mode = if path.is_dir() { 0o777 } else { 0o666 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
