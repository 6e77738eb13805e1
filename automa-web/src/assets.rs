//! What pages are drawn with: the files of `static/`, compiled into the program.
//!
//! An address holds a hash of the content, `/static/app.3f9c2a81d0e4.css`, so that browsers keep a
//! file for good and still never use an old one: templates write `{{ "app.css"|asset }}`.

use std::{borrow::Cow, fmt::Write as _, sync::LazyLock};

use bytes::Bytes;
use poem::{
    Body, IntoResponse, Request, Response, handler,
    http::{StatusCode, header},
    web::{Compress, CompressionAlgo, CompressionLevel, Path},
};
use rust_embed::Embed;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

#[derive(Embed)]
#[folder = "../static"]
struct Files;

/// One file and the forms in which it is sent.
struct Asset {
    /// Its path below `static/`.
    path: String,
    /// Where browsers find it.
    url: String,
    content_type: &'static str,
    /// The start of its SHA-256, in hexadecimal digits.
    hash: String,
    content: Bytes,
    /// Made when a browser first asks for it.
    brotli: OnceCell<Bytes>,
    gzip: OnceCell<Bytes>,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    Files::iter().filter_map(|path| Asset::new(&path, Files::get(&path)?.data)).collect()
});

/// The address of a file of `static/`. One of a file that is not there leads nowhere.
pub(crate) fn url(path: &str) -> &str {
    ASSETS.iter().find(|asset| asset.path == path).map_or(path, |asset| &asset.url)
}

