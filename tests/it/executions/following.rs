//! Logs from before the start to after the end, however slow the reader.

use automa_core::execution::log::Line;

use super::*;

/// A script that writes as many lines as fast as it can.
fn many_lines(count: u32) -> NewExecution {
    code(&format!("for ((i = 1; i <= {count}; i++)); do echo $i; done"))
}

/// Follows to the end, from line `from` on; `each` is told of each window.
async fn follow(
    automa: &Automa,
    id: ExecutionId,
    mut from: u64,
    mut each: impl AsyncFnMut(&[Line]),
) -> Vec<Line> {
    let mut follow = automa.executions(&me()).follow(id).unwrap();
    let mut lines: Vec<Line> = Vec::new();
    while let Some(window) = follow.next(from).await.unwrap() {
        assert_eq!(window.lines[0].n, from);
        each(&window.lines).await;
        from = window.next;
        lines.extend(window.lines);
    }
    assert!(!automa.executions(&me()).get(id).unwrap().state.is_open(), "it has ended by then");
    lines
}

fn assert_numbered(lines: &[Line], from: u32, to: u32) {
    let texts: Vec<_> = lines.iter().map(|line| line.text.clone()).collect();
    assert_eq!(texts, (from..=to).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_follower_sees_everything_whenever_it_comes() {
    block_on(async {
        let dir = public_dir();
        let automa = start(dir.path(), 1).await;
        let me = me();
        let executions = automa.executions(&me);
        let blocker =
            executions.submit(code("trap exit TERM; sleep 1000 & wait")).await.unwrap().id;
        let id = executions.submit(many_lines(5000)).await.unwrap().id;
        assert_eq!(executions.get(id).unwrap().state, State::Queued);
        assert!(executions.log(id).unwrap().lines(1, 10).unwrap().lines.is_empty());
        let cancel = async {
            reached(&automa, blocker, State::Running).await;
            executions.cancel(blocker).await.unwrap();
        };
        // One from before the start, one that starts with a later line, one that waits for its end.
        let (early, late, after, ()) = tokio::join!(
            follow(&automa, id, 1, async |_| ()),
            follow(&automa, id, 4000, async |_| ()),
            async {
                ended(&automa, id).await;
                follow(&automa, id, 1, async |_| ()).await
            },
            cancel,
        );
        assert_numbered(&early, 1, 5000);
        assert_numbered(&late, 4000, 5000);
        assert_eq!(after, early);
        assert!(follow(&automa, id, 5001, async |_| ()).await.is_empty());
        automa.close().await;
    });
}

#[test]
fn a_slow_follower_loses_nothing_and_slows_nobody() {
    block_on(async {
        let dir = public_dir();
        let automa = start(dir.path(), 1).await;
        let id = automa.executions(&me()).submit(many_lines(5000)).await.unwrap().id;
        // It takes the first window and then none until the execution has ended.
        let mut first = true;
        let lines = follow(&automa, id, 1, async |_| {
            if std::mem::take(&mut first) {
                ended(&automa, id).await;
            }
        });
        assert_numbered(&lines.await, 1, 5000);
        automa.close().await;
    });
}

#[test]
fn a_follower_comes_back_at_any_line() {
    block_on(async {
        let dir = public_dir();
        let automa = start(dir.path(), 1).await;
        let me = me();
        let executions = automa.executions(&me);
        let source = "for i in {1..200}; do echo $i; sleep 0.001; done";
        let id = executions.submit(code(source)).await.unwrap().id;
        let mut lines: Vec<Line> = Vec::new();
        loop {
            // A new one for each window, as if the connection broke each time.
            let mut follow = executions.follow(id).unwrap();
            let from = lines.len() as u64 + 1;
            // Dropped while it waits: nothing is lost by that.
            let waiting = tokio::time::timeout(Duration::ZERO, follow.next(from)).await;
            let window = match waiting {
                Ok(window) => window,
                Err(_) => follow.next(from).await,
            };
            let Some(window) = window.unwrap() else { break };
            lines.extend(window.lines);
        }
        assert_numbered(&lines, 1, 200);
        automa.close().await;
    });
}

#[test]
fn short_ones_are_followed_to_their_end_too() {
    block_on(async {
        let dir = public_dir();
        let automa = start(dir.path(), 2).await;
        let me = me();
        let executions = automa.executions(&me);
        // The start and the end fall anywhere between the looks of the follower.
        for turn in 0..40 {
            let source = ["echo hello", ":"][turn % 2];
            let id = executions.submit(code(source)).await.unwrap().id;
            for _ in 0..turn / 4 {
                tokio::task::yield_now().await;
            }
            let lines = follow(&automa, id, 1, async |_| ()).await;
            let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
            assert_eq!(texts, if turn % 2 == 0 { vec!["hello"] } else { vec![] });
        }
        automa.close().await;
    });
}

#[test]
fn what_was_cancelled_before_its_start_has_no_lines() {
    block_on(async {
        let dir = public_dir();
        let automa = start(dir.path(), 1).await;
        let me = me();
        let executions = automa.executions(&me);
        let blocker =
            executions.submit(code("trap exit TERM; sleep 1000 & wait")).await.unwrap().id;
        let id = executions.submit(code("echo never")).await.unwrap().id;
        let (lines, ()) = tokio::join!(follow(&automa, id, 1, async |_| ()), async {
            executions.cancel(id).await.unwrap();
        });
        assert!(lines.is_empty());
        let log = executions.log(id).unwrap();
        assert_eq!((log.total(), log.summary().is_some()), (0, true));
        reached(&automa, blocker, State::Running).await;
        executions.cancel(blocker).await.unwrap();
        automa.close().await;
        let closed = executions.follow(id).unwrap_err();
        assert!(matches!(closed, Error::Store(_)), "{closed}");
    });
}
