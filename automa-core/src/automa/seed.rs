//! A made-up history, to learn how Automa behaves after years: a year of executions as a small team
//! might leave them, written as real ones are.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use automa_sandbox::{
    Bytes, Chunk, Exit, ExitReport, Feature, Outcome, Protection, Start, Status, Step, Stream,
    Usage,
};
use jiff::{SignedDuration, Timestamp};

use super::{Automa, Builder, make_private};
use crate::{
    Error, Result,
    actor::{Actor, Origin, Permission, Role},
    audit::{Action, Entry},
    blocking,
    clock::{Clock, TestClock},
    execution::{
        Dispatch, Ending, Execution, LimitsRequest, Report, State, Work,
        log::{LogOptions, LogWriter},
    },
    id::{ExecutionId, ScriptId, UserId},
    script::{Language, NewScript},
    store::{self, change::Change, logs::LogFile},
};

/// Executions of one change.
const BATCH: u64 = 4000;
/// Time over which they are spread, until now.
const SPAN: SignedDuration = SignedDuration::from_hours(365 * 24);
/// One execution in so many has a report, and one a log; of the newest, each has both.
const REPORTED: u64 = 50;
const LOGGED: u64 = 2000;
const NEWEST: u64 = 200;

/// Who asked for them. No accounts: as if those had been deleted since.
const PEOPLE: [&str; 8] = ["ada", "ben", "chen", "dora", "emil", "fatima", "grace", "hugo"];
/// What was run, from the most frequent to the least.
const SCRIPTS: [&str; 24] = [
    "check-certificates",
    "poll-feed",
    "sync-inventory",
    "backup-database",
    "rotate-logs",
    "import-orders",
    "resize-images",
    "send-digest",
    "scan-ports",
    "warm-cache",
    "export-invoices",
    "train-forecast",
    "clean-uploads",
    "reindex-search",
    "check-links",
    "convert-currencies",
    "update-mirrors",
    "report-costs",
    "verify-backups",
    "archive-mail",
    "renew-tokens",
    "probe-latency",
    "load-census",
    "yearly-audit",
];

impl Builder {
    /// Adds `rows` executions that never were to its directory: of two dozen scripts, which are
    /// added too, by people who have no account, over the past year, with the endings, reports and
    /// logs that real ones have; only fewer of the latter two. For benchmarks.
    ///
    /// `progress` is told, after each few thousand, how many there are. What was written until a
    /// failure stays.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open): among others when a server runs there. [`Error::Forbidden`] for all
    /// but admins, [`Error::NotRunning`] when it is kept in memory, and those of writing.
    pub async fn seed(self, actor: &Actor, rows: u64, mut progress: impl FnMut(u64)) -> Result<()> {
        actor.require(Permission::ManageUsers)?;
        let logs = self.directory.as_ref().ok_or(Error::NotRunning)?.join("logs");
        let automa = blocking::run(move || self.open()).await?;
        let written = automa.seed(actor, &logs, rows, &mut progress).await;
        automa.close().await;
        written
    }
}

impl Automa {
    async fn seed(
        &self,
        actor: &Actor,
        logs: &Path,
        rows: u64,
        progress: &mut impl FnMut(u64),
    ) -> Result<()> {
        make_private(logs).map_err(|source| Error::Directory {
            doing: "making the directory of logs",
            path: logs.into(),
            source,
        })?;
        let mut scripts = Vec::new();
        for (index, name) in SCRIPTS.iter().enumerate() {
            let new = NewScript {
                description: "Part of a made-up history.".to_owned(),
                tags: vec!["made-up".to_owned()],
                ..NewScript::new(*name, language(index), source(language(index)))
            };
            scripts.push(self.scripts(actor).create(new).await?.id);
        }
        let mut history = History::new(&*self.clock, scripts, rows);
        let mut done = 0;
        while done < rows {
            let count = BATCH.min(rows - done);
            let past: Vec<_> = (done..done + count).map(|index| history.past(index)).collect();
            let written: Vec<_> = past.iter().filter_map(|past| past.log(logs)).collect();
            let write = move || written.iter().map(WrittenLog::write).collect::<Result<Vec<_>>>();
            let logs = blocking::run(write).await?;
            let change = move |change: &mut Change| {
                past.iter().try_for_each(|it| it.put(change))?;
                let mut logs = logs.iter();
                logs.try_for_each(|(id, log)| store::logs::put(change, *id, *log))?;
                Ok::<_, Error>(())
            };
            self.store.write(change).await?;
            done += count;
            progress(done);
        }
        Ok(())
    }
}

fn language(script: usize) -> Language {
    if script.is_multiple_of(3) { Language::Python } else { Language::Bash }
}

fn source(language: Language) -> &'static str {
    match language {
        Language::Python => "print(\"all is well\")\n",
        Language::Bash => "echo all is well\n",
    }
}

