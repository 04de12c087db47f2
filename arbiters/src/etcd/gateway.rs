//! One question to an etcd: a POST of JSON, over HTTP/1.1, on a connection of its own.
//!
//! There are a few questions a second at most, so that a pool would save nothing, and a connection
//! that broke is never taken for one that works.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use trefoil_core::{Error, ErrorKind, Result};

/// The longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// For connecting to one endpoint.
const CONNECT_DEADLINE: Duration = Duration::from_millis(500);
/// For an answer, once connected. etcd itself gives up on what it cannot agree on after some 7 s.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);
/// How many endpoints there may be.
const ENDPOINTS_MAX: usize = 16;

/// The endpoints of an etcd.
#[derive(Debug)]
pub(super) struct Gateway {
    /// Host and port of each.
    endpoints: Vec<String>,
}

impl Gateway {
    pub(super) fn new(endpoints: &[String]) -> Result<Self> {
        if endpoints.is_empty() || endpoints.len() > ENDPOINTS_MAX {
            return Err(Error::invalid(format!(
                "set up etcd: {} endpoints, expected 1 to {ENDPOINTS_MAX} like \
                 http://127.0.0.1:2379",
                endpoints.len()
            )));
        }
        let endpoints = endpoints.iter().map(|endpoint| authority(endpoint));
        Ok(Self { endpoints: endpoints.collect::<Result<_>>()? })
    }

    /// Asks the first endpoint that accepts a connection.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] or [`ErrorKind::Timeout`]: nobody knows whether it was done.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        path: &str,
        question: &impl Serialize,
    ) -> Result<T> {
        let body = serde_json::to_vec(question)
            .map_err(|source| Error::with_source(ErrorKind::Invalid, "ask etcd", source))?;
        let mut refused = String::new();
        for endpoint in &self.endpoints {
            match timeout(CONNECT_DEADLINE, TcpStream::connect(endpoint)).await {
                Ok(Ok(stream)) => return ask(endpoint, stream, path, body).await,
                // Nothing was asked yet: another endpoint may be asked.
                Ok(Err(error)) => refused.push_str(&format!("; {endpoint}: {error}")),
                Err(_) => refused.push_str(&format!("; {endpoint}: does not accept connections")),
            }
        }
        Err(Error::unavailable(format!("ask etcd: no endpoint is there{refused}")))
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<_> = self.endpoints.iter().map(|host| format!("http://{host}")).collect();
        f.write_str(&urls.join(", "))
    }
}

/// Host and port of `http://host:port`.
fn authority(endpoint: &str) -> Result<String> {
    let rest = endpoint.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let good = rest.filter(|rest| {
        let port = rest.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
        matches!(port, Some((host, Ok(_))) if !host.is_empty() && !rest.contains('/'))
    });
    let tls = endpoint.starts_with("https://");
    let hint =
        if tls { "; TLS is not spoken here: put a tunnel before it, on loopback" } else { "" };
    good.map(str::to_owned).ok_or_else(|| {
        Error::invalid(format!(
            "set up etcd: endpoint `{endpoint}` is not of the form http://host:port{hint}"
        ))
    })
}

async fn ask<T: DeserializeOwned>(
    endpoint: &str,
    stream: TcpStream,
    path: &str,
    body: Vec<u8>,
) -> Result<T> {
    match timeout(ANSWER_DEADLINE, exchange(endpoint, stream, path, body)).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::new(
            ErrorKind::Timeout,
            format!("ask etcd {endpoint} for {path}: no answer within {ANSWER_DEADLINE:?}"),
        )),
    }
}

async fn exchange<T: DeserializeOwned>(
    endpoint: &str,
    stream: TcpStream,
    path: &str,
    body: Vec<u8>,
) -> Result<T> {
    let doing = || format!("ask etcd {endpoint} for {path}");
    let lost = |source: hyper::Error| Error::with_source(ErrorKind::Unavailable, doing(), source);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, endpoint)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::from(body)))
        .map_err(|source| Error::with_source(ErrorKind::Invalid, doing(), source))?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(lost)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| Error::unavailable(format!("{}: {error}", doing())))?;
        Ok((status, body.to_bytes()))
    };
    // The connection is driven here and ends with the question, whatever becomes of it.
    let driven = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    let (status, body) = tokio::select! {
        biased;
        answer = answer => answer?,
        () = driven => return Err(Error::unavailable(doing())),
    };
    if status != StatusCode::OK {
        let text = String::from_utf8_lossy(&body);
        return Err(Error::unavailable(format!("{}: {status}: {}", doing(), text.trim())));
    }
    serde_json::from_slice(&body)
        .map_err(|source| Error::with_source(ErrorKind::Unavailable, doing(), source))
}
