//! Programs at a terminal of the sandbox's own, typed at through the library.

use std::{io::ErrorKind, time::Duration};

use automa_sandbox::{
    Child, Command, Engine, EngineConfig, Exit, ExitReport, Outcome, Policy, Runtime, Stage,
    Stdout, Stream, TerminalSize,
};
use automa_tests::{
    User, as_everybody, automa, bash, command, command_of,
    host::{DEADLINE, marked, unique},
    running::Running,
};
use nix::libc;
use tokio::time::timeout;

use crate::block_on;

/// An engine for one sandbox at a time.
struct Desk {
    engine: Engine,
}

impl Desk {
    async fn sit(&self, command: Command, size: TerminalSize) -> Session {
        let command = command.policy(Policy::terminal()).stdout(Stdout::Terminal(size));
        Session { child: self.engine.spawn(command).await.unwrap(), shown: String::new() }
    }

    /// An interactive bash that has shown its prompt.
    async fn bash(&self) -> Session {
        let bash = Command::new("/bin/bash").args(["--norc", "-i"]).env("PS1", "bash> ");
        let mut session = self.sit(bash, TerminalSize::default()).await;
        session.sees("bash> ").await;
        session
    }

    async fn python(&self, source: &str) -> Session {
        self.sit(Runtime::python().unwrap().command(source, "script.py"), TerminalSize::default())
            .await
    }
}

/// A program, and what its terminal has shown since it was last looked for something.
struct Session {
    child: Child,
    shown: String,
}

impl Session {
    async fn types(&self, text: impl AsRef<[u8]>) {
        let typed = timeout(DEADLINE, self.child.write_input(text.as_ref())).await;
        typed.expect("the terminal takes what is typed").unwrap();
    }

    /// Waits until the terminal has shown this; returns what came before it.
    async fn sees(&mut self, part: &str) -> String {
        loop {
            if let Some(at) = self.shown.find(part) {
                let before = self.shown[..at].to_owned();
                self.shown.drain(..at + part.len());
                return before;
            }
            let chunk = timeout(DEADLINE, self.child.next_output()).await;
            let Ok(Some(chunk)) = chunk else { panic!("`{part}` was not shown: {:?}", self.shown) };
            assert_eq!(chunk.stream, Stream::Stdout);
            self.shown.push_str(&String::from_utf8_lossy(&chunk.bytes));
        }
    }

    /// Reads to the end; returns all that was shown and the report.
    async fn ends(self) -> (String, ExitReport) {
        let output = timeout(DEADLINE, self.child.output()).await.expect("it ends");
        assert!(output.report.tree_empty, "{:#?}", output.report);
        (self.shown + &String::from_utf8_lossy(&output.stdout), output.report)
    }
}

/// Runs a test as everybody.
fn at_a_desk<F: Future<Output = ()>>(test: impl Fn(Desk) -> F) {
    as_everybody(&test, || {
        block_on(async {
            let config = EngineConfig::default().helper(automa()).slots(1);
            test(Desk { engine: Engine::start(config).await.unwrap() }).await;
        });
    });
}

#[test]
fn a_shell_is_at_its_own_terminal() {
    at_a_desk(async |desk| {
        let size = TerminalSize { cols: 132, rows: 50 };
        let source = "tty; stty size; echo $TERM; test -t 0 && test -t 1 && test -t 2 && echo all\n\
            ps -o pid=,pgid=,sid=,tpgid= -p $$ | xargs; echo to its terminal >/dev/tty\n\
            ls /dev/pts | xargs; ls -ln /dev/pts/0 | cut -c 1-10; test -O /dev/pts/0 && echo mine\n\
            echo error >&2; exit 7";
        let script = Runtime::bash().unwrap().command(source, "script.sh");
        let (shown, report) = desk.sit(script, size).await.ends().await;
        assert_eq!(
            shown,
            "/dev/pts/0\r\n50 132\r\nxterm-256color\r\nall\r\n2 2 2 2\r\nto its terminal\r\n\
             0 ptmx\r\ncrw--w----\r\nmine\r\nerror\r\n",
            "{report:#?}"
        );
        assert_eq!(report.outcome, Outcome::Exited { code: 7 });
        // The next one finds no terminal but its own.
        let (shown, _) = desk
            .python("import os; print(os.ttyname(0), os.listdir('/dev/pts'))")
            .await
            .ends()
            .await;
        assert_eq!(shown, "/dev/pts/0 ['0', 'ptmx']\r\n");
    });
}