/// What chance and time make of each execution.
struct History {
    clock: TestClock,
    begin: Timestamp,
    rows: u64,
    scripts: Vec<ScriptId>,
    people: Vec<UserId>,
}

/// One execution of it.
struct Past {
    execution: Execution,
    work: Work,
    report: Option<Report>,
    submitted: Entry,
    has_log: bool,
}

/// A log to be written.
struct WrittenLog {
    id: ExecutionId,
    script: Option<ScriptId>,
    path: PathBuf,
    lines: u64,
    millis: u64,
}

impl History {
    fn new(clock: &dyn Clock, scripts: Vec<ScriptId>, rows: u64) -> Self {
        let begin = clock.now().checked_sub(SPAN).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut seed = [0; 8];
        clock.fill(&mut seed);
        let clock = TestClock::with_seed(begin, u64::from_le_bytes(seed));
        let people = PEOPLE.iter().map(|_| UserId::generate(&clock)).collect();
        Self { clock, begin, rows, scripts, people }
    }

    /// A number below `end`, each as likely.
    fn below(&self, end: u64) -> u64 {
        let mut bytes = [0; 8];
        self.clock.fill(&mut bytes);
        u64::from_le_bytes(bytes) % end.max(1)
    }

    /// A place below `end`, the first ones far more likely than the last.
    fn place(&self, end: usize) -> usize {
        const PARTS: u64 = 1 << 10;
        let (one, other) = (self.below(PARTS), self.below(PARTS));
        let product = usize::try_from(one * other / PARTS).unwrap_or(0);
        product * end / usize::try_from(PARTS).unwrap_or(1)
    }

    /// One of the executions, of which the first is the oldest.
    fn past(&mut self, index: u64) -> Past {
        let created_at = self.moment(index);
        self.clock.set(created_at);
        let id = ExecutionId::generate(&self.clock);
        let person = self.place(PEOPLE.len());
        let actor = Actor::user(self.people[person], PEOPLE[person], Role::Operator, Origin::Api);
        let is_code = self.below(10) == 0;
        let script = self.place(SCRIPTS.len());
        let report = report(self.outcome(), self);
        let ending = Ending::of(&report);
        let waited = i64::try_from(self.below(40)).unwrap_or(0);
        let started_at = created_at + SignedDuration::from_millis(waited);
        let wall = i64::try_from(ending.wall_ms).unwrap_or(0);
        let newest = self.rows - index <= NEWEST;
        let is_reported = newest || index.is_multiple_of(REPORTED);
        let json = || serde_json::to_string(&report).ok().map(|json| Report { json });
        Past {
            work: Work {
                source: is_code.then(|| source(language(script)).to_owned()),
                parameters: (index.is_multiple_of(4)).then(|| r#"{"region":"north"}"#.to_owned()),
                limits: LimitsRequest::default(),
                network: Vec::new(),
            },
            report: is_reported.then(json).flatten(),
            submitted: Entry::new(&self.clock, &actor, Action::ExecutionSubmitted(id)),
            has_log: newest || index.is_multiple_of(LOGGED),
            execution: Execution {
                id,
                state: State::from(&report.outcome),
                language: language(script),
                script: (!is_code).then(|| (self.scripts[script], 1)),
                script_name: (!is_code).then(|| SCRIPTS[script].to_owned()),
                requested_by: actor.name,
                user: actor.user,
                created_at,
                started_at: Some(started_at),
                finished_at: Some(started_at + SignedDuration::from_millis(wall)),
                attempt: 1,
                rerun_of: None,
                ending: Some(ending),
                dispatch: Dispatch::default(),
                job: None,
                agent: None,
            },
        }
    }

    /// When it was asked for: all are spread evenly, each a little at random.
    fn moment(&self, index: u64) -> Timestamp {
        let span = u64::try_from(SPAN.as_micros()).unwrap_or(u64::MAX);
        let step = (span / self.rows.max(1)).max(1);
        let micros = step.saturating_mul(index) + self.below(step);
        let since = SignedDuration::from_micros(i64::try_from(micros).unwrap_or(0));
        self.begin.checked_add(since).unwrap_or(self.begin)
    }

    fn outcome(&self) -> Outcome {
        match self.below(1000) {
            0..40 => Outcome::Exited { code: 1 },
            40..55 => Outcome::Exited { code: 2 },
            55..60 => Outcome::Signaled { signal: 11 },
            60..70 => Outcome::WallTime,
            70..75 => Outcome::CpuTime,
            75..82 => Outcome::Memory,
            82..95 => Outcome::Cancelled,
            95..98 => Outcome::Lost,
            _ => Outcome::Exited { code: 0 },
        }
    }
}

/// What a sandbox might have reported.
fn report(outcome: Outcome, chance: &History) -> ExitReport {
    let exit = match outcome {
        Outcome::Exited { code } => Some(Exit::Code(code)),
        Outcome::Signaled { signal } => Some(Exit::Signal(signal)),
        _ => None,
    };
    // From 16 ms to some minutes: many are short, few are long.
    let wall = Duration::from_millis((16 << chance.place(14)) + chance.below(16)).as_nanos();
    let wall_ns = u64::try_from(wall).unwrap_or(u64::MAX);
    let peak = Bytes(((4 << chance.place(7)) << 20) + (chance.below(1 << 10) << 10));
    let protections =
        Feature::ALL.into_iter().map(|feature| Protection { feature, status: Status::Enforced });
    ExitReport {
        outcome,
        exit,
        usage: Usage {
            wall_ns,
            cpu_user_ns: wall_ns / (2 + chance.below(8)),
            cpu_system_ns: wall_ns / 20,
            memory_peak: Some(peak),
            process_peak: peak,
            output: Bytes(12 << chance.place(12)),
            tmp: Bytes(0),
            tmp_inodes: 1,
            oom_kills: 0,
            forks_refused: 0,
        },
        limits_hit: Vec::new(),
        protections: protections.collect(),
        output_truncated: false,
        tree_empty: true,
        timeline: vec![Step { name: "exec".to_owned(), ns: 900_000 }],
        start: Start::Warm,
        egress: Vec::new(),
        egress_omitted: 0,
        history: Vec::new(),
    }
}

impl Past {
    fn put(&self, change: &mut Change) -> Result<()> {
        let id = self.execution.id;
        store::executions::put(change, &self.execution)?;
        store::executions::put_work(change, id, &self.work)?;
        if let Some(report) = &self.report {
            store::executions::put_report(change, id, report)?;
        }
        Ok(store::audit::add(change, &self.submitted)?)
    }

