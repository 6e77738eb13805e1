//! Secrets: each way in which a program is given one, and that nobody else has it.

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, chown, symlink},
    path::{Path, PathBuf},
};

use automa_core::{
    Automa,
    actor::Actor,
    credential::{Kind, NewCredential},
};
use automa_sandbox::{Command, Delivery, Engine, EngineConfig, Outcome, Runtime, Start, Stdin};
use automa_tests::{
    User, automa,
    client::{Client, texts},
    host::{self, Process, marked, memory_holds, unique},
    public_dir,
    server::Server,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use nix::sys::signal::Signal;
use serde_json::json;

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

/// A credential to create: its name, its type and its fields.
pub(crate) type New<'a> = (&'a str, Kind, &'a [(&'a str, &'a str)]);

/// Creates credentials while the server does not run: their ids.
pub(crate) async fn create(server: &Server, credentials: &[New<'_>]) -> Vec<String> {
    let data = server.data();
    let mut ids = Vec::new();
    {
        let automa = Automa::builder().directory(&data).open().unwrap();
        let me = Actor::embedder("test");
        for (name, kind, fields) in credentials {
            let fields = fields.iter().map(|&(name, value)| (name.to_owned(), value.into()));
            let new = NewCredential::new(*name, *kind, fields.collect());
            ids.push(automa.credentials(&me).create(new).await.unwrap().credential.id.to_string());
        }
    }
    // As its user would have made them.
    let owner = fs::metadata(&data).unwrap();
    for file in files(&data) {
        chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    ids
}

/// Creates a script whose executions are given two credentials: a key as a variable, and a password in
/// a file.
async fn with_credentials(
    server: &mut Server,
    client: Client,
    source: &str,
    [key, password]: [&str; 2],
) -> (Client, String) {
    let body = json!({ "name": "user of secrets", "language": "bash", "source": source });
    let script = client.post("/api/v1/scripts", body).await.json(201);
    let script = script["id"].as_str().unwrap().to_owned();
    server.end_by(Signal::SIGTERM);
    let credentials: [New<'_>; 2] = [
        ("key", Kind::ApiKey, &[("key", key)]),
        ("login", Kind::UserPass, &[("username", "ada"), ("password", password)]),
    ];
    let ids = create(server, &credentials).await;
    server.restart();
    let client = client.at(server.url());
    for (id, (variable, delivery)) in ids.iter().zip([("TOKEN", "env"), ("LOGIN", "file")]) {
        let body = json!({ "credential_id": id, "variable_name": variable, "delivery": delivery });
        client.post(&format!("/api/v1/scripts/{script}/credentials"), body).await.is(201);
    }
    (client, script)
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Forms in which a secret might have been written.
fn forms(secret: &str) -> [String; 3] {
    let hex: Vec<_> = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    [secret.to_owned(), STANDARD.encode(secret), hex.concat()]
}

fn assert_nowhere_in_files(server: &Server, secrets: &[&str]) {
    for file in files(&server.data()) {
        let bytes = fs::read(&file).unwrap();
        for form in secrets.iter().flat_map(|secret| forms(secret)) {
            assert!(!contains(&bytes, form.as_bytes()), "{form} is in {}", file.display());
        }
    }
}

/// The processes of a server that have a secret in their memory, environment or arguments.
fn who_has(server: &Server, secret: &str) -> Vec<Process> {
    let own = Process::find(server.process().pid()).unwrap();
    let all = host::descendants(own.pid).into_iter().chain([own]);
    all.filter(|process| {
        let told = ["environ", "cmdline"]
            .map(|file| fs::read(format!("/proc/{}/{file}", process.pid)).unwrap_or_default());
        told.iter().any(|bytes| contains(bytes, secret.as_bytes()))
            || memory_holds(process.pid, secret.as_bytes())
    })
    .collect()
}

#[test]
fn a_credential_is_nowhere_but_in_the_script_that_was_given_it() {
    for user in User::all() {
        block_on(async {
            let mut server = Server::start_as(user, &[]);
            let client = server.set_up().await;
            let keys = [unique("key"), unique("password")];
            let source = r#"password=$(<"$LOGIN_PASSWORD"); echo "${#TOKEN} ${#password} $LOGIN_USERNAME"; echo ready; sleep 1000 & wait"#;
            let [key, password] = keys.each_ref().map(String::as_str);
            let (client, script) =
                with_credentials(&mut server, client, source, [key, password]).await;
            let body = json!({ "script_id": script });
            let id = client.post("/api/v1/executions", body).await.json(202)["id"]
                .as_str()
                .unwrap()
                .to_owned();
            client.logged(&id, "ready").await;

            for secret in [key, password] {
                let who = who_has(&server, secret);
                assert!(who.iter().all(|it| !it.name.starts_with("automa")), "{user:?}: {who:?}");
                assert!(!who.is_empty(), "the script has it");
            }
            assert_nowhere_in_files(&server, &[key, password]);
            client.post_nothing(&format!("/api/v1/executions/{id}/cancel")).await;
            client.ended(&id).await;
            for secret in [key, password] {
                assert_eq!(who_has(&server, secret), [], "{user:?}");
            }
            assert_nowhere_in_files(&server, &[key, password]);
        });
    }
}

#[test]
fn what_a_script_tells_of_its_credentials_is_masked() {
    block_on(async {
        let mut server = Server::start();
        let client = server.set_up().await;
        let keys = [unique("key"), unique("password")];
        let [key, password] = keys.each_ref().map(String::as_str);
        let source = r#"
            printf '%s' "$TOKEN" | head -c 9; printf '%s' "$TOKEN" | tail -c +10; echo
            printf '%s' "$TOKEN" | base64 -w0; printf '%s' "u:$TOKEN" | base64 -w0
            cat "$LOGIN" "$LOGIN_PASSWORD" >&2; od -An -v -tx1 "$LOGIN_PASSWORD" | tr -d ' \n'
            printf '{"token": "%s"}' "$TOKEN" >"$AUTOMA_RESULT"
            kill -SEGV $$"#;
        let (client, script) = with_credentials(&mut server, client, source, [key, password]).await;
        let body = json!({ "script_id": script });
        let ran = client.post("/api/v1/executions?wait=60", body).await.json(200);
        let id = ran["id"].as_str().unwrap();
        assert_eq!(ran["state"], "failed", "{ran:#}");
        let log = client.get(&format!("/api/v1/executions/{id}/log")).await.json(200);
        assert_eq!(texts(&log)[0], "***", "{log:#}");
        let result = client.get(&format!("/api/v1/executions/{id}")).await.json(200);
        assert!(result.to_string().contains("***"), "{result:#}");
        for secret in [key, password] {
            for form in forms(secret) {
                assert!(!log.to_string().contains(&form) && !result.to_string().contains(&form));
            }
        }
        assert_nowhere_in_files(&server, &[key, password]);
        let given = client.get(&format!("/api/v1/executions/{id}/credentials")).await.json(200);
        let given = given["items"].as_array().unwrap();
        let names: Vec<_> =
            given.iter().map(|it| it["credential_name"].as_str().unwrap()).collect();
        assert_eq!(names, ["login", "key"]);
    });
}
