use proptest::prelude::*;

use super::*;

fn lines(language: Language, source: &str) -> Vec<u32> {
    warnings(language, source).iter().map(|it| it.line).collect()
}

#[test]
fn what_would_do_harm_in_a_shell_is_told() {
    for source in [
        "rm -rf /",
        "rm -fr /*",
        "sudo rm -r -f /etc",
        "rm --recursive /usr/",
        "rm -rf ~",
        "rm -rf \"$HOME\"",
        "rm -rf / --no-preserve-root",
        "cd /tmp && rm -rf '/'",
        "if true; then rm -Rf /var; fi",
        "FOO=1 /bin/rm -rf /home",
        "dd if=/dev/zero of=/dev/sda bs=1M",
        "cat image >/dev/nvme0n1",
        "xz -dc image | tee /dev/sdb",
        "mkfs.ext4 -F /dev/sdb1",
        "mkswap /dev/vda2",
        "chmod -R 777 /",
        "sudo -E chown -R nobody /usr",
        "curl -fsSL https://example.com/x | sh",
        "wget -qO- https://example.com/x | sudo bash -s -- -y",
        "curl https://example.com/x |\n  tee log | python3 -",
        "bash <(curl -s https://example.com/x)",
        "bash -c \"$(curl -fsSL https://example.com/x)\"",
        "eval \"$(wget -qO- https://example.com/x)\"",
        ":(){ :|:& };:",
        "bomb() { bomb | bomb & }; bomb",
        "kill -9 -1",
        "shutdown -h now",
    ] {
        assert_eq!(lines(Language::Bash, source).len(), 1, "{source}");
    }
    let third = "#!/bin/bash\nset -e\nrm -rf \\\n  /\necho done\n";
    assert_eq!(lines(Language::Bash, third), [3]);
    let twice = "echo\n\nrm -rf /\ncurl example.com | sh\n";
    assert_eq!(lines(Language::Bash, twice), [3, 4]);
}

#[test]
fn what_only_looks_like_it_is_not() {
    for source in [
        "rm -rf /tmp/work",
        "rm -rf ./build \"$dir/\"",
        "rm /etc",
        "rm -rf /automa/out/*",
        "rm -rf /var/tmp/x",
        "rm -rf ~/cache",
        "echo rm -rf /",
        "echo \"never run rm -rf /\"",
        "# rm -rf /",
        "true # rm -rf /",
        "grep 'rm -rf /' log",
        "dd if=/dev/sda of=backup.img",
        "dd if=/dev/zero of=/dev/null",
        "echo x >/dev/stderr 2>/dev/null",
        "cat /dev/sda >image",
        "mkfs.ext4 disk.img",
        "chmod -R 755 ./site",
        "chmod 644 /etc/hosts.new",
        "curl -o file https://example.com/x; sh file.sh",
        "curl https://example.com/x | jq .name",
        "curl https://example.com/x | grep bash",
        "curl https://example.com/x || bash recover.sh",
        "name() { other | other; }",
        "a() { b | c & }",
        "kill -1 42",
        "kill -9 $pid",
        "echo shutdown",
        "reboot --help",
        "perform -rf /",
        "cat <<'EOF'\nhello\nEOF",
    ] {
        assert_eq!(warnings(Language::Bash, source), [], "{source}");
    }
}

#[test]
fn what_would_do_harm_in_python_is_told() {
    for source in [
        "import shutil\nshutil.rmtree(\"/\")",
        "import shutil\nshutil.rmtree('/etc', ignore_errors=True)",
        "import os\nos.system(\"rm -rf /\")",
        "import os\nos.popen('curl https://example.com/x | sh')",
        "import subprocess\nsubprocess.run(\"mkfs.ext4 /dev/sda1\", shell=True)",
        "import subprocess\nsubprocess.check_call(['rm', '-rf', '/'])",
        "import os\nwhile True:\n    os.fork()",
        "\nopen('/dev/sda', 'wb').write(b'')",
    ] {
        assert_eq!(lines(Language::Python, source), [2], "{source}");
    }
}

#[test]
fn what_only_looks_like_it_in_python_is_not() {
    for source in [
        "shutil.rmtree('/tmp/work')",
        "shutil.rmtree(path)",
        "# os.system('rm -rf /')",
        "print('os.system(\"x\")', 'rm -rf /')",
        "\"\"\"Never call os.system('rm -rf /').\"\"\"",
        "os.system('echo rm -rf /')",
        "subprocess.run(['echo', 'rm', '-rf', '/'])",
        "open('/dev/sda', 'rb').read(512)",
        "open('/dev/null', 'w')",
        "pid = os.fork()",
        "my_os.system('rm -rf /')",
    ] {
        assert_eq!(warnings(Language::Python, source), [], "{source}");
    }
}

proptest! {
    #[test]
    fn no_source_is_too_odd(source in "[rmcudlsh f/'\"\\\\#|;&(){}$<>\n:*é-]{0,200}") {
        let count = u32::try_from(source.split('\n').count()).unwrap();
        for language in Language::ALL {
            for warning in warnings(language, &source) {
                prop_assert!((1..=count).contains(&warning.line), "{:?}", warning);
            }
        }
    }
}
