//! How much of the network a script may use, and what is left of it afterwards.

use automa_sandbox::{Outcome, Verdict};
use automa_tests::{User, python};

use super::{arrived, events, network};

const START: &str = "import hashlib, os, socket\n\
    def connect(port): return socket.create_connection(('www.example.com', port))\n";

#[test]
fn bytes_arrive_whole_and_each_way_ends_for_itself() {
    for user in User::all() {
        let network = network();
        let source = START.to_owned()
            + "data = os.urandom(3 << 20)\n\
               client = connect(7)\n\
               client.sendall(data)\n\
               client.shutdown(socket.SHUT_WR)\n\
               answer = client.makefile().read()\n\
               assert answer == f'{len(data)} {hashlib.sha256(data).hexdigest()}', answer\n\
               client = connect(19)\n\
               length = 0\n\
               while length < 5 << 20: length += len(client.recv(1 << 16))\n\
               client.close()\n";
        let run = python(source)
            .flags("--allow-net www.example.com:7 --allow-net www.example.com:19 --cpus 2")
            .run_in(&network, user);
        run.exited(0);
        let report = run.report.as_ref().unwrap();
        let of = |port| report.egress.iter().find(|event| event.port == Some(port)).unwrap();
        assert_eq!(of(7).sent.0, 3 << 20);
        assert_eq!(of(7).received.0, 7 + 1 + 64);
        assert!(of(19).received.0 >= 5 << 20, "{report:#?}");
        assert!(report.egress.iter().all(|event| event.verdict == Verdict::Allowed), "{report:#?}");
    }
}

/// Connections that are held open and say nothing take no more than their share.
#[test]
fn the_sixty_fifth_connection_at_one_time_is_reset() {
    for user in User::all() {
        let network = network();
        let source = START.to_owned()
            + "held = [connect(17) for _ in range(64)]\n\
               for client in held: assert client.recv(64) == b'192.0.2.10 17', 'greeted'\n\
               try: print(connect(17).recv(64))\n\
               except ConnectionResetError: print('reset')\n\
               held.pop().close()\n\
               while True:\n\
               \x20   try: greeting = connect(17).recv(64)\n\
               \x20   except ConnectionResetError: continue\n\
               \x20   break\n\
               print(greeting.decode())\n";
        let run = python(source)
            .flags("--allow-net www.example.com:17 --cpus 2 --wall 2m")
            .run_in(&network, user);
        run.exited(0);
        assert_eq!(run.stdout, "reset\n192.0.2.10 17\n", "{run:#?}");
        assert!(
            events(&run).contains(
                &"www.example.com:17 refused: too many connections at one time".to_owned()
            )
        );
    }
}

/// Ten thousand connections, and one more; the memory that they took is given back each time.
#[test]
fn the_number_of_connections_is_limited() {
    let network = network();
    let source = START.to_owned()
        + "for number in range(10_050):\n\
           \x20   with connect(13) as client:\n\
           \x20       try: assert client.recv(64) == b'192.0.2.10 13', number\n\
           \x20       except ConnectionResetError: break\n\
           print(number)\n";
    let run = python(source)
        .flags("--allow-net www.example.com:13 --cpus 2 --wall 5m")
        .run_in(&network, User::Ordinary);
    run.exited(0);
    assert_eq!(run.stdout, "10000\n", "{run:#?}");
    let report = run.report.as_ref().unwrap();
    assert_eq!(report.egress[0].count, 10_000);
    assert!(events(&run).contains(&"www.example.com:13 refused: too many connections".to_owned()));
}

#[test]
fn an_upload_ends_at_its_limit() {
    let network = network();
    let source = START.to_owned()
        + "client, sent = connect(9), 0\n\
           data = bytes(1 << 20)\n\
           try:\n\
           \x20   while sent < 2 << 30: sent += client.send(data)\n\
           except (ConnectionResetError, BrokenPipeError): print('reset')\n\
           client = connect(9)\n\
           try: print(client.send(b'x') and client.recv(1))\n\
           except ConnectionResetError: print('reset')\n";
    let run = python(source)
        .flags("--allow-net www.example.com:9 --cpus 2 --wall 5m")
        .run_in(&network, User::Ordinary);
    run.exited(0);
    let refused = "www.example.com:9 refused: too many bytes sent".to_owned();
    assert!(events(&run).contains(&refused), "{run:#?}");
    let sent = run.report.as_ref().unwrap().egress[0].sent.0;
    assert!(sent <= 1 << 30 && sent > (1 << 30) - (1 << 20), "{sent}");
    let swallowed = arrived(&network).into_iter().find(|line| line.starts_with("swallowed"));
    let swallowed: u64 = swallowed.unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    assert!(swallowed <= 1 << 30, "{swallowed}");
}

/// What a killed script was doing on the network ends with it, and is reported.
#[test]
fn a_killed_script_leaves_no_connection() {
    for user in User::all() {
        let network = network();
        let source = START.to_owned() + "client = connect(9)\nwhile True: client.send(b'x' * 64)\n";
        let run = python(source)
            .flags("--allow-net www.example.com:9 --cpu-time 1s --cpus 1")
            .run_in(&network, user);
        assert_eq!(run.outcome(), &Outcome::CpuTime);
        assert!(events(&run).contains(&"www.example.com:9 allowed".to_owned()), "{run:#?}");
        automa_tests::host::eventually("the server sees the end", || {
            arrived(&network).iter().any(|line| line.starts_with("swallowed"))
        });
    }
}
