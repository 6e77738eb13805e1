//! What a sandbox adds to starting a program: cold starts and prepared ones against bare ones, and
//! against bubblewrap with the same view of the host where it is installed.

use std::{
    path::Path,
    process::{Command as Bare, Stdio},
    time::{Duration, Instant},
};

use automa_core::script::Language;
use automa_sandbox::{
    Command, Destination, Egress, Engine, EngineConfig, Limits, Network, Policy, Start, Stdout,
};
use tokio::time::sleep;

use super::table::{Row, Table, percentile};

/// Where bubblewrap is looked for.
const BWRAP: &str = "/usr/bin/bwrap";

/// A script that does something, but little.
const HELLO: &str = "print(sum(i * i for i in range(100)))\n";
const HELLO_PRINTS: &[u8] = b"328350\n";

/// What is started.
#[derive(Clone, Copy)]
enum Program {
    True,
    Bash,
    Python,
}

impl Program {
    const ALL: [Self; 3] = [Self::True, Self::Bash, Self::Python];

    fn name(self) -> &'static str {
        match self {
            Self::True => "/bin/true",
            Self::Bash => "bash -c :",
            Self::Python => "python3 hello.py",
        }
    }

    /// Program and arguments, with the script where it is outside.
    fn argv(self, python: &str, script: &str) -> Vec<String> {
        let words: &[&str] = match self {
            Self::True => &["/bin/true"],
            Self::Bash => &["/bin/bash", "-c", ":"],
            Self::Python => &[python, script],
        };
        words.iter().map(|&word| word.to_owned()).collect()
    }

    /// What a start may cost against a bare one, until its end is known: the design's targets.
    fn target(self, way: Way) -> Option<f64> {
        match (self, way) {
            (Self::True, Way::Cold) => Some(1.6),
            (Self::True, Way::Warm) => Some(1.2),
            (Self::True, Way::ColdNetwork) => Some(2.2),
            (Self::True, Way::WarmNetwork) => Some(1.4),
            (Self::Python, Way::Cold) => Some(1.03),
            (Self::Python, Way::Warm) => Some(0.10),
            _ => None,
        }
    }
}

/// How a sandbox is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Cold,
    Warm,
    /// With an allow-list, and so a network namespace of its own.
    ColdNetwork,
    WarmNetwork,
}

impl Way {
    const ALL: [Self; 4] = [Self::Cold, Self::Warm, Self::ColdNetwork, Self::WarmNetwork];

    fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "prepared",
            Self::ColdNetwork => "own network, cold",
            Self::WarmNetwork => "own network, prepared",
        }
    }

    fn is_warm(self) -> bool {
        matches!(self, Self::Warm | Self::WarmNetwork)
    }

    fn network(self) -> Result<Network, String> {
        match self {
            Self::Cold | Self::Warm => Ok(Network::None),
            Self::ColdNetwork | Self::WarmNetwork => {
                let destination: Destination =
                    "example.com:443".parse().map_err(|error| format!("{error}"))?;
                Ok(Network::Allow(Egress::to([destination])))
            }
        }
    }
}

/// Times of one program, by way of starting it.
#[derive(Default)]
struct Times {
    bare: Vec<Duration>,
    ways: [Sandboxed; Way::ALL.len()],
    bwrap: Vec<Duration>,
}

/// Times of one program in sandboxes that are started in one way.
#[derive(Default)]
struct Sandboxed {
    /// Until its output is read.
    output: Vec<Duration>,
    /// Until the program's end is known.
    result: Vec<Duration>,
    /// Until its whole tree is gone, which is when a caller hears of it.
    gone: Vec<Duration>,
    steps: Vec<Vec<(String, f64)>>,
}

struct Setup {
    /// Prepares nothing.
    cold: Engine,
    /// Has sandboxes for all three programs ready.
    warm: Engine,
    python: String,
    script: tempfile::NamedTempFile,
    bwrap: bool,
}

