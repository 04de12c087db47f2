//! The server: accepts clients, within a number, and ends in good order.

use super::address::NbdAddress;
use super::connection::Connection;
use super::counters::NbdCounters;
use super::export::{Exports, Work};
use super::guard::{NbdGuard, Stage};
use super::handshake::{Outcome, Session, Terms, greet, haggle};
use super::limits::NbdLimits;
use super::listener::Listener;
use super::portable::Portable;
use socket2::{SockRef, TcpKeepalive};
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout_at};
use trefoil_core::Result;

/// A client that vanished without a word is noticed after about two minutes.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// Pause after a failed accept (out of descriptors): trying at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What the connections get, past the drain deadline, to close their sockets.
const CLOSING_GRACE: Duration = Duration::from_millis(500);

/// When a stopping server gives up its clients; `None` while it runs.
type Stop = Option<Instant>;

/// What a connection needs of its server.
#[derive(Clone)]
struct Shared {
    exports: Arc<dyn Exports>,
    limits: Arc<NbdLimits>,
    counters: Arc<NbdCounters>,
    guard: NbdGuard,
    stop: watch::Receiver<Stop>,
}

impl Shared {
    fn terms(&self, stage: Stage) -> Terms<'_> {
        Terms { exports: &*self.exports, limits: &self.limits, counters: &self.counters, stage }
    }
}

/// An NBD server, bound to one address.
///
/// Its connections are tasks of the tokio runtime that [`serve`](Self::serve) runs on, of
/// whatever kind, until their export takes them to a thread of its own
/// ([`Export::run_beside`](super::Export::run_beside)); those inside TLS stay. Two addresses are
/// two servers over the same [`Exports`].
pub struct NbdServer {
    listener: Listener,
    address: NbdAddress,
    exports: Arc<dyn Exports>,
    limits: NbdLimits,
    counters: Arc<NbdCounters>,
    guard: NbdGuard,
}

impl fmt::Debug for NbdServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NbdServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl NbdServer {
    /// Binds `address` (`host:port`, `tcp:host:port` or `unix:/path`; see [`NbdAddress`]).
    /// Clients that connect from now on are served once [`serve`](Self::serve) runs.
    ///
    /// A Unix socket gets mode 0660; a socket file that nobody listens on is replaced.
    ///
    /// # Errors
    /// `Invalid` for a malformed or taken address and for limits that do not fit together; the
    /// text names the address and the remedy.
    pub async fn bind(address: &str, exports: Arc<dyn Exports>, limits: NbdLimits) -> Result<Self> {
        limits.check()?;
        let asked: NbdAddress = address.parse()?;
        let listener = Listener::bind(&asked).await?;
        let address = listener.address(&asked);
        let (counters, guard) = (Arc::default(), NbdGuard::default());
        Ok(Self { listener, address, exports, limits, counters, guard })
    }

    /// Asks this of those who connect.
    #[must_use]
    pub fn guarded(self, guard: NbdGuard) -> Self {
        Self { guard, ..self }
    }

    /// Where it listens, with the port that was chosen for port 0.
    pub fn address(&self) -> &NbdAddress {
        &self.address
    }

    /// What it counts; stays valid after the server has ended.
    pub fn counters(&self) -> Arc<NbdCounters> {
        Arc::clone(&self.counters)
    }

