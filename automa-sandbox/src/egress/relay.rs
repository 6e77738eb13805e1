//! The server's end of a sandbox's network: takes what arrives at its sockets, and passes bytes on.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    task::JoinSet,
    time::sleep,
};

use super::{
    DNS_PORT, Egress,
    datagram::Datagrams,
    dns::MAX_QUERY,
    events::{EgressEvent, Refusal, Verdict, Way},
    gate::{Gate, Wanted},
    resolver::Resolve,
};

/// How long to wait when the system has no memory or no descriptor left for what came.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// Bytes that are read at once, each way: what a slow receiver makes a connection hold.
const BUFFER: usize = 16 << 10;

/// The network of one running sandbox. Its tasks and connections end when it is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    tasks: JoinSet<()>,
    gate: Arc<Gate>,
}

impl Relay {
    /// Serves the sockets that a slot has made: a datagram socket for names, and listeners.
    pub(crate) fn start(
        sockets: Vec<OwnedFd>,
        egress: Egress,
        resolver: Arc<dyn Resolve>,
        begun: Instant,
    ) -> io::Result<Self> {
        let gate = Arc::new(Gate::new(egress, resolver, begun));
        let mut tasks = JoinSet::new();
        let mut sockets = sockets.into_iter();
        let datagrams = sockets.next().ok_or(io::ErrorKind::InvalidInput)?;
        let datagrams = Datagrams::new(datagrams)?;
        let answering = gate.clone();
        tasks.spawn(async move { datagrams.answer(|message| answering.answer(message)).await });
        for listener in sockets {
            let listener = TcpListener::from_std(StdListener::from(listener))?;
            tasks.spawn(accept(listener, gate.clone()));
        }
        Ok(Self { tasks, gate })
    }

    /// Ends every connection. Returns what happened, and how many events were left out of that.
    pub(crate) async fn finish(mut self) -> (Vec<EgressEvent>, u64) {
        self.tasks.shutdown().await;
        self.gate.take_events()
    }
}

/// Accepts connections to one port, and owns them.
async fn accept(listener: TcpListener, gate: Arc<Gate>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(serve(client, gate.clone()));
                }
                Err(_) => sleep(PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection to its end.
async fn serve(mut client: TcpStream, gate: Arc<Gate>) {
    // The address that the program connected to: it is local to its network.
    let Ok(asked) = client.local_addr() else { return };
    let wanted = gate.wanted(asked);
    let served = match gate.admit() {
        Err(refusal) => Err((refusal, None)),
        Ok(_permit) if asks_for_names(asked, &wanted) => {
            // Who writes no questions but something else gets no more answers.
            let _ = answer_names(&mut client, &gate).await;
            return;
        }
        Ok(_permit) => relay(&mut client, &wanted, &gate).await,
    };
    if let Err((refusal, address)) = served {
        gate.note(&wanted, address, Verdict::Refused(refusal));
        reset(&client);
    }
}

/// Whether a connection is for DNS over TCP, and not for a destination with the same port.
fn asks_for_names(asked: SocketAddr, wanted: &Wanted) -> bool {
    asked.port() == DNS_PORT && !wanted.listed
}

/// Answers questions that are each preceded by their length (RFC 1035, section 4.2.2).
async fn answer_names(client: &mut TcpStream, gate: &Gate) -> io::Result<()> {
    let mut message = vec![0; MAX_QUERY];
    loop {
        let length = usize::from(client.read_u16().await?);
        let message = message.get_mut(..length).ok_or(io::ErrorKind::InvalidData)?;
        client.read_exact(message).await?;
        let answer = gate.answer(message).ok_or(io::ErrorKind::InvalidData)?;
        // One write: a segment with the length alone would wait for the acknowledgement.
        let framed = [&(answer.len() as u16).to_be_bytes(), answer.as_slice()].concat();
        client.write_all(&framed).await?;
    }
}

/// Connects to where a connection is to go, and passes bytes both ways until both are at their end.
async fn relay(
    client: &mut TcpStream,
    wanted: &Wanted,
    gate: &Gate,
) -> Result<(), super::gate::Refused> {
    let (mut server, address) = gate.dial(wanted).await?;
    let event = gate.note(wanted, Some(address), Verdict::Allowed);
    // Nothing is gained by collecting small writes a second time.
    let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let out = pass(from_client, to_server, |bytes| gate.charge(event, Way::Out, bytes));
    let back = pass(from_server, to_client, |bytes| gate.charge(event, Way::In, bytes));
    match tokio::try_join!(out, back) {
        Ok(_) => Ok(()),
        Err(ended) => {
            reset(&server);
            match ended {
                Ended::Broken => {
                    reset(client);
                    Ok(())
                }
                Ended::Limit(refusal) => Err((refusal, Some(address))),
            }
        }
    }
}

/// What ended a connection before both sides had said all.
enum Ended {
    Broken,
    Limit(Refusal),
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

/// Passes bytes one way, to the end. No faster than they are taken.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    charge: impl Fn(u64) -> Result<(), Refusal>,
) -> Result<(), Ended> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            // The other way may go on.
            return Ok(to.shutdown().await?);
        }
        charge(length as u64).map_err(Ended::Limit)?;
        to.write_all(&buffer[..length]).await?;
    }
}

/// Has a connection end with a reset when it is dropped: whoever waits on it sees at once that
/// something is wrong, and nothing of it lingers.
fn reset(stream: &TcpStream) {
    // One that is gone already needs none.
    let _ = stream.set_zero_linger();
}
