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
    CollectLimits, Command, DirectoryMount, Egress, Engine, EngineConfig, Error, Network, Outcome,
    Policy, Runtime, Start,
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

#[tokio::main(flavor = "current_thread")]
async fn run() -> Result<bool, Error> {
    let engine = Engine::start(EngineConfig::default()).await?;
    let script = "import sys; print(sys.stdin.read()); sys.exit(3)";
    let python = Runtime::python()?;
    let mut right = true;
    let egress = Egress::to(["a.example:443".parse().expect("it is one")]);
    let networks = [Network::None, Network::Allow(egress)];
    let starts = [Start::Cold, Start::Warm];
    for (start, network) in
        starts.iter().flat_map(|start| networks.iter().map(move |it| (*start, it)))
    {
        let policy = || Policy::script().network(network.clone());
        let command = || {
            let command = python.command(script, "script.py").stdin(b"input".to_vec());
            let shown = DirectoryMount::new("/usr/share", "/automa/job/data/shown");
            let command = command.directory(shown).collect(CollectLimits::default());
            let command = command.policy(policy());
            if start == Start::Cold { command.cold() } else { command }
        };
        // A start that fails is reported by init as well.
        let missing = || {
            let command = Command::new("/no/such/program").policy(policy());
            if start == Start::Cold { command.cold() } else { command }
        };
        if start == Start::Warm {
            engine.prewarm(&command(), 2).await?;
        }
        let good = engine.output(command()).await?;
        if start == Start::Warm {
            engine.prewarm(&missing(), 2).await?;
        }
        let missing = engine.output(missing()).await?;
        eprintln!("{start:?} {:?} {:?}", good.report.outcome, missing.report.outcome);
        right &= good.stdout == b"input\n"
            && good.report.outcome == Outcome::Exited { code: 3 }
            && matches!(missing.report.outcome, Outcome::SetupFailed { .. })
            && [good.report.start, missing.report.start] == [start; 2];
    }
    Ok(right)
}

fn main() -> Result<ExitCode, Error> {
    automa_sandbox::reexec_guard();
    Ok(if run()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