#[test]
fn job_control_works() {
    at_a_desk(async |desk| {
        let mut bash = desk.bash().await;
        // It says so whenever it is in the foreground: before, keys are the shell's.
        let job = "trap 'echo O''N' CONT; echo U''P; sleep 1000 & while :; do wait; done";
        bash.types(format!("sh -c \"{job}\"\n")).await;
        bash.sees("UP\r\n").await;
        bash.types("\x1a").await;
        bash.sees("Stopped").await;
        bash.sees("bash> ").await;
        bash.types("fg\n").await;
        bash.sees("ON\r\n").await;
        bash.types("\x03").await;
        bash.sees("bash> ").await;
        bash.types("echo $? is it\n").await;
        bash.sees("130 is it\r\n").await;
        bash.sees("bash> ").await;
        // ^D at the beginning of a line is the end.
        bash.types("\x04").await;
        let (_, report) = bash.ends().await;
        assert_eq!(report.exit, Some(Exit::Code(0)), "{report:#?}");
    });
}

#[test]
fn lines_are_edited_before_they_are_read() {
    at_a_desk(async |desk| {
        let mut python = desk.python("import sys\nname = input('Name: ')\nprint(f'<{name}>')\ntry:\n    input()\nexcept EOFError:\n    print('end')").await;
        python.sees("Name: ").await;
        python.types("Adx\x7fa\n").await;
        python.sees("<Ada>\r\n").await;
        python.types("\x04").await;
        let (shown, report) = python.ends().await;
        assert_eq!((shown.as_str(), report.outcome), ("end\r\n", Outcome::Exited { code: 0 }));
    });
}

/// ^S stops what is written, ^Q lets it go on.
#[test]
fn output_can_be_stopped() {
    at_a_desk(async |desk| {
        let source =
            "import sys\nprint('ready')\nfor line in sys.stdin: print('got', line.strip())";
        let mut python = desk.python(source).await;
        python.sees("ready\r\n").await;
        python.types("\x13").await;
        python.types("one\n").await;
        python.types("\x11").await;
        python.sees("got one\r\n").await;
        python.types("\x04").await;
        python.ends().await;
    });
}

#[test]
fn a_new_size_is_told_and_a_storm_of_them_is_harmless() {
    at_a_desk(async |desk| {
        let source = "import os, signal, time\n\
            def told(*_):\n\
            \x20   size = os.get_terminal_size()\n\
            \x20   if size.lines == 33: print('size', *size, flush=True)\n\
            signal.signal(signal.SIGWINCH, told)\n\
            print('ready', flush=True)\n\
            while True: time.sleep(0.01)\n";
        let mut python = desk.python(source).await;
        // Before there is anything to be resized.
        python.child.resize(TerminalSize { cols: 7, rows: 7 });
        python.sees("ready\r\n").await;
        python.child.resize(TerminalSize { cols: 100, rows: 33 });
        python.sees("size 100 33\r\n").await;
        for n in 0..20_000 {
            python.child.resize(TerminalSize { cols: n, rows: n });
        }
        python.child.resize(TerminalSize { cols: u16::MAX, rows: u16::MAX });
        python.child.resize(TerminalSize { cols: 0, rows: 0 });
        python.child.resize(TerminalSize { cols: 101, rows: 33 });
        python.sees("size 101 33\r\n").await;
        python.child.hang_up(Duration::from_mins(1));
        let (_, report) = python.ends().await;
        assert_eq!(report.outcome, Outcome::Cancelled);
    });
}

