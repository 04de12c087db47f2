//! Serves HTTP within limits, over a port or a Unix socket: connections, headers and bodies are
//! bounded, and a stop lets requests under way finish.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

/// Connections at once; one more is closed at once.
const CONNECTIONS_MAX: u32 = 64;
/// From the first byte of a request to the end of its headers.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);
/// The longest request head, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// The longest request body, in bytes.
const BODY_BYTES_MAX: usize = 64 << 10;
/// How long a stopping server waits for requests under way.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// Serves `router` until `stop` turns true (or its sender is gone).
pub async fn serve<L: Listener>(listener: L, router: Router, stop: watch::Receiver<bool>) {
    serve_each(listener, router, |router, _| router, stop).await;
}

/// The same where each connection has a router of its own: `of` makes it.
pub async fn serve_each<L: Listener>(
    mut listener: L,
    router: Router,
    of: impl Fn(Router, &L::Io) -> Router,
    mut stop: watch::Receiver<bool>,
) {
    let router = router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
    loop {
        let stream = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            (stream, _) = listener.accept() => stream,
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            tracing::debug!(max = CONNECTIONS_MAX, "HTTP connection closed: at the limit");
            continue;
        };
        let router = of(router.clone(), &stream);
        tokio::spawn(attend(stream, router, stop.clone(), slot));
    }
    drop(listener);
    if timeout(DRAIN_DEADLINE, slots.acquire_many(CONNECTIONS_MAX)).await.is_err() {
        tracing::warn!("HTTP requests under way were given up");
    }
}

/// Ready when `stop` has turned true, or its sender is gone.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stopped| *stopped).await);
}

async fn attend<S>(
    stream: S,
    router: Router,
    mut stop: watch::Receiver<bool>,
    _slot: OwnedSemaphorePermit,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            match timeout(DRAIN_DEADLINE, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "HTTP connection ended early");
    }
}
