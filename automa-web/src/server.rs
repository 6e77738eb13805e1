//! The server: all its routes, and its life from the first line it prints to its end.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use automa_core::Automa;
use bytes::Bytes;
use poem::{
    Endpoint, EndpointExt as _, Route, Server,
    error::{NotFoundError, ResponseError as _},
    get, handler,
    http::header,
    listener::{Acceptor as _, Listener as _, TcpListener},
    middleware::{CatchPanic, CookieJarManager},
    post,
    web::Data,
};
use secrecy::ExposeSecret as _;

use crate::{
    api, assets,
    auth::Keys,
    client_address::TrustedProxies,
    config::{Config, KeyError, Unsafe, Web},
    csp_reports::{self, CspReports},
    docs,
    lifecycle::{Signals, Stop},
    listen::{
        Tuned,
        connections::{Connections, arrived},
        tls::{Tls, TlsError},
    },
    live,
    middleware::{
        AllowedOrigins, Hosts, OnPanic, RateLimits, body_limit, compress, cors, known_host,
        note_refusals, rate_limit, same_origin, security_headers,
    },
    ops, pages,
    problem::Problem,
};

/// Time that open requests have to end once the server is told to.
const DRAIN: Duration = Duration::from_secs(5);
/// Time after which a connection without traffic is closed.
const IDLE: Duration = Duration::from_secs(75);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Core(#[from] automa_core::Error),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("this is not safe in production: {0}")]
    Unsafe(#[from] Unsafe),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot listen on {address}: another program may be using it")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot serve")]
    Io(#[from] io::Error),
    #[error("the description of the API cannot be made: {0}")]
    Document(String),
}

/// Serves until told to stop: the first signal lets what runs end, for a while; the second one does
/// not.
///
/// # Errors
///
/// [`ServeError`].
pub(crate) async fn serve(config: &Config) -> Result<(), ServeError> {
    check(config)?;
    let mut signals = Signals::catch()?;
    let automa = config.builder().start().await?;
    let served = serve_opened(config, &automa, &mut signals).await;
    tokio::select! {
        () = automa.close_within(config.grace) => {}
        () = signals.next() => tracing::warn!("stopped at once: what was running is lost"),
    }
    served
}

async fn serve_opened(
    config: &Config,
    automa: &Automa,
    signals: &mut Signals,
) -> Result<(), ServeError> {
    let keys = Arc::new(Keys::new(config.key()?.expose_secret()));
    let tls = config.web.tls.clone().map(Tls::new).transpose()?;
    let address = config.listen;
    let listener = TcpListener::bind(address).into_acceptor().await;
    let acceptor = Tuned {
        listener: listener.map_err(|source| ServeError::Listen { address, source })?,
        tls: tls.as_ref().map(Tls::acceptor),
        connections: Connections::default(),
        proxies: TrustedProxies::new(&config.trusted_proxies),
    };
    let connections = acceptor.connections.clone();
    let bound = acceptor.local_addr().into_iter().find_map(|it| it.as_socket_addr().copied());
    announce(automa, scheme(&config.web), bound.unwrap_or(address)).await?;

    let (told, stop) = Stop::new();
    let app = app(automa.clone(), keys, stop, RateLimits::new(&config.rate_limits))
        .map_err(|error| ServeError::Document(error.to_string()))?;
    let app = app.data(TrustedProxies::new(&config.trusted_proxies));
    let end = async {
        signals.next().await;
        tracing::info!("stopping: a second signal stops at once");
        told.send_replace(true);
    };
    let app = app
        .data(connections)
        .data(Hosts::new(config.web.allowed_hosts.iter().cloned()))
        .data(AllowedOrigins::new(config.web.allowed_origins.iter().cloned()))
        .data(Arc::new(CspReports::default()))
        .data(Arc::new(config.posture()));
    let ended = Server::new_with_acceptor(acceptor).idle_timeout(IDLE).run_with_graceful_shutdown(
        app,
        end,
        Some(DRAIN),
    );
    let Some(tls) = tls else { return Ok(ended.await?) };
    tokio::select! {
        ended = ended => Ok(ended?),
        failed = tls.keep_fresh() => Ok(failed?),
    }
}

/// Tells what is not safe; in production, that is an error.
fn check(config: &Config) -> Result<(), ServeError> {
    for found in config.unsafe_parts() {
        if config.web.production {
            return Err(found.into());
        }
        tracing::warn!("{found}");
    }
    Ok(())
}

fn scheme(web: &Web) -> &'static str {
    if web.tls.is_some() { "https" } else { "http" }
}

/// Prints where the server is, and the setup link while there is no user.
async fn announce(automa: &Automa, scheme: &str, address: SocketAddr) -> Result<(), ServeError> {
    let token = automa.setup().token().await?;
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {scheme}://{address}")?;
    if let Some(token) = token {
        writeln!(stdout, "set up at {}", setup_link(scheme, address, &token))?;
    }
    Ok(stdout.flush()?)
}

/// The link on which the first account is created.
pub(crate) fn setup_link(scheme: &str, address: SocketAddr, token: &str) -> String {
    format!("{scheme}://{address}/setup?token={token}")
}

/// Everything that is served.
fn app(
    automa: Automa,
    keys: Arc<Keys>,
    stop: Stop,
    limits: RateLimits,
) -> Result<impl Endpoint, Box<dyn std::error::Error>> {
    let (api, document) = api::service()?;
    let limits = Arc::new(limits);
    let routes = Route::new()
        .at("/api/v1/ws/executions/:id", get(live::execution_socket))
        .nest(api::PREFIX, api)
        .at("/api/*path", nothing)
        .at("/openapi.json", get(openapi_document))
        .at("/hooks/:token", post(api::call))
        .at(csp_reports::PATH, post(csp_reports::take))
        .at("/health", get(ops::health))
        .at("/liveness", get(ops::liveness))
        .at("/readiness", get(ops::readiness))
        .at("/static/*path", get(assets::serve))
        .nest("/", pages::routes());
    Ok(routes
        .around(|next, request| async move { body_limit(&*next, request).await })
        .around(|next, request| async move { same_origin(&*next, request).await })
        .around(move |next, request| {
            let limits = Arc::clone(&limits);
            async move { rate_limit(&limits, &*next, request).await }
        })
        .with(CookieJarManager::new())
        .around(|next, request| async move { Box::pin(known_host(&*next, request)).await })
        .catch_all_error(async |error| Problem::from(error).as_response())
        .around(|next, request| async move { cors(&*next, request).await })
        .around(|next, request| async move { note_refusals(&*next, request).await })
        .around(|next, request| async move { compress(&*next, request).await })
        .with(CatchPanic::new().with_handler(OnPanic))
        .around(|next, request| async move { security_headers(&*next, request).await })
        .around(|next, request| async move { arrived(&*next, request).await })
        .data(docs::sections(&document))
        .data(OpenApiDocument(document.to_string().into()))
        .data(automa)
        .data(keys)
        .data(stop))
}

/// What is no page and not there is a problem, not a page that says so.
#[handler]
fn nothing() -> poem::Result<()> {
    Err(NotFoundError.into())
}

#[derive(Clone)]
struct OpenApiDocument(Bytes);

#[handler]
fn openapi_document(Data(document): Data<&OpenApiDocument>) -> poem::Response {
    poem::Response::builder()
        .header(header::CACHE_CONTROL, "no-cache")
        .content_type("application/json")
        .body(document.0.clone())
}
