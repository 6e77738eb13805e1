use std::collections::BTreeMap;

use jiff::SignedDuration;
use proptest::{option, prelude::*, sample::select};

use super::*;
use crate::{
    clock::{Clock, TestClock},
    execution::{Dispatch, Ending, Slot},
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
        dispatch: Dispatch::default(),
        job: None,
        agent: None,
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

/// All pages of a list, one after the other, and how many there were.
fn all(store: &Store, filter: &Filter, now: Timestamp, limit: u64, steps: usize) -> Vec<Execution> {
    let mut request = PageRequest { cursor: None, limit: Limit::new(limit).unwrap() };
    let mut found = Vec::new();
    loop {
        let search =
            |view: &Snapshot| find::Search::new(view, filter, now)?.within(steps).page(&request);
        let page = store.look(search).unwrap();
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
    let (job, agent) = (JobId::generate(&clock), AgentId::generate(&clock));
    let executions = (0..8).map(|n| Execution {
        job: Some(Slot { job, at: clock.now() }),
        agent: Some(agent),
        ..execution(&clock, Some(scripts[n % 2]))
    });
    let executions: Vec<_> = executions.collect();
    let store = store_with(executions).await;
    let queued = vec![State::Queued];
    let filters = [
        Filter::default(),
        Filter::in_state(State::Queued),
        Filter::of_script(scripts[0]),
        Filter::of_script(scripts[1]),
        Filter { states: queued.clone(), ..Filter::of_script(scripts[0]) },
        Filter { requested_by: Some("ann".to_owned()), ..Filter::default() },
        Filter { min_wall_ms: Some(0), ..Filter::default() },
        Filter { job: Some(job), ..Filter::default() },
        Filter { agent: Some(agent), ..Filter::default() },
    ];
    let page = |filter: &Filter, cursor: Option<Cursor>| {
        let request = PageRequest { cursor, limit: Limit::new(2).unwrap() };
        store.look(|view| list(view, filter, clock.now(), &request))
    };
    for filter in &filters {
        let cursor = page(filter, None).unwrap().next_cursor;
        for other in &filters {
            let result = page(other, cursor.clone());
            if other == filter {
                assert_eq!(result.unwrap().items.len(), 2);
            } else {
                assert!(matches!(result, Err(StoreError::Cursor(InvalidCursor))), "{other:?}");
            }
        }
        // However the states are written, and whatever the time.
        let twice = Filter {
            states: [&filter.states[..], &filter.states[..]].concat(),
            created_from: (*filter != Filter::default()).then_some(Timestamp::UNIX_EPOCH),
            ..filter.clone()
        };
        assert_eq!(page(&twice, cursor).unwrap().items.len(), 2);
    }
}

#[tokio::test]
async fn a_search_that_finds_little_ends_and_is_continued() {
    let clock = TestClock::new("2026-01-01T00:00:00Z".parse().unwrap());
    let script = ScriptId::generate(&clock);
    // Each has what is looked for, but the oldest alone has both.
    let executions = (0..600).map(|n| Execution {
        requested_by: if n % 2 == 0 { "ann" } else { "ben" }.to_owned(),
        ..execution(&clock, (n == 0 || n % 2 == 1).then_some(script))
    });
    let store = store_with(executions.collect()).await;
    let filter = Filter { requested_by: Some("ann".to_owned()), ..Filter::of_script(script) };
    let (mut pages, mut found, mut request) = (0, 0, PageRequest::default());
    loop {
        let page = store
            .look(|view| find::Search::new(view, &filter, clock.now())?.within(100).page(&request));
        let page = page.unwrap();
        (pages, found, request.cursor) = (pages + 1, found + page.items.len(), page.next_cursor);
        if request.cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, 1);
    assert!((6..=13).contains(&pages), "{pages} pages");
    let tired =
        |view: &Snapshot| find::Search::new(view, &filter, clock.now())?.within(100).count();
    assert_eq!(store.look(tired).unwrap(), Count { count: 0, is_exact: false });
    let counted = store.look(|view| count(view, &filter, clock.now())).unwrap();
    assert_eq!(counted, Count { count: 1, is_exact: true });
}

const PEOPLE: [&str; 3] = ["ann", "ben", "Ann"];
const WALLS: [u64; 9] = [0, 999, 1000, 1999, 2000, 4000, 1 << 22, 1 << 40, u64::MAX];

/// Gives an execution a state and what goes with it.
fn enter(execution: &mut Execution, state: State, wall_ms: u64, now: Timestamp) {
    execution.state = state;
    execution.started_at = (state != State::Queued).then_some(now);
    execution.ending = (!state.is_open()).then(|| Ending {
        wall_ms,
        cause: String::new(),
        exit_code: None,
        signal: None,
        cpu_ms: 0,
        peak_memory_bytes: None,
        output_bytes: 0,
    });
}

fn lets_through(filter: &Filter, it: &Execution, now: Timestamp) -> bool {
    let Filter {
        states,
        script,
        job,
        agent,
        requested_by,
        created_from,
        created_until,
        min_wall_ms,
    } = filter;
    let running = it.started_at.filter(|_| it.state == State::Running);
    let running = running.map_or(0, |at| now.duration_since(at).as_millis().unsigned_abs());
    let wall = it.ending.as_ref().map_or(running, |ending| u128::from(ending.wall_ms));
    (states.is_empty() || states.contains(&it.state))
        && script.is_none_or(|script| it.script == Some((script, 1)))
        && job.is_none_or(|job| it.job.is_some_and(|slot| slot.job == job))
        && agent.is_none_or(|agent| it.agent == Some(agent))
        && requested_by.as_ref().is_none_or(|name| it.requested_by == *name)
        && created_from.is_none_or(|from| it.created_at >= from)
        && created_until.is_none_or(|until| it.created_at < until)
        && min_wall_ms.is_none_or(|least| wall >= u128::from(least))
}

/// What an execution begins with: its script, who asked, what it belongs to, and the milliseconds
/// since the one before.
type Begin = (Option<usize>, usize, Belongs, i64);
/// The job and the agent of an execution or a filter.
type Belongs = (Option<usize>, Option<usize>);
/// What a filter names, by places in lists.
type Named =
    (Vec<State>, Option<usize>, Belongs, Option<usize>, Option<usize>, Option<usize>, Option<u64>);

fn begins() -> impl Strategy<Value = Vec<Begin>> {
    prop::collection::vec((option::of(0usize..3), 0usize..3, belongs(), 0i64..3), 1..25)
}

fn belongs() -> impl Strategy<Value = Belongs> {
    (option::weighted(0.4, 0usize..2), option::weighted(0.4, 0usize..2))
}

fn filters() -> impl Strategy<Value = Vec<Named>> {
    let named = (
        prop::collection::vec(select(&State::ALL), 0..3),
        option::of(0usize..3),
        belongs(),
        option::of(0usize..3),
        option::weighted(0.3, 0usize..25),
        option::weighted(0.3, 0usize..25),
        option::weighted(0.3, select(&WALLS)),
    );
    prop::collection::vec(named, 12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happened to executions in whichever order, lists and counts are what going through
    /// all of them would give.
    #[test]
    fn lists_and_counts_are_those_of_going_through_all(
        begins in begins(),
        moves in prop::collection::vec(
            (any::<prop::sample::Index>(), select(&State::ALL), select(&WALLS)), 0..60
        ),
        filters in filters(),
        limit in 1u64..8,
        steps in prop::sample::select(vec![6, 10, 1000]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let clock = TestClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let ids = [(); 3].map(|()| ScriptId::generate(&clock));
        let jobs = [(); 2].map(|()| JobId::generate(&clock));
        let agents = [(); 2].map(|()| AgentId::generate(&clock));
        let mut model = BTreeMap::new();
        for (script, person, (job, agent), later) in begins {
            clock.advance(SignedDuration::from_millis(later));
            let new = Execution {
                requested_by: PEOPLE[person].to_owned(),
                job: job.map(|n| Slot { job: jobs[n], at: clock.now() }),
                agent: agent.map(|n| agents[n]),
                ..execution(&clock, script.map(|n| ids[n]))
            };
            model.insert(new.id, new);
        }
        let store = runtime.block_on(store_with(model.values().cloned().collect()));
        let keys: Vec<_> = model.keys().copied().collect();
        for (index, state, wall_ms) in moves {
            clock.advance(SignedDuration::from_millis(700));
            let execution = model.get_mut(index.get(&keys)).unwrap();
            enter(execution, state, wall_ms, clock.now());
            runtime.block_on(write(&store, vec![execution.clone()]));
        }
        let now = clock.now();
        let counts = store.look(counts).unwrap();
        for state in State::ALL {
            let there = model.values().filter(|it| it.state == state).count();
            prop_assert_eq!(counts.of(state), there as u64);
        }
        for (states, script, (job, agent), person, from, until, min_wall_ms) in filters {
            let at = |n: usize| model[&keys[n % keys.len()]].created_at;
            let filter = Filter {
                states,
                script: script.map(|n| ids[n]),
                job: job.map(|n| jobs[n]),
                agent: agent.map(|n| agents[n]),
                requested_by: person.map(|n| PEOPLE[n].to_owned()),
                created_from: from.map(at),
                created_until: until.map(at),
                min_wall_ms,
            };
            let expected = model.values().rev().filter(|it| lets_through(&filter, it, now));
            let expected: Vec<_> = expected.cloned().collect();
            let counted = store.look(|view| count(view, &filter, now)).unwrap();
            let all_of_it = Count { count: expected.len() as u64, is_exact: true };
            prop_assert_eq!(counted, all_of_it, "{:?}", &filter);
            prop_assert_eq!(all(&store, &filter, now, limit, steps), expected, "{:?}", filter);
        }
    }
}
