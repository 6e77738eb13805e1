//! A bound for what a request may send.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use poem::{
    Body, Endpoint, IntoResponse, Request, Response, Result,
    http::{StatusCode, header},
};

use crate::problem::Problem;

/// Most bytes of a request's body: a source of 1 MiB, escaped, and what goes with it.
const MOST: usize = 8 << 20;

/// Most bytes that are read of a body that is refused. A client that is still sending when the
/// connection closes does not get to see why: it is heard out, within bounds.
const HEARD_OUT: usize = 64 << 20;

/// Refuses a larger body: by its announced length, else when it has come.
pub(crate) async fn body_limit<E: Endpoint>(next: &E, mut request: Request) -> Result<Response> {
    let announced = request.header(header::CONTENT_LENGTH).and_then(|it| it.parse::<usize>().ok());
    let unknown = request.headers().contains_key(header::TRANSFER_ENCODING);
    if !unknown && announced.is_none_or(|bytes| bytes <= MOST) {
        return next.call(request).await.map(IntoResponse::into_response);
    }
    let exceeded = Arc::new(AtomicBool::new(false));
    let body = bounded(request.take_body().into_bytes_stream(), Arc::clone(&exceeded));
    if unknown {
        request.set_body(Body::from_bytes_stream(body));
        let response = next.call(request).await;
        if !exceeded.load(Ordering::Relaxed) {
            return response.map(IntoResponse::into_response);
        }
    } else {
        // Nothing of it is of use; the error at its end is the one below.
        body.for_each(|_| async {}).await;
    }
    Err(too_large())
}

/// A body up to its limit; one that is larger is an error at its end, and nothing before it.
fn bounded(
    body: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    exceeded: Arc<AtomicBool>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let error = || io::Error::other("the body is too large");
    let (mut come, marked) = (0, Arc::clone(&exceeded));
    let pieces = body.map(move |piece| {
        let piece = piece?;
        come += piece.len();
        if come > HEARD_OUT {
            return Err(error());
        }
        if come > MOST {
            marked.store(true, Ordering::Relaxed);
            return Ok(Bytes::new());
        }
        Ok(piece)
    });
    let end = stream::once(async move {
        if exceeded.load(Ordering::Relaxed) { Err(error()) } else { Ok(Bytes::new()) }
    });
    // What comes after an error is not asked for any more.
    pieces.chain(end).scan(false, |failed, piece| {
        let stop = *failed;
        *failed = piece.is_err();
        async move { (!stop).then_some(piece) }
    })
}

fn too_large() -> poem::Error {
    Problem::of_status(StatusCode::PAYLOAD_TOO_LARGE)
        .detail(&format!("a request may have at most {} MiB", MOST >> 20))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes come of a body of so many pieces of 1 MiB, whether it ends in an error, and
    /// how many pieces were read.
    async fn read(pieces: usize) -> (usize, bool, usize) {
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let body = stream::iter(std::iter::repeat_n(Bytes::from(vec![b' '; 1 << 20]), pieces));
        let body = body.map(move |piece| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(piece)
        });
        let got: Vec<_> = bounded(body, Arc::default()).collect().await;
        let bytes = got.iter().flatten().map(Bytes::len).sum();
        (bytes, got.last().is_some_and(Result::is_err), asked.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_heard_out_and_never_taken_for_a_whole_one() {
        assert_eq!(read(8).await, (8 << 20, false, 8));
        assert_eq!(read(9).await, (8 << 20, true, 9));
        // The one that is too much, and one that is looked at to end there.
        assert_eq!(read(1000).await, (8 << 20, true, 64 + 2));
    }
}
