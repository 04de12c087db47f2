//! Addresses of `host:port`, and what is said of one that cannot be listened on.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::lookup_host;
use trefoil_core::port::Link;
use trefoil_core::{Error, ErrorKind, Result};

/// The addresses of `host:port`.
pub(crate) async fn resolve(address: &str) -> Result<Vec<SocketAddr>> {
    if address.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
        return Err(Error::invalid(format!(
            "resolve {address:?}: it is not host:port, such as 10.0.0.2:7143"
        )));
    }
    let found = lookup_host(address).await.map_err(|error| {
        Error::with_source(ErrorKind::Unavailable, "resolve name: it is not known", error)
    })?;
    Ok(found.collect())
}

/// Connects to the first of the address's that `try_one` reaches, within the limit.
pub(crate) async fn connect_within<Attempt>(
    limit: Duration,
    address: &str,
    try_one: impl Fn(SocketAddr) -> Attempt,
) -> Result<Link>
where
    Attempt: Future<Output = Result<Link>>,
{
    let try_all = async {
        let mut last = Error::unavailable("resolve name: it has no address");
        for to in resolve(address).await? {
            match try_one(to).await {
                Ok(link) => return Ok(link),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    let doing = format!("connect to {address}");
    match tokio::time::timeout(limit, try_all).await {
        Ok(done) => done.map_err(|error| error.context(doing)),
        Err(_) => {
            let what = format!("{doing}: no answer within {limit:?}");
            Err(Error::new(ErrorKind::Timeout, what))
        }
    }
}

/// What is said of an address that cannot be bound.
pub(crate) fn bind_error(error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => Error::with_source(
            ErrorKind::Invalid,
            "the port is in use; stop the process that has it, or choose another port",
            error,
        ),
        std::io::ErrorKind::AddrNotAvailable => Error::with_source(
            ErrorKind::Invalid,
            "this machine does not have that address; use one of its own, or 0.0.0.0",
            error,
        ),
        std::io::ErrorKind::PermissionDenied => Error::with_source(
            ErrorKind::Invalid,
            "the port needs privileges; choose one from 1024 up",
            error,
        ),
        _ => Error::io("bind address", error),
    }
}
