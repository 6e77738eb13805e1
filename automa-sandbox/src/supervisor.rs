//! One sandbox from request to report: sends the request, reads output, watches limits, kills.
//! A supervisor owns its run; the caller holds a [`Child`] and talks to it through channels.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsRawFd, OwnedFd},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep_until, timeout},
};

use crate::{
    artifacts::{CollectLimits, Kept, Left},
    cgroup::GroupLimits,
    child::{Child, Chunk, Concluded, Control},
    class::Class,
    command::{Command, Prepared},
    conclusion::{Facts, Killed},
    directory::{DiskWatch, Shown},
    egress::{Network, Relay, Resolve},
    error::Error,
    host::Host,
    interpreter,
    limits::{Bytes, Limits},
    pool::Lease,
    protection::Protection,
    report::{Stage, Start},
    sampling,
    slots::{self, Init, Slot},
    stdio::{self, Pipes},
    sys::{self, Received},
    terminal::Keyboard,
    zygote::{
        KNOCK,
        plan::{self, Contents, LIMITS, UNLIMITED},
        protocol::{Connect, Event, Order, Request},
    },
};

/// Output buffered between program and caller, in chunks.
const CHUNKS: usize = 16;

/// How often counters are read whose changes no event announces.
const TICK: Duration = Duration::from_millis(100);

/// The shortest time between two looks at processor time.
const SHORT_TICK: Duration = Duration::from_millis(5);

/// Time for the kernel to end a killed tree before the report says that it could not be verified.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// How long a program whose terminal's window was closed may take to end.
const HANG_UP_PATIENCE: Duration = Duration::from_secs(2);

/// How long a slot waits for what was left in it: to put another in its place takes as long.
const KEPT_PATIENCE: Duration = Duration::from_millis(20);

/// What init adds to the wall limit before it ends the run by itself, in seconds.
const INIT_PATIENCE: u64 = 5;

/// Sends the request and starts supervising.
pub(crate) fn start(
    mut lease: Lease,
    command: Command,
    class: Class,
    prepared: &Prepared,
    shown: Shown,
    protections: Vec<Protection>,
) -> Result<Child, Error> {
    let (chunks, output) = mpsc::channel(CHUNKS);
    let (control, requests) = mpsc::unbounded_channel();
    let (conclude, report) = oneshot::channel();
    let (run, pipes, keyboard) = match send(&mut lease, command, class, prepared, shown, chunks) {
        Ok(sent) => sent,
        Err(error) => {
            lease.give_up();
            return Err(error);
        }
    };
    let history = run.facts.history.clone();
    #[expect(clippy::disallowed_methods, reason = "joined by its permit: Engine::shutdown")]
    tokio::spawn(async move {
        let (kept, gone) = Kept::new();
        let (concluded, lost) = run.supervise(&mut lease, pipes, requests, protections, kept).await;
        // A caller who does not wait does not want to know.
        let _ = conclude.send(concluded);
        // The caller first: it may be on this thread, and its report is ready.
        tokio::task::yield_now().await;
        // The memory of what was left stays charged to the slot's group: unless it is read soon, the
        // slot has to go.
        let still_kept = timeout(KEPT_PATIENCE, gone).await.is_err();
        lease.settle(lost || still_kept).await;
    });
    Ok(Child { output, control, report, keyboard, history })
}

