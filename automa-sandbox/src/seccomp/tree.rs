//! From a table of verdicts to a program: a search tree over ranges of numbers.
//!
//! The kernel runs a new filter once for every syscall number it knows, to remember which ones are
//! always allowed, and translates the program to machine code. Both take longer than everything
//! else about the installation, so the program is to be short and its paths too.
//!
//! Classic BPF only jumps forward, so the program is written from its end to its start: a target
//! always exists before the jump to it, and its distance is known.

use std::ffi::c_long;

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W,
    ENOSYS, EPERM, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS,
};

use super::Instruction;
use super::rules::{Clauses, Condition, Group, Span, Verdict};

pub(super) const ALLOW: u32 = SECCOMP_RET_ALLOW;
pub(super) const DENY: u32 = SECCOMP_RET_ERRNO | EPERM.cast_unsigned();
pub(super) const ABSENT: u32 = SECCOMP_RET_ERRNO | ENOSYS.cast_unsigned();
pub(super) const KILL: u32 = SECCOMP_RET_KILL_PROCESS;

/// `AUDIT_ARCH_X86_64` of linux/audit.h: `EM_X86_64`, 64 bits, little endian.
pub(super) const X86_64: u32 = 0xc000_003e;
/// `__X32_SYSCALL_BIT` of asm/unistd.h: the same architecture word, another set of calls.
pub(super) const X32: u32 = 0x4000_0000;

/// Offsets in struct `seccomp_data` of linux/seccomp.h.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// How far a conditional jump goes for sure: one byte holds 255, and to bring the second target of
/// a jump within reach can push the first one away by one.
const REACH: usize = 254;

/// Single numbers tested inside a range, before one more step of the search is cheaper.
const EXCEPTIONS: usize = 2;

/// What a range with argument checks weighs in numbers. The kernel remembers which calls are allowed
/// whatever their arguments, so these run the program at every call; ioctl and fcntl are frequent.
const CHECKED: u32 = 16;

/// The program for `table`, with some calls taken out of it. Of several groups that name a number
/// the first counts.
pub(super) fn compile(table: &[Group], without: &[c_long]) -> Vec<Instruction> {
    let numbers =
        table.iter().flat_map(|(verdict, numbers)| numbers.iter().map(|&n| (n, *verdict)));
    let numbers = numbers.filter(|(number, _)| !without.contains(number));
    // A number that does not fit cannot be called, so no answer to it is needed.
    let spans = numbers.filter_map(|(number, verdict)| {
        let number = u32::try_from(number).ok().filter(|&number| number < X32)?;
        Some((Span { first: number, last: number }, verdict))
    });
    let mut spans: Vec<_> = spans.collect();
    // Stable, so that of equals the first is kept.
    spans.sort_by_key(|(span, _)| span.first);
    spans.dedup_by_key(|(span, _)| span.first);
    let end = spans.last().map_or(0, |(span, _)| span.last);
    let leaves = fold(&cover(&spans, Verdict::Absent), |span, verdict| match verdict {
        Verdict::AllowIf(_) | Verdict::DenyIf(_) => CHECKED,
        // Numbers past the table are asked for by nobody.
        _ => span.last.min(end).saturating_sub(span.first).saturating_add(1),
    });

    let mut program = Program::default();
    let tree = program.search(&leaves, &mut |program, verdict| program.verdict(*verdict));
    let kill = program.answer(KILL);
    let native = program.branch(BPF_JGE, X32, kill, tree);
    let number = program.load(NUMBER, native);
    let kill = program.answer(KILL);
    let known = program.branch(BPF_JEQ, X86_64, number, kill);
    program.load(ARCHITECTURE, known);
    program.finish()
}

