//! For the tests: a program run step by step, a table read without a program, and calls to compare
//! the two on.

use std::collections::BTreeSet;

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_JSET, BPF_K, BPF_LD,
    BPF_MAXINSNS, BPF_RET, BPF_W,
};

use super::Instruction;
use super::rules::{Clauses, Condition, Group, Verdict};
use super::tree::{ABSENT, ALLOW, DENY, KILL, X32, X86_64};

/// What a filter is shown of a syscall: struct `seccomp_data`, without the instruction pointer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) architecture: u32,
    pub(super) arguments: [u64; 6],
}

impl Call {
    pub(super) fn native(number: u32, arguments: [u64; 6]) -> Self {
        Self { number, architecture: X86_64, arguments }
    }

    /// The word at `offset` of the structure, or `None` outside of it.
    fn word(&self, offset: u32) -> Option<u32> {
        if !offset.is_multiple_of(4) {
            return None;
        }
        let wide = match offset / 8 {
            0 => u64::from(self.architecture) << 32 | u64::from(self.number),
            1 => 0,
            index => *self.arguments.get(usize::try_from(index - 2).unwrap())?,
        };
        let half = if offset.is_multiple_of(8) { wide % (1 << 32) } else { wide >> 32 };
        Some(u32::try_from(half).unwrap())
    }
}

const LOAD: u32 = BPF_LD | BPF_W | BPF_ABS;
const MASK: u32 = BPF_ALU | BPF_AND | BPF_K;
const RETURN: u32 = BPF_RET | BPF_K;
const JUMP: u32 = BPF_JMP | BPF_JA;
const EQUAL: u32 = BPF_JMP | BPF_JEQ | BPF_K;
const AT_LEAST: u32 = BPF_JMP | BPF_JGE | BPF_K;
const ABOVE: u32 = BPF_JMP | BPF_JGT | BPF_K;
const ANY_BIT: u32 = BPF_JMP | BPF_JSET | BPF_K;

/// What the kernel demands of a filter: known instructions, loads inside the structure, and jumps
/// that end inside the program. Jumps only go forward, so with a return in the last place every
/// path returns.
pub(super) fn check(program: &[Instruction]) -> Result<(), String> {
    if program.len() > usize::try_from(BPF_MAXINSNS).unwrap() {
        return Err(format!("{} instructions", program.len()));
    }
    for (at, instruction) in program.iter().enumerate() {
        let sound = match u32::from(instruction.code) {
            LOAD => Call::native(0, [0; 6]).word(instruction.k).is_some(),
            MASK | RETURN | JUMP | EQUAL | AT_LEAST | ABOVE | ANY_BIT => true,
            _ => false,
        };
        let returns = u32::from(instruction.code) == RETURN;
        let inside = successors(at, *instruction).iter().all(|&next| next < program.len());
        if !sound || !(returns || inside) {
            return Err(format!("{instruction:?} at {at}"));
        }
    }
    match program.last() {
        Some(last) if u32::from(last.code) == RETURN => Ok(()),
        last => Err(format!("ends with {last:?}")),
    }
}

/// Where `instruction`, unless it returns, continues when its condition holds and when not.
fn successors(at: usize, instruction: Instruction) -> [usize; 2] {
    match u32::from(instruction.code) {
        JUMP => [at + 1 + usize::try_from(instruction.k).unwrap(); 2],
        EQUAL | AT_LEAST | ABOVE | ANY_BIT => {
            [instruction.jt, instruction.jf].map(|offset| at + 1 + usize::from(offset))
        }
        _ => [at + 1; 2],
    }
}

