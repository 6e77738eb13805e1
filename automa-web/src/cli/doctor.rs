//! `automa doctor`: what this host enforces, shown by doing it.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use automa_core::script::Language;
use automa_sandbox::{Command, Engine, EngineConfig, Feature, Policy, Protection, Status};
use serde::Serialize;

use super::block_on;

/// Arguments of `automa doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write the findings as one JSON document
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Findings {
    /// Scripts can be run: a sandbox was started, and nothing required is missing.
    ok: bool,
    /// Why not, and what to do.
    problem: Option<String>,
    kernel: String,
    /// `root`, or `user namespace` for an ordinary user.
    mode: Option<&'static str>,
    cgroups: Option<&'static str>,
    /// Why there are no cgroups, if so.
    cgroup_problem: Option<String>,
    landlock_abi: Option<i32>,
    runtimes: Vec<RuntimeFinding>,
    protections: Vec<ProtectionFinding>,
}

#[derive(Debug, Serialize)]
struct RuntimeFinding {
    language: Language,
    program: Option<String>,
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct ProtectionFinding {
    /// Whether scripts are refused without it.
    required: bool,
    #[serde(flatten)]
    protection: Protection,
}

/// Runs the command.
pub(crate) fn main(args: &Args) -> ExitCode {
    let findings = examine();
    let mut stdout = io::stdout().lock();
    // The exit code tells even when nobody reads the text.
    let _ = if args.json {
        let text = serde_json::to_string_pretty(&findings).unwrap_or_default();
        writeln!(stdout, "{text}")
    } else {
        show(&mut stdout, &findings)
    };
    if findings.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn examine() -> Findings {
    let kernel = nix::sys::utsname::uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_default();
    let mut findings = Findings {
        ok: false,
        problem: None,
        kernel,
        mode: None,
        cgroups: None,
        cgroup_problem: None,
        landlock_abi: None,
        runtimes: Language::ALL.map(runtime).into(),
        protections: Vec::new(),
    };
    let tried = block_on(try_sandbox(&mut findings)).map_err(|error| error.to_string()).flatten();
    match tried {
        Ok(()) => findings.ok = true,
        Err(problem) => findings.problem = Some(problem),
    }
    findings
}

fn runtime(language: Language) -> RuntimeFinding {
    match language.runtime() {
        Ok(runtime) => {
            let program = Some(runtime.program().display().to_string());
            RuntimeFinding { language, program, problem: None }
        }
        Err(error) => RuntimeFinding { language, program: None, problem: Some(error.to_string()) },
    }
}

/// Starts an engine and a real sandbox in it.
async fn try_sandbox(findings: &mut Findings) -> Result<(), String> {
    let config = EngineConfig::default().slots(1);
    let engine = Engine::start(config).await.map_err(|error| error.to_string())?;
    let host = engine.host();
    findings.mode = Some(if host.user_namespace() { "user namespace" } else { "root" });
    findings.cgroups = Some(host.cgroups());
    findings.cgroup_problem = host.cgroup_problem().map(str::to_owned);
    findings.landlock_abi = Some(host.landlock_abi());
    let policy = Policy::script();
    findings.protections = host
        .protections()
        .into_iter()
        .map(|protection| {
            let required = policy.requires(protection.feature);
            ProtectionFinding { required, protection }
        })
        .collect();
    let command = Command::new("/bin/true").policy(policy);
    let output = engine.output(command).await.map_err(|error| error.to_string())?;
    engine.shutdown().await;
    if output.report.success() {
        Ok(())
    } else {
        Err(format!("a test program was started in a sandbox, and it {}", output.report.outcome))
    }
}

fn show(to: &mut impl Write, findings: &Findings) -> io::Result<()> {
    let known = |value: Option<String>| value.unwrap_or_else(|| "not reached".to_owned());
    writeln!(to, "kernel        {}", findings.kernel)?;
    writeln!(to, "sandboxes as  {}", known(findings.mode.map(str::to_owned)))?;
    let problem = findings.cgroup_problem.as_deref();
    let cgroups = findings.cgroups.map(|version| match problem {
        Some(problem) => format!("{version}: {problem}"),
        None => version.to_owned(),
    });
    writeln!(to, "cgroups       {}", known(cgroups))?;
    writeln!(to, "Landlock ABI  {}", known(findings.landlock_abi.map(|abi| abi.to_string())))?;
    for runtime in &findings.runtimes {
        let found = runtime.program.as_ref().or(runtime.problem.as_ref());
        writeln!(to, "{:13} {}", runtime.language.name(), found.map_or("", String::as_str))?;
    }
    if !findings.protections.is_empty() {
        writeln!(to)?;
    }
    for ProtectionFinding { required, protection } in &findings.protections {
        let Protection { feature, status } = protection;
        let (word, reason) = match status {
            Status::Enforced => ("enforced", None),
            Status::Weaker(reason) => ("weaker", Some(reason)),
            Status::Missing(reason) => ("MISSING", Some(reason)),
        };
        let required = if *required { "required" } else { "" };
        writeln!(to, "{word:9} {:18} {required:9} {}", feature.name(), meaning(*feature))?;
        if let Some(reason) = reason {
            // What is said at the top already is not repeated for each that suffers from it.
            let reason = match problem {
                Some(problem) if reason == problem => "no cgroups".to_owned(),
                Some(problem) => {
                    reason.replace(&format!(": {problem}"), ", as there are no cgroups")
                }
                None => reason.clone(),
            };
            writeln!(to, "          → {reason}")?;
        }
    }
    writeln!(to)?;
    match &findings.problem {
        None => writeln!(to, "This host confines scripts."),
        Some(problem) => writeln!(to, "Scripts cannot be run: {problem}"),
    }
}

/// What a protection does, for someone who meets it for the first time.
fn meaning(feature: Feature) -> &'static str {
    match feature {
        Feature::Namespaces => "own processes, mounts, IPC, host name and cgroup root",
        Feature::Identity => "a user that owns nothing else, without groups",
        Feature::Filesystem => "read-only system, no host files, one writable place",
        Feature::Proc => "/proc shows the script's own processes only",
        Feature::Network => "no network",
        Feature::Capabilities => "no capabilities",
        Feature::NoNewPrivileges => "set-uid programs give no rights",
        Feature::Seccomp => "a list of allowed system calls",
        Feature::Landlock => "file rules that hold behind the mounts",
        Feature::LandlockNetwork => "TCP ruled as well",
        Feature::LandlockScope => "abstract sockets and signals ruled as well",
        Feature::MemoryLimit => "memory of all processes together",
        Feature::SwapLimit => "swap counted as memory",
        Feature::ProcessLimit => "number of processes and threads",
        Feature::CpuShare => "share of the processors",
        Feature::CpuTime => "processor time of all processes together",
        Feature::WallTime => "time from start to end",
        Feature::DiskLimit => "size and number of files",
        Feature::OutputLimit => "bytes of output",
        Feature::OpenFiles => "open files of a process",
        Feature::TreeKill => "no process survives the end",
        _ => "",
    }
}
