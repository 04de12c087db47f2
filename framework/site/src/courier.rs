//! Carries what the parts of an arbiter say to each other, over the links of its group.

use crate::actor::{PeerActor, SendControl};
use actix::WeakAddr;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use trefoil_core::model::SiteName;
use trefoil_core::port::Courier;
use trefoil_core::wire::ControlMessage;

/// Which links are up, for threads that the group's actors do not live on.
#[derive(Debug)]
pub(crate) struct Linked(BTreeMap<SiteName, AtomicBool>);

impl Linked {
    /// None of them yet.
    pub fn none_of<'a>(sites: impl Iterator<Item = &'a SiteName>) -> Self {
        Self(sites.map(|site| (site.clone(), AtomicBool::new(false))).collect())
    }

    /// The link to a site came up or went down.
    pub fn set(&self, site: &SiteName, up: bool) {
        if let Some(known) = self.0.get(site) {
            known.store(up, Ordering::Release);
        }
    }

    fn is_up(&self, site: &SiteName) -> bool {
        self.0.get(site).is_some_and(|up| up.load(Ordering::Acquire))
    }
}

/// The links of one group. It keeps no actor alive: the actors hold the arbiter, which holds it.
pub(crate) struct GroupLinks {
    pub linked: Arc<Linked>,
    pub peers: BTreeMap<SiteName, WeakAddr<PeerActor>>,
}

impl Courier for GroupLinks {
    fn send(&self, to: &SiteName, message: Bytes) -> bool {
        let Some(peer) = self.peers.get(to).and_then(WeakAddr::upgrade) else { return false };
        let message = SendControl(ControlMessage::Arbiter(message));
        self.linked.is_up(to) && peer.try_send(message).is_ok()
    }
}
