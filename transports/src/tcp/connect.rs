//! The dialer's side: two connections, one token.

use super::Shared;
use super::preamble::Preamble;
use super::socket::tune;
use crate::resolve::connect_within;
use crate::stream::{LaneKind, Lanes};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use trefoil_core::port::Link;
use trefoil_core::{Error, Result};

/// Connects within the limit; tries every address that the name has.
pub(crate) async fn connect(shared: &Shared, address: &str) -> Result<Link> {
    let limit = shared.options.connect_timeout;
    connect_within(limit, address, |to| try_one(shared, to, address)).await
}

async fn try_one(shared: &Shared, to: SocketAddr, address: &str) -> Result<Link> {
    let token = rand::random::<u128>();
    let lane = async |lane| {
        let stream = TcpStream::connect(to).await;
        let stream = stream.map_err(|error| Error::io("open connection", error))?;
        tune(&stream, &shared.options)?;
        let (mut connection, security) = shared.guard.dial(stream).await?;
        let exchanged = Preamble { token, lane }.exchange(&mut connection).await;
        exchanged.map_err(|error| shared.guard.explain(error))?;
        Ok::<_, Error>((connection, security))
    };
    let (control, data) = tokio::try_join!(lane(LaneKind::Control), lane(LaneKind::Data))?;
    let ((control, one), (data, other)) = (control, data);
    if one != other {
        return Err(Error::refused("connect: the two connections of a link end at two sites"));
    }
    let wires = (control.into_wire()?, data.into_wire()?);
    Ok(Lanes::link(wires, (address.to_owned(), one), shared.counters.clone()))
}
