//! `automa run FILE`: one script, one sandbox, no server.

mod out;
mod relay;
mod report;
mod tty;

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use automa_core::script::Language;
use automa_sandbox::{
    Bytes, Command, Destination, DirectoryMount, Egress, Engine, EngineConfig, Exit, ExitReport,
    Feature, Limits, Network, Outcome, Policy, Profile, Stdin, Stdout,
};

use self::{out::OutDirectory, relay::Ended};
use super::{EXIT_NOT_RUN, block_on};

/// Arguments of `automa run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Limits where none are given, for profile script (agent, build, \
    terminal): wall 5m (none, 1h, 24h), cpus 0.5 (1, 2, 1), memory 512M (1G, 4G, 2G), pids 64 \
    (256, 512, 256), output 10M (none, 64M, none), tmp 100M (256M, 2G, 1G).\n\n\
    Exit code: the script's own; 128+N if signal N ended it; 124 at a time \
    limit; 137 at the memory or output limit; 125 if it was not run at all, or its files could not \
    be copied.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// The script: a .sh or .py file, or one whose #! line names bash or python
    file: PathBuf,
    /// Arguments for the script
    #[arg(last = true, value_name = "ARGS")]
    words: Vec<String>,
    /// bash or python, when neither the file's ending nor its first line tells
    #[arg(long, value_name = "NAME")]
    language: Option<Language>,
    /// Limit on time from start to end, as in 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    wall: Option<Duration>,
    /// Limit on processor time of all processes together
    #[arg(long, value_name = "TIME", value_parser = duration)]
    cpu_time: Option<Duration>,
    /// Share of processors, as in 0.5 or 2
    #[arg(long, value_name = "N", value_parser = processors)]
    cpus: Option<u64>,
    /// Limit on memory of all processes together
    #[arg(long, value_name = "SIZE")]
    memory: Option<Bytes>,
    /// Limit on processes and threads
    #[arg(long, value_name = "N")]
    pids: Option<u64>,
    /// Limit on stdout and stderr together
    #[arg(long, value_name = "SIZE")]
    output: Option<Bytes>,
    /// Size of the only writable place, /tmp and the working directory together
    #[arg(long, value_name = "SIZE")]
    tmp: Option<Bytes>,
    /// Allow TCP connections to this host and port: example.com:443, *.example.com:443 for all
    /// names below it, or an address; may be given more than once (default: no network)
    #[arg(long, value_name = "HOST:PORT")]
    allow_net: Vec<Destination>,
    /// Show a directory or file of the host read-only, at the same path or at INSIDE (not /run:
    /// sockets in it could be connected to); one in /automa/job/data as its owner sees it
    #[arg(long, value_name = "PATH[:INSIDE]")]
    mount_ro: Vec<String>,
    /// Let the script change a directory of the host, shown in /automa/job/data under its name or
    /// at INSIDE there; what is written belongs to the directory's owner, who cannot be root
    #[arg(long, value_name = "PATH[:INSIDE]")]
    mount_rw: Vec<String>,
    /// Limit on the disk space of these directories, with what was there before
    #[arg(long, value_name = "SIZE", default_value = "1G")]
    disk: Bytes,
    /// Copy the files that the script leaves where `AUTOMA_OUT` says into this directory, new or
    /// empty
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Set an environment variable; nothing else is inherited
    #[arg(long, value_name = "K=V", value_parser = variable)]
    env: Vec<(String, String)>,
    /// What the script reads as its input; - is this program's own (default: nothing)
    #[arg(long, value_name = "FILE")]
    stdin: Option<PathBuf>,
    /// Rules for one kind of work, and the limits where none are given: script; agent, which runs
    /// until it is told to end; build, for compilers and installers; terminal, for people
    #[arg(long, value_name = "NAME", default_value = "script")]
    profile: Profile,
    /// Never use a sandbox prepared in advance; a single run does not, unless --warm asks for it
    #[arg(long)]
    cold: bool,
    /// Prepare the sandbox first, as the server does, and then run the script in it
    #[arg(long, conflicts_with = "cold")]
    warm: bool,
    /// Run at a terminal of the script's own, shown in this one: for profile terminal
    #[arg(long, conflicts_with = "stdin")]
    tty: bool,
    /// Refuse to run unless this protection is in force (see automa doctor)
    #[arg(long, value_name = "PROTECTION")]
    require: Vec<Feature>,
    /// Run even if this protection is missing
    #[arg(long, value_name = "PROTECTION")]
    prefer: Vec<Feature>,
    /// Refuse to run if a required protection has a gap
    #[arg(long)]
    strict: bool,
    /// Report at the end: text or none to stderr, json as one line to descriptor 3 or else stderr
    /// (default: text on a terminal, otherwise one line when a limit ended the script)
    #[arg(long, value_name = "FORM", value_enum)]
    report: Option<report::Format>,
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is not a time: write 500ms, 30s, 5m or 1h30m"))
}

