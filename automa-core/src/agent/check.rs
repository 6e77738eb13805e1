//! How an agent is seen to be ready, and to work: by what it writes, or by what it answers to a
//! request.

use std::{io, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::{error::FieldError, execution::Console};

/// Most milliseconds that anything is waited for: a day.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Most bytes of a text or a path.
const TEXT_MAX: usize = 200;
/// Most bytes of an answer's first line.
const STATUS_MAX: u64 = 1024;

/// How an agent says that it is ready: in one of two ways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// By this text in a line of its output, on stdout or stderr: 1 to 200 bytes.
    pub output: Option<String>,
    /// By an answer to this request, which is made again and again.
    pub http: Option<Http>,
    /// Within this time, in milliseconds, or it is ended and has failed: 100 to a day.
    pub timeout_ms: u64,
}

/// How an agent is seen to work: in one of two ways, or in both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// It writes something at least this often, in milliseconds: 100 to a day.
    pub output_within_ms: Option<u64>,
    /// It answers this request …
    pub http: Option<Http>,
    /// … which is made this often, in milliseconds: 1 second to a day …
    pub every_ms: u64,
    /// … and of which it does not miss so many in a row: 1 to 100.
    pub failures: u32,
}

/// A `GET` request to the agent itself, on its own loopback interface. What has a status of 2xx is
/// an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http {
    /// The port, at 127.0.0.1 or `[::1]`.
    pub port: u16,
    /// The path: `/health`.
    pub path: String,
    /// How long the answer may take, in milliseconds: 1 to 60,000.
    pub timeout_ms: u64,
}

impl Ready {
    /// Names what is out of its bounds.
    pub(super) fn check(&self, errors: &mut Vec<FieldError>) {
        if self.output.is_some() == self.http.is_some() {
            let reason = "must have one of `output` and `http`";
            errors.push(FieldError::new("ready", reason));
        }
        if let Some(text) = &self.output
            && (text.chars().any(char::is_control)
                || text.trim().is_empty()
                || text.len() > TEXT_MAX)
        {
            let reason = "must be one line of 1 to 200 bytes";
            errors.push(FieldError::new("ready.output", reason));
        }
        if let Some(http) = &self.http {
            http.check("ready", errors);
        }
        within(errors, "ready.timeout_ms", self.timeout_ms, (100, DAY_MS));
    }
}

impl Alive {
    /// Names what is out of its bounds.
    pub(super) fn check(&self, errors: &mut Vec<FieldError>) {
        if self.output_within_ms.is_none() && self.http.is_none() {
            let reason = "must have `output_within_ms` or `http`, or both";
            errors.push(FieldError::new("alive", reason));
        }
        if let Some(time) = self.output_within_ms {
            within(errors, "alive.output_within_ms", time, (100, DAY_MS));
        }
        if let Some(http) = &self.http {
            http.check("alive", errors);
        }
        within(errors, "alive.every_ms", self.every_ms, (1000, DAY_MS));
        within(errors, "alive.failures", self.failures.into(), (1, 100));
    }
}

impl Http {
    fn check(&self, of: &str, errors: &mut Vec<FieldError>) {
        if self.port == 0 {
            let reason = "must be 1 to 65535";
            errors.push(FieldError::new(format!("{of}.http.port"), reason));
        }
        let path = &self.path;
        let visible = path.bytes().all(|byte| byte.is_ascii_graphic());
        if !path.starts_with('/') || !visible || path.len() > TEXT_MAX {
            let reason = "must begin with a slash and have at most 200 visible ASCII characters";
            errors.push(FieldError::new(format!("{of}.http.path"), reason));
        }
        if !(1..=60_000).contains(&self.timeout_ms) {
            let reason = "must be 1 to 60000, a minute";
            errors.push(FieldError::new(format!("{of}.http.timeout_ms"), reason));
        }
    }

