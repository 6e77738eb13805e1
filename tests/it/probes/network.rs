//! Network: there is none. Listeners of the host wait for what must not come.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as UnixAddr, UnixListener},
    },
    time::Duration,
};

use automa_tests::{make_public, public_dir};

use super::{NET_ABI, World, after, attempts, new_mark, numbers, shell, since_abi};

/// A host's listener for TCP and UDP on one loopback address.
struct Listener {
    tcp: TcpListener,
    udp: UdpSocket,
}

impl Listener {
    fn on(address: &str) -> Self {
        let tcp = TcpListener::bind(address).unwrap();
        let udp = UdpSocket::bind(address).unwrap();
        tcp.set_nonblocking(true).unwrap();
        udp.set_nonblocking(true).unwrap();
        Self { tcp, udp }
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        [self.tcp.local_addr().unwrap(), self.udp.local_addr().unwrap()]
    }

    fn assert_silence(&self) {
        let connection = self.tcp.accept().map(drop).map_err(|error| error.kind());
        let message = self.udp.recv(&mut [0; 16]).map(drop).map_err(|error| error.kind());
        assert_eq!([connection, message], [Err(ErrorKind::WouldBlock), Err(ErrorKind::WouldBlock)]);
    }

    /// Takes what a bare program has sent.
    fn take(&self) {
        self.tcp.accept().unwrap();
        self.udp.recv(&mut [0; 16]).unwrap();
    }
}

const CONNECT: &str = "def connect(address, port):\n\
    \x20   family = socket.AF_INET6 if ':' in address else socket.AF_INET\n\
    \x20   with socket.socket(family) as client:\n\
    \x20       client.settimeout(5)\n\
    \x20       client.connect((address, port))\n\
    def send(address, port):\n\
    \x20   family = socket.AF_INET6 if ':' in address else socket.AF_INET\n\
    \x20   with socket.socket(family, socket.SOCK_DGRAM) as client:\n\
    \x20       client.sendto(b'x', (address, port))\n";

/// The host's own services, its network, and the address at which clouds hand out credentials,
/// each in every way of writing that leads there. Landlock, where it rules TCP, refuses it (EACCES)
/// before the empty network would (ENETUNREACH), as that does for UDP.
#[test]
fn no_address_can_be_reached() {
    let listeners = [Listener::on("127.0.0.1:0"), Listener::on("[::1]:0")];
    let [[tcp, udp], [tcp6, udp6]] =
        listeners.each_ref().map(|listener| listener.addresses().map(|a| a.port()));
    let mut rows: Vec<(String, &str)> = Vec::new();
    for address in [
        "127.0.0.1",
        "127.1.2.3",
        "0.0.0.0",
        "10.0.0.1",
        "172.17.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "8.8.8.8",
        "255.255.255.255",
        "224.0.0.1",
    ] {
        let refused = since_abi(NET_ABI, "EACCES", "ENETUNREACH");
        rows.push((format!("connect('{address}', {tcp})"), refused));
        rows.push((format!("connect('::ffff:{address}', {tcp})"), refused));
        // This one means its own loopback interface, which is down and drops it.
        let sent = if address == "0.0.0.0" { "ok" } else { "ENETUNREACH" };
        rows.push((format!("send('{address}', {udp})"), sent));
    }
    for address in ["::1", "::", "fd00:ec2::254", "fe80::1", "2001:4860:4860::8888", "ff02::1"] {
        let unreachable = match address {
            "fe80::1" => "EINVAL", // It is said to be on a link, and there is none.
            "ff02::1" => "ENETUNREACH",
            _ => "EADDRNOTAVAIL",
        };
        rows.push((
            format!("connect('{address}', {tcp6})"),
            since_abi(NET_ABI, "EACCES", unreachable),
        ));
        // There is not even an address to send from.
        rows.push((format!("send('{address}', {udp6})"), "EADDRNOTAVAIL"));
    }
    let refused = since_abi(NET_ABI, "EACCES", "ENETUNREACH");
    rows.push(("connect('127.0.0.1', 22)".to_owned(), refused));
    let rows: Vec<_> = rows.iter().map(|(row, expected)| (row.as_str(), *expected)).collect();
    let calls = [
        format!("connect('127.0.0.1', {tcp})"),
        format!("send('127.0.0.1', {udp})"),
        format!("connect('::1', {tcp6})"),
        format!("send('::1', {udp6})"),
    ];
    let bare: Vec<_> = calls.iter().map(|call| (call.as_str(), "ok")).collect();
    for world in World::all() {
        after(CONNECT).bare(world, &bare);
        listeners.iter().for_each(Listener::take);
        after(CONNECT).inside(world, &rows);
        let told = shell(
            world,
            &format!(
                "(exec 3<>/dev/tcp/127.0.0.1/{tcp}) 2>&1\n\
             (echo x >/dev/udp/127.0.0.1/{udp}) 2>&1\n\
             curl -sS -m 5 http://127.0.0.1:{tcp}/ 2>&1"
            ),
        );
        let refused = since_abi(NET_ABI, "Permission denied", "Network is unreachable");
        assert!(told.contains("/dev/tcp") && told.contains(refused), "{told}");
        assert!(told.contains("Network is unreachable"), "{told}");
        listeners.iter().for_each(Listener::assert_silence);
    }
}

