//! A network of a test's own: a namespace with public addresses that are served there, and names
//! that lead to them. Nothing in it reaches any other network.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::{NOBODY, User, command_of, make_public, public_dir};

/// The address of the one interface, as a machine of a private network has it.
pub const OWN_ADDRESS: &str = "10.77.0.1";

/// Addresses that lead to the servers here, although they are none of the machine's own: those for
/// documentation (RFC 5737, RFC 3849), and a private network.
const SERVED: [&str; 4] = ["192.0.2.0/24", "203.0.113.0/24", "10.78.0.0/16", "2001:db8::/32"];

/// Whom the machine asks for names that its file does not know.
const RESOLVER: &str = "192.0.2.53";

/// The namespaces, kept by a server that runs in them. Dropped, all of it ends.
#[derive(Debug)]
pub struct Network {
    server: Child,
    /// The server ends with this.
    _alive: ChildStdin,
    dir: TempDir,
}

impl Network {
    /// Makes a network in which `hosts`, lines of a file for `hosts(5)`, are the names, and other
    /// names are asked for at a documentation address; and starts `server`, a Python program, in
    /// it. It writes one line when it serves, and ends with its input. Beside it are a key and its
    /// certificate for `names`.
    ///
    /// # Panics
    ///
    /// When that is not possible here.
    #[must_use]
    pub fn new(hosts: &str, names: &[&str], server: &str) -> Self {
        let dir = public_dir();
        let write = |name: &str, content: &str| {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            make_public(&path);
            path
        };
        let hosts = write("hosts", &format!("127.0.0.1 localhost\n{hosts}"));
        let switch = write("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
        let resolver = write("resolv.conf", &format!("nameserver {RESOLVER}\n"));
        let program = write("server.py", server);
        make_certificate(dir.path(), names);
        let routes = SERVED.map(|served| {
            let own = if served.contains(':') { "fd77::1" } else { OWN_ADDRESS };
            // A connection there comes from the machine's own address, as it would elsewhere.
            format!("ip route add local {served} dev lo src {own}\n")
        });
        let setup = format!(
            "set -e\nip link set lo up\nip address add {OWN_ADDRESS}/32 dev lo\n\
             ip -6 address add fd77::1/128 dev lo nodad\n\
             mount --bind {} /etc/hosts\nmount --bind {} /etc/nsswitch.conf\n\
             mount --bind {} /etc/resolv.conf\n{}exec /usr/bin/python3 \"$0\"\n",
            hosts.display(),
            switch.display(),
            resolver.display(),
            routes.concat(),
        );
        let mut command = command_of(Path::new("/usr/bin/unshare"), User::Root);
        if !geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--net", "--mount", "/bin/sh", "-c", &setup]).arg(&program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = command.spawn().unwrap();
        let alive = server.stdin.take().unwrap();
        let mut ready = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert!(!ready.is_empty(), "the network could not be made, or its server not started");
        Self { server, _alive: alive, dir }
    }

    /// The content of a file that the server wrote, or that lies beside it.
    ///
    /// # Panics
    ///
    /// When there is no such file.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    /// Has a command of root's be run in this network, by `user`.
    #[must_use]
    pub fn around(&self, command: &Command, user: User) -> Command {
        let mut wrapped = command_of(Path::new("/usr/bin/nsenter"), User::Root);
        wrapped.args(["--target", &self.server.id().to_string(), "--net", "--mount"]);
        if !geteuid().is_root() {
            wrapped.args(["--user", "--preserve-credentials"]);
        } else if user == User::Ordinary {
            let id = NOBODY.to_string();
            wrapped.args(["/usr/bin/setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"]);
        }
        wrapped.arg(command.get_program()).args(command.get_args());
        wrapped
    }
}

/// Makes `key.pem` and `certificate.pem`, which vouches for itself.
fn make_certificate(dir: &Path, names: &[&str]) {
    let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
    let made = command_of(Path::new("/usr/bin/openssl"), User::Root)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=test"])
        .args(["-addext", &format!("subjectAltName={}", names.join(","))])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
