//! Runs a program confined by what Linux itself offers: namespaces, control groups, Landlock and a
//! system call filter. No container engine, no daemon, no root needed; and every run ends with a
//! report of why it ended, what it used, and what confined it.
//!
//! ```standalone_crate
//! use automa_sandbox::{Engine, EngineConfig, Runtime};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // First of all: this program also serves as the sandbox's helper.
//!     automa_sandbox::reexec_guard();
//!     let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//!     tokio.block_on(async {
//!         let engine = Engine::start(EngineConfig::default()).await?;
//!         let command = Runtime::bash()?.command("echo hello; id", "hello.sh");
//!         let output = engine.output(command).await?;
//!         assert!(output.report.success(), "it {}", output.report.outcome);
//!         assert!(output.stdout.starts_with(b"hello\n"));
//!         Ok(())
//!     })
//! }
//! ```
//!
//! # What a program finds
//!
//! - The host's `/usr`, read-only, and an `/etc` made for it. No other file of the host, unless
//!   [shown](EngineConfig::mount_ro).
//! - One writable place: its working directory, `/tmp` and `$HOME` lie on a temporary file system
//!   of limited size that is gone afterwards.
//! - No network, or what an allow-list names, see [`Network`]. Some [profiles](Profile) have a
//!   loopback interface of the sandbox's own.
//! - A process tree of its own, whose every member ends with it.
//! - No capability, no way to gain one, no system call that the [profile](Profile) does not need.
//!
//! Ordinary scripts do the same in it as without it; [`differences`] lists what can be noticed.
//!
//! # For four kinds of work
//!
//! [`Profile`] has a table of what they differ in; what each can reach is up to its policy.
//!
//! ```
//! use automa_sandbox::{Command, Egress, Network, Policy, Stdout, TerminalSize};
//!
//! // A script, which here may also reach one host.
//! let egress = Egress::to(["api.example.com:443".parse()?]);
//! let script = Command::new("/usr/bin/curl")
//!     .arg("https://api.example.com")
//!     .policy(Policy::script().network(Network::Allow(egress)));
//! // A program that runs on, and may listen on a loopback interface of its own.
//! let agent = Command::new("/usr/bin/python3").args(["-m", "http.server"]).policy(Policy::agent());
//! // A compiler, with room for it.
//! let build = Command::new("/usr/bin/make").policy(Policy::build());
//! // A shell that somebody types at.
//! let shell = Command::new("/bin/bash")
//!     .policy(Policy::terminal())
//!     .stdout(Stdout::Terminal(TerminalSize::default()));
//! # let _ = (script, agent, build, shell);
//! # Ok::<(), automa_sandbox::ParseDestinationError>(())
//! ```
//!
//! # What is not promised
//!
//! The kernel is shared: a program that exploits a bug in it is not held. Timing and load can be
//! observed and influenced by others on the same machine. And on a host without control groups for
//! this user some [limits](Limits) are weaker, which [`Host::protections`] and each
//! [`ExitReport`] say. [`threat_model`] says who may attack, what stands in the way, and what remains.
//!
//! # What it needs
//!
//! Linux 5.15 or newer on x86-64, and root or user namespaces. [`operators`] says how a host is set
//! up, as a systemd service, in a container, and how to tell what it enforces. [`comparison`] lists the
//! mechanisms of other sandboxes beside these.
//!
//! # How it works
//!
//! A small helper process, this same program entered again, builds one root file system for all
//! sandboxes and keeps *slots* ready that already sit in their groups and their empty network.
//! A run forks from a slot, so what is slow was done before. See [`Engine`].

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "numbers cross the kernel's interface in its own types; a 64-bit Linux is required"
)]
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("automa-sandbox needs Linux on x86_64: system call numbers and filter are for it");

mod artifacts;
mod beneath;
#[cfg(any(doc, doctest))]
#[doc = include_str!("comparison.md")]
pub mod comparison {}
#[cfg(any(doc, doctest))]
#[doc = include_str!("differences.md")]
pub mod differences {}
#[cfg(any(doc, doctest))]
#[doc = include_str!("operators.md")]
pub mod operators {}
#[cfg(any(doc, doctest))]
#[doc = include_str!("threat_model.md")]
pub mod threat_model {}

mod cgroup;
mod child;
mod class;
mod command;
mod conclusion;
mod config;
mod directory;
mod egress;
mod engine;
mod error;
mod helper;
mod history;
mod host;
mod interpreter;
mod landlock;
mod limits;
mod link;
mod policy;
mod pool;
mod protection;
mod report;
mod rlimit;
mod runtime;
mod sampling;
mod seccomp;
mod secret;
mod slots;
mod stdio;
mod supervisor;
mod sys;
mod terminal;
mod zygote;

pub use crate::{
    artifacts::{Artifact, Artifacts, CollectLimits, SkipReason, Skipped},
    child::{Child, Chunk, Connector, Output, Stream},
    command::{Command, Stdin, Stdout},
    config::EngineConfig,
    directory::DirectoryMount,
    egress::{
        Destination, Egress, EgressEvent, EgressLimits, Network, ParseDestinationError, Refusal,
        Resolve, Resolving, Verdict,
    },
    engine::Engine,
    error::{DirectoryProblem, Error},
    history::{UsageHistory, UsagePoint},
    host::Host,
    limits::{Bytes, Limits, ParseBytesError},
    policy::{Policy, Profile, UnknownProfile},
    protection::{Feature, Protection, Status, UnknownFeature},
    report::{Exit, ExitReport, Outcome, Stage, Start, Step, Usage},
    runtime::Runtime,
    secret::{Delivery, MAX_SECRETS},
    stdio::inherited_descriptor,
    terminal::{Keyboard, TerminalSize},
};

/// Makes this program usable as the sandbox's helper: must be the first call of `main`, before any
/// thread is started or file opened.
///
/// In the ordinary case it returns at once. When an engine has started this program again as its
/// helper, it does that work and never returns.
pub fn reexec_guard() {
    match std::env::args_os().nth(1) {
        Some(argument) if argument == zygote::ARGUMENT => zygote::main(),
        Some(argument) if argument == directory::ARGUMENT => directory::main(),
        _ => {}
    }
    config::mark_guarded();
}