    /// Serves until `shutdown` is ready; then accepts nobody, refuses new requests, answers what
    /// is in flight within the drain deadline, and returns. What is still running then goes on
    /// without its client: an admitted write is not cancelled by the server.
    ///
    /// Dropping the future stops the accepting and starts the same end in the connections.
    ///
    /// # Errors
    /// None today: failures to accept are logged and tried again.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> Result<()> {
        let Self { listener, address, exports, limits, counters, guard } = self;
        let (stopper, stop) = watch::channel(None);
        let slots = Arc::new(Semaphore::new(limits.connections_max as usize));
        let (connections_max, drain) = (limits.connections_max, limits.drain_deadline);
        let shared = Shared { exports, limits: Arc::new(limits), counters, guard, stop };
        tracing::info!(%address, "NBD server listens");
        tokio::select! {
            biased;
            () = shutdown => {}
            () = accept_all(&listener, &slots, &shared) => {}
        }
        drop(listener);
        let deadline = Instant::now() + drain;
        stopper.send_replace(Some(deadline));
        let all = timeout_at(deadline + CLOSING_GRACE, slots.acquire_many(connections_max)).await;
        if all.is_err() {
            let left = connections_max as usize - slots.available_permits();
            tracing::warn!(%address, left, "NBD connections have requests that do not end");
        }
        tracing::info!(%address, "NBD server ended");
        Ok(())
    }
}

/// Accepts for ever.
async fn accept_all(listener: &Listener, slots: &Arc<Semaphore>, shared: &Shared) {
    let mut full = false;
    loop {
        let (client, peer) = match accept(listener).await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "NBD accept failed");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        NbdCounters::add(&shared.counters.connections, 1);
        let Ok(slot) = Arc::clone(slots).try_acquire_owned() else {
            NbdCounters::add(&shared.counters.refused, 1);
            // Once for each time it fills up: a flood of clients is not a flood of lines.
            if !std::mem::replace(&mut full, true) {
                let max = shared.limits.connections_max;
                tracing::warn!(peer, max, "NBD connections are at their limit: closing new ones");
            }
            continue;
        };
        full = false;
        let guard = Open::new(slot, Arc::clone(&shared.counters));
        match client {
            Client::Tcp(stream) => tokio::spawn(attend(stream, peer, shared.clone(), guard)),
            Client::Unix(stream) => tokio::spawn(attend(stream, peer, shared.clone(), guard)),
        };
    }
}

enum Client {
    Tcp(TcpStream),
    Unix(UnixStream),
}

async fn accept(listener: &Listener) -> io::Result<(Client, String)> {
    match listener {
        Listener::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE);
            let tuned = stream
                .set_nodelay(true)
                .and_then(|()| SockRef::from(&stream).set_tcp_keepalive(&keepalive));
            if let Err(error) = tuned {
                // Slower, not wrong; a client that left already is noticed when it is read.
                tracing::debug!(%peer, %error, "NBD socket options not set");
            }
            Ok((Client::Tcp(stream), peer.to_string()))
        }
        Listener::Unix { listener, .. } => {
            let (stream, _) = listener.accept().await?;
            let process = stream.peer_cred().ok().and_then(|peer| peer.pid());
            let peer = process.map_or_else(|| "unix".into(), |process| format!("unix:{process}"));
            Ok((Client::Unix(stream), peer))
        }
    }
}

/// A connection's place, given back when its task ends however it ends.
struct Open {
    _slot: OwnedSemaphorePermit,
    counters: Arc<NbdCounters>,
}