/// Serves `/static/*path`.
#[handler]
pub(crate) async fn serve(request: &Request, Path(path): Path<String>) -> Response {
    let asset = ASSETS.iter().find(|asset| asset.url.strip_prefix("/static/") == Some(&path));
    match asset {
        Some(asset) => asset.response(request).await,
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Asset {
    /// `None` for what is no part of a page: notes on the files.
    fn new(path: &str, data: Cow<'static, [u8]>) -> Option<Self> {
        let content = match data {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        };
        let hash = hex(&Sha256::digest(&content)[..6]);
        let (name, ending) = path.rsplit_once('.')?;
        let content_type = content_type(ending)?;
        Some(Self {
            url: format!("/static/{name}.{hash}.{ending}"),
            path: path.to_owned(),
            content_type,
            hash,
            content,
            brotli: OnceCell::new(),
            gzip: OnceCell::new(),
        })
    }

    async fn response(&self, request: &Request) -> Response {
        let coding = Coding::accepted(request.header(header::ACCEPT_ENCODING).unwrap_or_default());
        let etag = match coding {
            Some(coding) => format!("\"{}-{}\"", self.hash, coding.name()),
            None => format!("\"{}\"", self.hash),
        };
        let response = Response::builder()
            .header(header::ETAG, &etag)
            .header(header::CACHE_CONTROL, "public, max-age=31536000, immutable")
            .header(header::VARY, "Accept-Encoding");
        if request.header(header::IF_NONE_MATCH).is_some_and(|tags| names(tags, &etag)) {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        let response = response.content_type(self.content_type);
        match coding {
            None => response.body(self.content.clone()),
            Some(coding) => response
                .header(header::CONTENT_ENCODING, coding.name())
                .body(self.encoded(coding).await),
        }
    }

    /// The content in a coding, made once.
    async fn encoded(&self, coding: Coding) -> Bytes {
        let (cell, algorithm, level) = match coding {
            Coding::Brotli => (&self.brotli, CompressionAlgo::BR, CompressionLevel::Precise(9)),
            Coding::Gzip => (&self.gzip, CompressionAlgo::GZIP, CompressionLevel::Best),
        };
        let encode = || async {
            let body = Body::from_bytes(self.content.clone());
            let encoded = Compress::new(body, algorithm).with_quality(level).into_response();
            // It is read from memory, which does not fail.
            encoded.into_body().into_bytes().await.unwrap_or_default()
        };
        cell.get_or_init(encode).await.clone()
    }
}

/// How a response is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Brotli,
    Gzip,
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// The smallest that an `Accept-Encoding` header takes.
    fn accepted(header: &str) -> Option<Self> {
        let takes = |name: &str| {
            header.split(',').any(|item| {
                let mut parts = item.split(';').map(str::trim);
                let refused = |weight: &str| {
                    weight.strip_prefix("q=").is_some_and(|q| q.parse::<f32>() == Ok(0.0))
                };
                parts.next().is_some_and(|it| it.eq_ignore_ascii_case(name)) && !parts.any(refused)
            })
        };
        [Self::Brotli, Self::Gzip].into_iter().find(|coding| takes(coding.name()))
    }
}

/// Whether an `If-None-Match` header names this tag.
fn names(header: &str, etag: &str) -> bool {
    header.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

fn content_type(ending: &str) -> Option<&'static str> {
    match ending {
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use poem::{Route, get, http::HeaderMap, test::TestClient};

    use super::*;

    async fn fetch(path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Bytes) {
        let client = TestClient::new(Route::new().at("/static/*path", get(serve)));
        let request = headers
            .iter()
            .fold(client.get(path), |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.0;
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, body.into_bytes().await.unwrap())
    }

    #[tokio::test]
    async fn a_file_is_kept_for_good_under_the_address_of_its_content() {
        let url = url("app.css");
        assert!(
            url.starts_with("/static/app.") && url.len() == "/static/app.0123456789ab.css".len(),
            "{url}"
        );
        let (status, headers, body) = fetch(url, &[]).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["content-type"], "text/css; charset=utf-8");
        assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable");
        assert_eq!(&body[..], &Files::get("app.css").unwrap().data[..]);
        let etag = headers["etag"].to_str().unwrap();
        assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
        for tags in [etag.to_owned(), format!("\"x\", W/{etag}"), "*".to_owned()] {
            let (status, headers, body) = fetch(url, &[("if-none-match", &tags)]).await;
            assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0), "{tags}");
            assert_eq!(headers["etag"], etag);
        }
        assert_eq!(fetch(url, &[("if-none-match", "\"x\"")]).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn every_coding_has_the_same_content_and_its_own_tag() {
        let url = url("vendor/htmx-4.0.1.min.js");
        let (_, plain_headers, plain) = fetch(url, &[]).await;
        let (_, brotli_headers, brotli) = fetch(url, &[("accept-encoding", "gzip, br")]).await;
        assert_eq!(brotli_headers["content-encoding"], "br");
        assert_eq!(brotli_headers["content-type"], "text/javascript; charset=utf-8");
        assert!(brotli.len() < plain.len() / 2, "{} of {}", brotli.len(), plain.len());
        let (_, gzip_headers, gzip) = fetch(url, &[("accept-encoding", "br;q=0, gzip")]).await;
        assert_eq!(gzip_headers["content-encoding"], "gzip");
        assert!(gzip.len() < plain.len() / 2 && gzip != brotli);
        let tags = [&plain_headers, &brotli_headers, &gzip_headers].map(|it| it["etag"].clone());
        assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_found() {
        for path in [
            "/static/app.css",
            "/static/app.000000000000.css",
            "/static/../Cargo.toml",
            "/static/%2e%2e/Cargo.toml",
            "/static/vendor/README.md",
            "/static/",
        ] {
            assert_eq!(fetch(path, &[]).await.0, StatusCode::NOT_FOUND, "{path}");
        }
        let client = TestClient::new(Route::new().at("/static/*path", get(serve)));
        let head = client.head(url("icons.svg")).send().await;
        head.assert_status_is_ok();
        head.assert_header("content-type", "image/svg+xml");
        let post = client.post(url("icons.svg")).send().await;
        post.assert_status(StatusCode::METHOD_NOT_ALLOWED);
    }

    #[test]
    fn vendored_files_are_what_their_authors_published() {
        let readme = include_str!("../../static/vendor/README.md");
        let vendored = ASSETS.iter().map(|asset| &asset.path);
        for path in vendored.filter(|path| path.starts_with("vendor/")) {
            let name = path.trim_start_matches("vendor/");
            let row = readme.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            let hash = hex(&Sha256::digest(&Files::get(path).unwrap().data));
            assert!(row.is_some_and(|row| row.contains(&hash)), "{name} has {hash}");
        }
    }

    #[tokio::test]
    async fn a_first_visit_is_light() {
        let mut sum = 0;
        for asset in ASSETS.iter() {
            sum += asset.encoded(Coding::Gzip).await.len();
        }
        assert!(sum < 40_000, "{sum} bytes of at most 60,000 with a page");
    }

    #[test]
    fn no_sheet_names_a_file_by_an_address_without_its_hash() {
        for asset in ASSETS.iter().filter(|asset| asset.content_type.starts_with("text/css")) {
            assert!(!String::from_utf8_lossy(&asset.content).contains("url("), "{}", asset.path);
        }
    }

    #[test]
    fn weights_are_read() {
        for (header, coding) in [
            ("", None),
            ("identity", None),
            ("gzip", Some(Coding::Gzip)),
            ("gzip;q=0.8, br;q=0.1", Some(Coding::Brotli)),
            ("br; q=0.000, GZIP", Some(Coding::Gzip)),
            ("x-gzip, brx", None),
        ] {
            assert_eq!(Coding::accepted(header), coding, "{header}");
        }
    }
}
