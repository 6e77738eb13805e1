//! Ordinary scripts do in a sandbox what they do without one: the same output, the same errors and
//! the same end, byte for byte, in one that was made for them and in one that was prepared.
//!
//! Each file in `fidelity/` is such a script. Lines at its top say what it is given: `# args:`
//! arguments with blanks between them, `# env:` one variable, `# stdin:` its input as a JSON string.
//! A script that differs by design is not ordinary and has no file there; the sandbox's
//! documentation says what differs.

use std::{
    fmt::Write as _,
    fs::{self, File},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::Stdio,
    thread,
};

use automa_sandbox::{Command, Engine, EngineConfig, Exit, Limits, Policy, Runtime, Start};
use automa_tests::{NOBODY, User, automa, command_of, make_public, public_dir};
use nix::unistd::geteuid;

use crate::block_on;

/// How many run at the same time.
const AT_ONCE: usize = 4;

/// Where a sandbox has its home, its working directory and its temporary files.
const JOB: &str = "/automa/job";

/// What a sandbox's program finds in its environment, but its home.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("PATH", "/usr/local/bin:/usr/bin:/bin"),
    ("USER", "job"),
    ("LOGNAME", "job"),
    ("LANG", "C.UTF-8"),
];

/// A language of scripts.
struct Language {
    runtime: Runtime,
    suffix: &'static str,
    /// Variables that the runtime sets.
    env: &'static [(&'static str, &'static str)],
}

impl Language {
    /// What each script's file is called where it runs.
    fn file(&self) -> String {
        format!("script.{}", self.suffix)
    }
}

/// A script and what it is given.
#[derive(Default)]
struct Script {
    name: String,
    source: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    stdin: Option<String>,
}

impl Script {
    fn read(path: &Path) -> Self {
        let source = fs::read_to_string(path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut script = Self { name, ..Self::default() };
        for line in source.lines() {
            if let Some(args) = line.strip_prefix("# args: ") {
                script.args.extend(args.split(' ').map(str::to_owned));
            } else if let Some(variable) = line.strip_prefix("# env: ") {
                let (name, value) = variable.split_once('=').unwrap();
                script.env.push((name.to_owned(), value.to_owned()));
            } else if let Some(input) = line.strip_prefix("# stdin: ") {
                script.stdin = Some(serde_json::from_str(input).unwrap());
            } else {
                break;
            }
        }
        Self { source, ..script }
    }

    /// All scripts in a language, sorted by their names.
    fn all(suffix: &str) -> Vec<Self> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/fidelity");
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|found| found == suffix)).collect();
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    /// Runs it without a sandbox, in a session of its own and as a user without rights, as in one.
    fn bare(&self, language: &Language) -> Seen {
        let home = public_dir();
        for dir in ["work", "tmp"] {
            fs::create_dir(home.path().join(dir)).unwrap();
            make_public(&home.path().join(dir));
        }
        let work = home.path().join("work");
        let file = work.join(language.file());
        fs::write(&file, &self.source).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        if geteuid().is_root() {
            chown(&file, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let program = language.runtime.program();
        let mut command = command_of(Path::new("/usr/bin/prlimit"), User::Ordinary);
        command.args(["--core=1", "--nofile=1024", "--", "setsid"]).arg(program);
        command.arg(language.file()).args(&self.args).current_dir(&work).env_clear();
        command.envs(ENVIRONMENT).env("HOME", home.path()).envs(language.env.iter().copied());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(input) = &self.stdin {
            let path = home.path().join("input");
            fs::write(&path, input).unwrap();
            command.stdin(File::open(path).unwrap());
        }
        let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
        let exit = match (output.status.code(), output.status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap()),
        };
        // The one difference of paths: where the directories lie.
        let own = home.path().to_str().unwrap();
        let moved = |bytes: Vec<u8>| replaced(&bytes, own.as_bytes(), JOB.as_bytes());
        Seen::new(&moved(output.stdout), &moved(output.stderr), Some(exit))
    }

    fn command(&self, language: &Language) -> Command {
        let limits = Limits { cpu_millis: 2000, ..Limits::default() };
        let mut command = language.runtime.command(self.source.clone(), &language.file());
        for (name, value) in &self.env {
            command = command.env(name, value);
        }
        if let Some(input) = &self.stdin {
            command = command.stdin(input.clone().into_bytes());
        }
        command.args(&self.args).policy(Policy::script().limits(limits))
    }

    async fn sandboxed(&self, language: &Language, engine: &Engine, start: Start) -> Seen {
        let mut command = self.command(language);
        match start {
            Start::Cold => command = command.cold(),
            Start::Warm => engine.prewarm(&command, 1).await.unwrap(),
        }
        let output = engine.output(command).await.unwrap();
        assert_eq!(output.report.start, start, "{}", self.name);
        Seen::new(&output.stdout, &output.stderr, output.report.exit)
    }
}