impl Open {
    fn new(slot: OwnedSemaphorePermit, counters: Arc<NbdCounters>) -> Self {
        NbdCounters::add(&counters.open, 1);
        Self { _slot: slot, counters }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One client, from its greeting to its end.
async fn attend<S: Portable>(mut stream: S, peer: String, mut shared: Shared, open: Open) {
    tracing::debug!(peer, "NBD client connected");
    // One deadline for all of it: who is slow in TLS has no more time for options.
    let deadline = Instant::now() + shared.limits.handshake_deadline;
    let haggling = async {
        let no_zeroes = greet(&mut stream).await?;
        let outcome = haggle(&mut stream, no_zeroes, shared.terms(shared.guard.stage())).await?;
        Ok((outcome, no_zeroes))
    };
    let agreed = within(deadline, &shared, &peer, haggling).await;
    match agreed {
        Some((Outcome::Serve(session), _)) => {
            return serve_beside(stream, session, peer, shared, open).await;
        }
        Some((Outcome::BeginTls, no_zeroes)) => {
            let securing = async {
                let secured = shared.guard.accept(stream).await;
                let (mut stream, host) = secured.inspect_err(|error| {
                    NbdCounters::add(&shared.counters.tls_failures, 1);
                    tracing::warn!(peer, %error, "NBD host refused");
                })?;
                NbdCounters::add(&shared.counters.tls_hosts, 1);
                tracing::debug!(peer, host, "NBD host has proven who it is");
                let terms = shared.terms(Stage::Host(host.clone()));
                Ok((haggle(&mut stream, no_zeroes, terms).await?, stream, host))
            };
            let agreed = within(deadline, &shared, &peer, securing).await;
            if let Some((Outcome::Serve(session), stream, host)) = agreed {
                serve(stream, session, &format!("{host} at {peer}"), &mut shared).await;
            }
        }
        Some((Outcome::Leave, _)) => tracing::debug!(peer, "NBD client left in the handshake"),
        None => {}
    }
    drop(open);
}

/// Serves a client whose export is chosen, where the export wants that.
async fn serve_beside<S: Portable>(
    stream: S,
    session: Session,
    peer: String,
    mut shared: Shared,
    open: Open,
) {
    let export = Arc::clone(&session.export);
    let loose = match stream.loosen() {
        Ok(loose) => loose,
        Err(error) => return tracing::warn!(peer, %error, "NBD connection lost between threads"),
    };
    let connection: Work = Box::new(move || {
        Box::pin(async move {
            match S::fasten(loose) {
                Ok(stream) => serve(stream, session, &peer, &mut shared).await,
                Err(error) => tracing::warn!(peer, %error, "NBD connection lost between threads"),
            }
            drop(open);
        })
    });
    if let Err(connection) = export.run_beside(connection) {
        connection().await;
    }
}

/// What was agreed in time; what went wrong is counted and told.
async fn within<T>(
    deadline: Instant,
    shared: &Shared,
    peer: &str,
    haggling: impl Future<Output = Result<T>>,
) -> Option<T> {
    let mut stop = shared.stop.clone();
    let agreed = tokio::select! {
        biased;
        agreed = timeout_at(deadline, haggling) => agreed,
        _ = stopping(&mut stop) => return None,
    };
    match agreed {
        Ok(Ok(agreed)) => return Some(agreed),
        Ok(Err(error)) => tracing::debug!(peer, %error, "NBD handshake failed"),
        Err(_) => tracing::info!(peer, "NBD handshake took too long: closing"),
    }
    NbdCounters::add(&shared.counters.errors, 1);
    None
}

/// Serves a client whose export is chosen.
async fn serve<S>(stream: S, session: Session, peer: &str, shared: &mut Shared)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    tracing::info!(peer, export = session.name, structured = session.structured, "NBD host");
    let counters = Arc::clone(&shared.counters);
    let mut connection = Connection::new(stream, session, &shared.limits, counters);
    let stop = tokio::select! {
        biased;
        () = connection.serve() => None,
        at = stopping(&mut shared.stop) => Some(at),
    };
    if let Some(at) = stop {
        let deadline = at.unwrap_or_else(|| Instant::now() + shared.limits.drain_deadline);
        connection.stop();
        let drained = timeout_at(deadline, connection.serve()).await;
        if drained.is_err() {
            connection.hang_up();
            let running = connection.running();
            tracing::warn!(peer, running, "NBD drain deadline passed: connection closed");
            connection.serve().await;
        }
    }
    tracing::info!(peer, "NBD host left");
}

/// Ready when the server stops: with its deadline, or `None` when its future was dropped.
async fn stopping(stop: &mut watch::Receiver<Stop>) -> Stop {
    stop.wait_for(Option::is_some).await.ok().and_then(|deadline| *deadline)
}
