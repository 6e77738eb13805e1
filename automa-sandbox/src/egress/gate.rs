//! What decides about the network of one sandbox: the allow-list, how much of its limits is left,
//! and which addresses stand for which names.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::{
    net::TcpStream,
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::{
    Egress,
    address::{self, Listed},
    dns::{Answer, Malformed, Query},
    events::{EgressEvent, Events, Refusal, Verdict, Way},
    names::Names,
    resolver::Resolve,
};

/// Most addresses of one name that are tried.
const MAX_TRIES: usize = 4;

#[derive(Debug)]
pub(super) struct Gate {
    egress: Egress,
    resolver: Arc<dyn Resolve>,
    names: Mutex<Names>,
    events: Mutex<Events>,
    free: Semaphore,
    connections: AtomicU32,
    sent: AtomicU64,
    received: AtomicU64,
}

/// Where a connection is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The name, or the address where none stands behind it.
    host: String,
    port: u16,
    /// The address, where that is what is listed.
    address: Option<IpAddr>,
    pub(super) listed: bool,
}

/// Why there is no connection, and the address that was the trouble.
pub(super) type Refused = (Refusal, Option<IpAddr>);

impl Gate {
    /// For a run that began at this moment.
    pub(super) fn new(egress: Egress, resolver: Arc<dyn Resolve>, begun: Instant) -> Self {
        Self {
            resolver,
            names: Mutex::new(Names::new(egress.limits.names)),
            events: Mutex::new(Events::new(begun)),
            free: Semaphore::new(egress.limits.simultaneous as usize),
            connections: AtomicU32::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            egress,
        }
    }

    /// What happened, and how many events were left out of that.
    pub(super) fn take_events(&self) -> (Vec<EgressEvent>, u64) {
        lock(&self.events).take()
    }

    /// Answers a message to a resolver, if it is to be answered.
    pub(super) fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        let query = match Query::read(message) {
            Ok(query) => query,
            Err(Malformed::Silent) => return None,
            Err(Malformed::Answer(answer)) => return Some(answer),
        };
        let refuse = |refusal| {
            let verdict = Verdict::Refused(refusal);
            lock(&self.events).note(&query.name, None, None, verdict);
        };
        let answer = if !self.egress.destinations.iter().any(|it| it.names(&query.name)) {
            refuse(Refusal::NotListed);
            Answer::NoSuchName
        } else if let Some(address) = lock(&self.names).address(&query.name) {
            Answer::Address(address)
        } else {
            refuse(Refusal::Names);
            Answer::Failure
        };
        Some(query.answer(answer))
    }

    /// What a connection to this address inside means.
    pub(super) fn wanted(&self, asked: SocketAddr) -> Wanted {
        let (ip, port) = (asked.ip().to_canonical(), asked.port());
        let name = match ip {
            IpAddr::V4(ip) => lock(&self.names).name(ip).map(str::to_owned),
            IpAddr::V6(_) => None,
        };
        let mut destinations = self.egress.destinations.iter();
        if let Some(host) = name {
            let listed = destinations.any(|it| it.port() == port && it.names(&host));
            Wanted { host, port, address: None, listed }
        } else {
            let listed = destinations.any(|it| it.is(SocketAddr::new(ip, port)));
            Wanted { host: ip.to_string(), port, address: Some(ip), listed }
        }
    }

    /// Counts a new connection, which holds the permit while it lasts.
    pub(super) fn admit(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        if self.connections.fetch_add(1, Ordering::Relaxed) >= self.egress.limits.connections {
            // As many more as there are numbers would begin again.
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Connections);
        }
        self.free.try_acquire().map_err(|_| Refusal::Simultaneous)
    }

    /// Connects to where a connection is to go.
    pub(super) async fn dial(&self, wanted: &Wanted) -> Result<(TcpStream, IpAddr), Refused> {
        if !wanted.listed {
            return Err((Refusal::NotListed, None));
        }
        let limit = self.egress.limits.connect;
        let (addresses, listed) = if let Some(address) = wanted.address {
            (vec![address], Listed::Yes)
        } else {
            let found = timeout(limit, self.resolver.resolve(&wanted.host)).await;
            (found.ok().and_then(Result::ok).unwrap_or_default(), Listed::No)
        };
        let mut refused = (Refusal::Unresolved, None);
        let mut tries = 0;
        for address in addresses.into_iter().map(|address| address.to_canonical()) {
            if tries == MAX_TRIES {
                break;
            }
            if let Err(refusal) = may_dial(address, listed) {
                refused = (refusal, Some(address));
                continue;
            }
            tries += 1;
            let connecting = TcpStream::connect((address, wanted.port));
            refused = match timeout(limit, connecting).await {
                Ok(Ok(stream)) if leads_here(&stream) => (Refusal::OwnAddress, Some(address)),
                Ok(Ok(stream)) => return Ok((stream, address)),
                _ => (Refusal::Unreachable, Some(address)),
            };
        }
        Err(refused)
    }

    /// Counts what became of a connection. Returns where its bytes are counted.
    pub(super) fn note(
        &self,
        wanted: &Wanted,
        address: Option<IpAddr>,
        verdict: Verdict,
    ) -> Option<usize> {
        let address = address.or(wanted.address);
        lock(&self.events).note(&wanted.host, Some(wanted.port), address, verdict)
    }

    /// Counts bytes that are about to be passed on; fails where the limit does not allow them.
    pub(super) fn charge(&self, event: Option<usize>, way: Way, bytes: u64) -> Result<(), Refusal> {
        let limits = &self.egress.limits;
        let (total, limit, refusal) = match way {
            Way::Out => (&self.sent, limits.sent, Refusal::Sent),
            Way::In => (&self.received, limits.received, Refusal::Received),
        };
        if total.fetch_add(bytes, Ordering::Relaxed) + bytes > limit.0 {
            return Err(refusal);
        }
        if let Some(event) = event {
            lock(&self.events).add(event, way, bytes);
        }
        Ok(())
    }
}