/// More than any buffer on the way holds, in both directions at once, byte for byte.
#[test]
fn a_large_paste_arrives_and_comes_back() {
    at_a_desk(async |desk| {
        let source = "import os, tty\n\
            tty.setraw(0)\n\
            os.write(1, b'ready')\n\
            left = 1 << 20\n\
            while left:\n\
            \x20   part = os.read(0, left)\n\
            \x20   left -= len(part)\n\
            \x20   while part: part = part[os.write(1, part):]\n";
        let mut python = desk.python(source).await;
        python.sees("ready").await;
        let paste: Vec<u8> = (0..1_u32 << 20).map(|n| (n * 7 + n / 251).to_le_bytes()[0]).collect();
        let keyboard = python.child.keyboard().unwrap();
        let (typed, output) = tokio::join!(
            timeout(DEADLINE, keyboard.write(&paste)),
            timeout(DEADLINE, python.child.output())
        );
        typed.unwrap().unwrap();
        let output = output.unwrap();
        assert_eq!(output.report.outcome, Outcome::Exited { code: 0 });
        assert!(output.stdout == paste, "{} of {} bytes", output.stdout.len(), paste.len());
    });
}

#[test]
fn hanging_up_tells_the_session_and_then_ends_it() {
    at_a_desk(async |desk| {
        let mark = unique("hang-up");
        let source = "import os, signal, sys, time\n\
            def hup(*_):\n\
            \x20   try: os.write(1, b'lost')\n\
            \x20   except OSError as error: open('/tmp/hup', 'w').write(error.strerror)\n\
            \x20   if sys.argv[1] == 'ends': sys.exit(9)\n\
            signal.signal(signal.SIGHUP, hup)\n\
            print('ready', flush=True)\n\
            while True: time.sleep(0.01)\n";
        let script =
            |how: &str| Runtime::python().unwrap().command(source, "script.py").arg(how).arg(&mark);
        // One that ends.
        let mut session = desk.sit(script("ends"), TerminalSize::default()).await;
        session.sees("ready\r\n").await;
        session.child.hang_up(Duration::from_hours(1));
        let (_, report) = session.ends().await;
        assert_eq!((report.outcome, report.exit), (Outcome::Cancelled, Some(Exit::Code(9))));
        // One that does not.
        let mut session = desk.sit(script("stays"), TerminalSize::default()).await;
        session.sees("ready\r\n").await;
        session.child.hang_up(Duration::from_millis(100));
        let (_, report) = session.ends().await;
        assert_eq!((report.outcome, report.exit), (Outcome::Cancelled, None));
        // One that is not there yet.
        let session = desk.sit(script("stays"), TerminalSize::default()).await;
        session.child.hang_up(Duration::from_hours(1));
        let (_, report) = session.ends().await;
        assert_eq!(report.outcome, Outcome::Cancelled);
        // One whose caller just goes.
        let mut session = desk.sit(script("ends"), TerminalSize::default()).await;
        session.sees("ready\r\n").await;
        drop(session);
        desk.engine.shutdown().await;
        assert_eq!(marked(&mark), []);
    });
}

/// A shell that ends hangs up on what it has left in the background; what ignores that is ended.
#[test]
fn nothing_stays_behind_a_shell() {
    at_a_desk(async |desk| {
        let mark = unique("behind");
        let mut bash = desk.bash().await;
        bash.types(format!("nohup sleep 1000 {mark} & setsid sleep 1001 {mark} & disown -a\n"))
            .await;
        bash.sees("bash> ").await;
        bash.types("exec 0<&- 1>&- 2>&-\n").await;
        let (_, report) = bash.ends().await;
        assert!(matches!(report.outcome, Outcome::Exited { .. }), "{report:#?}");
        assert_eq!(marked(&mark), []);
    });
}

/// What has closed its terminal may open it again.
#[test]
fn a_closed_terminal_is_not_the_end() {
    at_a_desk(async |desk| {
        let source = "exec 0<&- 1>&- 2>&-; sleep 0.3; echo still here >/dev/tty; exit 4";
        let script = Runtime::bash().unwrap().command(source, "script.sh");
        let (shown, report) = desk.sit(script, TerminalSize::default()).await.ends().await;
        assert_eq!(
            (shown.as_str(), report.outcome),
            ("still here\r\n", Outcome::Exited { code: 4 })
        );
    });
}