/// The other transports that a socket can be asked to use: fast open, and one without connection.
#[test]
fn no_side_door_of_tcp_is_open() {
    let listener = Listener::on("127.0.0.1:0");
    let [tcp, _] = listener.addresses().map(|address| address.port());
    let setup = format!("address = ('127.0.0.1', {tcp})\n")
        + &numbers!(MSG_FASTOPEN)
        + "def fast_open(): socket.socket().sendto(b'x', MSG_FASTOPEN, address)\n\
           def disguised():\n\
           \x20   client = socket.socket()\n\
           \x20   # AF_UNSPEC first: it disconnects, and must not confuse the rules.\n\
           \x20   raw(42, client.fileno(), struct.pack('H14x', 0), 16)\n\
           \x20   client.connect(address)\n\
           def listen_unbound():\n\
           \x20   server = socket.socket()\n\
           \x20   server.listen()\n\
           \x20   return str(server.getsockname()[0])\n";
    for world in World::all() {
        after(&setup).bare(world, &[("fast_open()", "ok"), ("disguised()", "ok")]);
        while listener.tcp.accept().is_ok() {}
        after(&setup).inside(
            world,
            &[
                ("fast_open()", "ENETUNREACH"),
                ("disguised()", since_abi(NET_ABI, "EACCES", "ENETUNREACH")),
                ("listen_unbound()", "0.0.0.0"),
            ],
        );
        listener.assert_silence();
    }
}

/// `AF_VSOCK` reaches the hypervisor from any network namespace; others are rarely used and rarely
/// reviewed (CVE-2022-27666 `esp6`, CVE-2021-43267 TIPC, CVE-2020-14386 packet sockets).
#[test]
fn other_address_families_are_closed() {
    let setup = "def family(number, kind=socket.SOCK_STREAM, protocol=0):\n\
        \x20   socket.socket(number, kind, protocol).close()\n\
        def hypervisor(port):\n\
        \x20   with socket.socket(socket.AF_VSOCK) as client:\n\
        \x20       client.settimeout(1)\n\
        \x20       client.connect((2, port))\n\
        def families():\n\
        \x20   told = lambda n: {outcome(lambda: family(n, kind)) for kind in range(1, 11)}\n\
        \x20   return str([n for n in range(64) if told(n) != {'EPERM'}])\n";
    let unix_inet_netlink_inet6 = "[1, 2, 10, 16]";
    for world in World::all() {
        // Known to the kernel or not, nothing but the filter says EPERM for this one.
        after(setup).bare(
            world,
            &[("outcome(lambda: family(63)).replace('EINVAL', 'EAFNOSUPPORT')", "EAFNOSUPPORT")],
        );
        after(setup).inside(
            world,
            &[
                ("hypervisor(22)", "EPERM"),
                ("hypervisor(1024)", "EPERM"),
                ("family(socket.AF_ALG, socket.SOCK_SEQPACKET)", "EPERM"),
                ("family(socket.AF_PACKET, socket.SOCK_RAW)", "EPERM"),
                (
                    "family(socket.AF_XDP if hasattr(socket, 'AF_XDP') else 44, socket.SOCK_RAW)",
                    "EPERM",
                ),
                ("family(socket.AF_INET, socket.SOCK_STREAM, 262)", "EPERM"), // MPTCP
                ("family(socket.AF_INET, socket.SOCK_STREAM, 132)", "EPERM"), // SCTP
                ("families()", unix_inet_netlink_inet6),
                ("socket.socketpair()", "ok"),
                ("family(socket.AF_INET)", "ok"),
            ],
        );
    }
}