fn may_dial(address: IpAddr, listed: Listed) -> Result<(), Refusal> {
    address::check(address, listed)?;
    match address::own() {
        Ok(own) if !own.contains(&address) => Ok(()),
        _ => Err(Refusal::OwnAddress),
    }
}

/// Whether a connection that was made ends on this machine, by an address that no interface has.
fn leads_here(stream: &TcpStream) -> bool {
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(local), Ok(peer)) => local.ip() == peer.ip() || local.ip().is_loopback(),
        _ => true,
    }
}

/// Locks what every holder leaves whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Bytes,
        egress::{EgressLimits, SystemResolver},
    };

    fn gate(destinations: &[&str], limits: EgressLimits) -> Gate {
        let destinations = destinations.iter().map(|text| text.parse().unwrap()).collect();
        Gate::new(Egress { destinations, limits }, Arc::new(SystemResolver), Instant::now())
    }

    /// The question for the address of `name`, and what is answered to it: code and address.
    fn ask(gate: &Gate, name: &str) -> (u8, Option<IpAddr>) {
        let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(u8::try_from(label.len()).unwrap());
            message.extend_from_slice(label.as_bytes());
        }
        message.extend_from_slice(&[0, 0, 1, 0, 1]);
        let answer = gate.answer(&message).unwrap();
        let address = answer[message.len()..].last_chunk::<4>().map(|octets| (*octets).into());
        (answer[3] & 0x0f, address)
    }

    #[test]
    fn a_connection_is_known_by_the_name_that_was_asked_for() {
        let gate = gate(&["*.example.com:443", "192.0.2.1:80"], EgressLimits::default());
        let (code, address) = ask(&gate, "A.example.com");
        assert_eq!(code, 0);
        let wanted = gate.wanted(SocketAddr::new(address.unwrap(), 443));
        assert_eq!((wanted.host.as_str(), wanted.listed), ("a.example.com", true));
        assert!(!gate.wanted(SocketAddr::new(address.unwrap(), 80)).listed);
        for (asked, listed) in [
            ("192.0.2.1:80", true),
            ("[::ffff:192.0.2.1]:80", true),
            ("192.0.2.1:443", false),
            ("198.18.77.77:443", false),
            ("127.0.0.1:443", false),
            ("[2001:db8::1]:443", false),
        ] {
            assert_eq!(gate.wanted(asked.parse().unwrap()).listed, listed, "{asked}");
        }
    }

    #[test]
    fn names_that_are_not_listed_do_not_exist_and_are_reported() {
        let gate =
            gate(&["*.example.com:443"], EgressLimits { names: 1, ..EgressLimits::default() });
        for name in ["example.com", "evilexample.com", "secret.evil.example"] {
            assert_eq!(ask(&gate, name), (3, None), "{name}");
        }
        assert_eq!(ask(&gate, "a.example.com").0, 0);
        assert_eq!(ask(&gate, "b.example.com"), (2, None), "the table is full");
        let (events, omitted) = gate.take_events();
        let told: Vec<_> =
            events.iter().map(|event| (event.host.as_str(), event.port, event.verdict)).collect();
        let not_listed = Verdict::Refused(Refusal::NotListed);
        assert_eq!(
            told,
            [
                ("example.com", None, not_listed),
                ("evilexample.com", None, not_listed),
                ("secret.evil.example", None, not_listed),
                ("b.example.com", None, Verdict::Refused(Refusal::Names)),
            ]
        );
        assert_eq!(omitted, 0);
    }

    #[test]
    fn limits_count_what_is_used() {
        let limits = EgressLimits {
            simultaneous: 2,
            connections: 3,
            sent: Bytes(10),
            received: Bytes(5),
            ..EgressLimits::default()
        };
        let gate = gate(&["a.example:1"], limits);
        let (one, two) = (gate.admit().unwrap(), gate.admit().unwrap());
        assert_eq!(gate.admit().err(), Some(Refusal::Simultaneous));
        drop((one, two));
        assert_eq!(gate.admit().err(), Some(Refusal::Connections));
        assert_eq!(gate.charge(None, Way::Out, 10), Ok(()));
        assert_eq!(gate.charge(None, Way::Out, 1), Err(Refusal::Sent));
        assert_eq!(gate.charge(None, Way::In, 5), Ok(()));
        assert_eq!(gate.charge(None, Way::In, 1), Err(Refusal::Received));
    }

    /// A resolver that its owner has filled.
    #[derive(Debug)]
    struct Fixed(Vec<IpAddr>);

    impl Resolve for Fixed {
        fn resolve<'a>(&'a self, _name: &'a str) -> crate::egress::Resolving<'a> {
            Box::pin(async { Ok(self.0.clone()) })
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_name_that_leads_home_is_refused_before_anything_is_sent() {
        let home = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        home.set_nonblocking(true).unwrap();
        let port = home.local_addr().unwrap().port();
        let cases: [(&[&str], Refusal); 5] = [
            (&["127.0.0.1"], Refusal::ReservedAddress),
            (&["::1", "::ffff:127.0.0.1"], Refusal::ReservedAddress),
            (&["169.254.169.254"], Refusal::ReservedAddress),
            (&["10.0.0.1", "fd00:ec2::254"], Refusal::PrivateAddress),
            (&[], Refusal::Unresolved),
        ];
        for (addresses, expected) in cases {
            let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
            let egress = Egress::to([format!("a.example:{port}").parse().unwrap()]);
            let gate = Gate::new(egress, Arc::new(Fixed(addresses)), Instant::now());
            let (_, address) = ask(&gate, "a.example");
            let wanted = gate.wanted(SocketAddr::new(address.unwrap(), port));
            assert_eq!(gate.dial(&wanted).await.unwrap_err().0, expected);
        }
        assert_eq!(home.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}