/// Has a sandbox made unless one is prepared, sets limits, connects input and output, and sends the
/// request.
fn send(
    lease: &mut Lease,
    command: Command,
    class: Class,
    prepared: &Prepared,
    shown: Shown,
    chunks: mpsc::Sender<Chunk>,
) -> Result<(Run, Pipes, Option<Keyboard>), Error> {
    let begun = Instant::now();
    let limits = command.policy.limits_ref().clone();
    let mut facts = Facts::new(limits.clone(), sys::monotonic_ns());
    let host = lease.pool().host().clone();
    let waiting = lease.slot().take_prepared();
    match &waiting {
        Some(_) => facts.start = Start::Warm,
        // While it is made, we prepare what it is to run. A slot that has died meanwhile shows as a
        // lost run, and is replaced after it.
        None => facts.slot_lost = lease.slot().order(class, 0, false).is_err(),
    }
    let null = lease.pool().null();
    let stdin = stdio::input(command.stdin, null).map_err(Error::io("preparing the input"))?;
    let (pipes, keyboard, outputs) =
        stdio::outputs(&command.stdout, null).map_err(Error::io("creating a pipe"))?;
    let slot = lease.slot();
    slot.leaf.apply(&group_limits(&host, &limits)).map_err(Error::io("limiting a cgroup"))?;
    let plan_len = write_plan(slot, &host, prepared, &limits, waiting.as_ref())?;
    let request = Order::Request(Request { plan_len });
    let mut fds = vec![stdin.as_raw_fd(), outputs[0].as_raw_fd(), outputs[1].as_raw_fd()];
    fds.extend(shown.mounts.iter().map(AsRawFd::as_raw_fd));
    facts.slot_lost |= slot.link.send(&request.encode(), &fds).is_err();
    let (samples, processors) = (host.samples(), processors(&host, &limits));
    let (init, sockets) = match waiting {
        Some(waiting) => (Some(waiting.init), waiting.sockets),
        None => (None, Vec::new()),
    };
    let mut run = Run {
        begun,
        wall: begun + limits.wall,
        tick: tick_length(samples, processors, limits.cpu_time),
        processors,
        samples,
        init,
        network: command.policy.network_ref().clone(),
        resolver: lease.pool().resolver().clone(),
        relay: None,
        kill_at: None,
        asked: None,
        abandoned: false,
        give_up_at: None,
        given_up: false,
        chunks: Some(chunks),
        watch: DiskWatch::new(shown.counted, limits.directories),
        collect: command.collect,
        out: None,
        connecting: VecDeque::new(),
        limits,
        facts,
    };
    run.open_network(sockets);
    Ok((run, pipes, keyboard))
}

/// Writes what is to be run where the slot reads it. Returns its length.
fn write_plan(
    slot: &mut Slot,
    host: &Host,
    prepared: &Prepared,
    limits: &Limits,
    waiting: Option<&slots::Prepared>,
) -> Result<u64, Error> {
    let tmpfs = slot.tmpfs(limits);
    let interprets = waiting.is_some_and(|waiting| waiting.class.interpreter.is_some());
    let message = interprets
        .then(|| interpreter::message(&prepared.args, &prepared.env, &prepared.secrets))
        .flatten();
    let fits = waiting.is_some_and(|waiting| waiting.tmpfs == tmpfs);
    let contents = Contents {
        program: &prepared.program,
        args: &prepared.args,
        env: &prepared.env,
        tmpfs: if fits { c"" } else { &tmpfs },
        files: &prepared.files,
        secrets: &prepared.secrets,
        collects: prepared.collects,
        directories: &prepared.directories,
        message: message.as_ref().map_or(&[], |message| message),
        alarm: u32::try_from(limits.wall.as_secs() + INIT_PATIENCE).unwrap_or(u32::MAX),
        terminal: prepared.terminal.map(|size| (size.cols, size.rows)),
        limits: process_limits(host, limits, prepared.writes_directories),
    };
    slot.plans.write(&contents).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => Error::InvalidCommand(format!(
            "script, files, arguments and environment together are larger than {}",
            Bytes(plan::CAPACITY as u64)
        )),
        _ => Error::io("writing the plan")(error),
    })
}

/// The limits that groups hold here.
fn group_limits(host: &Host, limits: &Limits) -> GroupLimits {
    let groups = host.groups();
    GroupLimits {
        memory: groups.memory.is_ok().then_some(limits.memory.0),
        pids: groups.pids.is_ok().then_some(limits.processes),
        cpu_millis: groups.cpu.is_ok().then_some(limits.cpu_millis),
    }
}

/// The limits of each single process, in the order of [`LIMITS`]; where groups are missing they
/// stand in for them.
pub(crate) fn process_limits(
    host: &Host,
    limits: &Limits,
    writes_directories: bool,
) -> [u64; LIMITS.len()] {
    let groups = host.groups();
    let cpu = limits.cpu_time.map_or(UNLIMITED, |time| time.as_secs() + 1);
    let processes = match &groups.pids {
        Ok(()) => UNLIMITED,
        // RLIMIT_NPROC counts the slot and init too where they share the payload's user.
        Err(_) if host.user_namespace() => limits.processes + 2,
        Err(_) => limits.processes,
    };
    // A backstop behind the samples: far enough above the limit that these decide first.
    let data = match &groups.memory {
        Ok(()) => UNLIMITED,
        Err(_) => limits.memory.0.saturating_mul(2).saturating_add(Bytes::mib(64).0),
    };
    // No single file may be larger than all that could hold it.
    let roomy = limits.directories.max(limits.tmp);
    let file_size = limits.file_size.or(writes_directories.then_some(roomy));
    [limits.open_files, file_size.map_or(UNLIMITED, |size| size.0), cpu, processes, data]
}

