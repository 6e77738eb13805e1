//! Secrets: each way in which a program is given one, and that nobody else has it.

use std::{io::Write, os::unix::fs::symlink};

use automa_sandbox::{Command, Delivery, Engine, EngineConfig, Outcome, Runtime, Start, Stdin};
use automa_tests::{
    automa,
    host::{self, Process, marked, memory_holds, unique},
    public_dir,
};

use crate::block_on;

const BASH: &str = r#"
echo "$A|$(cat "$B")|$(cat <&"$C")|$(cat "/dev/fd/$C")|$D"
stat -c '%a %A' "$B" "${B%/*}"
echo more 2>/dev/null >>"$B" || echo 'no more'
(echo more >&"$C") 2>/dev/null || echo 'no more'
[ -r "/proc/$$/fd/$((C + 2))" ] && echo 'one too many'
tr '\0' '\n' </proc/self/cmdline | grep -c secret
"#;

const PYTHON: &str = r"
import os, stat, sys
read = lambda file: open(file).read()
fd = int(os.environ['C'])
once, again = os.read(fd, 99).decode(), read(f'/dev/fd/{fd}')
print(os.environ['A'], read(os.environ['B']), once, again, os.environ['D'], sep='|')
for path in os.environ['B'], os.path.dirname(os.environ['B']):
    mode = os.stat(path).st_mode
    print(oct(mode)[-3:], stat.filemode(mode))
for change in lambda: open(os.environ['B'], 'a'), lambda: os.write(fd, b'more'):
    try:
        change()
    except PermissionError:
        print('no more')
try:
    os.fstat(fd + 2)
    print('one too many')
except OSError:
    pass
print(read('/proc/self/cmdline').count('secret'))
";

/// Three secrets and one more descriptor, whose number is the next.
fn with_secrets(command: Command, value: &str) -> Command {
    let of = |name: &str| format!("{name}-{value}").into_bytes().into();
    command
        .secret("A", Delivery::Variable, of("a"))
        .secret("B", Delivery::File, of("b"))
        .secret("C", Delivery::Descriptor, of("c"))
        .secret("D", Delivery::Descriptor, of("d"))
}

#[test]
fn a_secret_arrives_in_each_way() {
    block_on(async {
        let engine =
            Engine::start(EngineConfig::default().helper(automa()).slots(1)).await.unwrap();
        for (runtime, source, name) in [
            (Runtime::bash().unwrap(), BASH, "script.sh"),
            (Runtime::python().unwrap(), PYTHON, "script.py"),
        ] {
            for start in [Start::Cold, Start::Warm] {
                let mut command = with_secrets(runtime.command(source, name), "value");
                if start == Start::Warm {
                    engine.prewarm(&command, 1).await.unwrap();
                } else {
                    command = command.cold();
                }
                let output = engine.output(command).await.unwrap();
                assert_eq!(output.report.start, start);
                let expected = "a-value|b-value|c-value|c-value|4\n400 -r--------\n700 drwx------\n\
                                no more\nno more\n0\n";
                assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:#?}");
            }
        }
        engine.shutdown().await;
    });
}

#[test]
fn while_it_runs_only_the_program_has_its_secrets_and_then_nobody() {
    block_on(async {
        let (dir, name) = (public_dir(), unique("helper"));
        let path = dir.path().join(&name);
        symlink(automa(), &path).unwrap();
        let engine = Engine::start(EngineConfig::default().helper(&path).slots(1)).await.unwrap();
        let runs = [
            (Runtime::bash().unwrap(), "echo ready; read -r; echo $((${#A} + $(wc -c <\"$B\")))"),
            (
                Runtime::python().unwrap(),
                "import os; os.write(1, b'ready\\n'); input(); a, b = map(os.environ.get, 'AB'); \
                 print(len(a) + len(open(b).read()))",
            ),
        ];
        for (number, (runtime, source)) in runs.iter().flat_map(|run| [run, run]).enumerate() {
            let secret = unique("hidden");
            let (reading, writing) = nix::unistd::pipe().unwrap();
            let command = runtime.command(*source, "script").stdin(Stdin::Fd(reading));
            let command = with_secrets(command, &secret);
            let command = if number % 2 == 0 { command.cold() } else { command };
            let mut child = engine.spawn(command).await.unwrap();
            assert_eq!(child.next_output().await.unwrap().bytes, b"ready\n");

            let helpers = marked(&name);
            let programs: Vec<Process> = helpers
                .iter()
                .flat_map(|helper| host::descendants(helper.pid))
                .filter(|process| !helpers.contains(process))
                .collect();
            let held = programs.iter().any(|it| memory_holds(it.pid, secret.as_bytes()));
            assert_eq!(held, nix::unistd::Uid::effective().is_root(), "as far as one may look");
            for helper in &helpers {
                assert!(!memory_holds(helper.pid, secret.as_bytes()), "{helper:?}");
            }
            // Nor in the memory that is shared with them: this process is their server.
            assert!(plans().iter().all(|plan| !contains(plan, secret.as_bytes())));

            std::fs::File::from(writing).write_all(b"go on\n").unwrap();
            let output = child.output().await;
            assert_eq!(output.report.outcome, Outcome::Exited { code: 0 }, "{output:#?}");
            let length = 2 * (secret.len() + 2);
            assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{length}\n"));
            for helper in marked(&name) {
                assert!(!memory_holds(helper.pid, secret.as_bytes()), "{helper:?}");
            }
        }
        engine.shutdown().await;
    });
}

/// What this process shares with its slots.
fn plans() -> Vec<Vec<u8>> {
    let own = std::fs::read_dir("/proc/self/fd").unwrap().flatten().map(|entry| entry.path());
    let plans = own.filter(|fd| {
        std::fs::read_link(fd).is_ok_and(|to| to.to_string_lossy().contains("memfd:automa-plan"))
    });
    plans
        .map(|fd| {
            let mut begin = vec![0; 1 << 20];
            let file = std::fs::File::open(fd).unwrap();
            let read = std::os::unix::fs::FileExt::read_at(&file, &mut begin, 0).unwrap();
            begin.truncate(read);
            begin
        })
        .collect()
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(bytes, needle).is_some()
}