/// Packets of one's own making, and ways out of one's own choice (`raw(7)`, `socket(7)`).
#[test]
fn no_packet_can_be_forged() {
    let setup = numbers!(SO_BINDTODEVICE SO_BINDTOIFINDEX SO_MARK SO_DEBUG SO_RCVBUFFORCE
        IP_TRANSPARENT IPPROTO_ICMP IPPROTO_ICMPV6 IPPROTO_RAW)
        + "def option(level, name, value=struct.pack('I', 1)):\n\
           \x20   with socket.socket() as own: own.setsockopt(level, name, value)\n\
           def make(family, kind, protocol): socket.socket(family, kind, protocol).close()\n\
           INET, INET6 = socket.AF_INET, socket.AF_INET6\n\
           RAW, DGRAM = socket.SOCK_RAW, socket.SOCK_DGRAM\n";
    for world in World::all() {
        after(&setup).bare(world, &[("option(socket.SOL_SOCKET, SO_BINDTODEVICE, b'lo')", "ok")]);
        after(&setup).inside(
            world,
            &[
                ("make(INET, RAW, IPPROTO_RAW)", "EPERM"),
                ("make(INET, RAW, IPPROTO_ICMP)", "EPERM"),
                ("make(INET6, RAW, IPPROTO_ICMPV6)", "EPERM"),
                ("make(INET, DGRAM, IPPROTO_ICMP)", "EPERM"),
                ("make(INET6, DGRAM, IPPROTO_ICMPV6)", "EPERM"),
                ("option(socket.SOL_SOCKET, SO_BINDTODEVICE, b'lo')", "EPERM"),
                ("option(socket.SOL_SOCKET, SO_BINDTOIFINDEX)", "EPERM"),
                ("option(socket.SOL_SOCKET, SO_MARK)", "EPERM"),
                ("option(socket.SOL_SOCKET, SO_DEBUG)", "EACCES"),
                ("option(socket.SOL_SOCKET, SO_RCVBUFFORCE)", "EPERM"),
                ("option(socket.SOL_IP, IP_TRANSPARENT)", "EPERM"),
                ("option(socket.SOL_SOCKET, socket.SO_REUSEADDR)", "ok"),
            ],
        );
    }
}

