//! What is sent while it happens: the log of an execution and its end.

mod socket;

use automa_core::{
    Automa,
    actor::Actor,
    execution::{Execution, Follow, log::Window},
    id::ExecutionId,
};
use futures_util::{Stream, StreamExt as _, stream};

pub(crate) use self::socket::execution_socket;
use crate::{lifecycle::Stop, problem::Problem};

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

/// Follows an execution's log from line `from` on, to its end or the server's.
///
/// # Errors
///
/// As [`automa_core::execution::Executions::follow`]. A log that cannot be read later ends the
/// stream without an end event, so that whoever follows tries again.
pub(crate) fn follow(
    automa: &Automa,
    actor: Actor,
    id: ExecutionId,
    from: u64,
    stop: Stop,
) -> Result<impl Stream<Item = LogEvent> + Send + 'static, Problem> {
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
    Ok(events.take_until(async move { stop.told().await }))
}
