//! Artifacts: the files that executions have left, listed and downloaded.

use std::{fmt::Write as _, ops::Range};

use automa_core::{
    Automa,
    actor::Actor,
    execution::{self, Content},
    id::ExecutionId,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use poem::{
    Body, Request,
    http::header,
    web::{
        Data,
        headers::{ETag, HeaderMapExt as _, IfNoneMatch, IfRange, Range as Ranges},
    },
};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::Path,
    payload::{Binary, Response},
};
use serde::Serialize;

use super::{Tag, document::Document, wire::Text};
use crate::{auth::Auth, blocking, problem::Problem, range};

/// Nothing of a download is run or shown, whatever a browser makes of it.
const INERT: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

/// A file that a script has left in `$AUTOMA_OUT`.
#[derive(Debug, Object, Serialize)]
struct Artifact {
    /// From 1 up, in the order of names.
    number: u32,
    /// Where it lay: parts separated by `/`. The script chose it.
    name: String,
    /// Its bytes.
    size: u64,
    /// What its name says that it is. Downloads are always `application/octet-stream`.
    media_type: String,
    /// SHA-256 of its content, in hexadecimal.
    sha256: String,
}

/// Something that a script has left and that was not kept.
#[derive(Debug, Object, Serialize)]
struct LeftOut {
    /// Its name, made printable.
    name: String,
    /// Why: "a symbolic link", "over the limit on bytes".
    reason: String,
}

/// All that an execution has left as files.
#[derive(Debug, Object, Serialize)]
struct Artifacts {
    items: Vec<Artifact>,
    /// What was left out, at most 100 of it.
    left_out: Vec<LeftOut>,
    /// How many were left out.
    left_out_count: u64,
    /// Whether everything that the script left was looked at.
    complete: bool,
}

/// A download.
#[derive(ApiResponse)]
pub(crate) enum Download {
    /// The whole file
    #[oai(status = 200)]
    Whole(
        Binary<Body>,
        /// The hash of its content, by which it is known again.
        #[oai(header = "ETag")]
        String,
    ),
    /// The bytes that `Range` asked for
    #[oai(status = 206)]
    Part(
        Binary<Body>,
        /// The hash of the whole content.
        #[oai(header = "ETag")]
        String,
        /// Which bytes these are, and of how many.
        #[oai(header = "Content-Range")]
        String,
    ),
    /// It is what `If-None-Match` says that is there already
    #[oai(status = 304)]
    Same(
        /// The hash of its content.
        #[oai(header = "ETag")]
        String,
    ),
    /// There are no such bytes
    #[oai(status = 416)]
    Beyond(
        /// How many bytes there are.
        #[oai(header = "Content-Range")]
        String,
    ),
}

pub(super) struct ArtifactsApi;

#[OpenApi(tag = "Tag::Executions", prefix_path = "/executions")]
impl ArtifactsApi {
    /// List the files that an execution has left.
    #[oai(path = "/:id/artifacts", method = "get", operation_id = "listArtifacts")]
    async fn list(
        &self,
        auth: Auth,
        Data(automa): Data<&Automa>,
        id: Path<Text<ExecutionId>>,
    ) -> Result<Document<Artifacts>, Problem> {
        Ok(Document(automa.executions(auth.actor()).artifacts(id.0.0).await?.into()))
    }

    /// Download a file that an execution has left.
    ///
    /// Whole, or the bytes that `Range` asks for.
    #[oai(path = "/:id/artifacts/:number", method = "get", operation_id = "readArtifact")]
    async fn read(
        &self,
        auth: Auth,
        request: &Request,
        Data(automa): Data<&Automa>,
        id: Path<Text<ExecutionId>>,
        /// Its number in the list.
        number: Path<u32>,
    ) -> Result<Response<Download>, Problem> {
        download(automa, auth.actor(), request, id.0.0, number.0).await
    }
}

/// Answers a request for an artifact.
///
/// # Errors
///
/// As [`automa_core::execution::Executions::artifact`].
pub(crate) async fn download(
    automa: &Automa,
    actor: &Actor,
    request: &Request,
    id: ExecutionId,
    number: u32,
) -> Result<Response<Download>, Problem> {
    let (automa, actor) = (automa.clone(), actor.clone());
    let open = move || automa.executions(&actor).artifact(id, number);
    let (artifact, content) = blocking::run(open).await??;
    let etag = format!("\"{}\"", hex(&artifact.sha256));
    let (answer, length) = choose(request, &etag, artifact.size, content);
    let mut response = Response::new(answer)
        .header(header::CONTENT_SECURITY_POLICY, INERT)
        .header(header::CONTENT_DISPOSITION, disposition(&artifact.name))
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CACHE_CONTROL, "private, no-cache");
    if let Some(length) = length {
        response = response.header(header::CONTENT_LENGTH, length.to_string());
    }
    Ok(response)
}

