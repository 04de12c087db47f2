//! Questions to other sites, and their answers.

use super::words::{Ask, Message, Place, Tell, Types};
use bytes::Bytes;
use openraft::error::{InstallSnapshotError, NetworkError, RPCError, RaftError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{AnyError, EmptyNode};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use trefoil_core::model::SiteName;
use trefoil_core::port::{ARBITER_MESSAGE_BYTES_MAX, Courier};

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// It was not sent, or the other site says that it did nothing.
    Undone(String),
    /// It was sent, and nobody knows what became of it.
    Unknown(String),
}

impl Silence {
    fn text(self) -> String {
        match self {
            Self::Undone(why) | Self::Unknown(why) => why,
        }
    }
}

/// The way to the other sites. Clones share it.
#[derive(Clone)]
pub(super) struct Post {
    sites: Arc<[SiteName]>,
    courier: Arc<OnceLock<Arc<dyn Courier>>>,
    /// Who waits for an answer to the question of that number.
    waiting: Arc<Mutex<BTreeMap<u64, oneshot::Sender<Tell>>>>,
    /// Begins anywhere, so that an answer from before a restart answers nothing.
    next: Arc<AtomicU64>,
}

impl Post {
    pub(super) fn new(sites: Arc<[SiteName]>) -> Self {
        Self {
            sites,
            courier: Arc::default(),
            waiting: Arc::default(),
            next: Arc::new(AtomicU64::new(rand::random())),
        }
    }

    pub(super) fn join(&self, courier: Arc<dyn Courier>) {
        // There is one group for one arbiter: a second courier would be the same one.
        let _ = self.courier.set(courier);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<Tell>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn name(&self, place: Place) -> Option<&SiteName> {
        self.sites.get(usize::try_from(place).ok()?)
    }

    pub(super) fn place(&self, site: &SiteName) -> Option<Place> {
        self.sites.iter().position(|known| known == site).map(|at| at as Place)
    }

    /// All places but one.
    pub(super) fn others(&self, own: Place) -> impl Iterator<Item = Place> + use<> {
        (0..self.sites.len() as Place).filter(move |place| *place != own)
    }

    /// Sends a message if there is a link.
    pub(super) fn send(&self, to: &SiteName, message: &Message) -> bool {
        let Some(courier) = self.courier.get() else { return false };
        match serde_json::to_vec(message) {
            Ok(bytes) if bytes.len() <= ARBITER_MESSAGE_BYTES_MAX => {
                courier.send(to, Bytes::from(bytes))
            }
            Ok(bytes) => {
                tracing::error!(bytes = bytes.len(), "a message of the arbiter is too long");
                false
            }
            Err(error) => {
                tracing::error!(%error, "a message of the arbiter cannot be written");
                false
            }
        }
    }

    /// Asks the part at another site, which has so much time.
    pub(super) async fn ask(&self, to: Place, ask: Ask, time: Duration) -> Result<Tell, Silence> {
        let Some(name) = self.name(to) else {
            return Err(Silence::Undone(format!("the group has no site {to}")));
        };
        let (id, (reply, answer)) = (self.next.fetch_add(1, Ordering::Relaxed), oneshot::channel());
        self.lock().insert(id, reply);
        let _forget = Forget(self, id);
        if !self.send(name, &Message::Ask(id, ask)) {
            return Err(Silence::Undone(format!("no link to {name}")));
        }
        match tokio::time::timeout(time, answer).await {
            Ok(Ok(Tell::No(why))) => Err(Silence::Undone(format!("{name}: {why}"))),
            Ok(Ok(tell)) => Ok(tell),
            _ => Err(Silence::Unknown(format!(
                "{name} gave no answer within {} ms",
                time.as_millis()
            ))),
        }
    }

    /// An answer came.
    pub(super) fn answered(&self, id: u64, tell: Tell) {
        if let Some(reply) = self.lock().remove(&id) {
            // Whoever asked may have given up.
            let _ = reply.send(tell);
        }
    }
}

/// Nobody waits for the answer any more.
struct Forget<'a>(&'a Post, u64);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

/// Raft's way to one other site.
pub(super) struct Wire {
    post: Post,
    to: Place,
}

impl RaftNetworkFactory<Types> for Post {
    type Network = Wire;

    async fn new_client(&mut self, to: Place, _: &EmptyNode) -> Wire {
        Wire { post: self.clone(), to }
    }
}

type Failure<E> = RPCError<Place, EmptyNode, E>;

fn unreachable_for<E: std::error::Error>(silence: Silence) -> Failure<E> {
    RPCError::Unreachable(Unreachable::from(AnyError::error(silence.text())))
}

fn nonsense<E: std::error::Error>() -> Failure<E> {
    RPCError::Network(NetworkError::from(AnyError::error("another question was answered")))
}

impl RaftNetwork<Types> for Wire {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Place>, Failure<RaftError<Place>>> {
        match self.post.ask(self.to, Ask::Append(rpc), option.hard_ttl()).await {
            Ok(Tell::Append(answer)) => Ok(answer),
            Ok(_) => Err(nonsense()),
            Err(silence) => Err(unreachable_for(silence)),
        }
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<Place>, Failure<RaftError<Place, InstallSnapshotError>>>
    {
        match self.post.ask(self.to, Ask::Snapshot(rpc), option.hard_ttl()).await {
            Ok(Tell::Snapshot(answer)) => Ok(answer),
            Ok(_) => Err(nonsense()),
            Err(silence) => Err(unreachable_for(silence)),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Place>,
        option: RPCOption,
    ) -> Result<VoteResponse<Place>, Failure<RaftError<Place>>> {
        match self.post.ask(self.to, Ask::Vote(rpc), option.hard_ttl()).await {
            Ok(Tell::Vote(answer)) => Ok(answer),
            Ok(_) => Err(nonsense()),
            Err(silence) => Err(unreachable_for(silence)),
        }
    }

    fn backoff(&self) -> openraft::network::Backoff {
        openraft::network::Backoff::new(std::iter::repeat(Duration::from_millis(200)))
    }
}
