//! A protection that the host lacks: refused where it is required, reported where it is not.

use std::path::Path;

use automa_sandbox::{Feature, Outcome, Protection, Stage, Status};
use automa_tests::{
    Run, Script, User, automa, bash, command_of, helper, public_dir, running::Running,
};
use serde::Deserialize;

/// A script whose running would be seen.
const LOUD: &str = "echo ran; echo ran >&2";

/// What the host lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// Nothing but what it really lacks.
    Nothing,
    /// One of what the program `deprive` takes away.
    Deprived(&'static str),
    /// Control groups; only root can hide them, and an ordinary user has none here.
    Groups,
    /// Control groups that may be written, as in most containers. The same holds.
    WritableGroups,
    /// Other users' processes in /proc (`hidepid`); only root can mount it so.
    VisibleProc,
    /// Capabilities of root, as a set for setpriv(1) to take away.
    Capabilities(&'static str),
}

/// Runs the built program with these arguments on a host that lacks something. The report, if any,
/// is on stderr.
fn automa_without(lack: Lack, user: User, args: &[&str]) -> Run {
    let program = automa().to_str().unwrap();
    let own_mounts = |change: &str| {
        let mut command = command_of(Path::new("/usr/bin/unshare"), user);
        command.args(["-m", "sh", "-c", &format!("{change} && exec \"$0\" \"$@\""), program]);
        command
    };
    let mut command = match lack {
        Lack::Nothing => command_of(automa(), user),
        _ if user == User::Ordinary && !matches!(lack, Lack::Deprived(_)) => {
            command_of(automa(), user)
        }
        Lack::Deprived(what) => {
            let mut command = command_of(&helper("deprive"), user);
            command.args([what, "--", program]);
            command
        }
        Lack::Groups => own_mounts("mount -t tmpfs none /sys/fs/cgroup"),
        Lack::WritableGroups => own_mounts(
            "for dir in $(grep cgroup /proc/mounts | cut -d' ' -f2); do\n\
             mount -o remount,bind,ro $dir || exit; done",
        ),
        Lack::VisibleProc => own_mounts("mount -t proc -o hidepid=2 proc /proc"),
        Lack::Capabilities(set) => {
            let mut command = command_of(Path::new("/usr/bin/setpriv"), user);
            command.args(["--bounding-set", set, "--", program]);
            command
        }
    };
    command.args(args);
    Running::start(&mut command, None).end()
}

/// Runs a script there.
fn run_without(lack: Lack, user: User, script: &Script, flags: &[&str]) -> Run {
    let file = script.file().to_str().unwrap();
    let mut run = automa_without(lack, user, &[&["run", file, "--report", "json"], flags].concat());
    // The report is the last line of stderr when descriptor 3 is closed.
    let text = run.stderr.clone();
    let (rest, last) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim_end()));
    if let Ok(report) = serde_json::from_str(last) {
        run.report = Some(report);
        rest.clone_into(&mut run.stderr);
    }
    run
}

/// Asserts that nothing was run, and that one line says why: with all of these parts.
#[track_caller]
fn assert_refused(run: &Run, parts: &[&str]) {
    assert_eq!((run.code, run.stdout.as_str()), (125, ""), "{run:#?}");
    assert!(run.report.is_none() && !run.stderr.contains("ran\n"), "{run:#?}");
    assert!(run.stderr.starts_with("automa: ") && run.stderr.lines().count() == 1, "{run:#?}");
    for part in parts {
        assert!(run.stderr.contains(part), "`{part}` expected: {run:#?}");
    }
}

#[track_caller]
fn assert_ran(run: &Run) {
    run.exited(0);
    assert_eq!(run.stdout, "ran\n");
}

/// What `automa doctor --json` says.
#[derive(Debug, Deserialize)]
struct Findings {
    ok: bool,
    problem: Option<String>,
    mode: Option<String>,
    cgroups: Option<String>,
    cgroup_problem: Option<String>,
    landlock_abi: Option<i32>,
    runtimes: Vec<Runtime>,
    protections: Vec<Finding>,
}