/// The answer of a checked program, and how many instructions it took.
pub(super) fn run(program: &[Instruction], call: &Call) -> (u32, usize) {
    let (mut at, mut accumulator) = (0, 0);
    for steps in 1.. {
        let instruction = program[at];
        let k = instruction.k;
        let holds = match u32::from(instruction.code) {
            RETURN => return (k, steps),
            EQUAL => accumulator == k,
            AT_LEAST => accumulator >= k,
            ABOVE => accumulator > k,
            ANY_BIT => accumulator & k != 0,
            LOAD => {
                accumulator = call.word(k).unwrap();
                true
            }
            MASK => {
                accumulator &= k;
                true
            }
            _ => true,
        };
        at = successors(at, instruction)[usize::from(!holds)];
    }
    unreachable!("a checked program returns")
}

/// The most instructions a call can take.
pub(super) fn longest_path(program: &[Instruction]) -> usize {
    let mut longest = vec![0; program.len()];
    for (at, instruction) in program.iter().enumerate().rev() {
        let next = successors(at, *instruction).map(|next| longest.get(next).copied());
        let returns = u32::from(instruction.code) == RETURN;
        longest[at] = if returns { 1 } else { 1 + next.into_iter().flatten().max().unwrap() };
    }
    longest[0]
}

/// The answer that `table` means for `call`.
pub(super) fn judge(table: &[Group], call: &Call) -> u32 {
    if call.architecture != X86_64 || call.number >= X32 {
        return KILL;
    }
    let number = i64::from(call.number);
    let group = table.iter().find(|(_, numbers)| numbers.contains(&number));
    match group.map_or(Verdict::Absent, |(verdict, _)| *verdict) {
        Verdict::Absent => ABSENT,
        Verdict::AllowIf(clauses) if !any_holds(clauses, call) => DENY,
        Verdict::DenyIf(clauses) if any_holds(clauses, call) => DENY,
        Verdict::Deny => DENY,
        Verdict::Allow | Verdict::AllowIf(_) | Verdict::DenyIf(_) => ALLOW,
    }
}

fn any_holds(clauses: Clauses, call: &Call) -> bool {
    clauses.iter().any(|clause| {
        clause.iter().all(|condition| {
            let argument = call.arguments[usize::from(condition.argument)];
            // The remainder is the low half.
            let low = u32::try_from(argument % (1 << 32)).unwrap() & condition.mask;
            condition.spans.iter().any(|span| span.first <= low && low <= span.last)
        })
    })
}

/// `AUDIT_ARCH_I386`, `_AARCH64`, `_RISCV64`, the neighbours of our own, and the extremes.
pub(super) const ARCHITECTURES: [u32; 8] =
    [X86_64, 0x4000_0003, 0xc000_00b7, 0xc000_00f3, X86_64 - 1, X86_64 + 1, 0, u32::MAX];

/// Ones in the half that the kernel drops.
pub(super) const HIGH: u64 = 0xffff_ffff_0000_0000;

/// Xorshift: as good as any for picking numbers, and the same in every run.
fn random(count: usize) -> impl Iterator<Item = u32> {
    let step = |state: &u32| {
        let mut next = *state;
        next ^= next << 13;
        next ^= next >> 17;
        next ^= next << 5;
        Some(next)
    };
    std::iter::successors(Some(0x9e37_79b9), step).take(count)
}

/// Numbers at which something may change, and others.
pub(super) fn numbers() -> impl Iterator<Item = u32> {
    let edges = [X32 - 1, X32, X32 + 1, X32 + 59, X32 + 520, 1 << 31, u32::MAX - 1, u32::MAX];
    (0..=1000).chain(edges).chain(random(2000))
}

/// The edges of a condition's spans and their neighbours, with and without ones in every bit
/// that the condition ignores.
fn edges(condition: &Condition) -> BTreeSet<u64> {
    let spans = condition.spans.iter();
    let values = spans.flat_map(|span| {
        let below = span.first.wrapping_sub(1);
        [below, span.first, span.last, span.last.wrapping_add(1)]
    });
    let flags = (0..32).map(|bit| 1 << bit).filter(|_| condition.mask != u32::MAX);
    let ignored = HIGH | u64::from(!condition.mask);
    let values = values.chain(flags).map(u64::from);
    values.flat_map(|value| [value, value | HIGH, value | ignored, value & !ignored]).collect()
}