/// How many processors a sandbox can keep busy at once.
fn processors(host: &Host, limits: &Limits) -> f64 {
    let online = host.processors();
    if host.groups().cpu.is_ok() { online.min(limits.cpu_millis as f64 / 1000.0) } else { online }
}

/// When to look at counters next, so that `remaining` processor time is not overrun by much by
/// something that can keep `processors` busy.
fn tick_length(samples: bool, processors: f64, remaining: Option<Duration>) -> Duration {
    let usual = if samples { sampling::EVERY } else { TICK };
    remaining.map_or(usual, |left| left.div_f64(processors).clamp(SHORT_TICK, usual))
}

/// A run under way.
struct Run {
    begun: Instant,
    wall: Instant,
    tick: Duration,
    processors: f64,
    samples: bool,
    init: Option<Init>,
    /// When a cancelled program's grace ends.
    kill_at: Option<Instant>,
    /// The signal by which it was asked to end.
    asked: Option<i32>,
    /// Whether the caller has dropped the child.
    abandoned: bool,
    /// When a killed tree is given up on.
    give_up_at: Option<Instant>,
    given_up: bool,
    /// `None` once the caller wants no more output.
    chunks: Option<mpsc::Sender<Chunk>>,
    watch: DiskWatch,
    collect: Option<CollectLimits>,
    /// The directory for files that the caller is to have.
    out: Option<OwnedFd>,
    /// Who waits for a connection into the sandbox, first to last.
    connecting: VecDeque<oneshot::Sender<io::Result<OwnedFd>>>,
    limits: Limits,
    network: Network,
    resolver: Arc<dyn Resolve>,
    /// What serves the network, once the slot has made it.
    relay: Option<Relay>,
    facts: Facts,
}

impl Run {
    /// Watches over the run to its end. Returns what came of it, and whether the slot is lost.
    async fn supervise(
        mut self,
        lease: &mut Lease,
        mut pipes: Pipes,
        mut requests: mpsc::UnboundedReceiver<Control>,
        protections: Vec<Protection>,
        kept: Kept,
    ) -> (Concluded, bool) {
        let mut event = [0; Event::SIZE];
        let mut over_disk = pin!(std::mem::take(&mut self.watch).exceeded());
        let mut next_tick = self.begun + self.tick;
        // What could not be killed may never close its pipes.
        while !self.is_over() || !(pipes.are_closed() || self.given_up) {
            let slot: &mut Slot = lease.slot();
            tokio::select! {
                biased;
                received = slot.link.receive(&mut event), if !self.is_over() => match received {
                    Ok((len, mut fds)) => match Event::decode(&event[..len]) {
                        Some(Event::Terminal) => pipes.connect(fds.take(0)),
                        Some(event) => self.on_event(event, &mut fds, slot),
                        None => self.facts.slot_lost = true,
                    },
                    Err(_) => self.facts.slot_lost = true,
                },
                () = sleep_until(self.deadline().into()), if !self.is_over() => self.on_deadline(slot),
                () = sleep_until(next_tick.into()), if !self.is_over() => {
                    self.look(slot);
                    next_tick = Instant::now() + self.tick;
                }
                // Polled no more once it is ready, as it is the cause then.
                () = &mut over_disk, if self.facts.killed.is_none() && !self.is_over() => {
                    self.kill(Killed::Disk, slot);
                }
                request = requests.recv(), if !(self.is_over() || self.abandoned) => {
                    self.on_request(request, &mut pipes, slot);
                }
                chunk = pipes.next(self.chunks.as_ref()), if !pipes.are_closed() => {
                    match chunk {
                        Some(chunk) => self.on_output(chunk, slot),
                        None => self.chunks = None,
                    }
                }
            }
            if self.is_over() {
                pipes.stop_awaiting();
            }
        }
        // The kernel has closed this door long ago; the drop's signal reaches nobody.
        self.init = None;
        let slot = lease.slot();
        self.facts.end_ns = sys::monotonic_ns();
        self.facts.group = slot.leaf.usage();
        self.facts.tree_empty = self.facts.gone.is_some() && slot.leaf.is_empty() != Some(false);
        if let Some(relay) = self.relay.take() {
            self.facts.egress = relay.finish().await;
        }
        let lost = self.facts.slot_lost;
        let left = self.out.zip(self.collect);
        let left = left.map(|(directory, limits)| Left::new(directory, limits, kept));
        (Concluded { report: self.facts.report(protections), left }, lost)
    }

