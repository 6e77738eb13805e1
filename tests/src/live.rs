//! The two ways of following a log as it is written: server-sent events and a WebSocket.

use futures_util::{SinkExt, StreamExt};
use reqwest::Response;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::{client::Client, host::DEADLINE};

/// One event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What kind it is: `log`, `end`.
    pub kind: String,
    /// Where to go on after it.
    pub id: Option<String>,
    /// Its data.
    pub data: Value,
}

/// A stream of server-sent events, read as slowly as the test asks for them.
#[derive(Debug)]
pub struct Events {
    response: Response,
    unread: Vec<u8>,
}

impl Events {
    /// Follows an execution's log, after the event with the id `last`.
    ///
    /// # Panics
    ///
    /// When that is refused.
    pub async fn follow(client: &Client, id: &str, last: Option<&str>) -> Self {
        Self::at(client, &format!("/api/v1/executions/{id}/log/stream"), last).await
    }

    /// Follows what has the address `path`, after the event with the id `last`.
    ///
    /// # Panics
    ///
    /// When that is refused.
    pub async fn at(client: &Client, path: &str, last: Option<&str>) -> Self {
        Self::try_at(client, path, last).await.unwrap()
    }

    /// As [`at`](Self::at), of a server that may not be there.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    ///
    /// # Panics
    ///
    /// When it refuses.
    pub async fn try_at(client: &Client, path: &str, last: Option<&str>) -> reqwest::Result<Self> {
        let mut request = client.request(reqwest::Method::GET, path);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await?;
        assert_eq!(response.status(), 200);
        let media = response.headers()["content-type"].to_str().unwrap();
        assert_eq!(media.split(';').next(), Some("text/event-stream"));
        Ok(Self { response, unread: Vec::new() })
    }

    /// The next event; `None` at the stream's end.
    ///
    /// # Panics
    ///
    /// When nothing comes.
    pub async fn next(&mut self) -> Option<Event> {
        self.try_next().await.unwrap()
    }

    /// As [`next`](Self::next), of a server that may end.
    ///
    /// # Errors
    ///
    /// When the stream breaks off.
    ///
    /// # Panics
    ///
    /// When nothing comes.
    pub async fn try_next(&mut self) -> reqwest::Result<Option<Event>> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.unread.drain(..end + 2).collect();
                if let Some(event) = parse(std::str::from_utf8(&block).unwrap()) {
                    return Ok(Some(event));
                }
                continue;
            }
            let chunk = tokio::time::timeout(DEADLINE, self.response.chunk()).await;
            let Some(chunk) = chunk.expect("something comes")? else { return Ok(None) };
            self.unread.extend(chunk);
        }
    }
}

/// One block of lines; `None` when it holds comments only.
fn parse(block: &str) -> Option<Event> {
    let mut event = Event { kind: "message".to_owned(), id: None, data: Value::Null };
    let mut data: Vec<&str> = Vec::new();
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut event.kind),
            "id" => event.id = Some(value.to_owned()),
            "data" => data.push(value),
            _ => {}
        }
    }
    if data.is_empty() {
        return None;
    }
    event.data = serde_json::from_str(&data.join("\n")).unwrap();
    Some(event)
}

/// A WebSocket that follows an execution's log.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    /// Opens one with these header fields.
    ///
    /// # Errors
    ///
    /// When the server refuses it, with its answer.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn open(
        client: &Client,
        id: &str,
        fields: &[(&'static str, &str)],
    ) -> Result<Self, Box<tungstenite::Error>> {
        let url = client.url().replacen("http", "ws", 1);
        let url = format!("{url}/api/v1/ws/executions/{id}");
        let mut request = url.into_client_request().unwrap();
        for (name, value) in fields {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let opened = tokio::time::timeout(DEADLINE, connect_async(request)).await;
        let (stream, _) = opened.expect("an answer")?;
        Ok(Self { stream })
    }

    /// Opens one with the client's token in the `Authorization` header.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub async fn follow(client: &Client, id: &str) -> Self {
        let bearer = format!("Bearer {}", client.token());
        Self::open(client, id, &[("authorization", &bearer)]).await.unwrap()
    }

    /// The next message; `None` when the server has closed it.
    ///
    /// # Panics
    ///
    /// When nothing comes.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.stream.next()).await;
            match message.expect("something comes")?.unwrap() {
                Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Message::Close(_) => return None,
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    /// Sends a text.
    ///
    /// # Panics
    ///
    /// When the connection is gone.
    pub async fn send(&mut self, text: &str) {
        let sending = self.stream.send(Message::text(text));
        tokio::time::timeout(DEADLINE, sending).await.unwrap().unwrap();
    }
}