    fn log(&self, logs: &Path) -> Option<WrittenLog> {
        let ending = self.execution.ending.as_ref().filter(|_| self.has_log)?;
        Some(WrittenLog {
            id: self.execution.id,
            script: self.execution.script.map(|(script, _)| script),
            path: logs.join(format!("{}.log", self.execution.id)),
            lines: ending.output_bytes.div_ceil(LINE.len() as u64),
            millis: ending.wall_ms,
        })
    }
}

const LINE: &str = "all is well\n";

impl WrittenLog {
    fn write(&self) -> Result<(ExecutionId, LogFile)> {
        let mut log = LogWriter::create(&self.path, &LogOptions::default())?;
        for line in 0..self.lines {
            let at = Duration::from_millis(self.millis * line / self.lines);
            log.append(&Chunk { stream: Stream::Stdout, at, bytes: LINE.into() })?;
        }
        let bytes = log.close()?.file_bytes;
        Ok((self.id, LogFile { bytes, script: self.script }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        execution::Filter,
        page::{Limit, PageRequest},
        store::executions::in_state,
    };

    #[tokio::test]
    async fn a_made_up_history_is_as_a_real_one() {
        const ROWS: u64 = BATCH + 10;
        let place = tempfile::tempdir().unwrap();
        let me = Actor::embedder("test");
        let builder = || Automa::builder().directory(place.path());
        let mut told = Vec::new();
        builder().seed(&me, ROWS, |done| told.push(done)).await.unwrap();
        assert_eq!(told, [BATCH, ROWS]);
        let automa = builder().open().unwrap();
        let counts = automa.executions(&me).counts().unwrap();
        assert_eq!(counts.total(), ROWS);
        for state in State::ALL {
            let found = automa.store.look(|view| in_state(view, state)).unwrap();
            assert_eq!(found.len() as u64, counts.of(state), "{state}");
            assert_eq!(found.is_empty(), state.is_open(), "{state}");
        }
        let page = PageRequest { cursor: None, limit: Limit::new(200).unwrap() };
        let newest = automa.executions(&me).list(Filter::default(), page).await.unwrap().items;
        assert!(newest.is_sorted_by_key(|it| std::cmp::Reverse(it.created_at)));
        for execution in newest {
            let program = automa.executions(&me).program(execution.id).await.unwrap();
            assert_eq!(program.language, execution.language);
            let report = automa.executions(&me).report(execution.id).unwrap().unwrap();
            assert_eq!(Some(Ending::of(&report)), execution.ending);
            let log = place.path().join(format!("logs/{}.log", execution.id));
            assert!(
                crate::execution::log::LogReader::open(log).unwrap().lines(1, 1).unwrap().complete
            );
        }
        automa.close().await;
    }

    #[tokio::test]
    async fn only_an_admin_makes_history_and_only_in_a_directory() {
        let viewer = Actor { role: Role::Viewer, ..Actor::embedder("test") };
        let refused = Automa::builder().in_memory().seed(&viewer, 1, |_| ()).await.unwrap_err();
        assert!(matches!(refused, Error::Forbidden(_)), "{refused}");
        let me = Actor::embedder("test");
        let refused = Automa::builder().in_memory().seed(&me, 1, |_| ()).await.unwrap_err();
        assert!(matches!(refused, Error::NotRunning), "{refused}");
    }
}
