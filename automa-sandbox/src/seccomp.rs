//! The syscall policy of a payload, compiled to classic BPF (seccomp(2), linux/filter.h).
//!
//! What lives here: the instruction and the profiles. `rules` is the policy as a table, `tree` the
//! compiler. Nothing is installed here: the program is made once, before the first payload, and
//! loaded by each of them in one system call.

mod rules;
mod tree;

use crate::policy::Profile;

#[cfg(test)]
mod interpreter;
#[cfg(test)]
mod random;

/// One instruction of classic BPF; the layout is that of struct `sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) code: u16,
    /// Instructions to skip when the condition holds.
    pub(crate) jt: u8,
    /// Instructions to skip when it does not.
    pub(crate) jf: u8,
    pub(crate) k: u32,
}

/// The filter for a profile.
///
/// Where no group counts memory, `memory_counted` is false: calls for memory that no process has to
/// map, and that no sample of processes could therefore show, are absent then.
pub(crate) fn filter(profile: Profile, memory_counted: bool) -> Vec<Instruction> {
    let without = if memory_counted { &[] } else { rules::UNMAPPED_MEMORY };
    tree::compile(&rules::table(profile), without)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::io::ErrorKind;
    use std::mem::{align_of, offset_of, size_of};
    use std::net::UdpSocket;
    use std::os::unix::fs::chroot;
    use std::os::unix::net::UnixStream;
    use std::process::Command;
    use std::sync::LazyLock;

    use libc::{c_long, sock_filter};
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

    use super::Instruction;
    use super::interpreter::{
        ARCHITECTURES, Call, HIGH, all_calls, check, judge, longest_path, numbers, run,
    };
    use super::rules::{Group, Verdict, table};
    use super::tree::{ABSENT, ALLOW, DENY, KILL, X32};
    use crate::policy::Profile;

    static PROGRAM: LazyLock<Vec<Instruction>> =
        LazyLock::new(|| super::filter(Profile::Script, true));

    #[test]
    fn memory_that_nobody_counts_cannot_be_had() {
        for profile in Profile::ALL {
            let (counted, uncounted) =
                (super::filter(profile, true), super::filter(profile, false));
            for number in 0..=1000 {
                let call = Call::native(number, [0; 6]);
                let taken_out =
                    [libc::SYS_memfd_create, libc::SYS_shmget].contains(&c_long::from(number));
                let expected = if taken_out { ABSENT } else { run(&counted, &call).0 };
                assert_eq!(run(&uncounted, &call).0, expected, "{profile}: {number}");
            }
        }
    }

    /// The answer of profile `script` to a native call.
    fn answer(number: c_long, arguments: &[u64]) -> u32 {
        ask(&PROGRAM, number, arguments)
    }

    fn ask(program: &[Instruction], number: c_long, arguments: &[u64]) -> u32 {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        let number = u32::try_from(number).unwrap();
        run(program, &Call::native(number, all)).0
    }

    /// An `int` as it arrives in a register.
    fn int(value: libc::c_int) -> u64 {
        u64::from(value.cast_unsigned())
    }

    #[test]
    fn the_program_means_the_table() {
        for profile in Profile::ALL {
            let (program, table) = (super::filter(profile, true), table(profile));
            check(&program).unwrap();
            let mut answers = BTreeMap::<u32, usize>::new();
            for call in &all_calls(&table) {
                let (value, _) = run(&program, call);
                assert_eq!(value, judge(&table, call), "{profile}: {call:x?}");
                *answers.entry(value).or_default() += 1;
            }
            assert_eq!(answers.keys().copied().collect::<Vec<_>>(), [DENY, ABSENT, ALLOW, KILL]);
            assert!(answers.values().all(|&count| count > 100), "{profile}: {answers:?}");
        }
    }

    /// Of all that `terminal` can ask, only this is answered otherwise than to `script`.
    #[test]
    fn profiles_differ_in_these_calls_only() {
        let debugging = [libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev];
        for profile in Profile::ALL {
            let program = super::filter(profile, true);
            let differ = |call: &Call| run(&program, call).0 != run(&PROGRAM, call).0;
            let calls = all_calls(&table(profile));
            let numbers: BTreeSet<_> =
                calls.iter().filter(|call| differ(call)).map(|call| call.number.into()).collect();
            let expected: BTreeSet<c_long> = match profile {
                Profile::Script | Profile::Agent | Profile::Build => BTreeSet::new(),
                Profile::Terminal => {
                    debugging.into_iter().chain([libc::SYS_prctl, libc::SYS_personality]).collect()
                }
            };
            assert_eq!(numbers, expected, "{profile}");
        }
        let terminal = super::filter(Profile::Terminal, true);
        for (number, arguments, expected) in [
            (libc::SYS_ptrace, [0, 0], ALLOW),
            (libc::SYS_prctl, [0x5961_6d61, 0], ALLOW), // PR_SET_PTRACER
            (libc::SYS_prctl, [24, 0], DENY),           // PR_CAPBSET_DROP
            (libc::SYS_prctl, [35, 0], DENY),           // PR_SET_MM
            (libc::SYS_personality, [0x0004_0000, 0], ALLOW), // ADDR_NO_RANDOMIZE
            (libc::SYS_personality, [0x0044_0000, 0], DENY), // and READ_IMPLIES_EXEC
            (libc::SYS_pidfd_getfd, [3, 0], DENY),
            (libc::SYS_ioctl, [0, 0x5412], DENY), // TIOCSTI
            (libc::SYS_ioctl, [0, 0x541c], DENY), // TIOCLINUX
            (libc::SYS_ioctl, [0, 0x5423], DENY), // TIOCSETD
        ] {
            assert_eq!(ask(&terminal, number, &arguments), expected, "{number} {arguments:x?}");
        }
    }

    /// The comparison above would notice any single change of the program.
    #[test]
    fn no_instruction_can_be_changed_unnoticed() {
        let mut seen = Vec::new();
        for profile in Profile::ALL {
            let program = super::filter(profile, true);
            // What is the same for several profiles need not be tried again.
            if !seen.contains(&program) {
                mutate(&program, &table(profile));
                seen.push(program);
            }
        }
    }

    fn mutate(program: &[Instruction], table: &[Group]) {
        // Of the large numbers a few are enough: more of them take time and find nothing.
        let few =
            numbers().filter(|&number| number > 1000).take(8).map(|n| Call::native(n, [1; 6]));
        let calls = few.chain(all_calls(table).into_iter().filter(|call| call.number <= 1000));
        let calls: Vec<_> = calls.map(|call| (call, judge(table, &call))).collect();
        for (at, original) in program.iter().enumerate() {
            let Instruction { code, jt, jf, k } = *original;
            // A boundary of the search may be moved inside a range that both sides answer alike.
            let shift = u32::from(u32::from(code) & 0xf0 != libc::BPF_JGE || jt == jf);
            let mutants = [
                Instruction { jt: jf, jf: jt, ..*original },
                Instruction { jf: jt, ..*original },
                Instruction { jt: jf, ..*original },
                Instruction { k: k + shift, ..*original },
            ];
            for mutant in mutants.into_iter().filter(|mutant| mutant != original) {
                let mut changed = program.to_vec();
                changed[at] = mutant;
                let differs = |(call, meant): &(Call, u32)| run(&changed, call).0 != *meant;
                assert!(check(&changed).is_err() || calls.iter().any(differs), "{at}: {mutant:?}");
            }
        }
    }

    /// A second opinion on the unconditional verdicts from an independent compiler.
    #[test]
    fn another_compiler_agrees() {
        Profile::ALL.into_iter().for_each(compare_compilers);
    }

    fn compare_compilers(profile: Profile) {
        let verdicts: BTreeMap<c_long, Verdict> = table(profile)
            .into_iter()
            .rev() // The first counts, and so is put in last.
            .flat_map(|(verdict, numbers)| numbers.iter().map(move |&number| (number, verdict)))
            .collect();
        let errno = |errno: libc::c_int| SeccompAction::Errno(errno.cast_unsigned());
        let compiled = |wanted: Verdict, matched, otherwise| -> BpfProgram {
            let rules = verdicts.iter().filter(|(_, verdict)| **verdict == wanted);
            let rules = rules.map(|(&number, _)| (number, vec![])).collect();
            let filter = SeccompFilter::new(rules, otherwise, matched, TargetArch::x86_64);
            filter.unwrap().try_into().unwrap()
        };
        let own = |program: BpfProgram| -> Vec<Instruction> {
            let instructions = program.into_iter();
            instructions.map(|i| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect()
        };
        let allowed = own(compiled(Verdict::Allow, SeccompAction::Allow, errno(libc::ENOSYS)));
        let denied = own(compiled(Verdict::Deny, errno(libc::EPERM), errno(libc::ENOSYS)));
        let conditional = |number: u32| {
            let verdict = verdicts.get(&c_long::from(number));
            matches!(verdict, Some(Verdict::AllowIf(_) | Verdict::DenyIf(_)))
        };
        let program = super::filter(profile, true);
        for number in numbers().filter(|&number| number < X32 && !conditional(number)) {
            for architecture in ARCHITECTURES {
                let call = Call { number, architecture, arguments: [0; 6] };
                let expected = match (run(&allowed, &call).0, run(&denied, &call).0) {
                    (ALLOW, _) => ALLOW,
                    (_, other) => other,
                };
                assert_eq!(run(&program, &call).0, expected, "{profile}: {call:?}");
            }
        }
    }

    #[test]
    fn other_abis_are_killed() {
        for profile in Profile::ALL {
            let program = super::filter(profile, true);
            for number in numbers() {
                let i386 = Call { number, architecture: 0x4000_0003, arguments: [0; 6] };
                assert_eq!(run(&program, &i386).0, KILL, "{number}");
                let x32 = Call::native(number | X32, [0; 6]);
                assert_eq!(run(&program, &x32).0, KILL, "{number}");
            }
        }
    }

    #[test]
    fn clone_makes_threads_and_processes_but_no_namespaces() {
        // glibc's pthread_create, fork and posix_spawn.
        for flags in [0x003d_0f00, 0x0120_0011, 0x4111] {
            assert_eq!(answer(libc::SYS_clone, &[flags]), ALLOW, "{flags:#x}");
        }
        for namespace in [
            libc::CLONE_NEWNS,
            libc::CLONE_NEWCGROUP,
            libc::CLONE_NEWUTS,
            libc::CLONE_NEWIPC,
            libc::CLONE_NEWUSER,
            libc::CLONE_NEWPID,
            libc::CLONE_NEWNET,
        ] {
            for others in [0, 17, 0x003d_0f00, HIGH] {
                let flags = int(namespace) | others;
                assert_eq!(answer(libc::SYS_clone, &[flags]), DENY, "{flags:#x}");
            }
        }
        assert_eq!(answer(libc::SYS_clone3, &[0, 88]), ABSENT);
        assert_eq!(answer(libc::SYS_unshare, &[int(libc::CLONE_NEWUSER)]), DENY);
        assert_eq!(answer(libc::SYS_setns, &[3, 0]), DENY);
    }

    /// All families, types and protocols there are, against the rule in other words.
    #[test]
    fn sockets_are_local_tcp_udp_or_route() {
        let flags = int(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK);
        for (family, kind) in (0..50_u64).flat_map(|family| (0..16).map(move |kind| (family, kind)))
        {
            for protocol in (0..20).chain([58, 132, 136, 255, 262, 0xffff_ffff]) {
                let allowed = match (family, kind, protocol) {
                    (1, _, _) | (16, _, 0) | (2 | 10, 1 | 2, 0 | 6 | 17) => ALLOW,
                    _ => DENY,
                };
                let plain = [family, kind, protocol];
                let noisy = [family | HIGH, kind | flags | HIGH, protocol | HIGH];
                assert_eq!(answer(libc::SYS_socket, &plain), allowed, "{plain:?}");
                assert_eq!(answer(libc::SYS_socket, &noisy), allowed, "{noisy:x?}");
            }
        }
        assert_eq!(answer(libc::SYS_socket, &[int(libc::AF_VSOCK), 1, 0]), DENY);
        assert_eq!(answer(libc::SYS_socketpair, &[int(libc::AF_UNIX), 1, 0]), ALLOW);
        assert_eq!(answer(libc::SYS_socketpair, &[int(libc::AF_INET), 1, 0]), DENY);
    }

    /// By number, and not from the table, so that a call that changes sides is noticed.
    #[test]
    fn these_are_never_allowed() {
        let listed = [
            101, 103, 134, 136, 139, 153, 154, 155, 156, 161, 163, 164, 165, 166, 167, 168, 169,
            170, 171, 172, 173, 174, 175, 176, 177, 178, 179, 180, 212, 216, 227, 237, 238, 246,
            248, 249, 250, 256, 272, 278, 279, 298, 300, 301, 303, 304, 308, 310, 311, 312, 313,
            317, 320, 321, 323, 425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 440, 442, 443,
            447, 448, 450, 457, 458, 459, 460, 461, 467, 469, 470,
        ];
        // Every call with a rule but personality is content with these arguments.
        let denied = (0..=1000).filter(|&number| answer(number, &[1, 1]) == DENY);
        let denied: Vec<_> = denied.filter(|&number| number != libc::SYS_personality).collect();
        assert_eq!(denied, listed);
    }

    #[test]
    fn terminals_keep_what_they_are_told() {
        let denied = [0x5412, 0x541c, 0x541d, 0x5423, 0x4b00, 0x4b3a, 0x4bff, 0x5600, 0x56ff];
        // TCGETS, TIOCSCTTY, TIOCGWINSZ, FIONREAD, TIOCGPTPEER, and neighbours of the denied ones.
        let allowed = [0x5401, 0x540e, 0x5413, 0x541b, 0x5441, 0x5411, 0x541e, 0x4aff, 0x4c00];
        for high in [0, 1 << 32, HIGH] {
            for request in denied {
                assert_eq!(answer(libc::SYS_ioctl, &[0, request | high]), DENY, "{request:#x}");
            }
            for request in allowed {
                assert_eq!(answer(libc::SYS_ioctl, &[0, request | high]), ALLOW, "{request:#x}");
            }
        }
    }

    #[test]
    fn prctl_follows_its_list() {
        let listed =
            [1, 2, 3, 4, 7, 13, 15, 16, 21, 23, 25, 27, 29, 30, 36, 37, 38, 39, 40, 41, 42];
        for option in (0..100).chain([0x5349_4d41, 0x5356_4d41, 0x5961_6d61]) {
            let expected =
                if listed.contains(&option) || option == 0x5356_4d41 { ALLOW } else { DENY };
            for second in [0, 2, 3, 5, HIGH] {
                assert_eq!(answer(libc::SYS_prctl, &[option, second]), expected, "{option:#x}");
                assert_eq!(answer(libc::SYS_prctl, &[option | HIGH, second]), expected);
            }
        }
        for (second, expected) in [(1, ALLOW), (4, ALLOW), (2, DENY), (3, DENY)] {
            assert_eq!(answer(libc::SYS_prctl, &[47, second]), expected, "PR_CAP_AMBIENT {second}");
        }
    }

    #[test]
    fn small_rules_hold() {
        for (number, arguments, expected) in [
            (libc::SYS_personality, [0, 0, 0], ALLOW),
            (libc::SYS_personality, [0xffff_ffff, 0, 0], ALLOW),
            (libc::SYS_personality, [u64::MAX, 0, 0], ALLOW),
            (libc::SYS_personality, [0x0004_0000, 0, 0], DENY), // ADDR_NO_RANDOMIZE
            (libc::SYS_personality, [0x0040_0000 | HIGH, 0, 0], DENY), // READ_IMPLIES_EXEC
            (libc::SYS_personality, [8, 0, 0], DENY),           // PER_LINUX32
            (libc::SYS_fcntl, [3, 1023, 0], ALLOW),
            (libc::SYS_fcntl, [3, 1024, 0], DENY),
            (libc::SYS_fcntl, [3, 1025, 0], DENY),
            (libc::SYS_fcntl, [3, 0x402 | HIGH, 0], DENY),
            (libc::SYS_fcntl, [3, 1030, 0], ALLOW), // F_DUPFD_CLOEXEC
            (libc::SYS_setsockopt, [3, 1, 25], DENY),
            (libc::SYS_setsockopt, [3, 1 | HIGH, 0x19 | HIGH], DENY),
            (libc::SYS_setsockopt, [3, 1, 62], DENY), // SO_BINDTOIFINDEX
            (libc::SYS_setsockopt, [3, 6, 25], ALLOW),
            (libc::SYS_setsockopt, [3, 1, 2], ALLOW), // SO_REUSEADDR
            (libc::SYS_ptrace, [0, 0, 0], DENY),
            (libc::SYS_io_uring_setup, [8, 0, 0], DENY),
            (libc::SYS_seccomp, [1, 0, 0], DENY),
        ] {
            assert_eq!(answer(number, &arguments), expected, "{number} {arguments:x?}");
        }
    }

    /// The whole installation depends on it: see the head of `tree`.
    #[test]
    fn the_program_is_short() {
        for profile in Profile::ALL {
            measure(profile, &super::filter(profile, true));
        }
    }

    fn measure(profile: Profile, program: &[Instruction]) {
        let steps = |number: c_long, arguments| {
            let call = Call::native(u32::try_from(number).unwrap(), arguments);
            run(program, &call).1
        };
        let common = [
            ("read", steps(libc::SYS_read, [0; 6])),
            ("mmap", steps(libc::SYS_mmap, [0; 6])),
            ("openat", steps(libc::SYS_openat, [0; 6])),
            ("futex", steps(libc::SYS_futex, [0; 6])),
            ("ioctl TCGETS", steps(libc::SYS_ioctl, [0, 0x5401, 0, 0, 0, 0])),
            ("fcntl F_SETFD", steps(libc::SYS_fcntl, [0, 2, 0, 0, 0, 0])),
            ("clone", steps(libc::SYS_clone, [0x003d_0f00, 0, 0, 0, 0, 0])),
            ("socket TCP", steps(libc::SYS_socket, [2, 1, 6, 0, 0, 0])),
        ];
        let emulated: usize = (0..=470).map(|number| steps(number, [0; 6])).sum();
        let longest = longest_path(program);
        let length = program.len();
        eprintln!(
            "{profile}: {length} instructions, longest path {longest}, all calls {emulated}; {common:?}"
        );
        assert!(length < 200 && longest < 32 && emulated < 6000);
        assert!(common.iter().all(|&(_, steps)| steps <= 24), "{common:?}");
    }

    #[test]
    fn instructions_are_laid_out_as_in_c() {
        assert_eq!(size_of::<Instruction>(), size_of::<sock_filter>());
        assert_eq!(align_of::<Instruction>(), align_of::<sock_filter>());
        assert_eq!(offset_of!(Instruction, code), offset_of!(sock_filter, code));
        assert_eq!(offset_of!(Instruction, jt), offset_of!(sock_filter, jt));
        assert_eq!(offset_of!(Instruction, jf), offset_of!(sock_filter, jf));
        assert_eq!(offset_of!(Instruction, k), offset_of!(sock_filter, k));
    }

    /// The real kernel takes the program, and ordinary work goes on under it.
    #[test]
    fn the_kernel_accepts_the_program() {
        for profile in Profile::ALL {
            confine_a_thread(super::filter(profile, true));
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a child process is part of ordinary work")]
    fn confine_a_thread(program: Vec<Instruction>) {
        let program: BpfProgram = program
            .into_iter()
            .map(|Instruction { code, jt, jf, k }| seccompiler::sock_filter { code, jt, jf, k })
            .collect();
        // A filter binds one thread and is never taken off, so the thread is our own.
        let confined = std::thread::spawn(move || {
            seccompiler::apply_filter(&program).unwrap();
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            assert!(status.contains("\nSeccomp:\t2\n"), "{status}");
            assert_eq!(chroot("/").unwrap_err().kind(), ErrorKind::PermissionDenied);
            UnixStream::pair().unwrap();
            UdpSocket::bind("127.0.0.1:0").unwrap();
            assert!(Command::new("true").status().unwrap().success());
            std::thread::spawn(|| ()).join().unwrap();
        });
        confined.join().unwrap();
    }
}