/// netlink(7): only questions about routes, and of interfaces there is but one that is down.
#[test]
fn the_network_cannot_be_configured() {
    let setup = "def netlink(family):\n\
        \x20   socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family).close()\n\
        def ask(kind, flags, body):\n\
        \x20   own = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)\n\
        \x20   own.bind((0, 0))\n\
        \x20   own.send(struct.pack('IHHII', 16 + len(body), kind, flags, 1, 0) + body)\n\
        \x20   answer = own.recv(65536)\n\
        \x20   _, kind, _, _, _, error = struct.unpack_from('IHHIIi', answer)\n\
        \x20   if kind == 2 and error: raise OSError(-error, 'netlink')\n\
        LINK = struct.pack('BxHiII', 0, 0, 0, 1, 1)\n\
        NAMED = struct.pack('BxHiII', 0, 0, 0, 0, 0) + struct.pack('HH6s2x', 10, 3, b'dummy')\n\
        def interface(name, request):\n\
        \x20   with socket.socket() as own:\n\
        \x20       return fcntl.ioctl(own, request, struct.pack('16sH14x', name, 1))\n\
        def flags(name): return str(struct.unpack_from('H', interface(name, 0x8913), 16)[0] & 1)\n";
    let families: Vec<_> = (1..23).map(|family| (format!("netlink({family})"), "EPERM")).collect();
    let families: Vec<_> =
        families.iter().map(|(row, expected)| (row.as_str(), *expected)).collect();
    for world in World::all() {
        after(setup).bare(world, &[("netlink(4)", "ok"), ("flags(b'lo')", "1")]);
        after(setup).inside(world, &families);
        after(setup).inside(
            world,
            &[
                ("ask(16, 1, LINK)", "EPERM"), // RTM_NEWLINK: up
                ("ask(16, 0x601, NAMED)", "EPERM"),
                ("ask(20, 0x601, struct.pack('4BI', 2, 8, 0, 0, 1))", "EPERM"), // RTM_NEWADDR
                // RTM_NEWROUTE
                ("ask(24, 0x601, struct.pack('8BI', 2, 0, 0, 0, 254, 4, 0, 1, 0))", "EPERM"),
                ("ask(18, 0x301, LINK)", "ok"),        // RTM_GETLINK
                ("interface(b'lo', 0x8914)", "EPERM"), // SIOCSIFFLAGS
                ("flags(b'lo')", "0"),
                ("' '.join(name for _, name in socket.if_nameindex())", "lo"),
            ],
        );
        let told =
            shell(world, "ip -o link | wc -l; ip link set lo up 2>&1; ip route; ip -o address");
        assert_eq!(told, "1\nRTNETLINK answers: Operation not permitted");
    }
}

/// A server inside would be a way to keep in touch; ports below 1024 are root's besides. Where
/// Landlock does not rule TCP, it would serve an empty network.
#[test]
fn nothing_can_listen() {
    let setup = "def bind(address, port, kind=socket.SOCK_STREAM):\n\
        \x20   family = socket.AF_INET6 if ':' in address else socket.AF_INET\n\
        \x20   with socket.socket(family, kind) as server: server.bind((address, port))\n";
    for world in World::all() {
        after(setup).bare(world, &[("bind('127.0.0.1', 0)", "ok")]);
        after(setup).inside(
            world,
            &[
                ("bind('127.0.0.1', 8080)", since_abi(NET_ABI, "EACCES", "ok")),
                ("bind('0.0.0.0', 8080)", since_abi(NET_ABI, "EACCES", "ok")),
                ("bind('127.0.0.1', 0)", since_abi(NET_ABI, "EACCES", "ok")),
                ("bind('::1', 8080)", since_abi(NET_ABI, "EACCES", "EADDRNOTAVAIL")),
                ("bind('127.0.0.1', 80)", "EACCES"),
                ("bind('127.0.0.1', 80, socket.SOCK_DGRAM)", "EACCES"),
                // Of its own network, where nobody is.
                ("bind('127.0.0.1', 8080, socket.SOCK_DGRAM)", "ok"),
            ],
        );
        let serve = "import socketserver; socketserver.TCPServer((\"0.0.0.0\", 8080), None)";
        let told = shell(world, &format!("python3 -c '{serve}' 2>&1 | tail -1"));
        let refused = "PermissionError: [Errno 13] Permission denied";
        assert_eq!(told, since_abi(NET_ABI, refused, ""));
    }
}