#[derive(Debug, Deserialize)]
struct Runtime {
    language: String,
    program: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Finding {
    required: bool,
    #[serde(flatten)]
    protection: Protection,
}

impl Findings {
    fn status(&self, feature: Feature) -> &Status {
        let found = self.protections.iter().find(|finding| finding.protection.feature == feature);
        &found.unwrap_or_else(|| panic!("{feature} is not listed: {self:#?}")).protection.status
    }
}

/// A reason without its numbers: how many others are in a group changes from look to look.
fn lasting(text: &str) -> String {
    text.replace(|c: char| c.is_ascii_digit(), "")
}

/// Both forms of `automa doctor`, checked to agree.
#[track_caller]
fn doctor(lack: Lack, user: User) -> (Findings, String) {
    let json = automa_without(lack, user, &["doctor", "--json"]);
    let text = automa_without(lack, user, &["doctor"]);
    let findings: Findings = serde_json::from_str(&json.stdout).unwrap();
    let code = i32::from(!findings.ok);
    assert_eq!((json.code, text.code), (code, code), "{json:#?} {text:#?}");
    assert_eq!((json.stderr.as_str(), text.stderr.as_str()), ("", ""));
    assert_eq!(findings.ok, findings.problem.is_none());
    let cause = findings.cgroup_problem.as_deref().unwrap_or("\0");
    for Finding { required, protection: Protection { feature, status } } in &findings.protections {
        let mut lines = text.stdout.lines();
        let line = lines.find(|line| line.split_whitespace().nth(1) == Some(feature.name()));
        let line = line.unwrap_or_else(|| panic!("{feature} is not shown: {}", text.stdout));
        assert_eq!(line.contains(" required "), *required, "{line}");
        let (word, reason) = match status {
            Status::Enforced => ("enforced", None),
            Status::Weaker(reason) => ("weaker", Some(reason)),
            Status::Missing(reason) => ("MISSING", Some(reason)),
        };
        assert!(line.starts_with(word), "{line}");
        if let Some(reason) = reason {
            // The common cause stands at the top, once.
            let shown = lines.next().unwrap();
            let effect = reason.trim_end_matches(cause).trim_end_matches(": ");
            assert!(shown.contains(effect), "{shown:?} does not say {effect:?}");
        }
    }
    if let Some(cause) = &findings.cgroup_problem {
        let [shown, cause] = [text.stdout.as_str(), cause].map(lasting);
        assert_eq!(shown.matches(&cause).count(), 1, "{}", text.stdout);
    }
    if let Some(problem) = &findings.problem {
        assert!(text.stdout.contains(problem), "{}", text.stdout);
    }
    (findings, text.stdout)
}

/// Groups that are not there, and groups that may only be looked at.
fn without_groups() -> Vec<(Lack, User)> {
    let of = |user| [(Lack::Groups, user), (Lack::WritableGroups, user)];
    User::all().into_iter().flat_map(of).collect()
}

/// Whether root finds controllers for its groups on this host.
fn host_has_groups() -> bool {
    let v1 = Path::new("/sys/fs/cgroup/memory/cgroup.procs").exists();
    let v2 = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    v1 || v2.contains("memory")
}

#[test]
fn a_good_host_is_called_so() {
    for user in User::all() {
        let (findings, text) = doctor(Lack::Nothing, user);
        assert!(findings.ok, "{findings:#?}");
        assert!(text.ends_with("This host confines scripts.\n"), "{text}");
        let mode = if user == User::Root { "root" } else { "user namespace" };
        assert_eq!(findings.mode.as_deref(), Some(mode));
        assert!(findings.landlock_abi.unwrap() > 0 && findings.cgroups.is_some());
        for (runtime, language) in findings.runtimes.iter().zip(["bash", "python"]) {
            assert_eq!(runtime.language, language);
            assert!(Path::new(runtime.program.as_ref().unwrap()).is_file());
        }
        // The same facts as a run reports.
        let report = bash("true").run_as(user).report.unwrap();
        let found: Vec<_> = findings.protections.into_iter().map(|it| it.protection).collect();
        let [told, reported] = [&found, &report.protections].map(|it| lasting(&format!("{it:#?}")));
        assert_eq!(told, reported);
        assert_eq!(found.len(), Feature::ALL.len());
    }
}

#[test]
fn what_is_required_is_in_force_on_a_good_host() {
    for user in User::all() {
        let (findings, _) = doctor(Lack::Nothing, user);
        let required: Vec<_> = findings.protections.iter().filter(|it| it.required).collect();
        assert!(required.len() >= 12, "{required:#?}");
        for Finding { protection, .. } in required {
            if protection.feature == Feature::Landlock && findings.landlock_abi < Some(3) {
                let Status::Weaker(reason) = &protection.status else { panic!("{protection:?}") };
                assert!(reason.contains("truncation"), "{reason}");
            } else {
                assert_eq!(protection.status, Status::Enforced, "{}", protection.feature);
            }
        }
        if user == User::Root && host_has_groups() {
            for limit in [Feature::MemoryLimit, Feature::ProcessLimit, Feature::CpuTime] {
                assert_eq!(findings.status(limit), &Status::Enforced, "{limit}");
            }
        }
    }
}

#[test]
fn without_landlock_nothing_runs() {
    let lack = Lack::Deprived("landlock");
    for user in User::all() {
        let refused = run_without(lack, user, &bash(LOUD), &[]);
        assert_refused(&refused, &["`landlock`", "lsm=", "Linux 5.13"]);
        let (findings, text) = doctor(lack, user);
        assert!(!findings.ok && text.contains("Scripts cannot be run: "), "{text}");
        assert!(findings.problem.as_ref().unwrap().contains("`landlock`"), "{findings:#?}");
        assert_eq!(findings.landlock_abi, Some(0));
        assert!(matches!(findings.status(Feature::Landlock), Status::Missing(_)));
    }
}

#[test]
fn without_landlock_whoever_prefers_it_runs_and_is_told() {
    let lack = Lack::Deprived("landlock");
    for user in User::all() {
        let run = run_without(lack, user, &bash(LOUD), &["--prefer", "landlock"]);
        assert_ran(&run);
        let Status::Missing(reason) = run.status(Feature::Landlock) else { panic!("{run:#?}") };
        assert!(reason.contains("lsm="), "{reason}");
        for also in [Feature::LandlockNetwork, Feature::LandlockScope] {
            assert!(matches!(run.status(also), Status::Missing(_)), "{run:#?}");
        }
        assert_eq!(run.status(Feature::Seccomp), &Status::Enforced);
        // Preferring one thing gives up no other.
        let other = run_without(lack, user, &bash(LOUD), &["--prefer", "cpu_share"]);
        assert_refused(&other, &["`landlock`"]);
        let both = ["--prefer", "landlock", "--require", "landlock_scope"];
        assert_refused(&run_without(lack, user, &bash(LOUD), &both), &["`landlock_scope`"]);
    }
}

/// What the kernel refuses while the sandbox is built cannot be preferred away: there is none.
#[test]
fn without_the_means_to_build_a_sandbox_nothing_runs() {
    for (what, users, parts) in [
        (
            "userns",
            vec![User::Ordinary],
            ["creating a user namespace failed", "run as root, or let users create namespaces"],
        ),
        ("mount", User::all(), ["Operation not permitted", "mounting is forbidden here"]),
        ("seccomp", User::all(), ["installing the system call filter", "CONFIG_SECCOMP_FILTER"]),
    ] {
        let lack = Lack::Deprived(what);
        for user in users {
            let refused = run_without(lack, user, &bash(LOUD), &[]);
            assert_refused(&refused, &parts);
            assert!(refused.stderr.contains("this host cannot confine programs"), "{refused:#?}");
            let prefer =
                ["--prefer", "namespaces", "--prefer", "seccomp", "--prefer", "filesystem"];
            assert_refused(&run_without(lack, user, &bash(LOUD), &prefer), &parts);
            let (findings, text) = doctor(lack, user);
            assert!(!findings.ok && text.contains("Scripts cannot be run: "), "{text}");
            for part in parts {
                assert!(findings.problem.as_ref().unwrap().contains(part), "{findings:#?}");
            }
        }
    }
}

/// A network of which a part cannot be made is not used as it is.
#[test]
fn without_a_whole_network_only_those_who_need_one_are_refused() {
    let lack = Lack::Deprived("listen");
    for user in User::all() {
        let refused = run_without(lack, user, &bash(LOUD), &["--allow-net", "example.com:443"]);
        assert_eq!((refused.code, refused.stdout.as_str()), (125, ""), "{refused:#?}");
        let outcome = refused.report.map(|report| report.outcome);
        let stage = Stage::NetworkNamespace;
        assert_eq!(outcome, Some(Outcome::SetupFailed { stage, errno: nix::libc::ENOBUFS }));
        assert_ran(&run_without(lack, user, &bash(LOUD), &[]));
    }
}

#[test]
fn root_needs_no_user_namespace() {
    for user in User::all() {
        let run = run_without(Lack::Deprived("userns"), user, &bash(LOUD), &[]);
        match user {
            User::Root => assert_ran(&run),
            User::Ordinary => assert_refused(&run, &["user.max_user_namespaces"]),
        }
    }
}

/// What a kernel must have, from its own list: without it there is no sandbox, and doctor knows.
#[test]
fn a_kernel_that_is_too_old_is_told_so() {
    for what in ["mount_api", "mount_setattr", "clone3", "pidfd", "close_range"] {
        let lack = Lack::Deprived(what);
        for user in User::all() {
            let parts = &["this host cannot confine programs", "Linux 5.15 or newer is needed"];
            assert_refused(&run_without(lack, user, &bash(LOUD), &[]), parts);
            let prefer = ["--prefer", "namespaces", "--prefer", "filesystem"];
            assert_refused(&run_without(lack, user, &bash(LOUD), &prefer), parts);
            let (findings, text) = doctor(lack, user);
            assert!(!findings.ok && text.contains(parts[1]), "{what}: {text}");
        }
    }
}

/// What newer kernels have, and hosts or users that see less: nothing depends on it, and nothing
/// else is reported.
#[test]
fn what_is_only_useful_is_not_missed() {
    for lack in [
        Lack::Deprived("openat2"),
        Lack::Deprived("pidfd_namespaces"),
        Lack::VisibleProc,
        Lack::Capabilities("-sys_resource"),
        Lack::Capabilities("-net_admin,-mknod,-sys_ptrace,-sys_nice,-audit_write"),
    ] {
        for user in User::all() {
            let (usual, _) = doctor(Lack::Nothing, user);
            let (findings, _) = doctor(lack, user);
            assert_eq!(findings.mode, usual.mode, "{lack:?}");
            let run = run_without(lack, user, &bash(LOUD), &["--strict", "--prefer", "landlock"]);
            assert_ran(&run);
            for Finding { protection, .. } in &usual.protections {
                let feature = protection.feature;
                for status in [findings.status(feature), run.status(feature)] {
                    let kind = std::mem::discriminant(&protection.status);
                    assert_eq!(kind, std::mem::discriminant(status), "{lack:?}: {feature}");
                }
            }
        }
    }
}

/// Root without its rights, as in a container, is an ordinary user; without any, it is less.
#[test]
fn root_without_rights_is_an_ordinary_user() {
    if !User::all().contains(&User::Root) {
        assert!(!nix::unistd::geteuid().is_root());
        return;
    }
    let lack = Lack::Capabilities("-sys_admin");
    let (findings, text) = doctor(lack, User::Root);
    assert!(findings.ok && findings.mode.as_deref() == Some("user namespace"), "{text}");
    let run = run_without(lack, User::Root, &bash("id -u; echo ran"), &[]);
    run.exited(0);
    assert!(run.stdout.ends_with("ran\n") && !run.stdout.starts_with("0\n"), "{run:#?}");

    let lack = Lack::Capabilities("-all");
    let parts = ["this host cannot confine programs", "mapping user and group ids failed"];
    assert_refused(&run_without(lack, User::Root, &bash(LOUD), &[]), &parts);
    let (findings, text) = doctor(lack, User::Root);
    assert!(!findings.ok && text.contains(parts[1]), "{text}");
}

#[test]
fn without_groups_limits_are_weaker_and_said_to_be() {
    for (lack, user) in without_groups() {
        let run = run_without(lack, user, &bash(LOUD), &[]);
        assert_ran(&run);
        for limit in [Feature::MemoryLimit, Feature::ProcessLimit, Feature::CpuTime] {
            let status = run.status(limit);
            let Status::Weaker(reason) = status else { panic!("{user:?}: {limit}: {status:?}") };
            assert!(reason.contains("group"), "{limit}: {reason}");
        }
        for limit in [Feature::CpuShare, Feature::SwapLimit] {
            let status = run.status(limit);
            let Status::Missing(reason) = status else { panic!("{user:?}: {limit}: {status:?}") };
            assert!(reason.contains("group"), "{limit}: {reason}");
        }
        let (findings, _) = doctor(lack, user);
        assert!(findings.ok, "{findings:#?}");
        assert_eq!(findings.cgroups.as_deref(), Some("none"));
    }
}

#[test]
fn without_groups_whoever_requires_them_is_refused() {
    for (lack, user) in without_groups() {
        for (flags, part) in [
            (&["--require", "cpu_share"][..], "`cpu_share`"),
            (&["--require", "swap-limit"], "`swap_limit`"),
            (&["--require", "memory_limit", "--strict"], "`memory_limit`"),
            (&["--require", "process_limit", "--strict"], "`process_limit`"),
            (&["--require", "cpu_time", "--strict"], "`cpu_time`"),
        ] {
            // Of Landlock an older kernel has less, which a strict policy refuses as well.
            let flags = [flags, &["--prefer", "landlock"]].concat();
            let run = run_without(lack, user, &bash(LOUD), &flags);
            assert_refused(&run, &[part, "group"]);
        }
        // A gap is no refusal unless that is asked for, nor is strictness about what has none.
        for flags in [&["--require", "memory_limit"][..], &["--strict", "--prefer", "landlock"]] {
            assert_ran(&run_without(lack, user, &bash(LOUD), flags));
        }
    }
}

/// The substitutes hold as well for root, where the ordinary user's tests do not reach.
#[test]
fn without_groups_the_substitutes_work() {
    let grow = "
import time
kept = []
while True:
    kept.append(bytearray(2 << 20))
    time.sleep(0.02)
";
    let fork = "
import os, time
count = 1
try:
    while count < 100:
        if os.fork() == 0: time.sleep(1000)
        count += 1
except BlockingIOError:
    print(count)
";
    let busy = "while True: pass";
    for user in User::all() {
        for (what, source, flags, code, stdout) in [
            ("memory", grow, &["--memory", "48M"][..], 137, ""),
            ("processes", fork, &["--pids", "7"], 0, "7\n"),
            ("processor time", busy, &["--cpu-time", "1s", "--wall", "60s"], 124, ""),
        ] {
            let run = run_without(Lack::Groups, user, &automa_tests::python(source), flags);
            assert_eq!((run.code, run.stdout.as_str()), (code, stdout), "{what}: {run:#?}");
        }
    }
}

#[test]
fn an_unwritable_or_missing_tmp_is_explained_or_needless() {
    // The root is built on /tmp; that it belongs to others must not matter.
    let dir = public_dir();
    for user in User::all() {
        let script = Script::new("script.sh", LOUD.as_bytes());
        let mut command = command_of(automa(), user);
        command.current_dir(dir.path()).env("TMPDIR", "/does/not/exist");
        command.arg("run").arg(script.file());
        let run = Running::start(&mut command, None).end();
        assert_eq!((run.code, run.stdout.as_str()), (0, "ran\n"), "{run:#?}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