fn processors(text: &str) -> Result<u64, String> {
    let problem = || format!("`{text}` is not a share of processors: write 0.5, 1 or 2.25");
    let value: f64 = text.parse().map_err(|_| problem())?;
    if !(0.01..=1024.0).contains(&value) {
        return Err(format!("{}, from 0.01 to 1024", problem()));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 10 to 1024000, as checked above"
    )]
    Ok((value * 1000.0).round() as u64)
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| format!("`{text}` is not of the form NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs the command.
pub(crate) fn main(args: Args) -> ExitCode {
    let target = report::Target::find(args.report);
    let result = block_on(execute(args)).map_err(|error| error.to_string()).flatten();
    match result {
        Ok((Ended { report, signal, .. }, copied)) => {
            let code = exit_code(&report, signal);
            target.write(&report);
            copied.map_or_else(|problem| fail(&problem), |()| ExitCode::from(code))
        }
        Err(problem) => fail(&problem),
    }
}

fn fail(problem: &str) -> ExitCode {
    // Nobody is left to be told when stderr is closed.
    let _ = writeln!(io::stderr(), "automa: {problem}");
    ExitCode::from(EXIT_NOT_RUN)
}

/// Runs the script to its end, and copies what it has left: the inner error is of that.
async fn execute(mut args: Args) -> Result<(Ended, Result<(), String>), String> {
    let out = args.out.take().map(OutDirectory::check).transpose()?;
    let tmp = args.tmp.unwrap_or(Policy::of(args.profile).limits_ref().tmp);
    let limits = out.as_ref().map(|_| out::limits(tmp));
    let (warm, tty) = (args.warm, args.tty);
    let (command, config) = prepare(args)?;
    let command = limits.into_iter().fold(command, Command::collect);
    let engine = Engine::start(config).await.map_err(|error| error.to_string())?;
    if warm {
        engine.prewarm(&command, 1).await.map_err(|error| error.to_string())?;
    }
    let child = engine.spawn(command).await.map_err(|error| error.to_string())?;
    let result = if tty { tty::relay(child).await } else { relay::relay(child).await };
    let result = result.map_err(|error| format!("cannot pass output on: {error}"));
    let result = result.map(|ended| {
        let left = out.zip(ended.artifacts.as_ref());
        let copied = left.map_or(Ok(()), |(out, artifacts)| out.fill(artifacts));
        (ended, copied)
    });
    engine.shutdown().await;
    result
}

fn prepare(args: Args) -> Result<(Command, EngineConfig), String> {
    let name = args.file.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.ok_or_else(|| format!("{} is not a file", args.file.display()))?;
    let source = std::fs::read(&args.file)
        .map_err(|error| format!("cannot read {}: {error}", args.file.display()))?;
    let language = match args.language {
        Some(language) => language,
        None => Language::detect(&name, &source)
            .map_err(|error| format!("{error}; --language tells it"))?,
    };
    let policy = Policy::of(args.profile);
    let usual = policy.limits_ref().clone();
    let limits = Limits {
        wall: args.wall.unwrap_or(usual.wall),
        cpu_time: args.cpu_time,
        cpu_millis: args.cpus.unwrap_or(usual.cpu_millis),
        memory: args.memory.unwrap_or(usual.memory),
        processes: args.pids.unwrap_or(usual.processes),
        output: args.output.unwrap_or(usual.output),
        tmp: args.tmp.unwrap_or(usual.tmp),
        directories: args.disk,
        ..usual
    };
    let mut policy = policy.limits(limits).prefer(args.prefer).require(args.require);
    if args.strict {
        policy = policy.strict();
    }
    if !args.allow_net.is_empty() {
        policy = policy.network(Network::Allow(Egress::to(args.allow_net)));
    }
    let command = language.command(source, &name).map_err(|error| error.to_string())?;
    let command = args.env.into_iter().fold(command, |command, (k, v)| command.env(k, v));
    let command = if args.tty { command.stdout(Stdout::Terminal(tty::size()?)) } else { command };
    let command = command.args(args.words).stdin(input(args.stdin.as_deref())?).policy(policy);
    let mut command = if args.cold { command.cold() } else { command };
    // Nothing is prepared for a next run, as there is none.
    let mut config = EngineConfig::default().slots(1).warm(0);
    for mount in &args.mount_ro {
        let (outside, inside) = mount_paths("--mount-ro", mount)?;
        let inside = inside.unwrap_or_else(|| outside.clone());
        if inside.starts_with(Command::DATA_DIRECTORY) {
            command = command.directory(DirectoryMount::new(outside, inside));
        } else {
            config = config.mount_ro(outside, inside);
        }
    }
    for mount in &args.mount_rw {
        let (outside, inside) = mount_paths("--mount-rw", mount)?;
        let named = || Some(Path::new(Command::DATA_DIRECTORY).join(outside.file_name()?));
        let inside = inside.or_else(named).unwrap_or_else(|| outside.clone());
        command = command.directory(DirectoryMount::new(outside, inside).writable());
    }
    Ok((command, config))
}

fn input(file: Option<&Path>) -> Result<Stdin, String> {
    let Some(file) = file else { return Ok(Stdin::Empty) };
    if file == Path::new("-") {
        // A terminal would give a hostile script a hold on it: only what comes out of it goes in.
        if io::stdin().is_terminal() {
            return Err("--stdin -: a terminal is not passed on; pipe into automa".to_owned());
        }
        let own = nix::unistd::dup(io::stdin()).map_err(|error| format!("--stdin -: {error}"))?;
        return Ok(Stdin::Fd(own));
    }
    let problem = |error| format!("--stdin {}: {error}", file.display());
    let opened = File::open(file).map_err(problem)?;
    if opened.metadata().map_err(problem)?.is_dir() {
        return Err(problem(io::ErrorKind::IsADirectory.into()));
    }
    Ok(Stdin::Fd(OwnedFd::from(opened)))
}

/// `PATH` or `PATH:INSIDE`, the first relative to where automa was started.
fn mount_paths(flag: &str, mount: &str) -> Result<(PathBuf, Option<PathBuf>), String> {
    let (outside, inside) = mount.split_once(':').map_or((mount, None), |(o, i)| (o, Some(i)));
    let outside =
        std::fs::canonicalize(outside).map_err(|error| format!("{flag} {outside}: {error}"))?;
    Ok((outside, inside.map(PathBuf::from)))
}

fn exit_code(report: &ExitReport, signal: Option<i32>) -> u8 {
    let own = match report.exit {
        Some(Exit::Code(code)) => code,
        Some(Exit::Signal(signal)) => 128 + signal,
        None => 137,
    };
    let code = match report.outcome {
        Outcome::WallTime | Outcome::CpuTime => 124,
        Outcome::Memory | Outcome::Output => 137,
        Outcome::Cancelled => 128 + signal.unwrap_or(relay::TERM),
        Outcome::SetupFailed { .. } | Outcome::Lost => i32::from(EXIT_NOT_RUN),
        _ => own,
    };
    // Exit codes are bytes, and so is 128 plus a signal's number.
    u8::try_from(code).unwrap_or(EXIT_NOT_RUN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_processors() {
        assert_eq!(processors("0.5"), Ok(500));
        assert_eq!(processors("2"), Ok(2000));
        for text in ["", "x", "0", "-1", "NaN", "inf", "1e9"] {
            assert!(processors(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_explained() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        for text in ["", "x", "30", "-1s", "99999999999999999999s"] {
            assert!(duration(text).is_err_and(|problem| problem.contains("write 500ms")), "{text}");
        }
    }

    #[test]
    fn variables_have_a_name_and_a_value() {
        assert_eq!(variable("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert!(variable("A").is_err());
    }
}