/// Sockets with a path: of Docker, of the system bus, of the test.
#[test]
fn sockets_with_a_path_are_out_of_reach() {
    let dir = public_dir();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    make_public(&path);
    let own = format!("connect({:?})", path.to_str().unwrap());
    let setup = "def connect(path):\n\
        \x20   with socket.socket(socket.AF_UNIX) as client: client.connect(path)\n";
    for world in World::all() {
        after(setup).bare(world, &[(&own, "ok")]);
        listener.accept().unwrap();
        after(setup).inside(
            world,
            &[
                (&own, "ENOENT"),
                ("connect('/run/docker.sock')", "ENOENT"),
                ("connect('/var/run/docker.sock')", "ENOENT"),
                ("connect('/run/containerd/containerd.sock')", "ENOENT"),
                ("connect('/run/dbus/system_bus_socket')", "ENOENT"),
                ("connect('/run/systemd/private')", "ENOENT"),
                ("connect('/dev/log')", "ENOENT"),
            ],
        );
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

/// Abstract sockets have no file, so no file system keeps anybody from them: containerd's shim was
/// reached through one (CVE-2020-15257).
#[test]
fn abstract_sockets_of_the_host_are_out_of_reach() {
    let name = new_mark();
    let address = UnixAddr::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let setup = format!("name = '\\0{name}'\n")
        + "def connect(kind=socket.SOCK_STREAM):\n\
           \x20   with socket.socket(socket.AF_UNIX, kind) as client: client.connect(name)\n\
           def send():\n\
           \x20   with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:\n\
           \x20       client.sendto(b'x', name)\n\
           def seen(): return 'yes' if name[1:] in text('/proc/self/net/unix') else 'no'\n\
           def own():\n\
           \x20   with socket.socket(socket.AF_UNIX) as server:\n\
           \x20       server.bind(name); server.listen(); connect()\n";
    for world in World::all() {
        after(&setup).bare(world, &[("connect()", "ok"), ("seen()", "yes")]);
        listener.accept().unwrap();
        after(&setup).inside(
            world,
            &[
                ("connect()", "ECONNREFUSED"),
                ("connect(socket.SOCK_SEQPACKET)", "ECONNREFUSED"),
                ("send()", "ECONNREFUSED"),
                ("seen()", "no"),
                // The same name inside is another socket.
                ("own()", "ok"),
            ],
        );
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

/// Without a network a name is refused at once: a resolver that waits would hold a script up for
/// its usual 5 seconds and more.
#[test]
fn names_are_not_resolved_and_not_waited_for() {
    let setup = "begun = time.monotonic()\n\
        def resolve(name): return socket.getaddrinfo(name, 443)[0][4][0]\n\
        def quickly(): return 'yes' if time.monotonic() - begun < 4 else 'no'\n";
    for world in World::all() {
        after(setup).inside(
            world,
            &[
                ("resolve('example.com')", "gai -2"),
                ("resolve('no-such-host.invalid')", "gai -2"),
                ("resolve('metadata.google.internal')", "gai -2"),
                ("quickly()", "yes"),
                ("socket.gethostbyname('localhost')", "127.0.0.1"),
            ],
        );
        let run = super::confined(automa_tests::bash("getent hosts example.com; echo $?"), world);
        assert_eq!(run.stdout, "2\n");
        assert!(run.report.unwrap().usage.wall() < Duration::from_secs(4));
    }
}

/// Each namespace has a number; none of the host's is one of the script's.
#[test]
fn no_namespace_is_the_hosts() {
    let kinds = ["net", "mnt", "pid", "ipc", "uts", "cgroup"];
    let rows = kinds.map(|kind| {
        let host = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        format!("'host' if os.readlink('/proc/self/ns/{kind}') == {host:?} else 'own'")
    });
    for world in World::all() {
        attempts().bare(world, &rows.each_ref().map(|row| (row.as_str(), "host")));
        attempts().inside(world, &rows.each_ref().map(|row| (row.as_str(), "own")));
        for kind in kinds {
            let host = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
            let inside = shell(world, &format!("readlink /proc/$$/ns/{kind}"));
            assert!(inside.starts_with(kind) && inside != host.to_str().unwrap(), "{inside}");
        }
    }
}