    fn is_over(&self) -> bool {
        self.facts.gone.is_some() || self.facts.slot_lost
    }

    /// The next moment at which something has to be ended.
    fn deadline(&self) -> Instant {
        let wall = if self.facts.killed.is_none() { Some(self.wall) } else { None };
        let next = [wall, self.kill_at, self.give_up_at].into_iter().flatten().min();
        next.unwrap_or(self.wall)
    }

    fn on_deadline(&mut self, slot: &mut Slot) {
        let now = Instant::now();
        if self.give_up_at.is_some_and(|at| at <= now) {
            self.facts.slot_lost = true;
            self.given_up = true;
        } else if self.kill_at.is_some_and(|at| at <= now) {
            self.kill(Killed::Cancelled, slot);
        } else if self.wall <= now {
            self.kill(Killed::WallTime, slot);
        }
    }

    fn on_event(&mut self, event: Event, fds: &mut Received, slot: &mut Slot) {
        match event {
            // Terminals are connected where output is read.
            Event::Ready | Event::Prepared | Event::Terminal => {}
            Event::Started { pid } => {
                self.init = fds.take(0).map(|pidfd| Init::new(pid, pidfd));
                // What was asked for before there was anyone to be told.
                if let (Some(init), Some(signal)) = (&self.init, self.asked) {
                    init.signal(signal);
                }
                if let Some(cause) = self.facts.killed.filter(|_| self.give_up_at.is_some()) {
                    self.kill(cause, slot);
                }
            }
            Event::Collects => self.out = fds.take(0),
            Event::Connected { errno } => {
                let socket = fds.take(0).ok_or_else(|| io::Error::from_raw_os_error(errno));
                if let Some(waiting) = self.connecting.pop_front() {
                    let _ = waiting.send(socket);
                }
            }
            Event::Network => self.open_network(fds.take_all().collect()),
            Event::Exited(exited) => self.facts.exited = Some(exited),
            Event::Failed { stage, errno } => {
                self.facts.failed = Some((stage, errno));
                // Where there is no init, no message of its end will come.
                if matches!(stage, Stage::CloneInit | Stage::NetworkNamespace) {
                    self.facts.gone.get_or_insert_default();
                }
            }
            Event::Gone { status, used } => self.facts.gone = Some((status, used)),
        }
    }

    /// Serves the network that the slot has made. If that is not possible, the program waits for
    /// answers that do not come, to its time limit.
    fn open_network(&mut self, sockets: Vec<OwnedFd>) {
        let Network::Allow(egress) = &self.network else { return };
        if sockets.is_empty() {
            return;
        }
        match Relay::start(sockets, egress.clone(), self.resolver.clone(), self.begun) {
            Ok(relay) => self.relay = Some(relay),
            Err(error) => tracing::error!(%error, "the network of a sandbox cannot be served"),
        }
    }

    fn on_request(&mut self, request: Option<Control>, pipes: &mut Pipes, slot: &mut Slot) {
        let request = request.unwrap_or_else(|| {
            // The caller has dropped the child.
            self.abandoned = true;
            Control::HangUp(if pipes.have_terminal() { HANG_UP_PATIENCE } else { Duration::ZERO })
        });
        match request {
            Control::Cancel(grace) => self.end(Some(libc::SIGTERM), grace, slot),
            Control::HangUp(_) if pipes.await_terminal() => {
                // There is nobody yet who could be told.
                self.kill(Killed::Cancelled, slot);
            }
            Control::HangUp(grace) => {
                // The kernel tells a terminal's session, and twice would be once too often.
                let signal = (!pipes.have_terminal()).then_some(libc::SIGHUP);
                pipes.hang_up();
                self.end(signal, grace, slot);
            }
            Control::Connect(address, waiting) => self.connect(address, waiting, slot),
            Control::Signal(signal) => {
                if let Some(init) = &self.init {
                    init.signal(signal);
                }
            }
        }
    }

