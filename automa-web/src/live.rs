//! What is sent while it happens: the log of an execution and its end.

mod socket;

use automa_core::{
    Automa,
    actor::{Actor, Origin},
    event::Event,
    execution::{Execution, Follow, log::Window},
    id::{ExecutionId, SessionId},
};
use futures_util::{Stream, StreamExt as _, stream};

pub(crate) use self::socket::execution_socket;
use crate::{auth::Caller, lifecycle::Stop, problem::Problem};

/// Something that happened to an execution that is followed.
#[derive(Debug)]
pub(crate) enum LogEvent {
    /// More lines.
    Lines(Window),
    /// There will be no more lines.
    End(Box<Execution>),
}

/// Where following has come.
struct Following {
    automa: Automa,
    actor: Actor,
    id: ExecutionId,
    follow: Follow,
    next: u64,
}

/// Follows an execution's log from line `from` on, to its end, the caller's session's or the server's.
///
/// # Errors
///
/// As [`automa_core::execution::Executions::follow`]. A log that cannot be read later ends the
/// stream without an end event, so that whoever follows tries again.
pub(crate) fn follow(
    automa: &Automa,
    caller: &Caller,
    id: ExecutionId,
    from: u64,
    stop: Stop,
) -> Result<impl Stream<Item = LogEvent> + Send + 'static, Problem> {
    let actor = caller.actor.clone();
    let over = signed_out(automa.clone(), caller.session);
    let follow = automa.executions(&actor).follow(id)?;
    let following = Following { automa: automa.clone(), actor, id, follow, next: from.max(1) };
    let events = stream::unfold(Some(following), |following| async move {
        let mut following = following?;
        match following.follow.next(following.next).await {
            Ok(Some(window)) => {
                following.next = window.next;
                Some((LogEvent::Lines(window), Some(following)))
            }
            Ok(None) => {
                let Following { automa, actor, id, .. } = following;
                let execution = automa.executions(&actor).get(id).ok()?;
                Some((LogEvent::End(Box::new(execution)), None))
            }
            Err(error) => {
                tracing::warn!(id = %following.id, %error, "a log cannot be followed");
                None
            }
        }
    });
    Ok(events.take_until(async move {
        tokio::select! {
            () = stop.told() => {}
            () = over => {}
        }
    }))
}

/// Waits for the end of a session.
async fn signed_out(automa: Automa, session: SessionId) {
    let mut events = automa.events();
    let is_over = || automa.sessions().resume(session, Origin::Api).is_err();
    while let Some(event) = events.next().await {
        match event {
            Event::SessionEnded(ended) if ended == session => return,
            Event::Missed(_) if is_over() => return,
            _ => {}
        }
    }
}
