//! The dialer's side: two connections, one token.

use super::TcpOptions;
use super::preamble::{LaneKind, Preamble};
use super::socket::{Counters, Sockets, tune};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpStream, lookup_host};
use trefoil_core::port::Link;
use trefoil_core::{Error, ErrorKind, Result};

/// Connects within the limit; tries every address that the name has.
pub(crate) async fn connect(
    options: &TcpOptions,
    counters: &Arc<Counters>,
    address: &str,
) -> Result<Link> {
    let limit = options.connect_timeout;
    let doing = format!("connect to {address}");
    match tokio::time::timeout(limit, try_addresses(options, counters, address)).await {
        Ok(done) => done.map_err(|error| error.context(doing)),
        Err(_) => {
            let what = format!("{doing}: no answer within {limit:?}");
            Err(Error::new(ErrorKind::Timeout, what))
        }
    }
}

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

async fn try_addresses(
    options: &TcpOptions,
    counters: &Arc<Counters>,
    address: &str,
) -> Result<Link> {
    let mut last = Error::unavailable("resolve name: it has no address");
    for to in resolve(address).await? {
        match try_one(options, counters, to, address).await {
            Ok(link) => return Ok(link),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn try_one(
    options: &TcpOptions,
    counters: &Arc<Counters>,
    to: SocketAddr,
    address: &str,
) -> Result<Link> {
    let token = rand::random::<u128>();
    let lane = async |lane| {
        let stream = TcpStream::connect(to).await;
        let mut stream = stream.map_err(|error| Error::io("open connection", error))?;
        tune(&stream, options)?;
        Preamble { token, lane }.exchange(&mut stream).await?;
        Ok::<_, Error>(stream)
    };
    let (control, data) = tokio::try_join!(lane(LaneKind::Control), lane(LaneKind::Data))?;
    Ok(Sockets::link(control, data, address.to_owned(), counters.clone()))
}