/// Sorted `spans` and the gaps between them, from 0 to the largest number, equal neighbours joined.
fn cover<T: Copy + PartialEq>(spans: &[(Span, T)], gap: T) -> Vec<(Span, T)> {
    let mut covered: Vec<(Span, T)> = Vec::new();
    let mut add = |first: u32, last: u32, content: T| match covered.last_mut() {
        Some((span, same)) if *same == content => span.last = last,
        _ => covered.push((Span { first, last }, content)),
    };
    let mut next = Some(0);
    for &(span, content) in spans {
        if let Some(first) = next.filter(|&first| first < span.first) {
            add(first, span.first - 1, gap);
        }
        add(span.first, span.last, content);
        next = span.last.checked_add(1);
    }
    if let Some(first) = next {
        add(first, u32::MAX, gap);
    }
    covered
}

/// An end of the search: numbers from `first` on that share an answer, but for the exceptions.
struct Leaf<T> {
    first: u32,
    weight: u32,
    content: T,
    exceptions: Vec<(u32, T)>,
}

/// Ranges to leaves: a single number between two ranges of one answer becomes an exception.
fn fold<T: Copy + PartialEq>(ranges: &[(Span, T)], weigh: impl Fn(Span, T) -> u32) -> Vec<Leaf<T>> {
    let mut leaves: Vec<Leaf<T>> = Vec::new();
    let mut rest = ranges;
    while let [(span, content), after @ ..] = rest {
        let (span, content) = (*span, *content);
        let mut leaf =
            Leaf { first: span.first, weight: weigh(span, content), content, exceptions: vec![] };
        rest = after;
        while let [(single, other), (resumed, same), after @ ..] = rest
            && single.first == single.last
            && *same == content
            && leaf.exceptions.len() < EXCEPTIONS
        {
            leaf.exceptions.push((single.first, *other));
            leaf.weight += weigh(*single, *other) + weigh(*resumed, content);
            rest = after;
        }
        leaves.push(leaf);
    }
    leaves
}

/// A place in the program: the number of instructions from there to the end.
type Label = usize;

/// The program so far, last instruction first.
#[derive(Default)]
struct Program {
    reversed: Vec<Instruction>,
}

impl Program {
    fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }

    fn push(&mut self, instruction: Instruction) -> Label {
        self.reversed.push(instruction);
        self.reversed.len()
    }

    /// An instruction that continues at `next`.
    fn before(&mut self, next: Label, class: u32, k: u32) -> Label {
        if self.distance(next) > 0 {
            self.jump(next);
        }
        self.push(statement(class, k))
    }

    fn load(&mut self, offset: u32, next: Label) -> Label {
        self.before(next, BPF_LD | BPF_W | BPF_ABS, offset)
    }

    /// A place that returns `value`: the nearest there is, or a new one.
    fn answer(&mut self, value: u32) -> Label {
        let answer = statement(BPF_RET | BPF_K, value);
        let nearest = self.reversed.iter().rposition(|&instruction| instruction == answer);
        nearest.map_or_else(|| self.push(answer), |position| position + 1)
    }

    /// `if number <operation> k { yes } else { no }`
    fn branch(&mut self, operation: u32, k: u32, yes: Label, no: Label) -> Label {
        if yes == no {
            return yes;
        }
        let (yes, no) = (self.within_reach(yes), self.within_reach(no));
        let Instruction { code, .. } = statement(BPF_JMP | operation | BPF_K, k);
        let (jt, jf) = (self.offset(yes), self.offset(no));
        self.push(Instruction { code, jt, jf, k })
    }

    /// `label`, or a place nearer by that leads there.
    fn within_reach(&mut self, label: Label) -> Label {
        if self.distance(label) <= REACH {
            return label;
        }
        let target = self.reversed[label - 1];
        if u32::from(target.code) == BPF_RET | BPF_K { self.push(target) } else { self.jump(label) }
    }

    fn jump(&mut self, label: Label) -> Label {
        let far =
            u32::try_from(self.distance(label)).expect("a program has at most 4096 instructions");
        self.push(statement(BPF_JMP | BPF_JA, far))
    }

    /// Instructions to skip from the next one written to `label`.
    fn distance(&self, label: Label) -> usize {
        self.reversed.len() - label
    }

    fn offset(&self, label: Label) -> u8 {
        u8::try_from(self.distance(label)).expect("both targets were brought within reach")
    }

    /// Finds the leaf of the loaded number, by halves of equal weight.
    fn search<T: Copy>(
        &mut self,
        leaves: &[Leaf<T>],
        end: &mut dyn FnMut(&mut Self, &T) -> Label,
    ) -> Label {
        if let [leaf] = leaves {
            let mut place = end(self, &leaf.content);
            for (number, other) in &leaf.exceptions {
                let exception = end(self, other);
                place = self.branch(BPF_JEQ, *number, exception, place);
            }
            return place;
        }
        let (low, high) = leaves.split_at(middle(leaves));
        let above = self.search(high, end);
        let below = self.search(low, end);
        self.branch(BPF_JGE, high[0].first, above, below)
    }

    fn verdict(&mut self, verdict: Verdict) -> Label {
        match verdict {
            Verdict::Allow => self.answer(ALLOW),
            Verdict::Deny => self.answer(DENY),
            Verdict::Absent => self.answer(ABSENT),
            Verdict::AllowIf(clauses) => self.clauses(clauses, ALLOW, DENY),
            Verdict::DenyIf(clauses) => self.clauses(clauses, DENY, ALLOW),
        }
    }

    /// Tries one clause after the other; a condition that fails goes on to the next clause.
    fn clauses(&mut self, clauses: Clauses, holds: u32, fails: u32) -> Label {
        let mut otherwise = self.answer(fails);
        for clause in clauses.iter().rev() {
            let mut next = self.answer(holds);
            for condition in clause.iter().rev() {
                next = self.condition(condition, next, otherwise);
            }
            otherwise = next;
        }
        otherwise
    }

    fn condition(&mut self, condition: &Condition, holds: Label, fails: Label) -> Label {
        let spans: Vec<_> = condition.spans.iter().map(|&span| (span, true)).collect();
        let leaves = fold(&cover(&spans, false), |_, _| 1);
        let mut first = self.search(&leaves, &mut |_, inside| if *inside { holds } else { fails });
        if condition.mask != u32::MAX {
            first = self.before(first, BPF_ALU | BPF_AND | BPF_K, condition.mask);
        }
        // Little endian: the low half of a 64-bit argument comes first.
        self.load(ARGUMENTS + 8 * u32::from(condition.argument), first)
    }
}

