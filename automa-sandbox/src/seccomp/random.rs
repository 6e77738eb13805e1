//! The compiler on tables nobody wrote: whatever the rules are, the program means them.

use std::{collections::BTreeSet, ffi::c_long};

use proptest::{collection::btree_set, prelude::*, sample::select};

use super::{
    interpreter::{ARCHITECTURES, Call, HIGH, check, judge, run},
    rules::{Clauses, Condition, Group, Span, Verdict},
    tree::{X32, compile},
};

/// Numbers at which arguments and spans are likely to meet.
fn edge() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0..8_u32,
        2 => select(vec![0xff, 0x100, 0x3ff, 0x400, 1 << 31, u32::MAX - 1, u32::MAX]),
        1 => any::<u32>(),
    ]
}

/// Sorted spans, none of which touches another.
fn spans() -> impl Strategy<Value = &'static [Span]> {
    btree_set(edge(), 0..7).prop_map(|edges| {
        let edges: Vec<u32> = edges.into_iter().collect();
        let spans = edges.chunks_exact(2).map(|pair| Span { first: pair[0], last: pair[1] });
        &*Vec::leak(spans.collect())
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    let mask = select(vec![u32::MAX, 0xff, 0x7fff_ffff, 1, 0]);
    (0..6_u8, mask, spans()).prop_map(|(argument, mask, spans)| Condition { argument, mask, spans })
}

fn clauses() -> impl Strategy<Value = Clauses> {
    let clause = prop::collection::vec(condition(), 0..3).prop_map(|clause| &*Vec::leak(clause));
    prop::collection::vec(clause, 0..3).prop_map(|clauses| &*Vec::leak(clauses))
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        3 => Just(Verdict::Allow),
        2 => Just(Verdict::Deny),
        1 => Just(Verdict::Absent),
        1 => clauses().prop_map(Verdict::AllowIf),
        1 => clauses().prop_map(Verdict::DenyIf),
    ]
}

/// Each number has one verdict, as in the tables that people write.
fn table() -> impl Strategy<Value = Vec<Group>> {
    let number = prop_oneof![9 => 0..200_u32, 1 => select(vec![462, 999, X32 - 1])];
    let numbers = prop::collection::btree_map(number, 0..6_usize, 0..90);
    (numbers, prop::collection::vec(verdict(), 6)).prop_map(|(numbers, verdicts)| {
        let of = |index| {
            let own = numbers.iter().filter(move |(_, verdict)| **verdict == index);
            &*Vec::leak(own.map(|(number, _)| c_long::from(*number)).collect())
        };
        verdicts.into_iter().enumerate().map(|(index, verdict)| (verdict, of(index))).collect()
    })
}

/// Arguments, the half of them that the kernel drops included.
fn arguments() -> impl Strategy<Value = [u64; 6]> {
    prop::array::uniform6((edge(), any::<bool>()))
        .prop_map(|all| all.map(|(low, high)| u64::from(low) | if high { HIGH } else { 0 }))
}

/// The numbers of a table, and those beside them.
fn called(table: &[Group]) -> BTreeSet<u32> {
    let numbers = table.iter().flat_map(|(_, numbers)| *numbers);
    let numbers = numbers.map(|&number| u32::try_from(number).expect("the strategy's own"));
    let all = numbers.flat_map(|number| [number.saturating_sub(1), number, number + 1]);
    all.chain([0, X32 - 1, X32, u32::MAX]).collect()
}

proptest! {
    #[test]
    fn the_program_means_any_table(
        table in table(),
        arguments in prop::collection::vec(arguments(), 12),
    ) {
        let program = compile(&table, &[]);
        prop_assert_eq!(check(&program), Ok(()));
        for number in called(&table) {
            for arguments in &arguments {
                let call = Call::native(number, *arguments);
                prop_assert_eq!(run(&program, &call).0, judge(&table, &call), "{:x?}", call);
            }
            for architecture in ARCHITECTURES {
                let call = Call { number, architecture, arguments: arguments[0] };
                prop_assert_eq!(run(&program, &call).0, judge(&table, &call), "{:x?}", call);
            }
        }
    }

    /// What is taken out of a table is absent, and nothing else changes.
    #[test]
    fn a_call_that_is_taken_out_is_absent(table in table(), out in 0..200_u32) {
        let without = compile(&table, &[c_long::from(out)]);
        let program = compile(&table, &[]);
        for number in called(&table) {
            let call = Call::native(number, [1; 6]);
            let expected =
                if number == out { judge(&[], &call) } else { run(&program, &call).0 };
            prop_assert_eq!(run(&without, &call).0, expected, "{:x?}", call);
        }
    }
}
