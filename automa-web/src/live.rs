//! Logs of executions as they are sent: line by line while they are written, or whole.

mod socket;

use std::{
    io::{self, Write as _},
    mem,
    ops::{Range, RangeInclusive},
};

use automa_core::{
    Automa, Error,
    actor::{Actor, Origin},
    event::Event,
    execution::{
        Execution, Follow, ResultValue,
        log::{Cut, Ending, LogReader, Window},
    },
    id::ExecutionId,
};
use automa_sandbox::Stream as Stdio;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};

pub(crate) use self::socket::execution_socket;
use crate::{
    auth::{By, Caller},
    blocking,
    filters::grouped,
    lifecycle::Stop,
    problem::Problem,
    range,
};

/// Something that happened to an execution that is followed.
#[derive(Debug)]
pub(crate) enum LogEvent {
    /// More lines.
    Lines(Window),
    /// There will be no more lines; what its script has left as its result.
    End(Box<Execution>, Option<ResultValue>),
}

/// Where following has come.
struct Following {
    automa: Automa,
    actor: Actor,
    id: ExecutionId,
    follow: Follow,
    next: u64,
    /// The only stream that is wanted.
    only: Option<Stdio>,
}

/// Follows the log of an execution's last attempt, or of another, from line `from` on, to its end, the
/// caller's session's or the server's;
/// or only those lines of it that were written to one stream.
///
/// # Errors
///
/// As [`automa_core::execution::Executions::follow`]. A log that cannot be read later ends the
/// stream without an end event, so that whoever follows tries again.
pub(crate) fn follow(
    automa: &Automa,
    caller: &Caller,
    (id, attempt): (ExecutionId, Option<u32>),
    (from, only): (u64, Option<Stdio>),
    stop: Stop,
) -> Result<impl Stream<Item = LogEvent> + Send + 'static, Problem> {
    let actor = caller.actor.clone();
    let over = signed_out(automa.clone(), caller.by);
    let follow = automa.executions(&actor).follow((id, attempt))?;
    let (automa, next) = (automa.clone(), from.max(1));
    let following = Following { automa, actor, id, follow, next, only };
    let events = stream::unfold(Some(following), |following| async move {
        let mut following = following?;
        match following.window().await {
            Ok(Some(window)) => Some((LogEvent::Lines(window), Some(following))),
            Ok(None) => {
                let Following { automa, actor, id, .. } = following;
                let executions = automa.executions(&actor);
                let (execution, result) = (executions.get(id).ok()?, executions.result(id).ok()?);
                Some((LogEvent::End(Box::new(execution), result), None))
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

impl Following {
    /// The next lines that are wanted.
    async fn window(&mut self) -> Result<Option<Window>, Error> {
        while let Some(mut window) = self.follow.next(self.next).await? {
            self.next = window.next;
            if let Some(only) = self.only {
                window.lines.retain(|line| line.stream == only);
            }
            if !window.lines.is_empty() {
                return Ok(Some(window));
            }
        }
        Ok(None)
    }
}

/// Some of the bytes that a log has, in pieces. None of them may have been cut.
pub(crate) fn raw(
    log: LogReader,
    range: Range<u64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    range::pieces(range, move |range| log.raw(range).map_err(io::Error::other))
}

/// All bytes that a log has now, in pieces, with a line in the place of what was cut.
pub(crate) fn text(
    log: &LogReader,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static + use<> {
    let log = log.frozen();
    let (len, cut) = (log.raw_len(), log.cut());
    let head = raw(log.clone(), 0..cut.map_or(len, |cut| cut.from));
    let note = cut.map(|cut| Ok(Bytes::from(format!("[… {} …]\n", missing(cut)))));
    let tail = raw(log, cut.map_or(len, |cut| cut.to)..len);
    head.chain(stream::iter(note)).chain(tail)
}

/// Some lines of a log as text, as they are now.
pub(crate) fn lines(
    log: &LogReader,
    lines: RangeInclusive<u64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static + use<> {
    let log = log.frozen();
    let last = *lines.end();
    stream::try_unfold(*lines.start(), move |from| {
        let log = log.clone();
        async move {
            let most = usize::try_from(last.saturating_sub(from).saturating_add(1));
            let read = move || log.lines(from, most.unwrap_or(usize::MAX));
            let window = blocking::run(read).await.map_err(io::Error::other)?;
            let window = window.map_err(io::Error::other)?;
            let mut text = String::new();
            for line in window.lines.iter().filter(|line| line.n <= last) {
                text.push_str(&line.text);
                if line.ending == Ending::Newline {
                    text.push('\n');
                }
            }
            let over = from > last || window.lines.is_empty();
            Ok::<_, io::Error>((!over).then_some((text.into(), window.next)))
        }
    })
}

/// What was cut, in words.
pub(crate) fn missing(cut: Cut) -> String {
    let (lines, bytes) = (grouped(cut.lines()), grouped(cut.bytes()));
    format!("{lines} lines of {bytes} bytes were not kept")
}

/// The same, compressed (RFC 1952).
pub(crate) fn gzip(
    log: &LogReader,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static + use<> {
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let begin = (Box::pin(text(log)), encoder);
    stream::try_unfold(Some(begin), |state| async move {
        let Some((mut pieces, mut encoder)) = state else { return Ok(None) };
        let Some(piece) = pieces.try_next().await? else {
            return Ok(Some((encoder.finish()?.into(), None)));
        };
        let compress = move || {
            encoder.write_all(&piece)?;
            Ok::<_, io::Error>((mem::take(encoder.get_mut()), encoder))
        };
        let (bytes, encoder) = blocking::run(compress).await.map_err(io::Error::other)??;
        Ok(Some((bytes.into(), Some((pieces, encoder)))))
    })
}

/// Waits for the end of a session, or of what an API key is good for.
async fn signed_out(automa: Automa, by: By) {
    let mut events = automa.events();
    let is_over = || match by {
        By::Session(session) => automa.sessions().resume(session, Origin::Api).is_err(),
        By::Key(key) => !automa.keyring().is_good(key).unwrap_or(false),
    };
    // It may have ended since whoever follows was let in.
    if is_over() {
        return;
    }
    while let Some(event) = events.next().await {
        match event {
            Event::SessionEnded(ended) if by == By::Session(ended) => return,
            Event::ApiKeyChanged(changed) if by == By::Key(changed) && is_over() => return,
            Event::Missed(_) if is_over() => return,
            _ => {}
        }
    }
}
