//! Whom a follower reads from, where that need not be the leading site: another follower may pass
//! on what it holds. It is no vote and no evidence; who leads is decided without looking here.

use super::{Own, Reign, Standing};
use crate::model::{Charter, Generation, SiteName};
use crate::{Error, Result};
use std::collections::BTreeMap;

impl Reign {
    /// The same, reading from these sites: for each that may lead, whom instead of it.
    #[must_use]
    pub fn with_relays(self, relays: BTreeMap<SiteName, SiteName>) -> Self {
        Self { relays, ..self }
    }

    /// Notes since when the relay under a charter lacks the beginning of that reign: until it has
    /// that it passes nothing on, and it may wait for this site to take what it holds.
    pub(super) fn watch_relay(&mut self, own: &Own) {
        let charter = self.charter.as_ref();
        let relay = charter.and_then(|charter| self.relays.get(&charter.primary));
        let view = relay.and_then(|site| self.peers.get(site)?.view.as_ref());
        let lacks = charter.zip(view).is_some_and(|(charter, view)| {
            charter.active && view.newest.generation < charter.generation
        });
        self.relay_lacks_since = lacks.then(|| self.relay_lacks_since.unwrap_or(own.now));
        let late = |since: u64| own.now.saturating_sub(since) >= self.config.leg_grace_us;
        self.relay_is_late = self.relay_lacks_since.is_some_and(late);
    }

    /// Whom this site reads from under a charter, if it can be reached: the relay where it is well,
    /// else the leading site, else the relay all the same.
    pub(super) fn source_under(&self, charter: &Charter) -> Option<SiteName> {
        let up = |site: &&SiteName| self.peers.get(*site).is_some_and(|peer| peer.up);
        let relay = self.relays.get(&charter.primary).filter(up);
        let well = relay.filter(|site| self.relays_well(site, charter));
        well.or(Some(&charter.primary).filter(up)).or(relay).cloned()
    }

    /// Whether a site can pass on what the leading one sends: it follows in the same reign, owes
    /// nothing, and has heard the leading site lately.
    fn relays_well(&self, site: &SiteName, charter: &Charter) -> bool {
        let Some(peer) = self.peers.get(site) else { return false };
        let Some(view) = &peer.view else { return false };
        let knows = view.charter.as_ref().map(|theirs| theirs.generation);
        let same = knows == Some(charter.generation) && view.promised == charter.generation;
        let silent_us = peer.silent_us.get(&charter.primary).copied().unwrap_or(u64::MAX);
        let late = self.relay_is_late;
        same && !late && view.debt_bytes == 0 && !view.blank && silent_us < self.config.leg_grace_us
    }

    /// Whether `from` may read here what this site, a follower itself, holds of `generation`.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable), in words for the follower.
    pub(super) fn may_relay(&self, from: &SiteName, generation: Generation) -> Result<()> {
        let site = &self.config.site;
        let no =
            |why: &str| Err(Error::unavailable(format!("site {site} does not lead, and {why}")));
        if !matches!(self.standing, Standing::Secondary) || self.promised != generation {
            return no("does not follow in that generation");
        }
        let leads = self.charter.as_ref().map(|charter| &charter.primary);
        match &self.following {
            // One step, and so no circle: what is passed on is what the leading site said.
            Some((source, _)) if Some(source) != leads => {
                no("does not read from the one that does")
            }
            Some((source, own)) if *own == generation && source != from => {
                self.check_suspended(from)
            }
            _ => no("follows nobody now"),
        }
    }
}