/// Measures back to back and with gaps, in which the kernel's deferred work comes due.
pub(super) async fn measure(quick: bool) -> Result<Vec<Table>, String> {
    let config = EngineConfig::default().slots(1);
    let start = async |config| Engine::start(config).await.map_err(|error| error.to_string());
    let (cold, warm) = (start(config.clone().warm(0)).await?, start(config.warm(3)).await?);
    let runtime = Language::Python.runtime().map_err(|error| error.to_string())?;
    let script = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    std::fs::write(script.path(), HELLO).map_err(|error| error.to_string())?;
    let python = runtime.program().display().to_string();
    let setup = Setup { cold, warm, python, script, bwrap: Path::new(BWRAP).exists() };
    let rounds = if quick { (30, 10) } else { (200, 60) };
    let tables = vec![
        setup.table("Starts back to back", rounds.0, false).await?,
        setup.table("Starts with gaps of 10 to 60 ms", rounds.1, true).await?,
    ];
    setup.cold.shutdown().await;
    setup.warm.shutdown().await;
    Ok(tables)
}

impl Setup {
    async fn table(&self, title: &str, rounds: usize, gaps: bool) -> Result<Table, String> {
        let mut times = [Times::default(), Times::default(), Times::default()];
        let mut gap = Gaps::new(gaps);
        // The first rounds warm caches and are not counted.
        for round in 0..rounds + 3 {
            for (program, times) in Program::ALL.into_iter().zip(&mut times) {
                if round == 3 {
                    *times = Times::default();
                }
                gap.wait().await;
                times.bare.push(self.bare(program)?);
                for (way, times) in Way::ALL.into_iter().zip(&mut times.ways) {
                    gap.wait().await;
                    self.sandboxed(program, way, times).await?;
                }
                if self.bwrap {
                    gap.wait().await;
                    times.bwrap.push(self.bubblewrapped(program)?);
                }
            }
        }
        let mut rows = Vec::new();
        for (program, times) in Program::ALL.into_iter().zip(&times) {
            let name = program.name();
            let bare = Row::new(&format!("{name}, bare"), &times.bare, None, None);
            let compared = Some(bare.median_us);
            rows.push(bare);
            for (way, times) in Way::ALL.into_iter().zip(&times.ways) {
                let name = format!("{name}, {}", way.name());
                if let (Program::Python, Way::Warm) = (program, way) {
                    let title = format!("{name}, until its output is read");
                    rows.push(Row::new(&title, &times.output, compared, Some(0.035)));
                }
                let title = format!("{name}, until its end is known");
                rows.push(Row::new(&title, &times.result, compared, program.target(way)));
                let title = format!("{name}, until its tree is gone");
                rows.push(Row::new(&title, &times.gone, compared, None));
            }
            if self.bwrap {
                rows.push(Row::new(&format!("{name}, bubblewrap"), &times.bwrap, compared, None));
            }
        }
        let title = format!("{title} ({rounds} rounds, all rows interleaved)");
        Ok(Table { rows, steps: medians(&times[0].ways[0].steps), ..Table::new(title) })
    }

    fn bare(&self, program: Program) -> Result<Duration, String> {
        let argv = program.argv(&self.python, &self.script.path().display().to_string());
        time(program, &argv)
    }

    /// bubblewrap with the same namespaces and mounts; it has no filter, Landlock or limits here.
    fn bubblewrapped(&self, program: Program) -> Result<Duration, String> {
        let script = self.script.path().display().to_string();
        let mut argv: Vec<String> = [
            BWRAP,
            "--unshare-all",
            "--die-with-parent",
            "--new-session",
            "--clearenv",
            "--ro-bind",
            "/usr",
            "/usr",
            "--symlink",
            "usr/bin",
            "/bin",
            "--symlink",
            "usr/lib",
            "/lib",
            "--symlink",
            "usr/lib64",
            "/lib64",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--tmpfs",
            "/tmp",
            "--ro-bind",
            &script,
            "/hello.py",
        ]
        .map(str::to_owned)
        .into();
        argv.extend(program.argv(&self.python, "/hello.py"));
        time(program, &argv)
    }

