//! Connections from outside to what a sandbox serves on its own loopback interface.

use std::io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset};

use automa_sandbox::{Child, Egress, Engine, EngineConfig, Exit, Network, Policy, Runtime, Stream};
use automa_tests::{as_everybody, automa, host::DEADLINE};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::block_on;

/// Answers what it is told in capital letters, at ports of its own, and ends when told to.
const SERVICE: &str = "import selectors, socket\n\
    selector = selectors.DefaultSelector()\n\
    for family, address in [(socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')]:\n\
    \x20   server = socket.create_server((address, 0), family=family)\n\
    \x20   print(server.getsockname()[1], flush=True)\n\
    \x20   selector.register(server, selectors.EVENT_READ)\n\
    while True:\n\
    \x20   for key, _ in selector.select():\n\
    \x20       with key.fileobj.accept()[0] as client:\n\
    \x20           told = client.recv(100)\n\
    \x20           if told == b'end': raise SystemExit(3)\n\
    \x20           client.sendall(told.upper())\n";

/// A program that has said on which ports it serves.
struct Service {
    child: Child,
    ipv4: u16,
    ipv6: u16,
}

impl Service {
    async fn start(engine: &Engine, policy: Policy) -> Self {
        let command = Runtime::python().unwrap().command(SERVICE, "service.py").policy(policy);
        let mut child = engine.spawn(command).await.unwrap();
        let mut said = String::new();
        while said.lines().count() < 2 || !said.ends_with('\n') {
            let chunk = timeout(DEADLINE, child.next_output()).await.unwrap().expect(&said);
            said += &String::from_utf8_lossy(&chunk.bytes);
            assert_eq!(chunk.stream, Stream::Stdout, "{said}");
        }
        let mut ports = said.lines().map(|line| line.parse().unwrap());
        let (ipv4, ipv6) = (ports.next().unwrap(), ports.next().unwrap());
        Self { child, ipv4, ipv6 }
    }

    async fn tell(&self, port: u16, text: &str) -> String {
        let mut answer = String::new();
        let talk = async {
            let mut connection = self.child.connect(port).await?;
            connection.write_all(text.as_bytes()).await?;
            connection.read_to_string(&mut answer).await
        };
        timeout(DEADLINE, talk).await.unwrap().unwrap();
        answer
    }
}

fn with_engine(work: impl AsyncFnOnce(&Engine)) {
    block_on(async {
        let engine =
            Engine::start(EngineConfig::default().helper(automa()).slots(2)).await.unwrap();
        work(&engine).await;
        engine.shutdown().await;
    });
}

/// Of each pair the first start is cold, the second one prepared.
#[test]
fn a_program_is_reached_at_its_own_ports() {
    as_everybody(&a_program_is_reached_at_its_own_ports, || {
        with_engine(async |engine| {
            let listed = Egress::to(["api.example.com:443".parse().unwrap()]);
            for policy in [Policy::agent(), Policy::agent().network(Network::Allow(listed))] {
                for _ in 0..2 {
                    let service = Service::start(engine, policy.clone()).await;
                    assert_eq!(service.tell(service.ipv4, "hello").await, "HELLO");
                    assert_eq!(service.tell(service.ipv6, "there").await, "THERE");
                    for text in ["one", "two", "three"].repeat(20) {
                        assert_eq!(service.tell(service.ipv4, text).await, text.to_uppercase());
                    }
                    service.tell(service.ipv4, "end").await;
                    let report = service.child.wait().await;
                    assert_eq!(report.exit, Some(Exit::Code(3)), "{report:?}");
                    assert!(report.tree_empty);
                }
            }
        });
    });
}

#[test]
fn two_that_serve_the_same_port_are_two() {
    with_engine(async |engine| {
        let name = |name: &str| {
            let source = format!(
                "import socket\nserver = socket.create_server(('127.0.0.1', 8080))\n\
                 print(end='ready', flush=True)\n\
                 while True:\n    client, _ = server.accept(); client.sendall(b'{name}'); client.close()\n"
            );
            Runtime::python().unwrap().command(source, "service.py").policy(Policy::agent())
        };
        let mut both =
            [engine.spawn(name("one")).await.unwrap(), engine.spawn(name("two")).await.unwrap()];
        for (child, expected) in both.iter_mut().zip(["one", "two"]) {
            assert_eq!(
                timeout(DEADLINE, child.next_output()).await.unwrap().unwrap().bytes,
                b"ready"
            );
            let mut answer = String::new();
            let mut connection = child.connect(8080).await.unwrap();
            connection.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, expected);
        }
    });
}

#[test]
fn who_is_not_there_is_not_reached() {
    as_everybody(&who_is_not_there_is_not_reached, || {
        with_engine(async |engine| {
            let service = Service::start(engine, Policy::agent()).await;
            let refused = service.child.connect(1).await.unwrap_err();
            assert_eq!(refused.kind(), ConnectionRefused, "{refused}");
            // The program goes on as if nobody had asked.
            assert_eq!(service.tell(service.ipv4, "hello").await, "HELLO");

            let wait = Runtime::bash().unwrap().command("echo ready; sleep 1000", "wait.sh");
            let mut child = engine.spawn(wait).await.unwrap();
            timeout(DEADLINE, child.next_output()).await.unwrap().unwrap();
            let refused = child.connect(80).await.unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::NetworkUnreachable, "{refused}");
        });
    });
}

/// A connection is asked for while the program ends: it is made or not, and the answer comes.
#[test]
fn an_end_answers_who_waits_for_a_connection() {
    with_engine(async |engine| {
        for _ in 0..20 {
            let service = Service::start(engine, Policy::agent()).await;
            service.child.cancel(DEADLINE);
            for _ in 0..5 {
                let asked = timeout(DEADLINE, service.child.connect(service.ipv4)).await;
                if let Err(refused) = asked.expect("an answer") {
                    // The last of them, if it was made and nobody had taken it.
                    let kind = refused.kind();
                    let known = [BrokenPipe, ConnectionRefused, ConnectionReset].contains(&kind);
                    assert!(known, "{refused:?}");
                }
            }
            assert!(service.child.wait().await.tree_empty);
        }
    });
}

/// The program may send its init the signal by which it is told to connect, as an ordinary user: it is
/// not heeded.
#[test]
fn a_program_cannot_have_its_init_connect() {
    as_everybody(&a_program_cannot_have_its_init_connect, || {
        with_engine(async |engine| {
            let source = "for n in {1..2000}; do kill -URG 1 2>/dev/null; done; echo done";
            let command = Runtime::bash().unwrap().command(source, "knock.sh");
            let output =
                engine.spawn(command.policy(Policy::agent())).await.unwrap().output().await;
            assert_eq!(
                (&output.stdout[..], output.report.exit),
                (&b"done\n"[..], Some(Exit::Code(0)))
            );
        });
    });
}
