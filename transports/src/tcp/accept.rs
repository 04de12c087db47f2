//! The listener's side: whoever connects has a deadline, a bounded place, and no way to hold
//! up anybody else.
//!
//! Each connection has a task of its own that reads the preamble. The first of the two
//! connections of a link leaves word under the link's token; the second finds it and hands its
//! stream over. So all state of a half-made link is in tasks that end by the deadline.

use super::preamble::{Preamble, answer};
use super::socket::{Connection, tune};
use super::{Shared, WORD};
use crate::handshakes::Handshakes;
use crate::resolve::{bind_error, resolve};
use crate::stream::{Counters, LaneKind, Lanes};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use trefoil_core::port::{Link, Listener, Security};
use trefoil_core::{Error, Result};

/// Connections that the kernel keeps while we take others in.
const KERNEL_BACKLOG: u32 = 256;

/// How long to wait when the system has no room for a connection (too many open files).
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// Listens on the first of the address's that can be bound.
pub(crate) async fn listen(shared: &Shared, address: &str) -> Result<LinkListener> {
    let doing = |error: Error| error.context(format!("listen on {address}"));
    let mut last = Error::unavailable("resolve name: it has no address");
    for at in resolve(address).await.map_err(doing)? {
        match bind(at) {
            Ok(listener) => return LinkListener::start(listener, shared),
            Err(error) => last = bind_error(error),
        }
    }
    Err(doing(last))
}

fn bind(at: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(KERNEL_BACKLOG)
}

/// Listens until it is dropped.
pub(crate) struct LinkListener {
    address: SocketAddr,
    links: mpsc::Receiver<Link>,
    door: JoinHandle<()>,
}

impl LinkListener {
    fn start(listener: TcpListener, shared: &Shared) -> Result<Self> {
        let address =
            listener.local_addr().map_err(|error| Error::io("read own address", error))?;
        let (ready, links) = mpsc::channel(shared.options.backlog_links_max.max(1));
        let desk = Desk { shared: shared.clone(), waiting: Mutex::default(), ready };
        let door = tokio::spawn(keep_door(listener, Arc::new(desk)));
        Ok(Self { address, links, door })
    }
}

#[async_trait]
impl Listener for LinkListener {
    async fn accept(&mut self) -> Result<Link> {
        let link = self.links.recv().await;
        link.ok_or_else(|| Error::closed("accept link: the runtime is shutting down"))
    }

    fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for LinkListener {
    fn drop(&mut self) {
        self.door.abort();
    }
}

async fn keep_door(listener: TcpListener, desk: Arc<Desk>) {
    let mut handshakes = Handshakes::default();
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                handshakes.make_room(desk.shared.options.handshakes_max, &desk.shared.counters);
                let task = tokio::spawn(desk.clone().receive(stream, from));
                handshakes.add(task.abort_handle());
            }
            Err(error) => {
                tracing::warn!(%error, transport = WORD, "cannot take a connection in");
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            }
        }
    }
}

/// Where connections are paired.
struct Desk {
    shared: Shared,
    waiting: Mutex<BTreeMap<u128, (LaneKind, oneshot::Sender<Half>)>>,
    ready: mpsc::Sender<Link>,
}

impl Desk {
    async fn receive(self: Arc<Self>, stream: TcpStream, from: SocketAddr) {
        let limit = self.shared.options.handshake_timeout;
        match tokio::time::timeout(limit, self.handshake(stream, from)).await {
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

    async fn handshake(&self, stream: TcpStream, from: SocketAddr) -> Result<()> {
        tune(&stream, &self.shared.options)?;
        let (mut stream, security) = self.shared.guard.accept(stream).await?;
        let Preamble { token, lane } = match Preamble::read(&mut stream).await {
            Ok(preamble) => preamble,
            Err(error) => {
                // Tells a dialer of another version; anybody else does not matter.
                let told = answer(&mut stream, false).await;
                tracing::trace!(told = told.is_ok(), "refused");
                return Err(error);
            }
        };
        match self.meet(token, lane)? {
            Meeting::Second(first) => first
                .send((stream, security))
                .map_err(|_| Error::unavailable("pair connections: the first one waits no longer")),
            Meeting::First(second) => {
                let _word = Word { desk: self, token };
                let other = second.await.map_err(|_| {
                    Error::invalid("pair connections: two of them claim the same lane")
                })?;
                let (other, proven) = other;
                if proven != security {
                    return Err(Error::refused("pair connections: they are of two sites"));
                }
                let both = match lane {
                    LaneKind::Control => (stream, other),
                    LaneKind::Data => (other, stream),
                };
                self.finish(both, security, from).await
            }
        }
    }

    fn meet(&self, token: u128, lane: LaneKind) -> Result<Meeting> {
        let mut waiting = self.waiting.lock();
        match waiting.remove(&token) {
            None => {
                let (first, second) = oneshot::channel();
                waiting.insert(token, (lane, first));
                Ok(Meeting::First(second))
            }
            Some((other, first)) if other != lane => Ok(Meeting::Second(first)),
            Some(_) => Err(Error::invalid("pair connections: two of them claim the same lane")),
        }
    }

    /// Answers only when there is a place for the link, so that the dialer's link is real.
    async fn finish(
        &self,
        (mut control, mut data): (Connection, Connection),
        security: Security,
        from: SocketAddr,
    ) -> Result<()> {
        let place = self.ready.reserve().await;
        let place = place.map_err(|_| Error::closed("hand link over: nobody listens any more"))?;
        answer(&mut control, true).await?;
        answer(&mut data, true).await?;
        let wires = (control.into_wire()?, data.into_wire()?);
        let who = (from.to_string(), security);
        place.send(Lanes::link(wires, who, self.shared.counters.clone()));
        Ok(())
    }
}

/// One connection of a link, and who is proven to be at its other end.
type Half = (Connection, Security);

enum Meeting {
    /// The other connection will be sent here.
    First(oneshot::Receiver<Half>),
    /// The other connection waits here.
    Second(oneshot::Sender<Half>),
}

/// The word left under a token; it is taken back when its connection is given up.
struct Word<'a> {
    desk: &'a Desk,
    token: u128,
}

impl Drop for Word<'_> {
    fn drop(&mut self) {
        self.desk.waiting.lock().remove(&self.token);
    }
}
