//! The dialler's side: a socket of its own, one connection, two streams.

use super::handshake::{dial, lost, proven};
use super::{Shared, endpoint};
use crate::resolve::connect_within;
use crate::stream::Lanes;
use crate::tls::NO_HOST;
use std::net::SocketAddr;
use trefoil_core::port::Link;
use trefoil_core::{Error, ErrorKind, Result};

/// Connects within the limit; tries every address that the name has.
pub(super) async fn connect(shared: &Shared, address: &str) -> Result<Link> {
    let limit = shared.options.connect_timeout;
    connect_within(limit, address, |to| try_one(shared, to, address)).await
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
