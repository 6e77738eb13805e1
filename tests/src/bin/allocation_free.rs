//! Runs a sandbox under an allocator that ends any process which allocates as a sandbox's init or
//! payload. Those share their slot's memory: an allocation there would corrupt it.
//!
//! Inside its own process namespace an init has the id 1 and the payload, before its exec, 2.
#![expect(unsafe_code, reason = "an allocator cannot be had without")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    process::ExitCode,
};

use automa_sandbox::{
    CollectLimits, Command, Delivery, DirectoryMount, Egress, Engine, EngineConfig, Error, Network,
    Outcome, Policy, Runtime, Start, Stdout, TerminalSize,
};

struct NotInside;

impl NotInside {
    fn check() {
        if nix::unistd::getpid().as_raw() <= 2 {
            std::process::abort();
        }
    }
}

// SAFETY: all work is left to the system's allocator.
unsafe impl GlobalAlloc for NotInside {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::check();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::check();
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: NotInside = NotInside;

/// Runs a good and a bad program, in sandboxes that start like this. Returns whether all was right.
async fn run(
    engine: &Engine,
    start: Start,
    placed: impl Fn(Command) -> Command,
) -> Result<bool, Error> {
    let script = "import sys; print('input'); sys.exit(3)";
    let good = Runtime::python()?.command(script, "script.py");
    // A start that fails is reported by init as well.
    let missing = Command::new("/no/such/program");
    let mut reports = Vec::new();
    for command in [good, missing].map(placed) {
        let command = match start {
            Start::Cold => command.cold(),
            Start::Warm => {
                engine.prewarm(&command, 2).await?;
                command
            }
        };
        reports.push(engine.output(command).await?);
    }
    let [good, missing] = [&reports[0], &reports[1]];
    eprintln!("{start:?} {:?} {:?}", good.report.outcome, missing.report.outcome);
    Ok(good.stdout.starts_with(b"input")
        && good.report.outcome == Outcome::Exited { code: 3 }
        && matches!(missing.report.outcome, Outcome::SetupFailed { .. })
        && [good.report.start, missing.report.start] == [start; 2])
}

#[tokio::main(flavor = "current_thread")]
async fn all() -> Result<bool, Error> {
    let engine = Engine::start(EngineConfig::default()).await?;
    let with_pipes = |command: Command| {
        let shown = DirectoryMount::new("/usr/share", "/automa/job/data/shown");
        command.directory(shown).collect(CollectLimits::default())
    };
    let egress = Egress::to(["a.example:443".parse().expect("it is one")]);
    let with_network =
        |command: Command| command.policy(Policy::script().network(Network::Allow(egress.clone())));
    let with_secrets = |command: Command| {
        let all = [Delivery::Variable, Delivery::File, Delivery::Descriptor].into_iter();
        all.zip(["A", "B", "C"]).fold(command, |command, (delivery, name)| {
            command.secret(name, delivery, b"value".to_vec().into())
        })
    };
    let at_terminal = |command: Command| {
        let terminal = Stdout::Terminal(TerminalSize::default());
        command.policy(Policy::terminal()).stdout(terminal)
    };
    let mut right = true;
    for start in [Start::Cold, Start::Warm] {
        right &= run(&engine, start, with_pipes).await?;
        right &= run(&engine, start, with_network).await?;
        right &= run(&engine, start, at_terminal).await?;
        right &= run(&engine, start, with_secrets).await?;
    }
    Ok(right)
}

fn main() -> Result<ExitCode, Error> {
    automa_sandbox::reexec_guard();
    Ok(if all()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
