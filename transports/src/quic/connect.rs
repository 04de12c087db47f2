//! The dialler's side: a socket of its own, one connection, two streams.

use super::handshake::{dial, lost, proven};
use super::{Shared, endpoint};
use crate::resolve::resolve;
use crate::stream::Lanes;
use std::net::SocketAddr;
use trefoil_core::port::Link;
use trefoil_core::{Error, ErrorKind, Result};

/// What a host name is put in place of: sites are not found by the names of hosts.
const NO_HOST: &str = "trefoil.invalid";

/// Connects within the limit; tries every address that the name has.
pub(super) async fn connect(shared: &Shared, address: &str) -> Result<Link> {
    let limit = shared.options.connect_timeout;
    let doing = format!("connect to {address}");
    match tokio::time::timeout(limit, try_addresses(shared, address)).await {
        Ok(done) => done.map_err(|error| error.context(doing)),
        Err(_) => {
            let what = format!("{doing}: no answer within {limit:?}");
            Err(Error::new(ErrorKind::Timeout, what))
        }
    }
}

async fn try_addresses(shared: &Shared, address: &str) -> Result<Link> {
    let mut last = Error::unavailable("resolve name: it has no address");
    for to in resolve(address).await? {
        match try_one(shared, to, address).await {
            Ok(link) => return Ok(link),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn try_one(shared: &Shared, to: SocketAddr, address: &str) -> Result<Link> {
    let endpoint = endpoint::dialling(&shared.options, to)?;
    let (config, verdict) = endpoint::client_config(shared)?;
    let connecting = endpoint.connect_with(config, to, NO_HOST);
    let connecting = connecting
        .map_err(|error| Error::with_source(ErrorKind::Invalid, "open connection", error))?;
    let connection = connecting.await.map_err(|error| match verdict.refusal() {
        Some(why) => {
            let what = format!("prove sites to each other: {why}");
            Error::with_source(ErrorKind::Refused, what, error)
        }
        None => lost("open connection", error),
    })?;
    let security = proven(&connection)?;
    let wires = dial(&connection).await?;
    Ok(Lanes::link(wires, (address.to_owned(), security), shared.counters.clone()))
}
