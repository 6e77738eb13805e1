//! One connection to a server, kept alive.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, client::conn::http1::SendRequest,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinSet};

/// A client that sends one request after the other.
pub(super) struct Client {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
    /// The header field that says who asks.
    credential: Option<(&'static str, String)>,
    /// Moves the bytes; ends with the client.
    _connection: JoinSet<()>,
}

impl Client {
    /// A program, with its token if it has one.
    pub(super) async fn connect(address: SocketAddr, token: Option<&str>) -> Result<Self, String> {
        Self::open(address, token.map(|token| ("authorization", format!("Bearer {token}")))).await
    }

    /// A browser whose user is signed in.
    pub(super) async fn of_page(address: SocketAddr, token: &str) -> Result<Self, String> {
        Self::open(address, Some(("cookie", format!("automa_access={token}")))).await
    }

    async fn open(
        address: SocketAddr,
        credential: Option<(&'static str, String)>,
    ) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        let mut moving = JoinSet::new();
        moving.spawn(async move {
            // What goes wrong is reported to the request that suffers from it.
            let _ = connection.await;
        });
        Ok(Self { sender, address, credential, _connection: moving })
    }

    /// Sends a request; the answer's body is still to come.
    pub(super) async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Bytes>,
    ) -> Result<Response<Incoming>, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{path}: {error}");
        let mut request =
            Request::builder().method(method).uri(path).header("host", self.address.to_string());
        if let Some((name, value)) = &self.credential {
            request = request.header(*name, value);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::new(body.cloned().unwrap_or_default()));
        let request = request.map_err(|error| failed(&error))?;
        self.sender.ready().await.map_err(|error| failed(&error))?;
        self.sender.send_request(request).await.map_err(|error| failed(&error))
    }

    /// Sends a request and reads its answer, which has to have this status.
    pub(super) async fn answer(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Bytes>,
        expected: StatusCode,
    ) -> Result<Bytes, String> {
        let answer = self.send(method, path, body).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| error.to_string())?;
        let body = body.to_bytes();
        if status == expected {
            return Ok(body);
        }
        Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&body)))
    }

    /// Sends JSON and reads JSON, with this status.
    pub(super) async fn post(
        &mut self,
        path: &str,
        body: &Value,
        expected: StatusCode,
    ) -> Result<Value, String> {
        let body = Bytes::from(body.to_string());
        let answer = self.answer(Method::POST, path, Some(&body), expected).await?;
        serde_json::from_slice(&answer).map_err(|error| format!("{path}: {error}"))
    }
}