    async fn sandboxed(
        &self,
        program: Program,
        way: Way,
        times: &mut Sandboxed,
    ) -> Result<(), String> {
        let failed = |error: automa_sandbox::Error| error.to_string();
        let engine = if way.is_warm() { &self.warm } else { &self.cold };
        let command = || self.command(program, way);
        if way.is_warm() {
            engine.prewarm(&command()?, 1).await.map_err(failed)?;
        }
        let command = command()?;
        let begun = Instant::now();
        let mut child = engine.spawn(command).await.map_err(failed)?;
        let (mut printed, mut output) = (Vec::new(), Duration::ZERO);
        // In pieces, as an unbuffered program writes them.
        while let Some(chunk) = child.next_output().await {
            printed.extend(chunk.bytes);
            output = begun.elapsed();
        }
        let report = child.wait().await;
        let gone = begun.elapsed();
        let right = !matches!(program, Program::Python) || printed == HELLO_PRINTS;
        if !report.success() || !right {
            return Err(format!("{} {} in the sandbox", program.name(), report.outcome));
        }
        if (report.start == Start::Warm) != way.is_warm() {
            return Err(format!("{} was not started as asked: {way:?}", program.name()));
        }
        let after = report.timeline.last().map_or(0, |step| step.ns);
        times.output.push(output);
        times.gone.push(gone);
        times.result.push(gone.saturating_sub(Duration::from_nanos(after)));
        let micros = |ns| Duration::from_nanos(ns).as_secs_f64() * 1e6;
        let steps = report.timeline.into_iter().map(|step| (step.name, micros(step.ns)));
        times.steps.push(steps.collect());
        Ok(())
    }

    /// The program with everything on that confines it.
    fn command(&self, program: Program, way: Way) -> Result<Command, String> {
        // The quota is written, but too large to slow a start down.
        let cpus = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let limits = Limits { cpu_millis: cpus * 1000, ..Limits::default() };
        let policy = Policy::script().limits(limits).network(way.network()?);
        let command = if let Program::Python = program {
            let runtime = Language::Python.runtime().map_err(|error| error.to_string())?;
            runtime.command(HELLO, "hello.py")
        } else {
            let argv = program.argv(&self.python, "");
            Command::new(&argv[0]).args(&argv[1..]).stdout(Stdout::Null)
        };
        Ok(command.policy(policy))
    }
}

/// Runs a program on this host until it has ended and its output was read.
#[expect(clippy::disallowed_methods, reason = "the bare counterpart")]
fn time(program: Program, argv: &[String]) -> Result<Duration, String> {
    let mut bare = Bare::new(&argv[0]);
    bare.args(&argv[1..]).stdin(Stdio::null());
    match program {
        Program::Python => bare.stdout(Stdio::piped()).stderr(Stdio::piped()),
        Program::True | Program::Bash => bare.stdout(Stdio::null()).stderr(Stdio::null()),
    };
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", argv[0]);
    let begun = Instant::now();
    let child = bare.spawn().map_err(|error| failed(&error))?;
    let output = child.wait_with_output().map_err(|error| failed(&error))?;
    let taken = begun.elapsed();
    if output.status.success() { Ok(taken) } else { Err(failed(&output.status)) }
}

/// The median of each step over all runs.
fn medians(runs: &[Vec<(String, f64)>]) -> Vec<(String, f64)> {
    let Some(first) = runs.first() else { return Vec::new() };
    let names = first.iter().map(|(name, _)| name.clone());
    names
        .enumerate()
        .map(|(index, name)| {
            let mut values: Vec<f64> =
                runs.iter().filter_map(|steps| steps.get(index)).map(|(_, us)| *us).collect();
            values.sort_by(f64::total_cmp);
            (name, percentile(&values, 50))
        })
        .collect()
}

/// Pauses of 10 to 60 ms in a fixed but irregular order.
struct Gaps {
    enabled: bool,
    state: u64,
}

impl Gaps {
    fn new(enabled: bool) -> Self {
        Self { enabled, state: 1 }
    }

    async fn wait(&mut self) {
        if self.enabled {
            // Constants of Knuth's linear congruential generator MMIX; the high bits are good.
            self.state = self
                .state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            sleep(Duration::from_millis(10 + (self.state >> 33) % 51)).await;
        }
    }
}
