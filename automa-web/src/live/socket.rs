//! An execution over a WebSocket (RFC 6455): its log line by line, and its end.

use automa_core::{Automa, id::ExecutionId};
use automa_sandbox::Stream;
use futures_util::{SinkExt as _, StreamExt as _};
use poem::{
    FromRequest as _, IntoResponse as _, Request, Response, handler,
    http::{StatusCode, header},
    web::{
        Data,
        websocket::{CloseCode, Message, WebSocket, WebSocketStream},
    },
};
use serde::Serialize;

use super::{LogEvent, follow};
use crate::{
    api::{Execution, LogWindow},
    auth::Caller,
    lifecycle::Stop,
    problem::Problem,
};

/// Where a browser's script puts a token, as it cannot set headers: `bearer.TOKEN`.
const PROTOCOL_PREFIX: &str = "bearer.";

/// Follows an execution: `{"type":"log",…}` for lines, `{"type":"end",…}` at last.
#[handler]
pub(crate) async fn execution_socket(
    request: &Request,
    Data(automa): Data<&Automa>,
    Data(stop): Data<&Stop>,
) -> poem::Result<Response> {
    let (caller, protocol) = caller(request)?;
    caller.count_call(request)?;
    let id: String = request.path_params()?;
    let id: ExecutionId = id.parse().map_err(|_| {
        Problem::of_status(StatusCode::NOT_FOUND).detail(&format!("there is no execution `{id}`"))
    })?;
    let query = request.uri().query().unwrap_or_default();
    let (from, only) = (line_of(query).unwrap_or(1), stream_of(query)?);
    let events = follow(automa, &caller, (id, attempt_of(query)), (from, only), stop.clone())?;
    let socket = WebSocket::from_request_without_body(request).await?;
    let socket = match protocol {
        Some(protocol) => socket.protocols([protocol]),
        None => socket,
    };
    Ok(socket.on_upgrade(move |socket| relay(socket, events)).into_response())
}

/// Who opens the socket, and the subprotocol that said so, which is to be confirmed.
fn caller(request: &Request) -> Result<(Caller, Option<String>), Problem> {
    let protocols = request.header(header::SEC_WEBSOCKET_PROTOCOL).unwrap_or_default();
    let named = protocols.split(',').map(str::trim).find(|it| it.starts_with(PROTOCOL_PREFIX));
    match named {
        Some(protocol) if request.header(header::AUTHORIZATION).is_none() => {
            let token = &protocol[PROTOCOL_PREFIX.len()..];
            Ok((Caller::of_bearer(request, token)?, Some(protocol.to_owned())))
        }
        _ => Ok((Caller::of_api(request)?, None)),
    }
}

/// `from` of a query.
fn line_of(query: &str) -> Option<u64> {
    query.split('&').find_map(|part| part.strip_prefix("from=")?.parse().ok())
}

/// `attempt` of a query.
fn attempt_of(query: &str) -> Option<u32> {
    query.split('&').find_map(|part| part.strip_prefix("attempt=")?.parse().ok())
}

/// `stream` of a query.
fn stream_of(query: &str) -> Result<Option<Stream>, Problem> {
    match query.split('&').find_map(|part| part.strip_prefix("stream=")) {
        None => Ok(None),
        Some("stdout") => Ok(Some(Stream::Stdout)),
        Some("stderr") => Ok(Some(Stream::Stderr)),
        Some(_) => Err(Problem::invalid_field("stream", "must be one of stdout, stderr")),
    }
}

/// Sends events until the last one, or until the other side is gone.
async fn relay(
    socket: WebSocketStream,
    events: impl futures_util::Stream<Item = LogEvent> + Send + 'static,
) {
    let (mut to, mut from) = socket.split();
    let mut events = std::pin::pin!(events);
    let code = loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => {
                    let ended = matches!(event, LogEvent::End(..));
                    if to.send(Message::text(message(event))).await.is_err() {
                        return;
                    }
                    if ended {
                        break CloseCode::Normal;
                    }
                }
                // The server ends, or the log cannot be read: to be tried again.
                None => break CloseCode::Away,
            },
            // Pings are answered by the library; nothing else is expected.
            received = from.next() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    };
    // Whoever is gone needs no farewell.
    let _ = to.send(Message::Close(Some((code, String::new())))).await;
    let _ = to.close().await;
}

/// A message of the socket: the document with its kind.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Frame {
    Log(LogWindow),
    End(Box<Execution>),
}

fn message(event: LogEvent) -> String {
    let frame = match event {
        LogEvent::Lines(window) => Frame::Log(window.into()),
        LogEvent::End(execution, result) => {
            Frame::End(Box::new(Execution::from(*execution).with_result(result)))
        }
    };
    // There is nothing in it that could not be written.
    serde_json::to_string(&frame).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_tells_the_first_line() {
        assert_eq!(line_of("from=12"), Some(12));
        assert_eq!(line_of("a=b&from=3"), Some(3));
        assert_eq!(line_of("from=x"), None);
        assert_eq!(line_of(""), None);
    }

    #[test]
    fn a_query_tells_the_stream() {
        assert!(matches!(stream_of("from=1&stream=stderr"), Ok(Some(Stream::Stderr))));
        assert!(matches!(stream_of("from=1"), Ok(None)));
        assert!(stream_of("stream=both").is_err());
    }
}
