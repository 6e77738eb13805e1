use std::collections::BTreeMap;

use proptest::{option, prelude::*, sample::select};

use super::*;
use crate::{
    clock::{Clock, TestClock},
    page::{Cursor, InvalidCursor, Limit},
    script::Language,
    store::Store,
};

fn execution(clock: &TestClock, script: Option<ScriptId>) -> Execution {
    Execution {
        id: ExecutionId::generate(clock),
        state: State::Queued,
        language: Language::Bash,
        script: script.map(|script| (script, 1)),
        script_name: None,
        requested_by: "ann".to_owned(),
        user: None,
        created_at: clock.now(),
        started_at: None,
        finished_at: None,
        attempt: 1,
        rerun_of: None,
        ending: None,
    }
}

async fn store_with(executions: Vec<Execution>) -> Store {
    let store = Store::in_memory().unwrap();
    write(&store, executions).await;
    store
}

async fn write(store: &Store, executions: Vec<Execution>) {
    let all = move |change: &mut Change| executions.iter().try_for_each(|it| put(change, it));
    store.write(all).await.unwrap();
}

/// All pages of a list, one after the other.
fn all(store: &Store, filter: Filter, limit: u64) -> Vec<Execution> {
    let mut request = PageRequest { cursor: None, limit: Limit::new(limit).unwrap() };
    let mut found = Vec::new();
    loop {
        let page = store.look(|view| list(view, filter, &request)).unwrap();
        assert!(page.items.len() <= request.limit.items());
        found.extend(page.items);
        request.cursor = page.next_cursor;
        if request.cursor.is_none() {
            return found;
        }
    }
}

#[tokio::test]
async fn a_cursor_belongs_to_its_filter() {
    let clock = TestClock::new("2026-01-01T00:00:00Z".parse().unwrap());
    let scripts = [(); 2].map(|()| ScriptId::generate(&clock));
    let executions: Vec<_> = (0..8).map(|n| execution(&clock, Some(scripts[n % 2]))).collect();
    let store = store_with(executions).await;
    let filters = [
        Filter::default(),
        Filter { state: Some(State::Queued), script: None },
        Filter { state: None, script: Some(scripts[0]) },
        Filter { state: None, script: Some(scripts[1]) },
        Filter { state: Some(State::Queued), script: Some(scripts[0]) },
    ];
    let page = |filter, cursor: Option<Cursor>| {
        let request = PageRequest { cursor, limit: Limit::new(2).unwrap() };
        store.look(|view| list(view, filter, &request))
    };
    for filter in filters {
        let cursor = page(filter, None).unwrap().next_cursor;
        for other in filters {
            let result = page(other, cursor.clone());
            if other == filter {
                assert_eq!(result.unwrap().items.len(), 2);
            } else {
                assert!(matches!(result, Err(StoreError::Cursor(InvalidCursor))), "{other:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happened to executions in whichever order, lists and counts are what going through
    /// all of them would give.
    #[test]
    fn lists_and_counts_are_those_of_going_through_all(
        scripts in prop::collection::vec(option::of(0usize..3), 1..25),
        moves in prop::collection::vec((any::<prop::sample::Index>(), select(&State::ALL)), 0..60),
        limit in 1u64..8,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let clock = TestClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let ids = [(); 3].map(|()| ScriptId::generate(&clock));
        let new = scripts.iter().map(|script| execution(&clock, script.map(|n| ids[n])));
        let mut model: BTreeMap<_, _> = new.map(|it| (it.id, it)).collect();
        let store = runtime.block_on(store_with(model.values().cloned().collect()));
        let keys: Vec<_> = model.keys().copied().collect();
        for (index, state) in moves {
            let execution = model.get_mut(index.get(&keys)).unwrap();
            execution.state = state;
            runtime.block_on(write(&store, vec![execution.clone()]));
        }
        let states = State::ALL.map(Some).into_iter().chain([None]);
        for state in states {
            for script in ids.map(Some).into_iter().chain([None]) {
                let filter = Filter { state, script };
                let lets_through = |it: &&Execution| {
                    state.is_none_or(|state| it.state == state)
                        && script.is_none_or(|script| it.script == Some((script, 1)))
                };
                let expected: Vec<_> =
                    model.values().rev().filter(lets_through).cloned().collect();
                if script.is_none() {
                    let counts = store.look(counts).unwrap();
                    let count = state.map_or(counts.total(), |state| counts.of(state));
                    prop_assert_eq!(count, expected.len() as u64);
                }
                prop_assert_eq!(all(&store, filter, limit), expected);
            }
        }
    }
}
