//! The allow-list through the library: with an embedder's resolver, in a process that lives on.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, TcpListener},
    sync::{Arc, Mutex},
};

use automa_sandbox::{
    Command, Egress, Engine, EngineConfig, Network, Policy, Refusal, Resolve, Resolving, Runtime,
    Start, Verdict,
};
use automa_tests::{automa, host::eventually};

use crate::block_on;

/// Leads every name home, and remembers which were asked for.
#[derive(Debug, Clone, Default)]
struct Home(Arc<Mutex<Vec<String>>>);

impl Resolve for Home {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        self.0.lock().unwrap().push(name.to_owned());
        Box::pin(async { Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]) })
    }
}

fn command(port: u16) -> Command {
    let source = format!(
        "exec 2>/dev/null\n\
         (exec 3<>/dev/tcp/a.example.com/{port} && read -r line <&3)\n\
         (exec 3<>/dev/tcp/other.example/{port} && read -r line <&3)\n\
         true"
    );
    let egress = Egress::to([format!("*.example.com:{port}").parse().unwrap()]);
    let policy = Policy::script().network(Network::Allow(egress));
    Runtime::bash().unwrap().command(source, "script.sh").policy(policy)
}

fn sockets() -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let is_socket = |path: io::Result<std::path::PathBuf>| {
        path.is_ok_and(|path| path.to_string_lossy().starts_with("socket:"))
    };
    open.filter(|entry| is_socket(fs::read_link(entry.path()))).count()
}

/// A service of this very process is what a listed name leads to; nothing ever connects to it. And
/// when the engine is gone, so is every socket that it was handed.
#[test]
fn an_embedder_says_where_names_lead_but_not_home() {
    let home = TcpListener::bind("127.0.0.1:0").unwrap();
    home.set_nonblocking(true).unwrap();
    let port = home.local_addr().unwrap().port();
    let resolver = Home::default();
    // The first time, the runtime makes some sockets of its own and keeps them.
    let_names_lead(&resolver, port);
    let before = sockets();
    let_names_lead(&resolver, port);
    assert_eq!(*resolver.0.lock().unwrap(), ["a.example.com"; 6]);
    assert_eq!(home.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    eventually("every socket is closed", || sockets() == before);
}

fn let_names_lead(resolver: &Home, port: u16) {
    block_on(async {
        let config = EngineConfig::default().slots(1).helper(automa()).resolver(resolver.clone());
        let engine = Engine::start(config).await.unwrap();
        for start in [Start::Cold, Start::Warm, Start::Warm] {
            if start == Start::Warm {
                engine.prewarm(&command(port), 1).await.unwrap();
            }
            let report = engine.output(command(port)).await.unwrap().report;
            assert!(report.success(), "{report:#?}");
            assert_eq!(report.start, start);
            let told: Vec<_> = report
                .egress
                .iter()
                .map(|event| (event.host.as_str(), event.port, event.verdict))
                .collect();
            assert_eq!(
                told,
                [
                    ("a.example.com", Some(port), Verdict::Refused(Refusal::ReservedAddress)),
                    ("other.example", None, Verdict::Refused(Refusal::NotListed)),
                ]
            );
        }
        // A sandbox without a network has none, in the slot that has just made three.
        let plain = Runtime::bash()
            .unwrap()
            .command("cat /sys/class/net/* /etc/resolv.conf; ip -o link", "x.sh");
        let output = engine.output(plain).await.unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!told.contains("nameserver") && !told.contains("UP"), "{told}");
        assert_eq!(output.report.egress, []);
        engine.shutdown().await;
    });
}
