//! The scheduler: what many jobs cost while nothing is due, and how soon those start that are due in the
//! same second.

use std::time::{Duration, Instant};

use automa_core::{
    Automa,
    actor::Actor,
    execution::Filter,
    id::{JobId, ScriptId},
    job::{NewJob, Overlap, Trigger},
    page::{Limit, PageRequest},
    script::{Language, NewScript},
};
use futures_util::{StreamExt as _, stream};
use jiff::SignedDuration;
use nix::sys::resource::{UsageWho, getrusage};

use super::table::{Figure, Row, Table, Target};

/// Jobs that are due in the same second.
const DUE: usize = 1000;
/// For how long a scheduler is watched.
const WATCHED: Duration = Duration::from_secs(5);
/// How long to wait for what has to come.
const PATIENCE: Duration = Duration::from_mins(5);

/// Measures everything.
pub(super) async fn measure(quick: bool) -> Result<Vec<Table>, String> {
    let jobs = if quick { 10_000 } else { 100_000 };
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let starting = Automa::builder().directory(directory.path().join("data")).start();
    let automa = starting.await.map_err(|error| error.to_string())?;
    let mut table = Table::new(format!("Jobs (the scheduler with {jobs} jobs)"));
    let measured = measure_with(&mut table, &automa, jobs).await;
    automa.close_within(Duration::ZERO).await;
    measured.map(|()| vec![table]).map_err(|error| error.to_string())
}

async fn measure_with(
    table: &mut Table,
    automa: &Automa,
    jobs: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let me = Actor::embedder("automa bench");
    let new = NewScript::new("true", Language::Bash, "true");
    let script = automa.scripts(&me).create(new).await?.id;
    let (memory, begun) = (resident()?, Instant::now());
    let idle = |number: usize| Trigger::Cron {
        pattern: format!("{} {} 1 1 *", number % 60, number / 60 % 24),
        zone: "Europe/Berlin".to_owned(),
    };
    create(automa, &me, script, jobs, idle).await?;
    let rate = to_f64(jobs as u64) / begun.elapsed().as_secs_f64();
    table.figures.push(Figure::new("jobs created, 256 at a time", &[rate], "/s", None));
    let grown = resident()?.saturating_sub(memory);
    let name = "memory for them (the store's cache)";
    table.figures.push(Figure::new(name, &[to_f64(grown) / 1_048_576.0], "MiB", None));
    let cpu = watched().await?;
    let name = "processor time with none due, a second";
    table.figures.push(Figure::new(name, &[cpu * 1e3], "ms", None));
    let now = automa.now();
    let secondly = |_| Trigger::Interval { every_ms: 1000, start_at: now };
    let ticking = create(automa, &me, script, 1, secondly).await?;
    let with_one = watched().await?;
    let name = "the same with one due, its execution included";
    table.figures.push(Figure::new(name, &[with_one * 1e3], "ms", None));
    for job in ticking {
        automa.jobs(&me).delete(job).await?;
    }
    same_second(table, automa, &me, script).await
}

/// Starts many at the same second.
async fn same_second(
    table: &mut Table,
    automa: &Automa,
    me: &Actor,
    script: ScriptId,
) -> Result<(), Box<dyn std::error::Error>> {
    let at = automa.now() + SignedDuration::from_secs(10);
    let before = automa.executions(me).counts()?.total();
    let due = create(automa, me, script, DUE, |_| Trigger::Once { at }).await?;
    let until = Instant::now() + PATIENCE;
    while automa.executions(me).counts()?.total() < before + DUE as u64 {
        if Instant::now() > until {
            return Err("jobs did not start".into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let all = Duration::try_from(automa.now().duration_since(at)).unwrap_or_default();
    let mut late = Vec::new();
    for job in due {
        let filter = Filter { job: Some(job), ..Filter::default() };
        let page = PageRequest { cursor: None, limit: Limit::new(1)? };
        let found = automa.executions(me).list(filter, page).await?.items;
        let found = found.first().ok_or("a job started nothing")?;
        late.push(Duration::try_from(found.created_at.duration_since(at)).unwrap_or_default());
    }
    table.rows.push(Row::new("delay of 1,000 in the same second", &late, None, None).at_most(1e6));
    let figure = Figure::new("until all of them are accepted", &[all.as_secs_f64()], "s", None);
    table.figures.push(figure.target(Target::AtMost(1.0)));
    Ok(())
}

async fn create(
    automa: &Automa,
    me: &Actor,
    script: ScriptId,
    count: usize,
    trigger: impl Fn(usize) -> Trigger,
) -> automa_core::Result<Vec<JobId>> {
    let new = (0..count).map(|number| NewJob {
        overlap: Overlap::Parallel,
        ..NewJob::new(format!("job {number}"), script, trigger(number))
    });
    let creating = new.map(|new| async move { Ok(automa.jobs(me).create(new).await?.now.job.id) });
    let created = stream::iter(creating).buffer_unordered(256).collect::<Vec<_>>().await;
    created.into_iter().collect()
}

/// Processor time of this process in a second.
async fn watched() -> Result<f64, Box<dyn std::error::Error>> {
    let cpu = processor()?;
    tokio::time::sleep(WATCHED).await;
    Ok(processor()?.saturating_sub(cpu).as_secs_f64() / WATCHED.as_secs_f64())
}

fn processor() -> nix::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = |time: nix::sys::time::TimeVal| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000
            + u64::try_from(time.tv_usec()).unwrap_or(0)
    };
    Ok(Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time())))
}

/// Bytes of memory that this process has.
fn resident() -> std::io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.unwrap_or(0) * 1024)
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes are far below 2^52")]
fn to_f64(count: u64) -> f64 {
    count as f64
}
