//! The life of a part on its thread: begins, answers the site and the other parts, ends.

use super::Order;
use super::founding::Parts;
use super::node::Node;
use super::words::{Answer, Ask, Call, Message, Place, Standing, Tell};
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use trefoil_core::model::SiteName;
use trefoil_core::{Error, Result};

/// How many questions of other sites are worked on at a time.
const ANSWERS_MAX: usize = 64;
/// How long a call is tried; the site itself waits no longer.
const CALL_TIME: Duration = Duration::from_millis(1800);
/// How long Raft may take to end.
const END_TIME: Duration = Duration::from_secs(2);

/// How far a part has come.
enum Stage {
    /// It keeps nothing, and waits for the others.
    Hears,
    Works(Arc<Node>),
    /// It cannot begin, and why.
    Failed(String),
}

/// The part as its thread runs it.
pub(super) struct Part {
    parts: Parts,
    stage: Mutex<Stage>,
    places: Arc<Semaphore>,
}

impl Part {
    pub(super) fn new(parts: Parts) -> Self {
        let places = Arc::new(Semaphore::new(ANSWERS_MAX));
        Self { parts, stage: Mutex::new(Stage::Hears), places }
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn node(&self) -> Option<Arc<Node>> {
        match &*self.lock() {
            Stage::Works(node) => Some(node.clone()),
            Stage::Hears | Stage::Failed(_) => None,
        }
    }

    /// Until nobody can ask any more.
    pub(super) async fn run(
        self,
        mut messages: mpsc::Receiver<(SiteName, Bytes)>,
        mut orders: mpsc::Receiver<Order>,
    ) {
        let part = Arc::new(self);
        let mut found = part.clone().begin();
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Call(call, reply)) => {
                        let part = part.clone();
                        tokio::spawn(async move {
                            // Whoever asked may have given up.
                            let _ = reply.send(part.call(call).await);
                        });
                    }
                    Some(Order::Forget(reply)) => {
                        found.abort();
                        let _ = reply.send(part.forget().await);
                        found = part.clone().begin();
                    }
                    None => break,
                },
                Some((from, bytes)) = messages.recv() => Self::take(&part, from, &bytes),
            }
        }
        found.abort();
        part.end().await;
    }

    fn begin(self: Arc<Self>) -> JoinHandle<()> {
        tokio::spawn(async move {
            match self.parts.clone().found().await {
                Ok(node) => {
                    let node = Arc::new(node);
                    *self.lock() = Stage::Works(node.clone());
                    node.catch_up().await;
                }
                Err(error) => {
                    tracing::error!(%error, "the arbiter does not begin at this site");
                    *self.lock() = Stage::Failed(error.to_string());
                }
            }
        })
    }

    /// Ends what works; what is kept stays.
    async fn end(&self) {
        let stage = std::mem::replace(&mut *self.lock(), Stage::Hears);
        if let Stage::Works(node) = stage {
            // It may have ended by itself, which is as good.
            let _ = tokio::time::timeout(END_TIME, node.raft.shutdown()).await;
        }
    }

    async fn forget(&self) -> Result<()> {
        self.end().await;
        tracing::warn!("this site was set back: its part of the arbiter begins with nothing");
        let failed = |source| Error::io("forget what the arbiter keeps", source);
        self.parts.shelf.lock().clear().map_err(failed)
    }

    async fn call(&self, call: Call) -> Answer {
        let why = match &*self.lock() {
            Stage::Works(_) => None,
            Stage::Failed(why) => Some(why.clone()),
            Stage::Hears => Some(
                "nothing is kept at this site yet: it waits until it has heard both others"
                    .to_owned(),
            ),
        };
        match (why, self.node()) {
            (None, Some(node)) => node.call(call, CALL_TIME).await,
            (why, _) => Answer::Undone(why.unwrap_or_default()),
        }
    }

    /// A message came.
    fn take(part: &Arc<Self>, from: SiteName, bytes: &[u8]) {
        let Some(place) = part.parts.post.place(&from) else { return };
        match serde_json::from_slice(bytes) {
            Ok(Message::Tell(id, tell)) => part.parts.post.answered(id, tell),
            Ok(Message::Ask(id, ask)) => {
                let Ok(permit) = part.places.clone().try_acquire_owned() else { return };
                let part = part.clone();
                tokio::spawn(async move {
                    let tell = part.answer(place, ask).await;
                    part.parts.post.send(&from, &Message::Tell(id, tell));
                    drop(permit);
                });
            }
            Err(error) => tracing::warn!(%from, %error, "a message of the arbiter is no such"),
        }
    }

    async fn answer(&self, from: Place, ask: Ask) -> Tell {
        match (self.node(), ask) {
            (Some(node), ask) => node.answer(from, ask).await,
            (None, Ask::Standing) => Tell::Standing(Standing::default()),
            (None, _) => Tell::No("this site has not begun yet".to_owned()),
        }
    }
}
