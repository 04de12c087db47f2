//! The dialer's side: two connections, one token.

use super::Shared;
use super::preamble::Preamble;
use super::socket::tune;
use crate::resolve::resolve;
use crate::stream::{LaneKind, Lanes};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use trefoil_core::port::Link;
use trefoil_core::{Error, ErrorKind, Result};

/// Connects within the limit; tries every address that the name has.
pub(crate) async fn connect(shared: &Shared, address: &str) -> Result<Link> {
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