    /// Has init connect to a port within the sandbox.
    fn connect(
        &mut self,
        address: Connect,
        waiting: oneshot::Sender<io::Result<OwnedFd>>,
        slot: &mut Slot,
    ) {
        let Some(init) = &self.init else {
            let _ = waiting.send(Err(io::ErrorKind::ConnectionRefused.into()));
            return;
        };
        match slot.link.send(&Order::Connect(address).encode(), &[]) {
            Ok(()) => {
                self.connecting.push_back(waiting);
                init.signal(KNOCK);
            }
            Err(error) => drop(waiting.send(Err(error))),
        }
    }

    /// Asks the program to end, by a signal unless it knows already, and ends everything after
    /// `grace`.
    fn end(&mut self, signal: Option<i32>, grace: Duration, slot: &mut Slot) {
        if grace.is_zero() {
            return self.kill(Killed::Cancelled, slot);
        }
        self.facts.killed.get_or_insert(Killed::Cancelled);
        self.kill_at = Some(Instant::now() + grace);
        self.asked = signal;
        if let (Some(init), Some(signal)) = (&self.init, signal) {
            init.signal(signal);
        }
    }

    fn on_output(&mut self, mut chunk: Chunk, slot: &mut Slot) {
        chunk.at = self.begun.elapsed();
        let room = self.limits.output.0 - self.facts.output;
        if chunk.bytes.len() as u64 > room {
            chunk.bytes.truncate(room as usize);
            self.facts.output_truncated = true;
            self.kill(Killed::Output, slot);
        }
        self.facts.output += chunk.bytes.len() as u64;
        if let Some(chunks) = self.chunks.as_ref().filter(|_| !chunk.bytes.is_empty())
            // There is room: it was made sure of before the chunk was read.
            && chunks.try_send(chunk).is_err()
        {
            self.chunks = None;
        }
    }

    /// Reads the counters, and ends the run at a limit.
    fn look(&mut self, slot: &mut Slot) {
        let usage = slot.leaf.usage();
        let (mut cpu, mut memory) = (usage.cpu, usage.memory_now);
        if usage.oom_kills > 0 {
            self.kill(Killed::Memory, slot);
        }
        if let Some(init) = self.init.as_ref().filter(|_| self.samples) {
            let sample = sampling::tree_below(init.pid);
            self.facts.sampled_peak = self.facts.sampled_peak.max(sample.memory);
            if sample.cpu() > self.facts.sampled_cpu.cpu() {
                self.facts.sampled_cpu = sample;
            }
            (cpu, memory) = (cpu.or(Some(sample.cpu())), memory.or(Some(sample.memory)));
            if usage.memory_peak.is_none() && sample.memory > self.limits.memory.0 {
                self.kill(Killed::Memory, slot);
            }
        }
        let since = self.begun.elapsed();
        self.facts.history.record(since, cpu.unwrap_or_default(), memory, usage.pids_now);
        let (Some(limit), Some(used)) = (self.limits.cpu_time, cpu) else { return };
        match limit.checked_sub(used) {
            Some(left) if !left.is_zero() => {
                self.tick = tick_length(self.samples, self.processors, Some(left));
            }
            _ => self.kill(Killed::CpuTime, slot),
        }
    }

    /// Ends everything in the sandbox. The first cause counts.
    fn kill(&mut self, cause: Killed, slot: &mut Slot) {
        self.facts.killed.get_or_insert(cause);
        self.kill_at = None;
        self.give_up_at.get_or_insert_with(|| Instant::now() + KILL_PATIENCE);
        if let Some(init) = &self.init {
            init.signal(libc::SIGKILL);
        }
        // What has used up its share of the processors would have to wait for its own death. The
        // group is not killed, as the namespace dies with its init: see `Leaf::kill`.
        let _ = slot.leaf.unthrottle();
    }
}