    /// Makes the request; why there was no answer, if there was none.
    pub(super) async fn ask(&self, console: &Console) -> Result<(), String> {
        let answered = timeout(Duration::from_millis(self.timeout_ms), self.status(console)).await;
        let status = match answered {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(format!("no answer within {} ms", self.timeout_ms)),
        };
        match status_code(&status) {
            Some(200..=299) => Ok(()),
            Some(code) => Err(format!("status {code}")),
            None => Err("no answer of HTTP".to_owned()),
        }
    }

    /// The first line of the answer (RFC 9112, 4).
    async fn status(&self, console: &Console) -> io::Result<Vec<u8>> {
        let mut stream = console.connect_to(self.port).await?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: localhost:{}\r\nUser-Agent: automa\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n",
            self.path, self.port
        );
        stream.write_all(request.as_bytes()).await?;
        let (mut line, mut rest) = (Vec::new(), stream.take(STATUS_MAX));
        while !line.contains(&b'\n') && rest.read_buf(&mut line).await? > 0 {}
        Ok(line)
    }
}

/// The code of an answer's first line.
fn status_code(line: &[u8]) -> Option<u16> {
    let line = line.split(|&byte| byte == b'\r' || byte == b'\n').next()?;
    let mut parts = std::str::from_utf8(line).ok()?.split(' ');
    let version = parts.next()?;
    let code = parts.next()?;
    (version.starts_with("HTTP/1.") && code.len() == 3).then(|| code.parse().ok()).flatten()
}

fn within(
    errors: &mut Vec<FieldError>,
    field: &'static str,
    value: u64,
    (least, most): (u64, u64),
) {
    if !(least..=most).contains(&value) {
        errors.push(FieldError::new(field, format!("must be {least} to {most}")));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn http(path: &str) -> Http {
        Http { port: 80, path: path.to_owned(), timeout_ms: 1000 }
    }

    fn fields(check: impl Fn(&mut Vec<FieldError>)) -> Vec<String> {
        let mut errors = Vec::new();
        check(&mut errors);
        errors.into_iter().map(|error| error.field.into_owned()).collect()
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        let ready = |output: Option<&str>, http| {
            let ready = Ready { output: output.map(Into::into), http, timeout_ms: 1000 };
            fields(|errors| ready.check(errors))
        };
        assert!(ready(Some("listening"), None).is_empty());
        assert!(ready(None, Some(http("/health?deep=1"))).is_empty());
        assert_eq!(ready(None, None), ["ready"]);
        assert_eq!(ready(Some("x"), Some(http("/"))), ["ready"]);
        assert_eq!(ready(Some("two\nlines"), None), ["ready.output"]);
        for path in ["", "x", "/ x", "/\r\nX: y", "/é"] {
            assert_eq!(ready(None, Some(http(path))), ["ready.http.path"], "{path:?}");
        }
        let port = Http { port: 0, timeout_ms: 0, ..http("/") };
        assert_eq!(ready(None, Some(port)), ["ready.http.port", "ready.http.timeout_ms"]);
        let alive = |output_within_ms, every_ms, failures| {
            let alive = Alive { output_within_ms, http: None, every_ms, failures };
            fields(|errors| alive.check(errors))
        };
        assert!(alive(Some(1000), 1000, 1).is_empty());
        assert_eq!(alive(None, 0, 0), ["alive", "alive.every_ms", "alive.failures"]);
        assert_eq!(alive(Some(99), 1000, 1), ["alive.output_within_ms"]);
    }

    #[test]
    fn the_code_of_an_answer_is_found() {
        for (line, code) in [
            ("HTTP/1.1 200 OK\r\n", Some(200)),
            ("HTTP/1.0 503\r\nX: y", Some(503)),
            ("HTTP/2 200", None),
            ("SSH-2.0-x", None),
            ("HTTP/1.1 20", None),
            ("", None),
        ] {
            assert_eq!(status_code(line.as_bytes()), code, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(line: Vec<u8>) {
            let _ = status_code(&line);
        }
    }
}
