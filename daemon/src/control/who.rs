//! Who asks at the control socket: user, group and process, as the kernel knew them when the
//! connection was made. What changes something is logged with them.

use axum::Router;
use axum::extract::{Extension, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use std::fmt;
use tokio::net::UnixStream;

/// The other end of a connection. Clones are cheap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Caller {
    /// User, group, and the process where the system tells it.
    known: Option<(u32, u32, Option<i32>)>,
}

impl Caller {
    fn of(stream: &UnixStream) -> Self {
        let known = stream.peer_cred().ok();
        Self { known: known.map(|caller| (caller.uid(), caller.gid(), caller.pid())) }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known {
            Some((uid, gid, Some(pid))) => write!(f, "uid {uid}, gid {gid}, pid {pid}"),
            Some((uid, gid, None)) => write!(f, "uid {uid}, gid {gid}"),
            None => f.write_str("not known"),
        }
    }
}

/// Lets the routes know whose connection it is.
pub fn asked_by(router: Router, stream: &UnixStream) -> Router {
    router.layer(Extension(Caller::of(stream)))
}

/// Logs who asked for what, and what it was answered with, unless it only reads.
pub(super) async fn log(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let by = request.extensions().get::<Caller>().copied().unwrap_or_default();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    // Before it is done: what it does may end this process.
    tracing::warn!(%by, %method, path, "asked at the control socket");
    let response = next.run(request).await;
    let status = response.status().as_u16();
    tracing::info!(%by, path, status, "answered at the control socket");
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;
    use axum::routing::post;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;
    use tokio::sync::{Mutex, watch};

    #[tokio::test]
    async fn a_request_knows_which_user_and_process_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let seen = Arc::new(Mutex::new(None));
        let saw = seen.clone();
        let handler = move |Extension(caller): Extension<Caller>| {
            let saw = saw.clone();
            async move { *saw.lock().await = Some(caller) }
        };
        let router = Router::new().route("/", post(handler)).layer(axum::middleware::from_fn(log));
        let (stop, stopping) = watch::channel(false);
        let serving = tokio::spawn(http::serve_each(listener, router, asked_by, stopping));
        let mut stream = UnixStream::connect(&path).await.unwrap();
        let request = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let caller = seen.lock().await.unwrap();
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(caller.known, Some((uid.as_raw(), gid.as_raw(), Some(pid))));
        stop.send_replace(true);
        serving.await.unwrap();
    }
}
