//! A client of the API, and what it was answered.

use reqwest::{
    Method, RequestBuilder, Response,
    header::{CONTENT_TYPE, HeaderMap},
};
use serde_json::{Value, json};

use crate::host::DEADLINE;

/// The password of every user that tests make.
pub const PASSWORD: &str = "a long enough password";

/// Somebody who sends requests: with a bearer token, or without.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
}

impl Client {
    /// A client of the server at `url` without a token. It follows no redirects.
    ///
    /// # Panics
    ///
    /// When none can be made.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(DEADLINE)
            .redirect(reqwest::redirect::Policy::none());
        Self { http: http.build().unwrap(), url: url.to_owned(), token: None }
    }

    /// The same with a bearer token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same at another address, which a restarted server has.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// Its token.
    ///
    /// # Panics
    ///
    /// When it has none.
    #[must_use]
    pub fn token(&self) -> &str {
        self.token.as_deref().expect("the client has a token")
    }

    /// The server's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Signs in.
    ///
    /// # Panics
    ///
    /// When that is refused.
    pub async fn sign_in(&self, name: &str) -> Self {
        let body = json!({ "username": name, "password": PASSWORD });
        let tokens = self.post("/api/v1/auth/login", body).await.json(200);
        self.with_token(tokens["access_token"].as_str().expect("there is a token"))
    }

    /// A request that may be changed before it is [sent](send).
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends `GET`.
    ///
    /// # Panics
    ///
    /// When nothing is answered.
    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    /// Sends `POST` with a JSON body.
    ///
    /// # Panics
    ///
    /// When nothing is answered.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        send(self.request(Method::POST, path).json(&body)).await
    }

    /// Sends `POST` without a body.
    ///
    /// # Panics
    ///
    /// When nothing is answered.
    pub async fn post_nothing(&self, path: &str) -> Answer {
        send(self.request(Method::POST, path)).await
    }

    /// Sends `DELETE`.
    ///
    /// # Panics
    ///
    /// When nothing is answered.
    pub async fn delete(&self, path: &str) -> Answer {
        send(self.request(Method::DELETE, path)).await
    }

    /// Runs bash code, waiting for its end: the execution with its output.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub async fn run(&self, source: &str) -> Value {
        let body = json!({ "language": "bash", "source": source });
        self.post("/api/v1/executions?wait=60", body).await.json(200)
    }

    /// Submits bash code without waiting: the execution's id.
    ///
    /// # Panics
    ///
    /// When it is not accepted.
    pub async fn submit(&self, source: &str) -> String {
        let body = json!({ "language": "bash", "source": source });
        let execution = self.post("/api/v1/executions", body).await.json(202);
        execution["id"].as_str().expect("an execution has an id").to_owned()
    }

    /// Asks for an execution until `condition` holds.
    ///
    /// # Panics
    ///
    /// When it does not within [`DEADLINE`].
    pub async fn execution(&self, id: &str, condition: impl Fn(&Value) -> bool) -> Value {
        self.until(&format!("/api/v1/executions/{id}"), condition).await
    }

    /// Asks for what is at a path until `condition` holds.
    ///
    /// # Panics
    ///
    /// When it does not within [`DEADLINE`].
    pub async fn until(&self, path: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let found = self.get(path).await.json(200);
            if condition(&found) {
                return found;
            }
            assert!(tokio::time::Instant::now() < deadline, "it stays so: {found:#}");
            tokio::time::sleep(crate::host::PAUSE).await;
        }
    }

    /// Waits for an execution's end.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub async fn ended(&self, id: &str) -> Value {
        self.execution(id, |execution| !execution["finished_at"].is_null()).await
    }

    /// Waits until a line of an execution's log is there.
    ///
    /// # Panics
    ///
    /// When it does not come.
    pub async fn logged(&self, id: &str, text: &str) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let log = self.get(&format!("/api/v1/executions/{id}/log")).await.json(200);
            if texts(&log).contains(&text) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "it stays so: {log:#}");
            tokio::time::sleep(crate::host::PAUSE).await;
        }
    }
}

/// The texts of the lines of a window of a log.
///
/// # Panics
///
/// When this is none.
#[must_use]
pub fn texts(window: &Value) -> Vec<&str> {
    let lines = window["lines"].as_array().expect("a window has lines");
    lines.iter().map(|line| line["text"].as_str().expect("a line has a text")).collect()
}

/// Sends a request and reads its answer to the end.
///
/// # Panics
///
/// When nothing is answered.
pub async fn send(request: RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let asked = format!("{} {}", request.method(), request.url().path());
    let response = client.execute(request).await;
    Answer::read(&asked, response.unwrap_or_else(|error| panic!("{asked}: {error:?}"))).await
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The request's method and path.
    pub asked: String,
    /// The status.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Answer {
    async fn read(asked: &str, response: Response) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.bytes().await;
        let body = body.unwrap_or_else(|error| panic!("{asked}: {error:?}")).to_vec();
        Self { asked: asked.to_owned(), status, headers, body }
    }

    /// A header field, empty when there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap_or("not text")).unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Asserts the status.
    ///
    /// # Panics
    ///
    /// When it is another.
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "an assertion; the rest is for chains")]
    pub fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text());
        self
    }

    /// Asserts the status and that the body is JSON: its value.
    ///
    /// # Panics
    ///
    /// When one of them is not so.
    #[track_caller]
    #[must_use]
    pub fn json(&self, status: u16) -> Value {
        self.is(status);
        let media = self.header(CONTENT_TYPE.as_str());
        assert_eq!(media.split(';').next(), Some("application/json"), "{}", self.asked);
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Asserts that this is a problem document of RFC 9457 with this status: its value.
    ///
    /// # Panics
    ///
    /// When it is none.
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "an assertion; the document is for more of them")]
    pub fn problem(&self, status: u16) -> Value {
        self.is(status);
        assert_problem(self)
    }
}

/// Asserts that an answer is a problem document that tells of its own status.
///
/// # Panics
///
/// When it is none.
#[track_caller]
pub fn assert_problem(answer: &Answer) -> Value {
    let asked = &answer.asked;
    let media = answer.header(CONTENT_TYPE.as_str());
    assert_eq!(media, "application/problem+json", "{asked}: {}", answer.text());
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem["status"], answer.status, "{asked}: {problem:#}");
    for member in ["type", "title"] {
        let text = problem[member].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{asked} without {member}: {problem:#}");
    }
    assert!(problem["detail"].is_string() || problem.get("detail").is_none(), "{asked}");
    for error in problem["errors"].as_array().into_iter().flatten() {
        assert!(error["field"].is_string() && error["reason"].is_string(), "{asked}: {problem:#}");
    }
    if answer.status >= 500 {
        assert!(problem["error_id"].is_string(), "{asked}: {problem:#}");
    }
    problem
}
