//! The listener's side: whoever connects has a deadline, a bounded place, and no way to hold
//! up anybody else.

use super::handshake::{lost, proven, refusal_of, take};
use super::{Shared, WORD, endpoint};
use crate::handshakes::Handshakes;
use crate::resolve::{bind_error, resolve};
use crate::stream::{Counters, Lanes};
use async_trait::async_trait;
use quinn::{ConnectionError, Endpoint, Incoming};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use trefoil_core::port::{Link, Listener};
use trefoil_core::{Error, Result};

/// Listens on the first of the address's that can be bound.
pub(super) async fn listen(shared: &Shared, address: &str) -> Result<QuicListener> {
    let doing = |error: Error| error.context(format!("listen on {address}"));
    let mut last = Error::unavailable("resolve name: it has no address");
    for at in resolve(address).await.map_err(doing)? {
        match endpoint::listening(shared, at).map_err(doing)? {
            Ok(endpoint) => return QuicListener::start(endpoint, shared),
            Err(error) => last = bind_error(error),
        }
    }
    Err(doing(last))
}

/// Listens until it is dropped.
pub(super) struct QuicListener {
    address: SocketAddr,
    links: mpsc::Receiver<Link>,
    door: JoinHandle<()>,
    endpoint: Endpoint,
}

impl QuicListener {
    fn start(endpoint: Endpoint, shared: &Shared) -> Result<Self> {
        let address =
            endpoint.local_addr().map_err(|error| Error::io("read own address", error))?;
        let (ready, links) = mpsc::channel(shared.options.backlog_links_max.max(1));
        let desk = Arc::new(Desk { shared: shared.clone(), ready });
        let door = tokio::spawn(keep_door(endpoint.clone(), desk));
        Ok(Self { address, links, door, endpoint })
    }
}

#[async_trait]
impl Listener for QuicListener {
    async fn accept(&mut self) -> Result<Link> {
        let link = self.links.recv().await;
        link.ok_or_else(|| Error::closed("accept link: the runtime is shutting down"))
    }

    fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for QuicListener {
    fn drop(&mut self) {
        // Nobody is let in any more; the links that were made go on.
        self.endpoint.set_server_config(None);
        self.door.abort();
    }
}

async fn keep_door(endpoint: Endpoint, desk: Arc<Desk>) {
    let most = desk.shared.options.handshakes_max.max(2);
    let mut handshakes = Handshakes::default();
    while let Some(incoming) = endpoint.accept().await {
        let under_way = handshakes.count();
        if under_way >= most / 2 && !incoming.remote_address_validated() && incoming.may_retry() {
            // Who cannot be reached at the address that it claims costs no more than this.
            if let Err(error) = incoming.retry() {
                tracing::debug!(%error, transport = WORD, "cannot ask for a retry");
            }
            continue;
        }
        handshakes.make_room(most, &desk.shared.counters);
        let task = tokio::spawn(desk.clone().receive(incoming));
        handshakes.add(task.abort_handle());
    }
}

/// Where connections become links.
struct Desk {
    shared: Shared,
    ready: mpsc::Sender<Link>,
}

impl Desk {
    async fn receive(self: Arc<Self>, incoming: Incoming) {
        let from = incoming.remote_address();
        let limit = self.shared.options.handshake_timeout;
        match tokio::time::timeout(limit, self.handshake(incoming, from)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                Counters::add(&self.shared.counters.refused);
                tracing::debug!(%from, %error, "a connection is refused");
            }
            Err(_) => {
                Counters::add(&self.shared.counters.expired);
                tracing::debug!(%from, "a connection did not become a link in time");
            }
        }
    }

    async fn handshake(&self, incoming: Incoming, from: SocketAddr) -> Result<()> {
        // As of now: certificates may have been changed since the listener was opened.
        let config = Arc::new(endpoint::server_config(&self.shared)?);
        // Its first packet may be refused at once, what comes later in the handshake.
        let connecting = incoming.accept_with(config).map_err(|error| self.refused(error))?;
        let connection = connecting.await.map_err(|error| self.refused(error))?;
        let security = proven(&connection)?;
        let lanes = take(&connection).await?;
        // The answer comes only when there is a place for the link, so that the dialler's is real.
        let place = self.ready.reserve().await;
        let place = place.map_err(|_| Error::closed("hand link over: nobody listens any more"))?;
        let wires = lanes.place(&connection).await?;
        let who = (from.to_string(), security);
        place.send(Lanes::link(wires, who, self.shared.counters.clone()));
        Ok(())
    }

    fn refused(&self, error: ConnectionError) -> Error {
        if let Some(refusal) = refusal_of(&error) {
            self.shared.credentials.count(&refusal);
        }
        lost("take connection", error)
    }
}