/// What can be seen of a script from outside.
#[derive(PartialEq, Eq)]
struct Seen {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    exit: Option<Exit>,
}

impl Seen {
    /// Addresses are others in each process, so they are left out.
    fn new(stdout: &[u8], stderr: &[u8], exit: Option<Exit>) -> Self {
        Self { stdout: without_addresses(stdout), stderr: without_addresses(stderr), exit }
    }

    /// The first line of each stream that is not the same, and the ends if they differ.
    fn difference(&self, other: &Self) -> Option<String> {
        let mut text = String::new();
        for (name, ours, theirs) in
            [("stdout", &self.stdout, &other.stdout), ("stderr", &self.stderr, &other.stderr)]
        {
            let lines =
                |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            let (ours, theirs): (Vec<_>, Vec<_>) = (lines(ours), lines(theirs));
            let at = (0..ours.len().max(theirs.len())).find(|at| ours.get(*at) != theirs.get(*at));
            if let Some(at) = at {
                let line = |lines: &[Vec<u8>]| {
                    lines.get(at).map(|line| String::from_utf8_lossy(line).into_owned())
                };
                let (ours, theirs) = (line(&ours), line(&theirs));
                write!(text, "\n    {name}, line {}: {ours:?}, bare {theirs:?}", at + 1).unwrap();
            }
        }
        if self.exit != other.exit {
            write!(text, "\n    the end: {:?}, bare {:?}", self.exit, other.exit).unwrap();
        }
        (!text.is_empty()).then_some(text)
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        result.extend_from_slice(&rest[..at]);
        result.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    result.extend_from_slice(rest);
    result
}

/// With `0x…` for each number in base 16 that is as long as an address.
fn without_addresses(bytes: &[u8]) -> Vec<u8> {
    let mut parts = bytes.split_inclusive(|byte| *byte == b'x');
    let mut result = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let digits = part.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let address = result.ends_with(b"0x") && digits >= 9;
        result.extend_from_slice(if address { "…".as_bytes() } else { &part[..digits] });
        result.extend_from_slice(&part[digits..]);
    }
    result
}

/// Runs scripts one after the other, each of them bare, cold and warm, and lists the differences.
async fn differences(scripts: &[Script], language: &Language) -> Vec<String> {
    // With one slot, nobody else takes what was prepared.
    let config = EngineConfig::default().slots(1).helper(automa());
    let engine = Engine::start(config).await.unwrap();
    let mut found = Vec::new();
    for script in scripts {
        let bare = script.bare(language);
        for start in [Start::Cold, Start::Warm] {
            let seen = script.sandboxed(language, &engine, start).await;
            if let Some(difference) = seen.difference(&bare) {
                found.push(format!("{}, {start:?}:{difference}", script.name));
            }
        }
    }
    engine.shutdown().await;
    found
}

/// Compares all scripts in a language, several at the same time.
fn compare(language: &Language, least: usize) {
    let scripts = Script::all(language.suffix);
    assert!(scripts.len() >= least, "only {} scripts were found", scripts.len());
    let found: Vec<String> = thread::scope(|scope| {
        let parts = scripts.chunks(scripts.len().div_ceil(AT_ONCE));
        let threads: Vec<_> =
            parts.map(|part| scope.spawn(|| block_on(differences(part, language)))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Runs a test of this module once more, with all of it as a user without rights.
fn again_as_ordinary(test: &str) {
    let dir = public_dir();
    let program = dir.path().join("it");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut command = command_of(&program, User::Ordinary);
    command.args(["--exact", &format!("fidelity::{test}")]).env("AUTOMA_BIN", automa());
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "as an ordinary user:\n{told}");
}

/// Compares for everybody whom these tests can be.
fn compare_for_all(test: &str, language: &Language, least: usize) {
    for user in User::all() {
        if user == User::Ordinary && geteuid().is_root() {
            again_as_ordinary(test);
        } else {
            compare(language, least);
        }
    }
}

#[test]
fn python_scripts_do_the_same_as_without_a_sandbox() {
    let env = &[("PYTHONUNBUFFERED", "1")];
    let language = Language { runtime: Runtime::python().unwrap(), suffix: "py", env };
    compare_for_all("python_scripts_do_the_same_as_without_a_sandbox", &language, 205);
}

#[test]
fn bash_scripts_do_the_same_as_without_a_sandbox() {
    let language = Language { runtime: Runtime::bash().unwrap(), suffix: "sh", env: &[] };
    compare_for_all("bash_scripts_do_the_same_as_without_a_sandbox", &language, 95);
}
