//! What programs use to reach the network, as they are: none knows of the allow-list.

use automa_tests::{User, bash, python};

use super::{arrived, network};

#[test]
fn tls_is_between_the_program_and_the_server() {
    for user in User::all() {
        let network = network();
        let certificate = network.file("certificate.pem");
        let source = format!(
            "import http.client, socket, ssl, urllib.request\n\
             trust = ssl.create_default_context(cadata='''{certificate}''')\n\
             with socket.create_connection(('www.example.com', 443)) as plain:\n\
             \x20   with trust.wrap_socket(plain, server_hostname='www.example.com') as client:\n\
             \x20       client.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')\n\
             \x20       answer = b''.join(iter(lambda: client.recv(4096), b''))\n\
             \x20       assert answer.endswith(b'hello'), answer\n\
             with urllib.request.urlopen('https://www.example.com/', context=trust) as answer:\n\
             \x20   print(answer.read().decode())\n\
             client = http.client.HTTPConnection('www.example.com')\n\
             for _ in range(3):\n\
             \x20   client.request('GET', '/')\n\
             \x20   print(client.getresponse().read().decode())\n\
             # The name is checked against the certificate, whatever address stands for it.\n\
             try: urllib.request.urlopen('https://api.example.com/', context=trust)\n\
             except urllib.error.URLError as error: print(type(error.reason).__name__)\n"
        );
        let run = python(source)
            .flags("--allow-net *.example.com:443 --allow-net www.example.com:80 --cpus 2")
            .run_in(&network, user);
        run.exited(0);
        assert_eq!(
            run.stdout, "hello\nhello\nhello\nhello\nSSLCertVerificationError\n",
            "{run:#?}"
        );
    }
}

#[test]
fn curl_needs_no_proxy() {
    for user in User::all() {
        let network = network();
        let source = format!(
            "cat >ca.pem <<'END'\n{}END\n\
             curl -sS --cacert ca.pem https://www.example.com/ http://www.example.com/ && echo\n\
             curl -sS http://other.example/ 2>&1\n\
             curl -sS -m 20 http://192.0.2.10/ 2>&1\n\
             curl -sS -6 http://www.example.com/ 2>&1\n\
             curl -sS -x socks5://192.0.2.10:1080 http://www.example.com/ 2>&1\n",
            network.file("certificate.pem")
        );
        let flags = "--allow-net www.example.com:443 --allow-net www.example.com:80 --cpus 2";
        let run = bash(source).flags(flags).run_in(&network, user);
        let lines: Vec<&str> = run.stdout.lines().collect();
        assert_eq!(lines[0], "hellohello", "{run:#?}");
        // An address that is not listed is reset, sometimes before curl has sent its question.
        for (line, part) in lines[1..].iter().zip([
            "Could not resolve host: other.example",
            "",
            "",
            "192.0.2.10 port 1080",
        ]) {
            assert!(line.starts_with("curl: (") && line.contains(part), "{part}: {run:#?}");
        }
        assert_eq!(lines.len(), 5, "{run:#?}");
        assert_eq!(arrived(&network), ["192.0.2.10 443", "192.0.2.10 80"]);
    }
}

/// Debian's pip, with an index that is a server of the test.
#[test]
fn pip_installs_from_an_index() {
    let source = "set -e\n\
        /usr/bin/python3 -m venv own\n\
        own/bin/pip install --quiet --disable-pip-version-check --no-cache-dir \
            --index-url http://www.example.com/simple --trusted-host www.example.com greeting\n\
        own/bin/python -c 'import greeting; print(greeting.TEXT)'\n";
    for user in User::all() {
        let network = network();
        let run =
            bash(source).flags("--allow-net www.example.com:80 --cpus 2").run_in(&network, user);
        run.exited(0);
        assert_eq!(run.stdout, "hello from a package\n", "{run:#?}");
        assert_eq!(arrived(&network), ["192.0.2.10 80"]);
    }
}

/// A resolver of another kind than the C library's: it asks for both kinds of addresses itself.
#[test]
fn busybox_finds_names() {
    for user in User::all() {
        let network = network();
        let source = "/usr/bin/busybox nslookup www.example.com 2>&1\n\
                      /usr/bin/busybox nslookup other.example 2>&1\n\
                      /usr/bin/busybox wget -q -O - http://www.example.com/";
        let run =
            bash(source).flags("--allow-net www.example.com:80 --cpus 2").run_in(&network, user);
        assert!(run.stdout.contains("198.18.0."), "{run:#?}");
        assert!(
            run.stdout.contains("can't resolve 'other.example'")
                || run.stdout.contains("can't find other.example"),
            "{run:#?}"
        );
        assert!(run.stdout.ends_with("hello"), "{run:#?}");
    }
}