/// The answer, and how long its body is.
fn choose(request: &Request, etag: &str, size: u64, content: Content) -> (Download, Option<u64>) {
    let headers = request.headers();
    // Ours is a tag always; another one is like none.
    let own: Option<ETag> = etag.parse().ok();
    if let (Some(own), Some(known)) = (&own, headers.typed_get::<IfNoneMatch>())
        && !known.precondition_passes(own)
    {
        return (Download::Same(etag.to_owned()), None);
    }
    let applies = match headers.typed_try_get::<IfRange>() {
        Ok(None) => true,
        Ok(Some(condition)) => !condition.is_modified(own.as_ref(), None),
        // What cannot be read is not what we have.
        Err(_) => false,
    };
    let ranges = headers.typed_get::<Ranges>().filter(|_| applies);
    let part = ranges.and_then(|ranges| range::only_range(&ranges, size));
    if part.as_ref().is_some_and(Range::is_empty) {
        return (Download::Beyond(format!("bytes */{size}")), None);
    }
    let bytes = part.clone().unwrap_or(0..size);
    let length = bytes.end - bytes.start;
    let stream = range::pieces(bytes, move |range| content.read(range));
    let (body, etag) = (Binary(Body::from_bytes_stream(stream)), etag.to_owned());
    let answer = match part {
        Some(part) => {
            let about = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            Download::Part(body, etag, about)
        }
        None => Download::Whole(body, etag),
    };
    (answer, Some(length))
}

/// To be saved under the last part of its name, never shown (RFC 6266, RFC 8187).
fn disposition(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._- ".contains(c) { c } else { '_' };
    let ascii: String = last.chars().map(plain).collect();
    let exact = utf8_percent_encode(last, NON_ALPHANUMERIC);
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{exact}")
}

/// What a file is by its name.
pub(crate) fn media_type(name: &str) -> String {
    mime_guess::from_path(name).first_or_octet_stream().to_string()
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl From<execution::Artifacts> for Artifacts {
    fn from(artifacts: execution::Artifacts) -> Self {
        let execution::Artifacts { files, left_out, left_out_count, complete } = artifacts;
        let item = |(number, file): (u32, execution::Artifact)| Artifact {
            number,
            media_type: media_type(&file.name),
            size: file.size,
            sha256: hex(&file.sha256),
            name: file.name,
        };
        let left_out =
            left_out.into_iter().map(|it| LeftOut { name: it.name, reason: it.reason }).collect();
        Self { items: (1..).zip(files).map(item).collect(), left_out, left_out_count, complete }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::document::same_as_schema;

    #[test]
    fn names_are_saved_and_nothing_else() {
        for (name, written) in [
            (
                "a/b/report.csv",
                "attachment; filename=\"report.csv\"; filename*=UTF-8''report%2Ecsv",
            ),
            (
                "x\"; filename=y\\.exe",
                "attachment; filename=\"x__ filename_y_.exe\"; \
                 filename*=UTF-8''x%22%3B%20filename%3Dy%5C%2Eexe",
            ),
            ("ü", "attachment; filename=\"_\"; filename*=UTF-8''%C3%BC"),
        ] {
            assert_eq!(disposition(name), written);
        }
    }

    #[test]
    fn a_media_type_is_told_by_the_name() {
        assert_eq!(media_type("a/b.CSV"), "text/csv");
        assert_eq!(media_type("report.pdf"), "application/pdf");
        assert_eq!(media_type("program"), "application/octet-stream");
    }

    #[test]
    fn a_list_is_as_its_schema_says() {
        let left_out = LeftOut { name: "a".to_owned(), reason: "a pipe".to_owned() };
        let artifact = Artifact {
            number: 1,
            name: "<b>".to_owned(),
            size: 3,
            media_type: "text/csv".to_owned(),
            sha256: hex(&[7; 32]),
        };
        same_as_schema(&Artifacts {
            items: vec![artifact],
            left_out: vec![left_out],
            left_out_count: 1,
            complete: true,
        });
    }

    proptest! {
        #[test]
        fn any_name_is_a_header(name in "\\PC{0,40}") {
            let written = disposition(&name);
            prop_assert!(poem::http::HeaderValue::from_str(&written).is_ok());
            prop_assert_eq!(written.matches('"').count(), 2);
        }
    }
}