/// Where both sides weigh about the same; neither is empty.
fn middle<T>(leaves: &[Leaf<T>]) -> usize {
    let total: u32 = leaves.iter().map(|leaf| leaf.weight).sum();
    let mut below = 0;
    let sides = leaves.iter().map(|leaf| {
        below += leaf.weight;
        below.abs_diff(total - below)
    });
    let best = sides.take(leaves.len() - 1).enumerate().min_by_key(|(_, difference)| *difference);
    best.map_or(1, |(index, _)| index + 1)
}

fn statement(code: u32, k: u32) -> Instruction {
    let code = u16::try_from(code).expect("codes of classic BPF have 8 bits");
    Instruction { code, jt: 0, jf: 0, k }
}

#[cfg(test)]
mod tests {
    use libc::c_long;

    use super::super::interpreter::{Call, check, judge, run};
    use super::*;

    const SMALL_FIRST: Condition =
        Condition { argument: 0, mask: u32::MAX, spans: &[Span { first: 0, last: 9 }] };
    const EDGES_OF_SECOND: Condition = Condition {
        argument: 1,
        mask: u32::MAX,
        spans: &[Span { first: 0, last: 0 }, Span { first: u32::MAX, last: u32::MAX }],
    };
    const LOW_BYTE_OF_LAST: Condition =
        Condition { argument: 5, mask: 0xff, spans: &[Span { first: 3, last: 200 }] };

    /// Verdicts change from number to number, so that nothing can be joined.
    fn table(length: u32, verdicts: &[Verdict]) -> Vec<Group> {
        let group = |(index, verdict): (usize, &Verdict)| {
            let numbers = (0..length).skip(index).step_by(verdicts.len()).map(c_long::from);
            let numbers: &'static [c_long] = Vec::leak(numbers.collect());
            (*verdict, numbers)
        };
        verdicts.iter().enumerate().map(group).collect()
    }

