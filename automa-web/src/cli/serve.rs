//! `automa serve`: the server, in the foreground.

mod web;

use std::{
    io::{self, IsTerminal as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use automa_core::address::Network;
use automa_sandbox::Bytes;
use clap::Parser as _;
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

use crate::{cli::explain, config::Config, middleware::RateSetting, server};

/// Where data is kept unless told.
pub(super) const DATA: &str = "./data";

/// Arguments of `automa serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where everything is kept; made if it is missing
    #[arg(long, env = "AUTOMA_DATA", default_value = DATA, value_name = "DIR")]
    data: PathBuf,
    /// Where to listen; port 0 picks a free one
    #[arg(long, env = "AUTOMA_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// What tokens are signed with, at least 32 bytes; the data directory's own unless told
    #[arg(long, env = "AUTOMA_SECRET_KEY", hide_env_values = true, value_name = "KEY")]
    secret_key: Option<String>,
    /// Time that running executions have to end after the first SIGTERM, before they are cancelled
    #[arg(long, env = "AUTOMA_GRACE", default_value = "30s", value_parser = humantime::parse_duration, value_name = "TIME")]
    grace: Duration,
    /// Executions that run at the same time, 1 to 64; as many as there are processors unless told
    #[arg(long, env = "AUTOMA_SLOTS", value_parser = clap::value_parser!(u8).range(1..=64), value_name = "N")]
    slots: Option<u8>,
    /// Executions of one user that run at the same time; as many as there are slots unless told
    #[arg(long, env = "AUTOMA_MAX_RUNNING_PER_USER", value_parser = clap::value_parser!(u8).range(1..=64), value_name = "N")]
    max_running_per_user: Option<u8>,
    /// Agents that run at the same time, besides executions, 1 to 48
    #[arg(long, env = "AUTOMA_MAX_AGENTS", default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..=48), value_name = "N")]
    max_agents: u8,
    /// What has to be free on the disk of the data, for anything to be accepted and started; a
    /// hundredth of it unless told, at least 256M, but not more than a tenth
    #[arg(long, env = "AUTOMA_LEAST_FREE_DISK", value_name = "SIZE")]
    least_free_disk: Option<Bytes>,
    /// How often something may be asked for, as `general=60/1m`, of `general` (the API), `pages`,
    /// `sign_in`, `scripts` (new ones) and `uploads`; `off` for no limits; may be given several times
    #[arg(
        long = "rate-limit",
        env = "AUTOMA_RATE_LIMIT",
        value_delimiter = ',',
        value_name = "CLASS=N/PERIOD"
    )]
    rate_limits: Vec<RateSetting>,
    /// A proxy, or a network of them, that is believed from which address a request came to it; may be
    /// given several times
    #[arg(
        long = "trusted-proxy",
        env = "AUTOMA_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    trusted_proxies: Vec<Network>,
    #[command(flatten)]
    web: web::WebFlags,
    #[command(flatten)]
    master_keys: super::vault::KeyArgs,
    /// What the server's own log has, such as `info` or `debug,hyper=warn`
    #[arg(long, env = "AUTOMA_LOG", default_value = "info,poem=warn", value_name = "FILTER")]
    log: String,
}

impl Args {
    /// What the environment says, else the defaults.
    pub(super) fn of_environment() -> Result<Self, clap::Error> {
        #[derive(Debug, clap::Parser)]
        struct Alone {
            #[command(flatten)]
            args: Args,
        }
        Ok(Alone::try_parse_from(["automa"])?.args)
    }
}

/// Runs the command.
pub(crate) fn main(args: Args) -> ExitCode {
    if let Err(problem) = start_log(&args.log) {
        eprintln!("automa: {problem}");
        return ExitCode::from(2);
    }
    let master_keys = match args.master_keys.keys() {
        Ok(keys) => keys,
        Err(problem) => {
            eprintln!("automa: {problem}");
            return ExitCode::from(2);
        }
    };
    let config = Config {
        master_keys,
        data: args.data,
        listen: args.listen,
        secret_key: args.secret_key.map(SecretString::from),
        grace: args.grace,
        slots: args.slots.map(usize::from),
        max_running_per_user: args.max_running_per_user.map(usize::from),
        max_agents: args.max_agents.into(),
        least_free_disk: args.least_free_disk.map(|bytes| bytes.0),
        rate_limits: args.rate_limits,
        trusted_proxies: args.trusted_proxies,
        web: args.web.into(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let served = match runtime {
        Ok(runtime) => {
            let served = runtime.block_on(server::serve(&config));
            // A read that stalls is not waited for.
            runtime.shutdown_background();
            served
        }
        Err(error) => Err(error.into()),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("automa: {}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Sends the server's own log to stderr: for people on a terminal, else JSON lines.
fn start_log(filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("--log: {error}"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = if io::stderr().is_terminal() { log.try_init() } else { log.json().try_init() };
    started.map_err(|error| error.to_string())
}
