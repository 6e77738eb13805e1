//! A bound for what a request may send.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use poem::{
    Body, Endpoint, IntoResponse, Request, Response, Result,
    http::{StatusCode, header},
};

use crate::problem::Problem;

/// Most bytes of a request's body: a source of 1 MiB, escaped, and what goes with it.
const MOST: usize = 8 << 20;

/// Refuses a larger body: by its announced length, else as soon as that much has come.
pub(crate) async fn body_limit<E: Endpoint>(next: &E, mut request: Request) -> Result<Response> {
    let announced = request.header(header::CONTENT_LENGTH).and_then(|it| it.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > MOST) {
        return Err(too_large());
    }
    if announced.is_some() || request.header(header::TRANSFER_ENCODING).is_none() {
        return next.call(request).await.map(IntoResponse::into_response);
    }
    let exceeded = Arc::new(AtomicBool::new(false));
    let mut left = MOST;
    let stream = request.take_body().into_bytes_stream().map({
        let exceeded = Arc::clone(&exceeded);
        move |chunk: io::Result<Bytes>| {
            let chunk = chunk?;
            let Some(rest) = left.checked_sub(chunk.len()) else {
                exceeded.store(true, Ordering::Relaxed);
                return Err(io::Error::other("the body is too large"));
            };
            left = rest;
            Ok(chunk)
        }
    });
    request.set_body(Body::from_bytes_stream(stream));
    let response = next.call(request).await;
    if exceeded.load(Ordering::Relaxed) {
        return Err(too_large());
    }
    response.map(IntoResponse::into_response)
}

fn too_large() -> poem::Error {
    Problem::of_status(StatusCode::PAYLOAD_TOO_LARGE)
        .detail(&format!("a request may have at most {} MiB", MOST >> 20))
        .into()
}