    fn assert_equivalent(table: &[Group], numbers: u32) -> usize {
        let program = compile(table, &[]);
        check(&program).unwrap();
        for number in 0..numbers {
            for arguments in [[0; 6], [9; 6], [10; 6], [200; 6], [0x1ff; 6], [u64::MAX; 6]] {
                let call = Call::native(number, arguments);
                assert_eq!(run(&program, &call).0, judge(table, &call), "{call:?}");
            }
        }
        program.len()
    }

    /// Jumps hold 8 bits. The sizes pass every way in which a target can get out of reach by one.
    #[test]
    fn long_programs_jump_right() {
        let plain = [Verdict::Allow, Verdict::Deny, Verdict::Absent];
        let mut lengths = vec![];
        for length in (0..700).step_by(3).chain(500..540) {
            lengths.push(assert_equivalent(&table(length, &plain), length + 5));
        }
        assert!(lengths.iter().any(|&length| length > 512), "{lengths:?}");
    }

    #[test]
    fn long_programs_with_checks_jump_right() {
        let mixed = [
            Verdict::AllowIf(&[&[SMALL_FIRST, EDGES_OF_SECOND], &[LOW_BYTE_OF_LAST]]),
            Verdict::Allow,
            Verdict::DenyIf(&[&[EDGES_OF_SECOND], &[SMALL_FIRST]]),
            Verdict::Absent,
            Verdict::AllowIf(&[&[LOW_BYTE_OF_LAST]]),
        ];
        let mut longest = 0;
        for length in (0..100).chain((100..500).step_by(37)) {
            longest = longest.max(assert_equivalent(&table(length, &mixed), length + 5));
        }
        assert!(longest > 1000, "{longest}");
    }

    #[test]
    fn degenerate_tables_compile() {
        assert_equivalent(&[], 3);
        assert_equivalent(&[(Verdict::Absent, &[0, 1, 2])], 5);
        assert_equivalent(&[(Verdict::AllowIf(&[]), &[1]), (Verdict::DenyIf(&[]), &[2])], 5);
        assert_equivalent(&[(Verdict::AllowIf(&[&[]]), &[0])], 5);
        let everything = Condition { argument: 0, mask: u32::MAX, spans: &[EVERYTHING] };
        let nothing = Condition { argument: 0, mask: 0xff, spans: &[] };
        let clauses: Clauses = Vec::leak(vec![Vec::leak(vec![everything, nothing]) as &[_]]);
        assert_equivalent(&[(Verdict::AllowIf(clauses), &[0]), (Verdict::Deny, &[-1])], 5);
    }

    #[test]
    fn the_first_that_names_a_number_counts() {
        let table: &[Group] = &[
            (Verdict::Allow, &[2, 3]),
            (Verdict::Deny, &[0, 1, 2, 3, 4]),
            (Verdict::AllowIf(&[]), &[3, 4]),
        ];
        assert_equivalent(table, 6);
        let program = compile(table, &[]);
        let answers = [0, 2, 3, 4, 5].map(|number| run(&program, &Call::native(number, [0; 6])).0);
        assert_eq!(answers, [DENY, ALLOW, ALLOW, DENY, ABSENT]);
    }

    const EVERYTHING: Span = Span { first: 0, last: u32::MAX };

    #[test]
    fn gaps_are_covered_to_both_ends() {
        let span = |first, last| Span { first, last };
        let ends = [(span(0, 0), true), (span(u32::MAX, u32::MAX), true)];
        let covered = [(span(0, 0), true), (span(1, u32::MAX - 1), false), ends[1]];
        assert_eq!(cover(&ends, false), covered);
        assert_eq!(cover(&[(EVERYTHING, true)], false), [(EVERYTHING, true)]);
        assert_eq!(cover(&[], false), [(EVERYTHING, false)]);
        let neighbours = [(span(3, 4), true), (span(5, 6), true)];
        let joined = [(span(0, 2), false), (span(3, 6), true), (span(7, u32::MAX), false)];
        assert_eq!(cover(&neighbours, false), joined);
    }
}