/// Calls of every syscall that `table` checks, with all combinations of its arguments' edges.
fn checked_calls(table: &[Group]) -> Vec<Call> {
    let mut calls = Vec::new();
    for (verdict, numbers) in table {
        let (Verdict::AllowIf(clauses) | Verdict::DenyIf(clauses)) = verdict else { continue };
        let mut edges_of = [const { BTreeSet::new() }; 6];
        for condition in clauses.iter().copied().flatten() {
            edges_of[usize::from(condition.argument)].extend(edges(condition));
        }
        let mut combinations = vec![[0; 6], [u64::MAX; 6]];
        for (position, edges) in edges_of.iter().enumerate().filter(|(_, set)| !set.is_empty()) {
            let with = |arguments: &[u64; 6]| {
                let mut arguments = *arguments;
                edges.iter().map(move |&edge| {
                    arguments[position] = edge;
                    arguments
                })
            };
            combinations = combinations.iter().flat_map(with).collect();
        }
        for number in numbers.iter().map(|&number| u32::try_from(number).unwrap()) {
            calls.extend(combinations.iter().map(|&all| Call::native(number, all)));
        }
    }
    calls
}

/// Every number under every architecture and with arguments that some rule refuses, then the
/// argument checks of `table`.
pub(super) fn all_calls(table: &[Group]) -> Vec<Call> {
    let refused = [[0x5412; 6], [0x400; 6], [0, 1, 25, 0, 0, 0], [u64::MAX; 6]];
    let by_number = numbers().flat_map(move |number| {
        let foreign = |architecture| Call { number, architecture, arguments: [1; 6] };
        let refused = refused.map(|arguments| Call::native(number, arguments));
        ARCHITECTURES.map(foreign).into_iter().chain(refused)
    });
    by_number.chain(checked_calls(table)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> Instruction {
        Instruction { code: u16::try_from(code).unwrap(), jt, jf, k }
    }

    #[test]
    fn unsound_programs_are_refused() {
        let end = instruction(RETURN, 0, 0, ALLOW);
        check(&[instruction(LOAD, 0, 0, 60), end]).unwrap();
        check(&[]).unwrap_err();
        check(&[end, instruction(LOAD, 0, 0, 0)]).unwrap_err();
        check(&[instruction(LOAD, 0, 0, 64), end]).unwrap_err();
        check(&[instruction(LOAD, 0, 0, 2), end]).unwrap_err();
        check(&[instruction(EQUAL, 1, 0, 0), end]).unwrap_err();
        check(&[instruction(EQUAL, 0, 1, 0), end]).unwrap_err();
        check(&[instruction(JUMP, 0, 0, 1), end]).unwrap_err();
        check(&[instruction(0xff, 0, 0, 0), end]).unwrap_err();
        check(&vec![end; 4096]).unwrap();
        check(&vec![end; 4097]).unwrap_err();
    }

    #[test]
    fn instructions_do_what_they_say() {
        let high = instruction(LOAD, 0, 0, 20);
        let call = Call::native(7, [0x0000_0005_0000_0000, 0, 0, 0, 0, 0]);
        for (code, k, expected) in [
            (EQUAL, 5, ALLOW),
            (EQUAL, 4, DENY),
            (AT_LEAST, 5, ALLOW),
            (AT_LEAST, 6, DENY),
            (ABOVE, 4, ALLOW),
            (ABOVE, 5, DENY),
            (ANY_BIT, 4, ALLOW),
            (ANY_BIT, 2, DENY),
        ] {
            let yes = instruction(RETURN, 0, 0, ALLOW);
            let program = [high, instruction(code, 1, 0, k), instruction(RETURN, 0, 0, DENY), yes];
            assert_eq!(run(&program, &call), (expected, 3), "{code:#x} {k}");
            assert_eq!(longest_path(&program), 3);
        }
    }
}
