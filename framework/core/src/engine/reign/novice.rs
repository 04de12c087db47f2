//! Sites that do not know what they promised: they began with nothing, or were set back to an older
//! copy of themselves. Their word counts for nothing (rule R17).
//!
//! A quorum proves something because two of them share a site that knows of both. A site whose
//! media were replaced does not: with it, a mirror that the charter had dropped would find "two of
//! three" that know of no exclusion, and would lose what was answered since. So promises, records
//! of charters and leases of a novice are not counted, its own candidacy needs both others, and it
//! proves nothing, until a site that leads with a valid lease vouches for it: no newer reign can
//! have begun behind that one's back. At the very first start nobody knows more than anybody. Where
//! an arbiter keeps the record, the promises of all registered sites are enough: each of them has
//! then ended whatever it led, and what it forgot of reigns is recorded.

use super::{Effect, Own, Reign, Standing};
use crate::model::{Charter, Incarnation, SiteName, listed};
use crate::wire::Heartbeat;
use std::collections::BTreeSet;

impl Reign {
    /// The same, of a site that does not know what it promised: what was durable at the start.
    #[must_use]
    pub fn with_novice(self, novice: bool) -> Self {
        Self { novice, ..self }
    }

    /// This site is an older copy of itself: in its new incarnation it is no member, and it does
    /// not know what it promised meanwhile.
    pub(super) fn set_back(
        &mut self,
        own: &Own,
        incarnation: Incarnation,
        why: String,
        effects: &mut Vec<Effect>,
    ) {
        self.stand_down(own, effects);
        self.incarnation = incarnation;
        self.novice = true;
        self.trouble = Some(why);
        effects.push(Effect::SetBack { incarnation });
    }

    /// Whether this site's word counts for nothing.
    pub fn is_novice(&self) -> bool {
        self.novice
    }

    /// Whether no reign was ever active, as far as this site knows, and none but its own was begun.
    fn is_first_start(&self) -> bool {
        self.newest_charter()
            .is_none_or(|charter| charter.settled.is_none() && charter.primary == self.config.site)
    }

    /// Whether the word of another site counts.
    pub(super) fn counts(&self, site: &SiteName) -> bool {
        self.is_first_start() || !self.knows_nothing(site)
    }

    /// Whether this site's own word is missing in a quorum.
    pub(super) fn lacks_word(&self) -> bool {
        self.novice && !self.is_first_start()
    }

    fn knows_nothing(&self, site: &SiteName) -> bool {
        let told = match &self.standing {
            Standing::Candidate(candidate) => candidate.evidence.get(site).map(|it| &it.view),
            _ => None,
        };
        let heard = || self.peers.get(site).and_then(|peer| peer.view.as_ref());
        told.or_else(heard).is_some_and(|view| view.novice)
    }

    /// Whose word counts for nothing in this candidacy, this site's own included, for the operator.
    pub(super) fn told_of_novices(&self) -> Option<String> {
        let promised = self.peers.keys().filter(|site| self.has_promised(site));
        let others = promised.filter(|site| !self.counts(site));
        let own = self.lacks_word().then_some(&self.config.site);
        let novices: BTreeSet<&SiteName> = others.chain(own).collect();
        (!novices.is_empty()).then(|| {
            format!(
                "the word of {{{}}} does not count: begun with nothing, or set back, and no site \
                 that leads has vouched for it",
                listed(novices)
            )
        })
    }

    /// From now on this site knows what it must: its word counts.
    pub(super) fn gain_word(&mut self, effects: &mut Vec<Effect>) {
        if std::mem::take(&mut self.novice) {
            effects.push(Effect::Vouched);
        }
    }

    /// The begin of the first reign is recorded here, at the word of the site that begins it: there
    /// is nothing else that this site could have promised.
    pub(super) fn witnessed(&mut self, from: &SiteName, first: bool, effects: &mut Vec<Effect>) {
        if let Some(Charter { primary, settled, active: false, .. }) = &self.charter
            && first
            && primary == from
            && settled.is_none()
        {
            self.gain_word(effects);
        }
    }

    /// A site accepted the begin of the first reign, so it knows as much as this one.
    pub(super) fn has_witnessed(&mut self, site: &SiteName) {
        if !self.is_first_start() {
            return;
        }
        if let Some(view) = self.peers.get_mut(site).and_then(|peer| peer.view.as_mut()) {
            view.novice = false;
        }
    }

    /// A site that leads with a valid lease was heard. A lease that was renewed before this site
    /// lost what it knew may outlive a promise that it gave then, so it waits for as long as that;
    /// not where nothing changes without the one that leads, nor in the very first reign.
    pub(super) fn vouched(
        &mut self,
        own: &Own,
        from: &SiteName,
        beat: &Heartbeat,
        effects: &mut Vec<Effect>,
    ) {
        let charter = self.charter.as_ref().filter(|charter| {
            charter.active && charter.primary == *from && charter.generation == self.promised
        });
        let Some(charter) = charter.filter(|_| self.novice && beat.vouches) else { return };
        let lease_us = self.config.lease_us;
        let waited = own.now >= self.started_at.saturating_add(lease_us + lease_us / 100);
        if waited || charter.generation.count == 1 || charter.is_up_to(from) {
            self.gain_word(effects);
        }
    }
}