/// Typing into the terminal of whoever comes later, and other ways to act in another's name.
#[test]
fn a_terminal_cannot_be_turned_against_its_user() {
    at_a_desk(async |desk| {
        let source = "import fcntl, os\n\
            for name, request in [('TIOCSTI', 0x5412), ('TIOCLINUX', 0x541c), ('TIOCCONS', 0x541d),\n\
            \x20                    ('TIOCSETD', 0x5423), ('KDSKBMODE', 0x4b45), ('VT_ACTIVATE', 0x5606)]:\n\
            \x20   for fd in (0, os.open('/dev/tty', os.O_RDWR), os.open('/dev/pts/0', os.O_RDWR)):\n\
            \x20       for high in (0, 1 << 32):\n\
            \x20           try: fcntl.ioctl(fd, request | high, b'x' * 8); print(name, 'works')\n\
            \x20           except (OSError, OverflowError) as error:\n\
            \x20               if getattr(error, 'errno', 1) != 1: print(name, error)\n";
        let (shown, report) = desk.python(source).await.ends().await;
        assert_eq!(shown, "", "{report:#?}");
    });
}

#[test]
fn a_start_that_fails_ends_the_terminal() {
    at_a_desk(async |desk| {
        let session = desk.sit(Command::new("/no/such/program"), TerminalSize::default()).await;
        let keyboard = session.child.keyboard().unwrap();
        let paste = vec![b'x'; 1 << 20];
        let (typed, (_, report)) =
            tokio::join!(timeout(DEADLINE, keyboard.write(&paste)), session.ends());
        // As much as it could take, or not: in any case this does not wait for ever.
        let _ = typed.expect("the terminal is gone");
        let error = keyboard.write(b"more").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let outcome = Outcome::SetupFailed { stage: Stage::Exec, errno: libc::ENOENT };
        assert_eq!(report.outcome, outcome);
        keyboard.resize(TerminalSize::default());
    });
}

#[test]
fn without_a_terminal_there_is_nothing_to_type_at() {
    at_a_desk(async |desk| {
        let source = "trap 'exit 3' HUP; echo ready; while :; do :; done";
        let command = Runtime::bash().unwrap().command(source, "script.sh");
        let mut child = desk.engine.spawn(command.policy(Policy::agent())).await.unwrap();
        let error = child.write_input(b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        assert!(child.keyboard().is_none());
        child.resize(TerminalSize::default());
        child.next_output().await.unwrap();
        child.hang_up(Duration::from_hours(1));
        let report = child.wait().await;
        assert_eq!((report.outcome, report.exit), (Outcome::Cancelled, Some(Exit::Code(3))));
    });
}

/// `automa run --tty`, itself at a terminal, which is afterwards as it was before.
#[test]
fn a_script_is_shown_in_the_terminal_of_who_runs_it() {
    for user in User::all() {
        let source = "tty; stty size; read -p 'name: ' name; echo \"<$name>\"; exit 3";
        let shown = bash(source);
        let line = format!(
            "stty cols 91 rows 17; {} run --profile terminal --tty --report none {}; echo code $?; \
             stty -a | grep -o -e ' icanon' -e ' echo '",
            automa().display(),
            shown.file().display()
        );
        let mut script = command_of("/usr/bin/script".as_ref(), user);
        let mut running = Running::start(script.args(["-qec", &line, "/dev/null"]), None);
        assert_eq!([running.line(), running.line()], ["/dev/pts/0\r\n", "17 91\r\n"]);
        running.send("Ada\n");
        let mut seen = String::new();
        while !seen.ends_with(" icanon\r\n echo \r\n") {
            seen += &running.line();
        }
        assert!(seen.contains("<Ada>\r\ncode 3\r\n"), "{user:?}: {seen:?}");
        assert_eq!(running.end().code, 0);
        // Without a terminal there is none to show it in.
        let file = shown.file().to_str().unwrap();
        let arguments = ["run", "--profile", "terminal", "--tty", file];
        let refused = Running::start(command(user).args(arguments), None).end();
        assert_eq!((refused.code, refused.stdout.as_str()), (125, ""));
        assert!(refused.stderr.contains("--tty: standard input"), "{refused:#?}");
    }
}
